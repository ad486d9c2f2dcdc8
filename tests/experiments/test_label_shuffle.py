"""Runs with permuted training labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")

import numpy as np

from mllint_bio.experiments.label_shuffle import LabelShuffle, wanted
from mllint_bio.experiments.results import Result
from mllint_bio.observe.job import Job, Outcome, Status
from mllint_bio.observe.log import Log
from tests.experiments.studies import JOB, Run, study


def scored(folder: Path, value: float, job: Job = JOB) -> Outcome:
    """A run that reports one accuracy."""
    run = Run(folder, job)
    model = run.subject("sklearn.svm.SVC")
    run.fit(model, [[0.0], [1.0]], [0, 1])
    run.score(model, "accuracy_score", [0, 1], [0, 1], value=value)
    return run.outcome()


def measured(tmp_path: Path, real: float, null: Sequence[float], repeats: int = 10) -> Result:
    """The result when the seeded run scores `real` and the shuffled ones score `null`, over and over."""

    def run(jobs: Sequence[Job]) -> list[Outcome]:
        assert {job.controls.seed for job in jobs} == {0}
        assert [job.controls.shuffle_labels for job in jobs] == [None, *range(1, len(jobs))]
        values = [real, *(null[k % len(null)] for k in range(len(jobs) - 1))]
        return [scored(tmp_path / str(k), value, job) for k, (job, value) in enumerate(zip(jobs, values, strict=True))]

    (result,) = LabelShuffle().run(study(scored(tmp_path / "first", real), run, repeats=repeats))
    json.dumps(result.figures, allow_nan=False)
    return result


def test_a_score_that_was_learned(tmp_path: Path) -> None:
    """Twenty shuffled runs stay at chance: p = 1/21, and the histogram marks the real score."""
    result = measured(tmp_path, 0.95, [0.5, 0.55, 0.45])
    assert result.figures["p"] == pytest.approx(1 / 21) and result.runs == 21
    assert "there is something that was learned" in result.verdict
    (plot,) = result.plots
    assert (plot.kind, plot.mark, len(plot.series[0].y)) == ("histogram", 0.95, 20)


def test_a_score_that_shuffled_labels_reach_too(tmp_path: Path) -> None:
    """Selection on all rows makes noise score high: the real score proves nothing."""
    result = measured(tmp_path, 0.9, [0.92, 0.88])
    assert result.figures["p"] > 0.4 and "does not show that anything was learned" in result.verdict


def test_few_runs_are_called_coarse(tmp_path: Path) -> None:
    """Five shuffled runs cannot go below 1/6, and the verdict says so."""
    result = measured(tmp_path, 0.95, [0.5, 0.6], repeats=2)
    assert result.figures["p"] == pytest.approx(1 / 6) and "p cannot be smaller than 0.17" in result.verdict


def test_labels_that_the_permutation_does_not_reach(tmp_path: Path) -> None:
    """Equal figures in all runs are no evidence: failed, with the reason."""
    result = measured(tmp_path, 0.95, [0.95])
    assert result.status == "failed" and "did not reach the training" in result.reason


def test_runs_that_crash_are_a_reason(tmp_path: Path) -> None:
    """Nothing but the seeded run came to its score."""

    def run(jobs: Sequence[Job]) -> list[Outcome]:
        crashed = [Outcome(job, Status.NOT_STARTED, Log(), reason="no room") for job in jobs[1:]]
        return [scored(tmp_path / "real", 0.9, jobs[0]), *crashed]

    (result,) = LabelShuffle().run(study(scored(tmp_path / "first", 0.9), run))
    assert result.status == "failed" and "no room" in result.reason


def test_nothing_trained_or_scored(tmp_path: Path) -> None:
    """Skipped, with the reason."""
    (result,) = LabelShuffle().run(study(Outcome(JOB, Status.FINISHED, Log())))
    assert (result.status, result.reason) == ("skipped", "the program reports no figure of merit that could be read")


def test_what_a_model_memorises(tmp_path: Path) -> None:
    """A model that returns the permuted labels of its training rows has memorised them all, whatever its test score."""
    from mllint_bio.observe.probes.estimators import permuted

    y = np.arange(20) % 2
    rows = np.arange(20)

    def outcome(folder: Path, job: Job, value: float) -> Outcome:
        run = Run(folder, job)
        model = run.subject("sklearn.svm.SVC")
        run.fit(model, rows[:, None], y, rows=rows)
        seed = job.controls.shuffle_labels
        predicted = y if seed is None else np.asarray(permuted(y, seed))
        run.score(model, "accuracy_score", y, predicted, rows=rows, value=float((predicted == y).mean()), line=15)
        run.score(model, "accuracy_score", [0, 1], [0, 1], rows=[30, 31], value=value, line=20)
        return run.outcome()

    def run(jobs: Sequence[Job]) -> list[Outcome]:
        return [outcome(tmp_path / str(k), job, 0.9 if k == 0 else 0.4 + 0.01 * k) for k, job in enumerate(jobs)]

    (result,) = LabelShuffle().run(study(outcome(tmp_path / "first", JOB, 0.9), run))
    assert result.figures["memorised"]["estimate"] == 1.0
    assert "that much it can memorise" in result.verdict


def test_number_of_shuffled_runs() -> None:
    """Twice the repeats, between 5 and 20."""
    assert [wanted(k) for k in (1, 2, 5, 50)] == [5, 5, 10, 20]
