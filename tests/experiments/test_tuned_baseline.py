"""Tuned baselines on captured arrays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import numpy as np

from mllint_bio.diagnostics import Diagnostic, Place
from mllint_bio.experiments import bounded, tuned_baseline
from mllint_bio.experiments.metrics import METRICS
from mllint_bio.experiments.results import Interval, Result
from mllint_bio.experiments.tuned_baseline import TunedBaseline, judge
from mllint_bio.findings import Confidence, Severity
from mllint_bio.observe.job import Outcome, Status
from mllint_bio.observe.log import Log
from mllint_bio.sources import load
from tests.experiments.studies import JOB, Run, study


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two configurations of each model instead of twenty."""
    monkeypatch.setattr(tuned_baseline, "TRIALS", 2)


def measured(run: Run) -> Result:
    """The one result of the experiment, as JSON-writable figures."""
    (result,) = TunedBaseline().run(study(run.outcome()))
    json.dumps(result.figures, allow_nan=False)
    return result


def linear(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose class is a noisy linear function of two of four features."""
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(rows, 4))
    return X, (X[:, 0] + X[:, 1] + generator.normal(scale=0.3, size=rows) > 0).astype(int)


def test_a_network_that_learned_nothing_has_no_advantage(tmp_path: Path) -> None:
    """A guessing model against a linear problem: the difference is far below zero."""
    run = Run(tmp_path)
    net = run.subject("Net")
    X, y = linear(200, 0)
    X_test, truth = linear(100, 1)
    run.fit(net, X, y, rows=np.arange(200))
    guess = np.random.default_rng(2).integers(0, 2, 100)
    run.score(net, "accuracy_score", truth, guess, X_test, rows=np.arange(200, 300), value=float((guess == truth).mean()))
    result = measured(run)
    assert result.status == "done", result.reason
    figures = result.figures
    assert figures["verdict"] == "no-advantage" and figures["metric"] == "accuracy"
    assert figures["baselines"][figures["chosen"]]["difference"]["high"] < -0.1
    assert {b["tried"] for name, b in figures["baselines"].items() if name != "largest class"} == {2}
    assert len(figures["baselines"]) == 5 and result.plots[0].kind == "interval" and len(result.plots[0].labels) == 6
    assert "2 configurations each" in result.verdict


def test_the_model_that_a_finding_asks_about_is_compared(tmp_path: Path) -> None:
    """A demonstration on two features at the end of the program is not the model of the finding."""
    run = Run(tmp_path / "run")
    X, y = linear(60, 0)
    X_test, truth = linear(30, 1)
    for line in (20, 40):
        model = run.subject("Net")
        run.fit(model, X, y, rows=np.arange(60), line=line - 10)
        run.score(model, "accuracy_score", truth, truth, X_test, rows=np.arange(60, 90), value=1.0, line=line)
    file = tmp_path / "train.py"
    file.write_text("pass\n" * 40)
    place = Place("train.py", None, 20, 1, 20, 5, 19 * 5, 19 * 5 + 4)
    finding = Diagnostic("MLB202", "name", Severity.WARNING, Confidence.CERTAIN, "message", place)
    last = study(run.outcome())
    asked = replace(last, findings=(finding,), units={"train.py": load(file, "train.py")}, decided_by={"MLB202": "baseline"})
    for made, line in ((last, 40), (asked, 20)):
        question = tuned_baseline._question(made)
        assert not isinstance(question, str) and question.one.line == ("train.py", line)


def test_a_model_that_knows_more_has_an_advantage(tmp_path: Path) -> None:
    """Images, flattened, strings as labels: a perfect prediction of labels that the inputs do not show is an advantage."""
    generator = np.random.default_rng(0)
    run = Run(tmp_path)
    net = run.subject("Net")
    truth = generator.choice(["ill", "well"], 80)
    run.fit(net, generator.normal(size=(60, 3, 3)), generator.choice(["ill", "well"], 60))
    run.score(net, "accuracy_score", truth, truth, generator.normal(size=(80, 3, 3)), value=1.0)
    assert measured(run).figures["verdict"] == "advantage"


def test_regression_with_missing_values(tmp_path: Path) -> None:
    """Numbers are compared by the program's own error, lower being better; missing inputs do not stop the baselines."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(150, 3))
    y = X @ [1.0, 2.0, 0.0]
    X[::7, 2] = np.nan
    run = Run(tmp_path)
    model = run.subject("Net")
    run.fit(model, X[:100], y[:100])
    predicted = y[100:] + 1
    run.score(model, "mean_absolute_error", y[100:], predicted, X[100:], value=1.0, family="regression")
    figures = measured(run).figures
    assert (figures["metric"], figures["verdict"]) == ("mae", "no-advantage")
    assert figures["baselines"]["mean of the training rows"]["tried"] == 1


def test_many_rows_are_subsampled_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is told in the verdict."""
    monkeypatch.setattr(tuned_baseline, "MOST_ROWS", 50)
    run = Run(tmp_path)
    model = run.subject("Net")
    X, y = linear(200, 0)
    run.fit(model, X, y)
    run.score(model, "accuracy", y[:60], y[:60], X[:60] + 1e-9)
    result = measured(run)
    assert "The baselines saw 50 of 200 training rows" in result.verdict


def test_trials_follow_the_search_of_the_program(tmp_path: Path) -> None:
    """A grid of 3 x 4 in the program gives every baseline 12 configurations; the bound holds for larger ones."""
    run = Run(tmp_path)
    run.subject("sklearn.model_selection.GridSearchCV", param_grid={"C": [1, 2, 3], "gamma": [1, 2, 3, 4]})
    assert tuned_baseline._trials(study(run.outcome())) == 12
    run.subject("sklearn.model_selection.RandomizedSearchCV", n_iter=500)
    assert tuned_baseline._trials(study(run.outcome())) == 60


def test_what_has_no_flat_form_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """No arrays, sequences, wide inputs, several labels, too few rows."""
    (result,) = TunedBaseline().run(study(Outcome(JOB, Status.FINISHED, Log())))
    assert (result.status, result.reason) == ("skipped", "the run left no arrays to fit baselines on")
    cases = {
        "texts": (["ACGT"] * 20, [0, 1] * 10, [0, 1], ["AC", "GT"], "texts"),
        "wide": (np.zeros((20, 20_001)), [0, 1] * 10, [0, 1], np.zeros((2, 20_001)), "20,001 features"),
        "labels": (np.zeros((20, 2)), np.ones((20, 3)), [[1, 1, 0], [0, 0, 1]], np.zeros((2, 2)), "several labels per row"),
        "few": (np.zeros((4, 2)), [0, 1, 0, 1], [0, 1], np.zeros((2, 2)), "too few"),
    }
    for name, (X, y, truth, X_test, reason) in cases.items():
        run = Run(tmp_path / name)
        model = run.subject("Net")
        run.fit(model, X, y)
        run.score(model, "accuracy", truth, truth, X_test)
        found = measured(run)
        assert found.status == "skipped" and reason in found.reason, found


def test_all_baselines_have_equally_many_configurations_when_time_is_over(tmp_path: Path) -> None:
    """The search ends between rounds: without any time left, each has had the first configuration and no more."""
    from mllint_bio.experiments import search

    X, y = linear(40, 0)
    np.savez(tmp_path / "arrays.npz", X_train=X, y_train=y, X_test=X[:5])
    request = {"classes": 2, "metric": "accuracy", "trials": 50, "seconds": 0}
    (tmp_path / "request.json").write_text(json.dumps(request))
    search.search(tmp_path)
    assert [one["tried"] for one in json.loads((tmp_path / "result.json").read_text())] == [1, 1, 1, 1]


def test_a_search_that_dies_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the search is bounded and its death is a reason, not a traceback."""
    monkeypatch.setattr(bounded, "run", lambda module, folder, seconds: "MemoryError")
    run = Run(tmp_path)
    model = run.subject("Net")
    X, y = linear(60, 0)
    run.fit(model, X, y)
    run.score(model, "accuracy", y, y, X + 1e-9)
    result = measured(run)
    assert (result.status, result.reason) == ("failed", "MemoryError")


@pytest.mark.parametrize(
    ("low", "high", "metric", "expected"),
    [
        (0.01, 0.2, "accuracy", "advantage"),
        (-0.02, 0.03, "accuracy", "no-advantage"),
        (-0.2, 0.2, "accuracy", "inconclusive"),
        (-0.3, -0.1, "mae", "advantage"),
        (0.1, 0.3, "mae", "no-advantage"),
        (float("nan"), float("nan"), "roc-auc", "inconclusive"),
    ],
)
def test_verdicts(low: float, high: float, metric: str, expected: str) -> None:
    """Better, not better by more than the margin, or not to be told; for errors lower is better."""
    assert judge(Interval((low + high) / 2, low, high), METRICS[metric], 1.0) == expected
