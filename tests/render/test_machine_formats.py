"""The concise and JSON formats, problems and statistics."""

from __future__ import annotations

import json as decoder
from dataclasses import replace

from mllint_bio.render.concise import concise
from mllint_bio.render.json import json
from mllint_bio.render.problems import problems
from mllint_bio.render.statistics import statistics
from mllint_bio.sources import Problem
from tests.render.samples import report


def test_concise_is_one_line_a_finding() -> None:
    """Files are given as path:row:column, notebooks with the cell, and line breaks in messages do not break lines."""
    found = report()
    broken = replace(found, diagnostics=(found.diagnostics[0], replace(found.diagnostics[1], message="two\nlines")))
    assert concise(broken) == (
        "nb.ipynb:cell 3:3:1: MLB701[resubstitution] [error] the score is of the rows that the model was fitted on\n"
        "train.py:3:5: MLB706 [warning] two lines\n"
    )


def test_json_is_the_documented_array() -> None:
    """Each finding has exactly the documented keys; rows count inside the cell; the end column is exclusive."""
    first, second = decoder.loads(json(report()))
    keys = "code name severity confidence message filename cell location end_location evidence fix url"
    assert list(first) == keys.split()
    assert (first["filename"], first["cell"], first["location"], first["end_location"]) == (
        "nb.ipynb",
        3,
        {"row": 3, "column": 1},
        {"row": 3, "column": 16},
    )
    assert first["evidence"][1] == {
        "message": "same rows",
        "filename": "train.py",
        "cell": None,
        "location": {"row": 3, "column": 1},
    }
    assert (first["severity"], first["confidence"], first["fix"], first["url"]) == ("error", "likely", None, None)
    assert second["fix"] == {"message": "fit the scaler on the training rows", "edits": []}


def test_json_is_ascii() -> None:
    """Any message survives any terminal encoding, lone surrogates included."""
    found = report()
    odd = replace(found, diagnostics=(replace(found.diagnostics[0], message="Ω \udc80"),))
    assert json(odd).isascii()
    assert decoder.loads(json(odd))[0]["message"] == "Ω \udc80"


def test_json_of_nothing_is_an_empty_array() -> None:
    """No findings make an empty array, not an empty output."""
    assert decoder.loads(json(replace(report(), diagnostics=()))) == []


def test_problems_are_one_line_each() -> None:
    """A problem is `path:row:col: error: message`, with the cell for notebooks."""
    printed = problems([Problem("a.py", 2, 1, "invalid\nsyntax"), Problem("b.ipynb", 1, 4, "bad cell", cell=2)])
    assert printed == "a.py:2:1: error: invalid syntax\nb.ipynb:cell 2:1:4: error: bad cell\n"


def test_statistics_count_by_rule() -> None:
    """Rules are counted, most frequent first."""
    found = report()
    twice = replace(found, diagnostics=(*found.diagnostics, found.diagnostics[1]))
    assert (
        statistics(twice)
        == "2  MLB706  transform-fitted-before-split  [warning]\n1  MLB701  evaluated-on-training-data  [error]\n"
    )
