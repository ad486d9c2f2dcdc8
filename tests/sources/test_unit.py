"""Offsets and places."""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st

from mllint_bio.sources import Cell, Position, Problem, SourceUnit, load_text

LINES = st.text(alphabet=st.sampled_from("ab \t\n\r\fé🧬\u2028\x0b#'\""), max_size=60)


def unit(text: str) -> SourceUnit:
    return SourceUnit("a.py", text, display=text)


@given(LINES, st.integers(0, 60))
def test_offset_round_trip(text: str, offset: int) -> None:
    """A place leads back to the offset it was made from."""
    offset = min(offset, len(text))
    place = unit(text).position(offset)
    found = unit(text).offset_of(place.row, place.column)
    # Between \r and \n there is no place of its own: it is the end of the line.
    assert found == offset or (text[found:offset] == "\r" and text[offset : offset + 1] == "\n")


@given(LINES)
def test_lines_are_those_of_python(text: str) -> None:
    """Rows agree with `ast` for every mixture of line breaks; form feeds and U+2028 break no line."""
    source = f"x = '''{text.replace(chr(39), '').replace(chr(34), '')}'''\ny = 1\n"
    last = ast.parse(source).body[-1]
    assert unit(source).position(source.rindex("y = 1")) == Position(last.lineno, 1)


def test_rows_in_cells() -> None:
    """In a notebook, rows count from the start of the cell and the cell is named by its number over all cells."""
    nb = SourceUnit(
        "n.ipynb", "a = 1\nb = 2\nc = 3\n", "notebook", (Cell(2, 0, 11), Cell(5, 12, 17)), display="A = 1\nB = 2\nC = 3\n"
    )
    assert nb.position(6) == Position(2, 1, 2)
    assert nb.position(14) == Position(1, 3, 5)
    assert nb.offset_of(2, 1, 2) == 6
    assert nb.offset_of(1, 3, 5) == 14
    assert nb.offset_of(9, 1, 2) == 6, "a row below the cell is taken to its last line"
    assert nb.line(7) == "B = 2"


def test_unknown_cell() -> None:
    """A cell that the notebook does not have is an error that names it."""
    try:
        SourceUnit("n.ipynb", "", "notebook").offset_of(1, 1, 7)
    except ValueError as error:
        assert "n.ipynb has no code cell 7" in str(error)
    else:
        raise AssertionError("no error")


def test_bytes_of_ast() -> None:
    """`ast` counts columns in UTF-8 bytes; offsets count characters."""
    text = "é = '🧬'; y = 2\n"
    target = ast.parse(text).body[1]
    assert unit(text).offset_of_bytes(target.lineno, target.col_offset) == text.index("y")
    assert unit(text).offset_of_bytes(99, 99) == len(text)


def test_removed_characters_count_in_columns() -> None:
    """A form feed in front of code is cut from the text, but columns and lines shown are those of the file."""
    source = load_text("x = 1\n\fdef f():\n    pass\n", "a.py")
    at = source.text.index("def")
    assert source.text == "x = 1\ndef f():\n    pass\n"
    assert source.position(at) == Position(2, 2)
    assert source.offset_of(2, 2) == at
    assert source.line(at) == "\fdef f():"


def test_problem_as_text() -> None:
    """A problem prints as one line, with the cell in a notebook."""
    assert str(Problem("a.py", 3, 4, "bad")) == "a.py:3:4: error: bad"
    assert str(Problem("n.ipynb", 12, 5, "bad", cell=4)) == "n.ipynb:cell 4:12:5: error: bad"
