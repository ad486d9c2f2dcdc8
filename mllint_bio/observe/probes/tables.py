"""Probes that carry row numbers through pandas: tables cut from tables, columns taken out, arrays made of them."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from mllint_bio.observe.identity import Tag, is_table, length
from mllint_bio.observe.probes.wrapping import Method, guarded, wrap_function
from mllint_bio.observe.recorder import Recorder

# Methods that keep the order of rows but give them new labels.
RELABELLED = ("reset_index", "set_index", "set_axis", "rename")
AS_ARRAYS = ("to_numpy", "__array__")


def wrap(name: str, module: ModuleType, recorder: Recorder) -> None:
    """Wrap pandas when its core is complete."""
    if name != "pandas":
        return
    from pandas.core.generic import NDFrame

    carry = _Carry(recorder)
    _replace(NDFrame, "__finalize__", carry.finalize)
    for owner in (module.DataFrame, module.Series):
        for method in RELABELLED:
            _replace(owner, method, carry.same_order)
        for method in AS_ARRAYS:
            _replace(owner, method, carry.same_order)
        values = owner.values
        if isinstance(values, property):
            owner.values = property(_getter(values, carry), doc=values.__doc__)
    wrap_function(module, "concat", carry.concat)


def _replace(owner: type, name: str, around: Any) -> None:
    original = vars(owner).get(name)
    if original is not None and not isinstance(original, Method):
        setattr(owner, name, Method(original, name, around))


def _getter(original: property, carry: _Carry) -> Any:
    def values(table: Any) -> Any:
        assert original.fget is not None
        return carry.same_order(lambda: original.fget(table), table, (), {})

    return values


class _Carry:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._identity = recorder.identity

    def finalize(self, bound: Any, child: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """pandas calls `child.__finalize__(parent)` at the end of almost every operation that makes a table from a table."""
        result = bound(*args, **kwargs)
        parent = args[0] if args else kwargs.get("other")
        if is_table(parent) and parent is not child and self._identity.tag_of(parent) is not None:
            guarded(self._recorder, "pandas", lambda: self._identity.cut_from(child, parent))
        return result

    def same_order(self, bound: Any, table: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The result has the rows of the table, whatever its labels are."""
        result = bound(*args, **kwargs)
        tag = self._identity.tag_of(table)
        if tag is not None and tag.tokens is not None and length(result) == len(tag.tokens) and not np.isscalar(result):
            guarded(self._recorder, "pandas", lambda: self._identity.tag(result, tag))
        return result

    def concat(self, original: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """`pd.concat`: rows below each other, or columns side by side."""
        tables = args[0] if args else kwargs.get("objs")
        result = original(*args, **kwargs)

        def observe() -> None:
            listed = list(tables.values()) if isinstance(tables, dict) else list(tables or ())
            tags = [self._identity.tag_of(table) for table in listed if table is not None]
            learned = frozenset().union(*(tag.learned for tag in tags if tag is not None))
            axis = kwargs.get("axis", args[1] if len(args) > 1 else 0)
            if axis in (1, "columns"):
                found = next((tag.tokens for tag in tags if tag is not None and length(result) == length(tag.tokens)), None)
            elif all(tag is not None and tag.tokens is not None for tag in tags) and tags:
                found = np.concatenate([tag.tokens for tag in tags if tag is not None and tag.tokens is not None])
            else:
                found = None
            if found is not None and len(found) == length(result):
                self._identity.tag(result, Tag(found, learned))

        if not self._recorder.depth and isinstance(tables, list | tuple | dict):
            guarded(self._recorder, "pandas.concat", observe)
        return result
