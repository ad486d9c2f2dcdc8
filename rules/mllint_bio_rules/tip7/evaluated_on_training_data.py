"""MLB701: the only score is computed on the rows that the model was trained on."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import LoopKind, Save, Score, Subject, Unresolved, Weights
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rows import Part, Slice
from mllint_bio.rule import Rule
from mllint_bio.trace import PREDICTORS, Trace, first
from mllint_bio_rules.tip7._queries import trainings_of

CURVES = frozenset(
    {"roc_curve", "precision_recall_curve", "det_curve", "RocCurveDisplay", "PrecisionRecallDisplay", "DetCurveDisplay"}
)


class EvaluatedOnTrainingData(Rule):
    """The only reported score is computed on the rows that the model was trained on.

    ## What it does
    Reports a supervised score that reaches a reader when all scored rows are training rows of the scored model and the
    program holds no score of held-out rows at all: no test part, no cross-validation. Curves drawn from training predictions
    are the variant `resubstitution-threshold`.

    Not reported: programs that score training and test rows (that comparison shows overfitting); clustering, reconstruction
    and likelihood figures; tests and library examples; a refit on all rows after an evaluation; progress figures of a script
    that saves its model and leaves the evaluation to another one.

    ## Why it is bad
    A flexible model can learn its training rows by heart. Such a score says nothing about new patients.

    ## Example
    ```python
    gnb = GaussianNB().fit(otu_table, ibd)
    print("accuracy:", accuracy_score(ibd, gnb.predict(otu_table)))
    ```

    ## Use instead
    ```python
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    prob = cross_val_predict(GaussianNB(), otu_table, ibd, cv=folds, method="predict_proba")[:, 1]
    print("AUC:", roc_auc_score(ibd, prob))
    ```

    ## How a run confirms it
    The fitted and the scored rows are compared by content; five-fold cross-validation of the same estimator gives the drop.

    ## References
    Lee et al. 2022, tip 7; Kapoor & Narayanan 2023, leakage type L1.1; REFORMS 5c; DOME 4.1; Yang et al. 2022 (overlap
    leakage).
    """

    code = "MLB701"
    name = "evaluated-on-training-data"
    tip = 7
    severity = Severity.ERROR
    variants = ("resubstitution-threshold",)
    programs_only = True
    skip_tests = True
    remedy = "Score rows that the model has not seen: split first, or use cross-validation."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Training scores of programs without any other score."""
        if not trace.is_program or any(s.cross_validated or not (_of_training(s) or _of_all(s)) for s in trace.scores):
            return  # an unknown answer may be a held-out score
        elsewhere = first(
            e
            for e in trace.of(Save, Weights)
            if (isinstance(e, Weights) and e.action == "save") or (isinstance(e, Save) and e.what == "model")
        )
        told = set()
        for score in trace.scores:
            subject = score.subject
            if subject is None or subject.at in told or not trace.reported(score) or not subject.is_a(*PREDICTORS):
                continue
            progress = trace.loop(score, LoopKind.EPOCH) is not None
            meant_apart = score.data.named_role in ("validation", "test") and score.data.rows != score.fitted
            if (progress and elsewhere) or meant_apart:  # the training rows overlap a held-out part: MLB715
                continue
            if score.family == "regression" and _loss_apart(trace, subject):
                continue
            told.add(subject.at)  # the same network, built again for every candidate or fold, is one fault
            handed_on = not trace.resolved or any(subject in call.touches for call in trace.of(Unresolved))
            training = trainings_of(trace, subject, score)
            rows = "the rows that it was trained on" if _of_training(score) else "all rows, those that it was trained on included"
            place = trace.parting(score, training[-1] if training else None)
            yield self.finding(
                place,
                f"`{score.metric}`, the only score of `{subject.label}`, is computed on {rows}.",
                evidence=[
                    ("trained here", training[-1] if training else None),
                    ("scored here", score if place != score.at else None),
                ],
                confidence=Confidence.LIKELY if progress or elsewhere or handed_on else Confidence.CERTAIN,
                variant="resubstitution-threshold" if _curve(score) else "",
            )


def _loss_apart(trace: Trace, subject: Subject) -> bool:
    """Whether a loss of rows that the model never saw is shown: of a regression or a reconstruction that is a figure of merit."""
    losses = (s for s in trace.of(Score) if s.family == "loss" and s.subject is subject and trace.reported(s))
    return any(s.data.rows.disjoint(s.fitted) for s in losses)


def _of_training(score: Score) -> bool:
    return bool(score.data.rows.subset(score.fitted))


def _of_all(score: Score) -> bool:
    """Whether the scored rows were split, and one side trained the model."""
    whole, part = score.data.rows.steps(), score.fitted.steps()
    split = len(part) > len(whole) > 0 and part[: len(whole)] == whole and isinstance(part[len(whole)], (Part, Slice))
    return split and score.data.named_role not in ("validation", "test")


def _curve(score: Score) -> bool:
    return score.metric.split(".")[0] in CURVES
