"""Probes: wrappers around what the catalog names, put in place when the program imports a library.

`install` adds a finder to `sys.meta_path`; as soon as a module of a catalogued library has been executed, the modules named in
`HANDLERS` wrap what the catalog describes there. A probe never changes what a call returns or raises, and never draws
random numbers; if it fails itself, the call goes on without it and a `probe-failed` figure says so.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from mllint_bio import catalog
from mllint_bio.observe.probes.names import HANDLERS
from mllint_bio.observe.recorder import Recorder


def install(recorder: Recorder) -> None:
    """Wrap what is imported already and what will be; seed the generators if the job says so."""
    seed = recorder.job.controls.seed
    if seed is not None:
        random.seed(seed)
    finder = _Finder(recorder)
    sys.meta_path.insert(0, finder)
    for name, module in list(sys.modules.items()):
        if name.split(".", 1)[0] in HANDLERS and isinstance(module, ModuleType):
            imported(name, module, recorder)


def imported(name: str, module: ModuleType, recorder: Recorder) -> None:
    """A module of a handled library has been executed: wrap what it holds."""
    for handler in HANDLERS[name.split(".", 1)[0]]:
        try:
            wrap: Callable[[str, ModuleType, Recorder], None] = import_module(f"{__name__}.{handler}").wrap
            wrap(name, module, recorder)
        except Exception as error:  # an unknown release of a library: the program runs on, unobserved there
            recorder.figure("probe-failed", where=name, error=f"{type(error).__name__}: {error}")


class _Finder(MetaPathFinder):
    """Finds nothing itself; lets the others find, and learns when a handled module has been executed."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._busy: set[str] = set()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that the other finders give, with a loader that reports."""
        if name.split(".", 1)[0] not in HANDLERS or name in self._busy:
            return None
        self._busy.add(name)
        try:
            for finder in sys.meta_path:
                if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                    if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                        spec.loader = _Reporting(spec.loader, name, self._recorder)
                    return spec
            return None
        finally:
            self._busy.discard(name)


class _Reporting(Loader):
    """A loader that reports what it has executed; everything else is the original's."""

    def __init__(self, loader: Any, name: str, recorder: Recorder) -> None:
        self._loader = loader
        self._name = name  # extension modules may call themselves otherwise
        self._recorder = recorder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the original does."""
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, then wrap what it holds."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        with self._recorder.inside("import"):  # what a library does while it is imported is its own affair
            self._loader.exec_module(module)
        imported(self._name, module, self._recorder)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


# -- what the catalog describes in a module --------------------------------------------------------------------------

_described: dict[str, dict[str, list[tuple[tuple[str, ...], catalog.Entry]]]] = {}


def described(name: str) -> list[tuple[tuple[str, ...], catalog.Entry]]:
    """(attribute path, entry) of everything that the catalog describes directly below a module."""
    top = name.split(".", 1)[0]
    if top not in _described:
        below: dict[str, list[tuple[tuple[str, ...], catalog.Entry]]] = {}
        file = catalog.file_of(top)
        for path, entry in catalog.library(file).entries.items() if file else ():
            parts = path.split(".")
            if parts[0] == top:
                for cut in (len(parts) - 1, len(parts) - 2):
                    if cut >= 1:
                        below.setdefault(".".join(parts[:cut]), []).append((tuple(parts[cut:]), entry))
        _described[top] = below
    return _described[top].get(name, [])
