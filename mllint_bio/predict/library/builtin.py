"""Functions of Python itself: conversions, questions about types, collections, ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mllint_bio import catalog
from mllint_bio.catalog import Entry
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call, Super
from mllint_bio.predict.library import contents, growth, iteration, notes, results, scoring
from mllint_bio.predict.library.arithmetic import votes
from mllint_bio.predict.library.choices import choose, unrolled
from mllint_bio.predict.library.contents import blend, data_of, objects_in, scores_of, text_of
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Bound_,
    Const,
    Dict,
    Ext,
    Func,
    Klass,
    Mod,
    Obj,
    Seq,
    Value,
    as_mapping,
    constant,
    join_all,
    options,
)
from mllint_bio.rows import UNKNOWN_ROWS

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


_MAPPED = 8  # members of a known sequence to which `map` applies its function one by one


def positions(run: Run, entry: Entry, call_: Call) -> Array:
    """`np.arange(start, stop)`: positions in a table that is not known yet; rows are cut there when a table is indexed by it."""
    first, second = (call_.get(name, entry.params) for name in (*entry.params, "", "")[:2])
    start, stop = (NONE, first) if second is None else (first or NONE, second)
    counted = data_of(stop) if stop is not None else UNKNOWN
    whole = isinstance(start, Const) and start.value in (None, 0) and not call_.open
    if counted.base.known and whole:
        return Array(kind="index", rows=counted.base, base=counted.base)
    base = run.source(call_.node, contents.POSITIONS)
    step = call_.get(entry.params[2], entry.params) if len(entry.params) > 2 else None
    if call_.open or stop is None or not (step is None or isinstance(step, Const) and step.value == 1):
        rows = base.some((run.site(call_.node), run.calls))
    else:
        lower, upper = (None if one in (NONE, Const(0)) else contents.bound_of(one) for one in (start, stop))
        rows = base.slice(lower, None if upper is not None and upper.whole else upper)
    return Array(kind="range" if isinstance(stop, Const) else "index", rows=rows, base=base)


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "float": float,
    "round": round,
    "abs": abs,
    "str": str,
    "bool": bool,
}


_BY_NAME = 4  # classes of a module among which a setting chooses


def _class_by_name(run: Run, module: Mod, node: ir.Expr) -> Value:
    """`getattr(trainers, config["type"])`: one of the classes that the module defines, if they are few, bases left out."""
    named = [c.name for c in module.module.skeleton.chunks if c.name and c.text.lstrip().startswith(("class ", "@"))]
    if len(named) > 4 * _BY_NAME:
        return UNKNOWN
    own = [v for name in named if isinstance(v := run.attribute(module, name, node), Klass)]
    bases = {base for klass in own for base in klass.mro()[1:]}
    found = [klass for klass in own if klass not in bases]
    return join_all(found) if 0 < len(found) <= _BY_NAME else UNKNOWN


def call_builtin(run: Run, name: str, call_: Call) -> Value:
    first = call_.at(0)
    if name in ("print", "display"):
        run.report(call_.node, call_.everything(), "print")
        return NONE
    if name == "len":
        return contents.length_of(run, first) if first is not None else UNKNOWN
    if name in ("str", "repr") and isinstance(first, Obj):
        if first.klass is None and first.subject.api.startswith("torch.") and first.is_a("loss"):
            return Const(f"{first.subject.label}()")  # a loss has nothing to show but its name
        return blend(run, [contents.shown(run, first, call_.node)]).but(kind="text")
    if name in _CONVERSIONS:
        if isinstance(first, Const):
            try:
                return constant(_CONVERSIONS[name](first.value))
            except (TypeError, ValueError, ArithmeticError):
                return UNKNOWN
        if first is not None and name == "round" and isinstance(first, Array):
            return first
        return first if isinstance(first, Array) else blend(run, call_.everything())
    if name in ("max", "min", "sorted"):
        return _extreme(run, name, call_)
    if name == "sum":
        merged = blend(run, call_.everything())
        scoring.as_figure(run, merged.scores)
        if isinstance(first, Seq) and merged.has_rows:  # array upon array
            merged = votes(merged)
        return contents.condensed(merged.but(kind="figure" if merged.scores or merged.prediction else merged.kind), "sum")
    if name in (
        "list",
        "tuple",
        "set",
        "frozenset",
        "reversed",
        "iter",
        "next",
        "enumerate",
        "zip",
        "map",
        "filter",
        "range",
        "dict",
    ):
        return collection(run, name, call_)
    if name == "open":
        text = text_of(first)
        rows = run.source_of(call_.node, text, text if isinstance(first, Const) else None) if text else UNKNOWN_ROWS
        return Array(kind="text", name=text, rows=rows)
    if name in ("exit", "quit"):
        return Ext("!exit")
    if (
        name in ("getattr",)
        and len(call_.args) >= 2
        and isinstance(call_.args[1], Const)
        and isinstance(call_.args[1].value, str)
    ):
        return run.attribute(call_.args[0], call_.args[1].value, call_.node)
    if (
        name == "getattr"
        and len(call_.args) == 2
        and isinstance(call_.args[0], Obj)
        and call_.args[0].is_a("module", "layer", "pretrained")
    ):
        return Bound_(call_.args[0], "")
    if name == "getattr" and isinstance(first, Mod):
        return _class_by_name(run, first, call_.node)
    if name == "setattr" and len(call_.args) == 3 and isinstance(call_.args[0], Obj):
        for option in options(call_.args[1]):
            if isinstance(option, Const):
                run.set_attribute(call_.args[0], str(option.value), call_.args[2])
            else:
                call_.args[0].subject.unknown_arguments = True
        return NONE
    if name == "slice":
        if not call_.open and call_.args:
            bounds = [NONE, call_.args[0], NONE] if len(call_.args) == 1 else [*call_.args, NONE][:3]
            return Seq("slice", bounds)
        base = run.source(call_.node, contents.POSITIONS)
        return Array(kind="index", rows=base.some((run.site(call_.node), run.calls)), base=base)
    if name == "super":
        frame = run.frames[-1]
        return Super(frame.klass, frame.receiver) if frame.klass is not None and frame.receiver is not None else UNKNOWN
    if name in ("input", "raw_input"):
        return Array(kind="config")
    if name == "vars":
        return contents.fields_of(first) if isinstance(first, Obj) and first.klass is not None else Array(kind="config")
    if name == "type" and len(call_.args) == 1 and first is not None:
        return join_all([class_of(option) for option in options(first)])
    if name == "isinstance" and isinstance(first, Obj) and len(call_.args) == 2:
        return _instance_of(first, call_.args[1])
    if name == "isinstance" and isinstance(first, Const) and len(call_.args) == 2:
        return _literal_of(first.value, call_.args[1])
    if name in ("isinstance", "hasattr", "callable", "issubclass", "type", "id", "hash", "repr"):
        return UNKNOWN
    if name[:1].isupper():  # exceptions
        return UNKNOWN
    return blend(run, call_.everything())


def class_of(value: Value) -> Value:
    """The class of an object; unknown where a factory of a library made it."""
    if not isinstance(value, Obj):
        return UNKNOWN
    if value.klass is not None:
        return value.klass
    return Ext(value.subject.api) if value.subject.label[:1].isupper() else UNKNOWN


def _instance_of(value: Obj, classes: Value) -> Value:
    """Whether an object is an instance of a class: known of the project's classes, and of losses, which do not inherit from
    each other."""
    made = class_of(value)
    if isinstance(made, Klass) and isinstance(classes, Klass):
        known = all(isinstance(base, (Klass, Ext)) for klass in made.mro() for base in klass.bases)
        return Const(True) if classes in made.mro() else Const(False) if known else UNKNOWN
    if isinstance(made, Ext) and isinstance(classes, Ext) and value.is_a("loss"):
        entry = catalog.lookup(classes.path)
        if entry is not None and entry.is_a("loss"):
            return Const(entry is value.entry)
    return UNKNOWN


def _literal_of(value: Any, classes: Value) -> Value:
    """Whether `None` or a text is an instance of one of the classes; numbers may stand for those of a library."""
    asked = classes.items if isinstance(classes, Seq) and classes.exact else (classes,)
    paths = [one.path if isinstance(one, Ext) else "" if isinstance(one, Klass) else None for one in asked]
    if not (value is None or isinstance(value, str)) or None in paths or {"builtins.object", "types.NoneType"} & {*paths}:
        return UNKNOWN
    if value is None:
        return Const(False)
    return Const("builtins.str" in paths) if all(path and path.startswith("builtins.") for path in paths) else UNKNOWN


def _extreme(run: Run, name: str, call_: Call) -> Value:
    merged = blend(run, call_.everything())
    if isinstance(call_.node, ir.Call) and len(call_.node.args) == 2 and any(map(_written_number, call_.node.args)):
        bounded = [one for one in call_.args if isinstance(one, Array) and one.stat is not None]
        return bounded[0] if bounded else merged  # `max(1 - auc, 1e-12)` bounds a figure, `max(deviation, 1e-8)` a statistic
    first, key = call_.at(0), call_.kwargs.get("key")
    judges = merged.scores or objects_in(first)  # a figure may be an attribute of what is compared
    if judges and isinstance(key, Func) and name != "sorted" and first is not None:
        judged = data_of(run.call(key, Call(call_.node, [iteration.iterated_silently(run, first)], {})))  # one of several figures
        if judged.scores:
            return choose(run, call_.node, judged, name, key=True)
    by_figure = bool(merged.scores) and ("key" in call_.kwargs or not _by_name(first))
    if by_figure and name == "sorted":
        return results.ranked(merged, "key" in call_.kwargs)
    if by_figure:
        return choose(run, call_.node, merged, name, key="key" in call_.kwargs, running=len(call_.args) == 2)
    if name == "sorted":
        if first is not None and isinstance(key, (Func, Bound_)):
            judged = data_of(run.call(key, Call(call_.node, [iteration.iterated_silently(run, first)], {})))
            if contents.is_of_each_column(judged):
                return contents.as_columns(judged)  # `sorted(genes, key=correlation.get)`: columns in order
        if isinstance(first, Array):
            return first.but(unordered=None, ordered="" if first.ordered == "unordered" else first.ordered)
        if isinstance(first, Seq):
            element = first.element()
            items = first.items if first.exact else ()
            if isinstance(element, Array) and not items:
                element = element.but(unordered=None, ordered="")
            return Seq("list", items, None if first.exact else element)
    return merged


def _by_name(members: Value | None) -> bool:
    """Whether what is put in order are names, with their figures or without: `sorted(results.items())`."""
    if isinstance(members, Dict):
        return True
    element = members.element() if isinstance(members, Seq) and members.kind != "tuple" else None
    named = element.items[0] if isinstance(element, Seq) and element.kind == "tuple" and len(element.items) == 2 else None
    return named is not None and not scores_of(named)


def _written_number(argument: tuple[str | None, ir.Expr]) -> bool:
    keyword, value = argument
    value = value.value if isinstance(value, ir.Unary) else value
    return keyword is None and isinstance(value, ir.Constant) and isinstance(value.value, (int, float))


def collection(run: Run, name: str, call_: Call) -> Value:
    first = call_.at(0)
    if name in ("list", "tuple", "reversed", "iter"):
        kind = "tuple" if name == "tuple" else "list"
        if first is None:
            return Seq(kind)
        if isinstance(first, Seq):
            twin = Seq(kind, first.items, first.rest)
            return twin
        if isinstance(first, Array):
            return first.but(kind="index") if first.kind == "range" else first
        if isinstance(first, Obj) or (isinstance(first, Array) and first.kind == "folds"):
            return first
        if isinstance(first, Dict):
            return Seq(kind, [Const(k) for k in first.items], UNKNOWN if first.rest is not None else None)
        return first
    if name in ("set", "frozenset"):
        if first is None:
            return Seq("set")
        if isinstance(first, Array):
            if first.kind in ("index", "range"):
                return first.but(kind="index")
            return first.but(kind="unique", unordered=("set", run.site(call_.node)) if first.kind not in ("scalar",) else None)
        if isinstance(first, Seq):
            return Seq("set", first.items, first.rest)
        return first
    if name == "range":
        return _range(run, call_)
    if name == "enumerate":
        if isinstance(first, Seq) and first.exact:
            return Seq("list", [Seq("tuple", [Const(i), item]) for i, item in enumerate(first.items)])
        inner = iteration.iterated(run, first, call_.node) if first is not None else UNKNOWN
        counter = Array(kind="scalar", base=data_of(first).rows if first is not None else UNKNOWN_ROWS)
        pairs = iterator(first, Seq("tuple", [counter, inner]))
        pairs.cells["#counted"] = first
        return pairs
    if name == "zip":
        if call_.args and all(isinstance(a, Seq) and a.exact for a in call_.args):
            columns = [a.items for a in call_.args if isinstance(a, Seq)]
            return Seq("list", [Seq("tuple", row) for row in zip(*columns, strict=False)])
        members = [iteration.iterated(run, a, call_.node) for a in call_.args]
        if not members:
            return UNKNOWN
        listings = [a for a in call_.args if isinstance(a, Array) and isinstance(a.unordered, tuple) and a.unordered[0] != "set"]
        if len({a.unordered for a in listings}) > 1:
            notes.note_unordered(run, listings[0], "pairing", run.site(call_.node))
        pairs = iterator(call_.args[0], Seq("tuple", members))
        pairs.cells["#zipped"] = True
        if any(isinstance(a, Array) and a.kind == "range" for a in call_.args):
            pairs.cells["#counted"] = next((a for a in call_.args if isinstance(a, Array) and a.unordered), None)
        return pairs
    if name == "map" and len(call_.args) == 2 and isinstance(call_.args[1], Seq):
        each = unrolled(run, call_.args[1])
        if each is not None and len(each) <= _MAPPED:
            return Seq("list", [run.call(call_.args[0], Call(call_.node, [one], {})) for one in each])
    if name == "map" and len(call_.args) >= 2:
        element = iteration.iterated(run, call_.args[1], call_.node)
        result = run.call(call_.args[0], Call(call_.node, [element], {}))
        return Seq("list", (), result)
    if name == "filter" and len(call_.args) == 2:
        return call_.args[1]
    if name == "next":
        taken = iteration.iterated(run, first, call_.node) if first is not None else UNKNOWN
        stream = isinstance(first, Seq) and first.kind == "generator"
        return iteration.taken(taken, (run.site(call_.node), run.calls)) if stream else taken
    if name == "dict":
        if isinstance(first, Dict) or first is None:
            given = Dict({**first.items, **call_.kwargs}, first.rest) if isinstance(first, Dict) else Dict(dict(call_.kwargs))
            for spread in call_.spread:
                other = as_mapping(spread) or Dict({}, data_of(spread))
                rests = [rest for rest in (given.rest, other.rest) if rest is not None]
                given = Dict({**given.items, **other.items}, join_all(rests) if rests else None)
            return given
        growth.coded(run, call_.node, [first])
        made = _of_pairs(first) if isinstance(first, Seq) else None
        if made is not None:
            made.items.update(call_.kwargs)
        return made or Dict({}, data_of(first))
    return UNKNOWN


def _of_pairs(pairs: Seq) -> Dict | None:
    """The mapping of a list of pairs, if their keys are known, or if their values are objects, which have no data in common."""
    found: dict[Any, Value] = {}
    rest = []
    for pair in (*pairs.items, *([pairs.rest] if pairs.rest is not None else [])):
        if not isinstance(pair, Seq) or not pair.exact or len(pair.items) != 2:
            return None
        key, value = pair.items
        if isinstance(key, Const) and pair is not pairs.rest:
            found[key.value] = value
        elif objects_in(value):
            rest.append(value)
        else:
            return None
    return Dict(found, join_all(rest) if rest else None)


def iterator(source: Value | None, element: Value) -> Seq:
    """A lazy sequence that remembers what it walks over, so that the loop's kind can be told."""
    made = Seq("generator", (), element)
    made.cells["#over"] = source
    return made


def _range(run: Run, call_: Call) -> Value:
    stop = call_.at(1) if len(call_.args) >= 2 else call_.at(0)
    if isinstance(stop, Array) and stop.base.known and (len(call_.args) == 1 or call_.at(0) == Const(0)) and not call_.open:
        return Array(kind="range", rows=stop.base, base=stop.base)
    values = [a.value for a in call_.args if isinstance(a, Const) and isinstance(a.value, int)]
    if len(values) == len(call_.args) == 1 and 0 < values[0] <= 3:
        return Seq("range", [Const(i) for i in range(values[0])])
    return positions(run, Entry("builtins.range", "array", {"params": ["start", "stop", "step"]}), call_).but(kind="range")
