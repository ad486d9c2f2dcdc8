"""The JSON format: an array of findings. Pure ASCII, so that it survives any terminal encoding."""

from __future__ import annotations

import json as encoder
from collections.abc import Mapping
from typing import Any

from mllint_bio.diagnostics import Diagnostic, Place, Report


def json(report: Report, more: Mapping[Diagnostic, dict[str, Any]] | None = None) -> str:
    """The array; rows and columns are 1-based and, for notebooks, counted inside the cell. The end column is exclusive.

    more: further keys of a finding.
    """
    known = more or {}
    return encoder.dumps([{**finding(d), **known.get(d, {})} for d in report.diagnostics], indent=2) + "\n"


def finding(diagnostic: Diagnostic) -> dict[str, Any]:
    """One finding as plain values."""
    place = diagnostic.place
    return {
        "code": diagnostic.code,
        "name": diagnostic.name,
        "severity": diagnostic.severity.label,
        "confidence": diagnostic.confidence.label,
        "message": diagnostic.message,
        **_where(place),
        "end_location": {"row": place.end_row, "column": place.end_column},
        "evidence": [{"message": text, **_where(at)} for text, at in diagnostic.evidence],
        "fix": _fix(diagnostic),
        "url": diagnostic.url or None,
    }


def _where(place: Place) -> dict[str, Any]:
    return {"filename": place.path, "cell": place.cell, "location": {"row": place.row, "column": place.column}}


def _fix(diagnostic: Diagnostic) -> dict[str, Any] | None:
    """The remedy in words and, where the rule offers them, the edits as offsets into the analysed text."""
    if not diagnostic.remedy and not diagnostic.edits:
        return None
    edits = [
        {"filename": e.path, "start": e.start, "end": e.end, "text": e.text, "applicability": e.applicability.value}
        for e in diagnostic.edits
    ]
    return {"message": diagnostic.remedy, "edits": edits}
