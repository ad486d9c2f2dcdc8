"""Forward passes, remembered: a program applies a network many times, its `forward` is followed once.

A forward pass tells a trace what the output ends with, and it may cause events that say nothing of rows: random draws, moves to
a device, calls that could not be followed. When the same network is applied to arguments of the same form again, the output has
that end again, whatever the rows, and the events are written once more where the new call stands. A pass that caused any other
event (a loss, a score, a statistic) is followed every time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mllint_bio.events import Device, Draw, Event, Unresolved
from mllint_bio.predict.frames import Call
from mllint_bio.predict.values import Array, Choice, Const, Dict, Ext, Func, Klass, Obj, Seq, Value

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

_SAY_NOTHING_OF_ROWS = (Draw, Device, Unresolved)
_PLACE = {f.name for f in fields(Event)}
_FACTS: dict[type[Event], tuple[str, ...]] = {
    kind: tuple(f.name for f in fields(kind) if f.name not in _PLACE) for kind in _SAY_NOTHING_OF_ROWS
}


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass that was followed. depth: project calls around it, which bound how far it was followed; cells: what the network
    held; outer: length of the calls, loops and branches around it; events: what it caused; repeats: whether they say nothing of
    rows, so that the pass need not be followed again."""

    depth: int
    cells: tuple[object, ...]
    outer: tuple[int, int, int]
    result: Value
    events: tuple[Event, ...]
    repeats: bool


def applied(run: Run, obj: Obj, member: Func, call: Call, follow: Callable[[], Value]) -> tuple[Value, bool]:
    """What the forward of a network gives for these arguments, and whether that was remembered rather than followed."""
    key = (obj, id(member.node), obj.cells.get("#mode"), _form_of_arguments(call))
    depth, cells = len(run._stack), tuple(obj.cells.values())
    known = run.passes.get(key)
    if known is not None and known.repeats and known.depth <= depth and _same(known.cells, cells):
        _cause_again(run, known, call)
        return known.result, True
    outer, count = (len(run.calls), len(run.loops), len(run.branch)), len(run.events)
    result = follow()
    events = tuple(run.events[count:])
    if known is not None and not events:  # a further round of a loop does not write again what its first one caused
        outer, events = known.outer, known.events
    repeats = all(isinstance(event, _SAY_NOTHING_OF_ROWS) for event in events)
    run.passes[key] = Pass(depth, tuple(obj.cells.values()), outer, result, events, repeats)
    return result, False


def _same(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return len(left) == len(right) and all(a is b for a, b in zip(left, right, strict=True))


def _cause_again(run: Run, known: Pass, call: Call) -> None:
    """Write the events of a remembered pass once more, below the calls, loops and branches that stand around now."""
    calls, loops, branch = run.calls, run.loops, run.branch
    here = (*calls, run.site(call.node))
    for event in known.events:
        run.calls = here + event.calls[known.outer[0] + 1 :]
        run.loops = loops + event.loops[known.outer[1] :]
        run.branch = branch + event.branch[known.outer[2] :]
        run.emit(type(event), event.at, **{name: getattr(event, name) for name in _FACTS[type(event)]})
    run.calls, run.loops, run.branch = calls, loops, branch


def _form_of_arguments(call: Call) -> Any:
    return (*map(_form, call.args), *((name, _form(value)) for name, value in call.kwargs.items()), call.open)


def _form(value: Value, depth: int = 3) -> Any:
    """What of an argument can decide how a pass goes: anything but the rows of its data."""
    if isinstance(value, Array):
        return value.kind, value.activation, value.has_rows, bool(value.learned)
    if isinstance(value, Const):
        return type(value.value), value.value if isinstance(value.value, Hashable) else id(value)
    if isinstance(value, (Obj, Func, Klass)):
        return value
    if isinstance(value, Ext):
        return value.path
    if not depth:
        return type(value)
    if isinstance(value, Choice):
        return tuple(_form(option, depth - 1) for option in value.options)
    if isinstance(value, Seq):
        rest = None if value.rest is None else _form(value.rest, depth - 1)
        return value.kind, tuple(_form(item, depth - 1) for item in value.items), rest
    if isinstance(value, Dict):
        rest = None if value.rest is None else _form(value.rest, depth - 1)
        return tuple((key, _form(item, depth - 1)) for key, item in value.items.items()), rest
    return type(value)
