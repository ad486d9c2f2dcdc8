"""Layers as objects: their children and their activation."""

from __future__ import annotations

from mllint_bio.predict.library.contents import objects_in
from mllint_bio.predict.values import Obj, Seq


def activation_of(obj: Obj) -> str:
    """softmax, sigmoid, log_softmax, linear, constant (softmax over one unit) or other, for a layer or activation object."""
    spec = (obj.entry.get("activation") if obj.entry is not None else None) or ""
    if isinstance(spec, str) and spec.startswith("$"):
        given = obj.subject.given.get(spec[1:])
        if given is None:
            return "linear" if spec[1:] not in obj.subject.arguments else ""
        if given == "softmax" and obj.subject.given.get("units") == 1:
            return "constant"
        return str(given) if given in ("softmax", "sigmoid", "linear", "log_softmax") else "other"
    return str(spec) if spec in ("softmax", "sigmoid", "log_softmax", "linear") else "other"


def layers_of(obj: Obj) -> list[Obj]:
    """Layers that a container was made of or that were added to it."""
    children = obj.cells.get("#children")
    if isinstance(children, Seq):
        return [o for v in (*children.items, children.rest) for o in objects_in(v)]
    return []
