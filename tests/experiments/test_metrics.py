"""Figures of merit, computed again from what a run predicted."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import numpy as np
from sklearn import metrics as reference

from mllint_bio.experiments.metrics import METRICS, Task, reported, understand


def task(truth: object, prediction: object, family: str = "label", known: object = None) -> Task:
    """The task of some lists; fails if there is none."""
    found = understand(np.array(truth), np.array(prediction), family, None if known is None else np.array(known))
    assert isinstance(found, Task), found
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [2, 4])
def test_figures_of_labels_are_those_of_scikit_learn(seed: int, classes: int) -> None:
    """Accuracy, balanced accuracy, MCC, kappa, F1, precision and recall on random labels."""
    generator = np.random.default_rng(seed)
    truth, predicted = generator.integers(0, classes, 60), generator.integers(0, classes, 60)
    one = task(truth, predicted)
    expected = {
        "accuracy": reference.accuracy_score(truth, predicted),
        "balanced-accuracy": reference.balanced_accuracy_score(truth, predicted),
        "mcc": reference.matthews_corrcoef(truth, predicted),
        "kappa": reference.cohen_kappa_score(truth, predicted),
        "f1-macro": reference.f1_score(truth, predicted, average="macro"),
        "f1-weighted": reference.f1_score(truth, predicted, average="weighted"),
        "precision-macro": reference.precision_score(truth, predicted, average="macro"),
        "recall-weighted": reference.recall_score(truth, predicted, average="weighted"),
    }
    if classes == 2:
        expected |= {
            "f1": reference.f1_score(truth, predicted),
            "precision": reference.precision_score(truth, predicted),
            "recall": reference.recall_score(truth, predicted),
        }
    assert {name: METRICS[name].compute(one) for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_figures_of_scores_are_those_of_scikit_learn(seed: int) -> None:
    """ROC AUC, average precision, log loss and Brier score, with ties among the scores."""
    generator = np.random.default_rng(seed)
    truth, scores = generator.integers(0, 2, 80), generator.integers(1, 10, 80) / 10
    one = task(truth, scores, "score")
    assert {name: METRICS[name].compute(one) for name in ("roc-auc", "average-precision", "log-loss", "brier")} == pytest.approx(
        {
            "roc-auc": reference.roc_auc_score(truth, scores),
            "average-precision": reference.average_precision_score(truth, scores),
            "log-loss": reference.log_loss(truth, scores),
            "brier": reference.brier_score_loss(truth, scores),
        }
    )
    many, columns = generator.integers(0, 3, 90), generator.dirichlet([1, 1, 1], 90)
    several = task(many, columns, "score")
    assert METRICS["roc-auc"].compute(several) == pytest.approx(reference.roc_auc_score(many, columns, multi_class="ovr"))
    assert METRICS["log-loss"].compute(several) == pytest.approx(reference.log_loss(many, columns))


def test_figures_of_numbers_are_those_of_scikit_learn() -> None:
    """Errors and R² of a regression."""
    generator = np.random.default_rng(0)
    truth = generator.normal(size=50)
    predicted = truth + generator.normal(size=50)
    one = task(truth, predicted, "regression")
    assert METRICS["r2"].compute(one) == pytest.approx(reference.r2_score(truth, predicted))
    assert METRICS["mae"].compute(one) == pytest.approx(reference.mean_absolute_error(truth, predicted))
    assert METRICS["rmse"].compute(one) == pytest.approx(math.sqrt(reference.mean_squared_error(truth, predicted)))
    assert METRICS["median-error"].compute(one) == pytest.approx(reference.median_absolute_error(truth, predicted))


def test_every_shape_of_a_prediction_is_understood() -> None:
    """Strings, columns of one, one-hot rows, probabilities, logits and columns of logits say the same."""
    truth = ["b", "a", "b", "a"]
    for prediction in (
        ["b", "a", "b", "b"],
        [0.9, 0.2, 0.8, 0.6],
        [3.0, -2.0, 1.0, 0.5],
        [[0.1, 0.9], [0.8, 0.2], [0, 1], [0, 1]],
    ):
        one = task(truth, prediction)
        assert one.kind == "binary" and one.classes == ("a", "b")
        assert METRICS["accuracy"].compute(one) == 0.75
    assert METRICS["accuracy"].compute(task([[1], [0], [1]], [[0.2], [0.3], [2.0]])) == pytest.approx(2 / 3)
    hot = task([[1, 0, 0], [0, 0, 1], [0, 1, 0]], [[5.0, 1, 1], [0, 1, 7], [9, 0, 1]])
    assert hot.kind == "multiclass" and METRICS["accuracy"].compute(hot) == pytest.approx(2 / 3)


def test_several_labels_per_row() -> None:
    """A 0/1 column per label: average precision is the mean over labels."""
    truth = [[1, 0], [1, 1], [0, 0], [0, 1]]
    one = task(truth, [[0.9, 0.1], [0.8, 0.3], [0.3, 0.4], [0.1, 0.9]], "score")
    assert one.kind == "multilabel"
    expected = reference.average_precision_score(np.array(truth), np.array([[0.9, 0.1], [0.8, 0.3], [0.3, 0.4], [0.1, 0.9]]))
    assert METRICS["average-precision"].compute(one) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("truth", "prediction", "family", "why"),
    [
        ([1, 1, 1], [1, 1, 0.5], "label", "all scored and training rows are of the class 1"),
        ([0.0, 1.0], [math.nan, 1.0], "score", "the prediction holds values that are no numbers"),
        ([], [], "label", "no rows were scored"),
        ([0, 1], [0, 1, 1], "label", "3 predictions for 2 rows"),
        ([0, 1, 2], [[0.5, 0.5], [0.1, 0.9], [1, 0]], "label", "predictions of shape (3, 2) do not match the 3 classes"),
        ([0, 1], np.zeros((2, 4, 4)), "segmentation", "predictions of shape (2, 4, 4) (a map"),
    ],
)
def test_what_cannot_be_understood_says_why(truth: object, prediction: object, family: str, why: str) -> None:
    """A reason in words, never an exception."""
    found = understand(np.array(truth), np.array(prediction), family)
    assert isinstance(found, str) and found.startswith(why)


def test_a_class_that_only_training_rows_have_counts() -> None:
    """A test set of one class is still a task of two, and figures that need both have no value."""
    one = task([1, 1, 1], [0.9, 0.8, 0.4], "score", known=[0, 1, 0, 1])
    assert METRICS["accuracy"].compute(one) == pytest.approx(2 / 3)
    assert math.isnan(METRICS["roc-auc"].compute(one))


def test_the_reported_metric_is_found_by_name_or_value() -> None:
    """A known name is taken, with its averaging; a hand-written figure is known by its value; else the usual one is used."""
    one = task([0, 1, 1, 0, 1], [0.2, 0.9, 0.4, 0.1, 0.8], "score")
    assert reported(one, "roc_auc_score", 1.0)[0].name == "roc-auc"
    assert reported(one, "BinaryAccuracy", None)[0].name == "accuracy"
    assert reported(one, "f1_score", METRICS["f1-macro"].compute(one), "macro")[0].name == "f1-macro"
    assert reported(one, "my_score", 0.8) == (METRICS["accuracy"], True)
    assert reported(one, "my_score", 0.123) == (METRICS["accuracy"], False)
