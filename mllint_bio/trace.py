"""Trace: the ordered events of one run of one entry point, and the questions that rules share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from mllint_bio.events import (
    Draw,
    Event,
    Fit,
    Learned,
    Load,
    Loop,
    LoopKind,
    Report,
    Save,
    Score,
    Seed,
    Select,
    Site,
    Split,
    Step,
    Subject,
    Unresolved,
    Weights,
)
from mllint_bio.rows import UNKNOWN, YES, Answer, Rows

E = TypeVar("E", bound=Event)

SUPERVISED_FAMILIES = frozenset({"label", "score", "regression", "segmentation", "subgroup"})

PREDICTORS = ("estimator", "tuner", "trainer", "module", "pretrained")
"""Roles of what is trained to predict, as against transforms."""


@dataclass(eq=False)
class Trace:
    """Events of one entry point, in order; an event's `id` is its index.

    entry: what was run. `script` (a module with training at top level or under `__main__`, a CLI main), `notebook`,
    `function` (a function or method that nothing in the project calls, with parameters of unknown role).
    path: the file of the entry point; name: the function, if one. observed: the trace was recorded from a real run.
    resolved: every call that could matter was followed; False weakens claims that something is absent.
    test_or_docs: the entry point is a test, documentation or a library's example.
    imports: top-level packages that the program imports. project_baselines: whether the project names a conventional model.
    tested_elsewhere: another program of the project scores stored models on a test part.
    ended: arm of a branch with which a loop, a function or the program ends -> the first event that comes after it (0: in a loop,
    where rounds before it took another arm), and the calls that lead to the function (none: the program).
    options: configuration that rules read (`protocol`, ...).
    """

    events: list[Event]
    entry: str
    path: str
    name: str = ""
    observed: bool = False
    resolved: bool = True
    test_or_docs: bool = False
    imports: frozenset[str] = frozenset()
    project_baselines: bool | None = None
    tested_elsewhere: bool = False
    ended: dict[tuple[Site, int], tuple[int, tuple[Site, ...]]] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)

    def of(self, *types: type[E]) -> Iterator[E]:
        """Events of these types, in order."""
        found = self._found.get(types)
        if found is None:
            found = self._found[types] = [event for event in self.events if isinstance(event, types)]
        return iter(found)

    @cached_property
    def _found(self) -> dict[tuple[type, ...], list[Any]]:
        """What `of` has found: rules ask for the same types of events again and again, and a trace does not change."""
        return {}

    def event(self, number: int) -> Event:
        """The event with this id."""
        return self.events[number]

    @property
    def is_program(self) -> bool:
        """Whether a person runs this as a program (a script or a notebook), as against a function without caller."""
        return self.entry in ("script", "notebook")

    @cached_property
    def trains(self) -> bool:
        """Gate `training_program`: an estimator is fitted, or a network is stepped."""
        return bool(self.trainings) or any(True for _ in self.of(Step))

    @cached_property
    def fruitless(self) -> bool:
        """Whether a program trains on nothing that it reads, and keeps and tells nothing of it: the self-test of a module."""
        kept = any(True for _ in self.of(Load, Split, Report, Save, Select)) or any(
            w.action in ("save", "load") for w in self.of(Weights)
        )
        by_hand = any(True for _ in self.of(Step)) and all(f.method == "step" for f in self.trainings)
        return by_hand and self.resolved and not kept and not any(call.touches for call in self.of(Unresolved))

    @cached_property
    def studies(self) -> bool:
        """Gate for questions of chance: it trains, or a figure or file comes from a random clustering or embedding."""
        drawn = {fit.id for fit in self.of(Fit) if fit.stochastic}
        results = (score.inputs for score in self.of(Score)), (save.data.learned for save in self.of(Save))
        return self.trains or any(learned.fit in drawn for facts in results for fact in facts for learned in fact)

    @cached_property
    def trainings(self) -> list[Fit]:
        """Fits of predictors (estimators, networks, tuners), as against transforms."""
        return [f for f in self.of(Fit) if f.subject.is_a(*PREDICTORS)]

    @cached_property
    def training_rows(self) -> list[Rows]:
        """Row sets that some predictor learned from, by a fit or by the steps of an optimizer."""
        fitted = [f.data.rows for f in self.trainings]
        stepped = [s.data.rows for s in self.of(Step)]
        return [rows for rows in dict.fromkeys(fitted + stepped) if rows.known]

    @cached_property
    def scores(self) -> list[Score]:
        """Supervised scores (losses, clusterings and the like excluded)."""
        return [s for s in self.of(Score) if s.family in SUPERVISED_FAMILIES]

    @cached_property
    def evaluates(self) -> bool:
        """Gate `evaluates`: a supervised figure of held-out rows is computed."""
        return any(self.held_out(s) for s in self.scores)

    def held_out(self, score: Score) -> bool:
        """Whether the scored rows are, as far as is known, not those that the scored model learned from.

        True needs a proof (disjoint by a split, cross-validated, or different load events) or, where rows are not known,
        a name that says test or validation. A run counts rows: there, rows of which only a part was learned from are an
        evaluation, a contaminated one.
        """
        if score.cross_validated:
            return True
        shared = score.data.rows.shared(score.fitted)
        if shared is not None and score.data.rows.size:
            return shared < score.data.rows.size
        answer = self._apart(score)
        if answer is YES:
            return True
        if not score.fitted.known and score.data.rows in self.training_rows:
            return False  # a stored model reads the rows of a training: no name of a parameter outweighs that
        return answer is UNKNOWN and score.data.named_role in ("test", "validation")

    def _apart(self, score: Score) -> Answer:
        if score.fitted.known:
            return score.data.rows.disjoint(score.fitted)
        known = self._apart_from_training.get(score.data.rows)
        if known is None:
            known = self._apart_from_training[score.data.rows] = self._unanimous(score.data.rows)
        return known

    @cached_property
    def _apart_from_training(self) -> dict[Rows, Answer]:
        """Answers of `_unanimous`, which many scores ask of the same rows."""
        return {}

    def _unanimous(self, rows: Rows) -> Answer:
        """Whether rows are disjoint from all that some predictor learned from; UNKNOWN as soon as one answer is."""
        found = YES if self.training_rows else UNKNOWN
        for learned in self.training_rows:
            answer = rows.disjoint(learned)
            if answer is UNKNOWN:
                return UNKNOWN
            found = found if answer is YES else Answer.NO
        return found

    @cached_property
    def held_out_scores(self) -> list[Score]:
        """Supervised scores on rows that the scored model did not learn from."""
        return [s for s in self.scores if self.held_out(s)]

    @cached_property
    def reported_ids(self) -> frozenset[int]:
        """Ids of the scores that reach a reader."""
        return frozenset(number for report in self.of(Report) for number in report.scores)

    def reported(self, score: Score) -> bool:
        """Whether the figure reaches a reader (printed, logged, written, returned, shown)."""
        return score.id in self.reported_ids

    def evaluation_reached_by(self, learned: Learned) -> Iterator[Score]:
        """Held-out scores whose model or inputs carry what was `learned`, on rows that were learned from.

        The question behind every leakage rule: does the scored model use something that had seen the scored rows?
        """
        for score in self.held_out_scores:
            if learned in score.inputs and learned.rows.overlap(score.data.rows):
                yield score

    def leaks(self) -> Iterator[tuple[Fit, Learned, Score]]:
        """Every (fit, fact, first held-out score that it reaches), one per fit event."""
        seen: set[int] = set()
        for score in self.held_out_scores:
            for learned in sorted(score.inputs, key=lambda fact: fact.fit):
                if learned.fit in seen:
                    continue
                fit = self.events[learned.fit]
                if isinstance(fit, Fit) and learned.rows.overlap(score.data.rows):
                    seen.add(learned.fit)
                    yield fit, learned, score

    # -- randomness ----------------------------------------------------------------------------------------------

    @cached_property
    def seeded_streams(self) -> frozenset[str]:
        """Global streams that some call seeds; `any` if a seed helper is out of reach."""
        return frozenset(stream for seed in self.of(Seed) if not seed.unseeds for stream in seed.streams)

    def seeded(self, stream: str) -> bool:
        """Whether a seed call covers this global stream."""
        return stream in self.seeded_streams or "any" in self.seeded_streams

    def reached(self, draw: Draw) -> bool:
        """Whether a seed of the drawn stream was set before the draw; a helper out of reach counts wherever it stands."""
        first = self._first_seeds.get(draw.stream)
        return "any" in self._first_seeds or (first is not None and first < draw.id)

    @cached_property
    def _first_seeds(self) -> dict[str, int]:
        """Stream -> id of the first call that seeds it."""
        found: dict[str, int] = {}
        for seed in self.of(Seed):
            if not seed.unseeds:
                for stream in seed.streams:
                    found.setdefault(stream, seed.id)
        return found

    def unseeded_draws(self) -> dict[str, list[Draw]]:
        """Draws that no seed reaches, by stream, in order."""
        found: dict[str, list[Draw]] = {}
        for draw in self.of(Draw):
            if not self.reached(draw):
                found.setdefault(draw.stream, []).append(draw)
        return found

    # -- places --------------------------------------------------------------------------------------------------

    def anchor(self, event: Event) -> Site:
        """Where to put a finding about the whole entry point: the event, or the call in the entry file that leads to it."""
        if (
            isinstance(event, Draw)
            and event.purpose == "estimator"
            and event.subject is not None
            and event.subject.at.path == self.path
        ):
            return event.subject.at  # the constructor is where the seed belongs
        if event.at.path == self.path:
            return event.at
        return next((site for site in reversed(event.calls) if site.path == self.path), event.at)

    @staticmethod
    def parting(event: Event, other: Event | None) -> Site:
        """Where to put a finding about what two events do to each other: the first, or the call in another file that leads to it
        and not to the second, because a helper that works on whatever it is given is not at fault."""
        if other is None:
            return event.at
        common = 0
        while common < min(len(event.calls), len(other.calls)) and event.calls[common] == other.calls[common]:
            common += 1
        leads = event.calls[common] if common < len(event.calls) else event.at
        return leads if leads.path != event.at.path else event.at

    def exclusive(self, a: Event, b: Event) -> bool:
        """Whether the two stand in different arms of one branch, or one in an arm that ended what the other would have followed
        in, so that they cannot both happen."""
        arms = dict(a.branch)
        if any(site in arms and arms[site] != arm for site, arm in b.branch):
            return True
        return bool(self.ended) and (self._cut_off(a, b) or self._cut_off(b, a))

    def _cut_off(self, a: Event, b: Event) -> bool:
        """Whether `a` stands in an arm after which nothing comes to `b`."""
        for arm in a.branch:
            after, calls = self.ended.get(arm, (0, ()))
            if after and b.id >= after and arm not in b.branch and b.calls[: len(calls)] == calls == a.calls[: len(calls)]:
                return True
        return False

    @staticmethod
    def loop(event: Event, *kinds: LoopKind) -> Loop | None:
        """The innermost enclosing loop of one of these kinds (any kind if none is named)."""
        return next((loop for loop in reversed(event.loops) if not kinds or loop.kind in kinds), None)

    @staticmethod
    def inside(event: Event, loop: Loop) -> bool:
        """Whether the event stands inside this loop."""
        return any(one is loop for one in event.loops)

    def subjects(self, *roles: str) -> list[Subject]:
        """Objects of these roles that were fitted, by themselves or as a part of another, in order of first fit."""
        fitted = (part for f in self.of(Fit) for part in f.subject.everything())
        return list(dict.fromkeys(part for part in fitted if not roles or part.is_a(*roles)))


def first(events: Iterable[E]) -> E | None:
    """The first event, or None."""
    return next(iter(events), None)
