"""Probes of objects with the protocol of scikit-learn: estimators, transforms, splitters, tuners, samplers, pipelines.

What an estimator calls inside itself is its own affair; pipelines and cross-validation are transparent, so that the fits of
their steps and folds are observed with the rows that each really received.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from mllint_bio.catalog import Entry
from mllint_bio.observe.identity import Tag, Tokens, is_data, is_table, length
from mllint_bio.observe.probes import described
from mllint_bio.observe.probes.streams import changes, may_draw, parts_of
from mllint_bio.observe.probes.wrapping import guarded, wrap_method
from mllint_bio.observe.recorder import NOWHERE, Recorder

LEARNERS = (
    "estimator",
    "fitted-transform",
    "imputer",
    "feature-selector",
    "stateless-transform",
    "composer",
    "tuner",
    "calibrator",
)
OUTPUTS = {"predict": "label", "predict_proba": "score", "predict_log_proba": "score", "decision_function": "score"}


def wrap(name: str, module: ModuleType, recorder: Recorder) -> None:
    """Wrap the methods of the classes that the catalog describes in a module."""
    for path, entry in described(name):
        owner = vars(module).get(path[0]) if len(path) == 1 else None
        if not isinstance(owner, type):
            continue
        if entry.is_a(*LEARNERS):
            _wrap_learner(owner, entry, recorder)
        elif entry.is_a("splitter"):
            wrap_method(owner, "split", Splitter(recorder, entry).split)
        elif entry.is_a("resampler"):
            wrap_method(owner, "fit_resample", Sampler(recorder, entry).resample)


def _wrap_learner(owner: type, entry: Entry, recorder: Recorder) -> None:
    probe = Learner(recorder, entry)
    for name in ("fit", "partial_fit"):
        wrap_method(owner, name, probe.method(name, probe.fit))
    for name in ("fit_transform", "fit_predict"):
        wrap_method(owner, name, probe.method(name, probe.fit_and_apply))
    wrap_method(owner, "transform", probe.method("transform", probe.transform))
    for name in OUTPUTS:
        wrap_method(owner, name, probe.method(name, probe.predict))
    wrap_method(owner, "score", probe.method("score", probe.score))


class Learner:
    """The probe of one class."""

    def __init__(self, recorder: Recorder, entry: Entry) -> None:
        self._recorder = recorder
        self._entry = entry
        self._tag = "transparent" if entry.is_a("composer") else entry.role
        self._library = entry.path.split(".", 1)[0]

    def method(self, name: str, around: Callable[..., Any]) -> Callable[..., Any]:
        """The probe of one method: passes calls on that no observer is to see."""

        def call(bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
            around_it = self._recorder.around()
            # What a function of the library does with estimators (a plot, a graph of neighbours) is its own affair, too.
            inner = not around_it and sys._getframe(2).f_globals.get("__name__", "").split(".", 1)[0] == self._library
            if inner or any(what != "transparent" for what in around_it) or self._recorder.site()[0] == NOWHERE:
                return bound(*args, **kwargs)
            return around(name, bound, value, args, kwargs)

        return call

    # -- the calls -------------------------------------------------------------------------------------------------

    def fit(self, name: str, bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """`fit(X, y)`."""
        data, target = _arguments(args, kwargs)
        guarded(self._recorder, self._entry.path, lambda: self._recorder.rows(data, "training data", beside=target))
        args, kwargs = self._shuffled(target, args, kwargs)
        earlier = len(self._recorder.fits)
        with self._recorder.inside(self._tag), changes(self._recorder) as drawn:
            result = bound(*args, **kwargs)
        guarded(self._recorder, self._entry.path, lambda: self._fitted(name, value, data, target, drawn, earlier))
        return result

    def fit_and_apply(self, name: str, bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """`fit_transform(X, y)` and `fit_predict(X)`."""
        result = self.fit(name, bound, value, args, kwargs)
        data, _ = _arguments(args, kwargs)

        def observe() -> None:
            if name == "fit_transform":
                self._applied(value, data, result)

        guarded(self._recorder, self._entry.path, observe)
        return result

    def transform(self, name: str, bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """`transform(X)`."""
        data, _ = _arguments(args, kwargs)
        guarded(self._recorder, self._entry.path, lambda: self._recorder.rows(data, "X"))
        with self._recorder.inside(self._entry.role), changes(self._recorder) as drawn:
            result = bound(*args, **kwargs)

        def observe() -> None:
            drawn.report(self._label(value), "estimator")
            self._recorder.event(
                "Transform",
                self._entry.path,
                {"data": data},
                merge=("transform",) if self._recorder.batch is not None else None,
                subject=self._subject(value),
                role=self._entry.role,
                method=name,
            )
            self._applied(value, data, result)

        if not self._entry.is_a("composer"):
            guarded(self._recorder, self._entry.path, observe)
        else:
            guarded(self._recorder, self._entry.path, lambda: self._applied(value, data, result))
        return result

    def predict(self, name: str, bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """`predict(X)`, `predict_proba(X)`, `decision_function(X)`."""
        data, _ = _arguments(args, kwargs)
        guarded(self._recorder, self._entry.path, lambda: self._recorder.rows(data, "X"))
        with self._recorder.inside(self._entry.role):
            result = bound(*args, **kwargs)

        def observe() -> None:
            number = self._predicted(value, data, self._output(name, value))
            tag = self._recorder.tag(data)
            learned = tag.learned | self._recorder.learned.get(self._subject(value), frozenset())
            self._recorder.identity.tag(result, Tag(self._recorder.identity.tokens_of(data), learned, number))

        guarded(self._recorder, self._entry.path, observe)
        return result

    def score(self, name: str, bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """`score(X, y)`: accuracy of a classifier, R² of a regressor."""
        data, target = _arguments(args, kwargs)
        guarded(self._recorder, self._entry.path, lambda: self._recorder.rows(data, "X", beside=target))
        with self._recorder.inside(self._entry.role):
            result = bound(*args, **kwargs)

        def observe() -> None:
            if target is None:
                return
            number = self._predicted(value, data, self._output("predict", value))
            if self._recorder.depth:  # the score of one fold inside a cross-validation, which gives the figure itself
                return
            subject = self._subject(value)
            regression = _regressor(value) or self._output("predict", value) == "value"
            tag = self._recorder.tag(data)
            event = self._recorder.event(
                "Score",
                self._entry.path,
                {"data": data, "truth": target},
                subject=subject,
                metric="r2" if regression else "accuracy",
                family="regression" if regression else "label",
                direction="up",
                value=float(result) if isinstance(result, int | float | np.floating) else None,
                inputs=sorted(tag.learned | self._recorder.learned.get(subject, frozenset())),
                predicted=number,
            )
            if isinstance(result, int | float | np.floating):
                self._recorder.figure("score", event=event, value=float(result))
            if self._recorder.job.controls.capture and hasattr(value, "predict"):  # experiments want the rows behind the figure
                with self._recorder.inside(self._entry.role):
                    prediction = value.predict(data)
                self._recorder.capture(event, "Score", truth=target, prediction=prediction)

        guarded(self._recorder, self._entry.path, observe)
        return result

    # -- what they write ---------------------------------------------------------------------------------------------

    def _fitted(self, name: str, value: Any, data: Any, target: Any, drawn: Any, earlier: int) -> None:
        recorder, entry = self._recorder, self._entry
        subject = self._subject(value)
        if entry.is_a("stateless-transform"):
            return
        if not may_draw(entry, value):
            drawn.streams.clear()
        drawn.report(self._label(value), "tuner" if entry.is_a("tuner") else "estimator", subject)
        inner = frozenset(recorder.fits[earlier:])
        number = recorder.event(
            "Fit",
            entry.path,
            {"data": data, **({"target": target} if length(target) else {})},
            subject=subject,
            role="estimator.pipeline" if entry.is_a("composer") else entry.role,
            method=name,
            uses_target=length(target) > 0 and bool(entry.get("uses_target")),
            stochastic=f"draws from the {drawn.streams[0]} generator" if drawn.streams else "",
            inner=sorted(inner),
        )
        learned = recorder.tag(data).learned | inner
        if entry.is_a("fitted-transform", "imputer", "feature-selector"):
            learned |= {number}
        recorder.learned[subject] = learned
        recorder.fits.append(number)
        if entry.is_a("estimator", "tuner", "composer", "calibrator"):
            recorder.capture(number, "Fit", X=data, y=target)
        if entry.is_a("tuner") and hasattr(value, "best_score_"):
            best = float(value.best_score_)
            event = recorder.event(
                "Score",
                entry.path,
                {"data": data, "truth": target},
                subject=subject,
                metric=value.scoring if isinstance(getattr(value, "scoring", None), str) else "accuracy",
                family="label",
                cross_validated=True,
                value=best,
            )
            recorder.figure("score", event=event, value=best)
            candidates = len(getattr(value, "cv_results_", {}).get("params", ()))
            recorder.event(
                "Select",
                entry.path,
                {"data": data},
                subject=subject,
                what="hyperparameter",
                how=self._label(value),
                scores=[event],
                candidates=candidates,
            )

    def _applied(self, value: Any, data: Any, result: Any) -> None:
        """The result of a transform holds the rows of its input and carries what the transform had learned."""
        recorder = self._recorder
        tokens = recorder.identity.tokens_of(data)
        learned = recorder.tag(data).learned | recorder.learned.get(self._subject(value), frozenset())
        if tokens is not None and length(result) == len(tokens):
            recorder.identity.learn(result, tokens, learned)
        recorder.identity.tag(result, Tag(recorder.identity.tokens_of(result), learned))

    def _predicted(self, value: Any, data: Any, output: str) -> int:
        number = self._recorder.event(
            "Predict",
            self._entry.path,
            {"data": data},
            merge=("predict",) if self._recorder.batch is not None else None,
            subject=self._subject(value),
            output=output,
        )
        self._recorder.capture(number, "Predict", X=data)
        return number

    def _output(self, name: str, value: Any) -> str:
        declared = (self._entry.get("outputs") or {}).get(name)
        if declared:
            return str(declared)
        if name == "predict" and (_regressor(value) or self._entry.get("task") == "regressor"):
            return "value"
        return OUTPUTS[name]

    def _label(self, value: Any) -> str:
        return type(value).__name__

    def _subject(self, value: Any) -> int:
        known = self._recorder.known_subject(value)
        if known >= 0:
            return known
        parts = [self._recorder.subject(part) for part in parts_of(value)]
        return self._recorder.subject(
            value, self._entry.path, role=self._entry.role, given=given(value), line=self._recorder.site()[0], parts=parts
        )

    def _shuffled(self, target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The arguments with permuted labels, for the label-shuffle control."""
        seed = self._recorder.job.controls.shuffle_labels
        supervised = self._entry.is_a("estimator", "tuner", "composer", "feature-selector", "calibrator")
        if seed is None or not length(target) or not supervised or self._recorder.depth:
            return args, kwargs
        mixed = permuted(target, seed)
        if any(value is target for value in kwargs.values()):
            return args, {key: mixed if value is target else value for key, value in kwargs.items()}
        return [mixed if value is target else value for value in args], kwargs


class Splitter:
    """The probe of a splitter object: every fold is a Split event."""

    def __init__(self, recorder: Recorder, entry: Entry) -> None:
        self._recorder = recorder
        self._entry = entry

    def split(self, bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """`split(X, y, groups)`."""
        if any(what != "transparent" for what in self._recorder.around()) or self._recorder.site()[0] == NOWHERE:
            return bound(*args, **kwargs)
        return self._folds(bound, value, args, kwargs)

    def _folds(self, bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Any]:
        recorder = self._recorder
        data, target = _arguments(args, kwargs)
        guarded(recorder, self._entry.path, lambda: recorder.align(data, target))
        tokens = guarded(recorder, self._entry.path, lambda: recorder.rows(data, "data"))
        with recorder.inside("split"), changes(recorder) as drawn:
            folds = iter(bound(*args, **kwargs))
            fold = next(folds, None)
        guarded(recorder, self._entry.path, lambda: drawn.report(type(value).__name__, "split"))
        while fold is not None:
            if tokens is not None:
                guarded(recorder, self._entry.path, partial(self._fold, value, data, tokens, fold, bool(drawn.streams)))
            yield fold
            with recorder.inside("split"):
                fold = next(folds, None)

    def _fold(self, value: Any, data: Any, tokens: Tokens, fold: tuple[Any, Any], unseeded: bool) -> None:
        recorder = self._recorder
        held = [np.asarray(tokens[part]) for part in fold]
        for tagged in held:
            recorder.identity.tag(tagged, Tag(tagged))
        recorder.event(
            "Split",
            self._entry.path,
            {"data": data, "parts": held},
            how="fold",
            shuffles=bool(getattr(value, "shuffle", True)),
            seeded=not unseeded,
            stratified="Stratified" in type(value).__name__,
            grouped="Group" in type(value).__name__,
            subject=recorder.subject(value, self._entry.path, role=self._entry.role, given=given(value)),
        )


class Sampler:
    """The probe of a resampler: old rows keep their identity, new ones are known to be made from the input."""

    def __init__(self, recorder: Recorder, entry: Entry) -> None:
        self._recorder = recorder
        self._entry = entry

    def resample(self, bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """`fit_resample(X, y)`."""
        if any(what != "transparent" for what in self._recorder.around()) or self._recorder.site()[0] == NOWHERE:
            return bound(*args, **kwargs)
        recorder = self._recorder
        data, target = _arguments(args, kwargs)
        guarded(recorder, self._entry.path, lambda: recorder.rows(data, "data", beside=target))
        with recorder.inside("resample"), changes(recorder) as drawn:
            result = bound(*args, **kwargs)

        def observe() -> None:
            drawn.report(type(value).__name__, "noise")
            tokens = recorder.identity.tokens_of(data)
            origin = recorder.identity.rowset(tokens)
            label = f"{type(value).__name__} output"
            made = recorder.identity.adopt(result[0], label, recorder.site()[0], made_from=origin, how="synthetic")
            recorder.identity.tag(result[0], Tag(made, recorder.tag(data).learned))
            recorder.align(result[0], result[1])
            recorder.event(
                "Resample",
                self._entry.path,
                {"data": data, "result": result[0]},
                lineage=self._entry.get("lineage") or "copy",
                api=self._entry.path,
            )

        guarded(recorder, self._entry.path, observe)
        return result


def _regressor(value: Any) -> bool:
    """Whether the estimator predicts numbers, by itself or, as newer releases have it, by its tags."""
    base = sys.modules.get("sklearn.base")
    if getattr(value, "_estimator_type", "") == "regressor" or base is None:
        return getattr(value, "_estimator_type", "") == "regressor"
    try:
        return bool(base.is_regressor(value))
    except Exception:  # an estimator of another library without tags
        return False


def _arguments(args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """(X, y) of a call, by the names and positions that scikit-learn and its relatives use."""
    data = args[0] if args else kwargs.get("X", kwargs.get("raw_documents", kwargs.get("data")))
    target = args[1] if len(args) > 1 else kwargs.get("y", kwargs.get("label"))
    return data, target if length(target) == length(data) else None


def given(value: Any) -> dict[str, Any]:
    """Parameters of an estimator that differ from their defaults, plain ones only."""
    try:
        held = value.get_params(deep=False)
        defaults = {name: parameter.default for name, parameter in inspect.signature(type(value).__init__).parameters.items()}
    except Exception:  # an estimator with an own idea of parameters
        return {}
    plain = (bool, int, float, str, type(None))
    return {name: one for name, one in held.items() if isinstance(one, plain) and one is not defaults.get(name)}


def permuted(target: Any, seed: int) -> Any:
    """The labels in random order, as the same kind of object; a table keeps its index."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(length(target))
    if is_table(target):
        mixed = target.iloc[order]
        mixed.index = target.index
        return mixed
    if is_data(target):
        return target[order]
    return [target[place] for place in order.tolist()]
