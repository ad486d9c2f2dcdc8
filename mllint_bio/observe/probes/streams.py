"""The global random streams: whether a call drew from them, measured on their state, and how a job forces their seeds."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mllint_bio.catalog import Entry, lookup
from mllint_bio.observe.recorder import Recorder, api_of


class Drawn:
    """Which global streams a call drew from; filled when the call is over."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.streams: list[str] = []

    def report(self, what: str, purpose: str, subject: int = -1) -> None:
        """Write a Draw for every stream that was used."""
        for stream in self.streams:
            fields: dict[str, Any] = {"stream": stream, "what": what, "purpose": purpose}
            if subject >= 0:
                fields["subject"] = subject
            self._recorder.event("Draw", what, merge=(stream, what), **fields)


def state() -> dict[str, Any]:
    """The state of every global stream whose library is loaded. torch's CUDA streams are left out: reading them synchronises."""
    legacy = np.random.mtrand._rand._bit_generator.state["state"]
    found: dict[str, Any] = {"numpy": (int(legacy["pos"]), legacy["key"][:8].tobytes()), "python": hash(random.getstate())}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):
        found["torch"] = torch.get_rng_state().numpy().tobytes()
    return found


@contextmanager
def changes(recorder: Recorder) -> Iterator[Drawn]:
    """Compare the streams before and after."""
    drawn = Drawn(recorder)
    before = state()
    yield drawn
    after = state()
    drawn.streams = [stream for stream, value in after.items() if before.get(stream, value) != value]


def force_seed(recorder: Recorder, value: Any) -> int | None:
    """The seed that takes the place of the program's own; None if the job forces none."""
    forced = recorder.job.controls.seed
    if forced is None:
        return None
    own = value if isinstance(value, int) else 0
    return (forced * 1_000_003 + own) % 2**32


def may_draw(entry: Entry | None, value: Any, depth: int = 0) -> bool:
    """Whether what the object draws when it is fitted can change its result, by the catalog: some draw a seed that they never use
    (an SVC without `probability`). Objects that pass calls on draw what they and their parts draw; what is not known may."""
    if entry is None or depth > 6:
        return True

    def holds(conditions: dict[str, list[Any]] | None, wanted: bool) -> bool:
        return all((getattr(value, name, None) in allowed) is wanted for name, allowed in (conditions or {}).items())

    def seeded(draw: dict[str, Any]) -> bool:
        return getattr(value, draw.get("seed") or "", None) is not None

    for draw in entry.get("draws") or ():
        if draw["stream"] != "own" and not seeded(draw) and holds(draw.get("when"), True) and holds(draw.get("unless"), False):
            return True
    if not entry.is_a("composer", "tuner", "estimator.meta", "calibrator"):
        return False
    splitter = getattr(value, "cv", None)
    parts = [*parts_of(value), *([splitter] if hasattr(splitter, "split") else [])]
    return any(may_draw(lookup(api_of(part)), part, depth + 1) for part in parts)


def parts_of(value: Any) -> list[Any]:
    """Children of a composite: steps of a pipeline, transformers of a union, the estimator of a tuner."""
    found: list[Any] = []
    for name in ("steps", "transformer_list", "transformers"):
        for item in getattr(value, name, None) or ():
            if isinstance(item, tuple) and len(item) > 1 and hasattr(item[1], "get_params"):
                found.append(item[1])
    inner = getattr(value, "estimator", None)
    return [*found, inner] if hasattr(inner, "get_params") else found
