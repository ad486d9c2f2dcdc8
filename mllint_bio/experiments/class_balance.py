"""Class balance: what a score is worth where classes are unequal, from the recorded predictions. Runs nothing.

The figures beside which an accuracy must be read: the share of each class, what a model scores that always answers the largest
class or guesses in proportion, and figures that do not reward either (balanced accuracy, MCC, average precision with its chance
level, recall of each class). Sources: Chicco and Jurman 2020 (MCC); Saito and Rehmsmeier 2015 (precision and recall under
imbalance).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mllint_bio.experiments import arrays
from mllint_bio.experiments.arrays import Evaluation
from mllint_bio.experiments.metrics import METRICS, Metric, Task, average_precision_of, confusion, encode, recalls
from mllint_bio.experiments.results import Interval, Plot, Result, Series, Table
from mllint_bio.experiments.statistics import Array, bootstrap
from mllint_bio.experiments.study import Study
from mllint_bio.experiments.words import attempt, ends, number, plain

MOST_MODELS = 4  # evaluations that are told; the last ones, which are those that a program ends with
MOST_SHOWN_CLASSES = 20
_NAMES = ("accuracy", "balanced-accuracy", "mcc", "roc-auc", "average-precision")


class ClassBalance:
    """Class shares, dummies and balanced figures of every classifier that was scored on held-out rows."""

    name = "class-balance"
    title = "Class balance"

    def applies(self, study: Study) -> str:
        """Empty if labels were predicted for rows whose truth is known."""
        if not arrays.captured(study.first):
            return "the run left no predictions to look at"
        evaluations = _classifiers(study)[1]
        if not evaluations:
            reasons = [task for _, task in _tasks(study) if isinstance(task, str)]
            return reasons[-1] if reasons else "no score of predicted classes on held-out rows was recorded"
        return ""

    def run(self, study: Study) -> list[Result]:
        """One result over the last models that the program scored."""
        return attempt(self, study, lambda: self._measure(study))

    def _measure(self, study: Study) -> Result:
        total, chosen = _classifiers(study)
        told = [_tell(one, task, study.budget.resamples) for one, task in chosen]
        left = total - len(told)
        note = (
            [f"{left} other {'scores' if left > 1 else 'score'} of the same models and rows, or earlier, not told."]
            if left
            else []
        )
        return Result(
            self.name,
            self.title,
            "done",
            verdict=" ".join([*(one.verdict for one in told), *note]),
            figures={
                "models": [one.figures for one in told],
                "intervals": sum(len(one.figures["intervals_of"]) for one in told),
            },
            tables=tuple(table for one in told for table in one.tables),
            plots=tuple(plot for one in told for plot in one.plots),
        )


@dataclass(frozen=True)
class _Told:
    verdict: str
    figures: dict[str, Any]
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]


def _tasks(study: Study) -> list[tuple[Evaluation, Task | str]]:
    return [(one, one.task()) for one in arrays.held_out(study.first)]


def _classifiers(study: Study) -> tuple[int, list[tuple[Evaluation, Task]]]:
    """How many predictions of classes were scored, and the last ones of each kind of model on each set of rows; where one model
    was scored several times, the most telling prediction (scores before labels)."""
    count = 0
    last: dict[Any, tuple[Evaluation, Task]] = {}
    for one, task in _tasks(study):
        if isinstance(task, str) or task.kind == "regression":
            continue
        count += 1
        key = (one.api, one.truth.tobytes() if one.test_rows is None else np.sort(one.test_rows).tobytes())
        before = last.pop(key, None)
        richer = before is not None and before[0].fit == one.fit and before[1].scores is not None and task.scores is None
        last[key] = before if richer and before is not None else (one, task)
    return count, list(last.values())[-MOST_MODELS:]


def _tell(one: Evaluation, task: Task, draws: int) -> _Told:
    if task.kind == "multilabel":
        return _tell_labels(one, task, draws)
    counts = np.bincount(task.truth, minlength=len(task.classes))
    train = _training_shares(one, task)
    usual = int(train.argmax())
    metrics = [METRICS[name] for name in _NAMES if METRICS[name].fits(task)]
    intervals = {metric.name: _interval(metric, task, draws) for metric in metrics}
    dummies = {metric.name: _dummies(metric, counts, train, usual) for metric in metrics}
    title = f"{one.model}, {one.place}"
    header = ("figure", "model", "95 % from", "to", "always the largest class", "guessing in proportion")
    rows = tuple(
        (m.label, _cell(intervals[m.name].estimate), _cell(intervals[m.name].low), _cell(intervals[m.name].high), *map(_cell, d))
        for m, d in ((m, dummies[m.name]) for m in metrics)
    )
    shares = recalls(task)
    shown = range(min(len(task.classes), MOST_SHOWN_CLASSES))
    by_class = Table(
        f"Classes: {title}",
        ("class", "rows", "share", "share in training", "recall"),
        tuple(
            (task.classes[k], int(counts[k]), _cell(counts[k] / len(task)), _cell(float(train[k])), _cell(float(shares[k])))
            for k in shown
        ),
    )
    plots: tuple[Plot, ...] = ()
    if len(task.classes) <= MOST_SHOWN_CLASSES:
        matrix = tuple(tuple(float(cell) for cell in row) for row in confusion(task))
        plots = (Plot("matrix", f"Confusion matrix: {title}", "predicted", "true", matrix=matrix, labels=task.classes),)
    figures = {
        "model": one.api,
        "place": one.place,
        "rows": len(task),
        "shares": {name: float(count) / len(task) for name, count in zip(task.classes, counts, strict=True)},
        "recall": {task.classes[k]: _cell(float(shares[k])) for k in range(len(task.classes))},
        "intervals_of": {name: plain(interval) for name, interval in intervals.items()},
        "always_largest": {name: _cell(pair[0]) for name, pair in dummies.items()},
        "guessing": {name: _cell(pair[1]) for name, pair in dummies.items()},
    }
    return _Told(_verdict(one, task, counts, usual, intervals, dummies), figures, (Table(title, header, rows), by_class), plots)


def _verdict(
    one: Evaluation,
    task: Task,
    counts: Array,
    usual: int,
    intervals: dict[str, Interval],
    dummies: dict[str, tuple[float, float]],
) -> str:
    largest = f"{counts[usual] / len(task):.0%}".replace("%", " %")
    accuracy, plain_answer = intervals["accuracy"], dummies["accuracy"][0]
    model = one.model if one.api else "The model"
    text = f"{model} ({one.place}), {len(task):,} rows: {largest} are of class {task.classes[usual]}, the largest in training"
    missing = [task.classes[k] for k in range(len(task.classes)) if counts[k] == 0]
    if missing:
        text += f"; no row is of class {', '.join(missing[:5])}, so its recall cannot be known"
    text += f". Always answering it scores {number(plain_answer)}; the model's accuracy is {number(accuracy.estimate)}"
    if not math.isnan(accuracy.low):
        beats = (
            "more than that"
            if accuracy.low > plain_answer
            else ("less than that" if accuracy.high < plain_answer else "not to be told from that")
        )
        text += f" ({ends(accuracy)}: {beats})"
    rest = [name for name in ("balanced-accuracy", "mcc", "average-precision") if name in intervals]
    parts = [f"{METRICS[name].label} {number(intervals[name].estimate)}" for name in rest]
    if "average-precision" in intervals:
        parts[-1] += f" (chance {number(dummies['average-precision'][1])})"
    fewest = min((int(c) for c in counts if c), default=0)
    few = f" The smallest class has {fewest} rows here: its figures are coarse." if fewest < 20 else ""
    return f"{text}; {', '.join(parts)}.{few}"


def _tell_labels(one: Evaluation, task: Task, draws: int) -> _Told:
    """Several labels per row: each label has its own share and its own chance level."""
    title = f"{one.model}, {one.place}"
    rows, intervals = [], {}
    assert task.scores is not None
    for k, name in enumerate(task.classes[:MOST_SHOWN_CLASSES]):
        positive, scores = task.truth[:, k] == 1, task.scores[:, k]
        interval = bootstrap(
            lambda i, p=positive, s=scores: average_precision_of(p[i], s[i]),  # type: ignore[misc]
            len(task),
            draws=draws,
            method="percentile",
        )
        intervals[name] = plain(interval)
        rows.append((name, int(positive.sum()), _cell(float(positive.mean())), *map(_cell, _three(interval))))
    above = sum(1 for row in rows if isinstance(row[4], float) and isinstance(row[2], float) and row[4] > row[2])
    verdict = (
        f"{one.model} ({one.place}), {len(task):,} rows with several labels each: average precision is above chance, "
        f"interval included, for {above} of {len(rows)} labels."
    )
    table = Table(title, ("label", "rows", "share (chance)", "average precision", "95 % from", "to"), tuple(rows))
    figures = {"model": one.api, "place": one.place, "rows": len(task), "intervals_of": intervals, "labels_above_chance": above}
    return _Told(verdict, figures, (table,), (_bars(title, task),))


def _bars(title: str, task: Task) -> Plot:
    shown = task.classes[:MOST_SHOWN_CLASSES]
    shares = tuple(float(v) for v in task.truth.mean(axis=0)[: len(shown)])
    return Plot("bars", f"Share of each label: {title}", "label", "share", (Series("share", shares, labels=shown),))


def _three(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def _interval(metric: Metric, task: Task, draws: int) -> Interval:
    return bootstrap(metric.statistic(task), len(task), draws=draws, sampling=metric.sampling(task))


def _training_shares(one: Evaluation, task: Task) -> Array:
    """Share of each class among the training labels, or among the scored rows if those are not known."""
    labels = task.truth
    if one.y_train is not None:
        kind, names, codes = encode(one.y_train, one.truth)
        if kind == "classes" and names == task.classes:
            labels = codes
    return np.bincount(labels, minlength=len(task.classes)) / len(labels)


def _dummies(metric: Metric, counts: Array, train: Array, usual: int) -> tuple[float, float]:
    """What always answering the largest class scores, and what guessing with the training shares scores in expectation."""
    shares = counts / counts.sum()
    present = int((counts > 0).sum())
    if metric.name == "accuracy":
        return float(shares[usual]), float(shares @ train)
    if metric.name == "balanced-accuracy":
        return float(counts[usual] > 0) / present, float(train[counts > 0].sum() / present)
    if metric.name == "mcc":
        return 0.0, 0.0
    if metric.name == "roc-auc":
        return 0.5, 0.5
    chance = float(shares[1]) if len(shares) == 2 else float(shares.mean())
    return chance, chance


def _cell(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
