"""MLB731: the evaluation loader reorders, drops or repeats samples."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import NO_DATA, Loader, Score
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace

REPEATING = ("WeightedRandomSampler", "replacement")


class EvaluationLoaderMisuse(Rule):
    """The evaluation loader reorders, drops or repeats samples.

    ## What it does
    `misaligned`: predictions are collected from a loader that shuffles and compared with labels from an array or from another
    pass over the loader. `dropped` (warning): the loader of a reported figure drops the last incomplete batch, or a number of
    `steps` that is rounded down does. `sampler` (warning): it draws with weights or with replacement.

    Not reported: labels collected in the same pass; loaders without shuffle; training loaders; metric objects fed batch by
    batch.

    ## Why it is bad
    Predictions and labels of different samples are compared, or a part of the test set is never scored.

    ## Example
    ```python
    test_ds = keras.utils.image_dataset_from_directory("test/", batch_size=32)
    prob = net.predict(test_ds)
    y = np.concatenate([lab for _, lab in test_ds])
    print(roc_auc_score(y, prob[:, 0]))
    ```

    ## Use instead
    ```python
    test_ds = keras.utils.image_dataset_from_directory("test/", batch_size=32, shuffle=False)
    ```

    ## How a run confirms it
    Identities of predicted samples and of labels in order; number of scored and of available rows.

    ## References
    Lee et al. 2022, tips 3 and 7; Keras, `image_dataset_from_directory`; DOME 4.1.
    """

    code = "MLB731"
    name = "evaluation-loader-misuse"
    tip = 7
    severity = Severity.ERROR
    variants = ("misaligned", "dropped", "sampler")
    remedy = "Read the evaluation data in order and in full: shuffle=False, drop_last=False, no sampler."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Held-out scores behind a loader that changes order or number of its samples."""
        loaders = {id(loader.subject): loader for loader in trace.of(Loader)}
        told = set()
        for score in trace.held_out_scores:
            loader = loaders.get(id(score.data.loader))
            if loader is None:
                continue
            for variant, message, severity, confidence in self._faults(trace, score, loader):
                if (loader.at, variant) not in told:
                    told.add((loader.at, variant))
                    yield self.finding(
                        loader,
                        message,
                        evidence=[("scored here", score)],
                        severity=severity,
                        confidence=confidence,
                        variant=variant,
                    )

    @staticmethod
    def _faults(trace: Trace, score: Score, loader: Loader) -> Iterator[tuple[str, str, Severity, Confidence]]:
        truth = score.truth
        other = truth.loader is not score.data.loader and (truth.rows.known or truth.loader is not None)
        again = truth.loader is score.data.loader and truth.visit > 0 and score.data.visit > 0 and truth.visit != score.data.visit
        if loader.shuffle and truth != NO_DATA and (other or again):
            message = f"The loader shuffles, but `{score.metric}` compares its predictions with labels read in another order."
            yield "misaligned", message, Severity.ERROR, Confidence.CERTAIN
        if not trace.reported(score):
            return
        if loader.drop_last:
            yield (
                "dropped",
                f"The loader drops the last batch, so `{score.metric}` leaves out samples.",
                Severity.WARNING,
                Confidence.CERTAIN,
            )
        if loader.sampler.endswith(REPEATING):
            yield (
                "sampler",
                f"The loader draws samples at random with repetition for `{score.metric}`.",
                Severity.WARNING,
                Confidence.CERTAIN,
            )
