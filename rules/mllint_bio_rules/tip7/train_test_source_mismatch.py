"""MLB714: a test part is cut from another table than its training counterpart."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Pairing
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class TrainTestSourceMismatch(Rule):
    """A test part is cut from another table than its training counterpart.

    ## What it does
    Names that differ only in the train/test word (`X_trainC`, `X_testC`) are compared by the table that each was cut from
    with the two sides of one split. Reports a pair with different tables when another pair beside it is in order; a lone pair
    is info. Reports the results of a splitter that are unpacked in another order than documented.

    Not reported: copies and aliases of one table; names that speak of another cohort.

    ## Why it is bad
    A copy-paste slip gives the model mutations where it learned copy numbers; nothing crashes when the shapes agree.

    ## Example
    ```python
    X_trainM, X_testM = mutation[train_index], mutation[test_index]
    X_trainC = cna[train_index]
    X_testC = mutation[test_index]
    ```

    ## Use instead
    ```python
    X_trainC, X_testC = cna[train_index], cna[test_index]
    ```

    ## How a run confirms it
    Columns and value ranges of both parts are compared.

    ## References
    Lee et al. 2022, tips 4 and 7; seen in published multi-omics code.
    """

    code = "MLB714"
    name = "train-test-source-mismatch"
    tip = 7
    severity = Severity.ERROR
    remedy = "Cut both parts from the same table, in the documented order."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Pairs whose two sides do not belong together."""
        told = set()
        for pair in trace.of(Pairing):
            if pair.at in told or not (pair.swapped or pair.train_base != pair.test_base):
                continue
            told.add(pair.at)
            if pair.swapped:
                yield self.finding(
                    pair,
                    f"The splitter's results are unpacked out of order: `{pair.train_name}` and `{pair.test_name}` do not match.",
                )
                continue
            lone = pair.controls == 0
            yield self.finding(
                pair,
                f"`{pair.test_name}` is cut from `{pair.test_base}`, but `{pair.train_name}` from `{pair.train_base}`.",
                severity=Severity.INFO if lone else None,
                confidence=Confidence.LIKELY if lone else Confidence.CERTAIN,
            )
