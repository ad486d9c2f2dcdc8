"""What abstract values hold: the arrays in them, figures, columns, bounds; and how several are taken together."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from mllint_bio.events import Subject
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.values import (
    UNKNOWN,
    Array,
    Choice,
    Const,
    Dict,
    Func,
    Obj,
    Seq,
    Value,
    constant,
    join_all,
    role_of_name,
    turn,
)
from mllint_bio.rows import UNKNOWN_ROWS, Bound, Equals, Rows, Source, source

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

LONG = "long"  # owner of a table that has a row for each column of a wide one
RATE = "rate"  # owner of a figure that was divided by another of the same evaluation: cells of a table of hits and misses
COPIED = "copied"  # among the owners of weights that later steps do not change
POSITIONS = "indices"  # label of the rows that counted positions stand for, until they index a table
_RESULTS_DEPTH = 6  # results are collected by data set, model, metric and fold
DATA_KINDS = frozenset({"table", "array", "batch", "dataset", "loader", "unknown", "param"})


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
            return run.inline(member, Call(node, [], {}), value)  # type: ignore[arg-type]
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
            from mllint_bio.predict.library.loaders import dataset_data

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
    learned, scores, shown, chosen, across = first.learned, first.scores, first.shown, first.chosen, first.across
    for a in found:  # one loop: this is where the interpreter spends most of its time
        if a.rows.known:
            if name is None:
                name = a.name
            if not kind and a.kind in DATA_KINDS:
                kind = a.kind
    for a in others:
        if a.turned is not first.turned:
            a = turn(a)
        learned = learned | a.learned if a.learned else learned
        across = across | a.across if a.across else across
        scores = scores | a.scores if a.scores else scores
        shown = shown | a.shown if a.shown else shown
        chosen = chosen | a.chosen if a.chosen else chosen
        group, noise, prediction = group or a.group, noise or a.noise, prediction or a.prediction
    kind = kind or first.kind
    return UNKNOWN.but(
        kind=kind or (first.kind if first.kind != "empty" else "unknown"),
        rows=_common_rows(found),
        learned=learned,
        across=across,
        turned=first.turned,
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


def joined_path(parts: Sequence[Value]) -> Value:
    """The path that these make: what is known of it, with all of it known if all parts are."""
    texts = [v.value if isinstance(v, Const) else v.name if isinstance(v, Array) else "" for v in parts]
    text = "/".join(str(t) for t in texts if t)
    if all(isinstance(v, Const) for v in parts) and parts:
        return constant(text if texts[-1] or not text else f"{text}/")  # an empty last part makes it a folder
    merged = [a for v in parts for a in arrays_in(v)]
    unordered = next((a.unordered for a in merged if a.unordered), None)
    return Array(kind="text", name=text[:120], unordered=unordered)


def passed_on(run: Run, call: Call) -> Value:
    """Result of a call that does nothing of note: what it was handed, if that is data or figures."""
    merged = blend(run, call.everything())
    return merged if merged.has_rows or merged.scores else UNKNOWN


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
    return result.but(kind=kind, rows=rows.some((run.site(call.node), run.calls)), linear=None, mask=None, name="")


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


def same_subject(run: Run, site: Any, subject: Subject) -> Subject:
    """One subject per place, so that a loop does not make new ones."""
    return run.statistics.setdefault((site, subject.api), subject)


def is_cut(value: Value) -> TypeGuard[Array]:
    """Whether it is what a model predicts, compared with a threshold: labels, as yet called true and false."""
    if not isinstance(value, Array) or value.prediction is None or value.kind == "hits":
        return False
    return value.prediction.output == "label" and not (value.scores and value.shown)  # figures of labels are none


PAIRWISE = frozenset({"corr", "cov", "corrcoef"})


def as_columns(value: Array) -> Array:
    """What names columns by a statistic of each: its index, its order, those above a bound."""
    return Array(kind="columns", learned=value.learned, stat=value.stat, name=value.name, column=value.column)


def of_columns(value: Array) -> bool:
    """Whether a statistic has a figure for every column."""
    return value.kind == "stat" and value.stat is not None and (not value.column or value.stat[3] in PAIRWISE)


def is_of_each_column(value: Array) -> bool:
    """Whether it is a statistic of every column, or names columns by one."""
    return value.kind == "columns" or of_columns(value)


def is_column(index: Array) -> bool:
    """Whether an index is one column of a table or a member of a graph, as it stands there."""
    return bool(index.column) and index.has_rows and index.prediction is None and index.mask is None


def column_key(run: Run, index: Array) -> Hashable:
    """Key of the rows that a column of yes and no marks; those of two roles (`train_mask`, `test_mask`) mark different rows."""
    role = role_of_name(index.column)
    if not role:
        return "marks", index.name, column_of(run, index.rows, index.column)
    times = _times_written(run, index.rows, index.column)
    # Columns of two roles have one key as long as each of them is written at most once.
    return Equals(("marks", index.rows, times) if times > 1 else ("marks", index.rows), role)


def column_of(run: Run, rows: Rows, name: str) -> tuple[Hashable, ...]:
    """Key of a column as it stands now: when the program writes it anew, its values mark other rows than before."""
    times = _times_written(run, rows, name)
    return (rows, name, times) if times else (rows, name)


def _times_written(run: Run, rows: Rows, name: str) -> int:
    return run.columns_written.get((_source_of(rows), name), 0)


def column_written(run: Run, rows: Rows, name: str) -> None:
    """A column of a table gets other values."""
    column = (_source_of(rows), name)
    run.columns_written[column] = run.columns_written.get(column, 0) + 1


def _source_of(rows: Rows) -> Hashable:
    steps = rows.steps()
    return steps[0] if steps else rows


def key_of(index: Array) -> Any:
    """Key of the rows that a named index stands for."""
    return (index.rows, index.name) if index.name else None


def value_node(node: ir.Node) -> ir.Node:
    """The node that stands for the table which is indexed."""
    return node.value if isinstance(node, ir.Subscript) else node


_TOGETHER = frozenset(
    {"x", "y", "data", "target", "targets", "label", "labels", "features", "feature", "images", "inputs", "outputs", "values"}
)


def is_json(value: Array) -> bool:
    """Whether the value was read from a JSON file, which may hold settings or records of samples."""
    return isinstance(value.owner, tuple) and value.owner[:1] == ("json",)


def records(value: Array) -> Rows:
    """The rows that the value is, or would be if its file holds records of samples."""
    return value.owner[1] if is_json(value) else value.rows


ARCHIVE = ("archive",)  # owner of what `numpy.load` gives, which may hold several arrays


def is_opaque(value: Array) -> bool:
    """Whether the value is an object that was read back from a file, of which nothing but the file is known."""
    from_file = isinstance(value.owner, tuple) and value.owner[:1] == ("file",)
    return value.has_rows and (value.owner == "restored" or (value.kind == "weights" and from_file))


def holds_parts(value: Array, name: str) -> bool:
    """Whether what stands under a name need not be of the same rows as the rest: in a file of several arrays, or in whatever was
    read if the name is that of a part."""
    return value.owner == ARCHIVE or (value.kind == "unknown" and value.has_rows and bool(role_of_name(name)))


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


def row_count(value: Array) -> Bound:
    """Number of rows, as a bound that equals itself only."""
    key = repr(value.rows) if value.has_rows else f"v{id(value)}"
    return Bound(0.0, ((f"len({key})", 1.0),))


def base_of(rows: Rows) -> Rows:
    """The table whose positions an index of these rows counts: the source."""
    steps = rows.steps()
    if not steps:
        return rows
    root = steps[0]
    return source(root.key, root.label, root.size) if isinstance(root, Source) else rows


def length_of(run: Run, value: Value) -> Value:
    """`len(value)`."""
    if isinstance(value, Seq) and value.exact and not run.loops:
        return Const(len(value.items))
    data = data_of(value)
    if data.has_rows:
        return Array(kind="scalar", linear=row_count(data), base=data.rows)
    return Array(kind="scalar", base=data.rows)


def selection_of(conditions: Sequence[Array], value: Value) -> Value:
    """What is collected under conditions on figures of columns: names or numbers of chosen columns."""
    if not conditions or any(array.has_rows or array.scores for array in arrays_in(value)):
        return value
    learned = frozenset().union(*(one.learned for one in conditions))
    ranked = next((one for one in conditions if one.stat is not None), conditions[0])
    return as_columns(ranked.but(learned=learned))


def arrays_with_rows_in(value: Value) -> list[Array]:
    """Data of known provenance inside a value."""
    return [array for array in arrays_in(value) if array.has_rows]


def listing(run: Run, what: str, call: Call) -> Array:
    """Names of files that a call lists, as rows in no promised order."""
    names = [
        v.value if isinstance(v, Const) and isinstance(v.value, str) else v.name if isinstance(v, Array) else ""
        for v in call.args
    ]
    label = next((n for n in names if role_of_name(n)), "")
    return Array(
        kind="array",
        rows=run.source(call.node, label or what, label or None),
        name=label,
        unordered=(what, run.site(call.node)),
        ordered="unordered",
    )


def text_of(value: Value | None) -> str:
    return str(value.value) if isinstance(value, Const) else value.name if isinstance(value, Array) else ""
