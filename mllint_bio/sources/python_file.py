"""Reading Python files: never blocking, never raising for what a file contains.

Syntax is not judged here: the interpreter parses, and reports what Python itself says about the file.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import re
import stat
import tokenize
from pathlib import Path

from mllint_bio.sources.unit import LINE_BREAK, Problem, SourceUnit

MAX_BYTES = 2_000_000  # more is generated code or data; nobody reviews it and LibCST needs 5 s and 400 MB for it

# LibCST drops form feeds (and blanks before them) in front of code, which would move every later offset.
_FORM_FEED = re.compile(r"(?:^|(?<=[\r\n]))[ \t\f]*\f(?=[ \t]*[^\s])")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Unreadable(Exception):
    """A file or text that cannot become a unit. `problem` says why and where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def shown_path(path: str | os.PathLike[str]) -> str:
    """The path as text that can always be printed: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def read_bytes(path: Path, shown: str, limit: int) -> bytes:
    """Content of a regular file of at most `limit` bytes; devices and pipes are never opened.

    Raises Unreadable.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable(Problem(shown, 1, 1, "is a directory", code="unreadable"))
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(Problem(shown, 1, 1, "is not a regular file (a pipe, socket or device)", code="unreadable"))
        if status.st_size > limit:
            raise Unreadable(too_large(shown, status.st_size, limit))
        with path.open("rb") as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise Unreadable(Problem(shown, 1, 1, f"cannot be read: {reason}", code="unreadable")) from error


def too_large(shown: str, size: int, limit: int) -> Problem:
    """The problem of a file that nobody wrote by hand."""
    return Problem(shown, 1, 1, f"not analysed: {size / 1e6:.1f} MB, more than the limit of {limit / 1e6:g} MB", code="too-large")


def decode(data: bytes, shown: str) -> str:
    """Text of a Python file by byte-order mark, PEP 263 declaration, or UTF-8.

    Raises Unreadable for an unknown encoding, bytes that are not valid in it, and NUL bytes.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # also the start of the UTF-32-LE mark
        raise Unreadable(
            Problem(shown, 1, 1, "is UTF-16 or UTF-32 text; Python source is UTF-8 unless it says otherwise", code="encoding")
        )
    if b"\0" in data:
        row, column = _place(data, data.index(b"\0"))
        raise Unreadable(Problem(shown, row, column, "contains NUL bytes: not a text file", code="encoding"))
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        row, column = _place(data, error.start)
        byte = data[error.start : error.start + 1].hex()
        message = f"byte 0x{byte} is not valid {error.encoding}; declare the encoding (PEP 263) or save the file as UTF-8"
        raise Unreadable(Problem(shown, row, column, message, code="encoding")) from error
    except SyntaxError as error:  # how tokenize reports both an unknown encoding and bad UTF-8 in the first two lines
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as bad:
            if "unknown encoding" not in str(error):
                row, column = _place(data, bad.start)
                byte = data[bad.start : bad.start + 1].hex()
                message = f"byte 0x{byte} is not valid utf-8; declare the encoding (PEP 263) or save the file as UTF-8"
                raise Unreadable(Problem(shown, row, column, message, code="encoding")) from error
        raise Unreadable(Problem(shown, 1, 1, str(error.msg), code="encoding")) from error
    except (LookupError, ValueError) as error:  # codecs that are not for text, or that fail in their own way
        raise Unreadable(Problem(shown, 1, 1, str(error), code="encoding")) from error
    if "\0" in text:
        raise Unreadable(Problem(shown, 1, 1, "contains NUL characters: not a text file", code="encoding"))
    return text


def _place(data: bytes, offset: int) -> tuple[int, int]:
    before = data[:offset].decode("utf-8", "replace")
    breaks = list(LINE_BREAK.finditer(before))
    return len(breaks) + 1, len(before) - (breaks[-1].end() if breaks else 0) + 1


def clean(text: str) -> str:
    """Text without a byte-order mark and without lone surrogates, which no parser and no terminal accepts."""
    text = text[1:] if text.startswith("\ufeff") else text
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def digest(data: str | bytes) -> str:
    """Short hash of a content, equal for a file and for the same text in an editor."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def python_unit(data: str | bytes, shown: str) -> SourceUnit:
    """The unit of a Python file's content."""
    mark = digest(data)
    try:
        if len(data) > MAX_BYTES:
            raise Unreadable(too_large(shown, len(data), MAX_BYTES))
        if isinstance(data, str) and "\0" in data:
            raise Unreadable(Problem(shown, 1, 1, "contains NUL characters: not a text file", code="encoding"))
        text = clean(data if isinstance(data, str) else decode(data, shown))
    except Unreadable as error:
        return unreadable_unit(shown, "python", error.problem, mark)
    removed: dict[int, str] = {}
    if "\f" in text:
        text, removed = without_form_feeds(text)
    return SourceUnit(shown, text, display=text, digest=mark, removed=removed)


def unreadable_unit(shown: str, kind: str, problem: Problem, mark: str = "") -> SourceUnit:
    """A unit without text that carries its problem."""
    return SourceUnit(shown, "", kind, problems=(problem,), skipped=problem.message, digest=mark)


def without_form_feeds(text: str) -> tuple[str, dict[int, str]]:
    """Text without form feeds in front of code, and what was cut from which line (from 0)."""
    removed: dict[int, str] = {}
    parts: list[str] = []
    done = line = 0
    for match in _FORM_FEED.finditer(text):
        line += len(LINE_BREAK.findall(text, done, match.start()))
        removed[line] = match.group()
        parts.append(text[done : match.start()])
        done = match.end()
    parts.append(text[done:])
    return "".join(parts), removed
