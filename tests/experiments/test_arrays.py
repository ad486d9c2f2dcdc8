"""Captured arrays, put together again."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")

import numpy as np

from mllint_bio.experiments import arrays
from mllint_bio.observe.job import Outcome, Status
from mllint_bio.observe.log import Log, Seen
from tests.experiments.studies import JOB, Run


def test_fit_and_score_are_put_together(tmp_path: Path) -> None:
    """Training rows of the last fit of the scored model, test inputs in the order of the scored rows."""
    run = Run(tmp_path)
    other, model = run.subject("sklearn.svm.SVC"), run.subject("sklearn.linear_model.LogisticRegression", C=2)
    run.fit(model, [[9.0]], [9])
    run.fit(model, [[0.0], [1.0], [2.0]], [0, 1, 1], rows=[0, 1, 2])
    run.fit(other, [[5.0]], [1])
    predict = run.event("Predict", 19, subject=model, data=Seen())
    run.keep(predict, "Predict", X=[[3.0], [4.0]], rows=[3, 4])
    score = run.event("Score", 20, metric="accuracy_score", family="label", subject=model, data=Seen(predicted=predict))
    run.keep(score, "Score", truth=[1, 0], prediction=[1, 1], rows=[4, 3])
    run.log.figures.append({"what": "score", "event": score, "value": 0.5})
    (one,) = arrays.training_and_test(run.outcome())
    assert one.X_train is not None and one.X_train.tolist() == [[0], [1], [2]]
    assert one.X_test is not None and one.X_test.tolist() == [[4], [3]]
    assert (one.metric, one.value, one.model, one.given, one.place) == (
        "accuracy_score",
        0.5,
        "LogisticRegression",
        {"C": 2},
        "train.py:20",
    )
    assert one.shared == 0 and one.held_out


def test_the_inputs_of_a_score_method_are_found(tmp_path: Path) -> None:
    """`model.score(X, y)` names its forward pass itself: its data are the inputs, not a prediction."""
    run = Run(tmp_path)
    model = run.subject("sklearn.svm.SVC")
    predict = run.event("Predict", 20, subject=model, data=Seen())
    run.keep(predict, "Predict", X=[[3.0], [4.0]], rows=[3, 4])
    score = run.event("Score", 20, metric="accuracy", family="label", subject=model, data=Seen(), predicted=predict)
    run.keep(score, "Score", truth=[1, 0], prediction=[1, 1], rows=[3, 4])
    (one,) = arrays.training_and_test(run.outcome())
    assert one.X_test is not None and one.X_test.tolist() == [[3], [4]]


def test_batches_of_one_event_are_joined(tmp_path: Path) -> None:
    """The calls of a batch loop are one event with several entries."""
    run = Run(tmp_path)
    model = run.subject("torch.nn.Linear")
    score = run.event("Score", 5, metric="accuracy", family="label", subject=model)
    for start in (0, 2):
        run.keep(score, "Score", truth=[0, 1], prediction=[[0.9, 0.1], [0.3, 0.7]], rows=[start, start + 1])
    (one,) = arrays.training_and_test(run.outcome())
    assert one.truth.tolist() == [0, 1, 0, 1] and one.prediction is not None and one.prediction.shape == (4, 2)
    assert one.test_rows is not None and one.test_rows.tolist() == [0, 1, 2, 3]


def test_training_rows_of_a_network_come_from_its_passes(tmp_path: Path) -> None:
    """No fit was seen: inputs of forward passes are joined with the truth of losses, test rows left out."""
    run = Run(tmp_path)
    model = run.subject("Net")
    passes = run.event("Predict", 8, subject=model)
    run.keep(passes, "Predict", X=[[1.0], [2.0]], rows=[11, 10])
    loss = run.event("Score", 9, metric="loss", family="loss", subject=model)
    run.keep(loss, "Score", truth=[1, 0], prediction=[0.5, 0.5], rows=[11, 10])
    run.score(model, "accuracy", [1, 0], [0.6, 0.2], [[3.0], [4.0]], rows=[20, 21])
    (one,) = arrays.training_and_test(run.outcome())
    assert one.X_train is not None and one.X_train.tolist() == [[2.0], [1.0]]
    assert one.y_train is not None and one.y_train.tolist() == [0, 1]


def test_of_repeats_at_one_line_the_last_counts(tmp_path: Path) -> None:
    """A score in the loop over epochs is one evaluation; another model at the same line is another."""
    run = Run(tmp_path)
    one, two = run.subject("A"), run.subject("B")
    for k in range(3):
        run.score(one, "accuracy", [0, 1], [0, 1], value=k / 2)
    run.score(two, "accuracy", [0, 1], [0, 1], value=0.75)
    assert [e.value for e in arrays.training_and_test(run.outcome())] == [1.0, 0.75]


def test_scores_of_training_rows_are_not_held_out(tmp_path: Path) -> None:
    """Tokens tell training scores from test scores."""
    run = Run(tmp_path)
    model = run.subject("A")
    run.fit(model, [[0.0], [1.0]], [0, 1], rows=[0, 1])
    run.score(model, "accuracy", [0, 1], [0, 1], rows=[0, 1], line=30)
    run.score(model, "accuracy", [0, 1], [0, 1], rows=[2, 3], line=31)
    assert [e.line[1] for e in arrays.held_out(run.outcome())] == [31]


def test_a_damaged_folder_gives_what_can_be_read(tmp_path: Path) -> None:
    """Missing folder, broken index, truncated file, wrong lengths: no exception."""
    assert arrays.training_and_test(Outcome(JOB, Status.FINISHED, Log())) == []
    run = Run(tmp_path)
    model = run.subject("A")
    run.fit(model, [[0.0], [1.0]], [0, 1])
    run.score(model, "accuracy", [0, 1], [0, 1])
    run.score(model, "f1_score", [0, 1], [0, 1, 1], line=40)
    outcome = run.outcome()
    (tmp_path / "0_X.npy").write_bytes(b"\x93NUMPY")
    (one,) = arrays.training_and_test(outcome)
    assert one.X_train is None and one.truth.tolist() == [0, 1]
    (tmp_path / "index.json").write_text("[{")
    assert arrays.training_and_test(outcome) == []


def test_inputs_become_tables_of_numbers() -> None:
    """Images are flattened, texts in a table become codes of the training values, sequences and wide inputs are refused."""
    flat = arrays.matrices(np.zeros((3, 4, 4)), np.zeros((2, 4, 4)))
    assert not isinstance(flat, str) and flat[0].shape == (3, 16) and flat[1].shape == (2, 16)
    mixed = arrays.matrices(np.array([["1.5", "f"], ["", "m"]]), np.array([["2", "m"], ["3", "x"]]))
    assert not isinstance(mixed, str)
    np.testing.assert_array_equal(mixed[0], [[1.5, 0], [np.nan, 1]])
    np.testing.assert_array_equal(mixed[1], [[2, 1], [3, -1]])
    assert arrays.matrices(np.array(["ACGT"]), np.array(["AC"])) == "its inputs are texts, not a table of numbers"
    assert "20,000" in str(arrays.matrices(np.zeros((1, 20_001)), np.zeros((1, 20_001))))
    assert "features" in str(arrays.matrices(np.zeros((1, 2)), np.zeros((1, 3))))
