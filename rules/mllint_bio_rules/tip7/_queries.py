"""Questions about a trace that several rules of tip 7 ask: which learned state leaks, and which figure is final."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mllint_bio.events import (
    Data,
    Event,
    Fit,
    Learned,
    Load,
    LoopKind,
    Report,
    Resample,
    Save,
    Score,
    Select,
    Site,
    Split,
    Step,
    Subject,
    Weights,
)
from mllint_bio.findings import Confidence
from mllint_bio.rows import Part, Rows
from mllint_bio.trace import SUPERVISED_FAMILIES, Trace

FIGURES = SUPERVISED_FAMILIES | {"loss"}

_OVER_FILES = (LoopKind.FILE, LoopKind.GROUP, LoopKind.OTHER)

# Fact or role -> the one word by which the leak rules divide the work. What is missing here is not reported by any of them:
# `label` never leaks, `encode` learns category names only, `outlier` removes rows.
_KINDS = {
    "fitted-transform.supervised": "supervised",
    "feature-selector.supervised": "selector-supervised",
    "feature-selector.unsupervised": "selector-unsupervised",
    "inplace-transform.batch-correction": "batch-correction",
    "inplace-transform.learned": "omics",
    "inplace-transform.conditional": "omics",
    "inplace-transform": "omics",
    "feature-score": "selector-supervised",
    "column-stat-function": "scale",
    "imputer": "impute",
    "statistic": "hand-written",
    **{k: k for k in ("scale", "impute", "quantile", "discretise", "vectorise", "decompose", "cluster", "representation")},
    "selector-model": "selector-supervised",
    **{k: k for k in ("hand-written", "supervised", "selector-supervised", "selector-unsupervised", "batch-correction")},
}


def kind_of(fit: Fit, learned: Learned | None = None) -> str:
    """The kind of state that a fit learns: a word of `_KINDS`, empty for what cannot leak or is a predictor."""
    fact = learned.kind if learned else ""
    if fit.role.startswith("inplace-transform"):
        return "selector-supervised" if fact == "selector-supervised" else _KINDS.get(fit.role, "omics")
    kind = _KINDS.get(fact) or _KINDS.get(fit.role) or _KINDS.get(fit.role.removeprefix("fitted-transform."), "")
    target = fit.uses_target or (learned is not None and learned.uses_target)
    return "supervised" if target and kind in ("hand-written", "representation", "decompose") else kind


@dataclass(frozen=True, slots=True)
class Leak:
    """State that was learned from evaluated rows and reached their evaluation, or their storage for a later program."""

    fit: Fit
    learned: Learned
    end: Score | Save
    kind: str
    confidence: Confidence
    split: Split | None

    @property
    def use(self) -> str:
        """What the rows are used for later, for messages."""
        if isinstance(self.end, Save):
            return "rows that a split then sets aside"
        return (
            "rows that the cross-validation holds out"
            if self.end.cross_validated
            else f"rows that `{self.end.metric}` later scores"
        )

    @property
    def evidence(self) -> list[tuple[str, Event | None]]:
        """Fitted here, split there, scored or stored there."""
        end = "stored here" if isinstance(self.end, Save) else "scored here"
        return [("fitted here", self.fit), ("split here", self.split), (end, self.end)]


def leaks(trace: Trace) -> Iterator[Leak]:
    """Learned state that some held-out evaluation depends on although it had seen the evaluated rows, once per place.

    Left out: state that only the evaluated rows shaped (a transform fitted again on the test rows is another fault), what each
    file or group of many tells of itself (recordings or patients that are put together later), and state that reaches inner
    validation folds while a reported evaluation of the same state on other rows stays clean.
    """
    seen: set[Site] = set()
    for fit, learned, _ in trace.leaks():
        kind = kind_of(fit, learned)
        reached = [
            s for s in trace.evaluation_reached_by(learned) if _trained_too(trace, learned, s) and not trace.exclusive(fit, s)
        ]
        score = next((s for s in reached if trace.reported(s)), next(iter(reached), None))
        if (
            not kind
            or score is None
            or fit.at in seen
            or _clean_outside(trace, learned, score)
            or _of_each_file(trace, fit, score)
        ):
            continue
        seen.add(fit.at)
        yield Leak(fit, learned, score, kind, held_out_confidence(score), split_of(trace, score.data.rows))
    if trace.is_program:
        yield from _stored(trace, seen)


def _stored(trace: Trace, seen: set[Site]) -> Iterator[Leak]:
    """State that was learned from all parts of a split, when one is trained on or stored and another is only stored: a program
    that comes later scores it."""
    stored = [save for save in trace.of(Save) if save.what == "data" and save.data.rows.known and save.data.learned]
    scored = [score.data.rows for score in trace.of(Score)] if stored else []
    for save in stored:
        split = split_of(trace, save.data.rows)
        if split is None or split.how == "fold" or split.id > save.id or not save.data.rows.subset(split.parts[-1]):
            continue
        used = [*trace.training_rows, *(other.data.rows for other in stored)]
        if any(rows.overlap(split.parts[-1]) for rows in (*scored, *trace.training_rows)):
            continue
        for learned in sorted(save.data.learned, key=lambda fact: fact.fit):
            fit = trace.event(learned.fit)
            kind = kind_of(fit, learned) if isinstance(fit, Fit) and fit.id < split.id and fit.at not in seen else ""
            both = learned.rows.overlap(save.data.rows) and learned.rows.overlap(split.parts[0])
            if isinstance(fit, Fit) and kind and both and any(rows.subset(split.parts[0]) for rows in used):
                seen.add(fit.at)
                yield Leak(fit, learned, save, kind, Confidence.LIKELY, split)


def _of_each_file(trace: Trace, fit: Fit, score: Score) -> bool:
    """Whether a loop reads one file after the other, or takes one group of the rows, and learns from each, and they are evaluated
    together after it."""
    if any(loop.kind is LoopKind.GROUP and loop not in score.loops for loop in fit.loops):
        return True
    loops = [loop for load in trace.of(Load) if load.data.rows.same_table(fit.data.rows) for loop in load.loops]
    return any(loop in fit.loops and loop not in score.loops and loop.kind in _OVER_FILES for loop in loops)


def _trained_too(trace: Trace, learned: Learned, score: Score) -> bool:
    if score.cross_validated:
        return bool(score.data.rows.subset(learned.rows))
    if learned.rows.shared(score.fitted) and learned.rows.subset(score.fitted):
        return False  # a run counted scored rows among the training rows: that is the fault, not the transform
    trained = [score.fitted] if score.fitted.known else trace.training_rows or _to_train_on(trace, score)
    return any(learned.rows.overlap(rows) for rows in trained)


def _to_train_on(trace: Trace, score: Score) -> list[Rows]:
    """What a model out of reach was trained on: where no training is seen, and no stored model is read, the other part of the
    split that gave the test rows."""
    split = split_of(trace, score.data.rows) if role_of(score.data) == "test" else None
    if split is None or split.how == "fold" or any(weights.action == "load" for weights in trace.of(Weights)):
        return []
    return [split.parts[0]] if len(split.parts) > 1 and score.data.rows.disjoint(split.parts[0]) else []


def _clean_outside(trace: Trace, learned: Learned, inner: Score) -> bool:
    """Whether the same state is also evaluated on rows that it never saw, by a figure that is shown, or at least as much as the
    `inner` one, of a model that learned from its rows (figures of several models may be pooled)."""
    shown = trace.reported(inner)
    if role_of(inner.data) == "validation" and any(
        s.subject is None and role_of(s.data) == "test" and s.truth.rows.disjoint(learned.rows) and trace.reported(s)
        for s in trace.scores
    ):
        return True  # the figure of the test rows is of predictions that were not followed: it may well be of this state
    scores = (s for s in trace.held_out_scores if learned in s.inputs and (trace.reported(s) or not shown))
    return any(s.data.rows.disjoint(learned.rows) and (not s.fitted.known or s.fitted.overlap(learned.rows)) for s in scores)


def held_out_confidence(score: Score) -> Confidence:
    """CERTAIN when the scored rows are proven not to be training rows, LIKELY when a name says so."""
    proven = score.cross_validated or score.data.rows.disjoint(score.fitted)
    return Confidence.CERTAIN if proven else Confidence.LIKELY


def split_of(trace: Trace, rows: Rows) -> Split | None:
    """The last split that has these rows in one of its parts, or that divides them."""
    splits = [s for s in trace.of(Split) if any(rows.subset(part) for part in s.parts) or (rows.known and s.data.rows == rows)]
    return splits[-1] if splits else None


def same_view(a: Data, b: Data) -> bool:
    """Whether two views are provably of the same rows: equal row sets, or one loader."""
    return (a.rows.known and a.rows == b.rows) or (a.loader is not None and a.loader is b.loader)


def role_of(*views: Data) -> str:
    """What the program calls these rows: test, validation, or empty."""
    names = {v.named_role for v in views} | {r for v in views for r in ("test", "validation") if r in v.rows.label.lower()}
    return next((role for role in ("test", "validation") if role in names), "")


def in_fold(rows: Rows) -> bool:
    """Whether the rows are one side of a cross-validation iteration."""
    return any(isinstance(step, Part) and step.fold for step in rows.steps())


def figures(trace: Trace) -> list[Score]:
    """Reported figures of held-out rows, losses included, cross-validated calls excluded."""
    return [
        s for s in trace.of(Score) if s.family in FIGURES and not s.cross_validated and trace.reported(s) and trace.held_out(s)
    ]


def untouched(trace: Trace, data: Data, role: str, choice: Event | None = None) -> bool:
    """Whether some reported figure may be of other held-out rows than `data`, so that a choice made on `data` is harmless.

    Validation rows do not make up for test rows that were used to choose, nor do figures of a run that the `choice` excludes, nor
    those of another model that was trained by itself, nor those of a further round of the code that scores or divides `data`, nor
    those of a cross-validation over all rows, `data` included.
    """
    shown = figures(trace)
    views = views_of(trace, choice) if isinstance(choice, Select) and data is choice.data else [data]
    folds = [] if in_fold(data.rows) else [split for split in trace.of(Split) if split.how == "fold"]
    pooled = {part: split.data.rows for split in folds for part in split.parts}
    rounds = {(s.at, s.calls) for s in shown if role and any(same_view(s.data, view) for view in views)}
    return any(
        not ((s.at, s.calls) in rounds and role_of(s.data) == role)
        and not (choice is not None and (trace.exclusive(choice, s) or (role == "test" and _of_another(trace, choice, s))))
        and not any(same_view(s.data, v) or pooled.get(s.data.rows, s.data.rows).overlap(v.rows) for v in views)
        and not any(_divided_again(trace, s.data.rows, view.rows) for view in views)
        and not (role == "test" and role_of(s.data) == "validation")
        for s in shown
    )


def _divided_again(trace: Trace, one: Rows, other: Rows) -> bool:
    """Whether one statement made both in different rounds, from data that were read anew: what a second run of that code holds
    out is no part that the first had left untouched."""
    here, there = split_of(trace, one), split_of(trace, other)
    return here is not None and there is not None and here.at == there.at and bool(here.data.rows.disjoint(there.data.rows))


def keeps_nothing(select: Select) -> bool:
    """Whether a choice keeps no more than its figure, or only says something in a branch."""
    return select.keeps == {"score"} or (select.how == "if" and not select.keeps)


def _of_another(trace: Trace, choice: Event, score: Score) -> bool:
    """Whether a choice among the states of one model says nothing of a figure, because that is of a model with a training of its
    own, or of one that learned from other data altogether."""
    read = [trace.event(number) for number in choice.scores] if isinstance(choice, Select) else []
    fitted = [one.fitted for one in read if isinstance(one, Score) and one.fitted.known]
    if fitted and all(rows.disjoint(score.fitted) for rows in fitted):
        return True
    if not isinstance(choice, Select) or choice.keeps != {"weights"} or choice.subject is None or score.subject is None:
        return False
    return score.subject is not choice.subject and bool(trainings_of(trace, score.subject, score))


def set_aside(trace: Trace, data: Data) -> bool:
    """Whether a split gave these rows and another part that the program never learns from or scores."""
    touched = [*(fit.data.rows for fit in trace.of(Fit)), *(score.data.rows for score in trace.of(Score))]
    return any(
        split.how != "fold"
        and any(data.rows.subset(part) for part in split.parts)
        and any(
            not data.rows.subset(part) and not any(rows.overlap(part) for rows in touched) for part in split.parts if part.known
        )
        for split in trace.of(Split)
    )


def finals(trace: Trace, select: Select) -> list[Score]:
    """Reported held-out figures of the very rows that a choice read, in a run that makes the choice."""
    read = views_of(trace, select)
    return [
        s
        for s in figures(trace)
        if s.id in select.scores or (any(same_view(s.data, data) for data in read) and not trace.exclusive(select, s))
    ]


def views_of(trace: Trace, select: Select) -> list[Data]:
    """The rows that a choice read: of several tables, if figures of all of them went into it and each is called test."""
    scores = [event for number in sorted(select.scores) if isinstance(event := trace.event(number), Score)]
    several = len({score.data.rows for score in scores}) > 1 and all(role_of(score.data) == "test" for score in scores)
    return [score.data for score in scores] if several else [select.data]


def headline(trace: Trace, score: Score) -> bool:
    """Whether the figure is shown after training, and not only as progress inside an epoch or batch loop."""
    return any(
        score.id in report.scores and trace.loop(report, LoopKind.EPOCH, LoopKind.BATCH) is None for report in trace.of(Report)
    )


def made_on_both_sides(trace: Trace, resample: Resample, score: Score) -> bool:
    """Whether rows that a resampling made are proven to be among the training rows of the scored model as well."""
    if score.cross_validated:
        return True
    trained = [score.fitted] if score.fitted.known else trace.training_rows
    return any(rows.overlap(resample.result) or _share_origin(rows, score.data.rows) for rows in trained)


def _share_origin(one: Rows, other: Rows) -> bool:
    """Whether a run counted rows of one origin on both sides; for symbols the overlap with what was made says more."""
    return one.shared(other) is not None and bool(one.shares_origin(other))


def trainings_of(trace: Trace, subject: Subject, before: Event) -> list[Fit | Step]:
    """Fits and optimizer steps that shaped `subject` before an event, in order."""
    events: Iterator[Fit | Step] = trace.of(Fit, Step)
    return [
        event
        for event in events
        if event.id < before.id
        and (event.subject is subject if isinstance(event, Fit) else any(module is subject for module in event.modules))
    ]
