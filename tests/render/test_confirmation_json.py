"""What `confirm` concluded, for programs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mllint_bio.experiments.results import Confirmation, Interval, Judgement, Result, Verdict
from mllint_bio.render.confirmation_json import confirmation_json, plain
from tests.render.confirmation_samples import LEAK, sample


def strict(text: str) -> Any:
    """Parsed JSON; NaN and Infinity, which Python writes by default, are errors."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_keys_are_those_of_the_documentation() -> None:
    """The object and its parts have the documented keys, no more and no less."""
    record = strict(confirmation_json(sample()))
    assert list(record) == [
        "format", "command", "run", "environment", "summary", "findings", "experiments", "scores", "refusals", "notes",
    ]  # fmt: skip
    assert list(record["run"]) == ["status", "reason", "seconds"]
    assert record["summary"] == {
        "confirmed": 2, "refuted": 1, "not_reached": 1, "observed": 1,
        "runs": 36, "seconds": pytest.approx(111.1), "intervals": 3,
    }  # fmt: skip
    assert list(record["experiments"][0]) == [
        "name", "title", "status", "verdict", "reason", "code", "place", "runs", "seconds", "figures", "tables", "plots",
    ]  # fmt: skip
    assert record["scores"][0] == {"metric": "accuracy", "value": 0.9737, "place": "train.py:13:7", "held_out": True}
    page = (Path(__file__).parents[2] / "docs" / "confirm.md").read_text(encoding="utf-8")
    undocumented = {key for part in (record, record["run"], record["summary"], *record["experiments"]) for key in part}
    assert {key for key in undocumented if f"`{key}`" not in page} == set()


def test_findings_are_those_of_check_with_a_verdict() -> None:
    """A finding has the place and keys of `check --output-format json`, and the key `confirmation` besides."""
    finding = strict(confirmation_json(sample()))["findings"][0]
    assert (finding["code"], finding["filename"], finding["location"]) == ("MLB706", "train.py", {"row": 9, "column": 5})
    assert finding["confirmation"] == {
        "verdict": "confirmed",
        "figure": "StandardScaler.fit saw 569 rows, 114 of them are the rows scored at line 13.",
        "effect": "With the fix the accuracy is 0.956 instead of 0.974 (difference −0.018, 95 % interval −0.035 to −0.004).",
        "measured": {"fitted": 569, "scored": 114, "shared": 114},
    }


def test_numbers_that_json_lacks_are_null() -> None:
    """A diverged loss does not make the file unreadable."""
    judgement = Judgement(LEAK, Verdict.OBSERVED, "", {"loss": math.nan, "curve": (1.0, math.inf), "by": {3: -math.inf}})
    record = strict(confirmation_json(Confirmation("p", "finished", judgements=(judgement,))))
    assert record["findings"][0]["confirmation"]["measured"] == {"loss": None, "curve": [1.0, None], "by": {"3": None}}


def test_records_and_foreign_values_become_plain() -> None:
    """Intervals are objects, verdicts their words, sets sorted lists, anything else its text."""
    assert plain({"i": Interval(0.5, 0.4, math.nan), "v": Verdict.NOT_REACHED, "s": {2, 1}, "p": Path("a")}) == {
        "i": {"estimate": 0.5, "low": 0.4, "high": None, "level": 0.95, "resamples": 0, "paired": True},
        "v": "not reached",
        "s": [1, 2],
        "p": "a",
    }


def test_numpy_values_become_numbers() -> None:
    """Scalars and arrays of numpy are numbers and lists, with null for what is not finite."""
    np = pytest.importorskip("numpy")
    values = {"a": np.float32(0.5), "b": np.array([1.0, np.nan]), "c": np.bool_(True), "d": np.int64(3)}
    record = strict(confirmation_json(Confirmation("p", "finished", results=(Result("x", "X", "done", figures=values),))))
    assert record["experiments"][0]["figures"] == {"a": 0.5, "b": [1.0, None], "c": True, "d": 3}


def test_output_is_ascii() -> None:
    """It survives any terminal encoding."""
    assert confirmation_json(sample()).isascii()
