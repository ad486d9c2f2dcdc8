"""Counterfactual: the program with a finding's fix applied, against the program as it is, with common seeds.

Seeds are common random numbers: run k of both programs has every generator forced to k, so that what differs is the fix. Where
both runs scored the same rows and their predictions are known, the interval is a paired bootstrap over these rows and over the
seeds (both are drawn in every draw: Owen, "The pigeonhole bootstrap", 2007); where other rows are scored it is a bootstrap of
both sides, and where no predictions are known it is Student's over the differences of the seeds. A fix that makes a program
repeatable has no effect to estimate: there the spread over plain repeats is compared with and without it.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mllint_bio.experiments import arrays, metric, repeat
from mllint_bio.experiments.arrays import Evaluation
from mllint_bio.experiments.differences import compare, spread
from mllint_bio.experiments.metric import Figure
from mllint_bio.experiments.metrics import Metric, Task
from mllint_bio.experiments.moved import Moved
from mllint_bio.experiments.results import Interval, Plot, Result, Series, Table
from mllint_bio.experiments.spending import SLOWER, START, usable, why_not
from mllint_bio.experiments.statistics import WORK, Sampling, bootstrap, mean_interval
from mllint_bio.experiments.study import Study
from mllint_bio.experiments.words import attempt, ends, number, plain, signed
from mllint_bio.observe.identity import SHIFT
from mllint_bio.observe.job import Job, Outcome

if TYPE_CHECKING:
    from mllint_bio.diagnostics import Diagnostic
    from mllint_bio.fix import Remedy

LEAST_DRAWS = 200


@dataclass(frozen=True)
class Fixed:
    """A finding with its fix. edits: (path relative to the root, new content of the file); texts: path -> unit's text before and
    after, in which lines are counted; near: lines that the finding names."""

    finding: Diagnostic
    remedy: Remedy
    edits: tuple[tuple[str, str], ...]
    texts: Mapping[str, tuple[str, str]]
    near: frozenset[tuple[str, int]]

    @property
    def moved(self) -> Moved:
        return Moved(self.texts)

    @property
    def difference(self) -> str:
        """The fix as a unified diff."""
        parts = []
        for path, (before, after) in self.texts.items():
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), path, path, n=1, lineterm="")
            parts.append("\n".join(lines))
        return "\n".join(parts)


@dataclass(frozen=True)
class Measured:
    """What a fix does to the test metric. before, after: its values by seed; interval: of the mean difference; basis: rows (the
    same in both), other rows, or seeds; rows: how many; same: all predictions are equal."""

    figure: Figure
    before: list[float]
    after: list[float]
    interval: Interval
    basis: str
    rows: int = 0
    same: bool = False


class Counterfactual:
    """Each finding with a mechanical fix: what the fix does to the test metric."""

    name = "counterfactual"
    title = "With the fix"

    def applies(self, study: Study) -> str:
        """Empty if there is a finding."""
        return "" if study.findings else "there is no finding to mend"

    def run(self, study: Study) -> list[Result]:
        """One result per finding, and in front of them one that looks at all together."""
        reason = self.applies(study)
        if reason:
            return [Result(self.name, self.title, "skipped", reason=reason)]
        chosen = [(finding, fix_of(study, finding)) for finding in study.findings]
        fixes = [fixed for _, fixed in chosen if isinstance(fixed, Fixed) and not _in_vain(study, fixed)]
        plan = Plan.of(study, fixes)
        results = []
        for finding, fixed in chosen:
            if isinstance(fixed, str):
                result = Result(self.name, self.title, "skipped", reason=fixed)
            elif reason := _in_vain(study, fixed):
                result = Result(self.name, self.title, "skipped", reason=reason)
            elif not plan.admits(fixed):
                result = Result(self.name, self.title, "skipped", reason=plan.note)
            else:
                result = attempt(self, study, lambda fixed=fixed: self._try(study, fixed, plan))[0]  # type: ignore[misc]
            results.append(replace(result, code=finding.code, place=str(finding.place)))
        return [*self._together(results), *results]

    def _try(self, study: Study, fixed: Fixed, plan: Plan) -> Result:
        study.progress(f"with the fix: {fixed.finding.label}, {plan.seeds} runs")
        if fixed.remedy.rerun == "repeat":
            return self._repeatable(study, fixed, plan)
        outcomes = _pairs(study, fixed, plan.seeds)
        pairs = [(one, other) for one, other in outcomes if usable([one]) and one.status is other.status]
        runs = 2 * len(outcomes)
        if not pairs:
            return replace(self._broken(fixed, outcomes), runs=runs)
        measured = measure(study, fixed, pairs)
        if isinstance(measured, str):
            return Result(self.name, self.title, "skipped", reason=measured, runs=runs)
        sentence = effect(measured)
        apart = len(outcomes) - len(pairs)
        notes = [
            f"{apart} of {len(outcomes)} pairs of runs did not end alike." if apart else "",
            _early(pairs),
            plan.note,
        ]
        return Result(
            self.name,
            self.title,
            "done",
            verdict=" ".join(text for text in [sentence, *notes] if text),
            figures=_plain(fixed, measured),
            tables=_table(measured),
            runs=runs,
        )

    def _broken(self, fixed: Fixed, outcomes: Sequence[tuple[Outcome, Outcome]]) -> Result:
        """No pair of runs finished."""
        for own, mended in outcomes:
            if usable([own, mended]) == [own, mended] and not mended.finished:
                reason = mended.reason or mended.status.value
                return Result(self.name, self.title, "failed", reason=f"the program with the fix does not finish: {reason}")
        own = outcomes[0][0]
        reason = why_not([*outcomes[0]]) if own.finished else f"the program does not finish: {own.reason or own.status.value}"
        return Result(self.name, self.title, "failed", reason=reason)

    def _repeatable(self, study: Study, fixed: Fixed, plan: Plan) -> Result:
        """A fix that makes runs equal: plain repeats of both programs."""
        own = usable(study.run(repeat.jobs(study, plan.seeds)))
        mended = usable(study.run([_with(job, fixed) for job in repeat.jobs(study, plan.seeds)]))
        runs = len(own) + len(mended)
        if len(own) < 2 or len(mended) < 2:
            return Result(self.name, self.title, "failed", reason=why_not([*own, *mended]), runs=runs)
        failed = next((outcome for outcome in mended if not outcome.finished), None)
        if failed is not None and all(outcome.finished for outcome in own):
            return replace(self._broken(fixed, [(own[0], failed)]), runs=runs)
        before, after = compare(own), compare(mended)
        figure = metric.reported(study, fixed.near)
        values = _values(figure, own)
        new = [
            same.value for one in mended if figure is not None and (same := metric.again(figure, one, fixed.moved)) is not None
        ]
        what = "identical bit for bit" if after.identical else f"still not the same: {after.first.words if after.first else ''}"
        spreads = ""
        if figure is not None and values and new:
            spreads = f": the {_test(figure)} is {_range(new)} instead of {_range(values)}"
        sentence = f"With the fix {len(mended)} runs are {what}{spreads}."
        if before.identical:
            sentence += " They are without it, too, on this machine."
        return Result(
            self.name,
            self.title,
            "done",
            verdict=" ".join(text for text in [sentence, plan.note] if text),
            figures=_described(fixed)
            | {
                "basis": "repeats",
                "identical": {"before": before.identical, "after": after.identical},
                "metric": figure.name if figure is not None else None,
                "before": spread(values),
                "after": spread(new),
                "first_difference": after.first.plain() if after.first is not None else None,
                "intervals": 0,
            },
            runs=runs,
        )

    def _together(self, results: Sequence[Result]) -> list[Result]:
        """The intervals of all findings beside each other, if there are any."""
        told = [one for one in results if one.status == "done" and one.figures["intervals"]]
        if not told:
            return []
        away = [one for one in told if one.figures["measurable"]]
        if len(told) == 1:
            verdict = f"One interval was computed; it {'excludes' if away else 'holds'} zero."
        else:
            verdict = (
                f"{len(told)} intervals of 95 % were computed; {len(away)} exclude{'s' if len(away) == 1 else ''} zero. "
                "Of fixes without any effect, one in twenty does so by chance."
            )
        series = Series(
            "difference",
            tuple(one.figures["interval"]["estimate"] for one in told),
            low=tuple(one.figures["interval"]["low"] for one in told),
            high=tuple(one.figures["interval"]["high"] for one in told),
            labels=tuple(f"{one.code} {one.place} ({one.figures['metric']})" for one in told),
        )
        plot = Plot(
            "interval", "Change of the test metric with the fix", "difference", "", (series,), mark=0.0, mark_label="no change"
        )
        figures = {"told": len(told), "beside_zero": len(away)}
        return [Result(self.name, self.title, "done", verdict=verdict, figures=figures, plots=(plot,))]


@dataclass(frozen=True)
class Plan:
    """How many seeds are tried, and for which fixes, so that all fit into the budget."""

    seeds: int
    admitted: frozenset[tuple[tuple[str, str], ...]]
    note: str = ""

    @classmethod
    def of(cls, study: Study, fixes: Sequence[Fixed]) -> Plan:
        """As many seeds as the budget bears with all fixes; with one seed too many, fewer fixes, gravest findings first."""
        each = study.first.seconds * SLOWER + START
        fitting = int(study.budget.seconds // each)
        different = list(dict.fromkeys(one.edits for one in sorted(fixes, key=lambda one: -int(one.finding.severity))))
        wanted = study.budget.repeats
        seeds = min(wanted, fitting // (1 + len(different)))
        takes = f"a run takes about {each:,.0f} s, and {study.budget.seconds:,.0f} s may be spent"
        if seeds >= wanted:
            return cls(wanted, frozenset(different))
        if seeds >= 2:
            return cls(seeds, frozenset(different), f"Cut down from {wanted} to {seeds} seeds: {takes}.")
        bearable = max(fitting // 2 - 1, 0)
        note = f"{takes}: {bearable} of {len(different)} fixes could be tried."
        return cls(2, frozenset(different[:bearable]), note)

    def admits(self, fixed: Fixed) -> bool:
        """Whether this fix is tried."""
        return fixed.edits in self.admitted


def fix_of(study: Study, finding: Diagnostic) -> Fixed | str:
    """The finding's fix, or why there is none."""
    from mllint_bio.fix import apply, apply_to_notebook, fixes

    by_path = {unit.path: (path, unit) for path, unit in study.units.items()}
    known = by_path.get(finding.place.path)
    if known is None:
        return "its source is not at hand"
    units = {unit.path: unit for unit in study.units.values()}
    remedy = fixes(known[1], finding, units)
    if remedy is None:
        return "no mechanical fix is known that surely keeps what the program means"
    applied = apply(units, remedy.edits)
    if applied.refused or not applied:
        return next(iter(applied.refused.values()), "the fix changes nothing")
    edits, texts = [], {}
    for shown, text in applied.items():
        path, unit = by_path[shown]
        texts[path] = (unit.text, text)
        content = text
        if unit.cells:
            try:
                content = apply_to_notebook((Path(study.job.command.root) / path).read_text(encoding="utf-8"), unit, remedy.edits)
            except (OSError, ValueError) as error:
                return f"the notebook cannot be edited: {error}"
        edits.append((path, content))
    return Fixed(finding, remedy, tuple(edits), texts, study.lines(finding))


def _in_vain(study: Study, fixed: Fixed) -> str:
    """Why runs with and without this fix cannot differ here; empty if they can."""
    if study.device != "cuda" and study.decided_by.get(fixed.finding.code) == "cuda":
        return "what it mends makes no difference on a CPU"
    return repeat.nothing_to_compare(study) if not study.first.finished else ""


def _with(job: Job, fixed: Fixed) -> Job:
    """A job on the mended program."""
    return replace(job, controls=replace(job.controls, edits=fixed.edits), guide=fixed.moved.guide(job.guide))


def _pairs(study: Study, fixed: Fixed, seeds: int) -> list[tuple[Outcome, Outcome]]:
    """Runs of both programs by seed. Where two seeds give the same, seeds do not reach the result and no more are run."""

    def run(numbers: range) -> list[tuple[Outcome, Outcome]]:
        own = [replace(study.job, controls=replace(study.job.controls, seed=seed, hash_seed=0, capture=True)) for seed in numbers]
        outcomes = study.run([*own, *(_with(job, fixed) for job in own)])
        return list(zip(outcomes[: len(own)], outcomes[len(own) :], strict=True))

    first = run(range(min(2, seeds)))
    if seeds <= 2 or any(not outcome.finished for pair in first for outcome in pair):
        return first
    if all(compare([first[0][side], first[1][side]]).identical for side in (0, 1)):
        return first
    return first + run(range(2, seeds))


def measure(study: Study, fixed: Fixed, pairs: Sequence[tuple[Outcome, Outcome]]) -> Measured | str:
    """The change of the test metric, or why it cannot be told."""
    figure = metric.reported(study, fixed.near)
    if figure is None:
        return "no figure of merit was computed that could be compared"
    before, after, used = [], [], []
    for one, other in pairs:
        first, second = metric.again(figure, one), metric.again(figure, other, fixed.moved)
        if first is not None and second is not None:
            before.append(first.value)
            after.append(second.value)
            used.append((first, one, second, other))
    if not used:
        return f"the {figure.name} is not computed in both programs"
    differences = [b - a for a, b in zip(before, after, strict=True)]
    by_rows = _by_rows(study, figure, used)
    if by_rows is not None:
        return by_rows
    alike = len(set(differences)) == 1 and len(set(before)) == 1
    interval = mean_interval(differences)
    if alike:  # every seed gave the same: a spread of zero is not a certainty about other rows
        interval = Interval(differences[0], math.nan, math.nan, resamples=len(differences), paired=True)
    return Measured(figure, before, after, replace(interval, paired=True), "seeds")


@dataclass(frozen=True)
class _Pair:
    """Predictions of both programs for one seed: of the same rows, whose tokens are `rows`, or of other ones (`rows` is None)."""

    own: Task
    mended: Task
    rows: Any
    same: bool


def _by_rows(study: Study, figure: Figure, used: Sequence[tuple[Figure, Outcome, Figure, Outcome]]) -> Measured | None:
    """The interval from single predictions; None if they are not known, or do not give the figure that the program computed."""
    pairs = []
    chosen: Metric | None = None
    for first, one, second, other in used:
        own, mended = _evaluation(one, first), _evaluation(other, second)
        if own is None or mended is None:
            return None
        task, changed = own.task(), mended.task()
        if isinstance(task, str) or isinstance(changed, str):
            return None
        chosen, found = own.reported(task)
        if not found or not chosen.fits(changed) or task.kind != changed.kind:
            return None
        pairs.append(_paired(own, mended, task, changed))
    if chosen is None:
        return None
    before, after = [chosen.compute(pair.own) for pair in pairs], [chosen.compute(pair.mended) for pair in pairs]
    if all(pair.rows is not None for pair in pairs):
        units = np.unique(np.concatenate([pair.rows for pair in pairs]))
        same = all(pair.same for pair in pairs)
        interval = Interval(0.0, 0.0, 0.0) if same else _over_rows(study, chosen, pairs, units)
        return Measured(figure, before, after, interval, "rows", len(units), same)
    interval = _over_other_rows(study, chosen, pairs)
    return Measured(figure, before, after, interval, "other rows", len(pairs[0].own))


def _over_rows(study: Study, chosen: Metric, pairs: Sequence[_Pair], units: Any) -> Interval:
    """Paired: a draw takes rows and seeds with replacement, and both programs are scored on what it took."""
    places = [np.searchsorted(units, pair.rows) for pair in pairs]
    count = len(units)

    def difference(positions: Any) -> float:
        """Mean over the drawn seeds; units behind the rows are seeds."""
        times = np.bincount(positions[positions < count], minlength=count)
        found = []
        for seed in positions[positions >= count] - count:
            drawn = np.repeat(np.arange(len(places[seed])), times[places[seed]])
            if len(drawn) == 0:
                return math.nan
            found.append(chosen.compute(pairs[seed].mended.at(drawn)) - chosen.compute(pairs[seed].own.at(drawn)))
        return math.fsum(found) / len(found)

    strata = np.zeros(count + len(pairs), dtype=int)
    if chosen.every_class and pairs[0].own.truth.ndim == 1:
        for place, pair in zip(places, pairs, strict=True):
            strata[place] = pair.own.truth + 1
    strata[count:] = -1
    sampling = Sampling(strata=strata)
    return bootstrap(difference, len(strata), draws=_draws(study, pairs), sampling=sampling, method="percentile")


def _over_other_rows(study: Study, chosen: Metric, pairs: Sequence[_Pair]) -> Interval:
    """Unpaired: the rows of each program are drawn by themselves; the seeds together, because each gives one pair."""
    ends_of = np.cumsum([0, *(len(task) for pair in pairs for task in (pair.mended, pair.own))])

    def difference(positions: Any) -> float:
        found = []
        for seed in positions[positions >= ends_of[-1]] - ends_of[-1]:
            drawn = [
                positions[(positions >= ends_of[k]) & (positions < ends_of[k + 1])] - ends_of[k] for k in (2 * seed, 2 * seed + 1)
            ]
            found.append(chosen.compute(pairs[seed].mended.at(drawn[0])) - chosen.compute(pairs[seed].own.at(drawn[1])))
        return math.fsum(found) / len(found)

    parts = [
        task.truth if chosen.every_class and task.truth.ndim == 1 else None for pair in pairs for task in (pair.mended, pair.own)
    ]
    strata = np.zeros(ends_of[-1] + len(pairs), dtype=int)
    for k, truth in enumerate(parts):
        strata[ends_of[k] : ends_of[k + 1]] = (k + 1) * 1000 + (truth if truth is not None else 0)
    interval = bootstrap(
        difference, len(strata), draws=_draws(study, pairs), sampling=Sampling(strata=strata), method="percentile", paired=False
    )
    return interval


def _draws(study: Study, pairs: Sequence[_Pair]) -> int:
    work = sum(len(pair.own) + len(pair.mended) for pair in pairs)
    return max(min(study.budget.resamples, WORK // max(1, work)), LEAST_DRAWS)


def _evaluation(outcome: Outcome, figure: Figure) -> Evaluation | None:
    """The captured predictions behind a figure that is one score, not a mean of several."""
    found = [one for one in arrays.training_and_test(outcome) if one.line == figure.line and one.metric == figure.metric]
    one = found[-1] if found else None
    if one is None or one.prediction is None:
        return None
    return one if one.value is None or one.value == figure.value else None


def _paired(own: Evaluation, mended: Evaluation, one: Task, other: Task) -> _Pair:
    """Both predictions in the order of their rows, if they are of the same rows."""
    unpaired = _Pair(one, other, None, False)
    if own.test_rows is None or mended.test_rows is None or len(own.test_rows) != len(mended.test_rows):
        return unpaired
    tokens: tuple[Any, Any] = own.test_rows, mended.test_rows
    if not np.array_equal(np.sort(tokens[0]), np.sort(tokens[1])):
        tokens = _within(tokens[0]), _within(tokens[1])  # the fix may change in which order data sets are met
    orders = np.argsort(tokens[0], kind="stable"), np.argsort(tokens[1], kind="stable")
    rows = tokens[0][orders[0]]
    if not np.array_equal(rows, tokens[1][orders[1]]) or len(np.unique(rows)) != len(rows):
        return unpaired  # other rows, or one that is scored twice and has no single partner
    tasks = one.at(orders[0]), other.at(orders[1])
    if not np.array_equal(tasks[0].truth, tasks[1].truth):
        return unpaired
    raw = np.asarray(own.prediction)[orders[0]], np.asarray(mended.prediction)[orders[1]]
    return _Pair(*tasks, rows, bool(np.array_equal(*raw)))


def _within(tokens: Any) -> Any:
    """Row numbers within the data set, if all rows are of one."""
    return tokens & ((1 << SHIFT) - 1) if len(np.unique(tokens >> SHIFT)) == 1 else tokens


# -- in words ------------------------------------------------------------------------------------------------------------


def effect(measured: Measured) -> str:
    """The sentence on the change of the test metric."""
    before, after = (math.fsum(values) / len(values) for values in (measured.before, measured.after))
    interval = measured.interval
    seeds = len(measured.before)
    over = f" (mean over {seeds} seeds)" if seeds > 1 and len(set(measured.before) | set(measured.after)) > 2 else ""
    name = _test(measured.figure)
    if measured.same:
        return f"With the fix the {name} stays {number(before)}{over}: every prediction is the same, no measurable effect here."
    text = f"With the fix the {name} is {number(after)} instead of {number(before)}{over} (difference {signed(interval.estimate)}"
    if math.isnan(interval.low):
        return f"{text}; no interval: every seed gives the same figures, and single predictions are not known)."
    text += f", {ends(interval, sign=True)})"
    return f"{text}: no measurable effect here." if interval.low <= 0 <= interval.high else f"{text}."


def _early(pairs: Sequence[tuple[Outcome, Outcome]]) -> str:
    """A sentence on pairs that ended alike, but before their end; empty if there are none."""
    early = next((one for one, _ in pairs if not one.finished), None)
    return "" if early is None else f"Both programs end early ({early.reason or early.status.value})."


def _test(figure: Figure) -> str:
    """`test accuracy`; a printed name that says which rows it is of keeps it."""
    return figure.name if not figure.line[0] or figure.name.startswith(("test ", "val")) else f"test {figure.name}"


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return number(low) if low == high else f"{number(low)} … {number(high)}"


def _values(figure: Figure | None, outcomes: Sequence[Outcome]) -> list[float]:
    if figure is None:
        return []
    return [same.value for outcome in outcomes if (same := metric.again(figure, outcome)) is not None]


def _described(fixed: Fixed) -> dict[str, Any]:
    return {"fix": fixed.remedy.summary, "diff": fixed.difference, "rerun": fixed.remedy.rerun}


def _plain(fixed: Fixed, measured: Measured) -> dict[str, Any]:
    low = measured.interval.low
    better = {"up": True, "down": False}.get(measured.figure.direction)
    return _described(fixed) | {
        "metric": measured.figure.name,
        "line": measured.figure.place,
        "higher_is_better": better,
        "before": measured.before,
        "after": measured.after,
        "differences": [b - a for a, b in zip(measured.before, measured.after, strict=True)],
        "interval": plain(measured.interval),
        "basis": measured.basis,
        "rows": measured.rows,
        "same_predictions": measured.same,
        "measurable": None if math.isnan(low) else not low <= 0 <= measured.interval.high,
        "intervals": 0 if math.isnan(low) or measured.same else 1,
    }


def _table(measured: Measured) -> tuple[Table, ...]:
    rows = tuple((seed, a, b, b - a) for seed, (a, b) in enumerate(zip(measured.before, measured.after, strict=True)))
    name = _test(measured.figure)
    return (Table(f"{name} by seed", ("seed", "as it is", "with the fix", "difference"), rows),)
