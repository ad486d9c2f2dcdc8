"""Text that is safe to print: no control characters from the user's files reach the terminal, columns stay aligned."""

from __future__ import annotations

from unicodedata import category, combining, east_asian_width

TAB = 4


def one_line(text: str) -> str:
    """The text with line breaks and control characters made visible, so that one finding stays one line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _visible(c) for c in text)


def excerpt(line: str) -> tuple[str, list[int]]:
    """A source line as printed, and for each of its offsets (and the end) the screen column where it starts."""
    shown: list[str] = []
    columns: list[int] = []
    width = 0
    for c in line:
        columns.append(width)
        if c == "\t":
            step = TAB - width % TAB
            shown.append(" " * step)
        elif category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            step = 1
            shown.append("\N{REPLACEMENT CHARACTER}")
        else:
            step = 0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1
            shown.append(c)
        width += step
    columns.append(width)
    return "".join(shown), columns


def _visible(c: str) -> str:
    return {"\n": " ", "\r": " ", "\t": " "}.get(c) or c.encode("unicode_escape").decode("ascii")
