"""Python files: encodings and everything that cannot be read."""

from __future__ import annotations

import ast
import codecs
import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mllint_bio.sources import SourceUnit, load, load_text
from mllint_bio.sources.python_file import MAX_BYTES


def only_problem(unit: SourceUnit) -> str:
    assert len(unit.problems) == 1
    assert unit.text == "" and unit.skipped == unit.problems[0].message
    return str(unit.problems[0])


@given(st.binary(max_size=200))
@example(b"# coding: rot13\nx")
@example(b"# coding: hex\nx")
@example(b"# coding: idna\nx")
@example(b"# coding: undefined\nx")
@example(b"# coding: utf-7\n'+2AA-'")
@example(b"# coding: utf-8-sig\nx = 1")
@example(b"\xef\xbb\xbf# coding: latin-1\nx = 1")
@example(b"\xff\xfe")
def test_any_bytes(data: bytes) -> None:
    """No bytes raise; what is analysed can be encoded and parsed or refused by `ast` with a SyntaxError."""
    unit = load_text(data, "a.py")
    assert len(unit.text) == len(unit.display)
    unit.text.encode("utf-8")
    with contextlib.suppress(SyntaxError):
        ast.parse(unit.text)


@given(st.text(alphabet=st.characters(codec=None), max_size=100))
@example("\ud800 = 1")
@example("\0")
def test_any_text(text: str) -> None:
    """No text of an editor raises, lone surrogates and NUL characters included."""
    load_text(text, "a.py").text.encode("utf-8")


def test_declared_encoding() -> None:
    """PEP 263 and the byte-order mark are followed, and the mark is not part of the text."""
    assert load_text("# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"), "a.py").text.endswith("'é'\n")
    assert load_text(codecs.BOM_UTF8 + "x = 'é'".encode(), "a.py").text == "x = 'é'"
    assert load_text("\ufeffx = 1", "a.py").text == "x = 1"


def test_invalid_utf8_is_placed() -> None:
    """The first byte that is not valid is named by row and column."""
    data = b"x = 1\ny = 'ok'\nz = 2\nw = '\xc3\xa9\xff'\n"
    assert only_problem(load_text(data, "a.py")).startswith("a.py:4:7: error: byte 0xff is not valid utf-8")
    assert only_problem(load_text(b"x = '\xe9'", "a.py")).startswith("a.py:1:6: error: byte 0xe9 is not valid utf-8")


def test_wrong_declarations() -> None:
    """An unknown encoding, one that contradicts the mark, and UTF-16 are each one line."""
    assert "unknown encoding: wtf-9" in only_problem(load_text(b"# coding: wtf-9\n", "a.py"))
    assert "encoding problem: utf-8" in only_problem(load_text(codecs.BOM_UTF8 + b"# coding: latin-1\n", "a.py"))
    assert "UTF-16" in only_problem(load_text("x = 1".encode("utf-16"), "a.py"))


def test_nul_bytes_are_placed() -> None:
    """A file with NUL bytes is no text, and says where."""
    assert only_problem(load_text(b"x = 1\ny\0\n", "a.py")).startswith("a.py:2:2: error: contains NUL bytes")
    assert "NUL" in only_problem(load_text("x\0", "a.py"))


def test_empty_file(tmp_path: Path) -> None:
    """An empty file is a program without statements, not a problem."""
    (tmp_path / "a.py").touch()
    unit = load(tmp_path / "a.py")
    assert (unit.text, unit.problems, unit.skipped) == ("", (), "")


def test_line_breaks_are_kept() -> None:
    """Offsets are into the text as it was decoded: no line break is translated."""
    assert load_text(b"x = 1\r\ny = 2\rz = 3\n", "a.py").text == "x = 1\r\ny = 2\rz = 3\n"


def test_form_feeds_before_code() -> None:
    """LibCST drops form feeds in front of code; they are cut so that offsets stay right, and stay elsewhere."""
    unit = load_text("\fx = 1\n\f\n \t\f  y = '\f'\n", "a.py")
    assert unit.text == "x = 1\n\f\n  y = '\f'\n"
    assert dict(unit.removed) == {0: "\f", 2: " \t\f"}


def test_too_large(tmp_path: Path) -> None:
    """A generated file of 5 MB is not read, in a folder or from standard input."""
    file = tmp_path / "big.py"
    file.write_bytes(b"x = 1\n" * 900_000)
    assert "5.4 MB, more than the limit of 2 MB" in only_problem(load(file, "big.py"))
    assert "limit" in only_problem(load_text("#" * (MAX_BYTES + 1), "a.py"))


def test_not_a_file(tmp_path: Path) -> None:
    """Folders, pipes, devices, broken and circular links, missing files: one line each, and nothing waits."""
    (tmp_path / "dir.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "broken.py").symlink_to("nowhere.py")
    (tmp_path / "loop.py").symlink_to("loop.py")
    assert only_problem(load(tmp_path / "dir.py", "dir.py")) == "dir.py:1:1: error: is a directory"
    assert "not a regular file" in only_problem(load(tmp_path / "pipe.py"))
    assert "not a regular file" in only_problem(load(Path("/dev/zero"), "zero.py"))
    assert "No such file" in only_problem(load(tmp_path / "broken.py"))
    assert "symbolic links" in only_problem(load(tmp_path / "loop.py"))
    assert "cannot be read" in only_problem(load(Path("a\0.py"), "a.py"))


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be opened is a problem with the reason of the system."""
    (tmp_path / "a.py").touch()

    def refuse(self: Path, *args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom no mode stops
    assert only_problem(load(tmp_path / "a.py", "a.py")) == "a.py:1:1: error: cannot be read: Permission denied"


def test_digest_is_of_the_content() -> None:
    """The same content has the same digest from a file and from an editor; another content has another."""
    assert load_text(b"x = 1", "a.py").digest == load_text("x = 1", "b.py").digest
    assert load_text(b"x = 1", "a.py").digest != load_text(b"x = 2", "a.py").digest


def test_file_name_that_is_no_text(tmp_path: Path) -> None:
    """A file name with bytes that are no UTF-8 is shown so that it can be printed."""
    file = tmp_path / os.fsdecode(b"a\xff.py")
    file.write_text("x = 1")
    load(file).path.encode("utf-8")
