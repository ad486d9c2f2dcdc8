"""MLB723: the weights of the last epoch, not of the best one, are evaluated."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Event, LoopKind, Score, Select, Unresolved, Weights
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class EarlyStoppingWithoutBestWeights(Rule):
    """Training stops early, but the weights of the last epoch, not of the best one, are evaluated.

    ## What it does
    Reports early stopping that does not put the best weights back (`EarlyStopping` with its default, `trainer.test(model)`
    without `ckpt_path="best"`), and a best checkpoint saved in the improvement branch, when a held-out score follows and
    nothing loads the best weights before it.

    Not reported: `restore_best_weights=True`; weights loaded anywhere before the score; learning-rate schedules.

    ## Why it is bad
    With a patience of 20 the scored network is 20 epochs past its best one.

    ## Example
    ```python
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=20)
    net.fit(X_tr, y_tr, validation_data=(X_val, y_val), epochs=500, callbacks=[stop])
    print("test", net.evaluate(X_test, y_test))
    ```

    ## Use instead
    ```python
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=20, restore_best_weights=True)
    ```

    ## How a run confirms it
    The epoch whose weights were scored is compared with the epoch of the best monitored value.

    ## References
    Lee et al. 2022, tips 3 and 7; Keras, Lightning and transformers documentation; DOME 2.7.
    """

    code = "MLB723"
    name = "early-stopping-without-best-weights"
    tip = 7
    severity = Severity.WARNING
    skip_tests = True
    remedy = "Put the best weights back before the score: restore_best_weights=True, or load the best checkpoint."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """Stops and checkpoints whose best weights never come back before a held-out score."""
        loads = [w for w in trace.of(Weights) if w.action == "load"]
        told = set()
        for event, saved in self._captures(trace):
            after = next((s for s in trace.held_out_scores if s.id > event.id and self._final(trace, s, event)), None)
            if after is None or event.at in told or any(load.id < after.id for load in loads):
                continue
            told.add(event.at)
            what = "saved" if saved else "not put back"
            unclear = not trace.resolved or any(
                after.subject in u.touches for u in trace.of(Unresolved) if event.id < u.id < after.id
            )
            yield self.finding(
                event,
                f"The best weights are {what} here, and `{after.metric}` scores those of the last epoch.",
                evidence=[("scored here", after)],
                confidence=Confidence.LIKELY if unclear else Confidence.CERTAIN,
            )

    @staticmethod
    def _captures(trace: Trace) -> Iterator[tuple[Event, bool]]:
        for select in trace.of(Select):
            if select.what in ("early-stop", "checkpoint") and select.restored is False:
                yield select, False
        for weights in trace.of(Weights):
            if weights.improving and weights.action in ("save", "copy"):
                yield weights, True

    @staticmethod
    def _final(trace: Trace, score: Score, event: Event) -> bool:
        """Whether the score is made once after training by the model that was stopped or captured."""
        subject = event.subject if isinstance(event, (Select, Weights)) else None
        same = subject is None or score.subject is None or subject is score.subject
        if any(isinstance(select := trace.event(n), Select) and select.what != "threshold" for n in score.chosen):
            return False  # the predictions of the best epoch were kept
        return same and trace.loop(score, LoopKind.EPOCH) is None and trace.reported(score) and not trace.exclusive(event, score)
