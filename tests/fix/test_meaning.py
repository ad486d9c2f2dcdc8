"""Mended programs really run, and give the figure of the same program written rightly by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fix.conftest import Mend

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

HEAD = """import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler, scale
from sklearn.svm import SVC

"""
ARRAYS = "X, y = load_breast_cancer(return_X_y=True)\n"
FRAME = "X, y = load_breast_cancer(return_X_y=True, as_frame=True)\n"
SPLIT = "X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)\n"
SCORE = """model = SVC(C=1.0).fit(X_train, y_train)
print(roc_auc_score(y_test, model.decision_function(X_test)))
figure = np.abs(model.decision_function(X_test)).sum()
"""
SCALED = "s = StandardScaler().fit(X_train)\nX_train, X_test = s.transform(X_train), s.transform(X_test)\n"

PROGRAMS: dict[str, tuple[str, str, str]] = {
    "fit_transform": (
        "MLB706",
        ARRAYS + "X = StandardScaler().fit_transform(X)\n" + SPLIT + SCORE,
        ARRAYS + SPLIT + SCALED + SCORE,
    ),
    "fit, then transform": (
        "MLB706",
        ARRAYS + "scaler = StandardScaler()\nscaler.fit(X)\nX = scaler.transform(X)\n" + SPLIT + SCORE,
        ARRAYS + SPLIT + SCALED + SCORE,
    ),
    "object fitted where it is made": (
        "MLB706",
        ARRAYS + "scaler = StandardScaler().fit(X)\nX = scaler.transform(X)\n" + SPLIT + SCORE,
        ARRAYS + SPLIT + SCALED + SCORE,
    ),
    "fitted before, applied behind the split": (
        "MLB706",
        ARRAYS
        + "scaler = StandardScaler().fit(X)\n"
        + SPLIT
        + "X_train = scaler.transform(X_train)\nX_test = scaler.transform(X_test)\n"
        + SCORE,
        ARRAYS + SPLIT + SCALED + SCORE,
    ),
    "back into a data frame": (
        "MLB706",
        FRAME + "scaled = StandardScaler().fit_transform(X)\nX = pd.DataFrame(scaled, columns=X.columns)\n" + SPLIT + SCORE,
        FRAME + SPLIT + SCALED + SCORE,
    ),
    "columns of a table": (
        "MLB706",
        FRAME
        + "columns = ['mean radius', 'mean area']\nX[columns] = StandardScaler().fit_transform(X[columns])\n"
        + SPLIT
        + SCORE,
        FRAME
        + SPLIT
        + "c = ['mean radius', 'mean area']\ns = StandardScaler().fit(X_train[c])\n"
        + "X_train, X_test = X_train.copy(), X_test.copy()\n"
        + "X_train[c], X_test[c] = s.transform(X_train[c]), s.transform(X_test[c])\n"
        + SCORE,
    ),
    "two transforms in a row": (
        "MLB706",
        ARRAYS + "scaled = StandardScaler().fit_transform(X)\nX = PCA(5, random_state=0).fit_transform(scaled)\n" + SPLIT + SCORE,
        ARRAYS + SPLIT + SCALED + "p = PCA(5, random_state=0).fit(X_train)\n"
        "X_train, X_test = p.transform(X_train), p.transform(X_test)\n" + SCORE,
    ),
    "written by hand in three steps": (
        "MLB706",
        ARRAYS + "mu = X.mean(axis=0)\nsd = X.std(axis=0)\nX = (X - mu) / sd\n" + SPLIT + SCORE,
        ARRAYS + SPLIT + SCALED + SCORE,
    ),
    "written by hand in one": (
        "MLB706",
        ARRAYS + "X = (X - np.mean(X, axis=0)) / np.std(X, axis=0)\n" + SPLIT + SCORE,
        ARRAYS + SPLIT + SCALED + SCORE,
    ),
    "on a condition": (
        "MLB706",
        ARRAYS + "wanted = len(X) > 100\nif wanted:\n    X = StandardScaler().fit_transform(X)\n" + SPLIT + SCORE,
        ARRAYS + SPLIT + SCALED + SCORE,
    ),
    "in a function that is called once": (
        "MLB707",
        ARRAYS
        + "def chosen(a, b):\n    best = SelectKBest(f_classif, k=19)\n    return best.fit_transform(a, b)\n\n"
        + "X = chosen(X, y)\n"
        + SPLIT
        + SCORE,
        ARRAYS + SPLIT + "s = SelectKBest(f_classif, k=19).fit(X_train, y_train)\n"
        "X_train, X_test = s.transform(X_train), s.transform(X_test)\n" + SCORE,
    ),
    "function form": ("MLB706", ARRAYS + "X = scale(X)\n" + SPLIT + SCORE, ARRAYS + SPLIT + SCALED + SCORE),
    "gaps filled": (
        "MLB706",
        FRAME + "X = X.copy()\nX.iloc[::3, 0] = np.nan\nX = X.fillna(X.median())\n" + SPLIT + SCORE,
        FRAME
        + "X = X.copy()\nX.iloc[::3, 0] = np.nan\n"
        + SPLIT
        + "m = X_train.median()\nX_train, X_test = X_train.fillna(m), X_test.fillna(m)\n"
        + SCORE,
    ),
    "divided twice": (
        "MLB706",
        ARRAYS
        + "X = StandardScaler().fit_transform(X)\n"
        + SPLIT
        + "X_train, X_val, y_train, y_val = train_test_split(X_train, y_train, random_state=1)\n"
        + SCORE
        + "print(roc_auc_score(y_val, model.decision_function(X_val)))\n",
        ARRAYS + SPLIT + "X_train, X_val, y_train, y_val = train_test_split(X_train, y_train, random_state=1)\n" + SCALED + SCORE,
    ),
    "supervised selection": (
        "MLB707",
        ARRAYS + "X = SelectKBest(f_classif, k=19).fit_transform(X, y)\n" + SPLIT + SCORE,
        ARRAYS + SPLIT + "s = SelectKBest(f_classif, k=19).fit(X_train, y_train)\n"
        "X_train, X_test = s.transform(X_train), s.transform(X_test)\n" + SCORE,
    ),
    "cross-validated": (
        "MLB707",
        ARRAYS
        + "top = SelectKBest(f_classif, k=19).fit_transform(X, y)\n"
        + "figure = cross_val_score(GaussianNB(), top, y, cv=5, scoring='neg_log_loss').mean()\nprint(figure)\n",
        "from sklearn.pipeline import make_pipeline\n"
        + ARRAYS
        + "model = make_pipeline(SelectKBest(f_classif, k=19), GaussianNB())\n"
        + "figure = cross_val_score(model, X, y, cv=5, scoring='neg_log_loss').mean()\n",
    ),
    "loop over folds": (
        "MLB706",
        ARRAYS
        + "X = StandardScaler().fit_transform(X)\nfigure = 0\n"
        + "for fold, (fit, held) in enumerate(StratifiedKFold(5).split(X, y)):\n"
        + "    model = SVC(C=1.0).fit(X[fit], y[fit])\n"
        + "    print(roc_auc_score(y[held], model.decision_function(X[held])))\n"
        + "    figure += np.abs(model.decision_function(X[held])).sum()\n",
        ARRAYS
        + "figure = 0\n"
        + "for fit, held in StratifiedKFold(5).split(X, y):\n"
        + "    s = StandardScaler().fit(X[fit])\n"
        + "    model = SVC(C=1.0).fit(s.transform(X[fit]), y[fit])\n"
        + "    figure += np.abs(model.decision_function(s.transform(X[held]))).sum()\n",
    ),
    "fitted again on the test rows": (
        "MLB712",
        ARRAYS
        + SPLIT
        + "scaler = StandardScaler()\nX_train = scaler.fit_transform(X_train)\nX_test = scaler.fit_transform(X_test)\n"
        + SCORE,
        ARRAYS + SPLIT + SCALED + SCORE,
    ),
    "own statistics of the test rows": (
        "MLB712",
        ARRAYS
        + SPLIT
        + "X_train = (X_train - X_train.mean(axis=0)) / X_train.std(axis=0)\n"
        + "X_test = (X_test - X_test.mean(axis=0)) / X_test.std(axis=0)\n"
        + SCORE,
        ARRAYS + SPLIT + SCALED + SCORE,
    ),
}


def figure_of(program: str) -> float:
    """The figure that a program computes."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(program, "program.py", "exec"), names)
    return float(names["figure"])


@pytest.mark.parametrize("name", PROGRAMS)
def test_mended_program_is_the_right_one(name: str, mend: Mend) -> None:
    """The mended program gives the figure of the right program, which is not that of the wrong one."""
    code, wrong, right = PROGRAMS[name]
    mended = mend(HEAD + wrong, code)
    assert mended is not None
    expected = figure_of(HEAD + right)
    assert figure_of(mended) == pytest.approx(expected, rel=1e-10)
    assert figure_of(HEAD + wrong) != pytest.approx(expected, rel=1e-8)
