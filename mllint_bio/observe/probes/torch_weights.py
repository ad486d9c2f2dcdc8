"""Probes of weights: what is kept, saved and loaded, with a fingerprint at each time.

`state_dict()` gives the live weights in tensors of its own. As long as such a tensor is alive, in the dictionary or in a shallow
copy of it, the program holds a reference; if it is gone after the statement, the program copied what it wanted
(`copy.deepcopy(model.state_dict())`, clones in a comprehension), and if it was handed to `torch.save` before the next step it was
saved. The event of the call is written at once and corrected when more is known.
"""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mllint_bio.observe.identity import is_data, length
from mllint_bio.observe.log import Record
from mllint_bio.observe.probes.fingerprints import fingerprint
from mllint_bio.observe.probes.functions import loaded
from mllint_bio.observe.probes.torch_state import State
from mllint_bio.observe.probes.wrapping import argument, guarded

KEPT = 200  # captures that are remembered


@dataclass(slots=True)
class _Kept:
    """Weights that were captured: one of their tensors (weakly), the event, their fingerprint and the number of steps by then."""

    reference: Any
    record: Record
    fingerprint: str
    step: int


class Weights:
    """The probe of `state_dict`, `load_state_dict`, `torch.save` and `torch.load`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._recorder = state.recorder
        self._kept: list[_Kept] = []
        self._files: dict[str, _Kept] = {}

    def install(self) -> None:
        """Wrap the methods of modules and the functions of torch."""
        torch = self._state.torch
        self._install_method(torch.nn.Module, "state_dict", self._captured)
        self._install_method(torch.nn.Module, "load_state_dict", self._loaded)
        self._install_function(torch, "save", self._saved)
        self._install_function(torch, "load", self._read)

    def _install_method(self, owner: Any, name: str, told: Any) -> None:
        original, state = getattr(owner, name), self._state

        @functools.wraps(original)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not state.observing() or state.local.forward:
                return original(self, *args, **kwargs)
            with state.local:
                result = original(self, *args, **kwargs)
            guarded(state.recorder, name, lambda: told(self, result, args, kwargs))
            return result

        setattr(owner, name, method)

    def _install_function(self, owner: Any, name: str, told: Any) -> None:
        original, state = getattr(owner, name), self._state

        @functools.wraps(original)
        def function(*args: Any, **kwargs: Any) -> Any:
            if not state.observing():
                return original(*args, **kwargs)
            with state.local:
                result = original(*args, **kwargs)
            guarded(state.recorder, name, lambda: told(result, args, kwargs))
            return result

        function.__mllint_bio_wrapped__ = True  # type: ignore[attr-defined]
        setattr(owner, name, function)

    # -- what happens ------------------------------------------------------------------------------------------------

    def _captured(self, module: Any, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        record = self._event("reference", self._state.module(module), "torch.nn.Module.state_dict")
        if record is None:
            return
        found = self._fingerprint(result)
        self._figure(record, found)

        def gone(_: Any, recorder: Any = self._recorder) -> None:
            if record.fields["action"] == "reference" and not recorder.finished:
                recorder.revise(record, action="copy")

        tensors = (value for value in result.values() if self._state.torch.is_tensor(value))
        self._kept.append(_Kept(weakref.ref(next(tensors, result), gone), record, found, self._recorder.steps))
        del self._kept[:-KEPT]

    def _loaded(self, module: Any, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        given = argument("state_dict", ("state_dict", "strict", "assign"), args, kwargs)
        found = self._fingerprint(given)
        kept = self._of(given)
        source = kept or next((one for one in reversed(self._kept) if one.fingerprint == found), None)
        record = self._event("load", self._state.module(module), "torch.nn.Module.load_state_dict")
        if record is not None:
            captured = {"captured": source.record.number, "captured_hash": source.fingerprint} if source is not None else {}
            self._figure(record, found, **captured)

    def _saved(self, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        held, place = argument("obj", ("obj", "f"), args, kwargs), argument("f", ("obj", "f"), args, kwargs)
        name = os.fspath(place) if isinstance(place, str | os.PathLike) else ""
        parts = [held, *held.values()] if isinstance(held, dict) else [held]
        module = next((part for part in parts if isinstance(part, self._state.torch.nn.Module)), None)
        weights, kept = next(((part, one) for part in parts if (one := self._of(part)) is not None), ({}, None))
        at_once = kept is not None and kept.step == self._recorder.steps
        if kept is not None and at_once and kept.record.fields["action"] == "reference":
            record: Record | None = kept.record
            self._recorder.revise(kept.record, action="save", name=name, line=self._recorder.site()[0], api="torch.save")
        elif kept is not None or module is not None:
            subject = kept.record.fields["subject"] if kept is not None else self._state.module(module)
            record = self._event("save", subject, "torch.save", name=name)
            found = self._fingerprint(module.state_dict() if module is not None else weights)
            if record is not None:
                self._figure(record, found)
                kept = _Kept(lambda: None, record, found, self._recorder.steps)
                self._kept.append(kept)
        if kept is not None and name:
            self._files[os.path.abspath(name)] = kept

    def _read(self, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        place = argument("f", ("f",), args, kwargs)
        name = os.fspath(place) if isinstance(place, str | os.PathLike) else ""
        if isinstance(name, bytes) or os.path.abspath(name) in self._files:
            return
        parts = list(result.values()) if isinstance(result, dict) else result if isinstance(result, tuple | list) else [result]
        data = [part for part in parts if is_data(part) and length(part) > 1]
        if data and len({length(part) for part in data}) == 1 and len(data) == len(parts):  # rows, no weights
            loaded(self._recorder, data, os.path.basename(name) or "torch.load")

    # -- writing -----------------------------------------------------------------------------------------------------

    def _event(self, action: str, subject: int, api: str, name: str = "") -> Record | None:
        named: dict[str, Any] = {"name": name} if name else {}
        number = self._recorder.event("Weights", api, subject=subject, action=action, **named)
        last = self._recorder.last
        return last if last is not None and last.number == number else None

    def _figure(self, record: Record, found: str, **more: Any) -> None:
        self._recorder.figure(
            "weights", event=record.number, hash=found, action=record.fields["action"], line=record.line,
            step=self._recorder.steps, **more,
        )  # fmt: skip

    def _of(self, value: Any) -> _Kept | None:
        """The capture whose tensors a dictionary holds."""
        if not isinstance(value, dict):
            return None
        held = {id(part) for part in (value, *value.values())}
        alive = ((one, one.reference()) for one in reversed(self._kept))
        return next((one for one, part in alive if part is not None and id(part) in held), None)

    def _fingerprint(self, held: Any) -> str:
        values = held.values() if isinstance(held, dict) else ()
        return fingerprint(self._state.torch, [value for value in values if self._state.torch.is_tensor(value)])
