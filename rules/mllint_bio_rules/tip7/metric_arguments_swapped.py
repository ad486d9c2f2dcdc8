"""MLB728: truth and prediction stand in the wrong order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from mllint_bio.events import Score, Site
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace

SYMMETRIC = frozenset(
    {
        *("accuracy_score", "matthews_corrcoef", "cohen_kappa_score", "hamming_loss", "zero_one_loss", "jaccard_score"),
        *("mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "median_absolute_error", "max_error"),
    }
)


class MetricArgumentsSwapped(Rule):
    """A metric gets the prediction where it expects the truth.

    ## What it does
    Reports metrics that are not symmetric when the argument in the place of the truth comes from a model and the other one is
    a label array. A binary F1 has the same value either way: info. Where a helper gets its arguments in order from one call and
    not from another, the finding stands at the wrong call.

    Not reported: symmetric metrics (accuracy, squared and absolute error, MCC, kappa, Jaccard); arguments of unknown origin.

    ## Why it is bad
    Precision and recall change places; a confusion matrix is transposed; R² is another number.

    ## Example
    ```python
    print("precision", precision_score(pred, y_test), "recall", recall_score(pred, y_test))
    ```

    ## Use instead
    ```python
    print("precision", precision_score(y_test, pred), "recall", recall_score(y_test, pred))
    ```

    ## How a run confirms it
    The array that equals the label source is identified; both values are printed.

    ## References
    Lee et al. 2022, tip 7; scikit-learn and torchmetrics signatures; DOME 4.2; REFORMS 7a.
    """

    code = "MLB728"
    name = "metric-arguments-swapped"
    tip = 7
    severity = Severity.ERROR
    remedy = "Swap the two arguments, or name them."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Scores whose arguments stand in the other order."""
        told = set()
        for score in trace.scores:
            if not score.swapped or score.metric in SYMMETRIC:
                continue
            # A helper that others call rightly is not at fault: the call that hands in the arguments is.
            place = _wrong_call(trace, score) or score.at
            if place in told:
                continue
            told.add(place)
            same = score.metric == "f1_score" and score.averaging in ("", "binary")
            beside = score.at if place != score.at else score.calls[-1] if score.calls else None
            yield self.finding(
                place,
                f"`{score.metric}` gets the prediction in the place of the truth.",
                evidence=[("scored here" if place != score.at else "handed in here", beside)],
                severity=Severity.INFO if same else None,
                confidence=Confidence.LIKELY if score.calls else Confidence.CERTAIN,  # a wrapper may pass its arguments on
            )


def _wrong_call(trace: Trace, score: Score) -> Site | None:
    """The call on the way to a score that no score with its arguments in order shares, if the same metric has such scores."""
    right = [s.calls for s in trace.scores if s.at == score.at and not s.swapped and s.data.prediction is not None]
    shared = max((_common(calls, score.calls) for calls in right), default=len(score.calls))
    return score.calls[shared] if shared < len(score.calls) else None


def _common(one: Sequence[Site], other: Sequence[Site]) -> int:
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
