"""MLB726: a classifier is judged by accuracy alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mllint_bio.events import Event, Fit, Loader, Resample, Score
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace, first

BALANCING = ("class_weight", "scale_pos_weight", "is_unbalance", "pos_weight", "auto_class_weights")


class AccuracyOnlyEvaluation(Rule):
    """A classifier is judged by accuracy alone.

    ## What it does
    Reports the first held-out accuracy (`accuracy_score`, `.score()`, a counter of correct predictions, micro-averaged F1) of
    a program that computes no other figure from its predictions: no per-class report, confusion matrix, F1, balanced
    accuracy, AUC. It is info, and a warning (`imbalanced`) when the program itself weights classes, resamples, or samples by
    weight. `roc-only`: the area under the ROC curve is the only figure of a problem that the program itself treats as
    imbalanced.

    Not reported: any second figure beside it, reported or not; regression; cross-validated accuracy beside another metric.

    ## Why it is bad
    If one mammogram in a hundred shows cancer, calling all of them healthy is 99 % accurate.

    ## Example
    ```python
    clf = RandomForestClassifier(class_weight="balanced", random_state=0).fit(X_train, y_train)
    print("accuracy", clf.score(X_test, y_test))
    ```

    ## Use instead
    ```python
    prob = clf.predict_proba(X_test)[:, 1]
    print("average precision", average_precision_score(y_test, prob))
    print(classification_report(y_test, clf.predict(X_test)))
    ```

    ## How a run confirms it
    Prevalence per part, the score of the majority class beside the reported one, and the other metrics with bootstrap
    intervals.

    ## References
    Lee et al. 2022, tip 7 (mammograms; a carefully picked panel of metrics); DOME 4.2; REFORMS 7a; Lones 4.6; Whalen et al.
    2022.
    """

    code = "MLB726"
    name = "accuracy-only-evaluation"
    tip = 7
    severity = Severity.WARNING
    variants = ("accuracy-only", "imbalanced", "roc-only")
    programs_only = True
    skip_tests = True
    remedy = "Report a metric that class balance does not decide as well: MCC, balanced accuracy, average precision."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Programs whose only held-out figure is accuracy."""
        held = [s for s in trace.held_out_scores if not s.handwritten or trace.reported(s)]  # else one case may be looked at
        if not trace.is_program or not held or any(s.family in ("segmentation", "subgroup") for s in trace.scores):
            return
        if any(s.family == "unknown" and _METER.search(s.metric) for s in trace.of(Score)):
            return  # some other figure, which the catalog does not know
        figures = {_figure(s) for s in trace.scores if s.family in ("label", "score")}
        only = figures.pop() if len(figures) == 1 else ""
        evidence = next(self._imbalance(trace), None)
        at = first(sorted((s for s in held if _figure(s) == only), key=lambda s: not trace.reported(s)))
        if at is None or only not in ("accuracy", "roc") or (only == "roc" and evidence is None):
            return
        variant = "roc-only" if only == "roc" else "imbalanced" if evidence else "accuracy-only"
        what = "accuracy" if only == "accuracy" else "the area under the ROC curve"
        weighted = f"The program treats its classes as imbalanced, but {what} is all that it reports."
        yield self.finding(
            at,
            weighted if evidence else f"The classifier is judged by {what} alone.",
            evidence=[("classes are balanced here", evidence)],
            severity=Severity.WARNING if variant == "imbalanced" else Severity.INFO,
            confidence=Confidence.CERTAIN if trace.resolved else Confidence.LIKELY,
            variant=variant,
        )

    @staticmethod
    def _imbalance(trace: Trace) -> Iterator[Event]:
        for event in trace.events:
            if isinstance(event, Resample):
                found = event.balances and event.lineage in ("copy", "synthetic", "drop")
            elif isinstance(event, Loader):
                found = event.sampler.endswith("WeightedRandomSampler")
            else:
                found = isinstance(event, Fit) and any(
                    _weighs(one.given.get(name, name in one.arguments))
                    for one in event.subject.everything()
                    for name in BALANCING
                )
            if found:
                yield event


def _weighs(given: object) -> bool:
    """Whether a setting gives the classes different weights: a weight of one is that of the other class."""
    return bool(given) and (isinstance(given, bool) or given != 1)


_METER = re.compile(
    r"meter|metric|confusion|evaluator|precision|recall|sensitivity|specificity|f1|f_?beta|f_?measure|f_?score|auc|mcc|matthews|kappa|dice|jaccard",
    re.IGNORECASE,
)


def _figure(score: Score) -> str:
    """accuracy for what the majority class dominates, roc for the area under the ROC curve, else the metric's own name."""
    name = score.metric.lower()
    if "balanced" not in name and ("accuracy" in name or name in ("acc", "score", "zero_one_loss", "hamming_loss")):
        return "accuracy" if score.family == "label" else name
    if name in ("f1_score", "precision_score", "recall_score", "fbeta_score") and score.averaging == "micro":
        return "accuracy"
    return "roc" if name in ("roc_auc_score", "roc_auc", "auroc", "roc_curve", "roccurvedisplay", "auc") else name
