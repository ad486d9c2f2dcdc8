"""MLB314."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Build, Loop, LoopKind, Step, Weights
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class BestWeightsNotCopied(Rule):
    """The weights kept as the best are a reference to the live ones, which later steps overwrite.

    ## What it does
    Reports `best = model.state_dict()` (or another reference to the parameters) in the branch of an improvement
    inside an epoch loop, when training goes on in that loop and the name is loaded afterwards. A deep copy, clones,
    a file, and a network that is built anew in each pass of the loop are not reported.

    ## Why it is bad
    `state_dict()` returns the live tensors. After the loop they hold the last epoch: the model that is loaded as
    the best, tested and published is the last one.

    ## Example
    ```python
    for epoch in range(100):
        train_epoch(model, train_loader)
        auc = evaluate(model, val_loader)
        if auc > best_auc:
            best_auc, best_weights = auc, model.state_dict()
    model.load_state_dict(best_weights)
    ```

    ## Use instead
    ```python
        if auc > best_auc:
            best_auc, best_weights = auc, copy.deepcopy(model.state_dict())
    ```

    ## How a run confirms it
    The weights are hashed in the branch and at the load; different hashes confirm, and the metric of the true best
    epoch is shown.

    ## References
    Lee et al., tips 3 and 7; PyTorch documentation, saving and loading models; DOME 2.7; REFORMS 5d.
    """

    code = "MLB314"
    name = "best-weights-not-copied"
    tip = 3
    severity = Severity.ERROR
    remedy = "Wrap it in `copy.deepcopy(...)`."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per captured reference."""
        seen = set()
        for kept in trace.of(Weights):
            loop = trace.loop(kept, LoopKind.EPOCH)
            if kept.action != "reference" or not kept.improving or loop is None or kept.at in seen:
                continue
            rebuilt = any(build.subject is kept.subject and trace.inside(build, loop) for build in trace.of(Build))
            goes_on = any(trace.inside(step, loop) for step in trace.of(Step))
            loads = (w for w in trace.of(Weights) if w.action == "load" and w.name == kept.name and w.id > kept.id)
            loaded = next((w for w in loads if not _at_once(trace, kept, w, loop)), None)
            if rebuilt or not goes_on or not kept.name or loaded is None or trace.exclusive(kept, loaded):
                continue
            seen.add(kept.at)
            yield self.finding(
                kept,
                f"`{kept.name}` refers to the live weights, which later steps overwrite: the last epoch is loaded, not the best.",
                evidence=[("loaded as the best here", loaded)],
            )


def _at_once(trace: Trace, kept: Weights, loaded: Weights, loop: Loop) -> bool:
    """Whether every load is of the reference just taken, so that no step lies between the two."""
    fresh = trace.inside(loaded, loop) and loaded.branch[: len(kept.branch)] == kept.branch
    return fresh and not any(kept.id < step.id < loaded.id for step in trace.of(Step))
