"""Trainers of Lightning, transformers and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mllint_bio.events import Draw, Fit, LoopKind, Prediction, Score, Select, Subject
from mllint_bio.events import Predict as PredictEvent
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import hooks, keras
from mllint_bio.predict.library.contents import data_of, objects_in
from mllint_bio.predict.library.iteration import iterated
from mllint_bio.predict.library.scoring import emit_score
from mllint_bio.predict.values import NONE, UNKNOWN, Array, Bound_, Func, Klass, Obj, Seq, Value, options

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def checkpoint_of(klass: Klass) -> str:
    """Key of the network of this class that a trainer fitted last, among the models that the program wrote."""
    return f"<checkpoint>{klass.name}"


def method(run: Run, obj: Obj, name: str, call: Call) -> Value:
    """`fit`, `train`, `validate`, `test`, `predict` of a trainer."""
    values = call.everything()
    module_obj = next((o for v in values for o in objects_in(v) if o.is_a("module", "pretrained", "object")), None)
    construct: Call | None = obj.cells.get("#call")
    if module_obj is None and construct is not None:
        module_obj = next((o for v in construct.everything() for o in objects_in(v) if o.is_a("module", "pretrained")), None)
    subject = module_obj.subject if module_obj is not None else obj.subject
    datasets = [data_of(v) for v in values if not (isinstance(v, Obj) and v.is_a("module", "pretrained"))]
    datasets = [d for d in datasets if d.has_rows]
    keyword = {k: data_of(v) for k, v in [*(construct.kwargs.items() if construct is not None else ()), *call.kwargs.items()]}
    if name == "run" and obj.entry is not None and obj.entry.get("style") == "ignite":
        function = construct.get("process_function", obj.entry.params[:1]) if construct is not None else None
        if isinstance(function, (Bound_, Func)):
            return _engine_run(run, obj, function, call)
        if obj.subject.label == "create_supervised_evaluator":
            name = "evaluate"
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
                run.saved[checkpoint_of(module_obj.klass)] = module_obj
        if construct is not None:
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


def _engine_run(run: Run, obj: Obj, function: Value, call: Call) -> Value:
    """`ignite.engine.Engine(function).run(loader)`: every batch goes to the function; what it gives to attached metrics is scored
    unless it learns."""
    loader = call.get("data", ("data", "max_epochs")) or UNKNOWN
    outer, start = run.loops, len(run.events)
    try:
        if call.get("max_epochs", ("data", "max_epochs")) is not None:
            run.loops = (*run.loops, run.loop(call.node, LoopKind.EPOCH, "epoch"))
        run.loops = (*run.loops, run.loop(call.node, LoopKind.BATCH, "run"))
        output = run.call(function, Call(call.node, [obj, iterated(run, loader, call.node)], {}))
    finally:
        run.loops = outer
    if any(isinstance(event, Fit) for event in run.events[start:]):
        return UNKNOWN
    for one in options(output):
        said, truth = one.items[:2] if isinstance(one, Seq) and len(one.items) >= 2 else (UNKNOWN, UNKNOWN)
        if isinstance(said, Array) and said.prediction is not None and isinstance(truth, Array):
            number = emit_score(run, call.node, "metrics", "unknown", said, truth)
            run.report(call.node, [Array(scores=frozenset({number}))], "print")
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
        run.call(function, Call(call.node, [_hf_output(run, data, subject, call)], {}))
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
    for callback in keras.callbacks_in(construct.kwargs.get("callbacks")):
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
            direction=keras.mode_of(callback),
            keeps=frozenset({"weights"}),
            restored=None,
        )
