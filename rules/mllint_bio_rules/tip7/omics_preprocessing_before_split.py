"""MLB711: an in-place omics function learns from all samples before they are split."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import leaks


class OmicsPreprocessingBeforeSplit(Rule):
    """An omics preprocessing step learns from all samples before they are split.

    ## What it does
    Reports functions that keep state over all cells or samples of an annotated object (`sc.pp.scale`,
    `highly_variable_genes`, `pca`, `regress_out`, `normalize_total` without `target_sum`) and batch correction (ComBat,
    Harmony) when parts of the object are later used for a supervised held-out score or a split stores them for one. Batch
    correction with the outcome as a covariate is an error (`with-label`).

    Not reported: clustering, trajectories and marker genes without a held-out score, which is the usual workflow; per-cell
    functions (`log1p`, `normalize_total(target_sum=1e4)`); steps fitted on the training cells to which the others are mapped.

    ## Why it is bad
    The held-out cells helped to choose genes, components and batch offsets. With the outcome as a covariate the correction
    writes the label into the data.

    ## Example
    ```python
    sc.pp.highly_variable_genes(adata, n_top_genes=2000, subset=True)
    sc.pp.pca(adata)
    tr, te = train_test_split(np.arange(adata.n_obs), random_state=0)
    clf.fit(adata.obsm["X_pca"][tr], adata.obs["diagnosis"].iloc[tr])
    ```

    ## Use instead
    ```python
    train, test = adata[tr].copy(), adata[te].copy()
    sc.pp.highly_variable_genes(train, n_top_genes=2000, subset=True)
    pca = PCA(50, random_state=0).fit(train.X)
    clf.fit(pca.transform(train.X), train.obs["diagnosis"])
    print(clf.score(pca.transform(test[:, train.var_names].X), test.obs["diagnosis"]))
    ```

    ## How a run confirms it
    Observation names serve as row identities; the counterfactual run splits first and maps the test cells.

    ## References
    Lee et al. 2022, tip 7 (quantile normalisation) and tip 4 (batch effects); Kapoor & Narayanan 2023, leakage types L1.2,
    L1.3; Whalen et al. 2022; scanpy documentation.
    """

    code = "MLB711"
    name = "omics-preprocessing-before-split"
    tip = 7
    severity = Severity.WARNING
    variants = ("learned", "batch-correction", "with-label")
    remedy = "Split the samples first, learn from the training samples, and map the others."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Leaks of state that in-place omics functions learned."""
        transductive = trace.options.get("protocol") == "transductive"
        for leak in leaks(trace):
            if leak.kind not in ("omics", "batch-correction"):
                continue
            label = leak.learned.uses_target or leak.fit.uses_target
            what = "puts the outcome into the data of" if label else "learns from"
            severity = Severity.ERROR if label else Severity.INFO if transductive else None
            declared = " (declared: protocol = transductive)" if transductive and not label else ""
            yield self.finding(
                leak.fit,
                f"`{leak.fit.subject.label}` {what} {leak.use}{declared}.",
                evidence=leak.evidence,
                severity=severity,
                confidence=leak.confidence,
                variant="with-label" if label else "learned" if leak.kind == "omics" else "batch-correction",
            )
