"""From engine diagnostics to the protocol's, without a server."""

from __future__ import annotations

import pytest

pytest.importorskip("pygls", reason="needs the extra `lsp`")

from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from mllint_bio.server.messages import moved

URI = "file:///train.py"


def at(*rows: int, uri: str = URI) -> types.Diagnostic:
    """A diagnostic on the first of these lines (from 0), with related places on the others."""

    def range_(row: int) -> types.Range:
        return types.Range(types.Position(row, 0), types.Position(row, 1))

    related = [types.DiagnosticRelatedInformation(types.Location(uri, range_(row)), str(row)) for row in rows[1:]]
    return types.Diagnostic(range_(rows[0]), str(rows[0]), related_information=related or None)


def rows(diagnostics: list[types.Diagnostic]) -> list[list[int]]:
    """The lines of diagnostics and of their related places."""
    return [[d.range.start.line, *(r.location.range.start.line for r in d.related_information or ())] for d in diagnostics]


def test_lines_above_an_edit_stay_and_those_below_follow() -> None:
    """An inserted line moves what is below it; a diagnostic on a line that was edited goes."""
    every = [at(n) for n in range(4)]
    assert rows(moved(every, URI, "a\nb\nc\nd", "a\nnew\nb\nc\nd")) == [[0], [2], [3], [4]]
    assert rows(moved(every, URI, "a\nb\nc\nd", "a\nB\nc\nd")) == [[0], [2], [3]]
    assert rows(moved(every, URI, "a\nb\nc\nd", "a\r\nd")) == [[0], [1]]
    assert rows(moved(every, URI, "a\nb\nc\nd", "")) == []


def test_related_places_move_in_their_own_file_only() -> None:
    """Related places in the edited document follow it or go; those in other files stay where they are."""
    assert rows(moved([at(0, 1, 2)], URI, "a\nb\nc", "a\nnew\nB\nc")) == [[0, 3]]
    assert rows(moved([at(0, 1, 2, uri="file:///data.py")], URI, "a\nb\nc", "a\nnew\nB\nc")) == [[0, 1, 2]]


@given(st.lists(st.sampled_from("ab")), st.lists(st.sampled_from("ab")))
def test_what_is_kept_stays_on_its_line(before: list[str], after: list[str]) -> None:
    """Whatever was edited, each diagnostic that is kept is on a line with the text that it was made for."""
    found = moved([at(n) for n in range(len(before))], URI, "\n".join(before), "\n".join(after))
    assert all(after[d.range.start.line] == before[int(d.message)] for d in found)
    assert before != after or len(found) == len(before)
