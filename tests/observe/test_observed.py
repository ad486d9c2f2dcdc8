"""Observed traces: measured facts in the frame of the predicted structure, from hand-made logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mllint_bio.config import Settings
from mllint_bio.events import Draw, Fit, Score, Select, Split
from mllint_bio.experiments.program import Program, read
from mllint_bio.observe.job import Command
from mllint_bio.observe.log import Log, Record, Seen, Source
from mllint_bio.observe.observed import Observed, observe
from mllint_bio.rows import NO, YES
from mllint_bio.rule import load_registry

PROGRAM = """\
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
best = 0
for c in (1, 10):
    model = SVC(C=c).fit(X_train, y_train)
    score = accuracy_score(y_test, model.predict(X_test))
    if score > best:
        best = score
print(best)
"""
EVERYTHING, TRAIN, TEST = 0, 1, 2  # row sets of the log below


@pytest.fixture
def program(tmp_path: Path) -> Program:
    file = tmp_path / "train.py"
    file.write_text(PROGRAM, encoding="utf-8")
    command = Command("script", "train.py", (), str(tmp_path), str(tmp_path))
    return read(command, file, Settings(), load_registry())


def log(*records: tuple[str, int, str, dict[str, Any]]) -> Log:
    """A log with a table of eight rows, six for training and two for testing."""
    made = Log(sources={1: Source(1, "table", 8)}, rows={EVERYTHING: {1: 0xFF}, TRAIN: {1: 0x3F}, TEST: {1: 0xC0}})
    for number, (kind, line, api, fields) in enumerate(records):
        made.records.append(Record(number, kind, ("train.py", line), (), api, fields))
    return made


def of(program: Program, made: Log, *, finished: bool = True) -> Observed:
    return observe(made, program.trace, program.spans, finished=finished)


SCALER = ("Fit", 9, "sklearn.preprocessing.StandardScaler", {"data": Seen(EVERYTHING, 8), "role": "fitted-transform.scale"})
DIVIDED = (
    "Split",
    10,
    "sklearn.model_selection.train_test_split",
    {"data": Seen(EVERYTHING, 8), "parts": [Seen(TRAIN), Seen(TEST)]},
)


def test_measured_rows_stand_in_the_predicted_structure(program: Program) -> None:
    """The event has the rows of the run and the names, loops and flow of the prediction."""
    made = log(
        SCALER,
        DIVIDED,
        (
            "Fit",
            13,
            "sklearn.svm.SVC",
            {"data": Seen(TRAIN, 6), "subject": 5, "role": "estimator.baseline.kernel", "method": "fit"},
        ),
        ("Predict", 14, "sklearn.svm.SVC", {"data": Seen(TEST, 2), "subject": 5}),
        (
            "Score",
            14,
            "sklearn.metrics.accuracy_score",
            {"data": Seen(TEST, 2, predicted=3), "truth": Seen(TEST, 2), "metric": "accuracy_score", "value": 1.0},
        ),
    )
    trace = of(program, made).trace
    [score] = trace.of(Score)
    scaler, model = trace.of(Fit)
    assert (scaler.data.rows.size, model.data.rows.size, score.data.rows.size) == (8, 6, 2)
    assert score.fitted.overlap(score.data.rows) is NO
    assert scaler.data.rows.overlap(score.data.rows) is YES
    assert {fact.fit for fact in score.inputs} == {scaler.id}, "what the scaler learned flows through the program"
    assert score.data.name == "" or score.data.named_role == "test"
    assert score.loops


def test_what_a_probe_would_have_seen_and_did_not_see_did_not_happen(program: Program) -> None:
    """A predicted fit without a record is not in the observed trace."""
    trace = of(program, log(DIVIDED)).trace
    assert not list(trace.of(Fit))
    assert len(list(trace.of(Split))) == 1


def test_choices_are_kept_where_their_statement_was_executed(program: Program) -> None:
    """A comparison of scores leaves no call: the mark of its line places the predicted choice among the events."""
    guide = program.guide()
    mark = next(number for number, (_, line) in enumerate(guide.marks) if line == 15)
    scored = (
        "Score",
        14,
        "sklearn.metrics.accuracy_score",
        {"data": Seen(TEST, 2), "truth": Seen(TEST, 2), "metric": "accuracy_score"},
    )
    with_mark = of(program, log(DIVIDED, scored, ("Mark", 15, "", {"mark": mark}))).trace
    [choice] = with_mark.of(Select)
    [score] = with_mark.of(Score)
    assert choice.scores == {score.id}
    assert choice.data.rows == score.data.rows
    assert not list(of(program, log(DIVIDED, scored)).trace.of(Select))


def test_events_that_nobody_predicted_are_there(program: Program) -> None:
    """A draw that the static side does not know comes with its line and stream."""
    trace = of(program, log(("Draw", 12, "numpy.random.rand", {"stream": "numpy", "what": "rand", "purpose": "noise"}))).trace
    [draw] = trace.of(Draw)
    assert (draw.stream, draw.at.line) == ("numpy", 12)


def test_a_run_that_was_cut_off_is_not_taken_for_whole(program: Program) -> None:
    """Absence proves something only in a run that came to its end."""
    assert of(program, log(DIVIDED)).trace.resolved
    assert not of(program, log(DIVIDED), finished=False).trace.resolved


def test_the_rule_speaks_on_both_traces(program: Program) -> None:
    """The leak is found in the prediction and in the observation, at the same place."""
    made = log(
        SCALER,
        DIVIDED,
        ("Fit", 13, "sklearn.svm.SVC", {"data": Seen(TRAIN, 6), "subject": 5, "method": "fit"}),
        ("Predict", 14, "sklearn.svm.SVC", {"data": Seen(TEST, 2), "subject": 5}),
        (
            "Score",
            14,
            "sklearn.metrics.accuracy_score",
            {"data": Seen(TEST, 2, predicted=3), "truth": Seen(TEST, 2), "metric": "accuracy_score"},
        ),
    )
    before = {finding.at for finding in program.findings if finding.code == "MLB706"}
    after = {finding.at for finding, _ in program.judge(of(program, made).trace) if finding.code == "MLB706"}
    assert before == after != set()


def test_what_a_model_learned_from_is_what_its_training_showed(tmp_path: Path) -> None:
    """The prediction takes two calls of a helper for one table; the rows of the score are not what was fitted on for that."""
    file = tmp_path / "train.py"
    file.write_text(
        "import numpy as np\nfrom sklearn.metrics import accuracy_score\nfrom sklearn.svm import SVC\n"
        "X, y = np.load('X.npy'), np.load('y.npy')\nmodel = SVC().fit(X, y)\nprint(accuracy_score(y, model.predict(X)))\n"
    )
    command = Command("script", "train.py", (), str(tmp_path), str(tmp_path))
    program = read(command, file, Settings(), load_registry())
    fields = {"role": "estimator.baseline.kernel", "method": "fit"}
    made = log(
        ("Fit", 5, "sklearn.svm.SVC", {"data": Seen(TRAIN, 6), **fields}),
        ("Score", 6, "sklearn.metrics.accuracy_score", {"data": Seen(TEST, 2), "metric": "accuracy_score", "value": 1.0}),
    )
    [score] = of(program, made).trace.of(Score)
    assert (score.data.rows.size, score.fitted.size) == (2, 6)
    assert score.fitted.overlap(score.data.rows) is NO
