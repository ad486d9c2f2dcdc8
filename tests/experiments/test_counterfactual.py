"""Counterfactual: the program with the fix against the program as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mllint_bio import fix
from mllint_bio.diagnostics import Diagnostic, Place
from mllint_bio.experiments.counterfactual import Counterfactual
from mllint_bio.experiments.moved import Moved
from mllint_bio.experiments.results import Result
from mllint_bio.findings import Confidence, Edit, Severity
from mllint_bio.observe.job import Guide, Job, Outcome, Status
from mllint_bio.observe.log import Seen
from mllint_bio.sources import SourceUnit, load
from tests.experiments.programs import Told, program
from tests.experiments.studies import JOB, Run, study

TEXT = "scale(X)\nsplit(X)\nfit(X)\nscore(X)\n"
FIXED = "split(X)\nfitted = scale(X)\nfit(X)\nscore(X)\n"


def finding(code: str = "MLB706", row: int = 1) -> Diagnostic:
    """A finding at a line of the text."""
    start = sum(len(line) + 1 for line in TEXT.splitlines()[: row - 1])
    place = Place("train.py", None, row, 1, row, 5, start, start + 4)
    return Diagnostic(code, "name", Severity.ERROR, Confidence.CERTAIN, "message", place)


@pytest.fixture
def unit(tmp_path: Path) -> SourceUnit:
    """The program's source."""
    path = tmp_path / "train.py"
    path.write_text(TEXT)
    return load(path, "train.py")


@pytest.fixture
def remedy(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make the fixers answer with one that moves the scaling behind the split; `repeat` for one that seeds."""

    def answer(rerun: str) -> None:
        edits = (Edit("train.py", 0, len(TEXT), FIXED),)
        monkeypatch.setattr(fix, "fixes", lambda unit, diagnostic, others: fix.Remedy(diagnostic.code, "moved", edits, rerun))

    return answer


class Scored:
    """A program that scores 40 rows: as it is, it gets `own(seed)` of them right, with the fix `mended(seed)`."""

    def __init__(self, folder: Path, own: Callable[[int], int], mended: Callable[[int], int], rows: int = 40) -> None:
        self.folder, self.own, self.mended, self.rows = folder, own, mended, rows
        self.jobs: list[Job] = []
        self.other_rows = False
        self.predictions = True

    def outcome(self, job: Job) -> Outcome:
        edited = bool(job.controls.edits)
        run = Run(self.folder / f"run{len(self.jobs)}", job)
        run.log.rows = {1: {1: (1 << 200) - (1 << 100)}, 2: {1: (1 << 100) - 1}}
        model = run.subject("sklearn.svm.SVC")
        run.event("Fit", 3, subject=model, role="estimator", data=Seen(rows=1))
        seed = job.controls.seed or 0
        right = (self.mended if edited else self.own)(seed)
        truth = np.arange(self.rows) % 2
        prediction = np.where(np.arange(self.rows) < right, truth, 1 - truth)
        first = 50 if edited and self.other_rows else 0
        value = float(np.mean(truth == prediction))
        score = run.event("Score", 4, metric="accuracy_score", family="label", subject=model, data=Seen(rows=2), direction="up")
        tokens = (1 << 40) + first + np.arange(self.rows)
        if self.predictions:
            run.keep(score, "Score", truth=truth, prediction=prediction, rows=tokens)
        run.log.figures.append({"what": "score", "event": score, "value": value})
        return run.outcome()

    def __call__(self, jobs: Sequence[Job]) -> list[Outcome]:
        made = []
        for job in jobs:
            self.jobs.append(job)
            made.append(self.outcome(job))
        return made


def run_it(scored: Scored, unit: SourceUnit, *findings: Diagnostic, repeats: int = 5) -> tuple[Result, list[Result]]:
    """The summary over all findings and the results of the single ones."""
    made = study(scored.outcome(JOB), scored, repeats=repeats, resamples=400)
    made = replace(made, findings=findings or (finding(),), units={"train.py": unit})
    summary, *results = Counterfactual().run(made)
    for result in (summary, *results):
        json.dumps(result.figures, allow_nan=False)
    return summary, results


def test_a_fix_that_costs_accuracy_has_an_interval_that_excludes_zero(
    tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]
) -> None:
    """38 of 40 right as it is, 28 with the fix: the sentence of the issue, paired over the test rows."""
    remedy("paired")
    scored = Scored(tmp_path, lambda seed: 38, lambda seed: 28)
    summary, (result,) = run_it(scored, unit)
    assert result.verdict.startswith(
        "With the fix the test accuracy is 0.700 instead of 0.950 (difference −0.250, 95 % interval −0."
    )
    assert "no measurable effect" not in result.verdict
    figures = result.figures
    assert (figures["basis"], figures["rows"], figures["intervals"]) == ("rows", 40, 1)
    assert figures["interval"]["low"] < -0.25 < figures["interval"]["high"] < 0
    assert figures["measurable"] is True and figures["higher_is_better"] is True
    assert "-scale(X)" in figures["diff"] and figures["fix"] == "moved"
    assert (result.code, result.place) == ("MLB706", "train.py:1:1")
    assert summary.plots[0].kind == "interval" and summary.plots[0].mark == 0
    assert summary.code == "" and summary.figures["told"] == 1


def test_seeds_are_common_and_no_more_are_run_where_they_change_nothing(
    tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]
) -> None:
    """Two seeds with equal results end it: four runs, in pairs with the same seed and hash seed."""
    remedy("paired")
    scored = Scored(tmp_path, lambda seed: 38, lambda seed: 28)
    run_it(scored, unit)
    assert [(job.controls.seed, bool(job.controls.edits)) for job in scored.jobs] == [
        (0, False),
        (1, False),
        (0, True),
        (1, True),
    ]
    assert all(job.controls.hash_seed == 0 and job.controls.capture for job in scored.jobs)
    assert scored.jobs[2].controls.edits == (("train.py", FIXED),)


def test_a_small_change_is_no_measurable_effect(tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]) -> None:
    """One row of 40 and seeds that differ more than that: the interval holds zero."""
    remedy("paired")
    scored = Scored(tmp_path, lambda seed: 35 + seed, lambda seed: 36 + (seed * 3) % 5)
    _, (result,) = run_it(scored, unit)
    assert len(scored.jobs) == 10
    assert result.verdict.endswith("no measurable effect here.") and "(mean over 5 seeds)" in result.verdict
    assert result.figures["measurable"] is False
    assert result.figures["differences"] == pytest.approx([1 / 40, 3 / 40, 0, 2 / 40, -1 / 40])


def test_equal_predictions_are_said_to_be_equal(tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]) -> None:
    """No interval is counted where nothing changed."""
    remedy("paired")
    scored = Scored(tmp_path, lambda seed: 38, lambda seed: 38)
    (result,) = Counterfactual().run(replace(study(scored.outcome(JOB), scored), findings=(finding(),), units={"train.py": unit}))
    assert (
        result.verdict == "With the fix the test accuracy stays 0.950: every prediction is the same, no measurable effect here."
    )
    assert result.figures["intervals"] == 0 and result.figures["same_predictions"] is True


def test_other_test_rows_give_an_unpaired_interval(tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]) -> None:
    """Where the fix changes the scored rows, rows are drawn for each side and the interval is wider."""
    remedy("unpaired")
    paired = Scored(tmp_path / "paired", lambda seed: 38, lambda seed: 34)
    other = Scored(tmp_path / "other", lambda seed: 38, lambda seed: 34)
    other.other_rows = True
    widths = []
    for scored, basis in ((paired, "rows"), (other, "other rows")):
        _, (result,) = run_it(scored, unit)
        assert result.figures["basis"] == basis and result.figures["interval"]["paired"] is (basis == "rows")
        widths.append(result.figures["interval"]["high"] - result.figures["interval"]["low"])
    assert widths[1] > widths[0]


def test_without_predictions_the_seeds_carry_the_interval(
    tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]
) -> None:
    """Student's interval over differences of seeds; none if all seeds give the same."""
    remedy("paired")
    varying = Scored(tmp_path / "1", lambda seed: 30 + seed, lambda seed: 24 + seed % 2)
    varying.predictions = False
    _, (result,) = run_it(varying, unit)
    assert (result.figures["basis"], result.figures["rows"]) == ("seeds", 0)
    assert result.figures["interval"]["high"] < 0
    constant = Scored(tmp_path / "2", lambda seed: 30, lambda seed: 24)
    constant.predictions = False
    made = study(constant.outcome(JOB), constant, repeats=3)
    (result,) = Counterfactual().run(replace(made, findings=(finding(),), units={"train.py": unit}))
    assert "no interval: every seed gives the same figures" in result.verdict
    assert result.figures["intervals"] == 0 and result.figures["interval"]["low"] is None


def test_a_fix_of_randomness_is_judged_by_the_spread_of_plain_repeats(
    tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]
) -> None:
    """With a seed three runs agree, without it they do not; no seed is forced in either."""
    remedy("repeat")

    def answer(job: Job) -> Told:
        if job.controls.edits:
            return Told(value=0.75, line=4)
        return Told(split=0b11110000 if job.repeat % 2 else 0b11101000, value=0.5 + job.repeat / 10, line=4)

    made, runner = program(tmp_path / "runs", answer, repeats=3)
    (result,) = Counterfactual().run(replace(made, findings=(finding("MLB301"),), units={"train.py": unit}))
    json.dumps(result.figures, allow_nan=False)
    assert result.verdict == (
        "With the fix 3 runs are identical bit for bit: the test accuracy is 0.750 instead of 0.600 … 0.800."
    )
    assert result.figures["identical"] == {"before": False, "after": True}
    assert {job.controls.seed for job in runner.jobs} == {None}


def test_a_fixed_program_that_crashes_is_reported_with_its_reason(
    tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]
) -> None:
    """The edit broke the program: that is said, not an effect of 0."""
    remedy("paired")

    def answer(job: Job) -> Told:
        failed = Told(value=None, status=Status.FAILED, reason="NameError: name 'fitted' is not defined at train.py:2")
        return failed if job.controls.edits else Told(line=4)

    made, _ = program(tmp_path / "runs", answer, repeats=2)
    (result,) = Counterfactual().run(replace(made, findings=(finding(),), units={"train.py": unit}))
    assert result.status == "failed"
    assert result.reason == ("the program with the fix does not finish: NameError: name 'fitted' is not defined at train.py:2")


def test_programs_that_end_early_alike_are_compared_as_far_as_they_came(
    tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]
) -> None:
    """Both ask for input behind the score: the score is compared, and the end is told."""
    remedy("paired")

    def answer(job: Job) -> Told:
        right = (0, 1, 1, 1) if job.controls.edits else (0, 1, 0, 1)
        value = 1.0 if job.controls.edits else 0.75
        return Told(prediction=right, value=value, line=4, status=Status.FAILED, reason="asked for input at train.py:9")

    made, _ = program(tmp_path / "runs", answer, repeats=2)
    *_, result = Counterfactual().run(replace(made, findings=(finding(),), units={"train.py": unit}))
    assert result.verdict.startswith("With the fix the test accuracy is 1.000 instead of 0.750")
    assert result.verdict.endswith("Both programs end early (asked for input at train.py:9).")


def test_a_fix_for_gpus_is_not_tried_on_a_cpu(tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]) -> None:
    """Deterministic kernels change nothing where no GPU computes: no run is spent on them."""
    remedy("repeat")
    scored = Scored(tmp_path, lambda seed: 38, lambda seed: 38)
    made = replace(study(scored.outcome(JOB), scored), findings=(finding("MLB305"),), units={"train.py": unit})
    (result,) = Counterfactual().run(replace(made, decided_by={"MLB305": "cuda"}))
    assert (result.status, result.reason, scored.jobs) == ("skipped", "what it mends makes no difference on a CPU", [])


def test_a_program_that_did_nothing_is_not_mended(tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]) -> None:
    """What crashed before it split, trained or scored anything would crash again, with the fix and without it."""
    remedy("repeat")
    scored = Scored(tmp_path, lambda seed: 38, lambda seed: 38)
    first = replace(Run(tmp_path / "first").outcome(Status.FAILED), reason="FileNotFoundError: data.csv at train.py:1")
    (result,) = Counterfactual().run(replace(study(first, scored), findings=(finding(),), units={"train.py": unit}))
    assert (result.status, scored.jobs) == ("skipped", [])
    assert result.reason.endswith("(FileNotFoundError: data.csv at train.py:1)")


def test_a_finding_without_a_fix_is_skipped_with_the_reason(tmp_path: Path, unit: SourceUnit) -> None:
    """No remedy is known for this rule: nothing is run."""
    made, runner = program(tmp_path / "runs", lambda job: Told(line=4))
    (result,) = Counterfactual().run(replace(made, findings=(finding("MLB717"),), units={"train.py": unit}))
    assert result.status == "skipped" and "no mechanical fix" in result.reason
    assert (result.code, result.place) == ("MLB717", "train.py:1:1")
    assert runner.jobs == []


def test_the_budget_decides_how_many_seeds_are_tried(tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]) -> None:
    """50 s a run and one fix: 200 s bear two seeds of both programs, 90 s none."""
    remedy("paired")
    for seconds, jobs in ((210.0, 4), (90.0, 0)):
        made, runner = program(tmp_path / str(jobs), lambda job: Told(line=4, seconds=40.0), seconds=seconds, repeats=5)
        *_, result = Counterfactual().run(replace(made, findings=(finding(),), units={"train.py": unit}))
        assert len(runner.jobs) == jobs
        assert ("Cut down from 5 to 2 seeds" in result.verdict) if jobs else ("0 of 1 fixes could be tried" in result.reason)


def test_findings_with_one_and_the_same_fix_are_both_told(
    tmp_path: Path, unit: SourceUnit, remedy: Callable[[str], None]
) -> None:
    """A result for each; the summary shows both intervals and warns of chance."""
    remedy("paired")
    summary, results = run_it(Scored(tmp_path, lambda seed: 38, lambda seed: 28), unit, finding(), finding("MLB707"))
    assert [result.code for result in results] == ["MLB706", "MLB707"]
    assert len(summary.plots[0].series[0].y) == 2 and "one in twenty does so by chance" in summary.verdict


def test_lines_are_followed_into_the_edited_text() -> None:
    """Lines that stayed, that were moved and that were rewritten; marks keep their number and loops their limits."""
    before = "import a\nscale(X)\nfor e in range(3):\n    step()\nscore()\n"
    after = "import a\nimport b\nfor e in range(3):\n    step()\nfitted = scale(X)\nscore()\n"
    moved = Moved({"train.py": (before, after)})
    assert [moved(("train.py", line)) for line in (1, 3, 4, 5)] == [("train.py", line) for line in (1, 3, 4, 6)]
    assert moved(("other.py", 7)) == ("other.py", 7)
    guide = moved.guide(Guide(marks=(("train.py", 4), ("train.py", 5)), epochs=(("train.py", 3),)))
    assert guide.marks == (("train.py", 4), ("train.py", 6)) and guide.epochs == (("train.py", 3),)


def test_a_line_that_is_gone_has_no_new_place() -> None:
    """A deleted statement cannot be found again."""
    moved = Moved({"train.py": ("a = 1\nunlike_anything_else()\nb = 2\n", "a = 1\nb = 2\n")})
    assert moved(("train.py", 2)) is None
    assert moved(("train.py", 3)) == ("train.py", 2)
