"""The concise format: one line a finding, as compilers print it."""

from __future__ import annotations

from mllint_bio.diagnostics import Report
from mllint_bio.render.plain import one_line


def concise(report: Report) -> str:
    """`path:row:col: CODE [severity] message`, with `cell N:` before the row for notebooks."""
    return "".join(one_line(f"{d.place}: {d.label} [{d.severity.label}] {d.message}") + "\n" for d in report.diagnostics)
