"""Operations of the catalog on tables, arrays and tensors."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mllint_bio import catalog
from mllint_bio.events import Fit, Learned, Resample, Split, Subject
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call, Updated
from mllint_bio.predict.library import results
from mllint_bio.predict.library.arithmetic import (
    among,
    as_output,
    binary,
    compare_prediction,
    filled,
    in_both,
    negated,
    product,
    values_and_indices,
    votes,
)
from mllint_bio.predict.library.choices import choose
from mllint_bio.predict.library.contents import (
    LONG,
    arrays_in,
    as_array,
    as_columns,
    as_data,
    blend,
    bound_of,
    condensed,
    data_of,
    is_cut,
    is_of_each_column,
    of_columns,
    row_count,
    same_subject,
)
from mllint_bio.predict.library.indexing import PRESENT, by_array, choose_columns
from mllint_bio.predict.library.joining import concatenated, is_chosen, side_by_side
from mllint_bio.predict.library.notes import (
    Aggregate,
    ByIdentifier,
    Distinct,
    is_entity,
    note_aligned,
    note_column,
    note_repetition,
    one_of_each_group,
    rows_of_length,
    single_key,
    with_statistic,
)
from mllint_bio.predict.library.scoring import as_figure, names_truth, within_class
from mllint_bio.predict.library.seeding import draws
from mllint_bio.predict.values import NONE, SELECTED, UNKNOWN, Array, Const, Ext, Func, Narrowed, Seq, Value, turn
from mllint_bio.rows import UNKNOWN_ROWS, Bound, Part

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

_MAY_ACT = re.compile(
    r"random|rand\b|seed|shuffle|sample|fit|load|read_|open\(|predict|score|model|choice|permutation|mean|std|max|min"
)


def apply_method(run: Run, value: Array, described: catalog.Method, call: Call, name: str) -> Value:
    """A catalogued method of a data object."""

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


_SUMS = ("sum", "nansum", "mean", "nanmean", "average")
_COMPARISONS = ("greater", "greater_equal", "less", "less_equal")
_OPERATORS = {
    "sub": "-",
    "subtract": "-",
    "div": "/",
    "divide": "/",
    "truediv": "/",
    "true_divide": "/",
    "add": "+",
    "mul": "*",
    "multiply": "*",
    "logical_and": "&",
    "bitwise_and": "&",
}


class Operation:
    """One application of an operation of `catalog.schema.OPERATIONS` to data."""

    def __init__(self, run: Run, call: Call, name: str, params: Sequence[str], fields: Any) -> None:
        self.run, self.call, self.name, self.params, self.fields = run, call, name, params, fields

    def apply(self, op: str, value: Array, other: Value | None) -> Value:
        """Result of the operation on `value`; `other` is a second data argument."""
        self._draw(op, value)
        if is_of_each_column(value):
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
        """Whether the operation works along a row (axis=1, or several axes but the first), so that it keeps rows."""
        axis = self.argument(self.fields.get("axis") or "axis") or self.argument("dim")
        axes = axis.items if isinstance(axis, Seq) and axis.exact else (axis,)
        return all(isinstance(one, Const) and one.value not in (0, None, "index", "rows") for one in axes) and bool(axes)

    def keep(self, value: Array, other: Value | None) -> Value:
        return value.but(linear=None) if value.kind != "scalar" else value

    def turn(self, value: Array, other: Value | None) -> Value:
        plain = value.kind in ("table", "array") or bool(value.across)
        if other is not None or not plain or value.prediction is not None:
            return self.keep(value, other)
        made = turn(value).but(linear=None)
        rows = frozenset(fact for fact in made.learned if self._of_columns(fact, value.turned))
        columns = frozenset(fact for fact in made.across if isinstance(fact, Learned) and self._of_columns(fact, made.turned))
        if rows or columns:
            made = made.but(learned=(made.learned - rows) | columns, across=(made.across - columns) | rows)
        for fact in made.across:
            fit = self.run.events[fact.fit] if isinstance(fact, Learned) else None
            if isinstance(fit, Fit) and fact not in rows:
                fit.subject.facts["turned"] = True  # each sample was transformed by itself
        return made

    def _of_columns(self, fact: Learned, turned: bool) -> bool:
        """Whether columns were kept by a statistic of each: once they are rows, each sample was kept by itself."""
        fit = self.run.events[fact.fit] if fact.kind == SELECTED else None
        return isinstance(fit, Fit) and fit.subject.facts.get("columns of turned") is turned

    def elementwise(self, value: Array, other: Value | None) -> Value:
        if self.name in PRESENT:
            value = value.but(prediction=None)  # it says which values there are, no longer what is predicted
        if other is None:
            return value.but(
                linear=None,
                mask=None,
                activation="" if self.name not in ("clamp", "clip", "abs", "float", "relu") else value.activation,
            )
        if self.name in ("dot", "matmul") and isinstance(other, Array) and isinstance(self.call.node, ir.Call):
            func, args = self.call.node.func, self.call.node.args
            left = args[0][1] if len(args) > 1 else func.value if isinstance(func, ir.Attribute) else None
            return product(left, value, other)
        if self.name in ("eq", "ne", "equal", "not_equal") and value.prediction is not None:
            return compare_prediction(self.run, self.call.node, value, "==", as_array(other) or UNKNOWN, other)  # type: ignore[arg-type]
        if self.name == "replace":
            return filled(self.run, value, self.call.get("value", ("to_replace", "value")), "replace").but(linear=None, mask=None)
        if self.name == "apply" and (isinstance(other, Func) or (isinstance(other, Ext) and not self.over_columns())):
            call = Call(self.call.node, [value], {})
            result = self._through(other, value) if isinstance(other, Func) else self.run.call(other, call)
            if isinstance(result, Array) and not self.over_columns() and not value.column and is_of_each_column(result):
                return result  # `table.apply(lambda column: column.corr(target))`
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
            return with_statistic(self.run, self.call.node, value, other.owner)
        if self.name in ("gt", "ge", "lt", "le", *_COMPARISONS) and value.prediction is not None:
            return value.but(prediction=as_output(value.prediction, "label"))
        if self.name in ("gt", "ge", "lt", "le") and value.activation and isinstance(other, Const):
            return value.but(activation="class", linear=None, mask=None)  # a network that decides by itself
        if self.name in _OPERATORS:
            return binary(self.run, self.call.node, value, _OPERATORS[self.name], other)
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
        return self.run.call(func, Call(self.call.node, [value if whole else value.but(kind="item")], {}))

    def stat(self, value: Array, other: Value | None) -> Value:
        if value.kind == "noise" and value.drawn.known and not self.over_columns():
            value = as_data(value)
        if value.kind == "groups":
            site = self.run.site(self.call.node)
            owner = Aggregate(value.view(), site, value.column, self.name) if value.has_rows else None
            return value.but(kind="table", rows=value.rows.derived(site, "aggregate", self.run.branch), owner=owner)
        if self.name in _SUMS and (self.argument("axis") or self.argument("dim")):
            value = votes(value)
        if self.over_columns():
            pair = self.name in ("max", "min", "sort", "topk")
            if value.prediction is not None and pair:
                return values_and_indices(value, value.but(prediction=as_output(value.prediction, "label"), activation=""))
            return self._across(value).but(linear=None, mask=None)
        if value.scores and value.owner == "folds" and self.name in ("max", "amax", "nanmax"):
            return choose(self.run, self.call.node, value, "max")
        if value.prediction is not None or value.scores or value.kind in ("hits", "mask"):
            as_figure(self.run, value.scores)
            return condensed(value.but(kind="figure", mask=None, linear=None), self.name)
        if self.name == "value_counts" and value.column and value.has_rows:
            note_repetition(self.run, value.rows, value.column)
        if value.kind in ("table", "array", "unknown", "param", "weights") and value.has_rows:
            entry = (value.rows, self.run.site(self.call.node), value.learned, self.name)
            against = self.name == "corr" and isinstance(other, Array) and other.has_rows  # of one column with another
            column = (other.column or "target") if against and isinstance(other, Array) else value.column
            return value.but(kind="stat", stat=entry, linear=None, mask=None, column=column)
        return value.but(linear=None, mask=None)

    def _across(self, value: Array) -> Array:
        """A figure of every row of a whole table: if the table is turned, it is one of a column, learned of all samples."""
        whole = value.kind == "table" and value.has_rows and not value.column and value.prediction is None and not value.scores
        if (
            not whole
            or any(isinstance(taken, Narrowed) for taken in value.across)
            or any(isinstance(step, Part) for step in value.rows.steps())
        ):
            return value
        site = self.run.site(self.call.node)
        subject = Subject(api=f"statistic.{self.name}", role="statistic", at=site, name=value.name)
        number = self.run.emit(
            Fit,
            self.call.node,
            subject=same_subject(self.run, site, subject),
            role="statistic",
            data=value.view(),
            method=self.name,
        )
        return value.but(across=value.across | {Learned(number, "statistic", value.rows)})

    def standardise(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows or value.prediction is not None or value.kind == "item":
            return value
        if self.over_columns():
            return self._across(value)
        site = self.run.site(self.call.node)
        subject = same_subject(self.run, site, Subject(api=self.name, role="statistic", at=site))
        number = self.run.emit(Fit, self.call.node, subject=subject, role="statistic", data=value.view(), method=self.name)
        return value.but(learned=value.learned | {Learned(number, "statistic", value.rows)})

    def subset(self, value: Array, other: Value | None) -> Value:
        if self.over_columns() or not value.has_rows or (self.name == "filter" and not isinstance(other, Func)):
            return value
        if isinstance(value, Array) and value.kind in ("index", "item", "batch"):
            return value
        site = self.run.site(self.call.node)
        entity = single_key(value.column, self.call) if self.name == "drop_duplicates" else ""
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
            base = value.base if value.base.known else rows_of_length(self.run, value, self.call.node)
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
            base = value.base if value.base.known else rows_of_length(self.run, value, self.call.node)
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
            Resample,
            self.call.node,
            data=value.view(),
            result=made,
            lineage="copy",
            api=self.name,
            balances=is_chosen(value.rows),
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
        if value.kind == "dataset" and self.name == "take":
            return self.head(value, other)
        index = as_array(other) if other is not None else None
        for candidate in self.call.everything():
            array = as_array(candidate)
            if array is not None and array.kind in ("index", "mask"):
                index = array
        if index is not None and value.has_rows:
            return by_array(self.run, value, index, self.call.node, True)
        return value

    def head(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows:
            return value
        if other == Const(1) and (ones := one_of_each_group(self.run, value, self.call.node)) is not None:
            return value.but(rows=ones)
        bound = bound_of(other) if other is not None else Bound(5.0)
        return value.but(rows=value.rows.slice(None, bound, value.order))

    def tail(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows:
            return value
        last = other == Const(1) and self.name == "tail"
        if last and (ones := one_of_each_group(self.run, value, self.call.node)) is not None:
            return value.but(rows=ones)
        bound = bound_of(other) if other is not None else Bound(5.0)
        if self.name == "skip":
            return value.but(rows=value.rows.slice(bound, None, value.order))
        low = Bound(-bound.constant, tuple((s, -f) for s, f in bound.terms)) if bound else None
        return value.but(rows=value.rows.slice(low, None, value.order))

    def drop(self, value: Array, other: Value | None) -> Value:
        if self.over_columns() or self.argument("columns") is not None or not value.has_rows:
            labels = self.argument("columns") or other
            for label in labels.items if isinstance(labels, Seq) else (labels,):
                if isinstance(label, Const) and isinstance(label.value, str):
                    note_column(self.run, value.rows, label.value, dropped=True)
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
        column = other.value if isinstance(other, Const) and isinstance(other.value, str) else ""
        note_column(self.run, value.rows, column, dropped=True)
        return value.but(column=column)

    def groupby(self, value: Array, other: Value | None) -> Value:
        key = other.value if isinstance(other, Const) and isinstance(other.value, str) else ""
        if key and value.has_rows:
            note_repetition(self.run, value.rows, key)
            if value.scores and names_truth(UNKNOWN.but(column=key)):
                value = within_class(self.run, self.call.node, value)
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
            label = value.but(prediction=as_output(value.prediction, "label"), activation="", linear=None)
            return values_and_indices(value, label) if self.name in ("topk", "max") else label
        if value.scores and not self.over_columns():  # along each row: the likeliest class
            return choose(self.run, self.call.node, value, self.name)
        return value.but(kind="scalar" if not value.has_rows else value.kind, linear=None)

    def round(self, value: Array, other: Value | None) -> Value:
        if (
            value.prediction is not None
            and value.prediction.output in ("score", "unknown", "logit")
            and other is None
            and not value.scores
        ):
            return value.but(prediction=as_output(value.prediction, "label"))
        return value

    def activate(self, kind: str) -> Callable[[Array, Value | None], Value]:
        def apply(value: Array, other: Value | None) -> Value:
            prediction = as_output(value.prediction, "score") if value.prediction is not None else None
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
                mask=(among(array), True),
                group="" if array.kind == "unique" else value.group,
                owner="by-id" if array.kind == "unique" else value.owner,
            )
        return value.but(kind="mask", mask=(among(other), True))

    def difference(self, value: Array, other: Value | None) -> Value:
        array = as_array(other) if other is not None else None
        if array is not None and value.has_rows and array.has_rows:
            return value.but(rows=value.rows.without(array.rows), order=None)
        return value

    def intersection(self, value: Array, other: Value | None) -> Value:
        array = as_array(other) if other is not None else None
        if array is None or value.kind == "columns" or of_columns(value) or not (value.has_rows or array.has_rows):
            return self.opaque(value, other)
        return in_both(self.run, self.call.node, value, array)

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
                return merged.but(prediction=as_output(value.prediction, "label"), mask=None)
            return merged.but(mask=None, kind="noise" if merged.kind == "noise" else "array")
        if value.mask is not None and value.has_rows:
            return Seq("tuple", [Array(kind="index", rows=value.rows.select(value.mask[0], value.mask[1]), base=value.rows)])
        return value

    def sort(self, value: Array, other: Value | None) -> Value:
        if value.scores and not self.name.startswith("sort_"):  # a table of results in order is still the whole table
            return choose(self.run, self.call.node, value, "sort")
        if self.name == "sort_values" and value.scores:
            return results.in_order(
                value, self.argument("by"), self.argument("ascending") or (UNKNOWN if self.call.open else Const(True))
            )
        if self.name == "sort_values":
            return value.but(ordered="sorted", order=None, unordered=None)
        return value.but(unordered=None)

    def codes(self, value: Array, other: Value | None) -> Value:
        if not value.has_rows:
            return value
        site = self.run.site(self.call.node)
        given = {"sort": True} if self.name == "factorize" and self.literal("sort") is True else {}
        subject = same_subject(self.run, site, Subject(api=self.name, role="fitted-transform.encode", at=site, given=given))
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
            return Array(kind="shape", linear=row_count(value))
        if self.name == "nunique" and value.column and value.has_rows:
            note_repetition(self.run, value.rows, value.column)
        if self.name == "columns" and value.has_rows:
            return Array(kind="scalar", owner=("columns", value.rows))
        return Array(kind="scalar", linear=row_count(value) if self.name in ("nelement",) else None)

    def iterate(self, value: Array, other: Value | None) -> Value:
        if self.name in ("iterrows", "items", "iteritems"):
            return Seq("generator", (), Seq("tuple", [Array(kind="scalar"), value.but(kind="item")]))
        return value

    def accumulate(self, value: Array, other: Value | None) -> Value:
        if other is None:
            return value
        if self.name == "append" and value.has_rows and isinstance(other, (Array, Seq)):
            return concatenated(self.run, self.call, [value, *arrays_in(other)], False)

        merged = blend(self.run, [value, other])
        return Updated(merged, merged.but(kind="table") if self.name == "append" else NONE)  # tables give the longer table back

    def sum_correct(self, value: Array, other: Value | None) -> Value:
        return value

    def opaque(self, value: Array, other: Value | None) -> Value:
        made = blend(self.run, [value, *self.call.everything()]).but(linear=None, mask=None, stat=None)
        entity = self._identifier() if self.name == "melt" and made.has_rows else ""
        return made.but(group=entity, owner=LONG) if entity else made

    def _identifier(self) -> str:
        """The identifier that `melt` repeats in every row that it makes of one."""
        kept = self.argument("id_vars")
        names = kept.items if isinstance(kept, Seq) else [kept]
        told = [name.value for name in names if isinstance(name, Const) and isinstance(name.value, str)]
        return next((name for name in told if is_entity(name)), "")


_OPERATIONS: dict[str, Callable[[Operation, Array, Value | None], Value]] = {
    "turn": Operation.turn,
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
    "intersection": Operation.intersection,
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
