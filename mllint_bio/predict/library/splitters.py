"""Splitters: functions and objects that divide rows, once or fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from mllint_bio.catalog import Entry
from mllint_bio.events import (
    Seed,
    Site,
    Split,
)
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import notes, seeding
from mllint_bio.predict.library.contents import data_of
from mllint_bio.predict.library.subjects import api_name, build
from mllint_bio.predict.values import (
    UNKNOWN,
    Array,
    Const,
    Obj,
    Seq,
    Value,
)
from mllint_bio.rows import UNKNOWN_ROWS

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def split_call(run: Run, entry: Entry, call: Call) -> Value:
    """Splitters: the call form acts at once, the object form is built."""
    if entry.get("form") == "object":
        return build(run, entry, call)
    if entry.get("per_input"):
        return _split_inputs(run, entry, call)
    data = data_of(call.get(entry.get("arrays") or "", entry.params) or call.at(0) or UNKNOWN)
    count = _lengths(call)
    notes.note_unordered(run, data, "split", run.site(call.node))
    seeded, stream = _seeding(run, entry, call, "split")
    rows = data.rows if data.has_rows else run.source(call.node, data.name)
    made = _division(run, run.site(call.node), stream)
    parts = [rows.part(made, i, count, random=True) for i in range(count)]
    number = run.emit(
        Split,
        call.node,
        data=data.but(group=data.group or notes.repetition_of(run, data.rows)).view(),
        identifier=notes.identifier_of(run, data.rows),
        parts=tuple(parts),
        how="random",
        api=api_name(entry),
        shuffles=_flag(call, entry, "shuffle"),
        seeded=seeded,
        stratified=_flag(call, entry, "stratified"),
        grouped=_flag(call, entry, "grouped"),
        stream=stream,
    )
    pieces = [
        data.but(kind="dataset" if data.kind in ("unknown", "param") else data.kind, rows=part, order=None) for part in parts
    ]
    divided = Seq("tuple", pieces)
    divided.cells["#split-event"] = number
    return divided


def _lengths(call: Call) -> int:
    for value in (*call.args[1:], *call.kwargs.values()):
        if isinstance(value, Seq) and value.exact and value.items:
            return len(value.items)
    return 2


def _flag(call: Call, entry: Entry, field: str) -> bool | None:
    """A splitter's trait: fixed by the catalog, or decided by a parameter."""
    spec = entry.get(field)
    if spec is None:
        return False
    if isinstance(spec, bool):
        return spec
    value = call.get(spec, entry.params)
    if value is None:
        if call.open:
            return None
        return bool((entry.get("defaults") or {}).get(spec, False))
    if isinstance(value, Const):
        return bool(value.value)
    return True if field in ("stratified", "grouped") else None


def _seeding(run: Run, entry: Entry, call: Call, at: str, given: Call | None = None) -> tuple[bool | None, str]:
    """(has a seed of its own, stream that it draws from otherwise)."""
    source = given or call
    draws = entry.get("draws") or []
    streams = seeding.draws(
        run, call, entry.fields, entry.params, api_name(entry), at="call" if given is None else at, purpose="split", given=given
    )
    if streams:
        return False, streams[0]
    parameter = next((d.get("seed") for d in draws if d.get("seed")), None)
    value = source.get(parameter, entry.params) if parameter else None
    if value is None or (isinstance(value, Const) and value.value is None):
        return None, ""  # nothing random, or a seed from outside
    return True, ""


def _division(run: Run, at: Site, stream: str) -> Hashable:
    """What tells a division from others: its place, and the calls that led there if a generator went on since it was made for
    another caller, so that the parts of the two have rows in common."""
    if stream:
        for event in reversed(run.events):
            if isinstance(event, Seed) and event.streams & {stream, "any"}:
                break
            if isinstance(event, Split) and event.at == at and event.calls != run.calls:
                first = next(one for one in run.events if isinstance(one, Split) and one.at == at)
                return at if first.calls == run.calls else (at, run.calls)
    return at


def _split_inputs(run: Run, entry: Entry, call: Call) -> Value:
    """train_test_split(a, b, ...): two parts per input, the same rows in each."""
    inputs = list(call.args)
    if not inputs or call.open and len(inputs) == 1 and isinstance(inputs[0], Seq):
        inputs = list(inputs[0].items) if inputs and isinstance(inputs[0], Seq) else inputs
    site = run.site(call.node)
    seeded, stream = _seeding(run, entry, call, "call")
    data = [data_of(value) for value in inputs]
    first = next((d for d in data if d.has_rows), data[0] if data else UNKNOWN)
    notes.note_unordered(run, next((d for d in data if d.unordered), first), "split", site)
    base = first.rows if first.has_rows else run.source(call.node, first.name)
    group = next((d.group for d in data if d.group), "") or notes.repetition_of(run, first.rows)
    if first.kind == "unique":  # the entities themselves are divided
        group = ""
    shuffles = _flag(call, entry, "shuffle")
    stratified = call.get(entry.get("stratified") or "stratify", entry.params)
    ordered = next((d.ordered for d in data if d.ordered), "")
    random = shuffles is not False
    division = _division(run, site, stream)
    parts = (base.part(division, 0, 2, random=random), base.part(division, 1, 2, random=random))
    number = run.emit(
        Split,
        call.node,
        data=first.but(group=group, ordered=ordered, rows=base).view(),
        identifier=notes.identifier_of(run, base) if first.kind != "unique" else "",
        parts=parts,
        how="call",
        api=api_name(entry),
        shuffles=shuffles,
        seeded=seeded,
        stratified=stratified is not None and not (isinstance(stratified, Const) and stratified.value is None),
        grouped=False,
        stream=stream,
    )
    if first.kind == "unique":
        run.of_entities.add(number)
    results: list[Value] = []
    for value, one in zip(inputs, data, strict=True):
        rows = one.rows if one.has_rows and one.rows != base else base
        if not one.has_rows:
            rows = base
        for part in (0, 1):
            own = rows.part(division, part, 2, random=random)
            by_id = one.kind == "unique"
            results.append(
                one.but(
                    rows=own,
                    order=None,
                    linear=None,
                    mask=None,
                    ordered="shuffled" if random else one.ordered,
                    kind="array" if one.kind in ("unknown", "item") else one.kind,
                    base=one.base if one.base.known else one.rows if one.kind in ("index", "range") else UNKNOWN_ROWS,
                    owner="by-id" if by_id else one.owner,
                )
            )
        del value
    made = Seq("list", results)
    made.cells["#split"] = number
    return made


def split_object(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    """`splitter.split(X, y, groups)`: pairs of index arrays, one pair an iteration."""
    if name in ("get_n_splits",):
        return Array(kind="scalar")
    if name not in ("split",) or obj.entry is None:
        return None
    data = data_of(call.get("X", ("X", "y", "groups")) or call.at(0) or UNKNOWN)
    target = data_of(call.get("y", ("X", "y", "groups")) or UNKNOWN)
    groups = call.get("groups", ("X", "y", "groups"))
    made = folds(run, obj, data, target, groups, call.node)
    return made


def folds(run: Run, splitter: Obj, data: Array, target: Array, groups: Value | None, node: ir.Expr) -> Value:
    """Emit the split and make the iterator over (train indices, test indices)."""
    entry = splitter.entry
    assert entry is not None
    site = run.site(node)

    # A project's own subclass may pass on arguments that nobody can see.
    construct: Call = splitter.cells.get("#call") or Call(node, [], {}, open=True)
    here = Call(node, [], {})
    seeded, stream = _seeding(run, entry, here, "split", given=construct)
    base = data.rows if data.has_rows else target.rows if target.has_rows else run.source(node, data.name)
    notes.note_unordered(run, data, "split", site)
    shuffles = _flag(construct, entry, "shuffle")
    grouped = _flag(construct, entry, "grouped")
    random = shuffles is not False
    parts = (base.part(site, 0, 2, random=random, fold=True), base.part(site, 1, 2, random=random, fold=True))
    entities = data.kind == "unique"  # dealt to folds themselves, all their rows follow
    group = "" if entities else data.group or target.group or notes.repetition_of(run, base)
    ordered = data.ordered or target.ordered
    if grouped and groups is not None:
        notes.note_groups(run, base, groups)
    number = run.emit(
        Split,
        node,
        data=data.but(rows=base, group=group, ordered=ordered).view(),
        identifier="" if entities else notes.identifier_of(run, base),
        parts=parts,
        how="fold",
        api=api_name(entry),
        shuffles=shuffles,
        seeded=seeded,
        stratified=_flag(construct, entry, "stratified"),
        grouped=grouped,
        stream=stream,
        subject=splitter.subject,
    )
    if entities:
        run.of_entities.add(number)
    pair = [
        Array(kind="index", rows=part, base=base, name=role)
        for part, role in zip(parts, ("train_index", "test_index"), strict=True)
    ]
    made = Seq("generator", (), Seq("tuple", pair))
    made.cells["#folds"] = True
    return made


HANDLERS: dict[str, Callable[[Any, Entry, Any], Value]] = {
    "splitter": split_call,
}
