"""Places in what experiments say, as people know them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mllint_bio.experiments.results import Result, Table
from mllint_bio.experiments.shown import Shown
from mllint_bio.sources import load


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    """A project with a script in a folder, where the command is given, and a notebook of three cells."""
    (tmp_path / "train.py").write_text("x = 1\n")
    cells = [{"cell_type": "code", "source": text, "metadata": {}, "outputs": []} for text in ("x = 1", "y = 2\nz = 3", "x + y")]
    (tmp_path / "nb.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    script, notebook = load(tmp_path / "train.py", "train.py"), load(tmp_path / "nb.ipynb", "nb.ipynb")
    return Shown({"code/train.py": script, "code/nb.ipynb": notebook})


def test_a_file_is_named_from_where_the_command_was_given(shown: Shown) -> None:
    """As the findings name it."""
    assert shown.text("differs (code/train.py:1).") == "differs (train.py:1)."
    assert shown.text("at my/code/train.py:1, other.py:3, 12:30") == "at my/code/train.py:1, other.py:3, 12:30"


def test_a_row_of_a_notebook_is_told_by_its_cell(shown: Shown) -> None:
    """Nobody knows the rows of all cells together."""
    row = next(row for row in range(1, 9) if shown.place("code/nb.ipynb", row).endswith("cell 2:2"))
    assert shown.text(f"the accuracy differs (code/nb.ipynb:{row})") == "the accuracy differs (nb.ipynb:cell 2:2)"
    assert shown.text("nb.ipynb:cell 2:2:1") == "nb.ipynb:cell 2:2:1"


def test_all_texts_of_a_result_are_rewritten(shown: Shown) -> None:
    """Sentences, numbers for JSON and tables; what is no text stays."""
    table = Table("by place", ("place", "times"), (("code/train.py:1", 3),))
    made = shown.all(
        Result("repeat", "Repeat", "done", "code/train.py:1", figures={"line": ["code/train.py:1"]}, tables=(table,))
    )
    assert (made.verdict, made.figures, made.tables[0].rows) == ("train.py:1", {"line": ["train.py:1"]}, (("train.py:1", 3),))
