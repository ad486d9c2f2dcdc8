"""MLB715: some rows belong to the training and the evaluation set by construction."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mllint_bio.events import Build, Draw, Event, Fit, LoopKind, Resample, Score, Split, Step, Unresolved, Weights
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import in_fold, role_of, split_of, trainings_of, untouched

HELD_OUT = ("test", "validation")


class TrainTestOverlap(Rule):
    """Some rows belong to the training and to the evaluation set by construction.

    ## What it does
    Reports evaluation rows that overlap the training rows of the scored model: slices that intersect (`X[:800]`, `X[700:]`),
    two independent random draws from one table, a test set that is the whole table, a model fitted on all rows and scored on
    the part called test, a model that learns the test part and is scored on it while others learn the rest, validation data
    cut from the training rows that are all fitted (`val-in-train`), a network that is built before a loop over folds, learns
    in every one and is scored in every one (`carried-over`).

    Not reported: complements (`df.drop(train.index)`, masks and their negation), adjacent slices, folds of one splitter, the
    whole table scored by a program without held-out score (MLB701), a last refit on all rows.

    ## Why it is bad
    The shared rows are remembered, not predicted.

    ## Example
    ```python
    train = df.sample(frac=0.8, random_state=0)
    test = df.sample(frac=0.2, random_state=1)
    ```

    ## Use instead
    ```python
    train = df.sample(frac=0.8, random_state=0)
    test = df.drop(train.index)
    ```

    ## How a run confirms it
    The exact intersection of row contents, and the metric inside and outside of it.

    ## References
    Lee et al. 2022, tip 7; Kapoor & Narayanan 2023, L1.1, L1.4; REFORMS 6a, 6b; DOME 1.3; Yang et al. 2022 (overlap leakage).
    """

    code = "MLB715"
    name = "train-test-overlap"
    tip = 7
    severity = Severity.ERROR
    variants = ("val-in-train", "carried-over")
    remedy = "Make the evaluation rows the complement of the training rows."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Overlaps between fitted and scored rows that are not the whole table."""
        told = set()
        for score in trace.scores:
            place, confidence = self._overlap(trace, score)
            if place is None or place.at in told:
                continue
            told.add(place.at)
            fits = trainings_of(trace, score.subject, score) if score.subject else []
            yield self.finding(
                place,
                f"Rows that `{score.metric}` scores as held-out are among the training rows.",
                evidence=[("trained here", fits[-1] if fits else None), ("scored here", score)],
                confidence=confidence,
            )
        for fit in trace.trainings:
            held, rows = fit.validation, fit.data.rows
            if held.rows.known and held.rows != rows and held.rows.subset(rows) and role_of(held) and fit.at not in told:
                told.add(fit.at)
                message = f"The validation rows of `{fit.subject.label}` are among the rows that it is fitted on."
                yield self.finding(fit, message, variant="val-in-train")
        for fit, score, fold in _carried_over(trace):
            if fold.at not in told:
                told.add(fold.at)
                name = fit.subject.name or fit.subject.label
                yield self.finding(
                    fold,
                    f"`{name}` is built before the folds and goes on learning in each: the rows that `{score.metric}` scores in "
                    "one fold are training rows of the folds before.",
                    evidence=[("built here", fit.subject.at), ("trained here", fit), ("scored here", score)],
                    confidence=Confidence.CERTAIN if trace.resolved else Confidence.LIKELY,
                    remedy="Build the network anew in every fold, or put its first weights back.",
                    variant="carried-over",
                )

    def _overlap(self, trace: Trace, score: Score) -> tuple[Event | None, Confidence]:
        """The place that makes the overlap, None without one."""
        rows, fitted = score.data.rows, score.fitted
        if score.cross_validated or score.subject is None or in_fold(rows) or in_fold(fitted):
            return None, Confidence.LIKELY
        if rows == fitted:
            return _of_the_test_part(trace, score), Confidence.LIKELY
        made, cut = split_of(trace, rows), split_of(trace, fitted)
        if made is not None and cut is not None and trace.exclusive(made, cut):
            return None, Confidence.LIKELY  # a run makes one of the two divisions
        if rows.drawn_independently(fitted):
            return made or score, Confidence.LIKELY
        if not rows.overlap(fitted):
            return None, Confidence.LIKELY
        inside, around = rows.subset(fitted), fitted.subset(rows)
        # Batches, arms of a branch: a part of them may be the whole. A run counts rows, so that nothing is open there.
        in_pieces = rows.shared(fitted) is None and (not rows.steps() or not fitted.steps())
        if any(one.result.shared(rows) and one.id < score.id for one in trace.of(Resample)):
            return None, Confidence.LIKELY  # copies that a run counted: another rule's finding
        if not inside and not around and not (in_pieces and score.data.named_role not in HELD_OUT):
            return made or score, Confidence.CERTAIN
        role = role_of(score.data)
        if score.data.named_role not in HELD_OUT or not trace.reported(score) or untouched(trace, score.data, role):
            return None, Confidence.LIKELY
        if _of_training(trace, score):
            return None, Confidence.LIKELY
        if not inside:
            return score, Confidence.CERTAIN if made else Confidence.LIKELY
        fits = trainings_of(trace, score.subject, score)
        return fits[-1] if fits else score, Confidence.CERTAIN if made else Confidence.LIKELY


def _of_the_test_part(trace: Trace, score: Score) -> Fit | None:
    """The fit of a model that learns from the test part and is scored nowhere else, while others learn from the rest."""
    held = split_of(trace, score.data.rows)
    if held is None or score.data.named_role != "test" or not trace.reported(score) or score.subject is None:
        return None
    fits = trainings_of(trace, score.subject, score)
    fit = next((one for one in reversed(fits) if isinstance(one, Fit)), None)
    if fit is None or fit.target is None or fit.data.named_role != "test":
        return None
    if fit.data.prediction is not None or fit.target.prediction is not None:  # a trend line, a model that explains another
        return None
    if any(s.subject is score.subject and s.data.rows != s.fitted for s in trace.scores):
        return None
    rest = any(one.subject is not score.subject and one.data.rows.disjoint(fit.data.rows) for one in trace.trainings)
    return fit if rest else None


# Their `fit` starts anew, whatever they were before.
_STARTS_ANEW = ("sklearn.", "skorch.", "scikeras.", "pytorch_tabnet.", "autokeras.")


def _carried_over(trace: Trace) -> Iterator[tuple[Fit, Score, Split]]:
    """Networks that learn in every fold without being built anew or put back, with a figure of a fold that reaches a reader."""
    for loop in dict.fromkeys(loop for fit in trace.of(Fit) if (loop := trace.loop(fit, LoopKind.FOLD)) is not None):
        inside = [event for event in trace.events if trace.inside(event, loop)]
        if any(_may_reset(event) for event in inside):
            continue
        for fit in inside:
            if not isinstance(fit, Fit) or not fit.role.startswith("estimator.deep") or not in_fold(fit.data.rows):
                continue
            parts = fit.subject.everything()
            built = any(draw.purpose == "init" and draw.id < fit.id and draw.subject in parts for draw in trace.of(Draw))
            if not built or fit.subject.api.startswith(_STARTS_ANEW) or fit.subject.facts.get("copy"):
                continue
            fold = split_of(trace, fit.data.rows)
            if fold is None or fold.how != "fold":
                continue
            scores = (s for s in inside if isinstance(s, Score) and s.subject is fit.subject and trace.reported(s))
            score = next((s for s in scores if s.data.rows.subset(fold.parts[-1])), None)
            if score is not None:
                yield fit, score, fold


_RESETS = re.compile(r"reset|init|assign|weight|clone|copy|build|model|net", re.IGNORECASE)


def _may_reset(event: Event) -> bool:
    """Whether a network may be built, or get other weights, here."""
    if isinstance(event, Unresolved):
        return bool(_RESETS.search(event.name)) or any(one.is_a("layer", "module", "estimator") for one in event.touches)
    return (
        isinstance(event, Build)
        or (isinstance(event, Draw) and event.purpose == "init")
        or (isinstance(event, Weights) and event.action == "load")
    )


def _of_training(trace: Trace, score: Score) -> bool:
    """Whether the scored outputs are those that the network learns from, batch by batch: whatever the loader is called, that is
    a figure of the training."""
    made = score.data.prediction
    batch = trace.loop(trace.event(made.event), LoopKind.BATCH) if made is not None and made.event >= 0 else None
    return batch is not None and any(trace.inside(step, batch) for step in trace.of(Step))
