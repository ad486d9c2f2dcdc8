"""The static interpreter: predicted traces of programs, without running them.

`programs` interprets the scripts and notebooks among the given units (and, for a module, the scripts that drive it),
`functions` what nothing called: functions, and methods of classes that nothing built. `analyse` does both. `spans` turns the
sites of events and findings into offsets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mllint_bio.events import Fit, Select, Site, Step, Subject
from mllint_bio.predict import ir
from mllint_bio.predict import spans as _spans
from mllint_bio.predict.frames import Call, Frame, OutOfBudget
from mllint_bio.predict.interpreter import Run
from mllint_bio.predict.project import Module, Project
from mllint_bio.predict.skeleton import at_hand
from mllint_bio.predict.values import Array, Func, Klass, Obj, Value, declared_roles
from mllint_bio.rows import source
from mllint_bio.sources import Problem, SourceUnit
from mllint_bio.trace import Trace

__all__ = ["Analysis", "Project", "analyse", "functions", "programs", "spans"]

_ONE_STUDY = 60  # files of a project whose programs belong together
_DRIVEN = 3  # project imports that may lie between a driver script and the module that imports a library
# Depth of inlining and steps for a function without caller: its data are unknown, what lies deep below it proves nothing.
_FUNCTION_BOUNDS = (6, 20_000)
# What a function must mention to be worth a trace of its own.
_INTERESTING = re.compile(
    r"\.fit|fit_transform|backward\(|train_test_split|KFold|ShuffleSplit|cross_val|_score\b|roc_curve|\.step\(|Loss\(|criterion|\.compile\(|"
    r"EarlyStopping|ModelCheckpoint|create_study|cudnn|SearchCV|\.sample\(|resample|default_rng|random_split|\.predict|evaluate|\.eval\(|DataLoader"
)
_TEST_FOLDER = re.compile(r"(^|/)(tests?|testing|docs?)/|(^|/)conftest\.py$")
_TEST_FILE = re.compile(r"(^|/)(test_[^/]*|[^/]*_test)\.py$")


@dataclass
class Analysis:
    """Traces of some entry points, what could not be read, and which functions and other files were entered on the way."""

    traces: list[Trace] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    entered: frozenset[tuple[str, int, int]] = frozenset()
    visited: frozenset[str] = frozenset()


def analyse(project: Project, units: Sequence[SourceUnit], options: Mapping[str, object] | None = None) -> Analysis:
    """Traces of all entry points of these units."""
    first = programs(project, units, options)
    second = functions(project, units, first.entered, options)
    return Analysis(
        first.traces + second.traces,
        list(dict.fromkeys(first.problems + second.problems)),
        first.entered | second.entered,
        first.visited | second.visited,
    )


def programs(project: Project, units: Sequence[SourceUnit], options: Mapping[str, object] | None = None) -> Analysis:
    """Traces of scripts and notebooks among the units; for a module that is no program, of the scripts that drive it."""
    gathered = _Gathering(project, dict(options or {}))
    done: set[Path] = set()
    with declared_roles(gathered.roles):
        for unit in units:
            module = gathered.module(unit)
            if module is None:
                continue
            if _is_program(module):
                gathered.program(module, done)
            elif len(units) == 1:
                for driver in project.drivers(module):
                    gathered.program(driver, done)
    return gathered.analysis()


def functions(
    project: Project,
    units: Sequence[SourceUnit],
    entered: Iterable[tuple[str, int, int]],
    options: Mapping[str, object] | None = None,
) -> Analysis:
    """Traces of functions and methods that nothing entered, with parameters of unknown role."""
    gathered = _Gathering(project, dict(options or {}))
    gathered.entered |= set(entered)
    with declared_roles(gathered.roles):
        for unit in units:
            module = gathered.module(unit)
            if module is not None:
                gathered.uncalled(module)
    return gathered.analysis()


def spans(unit: SourceUnit, sites: Iterable[Site]) -> dict[Site, tuple[int, int]]:
    """Offsets [start, end) in the unit's text of sites of this unit."""
    return _spans.spans(at_hand(unit), sites)


def _is_test(module: Module, root: Path) -> bool:
    """Whether a module is a test or documentation: by its folder, or by a test's name when it also defines tests.

    `evaluate_on_test.py` is a program about test data, not a test.
    """
    path = module.path.relative_to(root).as_posix() if root in module.path.parents else module.path.name
    if _TEST_FOLDER.search(path):
        return True
    defines = any(chunk.name.startswith(("test", "Test")) for chunk in module.skeleton.chunks)
    return bool(_TEST_FILE.search(path)) and (defines or not module.skeleton.imports.isdisjoint({"pytest", "unittest"}))


def _is_program(module: Module) -> bool:
    """A notebook, a module with a main guard, or one whose top level does more than define."""
    skeleton = module.skeleton
    return bool(skeleton.chunks) and (module.unit.kind == "notebook" or skeleton.has_main or skeleton.top_level_calls)


class _Gathering:
    """Runs entry points of one project and collects what they give."""

    def __init__(self, project: Project, options: dict[str, object]) -> None:
        self.project, self.options = project, options
        self.traces: list[Trace] = []
        self.problems: list[Problem] = []
        self.entered: set[tuple[str, int, int]] = set()
        self.visited: set[str] = set()

    @property
    def roles(self) -> dict[str, str]:
        """Roles of variables by the configuration."""
        return self.options.get("roles", {})  # type: ignore[return-value]

    def analysis(self) -> Analysis:
        """What was gathered."""
        return Analysis(self.traces, list(dict.fromkeys(self.problems)), frozenset(self.entered), frozenset(self.visited))

    def module(self, unit: SourceUnit) -> Module | None:
        """The module of a unit that needs interpretation; None for one that no catalogued library reaches."""
        module = self.project.overlay(unit) if unit.path.startswith("<") else self.project.adopt(unit)
        if unit.skipped:
            return None
        if not module.imports_catalogued and not self.project.reaches_catalog(module, _DRIVEN):
            self.problems.extend(module.syntax_problems)
            return None
        self.problems.extend(module.skeleton.problems)
        return module

    # -- programs ------------------------------------------------------------------------------------------------

    def program(self, module: Module, done: set[Path]) -> None:
        """Interpret a module as a program."""
        if module.path in done:
            return
        done.add(module.path)
        run = Run(self.project, study=self.options)
        run.run_program(module)
        entry = "notebook" if module.unit.kind == "notebook" else "script"
        self._keep(run, module, entry, "")

    def _keep(self, run: Run, module: Module, entry: str, name: str) -> None:
        self.entered |= run.entered
        for path in run.visited:
            other = self.project.module(path)
            self.visited.add(other.unit.path)
            self.problems.extend(other.skeleton.problems)
        self.visited |= self.project.consulted(module.path)
        if not run.events:
            return
        self.traces.append(
            Trace(
                events=list(run.events),
                entry=entry,
                path=module.unit.path,
                name=name,
                resolved=not run.exhausted,
                test_or_docs=_is_test(module, self.project.root),
                imports=frozenset(run.imports),
                project_baselines=self._baselines(run, entry),
                tested_elsewhere=self._tested_elsewhere(run, module, entry),
                ended=dict(run.ended),
                options=self.options,
            )
        )

    def _baselines(self, run: Run, entry: str) -> bool | None:
        """Whether the project has a conventional model, asked only for programs that train a network."""
        if entry == "function" or not any(
            isinstance(e, Step) or isinstance(e, Fit) and e.role == "estimator.deep" for e in run.events
        ):
            return None
        self.visited |= {str(path) for path in self.project.files}
        return self.project.baselines

    def _tested_elsewhere(self, run: Run, module: Module, entry: str) -> bool:
        """Whether another program of the project scores stored models on a test part, asked only for programs that choose."""
        if entry == "function" or not any(isinstance(e, Select) for e in run.events):
            return False
        self.visited |= {str(path) for path in self.project.files}
        others = self.project.tests_of_models - {module.path, *run.visited}
        small = (
            len(self.project.files) <= _ONE_STUDY
        )  # as against a collection of programs that have nothing to do with each other
        return any(small or path.parent == module.path.parent for path in others)

    # -- what nothing calls --------------------------------------------------------------------------------------

    def uncalled(self, module: Module) -> None:
        """Interpret functions and classes of a module that no program entered, each from the state that its import left."""
        skeleton = module.skeleton
        if _is_test(module, self.project.root):
            return  # tests call what they test with data of their own making
        todo = [
            (chunk, statement)
            for chunk in skeleton.chunks
            if chunk.name and _INTERESTING.search(chunk.text)
            for statement in skeleton.lowered(chunk)
            if isinstance(statement, ir.ClassDef)
            or (isinstance(statement, ir.FunctionDef) and not self._was_entered(module, statement))
        ]
        if not todo:
            return
        run = Run(self.project, *_FUNCTION_BOUNDS, self.options)
        try:
            run.run_module(module)
        except (OutOfBudget, RecursionError):
            run.exhausted = True
        for chunk, statement in todo:
            if isinstance(statement, ir.ClassDef):
                self._methods(run, module, statement, chunk.text)
            elif isinstance(statement, ir.FunctionDef):
                self._function(run, module, statement.name)

    def _was_entered(self, module: Module, node: ir.FunctionDef) -> bool:
        return (str(module.path), node.st, node.id) in self.entered

    def _function(self, run: Run, module: Module, name: str) -> None:
        with run.excursion():
            try:
                func = run.member(module, name)
                if isinstance(func, Func):
                    _invoke(run, func, None)
            except (OutOfBudget, RecursionError):
                run.exhausted = True
            self._keep(run, module, "function", name)

    def _methods(self, run: Run, module: Module, node: ir.ClassDef, text: str) -> None:
        methods = [
            s
            for s in node.body
            if isinstance(s, ir.FunctionDef)
            and not s.name.startswith("__")
            and not self._was_entered(module, s)
            and _INTERESTING.search(_method_text(text, s.name))
        ]
        if not methods:
            return
        with run.excursion():
            try:
                klass = run.member(module, node.name)
                if not isinstance(klass, Klass):
                    return
                receiver = _instance(run, klass)
            except (OutOfBudget, RecursionError):
                return
            for method in methods[:40]:
                with run.excursion():
                    try:
                        found = klass.lookup(method.name)
                        member = run.force(found[1], found[0].members, method.name) if found else None
                        if isinstance(member, Func) and (str(module.path), method.st, method.id) not in run.entered:
                            _invoke(run, member, None if "staticmethod" in member.wrappers else receiver)
                    except (OutOfBudget, RecursionError):
                        run.exhausted = True
                    self._keep(run, module, "function", f"{node.name}.{method.name}")


def _method_text(text: str, name: str) -> str:
    """Source of a method inside the source of its class, up to the next method."""
    start = re.search(rf"\bdef {re.escape(name)}\b", text)
    if start is None:
        return text
    end = re.search(r"\n[ \t]+(?:async )?def ", text[start.end() :])
    return text[start.start() : start.end() + end.start()] if end else text[start.start() :]


def _parameters(run: Run, func: Func, skip: int) -> Call:
    """Arguments of unknown role: each parameter is a source of its own, named as the program names it."""
    env: dict[str, Value] = {}
    for param in func.node.params.items[skip:]:
        if param.kind in ("*", "**") or param.default is not None:
            continue
        env[param.name] = Array(
            kind="param", name=param.name, rows=source((run.frames[-1].module.unit.path, func.name, param.name), param.name)
        )
    return Call(func.node, [], env)  # type: ignore[arg-type]


def _enter(run: Run, module: Module) -> None:
    env = run.run_module(module)
    run.frames.append(Frame(module, env, env))


def _invoke(run: Run, func: Func, receiver: Value | None) -> None:
    _enter(run, func.module)
    try:
        result = run.inline(func, _parameters(run, func, 0 if receiver is None else 1), receiver)
        run.report(func.node, [result], "return")
    finally:
        run.frames.pop()


def _instance(run: Run, klass: Klass) -> Value:
    _enter(run, klass.module)
    try:
        found = klass.lookup("__init__")
        member = run.force(found[1], found[0].members, "__init__") if found else None
        call = _parameters(run, member, 1) if isinstance(member, Func) else Call(klass.node, [], {})  # type: ignore[arg-type]
        made = run.instantiate(klass, call)
        if isinstance(made, Obj) and made.is_a("module"):
            made.cells["#mode"] = "unknown"
        return made
    except (OutOfBudget, RecursionError):
        return Obj(Subject(api=klass.name, role="object", at=Site(klass.module.unit.path, klass.node.st, klass.node.id)), klass)
    finally:
        run.frames.pop()
