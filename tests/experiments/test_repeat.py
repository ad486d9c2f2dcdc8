"""Repeat: the first difference between runs of one command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")

from mllint_bio.experiments.repeat import Repeat
from mllint_bio.experiments.results import Result
from mllint_bio.observe.job import Job, Outcome, Status
from tests.experiments.programs import LINE, Told, program
from tests.experiments.studies import JOB, Run, study


def repeated(folder: Path, *runs: Told, **budget: Any) -> Result:
    """The result of repeats that do what `runs` say, in their order."""
    study, _ = program(folder, lambda job: runs[max(job.repeat - 1, 0)], **({"repeats": len(runs)} | budget))
    (result,) = Repeat().run(study)
    json.dumps(result.figures, allow_nan=False)
    return result


def test_equal_runs_are_said_to_be_identical_bit_for_bit(tmp_path: Path) -> None:
    """No first difference, every line alike, and the figures that verdicts use."""
    told = Told(losses=(0.7, 0.6), hashes=("a", "b"), draws={"numpy": 3}, output="accuracy 0.75\n")
    result = repeated(tmp_path, told, told, told)
    assert result.verdict.startswith("3 runs of the same command are identical bit for bit")
    assert "1 split" in result.verdict and "2 losses" in result.verdict
    figures = result.figures
    assert figures["identical"] is True and figures["first_difference"] is None and figures["runs"] == 3
    assert figures["same_split"] is True and figures["same_predictions"] is True
    assert figures["streams"] == {"numpy": 3}
    assert figures["metric"]["name"] == "accuracy" and figures["metric"]["values"] == [0.75] * 3
    assert figures["metric"]["sd"] == 0
    assert set(figures["per_line"].values()) == {True}


def test_another_split_is_named_before_what_follows_from_it(tmp_path: Path) -> None:
    """Rows that moved are counted; the line of the split is the first difference although losses and scores differ too."""
    result = repeated(
        tmp_path, Told(split=0b11110000, losses=(0.7,)), Told(split=0b11101000, losses=(0.8,), prediction=(1, 1, 1, 1), value=0.5)
    )
    first = result.figures["first_difference"]
    assert (first["what"], first["line"]) == ("split", "train.py:8")
    assert "1 of the 4 rows of its last part are others" in result.verdict
    assert "between 0.500 and 0.750" in result.verdict
    assert result.figures["same_split"] is False and result.figures["same_predictions"] is False
    assert result.figures["metric"]["sd"] == pytest.approx(0.17678, abs=1e-4)


def test_the_first_loss_that_differs_is_named_with_its_step_and_values(tmp_path: Path) -> None:
    """Step, both values with as many digits as tell them apart, and the line."""
    result = repeated(tmp_path, Told(losses=(0.7, 0.6931)), Told(losses=(0.7, 0.6894)), Told(losses=(0.7, 0.69311)))
    differ = "the loss differs from step 2 on: 0.6931, 0.6894 and 0.69311 (train.py:31)."
    assert result.verdict.startswith(f"3 runs of the same command differ: {differ}")
    first = result.figures["first_difference"]
    assert (first["what"], first["step"], first["line"]) == ("loss", 2, f"train.py:{LINE}")
    assert first["values"] == [0.6931, 0.6894, 0.69311]
    assert result.figures["same_split"] is True
    assert result.figures["per_line"] == {"train.py:8": True, "train.py:10": True, "train.py:20": True, f"train.py:{LINE}": False}
    assert [series.name for series in result.plots[0].series] == ["run 1", "run 2", "run 3"]
    assert result.plots[0].kind == "curves"


def test_parameters_that_differ_behind_equal_losses_are_seen(tmp_path: Path) -> None:
    """The hash after a step tells what the loss does not."""
    result = repeated(tmp_path, Told(losses=(0.7,), hashes=("a",)), Told(losses=(0.7,), hashes=("b",)))
    assert result.figures["first_difference"]["what"] == "parameters"
    assert "the parameters differ after step 1" in result.verdict


def test_another_initialisation_is_named_as_such(tmp_path: Path) -> None:
    """The parameters before the first step differ."""

    def answer(job: Job) -> Outcome:
        run = Run(tmp_path / f"init{job.repeat}", job)
        run.event("Fit", 10, role="module")
        run.log.figures.append({"what": "parameters", "step": 0, "hash": str(job.repeat)})
        return run.outcome()

    (result,) = Repeat().run(replace(study(answer(JOB), repeats=2), run=lambda jobs: [answer(job) for job in jobs]))
    assert "the parameters differ from the start: they were initialised in another way" in result.verdict
    assert result.figures["first_difference"]["step"] == 0


def test_predictions_that_differ_behind_an_equal_score_are_seen(tmp_path: Path) -> None:
    """Two runs can be right equally often on different rows."""
    result = repeated(tmp_path, Told(prediction=(0, 1, 0, 1)), Told(prediction=(0, 1, 1, 0)))
    assert result.figures["first_difference"]["what"] == "predictions"
    assert result.figures["same_predictions"] is False
    assert "The accuracy is 0.750 (train.py:20) in all of them." in result.verdict


def test_times_dates_and_progress_bars_are_no_differences(tmp_path: Path) -> None:
    """Printed text is compared without what the clock decides."""
    one = "start 2026-01-02 10:00:01\n 10%|#  | 1/10 [00:01<00:09]\r100%|###| 10/10 [00:03<00:00, 3.1it/s]\nfit took 0.93 s\n"
    two = "start 2026-01-02 10:07:55\n100%|###| 10/10 [00:05<00:00, 2.2it/s]\nfit took 1.21 s\n"
    assert repeated(tmp_path, Told(output=one), Told(output=two)).figures["identical"] is True


def test_printed_figures_are_compared_where_nothing_else_was_seen(tmp_path: Path) -> None:
    """A program whose libraries are not observed still prints what it found."""
    result = repeated(tmp_path, Told(value=None, output="AUC 0.974\n"), Told(value=None, output="AUC 0.961\n"))
    assert 'the printed text differs: "AUC 0.974" and "AUC 0.961"' in result.verdict
    assert result.figures["metric"]["values"] == [0.974, 0.961]


def test_a_run_that_ends_earlier_is_a_difference(tmp_path: Path) -> None:
    """One of the runs fails: what all reached is compared, and the end is named."""
    failed = Told(value=None, status=Status.FAILED, reason="ValueError: nan at train.py:12")
    result = repeated(tmp_path, Told(), failed)
    assert result.figures["first_difference"]["what"] == "end"
    assert "ValueError: nan at train.py:12" in result.verdict


def test_runs_that_time_out_alike_are_compared_as_far_as_all_came(tmp_path: Path) -> None:
    """A longer log of a run that was cut off later is no difference."""
    cut: dict[str, Any] = {"value": None, "status": Status.TIMEOUT, "reason": "still running after 10 s"}
    result = repeated(tmp_path, Told(losses=(0.7, 0.6, 0.5), **cut), Told(losses=(0.7, 0.6), **cut))
    assert result.figures["identical"] is True
    assert "Every run ended early" in result.verdict


def test_another_number_of_steps_is_a_difference(tmp_path: Path) -> None:
    """Early stopping ended one run before the other."""
    result = repeated(tmp_path, Told(losses=(0.7, 0.6), value=None), Told(losses=(0.7,), value=None))
    assert result.figures["first_difference"]["what"] == "course"
    assert "run 1 comes to the loss of step 2" in result.verdict


def test_every_run_has_another_hash_seed_unless_one_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user: random hashes, except where the environment fixes them. Parameters and arrays are recorded."""
    for setting, expected in (("", [1, 2]), ("7", [7, 7])):
        monkeypatch.setenv("PYTHONHASHSEED", setting)
        study, runner = program(tmp_path, lambda job: Told(), repeats=2)
        Repeat().run(study)
        assert [job.controls.hash_seed for job in runner.jobs] == expected
        assert all(job.controls.fingerprints and job.controls.capture and job.controls.seed is None for job in runner.jobs)
        assert len({job.key() for job in runner.jobs}) == 2


def test_repeats_are_cut_down_to_the_budget_and_that_is_said(tmp_path: Path) -> None:
    """40 s a run and 130 s to spend: 2 of 5 runs; with 60 s none."""
    result = repeated(tmp_path, *[Told(seconds=40.0)] * 5, seconds=130.0)
    assert result.runs == 2 and "Cut down from 5 to 2 runs" in result.verdict
    result = repeated(tmp_path / "less", *[Told(seconds=40.0)] * 5, seconds=60.0)
    assert result.status == "skipped" and "2 runs are needed" in result.reason


def test_runs_that_do_not_start_are_a_failure_with_the_reason(tmp_path: Path) -> None:
    """No verdict without two runs."""

    def answer(job: Job) -> Told:
        return Told(status=Status.NOT_STARTED, reason="the disk is full") if job.repeat else Told()

    study, _ = program(tmp_path, answer, repeats=3)
    (result,) = Repeat().run(study)
    assert (result.status, result.reason) == ("failed", "the disk is full")


def test_programs_that_end_before_anything_happens_are_not_called_identical(tmp_path: Path) -> None:
    """Nothing was compared, so nothing is claimed: not by a first run that fails at once, nor by repeats that do."""

    def nothing(job: Job) -> Outcome:
        made = Run(tmp_path / f"run{job.repeat}", job).outcome(Status.FAILED)
        made.reason = "needs the package 'plotly', which is not installed"
        return made

    first = replace(study(nothing(JOB)), run=lambda jobs: [nothing(job) for job in jobs])
    (result,) = Repeat().run(first)
    assert result.status == "skipped" and "needs the package 'plotly'" in result.reason
    made, _ = program(tmp_path, lambda job: Told())
    (result,) = Repeat().run(replace(made, run=lambda jobs: [nothing(job) for job in jobs]))
    assert result.status == "failed" and "needs the package 'plotly'" in result.reason
