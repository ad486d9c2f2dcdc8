"""Cross-validation by a library: the folds, and what is fitted and scored in each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mllint_bio.catalog import Entry
from mllint_bio.events import (
    Fit,
    Prediction,
    Score,
    Split,
)
from mllint_bio.events import Predict as PredictEvent
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import notes, seeding
from mllint_bio.predict.library.contents import arrays_in, data_of
from mllint_bio.predict.library.learners import TRANSFORMS, drawn_by, fit_steps, learned_of, output_of, rows_view
from mllint_bio.predict.library.metrics import scorings
from mllint_bio.predict.library.splitters import folds
from mllint_bio.predict.library.subjects import api_name
from mllint_bio.predict.values import (
    UNKNOWN,
    Array,
    Const,
    Dict,
    Obj,
    Seq,
    Value,
    options,
)
from mllint_bio.rows import UNKNOWN_ROWS

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def cross_validate(run: Run, entry: Entry, call: Call) -> Value:
    """cross_val_score and its kin: split, fit, predict and score inside one call."""
    estimator = call.get(entry.get("estimator") or "estimator", entry.params)
    data = data_of(call.get(entry.get("data") or "X", entry.params) or UNKNOWN)
    target = data_of(call.get(entry.get("target") or "y", entry.params) or UNKNOWN)
    groups = call.get(entry.get("groups") or "groups", entry.params)
    cv = call.get(entry.get("cv") or "cv", entry.params)
    site = run.site(call.node)
    seeding.draws(run, call, entry.fields, entry.params, api_name(entry), at="call", purpose=None)
    splitter = next((o for o in options(cv) if isinstance(o, Obj) and o.is_a("splitter")), None) if cv is not None else None
    base = data.rows if data.has_rows else UNKNOWN_ROWS
    group = data.group or notes.repetition_of(run, base)
    if splitter is not None and splitter.entry is not None:
        pairs = folds(run, splitter, data, target, groups, call.node)
        assert isinstance(pairs, Seq) and isinstance(pairs.rest, Seq)
        train, test = (a.rows for a in arrays_in(pairs.rest))
    else:
        train, test = (base.part(site, k, 2, fold=True) for k in (0, 1)) if base.known else (UNKNOWN_ROWS, UNKNOWN_ROWS)
        given = cv is None or isinstance(cv, Const)
        run.emit(
            Split,
            call.node,
            data=data.but(group=group).view(),
            parts=(train, test),
            how="fold",
            api=api_name(entry),
            shuffles=False if given else None,
            seeded=True if given else None,
            stratified=None,
            grouped=groups is not None if given else None,
        )
    numbers: set[int] = set()
    output: Value = UNKNOWN
    notes.note_target(run, target)
    for option in options(estimator) if estimator is not None else ():
        if not isinstance(option, Obj):
            continue
        subject = option.subject
        fold = data.but(rows=train)
        if option.is_a("composer", "estimator.pipeline"):
            fit_steps(run, option, fold, target, call)
        drawn = drawn_by(run, option, call, seeding.in_processes(call, entry.params))
        run.emit(
            Fit,
            call.node,
            subject=subject,
            role=subject.role,
            data=fold.view(),
            target=target.view(),
            method=api_name(entry),
            stochastic=f"draws from the {drawn[0]} generator" if drawn else "",
        )
        inputs = data.learned | learned_of(option)
        scoring = call.get(entry.get("scoring") or "scoring", entry.params)
        for metric, family, direction in scorings(scoring, subject.facts.get("task", "")):
            numbers.add(
                run.emit(
                    Score,
                    call.node,
                    metric=metric,
                    family=family,
                    data=rows_view(data.but(group=group), test),
                    subject=subject,
                    direction=direction,
                    cross_validated=True,
                    inputs=inputs,
                    fitted=train,
                )
            )
        output = Array(
            kind="array",
            rows=data.rows,
            learned=inputs,
            prediction=Prediction(subject, data.rows, _cv_output(call, option)),
            name=data.name,
        )
        if not option.is_a(*TRANSFORMS):  # those are scored by a likelihood
            run.emit(PredictEvent, call.node, subject=subject, data=fold.view(), output="unknown")
        option.cells["#cv"] = True
    if entry.get("returns") == "predictions":
        if isinstance(output, Array) and output.prediction is not None:
            output.prediction.subject.facts.setdefault("cross_validated", True)
            return output.but(owner="cross-validated")
        return output
    figure = Array(kind="figure", scores=frozenset(numbers), owner="folds")
    return Dict({}, figure) if entry.get("returns") == "dict" else figure


def _cv_output(call: Call, option: Obj) -> str:
    wanted = call.kwargs.get("method")
    return output_of(option, wanted.value if isinstance(wanted, Const) and isinstance(wanted.value, str) else "predict")


HANDLERS: dict[str, Callable[[Any, Entry, Any], Value]] = {"cv-evaluator": cross_validate}
