"""One question from the editor, one answer: the engine applied to texts that may not be on disk.

Runs in the worker process (`mllint_bio.server.worker`) and keeps there what is costly to find again: rules, and per project the
modules that were read. What the editor has not told is looked up: settings are read afresh for each question, and a file that
changed on disk is read again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mllint_bio import config, engine
from mllint_bio.diagnostics import ENGINE_CODES, Diagnostic, Place, Report
from mllint_bio.rule import Registry, RegistryError, load_registry
from mllint_bio.sources import Problem, SourceUnit, discover, load
from mllint_bio.sources.python_file import python_unit

if TYPE_CHECKING:
    from mllint_bio.predict import Project

NOT_ANALYSED = ("crash", "timeout")  # codes of problems that are ours, not the file's


@dataclass(frozen=True)
class Question:
    """What is wrong with the text at `path`? texts: path -> unsaved text of every open document, this one among them."""

    path: str
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What the engine found in one document.

    lines: (path, row from 1) -> text of the lines in other files where evidence starts or ends; parsed: whether the document
    could be analysed as a whole; failure: why nothing is known about it (then the rest is empty); wrong_setup: whether that is
    because of settings or plugins, which the user must mend.
    """

    diagnostics: tuple[Diagnostic, ...] = ()
    problems: tuple[Problem, ...] = ()
    lines: Mapping[tuple[str, int], str] = field(default_factory=dict)
    parsed: bool = True
    failure: str = ""
    wrong_setup: bool = False


class Checker:
    """Answers questions about documents, one after the other."""

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self._workspaces: dict[str, _Workspace] = {}

    def answer(self, question: Question) -> Answer:
        """The findings in the question's document. Raises whatever the analysis raises, except for a wrong setup."""
        try:
            registry = self._rules()
            config.forget()
            settings = config.settings_for(question.path)
            config.validate_selectors(settings, [*registry, *ENGINE_CODES.values()])
        except (config.ConfigError, RegistryError) as error:
            return Answer(failure=str(error), wrong_setup=True)
        if _excluded(question.path, settings):
            return Answer()
        root = engine.project_root(Path(question.path))
        workspace = self._workspaces.setdefault(root, _Workspace(root))
        unit = workspace.take({p: t for p, t in question.texts.items() if engine.project_root(Path(p)) == root})[question.path]
        report = engine.check_units([unit], workspace.project, settings, registry, verbose=True)
        return _answer(unit, report, workspace.unit)

    def warm_up(self) -> Answer:
        """Do what the first question would wait for: import the parser, the interpreter and the rules."""
        import libcst  # noqa: F401

        return self.answer(Question("<nothing>", {"<nothing>": ""}))

    def _rules(self) -> Registry:
        if self._registry is None:
            self._registry = load_registry()
        return self._registry


class _Workspace:
    """One project, kept in step with the editor's texts and with the disk."""

    def __init__(self, root: str) -> None:
        self._read: dict[Path, object] = {}
        self._open: dict[str, SourceUnit] = {}
        self._root = root
        self._project: Project | None = None

    @property
    def project(self) -> Project:
        """The project, opened when it is first asked for."""
        if self._project is None:
            self._project = engine.open_project(Path(self._root), self._load)
        return self._project

    def take(self, texts: Mapping[str, str]) -> Mapping[str, SourceUnit]:
        """Put these texts in place of the files, forget what has changed on disk, and return the texts' units by path."""
        for path in self._open.keys() - texts.keys():
            self.project.drop(Path(path))
            del self._open[path]
        for file, state in list(self._read.items()):
            if _state(file) != state:
                self.project.drop(file)
                del self._read[file]
        for path, text in texts.items():
            known = self._open.get(path)
            unit = _unit(path, text)
            if known is None or known.digest != unit.digest:
                self.project.drop(Path(path))  # also forgets which imports led nowhere: there may be new files
                self.project.overlay(unit)
                self._open[path] = unit
        return self._open

    def unit(self, path: str) -> SourceUnit:
        """The unit of a file of the project, as it was analysed."""
        unit: SourceUnit = self.project.module(Path(path)).unit
        return unit

    def _load(self, path: Path) -> SourceUnit:
        self._read[path] = _state(path)
        return load(path, str(path))


def _state(path: Path) -> object:
    """What changes when a file is written; None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _unit(path: str, text: str) -> SourceUnit:
    """The unit of an editor's text. It is Python whatever the file is called: JupyterLab sends a notebook's cells as one text."""
    unit = python_unit(text, path)
    return replace(unit, kind="notebook") if path.endswith(".ipynb") else unit


def _excluded(path: str, settings: config.Settings) -> bool:
    """Whether the settings exclude this file. What git ignores is checked all the same: it is open, so someone works on it."""
    if not os.path.isfile(path):
        return False
    found = discover([path], settings.override(force_exclude=True, respect_gitignore=False))
    return not found.files and not found.problems


def _answer(unit: SourceUnit, report: Report, unit_of: Callable[[str], SourceUnit]) -> Answer:
    problems = tuple(p for p in report.problems if p.path == unit.path)
    ours = [p.message for p in problems if p.code in NOT_ANALYSED]
    if ours:
        return Answer(failure="; ".join(ours))
    elsewhere = [place for d in report.diagnostics for _, place in d.evidence if place.path != unit.path]
    lines = {at: line for place in elsewhere for at, line in _ends(place, unit_of(place.path))}
    return Answer(report.diagnostics, problems, lines, parsed=unit.path not in report.failed)


def _ends(place: Place, unit: SourceUnit) -> list[tuple[tuple[str, int], str]]:
    return [((place.path, row), unit.line(unit.offset_of(row, 1, place.cell))) for row in sorted({place.row, place.end_row})]
