"""Tuners: searches over settings, studies and their samplers, thresholds that are tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mllint_bio.catalog import Entry
from mllint_bio.events import (
    Data,
    Draw,
    Loop,
    LoopKind,
    Score,
    Select,
)
from mllint_bio.predict.frames import Call
from mllint_bio.predict.library import contents, seeding, subjects
from mllint_bio.predict.library.contents import data_of
from mllint_bio.predict.library.metrics import scoring_of
from mllint_bio.predict.library.subjects import api_name, build
from mllint_bio.predict.values import (
    NONE,
    UNKNOWN,
    Array,
    Bound_,
    Choice,
    Const,
    Dict,
    Func,
    Obj,
    Seq,
    Value,
    as_mapping,
    options,
)
from mllint_bio.rows import UNKNOWN_ROWS, Rows

if TYPE_CHECKING:
    from mllint_bio.predict.interpreter import Run


def best_estimator(run: Run, search: Obj) -> Obj:
    """The estimator that a search found: it is what the search is, but to fit it again is no search."""
    if search.cells.get("#chosen"):
        return search
    best = search.cells.get("#best")
    if not isinstance(best, Obj):
        best = Obj(search.subject, search.klass, search.entry, **search.cells)
        best.cells["#chosen"] = True
        run.write(search, "#best", best)
    return best


def of_keras_tuner(obj: Obj) -> bool:
    return obj.is_a("tuner") and obj.entry is not None and obj.entry.get("style") == "keras-tuner"


def keras_search(run: Run, obj: Obj, name: str, call: Call) -> Value:
    """What a search with Keras Tuner gives: hyperparameters, a network built with some, the networks that it trained."""
    if name == "get_best_hyperparameters":
        return Seq("list", (), run.attribute(obj, "best_params_", call.node))
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


def searched(obj: Obj, parameter: str) -> bool:
    """Whether a search sets this parameter itself (`param_grid={"clf__random_state": [0]}`), or may, under a computed name."""
    construct = obj.cells.get("#call")
    grids = [v for v in construct.everything() if isinstance(v, Dict)] if construct is not None else []
    return any(
        (grid.rest is not None and obj.is_a("tuner"))
        or any(isinstance(key, str) and key.rsplit("__", 1)[-1] == parameter for key in grid.items)
        for grid in grids
    )


def configure(obj: Obj, settings: Mapping[str, Value]) -> None:
    """Settings that an object gets after it was made."""
    obj.subject.given.update({name: value.value for name, value in settings.items() if isinstance(value, Const)})
    obj.subject.arguments |= frozenset(settings)


def validation_of(call: Call) -> Array:
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


def tune(run: Run, obj: Obj, data: Array, target: Array, call: Call) -> None:
    """A search: hyper-parameters are chosen by scores on inner folds of the rows, or on validation rows that it is given."""
    construct = obj.cells.get("#call")
    cv = construct.get(obj.entry.get("cv") or "cv", obj.entry.params) if construct is not None and obj.entry is not None else None
    rows = data.rows
    predefined = data_of(cv) if cv is not None else UNKNOWN
    data.view()
    if predefined.has_rows and predefined.kind == "folds-of":
        predefined.view()
    site = run.site(call.node)
    validation = validation_of(call) if of_keras_tuner(obj) else UNKNOWN  # it has no folds
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


def tuner_call(run: Run, entry: Entry, call: Call) -> Value:
    """Search objects are built; functions such as hyperopt.fmin and studies run an objective."""
    style = entry.get("style")
    if style == "function" or entry.path.rsplit(".", 1)[-1][:1].islower() and style not in ("study", "sklearn-search"):
        if api_name(entry) == "create_study":
            return _study(run, entry, call)
        return _minimise(run, entry, call)
    if style == "study" or api_name(entry) == "create_study":
        return _study(run, entry, call)
    obj = build(run, entry, call)
    return obj


def _study(run: Run, entry: Entry, call: Call) -> Value:
    obj = Obj(subjects.make_subject(run, entry, call), None, entry)
    obj.cells["#call"] = call
    seed = next((d.get("seed") for d in entry.get("draws") or [] if d.get("seed")), "sampler")
    sampler = call.get(seed, entry.params)
    seeded = None if call.open else False
    if isinstance(sampler, Obj):
        seeded = sampler.subject.facts.get("seeded")
    elif sampler is not None and not isinstance(sampler, Const):
        seeded = None
    elif sampler is not None and sampler.value is not None and seed != "sampler":
        seeded = True
    obj.subject.facts["seeded"] = seeded
    usual = (entry.get("defaults") or {}).get("direction", "minimize")
    obj.subject.facts["direction"] = obj.subject.given.get(
        "direction", usual if not obj.subject.arguments & {"direction", "directions"} else None
    )
    streams = {draw.get("stream") for draw in entry.get("draws") or []}
    if "storage" in obj.subject.arguments or (streams and "own" not in streams):
        obj.subject.facts["seeded"] = None
    if "own" not in streams:  # a global generator
        seeding.draws(run, call, entry.fields, entry.params, api_name(entry), at="call", purpose="tuner", subject=obj.subject)
    return obj


def sampler_call(run: Run, entry: Entry, call: Call) -> Value:
    """A tuner's sampler: seeded or not."""
    obj = Obj(subjects.make_subject(run, entry, call), None, entry)
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
    """`study.optimize(objective, n_trials)` and what is read from the study afterwards; `maximize` of what it was built with."""
    named = str(obj.entry.get("objective") or "func") if obj.entry is not None else "func"
    if name in ("optimize", "search") or name == "maximize" and named == "f":
        construct = obj.cells.get("#call") if name == "maximize" else None
        if isinstance(construct, Call):
            bounds = as_mapping(construct.get("pbounds", ("f", "pbounds")) or NONE)
            settings = {str(key): Array(kind="config", name=str(key)) for key in bounds.items} if bounds is not None else {}
            result = _objective(run, obj, construct.get("f", ("f",)), call, settings)
        else:
            result = _objective(run, obj, call.get(named, (named, "n_trials")) or call.at(0), call)
        seeded = obj.subject.facts.get("seeded")
        if seeded is False:
            run.emit(Draw, call.node, stream="own", what=obj.subject.label, purpose="tuner", subject=obj.subject)
        _selected(run, obj, result, call)
        best = Array(kind="figure", scores=contents.scores_of(result))
        return Seq("tuple", [best, Array(kind="config")]) if named == "objective_func" else NONE
    return None


def _minimise(run: Run, entry: Entry, call: Call) -> Value:
    obj = Obj(subjects.make_subject(run, entry, call), None, entry)
    seeding.draws(run, call, entry.fields, entry.params, api_name(entry), at="call", purpose="tuner", subject=obj.subject)
    own = [d for d in entry.get("draws") or [] if d.get("stream") == "own"]
    if own:
        value = call.get(own[0].get("seed") or "", entry.params)
        if (value is None or (isinstance(value, Const) and value.value is None)) and not call.open:
            run.emit(Draw, call.node, stream="own", what=api_name(entry), purpose="tuner", subject=obj.subject)
    obj.subject.facts["direction"] = "minimize"
    objective = call.get(entry.get("objective") or "fn", entry.params) or call.at(0)
    result = _objective(run, obj, objective, call)
    _selected(run, obj, result, call)
    return Array(kind="config")


def _objective(run: Run, obj: Obj, objective: Value | None, call: Call, settings: Mapping[str, Value] | None = None) -> Value:
    """What an objective gives for one candidate: one object that proposes settings, or the settings by their names."""
    if objective is None or not (isinstance(objective, (Func, Choice, Obj)) or hasattr(objective, "func")):
        return UNKNOWN
    outer = run.loops
    run.loops = (*outer, Loop(run.site(call.node), LoopKind.CANDIDATE, "trial"))
    trial = Array(kind="config", name="trial")
    try:
        proposed: list[Value] = [trial] if settings is None else []
        result = run.call(objective, Call(call.node, proposed, dict(settings or {}), settings == {}))
        callbacks = call.kwargs.get("callbacks")
        for after in callbacks.items if isinstance(callbacks, Seq) else ():
            if isinstance(after, (Func, Bound_)):  # `if study.best_trial == trial: self.best = self.model`
                run.call(after, Call(call.node, [obj, trial], {}))
        return result
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


HANDLERS: dict[str, Callable[[Any, Entry, Any], Value]] = {
    "tuner": tuner_call,
    "tuner.sampler": sampler_call,
    "tuner.threshold": threshold_tuner,
}
