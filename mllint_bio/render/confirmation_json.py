"""What `confirm` concluded, for programs: one object, pure ASCII, described in docs/confirm.md. Numbers that JSON does not have
(not a number, infinite) are null."""

from __future__ import annotations

import json as encoder
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from mllint_bio.experiments.results import Confirmation, Judgement, Result, Verdict
from mllint_bio.render.json import finding

FORMAT = 1  # raised when a key changes its meaning or goes; keys may be added at any time


def confirmation_json(confirmation: Confirmation) -> str:
    """The report as one object."""
    counts = Counter(judgement.verdict for judgement in confirmation.judgements)
    record = {
        "format": FORMAT,
        "command": confirmation.command,
        "run": {"status": confirmation.status, "reason": confirmation.reason or None, "seconds": confirmation.seconds},
        "environment": confirmation.environment,
        "summary": {
            **{verdict.value.replace(" ", "_"): counts[verdict] for verdict in Verdict},
            "runs": 1 + sum(result.runs for result in confirmation.results),
            "seconds": confirmation.seconds + sum(result.seconds for result in confirmation.results),
            "intervals": confirmation.intervals,
        },
        "findings": [{**finding(one.finding), "confirmation": verdict(one)} for one in confirmation.judgements],
        "experiments": [_result(result) for result in confirmation.results],
        "scores": [
            {"metric": metric, "value": value, "place": place, "held_out": held_out}
            for metric, value, place, held_out in confirmation.scores
        ],
        "refusals": confirmation.refusals,
        "notes": confirmation.notes,
    }
    return encoder.dumps(plain(record), indent=2, allow_nan=False) + "\n"


def verdict(judgement: Judgement) -> dict[str, Any]:
    """What a finding's key `confirmation` holds."""
    return {
        "verdict": judgement.verdict.value,
        "figure": judgement.figure,
        "effect": judgement.effect or None,
        "measured": plain(judgement.measured),
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "title": result.title,
        "status": result.status,
        "verdict": result.verdict or None,
        "reason": result.reason or None,
        "code": result.code or None,
        "place": result.place or None,
        "runs": result.runs,
        "seconds": result.seconds,
        "figures": result.figures,
        "tables": result.tables,
        "plots": result.plots,
    }


def plain(value: Any) -> Any:
    """A value as JSON knows it: records and mappings as objects, sequences as arrays, numbers of any library as numbers."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [plain(item) for item in sorted(value, key=repr)]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "tolist"):  # arrays and scalars of numpy and torch
        return plain(value.tolist())
    return str(value)
