"""The engine, over an interpreter whose findings are known beforehand."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mllint_bio import engine, workers
from mllint_bio.config import Settings, read_settings
from mllint_bio.diagnostics import Report
from mllint_bio.findings import Severity
from mllint_bio.sources import load_text
from tests import fake_predict
from tests.fake_predict import Broken, Fault, Graver, Guess, OfProject, ProgramsOnly, registry
from tests.render.samples import notebook


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fake interpreter, in an empty project."""
    monkeypatch.setattr(engine, "_predict", lambda: fake_predict)
    monkeypatch.chdir(tmp_path)


def run(text: str, *rules: type, path: str = "train.py", settings: Settings | None = None) -> Report:
    """Check one text."""
    unit = load_text(text, path)
    project = fake_predict.Project(Path())
    project.overlay(unit)
    return engine.check_units([unit], project, settings or Settings(), registry(*(rules or (Fault,))))


def check(*files: Path | str, rules: tuple[type, ...] = (Fault,), settings: Settings | None = None, jobs: int = 1) -> Report:
    """Check files."""
    return engine.check([Path(f) for f in files], lambda _: settings or Settings(), registry(*rules), jobs=jobs)


def write(**files: str) -> None:
    """Write Python files by stem."""
    for stem, text in files.items():
        Path(f"{stem}.py").write_text(text)


def lines(report: Report) -> list[str]:
    """Path, row and code of each finding."""
    return [f"{d.place.path}:{d.place.row} {d.code}" for d in report.diagnostics]


def test_places_and_evidence_are_rows_and_columns() -> None:
    """A finding comes out with its 1-based place, exclusive end, evidence and the rule's page."""
    (one,) = run("x\nfault 1\n").diagnostics
    assert (one.place.row, one.place.column, one.place.end_row, one.place.end_column) == (2, 1, 2, 8)
    assert (one.place.start, one.place.end) == (2, 9)
    assert [(text, place.row) for text, place in one.evidence] == [("first event", 2)]
    assert one.url.endswith("/tst101-plain-fault.html") and one.remedy == "remove it"


def test_places_in_notebooks_count_inside_the_cell() -> None:
    """In a notebook the cell is numbered over all cells and rows start anew in each."""
    (one,) = run(notebook(["# title", "x = 1", "y = 2\nfault = 3"]), path="nb.ipynb").diagnostics
    assert str(one.place) == "nb.ipynb:cell 3:2:1"


def test_gravest_then_surest_finding_of_a_rule_and_site_is_kept() -> None:
    """Several findings of one rule at one place become one, the gravest."""
    (one,) = run("fault\n", Graver).diagnostics
    assert (one.message, one.severity) == ("more", Severity.ERROR)


def test_order_is_path_offset_code() -> None:
    """Findings are sorted by path, then place, then code, whatever the order of rules and files."""
    write(b="fault\n\nfault\n", a="fault\n")
    report = check("b.py", "a.py", rules=(Graver, Fault))
    assert lines(report) == ["a.py:1 TST101", "a.py:1 TST201", "b.py:1 TST101", "b.py:1 TST201", "b.py:3 TST101", "b.py:3 TST201"]


def test_gates_of_rules() -> None:
    """A rule for programs is silent on functions without caller, and one that skips tests in tests."""
    assert lines(run("fault", ProgramsOnly)) == ["train.py:1 TST401"]
    assert lines(run("fault", ProgramsOnly, path="lib.py")) == []
    assert lines(run("fault", ProgramsOnly, path="test_it.py")) == []


def test_possible_findings_need_preview() -> None:
    """A finding that rests on words alone is shown with preview only."""
    assert lines(run("fault", Guess)) == []
    assert lines(run("fault", Guess, settings=Settings(preview=True))) == ["train.py:1 TST301"]


def test_selection_and_per_file_ignores() -> None:
    """Settings decide which rules run, for all files or for those that match a pattern."""
    assert lines(run("fault", Fault, Graver, settings=Settings(select=("TST2",)))) == ["train.py:1 TST201"]
    ignoring = Settings(per_file_ignores={"tr*.py": ("plain-fault",)})
    assert lines(run("fault", Fault, Graver, settings=ignoring)) == ["train.py:1 TST201"]


def test_least_severity() -> None:
    """Findings below the least severity are not shown."""
    assert lines(run("fault", Fault, Graver, settings=Settings(min_severity=Severity.ERROR))) == ["train.py:1 TST201"]


def test_suppression_on_the_line_and_in_the_file() -> None:
    """A comment hides findings of its codes on its line or in its file, and hidden ones are counted."""
    report = run("fault = 1  # mllint-bio: ignore[TST101] -- meant\nfault = 2\n", Fault, Graver)
    assert lines(report) == ["train.py:1 TST201", "train.py:2 TST101", "train.py:2 TST201"]
    assert report.suppressed == 1
    assert lines(run("# mllint-bio: ignore-file[TST1]\nfault = 1\nfault = 2\n")) == []


def test_suppression_anywhere_on_the_statement() -> None:
    """A comment on any line of the statement hides a finding inside it, but not one in the body of a compound statement."""
    assert lines(run("f(\n    fault,\n)  # mllint-bio: ignore[TST101]\n")) == []
    report = run("if x:  # mllint-bio: ignore[TST101]\n    fault\n")
    assert lines(report) == ["train.py:1 MLX001", "train.py:2 TST101"]


def test_unused_suppressions_are_reported_for_rules_that_ran() -> None:
    """An idle comment is an info finding; one for a rule that was not selected, or in a file that failed, is left alone."""
    idle = "x = 1  # mllint-bio: ignore[TST101]\n"
    (one,) = run(idle).diagnostics
    assert (one.code, one.severity, one.place.row, one.place.column) == ("MLX001", Severity.INFO, 1, 8)
    assert lines(run(idle, Fault, Graver, settings=Settings(select=("TST2", "MLX001")))) == []
    assert lines(run(idle, settings=Settings(ignore=("unused-suppression",)))) == []
    assert run(idle + "crash\n").diagnostics == ()


def test_failing_rule_is_an_internal_error_and_nothing_else_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """What a rule found before it failed, and other findings, are kept; the error names rule and file; the exit status is 2."""
    report = run("fault", Broken, Fault, settings=Settings(extend_select=("TST501",)))
    assert lines(report) == ["train.py:1 MLX002", "train.py:1 TST101", "train.py:1 TST501"]
    assert report.diagnostics[0].message == "rule TST501 failed on train.py: ZeroDivisionError: in the rule"
    assert engine.exit_status(report, Severity.ERROR) == 2
    assert capsys.readouterr() == ("", "")


def test_traceback_of_a_failing_rule_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    """With `verbose` the traceback goes to stderr."""
    unit = load_text("fault", "train.py")
    settings = Settings(select=("TST501",))
    project = fake_predict.Project(Path())
    project.overlay(unit)
    engine.check_units([unit], project, settings, registry(Broken), verbose=True)
    assert "ZeroDivisionError: in the rule" in capsys.readouterr().err


def test_file_that_fails_does_not_stop_the_others() -> None:
    """A file on which the interpreter fails is a problem with its name; the files of its batch are checked."""
    write(a="fault\n", b="crash\nfault\n", c="fault\n")
    report = check("a.py", "b.py", "c.py")
    assert lines(report) == ["a.py:1 TST101", "c.py:1 TST101"]
    assert [(p.path, p.code) for p in report.problems] == [("b.py", "crash")]
    assert (report.checked, report.failed) == (2, {"b.py"})
    assert engine.exit_status(report, Severity.WARNING) == 1


@pytest.mark.skipif(not hasattr(workers.signal, "setitimer"), reason="no CPU timer on this platform")
def test_file_that_hangs_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose analysis does not end is given up after the limit, and the rest is checked."""
    monkeypatch.setattr(workers, "BATCH_SECONDS", 0.1)
    monkeypatch.setattr(workers, "FILE_SECONDS", 0.0)
    write(a="fault\n", b="hang\n")
    report = check("a.py", "b.py")
    assert lines(report) == ["a.py:1 TST101"]
    assert [(p.path, p.code) for p in report.problems] == [("b.py", "timeout")]


def test_unreadable_file_is_a_problem_and_a_foreign_notebook_is_skipped() -> None:
    """Files that cannot be read count as failed; notebooks of other languages as skipped, with the reason."""
    Path("bad.py").write_bytes(b"x = '\xff'\n")
    Path("r.ipynb").write_text(notebook().replace('"python"', '"R"').replace("python3", "ir"))
    write(good="fault\n")
    report = check("bad.py", "r.ipynb", "good.py")
    assert (report.checked, report.failed) == (1, {"bad.py"})
    assert [path for path, _ in report.skipped] == ["r.ipynb"]
    assert lines(report) == ["good.py:1 TST101"]


def test_file_that_does_not_parse_is_not_checked_and_one_with_a_statement_left_out_is() -> None:
    """A syntax error fails the file; a statement that cannot be read is a problem of a file that is checked otherwise."""
    write(a="syntax error\n", b="left out\nfault\n")
    report = check("a.py", "b.py")
    assert (report.checked, report.failed, len(report.problems)) == (1, {"a.py"}, 2)
    assert lines(report) == ["b.py:2 TST101"]


def test_exit_status() -> None:
    """0 without findings of the bar, 1 with, 2 when nothing could be checked."""
    found = run("fault")
    assert engine.exit_status(found, Severity.WARNING) == 1
    assert engine.exit_status(found, Severity.ERROR) == 0
    assert engine.exit_status(run("x"), Severity.INFO) == 0
    assert engine.exit_status(run("crash"), Severity.INFO) == 2


def test_findings_in_helpers_are_shown_only_if_they_were_asked_for() -> None:
    """A program's findings in a helper file are dropped unless the helper is checked too; it is remembered as visited."""
    write(train="import lib\nfault\n", lib="fault\n")
    report = check("train.py")
    assert lines(report) == ["train.py:2 TST101"]
    assert report.visited == {"lib.py"}
    assert lines(check("train.py", "lib.py")) == ["lib.py:1 TST101", "train.py:2 TST101"]


def test_a_question_about_the_project_is_answered_once() -> None:
    """Of a rule that asks about the project, the first finding is shown; another project has its own."""
    for folder in ("one", "two"):
        Path(folder).mkdir()
        Path(folder, "pyproject.toml").touch()
        for name in ("a.py", "b.py"):
            Path(folder, name).write_text("fault\nfault\n")
    files = [Path(folder, name) for folder in ("one", "two") for name in ("b.py", "a.py")]
    assert lines(check(*files, rules=(OfProject,))) == ["one/a.py:1 TST601", "two/a.py:1 TST601"]
    assert lines(check(files[0], rules=(OfProject,))) == ["one/b.py:1 TST601"]


def test_functions_that_a_program_entered_are_not_checked_again() -> None:
    """The second phase knows what the first one entered, across batches."""
    write(train="import lib\n", lib="fault\n")
    (one,) = check("lib.py", "train.py").diagnostics
    assert one.message == "fault in a script"
    (one,) = check("lib.py").diagnostics
    assert one.message == "fault in a function"


def test_projects_have_their_own_settings() -> None:
    """Files are grouped by the nearest folder that looks like a project, and each group has its settings."""
    for name, body in (("one", "[tool.mllint-bio]\nignore = ['TST101']\n"), ("two", "")):
        Path(name).mkdir()
        Path(name, "pyproject.toml").write_text(body)
        Path(name, "train.py").write_text("fault\n")
    report = engine.check(
        [Path("one/train.py"), Path("two/train.py")], lambda root: read_settings(root / "pyproject.toml"), registry(Fault)
    )
    assert lines(report) == ["two/train.py:1 TST101"]


def test_link_is_checked_under_its_own_name() -> None:
    """A linked file that was asked for is reported under the name that was asked for."""
    Path("elsewhere").mkdir()
    Path("elsewhere/real.py").write_text("fault\n")
    Path("link.py").symlink_to("elsewhere/real.py")
    assert lines(check("link.py")) == ["link.py:1 TST101"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_file_whose_name_cannot_be_printed_is_checked() -> None:
    """A name that is no UTF-8 is shown with a replacement character, and its file is checked like any other."""
    odd = Path(os.fsdecode(b"odd\xff.py"))
    odd.write_text("fault\n")
    assert lines(check(odd)) == ["odd\ufffd.py:1 TST101"]


@pytest.mark.skipif(sys.platform != "linux", reason="the fake interpreter reaches workers by fork")
def test_processes_give_the_same_report() -> None:
    """Findings, order and problems do not depend on the number of processes."""
    write(**{f"f{n:02}": "x\n" * (n % 3) + "fault\n" for n in range(40)}, train="import lib\n", lib="fault\n", z="crash\n")
    files = sorted(p.name for p in Path().glob("*.py"))
    assert check(*files, rules=(Fault, Graver), jobs=3) == check(*files, rules=(Fault, Graver))


@pytest.mark.skipif(sys.platform != "linux", reason="the fake interpreter reaches workers by fork")
def test_death_of_a_worker_is_survived() -> None:
    """A file that kills its worker process is a problem; every other file is checked."""
    write(**{f"f{n:02}": "segfault\n" if n == 15 else "fault\n" for n in range(30)})
    report = check(*sorted(p.name for p in Path().glob("*.py")), jobs=2)
    assert len(report.diagnostics) == 29 and report.checked == 29
    assert [(p.path, p.code) for p in report.problems] == [("f15.py", "crash")]


def test_a_copy_without_git_is_one_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder, or the outermost folder below it with a README, is the root; a folder above it is not."""
    for folder in ("copies/study/scripts/old", "copies/bare/scripts"):
        (tmp_path / folder).mkdir(parents=True)
    for readme in ("copies/study/README.md", "copies/study/scripts/old/README.txt", "README.md"):
        (tmp_path / readme).touch()
    old, bare = tmp_path / "copies/study/scripts/old/train.py", tmp_path / "copies/bare/scripts/train.py"
    monkeypatch.chdir(tmp_path / "copies")
    assert engine.project_root(old) == str(tmp_path / "copies/study")
    monkeypatch.chdir(tmp_path / "copies/bare")
    assert engine.project_root(old) == str(old.parent)
    (tmp_path / "README.md").unlink()
    assert engine.project_root(old, [tmp_path / "copies"]) == str(tmp_path / "copies/study")
    assert engine.project_root(bare) == str(tmp_path / "copies/bare")
    monkeypatch.chdir(tmp_path / "copies/study")
    assert engine.project_root(bare, [tmp_path / "copies/bare"]) == str(tmp_path / "copies/bare")
    assert engine.project_root(bare) == str(bare.parent)
    (tmp_path / "copies/study/scripts/setup.py").touch()
    assert engine.project_root(old) == str(tmp_path / "copies/study/scripts")
