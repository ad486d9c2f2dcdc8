"""Programs that look like those with a remedy, but where moving the fit would change more than the fault: there is none."""

from __future__ import annotations

import pytest

from tests.fix.conftest import Mend

HEAD = """import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

X = np.load("X.npy")
y = np.load("y.npy")
"""
FIT = "X = StandardScaler().fit_transform(X)\n"
SPLIT = "X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)\n"
SCORE = "model = SVC(C=1.0).fit(X_train, y_train)\nprint(roc_auc_score(y_test, model.decision_function(X_test)))\n"
FOLDS = "print(cross_val_score(SVC(C=1.0), X, y, cv=5).mean())\n"

PROGRAMS = {
    "the table is used behind the split": FIT + SPLIT + SCORE + "np.save('scaled.npy', X)\n",
    "a function reads the table": FIT + SPLIT + "def show():\n    print(X.mean())\n" + SCORE + "show()\n",
    "rows are dropped in between": FIT + "X, y = X[y < 2], y[y < 2]\n" + SPLIT + SCORE,
    "the table is changed in between": FIT + "X[X > 3] = 3\n" + SPLIT + SCORE,
    "the source is changed in between": "Z = StandardScaler().fit_transform(X)\nX[:] = 0\n" + SPLIT.replace("(X,", "(Z,") + SCORE,
    "the object is made in a function": "def make():\n    return StandardScaler()\nX = make().fit_transform(X)\n" + SPLIT + SCORE,
    "the object is looked at in between": "s = StandardScaler()\nX = s.fit_transform(X)\nif s.mean_[0] > 1:\n    print('!')\n"
    + SPLIT
    + SCORE,
    "the parts are in a list": FIT
    + "parts = train_test_split(X, y, random_state=0)\nX_train, X_test, y_train, y_test = parts\n"
    + SCORE,
    "two statements on one line": FIT.rstrip() + "; print('scaled')\n" + SPLIT + SCORE,
    "the fitted object is used beside the pipeline": "pca = PCA(5)\nX = pca.fit_transform(X)\n"
    + FOLDS
    + "print(pca.explained_variance_ratio_)\n",
    "estimators of the folds are kept": FIT
    + "from sklearn.model_selection import cross_validate\n"
    + "print(cross_validate(SVC(C=1.0), X, y, cv=5, return_estimator=True)['test_score'].mean())\n",
    "the number of components is read behind the split": FIT
    + "X = PCA(5).fit_transform(X)\n"
    + SPLIT
    + SCORE
    + "print(X.shape[1])\n",
    "the condition changes in between": "n = len(X)\nif n > 9:\n    X = StandardScaler().fit_transform(X)\nn = 0\n"
    + SPLIT
    + SCORE,
    "there is an else": "if len(X) > 9:\n    X = StandardScaler().fit_transform(X)\nelse:\n    X = X + 1\n" + SPLIT + SCORE,
    "the table is used beside the cross-validation": FIT + FOLDS + "SVC(C=1.0).fit(X, y)\n",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_remedy_where_it_would_change_more(name: str, mend: Mend) -> None:
    """There is no remedy for this program."""
    assert mend(HEAD + PROGRAMS[name], "MLB706") is None


def test_no_transform_no_remedy(mend: Mend) -> None:
    """What cannot be applied to new rows (t-SNE) is not moved behind the split."""
    assert mend(HEAD + "X = TSNE(random_state=0).fit_transform(X)\n" + SPLIT + SCORE, "MLB706") is None


def test_same_program_without_the_obstacle(mend: Mend) -> None:
    """The programs above are refused for what they are named after: without it there is a remedy."""
    assert mend(HEAD + FIT + SPLIT + SCORE, "MLB706") is not None
    assert mend(HEAD + FIT + FOLDS, "MLB706") is not None
    assert mend(HEAD + FIT + SPLIT + SCORE + "print(X.shape[1])\n", "MLB706") is not None
