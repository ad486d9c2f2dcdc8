"""Suppression comments."""

from __future__ import annotations

import json

import pytest

from mllint_bio.sources import SourceUnit, load_text
from mllint_bio.sources.suppressions import Suppressions, parse

LEAK = ("MLB706", "transform-fitted-before-split", "")
SEED = ("MLB301", "no-seed", "")
WINDOWS = ("MLB717", "dependent-samples-split-at-random", "windows")
PLAIN = ("MLB717", "dependent-samples-split-at-random", "")


def of(text: str) -> tuple[SourceUnit, Suppressions]:
    unit = load_text(text, "a.py")
    return unit, parse(unit)


def hides(comment: str, key: tuple[str, str, str]) -> bool:
    text = f"x = fit(data)  # {comment}\n"
    return of(text)[1].match(*key, 0, 13)


@pytest.mark.parametrize(
    ("comment", "key", "expected"),
    [
        ("mllint-bio: ignore[MLB706]", LEAK, True),
        ("mllint-bio: ignore[MLB706] -- separate file", LEAK, True),
        ("mllint-bio:ignore[mlb706]", LEAK, True),
        ("mllint-bio: ignore[MLB301, MLB706,]", LEAK, True),
        ("mllint-bio: ignore[MLB7]", LEAK, True),
        ("mllint-bio: ignore[MLB]", LEAK, True),
        ("mllint-bio: ignore[no-seed]", SEED, True),
        ("mllint-bio: ignore", SEED, True),
        ("noqa: E501  # mllint-bio: ignore[MLB706]", LEAK, True),
        ("mllint-bio: ignore[MLB706]  # noqa", LEAK, True),
        ("mllint-bio: ignore[MLB717[windows], MLB301]", WINDOWS, True),
        ("mllint-bio: ignore[dependent-samples-split-at-random[windows]]", WINDOWS, True),
        ("mllint-bio: ignore[MLB717]", WINDOWS, True),
        ("mllint-bio: ignore[MLB717[windows]]", PLAIN, False),
        ("mllint-bio: ignore[MLB301]", LEAK, False),
        ("mllint-bio: ignore[MLB70]", WINDOWS, False),
        ("mllint-bio: ignore[no]", SEED, False),
        ("mllint-biology: ignore", SEED, False),
    ],
)
def test_what_a_comment_names(comment: str, key: tuple[str, str, str], expected: bool) -> None:
    """Codes, prefixes, names and variants hide what they name and nothing else."""
    assert hides(comment, key) is expected


def test_lines_it_holds_for() -> None:
    """A comment holds for findings that begin or end on its line, not for lines between or beside."""
    text = "a = 1\nx = fit(\n    data,\n)  # mllint-bio: ignore\ny = 2\n"
    _, found = of(text)
    statement = (text.index("x ="), text.index(")") + 1)
    assert found.match(*LEAK, *statement)
    assert not found.match(*LEAK, text.index("data"), text.index("data") + 4)
    assert not found.match(*LEAK, 0, 5)
    assert not found.match(*LEAK, text.index("y ="), text.index("y =") + 5)


def test_comment_alone_on_its_line() -> None:
    """A comment on a line of its own holds for the next line of code, over blanks and other comments, within its cell."""
    text = "a = 1\n# mllint-bio: ignore\n\n# why\nx = 2\ny = 3\n"
    _, found = of(text)
    assert found.match(*LEAK, text.index("x ="), text.index("x =") + 5)
    assert not found.match(*LEAK, text.index("y ="), text.index("y =") + 5)
    assert not found.match(*LEAK, 0, 5)
    cells = [{"cell_type": "code", "source": s} for s in ("# mllint-bio: ignore", "x = 1")]
    nb = load_text(json.dumps({"cells": cells}), "n.ipynb")
    assert not parse(nb).match(*LEAK, nb.text.index("x ="), nb.text.index("x =") + 5)


def test_file_comment() -> None:
    """`ignore-file` holds for the whole file, wherever it stands."""
    _, found = of("x = 1\ny = 2\n# mllint-bio: ignore-file[MLB7] -- tutorial\n")
    assert found.match(*LEAK, 0, 5)
    assert not found.match(*SEED, 0, 5)
    assert found.entries[0].reason == "tutorial"


def test_text_in_strings_is_no_comment() -> None:
    """Comments in strings hide nothing, and are not reported."""
    _, found = of("x = '# mllint-bio: ignore'\ns = '''\n# mllint-bio: nonsense\n'''\nt = r'\\'  # x\n")
    assert found.entries == () and found.malformed == ()
    assert not found.match(*LEAK, 0, 5)


@pytest.mark.parametrize(
    "comment",
    [
        "mllint-bio: ignroe[MLB706]",
        "mllint-bio: ignore[MLB706",
        "mllint-bio: ignore[]",
        "mllint-bio: ignore[MLB706 MLB301]",
        "mllint-bio: ignore[MLB706,,MLB301]",
        "mllint-bio: ignore MLB706",
        "mllint-bio: ignore-file[MLB706]",
        "mllint-bio:",
    ],
)
def test_malformed_comments(comment: str) -> None:
    """A comment that says something else is reported with its span and hides nothing."""
    text = f"x = 1  # {comment}\n"
    _, found = of(text)
    ((span, message),) = found.malformed
    assert text[slice(*span)] == f"# {comment}"
    assert "ignore" in message
    assert not found.match(*LEAK, 0, 5)


def test_unused() -> None:
    """A comment that hid nothing is reported with its span; one of several codes is named."""
    text = "x = 1  # mllint-bio: ignore[MLB706, MLB301] -- why\ny = 2  # mllint-bio: ignore[no-seed]\n"
    _, found = of(text)
    assert found.match(*LEAK, 0, 5)
    messages = found.unused([LEAK, SEED])
    assert [(text[slice(*span)], message) for span, message in messages] == [
        ("# mllint-bio: ignore[MLB706, MLB301] -- why", "MLB301 hides no finding"),
        ("# mllint-bio: ignore[no-seed]", "this comment hides no finding"),
    ]


def test_unused_is_judged_for_rules_that_ran() -> None:
    """A code whose rule, or one of whose variants, did not run is not judged; a used prefix is not idle."""
    _, found = of("x = 1  # mllint-bio: ignore[MLB301]\ny = 1  # mllint-bio: ignore[MLB717]\nz = 1  # mllint-bio: ignore[MLB7]\n")
    everything = [LEAK, SEED, PLAIN, WINDOWS]
    assert found.unused([LEAK, PLAIN], everything) == []
    assert len(found.unused([PLAIN, WINDOWS], everything)) == 1
    assert len(found.unused(everything, everything)) == 3
    assert found.match(*WINDOWS, len("x = 1  # mllint-bio: ignore[MLB301]\n"), 40)
    assert len(found.unused(everything, everything)) == 2


def test_unknown_code() -> None:
    """A code that names no rule at all is reported as unknown, once all rules are known."""
    _, found = of("x = 1  # mllint-bio: ignore[MLB766]\n")
    assert found.unused([LEAK]) == []
    assert [message for _, message in found.unused([LEAK], [LEAK, SEED])] == ["no rule is called 'MLB766'"]


def test_every_match_counts_as_use() -> None:
    """When a file comment and a line comment both hide a finding, neither is idle."""
    _, found = of("# mllint-bio: ignore-file[MLB706]\nx = 1  # mllint-bio: ignore[MLB706]\n")
    assert found.match(*LEAK, 36, 40)
    assert found.unused([LEAK]) == []


def test_broken_cells_and_magics_hold_no_comments() -> None:
    """A comment in a cell that is left out suppresses nothing and is not reported as idle."""
    cells = [{"cell_type": "code", "source": s} for s in ("x = = 1  # mllint-bio: ignore", "!ls  # mllint-bio: ignore")]
    assert parse(load_text(json.dumps({"cells": cells}), "n.ipynb")).entries == ()
