"""What a remedy is, and how text edits are applied to source units."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mllint_bio.findings import Edit
from mllint_bio.sources import SourceUnit


@dataclass(frozen=True, slots=True)
class Remedy:
    """How one finding is mended.

    summary: one line in words; edits: text edits of one or more units; rerun: what a comparison of the program with its mended
    twin shows: `repeat` (the mended one gives the same figures on every run), `paired` (the figures on the same held-out
    rows change), `unpaired` (the held-out rows themselves are others).
    """

    code: str
    summary: str
    edits: tuple[Edit, ...]
    rerun: str


class Applied(dict[str, str]):
    """New text by path. dropped: edits that overlap an earlier one and were left out; refused: path -> why it was not edited."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped: list[Edit] = []
        self.refused: dict[str, str] = {}


def apply(units: Mapping[str, SourceUnit], edits: Iterable[Edit]) -> Applied:
    """The units' texts (of a notebook: its joined code cells) with the edits made; nothing is written.

    Edits are sorted; one that overlaps an earlier one is dropped. A file whose edited text does not parse, an edit outside its
    unit or one that crosses notebook cells is refused: that file keeps its text and is not in the result.
    """
    done = Applied()
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    for path, own in by_path.items():
        unit = units.get(path)
        reason = "there is no such source" if unit is None else next((r for e in own if (r := _unfit(unit, e))), "")
        if unit is None or reason:
            done.refused[path] = reason
            continue
        kept = _without_overlap(own, done.dropped)
        text = _edited(unit.text, kept)
        if fault := _fault(text):
            done.refused[path] = f"the edited program is not valid Python: {fault}"
        else:
            done[path] = text
    return done


def apply_to_notebook(content: str, unit: SourceUnit, edits: Iterable[Edit]) -> str:
    """The JSON of a notebook with the edits made in the sources of its code cells; outputs and metadata stay.

    content: the JSON that `unit` was read from. Raises ValueError if the edits cannot be applied or the JSON is another
    notebook's.
    """
    own = [edit for edit in edits if edit.path == unit.path]
    applied = apply({unit.path: unit}, own)
    if applied.refused:
        raise ValueError(applied.refused[unit.path])
    notebook: Any = json.loads(content)
    sheets = [notebook] if "cells" in notebook else notebook.get("worksheets", [])
    cells = [cell for sheet in sheets for cell in sheet["cells"]]
    kept = _without_overlap(own, [])
    for cell in unit.cells:
        inside = [edit for edit in kept if unit.cell_at(edit.start) is cell]
        if not inside:
            continue
        source = cells[cell.number - 1]
        field = "source" if "source" in source else "input"
        written = source[field] if isinstance(source[field], str) else "".join(source[field])
        if written != unit.display[cell.start : cell.end]:
            raise ValueError(f"cell {cell.number} holds what cannot be edited (indented as a whole, or with control characters)")
        text = _edited(written, [Edit(e.path, e.start - cell.start, e.end - cell.start, e.text) for e in inside])
        source[field] = text if isinstance(source[field], str) else text.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _unfit(unit: SourceUnit, edit: Edit) -> str:
    """Why an edit cannot be made, empty if it can."""
    if not 0 <= edit.start <= edit.end <= len(unit.text):
        return "an edit lies outside the text"
    if unit.cells:
        cell = unit.cell_at(edit.start)
        if cell is None or not cell.start <= edit.start <= edit.end <= cell.end:
            return "an edit crosses the border of a notebook cell"
    if unit.text[edit.start : edit.end] != unit.display[edit.start : edit.end]:
        return "an edit would change an IPython magic"
    return ""


def _without_overlap(edits: list[Edit], dropped: list[Edit]) -> list[Edit]:
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        if kept and edit != kept[-1] and edit.start < kept[-1].end:
            dropped.append(edit)
        elif not kept or edit != kept[-1]:  # two remedies may need one import
            kept.append(edit)
    return kept


def _edited(text: str, edits: Iterable[Edit]) -> str:
    pieces: list[str] = []
    at = 0
    for edit in edits:
        pieces += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*pieces, text[at:]])


def _fault(text: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__
    return ""
