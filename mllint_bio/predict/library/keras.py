"""Models of Keras: compile, fit, evaluate, predict and their callbacks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mllint_bio.events import Draw, Fit, Loader, Loss, Prediction, Score, Select, Site, Split, Subject, Weights
from mllint_bio.events import Predict as PredictEvent
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import contents, growth, layers, notes
from mllint_bio.predict.library.contents import data_of, objects_in, text_of
from mllint_bio.predict.library.scoring import emit_score, weights_loaded, weights_saved
from mllint_bio.predict.values import NONE, UNKNOWN, Array, Const, Dict, Ext, Func, Obj, Seq, Value
from mllint_bio.rows import Rows, union

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

_KERAS_LOSSES = {
    "categorical_crossentropy": ("probabilities", True),
    "sparse_categorical_crossentropy": ("probabilities", True),
    "binary_crossentropy": ("probabilities", False),
}
_LOWER = re.compile(r"loss|entropy|error|mse|mae|mape|msle|divergence|hinge|cosh|poisson|distance|perplexity", re.I)
_HIGHER = re.compile(
    r"acc|auc|f1|f_?beta|precision|recall|sensitivity|specificity|dice|iou|jaccard|r2|corr|pearson|similarity|kappa", re.I
)


def method(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    """A method of a Keras model; None when it is none that is known."""
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
        if name == "save" and text_of(call.at(0)):
            run.saved[text_of(call.at(0))] = obj
        run.emit(Weights, call.node, subject=subject, action="save", name=text_of(call.at(0)), improving=run.improving)
        weights_saved(run, subject, text_of(call.at(0)))
        return NONE
    if name in ("load_weights", "set_weights"):
        weights_loaded(run, subject, (), text_of(call.at(0)))
        run.emit(Weights, call.node, subject=subject, action="load", name=text_of(call.at(0)))
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
    layers_ = layers.layers_of(obj)
    last = layers_[-1] if layers_ else None
    if last is None:
        return "", None
    if last.is_a("activation"):
        return layers.activation_of(last), last.subject.at
    if last.entry is not None and last.subject.label == "Activation":
        return str(last.subject.given.get("activation", "")), last.subject.at
    return (
        (layers.activation_of(last), last.subject.at)
        if last.entry is not None and last.entry.get("activation")
        else ("", last.subject.at)
    )


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
    watched = (str(one.subject.given.get("monitor", "")) for one in callbacks_in(call.kwargs.get("callbacks")))
    own = {name.removeprefix("val_") for name in watched if name.startswith("val_")} - {"loss"}
    run.write(obj, "#own-figures", tuple(sorted({*own, *(obj.cells.get("#own-figures") or ())})))


def _callbacks(run: Run, obj: Obj, call: Call, trained: Array, validation: Array, scores: frozenset[int]) -> None:
    """What the callbacks of a Keras model choose, and by which figures."""
    for callback in callbacks_in(call.kwargs.get("callbacks")):
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
            direction=mode_of(callback),
            keeps=frozenset({"weights"}),
            restored=restored,
        )


def mode_of(callback: Obj) -> str:
    """up or down as the callback compares; empty when it derives the direction from the name or gets it from outside."""
    entry = callback.entry
    name = str(entry.get("mode") or "mode") if entry is not None else "mode"
    if callback.subject.unknown_arguments or (name in callback.subject.arguments and name not in callback.subject.given):
        return ""
    mode = callback.subject.given.get(name, (entry.get("defaults") or {}).get(name) if entry is not None else None)
    return {"max": "up", "min": "down"}.get(str(mode), "")


def callbacks_in(value: Value | None) -> list[Obj]:
    """Callbacks that were handed over, alone or in a list."""
    return objects_in(value, 3) if value is not None else []


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
