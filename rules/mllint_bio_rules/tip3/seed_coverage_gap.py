"""MLB302."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Draw, Seed, Split
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip3.streams import DECISIVE, consumers, generator_of, seed_calls, unseeded

MOST = 3


class SeedCoverageGap(Rule):
    """A seed is set, but some consumer draws from another generator that the call does not seed.

    ## What it does
    Reports, once per generator and at most three times per program, a global generator that is drawn from but not
    seeded, while another one is: `random.seed` covers Python's `random` only, `np.random.seed` covers NumPy's
    global generator (scikit-learn's `random_state=None`, `DataFrame.sample`), `torch.manual_seed` covers PyTorch on
    the CPU and all GPUs and what loader workers draw. A seed that is set after the draw is reported too. The variant
    `[n-jobs]` reports estimators without `random_state` that a pool of processes fits: the global NumPy seed does not
    reach the workers.

    ## Why it is bad
    The author meant the run to be reproducible, and it is not. A half-seeded run is worse than an unseeded one,
    because people rely on it.

    ## Example
    ```python
    torch.manual_seed(42)
    folds = StratifiedKFold(5, shuffle=True)  # drawn from NumPy: not seeded
    ```

    ## Use instead
    ```python
    torch.manual_seed(42)
    folds = StratifiedKFold(5, shuffle=True, random_state=42)
    ```

    ## How a run confirms it
    The program runs twice with counters on the generators; the report names the generators that were drawn
    unseeded, and whether the results differ.

    ## References
    Lee et al., tip 3; PyTorch notes on reproducibility (other libraries); scikit-learn, Controlling randomness;
    DOME 2.8; REFORMS 2b, 2e.
    """

    code = "MLB302"
    name = "seed-coverage-gap"
    tip = 3
    severity = Severity.WARNING
    confirmed_by = "repeat"
    variants = ("n-jobs",)
    programs_only = True
    skip_tests = True

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per uncovered stream, then one for consumers in process pools."""
        seed = next((seed for seed in trace.of(Seed) if not seed.unseeds and seed.streams), None)
        if seed is None or not trace.is_program or not (trace.studies or any(True for _ in trace.of(Split))):
            return
        for stream, draws in list(unseeded(trace).items())[:MOST]:
            late = next((one for one in trace.of(Seed) if stream in one.streams and not one.unseeds), None)
            if late is not None and all(trace.exclusive(draw, late) for draw in draws):
                late = None  # it is called in another arm, not too late
            elif late is not None:
                draws = [draw for draw in draws if not trace.exclusive(draw, late)]
            if late is not None and stream == "tensorflow":  # a layer of Keras makes its weights when it is first applied
                draws = [draw for draw in draws if draw.purpose != "init"]
                if not draws:
                    continue
            verb = "draws" if len({draw.what for draw in draws}) == 1 else "draw"
            message = (
                f"`{seed.call}` is called, but {consumers(draws)} {verb} from {generator_of(stream)}, which it does not seed."
            )
            remedy = f"Seed this generator too: {seed_calls([stream])}, or give the call a seed of its own."
            if late is not None:
                message = f"`{late.call}` is called only after {consumers(draws)} drew from the {stream} generator."
                remedy = "Seed once, at the start of the program."
            known = " and ".join(sorted(seed.streams))
            yield self.finding(
                trace.anchor(draws[0]),
                message,
                evidence=[
                    ("seeded here, too late", late) if late else (f"seeds {known} only", seed),
                    (f"draws from {generator_of(stream)}", draws[0]),
                ],
                confidence=Confidence.CERTAIN if draws[0].purpose in DECISIVE else Confidence.LIKELY,
                remedy=remedy,
            )
        yield from self._pools(trace, seed)

    def _pools(self, trace: Trace, seed: Seed) -> Iterator[Finding]:
        pooled = [draw for draw in trace.of(Draw) if draw.processes and draw.stream == "numpy"]
        if pooled and trace.seeded("numpy"):
            verb = "draws" if len({draw.what for draw in pooled}) == 1 else "draw"
            yield self.finding(
                trace.anchor(pooled[0]),
                f"{consumers(pooled)} {verb} in worker processes (`n_jobs`), which the global NumPy seed does not reach.",
                evidence=[("seeds this process only", seed), ("drawn here, in worker processes", pooled[0])],
                confidence=Confidence.CERTAIN if "numpy" in trace.seeded_streams else Confidence.LIKELY,
                variant="n-jobs",
                remedy="Give the estimator a `random_state`.",
            )
