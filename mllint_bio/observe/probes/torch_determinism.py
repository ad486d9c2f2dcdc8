"""Probes of determinism: the switches that the program sets, and operations that have no deterministic kernel."""

from __future__ import annotations

import functools
import re
import warnings
from typing import Any

from mllint_bio.observe.probes.torch_state import State
from mllint_bio.observe.probes.wrapping import guarded

# What torch says of an operation, and of matrix products of cuBLAS, when deterministic algorithms are asked for.
_OPERATION = re.compile(r"(\S+) does not have a deterministic implementation")
_CUBLAS = re.compile(r"uses CuBLAS|CuBLAS and you have CUDA", re.I)


def install(state: State) -> None:
    """Wrap the switches; listen to the warnings if the job asks for deterministic algorithms."""
    torch, recorder = state.torch, state.recorder
    for name in ("use_deterministic_algorithms", "set_deterministic_debug_mode"):
        setattr(torch, name, _switch(getattr(torch, name), f"torch.{name}", state))
    properties = vars(type(torch.backends.cudnn))
    for name in ("deterministic", "benchmark"):
        held = properties.get(name)
        if held is not None and hasattr(held, "setter"):
            held.setter = _flag(held.setter, name, state)
    if recorder.job.controls.deterministic:
        with state.recorder.inside("set-up"):
            torch.use_deterministic_algorithms(True, warn_only=True)
        _listen(state)


def _switch(original: Any, path: str, state: State) -> Any:
    @functools.wraps(original)
    def switch(mode: Any, *args: Any, **kwargs: Any) -> Any:
        controlled = state.recorder.job.controls.deterministic and not state.recorder.depth
        if state.observing():
            on = mode not in (0, "default", False)
            guarded(
                state.recorder,
                path,
                lambda: state.recorder.event("Determinism", path, merge=(on,), flag="all-ops", value=on, call=path),
            )
        if controlled:  # the experiment wants to hear of every operation, not to stop at the first, whatever the program says
            return state.torch._C._set_deterministic_algorithms(True, warn_only=True)
        return original(mode, *args, **kwargs)

    return switch


def _flag(original: Any, name: str, state: State) -> Any:
    path = f"torch.backends.cudnn.{name}"

    def setter(value: Any) -> Any:
        if state.observing():
            on = bool(value)
            guarded(
                state.recorder,
                path,
                lambda: state.recorder.event("Determinism", path, merge=(on,), flag=f"cudnn-{name}", value=on, call=path),
            )
        return original(value)

    return setter


def _listen(state: State) -> None:
    """Turn torch's warnings about operations into figures; they are not shown, since the program did not ask for them."""
    warnings.filterwarnings("always", message=".*deterministic")
    shown = warnings.showwarning
    told: dict[Any, int] = {}

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        text = str(message)
        operation = _OPERATION.search(text)
        if operation is None and not _CUBLAS.search(text):
            shown(message, category, filename, lineno, file, line)
            return
        name = operation.group(1) if operation is not None else "cuBLAS"
        place = state.recorder.site()[0]
        told[name, place] = told.get((name, place), 0) + 1
        if told[name, place] == 1:
            state.recorder.figure("operation", name=name, line=place, message=text.split(". ")[0][:300])

    warnings.showwarning = show
