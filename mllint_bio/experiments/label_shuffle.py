"""Label shuffle: what the program scores when its training labels are permuted, so that there is nothing to learn.

Chuang and Keiser's adversarial control (ACS Chem. Biol. 2018): a test score that permuted labels reach as well was not earned by
learning; a model that scores high on the permuted training labels themselves memorises. All runs are seeded alike, the real one
too, so that they differ by the labels alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mllint_bio.experiments import metric
from mllint_bio.experiments.arrays import Evaluation, captured, training_and_test
from mllint_bio.experiments.metric import Figure
from mllint_bio.experiments.metrics import METRICS, Task, understand
from mllint_bio.experiments.results import Interval, Plot, Result, Series
from mllint_bio.experiments.spending import grant, why_not
from mllint_bio.experiments.statistics import mean_interval, permutation_p
from mllint_bio.experiments.study import Study
from mllint_bio.experiments.words import attempt, ends, number, plain
from mllint_bio.observe.job import Job, Outcome

FEWEST, MOST = 5, 20  # shuffled runs; fewer than FEWEST cannot give a p-value below 0.2
SEED = 0
LEVEL = 0.05


class LabelShuffle:
    """The distribution of the test metric over runs with permuted training labels, and the place of the real score in it."""

    name = "label-shuffle"
    title = "Shuffled labels"

    def applies(self, study: Study) -> str:
        """Empty if the program reports a figure on labels."""
        if metric.reported(study) is None:
            return "the program reports no figure of merit that could be read"
        if not study.trace.trains and not any(True for _ in study.first.log.of("Fit", "Step")):
            return "nothing was trained, so there are no training labels to shuffle"
        return ""

    def run(self, study: Study) -> list[Result]:
        """One result."""
        return attempt(self, study, lambda: self._measure(study))

    def _measure(self, study: Study) -> Result:
        figure = metric.reported(study)
        assert figure is not None
        allowed = grant(study, wanted(study.budget.repeats) + 1, FEWEST + 1)
        if not allowed.runs:
            return Result(self.name, self.title, "skipped", reason=allowed.note)
        study.progress(f"label shuffle: the seeded run and {allowed.runs - 1} runs with permuted labels")
        real, *shuffled = study.run(jobs(study, allowed.runs - 1))
        again = metric.again(figure, real)
        if again is None:
            reason = f"the seeded run did not reach {figure.name}: {real.reason or real.status.value}"
            return Result(self.name, self.title, "failed", reason=reason, runs=1)
        found = [metric.again(figure, outcome) for outcome in shuffled]
        null = [one.value for one in found if one is not None and math.isfinite(one.value)]
        if len(null) < 2:
            reason = f"{len(null)} of {len(shuffled)} runs with permuted labels reached {figure.name} ({why_not(shuffled)})"
            return Result(self.name, self.title, "failed", reason=reason, runs=1 + len(shuffled))
        runs = 1 + len(shuffled)
        if all(value == again.value for value in null):
            reason = (
                f"{figure.name} is exactly {number(again.value)} in all {len(null)} runs: the permutation did not reach the "
                "training, whose labels come from where the probes do not see them"
            )
            return Result(self.name, self.title, "failed", reason=reason, runs=runs, figures={"real": again.value, "null": null})
        return self._tell(again, null, memory(real, shuffled), runs, allowed.note)

    def _tell(self, real: Figure, null: Sequence[float], learned: Interval | None, runs: int, note: str) -> Result:
        direction = real.direction or "up"
        p = permutation_p(real.value, null, direction)
        chance = mean_interval(null)
        best = max(null) if direction == "up" else min(null)
        beats = sum((value >= real.value) if direction == "up" else (value <= real.value) for value in null)
        text = (
            f"{real.name} is {number(real.value)} with the true labels and {number(chance.estimate)} on average with permuted "
            f"ones (range {number(min(null))} … {number(max(null))}, {len(null)} runs). {_meaning(p, beats, len(null))}"
        )
        if learned is not None:
            text += (
                f" On the permuted training labels themselves the model's accuracy is {number(learned.estimate)} "
                f"({ends(learned)}): that much it can memorise."
            )
        if not real.direction:
            text += " Whether higher is better is not known of this figure; higher was taken for better."
        plot = Plot(
            "histogram",
            f"{real.name} with permuted training labels",
            x_label=real.name,
            y_label="runs",
            series=(Series("permuted labels", tuple(null)),),
            mark=real.value,
            mark_label="true labels",
        )
        figures = {
            "metric": real.metric or real.name,
            "place": real.place,
            "real": real.value,
            "null": list(null),
            "null_mean": plain(chance),
            "null_best": best,
            "p": p,
            "smallest_possible_p": 1 / (len(null) + 1),
            "memorised": None if learned is None else plain(learned),
            "intervals": 1 + (learned is not None),
        }
        return Result(
            self.name, self.title, "done", " ".join(filter(None, [text, note])), figures=figures, plots=(plot,), runs=runs
        )


def _meaning(p: float, beats: int, runs: int) -> str:
    """What the p-value says. beats: shuffled runs that are at least as good as the real one."""
    if p <= LEVEL:
        few = "No run" if beats == 0 else f"{beats} of {runs} runs"
        return f"{few} with permuted labels reaches the real score (p = {p:.3f}): there is something that was learned."
    if beats == 0:
        return (
            f"None of them reaches the real score; with {runs} runs p cannot be smaller than {p:.2f}, so this is consistent with "
            "learning but coarse."
        )
    return f"{beats} of them reach the real score (p = {p:.2f}), which therefore does not show that anything was learned."


def wanted(repeats: int) -> int:
    """Shuffled runs: twice the repeats, at least 5 and at most 20."""
    return max(FEWEST, min(repeats * 2, MOST))


def jobs(study: Study, shuffles: int) -> list[Job]:
    """The seeded run with the true labels, then those with permuted ones."""
    same = replace(study.job.controls, seed=SEED, hash_seed=SEED, capture=True)
    plan = [same, *(replace(same, shuffle_labels=k + 1) for k in range(shuffles))]
    return [replace(study.job, controls=controls) for controls in plan]


def memory(real: Outcome, shuffled: Sequence[Outcome]) -> Interval | None:
    """Accuracy on the permuted training labels, over the shuffled runs; None unless the program scores its training rows."""
    if not captured(real):
        return None
    true = {(one.line, one.api): one for one in training_and_test(real)}
    found = []
    for outcome in shuffled:
        for one in training_and_test(outcome):
            task = _on_permuted(one, true.get((one.line, one.api)), outcome.job.controls.shuffle_labels or 0)
            if task is not None:
                found.append(METRICS["accuracy"].compute(task))
                break
    return mean_interval(found) if len(found) > 1 else None


def _on_permuted(one: Evaluation, true: Evaluation | None, seed: int) -> Task | None:
    """Predictions for training rows against the labels that the model was given for them."""
    from mllint_bio.observe.probes.estimators import permuted

    if one.prediction is None or one.y_train is None or one.train_rows is None or one.test_rows is None or one.shared is None:
        return None
    if (
        one.shared < len(one.truth)
        or true is None
        or true.y_train is None
        or len(np.unique(one.train_rows)) < len(one.train_rows)
    ):
        return None
    given = one.y_train
    if np.array_equal(given, true.y_train):  # captured as the program handed them in; the probe permuted them on the way
        given = np.asarray(permuted(given, seed))
    order = np.argsort(one.train_rows)
    labels = given[order][np.searchsorted(one.train_rows[order], one.test_rows)]
    task = understand(labels, one.prediction, one.family, given)
    return task if isinstance(task, Task) and METRICS["accuracy"].fits(task) else None
