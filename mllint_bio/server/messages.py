"""Findings in the words of the language server protocol. Positions become the editor's here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import attrs
from lsprotocol import types
from pygls import uris
from pygls.workspace import PositionCodec

from mllint_bio.diagnostics import Diagnostic, Place
from mllint_bio.findings import Severity
from mllint_bio.server.checker import Answer
from mllint_bio.sources import Problem
from mllint_bio.sources.unit import LINE_BREAK

SOURCE = "mllint-bio"
SEVERITIES = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.INFO: types.DiagnosticSeverity.Information,
}
NO_FAULT = frozenset({"statement", "too-large"})  # problems of correct files that are only too much for the analysis
EXCERPT = 80  # characters of a line that are quoted in a message


class Messages:
    """The diagnostics of one document: its address, path and text, and what the editor can take.

    codec: how the editor counts inside a line; related: whether it shows places besides the diagnostic's own.
    """

    def __init__(self, uri: str, path: str, text: str, codec: PositionCodec, related: bool) -> None:
        self._uri, self._path, self._codec, self._related = uri, path, codec, related
        self._lines = LINE_BREAK.split(text)  # not `str.splitlines`, which breaks at more than the protocol does

    def diagnostics(self, answer: Answer) -> list[types.Diagnostic]:
        """The answer's findings in this document."""
        line = self._reader(answer)
        return [self._finding(one, line) for one in answer.diagnostics if one.place.path == self._path]

    def problems(self, answer: Answer) -> list[types.Diagnostic]:
        """What could not be read in this document: a syntax error, a statement that is too deep."""
        return [self._problem(problem) for problem in answer.problems]

    def _finding(self, one: Diagnostic, line: Callable[[str, int], str]) -> types.Diagnostic:
        parts = [one.message, f"Remedy: {one.remedy}" if one.remedy else ""]
        if not self._related:
            parts += self._quotes(one, line)
        return types.Diagnostic(
            range=self._range(one.place, line),
            message="\n".join(part for part in parts if part),
            severity=SEVERITIES[one.severity],
            code=one.label,
            code_description=types.CodeDescription(href=one.url) if one.url else None,
            source=SOURCE,
            related_information=[
                types.DiagnosticRelatedInformation(
                    location=types.Location(uri=self._address(place.path), range=self._range(place, line)), message=label
                )
                for label, place in one.evidence
            ]
            if self._related
            else None,
        )

    def _quotes(self, one: Diagnostic, line: Callable[[str, int], str]) -> Iterator[str]:
        """The evidence in words. Quoted, as line numbers mean nothing where a notebook's cells come as one text."""
        for label, place in one.evidence:
            if place != one.place:
                where = "" if place.path == self._path else f" ({os.path.basename(place.path)}:{place.row})"
                yield f"- {label}{where}: {line(place.path, place.row).strip()[:EXCERPT]}"

    def _problem(self, problem: Problem) -> types.Diagnostic:
        row = min(problem.row, len(self._lines)) - 1
        text = self._lines[row]
        start = min(problem.column - 1, max(len(text) - 1, 0))
        return types.Diagnostic(
            range=types.Range(self._position(row, start, text), self._position(row, len(text), text)),
            message=problem.message,
            severity=types.DiagnosticSeverity.Information if problem.code in NO_FAULT else types.DiagnosticSeverity.Error,
            code=problem.code or None,
            source=SOURCE,
        )

    def _address(self, path: str) -> str:
        return self._uri if path == self._path else str(uris.from_fs_path(path))

    def _reader(self, answer: Answer) -> Callable[[str, int], str]:
        def line(path: str, row: int) -> str:
            if path == self._path:
                return self._lines[row - 1] if row <= len(self._lines) else ""
            return answer.lines[path, row]

        return line

    def _range(self, place: Place, line: Callable[[str, int], str]) -> types.Range:
        return types.Range(
            self._position(place.row - 1, place.column - 1, line(place.path, place.row)),
            self._position(place.end_row - 1, place.end_column - 1, line(place.path, place.end_row)),
        )

    def _position(self, row: int, column: int, text: str) -> types.Position:
        return types.Position(row, self._codec.client_num_units(text[:column]))


def moved(diagnostics: Sequence[types.Diagnostic], uri: str, before: str, after: str) -> list[types.Diagnostic]:
    """Diagnostics of an earlier text at their lines in a later one; those in the lines that were edited are left out."""
    old, new = LINE_BREAK.split(before), LINE_BREAK.split(after)
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    tail = next((i for i in range(shorter - head) if old[-1 - i] != new[-1 - i]), shorter - head)
    shift = len(new) - len(old)

    def place(range_: types.Range) -> types.Range | None:
        if range_.end.line < head:
            return range_
        if range_.start.line < len(old) - tail:
            return None
        return types.Range(
            types.Position(range_.start.line + shift, range_.start.character),
            types.Position(range_.end.line + shift, range_.end.character),
        )

    kept = []
    for one in diagnostics:
        here = place(one.range)
        if here is not None:
            kept.append(attrs.evolve(one, range=here, related_information=list(_related(one, uri, place)) or None))
    return kept


def _related(
    one: types.Diagnostic, uri: str, place: Callable[[types.Range], types.Range | None]
) -> Iterator[types.DiagnosticRelatedInformation]:
    """The places beside a diagnostic, those in its own document moved."""
    for other in one.related_information or ():
        here = place(other.location.range) if other.location.uri == uri else other.location.range
        if here is not None:
            yield types.DiagnosticRelatedInformation(types.Location(other.location.uri, here), other.message)
