"""MLB312."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Backward, Loop, LoopKind, Step, Subject, Unresolved, ZeroGrad
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class GradientsNotCleared(Rule):
    """Gradients are accumulated in a loop and never cleared, so each step uses the sum of all earlier gradients.

    ## What it does
    Reports an optimizer that steps in a loop with `backward()` while nothing in that loop clears the gradients: no
    `zero_grad` of the optimizer, of the network, or of an optimizer over the same network, and no clearing by hand.
    Accumulation over k batches (`zero_grad` in a branch), closures of LBFGS and engines that step themselves
    (Lightning, Accelerate) are not reported, nor are loops in which the optimizer or the network is handed to code
    out of reach.

    ## Why it is bad
    PyTorch adds gradients up. Without clearing, step n follows the sum of n gradients, most of them of older
    weights: the effective learning rate grows without bound and the direction is stale. Training may still look as
    if it worked.

    ## Example
    ```python
    for seq, binding in loader:
        loss = F.mse_loss(net(seq), binding)
        loss.backward()
        optimizer.step()
    ```

    ## Use instead
    ```python
    for seq, binding in loader:
        optimizer.zero_grad()
        loss = F.mse_loss(net(seq), binding)
        loss.backward()
        optimizer.step()
    ```

    ## How a run confirms it
    Gradients are inspected before each `backward()`: non-zero ones at successive steps, without an intended period,
    confirm.

    ## References
    Lee et al., tip 3; Zhang et al. 2022 (gradients not cleared before backward propagation); REFORMS 2b.
    """

    code = "MLB312"
    name = "gradients-not-cleared"
    tip = 3
    severity = Severity.ERROR

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per backward pass whose gradients pile up."""
        seen = set()
        for step in trace.of(Step):
            loop = _training_loop(trace, step)
            if step.managed or loop is None or step.subject.label == "LBFGS":
                continue
            own = {id(part) for module in step.modules for part in module.everything()} | {id(step.subject)}
            followed = not any(
                id(part) in own
                for u in trace.of(Unresolved)
                if trace.inside(u, loop)
                for t in u.touches
                for part in t.everything()
            )
            cleared = any(_clears(trace, zero.subject, step, own) for zero in trace.of(ZeroGrad) if trace.inside(zero, loop))
            backward = [b for b in trace.of(Backward) if trace.inside(b, loop) and not trace.exclusive(b, step)]
            if cleared or not followed or not backward or backward[0].at in seen:
                continue
            seen.add(backward[0].at)
            name = step.subject.name or step.subject.label
            yield self.finding(
                backward[0],
                f"Gradients pile up: `{name}` steps in this loop, and nothing clears the gradients between two steps.",
                evidence=[("steps here", step), ("the loop", loop.at)],
                confidence=Confidence.CERTAIN if step.modules else Confidence.LIKELY,
                remedy=f"Call `{name}.zero_grad()` before `backward()`.",
            )


def _training_loop(trace: Trace, step: Step) -> Loop | None:
    """The innermost loop over batches or epochs that holds a backward pass, else the outermost loop that does."""
    loops = [loop for loop in step.loops if any(trace.inside(b, loop) for b in trace.of(Backward))]
    training = [loop for loop in loops if loop.kind in (LoopKind.BATCH, LoopKind.EPOCH)]
    return training[-1] if training else loops[0] if loops else None


def _clears(trace: Trace, subject: Subject | None, step: Step, own: set[int]) -> bool:
    """Whether clearing this optimizer or network clears (or, where that is not known, may clear) what the step uses."""
    if subject is None or not step.modules or subject.is_a("loss"):  # nobody clears a loss: the arguments were taken for others
        return True
    held = [m for other in trace.of(Step) if other.subject is subject for m in other.modules] or [subject]
    return id(subject) in own or any(id(part) in own for module in held for part in module.everything())
