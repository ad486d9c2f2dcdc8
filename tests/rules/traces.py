"""Traces written by hand, for tests of rules: each call adds one event, on the next line of the file.

Making a subject takes a line too.

>>> builder = TraceBuilder().load("table").split("table", "train", "test")
>>> _ = builder.fit("sklearn.svm.SVC", "train", role="estimator.baseline.kernel").score("accuracy_score", "test", "SVC").report()
>>> [event.at.line for event in builder.events]
[1, 2, 4, 5, 6]

Data and subjects are known by name afterwards: `builder.data["test"]`, `builder.subjects["SVC"]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mllint_bio.events import (
    NO_DATA,
    Backward,
    Data,
    Draw,
    Event,
    Fit,
    Learned,
    Load,
    Loop,
    LoopKind,
    Mode,
    Predict,
    Prediction,
    Report,
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
from mllint_bio.findings import Finding
from mllint_bio.rows import UNKNOWN_ROWS, Rows, source, union
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class TraceBuilder:
    """Builds a trace event by event; every method returns the builder, the newest event is `last`.

    entry, path and the further fields are those of `Trace`.
    """

    def __init__(self, entry: str = "script", path: str = "train.py", **fields: Any) -> None:
        self.events: list[Event] = []
        self.data: dict[str, Data] = {}
        self.subjects: dict[str, Subject] = {}
        self._trace = {"entry": entry, "path": path, **fields}
        self._path = path
        self._line = 0
        self._loops: tuple[Loop, ...] = ()
        self._branch: tuple[tuple[Site, int], ...] = ()
        self._learned: dict[int, frozenset[Learned]] = {}
        self._fitted: dict[int, Rows] = {}

    # -- places --------------------------------------------------------------------------------------------------

    def site(self, path: str = "") -> Site:
        """A place on the next line (of the entry file, if no path is given)."""
        self._line += 1
        return Site(path or self._path, self._line, 0, self._line)

    @contextmanager
    def loop(self, kind: LoopKind, variable: str = "") -> Iterator[Loop]:
        """Events added inside the block stand in this loop."""
        one = Loop(self.site(), kind, variable)
        self._loops = (*self._loops, one)
        yield one
        self._loops = self._loops[:-1]

    @contextmanager
    def arm(self, condition: Site, number: int = 0) -> Iterator[None]:
        """Events added inside the block stand in this arm of the branch with this condition."""
        self._branch = (*self._branch, (condition, number))
        yield
        self._branch = self._branch[:-1]

    # -- events --------------------------------------------------------------------------------------------------

    @property
    def last(self) -> Event:
        """The newest event."""
        return self.events[-1]

    def add(self, kind: type[Event], /, *, path: str = "", calls: tuple[Site, ...] = (), **fields: Any) -> TraceBuilder:
        """Any event: its own fields by name; id, place, loops and branches are filled in."""
        place: dict[str, Any] = {
            "id": len(self.events),
            "at": self.site(path),
            "calls": calls,
            "loops": self._loops,
            "branch": self._branch,
        }
        self.events.append(kind(**place, **fields))
        return self

    def subject(self, name: str, api: str, role: str, **given: Any) -> Subject:
        """A named object of the program, with its literal arguments; its place is the next line."""
        made = Subject(api, role, self.site(), name, given=given, arguments=frozenset(given))
        self.subjects[name] = made
        return made

    def actor(self, who: str | Subject, role: str = "estimator") -> Subject:
        """The subject of this name; a dotted name that is not known yet makes a new one, named by its last part."""
        if isinstance(who, Subject):
            return who
        return self.subjects.get(who) or self.subject(who.rsplit(".", 1)[-1], who, role)

    def view(self, what: str | Data) -> Data:
        """Data by name."""
        return self.data[what] if isinstance(what, str) else what

    def load(self, name: str, kind: str = "file", size: int | None = None, named_role: str = "") -> TraceBuilder:
        """A table called `name` is loaded."""
        self.data[name] = Data(source(name, name, size), name, named_role)
        return self.add(Load, data=self.data[name], kind=kind, location=f"{name}.csv")

    def parameter(self, name: str, named_role: str = "") -> TraceBuilder:
        """Data of which only the name is known (no event)."""
        self.data[name] = Data(UNKNOWN_ROWS, name, named_role)
        return self

    def split(self, what: str, *parts: str, fold: bool = False, **fields: Any) -> TraceBuilder:
        """The data called `what` is divided into parts with these names, in order."""
        whole, key, shuffles = self.data[what], ("split", self._line + 1), fields.get("shuffles")
        rows = tuple(whole.rows.part(key, k, len(parts), random=shuffles is not False, fold=fold) for k in range(len(parts)))
        for name, part in zip(parts, rows, strict=True):
            self.data[name] = Data(part, name, learned=whole.learned, group=whole.group)
        defaults = {"how": "fold" if fold else "call", "api": "sklearn.model_selection.train_test_split", "stream": "numpy"}
        return self.add(Split, data=whole, parts=rows, names=parts, **{**defaults, **fields})

    def fit(self, who: str | Subject, what: str | Data, role: str = "estimator", **fields: Any) -> TraceBuilder:
        """An object learns from data; what the data carries is from then on carried by its results."""
        subject, data = self.actor(who, role), self.view(what)
        self._learn(subject, data)
        return self.add(Fit, subject=subject, role=subject.role, data=data, **fields)

    def transform(self, who: str | Subject, what: str | Data, into: str, **fields: Any) -> TraceBuilder:
        """A fitted transform is applied; the result, called `into`, carries what the transform learned."""
        subject, data = self.actor(who), self.view(what)
        fits = [event for event in self.events if isinstance(event, Fit) and event.subject is subject]
        learned = {Learned(f.id, f.role, f.data.rows, f.uses_target) for f in fits[-1:]}
        self.data[into] = Data(data.rows, into, learned=data.learned | learned)
        return self.add(
            Transform, subject=subject, role=subject.role, data=data, **{"fit": fits[-1].id if fits else -1, **fields}
        )

    def resample(self, what: str, into: str, lineage: str = "copy", api: str = "imblearn.over_sampling.SMOTE") -> TraceBuilder:
        """Rows are multiplied or dropped; the result is called `into`."""
        data = self.data[what]
        rows = data.rows.some(("drop", self._line + 1)) if lineage == "drop" else data.rows.derived(self._line + 1, lineage)
        self.data[into] = Data(rows, into, learned=data.learned)
        return self.add(Resample, data=data, result=rows, lineage=lineage, api=api)

    def step(self, optimizer: str | Subject, module: str | Subject, what: str | Data = NO_DATA, **fields: Any) -> TraceBuilder:
        """An optimizer changes the parameters of a module, after a backward pass over the data."""
        subject, network, data = self.actor(optimizer, "optimizer"), self.actor(module, "module"), self.view(what)
        self._learn(network, data)
        return self.add(Step, subject=subject, modules=(network,), data=data, **fields)

    def backward(self, what: str | Data = NO_DATA) -> TraceBuilder:
        """Gradients are accumulated."""
        return self.add(Backward, data=self.view(what))

    def zero_grad(self, who: str | Subject | None) -> TraceBuilder:
        """Gradients are cleared."""
        return self.add(ZeroGrad, subject=None if who is None else self.actor(who))

    def mode(self, module: str | Subject, mode: str) -> TraceBuilder:
        """A module is switched to `train` or `eval`."""
        return self.add(Mode, subject=self.actor(module, "module"), mode=mode)

    def predict(self, who: str | Subject, what: str | Data, into: str = "", output: str = "label", **fields: Any) -> TraceBuilder:
        """A model is applied; the result, if named, carries the prediction."""
        subject, data = self.actor(who), self.view(what)
        if into:
            prediction = Prediction(subject, data.rows, output, len(self.events))
            learned = data.learned | self._learned.get(id(subject), frozenset())
            self.data[into] = Data(data.rows, into, data.named_role, learned, prediction)
        return self.add(Predict, subject=subject, data=data, output=output, **fields)

    def score(self, metric: str, what: str | Data, who: str | Subject | None = None, **fields: Any) -> TraceBuilder:
        """A figure of merit of a subject on the data (of the subject whose prediction the data is, if none is named)."""
        data = self.view(what)
        subject = self.actor(who) if who is not None else data.prediction.subject if data.prediction else None
        known: dict[str, Any] = {"family": "label", "direction": "up"}
        if subject is not None:
            known["fitted"] = self._fitted.get(id(subject), UNKNOWN_ROWS)
            known["inputs"] = data.learned | self._learned.get(id(subject), frozenset())
        return self.add(Score, metric=metric, data=data, subject=subject, **{**known, **fields})

    def report(self, *scores: int, how: str = "print") -> TraceBuilder:
        """Figures reach a reader: the scores with these ids, or the newest one."""
        newest = [event.id for event in self.events if isinstance(event, Score)][-1:]
        return self.add(Report, scores=frozenset(scores or newest), how=how)

    def select(self, what: str, *scores: int, how: str = "if", **fields: Any) -> TraceBuilder:
        """A choice by the scores with these ids, or by the newest one."""
        newest = [event.id for event in self.events if isinstance(event, Score)][-1:]
        read = frozenset(scores or newest)
        data = union(event.data.rows for event in self.events if isinstance(event, Score) and event.id in read)
        return self.add(Select, what=what, how=how, scores=read, **{"data": Data(data), **fields})

    def seed(self, *streams: str, call: str = "np.random.seed", constant: bool = True, **fields: Any) -> TraceBuilder:
        """Generators are seeded."""
        return self.add(Seed, streams=frozenset(streams), call=call, constant=constant, **fields)

    def draw(self, stream: str, what: str, purpose: str = "other", **fields: Any) -> TraceBuilder:
        """Random numbers are drawn from a global stream."""
        return self.add(Draw, stream=stream, what=what, purpose=purpose, **fields)

    # -- results -------------------------------------------------------------------------------------------------

    def trace(self, **fields: Any) -> Trace:
        """The trace so far; fields override those of the constructor."""
        return Trace(list(self.events), **{**self._trace, **fields})

    def check(self, rule: type[Rule], **fields: Any) -> list[Finding]:
        """What a rule finds in the trace so far."""
        return list(rule().check(self.trace(**fields)))

    def _learn(self, subject: Subject, data: Data) -> None:
        """Remember what the subject has learned from, for later scores."""
        before = self._fitted.get(id(subject))
        self._fitted[id(subject)] = data.rows if before is None else union([before, data.rows])
        self._learned[id(subject)] = self._learned.get(id(subject), frozenset()) | data.learned
