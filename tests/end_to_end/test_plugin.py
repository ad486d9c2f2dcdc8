"""Rules of a third party, installed as a package of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1] / "plugin"
OFFLINE = ("No matching distribution", "Could not find a version", "Temporary failure", "Failed to establish", "Connection")
PROGRAM = """\
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

X, y = np.load("X.npy"), np.load("y.npy")
model = LogisticRegression()
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0){comment}
print(model.fit(X_train, y_train).score(X_test, y_test))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the plugin."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(PLUGIN)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and any(sign in done.stdout + done.stderr for sign in OFFLINE):
        pytest.skip("pip cannot build the plugin without a package index")
    assert done.returncode == 0, done.stderr
    return target


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with the plugin on the path."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "MLLINT_BIO_CACHE_DIR": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "mllint_bio", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_rule_of_a_plugin_is_listed_with_its_origin(installed: Path, tmp_path: Path) -> None:
    """A plugin's rule has a page and says which package it comes from."""
    page = json.loads(run(installed, tmp_path, "rule", "unstratified-split", "--output-format", "json").stdout)
    assert (page["code"], page["origin"], page["tip"]) == ("LAB701", "lab-rules", 7)


def test_rule_of_a_plugin_is_selected_and_suppressed_like_any_other(installed: Path, tmp_path: Path) -> None:
    """Its findings come out of `check`, by prefix too, and comments hide them."""
    (tmp_path / "train.py").write_text(PROGRAM.format(comment=""))
    found = run(installed, tmp_path, "check", "--select", "LAB", "--output-format", "concise")
    assert found.stdout == "train.py:7:36: LAB701 [warning] train_test_split shuffles without stratifying\n"
    (tmp_path / "train.py").write_text(PROGRAM.format(comment="  # mllint-bio: ignore[unstratified-split] -- balanced"))
    hidden = run(installed, tmp_path, "check", "--select", "LAB,MLX", "--output-format", "concise")
    assert (hidden.stdout, hidden.returncode) == ("", 0)


def test_two_rules_with_one_code_are_refused(installed: Path, tmp_path: Path) -> None:
    """A plugin that takes a code of another package ends the command with one line that names both."""
    site = tmp_path / "site"
    (site / "clash-1.dist-info").mkdir(parents=True)
    (site / "clash-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: clash\nVersion: 1\n")
    (site / "clash-1.dist-info" / "entry_points.txt").write_text("[mllint_bio.rules]\nzz = clash\n")
    (site / "clash.py").write_text("from lab_rules import UnstratifiedSplit\nclass Clash(UnstratifiedSplit):\n    pass\n")
    environment_path = Path(f"{site}{os.pathsep}{installed}")
    refused = run(environment_path, tmp_path, "rules")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "LAB701" in refused.stderr and "clash" in refused.stderr and "lab-rules" in refused.stderr
