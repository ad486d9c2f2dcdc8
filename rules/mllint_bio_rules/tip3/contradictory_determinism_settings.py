"""MLB306."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Determinism
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class ContradictoryDeterminismSettings(Rule):
    """Deterministic kernels are requested, and a second setting undoes the request.

    ## What it does
    Reports `torch.backends.cudnn.benchmark = True` (or `Trainer(benchmark=True)`) in a program that also asks for
    deterministic kernels, unless the two stand in branches that exclude each other or `benchmark` is switched off
    again later.

    ## Why it is bad
    With `benchmark` on, cuDNN times several algorithms and takes the fastest, which may be another one in the next
    run. The request for determinism stays in the code and is believed.

    ## Example
    ```python
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = True
    ```

    ## Use instead
    ```python
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    ```

    ## How a run confirms it
    The flags in force at the first forward pass are recorded, and two runs are compared with and without the
    contradicting line.

    ## References
    Lee et al., tip 3; PyTorch notes on reproducibility; DOME 2.8; REFORMS 2b, 2e.
    """

    code = "MLB306"
    name = "contradictory-determinism-settings"
    tip = 3
    severity = Severity.WARNING
    confirmed_by = "cuda"
    remedy = "Set `torch.backends.cudnn.benchmark = False`."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per line that undoes the request."""
        switches = list(trace.of(Determinism))
        seen = set()
        for benchmark in switches:
            if benchmark.flag != "cudnn-benchmark" or benchmark.value is not True or benchmark.at in seen:
                continue
            together = [other for other in switches if not trace.exclusive(benchmark, other)]
            if any(o.flag == "cudnn-benchmark" and o.id > benchmark.id and o.value is not True for o in together):
                continue
            request = next((o for o in together if o.flag in ("all-ops", "cudnn-deterministic") and o.value is True), None)
            if request is not None:
                seen.add(benchmark.at)
                yield self.finding(
                    benchmark,
                    f"`{benchmark.call}` lets cuDNN pick kernels by timing, which contradicts `{request.call}`.",
                    evidence=[("deterministic kernels are requested here", request)],
                )
