"""Repeat: the same command again and again, in fresh processes, and the first thing in which the runs differ.

Every run has another `PYTHONHASHSEED`, as runs have that nobody takes care of, unless the environment sets one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mllint_bio.experiments import metric
from mllint_bio.experiments.differences import Comparison, compare, draws, losses, spread
from mllint_bio.experiments.metric import Figure
from mllint_bio.experiments.results import Plot, Result, Series, Table
from mllint_bio.experiments.spending import grant, trouble, usable, why_not
from mllint_bio.experiments.study import Study
from mllint_bio.experiments.words import attempt, number
from mllint_bio.observe.job import Job, Outcome

MOST_POINTS = 500  # of one curve in a plot


class Repeat:
    """The same command several times: identical bit for bit, or the first difference and the spread of the test metric."""

    name = "repeat"
    title = "Repeats of the same command"

    def applies(self, study: Study) -> str:
        """Empty unless the program did nothing that could be compared."""
        return nothing_to_compare(study)

    def run(self, study: Study) -> list[Result]:
        """One result."""
        return attempt(self, study, lambda: self._measure(study))

    def _measure(self, study: Study) -> Result:
        allowed = grant(study, study.budget.repeats)
        if not allowed.runs:
            return Result(self.name, self.title, "skipped", reason=allowed.note)
        study.progress(f"repeat: {allowed.runs} runs of the same command")
        outcomes = study.run(jobs(study, allowed.runs))
        return told(self.name, self.title, study, outcomes, f"{len(usable(outcomes))} runs of the same command", allowed.note)


def jobs(study: Study, runs: int, edits: tuple[tuple[str, str], ...] = ()) -> list[Job]:
    """The plain command several times, with what is needed to compare the runs. edits: of the program, if a mended one is run."""
    own = os.environ.get("PYTHONHASHSEED", "")
    return [
        replace(
            study.job,
            repeat=k + 1,
            controls=replace(
                study.job.controls,
                hash_seed=int(own) if own.isdigit() else k + 1,
                fingerprints=True,
                capture=True,
                edits=edits,
            ),
        )
        for k in range(runs)
    ]


def nothing_to_compare(study: Study) -> str:
    """Why runs of this program cannot be compared, empty if they can."""
    log = study.first.log
    if any(True for _ in log.of("Split", "Fit", "Score", "Step")) or any(f.get("what") == "loss" for f in log.figures):
        return ""
    if not study.first.finished:
        return f"the program ended before it split, trained or scored anything ({study.first.reason or study.first.status.value})"
    return "" if study.first.output.strip() else "the program split, trained, scored and printed nothing that was observed"


def told(name: str, title: str, study: Study, outcomes: Sequence[Outcome], runs: str, *notes: str) -> Result:
    """The result of a comparison of runs. runs: what was run, as the subject of the sentence; notes: further sentences."""
    ran = usable(outcomes)
    if len(ran) < 2:
        return Result(name, title, "failed", reason=why_not(outcomes), runs=len(ran))
    comparison = compare(ran)
    if comparison.identical and not comparison.seen:
        reason = f"no run came as far as something that can be compared ({ran[0].reason or ran[0].status.value})"
        return Result(name, title, "failed", reason=reason, runs=len(ran))
    figure, values = the_metric(study, ran)
    rounding = not comparison.identical and compare(ran, rounded=True).identical
    said = f"{runs} agree to within rounding ({comparison.seen})." if rounding else verdict(comparison, runs)
    sentences = [said, trouble(ran), metric_sentence(comparison, figure, values), *notes]
    return Result(
        name,
        title,
        "done",
        verdict=" ".join(sentence for sentence in sentences if sentence),
        figures=plain(comparison, figure, values, ran[0]) | {"rounding_only": rounding},
        tables=tables(figure, values),
        plots=plots(title, ran, figure, values),
        runs=len(ran),
    )


def the_metric(study: Study, outcomes: Sequence[Outcome]) -> tuple[Figure | None, list[float]]:
    """The reported test metric and its value in each run that computed it."""
    figure = metric.reported(study)
    if figure is None:
        return None, []
    return figure, [same.value for outcome in outcomes if (same := metric.again(figure, outcome)) is not None]


def verdict(comparison: Comparison, runs: str) -> str:
    """Whether the runs are the same, or the first difference."""
    if comparison.identical:
        return f"{runs} are identical bit for bit on this machine ({comparison.seen})."
    assert comparison.first is not None
    return f"{runs} differ: {comparison.first.words}."


def metric_sentence(comparison: Comparison, figure: Figure | None, values: Sequence[float]) -> str:
    """The spread of the test metric; empty if there is none."""
    if figure is None or not values:
        return ""
    at = f" ({figure.place})" if figure.place else ""
    seen = spread(values)
    if len(set(values)) == 1:
        first = comparison.first
        last = "last " if first is not None and first.what == "score" and first.line == figure.place else ""
        return f"The {last}{figure.name} is {number(values[0])}{at}{'' if comparison.identical else ' in all of them'}."
    return (
        f"The {figure.name}{at} lies between {number(seen['min'])} and {number(seen['max'])} "
        f"(standard deviation {number(seen['sd'])}, {len(values)} runs)."
    )


def plain(comparison: Comparison, figure: Figure | None, values: Sequence[float], first: Outcome) -> dict[str, Any]:
    """The figures of a comparison, for JSON and for verdicts."""
    measured = None
    if figure is not None:
        measured = {"name": figure.name, "line": figure.place, "direction": figure.direction} | spread(values)
    return {
        "identical": comparison.identical,
        "runs": comparison.runs,
        "first_difference": comparison.first.plain() if comparison.first is not None else None,
        "metric": measured,
        "streams": draws(first.log),
        "same_split": comparison.same_split,
        "same_predictions": comparison.same_predictions,
        "per_line": comparison.per_line,
        "compared": comparison.counts,
    }


def tables(figure: Figure | None, values: Sequence[float]) -> tuple[Table, ...]:
    """The test metric of each run."""
    if figure is None or not values:
        return ()
    return (Table(f"{figure.name} of each run", ("run", figure.name), tuple((k + 1, value) for k, value in enumerate(values))),)


def plots(
    title: str, outcomes: Sequence[Outcome], figure: Figure | None, values: Sequence[float], names: Sequence[str] = ()
) -> tuple[Plot, ...]:
    """Loss curves of the runs if they have any, else the test metric of each run. names: of the runs."""
    names = names or [f"run {k + 1}" for k in range(len(outcomes))]
    curves = []
    for name, outcome in zip(names, outcomes, strict=True):
        steps, values_of = losses(outcome.log)
        if values_of:
            thin = -(-len(values_of) // MOST_POINTS)
            curves.append(Series(name, tuple(values_of[::thin]), tuple(steps[::thin])))
    if curves:
        return (Plot("curves", f"{title}: loss", "optimizer step", "loss", tuple(curves)),)
    if figure is None or len(set(values)) < 2:
        return ()
    bars = Series(figure.name, tuple(values), labels=tuple(names[: len(values)]))
    return (Plot("bars", f"{title}: {figure.name}", "run", figure.name, (bars,)),)
