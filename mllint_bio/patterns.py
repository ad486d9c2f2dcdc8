"""Patterns of `.gitignore` files, which `exclude` and `per-file-ignores` use too.

Written out rather than taken from `pathspec`: in a walk each path must be judged for itself, and `pathspec` lets a pattern for a
directory speak for the files below it as well, so that `*` with `!*/` in different files gives another answer than git; its
import would also cost every run in a git repository 50 ms. A test compares with git itself. Source: gitignore(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_BRACKET = re.compile(r"\[[!^]?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]")
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r" \t",
    "digit": "0-9",
    "lower": "a-z",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "a-fA-F0-9",
}


@dataclass(frozen=True, slots=True)
class _Pattern:
    regex: re.Pattern[str]
    by_name: bool  # matched against the last part of the path only
    for_directories: bool
    negated: bool


class Patterns:
    """The patterns of one file or setting; paths are relative to its folder, with `/`, and without one at the end."""

    __slots__ = ("_patterns",)

    def __init__(self, lines: Iterable[str]) -> None:
        # The last pattern that matches decides.
        self._patterns = tuple(reversed([p for p in map(_parse, lines) if p is not None]))

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def verdict(self, path: str, is_directory: bool) -> bool | None:
        """Whether the patterns hit this path itself (True), take it back (False), or say nothing of it (None)."""
        name = path.rpartition("/")[2]
        for pattern in self._patterns:
            if pattern.for_directories and not is_directory:
                continue
            if pattern.regex.match(name if pattern.by_name else path):
                return not pattern.negated
        return None

    def covers(self, path: str) -> bool:
        """Whether the patterns hit this file or a directory above it."""
        parts = path.split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts)))
        return any(self.verdict(directory, True) for directory in above) or bool(self.verdict(path, False))


def _parse(line: str) -> _Pattern | None:
    """One line as a pattern; None for blank lines, comments, and what git passes over as never matching."""
    line = re.sub(r"(?<!\\)((?:\\\\)*) +$", r"\1", line.rstrip("\r\n"))
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    body = line[1:] if negated else line
    for_directories = body.endswith("/")
    body = body[:-1] if for_directories else body
    by_name = "/" not in body
    expression = _translate(body.removeprefix("/"))
    if not body or expression is None:
        return None
    try:
        return _Pattern(re.compile(expression + r"\Z", re.DOTALL), by_name, for_directories, negated)
    except re.error:  # a range that runs backwards
        return None


def _translate(pattern: str) -> str | None:
    """Regular expression of a pattern; None if a backslash escapes nothing or a bracket is not closed."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        rest = pattern[position:]
        at_start = position == 0 or pattern[position - 1] == "/"
        bracket = _BRACKET.match(rest)
        if at_start and rest.startswith("**/"):
            parts.append("(?:[^/]+/)*")
            position += 3
        elif at_start and rest == "**":
            parts.append(".+" if position else ".*")
            position += 2
        elif rest[0] == "*":
            parts.append("[^/]*")
            position += len(rest) - len(rest.lstrip("*"))
        elif rest[0] == "?":
            parts.append("[^/]")
            position += 1
        elif bracket:
            parts.append(_bracket(bracket.group()[1:-1]))
            position += bracket.end()
        elif rest[0] == "[" or rest == "\\":
            return None
        else:
            escaped = rest[0] == "\\"
            parts.append(re.escape(rest[escaped : escaped + 1]))
            position += 1 + escaped
    return "".join(parts)


def _bracket(content: str) -> str:
    negated = content[:1] in ("!", "^")
    inside = re.sub(r"\[:(\w+):\]", lambda m: _CLASSES.get(m[1], ""), content[negated:])
    inside = re.sub(r"^\]|(?<!\\)\[|&|~|\|", lambda m: "\\" + m[0], inside)
    return f"(?!/)[{'^' if negated else ''}{inside}]"
