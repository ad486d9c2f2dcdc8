"""Networks: puts the probes of torch and of what stands on it in place when those libraries are imported."""

from __future__ import annotations

import functools
import os
import sys
import weakref
from types import FunctionType, ModuleType
from typing import Any

from mllint_bio.observe.probes import described, torch_determinism, torch_links
from mllint_bio.observe.probes.torch_data import Datasets, Loaders
from mllint_bio.observe.probes.torch_losses import Losses
from mllint_bio.observe.probes.torch_modules import Modules
from mllint_bio.observe.probes.torch_optim import Figures, Training
from mllint_bio.observe.probes.torch_shuffle import Shuffle
from mllint_bio.observe.probes.torch_state import State, state_of
from mllint_bio.observe.probes.torch_weights import Weights
from mllint_bio.observe.probes.trainers import Keras, Metrics, Trainers
from mllint_bio.observe.recorder import Recorder


def wrap(name: str, module: ModuleType, recorder: Recorder) -> None:
    """Wrap a library as soon as it is complete."""
    if name == "torch":
        _trainers[recorder] = _torch(module, recorder)
        return
    torch = _trainers.get(recorder)
    if torch is not None and name in ("lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer"):
        torch.lightning(module.Trainer)
    elif torch is not None and name == "transformers.trainer":
        torch.transformers(module.Trainer)
    elif torch is not None and name == "torchmetrics.metric":
        Metrics(state_of(recorder)).install(module.Metric)
    elif name == "keras.src.models.model":
        Keras(recorder).install(module.Model)


_trainers: weakref.WeakKeyDictionary[Recorder, Trainers] = weakref.WeakKeyDictionary()


def _torch(torch: Any, recorder: Recorder) -> Trainers:
    controls = recorder.job.controls
    with recorder.inside("set-up"):
        if controls.threads is not None:
            torch.set_num_threads(controls.threads)
        if controls.seed is not None:
            torch.manual_seed(controls.seed)
    state = state_of(recorder)
    figures = Figures(state)
    losses = Losses(state)
    losses.scored = lambda event, value: figures.add("score", value, event=event)
    modules = Modules(state, losses)
    datasets = Datasets(state)
    loaders = Loaders(state, datasets)
    if controls.shuffle_labels is not None:
        losses.replaced = Shuffle(state, datasets, controls.shuffle_labels).replaced
    _loss_functions(torch, state, losses)
    loaders.install()
    torch_links.install(state)
    modules.install()
    Training(state, modules, figures, datasets).install()
    Weights(state).install()
    torch_determinism.install(state)
    _scripting(torch)
    _compiling(torch)
    recorder.at_end.append(figures.flush)
    return Trainers(state, loaders, modules)


def _scripting(torch: Any) -> None:
    """TorchScript compiles functions from their source and knows built-in ones by identity: it is given the originals."""
    original = torch.jit.script
    holders = (torch, torch.nn.functional, torch.nn.init, torch.special)

    @functools.wraps(original)
    def script(*args: Any, **kwargs: Any) -> Any:
        wrapped = [
            (holder, name, value)
            for holder in holders
            for name, value in list(vars(holder).items())
            if isinstance(value, FunctionType) and hasattr(value, "__mllint_bio_wrapped__") and hasattr(value, "__wrapped__")
        ]
        for holder, name, value in wrapped:
            setattr(holder, name, value.__wrapped__)
        try:
            return original(*args, **kwargs)
        finally:
            for holder, name, value in wrapped:
                setattr(holder, name, value)

    torch.jit.script = sys.modules["torch.jit._script"].script = script  # type: ignore[attr-defined]


def _compiling(torch: Any) -> None:
    """Where compilation is switched off for the run, `fullgraph=True` must not complain that nothing was compiled."""
    original = torch.compile

    @functools.wraps(original)
    def compiled(*args: Any, **kwargs: Any) -> Any:
        if os.environ.get("TORCH_COMPILE_DISABLE") == "1":
            kwargs.pop("fullgraph", None)
        return original(*args, **kwargs)

    torch.compile = compiled


def _loss_functions(torch: Any, state: State, losses: Losses) -> None:
    functional = torch.nn.functional
    for path, entry in described("torch.nn.functional"):
        original = getattr(functional, path[0], None)
        if entry.is_a("loss") and len(path) == 1 and callable(original):
            setattr(functional, path[0], _loss_function(original, entry, state, losses))


def _loss_function(original: Any, entry: Any, state: State, losses: Losses) -> Any:
    params = entry.params or ("input", "target")
    grad = state.torch.is_grad_enabled

    @functools.wraps(original)
    def probe(*args: Any, **kwargs: Any) -> Any:
        if state.compiling() or (state.recorder.resting and grad()) or not state.observing():
            return original(*args, **kwargs)
        return losses.around(entry, lambda a, k: original(*a, **k), args, kwargs, params)

    probe.__mllint_bio_wrapped__ = True  # type: ignore[attr-defined]
    return probe
