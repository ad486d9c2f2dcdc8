"""Which figure of a run is the reported test metric."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")

from mllint_bio.events import Data, Report, Score, Site
from mllint_bio.experiments import metric
from mllint_bio.observe.log import Seen
from mllint_bio.trace import Trace
from tests.experiments.studies import Run, study


def test_the_last_score_on_rows_that_the_model_did_not_see_is_reported(tmp_path: Path) -> None:
    """A training score that comes later does not take the place of the test score."""
    run = Run(tmp_path)
    run.log.rows = {1: {1: 0b0011}, 2: {1: 0b1100}}
    model = run.subject("sklearn.svm.SVC")
    run.event("Fit", 10, subject=model, role="estimator", data=Seen(rows=1))
    for line, rows, value in ((20, 2, 0.9), (21, 1, 1.0)):
        score = run.event("Score", line, metric="accuracy_score", family="label", subject=model, data=Seen(rows=rows))
        run.log.figures.append({"what": "score", "event": score, "value": value})
    figure = metric.reported(study(run.outcome()))
    assert figure is not None
    assert (figure.name, figure.place, figure.value, figure.direction) == ("accuracy", "train.py:20", 0.9, "up")


def test_a_figure_that_a_finding_names_is_preferred(tmp_path: Path) -> None:
    """Of two held-out scores the one on a line of the finding is taken, else the last."""
    run = Run(tmp_path)
    run.log.rows = {1: {1: 0b0011}, 2: {1: 0b1100}}
    model = run.subject("sklearn.svm.SVC")
    run.event("Fit", 10, subject=model, role="estimator", data=Seen(rows=1))
    for line, name in ((20, "roc_auc_score"), (21, "accuracy_score")):
        score = run.event("Score", line, metric=name, family="label", subject=model, data=Seen(rows=2))
        run.log.figures.append({"what": "score", "event": score, "value": 0.8})
    made = study(run.outcome())
    near = metric.reported(made, {("train.py", 20)})
    last = metric.reported(made)
    assert near is not None and near.name == "ROC AUC"
    assert last is not None and last.name == "accuracy"


def test_folds_give_their_mean_and_epochs_the_last_value(tmp_path: Path) -> None:
    """Scores at one line on other rows each time are folds; on the same rows they are epochs."""
    for rows, expected in (((1, 2), 0.7), ((1, 1), 0.9)):
        run = Run(tmp_path / str(rows[1]))
        run.log.rows = {1: {1: 0b0011}, 2: {1: 0b1100}}
        for number, value in zip(rows, (0.5, 0.9), strict=True):
            score = run.event("Score", 20, metric="accuracy_score", family="label", data=Seen(rows=number))
            run.log.figures.append({"what": "score", "event": score, "value": value})
        (figure,) = metric.figures(run.outcome())
        assert figure.value == pytest.approx(expected)


def test_batches_of_one_pass_give_their_mean(tmp_path: Path) -> None:
    """Several values of one record are batches or folds of one call."""
    run = Run(tmp_path)
    score = run.event("Score", 20, metric="r2_score", family="regression", data=Seen(), cross_validated=True)
    run.log.figures += [{"what": "score", "event": score, "value": value} for value in (0.2, 0.4)]
    figure = metric.reported(study(run.outcome()))
    assert figure is not None
    assert (figure.name, figure.value) == ("R²", pytest.approx(0.3))


def test_the_trace_knows_what_is_reported(tmp_path: Path) -> None:
    """A held-out score that reaches a reader goes before a later one that does not."""
    run = Run(tmp_path)
    for line in (20, 21):
        score = run.event("Score", line, metric="accuracy_score", family="label", data=Seen())
        run.log.figures.append({"what": "score", "event": score, "value": 0.8})
    data = Data(named_role="test")
    at = [Site("train.py", 0, -1, line=line) for line in (20, 21)]
    scores = [Score(id=k, at=at[k], metric="accuracy_score", family="label", data=data) for k in (0, 1)]
    trace = Trace([*scores, Report(id=2, at=at[1], scores=frozenset({0}), how="print")], "script", "train.py")
    figure = metric.reported(replace(study(run.outcome(), trace=trace), event_of={0: 0, 1: 1}))
    assert figure is not None and figure.place == "train.py:20"


def test_printed_numbers_stand_in_where_nothing_was_observed(tmp_path: Path) -> None:
    """The number beside a metric's name is read, of test rows first; numbers without such a name are not."""
    made = Run(tmp_path).outcome()
    made.output = "epoch 3 train acc 0.99 | val acc 0.91\nTest AUC: 0.974, loss 0.31\nrows 569.0\n"
    figure = metric.reported(study(made))
    assert figure is not None
    assert (figure.name, figure.value, figure.direction, figure.place) == ("Test AUC", 0.974, "up", "")
    made.output = "done in 3.1 s\n"
    assert metric.reported(study(made)) is None


def test_the_same_printed_figure_is_found_in_another_run(tmp_path: Path) -> None:
    """By its label, whatever else is printed."""
    one, other = Run(tmp_path / "1").outcome(), Run(tmp_path / "2").outcome()
    one.output, other.output = "accuracy 0.90\n", "loss 0.2\naccuracy 0.85\n"
    figure = metric.reported(study(one))
    assert figure is not None
    again = metric.again(figure, other)
    assert again is not None and again.value == 0.85


def test_the_same_figure_is_found_where_its_line_moved_to(tmp_path: Path) -> None:
    """An edit above the score shifts its line."""
    runs = []
    for folder, line in (("1", 20), ("2", 23)):
        run = Run(tmp_path / folder)
        score = run.event("Score", line, metric="accuracy_score", family="label", data=Seen(), cross_validated=True)
        run.log.figures.append({"what": "score", "event": score, "value": 0.5})
        runs.append(run.outcome())
    figure = metric.reported(study(runs[0]))
    assert figure is not None
    assert metric.again(figure, runs[1]) is None
    moved = metric.again(figure, runs[1], lambda line: (line[0], line[1] + 3))
    assert moved is not None and moved.line == ("train.py", 23)


@pytest.mark.parametrize(
    ("name", "direction"),
    [("neg_mean_squared_error", "up"), ("mean_squared_error", "down"), ("roc_auc_score", "up"), ("log_loss", "down"), ("x", "")],
)
def test_names_say_which_way_is_better(name: str, direction: str) -> None:
    """Errors and losses are better when they are lower."""
    assert metric.direction_of(name) == direction
