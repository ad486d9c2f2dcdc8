"""An interpreter for tests of what surrounds the interpreter: every line that says `fault` is an event.

Files whose names start with `lib` hold functions, others are programs. A line `crash`, `hang`, `segfault` in a file makes its
interpretation do so; `import NAME` enters the functions of NAME.py.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mllint_bio.events import Event, Site
from mllint_bio.findings import Confidence, Severity
from mllint_bio.rule import Registry, Rule, Status
from mllint_bio.sources import Problem, SourceUnit, load
from mllint_bio.trace import Trace


@dataclass
class Analysis:
    """What the real interpreter returns."""

    traces: list[Trace]
    problems: list[Problem] = field(default_factory=list)
    entered: frozenset[Any] = frozenset()
    visited: frozenset[str] = frozenset()


class Project:
    """Units by path, as the real project keeps modules."""

    def __init__(self, root: Path, load: Any = load) -> None:
        self._load, self._units = load, {}

    def overlay(self, unit: SourceUnit) -> None:
        self._units[Path(unit.path).resolve()] = unit

    def module(self, path: Path) -> Any:
        key = Path(path).resolve()
        if key not in self._units:
            self._units[key] = self._load(key)
        return SimpleNamespace(unit=self._units[key])


def _trace(unit: SourceUnit, entry: str) -> Trace:
    lines = unit.text.split("\n")
    for line in lines:
        if line == "crash":
            raise ValueError("the interpreter failed")
        if line == "segfault":
            os.kill(os.getpid(), signal.SIGKILL)
        while line == "hang":
            pass
    events = [Event(id=n, at=Site(unit.path, n, 0)) for n, line in enumerate(lines) if "fault" in line]
    return Trace(events, entry, unit.path, test_or_docs="test" in unit.path)


def programs(project: Project, units: Sequence[SourceUnit], options: object) -> Analysis:
    chosen = [u for u in units if not Path(u.path).name.startswith("lib")]
    imported = {line.split()[1] for u in chosen for line in u.text.split("\n") if line.startswith("import ")}
    traces = [_trace(u, "script") for u in chosen]
    problems = [Problem(u.path, 1, 1, "syntax error: no") for u in chosen if "syntax error" in u.text]
    problems += [Problem(u.path, 1, 1, "left out", code="statement") for u in chosen if "left out" in u.text]
    visited = set()
    for name in imported:
        helper = project.module(Path(f"{name}.py")).unit
        traces.append(_trace(helper, "script"))
        visited.add(helper.path)
    return Analysis(traces, problems, entered=frozenset(imported), visited=frozenset(visited))


def functions(project: Project, units: Sequence[SourceUnit], entered: frozenset[Any], options: object) -> Analysis:
    chosen = [u for u in units if Path(u.path).name.startswith("lib") and Path(u.path).stem not in entered]
    return Analysis([_trace(u, "function") for u in chosen])


def analyse(project: Project, units: Sequence[SourceUnit], options: object) -> Analysis:
    first = programs(project, units, options)
    second = functions(project, units, first.entered, options)
    return Analysis(first.traces + second.traces, [], first.entered, first.visited)


def spans(unit: SourceUnit, sites: Iterable[Site]) -> dict[Site, tuple[int, int]]:
    found = {}
    for site in sites:
        start = unit.offset_of_bytes(site.statement + 1, 0)
        found[site] = (start, start + len(unit.line(start)))
    return found


class Fault(Rule):
    """Every event is a fault."""

    code, name, tip, severity = "TST101", "plain-fault", 1, Severity.WARNING
    remedy = "remove it"

    def check(self, trace: Trace) -> Any:
        for event in trace.events:
            yield self.finding(event, f"fault in a {trace.entry}", evidence=[("first event", trace.events[0])])


class Graver(Rule):
    """Says two things of one place."""

    code, name, tip, severity = "TST201", "graver-fault", 2, Severity.ERROR

    def check(self, trace: Trace) -> Any:
        for event in trace.events:
            yield self.finding(event, "less", severity=Severity.INFO)
            yield self.finding(event, "more")
            yield self.finding(event, "unsure", confidence=Confidence.LIKELY)


class Guess(Rule):
    """A guess from words."""

    code, name, tip, severity = "TST301", "guess", 3, Severity.INFO

    def check(self, trace: Trace) -> Any:
        for event in trace.events:
            yield self.finding(event, "perhaps", confidence=Confidence.POSSIBLE)


class ProgramsOnly(Rule):
    """For programs, not in tests."""

    code, name, tip, severity = "TST401", "programs-only", 4, Severity.INFO
    programs_only = skip_tests = True

    def check(self, trace: Trace) -> Any:
        for event in trace.events:
            yield self.finding(event, "in a program")


class OfProject(Rule):
    """Asks a question about the project."""

    code, name, tip, severity = "TST601", "of-project", 6, Severity.WARNING
    once_per_project = True

    def check(self, trace: Trace) -> Any:
        for event in trace.events:
            yield self.finding(event, "somewhere in the project")


class Broken(Rule):
    """Fails after its first finding."""

    code, name, tip, severity, status = "TST501", "broken", 5, Severity.WARNING, Status.OPT_IN

    def check(self, trace: Trace) -> Any:
        yield self.finding(trace.events[0], "found before the failure")
        raise ZeroDivisionError("in the rule")


def registry(*rules: type[Rule]) -> Registry:
    """A registry of these rules."""
    return Registry({r.code: r() for r in rules}, dict.fromkeys((r.code for r in rules), "tests"))
