"""The concise format: one line a finding, as compilers print it."""

from __future__ import annotations

from collections.abc import Mapping

from mllint_bio.diagnostics import Diagnostic, Report
from mllint_bio.render.plain import one_line


def concise(report: Report, remarks: Mapping[Diagnostic, tuple[str, str, str]] | None = None) -> str:
    """`path:row:col: CODE [severity] message`, with `cell N:` before the row for notebooks, and the remark on it, if any."""
    known = remarks or {}
    return "".join(_line(d, known.get(d)) + "\n" for d in report.diagnostics)


def _line(d: Diagnostic, remark: tuple[str, str, str] | None) -> str:
    said = f" {remark[0]}: {remark[1]}" if remark else ""
    return one_line(f"{d.place}: {d.label} [{d.severity.label}] {d.message}{said}")
