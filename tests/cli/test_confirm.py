"""`mllint-bio confirm` and `check --dynamic`, over a conductor that runs nothing and says what it was asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mllint_bio import cache, cli, config, engine
from mllint_bio.cli import confirm
from mllint_bio.cli import registry as installed
from mllint_bio.diagnostics import Diagnostic, Place
from mllint_bio.experiments.options import EXPERIMENTS, CannotStart, ConfirmOptions, Progress
from mllint_bio.experiments.results import Confirmation, Judgement, Verdict
from mllint_bio.findings import Confidence, Severity
from mllint_bio.observe.job import Command, Limits
from tests import fake_predict
from tests.cli.test_start import imported_by
from tests.fake_predict import Broken, Fault, Graver, Guess, registry
from tests.render.samples import notebook


def finding(path: str = "train.py", severity: Severity = Severity.WARNING, code: str = "TST101") -> Diagnostic:
    """The fault that the fake interpreter finds in line 1 of a file that says `fault`."""
    return Diagnostic(code, "plain-fault", severity, Confidence.CERTAIN, "fault in a script", Place(path, None, 1, 1, 1, 6, 0, 5))


def judged(verdict: Verdict, **more: Any) -> Confirmation:
    """A confirmation with one verdict."""
    one = Judgement(finding(**more), verdict, "3 of 5 rows are scored.", {"rows": 3})
    return Confirmation("train.py", "finished", seconds=1.0, judgements=(one,))


class Conductor:
    """Stands in for `mllint_bio.experiments.confirm.confirm`: keeps what it was asked and gives what it was told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Command, ConfirmOptions]] = []
        self.answer: Callable[[Command], Confirmation] = lambda command: Confirmation(str(command), "finished")

    def __call__(self, command: Command, options: ConfirmOptions, progress: Callable[[Progress], None]) -> Confirmation:
        self.asked.append((command, options))
        progress(Progress("observing the program"))
        progress(Progress("repeat", 2, 5, steps=12, loss=0.25))
        return self.answer(command)

    @property
    def command(self) -> Command:
        """The command of the only call."""
        return self.asked[-1][0]

    @property
    def options(self) -> ConfirmOptions:
        """The options of the only call."""
        return self.asked[-1][1]


@pytest.fixture
def conductor(monkeypatch: pytest.MonkeyPatch) -> Conductor:
    """The fake conductor, in place of the real one."""
    fake = Conductor()
    monkeypatch.setattr(confirm, "_confirm", lambda: fake)
    return fake


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], conductor: Conductor):  # type: ignore[no-untyped-def]
    """Runs the command line in a folder that holds one program."""
    monkeypatch.setattr(engine, "_predict", lambda: fake_predict)
    monkeypatch.setattr(installed, "registry", lambda: registry(Fault, Graver, Guess, Broken))
    monkeypatch.setattr(cache, "_installed_rules", lambda: iter(()))
    monkeypatch.setenv("MLLINT_BIO_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("train.py").write_text("print(1)\n")
    Path("setup.py").write_text("")

    def call(*arguments: str) -> SimpleNamespace:
        config.forget()
        with pytest.raises(SystemExit) as exit_:
            cli.main(list(arguments))
        captured = capsys.readouterr()
        return SimpleNamespace(status=exit_.value.code, out=captured.out, err=captured.err)

    return call


def refused(result: SimpleNamespace, said: str) -> None:
    """One line on stderr, nothing on stdout, status 2."""
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("mllint-bio: error: ") and result.err.count("\n") == 1 and said in result.err


# -- what is run ---------------------------------------------------------------------------------------------------------


def test_script_with_arguments(run, conductor: Conductor, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """What follows `--` reaches the program untouched, options and further `--` among it; the project is copied."""
    assert run("confirm", "train.py", "--", "--epochs", "1", "--", "-m", "x").status == 0
    here = os.path.realpath(tmp_path / "work")
    assert conductor.command == Command("script", "train.py", ("--epochs", "1", "--", "-m", "x"), here, here)


def test_module_is_found_without_being_imported(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """`-m pkg.train` names a file of this folder; its package is not executed."""
    Path("pkg").mkdir()
    Path("pkg/__init__.py").write_text("raise SystemExit('imported')\n")
    Path("pkg/train.py").write_text("print(1)\n")
    assert run("confirm", "-m", "pkg.train", "--", "--epochs", "1").status == 0
    assert (conductor.command.kind, conductor.command.target, conductor.command.arguments) == (
        "module", "pkg.train", ("--epochs", "1"),
    )  # fmt: skip
    refused(run("confirm", "-m", "pkg.tarin"), "no module pkg.tarin")
    refused(run("confirm", "-m", "pkg/train.py"), "no module name")


def test_notebook(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """A notebook is told by its ending."""
    Path("a.ipynb").write_text(notebook())
    assert run("confirm", "a.ipynb").status == 0
    assert conductor.command.kind == "notebook"


def test_script_in_a_subfolder_runs_from_here(run, conductor: Conductor, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """The working folder stays the user's; the project is the one that holds both."""
    Path("a/b").mkdir(parents=True)
    Path("a/b/go.py").write_text("print(1)\n")
    here = os.path.realpath(".")
    run("confirm", "a/b/go.py")
    assert conductor.command == Command("script", "a/b/go.py", (), here, here)
    monkeypatch.chdir("a")
    run("confirm", "b/go.py")
    assert conductor.command == Command("script", "b/go.py", (), os.path.join(here, "a"), here)


def test_a_project_of_its_own_below_this_folder(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """A program that lies in another project below the current folder still reads files relative to the current folder."""
    Path("other").mkdir()
    Path("other/setup.py").write_text("")
    Path("other/go.py").write_text("print(1)\n")
    run("confirm", "other/go.py")
    assert conductor.command.root == conductor.command.folder == os.path.realpath(".")


def test_script_outside_this_folder(run, conductor: Conductor, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A program that lies elsewhere is named by its whole path; the current folder's project is what is copied."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/go.py").write_text("print(1)\n")
    run("confirm", "../elsewhere/go.py")
    assert conductor.command.target == os.path.realpath(tmp_path / "elsewhere/go.py")
    assert conductor.command.root == os.path.realpath(".")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a script or notebook"),
        (["train.py", "-m", "pkg"], "not both"),
        (["nope.py"], "nope.py does not exist"),
        (["folder"], "folder is a folder"),
        (["bad.py"], "bad.py:2:5: syntax error"),
        (["latin.py"], "not valid utf-8"),
        (["bad.ipynb"], "bad.ipynb: "),
        (["train.py", "--epochs", "3"], "stands after `--`"),
        (["train.py", "data.csv"], "stands after `--`"),
        (["train.py", "--select", "TST9"], "no rule matches 'TST9'"),
        (["train.py", "--experiments", "repeet"], "did you mean 'repeat'?"),
        (["train.py", "--experiments", ","], "`none`"),
        (["train.py", "--repeats", "1"], "--repeats"),
        (["train.py", "--max-seconds", "0"], "--max-seconds"),
        (["train.py", "--max-memory", "lots"], "800M"),
        (["train.py", "--allow-write", "nope"], "nope is not a folder"),
        (["train.py", "--output", "folder"], "folder is a folder"),
        (["train.py", "--output", "nope/x.html"], "there is no folder"),
        (["train.py", "--output", "train.py"], "is the program itself"),
    ],
)
def test_what_cannot_be_run_is_one_line(run, conductor: Conductor, arguments: list[str], said: str) -> None:  # type: ignore[no-untyped-def]
    """A wrong command line or program is told before anything runs."""
    Path("folder").mkdir()
    Path("bad.py").write_text("x = 1\nx = (\n")
    Path("latin.py").write_bytes(b"# \xe9\n")
    Path("bad.ipynb").write_text("{")
    refused(run("confirm", *arguments), said)
    assert conductor.asked == [] and Path("train.py").read_text() == "print(1)\n"


def test_options_reach_the_conductor(run, conductor: Conductor, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Every option of the command line stands in the options of the conductor."""
    (tmp_path / "out").mkdir()
    run(
        "confirm", "train.py", "--select", "TST101", "--device", "cpu", "--max-seconds", "20", "--max-steps", "100",
        "--max-epochs", "2", "--max-memory", "1.5G",
        "--experiments", "overlap,repeat", "--repeats", "3", "--budget", "60", "--executor", "dask",
        "--jobs", "2", "--allow-write", str(tmp_path / "out"), "--allow-network", "--allow-processes", "--keep", "--fresh",
    )  # fmt: skip
    options = conductor.options
    assert options.limits == Limits(20.0, 100, 2, int(1.5 * 2**30))
    assert options.permissions.write == (os.path.realpath(tmp_path / "out"),)
    assert options.permissions.network and options.permissions.processes
    assert (options.device, options.repeats, options.budget, options.executor, options.jobs) == ("cpu", 3, 60.0, "dask", 2)
    assert options.experiments == ("repeat", "overlap") and options.keep and options.fresh
    assert options.settings.select == ("TST101",)


def test_defaults_are_those_of_the_options(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """The command line adds nothing of its own."""
    run("confirm", "train.py")
    assert replace(conductor.options, settings=ConfirmOptions().settings) == ConfirmOptions()


@pytest.mark.parametrize(("given", "meant"), [("all", EXPERIMENTS), ("none", ()), ("label_shuffle", ("label-shuffle",))])
def test_experiments_by_word(run, conductor: Conductor, given: str, meant: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    """All, none, and names with either dash."""
    run("confirm", "train.py", "--experiments", given)
    assert conductor.options.experiments == meant


# -- what comes out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "severity", "arguments", "status"),
    [
        (Verdict.CONFIRMED, Severity.WARNING, [], 1),
        (Verdict.OBSERVED, Severity.ERROR, [], 1),
        (Verdict.CONFIRMED, Severity.INFO, [], 0),
        (Verdict.CONFIRMED, Severity.INFO, ["--fail-on", "info"], 1),
        (Verdict.CONFIRMED, Severity.WARNING, ["--fail-on", "error"], 0),
        (Verdict.CONFIRMED, Severity.WARNING, ["--exit-zero"], 0),
        (Verdict.REFUTED, Severity.ERROR, [], 0),
        (Verdict.NOT_REACHED, Severity.ERROR, [], 0),
    ],
)
def test_exit_status(run, conductor: Conductor, verdict: Verdict, severity: Severity, arguments: list[str], status: int) -> None:  # type: ignore[no-untyped-def]
    """Faults that the run shows, at or above the severity, are status 1."""
    conductor.answer = lambda command: judged(verdict, severity=severity)
    assert run("confirm", "train.py", *arguments).status == status


def test_a_program_that_cannot_start_is_status_2(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """Both ways in which the conductor says so are one line, and --exit-zero does not hide them."""
    conductor.answer = lambda command: Confirmation("train.py", "not started", "confirm needs Linux or macOS")
    refused(run("confirm", "train.py", "--exit-zero"), "confirm needs Linux or macOS")

    def fail(command: Command) -> Confirmation:
        raise CannotStart("no notebook kernel is installed")

    conductor.answer = fail
    refused(run("confirm", "train.py"), "no notebook kernel is installed")


def test_text_shows_excerpts_of_the_program(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """The verdict stands with the line of the user's file, and nothing else is on either stream."""
    conductor.answer = lambda command: judged(Verdict.CONFIRMED)
    result = run("confirm", "train.py")
    assert "CONFIRMED TST101 [warning] train.py:1:1: fault in a script\n  |\n1 | print(1)\n  | ^^^^^\n  |\n" in result.out
    assert "  = measured: 3 of 5 rows are scored.\n" in result.out
    assert result.out.endswith("1 confirmed, 0 refuted, 0 not reached, 0 observed; 1 run, 1.0 s\n") and result.err == ""


def test_json_goes_to_stdout_and_nothing_else_does(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """The count goes to stderr, and not even there with --quiet."""
    conductor.answer = lambda command: judged(Verdict.CONFIRMED)
    result = run("confirm", "train.py", "--output-format", "json")
    assert json.loads(result.out)["findings"][0]["confirmation"]["verdict"] == "confirmed"
    assert "1 confirmed" in result.err
    assert run("confirm", "train.py", "--output-format", "json", "--quiet").err == ""


def test_html_is_a_file_in_this_folder(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """The default name, said on stderr; nothing else is left beside it."""
    before = set(os.listdir())
    result = run("confirm", "train.py", "--output-format", "html")
    assert set(os.listdir()) - before == {"mllint-bio-confirm.html"}
    assert Path("mllint-bio-confirm.html").read_text().startswith("<!DOCTYPE html>")
    assert "mllint-bio-confirm.html" in result.err and result.out == ""
    assert run("confirm", "train.py", "--output-format", "html", "--output", "-").out.startswith("<!DOCTYPE html>")


def test_output_replaces_a_file_as_a_whole(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """A link stays a link, the file's mode stays, and the old content is gone."""
    Path("real.json").write_text("old")
    Path("real.json").chmod(0o640)
    Path("link.json").symlink_to("real.json")
    run("confirm", "train.py", "--output-format", "json", "--output", "link.json")
    assert Path("link.json").is_symlink() and json.loads(Path("real.json").read_text())["format"] == 1
    assert Path("real.json").stat().st_mode & 0o777 == 0o640


def test_a_report_that_cannot_be_written_is_shown_instead(run, conductor: Conductor, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """What took long to measure is not lost: the verdicts go to stdout, the old file stays as it was."""
    Path("old.html").write_text("old")
    conductor.answer = lambda command: judged(Verdict.CONFIRMED)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    result = run("confirm", "train.py", "--output-format", "html", "--output", "old.html")
    assert result.status == 2 and "old.html cannot be written: No space left on device" in result.err
    assert "CONFIRMED TST101" in result.out
    assert Path("old.html").read_text() == "old" and not [name for name in os.listdir() if name.startswith(".old")]


def test_interruption_is_one_line(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """Ctrl-C ends with 130 and no traceback."""

    def interrupt(command: Command) -> Confirmation:
        raise KeyboardInterrupt

    conductor.answer = interrupt
    result = run("confirm", "train.py")
    assert (result.status, result.out, result.err.strip()) == (130, "", "mllint-bio: error: interrupted")


def test_progress_off_a_terminal(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """Nothing by default; with --verbose a line a phase and run."""
    assert run("confirm", "train.py").err == ""
    assert run("confirm", "train.py", "--verbose").err == ("mllint-bio: observing the program\nmllint-bio: repeat, run 2 of 5\n")


def test_progress_in_words() -> None:
    """Phase, run, its seconds, step and loss, as far as they are known."""
    assert confirm.described(Progress("repeat", 2, 5, 7.6, steps=12, loss=0.25)) == "repeat, run 2 of 5, 8 s, step 12, loss 0.25"
    assert confirm.described(Progress("observing [the] program")) == "observing [the] program"


def test_progress_on_a_terminal_leaves_nothing_behind(tmp_path: Path) -> None:
    """On a terminal a line comes and goes; the report is all that stays."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    code = (
        "from mllint_bio.cli.confirm import progress\n"
        "from mllint_bio.experiments.options import Progress\n"
        "with progress(False) as report:\n"
        "    report(Progress('label shuffle [1]', 2, 20))\n"
    )
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    child = subprocess.run([sys.executable, "-c", code], stderr=follower, env=environment, check=True, timeout=60)
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert child.returncode == 0
    assert "label shuffle [1], run 2 of 20" in shown and shown.rstrip().endswith("\x1b[2K")


@pytest.mark.parametrize("arguments", [["confirm", "--help"], ["confirm", "nope.py"]])
def test_help_and_refusals_import_nothing_heavy(arguments: list[str]) -> None:
    """Neither the interpreter nor rules nor rich are imported to show the help or to refuse a missing file."""
    assert imported_by(*arguments) == set()


# -- check --dynamic -----------------------------------------------------------------------------------------------------


def by_script(**answers: Confirmation) -> Callable[[Command], Confirmation]:
    """A confirmation for each script, by the name of the file."""
    return lambda command: answers[Path(command.target).stem]


def test_dynamic_runs_programs_with_findings_only(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """Of a folder, the programs that a finding names are run, once each and without experiments; libraries and tests are not."""
    Path("train.py").write_text("fault\nprint(1)\n")
    Path("clean.py").write_text("print(1)\n")
    Path("lib.py").write_text("fault = 1\n")
    Path("test_x.py").write_text("fault\nprint(1)\n")
    conductor.answer = by_script(train=judged(Verdict.CONFIRMED))
    result = run("check", "--select", "TST101", "--dynamic")
    assert [command.target for command, _ in conductor.asked] == ["train.py"]
    assert conductor.options.experiments == ()
    assert "1 | fault\n  | ^^^^^ first event\n  |\n  = CONFIRMED: 3 of 5 rows are scored.\n" in result.out
    assert result.out.endswith(
        "Ran 1 program; findings of 2 other files belong to no program that was run.\ntrain.py: finished: 1 confirmed\n"
    )
    assert result.status == 1


def test_dynamic_json_has_the_verdict(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """The key `confirmation` stands in the findings that a run judged, and only there."""
    Path("train.py").write_text("fault\nprint(1)\n")
    Path("lib.py").write_text("fault = 1\n")
    conductor.answer = by_script(train=judged(Verdict.CONFIRMED))
    found = {f["filename"]: f for f in json.loads(run("check", "--select", "TST101", "--dynamic", "--output-format", "json").out)}
    assert found["train.py"]["confirmation"] == {
        "verdict": "confirmed", "figure": "3 of 5 rows are scored.", "effect": None, "measured": {"rows": 3},
    }  # fmt: skip
    assert "confirmation" not in found["lib.py"]


def test_dynamic_concise(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """One line a finding, the verdict and the figure at its end."""
    Path("train.py").write_text("fault\nprint(1)\n")
    conductor.answer = by_script(train=judged(Verdict.NOT_REACHED))
    result = run("check", "--select", "TST101", "--dynamic", "--output-format", "concise")
    assert result.out == "train.py:1:1: TST101 [warning] fault in a script NOT REACHED: 3 of 5 rows are scored.\n"


def test_dynamic_refuted_findings_do_not_fail(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """What a run refutes is still shown but no longer counts; what it did not reach does."""
    Path("train.py").write_text("fault\nprint(1)\n")
    conductor.answer = by_script(train=judged(Verdict.REFUTED))
    result = run("check", "--select", "TST101", "--dynamic")
    assert result.status == 0 and "= REFUTED: " in result.out
    conductor.answer = by_script(train=judged(Verdict.NOT_REACHED))
    assert run("check", "--select", "TST101", "--dynamic").status == 1


def test_dynamic_adds_what_only_the_run_shows(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """An observed fault becomes a finding, in its place among the others."""
    Path("train.py").write_text("fault\nprint(1)\n")
    seen = Judgement(
        replace(finding(code="TST900"), message="rows overlap", place=Place("train.py", None, 2, 1, 2, 6, 6, 11)),
        Verdict.OBSERVED, "2 rows are in both parts.",
    )  # fmt: skip
    conductor.answer = by_script(train=Confirmation("train.py", "finished", judgements=(seen,)))
    result = run("check", "--select", "TST101", "--dynamic")
    assert "train.py:2:1: TST900 [warning] rows overlap" in result.out and "= OBSERVED: 2 rows are in both parts." in result.out
    assert "Found 2 warnings in" in result.out


def test_dynamic_goes_on_when_a_program_fails(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """How each program ended is said; the static findings of one that could not start stay as they are."""
    for name in ("a", "b"):
        Path(f"{name}.py").write_text("fault\nprint(1)\n")

    def answer(command: Command) -> Confirmation:
        if command.target == "a.py":
            raise CannotStart("no room for the scratch copy")
        return Confirmation("b.py", "failed", "ValueError: no data", refusals=("b.py:1 connects: --allow-network",))

    conductor.answer = answer
    result = run("check", "--select", "TST101", "--dynamic")
    assert result.out.endswith(
        "Ran 2 programs.\na.py: not run: no room for the scratch copy\n"
        "b.py: failed (ValueError: no data): nothing to judge; refused: b.py:1 connects: --allow-network\n"
    )
    assert "CONFIRMED" not in result.out and result.status == 1


def test_the_strongest_verdict_of_several_programs_counts(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """A fault of a shared module is confirmed if any program shows it."""
    for name in ("a", "b", "c"):
        Path(f"{name}.py").write_text("fault\nprint(1)\n")
    conductor.answer = by_script(
        a=judged(Verdict.REFUTED, path="a.py"),
        b=judged(Verdict.CONFIRMED, path="a.py"),
        c=judged(Verdict.NOT_REACHED, path="a.py"),
    )
    found = json.loads(run("check", "--select", "TST101", "--dynamic", "--output-format", "json").out)
    assert [f["confirmation"]["verdict"] for f in found if f["filename"] == "a.py"] == ["confirmed"]


def test_dynamic_does_not_run_standard_input(run, conductor: Conductor) -> None:  # type: ignore[no-untyped-def]
    """There is no file to run."""
    refused(run("check", "-", "--dynamic"), "standard input cannot be run")
