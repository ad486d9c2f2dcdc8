"""Passes over loaders: values that a program collects batch by batch (`extend`, `append` and `np.array`) hold their rows.

A list of numbers leaves no trace of where its members came from. If it has exactly as many members as the latest pass handed out
rows, and nothing else is known of it, it is taken to hold those rows in that order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mllint_bio.observe.identity import Tag, Tokens, length

REMEMBERED = 6  # passes
ROWS = 5_000_000  # a pass over more rows is not remembered


@dataclass(slots=True)
class Pass:
    """One pass over a loader. predicted: the latest Predict event that was given its batches; learned: what shaped the rows of
    the batches, and of the predictions."""

    loader: int
    visit: int
    parts: list[Tokens] = field(default_factory=list)
    count: int = 0
    predicted: int = -1
    learned: frozenset[int] = frozenset()
    outputs: frozenset[int] = frozenset()

    def tokens(self) -> Tokens:
        """Rows in the order in which they were handed out."""
        if len(self.parts) > 1:
            self.parts = [np.concatenate(self.parts)]
        return self.parts[0]


class Passes:
    """The latest passes, newest last."""

    def __init__(self) -> None:
        self._latest: deque[Pass] = deque(maxlen=REMEMBERED)

    def start(self, loader: int, visit: int) -> None:
        """A pass begins."""
        self._latest.append(Pass(loader, visit))

    def add(self, tag: Tag) -> None:
        """A batch was handed out."""
        one = self._find(tag)
        if one is not None and tag.tokens is not None and one.count < ROWS:
            one.parts.append(tag.tokens)
            one.count += len(tag.tokens)
            one.learned |= tag.learned

    def applied(self, tag: Tag, event: int, learned: frozenset[int]) -> None:
        """A network was applied to a batch."""
        one = self._find(tag)
        if one is not None:
            one.predicted = event
            one.outputs |= learned

    def collected(self, value: Any, *, prediction: bool) -> Tag | None:
        """The tag of a value that was collected over one of the latest passes, as far as its length tells."""
        count = length(value)
        for one in reversed(self._latest):
            if one.count == count and count > 1 and (one.predicted >= 0 or not prediction):
                learned = one.outputs if prediction else one.learned
                return Tag(one.tokens(), learned, one.predicted if prediction else -1, one.loader, one.visit)
        return None

    def _find(self, tag: Tag) -> Pass | None:
        return next((one for one in reversed(self._latest) if (one.loader, one.visit) == (tag.loader, tag.visit)), None)
