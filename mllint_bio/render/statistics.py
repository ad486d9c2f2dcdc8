"""Counts by rule, most frequent first."""

from __future__ import annotations

from collections import Counter

from mllint_bio.diagnostics import Report


def statistics(report: Report) -> str:
    """One line a rule: count, code, name and the worst severity found."""
    counts = Counter((d.code, d.name) for d in report.diagnostics)
    worst = {d.code: max(x.severity for x in report.diagnostics if x.code == d.code) for d in report.diagnostics}
    width = len(str(max(counts.values(), default=0)))
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "".join(f"{count:>{width}}  {code}  {name}  [{worst[code].label}]\n" for (code, name), count in rows)
