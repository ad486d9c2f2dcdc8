"""Run `confirm` on runnable fixtures and compare its verdicts with `expected.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from mllint_bio.experiments.confirm import confirm
from mllint_bio.experiments.options import ConfirmOptions
from mllint_bio.experiments.results import Confirmation, Verdict
from mllint_bio.findings import Severity
from mllint_bio.observe.job import Command, Limits

RUNNABLE = Path(__file__).parents[2] / "fixtures" / "runnable"
TOLD = (Verdict.CONFIRMED, Verdict.OBSERVED)
BY_REPEAT = ("MLB301", "MLB302", "MLB303", "MLB304", "MLB309", "MLB605")


@dataclass(frozen=True)
class Outcome:
    """What `confirm` said of one program. right: as expected; said: the verdict on the planted fault (`clean` for a repaired
    program without accusation); figure: what it rests on; accused: other faults of severity warning or above that it told."""

    name: str
    which: str
    expected: str
    right: bool
    said: str
    figure: str
    accused: tuple[str, ...]


def expected() -> dict[str, dict[str, Any]]:
    """The table of `expected.toml`, by folder."""
    return tomli.loads((RUNNABLE / "expected.toml").read_text(encoding="utf-8"))


def measure(name: str, which: str, entry: dict[str, Any]) -> Outcome:
    """Confirm `faulty` or `repaired` of a folder; only the repeat experiment is done, where the verdict rests on it."""
    folder = str(RUNNABLE / name)
    command = Command(entry["kind"], entry[which], (), folder, folder)
    wanted = ("repeat",) if which == "faulty" and entry["code"] in BY_REPEAT else ()
    said = confirm(command, ConfirmOptions(limits=Limits(seconds=200), repeats=2, experiments=wanted, fresh=True))
    return judge(name, which, entry, said)


def judge(name: str, which: str, entry: dict[str, Any], said: Confirmation) -> Outcome:
    """Compare with what is expected."""
    also = {entry["code"], *(one["code"] for one in entry.get("also", ()))} if which == "faulty" else set()
    accused = tuple(
        f"{one.finding.label} line {one.finding.place.row}: {one.figure}"
        for one in said.judgements
        if one.verdict in TOLD and one.finding.severity >= Severity.WARNING and one.finding.code not in also
    )
    if which == "repaired":
        return Outcome(name, which, "clean", not accused, "accused" if accused else "clean", "", accused)
    planted = [one for one in said.judgements if one.finding.code == entry["code"]]
    best = next((one for one in planted if one.verdict.value == entry["verdict"]), planted[0] if planted else None)
    verdict = best.verdict.value if best is not None else "silent"
    figure = best.figure if best is not None else said.reason
    return Outcome(name, which, entry["verdict"], verdict == entry["verdict"] and not accused, verdict, figure, accused)
