"""Problems: files, cells and settings that could not be read. They go to stderr in every format, one line each."""

from __future__ import annotations

from collections.abc import Iterable

from mllint_bio.render.plain import one_line
from mllint_bio.sources import Problem


def problems(found: Iterable[Problem]) -> str:
    """`path:row:col: error: message`, with `cell N:` before the row for notebooks."""
    return "".join(one_line(_line(p)) + "\n" for p in found)


def _line(problem: Problem) -> str:
    cell = "" if problem.cell is None else f"cell {problem.cell}:"
    return f"{problem.path}:{cell}{problem.row}:{problem.column}: error: {problem.message}"
