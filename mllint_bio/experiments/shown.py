"""Places as people know them: runs and experiments count lines of files below the project's root and rows of a notebook's joined
text; findings name files from where the command was given, and cells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from mllint_bio.sources import SourceUnit

T = TypeVar("T")


class Shown:
    """Rewrites `path:row` of a project's files wherever it stands in a text. units: by path below the root."""

    def __init__(self, units: Mapping[str, SourceUnit]) -> None:
        self._units = units
        paths = "|".join(re.escape(path) for path in sorted(units, key=len, reverse=True))
        # With a column behind it, it is the place of a finding, which is written for people already.
        self._place = re.compile(rf"(?<![\w/.-])({paths}):(\d+)(?!:?\d)") if paths else None

    def place(self, path: str, row: int) -> str:
        """`train.py:41`, or `nb.ipynb:cell 4:2` for a row of a notebook's joined text."""
        unit = self._units.get(path)
        if unit is None:
            return f"{path}:{row}"
        if not unit.cells:
            return f"{unit.path}:{row}"
        position = unit.position(unit.offset_of_bytes(row, 0))
        return f"{unit.path}:cell {position.cell}:{position.row}"

    def text(self, text: str) -> str:
        """A text with all its places rewritten."""
        if self._place is None or ":" not in text:
            return text
        return self._place.sub(lambda found: self.place(found[1], int(found[2])), text)

    def all(self, value: T) -> T:
        """A record, or a collection of records, with all its texts rewritten."""
        return self._all(value)  # type: ignore[no-any-return]

    def _all(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return type(value)(self._all(one) for one in value)
        if isinstance(value, dict):
            return {self._all(key): self._all(one) for key, one in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{one.name: self._all(getattr(value, one.name)) for one in fields(value)})
        return value
