"""Rows and columns: what indexing, arithmetic and the methods of tables, arrays and tensors do to provenance."""

from __future__ import annotations

import functools
import itertools
import operator
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from mllint_bio import catalog
from mllint_bio.events import (
    Data,
    Draw,
    Fit,
    Learned,
    Loop,
    LoopKind,
    Pairing,
    Resample,
    Score,
    Select,
    Site,
    Split,
    Subject,
    Unordered,
)
from mllint_bio.predict import ir
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Bound_,
    Choice,
    Const,
    Dict,
    Ext,
    Func,
    Obj,
    Seq,
    Value,
    as_mapping,
    constant,
    join,
    join_all,
    options,
    role_of_name,
)
from mllint_bio.rows import UNKNOWN_ROWS, Bound, Derived, Equals, Part, Rows, Selection, Slice, Step, Subset, joined, union

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Call, Run

_FIELD = re.compile(r"\{(\w+)\.(\w+)")
_MAY_ACT = re.compile(
    r"random|rand\b|seed|shuffle|sample|fit|load|read_|open\(|predict|score|model|choice|permutation|mean|std|max|min"
)
COPIED = "copied"  # among the owners of weights that later steps do not change
POSITIONS = "indices"  # label of the rows that counted positions stand for, until they index a table
_RESULTS_DEPTH = 6  # results are collected by data set, model, metric and fold
DATA_KINDS = frozenset({"table", "array", "batch", "dataset", "loader", "unknown", "param"})

# -- looking into values ---------------------------------------------------------------------------------------------


def arrays_in(value: Value | None, depth: int = 3) -> list[Array]:
    """Data values inside a value (members of containers included)."""
    if value is None:
        return []
    if isinstance(value, Array):
        return [value]
    if depth <= 0:
        return []
    members: Iterable[Value]
    if isinstance(value, Choice):
        members, depth = value.options, depth + 1
    elif isinstance(value, Seq):
        members = [*value.items, *([value.rest] if value.rest is not None else [])]
    elif isinstance(value, Dict):
        members = [*value.items.values(), *([value.rest] if value.rest is not None else [])]
    elif isinstance(value, Obj):
        data = value.cells.get("#data")
        figures = value.cells.get("#figures")
        return [data] if isinstance(data, Array) else [Array(kind="figure", scores=figures)] if figures else []
    else:
        return []
    return [array for member in members for array in arrays_in(member, depth - 1)]


def objects_in(value: Value | None, depth: int = 2) -> list[Obj]:
    """Objects inside a value."""
    if isinstance(value, Obj):
        return [value]
    if isinstance(value, Array):
        return [one for one in value.owner if isinstance(one, Obj)] if isinstance(value.owner, tuple) else []
    if isinstance(value, Choice):
        return [obj for option in value.options for obj in objects_in(option, depth)]
    if depth > 0 and isinstance(value, Seq):
        return [obj for item in (*value.items, value.rest) for obj in objects_in(item, depth - 1)]
    if depth > 0 and isinstance(value, Dict):
        return [obj for item in (*value.items.values(), value.rest) for obj in objects_in(item, depth - 1)]
    return []


PLAIN_EXTREMES = ("max", "min", "amax", "amin", "nanmax", "nanmin")
_CONDENSES = {
    "mean": "mean",
    "nanmean": "mean",
    "average": "mean",
    "fmean": "mean",
    "median": "median",
    "nanmedian": "median",
    "std": "spread",
    "nanstd": "spread",
    "var": "spread",
    "sem": "spread",
    "stdev": "spread",
    "quantile": "spread",
    "percentile": "spread",
    "max": "max",
    "amax": "max",
    "nanmax": "max",
    "argmax": "max",
    "nanargmax": "max",
    "idxmax": "max",
    "min": "min",
    "amin": "min",
    "nanmin": "min",
    "argmin": "min",
    "nanargmin": "min",
    "idxmin": "min",
    "sort": "max",
    "argsort": "max",
    "sorted": "max",
    "sum": "sum",
    "nansum": "sum",
    "describe": "spread",
}


def condensed(value: Array, name: str) -> Array:
    """A figure that stands for several, with the word for how they were condensed."""
    word = _CONDENSES.get(name)
    if word in ("mean", "median", "spread") and isinstance(value.owner, tuple) and value.owner[-1:] == ("epoch",):
        return value  # the mean over folds of the best epoch of each
    if word == "mean" and value.kind == "hits":
        return value  # the share of hits is the figure
    return value.but(shown=frozenset({word})) if word and value.scores else value


def shown_of(value: Value | None) -> frozenset[str]:
    """How the figures in a value were condensed; `each` when several reach the reader as they are."""
    found = [array for array in arrays_in(value, _RESULTS_DEPTH) if array.scores]
    words = frozenset().union(*(array.shown for array in found)) - {"sum"}
    several = isinstance(value, (Seq, Dict)) or any(array.owner == "folds" for array in found)
    return words | {"each"} if several and any(not array.shown for array in found) else words


def scores_of(value: Value | None) -> frozenset[int]:
    """Ids of the Score events that a value carries."""
    if isinstance(value, Array):
        return value.scores
    found: frozenset[int] = frozenset()
    for array in arrays_in(value, _RESULTS_DEPTH):
        found |= array.scores
    return found


def fields_of(value: Obj) -> Dict:
    """The attributes of an object that the program has set."""
    return Dict({name[1:]: content for name, content in value.cells.items() if name[:1] == "." and isinstance(content, Value)})


def shown(run: Run, value: Value, node: ir.Node) -> Value:
    """What a reader sees of a value: of an object of the project what its `__str__` makes of it, or its fields if it has some."""
    if not isinstance(value, Obj) or value.klass is None:
        return value
    for name in ("__str__", "__repr__"):
        found = value.klass.lookup(name)
        member = run.force(found[1], found[0].members, name) if found is not None else None
        if isinstance(member, Func):
            return run.inline(member, _call(node, []), value)  # type: ignore[arg-type]
    return fields_of(value) if value.klass.lookup("__fields__") is not None else value


def directed(direction: str, figure: Array) -> str:
    """The direction in which the metric itself is optimised when the (perhaps negated) figure is optimised in `direction`."""
    return direction if figure.sign > 0 else {"up": "down", "down": "up"}.get(direction, "") if figure.sign < 0 else ""


def data_of(value: Value | None) -> Array:
    """The data value inside a value: itself, the data of a loader or data set, or what the members of a list have in common."""
    if isinstance(value, Array):
        return as_data(value) if value.kind == "noise" else value
    if isinstance(value, Obj):
        data = value.cells.get("#data")
        if isinstance(data, Array):
            return data
        if value.is_a("dataset"):
            from mllint_bio.predict.library.networks import dataset_data

            return dataset_data(value)
        return UNKNOWN
    found = arrays_in(value)
    if not found:
        return UNKNOWN
    merged = join_all(found)
    return as_data(merged) if isinstance(merged, Array) else UNKNOWN


def as_data(value: Array) -> Array:
    """Random numbers as data: rows of their own.

    What is drawn is noise, a mask or an index as often as it is data, so it counts as data only where it is used as such.
    """
    if value.kind != "noise" or value.has_rows or not value.drawn.known:
        return value
    return value.but(kind="array", rows=value.drawn, drawn=UNKNOWN_ROWS)


def as_drawn(value: Value, before: Array) -> Value:
    """The result of an operation on random numbers that was done on them as data: random numbers still."""
    if isinstance(value, Array) and value.kind == "array" and value.has_rows:
        return value.but(kind="noise", rows=UNKNOWN_ROWS, drawn=value.rows)
    return before.but(drawn=UNKNOWN_ROWS, linear=None, mask=None) if isinstance(value, Array) else value


def blend(run: Run, values: Sequence[Value]) -> Array:
    """A value that depends on all of these in an unknown way: it keeps their facts and proves nothing new."""
    found = [array for value in values for array in arrays_in(value)]
    if not found:
        return UNKNOWN
    if len(found) == 1:
        one = found[0]
        return one.but(linear=None, mask=None, stat=one.stat if one.kind == "columns" else None, order=one.order)
    first, *others = found
    kind, name, group, noise, prediction = "", None, first.group, first.noise, first.prediction
    learned, scores, shown, chosen = first.learned, first.scores, first.shown, first.chosen
    for a in found:  # one loop: this is where the interpreter spends most of its time
        if a.rows.known:
            if name is None:
                name = a.name
            if not kind and a.kind in DATA_KINDS:
                kind = a.kind
    for a in others:
        learned = learned | a.learned if a.learned else learned
        scores = scores | a.scores if a.scores else scores
        shown = shown | a.shown if a.shown else shown
        chosen = chosen | a.chosen if a.chosen else chosen
        group, noise, prediction = group or a.group, noise or a.noise, prediction or a.prediction
    kind = kind or first.kind
    return UNKNOWN.but(
        kind=kind or (first.kind if first.kind != "empty" else "unknown"),
        rows=_common_rows(found),
        learned=learned,
        prediction=prediction,
        scores=scores,
        shown=shown,
        ordered=first.ordered if all(a.ordered == first.ordered for a in others) else "",
        group=group,
        noise=noise,
        name=name or "",
        chosen=chosen,
        visit=first.visit if all(a.visit == first.visit for a in others) else 0,
        sign=_common_sign(found),
        drawn=next((a.drawn for a in found if a.kind == "noise" and a.drawn.known), UNKNOWN_ROWS),
    )


def _common_sign(found: Sequence[Array]) -> int:
    """The sign of the figures among these; 0 when they differ."""
    signs = {a.sign for a in found if a.scores}
    return signs.pop() if len(signs) == 1 else 0 if signs else 1


def _common_rows(found: Sequence[Array]) -> Rows:
    known = list(dict.fromkeys(a.rows for a in found if a.has_rows))
    if not known:
        return UNKNOWN_ROWS
    if len(known) == 1:
        return known[0]
    predicted = list(dict.fromkeys(a.rows for a in found if a.has_rows and a.prediction is not None))
    return predicted[0] if len(predicted) == 1 else UNKNOWN_ROWS


def absorb(run: Run, call: Call, name: str = "") -> Value:
    """Result of a call that is not followed: it depends on all arguments, and holds an unknown subset of their rows."""
    return _unresolved_result(run, call, name)


_CLASS_NAME_OF_CODE = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*$")
_HOLDS_DATA = re.compile(
    r"data|set|load|read|corpus|cohort|batch|sampl|generator|record|image|table|frame|feature|split|store", re.I
)


def _is_tool(name: str, call: Call) -> bool:
    """Whether an unknown class is built of nothing that names data: `Preprocessor()` processes rows, it has none."""
    last = name.rsplit(".", 1)[-1]
    named = any(isinstance(v, Const) and isinstance(v.value, str) for v in call.everything())
    return not named and bool(_CLASS_NAME_OF_CODE.match(last)) and not _HOLDS_DATA.search(last)


def _unresolved_result(run: Run, call: Call, name: str) -> Value:
    run.unresolved(name, call)
    found = [a for v in call.everything() for a in arrays_in(v)]
    with_rows = [a for a in found if a.has_rows and a.kind not in ("scalar", "config")]
    # It may well have sorted them, or have applied a layer of its own.
    result = blend(run, found).but(unordered=None, activation="", activated_at=None) if found else UNKNOWN
    if not with_rows:
        rows = UNKNOWN_ROWS if _is_tool(name, call) else run.source(call.node, name)
        return result.but(kind="unknown", rows=rows, prediction=None, name="")
    rows = _common_rows(with_rows)
    if not rows.known:
        return result.but(kind="unknown", rows=UNKNOWN_ROWS, name="")
    kind = "item" if all(a.kind == "item" for a in with_rows) else "unknown"  # one file of a listing is read as one sample
    return result.but(kind=kind, rows=rows.some(run.site(call.node)), linear=None, mask=None, name="")


# -- iteration and unpacking -----------------------------------------------------------------------------------------


def iterated(run: Run, value: Value, node: ir.Node) -> Value:
    """What one round of a loop over the value gets."""
    if isinstance(value, Choice):
        return join_all([iterated(run, option, node) for option in value.options])
    if isinstance(value, Seq):
        member = value.element()
        one = not value.items and isinstance(member, Array) and member.kind == "unknown" and member.has_rows
        return member.but(kind="item") if one and isinstance(member, Array) and member.prediction is None else member
    if isinstance(value, Dict):
        keys = [Const(k) for k in value.items]
        return keys[0] if len(keys) == 1 and value.rest is None else UNKNOWN
    if isinstance(value, Const):
        return UNKNOWN
    if isinstance(value, Obj):
        from mllint_bio.predict.library.networks import iterate_object

        return iterate_object(run, value, node)
    if isinstance(value, Array):
        if value.kind == "range":
            return Array(kind="scalar", base=value.rows, rows=UNKNOWN_ROWS)
        if value.kind == "groups":
            return Seq("tuple", [Array(kind="scalar", name="key"), value.but(kind="table", rows=value.rows.some(run.site(node)))])
        if value.kind == "unique":
            return value.but(kind="scalar")
        if value.kind == "loader":
            return value.but(kind="batch", visit=run.visit(value.loader, node))
        kind = "item" if value.kind in ("table", "array", "dataset") else value.kind
        return value.but(kind=kind, linear=None, mask=None, drawn=UNKNOWN_ROWS)
    return UNKNOWN


def taken(value: Value, key: Hashable) -> Value:
    """What one `next` takes from a stream: some rows of those that the stream goes through, not known to be those of another."""
    if isinstance(value, Choice):
        return join_all([taken(option, key) for option in value.options])
    if isinstance(value, Seq):
        rest = taken(value.rest, key) if value.rest is not None else None
        return Seq(value.kind, [taken(item, key) for item in value.items], rest)
    if isinstance(value, Array) and value.rows.known:
        return value.but(rows=value.rows.some(key))
    return value


def piece(run: Run, value: Value, position: int, names: Sequence[str], node: ir.Node) -> Value:
    """Element `position` of a value that is unpacked into `names` but whose members are not known."""
    if isinstance(value, Seq):
        if value.exact and position < len(value.items):
            return value.items[position]
        return _one_drawn(value.element(), position)
    if isinstance(value, Dict):
        return UNKNOWN
    if isinstance(value, Obj):
        return iterated(run, value, node)
    if not isinstance(value, Array):
        return UNKNOWN
    if value.kind in ("batch", "item") and len(value.members) == len(names):
        return value.but(learned=value.members[position], members=())
    if not value.has_rows:
        return value.but(drawn=UNKNOWN_ROWS)  # a value of its own: two pieces are not the same
    if value.kind in ("batch", "item", "stat", "scalar", "noise") or value.prediction is not None:
        return value
    roles = [role_of_name(name) for name in names]
    if len({r for r in roles if r}) >= 2:  # what comes out is called train and test: different parts of what went in
        key = (run.site(node), roles[position] or position)
        rows = (
            value.rows.some(key)
            if len(value.rows.steps()) > 1
            else run.source(node, names[position], roles[position] or position)
        )
        return value.but(rows=rows, name=names[position])
    if value.kind == "unknown" and len(names) > 1:
        return value
    return value


def _one_drawn(element: Value, position: int) -> Value:
    """One of several arrays that were drawn at one place: two of them are not the same rows."""
    if isinstance(element, Seq):
        return Seq(element.kind, [_one_drawn(item, position) for item in element.items], element.rest)
    if isinstance(element, Array) and element.drawn.known:
        return element.but(drawn=element.drawn.some(("member", position)))
    return element


def unpacked(run: Run, value: Seq, targets: Sequence[ir.Expr], node: ir.Node) -> None:
    """Notice a splitter's results unpacked in another order than documented (names against parts)."""
    split = value.cells.get("#split")
    if split is None or len(targets) != len(value.items):
        return
    names = [t.name if isinstance(t, (ir.Name, ir.Attribute)) else "" for t in targets]
    roles = [role_of_name(name) for name in names]
    parts = ["train" if i % 2 == 0 else "test" for i in range(len(names))]
    run.amend(split, names=tuple(names))
    if len(names) < 2 or any(role == "" for role in roles) or "train" not in roles:
        return  # `test, val = split(held_out)` divides what was held out before
    # a development or validation part may stand first (it is divided further), a training part never second
    wrong = [
        i for i, (role, part) in enumerate(zip(roles, parts, strict=True)) if role == ("test" if part == "train" else "train")
    ]
    if wrong:
        first = wrong[0] - wrong[0] % 2
        second = first + 1
        run.emit(
            Pairing,
            node,
            train_name=names[first],
            train_base=parts[first],
            test_name=names[second],
            test_base=parts[second],
            swapped=True,
        )


def extend(run: Run, sequence: Seq, value: Value) -> None:
    """`list += value` and `list.extend(value)`."""
    if isinstance(value, Seq) and value.exact and not run.loops:
        _grow(run, sequence, value.items)
    else:
        _collect(run, sequence, iterated_silently(run, value))


def iterated_silently(run: Run, value: Value) -> Value:
    """One member of a value, without the events that a loop over it would cause."""
    if isinstance(value, (Seq, Dict)):
        return value.element()
    return value


def _grow(run: Run, sequence: Seq, items: Iterable[Value]) -> None:
    members = (*sequence.items, *items)
    if len(members) > 64:
        _collect(run, sequence, join_all(list(items)))
    else:
        if sequence.rest is not None:
            run.write(sequence, "#tail", (sequence.cells.get("#tail") or 0) + len(members) - len(sequence.items))
        run.write(sequence, "items", members)


def _collect(run: Run, sequence: Seq, value: Value) -> None:
    """Add a value that stands for an unknown number of members."""
    run.write(sequence, "rest", value if sequence.rest is None else join(sequence.rest, value))
    if sequence.cells.get("#tail"):
        run.write(sequence, "#tail", 0)


def coded(run: Run, node: ir.Node, iterables: Sequence[Value]) -> None:
    """A mapping from values to their positions depends on their order.

    `{name: code for code, name in enumerate(names)}`, `dict(zip(names, range(len(names))))`. The mapping back gives no codes:
    where nothing else does, it only numbers colours or lines of a figure.
    """
    if isinstance(node, ir.Comprehension) and isinstance(node.element, ir.Name):
        target = node.loops[0][0]
        if isinstance(target, ir.Collection) and node.element.name in [
            t.name for t in target.items[:1] if isinstance(t, ir.Name)
        ]:
            return
    for iterable in iterables:
        counted = iterable.cells.get("#counted") if isinstance(iterable, Seq) else None
        if isinstance(counted, Array):
            note_unordered(run, counted, "labels", run.site(node))


def comprehended(
    run: Run, node: ir.Comprehension, element: Value, iterables: Sequence[Value], filtered: bool, conditions: Sequence[Value]
) -> Value:
    """Result of a comprehension whose element and conditions were evaluated once."""
    first = iterables[0] if iterables else UNKNOWN
    hits = [one.scores for one in conditions if isinstance(one, Array) and one.kind == "hits"]
    if hits and isinstance(element, Const):  # `sum(1 for a, b in zip(predicted, truth) if a == b)`
        element = Array(kind="figure", scores=frozenset[int]().union(*hits))
    named = _selected([one for one in conditions if isinstance(one, Array) and one.kind == "columns"], element)
    if named is not element:
        return Seq("set" if node.kind == "set" else "list", (), named)
    if (
        len(iterables) == 1
        and isinstance(first, Array)
        and first.has_rows
        and isinstance(element, Array)
        and element.rows == first.rows
    ):
        rows = element.rows.some(run.site(node)) if filtered else element.rows
        kind = "mask" if element.kind == "mask" else "array" if first.kind in ("table", "array", "item") else first.kind
        return element.but(kind="index" if first.kind == "index" else kind, rows=rows, base=first.base)
    if len(iterables) == 1 and isinstance(first, Array) and first.kind == "index":
        if isinstance(element, Array) and element.kind == "index" and filtered:
            return Array(kind="index", rows=first.rows.some(run.site(node)), base=first.base)
        if isinstance(element, Array) and element.kind in ("scalar", "index"):
            return first
    if len(iterables) == 1 and isinstance(element, Array) and element.kind == "scalar" and element.base.known:
        return _counted(run, node, element.base, filtered, conditions)
    target, over, _ = node.loops[0]
    moving = {target.name} if len(iterables) == 1 and isinstance(target, ir.Name) else set()
    if moving and isinstance(element, Array) and _stops_short(over) and _moves(list(ir.walk(node.element)), moving):
        element = _of_one_recording(element)
    if len(iterables) > 1 and isinstance(element, Array) and element.has_rows:
        element = element.but(group=element.group or "source object")
    return Seq("set" if node.kind == "set" else "list", (), element)


def _counted(run: Run, node: ir.Comprehension, base: Rows, filtered: bool, conditions: Sequence[Value]) -> Array:
    """Positions that are collected under conditions: all, those in an index, those outside it, or an unknown part."""
    rows = base.some(run.site(node)) if filtered else base
    mask = conditions[0].mask if len(conditions) == 1 and isinstance(conditions[0], Array) else None
    if mask is not None and isinstance(mask[0], ByIdentifier):
        inside = mask[0].rows.moved(mask[0].table, base)
        if inside.known:
            rows = inside if mask[1] else base.without(inside)
    return Array(kind="index", rows=rows, base=base)


# -- arithmetic ------------------------------------------------------------------------------------------------------

_FOLD: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
_WIDE = re.compile(r"%[^%a-zA-Z]*\d{4}")  # a format whose result is long however short its arguments are


def _with_margin(run: Run, node: ir.Node, number: int, op: str, by: Any) -> None:
    """`1.1 * max(values)`, `min(values) - 0.05`, `0.02 * max(values)`: an extreme places something in a drawing, and nothing is
    chosen by it."""
    select = run.events[number]
    if not isinstance(select, Select) or isinstance(by, bool) or not isinstance(by, (int, float)) or by <= 0:
        return
    largest = "max" in select.how
    scaled = op == "*" and (by <= 0.2 or (1 < by <= 2 if largest else by < 1))
    if select.how not in PLAIN_EXTREMES or all(one.id != select.at.node for one in ir.walk(node)):
        return
    if scaled or (op == ("+" if largest else "-") and by < 1):
        run.amend(number, what="range", scores=frozenset())


def binary(run: Run, node: ir.Node, left: Value, op: str, right: Value) -> Value:
    """`left op right`."""
    if isinstance(left, Const) and isinstance(right, Const):
        return _fold(left.value, op, right.value)
    if isinstance(left, Choice) or isinstance(right, Choice):
        pairs = [(a, b) for a in options(left) for b in options(right)]
        if len(pairs) <= 8:
            return join_all([binary(run, node, a, op, b) for a, b in pairs])
        return blend(run, [left, right])
    if isinstance(left, Seq) and isinstance(right, Seq) and op == "+":
        rest = join_all([r for r in (left.rest, right.rest) if r is not None]) if left.rest or right.rest else None
        return Seq(left.kind, (*left.items, *right.items), rest)
    if isinstance(left, Seq) and op == "*":
        if not left.items and left.rest is None:
            return Seq(left.kind)
        one = left.element()
        table = isinstance(one, Array) and one.has_rows and one.kind in ("table", "array") and one.prediction is None
        return Seq(left.kind, (), one.but(owner="repeated") if table and isinstance(one, Array) else one)
    if op in ("+", "%") and _names_device(left):
        return Array(kind="text", name=str(left.value))  # type: ignore[attr-defined]
    a, b = as_array(left), as_array(right)
    if a is None or b is None:
        return blend(run, [left, right])
    if op in ("&", "|"):
        names = {"index", "set", "unique"}
        if a.kind in names and b.kind in names and a.has_rows and b.has_rows:
            return a.but(rows=_in_both(a.rows, b.rows) if op == "&" else union([a.rows, b.rows]), order=None)
        return _combine_masks(run, node, a, op, b)
    for extreme, other in ((a, right), (b, left)):
        if isinstance(extreme.owner, tuple) and extreme.owner[:1] == ("chosen",) and isinstance(other, Const):
            _with_margin(run, node, extreme.owner[1], op, other.value)
    if op == "+" and a.kind == b.kind == "parameters":  # of two networks, for one optimizer
        return join(a, b)
    if op == "-" and a.kind in ("index", "set") and b.kind in ("index", "set") and a.has_rows and b.has_rows:
        return a.but(rows=a.rows.without(b.rows), order=None)
    if op == "@":
        return a.but(linear=None, mask=None, activation="linear") if a.has_rows or a.drawn.known else b
    for data, other in ((a, b), (b, a)):
        if data.kind == "noise" and data.drawn.known and other.stat is not None and other.rows == data.drawn:
            x, y = (as_data(a), b) if data is a else (a, as_data(b))
            return as_drawn(binary(run, node, x, op, y), data)
    linear = _linear(a, left, op, b, right)
    if linear is not None or (a.kind == "scalar" and b.kind == "scalar"):
        merged = blend(run, [x for x in (a, b) if x is not UNKNOWN])
        return merged.but(
            kind="scalar", linear=linear, rows=UNKNOWN_ROWS if not merged.scores and not merged.prediction else merged.rows
        )
    applied = _apply_statistic(run, node, a, op, b)
    if applied is not None:
        return applied
    if _is_statistic(a) != _is_statistic(b):  # whatever the rows of the statistic, the data keep theirs
        data, stat = (a, b) if _is_statistic(b) else (b, a)
        if data.has_rows and not (data.scores or stat.scores):
            return data.but(learned=data.learned | stat.learned, linear=None, mask=None, activation="")
    for data, noise in ((a, b), (b, a)):
        if (
            noise.kind == "noise"
            and noise.noise != "clock"
            and data.has_rows
            and data.kind in ("array", "table", "unknown", "param")
        ):
            return data.but(linear=None, mask=None, owner="augmented")
    handwritten = _hand_error(run, node, a, op, b) | _hand_hits(run, node, a, op, b)
    result = blend(run, [x for x in (left, right) if not isinstance(x, Const)])
    if op == "/" and a.shown == {"sum"}:
        result = result.but(shown=frozenset() if _of_one_pass(run, a) else frozenset({"mean"}))
        _divided(run, node, a)
    if isinstance(right, Const) or isinstance(left, Const):
        kept = a if isinstance(right, Const) else b
        result = result.but(activation=kept.activation if op in ("*", "/") else "", activated_at=kept.activated_at)
        if result.prediction and op in ("*", "+", "-", "/"):
            result = result.but(prediction=kept.prediction)
    else:
        result = result.but(activation="")
    return result.but(scores=result.scores | handwritten, linear=None, mask=None, sign=_sign(left, a, op, right, b))


def _in_both(rows: Rows, other: Rows) -> Rows:
    """Rows whose identifiers are in two sets of identifiers."""
    return other if other.subset(rows) else rows if rows.subset(other) else rows.some(("in both", other))


def _names_device(value: Value) -> bool:
    """Whether a text begins as the name of a GPU does: `"cuda:" + str(number)`."""
    return isinstance(value, Const) and isinstance(value.value, str) and value.value.startswith("cuda")


def _sign(left: Value, a: Array, op: str, right: Value, b: Array) -> int:
    """Whether a larger result means a larger figure (1), a smaller one (-1), or neither for sure (0)."""
    if a.scores and b.scores:
        return a.sign if op == "+" and a.sign == b.sign else 0
    if not (a.scores or b.scores):
        return 1
    sign = a.sign if a.scores else b.sign
    other = right if a.scores else left
    turned = op == "-" and not a.scores or op == "/" and not a.scores
    if op in ("*", "/") and isinstance(other, Const) and isinstance(other.value, (int, float)) and other.value < 0:
        turned = not turned
    return -sign if turned else sign


def _of_one_pass(run: Run, total: Array) -> bool:
    """Whether a sum runs over the batches or the samples of one evaluation: divided by their number it is one figure, no mean."""
    if total.owner == "counted":
        return True
    loops = [run.events[number].loops for number in total.scores]
    return all(inside and inside[-1].kind is LoopKind.BATCH and inside[:-1] == run.loops for inside in loops)


def _divided(run: Run, node: ir.Node, hits: Array) -> None:
    """A counter of hits becomes an accuracy where it is divided by their number: the figure stands there."""
    for number in hits.scores:
        score = run.events[number]
        if isinstance(score, Score) and score.handwritten and score.metric == "accuracy":
            run.amend(number, at=run.site(node), calls=run.calls, loops=run.loops, branch=run.branch)


def _fold(a: Any, op: str, b: Any) -> Value:
    try:
        if isinstance(a, str):
            if op == "%" and isinstance(b, (int, float, str)) and not _WIDE.search(a):
                return constant(a % b)
            return constant(a + b) if op == "+" and isinstance(b, str) else UNKNOWN
        if not isinstance(a, (int, float)) or not isinstance(b, (int, float)):
            return UNKNOWN
        if op == "**":
            return constant(a**b) if abs(b) < 64 else UNKNOWN
        return constant(_FOLD[op](a, b)) if op in _FOLD else UNKNOWN
    except (TypeError, ArithmeticError, ValueError):
        return UNKNOWN


def as_array(value: Value) -> Array | None:
    """The value as data; constants carry nothing."""
    if isinstance(value, Array):
        return value
    if isinstance(value, Const):
        return Array(kind="scalar") if isinstance(value.value, (int, float)) else UNKNOWN
    if isinstance(value, Obj):
        data = value.cells.get("#data")
        return data if isinstance(data, Array) else None
    if isinstance(value, Seq):
        found = arrays_in(value)
        joined = join_all(found) if found else UNKNOWN
        return joined if isinstance(joined, Array) else None
    return None


def bound_of(value: Value) -> Bound | None:
    """A value as a slice boundary; an unknown number is a symbol of its own."""
    if isinstance(value, Const):
        return Bound(float(value.value)) if isinstance(value.value, (int, float)) and not isinstance(value.value, bool) else None
    if isinstance(value, Array):
        return value.linear or Bound(0.0, ((f"v{id(value)}", 1.0),))
    return Bound(0.0, ((f"v{id(value)}", 1.0),))


def _linear(a: Array, left: Value, op: str, b: Array, right: Value) -> Bound | None:
    if a.linear is None and b.linear is None:
        return None
    x = a.linear if a.linear is not None else bound_of(left) if isinstance(left, (Const, Array)) else None
    y = b.linear if b.linear is not None else bound_of(right) if isinstance(right, (Const, Array)) else None
    if x is None or y is None:
        return None
    if op in ("+", "-"):
        sign = 1.0 if op == "+" else -1.0
        terms = dict(x.terms)
        for symbol, factor in y.terms:
            terms[symbol] = terms.get(symbol, 0.0) + sign * factor
        return Bound(x.constant + sign * y.constant, tuple(sorted((s, f) for s, f in terms.items() if f)))
    if op in ("*", "/", "//"):
        if not y.terms and y.constant:
            factor = y.constant if op == "*" else 1.0 / y.constant
            return Bound(x.constant * factor, tuple((s, f * factor) for s, f in x.terms))
        if op == "*" and not x.terms:
            return Bound(y.constant * x.constant, tuple((s, f * x.constant) for s, f in y.terms))
    return None


def _apply_statistic(run: Run, node: ir.Node, a: Array, op: str, b: Array) -> Value | None:
    """Data minus its mean, data over its maximum: a transform written by hand, fitted on the rows of the statistic."""
    if op not in ("-", "/", "*", "+") or (a.stat is None) == (b.stat is None):
        return None
    data, stat = (a, b) if b.stat is not None else (b, a)
    if not data.has_rows or data.kind not in ("table", "array", "unknown", "param") or data.prediction is not None or data.scores:
        return None
    rows, site, learned, method = stat.stat
    subject = Subject(api=f"statistic.{method}", role="statistic", at=site, name=stat.name)
    number = run.emit(Fit, site, subject=_same_subject(run, site, subject), role="statistic", data=stat.view(), method=method)
    return data.but(learned=data.learned | learned | {Learned(number, "statistic", rows)}, linear=None, mask=None)


def filled(run: Run, value: Array, other: Value | None, method: str) -> Array:
    """Data whose gaps are filled with a statistic: an imputation written by hand, fitted on the rows of the statistic."""
    stat = other if isinstance(other, Array) and other.stat is not None else None
    if stat is None or not value.has_rows:
        return value
    rows, site, learned, measure = stat.stat
    subject = _same_subject(run, site, Subject(api=f"statistic.{measure}", role="statistic", at=site))
    number = run.emit(Fit, site, subject=subject, role="statistic", data=stat.view(), method=method)
    return value.but(learned=value.learned | learned | {Learned(number, "statistic", rows)})


def _is_statistic(array: Array) -> bool:
    """Whether it condenses data or predictions (not figures of merit)."""
    return array.stat is not None or (array.kind == "figure" and not array.scores)


def _same_subject(run: Run, site: Any, subject: Subject) -> Subject:
    """One subject per place, so that a loop does not make new ones."""
    return run.statistics.setdefault((site, subject.api), subject)


def _hand_hits(run: Run, node: ir.Node, a: Array, op: str, b: Array) -> frozenset[int]:
    """`predicted * truth` of classes 0 and 1: ones where both are."""
    prediction = a.prediction or b.prediction
    if op != "*" or prediction is None or prediction.output != "label" or a.scores or b.scores or a.rows != b.rows:
        return frozenset()
    return _true_positives(run, node, a, b)


def _hand_error(run: Run, node: ir.Node, a: Array, op: str, b: Array) -> frozenset[int]:
    """`prediction - truth`: the start of a hand-written regression error; a figure once it is condensed or told (`as_figure`),
    for a difference of images is looked at."""
    if op != "-" or (a.prediction is None) == (b.prediction is None) or run.inside_forward:
        return frozenset()
    predicted, truth = (a, b) if a.prediction is not None else (b, a)
    if not truth.has_rows or predicted.rows != truth.rows or truth.kind == "scalar" or predicted.prediction is None:
        return frozenset()
    return frozenset({emit_score(run, node, "error", "residual", predicted, truth, direction="down", handwritten=True)})


def as_figure(run: Run, scores: Iterable[int]) -> None:
    """Differences between predictions and truths become figures of merit: they were condensed, told, or chosen by."""
    for number in scores:
        score = run.events[number]
        if isinstance(score, Score) and score.family == "residual":
            run.amend(number, family="regression")


def emit_score(run: Run, node: ir.Node, metric: str, family: str, predicted: Array, truth: Array, **fields: Any) -> int:
    """Record a figure computed from a prediction and the truth, and return its id."""
    prediction = predicted.prediction
    subject = prediction.subject if prediction else None
    fitted = prediction.fitted if prediction and prediction.fitted.known else prediction_fitted(subject)
    rows = predicted.rows if predicted.has_rows else truth.rows
    data = predicted.but(rows=rows, name=predicted.name or truth.name)
    view = data.view()
    if not view.named_role and role_of_name(truth.name):
        view = data.but(name=truth.name).view()
    inputs = predicted.learned | truth_facts(truth)
    return run.emit(
        Score,
        node,
        metric=metric,
        family=family,
        data=view,
        truth=truth.view(),
        subject=subject,
        fitted=fitted,
        inputs=inputs,
        chosen=predicted.chosen,
        **fields,
    )


def truth_facts(truth: Array) -> frozenset[Learned]:
    """What shaped the labels is no leak into the model's inputs, except where the label column itself was resampled."""
    return frozenset()


def prediction_fitted(subject: Subject | None) -> Rows:
    """Rows that this subject has learned from so far."""
    if subject is None:
        return UNKNOWN_ROWS
    rows = subject.facts.get("fitted")
    return rows if isinstance(rows, Rows) else UNKNOWN_ROWS


# -- comparison and masks --------------------------------------------------------------------------------------------


def compare(run: Run, node: ir.Compare, left: Value, op: str, right: Value) -> Value:
    """`left op right`."""
    if op in ("is", "is not"):
        return _identity(left, op, right)
    if isinstance(left, Const) and isinstance(right, Const):
        return _compare_constants(left.value, op, right.value)
    if op in ("in", "not in"):
        return _membership(run, left, op, right)
    if isinstance(left, Choice) and isinstance(right, Const) and all(isinstance(o, Const) for o in left.options):
        return UNKNOWN
    a, b = as_array(left), as_array(right)
    if a is not None and a.kind == "noise" and a.order is not None and isinstance(right, Const):
        return Array(kind="mask", mask=(RandomMask(a.order, right.value), op in ("<", "<=", "==")))
    figure = next((x for x in (a, b) if x is not None and _of_columns(x)), None)
    if figure is not None and (a is None or b is None or not (a.has_rows and b.has_rows) or a.kind == b.kind):
        return as_columns(figure)
    if a is not None and b is None and a.has_rows and a.prediction is None and a.kind not in ("scalar", "item", "batch"):
        return a.but(kind="mask", mask=((run.site(node), "cmp"), True), linear=None)  # compared with one of several values
    if a is not None and a.activation and a.prediction is None and op in (">", ">=", "<", "<=") and isinstance(right, Const):
        return a.but(activation="class", linear=None, mask=None)
    if a is None or b is None:
        return blend(run, [left, right])
    if a.prediction is not None or b.prediction is not None:
        return _compare_prediction(run, node, a, op, b, right)
    if a.has_rows and isinstance(right, Const) and a.kind not in ("scalar", "item", "batch"):
        column = (a.rows, a.column or a.name)
        if op in ("==", "!="):
            return a.but(kind="mask", mask=(Equals(column, right.value), op == "=="), linear=None)
        return a.but(kind="mask", mask=((column, _positive(op), right.value), op in ("<", "<=")), linear=None)
    if a.has_rows and a.kind not in ("scalar", "item", "batch"):
        return a.but(kind="mask", mask=((run.site(node), "cmp"), True), linear=None)
    return blend(run, [left, right]).but(linear=None)


def _positive(op: str) -> str:
    """Complementary comparisons share one key."""
    return "<|>=" if op in ("<", ">=") else "<=|>"


def _identity(left: Value, op: str, right: Value) -> Value:
    if isinstance(right, Const) and (right.value is None or isinstance(right.value, bool)):
        if isinstance(left, Const):
            return Const((left.value is right.value) == (op == "is"))
        if isinstance(left, (Obj, Seq, Dict, Func)):
            return Const(op == "is not")
    return UNKNOWN


def _compare_constants(a: Any, op: str, b: Any) -> Value:
    try:
        match op:
            case "==":
                return Const(a == b)
            case "!=":
                return Const(a != b)
            case "<":
                return Const(a < b)
            case "<=":
                return Const(a <= b)
            case ">":
                return Const(a > b)
            case ">=":
                return Const(a >= b)
            case "in":
                return Const(a in b)
            case "not in":
                return Const(a not in b)
    except TypeError:
        pass
    return UNKNOWN


def _membership(run: Run, left: Value, op: str, right: Value) -> Value:
    members: list[Any] | None = None
    if isinstance(right, Seq) and right.exact and all(isinstance(i, Const) for i in right.items):
        members = [i.value for i in right.items if isinstance(i, Const)]
    elif isinstance(right, Dict) and right.rest is None:
        members = list(right.items)
    if members is not None and isinstance(left, Const):
        return Const((left.value in members) == (op == "in"))
    if isinstance(left, Array) and left.kind == "scalar" and left.base.known and isinstance(right, Array) and right.base.known:
        return Array(kind="mask", mask=(ByIdentifier(right.rows, right.base), op == "in"))
    if isinstance(left, Array) and left.has_rows:
        return blend(run, [left]).but(kind="mask", mask=(_among(right), op == "in"))
    return UNKNOWN


def _among(members: Value | None) -> Any:
    """Key of a mask: the rows whose value is one of these."""
    array = as_array(members) if members is not None else None
    return ("in", repr(array.rows), array.column or array.name) if array is not None and array.has_rows else ("in", id(members))


def _compare_prediction(run: Run, node: ir.Compare, a: Array, op: str, b: Array, right: Value) -> Value:
    predicted, other = (a, b) if a.prediction is not None else (b, a)
    prediction = predicted.prediction
    assert prediction is not None
    if (
        op in ("==", "!=")
        and other.prediction is None
        and not isinstance(right, Const)
        and (other.has_rows or other.kind in ("item", "batch", "array"))
    ):
        if not run.inside_forward and not run.sifting and not predicted.scores:
            number = emit_score(
                run, node, "accuracy", "label", predicted, other, direction="up", handwritten=True, decomposable=True
            )
            return predicted.but(kind="hits", scores=predicted.scores | {number}, prediction=None, mask=None)
        return predicted.but(kind="hits", mask=None)
    if op in (">", ">=", "<", "<=") and not predicted.scores:
        label = Array(**{**_fields(predicted), "prediction": _as_output(prediction, "label"), "activation": ""})
        threshold = b if predicted is a else a
        if isinstance(threshold.loop, Loop):
            run.cutoff_loops.add(threshold.loop)
        return label.but(
            chosen=label.chosen | threshold.chosen,
            owner=threshold.owner if isinstance(threshold.owner, str) else predicted.owner,
            scores=label.scores | threshold.scores,
        )
    return predicted.but(kind="mask", scores=a.scores | b.scores, mask=((run.site(node), "p"), True))


def is_cut(value: Value) -> TypeGuard[Array]:
    """Whether it is what a model predicts, compared with a threshold: labels, as yet called true and false."""
    return (
        isinstance(value, Array) and value.prediction is not None and value.prediction.output == "label" and value.kind != "hits"
    )


def _values_and_indices(values: Array, indices: Array) -> Seq:
    """What `torch.max` over a dimension gives: a pair that may be unpacked or asked by name."""
    both = Seq("tuple", [values, indices])
    both.cells["#fields"] = {"values": values, "indices": indices}
    return both


def _as_output(prediction: Any, output: str) -> Any:
    from dataclasses import replace

    return replace(prediction, output=output)


def _fields(array: Array) -> dict[str, Any]:
    return {name: getattr(array, name) for name in array.__dataclass_fields__}


def negated(run: Run, value: Value) -> Value:
    """`~mask`."""
    if isinstance(value, Array):
        if value.kind == "complement-of":
            return value
        if value.kind == "noise" and value.order is not None:
            return Array(kind="mask", mask=(RandomMask(value.order), False))
        if value.mask is None and value.kind in ("array", "table") and _is_column(value):
            return value.but(kind="mask", mask=(_column_key(value), False))
        return value.but(
            mask=(value.mask[0], not value.mask[1]) if value.mask is not None else None, kind="mask" if value.mask else value.kind
        )
    return UNKNOWN


_TRUTH = re.compile(r"(^|_)(y|labels?|targets?|true|truth|gt|gold|actual)($|_)", re.I)


def _combine_masks(run: Run, node: ir.Node, a: Array, op: str, b: Array) -> Value:
    if a.prediction is not None or b.prediction is not None:
        merged = blend(run, [a, b])
        return merged.but(scores=_true_positives(run, node, a, b)) if op == "&" and not merged.scores else merged
    rows = a.rows if a.has_rows else b.rows
    return blend(run, [a, b]).but(kind="mask", rows=rows, mask=((run.site(node), a.mask, op, b.mask), True))


def _true_positives(run: Run, node: ir.Node, a: Array, b: Array) -> frozenset[int]:
    """A predicted class together with the true one: what precision and recall are counted from."""
    predicted, other = (a, b) if a.prediction is not None else (b, a)
    side = (node.right if predicted is a else node.left) if isinstance(node, ir.Binary) else node
    names = (other.name, other.column, side.name if isinstance(side, ir.Name) else "")
    truth = other.has_rows and other.prediction is None and any(_TRUTH.search(name) for name in names)
    if not truth or run.inside_forward:
        return frozenset()
    return frozenset({emit_score(run, node, "confusion_matrix", "label", predicted, other, handwritten=True, decomposable=True)})


def cell(run: Run, node: ir.Boolean, left: Value, right: Value) -> Value | None:
    """`called == 1 and truth == 1`: a cell of the table of hits and misses; two of them with `or` are cells as well."""
    if not isinstance(left, Array) or not isinstance(right, Array) or run.inside_forward:
        return None
    if node.op == "or":
        return left if _is_cell(left) and _is_cell(right) else None
    if (left.prediction is None) == (right.prediction is None) or left.scores or right.scores:
        return None
    predicted, truth, where = (left, right, node.right) if left.prediction is not None else (right, left, node.left)
    named = [one.name for one in ir.walk(where) if isinstance(one, (ir.Name, ir.Attribute))]
    if not truth.has_rows or not any(map(_TRUTH.search, (truth.name, truth.column, *named))):
        return None
    return blend(run, [left, right]).but(owner=("cell", predicted, truth))


def _is_cell(value: Value) -> bool:
    return isinstance(value, Array) and isinstance(value.owner, tuple) and value.owner[:1] == ("cell",)


def counted(run: Run, node: ir.Expr, test: Value) -> Value:
    """The test of an `if` in which hits may be counted one by one: a cell becomes a figure, two of them an accuracy."""
    if not isinstance(test, Array) or not _is_cell(test):
        return test
    _, predicted, truth = test.owner
    both = isinstance(node, ir.Boolean) and node.op == "or"
    metric = "accuracy" if both else "confusion_matrix"
    number = emit_score(run, node, metric, "label", predicted, truth, handwritten=True, decomposable=True)
    return test.but(kind="hits", scores=frozenset({number}), prediction=None, mask=None, owner=None)


# -- indexing --------------------------------------------------------------------------------------------------------


def subscript(run: Run, value: Value, indices: Sequence[Value], node: ir.Subscript) -> Value:
    """`value[indices]`."""
    if isinstance(value, Choice):
        # A loader has no items: where one is indexed (`loaders[0]`), the value is the list of the other branch.
        able = [o for o in value.options if o is not NONE and not (isinstance(o, Obj) and o.is_a("loader"))]
        return join_all([subscript(run, option, indices, node) for option in able or value.options])
    index = indices[0] if len(indices) == 1 else None
    if isinstance(value, Seq):
        found = _item_of_sequence(run, value, index, node)
        if isinstance(found, Array) and isinstance(index, Array) and (index.shown or index.chosen):
            return found.but(shown=index.shown if found.scores else found.shown, chosen=found.chosen | index.chosen)
        return found
    if isinstance(value, Dict):
        if isinstance(index, Const):
            member = value.items.get(index.value) if _hashable(index.value) else None
            if member is None and "#default" in value.cells:
                return entered(run, value, index, run.call(value.cells["#default"], _call(node, [])))
            return member if member is not None else value.rest if value.rest is not None else UNKNOWN
        if value.rest is None and "#default" in value.cells:
            entered(run, value, index, run.call(value.cells["#default"], _call(node, [])))
        one = value.element()
        if isinstance(one, Array) and one.has_rows and not value.items:  # one entry of many: not all of their rows
            key = run.first_use(index, node) if isinstance(index, Array) else run.site(node)
            return one.but(rows=one.rows.some(key))
        return one
    if isinstance(value, Bound_) and isinstance(value.receiver, Array):
        return subscript(run, value.receiver, indices, node)
    if isinstance(value, Array) and value.kind == "history" and isinstance(index, Const) and isinstance(index.value, str):
        return value.but(scores=_curve(run, value.scores, index.value))
    if isinstance(value, Obj):
        return _item_of_object(run, value, indices, node)
    if isinstance(value, Const):
        return UNKNOWN
    if not isinstance(value, Array):
        from mllint_bio.predict.library.calls import external_item

        return external_item(run, value, indices, node)
    if len(indices) == 1 and isinstance(index, Seq) and index.kind == "tuple":
        indices = index.items
        index = indices[0] if len(indices) == 1 else None
    if value.kind == "index" and isinstance(index, Array) and index.kind in ("table", "array") and index.has_rows:
        return index.but(kind="array")  # codes are looked up in a list: one entry for each row of the codes
    rowwise = value.kind == "indexer"
    target = value.owner[0] if rowwise and isinstance(value.owner, tuple) else value
    if target.scores:
        from mllint_bio.predict.library import results

        figures = results.column(target, index.value) if isinstance(index, Const) and not rowwise else None
        best = figures if figures is not None else results.first_row(run, node, target, indices)
        if best is not None:
            return best
    result = _select_rows(run, target, indices, node, rowwise)
    return result


def entered(run: Run, mapping: Dict, key: Value | None, value: Value) -> Value:
    """The value, put into the mapping under a key that it lacks."""
    if isinstance(key, Const) and _hashable(key.value):
        run.write(mapping, "items", {**mapping.items, key.value: value})
    else:
        run.write(mapping, "rest", value if mapping.rest is None else join(mapping.rest, value))
    return value


def _curve(run: Run, scores: frozenset[int], key: str) -> frozenset[int]:
    """The figures of the validation rows that a history keeps under `val_auc`; none under the name of a training curve."""
    if not key.startswith("val_"):
        return frozenset()
    name = {"acc": "accuracy"}.get(key[4:].lower(), re.sub(r"_\d+$", "", key[4:].lower()))
    found = frozenset(n for n in scores if isinstance(e := run.events[n], Score) and e.metric.lower() == name)
    return found or scores


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _item_of_sequence(run: Run, value: Seq, index: Value | None, node: ir.Node) -> Value:
    if isinstance(index, Const) and isinstance(index.value, int) and value.exact:
        if -len(value.items) <= index.value < len(value.items):
            return value.items[index.value]
        return UNKNOWN  # it has no such member: this is not what happens
    if isinstance(index, Const) and isinstance(index.value, int):
        one = value.element()  # of a list that grew in a loop: two members are not the same rows
        return one.but(rows=one.rows.some(("member", index.value))) if isinstance(one, Array) and one.has_rows else one
    if isinstance(index, Seq) and index.kind == "slice":
        bounds: list[Any] = [b.value if isinstance(b, Const) else _missing for b in index.items]
        if value.exact and _missing not in bounds and all(b is None or isinstance(b, int) for b in bounds):
            return Seq(value.kind, value.items[slice(*bounds)])
        element = value.element()
        if isinstance(element, Array) and element.has_rows:
            return _slice_rows(
                run,
                Array(kind="array", rows=element.rows, learned=element.learned, name=element.name, group=element.group),
                index,
                node,
            )
        if (isinstance(element, Seq) and element.exact) or (isinstance(element, Dict) and element.rest is None):
            return Seq(value.kind, (), _slice_records(run, element, index, node))
        return Seq(value.kind, (), element)
    one = value.element()
    if isinstance(one, Array) and one.has_rows and one.kind in ("table", "array", "index") and one.prediction is None:
        return one.but(rows=one.rows.some((run.site(node), run.calls)))  # two members of a list are not the same rows
    return one


def _slice_records(run: Run, record: Seq | Dict, index: Seq, node: ir.Node) -> Seq | Dict:
    """What the members of a piece of a list of records look like: each field holds rows of the piece.

    No split is noted: a list is cut for batches as well.
    """

    def cut(field: Value) -> Value:
        if isinstance(field, Array) and field.has_rows:
            return field.but(rows=_slice_rows(run, field.but(kind="item"), index, node).rows, order=None)
        return field

    if isinstance(record, Dict):
        return Dict({key: cut(field) for key, field in record.items.items()})
    return Seq(record.kind, [cut(field) for field in record.items])


_missing = object()


def _item_of_object(run: Run, value: Obj, indices: Sequence[Value], node: ir.Subscript) -> Value:
    if value.klass is not None:
        found = value.klass.lookup("__getitem__")
        if found is not None and not value.is_a("dataset"):
            return run.call_method(value, "__getitem__", _call(node, list(indices)))
    if ".[]" in value.cells:
        return value.cells[".[]"]  # type: ignore[no-any-return]
    children = value.cells.get("#children")
    if isinstance(children, Seq):
        return _item_of_sequence(run, children, indices[0] if indices else None, node)
    data = data_of(value)
    if data.has_rows:
        return _select_rows(run, data, indices, node, False)
    return UNKNOWN


def _call(node: ir.Expr, args: list[Value]) -> Any:
    from mllint_bio.predict.interpreter import Call

    return Call(node, args, {})


def _select_rows(run: Run, value: Array, indices: Sequence[Value], node: ir.Subscript, rowwise: bool) -> Value:
    first = indices[0] if indices else UNKNOWN
    if value.kind == "noise" and value.drawn.known and not value.has_rows:
        return as_drawn(_select_rows(run, as_data(value), indices, node, rowwise), value)
    value = value.but(linear=None, mask=None)
    if isinstance(first, Choice):
        return join_all([_select_rows(run, value, [option, *indices[1:]], node, rowwise) for option in first.options])
    column = indices[1] if len(indices) > 1 else None
    if column is not None and names_of_another(column, value):
        note_aligned(run, value)
    name = column.value if isinstance(column, Const) and isinstance(column.value, (str, int)) else ""
    if name != "":
        value = value.but(column=str(name))
    if value.kind == "groups":
        return value.but(column=str(first.value)) if isinstance(first, Const) else value
    if value.kind == "stat" and isinstance(first, Array) and first.kind == "index" and first.base == value.rows:
        value = value.but(kind="array", stat=None)  # a figure of every row after all
    if value.kind == "stat" and not (isinstance(first, Array) and first.kind == "index" and _is_side(first)):
        pairwise = value.stat is not None and value.stat[3] in _PAIRWISE
        return value.but(column=first.value) if pairwise and isinstance(first, Const) and isinstance(first.value, str) else value
    if isinstance(first, Const):
        if first.value == "rank_genes_groups" and value.rows in run.ranked:  # of `adata.uns`
            return Array(kind="columns", learned=run.ranked[value.rows])
        if isinstance(first.value, str) and _opaque(value) and not rowwise:
            return member_of(value, first.value)
        if isinstance(first.value, str):
            return value.but(column=first.value) if value.kind != "dict-like" else value
        if first.value is None or first.value is Ellipsis:
            return value
        if isinstance(first.value, int):
            if value.kind in ("scalar", "shape"):
                return value.but(kind="scalar", linear=value.linear if first.value == 0 else None)
            if value.prediction is not None and value.kind in ("stat-pair",):
                return value
            if value.kind in ("batch", "item") and -len(value.members) <= first.value < len(value.members):
                return value.but(learned=value.members[first.value], members=())
            return value.but(kind="item") if not (len(indices) > 1) else value
    if isinstance(first, Seq):
        if first.kind == "slice":
            if _is_full(first):
                second = indices[1] if len(indices) > 1 else None
                if any(_reverses(i) for i in indices[1:]) and value.kind in ("array", "table", "unknown", "param"):
                    return value.but(owner="augmented")
                named = [as_columns(a) if _of_columns(a) else a for a in arrays_in(second)] if second is not None else []
                if value.prediction is not None or not named:
                    return value
                return functools.reduce(lambda data, columns: choose_columns(run, data, columns), named, value)
            return _slice_rows(run, value, first, node)
        if (
            first.kind in ("list", "tuple")
            and first.exact
            and all(isinstance(i, Const) and isinstance(i.value, str) for i in first.items)
            and not rowwise
        ):
            return value.but(column="")
        if value.has_rows and _says_yes_or_no(first):  # `table[[name in chosen for name in table["name"]]]`
            return value.but(rows=value.rows.some(run.first_use(first, node)))
        inner = arrays_in(first)
        if inner and any(a.kind == "index" for a in inner):
            return _by_index(run, value, next(a for a in inner if a.kind == "index"), node)
        if value.has_rows and any(a.kind == "scalar" and (a.base == value.rows or a.base.label == POSITIONS) for a in inner):
            return value.but(rows=value.rows.some(run.first_use(first, node)))  # some of its positions, collected one by one
        if not rowwise and not isinstance(first.element(), Const):
            return functools.reduce(lambda data, columns: choose_columns(run, data, columns), inner, value)
        if not (value.has_rows and rowwise):
            return value
        listed = frozenset(a.rows for a in inner if a.has_rows)  # one helper cuts a table for each of several lists
        return value.but(rows=value.rows.some((run.site(node), listed) if listed else run.first_use(first, node)))
    if isinstance(first, Array):
        return _by_array(run, value, first, node, rowwise)
    return value


def _says_yes_or_no(index: Seq) -> bool:
    """Whether a list of truth values marks rows."""
    element = index.element() if index.kind == "list" and (index.items or index.rest is not None) else None
    return element is not None and all(isinstance(one, Const) and isinstance(one.value, bool) for one in options(element))


def _is_side(index: Array) -> bool:
    """Whether an index is one side of a split: what is chosen by it are rows, and no statistics of columns."""
    return any(isinstance(step, Part) for step in index.rows.steps()) or bool(role_of_name(index.name))


@dataclass(frozen=True, slots=True)
class RandomMask:
    """Key of a mask: rows whose random number, drawn at `drawn`, is below `bound`."""

    drawn: Any
    bound: Any = None


@dataclass(frozen=True, slots=True)
class ByIdentifier:
    """Key of a mask: the rows of `table` whose identifier is among those of `rows`, a part of its distinct identifiers."""

    rows: Rows
    table: Rows


def names_of_another(index: Value | None, value: Array) -> bool:
    """Whether the index is the columns of another table, chosen in their order."""
    owner = index.owner if isinstance(index, Array) and index.kind == "scalar" else None
    return isinstance(owner, tuple) and owner[:1] == ("columns",) and owner[1] != value.rows


def note_aligned(run: Run, value: Array) -> None:
    """Indicator columns carry the names of the values: with the columns of another table, they mean what they mean there."""
    for fact in value.learned:
        fit = run.events[fact.fit]
        if isinstance(fit, Fit) and fit.subject.api == "get_dummies":
            fit.subject.facts["aligned"] = True


def _by_array(run: Run, value: Array, index: Array, node: ir.Subscript, rowwise: bool) -> Value:
    if not rowwise and names_of_another(index, value):
        note_aligned(run, value)
        return value
    if index.chosen:
        return value.but(scores=value.scores | index.scores, chosen=value.chosen | index.chosen)
    if index.scores and not index.has_rows:
        return value.but(scores=value.scores | index.scores)
    if index.kind in ("index", "range"):
        return _by_index(run, value, index, node)
    if index.kind == "outside" and value.has_rows:
        return value.but(
            rows=value.rows.without(index.rows.moved(index.base, value.rows))
            if index.rows.known
            else value.rows.some(run.site(node))
        )
    if index.kind == "noise" and index.order is not None and value.has_rows and not index.drawn.known:
        index = Array(kind="mask", mask=(RandomMask(index.order), True))  # `np.random.choice([True, False], len(table))`
    if index.kind == "mask" or index.mask is not None:
        learned = value.learned | {fact for fact in index.learned if fact.kind.startswith("selector")}
        if not value.has_rows:
            return value.but(learned=learned)
        if index.mask is not None:
            key, positive = index.mask
            inside = key.rows.moved(key.table, value.rows) if isinstance(key, ByIdentifier) else UNKNOWN_ROWS
            if inside.known:
                return value.but(rows=inside if positive else value.rows.without(inside), learned=learned, group="")
            if isinstance(key, RandomMask):
                _note_random(run, node, value, key, positive)
            return value.but(rows=value.rows.select(key, positive), learned=learned)
        return value.but(rows=value.rows.some(run.first_use(index, node)), learned=learned)
    if index.kind == "columns" and not value.has_rows:
        return index  # names of columns
    if index.kind == "columns" or any(fact.kind.startswith("selector") for fact in index.learned):
        return choose_columns(run, value, index)
    if index.kind in ("config", "unknown") and value.has_rows and (value.kind == "array" or rowwise) and not index.has_rows:
        return value.but(rows=value.rows.some(run.first_use(index, node)))
    if _opaque(value):  # one entry of many
        return value.but(rows=value.rows.some(run.first_use(index, node)))
    foreign = index.kind in ("item", "weights") and index.has_rows and value.has_rows and not _within(index.rows, value.rows)
    told = index.kind in ("item", "unknown") and bool(role_of_name(index.name)) and value.has_rows  # `X[train_idx]`
    if (foreign or told) and value.kind in ("array", "table"):  # positions that another file holds
        return value.but(rows=value.rows.some(run.first_use(index, node)))
    if index.kind in ("scalar", "item", "config", "unknown") and not rowwise:
        if value.kind in ("array", "table") and index.kind == "scalar":
            return value.but(kind="item" if value.kind == "array" else value.kind)
        return value.but(learned=value.learned | index.learned)
    if (
        rowwise
        and index.has_rows
        and index.kind in ("array", "table", "unknown")
        and value.has_rows
        and not _within(index.rows, value.rows)
    ):
        return value.but(rows=index.rows, name=value.name)  # a look-up by a column of another table: one row for each of its rows
    if value.has_rows and index.kind in ("array", "table", "unknown") and _is_column(index):
        role = role_of_name(index.column)  # `data.test_mask`
        return value.but(rows=value.rows.select(_column_key(index), True), name=index.column if role else value.name)
    if value.has_rows and (index.kind in ("array", "table", "unknown", "noise") or (rowwise and index.kind == "unique")):
        return value.but(rows=value.rows.some(("by", _key_of(index), run.site(node) if not _key_of(index) else None)))
    if value.kind == "index" and value.has_rows:  # positions within a list of positions
        narrower = index.has_rows and index.rows != value.rows and _within(index.rows, value.rows)
        return value.but(rows=index.rows if narrower else value.rows.some(run.first_use(index, node)))
    return value


_PRESENT = frozenset({"isnan", "isinf", "isfinite", "isna", "isnull", "notna", "notnull"})
RANKINGS = frozenset(
    {
        "var",
        "nanvar",
        "std",
        "nanstd",
        "mad",
        "median_abs_deviation",
        "median_absolute_deviation",
        "corr",
        "corrwith",
        "cov",
        "corrcoef",
    }
)  # statistics by which columns are kept or dropped; counts and means find what is missing or not expressed
_PAIRWISE = frozenset({"corr", "cov", "corrcoef"})


def as_columns(value: Array) -> Array:
    """What names columns by a statistic of each: its index, its order, those above a bound."""
    return Array(kind="columns", learned=value.learned, stat=value.stat, name=value.name, column=value.column)


def _of_columns(value: Array) -> bool:
    """Whether a statistic has a figure for every column."""
    return value.kind == "stat" and value.stat is not None and (not value.column or value.stat[3] in _PAIRWISE)


def choose_columns(run: Run, value: Array, index: Array) -> Array:
    """Data with the columns that `index` names: what the index was learned from shapes them.

    Columns that a statistic of the data ranks were selected by its rows, with the labels if it is a correlation with one column.
    """
    learned = value.learned | index.learned
    if index.stat is None or not value.has_rows or index.stat[3] not in RANKINGS:
        return value.but(learned=learned)
    rows, site, _, method = index.stat
    supervised = method == "corrwith" or (method in _PAIRWISE and bool(index.column))
    role = "feature-selector.supervised" if supervised else "feature-selector.unsupervised"
    if (site, rows) not in run.rankings:
        subject = _same_subject(run, site, Subject(api=f"statistic.{method}", role=role, at=site, name=index.name))
        seen = Array(kind="table", rows=rows, name=index.name).view()
        run.rankings[site, rows] = run.emit(
            Fit, site, subject=subject, role=role, data=seen, uses_target=supervised, method=method
        )
    kind = "selector-supervised" if supervised else "selector-unsupervised"
    return value.but(learned=learned | {Learned(run.rankings[site, rows], kind, rows, supervised)})


def _note_random(run: Run, node: ir.Node, value: Array, key: RandomMask, positive: bool) -> None:
    """The rows under a random mask and the others are a split: record it where the second part is taken."""
    taken = run.masked.setdefault((value.rows, key), set())
    taken.add(positive)
    if len(taken) < 2 or (value.rows, key) in run.sliced:
        return
    run.sliced.add((value.rows, key))
    stream, seeded = run.orders.get(key.drawn, ("", None))
    run.emit(
        Split,
        node,
        data=value.view(),
        parts=(value.rows.select(key, True), value.rows.select(key, False)),
        how="random",
        api="mask",
        shuffles=True,
        seeded=seeded,
        stream=stream,
    )


def _within(rows: Rows, table: Rows) -> bool:
    """Whether the rows were taken from the table."""
    start = table.steps()
    return rows.steps()[: len(start)] == start


def _is_column(index: Array) -> bool:
    """Whether an index is one column of a table or a member of a graph, as it stands there."""
    return bool(index.column) and index.has_rows and index.prediction is None and index.mask is None


def _column_key(index: Array) -> Hashable:
    """Key of the rows that a column of yes and no marks; those of two roles (`train_mask`, `test_mask`) mark different rows."""
    role = role_of_name(index.column)
    return Equals(("marks", index.rows), role) if role else ("marks", index.rows, index.name, index.column)


def _key_of(index: Array) -> Any:
    return (index.rows, index.name) if index.name else None


def _by_index(run: Run, value: Array, index: Array, node: ir.Node) -> Value:
    """Rows by an index: the index's own steps, taken from this table."""
    if not value.has_rows:
        value = value.but(rows=run.source(value_node(node), value.name, value.name))
    if index.base.label == POSITIONS and len(index.base.steps()) == 1:
        rows = _at_positions(index.rows.steps()[1:], value)
    elif index.base in joined(value.rows):  # as many positions as one of the tables that were joined has rows
        first = value.rows.slice(None, _length(value.but(rows=index.base)), value.order)
        rows = first if index.rows == index.base else first.some((repr(index.rows), index.name))
    else:
        rows = index.rows.moved(index.base, value.rows)
    if not rows.known:
        rows = value.rows.some((repr(index.rows), index.name))
    return value.but(rows=rows, order=index.order, ordered="shuffled" if index.ordered == "shuffled" else value.ordered)


def _at_positions(steps: Sequence[Step], table: Array) -> Rows:
    """Rows of a table at counted positions: the positions count along the order that its rows lie in."""
    rows = table.rows
    for number, step in enumerate(steps):
        if number == 0 and isinstance(step, Slice) and step.order is None:
            rows = rows.slice(step.lo, step.hi, table.order)
        else:
            rows = rows.after(step)
    return rows


def value_node(node: ir.Node) -> ir.Node:
    """The node that stands for the table which is indexed."""
    return node.value if isinstance(node, ir.Subscript) else node


def _reverses(index: Value) -> bool:
    """Whether an index is `::-1`: along an axis of pixels or positions it makes a mirror image."""
    return isinstance(index, Seq) and index.kind == "slice" and index.items[2] == Const(-1)


def _is_full(index: Seq) -> bool:
    return all(isinstance(part, Const) and part.value is None for part in index.items[:2])


def _slice_rows(run: Run, value: Array, index: Seq, node: ir.Node) -> Array:
    if not value.has_rows:
        return value
    step = index.items[2]
    if isinstance(step, Const) and step.value not in (None, 1):
        if step.value == -1 and _is_full(index):
            return value
        return value.but(rows=value.rows.some(run.site(node)), linear=None)
    if not (isinstance(step, Const)):
        return value.but(rows=value.rows.some(run.site(node)), linear=None)
    lower, upper = (None if isinstance(b, Const) and b.value is None else bound_of(b) for b in index.items[:2])
    if lower is not None and not lower.terms and lower.constant == 0:
        lower = None
    rows = value.rows.slice(lower, upper, value.order)
    sliced = value.but(rows=rows, order=None)
    if value.kind in ("array", "table", "index", "dataset", "unknown", "param"):
        _note_slice(run, node, value, rows, upper if lower is None else lower if upper is None else None)
    return sliced


def _note_slice(run: Run, node: ir.Node, value: Array, rows: Rows, boundary: Bound | None) -> None:
    """Two slices with one boundary are a split: record it at the second one."""
    if boundary is None or boundary.terms == () and abs(boundary.constant) <= 3:
        return
    key = (value.rows, value.order, boundary)
    if key not in run.slices:
        run.slices[key] = (rows, run.site(node))
        return
    first, site = run.slices[key]
    if first == rows or key in run.sliced:
        return
    run.sliced.add(key)
    note_unordered(run, value, "split", site)
    random = value.ordered == "shuffled"
    stream, seeded = run.orders.get(value.order, ("", None)) if random else ("", None)
    run.emit(
        Split,
        site,
        data=value.view(),
        parts=(first, rows),
        how="slice",
        api="slice",
        shuffles=random,
        seeded=seeded,
        stream=stream,
    )


# -- writing into data -----------------------------------------------------------------------------------------------


def with_content(run: Run, receiver: Array, where: Any, value: Value, node: ir.Node) -> Value:
    """The data value after `receiver[where] = value` or `receiver.name = value`: it carries the facts of what was put in."""
    if isinstance(value, Const) and not isinstance(where, str):
        cut: Array | None = next((one for one in where if is_cut(one)), None)
        if cut is not None and (receiver.prediction is not None or not receiver.has_rows) and receiver.kind != "indexer":
            return cut.but(kind="array", name=receiver.name, mask=None)  # `labels[scores > threshold] = 1`
    content = value if isinstance(value, Array) and value.kind == "noise" else data_of(value)
    label = value if isinstance(where, str) else run.labelled(value, whole=True)
    if label is not value and isinstance(label, Array):
        content = label
        receiver = receiver.but(prediction=label.prediction)
    figures = scores_of(value)
    indexed = receiver
    receiver = receiver.but(kind="array") if receiver.kind == "empty" else receiver
    if receiver.kind == "indexer" and isinstance(receiver.owner, tuple):
        receiver = receiver.owner[0]
    if not isinstance(where, str) and any(isinstance(one, Array) and _marks_rows(one, receiver) for one in where):
        receiver = filled(run, receiver, value, "fill")
    whole = not isinstance(where, str) and len(where) == 2 and _all_rows(where[0])
    if indexed.kind == "indexer" and receiver.has_rows and not whole:  # of the rest of the table nothing is known
        return receiver.but(scores=receiver.scores | figures)
    if isinstance(where, str) and content.has_rows and receiver.kind == "annotated":
        return receiver.but(learned=receiver.learned | content.learned)
    if figures and not receiver.has_rows:  # a table of results
        return receiver.but(scores=receiver.scores | figures)
    if not receiver.has_rows and content.has_rows:
        return receiver.but(
            rows=UNKNOWN_ROWS if _repeated(content.rows) else content.rows,
            learned=receiver.learned | content.learned,
            prediction=receiver.prediction or content.prediction,
        )
    return receiver.but(
        learned=receiver.learned | content.learned,
        scores=receiver.scores | figures,
        prediction=receiver.prediction or content.prediction,
    )


def _all_rows(index: Value) -> bool:
    """Whether an index is `:`, as in `table.loc[:, "age"] = ...`."""
    return isinstance(index, Seq) and index.kind == "slice" and all(isinstance(b, Const) and b.value is None for b in index.items)


def _marks_rows(index: Array, table: Array) -> bool:
    """Whether an index says yes or no to each row of a table (`table["age"].isna()`, `X == 0`)."""
    return index.kind == "mask" or (index.has_rows and index.rows == table.rows and index.kind != "index")


# -- attributes and methods of data ----------------------------------------------------------------------------------

INDEXERS = frozenset({"iloc", "loc", "iat", "at", "ix"})
_COLUMNS_LIKE = frozenset({"obs", "var", "obsm", "layers", "uns", "X", "x", "y", "edge_index", "raw"})


def array_attribute(run: Run, value: Array, name: str, node: ir.Node) -> Value:
    """`data.name` where it is not called."""
    if name in INDEXERS:
        return Array(kind="indexer", owner=(value,), rows=value.rows, name=value.name)
    if name == "shape":
        return Array(kind="shape", linear=_length(value), rows=UNKNOWN_ROWS)
    if name == "index" and (_of_columns(value) or value.kind == "columns"):
        return as_columns(value)
    if name == "index" and value.scores:
        return value
    if name == "index" and value.has_rows:
        return Array(kind="index", rows=value.rows, base=_base(value.rows), ordered=value.ordered)
    if name in ("n_obs",):
        return Array(kind="scalar", linear=_length(value))
    described = catalog.method(name)
    if described is not None and described.get("attribute"):
        return apply_method(run, value, described, _call(node, []), name)  # type: ignore[arg-type]
    if described is not None or name.startswith("_"):
        return Bound_(value, name)
    if value.kind in ("config", "scalar"):
        return Array(kind="config", name=name) if value.kind == "config" else value
    if value.kind in ("unknown", "param") and not value.has_rows:
        return Array(kind="unknown", name=name)
    if _opaque(value):
        return member_of(value, name)
    return value.but(column=name, linear=None, mask=None, name=value.name)


_TOGETHER = frozenset(
    {"x", "y", "data", "target", "targets", "label", "labels", "features", "feature", "images", "inputs", "outputs", "values"}
)


def _opaque(value: Array) -> bool:
    """Whether the value is an object that was read back from a file, of which nothing but the file is known."""
    from_file = isinstance(value.owner, tuple) and value.owner[:1] == ("file",)
    return value.has_rows and (value.owner == "restored" or (value.kind == "weights" and from_file))


def member_of(value: Array, name: str) -> Array:
    """`data["train"]` or `study.drugs` of an unpickled object: two roles are different rows, samples and labels go together, and
    of the rest nothing is known."""
    role = role_of_name(name)
    if role:
        kind = "array" if value.kind == "weights" else value.kind
        return value.but(kind=kind, owner="", rows=value.rows.select(Equals("member", role)), name=name, column="")
    if value.kind == "weights" or name.lower() in _TOGETHER:
        return value.but(column=name)
    return value.but(column=name, rows=value.rows.some(("member", name)))


def _length(value: Array) -> Bound:
    key = repr(value.rows) if value.has_rows else f"v{id(value)}"
    return Bound(0.0, ((f"len({key})", 1.0),))


def _base(rows: Rows) -> Rows:
    """The table whose positions an index of these rows counts: the source."""
    steps = rows.steps()
    if not steps:
        return rows
    from mllint_bio.rows import Source, source

    root = steps[0]
    return source(root.key, root.label, root.size) if isinstance(root, Source) else rows


def length_of(run: Run, value: Value) -> Value:
    """`len(value)`."""
    if isinstance(value, Seq) and value.exact and not run.loops:
        return Const(len(value.items))
    data = data_of(value)
    if data.has_rows:
        return Array(kind="scalar", linear=_length(data), base=data.rows)
    return Array(kind="scalar", base=data.rows)


def value_method(run: Run, value: Value, name: str, call: Call) -> Value:
    """`value.name(...)` for data, containers and constants."""
    if isinstance(value, Seq):
        return _sequence_method(run, value, name, call)
    if isinstance(value, Dict):
        return _dict_method(run, value, name, call)
    if isinstance(value, Const):
        return _constant_method(run, value, name, call)
    if isinstance(value, Bound_) and isinstance(value.receiver, Array):
        return value_method(run, value.receiver, name, call)
    if not isinstance(value, Array):
        return blend(run, call.everything())
    from mllint_bio.predict.library.calls import method_of_unknown

    special = method_of_unknown(run, value, name, call)
    if special is not None:
        return special
    if name == "sort" and value.unordered:
        from mllint_bio.predict.interpreter import Updated

        return Updated(value.but(unordered=None, ordered=""), NONE)
    if value.kind == "groups" and name == "transform":
        return _group_statistic(run, value, call)
    if value.kind == "groups" and name in _OF_EACH_GROUP and value.has_rows and isinstance(value.owner, str):
        return _one_of_each_group(run, value, name, call)
    if name == "duplicated" and value.has_rows:
        entity = _single_key(value.column, call)
        return value.but(kind="mask", mask=(Distinct(entity, run.site(call.node)), False), column="", linear=None)
    if name == "train_test_split" and value.has_rows:
        return _split_dataset(run, value, call)
    described = catalog.method(name)
    if described is None:
        return _undescribed_method(run, value, name, call)
    return apply_method(run, value, described, call, name)


_OF_EACH_GROUP = {"first": 1, "last": 1, "nth": 1, "head": 5, "tail": 5, "idxmin": 1, "idxmax": 1}  # rows by default


@dataclass(frozen=True, slots=True)
class Distinct:
    """Key of rows of which there is one for each value of a column (`drop_duplicates`, the first of each group)."""

    column: str
    at: Site


def _single_key(column: str, call: Call) -> str:
    """The one column by which rows are told apart; empty if they are told apart by several, or by all."""
    given = call.get("subset", ("subset",))
    if isinstance(given, Seq) and given.exact and len(given.items) == 1:
        given = given.items[0]
    return given.value if isinstance(given, Const) and isinstance(given.value, str) else column if given is None else ""


def _one_of_each_group(run: Run, groups: Array, name: str, call: Call) -> Value:
    """One row of each group, or several."""
    site, wanted = run.site(call.node), call.get("n", ("n",))
    several = wanted is None and _OF_EACH_GROUP[name] > 1
    if wanted is not None and name in ("nth", "head", "tail"):
        several = not isinstance(wanted, Const) or (name != "nth" and wanted.value != 1)
    rows = groups.rows.some(site if several else Distinct(str(groups.owner), site))
    if name.startswith("idx"):
        return Array(kind="index", rows=rows, base=_base(groups.rows))
    return groups.but(kind="table", rows=rows, owner=None, column="", linear=None)


_DATASET_SPLIT = (  # https://huggingface.co/docs/datasets/package_reference/main_classes#datasets.Dataset.train_test_split
    "test_size",
    "train_size",
    "shuffle",
    "stratify_by_column",
    "seed",
)


def _split_dataset(run: Run, value: Array, call: Call) -> Dict:
    """`datasets.Dataset.train_test_split`: a dictionary of two parts."""
    site = run.site(call.node)
    shuffle, seed = call.get("shuffle", _DATASET_SPLIT), call.get("seed", _DATASET_SPLIT)
    shuffles = not (isinstance(shuffle, Const) and shuffle.value is False)
    seeded = seed is not None and seed is not NONE
    if shuffles and not seeded:
        emit_draw(run, call.node, "numpy", "Dataset.train_test_split", "split")
    parts = (value.rows.part(site, 0, 2, random=shuffles), value.rows.part(site, 1, 2, random=shuffles))
    run.emit(
        Split,
        call.node,
        data=value.view(),
        parts=parts,
        how="call",
        api="Dataset.train_test_split",
        shuffles=shuffles,
        seeded=seeded,
        stratified=call.get("stratify_by_column", _DATASET_SPLIT) is not None,
        stream="numpy",
    )
    return Dict({role: value.but(rows=rows, name=role, order=None) for role, rows in zip(("train", "test"), parts, strict=True)})


_STATISTICS = frozenset({"mean", "median", "std", "var", "sum", "max", "min"})


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Owner of a table with one row for each group: what was aggregated, where, which column, how."""

    data: Data
    site: Site
    column: str
    how: str


def _with_statistic(run: Run, node: ir.Node, value: Array, of: Aggregate) -> Array:
    """Every row gets a statistic of its group's rows."""
    result = value.but(kind="table", column="", owner=None)
    if of.how not in _STATISTICS or not of.data.rows.known:
        return result
    subject = _same_subject(run, of.site, Subject(api=f"groupby.{of.how}", role="statistic", at=of.site))
    number = run.emit(Fit, of.site, subject=subject, role="statistic", data=of.data, method=of.how)
    run.columns.setdefault(of.column, []).append(number)
    return result.but(learned=value.learned | {Learned(number, "statistic", of.data.rows)})


def _group_statistic(run: Run, value: Array, call: Call) -> Array:
    """`table.groupby(key)[column].transform("mean")`: every row gets a statistic of its group's rows."""
    how = call.at(0)
    name = str(how.value) if isinstance(how, Const) else ""
    return _with_statistic(run, call.node, value, Aggregate(value.view(), run.site(call.node), value.column, name))


def note_target(run: Run, target: Array) -> None:
    """What a predictor is fitted to is the target: statistics of that column by group had used it.

    Residuals that the next model of a chain learns are a target as well, and no figure of merit.
    """
    for number in target.scores:
        score = run.events[number]
        if isinstance(score, Score) and score.handwritten and score.metric == "error":
            run.amend(number, family="target")
    for number in run.columns.get(target.column, ()) if target.column else ():
        fit = run.events[number]
        if isinstance(fit, Fit) and fit.data.rows.steps()[:1] == target.rows.steps()[:1]:
            run.amend(number, uses_target=True)


def _undescribed_method(run: Run, value: Array, name: str, call: Call) -> Value:
    merged = blend(run, [value if value.kind != "empty" else UNKNOWN, *call.everything()])
    if value.kind == "config":
        return Array(kind="config", name=name, owner=value.owner)
    if name.startswith("add") and value.kind == "unknown" and merged.scores - value.scores:  # a table of results takes them up
        from mllint_bio.predict.interpreter import Updated

        return Updated(value.but(scores=merged.scores), merged)
    if value.has_rows and value.kind in ("param", "unknown", "table", "array", "item", "dataset"):
        return merged.but(rows=value.rows.some(run.site(call.node)), kind="unknown", linear=None)
    if not merged.has_rows:
        return merged.but(kind="unknown", rows=run.source(call.node, name), linear=None)
    return merged


def _selected(conditions: Sequence[Array], value: Value) -> Value:
    """What is collected under conditions on figures of columns: names or numbers of chosen columns."""
    if not conditions or any(array.has_rows or array.scores for array in arrays_in(value)):
        return value
    learned = frozenset().union(*(one.learned for one in conditions))
    ranked = next((one for one in conditions if one.stat is not None), conditions[0])
    return as_columns(ranked.but(learned=learned))


def _sequence_method(run: Run, value: Seq, name: str, call: Call) -> Value:
    argument = run.labelled(call.at(0) or UNKNOWN, whole=True) if name == "append" else call.at(0) or UNKNOWN
    if name in ("append", "extend"):
        _note_growth(run, value, argument, call)
    if name in ("append", "add", "appendleft"):
        argument = _with_variants(run, value, _selected(run.selecting, argument), call)
        if isinstance(argument, Array) and argument.name == "val":  # a value, as what is appended is called
            argument = argument.but(name="")
        nested = len(list(run.loops))
        if nested and _cuts_windows(run, run.loops):
            argument = _of_one_recording(argument)
        if nested and run.loops[-1].kind is LoopKind.GROUP and run.loops[-1] not in (value.cells.get("#made") or ()):
            argument = _one_of_each(run, argument)
        item = _grouped(run, argument, value) if nested >= 2 else argument
        if nested:
            _collect(run, value, _sorted_out(run, value, item))
        else:
            _grow(run, value, [item])
        return NONE
    if name in ("extend", "update"):
        made_here = isinstance(argument, Seq) and len(run.loops) > len(value.cells.get("#made") or ())
        extend(run, value, _several_of_one(run, argument) if made_here else argument)
        return NONE
    if name == "insert":
        _collect(run, value, call.at(1) or UNKNOWN)
        return NONE
    if name == "pop":
        return value.element()
    if name in ("copy", "union"):
        return Seq(value.kind, value.items, value.rest)
    if name in ("difference",):
        a, b = as_array(value), as_array(argument)
        return a.but(rows=a.rows.without(b.rows)) if a is not None and b is not None and a.has_rows and b.has_rows else value
    if name in ("sort", "reverse"):
        return NONE
    if name in ("index", "count"):
        return Array(kind="scalar", scores=scores_of(value))
    return blend(run, [value, *call.everything()])


def _sorted_out(run: Run, sequence: Seq, value: Value) -> Value:
    """What one arm of a branch in a loop appends: of the samples that the loop goes over, those for which it is taken.

    `train.append(row) if ... else test.append(row)`. A list that grows in both arms has all of them.
    """
    arms = run.branch[run.round :]
    samples = [array for array in arrays_in(value) if array.has_rows and array.kind in ("item", "index") and not array.prediction]
    if not arms or not samples:
        return value
    for rows in {sample.rows for sample in samples}:
        chosen = rows
        for site, number in arms:
            chosen = chosen.select((site, run.calls), number == 0) if number < 2 else chosen.some((site, run.calls, number))
        value = _of_rows(value, rows, chosen)
    known = sequence.cells.get("#sorted") or frozenset()
    run.write(sequence, "#sorted", known | {site for site, _ in arms})
    return value


def _with_variants(run: Run, sequence: Seq, value: Value, call: Call) -> Value:
    """What is appended in a loop; a changed copy of a sample that joins the list of its original makes both variants of one."""
    sample = next((array for array in arrays_in(value) if array.has_rows), None)
    if not run.loops or sample is None or run.inside_forward or sample.prediction is not None:
        return value
    original, branch = sequence.cells.get("#original") or (None, ())
    if sample.owner != "augmented":
        if original is None:
            run.write(sequence, "#original", (sample.rows, run.branch))
    elif original == sample.rows and not _exclusive(branch, run.branch) and "#variants" not in sequence.cells:
        made = sample.rows.derived(run.site(call.node), "augment", run.branch)
        run.emit(Resample, call.node, data=sample.view(), result=made, lineage="augment", api="append", balances=False)
        run.write(sequence, "#variants", made)
        if sequence.rest is not None:
            run.write(sequence, "rest", _of_rows(sequence.rest, sample.rows, made))
    variants = sequence.cells.get("#variants")
    return _of_rows(value, original, variants) if isinstance(variants, Rows) and original is not None else value


def _of_rows(value: Value, rows: Rows, others: Rows) -> Value:
    """A value, where data of these rows are data of others."""
    if isinstance(value, Array):
        return value.but(rows=others) if value.rows == rows else value
    if isinstance(value, Seq):
        return Seq(value.kind, [_of_rows(item, rows, others) for item in value.items], value.rest)
    return value


def _exclusive(one: Sequence[tuple[Any, int]], other: Sequence[tuple[Any, int]]) -> bool:
    """Whether two arms of a branch are never both taken in one round."""
    arms = dict(one)
    return any(arms.get(where, number) != number for where, number in other)


_CLASS_NAME = re.compile(r"(^|_)(label|lab|class|cls|category|target|y)(es|s)?($|_)", re.I)


def _note_growth(run: Run, sequence: Seq, value: Value, call: Call) -> None:
    """Remember what grows in a loop; a loop whose variable is appended as a label, the same one many times, goes over classes."""
    for loop in run.loops:
        if loop.kind in (LoopKind.OTHER, LoopKind.FILE, LoopKind.CANDIDATE):
            run.grown.setdefault(loop, []).append(sequence)
    outer = run.loops[:-1] if isinstance(call.node, ir.Call) and call.node.func.name == "append" else run.loops  # type: ignore[attr-defined]
    names = {node.name for node in _names_in(call.node)} if outer else set()
    for loop in outer:
        used = [name for name in names if f"_{name}_" in f"_{loop.variable}_"]
        literal = all(isinstance(option, Const) for array in [value] for option in options(array))
        if loop in run.grown and used and not arrays_with_rows_in(value) and (literal or any(map(_CLASS_NAME.search, used))):
            run.class_loops.add(loop)


def _names_in(node: ir.Expr) -> list[ir.Name]:
    """Names in the arguments of `append` and `extend`, as far as a label is written: `y`, `[y]`, `[y] * n`."""
    found: list[ir.Name] = []
    stack: list[ir.Expr] = [value for _, value in node.args] if isinstance(node, ir.Call) else []
    while stack:
        one = stack.pop()
        if isinstance(one, ir.Name):
            found.append(one)
        elif isinstance(one, ir.Collection):
            stack.extend(one.items)
        elif isinstance(one, ir.Binary):
            stack.append(one.left)
    return found


def arrays_with_rows_in(value: Value) -> list[Array]:
    """Data of known provenance inside a value."""
    return [array for array in arrays_in(value) if array.has_rows]


def lies_by_class(run: Run, loop: Loop) -> None:
    """After a loop over classes: what grew in it lies class by class."""
    grown = run.grown.pop(loop, [])
    for sequence in grown if loop in run.class_loops else ():
        for key in ("items", "rest"):
            content = sequence.cells[key]
            if key == "items":
                run.write(sequence, key, tuple(_in_blocks(item) for item in content))
            elif content is not None:
                run.write(sequence, key, _in_blocks(content))


def _in_blocks(value: Value) -> Value:
    return value.but(ordered="class-blocks") if isinstance(value, Array) and (value.has_rows or value.drawn.known) else value


def _grouped(run: Run, value: Value, sequence: Seq) -> Value:
    """What is appended in a loop inside a loop over objects: several rows of one object.

    A list that is made anew for each object holds one object: its values may as well be the features of one row.
    """
    made = sequence.cells.get("#made") or ()
    inner = run.loops[-1]
    outer = [loop for loop in _over_objects(run.loops[:-1], inner) if loop not in made]
    if not outer or inner.kind in (
        LoopKind.EPOCH,
        LoopKind.FOLD,
        LoopKind.CANDIDATE,
        LoopKind.MODEL,
        LoopKind.SEED,
        LoopKind.BATCH,
    ):
        return value
    entity = outer[-1].variable or "object"
    if isinstance(value, Array):
        return value.but(group=entity, rows=value.rows if value.has_rows else run.source(_node_at(inner.at), entity))
    if isinstance(value, Seq):
        return Seq(value.kind, [_grouped(run, item, sequence) for item in value.items], value.rest)
    return value


@dataclass(frozen=True, slots=True)
class OneOfEach:
    """Key of rows that were collected in a loop over groups, one record of each group."""

    loop: Site


def _one_of_each(run: Run, value: Value) -> Value:
    """What is appended once for each group is one record of the group, until records of several rows are joined."""
    if isinstance(value, Array) and value.has_rows and value.rows.steps()[:1] and value.rows.steps()[0] in run.repeated:
        return value.but(rows=value.rows.some(OneOfEach(run.loops[-1].at)))
    if isinstance(value, Seq):
        return Seq(value.kind, [_one_of_each(run, item) for item in value.items], value.rest)
    if isinstance(value, Dict):
        items = {name: _one_of_each(run, item) for name, item in value.items.items()}
        return Dict(items, value.rest) if any(items[name] is not item for name, item in value.items.items()) else value
    return value


def rejoined(run: Run, value: Array) -> Array:
    """Records of one group each, joined below each other: several rows of each group again."""
    steps = value.rows.steps()
    each = any(isinstance(step, Subset) and isinstance(step.key, OneOfEach) for step in steps)
    return value.but(group=value.group or run.repeated.get(steps[0], "")) if each else value


def _over_objects(loops: Sequence[Loop], inner: Loop | None) -> list[Loop]:
    """Loops over what several rows may come from.

    A listing of folders, each with a listing of files, is as often one of classes.
    """
    kinds = (LoopKind.GROUP,) if inner is not None and inner.kind is LoopKind.FILE else (LoopKind.GROUP, LoopKind.FILE)
    return [loop for loop in loops if loop.kind in kinds and not _CLASS_NAME.search(loop.variable)]


def _of_one_recording(value: Value) -> Value:
    if isinstance(value, Array) and value.prediction is None and not value.scores:
        return value.but(group=value.group or "recording")
    if isinstance(value, Seq):
        return Seq(value.kind, [_of_one_recording(item) for item in value.items], value.rest)
    return value


def _cuts_windows(run: Run, loops: Sequence[Loop]) -> bool:
    """Whether the innermost loop goes along a recording and cuts a piece of it in every round, as against rows in batches.

    Windows end before the end: their starts are counted up to the length minus a width, or the recording is one of several.
    """
    node = run.bodies.get(loops[-1])
    if node is None:
        return False
    if node not in run.cutting:
        run.cutting[node] = _slides(node)
    if not run.cutting[node]:
        return False
    return _stops_short(node.test if isinstance(node, ir.While) else node.iterable) or bool(_over_objects(loops[:-1], None))


def _stops_short(bound: ir.Expr) -> bool:
    """Whether positions are counted up to a length minus a width: `range(0, n - w, step)`, `while i + w <= n`."""
    return any(isinstance(one, ir.Binary) and one.op in "+-" for one in ir.walk(bound))


def _slides(node: ir.For | ir.While) -> bool:
    """Whether both ends of some slice in the body move with the loop."""
    below = [one for statement in node.body for one in ir.walk(statement)]
    if isinstance(node, ir.While):
        moving = {one.target.name for one in below if isinstance(one, ir.AugAssign) and isinstance(one.target, ir.Name)}
    else:
        moving = {node.target.name} if isinstance(node.target, ir.Name) else set()
    return bool(moving) and _moves(below, moving)


def _moves(below: Sequence[ir.Node], moving: set[str]) -> bool:
    """Whether both ends of a slice are computed from these names, or from what is computed from them: `end = start + width`."""
    for one in below:
        target = one.targets[0] if isinstance(one, ir.Assign) and isinstance(one.value, ir.Binary) else None
        if isinstance(one, ir.Assign) and isinstance(target, ir.Name) and _mentions(one.value, moving):
            moving.add(target.name)
    return any(
        isinstance(cut, ir.Slice) and cut.lower is not None and _mentions(cut.lower, moving) and _mentions(cut.upper, moving)
        for one in below
        if isinstance(one, ir.Subscript) and not _is_text(one)
        for cut in one.index
    )


# Pieces of a sequence are its words more often than samples.
_TEXT = re.compile(r"seq|mer|dna|rna|prot|pept|smiles|read|text|str|sent|word|genom|fasta|token|chrom|amino", re.I)
_WORD = re.compile(r"^(k|n)$|mer|gram|word", re.I)


def _is_text(node: ir.Subscript) -> bool:
    named = [one.name for one in ir.walk(node.value) if isinstance(one, (ir.Name, ir.Attribute))]
    widths = [one.name for cut in node.index for one in ir.walk(cut) if isinstance(one, ir.Name)]
    return any(map(_TEXT.search, named)) or any(map(_WORD.search, widths))


def _mentions(node: ir.Expr | None, names: set[str]) -> bool:
    return node is not None and any(isinstance(one, ir.Name) and one.name in names for one in ir.walk(node))


def _several_of_one(run: Run, value: Value) -> Value:
    """A list of rows that was filled for one object, when it joins those of the others."""
    objects = _over_objects(run.loops, None)
    row = iterated_silently(run, value)
    if not objects or not isinstance(row, Array) or not isinstance(value, Seq) or value.rest is None:
        return value
    return Seq(value.kind, (), row.but(group=row.group or objects[-1].variable or "object"))


def _node_at(site: Site) -> ir.Node:
    """A place to name a source by, where only the site of a loop is at hand."""
    node = ir.Unknown()
    node.st, node.id = site.statement, site.node
    return node


def _dict_method(run: Run, value: Dict, name: str, call: Call) -> Value:
    argument = call.at(0)
    if name in ("get", "pop", "setdefault"):
        if isinstance(argument, Const) and _hashable(argument.value) and argument.value in value.items:
            return value.items[argument.value]
        default = call.at(1)
        if value.rest is not None:
            return value.rest
        if name == "setdefault" and default is not None:
            return entered(run, value, argument, default)
        return default if default is not None else NONE if name == "get" else UNKNOWN
    if name == "values":
        return Seq("list", value.items.values(), value.rest)
    if name == "keys":
        return Seq("list", [Const(k) for k in value.items], UNKNOWN if value.rest is not None else None)
    if name == "items":
        pairs = [Seq("tuple", [Const(k), v]) for k, v in value.items.items()]
        return Seq("list", pairs, Seq("tuple", [UNKNOWN, value.rest]) if value.rest is not None else None)
    if name == "update":
        added = as_mapping(argument) if argument is not None else None
        run.write(value, "items", {**value.items, **(added.items if added is not None else {}), **call.kwargs})
        unnamed = added.rest if added is not None else argument if isinstance(argument, Array) else None
        if unnamed is not None:
            run.write(value, "rest", unnamed if value.rest is None else join(value.rest, unnamed))
        return NONE
    if name == "copy":
        return Dict(value.items, value.rest)
    return blend(run, [value.element(), *call.everything()])


def _filled_in(run: Run, template: str, call: Call) -> list[Value]:
    """What `template.format(...)` puts into its fields; `{loss.avg:.3f}` takes an attribute of an argument."""
    found = [shown(run, value, call.node) for value in call.everything()]
    for name, attribute in _FIELD.findall(template):
        value = call.kwargs.get(name) or (call.at(int(name)) if name.isdigit() else None)
        if isinstance(value, Obj):
            found.append(run.attribute(value, attribute, call.node))
    return found


def _constant_method(run: Run, value: Const, name: str, call: Call) -> Value:
    if isinstance(value.value, str):
        if name in ("glob", "rglob", "iterdir"):  # a path that is spelt out
            from mllint_bio.predict.library.calls import _listing

            return _listing(run, name, call)
        if name == "format":
            if _names_device(value):
                return Array(kind="text", name=value.value)
            return blend(run, [*_filled_in(run, value.value, call), *call.spread]).but(kind="text")
        if name == "join":
            return blend(run, call.everything()).but(kind="text", group="")  # one text of several pieces
        plain = [a.value for a in call.args if isinstance(a, Const)]
        if name in ("lower", "upper", "strip", "replace", "startswith", "endswith", "rstrip", "lstrip", "title") and len(
            plain
        ) == len(call.args):
            try:
                return constant(getattr(value.value, name)(*plain))
            except (TypeError, ValueError):
                return UNKNOWN
        if name == "split" and len(plain) == len(call.args):
            try:
                return Seq("list", [Const(part) for part in value.value.split(*plain)])
            except (TypeError, ValueError):
                return UNKNOWN
    return UNKNOWN


# -- operations of the catalog ---------------------------------------------------------------------------------------


def apply_method(run: Run, value: Array, described: catalog.Method, call: Call, name: str) -> Value:
    """A catalogued method of a data object."""
    from mllint_bio.predict.interpreter import Updated

    params = described.get("params") or []
    other = call.get(described.get("data"), params) if described.get("data") else call.at(0)
    context = Operation(run, call, name, params, described.fields)
    result = context.apply(described.op, value, other)
    inplace = described.get("inplace")
    if inplace is not None:
        flag = call.get(inplace, ()) if inplace != "always" else Const(True)
        if isinstance(flag, Const) and flag.value is True and isinstance(result, Array):
            if described.op == "pop":
                return Updated(value, result)
            return Updated(result, NONE if inplace != "always" else result)
    return result


class Operation:
    """One application of an operation of `catalog.schema.OPERATIONS` to data."""

    def __init__(self, run: Run, call: Call, name: str, params: Sequence[str], fields: Any) -> None:
        self.run, self.call, self.name, self.params, self.fields = run, call, name, params, fields

    def apply(self, op: str, value: Array, other: Value | None) -> Value:
        """Result of the operation on `value`; `other` is a second data argument."""
        self._draw(op, value)
        if value.kind == "columns" or _of_columns(value):
            if self.name in ("argsort", "argpartition", "where", "nonzero", "flatnonzero", "keys", "idxmax", "idxmin"):
                columns = as_columns(value)
                return Seq("tuple", [columns]) if self.name in ("where", "nonzero") and self.call.at(1) is None else columns
            if op in ("sort", "subset", "head", "tail", "elementwise", "take", "unique") and not self._with_data(other):
                return value
        handler = _OPERATIONS.get(op)
        return handler(self, value, other) if handler is not None else value

    def _with_data(self, other: Value | None) -> bool:
        return any(a.has_rows and a.kind not in ("stat", "columns") for a in arrays_in(other)) if other is not None else False

    # draws of pandas.sample, np.random.permutation and the like
    def _draw(self, op: str, value: Array) -> None:
        if not self.fields.get("draws") and op not in ("shuffle", "permutation", "sample"):
            return
        from mllint_bio.predict.library.calls import draws

        streams = draws(self.run, self.call, self.fields, self.params, self.name, at="call", purpose=None)
        if op in ("shuffle", "permutation", "sample"):
            site = self.run.site(self.call.node)
            seeded = bool(self.fields.get("draws")) and not streams and not self.call.open
            self.run.orders.setdefault(site, (streams[0], False) if streams else ("", True if seeded else None))

    def argument(self, name: str) -> Value | None:
        """An argument by name."""
        return self.call.get(name, self.params)

    def literal(self, name: str) -> Any:
        """A literal argument by name; its default when it is not given; None when it is not known."""
        value = self.argument(name)
        if value is None:
            return (self.fields.get("defaults") or {}).get(name)
        return value.value if isinstance(value, Const) else None

    def over_columns(self) -> bool:
        """Whether the operation works along a row (axis=1), so that it keeps rows."""
        axis = self.argument(self.fields.get("axis") or "axis") or self.argument("dim")
        return isinstance(axis, Const) and axis.value not in (0, None, "index", "rows")

    def keep(self, value: Array, other: Value | None) -> Value:
        return value.but(linear=None) if value.kind != "scalar" else value

    def elementwise(self, value: Array, other: Value | None) -> Value:
        if self.name in _PRESENT:
            value = value.but(prediction=None)  # it says which values there are, no longer what is predicted
        if other is None:
            return value.but(
                linear=None,
                mask=None,
                activation="" if self.name not in ("clamp", "clip", "abs", "float", "relu") else value.activation,
            )
        if self.name in ("eq", "ne") and value.prediction is not None:
            return _compare_prediction(self.run, self.call.node, value, "==", as_array(other) or UNKNOWN, other)  # type: ignore[arg-type]
        if self.name == "replace":
            return filled(self.run, value, self.call.get("value", ("to_replace", "value")), "replace").but(linear=None, mask=None)
        if self.name == "apply" and (isinstance(other, Func) or (isinstance(other, Ext) and not self.over_columns())):
            call = _call(self.call.node, [value])
            result = self._through(other, value) if isinstance(other, Func) else self.run.call(other, call)
            same = isinstance(result, Array) and value.has_rows and result.rows == value.rows
            learned = result.learned if same and isinstance(result, Array) else value.learned
            if same and is_cut(result):
                return result.but(name=value.name)
            return value.but(linear=None, mask=None, learned=learned)
        if self.name == "clip":  # at quantiles of the rows
            for bound in (other, self.call.at(1), self.call.kwargs.get("lower"), self.call.kwargs.get("upper")):
                if isinstance(bound, Array) and bound.stat is not None:
                    value = self.fill(value, bound)  # type: ignore[assignment]
            return value.but(linear=None, mask=None)
        if self.name == "map" and isinstance(other, Array) and isinstance(other.owner, Aggregate) and value.has_rows:
            return _with_statistic(self.run, self.call.node, value, other.owner)
        if self.name in ("gt", "ge", "lt", "le") and value.prediction is not None:
            return value.but(prediction=_as_output(value.prediction, "label"))
        if self.name in ("gt", "ge", "lt", "le") and value.activation and isinstance(other, Const):
            return value.but(activation="class", linear=None, mask=None)  # a network that decides by itself
        operators = {"sub": "-", "subtract": "-", "div": "/", "divide": "/", "truediv": "/", "add": "+", "mul": "*"}
        if self.name in operators:
            return binary(self.run, self.call.node, value, operators[self.name], other)
        return blend(self.run, [value, other]).but(
            rows=value.rows, kind=value.kind, prediction=value.prediction, linear=None, mask=None
        )

    def _through(self, func: Func, value: Array) -> Value:
        """Enter a function that is applied to every column, row or member, unless its text shows that it draws, reads and learns
        nothing. A table hands whole columns to it; what comes back for one of them stands for all."""
        chunk = func.module.skeleton.chunks[func.node.st]
        if chunk.name == func.name and not _MAY_ACT.search(chunk.text):
            return value
        whole = value.kind == "table" and not value.column and not self.over_columns()
        return self.run.call(func, _call(self.call.node, [value if whole else value.but(kind="item")]))

    def stat(self, value: Array, other: Value | None) -> Value:
        if value.kind == "noise" and value.drawn.known and not self.over_columns():
            value = as_data(value)
        if value.kind == "groups":
            site = self.run.site(self.call.node)
            owner = Aggregate(value.view(), site, value.column, self.name) if value.has_rows else None
            return value.but(kind="table", rows=value.rows.derived(site, "aggregate", self.run.branch), owner=owner)
        if self.over_columns():
            pair = self.name in ("max", "min", "sort", "topk")
            if value.prediction is not None and pair:
                return _values_and_indices(value, value.but(prediction=_as_output(value.prediction, "label"), activation=""))
            return value.but(linear=None, mask=None)
        if value.scores and value.owner == "folds" and self.name in ("max", "amax", "nanmax"):
            from mllint_bio.predict.library.choices import choose

            return choose(self.run, self.call.node, value, "max")
        if value.prediction is not None or value.scores or value.kind in ("hits", "mask"):
            as_figure(self.run, value.scores)
            return condensed(value.but(kind="figure", mask=None, linear=None), self.name)
        if self.name == "value_counts" and value.column and value.has_rows:
            note_repetition(self.run, value.rows, value.column)
        if value.kind in ("table", "array", "unknown", "param") and value.has_rows:
            entry = (value.rows, self.run.site(self.call.node), value.learned, self.name)
            against = self.name == "corr" and isinstance(other, Array) and other.has_rows  # of one column with another
            column = (other.column or "target") if against and isinstance(other, Array) else value.column
            return value.but(kind="stat", stat=entry, linear=None, mask=None, column=column)
        return value.but(linear=None, mask=None)

    def standardise(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows or value.prediction is not None:
            return value
        site = self.run.site(self.call.node)
        subject = _same_subject(self.run, site, Subject(api=self.name, role="statistic", at=site))
        number = self.run.emit(Fit, self.call.node, subject=subject, role="statistic", data=value.view(), method=self.name)
        return value.but(learned=value.learned | {Learned(number, "statistic", value.rows)})

    def subset(self, value: Array, other: Value | None) -> Value:
        if self.over_columns() or not value.has_rows or (self.name == "filter" and not isinstance(other, Func)):
            return value
        if isinstance(value, Array) and value.kind in ("index", "item", "batch"):
            return value
        site = self.run.site(self.call.node)
        entity = _single_key(value.column, self.call) if self.name == "drop_duplicates" else ""
        return value.but(
            rows=value.rows.some(Distinct(entity, site) if entity else site),
            group="" if value.group == entity else value.group,
            linear=None,
        )

    def shuffle(self, value: Array, other: Value | None) -> Value:
        return value.but(ordered="shuffled", order=self.run.site(self.call.node))

    def permutation(self, value: Array, other: Value | None) -> Value:
        site = self.run.site(self.call.node)
        if value.kind in ("scalar", "shape"):
            base = value.base if value.base.known else _rows_of_length(self.run, value, self.call.node)
            return Array(kind="index", rows=base, base=base, ordered="shuffled", order=site)
        return value.but(ordered="shuffled", order=site, linear=None)

    def sample(self, value: Array, other: Value | None) -> Value:
        frac, replace = self.literal("frac"), self.literal("replace")
        site = self.run.site(self.call.node)
        if "size" in self.params and self.argument("size") in (None, NONE) and not self.call.open and value.has_rows:
            return value.but(rows=value.rows.some(site))  # one of them
        if replace is True and value.has_rows:
            made = value.rows.derived(site, "bootstrap", self.run.branch)
            self.run.emit(Resample, self.call.node, data=value.view(), result=made, lineage="bootstrap", api=self.name)
            return value.but(rows=made)
        if isinstance(frac, (int, float)) and frac == 1:
            return value.but(ordered="shuffled", order=site)
        if value.kind in ("scalar", "range"):
            base = value.base if value.base.known else _rows_of_length(self.run, value, self.call.node)
            return Array(kind="index", rows=base.part(site, 0, 2, random=True), base=base)
        if not value.has_rows:
            return value
        seeded = self.argument("random_state") is not None
        parts = (value.rows.part(site, 0, 2, random=True), value.rows.part(site, 1, 2, random=True))
        if value.kind in ("table", "array", "index") and (self.argument("frac") is not None or value.kind == "index"):
            again = any(known[2].rows == value.rows and rows != parts[0] for rows, known in self.run.samples.items())
            if again:  # nothing was dropped between: two samples are meant as two parts
                self.run.emit(
                    Split,
                    self.call.node,
                    data=value.view(),
                    parts=parts,
                    how="sample",
                    api=self.name,
                    shuffles=True,
                    seeded=seeded,
                    stream="numpy",
                )
            self.run.samples[parts[0]] = (self.call.node, site, value, parts, seeded, self.name)
        return value.but(rows=parts[0], ordered="shuffled")

    def concat(self, value: Array, other: Value | None) -> Value:
        return concatenated(self.run, self.call, [value, *arrays_in(other)], self.over_columns())

    def columns(self, value: Array, other: Value | None) -> Value:
        return side_by_side(self.run, [value, *[a for v in self.call.everything() for a in arrays_in(v)]])

    def repeat(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows or value.kind in ("scalar", "item", "stat", "index", "range") or self.run.inside_forward:
            return value  # inside a network what is repeated are channels, heads or masks, not samples
        made = value.rows.derived(self.run.site(self.call.node), "copy", self.run.branch)
        self.run.emit(
            Resample, self.call.node, data=value.view(), result=made, lineage="copy", api=self.name, balances=_chosen(value.rows)
        )
        return value.but(rows=made)

    def index(self, value: Array, other: Value | None) -> Value:
        base = value.base if value.base.known else value.rows
        return Array(kind="index", rows=base, base=base) if base.known else Array(kind="index", rows=UNKNOWN_ROWS)

    def cut(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows:
            return value
        bounds: list[Bound | None] = [None]
        places = other.items if isinstance(other, Seq) and other.exact else ()
        bounds += [bound_of(place) for place in places]
        bounds.append(None)
        if not places:
            return Seq("list", (), value.but(rows=value.rows.some(self.run.site(self.call.node))))
        pieces = [value.but(rows=value.rows.slice(a, b, value.order), order=None) for a, b in itertools.pairwise(bounds)]
        random = value.ordered == "shuffled"
        stream, seeded = self.run.orders.get(value.order, ("", None)) if random else ("", None)
        self.run.emit(
            Split,
            self.call.node,
            data=value.view(),
            parts=tuple(p.rows for p in pieces),
            how="slice",
            api=self.name,
            shuffles=random,
            seeded=seeded,
            stream=stream,
        )
        return Seq("list", pieces)

    def align(self, value: Array, other: Value | None) -> Value:
        second = data_of(other)
        if self.over_columns() or self.argument("axis") is None:
            note_aligned(self.run, value)
            note_aligned(self.run, second)
        return Seq("tuple", [value, second])

    def take(self, value: Array, other: Value | None) -> Value:
        if self.name == "reindex" and (self.over_columns() or self.argument("columns") is not None):
            note_aligned(self.run, value)
            return value
        index = as_array(other) if other is not None else None
        for candidate in self.call.everything():
            array = as_array(candidate)
            if array is not None and array.kind in ("index", "mask"):
                index = array
        if index is not None and value.has_rows:
            return _by_array(self.run, value, index, self.call.node, True)  # type: ignore[arg-type]
        return value

    def head(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows:
            return value
        bound = bound_of(other) if other is not None else Bound(5.0)
        return value.but(rows=value.rows.slice(None, bound, value.order))

    def tail(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows:
            return value
        bound = bound_of(other) if other is not None else Bound(5.0)
        low = Bound(-bound.constant, tuple((s, -f) for s, f in bound.terms)) if bound else None
        return value.but(rows=value.rows.slice(low, None, value.order))

    def drop(self, value: Array, other: Value | None) -> Value:
        if self.over_columns() or self.argument("columns") is not None or not value.has_rows:
            named = [a for a in arrays_in(self.argument("columns") or other or UNKNOWN) if a.kind == "columns"]
            return functools.reduce(lambda data, columns: choose_columns(self.run, data, columns), named, value)
        rows = self.argument("index") or other
        array = as_array(rows) if rows is not None else None
        if array is not None and array.kind == "index" and array.has_rows:
            left = value.rows.without(array.rows.moved(array.base, value.rows))
            sampled = self.run.samples.pop(array.rows, None)
            if sampled is not None:
                _node, site, table, parts, seeded, api = sampled
                self.run.emit(
                    Split,
                    site,
                    data=table.view(),
                    parts=parts,
                    how="sample",
                    api=api,
                    shuffles=True,
                    seeded=seeded,
                    stream="numpy",
                )
            return value.but(rows=left)
        if isinstance(rows, (Const, Seq)) and not arrays_in(rows):
            return value  # columns, or single rows, by their labels
        return value.but(rows=value.rows.some(self.run.site(self.call.node))) if array is not None and array.has_rows else value

    def pop(self, value: Array, other: Value | None) -> Value:
        return value.but(column=other.value if isinstance(other, Const) and isinstance(other.value, str) else "")

    def groupby(self, value: Array, other: Value | None) -> Value:
        key = other.value if isinstance(other, Const) and isinstance(other.value, str) else ""
        if key and value.has_rows:
            note_repetition(self.run, value.rows, key)
        return value.but(kind="groups", column="", owner=key or None)

    def unique(self, value: Array, other: Value | None) -> Value:
        column = value.column or (other.value if isinstance(other, Const) else "")
        if column and value.has_rows and isinstance(column, str):
            note_repetition(self.run, value.rows, column)
        return value.but(kind="unique", linear=None, mask=None, ordered="", order=None)

    def merge(self, value: Array, other: Value | None) -> Value:
        merged = blend(self.run, [value, *arrays_in(other)])
        return merged.but(kind="table", rows=value.rows.some(self.run.site(self.call.node)) if value.has_rows else UNKNOWN_ROWS)

    def explode(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows:
            return value
        made = value.rows.derived(self.run.site(self.call.node), "window", self.run.branch)
        return value.but(rows=made, group=value.group or value.name or "row")

    def window(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows or value.kind in ("batch", "item") or value.prediction is not None or self.run.inside_forward:
            return value
        made = value.rows.derived(self.run.site(self.call.node), "window", self.run.branch)
        self.run.emit(Resample, self.call.node, data=value.view(), result=made, lineage="window", api=self.name)
        return value.but(rows=made, group=value.group or value.name or "recording")

    def augment(self, value: Array, other: Value | None) -> Value:
        return (
            value.but(linear=None, mask=None, owner="augmented")
            if value.has_rows and value.kind in ("array", "table", "unknown", "item")
            else value
        )

    def argmax(self, value: Array, other: Value | None) -> Value:
        if "min" in self.name and (not value.scores or self.over_columns()):
            return value  # the nearest of some centres, as against the class of the largest output
        if value.prediction is not None and (not value.scores or self.over_columns()):
            label = value.but(prediction=_as_output(value.prediction, "label"), activation="", linear=None)
            return _values_and_indices(value, label) if self.name in ("topk", "max") else label
        if value.scores and not self.over_columns():  # along each row: the likeliest class
            from mllint_bio.predict.library.choices import choose

            return choose(self.run, self.call.node, value, self.name)
        return value.but(kind="scalar" if not value.has_rows else value.kind, linear=None)

    def round(self, value: Array, other: Value | None) -> Value:
        if (
            value.prediction is not None
            and value.prediction.output in ("score", "unknown", "logit")
            and other is None
            and not value.scores
        ):
            return value.but(prediction=_as_output(value.prediction, "label"))
        return value

    def activate(self, kind: str) -> Callable[[Array, Value | None], Value]:
        def apply(value: Array, other: Value | None) -> Value:
            prediction = _as_output(value.prediction, "score") if value.prediction is not None else None
            return value.but(activation=kind, activated_at=self.run.site(self.call.node), prediction=prediction)

        return apply

    def isin(self, value: Array, other: Value | None) -> Value:
        array = as_array(other) if other is not None else None
        if array is not None and array.has_rows:
            if array.kind == "unique" and value.has_rows and array.rows.subset(value.rows) and array.rows != value.rows:
                return value.but(kind="mask", mask=(ByIdentifier(array.rows, value.rows), True), group="", owner="by-id")
            if array.kind in ("index", "set") and value.kind == "index":
                return Array(kind="mask", rows=value.rows, mask=(("in", array.rows), True), base=array.rows)
            return value.but(
                kind="mask",
                mask=(_among(array), True),
                group="" if array.kind == "unique" else value.group,
                owner="by-id" if array.kind == "unique" else value.owner,
            )
        return value.but(kind="mask", mask=(_among(other), True))

    def difference(self, value: Array, other: Value | None) -> Value:
        array = as_array(other) if other is not None else None
        if array is not None and value.has_rows and array.has_rows:
            return value.but(rows=value.rows.without(array.rows), order=None)
        return value

    def where(self, value: Array, other: Value | None) -> Value:
        if self.call.at(1) is not None:
            arms = [arm for arm in (self.call.at(1), self.call.at(2)) if isinstance(arm, Array)]
            stats = [arm for arm in arms if arm.stat is not None]
            if len(stats) == 1 and len(arms) == 1:
                return stats[0]  # `where(deviation < 1e-8, 1, deviation)`
            if len(stats) == 1 and len(arms) == 2 and value.prediction is None:  # `where(isnan(data), medians, data)`
                return filled(self.run, next(arm for arm in arms if arm is not stats[0]), stats[0], self.name)
            merged = blend(self.run, [v for v in self.call.everything() if not isinstance(v, Const)])
            if value.prediction is not None:
                return merged.but(prediction=_as_output(value.prediction, "label"), mask=None)
            return merged.but(mask=None, kind="noise" if merged.kind == "noise" else "array")
        if value.mask is not None and value.has_rows:
            return Seq("tuple", [Array(kind="index", rows=value.rows.select(value.mask[0], value.mask[1]), base=value.rows)])
        return value

    def sort(self, value: Array, other: Value | None) -> Value:
        if value.scores and not self.name.startswith("sort_"):  # a table of results in order is still the whole table
            from mllint_bio.predict.library.choices import choose

            return choose(self.run, self.call.node, value, "sort")
        if self.name == "sort_values" and value.scores:
            from mllint_bio.predict.library import results

            return results.in_order(value, self.argument("by"))
        if self.name == "sort_values":
            return value.but(ordered="sorted", order=None, unordered=None)
        return value.but(unordered=None)

    def codes(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows:
            return value
        site = self.run.site(self.call.node)
        given = {"sort": True} if self.name == "factorize" and self.literal("sort") is True else {}
        subject = _same_subject(self.run, site, Subject(api=self.name, role="fitted-transform.encode", at=site, given=given))
        number = self.run.emit(
            Fit, self.call.node, subject=subject, role="fitted-transform.encode", data=value.view(), method=self.name
        )
        return value.but(learned=value.learned | {Learned(number, "encode", value.rows)})

    def fill(self, value: Array, other: Value | None) -> Value:
        return filled(self.run, value, other, self.name)

    def zeros(self, value: Array, other: Value | None) -> Value:
        return Array(kind="array" if value.kind != "noise" else "noise")

    def scalar(self, value: Array, other: Value | None) -> Value:
        if self.name == "item" or value.scores or value.prediction is not None:
            return value.but(kind="figure" if value.scores else value.kind, linear=None)
        if self.name == "size":
            return Array(kind="shape", linear=_length(value))
        if self.name == "nunique" and value.column and value.has_rows:
            note_repetition(self.run, value.rows, value.column)
        if self.name == "columns" and value.has_rows:
            return Array(kind="scalar", owner=("columns", value.rows))
        return Array(kind="scalar", linear=_length(value) if self.name in ("nelement",) else None)

    def iterate(self, value: Array, other: Value | None) -> Value:
        if self.name in ("iterrows", "items", "iteritems"):
            return Seq("generator", (), Seq("tuple", [Array(kind="scalar"), value.but(kind="item")]))
        return value

    def accumulate(self, value: Array, other: Value | None) -> Value:
        if other is None:
            return value
        if self.name == "append" and value.has_rows and isinstance(other, (Array, Seq)):
            return concatenated(self.run, self.call, [value, *arrays_in(other)], False)
        from mllint_bio.predict.interpreter import Updated

        merged = blend(self.run, [value, other])
        return Updated(merged, merged.but(kind="table") if self.name == "append" else NONE)  # tables give the longer table back

    def sum_correct(self, value: Array, other: Value | None) -> Value:
        return value

    def opaque(self, value: Array, other: Value | None) -> Value:
        return blend(self.run, [value, *self.call.everything()]).but(linear=None, mask=None, stat=None)


_OPERATIONS: dict[str, Callable[[Operation, Array, Value | None], Value]] = {
    "keep": Operation.keep,
    "elementwise": Operation.elementwise,
    "stat": Operation.stat,
    "standardise": Operation.standardise,
    "subset": Operation.subset,
    "shuffle": Operation.shuffle,
    "permutation": Operation.permutation,
    "sample": Operation.sample,
    "concat": Operation.concat,
    "columns": Operation.columns,
    "repeat": Operation.repeat,
    "index": Operation.index,
    "cut": Operation.cut,
    "take": Operation.take,
    "head": Operation.head,
    "tail": Operation.tail,
    "drop": Operation.drop,
    "pop": Operation.pop,
    "groupby": Operation.groupby,
    "unique": Operation.unique,
    "merge": Operation.merge,
    "explode": Operation.explode,
    "window": Operation.window,
    "augment": Operation.augment,
    "argmax": Operation.argmax,
    "round": Operation.round,
    "softmax": lambda self, value, other: self.activate("softmax")(value, other),
    "sigmoid": lambda self, value, other: self.activate("sigmoid")(value, other),
    "log_softmax": lambda self, value, other: self.activate("log_softmax")(value, other),
    "isin": Operation.isin,
    "negate": lambda self, value, other: negated(self.run, value),
    "difference": Operation.difference,
    "where": Operation.where,
    "sort": Operation.sort,
    "codes": Operation.codes,
    "align": Operation.align,
    "fill": Operation.fill,
    "zeros": Operation.zeros,
    "scalar": Operation.scalar,
    "iterate": Operation.iterate,
    "accumulate": Operation.accumulate,
    "sum-correct": Operation.sum_correct,
    "opaque": Operation.opaque,
}


def concatenated(run: Run, call: Call, parts: Sequence[Array], over_columns: bool) -> Value:
    """Rows below each other; the union of the parts, in blocks."""
    members: Sequence[Array] = [part for part in parts if part.kind not in ("scalar", "config")]
    filled = [part for part in members if part.kind != "empty"]
    if all(part.prediction is not None or part.kind in ("batch", "item") for part in filled):
        members = filled or members  # what is read from files round by round is of other rows each time
    if over_columns:
        return side_by_side(run, members)
    if not members:
        return next((part for part in parts if part.kind == "empty"), UNKNOWN)
    drawn = [part for part in members if part.kind == "noise" and part.drawn.known and not part.has_rows]
    if drawn and all(part.has_rows or part in drawn for part in members):
        result = concatenated(run, call, [as_data(part) for part in members], False)
        return as_drawn(result, drawn[0]) if len(drawn) == len(members) else result
    merged = blend(run, members)
    members = _with_copies(run, members, run.site(call.node))
    rows = union([part.rows for part in members]) if all(part.has_rows for part in members) else UNKNOWN_ROWS
    augmented = [part for part in members if part.owner == "augmented" and part.kind != "item"]
    repeated = any(part.owner == "repeated" for part in members)
    appended = bool(run.loops) and isinstance(call.node, ir.Call) and getattr(call.node.func, "name", "") == "append"
    grown = appended or any(part.kind == "empty" or part.owner == "grown" for part in parts)  # each round by other rows
    twice = len(members) > 1 and (bool(augmented) or not grown and _same_origin_twice(members))
    # A table that a loop makes longer meets the rows of an earlier round again only because rounds are not told apart.
    twice = run.doubled.setdefault((run.site(call.node), run.calls), twice) and twice
    if rows.known and (repeated or twice) and not run.inside_forward:
        made = rows.derived(run.site(call.node), "augment" if augmented else "copy", run.branch)
        run.emit(
            Resample,
            call.node,
            data=members[0].view(),
            result=made,
            lineage="augment" if augmented else "copy",
            api="concatenate",
            balances=any(_chosen(part.rows) for part in members),
        )
        rows = made
    distinct = {_class_of(part.rows) or repr(part.rows) for part in members}
    ordered = (
        "class-blocks" if len(members) > 1 and len(distinct) > 1 and not all(p.prediction for p in members) else merged.ordered
    )
    predictions = [part.prediction for part in members if part.prediction is not None]
    return merged.but(
        rows=rows,
        ordered=ordered,
        order=None,
        linear=None,
        mask=None,
        prediction=predictions[0] if predictions else None,
        kind="array" if members[0].kind in ("item", "batch") else members[0].kind,
        owner="grown" if grown else None if repeated else merged.owner,
        group=next((p.group for p in members if p.group), ""),
    )


def _with_copies(run: Run, members: Sequence[Array], site: Site) -> Sequence[Array]:
    """Tables to be joined, where copies that were recorded when they were made have gone into the table they were made from."""
    if len(members) < 2 or Resample not in run.told:
        return members
    for resample in [event for event in run.events if isinstance(event, Resample)]:
        copies = next((part for part in members if part.rows == resample.result), None)
        table = next((part for part in members if part.has_rows and resample.data.rows.subset(part.rows)), None)
        if copies is None or table is None or copies is table or copies.column != table.column or run.inside_forward:
            continue
        made = table.but(rows=table.rows.derived(site, resample.lineage, run.branch))
        run.amend(resample.id, result=made.rows)
        members = [made if part is table else part for part in members if part is not copies]
    return members


def _same_origin_twice(members: Sequence[Array]) -> bool:
    """Whether some rows stand in two members, as against two columns of the same rows."""
    known = [part for part in members if part.kind in ("table", "array") and part.prediction is None]
    return any(a.rows.overlap(b.rows) and a.column == b.column for i, a in enumerate(known) for b in known[i + 1 :])


def _class_of(rows: Rows) -> Hashable:
    """What tells rows that were picked by their label from those of the other labels; None for rows picked otherwise."""
    for step in rows.steps()[-1:]:
        if isinstance(step, Selection) and isinstance(step.key, Equals) and isinstance(step.key.column, tuple):
            return step if _CLASS_NAME.search(str(step.key.column[-1])) else None
    return None


def _chosen(rows: Rows) -> bool:
    """Whether these are rows picked by a condition, as the rows of one class are."""
    return any(isinstance(step, Selection) for step in rows.steps()[-1:])


def _repeated(rows: Rows) -> bool:
    """Whether each of these rows stands for several."""
    return any(isinstance(step, Derived) and step.how == "copy" for step in rows.steps()[-1:])


def side_by_side(run: Run, parts: Sequence[Array]) -> Array:
    """Columns next to each other: the same rows, all facts."""
    members = [part for part in parts if part.kind not in ("scalar", "config", "empty")]
    if not members:
        return UNKNOWN
    rows = next((part.rows for part in members if part.has_rows and not _repeated(part.rows)), UNKNOWN_ROWS)
    if not any(part.has_rows for part in members) and any(part.drawn.known for part in members):
        return blend(run, members).but(kind="noise", linear=None, mask=None)
    if all(part.has_rows for part in members) and not rows.known:  # one column that repeats its values is no copied row
        rows = members[0].rows
    return blend(run, members).but(rows=rows, kind="array", linear=None, mask=None)


# Columns that name what samples are taken from, as against their class, sex, treatment group or gene.
_ENTITY = re.compile(
    r"patient|subject|donor|participant|individual|person|animal|mouse|mice|slide|record|specimen|biopsy|sample|family|cell_?line|"
    r"clone|protein|molecule|compound|scaffold|sequence|(^|_)[a-z]{0,4}ids?($|_)|ID$",
    re.I,
)


def note_repetition(run: Run, rows: Rows, entity: str) -> None:
    """Remember that the table has several rows per entity."""
    steps = rows.steps()
    if steps and _ENTITY.search(entity):
        run.repeated.setdefault(steps[0], entity)


_VISIT = re.compile(
    r"^(vis(it)?_?(code)?_?(2|num(ber)?|no|id|name)?|time_?point|session(_?id)?|wave|month(_bl)?|baseline)$", re.I
)


def _one_visit(step: Selection) -> bool:
    """Whether the rows are those of one visit (`table["VISCODE"] == "bl"`): one row of each entity."""
    key = step.key
    return step.positive and isinstance(key, Equals) and isinstance(key.column, tuple) and bool(_VISIT.match(str(key.column[1])))


def repetition_of(run: Run, rows: Rows) -> str:
    """The entity of which the table has several rows, if the code proves one; grouping by it leaves one row each."""
    steps = rows.steps()
    entity = run.repeated.get(steps[0], "") if steps else ""
    return "" if any(_one_row_each(step, entity) for step in steps) else entity


def _one_row_each(step: Step, entity: str) -> bool:
    """Whether of each entity one row is left after this step."""
    if isinstance(step, Selection) and _one_visit(step):
        return True
    key = step.key if isinstance(step, Subset) or (isinstance(step, Selection) and step.positive) else None
    if isinstance(key, Distinct):
        return key.column == entity
    return isinstance(key, OneOfEach) or (isinstance(step, Derived) and step.how == "aggregate")


def _rows_of_length(run: Run, value: Array, node: ir.Node) -> Rows:
    """Rows that a count stands for; a source of its own when it counts nothing known."""
    return run.source(node, "indices") if not value.rows.known else value.rows


def note_unordered(run: Run, value: Array, use: str, at_use: Site) -> None:
    """Record that the order of a listing or set, which nothing defines, is used here."""
    if isinstance(value.unordered, tuple):
        what, made = value.unordered
        if what == "set" and use == "split":
            return  # only strings are hashed anew in each process, and what the set holds is not known
        run.emit(Unordered, made, what=what, use=use, at_use=at_use)


def emit_draw(run: Run, node: ir.Node, stream: str, what: str, purpose: str, **fields: Any) -> None:
    """Record a draw from a global stream."""
    run.emit(Draw, node, stream=stream, what=what, purpose=purpose, **fields)
