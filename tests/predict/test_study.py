"""What the configuration says about a study, in the trace."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from mllint_bio.events import Score, Split
from mllint_bio.predict import Project, analyse
from mllint_bio.predict.values import role_of_name
from mllint_bio.sources import load
from mllint_bio.trace import Trace

Study = Callable[..., Trace]

SPLIT = """
    import pandas as pd
    from sklearn.model_selection import train_test_split

    table = pd.read_csv("visits.csv")
    y = table["progressed"]
    X = table.drop(columns=["progressed", "pid"])
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The trace of a program under options of the configuration."""
    monkeypatch.chdir(tmp_path)

    def interpret(text: str, **options: object) -> Trace:
        Path("main.py").write_text(textwrap.dedent(text))
        options = {name.replace("_", "-"): value for name, value in options.items()}
        (trace,) = analyse(Project(tmp_path), [load(Path("main.py"))], options).traces
        return trace

    return interpret


def test_a_declared_group_column_groups_the_rows_of_its_table(study: Study) -> None:
    """A table with a column of `group-columns` has several rows of each of its values."""
    (split,) = study(SPLIT, group_columns=("pid",)).of(Split)
    assert split.data.group == "pid"
    (split,) = study(SPLIT).of(Split)
    assert split.data.group == ""


@pytest.mark.parametrize(
    ("column", "identifier"),
    [("patient_id", "patient_id"), ("SubjectID", "SubjectID"), ("donor", "donor"), ("id", ""), ("case_control", ""), ("age", "")],
)
def test_a_dropped_identifier_is_remembered(study: Study, column: str, identifier: str) -> None:
    """By its name; a row number or a class is none."""
    (split,) = study(SPLIT.replace("pid", column)).of(Split)
    assert split.identifier == identifier


def test_rows_thinned_to_one_of_each_have_no_identifier(study: Study) -> None:
    """One row of each patient is left."""
    thinned = SPLIT.replace('"visits.csv")', '"visits.csv").drop_duplicates("patient")').replace("pid", "patient")
    (split,) = study(thinned).of(Split)
    assert split.identifier == ""


@pytest.mark.parametrize(("role", "named"), [("test", "test"), ("full", ""), ("validation", "validation")])
def test_a_declared_role_is_that_of_the_variable(study: Study, role: str, named: str) -> None:
    """`roles = {X_ext = "test"}`."""
    program = """
        import pandas as pd
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score

        X_train, y_train = pd.read_csv("a.csv"), pd.read_csv("b.csv")
        X_ext = pd.read_csv("c.csv")
        y_ext = pd.read_csv("d.csv")
        model = LogisticRegression().fit(X_train, y_train)
        print(roc_auc_score(y_ext, model.predict_proba(X_ext)[:, 1]))
    """
    (score,) = study(program, roles={"X_ext": role, "y_ext": role}).of(Score)
    assert score.data.named_role == named
    (score,) = study(program).of(Score)
    assert score.data.named_role == ""
    assert role_of_name("X_ext") == "", "the declaration ends with the analysis"
