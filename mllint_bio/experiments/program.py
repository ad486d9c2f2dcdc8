"""The static side of one program: its predicted trace, its findings, where everything lies, and what a run is to look at."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mllint_bio import engine, judge, predict
from mllint_bio.config import Settings, selected
from mllint_bio.diagnostics import Diagnostic
from mllint_bio.events import LoopKind, Site
from mllint_bio.findings import Finding
from mllint_bio.observe.job import Command, Guide
from mllint_bio.observe.log import Line
from mllint_bio.observe.observed import Span, observable
from mllint_bio.rule import Registry, Rule
from mllint_bio.sources import SourceUnit
from mllint_bio.trace import Trace


@dataclass
class Program:
    """What is known of a program before it runs.

    trace: its predicted trace (without events if nothing could be predicted); findings: of the rules on it; diagnostics: the
    same findings at their places; spans: of every site that matters; units: sources by path relative to the root.
    """

    command: Command
    path: Path
    trace: Trace
    findings: list[Finding]
    diagnostics: list[Diagnostic]
    spans: dict[Site, Span]
    units: dict[str, SourceUnit]
    rules: list[Rule]
    settings: Settings
    _registry: Registry
    _project: predict.Project

    def guide(self) -> Guide:
        """What the run is to mark, and which loops its limits end."""
        marks = {self._line(event.at) for event in self.trace.events if not observable(event)}
        for finding in self.findings:
            marks |= {self._line(site) for site in (finding.at, *(one.at for one in finding.evidence))}
        loops = {loop for event in self.trace.events for loop in event.loops}
        return Guide(
            marks=tuple(sorted(line for line in marks if line is not None)),
            epochs=self._loops(loops, LoopKind.EPOCH),
            batches=self._loops(loops, LoopKind.BATCH),
        )

    def _line(self, site: Site) -> Line | None:
        span = self.spans.get(site)
        return (span.path, span.statement) if span is not None else None

    def _loops(self, loops: Iterable[object], kind: LoopKind) -> tuple[Line, ...]:
        found = {self._line(loop.at) for loop in loops if getattr(loop, "kind", None) is kind and hasattr(loop, "at")}
        return tuple(sorted(line for line in found if line is not None))

    def judge(self, trace: Trace) -> list[tuple[Finding, Diagnostic]]:
        """What the selected rules say about a trace, and where; without what comments and settings hide, as in `check`."""
        found = judge.findings([trace], self.rules, lambda rule, finding: _shown(self.settings, rule, finding))
        placed = judge.located(found, lambda path: self._project.module(Path(path)).unit, predict.spans)
        units = {one.place.path: self._project.module(Path(one.place.path)).unit for one in placed}
        standing = engine.standing(placed, units, self._registry, self.settings)
        return [(finding, one) for finding, one in zip(found, placed, strict=True) if one in standing]


def _shown(settings: Settings, rule: Rule, finding: Finding) -> bool:
    return selected(settings, rule, finding.variant) and (settings.preview or not finding.preview)


def read(command: Command, path: Path, settings: Settings, registry: Registry) -> Program:
    """Read a program and predict what it does.

    path: the file that is run (for a module, the file that `-m` runs).
    """
    project = engine.open_project(Path(command.root))
    unit = project.module(path).unit
    rules = [rule for rule in registry if selected(settings, rule)]
    analysis = predict.programs(project, [unit], settings.options)
    own = [trace for trace in analysis.traces if trace.is_program and trace.path == unit.path]
    trace = own[0] if own else Trace([], "notebook" if unit.kind == "notebook" else "script", unit.path)
    trace.options.update(settings.options)
    program = Program(command, path, trace, [], [], {}, {}, rules, settings, registry, project)
    found = program.judge(trace)
    program.findings, program.diagnostics = [one for one, _ in found], [placed for _, placed in found]
    sites = {event.at for event in trace.events}
    for event in trace.events:
        sites.update(event.calls)
        sites.update(loop.at for loop in event.loops)
    for finding in program.findings:
        sites.update((finding.at, *(one.at for one in finding.evidence)))
    program.spans = _spans(sites, project, command.root)
    for site in sites:
        shown = project.module(Path(site.path)).unit
        program.units[relative(site.path, command.root)] = shown
    program.units[relative(unit.path, command.root)] = unit
    return program


def relative(path: str, root: str) -> str:
    """A path as the log writes it: relative to the root, with forward slashes."""
    return os.path.relpath(os.path.abspath(path), root).replace(os.sep, "/")


def _spans(sites: Iterable[Site], project: predict.Project, root: str) -> dict[Site, Span]:
    places = judge.places(sites, lambda path: project.module(Path(path)).unit, predict.spans)
    statements: dict[str, list[tuple[int, int]]] = {}
    found: dict[Site, Span] = {}
    for site in sites:
        unit = project.module(Path(site.path)).unit
        place = places[site]
        first, last = unit.line_index(place.start) + 1, unit.line_index(max(place.start, place.end - 1)) + 1
        if site.path not in statements:
            statements[site.path] = _statements(unit.text)
        within = [start for start, end in statements[site.path] if start <= first <= end]
        found[site] = Span(relative(site.path, root), first, last, max(within, default=first))
    return found


def _statements(text: str) -> list[tuple[int, int]]:
    """(first line, last line) of every statement; of a compound one, its header."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if isinstance(body, list) and body and isinstance(body[0], ast.stmt) else node.end_lineno
            found.append((node.lineno, max(node.lineno, last or node.lineno)))
    return found
