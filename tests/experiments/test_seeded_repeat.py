"""Seeded repeat: what stays random when all generators are seeded."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")

from mllint_bio.experiments.seeded_repeat import SeededRepeat
from mllint_bio.observe.job import Job
from tests.experiments.programs import Told, program


def test_a_program_that_seeds_reach_is_identical(tmp_path: Path) -> None:
    """All jobs force seed 0; other hash seeds are tried and change nothing."""
    study, runner = program(tmp_path, lambda job: Told(losses=(0.7,)))
    (result,) = SeededRepeat().run(study)
    assert result.figures["identical"] is True and result.figures["remaining"] == []
    assert "3 runs with every generator seeded are identical" in result.verdict
    assert "Other hash seeds change nothing." in result.verdict
    assert [job.controls.hash_seed for job in runner.jobs] == [0, 0, 0, 1, 2]
    assert {job.controls.seed for job in runner.jobs} == {0}
    assert result.runs == 5


def test_the_order_of_sets_is_found_by_another_hash_seed(tmp_path: Path) -> None:
    """Equal with one hash seed, different with another."""
    study, _ = program(tmp_path, lambda job: Told(losses=(0.7 + (job.controls.hash_seed or 0),)))
    (result,) = SeededRepeat().run(study)
    assert result.figures["identical"] is True and result.figures["remaining"] == ["hash order"]
    assert "With another hash seed they are not: the loss differs from step 1 on" in result.verdict


def test_the_order_of_threads_is_found_by_running_with_one(tmp_path: Path) -> None:
    """Different with seeds, identical with seeds and one thread."""

    def answer(job: Job) -> Told:
        return Told(losses=(0.7,) if job.controls.threads == 1 else (0.7 + job.repeat / 1e6,))

    study, _ = program(tmp_path, answer)
    (result,) = SeededRepeat().run(study)
    assert result.figures["identical"] is False and result.figures["remaining"] == ["thread order"]
    assert "identical without several threads" in result.verdict


def test_cuda_kernels_are_tried_first_on_a_gpu(tmp_path: Path) -> None:
    """On CUDA the pair with deterministic algorithms comes first."""

    def answer(job: Job) -> Told:
        return Told(losses=(0.7,) if job.controls.deterministic else (0.7 + job.repeat / 1e6,))

    study, runner = program(tmp_path, answer, device="cuda")
    (result,) = SeededRepeat().run(study)
    assert result.figures["remaining"] == ["CUDA kernels"]
    assert not any(job.controls.threads for job in runner.jobs)


def test_what_no_pair_explains_is_said_to_be_left(tmp_path: Path) -> None:
    """A clock as a seed: neither threads nor seeds help."""
    study, _ = program(tmp_path, lambda job: Told(losses=(0.7 + job.repeat / 1e6,)))
    (result,) = SeededRepeat().run(study)
    assert result.figures["remaining"] == ["unexplained"]
    assert "what is left is the clock" in result.verdict


def test_a_small_budget_leaves_the_further_runs_out(tmp_path: Path) -> None:
    """Two runs fit: no hash seed is tried, and that is said."""
    study, runner = program(tmp_path, lambda job: Told(seconds=40.0), seconds=110.0)
    (result,) = SeededRepeat().run(study)
    assert len(runner.jobs) == 2 and "Cut down from 5 to 2 runs" in result.verdict
    assert "hash seed" not in result.verdict
