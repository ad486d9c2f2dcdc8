"""Probes of plain functions, by the role that the catalog gives them: seeds, draws, loads, metrics, splits, transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from mllint_bio.catalog import Entry, lookup
from mllint_bio.observe.identity import Tag, is_data, length
from mllint_bio.observe.probes import described
from mllint_bio.observe.probes.streams import changes, force_seed, may_draw
from mllint_bio.observe.probes.wrapping import argument, guarded, holder_of, wrap_function
from mllint_bio.observe.recorder import NOWHERE, Recorder, api_of

Handler = Callable[[Recorder, Entry, Callable[..., Any], Sequence[Any], dict[str, Any]], Any]


def wrap(name: str, module: ModuleType, recorder: Recorder) -> None:
    """Wrap the functions of a module that have a handler below."""
    if name == "numpy.random" and recorder.job.controls.seed is not None:
        module.seed(recorder.job.controls.seed)  # by the module at hand: `np.random` is not bound before its import is over
    for path, entry in described(name):
        handler = _handler(entry)
        place = holder_of(module, path) if handler else None
        if handler and place:
            wrap_function(*place, _around(recorder, entry, handler))


def _around(recorder: Recorder, entry: Entry, handler: Handler) -> Callable[..., Any]:
    def around(original: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if recorder.depth or recorder.site()[0] == NOWHERE:
            return original(*args, **kwargs)
        return handler(recorder, entry, original, args, kwargs)

    return around


def _handler(entry: Entry) -> Handler | None:
    if entry.is_a("seed", "unseed"):
        return seed
    if entry.role == "draw" or (entry.role == "array" and entry.get("draws")):
        return draw
    if entry.role == "generator" and entry.path == "numpy.random.default_rng":
        return generator
    if entry.is_a("data-source"):
        return load
    if entry.is_a("metric") and entry.get("form", "call") == "call":
        return metric
    if entry.is_a("splitter") and entry.get("form", "call") == "call":
        return split
    if entry.is_a("cv-evaluator"):
        return cross_validation
    if entry.is_a("column-stat-function", "feature-score"):
        return statistic
    if entry.is_a("resampler") and entry.get("form", "call") == "call":
        return resample
    return None


def short(entry: Entry) -> str:
    """The name that the static side uses for a call: without the package, as people write it."""
    return entry.path.rsplit(".", 1)[-1]


def seed(recorder: Recorder, entry: Entry, original: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`np.random.seed(0)` and the like."""
    value = argument(entry.get("value"), entry.params, args, kwargs)
    unseeds = entry.is_a("unseed") or (value is None and entry.get("fallback") == "unseeded")

    def observe() -> None:
        plain = value if isinstance(value, int | float | str) else None
        recorder.event(
            "Seed",
            entry.path,
            merge=("seed",),
            streams=sorted(entry.get("streams") or ()),
            call=entry.path,
            constant=isinstance(value, int),
            value=plain,
            unseeds=unseeds,
        )

    guarded(recorder, entry.path, observe)
    forced = force_seed(recorder, value)
    with recorder.inside("seed"):
        if forced is not None and entry.is_a("unseed"):
            return forced  # `torch.seed()` gives back the seed that it took; the forced one stays
        if forced is None or entry.path.endswith("state"):
            return original(*args, **kwargs)
        name = entry.get("value") or (entry.params[0] if entry.params else "seed")
        rest = {key: argued for key, argued in kwargs.items() if key != name}
        return original(forced, *args[1:], **rest)


def draw(recorder: Recorder, entry: Entry, original: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`np.random.permutation(n)`: random numbers from a global stream."""
    stream = entry.get("stream") or next((one["stream"] for one in entry.get("draws") or ()), "numpy")
    given = kwargs.get("generator") is not None
    if not given and stream != "own":
        purposes = [one.get("purpose", "other") for one in entry.get("draws") or ()]
        guarded(
            recorder,
            entry.path,
            lambda: recorder.event(
                "Draw",
                entry.path,
                merge=(stream,),
                stream=stream,
                what=short(entry),
                purpose=purposes[0] if purposes else "noise",
            ),
        )
    result = original(*args, **kwargs)
    if short(entry) == "shuffle" and args:  # in place: what was known of the order holds no longer
        guarded(recorder, entry.path, lambda: recorder.identity.forget(args[0]))
    return result


def generator(recorder: Recorder, entry: Entry, original: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`np.random.default_rng(0)`; without a seed it gets one if the job forces seeds."""
    value = argument("seed", ["seed"], args, kwargs)
    forced = recorder.job.controls.seed
    made = original(forced) if value is None and forced is not None else original(*args, **kwargs)

    def observe() -> None:
        number = recorder.subject(made, entry.path, role=entry.role, line=recorder.site()[0])
        recorder.event(
            "Generator", entry.path, merge=(), subject=number, seeded=value is not None, constant=isinstance(value, int)
        )

    guarded(recorder, entry.path, observe)
    return made


def load(recorder: Recorder, entry: Entry, original: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`pd.read_csv`, `np.load`, `load_breast_cancer`: rows come into the program."""
    with recorder.inside("load"), changes(recorder) as drawn:
        result = original(*args, **kwargs)

    def observe() -> None:
        location = argument(entry.get("location"), entry.params, args, kwargs)
        label = str(location) if isinstance(location, str) else short(entry)
        parts = [part for part in pieces(result) if length(part) > 0]
        adopted = loaded(recorder, parts, label.rsplit("/", 1)[-1])
        for part in parts:
            recorder.groups(part)
        recorder.event(
            "Load",
            entry.path,
            {"data": adopted} if adopted is not None else None,
            kind=entry.get("kind") or "file",
            location=label,
        )
        drawn.report(short(entry), "noise")

    guarded(recorder, entry.path, observe)
    return result


def pieces(result: Any) -> list[Any]:
    """The data values in what a loading function returns: itself, the members of a tuple, the fields of a bunch."""
    if is_data(result):
        return [result]
    if isinstance(result, tuple | list):
        return [part for part in result if is_data(part)] or ([result] if result and isinstance(result[0], str) else [])
    if hasattr(result, "data") and hasattr(result, "target"):
        named = [getattr(result, name, None) for name in ("data", "target", "frame", "images")]
        return [part for part in named if is_data(part)]
    return []


def loaded(recorder: Recorder, parts: Sequence[Any], label: str) -> Any:
    """Adopt loaded values; those of equal length hold the same rows. Returns the first."""
    if not parts:
        return None
    line = recorder.site()[0]
    first = parts[0]
    tokens = recorder.identity.adopt(first, label, line, loaded=True)
    for part in parts[1:]:
        if length(part) == length(first):
            recorder.identity.learn(part, tokens)
        else:
            recorder.identity.adopt(part, label, line, loaded=True)
    return first


def metric(recorder: Recorder, entry: Entry, original: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`accuracy_score(y_true, y_pred)`."""
    with recorder.inside("metric"):
        result = original(*args, **kwargs)

    def observe() -> None:
        truth = argument(entry.get("truth"), entry.params, args, kwargs)
        predicted = argument(entry.get("pred"), entry.params, args, kwargs)
        if predicted is None and truth is None:
            return
        if predicted is None and entry.get("data"):  # `from_estimator(model, X, y)`
            data = argument(entry.get("data"), entry.params, args, kwargs)
            model = argument("estimator", entry.params, args, kwargs)
            if data is not None and model is not None:
                recorder.align(data, truth)
                recorder.event("Predict", entry.path, {"data": data}, subject=recorder.subject(model), output="score")
                predicted = data
        score(recorder, entry.path, short(entry), entry.role.partition(".")[2] or "unknown", predicted, truth, result, entry)

    guarded(recorder, entry.path, observe)
    return result


def score(
    recorder: Recorder, api: str, name: str, family: str, predicted: Any, truth: Any, result: Any, entry: Entry | None = None
) -> int:
    """Write a Score event with its value and, for experiments, the arrays."""
    recorder.prediction(predicted)
    recorder.align(predicted, truth)
    tag = recorder.tag(predicted)
    value = float(result) if isinstance(result, int | float | np.floating | np.integer) else None
    distinct = (
        len(np.unique(np.asarray(predicted)[:100_000])) if isinstance(predicted, np.ndarray) and predicted.ndim == 1 else -1
    )
    number = recorder.event(
        "Score",
        api,
        {"data": predicted, "truth": truth},
        merge=("batch", name) if recorder.batch is not None and tag.loader >= 0 else None,
        metric=name,
        family=family,
        direction=(entry.get("direction") or "") if entry else "",
        decomposable=bool(entry.get("decomposable", True)) if entry else True,
        value=value,
        distinct=distinct,
        truth_predicted=recorder.tag(truth).predicted,
    )
    if value is not None:
        recorder.figure("score", event=number, value=value)
    recorder.capture(number, "Score", truth=truth, prediction=predicted)
    return number


def split(recorder: Recorder, entry: Entry, original: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`train_test_split(X, y, ...)`: the indices go along as one more array, which changes nothing."""
    arrays = [value for value in args if length(value) > 0]
    along = np.arange(length(arrays[0])) if arrays and short(entry) == "train_test_split" else None
    with recorder.inside("split"), changes(recorder) as drawn:
        if along is None:
            return original(*args, **kwargs)
        *result, train, test = original(*args, along, **kwargs)

    def observe() -> None:
        recorder.align(*arrays)
        tokens = recorder.rows(arrays[0], f"{short(entry)} input")
        if tokens is None:
            return
        for value in arrays:
            recorder.groups(value)
        for first, second, source in zip(result[::2], result[1::2], arrays, strict=False):
            tag = recorder.tag(source)
            recorder.identity.tag(first, Tag(tokens[train], tag.learned))
            recorder.identity.tag(second, Tag(tokens[test], tag.learned))
            recorder.identity.learn(first, tokens[train])
            recorder.identity.learn(second, tokens[test])
        drawn.report(short(entry), "split")
        shuffle = kwargs.get("shuffle", True)
        number = recorder.event(
            "Split",
            entry.path,
            {"data": arrays[0], "parts": [result[0], result[1]] if is_data(result[0]) else [train, test]},
            how="call",
            shuffles=bool(shuffle),
            seeded=not drawn.streams,
            stratified=kwargs.get("stratify") is not None,
            grouped=False,
        )
        recorder.capture(number, "Split", rows_of_train=train, rows_of_test=test)

    if not is_data(result[0]):  # lists are split into lists, which cannot be tagged: their texts tell the rows
        guarded(recorder, entry.path, lambda: recorder.rows(arrays[0], "list"))
    guarded(recorder, entry.path, observe)
    return result


def cross_validation(recorder: Recorder, entry: Entry, original: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`cross_val_score(estimator, X, y)`: the fits inside are observed, the figure comes from all folds."""
    estimator = argument(entry.get("estimator") or "estimator", entry.params, args, kwargs)
    data = argument(entry.get("data") or "X", entry.params, args, kwargs)
    target = argument(entry.get("target") or "y", entry.params, args, kwargs)
    guarded(recorder, entry.path, lambda: recorder.align(data, target))
    guarded(recorder, entry.path, lambda: recorder.rows(data, "X"))
    fits = len(recorder.fits)
    with recorder.inside("transparent"), changes(recorder) as drawn:
        result = original(*args, **kwargs)

    def observe() -> None:
        splitter = argument(entry.get("cv") or "cv", entry.params, args, kwargs)
        asked = [one for one in (estimator, splitter) if hasattr(one, "fit") or hasattr(one, "split")]
        if any(may_draw(lookup(api_of(one)), one) for one in asked):
            drawn.report(short(entry), "split")
        number = recorder.subject(estimator)
        scoring = argument(entry.get("scoring") or "scoring", entry.params, args, kwargs)
        if entry.get("returns") == "predictions" and is_data(result):
            tokens = recorder.identity.tokens_of(data)
            made = recorder.event("Predict", entry.path, {"data": data}, subject=number, output="label", mode="unknown")
            recorder.identity.tag(result, Tag(tokens, frozenset(recorder.fits[fits:]), made))
            return
        values = _figures(result)
        event = recorder.event(
            "Score",
            entry.path,
            {"data": data, "truth": target},
            subject=number,
            metric=scoring if isinstance(scoring, str) else "",
            family="label",
            cross_validated=True,
            value=float(np.mean(values)) if values else None,
            inputs=sorted(recorder.tag(data).learned | set(recorder.fits[fits:])),
        )
        for value in values:
            recorder.figure("score", event=event, value=value)

    guarded(recorder, entry.path, observe)
    return result


def _figures(result: Any) -> list[float]:
    if isinstance(result, dict):
        result = next((value for key, value in result.items() if str(key).startswith("test_")), [])
    if isinstance(result, np.ndarray) and result.ndim == 1 and result.dtype.kind in "fiu":
        return [float(value) for value in result]
    return []


def statistic(recorder: Recorder, entry: Entry, original: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`scale(X)`, `zscore(X)`, `f_classif(X, y)`: something is learned from the rows and used at once."""
    with recorder.inside("function"):
        result = original(*args, **kwargs)

    def observe() -> None:
        data = argument(entry.get("data") or (entry.params[0] if entry.params else "X"), entry.params, args, kwargs)
        target = argument(entry.get("target") or "y", entry.params, args, kwargs) if entry.is_a("feature-score") else None
        recorder.align(data, target)
        number = recorder.event(
            "Fit",
            entry.path,
            {"data": data, **({"target": target} if target is not None else {})},
            role=entry.role,
            method=short(entry),
            uses_target=target is not None,
        )
        recorder.fits.append(number)
        if is_data(result) and length(result) == length(data):
            tag = recorder.tag(data)
            recorder.identity.tag(result, Tag(recorder.identity.tokens_of(data), tag.learned | {number}))

    guarded(recorder, entry.path, observe)
    return result


def resample(recorder: Recorder, entry: Entry, original: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """`sklearn.utils.resample(X, y)`: rows are copied; their content tells which."""
    arrays = [value for value in args if length(value) > 0]
    guarded(
        recorder, entry.path, lambda: recorder.rows(arrays[0] if arrays else None, "data", beside=arrays[-1] if arrays else None)
    )
    along = np.arange(length(arrays[0])) if arrays and short(entry) == "resample" else None
    with recorder.inside("resample"), changes(recorder) as drawn:
        if along is None or not all(is_data(value) for value in arrays) or len(arrays) != len(args):
            return original(*args, **kwargs)
        *result, taken = original(*args, along, **kwargs)

    def observe() -> None:
        for made, source in zip(result, arrays, strict=True):
            tokens = recorder.identity.tokens_of(source)
            if tokens is not None:
                recorder.identity.tag(made, Tag(tokens[taken], recorder.tag(source).learned))
        drawn.report(short(entry), "noise")
        recorder.event(
            "Resample",
            entry.path,
            {"data": arrays[0], "result": result[0]},
            lineage=entry.get("lineage") or "copy",
            api=entry.path,
        )

    guarded(recorder, entry.path, observe)
    return result[0] if len(result) == 1 else result
