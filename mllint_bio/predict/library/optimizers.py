"""Optimizers and schedules: steps, gradients, plateaus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mllint_bio.catalog import Entry
from mllint_bio.events import (
    Fit,
    Score,
    Select,
    Step,
    ZeroGrad,
)
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import (
    graphs,
    subjects,
)
from mllint_bio.predict.library.contents import arrays_in, blend, data_of
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Func,
    Obj,
    Value,
)
from mllint_bio.rows import Rows, union

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def optimizer(run: Run, entry: Entry, call: Call) -> Value:
    """An optimizer over the parameters of modules."""
    subject = subjects.make_subject(run, entry, call)
    obj = Obj(subject, None, entry)
    hold(obj, call.get("params", entry.params) or call.at(0))
    return obj


def hold(optimizer_: Obj, parameters: Value | None) -> None:
    """An optimizer is handed the parameters that it is to change."""
    modules = tuple(
        dict.fromkeys(o for a in arrays_in(parameters) if isinstance(a.owner, tuple) for o in a.owner if isinstance(o, Obj))
    )
    optimizer_.cells["#modules"] = modules
    optimizer_.subject.parts.extend(m.subject for m in modules)


def scheduler(run: Run, entry: Entry, call: Call) -> Value:
    """Schedulers and callbacks are remembered as objects."""
    return Obj(subjects.make_subject(run, entry, call), None, entry)


def optimizer_method(run: Run, obj: Obj, name: str, call: Call) -> Value:
    modules: tuple[Obj, ...] = obj.cells.get("#modules") or ()
    if name == "zero_grad":
        run.emit(ZeroGrad, call.node, subject=obj.subject)
    elif name == "step":
        for value in call.everything():
            if isinstance(value, Func):
                run.call(value, Call(call.node, [], {}))
        step(run, obj, modules, call.node)
    elif name == "minimize":
        loss_value = data_of(call.at(0))
        run.emit(
            Step, call.node, subject=obj.subject, modules=tuple(m.subject for m in modules), data=loss_value.view(), managed=True
        )
        return graphs.training(obj.subject)
    elif name == "apply_gradients":
        _apply_gradients(run, obj, call)
    elif name == "state_dict":
        return Array(kind="weights", owner=(obj,))
    return NONE


def _apply_gradients(run: Run, optimizer_: Obj, call: Call) -> None:
    """Gradients that a tape recorded change the variables that they are paired with; a tape holds those of one step only."""
    found = [a for value in call.everything() for a in arrays_in(value)]
    modules = list(dict.fromkeys(o for a in found if a.kind == "parameters" for o in a.owner if isinstance(o, Obj)))
    loss_value = next((a for a in found if a.prediction is not None), UNKNOWN)
    subjects = tuple(one.subject for one in modules)
    run.emit(Step, call.node, subject=optimizer_.subject, modules=subjects, data=loss_value.view(), managed=True)
    for one in modules:
        learn(run, one, loss_value, call.node)


def step(run: Run, optimizer_: Obj, modules: Sequence[Obj], node: ir.Node) -> None:
    """The parameters of the modules change: they learn from the rows of the last backward pass."""
    pending = run.backward
    run.emit(
        Step,
        node,
        subject=optimizer_.subject,
        modules=tuple(m.subject for m in modules),
        data=pending.view(),
        managed=optimizer_.subject.label in ("LBFGS",),
        modes=tuple(str(m.cells.get("#mode", "unknown")) for m in modules),
    )
    trained = list(modules)
    if not trained and pending.prediction is not None:
        trained = [o for o in run.applied.values() if o.subject is pending.prediction.subject]
    for one in trained:
        learn(run, one, pending, node)


def learn(run: Run, obj: Obj, data: Array, node: ir.Node) -> None:
    """A network is fitted on these rows."""
    before = obj.cells.get("#fitted")
    rows = union([before, data.rows]) if isinstance(before, Rows) and before.known and data.has_rows else data.rows
    run.write(obj, "#fitted", rows)
    obj.subject.facts["fitted"] = rows
    role = obj.subject.role if obj.is_a("estimator") else "estimator.deep"
    obj.subject.facts["network"] = True
    run.emit(Fit, node, subject=obj.subject, role=role, data=data.but(scores=frozenset()).view(), method="step")


def plateau(run: Run, obj: Obj, call: Call) -> Value:
    figure = blend(run, call.everything())
    if figure.scores:
        run.emit(
            Select,
            call.node,
            what="learning-rate",
            how=obj.subject.label,
            scores=figure.scores,
            data=scored_view(run, figure),
            keeps=frozenset(),
        )
    return NONE


def scored_view(run: Run, figure: Array) -> Any:
    views = [e.data for n in sorted(figure.scores) if isinstance(e := run.events[n], Score)]
    return views[-1] if views else figure.view()


HANDLERS: dict[str, Callable[[Any, Entry, Any], Value]] = {
    "optimizer": optimizer,
    "scheduler": scheduler,
}
