"""MLB309."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Split, Unordered
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace

USES = {
    "split": ("fixes which rows are held out", "the split"),
    "labels": ("fixes the integer codes of classes or categories", "the codes"),
    "order": ("fixes the order of the samples", "the order of the samples"),
    "pairing": ("is paired by position with another listing", "which image gets which label"),
}


class UnorderedIteration(Rule):
    """A listing or set without a defined order fixes the split, the class codes or the order of the samples.

    ## What it does
    Variant `[files]`: `os.listdir`, `glob`, `Path.iterdir` and the like, not sorted, decide a split, an order of
    samples or the class codes; two unsorted listings that are paired by position are an error. Variant `[set]`: a
    set of strings decides class codes or an order. Counting, membership and aggregation do not depend on the order
    and are not reported, nor are sets of integers.

    ## Why it is bad
    The order of a directory differs between machines and file systems, and the order of a set of strings between
    two processes on one machine. A seeded run still gives another split, and a reloaded checkpoint may call class 2
    what was class 0.

    ## Example
    ```python
    paths = glob.glob("slides/*.svs")
    train_paths, test_paths = paths[:300], paths[300:]
    label_of = {name: code for code, name in enumerate(set(meta["histology"]))}
    ```

    ## Use instead
    ```python
    paths = sorted(glob.glob("slides/*.svs"))
    train_paths, test_paths = paths[:300], paths[300:]
    label_of = {name: code for code, name in enumerate(sorted(set(meta["histology"])))}
    ```

    ## How a run confirms it
    The program runs in two processes with different `PYTHONHASHSEED` and shuffled directory entries; changed split
    tokens or class codes confirm.

    ## References
    Lee et al., tip 3; Sandve et al. 2013; DOME 1.4; REFORMS 2b, 2e.
    """

    code = "MLB309"
    name = "unordered-iteration"
    tip = 3
    severity = Severity.WARNING
    confirmed_by = "repeat"
    variants = ("files", "set")
    skip_tests = True
    remedy = "Wrap it in `sorted(...)`."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per listing or set."""
        if not trace.trains and not any(True for _ in trace.of(Split)):
            return
        seen = set()
        for event in trace.of(Unordered):
            place = event.at_use if event.use == "pairing" else event.at  # two listings, one place where they meet
            if place in seen or event.use not in USES:
                continue
            seen.add(place)
            does, changes = USES[event.use]
            listing = event.what != "set"
            differs = "from machine to machine" if listing else "from process to process"
            yield self.finding(
                place,
                f"`{event.what}` has no defined order, yet it {does}: {changes} may differ {differs} even with a seed.",
                evidence=[("made here", event), ("its order is used here", event.at_use)],
                severity=Severity.ERROR if event.use == "pairing" else Severity.WARNING,
                variant="files" if listing else "set",
            )
