"""MLB712: a transform is fitted again on evaluation rows."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Data, Fit, Predict
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import kind_of

CODES = ("fitted-transform.label", "fitted-transform.encode")
NEW_COLUMNS = ("decompose", "vectorise", "selector-supervised", "selector-unsupervised")


class TransformRefittedOnTest(Rule):
    """A transform is fitted again on the evaluation rows, so that training and test speak different units.

    ## What it does
    Reports a second fit of the same transform (the same object, or a new one of the same class) on held-out rows whose
    sibling was fitted on the training rows: scalers, imputers, hand-written statistics, category codes (`codes`), and
    decompositions, vectorisers or selectors whose columns then no longer correspond (`decompose`).

    Not reported: row-wise transforms; statistics per sample or image; components of each part that are only drawn; a separate
    model per cohort; indicators that take the columns of the training table (`reindex`); protocols declared as
    `per-cohort-standardised` (info); `factorize(sort=True)` of the labels of each part,
    whose codes agree while every part holds every class.

    ## Why it is bad
    The value 1.0 means one thing to the model and another in the test rows; code 2 may be another tissue.

    ## Example
    ```python
    X_train = scaler.fit_transform(X_train)
    X_test = scaler.fit_transform(X_test)
    ```

    ## Use instead
    ```python
    X_train = scaler.fit_transform(X_train)
    X_test = scaler.transform(X_test)
    ```

    ## How a run confirms it
    Fit events on evaluation rows; for codes the two mappings are compared.

    ## References
    Lee et al. 2022, tip 7 (apply transformations equally); scikit-learn, common pitfalls; Kapoor & Narayanan 2023, L1.2;
    REFORMS 4c, 6a.
    """

    code = "MLB712"
    name = "transform-refitted-on-test"
    tip = 7
    severity = Severity.ERROR
    variants = ("scale", "codes", "decompose")
    remedy = "Fit on the training rows and only `transform` the others."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Pairs of fits of one kind of transform, one on training rows, one on rows that nothing trains on."""
        declared = trace.options.get("protocol") == "per-cohort-standardised"
        fits = [f for f in trace.of(Fit) if kind_of(f) or f.role in CODES]
        told = set()
        for again in fits:
            if again.at in told or self._trained_on(trace, again.data) or self._agrees(trace, again):
                continue
            others = [f for f in fits if f is not again and self._sibling(f, again) and self._apart(trace, f, again)]
            others = [f for f in others if self._trained_on(trace, f.data)]
            if not others or not (used := self._used(trace, again)):
                continue
            if used == "named" and kind_of(again) in NEW_COLUMNS and not self._shapes(trace, others):
                continue  # components that nobody trains on are a picture of each part
            told.add(again.at)
            first = next((f for f in reversed(others) if f.id < again.id), others[0])
            proven = used == "read" and first.data.rows.disjoint(again.data.rows)
            kind = kind_of(again)
            yield self.finding(
                again,
                f"`{again.subject.label}` is fitted again on evaluation rows; the training rows were transformed by another fit.",
                evidence=[("fitted on training rows here", first)],
                severity=Severity.INFO if declared else None,
                confidence=Confidence.CERTAIN if proven else Confidence.LIKELY,
                variant="codes" if again.role in CODES else "decompose" if kind in NEW_COLUMNS else "scale",
            )

    @staticmethod
    def _sibling(one: Fit, other: Fit) -> bool:
        return one.subject is other.subject or (one.subject.api == other.subject.api and one.role == other.role)

    @staticmethod
    def _apart(trace: Trace, one: Fit, other: Fit) -> bool:
        held_out = other.data.named_role in ("test", "validation")
        named = held_out and one.data.named_role == "train"
        one_table = one.data.rows.same_table(other.data.rows)  # else they may be two kinds of features
        return not trace.exclusive(one, other) and (
            (bool(one.data.rows.disjoint(other.data.rows)) and (one_table or held_out))
            or (named and one.data.rows != other.data.rows)
        )

    @staticmethod
    def _agrees(trace: Trace, fit: Fit) -> bool:
        """Whether the codes are those of the training rows: indicators that take their columns from there, or codes in the order
        of the values, which are labels: compared with predictions, or read by no model; or whether the rows were turned when it
        was fitted, so that each sample was transformed by itself."""
        if fit.subject.facts.get("aligned") or fit.subject.facts.get("turned"):
            return True
        if fit.subject.given.get("sort") is not True:
            return False
        labels = any(fact.fit == fit.id for s in trace.scores for fact in s.truth.learned)
        return labels or not any(fact.fit == fit.id for p in trace.of(Predict) for fact in p.data.learned)

    @staticmethod
    def _trained_on(trace: Trace, data: Data) -> bool:
        return data.named_role == "train" or any(data.rows.overlap(rows) for rows in trace.training_rows)

    @staticmethod
    def _shapes(trace: Trace, fits: list[Fit]) -> bool:
        """Whether something is fitted on what one of these made of the rows."""
        numbers = {fit.id for fit in fits}
        return any(fact.fit in numbers for later in trace.of(Fit) for fact in later.data.learned)

    @staticmethod
    def _used(trace: Trace, fit: Fit) -> str:
        """`read` if a prediction or score reads what this fit transformed, `named` if only a name says test, else empty."""
        views = [p.data for p in trace.of(Predict)] + [v for s in trace.scores for v in (s.data, s.truth)]
        if any(fact.fit == fit.id for view in views for fact in view.learned):
            return "read"
        by_hand = kind_of(fit) == "hand-written"  # a mean of test rows alone may describe them
        return "named" if fit.data.named_role in ("test", "validation") and not by_hand else ""
