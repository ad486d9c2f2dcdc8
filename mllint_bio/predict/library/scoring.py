"""Figures of performance: scores that a call reports and those that a program counts by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from mllint_bio.events import Event, Learned, LoopKind, Score, Subject
from mllint_bio.predict import ir
from mllint_bio.predict.library.contents import blend
from mllint_bio.predict.values import Array, Obj, Value, role_of_name
from mllint_bio.rows import UNKNOWN_ROWS, Part, Rows

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def of_one_pass(run: Run, total: Array) -> bool:
    """Whether a sum runs over the batches or the samples of one evaluation: divided by their number it is one figure, no mean."""
    if total.owner == "counted":
        return True
    loops = [run.events[number].loops for number in total.scores]
    return all(inside and inside[-1].kind is LoopKind.BATCH and inside[:-1] == run.loops for inside in loops)


def divided(run: Run, node: ir.Node, hits: Array) -> None:
    """A counter of hits becomes an accuracy where it is divided by their number: the figure stands there."""
    for number in hits.scores:
        score = run.events[number]
        if isinstance(score, Score) and score.handwritten and score.metric == "accuracy":
            run.amend(number, at=run.site(node), calls=run.calls, loops=run.loops, branch=run.branch)


def hand_hits(run: Run, node: ir.Node, a: Array, op: str, b: Array) -> frozenset[int]:
    """`predicted * truth` of classes 0 and 1: ones where both are."""
    prediction = a.prediction or b.prediction
    if op != "*" or prediction is None or prediction.output != "label" or a.scores or b.scores or a.rows != b.rows:
        return frozenset()
    return true_positives(run, node, a, b)


def hand_error(run: Run, node: ir.Node, a: Array, op: str, b: Array) -> frozenset[int]:
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
    rows = predicted.rows
    if not predicted.has_rows:  # the truth of one sample says nothing of the others
        rows = truth.rows.some(run.site(node)) if truth.kind == "item" and truth.has_rows else truth.rows
    made = prediction.rows if prediction else UNKNOWN_ROWS
    if made.subset(rows) and any(isinstance(step, Part) for step in made.steps()[len(rows.steps()) :]):
        rows = made  # a column of a table, filled for one part after the other
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
        target=truth.column,
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


def weights_saved(run: Run, subject: Subject | None, file: str) -> None:
    """The weights of a network are written to a file, with what they have learned from."""
    rows = prediction_fitted(subject)
    if file and rows.known:
        run.shelved[file] = rows


def weights_loaded(run: Run, subject: Subject, given: Iterable[Array], file: str = "") -> None:
    """A network takes over weights, and with them the rows that they have learned from, until it is trained itself."""
    files = {a.owner[1] for a in given if isinstance(a.owner, tuple) and a.owner[:1] == ("file",)} or {file}
    others = [o.subject for a in given if isinstance(a.owner, tuple) for o in a.owner if isinstance(o, Obj)]
    known = [run.shelved[one] for one in files if one in run.shelved] or [prediction_fitted(one) for one in others]
    if known and known[0].known:
        subject.facts["fitted"] = known[0]


_TRUTH = re.compile(r"(^|_)(y|labels?|targets?|true|truth|gt|gold|actual)($|_)", re.I)


def names_truth(array: Array) -> bool:
    """Whether a column or a variable is called like the true classes."""
    return any(map(_TRUTH.search, (array.name, array.column)))


def within_class(run: Run, node: ir.Node, value: Array) -> Array:
    """Predictions or hits among the rows of one true class: what is counted there is the recall of the class, no accuracy."""
    if value.prediction is not None and not value.scores:
        return value.but(owner="one class")
    scores = {number: run.events[number] for number in value.scores}
    counts = {n: s for n, s in scores.items() if isinstance(s, Score) and s.handwritten and s.metric == "accuracy"}
    if not counts:
        return value
    recalls = {run.emit(Score, node, **{**_facts(score), "metric": "recall"}) for score in counts.values()}
    return value.but(scores=value.scores.difference(counts).union(recalls))


def sorts(test: ir.Expr) -> bool:
    """Whether a test asks for one value: `label == 1`."""
    if not isinstance(test, ir.Compare) or len(test.rest) != 1:
        return False
    op, value = test.rest[0]
    return op in ("==", "!=") and isinstance(value, ir.Constant) and value.value is not None


def within_test(run: Run, test: ir.Expr, hits: Array, compared: ir.Expr) -> Array:
    """Hits (`compared`) that are counted under a further test of the label or the prediction: those of one class."""
    both = [{one.name for one in ir.walk(expression) if isinstance(one, ir.Name)} for expression in (test, compared)]
    return within_class(run, test, hits) if both[0] & both[1] else hits


def told_by_class(run: Run, target: ir.Expr, hits: Array) -> Array:
    """Hits that are added up under the class of the sample (`correct[label] += 1`): those of one class."""
    keys = target.index if isinstance(target, ir.Subscript) and hits.scores else ()
    names = {one.name for key in keys for one in ir.walk(key) if isinstance(one, ir.Name) and _TRUTH.search(one.name)}
    samples = (run.frames[-1].env.get(name) for name in names)
    of_class = any(isinstance(one, Array) and one.has_rows and one.kind not in ("index", "range", "scalar") for one in samples)
    return within_class(run, target, hits) if of_class else hits


def _facts(score: Score) -> dict[str, Any]:
    return {one.name: getattr(score, one.name) for one in fields(Score) if one.name not in _PLACE}


_PLACE = frozenset(one.name for one in fields(Event))


def true_positives(run: Run, node: ir.Node, a: Array, b: Array) -> frozenset[int]:
    """A predicted class together with the true one: what precision and recall are counted from."""
    predicted, other = (a, b) if a.prediction is not None else (b, a)
    sides = (
        [node.left, node.right]
        if isinstance(node, ir.Binary)
        else [value for _, value in node.args[:2]]
        if isinstance(node, ir.Call)
        else []
    )
    side = sides[predicted is a] if len(sides) == 2 else node
    named = names_truth(other) or isinstance(side, ir.Name) and _TRUTH.search(side.name)
    truth = other.has_rows and other.prediction is None and named
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


def tallied(run: Run, target: ir.Subscript, result: Value) -> Value:
    """`table[truth, called] += 1`, also `table[truth][called] += 1`: the table of hits and misses, sample by sample."""
    places = [*(target.value.index if isinstance(target.value, ir.Subscript) else []), *target.index]
    if len(places) != 2 or run.inside_forward or any(isinstance(place, (ir.Slice, ir.Constant)) for place in places):
        return result
    found = [value for place in places if isinstance(value := run.eval(place), Array)]
    if len(found) != 2 or (found[0].prediction is None) == (found[1].prediction is None) or found[0].scores or found[1].scores:
        return result
    predicted, truth = found if found[0].prediction is not None else found[::-1]
    if not truth.has_rows or predicted.rows != truth.rows and not names_truth(truth):
        return result
    number = emit_score(run, target, "confusion_matrix", "label", predicted, truth, handwritten=True, decomposable=True)
    return Array(kind="figure", scores=frozenset({number}), shown=frozenset({"sum"}), owner="counted")
