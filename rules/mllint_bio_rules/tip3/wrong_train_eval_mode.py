"""MLB311."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Build, Fit, Loop, LoopKind, Mode, Predict, Site, Step, Subject, Unresolved, Weights
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class WrongTrainEvalMode(Rule):
    """A network is evaluated in training mode, or trained in evaluation mode.

    ## What it does
    Variant `[eval-missing]`: a network with dropout, batch norm or the like, trained in this program, predicts for
    an evaluation (without gradients, or its output is scored on held-out rows) and was not switched by `.eval()`
    since; or a program that trains nothing scores such a network with weights from a file, and never switches it.
    `no_grad()` does not switch the mode. Variant `[functional]`: a network that was switched to evaluation is scored, but
    its `forward` calls `F.dropout` without `training=self.training`; that argument is true unless it is given. Variant
    `[train-missing]`: `.eval()` runs inside the epoch loop and
    nothing switches back before the next training step. Frameworks that switch modes themselves (Lightning, Keras,
    the Hugging Face trainer), networks without such layers, and Monte-Carlo dropout (an explicit `.train()` before
    predicting) are not reported.

    ## Why it is bad
    In training mode dropout removes units at random and batch norm uses the statistics of the test batch: the score
    is that of another, noisy model. In evaluation mode training goes on without regularisation, from the second
    epoch on.

    ## Example
    ```python
    with torch.no_grad():  # gradients are off, dropout is still on
        probabilities = torch.sigmoid(model(x_test))
    print(roc_auc_score(y_test, probabilities))
    ```

    ## Use instead
    ```python
    model.eval()
    with torch.inference_mode():
        probabilities = torch.sigmoid(model(x_test))
    print(roc_auc_score(y_test, probabilities))
    ```

    ## How a run confirms it
    The mode of each submodule is logged at every forward pass whose output reaches a metric; the same rows are
    predicted in two batch compositions.

    ## References
    Lee et al., tip 3 (hidden defaults); Zhang et al. 2022 (training and evaluation mode toggled improperly); DOME
    4.1; REFORMS 5c.
    """

    code = "MLB311"
    name = "wrong-train-eval-mode"
    tip = 3
    severity = Severity.ERROR
    variants = ("eval-missing", "functional", "train-missing")

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per evaluating forward pass, per call that heeds no mode, and per network trained in evaluation mode."""
        yield from self._eval_missing(trace)
        yield from self._functional(trace)
        yield from self._train_missing(trace)

    def _eval_missing(self, trace: Trace) -> Iterator[Finding]:
        scored = {s.data.prediction.event: s for s in trace.scores if s.data.prediction is not None and trace.held_out(s)}
        seen = set()
        for predict in trace.of(Predict):
            score = scored.get(predict.id)
            if (
                predict.mode != "train"
                or predict.mode_dependent is False
                or (predict.grad and score is None)
                or predict.at in seen
            ):
                continue
            steps = [s for s in trace.of(Step) if _holds(s, predict.subject)]
            before = [s for s in steps if s.id < predict.id]
            batch = trace.loop(predict, LoopKind.BATCH)
            if any(s.managed for s in steps) or (batch and any(trace.inside(s, batch) for s in trace.of(Step))):
                continue
            made = before[-1] if before else _restored(trace, predict) if score is not None else None
            if made is None or _unclear(trace, predict, made):
                continue
            seen.add(predict.at)
            name = predict.subject.name or predict.subject.label
            use = f"scored by `{score.metric}`" if score else "used"
            yield self.finding(
                predict,
                f"`{name}` is still in training mode here, so the outputs {use} depend on dropout or on the rest of the batch.",
                evidence=[("trained here" if before else "restored here", made), ("scored here", score)],
                confidence=Confidence.CERTAIN if predict.mode_dependent else Confidence.LIKELY,
                variant="eval-missing",
                remedy=f"Call `{name}.eval()` before the evaluation and `{name}.train()` before training goes on.",
            )

    def _functional(self, trace: Trace) -> Iterator[Finding]:
        seen = set()
        scored = {s.data.prediction.event: s for s in trace.scores if s.data.prediction is not None and trace.held_out(s)}
        for predict in trace.of(Predict):
            call = predict.subject.facts.get("always_training")
            if predict.mode != "eval" or predict.id not in scored or not isinstance(call, Site) or call in seen:
                continue
            if predict.subject.facts.get("asks_mode"):  # it may well be called in training only
                continue
            seen.add(call)
            name = predict.subject.name or predict.subject.label
            yield self.finding(
                call,
                f"Dropout is still on when `{name}` is evaluated: a function does not know the mode, and `training` is true by "
                "default.",
                evidence=[("scored here", scored[predict.id])],
                variant="functional",
                remedy="Give it `training=self.training`.",
            )

    def _train_missing(self, trace: Trace) -> Iterator[Finding]:
        seen = set()
        for step in trace.of(Step):
            loops = [loop for loop in step.loops if loop.kind in (LoopKind.EPOCH, LoopKind.BATCH)]
            for module, loop in ((m, one) for m in step.modules for one in loops):
                mode = _mode_at(step, module)
                if mode == "train" or (mode == "unknown" and not _loses_training(trace, step, module, loop)):
                    continue
                switched, dependent = _left_in_eval(trace, step, module, loop), _mode_dependent(trace, module)
                if switched is None or step.managed or dependent is False or id(module) in seen or _outdated(trace, step):
                    continue
                seen.add(id(module))
                name = module.name or module.label
                since = "it was evaluated in" if mode == "unknown" else "the first pass of"
                yield self.finding(
                    step,
                    f"`{name}` is trained in evaluation mode after {since} the {loop.kind.value} loop: dropout is off.",
                    evidence=[("switched to evaluation mode here, and never back", switched), ("the loop", loop.at)],
                    confidence=Confidence.CERTAIN if dependent else Confidence.LIKELY,
                    variant="train-missing",
                    remedy=f"Call `{name}.train()` at the start of every epoch and after each evaluation.",
                )


def _mode_at(step: Step, module: Subject) -> str:
    """The mode that the network is in when the step is made; empty if the trace does not say."""
    return dict(zip(step.modules, step.modes, strict=False)).get(module, "")


def _loses_training(trace: Trace, step: Step, module: Subject, loop: Loop) -> bool:
    """Whether the network is in training mode in the first pass of a loop in which nothing but an evaluation, made in some passes
    only and not the last, changes the mode."""
    first = next(s for s in trace.of(Step) if s.at == step.at and s.calls == step.calls and module in s.modules)
    modes = [m for m in trace.of(Mode) if trace.inside(m, loop) and module in m.subject.everything()]
    goes_on = any(not any(arm in trace.ended and arm not in step.branch for arm in m.branch) for m in modes)
    return _mode_at(first, module) == "train" and {m.mode for m in modes} == {"eval"} and goes_on


def _outdated(trace: Trace, step: Step) -> bool:
    """Whether another optimizer may step here, over networks in training mode that this one does not hold: one that was made
    for them, while this one is of networks that are trained no more."""
    others = (s for s in trace.of(Step) if s.at == step.at and s.subject is not step.subject)
    return any(_mode_at(s, module) == "train" and module not in step.modules for s in others for module in s.modules)


def _left_in_eval(trace: Trace, step: Step, module: Subject, loop: Loop) -> Mode | None:
    """The switch to evaluation mode that is in force at the step, from this pass of the loop or from the one before."""
    modes = [
        m for m in trace.of(Mode) if trace.inside(m, loop) and module in m.subject.everything() and not trace.exclusive(m, step)
    ]
    before = [m for m in modes if m.id < step.id] or modes
    helped = any(trace.inside(u, loop) and any(module in t.everything() for t in u.touches) for u in trace.of(Unresolved))
    if not before or before[-1].mode != "eval" or helped:
        return None
    other_arm = any(m.mode == "train" and trace.exclusive(m, before[-1]) for m in before)  # `if phase == "train"`
    return None if other_arm else before[-1]


def _holds(step: Step, module: Subject) -> bool:
    """Whether the step changes this network, or a network that it is part of, or a part of it."""
    return any(module in held.everything() or held in module.everything() for held in step.modules)


def _restored(trace: Trace, predict: Predict) -> Weights | None:
    """Where the whole network, which depends on the mode for sure, got stored weights, in a program that trains none."""
    trains = any(True for _ in trace.of(Step)) or any(fit.role.startswith("estimator") for fit in trace.of(Fit))
    if predict.mode_dependent is not True or trains:
        return None
    loads = [w for w in trace.of(Weights) if w.action == "load" and w.id < predict.id and w.subject is predict.subject]
    return loads[-1] if loads else None


def _unclear(trace: Trace, predict: Predict, made: Step | Weights) -> bool:
    """Whether training mode may be meant (switched on after the last step: Monte-Carlo dropout), or a call that could not be
    followed may have switched it."""
    between = [e for e in trace.of(Mode, Unresolved) if made.id < e.id < predict.id]
    switched = [m for m in between if isinstance(m, Mode) and predict.subject in m.subject.everything()]
    touched = [t for u in between if isinstance(u, Unresolved) for t in u.touches]
    return (bool(switched) and switched[-1].mode == "train") or any(predict.subject in t.everything() for t in touched)


def _mode_dependent(trace: Trace, module: Subject) -> bool | None:
    """Whether the network behaves differently in the two modes; None if its layers are not known."""
    facts = {build.mode_dependent for build in trace.of(Build) if build.subject is module}
    facts |= {predict.mode_dependent for predict in trace.of(Predict) if predict.subject is module}
    return True if True in facts else False if facts == {False} else None
