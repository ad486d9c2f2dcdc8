"""MLB601."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from mllint_bio.events import Data, Fit, Loop, LoopKind, Predict, Score, Select, Site, Split, Subject
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rows import Rows
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import (
    figures,
    finals,
    held_out_confidence,
    in_fold,
    role_of,
    same_view,
    set_aside,
    trainings_of,
    untouched,
)

CHOICES = {"hyperparameter": ("hyperparameters are", "hyperparameter"), "features": ("number of features is", "feature-count")}


class TunedOnTestSet(Rule):
    """Hyperparameters are chosen by their score on the rows that also give the reported result.

    ## What it does
    Follows the rows that a search reads (the objective of a tuner, a loop over candidates that keeps the best) and
    reports the choice when a figure of the same rows is reported and no other held-out part gives one; also a search
    that cross-validates over all rows, those of the test part included, before that part is scored, or before a model
    with the parameters that it found is cross-validated on the same rows. The number
    of features, chosen this way, is the variant `[feature-count]`. `[all-reported]` (information): all candidates, or
    several models, are scored on the test rows and shown, none is named best, and no other rows are left for the one that is
    taken. Nested cross-validation, rows called test
    when another disjoint part is reported, and the score of a search that leaves a part of the rows untouched for
    later are not faults.

    ## Why it is bad
    The best of many looks at the test rows is best partly by luck, and the luck is in the reported number. The test
    set must be locked away until the last choice is made.

    ## Example
    ```python
    for hidden in [64, 256]:
        net = fit_mlp(X_train, y_train, hidden)
        auc = roc_auc_score(y_test, net.predict(X_test))
        best = max(best, (auc, hidden))
    print("test AUC", best)
    ```

    ## Use instead
    ```python
    for hidden in [64, 256]:
        net = fit_mlp(X_fit, y_fit, hidden)
        best = max(best, (roc_auc_score(y_val, net.predict(X_val)), hidden))
    final = fit_mlp(X_train, y_train, best[1])
    print("test AUC", roc_auc_score(y_test, final.predict(X_test)))
    ```

    ## How a run confirms it
    Rows scored inside the search are intersected with the rows of the reported metric; the search is repeated with
    an inner split and scored once on the test rows: the gap, with an interval, is the optimism.

    ## References
    Lee et al., tip 6 (optimise on the training data) and tip 7 (test set locked away); scikit-learn, Common
    pitfalls; Kapoor and Narayanan L1.1; DOME 2.8, 4.1; REFORMS 5c, 5d, 5e, 6a.
    """

    code = "MLB601"
    name = "tuned-on-test-set"
    tip = 6
    severity = Severity.ERROR
    variants = ("hyperparameter", "feature-count", "all-reported")
    skip_tests = True
    remedy = "Search with an inner split or cross-validation of the training rows; score the test rows once, at the end."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per choice, then one per sweep that is shown in full."""
        seen = set()
        read: set[int] = set()
        told: set[int] = set()
        sweeps: set[Loop | None] = set()
        for select in trace.of(Select):
            read |= select.scores
            same = finals(trace, select)
            shown = same or _among_searched(trace, select) or _configured(trace, select)
            role = role_of(select.data, *(score.data for score in shown))
            if select.at in seen:  # a further round of the loops around it
                told |= select.scores
            if select.what not in CHOICES or not shown or select.at in seen or (select.how == "if" and not select.keeps):
                continue
            if role == "validation" or (same and untouched(trace, select.data, role, select)):
                continue
            if role != "test" and {score.id for score in shown} <= select.scores and set_aside(trace, select.data):
                continue  # a program that only tunes, and tells how well the best did
            compared = {trace.event(number).at for number in select.scores}
            if not trace.is_program and role != "test" and {score.at for score in shown} <= compared:
                continue  # a function that only tunes: its caller has the figure that counts
            if select.how in ("max", "min", "sorted") and select.scores <= told:
                continue  # the figure of the one that was chosen before
            seen.add(select.at)
            told |= select.scores
            sweeps |= {trace.loop(trace.event(n), LoopKind.CANDIDATE) for n in select.scores}
            what, variant = CHOICES[select.what]
            weak = role != "test" or in_fold(shown[-1].data.rows)
            yield self.finding(
                select,
                f"The {what} chosen on {'the rows that give' if same else 'all rows, with those of'} the reported "
                f"`{shown[-1].metric}`, so that figure is too good.",
                evidence=[
                    *(("candidates scored here", trace.event(n)) for n in sorted(select.scores)[:1]),
                    ("reported figure", shown[-1]),
                ],
                confidence=Confidence.LIKELY if weak else held_out_confidence(shown[-1]),
                variant=variant,
            )
        for score in figures(trace):
            loop = trace.loop(score, LoopKind.CANDIDATE)
            each_round = trace.loop(score, LoopKind.FOLD)  # has test rows of its own
            test = role_of(score.data) == "test" and not each_round and not _ready(trace, score, loop)
            if loop and loop not in sweeps and score.id not in read and score.family != "loss" and test:
                sweeps.add(loop)
                message = (
                    f"`{score.metric}` of every candidate is shown on the test rows: naming one of them best would tune on them."
                )
                yield self.finding(
                    trace.anchor(score), message, severity=Severity.INFO, confidence=Confidence.LIKELY, variant="all-reported"
                )
        yield from self._side_by_side(trace, sweeps)

    def _side_by_side(self, trace: Trace, told: set[Loop | None]) -> Iterator[Finding]:
        """Different models whose figures on the same test rows are shown, while no others give a final figure."""
        compared: dict[tuple[Rows, str], dict[object, Score]] = {}
        for score in figures(trace):
            subject = score.subject
            if (
                subject is None
                or score.family == "loss"
                or not _kept_for_the_end(score)
                or not trainings_of(trace, subject, score)
            ):
                continue
            made = _made(subject)
            key = id(subject) if trace.loop(score, LoopKind.MODEL) else made  # folds, seeds and controls make the same model
            compared.setdefault((score.data.rows, f"{score.truth.name} {score.target}"), {}).setdefault(key, score)
        for models in compared.values():
            first, *others = models.values()
            second = next((score for score in others if not trace.exclusive(first, score)), None)
            if second is None or _with_baselines(trace, models.values()) or untouched(trace, first.data, role_of(first.data)):
                continue
            if any(loop in told for loop in second.loops) or any(same_view(first.data, one.data) for one in trace.of(Select)):
                continue  # another finding says it
            apart = {_made(score.subject) for score in models.values() if score.subject is not None}  # each fold has a copy
            number = len(apart) if len(apart) > 1 else len(models)
            here, there = trace.anchor(first), _scored_by(trace, second, first)
            yield self.finding(
                there,
                f"`{second.metric}` of {number} models is shown on the same held-out rows, and no others give a final "
                "figure: naming one of them best would choose on them.",
                evidence=[("a first model is scored here", here if here != there else None)],
                severity=Severity.INFO,
                confidence=Confidence.LIKELY,
                variant="all-reported",
            )
            return


def _scored_by(trace: Trace, score: Score, other: Score) -> Site:
    """Where a figure comes from: of a helper that gives both figures, the call that leads to this one only."""
    leads = next((mine for mine, its in zip(score.calls, other.calls, strict=False) if mine != its), None)
    return leads if leads is not None and score.at == other.at and leads.path == trace.path else trace.anchor(score)


def _made(subject: Subject) -> tuple[object, ...]:
    """What tells one model from another: its class and its settings."""
    return (subject.api, tuple(sorted((name, str(value)) for name, value in subject.given.items())))


_PROPOSED = ("module", "layer", "pretrained", "trainer", "estimator.deep", "tuner")


def _with_baselines(trace: Trace, scores: Collection[Score]) -> bool:
    """Whether one network or tuned model is compared with plain ones, as tip 2 asks, and not a list of models with each other."""
    proposed = [score for score in scores if score.subject is not None and score.subject.is_a(*_PROPOSED)]
    return len(proposed) == 1 and not any(trace.loop(score, LoopKind.MODEL) for score in scores)


def _kept_for_the_end(score: Score) -> bool:
    """Whether the rows are called test, or are proven to be held out by a split that is no cross-validation."""
    role, rows = role_of(score.data), score.data.rows
    proven = held_out_confidence(score) is Confidence.CERTAIN and not in_fold(rows)
    return rows.known and (role == "test" or (not role and proven))


def _ready(trace: Trace, score: Score, loop: Loop | None) -> bool:
    """Whether a model that was there before the loop, and was no candidate, predicts in it: the rounds test it on other rows."""
    fits = [fit for fit in trace.of(Fit) if fit.subject is score.subject and fit.id < score.id]
    varied = (LoopKind.CANDIDATE, LoopKind.MODEL, LoopKind.SEED)
    if not fits or any(one is loop or one.kind in varied for fit in fits for one in fit.loops):
        return False
    return any(e.subject is score.subject and any(one is loop for one in e.loops) for e in trace.of(Predict))


def _among_searched(trace: Trace, select: Select) -> list[Score]:
    """Later figures of rows that were set aside, but among those over which the search cross-validated."""
    folds = (split for split in trace.of(Split) if split.how == "fold" and select.data.rows in split.parts)
    split = next(folds, None) if in_fold(select.data.rows) else None
    if split is None or in_fold(split.data.rows):
        return []
    outside = [s for s in figures(trace) if not in_fold(s.data.rows)]
    if not all(s.data.rows.overlap(split.data.rows) for s in outside):
        return []
    return [s for s in outside if s.id > select.id and s.data.rows.subset(split.data.rows)]


def _configured(trace: Trace, select: Select) -> list[Score]:
    """Reported figures of rows that a search had read, of a model that it configured and that was fitted to other rows since."""
    searched = _searched(trace, select)
    if not searched.rows.known or untouched(trace, searched, ""):
        return []
    compared = {(e.at, e.calls) for e in trace.of(Score) if e.id in select.scores}  # a further round of the search
    once = [
        score
        for score in figures(trace)
        if score.id > select.id
        and score.subject is not None
        and (score.subject is select.subject or _found_by(select, score))
        and (score.at, score.calls) not in compared
        and score.data.rows.disjoint(score.fitted)
        and score.data.rows.subset(searched.rows)
    ]
    return once or _cross_validated_after(trace, select, searched)


def _found_by(select: Select, score: Score) -> bool:
    """Whether the scored model, or a part of it, has parameters that a search found."""
    return score.subject is not None and any(select.id in p.facts.get("searches", ()) for p in score.subject.everything())


def _searched(trace: Trace, select: Select) -> Data:
    """The rows that a search read: those that its tuner was given, or those that it cut into folds, candidate by candidate."""
    given = (f.data for f in trace.of(Fit) if f.subject is select.subject and f.at == select.at)
    folds = (s.data for s in trace.of(Split) if s.how == "fold" and select.data.rows in s.parts and not in_fold(s.data.rows))
    return next(given if select.subject is not None else iter(()), None) or next(folds, Data())


def _cross_validated_after(trace: Trace, select: Select, searched: Data) -> list[Score]:
    """Reported cross-validations, over the rows that a search had read, of another model with the parameters that it found.

    The search itself, cross-validated, is searched anew in every fold.
    """
    if set_aside(trace, searched):
        return []
    compared = {(e.at, e.calls) for e in trace.of(Score) if e.id in select.scores}
    return [
        score
        for score in trace.of(Score)
        if score.id > select.id
        and score.cross_validated
        and score.subject is not select.subject
        and _found_by(select, score)
        and (score.at, score.calls) not in compared
        and trace.reported(score)
        and score.data.rows.subset(searched.rows)
    ]
