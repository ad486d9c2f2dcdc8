"""MLB710: augmented copies are made before the split."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Resample
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import held_out_confidence, made_on_both_sides, split_of


class AugmentationBeforeSplit(Rule):
    """Augmented copies are made before the split, so that variants of one sample fall on both sides.

    ## What it does
    Reports a step that turns one sample into several variants (flips, rotations, noise, crops, reverse complements,
    randomised SMILES) when its result is divided row by row into training and evaluation rows.

    Not reported: augmentation of the training rows after the split or inside a data set's `__getitem__`; splits by group;
    test-time augmentation.

    ## Why it is bad
    The model is tested on mirror images of its training images.

    ## Example
    ```python
    aug = np.concatenate([imgs, imgs[:, :, ::-1], np.rot90(imgs, axes=(1, 2))])
    X_tr, X_te, y_tr, y_te = train_test_split(aug, np.tile(labels, 3), test_size=0.2, random_state=0)
    ```

    ## Use instead
    ```python
    X_tr, X_te, y_tr, y_te = train_test_split(imgs, labels, test_size=0.2, random_state=0)
    X_tr = np.concatenate([X_tr, X_tr[:, :, ::-1], np.rot90(X_tr, axes=(1, 2))])
    ```

    ## How a run confirms it
    Lineage of the rows across the split; near duplicates between the parts by perceptual hash.

    ## References
    Lee et al. 2022, tips 1 and 7; Lones 4.2; Kapoor & Narayanan 2023, L1.4, L3.2; REFORMS 6a, 6b.
    """

    code = "MLB710"
    name = "augmentation-before-split"
    tip = 7
    severity = Severity.ERROR
    remedy = "Split first and augment the training part only."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Augmented rows on both sides of a split."""
        told = set()
        for resample in trace.of(Resample):
            if resample.lineage != "augment" or resample.at in told:
                continue
            for score in trace.held_out_scores:
                split = split_of(trace, score.data.rows)
                if split is not None and split.grouped:
                    continue
                shared = score.id > resample.id and score.data.rows.overlap(resample.result)
                if shared and made_on_both_sides(trace, resample, score):
                    told.add(resample.at)
                    yield self.finding(
                        resample,
                        f"Variants of one sample are trained on and scored by `{score.metric}`: they were made before the split.",
                        evidence=[("split here", split), ("scored here", score)],
                        confidence=held_out_confidence(score),
                    )
                    break
