"""How a call is wrapped: functions, and methods of classes, so that nobody notices."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from mllint_bio.observe.recorder import Recorder

Around = Callable[..., Any]  # (original, args, kwargs) -> result

_MARK = "__mllint_bio_wrapped__"


def wrap_function(holder: Any, name: str, around: Around) -> None:
    """Replace a function of a module or class by one that calls `around(original, args, kwargs)`."""
    original = vars(holder).get(name) if isinstance(holder, type) else getattr(holder, name, None)
    kind = type(original) if isinstance(original, (staticmethod, classmethod)) else None
    inner: Any = getattr(original, "__func__", None) if kind else original
    if inner is None or isinstance(inner, type) or not callable(inner) or hasattr(inner, _MARK):
        return

    def probe(*args: Any, **kwargs: Any) -> Any:
        return around(inner, args, kwargs)

    try:
        functools.update_wrapper(probe, inner)
    except (AttributeError, TypeError):  # built-in functions lack some attributes
        probe.__name__ = name
    setattr(probe, _MARK, True)
    setattr(holder, name, kind(probe) if kind else probe)


class Method:
    """Descriptor in the place of a method: calls `around(bound method, self, args, kwargs)`, and is found missing on
    objects where the original is (scikit-learn's `available_if`)."""

    def __init__(self, original: Any, name: str, around: Callable[..., Any]) -> None:
        self._original = original
        self._name = name
        self._around = around
        self.__doc__ = getattr(original, "__doc__", None)

    def __get__(self, value: Any, owner: type | None = None) -> Any:
        """The wrapped bound method, or on a class the original."""
        if not hasattr(self._original, "__get__"):
            return self._original
        bound = self._original.__get__(value, owner)
        if value is None:
            return bound
        around = self._around

        @functools.wraps(bound)
        def probe(*args: Any, **kwargs: Any) -> Any:
            return around(bound, value, args, kwargs)

        return probe


def wrap_method(owner: type, name: str, around: Callable[..., Any]) -> None:
    """Put a `Method` in the place of a method that the class has, itself or from a base class."""
    original = next((vars(base)[name] for base in owner.__mro__ if name in vars(base)), None)
    if original is None or isinstance(original, (Method, property)) and name in vars(owner):
        return
    if isinstance(original, Method):
        original = original._original
    if isinstance(original, (staticmethod, classmethod, property)):
        return
    try:
        setattr(owner, name, Method(original, name, around))
    except TypeError:  # a class written in C
        return


def argument(name: str | None, params: Sequence[str], args: Sequence[Any], kwargs: dict[str, Any], default: Any = None) -> Any:
    """The argument for a parameter, by name or position."""
    if name is None:
        return default
    if name in kwargs:
        return kwargs[name]
    if name in params and params.index(name) < len(args):
        return args[params.index(name)]
    return default


def guarded(recorder: Recorder, where: str, observe: Callable[[], Any]) -> Any:
    """Run the observing part of a probe; its failure never reaches the user's program."""
    try:
        return observe()
    except Exception as error:  # a probe that fails loses an event; the figure says which
        recorder.figure("probe-failed", where=where, error=f"{type(error).__name__}: {error}")
        return None


def holder_of(module: ModuleType, path: Sequence[str]) -> tuple[Any, str] | None:
    """The object that holds the attribute at this path, and the attribute's name; None if this release lacks it."""
    holder: Any = module
    for part in path[:-1]:
        holder = vars(holder).get(part)
        if not isinstance(holder, type):
            return None
    return (holder, path[-1]) if path[-1] in vars(holder) else None
