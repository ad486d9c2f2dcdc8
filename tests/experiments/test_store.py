"""Finished runs are kept and not run again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mllint_bio.experiments import store as stores
from mllint_bio.experiments.executors import LocalPool, Tell
from mllint_bio.experiments.store import Runs, Store
from mllint_bio.observe import log as logs
from mllint_bio.observe.job import Command, Controls, Job, Limits, Outcome, Refusal, Status
from mllint_bio.observe.log import Log, Record, Seen, Source

JOB = Job(Command("script", "train.py", (), "/project", "/project"), Limits(seconds=1))


def jobs(count: int) -> list[Job]:
    """Repeats of one run."""
    return [replace(JOB, repeat=k) for k in range(count)]


class Pool(LocalPool):
    """Answers jobs with a function, one at a time, in order."""

    def __init__(self, answer: Callable[[Job], Outcome], jobs: int = 1) -> None:
        super().__init__(jobs)
        self.answer = answer
        self.ran: list[int] = []

    def run(self, job: Job, arrays: Path, tell: Tell | None = None) -> Future[Outcome]:
        """Send a job to the function."""

        def work() -> Outcome:
            self.ran.append(job.repeat)
            outcome = self.answer(job)
            if job.controls.capture:
                arrays.mkdir(parents=True)
                (arrays / "index.json").write_text("[]")
                outcome.arrays = str(arrays)
            return outcome

        return self.submit(work)


def finished(job: Job) -> Outcome:
    """A run that ended well, with something of everything in its log."""
    log = Log(
        start={"pid": 1},
        sources={0: Source(0, "table", 4, ("train.py", 3))},
        rows={0: {0: 0b1011}, 1: {0: 1 << 70, 2: 5}},
        subjects={1: {"api": "sklearn.svm.SVC", "given": {"C": 1.0}}},
        records=[Record(0, "Fit", ("train.py", 5), (("train.py", 9),), "fit", {"data": Seen(0, 3, (1,)), "subject": 1}, 2)],
        figures=[{"what": "score", "event": 0, "value": 0.5 + job.repeat}],
        refused=[{"what": "write", "option": "--allow-write"}],
        versions={"numpy": "2"},
        end={"status": "finished"},
    )
    refusals = (Refusal("a write", "--allow-write", "train.py", 4, 2),)
    return Outcome(job, Status.FINISHED, log, "", "", 0, 0, 1.5, refusals, "done ü", {"numpy": "2"})


def test_an_outcome_comes_back_as_it_was(tmp_path: Path) -> None:
    """Everything in it, the arrays in a folder that stays."""
    job = replace(JOB, controls=Controls(capture=True))
    with Store("state", tmp_path) as store, Pool(finished) as pool:
        (kept,) = Runs(pool, store).run([job])
    again = Store("state", tmp_path).get(job)
    assert again == kept and again.arrays and Path(again.arrays, "index.json").read_text() == "[]"
    assert replace(again, arrays="") == replace(finished(job), arrays="")
    assert not list((tmp_path / "runs").glob("*.part"))


def test_other_content_other_job_other_outcome(tmp_path: Path) -> None:
    """The key holds the job and the state of the project; `reuse=False` starts anew but knows its own runs."""
    Store("state", tmp_path).put(finished(JOB))
    assert Store("changed", tmp_path).get(JOB) is None
    assert Store("state", tmp_path).get(replace(JOB, repeat=1)) is None
    fresh = Store("state", tmp_path, reuse=False)
    assert fresh.get(JOB) is None
    fresh.put(finished(JOB))
    assert fresh.get(JOB) is not None


@pytest.mark.parametrize("damage", ["outcome.json", "log"])
def test_a_damaged_entry_is_ignored(tmp_path: Path, damage: str) -> None:
    """A truncated file is no outcome; the next one takes its place."""
    Store("state", tmp_path).put(finished(JOB))
    (file,) = tmp_path.glob(f"runs/*/{damage}")
    file.write_bytes(file.read_bytes()[:-40])
    if damage == "log":
        file.write_bytes(file.read_bytes()[:60])
    assert Store("state", tmp_path).get(JOB) is None
    Store("state", tmp_path).put(finished(JOB))
    assert Store("state", tmp_path).get(JOB) == finished(JOB)


def test_a_log_with_other_objects_is_not_unpickled(tmp_path: Path) -> None:
    """The cache is data: a manipulated log runs nothing."""
    import pickle

    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "harmed"),)

    Store("state", tmp_path).put(finished(JOB))
    (file,) = tmp_path.glob("runs/*/log")
    file.write_bytes(pickle.dumps(("end", Harm())))
    assert Store("state", tmp_path).get(JOB) is None
    assert not (tmp_path / "harmed").exists()


def test_ends_that_may_be_different_next_time_are_not_kept(tmp_path: Path) -> None:
    """Out of time, out of memory, killed: run again."""
    for status in (Status.TIMEOUT, Status.MEMORY, Status.KILLED, Status.NOT_STARTED):
        Store("state", tmp_path).put(replace(finished(JOB), status=status))
        assert Store("state", tmp_path).get(JOB) is None


def test_the_oldest_entries_go(tmp_path: Path) -> None:
    """Above the limit, entries of earlier processes are dropped, the least recently used first, own ones never."""
    for k, job in enumerate(jobs(3)):
        Store("state", tmp_path).put(finished(job))
        for entry in (tmp_path / "runs").iterdir():
            if os.stat(entry).st_mtime > 1000:
                os.utime(entry, (k, k))
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    store = Store("state", tmp_path, limit=size)
    assert store.get(jobs(3)[0]) is not None
    store.put(finished(jobs(4)[3]))
    reader = Store("state", tmp_path)
    assert [reader.get(job) is not None for job in jobs(4)] == [True, False, True, True]


def test_a_folder_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    """The run takes place and its outcome is given."""
    (tmp_path / "file").write_text("")
    with Store("state", tmp_path / "file") as store, Pool(finished) as pool:
        assert [outcome.finished for outcome in Runs(pool, store).run(jobs(2))] == [True, True]


def test_an_interrupted_set_of_runs_resumes(tmp_path: Path) -> None:
    """Ctrl-C in the third of five runs: two are kept, and the next time three are run; outcomes come in the order of the jobs."""

    def interrupt(outcome: Outcome, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    first = Pool(finished)
    with pytest.raises(KeyboardInterrupt):
        Runs(first, Store("state", tmp_path), finished=interrupt).run(jobs(5))
    kept = [job.repeat for job in jobs(5) if Store("state", tmp_path).get(job)]
    assert len(kept) >= 2
    with Pool(finished) as second:
        runs = Runs(second, Store("state", tmp_path))
        outcomes = runs.run(jobs(5))
    assert [outcome.job.repeat for outcome in outcomes] == [0, 1, 2, 3, 4]
    assert sorted(second.ran + kept) == [0, 1, 2, 3, 4]
    assert (runs.reused, runs.executed) == (len(kept), 5 - len(kept))
    with pytest.raises(RuntimeError):
        first.submit(finished, JOB)


def test_equal_jobs_are_run_once(tmp_path: Path) -> None:
    """The same job twice in one call is one run with two answers."""
    with Pool(finished) as pool:
        one, two = Runs(pool, Store("state", tmp_path)).run([JOB, JOB])
    assert one == two and pool.ran == [0]


def test_what_the_budget_does_not_cover_is_not_started(tmp_path: Path) -> None:
    """The run that is going on is finished, the others say why they were not started."""

    def slow(job: Job) -> Outcome:
        time.sleep(0.3)
        return finished(job)

    with Pool(slow) as pool:
        outcomes = Runs(pool, Store("state", tmp_path), seconds=0.1).run(jobs(3))
    assert [outcome.status for outcome in outcomes] == [Status.FINISHED, Status.NOT_STARTED, Status.NOT_STARTED]
    assert outcomes[1].reason == "the 0.1 s for experiments are over"


def test_a_pool_that_breaks_is_a_reason(tmp_path: Path) -> None:
    """An error of the executor is the outcome of its job, in one line."""

    def breaks(job: Job) -> Outcome:
        raise RuntimeError("worker\nlost")

    with Pool(breaks) as pool:
        (outcome,) = Runs(pool, Store("state", tmp_path)).run([JOB])
    assert (outcome.status, outcome.reason) == (Status.NOT_STARTED, "worker lost")


def test_finished_runs_are_stored_while_others_go_on(tmp_path: Path) -> None:
    """What was finished before a crash of this process is kept: the store has it while the next run still goes on."""
    stored: list[bool] = []
    told = threading.Event()

    def answer(job: Job) -> Outcome:
        if job.repeat == 1:
            told.wait(30)
            stored.append(Store("state", tmp_path).get(jobs(1)[0]) is not None)
        return finished(job)

    with Pool(answer) as pool:
        Runs(pool, Store("state", tmp_path), finished=lambda *_: told.set()).run(jobs(2))
    assert stored == [True]


def test_content_follows_the_project(tmp_path: Path) -> None:
    """A changed source, a changed data file and a changed variable change the content; caches and a touched source do not."""
    (tmp_path / "train.py").write_text("a = 1")
    (tmp_path / "data.bin").write_bytes(b"1")
    before = stores.content(tmp_path)
    os.utime(tmp_path / "train.py", (1, 1))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "train.pyc").write_bytes(b"")
    assert stores.content(tmp_path) == before
    os.utime(tmp_path / "data.bin", (1, 1))
    touched = stores.content(tmp_path)
    (tmp_path / "train.py").write_text("a = 2")
    assert len({before, touched, stores.content(tmp_path)}) == 3


def test_variables_are_part_of_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another choice of devices is another run."""
    before = stores.content(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert stores.content(tmp_path) != before


def test_a_written_log_is_read_again(tmp_path: Path) -> None:
    """`write_log` and `log.read` are inverse."""
    stores.write_log(finished(JOB).log, tmp_path / "log")
    assert logs.read(tmp_path / "log") == finished(JOB).log


def test_data_that_the_arguments_name_are_part_of_the_content(tmp_path: Path) -> None:
    """New files in a folder outside the project are new data: the earlier run says nothing about them."""
    project, data = tmp_path / "project", tmp_path / "data"
    project.mkdir()
    data.mkdir()

    def now(*arguments: str) -> str:
        return stores.content(project, Command("script", "train.py", arguments, str(project), str(project)))

    assert now("--data", str(data), "..", "--epochs=3") == now("--data", str(data), "..", "--epochs=3")
    empty, none = now(f"--data={data}"), now("--data", "elsewhere")
    (data / "a.npz").write_bytes(b"1234")
    assert now(f"--data={data}") != empty
    assert now("--data", "../data/a.npz") != none
    assert now("--data", "elsewhere") == none
