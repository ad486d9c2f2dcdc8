"""MLB705: the maximum over folds, seeds, epochs or splits is reported."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Report, Score, Select
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import untouched

MANY = {"fold": "folds", "seed": "seeds", "epoch": "epochs", "split": "splits"}


class BestOfManyReported(Rule):
    """The best of several folds, seeds, epochs or splits is reported in place of their mean.

    ## What it does
    Reports a maximum (`max`, `np.max`, `sorted(...)[-1]`, `if score > best`) over held-out scores of folds, seeds, epochs or
    repeated splits that reaches a reader when no mean, spread or interval of the same scores does. Keeping the best of
    several random splits is an error, and so is keeping the best seed when its rows are the reported ones.

    Not reported: mean or spread shown as well; a choice among seeds on validation rows followed by a score of other rows;
    ensembles of all members; epochs whose weights are kept too (MLB702, MLB703).

    ## Why it is bad
    The expected maximum grows with the number of tries, whatever the method. The expected score is the mean.

    ## Example
    ```python
    scores = [fit_score(expr, y, seed=s) for s in range(20)]
    print(f"our method reaches {max(scores):.3f}")
    ```

    ## Use instead
    ```python
    scores = [fit_score(expr, y, seed=s) for s in range(20)]
    print(f"mean {np.mean(scores):.3f}, standard deviation {np.std(scores):.3f}")
    ```

    ## How a run confirms it
    The distribution over the repetitions is measured; the reported value is its maximum.

    ## References
    Lee et al. 2022, tip 7; Lones 4.4, 4.5; scikit-learn, controlling randomness; REFORMS 5d, 7b; DOME 4.4.
    """

    code = "MLB705"
    name = "best-of-many-reported"
    tip = 7
    severity = Severity.WARNING
    variants = tuple(MANY.values())
    skip_tests = True
    remedy = "Report the mean with its spread or interval."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Maxima over repetitions that are all that a reader sees."""
        told: set[object] = set()
        for select in trace.of(Select):
            if select.what not in MANY or select.at in told or (select.what == "epoch" and not select.keeps <= {"score"}):
                continue
            scores = [s for n in sorted(select.scores) if isinstance(s := trace.event(n), Score) and trace.held_out(s)]
            told_of = [r for r in trace.of(Report) if r.scores & select.scores and _outside(r, scores)]
            after = [r for r in told_of if r.id > select.id]
            shown = frozenset().union(*(r.shown for r in told_of)) if after else frozenset()
            if not scores or not after or shown & {"mean", "median", "spread", "each"}:
                continue
            if not shown & {"max", "min"} and len(after) > 1:
                continue  # what each report shows is unknown: one of them may be the mean
            if not scores[0].cross_validated and untouched(trace, scores[0].data, ""):
                continue
            if (after[0].at, select.what) in told:
                continue  # several figures of the best round, in one report
            told |= {select.at, (after[0].at, select.what)}
            wrong = select.what in ("seed", "split") and shown & {"max", "min"}
            yield self.finding(
                select,
                f"The best `{scores[0].metric}` over {MANY[select.what]} is reported; it grows with the number of tries.",
                evidence=[("scored here", scores[0]), ("reported here", after[0])],
                severity=Severity.ERROR if wrong else None,
                confidence=Confidence.CERTAIN if shown & {"max", "min"} else Confidence.LIKELY,
                variant=MANY[select.what],
            )


def _outside(report: Report, scores: list[Score]) -> bool:
    """Whether the report stands outside the loop that made the scores."""
    return not any(loop in score.loops for score in scores for loop in report.loops)
