"""Data sets, loaders and samplers: which rows a batch holds, in which order, and what reading one item draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mllint_bio.catalog import Entry
from mllint_bio.events import (
    Loader,
    Subject,
)
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import (
    indexing,
    iteration,
    joining,
    seeding,
    subjects,
)
from mllint_bio.predict.library.contents import arrays_in, arrays_with_rows_in, data_of, objects_in
from mllint_bio.predict.library.notes import loads_of
from mllint_bio.predict.values import (
    UNKNOWN,
    Array,
    Const,
    Func,
    Obj,
    Seq,
    Value,
    options,
    role_of_name,
)
from mllint_bio.rows import UNKNOWN_ROWS, Part, Slice

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def sampler(run: Run, entry: Entry, call: Call) -> Value:
    """Samplers: an order, or a choice of rows."""
    obj = Obj(subjects.make_subject(run, entry, call), None, entry)
    obj.cells["#call"] = call
    indices = call.get(entry.get("indices") or "", entry.params)
    if indices is not None:
        index = data_of(indices)
        obj.cells["#index"] = index
    return obj


def loader(run: Run, entry: Entry, call: Call) -> Value:
    """A loader over a data set; a sampler over indices narrows its rows."""
    subject = subjects.make_subject(run, entry, call)
    obj = Obj(subject, None, entry)
    source = call.get(entry.get("dataset") or "dataset", entry.params) or call.at(0) or UNKNOWN
    data = data_of(source)
    if not data.has_rows and not isinstance(source, Const):
        data = data.but(rows=run.source(call.node, data.name), kind="dataset")
    chosen = call.get(entry.get("sampler") or "sampler", entry.params)
    kind = ""
    if isinstance(chosen, Obj):
        kind = chosen.subject.label
        index = chosen.cells.get("#index")
        if isinstance(index, Array) and index.kind in ("index", "array", "unknown") and data.has_rows:
            moved = index.rows.moved(index.base, data.rows) if index.base.known else UNKNOWN_ROWS
            rows = moved if moved.known else data.rows.some((repr(index.rows), index.name))
            data = data.but(rows=rows, name=index.name if role_of_name(index.name) else data.name)
    nodes = call.get(entry.get("indices") or "", entry.params)
    if nodes is not None and data.has_rows:
        data = _among(run, data, data_of(nodes), call.node)
    shuffle = _literal_bool(run, entry, call, "shuffle")
    generators = tuple(o.subject for o in objects_in(call.kwargs.get("generator")) if o.is_a("generator"))
    inner = next((o for o in options(source) if isinstance(o, Obj)), None)
    workers = subjects.literal(call, entry, entry.get("workers") or "num_workers")
    held = _item_generators(run, inner) if inner is not None else ()
    run.emit(
        Loader,
        call.node,
        subject=subject,
        data=data.view(),
        shuffle=shuffle,
        drop_last=not _one_by_one(call, entry) and _literal_bool(run, entry, call, "drop_last"),
        workers=workers if isinstance(workers, int) else 0 if workers is None else None,
        sampler=kind,
        generators=held,
    )
    subject.facts["generator"] = bool(generators)
    subject.facts["shuffle"] = shuffle
    subject.facts["whole"] = _whole(call, entry)
    obj.cells["#call"] = call
    obj.cells["#sampler"] = chosen
    obj.cells["#dataset"] = source
    obj.cells["#data"] = data.but(
        kind="loader", loader=subject, order=None, ordered="shuffled" if shuffle else data.ordered, linear=None, mask=None
    )
    return obj


def _among(run: Run, data: Array, index: Array, node: ir.Node) -> Array:
    """The nodes of a graph that a mask or a list of positions names."""
    found = indexing.by_array(run, data, index, node, rowwise=False)
    if isinstance(found, Array) and found.rows != data.rows:
        return data.but(rows=found.rows)
    return data.but(rows=data.rows.some((run.site(node), index.rows, index.name)))


def _one_by_one(call: Call, entry: Entry) -> bool:
    """Whether a batch is one sample: the last batch is never short then."""
    size = call.get("batch_size", entry.params)
    return isinstance(size, Const) and size.value == 1


def _whole(call: Call, entry: Entry) -> bool:
    """Whether a batch is as large as something that was counted: `batch_size=len(held_out)`."""
    size = call.get("batch_size", entry.params)
    return isinstance(size, Array) and size.linear is not None and size.linear.whole


def _literal_bool(run: Run, entry: Entry, call: Call, field: str) -> bool | None:
    parameter = entry.get(field)
    if parameter is None:
        return False
    if isinstance(parameter, bool):
        return parameter
    value = subjects.literal(call, entry, parameter)
    return bool(value) if isinstance(value, (bool, int)) else None if value is UNKNOWN else False


def row_selection(run: Run, entry: Entry, call: Call) -> Value:
    """Subset(dataset, indices)."""
    data = data_of(call.get(entry.get("dataset") or "dataset", entry.params) or UNKNOWN)
    index = data_of(call.get(entry.get("indices") or "indices", entry.params) or UNKNOWN)
    if not data.has_rows:
        data = data.but(rows=run.source(call.node, data.name))
    if index.kind in ("index", "range") and index.has_rows:
        return indexing.by_index(run, data.but(kind="dataset"), index, call.node)
    if index.has_rows:
        return data.but(kind="dataset", rows=data.rows.some((repr(index.rows), index.name)))
    return data.but(
        kind="dataset",
        rows=data.rows.some((run.site(call.node), index.name)),
        name=index.name if role_of_name(index.name) else data.name,
    )


def dataset(run: Run, entry: Entry, call: Call) -> Value:
    """A library data set over given arrays, or a source of its own."""
    described = call.get(entry.get("data") or "", entry.params)  # not the folder that a cache lies in
    given = call.everything() if described is None else [described]
    found = [a for v in given for a in arrays_in(v) if a.has_rows and a.kind not in ("text", "config")]
    if found:
        members = tuple(a.learned for a in found) if len(found) == len(call.args) > 1 else ()
        return joining.side_by_side(run, found).but(kind="dataset", members=members)
    texts = [v.value for v in call.everything() if isinstance(v, Const) and isinstance(v.value, str)]
    label = next((t for t in texts if role_of_name(t)), texts[0] if texts else "")
    return Array(kind="dataset", rows=run.source(call.node, label, tuple(texts) or None), name="")


def dataset_data(obj: Obj, run: Run | None = None, call: Call | None = None) -> Array:
    """Rows of a project data set: those of the first array it was given, else a source of its own."""
    known = obj.cells.get("#data")
    if isinstance(known, Array):
        return known
    args, kwargs = obj.cells.get("#args", ((), {}))
    values: list[Value] = [*args, *kwargs.values()]
    found = [a for v in values for a in arrays_in(v) if a.has_rows and a.kind not in ("text", "config", "scalar", "weights")]
    fields = [
        a
        for key, v in obj.cells.items()
        if key.startswith(".")
        for a in arrays_in(v)
        if a.has_rows and a.kind not in ("text", "config", "scalar", "stat")
    ]
    read = _read_by_itself(run, obj, found)
    if read is not None:
        found, fields = [], [read]
    index = next((a for a in found if a.kind == "index"), None)
    samples = sorted(
        (a for a in found if a.kind != "index"), key=lambda a: not _was_divided(a)
    )  # the table that was split, not a look-up table
    own = next((a for a in fields if a.learned), fields[0] if fields else None)  # the inputs rather than the labels
    base = samples[0] if samples else own
    if samples and index is None and len({a.rows for a in fields}) == 1 and fields[0].rows.subset(samples[0].rows):
        base = fields[0]  # of what it was given, it keeps a part: `self.records = records[role]`
    if base is not None and index is not None and run is not None:
        moved = index.rows.moved(index.base, base.rows)
        base = base.but(rows=moved if moved.known else base.rows.some((repr(index.rows), index.name)))
    if base is not None:
        merged = base.but(
            kind="dataset", learned=frozenset().union(*(a.learned for a in (*found, *fields))), mask=None, linear=None
        )
        data = merged.but(group=next((a.group for a in (*found, *fields) if a.group), ""))
    elif run is not None and call is not None:
        texts = [str(v.value) for v in values if isinstance(v, Const) and isinstance(v.value, (str, bool, int))]
        names = [a.name for v in values for a in arrays_in(v) if a.name]
        label = next((t for t in (*texts, *names) if role_of_name(t)), "")
        data = Array(kind="dataset", rows=run.source(call.node, label, (*texts, *names)), name="")
    else:
        return UNKNOWN
    obj.cells["#data"] = data
    return data


def _read_by_itself(run: Run | None, obj: Obj, given: list[Array]) -> Array | None:
    """What the data set takes its items from (`self.x[i]`), if that has nothing to do with what it was handed: names, say."""
    found = obj.klass.lookup("__getitem__") if obj.klass is not None and given and run is not None else None
    if found is None or run is None or any(a.kind == "index" for a in given):
        return None
    member = run.force(found[1], found[0].members, "__getitem__")
    if not isinstance(member, Func) or len(member.node.params.items) < 2:
        return None
    number = member.node.params.items[1].name
    for node in ir.walk(member.node):
        if isinstance(node, ir.Subscript) and any(isinstance(one, ir.Name) and one.name == number for one in node.index):
            held = node.value
            while isinstance(held, (ir.Attribute, ir.Subscript)) and not isinstance(held.value, ir.Name):
                held = held.value  # `self.table.iloc[i]`
            content = obj.cells.get("." + held.name) if isinstance(held, ir.Attribute) else None
            rows = arrays_with_rows_in(content) if isinstance(content, Value) else []
            if rows:
                own = all(a.rows.disjoint(b.rows) for a in rows for b in given)
                return rows[0] if own and loads_of(run, rows[0].rows) else None
    return None


def _was_divided(array: Array) -> bool:
    """Whether the rows are a part of a split, a fold or a slice, or are called train or test."""
    return bool(role_of_name(array.name)) or any(isinstance(step_, (Part, Slice)) for step_ in array.rows.steps())


def iterate_object(run: Run, obj: Obj, node: ir.Node) -> Value:
    """One round of a loop over a loader, a data set, a container of layers, or an iterable project object."""
    if obj.is_a("layer", "module"):
        children = obj.cells.get("#children")
        return children.element() if isinstance(children, Seq) else UNKNOWN
    data = data_of(obj)
    if obj.is_a("loader"):
        _draw_order(run, obj, node)
        inner = obj.cells.get("#dataset")
        for option in options(inner) if inner is not None else ():
            if isinstance(option, Obj) and option.klass is not None:
                _draw_item(run, option, node)
        return data.but(kind="batch", visit=run.visit(data.loader, node))
    if obj.klass is not None:
        for name in ("__iter__", "__next__", "__getitem__"):
            found = obj.klass.lookup(name)
            if found is not None and not obj.is_a("dataset"):
                result = run.call_method(obj, name, Call(_expression(node), [] if name != "__getitem__" else [UNKNOWN], {}))
                element = iteration.iterated_silently(run, result) if name == "__iter__" else result
                if isinstance(element, Obj) and element is not obj:
                    return iterate_object(run, element, node)
                if element is not obj:
                    return element
        if obj.is_a("dataset"):
            _draw_item(run, obj, node)
    return data.but(kind="item") if data.has_rows else UNKNOWN


def _expression(node: ir.Node) -> ir.Expr:
    return node  # type: ignore[return-value]


def _draw_order(run: Run, obj: Obj, node: ir.Node) -> None:
    """The random order that a loader and its sampler draw when they are iterated."""
    call = Call(_expression(node), [], {})
    sampler_ = obj.cells.get("#sampler")
    for one, what in ((obj, f"{obj.subject.label}(shuffle=True)"), (sampler_, obj.subject.label)):
        given = one.cells.get("#call") if isinstance(one, Obj) else None
        if isinstance(one, Obj) and one.entry is not None and given is not None:
            seeding.draws(
                run, call, one.entry.fields, one.entry.params, what, at="iterate", purpose=None, given=given, subject=obj.subject
            )


def _item_generators(run: Run, obj: Obj) -> tuple[Subject, ...]:
    """Generator objects that the code of `__getitem__` uses: attributes of the data set, or names of its module."""
    if obj.klass is None:
        return ()
    found: dict[Subject, None] = {}
    top = run.executed.get(obj.klass.module.path, {})
    pending, seen = ["__getitem__"], {"__getitem__"}
    while pending:
        member = obj.klass.lookup(pending.pop())
        if member is None or not isinstance(member[1], Func):
            continue
        for node in ir.walk(member[1].node):
            name = node.name if isinstance(node, (ir.Name, ir.Attribute)) else ""
            value = obj.cells.get("." + name) if isinstance(node, ir.Attribute) else top.get(name)
            if isinstance(value, Obj) and value.is_a("generator"):
                found[value.subject] = None
            elif isinstance(node, ir.Attribute) and name not in seen:
                seen.add(name)
                pending.append(name)
    return tuple(found)


def _draw_item(run: Run, obj: Obj, node: ir.Node) -> None:
    """Execute `__getitem__` once, for the random numbers that it draws."""
    if obj.cells.get("#drawn"):
        return
    obj.cells["#drawn"] = True
    found = obj.klass.lookup("__getitem__") if obj.klass is not None else None
    if found is None:
        return
    member = run.force(found[1], found[0].members, "__getitem__")
    if isinstance(member, Func):
        run.inside_forward += 1
        run.drawing_item += 1
        try:
            run.inline(member, Call(_expression(node), [Array(kind="scalar", name="index")], {}), obj)
        finally:
            run.inside_forward -= 1
            run.drawing_item -= 1


HANDLERS: dict[str, Callable[[Any, Entry, Any], Value]] = {
    "sampler": sampler,
    "loader": loader,
    "row-selection": row_selection,
    "dataset": dataset,
}
