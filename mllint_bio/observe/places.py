"""From frames to lines of the user's project: the one place that knows what the copy, the original and notebook cells are called.

The child calls `set_project` once; `locate` then serves everything that says where something happened.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType

from mllint_bio.observe.log import Line

# Below the root there may be the environment that runs the program, and mllint-bio itself: no files of the project.
_FOREIGN = tuple(
    os.path.join(os.path.realpath(folder), "")
    for folder in {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.dirname(__file__))}
)

_prefixes: list[str] = []  # the scratch copy first, then the user's own folder (editable installations import from there)
_files: dict[str, str | None] = {}  # file name of a code object -> path relative to the root
_OWN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
_cells: dict[str, tuple[str, int]] = {}  # file name of a compiled cell -> notebook, line of the unit in front of its first line
_notebooks: dict[str, list[tuple[int, int]]] = {}  # notebook -> number of each code cell, lines of the unit in front of it


def set_project(scratch: str, root: str) -> None:
    """Name the two folders that hold the project: its copy and the user's own."""
    _prefixes[:] = [os.path.join(os.path.realpath(scratch), ""), os.path.join(os.path.realpath(root), "")]
    _files.clear()


def add_cell(filename: str, notebook: str, before: int) -> None:
    """Line n of the code compiled as `filename` is line `before + n` of the notebook's unit."""
    _cells[filename] = (notebook, before)


def set_cells(notebook: str, cells: list[tuple[int, int]]) -> None:
    """Say where the code cells of a notebook start: number, and lines of the unit in front of it, in order."""
    _notebooks[notebook] = cells


def shown(place: Line) -> str:
    """A place in words: `train.py:41`, or `analysis.ipynb:cell 3:2` for a line of a cell."""
    path, line = place
    cell = next(((number, before) for number, before in reversed(_notebooks.get(path, [])) if before < line), None)
    return f"{path}:{line}" if cell is None else f"{path}:cell {cell[0]}:{line - cell[1]}"


def relative(filename: str) -> str | None:
    """The file's path relative to the project's root, with forward slashes; None if it is no file of the project."""
    try:
        return _files[filename]
    except KeyError:
        found = _files[filename] = _relative(filename)
        return found


def locate(filename: str, lineno: int) -> Line | None:
    """The place in the user's project of a line of running code; None for libraries, the standard library and mllint-bio."""
    cell = _cells.get(filename)
    if cell is not None:
        return cell[0], cell[1] + lineno
    path = relative(filename)
    return None if path is None else (path, lineno)


def innermost(frame: FrameType | None) -> Line | None:
    """The place of the innermost frame that is the user's, from `frame` outwards."""
    while frame is not None:
        place = locate(frame.f_code.co_filename, frame.f_lineno)
        if place is not None:
            return place
        frame = frame.f_back
    return None


def raised_at(trace: TracebackType | None) -> Line | None:
    """The place of the innermost frame of a traceback that is the user's."""
    found = None
    for frame, lineno in traceback.walk_tb(trace):
        found = locate(frame.f_code.co_filename, lineno) or found
    return found


def own(filename: str) -> str:
    """The scratch copy's path for a file of the user's own folder; any other path as it is."""
    if len(_prefixes) == 2 and filename.startswith(_prefixes[1]) and not filename.startswith(_prefixes[0]):
        return _prefixes[0] + filename[len(_prefixes[1]) :]
    return filename


def prefixes() -> Iterator[str]:
    """Folders whose files belong to the project, each with a separator at its end."""
    yield from _prefixes


def _relative(filename: str) -> str | None:
    if filename.startswith("<"):
        return None
    absolute = os.path.abspath(filename) if os.path.isabs(filename) or os.path.exists(filename) else filename
    if absolute.startswith(_OWN):
        return None  # a project that holds this package itself
    for prefix in _prefixes:
        if absolute.startswith(prefix):
            inside = absolute[len(prefix) :]
            foreign = "site-packages" in inside.split(os.sep) or any(
                absolute.startswith(folder) and len(folder) > len(prefix) for folder in _FOREIGN
            )
            return None if foreign else inside.replace(os.sep, "/")
    return None
