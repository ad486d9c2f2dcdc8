"""A light scan of Python text: enough to know strings, comments, brackets and logical lines apart.

`tokenize` stops at the first error and does not know IPython; this scan accepts anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

TOKEN = re.compile(
    r'''
      (?P<comment>\#[^\r\n]*)
    | (?P<string>"""[^"\\]*(?:(?:\\(?:.|\Z)|"(?!""))[^"\\]*)*(?:"""|\Z)
               | \'\'\'[^'\\]*(?:(?:\\(?:.|\Z)|'(?!''))[^'\\]*)*(?:\'\'\'|\Z)
               | "(?:[^"\\\r\n]|\\(?:\r\n|.|\Z))*"?
               | '(?:[^'\\\r\n]|\\(?:\r\n|.|\Z))*'?)
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<joined>\\(?:\r\n|\r|\n))
    | (?P<newline>\r\n|\r|\n)
    ''',
    re.VERBOSE | re.DOTALL,
)


def comments(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the comments, without what looks like one inside a string."""
    for match in TOKEN.finditer(text):
        if match.lastgroup == "comment":
            yield match.span()


def next_statement(text: str, start: int) -> int:
    """Offset of the line after the logical line that starts at `start`."""
    depth = 0
    for match in TOKEN.finditer(text, start):
        kind = match.lastgroup
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(depth - 1, 0)
        elif kind == "newline" and depth == 0:
            return match.end()
    return len(text)
