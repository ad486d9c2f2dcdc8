"""From a log to the trace that rules read: measured facts in the frame of the predicted structure.

Rows, modes, draws, seeds and figures are measured. What leaves no call to observe (a comparison of two scores, a hand-written
accuracy, which loop is the one over epochs, what flows through the program's own arithmetic) comes from the predicted trace, as
far as the run executed it: an event of the log takes over the structure of the predicted event at the same place, and predicted
events without a call of their own are kept where their statement was executed. A predicted event that a probe
would have seen and did not see did not happen; it is not in the observed trace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

from mllint_bio import events
from mllint_bio.catalog import LEARNED_KINDS, with_role
from mllint_bio.events import (
    NO_DATA,
    Backward,
    Data,
    Draw,
    Event,
    Fit,
    Learned,
    Loader,
    Loss,
    Mode,
    Predict,
    Prediction,
    Resample,
    Score,
    Seed,
    Select,
    Site,
    Split,
    Step,
    Subject,
    Transform,
    ZeroGrad,
)
from mllint_bio.observe.log import Line, Log, Record, Seen
from mllint_bio.observe.probes.names import HANDLERS
from mllint_bio.rows import UNKNOWN_ROWS, Rows, exact, joined, masks_of, union
from mllint_bio.trace import Trace

# Kinds of events that probes see, if the library is handled; other predicted events are kept where their statement was executed.
PROBED = (
    Seed,
    Draw,
    Fit,
    Transform,
    Predict,
    Step,
    Backward,
    ZeroGrad,
    Mode,
    Loss,
    Loader,
    Split,
    Resample,
    Score,
    Select,
)

REPEATS_KEPT = 3  # times that a repeated structural event is placed in the trace


@dataclass(frozen=True, slots=True)
class Span:
    """Where a site lies: path relative to the project's root, first and last line, and the first line of its statement."""

    path: str
    first: int
    last: int
    statement: int

    def holds(self, line: Line) -> bool:
        """Whether the span covers this line."""
        return self.path == line[0] and self.first <= line[1] <= self.last


@dataclass
class Observed:
    """The observed trace and how it came about.

    record_of: event id -> number of its record; event_of: record number -> event id; predicted_of: event id -> id of the
    predicted event whose structure it has; lines: lines of the user's code that are known to have been executed.
    """

    trace: Trace
    record_of: dict[int, int] = field(default_factory=dict)
    event_of: dict[int, int] = field(default_factory=dict)
    predicted_of: dict[int, int] = field(default_factory=dict)
    lines: set[Line] = field(default_factory=set)


def observe(log: Log, predicted: Trace, spans: Mapping[Site, Span], *, finished: bool) -> Observed:
    """The observed trace of a run.

    predicted: the trace of the same program (empty if nothing could be predicted); spans: of every site in it; finished: the
    run came to its end, so that what is not in the log did not happen.
    """
    return _Builder(log, predicted, spans, finished).build()


def observable(event: Event) -> bool:
    """Whether a probe would see this event, if it happened."""
    if not isinstance(event, PROBED):
        return False
    if isinstance(event, Score):
        return not event.handwritten
    if isinstance(event, Fit) and (event.role == "statistic" or event.subject.api.startswith("statistic.")):
        return False
    if isinstance(event, Split) and event.how not in ("call", "fold", "random"):
        return False
    if isinstance(event, (Draw, Backward, ZeroGrad)):
        return True
    if isinstance(event, Resample):
        return event.api.rsplit(".", 1)[-1] in _resamplers()
    if isinstance(event, (Split, Loss)):
        return event.api.split(".")[0] in HANDLERS or "." not in event.api
    if isinstance(event, Select):
        return event.how.endswith(("SearchCV", "CV"))
    subject = getattr(event, "subject", None)
    return not isinstance(subject, Subject) or subject.api.split(".")[0] in HANDLERS or isinstance(event, (Step, Mode, Predict))


@cache
def _resamplers() -> frozenset[str]:
    """Names of the resampling functions and classes that probes wrap."""
    return frozenset(entry.path.rsplit(".", 1)[-1] for entry in with_role("resampler"))


class _Builder:
    def __init__(self, log: Log, predicted: Trace, spans: Mapping[Site, Span], finished: bool) -> None:
        self._log, self._predicted, self._spans, self._finished = log, predicted, spans, finished
        self._events: list[Event] = []
        self._done = Observed(
            Trace(
                self._events,
                predicted.entry,
                predicted.path,
                predicted.name,
                observed=True,
                resolved=finished,
                test_or_docs=predicted.test_or_docs,
                imports=predicted.imports,
                project_baselines=predicted.project_baselines,
                tested_elsewhere=predicted.tested_elsewhere,
                options=dict(predicted.options),
            )
        )
        self._at: dict[tuple[str, str], list[tuple[Span, Event]]] = defaultdict(list)
        for event in predicted.events:
            span = spans.get(event.at)
            if span is not None:
                self._at[type(event).__name__, span.path].append((span, event))
        self._subjects: dict[int, Subject] = {}
        self._fitted: dict[int, Rows] = {}  # subject number -> rows that it learned from last
        self._symbols: dict[Rows, Rows] = {}  # predicted rows -> the rows that stood for them last
        self._trained: dict[Rows, Rows] = {}  # predicted rows of a training -> the rows that stood for them there last
        self._latest: dict[Site, int] = {}  # site of a predicted event -> the latest event there
        self._paths = {
            span.path: site.path for site, span in spans.items()
        }  # relative to the root -> as the static side shows it
        # Predicted fit -> kind of the fact that it leaves in what is scored.
        self._kinds = {fact.fit: fact.kind for score in predicted.of(Score) for fact in score.inputs}
        self._sources = {number: one.how for number, one in log.sources.items()}
        self._rowsets: dict[int, Rows] = {}
        self._by_hand: set[Rows] = set()  # predicted rows that the program makes without a call of a resampler
        self._copied: dict[int, Rows] = {}  # source of rows that the program made by hand -> the rows that they were made from
        self._kept: dict[int, int] = defaultdict(int)
        self._by_statement: dict[Line, list[Event]] = defaultdict(list)
        self._matched: set[int] = set()  # predicted events that some record is an instance of
        told: set[tuple[type[Event], Site]] = set()
        for event in predicted.events:
            span = spans.get(event.at)
            if span is not None and not observable(event) and (type(event), event.at) not in told:
                told.add((type(event), event.at))  # the rounds of an unrolled loop are one statement
                self._by_statement[span.path, span.statement].append(event)

    def build(self) -> Observed:
        """Go through the log once for what rows stand for what, and once more for the events."""
        matches = [self._match(record) for record in self._log.records]
        self._learn(matches)
        if self._trace_copies():
            self._rowsets.clear()
            self._symbols.clear()
            self._learn(matches)
        for record, match in zip(self._log.records, matches, strict=True):
            self._done.lines.add(record.line)
            self._done.lines.update(record.calls)
            if record.kind == "Mark":
                self._executed(record)
            elif match is not None:
                self._learn_symbols(record, match)
                self._emit(record, match)
            else:
                self._emit(record, None)
        for figure in self._log.figures:
            if figure.get("what") == "mark":
                path, line = figure["line"]
                self._done.lines.add((path, line))
        return self._done

    # -- matching ----------------------------------------------------------------------------------------------------

    def _match(self, record: Record) -> Event | None:
        """The predicted event that this record is an instance of: same kind, same place, best agreement of names and calls."""
        best: tuple[tuple[int, int, int], Event] | None = None
        for span, event in self._at[record.kind, record.line[0]]:
            if not span.holds(record.line):
                continue
            names = self._agreement(record, event)
            if names < 0:
                continue
            called = sum(
                1
                for line, site in zip(record.calls[::-1], event.calls[::-1], strict=False)
                if site in self._spans and self._spans[site].holds(line)
            )
            weight = (names, called, -(span.last - span.first))
            if best is None or weight > best[0]:
                best = weight, event
        return best[1] if best else None

    def _agreement(self, record: Record, event: Event) -> int:
        """How well what was called agrees with what was predicted; negative if they are different things."""
        called = record.api.rsplit(".", 1)[-1]
        match event:
            case Score():
                metric = str(record.fields.get("metric", ""))
                return 2 if metric == event.metric else -1 if event.metric == "loss" or metric == "loss" else 1
            case Draw():
                if record.fields.get("stream") != event.stream:
                    return -1
                return 2 if record.fields.get("what") == event.what else 1
            case Mode():
                return 1 if record.fields.get("mode") == event.mode else -1
            case Fit() | Predict() | Transform() | Select():
                subject = event.subject
                if isinstance(event, Fit) and record.fields.get("role") == "estimator.pipeline":
                    return 2 if event.role == "estimator.pipeline" else -1
                if isinstance(event, Fit) and event.role == "estimator.pipeline" and record.fields.get("role"):
                    return -1
                if record.fields.get("method") == "step" or getattr(event, "method", "") == "step":
                    return 1 if record.fields.get("method") == getattr(event, "method", "") else -1
                if not isinstance(subject, Subject) or subject.label.lower() == called.lower():
                    return 2
                alike = subject.is_a("composer") or subject.role == "estimator.pipeline"
                return -1 if subject.api.split(".")[0] in HANDLERS and subject.api.count(".") and not alike else 1
            case Split() | Resample() | Loss():
                return 2 if event.api.rsplit(".", 1)[-1] == called else 1
            case _:
                return 1

    # -- rows --------------------------------------------------------------------------------------------------------

    def _learn(self, matches: Sequence[Event | None]) -> None:
        for record, match in zip(self._log.records, matches, strict=True):
            if match is None:
                continue
            self._learn_symbols(record, match)
            self._matched.add(match.id)
            number, subject = record.fields.get("subject"), getattr(match, "subject", None)
            if isinstance(number, int) and isinstance(subject, Subject) and record.kind != "Draw":
                self._subject(number, subject)
        self._by_hand = {one.result for one in self._predicted.of(Resample) if one.id not in self._matched}

    def _trace_copies(self) -> bool:
        """Rows that the program made by hand (mirrored images, noisy copies) have no known content; where the table that they
        were put into is known, they are what it holds beyond the tables that it was made of."""
        found = False
        for resample in self._predicted.of(Resample):
            if resample.id in self._matched:
                continue
            for symbol, rows in list(self._symbols.items()):
                parts = joined(symbol) or {symbol}
                if resample.result not in parts:
                    continue
                origin = self._symbols.get(resample.data.rows)
                others = [origin, *(self._symbols.get(part) for part in parts if part not in self._by_hand)]
                known = {number for other in others if other is not None for number, _ in masks_of(other)}
                for number, _ in masks_of(rows):
                    if origin is not None and number not in known and number not in self._copied:
                        self._copied[number] = origin
                        found = True
        return found

    def _rows(self, number: int) -> Rows:
        if number < 0:
            return UNKNOWN_ROWS
        if number not in self._rowsets:
            masks = self._log.members(number)
            self._rowsets[number] = UNKNOWN_ROWS  # a source made from itself would not end
            made = {
                source: self._rows(self._log.sources[source].derived_from)
                for source in masks
                if source in self._log.sources and self._log.sources[source].derived_from >= 0
            }
            made.update({source: self._copied[source] for source in masks if source in self._copied})
            loose = [source for source in masks if self._sources.get(source) == "loose"]
            labels = [self._log.sources[source].label for source in masks if source in self._log.sources]
            self._rowsets[number] = exact(masks, " + ".join(dict.fromkeys(labels)), made, loose)
        return self._rowsets[number]

    def _learn_symbols(self, record: Record, match: Event) -> None:
        for name, value in record.fields.items():
            predicted = getattr(match, name, None)
            if isinstance(value, Seen) and isinstance(predicted, Data):
                rows = self._rows(value.rows)
                self._stands_for(predicted.rows, rows)
                if name == "data" and record.kind in ("Fit", "Step") and predicted.rows.known and rows.known:
                    self._trained[predicted.rows] = rows
            elif name == "parts" and isinstance(value, list) and isinstance(predicted, tuple):
                for seen, rows in zip(value, predicted, strict=False):
                    if isinstance(seen, Seen):
                        self._stands_for(rows, self._rows(seen.rows))

    def _stands_for(self, symbol: Rows, rows: Rows) -> None:
        if symbol.known and rows.known:
            self._symbols[symbol] = rows

    def _translated(self, rows: Rows) -> Rows:
        found = self._symbols.get(rows)
        if found is None and rows in self._by_hand:
            origin = next((one.data.rows for one in self._predicted.of(Resample) if one.result == rows), UNKNOWN_ROWS)
            table = next((known for symbol, known in self._symbols.items() if rows in joined(symbol)), None)
            if table is not None:
                copies = {number: mask for number, mask in masks_of(table) if number in self._copied}
                return exact(copies, made_from={number: self._copied[number] for number in copies})
            return self._symbols.get(origin, UNKNOWN_ROWS)
        return found if found is not None else UNKNOWN_ROWS

    # -- events ------------------------------------------------------------------------------------------------------

    def _emit(self, record: Record, match: Event | None) -> None:
        kind = getattr(events, record.kind, None)
        if kind is None:
            return
        number = len(self._events)
        given = self._given(kind, record, match)
        if match is not None:
            event = replace(match, id=number, **given)
            self._latest[match.at] = number
            self._done.predicted_of[number] = match.id
        else:
            defaults = {"at": self._site(record.line), "calls": tuple(self._site(line) for line in record.calls), "id": number}
            try:
                event = kind(**defaults, **given)
            except TypeError:  # the log says too little for an event that was not predicted
                return
        self._done.record_of[number] = record.number
        self._done.event_of[record.number] = number
        self._events.append(event)
        subject = record.fields.get("subject")
        if isinstance(event, Fit) and isinstance(subject, int):
            again = event.method == "step" or event.method == "partial_fit"
            known = self._fitted.get(subject)
            self._fitted[subject] = union([known, event.data.rows]) if again and known is not None else event.data.rows

    def _given(self, kind: type[Event], record: Record, match: Event | None) -> dict[str, Any]:
        """The fields of the event that were measured, and the predicted ones whose references must be translated."""
        names = {one.name for one in fields(kind)}
        given: dict[str, Any] = {}
        for name, value in record.fields.items():
            if name not in names:
                continue
            predicted = getattr(match, name, None) if match is not None else None
            if name != "parts" and isinstance(value, list) and value and isinstance(value[0], Seen):
                value = value[0]  # outputs of one model for several targets: the same rows
            if isinstance(value, Seen):
                given[name] = self._data(value, predicted if isinstance(predicted, Data) else NO_DATA)
                if name == "result":
                    given[name] = given[name].rows
            elif name == "parts":
                given[name] = tuple(self._rows(seen.rows) for seen in value if isinstance(seen, Seen))
            elif name == "subject" and isinstance(value, int):
                if kind is not Draw:  # what is predicted to draw may be a part of what was seen to draw
                    given[name] = self._subject(value, predicted if isinstance(predicted, Subject) else None)
                elif predicted is None:
                    given[name] = self._subject(value, None)
            elif name in ("modules", "generators") and isinstance(value, list | tuple):
                given[name] = tuple(self._subject(one, None) for one in value) if match is None else getattr(match, name)
            elif name == "scores":
                given[name] = frozenset(self._done.event_of[one] for one in value if one in self._done.event_of)
            elif name == "inputs":
                continue
            elif name in ("streams", "keeps", "shown"):
                given[name] = frozenset(value)
            elif match is None or self._measured(name, value, predicted):
                given[name] = tuple(value) if isinstance(value, list) else value
        for one in fields(kind):  # data that the log does not speak of: what is known of the rows that it stood for
            if match is not None and one.name not in given:
                value = getattr(match, one.name)
                if isinstance(value, Data):
                    given[one.name] = self._carried(value)
                elif one.name in ("scores", "chosen"):
                    given[one.name] = self._mapped(value)
        if kind is Score:
            self._score(record, match, given)
        if kind is Transform and match is not None:
            given["fit"] = self._event(match.fit) if isinstance(match, Transform) else -1
        return given

    @staticmethod
    def _measured(name: str, value: Any, predicted: Any) -> bool:
        """Whether a plain field of the log takes the place of the predicted one: not where the static side knows better names."""
        if name in (
            "metric",
            "family",
            "role",
            "api",
            "what",
            "how",
            "method",
            "lineage",
            "direction",
            "call",
            "decomposable",
            "uses_target",
        ):
            return predicted in ("", None) or (isinstance(predicted, str) and predicted.endswith("unknown"))
        return value is not None

    def _score(self, record: Record, match: Event | None, given: dict[str, Any]) -> None:
        """What a score rests on: whose prediction it is, what that model learned from, what shaped its inputs."""
        data: Data = given.get("data", NO_DATA)
        number = record.fields.get("subject")
        maker = None
        if isinstance(number, int):
            maker = number
        elif isinstance(record.fields.get("data"), Seen):
            source = record.fields["data"].predicted
            if 0 <= source < len(self._log.records):
                maker = self._log.records[source].fields.get("subject")
        if isinstance(maker, int) and maker in self._fitted and not record.fields.get("cross_validated"):
            given["fitted"] = self._fitted[maker]
        elif match is not None and isinstance(match, Score):
            # What was predicted to be one table may be two in the run: only a training shows what was learned from.
            learned_from = self._trained.get(match.fitted) or self._translated(match.fitted)
            given["fitted"] = UNKNOWN_ROWS if match.cross_validated else learned_from
        if given.get("subject") is None and isinstance(maker, int):
            given["subject"] = self._subject(maker, match.subject if isinstance(match, Score) else None)
        truth: Data = given.get("truth", NO_DATA)
        measured = {fact for numbers in (record.fields.get("inputs") or ()) for fact in self._fact(numbers)}
        mapped = {fact for one in (match.inputs if isinstance(match, Score) else ()) for fact in self._flow(one)}
        given["inputs"] = frozenset(data.learned | truth.learned | measured | mapped)
        if not data.rows.known and truth.rows.known:
            given["data"] = replace(data, rows=truth.rows)

    def _executed(self, mark: Record) -> None:
        """A statement with predicted events that leave no call of their own was executed."""
        self._kept[mark.fields["mark"]] += 1
        if self._kept[mark.fields["mark"]] > REPEATS_KEPT:
            return
        for event in self._by_statement.get(mark.line, ()):
            if event.id in self._matched:
                continue
            number = len(self._events)
            given: dict[str, Any] = {}
            for one in fields(event):
                value = getattr(event, one.name)
                if isinstance(value, Data):
                    given[one.name] = self._carried(value)
                elif isinstance(value, Rows):
                    given[one.name] = self._translated(value)
                elif one.name == "parts":
                    given[one.name] = tuple(self._translated(rows) for rows in value)
                elif one.name in ("scores", "chosen"):
                    given[one.name] = self._mapped(value)
                elif one.name == "inputs":
                    given[one.name] = frozenset(fact for learned in value for fact in self._flow(learned))
            if isinstance(event, Score) and isinstance(given.get("data"), Data) and given["data"].prediction is not None:
                made = self._events[given["data"].prediction.event] if given["data"].prediction.event >= 0 else None
                if isinstance(made, Predict) and made.data.rows.known:
                    given["data"] = replace(given["data"], rows=made.data.rows)
                    number_of = self._log.records[self._done.record_of[made.id]].fields.get("subject")
                    if isinstance(number_of, int) and number_of in self._fitted:
                        given["fitted"] = self._fitted[number_of]
            self._events.append(replace(event, id=number, **given))
            self._latest[event.at] = number
            self._done.predicted_of[number] = event.id

    # -- references --------------------------------------------------------------------------------------------------

    def _data(self, seen: Seen, predicted: Data) -> Data:
        rows = self._rows(seen.rows)
        if not rows.known:
            rows = self._translated(predicted.rows)
        measured = {fact for number in seen.learned for fact in self._fact(number)}
        flowed = {fact for learned in predicted.learned for fact in self._flow(learned)}
        prediction = self._prediction(seen.predicted) or self._carried_prediction(predicted.prediction, rows)
        return replace(predicted, rows=rows, learned=frozenset(measured | flowed), prediction=prediction, visit=predicted.visit)

    def _carried(self, data: Data) -> Data:
        flowed = frozenset(fact for learned in data.learned for fact in self._flow(learned))
        rows = self._translated(data.rows)
        return replace(data, rows=rows, learned=flowed, prediction=self._carried_prediction(data.prediction, rows))

    def _prediction(self, number: int) -> Prediction | None:
        if number < 0 or number not in self._done.event_of:
            return None
        event = self._events[self._done.event_of[number]]
        if not isinstance(event, Predict):
            return None
        return Prediction(event.subject, event.data.rows, event.output, event.id)

    def _carried_prediction(self, prediction: Prediction | None, rows: Rows) -> Prediction | None:
        if prediction is None:
            return None
        number = self._event(prediction.event)
        made = self._events[number] if number >= 0 else None
        if isinstance(made, Predict):
            return Prediction(made.subject, made.data.rows, prediction.output, number)
        return replace(prediction, rows=rows, event=-1)

    def _fact(self, number: int) -> list[Learned]:
        """What a Fit of the log leaves in the values that it shaped."""
        if number not in self._done.event_of:
            return []
        event = self._events[self._done.event_of[number]]
        if not isinstance(event, Fit):
            return []
        kind = self._kind(event)
        return [Learned(event.id, kind, event.data.rows, event.uses_target)] if kind else []

    def _kind(self, event: Fit) -> str:
        """The kind of the fact: by the measured role, or as the static side knows it for roles that have none of their own."""
        kind = LEARNED_KINDS.get(event.role) or LEARNED_KINDS.get(event.role.rpartition(".")[0], "")
        said = self._kinds.get(self._done.predicted_of.get(event.id, -1), "")
        return said if said and said != "unknown" else kind

    def _flow(self, learned: Learned) -> list[Learned]:
        """The observed fact for one that the static side saw flow: only if its fit happened."""
        number = self._event(learned.fit)
        event = self._events[number] if number >= 0 else None
        if not isinstance(event, Fit):
            return []
        kind = self._kind(event) if learned.kind == "unknown" else learned.kind
        return [replace(learned, fit=number, kind=kind or learned.kind, rows=event.data.rows)]

    def _mapped(self, numbers: frozenset[int]) -> frozenset[int]:
        return frozenset(found for number in numbers if (found := self._event(number)) >= 0)

    def _event(self, predicted: int) -> int:
        """The latest observed event at the site of a predicted one, -1 if there is none."""
        if not 0 <= predicted < len(self._predicted.events):
            return -1
        at = self._predicted.events[predicted].at
        number = self._latest.get(at, -1)
        if number >= 0 and type(self._events[number]) is not type(self._predicted.events[predicted]):
            kind = type(self._predicted.events[predicted])
            return next((one.id for one in reversed(self._events) if one.at == at and type(one) is kind), -1)
        return number

    def _subject(self, number: int, predicted: Subject | None) -> Subject:
        if number not in self._subjects:
            facts = self._log.subjects.get(number, {})
            line = facts.get("line") or ("", 0)
            vague = predicted is None or (predicted.role.endswith("unknown") and bool(facts.get("role")))
            self._subjects[number] = (
                predicted
                if predicted is not None and not vague
                else Subject(
                    api=str(facts.get("api", "")),
                    role=str(facts.get("role", "")),
                    at=self._site((line[0], line[1])),
                    given=dict(facts.get("given") or {}),
                    arguments=frozenset(facts.get("given") or ()),
                    parts=[self._subject(part, None) for part in facts.get("parts") or () if part != number],
                )
            )
        return self._subjects[number]

    def _site(self, line: Line) -> Site:
        path = self._paths.get(line[0], line[0])
        return Site(path, -1, -1, line=line[1])
