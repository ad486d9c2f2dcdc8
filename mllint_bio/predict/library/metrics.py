"""Metrics: figures of predictions, of tests and of single features, and what names of scorings mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mllint_bio import catalog
from mllint_bio.catalog import Entry
from mllint_bio.events import (
    Fit,
    Learned,
    Prediction,
    Score,
    Subject,
)
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import contents, seeding, subjects
from mllint_bio.predict.library.contents import arrays_in, data_of, passed_on
from mllint_bio.predict.library.scoring import emit_score
from mllint_bio.predict.library.subjects import api_name
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Const,
    Dict,
    Ext,
    Func,
    Obj,
    Seq,
    Value,
    join_all,
    options,
)
from mllint_bio.rows import UNKNOWN_ROWS, common

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


OWN_SCORES = {
    "classifier": ("accuracy", "label"),
    "regressor": ("r2", "regression"),
    "survival": ("concordance_index", "score"),
}  # what `score` of an estimator measures


def scorings(value: Value | None, task: str) -> list[tuple[str, str, str]]:
    if isinstance(value, Seq) and value.exact:
        return [scoring_of(item, task) for item in value.items]
    if isinstance(value, Dict) and value.items:
        return [scoring_of(item, task) for item in value.items.values()]
    return [scoring_of(value, task)]


_SCORERS = {
    "accuracy": ("accuracy", "label"),
    "balanced_accuracy": ("balanced_accuracy", "label"),
    "r2": ("r2", "regression"),
    "roc_auc": ("roc_auc", "score"),
    "average_precision": ("average_precision", "score"),
}


def scoring_of(value: Value | None, task: str) -> tuple[str, str, str]:
    """(metric, family, direction) of a `scoring=` argument; the estimator's own score when it is absent."""
    if value is None or (isinstance(value, Const) and value.value is None):
        return (*OWN_SCORES.get(task, ("score", "unknown")), "up")
    if isinstance(value, Const) and isinstance(value.value, str):
        name = value.value
        if name in _SCORERS:
            return (*_SCORERS[name], "up")
        family = (
            "regression"
            if name.startswith("neg_") and "log_loss" not in name and "brier" not in name
            else "score"
            if "roc" in name or "log_loss" in name
            else "label"
        )
        return name, family, "up"
    if isinstance(value, Obj) and value.is_a("scorer-factory"):
        family = value.subject.facts.get("family") or OWN_SCORES.get(task, ("", "unknown"))[1]
        return str(value.subject.facts.get("metric", "scorer")), family, "up"
    if isinstance(value, Ext):
        entry = catalog.lookup(value.path)
        if entry is not None and entry.is_a("metric"):
            return api_name(entry), entry.role.rpartition(".")[2], str(entry.get("direction", "up"))
    return "custom", "unknown", ""


def scorer(run: Run, entry: Entry, call: Call) -> Value:
    """make_scorer(metric)."""
    obj = Obj(subjects.make_subject(run, entry, call), None, entry)
    metric = call.at(0)
    if isinstance(metric, Ext):
        obj.subject.facts["metric"] = metric.path.rsplit(".", 1)[-1]
        described = catalog.lookup(metric.path)
        if described is not None and described.is_a("metric"):
            obj.subject.facts["family"] = described.role.rpartition(".")[2]
        if described is not None and described.role == "metric.score":
            response = call.kwargs.get("response_method") or call.kwargs.get("needs_proba") or call.kwargs.get("needs_threshold")
            if (
                response is None
                and not call.open
                and described.path.rsplit(".", 1)[-1] in ("roc_auc_score", "average_precision_score")
            ):
                obj.subject.facts["labels_into"] = metric.path.rsplit(".", 1)[-1]
                predicted = Array(kind="array", prediction=Prediction(obj.subject, UNKNOWN_ROWS, "label"))
                run.emit(
                    Score,
                    call.node,
                    metric=api_name(described),
                    family="score",
                    data=predicted.view(),
                    subject=obj.subject,
                    direction="up",
                )
    elif isinstance(metric, Func):
        obj.subject.facts["metric"] = metric.name
    return obj


def feature_score(run: Run, entry: Entry, call: Call) -> Value:
    """Scores or p-values of columns against the labels; choosing columns by them is feature selection."""
    data = data_of(call.get("X", entry.params) or call.at(0) or UNKNOWN)
    if not data.has_rows:
        return UNKNOWN
    if entry.get("style") == "ranked":  # what another call left in the annotated data
        return Array(kind="columns", learned=run.ranked.get(data.rows, frozenset()))
    site = run.site(call.node)
    subject = contents.same_subject(run, site, Subject(api=entry.path, role="feature-selector.supervised", at=site))
    number = run.emit(
        Fit,
        call.node,
        subject=subject,
        role="feature-selector.supervised",
        data=data.view(),
        uses_target=True,
        method=api_name(entry),
    )
    seeding.draws(run, call, entry.fields, entry.params, api_name(entry), at="call", purpose=None)
    fact = Learned(number, "selector-supervised", data.rows, True)
    run.ranked[data.rows] = frozenset({fact})
    columns = Array(kind="columns", learned=frozenset({fact}))
    return Seq("tuple", [columns, columns]) if entry.get("style") == "pair" else columns


_TEST_RESULTS = ("statistic", "pvalue", "correlation", "test_statistic", "p_value")  # scipy, lifelines


def stat_test(run: Run, entry: Entry, call: Call) -> Value:
    """Of a prediction and the truth (a correlation) a figure of merit; of two groups of samples, or of columns and labels, a
    reason to choose columns: feature selection."""
    found = [a for v in call.everything() for a in arrays_in(v)]
    predicted = next((a for a in found if a.prediction is not None), None)
    truth = next((a for a in found if a.prediction is None and a.has_rows), None)
    if predicted is not None and truth is not None and not run.inside_forward:
        number = emit_score(run, call.node, api_name(entry), "regression", predicted, truth, direction="up")
        return Array(kind="figure", rows=predicted.rows, scores=frozenset({number}), name=predicted.name)
    if (
        len(found) < 2
        or predicted is not None
        or any(a.scores or a.kind not in ("table", "array", "param", "item") for a in found)
    ):
        return passed_on(run, call)
    rows = common(a.rows for a in found if a.has_rows)  # cases against controls: two groups of one table
    features = next((a for a in found if a.has_rows), UNKNOWN).but(rows=rows)
    if not rows.known:
        return passed_on(run, call)
    site = run.site(call.node)
    subject = contents.same_subject(run, site, Subject(api=entry.path, role=entry.role, at=site))
    number = run.emit(
        Fit, call.node, subject=subject, role=entry.role, data=features.view(), uses_target=True, method=api_name(entry)
    )
    chosen = Array(kind="columns", learned=frozenset({Learned(number, "selector-supervised", rows, True)}))
    result = Seq("tuple", [chosen, chosen])
    result.cells["#fields"] = dict.fromkeys(_TEST_RESULTS, chosen)
    return result


def metric_call(run: Run, entry: Entry, call: Call) -> Value:
    """A metric function, or the construction of a metric object."""
    if entry.get("style") not in (None, "function") or entry.get("form") == "object":
        return Obj(subjects.make_subject(run, entry, call), None, entry)
    if api_name(entry)[:1].isupper() and "." not in api_name(entry) and not call.args:
        return Obj(subjects.make_subject(run, entry, call), None, entry)
    truth = call.get(entry.get("truth") or "y_true", entry.params)
    predicted = call.get(entry.get("pred") or "y_pred", entry.params)
    if entry.params[:1] == ["estimator"]:  # a display or scorer that predicts with its first argument
        predicted = _predicted_inside(run, entry, call)
    if predicted is None:
        predicted = call.at(1)
    if truth is None:
        truth = call.at(0)
    return scored(run, entry, call, truth, predicted)


def _predicted_inside(run: Run, entry: Entry, call: Call) -> Value:
    """What the estimator in the first argument predicts for the rows in the second, in the form that the metric needs."""

    estimator, data = call.get("estimator", entry.params), call.get(entry.get("data") or "X", entry.params)
    name = "predict_proba" if entry.role == "metric.score" else "predict"
    found = [
        run.call_method(option, name, Call(call.node, [data or UNKNOWN], {}))
        for option in (options(estimator) if estimator is not None else ())
        if isinstance(option, Obj)
    ]
    return join_all(found)


def scored(run: Run, entry: Entry, call: Call, truth: Value | None, predicted: Value | None) -> Value:
    """Record the figure; arguments in the wrong order are noticed."""
    family = entry.role.rpartition(".")[2] if "." in entry.role else "unknown"
    a, b = data_of(truth) if truth is not None else UNKNOWN, data_of(predicted) if predicted is not None else UNKNOWN
    if isinstance(predicted, Array) and predicted.kind == "noise":
        b = predicted  # a guess: it is of the rows of the truth
    swapped = a.prediction is not None and b.prediction is None and (b.has_rows or b.name != "")
    if swapped:
        a, b = b, a
    averaging = call.kwargs.get("average")
    beta = call.get("beta", entry.params)
    metric = "f1_score" if isinstance(beta, Const) and beta.value == 1 else api_name(entry)
    fields: dict[str, Any] = {
        "direction": str(entry.get("direction", "")),
        "swapped": swapped and not entry.get("symmetric") and not run.undecided,
        "decomposable": bool(entry.get("decomposable", False)),
        "averaging": str(averaging.value) if isinstance(averaging, Const) and averaging.value else "",
    }
    if b.owner == "cross-validated":
        fields["cross_validated"] = True
    made_before = isinstance(predicted, Seq) and run.loops and run.loops[-1] not in (predicted.cells.get("#made") or ())
    if b.owner == "grown" or made_before:
        fields["collected"] = True
    number = emit_score(run, call.node, metric, family, b, a, **fields)
    result = Array(kind="figure", rows=b.rows if b.has_rows else a.rows, scores=frozenset({number}), name=b.name or a.name)
    if api_name(entry).startswith("plot_") or "Display." in api_name(entry):
        run.report(call.node, [result], "plot")
    if api_name(entry) in ("roc_curve", "precision_recall_curve", "det_curve"):
        return Seq("tuple", [result, result, result.but(owner="thresholds")])
    return result


def metric_object(run: Run, obj: Obj, name: str, call: Call) -> Value:
    """torchmetrics, keras and monai metric objects: updated batch by batch, computed once."""
    entry = obj.entry
    family = entry.role.rpartition(".")[2] if entry is not None and "." in entry.role else "unknown"
    if name in ("update", "__call__", "update_state", "append", "forward", "evaluate"):
        values = [data_of(v) for v in call.everything()]
        predicted = next((v for v in values if v.prediction is not None), values[0] if values else UNKNOWN)
        truth = next((v for v in values if v is not predicted), UNKNOWN)
        number = emit_score(
            run,
            call.node,
            obj.subject.label,
            family,
            predicted,
            truth,
            direction=str(entry.get("direction", "")) if entry else "",
            decomposable=True,
        )
        known: frozenset[int] = obj.cells.get("#scores") or frozenset()
        run.write(obj, "#scores", known | {number})
        return Array(kind="figure", rows=predicted.rows, scores=frozenset({number}))
    if name in ("compute", "result", "aggregate", "item"):
        return Array(kind="figure", scores=obj.cells.get("#scores") or frozenset())
    if name in ("to", "cuda", "cpu", "clone"):
        return obj
    return NONE


HANDLERS: dict[str, Callable[[Any, Entry, Any], Value]] = {
    "feature-score": feature_score,
    "metric": metric_call,
    "stat-test": stat_test,
    "scorer-factory": scorer,
}
