"""What a source is once it is read: text to analyse, text to show, and views from offsets to places.

Everything after this package speaks of offsets into `SourceUnit.text`; rows, columns and notebook cells are views made at the
edge (renderers, server). `text` and `display` always have the same length and line breaks, so that one offset is valid in both.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

# The three line breaks of Python, `ast` and LibCST. Not `str.splitlines`, which also breaks at form feeds, U+2028 and others.
LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Position:
    """A place as people count: row and column from 1; in a notebook, the row inside the cell and the cell's number."""

    row: int
    column: int
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell: `number` counts from 1 over all cells, Markdown too; [start, end) are offsets into the unit's text."""

    number: int
    start: int
    end: int
    execution_count: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read or analysed, and where. `code` is a short stable word such as `encoding`."""

    path: str
    row: int
    column: int
    message: str
    cell: int | None = None
    code: str = ""

    @property
    def place(self) -> str:
        """`path:row:column`, or `path:cell n:row:column` in a notebook."""
        cell = "" if self.cell is None else f"cell {self.cell}:"
        return f"{self.path}:{cell}{self.row}:{self.column}"

    def __str__(self) -> str:
        return f"{self.place}: error: {self.message}"


@dataclass(frozen=True, eq=False)
class SourceUnit:
    """One Python program as it will be analysed: a file, the code cells of a notebook joined, or an editor's buffer.

    path: as shown to users. text: Python to analyse; in notebooks magics are masked and broken cells blanked. display: the same
    length and line breaks, but as the author wrote it. skipped: why nothing is analysed, else empty; a skipped unit without
    problems is one that is rightly left alone (an R notebook). digest: hash of the content that was read.
    removed: line index from 0 -> characters cut from the start of that line (form feeds, the common indentation of a cell,
    `%time `): `position`, `offset_of` and `line` count them, so that places are those of the file.
    """

    path: str
    text: str
    kind: str = "python"
    cells: tuple[Cell, ...] = ()
    problems: tuple[Problem, ...] = ()
    skipped: str = ""
    display: str = ""
    digest: str = ""
    removed: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in LINE_BREAK.finditer(self.text))]

    @cached_property
    def _cell_starts(self) -> list[int]:
        return [cell.start for cell in self.cells]

    def line_index(self, offset: int) -> int:
        """Index from 0 of the line of `text` that holds this offset."""
        return bisect_right(self._starts, min(max(offset, 0), len(self.text))) - 1

    def line_start(self, offset: int) -> int:
        """Offset of the start of the line that holds this offset."""
        return self._starts[self.line_index(offset)]

    def cell_at(self, offset: int) -> Cell | None:
        """The cell that holds this offset; None in a plain file. The line break between two cells belongs to the first."""
        index = bisect_right(self._cell_starts, max(offset, 0)) - 1
        return self.cells[max(index, 0)] if self.cells else None

    def position(self, offset: int) -> Position:
        """Row, column and cell of an offset; offsets outside the text are taken to its nearest end."""
        offset = min(max(offset, 0), len(self.text))
        line = self.line_index(offset)
        column = offset - self._starts[line] + len(self.removed.get(line, "")) + 1
        cell = self.cell_at(offset)
        if cell is None:
            return Position(line + 1, column)
        return Position(line - self.line_index(cell.start) + 1, column, cell.number)

    def offset_of(self, row: int, column: int, cell: int | None = None) -> int:
        """Offset of a place; rows and columns outside the text, the cell or the line are taken to the nearest end.

        Raises ValueError for a cell that the unit does not have.
        """
        lowest, highest = 0, len(self._starts) - 1
        if cell is not None:
            found = next((c for c in self.cells if c.number == cell), None)
            if found is None:
                raise ValueError(f"{self.path} has no code cell {cell}")
            lowest, highest = self.line_index(found.start), self.line_index(found.end)
        line = min(max(lowest + row - 1, lowest), highest)
        width = len(self._line_text(self.text, line))
        return self._starts[line] + min(max(column - 1 - len(self.removed.get(line, "")), 0), width)

    def offset_of_bytes(self, line: int, column: int) -> int:
        """Offset for what `ast` says: line from 1 in `text`, column from 0 in UTF-8 bytes."""
        index = min(max(line - 1, 0), len(self._starts) - 1)
        before = self._line_text(self.text, index).encode("utf-8", "surrogatepass")[: max(column, 0)]
        return self._starts[index] + len(before.decode("utf-8", "ignore"))

    def line(self, offset: int) -> str:
        """The line that holds this offset, as the author wrote it and without its line break."""
        index = self.line_index(offset)
        return self.removed.get(index, "") + self._line_text(self.display, index)

    def _line_text(self, text: str, index: int) -> str:
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else len(text)
        return text[start:end].rstrip("\r\n")
