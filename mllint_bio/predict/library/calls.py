"""Calls of library names: find the catalog entry, map the arguments, and hand over to the handler of its role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from mllint_bio import catalog
from mllint_bio.catalog import Entry
from mllint_bio.events import Determinism, Draw, Load, Loader, Save, Seed, Subject, Weights
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import (
    contents,
    devices,
    growth,
    handover,
    iteration,
    joining,
    members,
    notes,
    results,
    scoring,
    seeding,
)
from mllint_bio.predict.library.builtin import call_builtin, collection, iterator, positions
from mllint_bio.predict.library.choices import choose
from mllint_bio.predict.library.contents import arrays_in, blend, data_of, objects_in, passed_on, scores_of, text_of
from mllint_bio.predict.library.operations import Operation
from mllint_bio.predict.library.seeding import SEED_HELPER_WORDS, draws
from mllint_bio.predict.library.subjects import literal, make_subject
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
    Narrowed,
    Obj,
    Partial,
    Seq,
    Value,
    as_mapping,
    constant,
    join_all,
    role_of_name,
)
from mllint_bio.rows import UNKNOWN_ROWS

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

Handler = Callable[["Run", Entry, "Call"], Value]


def call(run: Run, path: str, call_: Call) -> Value:
    """Call a library name."""
    if path == "collections.deque":
        path = "builtins.list"
    if path.startswith("builtins."):
        return call_builtin(run, path[9:], call_)
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
    from mllint_bio.predict.library import cross_validation, learners, loaders, metrics, networks, optimizers, splitters, tuners

    modules = (seeding, devices, learners, splitters, cross_validation, metrics, tuners, networks, loaders, optimizers)
    table: dict[str, Handler] = dict(_HANDLERS)
    for one in modules:
        table.update(one.HANDLERS)
    while role:
        if role in table:
            return table[role]
        role = role.rpartition(".")[0]
    return None


# -- unknown callees -------------------------------------------------------------------------------------------------


def _uncatalogued(run: Run, path: str, call_: Call) -> Value:
    last = path.rsplit(".", 1)[-1]
    if any(word in last.lower() for word in SEED_HELPER_WORDS) and not arrays_with_rows(call_):
        run.emit(Seed, call_.node, streams=frozenset({"any"}), call=last)
        return UNKNOWN
    if path in ("sys.exit", "os._exit", "os.abort") or path.endswith(".exit") and path.startswith(("sys", "os")):
        return Ext("!exit")
    if path.startswith(("os.path.", "pathlib.")):
        return contents.joined_path(call_.args)
    if path.startswith(("functools.partial",)) and call_.args:
        return Partial(call_.args[0], tuple(call_.args[1:]), dict(call_.kwargs))
    if path in _DELAYED and call_.args:
        return call_.args[0]
    if path in _COMPILED and (same := _compiled(call_)) is not None:
        return same
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
        made = collection(run, "dict", content)
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


def unknown_call(run: Run, callee: Value, name: str, call_: Call) -> Value:
    """Call something that is not known: a parameter, a result of another unknown."""
    if any(word in name.lower() for word in SEED_HELPER_WORDS) and not arrays_with_rows(call_):
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
        fields = contents.fields_of(obj)
        fields.cells["#fields_of"] = obj
        return fields
    return Bound_(obj, name)


def object_method(run: Run, obj: Obj, name: str, call_: Call) -> Value:
    """`object.name(...)` where the project defines no such method."""
    from mllint_bio.predict.library import learners, metrics, networks

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
        return metrics.metric_object(run, obj, name, call_)
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
            return seeding.draw(run, own, _with_first(call_, data))
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
    from mllint_bio.predict.library import metrics, networks

    if obj.is_a("metric"):
        return metrics.metric_object(run, obj, "__call__", call_)
    return networks.invoke(run, obj, call_)


# What loggers, progress bars, files and dashboards call the methods by which something reaches a reader.
_WRITERS = frozenset(
    {"write", "writelines", "writerow", "info", "debug", "warning", "error", "success", "critical", "log", "print", "echo"}
    | {"add_scalar", "add_scalars", "log_metric", "log_metrics", "metric", "markdown", "report", "set_postfix", "set_description"}
)


def method_of_unknown(run: Run, value: Array, name: str, call_: Call) -> Value | None:
    """Methods whose name says what the unknown receiver is: `.fit` of an estimator, `.eval` of a network, `.backward` of a
    loss."""
    from mllint_bio.predict.library import graphs, learners, networks

    if name == "run" and (fetched := graphs.ran(run, call_)) is not None:
        return fetched
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


# What is compiled, or remembers its results, computes what it did before.
_COMPILED = frozenset({"tensorflow.function", "jax.jit", "numba.jit", "numba.njit", "functools.cache", "functools.lru_cache"})


def _compiled(call_: Call) -> Value | None:
    """The function of the project that is compiled; nothing if the call makes a decorator."""
    first = call_.at(0) or call_.kwargs.get("func")
    return first if isinstance(first, (Bound_, Func, Partial)) else None


def _ignored(run: Run, entry: Entry, call_: Call) -> Value:
    if entry.path in _COMPILED and (same := _compiled(call_)) is not None:
        return same
    found = passed_on(run, call_)
    named = found is UNKNOWN or isinstance(found, Array) and found.kind == "param"  # what is joined to a path is a path
    return contents.joined_path(call_.args) if named and entry.path in _PATHS else found


_PATHS = frozenset(
    [f"os.path.{name}" for name in ("join", "expanduser", "abspath", "realpath")]
    + [f"pathlib.{name}" for name in ("Path", "PurePath", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")]
)


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
        return iterator(call_.args[0], Seq("tuple", members))
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
        return positions(run, entry, call_)
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
    """Whether a new array has no rows: `torch.Tensor()`, `np.array([])`, `np.empty((0, 5))`; a first row of `np.empty((1, 5))` is
    deleted when others have been put below it."""
    if op == "keep":
        written = call_.node.args[0][1] if isinstance(call_.node, ir.Call) and call_.node.args else None
        unfilled = first is None and not call_.args and not call_.open and call_.kwargs.keys() <= _LAYOUT
        return unfilled or (isinstance(written, ir.Collection) and not written.items)
    if op != "zeros" or parameter not in ("shape", "size"):
        return False
    length = first.items[0] if isinstance(first, Seq) and first.items else first
    wide = isinstance(first, Seq) and len(first.items) == 2
    return isinstance(length, Const) and (length.value == 0 or wide and length.value == 1)


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
        drawn = seeding.drawn_rows(run, entry, call_)
        return Array(kind="noise", noise=obj.subject.label, drawn=drawn, order=run.site(call_.node))
    if entry is not None and entry.is_a("array"):
        fields = {k: v for k, v in entry.fields.items() if k != "draws"}
        return _apply(run, Entry(entry.path, entry.role, fields), call_)
    if name == "spawn":
        return obj
    return Array(kind="noise", noise=obj.subject.label)


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
        run.update_receiver(node.args[0][1], shuffled)
    return NONE


def _stateless(run: Run, entry: Entry, call_: Call) -> Value:
    value = data_of(call_.get(entry.get("data") or (entry.params[0] if entry.params else ""), entry.params) or call_.at(0))
    return value.but(linear=None, mask=None)


def _data_source(run: Run, entry: Entry, call_: Call) -> Value:
    location = call_.get(entry.get("location") or (entry.params[0] if entry.params else ""), entry.params) or call_.at(0)
    if isinstance(location, Choice) and all(isinstance(one, Const) for one in location.options):  # whichever of them is there
        location = constant(" or ".join(str(one.value) for one in location.options if isinstance(one, Const)))
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
    part = call_.get(entry.get("part") or "", entry.params)
    whole = part is None or (isinstance(part, Const) and part.value in (None, 0))
    within = key if key is None or whole else f"{key}[{text_of(part)}]"
    rows = run.source_of(call_.node, text or entry.path.rsplit(".", 1)[-1], within, size)
    limits = [(n, call_.kwargs[n]) for n in entry.get("limits") or () if n in call_.kwargs]
    limits = [(n, v) for n, v in limits if v != NONE and not (n == "skiprows" and isinstance(v, (Const, Seq)))]  # a head
    if limits:  # a part of the file, and the same part for the same limits
        told = tuple((n, v.value) for n, v in limits if isinstance(v, Const))
        rows = rows.some(told if len(told) == len(limits) else (run.site(call_.node), run.calls))
    if inputs and yields == "table" and kind != "file":
        rows = inputs[0].rows
    if isinstance(location, Array) and location.kind in ("item", "batch") and location.has_rows:  # one file of a listing
        shape = "table" if entry.path.startswith("pandas.") else "array"
        return location.but(kind=shape, rows=location.rows.some((run.site(call_.node), run.calls)))
    if yields == "dataset" and isinstance(location, Array) and location.has_rows and location.kind == "array":  # of these files
        return location.but(kind="dataset")
    data = Array(kind={"dataset": "dataset", "loader": "loader"}.get(yields, "table"), rows=rows, name="")
    if entry.path == "numpy.load" or part == NONE:  # `pandas.read_excel(path, sheet_name=None)`
        data = data.but(owner=contents.ARCHIVE)
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
            if len(objs) == 1 and text_of(place):
                run.saved[text_of(place)] = objs[0]
        if saved and _in_step(entry, call_, saved):
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


def _in_step(entry: Entry, call_: Call, saved: Sequence[Array]) -> bool:
    """Whether what is saved into one file are the same samples: one array, or inputs and labels (`np.savez(path, X=X, y=y)`)."""
    if any(role_of_name(name) for name in call_.kwargs):
        return False
    if len(saved) == 1:
        return True
    return entry.path.startswith("numpy.savez") and not any(saved[0].rows.same_table(one.rows) for one in saved[1:])


def _sink_method(run: Run, obj: Obj, name: str, call_: Call) -> Value:
    run.report(call_.node, call_.everything(), "log")
    return UNKNOWN


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
            run.emit(Weights, call_.node, subject=subject, action="save", name=text_of(place), of=kept, improving=run.improving)
            members = value.items.values() if isinstance(value, Dict) else (value,)
            if isinstance(value, (Obj, Dict)) and any(isinstance(one, Obj) for one in members) and text_of(place):
                run.saved[text_of(place)] = value
            inside = (o for a in arrays_in(value) if a.kind == "weights" and isinstance(a.owner, tuple) for o in a.owner)
            networks_ = [subject, *(o.subject for o in inside if isinstance(o, Obj))]  # a checkpoint is a dictionary of weights
            trained = next((one for one in networks_ if one is not None and one.facts.get("network")), subject)
            scoring.weights_saved(run, trained, text_of(place))
        return NONE
    if kind == "load":
        stored = run.saved.get(text_of(value))
        if stored is None and entry.get("returns") == "copy" and entry.get("style") == "keras":
            described = catalog.lookup("keras.Model")
            stored = Obj(Subject(api="keras.Model", role="estimator.deep", at=run.site(call_.node)), None, described)
        if stored is not None:  # also of `torch.load(place)["model"]`
            for one in objects_in(stored):
                if one is stored or one.is_a("module", "layer", "pretrained", "estimator.deep"):
                    run.emit(Weights, call_.node, subject=one.subject, action="load", name=text_of(value))
            return stored
        return Array(kind="weights", rows=run.source(call_.node, text_of(value)), owner=("file", text_of(value)), name="loaded")
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
    "array": _array,
    "stateless-function": _stateless,
    "data-source": _data_source,
    "unordered": _unordered,
    "clock": _clock,
    "argument": _argument,
    "sink": _sink,
    "weights": _weights,
    "no-grad": _no_grad,
    "ignore": _ignored,
    "tuner.space": _ignored,
}
