"""Comparison of a predicted trace with what a run observed.

Three questions: which observed events were predicted at the right line; which predicted events happened (of those whose
statement was executed); and whether every pair "rows of this fit, rows of that score" is judged alike, unknown being allowed and
counted. Events are counted once per kind and line, pairs once per pair of lines, so that a loop does not outweigh the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mllint_bio.events import Data, Event, Fit, Score, Site
from mllint_bio.observe.log import Line, Log, Record
from mllint_bio.observe.observed import Span, observable, observe
from mllint_bio.rows import UNKNOWN, Answer, Rows
from mllint_bio.trace import Trace

KINDS = ("Seed", "Split", "Fit", "Predict", "Score")


@dataclass
class Fidelity:
    """Counts of one program or of many.

    observed, predicted: by kind, (hits, all): observed events that were predicted, predicted ones that happened; pairs: by
    outcome (agree, unknown, contradicted); missed, invented, contradicted: where, for people.
    """

    observed: Counter[tuple[str, bool]] = field(default_factory=Counter)
    predicted: Counter[tuple[str, bool]] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)

    def add(self, other: Fidelity) -> None:
        """Take over the counts of another program."""
        self.observed.update(other.observed)
        self.predicted.update(other.predicted)
        self.pairs.update(other.pairs)
        self.missed += other.missed
        self.invented += other.invented
        self.contradicted += other.contradicted


def compare(log: Log, predicted: Trace, spans: dict[Site, Span], *, finished: bool) -> Fidelity:
    """Compare one run with the prediction."""
    result = Fidelity()
    places: dict[str, list[tuple[Span, Event]]] = {kind: [] for kind in KINDS}
    for event in predicted.events:
        kind = type(event).__name__
        if kind in places and event.at in spans:
            places[kind].append((spans[event.at], event))
    seen: dict[tuple[str, Line], Record] = {}
    for record in log.records:
        if record.kind in KINDS and record.line[0] and _counted(record):
            seen.setdefault((record.kind, record.line), record)
    for (kind, line), record in seen.items():
        hit = any(span.holds(line) for span, _ in places[kind])
        result.observed[kind, hit] += 1
        if not hit:
            result.missed.append(f"{line[0]}:{line[1]} {kind} {record.api}")
    done = observe(log, predicted, spans, finished=finished)
    told: set[tuple[str, Span]] = set()
    for kind, predictions in places.items():
        for span, event in predictions:
            executed = any(path == span.path and span.statement <= row <= span.last for path, row in done.lines)
            if not executed or not observable(event) or (kind, span) in told:
                continue
            told.add((kind, span))
            hit = any(other == kind and span.holds(line) for other, line in seen)
            result.predicted[kind, hit] += 1
            if not hit:
                result.invented.append(f"{span.path}:{span.first} {kind} {getattr(getattr(event, 'subject', None), 'api', '')}")
    _pairs(result, done.trace, predicted, done.predicted_of, spans)
    return result


def _counted(record: Record) -> bool:
    """Whether the static side speaks of this kind of event: losses and steps of networks are told apart elsewhere."""
    return record.fields.get("family") != "loss" and record.fields.get("method") != "step"


def _pairs(result: Fidelity, observed: Trace, predicted: Trace, origin: dict[int, int], spans: dict[Site, Span]) -> None:
    latest: dict[Site, Fit] = {}
    told: dict[tuple[Site, Site], set[str]] = {}
    for event in observed.events:
        if isinstance(event, Fit) and event.id in origin:
            latest[event.at] = event
        if not isinstance(event, Score) or event.id not in origin or event.family == "loss" or event.cross_validated:
            continue  # the figure of all folds is of no one fit
        theirs = predicted.events[origin[event.id]]
        for fit in latest.values():
            mine = predicted.events[origin[fit.id]]
            if not isinstance(mine, Fit) or not isinstance(theirs, Score):
                continue
            real = _relation(fit.data, event.data)
            said = _relation(mine.data, theirs.data)
            if real is UNKNOWN:
                outcome = "not measured"
            elif said is UNKNOWN:
                outcome = "unknown"
            else:
                outcome = "agree" if real is said else "contradicted"
            told.setdefault((fit.at, event.at), set()).add(outcome)
    for (fit_at, score_at), outcomes in told.items():
        worst = next(one for one in ("contradicted", "unknown", "agree", "not measured") if one in outcomes)
        result.pairs[worst] += 1
        if worst == "contradicted":
            result.contradicted.append(f"{spans[fit_at].path}:{spans[fit_at].first} fit, line {spans[score_at].first} score")


def _relation(one: Data, other: Data) -> Answer:
    mine: Rows = one.rows
    return mine.overlap(other.rows)


def table(programs: Iterable[tuple[str, Fidelity]]) -> str:
    """The sums as a table for people."""
    total = Fidelity()
    count = 0
    for _, one in programs:
        total.add(one)
        count += 1
    lines = [
        f"{count} programs",
        f"{'event':<10}{'observed':>10}{'predicted':>11}{'share':>8}   {'foretold':>9}{'happened':>10}{'share':>8}",
    ]
    sums = [0, 0, 0, 0]
    for kind in KINDS:
        hit, missed = total.observed[kind, True], total.observed[kind, False]
        happened, invented = total.predicted[kind, True], total.predicted[kind, False]
        numbers = [hit + missed, hit, happened + invented, happened]
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        lines.append(_line(kind, numbers))
    lines.append(_line("all", sums))
    pairs = total.pairs
    known = sum(pairs.values())
    measured = known - pairs["not measured"]
    lines.append(
        f"row relations of fit and score: {known} pairs, {measured} measured; of these {pairs['agree']} judged alike, "
        f"{pairs['unknown']} unknown to the prediction, {pairs['contradicted']} contradicted "
        f"({_share(measured - pairs['contradicted'], measured)} not contradicted)"
    )
    return "\n".join(lines) + "\n"


def _line(kind: str, numbers: list[int]) -> str:
    seen, hit, foretold, happened = numbers
    return f"{kind:<10}{seen:>10}{hit:>11}{_share(hit, seen):>8}   {foretold:>9}{happened:>10}{_share(happened, foretold):>8}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
