"""Probes of training: backward passes, cleared gradients, optimizer steps."""

from __future__ import annotations

import functools
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from mllint_bio.observe.identity import Tag, as_array
from mllint_bio.observe.probes.fingerprints import fingerprint
from mllint_bio.observe.probes.torch_data import Datasets
from mllint_bio.observe.probes.torch_modules import Modules
from mllint_bio.observe.probes.torch_state import State, joined
from mllint_bio.observe.probes.wrapping import guarded

LOOKS = 40  # backward passes after a step without clearing, whose gradients are looked at
CHUNK = 256  # figures that are fetched from a GPU, or written, at once
CAPTURED = 64 * 2**20  # bytes of one data set that are kept for experiments
SECONDS = 0.2  # figures are written after this time at the latest, as soon as another one comes


class Figures:
    """Writes figures whose values are tensors, without making a GPU wait for every one of them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: list[tuple[str, dict[str, Any], Any]] = []
        self._ready: list[dict[str, Any]] = []
        self._written = 0.0

    def add(self, what: str, value: Any, **fields: Any) -> None:
        """Write `value`, a tensor with one element, as a figure: at once, or when enough of them wait on the device."""
        if not value.is_cuda:
            self._ready.append({"what": what, "value": value.item(), **fields})
            now = time.monotonic()
            if now - self._written > SECONDS or len(self._ready) >= CHUNK:
                self._written = now
                self._write()
            return
        self._waiting.append((what, fields, value.detach().clone()))
        if len(self._waiting) >= CHUNK:
            self.flush()

    def _write(self) -> None:
        ready, self._ready = self._ready, []
        if ready:
            self._state.recorder.writer.write("values", ready)

    def flush(self) -> None:
        """Write what waits."""
        self._write()
        waiting, self._waiting = self._waiting, []
        by_device: dict[Any, list[tuple[str, dict[str, Any], Any]]] = {}
        for one in waiting:
            by_device.setdefault(one[2].device, []).append(one)
        for found in by_device.values():
            values = self._state.torch.stack([value.reshape(()).double() for _, _, value in found]).tolist()
            for (what, fields, _), value in zip(found, values, strict=True):
                self._state.recorder.figure(what, value=value, **fields)


class Training:
    """The probe of `backward`, `zero_grad` and `step`."""

    def __init__(self, state: State, modules: Modules, figures: Figures, datasets: Datasets) -> None:
        self._state = state
        self._recorder = state.recorder
        self._modules = modules
        self._datasets = datasets
        self._captured: set[Any] = set()
        self._figures = figures
        self._owners: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()
        self._looked: dict[int, int] = {}
        self._by_hand: set[int] = set()  # optimizers whose gradients the program clears itself
        self._initial = False

    def install(self) -> None:
        """Wrap what starts backward passes, clears gradients and makes steps."""
        torch = self._state.torch
        self._install_backward(torch.Tensor, "backward")
        self._install_backward(torch.autograd, "backward")
        self._install_clear(torch.optim.Optimizer, self._cleared)
        self._install_clear(torch.nn.Module, self._module_cleared)
        hooks = sys.modules["torch.optim.optimizer"]  # torch.optim itself forgets the name
        hooks.register_optimizer_step_pre_hook(self._before_step)
        hooks.register_optimizer_step_post_hook(self._after_step)

    def _install_backward(self, owner: Any, name: str) -> None:
        original, state, backward, figure = getattr(owner, name), self._state, self._backward, self._loss

        @functools.wraps(original)
        def probe(*args: Any, **kwargs: Any) -> Any:
            if not state.observing():
                return original(*args, **kwargs)
            loss = args[0] if args else kwargs.get("tensors")
            if state.recorder.resting:
                figure(loss)
                with state.local:
                    return original(*args, **kwargs)
            guarded(state.recorder, "backward", lambda: backward(loss[0] if isinstance(loss, tuple | list) else loss))
            with state.local:
                return original(*args, **kwargs)

        setattr(owner, name, probe)

    def _install_clear(self, owner: Any, told: Callable[[Any], None]) -> None:
        original, state = owner.zero_grad, self._state

        @functools.wraps(original)
        def zero_grad(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            if not state.recorder.resting and state.observing():
                guarded(state.recorder, "zero_grad", lambda: told(self))
            return result

        owner.zero_grad = zero_grad

    # -- what happens ------------------------------------------------------------------------------------------------

    def _backward(self, loss: Any) -> None:
        state, recorder = self._state, self._recorder
        tag = recorder.identity.tag_of(loss)
        if tag is None or tag.tokens is None:  # computed from a loss, or from outputs without a loss of torch's
            tag = joined(state.losses[-8:] or state.outputs[-8:])
        state.losses.clear()
        state.outputs.clear()
        self._leftovers(recorder.maker(tag.predicted))
        site = recorder.site()
        recorder.event("Backward", "torch.Tensor.backward", {"data": tag}, merge=(), site=site)
        if state.torch.is_tensor(loss) and loss.numel() == 1:
            self._figures.add("loss", loss, step=recorder.steps, line=site[0])
        state.trained.append(tag)
        if len(state.trained) > 64:
            state.trained[:] = [joined(state.trained)]

    def _loss(self, loss: Any) -> None:
        if self._state.torch.is_tensor(loss) and loss.numel() == 1:
            self._figures.add("loss", loss, step=self._recorder.steps, line=self._recorder.site()[0])

    def _leftovers(self, maker: int) -> None:
        """Optimizers stepped and their gradients were not cleared by `zero_grad` since: look whether there are any.

        maker: subject of the network whose loss goes backwards, -1 if not known; other networks' gradients do not matter now.
        """
        for key, reference in list(self._state.stepped.items()):
            optimizer = reference()
            if optimizer is None:
                del self._state.stepped[key]
                continue
            owners = [module for one in self.owners(optimizer) if (module := one()) is not None]
            if maker >= 0 and owners and maker not in {self._recorder.known_subject(module) for module in owners}:
                continue
            looks = self._looked[key] = self._looked.get(key, 0) + 1
            if looks <= LOOKS:
                norm = self._norm(optimizer)
                if norm:
                    self._by_hand.discard(key)
                    self._figures.add("gradient", norm[0], step=self._recorder.steps, line=self._recorder.site()[0])
                else:
                    self._by_hand.add(key)
            if key in self._by_hand:
                self._recorder.event("ZeroGrad", "", merge=("by hand",), subject=self._subject(optimizer), by_hand=True)
            del self._state.stepped[key]

    def _norm(self, optimizer: Any) -> list[Any]:
        """The norm of the gradients that an optimizer's parameters hold; empty if there are none, or all are zero."""
        torch = self._state.torch
        held = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        held = [gradient for gradient in held if not gradient.is_sparse]
        if not held:
            return []
        with torch.no_grad():
            norm = torch.stack([torch.linalg.vector_norm(gradient.detach().float()) for gradient in held]).norm()
        return [norm] if float(norm) > 0 else []

    def _cleared(self, optimizer: Any) -> None:
        self._state.stepped.pop(id(optimizer), None)
        self._recorder.event(
            "ZeroGrad", "torch.optim.Optimizer.zero_grad", merge=(id(optimizer),), subject=self._subject(optimizer)
        )

    def _module_cleared(self, module: Any) -> None:
        with self._state.local:
            mine = {id(parameter) for parameter in module.parameters()}
        for key, reference in list(self._state.stepped.items()):
            optimizer = reference()
            if optimizer is None or all(id(p) in mine for group in optimizer.param_groups for p in group["params"]):
                del self._state.stepped[key]
        self._recorder.event("ZeroGrad", "torch.nn.Module.zero_grad", merge=(id(module),), subject=self._state.module(module))

    def _before_step(self, optimizer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        if self._recorder.job.controls.fingerprints and not self._initial and not self._state.compiling():
            self._initial = True
            guarded(self._recorder, "step", lambda: self._fingerprint(optimizer))

    def _after_step(self, optimizer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        if self._state.compiling():
            return
        self._recorder.steps += 1
        if not self._recorder.resting and self._state.observing():
            closure = kwargs.get("closure") is not None or any(callable(value) for value in args[1:])
            guarded(self._recorder, "step", lambda: self._stepped(optimizer, closure))
        if self._recorder.job.controls.fingerprints:
            guarded(self._recorder, "step", lambda: self._fingerprint(optimizer))

    def _stepped(self, optimizer: Any, closure: bool) -> None:
        state, recorder = self._state, self._recorder
        state.stepped[id(optimizer)] = weakref.ref(optimizer)
        tag = joined(state.trained) if state.trained else Tag(None)
        state.trained.clear()
        owners = [module for reference in self.owners(optimizer) if (module := reference()) is not None]
        numbers = [state.module(module) for module in owners]
        modes = [self._modules.mode(module) for module in owners]
        subject = self._subject(optimizer)
        site = recorder.site()
        recorder.event(
            "Step",
            _api(optimizer),
            {"data": tag},
            merge=(subject, tuple(modes)),
            site=site,
            subject=subject,
            modules=numbers,
            managed=closure,
            modes=modes,
        )
        for number in numbers:
            fit = recorder.event(
                "Fit",
                _api(optimizer),
                {"data": tag},
                merge=("step", number),
                site=site,
                subject=number,
                role="estimator.deep",
                method="step",
            )
            if not recorder.fits or recorder.fits[-1] != fit:
                recorder.fits.append(fit)
                if recorder.job.controls.capture:
                    self._capture(fit, tag)
            if tag.learned:
                recorder.learned[number] = recorder.learned.get(number, frozenset()) | tag.learned

    def _capture(self, fit: int, tag: Tag) -> None:
        """Keep what a network learns from: the arrays of its loader's data set, once a loader; without a loader the input and the
        target of the step, once a data set."""
        state, identity = self._state, self._recorder.identity
        reference = state.datasets.get(tag.loader)
        dataset = reference() if reference is not None else None
        if dataset is not None:
            rows = self._datasets.tag(dataset)
            held = self._datasets.arrays(dataset, len(rows.tokens)) if rows.tokens is not None else []
        else:
            rows = tag
            given = [reference() for reference in (state.latest_input, state.latest_target) if reference is not None]
            held = [array for value in given if (array := as_array(value)) is not None]
        key = (tag.loader, None if dataset is not None or tag.tokens is None else len(tag.tokens))
        if key in self._captured or len(held) < 2 or sum(array.nbytes for array in held) > CAPTURED:
            return
        self._captured.add(key)
        X = held[0].copy()
        identity.tag(X, rows)
        self._recorder.capture(fit, "Fit", X=X, y=held[-1])

    def _fingerprint(self, optimizer: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._recorder.figure("parameters", step=self._recorder.steps, hash=fingerprint(self._state.torch, parameters))

    # -- whose parameters --------------------------------------------------------------------------------------------

    def owners(self, optimizer: Any) -> list[Any]:
        """Weak references to the modules whose parameters the optimizer holds: as few as cover them, of those that the program
        asked for parameters or applied."""
        known = self._owners.get(optimizer)
        if known is None:
            found, complete = self._cover({id(p) for group in optimizer.param_groups for p in group["params"]})
            if not complete:
                return found  # a module that is applied later may hold the rest
            known = self._owners[optimizer] = found
        return known

    def _cover(self, wanted: set[int]) -> tuple[list[Any], bool]:
        candidates = []
        with self._state.local:
            for reference in self._modules.holders:
                module = reference()
                if module is not None:
                    candidates.append((reference, {id(p) for p in module.parameters()}))
        found, rest = [], set(wanted)
        while rest and candidates:
            best = max(candidates, key=lambda one: (len(one[1] & rest), -len(one[1])))
            if not best[1] & rest:
                break
            found.append(best[0])
            rest -= best[1]
        return found, not rest

    def _subject(self, optimizer: Any) -> int:
        known = self._recorder.known_subject(optimizer)
        if known >= 0:
            return known
        parts = [self._state.module(module) for reference in self.owners(optimizer) if (module := reference()) is not None]
        given = {name: value for name, value in optimizer.defaults.items() if isinstance(value, bool | int | float | str)}
        return self._recorder.subject(optimizer, _api(optimizer), role="optimizer", given=given, parts=parts)


def _api(optimizer: Any) -> str:
    kind = type(optimizer)
    return f"torch.optim.{kind.__name__}" if kind.__module__.startswith("torch.optim") else kind.__name__
