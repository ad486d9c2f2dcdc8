"""Graphs that a session runs (TensorFlow 1): what is fed to them is what they learn from, predict and score."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mllint_bio.events import Step, Subject
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import scoring
from mllint_bio.predict.library.contents import arrays_with_rows_in
from mllint_bio.predict.values import NONE, Array, Dict, Seq, Value

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

TRAINS = "trains"  # first word of the owner of an operation of a graph that changes its variables
_ACCURACY = re.compile(r"(^|_)acc(uracy)?($|_)|accuracy", re.IGNORECASE)


def training(subject: Subject) -> Array:
    """`optimizer.minimize(loss)`: in a graph nothing learns before a session runs it."""
    return Array(kind="unknown", owner=(TRAINS, subject))


def ran(run: Run, call: Call) -> Value | None:
    """`session.run([train, accuracy], feed_dict={x: batch, y: labels})`; nothing if it is fed no rows."""
    if not isinstance(call.node, ir.Call) or not call.node.args:
        return None
    inputs = _fed(run, call, call.node)
    if not inputs:
        return None
    asked, written = call.args[0] if call.args else NONE, call.node.args[0][1]
    several = isinstance(written, ir.Collection) and isinstance(asked, Seq) and len(asked.items) == len(written.items)
    values = list(asked.items) if isinstance(asked, Seq) and several else [asked]
    nodes = list(written.items) if isinstance(written, ir.Collection) and several else [written]
    samples, truth = inputs[0], inputs[-1]
    for value in values:
        if isinstance(value, Array) and isinstance(value.owner, tuple) and value.owner[:1] == (TRAINS,):
            run.emit(Step, call.node, subject=value.owner[1], modules=(), data=samples.view(), managed=True)
    results: list[Value] = []
    for node in nodes:
        name = node.name if isinstance(node, (ir.Name, ir.Attribute)) else ""
        if _ACCURACY.search(name) and len(inputs) > 1:
            number = scoring.emit_score(run, call.node, "accuracy", "label", samples, truth, direction="up")
            results.append(samples.but(kind="figure", scores=frozenset({number}), linear=None, mask=None))
        else:
            results.append(samples.but(kind="unknown", linear=None, mask=None))
    return Seq("list", results) if several else results[0]


def _fed(run: Run, call: Call, node: ir.Call) -> list[Array]:
    """Data that placeholders are given, one by one where they are written beside them."""
    written = next((value for key, value in node.args if key == "feed_dict"), None)
    if isinstance(written, ir.DictDisplay):
        plain = (ir.Name, ir.Attribute, ir.Subscript)
        return [a for _, value in written.items if isinstance(value, plain) for a in arrays_with_rows_in(run.eval(value))]
    fed = call.kwargs.get("feed_dict")
    return arrays_with_rows_in(fed) if isinstance(fed, Dict) else []
