"""MLB313."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Loss
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace

# What the loss expects -> activations that contradict it.
WRONG = {
    "logits": {"softmax", "sigmoid", "log_softmax"},
    "probabilities": {"linear", "log_softmax"},
    "log-probabilities": {"linear", "softmax", "sigmoid"},
}
OUTPUT = {
    "softmax": "probabilities (`softmax`)",
    "sigmoid": "probabilities (`sigmoid`)",
    "log_softmax": "log-probabilities (`log_softmax`)",
    "linear": "raw outputs of a linear layer",
}
REMEDY = {
    "logits": "Give the loss the output of the last linear layer; apply the activation only for reporting.",
    "probabilities": "Use the loss on logits (`BCEWithLogitsLoss`, `from_logits=True`), or add the activation.",
    "log-probabilities": "End with `log_softmax`, or use `CrossEntropyLoss` on the raw outputs.",
}


class LossActivationMismatch(Rule):
    """The loss expects another kind of output than the network ends with.

    ## What it does
    Follows what reaches a loss back to the last activation: `CrossEntropyLoss` and `BCEWithLogitsLoss` on the
    output of `softmax` or `sigmoid`, `NLLLoss` on anything but log-probabilities, `BCELoss` and Keras losses
    without `from_logits` on a linear output, and the reverse. `log_softmax` before `CrossEntropyLoss` changes
    nothing and is information only. A softmax over a single unit is always 1, whatever the loss expects. A network that cannot
    be resolved is not judged.

    ## Why it is bad
    Applying softmax twice flattens the gradients; logits in a loss on probabilities give undefined or clipped
    values. Training runs, without an error, towards a worse optimum.

    ## Example
    ```python
    class SubtypeNet(nn.Module):
        def forward(self, x):
            return torch.softmax(self.head(self.body(x)), dim=1)

    loss = nn.CrossEntropyLoss()(SubtypeNet()(expr), subtype)
    ```

    ## Use instead
    ```python
    class SubtypeNet(nn.Module):
        def forward(self, x):
            return self.head(self.body(x))  # logits
    ```

    ## How a run confirms it
    The tensor that reaches the loss is inspected: rows that sum to one were through softmax, values within [0, 1]
    through sigmoid.

    ## References
    Lee et al., tip 3 (choices made implicitly by default settings); PyTorch and Keras documentation of the losses;
    REFORMS 5a.
    """

    code = "MLB313"
    name = "loss-activation-mismatch"
    tip = 3
    severity = Severity.ERROR

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per place of a loss."""
        seen = set()
        for loss in trace.of(Loss):
            if loss.received == "constant" and loss.at not in seen:
                seen.add(loss.at)
                yield self.finding(
                    loss,
                    f"`{loss.api.rsplit('.', 1)[-1]}` receives a softmax over one unit, which is always 1: nothing is learned.",
                    evidence=[("the last layer", loss.producer)],
                    remedy="End with `sigmoid`, or with one unit for each class.",
                )
            if loss.received not in WRONG.get(loss.expects, set()) or loss.at in seen:
                continue
            if loss.expects == "logits" and loss.received == "log_softmax" and not loss.multiclass:
                continue  # not idempotent, but not seen in practice either: no claim
            seen.add(loss.at)
            harmless = loss.expects == "logits" and loss.received == "log_softmax"
            yield self.finding(
                loss,
                f"`{loss.api.rsplit('.', 1)[-1]}` expects {loss.expects}, but receives {OUTPUT[loss.received]}.",
                evidence=[("the last activation", loss.producer)],
                severity=Severity.INFO if harmless else Severity.ERROR,
                remedy=REMEDY[loss.expects],
            )
