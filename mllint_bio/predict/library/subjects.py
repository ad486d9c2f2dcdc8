"""Objects that a library call constructs, and how events name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mllint_bio.catalog import Entry
from mllint_bio.events import Subject
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library.contents import arrays_in
from mllint_bio.predict.values import (
    UNKNOWN,
    Array,
    Const,
    Obj,
    Value,
    options,
)

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def literal(call_: Call, entry: Entry, name: str) -> Any:
    """Literal value of an argument, its catalogued default when it is not given; `UNKNOWN` (the value) when it comes from
    outside."""
    value = call_.get(name, entry.params)
    if value is None:
        return UNKNOWN if call_.open else (entry.get("defaults") or {}).get(name)
    return value.value if isinstance(value, Const) else UNKNOWN


def make_subject(run: Run, entry: Entry, call_: Call, name: str = "") -> Subject:
    """The subject for an object that a library call builds."""
    given: dict[str, Any] = {}
    unknown = call_.open
    for position, value in enumerate(call_.args):
        key = entry.params[position] if position < len(entry.params) else f"#{position}"
        if isinstance(value, Const):
            given[key] = value.value
        elif isinstance(value, Array) and value.kind in ("config", "unknown", "scalar", "param"):
            unknown = unknown or value.kind == "config"
    for key, value in call_.kwargs.items():
        if isinstance(value, Const):
            given[key] = value.value
    searched = [a for v in (*call_.everything(), *call_.spread) for a in arrays_in(v) if a.owner == "tuned"]
    names = frozenset([*(entry.params[i] for i in range(min(len(call_.args), len(entry.params)))), *call_.kwargs])
    return Subject(
        api=entry.path,
        role=entry.role,
        at=run.site(call_.node),
        name=name,
        given=given,
        arguments=names,
        unknown_arguments=unknown,
        facts={"tuned": True, "searches": frozenset().union(*(a.chosen for a in searched))} if searched else {},
    )


def build(run: Run, entry: Entry, call: Call) -> Value:
    """Construct a learner, splitter, tuner, sampler or metric object."""
    subject = make_subject(run, entry, call)
    obj = Obj(subject, None, entry)
    obj.cells["#call"] = call
    wrapped = (
        call.get(entry.get("estimator") or "estimator", entry.params)
        if entry.is_a("tuner", "estimator.meta", "calibrator", "feature-selector")
        else None
    )
    for option in options(wrapped) if wrapped is not None else ():
        if isinstance(option, Obj):
            subject.parts.append(option.subject)
            obj.cells["#inner"] = option
    given = entry.get("stateless_if")
    if given in subject.arguments and subject.given.get(given, ...) not in (None, "auto"):
        subject.role = "stateless-transform"  # `OneHotEncoder(categories=[BASES])` knows them before it sees a row
    subject.facts["task"] = entry.get("task") or _task_of(obj)
    for trait in ("tunes_itself", "parameter_free"):
        if entry.get(trait):
            subject.facts[trait] = True
    return obj


def _task_of(obj: Obj) -> str:
    inner = obj.cells.get("#inner")
    return str(inner.subject.facts.get("task", "")) if isinstance(inner, Obj) else ""


def api_name(entry: Entry) -> str:
    """Name for messages: the last part, with its class for an alternative constructor (`RocCurveDisplay.from_estimator`)."""
    owner, _, last = entry.path.rpartition(".")
    return f"{owner.rpartition('.')[2]}.{last}" if last.startswith("from_") else last
