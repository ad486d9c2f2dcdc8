"""Row numbers carried through the operations on tensors that keep rows, and through the joining of batches.

Only objects that are tagged already cost more than a look-up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mllint_bio.observe.identity import Identity, Tag, length
from mllint_bio.observe.probes.torch_state import State

# Methods and functions whose result has the rows of the tensor, wherever it is as long.
METHODS = (
    "to", "cuda", "cpu", "float", "double", "half", "bfloat16", "long", "int", "bool", "type", "type_as", "clone", "contiguous",
    "detach", "numpy", "view", "reshape", "squeeze", "unsqueeze", "flatten", "ravel", "argmax", "argmin", "max", "min", "topk",
    "softmax", "log_softmax", "sigmoid", "exp", "log", "tanh", "round", "abs", "sqrt", "clamp", "mean", "sum", "requires_grad_",
    "pin_memory", "__gt__", "__ge__", "__lt__", "__le__", "__array__", "expand_as", "gt", "ge", "eq", "nan_to_num",
)  # fmt: skip
FUNCTIONS = (
    "tensor", "as_tensor", "asarray", "from_numpy", "sigmoid", "softmax", "log_softmax", "argmax", "argmin", "max", "min", "topk",
    "round", "squeeze", "unsqueeze", "flatten", "reshape", "exp", "log", "tanh", "abs", "sqrt", "clamp", "clone", "detach",
    "mean", "sum", "ge", "gt", "nan_to_num",
)  # fmt: skip
FUNCTIONAL = ("softmax", "log_softmax", "sigmoid", "tanh", "relu", "normalize", "one_hot", "softplus", "logsigmoid")
JOINED = ("cat", "concat", "concatenate", "vstack", "row_stack", "hstack")


def install(state: State) -> None:
    """Wrap the methods of tensors and the functions of torch."""
    torch, identity = state.torch, state.recorder.identity
    for name in METHODS:
        original = getattr(torch.Tensor, name, None)
        if original is not None:
            setattr(torch.Tensor, name, _method(original, identity))
    for holder, names in (
        (torch, FUNCTIONS),
        (torch.nn.functional, FUNCTIONAL),
        (torch.special, ("softmax", "log_softmax", "expit")),
    ):
        for name in names:
            if hasattr(holder, name):
                _function(holder, name, lambda original: _keeping(original, identity, state.compiling))
    for name in JOINED:
        if hasattr(torch, name):
            _function(torch, name, lambda original: _joining(original, identity, state.compiling))


def _function(holder: Any, name: str, make: Callable[[Any], Any]) -> None:
    original = getattr(holder, name)
    if hasattr(original, "__mllint_bio_wrapped__"):
        return
    probe = make(original)
    functools.update_wrapper(probe, original)
    probe.__mllint_bio_wrapped__ = True
    probe.__wrapped__ = original
    setattr(holder, name, probe)


def _method(original: Any, identity: Identity) -> Any:
    tags = identity._tags

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        if (id(self) in tags or self._base is not None) and result is not self:
            carry(identity, self, result)
        return result

    functools.update_wrapper(method, original)
    return method


def _keeping(original: Any, identity: Identity, compiling: Callable[[], bool]) -> Any:
    tags = identity._tags

    def function(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if not compiling():
            value = args[0] if args else next(iter(kwargs.values()), None)
            view = getattr(value, "_base", None) is not None or isinstance(value, np.ndarray)
            if (view or id(value) in tags) and result is not value:
                carry(identity, value, result)
        return result

    return function


def carry(identity: Identity, value: Any, result: Any) -> None:
    """Tag the result of an operation on a tagged value."""
    try:
        tag = identity.tag_of(value)
        if tag is None:
            return
        for one in result if isinstance(result, tuple) else (result,):
            if not identity.tagged(one):
                rows = tag.tokens is not None and length(one) == len(tag.tokens)
                if rows or tag.predicted >= 0 or tag.learned:
                    tokens = tag.tokens if rows else None
                    identity.tag(one, Tag(tokens, tag.learned, tag.predicted, tag.loader, tag.visit))
    except Exception:  # an object of a kind that nobody thought of stays untagged
        return


def _joining(original: Any, identity: Identity, compiling: Callable[[], bool]) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if not compiling():
            parts = args[0] if args else kwargs.get("tensors", kwargs.get("arrays"))
            axis = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))
            if axis == 0 and isinstance(parts, list | tuple) and parts:
                join(identity, parts, result)
        return result

    return function


def join(identity: Identity, parts: Sequence[Any], result: Any) -> None:
    """Tag what was joined from tagged parts, row below row."""
    try:
        tags = [identity.tag_of(part) for part in parts]
        if any(tag is None or tag.tokens is None for tag in tags):
            return
        known = [tag for tag in tags if tag is not None and tag.tokens is not None]
        tokens = np.concatenate([tag.tokens for tag in known])
        if len(tokens) == length(result):
            last = known[-1]
            learned = frozenset[int]().union(*(tag.learned for tag in known))
            identity.tag(result, Tag(tokens, learned, max(tag.predicted for tag in known), last.loader, last.visit))
    except Exception:  # as above
        return
