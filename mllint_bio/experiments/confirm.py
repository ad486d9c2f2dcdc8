"""`confirm`: run the program, observe it, ask the rules again, do the experiments, conclude."""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from mllint_bio.events import Score
from mllint_bio.experiments import executors, plan, store
from mllint_bio.experiments.options import CannotStart, ConfirmOptions, Progress, Report
from mllint_bio.experiments.program import Program, read, relative
from mllint_bio.experiments.results import Confirmation, Result, Verdict
from mllint_bio.experiments.shown import Shown
from mllint_bio.experiments.study import Budget, Study
from mllint_bio.experiments.verdicts import Verdicts
from mllint_bio.observe import launch
from mllint_bio.observe.job import Command, Controls, Job, Outcome, Status
from mllint_bio.observe.observed import Observed, observe
from mllint_bio.rows import UNKNOWN, YES
from mllint_bio.rule import RegistryError, load_registry
from mllint_bio.trace import Trace

STARTED = 30.0  # seconds that the check of the device may take


def confirm(command: Command, options: ConfirmOptions, progress: Report = lambda told: None) -> Confirmation:
    """Run a program under observation and say what that means for its findings.

    Raises CannotStart with one line if there is nothing to run: no such file, no such device, a broken plugin.
    """
    path = _file(command)
    try:
        registry = load_registry()
    except RegistryError as error:
        raise CannotStart(str(error)) from error
    progress(Progress("reading the program"))
    program = read(command, path, options.settings, registry)
    problems = [problem for problem in program.units[_name(program)].problems if problem.cell is None]
    if problems and program.units[_name(program)].skipped:
        raise CannotStart(str(problems[0]))
    device = _device(options.device, uses_torch="torch" in program.trace.imports)
    job = Job(
        command,
        options.limits,
        options.permissions,
        Controls(device="cpu" if device == "cpu" else "auto", capture=True),
        program.guide(),
    )
    notes: list[str] = []
    kept = store.Store(store.content(Path(command.root), command), reuse=not options.fresh)
    with tempfile.TemporaryDirectory(prefix="mllint-bio-") as folder, kept:
        pool = executors.executor(
            options.executor, options.jobs, device, Path(folder) if options.executor != "slurm" else kept.folder
        )
        phase = Progress("observing the program", 1, 1)
        runs = store.Runs(
            pool,
            kept,
            tell=lambda told, seconds, line: progress(replace(phase, seconds=seconds)),
        )
        try:
            progress(phase)
            [first] = runs.run([job])
            if first.status is Status.NOT_STARTED:
                raise CannotStart(first.reason)
            observed = observe(first.log, program.trace, program.spans, finished=first.finished)
            results = _experiments(program, observed, first, pool, kept, options, device, progress)
            if options.keep:
                notes.append(f"The scratch copy of the first run is kept in {_keep(job)}.")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return _conclude(command, program, observed, first, results, notes, runs.reused)


def _name(program: Program) -> str:
    return relative(program.trace.path, program.command.root)


def _file(command: Command) -> Path:
    """The file that the command runs. Raises CannotStart."""
    if command.kind != "module":
        path = Path(command.folder, command.target)
        if not path.is_file():
            raise CannotStart(f"{command.target}: there is no such file")
        return path
    parts = command.target.split(".")
    for base in (Path(command.folder), *(Path(entry) for entry in sys.path if entry), Path(command.folder, "src")):
        for candidate in (base.joinpath(*parts).with_suffix(".py"), base.joinpath(*parts, "__main__.py")):
            if candidate.is_file():
                return candidate
    raise CannotStart(f"-m {command.target}: there is no such module in this folder or among the installed packages")


def _device(asked: str, *, uses_torch: bool) -> str:
    """cpu or cuda, as in effect. Raises CannotStart if CUDA was asked for and is not there."""
    if asked == "cpu" or (asked == "auto" and not (uses_torch and find_spec("torch"))):
        return "cpu"
    if find_spec("torch") is None:
        raise CannotStart("--device cuda: torch is not installed (pip install 'mllint-bio[dynamic]')")
    # In another folder: a `torch.py` of the user's must not run outside the sandbox.
    code = "import torch; print(torch.cuda.is_available(), torch.__version__, torch.version.cuda)"
    try:
        done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=STARTED, check=False)
        there, *versions = done.stdout.split()
    except (subprocess.TimeoutExpired, ValueError):
        there, versions = "False", ["?", "None"]
    if there == "True":
        return "cuda"
    if asked == "cuda":
        built = "was built without CUDA" if versions[-1:] == ["None"] else f"was built for CUDA {versions[-1]}"
        raise CannotStart(f"--device cuda: no CUDA device is available (torch {versions[0]} {built})")
    return "cpu"


def _experiments(
    program: Program,
    observed: Observed,
    first: Outcome,
    pool: executors.Pool,
    kept: store.Store,
    options: ConfirmOptions,
    device: str,
    progress: Report,
) -> list[Result]:
    """The results of all experiments that are wanted and have something to measure."""
    found = {finding.code for finding, _ in program.judge(observed.trace)} | {finding.code for finding in program.findings}
    names = plan.chosen(options.experiments, [rule for rule in program.rules if rule.code in found], device)
    if not names:
        return []
    state = {"phase": "", "done": 0, "all": 0}

    def finished(outcome: Outcome, done: int, total: int) -> None:
        progress(Progress(str(state["phase"]), done, total))

    runs = store.Runs(pool, kept, seconds=options.budget, finished=finished)
    study = Study(
        job=first.job,
        first=first,
        trace=observed.trace,
        findings=program.diagnostics,
        units=program.units,
        run=runs.run,
        budget=Budget(options.repeats, options.budget),
        device=device,
        progress=lambda text: progress(Progress(text)),
        event_of=observed.event_of,
        decided_by={rule.code: rule.confirmed_by for rule in program.rules},
    )
    results: list[Result] = []
    for name in names:
        one = plan.experiment(name)
        state["phase"] = one.title
        progress(Progress(one.title))
        started, executed = time.monotonic(), runs.executed
        try:
            reason = _reason(first, runs, one.applies(study))
            made = [] if reason else one.run(replace(study, budget=replace(study.budget, seconds=max(runs.remaining, 0.0))))
        except Exception as error:  # one experiment that fails must not take the others and the verdicts with it
            made, reason = [Result(one.name, one.title, "failed", reason=f"{type(error).__name__}: {error}")], ""
        if reason and (options.experiments is not None or name in ("repeat", "determinism", "tuned-baseline")):
            results.append(Result(one.name, one.title, "skipped", reason=reason))
        results += _with_cost(made, time.monotonic() - started, runs.executed - executed)
    return results


def _with_cost(made: Sequence[Result], seconds: float, executed: int) -> list[Result]:
    """The results of one experiment with what it cost: those that ran something share the time; a summary of them ran nothing."""
    ran = [one for one in made if one.runs] or [one for one in made if one.status == "done"] or list(made)
    alone = executed if len(ran) == 1 else 0
    return [
        replace(one, seconds=one.seconds or seconds / len(ran), runs=one.runs or alone) if one in ran else one for one in made
    ]


def _reason(first: Outcome, runs: store.Runs, reason: str) -> str:
    if reason:
        return reason
    if runs.remaining <= 0:
        return "the time for experiments is over (--budget)"
    if first.status is Status.TIMEOUT:
        return "the program did not end within its time limit (--max-seconds, --max-epochs)"
    return ""


def _conclude(
    command: Command,
    program: Program,
    observed: Observed,
    first: Outcome,
    results: Sequence[Result],
    notes: Sequence[str],
    reused: int,
) -> Confirmation:
    shown = Shown(program.units)
    judgements = [
        replace(one, figure=shown.text(one.figure), effect=shown.text(one.effect), measured=shown.all(one.measured))
        for one in Verdicts(program, observed, first, results).judgements()
    ]
    intervals = sum(int(result.figures.get("intervals", 0) or 0) for result in results)
    told = list(notes)
    if reused:
        told.append("The program was not run anew: it has not changed since an earlier run (--fresh runs it again).")
    failed = {figure["where"] for figure in first.log.figures if figure.get("what") == "probe-failed"}
    if failed:
        told.append(f"{len(failed)} probes failed and saw nothing: {', '.join(sorted(failed)[:5])}.")
    if first.finished and not any(record.kind in ("Fit", "Score", "Predict") for record in first.log.records):
        told.append("No training and no score was observed: the program uses libraries that are not observed, or trains nothing.")
    if any(one.verdict is Verdict.CONFIRMED for one in judgements) and not intervals and results:
        told.append("No confidence interval was computed.")
    return Confirmation(
        command=str(command),
        status=first.status.value,
        reason=shown.text(first.reason),
        seconds=first.seconds,
        judgements=tuple(judgements),
        results=tuple(shown.all(list(results))),
        refusals=tuple(_refusals(shown, first)),
        environment={"python": platform.python_version(), "machine": platform.machine(), **first.versions},
        scores=tuple(_scores(shown, observed, first)),
        intervals=intervals,
        notes=tuple(told),
    )


def _refusals(shown: Shown, first: Outcome) -> list[str]:
    lines = []
    for one in first.refusals:
        place = f" at {shown.place(one.path, one.line)}" if one.path else ""
        times = f" ({one.count} times)" if one.count > 1 else ""
        allow = f"; {one.option} allows it" if one.option else ""
        lines.append(f"refused: {one.what}{place}{times}{allow}")
    return lines


def _scores(shown_as: Shown, observed: Observed, first: Outcome) -> list[tuple[str, float, str, bool | None]]:
    """(metric, value, place, held out?) of every figure of merit, losses excepted, each place with its last value."""
    shown: dict[tuple[str, str], tuple[str, float, str, bool | None]] = {}
    for event in observed.trace.of(Score):
        number = observed.record_of.get(event.id)
        record = first.log.records[number] if number is not None else None
        value = record.fields.get("value") if record is not None else None
        if record is None or not isinstance(value, float) or event.family == "loss":
            continue
        place = shown_as.place(*record.line)
        shown[event.metric, place] = (event.metric, value, place, _held_out(observed.trace, event))
    return list(shown.values())


def _held_out(trace: Trace, score: Score) -> bool | None:
    """Whether the rows of a score were held out; None where the run cannot tell whether they are rows that it trained on."""
    if score.cross_validated:
        return True
    rows = score.data.rows
    learned = [score.fitted] if score.fitted.known else list(trace.training_rows)
    answers = {rows.overlap(those) for those in learned} if rows.known else set()
    if answers <= {UNKNOWN} or (YES not in answers and UNKNOWN in answers):
        return None
    return trace.held_out(score)


def _keep(job: Job) -> Path:
    """Run once more with the scratch copy left in place, and say where."""
    folder = Path(tempfile.mkdtemp(prefix="mllint-bio-kept-")) / "scratch"
    launch.run(job, keep=folder)
    return folder
