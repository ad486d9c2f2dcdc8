"""The engine: source units in, report out.

What is decided about findings is decided once and in this order: which rules run, gates, preview and confidence, one finding
per rule and site (`mllint_bio.judge`), then per-file ignores, suppressions (`mllint_bio.suppress`), least severity and order
(`assemble`). The engine knows no rule by name. The command line, the server, the hook and the tests call `check` (files) or
`check_units` (texts at hand).

A project is interpreted in two phases: first its programs (scripts, notebooks), which say what data its functions get, then the
functions that no program entered. Both phases run over batches of files, so that one bad file cannot take the others with it
(`mllint_bio.workers`).
"""

from __future__ import annotations

import os
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mllint_bio.config import Settings, selected
from mllint_bio.diagnostics import INTERNAL_ERROR, Diagnostic, Place, Report, Units
from mllint_bio.findings import Finding, Severity
from mllint_bio.sources import Problem, SourceUnit, load

if TYPE_CHECKING:
    from mllint_bio.events import Site
    from mllint_bio.judge import Places
    from mllint_bio.predict import Analysis, Project
    from mllint_bio.rule import Registry
    from mllint_bio.trace import Trace

__all__ = ["Diagnostic", "Place", "Report", "check", "check_units", "exit_status", "open_project"]

ROOT_MARKERS = (".git", "pyproject.toml", "mllint-bio.toml", ".mllint-bio.toml", "setup.py")
# What stands at the top of a project that was downloaded without its `.git`; folders below it have readmes of their own.
COPY_MARKERS = ("requirements.txt", "environment.yml", "LICENSE", "README.md", "README.rst", "README.txt", "README")
BATCH = 24  # files interpreted between two looks at the clock, and the least for which worker processes pay

MARK = "mllint-bio:"  # what every suppression comment holds


def open_project(root: Path, read: Callable[[Path], SourceUnit] | None = None) -> Project:
    """The project below a root, to which `check_units` can be applied again and again; its modules are read when needed.

    read: how a file is read (default: from disk, shown as users see it).
    """
    project: Project = _predict().Project(root, read or (lambda file: load(file, shown(file))))
    return project


def check_units(
    units: Sequence[SourceUnit],
    project: Project,
    settings: Settings,
    registry: Registry,
    requested: Iterable[str] | None = None,
    *,
    verbose: bool = False,
) -> Report:
    """Check texts at hand as parts of one project; findings are reported for `requested` paths (all units if not given).

    Reads other files of the project through `project` only, and writes nothing.
    """
    known = {unit.path: unit for unit in units}
    session = Session(registry, {"": settings}, verbose)
    batch = session.batch("analyse", "", project, units)
    wanted = dict.fromkeys(known if requested is None else requested, "")
    return assemble([batch], wanted, {**session.units, **known}, registry, {"": settings})


def check(
    files: Sequence[Path],
    settings_of: Callable[[Path], Settings],
    registry: Registry,
    *,
    named: Iterable[Path] = (),
    jobs: int = 1,
    verbose: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Check files, grouped by project.

    files: what discovery found; named: the folders that the user asked for; settings_of: the settings in effect in a folder;
    jobs: worker processes, used when there are enough files; progress: told how many files a finished batch held, in both
    phases.
    """
    from mllint_bio.workers import Workers, quiet_collector

    by_name = {shown(file): file for file in files}
    roots = project_roots(by_name.values(), named)
    root_of = {name: roots[file] for name, file in by_name.items()}
    settings = {root: settings_of(Path(root)) for root in sorted(set(root_of.values()))}
    session = Session(registry, settings, verbose, by_name)
    parallel = jobs > 1 and len(files) >= BATCH
    size = max(4, min(BATCH, len(files) // (4 * jobs))) if parallel else BATCH
    batches: list[Batch] = []
    entered: frozenset[Any] = frozenset()
    _predict()  # imported before the collector is frozen and the workers are forked
    with ExitStack() as stack:
        stack.enter_context(quiet_collector())
        pool = stack.enter_context(Workers(jobs, _work, _died, _adopt, (session,))) if parallel else None
        for phase in ("programs", "functions"):
            tasks = [
                Task(phase, root, tuple(paths), entered)
                for root in settings
                for paths in _portions([path for path, own in root_of.items() if own == root], size)
            ]
            for batch in pool.run(tasks) if pool else map(session.run, tasks):
                batches.append(batch)
                progress(batch.size)
            entered = entered.union(*(batch.entered for batch in batches))
    return assemble(batches, root_of, session.units, registry, settings)


def _portions(paths: Sequence[str], size: int) -> list[Sequence[str]]:
    """Portions of about equal length, at most `size`; never a single file beside others, which would be read with its drivers."""
    count = -(-len(paths) // size)
    return [paths[len(paths) * n // count : len(paths) * (n + 1) // count] for n in range(count)]


def traces(unit: SourceUnit, project: Project, settings: Settings) -> tuple[list[Trace], Callable[[Iterable[Site]], Places]]:
    """What the interpreter understands of one file, and how to place the sites of its events. For people; rules are not asked."""
    from mllint_bio import judge

    analysis = _predict().analyse(project, [unit], settings.options)
    return analysis.traces, lambda sites: judge.places(sites, lambda path: project.module(Path(path)).unit, _predict().spans)


def exit_status(report: Report, fail_on: Severity) -> int:
    """0 nothing found, 1 findings of at least `fail_on`, 2 an internal error, a wrong path, or nothing that could be checked."""
    if any(d.code == INTERNAL_ERROR for d in report.diagnostics) or any(p.code == "missing" for p in report.problems):
        return 2
    if report.problems and not report.checked:
        return 2
    return int(any(d.severity >= fail_on for d in report.diagnostics))


def shown(path: Path) -> str:
    """The path as users read it: relative to the working folder where it lies below it."""
    from mllint_bio.sources.python_file import shown_path

    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return shown_path(absolute if relative.startswith("..") else relative)


def project_roots(files: Iterable[Path], named: Iterable[Path] = ()) -> dict[Path, str]:
    """The root of each file's project; every folder is looked at once. named: the folders that the user asked for."""
    above: dict[str, str] = {}
    found: dict[Path, str] = {}
    named = [*named]
    for file in files:
        folder = os.path.dirname(os.path.abspath(file))
        if folder not in above:
            above[folder] = project_root(file, named)
        found[file] = above[folder]
    return found


def project_root(path: Path, named: Iterable[Path] = ()) -> str:
    """The nearest folder above a file that looks like the root of a project.

    A copy without `.git` has a README in several folders, or in none: the outermost one at or below the folder that the user
    named (else the working folder) counts, and without any that folder is taken for the project.
    """
    folder = Path(os.path.abspath(path)).parent
    above = (folder, *folder.parents)
    for candidate in above:
        if any((candidate / marker).exists() for marker in ROOT_MARKERS):
            return str(candidate)
    asked = [Path(os.path.abspath(one)) for one in named]
    here = next((one for one in above if one in asked), Path.cwd())
    below = above[: above.index(here) + 1] if here in above and here not in (Path.home(), Path(here.anchor)) else ()
    marked = [candidate for candidate in above if any((candidate / marker).exists() for marker in COPY_MARKERS)]
    inside = [candidate for candidate in marked if candidate in below]
    return str(inside[-1] if inside else marked[0] if marked else here if below else folder)


@dataclass
class Batch:
    """What one batch of files yields before findings of different batches are put together; pickled from worker processes.

    size: number of files; checked: paths that were analysed; skipped: path -> reason; failed: paths that could not be analysed;
    entered: functions that some program entered; visited: other files that were read; commented: paths whose text may hold
    suppression comments.
    """

    size: int = 0
    diagnostics: list[Diagnostic] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    checked: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    entered: frozenset[Any] = frozenset()
    visited: frozenset[str] = frozenset()
    commented: set[str] = field(default_factory=set)

    def note(self, unit: SourceUnit) -> None:
        """Take down what is known of a unit before it is interpreted."""
        self.problems += unit.problems
        if not unit.skipped:
            self.checked.add(unit.path)
        elif unit.problems:
            self.failed.add(unit.path)
        else:
            self.skipped[unit.path] = unit.skipped
        if MARK in unit.display:
            self.commented.add(unit.path)

    def take(self, problems: Iterable[Problem]) -> None:
        """Take down what the interpreter could not read: a statement, a notebook cell, or a whole file."""
        for problem in problems:
            if problem.cell is None and problem.code != "statement":
                self.fail(problem.path, problem.message, problem.code, problem.row, problem.column)
            else:
                self.problems.append(problem)

    def fail(self, path: str, message: str, code: str, row: int = 1, column: int = 1) -> None:
        """Take down that a file could not be analysed."""
        self.problems.append(Problem(path, row, column, message, code=code))
        self.checked.discard(path)
        self.failed.add(path)


@dataclass(frozen=True)
class Task:
    """One phase for some files of one project, for `mllint_bio.workers`."""

    phase: str
    root: str
    paths: tuple[str, ...]
    entered: frozenset[Any] = frozenset()

    def files(self) -> Sequence[str]:
        """The files of the batch, as shown to users."""
        return self.paths

    def pieces(self) -> list[Task]:
        """The same task, one file each."""
        return [replace(self, paths=(path,)) for path in self.paths]


class Session:
    """The state of one check in one process: rules and settings by project root, projects and units once read.

    Pickled to worker processes before first use.
    """

    def __init__(
        self, registry: Registry, settings: Mapping[str, Settings], verbose: bool, files: Mapping[str, Path] | None = None
    ) -> None:
        """files: by path as shown, those that were asked for (some may be links, or have names that cannot be printed)."""
        self.settings = dict(settings)
        self.units: dict[str, SourceUnit] = {}
        self._verbose = verbose
        self._files = dict(files or {})
        self._names = {os.path.realpath(file): name for name, file in self._files.items()}
        self._projects: dict[str, Project] = {}
        self._rules = {root: [rule for rule in registry if selected(one, rule)] for root, one in self.settings.items()}

    def run(self, task: Task) -> Batch:
        """One phase of one batch of files."""
        if task.root not in self._projects:
            self._projects[task.root] = _predict().Project(Path(task.root), self._load)
        project = self._projects[task.root]
        units = [self._load(self._files[path]) for path in task.paths]
        for unit in units:
            if "\N{REPLACEMENT CHARACTER}" in unit.path:
                project.overlay(unit)  # the name that is shown is not that of the file
        return self.batch(task.phase, task.root, project, units, task.entered)

    def _load(self, file: Path) -> SourceUnit:
        path = self._names.get(os.path.realpath(file)) or shown(file)
        if path not in self.units:
            self.units[path] = load(file, path)
        return self.units[path]

    def batch(
        self, phase: str, root: str, project: Project, units: Sequence[SourceUnit], entered: frozenset[Any] = frozenset()
    ) -> Batch:
        """Interpret units (phase `programs`, `functions` or, for both, `analyse`), ask the rules, locate what they say."""
        from mllint_bio import judge

        settings = self.settings[root]
        batch = Batch(size=len(units))
        for unit in units:
            batch.note(unit)
        interpreted = self._interpret(phase, root, project, [unit for unit in units if not unit.skipped], entered, batch)
        found: list[Finding] = []
        for analysis in interpreted:
            batch.take(analysis.problems)
            batch.entered |= analysis.entered
            batch.visited |= analysis.visited
            for trace in analysis.traces:
                trace.options.update(settings.options)
            found += judge.findings(
                analysis.traces,
                self._rules[root],
                lambda rule, finding: selected(settings, rule, finding.variant) and (settings.preview or not finding.preview),
                verbose=self._verbose,
            )
        batch.diagnostics = judge.located(found, lambda path: project.module(Path(path)).unit, _predict().spans)
        return batch

    def _interpret(
        self, phase: str, root: str, project: Project, units: list[SourceUnit], entered: frozenset[Any], batch: Batch
    ) -> list[Analysis]:
        """The analysis of the units; if that fails or takes too long, of each unit for itself, without the culprits."""
        from mllint_bio.workers import OutOfTime, limit, time_limit

        if not units:
            return []
        predict = _predict()
        options = self.settings[root].options
        try:
            with time_limit(limit(len(units))):
                if phase == "functions":
                    return [predict.functions(project, units, entered, options)]
                return [getattr(predict, phase)(project, units, options)]
        except (Exception, OutOfTime) as error:
            failure = error
        if len(units) > 1:
            return [a for unit in units for a in self._interpret(phase, root, project, [unit], entered, batch)]
        if self._verbose:
            traceback.print_exception(failure, file=sys.stderr)
        if isinstance(failure, OutOfTime):
            batch.fail(units[0].path, f"not checked: the analysis took more than {limit(1):.0f} s", "timeout")
        else:
            batch.fail(units[0].path, f"not checked: the analysis failed ({type(failure).__name__}: {failure})", "crash")
        return []


_session: Session | None = None  # of this worker process


def _adopt(session: Session) -> None:
    """Make a session that of this worker process."""
    global _session
    _session = session


def _work(task: Task) -> Batch:
    assert _session is not None
    return _session.run(task)


def _died(task: Task) -> Batch:
    """The batch of a file whose analysis killed the worker process."""
    batch = Batch(size=len(task.paths))
    for path in task.paths:
        batch.fail(path, "not checked: the analysis of this file crashed or did not end", "crash")
    return batch


def _predict() -> Any:
    """The interpreter, imported when something is interpreted: it brings LibCST."""
    return import_module("mllint_bio.predict")


def assemble(
    batches: Iterable[Batch],
    root_of: Mapping[str, str],
    units: Mapping[str, SourceUnit],
    registry: Registry,
    settings: Mapping[str, Settings],
) -> Report:
    """Put the findings of all batches together and decide what is shown.

    root_of: shown path -> project root, for the paths that were asked for; settings: by project root.
    """
    from mllint_bio import suppress

    whole = Batch()
    best: dict[tuple[object, ...], Diagnostic] = {}
    for batch in batches:
        whole.problems += batch.problems
        whole.checked |= batch.checked
        whole.skipped.update(batch.skipped)
        whole.failed |= batch.failed
        whole.visited |= batch.visited
        whole.commented |= batch.commented
        for diagnostic in batch.diagnostics:
            internal = diagnostic.code == INTERNAL_ERROR
            if diagnostic.place.path not in root_of and not internal:
                continue  # in a helper that nobody asked about
            key = (diagnostic.code, diagnostic.place, diagnostic.message if internal else "")
            if key not in best or (diagnostic.severity, diagnostic.confidence) > (best[key].severity, best[key].confidence):
                best[key] = diagnostic
    best = _one_a_project(best, root_of, registry)
    at_hand = Units(units)
    by_path: dict[str, list[Diagnostic]] = defaultdict(list)
    for diagnostic in best.values():
        by_path[diagnostic.place.path].append(diagnostic)
    shown_ones: list[Diagnostic] = []
    hidden = 0
    for path in sorted(by_path.keys() | (whole.commented & whole.checked)):
        own = settings[root_of[path]] if path in root_of else next(iter(settings.values()))
        found = [one for one in by_path[path] if not _ignored(own, registry, one)]
        if path in whole.commented or path not in root_of:
            found, count = suppress.suppressed(found, at_hand[path], own, registry)
            hidden += count
        shown_ones += [one for one in found if one.severity >= own.min_severity]
    shown_ones.sort(key=lambda d: (d.place.path, d.place.start, d.code, d.place.end, d.message))
    problems = sorted(set(whole.problems), key=lambda p: (p.path, p.cell or 0, p.row, p.column, p.message))
    return Report(
        diagnostics=tuple(shown_ones),
        problems=tuple(problems),
        checked=len((whole.checked - whole.failed) & root_of.keys()),
        skipped=tuple(sorted(whole.skipped.items())),
        suppressed=hidden,
        failed=frozenset(whole.failed & root_of.keys()),
        visited=whole.visited,
        units=at_hand,
    )


def _one_a_project(
    found: Mapping[tuple[object, ...], Diagnostic], root_of: Mapping[str, str], registry: Registry
) -> dict[tuple[object, ...], Diagnostic]:
    """Without the further findings of rules that ask a question about the project: the gravest stays, of equals the first."""
    kept: dict[tuple[object, ...], Diagnostic] = {}
    answered: set[tuple[str, str]] = set()
    for key, one in sorted(
        found.items(), key=lambda pair: (-pair[1].severity, -pair[1].confidence, pair[1].place.path, pair[1].place.start)
    ):
        rule = registry.rules.get(one.code)
        if rule is not None and rule.once_per_project and one.place.path in root_of:
            question = root_of[one.place.path], one.code
            if question in answered:
                continue
            answered.add(question)
        kept[key] = one
    return kept


def standing(
    found: Sequence[Diagnostic], units: Mapping[str, SourceUnit], registry: Registry, settings: Settings
) -> list[Diagnostic]:
    """The findings that neither per-file ignores, comments nor the least severity hide; nothing is said about the comments."""
    from mllint_bio import suppress

    kept: list[Diagnostic] = []
    for path in dict.fromkeys(one.place.path for one in found):
        own = [one for one in found if one.place.path == path and not _ignored(settings, registry, one)]
        left, _ = suppress.suppressed(own, units[path], settings, registry)
        kept += [one for one in left if one in own and one.severity >= settings.min_severity]
    return kept


def _ignored(settings: Settings, registry: Registry, diagnostic: Diagnostic) -> bool:
    """Whether `per-file-ignores` hides this finding."""
    rule = registry.rules.get(diagnostic.code)
    return rule is not None and settings.ignored_for_file(diagnostic.place.path, rule, diagnostic.variant)
