"""Patterns of ignore files, compared with what git says about them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllint_bio.config import Settings
from mllint_bio.patterns import Patterns
from mllint_bio.sources import discover

LINES = (
    *(
        "a",
        "/a",
        "a/",
        "!a",
        "!/a/",
        "*.py",
        "!a.py",
        "!*/",
        "/*",
        "*",
        "**",
        "**/c",
        "b/**",
        "/b/*",
        "!/b",
        "b/a.py",
        "a/**/c.py",
    ),
    *(
        "?.py",
        "[ab].py",
        "[!a]*",
        "b/[a-b].py",
        "[[:alpha:]]",
        "*/c",
        "\\a",
        "a.py  ",
        "a.py\\ ",
        "",
        "!",
        "# c",
        "\\#",
        "b\\",
        "[a",
        "**/",
        "c/**/",
    ),
)


@pytest.mark.parametrize(
    ("pattern", "path", "is_directory", "expected"),
    [
        ("a", "x/a", False, True),
        ("/a", "x/a", False, None),
        ("a/", "a", False, None),
        ("a/", "x/a", True, True),
        ("a/b", "x/a/b", False, None),
        ("a/*", "a/b/c", False, None),
        ("a/**", "a/b/c", False, True),
        ("a/**/d", "a/d", False, True),
        ("a/**/d", "a/b/c/d", False, True),
        ("**/d", "d", False, True),
        ("*.py", "a/b.py", False, True),
        ("!*.py", "a/b.py", False, False),
        ("a?c", "a/c", False, None),
        ("a[!x]c", "abc", False, True),
        ("a[]x]c", "a]c", False, True),
        ("[[:digit:]]", "7", False, True),
        ("\\!a", "!a", False, True),
        ("\\#a", "#a", False, True),
        ("a b ", "a b", False, True),
        ("a\\ ", "a ", False, True),
        ("a.c", "abc", False, None),
        ("a\r\n", "a", False, True),
        ("[z-a]", "z", False, None),
    ],
)
def test_one_pattern(pattern: str, path: str, is_directory: bool, expected: bool | None) -> None:
    """Each element of the syntax means what gitignore(5) says."""
    assert Patterns([pattern]).verdict(path, is_directory) is expected


def test_covers() -> None:
    """A pattern covers what is below a directory that it hits."""
    assert Patterns(["/tests"]).covers("tests/a/x.py")
    assert Patterns(["tests/**"]).covers("tests/a/x.py")
    assert not Patterns(["/tests"]).covers("src/tests/x.py")
    assert not Patterns(["x.py/"]).covers("x.py")


@given(st.text(alphabet=st.sampled_from("a/*?[]!\\-^: #~&|()."), max_size=20), st.sampled_from(["a", "a/b.py", "[]", "a-b/c"]))
def test_no_pattern_raises(line: str, path: str) -> None:
    """Whatever stands in an ignore file, it is a pattern or nothing."""
    Patterns([line]).verdict(path, False)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_as_git_does(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A walk finds the files that git would commit."""
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for folder in (".", "a", "b", "a/c", "b/a", "c/a/b"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in ("a.py", "c.py"):
            (root / folder / name).touch()
    for file in (".gitignore", "a/.gitignore", "c/a/.gitignore", ".git/info/exclude"):
        lines = data.draw(st.lists(st.sampled_from(LINES), max_size=3), file)
        (root / file).write_text("".join(f"{line}\n" for line in lines))
    git = ["git", "-C", str(root), "-c", "core.excludesFile=", "ls-files", "--others", "--exclude-standard", "*.py"]
    expected = subprocess.run(git, check=True, capture_output=True, text=True).stdout.split()
    found = [Path(f).relative_to(root).as_posix() for f in discover([root], Settings(exclude=())).files]
    assert sorted(found) == sorted(expected)
