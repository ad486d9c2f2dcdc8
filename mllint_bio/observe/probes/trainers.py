"""Probes of libraries that run the training loop themselves (Lightning, the trainer of transformers, Keras) and of metric objects
(torchmetrics).

What such a library does inside is its own affair; its call is one event, with the rows of the data sets that it was given and the
figures that it returns.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mllint_bio.observe.identity import Tag, length
from mllint_bio.observe.probes.torch_data import Loaders
from mllint_bio.observe.probes.torch_modules import Modules
from mllint_bio.observe.probes.torch_state import State, data_in, entry_of, joined
from mllint_bio.observe.probes.wrapping import argument, guarded, wrap_method
from mllint_bio.observe.recorder import Recorder, api_of

Call = Callable[[Any, Any, Sequence[Any], dict[str, Any]], Any]


class Trainers:
    """The probe of Lightning's and transformers' trainers."""

    def __init__(self, state: State, loaders: Loaders, modules: Modules) -> None:
        self._state = state
        self._recorder = state.recorder
        self._loaders = loaders
        self._modules = modules

    def lightning(self, trainer: type) -> None:
        """Wrap `Trainer.fit`, `validate` and `test`."""
        wrap_method(trainer, "fit", self._inside(self._lightning_fit))
        wrap_method(trainer, "test", self._inside(self._lightning_score("test_dataloaders", "test")))
        wrap_method(trainer, "validate", self._inside(self._lightning_score("val_dataloaders", "validate")))

    def transformers(self, trainer: type) -> None:
        """Wrap `Trainer.train`, `evaluate` and `predict`."""
        wrap_method(trainer, "train", self._inside(self._transformers_train))
        wrap_method(trainer, "evaluate", self._inside(self._transformers_evaluate))
        wrap_method(trainer, "predict", self._inside(self._transformers_evaluate))

    def _inside(self, told: Call) -> Call:
        def around(bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
            if not self._state.observing():
                return bound(*args, **kwargs)
            guarded(self._recorder, "trainer", self._modules.tell_built)
            with self._recorder.inside("trainer"):
                result = bound(*args, **kwargs)
            guarded(self._recorder, "trainer", lambda: told(value, result, args, kwargs))
            return result

        return around

    def _rows(self, loaders: Any) -> Tag:
        """Rows of a loader, a list or dict of loaders, or a data set."""
        if loaders is None:
            return Tag(None)
        if isinstance(loaders, Mapping):
            loaders = list(loaders.values())
        if isinstance(loaders, list | tuple) and loaders and not isinstance(loaders[0], int | float):
            return joined([self._rows(one) for one in loaders])
        return self._loaders.rows_of(loaders) if hasattr(loaders, "dataset") else self._loaders.datasets.tag(loaders)

    def _fitted(self, module: Any, api: str, method: str, data: Tag, validation: Tag, draws: str) -> None:
        recorder = self._recorder
        subject = self._state.module(module)
        number = recorder.event(
            "Fit", api, {"data": data, "validation": validation}, subject=subject, role="estimator.deep", method=method
        )
        recorder.fits.append(number)
        recorder.learned[subject] = recorder.learned.get(subject, frozenset()) | data.learned
        if draws:
            recorder.event("Draw", api, merge=("torch", draws), stream="torch", what=draws, purpose="order", subject=subject)

    def _scored(self, module: Any, api: str, data: Tag, results: Sequence[Mapping[str, Any]]) -> None:
        recorder = self._recorder
        event = recorder.event(
            "Score", api, {"data": data}, subject=self._state.module(module), metric="metrics", family="unknown", direction=""
        )
        for values in results:
            for name, value in values.items():
                if isinstance(value, int | float):
                    recorder.figure("score", event=event, value=float(value), name=name)

    def _lightning_fit(self, trainer: Any, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        loaders = trainer.train_dataloader
        first = next(iter(loaders), None) if isinstance(loaders, list | tuple) else loaders
        shuffles = isinstance(getattr(first, "sampler", None), self._state.torch.utils.data.RandomSampler)
        self._fitted(
            trainer.lightning_module,
            "lightning.pytorch.Trainer.fit",
            "fit",
            self._rows(loaders),
            self._rows(trainer.val_dataloaders),
            "Trainer.fit" if shuffles else "",
        )

    def _lightning_score(self, held: str, name: str) -> Call:
        def told(trainer: Any, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
            values = [one for one in result or () if isinstance(one, Mapping)]
            self._scored(
                trainer.lightning_module, f"lightning.pytorch.Trainer.{name}", self._rows(getattr(trainer, held)), values
            )

        return told

    def _transformers_train(self, trainer: Any, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        self._fitted(
            trainer.model,
            "transformers.Trainer.train",
            "train",
            self._rows(trainer.train_dataset),
            self._rows(trainer.eval_dataset),
            "Trainer.train",
        )

    def _transformers_evaluate(self, trainer: Any, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        given = argument("eval_dataset", ("eval_dataset",), args, kwargs, kwargs.get("test_dataset"))
        values = result if isinstance(result, Mapping) else getattr(result, "metrics", None) or {}
        data = self._rows(given if given is not None else trainer.eval_dataset)
        self._scored(trainer.model, "transformers.Trainer.evaluate", data, [values])


class Metrics:
    """The probe of torchmetrics: a metric object remembers what it was updated with until it is computed."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._recorder = state.recorder
        self._seen: dict[int, tuple[Any, list[tuple[Tag, Tag]]]] = {}  # by identity: the hash of a metric changes with its state

    def install(self, metric: Any) -> None:
        """Wrap what torchmetrics wraps the `update` and `compute` of every object with, and the call of an object."""
        wrap_update, wrap_compute, forward = metric._wrap_update, metric._wrap_compute, metric.forward
        updated, computed, state = self._updated, self._computed, self._state

        def _wrap_update(self: Any, update: Any) -> Any:
            original = wrap_update(self, update)

            def probe(*args: Any, **kwargs: Any) -> Any:
                if state.observing():
                    guarded(state.recorder, "torchmetrics", lambda: updated(self, args, kwargs))
                return original(*args, **kwargs)

            probe.__wrapped__ = original  # type: ignore[attr-defined]
            return probe

        def _wrap_compute(self: Any, compute: Any) -> Any:
            original = wrap_compute(self, compute)

            def probe(*args: Any, **kwargs: Any) -> Any:
                if not state.observing():
                    return original(*args, **kwargs)
                with state.local:
                    result = original(*args, **kwargs)
                guarded(state.recorder, "torchmetrics", lambda: computed(self, result, None))
                return result

            probe.__wrapped__ = original  # type: ignore[attr-defined]
            return probe

        def whole(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not state.observing():
                return forward(self, *args, **kwargs)
            with state.local:
                result = forward(self, *args, **kwargs)
            guarded(state.recorder, "torchmetrics", lambda: updated(self, args, kwargs))
            guarded(state.recorder, "torchmetrics", lambda: computed(self, result, "batch"))
            return result

        metric._wrap_update, metric._wrap_compute, metric.forward = _wrap_update, _wrap_compute, whole

    def _updated(self, metric: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        predicted = argument("preds", ("preds", "target"), args, kwargs)
        truth = argument("target", ("preds", "target"), args, kwargs)
        self._recorder.align(predicted, truth)
        known = self._seen.get(id(metric))
        if known is None or known[0]() is not metric:
            known = self._seen[id(metric)] = (weakref.ref(metric), [])
        seen = known[1]
        seen.append((self._state.tag_of(predicted), self._state.tag_of(truth)))
        if len(seen) > 64:
            seen[:] = [(joined([one for one, _ in seen]), joined([one for _, one in seen]))]

    def _computed(self, metric: Any, result: Any, batch: str | None) -> None:
        known = self._seen.get(id(metric))
        seen = known[1] if known is not None and known[0]() is metric else []
        if not seen:
            return
        used = seen[-1:] if batch else seen
        predicted, truth = joined([one for one, _ in used]), joined([one for _, one in used])
        entry = entry_of(type(metric))
        torch, recorder = self._state.torch, self._recorder
        value = float(result) if torch.is_tensor(result) and result.numel() == 1 else None
        number = recorder.event(
            "Score",
            entry.path if entry is not None else api_of(metric),
            {"data": predicted, "truth": truth},
            merge=("batch", type(metric).__name__) if batch else None,
            metric=type(metric).__name__,
            family=(entry.role.partition(".")[2] if entry is not None else "") or "unknown",
            direction=str(entry.get("direction") or "") if entry is not None else "",
            value=value,
        )
        if value is not None:
            recorder.figure("score", event=number, value=value)
        if not batch:
            self._seen.pop(id(metric), None)


class Keras:
    """The probe of Keras models, whatever backend they run on."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def install(self, model: type) -> None:
        """Wrap `fit`, `evaluate` and `predict`."""
        wrap_method(model, "fit", self._inside(self._fitted))
        wrap_method(model, "evaluate", self._inside(self._evaluated))
        wrap_method(model, "predict", self._inside(self._predicted))

    def _inside(self, told: Call) -> Call:
        def around(bound: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
            recorder = self._recorder
            if recorder.depth:
                return bound(*args, **kwargs)
            guarded(recorder, "keras", lambda: self._given(args, kwargs))
            with recorder.inside("keras"):
                result = bound(*args, **kwargs)
            guarded(recorder, "keras", lambda: told(value, result, args, kwargs))
            return result

        return around

    def _given(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """(x, y), which hold the same rows."""
        x = argument("x", ("x", "y"), args, kwargs)
        y = argument("y", ("x", "y"), args, kwargs)
        first = next(data_in([x]), None)
        self._recorder.rows(first, "training data", beside=y if length(y) == length(first) else None)
        return first, y if length(y) == length(first) else None

    def _subject(self, model: Any) -> int:
        return self._recorder.subject(model, f"keras.{type(model).__name__}", role="estimator.deep")

    def _fitted(self, model: Any, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        recorder = self._recorder
        x, y = self._given(args, kwargs)
        given = kwargs.get("validation_data")
        held = next(data_in([given[0]]), None) if isinstance(given, tuple | list) and given else None
        subject, name = self._subject(model), type(model).__name__
        data: Any = x
        fraction = kwargs.get("validation_split") or 0.0
        tag = recorder.tag(x)
        if fraction and tag.tokens is not None:
            cut = int(len(tag.tokens) * (1.0 - fraction))
            data = Tag(tag.tokens[:cut], tag.learned)
            held = Tag(tag.tokens[cut:], tag.learned)
            recorder.event(
                "Split", "validation_split", {"data": x, "parts": [data, held]}, how="tail", api="validation_split",
                shuffles=False, seeded=True, stratified=False, grouped=False,
            )  # fmt: skip
        if kwargs.get("shuffle", True) is not False:
            recorder.event(
                "Draw", f"keras.{name}.fit", merge=(name,), stream="tensorflow", what=f"{name}.fit", purpose="order",
                subject=subject,
            )  # fmt: skip
        target = {"target": y} if y is not None else {}
        validation = {"validation": held} if held is not None else {}
        number = recorder.event(
            "Fit", f"keras.{name}.fit", {"data": data, **target, **validation}, subject=subject, role="estimator.deep",
            method="fit", uses_target=y is not None,
        )  # fmt: skip
        recorder.fits.append(number)
        recorder.learned[subject] = recorder.learned.get(subject, frozenset()) | tag.learned
        history = getattr(result, "history", None) or {}
        if held is not None:
            scored = held if isinstance(held, Tag) else recorder.tag(held)
            for metric, values in history.items():
                if metric.startswith("val_") and values:
                    self._score(subject, name, "fit", metric[len("val_") :], scored, values)

    def _score(self, subject: int, name: str, method: str, metric: str, data: Tag, values: Sequence[float]) -> None:
        event = self._recorder.event(
            "Score", f"keras.{name}.{method}", {"data": data}, subject=subject, metric=metric,
            family="loss" if metric == "loss" else "unknown", direction="down" if metric == "loss" else "",
            value=float(values[-1]),
        )  # fmt: skip
        for value in values:
            self._recorder.figure("score", event=event, value=float(value))

    def _evaluated(self, model: Any, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        x, _ = self._given(args, kwargs)
        tag = self._predict(model, x)
        names = list(getattr(model, "metrics_names", ()))
        values = list(result.values()) if isinstance(result, dict) else result if isinstance(result, list) else [result]
        if isinstance(result, dict):
            names = list(result)
        if len(names) != len(values):
            names = ["loss", *(f"metric {k}" for k in range(1, len(values)))]
        for name, value in zip(names, values, strict=True):
            self._score(self._subject(model), type(model).__name__, "evaluate", name, tag, [float(value)])

    def _predicted(self, model: Any, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        x, _ = self._given(args, kwargs)
        tag = self._predict(model, x)
        for value in data_in([result]):
            if tag.tokens is not None and length(value) == len(tag.tokens):
                self._recorder.identity.tag(value, tag)

    def _predict(self, model: Any, x: Any) -> Tag:
        recorder = self._recorder
        subject = self._subject(model)
        known = recorder.tag(x)
        number = recorder.event(
            "Predict", f"keras.{type(model).__name__}.predict", {"data": x}, subject=subject, output="score", mode="managed"
        )
        learned = known.learned | recorder.learned.get(subject, frozenset())
        return Tag(recorder.identity.tokens_of(x) if x is not None else None, learned, number)
