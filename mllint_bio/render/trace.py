"""A trace as text or JSON: what the linter understood of a program, event by event, as rules see it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from enum import Enum
from typing import Any, Protocol

from mllint_bio.diagnostics import Place
from mllint_bio.events import Data, Event, Learned, Loop, Prediction, Site, Subject
from mllint_bio.render.plain import one_line
from mllint_bio.rows import Rows
from mllint_bio.trace import Trace

_FRAME = {field.name for field in fields(Event)}


class PlaceOf(Protocol):
    """What gives the place of a site."""

    def __getitem__(self, site: Site) -> Place: ...


def sites(trace: Trace) -> Iterable[Site]:
    """All sites that a rendered trace shows."""
    for event in trace.events:
        yield event.at
        yield from event.calls
        yield from (loop.at for loop in event.loops)
        yield from (value for value in _own(event).values() if isinstance(value, Site))


def text(traces: Iterable[Trace], places: PlaceOf) -> str:
    """A readable listing: number, place, event, and every field that says something."""
    return "".join(line + "\n" for trace in traces for line in _listing(trace, places))


def _listing(trace: Trace, places: PlaceOf) -> Iterable[str]:
    name = f" {trace.name}" if trace.name else ""
    doubt = "" if trace.resolved else ", some calls could not be followed"
    test = ", a test or documentation" if trace.test_or_docs else ""
    yield one_line(f"{trace.entry}{name} in {trace.path}: {len(trace.events)} events{doubt}{test}")
    where = [str(places[event.at]) for event in trace.events]
    width = max(map(len, where), default=0)
    for event, place in zip(trace.events, where, strict=True):
        told = [f"{key}={_short(value, places)}" for key, value in _own(event).items()]
        loops = [f"in {loop.kind.value} loop" for loop in event.loops[-1:]]
        calls = [f"called at {places[event.calls[-1]]}"] if event.calls else []
        yield one_line(
            f"{event.id:>4}  {place:<{width}}  {type(event).__name__:<11} " + "  ".join([*told, *loops, *calls])
        ).rstrip()
    yield ""


def _own(event: Event) -> dict[str, Any]:
    """The fields of an event beyond the common ones, without those that say nothing: empty, unknown, or as by default."""
    values = {field.name: (getattr(event, field.name), field.default) for field in fields(event) if field.name not in _FRAME}
    return {key: value for key, (value, default) in values.items() if not _empty(value) and value is not default}


def _empty(value: Any) -> bool:
    if isinstance(value, Data):
        return not (value.rows.known or value.name or value.named_role or value.prediction or value.learned)
    if isinstance(value, Rows):
        return not value.known
    return value is None or value == "" or (isinstance(value, (tuple, list, dict, frozenset)) and not value)


def _short(value: Any, places: PlaceOf) -> str:
    if isinstance(value, Subject):
        return f"{value.name}:{value.label}" if value.name and value.name != value.label else value.label
    if isinstance(value, Data):
        parts = [value.name or "?", f"<{value.rows!r}>", f"named {value.named_role}" if value.named_role else ""]
        if value.prediction:
            parts.append(f"predicted by {value.prediction.subject.label}")
        if value.learned:
            parts.append("shaped by " + ", ".join(f"#{fit}" for fit in sorted({fact.fit for fact in value.learned})))
        return " ".join(part for part in parts if part)
    if isinstance(value, Learned):
        return f"#{value.fit} on <{value.rows!r}>"
    if isinstance(value, Rows):
        return f"<{value!r}>"
    if isinstance(value, Site):
        return str(places[value])
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_short(item, places) for item in value) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(_short(item, places) for item in value)) + "}"
    return str(value.value if isinstance(value, Enum) else value)


def as_json(traces: Iterable[Trace], places: PlaceOf) -> str:
    """An array of traces; objects of the program are named by number and listed once under `subjects`."""
    return json.dumps([_trace(trace, places) for trace in traces], indent=2) + "\n"


def _trace(trace: Trace, places: PlaceOf) -> dict[str, Any]:
    plain = _Plain(places)
    events = [
        {
            "id": event.id,
            "event": type(event).__name__,
            "at": plain.where(event.at),
            "calls": [plain.where(site) for site in event.calls],
            "loops": [plain(loop) for loop in event.loops],
            **{key: plain(value) for key, value in _own(event).items()},
        }
        for event in trace.events
    ]
    return {
        "entry": trace.entry,
        "name": trace.name,
        "filename": trace.path,
        "resolved": trace.resolved,
        "test_or_docs": trace.test_or_docs,
        "imports": sorted(trace.imports),
        "events": events,
        "subjects": plain.subjects(),
    }


class _Plain:
    """Values of events as JSON values; subjects are numbered as they come."""

    def __init__(self, places: PlaceOf) -> None:
        self._places = places
        self._numbers: dict[int, int] = {}
        self._order: list[Subject] = []

    def where(self, site: Site) -> dict[str, Any]:
        place = self._places[site]
        return {"filename": place.path, "cell": place.cell, "location": {"row": place.row, "column": place.column}}

    def subjects(self) -> list[dict[str, Any]]:
        """All subjects that were named, with their parts."""
        listed: list[dict[str, Any]] = []
        while len(listed) < len(self._order):  # parts may name further subjects
            one = self._order[len(listed)]
            given = {key: self(value) for key, value in one.given.items()}
            parts = [self(part) for part in one.parts]
            listed.append({"api": one.api, "role": one.role, "name": one.name, "given": given, "parts": parts})
        return listed

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Subject):
            if id(value) not in self._numbers:
                self._numbers[id(value)] = len(self._order)
                self._order.append(value)
            return {"subject": self._numbers[id(value)]}
        if isinstance(value, Site):
            return self.where(value)
        if isinstance(value, Loop):
            return {"kind": value.kind.value, "variable": value.variable}
        if isinstance(value, Rows):
            return repr(value)
        if isinstance(value, (Data, Learned, Prediction)):
            return {f.name: self(getattr(value, f.name)) for f in fields(value) if not _empty(getattr(value, f.name))}
        if isinstance(value, Mapping):
            return {str(key): self(item) for key, item in value.items()}
        if isinstance(value, (set, frozenset)):
            return sorted((self(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
        if isinstance(value, (tuple, list)):
            return [self(item) for item in value]
        if isinstance(value, Enum):
            return value.value
        return value if value is None or isinstance(value, (str, int, float, bool)) else repr(value)
