"""MLB725: the validation part is the tail of data ordered by class."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Fit, Split
from mllint_bio.findings import Finding, Severity
from mllint_bio.rows import Slice
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class OrderedValidationTail(Rule):
    """Rows ordered by class are divided without shuffling.

    ## What it does
    Reports Keras `validation_split` (the last rows, taken before shuffling), `KFold()` without shuffle,
    `train_test_split(shuffle=False)` and slices on rows that the code itself laid down class by class
    (`np.concatenate([positives, negatives])`, loops over classes) and did not permute since.

    Not reported: stratified splitters; data shuffled before; a split in time order; unknown order.

    ## Why it is bad
    The validation part holds one class only, and training lacks it.

    ## Example
    ```python
    X = np.concatenate([onehot(promoters), onehot(background)])
    y = np.r_[np.ones(len(promoters)), np.zeros(len(background))]
    net.fit(X, y, epochs=20, validation_split=0.1)
    ```

    ## Use instead
    ```python
    X_tr, X_val, y_tr, y_val = train_test_split(X, y, test_size=0.1, stratify=y, random_state=0)
    net.fit(X_tr, y_tr, epochs=20, validation_data=(X_val, y_val))
    ```

    ## How a run confirms it
    Class proportions of the parts: a class that one part lacks confirms.

    ## References
    Lee et al. 2022, tips 3 and 7; Keras, `Model.fit`; Kapoor & Narayanan 2023, L3.3; DOME 1.2.
    """

    code = "MLB725"
    name = "ordered-validation-tail"
    tip = 7
    severity = Severity.WARNING
    remedy = "Shuffle rows and labels together with a seed before the split, or split by class (stratify)."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Unshuffled divisions of rows that lie class by class."""
        told = set()
        for event in trace.events:
            if (
                not isinstance(event, (Split, Fit))
                or event.data.ordered != "class-blocks"
                or event.at in told
                or not trace.trains
            ):
                continue
            if isinstance(event, Split):
                cut = event.shuffles is False and event.stratified is False and not event.grouped
                what = f"`{event.api.rsplit('.', 1)[-1]}`"
            else:
                cut = any(isinstance(step, Slice) for step in event.validation.rows.steps()[-1:])
                what = "`validation_split`"
            if cut:
                told.add(event.at)
                yield self.finding(
                    event, f"{what} cuts rows that lie class by class without shuffling: the parts differ in their classes."
                )
