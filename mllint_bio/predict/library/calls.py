"""Calls of library names: find the catalog entry, map the arguments, and hand over to the handler of its role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from mllint_bio import catalog
from mllint_bio.catalog import Entry
from mllint_bio.events import Determinism, Device, Draw, Generator, Load, Loader, Loop, LoopKind, Save, Seed, Subject, Weights
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call, Super
from mllint_bio.predict.library import contents, growth, handover, iteration, joining, members, notes, results, scoring
from mllint_bio.predict.library.choices import choose
from mllint_bio.predict.library.contents import arrays_in, blend, data_of, objects_in, scores_of
from mllint_bio.predict.library.operations import Operation
from mllint_bio.predict.values import (
    EMPTY,
    NONE,
    UNKNOWN,
    Array,
    Bound_,
    Choice,
    Const,
    Dict,
    Ext,
    Func,
    Klass,
    Mod,
    Narrowed,
    Obj,
    Partial,
    Seq,
    Value,
    as_mapping,
    constant,
    join_all,
    options,
)
from mllint_bio.rows import UNKNOWN_ROWS, Rows

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

Handler = Callable[["Run", Entry, "Call"], Value]

_SEED_HELPER = ("seed", "determin", "reproduc")


def call(run: Run, path: str, call_: Call) -> Value:
    """Call a library name."""
    if path == "collections.deque":
        path = "builtins.list"
    if path.startswith("builtins."):
        return _builtin(run, path[9:], call_)
    entry = catalog.lookup(path)
    if entry is None:
        return _uncatalogued(run, path, call_)
    handler = handler_of(entry)
    return handler(run, entry, call_) if handler else _ignored(run, entry, call_)


def handler_of(entry: Entry) -> Handler | None:
    """The handler of the entry's role, the most specific first."""
    return _handler_of_role(entry.role)


@cache
def _handler_of_role(role: str) -> Handler | None:
    from mllint_bio.predict.library import learners, networks

    table: dict[str, Handler] = {**_HANDLERS, **learners.HANDLERS, **networks.HANDLERS}
    while role:
        if role in table:
            return table[role]
        role = role.rpartition(".")[0]
    return None


def literal(call_: Call, entry: Entry, name: str) -> Any:
    """Literal value of an argument, its catalogued default when it is not given; `UNKNOWN` (the value) when it comes from
    outside."""
    value = call_.get(name, entry.params)
    if value is None:
        return UNKNOWN if call_.open else (entry.get("defaults") or {}).get(name)
    return value.value if isinstance(value, Const) else UNKNOWN


def draws(
    run: Run,
    call_: Call,
    fields: Mapping[str, Any],
    params: Sequence[str],
    what: str,
    *,
    at: str,
    purpose: str | None,
    given: Any = None,
    subject: Subject | None = None,
    pool: bool = False,
) -> list[str]:
    """Emit the draws that a call causes at this moment (`at`); the streams that it draws from without a seed of its own.

    `given` are the arguments of the constructor when the draw happens later; `pool`: a pool of processes does the work.
    """
    found: list[str] = []
    for draw in fields.get("draws") or []:
        if draw.get("at", "call") != at or not _holds(draw, call_ if given is None else given, fields, params):
            continue
        seed = draw.get("seed")
        source = call_ if given is None else given
        value = source.get(seed, params) if seed else None
        _note_seed(value)
        if value is not None and not (isinstance(value, Const) and value.value is None):
            continue
        if source.open and (seed or draw.get("when") or draw.get("unless")):
            continue
        if call_.node in run.looked_at and what == "sample":
            continue
        stream = draw["stream"]
        found.append(stream)
        if stream != "own":
            processes = pool or bool(draw.get("processes")) and in_processes(source, params)
            run.emit(
                Draw,
                call_.node,
                stream=stream,
                what=draw.get("what") or what,
                purpose=_purpose(run, purpose or draw.get("purpose", "other")),
                processes=processes,
                subject=subject,
            )
    return found


def in_processes(call_: Call, params: Sequence[str]) -> bool:
    """Whether the call hands its work to a pool of processes (`n_jobs` other than 1)."""
    jobs = call_.get("n_jobs", params)
    return isinstance(jobs, Const) and jobs.value not in (None, 1)


def _purpose(run: Run, purpose: str) -> str:
    """What numbers are drawn for: in `__getitem__` of a data set that a loader reads, noise is augmentation."""
    return "augment" if run.drawing_item and purpose in ("noise", "other") else purpose


def _note_seed(value: Value | None) -> None:
    """A loop whose variable is used as a seed goes over seeds."""
    if isinstance(value, Array) and isinstance(value.loop, Loop) and value.loop.kind is LoopKind.OTHER:
        value.loop.kind = LoopKind.SEED


def _holds(draw: Mapping[str, Any], call_: Call, fields: Mapping[str, Any], params: Sequence[str]) -> bool:
    """Whether the conditions of a draw hold for these arguments; what comes from outside holds for nothing."""
    defaults = fields.get("defaults") or {}
    for name, wanted in (draw.get("when") or {}).items():
        value = call_.get(name, params)
        actual = defaults.get(name) if value is None else value.value if isinstance(value, Const) else UNKNOWN
        if actual is UNKNOWN or actual not in wanted:
            return False
    for name, excluded in (draw.get("unless") or {}).items():
        value = call_.get(name, params)
        actual = defaults.get(name) if value is None else value.value if isinstance(value, Const) else UNKNOWN
        if actual is UNKNOWN or actual in excluded:
            return False
    return True


def make_subject(run: Run, entry: Entry, call_: Call, name: str = "") -> Subject:
    """The subject for an object that a library call builds."""
    given: dict[str, Any] = {}
    unknown = call_.open
    for position, value in enumerate(call_.args):
        key = entry.params[position] if position < len(entry.params) else f"#{position}"
        if isinstance(value, Const):
            given[key] = value.value
        elif isinstance(value, Array) and value.kind in ("config", "unknown", "scalar", "param"):
            unknown = unknown or value.kind == "config"
    for key, value in call_.kwargs.items():
        if isinstance(value, Const):
            given[key] = value.value
    searched = [a for v in (*call_.everything(), *call_.spread) for a in arrays_in(v) if a.owner == "tuned"]
    names = frozenset([*(entry.params[i] for i in range(min(len(call_.args), len(entry.params)))), *call_.kwargs])
    return Subject(
        api=entry.path,
        role=entry.role,
        at=run.site(call_.node),
        name=name,
        given=given,
        arguments=names,
        unknown_arguments=unknown,
        facts={"tuned": True, "searches": frozenset().union(*(a.chosen for a in searched))} if searched else {},
    )


# -- unknown callees -------------------------------------------------------------------------------------------------


def _uncatalogued(run: Run, path: str, call_: Call) -> Value:
    last = path.rsplit(".", 1)[-1]
    if any(word in last.lower() for word in _SEED_HELPER) and not arrays_with_rows(call_):
        run.emit(Seed, call_.node, streams=frozenset({"any"}), call=last)
        return UNKNOWN
    if path in ("sys.exit", "os._exit", "os.abort") or path.endswith(".exit") and path.startswith(("sys", "os")):
        return Ext("!exit")
    if path.startswith(("os.path.", "pathlib.")):
        return _path_call(call_)
    if path.startswith(("functools.partial",)) and call_.args:
        return Partial(call_.args[0], tuple(call_.args[1:]), dict(call_.kwargs))
    if path in _DELAYED and call_.args:
        return call_.args[0]
    if path in _PARALLEL:
        return Ext("!parallel")
    if path == "!parallel" and call_.args:
        return call_.args[0]
    if path in _POOLS:
        return Ext("!pool")
    if path.startswith("!pool.") and call_.args:
        return _pooled(run, last, call_)
    if path in (_RESULT, "concurrent.futures.as_completed") and call_.args:
        return call_.args[0]
    if path == "dataclasses.asdict" and call_.args and isinstance(call_.args[0], Obj):
        return contents.fields_of(call_.args[0])
    if path in ("collections.defaultdict", "collections.OrderedDict"):
        default = call_.at(0) if path.endswith("defaultdict") else None
        content = Call(call_.node, call_.args[1:] if default is not None else call_.args, {})
        content.kwargs.update(call_.kwargs)
        made = _collection_builtin(run, "dict", content)
        if isinstance(made, Dict) and default is not None and default is not NONE:
            made.cells["#default"] = default
        return made
    top = path.split(".", 1)[0]
    if last[:1].isupper() and (catalog.catalogued(top) or any(word in last for word in _CLASS_WORDS)):
        return _unknown_object(run, path, call_)
    if last in _WRITERS:
        run.report(call_.node, call_.everything(), "log")
    result = contents.absorb(run, call_, last)
    return _score_of_unknown(run, last, call_, result)


# What is delayed is done where it stands: the pool hands the same results back, in the same order.
_DELAYED = frozenset(
    f"{module}.delayed" for module in ("joblib", "joblib.parallel", "sklearn.utils.parallel", "sklearn.utils.fixes")
)
_PARALLEL = frozenset(f"{module}.Parallel" for module in ("joblib", "joblib.parallel", "sklearn.utils.parallel"))

_POOLS = frozenset(
    {
        *(f"{package}.Pool" for package in ("multiprocessing", "multiprocessing.pool", "multiprocessing.dummy", "multiprocess")),
        *(f"concurrent.futures.{kind}PoolExecutor" for kind in ("Process", "Thread")),
        "multiprocessing.pool.ThreadPool",
        "torch.multiprocessing.Pool",
    }
)


_RESULT = "!result"


def _pooled(run: Run, name: str, call_: Call) -> Value:
    """What a pool of processes does with a function: `map` and its kin call it for every member, `submit` and its kin once."""
    function, *given = call_.args
    if name == "submit":
        return _future(run, run.call(function, Call(call_.node, given, call_.kwargs, call_.open)), call_)
    if name in ("apply", "apply_async"):
        handed = given[0] if given else call_.kwargs.get("args", Seq("tuple"))
        named = as_mapping(given[1] if len(given) > 1 else call_.kwargs.get("kwds", NONE))
        once = Call(call_.node, list(handed.items) if isinstance(handed, Seq) else [], {}, not isinstance(handed, Seq))
        once.kwargs.update({str(key): value for key, value in named.items.items()} if named else {})
        result = run.call(function, once)
        return result if name == "apply" else _future(run, result, call_)
    if not given:
        return contents.absorb(run, call_, name)
    if name in ("map", "imap", "imap_unordered"):
        members = [iteration.iterated(run, one, call_.node) for one in given if not isinstance(one, Const)]
    elif name == "starmap":
        member = iteration.iterated(run, given[0], call_.node)
        members = list(member.items) if isinstance(member, Seq) else []
    else:
        return contents.absorb(run, call_, name)
    return Seq("list", (), run.call(call_.args[0], Call(call_.node, members, {})))


def _future(run: Run, result: Value, call_: Call) -> Obj:
    """What a pool hands back at once: it is asked for the result later."""
    future = Obj(Subject(api="future", role="future", at=run.site(call_.node)))
    future.cells[".result"] = future.cells[".get"] = Partial(Ext(_RESULT), (result,), {})
    return future


_CLASS_WORDS = ("Loss", "Model", "Net", "Meter", "Metric", "Evaluator")


def _unknown_object(run: Run, path: str, call_: Call) -> Value:
    """An object of a class that the catalog does not describe; if it is used like a network it becomes one."""
    role = "layer" if ".nn." in path or ".layers." in path or path.endswith("Conv") else "object"
    subject = Subject(api=path, role=role, at=run.site(call_.node), unknown_arguments=True)
    obj = Obj(subject)
    obj.cells["#args"] = (tuple(call_.args), dict(call_.kwargs))
    data = blend(run, call_.everything())
    if data.has_rows:
        obj.cells["#data"] = data.but(kind="unknown", rows=data.rows.some(run.site(call_.node)))
    if objects_in_call(call_):
        run.unresolved(path, call_)
    return obj


def objects_in_call(call_: Call) -> list[Obj]:
    """Objects among the arguments."""
    return [obj for value in call_.everything() for obj in objects_in(value)]


def arrays_with_rows(call_: Call) -> list[Array]:
    """Data of known provenance among the arguments."""
    return [array for value in call_.everything() for array in arrays_in(value) if array.has_rows]


def _is_setting(value: Value) -> bool:
    """Whether a value is a number, a size or a setting, and no data."""
    plain = isinstance(value, Array) and value.kind in ("scalar", "shape", "config") and not value.has_rows
    return plain or isinstance(value, Const)


def _score_of_unknown(run: Run, name: str, call_: Call, result: Value) -> Value:
    """A function that gets a prediction and data may be a metric: say that some figure is computed, so that none is missed."""
    predicted = [a for v in call_.everything() for a in arrays_in(v) if a.prediction is not None]
    truth = [a for v in call_.everything() for a in arrays_in(v) if a.prediction is None and a.has_rows]
    if predicted and truth and not run.inside_forward:
        number = scoring.emit_score(run, call_.node, name, "unknown", predicted[0], truth[0])
        if isinstance(result, Array):
            return result.but(scores=result.scores | {number}, rows=predicted[0].rows, name=predicted[0].name)
    return result


def _path_call(call_: Call) -> Value:
    parts = [v.value if isinstance(v, Const) else v.name if isinstance(v, Array) else "" for v in call_.args]
    text = "/".join(str(p) for p in parts if p)
    if all(isinstance(v, Const) for v in call_.args) and call_.args:
        return constant(text if parts[-1] or not text else f"{text}/")  # an empty last part makes it a folder
    merged = [a for v in call_.args for a in arrays_in(v)]
    unordered = next((a.unordered for a in merged if a.unordered), None)
    return Array(kind="text", name=text[:120], unordered=unordered)


def unknown_call(run: Run, callee: Value, name: str, call_: Call) -> Value:
    """Call something that is not known: a parameter, a result of another unknown."""
    if any(word in name.lower() for word in _SEED_HELPER) and not arrays_with_rows(call_):
        run.emit(Seed, call_.node, streams=frozenset({"any"}), call=name)
        return UNKNOWN
    from mllint_bio.predict.library import networks

    if isinstance(callee, Array) and callee.kind in ("param", "unknown") and networks.looks_like_module(callee.name or name):
        if call_.everything() and all(_is_setting(value) for value in call_.everything()):
            return _unknown_object(run, callee.name or name, call_)  # sizes of layers: a class is called, not a network
        module = networks.as_module(run, callee, call_.node)
        return networks.apply_module(run, module, call_)
    if (
        isinstance(callee, Array)
        and callee.kind in ("param", "unknown", "config")
        and networks.looks_like_loss(callee.name or name)
    ):
        return networks.apply_loss(run, None, call_, callee.name or name)
    result = contents.absorb(run, call_, name)
    return _score_of_unknown(run, name or "metric", call_, result)


# -- attributes of library names -------------------------------------------------------------------------------------


def external_attribute(run: Run, receiver: Ext, name: str) -> Value:
    """`library.name`."""
    if receiver.path == "sys" and name == "argv":
        return Seq("list", (), Array(kind="config", name="argv"))
    if receiver.path == "os" and name == "environ":
        return Ext("os.environ")
    if receiver.path == "numpy" and name in ("nan", "inf", "pi", "newaxis", "float32", "float64", "int32", "int64"):
        return NONE if name == "newaxis" else UNKNOWN
    if name == "__name__" and catalog.lookup(receiver.path) is not None:
        return Const(receiver.path.rpartition(".")[2])
    return Ext(f"{receiver.path}.{name}")


def external_item(run: Run, value: Value, indices: Sequence[Value], node: ir.Subscript) -> Value:
    """`library_name[indices]`: np.r_, np.c_, os.environ, typing generics."""
    if isinstance(value, Ext):
        if value.path in ("numpy.r_",):
            parts = [a for i in indices for a in arrays_in(i)]
            return joining.concatenated(run, Call(node, [], {}), parts, False) if parts else UNKNOWN
        if value.path in ("numpy.c_",):
            return joining.side_by_side(run, [a for i in indices for a in arrays_in(i)])
        if value.path == "os.environ":
            return Array(kind="config")
        return value
    return blend(run, [value, *indices])


def set_flag(run: Run, path: str, value: Value, node: ir.Node) -> None:
    """`library.flag = value`: determinism switches, seeds that are attributes."""
    entry = catalog.lookup(path)
    if path.startswith("os.environ."):
        key = path[len("os.environ.") :]
        if key in ("PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG", "TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC"):
            flag = "tf-ops" if key.startswith("TF_") else "env"
            run.emit(Determinism, node, flag=flag, value=True, call=key)
        return
    if path.startswith("wandb."):  # `wandb.summary["auc"] = ...`
        run.report(node, [value], "log")
    if entry is None:
        return
    if entry.is_a("determinism"):
        known = value.value if isinstance(value, Const) and isinstance(value.value, bool) else None
        run.emit(Determinism, node, flag=entry.get("flag", ""), value=known, call=path)
    elif entry.is_a("seed"):
        run.emit(Seed, node, streams=frozenset(entry.get("streams") or ()), call=path, constant=isinstance(value, Const))


def star_import(run: Run, module: str) -> None:
    """`from library import *`: bind the names that the catalog describes directly below that module."""
    top = module.split(".", 1)[0]
    if not catalog.catalogued(top):
        return
    prefix = catalog.canonical(module) + "."
    for file in catalog.files():
        library = catalog.library(file)
        if top not in library.imports:
            continue
        for path in library.entries:
            if path.startswith(prefix) and "." not in path[len(prefix) :]:
                run.bind(path[len(prefix) :], Ext(path))


# -- objects ---------------------------------------------------------------------------------------------------------


def object_attribute(run: Run, obj: Obj, name: str, node: ir.Node) -> Value:
    """`object.name` where the object has no such attribute of its own."""
    from mllint_bio.predict.library import learners, networks

    for module in (learners, networks):
        found: Value | None = module.attribute(run, obj, name, node)
        if found is not None:
            return found
    if obj.subject.role == "namespace":
        return Array(kind="config", name=name)
    if name == "__dict__" and obj.klass is not None:
        return contents.fields_of(obj)
    return Bound_(obj, name)


def object_method(run: Run, obj: Obj, name: str, call_: Call) -> Value:
    """`object.name(...)` where the project defines no such method."""
    from mllint_bio.predict.library import learners, networks

    if not name:  # `getattr(net, phase)`: one of its attributes
        if not call_.everything():
            networks.mode_unclear(run, obj)
        return unknown_call(run, UNKNOWN, "", call_)
    own = catalog.lookup(f"{obj.subject.api}.{name}") if obj.subject.role == "object" and obj.klass is None else None
    if own is not None and own.is_a("array", "ignore"):
        handler = handler_of(own)
        return handler(run, own, call_) if handler else _ignored(run, own, call_)
    for module in (learners, networks):
        found: Value | None = module.method(run, obj, name, call_)
        if found is not None:
            return found
    if obj.is_a("generator"):
        return _generator_method(run, obj, name, call_)
    if obj.is_a("argument"):
        return _argument_method(run, obj, name, call_)
    if obj.is_a("sink"):
        return _sink_method(run, obj, name, call_)
    if obj.is_a("metric"):
        return learners.metric_object(run, obj, name, call_)
    if obj.subject.role == "object" and obj.klass is None:
        figures = frozenset[int]().union(*map(scores_of, call_.everything()))
        if figures and name in _WRITERS:
            run.report(call_.node, call_.everything(), "log")
            return NONE
        if figures:  # a table of results takes them up
            run.write(obj, "#figures", obj.cells.get("#figures", frozenset()) | figures)
    data = obj.cells.get("#data")
    if isinstance(data, Array):
        own = catalog.lookup(f"{obj.subject.api}.{name}") if obj.subject.role == "object" else None
        if own is not None and own.is_a("draw"):
            return _draw(run, own, _with_first(call_, data))
        return members.value_method(run, data, name, call_)
    if obj.is_a("unordered-path") and name in ("glob", "rglob", "iterdir"):
        return contents.listing(run, "glob", call_)
    if objects_in_call(call_) or arrays_with_rows(call_):
        result = contents.absorb(run, call_, name)
        return _score_of_unknown(run, f"{obj.subject.label}.{name}", call_, result)
    known = catalog.lookup(f"{obj.subject.api}.{name}")
    if known is not None:
        handler = handler_of(known)
        if handler:
            return handler(run, known, call_)
    if obj.klass is not None and obj.entry is None and obj.klass.lookup("__fields__") is not None:
        fields = contents.fields_of(obj)
        if scores_of(fields):  # a record, written out by a method of its library: `result.model_dump()`
            return fields
    run.unresolved_on(obj, name, call_)
    return Array(kind="unknown", rows=run.source(call_.node, name))


def invoke(run: Run, obj: Obj, call_: Call) -> Value:
    """`object(...)` for objects of library classes."""
    from mllint_bio.predict.library import learners, networks

    if obj.is_a("metric"):
        return learners.metric_object(run, obj, "__call__", call_)
    return networks.invoke(run, obj, call_)


# What loggers, progress bars, files and dashboards call the methods by which something reaches a reader.
_WRITERS = frozenset(
    {"write", "writelines", "writerow", "info", "debug", "warning", "error", "success", "critical", "log", "print", "echo"}
    | {"add_scalar", "add_scalars", "log_metric", "log_metrics", "metric", "markdown", "report", "set_postfix", "set_description"}
)


def method_of_unknown(run: Run, value: Array, name: str, call_: Call) -> Value | None:
    """Methods whose name says what the unknown receiver is: `.fit` of an estimator, `.eval` of a network, `.backward` of a
    loss."""
    from mllint_bio.predict.library import learners, networks

    found = networks.method_of_unknown(run, value, name, call_)
    if found is None:
        found = learners.method_of_unknown(run, value, name, call_)
    if found is not None:
        return found
    if name in ("to_csv", "to_excel", "to_pickle", "to_parquet", "to_hdf", "to_json", "to_feather", "tofile", "dump"):
        run.report(call_.node, [value, *call_.everything()], "saved")
        run.emit(
            Save,
            call_.node,
            what="predictions" if value.prediction else "indices" if value.kind == "index" else "data",
            data=value.view(),
        )
        if "mode" not in call_.kwargs:  # not appended to what is there
            handover.wrote(run, call_.at(0), value)
        return NONE
    if value.kind in ("text", "config", "unknown", "param") and name in ("glob", "rglob", "iterdir"):
        return contents.listing(run, "glob", call_)
    if name in ("plot", "hist", "boxplot", "bar", "scatter"):
        run.report(call_.node, [value, *call_.everything()], "plot")
        return UNKNOWN
    if name in _WRITERS:
        run.report(call_.node, call_.everything(), "log")
        return NONE
    if name in ("show", "write_html", "write_image") and value.scores:
        run.report(call_.node, [value], "plot")
        return NONE
    return None


# -- roles that are no learners and no networks ----------------------------------------------------------------------


def _ignored(run: Run, entry: Entry, call_: Call) -> Value:
    merged = blend(run, call_.everything())
    if merged.has_rows or merged.scores:
        return merged
    return _path_call(call_) if entry.path in _PATHS else UNKNOWN


_PATHS = frozenset(f"os.path.{name}" for name in ("join", "expanduser", "abspath", "realpath"))


def _seed(run: Run, entry: Entry, call_: Call) -> Value:
    draws(run, call_, entry.fields, entry.params, entry.path, at="call", purpose=None)
    parameter = entry.get("value") or (entry.params[0] if entry.params else "seed")
    value = call_.get(parameter, entry.params) or (call_.at(0) if not entry.params else None)
    clock = isinstance(value, Array) and value.noise == "clock"
    missing = value is None or (isinstance(value, Const) and value.value is None)
    unseeds = clock or (missing and not call_.open and entry.get("fallback") == "unseeded")
    constant = isinstance(value, Const) and value.value is not None
    run.emit(
        Seed,
        call_.node,
        streams=frozenset(entry.get("streams") or ()),
        call=entry.path.replace("builtins.", ""),
        constant=constant,
        value=value.value if isinstance(value, Const) else None,
        unseeds=unseeds,
    )
    _also(run, entry, call_)
    if entry.is_a("seed") and entry.path.endswith("TrainingArguments"):
        return Obj(make_subject(run, entry, call_))
    return UNKNOWN


def _also(run: Run, entry: Entry, call_: Call) -> None:
    """Determinism flags that a call sets on the way (`monai.set_determinism`, `Trainer(deterministic=...)`)."""
    for flag, source in (entry.get("also") or {}).items():
        value: Any = source
        if isinstance(source, str):
            value = literal(call_, entry, source)
            if value is UNKNOWN:
                value = None
            elif value is None or value is False:
                continue
            else:
                value = bool(value)
        run.emit(Determinism, call_.node, flag=flag, value=value, call=entry.path)


def _unseed(run: Run, entry: Entry, call_: Call) -> Value:
    run.emit(Seed, call_.node, streams=frozenset(entry.get("streams") or ()), call=entry.path, unseeds=True)
    return UNKNOWN


def _determinism(run: Run, entry: Entry, call_: Call) -> Value:
    value = literal(call_, entry, entry.get("value")) if entry.get("value") else True
    known: bool | None
    if value is UNKNOWN:
        known = None
    elif isinstance(value, str):
        known = value not in ("default", "0")
    else:
        known = True if value is None else bool(value)
    run.emit(Determinism, call_.node, flag=entry.get("flag", "all-ops"), value=known, call=entry.path)
    _also(run, entry, call_)
    if entry.get("streams"):
        run.emit(Seed, call_.node, streams=frozenset(entry.get("streams")), call=entry.path)
    return UNKNOWN


def _generator(run: Run, entry: Entry, call_: Call) -> Value:
    value = call_.get(entry.get("value") or "seed", entry.params) or call_.at(0)
    seeded = value is not None and not (isinstance(value, Const) and value.value is None)
    if entry.get("kind") == "torch":
        seeded = True  # its default seed is fixed
    frame = run.frames[-1]
    name = frame.func.name if frame.func is not None else ""
    place = "module" if frame.func is None else name if name in ("__init__", "__getitem__") else "function"
    subject = make_subject(run, entry, call_)
    run.emit(Generator, call_.node, subject=subject, seeded=seeded, constant=isinstance(value, Const) and seeded, place=place)
    obj = Obj(subject, None, entry)
    obj.cells["#seeded"] = seeded
    return obj


def _generator_method(run: Run, obj: Obj, name: str, call_: Call) -> Value:
    if name in ("manual_seed", "seed"):
        run.write(obj, "#seeded", True)
        return obj
    uses: set[str] = obj.subject.facts.setdefault("used_in", set())
    frame = run.frames[-1]
    uses.add(frame.func.name if frame.func is not None else "module")
    library = obj.subject.facts.get("library") or (obj.entry.get("kind") if obj.entry else "numpy")
    path = {"numpy": f"numpy.random.{name}", "python": f"random.{name}", "torch": f"torch.{name}"}.get(library or "numpy", name)
    if not obj.cells.get("#seeded"):
        run.emit(Draw, call_.node, stream="own", what=f"{obj.subject.label}().{name}", purpose="other", subject=obj.subject)
    entry = catalog.lookup(path if name != "integers" else "numpy.random.randint")
    run.orders[run.site(call_.node)] = ("own", bool(obj.cells.get("#seeded")))
    if entry is not None and entry.is_a("draw"):
        drawn = _drawn_rows(run, entry, call_)
        return Array(kind="noise", noise=obj.subject.label, drawn=drawn, order=run.site(call_.node))
    if entry is not None and entry.is_a("array"):
        fields = {k: v for k, v in entry.fields.items() if k != "draws"}
        return _apply(run, Entry(entry.path, entry.role, fields), call_)
    if name == "spawn":
        return obj
    return Array(kind="noise", noise=obj.subject.label)


def _draw(run: Run, entry: Entry, call_: Call) -> Value:
    emitted = draws(run, call_, entry.fields, entry.params, _call_name(entry), at="call", purpose=None)
    if not entry.get("draws") and entry.get("stream") not in (None, "own"):
        run.emit(Draw, call_.node, stream=entry.get("stream"), what=_call_name(entry), purpose=_purpose(run, "noise"))
    merged = blend(run, [v for v in call_.everything() if isinstance(v, Array) and v.has_rows])
    if merged.has_rows:
        return merged.but(noise="draw")
    site = run.site(call_.node)
    run.orders.setdefault(site, (emitted[0] if emitted else str(entry.get("stream") or ""), False))
    return Array(kind="noise", noise="draw", linear=None, drawn=_drawn_rows(run, entry, call_), order=site)


def _drawn_rows(run: Run, entry: Entry, call_: Call) -> Rows:
    """The rows that drawn numbers are if they are used as data: those of the table they are drawn for, or rows of their own.

    None for single numbers, for a few, and for noise in the shape of something else.
    """
    parameter = entry.get("shape")
    shape = call_.at(0) if parameter == "*" else call_.get(parameter, entry.params) if parameter else None
    if shape is None:
        return next(
            (a.drawn for v in call_.everything() for a in arrays_in(v) if a.kind == "noise" and a.drawn.known), UNKNOWN_ROWS
        )
    if isinstance(shape, Seq):
        shape = shape.items[0] if shape.items else UNKNOWN
    if isinstance(shape, Array) and shape.kind != "shape" and shape.base.known:
        return shape.base
    several = shape.value > 3 if isinstance(shape, Const) and isinstance(shape.value, int) else isinstance(shape, Array)
    if not several or isinstance(shape, Array) and shape.kind == "shape":
        return UNKNOWN_ROWS
    run.drawn += 1
    return run.source(call_.node, part=run.drawn if run.loops else None)  # each round of a loop draws others


def _call_name(entry: Entry) -> str:
    """`numpy.random.choice` reads better than `choice`."""
    return entry.path.replace("numpy.", "np.") if entry.path.startswith(("numpy.", "random.")) else entry.path.rsplit(".", 1)[-1]


_LAYOUT = frozenset({"columns", "dtype", "device", "name"})  # what a table or tensor without rows may be given


def _array(run: Run, entry: Entry, call_: Call) -> Value:
    made = _apply(run, entry, call_)
    if not isinstance(made, Array) or not made.has_rows:
        return made
    if entry.path.startswith("tensorflow.data.Dataset.from_tensor"):
        return made.but(kind="dataset")
    stacks = entry.path.startswith(("numpy.", "pandas.DataFrame")) and entry.get("op") in ("keep", "concat")
    stacked = stacks and isinstance(call_.at(0), Seq)
    return made.but(across=made.across | made.learned) if stacked and made.learned else made  # either way: `vstack([a, b]).T`


def _apply(run: Run, entry: Entry, call_: Call) -> Value:
    """A catalogued function on arrays: pick the data argument, then apply the operation."""
    op = entry.get("op")
    name = entry.path.rsplit(".", 1)[-1]
    if entry.path == "itertools.product" and not call_.kwargs and objects_in_call(call_):
        members = [iteration.iterated(run, value, call_.node) for value in call_.args]
        return _iterator(call_.args[0], Seq("tuple", members))
    parameter = entry.get("data") or (entry.params[0] if entry.params else None)
    first = call_.get(parameter, entry.params) if parameter else call_.at(0)
    if _without_rows(op, parameter, call_, first):
        return EMPTY
    if first is None:
        first = call_.at(0) or next(iter(call_.kwargs.values()), None) or UNKNOWN
    bar = entry.path == "tqdm.tqdm" and isinstance(first, (Seq, Dict))  # around `enumerate(loader)`, `zip(names, models)`
    if op == "keep" and (bar or (isinstance(first, Obj) and first.is_a("loader", "dataset"))):
        return first  # a progress bar around a loader is that loader
    operation = Operation(run, call_, name, entry.params, entry.fields)
    if op in ("concat", "columns"):
        operation._draw(op, UNKNOWN)
        rest = first.rest if isinstance(first, Seq) and not first.items and op == "concat" else None
        if isinstance(rest, Array) and rest.owner != "repeated":
            rest = rest if name == "stack" else growth.rejoined(run, rest)
            return rest.but(kind="noise" if rest.kind == "noise" else "array", linear=None, mask=None, ordered=rest.ordered)
        listed = op == "concat" and len(call_.args) <= 2 and name not in ("append", "insert")
        parts = [a for v in ([first] if listed else call_.args) for a in arrays_in(v)]
        if not parts:
            return UNKNOWN
        # A new axis over arrays of the same rows (`np.stack([1 - p, p])`) holds figures of each row, not rows twice.
        alike = name == "stack" and all(part.has_rows and part.rows == parts[0].rows for part in parts)
        if op == "columns" or operation.over_columns() or alike:
            return joining.side_by_side(run, parts)
        return joining.concatenated(run, call_, parts, False)
    if op == "permutation" and isinstance(first, Const):
        operation._draw(op, UNKNOWN)
        base = run.source(call_.node, "indices")
        return Array(kind="index", rows=base, base=base, ordered="shuffled", order=run.site(call_.node))
    if op == "index":
        return _positions(run, entry, call_)
    if isinstance(first, Choice):
        return join_all([_apply(run, entry, _with_first(call_, option)) for option in first.options if option is not NONE])
    if op == "keep" and isinstance(first, (Seq, Dict)):
        element = data_of(first)
        if element.scores and entry.path == "pandas.DataFrame":
            return results.tabulated(element.but(kind="figure", linear=None), first, call_.get("columns", entry.params))
        columns = arrays_in(first) if isinstance(first, Dict) else []
        if any(one.drawn.known for one in columns) and not any(one.has_rows and one.kind != "range" for one in columns):
            columns = [contents.as_data(one) for one in columns if one.kind == "noise"]  # a simulated table
            return joining.side_by_side(run, columns).but(kind="table")
        if isinstance(first, Seq) and first.cells.get("#zipped") and first.rest is not None:
            columns = arrays_in(first.rest)
        if columns and element.has_rows:
            return joining.side_by_side(run, columns).but(kind="table")
        if isinstance(first, Seq) and first.items and not arrays_in(first):
            return Array(kind="array", rows=UNKNOWN_ROWS)
        collected = element.kind == "scalar" and isinstance(first, Seq) and first.rest is not None and not element.scores
        whole = collected or element.kind in ("item", "batch", "unknown", "text", "param")
        return element.but(kind="array" if whole else element.kind, linear=None)
    value = contents.as_array(first)
    if value is None:
        value = data_of(first)
    if entry.path == "pandas.DataFrame" and notes.names_of_another(call_.get("columns", entry.params), value):
        notes.note_aligned(run, value)
    if value.kind == "noise" and entry.path.startswith("pandas."):
        value = contents.as_data(value)
        value = value.but(kind="table") if value.has_rows else value
    seq = isinstance(first, Seq)
    if seq and op == "stat" and value.group:
        value = value.but(group="")  # one figure of several rows
    if op == "shuffle" and call_.args and isinstance(first, (Array, Seq)):
        if entry.path in _IN_PLACE:
            return _shuffle_in_place(run, entry, call_, first, operation)
        return _shuffled_copies(run, call_, operation)
    by_row = op == "argmax" and operation.over_columns()  # the likeliest class of each
    if op in ("stat", "argmax", "sort") and seq and value.scores and not by_row:
        if name in ("max", "min", "argmax", "argmin", "nanmax", "nanmin", "amax", "amin", "argsort", "sort", "nanargmax"):
            return choose(run, call_.node, value, name)
        figure = value.but(kind="figure")
        return figure if figure.shown else contents.condensed(figure, name)  # the mean of the largest of each fold stays that
    if op == "sample" and isinstance(first, Seq) and not value.has_rows:
        operation._draw(op, UNKNOWN)
        if first.items and all(isinstance(item, Const) and isinstance(item.value, bool) for item in first.items):
            return Array(kind="noise", noise="draw", order=run.site(call_.node))  # a mask
        return first.element() if name == "choice" else Seq("list", (), first.element())
    others = list(call_.args[1:]) if call_.args and call_.args[0] is first else call_.args
    return operation.apply(
        op, value, others[0] if others else next((v for k, v in call_.kwargs.items() if k not in ("axis", "dim")), None)
    )


def _without_rows(op: str, parameter: str | None, call_: Call, first: Value | None) -> bool:
    """Whether a new array has no rows: `torch.Tensor()`, `np.array([])`, `np.empty((0, 5))`."""
    if op == "keep":
        written = call_.node.args[0][1] if isinstance(call_.node, ir.Call) and call_.node.args else None
        unfilled = first is None and not call_.args and not call_.open and call_.kwargs.keys() <= _LAYOUT
        return unfilled or (isinstance(written, ir.Collection) and not written.items)
    if op != "zeros" or parameter not in ("shape", "size"):
        return False
    length = first.items[0] if isinstance(first, Seq) and first.items else first
    return isinstance(length, Const) and length.value == 0


def _positions(run: Run, entry: Entry, call_: Call) -> Array:
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


def _with_first(call_: Call, value: Value) -> Call:

    return Call(call_.node, [value, *call_.args[1:]], call_.kwargs, call_.open)


_IN_PLACE = frozenset({"random.shuffle", "numpy.random.shuffle"})


def _shuffled_copies(run: Run, call_: Call, operation: Operation) -> Value:
    """`X, y = shuffle(X, y)`: the arguments, all in one new order."""
    operation._draw("shuffle", UNKNOWN)
    site = run.site(call_.node)
    copies: list[Value] = []
    for value in call_.args if "arrays" in operation.params or not operation.params else call_.args[:1]:
        array = data_of(value) if isinstance(value, Seq) else value
        known = isinstance(array, Array) and (array.has_rows or array.prediction is not None)
        copies.append(array.but(ordered="shuffled", order=site, linear=None) if known and isinstance(array, Array) else value)
    return copies[0] if len(copies) == 1 else Seq("list", copies)


def _shuffle_in_place(run: Run, entry: Entry, call_: Call, first: Value, operation: Operation) -> Value:
    operation._draw("shuffle", UNKNOWN)
    site = run.site(call_.node)
    if isinstance(first, Seq):
        element = first.element()
        if isinstance(element, Array) and first.rest is not None:
            run.write(first, "rest", element.but(ordered="shuffled"))
        elif isinstance(element, Seq) and element.exact and first.rest is not None:
            pairs = [one.but(ordered="shuffled", order=site) if isinstance(one, Array) else one for one in element.items]
            run.write(first, "rest", Seq(element.kind, pairs))
        return NONE
    assert isinstance(first, Array)
    shuffled = first.but(ordered="shuffled", order=site, linear=None)
    node = call_.node
    if isinstance(node, ir.Call) and node.args:
        run._update_receiver(node.args[0][1], shuffled)
    return NONE


def _stateless(run: Run, entry: Entry, call_: Call) -> Value:
    value = data_of(call_.get(entry.get("data") or (entry.params[0] if entry.params else ""), entry.params) or call_.at(0))
    return value.but(linear=None, mask=None)


def _data_source(run: Run, entry: Entry, call_: Call) -> Value:
    location = call_.get(entry.get("location") or (entry.params[0] if entry.params else ""), entry.params) or call_.at(0)
    text = (
        location.value
        if isinstance(location, Const) and isinstance(location.value, str)
        else location.name
        if isinstance(location, Array)
        else ""
    )
    inputs = [a for a in arrays_with_rows(call_) if a.kind not in ("text", "config", "unknown")]
    draws(run, call_, entry.fields, entry.params, entry.path.rsplit(".", 1)[-1], at="call", purpose=None)
    yields = entry.get("yields", "table")
    kind = entry.get("kind", "file")
    if kind == "toy":
        text = entry.path.rsplit(".", 1)[-1]
    size = entry.get("size") if isinstance(entry.get("size"), int) else None
    key = text if kind == "file" and text and isinstance(location, Const) else None
    rows = run.source_of(call_.node, text or entry.path.rsplit(".", 1)[-1], key, size)
    if inputs and yields == "table" and kind != "file":
        rows = inputs[0].rows
    if isinstance(location, Array) and location.kind in ("item", "batch") and location.has_rows:  # one file of a listing
        shape = "table" if entry.path.startswith("pandas.") else "array"
        return location.but(kind=shape, rows=location.rows.some((run.site(call_.node), run.calls)))
    if yields == "dataset" and isinstance(location, Array) and location.has_rows and location.kind == "array":  # of these files
        return location.but(kind="dataset")
    data = Array(kind={"dataset": "dataset", "loader": "loader"}.get(yields, "table"), rows=rows, name="")
    columns = call_.kwargs.get("usecols")
    if columns is not None and not isinstance(columns, Const):
        data = data.but(across=frozenset({Narrowed(columns)}))
    if isinstance(location, Array) and location.unordered:
        data = data.but(unordered=location.unordered)
    if key is not None and yields in ("table", "object"):
        data = run.written.get(key) or data.but(learned=handover.received(run, key, rows))
    run.emit(Load, call_.node, data=data.view(), kind=kind, location=str(text))
    as_arrays = literal(call_, entry, "return_X_y") is True or yields == "arrays" and "return_X_y" not in entry.params
    if yields == "split":
        pair = [Seq("tuple", [data.but(rows=run.source(call_.node, part, part), name=part)] * 2) for part in ("train", "test")]
        return Seq("tuple", pair)
    if as_arrays:
        return Seq("tuple", [data.but(kind="array", column="features"), data.but(kind="array", column="target")])
    if yields == "object":
        return run.saved.get(str(text)) or (data if key in run.written else data.but(kind="unknown", owner="restored"))
    if yields == "split-dict":  # `datasets.load_dataset`: parts by their names, unless one is asked for
        asked = call_.get("split", entry.params)
        if isinstance(asked, Seq) and asked.exact:
            return Seq("list", [contents.member_of(data, str(p.value)) if isinstance(p, Const) else data for p in asked.items])
        return data.but(kind="dataset", owner="restored" if asked is None else None)
    if yields == "loader":
        subject = make_subject(run, entry, call_)
        shuffle = (
            literal(call_, entry, entry.get("shuffle")) if isinstance(entry.get("shuffle"), str) else entry.get("shuffle", False)
        )
        shuffle = shuffle if isinstance(shuffle, bool) else None
        run.emit(Loader, call_.node, subject=subject, data=data.view(), shuffle=shuffle, drop_last=False)
        return data.but(loader=subject)
    if yields == "dataset":
        return data
    if yields == "bunch":
        parts = {"data": data.but(column="features"), "target": data.but(column="target"), "frame": data}
        bunch = Dict(dict(parts), data)
        bunch.cells["#bunch"] = True
        return bunch
    return data


def _unordered(run: Run, entry: Entry, call_: Call) -> Value:
    return contents.listing(run, entry.get("how") or entry.path, call_)


def _clock(run: Run, entry: Entry, call_: Call) -> Value:
    return Array(kind="scalar", noise="clock")


def _argument(run: Run, entry: Entry, call_: Call) -> Value:
    if entry.get("style") == "argparse" or entry.path.endswith("ArgumentParser"):
        return Obj(make_subject(run, entry, call_), None, entry)
    if entry.path.startswith("json.") and isinstance(read := call_.at(0), Array):
        return Array(kind="config", name="config", owner=("json", run.source_of(call_.node, read.name or "json", None)))
    return Array(kind="config", name="config")


def _argument_method(run: Run, obj: Obj, name: str, call_: Call) -> Value:
    if name in ("parse_args", "parse_known_args"):
        namespace = Array(kind="config", name="args")
        return Seq("tuple", [namespace, UNKNOWN]) if name == "parse_known_args" else namespace
    default = call_.kwargs.get("default")
    drawn = default.order if isinstance(default, Array) and default.kind == "noise" else None
    for number, event in enumerate(run.events) if drawn is not None else ():
        if isinstance(event, Draw) and event.at == drawn:
            run.amend(number, purpose="option")
    return obj


def _sink(run: Run, entry: Entry, call_: Call) -> Value:
    how = entry.get("how") or "log"
    values = [v for k, v in call_.kwargs.items() if k != "file"] + call_.args
    run.report(call_.node, values, how)
    if how == "save":
        written = [a for v in call_.everything() for a in arrays_in(v)]
        saved = list({a.rows: a for a in reversed(written) if a.has_rows}.values())[::-1] or written[:1]
        objs = objects_in_call(call_)
        if objs:
            run.emit(Save, call_.node, what="model")
            place = call_.get(entry.get("location") or "", entry.params) or call_.at(1)
            if len(objs) == 1 and _text(place):
                run.saved[_text(place)] = objs[0]
        if len(saved) == 1:
            handover.wrote(run, call_.get(entry.get("location") or "", entry.params), saved[0])
        for one in saved if not objs else ():
            run.emit(
                Save,
                call_.node,
                what="indices" if one.kind == "index" else "predictions" if one.prediction else "data",
                data=one.view(),
            )
    if how in ("plot",):
        return UNKNOWN
    if entry.path.rsplit(".", 1)[-1][:1].isupper():
        return Obj(make_subject(run, entry, call_), None, entry)
    return UNKNOWN


def _sink_method(run: Run, obj: Obj, name: str, call_: Call) -> Value:
    run.report(call_.node, call_.everything(), "log")
    return UNKNOWN


def _device(run: Run, entry: Entry, call_: Call) -> Value:
    device = entry.get("device") or ""
    if device.startswith("$"):
        value = call_.get(device[1:], entry.params) or call_.at(0)
        text = emit_device(run, call_.node, value)
        if isinstance(value, Array):
            return value.but(kind="config")
        return Array(kind="config", name=text, owner="conditional" if device_is_conditional(run, value) else None)
    if device and device not in ("cpu", "auto"):
        run.emit(Device, call_.node, device=device, conditional=bool(run.branch))
    return Array(kind="config", name=device)


def emit_device(run: Run, node: ir.Node, value: Value | None, module: Subject | None = None) -> str:
    """Record the accelerator that the value names, if it names one; its name."""
    text = device_text(value)
    if text:
        run.emit(Device, node, device=text, conditional=device_is_conditional(run, value), module=module)
    return text


def device_if_any(test: ir.Expr, chosen: Value, otherwise: Value) -> Value | None:
    """The accelerator of `args.device if torch.cuda.is_available() else "cpu"`, whatever it is called; None for other values."""
    asked = any(isinstance(node, ir.Attribute) and node.name == "is_available" for node in ir.walk(test))
    unnamed = isinstance(chosen, Array) and not chosen.has_rows and not device_text(chosen)
    if asked and unnamed and isinstance(otherwise, Const) and otherwise.value == "cpu":
        return Array(kind="config", name="cuda", owner="conditional")
    return None


def device_is_conditional(run: Run, value: Value | None) -> bool:
    """Whether the device is used only if there is one: chosen among several, chosen before, or named in an arm of a branch."""
    chosen = isinstance(value, Array) and value.owner == "conditional"
    return chosen or isinstance(value, Choice) or bool(run.branch)


def device_text(value: Value | None) -> str:
    """`cuda`, `mps` or `gpu` if the value may name such a device."""
    for option in value.options if isinstance(value, Choice) else (value,):
        text = option.value if isinstance(option, Const) else option.name if isinstance(option, Array) else ""
        if isinstance(text, str):
            for device in ("cuda", "mps", "gpu"):
                if device in text.lower():
                    return device
        elif isinstance(text, int) and not isinstance(text, bool):
            return "cuda"
    return ""


def _weights(run: Run, entry: Entry, call_: Call) -> Value:
    kind = entry.get("kind")
    value = call_.at(0) or next(iter(call_.kwargs.values()), UNKNOWN)
    if kind == "copy":
        if isinstance(value, Array) and value.kind == "weights":
            of = value.owner if isinstance(value.owner, tuple) else ()
            return value if entry.get("returns") == "reference" else value.but(owner=(*of, contents.COPIED))
        if isinstance(value, Obj):
            return copied(run, value, call_.node)
        return value
    if kind == "save":
        objs = objects_in(value)
        place = call_.at(1)
        owners = value.owner if isinstance(value, Array) and isinstance(value.owner, tuple) else ()
        subject = next((o.subject for o in (*objs, *owners) if isinstance(o, Obj)), None)
        run.report(call_.node, call_.everything(), "saved")
        if subject is None and isinstance(value, Array) and value.has_rows:
            run.emit(Save, call_.node, what="data", data=value.view())
        else:
            kept = next((a.name for a in arrays_in(value) if a.kind == "weights" and a.name), "")
            run.emit(Weights, call_.node, subject=subject, action="save", name=_text(place), of=kept, improving=run.improving)
            if isinstance(value, Obj) and _text(place):
                run.saved[_text(place)] = value
        return NONE
    if kind == "load":
        whole = run.saved.get(_text(value))
        if whole is None and entry.get("returns") == "copy" and entry.get("style") == "keras":
            described = catalog.lookup("keras.Model")
            whole = Obj(Subject(api="keras.Model", role="estimator.deep", at=run.site(call_.node)), None, described)
        if whole is not None:
            run.emit(Weights, call_.node, subject=whole.subject, action="load", name=_text(value))
            return whole
        return Array(kind="weights", rows=run.source(call_.node, _text(value)), owner=("file", _text(value)), name="loaded")
    return value


def copied(run: Run, obj: Obj, node: ir.Node) -> Obj:
    """A copy of an object: same settings, a life of its own (`copy.deepcopy`, `sklearn.base.clone`)."""
    subject = Subject(
        api=obj.subject.api,
        role=obj.subject.role,
        at=run.site(node),
        name=obj.subject.name,
        given=obj.subject.given,
        arguments=obj.subject.arguments,
        unknown_arguments=obj.subject.unknown_arguments,
        parts=list(obj.subject.parts),
        facts={**obj.subject.facts, "copy": True},
    )
    twin = Obj(subject, obj.klass, obj.entry)
    twin.cells.update(obj.cells)
    return twin


def _text(value: Value | None) -> str:
    return str(value.value) if isinstance(value, Const) else value.name if isinstance(value, Array) else ""


def _no_grad(run: Run, entry: Entry, call_: Call) -> Value:
    flag = call_.at(0)
    if entry.path.endswith("set_grad_enabled"):
        if isinstance(flag, Const) and flag.value is False:
            return Array(kind="no-grad")
        return UNKNOWN
    if entry.path.endswith("enable_grad"):
        return UNKNOWN
    if call_.args and isinstance(call_.args[0], Func):  # used as a decorator by hand
        return call_.args[0]
    return Array(kind="no-grad")


_HANDLERS: dict[str, Handler] = {
    "seed": _seed,
    "unseed": _unseed,
    "determinism": _determinism,
    "generator": _generator,
    "draw": _draw,
    "array": _array,
    "stateless-function": _stateless,
    "data-source": _data_source,
    "unordered": _unordered,
    "clock": _clock,
    "argument": _argument,
    "sink": _sink,
    "device": _device,
    "weights": _weights,
    "no-grad": _no_grad,
    "ignore": _ignored,
    "tuner.space": _ignored,
}


# -- builtins --------------------------------------------------------------------------------------------------------


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


def _builtin(run: Run, name: str, call_: Call) -> Value:
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
        return _collection_builtin(run, name, call_)
    if name == "open":
        text = _text(first)
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
                run._set_attribute(call_.args[0], str(option.value), call_.args[2])
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


def _collection_builtin(run: Run, name: str, call_: Call) -> Value:
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
        pairs = _iterator(first, Seq("tuple", [counter, inner]))
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
        pairs = _iterator(call_.args[0], Seq("tuple", members))
        pairs.cells["#zipped"] = True
        if any(isinstance(a, Array) and a.kind == "range" for a in call_.args):
            pairs.cells["#counted"] = next((a for a in call_.args if isinstance(a, Array) and a.unordered), None)
        return pairs
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


def _iterator(source: Value | None, element: Value) -> Seq:
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
    return _positions(run, Entry("builtins.range", "array", {"params": ["start", "stop", "step"]}), call_).but(kind="range")
