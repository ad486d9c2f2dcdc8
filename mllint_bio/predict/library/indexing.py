"""Indexing, slices and masks of rows and columns, and writing into them."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mllint_bio.events import Fit, Learned, Score, Split, Subject
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import results
from mllint_bio.predict.library.arithmetic import filled
from mllint_bio.predict.library.contents import (
    ARCHIVE,
    LONG,
    PAIRWISE,
    POSITIONS,
    arrays_in,
    as_columns,
    as_data,
    as_drawn,
    bound_of,
    column_key,
    column_written,
    data_of,
    holds_parts,
    is_column,
    is_cut,
    is_opaque,
    key_of,
    member_of,
    of_columns,
    row_count,
    same_subject,
    scores_of,
    value_node,
)
from mllint_bio.predict.library.notes import (
    ByIdentifier,
    RandomMask,
    is_repeated,
    names_of_another,
    note_aligned,
    note_column,
    note_unordered,
    one_of_each_group,
    repetition_of,
)
from mllint_bio.predict.library.scoring import names_truth, within_class
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Bound_,
    Choice,
    Const,
    Dict,
    Narrowed,
    Obj,
    Seq,
    Value,
    is_hashable,
    join,
    join_all,
    options,
    role_of_name,
)
from mllint_bio.rows import UNKNOWN_ROWS, Bound, Equals, EqualsValue, Part, Rows, Slice, Step, joined

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def subscript(run: Run, value: Value, indices: Sequence[Value], node: ir.Subscript) -> Value:
    """`value[indices]`."""
    if isinstance(value, Choice):
        # A loader has no items: where one is indexed (`loaders[0]`), the value is the list of the other branch.
        able = [o for o in value.options if o != NONE and not (isinstance(o, Obj) and o.is_a("loader"))]
        return join_all([subscript(run, option, indices, node) for option in able or value.options])
    index = indices[0] if len(indices) == 1 else None
    if isinstance(value, Seq):
        found = _item_of_sequence(run, value, index, node)
        if isinstance(found, Array) and isinstance(index, Array) and (index.shown or index.chosen):
            return found.but(shown=index.shown if found.scores else found.shown, chosen=found.chosen | index.chosen)
        return found
    if isinstance(value, Dict):
        if isinstance(index, Const):
            member = value.items.get(index.value) if is_hashable(index.value) else None
            if member is None and "#default" in value.cells:
                return entered(run, value, index, run.call(value.cells["#default"], Call(node, [], {})))
            rest = value.rest
            if member is not None:
                return member
            if isinstance(rest, Array) and (rest.kind in ("batch", "item") or rest.owner == ARCHIVE):
                return subscript(run, rest, indices, node)  # a field that came with the batch, or an array with the file
            if isinstance(rest, Array) and rest.kind in ("table", "groups") and rest.has_rows and not rest.column:
                return rest.but(kind="table", rows=rest.rows.some(("member", index.value)))  # of several: `groups["test"]`
            return rest if rest is not None else UNKNOWN
        if value.rest is None and "#default" in value.cells:
            entered(run, value, index, run.call(value.cells["#default"], Call(node, [], {})))
        one = value.element()
        if isinstance(index, Array) and _looked_up(index, one):
            return index.but(linear=None, mask=None)
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
    if isinstance(value, Array) and value.kind == "config" and isinstance(value.owner, tuple) and value.owner[:1] == ("record",):
        return value.but(kind="item", rows=value.owner[1], owner=None, name="")  # a name of a setting has no fields
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
        figures = results.column(target, index.value) if isinstance(index, Const) and not rowwise else None
        best = figures if figures is not None else results.first_row(run, node, target, indices)
        if best is not None:
            return best
    result = _select_rows(run, target, indices, node, rowwise)
    ones = one_of_each_group(run, target, node) if rowwise and _one_place(indices[0]) else None
    if ones is not None and isinstance(result, Array):
        result = result.but(rows=ones)
    if target.kind == "table" and isinstance(result, Array):
        result = _crossed(run, result, indices, rowwise)
    if target.unordered and isinstance(result, Array) and isinstance(index, Const) and isinstance(index.value, int):
        return result.but(unordered=None)  # the one file that was found: which it is does not part its rows
    return result


def _one_place(index: Value) -> bool:
    """Whether one row is taken by its place: `rows.iloc[0]`, `rows.iloc[[-1]]`, `rows.iloc[:1]`."""
    if isinstance(index, Seq) and index.kind == "slice":
        return index.items[:2] in ((NONE, Const(1)), (Const(-1), NONE))
    if isinstance(index, Seq):
        return index.exact and len(index.items) == 1 and _one_place(index.items[0])
    return isinstance(index, Const) and isinstance(index.value, int) and not isinstance(index.value, bool)


def _crossed(run: Run, result: Array, indices: Sequence[Value], rowwise: bool) -> Array:
    """What rows were chosen by, should they be columns once the table is turned; and whether some columns only were taken."""
    for number, index in enumerate(indices):
        rows = number == 0 and (rowwise or (isinstance(index, Array) and (index.kind == "mask" or index.mask is not None)))
        if rows and isinstance(index, Array) and index.across:
            facts = (fact for fact in index.across if isinstance(fact, Learned))
            ranked = frozenset(fact for fact in facts if isinstance(e := run.events[fact.fit], Fit) and e.method in RANKINGS)
            result = result.but(across=result.across | ranked)
        elif not rows and not isinstance(index, Const) and not (isinstance(index, Seq) and _written(index)):
            result = result.but(across=result.across | {Narrowed(index)})
    return result


def _written(index: Seq) -> bool:
    """Whether columns are named where they are taken, or all of them are."""
    return _is_full(index) if index.kind == "slice" else index.exact and all(isinstance(one, Const) for one in index.items)


def _looked_up(index: Array, entry: Value) -> bool:
    """Whether rows are looked up in a mapping of their codes (`[names[label] for label in told]`): they stay what they are."""
    entries = options(entry)
    if index.scores or index.kind in ("scalar", "unique") or not all(isinstance(one, (Const, Array)) for one in entries):
        return False
    if index.prediction is None and not index.learned:
        return index.has_rows and all(isinstance(one, Const) for one in entries)
    return not any(isinstance(one, Array) and (one.scores or one.kind in ("table", "dataset", "loader")) for one in entries)


def entered(run: Run, mapping: Dict, key: Value | None, value: Value) -> Value:
    """The value, put into the mapping under a key that it lacks."""
    if isinstance(key, Const) and is_hashable(key.value):
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
            return run.call_method(value, "__getitem__", Call(node, list(indices), {}))
    if ".[]" in value.cells:
        return value.cells[".[]"]  # type: ignore[no-any-return]
    children = value.cells.get("#children")
    if isinstance(children, Seq):
        return _item_of_sequence(run, children, indices[0] if indices else None, node)
    data = data_of(value)
    if data.has_rows:
        return _select_rows(run, data, indices, node, False)
    return UNKNOWN


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
        pairwise = value.stat is not None and value.stat[3] in PAIRWISE
        return value.but(column=first.value) if pairwise and isinstance(first, Const) and isinstance(first.value, str) else value
    if isinstance(first, Const):
        if first.value == "rank_genes_groups" and value.rows in run.ranked:  # of `adata.uns`
            return Array(kind="columns", learned=run.ranked[value.rows])
        if isinstance(first.value, str) and not rowwise and (is_opaque(value) or holds_parts(value, first.value)):
            note_column(run, value.rows, first.value)
            return member_of(value, first.value)
        if rowwise and isinstance(first.value, str) and role_of_name(first.value):  # of tables put below each other
            return value.but(rows=value.rows.select(Equals("member", role_of_name(first.value)), True), name=first.value)
        if isinstance(first.value, str):
            note_column(run, value.rows, first.value)
            return _of_these(run, value, frozenset({first.value})).but(column=first.value) if value.kind != "dict-like" else value
        if first.value is None or first.value is Ellipsis:
            return value
        if isinstance(first.value, int):
            if value.kind in ("scalar", "shape"):
                counts = first.value == 0
                return value.but(
                    kind="scalar", linear=value.linear if counts else None, base=value.base if counts else UNKNOWN_ROWS
                )
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
                named = [as_columns(a) if of_columns(a) else a for a in arrays_in(second)] if second is not None else []
                if value.prediction is not None or not named:
                    return value
                return functools.reduce(lambda data, columns: choose_columns(run, data, columns), named, value)
            return _slice_rows(run, value, first, node)
        names = _written_names(first) if not rowwise else frozenset()
        if names or not rowwise and first.exact and not first.items and first.kind in ("list", "tuple"):
            return _of_these(run, value, names).but(column="")
        if value.has_rows and _says_yes_or_no(first):  # `table[[name in chosen for name in table["name"]]]`
            return value.but(rows=value.rows.some(run.first_use(first, node)))
        inner = arrays_in(first)
        if inner and any(a.kind == "index" for a in inner):
            return by_index(run, value, next(a for a in inner if a.kind == "index"), node)
        if value.has_rows and any(a.kind == "scalar" and a.base.known for a in inner):
            return value.but(rows=value.rows.some(run.first_use(first, node)))  # some of its positions, collected one by one
        if not rowwise and not isinstance(first.element(), Const):
            return functools.reduce(lambda data, columns: choose_columns(run, data, columns), inner, value)
        if not (value.has_rows and rowwise):
            return value
        listed = frozenset(a.rows for a in inner if a.has_rows)  # one helper cuts a table for each of several lists
        return value.but(rows=value.rows.some((run.site(node), listed) if listed else run.first_use(first, node)))
    if isinstance(first, Array):
        return by_array(run, value, first, node, rowwise)
    return value


def _written_names(where: Value) -> frozenset[str]:
    """The columns that an index names, if it is written out: `["age", "weight"]`."""
    members = where.items if isinstance(where, Seq) and where.exact and where.kind in ("list", "tuple") else (where,)
    names = [one.value for one in members if isinstance(one, Const) and isinstance(one.value, str)]
    return frozenset(names) if len(names) == len(members) else frozenset()


def _of_these(run: Run, value: Array, names: frozenset[str]) -> Array:
    """Columns of a table, by name: what was learned to make other columns of it has no part in these."""
    if not run.put_into or not names or value.kind != "table":
        return value
    apart = {fact for fact in value.learned if names.isdisjoint(run.put_into.get(fact.fit, names))}
    return value.but(learned=value.learned - apart) if apart else value


def _note_columns(run: Run, table: Array, where: Any, content: Array) -> None:
    """Remember into which columns of a table the facts went that what is put there carries."""
    names = frozenset() if isinstance(where, str) or len(where) != 1 else _written_names(where[0])
    for fact in content.learned:
        if not names or table.kind != "table" or (fact in table.learned and fact.fit not in run.put_into):
            run.put_into.pop(fact.fit, None)
        else:
            run.put_into[fact.fit] = run.put_into.get(fact.fit, frozenset()) | names


def _says_yes_or_no(index: Seq) -> bool:
    """Whether a list of truth values marks rows."""
    element = index.element() if index.kind == "list" and (index.items or index.rest is not None) else None
    return element is not None and all(isinstance(one, Const) and isinstance(one.value, bool) for one in options(element))


def _is_side(index: Array) -> bool:
    """Whether an index is one side of a split: what is chosen by it are rows, and no statistics of columns."""
    return any(isinstance(step, Part) for step in index.rows.steps()) or bool(role_of_name(index.name))


def by_array(run: Run, value: Array, index: Array, node: ir.Node, rowwise: bool) -> Value:
    """Rows or columns taken by an array: positions, a mask, names, a side of a split."""
    if not rowwise and names_of_another(index, value):
        note_aligned(run, value)
        return value
    if index.chosen:
        return value.but(scores=value.scores | index.scores, chosen=value.chosen | index.chosen)
    if index.scores and not index.has_rows:
        return value.but(scores=value.scores | index.scores)
    if index.kind in ("index", "range"):
        return by_index(run, value, index, node)
    if index.kind == "outside" and value.has_rows:
        return value.but(
            rows=value.rows.without(index.rows.moved(index.base, value.rows))
            if index.rows.known
            else value.rows.some(run.site(node))
        )
    if index.kind == "noise" and index.order is not None and value.has_rows and not index.drawn.known:
        index = Array(kind="mask", mask=(RandomMask(index.order), True))  # `np.random.choice([True, False], len(table))`
    if index.kind == "mask" or index.mask is not None:
        if value.has_rows and (value.scores or value.prediction is not None) and names_truth(index):
            value = within_class(run, node, value)
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
            one = positive and value.owner == LONG and isinstance(key, (Equals, EqualsValue))  # one column of the wide table
            return value.but(rows=value.rows.select(key, positive), learned=learned, **({"group": ""} if one else {}))
        return value.but(rows=value.rows.some(run.first_use(index, node)), learned=learned)
    if index.kind == "columns" and not value.has_rows:
        return index  # names of columns
    if index.kind == "columns" and rowwise and value.has_rows and not _chosen_columns(index):
        return value.but(rows=value.rows.some(run.first_use(index, node)), learned=value.learned | index.learned)
    selected = any(fact.kind.startswith("selector") for fact in index.learned)
    if index.kind == "columns" or selected:
        return choose_columns(run, value, index, value.turned is not rowwise)
    if index.kind in ("config", "unknown") and value.has_rows and (value.kind == "array" or rowwise) and not index.has_rows:
        return value.but(rows=value.rows.some(run.first_use(index, node)))
    if is_opaque(value):  # one entry of many
        return value.but(rows=value.rows.some(run.first_use(index, node)))
    marks = index.kind in ("item", "batch") and index.rows == value.rows and is_column(index) and role_of_name(index.column)
    if marks:  # of the one graph that a data set holds, or of the part in a batch: `data.test_mask`
        return value.but(rows=value.rows.select(column_key(run, index), True), name=index.column)
    part = index.kind in ("batch", "table", "unknown") and role_of_name(index.name) and index.prediction is None
    if part and index.rows != value.rows and value.has_rows and _within(index.rows, value.rows):
        return value.but(rows=index.rows, name=index.name)  # of a graph, or of the arrays, that one file holds
    if rowwise and index.kind == "text" and value.has_rows and index.has_rows:  # names that a file lists
        return value.but(rows=value.rows.some(run.first_use(index, node)))
    given = index.kind in ("item", "weights", "param")
    foreign = given and index.has_rows and value.has_rows and not _within(index.rows, value.rows)
    told = index.kind in ("item", "unknown") and bool(role_of_name(index.name)) and value.has_rows  # `X[train_idx]`
    if (foreign or told) and value.kind in ("array", "table", "param"):  # positions that another file or the caller holds
        return value.but(rows=value.rows.some(run.first_use(index, node)))
    if index.kind in ("scalar", "item", "config", "unknown") and not rowwise:
        counted = value.has_rows and value.rows == index.base
        if index.kind == "scalar" and (value.kind in ("array", "table") or (counted and value.kind == "unknown")):
            return value.but(kind="item" if value.kind == "array" or counted else value.kind)
        return value.but(learned=value.learned | index.learned)
    if (
        rowwise
        and index.has_rows
        and index.kind in ("array", "table", "unknown")
        and value.has_rows
        and not _within(index.rows, value.rows)
    ):
        return value.but(rows=index.rows, name=value.name)  # a look-up by a column of another table: one row for each of its rows
    if value.has_rows and index.kind in ("array", "table", "unknown") and is_column(index):
        role = role_of_name(index.column)  # `data.test_mask`
        return value.but(rows=value.rows.select(column_key(run, index), True), name=index.column if role else value.name)
    if value.has_rows and (index.kind in ("array", "table", "unknown", "noise") or (rowwise and index.kind == "unique")):
        return value.but(rows=value.rows.some(("by", key_of(index), run.site(node) if not key_of(index) else None)))
    if value.kind == "index" and value.has_rows:  # positions within a list of positions
        narrower = index.has_rows and index.rows != value.rows and _within(index.rows, value.rows)
        return value.but(rows=index.rows if narrower else value.rows.some(run.first_use(index, node)))
    return value


def _chosen_columns(index: Array) -> bool:
    """Whether names of columns were chosen: all others, taken as rows, are samples that stood in columns.

    `table.loc[distances.sum().index]`
    """
    of_data = frozenset() if index.stat is None else index.stat[2]
    ranked = index.stat is not None and index.stat[3] in RANKINGS
    return ranked or any(fact.kind.startswith("selector") for fact in index.learned - of_data)


PRESENT = frozenset({"isnan", "isinf", "isfinite", "isna", "isnull", "notna", "notnull"})
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


def choose_columns(run: Run, value: Array, index: Array, turned: bool | None = None) -> Array:
    """Data with the columns that `index` names: what the index was learned from shapes them.

    Columns that a statistic of the data ranks were selected by its rows, with the labels if it is a correlation with one column.
    turned: whether what is named stands in columns when the data are turned, if they are not taken as they are.
    """
    learned = value.learned | index.learned
    if index.stat is None or not value.has_rows or index.stat[3] not in RANKINGS:
        return value.but(learned=learned)
    rows, site, _, method = index.stat
    supervised = method == "corrwith" or (method in PAIRWISE and bool(index.column))
    role = "feature-selector.supervised" if supervised else "feature-selector.unsupervised"
    if (site, rows) not in run.rankings:
        subject = same_subject(run, site, Subject(api=f"statistic.{method}", role=role, at=site, name=index.name))
        subject.facts["columns of turned"] = value.turned if turned is None else turned
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


def by_index(run: Run, value: Array, index: Array, node: ir.Node) -> Value:
    """Rows by an index: the index's own steps, taken from this table."""
    if not value.has_rows:
        value = value.but(rows=run.source(value_node(node), value.name, value.name))
    if index.base.label == POSITIONS and len(index.base.steps()) == 1:
        rows = _at_positions(index.rows.steps()[1:], value)
    elif index.base in joined(value.rows):  # as many positions as one of the tables that were joined has rows
        first = value.rows.slice(None, row_count(value.but(rows=index.base)), value.order)
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


def _reverses(index: Value) -> bool:
    """Whether an index is `::-1`: along an axis of pixels or positions it makes a mirror image."""
    return isinstance(index, Seq) and index.kind == "slice" and index.items[2] == Const(-1)


def _is_full(index: Seq) -> bool:
    return all(isinstance(part, Const) and part.value is None for part in index.items[:2])


def _slice_rows(run: Run, value: Array, index: Seq, node: ir.Node) -> Array:
    if not value.has_rows or (value.kind == "text" and value.owner == "line"):  # some fields of one line
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
        data=value.but(group=value.group or repetition_of(run, value.rows)).view(),
        parts=(first, rows),
        how="slice",
        api="slice",
        shuffles=random,
        grouped=False if random else None,
        seeded=seeded,
        stream=stream,
    )


def with_content(run: Run, receiver: Array, where: Any, value: Value, node: ir.Node) -> Value:
    """The data value after `receiver[where] = value` or `receiver.name = value`: it carries the facts of what was put in."""
    table = receiver.owner[0] if receiver.kind == "indexer" and isinstance(receiver.owner, tuple) else receiver
    for name in (where,) if isinstance(where, str) else _written_names(where[-1]) if where else ():
        column_written(run, table.rows, name)
    if isinstance(value, Const) and not isinstance(where, str):
        cut: Array | None = next((one for one in where if is_cut(one)), None)
        if cut is not None and (receiver.prediction is not None or not receiver.has_rows) and receiver.kind != "indexer":
            return cut.but(kind="array", name=receiver.name, mask=None)  # `labels[scores > threshold] = 1`
    named = not isinstance(where, str) and len(where) == 1 and isinstance(where[0], Const) and isinstance(where[0].value, str)
    if named and receiver.kind in ("batch", "item") and isinstance(value, Array) and value.prediction is not None:
        return Dict({where[0].value: value}, receiver)  # `batch["pred"] = model(batch["image"])`: the labels stay labels
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
        one = content.kind in ("item", "scalar", "index") and indexed.kind != "empty" and _names_column(where)
        return receiver.but(
            # A name or number may well be of one row, and stand in all rows of the table.
            rows=UNKNOWN_ROWS if one or is_repeated(content.rows) else content.rows,
            learned=receiver.learned | content.learned,
            prediction=receiver.prediction or content.prediction,
        )
    if content.learned:
        _note_columns(run, receiver if indexed is receiver else UNKNOWN, where, content)
    return receiver.but(
        learned=receiver.learned | content.learned,
        scores=receiver.scores | figures,
        prediction=receiver.prediction or content.prediction,
    )


def _names_column(where: Any) -> bool:
    """Whether `table[where] = ...` writes a column."""
    return not isinstance(where, str) and len(where) == 1 and isinstance(where[0], Const) and isinstance(where[0].value, str)


def _all_rows(index: Value) -> bool:
    """Whether an index is `:`, as in `table.loc[:, "age"] = ...`."""
    return isinstance(index, Seq) and index.kind == "slice" and all(isinstance(b, Const) and b.value is None for b in index.items)


def _marks_rows(index: Array, table: Array) -> bool:
    """Whether an index says yes or no to each row of a table (`table["age"].isna()`, `X == 0`)."""
    return index.kind == "mask" or (index.has_rows and index.rows == table.rows and index.kind != "index")
