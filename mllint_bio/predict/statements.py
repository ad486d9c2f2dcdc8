"""Statements: what each kind of node does to the run that executes it, and where execution goes from there.

`Run.block` looks the handler up in `STATEMENTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mllint_bio.catalog import lookup
from mllint_bio.events import Loop, LoopKind, Select
from mllint_bio.predict import ir, library
from mllint_bio.predict.expressions import UNROLL, counted, target_name
from mllint_bio.predict.frames import Deferred, Flow, Frame, Lazy, Namespace
from mllint_bio.predict.project import Module
from mllint_bio.predict.values import (
    EMPTY,
    MAX_CHOICES,
    NONE,
    UNKNOWN,
    Array,
    Choice,
    Const,
    Ext,
    Func,
    Klass,
    Mod,
    Seq,
    Value,
    join_all,
    truth,
)

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def _assign(run: Run, node: ir.Assign) -> Flow:
    if run.loops and isinstance(target := node.targets[0], ir.Name) and not run.is_bound(target.name):
        run.bind(target.name, EMPTY)  # in `x = concatenate((x, part))` of a later round: nothing was put into it before
    value = run.eval(node.value)
    for target in node.targets:
        run.assign(target, value, node)
    library.after_assign(run, node, value)
    return Flow.NEXT


def _augmented(run: Run, node: ir.AugAssign) -> Flow:
    current = run.eval(node.target)
    value = run.eval(node.value)
    if isinstance(current, Seq) and node.op == "+":
        library.extend(run, current, value)
        return Flow.NEXT
    result = library.binary(run, node, current, node.op, value)
    if node.op == "+" and run.loops and isinstance(result, Array) and isinstance(value, Array):
        result = library.votes(result)
    if run.counting and isinstance(value, Const):  # hits are counted one by one
        hits = (library.told_by_class(run, node.target, hit) for hit, _ in run.counting)
        scores = frozenset[int]().union(*(hit.scores for hit in hits))
        result = Array(kind="figure", scores=library.scores_of(result) | scores, shown=frozenset({"sum"}), owner="counted")
    if isinstance(result, Array) and isinstance(value, Array) and isinstance(current, (Array, Const)) and value.scores:
        told = library.told_by_class(run, node.target, value).scores
        result = result.but(scores=result.scores.difference(value.scores) | told)
    if isinstance(node.target, ir.Subscript) and isinstance(value, Const):
        result = library.tallied(run, node.target, result)
    run.assign(node.target, result, node)
    return Flow.NEXT


def _annotated(run: Run, node: ir.AnnAssign) -> Flow:
    if node.value is not None:
        run.assign(node.target, run.eval(node.value), node)
    if run.frames[-1].klass is not None and isinstance(node.target, ir.Name):
        run.frames[-1].env.setdefault("__fields__", Seq("list"))
        fields = run.frames[-1].env["__fields__"]
        assert isinstance(fields, Seq)
        fields.cells["items"] = (*fields.items, Const(node.target.name))
    return Flow.NEXT


def _expression(run: Run, node: ir.ExprStmt) -> Flow:
    outer, run.looked_at = run.looked_at, looked_at(node.value)
    value = run.eval(node.value)
    run.looked_at = outer
    library.statement(run, node, value)
    if isinstance(node.value, ir.Call) and isinstance(value, Ext) and value.path == "!exit":
        return Flow.RAISE
    return Flow.NEXT


def _return(run: Run, node: ir.Return) -> Flow:
    value = NONE if node.value is None else run.labelled(run.eval(node.value), whole=False)
    run.frames[-1].returns.append(value)
    return Flow.RETURN


def _raise(run: Run, node: ir.Raise) -> Flow:
    if node.value is not None:
        run.eval(node.value)
    return Flow.RAISE


def _delete(run: Run, node: ir.Delete) -> Flow:
    for target in node.targets:
        if isinstance(target, ir.Name):
            run.frames[-1].env.pop(target.name, None)
    return Flow.NEXT


def _if(run: Run, node: ir.If) -> Flow:
    test = run.eval(node.test)
    known = truth(test)
    if known is None and _handed_in(run, node.test):
        known = True
    if known is not None:
        return run.block(node.body if known else node.orelse)
    choice = library.selection_test(run, node, test)
    if choice is None:
        library.patience_test(run, node)
        test = library.counted(run, node.test, test)
        kind = test.kind if isinstance(test, Array) else ""
        counting = run.counting
        if kind == "hits":
            for outer in run.sorting:
                test = library.within_test(run, outer, test, node.test)  # type: ignore[arg-type]
            run.counting = [*counting, (test, node.test)]  # type: ignore[list-item]
        else:
            run.counting = [(library.within_test(run, node.test, hits, told), told) for hits, told in counting]
        held = run.selecting if kind == "columns" else []
        held.append(test)  # type: ignore[arg-type]
        sorting = library.sorts(node.test)
        if sorting:
            run.sorting.append(node.test)
        cut = library.is_cut(test)
        if cut:
            run.cuts.append((run.frames[-1], bool(node.orelse), test))  # type: ignore[arg-type]
        name, fitting, other = _told_apart(run, node.test)
        try:
            return run.branches(node, [lambda: _arm(run, node.body, name, fitting), lambda: _arm(run, node.orelse, name, other)])
        finally:
            held.pop()
            run.counting = counting
            if sorting:
                run.sorting.pop()
            if cut:
                run.cuts.pop()
    start = len(run.events)
    number = run.emit(Select, node.test, **choice)

    def arm(body: list[ir.Stmt], start: int) -> Flow:
        before = dict(run.frames[-1].env)
        flow = run.block(body)
        library.kept(run, number, node, body, before, flow, start)
        return flow

    def improved() -> Flow:
        run._scored_tests.append((test, node.test))
        try:
            return arm(node.body, start)
        finally:
            run._scored_tests.pop()

    flow = run.branches(node, [improved, lambda: arm(node.orelse, len(run.events))])
    library.note_patience(run, number, node)
    return flow


def _arm(run: Run, body: Sequence[ir.Stmt], name: str, value: Value) -> Flow:
    """Execute one arm of an `if` in which a name is known to be this value."""
    if name:
        run.frames[-1].env[name] = value
    return run.block(body)


def _told_apart(run: Run, test: ir.Expr) -> tuple[str, Value, Value]:
    """A name that may be one of several objects and whose class a test asks for (`isinstance(loss, Focal)`,
    `type(net).__name__ == "A"`), with what it may be where the test holds and where it does not; no name otherwise."""
    nothing = ("", UNKNOWN, UNKNOWN)
    name = _asked_class(test)
    env = run.frames[-1].env
    value = env.get(name) if name else None
    if not isinstance(value, Choice) or len(value.options) >= MAX_CHOICES:  # the rest of a long choice is not known
        return nothing
    verdicts = []
    for option in value.options:
        env[name] = option
        verdicts.append(truth(run.eval(test)))
    env[name] = value
    fitting = [o for o, verdict in zip(value.options, verdicts, strict=True) if verdict is not False]
    other = [o for o, verdict in zip(value.options, verdicts, strict=True) if verdict is not True]
    return (name, join_all(fitting), join_all(other)) if fitting and other else nothing


def _handed_in(run: Run, test: ir.Expr) -> bool:
    """Whether a test asks if an optional argument was handed in (`if columns:` with `columns=None`), and it was."""
    if isinstance(test, ir.Boolean):
        both = (_handed_in(run, test.left), _handed_in(run, test.right))
        return all(both) if test.op == "and" else any(both)
    frame = run.frames[-1]
    if not isinstance(test, ir.Name) or frame.func is None or isinstance(frame.func.node, ir.Lambda):
        return False
    default = next((p.default for p in frame.func.node.params.items if p.name == test.name), None)
    value = frame.env.get(test.name)
    optional = isinstance(default, ir.Constant) and default.value is None
    return optional and isinstance(value, Array) and (value.has_rows or bool(value.learned))


def _for(run: Run, node: ir.For) -> Flow:
    iterable = run.eval(node.iterable)
    kind = library.loop_kind(run, node.target, node.iterable, iterable)
    if kind is LoopKind.OTHER and library.varies_candidates(run, node.target, node.iterable, iterable, node.body):
        kind = LoopKind.CANDIDATE
    loop = run.loop(node, kind, target_name(node.target))
    run.bodies[loop] = node
    members = library.unrolled(run, iterable)
    if members is not None and len(members) <= UNROLL:
        return _unrolled(run, node, loop, members)

    variable, holder = _held(node.target, node.iterable)
    over, before = run.frames[-1].over, len(run.events)

    def enter() -> None:
        run.assign(node.target, counted(library.iterated(run, iterable, node.iterable), loop), node.target)
        if holder is not None:
            over[variable] = holder, before

    flow = _repeat(run, node, loop, enter, node.body, node.orelse)
    over.pop(variable, None)
    return flow


def _unrolled(run: Run, node: ir.For, loop: Loop, members: Sequence[Value]) -> Flow:
    outer, unrolled, rounds = run.loops, run.unrolled, run.rounds
    run.loops, run.unrolled = (*outer, loop), (*unrolled, loop)
    frame = run.frames[-1]
    listed = node.iterable.items if isinstance(node.iterable, ir.Collection) else []
    before = len(run.events)
    try:
        for number, member in enumerate(members):
            run.rounds = (*rounds, number)
            run.assign(node.target, member, node.target)
            if len(listed) == len(members) and isinstance(node.target, ir.Name):
                frame.over[node.target.name] = listed[number], before
            exits: list[dict[str, Value]] = []
            frame.exits.append(exits)
            flow = run.block(node.body)
            frame.exits.pop()
            if exits:
                states = exits if flow is not Flow.NEXT else [dict(frame.env), *exits]
                _replace_env(run, run.merge_envs(frame.env, states, None))
            if flow is Flow.RETURN:
                return flow
            if flow is Flow.RAISE:
                break
    finally:
        run.loops, run.unrolled, run.rounds = outer, unrolled, rounds
    library.loop_done(run, loop)
    return Flow.NEXT


def _replace_env(run: Run, env: dict[str, Value]) -> None:
    frame = run.frames[-1]
    if frame.env is frame.top:
        frame.env.clear()
        frame.env.update(env)
    else:
        frame.env = env


def _while(run: Run, node: ir.While) -> Flow:
    loop = run.loop(node, LoopKind.OTHER)
    run.bodies[loop] = node
    return _repeat(run, node, loop, lambda: run.eval(node.test), node.body, node.orelse)


def _repeat(run: Run, node: ir.Node, loop: Loop, enter: Callable[[], Any], body: list[ir.Stmt], orelse: list[ir.Stmt]) -> Flow:
    """Execute a loop body twice; a second pass of an outer loop executes inner loops once."""
    outer, frame, arms = run.loops, run.frames[-1], run.round
    run.loops, run.round = (*outer, loop), len(run.branch)
    passes = 1 if run._pass else 2
    returned = False
    try:
        for number in range(passes):
            exits: list[dict[str, Value]] = []
            frame.exits.append(exits)
            run._pass += number
            try:
                enter()
                flow = run.block(body)
            finally:
                run._pass -= number
                frame.exits.pop()
            if flow is Flow.RETURN:
                returned = True
            states = [*([dict(frame.env)] if flow in (Flow.NEXT, Flow.CONTINUE, Flow.BREAK) else []), *exits]
            if len(states) > 1:
                _replace_env(run, run.merge_envs(frame.env, states, None))
            if flow in (Flow.RETURN, Flow.RAISE):
                break
    finally:
        run.loops, run.round = outer, arms
    library.loop_done(run, loop)
    if orelse:
        run.block(orelse)
    return Flow.RETURN if returned and isinstance(node, ir.While) else Flow.NEXT


def _jump(run: Run, node: ir.Jump) -> Flow:
    if node.kind == "pass":
        return Flow.NEXT
    frame = run.frames[-1]
    if node.kind == "break" and run.loops:
        run.loops[-1].breaks = True
    if frame.exits:
        frame.exits[-1].append(dict(frame.env))
    return Flow.BREAK if node.kind == "break" else Flow.CONTINUE


def _with(run: Run, node: ir.With) -> Flow:
    grad = run.grad
    for item, target in node.items:
        value = run.eval(item)
        if library.is_no_grad(value):
            run.grad = False
        if target is not None:
            run.assign(target, value, node)
    try:
        return run.block(node.body)
    finally:
        run.grad = grad


def _try(run: Run, node: ir.Try) -> Flow:
    flow = run.block(node.body)
    if flow is Flow.NEXT and node.orelse:
        flow = run.block(node.orelse)
    handlers = [h for h in node.handlers if h[2] and not all(isinstance(s, (ir.Raise, ir.Jump)) for s in h[2])]
    if flow in (Flow.NEXT, Flow.RETURN) and handlers:
        undisturbed = flow

        def handle(name: str | None, body: list[ir.Stmt]) -> Callable[[], Flow]:
            def arm() -> Flow:
                if name:
                    run.bind(name, UNKNOWN)
                return run.block(body)

            return arm

        flow = run.branches(node, [lambda: undisturbed, *(handle(name, body) for _, name, body in handlers)])
    if node.final:
        final = run.block(node.final)
        flow = final if final is not Flow.NEXT else flow
    return flow


def _match(run: Run, node: ir.Match) -> Flow:
    run.eval(node.subject)

    def case(names: list[str], body: list[ir.Stmt]) -> Callable[[], Flow]:
        def arm() -> Flow:
            for name in names:
                run.bind(name, UNKNOWN)
            return run.block(body)

        return arm

    return run.branches(node, [*(case(names, body) for names, _, body in node.cases), lambda: Flow.NEXT])


def _function(run: Run, node: ir.FunctionDef) -> Flow:
    frame = run.frames[-1]
    wrappers = tuple(w for w in (_decorator(d, run) for d in node.decorators) if w)
    outer = () if frame.env is frame.top or frame.klass is not None else (frame.env, *frame.outer)
    if frame.klass is not None:
        outer = frame.outer
    frame.env[node.name] = Func(node, frame.module, outer, frame.klass, wrappers)
    return Flow.NEXT


def _class(run: Run, node: ir.ClassDef) -> Flow:
    frame = run.frames[-1]
    klass = Klass(node.name, frame.module, node, [run.eval(base) for base in node.bases])
    outer = () if frame.env is frame.top else (frame.env, *frame.outer)
    body = Frame(frame.module, klass.members, frame.top, outer, None, klass)
    run.frames.append(body)
    try:
        run.block(node.body)
        klass.members = body.env
    finally:
        run.frames.pop()
    frame.env[node.name] = klass
    return Flow.NEXT


def _import(run: Run, node: ir.Import) -> Flow:
    module = run.frames[-1].module
    for dotted, alias in node.names:
        found = run.project.resolve(dotted, 0, module)
        if found is None:
            run.bind(alias or dotted.split(".", 1)[0], Ext(dotted if alias else dotted.split(".", 1)[0]))
            continue
        target = run.project.module(found)
        _eager(run, target)
        if alias or "." not in dotted:
            run.bind(alias or dotted, Mod(target))
        else:
            top = run.project.resolve(dotted.split(".", 1)[0], 0, module)
            run.bind(dotted.split(".", 1)[0], Mod(run.project.module(top)) if top else Namespace(module, dotted.split(".", 1)[0]))
    return Flow.NEXT


def _import_from(run: Run, node: ir.ImportFrom) -> Flow:
    module = run.frames[-1].module
    found = run.project.resolve(node.module, node.level, module)
    if found is None:
        for name, alias in node.names or []:
            dotted = f"{node.module}.{name}" if node.module else name
            nested = run.project.resolve(dotted, node.level, module)
            run.bind(alias or name, Mod(run.project.module(nested)) if nested else Ext(dotted))
        if node.names is None and not node.level:
            library.star_import(run, node.module)
        return Flow.NEXT
    target = run.project.module(found)
    if node.names is None:
        for name, value in run.run_module(target).items():
            if not name.startswith("_"):
                run.bind(name, Lazy(target, name) if isinstance(value, Deferred) else value)
        return Flow.NEXT
    _eager(run, target)
    package = found.name == "__init__.py" or found.stem == found.parent.name  # `nets/nets.py` was found for the folder `nets`
    for name, alias in node.names:
        nested = run.project.resolve(f"{node.module}.{name}" if node.module else name, node.level, module) if package else None
        if nested is not None and not _rebound(run, target, name):
            run.bind(alias or name, Mod(run.project.module(nested)))
        else:
            run.bind(alias or name, Lazy(target, name))
    return Flow.NEXT


def _rebound(run: Run, package: Module, name: str) -> bool:
    """Whether a package gives the name of its submodule to something else: `from .train import train` in `__init__`."""
    if name in package.skeleton.definitions:
        return True
    if not any(not c.name and name in c.text for c in package.skeleton.chunks):
        return False
    value = run.run_module(package).get(name)
    return value is not None and not isinstance(value, Mod)


def _eager(run: Run, module: Module) -> None:
    """Execute an imported module at once if its top level may seed generators or set flags; else when a name is used."""
    if any(not c.name and ("seed" in c.text or "determinis" in c.text or "benchmark" in c.text) for c in module.skeleton.chunks):
        run.run_module(module)


def _global(run: Run, node: ir.Global) -> Flow:
    run.frames[-1].shared.update(node.names)
    return Flow.NEXT


def _assert(run: Run, node: ir.Assert) -> Flow:
    run.eval(node.test)
    return Flow.NEXT


_WRAPPERS = frozenset({"enumerate", "tqdm", "track", "list", "reversed", "sorted"})


def looked_at(shown: ir.Expr) -> tuple[ir.Expr, ...]:
    """Calls of a bare expression statement whose result nothing keeps: the expression itself, or what it prints."""
    if isinstance(shown, ir.Call) and isinstance(shown.func, ir.Name) and shown.func.name in ("print", "display"):
        return tuple(value for _, value in shown.args)
    return (shown,)


@lru_cache(maxsize=4096)  # a test is met in many passes
def _asked_class(test: ir.Expr) -> str:
    """The name whose class a test asks for; empty if it asks for none."""
    if not isinstance(test, (ir.Compare, ir.Call)):
        return ""
    for node in ir.walk(test):
        asked: ir.Expr | None = None
        if isinstance(node, ir.Attribute) and node.name == "__class__":
            asked = node.value
        elif isinstance(node, ir.Call) and isinstance(node.func, ir.Name) and node.args:
            asked = node.args[0][1] if node.func.name in ("isinstance", "type", "str", "repr") else None
        if isinstance(asked, ir.Name):
            return asked.name
    return ""


def _held(target: ir.Expr, iterable: ir.Expr) -> tuple[str, ir.Expr | None]:
    """The variable of a loop that is a member of what it goes over, and what that is: `for number, item in enumerate(data)`."""
    while isinstance(iterable, ir.Call) and isinstance(iterable.func, (ir.Name, ir.Attribute)) and iterable.args:
        if iterable.func.name not in _WRAPPERS:
            return "", None
        if iterable.func.name == "enumerate":
            if not isinstance(target, ir.Collection) or len(target.items) != 2:
                return "", None
            target = target.items[1]
        iterable = iterable.args[0][1]
    if isinstance(target, ir.Name) and isinstance(iterable, (ir.Name, ir.Attribute)):
        return target.name, iterable
    return "", None


def _decorator(node: ir.Expr, run: Run) -> str:
    """What a decorator means for a call of the function; most mean nothing."""
    base = node.func if isinstance(node, ir.Call) else node
    if isinstance(base, ir.Name) and base.name in ("property", "staticmethod", "classmethod", "cached_property"):
        return "property" if "property" in base.name else base.name
    if isinstance(base, ir.Attribute) and base.name in ("setter", "getter"):
        return "setter"
    value = run.eval(base)
    if isinstance(value, Ext):
        entry = lookup(value.path)
        if entry is not None and entry.is_a("no-grad"):
            return "no-grad"
        if entry is not None and entry.is_a("argument"):
            return "command"
        if value.path.endswith("cached_property"):
            return "property"
    return ""


STATEMENTS: dict[type, Callable[[Run, Any], Flow]] = {
    ir.Assign: _assign,
    ir.AugAssign: _augmented,
    ir.AnnAssign: _annotated,
    ir.ExprStmt: _expression,
    ir.Return: _return,
    ir.Raise: _raise,
    ir.Delete: _delete,
    ir.If: _if,
    ir.For: _for,
    ir.While: _while,
    ir.With: _with,
    ir.Try: _try,
    ir.Match: _match,
    ir.FunctionDef: _function,
    ir.ClassDef: _class,
    ir.Import: _import,
    ir.ImportFrom: _import_from,
    ir.Global: _global,
    ir.Assert: _assert,
    ir.Jump: _jump,
}
