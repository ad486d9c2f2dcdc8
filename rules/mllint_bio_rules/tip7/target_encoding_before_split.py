"""MLB709: a feature is computed from the labels of evaluated rows."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Fit, Transform
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import leaks


class TargetEncodingBeforeSplit(Rule):
    """A feature is computed from labels that include those of evaluated rows.

    ## What it does
    Reports target encoders, supervised projections (LDA, PLS), supervised embeddings and group means of the target
    (`df.groupby("gene")["pathogenic"].transform("mean")`) that had seen the labels of rows scored later. The variant
    `in-sample` (warning) reports scikit-learn's `TargetEncoder` used as `fit` then `transform` on the same training rows,
    which skips its cross-fitting.

    Not reported: encoders inside a pipeline or a fold; aggregates of features, not of the label.

    ## Why it is bad
    The label of the test row is in its own feature. On shuffled labels (80 categories, 300 rows) the leaky feature alone
    reaches an area under the curve of 0.78.

    ## Example
    ```python
    df["gene_rate"] = df.groupby("gene")["pathogenic"].transform("mean")
    train, test = train_test_split(df, test_size=0.2, random_state=0)
    ```

    ## Use instead
    ```python
    pre = ColumnTransformer([("rate", TargetEncoder(random_state=0), ["gene"])], remainder="passthrough")
    model = make_pipeline(pre, LGBMClassifier(random_state=0)).fit(train[columns], train["pathogenic"])
    ```

    ## How a run confirms it
    The rows whose labels reached the encoder are intersected with the scored rows; on shuffled labels the leaky feature still
    predicts.

    ## References
    Lee et al. 2022, tip 7; Kapoor & Narayanan 2023, leakage types L1.2 and L2; REFORMS 4c, 6a, 6c; scikit-learn,
    TargetEncoder.
    """

    code = "MLB709"
    name = "target-encoding-before-split"
    tip = 7
    severity = Severity.ERROR
    variants = ("in-sample",)
    remedy = "Learn the encoding from the training rows only: put the encoder into a pipeline with the estimator."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Leaks of state that was learned from the labels, and encoders without cross-fitting."""
        for leak in leaks(trace):
            if leak.kind == "supervised":
                who = "A group statistic of the target" if leak.fit.role == "statistic" else f"`{leak.fit.subject.label}`"
                yield self.finding(
                    leak.fit,
                    f"{who} turns the labels of {leak.use} into a feature.",
                    evidence=leak.evidence,
                    confidence=leak.confidence,
                )
        for use in trace.of(Transform):
            fit = trace.event(use.fit) if use.fit >= 0 else None
            if not isinstance(fit, Fit) or use.subject.api != "sklearn.preprocessing.TargetEncoder" or fit.method != "fit":
                continue
            if use.method == "transform" and use.data.rows.known and use.data.rows == fit.data.rows:
                yield self.finding(
                    use,
                    "`TargetEncoder` encodes its own training rows without cross-fitting: only `fit_transform` cross-fits.",
                    evidence=[("fitted here", fit)],
                    severity=Severity.WARNING,
                    variant="in-sample",
                    remedy="Call `fit_transform` on the training rows and `transform` on the others.",
                )
