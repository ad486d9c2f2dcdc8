"""MLB704: the decision threshold is optimised on the labels that it is then scored on."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Report, Score, Select
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import held_out_confidence, role_of, same_view, untouched


class ThresholdChosenOnTestSet(Rule):
    """The decision threshold is optimised on the test labels and then scored on them.

    ## What it does
    Reports a threshold that is picked from a curve or a loop over cut-offs (Youden, best F1, cost) on held-out rows when
    labels cut at such a threshold are scored on the same rows.

    Not reported: a threshold from training or validation rows with a score on other rows; fixed thresholds; areas under
    curves; a threshold that is only printed.

    ## Why it is bad
    Sensitivity and specificity at the best cut-off of the very rows are optimistic, the more so the fewer positives there
    are.

    ## Example
    ```python
    fpr, tpr, thresholds = roc_curve(y_test, prob)
    cut = thresholds[np.argmax(tpr - fpr)]
    print("sensitivity", recall_score(y_test, prob >= cut))
    ```

    ## Use instead
    ```python
    fpr, tpr, thresholds = roc_curve(y_val, net.predict(X_val))
    cut = thresholds[np.argmax(tpr - fpr)]
    print("sensitivity", recall_score(y_test, prob >= cut))
    ```

    ## How a run confirms it
    The threshold is chosen again on inner cross-validation predictions of the training rows; every thresholded metric is
    compared.

    ## References
    Lee et al. 2022, tip 7; Zhang et al. 2022 (threshold-dependent validation); REFORMS 5d, 6a, 7a; DOME 4.2.
    """

    code = "MLB704"
    name = "threshold-chosen-on-test-set"
    tip = 7
    severity = Severity.ERROR
    skip_tests = True
    remedy = "Choose the threshold on validation rows or on cross-validated predictions of the training rows."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Thresholds whose rows are the rows of a later thresholded score."""
        told = set()
        for select in trace.of(Select):
            if select.what != "threshold" or select.at in told or role_of(select.data) == "validation":
                continue
            for score in trace.scores:
                linked = select.id in score.chosen or _best_shown(trace, select, score)
                if score.family != "label" or not linked:
                    continue
                if not same_view(score.data, select.data) or not trace.held_out(score) or trace.exclusive(select, score):
                    continue
                if untouched(trace, select.data, role_of(select.data, score.data)):
                    continue
                told.add(select.at)
                place = trace.anchor(select)
                yield self.finding(
                    place,
                    f"The threshold is chosen on the labels of the rows that `{score.metric}` is then computed on.",
                    evidence=[("chosen here", select if place != select.at else None), ("scored here with it", score)],
                    confidence=held_out_confidence(score),
                )
                break


def _best_shown(trace: Trace, select: Select, score: Score) -> bool:
    """Whether the figure of the best threshold is reported: the one that chose it."""
    if score.id not in select.scores:
        return False
    after = (report for report in trace.of(Report) if score.id in report.scores and report.id > select.id)
    return any(report.loops == select.loops[: len(report.loops)] and _of_best(select, report) for report in after)


def _of_best(select: Select, report: Report) -> bool:
    outside = len(report.loops) < len(select.loops)  # the best one so far, shown when the loop over thresholds is over
    return outside and "score" in select.keeps if select.how == "if" else "max" in report.shown
