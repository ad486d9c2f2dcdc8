"""Rows that stand on both sides of a split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")

import numpy as np

from mllint_bio.experiments import overlap
from mllint_bio.experiments.overlap import Overlap, minhash
from mllint_bio.experiments.results import Result
from mllint_bio.observe.job import Outcome, Status
from mllint_bio.observe.log import Log
from tests.experiments.studies import JOB, Run, study


def measured(folder: Path, train: Any, test: Any, *, rows: Any = None, test_rows: Any = None, right: Any = None) -> Result:
    """The result for these inputs; `right` says which test rows the model gets right (default all)."""
    run = Run(folder)
    model = run.subject("sklearn.svm.SVC")
    truth = np.arange(len(test)) % 2
    predicted = truth if right is None else np.where(right, truth, 1 - truth)
    run.fit(model, train, np.arange(len(train)) % 2, rows=rows)
    run.score(model, "accuracy_score", truth, predicted, test, rows=test_rows)
    (result,) = Overlap().run(study(run.outcome()))
    json.dumps(result.figures, allow_nan=False)
    return result


def test_disjoint_rows(tmp_path: Path) -> None:
    """Random rows: nothing is found, and it is said on what."""
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(100, 3)), generator.normal(size=(40, 3))
    result = measured(tmp_path, train, test, rows=np.arange(100), test_rows=np.arange(100, 140))
    (figures,) = result.figures["sets"]
    assert (figures["same_rows"], figures["identical"], figures["near_identical"]) == (0, 0, 0)
    assert result.verdict == "SVC (train.py:20): none of the 40 scored rows stands in the 100 training rows."


def test_identical_and_near_identical_rows(tmp_path: Path) -> None:
    """Eight copies and four copies with noise of one in a hundred million, as number types differ."""
    generator = np.random.default_rng(0)
    train = generator.normal(size=(100, 5))
    test = generator.normal(size=(40, 5))
    test[:8] = train[:8]
    test[8:12] = train[20:24] * (1 + 1e-8)
    (figures,) = measured(tmp_path, train, test).figures["sets"]
    assert (figures["identical"], figures["near_identical"], figures["same_rows"]) == (8, 4, None)


def test_rows_by_number(tmp_path: Path) -> None:
    """A scaled copy of a training row has another content; its number gives it away."""
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(30, 3)), generator.normal(size=(10, 3)) + 9
    result = measured(tmp_path, train, test, rows=np.arange(30), test_rows=np.arange(27, 37))
    assert result.figures["sets"][0]["same_rows"] == 3
    assert "3 of 10 (30 %) scored rows are rows that the model was fitted on" in result.verdict


def test_what_the_copies_do_to_the_score(tmp_path: Path) -> None:
    """The model is right on copies and guesses elsewhere: the difference is told with its interval."""
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(100, 4)), generator.normal(size=(100, 4))
    test[:50] = train[:50]
    right = np.arange(100) < 75
    result = measured(tmp_path, train, test, right=right)
    effect = result.figures["sets"][0]["effect"]
    assert effect["others"] == 0.5 and effect["difference"]["estimate"] == 0.5 and effect["difference"]["low"] > 0.3
    assert "Without them accuracy is 0.500" in result.verdict


def test_coarse_features_are_not_called_near(tmp_path: Path) -> None:
    """Rows on a grid are far apart or equal: neighbours on the grid are not near-identical."""
    grid = np.array([[a, b] for a in range(10) for b in range(10)], dtype=float)
    (figures,) = measured(tmp_path, grid[::2], grid[1::2]).figures["sets"]
    assert (figures["identical"], figures["near_identical"]) == (0, 0)


def test_rows_of_few_values_repeat_by_chance(tmp_path: Path) -> None:
    """Three yes-or-no answers a row: training rows repeat each other as well, and the verdict says so."""
    generator = np.random.default_rng(0)
    result = measured(tmp_path, generator.integers(0, 2, (60, 3)), generator.integers(0, 2, (30, 3)))
    assert result.figures["sets"][0]["identical"] == 30 and "equal content may be chance here" in result.verdict


def test_one_feature_repeats_by_nature(tmp_path: Path) -> None:
    """Equal values of one column are no copies."""
    result = measured(tmp_path, np.zeros((10, 1)), np.zeros((5, 1)))
    assert result.figures["sets"][0]["identical"] == 0 and "single feature" in result.verdict


def test_sequences(tmp_path: Path) -> None:
    """A mutated copy of a training sequence is related, a random one is not."""
    generator = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    train = ["".join(generator.choice(letters, 120)) for _ in range(30)]
    mutated = [text[:60] + ("A" if text[60] != "A" else "C") + text[61:] for text in train[:5]]
    test = mutated + ["".join(generator.choice(letters, 120)) for _ in range(15)]
    result = measured(tmp_path, train, test)
    (figures,) = result.figures["sets"]
    assert figures["related_sequences"] == 5 and figures["identical"] == 0
    assert "more than the 5 % that are let pass" in result.verdict
    assert result.plots[0].kind == "histogram" and len(result.plots[0].series[0].y) == 20


def test_signatures_estimate_the_share_of_common_mers() -> None:
    """Two texts that share about half of their 5-mers have about half of their signature in common."""
    generator = np.random.default_rng(1)
    text = "".join(generator.choice(list("ACGT"), 400))
    other = text[:266] + "".join(generator.choice(list("ACGT"), 134))
    mers = [{t[k : k + 5] for k in range(len(t) - 4)} for t in (text, other)]
    jaccard = len(mers[0] & mers[1]) / len(mers[0] | mers[1])
    assert float((minhash(text) == minhash(other)).mean()) == pytest.approx(jaccard, abs=0.15)


def test_large_data_are_bounded_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the bound distances are left out; equality is still found."""
    monkeypatch.setattr(overlap, "MOST_ROWS", 20)
    generator = np.random.default_rng(0)
    train = generator.normal(size=(30, 3))
    result = measured(tmp_path, train, train[:6])
    assert result.figures["sets"][0]["identical"] == 6 and "Distances were not computed" in result.verdict


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (np.full((5, 3), np.nan), np.full((4, 3), np.nan)),
        (np.zeros((6, 2, 2)), np.ones((4, 2, 2))),
        ([["a", "1"], ["b", "2"]] * 3, [["a", "1"], ["c", "3"]]),
        (np.zeros((6, 2)), np.zeros((4, 3))),
    ],
)
def test_odd_inputs_do_not_fail(tmp_path: Path, train: Any, test: Any) -> None:
    """Only missing values, images, texts in a table, other widths."""
    assert measured(tmp_path, train, test).status == "done"


def test_nothing_to_compare(tmp_path: Path) -> None:
    """Skipped, with the reason."""
    (result,) = Overlap().run(study(Outcome(JOB, Status.FINISHED, Log())))
    assert (result.status, result.reason) == ("skipped", "the run left no arrays to compare")
    run = Run(tmp_path)
    run.score(run.subject("A"), "accuracy", [0, 1], [0, 1])
    (result,) = Overlap().run(study(run.outcome()))
    assert result.reason == "no score was recorded whose training inputs and test inputs are both known"
