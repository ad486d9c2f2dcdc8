"""Light changes to the project's own code as it is compiled: marks, limits of training loops, links between rows."""

from __future__ import annotations

import builtins
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

from mllint_bio.observe import places
from mllint_bio.observe.job import Guide, Limits


@dataclass
class Hooks:
    mark: Callable[[int], None] = lambda number: None
    made: Callable[[Any, Sequence[Any]], Any] = lambda value, operands: value
    steps: Callable[[], int] = lambda: 0


def install(guide: Guide, limits: Limits, hooks: Hooks) -> None:
    pass


def compiled(source: bytes, path: str) -> CodeType:
    return compile(source, path, "exec", dont_inherit=True)


def after_import(name: str, then: Callable[[ModuleType], None]) -> None:
    pass
