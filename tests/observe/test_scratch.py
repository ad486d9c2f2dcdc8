"""The scratch copy: what is copied, what is linked, what is left out, and what happens to it in the end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mllint_bio.observe import scratch
from tests.observe.programs import fingerprint


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to copy, with a temporary directory of its own elsewhere."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def test_files_modes_and_times_are_copied(project: Path) -> None:
    """The copy has the same content, modes and times, and the project's own name."""
    (project / "pkg").mkdir()
    (project / "pkg" / "train.py").write_text("x = 1\n")
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o755)
    os.utime(project / "run.sh", (1, 1))
    with scratch.scratch_copy(project) as place:
        assert place.project.name == "project"
        assert fingerprint(place.project) == fingerprint(project)
        assert (place.project / "run.sh").stat().st_mtime == 1
        assert place.counterpart(project / "pkg" / "train.py") == place.project / "pkg" / "train.py"
        assert place.counterpart(Path("/etc/hosts")) == Path("/etc/hosts")
    assert not place.base.exists()


def test_what_no_program_reads_is_left_out(project: Path) -> None:
    """Version control, environments and caches are not copied."""
    for name in (".git", "__pycache__", "node_modules", ".venv", "sub/env"):
        (project / name).mkdir(parents=True)
        (project / name / "x").write_text("x")
    (project / ".venv" / "pyvenv.cfg").write_text("")
    (project / "sub" / "env" / "conda-meta").mkdir()
    with scratch.scratch_copy(project) as place:
        assert [path.name for path in place.project.rglob("*")] == ["sub"]


def test_links(project: Path, tmp_path: Path) -> None:
    """Links inside the project lead into the copy, links out of it to where they led; loops are links like others."""
    (project / "a.txt").write_text("a")
    (tmp_path / "out.txt").write_text("out")
    (project / "relative").symlink_to("a.txt")
    (project / "absolute").symlink_to(project / "a.txt")
    (project / "outside").symlink_to(tmp_path / "out.txt")
    (project / "above").symlink_to("../out.txt")
    (project / "loop").symlink_to(".")
    (project / "self").symlink_to("self")
    (project / "dangling").symlink_to("nothing")
    with scratch.scratch_copy(project) as place:
        copy = place.project
        assert (copy / "relative").resolve() == (copy / "absolute").resolve() == copy / "a.txt"
        assert (copy / "outside").resolve() == (copy / "above").resolve() == tmp_path / "out.txt"
        assert (copy / "loop").resolve() == copy
        assert (copy / "self").is_symlink() and not (copy / "dangling").exists()


def test_large_files_are_not_copied(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data above the bound is linked, or cloned where blocks can be shared; and so is what is beyond the total."""
    monkeypatch.setattr(scratch, "LARGE", 100)
    monkeypatch.setattr(scratch, "MAX_COPIED", 250)
    (project / "big.bin").write_bytes(b"x" * 101)
    for number in range(3):
        (project / f"small{number}.bin").write_bytes(b"x" * 100)
    (project / "model.py").write_text("#" * 100)
    monkeypatch.setattr(scratch._Copy, "_clone", lambda *_: False)
    with scratch.scratch_copy(project) as place:
        assert os.readlink(place.project / "big.bin") == str(project / "big.bin")
        linked = [path.name for path in place.project.glob("small*") if path.is_symlink()]
        assert len(linked) == 2
        assert not (place.project / "model.py").is_symlink(), "code is copied, whatever came before it"
    assert (project / "big.bin").read_bytes() == b"x" * 101


def test_pipes_and_sockets_are_skipped(project: Path) -> None:
    """What has no content cannot be copied, and must not be waited for."""
    os.mkfifo(project / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(project / "socket"))
        (project / "a").write_text("a")
        with scratch.scratch_copy(project) as place:
            assert [path.name for path in place.project.iterdir()] == ["a"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_are_noted(project: Path) -> None:
    """An unreadable file or folder is a note, and the program meets the error that it would have met."""
    (project / "secret").write_text("x")
    (project / "secret").chmod(0)
    with scratch.scratch_copy(project) as place:
        assert place.notes == ["secret was not copied: Permission denied"]
        with pytest.raises(PermissionError):
            (place.project / "secret").read_text()


def test_too_many_files_are_a_clear_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home directory taken for a project is refused, not copied for an hour."""
    monkeypatch.setattr(scratch, "MAX_ENTRIES", 3)
    for number in range(4):
        (project / str(number)).write_text("")
    with pytest.raises(scratch.ScratchError, match="holds more than 3 files"), scratch.scratch_copy(project):
        pass
    assert list(Path(os.environ["TMPDIR"]).glob("*/*")) == [], "nothing half-made is left"


def test_the_temporary_directory_itself_can_be_the_project(project: Path) -> None:
    """A script in /tmp is copied without the scratch folders, which would copy themselves for ever."""
    temporary = Path(os.environ["TMPDIR"])
    (temporary / "train.py").write_text("x = 1\n")
    with scratch.scratch_copy(temporary) as place:
        assert [path.name for path in place.project.iterdir()] == ["train.py"]


def test_nothing_that_the_program_does_to_modes_keeps_the_folder(project: Path) -> None:
    """Read-only folders are removed as well, and links in them are not followed."""
    (project / "keep.txt").write_text("keep")
    with scratch.scratch_copy(project) as place:
        locked = place.project / "locked"
        locked.mkdir()
        (locked / "link").symlink_to(project)
        (locked / "x").write_text("x")
        locked.chmod(0o500)
    assert not place.base.exists()
    assert (project / "keep.txt").read_text() == "keep"


def test_keep_moves_the_folder(project: Path, tmp_path: Path) -> None:
    """`keep` receives the copy with what the program wrote."""
    (project / "a").write_text("a")
    with scratch.scratch_copy(project, tmp_path / "kept") as place:
        (place.project / "result.csv").write_text("1")
    assert (tmp_path / "kept" / "project" / "project" / "result.csv").read_text() == "1"
    assert not place.base.exists()


def test_folders_of_dead_owners_are_removed_and_others_stay(project: Path) -> None:
    """A killed process leaves its folder to the next run; a living one's is left alone."""
    code = (
        "import os, sys; from pathlib import Path; from mllint_bio.observe import scratch\n"
        "with scratch.scratch_copy(Path(sys.argv[1])) as place:\n"
        "    print(place.base, flush=True); os.kill(os.getpid(), 9)"
    )
    dead = subprocess.run(
        [sys.executable, "-c", code, str(project)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    base = Path(dead.stdout.strip())
    assert base.is_dir()
    with scratch.scratch_copy(project) as living:
        assert scratch.remove_stale() == 1
        assert not base.exists()
        assert living.base.is_dir()
