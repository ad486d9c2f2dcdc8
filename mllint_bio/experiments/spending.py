"""How many runs an experiment may ask for, from what the first run took and what the budget leaves, and how that is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mllint_bio.experiments.study import Study
from mllint_bio.observe.job import Outcome, Status

START = 2.0  # seconds that starting a process and copying the project take, at least
SLOWER = 1.2  # recording parameters and arrays makes a run slower than the first one


@dataclass(frozen=True)
class Grant:
    """runs: how many may be asked for, 0 if fewer than are needed fit; note: a sentence if that is fewer than were wanted."""

    runs: int
    note: str = ""


def grant(study: Study, wanted: int, least: int = 2) -> Grant:
    """As many of the wanted runs as fit into the budget. Runs one after the other are assumed: what runs at the same time is a
    gain that is not counted on."""
    each = study.first.seconds * SLOWER + START
    fitting = int(study.budget.seconds // each)
    if fitting >= wanted:
        return Grant(wanted)
    takes = f"a run takes about {each:,.0f} s, and {study.budget.seconds:,.0f} s may be spent"
    if fitting < least:
        return Grant(0, f"{takes}: {least} runs are needed")
    return Grant(fitting, f"Cut down from {wanted} to {fitting} runs: {takes}.")


def usable(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes of programs that ran, at least for a while."""
    return [outcome for outcome in outcomes if outcome.status is not Status.NOT_STARTED]


def why_not(outcomes: Sequence[Outcome]) -> str:
    """The reason why runs did not start, of the first one that has one."""
    return next((one.reason for one in outcomes if one.status is Status.NOT_STARTED and one.reason), "the runs did not start")


def trouble(outcomes: Sequence[Outcome]) -> str:
    """A sentence on runs that did not end as they should; empty if all did."""
    failed = [outcome for outcome in outcomes if not outcome.finished]
    if not failed:
        return ""
    which = "Every run" if len(failed) == len(outcomes) else f"{len(failed)} of {len(outcomes)} runs"
    return f"{which} ended early ({failed[0].reason or failed[0].status.value}); what all of them reached is compared."
