"""Statements between a fit and the split: which of them move behind the split, and how they read there."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mllint_bio.findings import Edit
from mllint_bio.fix.program import Program, Unsafe, key, parameters, read, stored, stored_within
from mllint_bio.fix.roles import Part, Reader, Role


@dataclass
class Moved:
    """A statement that moves. target: what it binds if it makes rows, else empty (then it is state)."""

    statement: ast.stmt
    value: ast.expr
    target: ast.expr | None = None


@dataclass
class Chain:
    """The statements from a fit to the split that depend on each other, in order.

    source: the rows that went in; current: the expression that holds the rows that come out; keeps_shape: whether what is fitted
    keeps the columns; tables: names of the rows that the statements made; left: edits of what stays before the split.
    """

    program: Program
    reader: Reader
    source: ast.expr
    keeps_shape: bool = False
    moved: list[Moved] = field(default_factory=list)
    tables: set[str] = field(default_factory=set)
    left: list[Edit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.current = self.source
        self.reader.rows.add(key(self.source))

    def follow(self, between: Sequence[ast.stmt]) -> None:
        """Take the statements from the fit to before the split. Raises Unsafe if one can neither be moved nor stay."""
        stay: list[ast.stmt] = []
        for statement in between:
            if statement is between[0] or self._depends(statement):
                self._take(statement)
            else:
                if stored_within(statement) & (self.tables | self.reader.states):
                    raise Unsafe("a name is bound again before the split")
                stay.append(statement)
        for moved in self.moved:
            later = [statement for statement in stay if self.program.span(statement) > self.program.span(moved.statement)]
            if (read(moved.statement) | read(self.source)) & {name for statement in later for name in changed(statement)}:
                raise Unsafe("what the statement reads changes before the split")

    def _depends(self, statement: ast.stmt) -> bool:
        if read(statement) & self.reader.states or self.reader.sums_up(statement):
            return True
        if self.keeps_shape and isinstance(statement, ast.Expr) and looks(statement.value):
            return False
        return bool(read(statement) & self.tables) and not self.shape_only(statement)

    def shape_only(self, node: ast.AST) -> bool:
        """Whether the tables are looked at for their shape or columns only."""
        return all(self.only_shape(n) for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in self.tables)

    def only_shape(self, name: ast.Name) -> bool:
        """Whether this is a look at the shape or the columns of a table, which the statements keep."""
        if not isinstance(name.ctx, ast.Load) or not self.keeps_shape:
            return False
        outer = self.program.parents[name]
        if isinstance(outer, ast.Attribute):
            return outer.attr in ("shape", "columns", "index")
        return isinstance(outer, ast.Call) and isinstance(outer.func, ast.Name) and outer.func.id == "len"

    def _take(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Expr):
            fit = isinstance(statement.value, ast.Call) and self.reader.fit_kind(statement.value) in ("fit", "fit_transform")
            if self.reader.role(statement.value) is not Role.STATE and not fit:
                raise Unsafe("it is not known what the statement does")
            self._forget(statement, statement.value)
            self._fitted_names(statement.value)
            return
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            raise Unsafe("the statement is no plain assignment")
        target, value = statement.targets[0], statement.value
        if isinstance(value, ast.Tuple):
            if not isinstance(target, ast.Tuple) or any(self.reader.role(e) is not Role.STATE for e in value.elts):
                raise Unsafe("several values are assigned")
            role = Role.STATE
        else:
            role = self.reader.role(value)
        names = stored(statement)
        if role is Role.STATE:
            if not all(isinstance(n, ast.Name) for n in (target.elts if isinstance(target, ast.Tuple) else [target])):
                raise Unsafe("the state is not bound to a name")
            if names & (self.tables | read(self.source)):
                raise Unsafe("a name is bound again before the split")
            self._forget(statement, value)
            self.reader.states |= names
            return
        if role is not Role.ROWS:
            raise Unsafe("it is not known what the statement makes")
        self._rows(statement, target, value)

    def _forget(self, statement: ast.stmt, value: ast.expr) -> None:
        self._only_rows(value)
        self.moved.append(Moved(statement, value))
        self.left.append(self.program.remove(statement))

    def _rows(self, statement: ast.Assign, target: ast.expr, value: ast.expr) -> None:
        self._only_rows(value)
        if isinstance(target, ast.Subscript):
            if key(target.value) != key(self.current) or not isinstance(target.value, ast.Name):
                raise Unsafe("columns of another table are assigned")
            if self.reader.role(target) is not Role.ROWS:
                raise Unsafe("it is not known what is assigned")
            self.moved.append(Moved(statement, value, target))
            self.left.append(self.program.remove(statement))
            self.tables.add(target.value.id)
        elif isinstance(target, ast.Name):
            if target.id in self.reader.states or key(target) in self.reader.labels:
                raise Unsafe("a name is bound again before the split")
            self.moved.append(Moved(statement, value, target))
            if key(target) == key(self.current):
                self.left.append(self.program.remove(statement))
            else:
                self.left.append(self.program.replace(value, self.program.text(self.current)))
            self.current = target
            self.reader.rows.add(key(self.current))
            self.tables.add(target.id)
        else:
            raise Unsafe("the rows are not bound to a name")
        self._fitted_names(value)
        if isinstance(target, ast.Name):
            self.keeps_shape = self.keeps_shape and self.reader.keeps_columns(value)

    def _fitted_names(self, value: ast.expr) -> None:
        for node in ast.walk(value):
            if isinstance(node, ast.Call) and self.reader.fit_kind(node) in ("fit", "fit_transform"):
                maker = node.func.value if isinstance(node.func, ast.Attribute) else None
                if isinstance(maker, ast.Name):
                    self.reader.states.add(maker.id)

    def _only_rows(self, value: ast.expr) -> None:
        """Nothing of the data may be left in a statement beside the rows that the split divides."""
        stack: list[ast.AST] = [value]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.expr) and key(node) in self.reader.rows:
                continue
            if isinstance(node, ast.Name) and node.id in self.data_names():
                raise Unsafe("the table is read beside the rows")
            stack += ast.iter_child_nodes(node)

    def data_names(self) -> set[str]:
        """Names that stand for rows of the data, in whole or in part."""
        named = read(self.source) | self.tables
        for text in self.reader.labels:
            named |= set(_names_in(text))
        return named - self.program.imports.keys()

    def emitted(self, train: Part, tests: list[Part]) -> list[str]:
        """The moved statements as lines behind the split."""
        lines: list[str] = []
        gone: set[str] = set()  # rows whose part has been bound anew
        for moved in self.moved:
            self._check_free(moved, train, tests)
            if any(isinstance(node, ast.expr) and key(node) in gone for node in ast.walk(moved.value)):
                raise Unsafe("rows are read that another statement has replaced")
            if moved.target is None:
                lines += self._with_objects(self.reader.emit(moved.statement, train, train))
                continue
            made = key(moved.target.value if isinstance(moved.target, ast.Subscript) else moved.target)
            gone = {text for text, name in train.names.items() if text != made and name == train.names[made]} | (gone - {made})
            parts = [train, *tests] if self.reader.train_first(moved.value) else [*tests, train]
            for part in parts:
                if isinstance(moved.target, ast.Subscript):
                    name = part.names[key(moved.target.value)]
                    if not any(line == f"{name} = {name}.copy()" for line in lines):
                        lines.append(f"{name} = {name}.copy()")  # the parts may be views of the table
                    text = f"{self.reader.emit(moved.target, part, train)} = {self.reader.emit(moved.value, part, train)}"
                else:
                    text = f"{part.names[key(moved.target)]} = {self.reader.emit(moved.value, part, train)}"
                lines += self._with_objects(text)
        return lines

    def _with_objects(self, text: str) -> list[str]:
        lines = [*self.reader.prepared, text]
        self.reader.prepared.clear()
        return lines

    @staticmethod
    def _check_free(moved: Moved, train: Part, tests: list[Part]) -> None:
        """Names that the split binds must not be read by a moved statement, unless as the parts that they are."""
        parts = {name for part in (train, *tests) for name in part.names.values()}
        whole = {name for text in train.names for name in _names_in(text)}
        if read(moved.statement) & parts - whole:
            raise Unsafe("the split binds a name that the statement reads")


_LOOKS = frozenset({"head", "tail", "info", "describe", "sample", "hist", "boxplot"})


def looks(node: ast.expr) -> bool:
    """Whether an expression only shows a table: `X.head()`, `display(X)`, or `X` at the end of a notebook cell."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            return node.func.attr in _LOOKS and isinstance(node.func.value, ast.Name)
        return isinstance(node.func, ast.Name) and node.func.id == "display" and all(isinstance(a, ast.Name) for a in node.args)
    return isinstance(node, ast.Name)


def changed(statement: ast.stmt) -> set[str]:
    """Names that a statement binds, and those whose value it may change in place."""
    found = stored_within(statement)
    for node in ast.walk(statement):
        if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
            found |= read(node.value)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and not looks(node.value):
            if not (isinstance(node.value.func, ast.Name) and node.value.func.id == "print"):
                found |= read(node.value)
        elif isinstance(node, ast.keyword) and node.arg in ("inplace", "out"):
            found |= read(statement)
    return found


def unread_later(program: Program, first: ast.stmt, names: set[str], after: int, allowed: Callable[[ast.Name], bool]) -> None:
    """Raise Unsafe if one of the names is read behind an offset, or by a function inside, other than in an allowed way: it stands
    for other rows now."""
    scope = program.scope(first)
    for node in ast.walk(scope):
        if not isinstance(node, ast.Name) or node.id not in names or not isinstance(node.ctx, ast.Load):
            continue
        inner = next((n for n in program.above(node) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))), None)
        nested = inner is not None and inner is not scope
        if nested and inner is not None and node.id in parameters(inner) | _stored_in(inner):
            continue  # another name
        if (nested or program.span(node)[0] >= after) and not allowed(node):
            raise Unsafe("the table is used behind the split as well")


def _stored_in(function: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _names_in(text: str) -> list[str]:
    """Names in an expression's key (see `program.key`)."""
    return re.findall(r"Name\(id='(\w+)'", text)
