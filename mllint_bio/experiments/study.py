"""What an experiment is given (`Study`) and what it is (`Experiment`).

An experiment never starts processes itself: it hands jobs to `Study.run`, which sends them through an executor, keeps finished
outcomes by content key and counts them against the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mllint_bio.observe.job import Job, Outcome

if TYPE_CHECKING:
    from mllint_bio.diagnostics import Diagnostic
    from mllint_bio.experiments.results import Result
    from mllint_bio.sources import SourceUnit
    from mllint_bio.trace import Trace


@dataclass(frozen=True)
class Budget:
    """repeats: runs of one setting (2 or more); seconds: wall time that all experiments together may take; resamples: draws of a
    bootstrap."""

    repeats: int = 5
    seconds: float = 1800.0
    resamples: int = 2000


@dataclass(frozen=True)
class Study:
    """One program under study.

    job: the plain run, without controls; first: its outcome (observed with `capture`); trace: the observed trace of that run;
    findings: static findings of the program, at their places; units: source units of the project by path as in `Line`;
    run: runs jobs and gives their outcomes in the same order; budget: how much may be spent; device: cpu or cuda, as in effect;
    event_of: number of a record in the log of the first run -> id of the trace's event (`Observed.event_of`);
    decided_by: code of a rule -> what settles it (`Rule.confirmed_by`).
    """

    job: Job
    first: Outcome
    trace: Trace
    findings: Sequence[Diagnostic]
    units: dict[str, SourceUnit]
    run: Callable[[Sequence[Job]], list[Outcome]]
    budget: Budget = field(default_factory=Budget)
    device: str = "cpu"
    progress: Callable[[str], None] = lambda text: None
    event_of: Mapping[int, int] = field(default_factory=dict)
    decided_by: Mapping[str, str] = field(default_factory=dict)

    def lines(self, finding: Diagnostic) -> frozenset[tuple[str, int]]:
        """Where a finding and its evidence are, as the log counts lines."""
        by_path = {unit.path: (path, unit) for path, unit in self.units.items()}
        places = [finding.place, *(place for _, place in finding.evidence)]
        return frozenset(
            (by_path[place.path][0], by_path[place.path][1].line_index(place.start) + 1)
            for place in places
            if place.path in by_path
        )


class Experiment(Protocol):
    """One experiment; a module `mllint_bio.experiments.<name>` has one class that satisfies this."""

    name: str  # as in --experiments
    title: str

    def applies(self, study: Study) -> str:
        """Empty if the experiment has something to measure in this program, else the reason why not, for people."""
        ...

    def run(self, study: Study) -> list[Result]:
        """Run it. One result, or one per finding (counterfactual). Never raises for what a program may do."""
        ...
