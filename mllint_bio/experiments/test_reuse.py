"""Test reuse: how often the rows of the reported score were looked at, and what choosing by them may be worth.

Runs the program no more: it counts the scores and choices of the observed trace that read those rows. The best of k equally good
candidates looks better than it is by up to σ·sqrt(2 ln k), σ being the sampling error of the score on so many rows (Dwork et
al. 2015 on the reuse of holdouts). Where the model can be built again from what was recorded, its class is also fitted on fresh
random splits of the same rows, in a process of its own.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mllint_bio.events import Score, Select
from mllint_bio.experiments import arrays, bounded
from mllint_bio.experiments.arrays import Evaluation
from mllint_bio.experiments.fresh import build
from mllint_bio.experiments.metrics import METRICS, Metric, Task, encode, squeeze
from mllint_bio.experiments.results import Plot, Result, Series, Table
from mllint_bio.experiments.statistics import best_of, bootstrap_deviation, mean_interval
from mllint_bio.experiments.study import Study
from mllint_bio.experiments.words import attempt, ends, number, plain, signed
from mllint_bio.rows import Rows

SPLITS = 10
MOST_SECONDS = 120.0
MOST_ROWS = 20_000
_WHAT = {
    "epoch": "the epoch",
    "checkpoint": "the checkpoint",
    "early-stop": "when to stop",
    "learning-rate": "the learning rate",
    "hyperparameter": "hyper-parameters",
    "model": "the model",
    "threshold": "the threshold",
    "features": "the features",
    "seed": "the seed",
    "fold": "the fold",
    "split": "the split",
}


@dataclass(frozen=True)
class _Looks:
    """What read the rows of the reported score. looks: figures computed on them, batches and folds of one call counted once;
    considered: how many of these the choices compared (0 without a
    choice); counts: figures in one event of a loop; places: of the events, for people."""

    final: Score
    scores: list[Score]
    selects: list[Select]
    looks: int
    counts: dict[int, int]
    considered: int
    places: dict[int, str]


class TestReuse:
    """Looks at the test rows, choices made by them, and the optimism to be expected of the reported score."""

    name = "test-reuse"
    title = "Reuse of the test rows"

    def applies(self, study: Study) -> str:
        """Empty if the rows of a reported held-out score are known."""
        return "" if _final(study) is not None else "no score on held-out rows was observed whose rows are known"

    def run(self, study: Study) -> list[Result]:
        """One result, on the rows of the score that the program ends with."""
        return attempt(self, study, lambda: self._measure(study))

    def _measure(self, study: Study) -> Result:
        final = _final(study)
        assert final is not None
        found = _looks(study, final)
        places = found.places
        one = _evaluation(study, final)
        text = [_count(found)]
        figures: dict[str, Any] = {
            "place": places[final.id],
            "metric": final.metric,
            "scores": found.looks,
            "choices": len(found.selects),
            "chosen": sorted({select.what for select in found.selects}),
            "considered": found.considered,
            "intervals": 0,
        }
        table = _table(found)
        plots: tuple[Plot, ...] = ()
        task = one.task() if one is not None else "its predictions were not captured"
        if one is None or isinstance(task, str):
            text.append(f"How large the optimism may be cannot be computed: {task}.")
        else:
            metric, _ = one.reported(task)
            text.append(_optimism(found, task, metric, study.budget.resamples, figures))
            sentence, plots = _fresh(one, task, metric, study, figures)
            text.append(sentence)
        return Result(self.name, self.title, "done", " ".join(filter(None, text)), figures=figures, tables=(table,), plots=plots)


def _table(found: _Looks) -> Table:
    """What read the rows, by place: a loop over folds or epochs is one line with its count."""
    read = [(found.places[s.id], "choice", f"{_WHAT.get(s.what, s.what)} ({s.how})") for s in found.selects]
    times = Counter(read)
    for score in found.scores:
        times[found.places[score.id], "score", score.metric] += found.counts.get(score.id, 1)
    rows = tuple((*what, count) for what, count in times.items())
    return Table("What read the rows of the reported score", ("place", "kind", "what", "times"), rows[:200])


def _final(study: Study) -> Score | None:
    """The last held-out score that reaches a reader, of those with known rows; else the last held-out one."""
    known = [score for score in study.trace.held_out_scores if score.data.rows.known and not score.cross_validated]
    reported = [score for score in known if study.trace.reported(score)]
    last = reported or known
    return last[-1] if last else None


def _looks(study: Study, final: Score) -> _Looks:
    rows = final.data.rows
    counts: dict[int, int] = {}
    places = {event.id: f"{event.at.path}:{event.at.line}" for event in study.trace.events}
    records = {record.number: record for record in study.first.log.records}
    for number_, event_ in study.event_of.items():
        if number_ in records:
            counts[event_] = max(counts.get(event_, 0), records[number_].count)
            path, line = records[number_].line
            places[event_] = f"{path}:{line}"  # of a predicted event the trace knows the node, not the line
    scores = [score for score in study.trace.of(Score) if score.family != "loss" and _reads(score.data.rows, rows)]
    by_id = {score.id: score for score in scores}
    selects = [
        select
        for select in study.trace.of(Select)
        if select.what not in ("fold", "split") and (_reads(select.data.rows, rows) or select.scores & by_id.keys())
    ]
    compared = {number_ for select in selects for number_ in select.scores & by_id.keys()}
    kinds = {(places[number_], by_id[number_].metric) for number_ in compared}
    considered = sum(counts.get(s.id, 1) for s in scores if (places[s.id], s.metric) in kinds)
    return _Looks(final, scores, selects, sum(counts.get(s.id, 1) for s in scores), counts, considered, places)


def _reads(rows: Rows, test: Rows) -> bool:
    return rows.known and bool(rows.overlap(test))


def _evaluation(study: Study, final: Score) -> Evaluation | None:
    """The captured arrays of this score."""
    numbers = {number_ for number_, event in study.event_of.items() if event == final.id}
    found = arrays.training_and_test(study.first)
    exact = [one for one in found if one.score in numbers]
    same = [one for one in found if one.line == (final.at.path, final.at.line) and one.metric == final.metric]
    last = exact or same
    return last[-1] if last else None


def _count(found: _Looks) -> str:
    rows = f"The rows of {found.final.metric or 'the reported score'} at {found.places[found.final.id]}"
    text = f"{rows} were scored {found.looks:,} {'time' if found.looks == 1 else 'times'}"
    if not found.selects:
        return text + ", and no choice was seen to be made by them."
    kinds = ", ".join(dict.fromkeys(_WHAT.get(select.what, select.what) for select in found.selects))
    places = ", ".join(dict.fromkeys(found.places[select.id] for select in found.selects[:5]))
    times = "One choice was" if len(found.selects) == 1 else f"{len(found.selects)} choices were"
    return f"{text}. {times} made by them ({kinds}; {places})."


def _optimism(found: _Looks, task: Task, metric: Metric, draws: int, figures: dict[str, Any]) -> str:
    spread = bootstrap_deviation(metric.statistic(task), len(task), draws=draws, sampling=metric.sampling(task))
    if math.isnan(spread):
        return f"{metric.label} has no sampling error that could be computed on {len(task):,} rows."
    figures["sampling_error"] = spread
    text = f"The sampling error of {metric.label} on {len(task):,} rows is {number(spread)}"
    if not found.selects:
        return text + "."
    if found.considered < 2:
        return text + "; how many candidates were compared is not known, so the optimism of the choice is not either."
    optimism = spread * best_of(found.considered)
    figures["optimism_bound"] = optimism
    return (
        f"{text}: the best of {found.considered:,} equally good candidates looks better than it is by up to {number(optimism)} "
        "(σ·sqrt(2 ln k); less if the candidates' errors are alike, as those of successive epochs are)."
    )


def _fresh(one: Evaluation, task: Task, metric: Metric, study: Study, figures: dict[str, Any]) -> tuple[str, tuple[Plot, ...]]:
    """The score of the same model on fresh random splits of training and test rows together, or why there is none."""
    reason = _cannot(one, task)
    if reason:
        return f"No score on a fresh split: {reason}.", ()
    study.progress(f"test reuse: {one.model} on {SPLITS} fresh splits")
    scores = _split_scores(one, task, metric, min(MOST_SECONDS, study.budget.seconds / 5))
    if len(scores) < 3:
        return f"No score on a fresh split: {one.model} could not be fitted again in time on the recorded arrays.", ()
    interval = mean_interval(scores)
    value = metric.compute(task)
    low, high = min(scores), max(scores)
    figures["fresh"] = {"scores": scores, "mean": plain(interval), "reported": value}
    figures["intervals"] += 1
    where = "inside" if low <= value <= high else "above" if value > high else "below"
    text = (
        f"{one.model} with the same literal arguments, fitted on {len(scores)} fresh random splits of these rows: {metric.label} "
        f"{number(interval.estimate)} on average ({ends(interval)}), {number(low)} … {number(high)}; the program's "
        f"{number(value)} lies {where} that range (difference to the mean {signed(value - interval.estimate)}). What was fitted "
        "before the model (scaling, selection of features) is not fitted again."
    )
    plot = Plot(
        "histogram",
        f"{metric.label} on fresh splits",
        x_label=metric.label,
        y_label="splits",
        series=(Series("fresh splits", tuple(scores)),),
        mark=value,
        mark_label="the program",
    )
    return text, (plot,)


def _cannot(one: Evaluation, task: Task) -> str:
    if one.X_train is None or one.y_train is None or one.X_test is None:
        return "training and test inputs were not both captured"
    if task.kind == "multilabel":
        return "several labels per row"
    if find_spec("sklearn") is None:
        return "scikit-learn is not installed"
    if one.shared:
        return f"{one.shared} of the rows are training and test rows at once"
    if isinstance(reason := arrays.matrices(one.X_train, one.X_test), str):
        return reason
    if len(one.y_train) + len(one.truth) > MOST_ROWS:
        return f"more than {MOST_ROWS:,} rows"
    try:
        build(one.api, one.given)
    except ValueError as error:
        return str(error)
    return ""


def _split_scores(one: Evaluation, task: Task, metric: Metric, seconds: float) -> list[float]:
    assert one.X_train is not None and one.y_train is not None and one.X_test is not None
    tables = arrays.matrices(one.X_train, one.X_test)
    assert not isinstance(tables, str)
    labels = squeeze(one.y_train)
    codes = labels.astype(float) if task.kind == "regression" else encode(labels, one.truth)[2]
    with tempfile.TemporaryDirectory(prefix="mllint-bio-splits-") as name:
        folder = Path(name)
        np.savez(folder / "arrays.npz", X=np.concatenate(tables), y=np.concatenate([codes, task.truth]))
        usable = metric if metric.name in METRICS else METRICS["accuracy"]
        request = {
            "api": one.api,
            "given": one.given,
            "classes": len(task.classes),
            "test_rows": len(task),
            "metric": usable.name,
            "seconds": seconds,
            "splits": SPLITS,
        }
        (folder / "request.json").write_text(json.dumps(request))
        bounded.run("mllint_bio.experiments.fresh", folder, seconds + 10)
        try:
            return [float(value) for value in json.loads((folder / "result.json").read_text())]
        except (OSError, ValueError):
            return []
