"""Sites to offsets, computed only for the chunks that hold findings.

LibCST keeps no positions, and its PositionProvider costs more than twice the parse. This module renders one chunk with a code
generator state that counts characters, which gives the same spans. It leans on LibCST's private `_codegen` hooks, so all of that
lives here and is tested against PositionProvider (`tests/predict/test_spans.py`).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mllint_bio.events import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mllint_bio.predict.skeleton import Skeleton


def spans(skeleton: Skeleton, sites: Iterable[Site]) -> dict[Site, tuple[int, int]]:
    """Offsets [start, end) in the unit's text for each site of this unit; a site that cannot be found spans its chunk's first
    line."""
    wanted: dict[int, list[Site]] = defaultdict(list)
    for site in sites:
        wanted[site.statement].append(site)
    found: dict[Site, tuple[int, int]] = {}
    for number, members in wanted.items():
        if not 0 <= number < len(skeleton.chunks):
            found.update(dict.fromkeys(members, (0, 0)))
            continue
        chunk = skeleton.chunks[number]
        placed = _render(chunk.text, number)
        for site in members:
            span = placed[site.node] if 0 <= site.node < len(placed) else None
            if span is None:
                span = (0, len(chunk.text.split("\n", 1)[0]))
            found[site] = (chunk.start + span[0], chunk.start + span[1])
    return found


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Allow the recursion that rendering a long expression needs; the guard has bounded its depth before."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 12_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@lru_cache(maxsize=128)  # the same pieces hold findings of several programs, and of every keystroke
def _render(text: str, number: int) -> list[tuple[int, int] | None]:
    """The span of each node of a chunk, in lowering order; None where it is not known."""
    from mllint_bio.predict.lower import Lowering, parse

    with deep_recursion():
        module = parse(text)
        origins: list[Any] = []
        Lowering(number, origins).module(module)
        state = _state(module)
        try:
            module._codegen(state)
        except RecursionError:
            return []
    return [state.placed.get(id(node)) for node in origins]


def _state(module: Any) -> Any:
    from libcst._nodes.internal import CodegenState

    class OffsetState(CodegenState):
        """Counts characters instead of collecting them; a syntactic position wins over the one with white space."""

        def __init__(self) -> None:
            super().__init__(module.default_indent, module.default_newline)
            self.offset = 0
            self.starts: list[int] = []
            self.placed: dict[int, tuple[int, int]] = {}

        def add_token(self, value: str) -> None:
            self.offset += len(value)

        def add_indent_tokens(self) -> None:
            self.offset += sum(map(len, self.indent_tokens))

        def before_codegen(self, node: Any) -> None:
            self.starts.append(self.offset)

        def after_codegen(self, node: Any) -> None:
            self.placed.setdefault(id(node), (self.starts.pop(), self.offset))

        @contextmanager
        def record_syntactic_position(self, node: Any, *, start_node: Any = None, end_node: Any = None) -> Iterator[None]:
            start = self.offset
            try:
                yield
            finally:
                first = start if start_node is None else self.placed[id(start_node)][0]
                last = self.offset if end_node is None else self.placed[id(end_node)][1]
                self.placed[id(node)] = (first, last)

    return OffsetState()
