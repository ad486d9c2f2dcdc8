"""The global random streams: whether a call drew from them, measured on their state, and how a job forces their seeds."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mllint_bio.observe.recorder import Recorder


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
