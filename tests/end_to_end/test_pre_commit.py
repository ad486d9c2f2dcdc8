"""The pre-commit hook, in a real git repository with the real pre-commit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SHIPPED = ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml", "mllint_bio", "rules")
OFFLINE = ("No matching distribution", "Could not find a version", "Temporary failure", "Failed to establish", "Connection")

LEAK = """\
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

table = pd.read_csv("metabolites.csv")
y = table.pop("sepsis")
{body}
model = LogisticRegression().fit(X_train, y_train)
print(roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]))
"""
BAD = LEAK.format(
    body="""\
X = StandardScaler().fit_transform(table)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)"""
)
GOOD = LEAK.format(
    body="""\
X_train, X_test, y_train, y_test = train_test_split(table, y, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)"""
)


class Repository:
    """A git repository of a user, with the hook installed."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        self._environment = {
            **inherited,
            "PRE_COMMIT_HOME": str(home / "pre-commit"),
            "MLLINT_BIO_CACHE_DIR": str(home / "results"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        }
        folder.mkdir()
        self.run("git", "init", "-q")
        self.run("git", "config", "user.name", "A Biologist")
        self.run("git", "config", "user.email", "biologist@example.org")

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the repository."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=check,
        )

    def commit(self, **files: str) -> subprocess.CompletedProcess[str]:
        """Try to commit files."""
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self.run("git", "add", "-A")
        return self.run("git", "commit", "-q", "-m", "change", check=False)

    def head(self) -> str:
        """What is committed."""
        return self.run("git", "ls-tree", "-r", "--name-only", "HEAD").stdout


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository with this checkout as it stands, committed or not."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    pytest.importorskip("pre_commit")
    home = tmp_path_factory.mktemp("home")
    repository = Repository(home / "mllint-bio", home)
    for name in SHIPPED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, repository.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, repository.folder / name)
    repository.commit()
    return repository


@pytest.fixture
def repository(hook: Repository, tmp_path: Path) -> Repository:
    """A user's repository with the hook installed; its environment is built once for all tests."""
    user = Repository(tmp_path / "user", hook.folder.parent)
    revision = hook.run("git", "rev-parse", "HEAD").stdout.strip()
    settings = {"repos": [{"repo": str(hook.folder), "rev": revision, "hooks": [{"id": "mllint-bio"}]}]}
    (user.folder / ".pre-commit-config.yaml").write_text(json.dumps(settings))
    built = user.run(sys.executable, "-m", "pre_commit", "install", "--install-hooks", check=False)
    if built.returncode and any(sign in built.stdout for sign in OFFLINE):
        pytest.skip("pre-commit cannot build the hook's environment without a package index")
    assert built.returncode == 0, built.stdout
    return user


def test_bad_commit_is_blocked_and_good_one_passes(repository: Repository) -> None:
    """A program with leakage is not committed, and its finding is shown; the corrected program is."""
    blocked = repository.commit(**{"train.py": BAD})
    assert blocked.returncode == 1
    assert "train.py:9:5: MLB706" in blocked.stdout
    passed = repository.commit(**{"train.py": GOOD})
    assert passed.returncode == 0, passed.stdout
    assert "train.py" in repository.head()


def test_notebooks_are_checked_too(repository: Repository) -> None:
    """The hook sees notebooks and names the cell."""
    cell = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": BAD}
    title = {"cell_type": "markdown", "metadata": {}, "source": "# Sepsis"}
    notebook = {
        "cells": [title, cell],
        "metadata": {"kernelspec": {"language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    blocked = repository.commit(**{"sepsis.ipynb": json.dumps(notebook)})
    assert blocked.returncode == 1
    assert "sepsis.ipynb:cell 2:9:5: MLB706" in blocked.stdout


def test_files_of_other_languages_do_not_run_the_hook(repository: Repository) -> None:
    """A commit without Python is not held up."""
    passed = repository.commit(**{"notes.md": "# Notes\n"})
    assert passed.returncode == 0 and "Skipped" in passed.stdout
