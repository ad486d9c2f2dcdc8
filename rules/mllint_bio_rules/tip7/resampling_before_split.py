"""MLB708: rows are copied or synthesised before the split."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Resample
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import held_out_confidence, made_on_both_sides, split_of

VARIANTS = {"copy": "duplicates", "bootstrap": "duplicates", "synthetic": "synthetic", "drop": "test-balanced"}


class ResamplingBeforeSplit(Rule):
    """Rows are copied or synthesised before the split, so that both sides hold versions of one sample.

    ## What it does
    Reports over-sampling (SMOTE, `RandomOverSampler`, `resample(replace=True)`, repeated minority rows) whose result is then
    divided into training and evaluation rows. Under-sampling before the split, or resampling of the evaluation rows alone, is
    the variant `test-balanced` (warning): the prevalence of the test rows is no longer that of the population.

    Not reported: `imblearn.pipeline.Pipeline`; resampling of the training rows after the split; resampling inside the fold
    loop; class weights; weighted samplers; bootstrap intervals.

    ## Why it is bad
    A copy, or an interpolation, of a test sample is in the training set. On pure noise a forest reaches an area under the
    curve of 1.00 with duplicated and 0.99 with synthetic minority rows.

    ## Example
    ```python
    X_bal, y_bal = SMOTE(random_state=0).fit_resample(clin, sepsis)
    X_tr, X_te, y_tr, y_te = train_test_split(X_bal, y_bal, test_size=0.2, random_state=0)
    ```

    ## Use instead
    ```python
    X_tr, X_te, y_tr, y_te = train_test_split(clin, sepsis, stratify=sepsis, test_size=0.2, random_state=0)
    model = imblearn.pipeline.make_pipeline(SMOTE(random_state=0), RandomForestClassifier(random_state=0)).fit(X_tr, y_tr)
    ```

    ## How a run confirms it
    The share of test rows whose original is also behind a training row is counted; the counterfactual moves the sampler below
    the split.

    ## References
    Lee et al. 2022, tip 7; Kapoor & Narayanan 2023, L1.2, L1.4, L3.3; REFORMS 6a, 6b; Whalen et al. 2022; imbalanced-learn,
    common pitfalls.
    """

    code = "MLB708"
    name = "resampling-before-split"
    tip = 7
    severity = Severity.ERROR
    variants = ("duplicates", "synthetic", "test-balanced")
    remedy = "Split first and resample the training rows only, or put the sampler into an imblearn pipeline."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Resampled rows that an evaluation reads."""
        told = set()
        for resample in trace.of(Resample):
            variant = VARIANTS.get(resample.lineage)
            if variant is None or resample.at in told:
                continue
            for score in trace.held_out_scores:
                if score.id < resample.id or not score.data.rows.overlap(resample.result):
                    continue
                both = made_on_both_sides(trace, resample, score)
                if not both and resample.lineage == "bootstrap":
                    continue  # a bootstrap interval of the score
                if not both and (not resample.balances or score.family in ("regression", "residual")):
                    continue  # no class became more or less frequent
                told.add(resample.at)
                harm = (
                    "so versions of one sample are in the training and in the evaluation rows"
                    if both and variant != "test-balanced"
                    else "so their prevalence is not that of the population"
                )
                yield self.finding(
                    resample,
                    f"`{resample.api.rsplit('.', 1)[-1]}` changes rows that `{score.metric}` is later computed on, {harm}.",
                    evidence=[("split here", split_of(trace, score.data.rows)), ("scored here", score)],
                    severity=None if both and variant != "test-balanced" else Severity.WARNING,
                    confidence=held_out_confidence(score),
                    variant=variant if both else "test-balanced",
                )
                break
