"""Determinism: thread counts on a CPU, deterministic algorithms on CUDA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")

from mllint_bio.experiments.determinism import Determinism, thread_counts
from mllint_bio.observe.job import Job
from tests.experiments.programs import Told, program


def test_threads_that_change_the_loss_are_reported_with_step_and_size(tmp_path: Path) -> None:
    """First step at which one and two threads part, how far, and that CUDA was not reached."""

    def answer(job: Job) -> Told:
        return Told(losses=(0.5, 0.4 if job.controls.threads == 1 else 0.4 + 1e-7, 0.3))

    study, runner = program(tmp_path, answer)
    (result,) = Determinism().run(study)
    json.dumps(result.figures, allow_nan=False)
    assert "The number of threads (" in result.verdict and "the loss differs from step 2 on" in result.verdict
    assert "The losses part at step 2 by 1.0e-07" in result.verdict
    assert "whether its kernels are deterministic was not reached" in result.verdict
    assert result.figures["device"] == "cpu" and result.figures["cuda"] == "not reached"
    assert result.figures["loss_difference"]["step"] == 2 and result.figures["loss_difference"]["last"] == 0
    assert [job.controls.threads for job in runner.jobs][:3] == [1, 1, 2]
    assert {(job.controls.seed, job.controls.hash_seed) for job in runner.jobs} == {(0, 0)}


def test_equal_runs_with_all_thread_counts_are_identical(tmp_path: Path) -> None:
    """No sensitivity is claimed where there is none."""
    study, _ = program(tmp_path, lambda job: Told(losses=(0.5,)))
    (result,) = Determinism().run(study)
    assert result.figures["identical"] is True and "threads the runs are identical bit for bit" in result.verdict


def test_a_program_that_varies_anyway_says_nothing_about_threads(tmp_path: Path) -> None:
    """The pair with one thread each is the control."""
    study, _ = program(tmp_path, lambda job: Told(losses=(0.5 + job.repeat / 10,)))
    (result,) = Determinism().run(study)
    assert "with equal seeds and one thread differ already" in result.verdict
    assert result.figures["identical_with_one_thread"] is False


def test_thread_counts_go_from_one_to_the_cores() -> None:
    """One and two at least, and not more than eight."""
    assert thread_counts(1) == [1, 2]
    assert thread_counts(4) == [1, 2, 4]
    assert thread_counts(64) == [1, 2, 8]


def on_cuda(job: Job, **changes: Any) -> Told:
    """A network whose scatter has no deterministic kernel; 1.5 times as slow when determinism is asked for."""
    strict = job.controls.deterministic
    told: dict[str, Any] = {
        "losses": (0.5, 0.4 if strict else 0.4 + job.repeat / 1e6),
        "device": "NVIDIA H100",
        "operations": (("scatter_add_cuda_kernel", 44),) if strict else (),
        "seconds": 3.0 if strict else 2.0,
    }
    return Told(**(told | changes))


def test_operations_call_sites_and_slowdown_are_measured_on_cuda(tmp_path: Path) -> None:
    """Plain runs differ, deterministic ones do not; timed runs record nothing and go one at a time."""
    study, runner = program(tmp_path, on_cuda, device="cuda")
    (result,) = Determinism().run(study)
    json.dumps(result.figures, allow_nan=False)
    assert result.figures["identical"] is False and result.figures["identical_when_deterministic"] is True
    assert result.figures["operations"] == [{"name": "scatter_add_cuda_kernel", "line": "train.py:44", "runs": 2}]
    assert result.figures["slowdown"] == pytest.approx(1.5) and result.figures["device"] == "cuda"
    assert "Without a deterministic kernel: scatter_add_cuda_kernel (train.py:44)." in result.verdict
    assert "1.50 times as slow (median of 3 runs" in result.verdict
    timed = runner.jobs[4:]
    assert len(timed) == 6 and not any(job.controls.fingerprints or job.controls.capture for job in timed)
    assert result.tables[0].rows == (("scatter_add_cuda_kernel", "train.py:44", 2),)


def test_a_program_that_stays_on_the_cpu_is_asked_about_threads_even_beside_a_gpu(tmp_path: Path) -> None:
    """A GPU that is there and not used answers no CUDA question."""
    study, runner = program(tmp_path, lambda job: Told(losses=(0.5,)), device="cuda")
    (result,) = Determinism().run(study)
    assert result.figures["device"] == "cpu"
    assert not any(job.controls.deterministic for job in runner.jobs)
