"""Suppression comments against the findings of one file: what they hide, and which of them hide nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from mllint_bio.config import Selectable, Settings, selected
from mllint_bio.diagnostics import ENGINE_CODES, INTERNAL_ERROR, UNUSED_SUPPRESSION, Diagnostic, rule_url
from mllint_bio.findings import Confidence
from mllint_bio.judge import place
from mllint_bio.sources import SourceUnit
from mllint_bio.sources.suppressions import parse


def suppressed(
    found: Sequence[Diagnostic], unit: SourceUnit, settings: Settings, rules: Iterable[Selectable]
) -> tuple[list[Diagnostic], int]:
    """The findings of a file that no comment hides, with those about the comments themselves, and the number of hidden ones.

    rules: all that are installed. Only comments for rules that ran on this file are judged.
    """
    comments = parse(unit)
    if not comments.entries and not comments.malformed:
        return list(found), 0
    statements = _Statements(unit)
    kept: list[Diagnostic] = []
    for one in found:
        spans = {(one.place.start, one.place.end), statements.around(one.place.start)}
        hidden = [comments.match(one.code, one.name, one.variant, start, end) for start, end in sorted(spans)]
        if one.code == INTERNAL_ERROR or not any(hidden):
            kept.append(one)
    hidden_count = len(found) - len(kept)
    about = ENGINE_CODES[UNUSED_SUPPRESSION]
    broken = any(one.code == INTERNAL_ERROR for one in found)  # a rule that failed may have had a finding to hide
    if not selected(settings, about) or settings.ignored_for_file(unit.path, about):
        return kept, hidden_count
    known = [(r, v) for r in (*rules, *ENGINE_CODES.values()) for v in ("", *r.variants)]
    ran = [(r, v) for r, v in known if r.tip and selected(settings, r, v) and not settings.ignored_for_file(unit.path, r, v)]
    idle = comments.unused(((r.code, r.name, v) for r, v in ran), ((r.code, r.name, v) for r, v in known))
    for (start, end), message in (*comments.malformed, *(() if broken else idle)):
        kept.append(
            Diagnostic(
                code=about.code,
                name=about.name,
                severity=about.severity,
                confidence=Confidence.CERTAIN,
                message=message,
                place=place(unit, start, end),
                remedy="remove the comment, or the code that it does not need",
                url=rule_url(about.code, about.name),
            )
        )
    return kept, hidden_count


class _Statements:
    """Spans of the statements of a unit: of a compound statement, its header."""

    def __init__(self, unit: SourceUnit) -> None:
        self._unit = unit
        try:
            tree: ast.AST | None = ast.parse(unit.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            tree = None  # then a comment holds for the finding's own lines
        self._spans: list[tuple[int, int]] = []
        stack: list[ast.AST] = [tree] if tree is not None else []
        while stack:
            node = stack.pop()
            if isinstance(node, ast.stmt):
                self._spans.append(self._span(node))
            stack.extend(child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))

    def _span(self, node: ast.stmt) -> tuple[int, int]:
        first = min([node, *getattr(node, "decorator_list", [])], key=lambda n: n.lineno)
        start = self._unit.offset_of_bytes(first.lineno, first.col_offset)
        body = getattr(node, "body", None) or getattr(node, "cases", None)
        if body:
            head = body[0] if isinstance(body[0], ast.stmt) else body[0].pattern
            return start, self._unit.offset_of_bytes(head.lineno, 0 if head.lineno > node.lineno else head.col_offset)
        return start, self._unit.offset_of_bytes(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def around(self, offset: int) -> tuple[int, int]:
        """The innermost statement that holds this offset; the offset alone where there is none."""
        inside = [span for span in self._spans if span[0] <= offset < span[1]]
        return min(inside, key=lambda span: span[1] - span[0], default=(offset, offset + 1))
