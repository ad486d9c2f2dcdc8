"""Estimators, transforms and resamplers: the protocol of scikit-learn and of what follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mllint_bio import catalog
from mllint_bio.catalog import Entry, learned_kind
from mllint_bio.events import (
    Data,
    Fit,
    Learned,
    LoopKind,
    Prediction,
    Resample,
    Select,
    Subject,
    Transform,
    Weights,
)
from mllint_bio.events import Predict as PredictEvent
from mllint_bio.predict import ir
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import contents, notes, seeding, subjects, tuners
from mllint_bio.predict.library.contents import data_of, passed_on
from mllint_bio.predict.library.metrics import OWN_SCORES
from mllint_bio.predict.library.scoring import emit_score, prediction_fitted
from mllint_bio.predict.library.splitters import split_object
from mllint_bio.predict.library.subjects import api_name, build
from mllint_bio.predict.library.tuners import configure, keras_search, of_keras_tuner, searched, tune, validation_of
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Choice,
    Const,
    Dict,
    Obj,
    Seq,
    Value,
    join_all,
    options,
    role_of_name,
)
from mllint_bio.rows import UNKNOWN_ROWS, Rows, union

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run

TRANSFORMS = ("fitted-transform", "imputer", "feature-selector", "stateless-transform")


# -- objects that learn ----------------------------------------------------------------------------------------------


def compose(run: Run, entry: Entry, call: Call) -> Value:
    """Pipeline, union, column transformer: children in order."""
    subject = subjects.make_subject(run, entry, call)
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


# What a selector or a model found out about the columns: indexing by it chooses them.
_OF_COLUMNS = frozenset(
    {
        *("feature_importances_", "coef_", "components_", "scores_", "pvalues_", "ranking_", "support_", "support_weak_"),
        *("k_feature_idx_", "k_feature_names_", "best_idx_", "best_feature_names_"),
    }
)


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
    if obj.is_a("tuner") and name in ("max", "res") and obj.entry is not None and obj.entry.get("objective") == "f":
        scores = obj.cells.get("#cv-scores") or frozenset()
        trial = {"target": Array(kind="figure", scores=scores), "params": attribute(run, obj, "best_params_", node) or UNKNOWN}
        return Dict(trial) if name == "max" else Seq("list", (), Dict(trial))
    if name in ("best_estimator_", "estimator_", "best_model"):
        return tuners.best_estimator(run, obj) if obj.is_a("tuner") and name == "best_estimator_" else obj
    if name == "hypermodel" and of_keras_tuner(obj):
        return obj  # its `build` is asked of the tuner
    if name in ("best_params_", "best_params"):
        searches = obj.cells.get("#searches") or frozenset()
        return Array(kind="config", name=name, owner="tuned", chosen=searches)  # an argument from here was tuned
    if name in ("classes_", "n_features_in_"):
        return Array(kind="config", name=name)
    if name in _OF_COLUMNS:
        learned = learned_of(obj)
        if isinstance(data, Array) and obj.is_a("estimator", "tuner") and name in ("feature_importances_", "coef_"):
            number = obj.cells.get("#fit")
            if isinstance(number, int):
                learned = learned | {Learned(number, "selector-model", data.rows, True)}
        return Array(kind="columns", learned=learned, name=name)
    if name in ("labels_",) and isinstance(data, Array):
        return data.but(learned=data.learned | learned_of(obj), prediction=None)
    if name in ("oob_score_",):
        return Array(kind="figure")
    if name == "history":
        return Array(kind="history", owner=(obj,))
    if name in ("named_steps", "steps"):
        return Dict({}, join_all(steps(obj))) if steps(obj) else UNKNOWN
    return None


def learned_of(obj: Obj) -> frozenset[Learned]:
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
        return split_object(run, obj, name, call)
    if role.is_a("resampler"):
        return _resample_object(run, obj, name, call)
    if role.is_a("scheduler", "callback"):
        return None
    if not role.is_a("estimator", "tuner", "composer", "calibrator", *TRANSFORMS):
        return None
    if obj.entry is not None and obj.entry.get("style") in ("keras", "study", "keras-adapt", "lightning"):
        return None
    if of_keras_tuner(obj) and name in ("build", "get_best_models", "get_best_hyperparameters"):
        return keras_search(run, obj, name, call)
    return sklearn_method(run, obj, name, call)


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
        return Array(kind="columns", learned=learned_of(obj))
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
        shaped = fit_steps(run, obj, data, target, call)
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


def fit_steps(run: Run, obj: Obj, data: Array, target: Array, call: Call) -> Array:
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
            current = fit_steps(run, child, current, target, call)
            learned |= current.learned
        elif child.is_a(*TRANSFORMS):
            fit_one(run, child, current, target, call, "fit")
            learned |= learned_of(child)
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
    streams = drawn_by(run, obj, call)
    if subject.is_a("estimator", "tuner") and data.prediction is not None:
        data = _encoded(run, data, data.prediction.subject)
    uses_target = bool(entry and entry.get("uses_target")) or subject.role in (
        "feature-selector.supervised",
        "fitted-transform.supervised",
    )
    validation = validation_of(call)
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
        run.write(obj, "#inputs", data.learned | (learned_of(obj) if subject.is_a("estimator.pipeline") else frozenset()))
        subject.facts["fitted"] = rows
        final = subject.facts.get("final")
        if isinstance(final, Subject):
            final.facts["fitted"] = rows
        if validation.has_rows or validation.name:
            _early_stop(run, obj, call, validation)
        if subject.is_a("tuner") and not obj.cells.get("#chosen"):
            run.write(obj, "#best", None)
            tune(run, obj, data, target, call)
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


def drawn_by(run: Run, obj: Obj, call: Call, pool: bool = False) -> list[str]:
    """Emit what a fit draws, and return the streams.

    A pipeline draws by its last step (the others draw as they are fitted), a search or meta-estimator by what it wraps. `pool`:
    processes do the fitting.
    """
    children = steps(obj)
    if obj.is_a("estimator.pipeline") and children:
        return drawn_by(run, children[-1], call, pool)
    construct = obj.cells.get("#call")
    if obj.entry is None or construct is None:
        return []
    found = seeding.draws(
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
    if isinstance(inner, Obj) and not searched(obj, "random_state"):
        pool = pool or obj.is_a("tuner") and seeding.in_processes(construct, obj.entry.params)
        for one in steps(inner) or (inner,):
            found += drawn_by(run, one, call, pool)
    for value in construct.everything() if obj.is_a("tuner") else ():
        for candidate in contents.objects_in(value, 4):  # estimators among the values of a search space
            if candidate is not inner:
                found += drawn_by(run, candidate, call, pool)
    return found


def _with_later(construct: Call, subject: Subject) -> Call:
    """Constructor arguments as changed by set_params."""

    extra: dict[str, Value] = {
        k: Const(subject.given[k]) for k in subject.arguments if k in subject.given and k not in construct.kwargs
    }
    if "random_state" in subject.arguments and "random_state" not in subject.given and "random_state" not in construct.kwargs:
        extra["random_state"] = UNKNOWN
    return Call(construct.node, construct.args, {**extra, **construct.kwargs}, construct.open or subject.unknown_arguments)


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


def rows_view(data: Array, rows: Rows) -> Data:
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
    learned = data.learned | learned_of(obj)
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
    learned = data.learned | (inputs if isinstance(inputs, frozenset) else frozenset()) | learned_of(obj)
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


def _score(run: Run, obj: Obj, call: Call) -> Value:
    data = fit_data(call)
    truth = data_of(call.get("y", ("X", "y")) or UNKNOWN)
    task = obj.subject.facts.get("task", "")
    metric, family = OWN_SCORES.get(task, ("score", "unknown"))
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
        learned=data.learned | (inputs if isinstance(inputs, frozenset) else frozenset()) | learned_of(obj),
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


# -- resamplers ------------------------------------------------------------------------------------------------------


def resample(run: Run, entry: Entry, call: Call) -> Value:
    """Resamplers: imblearn objects are built, functions such as sklearn.utils.resample act at once."""
    if entry.get("style") in ("sklearn", "fit_resample") or entry.get("form") == "object" or entry.path.startswith("imblearn"):
        return build(run, entry, call)
    seeding.draws(run, call, entry.fields, entry.params, api_name(entry), at="call", purpose=None)
    values = call.args or [v for k, v in call.kwargs.items() if k in ("X", "arrays", "y")]
    site = run.site(call.node)
    lineage = entry.get("lineage")
    replace = subjects.literal(call, entry, "replace")
    results: list[Value] = []
    for value in values:
        one = data_of(value)
        if not one.has_rows:
            results.append(one)
            continue
        if api_name(entry) == "shuffle" or lineage is None:
            results.append(one.but(ordered="shuffled", order=site))
            continue
        if replace is False:
            results.append(one.but(rows=one.rows.some(site, random=True), ordered="shuffled"))
            continue
        made = one.rows.derived(site, lineage, run.branch)
        run.emit(Resample, call.node, data=one.view(), result=made, lineage=lineage, api=api_name(entry))
        results.append(one.but(rows=made, ordered="shuffled"))
    return results[0] if len(results) == 1 else Seq("list", results)


def _resample_object(run: Run, obj: Obj, name: str, call: Call) -> Value | None:
    if name not in ("fit_resample", "fit_sample"):
        return None
    data, target = fit_data(call), data_of(call.get("y", ("X", "y")) or UNKNOWN)
    entry = obj.entry
    lineage = str(entry.get("lineage", "synthetic")) if entry is not None else "synthetic"
    if entry is not None:
        seeding.draws(
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
    number = run.emit(Fit, call.node, subject=subject, role=entry.role, data=data.view(), method=api_name(entry))
    return data.but(learned=data.learned | {Learned(number, learned_kind(entry.role), data.rows)}, linear=None, mask=None)


def inplace(run: Run, entry: Entry, call: Call) -> Value:
    """scanpy's in-place functions: the annotated object carries what was learned."""

    value = call.at(0) or call.kwargs.get("adata") or call.kwargs.get("data") or UNKNOWN
    data = data_of(value)
    seeding.draws(run, call, entry.fields, entry.params, api_name(entry), at="call", purpose=None)
    stateless = entry.role == "inplace-transform.per-cell"
    condition = entry.get("stateless_if")
    if condition and call.get(condition, entry.params) is not None:
        stateless = True
    if not data.has_rows or stateless or entry.role == "inplace-transform.gene-filter":
        return NONE
    site = run.site(call.node)
    subject = contents.same_subject(run, site, Subject(api=entry.path, role=entry.role, at=site))
    kind = learned_kind(entry.role)
    if api_name(entry) in ("highly_variable_genes", "filter_genes_dispersion"):
        kind = "selector-unsupervised"
    number = run.emit(Fit, call.node, subject=subject, role=entry.role, data=data.view(), method=api_name(entry))
    changed = data.but(learned=data.learned | {Learned(number, kind, data.rows)})
    copy = call.kwargs.get("copy")
    if isinstance(copy, Const) and copy.value is True:
        return changed
    if isinstance(call.node, ir.Call) and call.node.args:
        run.update_receiver(call.node.args[0][1], changed)
    return NONE


def explain(run: Run, entry: Entry, call: Call) -> Value:
    """Explanations and maps of a fitted model: it predicts, for the rows it is given or for a grid over their range."""
    data = data_of(call.get(entry.get("data") or "X", entry.params) or UNKNOWN)
    estimator = call.get(entry.get("estimator") or "", entry.params)
    view = data.view() if entry.get("kind") == "importance" else UNKNOWN.view()
    at_once = entry.get("kind") in ("importance", "dependence", "plot")  # as against an explainer that is built
    for option in options(estimator) if estimator is not None and at_once else ():
        if isinstance(option, Obj) and option.is_a("estimator", "tuner", "calibrator", "fitted-transform.outlier"):
            run.emit(PredictEvent, call.node, subject=option.subject, data=view, output="unknown")
    return passed_on(run, call)


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
    "resampler": resample,
    "column-stat-function": column_function,
    "inplace-transform": inplace,
    "explainer": explain,
}
