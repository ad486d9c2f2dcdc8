"""The program as the interpreter reads it: a small tree of nodes, lowered once from LibCST.

A node knows its place by two numbers: `st`, the chunk of the unit that it was parsed from, and `id`, its preorder number in that
chunk. `mllint_bio.predict.spans` turns the pair into offsets when a finding needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Node:
    """Base of all nodes. Fields are in `__slots__` order of the subclass."""

    __slots__ = ("id", "st")
    id: int
    st: int

    def __init__(self, *fields: Any) -> None:
        for name, value in zip(self.__slots__, fields, strict=True):
            setattr(self, name, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(getattr(self, n, None)) for n in self.__slots__)})"


class Expr(Node):
    """An expression."""

    __slots__ = ()


class Stmt(Node):
    """A statement."""

    __slots__ = ()


class Name(Expr):
    __slots__ = ("name",)
    name: str


class Constant(Expr):
    __slots__ = ("value",)
    value: Any


class Format(Expr):
    """f-string; `parts` are the text pieces (str) and the expressions."""

    __slots__ = ("parts",)
    parts: list[str | Expr]


class Attribute(Expr):
    __slots__ = ("value", "name")
    value: Expr
    name: str


class Subscript(Expr):
    __slots__ = ("value", "index")
    value: Expr
    index: list[Expr]


class Slice(Expr):
    __slots__ = ("lower", "upper", "step")
    lower: Expr | None
    upper: Expr | None
    step: Expr | None


class Call(Expr):
    """`args` are (keyword, value): keyword None for positional, `*` and `**` for unpacking."""

    __slots__ = ("func", "args")
    func: Expr
    args: list[tuple[str | None, Expr]]


class Binary(Expr):
    __slots__ = ("left", "op", "right")
    left: Expr
    op: str
    right: Expr


class Boolean(Expr):
    __slots__ = ("left", "op", "right")
    left: Expr
    op: str
    right: Expr


class Unary(Expr):
    __slots__ = ("op", "value")
    op: str
    value: Expr


class Compare(Expr):
    __slots__ = ("left", "rest")
    left: Expr
    rest: list[tuple[str, Expr]]


class IfExp(Expr):
    __slots__ = ("test", "body", "orelse")
    test: Expr
    body: Expr
    orelse: Expr


class Collection(Expr):
    """Tuple, list or set display (`kind`)."""

    __slots__ = ("kind", "items")
    kind: str
    items: list[Expr]


class Starred(Expr):
    __slots__ = ("value",)
    value: Expr


class DictDisplay(Expr):
    """`items` are (key, value); key None for `**value`."""

    __slots__ = ("items",)
    items: list[tuple[Expr | None, Expr]]


class Lambda(Expr):
    __slots__ = ("params", "body")
    params: Params
    body: Expr


class Comprehension(Expr):
    """`kind` is list, set, dict or generator; `value` is the dict value; `loops` are (target, iterable, conditions)."""

    __slots__ = ("kind", "element", "value", "loops")
    kind: str
    element: Expr
    value: Expr | None
    loops: list[tuple[Expr, Expr, list[Expr]]]


class Yield(Expr):
    __slots__ = ("value",)
    value: Expr | None


class Await(Expr):
    __slots__ = ("value",)
    value: Expr


class Walrus(Expr):
    __slots__ = ("target", "value")
    target: Expr
    value: Expr


class Unknown(Expr):
    """An expression that the lowering does not know."""

    __slots__ = ()


class Param(Node):
    """`kind`: positional, keyword, `*` or `**`."""

    __slots__ = ("name", "kind", "default", "annotation")
    name: str
    kind: str
    default: Expr | None
    annotation: Expr | None


class Params(Node):
    __slots__ = ("items",)
    items: list[Param]


class Assign(Stmt):
    __slots__ = ("targets", "value")
    targets: list[Expr]
    value: Expr


class AugAssign(Stmt):
    __slots__ = ("target", "op", "value")
    target: Expr
    op: str
    value: Expr


class AnnAssign(Stmt):
    __slots__ = ("target", "annotation", "value")
    target: Expr
    annotation: Expr
    value: Expr | None


class ExprStmt(Stmt):
    __slots__ = ("value",)
    value: Expr


class Return(Stmt):
    __slots__ = ("value",)
    value: Expr | None


class Raise(Stmt):
    __slots__ = ("value",)
    value: Expr | None


class Delete(Stmt):
    __slots__ = ("targets",)
    targets: list[Expr]


class If(Stmt):
    __slots__ = ("test", "body", "orelse")
    test: Expr
    body: list[Stmt]
    orelse: list[Stmt]


class For(Stmt):
    __slots__ = ("target", "iterable", "body", "orelse")
    target: Expr
    iterable: Expr
    body: list[Stmt]
    orelse: list[Stmt]


class While(Stmt):
    __slots__ = ("test", "body", "orelse")
    test: Expr
    body: list[Stmt]
    orelse: list[Stmt]


class With(Stmt):
    __slots__ = ("items", "body")
    items: list[tuple[Expr, Expr | None]]
    body: list[Stmt]


class Try(Stmt):
    """`handlers` are (type, name, body)."""

    __slots__ = ("body", "handlers", "orelse", "final")
    body: list[Stmt]
    handlers: list[tuple[Expr | None, str | None, list[Stmt]]]
    orelse: list[Stmt]
    final: list[Stmt]


class Match(Stmt):
    """`cases` are (names bound by the pattern, guard, body)."""

    __slots__ = ("subject", "cases")
    subject: Expr
    cases: list[tuple[list[str], Expr | None, list[Stmt]]]


class FunctionDef(Stmt):
    __slots__ = ("name", "params", "body", "decorators", "generator")
    name: str
    params: Params
    body: list[Stmt]
    decorators: list[Expr]
    generator: bool


class ClassDef(Stmt):
    __slots__ = ("name", "bases", "keywords", "body", "decorators")
    name: str
    bases: list[Expr]
    keywords: list[tuple[str | None, Expr]]
    body: list[Stmt]
    decorators: list[Expr]


class Import(Stmt):
    """`names` are (dotted name, alias or None)."""

    __slots__ = ("names",)
    names: list[tuple[str, str | None]]


class ImportFrom(Stmt):
    """`names` None means `*`."""

    __slots__ = ("module", "level", "names")
    module: str
    level: int
    names: list[tuple[str, str | None]] | None


class Global(Stmt):
    __slots__ = ("names",)
    names: list[str]


class Assert(Stmt):
    __slots__ = ("test",)
    test: Expr


class Jump(Stmt):
    """`kind`: break, continue or pass."""

    __slots__ = ("kind",)
    kind: str


def walk(node: Node) -> Iterator[Node]:
    """The node and all nodes below it, in no particular order."""
    stack: list[Any] = [node]
    while stack:
        one = stack.pop()
        if isinstance(one, Node):
            yield one
            stack.extend(getattr(one, name, None) for name in one.__slots__)
        elif isinstance(one, (list, tuple)):
            stack.extend(one)


def dotted_name(node: Expr) -> str:
    """`a.b.c` of an expression, for messages."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Attribute):
        return f"{dotted_name(node.value)}.{node.name}"
    return ""
