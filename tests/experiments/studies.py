"""Studies for tests of experiments: logs and folders of captured arrays, written by hand as a run writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mllint_bio.experiments.study import Budget, Study
from mllint_bio.observe.job import Command, Job, Outcome, Status
from mllint_bio.observe.log import Log, Record, Seen
from mllint_bio.trace import Trace

JOB = Job(Command("script", "train.py", (), "/project", "/project"))


class Run:
    """Writes the log and the arrays of one run."""

    def __init__(self, folder: Path, job: Job = JOB) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.job = job
        self.log = Log()
        self.index: list[dict[str, Any]] = []

    def subject(self, api: str, **given: Any) -> int:
        """A model."""
        number = len(self.log.subjects) + 1
        self.log.subjects[number] = {"api": api, "given": given}
        return number

    def event(self, kind: str, line: int, **fields: Any) -> int:
        """An event of the program."""
        number = len(self.log.records)
        self.log.records.append(Record(number, kind, ("train.py", line), fields=fields))
        return number

    def keep(self, event: int, kind: str, **arrays: Any) -> None:
        """Captured arrays of an event."""
        entry: dict[str, Any] = {"event": event, "kind": kind}
        for name, array in arrays.items():
            if array is not None:
                entry[name] = f"{len(self.index)}_{name}.npy"
                np.save(self.folder / entry[name], np.asarray(array))
        self.index.append(entry)

    def fit(self, subject: int, X: Any, y: Any, rows: Any = None, line: int = 10) -> int:
        """A model is fitted."""
        number = self.event("Fit", line, subject=subject, role="estimator")
        self.keep(number, "Fit", X=X, y=y, rows=rows)
        return number

    def score(
        self,
        subject: int,
        metric: str,
        truth: Any,
        prediction: Any,
        X: Any = None,
        *,
        rows: Any = None,
        value: float | None = None,
        family: str = "label",
        line: int = 20,
        **fields: Any,
    ) -> int:
        """A model is applied to rows and its prediction is scored."""
        predict = self.event("Predict", line - 1, subject=subject, data=Seen())
        if X is not None:
            self.keep(predict, "Predict", X=X, rows=rows)
        data = Seen(predicted=predict)
        number = self.event("Score", line, metric=metric, family=family, subject=subject, data=data, **fields)
        self.keep(number, "Score", truth=truth, prediction=prediction, rows=rows)
        if value is not None:
            self.log.figures.append({"what": "score", "event": number, "value": value})
        return number

    def outcome(self, status: Status = Status.FINISHED) -> Outcome:
        """What came of the run."""
        (self.folder / "index.json").write_text(json.dumps(self.index))
        return Outcome(self.job, status, self.log, arrays=str(self.folder))


def study(
    first: Outcome,
    run: Callable[[Sequence[Job]], list[Outcome]] | None = None,
    trace: Trace | None = None,
    **budget: Any,
) -> Study:
    """A study of a run that was written by hand; `run` answers for further runs."""

    def nothing(jobs: Sequence[Job]) -> list[Outcome]:
        raise AssertionError("this experiment runs nothing")

    return Study(
        job=JOB,
        first=first,
        trace=trace or Trace([], "script", "train.py", observed=True),
        findings=(),
        units={},
        run=run or nothing,
        budget=Budget(**({"resamples": 300} | budget)),
    )
