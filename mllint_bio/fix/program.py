"""A source unit as statements and names with their offsets, and the edits that every remedy is made of.

The dataflow here is that of names within one block: enough to see that a rewriting is safe, or that it is not known to be.
"""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

from mllint_bio.findings import Edit
from mllint_bio.sources import SourceUnit

Function = ast.FunctionDef | ast.AsyncFunctionDef
Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef
_BLOCKS = ("body", "orelse", "finalbody")
# Statements among the imports that neither draw nor load anything.
_SETTINGS = frozenset({"os", "sys", "warnings", "matplotlib", "logging", "sns", "plt", "pd", "mpl"})


class Unsafe(Exception):
    """No remedy is safe here; the text says why."""


@lru_cache(maxsize=16)
def program_of(unit: SourceUnit) -> Program:
    """The unit parsed. Raises Unsafe if it cannot be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(unit.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unsafe("the program cannot be parsed") from error
    return Program(unit, tree)


class Program:
    """One unit: nodes by offset, blocks of statements, names."""

    def __init__(self, unit: SourceUnit, tree: ast.Module) -> None:
        self.unit = unit
        self.tree = tree
        self.newline = "\r\n" if "\r\n" in unit.text else "\n"

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node that each node stands in."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def _by_span(self) -> dict[tuple[int, int], ast.expr]:
        found: dict[tuple[int, int], ast.expr] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.expr) and hasattr(node, "lineno"):
                found.setdefault(self.span(node), node)
        return found

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Offsets [start, end) of a node."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        at = self.unit.offset_of_bytes
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        """The source of a node."""
        start, end = self.span(node)
        return self.unit.text[start:end]

    def expression(self, start: int, end: int) -> ast.expr:
        """The outermost expression of exactly this span. Raises Unsafe if there is none."""
        node = self._by_span.get((start, end))
        if node is None:
            raise Unsafe("the place of the finding is no expression")
        return node

    def call(self, start: int, end: int) -> ast.Call:
        """The call of exactly this span. Raises Unsafe if there is none."""
        node = self.expression(start, end)
        if not isinstance(node, ast.Call):
            raise Unsafe("the place of the finding is no call")
        return node

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, from inside out."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def statement(self, node: ast.AST) -> ast.stmt:
        """The innermost statement that holds a node."""
        while not isinstance(node, ast.stmt):
            if node not in self.parents:
                raise Unsafe("the place of the finding is in no statement")
            node = self.parents[node]
        return node

    def block(self, statement: ast.stmt) -> list[ast.stmt]:
        """The list of statements that holds this one."""
        parent = self.parents[statement]
        for name in _BLOCKS:
            block = getattr(parent, name, [])
            if isinstance(block, list) and statement in block:
                return block
        raise Unsafe("the statement stands in no plain block")

    def scope(self, node: ast.AST) -> Scope:
        """The function, or the module, whose names a node uses."""
        for outer in self.above(node):
            if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)):
                return outer
            if isinstance(outer, (ast.Lambda, ast.ClassDef)):
                raise Unsafe("the statement stands in a class body or lambda")
        return self.tree

    @cached_property
    def imports(self) -> dict[str, str]:
        """Names bound by imports anywhere in the unit, with what they stand for."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{'.' * node.level}{node.module or ''}.{alias.name}"
        return found

    @cached_property
    def bound(self) -> frozenset[str]:
        """Every name that the unit binds or reads somewhere."""
        named = {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}
        arguments = {node.arg for node in ast.walk(self.tree) if isinstance(node, ast.arg)}
        defined = {n.name for n in ast.walk(self.tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
        return frozenset(named | arguments | defined | self.imports.keys() | set(dir(builtins)))

    def fresh(self, wanted: str) -> str:
        """A name that the unit does not use."""
        while wanted in self.bound:
            wanted += "_"
        return wanted

    def dotted(self, node: ast.expr) -> str:
        """What a name or attribute stands for by the imports: `np.random.seed` is `numpy.random.seed`; else empty."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.imports:
            return ""
        return ".".join([self.imports[node.id], *reversed(parts)])

    def rewritten(self, node: ast.expr | ast.stmt, new: Mapping[ast.expr, str]) -> str:
        """The source of a node with some of the nodes inside replaced."""
        start, end = self.span(node)
        pieces: list[str] = []
        at = start
        for inner, text in sorted(new.items(), key=lambda item: self.span(item[0])):
            if any(isinstance(outer, ast.JoinedStr) for outer in self.above(inner)):
                raise Unsafe("a name stands in a formatted string")
            first, last = self.span(inner)
            pieces += [self.unit.text[at:first], text]
            at = last
        return "".join([*pieces, self.unit.text[at:end]])

    def definition(self, name: ast.expr, before: ast.AST) -> ast.expr:
        """The value of the only assignment to a name in its scope. Raises Unsafe if there is not exactly one."""
        if not isinstance(name, ast.Name):
            raise Unsafe("the object has no name")
        scope = self.scope(before)
        for place in dict.fromkeys((scope, self.tree)):
            binders = [s for s in statements(place) if name.id in stored(s)]
            if binders:
                only = binders[0]
                if len(binders) > 1 or not isinstance(only, ast.Assign) or len(only.targets) > 1:
                    break
                if not isinstance(only.targets[0], ast.Name):
                    break
                return only.value
            if isinstance(place, (ast.FunctionDef, ast.AsyncFunctionDef)) and name.id in parameters(place):
                break
        raise Unsafe(f"it is not plain where `{name.id}` comes from")

    # Edits

    def replace(self, node: ast.expr | ast.stmt, text: str) -> Edit:
        """Put other text in the place of a node."""
        return Edit(self.unit.path, *self.span(node), text)

    def remove(self, statement: ast.stmt) -> Edit:
        """Take a statement away, with its line; a comment behind it stays."""
        start, end = self.span(statement)
        self._alone(statement)
        text = self.unit.text
        line = self.unit.line_start(start)
        rest = re.compile(r"[ \t]*").match(text, end)
        assert rest is not None
        if text.startswith("#", rest.end()):
            return Edit(self.unit.path, start, rest.end(), "")
        stop = rest.end()
        if text.startswith("\r\n", stop):
            stop += 2
        elif stop < len(text):
            stop += 1
        cell = self.unit.cell_at(start)
        if cell is not None and stop > cell.end:
            stop = cell.end
        return Edit(self.unit.path, line, stop, "")

    def before(self, statement: ast.stmt, lines: Sequence[str]) -> Edit:
        """Put lines in front of a statement, at its indentation."""
        start, _ = self.span(statement)
        indent = self._alone(statement)
        return Edit(self.unit.path, start, start, "".join(f"{line}{self.newline}{indent}" for line in lines))

    def after(self, statement: ast.stmt, lines: Sequence[str]) -> Edit:
        """Put lines behind a statement and the comment on its last line, at its indentation."""
        _, end = self.span(statement)
        indent = self._alone(statement)
        stop = re.compile(r"[^\r\n]*").match(self.unit.text, end)
        assert stop is not None
        return Edit(self.unit.path, stop.end(), stop.end(), "".join(f"{self.newline}{indent}{line}" for line in lines))

    def _alone(self, statement: ast.stmt) -> str:
        """The indentation of a statement that has its lines for itself. Raises Unsafe if it has not."""
        start, end = self.span(statement)
        line = self.unit.line_start(start)
        indent = self.unit.text[line:start]
        if indent.strip() or not re.compile(r"[ \t]*(#[^\r\n]*)?(\r|\n|\Z)").match(self.unit.text, end):
            raise Unsafe("another statement stands on the same line")
        if self.unit.removed.get(self.unit.line_index(start)):
            raise Unsafe("the statement is run by an IPython magic")
        return indent

    @cached_property
    def _last_import(self) -> ast.stmt | None:
        last: ast.stmt | None = None
        for number, statement in enumerate(self.tree.body):
            if isinstance(statement, (ast.Import, ast.ImportFrom)) or _imports_only(statement):
                last = statement
            elif not (_docstring(statement) and number == 0) and not self._harmless(statement):
                break
        return last

    @staticmethod
    def _harmless(statement: ast.stmt) -> bool:
        if isinstance(statement, ast.Pass) or _docstring(statement):
            return True
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            return _root(statement.value.func) in _SETTINGS
        return isinstance(statement, ast.Assign) and all(
            isinstance(target, (ast.Subscript, ast.Attribute))
            and _root(target) in _SETTINGS
            or isinstance(target, ast.Name)
            and target.id.startswith("__")
            for target in statement.targets
        )

    def after_imports(self, lines: Sequence[str]) -> Edit:
        """Put lines behind the imports at the start of the unit."""
        if self._last_import is not None:
            return self.after(self._last_import, lines)
        rest = [s for s in self.tree.body if not _docstring(s)]
        if not rest:
            raise Unsafe("there is no statement")
        first = rest[0]
        if isinstance(first, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and first.decorator_list:
            start = self.unit.line_start(self.span(first.decorator_list[0])[0])
            return Edit(self.unit.path, start, start, "".join(line + self.newline for line in lines))
        return self.before(first, lines)

    def imported(self, module: str, name: str = "") -> str | None:
        """How the code behind the imports at the start can say `module` (or `module.name`), if it can."""
        for statement in self.tree.body if self._last_import else ():
            for alias, full in _bindings(statement):
                if full == f"{module}.{name}" or (not name and full == module):
                    return alias
                if name and full == module:
                    return f"{alias}.{name}"
            if statement is self._last_import:
                break
        return None

    def importing(self, module: str, name: str = "", alias: str = "") -> tuple[str, list[str]]:
        """How to say a module, or a name of it, and the import lines that this still needs."""
        known = self.imported(module, name)
        if known is not None:
            return known, []
        wanted = alias or name or module
        taken = self.imports.get(wanted)
        if wanted in self.bound and taken != (f"{module}.{name}" if name else module):
            short = self.fresh(f"{wanted}_")
            return short, [f"from {module} import {name} as {short}" if name else f"import {module} as {short}"]
        if name:
            return wanted, [f"from {module} import {name}"]
        return wanted, [f"import {module}" + (f" as {alias}" if alias else "")]


def statements(scope: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a scope without those of the functions and classes inside."""
    for name in _BLOCKS:
        for statement in getattr(scope, name, []):
            yield statement
            if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield from statements(statement)
    for handler in getattr(scope, "handlers", []):
        yield from statements(handler)
    for case in getattr(scope, "cases", []):
        yield from statements(case)


def stored(statement: ast.AST) -> set[str]:
    """Names that a statement itself binds (not those of statements inside)."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    found: set[str] = set()
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.split(".")[0])
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            found.update(node.names)
        stack += [child for child in ast.iter_child_nodes(node) if node is statement or not isinstance(child, ast.stmt)]
        if node is statement:
            stack = [child for child in stack if not isinstance(child, ast.stmt)]
    return found


def stored_within(node: ast.AST) -> set[str]:
    """Names that a statement and all statements inside bind."""
    return {name for inner in ast.walk(node) if isinstance(inner, ast.stmt) for name in stored(inner)}


def read(node: ast.AST) -> set[str]:
    """Names that are read inside a node."""
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load)}


def parameters(function: Function) -> set[str]:
    """The names of a function's parameters."""
    return {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}


def same(one: ast.AST, other: ast.AST) -> bool:
    """Whether two expressions are written alike."""
    return key(one) == key(other)


def key(node: ast.AST) -> str:
    """An expression without its formatting, and whether or not it is assigned to."""
    return re.sub(r"ctx=(Load|Store)\(\)", "", ast.dump(node))


def _docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _imports_only(statement: ast.stmt) -> bool:
    """`try: import ... except ImportError: ...` and `if ...: import ...`."""
    if not isinstance(statement, (ast.Try, ast.If)):
        return False
    return any(isinstance(inner, (ast.Import, ast.ImportFrom)) for inner in statement.body) and all(
        isinstance(inner, (ast.Import, ast.ImportFrom, ast.Assign, ast.Pass)) for inner in statement.body
    )


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield alias.asname or alias.name.split(".")[0], alias.name if alias.asname else alias.name.split(".")[0]
    elif isinstance(statement, ast.ImportFrom) and not statement.level:
        for alias in statement.names:
            yield alias.asname or alias.name, f"{statement.module}.{alias.name}"
