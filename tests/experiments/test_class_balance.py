"""Class balance, from recorded predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")

import numpy as np

from mllint_bio.experiments.class_balance import ClassBalance
from mllint_bio.experiments.results import Result
from mllint_bio.observe.job import Outcome, Status
from mllint_bio.observe.log import Log
from tests.experiments.studies import JOB, Run, study


def measured(run: Run) -> Result:
    """The one result of the experiment, as JSON-writable figures."""
    (result,) = ClassBalance().run(study(run.outcome()))
    json.dumps(result.figures, allow_nan=False)
    return result


def test_a_model_that_always_answers_the_largest_class_is_seen_through(tmp_path: Path) -> None:
    """Accuracy 0.9 on 90 % negatives: no better than the dummy, balanced accuracy 0.5, MCC 0, recall of the rare class 0."""
    run = Run(tmp_path)
    model = run.subject("sklearn.svm.SVC")
    truth = ["healthy"] * 90 + ["ill"] * 10
    run.fit(model, np.zeros((100, 1)), truth)
    run.score(model, "accuracy_score", truth, ["healthy"] * 100, value=0.9)
    result = measured(run)
    (figures,) = result.figures["models"]
    assert result.status == "done" and "not to be told from that" in result.verdict
    assert figures["shares"] == {"healthy": 0.9, "ill": 0.1}
    assert figures["recall"] == {"healthy": 1.0, "ill": 0.0}
    assert figures["intervals_of"]["balanced-accuracy"]["estimate"] == 0.5
    assert figures["intervals_of"]["mcc"]["estimate"] == 0.0
    assert figures["always_largest"]["accuracy"] == 0.9
    assert result.plots[0].matrix == ((90.0, 0.0), (10.0, 0.0)) and result.plots[0].labels == ("healthy", "ill")


def test_a_good_model_beats_the_dummy(tmp_path: Path) -> None:
    """Its accuracy is above the largest class, interval included; average precision stands beside its chance level."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 4, 300) == 0
    scores = np.clip(truth * 0.5 + generator.random(300) * 0.5, 0, 1)
    run = Run(tmp_path)
    run.score(run.subject("Net"), "roc_auc_score", truth.astype(int), scores, family="score")
    result = measured(run)
    (figures,) = result.figures["models"]
    assert "more than that" in result.verdict
    assert figures["guessing"]["average-precision"] == pytest.approx(truth.mean())
    assert figures["intervals_of"]["average-precision"]["low"] > truth.mean()
    assert result.figures["intervals"] == 5


def test_candidates_of_one_kind_are_told_once(tmp_path: Path) -> None:
    """Five settings scored on the same rows, the last one by its probabilities too: one table, of the probabilities."""
    truth = np.arange(40) % 2
    run = Run(tmp_path)
    for k in range(5):
        model = run.subject("sklearn.svm.SVC", C=k + 1)
        run.fit(model, np.zeros((4, 1)), [0, 1, 0, 1])
        run.score(model, "accuracy_score", truth, truth)
    run.score(model, "roc_auc_score", truth, truth * 0.8 + 0.1, family="score", line=30)
    run.score(model, "f1_score", truth, truth, line=31)
    (figures,) = measured(run).figures["models"]
    assert figures["place"] == "train.py:30"


def test_one_class_among_the_scored_rows(tmp_path: Path) -> None:
    """The other class exists in training only: what cannot be known is said, nothing crashes."""
    run = Run(tmp_path)
    model = run.subject("A")
    run.fit(model, np.zeros((4, 1)), [0, 1, 0, 1])
    run.score(model, "accuracy", [1] * 30, [0.9] * 20 + [0.1] * 10, family="score")
    result = measured(run)
    assert result.status == "done" and "no row is of class 0" in result.verdict
    assert result.figures["models"][0]["intervals_of"]["roc-auc"]["estimate"] is None


def test_several_labels_per_row(tmp_path: Path) -> None:
    """Each label has its own chance level."""
    generator = np.random.default_rng(1)
    truth = (generator.random((200, 3)) < [0.5, 0.2, 0.1]).astype(int)
    scores = np.column_stack([truth[:, 0] * 0.5 + generator.random(200) / 2, generator.random(200), generator.random(200)])
    run = Run(tmp_path)
    run.score(run.subject("Net"), "average_precision_score", truth, scores, family="score")
    result = measured(run)
    assert "for 1 of 3 labels" in result.verdict
    assert result.plots[0].kind == "bars"


def test_nothing_to_look_at_is_said(tmp_path: Path) -> None:
    """No arrays, a regression, training scores only: skipped with the reason."""
    (result,) = ClassBalance().run(study(Outcome(JOB, Status.FINISHED, Log())))
    assert (result.status, result.reason) == ("skipped", "the run left no predictions to look at")
    run = Run(tmp_path / "numbers")
    run.score(run.subject("A"), "r2_score", [0.5, 1.5, 2.5], [0.4, 1.6, 2.2], family="regression")
    assert measured(run).reason == "no score of predicted classes on held-out rows was recorded"
    odd = Run(tmp_path / "odd")
    odd.score(odd.subject("A"), "accuracy", [0, 1, 2], np.zeros((3, 2)))
    assert "do not match the 3 classes" in measured(odd).reason
