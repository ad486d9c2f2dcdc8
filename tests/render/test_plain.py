"""Text that is safe to print."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from mllint_bio.render.plain import excerpt, one_line


@given(st.text())
@example("\x1b[2J\t細胞\u202e\u0301\ud800")
def test_excerpt_is_printable_and_every_offset_has_a_column(line: str) -> None:
    """Whatever a source line holds, what is printed has no control characters, and columns never run backwards."""
    shown, columns = excerpt(line)
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202a\u202b\u202d\u202e\u2066\u2067\u2028" for c in shown)
    assert len(columns) == len(line) + 1
    assert columns == sorted(columns)


@given(st.text())
def test_one_line_is_one_printable_line(text: str) -> None:
    """Messages with line breaks or escapes come out as one printable line."""
    assert one_line(text).isprintable()


def test_tab_stops() -> None:
    """A tab reaches the next multiple of four columns."""
    assert excerpt("a\tb") == ("a   b", [0, 1, 4, 5])
