"""LibCST tree to interpreter nodes, in one pass over the fields that carry meaning.

This is the only reader of LibCST's node classes beside `spans` and `fix`. It never uses visitors, matchers or metadata: they
rebuild the tree they read (see docs/architecture.md, "Speed").
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

import libcst as cst

from mllint_bio.predict import ir

_BINARY: dict[type, str] = {
    cst.Add: "+",
    cst.Subtract: "-",
    cst.Multiply: "*",
    cst.Divide: "/",
    cst.FloorDivide: "//",
    cst.Modulo: "%",
    cst.Power: "**",
    cst.MatrixMultiply: "@",
    cst.LeftShift: "<<",
    cst.RightShift: ">>",
    cst.BitAnd: "&",
    cst.BitOr: "|",
    cst.BitXor: "^",
    cst.AddAssign: "+",
    cst.SubtractAssign: "-",
    cst.MultiplyAssign: "*",
    cst.DivideAssign: "/",
    cst.FloorDivideAssign: "//",
    cst.ModuloAssign: "%",
    cst.PowerAssign: "**",
    cst.MatrixMultiplyAssign: "@",
    cst.LeftShiftAssign: "<<",
    cst.RightShiftAssign: ">>",
    cst.BitAndAssign: "&",
    cst.BitOrAssign: "|",
    cst.BitXorAssign: "^",
    cst.And: "and",
    cst.Or: "or",
    cst.Not: "not",
    cst.Minus: "-",
    cst.Plus: "+",
    cst.BitInvert: "~",
    cst.Equal: "==",
    cst.NotEqual: "!=",
    cst.LessThan: "<",
    cst.LessThanEqual: "<=",
    cst.GreaterThan: ">",
    cst.GreaterThanEqual: ">=",
    cst.In: "in",
    cst.NotIn: "not in",
    cst.Is: "is",
    cst.IsNot: "is not",
}


def parse(text: str) -> cst.Module:
    """The tree of a text. Raises libcst.ParserSyntaxError.

    LibCST's nodes check themselves when they are made, which is for people who build trees: the parser makes valid ones. Left
    out, this saves a seventh of its time.
    """
    checked = cst.CSTNode.__post_init__
    cst.CSTNode.__post_init__ = _unchecked  # type: ignore[method-assign,assignment]
    try:
        return cst.parse_module(text)
    finally:
        cst.CSTNode.__post_init__ = checked  # type: ignore[method-assign]


def _unchecked(node: cst.CSTNode) -> None:
    pass


class Lowering:
    """Lowers the statements of one chunk; numbers the nodes in the order in which it meets them.

    With `origins`, it also remembers which LibCST node each number came from (for spans).
    """

    def __init__(self, chunk: int, origins: list[cst.CSTNode] | None = None) -> None:
        self._chunk = chunk
        self._count = 0
        self._origins = origins
        self._yields: list[bool] = []

    def module(self, module: cst.Module) -> list[ir.Stmt]:
        """All statements of a parsed chunk."""
        return self._block(module.body)

    # -- plumbing ------------------------------------------------------------------------------------------------

    def _number(self, origin: cst.CSTNode) -> int:
        number = self._count
        self._count += 1
        if self._origins is not None:
            self._origins.append(origin)
        return number

    def _placed(self, node: Any, number: int) -> Any:
        node.id, node.st = number, self._chunk
        return node

    def _block(self, body: Sequence[cst.CSTNode]) -> list[ir.Stmt]:
        found: list[ir.Stmt] = []
        for statement in body:
            if isinstance(statement, cst.SimpleStatementLine):
                found.extend(self._statement(small) for small in statement.body)
            else:
                found.append(self._statement(statement))
        return found

    def _suite(self, suite: cst.BaseSuite) -> list[ir.Stmt]:
        if isinstance(suite, cst.IndentedBlock):
            return self._block(suite.body)
        assert isinstance(suite, cst.SimpleStatementSuite)
        return [self._statement(small) for small in suite.body]

    def _statement(self, node: cst.CSTNode) -> ir.Stmt:
        number = self._number(node)
        lower = _STATEMENTS.get(type(node))
        return self._placed(lower(self, node) if lower else ir.Jump("pass"), number)  # type: ignore[no-any-return]

    def expr(self, node: cst.CSTNode) -> ir.Expr:
        """One expression."""
        number = self._number(node)
        lower = _EXPRESSIONS.get(type(node))
        return self._placed(lower(self, node) if lower else ir.Unknown(), number)  # type: ignore[no-any-return]

    def _maybe(self, node: cst.CSTNode | None) -> ir.Expr | None:
        return None if node is None else self.expr(node)

    # -- expressions ---------------------------------------------------------------------------------------------

    def _name(self, node: cst.Name) -> ir.Expr:
        constant = _NAMED_CONSTANTS.get(node.value, _NAMED_CONSTANTS)
        return ir.Name(node.value) if constant is _NAMED_CONSTANTS else ir.Constant(constant)

    def _number_literal(self, node: Any) -> ir.Expr:
        if node.value.isdecimal():
            return ir.Constant(int(node.value))
        try:
            return ir.Constant(ast.literal_eval(node.value))
        except (ValueError, SyntaxError, MemoryError):
            return ir.Unknown()

    def _string(self, node: cst.SimpleString) -> ir.Expr:
        plain = _PLAIN_STRING.fullmatch(node.value)
        if plain is not None:
            return ir.Constant(plain[1] or plain[2] or "")
        try:
            return ir.Constant(ast.literal_eval(node.value))
        except (ValueError, SyntaxError, MemoryError):
            return ir.Constant("")

    def _joined(self, node: cst.ConcatenatedString) -> ir.Expr:
        left, right = self.expr(node.left), self.expr(node.right)
        if isinstance(left, ir.Constant) and isinstance(right, ir.Constant) and type(left.value) is type(right.value):
            return ir.Constant(left.value + right.value)
        parts: list[str | ir.Expr] = []
        for side in (left, right):
            if isinstance(side, ir.Format):
                parts += side.parts
            elif isinstance(side, ir.Constant) and isinstance(side.value, str):
                parts.append(side.value)
        return ir.Format(parts)

    def _format(self, node: cst.FormattedString) -> ir.Expr:
        parts: list[str | ir.Expr] = []
        for part in node.parts:
            if isinstance(part, cst.FormattedStringExpression):
                parts.append(self.expr(part.expression))
            elif isinstance(part, cst.FormattedStringText):
                parts.append(part.value)
        return ir.Format(parts)

    def _attribute(self, node: cst.Attribute) -> ir.Expr:
        return ir.Attribute(self.expr(node.value), node.attr.value)

    def _subscript(self, node: cst.Subscript) -> ir.Expr:
        value = self.expr(node.value)
        return ir.Subscript(value, [self._index(element.slice) for element in node.slice])

    def _index(self, node: cst.BaseSlice) -> ir.Expr:
        if isinstance(node, cst.Index):
            return self.expr(node.value)
        assert isinstance(node, cst.Slice)
        number = self._number(node)
        return self._placed(ir.Slice(self._maybe(node.lower), self._maybe(node.upper), self._maybe(node.step)), number)  # type: ignore[no-any-return]

    def _call(self, node: cst.Call) -> ir.Expr:
        func = self.expr(node.func)
        args: list[tuple[str | None, ir.Expr]] = []
        for arg in node.args:
            keyword = arg.keyword.value if arg.keyword is not None else (arg.star or None)
            args.append((keyword, self.expr(arg.value)))
        return ir.Call(func, args)

    def _binary(self, node: cst.BinaryOperation) -> ir.Expr:
        return ir.Binary(self.expr(node.left), _BINARY.get(type(node.operator), "?"), self.expr(node.right))

    def _boolean(self, node: cst.BooleanOperation) -> ir.Expr:
        return ir.Boolean(self.expr(node.left), _BINARY[type(node.operator)], self.expr(node.right))

    def _unary(self, node: cst.UnaryOperation) -> ir.Expr:
        operator, value = _BINARY[type(node.operator)], self.expr(node.expression)
        if isinstance(value, ir.Constant) and isinstance(value.value, (int, float)) and operator in "+-":
            return ir.Constant(-value.value if operator == "-" else value.value)
        return ir.Unary(operator, value)

    def _compare(self, node: cst.Comparison) -> ir.Expr:
        left = self.expr(node.left)
        return ir.Compare(left, [(_BINARY.get(type(c.operator), "?"), self.expr(c.comparator)) for c in node.comparisons])

    def _ifexp(self, node: cst.IfExp) -> ir.Expr:
        return ir.IfExp(self.expr(node.test), self.expr(node.body), self.expr(node.orelse))

    def _elements(self, node: Any) -> list[ir.Expr]:
        return [self._element(element) for element in node.elements]

    def _element(self, element: cst.BaseElement) -> ir.Expr:
        if isinstance(element, cst.StarredElement):
            number = self._number(element)
            return self._placed(ir.Starred(self.expr(element.value)), number)  # type: ignore[no-any-return]
        return self.expr(element.value)

    def _dict(self, node: cst.Dict) -> ir.Expr:
        items: list[tuple[ir.Expr | None, ir.Expr]] = []
        for element in node.elements:
            key = self.expr(element.key) if isinstance(element, cst.DictElement) else None
            items.append((key, self.expr(element.value)))
        return ir.DictDisplay(items)

    def _lambda(self, node: cst.Lambda) -> ir.Expr:
        return ir.Lambda(self._params(node.params), self.expr(node.body))

    def _comprehension(self, kind: str, node: Any) -> ir.Expr:
        if kind == "dict":
            element, value = self.expr(node.key), self.expr(node.value)
        else:
            element, value = self.expr(node.elt), None
        loops: list[tuple[ir.Expr, ir.Expr, list[ir.Expr]]] = []
        loop: cst.CompFor | None = node.for_in
        while loop is not None:
            loops.append((self.expr(loop.target), self.expr(loop.iter), [self.expr(condition.test) for condition in loop.ifs]))
            loop = loop.inner_for_in
        return ir.Comprehension(kind, element, value, loops)

    def _yield(self, node: cst.Yield) -> ir.Expr:
        if self._yields:
            self._yields[-1] = True
        value = node.value.item if isinstance(node.value, cst.From) else node.value
        return ir.Yield(self._maybe(value))

    # -- statements ----------------------------------------------------------------------------------------------

    def _params(self, node: cst.Parameters) -> ir.Params:
        number = self._number(node)
        found: list[ir.Param] = []
        for param in (*node.posonly_params, *node.params):
            found.append(self._param(param, "positional"))
        if isinstance(node.star_arg, cst.Param):
            found.append(self._param(node.star_arg, "*"))
        for param in node.kwonly_params:
            found.append(self._param(param, "keyword"))
        if node.star_kwarg is not None:
            found.append(self._param(node.star_kwarg, "**"))
        return self._placed(ir.Params(found), number)  # type: ignore[no-any-return]

    def _param(self, node: cst.Param, kind: str) -> ir.Param:
        number = self._number(node)
        annotation = self.expr(node.annotation.annotation) if node.annotation is not None else None
        return self._placed(ir.Param(node.name.value, kind, self._maybe(node.default), annotation), number)  # type: ignore[no-any-return]

    def _function(self, node: cst.FunctionDef) -> ir.Stmt:
        decorators = [self.expr(d.decorator) for d in node.decorators]
        params = self._params(node.params)
        self._yields.append(False)
        body = self._suite(node.body)
        return ir.FunctionDef(node.name.value, params, body, decorators, self._yields.pop())

    def _class(self, node: cst.ClassDef) -> ir.Stmt:
        decorators = [self.expr(d.decorator) for d in node.decorators]
        bases = [self.expr(arg.value) for arg in node.bases]
        keywords = [(arg.keyword.value if arg.keyword else None, self.expr(arg.value)) for arg in node.keywords]
        return ir.ClassDef(node.name.value, bases, keywords, self._suite(node.body), decorators)

    def _if(self, node: cst.If) -> ir.Stmt:
        test, body = self.expr(node.test), self._suite(node.body)
        orelse: list[ir.Stmt] = []
        if isinstance(node.orelse, cst.If):
            orelse = [self._statement(node.orelse)]
        elif node.orelse is not None:
            orelse = self._suite(node.orelse.body)
        return ir.If(test, body, orelse)

    def _for(self, node: cst.For) -> ir.Stmt:
        target, iterable = self.expr(node.target), self.expr(node.iter)
        return ir.For(target, iterable, self._suite(node.body), self._suite(node.orelse.body) if node.orelse else [])

    def _while(self, node: cst.While) -> ir.Stmt:
        return ir.While(self.expr(node.test), self._suite(node.body), self._suite(node.orelse.body) if node.orelse else [])

    def _with(self, node: cst.With) -> ir.Stmt:
        items = [(self.expr(i.item), self.expr(i.asname.name) if i.asname else None) for i in node.items]
        return ir.With(items, self._suite(node.body))

    def _try(self, node: Any) -> ir.Stmt:
        body = self._suite(node.body)
        handlers: list[tuple[ir.Expr | None, str | None, list[ir.Stmt]]] = []
        for handler in node.handlers:
            kind = self._maybe(handler.type)
            name = handler.name.name.value if handler.name is not None and isinstance(handler.name.name, cst.Name) else None
            handlers.append((kind, name, self._suite(handler.body)))
        orelse = self._suite(node.orelse.body) if node.orelse else []
        return ir.Try(body, handlers, orelse, self._suite(node.finalbody.body) if node.finalbody else [])

    def _match(self, node: cst.Match) -> ir.Stmt:
        subject = self.expr(node.subject)
        cases = [(_captures(c.pattern), self._maybe(c.guard), self._suite(c.body)) for c in node.cases]
        return ir.Match(subject, cases)

    def _assign(self, node: cst.Assign) -> ir.Stmt:
        targets = [self.expr(t.target) for t in node.targets]
        return ir.Assign(targets, self.expr(node.value))

    def _augmented(self, node: cst.AugAssign) -> ir.Stmt:
        return ir.AugAssign(self.expr(node.target), _BINARY.get(type(node.operator), "?"), self.expr(node.value))

    def _annotated(self, node: cst.AnnAssign) -> ir.Stmt:
        return ir.AnnAssign(self.expr(node.target), self.expr(node.annotation.annotation), self._maybe(node.value))

    def _import(self, node: cst.Import) -> ir.Stmt:
        return ir.Import([(dotted(a.name), _alias(a)) for a in node.names])

    def _import_from(self, node: cst.ImportFrom) -> ir.Stmt:
        module = dotted(node.module) if node.module is not None else ""
        if isinstance(node.names, cst.ImportStar):
            return ir.ImportFrom(module, len(node.relative), None)
        return ir.ImportFrom(module, len(node.relative), [(dotted(a.name), _alias(a)) for a in node.names])

    def _delete(self, node: cst.Del) -> ir.Stmt:
        target = node.target
        return ir.Delete(self._elements(target) if isinstance(target, cst.Tuple) else [self.expr(target)])


# One line without prefix and escapes: `ast.literal_eval` would call the compiler for it.
_PLAIN_STRING = re.compile(r"""'([^'\\\r\n]*)'|"([^"\\\r\n]*)\"""")
_NAMED_CONSTANTS: dict[str, Any] = {"True": True, "False": False, "None": None}


def dotted(node: cst.CSTNode) -> str:
    """Dotted name of an import."""
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    if isinstance(node, cst.Name):
        parts.append(node.value)
    return ".".join(reversed(parts))


def _alias(node: cst.ImportAlias) -> str | None:
    return node.asname.name.value if node.asname is not None and isinstance(node.asname.name, cst.Name) else None


def _captures(pattern: cst.CSTNode) -> list[str]:
    """Names that a match pattern binds; patterns are small, a generic field walk is enough."""
    names: list[str] = []
    stack: list[Any] = [pattern]
    while stack:
        node = stack.pop()
        if isinstance(node, cst.Name):
            names.append(node.value)
        elif isinstance(node, cst.CSTNode) and not isinstance(node, (cst.MatchValue, cst.BaseParenthesizableWhitespace)):
            stack.extend(getattr(node, f) for f in node.__dataclass_fields__)
        elif isinstance(node, (list, tuple)):
            stack.extend(node)
    return names


_L = Lowering
_EXPRESSIONS: dict[type, Callable[[Lowering, Any], ir.Expr]] = {
    cst.Name: _L._name,
    cst.Integer: _L._number_literal,
    cst.Float: _L._number_literal,
    cst.Imaginary: _L._number_literal,
    cst.SimpleString: _L._string,
    cst.ConcatenatedString: _L._joined,
    cst.FormattedString: _L._format,
    cst.Ellipsis: lambda self, node: ir.Constant(...),
    cst.Attribute: _L._attribute,
    cst.Subscript: _L._subscript,
    cst.Call: _L._call,
    cst.BinaryOperation: _L._binary,
    cst.BooleanOperation: _L._boolean,
    cst.UnaryOperation: _L._unary,
    cst.Comparison: _L._compare,
    cst.IfExp: _L._ifexp,
    cst.Tuple: lambda self, node: ir.Collection("tuple", self._elements(node)),
    cst.List: lambda self, node: ir.Collection("list", self._elements(node)),
    cst.Set: lambda self, node: ir.Collection("set", self._elements(node)),
    cst.Dict: _L._dict,
    cst.Lambda: _L._lambda,
    cst.ListComp: lambda self, node: self._comprehension("list", node),
    cst.SetComp: lambda self, node: self._comprehension("set", node),
    cst.GeneratorExp: lambda self, node: self._comprehension("generator", node),
    cst.DictComp: lambda self, node: self._comprehension("dict", node),
    cst.Yield: _L._yield,
    cst.Await: lambda self, node: ir.Await(self.expr(node.expression)),
    cst.NamedExpr: lambda self, node: ir.Walrus(self.expr(node.target), self.expr(node.value)),
}
_STATEMENTS: dict[type, Callable[[Lowering, Any], ir.Stmt]] = {
    cst.Expr: lambda self, node: ir.ExprStmt(self.expr(node.value)),
    cst.Assign: _L._assign,
    cst.AugAssign: _L._augmented,
    cst.AnnAssign: _L._annotated,
    cst.Return: lambda self, node: ir.Return(self._maybe(node.value)),
    cst.Raise: lambda self, node: ir.Raise(self._maybe(node.exc)),
    cst.Del: _L._delete,
    cst.If: _L._if,
    cst.For: _L._for,
    cst.While: _L._while,
    cst.With: _L._with,
    cst.Try: _L._try,
    cst.TryStar: _L._try,
    cst.Match: _L._match,
    cst.FunctionDef: _L._function,
    cst.ClassDef: _L._class,
    cst.Import: _L._import,
    cst.ImportFrom: _L._import_from,
    cst.Global: lambda self, node: ir.Global([item.name.value for item in node.names]),
    cst.Nonlocal: lambda self, node: ir.Global([item.name.value for item in node.names]),
    cst.Assert: lambda self, node: ir.Assert(self.expr(node.test)),
    cst.Break: lambda self, node: ir.Jump("break"),
    cst.Continue: lambda self, node: ir.Jump("continue"),
    cst.Pass: lambda self, node: ir.Jump("pass"),
}
