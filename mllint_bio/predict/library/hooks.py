"""Hooks of a Lightning module: the trainer calls them, with batches of the loaders that it was given.

Source: https://lightning.ai/docs/pytorch/stable/common/lightning_module.html (hooks and their order).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mllint_bio.events import LoopKind
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library.contents import data_of
from mllint_bio.predict.library.iteration import iterated
from mllint_bio.predict.values import NONE, UNKNOWN, Array, Const, Obj, Seq, Value

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

_EPOCH_ENDS = {
    "training_step": ("on_train_epoch_end", "training_epoch_end"),
    "validation_step": ("on_validation_epoch_end", "validation_epoch_end"),
    "test_step": ("on_test_epoch_end", "test_epoch_end"),
}
STAGES = {"validate": "val_dataloader", "test": "test_dataloader", "predict": "predict_dataloader"}
"""Method of the trainer -> hook that gives its loader."""


def step(run: Run, module: Obj | None, name: str, loader: Value, call: Call, *, epochs: bool) -> Value | None:
    """Every batch of a loader goes through a step of the module, then its end of the epoch; what the step returned for each.

    None if the module has no such step or nothing is known of the loader. epochs: the trainer repeats it.
    """
    data = data_of(loader)
    if module is None or module.klass is None or module.klass.lookup(name) is None or not data.has_rows:
        return None
    outer = run.loops
    returned: Value = NONE
    try:
        if epochs:
            run.loops = (*run.loops, run.loop(call.node, LoopKind.EPOCH, "epoch"))
        inside = run.loops
        run.loops = (*inside, run.loop(call.node, LoopKind.BATCH, name))
        batch = iterated(run, loader, call.node)
        returned = run.call_method(module, name, _call(call.node, [batch, Array(kind="scalar")]))
        run.loops = inside
        for hook in _EPOCH_ENDS.get(name, ()):
            if module.klass.lookup(hook) is not None:
                run.call_method(module, hook, _call(call.node, [Seq("list", (), returned)]))
    finally:
        run.loops = outer
    return returned


def loader(run: Run, module: Obj | None, given: Value | None, datamodule: Obj | None, name: str, stage: str, call: Call) -> Value:
    """The loader of a stage: the one that was given, else that of the data module, else that of the module itself."""
    if given is not None and not (isinstance(given, Const) and given.value is None):
        return given
    for owner in (datamodule, module):
        if owner is None or owner.klass is None or owner.klass.lookup(name) is None:
            continue
        if owner is datamodule and (owner, stage) not in run.prepared:
            run.prepared.add((owner, stage))
            for hook in ("prepare_data", "setup"):  # what a method does not take is dropped
                if owner.klass.lookup(hook) is not None:
                    run.call_method(owner, hook, _call(call.node, [Const(stage)] if hook == "setup" else []))
        made = run.call_method(owner, name, _call(call.node, []))
        return made.element() if isinstance(made, Seq) else made  # several loaders: any of them
    return UNKNOWN


def _call(node: ir.Expr, arguments: Sequence[Value]) -> Call:

    return Call(node, list(arguments), {})
