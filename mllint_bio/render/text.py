"""The text format, for people: the finding, the source with the span underlined, the evidence, the remedy, a count at the end.

    train.py:5:5: MLB706 [warning] StandardScaler learns from rows that are scored at line 9
      |
    5 | X = scaler.fit_transform(X)
      |     ^^^^^^^^^^^^^^^^^^^^^^^
    6 | X_train, X_test = train_test_split(X)
      |                   ------------------- split here
      |
      = help: fit the scaler on the training rows only
      = MLB706 transform-fitted-before-split: https://...

Lines are built as (text, style) pieces. Plain output joins the texts; colour hands the same pieces to rich, which is imported
only then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from mllint_bio.diagnostics import Diagnostic, Place, Report
from mllint_bio.findings import Severity
from mllint_bio.render.plain import excerpt, one_line

if TYPE_CHECKING:
    from mllint_bio.sources import SourceUnit

Piece = tuple[str, str]
Line = list[Piece]
Remark = tuple[str, str, str]  # a word, what is said, the style of the word

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold cyan"}
MAX_LINES = 5  # lines of one span that are shown; the rest is an ellipsis


def text(report: Report, *, colour: bool = False, remarks: Mapping[Diagnostic, Remark] | None = None) -> str:
    """All findings with excerpts; with ANSI colours and links if `colour`. remarks: what else is known of a finding."""
    known = remarks or {}
    lines = [line for diagnostic in report.diagnostics for line in _finding(diagnostic, report, known.get(diagnostic))]
    return painted(lines) if colour else "".join("".join(piece for piece, _ in line) + "\n" for line in lines)


def summary(report: Report) -> str:
    """The closing lines: what was found, in how many files, and what was not read."""
    counts = Counter(d.severity for d in report.diagnostics)
    parts = [_many(counts[s], s.label) for s in sorted(Severity, reverse=True) if counts[s]]
    found = "Found " + ", ".join(parts) if parts else "Nothing found"
    lines = [
        f"{found} in {_many(report.checked, 'checked file')}"
        + (f" ({report.suppressed} suppressed)" if report.suppressed else "")
        + "."
    ]
    if report.failed:
        lines.append(f"{_many(len(report.failed), 'file')} could not be checked.")
    if report.skipped:
        reasons = Counter(reason for _, reason in report.skipped)
        lines.append(
            f"{_many(len(report.skipped), 'file')} skipped: "
            + "; ".join(f"{reason} ({n})" for reason, n in sorted(reasons.items()))
            + "."
        )
    return "".join(one_line(line) + "\n" for line in lines)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 or noun == "info" else "s")


def _finding(diagnostic: Diagnostic, report: Report, said: Remark | None) -> Iterator[Line]:
    style = STYLES[diagnostic.severity]
    link = f" link {diagnostic.url}" if diagnostic.url else ""
    yield [
        (one_line(str(diagnostic.place)), "bold"),
        (": ", ""),
        (diagnostic.label, style + link),
        (f" [{diagnostic.severity.label}]", style),
        (f" {one_line(diagnostic.message)}", ""),
    ]
    yield from excerpts(diagnostic, report.units, style)
    if said is not None:
        yield remark(diagnostic, *said)
    if diagnostic.remedy:
        yield remark(diagnostic, "help", diagnostic.remedy)
    yield page(diagnostic)
    yield []


def excerpts(diagnostic: Diagnostic, units: Mapping[str, SourceUnit], style: str) -> Iterator[Line]:
    """The source lines of a finding and of its evidence, underlined."""
    own = "; ".join(label for label, place in diagnostic.evidence if place == diagnostic.place)
    others = [(place, "-", "blue", label) for label, place in diagnostic.evidence if place != diagnostic.place]
    marks = [(diagnostic.place, "^", style, own), *others]
    gutter = _gutter(diagnostic)
    yield _bar(gutter)
    for number, (_, group) in enumerate(groupby(marks, key=lambda mark: (mark[0].path, mark[0].cell))):
        places = list(group)
        if number:
            yield [(" " * gutter + " ::: ", "blue"), (one_line(str(places[0][0])), "")]
        for place, mark, colour, label in places:
            yield from _excerpt(units, place, mark, colour, one_line(label), gutter)
    yield _bar(gutter)


def remark(diagnostic: Diagnostic, word: str, said: str, style: str = "bold") -> Line:
    """A line below the excerpts of a finding: `= word: said`."""
    return [(" " * _gutter(diagnostic) + " = ", "blue"), (word, style), (f": {one_line(said)}", "")]


def page(diagnostic: Diagnostic) -> Line:
    """The last line of a finding: its rule and where that is explained."""
    sure = "" if diagnostic.confidence.label == "certain" else f" ({diagnostic.confidence.label})"
    return [
        (" " * _gutter(diagnostic) + " = ", "blue"),
        (f"{diagnostic.code} {diagnostic.name}{sure}" + (f": {diagnostic.url}" if diagnostic.url else ""), "dim"),
    ]


def _gutter(diagnostic: Diagnostic) -> int:
    return max(len(str(place.end_row)) for place in (diagnostic.place, *(place for _, place in diagnostic.evidence)))


def _bar(gutter: int) -> Line:
    return [(" " * gutter + " |", "blue")]


def _excerpt(units: Mapping[str, SourceUnit], place: Place, mark: str, style: str, label: str, gutter: int) -> Iterator[Line]:
    """The lines of a place with the span underlined; a long span is cut after a few lines."""
    unit = units[place.path]
    rows = range(place.row, max(place.row, place.end_row) + 1)
    cut = len(rows) > MAX_LINES
    for row in rows[: MAX_LINES - 1] if cut else rows:
        line = unit.line(unit.offset_of(row, 1, place.cell))
        shown, columns = excerpt(line)
        first = place.column - 1 if row == place.row else len(line) - len(line.lstrip())
        last = place.end_column - 1 if row == place.end_row else len(line.rstrip())
        here, there = (columns[min(max(offset, 0), len(line))] for offset in (first, last))
        final = row == rows[-1]
        yield [(f"{row:>{gutter}} | ", "blue"), (shown.rstrip(), "")]
        if line.strip() or final:
            yield [
                (" " * gutter + " | ", "blue"),
                (" " * here + mark * max(1, there - here), style),
                (f" {label}" if label and final else "", style),
            ]
    if cut:
        yield [(" " * gutter + " | ", "blue"), ("..." + (f" {label}" if label else ""), style)]


def painted(lines: list[Line]) -> str:
    """The same lines with ANSI escapes, through rich."""
    from rich.console import Console
    from rich.text import Text

    console = Console(force_terminal=True, color_system="standard", width=10_000, soft_wrap=True, highlight=False)
    with console.capture() as captured:
        for line in lines:
            console.print(Text.assemble(*((piece, style) for piece, style in line if piece)), end="\n")
    return captured.get()
