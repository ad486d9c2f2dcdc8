"""Light changes to the project's own code as it is compiled: marks, limits of training loops, and links between rows.

Three calls are put into the syntax tree; a program cannot tell otherwise that they are there:

    __mllint_mark__(k)                  the statement of `Guide.marks[k]` is executed
    __mllint_limit__(kind, iterable)    what a training loop goes over, cut off when the job's limit is reached
    __mllint_made__(value, operands)    a value and what it was computed from, returned as it is

They are looked up among the builtins, so that no namespace of the program's changes. Files below the project's root are changed,
libraries never; what cannot be changed is compiled as it stands.
"""

from __future__ import annotations

import ast
import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

from mllint_bio.observe import places
from mllint_bio.observe.job import Guide, Limits

_MARK, _LIMIT, _MADE, _ATTRIBUTE = "__mllint_mark__", "__mllint_limit__", "__mllint_made__", "__mllint_attribute__"
_MAX_OPERANDS = 8
_PLAIN = (int, float, bool, str, bytes, type(None), dict, ModuleType)  # values without rows, told apart before anything else

# What may leave part of an expression unevaluated, or evaluates it elsewhere.
_DOUBTFUL = (
    ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom,
    ast.IfExp, ast.BoolOp, ast.JoinedStr,
)  # fmt: skip
_COMPUTED = (ast.BinOp, ast.UnaryOp, ast.Subscript, ast.Call)
_CONTROL = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match, ast.FunctionDef, ast.AsyncFunctionDef,
    ast.ClassDef, ast.Return, ast.Raise, ast.Break, ast.Continue,
)  # fmt: skip


@dataclass(frozen=True)
class Hooks:
    """What the program calls back. mark: a marked statement runs; made: a value was computed from these operands; steps:
    optimizer steps so far."""

    mark: Callable[[int], None] = lambda number: None
    made: Callable[[Any, Sequence[Any]], Any] = lambda value, operands: value
    steps: Callable[[], int] = lambda: 0


# -- the calls -----------------------------------------------------------------------------------------------------------


def set_hooks(hooks: Hooks, limits: Limits) -> None:
    """Put the three calls among the builtins."""
    training = _Training(hooks.steps, limits)
    mark, made = hooks.mark, hooks.made

    def made_from(value: Any, operands: Sequence[Any]) -> Any:
        if not isinstance(value, _PLAIN):
            try:
                made(value, operands)
            except Exception:  # the program must not fail for our sake: rows of this value stay unknown
                return value
        return value

    def marked(number: int) -> None:
        try:
            mark(number)
        except Exception:
            return

    namespace = vars(builtins)
    namespace.update({_MARK: marked, _LIMIT: training.limited, _MADE: made_from, _ATTRIBUTE: _attribute})


def _attribute(value: Any, name: str) -> Any:
    """An instance's own attribute, without running properties or `__getattr__`, which would be the program's code."""
    try:
        return object.__getattribute__(value, "__dict__").get(name)
    except Exception:
        return None


class _Training:
    """Ends training loops. Steps are counted from the start of the outermost loop, so that each of several trainings (folds,
    seeds) gets its share, and a loop always makes its first pass: code behind it may use its variables."""

    def __init__(self, steps: Callable[[], int], limits: Limits) -> None:
        self.steps = steps
        self.limits = limits
        self.local = threading.local()

    def limited(self, kind: str, iterable: Iterable[Any]) -> Iterator[Any]:
        return self._passes(kind, iter(iterable))

    def _passes(self, kind: str, iterator: Iterator[Any]) -> Iterator[Any]:
        depth = getattr(self.local, "depth", 0)
        if depth == 0:
            self.local.base = self.steps()
        self.local.depth = depth + 1
        passes = 0
        try:
            while not (passes and self._over(kind, passes)):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                passes += 1
                yield item
        finally:
            self.local.depth = depth

    def _over(self, kind: str, passes: int) -> bool:
        epochs, steps = self.limits.epochs, self.limits.steps
        if kind == "epoch" and epochs is not None and passes >= epochs:
            return True
        return steps is not None and self.steps() - int(self.local.base) >= steps


# -- the tree ------------------------------------------------------------------------------------------------------------


class Instrumenter:
    """Changes syntax trees as a job asks for it."""

    def __init__(self, guide: Guide, limits: Limits) -> None:
        self._marks: dict[str, dict[int, int]] = {}
        for number, (path, line) in enumerate(guide.marks):
            self._marks.setdefault(path, {})[line] = number
        self._loops: dict[str, dict[int, str]] = {}
        for kind, loops, bounded in (
            ("batch", guide.batches, limits.steps is not None),
            ("epoch", guide.epochs, limits.steps is not None or limits.epochs is not None),
        ):
            for path, line in loops if bounded else ():
                self._loops.setdefault(path, {})[line] = kind

    def change(self, tree: ast.Module, path: str, before: int = 0, *, links: bool = True, shows_last: bool = False) -> ast.Module:
        """Change a tree in place. `before` lines of the unit precede its first line; links: with `__mllint_made__`; shows_last:
        the value of a last expression is shown (a notebook's cell), so it stays last."""
        change = _Change(dict(self._marks.get(path, {})), self._loops.get(path, {}), before, links)
        change.statements(tree.body, first=True, shows_last=shows_last)
        return ast.fix_missing_locations(tree)


class _Change:
    def __init__(self, marks: dict[int, int], loops: dict[int, str], before: int, links: bool) -> None:
        self.marks = marks
        self.loops = loops
        self.before = before
        self.links = links

    def statements(self, body: list[ast.stmt], *, first: bool = False, shows_last: bool = False) -> None:
        changed: list[ast.stmt] = []
        for statement in body:
            mark = self._mark_of(statement)
            first = first and _is_prologue(statement)
            self._statement(statement)
            if mark is None or first:
                changed.append(statement)
            elif (
                isinstance(statement, _CONTROL)
                or type(statement).__name__ == "TryStar"  # Python 3.11
                or (shows_last and statement is body[-1])
            ):
                changed += [mark, statement]
            else:
                changed += [statement, mark]
        body[:] = changed

    def _mark_of(self, statement: ast.stmt) -> ast.stmt | None:
        if not self.marks:
            return None
        decorators = getattr(statement, "decorator_list", ())
        lines = {statement.lineno, *(decorator.lineno for decorator in decorators)}
        number = next((self.marks.pop(line + self.before) for line in sorted(lines) if line + self.before in self.marks), None)
        if number is None:
            return None
        call = _call(statement, _MARK, ast.Constant(number))
        return ast.copy_location(ast.Expr(call), statement)

    def _statement(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.For):
            kind = self.loops.get(statement.lineno + self.before)
            if kind is not None:
                statement.iter = _call(statement.iter, _LIMIT, ast.Constant(kind), statement.iter)
        if self.links:
            if isinstance(statement, (ast.Assign, ast.Return)) and statement.value is not None:
                statement.value = self._linked(statement.value)
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                self._link_arguments(statement.value)
        for field in ("body", "orelse", "finalbody"):
            inner = getattr(statement, field, None)
            if inner:
                self.statements(inner)
        for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            self.statements(part.body)

    def _linked(self, value: ast.expr) -> ast.expr:
        operands = _operands(value)
        if isinstance(value, ast.Call):
            self._link_arguments(value)
        return _made(value, operands) if operands else value

    def _link_arguments(self, call: ast.Call) -> None:
        """`fit(np.log1p(X))`, `fit(X[train])`: what is computed on the way into a call has no name to be seen by."""
        if isinstance(call.func, ast.Name) and call.func.id in ("super", "locals", "print", "len", "range", "open", "isinstance"):
            return
        for index, argument in enumerate(call.args):
            operands = _operands(argument)
            if operands:
                call.args[index] = _made(argument, operands)
        for keyword in call.keywords:
            if keyword.arg is not None and (operands := _operands(keyword.value)):
                keyword.value = _made(keyword.value, operands)


def _is_prologue(statement: ast.stmt) -> bool:
    """Whether it is a module's docstring or `from __future__`, in front of which and between which nothing may stand."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__"
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _operands(value: ast.expr) -> list[ast.expr]:
    """Expressions for the names (and plain attributes) that are certainly read when `value` is computed; none if in doubt."""
    if not isinstance(value, _COMPUTED):
        return []
    found: dict[str, ast.expr] = {}
    callees: set[int] = set()
    stack: list[ast.AST] = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, _DOUBTFUL) or (isinstance(node, ast.Compare) and len(node.ops) > 1):
            return []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("locals", "vars", "super", "exec", "eval"):
                return []
            callees.add(id(node.func))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            text = f"{node.value.id}.{node.attr}"
            found.setdefault(text, _call(node, _ATTRIBUTE, ast.Name(node.value.id, ast.Load()), ast.Constant(node.attr)))
        if isinstance(node, ast.Name) and id(node) not in callees:
            found.setdefault(node.id, ast.copy_location(ast.Name(node.id, ast.Load()), node))
        # A stack: what is pushed last is seen first, so that operands come in the order in which they are written.
        stack.extend(reversed(list(ast.iter_child_nodes(node))))
    return list(found.values())[:_MAX_OPERANDS]


def _made(value: ast.expr, operands: list[ast.expr]) -> ast.expr:
    return _call(value, _MADE, value, ast.Tuple(operands, ast.Load()))


def _call(at: ast.AST, name: str, *arguments: ast.expr) -> ast.expr:
    call = ast.Call(ast.Name(name, ast.Load()), list(arguments), [])
    for node in (call, call.func, *arguments):
        if not hasattr(node, "lineno"):
            ast.copy_location(node, at)
    return call


# -- compiling and importing -----------------------------------------------------------------------------------------------

_instrumenter = Instrumenter(Guide(), Limits())
_after: dict[str, Callable[[ModuleType], None]] = {}


def install(guide: Guide, limits: Limits, hooks: Hooks) -> None:
    """From now on the project's modules are changed as they are imported."""
    global _instrumenter
    _instrumenter = Instrumenter(guide, limits)
    set_hooks(hooks, limits)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def instrumenter() -> Instrumenter:
    """What `install` set up, for code that is compiled elsewhere (a notebook's cells)."""
    return _instrumenter


def compiled(source: bytes, path: str) -> CodeType:
    """Code of a file of the project, changed if that is possible. Raises what `compile` raises for the file as it stands."""
    name = places.relative(path)
    if name is not None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # once is enough; compiling the tree warns again
                tree = ast.parse(source, path)
            # Numba compiles bytecode and knows nothing of our calls.
            tree = _instrumenter.change(tree, name, links=b"numba" not in source)
            return compile(tree, path, "exec", dont_inherit=True)
        except Exception:  # too deep, or something that we did not foresee: the plain code will do
            pass
    return compile(source, path, "exec", dont_inherit=True)


def after_import(name: str, then: Callable[[ModuleType], None]) -> None:
    """Call `then` with a library's module once it has been executed, now if it has been."""
    if name in sys.modules:
        then(sys.modules[name])
    else:
        _after[name] = then


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module of the project from its source: the changed code must never reach a bytecode cache, nor come from one."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return compiled(self.get_data(path), path)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules as they would be found anyway; those of the project come from its copy, with our loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        wanted = fullname in _after
        if path is not None and not wanted and not any(_in_project(entry) for entry in path):
            return None
        spec = self._found(fullname, path, target)
        if spec is None:
            return None
        if wanted and spec.loader is not None:
            _call_after(spec.loader, _after.pop(fullname))
            return spec
        if not spec.has_location or spec.origin is None or places.relative(spec.origin) is None:
            return None
        return _own(spec)

    def _found(self, fullname: str, path: Any, target: Any) -> importlib.machinery.ModuleSpec | None:
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    return spec
        return None


def _own(spec: importlib.machinery.ModuleSpec) -> importlib.machinery.ModuleSpec | None:
    """The same module, from the scratch copy and with our loader; None if it is no plain source file."""
    assert spec.origin is not None
    if type(spec.loader) is not importlib.machinery.SourceFileLoader:
        return None
    origin = places.own(spec.origin)
    if not os.path.exists(origin):
        return None
    folders = spec.submodule_search_locations
    return importlib.util.spec_from_file_location(
        spec.name,
        origin,
        loader=_Loader(spec.name, origin),
        submodule_search_locations=None if folders is None else [places.own(folder) for folder in folders],
    )


def _in_project(folder: str) -> bool:
    return any(os.path.join(folder, "").startswith(prefix) for prefix in places.prefixes())


def _call_after(loader: Any, then: Callable[[ModuleType], None]) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        then(module)

    loader.exec_module = exec_module
