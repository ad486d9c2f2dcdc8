"""Verdicts of `confirm` on runnable fixtures, one of each kind; `python -m tests.verdicts` does them all."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the programs need scikit-learn")
pytest.importorskip("torch", reason="some programs need torch")

from mllint_bio.experiments.confirm import confirm
from mllint_bio.experiments.options import ConfirmOptions
from mllint_bio.observe.job import Command
from tests.verdicts.measure import expected, measure

CHOSEN = (
    "01_scaler_before_split",
    "05_genes_selected_on_noise",
    "07_minority_copied_before_split",
    "14_overlapping_slices",
    "17_folds_of_visits",
    "30_dropout_on_while_scoring",
    "33_softmax_into_cross_entropy",
    "44_split_without_seed",
    "47_forest_without_bootstrap",
    "51_whitening_behind_an_option",
    "53_scaler_named_in_settings",
)


@pytest.mark.parametrize("name", CHOSEN)
def test_the_planted_fault_gets_its_verdict(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Confirmed, refuted, not reached or observed, as planted, and nothing else is told."""
    monkeypatch.setenv("MLLINT_BIO_CACHE_DIR", str(tmp_path))
    one = measure(name, "faulty", expected()[name])
    assert (one.said, one.accused) == (one.expected, ()), one.figure
    assert one.figure


@pytest.mark.parametrize("name", CHOSEN[::2])
def test_the_repaired_program_is_not_accused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin without the fault stays clean at run time."""
    monkeypatch.setenv("MLLINT_BIO_CACHE_DIR", str(tmp_path))
    one = measure(name, "repaired", expected()[name])
    assert one.right, one.accused


CUT = """\
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = LogisticRegression(max_iter=10_000).fit(X_train, y_train)
print(model.score(X_test, y_test))
int("three")
print(f1_score(y_test, model.predict(X_test)))
"""


def test_what_stands_behind_the_end_of_a_run_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that fails before the second figure of merit does not show that accuracy is the only one."""
    monkeypatch.setenv("MLLINT_BIO_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(CUT)
    command = Command("script", "train.py", (), str(folder), str(folder))
    found = confirm(command, ConfirmOptions(experiments=()))
    assert (found.status, [one.finding.code for one in found.judgements]) == ("failed", [])
    assert [value for _, value, _, _ in found.scores]
