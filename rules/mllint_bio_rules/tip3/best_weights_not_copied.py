"""MLB314."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Build, Loop, LoopKind, Step, Weights
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class BestWeightsNotCopied(Rule):
    """The weights kept as the best are a reference to the live ones, which later steps overwrite.

    ## What it does
    Reports `best = model.state_dict()` (or another reference to the parameters: `model.state_dict().copy()`, a mapping that
    holds them) in the branch of an improvement inside an epoch loop, when training goes on in that loop and the name is
    loaded, or saved after the loop; and `best_model = model` there. A deep copy, clones, a file written in that branch, and a
    network that is built anew in each pass of the loop are not reported.

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
            if (
                kept.action not in ("reference", "alias")
                or not kept.improving
                or loop is None
                or kept.at in seen
                or not kept.name
            ):
                continue
            rebuilt = any(build.subject is kept.subject and trace.inside(build, loop) for build in trace.of(Build))
            steps = [step for step in trace.of(Step) if trace.inside(step, loop)]
            if rebuilt or not steps:
                continue
            if kept.action == "alias":
                trained = next((step for step in steps if kept.subject in step.modules), None)
                if trained is not None:
                    seen.add(kept.at)
                    yield self.finding(
                        kept,
                        f"`{kept.name}` is the network that goes on training, no copy of it: it ends as the last epoch's.",
                        evidence=[("trained on here", trained)],
                        confidence=Confidence.LIKELY,
                    )
                continue
            used = next((w for w in trace.of(Weights) if _uses(trace, kept, w, loop)), None)
            if used is None or trace.exclusive(kept, used):
                continue
            seen.add(kept.at)
            done = "loaded" if used.action == "load" else "saved"
            yield self.finding(
                kept,
                f"`{kept.name}` refers to the live weights, which later steps overwrite: the last epoch is {done}, not the best.",
                evidence=[(f"{done} as the best here", used)],
            )


def _uses(trace: Trace, kept: Weights, later: Weights, loop: Loop) -> bool:
    """Whether what was captured is put back, or saved when the training is over."""
    if later.id <= kept.id:
        return False
    if later.action == "save" and later.of == kept.name and not trace.inside(later, loop):
        captured = [w for w in trace.of(Weights) if w.name == kept.name and w.id < later.id and w.action in ("reference", "copy")]
        return trace.inside(captured[-1], loop)  # not what another training has put there since
    return later.action == "load" and later.name == kept.name and not _at_once(trace, kept, later, loop)


def _at_once(trace: Trace, kept: Weights, loaded: Weights, loop: Loop) -> bool:
    """Whether every load is of the reference just taken, so that no step lies between the two."""
    fresh = trace.inside(loaded, loop) and loaded.branch[: len(kept.branch)] == kept.branch
    return fresh and not any(kept.id < step.id < loaded.id for step in trace.of(Step))
