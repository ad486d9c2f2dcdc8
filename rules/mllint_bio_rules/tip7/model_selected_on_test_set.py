"""MLB703: the epoch, checkpoint or model is chosen by its score on the test rows."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import LoopKind, Select
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace
from mllint_bio_rules.tip7._queries import figures, finals, held_out_confidence, in_fold, keeps_nothing, role_of, untouched

CHOICES = {
    "epoch": ("epoch", "epoch"),
    "checkpoint": ("checkpoint", "epoch"),
    "early-stop": ("stopping epoch", "early-stop"),
    "model": ("model", "models"),
    "learning-rate": ("learning rate", "learning-rate"),
}


class ModelSelectedOnTestSet(Rule):
    """The epoch, checkpoint or model is chosen by its score on the test rows.

    ## What it does
    Reports a choice that reads the rows of the reported result: `if test_loss < best: save`, early stopping or best-only
    checkpoints with the test part as validation data, an evaluation set of a boosting library that stops or truncates on it,
    the winner of several fitted models. A held-out fold that chooses the epoch and is then reported counts too (likely). A
    learning rate that is reduced on the test loss alone is info (`learning-rate`); scoring the test rows in every epoch
    without any choice is `repeated` (preview).

    Not reported: rows called test when another disjoint part gives the reported result of that model (they are a validation
    part); rows called validation (MLB702); several models reported side by side.

    ## Why it is bad
    The test part stands for unseen patients. The best of 30 looks at 60 pure-noise rows gave an accuracy of 0.64 in place of
    0.50.

    ## Example
    ```python
    for epoch in range(1000):
        train(model, train_loader, optimizer)
        mse = evaluate(model, test_loader)
        if mse < best:
            best = mse
            torch.save(model.state_dict(), "best.pt")
    print("test MSE", best)
    ```

    ## Use instead
    ```python
    for epoch in range(1000):
        train(model, train_loader, optimizer)
        mse = evaluate(model, val_loader)
        if mse < best:
            best = mse
            torch.save(model.state_dict(), "best.pt")
    model.load_state_dict(torch.load("best.pt"))
    print("test MSE", evaluate(model, test_loader))
    ```

    ## How a run confirms it
    The rows of the choosing metric are intersected with those of the reported one; the counterfactual chooses on a part of
    the training rows and gives the change with a paired interval.

    ## References
    Lee et al. 2022, tip 7; Kapoor & Narayanan 2023, L1.1; REFORMS 5d, 6a; Lones 3.1, 4.3; Yang et al. 2022 (multi-test
    leakage).
    """

    code = "MLB703"
    name = "model-selected-on-test-set"
    tip = 7
    severity = Severity.ERROR
    variants = ("epoch", "early-stop", "models", "learning-rate", "repeated")
    preview_variants = frozenset({"repeated"})
    skip_tests = True
    remedy = "Choose on a validation part of the training rows; score the test rows once, after the last choice."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Choices on the rows of the reported result."""
        told = set()
        chosen = set()
        for select in trace.of(Select):
            shown = finals(trace, select)
            chosen |= {s.id for s in shown}
            if select.what not in CHOICES or keeps_nothing(select) or not shown or select.at in told:
                continue
            role = role_of(select.data, *(s.data for s in shown))
            progress = role != "test" and all(s.family == "loss" for s in shown)  # a loss of rows of no known role is a log
            if role == "validation" or progress or untouched(trace, select.data, role, select):
                continue
            told.add(select.at)
            what, variant = CHOICES[select.what]
            helper = select.at.path != trace.path and all(
                s.family == "loss" for s in shown
            )  # `test` may be what a helper calls it
            weak = role != "test" or helper or in_fold(shown[-1].data.rows)
            yield self.finding(
                trace.anchor(select),
                f"The {what} is chosen on the rows that give the reported `{shown[-1].metric}`, so that figure is too good.",
                evidence=[("chosen here", select if trace.anchor(select) != select.at else None), ("reported figure", shown[-1])],
                severity=Severity.INFO if variant == "learning-rate" else None,
                confidence=Confidence.LIKELY if weak else held_out_confidence(shown[-1]),
                variant=variant,
            )
        for score in figures(trace):
            if (
                trace.loop(score, LoopKind.EPOCH)
                and role_of(score.data) == "test"
                and score.id not in chosen
                and score.at not in told
            ):
                told.add(score.at)
                message = f"`{score.metric}` looks at the test rows in every epoch."
                yield self.finding(score, message, severity=Severity.INFO, variant="repeated")
