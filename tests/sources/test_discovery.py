"""Which files are found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mllint_bio.config import Settings
from mllint_bio.sources import Discovery, discover


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test stands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(name: str, text: str) -> None:
    make(name)
    Path(name).write_text(text)


def found(*paths: str, **settings: Any) -> list[str]:
    result = discover(paths or (".",), Settings(**settings))
    assert result.problems == []
    return [str(p) for p in result.files]


def problems(*paths: str, **settings: Any) -> list[str]:
    return [str(p) for p in discover(paths, Settings(**settings)).problems]


def test_python_files_and_notebooks_in_order() -> None:
    """Only `.py` and `.ipynb` are found, in a fixed order and without a leading `./`."""
    make("b.py", "a/z.ipynb", "a/b/c.py", "stub.pyi", "data.csv", "with blank & [x].py", "x.PY.txt")
    assert found() == ["a/b/c.py", "a/z.ipynb", "b.py", "with blank & [x].py"]


def test_paths_keep_their_form(here: Path) -> None:
    """Absolute paths stay absolute, relative ones relative, `..` included."""
    make("a/x.py", "b/y.py")
    assert found(str(here / "a")) == [str(here / "a" / "x.py")]
    os.chdir("a")
    assert found("../b") == ["../b/y.py"]


def test_nothing_there() -> None:
    """A folder without Python gives an empty list and no problem."""
    make("data/a.csv")
    assert discover(["."], Settings()) == Discovery([], [])


def test_default_excludes() -> None:
    """Environments, caches, build outputs, checkpoints and metadata folders are left out at any depth."""
    for folder in (
        ".venv",
        "venv",
        "a/site-packages",
        "a/.ipynb_checkpoints",
        "build",
        "node_modules",
        "x.egg-info",
        "__pycache__",
    ):
        make(f"{folder}/x.py")
    make("a/builder/ok.py", "vent/ok.py")
    assert found() == ["a/builder/ok.py", "vent/ok.py"]


def test_environments_of_any_name() -> None:
    """A folder with pyvenv.cfg or conda-meta is a Python installation, unless it is the one that was named."""
    make("myenv/pyvenv.cfg", "myenv/lib/x.py", "conda/conda-meta/history", "conda/x.py", "ok.py")
    assert found() == ["ok.py"]
    assert found("myenv") == ["myenv/lib/x.py"]


def test_exclude_patterns() -> None:
    """Patterns match names at any depth, or paths from the root of the settings when they hold a slash."""
    make("legacy/x.py", "a/legacy/y.py", "a/gen_1.py", "b/c/z.py", "c/z.py")
    assert found(extend_exclude=("gen_*.py",)) == ["a/legacy/y.py", "b/c/z.py", "c/z.py", "legacy/x.py"]
    assert found(extend_exclude=("legacy",)) == ["a/gen_1.py", "b/c/z.py", "c/z.py"]
    assert found(extend_exclude=("/legacy", "b/c/")) == ["a/gen_1.py", "a/legacy/y.py", "c/z.py"]
    make("build/x.py")
    assert "build/x.py" in found(exclude=())


def test_patterns_are_relative_to_the_settings(here: Path) -> None:
    """A pattern with a slash speaks of the folder of the configuration, wherever the walk starts."""
    make("p/sub/x.py", "p/sub/y.py")
    assert found("p", root=here / "p", extend_exclude=("sub/x.py",)) == ["p/sub/y.py"]


def test_gitignore() -> None:
    """Nested ignore files and .git/info/exclude are followed as git does, later and deeper patterns first."""
    make(".git/HEAD", "out/x.py", "keep/out/y.py", "a/tmp_1.py", "a/tmp_2.py", "a/b/tmp_3.py", "secret.py", "ok.py")
    write(".gitignore", "# comment\n/out/\ntmp_*\n!\n")
    write("a/.gitignore", "!tmp_2.py\n")
    write(".git/info/exclude", "secret.py\n")
    assert found() == ["a/tmp_2.py", "keep/out/y.py", "ok.py"]
    assert found("a") == ["a/tmp_2.py"], "ignore files above the starting folder count"
    assert "out/x.py" in found(respect_gitignore=False)


def test_negated_directory_pattern() -> None:
    """`!*/` takes back directories and not the files in them."""
    make(".git/HEAD", "out/a/x.py", "out/a/y.ipynb")
    write(".gitignore", "*.py\n")
    write("out/.gitignore", "!*/\n")
    assert found() == ["out/a/y.ipynb"]


def test_gitignore_outside_a_work_tree() -> None:
    """Outside a git work tree an ignore file means nothing."""
    make("x.py")
    write(".gitignore", "*.py\n")
    assert found() == ["x.py"]


def test_inner_work_tree_starts_afresh() -> None:
    """A repository inside another is not judged by the outer one's ignore file."""
    make(".git/HEAD", "inner/.git/HEAD", "inner/x.py", "y.py")
    write(".gitignore", "x.py\n")
    assert found() == ["inner/x.py", "y.py"]


def test_ignored_folder_that_is_named() -> None:
    """What hides a folder does not hide its files when the folder is named."""
    make(".git/HEAD", "out/x.py", "build/y.py")
    write(".gitignore", "out/\n")
    assert found("out", "build") == ["build/y.py", "out/x.py"]


def test_named_files_are_taken() -> None:
    """A named file is taken although it is excluded or ignored, unless force-exclude is set."""
    make(".git/HEAD", "build/x.py", "ign/y.py", "z.py")
    write(".gitignore", "ign\n")
    assert found("build/x.py", "ign/y.py", "z.py") == ["build/x.py", "ign/y.py", "z.py"]
    assert found("build/x.py", "ign/y.py", "z.py", force_exclude=True) == ["z.py"]
    assert found("build", force_exclude=True) == []


def test_scripts_without_suffix() -> None:
    """A named script is known by its first line; other files are no Python."""
    write("train", "#!/usr/bin/env python3\nx = 1\n")
    write("notes", "text")
    make("data.csv")
    assert found("train") == ["train"]
    assert found() == [], "a walk does not open files"
    assert problems("notes", "data.csv") == [
        "data.csv:1:1: error: is neither a Python file (.py) nor a notebook (.ipynb)",
        "notes:1:1: error: is neither a Python file (.py) nor a notebook (.ipynb)",
    ]


def test_missing_path() -> None:
    """A path that does not exist is a problem, and the others are still looked at."""
    make("x.py")
    result = discover(["nope", "x.py", "a\0b"], Settings())
    assert [str(p) for p in result.files] == ["x.py"]
    assert "nope:1:1: error: does not exist" in [str(p) for p in result.problems]
    assert len(result.problems) == 2


def test_links() -> None:
    """Links to folders are not followed, so loops end; a linked file is found once, under its own name."""
    make("a/x.py", "far/y.py")
    Path("a/loop").symlink_to("..")
    Path("a/0_link.py").symlink_to("x.py")
    Path("a/dir.py").symlink_to("../far")
    assert found() == ["a/x.py", "far/y.py"]
    assert found("a/0_link.py") == ["a/0_link.py"]
    Path("only.py").symlink_to("/etc/hostname")
    assert "only.py" in found()


def test_each_file_once() -> None:
    """Overlapping arguments give each file once."""
    make("a/x.py")
    assert found("a", ".", "a/x.py", "./a/x.py") == ["a/x.py"]


def test_broken_links_and_odd_files_are_handed_on() -> None:
    """What has a Python name but cannot be read is found, so that reading it says why; lock files of editors are not."""
    Path("broken.py").symlink_to("nowhere")
    Path(".#x.py").symlink_to("user@host.123")
    os.mkfifo("pipe.py")
    Path("folder.py").mkdir()
    assert found() == ["broken.py", "pipe.py"]


def test_folder_that_cannot_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without permission is a problem; the rest is still found."""
    make("a/x.py", "closed/y.py")
    real = os.scandir

    def scandir(path: str) -> Iterator[os.DirEntry[str]]:
        if path.rstrip("/").endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)  # the tests may run as root, whom no mode stops
    result = discover(["."], Settings())
    assert [str(p) for p in result.files] == ["a/x.py"]
    assert [str(p) for p in result.problems] == ["closed/:1:1: error: cannot be listed: Permission denied"]
