"""Probes of losses: what they expect, what range of values reaches them, and the figure that they are."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from mllint_bio.catalog import Entry
from mllint_bio.observe.identity import Tag, length
from mllint_bio.observe.log import Line
from mllint_bio.observe.probes.torch_state import Place, State
from mllint_bio.observe.probes.wrapping import argument, guarded

MEASURED = 3  # calls of one line whose values are looked at
CELLS = 2_000_000  # larger outputs are not looked at


class Losses:
    """The probe of loss modules and loss functions."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._recorder = state.recorder
        self._received: dict[Any, list[str]] = {}
        self.replaced: Callable[[Any, Any], Any] | None = None  # puts shuffled labels in the place of the targets
        self.scored: Callable[[int, Any], None] = lambda event, value: None

    def around(
        self, entry: Entry, call: Callable[[Any, Any], Any], args: Sequence[Any], kwargs: dict[str, Any], params: Sequence[str]
    ) -> Any:
        """Compute a loss that the user's code asked for."""
        state, recorder = self._state, self._recorder
        predicted = argument(entry.get("pred") or params[0], _named(entry, params), args, kwargs)
        truth = argument(entry.get("target") or params[1], _named(entry, params), args, kwargs)
        if self.replaced is not None and truth is not None:
            mixed = guarded(recorder, entry.path, lambda: self.replaced(predicted, truth) if self.replaced else None)
            if mixed is not None:
                args = [mixed if value is truth else value for value in args]
                kwargs = {name: mixed if value is truth else value for name, value in kwargs.items()}
        with state.local:
            result = call(args, kwargs)
        guarded(recorder, entry.path, lambda: self._computed(entry, predicted, truth, result))
        return result

    def own(self, name: str, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> None:
        """A loss that the project defines as a module of its own was computed."""
        values = [*args, *kwargs.values()]
        tensors = [value for value in values if self._state.torch.is_tensor(value)]
        identity = self._recorder.identity
        tags = [(value, identity.tag_of(value) or Tag(None)) for value in tensors]
        predicted = next(((value, tag) for value, tag in tags if tag.predicted >= 0), None)
        truth = next((value for value, tag in tags if tag.predicted < 0), None)
        if predicted is not None:
            self._score(name, predicted[0], predicted[1], truth, result)

    def _computed(self, entry: Entry, predicted: Any, truth: Any, result: Any) -> None:
        state, recorder = self._state, self._recorder
        if not state.torch.is_tensor(predicted):
            return
        tag = state.tag_of(predicted, "output")
        name = entry.path.rsplit(".", 1)[-1]
        site = recorder.site()
        if tag.predicted >= 0 or state.local.forward:
            expects = str(entry.get("expects", ""))
            received = self._measure(site[0], entry, expects, predicted)
            recorder.event(
                "Loss",
                entry.path,
                {"data": tag},
                merge=(received,),
                site=site,
                api=name,
                expects=expects,
                received=received,
                multiclass=entry.get("multiclass"),
            )
        if not state.local.forward:
            self._score(entry.path, predicted, tag, truth, result, site)

    def _score(self, api: str, predicted: Any, tag: Tag, truth: Any, result: Any, site: Place | None = None) -> None:
        state, recorder = self._state, self._recorder
        if truth is not None and length(truth) and tag.tokens is not None and length(truth) == len(tag.tokens):
            known = recorder.identity.tag_of(truth)
            if known is None or known.tokens is None:
                recorder.identity.tag(truth, Tag(tag.tokens, frozenset(), -1, tag.loader, tag.visit))
        grad = bool(state.torch.is_tensor(result) and result.requires_grad)
        maker = recorder.maker(tag.predicted)
        subject: dict[str, Any] = {"subject": maker} if maker >= 0 else {}
        number = recorder.event(
            "Score",
            api,
            {"data": tag, "truth": truth if length(truth) else None},
            merge=("loss", grad),
            site=site,
            metric="loss",
            family="loss",
            direction="down",
            decomposable=True,
            grad=grad,
            **subject,
        )
        if state.torch.is_tensor(result):
            whole = tag if not result.dim() else None
            if whole is not None:
                recorder.identity.tag(result, Tag(tag.tokens, tag.learned, tag.predicted, tag.loader, tag.visit))
            else:
                state.mark(result, tag)
            if grad:
                if recorder.job.controls.capture and state.torch.is_tensor(truth):
                    state.latest_target = weakref.ref(truth)
                state.losses.append(tag)
                del state.losses[:-256]
            elif not result.dim():
                self.scored(number, result)

    def _measure(self, line: Line, entry: Entry, expects: str, predicted: Any) -> str:
        """What ends the network that made these values, as far as the values tell."""
        known = self._received.setdefault((line, entry.path), [])
        if len(known) < MEASURED:
            known.append(self._look(line, expects, predicted, bool(entry.get("multiclass"))))
        return known[0] if len(set(known)) == 1 else next((one for one in known if one in ("linear", "")), "linear")

    def _look(self, line: Line, expects: str, predicted: Any, multiclass: bool) -> str:
        if predicted.is_complex() or not predicted.is_floating_point() or not 0 < predicted.numel() <= CELLS:
            return ""
        values = predicted.detach()
        low, high = float(values.min()), float(values.max())
        sums: tuple[float, float] | None = None
        logged: tuple[float, float] | None = None
        if values.dim() > 1 and values.shape[1] > 1:
            totals = values.float().sum(1)
            sums = float(totals.min()), float(totals.max())
            totals = values.float().exp().sum(1)
            logged = float(totals.min()), float(totals.max())
        self._recorder.figure("range", line=line, low=low, high=high, row_sums=sums, exp_row_sums=logged, expects=expects)
        if not (math.isfinite(low) and math.isfinite(high)):
            return ""
        if sums is not None and low >= 0 and _ones(sums):
            return "softmax"
        if logged is not None and high <= 1e-6 and _ones(logged):
            return "log_softmax"
        if low >= 0 and high <= 1 and values.numel() >= 8 and not multiclass:
            return "sigmoid"
        return "linear"


def _ones(sums: tuple[float, float]) -> bool:
    return abs(sums[0] - 1) < 1e-3 and abs(sums[1] - 1) < 1e-3


def _named(entry: Entry, params: Sequence[str]) -> Sequence[str]:
    """Names of the arguments of the call: of a function its own, of a loss object those of its `forward`."""
    if entry.get("form") == "call":
        return entry.params
    return (entry.get("pred") or params[0], entry.get("target") or params[1])
