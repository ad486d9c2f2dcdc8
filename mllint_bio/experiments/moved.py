"""Where a line of a program stands in its edited text, and a run's guide moved along, so that marks and limits stay in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import SequenceMatcher

from mllint_bio.observe.job import Guide
from mllint_bio.observe.log import Line


class Moved:
    """Lines of edited files. texts: path -> (text before, text after)."""

    def __init__(self, texts: Mapping[str, tuple[str, str]]) -> None:
        self._lines = {path: _new_lines(before.splitlines(), after.splitlines()) for path, (before, after) in texts.items()}

    def __call__(self, line: Line) -> Line | None:
        """The line in the edited program; None if it is no longer there."""
        path, number = line
        lines = self._lines.get(path)
        if lines is None:
            return line
        moved = lines.get(number)
        return None if moved is None else (path, moved)

    def guide(self, guide: Guide) -> Guide:
        """Marks and loops of the edited program. A mark keeps its number: one whose line is gone keeps its old place."""
        return replace(
            guide,
            marks=tuple(self(line) or line for line in guide.marks),
            epochs=tuple(line for old in guide.epochs if (line := self(old)) is not None),
            batches=tuple(line for old in guide.batches if (line := self(old)) is not None),
        )


def _new_lines(before: list[str], after: list[str]) -> dict[int, int]:
    """Old line number -> new one, for lines that stayed, were rewritten in their place, or stand elsewhere now."""
    found: dict[int, int] = {}
    gone: list[int] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal" or (kind == "replace" and i2 - i1 == j2 - j1):
            found |= {i1 + k + 1: j1 + k + 1 for k in range(i2 - i1)}
        else:
            gone += range(i1, i2)
    taken = set(found.values())
    for old in gone:
        same = [j + 1 for j, text in enumerate(after) if text.strip() and text == before[old] and j + 1 not in taken]
        near = same or [
            j + 1
            for j, text in enumerate(after)
            if j + 1 not in taken and before[old].strip() and SequenceMatcher(None, before[old], text).ratio() > 0.8
        ]
        if near:
            found[old + 1] = near[0]
            taken.add(near[0])
    return found
