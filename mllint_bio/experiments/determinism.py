"""Determinism: on CUDA, operations without a deterministic kernel and what determinism costs; on a CPU, what the number of
threads does to the figures. All runs have forced seeds, so that only the order of floating-point sums can differ.
"""

from __future__ import annotations

import math
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mllint_bio.experiments.differences import Comparison, compare, losses
from mllint_bio.experiments.repeat import nothing_to_compare, plain, plots, the_metric
from mllint_bio.experiments.results import Result, Table
from mllint_bio.experiments.seeded_repeat import seeded
from mllint_bio.experiments.spending import grant, trouble, usable, why_not
from mllint_bio.experiments.study import Study
from mllint_bio.experiments.words import attempt, number
from mllint_bio.observe.job import Job, Outcome

MOST_TIMED = 3  # timed runs of each kind
MOST_THREADS = 8
MOST_OPERATIONS = 5  # named in the verdict; the table has all
NOT_CUDA = "No CUDA device was used, so whether its kernels are deterministic was not reached."


class Determinism:
    """Deterministic algorithms on CUDA, thread counts on a CPU."""

    name = "determinism"
    title = "Determinism"

    def applies(self, study: Study) -> str:
        """Empty unless the program did nothing that could be compared."""
        return nothing_to_compare(study)

    def run(self, study: Study) -> list[Result]:
        """One result."""
        on_cuda = study.device == "cuda" and used_cuda(study.first)
        return attempt(self, study, lambda: self._on_cuda(study) if on_cuda else self._on_cpu(study))

    # -- CUDA ----------------------------------------------------------------------------------------------------------

    def _on_cuda(self, study: Study) -> Result:
        timed = min(MOST_TIMED, max(1, study.budget.repeats))
        allowed = grant(study, 4 + 2 * timed, least=4)
        if not allowed.runs:
            return Result(self.name, self.title, "skipped", reason=allowed.note)
        study.progress("determinism: two runs as they are, two with deterministic algorithms")
        free = study.run([seeded(study, k) for k in range(2)])
        strict = study.run([seeded(study, k, deterministic=True) for k in range(2)])
        if len(usable([*free, *strict])) < 4:
            return Result(self.name, self.title, "failed", reason=why_not([*free, *strict]))
        as_is, forced = compare(free), compare(strict)
        found = operations(strict)
        times = self._times(study, (allowed.runs - 4) // 2)
        figure, values = the_metric(study, [*free, *strict])
        ratio = _ratio(times)
        sentences = [
            _of_pair("Two runs with equal seeds", as_is),
            _of_pair("Two runs with deterministic algorithms", forced),
            _of_operations(found),
            _of_loss(free[0], strict[0]),
            f"Determinism makes the program {ratio:.2f} times as slow (median of {len(times['plain'])} runs of each, "
            f"{number(statistics.median(times['deterministic']))} s and {number(statistics.median(times['plain']))} s)."
            if ratio is not None
            else "",
            trouble([*free, *strict]),
            allowed.note,
        ]
        return Result(
            self.name,
            self.title,
            "done",
            verdict=" ".join(sentence for sentence in sentences if sentence),
            figures=plain(as_is, figure, values, free[0])
            | {
                "device": "cuda",
                "hardware": hardware(study.first),
                "identical_when_deterministic": forced.identical,
                "operations": [{"name": name, "line": line, "runs": runs} for (name, line), runs in found.items()],
                "slowdown": ratio,
                "seconds": times,
                "loss_difference": loss_difference(free[0], strict[0]),
            },
            tables=_table(found),
            plots=plots(
                self.title,
                [free[0], free[1], strict[0]],
                figure,
                values[:3],
                ["as it is", "as it is, again", "deterministic algorithms"],
            ),
            runs=4 + len(times["plain"]) + len(times["deterministic"]),
        )

    def _times(self, study: Study, timed: int) -> dict[str, list[float]]:
        """Seconds of runs without recording of parameters, one at a time and in turn, so that nothing else is measured."""
        times: dict[str, list[float]] = {"plain": [], "deterministic": []}
        for k in range(timed):
            for name, deterministic in (("plain", False), ("deterministic", True)):
                study.progress(f"determinism: timing, run {k + 1} of {timed}, {name}")
                job = seeded(study, k + 10, deterministic=deterministic, fingerprints=False, capture=False)
                times[name] += [outcome.seconds for outcome in study.run([job]) if outcome.finished]
        return times

    # -- CPU -----------------------------------------------------------------------------------------------------------

    def _on_cpu(self, study: Study) -> Result:
        counts = thread_counts(os.cpu_count() or 1)
        allowed = grant(study, len(counts) + 1, least=3)
        if not allowed.runs:
            return Result(self.name, self.title, "skipped", reason=allowed.note)
        counts = counts[: allowed.runs - 1]
        study.progress(f"determinism: runs with {_listed(counts)} threads")
        sent = [_with_threads(study, 0, 1), *(_with_threads(study, 1, n) for n in counts)]
        outcomes = study.run(sent)
        if len(usable(outcomes)) < len(outcomes):
            return Result(self.name, self.title, "failed", reason=why_not(outcomes), runs=len(usable(outcomes)))
        control, own = compare(outcomes[:2]), outcomes[1:]
        comparison = compare(own)
        figure, values = the_metric(study, own)
        difference = loss_difference(own[0], own[-1])
        sentences = [
            self._of_threads(counts, control, comparison),
            _of_sizes(difference) if not comparison.identical and control.identical else "",
            f"The {figure.name} is {_listed([number(value) for value in values])}."
            if figure is not None and len(values) == len(counts)
            else "",
            trouble(outcomes),
            NOT_CUDA,
            allowed.note,
        ]
        return Result(
            self.name,
            self.title,
            "done",
            verdict=" ".join(sentence for sentence in sentences if sentence),
            figures=plain(comparison, figure, values, own[0])
            | {
                "device": "cpu",
                "cuda": "not reached",
                "threads": counts,
                "identical_with_one_thread": control.identical,
                "loss_difference": difference,
            },
            plots=plots(self.title, own, figure, values, [f"{n} thread{'s' if n > 1 else ''}" for n in counts]),
            runs=len(outcomes),
        )

    @staticmethod
    def _of_threads(counts: Sequence[int], control: Comparison, comparison: Comparison) -> str:
        if not control.identical:
            assert control.first is not None
            return (
                f"Two runs with equal seeds and one thread differ already ({control.first.words}), "
                "so what the number of threads does cannot be told apart from it."
            )
        if comparison.identical:
            return f"With {_listed(counts)} threads the runs are identical bit for bit ({comparison.seen})."
        assert comparison.first is not None
        return f"The number of threads ({_listed(counts)}) changes the result: {comparison.first.words}."


def thread_counts(cores: int) -> list[int]:
    """1, 2 and as many threads as there are cores, up to a bound."""
    return sorted({1, 2, min(max(cores, 2), MOST_THREADS)})


def used_cuda(outcome: Outcome) -> bool:
    """Whether the run used a CUDA device."""
    return any(figure.get("what") == "device" and figure.get("cuda") for figure in outcome.log.figures)


def hardware(outcome: Outcome) -> str:
    """Name of the device that the run used, as it was recorded."""
    return next((str(f.get("name", "")) for f in outcome.log.figures if f.get("what") == "device"), "")


def operations(outcomes: Sequence[Outcome]) -> Counter[tuple[str, str]]:
    """Operations without a deterministic kernel, by name and call site; in how many runs each was met."""
    found: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        own = set()
        for figure in outcome.log.figures:
            if figure.get("what") == "operation":
                line = figure.get("line") or ("", 0)
                own.add((str(figure.get("name", "")), f"{line[0]}:{line[1]}" if line[0] else ""))
        found.update(own)
    return found


def loss_difference(one: Outcome, other: Outcome) -> dict[str, Any] | None:
    """First step (from 1) at which the losses of two runs differ, the difference there and at the end; None without losses."""
    steps, first = losses(one.log)
    _, second = losses(other.log)
    pairs = list(zip(steps, first, second, strict=False))
    if not pairs:
        return None
    differing = [(step, abs(a - b)) for step, a, b in pairs if a != b and not (math.isnan(a) and math.isnan(b))]
    return {
        "step": int(differing[0][0]) if differing else None,
        "size": differing[0][1] if differing else 0.0,
        "last": abs(pairs[-1][1] - pairs[-1][2]),
        "steps": len(pairs),
    }


def _with_threads(study: Study, repeat: int, threads: int) -> Job:
    return seeded(study, repeat, threads=threads)


def _ratio(times: dict[str, list[float]]) -> float | None:
    if not times["plain"] or not times["deterministic"]:
        return None
    plain_time = statistics.median(times["plain"])
    return statistics.median(times["deterministic"]) / plain_time if plain_time > 0 else None


def _of_pair(runs: str, comparison: Comparison) -> str:
    if comparison.identical:
        return f"{runs} are identical bit for bit ({comparison.seen})."
    assert comparison.first is not None
    return f"{runs} differ: {comparison.first.words}."


def _of_operations(found: Counter[tuple[str, str]]) -> str:
    if not found:
        return "No operation without a deterministic kernel was met."
    named = [f"{name}{f' ({line})' if line else ''}" for name, line in found][:MOST_OPERATIONS]
    more = f" and {len(found) - len(named)} more" if len(found) > len(named) else ""
    return f"Without a deterministic kernel: {', '.join(named)}{more}."


def _of_loss(one: Outcome, other: Outcome) -> str:
    difference = loss_difference(one, other)
    if difference is None:
        return ""
    if difference["step"] is None:
        return "The losses are the same with and without deterministic algorithms."
    return "With and without deterministic algorithms: " + _of_sizes(difference)[0].lower() + _of_sizes(difference)[1:]


def _of_sizes(difference: dict[str, Any] | None) -> str:
    if difference is None or difference["step"] is None:
        return ""
    return (
        f"The losses part at step {difference['step']} by {difference['size']:.1e} "
        f"and are {difference['last']:.1e} apart after {difference['steps']} losses."
    )


def _table(found: Counter[tuple[str, str]]) -> tuple[Table, ...]:
    if not found:
        return ()
    rows = tuple((name, line, runs) for (name, line), runs in found.items())
    return (Table("Operations without a deterministic kernel", ("operation", "called at", "runs that met it"), rows),)


def _listed(values: Sequence[Any]) -> str:
    texts = [str(value) for value in values]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)
