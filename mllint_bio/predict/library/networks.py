"""Networks: modules and layers, their losses and modes, and the training loops that libraries run themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mllint_bio import catalog
from mllint_bio.catalog import Entry
from mllint_bio.events import (
    Backward,
    Build,
    Determinism,
    Device,
    Draw,
    Loss,
    Mode,
    Prediction,
    Select,
    Site,
    Step,
    Subject,
    Unresolved,
    Weights,
    ZeroGrad,
)
from mllint_bio.events import Predict as PredictEvent
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import (
    arithmetic,
    contents,
    devices,
    growth,
    keras,
    layers,
    learners,
    notes,
    optimizers,
    passes,
    seeding,
    subjects,
    trainers,
    tuners,
)
from mllint_bio.predict.library.contents import arrays_in, blend, data_of, objects_in, text_of
from mllint_bio.predict.library.loaders import dataset_data
from mllint_bio.predict.library.optimizers import hold, optimizer_method, plateau, scored_view, step
from mllint_bio.predict.library.scoring import emit_score, weights_loaded
from mllint_bio.predict.values import (
    MAX_CHOICES,
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
    Obj,
    Seq,
    Value,
    join_all,
)
from mllint_bio.rows import UNKNOWN_ROWS

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

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
        seeding.draws(
            run, call, obj.entry.fields, obj.entry.params, obj.subject.label, at="call", purpose="init", subject=obj.subject
        )
    if obj.is_a("optimizer"):
        hold(obj, call.kwargs.get("params") or call.at(0))
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
            run.inline(member, Call(call.node, [], {}), obj)
    if obj.is_a("module"):
        obj.subject.facts["own_layers"] = obj.klass is not None and obj.entry is not None and obj.entry.is_a("module")
        run.emit(Build, call.node, subject=obj.subject, mode_dependent=mode_dependent(obj))
    elif obj.is_a("dataset"):
        dataset_data(obj, run, call)


_CONFIGURED = ("estimator", "fitted-transform", "imputer", "feature-selector", "splitter", "resampler", "tuner")


def attached(run: Run, obj: Obj, name: str, value: Value) -> None:
    """`object.name = value`: a submodule, a layer or transform becomes a part; a setting of an estimator counts as given."""
    if obj.klass is None and not name.endswith("_") and obj.is_a(*_CONFIGURED):
        tuners.configure(obj, {name: value})
    for one in objects_in(value):
        holds = obj.is_a("module", "layer", "estimator.deep", "pretrained") and one.is_a(
            "module", "layer", "activation", "pretrained", "object", "estimator.deep"
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
        depends = entry.get("mode_dependent") if entry is not None else None
        if isinstance(depends, list):
            if any(subject.given.get(parameter) for parameter in depends):
                return True
        elif depends:
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
        kind = layers.activation_of(obj)
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


def _apply_layer(run: Run, obj: Obj, call: Call) -> Value:
    children = layers.layers_of(obj)
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
        return _symbolic(call, layers.activation_of(obj), run.site(call.node))
    if obj.entry is not None and obj.entry.get("activation") == "linear":
        activation, at = "linear", run.site(call.node)
    elif obj.entry is not None and obj.entry.get("activation") in (None, "") and not (obj.entry and obj.entry.get("draws")):
        activation, at = (
            (data.activation if name in ("Flatten", "Identity", "Dropout", "Squeeze") else "other"),
            data.activated_at,
        )
    else:
        activation, at = layers.activation_of(obj), run.site(call.node)
    result = data.but(
        activation=activation,
        activated_at=at,
        linear=None,
        mask=None,
        prediction=data.prediction,
    )
    applied = not run.inside_forward and not data.prediction and obj.entry is not None and obj.entry.get("draws")
    if applied and any(array.has_rows for value in call.everything() for array in arrays_in(value)):
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


def _chain(run: Run, children: Sequence[Obj], call: Call) -> Value:
    value: Value = call.args[0] if call.args else blend(run, call.everything())
    for child in children:
        value = run.call_object(child, Call(call.node, [value if not isinstance(value, Seq) else value.element()], {}))
    return value


# -- roles: construction ---------------------------------------------------------------------------------------------


def layer(run: Run, entry: Entry, call: Call) -> Value:
    """Construct a layer, a container of layers, or apply a wrapper to a module."""
    if entry.path.startswith("torch.nn.functional.") or entry.get("form") == "call":
        return _functional(run, entry, call)
    subject = subjects.make_subject(run, entry, call)
    children = [o for v in call.everything() for o in objects_in(v, 3)]
    if entry.get("container") and entry.path.rsplit(".", 1)[-1] in _TRANSPARENT:
        compiled = [value for value in call.args[:1] if isinstance(value, (Bound_, Func))]
        if children or compiled:
            return [*children, *compiled][0]
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
    seeding.draws(run, call, entry.fields, entry.params, subject.label, at="call", purpose="init", subject=subject)
    if entry.path.startswith(("keras", "tensorflow")) and subject.label in ("Input", "InputLayer"):
        return Array(kind="symbolic")
    return obj


def _functional(run: Run, entry: Entry, call: Call) -> Value:
    """Apply a layer that is a function: `F.dropout(x)`, `F.conv2d(x, weight)`."""
    name = entry.path.rsplit(".", 1)[-1]
    if not run.inside_forward:  # what a network draws while it is applied is left to the network, as that of its layers
        seeding.draws(run, call, entry.fields, entry.params, name, at="call", purpose=None)
    if entry.get("mode_dependent"):
        training = call.get("training", entry.params)
        facts = [f.receiver.subject.facts for f in run.frames if isinstance(f.receiver, Obj) and f.receiver.is_a("module")]
        for known in facts if not isinstance(training, Const) else ():
            if training is not None:
                known["mode_dependent"] = True
            elif not call.open and (entry.get("defaults") or {}).get("training") and call.get("p", entry.params) != Const(0):
                known.setdefault("always_training", run.site(call.node))
    data = data_of(call.get(entry.params[0], entry.params) or UNKNOWN)
    if "dropout" in name:
        return data.but(linear=None, mask=None)
    return data.but(activation=entry.get("activation") or "other", activated_at=run.site(call.node), linear=None, mask=None)


def module(run: Run, entry: Entry, call: Call) -> Value:
    """A bare `nn.Module()` or a network class of a library."""
    obj = Obj(subjects.make_subject(run, entry, call), None, entry)
    obj.cells["#mode"] = "train"
    seeding.draws(run, call, entry.fields, entry.params, obj.subject.label, at="call", purpose="init", subject=obj.subject)
    return obj


def pretrained(run: Run, entry: Entry, call: Call) -> Value:
    """A network from a library, with or without trained weights."""
    obj = Obj(subjects.make_subject(run, entry, call), None, entry)
    obj.cells["#mode"] = "train" if "transformers" not in entry.path else "eval"
    if _is_keras(obj):
        obj.cells["#activation"] = Array(kind="symbolic")
    seeding.draws(run, call, entry.fields, entry.params, obj.subject.label, at="call", purpose="init", subject=obj.subject)
    without = "weights" in obj.subject.given and obj.subject.given["weights"] is None
    if without or obj.subject.given.get("pretrained") is False:  # the library's shape, with weights of its own
        stream = "tensorflow" if _is_keras(obj) else "torch"
        run.emit(Draw, call.node, stream=stream, what=obj.subject.label, purpose="init", subject=obj.subject)
    return obj


def deep_estimator(run: Run, entry: Entry, call: Call) -> Value:
    """Keras Model and Sequential, sklearn's MLP, skorch."""
    if entry.get("style") != "keras":
        return subjects.build(run, entry, call)
    obj = Obj(subjects.make_subject(run, entry, call), None, entry)
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
        return Obj(subjects.make_subject(run, entry, call), None, entry)
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
        return Obj(subjects.make_subject(run, entry, call), None, entry)
    temporary = Obj(subjects.make_subject(run, entry, call), None, entry)
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


def early_stop(run: Run, entry: Entry, call: Call) -> Value:
    """Early stopping, checkpoints and score-driven schedulers as objects; they act when a trainer or a loop uses them."""
    obj = Obj(subjects.make_subject(run, entry, call), None, entry)
    return obj


def trainer(run: Run, entry: Entry, call: Call) -> Value:
    """Lightning Trainer, transformers Trainer: runs the loop itself."""
    obj = Obj(subjects.make_subject(run, entry, call), None, entry)
    obj.cells["#call"] = call
    seeding.also(run, entry, call)
    accelerator = call.get("accelerator", entry.params) or call.get("gpus", ())
    text = devices.device_text(accelerator) if accelerator is not None else ""
    if text or "gpus" in call.kwargs or "devices" in call.kwargs and text:
        run.emit(Device, call.node, device=text or "cuda", conditional=bool(run.branch))
    elif accelerator == Const("cpu"):
        run.emit(Device, call.node, device="cpu", conditional=bool(run.branch))
    benchmark = subjects.literal(call, entry, "benchmark")
    if benchmark is True:
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
        return optimizer_method(run, obj, name, call)
    if name == "step" and role.is_a("object") and _stepped(run, call):
        return NONE
    if role.is_a("lr-select") and name == "step":
        return plateau(run, obj, call)
    if role.is_a("scheduler", "callback", "lr-select"):
        return NONE
    if (
        role.is_a("tuner")
        and obj.entry is not None
        and obj.entry.get("style") in ("study", "optuna")
        or role.label == "create_study"
    ):
        found = tuners.study_method(run, obj, name, call)
        if found is not None:
            return found
    if role.is_a("trainer"):
        return trainers.method(run, obj, name, call)
    if (
        _is_keras(obj)
        and role.is_a("estimator", "pretrained", "layer")
        or (role.is_a("estimator.deep") and obj.entry is not None and obj.entry.get("style") == "keras")
    ):
        return keras.method(run, obj, name, call)
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
            run.call(call.args[0], Call(call.node, [Obj(Subject(api="layer", role="layer", at=obj.subject.at))], {}))
        return obj
    if name in ("parameters", "named_parameters", "children", "modules", "named_children", "named_modules", "buffers"):
        return Array(kind="parameters", owner=(obj,))
    if name == "state_dict":
        return Array(kind="weights", owner=(obj,), name="")
    if name == "load_state_dict":
        given = [a for a in arrays_in(call.at(0)) if a.name]
        stored = any(isinstance(a.owner, tuple) and a.owner[:1] == ("file",) for a in given)  # whatever the variable is called
        label = given[0].name if given and not stored else ""
        weights_loaded(run, obj.subject, arrays_in(call.at(0)))
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
    while stack and len(found) < 2000:
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
        devices.emit_device(run, call.node, call.args[0], module)


def _stepped(run: Run, call: Call) -> bool:
    """`scaler.step(optimizer)`: what is not known to step steps the optimizer that it is handed."""
    handed = call.at(0)
    if isinstance(handed, Obj) and handed.is_a("optimizer"):
        optimizer_method(run, handed, "step", Call(call.node, [], {}))
        return True
    if isinstance(handed, Array) and handed.kind in ("unknown", "param") and "opt" in (handed.name or "").lower():
        return method_of_unknown(run, handed, "step", Call(call.node, [], {})) is not None
    return False


def own_step(run: Run, obj: Obj, func: Func, call: Call) -> Value:
    """`step` of an optimizer that the project wrote: it steps, whatever it does to the parameters, or has another do so."""
    before = len(run.events)
    result = run.inline(func, call, obj)
    if any(isinstance(event, Step) for event in run.events[before:]):
        obj.cells["#delegates"] = True
    if not obj.cells.get("#delegates"):
        step(run, obj, obj.cells.get("#modules") or (), call.node)
    return result


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
    network = run.saved.get(trainers.checkpoint_of(klass)) if name == "load_from_checkpoint" else None
    if isinstance(network, Obj):
        path = text_of(call.at(0) or call.kwargs.get("checkpoint_path"))
        run.emit(Weights, call.node, subject=network.subject, action="load", name=path)
    return network


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
    # Of one of the layers: `for layer in net.children(): layer.reset_parameters()`, `layer.kernel.assign(...)`.
    parts = value.kind == "parameters" and "reset" in name or name == "assign" and value.name in ("kernel", "bias", "weight")
    if parts or name in ("set_weights", "load_weights", "load_state_dict"):
        owners = value.owner if isinstance(value.owner, tuple) else ()
        run.emit(Unresolved, call.node, name=name, touches=tuple(one.subject for one in owners if isinstance(one, Obj)))
        return NONE
    if name in ("cuda", "to") and (
        value.has_rows or value.prediction is not None or value.kind in ("batch", "item", "array", "unknown", "param")
    ):
        _moved(run, name, call)
        if looks_like_module(value.name) and value.kind in ("unknown", "param"):
            return as_module(run, value, call.node)
        return value
    if value.kind in ("unknown", "param") and (name in _KERAS_METHODS or id(value) in run.keras_models):
        return keras.method(run, _as_keras(run, value, call.node), name, call)
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
                    data=scored_view(run, figure),
                    keeps=frozenset(),
                )
            return NONE
    if value.kind == "weights" and name in ("copy", "items", "update"):
        return value if name == "copy" else Array(kind="weights-items", owner=value.owner)  # a new mapping to the same tensors
    return None


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
    "callback": optimizers.scheduler,
    "datamodule": module,
    "early-stop": early_stop,
    "checkpoint": early_stop,
    "lr-select": early_stop,
    "trainer": trainer,
    "augment": optimizers.scheduler,
}
