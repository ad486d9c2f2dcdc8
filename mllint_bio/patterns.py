"""Patterns of `.gitignore` files, which `exclude` and `per-file-ignores` use too.

`pathspec` reads them. In a walk, though, each path is judged for itself, as git does, while a pattern of `pathspec` speaks for
the files below a directory as well: `*` with `!*/` in different files would give another answer than git. Its regular
expressions tell the two apart (the group `ps_d` is the slash after a matched directory); a test compares with git.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

# Character classes, which `pathspec` does not read.
_CLASSES = {"alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "digit": "0-9", "lower": "a-z", "upper": "A-Z", "xdigit": "a-fA-F0-9"}


class Patterns:
    """The patterns of one file or setting; paths are relative to its folder, with `/`, and without one at the end."""

    __slots__ = ("_patterns",)

    def __init__(self, lines: Iterable[str]) -> None:
        # The last pattern that matches decides.
        self._patterns = tuple(reversed([p for p in map(_parse, lines) if p is not None and p.include is not None]))

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def verdict(self, path: str, is_directory: bool) -> bool | None:
        """Whether the patterns hit this path itself (True), take it back (False), or say nothing of it (None)."""
        return next((pattern.include for pattern in self._patterns if _hits(pattern.regex, path, is_directory)), None)

    def covers(self, path: str) -> bool:
        """Whether the patterns hit this file or a directory above it."""
        parts = path.split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts)))
        return any(self.verdict(directory, True) for directory in above) or bool(self.verdict(path, False))


def _parse(line: str) -> GitIgnoreSpecPattern | None:
    """One line as a pattern; None for one that git passes over as never matching."""
    line = line.rstrip("\r\n")
    if not line or line.startswith("#"):
        return None
    from pathspec.patterns.gitignore.base import GitIgnorePatternError  # where there are patterns: it costs 30 ms
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    if line.endswith("/**/"):  # the directories below one, which `pathspec` takes to be that directory, too
        line += "*/"
    try:
        return GitIgnoreSpecPattern(re.sub(r"\[:(\w+):\]", lambda m: _CLASSES.get(m[1], ""), line))
    except (GitIgnorePatternError, re.error):  # a lone backslash at the end, a range that runs backwards
        return None


def _hits(regex: re.Pattern[str] | None, path: str, is_directory: bool) -> bool:
    if regex is None:
        return False
    if "ps_d" not in regex.groupindex:  # everything, or everything below a directory
        return regex.search(path) is not None
    whole = f"{path}/" if is_directory else path
    return any(match["ps_d"] is None or match.start("ps_d") == len(path) for match in regex.finditer(whole))
