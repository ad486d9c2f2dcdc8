"""Tuned baselines: what plain models reach on the program's own arrays, with equally many trials, inner cross-validation on the
training rows only, and the same test rows as the program's model.

The search runs in a process of its own with a time limit (`mllint_bio.experiments.search`): it may need memory and time that the
command itself must not lose. Nothing of the user's program runs in it, so it is no run of the study.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mllint_bio.experiments import arrays, bounded
from mllint_bio.experiments.arrays import Evaluation
from mllint_bio.experiments.metrics import Metric, Task, encode, squeeze
from mllint_bio.experiments.results import Interval, Plot, Result, Series, Table
from mllint_bio.experiments.search import FOLDS, RANGES, task_of
from mllint_bio.experiments.statistics import Array, bootstrap
from mllint_bio.experiments.study import Study
from mllint_bio.experiments.words import attempt, ends, number, plain, signed

MOST_ROWS = 5_000  # training rows that the baselines see
FEWEST_ROWS = 10
TRIALS = 20  # of each baseline, if the program's own number is not known
MOST_TRIALS = 60
MOST_SECONDS = 600.0
MARGIN = 0.05  # a difference below this, in a metric between 0 and 1, is no practical advantage
_GRACE = 30.0  # seconds that the search may take to finish what it has begun


@dataclass(frozen=True)
class _Question:
    """One model of the program that baselines are compared with. notes: what was done to make them comparable."""

    one: Evaluation
    X_train: Array
    y_train: Array
    X_test: Array
    truth: Array
    classes: tuple[str, ...]
    task: Task | None
    metric: Metric
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Baseline:
    """One baseline on the test rows. inner: its score by inner cross-validation."""

    name: str
    task: Task
    tried: int
    inner: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)


class TunedBaseline:
    """Majority class or mean, linear model, k-NN, random forest and gradient boosting against the program's model."""

    name = "tuned-baseline"
    title = "Tuned baselines"

    def applies(self, study: Study) -> str:
        """Empty if training and test rows of a scored model are known as tables of numbers."""
        if find_spec("sklearn") is None:
            return "scikit-learn is not installed: pip install 'mllint-bio[dynamic]'"
        question = _question(study)
        return question if isinstance(question, str) else ""

    def run(self, study: Study) -> list[Result]:
        """One result, on the model that the program scored last."""
        return attempt(self, study, lambda: self._measure(study))

    def _measure(self, study: Study) -> Result:
        question = _question(study)
        assert not isinstance(question, str)
        trials = _trials(study)
        seconds = min(MOST_SECONDS, study.budget.seconds / 3)
        study.progress(f"{len(RANGES['regression'])} baselines, {trials} configurations each, at most {seconds:,.0f} s")
        baselines, errors = _baselines(question, trials, seconds)
        if len(baselines) < 2:
            reason = errors[0] if errors else f"no baseline was ready within {seconds:,.0f} s"
            return Result(self.name, self.title, "failed", reason=reason)
        return _tell(self, question, baselines, errors, study.budget.resamples)


def _question(study: Study) -> _Question | str:
    """The last model that can be compared, of those that a finding asks about if it can, or why none can."""
    if not arrays.captured(study.first):
        return "the run left no arrays to fit baselines on"
    reason = "no score on held-out rows was recorded whose model, training rows and test rows are known"
    asked = [finding for finding in study.findings if study.decided_by.get(finding.code) == "baseline"]
    near = frozenset().union(*(study.lines(finding) for finding in asked))
    for one in sorted(arrays.held_out(study.first), key=lambda one: (one.line in near, one.score), reverse=True):
        found = _understood(one)
        if isinstance(found, _Question):
            return found
        reason = found
    return reason


def _understood(one: Evaluation) -> _Question | str:
    about = f"{one.model} ({one.place}): "
    if one.X_train is None or one.y_train is None:
        return about + "the rows that it was fitted on were not captured"
    if one.X_test is None:
        return about + "the inputs of the scored rows were not captured"
    task = one.task()
    if isinstance(task, str):
        return about + task
    if task.kind == "multilabel":
        return about + "several labels per row; the baselines answer one"
    tables = arrays.matrices(one.X_train, one.X_test)
    if isinstance(tables, str):
        return about + tables
    labels = squeeze(one.y_train)
    if task.kind == "regression":
        if labels.dtype.kind not in "biuf" or labels.ndim != 1 or task.truth.ndim != 1:
            return about + "several numbers per row are predicted; the baselines answer one"
        codes = labels.astype(float)
    else:
        kind, names, codes = encode(labels, one.truth)
        if kind != "classes" or names != task.classes:
            return about + "training labels and scored labels do not agree"
    x_train, x_test = (np.where(np.isfinite(table), table, np.nan) for table in tables)
    notes = []
    known = np.isfinite(codes) if task.kind == "regression" else np.ones(len(codes), dtype=bool)
    x_train, codes = x_train[known], codes[known]
    if len(codes) < FEWEST_ROWS or len(np.unique(codes)) < 2:
        return about + f"{len(codes)} training rows of {len(np.unique(codes))} distinct labels are too few to fit baselines on"
    if len(codes) > MOST_ROWS:
        chosen = np.sort(np.random.default_rng(0).choice(len(codes), MOST_ROWS, replace=False))
        notes.append(f"The baselines saw {MOST_ROWS:,} of {len(codes):,} training rows, drawn at random; the model saw all.")
        x_train, codes = x_train[chosen], codes[chosen]
    metric, recognised = one.reported(task)
    if metric.name in ("log-loss", "brier") or not recognised:
        notes.append(f"Compared by {metric.label}, computed again from the recorded predictions.")
    return _Question(one, x_train, codes, x_test, task.truth, task.classes, task, metric, tuple(notes))


def _trials(study: Study) -> int:
    """Configurations that the program itself tried for its models, as far as the log tells; at least the usual number."""
    log = study.first.log
    tried = 0
    for about in log.subjects.values():
        given = about.get("given")
        if not isinstance(given, dict):
            continue
        grid, count = given.get("param_grid"), given.get("n_iter") or given.get("n_trials")
        if isinstance(count, int):
            tried = max(tried, count)
        elif isinstance(grid, dict):
            tried = max(tried, math.prod(len(v) for v in grid.values() if isinstance(v, list | tuple)))
    configurations: dict[str, set[str]] = {}
    for record in log.of("Fit"):
        subject = log.subjects.get(record.fields.get("subject", -1), {})
        if str(record.fields.get("role", "")).startswith(("estimator", "module")):
            configurations.setdefault(str(subject.get("api")), set()).add(str(subject.get("given")))
    tried = max([tried, *(len(some) for some in configurations.values())])
    return min(MOST_TRIALS, max(TRIALS, tried))


def _baselines(question: _Question, trials: int, seconds: float) -> tuple[list[_Baseline], list[str]]:
    classes = len(question.classes)
    found = [_Baseline(*_constant(question), tried=1)]
    with tempfile.TemporaryDirectory(prefix="mllint-bio-baselines-") as name:
        folder = Path(name)
        np.savez(folder / "arrays.npz", X_train=question.X_train, y_train=question.y_train, X_test=question.X_test)
        request = {"classes": classes, "metric": question.metric.name, "trials": trials, "seconds": seconds}
        (folder / "request.json").write_text(json.dumps(request))
        said = bounded.run("mllint_bio.experiments.search", folder, seconds + _GRACE)
        try:
            records = json.loads((folder / "result.json").read_text())
            with np.load(folder / "outputs.npz") as file:
                outputs = {name: file[name] for name in file.files}
        except (OSError, ValueError):
            return found, [said or f"no baseline was ready within {seconds:,.0f} s"]
    errors = [f"{record['name']}: {record['error']}" for record in records if record["error"]]
    for k, record in enumerate(records):
        output = outputs.get(f"output_{k}")
        if output is not None and np.all(np.isfinite(output)):
            task = task_of(question.truth, output, classes)
            found.append(_Baseline(record["name"], task, record["tried"], record["inner"], record["settings"]))
    return found, errors


def _constant(question: _Question) -> tuple[str, Task]:
    """Always the largest class of the training rows, with their shares as scores; or their mean."""
    rows, classes = len(question.truth), len(question.classes)
    if classes == 0:
        return "mean of the training rows", task_of(question.truth, np.full(rows, question.y_train.mean()), 0)
    shares = np.bincount(question.y_train.astype(int), minlength=classes) / len(question.y_train)
    return "largest class", task_of(question.truth, np.tile(shares, (rows, 1)), classes)


def _tell(experiment: TunedBaseline, question: _Question, baselines: list[_Baseline], errors: list[str], draws: int) -> Result:
    one, metric, task = question.one, question.metric, question.task
    assert task is not None
    rows = len(task)
    model = bootstrap(metric.statistic(task), rows, draws=draws, sampling=metric.sampling(task))
    alone = {b.name: bootstrap(metric.statistic(b.task), rows, draws=draws, sampling=metric.sampling(task)) for b in baselines}
    apart = {b.name: _difference(metric, task, b.task, draws) for b in baselines}
    best = max(baselines[1:], key=lambda b: b.inner if b.inner is not None else -math.inf)
    verdict = judge(apart[best.name], metric, alone[best.name].estimate)
    header = ("model", metric.label, "95 % from", "to", "model minus this", "95 % from", "to", "configurations", "inner score")
    lines: list[tuple[str | float | int | None, ...]] = [
        (one.model, *_cells(model), None, None, None, None, None),
        *(
            (b.name, *_cells(alone[b.name]), *_cells(apart[b.name]), b.tried, None if b.inner is None else abs(b.inner))
            for b in baselines
        ),
    ]
    names = (one.model, *(b.name for b in baselines))
    intervals = [model, *(alone[b.name] for b in baselines)]
    plot = Plot(
        "interval",
        f"{metric.label} on the {rows:,} test rows of {one.place}",
        x_label=metric.label,
        series=(
            Series(
                metric.label,
                tuple(_finite(i.estimate, 0.0) for i in intervals),
                low=tuple(_finite(i.low, i.estimate) for i in intervals),
                high=tuple(_finite(i.high, i.estimate) for i in intervals),
                labels=names,
            ),
        ),
        labels=names,
        mark=_finite(model.estimate, 0.0),
        mark_label=one.model,
    )
    figures = {
        "model": one.api,
        "place": one.place,
        "metric": metric.name,
        "verdict": verdict,
        "test_rows": rows,
        "training_rows": len(question.y_train),
        "chosen": best.name,
        "model_score": plain(model),
        "baselines": {
            b.name: {"score": plain(alone[b.name]), "difference": plain(apart[b.name]), "tried": b.tried, "settings": b.settings}
            for b in baselines
        },
        "ranges": RANGES["classification" if question.classes else "regression"],
        "errors": errors,
        "intervals": 1 + 2 * len(baselines),
    }
    return Result(
        experiment.name,
        experiment.title,
        "done",
        verdict=_sentence(question, model, best, apart[best.name], alone[best.name], verdict, errors),
        figures=figures,
        tables=(Table(f"{one.model} against tuned baselines", header, tuple(lines)),),
        plots=(plot,),
    )


def judge(difference: Interval, metric: Metric, baseline: float) -> str:
    """`advantage` if the model is better, interval included; `no-advantage` if it is not and the interval rules out more than the
    margin (0.05, or 5 % of the baseline's error where the metric has no fixed scale); else `inconclusive`."""
    low, high = (difference.low, difference.high) if metric.up else (-difference.high, -difference.low)
    if math.isnan(low) or math.isnan(high):
        return "inconclusive"
    if low > 0:
        return "advantage"
    margin = MARGIN if metric.unit else MARGIN * abs(baseline)
    return "no-advantage" if high <= margin else "inconclusive"


def _sentence(
    question: _Question, model: Interval, best: _Baseline, difference: Interval, score: Interval, verdict: str, errors: list[str]
) -> str:
    one, metric = question.one, question.metric
    said = {
        "advantage": f"{one.model} is better than the best tuned baseline",
        "no-advantage": f"{one.model} has no advantage over the best tuned baseline",
        "inconclusive": f"Whether {one.model} is better than the best tuned baseline cannot be told from these rows",
    }[verdict]
    text = (
        f"{said}: {metric.label} {number(model.estimate)} against {number(score.estimate)} of {best.name} "
        f"(chosen among {len(RANGES['regression'])} by {FOLDS}-fold cross-validation on the training rows, {best.tried} "
        f"configurations each); difference {signed(difference.estimate)}, {ends(difference, sign=True)}."
    )
    return " ".join([text, *question.notes, *(f"Not fitted: {error}." for error in errors)])


def _difference(metric: Metric, model: Task, baseline: Task, draws: int) -> Interval:
    return bootstrap(
        lambda i: metric.compute(model.at(i)) - metric.compute(baseline.at(i)),
        len(model),
        draws=draws,
        sampling=metric.sampling(model),
        method="percentile",
    )


def _cells(interval: Interval) -> tuple[float | None, float | None, float | None]:
    low, high = (None if math.isnan(v) else v for v in (interval.low, interval.high))
    return (None if math.isnan(interval.estimate) else interval.estimate), low, high


def _finite(value: float, instead: float) -> float:
    return value if math.isfinite(value) else instead if math.isfinite(instead) else 0.0
