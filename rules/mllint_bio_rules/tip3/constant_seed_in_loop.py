"""MLB308."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Backward, Event, Generator, LoopKind, Predict, Score, Seed, Step
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class ConstantSeedInLoop(Rule):
    """A constant seed is set inside the epoch or batch loop, so each iteration repeats the same noise.

    ## What it does
    Reports a seed call with a literal, or a generator made with one, whose innermost loop goes over epochs or
    batches; also a generator that is made with a literal inside `__getitem__`. Loops over seeds, folds, models or
    candidates are right to seed each independent run. A seed that depends on the epoch, and a seed that only fixes
    an evaluation, are not reported.

    ## Why it is bad
    Dropout masks, augmentation and the order of the samples repeat in every iteration. The network sees far less
    variety than the author believes.

    ## Example
    ```python
    for epoch in range(50):
        torch.manual_seed(0)
        train_one_epoch(model, train_loader)
    ```

    ## Use instead
    ```python
    torch.manual_seed(0)
    for epoch in range(50):
        train_one_epoch(model, train_loader)
    ```

    ## How a run confirms it
    The order of batches, the dropout masks or the augmented tensors of successive epochs are compared; identical
    ones confirm.

    ## References
    Lee et al., tip 3; REFORMS 2b.
    """

    code = "MLB308"
    name = "constant-seed-in-loop"
    tip = 3
    severity = Severity.WARNING
    remedy = "Seed once before the loop, or derive the seed from the epoch."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per seeding place."""
        seen = set()
        for event in trace.of(Seed, Generator):
            fixed = isinstance(event, Generator) and event.place == "__getitem__"
            loop = event.loops[-1] if event.loops else None
            inside = loop is not None and loop.kind in (LoopKind.EPOCH, LoopKind.BATCH)
            if not _constant(event) or not (inside or fixed) or event.at in seen or _evaluation(trace, event):
                continue
            seen.add(event.at)
            what = f"`{event.call}`" if isinstance(event, Seed) else "A generator object"
            where = "`__getitem__`" if fixed or loop is None else f"the {loop.kind.value} loop"
            yield self.finding(
                event,
                f"{what} gets the same seed again in {where}: every iteration repeats the same random numbers.",
                evidence=[("the loop", loop.at if loop and inside else None)],
                confidence=Confidence.CERTAIN if isinstance(event, Seed) else Confidence.LIKELY,
            )


def _constant(event: Event) -> bool:
    if isinstance(event, Seed):
        return event.constant and not event.unseeds
    return isinstance(event, Generator) and event.seeded and event.constant


def _evaluation(trace: Trace, event: Event) -> bool:
    """Whether what follows in the same loop is a prediction in evaluation mode, not training."""
    later = (
        e for e in trace.of(Step, Backward, Predict, Score) if e.id > event.id and e.loops[: len(event.loops)] == event.loops
    )
    following = next(later, None)
    return isinstance(following, Predict) and following.mode == "eval"
