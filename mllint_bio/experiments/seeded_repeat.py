"""Seeded repeat: all generators forced to one seed, and what stays random then.

Where runs with forced seeds are still not the same, further pairs of runs take away one source each: the order of threads (one
thread), CUDA kernels (deterministic algorithms). Where they are the same, runs with other hash seeds show whether the
order of sets and dictionaries of texts reaches the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mllint_bio.experiments.differences import compare
from mllint_bio.experiments.repeat import nothing_to_compare, told
from mllint_bio.experiments.results import Result
from mllint_bio.experiments.spending import grant, usable
from mllint_bio.experiments.study import Study
from mllint_bio.experiments.words import attempt
from mllint_bio.observe.job import Job, Outcome

REST = "the clock, the order of files in a folder, entropy of the system, or a generator that no seed reaches"


class SeededRepeat:
    """The command with forced seeds, several times: identical, or what stays random."""

    name = "seeded-repeat"
    title = "Repeats with all generators seeded"

    def applies(self, study: Study) -> str:
        """Empty unless the program did nothing that could be compared."""
        return nothing_to_compare(study)

    def run(self, study: Study) -> list[Result]:
        """One result."""
        return attempt(self, study, lambda: self._measure(study))

    def _measure(self, study: Study) -> Result:
        wanted = max(2, min(3, study.budget.repeats))
        allowed = grant(study, wanted + 2)
        if not allowed.runs:
            return Result(self.name, self.title, "skipped", reason=allowed.note)
        first = min(wanted, allowed.runs)
        study.progress(f"seeded repeat: {first} runs with all generators seeded")
        outcomes = study.run([seeded(study, k) for k in range(first)])
        runs = f"{len(usable(outcomes))} runs with every generator seeded"
        further = allowed.runs - first if len(usable(outcomes)) > 1 else 0
        remaining: list[str] = []
        sentence, extra = "", 0
        if further >= 1:
            remaining, sentence, extra = _what_stays(study, usable(outcomes), further)
        result = told(self.name, self.title, study, outcomes, runs, sentence, allowed.note)
        return replace(result, figures=result.figures | {"remaining": remaining}, runs=result.runs + extra)


def seeded(study: Study, repeat: int, **controls: Any) -> Job:
    """The command with all generators seeded. controls: what else is changed."""
    changed = {"seed": 0, "hash_seed": 0, "fingerprints": True, "capture": True} | controls
    return replace(study.job, repeat=repeat + 1, controls=replace(study.job.controls, **changed))


def _what_stays(study: Study, outcomes: Sequence[Outcome], further: int) -> tuple[list[str], str, int]:
    """Sources of randomness that seeds do not reach, the sentence on them, and how many runs it took to find them."""
    if compare(outcomes).identical:
        study.progress("seeded repeat: another hash seed")
        others = usable(study.run([seeded(study, 0, hash_seed=k + 1) for k in range(min(further, 2))]))
        seen = compare([outcomes[0], *others]) if others else None
        if seen is None or seen.identical:
            return [], "Other hash seeds change nothing." if others else "", len(others)
        assert seen.first is not None
        return (
            ["hash order"],
            f"With another hash seed they are not: {seen.first.words}. The order of a set of texts reaches the result.",
            len(others),
        )
    spent = 0
    ruled_out = []
    for name, words, controls in _sources(study):
        if spent + 2 > further:
            break
        study.progress(f"seeded repeat: without {words}")
        pair = usable(study.run([seeded(study, k, **controls) for k in range(2)]))
        spent += len(pair)
        if len(pair) == 2 and compare(pair).identical:
            return [name], f"They are identical without {words}: that is what stays random.", spent
        ruled_out.append(words)
    sentence = f"Taking away {' or '.join(ruled_out)} does not make them identical: what is left is {REST}." if ruled_out else ""
    return ["unexplained"], sentence, spent


def _sources(study: Study) -> list[tuple[str, str, dict[str, Any]]]:
    found: list[tuple[str, str, dict[str, Any]]] = [("thread order", "several threads", {"threads": 1})]
    if study.device == "cuda":
        found.insert(0, ("CUDA kernels", "non-deterministic CUDA kernels", {"deterministic": True}))
    return found
