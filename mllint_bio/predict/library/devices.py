"""Devices: where a program moves its modules and data, and whether that depends on the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mllint_bio.catalog import Entry
from mllint_bio.events import Device, Subject
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.values import (
    Array,
    Choice,
    Const,
    Value,
)

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def _device(run: Run, entry: Entry, call_: Call) -> Value:
    device = entry.get("device") or ""
    if device.startswith("$"):
        value = call_.get(device[1:], entry.params) or call_.at(0)
        text = emit_device(run, call_.node, value)
        if isinstance(value, Array):
            return value.but(kind="config")
        return Array(kind="config", name=text, owner="conditional" if device_is_conditional(run, value) else None)
    if device and device not in ("cpu", "auto"):
        run.emit(Device, call_.node, device=device, conditional=bool(run.branch))
    return Array(kind="config", name=device)


def emit_device(run: Run, node: ir.Node, value: Value | None, module: Subject | None = None) -> str:
    """Record the accelerator that the value names, if it names one; its name."""
    text = device_text(value)
    if text:
        run.emit(Device, node, device=text, conditional=device_is_conditional(run, value), module=module)
    return text


def device_if_any(test: ir.Expr, chosen: Value, otherwise: Value) -> Value | None:
    """The accelerator of `args.device if torch.cuda.is_available() else "cpu"`, whatever it is called; None for other values."""
    asked = any(isinstance(node, ir.Attribute) and node.name == "is_available" for node in ir.walk(test))
    unnamed = isinstance(chosen, Array) and not chosen.has_rows and not device_text(chosen)
    if asked and unnamed and isinstance(otherwise, Const) and otherwise.value == "cpu":
        return Array(kind="config", name="cuda", owner="conditional")
    return None


def device_is_conditional(run: Run, value: Value | None) -> bool:
    """Whether the device is used only if there is one: chosen among several, chosen before, or named in an arm of a branch."""
    chosen = isinstance(value, Array) and value.owner == "conditional"
    return chosen or isinstance(value, Choice) or bool(run.branch)


def device_text(value: Value | None) -> str:
    """`cuda`, `mps` or `gpu` if the value may name such a device."""
    for option in value.options if isinstance(value, Choice) else (value,):
        text = option.value if isinstance(option, Const) else option.name if isinstance(option, Array) else ""
        if isinstance(text, str):
            for device in ("cuda", "mps", "gpu"):
                if device in text.lower():
                    return device
        elif isinstance(text, int) and not isinstance(text, bool):
            return "cuda"
    return ""


HANDLERS: dict[str, Callable[[Any, Entry, Any], Value]] = {
    "device": _device,
}
