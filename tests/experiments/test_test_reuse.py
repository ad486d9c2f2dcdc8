"""How often test rows were looked at, and what that is worth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")

import numpy as np

from mllint_bio.events import Data, Event, Fit, Report, Score, Select, Site, Subject
from mllint_bio.experiments import fresh
from mllint_bio.experiments import test_reuse as reuse
from mllint_bio.experiments.results import Result
from mllint_bio.observe.job import Outcome
from mllint_bio.rows import Rows, exact
from mllint_bio.trace import Trace
from tests.experiments.studies import Run, study


def tokens(rows: range) -> Rows:
    """Rows of the one data set."""
    return exact({0: sum(1 << row for row in rows)})


TRAIN, TEST = tokens(range(100)), tokens(range(100, 200))


class Events:
    """An observed trace, written by hand."""

    def __init__(self) -> None:
        self.model = Subject("sklearn.svm.SVC", "estimator.baseline.kernel", Site("train.py", 0, -1, 5))
        self.events: list[Event] = []

    def add(self, kind: type[Event], line: int, **fields: Any) -> int:
        """An event at this line."""
        number = len(self.events)
        self.events.append(kind(id=number, at=Site("train.py", 0, line, line), **fields))
        return number

    def score(self, rows: Rows, line: int = 20, metric: str = "accuracy_score") -> int:
        """A score of these rows."""
        return self.add(
            Score, line, metric=metric, family="label", data=Data(rows=rows), subject=self.model, fitted=TRAIN, direction="up"
        )

    def trace(self) -> Trace:
        """The trace."""
        return Trace(self.events, "script", "train.py", observed=True)


def measured(events: Events, first: Outcome, event_of: dict[int, int] | None = None) -> Result:
    """The one result of the experiment."""
    given = replace(study(first, trace=events.trace()), event_of=event_of or {})
    (result,) = reuse.TestReuse().run(given)
    json.dumps(result.figures, allow_nan=False)
    return result


def captured(folder: Path, api: str = "Net", **given: Any) -> Run:
    """Arrays of a model that is right on 80 of 100 test rows, scored at line 20."""
    generator = np.random.default_rng(0)
    run = Run(folder)
    model = run.subject(api, **given)
    X = generator.normal(size=(200, 3))
    y = (X[:, 0] > 0).astype(int)
    run.fit(model, X[:100], y[:100], rows=np.arange(100))
    predicted = np.where(np.arange(100) < 80, y[100:], 1 - y[100:])
    run.score(model, "accuracy_score", y[100:], predicted, X[100:], rows=np.arange(100, 200), value=0.8)
    return run


def test_one_look_without_a_choice(tmp_path: Path) -> None:
    """The test rows are scored once: said, with the sampling error and no optimism."""
    events = Events()
    events.add(Fit, 10, subject=events.model, role="estimator", data=Data(rows=TRAIN))
    events.add(Report, 21, scores=frozenset({events.score(TEST)}), how="print")
    result = measured(events, captured(tmp_path).outcome())
    assert (result.figures["scores"], result.figures["choices"]) == (1, 0)
    assert "optimism_bound" not in result.figures
    assert result.figures["sampling_error"] == pytest.approx(0.04, abs=0.01)
    assert "no choice was seen to be made by them" in result.verdict and "Net is no model of scikit-learn" in result.verdict


def test_the_best_of_thirty_looks(tmp_path: Path) -> None:
    """The best epoch by test accuracy out of 30: σ·sqrt(2 ln 30) is the bound, and the choice is named."""
    events = Events()
    looks = frozenset(events.score(TEST) for _ in range(30))
    events.add(Select, 25, what="epoch", how="if", scores=looks, data=Data(rows=TEST))
    events.score(tokens(range(300, 310)), line=99)
    run = captured(tmp_path)
    result = measured(events, run.outcome())
    # the last held-out score is another's: the choices are looked for on its rows
    assert result.figures["choices"] == 0
    events.events.pop()
    result = measured(events, run.outcome())
    assert (result.figures["scores"], result.figures["considered"], result.figures["chosen"]) == (30, 30, ["epoch"])
    assert result.figures["optimism_bound"] == pytest.approx(result.figures["sampling_error"] * 2.608, rel=1e-3)
    assert "One choice was made by them (the epoch; train.py:25)" in result.verdict


def test_repeats_merged_into_one_event_count(tmp_path: Path) -> None:
    """An event that happened twelve times is twelve looks."""
    events = Events()
    number = events.score(TEST)
    events.add(Select, 25, what="model", how="max", scores=frozenset({number}), data=Data(rows=TEST))
    run = captured(tmp_path)
    record = next(r for r in run.log.records if r.kind == "Score")
    record.count = 12
    result = measured(events, run.outcome(), {record.number: number})
    assert (result.figures["scores"], result.figures["considered"]) == (12, 12)
    assert [row[-1] for row in result.tables[0].rows] == [1, 12]


def test_choices_on_other_rows_are_no_reuse(tmp_path: Path) -> None:
    """A choice by validation rows leaves the test rows alone."""
    events = Events()
    validation = tokens(range(300, 350))
    looks = frozenset(events.score(validation, line=15) for _ in range(5))
    events.add(Select, 16, what="epoch", how="if", scores=looks, data=Data(rows=validation))
    events.score(TEST)
    assert measured(events, captured(tmp_path).outcome()).figures["choices"] == 0


def test_a_model_of_scikit_learn_on_fresh_splits(tmp_path: Path) -> None:
    """The class is fitted again on random splits; what it reaches there stands beside the program's figure."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    events = Events()
    events.score(TEST)
    result = measured(events, captured(tmp_path, "sklearn.linear_model._logistic.LogisticRegression", C=10.0).outcome())
    scores = result.figures["fresh"]["scores"]
    assert len(scores) == 10 and min(scores) > 0.9
    assert "lies below that range" in result.verdict and result.plots[0].mark == 0.8


@pytest.mark.parametrize(
    ("api", "given", "reason"),
    [
        ("torch.nn.Linear", {}, "is no model of scikit-learn"),
        ("sklearn.svm.Nothing", {}, "cannot be built from its literal arguments alone"),
        ("sklearn.pipeline.Pipeline", {}, "cannot be built from its literal arguments alone"),
        ("sklearn.svm.SVC", {"no_such": 1}, "cannot be built from its literal arguments alone"),
    ],
)
def test_models_that_cannot_be_built_again(api: str, given: dict[str, Any], reason: str) -> None:
    """Each has its reason."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    with pytest.raises(ValueError, match=reason):
        fresh.build(api, given)


def test_without_arrays_only_the_looks_are_told(tmp_path: Path) -> None:
    """No captured predictions: the counts stand, the optimism is not computed, and it is said why."""
    events = Events()
    events.score(TEST)
    result = measured(events, Run(tmp_path).outcome())
    assert result.status == "done" and "cannot be computed: its predictions were not captured" in result.verdict


def test_nothing_held_out(tmp_path: Path) -> None:
    """Skipped, with the reason."""
    result = measured(Events(), Run(tmp_path).outcome())
    assert (result.status, result.reason) == ("skipped", "no score on held-out rows was observed whose rows are known")
