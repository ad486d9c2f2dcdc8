"""Executors, each with the real thing behind it."""

from __future__ import annotations

import math
import os
import threading
import time
from concurrent.futures import Executor
from pathlib import Path

import pytest

from mllint_bio.experiments import executors
from mllint_bio.experiments.executors import DaskPool, LocalPool, Pool, SlurmPool, Stopped
from mllint_bio.experiments.options import CannotStart
from mllint_bio.observe.job import Command, Job, Limits, Outcome, Status
from tests.experiments import slurm


def program(folder: Path, text: str, seconds: float = 60) -> Job:
    """A job that runs this text."""
    project = folder / "project"
    project.mkdir(exist_ok=True)
    (project / "train.py").write_text(text)
    return Job(Command("script", "train.py", (), str(project), str(project)), Limits(seconds=seconds))


def check(pool: Pool, folder: Path) -> None:
    """What every executor must do: calls, their errors, and a run of a program under observation."""
    assert isinstance(pool, Executor)
    assert pool.submit(math.factorial, 5).result(60) == 120
    assert list(pool.map(math.sqrt, [4.0, 9.0], timeout=60)) == [2, 3]
    with pytest.raises((ValueError, RuntimeError), match=r"math domain error|nonnegative"):
        pool.submit(math.sqrt, -1).result(60)
    outcome = pool.run(program(folder, "print('trained', 6 * 7)"), folder / "arrays").result(90)
    assert (outcome.status, outcome.output.strip()) == (Status.FINISHED, "trained 42"), outcome.reason


def test_local_pool(tmp_path: Path) -> None:
    """Threads that wait for runs."""
    with LocalPool(2) as pool:
        check(pool, tmp_path)


def test_stopping_the_local_pool_ends_the_programs(tmp_path: Path) -> None:
    """A program that would sleep for an hour is gone when `stop` returns, and what waited never starts."""
    pool, heard = LocalPool(1), threading.Event()
    job = program(tmp_path, "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(3600)\n", 3600)
    lines: list[str] = []

    def tell(job: Job, seconds: float, line: str) -> None:
        if line:
            lines.append(line)
            heard.set()

    running, waiting = pool.run(job, tmp_path / "a", tell), pool.run(job, tmp_path / "b")
    assert heard.wait(60)
    pool.stop()
    assert isinstance(running.exception(), Stopped) and waiting.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(int(lines[0]), 0)


def test_size_of_the_local_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run on a GPU; on CPUs as many as have their threads, at least one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert (executors.size("cuda"), executors.size("cpu"), executors.size("cpu", 16), executors.size("cpu", 99)) == (1, 4, 1, 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert executors.size("cpu") == 8


@pytest.mark.parametrize(
    ("kind", "jobs", "parameters", "line"),
    [
        ("cloud", None, {}, "--executor cloud: there are local, slurm and dask"),
        ("local", 0, {}, "--jobs 0: at least one run at a time is needed"),
    ],
)
def test_what_cannot_be_had_is_one_line(
    tmp_path: Path, kind: str, jobs: int | None, parameters: dict[str, object], line: str
) -> None:
    """Bad input to the command."""
    with pytest.raises(CannotStart) as error:
        executors.executor(kind, jobs, "cpu", tmp_path, parameters=parameters)
    assert str(error.value) == line


def test_missing_extras_and_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without submitit, distributed or sbatch the line says what to install."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart, match="no sbatch on this machine"):
        executors.executor("slurm", None, "cpu", tmp_path)

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(executors, "import_module", absent)
    for kind in ("slurm", "dask"):
        with pytest.raises(CannotStart, match=rf"pip install 'mllint-bio\[{kind}\]'"):
            executors.executor(kind, None, "cpu", tmp_path)


def test_dask_local_cluster(tmp_path: Path) -> None:
    """Worker processes of a LocalCluster run programs; the cluster ends with the pool."""
    pytest.importorskip("distributed", reason="distributed is not installed")
    pool = executors.executor("dask", 1, "cpu", tmp_path)
    assert isinstance(pool, DaskPool)
    with pool:
        worker = pool.submit(os.getpid).result(60)
        assert worker != os.getpid()
        check(pool, tmp_path)
    _gone(worker)


def test_dask_scheduler_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with the address."""
    pytest.importorskip("distributed", reason="distributed is not installed")
    with pytest.raises(CannotStart, match=r"no scheduler answers at nonsense://127\.0\.0\.1:1"):
        executors.executor("dask", 1, "cpu", tmp_path, parameters={"address": "nonsense://127.0.0.1:1"})


def test_slurm_cluster(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A cluster of one node on this machine runs programs, refuses what it does not know, and a job that ends without a word
    or is cancelled does not hang its future."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    if reason := slurm.missing():
        pytest.skip(reason)
    monkeypatch.setattr(executors, "_QUEUE_POLL", 1.0)
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as configuration:
        monkeypatch.setenv("SLURM_CONF", str(configuration))
        pool = executors.executor("slurm", 2, "cpu", tmp_path, parameters={"time": 5, "partition": "main"})
        assert isinstance(pool, SlurmPool)
        with pool:
            check(pool, tmp_path)
            with pytest.raises(RuntimeError, match="ended without a result"):
                pool.submit(os._exit, 3).result(60)
        assert not list((tmp_path / "slurm").iterdir())
        stopped = executors.executor("slurm", None, "cpu", tmp_path)
        sleeping = stopped.submit(time.sleep, 3600)
        while not sleeping.running():
            time.sleep(0.05)
        stopped.stop()
        assert not list((tmp_path / "slurm").iterdir())
        assert isinstance(sleeping.exception(10), Stopped)
        with (
            executors.executor("slurm", None, "cpu", tmp_path, parameters={"partition": "nowhere"}) as pool,
            pytest.raises(RuntimeError, match=r"Slurm does not take the job: .*invalid partition"),
        ):
            pool.submit(math.sqrt, 1).result(60)
    assert "sbatch" not in capsys.readouterr().err


def _gone(process: int) -> None:
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"process {process} is still there")


def test_a_run_that_fails_is_an_outcome_not_an_error(tmp_path: Path) -> None:
    """What a program does wrong is its outcome."""
    with LocalPool(1) as pool:
        outcome: Outcome = pool.run(program(tmp_path, "1 / 0"), tmp_path / "arrays").result(60)
    assert outcome.status is Status.FAILED and "ZeroDivisionError" in outcome.reason
