"""MLB707: features are chosen with rows that are later used for evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import leaks


class FeatureSelectionBeforeSplit(Rule):
    """Features are chosen with rows that are later used for evaluation.

    ## What it does
    Reports a feature selector (`SelectKBest`, `RFE`, `SelectFromModel`, Boruta), per-column tests or correlations used to
    pick columns, or importances of a model fitted on all rows, when a held-out score is computed on rows that took part in
    the choice, or when those that a later split holds out are stored for another program to score. With the labels it is an
    error; without (`VarianceThreshold`, a ranking by variance) a warning.

    Not reported: selection inside a pipeline or a fold; gene lists from a file or the literature; selection on another
    cohort; a constant threshold on missing values; removal of constant columns (`VarianceThreshold()` with threshold 0 is
    info).

    ## Why it is bad
    With many more genes than samples some genes separate any labelling by chance. Chosen with the test labels they separate
    the test rows too: on pure noise (100 samples, 5,000 features) an area under the curve of 0.97 comes out instead of 0.5.

    ## Example
    ```python
    X = SelectKBest(f_classif, k=50).fit_transform(expr, relapse)
    auc = cross_val_score(LogisticRegression(max_iter=1000), X, relapse, cv=5, scoring="roc_auc")
    ```

    ## Use instead
    ```python
    clf = make_pipeline(SelectKBest(f_classif, k=50), LogisticRegression(max_iter=1000))
    auc = cross_val_score(clf, expr, relapse, cv=5, scoring="roc_auc")
    ```

    ## How a run confirms it
    The rows of the selection are intersected with the scored rows. On shuffled labels the leaky program still scores high,
    the repaired one does not; the contrast is printed.

    ## References
    Lee et al. 2022, tip 7; Kapoor & Narayanan 2023, leakage type L1.3; REFORMS 4c, 6a; DOME 2.5; Whalen et al. 2022;
    scikit-learn, data leakage during feature selection.
    """

    code = "MLB707"
    name = "feature-selection-before-split"
    tip = 7
    severity = Severity.ERROR
    variants = ("supervised", "hand-written", "unsupervised")
    remedy = "Choose the features inside the training part: put the selector into a pipeline with the estimator."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Leaks of a choice of columns."""
        for leak in leaks(trace):
            if not leak.kind.startswith("selector-"):
                continue
            supervised = leak.kind == "selector-supervised"
            selector = leak.fit.subject
            by_hand = not selector.is_a("feature-selector")
            severity = None
            if not supervised:
                default = None if "threshold" in selector.arguments or selector.unknown_arguments else 0
                constant = selector.label == "VarianceThreshold" and selector.given.get("threshold", default) == 0
                severity = Severity.INFO if constant else Severity.WARNING
            yield self.finding(
                leak.fit,
                f"`{selector.label}` chooses features with {'the labels of ' if supervised else ''}{leak.use}.",
                evidence=leak.evidence,
                severity=severity,
                confidence=leak.confidence,
                variant="unsupervised" if not supervised else "hand-written" if by_hand else "supervised",
            )
