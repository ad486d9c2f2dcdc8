"""MLB301."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Seed, Split
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip3.streams import DECISIVE, by_hand, consumers, generator_of, importance, kept, seed_calls, unseeded

LISTED = {"own": "a generator without a seed"}


class NoSeed(Rule):
    """A training run draws random numbers and nothing seeds them.

    ## What it does
    Reports a script or notebook that trains or splits, or that scores or writes a random clustering or embedding,
    draws from a global generator (Python's `random`, NumPy, PyTorch, TensorFlow) or from one that it makes without a
    seed (`np.random.default_rng()`), and seeds none of them, in whatever module of the project. Calls that are no
    seed do not count: `np.random.seed()` without a value, `torch.seed()`, the clock or the process id. There is one
    finding per program; it lists who draws from which generator. A seed helper whose code is out of reach counts as a
    seed, and so do frameworks that seed by default (`TrainingArguments`, `seed_everything`). A program that only
    splits, and writes the parts to disk, is not reported: the split is drawn once and kept. Nor is the self-test of a
    module, which takes a step on random numbers and keeps and tells nothing.

    ## Why it is bad
    Initial weights, the order of the samples and the split differ on every run. Nobody can reproduce the reported
    number, and a lucky run cannot be told from a good method.

    ## Example
    ```python
    order = np.random.permutation(len(slides))
    train_ids, test_ids = order[:400], order[400:]
    model = AttentionMIL()
    train(model, train_ids)
    ```

    ## Use instead
    ```python
    SEED = 1337
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)  # the CPU and all CUDA devices
    order = np.random.permutation(len(slides))
    ```

    ## How a run confirms it
    The program is run twice: parameter hashes, split indices and test metric are compared. Equal bit for bit
    refutes the finding.

    ## References
    Lee et al., Ten quick tips for deep learning in biology, tip 3 (random seeds); DOME 2.8; REFORMS 2b, 2e; Heil et
    al. 2021; PyTorch notes on reproducibility.
    """

    code = "MLB301"
    name = "no-seed"
    tip = 3
    severity = Severity.WARNING
    confirmed_by = "repeat"
    programs_only = True
    skip_tests = True

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per entry point, at the draw that matters most."""
        if not trace.is_program or trace.seeded_streams or trace.fruitless:
            return
        drawn = [split for split in trace.of(Split) if split.shuffles is not False]
        if not trace.studies and all(kept(trace, split) or by_hand(split) for split in drawn):
            return
        streams = unseeded(trace)
        draws = sorted((draw for found in streams.values() for draw in found), key=importance)
        if not draws or (draws[0].purpose not in DECISIVE and not trace.studies):
            return
        certain = draws[0].purpose in DECISIVE
        listed = "; ".join(f"{consumers(found)} ({LISTED.get(stream, stream)})" for stream, found in streams.items())
        unseeds = next((seed for seed in trace.of(Seed) if seed.unseeds), None)
        yield self.finding(
            trace.anchor(draws[0]),
            f"This run draws random numbers that nothing seeds, so its result cannot be reproduced: {listed}.",
            evidence=[
                *((f"`{found[0].what}` draws from {generator_of(stream)}", found[0]) for stream, found in streams.items()),
                (f"`{unseeds.call}` is no seed: it differs on every run" if unseeds else "", unseeds),
            ],
            confidence=Confidence.CERTAIN if certain else Confidence.LIKELY,
            remedy=f"Seed once at the start of the program: {seed_calls(streams)}.",
        )
