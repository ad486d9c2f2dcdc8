"""The language server over the fake interpreter, for what a real interpreter does only by accident: dying, hanging, printing.

Run as a script; the worker process imports it again, so that both processes get the same fakes.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mllint_bio import engine
from mllint_bio.server import checker, serve, worker
from tests import fake_predict


class Project(fake_predict.Project):
    """A project that can forget a file."""

    def drop(self, path: Path) -> None:
        self._units.pop(Path(path).resolve(), None)


class Loud(fake_predict.Fault):
    """Prints what would break the conversation, if it got there."""

    code, name = "TST102", "loud-fault"

    def check(self, trace: Any) -> Any:
        print("Content-Length: 3\r\n\r\n{}", flush=True)
        return super().check(trace)


def analyse(project: Project, units: Any, options: object) -> fake_predict.Analysis:
    """The fake analysis; `slow` in the text makes it last, and a log beside the file counts how often it was asked."""
    for unit in units:
        if not unit.path.startswith("<"):  # the warm-up question has no file to log beside
            with open(f"{unit.path}.log", "a") as log:
                log.write("analysed\n")
    if any("slow" in unit.text for unit in units):
        time.sleep(2)
    return fake_predict.analyse(project, units, options)


def spans(unit: Any, sites: Any) -> Any:
    """The fake spans; `lost` in the text makes that fail, outside of what the engine guards."""
    if "lost" in unit.text:
        raise KeyError("no such site")
    return fake_predict.spans(unit, sites)


fake = SimpleNamespace(Project=Project, analyse=analyse, spans=spans)
engine._predict = lambda: fake
checker.load_registry = lambda: fake_predict.registry(fake_predict.Fault, Loud)
worker.Worker = partial(worker.Worker, seconds=6.0)  # type: ignore[misc, assignment]

if __name__ == "__main__":
    sys.exit(serve())
