"""The scratch folder of a run: a copy of the user's project that the program may change, and everything else that the run writes.

Layout, below a folder of this user in the temporary directory:

    run-<random>/owner     locked by the process that made the folder, so that the next run can tell a dead owner's folder
    run-<random>/project/  the copy, with the project's own name as the last part
    run-<random>/tmp/      TMPDIR of the program
    run-<random>/arrays/   captured arrays
    run-<random>/log, job.json, refusals

Small files are copied. Large ones are cloned where the file system can share blocks, and linked otherwise: reading goes to
the original, and `mllint_bio.observe.guard` puts a copy in the link's place before the program writes to it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

LARGE = 16 * 2**20  # bytes; what is larger is data, and copying it would cost more than the run is worth
MAX_COPIED = 2 * 2**30  # bytes; beyond, files are linked whatever their size
MAX_ENTRIES = 200_000
MAX_PATH = 4096

# Folders that a program does not read, and that can hold more files than the project.
SKIPPED = frozenset(
    {
        ".git", ".hg", ".svn", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".tox", ".nox",
        "node_modules", ".hypothesis", ".dvc", ".mllint-bio",
    }
)  # fmt: skip
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
_CODE = (".py", ".ipynb", ".toml", ".cfg", ".yaml", ".yml", ".json", ".ini", ".txt")  # copied even when much else is linked
_FICLONE = 0x40049409  # ioctl of Linux: share the blocks of another file, copy on write


class ScratchError(Exception):
    """The copy could not be made; the message is one line for the user."""


@dataclass
class Scratch:
    """Paths of one run's folder; notes: what was left out of the copy, in words."""

    base: Path
    root: Path
    notes: list[str] = field(default_factory=list)

    @property
    def project(self) -> Path:
        """The copy of the user's root; it keeps the root's name, which programs may use."""
        return self.base / "project" / (self.root.name or "root")

    @property
    def temporary(self) -> Path:
        """TMPDIR of the program."""
        return self.base / "tmp"

    @property
    def arrays(self) -> Path:
        """Where the recorder saves captured arrays."""
        return self.base / "arrays"

    @property
    def log(self) -> Path:
        """The log of `mllint_bio.observe.log`."""
        return self.base / "log"

    @property
    def refusals(self) -> Path:
        """One JSON object a line, appended by every process of the run."""
        return self.base / "refusals"

    @property
    def job_file(self) -> Path:
        """What the child reads."""
        return self.base / "job.json"

    def counterpart(self, path: Path) -> Path:
        """Where a path of the user's is in the copy; a path outside the root is itself."""
        try:
            return self.project / path.relative_to(self.root)
        except ValueError:
            return path


@contextmanager
def scratch_copy(root: Path, keep: Path | None = None) -> Iterator[Scratch]:
    """A scratch folder with a copy of `root`, removed at the end, or moved to `keep` (which must not exist yet).

    Raises ScratchError if the copy cannot be made.
    """
    root = Path(os.path.realpath(root))
    if not root.is_dir():
        raise ScratchError(f"{root} is not a folder")
    try:
        base, lock = _claim(_home())
    except OSError as error:
        raise ScratchError(f"no scratch folder can be made in {tempfile.gettempdir()}: {error.strerror or error}") from error
    try:
        made = Scratch(base, root)
        try:
            for folder in (made.project, made.temporary, made.arrays):
                folder.mkdir(parents=True)
            _Copy(made).run()
        except OSError as error:
            raise ScratchError(f"the project could not be copied to {base}: {error.strerror or error}") from error
        yield made
        if keep is not None:
            shutil.move(base, keep)
    finally:
        remove(base)
        os.close(lock)


def remove_stale() -> int:
    """Remove scratch folders whose owner is dead (killed before it could clean up); how many there were."""
    import fcntl

    home, count = Path(tempfile.gettempdir()) / f"mllint-bio-{os.getuid()}", 0
    with suppress(OSError):
        for entry in list(home.iterdir()):
            if entry.name.startswith("new-"):  # being made right now, unless it is old
                with suppress(OSError):
                    if time.time() - entry.stat().st_mtime > 3600:
                        remove(entry)
                continue
            try:
                lock = os.open(entry / "owner", os.O_RDWR)
            except FileNotFoundError:
                remove(entry)
                continue
            except OSError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(entry)
                count += 1
            except OSError:
                pass  # its owner lives
            finally:
                os.close(lock)
    return count


def remove(folder: Path) -> None:
    """Remove a folder of ours, whatever permissions the program left on it; links are never followed."""
    with suppress(FileNotFoundError):
        try:
            shutil.rmtree(folder)
        except OSError:
            for path, _, _ in os.walk(folder):
                with suppress(OSError):
                    os.chmod(path, 0o700)
            shutil.rmtree(folder, ignore_errors=True)


def _home() -> Path:
    home = Path(tempfile.gettempdir()) / f"mllint-bio-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    status = home.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(0, f"{home} belongs to somebody else")
    return Path(os.path.realpath(home))


def _claim(home: Path) -> tuple[Path, int]:
    """A new folder and the descriptor that holds its lock; renamed only when locked, so that nobody takes it for stale."""
    import fcntl

    while True:
        name = secrets.token_hex(4)
        new, base = home / f"new-{name}", home / f"run-{name}"
        if base.exists():
            continue
        new.mkdir(mode=0o700)
        lock = os.open(new / "owner", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.write(lock, str(os.getpid()).encode())
        new.rename(base)
        return base, lock


class _Copy:
    """Copies one project; an explicit stack, because trees can be deeper than Python's."""

    def __init__(self, scratch: Scratch) -> None:
        self.root = os.fspath(scratch.root)
        self.project = os.fspath(scratch.project)
        self.own = os.fspath(scratch.base.parent)  # the root may be the temporary directory itself
        self.notes = scratch.notes
        self.copied = 0
        self.entries = 0
        self.can_clone = True

    def run(self) -> None:
        stack = [(self.root, self.project)]
        while stack:
            source, target = stack.pop()
            try:
                with os.scandir(source) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)  # what is linked must not depend on the disk
            except OSError as error:
                if source == self.root:
                    raise
                self._note(source, error)
                continue
            for entry in entries:
                self.entries += 1
                if self.entries > MAX_ENTRIES:
                    raise ScratchError(f"{self.root} holds more than {MAX_ENTRIES:,} files: start from the program's own folder")
                goal = os.path.join(target, entry.name)
                if len(goal) >= MAX_PATH:
                    self.notes.append(f"{self._shown(entry.path)} was left out: its path is too long")
                elif entry.is_symlink():
                    self._link(entry.path, goal)
                elif entry.is_dir(follow_symlinks=False):
                    if not self._skipped(entry):
                        os.mkdir(goal)
                        stack.append((entry.path, goal))
                elif entry.is_file(follow_symlinks=False):
                    self._file(entry, goal)
                # what is left are sockets, pipes and devices

    def _skipped(self, entry: os.DirEntry[str]) -> bool:
        return (
            entry.name in SKIPPED
            or os.path.realpath(entry.path) == self.own
            or any(os.path.exists(os.path.join(entry.path, mark)) for mark in _ENVIRONMENT_MARKS)
        )

    def _file(self, entry: os.DirEntry[str], goal: str) -> None:
        try:
            size = entry.stat(follow_symlinks=False).st_size
            code = entry.name.endswith(_CODE)
            if size > LARGE or (self.copied + size > MAX_COPIED and not code):
                if not self._clone(entry.path, goal):
                    os.symlink(entry.path, goal)
                return
            shutil.copy2(entry.path, goal)
            self.copied += size
        except FileNotFoundError:
            pass  # removed since it was listed
        except PermissionError as error:
            self._note(entry.path, error)
            with suppress(OSError):
                os.symlink(entry.path, goal)  # the program meets the same error that it would have met

    def _clone(self, source: str, goal: str) -> bool:
        if not self.can_clone:
            return False
        import fcntl

        try:
            with open(source, "rb") as original, open(goal, "xb") as copy:
                fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
            shutil.copystat(source, goal)
        except PermissionError:
            raise
        except OSError:
            self.can_clone = False
            with suppress(OSError):
                os.unlink(goal)
        return self.can_clone

    def _link(self, source: str, goal: str) -> None:
        """A link to something in the project leads to its copy, any other to where it led."""
        try:
            aim = os.path.normpath(os.path.join(os.path.dirname(source), os.readlink(source)))
            inside = aim == self.root or aim.startswith(self.root + os.sep)
            os.symlink(self.project + aim[len(self.root) :] if inside else aim, goal)
        except OSError as error:
            self._note(source, error)

    def _note(self, path: str, error: OSError) -> None:
        self.notes.append(f"{self._shown(path)} was not copied: {error.strerror or error}")

    def _shown(self, path: str) -> str:
        return os.path.relpath(path, self.root)
