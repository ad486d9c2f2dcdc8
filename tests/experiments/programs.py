"""Programs for tests of experiments that rerun: a fake `Study.run` that answers each job with a log written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mllint_bio.experiments.study import Study
from mllint_bio.observe.job import Job, Outcome, Status
from mllint_bio.observe.log import Seen
from tests.experiments.studies import JOB, Run, study

LINE = 31  # of the loss


@dataclass
class Told:
    """What one run does. split: mask of the test rows out of 8; losses: in order; hashes: of the parameters after each step;
    prediction: of the test rows; truth: of the same; output: printed text; draws: by stream."""

    split: int = 0b11110000
    losses: Sequence[float] = ()
    hashes: Sequence[str] = ()
    prediction: Sequence[int] = (0, 1, 0, 1)
    truth: Sequence[int] = (0, 1, 1, 1)
    value: float | None = 0.75
    metric: str = "accuracy_score"
    line: int = 20
    output: str = ""
    draws: dict[str, int] = field(default_factory=dict)
    operations: Sequence[tuple[str, int]] = ()
    device: str = ""
    seconds: float = 1.0
    status: Status = Status.FINISHED
    reason: str = ""


def outcome(folder: Path, job: Job, told: Told) -> Outcome:
    """A run that splits 8 rows, takes steps, fits a model and scores it."""
    run = Run(folder, job)
    test = told.split
    train = 0xFF & ~test
    run.log.rows = {0: {1: 0xFF}, 1: {1: train}, 2: {1: test}}
    parts = [Seen(rows=1, count=train.bit_count()), Seen(rows=2, count=test.bit_count())]
    run.event("Split", 8, data=Seen(rows=0, count=8), parts=parts)
    model = run.subject("sklearn.svm.SVC")
    fit = run.event("Fit", 10, subject=model, role="estimator", data=parts[0])
    tokens = [(1 << 40) | k for k in range(8)]
    run.keep(fit, "Fit", X=[[k] for k in range(8) if train >> k & 1], rows=[tokens[k] for k in range(8) if train >> k & 1])
    for step, loss in enumerate(told.losses):
        run.log.figures.append({"what": "loss", "step": step, "value": loss, "line": ("train.py", LINE)})
        if told.hashes:
            run.log.figures.append({"what": "parameters", "step": step + 1, "hash": told.hashes[step]})
    for name, line in told.operations:
        run.log.figures.append({"what": "operation", "name": name, "line": ("train.py", line), "message": ""})
    if told.device:
        run.log.figures.append({"what": "device", "name": told.device, "cuda": True})
    if told.value is not None:
        predict = run.event("Predict", told.line, subject=model, data=parts[1])
        score = run.event(
            "Score",
            told.line,
            metric=told.metric,
            family="label",
            direction="up",
            subject=model,
            data=Seen(rows=2, count=test.bit_count(), predicted=predict),
        )
        rows = [tokens[k] for k in range(8) if test >> k & 1]
        run.keep(score, "Score", truth=list(told.truth), prediction=list(told.prediction), rows=rows)
        run.log.figures.append({"what": "score", "event": score, "value": told.value})
    run.log.figures += [{"what": "draws", "stream": stream, "count": count} for stream, count in told.draws.items()]
    made = run.outcome(told.status)
    made.output, made.seconds, made.reason = told.output, told.seconds, told.reason
    return made


@dataclass
class Runner:
    """Answers jobs, and keeps them for the test to look at."""

    folder: Path
    answer: Callable[[Job], Told]
    jobs: list[Job] = field(default_factory=list)

    def __call__(self, jobs: Sequence[Job]) -> list[Outcome]:
        made = []
        for job in jobs:
            self.jobs.append(job)
            made.append(outcome(self.folder / f"run{len(self.jobs)}", job, self.answer(job)))
        return made


def program(folder: Path, answer: Callable[[Job], Told], **changes: Any) -> tuple[Study, Runner]:
    """A study of a program that does what `answer` says for each job."""
    runner = Runner(folder, answer)
    base = study(outcome(folder / "first", JOB, answer(JOB)), runner)
    budget = {name: changes.pop(name) for name in ("repeats", "seconds", "resamples") if name in changes}
    return replace(base, budget=replace(base.budget, **budget), **changes), runner
