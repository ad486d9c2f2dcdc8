"""Expressions: what each kind of node means, given the run that evaluates it.

`Run.eval` looks the handler up in `EXPRESSIONS`; calls, attributes and branches are those of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mllint_bio.events import Loop, LoopKind
from mllint_bio.predict import ir, library
from mllint_bio.predict.frames import Deferred, Flow, Lazy
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Choice,
    Const,
    Dict,
    Func,
    Obj,
    Seq,
    Value,
    as_mapping,
    constant,
    is_hashable,
    join,
    join_all,
    role_of_name,
    truth,
)

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

UNROLL = 8  # members of a known sequence that a loop or a comprehension is unrolled for


def _name(run: Run, node: ir.Name) -> Value:
    value = run.frames[-1].env.get(node.name)
    if value is None or type(value) is Lazy or type(value) is Deferred:
        return run.lookup(node.name)
    return value


def _attribute(run: Run, node: ir.Attribute) -> Value:
    return run.attribute(run.eval(node.value), node.name, node)


def _call(run: Run, node: ir.Call) -> Value:
    func = node.func
    if isinstance(func, ir.Attribute):
        if isinstance(func.value, ir.Call) and isinstance(func.value.func, ir.Name) and func.value.func.name == "super":
            return run.super_call(func.name, run.arguments(node), node)
        receiver = run.eval(func.value)
        call = run.arguments(node)
        return run.call_method(receiver, func.name, call, func)
    callee = run.eval(func)
    return run.call(callee, run.arguments(node), getattr(func, "name", ""))


def _constant(run: Run, node: ir.Constant) -> Value:
    constants = run.frames[-1].module.constants
    known = constants.get(node)
    if known is None:
        known = constants[node] = Const(node.value)
    return known


def _format(run: Run, node: ir.Format) -> Value:
    values = [Const(p) if isinstance(p, str) else library.shown(run, run.eval(p), node) for p in node.parts]
    if all(isinstance(v, Const) for v in values):
        return constant("".join(str(v.value) for v in values if isinstance(v, Const)))
    text = "".join(str(v.value) if isinstance(v, Const) else "*" for v in values)
    merged = library.blend(run, values)
    merged = merged.but(shown=frozenset[str]().union(*map(library.shown_of, values)))
    return merged.but(kind="text", owner=None, name=text[:80] if role_of_name(text) or text.startswith("cuda") else "")


def _subscript(run: Run, node: ir.Subscript) -> Value:
    value = run.eval(node.value)
    indices = [run.eval(i) for i in node.index]
    return library.subscript(run, value, indices, node)


def _slice(run: Run, node: ir.Slice) -> Value:
    parts = [NONE if part is None else run.eval(part) for part in (node.lower, node.upper, node.step)]
    return Seq("slice", parts)


def _binary(run: Run, node: ir.Binary) -> Value:
    chain = [node]
    while isinstance(chain[-1].left, ir.Binary):  # `a + b + c + ...` leans left: no recursion along it
        chain.append(chain[-1].left)
    value = run.eval(chain[-1].left)
    for one in reversed(chain):
        value = library.binary(run, one, value, one.op, run.eval(one.right))
    return value


def _boolean(run: Run, node: ir.Boolean) -> Value:
    left = run.eval(node.left)
    known = truth(left)
    if known is not None:
        if known is (node.op == "or"):
            return left
        return run.eval(node.right)
    right = run.eval(node.right)
    other = truth(right)
    if other is not None and other is (node.op == "or") and isinstance(right, Const) and isinstance(right.value, bool):
        return right if not isinstance(left, Array) or not left.scores else library.blend(run, [left, right])
    for side in (left, right):
        if isinstance(side, Array) and side.kind == "columns":
            return side  # figures of columns decide, with whatever else
    cell = library.cell(run, node, left, right)
    if cell is not None:
        return cell
    return library.blend(run, [left, right]) if not isinstance(left, Obj) and not isinstance(right, Obj) else join(left, right)


def _unary(run: Run, node: ir.Unary) -> Value:
    value = run.eval(node.value)
    if node.op == "not":
        known = truth(value)
        if known is not None:
            return Const(not known)
        return library.negated(run, value) if isinstance(value, Array) else UNKNOWN
    if isinstance(value, Const) and isinstance(value.value, (int, float)):
        return Const(
            -value.value if node.op == "-" else ~value.value if node.op == "~" and isinstance(value.value, int) else value.value
        )
    if node.op == "~":
        return library.negated(run, value)
    if isinstance(value, Array):
        return value.but(linear=None, sign=-value.sign if node.op == "-" else value.sign)
    return value


def _compare(run: Run, node: ir.Compare) -> Value:
    left = run.eval(node.left)
    result: Value = UNKNOWN
    for position, (operator_, right_node) in enumerate(node.rest):
        right = run.eval(right_node)
        one = library.compare(run, node, left, operator_, right)
        result = one if position == 0 else library.blend(run, [result, one])
        left = right
    return result


def _ifexp(run: Run, node: ir.IfExp) -> Value:
    test = run.eval(node.test)
    known = truth(test)
    if known is not None:
        return run.eval(node.body if known else node.orelse)
    found: list[Value] = []

    def arm(expression: ir.Expr) -> Callable[[], Flow]:
        def evaluate() -> Flow:
            found.append(run.eval(expression))
            return Flow.NEXT

        return evaluate

    run.branches(node, [arm(node.body), arm(node.orelse)])
    if all(isinstance(one, Const) for one in found) and library.is_cut(test):
        return test  # `1 if score > threshold else 0`
    return library.device_if_any(node.test, *found) or join(found[0], found[1], run.site(node))


def _collection(run: Run, node: ir.Collection) -> Value:
    items: list[Value] = []
    rest: Value | None = None
    for item in node.items:
        if isinstance(item, ir.Starred):
            value = run.eval(item.value)
            if isinstance(value, Seq) and value.exact:
                items.extend(value.items)
            else:
                rest = join_all([library.iterated(run, value, item), *([rest] if rest else [])])
        else:
            items.append(run.eval(item))
    made = Seq(node.kind, items, rest)
    if run.loops:
        made.cells["#made"] = run.loops
    return made


def _dict(run: Run, node: ir.DictDisplay) -> Value:
    items: dict[Any, Value] = {}
    rest: Value | None = None
    for key_node, value_node in node.items:
        value = run.eval(value_node)
        key = run.eval(key_node) if key_node is not None else None
        spread = as_mapping(value) if key is None else None
        if spread is not None:
            items.update(spread.items)
            rest = spread.rest if rest is None else rest
        elif isinstance(key, Const) and is_hashable(key.value):
            items[key.value] = value
        else:
            rest = value if rest is None else join(rest, value)
    return Dict(items, rest)


def _lambda(run: Run, node: ir.Lambda) -> Value:
    frame = run.frames[-1]
    outer = () if frame.env is frame.top else (frame.env, *frame.outer)
    return Func(node, frame.module, outer, None)


def _comprehension(run: Run, node: ir.Comprehension) -> Value:
    frame = run.frames[-1]
    saved = dict(frame.env) if frame.env is not frame.top else None
    top_saved = dict(frame.top) if saved is None else None
    outer = run.loops
    filtered = False
    members: Sequence[Value] | None = None
    iterables: list[Value] = []
    tests: list[Value] = []
    try:
        for target, iterable_node, conditions in node.loops:
            iterable = library.names_if_asked(run.eval(iterable_node), target, conditions)
            iterables.append(iterable)
            kind = library.loop_kind(run, target, iterable_node, iterable)
            if kind is LoopKind.OTHER and library.varies_candidates(run, target, iterable_node, iterable, [node.element]):
                kind = LoopKind.CANDIDATE
            run.loops = (*run.loops, run.loop(node, kind, target_name(target)))
            if len(node.loops) == 1 and not conditions:
                members = library.unrolled(run, iterable)
            run.assign(target, counted(library.iterated(run, iterable, iterable_node), run.loops[-1]), target)
            run.sifting += not isinstance(node.element, ir.Constant)
            for condition in conditions:
                filtered = True
                tests.append(run.eval(condition))
            run.sifting -= not isinstance(node.element, ir.Constant)
        if members is not None and len(members) <= UNROLL and node.kind in ("list", "generator", "dict"):
            return _comprehend_each(run, node, members)
        element = run.eval(node.element)
        value = run.eval(node.value) if node.value is not None else None
    finally:
        run.loops = outer
        if saved is not None:
            frame.env = saved
        elif top_saved is not None:
            for target, _, _ in node.loops:
                for name in target_names(target):
                    if name in top_saved:
                        frame.env[name] = top_saved[name]
                    else:
                        frame.env.pop(name, None)
    if node.kind == "dict":
        library.coded(run, node, iterables)
        return Dict({}, value if value is not None else element)
    return library.comprehended(run, node, element, iterables, filtered, tests)


def _comprehend_each(run: Run, node: ir.Comprehension, members: Sequence[Value]) -> Value:
    results: list[Value] = []
    keyed: dict[Any, Value] = {}
    for member in members:
        run.assign(node.loops[0][0], member, node)
        element = run.eval(node.element)
        if node.value is not None:
            value = run.eval(node.value)
            if isinstance(element, Const) and is_hashable(element.value):
                keyed[element.value] = value
            else:
                results.append(value)
        else:
            results.append(element)
    if node.kind == "dict":
        return Dict(keyed, join_all(results) if results else None)
    return Seq("list", results)


def _yield(run: Run, node: ir.Yield) -> Value:
    if node.value is not None:
        run.frames[-1].yields.append(library.yielded(run, run.eval(node.value), run.frames[-1].loops))
    return UNKNOWN


def _walrus(run: Run, node: ir.Walrus) -> Value:
    value = run.eval(node.value)
    run.assign(node.target, value, node)
    return value


def counted(value: Value, loop: Loop) -> Value:
    """The variable of a loop over numbers, which remembers its loop."""
    if isinstance(value, Choice) and all(isinstance(o, Const) and type(o.value) in (int, float) for o in value.options):
        return Array(kind="scalar", loop=loop)
    if isinstance(value, Array) and (value.kind == "scalar" or value.kind == "item" and not value.has_rows):
        return value.but(loop=loop)
    return value


def target_name(target: ir.Expr) -> str:
    return "_".join(target_names(target))


def target_names(target: ir.Expr) -> list[str]:
    if isinstance(target, ir.Name):
        return [target.name]
    if isinstance(target, ir.Collection):
        return [name for item in target.items for name in target_names(item)]
    return target_names(target.value) if isinstance(target, ir.Starred) else []


EXPRESSIONS: dict[type, Callable[[Run, Any], Value]] = {
    ir.Name: _name,
    ir.Constant: _constant,
    ir.Format: _format,
    ir.Attribute: _attribute,
    ir.Subscript: _subscript,
    ir.Slice: _slice,
    ir.Call: _call,
    ir.Binary: _binary,
    ir.Boolean: _boolean,
    ir.Unary: _unary,
    ir.Compare: _compare,
    ir.IfExp: _ifexp,
    ir.Collection: _collection,
    ir.Starred: lambda run, node: run.eval(node.value),
    ir.DictDisplay: _dict,
    ir.Lambda: _lambda,
    ir.Comprehension: _comprehension,
    ir.Yield: _yield,
    ir.Await: lambda run, node: run.eval(node.value),
    ir.Walrus: _walrus,
    ir.Unknown: lambda run, node: UNKNOWN,
}
