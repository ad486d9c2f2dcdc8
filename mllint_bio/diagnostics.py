"""Diagnostics: findings at the edge, with files, cells, rows and columns that a person or an editor can use.

Everything after the rules (suppression, cache, renderers, server) works on these records and knows neither syntax trees nor
rules. A warm run reads them from the cache and imports nothing heavier than this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mllint_bio.findings import Applicability, Confidence, Edit, Severity

if TYPE_CHECKING:
    from mllint_bio.sources import Problem, SourceUnit

UNUSED_SUPPRESSION = "MLX001"
INTERNAL_ERROR = "MLX002"

DOCS = "https://mllint-bio.readthedocs.io/en/latest/rules/"


@dataclass(frozen=True, slots=True)
class EngineCode:
    """A diagnostic of the engine itself, as against one of a rule; selected like a rule without tip."""

    code: str
    name: str
    severity: Severity
    page: str
    tip: int = 0
    status: str = "on"
    variants: tuple[str, ...] = ()
    preview_variants: frozenset[str] = frozenset()


_UNUSED_PAGE = """A suppression comment hides nothing.

## What it does
Reports `# mllint-bio: ignore[CODE]` and `ignore-file[CODE]` comments that hide no finding. Only codes whose rules ran are
judged: a comment for a rule that was not selected is left alone.

## Why it is bad
A stale comment would hide the next, real fault on the same statement.

## Use instead
Remove the comment, or the code that is no longer needed from its list."""

_INTERNAL_PAGE = """A rule failed on this file: a fault of mllint-bio or of a plugin, not of the code that was checked.

## What it does
Says which rule failed on which file. The other rules and files are checked as usual, and the exit status is 2.

## Use instead
Report it with the output of `mllint-bio check --verbose`, which adds the traceback.
Until it is mended, `--ignore` the rule."""

ENGINE_CODES = {
    code.code: code
    for code in (
        EngineCode(UNUSED_SUPPRESSION, "unused-suppression", Severity.INFO, _UNUSED_PAGE),
        EngineCode(INTERNAL_ERROR, "internal-error", Severity.ERROR, _INTERNAL_PAGE),
    )
}


@dataclass(frozen=True, slots=True)
class Place:
    """A span of a source unit. Rows and columns are 1-based, counted inside the cell for notebooks; the end is exclusive.

    start and end are offsets into the unit's text (for edits and for editors that count in other units).
    """

    path: str
    cell: int | None
    row: int
    column: int
    end_row: int
    end_column: int
    start: int
    end: int

    def __str__(self) -> str:
        cell = "" if self.cell is None else f"cell {self.cell}:"
        return f"{self.path}:{cell}{self.row}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding at its place: what every renderer, the server and the cache work on."""

    code: str
    name: str
    severity: Severity
    confidence: Confidence
    message: str
    place: Place
    evidence: tuple[tuple[str, Place], ...] = ()
    variant: str = ""
    remedy: str = ""
    url: str = ""
    edits: tuple[Edit, ...] = ()

    @property
    def label(self) -> str:
        """The code as people select it: `MLB717`, or `MLB717[windows]` for a variant."""
        return f"{self.code}[{self.variant}]" if self.variant else self.code


class Units(Mapping[str, "SourceUnit"]):
    """Source units by shown path; one that is not at hand is read when a renderer asks for its lines."""

    def __init__(self, known: Mapping[str, SourceUnit] | None = None) -> None:
        self._known = dict(known or {})

    def __getitem__(self, path: str) -> SourceUnit:
        unit = self._known.get(path)
        if unit is None:
            from mllint_bio import sources

            unit = self._known[path] = sources.load(Path(path), path)
        return unit

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


@dataclass(frozen=True)
class Report:
    """Outcome of one check.

    checked: number of files that were analysed; skipped: (path, reason) of files that were not; suppressed: number of
    findings hidden by comments; failed: paths that could not be read or analysed at all; visited: other files that were read.
    """

    diagnostics: tuple[Diagnostic, ...] = ()
    problems: tuple[Problem, ...] = ()
    checked: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    suppressed: int = 0
    failed: frozenset[str] = frozenset()
    visited: frozenset[str] = frozenset()
    units: Mapping[str, SourceUnit] = field(default_factory=Units, compare=False)


def rule_url(code: str, name: str) -> str:
    """Address of a rule's page in the documentation."""
    return f"{DOCS}{code.lower()}-{name}.html"


def to_record(diagnostic: Diagnostic) -> dict[str, Any]:
    """A diagnostic as plain JSON values, for the cache (the public JSON format is `mllint_bio.render.json`)."""
    return {
        "code": diagnostic.code,
        "name": diagnostic.name,
        "severity": int(diagnostic.severity),
        "confidence": int(diagnostic.confidence),
        "message": diagnostic.message,
        "place": _place_record(diagnostic.place),
        "evidence": [[text, _place_record(place)] for text, place in diagnostic.evidence],
        "variant": diagnostic.variant,
        "remedy": diagnostic.remedy,
        "url": diagnostic.url,
        "edits": [[e.path, e.start, e.end, e.text, e.applicability.value] for e in diagnostic.edits],
    }


def from_record(record: Mapping[str, Any]) -> Diagnostic:
    """The diagnostic that `to_record` wrote. Raises KeyError, TypeError or ValueError for a damaged record."""
    return Diagnostic(
        code=record["code"],
        name=record["name"],
        severity=Severity(record["severity"]),
        confidence=Confidence(record["confidence"]),
        message=record["message"],
        place=Place(*record["place"]),
        evidence=tuple((text, Place(*place)) for text, place in record["evidence"]),
        variant=record["variant"],
        remedy=record["remedy"],
        url=record["url"],
        edits=tuple(Edit(path, start, end, text, Applicability(how)) for path, start, end, text, how in record["edits"]),
    )


def _place_record(place: Place) -> list[Any]:
    return [place.path, place.cell, place.row, place.column, place.end_row, place.end_column, place.start, place.end]
