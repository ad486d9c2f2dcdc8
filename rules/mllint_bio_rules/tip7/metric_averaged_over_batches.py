"""MLB729: a metric that is not a mean of its parts is averaged over batches."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Loop, LoopKind, Report, Score
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class MetricAveragedOverBatches(Rule):
    """A metric that is not the mean of its parts is computed per batch and averaged.

    ## What it does
    Reports areas under curves, F-scores, precision, recall, MCC, kappa, R² and correlations that are computed inside a loop
    over batches and reach a reader. Figures that only show progress inside the loop, and figures of training rows, are info.

    Not reported: metric objects with state (`update`, `compute`); predictions that are collected and scored once, be it in a
    loop over other batches; loops over folds, targets, patients or images; batches of one or of the whole set; accuracy and
    losses.

    ## Why it is bad
    The mean of batch AUCs is not the AUC of the set and changes with the batch size.

    ## Example
    ```python
    for x, y in val_loader:
        aucs.append(roc_auc_score(y, net(x).sigmoid().detach()))
    print("validation AUC", np.mean(aucs))
    ```

    ## Use instead
    ```python
    for x, y in val_loader:
        ys.append(y)
        ps.append(net(x).sigmoid().detach())
    print("validation AUC", roc_auc_score(torch.cat(ys), torch.cat(ps)))
    ```

    ## How a run confirms it
    The metric of the concatenated predictions beside the mean; two batch sizes give two numbers.

    ## References
    Lee et al. 2022, tip 7; DOME 4.2; REFORMS 7a, 7b.
    """

    code = "MLB729"
    name = "metric-averaged-over-batches"
    tip = 7
    severity = Severity.WARNING
    remedy = "Collect predictions and labels of all batches and compute the metric once."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Reported scores of single batches."""
        told = set()
        for score in trace.scores:
            loop = trace.loop(score)
            if loop is None or loop.kind is not LoopKind.BATCH or score.at in told or not self._condensed(score):
                continue
            if self._collected(trace, score, loop):
                continue
            reports = [r for r in trace.of(Report) if score.id in r.scores]
            if not reports:
                continue
            told.add(score.at)
            progress = all(trace.inside(r, loop) for r in reports) or bool(score.data.rows.subset(score.fitted))
            yield self.finding(
                score,
                f"`{score.metric}` is computed per batch; the mean over batches is not the `{score.metric}` of the set.",
                evidence=[("reported here", reports[-1])],
                severity=Severity.INFO if progress else None,
            )

    @staticmethod
    def _collected(trace: Trace, score: Score, loop: Loop) -> bool:
        """Whether the predictions come from a whole loop of their own inside this one, as in a validation every n batches."""
        made = score.data.prediction.event if score.data.prediction is not None else -1
        if made < 0:
            return False
        inner = trace.loop(trace.event(made), LoopKind.BATCH)
        return inner is not loop and trace.inside(trace.event(made), loop)

    @staticmethod
    def _condensed(score: Score) -> bool:
        """Whether averaging this figure over batches changes it."""
        loader = score.data.loader
        single = loader is not None and (loader.given.get("batch_size") == 1 or loader.facts.get("whole"))
        one_pass = score.decomposable or score.handwritten or score.collected or single
        return not one_pass and score.family in ("label", "score", "regression")
