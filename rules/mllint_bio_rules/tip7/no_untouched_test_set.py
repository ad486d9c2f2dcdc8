"""MLB702: the reported result comes from the validation rows that also made a choice."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Report, Score, Select
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import finals, headline, held_out_confidence, keeps_nothing, role_of, untouched

CHOICES = {
    "epoch": "epoch",
    "checkpoint": "checkpoint",
    "early-stop": "stopping epoch",
    "model": "model",
    "threshold": "threshold",
}


class NoUntouchedTestSet(Rule):
    """The reported result comes from the validation rows that also made a choice.

    ## What it does
    Reports a choice (epoch, checkpoint, early stop, model, threshold) that reads validation rows when the headline figure of
    the program is computed on those same rows and no reported figure comes from a third part.

    Not reported: cross-validation with fixed settings; programs that also score untouched rows; progress figures printed per
    epoch by a training script whose model is tested elsewhere (another program of the project, in a large project of the same
    folder, that loads weights, names a test part and trains nothing; `test-elsewhere = true` says so for the whole project).
    Rows called test are MLB703.

    ## Why it is bad
    The best of many looks is better than the truth by chance. Validation rows that chose the epoch cannot also judge it.

    ## Example
    ```python
    stop = keras.callbacks.EarlyStopping(monitor="val_auc", mode="max", patience=5, restore_best_weights=True)
    history = net.fit(X_tr, y_tr, validation_data=(X_val, y_val), epochs=100, callbacks=[stop])
    print("AUC of the final model:", net.evaluate(X_val, y_val))
    ```

    ## Use instead
    ```python
    net.fit(X_tr, y_tr, validation_data=(X_val, y_val), epochs=100, callbacks=[stop])
    print("test AUC:", net.evaluate(X_test, y_test))
    ```

    ## How a run confirms it
    A part of the rows is set aside before the program's own split and scored once at the end; the difference is the optimism.

    ## References
    Lee et al. 2022, tip 7 (three parts, the test part locked away); Kapoor & Narayanan 2023, L1.1; DOME 1.2, 4.1; REFORMS 5c,
    5d.
    """

    code = "MLB702"
    name = "no-untouched-test-set"
    tip = 7
    severity = Severity.WARNING
    programs_only = True
    skip_tests = True
    remedy = "Split off a test part before training and score it once, after the last choice."
    options = {"test-elsewhere": False}

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Choices on validation rows that also give the headline figure."""
        if not trace.is_program or trace.tested_elsewhere or trace.options.get("test-elsewhere"):
            return
        told = set()
        for select in trace.of(Select):
            shown = [s for s in finals(trace, select) if headline(trace, s) and _told(trace, s)]
            if select.what not in CHOICES or keeps_nothing(select) or not shown or select.at in told:
                continue
            role = role_of(select.data, shown[-1].data)
            if role != "validation" or untouched(trace, select.data, role, select):
                continue
            told.add(select.at)
            what, metric = CHOICES[select.what], shown[-1].metric
            yield self.finding(
                trace.anchor(select),
                f"The {what} is chosen on the validation rows that give the reported `{metric}`; nothing is scored on "
                "untouched rows.",
                evidence=[("chosen here", select if trace.anchor(select) != select.at else None), ("reported figure", shown[-1])],
                confidence=held_out_confidence(shown[-1]) if trace.resolved else Confidence.LIKELY,
            )


def _told(trace: Trace, score: Score) -> bool:
    """Whether a person is told the figure; a loss that is only kept in a file or a plot is a log of training."""
    return score.family != "loss" or any(r.how not in ("save", "saved", "plot") for r in trace.of(Report) if score.id in r.scores)
