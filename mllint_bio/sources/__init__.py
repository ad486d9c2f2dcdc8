"""Sources: which files to read, and their content as `SourceUnit`s.

`load` and `load_text` never raise for what a file contains: a unit carries its problems. What a file is, is decided by its
suffix alone: `.ipynb` is a notebook (and its JSON never reaches the Python parser), everything else is Python.
"""

from __future__ import annotations

from pathlib import Path

from mllint_bio.sources.discovery import Discovery, discover
from mllint_bio.sources.unit import Cell, Position, Problem, SourceUnit

__all__ = ["Cell", "Discovery", "Position", "Problem", "SourceUnit", "discover", "load", "load_text"]


def load(path: Path, shown: str | None = None) -> SourceUnit:
    """Read a file; `shown` is the path for messages (default: as given)."""
    from mllint_bio.sources.notebook import MAX_NOTEBOOK_BYTES
    from mllint_bio.sources.python_file import MAX_BYTES, Unreadable, read_bytes, shown_path, unreadable_unit

    name = shown_path(path if shown is None else shown)
    notebook = name.endswith(".ipynb")
    try:
        data = read_bytes(path, name, MAX_NOTEBOOK_BYTES if notebook else MAX_BYTES)
    except Unreadable as error:
        return unreadable_unit(name, "notebook" if notebook else "python", error.problem)
    return load_text(data, name)


def load_text(text: str | bytes, path: str) -> SourceUnit:
    """The unit of content that is already in memory: standard input, an editor's buffer. `path` names it and says what it is."""
    if path.endswith(".ipynb"):
        from mllint_bio.sources.notebook import notebook_unit

        return notebook_unit(text, path)
    from mllint_bio.sources.python_file import python_unit

    return python_unit(text, path)
