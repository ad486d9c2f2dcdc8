"""What a run of a program with NumPy, pandas and scikit-learn leaves in its log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mllint_bio.observe.job import Controls, Limits, Outcome
from mllint_bio.observe.log import Log, Record, Seen
from tests.observe.programs import execute

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program once for all tests that look at it."""
    known: dict[Any, Outcome] = {}

    def run(program: str, **controls: Any) -> Outcome:
        key = program, str(controls)
        if key not in known:
            folder = tmp_path_factory.mktemp("program")
            known[key] = execute(folder, program, controls=Controls(**controls), limits=Limits(seconds=300))
            assert known[key].finished, known[key].reason + known[key].output
        failed = [figure for figure in known[key].log.figures if figure["what"] == "probe-failed"]
        assert not failed, failed
        return known[key]

    return run


def only(log: Log, kind: str, *, line: int = 0) -> Record:
    """The one event of this kind (at this line)."""
    (found,) = [record for record in log.of(kind) if not line or record.line[1] == line]
    return found


def rows(log: Log, seen: Any) -> set[tuple[int, int]]:
    """(source, position) of every row."""
    assert isinstance(seen, Seen)
    masks = log.members(seen.rows)
    return {(source, row) for source, mask in masks.items() for row in range(mask.bit_length()) if mask >> row & 1}


CLASSIC = """\
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
np.random.seed(3)
X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = LogisticRegression(max_iter=500).fit(X_train, y_train)
print(accuracy_score(y_test, model.predict(X_test)))
print(roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]))
print(model.score(X_train, y_train))
"""


def test_loaded_rows_are_one_source(observed: Run) -> None:
    """Features and labels of one data set are the same 569 rows."""
    log = observed(CLASSIC).log
    load = only(log, "Load")
    assert (load.line[1], load.fields["kind"]) == (8, "toy")
    assert len(rows(log, load.fields["data"])) == 569
    assert len(log.sources) == 1


def test_a_seed_says_its_stream_and_value(observed: Run) -> None:
    """A seed of a global generator is an event with its literal value."""
    seed = only(observed(CLASSIC).log, "Seed")
    assert (seed.line[1], seed.fields["streams"], seed.fields["value"], seed.fields["unseeds"]) == (7, ["numpy"], 3, False)


def test_parts_of_a_split_are_disjoint_and_complete(observed: Run) -> None:
    """Train and test part share no row and together are the whole table, which was transformed before."""
    log = observed(CLASSIC).log
    split = only(log, "Split")
    train, test = (rows(log, part) for part in split.fields["parts"])
    assert not train & test
    assert train | test == rows(log, only(log, "Load").fields["data"])
    assert (split.fields["seeded"], split.fields["stratified"]) == (True, False)


def test_what_a_scaler_learned_from_is_carried_to_the_scores(observed: Run) -> None:
    """The scaler saw all rows, and every score rests on values that it shaped."""
    log = observed(CLASSIC).log
    scaler = only(log, "Fit", line=9)
    assert len(rows(log, scaler.fields["data"])) == 569
    scores = [record for record in log.of("Score") if record.line[1] in (12, 13)]
    assert len(scores) == 2
    assert all(scaler.number in score.fields["data"].learned for score in scores)


def test_scores_name_the_prediction_that_they_judge(observed: Run) -> None:
    """A column of probabilities is still the output of the model, for the rows of the test part."""
    log = observed(CLASSIC).log
    test = rows(log, only(log, "Split").fields["parts"][1])
    for line, metric, output in ((12, "accuracy_score", "label"), (13, "roc_auc_score", "score")):
        score, prediction = only(log, "Score", line=line), only(log, "Predict", line=line)
        assert score.fields["metric"] == metric
        assert score.fields["data"].predicted == prediction.number
        assert prediction.fields["output"] == output
        assert rows(log, score.fields["data"]) == rows(log, score.fields["truth"]) == test


def test_the_score_method_is_a_score_on_its_rows(observed: Run) -> None:
    """`model.score` on the training part is an accuracy of the rows that were fitted."""
    log = observed(CLASSIC).log
    score = only(log, "Score", line=14)
    assert score.fields["metric"] == "accuracy"
    assert rows(log, score.fields["data"]) == rows(log, only(log, "Fit", line=11).fields["data"])


def test_values_of_scores_are_figures(observed: Run) -> None:
    """Every figure of merit leaves its value, as printed."""
    outcome = observed(CLASSIC)
    values = [figure["value"] for figure in outcome.log.figures if figure["what"] == "score"]
    assert [float(text) for text in outcome.output.split()] == pytest.approx(values)


FOLDS = """\
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
X, y = make_classification(200, 5, random_state=0)
table = pd.DataFrame(X, columns=list("abcde")).assign(label=y)
for train, test in KFold(4, shuffle=True).split(X):
    DecisionTreeClassifier(random_state=0).fit(X[train], y[train]).predict(X[test])
pipeline = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0))
scores = cross_val_score(pipeline, X, y, cv=4)
search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=3).fit(X, y)
forest = RandomForestClassifier(5).fit(table[table.a > 0][["a", "b"]], table[table.a > 0].label)
chosen = np.random.permutation(200)[:50]
DecisionTreeClassifier(random_state=0).fit(X[chosen], y[chosen])
"""


def test_every_fold_is_a_split_with_its_rows(observed: Run) -> None:
    """Folds are Split events; what is fitted and predicted in them are their parts."""
    log = observed(FOLDS).log
    folds = [record for record in log.of("Split") if record.line[1] == 11]
    assert len(folds) == 4
    assert all(fold.fields["how"] == "fold" for fold in folds)
    tests = [rows(log, fold.fields["parts"][1]) for fold in folds]
    assert [len(test) for test in tests] == [50] * 4
    assert len(set().union(*tests)) == 200
    fits = [rows(log, record.fields["data"]) for record in log.of("Fit") if record.line[1] == 12]
    assert fits == [rows(log, fold.fields["parts"][0]) for fold in folds]


def test_random_folds_draw_from_the_global_stream(observed: Run) -> None:
    """A splitter without a seed is an unseeded draw for a split, a forest one for an estimator."""
    log = observed(FOLDS).log
    draws = {(record.line[1], record.fields["stream"], record.fields["purpose"]) for record in log.of("Draw")}
    assert (11, "numpy", "split") in draws
    assert (16, "numpy", "estimator") in draws
    assert all(not record.fields["seeded"] for record in log.of("Split") if record.line[1] == 11)


def test_steps_inside_a_cross_validation_see_the_rows_of_their_fold(observed: Run) -> None:
    """A pipeline in `cross_val_score` fits its scaler on training folds only, and the figure is cross-validated."""
    log = observed(FOLDS).log
    scalers = [r for r in log.of("Fit") if r.line[1] == 14 and r.fields["role"].startswith("fitted-transform")]
    assert [len(rows(log, scaler.fields["data"])) for scaler in scalers] == [150] * 4
    score = only(log, "Score", line=14)
    assert score.fields["cross_validated"]
    assert len(rows(log, score.fields["data"])) == 200


def test_a_search_is_a_fit_a_score_and_a_choice(observed: Run) -> None:
    """A tuner chooses a hyper-parameter by cross-validated scores on all rows that it was given."""
    log = observed(FOLDS).log
    choice = only(log, "Select", line=15)
    score = only(log, "Score", line=15)
    assert (choice.fields["what"], choice.fields["scores"]) == ("hyperparameter", [score.number])
    assert only(log, "Fit", line=15).fields["role"] == "tuner"


def test_rows_cut_from_a_table_keep_their_numbers(observed: Run) -> None:
    """A mask, then a choice of columns: the forest learned from the rows of the array that the table was made of."""
    log = observed(FOLDS).log
    fitted = rows(log, only(log, "Fit", line=16).fields["data"])
    everything = rows(log, only(log, "Fit", line=15).fields["data"])
    assert fitted < everything
    assert 50 < len(fitted) < 150


def test_rows_chosen_by_random_positions_are_known(observed: Run) -> None:
    """A permutation draws from the global stream; the rows that it chooses are rows of the table."""
    log = observed(FOLDS).log
    assert only(log, "Draw", line=17).fields["stream"] == "numpy"
    fitted = rows(log, only(log, "Fit", line=18).fields["data"])
    assert len(fitted) == 50
    assert fitted < rows(log, only(log, "Fit", line=15).fields["data"])


SHUFFLED = """\
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
X, y = load_iris(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y)
print("accuracy", accuracy_score(y_test, KNeighborsClassifier().fit(X_train, y_train).predict(X_test)))
"""


def test_shuffled_training_labels_leave_chance(observed: Run) -> None:
    """With the label-shuffle control, models learn permuted labels and are scored on the true ones."""
    honest, shuffled = (
        next(
            figure["value"]
            for figure in observed(SHUFFLED, seed=1, shuffle_labels=labels).log.figures
            if figure["what"] == "score"
        )
        for labels in (None, 5)
    )
    assert honest > 0.85
    assert shuffled < 0.65


def test_a_forced_seed_reaches_unseeded_splits(observed: Run) -> None:
    """Equal forced seeds give equal runs, different ones different parts."""
    first, again, other = (observed(SHUFFLED + "#" * k, seed=seed).log for k, seed in ((0, 1), (1, 1), (2, 2)))
    parts = [rows(log, only(log, "Split").fields["parts"][1]) for log in (first, again, other)]
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize("program", [CLASSIC, FOLDS], ids=["classic", "folds"])
def test_results_are_the_same_without_probes(observed: Run, program: str, tmp_path: Path) -> None:
    """A program that prints what it computed, and the state of the generator at its end, prints the same alone."""
    import subprocess
    import sys

    end = "\nimport numpy\nstate = numpy.random.get_state()[1]\n" if "random.seed" in program else "\nstate = [0]\n"
    told = program + end + "print('state', hash(tuple(state)))\n"
    (tmp_path / "alone.py").write_text(told)
    alone = subprocess.run([sys.executable, "alone.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    assert observed(told).output.split() == alone.stdout.split()
