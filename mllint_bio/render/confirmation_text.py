"""What `confirm` concluded, for people at a terminal: verdicts with their figures, then the experiments, then what was refused.

    CONFIRMED MLB706 [warning] train.py:5:5: StandardScaler learns from rows that are scored at line 9
      |
    5 | X = scaler.fit_transform(X)
      |     ^^^^^^^^^^^^^^^^^^^^^^^
      |
      = measured: StandardScaler.fit saw 569 rows, 114 of them are the rows scored at line 9
      = effect: with the fix the accuracy is 0.956 instead of 0.974
      = MLB706 transform-fitted-before-split: https://...

Built from (text, style) pieces as in `mllint_bio.render.text`.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mllint_bio.experiments.results import Confirmation, Judgement, Result, Table, Verdict
from mllint_bio.render.plain import excerpt, one_line
from mllint_bio.render.plots import number
from mllint_bio.render.text import STYLES, Line, excerpts, page, painted, remark

if TYPE_CHECKING:
    from mllint_bio.sources import SourceUnit

VERDICTS = {
    Verdict.CONFIRMED: "bold red",
    Verdict.REFUTED: "bold green",
    Verdict.NOT_REACHED: "dim",
    Verdict.OBSERVED: "bold magenta",
}
FAULTS = (Verdict.CONFIRMED, Verdict.OBSERVED)
WIDTH = 110  # of running text
CELL = 48  # widest cell of a table
# What people ask about first; the other formats name every package.
MAIN = frozenset({"python", "device", "machine", "torch", "cuda", "scikit-learn", "numpy", "pandas", "lightning", "transformers"})
SEEN = {True: "held out", False: "seen in training", None: "not known"}


def confirmation_text(
    confirmation: Confirmation, units: Mapping[str, SourceUnit] | None = None, *, colour: bool = False, quiet: bool = False
) -> str:
    """The whole report. units: sources for the excerpts (none without them); quiet: verdicts only."""
    lines = [line for judgement in confirmation.judgements for line in _judgement(judgement, units)]
    if not quiet:
        lines = [*_run(confirmation), *lines, *_rest(confirmation), [(closing(confirmation), "bold")]]
    return painted(lines) if colour else "".join("".join(piece for piece, _ in line) + "\n" for line in lines)


def closing(confirmation: Confirmation) -> str:
    """The last line: verdicts, runs of the program and their time."""
    counts = Counter(judgement.verdict for judgement in confirmation.judgements)
    said = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)
    runs = 1 + sum(result.runs for result in confirmation.results)
    seconds = confirmation.seconds + sum(result.seconds for result in confirmation.results)
    return f"{said}; {runs} run{'' if runs == 1 else 's'}, {duration(seconds)}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if not math.isfinite(seconds) or seconds < 0:
        return "unknown time"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def how_it_ended(confirmation: Confirmation) -> str:
    """How the first run ended, in one sentence."""
    reason = f": {one_line(confirmation.reason)}" if confirmation.reason else ""
    return f"Run: {confirmation.status} after {duration(confirmation.seconds)}{reason}"


def verdict_line(judgement: Judgement) -> tuple[str, str]:
    """The word for what a figure is, and the figure: a measurement, or the reason why there is none."""
    return ("reason" if judgement.verdict is Verdict.NOT_REACHED else "measured", judgement.figure)


def multiplicity(confirmation: Confirmation) -> str:
    """What a reader of several confidence intervals must know; empty if there are none."""
    count = confirmation.intervals
    if not count:
        return ""
    return (
        f"{count} confidence interval{'' if count == 1 else 's'} computed, none corrected for their number: "
        "of 20 independent ones at 95 %, one is expected to miss its true value."
    )


def cell(value: str | float | int | None) -> str:
    """A cell of a table on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, (int, float)) else one_line(str(value))


def _run(confirmation: Confirmation) -> Iterator[Line]:
    yield [("confirm ", "dim"), (one_line(confirmation.command), "bold")]
    yield [(how_it_ended(confirmation), "" if confirmation.status == "finished" else "yellow")]
    if main := {key: value for key, value in confirmation.environment.items() if key.lower() in MAIN}:
        yield [(", ".join(one_line(f"{key} {value}".strip()) for key, value in main.items()), "dim")]
    yield []


def _judgement(judgement: Judgement, units: Mapping[str, SourceUnit] | None) -> Iterator[Line]:
    finding = judgement.finding
    style = VERDICTS[judgement.verdict]
    link = f" link {finding.url}" if finding.url else ""
    yield [
        (judgement.verdict.value.upper(), style),
        (" ", ""),
        (finding.label, STYLES[finding.severity] + link),
        (f" [{finding.severity.label}]", STYLES[finding.severity]),
        (" ", ""),
        (one_line(str(finding.place)), "bold"),
        (f": {one_line(finding.message)}", ""),
    ]
    if units is not None and judgement.verdict in FAULTS:
        yield from excerpts(finding, units, STYLES[finding.severity])
    yield from told(judgement)
    yield page(finding)
    yield []


def told(judgement: Judgement) -> Iterator[Line]:
    """The figure and the effect, as lines below a finding."""
    word, said = verdict_line(judgement)
    if said:
        yield remark(judgement.finding, word, said)
    if judgement.effect:
        yield remark(judgement.finding, "effect", judgement.effect)


def _rest(confirmation: Confirmation) -> Iterator[Line]:
    if confirmation.scores:
        rows = tuple((metric, value, place, SEEN[held_out]) for metric, value, place, held_out in confirmation.scores)
        yield from _table(Table("Scores of the run", ("metric", "value", "place", "rows"), rows), "")
    done = [result for result in confirmation.results if result.status == "done"]
    for result in done:
        yield from _result(result)
    others = [result for result in confirmation.results if result.status != "done"]
    if others:
        yield [("Experiments without a result", "bold")]
        for result in others:
            about = f" ({_about(result)})" if _about(result) else ""
            yield from _wrapped(f"{result.title}{about}: {result.status}, {result.reason or 'no reason given'}", "  ")
        yield []
    if confirmation.refusals:
        yield [("Refused by the sandbox", "bold yellow")]
        for refusal in confirmation.refusals:
            yield from _wrapped(refusal, "  ")
        yield []
    notes = [note for note in (*confirmation.notes, multiplicity(confirmation)) if note]
    if notes:
        yield [("Notes", "bold")]
        for note in notes:
            yield from _wrapped(note, "  ")
        yield []


def _about(result: Result) -> str:
    """The finding that an experiment is about, if it is about one."""
    return " ".join(part for part in (result.code, result.place) if part)


def _result(result: Result) -> Iterator[Line]:
    about = _about(result)
    cost = f"{result.runs} run{'' if result.runs == 1 else 's'}, " if result.runs else ""
    yield [
        (one_line(result.title), "bold"),
        (f" ({one_line(about)})" if about else "", ""),
        (f"  {cost}{duration(result.seconds)}", "dim"),
    ]
    yield from _wrapped(result.verdict)
    for table in result.tables:
        yield from _table(table, "  ")
    if not result.tables:
        yield []


def _wrapped(text: str, hanging: str = "") -> Iterator[Line]:
    """Running text, indented; from the second line on by `hanging` more."""
    lines = textwrap.wrap(one_line(text), WIDTH, break_long_words=False, break_on_hyphens=False)
    for n, line in enumerate(lines):
        yield [("  " + (hanging if n else "") + line, "")]


def _table(table: Table, indent: str) -> Iterator[Line]:
    """A table with its numbers at the right; long cells are cut."""
    cells = [[_fitting(cell(value)) for value in row] for row in table.rows]
    header = [_fitting(one_line(name)) for name in table.header]
    columns = range(max([len(header), *map(len, cells)]))
    right = {
        c
        for c in columns
        if any(row[c : c + 1] for row in table.rows)
        and all(isinstance(row[c], (int, float, type(None))) for row in table.rows if c < len(row))
    }
    widths = [max((_width(row[c]) for row in [header, *cells] if c < len(row)), default=0) for c in columns]

    def line(row: list[str]) -> str:
        parts = []
        for c in columns:
            text = row[c] if c < len(row) else ""
            blank = " " * (widths[c] - _width(text))
            parts.append(blank + text if c in right else text + blank)
        return (indent + "  ".join(parts)).rstrip()

    if table.title:
        yield [(indent + one_line(table.title), "bold")]
    if any(header):
        yield [(line(header), "dim")]
    for row in cells:
        yield [(line(row), "")]
    yield []


def _width(text: str) -> int:
    return excerpt(text)[1][-1]


def _fitting(text: str) -> str:
    return text if len(text) <= CELL else text[: CELL // 2] + "…" + text[-(CELL - CELL // 2 - 1) :]
