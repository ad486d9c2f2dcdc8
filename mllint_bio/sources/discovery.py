"""Which files to check: walks directories as git sees them, without what nobody wrote here.

A directory is pruned as early as possible and only Python files and notebooks cost more than the listing itself: a data folder
with hundreds of thousands of images is listed once and forgotten. Links to directories are not followed (git does not either, and
they lead to data on other disks); a linked file is checked once, under its own name if it is reached under both.
"""

# Paths are text here: a `Path` for each of half a million entries would cost more than listing them.

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mllint_bio.patterns import Patterns
from mllint_bio.sources.unit import Problem

if TYPE_CHECKING:
    from mllint_bio.config import Settings

SUFFIXES = (".py", ".ipynb")
_ENVIRONMENT_MARKS = frozenset({"pyvenv.cfg", "conda-meta"})  # whatever the folder is called, this is a Python installation


@dataclass(frozen=True, slots=True)
class Discovery:
    """Files in a fixed order, each real file once, and what could not be looked at."""

    files: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def discover(paths: Sequence[Path | str], settings: Settings) -> Discovery:
    """Python files and notebooks under `paths`.

    A file that is named is taken even if it is excluded or ignored, unless `force_exclude` is set; a path that does not exist, is
    no Python file, or cannot be listed is a problem. Paths come out relative if they went in relative.
    """
    walk = _Walk(settings)
    for path in paths:
        walk.start(os.fspath(path))
    for shown, real in walk.links:  # after the files: the file's own name wins over a link to it
        walk.found.setdefault(real, shown)
    return Discovery([Path(p) for p in sorted(walk.found.values())], sorted(walk.problems, key=lambda p: p.path))


class _Walk:
    """State of one discovery: real path -> path as shown."""

    def __init__(self, settings: Settings) -> None:
        self.found: dict[str, str] = {}
        self.links: list[tuple[str, str]] = []
        self.problems: list[Problem] = []
        self._excluded = _Excluded((*settings.exclude, *settings.extend_exclude), os.fspath(settings.root))
        self._force = settings.force_exclude
        self._git = settings.respect_gitignore

    def start(self, path: str) -> None:
        try:
            is_directory = os.path.isdir(path)
            real = os.path.realpath(path)
            os.stat(path)
        except (OSError, ValueError) as error:
            message = "does not exist" if isinstance(error, FileNotFoundError) else _reason(error)
            self._problem(path, message, "missing" if isinstance(error, FileNotFoundError) else "unreadable")
            return
        if self._force and self._is_excluded(real, is_directory):
            return
        if is_directory:
            self._directory(path, real)
        elif path.endswith(SUFFIXES) or _python_script(path):
            self.found.setdefault(real, path)
        else:
            self._problem(path, "is neither a Python file (.py) nor a notebook (.ipynb)", "not-python")

    def _is_excluded(self, real: str, is_directory: bool) -> bool:
        """Whether the walk would not have come here: something on the way from the settings' root, or from git's, is hidden."""
        path, git = real, self._git
        while path != os.path.dirname(path):
            head, name = os.path.split(path)
            below_root = path == real or head.startswith(self._excluded.root)
            if below_root and self._excluded(name, path, is_directory):
                return True
            git = git and not os.path.exists(os.path.join(path, ".git"))
            if git and _ignored(_ancestors(head), path, is_directory):
                return True
            path, is_directory = head, True
        return False

    def _directory(self, top: str, real_top: str) -> None:
        ignores = _ancestors(os.path.dirname(real_top)) if self._git else None
        if _ignored(ignores, real_top, True):  # named all the same: then what hides it must not hide its files
            ignores = ()
        stack = [("" if top == os.curdir else os.path.join(top, ""), real_top, ignores)]
        while stack:
            prefix, real, ignores = stack.pop()
            try:
                with os.scandir(prefix or os.curdir) as listing:
                    names, directories, others = self._listing(listing)
            except OSError as error:
                self._problem(prefix or os.curdir, f"cannot be listed: {_reason(error)}", "unreadable")
                continue
            if real != real_top and not _ENVIRONMENT_MARKS.isdisjoint(others):
                continue
            if self._git:
                ignores = _extend(ignores, real, others)
            for name, is_link in names:
                self._file(prefix + name, name, real, is_link, ignores)
            for name in sorted(directories, reverse=True):  # a stack: the first one is pushed last
                inside = os.path.join(real, name)
                if not self._excluded(name, inside, True) and not _ignored(ignores, inside, True):
                    stack.append((f"{prefix}{name}{os.sep}", inside, ignores))

    @staticmethod
    def _listing(listing: Iterable[os.DirEntry[str]]) -> tuple[list[tuple[str, bool]], list[str], set[str]]:
        """Candidate files (name, is a link), directories, and the marker names that say what the directory is."""
        names: list[tuple[str, bool]] = []
        directories: list[str] = []
        marks: set[str] = set()
        for entry in listing:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                directories.append(name)
                if name == "conda-meta" or name == ".git":
                    marks.add(name)
            elif name.endswith(SUFFIXES):
                if not name.startswith(".#"):  # Emacs' lock files are broken links
                    names.append((name, entry.is_symlink()))
            elif name in (".gitignore", ".git", "pyvenv.cfg"):
                marks.add(name)
        return names, directories, marks

    def _file(self, shown: str, name: str, directory: str, is_link: bool, ignores: _Ignores) -> None:
        inside = os.path.join(directory, name)
        if self._excluded(name, inside, False) or _ignored(ignores, inside, False):
            return
        if is_link:
            if os.path.isdir(shown):
                return
            self.links.append((shown, os.path.realpath(shown)))
        else:
            self.found.setdefault(inside, shown)

    def _problem(self, path: str, message: str, code: str) -> None:
        shown = os.fsencode(path).decode("utf-8", "replace")
        self.problems.append(Problem(shown, 1, 1, message, code=code))


class _Excluded:
    """Exclude patterns, relative to the root of the settings; those without a slash hold everywhere."""

    def __init__(self, patterns: Iterable[str], root: str) -> None:
        self.root = os.path.realpath(root)
        plain = [p.rstrip("/") for p in patterns]
        self._names = frozenset(
            p for p in plain if not re.search(r"[/*?\[\\!]", p)
        )  # nearly all: one look-up instead of a search
        self._patterns = Patterns(p for p in plain if p not in self._names)

    def __call__(self, name: str, real: str, is_directory: bool) -> bool:
        if name in self._names:
            return True
        inside = real.startswith(self.root + os.sep)
        path = real[len(self.root) + 1 :].replace(os.sep, "/") if inside else name
        return bool(self._patterns.verdict(path, is_directory))


class _Ignore(NamedTuple):
    """The patterns of one ignore file, relative to its directory."""

    directory: str
    patterns: Patterns


_Ignores = tuple[_Ignore, ...] | None  # from the top down; None outside a git work tree, where ignore files mean nothing


def _ignored(ignores: _Ignores, real: str, is_directory: bool) -> bool:
    """Git's answer: the last pattern of the deepest file that says anything about this path decides."""
    for ignore in reversed(ignores or ()):
        path = real[len(ignore.directory.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
        verdict = ignore.patterns.verdict(path, is_directory)
        if verdict is not None:
            return verdict
    return False


def _ancestors(directory: str) -> _Ignores:
    """Ignore files from the top of the git work tree down to `directory`; None outside a work tree."""
    chain: list[str] = []
    parent = directory
    while not os.path.exists(os.path.join(parent, ".git")):
        chain.append(parent)
        parent, below = os.path.dirname(parent), parent
        if parent == below:
            return None
    ignores = _extend(None, parent, {".git", ".gitignore"})
    for below in reversed(chain):
        ignores = _extend(ignores, below, {".gitignore"})
    return ignores


def _extend(ignores: _Ignores, directory: str, names: set[str]) -> _Ignores:
    """The ignore files in force inside `directory`, which may hold `names`. A work tree of its own starts afresh."""
    files: list[str] = []
    if ".git" in names:
        ignores = ()
        files.append(os.path.join(directory, ".git", "info", "exclude"))
    if ignores is not None and ".gitignore" in names:
        files.append(os.path.join(directory, ".gitignore"))
    for file in files:
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                patterns = Patterns(lines)
        except OSError:  # absent, or a folder of that name; git reads on as well
            continue
        if ignores is not None and patterns:
            ignores += (_Ignore(directory, patterns),)
    return ignores


def _python_script(path: str) -> bool:
    """Whether a file without suffix says that Python runs it."""
    if os.path.splitext(path)[1] or not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            first = file.readline(200)
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
