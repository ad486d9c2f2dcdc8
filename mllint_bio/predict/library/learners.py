"""Estimators, transforms, splitters, resamplers, tuners and metrics: the protocol of scikit-learn and of what follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mllint_bio import catalog
from mllint_bio.catalog import Entry, learned_kind
from mllint_bio.events import (
    Data,
    Draw,
    Fit,
    Learned,
    Loop,
    LoopKind,
    Prediction,
    Resample,
    Score,
    Select,
    Split,
    Subject,
    Transform,
    Weights,
)
from mllint_bio.events import Predict as PredictEvent
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import calls, contents, notes
from mllint_bio.predict.library.contents import arrays_in, data_of
from mllint_bio.predict.library.scoring import emit_score, prediction_fitted
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Choice,
    Const,
    Dict,
    Ext,
    Func,
    Obj,
    Seq,
    Value,
    join_all,
    options,
    role_of_name,
)
from mllint_bio.rows import UNKNOWN_ROWS, Rows, common, union

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

TRANSFORMS = ("fitted-transform", "imputer", "feature-selector", "stateless-transform")


# -- objects that learn ----------------------------------------------------------------------------------------------


def build(run: Run, entry: Entry, call: Call) -> Value:
    """Construct a learner, splitter, tuner, sampler or metric object."""
    subject = calls.make_subject(run, entry, call)
    obj = Obj(subject, None, entry)
    obj.cells["#call"] = call
    wrapped = (
        call.get(entry.get("estimator") or "estimator", entry.params)
        if entry.is_a("tuner", "estimator.meta", "calibrator", "feature-selector")
        else None
    )
    for option in options(wrapped) if wrapped is not None else ():
        if isinstance(option, Obj):
            subject.parts.append(option.subject)
            obj.cells["#inner"] = option
    subject.facts["task"] = entry.get("task") or _task_of(obj)
    for trait in ("tunes_itself", "parameter_free"):
        if entry.get(trait):
            subject.facts[trait] = True
    return obj


def _task_of(obj: Obj) -> str:
    inner = obj.cells.get("#inner")
    return str(inner.subject.facts.get("task", "")) if isinstance(inner, Obj) else ""


def compose(run: Run, entry: Entry, call: Call) -> Value:
    """Pipeline, union, column transformer: children in order."""
    subject = calls.make_subject(run, entry, call)
    obj = Obj(subject, None, entry)
    children: list[Obj] = []
    spec = entry.get("children", "*")
    values: list[Value] = list(call.args) if spec == "*" else [call.get(spec, entry.params) or call.at(0) or UNKNOWN]
    for value in values:
        children.extend(_children(value))
    subject.parts.extend(child.subject for child in children)
    obj.cells["#steps"] = tuple(children)
    last = children[-1] if children else None
    if last is not None and last.is_a("estimator", "tuner", "calibrator"):
        subject.facts["task"] = last.subject.facts.get("task", "")
        subject.role = "estimator.pipeline"
        subject.facts["final"] = last.subject
    return obj


def _children(value: Value) -> list[Obj]:
    if isinstance(value, Obj):
        return [value]
    if isinstance(value, Choice):
        return [child for option in value.options for child in _children(option)][:1]
    if isinstance(value, (Seq, Dict)):
        members = value.items.values() if isinstance(value, Dict) else value.items
        return [child for member in members for child in _children(member)]
    return []


def steps(obj: Obj) -> tuple[Obj, ...]:
    """Children of a composite."""
    found = obj.cells.get("#steps")
    return found if isinstance(found, tuple) else ()


def attribute(run: Run, obj: Obj, name: str, node: ir.Node) -> Value | None:
    """Attributes of learners that tell something: best scores, coefficients, the chosen estimator."""
    if not obj.is_a("estimator", "tuner", "composer", "fitted-transform", "imputer", "feature-selector", "calibrator", "trainer"):
        return None
    data = obj.cells.get("#fit-data")
    if obj.is_a("tuner") and name in ("best_score_", "cv_results_", "best_value", "best_trial"):
        scores: frozenset[int] = obj.cells.get("#cv-scores") or frozenset()
        if name == "best_trial":  # its parameters, and whatever else was noted with them, were found by the search
            return Array(kind="figure", scores=scores, owner="tuned", chosen=obj.cells.get("#searches") or frozenset())
        return Array(kind="figure", scores=scores)
    if name in ("best_estimator_", "estimator_", "best_model"):
        return _chosen(run, obj) if obj.is_a("tuner") and name == "best_estimator_" else obj
    if name == "hypermodel" and _of_keras_tuner(obj):
        return obj  # its `build` is asked of the tuner
    if name in ("best_params_", "best_params"):
        searches = obj.cells.get("#searches") or frozenset()
        return Array(kind="config", name=name, owner="tuned", chosen=searches)  # an argument from here was tuned
    if name in ("classes_", "n_features_in_"):
        return Array(kind="config", name=name)
    if name in ("feature_importances_", "coef_", "components_", "scores_", "pvalues_", "ranking_", "support_"):
        learned = _learned_of(obj)
        if isinstance(data, Array) and obj.is_a("estimator", "tuner") and name in ("feature_importances_", "coef_"):
            number = obj.cells.get("#fit")
            if isinstance(number, int):
                learned = learned | {Learned(number, "selector-model", data.rows, True)}
        return Array(kind="columns", learned=learned, name=name)
    if name in ("labels_",) and isinstance(data, Array):
        return data.but(learned=data.learned | _learned_of(obj), prediction=None)
    if name in ("oob_score_",):
        return Array(kind="figure")
    if name == "history":
        return Array(kind="history", owner=(obj,))
    if name in ("named_steps", "steps"):
        return Dict({}, join_all(steps(obj))) if steps(obj) else UNKNOWN
    return None


def _chosen(run: Run, search: Obj) -> Obj:
    """The estimator that a search found: it is what the search is, but to fit it again is no search."""
    if search.cells.get("#chosen"):
        return search
    best = search.cells.get("#best")
    if not isinstance(best, Obj):
        best = Obj(search.subject, search.klass, search.entry, **search.cells)
        best.cells["#chosen"] = True
        run.write(search, "#best", best)
    return best


def _learned_of(obj: Obj) -> frozenset[Learned]:
    found = obj.cells.get("#learned")
    if found is None and obj.subject.given.get("prefit") is True:  # it chooses by a model that was fitted before
        model = obj.cells.get("#inner")
        number, data = (model.cells.get("#fit"), model.cells.get("#fit-data")) if isinstance(model, Obj) else (None, None)
        if isinstance(number, int) and isinstance(data, Array):
            return frozenset({Learned(number, "selector-model", data.rows, True)})
    return found if isinstance(found, frozenset) else frozenset()


def method(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    """Methods of learners; None if the object is none or the method means nothing here."""
    role = obj.subject
    if role.is_a("splitter"):
        return _split_object(run, obj, name, call)
    if role.is_a("resampler"):
        return _resample_object(run, obj, name, call)
    if role.is_a("scheduler", "callback"):
        return None
    if not role.is_a("estimator", "tuner", "composer", "calibrator", *TRANSFORMS):
        return None
    if obj.entry is not None and obj.entry.get("style") in ("keras", "study", "keras-adapt", "lightning"):
        return None
    if _of_keras_tuner(obj) and name in ("build", "get_best_models", "get_best_hyperparameters"):
        return _of_search(run, obj, name, call)
    return sklearn_method(run, obj, name, call)


def _of_keras_tuner(obj: Obj) -> bool:
    return obj.is_a("tuner") and obj.entry is not None and obj.entry.get("style") == "keras-tuner"


def _of_search(run: Run, obj: Obj, name: str, call: Call) -> Value:
    """What a search with Keras Tuner gives: hyperparameters, a network built with some, the networks that it trained."""
    if name == "get_best_hyperparameters":
        return Seq("list", (), attribute(run, obj, "best_params_", call.node))
    construct = obj.cells["#call"]
    builder = construct.get("hypermodel", obj.entry.params if obj.entry is not None else ())
    given = Call(call.node, [call.at(0) or Array(kind="config", name="hp")], {})
    if isinstance(builder, Obj):
        network = run.call_method(builder, "build", given)
    else:
        network = run.call(builder, given) if builder is not None else UNKNOWN
    if name == "build":
        return network
    trained = obj.cells.get("#fitted")
    for one in options(network):
        if isinstance(one, Obj) and isinstance(trained, Rows):
            run.write(one, "#fitted", trained)
            one.subject.facts["fitted"] = trained
    return Seq("list", (), network)


_RISKS = frozenset({"predict_partial_hazard", "predict_log_partial_hazard", "predict_cumulative_hazard", "predict_hazard"})
_TIMES = frozenset({"predict_expectation", "predict_median", "predict_percentile", "predict_survival_function"})


def sklearn_method(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    """The scikit-learn protocol, and what survival models add to it."""
    if name in ("fit", "partial_fit", "fit_predict", "fit_transform", "train", "search"):
        if name == "train" and obj.klass is not None:
            return None
        return _fit(run, obj, name, call)
    if name in ("transform", "inverse_transform"):
        return _transform(run, obj, call, name)
    if name in (
        "predict",
        "predict_proba",
        "decision_function",
        "predict_log_proba",
        "predict_classes",
        "score_samples",
        "kneighbors",
        *_RISKS,
        *_TIMES,
    ):
        return _predict(run, obj, name, call)
    if name in ("score",):
        return _score(run, obj, call)
    if name == "set_params":
        configure(obj, call.kwargs)
        for part in obj.subject.everything():  # `step__parameter` sets a part; which one is not looked up
            part.unknown_arguments = part.unknown_arguments or call.open
            if part is not obj.subject:
                part.arguments |= {name.rpartition("__")[2] for name in call.kwargs if "__" in name}
        return obj
    if name in ("get_support", "get_feature_names_out", "get_feature_names"):
        return Array(kind="columns", learned=_learned_of(obj))
    if name in ("get_params", "get_metadata_routing"):
        return Array(kind="config")
    if name == "save_model" or name == "save":
        run.emit(Weights, call.node, subject=obj.subject, action="save", name="", improving=run.improving)
        return NONE
    return None


# -- fit -------------------------------------------------------------------------------------------------------------


def _fit(run: Run, obj: Obj, name: str, call: Call) -> Value:
    data = fit_data(call)
    target = data_of(call.get("y", ("X", "y")) or call.get("Y", ()) or call.get("y_train", ()) or UNKNOWN)
    if obj.is_a("composer", "estimator.pipeline"):
        shaped = _fit_steps(run, obj, data, target, call)
        if not obj.is_a("estimator.pipeline"):
            run.write(obj, "#fit-data", shaped)
            return shaped if name == "fit_transform" else obj
    result = fit_one(run, obj, data, target, call, name)
    if name == "fit_transform":
        return _transformed(run, obj, data, call, name)
    if name == "fit_predict":
        return _predict(run, obj, "predict", call) if obj.is_a("estimator") else _transformed(run, obj, data, call, name)
    return result


def fit_data(call: Call) -> Array:
    """The rows that a fit call gets: X, the first argument, or whatever holds rows."""
    for key in ("X", "x", "X_train", "data", "train_data", "raw_documents", "dtrain", "train_set"):
        if key in call.kwargs:
            return data_of(call.kwargs[key])
    first = call.at(0)
    return data_of(first) if first is not None else UNKNOWN


def _fit_steps(run: Run, obj: Obj, data: Array, target: Array, call: Call) -> Array:
    """Every step of a composite learns from the current rows."""
    children = steps(obj)
    learned: frozenset[Learned] = frozenset()
    parallel = obj.entry is not None and obj.entry.path.rsplit(".", 1)[-1] in (
        "ColumnTransformer",
        "FeatureUnion",
        "make_column_transformer",
        "make_union",
    )
    current = data
    for child in children:
        if child.is_a("estimator", "tuner", "calibrator") and child is children[-1] and not parallel:
            break
        if child.is_a("resampler"):
            continue
        if child.is_a("composer"):
            current = _fit_steps(run, child, current, target, call)
            learned |= current.learned
        elif child.is_a(*TRANSFORMS):
            fit_one(run, child, current, target, call, "fit")
            learned |= _learned_of(child)
            if not parallel:
                current = current.but(learned=current.learned | learned)
    run.write(obj, "#learned", learned)
    return data.but(learned=data.learned | learned)


def fit_one(run: Run, obj: Obj, data: Array, target: Array, call: Call, name: str) -> Value:
    """One object learns from these rows."""
    entry, subject = obj.entry, obj.subject
    if subject.is_a("stateless-transform"):
        return obj
    one_by_one = bool(run.loops) and run.loops[-1].kind is LoopKind.OTHER and name != "partial_fit"
    if one_by_one and data.kind == "item" and subject.is_a(*TRANSFORMS):  # it learns of this one sample
        run.write(obj, "#learned", data.learned)
        return obj
    streams = _drawn(run, obj, call)
    if subject.is_a("estimator", "tuner") and data.prediction is not None:
        data = _encoded(run, data, data.prediction.subject)
    uses_target = bool(entry and entry.get("uses_target")) or subject.role in (
        "feature-selector.supervised",
        "fitted-transform.supervised",
    )
    validation = _validation_of(call)
    number = run.emit(
        Fit,
        call.node,
        subject=subject,
        role=subject.role,
        data=data.view(),
        target=target.view(),
        uses_target=uses_target,
        method=name,
        stochastic=f"draws from the {streams[0]} generator" if streams else "",
        validation=validation.view(),
    )
    run.write(obj, "#fit", number)
    run.write(obj, "#fit-data", data)
    if subject.is_a("estimator", "tuner", "calibrator", "trainer"):
        notes.note_target(run, target)
        keep = name == "partial_fit"
        before = obj.cells.get("#fitted")
        rows = union([before, data.rows]) if keep and isinstance(before, Rows) and before.known else data.rows
        run.write(obj, "#fitted", rows)
        run.write(obj, "#inputs", data.learned | (_learned_of(obj) if subject.is_a("estimator.pipeline") else frozenset()))
        subject.facts["fitted"] = rows
        final = subject.facts.get("final")
        if isinstance(final, Subject):
            final.facts["fitted"] = rows
        if validation.has_rows or validation.name:
            _early_stop(run, obj, call, validation)
        if subject.is_a("tuner") and not obj.cells.get("#chosen"):
            run.write(obj, "#best", None)
            _tune(run, obj, data, target, call)
    if subject.is_a(*TRANSFORMS, "composer"):
        fact = Learned(number, learned_kind(subject.role), data.rows, uses_target)
        run.write(obj, "#learned", data.learned | {fact})
    return obj


def _encoded(run: Run, data: Array, encoder: Subject) -> Array:
    """Features that a network of the program makes: what it was trained on shapes them."""
    for number in range(len(run.events) - 1, -1, -1):
        fit = run.events[number]
        if isinstance(fit, Fit) and fit.role == "estimator.deep" and encoder in fit.subject.everything():
            rows = fit.subject.facts.get("fitted")
            fact = Learned(number, "representation", rows if isinstance(rows, Rows) else fit.data.rows)
            return data.but(learned=data.learned | {fact})
    return data


def _searched(obj: Obj, parameter: str) -> bool:
    """Whether a search sets this parameter itself (`param_grid={"clf__random_state": [0]}`), or may, under a computed name."""
    construct = obj.cells.get("#call")
    grids = [v for v in construct.everything() if isinstance(v, Dict)] if construct is not None else []
    return any(
        (grid.rest is not None and obj.is_a("tuner"))
        or any(isinstance(key, str) and key.rsplit("__", 1)[-1] == parameter for key in grid.items)
        for grid in grids
    )


def _drawn(run: Run, obj: Obj, call: Call, pool: bool = False) -> list[str]:
    """Emit what a fit draws, and return the streams.

    A pipeline draws by its last step (the others draw as they are fitted), a search or meta-estimator by what it wraps. `pool`:
    processes do the fitting.
    """
    children = steps(obj)
    if obj.is_a("estimator.pipeline") and children:
        return _drawn(run, children[-1], call, pool)
    construct = obj.cells.get("#call")
    if obj.entry is None or construct is None:
        return []
    found = calls.draws(
        run,
        call,
        obj.entry.fields,
        obj.entry.params,
        obj.subject.label,
        at="fit",
        purpose=None,
        given=_with_later(construct, obj.subject),
        subject=obj.subject,
        pool=pool,
    )
    inner = obj.cells.get("#inner")
    if isinstance(inner, Obj) and not _searched(obj, "random_state"):
        pool = pool or obj.is_a("tuner") and calls.in_processes(construct, obj.entry.params)
        for one in steps(inner) or (inner,):
            found += _drawn(run, one, call, pool)
    for value in construct.everything() if obj.is_a("tuner") else ():
        for candidate in contents.objects_in(value, 4):  # estimators among the values of a search space
            if candidate is not inner:
                found += _drawn(run, candidate, call, pool)
    return found


def configure(obj: Obj, settings: Mapping[str, Value]) -> None:
    """Settings that an object gets after it was made."""
    obj.subject.given.update({name: value.value for name, value in settings.items() if isinstance(value, Const)})
    obj.subject.arguments |= frozenset(settings)


def _with_later(construct: Call, subject: Subject) -> Call:
    """Constructor arguments as changed by set_params."""

    extra: dict[str, Value] = {
        k: Const(subject.given[k]) for k in subject.arguments if k in subject.given and k not in construct.kwargs
    }
    if "random_state" in subject.arguments and "random_state" not in subject.given and "random_state" not in construct.kwargs:
        extra["random_state"] = UNKNOWN
    return Call(construct.node, construct.args, {**extra, **construct.kwargs}, construct.open or subject.unknown_arguments)


def _validation_of(call: Call) -> Array:
    value = (
        call.kwargs.get("eval_set")
        or call.kwargs.get("evals")
        or call.kwargs.get("validation_data")
        or call.kwargs.get("valid_sets")
    )
    if isinstance(value, Seq):
        last = value.items[-1] if value.items else value.rest
        if value.kind == "tuple" and len(value.items) > 1 and not isinstance(last, Seq):
            last = value.items[0]  # one pair (features, labels), as against a list of evaluation sets
        while isinstance(last, Seq):
            last = last.items[0] if last.items else last.rest
        return data_of(last)
    return data_of(value) if value is not None else UNKNOWN


def _early_stop(run: Run, obj: Obj, call: Call, validation: Array) -> None:
    """Training with an evaluation set: does it select the number of rounds or epochs?"""
    entry = obj.entry
    api = obj.subject.api
    stops = "early_stopping_rounds" in call.kwargs or "early_stopping_rounds" in obj.subject.arguments
    callbacks = call.kwargs.get("callbacks")
    stops = stops or any(isinstance(o, Obj) and o.is_a("early-stop") for o in contents.objects_in(callbacks))
    if api.startswith("pytorch_tabnet"):
        stops = call.kwargs.get("patience") != Const(0)
    if api.startswith("catboost"):
        stops = obj.subject.given.get("use_best_model", True) is not False
    if stops and entry is not None:
        run.emit(
            Select,
            call.node,
            what="early-stop",
            how=obj.subject.label,
            data=validation.view(),
            keeps=frozenset({"weights"}),
            subject=obj.subject,
            restored=True,
        )


def _tune(run: Run, obj: Obj, data: Array, target: Array, call: Call) -> None:
    """A search: hyper-parameters are chosen by scores on inner folds of the rows, or on validation rows that it is given."""
    construct = obj.cells.get("#call")
    cv = construct.get(obj.entry.get("cv") or "cv", obj.entry.params) if construct is not None and obj.entry is not None else None
    rows = data.rows
    predefined = data_of(cv) if cv is not None else UNKNOWN
    data.view()
    if predefined.has_rows and predefined.kind == "folds-of":
        predefined.view()
    site = run.site(call.node)
    validation = _validation_of(call) if _of_keras_tuner(obj) else UNKNOWN  # it has no folds
    folds = not validation.has_rows
    test = rows.part(("inner", site), 1, 2, fold=True) if rows.known else UNKNOWN_ROWS
    judged = (data if folds else validation).but(rows=test if folds else validation.rows)
    fitted = rows.part(("inner", site), 0, 2, fold=True) if folds and rows.known else rows
    metric, family, direction = scoring_of(
        construct.get("scoring", obj.entry.params) if construct and obj.entry else None, obj.subject.facts.get("task", "")
    )
    number = run.emit(
        Score,
        call.node,
        metric=metric,
        family=family,
        data=judged.view(),
        subject=obj.subject,
        direction=direction,
        cross_validated=folds,
        inputs=data.learned,
        fitted=fitted,
    )
    run.write(obj, "#cv-scores", frozenset({number}))
    search = run.emit(
        Select,
        call.node,
        what="hyperparameter",
        how=obj.subject.label,
        scores=frozenset({number}),
        data=judged.view(),
        subject=obj.subject,
        keeps=frozenset({"model"}),
    )
    run.write(obj, "#searches", frozenset({search}))


def _view(data: Array, rows: Rows) -> Data:
    return data.but(rows=rows).view()


# -- transform and predict -------------------------------------------------------------------------------------------


def _transform(run: Run, obj: Obj, call: Call, name: str) -> Value:
    data = fit_data(call)
    return _transformed(run, obj, data, call, name)


def _transformed(run: Run, obj: Obj, data: Array, call: Call, name: str) -> Value:
    number = obj.cells.get("#fit")
    event = run.emit(
        Transform,
        call.node,
        subject=obj.subject,
        role=obj.subject.role,
        data=data.view(),
        fit=number if isinstance(number, int) else -1,
        method=name,
    )
    del event
    if name == "inverse_transform":
        return data.but(linear=None, mask=None)
    learned = data.learned | _learned_of(obj)
    fitted = obj.cells.get("#fit-data")
    if obj.is_a("estimator") and isinstance(number, int) and isinstance(fitted, Array):  # discriminant axes, latent variables
        cluster = obj.subject.facts.get("task") == "cluster"
        learned |= {Learned(number, "cluster" if cluster else "supervised", fitted.rows, not cluster)}
    return data.but(
        kind="array", learned=learned, linear=None, mask=None, column=data.column if obj.is_a("fitted-transform.label") else ""
    )


def _predict(run: Run, obj: Obj, name: str, call: Call) -> Value:
    data = fit_data(call)
    output = output_of(obj, name)
    event = run.emit(PredictEvent, call.node, subject=obj.subject, data=data.view(), output=output)
    inputs = obj.cells.get("#inputs")
    learned = data.learned | (inputs if isinstance(inputs, frozenset) else frozenset()) | _learned_of(obj)
    prediction = Prediction(obj.subject, data.rows, output, event, prediction_fitted(obj.subject))
    return Array(
        kind="array",
        rows=data.rows,
        name=data.name,
        learned=learned,
        prediction=prediction,
        ordered=data.ordered,
        group=data.group,
        loader=data.loader,
    )


def output_of(obj: Obj, name: str) -> str:
    """label, score, value or unknown: what a prediction method returns."""
    if name == "predict_classes":
        return "label"
    if name in ("predict_proba", "decision_function", "predict_log_proba", "score_samples", *_RISKS):
        return "score"
    if name in _TIMES:
        return "value"
    entry = obj.entry
    final = obj.subject.facts.get("final")
    if isinstance(final, Subject):
        entry = catalog.lookup(final.api)
    inner = obj.cells.get("#inner")
    if isinstance(inner, Obj) and obj.is_a("tuner", "estimator.meta", "calibrator"):
        return output_of(inner, name)
    outputs = (entry.get("outputs") or {}) if entry is not None else {}
    if name in outputs:
        return str(outputs[name])
    task = obj.subject.facts.get("task", "")
    return "label" if task == "classifier" else "value" if task == "regressor" else "unknown"


_OWN_SCORES = {
    "classifier": ("accuracy", "label"),
    "regressor": ("r2", "regression"),
    "survival": ("concordance_index", "score"),
}  # what `score` of an estimator measures


def _score(run: Run, obj: Obj, call: Call) -> Value:
    data = fit_data(call)
    truth = data_of(call.get("y", ("X", "y")) or UNKNOWN)
    task = obj.subject.facts.get("task", "")
    metric, family = _OWN_SCORES.get(task, ("score", "unknown"))
    if obj.entry is not None and obj.entry.get("style") == "lifelines":
        asked = call.get("scoring_method", ("df", "scoring_method"))
        ranked = isinstance(asked, Const) and asked.value == "concordance_index"
        metric, family = ("concordance_index", "score") if ranked else ("log_likelihood", "regression")
    inputs = obj.cells.get("#inputs")
    output = "label" if task == "classifier" else "value" if task == "regressor" else "unknown"
    event = run.emit(PredictEvent, call.node, subject=obj.subject, data=data.view(), output=output)
    predicted = Array(
        kind="array",
        rows=data.rows,
        name=data.name,
        learned=data.learned | (inputs if isinstance(inputs, frozenset) else frozenset()) | _learned_of(obj),
        prediction=Prediction(obj.subject, data.rows, output, event),
        group=data.group,
        ordered=data.ordered,
    )
    number = emit_score(run, call.node, metric, family, predicted, truth, direction="up")
    return Array(kind="figure", rows=data.rows, scores=frozenset({number}), name=data.name)


def method_of_unknown(run: Run, value: Array, name: str, call: Call) -> Value | None:
    """`.fit`, `.predict` and the like on a value of which nothing is known: an estimator handed in from outside."""
    if value.kind not in ("unknown", "param") or value.has_rows and value.rows.label and role_of_name(value.rows.label):
        return None
    learner = name in (
        "fit",
        "predict",
        "predict_proba",
        "decision_function",
        "fit_transform",
        "fit_predict",
        "partial_fit",
        "fit_resample",
    )
    restored = value.owner == "restored" and name in ("transform", "inverse_transform", "score") and bool(call.args)
    if not learner and not restored and not (name in ("transform", "score") and id(value) in run.materialised):
        return None
    known = run.materialised.get(id(value))
    if known is None:
        lower = (value.name or "").lower()
        role = "fitted-transform.scale" if "scal" in lower else "imputer" if "imput" in lower else "estimator.unknown"
        if name in ("fit_transform", "transform", "inverse_transform") and role == "estimator.unknown":
            role = "fitted-transform.unknown"
        subject = Subject(
            api=value.name or "estimator", role=role, at=run.site(call.node), name=value.name, unknown_arguments=True
        )
        known = (value, Obj(subject))
        run.materialised[id(value)] = known
    return sklearn_method(run, known[1], name, call)


# -- splitters -------------------------------------------------------------------------------------------------------


def split_call(run: Run, entry: Entry, call: Call) -> Value:
    """Splitters: the call form acts at once, the object form is built."""
    if entry.get("form") == "object":
        return build(run, entry, call)
    if entry.get("per_input"):
        return _split_inputs(run, entry, call)
    data = data_of(call.get(entry.get("arrays") or "", entry.params) or call.at(0) or UNKNOWN)
    count = _lengths(call)
    notes.note_unordered(run, data, "split", run.site(call.node))
    seeded, stream = _seeding(run, entry, call, "split")
    rows = data.rows if data.has_rows else run.source(call.node, data.name)
    site = run.site(call.node)
    parts = [rows.part(site, i, count, random=True) for i in range(count)]
    number = run.emit(
        Split,
        call.node,
        data=data.but(group=data.group or notes.repetition_of(run, data.rows)).view(),
        identifier=notes.identifier_of(run, data.rows),
        parts=tuple(parts),
        how="random",
        api=_api(entry),
        shuffles=_flag(call, entry, "shuffle"),
        seeded=seeded,
        stratified=_flag(call, entry, "stratified"),
        grouped=_flag(call, entry, "grouped"),
        stream=stream,
    )
    pieces = [
        data.but(kind="dataset" if data.kind in ("unknown", "param") else data.kind, rows=part, order=None) for part in parts
    ]
    made = Seq("tuple", pieces)
    made.cells["#split-event"] = number
    return made


def _lengths(call: Call) -> int:
    for value in (*call.args[1:], *call.kwargs.values()):
        if isinstance(value, Seq) and value.exact and value.items:
            return len(value.items)
    return 2


def _api(entry: Entry) -> str:
    """Name for messages: the last part, with its class for an alternative constructor (`RocCurveDisplay.from_estimator`)."""
    owner, _, last = entry.path.rpartition(".")
    return f"{owner.rpartition('.')[2]}.{last}" if last.startswith("from_") else last


def _flag(call: Call, entry: Entry, field: str) -> bool | None:
    """A splitter's trait: fixed by the catalog, or decided by a parameter."""
    spec = entry.get(field)
    if spec is None:
        return False
    if isinstance(spec, bool):
        return spec
    value = call.get(spec, entry.params)
    if value is None:
        if call.open:
            return None
        return bool((entry.get("defaults") or {}).get(spec, False))
    if isinstance(value, Const):
        return bool(value.value)
    return True if field in ("stratified", "grouped") else None


def _seeding(run: Run, entry: Entry, call: Call, at: str, given: Call | None = None) -> tuple[bool | None, str]:
    """(has a seed of its own, stream that it draws from otherwise)."""
    source = given or call
    draws = entry.get("draws") or []
    streams = calls.draws(
        run, call, entry.fields, entry.params, _api(entry), at="call" if given is None else at, purpose="split", given=given
    )
    if streams:
        return False, streams[0]
    parameter = next((d.get("seed") for d in draws if d.get("seed")), None)
    value = source.get(parameter, entry.params) if parameter else None
    if value is None or (isinstance(value, Const) and value.value is None):
        return None, ""  # nothing random, or a seed from outside
    return True, ""


def _split_inputs(run: Run, entry: Entry, call: Call) -> Value:
    """train_test_split(a, b, ...): two parts per input, the same rows in each."""
    inputs = list(call.args)
    if not inputs or call.open and len(inputs) == 1 and isinstance(inputs[0], Seq):
        inputs = list(inputs[0].items) if inputs and isinstance(inputs[0], Seq) else inputs
    site = run.site(call.node)
    seeded, stream = _seeding(run, entry, call, "call")
    data = [data_of(value) for value in inputs]
    first = next((d for d in data if d.has_rows), data[0] if data else UNKNOWN)
    notes.note_unordered(run, next((d for d in data if d.unordered), first), "split", site)
    base = first.rows if first.has_rows else run.source(call.node, first.name)
    group = next((d.group for d in data if d.group), "") or notes.repetition_of(run, first.rows)
    if first.kind == "unique":  # the entities themselves are divided
        group = ""
    shuffles = _flag(call, entry, "shuffle")
    stratified = call.get(entry.get("stratified") or "stratify", entry.params)
    ordered = next((d.ordered for d in data if d.ordered), "")
    random = shuffles is not False
    parts = (base.part(site, 0, 2, random=random), base.part(site, 1, 2, random=random))
    number = run.emit(
        Split,
        call.node,
        data=first.but(group=group, ordered=ordered, rows=base).view(),
        identifier=notes.identifier_of(run, base) if first.kind != "unique" else "",
        parts=parts,
        how="call",
        api=_api(entry),
        shuffles=shuffles,
        seeded=seeded,
        stratified=stratified is not None and not (isinstance(stratified, Const) and stratified.value is None),
        grouped=False,
        stream=stream,
    )
    if first.kind == "unique":
        run.of_entities.add(number)
    results: list[Value] = []
    for value, one in zip(inputs, data, strict=True):
        rows = one.rows if one.has_rows and one.rows != base else base
        if not one.has_rows:
            rows = base
        for part in (0, 1):
            own = rows.part(site, part, 2, random=random)
            by_id = one.kind == "unique"
            results.append(
                one.but(
                    rows=own,
                    order=None,
                    linear=None,
                    mask=None,
                    ordered="shuffled" if random else one.ordered,
                    kind="array" if one.kind in ("unknown", "item") else one.kind,
                    base=one.base if one.base.known else one.rows if one.kind in ("index", "range") else UNKNOWN_ROWS,
                    owner="by-id" if by_id else one.owner,
                )
            )
        del value
    made = Seq("list", results)
    made.cells["#split"] = number
    return made


def _split_object(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    """`splitter.split(X, y, groups)`: pairs of index arrays, one pair an iteration."""
    if name in ("get_n_splits",):
        return Array(kind="scalar")
    if name not in ("split",) or obj.entry is None:
        return None
    data = data_of(call.get("X", ("X", "y", "groups")) or call.at(0) or UNKNOWN)
    target = data_of(call.get("y", ("X", "y", "groups")) or UNKNOWN)
    groups = call.get("groups", ("X", "y", "groups"))
    made = folds(run, obj, data, target, groups, call.node)
    return made


def folds(run: Run, splitter: Obj, data: Array, target: Array, groups: Value | None, node: ir.Expr) -> Value:
    """Emit the split and make the iterator over (train indices, test indices)."""
    entry = splitter.entry
    assert entry is not None
    site = run.site(node)

    # A project's own subclass may pass on arguments that nobody can see.
    construct: Call = splitter.cells.get("#call") or Call(node, [], {}, open=True)
    here = Call(node, [], {})
    seeded, stream = _seeding(run, entry, here, "split", given=construct)
    base = data.rows if data.has_rows else target.rows if target.has_rows else run.source(node, data.name)
    notes.note_unordered(run, data, "split", site)
    shuffles = _flag(construct, entry, "shuffle")
    grouped = _flag(construct, entry, "grouped")
    random = shuffles is not False
    parts = (base.part(site, 0, 2, random=random, fold=True), base.part(site, 1, 2, random=random, fold=True))
    entities = data.kind == "unique"  # dealt to folds themselves, all their rows follow
    group = "" if entities else data.group or target.group or notes.repetition_of(run, base)
    ordered = data.ordered or target.ordered
    if grouped and groups is not None:
        notes.note_groups(run, base, groups)
    number = run.emit(
        Split,
        node,
        data=data.but(rows=base, group=group, ordered=ordered).view(),
        identifier="" if entities else notes.identifier_of(run, base),
        parts=parts,
        how="fold",
        api=_api(entry),
        shuffles=shuffles,
        seeded=seeded,
        stratified=_flag(construct, entry, "stratified"),
        grouped=grouped,
        stream=stream,
        subject=splitter.subject,
    )
    if entities:
        run.of_entities.add(number)
    pair = [
        Array(kind="index", rows=part, base=base, name=role)
        for part, role in zip(parts, ("train_index", "test_index"), strict=True)
    ]
    made = Seq("generator", (), Seq("tuple", pair))
    made.cells["#folds"] = True
    return made


# -- cross-validation ------------------------------------------------------------------------------------------------


def cross_validate(run: Run, entry: Entry, call: Call) -> Value:
    """cross_val_score and its kin: split, fit, predict and score inside one call."""
    estimator = call.get(entry.get("estimator") or "estimator", entry.params)
    data = data_of(call.get(entry.get("data") or "X", entry.params) or UNKNOWN)
    target = data_of(call.get(entry.get("target") or "y", entry.params) or UNKNOWN)
    groups = call.get(entry.get("groups") or "groups", entry.params)
    cv = call.get(entry.get("cv") or "cv", entry.params)
    site = run.site(call.node)
    calls.draws(run, call, entry.fields, entry.params, _api(entry), at="call", purpose=None)
    splitter = next((o for o in options(cv) if isinstance(o, Obj) and o.is_a("splitter")), None) if cv is not None else None
    base = data.rows if data.has_rows else UNKNOWN_ROWS
    group = data.group or notes.repetition_of(run, base)
    if splitter is not None and splitter.entry is not None:
        pairs = folds(run, splitter, data, target, groups, call.node)
        assert isinstance(pairs, Seq) and isinstance(pairs.rest, Seq)
        train, test = (a.rows for a in arrays_in(pairs.rest))
    else:
        train, test = (base.part(site, k, 2, fold=True) for k in (0, 1)) if base.known else (UNKNOWN_ROWS, UNKNOWN_ROWS)
        given = cv is None or isinstance(cv, Const)
        run.emit(
            Split,
            call.node,
            data=data.but(group=group).view(),
            parts=(train, test),
            how="fold",
            api=_api(entry),
            shuffles=False if given else None,
            seeded=True if given else None,
            stratified=None,
            grouped=groups is not None if given else None,
        )
    numbers: set[int] = set()
    output: Value = UNKNOWN
    notes.note_target(run, target)
    for option in options(estimator) if estimator is not None else ():
        if not isinstance(option, Obj):
            continue
        subject = option.subject
        fold = data.but(rows=train)
        if option.is_a("composer", "estimator.pipeline"):
            _fit_steps(run, option, fold, target, call)
        drawn = _drawn(run, option, call, calls.in_processes(call, entry.params))
        run.emit(
            Fit,
            call.node,
            subject=subject,
            role=subject.role,
            data=fold.view(),
            target=target.view(),
            method=_api(entry),
            stochastic=f"draws from the {drawn[0]} generator" if drawn else "",
        )
        inputs = data.learned | _learned_of(option)
        scoring = call.get(entry.get("scoring") or "scoring", entry.params)
        for metric, family, direction in _scorings(scoring, subject.facts.get("task", "")):
            numbers.add(
                run.emit(
                    Score,
                    call.node,
                    metric=metric,
                    family=family,
                    data=_view(data.but(group=group), test),
                    subject=subject,
                    direction=direction,
                    cross_validated=True,
                    inputs=inputs,
                    fitted=train,
                )
            )
        output = Array(
            kind="array",
            rows=data.rows,
            learned=inputs,
            prediction=Prediction(subject, data.rows, _cv_output(call, option)),
            name=data.name,
        )
        if not option.is_a(*TRANSFORMS):  # those are scored by a likelihood
            run.emit(PredictEvent, call.node, subject=subject, data=fold.view(), output="unknown")
        option.cells["#cv"] = True
    if entry.get("returns") == "predictions":
        if isinstance(output, Array) and output.prediction is not None:
            output.prediction.subject.facts.setdefault("cross_validated", True)
            return output.but(owner="cross-validated")
        return output
    figure = Array(kind="figure", scores=frozenset(numbers), owner="folds")
    return Dict({}, figure) if entry.get("returns") == "dict" else figure


def _cv_output(call: Call, option: Obj) -> str:
    wanted = call.kwargs.get("method")
    return output_of(option, wanted.value if isinstance(wanted, Const) and isinstance(wanted.value, str) else "predict")


def _scorings(value: Value | None, task: str) -> list[tuple[str, str, str]]:
    if isinstance(value, Seq) and value.exact:
        return [scoring_of(item, task) for item in value.items]
    if isinstance(value, Dict) and value.items:
        return [scoring_of(item, task) for item in value.items.values()]
    return [scoring_of(value, task)]


_SCORERS = {
    "accuracy": ("accuracy", "label"),
    "balanced_accuracy": ("balanced_accuracy", "label"),
    "r2": ("r2", "regression"),
    "roc_auc": ("roc_auc", "score"),
    "average_precision": ("average_precision", "score"),
}


def scoring_of(value: Value | None, task: str) -> tuple[str, str, str]:
    """(metric, family, direction) of a `scoring=` argument; the estimator's own score when it is absent."""
    if value is None or (isinstance(value, Const) and value.value is None):
        return (*_OWN_SCORES.get(task, ("score", "unknown")), "up")
    if isinstance(value, Const) and isinstance(value.value, str):
        name = value.value
        if name in _SCORERS:
            return (*_SCORERS[name], "up")
        family = (
            "regression"
            if name.startswith("neg_") and "log_loss" not in name and "brier" not in name
            else "score"
            if "roc" in name or "log_loss" in name
            else "label"
        )
        return name, family, "up"
    if isinstance(value, Obj) and value.is_a("scorer-factory"):
        family = value.subject.facts.get("family") or _OWN_SCORES.get(task, ("", "unknown"))[1]
        return str(value.subject.facts.get("metric", "scorer")), family, "up"
    if isinstance(value, Ext):
        entry = catalog.lookup(value.path)
        if entry is not None and entry.is_a("metric"):
            return _api(entry), entry.role.rpartition(".")[2], str(entry.get("direction", "up"))
    return "custom", "unknown", ""


def scorer(run: Run, entry: Entry, call: Call) -> Value:
    """make_scorer(metric)."""
    obj = Obj(calls.make_subject(run, entry, call), None, entry)
    metric = call.at(0)
    if isinstance(metric, Ext):
        obj.subject.facts["metric"] = metric.path.rsplit(".", 1)[-1]
        described = catalog.lookup(metric.path)
        if described is not None and described.is_a("metric"):
            obj.subject.facts["family"] = described.role.rpartition(".")[2]
        if described is not None and described.role == "metric.score":
            response = call.kwargs.get("response_method") or call.kwargs.get("needs_proba") or call.kwargs.get("needs_threshold")
            if (
                response is None
                and not call.open
                and described.path.rsplit(".", 1)[-1] in ("roc_auc_score", "average_precision_score")
            ):
                obj.subject.facts["labels_into"] = metric.path.rsplit(".", 1)[-1]
                predicted = Array(kind="array", prediction=Prediction(obj.subject, UNKNOWN_ROWS, "label"))
                run.emit(
                    Score,
                    call.node,
                    metric=_api(described),
                    family="score",
                    data=predicted.view(),
                    subject=obj.subject,
                    direction="up",
                )
    elif isinstance(metric, Func):
        obj.subject.facts["metric"] = metric.name
    return obj


# -- resamplers ------------------------------------------------------------------------------------------------------


def resample(run: Run, entry: Entry, call: Call) -> Value:
    """Resamplers: imblearn objects are built, functions such as sklearn.utils.resample act at once."""
    if entry.get("style") in ("sklearn", "fit_resample") or entry.get("form") == "object" or entry.path.startswith("imblearn"):
        return build(run, entry, call)
    calls.draws(run, call, entry.fields, entry.params, _api(entry), at="call", purpose=None)
    values = call.args or [v for k, v in call.kwargs.items() if k in ("X", "arrays", "y")]
    site = run.site(call.node)
    lineage = entry.get("lineage")
    replace = calls.literal(call, entry, "replace")
    results: list[Value] = []
    for value in values:
        one = data_of(value)
        if not one.has_rows:
            results.append(one)
            continue
        if _api(entry) == "shuffle" or lineage is None:
            results.append(one.but(ordered="shuffled", order=site))
            continue
        if replace is False:
            results.append(one.but(rows=one.rows.some(site, random=True), ordered="shuffled"))
            continue
        made = one.rows.derived(site, lineage, run.branch)
        run.emit(Resample, call.node, data=one.view(), result=made, lineage=lineage, api=_api(entry))
        results.append(one.but(rows=made, ordered="shuffled"))
    return results[0] if len(results) == 1 else Seq("list", results)


def _resample_object(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    if name not in ("fit_resample", "fit_sample"):
        return None
    data, target = fit_data(call), data_of(call.get("y", ("X", "y")) or UNKNOWN)
    entry = obj.entry
    lineage = str(entry.get("lineage", "synthetic")) if entry is not None else "synthetic"
    if entry is not None:
        calls.draws(
            run,
            call,
            entry.fields,
            entry.params,
            obj.subject.label,
            at="fit",
            purpose=None,
            given=obj.cells["#call"],
            subject=obj.subject,
        )
    made = data.rows.derived(run.site(call.node), lineage, run.branch) if data.has_rows else UNKNOWN_ROWS
    run.emit(Resample, call.node, data=data.view(), result=made, lineage=lineage, api=obj.subject.label)
    return Seq("tuple", [data.but(rows=made, kind="array"), target.but(rows=made, kind="array")])


# -- functions that fit and apply at once ----------------------------------------------------------------------------


def column_function(run: Run, entry: Entry, call: Call) -> Value:
    """`sklearn.preprocessing.scale(X)` and the like."""
    data = data_of(
        call.get(entry.get("data") or (entry.params[0] if entry.params else "X"), entry.params) or call.at(0) or UNKNOWN
    )
    if not data.has_rows or data.kind in ("item", "batch", "scalar") or data.prediction is not None:
        return data
    axis = call.get("axis", entry.params)
    if isinstance(axis, Const) and axis.value == 1:
        return data
    site = run.site(call.node)
    subject = contents.same_subject(run, site, Subject(api=entry.path, role=entry.role, at=site))
    number = run.emit(Fit, call.node, subject=subject, role=entry.role, data=data.view(), method=_api(entry))
    return data.but(learned=data.learned | {Learned(number, learned_kind(entry.role), data.rows)}, linear=None, mask=None)


def feature_score(run: Run, entry: Entry, call: Call) -> Value:
    """Scores or p-values of columns against the labels; choosing columns by them is feature selection."""
    data = data_of(call.get("X", entry.params) or call.at(0) or UNKNOWN)
    if not data.has_rows:
        return UNKNOWN
    if entry.get("style") == "ranked":  # what another call left in the annotated data
        return Array(kind="columns", learned=run.ranked.get(data.rows, frozenset()))
    site = run.site(call.node)
    subject = contents.same_subject(run, site, Subject(api=entry.path, role="feature-selector.supervised", at=site))
    number = run.emit(
        Fit,
        call.node,
        subject=subject,
        role="feature-selector.supervised",
        data=data.view(),
        uses_target=True,
        method=_api(entry),
    )
    calls.draws(run, call, entry.fields, entry.params, _api(entry), at="call", purpose=None)
    fact = Learned(number, "selector-supervised", data.rows, True)
    run.ranked[data.rows] = frozenset({fact})
    columns = Array(kind="columns", learned=frozenset({fact}))
    return Seq("tuple", [columns, columns]) if entry.get("style") == "pair" else columns


_TEST_RESULTS = ("statistic", "pvalue", "correlation", "test_statistic", "p_value")  # scipy, lifelines


def stat_test(run: Run, entry: Entry, call: Call) -> Value:
    """Of a prediction and the truth (a correlation) a figure of merit; of two groups of samples, or of columns and labels, a
    reason to choose columns: feature selection."""
    found = [a for v in call.everything() for a in arrays_in(v)]
    predicted = next((a for a in found if a.prediction is not None), None)
    truth = next((a for a in found if a.prediction is None and a.has_rows), None)
    if predicted is not None and truth is not None and not run.inside_forward:
        number = emit_score(run, call.node, _api(entry), "regression", predicted, truth, direction="up")
        return Array(kind="figure", rows=predicted.rows, scores=frozenset({number}), name=predicted.name)
    if (
        len(found) < 2
        or predicted is not None
        or any(a.scores or a.kind not in ("table", "array", "param", "item") for a in found)
    ):
        return calls._ignored(run, entry, call)
    rows = common(a.rows for a in found if a.has_rows)  # cases against controls: two groups of one table
    features = next((a for a in found if a.has_rows), UNKNOWN).but(rows=rows)
    if not rows.known:
        return calls._ignored(run, entry, call)
    site = run.site(call.node)
    subject = contents.same_subject(run, site, Subject(api=entry.path, role=entry.role, at=site))
    number = run.emit(
        Fit, call.node, subject=subject, role=entry.role, data=features.view(), uses_target=True, method=_api(entry)
    )
    chosen = Array(kind="columns", learned=frozenset({Learned(number, "selector-supervised", rows, True)}))
    result = Seq("tuple", [chosen, chosen])
    result.cells["#fields"] = dict.fromkeys(_TEST_RESULTS, chosen)
    return result


def inplace(run: Run, entry: Entry, call: Call) -> Value:
    """scanpy's in-place functions: the annotated object carries what was learned."""

    value = call.at(0) or call.kwargs.get("adata") or call.kwargs.get("data") or UNKNOWN
    data = data_of(value)
    calls.draws(run, call, entry.fields, entry.params, _api(entry), at="call", purpose=None)
    stateless = entry.role == "inplace-transform.per-cell"
    condition = entry.get("stateless_if")
    if condition and call.get(condition, entry.params) is not None:
        stateless = True
    if not data.has_rows or stateless or entry.role == "inplace-transform.gene-filter":
        return NONE
    site = run.site(call.node)
    subject = contents.same_subject(run, site, Subject(api=entry.path, role=entry.role, at=site))
    kind = learned_kind(entry.role)
    if _api(entry) in ("highly_variable_genes", "filter_genes_dispersion"):
        kind = "selector-unsupervised"
    number = run.emit(Fit, call.node, subject=subject, role=entry.role, data=data.view(), method=_api(entry))
    changed = data.but(learned=data.learned | {Learned(number, kind, data.rows)})
    copy = call.kwargs.get("copy")
    if isinstance(copy, Const) and copy.value is True:
        return changed
    if isinstance(call.node, ir.Call) and call.node.args:
        run._update_receiver(call.node.args[0][1], changed)
    return NONE


# -- metrics ---------------------------------------------------------------------------------------------------------


def metric_call(run: Run, entry: Entry, call: Call) -> Value:
    """A metric function, or the construction of a metric object."""
    if entry.get("style") not in (None, "function") or entry.get("form") == "object":
        return Obj(calls.make_subject(run, entry, call), None, entry)
    if _api(entry)[:1].isupper() and "." not in _api(entry) and not call.args:
        return Obj(calls.make_subject(run, entry, call), None, entry)
    truth = call.get(entry.get("truth") or "y_true", entry.params)
    predicted = call.get(entry.get("pred") or "y_pred", entry.params)
    if entry.params[:1] == ["estimator"]:  # a display or scorer that predicts with its first argument
        predicted = _predicted_inside(run, entry, call)
    if predicted is None:
        predicted = call.at(1)
    if truth is None:
        truth = call.at(0)
    return scored(run, entry, call, truth, predicted)


def _predicted_inside(run: Run, entry: Entry, call: Call) -> Value:
    """What the estimator in the first argument predicts for the rows in the second, in the form that the metric needs."""

    estimator, data = call.get("estimator", entry.params), call.get(entry.get("data") or "X", entry.params)
    name = "predict_proba" if entry.role == "metric.score" else "predict"
    found = [
        _predict(run, option, name, Call(call.node, [data or UNKNOWN], {}))
        for option in (options(estimator) if estimator is not None else ())
        if isinstance(option, Obj)
    ]
    return join_all(found)


def scored(run: Run, entry: Entry, call: Call, truth: Value | None, predicted: Value | None) -> Value:
    """Record the figure; arguments in the wrong order are noticed."""
    family = entry.role.rpartition(".")[2] if "." in entry.role else "unknown"
    a, b = data_of(truth) if truth is not None else UNKNOWN, data_of(predicted) if predicted is not None else UNKNOWN
    if isinstance(predicted, Array) and predicted.kind == "noise":
        b = predicted  # a guess: it is of the rows of the truth
    swapped = a.prediction is not None and b.prediction is None and (b.has_rows or b.name != "")
    if swapped:
        a, b = b, a
    averaging = call.kwargs.get("average")
    beta = call.get("beta", entry.params)
    metric = "f1_score" if isinstance(beta, Const) and beta.value == 1 else _api(entry)
    fields: dict[str, Any] = {
        "direction": str(entry.get("direction", "")),
        "swapped": swapped and not entry.get("symmetric") and not run.undecided,
        "decomposable": bool(entry.get("decomposable", False)),
        "averaging": str(averaging.value) if isinstance(averaging, Const) and averaging.value else "",
    }
    if b.owner == "cross-validated":
        fields["cross_validated"] = True
    number = emit_score(run, call.node, metric, family, b, a, **fields)
    result = Array(kind="figure", rows=b.rows if b.has_rows else a.rows, scores=frozenset({number}), name=b.name or a.name)
    if _api(entry).startswith("plot_") or "Display." in _api(entry):
        run.report(call.node, [result], "plot")
    if _api(entry) in ("roc_curve", "precision_recall_curve", "det_curve"):
        return Seq("tuple", [result, result, result.but(owner="thresholds")])
    return result


def explain(run: Run, entry: Entry, call: Call) -> Value:
    """Explanations and maps of a fitted model: it predicts, for the rows it is given or for a grid over their range."""
    data = data_of(call.get(entry.get("data") or "X", entry.params) or UNKNOWN)
    estimator = call.get(entry.get("estimator") or "", entry.params)
    view = data.view() if entry.get("kind") == "importance" else UNKNOWN.view()
    at_once = entry.get("kind") in ("importance", "dependence", "plot")  # as against an explainer that is built
    for option in options(estimator) if estimator is not None and at_once else ():
        if isinstance(option, Obj) and option.is_a("estimator", "tuner", "calibrator", "fitted-transform.outlier"):
            run.emit(PredictEvent, call.node, subject=option.subject, data=view, output="unknown")
    return calls._ignored(run, entry, call)


def metric_object(run: Run, obj: Obj, name: str, call: Call) -> Value:
    """torchmetrics, keras and monai metric objects: updated batch by batch, computed once."""
    entry = obj.entry
    family = entry.role.rpartition(".")[2] if entry is not None and "." in entry.role else "unknown"
    if name in ("update", "__call__", "update_state", "append", "forward", "evaluate"):
        values = [data_of(v) for v in call.everything()]
        predicted = next((v for v in values if v.prediction is not None), values[0] if values else UNKNOWN)
        truth = next((v for v in values if v is not predicted), UNKNOWN)
        number = emit_score(
            run,
            call.node,
            obj.subject.label,
            family,
            predicted,
            truth,
            direction=str(entry.get("direction", "")) if entry else "",
            decomposable=True,
        )
        known: frozenset[int] = obj.cells.get("#scores") or frozenset()
        run.write(obj, "#scores", known | {number})
        return Array(kind="figure", rows=predicted.rows, scores=frozenset({number}))
    if name in ("compute", "result", "aggregate", "item"):
        return Array(kind="figure", scores=obj.cells.get("#scores") or frozenset())
    if name in ("to", "cuda", "cpu", "clone"):
        return obj
    return NONE


def tuner_call(run: Run, entry: Entry, call: Call) -> Value:
    """Search objects are built; functions such as hyperopt.fmin and studies run an objective."""
    style = entry.get("style")
    if style == "function" or entry.path.rsplit(".", 1)[-1][:1].islower() and style not in ("study", "sklearn-search"):
        if _api(entry) == "create_study":
            return _study(run, entry, call)
        return _minimise(run, entry, call)
    if style == "study" or _api(entry) == "create_study":
        return _study(run, entry, call)
    obj = build(run, entry, call)
    return obj


def _study(run: Run, entry: Entry, call: Call) -> Value:
    obj = Obj(calls.make_subject(run, entry, call), None, entry)
    sampler = call.get("sampler", entry.params)
    seeded = None if call.open else False
    if isinstance(sampler, Obj):
        seeded = sampler.subject.facts.get("seeded")
    elif sampler is not None and not isinstance(sampler, Const):
        seeded = None
    obj.subject.facts["seeded"] = seeded
    obj.subject.facts["direction"] = obj.subject.given.get(
        "direction",
        "minimize" if "direction" not in obj.subject.arguments and "directions" not in obj.subject.arguments else None,
    )
    streams = {draw.get("stream") for draw in entry.get("draws") or []}
    if "storage" in obj.subject.arguments or (streams and "own" not in streams):
        obj.subject.facts["seeded"] = None
    if "own" not in streams:  # a global generator
        calls.draws(run, call, entry.fields, entry.params, _api(entry), at="call", purpose="tuner", subject=obj.subject)
    return obj


def sampler_call(run: Run, entry: Entry, call: Call) -> Value:
    """A tuner's sampler: seeded or not."""
    obj = Obj(calls.make_subject(run, entry, call), None, entry)
    draws = entry.get("draws") or []
    parameter = next((d.get("seed") for d in draws if d.get("seed")), "seed")
    value = call.get(parameter, entry.params)
    obj.subject.facts["seeded"] = (
        (None if call.open else not draws)
        if value is None or value is NONE or (isinstance(value, Const) and value.value is None)
        else True
    )
    return obj


def study_method(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    """`study.optimize(objective, n_trials)` and what is read from the study afterwards."""
    if name in ("optimize", "search"):
        named = str(obj.entry.get("objective") or "func") if obj.entry is not None else "func"
        result = _objective(run, obj, call.get(named, (named, "n_trials")) or call.at(0), call)
        seeded = obj.subject.facts.get("seeded")
        if seeded is False:
            run.emit(Draw, call.node, stream="own", what=obj.subject.label, purpose="tuner", subject=obj.subject)
        _selected(run, obj, result, call)
        best = Array(kind="figure", scores=contents.scores_of(result))
        return Seq("tuple", [best, Array(kind="config")]) if named == "objective_func" else NONE
    return None


def _minimise(run: Run, entry: Entry, call: Call) -> Value:
    obj = Obj(calls.make_subject(run, entry, call), None, entry)
    calls.draws(run, call, entry.fields, entry.params, _api(entry), at="call", purpose="tuner", subject=obj.subject)
    own = [d for d in entry.get("draws") or [] if d.get("stream") == "own"]
    if own:
        value = call.get(own[0].get("seed") or "", entry.params)
        if (value is None or (isinstance(value, Const) and value.value is None)) and not call.open:
            run.emit(Draw, call.node, stream="own", what=_api(entry), purpose="tuner", subject=obj.subject)
    obj.subject.facts["direction"] = "minimize"
    objective = call.get(entry.get("objective") or "fn", entry.params) or call.at(0)
    result = _objective(run, obj, objective, call)
    _selected(run, obj, result, call)
    return Array(kind="config")


def _objective(run: Run, obj: Obj, objective: Value | None, call: Call) -> Value:
    if objective is None or not (isinstance(objective, (Func, Choice, Obj)) or hasattr(objective, "func")):
        return UNKNOWN
    outer = run.loops
    run.loops = (*outer, Loop(run.site(call.node), LoopKind.CANDIDATE, "trial"))
    try:
        return run.call(objective, Call(call.node, [Array(kind="config", name="trial")], {}))
    finally:
        run.loops = outer


def _selected(run: Run, obj: Obj, result: Value, call: Call) -> None:
    scores = contents.scores_of(result)
    rows = [run.events[n] for n in scores]
    view = next((e.data for e in rows if isinstance(e, Score)), Data())
    given = {"maximize": "up", "minimize": "down"}.get(str(obj.subject.facts.get("direction")), "")
    search = run.emit(
        Select,
        call.node,
        what="hyperparameter",
        how=obj.subject.label,
        scores=scores,
        data=view,
        subject=obj.subject,
        keeps=frozenset({"model"}),
        direction=contents.directed(given, data_of(result)),
    )
    run.write(obj, "#cv-scores", scores)
    run.write(obj, "#searches", frozenset({search}))


def threshold_tuner(run: Run, entry: Entry, call: Call) -> Value:
    """TunedThresholdClassifierCV."""
    return build(run, entry, call)


def booster_train(run: Run, entry: Entry, call: Call) -> Value:
    """xgboost.train, lightgbm.train, catboost.train: the native interface returns the fitted model."""
    if entry.path.rsplit(".", 1)[-1][:1].isupper():
        return build(run, entry, call)
    obj = build(run, entry, call)
    assert isinstance(obj, Obj)
    names = ("dtrain", "train_set", "pool", "dataset")
    data = data_of(
        next((call.get(n, entry.params) for n in names if call.get(n, entry.params) is not None), call.at(1)) or UNKNOWN
    )
    fit_one(run, obj, data, UNKNOWN, call, "train")
    return obj


HANDLERS: dict[str, Callable[[Any, Entry, Any], Value]] = {
    "fitted-transform": build,
    "imputer": build,
    "feature-selector": build,
    "stateless-transform": build,
    "estimator": build,
    "calibrator": build,
    "estimator.meta": build,
    "estimator.baseline.boost": booster_train,
    "composer": compose,
    "splitter": split_call,
    "cv-evaluator": cross_validate,
    "resampler": resample,
    "column-stat-function": column_function,
    "feature-score": feature_score,
    "inplace-transform": inplace,
    "metric": metric_call,
    "stat-test": stat_test,
    "scorer-factory": scorer,
    "explainer": explain,
    "tuner": tuner_call,
    "tuner.sampler": sampler_call,
    "tuner.threshold": threshold_tuner,
}
