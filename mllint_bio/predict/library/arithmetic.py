"""Arithmetic, comparisons and masks."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mllint_bio.events import Fit, Learned, Loop, Select, Subject
from mllint_bio.predict import ir
from mllint_bio.predict.library.contents import (
    PLAIN_EXTREMES,
    RATE,
    as_array,
    as_columns,
    as_data,
    as_drawn,
    blend,
    bound_of,
    column_key,
    column_of,
    is_column,
    is_of_each_column,
    joined_path,
    of_columns,
    same_subject,
)
from mllint_bio.predict.library.notes import ByIdentifier, RandomMask
from mllint_bio.predict.library.scoring import divided, emit_score, hand_error, hand_hits, of_one_pass, true_positives
from mllint_bio.predict.values import (
    EMPTY,
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
    join,
    join_all,
    options,
)
from mllint_bio.rows import UNKNOWN_ROWS, Bound, Equals, EqualsValue, Part, Rows, Selection, union

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

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
    if op in ("+", "%") and names_device(left):
        return Array(kind="text", name=str(left.value))  # type: ignore[attr-defined]
    if op == "/" and (_is_text(left) or _is_text(right)):
        merged = blend(run, [left, right])
        return merged if merged.has_rows or merged.scores else joined_path([left, right])
    a, b = as_array(left), as_array(right)
    if a is None or b is None:
        return blend(run, [left, right])
    if op in ("&", "|"):
        names = {"index", "set", "unique"}
        if a.kind in names and b.kind in names and a.has_rows and b.has_rows:
            return in_both(run, node, a, b) if op == "&" else a.but(rows=union([a.rows, b.rows]), order=None)
        return _combine_masks(run, node, a, op, b)
    for extreme, other in ((a, right), (b, left)):
        if isinstance(extreme.owner, tuple) and extreme.owner[:1] == ("chosen",) and isinstance(other, Const):
            _with_margin(run, node, extreme.owner[1], op, other.value)
    if op == "+" and a.kind == b.kind == "parameters":  # of two networks, for one optimizer
        return join(a, b)
    if op == "-" and a.kind in ("index", "set") and b.kind in ("index", "set") and a.has_rows and b.has_rows:
        return a.but(rows=a.rows.without(b.rows), order=None)
    if op == "@":
        return product(node.left if isinstance(node, ir.Binary) else None, a, b)
    for data, other in ((a, b), (b, a)):
        if data.kind == "noise" and data.drawn.known and other.stat is not None and other.rows == data.drawn:
            x, y = (as_data(a), b) if data is a else (a, as_data(b))
            return as_drawn(binary(run, node, x, op, y), data)
    if a.stat is not None and (b.stat is not None or b.kind == "scalar" or isinstance(right, Const)):
        return _of_statistics(a, b)
    if b.stat is not None and (a.kind == "scalar" or isinstance(left, Const)):
        return _of_statistics(b, a)
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
    handwritten = hand_error(run, node, a, op, b) | hand_hits(run, node, a, op, b)
    result = blend(run, [x for x in (left, right) if not isinstance(x, Const)])
    if op == "/" and a.shown == {"sum"}:
        result = result.but(shown=frozenset() if of_one_pass(run, a) else frozenset({"mean"}))
        if a.owner != "compared":
            divided(run, node, a)
    elif op == "/" and a.scores and a.scores == b.scores:
        result = result.but(owner=RATE)
    if isinstance(right, Const) or isinstance(left, Const):
        kept = a if isinstance(right, Const) else b
        result = result.but(activation=kept.activation if op in ("*", "/") else "", activated_at=kept.activated_at)
        if result.prediction and op in ("*", "+", "-", "/"):
            result = result.but(prediction=kept.prediction)
    else:
        result = result.but(activation="")
        added = op == "+" and isinstance(left, Array) and isinstance(right, Array) and not _is_listed(node)
        if added and a.prediction is not None and b.prediction is not None:
            result = votes(result)
    return result.but(scores=result.scores | handwritten, linear=None, mask=None, sign=_sign(left, a, op, right, b))


def _is_listed(node: ir.Node) -> bool:
    """Whether what is added is written as a list, which is put behind another: `called + labels.tolist()`."""
    added = node.right if isinstance(node, ir.Binary) else None
    return isinstance(added, ir.Call) and getattr(added.func, "name", "") in ("list", "tolist")


def votes(value: Array) -> Array:
    """Labels that were added up, of several models for one sample: a count of votes, which ranks samples."""
    labels = value.prediction is not None and value.prediction.output == "label" and value.kind != "hits" and not value.scores
    return value.but(prediction=as_output(value.prediction, "unknown")) if labels else value


def _is_text(value: Value) -> bool:
    """Whether a value is a text: only paths are divided by one."""
    return isinstance(value.value, str) if isinstance(value, Const) else isinstance(value, Array) and value.kind == "text"


_TURNED = frozenset({"T", "mT", "H", "transpose", "t"})


def _is_turned(expression: ir.Expr | None) -> bool:
    """Whether a factor is written as the transpose of something: `basis.T`, `basis.transpose()`, `np.transpose(basis)`."""
    if isinstance(expression, ir.Call):
        expression = expression.func
    return isinstance(expression, ir.Attribute) and expression.name in _TURNED


def product(left: ir.Expr | None, a: Array, b: Array) -> Array:
    """A matrix product: rows of the first factor, save that those of a transposed one are summed over."""
    if not (a.has_rows or a.drawn.known) or (a.rows != b.rows and _is_turned(left)):
        a = b.but(learned=a.learned | b.learned) if a.learned else b
    return a.but(linear=None, mask=None, activation="linear")


def in_both(run: Run, node: ir.Node, a: Array, b: Array) -> Array:
    """Identifiers that are in two sets of identifiers; where one set is not known, some of the other."""
    if not (a.has_rows and b.has_rows):
        one, unknown = (a, b) if a.has_rows else (b, a)
        return one.but(rows=one.rows.some(run.first_use(unknown, node)), order=None)
    rows = b.rows if b.rows.subset(a.rows) else a.rows if a.rows.subset(b.rows) else a.rows.some(("in both", b.rows))
    return a.but(rows=rows, order=None)


def names_device(value: Value) -> bool:
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


def _fold(a: Any, op: str, b: Any) -> Value:
    try:
        if isinstance(a, str):
            if op == "%" and isinstance(b, (int, float, str)) and not _WIDE.search(a):
                return constant(a % b)
            if op == "/" and isinstance(b, str):
                return joined_path([Const(a), Const(b)])
            return constant(a + b) if op == "+" and isinstance(b, str) else UNKNOWN
        if not isinstance(a, (int, float)) or not isinstance(b, (int, float)):
            return UNKNOWN
        if op == "**":
            return constant(a**b) if abs(b) < 64 else UNKNOWN
        return constant(_FOLD[op](a, b)) if op in _FOLD else UNKNOWN
    except (TypeError, ArithmeticError, ValueError):
        return UNKNOWN


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
    kinds = ("table", "array", "unknown", "param", "weights")  # what `torch.load` gives may be a tensor of samples
    if not data.has_rows or data.kind not in kinds or data.prediction is not None or data.scores:
        return None
    rows, site, learned, method = stat.stat
    subject = Subject(api=f"statistic.{method}", role="statistic", at=site, name=stat.name)
    number = run.emit(Fit, site, subject=same_subject(run, site, subject), role="statistic", data=stat.view(), method=method)
    kind = "array" if data.kind == "weights" else data.kind
    return data.but(kind=kind, learned=data.learned | learned | {Learned(number, "statistic", rows)}, linear=None, mask=None)


def _of_statistics(stat: Array, other: Array) -> Array:
    """`highest - lowest`, `deviation + 1e-8`: what is computed of a statistic and of numbers is one of the same rows."""
    learned = stat.learned | other.learned if other.stat is not None else stat.learned
    return stat.but(learned=learned, scores=stat.scores | other.scores, linear=None, mask=None)


def filled(run: Run, value: Array, other: Value | None, method: str) -> Array:
    """Data whose gaps are filled with a statistic: an imputation written by hand, fitted on the rows of the statistic."""
    stat = other if isinstance(other, Array) and other.stat is not None else None
    if stat is None or not value.has_rows:
        return value
    rows, site, learned, measure = stat.stat
    if _leaves_out_gaps(rows, stat.column or value.name, value.rows):
        rows, stat = value.rows, stat.but(rows=value.rows)
    subject = same_subject(run, site, Subject(api=f"statistic.{measure}", role="statistic", at=site))
    number = run.emit(Fit, site, subject=subject, role="statistic", data=stat.view(), method=method)
    return value.but(learned=value.learned | learned | {Learned(number, "statistic", rows)})


def _leaves_out_gaps(rows: Rows, column: str, table: Rows) -> bool:
    """Whether rows are a table without those where a column has the number that stands for a gap: its statistic there is that of
    the table (`x[x != 0].median()`)."""
    step = next(iter(rows.steps()[-1:]), None)
    if not isinstance(step, Selection) or step.positive or table.select(step.key, False) != rows:
        return False
    of, constant = (step.key.column, step.key.constant) if isinstance(step.key, Equals) else (None, None)
    number = isinstance(constant, (int, float)) and not isinstance(constant, bool)
    return number and isinstance(of, tuple) and bool(column) and of[1] == column


def _is_statistic(array: Array) -> bool:
    """Whether it condenses data or predictions (not figures of merit)."""
    return array.stat is not None or (array.kind == "figure" and not array.scores)


def compare(run: Run, node: ir.Compare, left: Value, op: str, right: Value) -> Value:
    """`left op right`."""
    result = _compared(run, node, left, op, right)
    if isinstance(left, Array) and left.scores and left.kind != "hits" and isinstance(result, Array) and result.kind != "hits":
        return result.but(owner="compared")  # how many figures exceed another one is no number of hits
    return result


def _compared(run: Run, node: ir.Compare, left: Value, op: str, right: Value) -> Value:
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
    figure = next((x for x in (a, b) if x is not None and of_columns(x)), None)
    if figure is not None and (a is None or b is None or not (a.has_rows and b.has_rows) or a.kind == b.kind):
        return as_columns(figure)
    if a is not None and b is None and a.has_rows and a.prediction is None and a.kind not in ("scalar", "item", "batch"):
        return a.but(kind="mask", mask=_same_value(run, node, a, op, right), linear=None)
    if a is not None and a.activation and a.prediction is None and op in (">", ">=", "<", "<=") and isinstance(right, Const):
        return a.but(activation="class", linear=None, mask=None)
    if a is None or b is None:
        return blend(run, [left, right])
    named = a.kind in ("table", "array") and bool(a.column) and isinstance(right, Const) and isinstance(right.value, str)
    if (a.prediction is not None or b.prediction is not None) and not named:  # another column of a table of predictions
        return compare_prediction(run, node, a, op, b, right)
    if a.has_rows and isinstance(right, Const) and a.kind not in ("scalar", "item", "batch"):
        column = column_of(run, a.rows, a.column or a.name)
        if op in ("==", "!="):
            return a.but(kind="mask", mask=(Equals(column, right.value), op == "=="), linear=None)
        return a.but(kind="mask", mask=((column, _positive(op), right.value), op in ("<", "<=")), linear=None)
    if (a.has_rows and a.kind not in ("scalar", "item", "batch")) or (a.kind == "array" and not (a.scores or b.scores)):
        return a.but(kind="mask", mask=_same_value(run, node, a, op, right), linear=None)
    return blend(run, [left, right]).but(linear=None)


def _same_value(run: Run, node: ir.Compare, a: Array, op: str, other: Value) -> tuple[Hashable, bool]:
    """`table["fold"] == fold`, `table["fold"] != fold`: comparisons of one column with the very same value part the rows."""
    one = isinstance(other, Choice) or (
        isinstance(other, Array) and other.kind in ("scalar", "param", "config", "unknown", "item")
    )
    column = a.column or a.name
    if not one or not column or op not in ("==", "!=") or other in (UNKNOWN, EMPTY):
        return (run.site(node), "cmp"), True
    known: Hashable = other
    if isinstance(other, Array) and other.loop is not None:
        known = other.loop  # as the sides of a split into folds, which each round has anew
    elif isinstance(other, Array) and other.kind == "config" and other.name:
        known = other.name  # an option is read again wherever it is needed
    key = column_of(run, a.rows, column) if a.has_rows else (run.first_use(a, node), column)
    return EqualsValue(key, known), op == "=="


def _positive(op: str) -> str:
    """Complementary comparisons share one key."""
    return "<|>=" if op in ("<", ">=") else "<=|>"


_ROWS = frozenset({"table", "array", "batch", "dataset", "loader"})


def _identity(left: Value, op: str, right: Value) -> Value:
    if isinstance(right, Const) and (right.value is None or isinstance(right.value, bool)):
        if isinstance(left, Const):
            return Const((left.value is right.value) == (op == "is"))
        if isinstance(left, (Obj, Seq, Dict, Func)):
            return Const(op == "is not")
        cut = isinstance(left, Array) and any(isinstance(step, Part) for step in left.rows.steps()[-1:])
        if isinstance(left, Array) and left.has_rows and (left.kind in _ROWS or cut):
            return Const(op == "is not")  # `if X_val is not None`, asked of rows that were handed in
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
        return blend(run, [left]).but(kind="mask", mask=(among(right), op == "in"))
    named = right.element() if isinstance(right, Seq) else right
    if isinstance(named, Array) and is_of_each_column(named):
        return as_columns(named)  # `[gene for gene in genes if gene not in correlated]`
    return UNKNOWN


def among(members: Value | None) -> Any:
    """Key of a mask: the rows whose value is one of these."""
    array = as_array(members) if members is not None else None
    return ("in", repr(array.rows), array.column or array.name) if array is not None and array.has_rows else ("in", id(members))


def compare_prediction(run: Run, node: ir.Compare, a: Array, op: str, b: Array, right: Value) -> Value:
    """A prediction against the truth (hits), or against a threshold (labels)."""
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
            metric = "recall" if predicted.owner == "one class" else "accuracy"
            number = emit_score(run, node, metric, "label", predicted, other, direction="up", handwritten=True, decomposable=True)
            return predicted.but(kind="hits", scores=predicted.scores | {number}, prediction=None, mask=None)
        return predicted.but(kind="hits", mask=None)
    if op in (">", ">=", "<", "<=") and not predicted.scores:
        label = Array(**{**_fields(predicted), "prediction": as_output(prediction, "label"), "activation": ""})
        threshold = b if predicted is a else a
        if isinstance(threshold.loop, Loop):
            run.cutoff_loops.add(threshold.loop)
        return label.but(
            chosen=label.chosen | threshold.chosen,
            owner=threshold.owner if isinstance(threshold.owner, str) else predicted.owner,
            scores=label.scores | threshold.scores,
            shown=frozenset(),
        )
    return predicted.but(kind="mask", scores=a.scores | b.scores, mask=((run.site(node), "p"), True))


def values_and_indices(values: Array, indices: Array) -> Seq:
    """What `torch.max` over a dimension gives: a pair that may be unpacked or asked by name."""
    both = Seq("tuple", [values, indices])
    both.cells["#fields"] = {"values": values, "indices": indices}
    return both


def as_output(prediction: Any, output: str) -> Any:
    """The same prediction in another form: `label`, `score` or `logit`."""
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
        if value.mask is None and value.kind in ("array", "table") and is_column(value):
            return value.but(kind="mask", mask=(column_key(run, value), False))
        return value.but(
            mask=(value.mask[0], not value.mask[1]) if value.mask is not None else None, kind="mask" if value.mask else value.kind
        )
    return UNKNOWN


def _combine_masks(run: Run, node: ir.Node, a: Array, op: str, b: Array) -> Value:
    if a.prediction is not None or b.prediction is not None:
        merged = blend(run, [a, b])
        return merged.but(scores=true_positives(run, node, a, b)) if op == "&" and not merged.scores else merged
    rows = a.rows if a.has_rows else b.rows
    return blend(run, [a, b]).but(kind="mask", rows=rows, mask=((run.site(node), a.mask, op, b.mask), True))
