"""MLB310."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Split
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace

RAISING = frozenset({"KFold", "StratifiedKFold", "GroupKFold", "StratifiedGroupKFold"})


class RandomStateWithoutShuffle(Rule):
    """A splitter gets a `random_state` but does not shuffle.

    ## What it does
    Reports `KFold`, `StratifiedKFold`, `GroupKFold` and `StratifiedGroupKFold` with a `random_state` and without
    `shuffle=True`. `train_test_split(shuffle=False, random_state=...)` is information only: it runs, and the seed
    does nothing.

    ## Why it is bad
    Current scikit-learn raises an error. Older releases ignored the seed: the folds were contiguous blocks of the
    file, which the author believed to be random.

    ## Example
    ```python
    folds = StratifiedKFold(n_splits=5, random_state=42)
    ```

    ## Use instead
    ```python
    folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=42)
    ```

    ## How a run confirms it
    The run fails (current scikit-learn) or the recorded folds are contiguous (older releases).

    ## References
    Lee et al., tip 3 (implicit defaults); scikit-learn 1.9.1, source of the splitters; DOME 1.2; REFORMS 5c.
    """

    code = "MLB310"
    name = "random-state-without-shuffle"
    tip = 3
    severity = Severity.ERROR
    remedy = "Add `shuffle=True` (this changes the folds), or drop the `random_state`."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per splitter, where it is made."""
        seen = set()
        for split in trace.of(Split):
            name = split.api.rsplit(".", 1)[-1]
            raises = name in RAISING
            place = split.subject.at if split.subject is not None and raises else split.at
            if split.shuffles is not False or split.seeded is not True or place in seen:
                continue
            if not raises and name != "train_test_split":
                continue
            seen.add(place)
            effect = (
                "current scikit-learn raises an error, older releases ignored the seed" if raises else "the seed has no effect"
            )
            yield self.finding(
                place,
                f"`{name}` gets a `random_state` but does not shuffle: {effect}.",
                evidence=[("used here", split)] if place != split.at else (),
                severity=Severity.ERROR if raises else Severity.INFO,
            )
