"""MLB706: a transform is fitted on rows that are later used for evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import leaks

LEARNS = {
    "scale": "its column statistics",
    "impute": "its fill values",
    "quantile": "its quantiles",
    "discretise": "its bins",
    "vectorise": "its vocabulary and document frequencies",
    "decompose": "its components",
    "cluster": "its clusters",
    "representation": "its representation",
    "hand-written": "its statistic",
}
_FILLS = {
    "fillna": "`fillna` puts in a statistic of",
    "fill": "Gaps are filled with a statistic of",
    "replace": "Gaps are filled with a statistic of",
}


class TransformFittedBeforeSplit(Rule):
    """A transform is fitted on rows that are later used for evaluation.

    ## What it does
    Follows every scaler, imputer, encoder of quantiles or bins, vectoriser, decomposition, clustering, learned representation
    and hand-written column statistic (`X - X.mean()`, `fillna(X.median())`) from the rows that it was fitted on to the scores
    that depend on it. It reports the fit when a held-out score is computed on rows that the fit had seen and that also shaped
    the training input, or when the held-out part of a later split is stored for another program to score.

    Not reported: transforms inside a pipeline that is fitted per fold; transforms fitted on the training rows only; row-wise
    functions (`log1p`, `Normalizer`, counts per million); programs that neither score nor store a held-out part; a refit on all
    rows after the evaluation; inner validation folds when the same model is also scored on rows that the transform never saw.

    ## Why it is bad
    Held-out rows stand for patients whom nobody has seen. If they shaped the mean, the components or the vocabulary, the
    score measures something that cannot be had in use. The effect of scaling is usually small, that of representations can be
    large; it is a fault of the protocol either way.

    ## Example
    ```python
    X = StandardScaler().fit_transform(metabolites)
    X_tr, X_te, y_tr, y_te = train_test_split(X, sepsis, stratify=sepsis, random_state=0)
    clf = LogisticRegression().fit(X_tr, y_tr)
    print(roc_auc_score(y_te, clf.predict_proba(X_te)[:, 1]))
    ```

    ## Use instead
    ```python
    X_tr, X_te, y_tr, y_te = train_test_split(metabolites, sepsis, stratify=sepsis, random_state=0)
    clf = make_pipeline(StandardScaler(), LogisticRegression()).fit(X_tr, y_tr)
    print(roc_auc_score(y_te, clf.predict_proba(X_te)[:, 1]))
    ```
    `protocol = "transductive"` in the configuration declares that test inputs may be used without labels; the finding becomes
    info.

    ## How a run confirms it
    The rows that each `fit` received are intersected with the rows of each metric; the counterfactual run restricts the fit
    to the training rows and gives the change of the metric with a paired bootstrap interval.

    ## References
    Lee et al. 2022, tip 7; Kapoor & Narayanan 2023, leakage type L1.2; REFORMS 4c, 6a; DOME 2.3; scikit-learn, common
    pitfalls.
    """

    code = "MLB706"
    name = "transform-fitted-before-split"
    tip = 7
    severity = Severity.WARNING
    variants = tuple(LEARNS)
    remedy = "Fit it on the training rows only: split first, or put it into a pipeline with the estimator."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Leaks of unsupervised state."""
        transductive = trace.options.get("protocol") == "transductive"
        declared = " (declared: protocol = transductive)" if transductive else ""
        told = set()
        for leak in leaks(trace):
            if leak.kind not in LEARNS:
                continue
            message = f"`{leak.fit.subject.label}` learns {LEARNS[leak.kind]} from {leak.use}{declared}."
            if leak.kind == "hand-written":
                same = (leak.fit.at.path, leak.fit.calls, leak.fit.data.rows)  # mean and deviation of one table are one fault
                if same in told:
                    continue
                told.add(same)
                what = _FILLS.get(leak.fit.method) or f"The column statistic `{leak.fit.method}` is taken over"
                message = f"{what} {leak.use}{declared}."
            yield self.finding(
                leak.fit,
                message,
                evidence=leak.evidence,
                severity=Severity.INFO if transductive else None,
                confidence=leak.confidence,
                variant=leak.kind,
            )
