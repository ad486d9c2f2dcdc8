"""Networks: modules and layers, losses, optimizers, loaders, and the training loops that libraries run themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mllint_bio import catalog
from mllint_bio.catalog import Entry
from mllint_bio.events import (
    Backward,
    Build,
    Device,
    Fit,
    Loader,
    LoopKind,
    Loss,
    Mode,
    Prediction,
    Score,
    Select,
    Site,
    Split,
    Step,
    Subject,
    Weights,
    ZeroGrad,
)
from mllint_bio.events import Predict as PredictEvent
from mllint_bio.predict import ir
from mllint_bio.predict.library import (
    arithmetic,
    calls,
    contents,
    growth,
    hooks,
    indexing,
    iteration,
    joining,
    learners,
    notes,
    passes,
)
from mllint_bio.predict.library.contents import arrays_in, blend, data_of, objects_in
from mllint_bio.predict.library.scoring import emit_score
from mllint_bio.predict.values import (
    MAX_CHOICES,
    NONE,
    UNKNOWN,
    Array,
    Choice,
    Const,
    Dict,
    Ext,
    Func,
    Klass,
    Obj,
    Seq,
    Value,
    join_all,
    options,
    role_of_name,
)
from mllint_bio.rows import UNKNOWN_ROWS, Part, Rows, Slice, union

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Call, Run

_MODULE_NAME = re.compile(
    r"(^|_)(model|net|network|module|encoder|decoder|backbone|classifier|discriminator|generator|critic|unet|cnn|gnn|mlp)(\d*)($|_)",
    re.I,
)
_LOSS_NAME = re.compile(r"(criterion|loss_?(fn|func|function|f)?$|_loss$|^loss)", re.I)
_OUTPUTS = {"softmax": "score", "sigmoid": "score", "log_softmax": "score", "linear": "logit", "class": "label"}  # by activation
_TRANSPARENT = frozenset(
    {"DataParallel", "DistributedDataParallel", "compile", "script", "trace", "spectral_norm", "weight_norm"}
)


# -- classes of the project ------------------------------------------------------------------------------------------


def class_role(klass: Klass) -> tuple[str, Entry | None]:
    """Role and catalog entry that a project class inherits from its library bases."""
    for path in klass.external_bases():
        entry = catalog.lookup(path)
        if entry is not None:
            if entry.is_a("module", "dataset", "datamodule", "layer"):
                role = (
                    entry.role
                    if not entry.is_a("layer")
                    else "module"
                    if path.startswith("torch") or "lightning" in path
                    else entry.role
                )
                return role, entry
            return entry.role, entry
        last = path.rsplit(".", 1)[-1]
        if last in ("MessagePassing", "LightningModule", "BaseModuleClass", "PreTrainedModel") or path.startswith(
            ("torch.nn.", "torch_geometric.nn.")
        ):
            return "module", None
        if last in ("Dataset", "IterableDataset", "InMemoryDataset"):
            return "dataset", None
    names = set(klass.members)
    if {"__getitem__", "__len__"} <= names:
        return "dataset", None
    return "object", None


def born(run: Run, obj: Obj, call: Call) -> None:
    """State of a new object before its constructor runs."""
    if obj.is_a("module", "layer", "estimator.deep"):
        obj.cells["#mode"] = "train"


def base_init(run: Run, obj: Obj, call: Call) -> None:
    """The constructor of a library base class."""
    if obj.entry is not None and obj.entry.is_a("layer") and obj.klass is not None and obj.entry.get("draws"):
        calls.draws(
            run, call, obj.entry.fields, obj.entry.params, obj.subject.label, at="call", purpose="init", subject=obj.subject
        )
    if obj.is_a("estimator.deep") and call.kwargs:
        outputs = call.kwargs.get("outputs")
        if outputs is not None:
            obj.cells["#activation"] = data_of(outputs)


def built(run: Run, obj: Obj, call: Call) -> None:
    """What a finished object is: its submodules, the rows of a data set."""
    if obj.klass is not None and any(base.startswith("torch_geometric") for base in obj.klass.external_bases()):
        found = obj.klass.lookup("process")  # torch_geometric data sets run it from their constructor
        member = run.force(found[1], found[0].members, "process") if found else None
        if isinstance(member, Func):
            run.inline(member, contents.call_of(call.node, []), obj)
    if obj.is_a("module"):
        obj.subject.facts["own_layers"] = obj.klass is not None and obj.entry is not None and obj.entry.is_a("module")
        run.emit(Build, call.node, subject=obj.subject, mode_dependent=mode_dependent(obj))
    elif obj.is_a("dataset"):
        dataset_data(obj, run, call)


def attached(run: Run, obj: Obj, name: str, value: Value) -> None:
    """`object.name = value`: a submodule, a layer or transform becomes a part."""
    for one in objects_in(value):
        holds = obj.is_a("module", "layer", "estimator.deep", "pretrained") and one.is_a(
            "module", "layer", "activation", "pretrained", "object"
        )
        if holds and one.subject not in obj.subject.parts and one.subject is not obj.subject:
            obj.subject.parts.append(one.subject)


def mode_dependent(obj: Obj) -> bool | None:
    """Whether the module holds dropout, batch norm or the like; None when it holds layers that are not known."""
    unknown = False
    for subject in obj.subject.everything():
        if subject is obj.subject and obj.klass is not None:
            continue
        entry = catalog.lookup(subject.api) if "." in subject.api else None
        if entry is not None and entry.get("mode_dependent"):
            if subject.api.rsplit(".", 1)[-1] in ("LSTM", "GRU", "RNN") and not subject.given.get("dropout"):
                continue
            if subject.api.rsplit(".", 1)[-1].startswith("InstanceNorm") and not subject.given.get("track_running_stats"):
                continue
            return True
        if (
            subject.role in ("pretrained", "object", "module")
            and not (subject.parts and subject.role != "pretrained")  # what is put into a ready network is not all of it
            and not (entry and entry.get("mode_dependent") is False)
            and not (subject.facts.get("own_layers") and not subject.facts.get("asks_mode"))
        ):
            unknown = True
    return None if unknown else False


# -- forward ---------------------------------------------------------------------------------------------------------


def forward(run: Run, obj: Obj, member: Func, call: Call) -> Value:
    """Call a project module: follow its forward to learn what it ends with, and record one prediction for the outermost
    module."""
    outermost = run.inside_forward == 0
    run.inside_forward += 1
    try:
        inner, remembered = passes.applied(run, obj, member, call, lambda: run.inline(member, call, obj))
    finally:
        run.inside_forward -= 1
    if outermost:
        return _predicted(run, obj, inner, call)
    if remembered:
        data = blend(run, call.everything())
        return _of_rows(inner, data, lambda _: data.prediction)
    return inner


def _mode_in_force(obj: Obj) -> str:
    """The mode of a module: evaluation when every layer in it for which the mode matters was switched by itself."""
    mode = str(obj.cells.get("#mode", "unknown"))
    if mode != "train":
        return mode
    layers = [part for part in _submodules(obj)[1:] if len(_submodules(part)) == 1 and mode_dependent(part) is not False]
    return "eval" if layers and all(part.cells.get("#mode") == "eval" for part in layers) else mode


def _predicted(run: Run, obj: Obj, inner: Value, call: Call) -> Value:
    """The result of applying a module to data: a prediction for the rows of its arguments."""
    inputs = [a for v in (*call.everything(), *call.spread) for a in arrays_in(v)]
    data = next((a for a in inputs if a.has_rows), inputs[0] if inputs else UNKNOWN)
    mode = _mode_in_force(obj)
    dependent = obj.subject.facts.setdefault("mode_dependent", mode_dependent(obj))
    event = run.emit(
        PredictEvent,
        call.node,
        subject=obj.subject,
        data=data.view(),
        output="unknown",
        mode=mode,
        grad=run.grad,
        mode_dependent=None if dependent and obj.cells.get("#unclear") else dependent,
    )

    def predict(value: Array) -> Prediction:
        output = _OUTPUTS.get(value.activation, "unknown")
        if value.prediction is not None and value.prediction.output == "label":
            output = "label"
        return Prediction(obj.subject, data.rows, output, event)

    return _of_rows(inner, data, predict)


def _of_rows(value: Value, data: Array, predict: Callable[[Array], Prediction | None], depth: int = 2) -> Value:
    """What a pass gave, as the output for the rows of `data`."""
    if isinstance(value, Array):
        return value.but(
            kind="array",
            rows=data.rows,
            name=data.name,
            learned=data.learned | value.learned,
            prediction=predict(value),
            loader=data.loader,
            visit=data.visit,
            group=data.group,
            ordered=data.ordered,
            scores=frozenset(),
            linear=None,
            mask=None,
            stat=None,
        )
    if isinstance(value, Seq) and depth:
        rest = _of_rows(value.rest, data, predict, depth - 1) if value.rest is not None else None
        return Seq(value.kind, [_of_rows(item, data, predict, depth - 1) for item in value.items], rest)
    if isinstance(value, Dict) and depth:
        rest = _of_rows(value.rest, data, predict, depth - 1) if value.rest is not None else None
        return Dict({key: _of_rows(item, data, predict, depth - 1) for key, item in value.items.items()}, rest)
    if isinstance(value, Choice):
        return join_all([_of_rows(option, data, predict, depth) for option in value.options])
    return Array(
        kind="array", rows=data.rows, name=data.name, learned=data.learned, prediction=predict(UNKNOWN), loader=data.loader
    )


def apply_module(run: Run, obj: Obj, call: Call) -> Value:
    """Call a module whose forward is not in the project (pretrained, handed in from outside)."""
    if run.inside_forward:
        merged = blend(run, call.everything())
        return merged.but(activation="", linear=None, mask=None)
    activation = obj.cells.get("#activation")
    inner = activation if isinstance(activation, Array) else Array(kind="array")
    return _predicted(run, obj, inner.but(scores=frozenset()), call)


def invoke(run: Run, obj: Obj, call: Call) -> Value:
    """`object(...)` for library objects: layers, activations, losses, modules."""
    role = obj.subject
    if role.is_a("loss"):
        return apply_loss(run, obj, call, role.label)
    if role.is_a("activation"):
        data = blend(run, call.everything())
        kind = activation_of(obj)
        if data.prediction is not None and kind in ("softmax", "sigmoid"):
            data = data.but(prediction=arithmetic.as_output(data.prediction, "score"))
        return data.but(activation=kind, activated_at=run.site(call.node))
    if role.is_a("layer"):
        return _apply_layer(run, obj, call)
    if role.is_a("module", "pretrained", "estimator.deep"):
        if role.is_a("estimator.deep") and all(isinstance(a, Array) and a.kind == "symbolic" for a in call.args):
            return _symbolic(call, "")
        return apply_module(run, obj, call)
    if role.is_a("augment", "stateless-transform", "composer", "fitted-transform"):
        data = blend(run, call.everything())
        return data
    if role.is_a("optimizer"):
        return NONE
    if role.is_a("object") and _MODULE_NAME.search(role.name or "") and not run.inside_forward:
        return apply_module(run, obj, call)
    result = blend(run, call.everything())
    run.unresolved(role.label, call)
    return result.but(kind="unknown", rows=result.rows.some(run.site(call.node)) if result.has_rows else UNKNOWN_ROWS)


def activation_of(obj: Obj) -> str:
    """softmax, sigmoid, log_softmax, linear or other, for a layer or activation object."""
    spec = (obj.entry.get("activation") if obj.entry is not None else None) or ""
    if isinstance(spec, str) and spec.startswith("$"):
        given = obj.subject.given.get(spec[1:])
        if given is None:
            return "linear" if spec[1:] not in obj.subject.arguments else ""
        return str(given) if given in ("softmax", "sigmoid", "linear", "log_softmax") else "other"
    return str(spec) if spec in ("softmax", "sigmoid", "log_softmax", "linear") else "other"


def _apply_layer(run: Run, obj: Obj, call: Call) -> Value:
    children = _layers(obj)
    name = obj.subject.label
    if name in _TRANSPARENT and len(children) == 1:
        return run.call_object(children[0], call)
    if children and not run.inside_forward and not _is_keras(obj):
        run.inside_forward += 1
        try:
            inner = _chain(run, children, call)
        finally:
            run.inside_forward -= 1
        return _predicted(run, obj, inner, call)
    if children:
        return _chain(run, children, call)
    data = blend(run, call.everything())
    if _is_keras(obj):
        return _symbolic(call, activation_of(obj), run.site(call.node))
    if obj.entry is not None and obj.entry.get("activation") == "linear":
        activation, at = "linear", run.site(call.node)
    elif obj.entry is not None and obj.entry.get("activation") in (None, "") and not (obj.entry and obj.entry.get("draws")):
        activation, at = (
            (data.activation if name in ("Flatten", "Identity", "Dropout", "Squeeze") else "other"),
            data.activated_at,
        )
    else:
        activation, at = activation_of(obj), run.site(call.node)
    result = data.but(
        activation=activation,
        activated_at=at,
        linear=None,
        mask=None,
        prediction=data.prediction,
    )
    if not run.inside_forward and not data.prediction and data.has_rows and obj.entry is not None and obj.entry.get("draws"):
        return _predicted(run, obj, result, call)
    if name in ("LSTM", "GRU", "RNN", "MultiheadAttention"):
        return Seq("tuple", [result, result])
    return result


def _is_keras(obj: Obj) -> bool:
    return obj.subject.api.startswith(("keras", "tensorflow"))


def _symbolic(call: Call, activation: str, at: Any = None) -> Array:
    previous = next((a for v in call.everything() for a in arrays_in(v)), None)
    kept = activation or (previous.activation if previous is not None else "")
    return Array(kind="symbolic", activation=kept, activated_at=at)


def _layers(obj: Obj) -> list[Obj]:
    children = obj.cells.get("#children")
    if isinstance(children, Seq):
        return [o for v in (*children.items, children.rest) for o in objects_in(v)]
    return []


def _chain(run: Run, children: Sequence[Obj], call: Call) -> Value:
    value: Value = call.args[0] if call.args else blend(run, call.everything())
    for child in children:
        value = run.call_object(child, contents.call_of(call.node, [value if not isinstance(value, Seq) else value.element()]))
    return value


# -- roles: construction ---------------------------------------------------------------------------------------------


def layer(run: Run, entry: Entry, call: Call) -> Value:
    """Construct a layer, a container of layers, or apply a wrapper to a module."""
    subject = calls.make_subject(run, entry, call)
    children = [o for v in call.everything() for o in objects_in(v, 3)]
    if entry.get("container") and entry.path.rsplit(".", 1)[-1] in _TRANSPARENT and children:
        return children[0]
    obj = Obj(subject, None, entry)
    obj.cells["#mode"] = "train"
    if entry.get("container"):
        values: list[Value] = []
        for value in [call.unpacked] if call.unpacked is not None and len(call.args) == 1 else call.args:
            if isinstance(value, Dict):
                values.extend(value.items.values())
            elif isinstance(value, Seq):
                for member in value.in_order():
                    values.append(member)
                    if member is value.rest and isinstance(member, Choice) and len(member.options) >= MAX_CHOICES:
                        values.append(
                            Obj(Subject(api="layer", role="layer", at=subject.at))
                        )  # which layer comes last is not known
            else:
                values.append(value)
        obj.cells["#children"] = Seq("list", values)
        subject.parts.extend(child.subject for child in children)
    calls.draws(run, call, entry.fields, entry.params, subject.label, at="call", purpose="init", subject=subject)
    if entry.path.startswith(("keras", "tensorflow")) and subject.label in ("Input", "InputLayer"):
        return Array(kind="symbolic")
    return obj


def module(run: Run, entry: Entry, call: Call) -> Value:
    """A bare `nn.Module()` or a network class of a library."""
    obj = Obj(calls.make_subject(run, entry, call), None, entry)
    obj.cells["#mode"] = "train"
    calls.draws(run, call, entry.fields, entry.params, obj.subject.label, at="call", purpose="init", subject=obj.subject)
    return obj


def pretrained(run: Run, entry: Entry, call: Call) -> Value:
    """A network from a library, with or without trained weights."""
    obj = Obj(calls.make_subject(run, entry, call), None, entry)
    obj.cells["#mode"] = "train" if "transformers" not in entry.path else "eval"
    if _is_keras(obj):
        obj.cells["#activation"] = Array(kind="symbolic")
    calls.draws(run, call, entry.fields, entry.params, obj.subject.label, at="call", purpose="init", subject=obj.subject)
    return obj


def deep_estimator(run: Run, entry: Entry, call: Call) -> Value:
    """Keras Model and Sequential, sklearn's MLP, skorch."""
    if entry.get("style") != "keras":
        return learners.build(run, entry, call)
    obj = Obj(calls.make_subject(run, entry, call), None, entry)
    obj.cells["#mode"] = "managed"
    children = [o for v in call.everything() for o in objects_in(v, 3)]
    if children:
        obj.cells["#children"] = Seq("list", children)
        obj.subject.parts.extend(c.subject for c in children)
    outputs = call.get("outputs", entry.params) or call.get("output", ()) or call.at(1)
    if outputs is not None and data_of(outputs).kind == "symbolic":
        obj.cells["#activation"] = data_of(outputs)
    return obj


def activation(run: Run, entry: Entry, call: Call) -> Value:
    """An activation layer is built; an activation function acts at once."""
    last = entry.path.rsplit(".", 1)[-1]
    if entry.get("form") == "object" or (last[:1].isupper() and entry.get("form") != "call"):
        return Obj(calls.make_subject(run, entry, call), None, entry)
    data = blend(run, [call.at(0) or UNKNOWN])
    kind = str(entry.get("activation", "other"))
    prediction = (
        arithmetic.as_output(data.prediction, "score")
        if data.prediction is not None and kind in ("softmax", "sigmoid", "log_softmax")
        else data.prediction
    )
    return data.but(activation=kind, activated_at=run.site(call.node), prediction=prediction, linear=None)


def loss(run: Run, entry: Entry, call: Call) -> Value:
    """A loss class is built; a loss function acts at once."""
    last = entry.path.rsplit(".", 1)[-1]
    if entry.get("form") == "object" or (last[:1].isupper() and entry.get("form") != "call"):
        return Obj(calls.make_subject(run, entry, call), None, entry)
    temporary = Obj(calls.make_subject(run, entry, call), None, entry)
    temporary.subject.facts["function"] = True
    return apply_loss(run, temporary, call, last)


def apply_loss(run: Run, obj: Obj | None, call: Call, name: str) -> Value:
    """The value of a loss: what it expects, what it gets, and (outside training) a figure of the rows."""
    entry = obj.entry if obj is not None else None
    params = (
        entry.params if entry is not None and obj is not None and obj.subject.facts.get("function") else ["input", "target"]
    ) or ["input", "target"]
    predicted_value = call.get(entry.get("pred") or params[0], params) if entry is not None else call.at(0)
    if predicted_value is None:
        predicted_value = call.at(0)
    found = [a for v in call.everything() for a in arrays_in(v)]
    predicted = data_of(predicted_value)
    if predicted.prediction is None:
        predicted = next((a for a in found if a.prediction is not None), predicted)
    truth = next((a for a in found if a.prediction is None and a is not predicted), UNKNOWN)
    rows = predicted.rows if predicted.has_rows else truth.rows
    expects = str(entry.get("expects", "")) if entry is not None else ""
    multiclass = entry.get("multiclass") if entry is not None else None
    if entry is not None and entry.get("from_logits") and obj is not None:
        expects = "logits" if obj.subject.given.get(entry.get("from_logits")) is True else expects
    if predicted.prediction is not None or predicted.activation:
        run.emit(
            Loss,
            call.node,
            api=obj.subject.label if obj is not None and entry is not None else name,
            expects=expects,
            received=predicted.activation,
            data=predicted.but(rows=rows).view(),
            producer=predicted.activated_at if isinstance(predicted.activated_at, Site) else None,
            multiclass=multiclass,
        )
    prediction = predicted.prediction
    scores: frozenset[int] = frozenset()
    if (prediction is not None or rows.known) and not run.inside_forward:
        number = emit_score(run, call.node, "loss", "loss", predicted.but(rows=rows), truth, direction="down", decomposable=True)
        scores = frozenset({number})
    return Array(
        kind="figure",
        rows=rows,
        name=predicted.name or truth.name,
        learned=predicted.learned,
        prediction=prediction,
        scores=scores,
        owner=prediction.subject if prediction else None,
    )


def optimizer(run: Run, entry: Entry, call: Call) -> Value:
    """An optimizer over the parameters of modules."""
    subject = calls.make_subject(run, entry, call)
    obj = Obj(subject, None, entry)
    value = call.get("params", entry.params) or call.at(0)
    modules = tuple(
        dict.fromkeys(o for a in arrays_in(value) if isinstance(a.owner, tuple) for o in a.owner if isinstance(o, Obj))
    )
    obj.cells["#modules"] = modules
    subject.parts.extend(m.subject for m in modules)
    return obj


def scheduler(run: Run, entry: Entry, call: Call) -> Value:
    """Schedulers and callbacks are remembered as objects."""
    return Obj(calls.make_subject(run, entry, call), None, entry)


def sampler(run: Run, entry: Entry, call: Call) -> Value:
    """Samplers: an order, or a choice of rows."""
    obj = Obj(calls.make_subject(run, entry, call), None, entry)
    obj.cells["#call"] = call
    indices = call.get(entry.get("indices") or "", entry.params)
    if indices is not None:
        index = data_of(indices)
        obj.cells["#index"] = index
    return obj


def loader(run: Run, entry: Entry, call: Call) -> Value:
    """A loader over a data set; a sampler over indices narrows its rows."""
    subject = calls.make_subject(run, entry, call)
    obj = Obj(subject, None, entry)
    source = call.get(entry.get("dataset") or "dataset", entry.params) or call.at(0) or UNKNOWN
    data = data_of(source)
    if not data.has_rows and not isinstance(source, Const):
        data = data.but(rows=run.source(call.node, data.name), kind="dataset")
    chosen = call.get(entry.get("sampler") or "sampler", entry.params)
    kind = ""
    if isinstance(chosen, Obj):
        kind = chosen.subject.label
        index = chosen.cells.get("#index")
        if isinstance(index, Array) and index.kind in ("index", "array", "unknown") and data.has_rows:
            moved = index.rows.moved(index.base, data.rows) if index.base.known else UNKNOWN_ROWS
            data = data.but(rows=moved if moved.known else data.rows.some((repr(index.rows), index.name)))
    shuffle = _literal_bool(run, entry, call, "shuffle")
    generators = tuple(o.subject for o in objects_in(call.kwargs.get("generator")) if o.is_a("generator"))
    inner = next((o for o in options(source) if isinstance(o, Obj)), None)
    workers = calls.literal(call, entry, entry.get("workers") or "num_workers")
    held = _item_generators(run, inner) if inner is not None else ()
    run.emit(
        Loader,
        call.node,
        subject=subject,
        data=data.view(),
        shuffle=shuffle,
        drop_last=not _one_by_one(call, entry) and _literal_bool(run, entry, call, "drop_last"),
        workers=workers if isinstance(workers, int) else 0 if workers is None else None,
        sampler=kind,
        generators=held,
    )
    subject.facts["generator"] = bool(generators)
    subject.facts["shuffle"] = shuffle
    obj.cells["#call"] = call
    obj.cells["#sampler"] = chosen
    obj.cells["#dataset"] = source
    obj.cells["#data"] = data.but(
        kind="loader", loader=subject, order=None, ordered="shuffled" if shuffle else data.ordered, linear=None, mask=None
    )
    return obj


def _one_by_one(call: Call, entry: Entry) -> bool:
    """Whether a batch is one sample: the last batch is never short then."""
    size = call.get("batch_size", entry.params)
    return isinstance(size, Const) and size.value == 1


def _literal_bool(run: Run, entry: Entry, call: Call, field: str) -> bool | None:
    parameter = entry.get(field)
    if parameter is None:
        return False
    if isinstance(parameter, bool):
        return parameter
    value = calls.literal(call, entry, parameter)
    return bool(value) if isinstance(value, (bool, int)) else None if value is UNKNOWN else False


def row_selection(run: Run, entry: Entry, call: Call) -> Value:
    """Subset(dataset, indices)."""
    data = data_of(call.get(entry.get("dataset") or "dataset", entry.params) or UNKNOWN)
    index = data_of(call.get(entry.get("indices") or "indices", entry.params) or UNKNOWN)
    if not data.has_rows:
        data = data.but(rows=run.source(call.node, data.name))
    if index.kind in ("index", "range") and index.has_rows:
        return indexing.by_index(run, data.but(kind="dataset"), index, call.node)
    if index.has_rows:
        return data.but(kind="dataset", rows=data.rows.some((repr(index.rows), index.name)))
    return data.but(
        kind="dataset",
        rows=data.rows.some((run.site(call.node), index.name)),
        name=index.name if role_of_name(index.name) else data.name,
    )


def dataset(run: Run, entry: Entry, call: Call) -> Value:
    """A library data set over given arrays, or a source of its own."""
    described = call.get(entry.get("data") or "", entry.params)  # not the folder that a cache lies in
    given = call.everything() if described is None else [described]
    found = [a for v in given for a in arrays_in(v) if a.has_rows and a.kind not in ("text", "config")]
    if found:
        members = tuple(a.learned for a in found) if len(found) == len(call.args) > 1 else ()
        return joining.side_by_side(run, found).but(kind="dataset", members=members)
    texts = [v.value for v in call.everything() if isinstance(v, Const) and isinstance(v.value, str)]
    label = next((t for t in texts if role_of_name(t)), texts[0] if texts else "")
    return Array(kind="dataset", rows=run.source(call.node, label, tuple(texts) or None), name="")


def dataset_data(obj: Obj, run: Run | None = None, call: Call | None = None) -> Array:
    """Rows of a project data set: those of the first array it was given, else a source of its own."""
    known = obj.cells.get("#data")
    if isinstance(known, Array):
        return known
    args, kwargs = obj.cells.get("#args", ((), {}))
    values: list[Value] = [*args, *kwargs.values()]
    found = [a for v in values for a in arrays_in(v) if a.has_rows and a.kind not in ("text", "config", "scalar", "weights")]
    fields = [
        a
        for key, v in obj.cells.items()
        if key.startswith(".")
        for a in arrays_in(v)
        if a.has_rows and a.kind not in ("text", "config", "scalar", "stat")
    ]
    index = next((a for a in found if a.kind == "index"), None)
    samples = sorted(
        (a for a in found if a.kind != "index"), key=lambda a: not _was_divided(a)
    )  # the table that was split, not a look-up table
    base = samples[0] if samples else fields[0] if fields else None
    if samples and index is None and len({a.rows for a in fields}) == 1 and fields[0].rows.subset(samples[0].rows):
        base = fields[0]  # of what it was given, it keeps a part: `self.records = records[role]`
    if base is not None and index is not None and run is not None:
        moved = index.rows.moved(index.base, base.rows)
        base = base.but(rows=moved if moved.known else base.rows.some((repr(index.rows), index.name)))
    if base is not None:
        merged = base.but(
            kind="dataset", learned=frozenset().union(*(a.learned for a in (*found, *fields))), mask=None, linear=None
        )
        data = merged.but(group=next((a.group for a in (*found, *fields) if a.group), ""))
    elif run is not None and call is not None:
        texts = [str(v.value) for v in values if isinstance(v, Const) and isinstance(v.value, (str, bool, int))]
        names = [a.name for v in values for a in arrays_in(v) if a.name]
        label = next((t for t in (*texts, *names) if role_of_name(t)), "")
        data = Array(kind="dataset", rows=run.source(call.node, label, (*texts, *names)), name="")
    else:
        return UNKNOWN
    obj.cells["#data"] = data
    return data


def _was_divided(array: Array) -> bool:
    """Whether the rows are a part of a split, a fold or a slice, or are called train or test."""
    return bool(role_of_name(array.name)) or any(isinstance(step_, (Part, Slice)) for step_ in array.rows.steps())


def iterate_object(run: Run, obj: Obj, node: ir.Node) -> Value:
    """One round of a loop over a loader, a data set, a container of layers, or an iterable project object."""
    if obj.is_a("layer", "module"):
        children = obj.cells.get("#children")
        return children.element() if isinstance(children, Seq) else UNKNOWN
    data = data_of(obj)
    if obj.is_a("loader"):
        _draw_order(run, obj, node)
        inner = obj.cells.get("#dataset")
        for option in options(inner) if inner is not None else ():
            if isinstance(option, Obj) and option.klass is not None:
                _draw_item(run, option, node)
        return data.but(kind="batch", visit=run.visit(data.loader, node))
    if obj.klass is not None:
        for name in ("__iter__", "__next__", "__getitem__"):
            found = obj.klass.lookup(name)
            if found is not None and not obj.is_a("dataset"):
                result = run.call_method(
                    obj, name, contents.call_of(_expression(node), [] if name != "__getitem__" else [UNKNOWN])
                )
                element = iteration.iterated_silently(run, result) if name == "__iter__" else result
                if isinstance(element, Obj) and element is not obj:
                    return iterate_object(run, element, node)
                if element is not obj:
                    return element
        if obj.is_a("dataset"):
            _draw_item(run, obj, node)
    return data.but(kind="item") if data.has_rows else UNKNOWN


def _expression(node: ir.Node) -> ir.Expr:
    return node  # type: ignore[return-value]


def _draw_order(run: Run, obj: Obj, node: ir.Node) -> None:
    """The random order that a loader and its sampler draw when they are iterated."""
    call = contents.call_of(_expression(node), [])
    sampler_ = obj.cells.get("#sampler")
    for one, what in ((obj, f"{obj.subject.label}(shuffle=True)"), (sampler_, obj.subject.label)):
        given = one.cells.get("#call") if isinstance(one, Obj) else None
        if isinstance(one, Obj) and one.entry is not None and given is not None:
            calls.draws(
                run, call, one.entry.fields, one.entry.params, what, at="iterate", purpose=None, given=given, subject=obj.subject
            )


def _item_generators(run: Run, obj: Obj) -> tuple[Subject, ...]:
    """Generator objects that the code of `__getitem__` uses: attributes of the data set, or names of its module."""
    if obj.klass is None:
        return ()
    found: dict[Subject, None] = {}
    top = run.executed.get(obj.klass.module.path, {})
    pending, seen = ["__getitem__"], {"__getitem__"}
    while pending:
        member = obj.klass.lookup(pending.pop())
        if member is None or not isinstance(member[1], Func):
            continue
        for node in ir.walk(member[1].node):
            name = node.name if isinstance(node, (ir.Name, ir.Attribute)) else ""
            value = obj.cells.get("." + name) if isinstance(node, ir.Attribute) else top.get(name)
            if isinstance(value, Obj) and value.is_a("generator"):
                found[value.subject] = None
            elif isinstance(node, ir.Attribute) and name not in seen:
                seen.add(name)
                pending.append(name)
    return tuple(found)


def _draw_item(run: Run, obj: Obj, node: ir.Node) -> None:
    """Execute `__getitem__` once, for the random numbers that it draws."""
    if obj.cells.get("#drawn"):
        return
    obj.cells["#drawn"] = True
    found = obj.klass.lookup("__getitem__") if obj.klass is not None else None
    if found is None:
        return
    member = run.force(found[1], found[0].members, "__getitem__")
    if isinstance(member, Func):
        run.inside_forward += 1
        run.drawing_item += 1
        try:
            run.inline(member, contents.call_of(_expression(node), [Array(kind="scalar", name="index")]), obj)
        finally:
            run.inside_forward -= 1
            run.drawing_item -= 1


def early_stop(run: Run, entry: Entry, call: Call) -> Value:
    """Early stopping, checkpoints and score-driven schedulers as objects; they act when a trainer or a loop uses them."""
    obj = Obj(calls.make_subject(run, entry, call), None, entry)
    return obj


def trainer(run: Run, entry: Entry, call: Call) -> Value:
    """Lightning Trainer, transformers Trainer: runs the loop itself."""
    obj = Obj(calls.make_subject(run, entry, call), None, entry)
    obj.cells["#call"] = call
    calls._also(run, entry, call)
    accelerator = call.get("accelerator", entry.params) or call.get("gpus", ())
    text = calls.device_text(accelerator) if accelerator is not None else ""
    if text or "gpus" in call.kwargs or "devices" in call.kwargs and text:
        run.emit(Device, call.node, device=text or "cuda", conditional=bool(run.branch))
    elif accelerator == Const("cpu"):
        run.emit(Device, call.node, device="cpu", conditional=bool(run.branch))
    benchmark = calls.literal(call, entry, "benchmark")
    if benchmark is True:
        from mllint_bio.events import Determinism

        run.emit(Determinism, call.node, flag="cudnn-benchmark", value=True, call=entry.path)
    return obj


# -- methods ---------------------------------------------------------------------------------------------------------


def attribute(run: Run, obj: Obj, name: str, node: ir.Node) -> Value | None:
    """Attributes of networks, loaders and trainers."""
    if name == "training" and obj.is_a("module"):
        obj.subject.facts["asks_mode"] = True
    if obj.is_a("loader") and name == "dataset":
        read: Value = obj.cells.get("#dataset", UNKNOWN)
        return read
    if name == "history" and obj.is_a("estimator.deep"):
        return Array(kind="history", owner=(obj,), scores=_history_scores(obj))
    if name in ("trainable_variables", "trainable_weights") and obj.is_a("module", "pretrained", "layer", "estimator.deep"):
        return Array(kind="parameters", owner=(obj,))
    if obj.is_a("module", "pretrained", "layer", "object", "estimator.deep") and name in ("output", "outputs"):
        return Array(kind="symbolic")
    if obj.is_a("module", "pretrained", "layer") and not name.startswith("_"):
        if obj.is_a("pretrained") or obj.klass is None:
            child = Obj(Subject(api=name, role="layer", at=obj.subject.at, name=name))
            return child
        return None
    if obj.is_a("dataset"):
        data = data_of(obj)
        return data.but(column=name) if data.has_rows else None
    return None


def _history_scores(obj: Obj) -> frozenset[int]:
    found = obj.cells.get("#history")
    return found if isinstance(found, frozenset) else frozenset()


def method(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    """Methods of modules, optimizers, schedulers, loaders, trainers and Keras models."""
    role = obj.subject
    restored = from_checkpoint(run, obj.klass, name, call) if obj.klass is not None else None
    if restored is not None:
        return restored
    if role.is_a("optimizer"):
        return _optimizer_method(run, obj, name, call)
    if name == "step" and role.is_a("object") and _stepped(run, call):
        return NONE
    if role.is_a("lr-select") and name == "step":
        return _plateau(run, obj, call)
    if role.is_a("scheduler", "callback", "lr-select"):
        return NONE
    if (
        role.is_a("tuner")
        and obj.entry is not None
        and obj.entry.get("style") in ("study", "optuna")
        or role.label == "create_study"
    ):
        found = learners.study_method(run, obj, name, call)
        if found is not None:
            return found
    if role.is_a("trainer"):
        return _trainer_method(run, obj, name, call)
    if (
        _is_keras(obj)
        and role.is_a("estimator", "pretrained", "layer")
        or (role.is_a("estimator.deep") and obj.entry is not None and obj.entry.get("style") == "keras")
    ):
        return _keras_method(run, obj, name, call)
    if obj.is_a("fitted-transform") and name == "adapt":
        return learners.fit_one(run, obj, learners.fit_data(call), UNKNOWN, call, name)
    if role.is_a("module", "layer", "pretrained", "loss", "activation", "object", "metric"):
        return module_method(run, obj, name, call)
    if role.is_a("dataset") and obj.klass is None:
        return None
    return None


def mode_unclear(run: Run, obj: Obj) -> None:
    """A method that cannot be named was called without arguments: it may have switched the mode."""
    for part in _submodules(obj):
        run.write(part, "#unclear", True)


def module_method(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    """Methods of torch modules."""
    if name in ("train", "eval"):
        if name == "train" and call.args and not isinstance(call.args[0], Const):
            if obj.is_a("object"):
                return None
            mode = "unknown"
        else:
            off = bool(call.args) and isinstance(call.args[0], Const) and call.args[0].value is False
            mode = "eval" if name == "eval" or off else "train"
        for part in _submodules(obj):
            run.write(part, "#mode", mode)
            run.write(part, "#unclear", False)
        run.emit(Mode, call.node, subject=obj.subject, mode=mode)
        return obj
    if name in ("to", "cuda", "cpu", "float", "double", "half", "share_memory", "apply", "requires_grad_"):
        _moved(run, name, call, obj.subject)
        if name == "apply" and call.args:
            run.call(call.args[0], contents.call_of(call.node, [Obj(Subject(api="layer", role="layer", at=obj.subject.at))]))
        return obj
    if name in ("parameters", "named_parameters", "children", "modules", "named_children", "named_modules", "buffers"):
        return Array(kind="parameters", owner=(obj,))
    if name == "state_dict":
        return Array(kind="weights", owner=(obj,), name="")
    if name == "load_state_dict":
        given = [a for a in arrays_in(call.at(0)) if a.name]
        stored = any(isinstance(a.owner, tuple) and a.owner[:1] == ("file",) for a in given)  # whatever the variable is called
        label = given[0].name if given and not stored else ""
        run.emit(Weights, call.node, subject=obj.subject, action="load", name=label)
        return NONE
    if name == "zero_grad":
        run.emit(ZeroGrad, call.node, subject=obj.subject)
        return NONE
    if name in ("log", "log_dict") and obj.is_a("module"):  # of a Lightning module
        run.report(call.node, call.everything(), "log")
        return NONE
    if name in ("forward", "__call__"):
        return run.call_object(obj, call)
    if name in ("append", "add_module", "insert", "extend", "register_module"):
        for child in (o for v in call.everything() for o in objects_in(v)):
            obj.subject.parts.append(child.subject)
        children = obj.cells.get("#children")
        if isinstance(children, Seq) and call.args:
            growth.collect(run, children, call.args[-1])
        return NONE
    if name in ("register_buffer", "register_parameter", "register_forward_hook"):
        return NONE
    if name in ("save", "save_pretrained"):
        run.emit(Weights, call.node, subject=obj.subject, action="save", name="", improving=run.improving)
        return NONE
    if obj.is_a("pretrained") and name == "from_pretrained":
        return obj
    return None


def _submodules(obj: Obj) -> list[Obj]:
    """The module and the modules that it holds as attributes or in containers: they change mode together."""
    found: dict[Obj, None] = {}
    stack = [obj]
    while stack and len(found) < 200:
        module_ = stack.pop()
        if module_ in found:
            continue
        found[module_] = None
        values = [value for key, value in module_.cells.items() if key.startswith(".") or key == "#children"]
        stack.extend(o for value in values for o in objects_in(value) if o.is_a("module", "layer", "pretrained", "object"))
    return list(found)


def _moved(run: Run, name: str, call: Call, module: Subject | None = None) -> None:
    if name == "cuda":
        run.emit(Device, call.node, device="cuda", conditional=bool(run.branch), module=module)
    elif name == "to" and call.args:
        calls.emit_device(run, call.node, call.args[0], module)


def _optimizer_method(run: Run, obj: Obj, name: str, call: Call) -> Value:
    modules: tuple[Obj, ...] = obj.cells.get("#modules") or ()
    if name == "zero_grad":
        run.emit(ZeroGrad, call.node, subject=obj.subject)
    elif name == "step":
        for value in call.everything():
            if isinstance(value, Func):
                run.call(value, contents.call_of(call.node, []))
        step(run, obj, modules, call.node)
    elif name == "minimize":
        loss_value = data_of(call.at(0))
        run.emit(
            Step, call.node, subject=obj.subject, modules=tuple(m.subject for m in modules), data=loss_value.view(), managed=True
        )
    elif name == "apply_gradients":
        _apply_gradients(run, obj, call)
    elif name == "state_dict":
        return Array(kind="weights", owner=(obj,))
    return NONE


def _stepped(run: Run, call: Call) -> bool:
    """`scaler.step(optimizer)`: what is not known to step steps the optimizer that it is handed."""
    handed = call.at(0)
    if isinstance(handed, Obj) and handed.is_a("optimizer"):
        _optimizer_method(run, handed, "step", contents.call_of(call.node, []))
        return True
    if isinstance(handed, Array) and handed.kind in ("unknown", "param") and "opt" in (handed.name or "").lower():
        return method_of_unknown(run, handed, "step", contents.call_of(call.node, [])) is not None
    return False


def _apply_gradients(run: Run, optimizer_: Obj, call: Call) -> None:
    """Gradients that a tape recorded change the variables that they are paired with; a tape holds those of one step only."""
    found = [a for value in call.everything() for a in arrays_in(value)]
    modules = list(dict.fromkeys(o for a in found if a.kind == "parameters" for o in a.owner if isinstance(o, Obj)))
    loss_value = next((a for a in found if a.prediction is not None), UNKNOWN)
    subjects = tuple(one.subject for one in modules)
    run.emit(Step, call.node, subject=optimizer_.subject, modules=subjects, data=loss_value.view(), managed=True)
    for one in modules:
        learn(run, one, loss_value, call.node)


def step(run: Run, optimizer_: Obj, modules: Sequence[Obj], node: ir.Node) -> None:
    """The parameters of the modules change: they learn from the rows of the last backward pass."""
    pending = run.backward
    run.emit(
        Step,
        node,
        subject=optimizer_.subject,
        modules=tuple(m.subject for m in modules),
        data=pending.view(),
        managed=optimizer_.subject.label in ("LBFGS",),
        modes=tuple(str(m.cells.get("#mode", "unknown")) for m in modules),
    )
    trained = list(modules)
    if not trained and pending.prediction is not None:
        trained = [o for o in run.applied.values() if o.subject is pending.prediction.subject]
    for one in trained:
        learn(run, one, pending, node)


def learn(run: Run, obj: Obj, data: Array, node: ir.Node) -> None:
    """A network is fitted on these rows."""
    before = obj.cells.get("#fitted")
    rows = union([before, data.rows]) if isinstance(before, Rows) and before.known and data.has_rows else data.rows
    run.write(obj, "#fitted", rows)
    obj.subject.facts["fitted"] = rows
    role = obj.subject.role if obj.is_a("estimator") else "estimator.deep"
    obj.subject.facts["network"] = True
    run.emit(Fit, node, subject=obj.subject, role=role, data=data.but(scores=frozenset()).view(), method="step")


def _plateau(run: Run, obj: Obj, call: Call) -> Value:
    figure = blend(run, call.everything())
    if figure.scores:
        run.emit(
            Select,
            call.node,
            what="learning-rate",
            how=obj.subject.label,
            scores=figure.scores,
            data=_scored_view(run, figure),
            keeps=frozenset(),
        )
    return NONE


def _scored_view(run: Run, figure: Array) -> Any:
    views = [e.data for n in sorted(figure.scores) if isinstance(e := run.events[n], Score)]
    return views[-1] if views else figure.view()


def looks_like_module(name: str) -> bool:
    """Whether an unknown callable is called like a network."""
    return bool(_MODULE_NAME.search(name or ""))


def looks_like_loss(name: str) -> bool:
    """Whether an unknown callable is called like a loss function."""
    return bool(_LOSS_NAME.search(name or ""))


def as_module(run: Run, value: Array, node: ir.Node) -> Obj:
    """The network behind a value of which only its use tells that it is one."""
    key = ("module", value.name) if value.name else id(value)
    known = run.materialised.get(key)
    if known is None:
        subject = Subject(api=value.name or "model", role="module", at=run.site(node), name=value.name, unknown_arguments=True)
        obj = Obj(subject)
        obj.cells["#mode"] = "unknown"
        subject.facts["mode_dependent"] = None
        known = (value, obj)
        run.materialised[key] = known
    run.applied[known[1].subject] = known[1]
    return known[1]


_KERAS_METHODS = frozenset(
    {"compile", "fit_generator", "predict_generator", "evaluate_generator", "train_on_batch", "predict_on_batch", "test_on_batch"}
)


def _as_keras(run: Run, value: Array, node: ir.Node) -> Obj:
    """The Keras model behind a value whose maker is out of reach; what it holds draws its initial weights somewhere there."""
    known = run.keras_models.get(id(value))
    if known is None:
        subject = Subject(api="keras.Model", role="estimator.deep", at=run.site(node), name=value.name, unknown_arguments=True)
        obj = Obj(subject, None, catalog.lookup("keras.Model"))
        obj.cells["#mode"] = "managed"
        notes.emit_draw(run, node, "tensorflow", "initial weights", "init", subject=subject)
        known = run.keras_models[id(value)] = (value, obj)
    return known[1]


# What Accelerate and Lightning Fabric call the methods that give back, ready for the device, what they were handed.
_PREPARES = frozenset({"prepare", "setup", "setup_module", "setup_optimizers", "setup_dataloaders"})

_MODULE_METHODS = frozenset({"parameters", "named_parameters", "state_dict", "load_state_dict", "zero_grad", "train", "eval"})


def from_checkpoint(run: Run, klass: Klass, name: str, call: Call) -> Value | None:
    """`Network.load_from_checkpoint(path)`: the network of this class that the program trained; None if it trained none."""
    network = run.saved.get(_checkpoint_of(klass)) if name == "load_from_checkpoint" else None
    if network is not None:
        path = calls._text(call.at(0) or call.kwargs.get("checkpoint_path"))
        run.emit(Weights, call.node, subject=network.subject, action="load", name=path)
    return network


def _checkpoint_of(klass: Klass) -> str:
    """Key of the network of this class that a trainer fitted last, among the models that the program wrote."""
    return f"<checkpoint>{klass.name}"


def method_of_unknown(run: Run, value: Array, name: str, call: Call) -> Value | None:
    """Methods that tell a network, an optimizer, a loss or a tensor on a device."""
    if name == "backward":
        handed = data_of(call.at(0)) if call.args and value.prediction is None and not value.has_rows else UNKNOWN
        loss_value = handed if handed.prediction is not None else value  # `accelerator.backward(loss)`
        run.emit(Backward, call.node, data=loss_value.view())
        run.backward = loss_value
        return NONE
    if name == "scale" and len(call.args) == 1 and value.kind in ("unknown", "param"):
        handed = data_of(call.args[0])
        if handed.prediction is not None and value.prediction is None:  # `scaler.scale(loss)`
            return handed
    if name in _PREPARES and value.kind == "config" and call.args:
        return call.args[0] if len(call.args) == 1 else Seq("tuple", list(call.args))
    if name == "step" and value.kind in ("unknown", "param") and _stepped(run, call):
        return NONE
    if name in ("cuda", "to") and (
        value.has_rows or value.prediction is not None or value.kind in ("batch", "item", "array", "unknown", "param")
    ):
        _moved(run, name, call)
        if looks_like_module(value.name) and value.kind in ("unknown", "param"):
            return as_module(run, value, call.node)
        return value
    if value.kind in ("unknown", "param") and (name in _KERAS_METHODS or id(value) in run.keras_models):
        return _keras_method(run, _as_keras(run, value, call.node), name, call)
    if (
        value.kind in ("unknown", "param")
        and name in _MODULE_METHODS
        and (name != "train" or not call.args or looks_like_module(value.name))
    ):
        return module_method(run, as_module(run, value, call.node), name, call)
    if value.kind in ("unknown", "param") and name in ("step", "zero_grad"):
        lower = (value.name or "").lower()
        if "opt" in lower:
            if name == "zero_grad":
                run.emit(ZeroGrad, call.node, subject=None)
                return NONE
            subject = contents.same_subject(
                run, run.site(call.node), Subject(api="optimizer", role="optimizer", at=run.site(call.node), name=value.name)
            )
            step(run, Obj(subject), (), call.node)
            return NONE
        if "sched" in lower and call.args:
            figure = blend(run, call.everything())
            if figure.scores:
                run.emit(
                    Select,
                    call.node,
                    what="learning-rate",
                    how="scheduler",
                    scores=figure.scores,
                    data=_scored_view(run, figure),
                    keeps=frozenset(),
                )
            return NONE
    if value.kind == "weights" and name in ("copy", "items", "update"):
        return value if name == "copy" else Array(kind="weights-items", owner=value.owner)  # a new mapping to the same tensors
    return None


# -- Keras -----------------------------------------------------------------------------------------------------------


def _keras_method(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    subject = obj.subject
    if name == "add":
        for child in (o for v in call.args for o in objects_in(v)):
            subject.parts.append(child.subject)
            children = obj.cells.get("#children")
            if isinstance(children, Seq):
                growth.grow(run, children, [child])
            else:
                run.write(obj, "#children", Seq("list", [child]))
        return NONE
    if name == "compile":
        run.write(obj, "#compiled", call)
        _compiled_loss(run, obj, call)
        return NONE
    if name in ("fit", "fit_generator", "train_on_batch", "fit_transform"):
        return _keras_fit(run, obj, call, name)
    if name in ("evaluate", "evaluate_generator", "test_on_batch"):
        return _keras_evaluate(run, obj, name, call)
    if name in ("predict", "predict_generator", "predict_on_batch", "predict_proba", "predict_classes"):
        return _keras_predict(run, obj, name, call)
    if name in ("save_weights", "save"):
        if name == "save" and calls._text(call.at(0)):
            run.saved[calls._text(call.at(0))] = obj
        run.emit(Weights, call.node, subject=subject, action="save", name=calls._text(call.at(0)), improving=run.improving)
        return NONE
    if name in ("load_weights", "set_weights"):
        run.emit(Weights, call.node, subject=subject, action="load", name=calls._text(call.at(0)))
        return NONE
    if name in ("summary", "build", "reset_states", "to_json", "get_config"):
        return NONE
    if name in ("get_layer", "layers", "pop"):
        return obj
    if name == "get_weights":
        return Array(kind="weights", owner=(obj, contents.COPIED))
    return None


def _final_activation(obj: Obj) -> tuple[str, Any]:
    known = obj.cells.get("#activation")
    if isinstance(known, Array):
        return known.activation, known.activated_at
    layers_ = _layers(obj)
    last = layers_[-1] if layers_ else None
    if last is None:
        return "", None
    if last.is_a("activation"):
        return activation_of(last), last.subject.at
    if last.entry is not None and last.subject.label == "Activation":
        return str(last.subject.given.get("activation", "")), last.subject.at
    return (
        (activation_of(last), last.subject.at)
        if last.entry is not None and last.entry.get("activation")
        else ("", last.subject.at)
    )


_KERAS_LOSSES = {
    "categorical_crossentropy": ("probabilities", True),
    "sparse_categorical_crossentropy": ("probabilities", True),
    "binary_crossentropy": ("probabilities", False),
}


def _compiled_loss(run: Run, obj: Obj, call: Call) -> None:
    value = call.kwargs.get("loss") or call.at(1)
    received, at = _final_activation(obj)
    expects, multiclass, name = "", None, ""
    if isinstance(value, Const) and isinstance(value.value, str):
        name = value.value
        expects, multiclass = _KERAS_LOSSES.get(name, ("value", None))
    elif isinstance(value, Obj) and value.is_a("loss") and value.entry is not None:
        name = value.subject.label
        parameter = value.entry.get("from_logits")
        logits = value.subject.given.get(parameter) if parameter else None
        if parameter and parameter in value.subject.arguments and parameter not in value.subject.given:
            return
        expects = "logits" if logits is True else str(value.entry.get("expects", ""))
        multiclass = value.entry.get("multiclass")
    if expects in ("probabilities", "logits") and received:
        run.emit(
            Loss,
            call.node,
            api=name,
            expects=expects,
            received=received,
            data=Array(name="").view(),
            producer=at if isinstance(at, Site) else None,
            multiclass=multiclass,
        )


def _keras_fit(run: Run, obj: Obj, call: Call, name: str) -> Value:
    subject = obj.subject
    x = call.get("x", ("x", "y")) or call.kwargs.get("generator") or call.at(0)
    data = data_of(x) if x is not None else UNKNOWN
    target = data_of(call.get("y", ("x", "y")) or UNKNOWN)
    validation_value = call.kwargs.get("validation_data")
    if isinstance(validation_value, Seq) and validation_value.items:
        validation = data_of(validation_value.items[0])
        if not validation.has_rows and not validation.name:
            validation = data_of(validation_value.items[-1])
    else:
        validation = data_of(validation_value) if validation_value is not None else UNKNOWN
    fraction = call.kwargs.get("validation_split")
    if fraction is not None and not (isinstance(fraction, Const) and not fraction.value):
        rows = data.rows if data.has_rows else run.source(call.node, data.name)
        site = run.site(call.node)
        train, held = rows.part(site, 0, 2), rows.part(site, 1, 2)
        run.emit(
            Split,
            call.node,
            data=data.but(
                rows=rows, group=data.group or notes.repetition_of(run, rows), ordered=data.ordered or target.ordered
            ).view(),
            parts=(train, held),
            how="tail",
            api="validation_split",
            shuffles=False,
            seeded=True,
            stratified=False,
            grouped=False,
        )
        validation = data.but(rows=held, name="validation")
        data = data.but(rows=train)
    shuffle = call.kwargs.get("shuffle")
    if name in ("fit",) and not (isinstance(shuffle, Const) and shuffle.value is False):
        from mllint_bio.events import Draw

        run.emit(Draw, call.node, stream="tensorflow", what=f"{subject.label}.fit", purpose="order", subject=subject)
    subject.facts["framework"] = "keras"
    subject.facts["network"] = True
    run.emit(
        Fit,
        call.node,
        subject=subject,
        role="estimator.deep",
        data=data.view(),
        target=target.view(),
        method=name,
        validation=validation.view(),
    )
    before = obj.cells.get("#fitted")
    rows = union([before, data.rows]) if isinstance(before, Rows) and before.known and name == "train_on_batch" else data.rows
    run.write(obj, "#fitted", rows)
    run.write(obj, "#inputs", data.learned)
    subject.facts["fitted"] = rows
    scores: frozenset[int] = frozenset()
    _note_own_figures(run, obj, call)
    if validation.has_rows or validation.name:
        predicted = validation.but(
            prediction=Prediction(subject, validation.rows, "score"), learned=validation.learned | data.learned
        )
        numbers = {
            emit_score(run, call.node, metric, family, predicted, UNKNOWN, direction=_better(metric, family), decomposable=True)
            for metric, family in _metrics(obj, with_loss=True)
        }
        scores = frozenset(numbers)
    _callbacks(run, obj, call, data, validation, scores)
    run.write(obj, "#history", scores)
    history = Obj(Subject(api="History", role="object", at=run.site(call.node)))
    history.cells[".history"] = Array(kind="history", scores=scores, owner=(obj,))
    return history


def _note_own_figures(run: Run, obj: Obj, call: Call) -> None:
    """Figures that a network compiled without metrics reports by itself (in `test_step`), as far as callbacks name them."""
    compiled = obj.cells.get("#compiled")
    if compiled is not None and (compiled.kwargs.get("metrics") or compiled.at(2)):
        return
    watched = (str(one.subject.given.get("monitor", "")) for one in _flatten(call.kwargs.get("callbacks")))
    own = {name.removeprefix("val_") for name in watched if name.startswith("val_")} - {"loss"}
    run.write(obj, "#own-figures", tuple(sorted({*own, *(obj.cells.get("#own-figures") or ())})))


def _callbacks(run: Run, obj: Obj, call: Call, trained: Array, validation: Array, scores: frozenset[int]) -> None:
    """What the callbacks of a Keras model choose, and by which figures."""
    for callback in _flatten(call.kwargs.get("callbacks")):
        entry = callback.entry
        if entry is None or not callback.is_a("early-stop", "checkpoint", "lr-select"):
            continue
        restores = entry.get("restores")
        restored: bool | None = None
        if isinstance(restores, str):
            value = callback.subject.given.get(restores, (entry.get("defaults") or {}).get(restores))
            restored = None if restores in callback.subject.arguments and restores not in callback.subject.given else bool(value)
        elif isinstance(restores, bool):
            restored = restores
        if callback.is_a("checkpoint"):
            best = entry.get("best_only")
            given = (
                callback.subject.given.get(best, (entry.get("defaults") or {}).get(best, False))
                if isinstance(best, str)
                else best
            )
            if not given:
                continue
            restored = None
            file = str(callback.subject.given.get("filepath", ""))
            if file:
                run.saved[file] = obj
        monitor = str(callback.subject.given.get(entry.get("monitor") or "monitor", "val_loss"))
        on_validation = monitor.startswith("val")
        if on_validation and not (validation.has_rows or validation.name):
            continue
        watched = frozenset(n for n in scores if isinstance(e := run.events[n], Score) and e.metric == monitor.partition("_")[2])
        what = str(
            entry.get("selects")
            or ("learning-rate" if callback.is_a("lr-select") else "checkpoint" if callback.is_a("checkpoint") else "early-stop")
        )
        # the fault stands where the callback is built, with its arguments
        run.emit(
            Select,
            callback.subject.at,
            what=what,
            how=callback.subject.label,
            scores=(watched or scores) if on_validation else frozenset(),
            data=(validation if on_validation else trained).view(),
            subject=obj.subject,
            metric=monitor,
            direction=_mode(callback),
            keeps=frozenset({"weights"}),
            restored=restored,
        )


def _mode(callback: Obj) -> str:
    """up or down as the callback compares; empty when it derives the direction from the name or gets it from outside."""
    entry = callback.entry
    name = str(entry.get("mode") or "mode") if entry is not None else "mode"
    if callback.subject.unknown_arguments or (name in callback.subject.arguments and name not in callback.subject.given):
        return ""
    mode = callback.subject.given.get(name, (entry.get("defaults") or {}).get(name) if entry is not None else None)
    return {"max": "up", "min": "down"}.get(str(mode), "")


def _flatten(value: Value | None) -> list[Obj]:
    return objects_in(value, 3) if value is not None else []


_LOWER = re.compile(r"loss|entropy|error|mse|mae|mape|msle|divergence|hinge|cosh|poisson|distance|perplexity", re.I)
_HIGHER = re.compile(
    r"acc|auc|f1|f_?beta|precision|recall|sensitivity|specificity|dice|iou|jaccard|r2|corr|pearson|similarity|kappa", re.I
)


def _better(metric: str, family: str) -> str:
    """up or down: the better direction of a figure that a Keras model reports, by its name; empty if that does not say."""
    if family == "loss" or _LOWER.search(metric):
        return "down"
    return "up" if family in ("label", "score") or _HIGHER.search(metric) else ""


def _family(metric: str) -> str:
    """The family of a figure that a Keras model reports, by its name."""
    if "loss" in metric:
        return "loss"
    if "acc" in metric or metric in ("precision", "recall", "f1"):
        return "label"
    if any(word in metric for word in ("mse", "mae", "error")):
        return "regression"
    return "score" if any(word in metric for word in ("auc", "cindex", "c_index", "concordance")) else "unknown"


def _metrics(obj: Obj, with_loss: bool) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = [("loss", "loss")] if with_loss else []
    compiled = obj.cells.get("#compiled")
    value = compiled.kwargs.get("metrics") or compiled.at(2) if compiled is not None else None
    if value is None:
        found.extend((name, _family(name.lower())) for name in obj.cells.get("#own-figures") or ())
    members: list[Value] = []
    if isinstance(value, Seq):
        members = [*value.items, *([value.rest] if value.rest is not None else [])]
    elif isinstance(value, Dict):
        members = list(value.items.values())
    elif value is not None:
        members = [value]
    for member in members:
        if isinstance(member, Const) and isinstance(member.value, str):
            name = member.value.lower()
            found.append(("accuracy" if name in ("acc", "accuracy") else name, _family(name)))
        elif isinstance(member, Obj) and member.is_a("metric"):
            found.append((member.subject.label, member.subject.role.rpartition(".")[2]))
        elif isinstance(member, (Func, Ext)):
            name = member.name if isinstance(member, Func) else member.path.rsplit(".", 1)[-1]
            found.append((name, "accuracy" in name.lower() and "label" or "unknown"))
        else:
            found.append(("metric", "unknown"))
    return found


def _keras_predict(run: Run, obj: Obj, name: str, call: Call) -> Value:
    data = data_of(call.get("x", ("x",)) or call.kwargs.get("generator") or call.at(0) or UNKNOWN)
    output = "label" if name == "predict_classes" else "score"
    event = run.emit(PredictEvent, call.node, subject=obj.subject, data=data.view(), output=output, mode="managed")
    inputs = obj.cells.get("#inputs")
    learned = data.learned | (inputs if isinstance(inputs, frozenset) else frozenset())
    activation_, _ = _final_activation(obj)
    if activation_ == "linear":
        output = "value"
    return Array(
        kind="array",
        rows=data.rows,
        name=data.name,
        learned=learned,
        prediction=Prediction(obj.subject, data.rows, output, event),
        activation=activation_,
        loader=data.loader,
        group=data.group,
        ordered=data.ordered,
        visit=run.visit(data.loader, call.node),
    )


def _floored(steps: ir.Expr) -> bool:
    """Whether a number of batches is rounded down: `samples // size`, `int(samples / size)`."""
    if isinstance(steps, ir.IfExp):
        return _floored(steps.body) or _floored(steps.orelse)
    rounds = (
        isinstance(steps, ir.Call) and isinstance(steps.func, (ir.Name, ir.Attribute)) and steps.func.name in ("int", "floor")
    )
    if rounds and isinstance(steps, ir.Call) and len(steps.args) == 1:
        steps = steps.args[0][1]
    one = isinstance(steps, ir.Binary) and isinstance(steps.right, ir.Constant) and steps.right.value == 1
    return isinstance(steps, ir.Binary) and steps.op in (("/", "//") if rounds else ("//",)) and not one


def _in_steps(run: Run, name: str, call: Call, data: Array) -> Array:
    """Data that are read for a number of batches: where that is rounded down, the last samples are left out."""
    given = call.node.args if isinstance(call.node, ir.Call) else []
    told = [value for keyword, value in given if keyword == "steps"]
    if name == "evaluate_generator":
        told += [value for keyword, value in given[1:2] if keyword is None]
    if not any(map(_floored, told)):
        return data
    reader = Subject(api=name, role="loader", at=run.site(call.node))
    run.emit(Loader, call.node, subject=reader, data=data.view(), drop_last=True, workers=0)
    return data.but(loader=reader)


def _keras_evaluate(run: Run, obj: Obj, name: str, call: Call) -> Value:
    data = data_of(call.get("x", ("x", "y")) or call.kwargs.get("generator") or call.at(0) or UNKNOWN)
    data = _in_steps(run, name, call, data)
    truth = data_of(call.get("y", ("x", "y")) or UNKNOWN)
    inputs = obj.cells.get("#inputs")
    learned = data.learned | (inputs if isinstance(inputs, frozenset) else frozenset())
    event = run.emit(PredictEvent, call.node, subject=obj.subject, data=data.view(), output="score", mode="managed")
    predicted = data.but(prediction=Prediction(obj.subject, data.rows, "score", event), learned=learned)
    numbers = [emit_score(run, call.node, metric, family, predicted, truth, direction=_better(metric, family), decomposable=True)
               for metric, family in _metrics(obj, with_loss=True)]  # fmt: skip
    figures = [Array(kind="figure", rows=data.rows, scores=frozenset({n}), name=data.name) for n in numbers]
    return Seq("list", figures) if len(figures) > 1 else figures[0]


# -- trainers --------------------------------------------------------------------------------------------------------


def _trainer_method(run: Run, obj: Obj, name: str, call: Call) -> Value:
    values = call.everything()
    module_obj = next((o for v in values for o in objects_in(v) if o.is_a("module", "pretrained", "object")), None)
    construct: Call | None = obj.cells.get("#call")
    if module_obj is None and construct is not None:
        module_obj = next((o for v in construct.everything() for o in objects_in(v) if o.is_a("module", "pretrained")), None)
    subject = module_obj.subject if module_obj is not None else obj.subject
    datasets = [data_of(v) for v in values if not (isinstance(v, Obj) and v.is_a("module", "pretrained"))]
    datasets = [d for d in datasets if d.has_rows]
    keyword = {k: data_of(v) for k, v in [*(construct.kwargs.items() if construct is not None else ()), *call.kwargs.items()]}
    lightning = obj.entry is not None and obj.entry.get("style") == "lightning"
    loaders = _loaders(run, name, call, module_obj) if lightning else {}
    if name in ("fit", "train", "fine_tune", "run"):
        data = (
            keyword.get("train_dataloaders")
            or keyword.get("train_dataset")
            or keyword.get("train_data_loader")
            or (datasets[0] if datasets else data_of(loaders.get("fit", UNKNOWN)))
        )
        validation = (
            keyword.get("val_dataloaders")
            or keyword.get("eval_dataset")
            or (datasets[1] if len(datasets) > 1 else data_of(loaders.get("validate", UNKNOWN)))
        )
        subject.facts["network"] = True
        subject.facts["framework"] = "trainer"
        run.emit(
            Fit, call.node, subject=subject, role="estimator.deep", data=data.view(), method=name, validation=validation.view()
        )
        subject.facts["fitted"] = data.rows
        if module_obj is not None:
            run.write(module_obj, "#mode", "managed")
            run.write(module_obj, "#fitted", data.rows)
            if lightning and module_obj.klass is not None:
                run.saved[_checkpoint_of(module_obj.klass)] = module_obj
        if construct is not None:
            from mllint_bio.events import Draw

            run.emit(Draw, call.node, stream="torch", what=f"{obj.subject.label}.{name}", purpose="order", subject=subject)
            if _is_hf(obj):
                _hf_training(run, construct, validation, call, subject)
            if lightning:
                hooks.step(run, module_obj, "training_step", loaders.get("fit", UNKNOWN), call, epochs=True)
                hooks.step(run, module_obj, "validation_step", loaders.get("validate", UNKNOWN), call, epochs=True)
            _trainer_callbacks(run, obj, construct, validation, call, subject)
        return NONE
    if name in ("test", "validate") and lightning:
        start = len(run.events)
        hooks.step(run, module_obj, "test_step" if name == "test" else "validation_step", loaders[name], call, epochs=False)
        own = [event.id for event in run.events[start:] if isinstance(event, Score)]
        if own:
            figures = Array(kind="figure", scores=frozenset(own))
            run.report(call.node, [figures], "print")
            return figures
    if name in ("test", "evaluate", "validate"):
        given = [data_of(v) for v in [*call.args, *call.kwargs.values()]]
        handed = next((d for d in given if d.has_rows), None)
        data = handed or keyword.get("dataloaders") or keyword.get("eval_dataset") or UNKNOWN
        if construct is not None and _is_hf(obj):
            own = _hf_metrics(run, construct, data, call, subject)
            if own:
                run.report(call.node, [Array(scores=frozenset(own))], "print")
                return Array(kind="figure", scores=frozenset(own))
        predicted = data.but(
            prediction=Prediction(subject, data.rows, "unknown"), name=data.name or ("test" if name == "test" else "validation")
        )
        number = emit_score(run, call.node, "metrics", "unknown", predicted, UNKNOWN)
        run.report(call.node, [Array(scores=frozenset({number}))], "print")
        return Array(kind="figure", scores=frozenset({number}))
    if name == "predict" and lightning:
        returned = hooks.step(run, module_obj, "predict_step", loaders[name], call, epochs=False)
        if returned is not None:
            return Seq("list", (), returned)
    if name == "predict" and _is_hf(obj) and datasets:
        return _hf_output(run, datasets[0], subject, call)
    if name == "predict":
        data = keyword.get("dataloaders") or (datasets[0] if datasets else UNKNOWN)
        return Array(kind="array", rows=data.rows, prediction=Prediction(subject, data.rows, "unknown"), name=data.name)
    return UNKNOWN


def _is_hf(obj: Obj) -> bool:
    return obj.entry is not None and obj.entry.get("style") == "hf"


def _hf_output(run: Run, data: Array, subject: Subject, call: Call) -> Seq:
    """`transformers.EvalPrediction` and `PredictionOutput`: what the network says of a data set, and its labels."""
    event = run.emit(PredictEvent, call.node, subject=subject, data=data.view(), output="logit", mode="managed")
    said = Array(
        kind="array",
        rows=data.rows,
        name=data.name,
        learned=data.learned,
        prediction=Prediction(subject, data.rows, "logit", event),
        group=data.group,
    )
    truth = Array(kind="array", rows=data.rows, name=data.name, column="labels")
    output = Seq("tuple", [said, truth])
    output.cells["#fields"] = {"predictions": said, "label_ids": truth, "metrics": UNKNOWN}
    return output


def _hf_metrics(run: Run, construct: Call, data: Array, call: Call, subject: Subject) -> list[int]:
    """`compute_metrics` of the trainer, on a data set: the scores that it computes."""
    function = construct.kwargs.get("compute_metrics")
    start = len(run.events)
    if isinstance(function, Func) and data.has_rows:
        run.call(function, contents.call_of(call.node, [_hf_output(run, data, subject, call)]))
    return [event.id for event in run.events[start:] if isinstance(event, Score)]


def _hf_training(run: Run, construct: Call, validation: Array, call: Call, subject: Subject) -> None:
    """Evaluation in every epoch, and the checkpoint that is put back at the end."""
    settings = next((o for v in construct.everything() for o in objects_in(v) if "TrainingArguments" in o.subject.api), None)
    given = settings.subject.given if settings is not None else {}
    strategy = given.get("eval_strategy", given.get("evaluation_strategy"))
    if not validation.has_rows or strategy not in ("epoch", "steps"):
        return
    outer = run.loops
    try:
        run.loops = (*outer, run.loop(call.node, LoopKind.EPOCH, "epoch"))
        scores = _hf_metrics(run, construct, validation, call, subject)
        run.report(call.node, [Array(scores=frozenset(scores))], "log")
    finally:
        run.loops = outer
    if settings is None or given.get("load_best_model_at_end") is not True:
        return
    metric = str(given.get("metric_for_best_model") or "loss")
    greater = given.get("greater_is_better")
    direction = "down" if metric.endswith("loss") else "up"  # the library's own rule
    run.emit(
        Select,
        settings.subject.at,
        what="checkpoint",
        how="load_best_model_at_end",
        data=validation.view(),
        subject=subject,
        metric=metric,
        direction=direction if greater is None else "up" if greater else "down",
        keeps=frozenset({"weights"}),
        restored=True,
    )


def _loaders(run: Run, name: str, call: Call, module_obj: Obj | None) -> dict[str, Value]:
    """Stage -> loader of a Lightning trainer's method: an argument, or what a hook gives."""
    datamodule = next((o for v in call.everything() for o in objects_in(v) if o.is_a("datamodule")), None)
    given = [v for v in call.args[1:] if not (isinstance(v, Obj) and v.is_a("datamodule"))]
    if call.args and data_of(call.args[0]).has_rows:  # `test(dataloaders)` of old, without the module
        given = list(call.args)
    if name != "fit":
        stated = call.kwargs.get("dataloaders") or call.kwargs.get("test_dataloaders") or (given[0] if given else None)
        hook = hooks.STAGES.get(name)
        return {name: hooks.loader(run, module_obj, stated, datamodule, hook, name, call)} if hook is not None else {}
    train = call.kwargs.get("train_dataloaders") or call.kwargs.get("train_dataloader") or (given[0] if given else None)
    held = call.kwargs.get("val_dataloaders") or (given[1] if len(given) > 1 else None)
    return {
        "fit": hooks.loader(run, module_obj, train, datamodule, "train_dataloader", "fit", call),
        "validate": hooks.loader(run, module_obj, held, datamodule, "val_dataloader", "fit", call),
    }


def _trainer_callbacks(run: Run, obj: Obj, construct: Call, validation: Array, call: Call, subject: Subject) -> None:
    for callback in _flatten(construct.kwargs.get("callbacks")):
        if not callback.is_a("early-stop", "checkpoint"):
            continue
        monitor = callback.subject.given.get("monitor")
        if callback.is_a("checkpoint") and monitor is None:
            continue
        run.emit(
            Select,
            callback.subject.at,
            what="checkpoint" if callback.is_a("checkpoint") else "early-stop",
            how=callback.subject.label,
            data=validation.view(),
            subject=subject,
            metric=str(monitor or ""),
            direction=_mode(callback),
            keeps=frozenset({"weights"}),
            restored=None,
        )


def is_no_grad(value: Value) -> bool:
    """Whether a context manager switches gradients off."""
    return (
        isinstance(value, Array)
        and value.kind == "no-grad"
        or isinstance(value, Ext)
        and value.path in ("torch.no_grad", "torch.inference_mode")
    )


HANDLERS: dict[str, Callable[[Any, Entry, Any], Value]] = {
    "layer": layer,
    "module": module,
    "pretrained": pretrained,
    "estimator.deep": deep_estimator,
    "activation": activation,
    "loss": loss,
    "optimizer": optimizer,
    "scheduler": scheduler,
    "callback": scheduler,
    "sampler": sampler,
    "loader": loader,
    "row-selection": row_selection,
    "dataset": dataset,
    "datamodule": module,
    "early-stop": early_stop,
    "checkpoint": early_stop,
    "lr-select": early_stop,
    "trainer": trainer,
    "augment": scheduler,
}
