"""Probes of networks: how they are built, the mode they are in, what they are applied to.

Only the outermost call of a module counts; what it calls inside is its own affair. A module without parameters (an activation, a
flattening) predicts nothing, and a single layer that is applied to a prediction belongs to the network that made it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from typing import Any

from mllint_bio.observe.identity import Tag
from mllint_bio.observe.probes.torch_losses import Losses
from mllint_bio.observe.probes.torch_state import Place, State, construction, data_in, entry_of
from mllint_bio.observe.probes.wrapping import guarded


class Modules:
    """The probe of `torch.nn.Module`."""

    def __init__(self, state: State, losses: Losses) -> None:
        self._state = state
        self._recorder = state.recorder
        self._losses = losses
        self._building: list[tuple[Any, Place]] = []  # weak references to modules whose construction is not told yet
        self._dependent: weakref.WeakKeyDictionary[Any, list[tuple[str, Any]]] = weakref.WeakKeyDictionary()
        self._modes: dict[int, Any] = {}  # Predict event -> modes that were told for it
        self._flags_told = False
        self.holders: list[Any] = []  # weak references to modules whose parameters the program asked for, or that it applied

    def install(self) -> None:
        """Wrap the class and the layers that the catalog knows to draw their first weights."""
        torch = self._state.torch
        module = torch.nn.Module
        self._install_call(module)
        self._install_init(module)
        for name in ("train", "eval"):
            self._install_mode(module, name)
        for name in ("to", "cuda"):
            self._install_move(module, name)
        for name in ("parameters", "named_parameters"):
            self._install_parameters(module, name)
        for name in dir(torch.nn):
            layer = getattr(torch.nn, name)
            if isinstance(layer, type) and issubclass(layer, module) and "__init__" in vars(layer):
                entry = entry_of(layer)
                if entry is not None and any(draw.get("purpose") == "init" for draw in entry.get("draws") or ()):
                    self._install_layer(layer, entry.path)

    # -- wrapping ----------------------------------------------------------------------------------------------------

    def _install_call(self, module: Any) -> None:
        original, local, compiling, called = module.__call__, self._state.local, self._state.compiling, self._called
        recorder, grad = self._recorder, self._state.torch.is_grad_enabled

        def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
            if compiling() or local.forward or local.quiet or (recorder.resting and grad()):
                return original(self, *args, **kwargs)
            return called(original, self, args, kwargs)

        __call__.__doc__ = getattr(original, "__doc__", None)
        module.__call__ = __call__

    def _install_init(self, module: Any) -> None:
        original, state, building = module.__init__, self._state, self._building

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            if state.is_users(type(self)) and not state.recorder.depth:
                place = state.recorder.site(construction(sys._getframe(1), self))
                building.append((weakref.ref(self), place))

        __init__.__wrapped__ = original  # type: ignore[attr-defined]
        module.__init__ = __init__

    def _install_mode(self, module: Any, name: str) -> None:
        original, state, switched = getattr(module, name), self._state, self._switched

        def switch(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not state.observing() or state.local.forward:
                return original(self, *args, **kwargs)
            with state.local:
                result = original(self, *args, **kwargs)
            guarded(state.recorder, f"torch.nn.Module.{name}", lambda: switched(self, name))
            return result

        _replace(module, name, original, switch)

    def _install_move(self, module: Any, name: str) -> None:
        original, state, moved = getattr(module, name), self._state, self._moved

        def move(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not state.observing():
                return original(self, *args, **kwargs)
            with state.local:
                result = original(self, *args, **kwargs)
            guarded(state.recorder, f"torch.nn.Module.{name}", lambda: moved(self))
            return result

        _replace(module, name, original, move)

    def _install_parameters(self, module: Any, name: str) -> None:
        original, state, asked = getattr(module, name), self._state, self._asked

        def parameters(self: Any, *args: Any, **kwargs: Any) -> Any:
            if state.observing() and not state.local.forward:
                asked(self)
            return original(self, *args, **kwargs)

        _replace(module, name, original, parameters)

    def _install_layer(self, layer: Any, path: str) -> None:
        original, state, drew = layer.__init__, self._state, self._drew
        torch = state.torch

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            if not state.observing():
                original(self, *args, **kwargs)
                return
            before = torch.get_rng_state()
            with state.recorder.inside("layer"):
                original(self, *args, **kwargs)
            if not torch.equal(before, torch.get_rng_state()):
                guarded(state.recorder, path, lambda: drew(self, path))

        _replace(layer, "__init__", original, __init__)

    # -- what happens ------------------------------------------------------------------------------------------------

    def _called(self, original: Any, module: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        state = self._state
        if not state.observing() or type(module).__module__.startswith("keras."):  # Keras models are observed as such
            return original(module, *args, **kwargs)
        entry = entry_of(type(module))
        if entry is not None and entry.is_a("loss"):
            return self._losses.around(entry, lambda a, k: original(module, *a, **k), args, kwargs, ("input", "target"))
        tag = guarded(state.recorder, "forward", lambda: self._before(args, kwargs)) or Tag(None)
        state.local.forward += 1
        try:
            result = original(module, *args, **kwargs)
        finally:
            state.local.forward -= 1
        guarded(state.recorder, "forward", lambda: self._applied(module, entry, args, kwargs, tag, result))
        return result

    def _before(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Tag:
        if self._building:
            self.tell_built()
        if not self._flags_told:
            self._flags_told = True
            self._tell_flags()
        return self._state.first_tag(args, kwargs)

    def _applied(self, module: Any, entry: Any, args: Sequence[Any], kwargs: dict[str, Any], tag: Tag, result: Any) -> None:
        state, recorder = self._state, self._recorder
        if not self.has_parameters(module):
            scalar = state.torch.is_tensor(result) and not result.dim()
            if scalar and state.is_users(type(module)) and tag.predicted >= 0:
                self._losses.own(type(module).__name__, args, kwargs, result)
            elif result is not (args[0] if args else None):
                state.mark(result, tag)
            return
        if tag.predicted >= 0 and entry is not None and not module._modules:
            state.mark(result, tag)
            return
        self.held(module)
        subject = state.module(module)
        dependent = self.dependent(module)
        mode = _mode(module, dependent)
        grad = bool(state.torch.is_grad_enabled())
        learned = tag.learned | recorder.learned.get(subject, frozenset())
        number = recorder.event(
            "Predict",
            type(module).__name__,
            {"data": tag},
            merge=(subject, mode, grad),
            subject=subject,
            output="unknown",
            mode=mode,
            grad=grad,
            mode_dependent=bool(dependent),
        )
        if dependent:
            self._tell_modes(number, subject, dependent)
        made = Tag(tag.tokens, learned, number, tag.loader, tag.visit)
        if tag.loader >= 0:
            recorder.passes.applied(tag, number, learned)
        if recorder.job.controls.capture:
            self._keep(number, args, kwargs, tag, grad)
        if grad:
            state.outputs.append(made)
            del state.outputs[:-64]
        state.mark(result, made)

    def _keep(self, number: int, args: Sequence[Any], kwargs: dict[str, Any], tag: Tag, grad: bool) -> None:
        """For experiments: the input of a step without a loader, and of a prediction for a whole set of rows."""
        value = next(data_in((*args, *kwargs.values())), None)
        if value is None or tag.loader >= 0:
            return
        if grad:
            self._state.latest_input = weakref.ref(value)
        else:
            self._recorder.capture(number, "Predict", X=value)

    def _tell_modes(self, number: int, subject: int, dependent: list[tuple[str, Any]]) -> None:
        modes = tuple(part.training for _, part in dependent)
        if self._modes.get(number) == modes:
            return
        self._modes[number] = modes
        recorder = self._recorder
        recorder.figure(
            "mode",
            event=number,
            subject=subject,
            training=any(modes),
            line=recorder.site()[0],
            parts=[(name, type(part).__name__, training) for (name, part), training in zip(dependent[:50], modes, strict=False)],
        )

    def _tell_flags(self) -> None:
        torch, recorder = self._state.torch, self._recorder
        recorder.figure(
            "flags",
            deterministic=bool(torch.are_deterministic_algorithms_enabled()),
            cudnn_deterministic=bool(torch.backends.cudnn.deterministic),
            cudnn_benchmark=bool(torch.backends.cudnn.benchmark),
            threads=int(torch.get_num_threads()),
            line=recorder.site()[0],
        )

    def _switched(self, module: Any, name: str) -> None:
        if self._building:
            self.tell_built()
        self._recorder.wake()
        mode = "train" if module.training else "eval"
        subject = self._state.module(module)
        self._recorder.event("Mode", f"torch.nn.Module.{name}", subject=subject, mode=mode)

    def _moved(self, module: Any) -> None:
        parameter = next(iter(module._parameters.values()), None)
        if parameter is None:
            with self._state.local:
                parameter = next(module.parameters(), None)
        device = parameter.device.type if parameter is not None else "cpu"
        if device == "cpu":
            return
        if self._building:
            self.tell_built()
        self._recorder.event(
            "Device",
            "torch.nn.Module.to",
            merge=(device,),
            device=device,
            module=self._state.module(module),
        )
        tell_device(self._state, device)

    def _asked(self, module: Any) -> None:
        if self._building:
            guarded(self._recorder, "Build", self.tell_built)
        self.held(module)

    def _drew(self, layer: Any, path: str) -> None:
        recorder, state = self._recorder, self._state
        if type(layer).__init__ is not vars(type(layer)).get("__init__") and state.is_users(type(layer)):
            name = type(layer).__name__
        else:
            name = path.rsplit(".", 1)[-1]
        site = recorder.site(construction(sys._getframe(2), layer))
        entry = entry_of(type(layer))
        api, facts = state.facts(layer, entry)
        subject = recorder.subject(layer, api, line=site[0], **facts)
        recorder.event("Draw", path, merge=("torch", name), site=site, stream="torch", what=name, purpose="init", subject=subject)

    def tell_built(self) -> None:
        """Write the Build events of the modules that were constructed since the last time."""
        pending, self._building[:] = self._building[::-1], []
        for reference, place in pending:
            module = reference()
            if module is None or not hasattr(module, "_modules"):
                continue
            dependent = bool(self.dependent(module))
            subject = self._state.module(module)
            self._recorder.subject(module, line=place[0])
            self._recorder.event(
                "Build", type(module).__name__, merge=("build",), site=place, subject=subject, mode_dependent=dependent
            )

    # -- what a module is --------------------------------------------------------------------------------------------

    def held(self, module: Any) -> None:
        """Remember a module as one that an optimizer may hold the parameters of."""
        if not any(reference() is module for reference in self.holders):
            self.holders.append(weakref.ref(module))
            del self.holders[:-64]

    def has_parameters(self, module: Any) -> bool:
        """Whether the module, or one inside it, has parameters."""
        if module._parameters:
            return True
        return any(self.has_parameters(child) for child in module._modules.values() if child is not None)

    def dependent(self, module: Any) -> list[tuple[str, Any]]:
        """The submodules, by name, that act differently in the two modes."""
        known = self._dependent.get(module)
        if known is None:
            known = [(name, weakref.ref(part)) for name, part in module.named_modules() if self._acts(part)]
            self._dependent[module] = known
        return [(name, part) for name, reference in known if (part := reference()) is not None]

    def _acts(self, part: Any) -> bool:
        nn = self._state.torch.nn
        if isinstance(part, nn.modules.dropout._DropoutNd | nn.modules.batchnorm._BatchNorm):
            return True
        if isinstance(part, nn.modules.instancenorm._InstanceNorm):
            return bool(part.track_running_stats)
        if isinstance(part, nn.RNNBase | nn.MultiheadAttention):
            return bool(part.dropout)
        if not self._state.is_users(type(part)):
            return False
        forward = next((vars(kind)["forward"] for kind in type(part).__mro__ if "forward" in vars(kind)), None)
        code = getattr(forward, "__code__", None)
        return code is not None and "training" in code.co_names

    def mode(self, module: Any) -> str:
        """train or eval: of the parts that the mode makes a difference to, if they agree, else of the module itself."""
        return _mode(module, self.dependent(module))


def _mode(module: Any, dependent: Sequence[tuple[str, Any]]) -> str:
    modes = {part.training for _, part in dependent}
    training = modes.pop() if len(modes) == 1 else module.training
    return "train" if training else "eval"


def tell_device(state: State, device: str) -> None:
    """Say once which hardware the program uses."""
    if device == "cuda" and "cuda" not in _told:
        _told.add("cuda")
        torch = state.torch
        state.recorder.figure("device", name=torch.cuda.get_device_name(), cuda=str(torch.version.cuda))


_told: set[str] = set()


def _replace(owner: Any, name: str, original: Any, probe: Any) -> None:
    import functools

    functools.update_wrapper(probe, original)
    setattr(owner, name, probe)
