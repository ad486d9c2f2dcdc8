"""Rules of a laboratory."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Split
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class UnstratifiedSplit(Rule):
    """A random split does not keep the class proportions.

    ## What it does
    Reports every split that is known to shuffle and not to stratify.
    """

    code = "LAB701"
    name = "unstratified-split"
    tip = 7
    severity = Severity.WARNING
    remedy = "pass stratify="

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding a split."""
        for split in trace.of(Split):
            if split.shuffles and split.stratified is False:
                yield self.finding(split, f"{split.api.rsplit('.', 1)[-1]} shuffles without stratifying")
