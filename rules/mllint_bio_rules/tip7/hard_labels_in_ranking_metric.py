"""MLB727: a ranking metric receives predicted labels."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Predict
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class HardLabelsInRankingMetric(Rule):
    """A ranking metric receives predicted labels instead of scores.

    ## What it does
    Reports areas under curves, curves, log loss and Brier scores whose prediction argument is made of class labels: `predict`
    of a classifier, `argmax`, rounding, a comparison with a cut-off; and scorers that are built without a response method.

    Not reported: `predict` of networks, boosters and regressors, which returns scores; predictions of unknown origin.

    ## Why it is bad
    A label has two values, so the curve has one corner; 0.68 came out where the scores gave 0.84.

    ## Example
    ```python
    print("AUC", roc_auc_score(y_test, clf.predict(X_test)))
    ```

    ## Use instead
    ```python
    print("AUC", roc_auc_score(y_test, clf.predict_proba(X_test)[:, 1]))
    ```

    ## How a run confirms it
    The number of distinct values that reach the metric (two confirms) and the metric from the captured scores.

    ## References
    Lee et al. 2022, tip 7; DOME 4.2; REFORMS 7a; scikit-learn, `roc_auc_score`.
    """

    code = "MLB727"
    name = "hard-labels-in-ranking-metric"
    tip = 7
    severity = Severity.ERROR
    remedy = "Pass `predict_proba(X)[:, 1]` or `decision_function(X)`."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Ranking metrics of labels."""
        told = set()
        for score in trace.scores:
            made = score.data.prediction
            if score.family != "score" or made is None or made.output != "label" or score.at in told:
                continue
            told.add(score.at)
            if made.subject.is_a("scorer-factory"):
                yield self.finding(
                    score,
                    f"`{score.metric}` needs scores, but a scorer made by `{made.subject.label}` gives it predicted labels.",
                    remedy='Say `response_method="predict_proba"`, or name the metric: `scoring="roc_auc"`.',
                )
                continue
            source = trace.event(made.event) if made.event >= 0 else None
            yield self.finding(
                score,
                f"`{score.metric}` needs scores but gets the labels that `{made.subject.label}` predicts.",
                evidence=[("predicted here", source if isinstance(source, Predict) and source.at != score.at else None)],
            )
