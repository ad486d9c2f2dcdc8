"""`mllint-bio check`, over an interpreter whose findings are known beforehand."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mllint_bio import cache, cli, config, engine
from mllint_bio.cli import registry as installed
from tests import fake_predict
from tests.fake_predict import Broken, Fault, Graver, Guess, registry


class Result(SimpleNamespace):
    """Exit status and the two outputs."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Runs the command line in an empty folder with its own cache."""
    monkeypatch.setattr(engine, "_predict", lambda: fake_predict)
    monkeypatch.setattr(installed, "registry", lambda: registry(Fault, Graver, Guess, Broken))
    monkeypatch.setattr(cache, "_installed_rules", lambda: iter(()))
    monkeypatch.setenv("MLLINT_BIO_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def call(*arguments: str) -> Result:
        config.forget()
        with pytest.raises(SystemExit) as exit_:
            cli.main(list(arguments))
        captured = capsys.readouterr()
        return Result(status=exit_.value.code, out=captured.out, err=captured.err)

    return call


def test_findings_are_shown_and_the_status_is_1(run) -> None:  # type: ignore[no-untyped-def]
    """The default is the current folder, the text format, a count at the end."""
    Path("train.py").write_text("fault\n")
    result = run("check", "--select", "TST1")
    assert result.status == 1
    assert result.out.startswith("train.py:1:1: TST101 [warning] fault in a script\n")
    assert result.out.endswith("Found 1 warning in 1 checked file.\n")
    assert result.err == ""


def test_clean_folder(run) -> None:  # type: ignore[no-untyped-def]
    """Nothing found is status 0 and says how many files were read."""
    Path("train.py").write_text("x = 1\n")
    assert (result := run("check")).status == 0
    assert result.out == "Nothing found in 1 checked file.\n"


def test_json_output_is_the_array_and_nothing_else(run) -> None:  # type: ignore[no-untyped-def]
    """Problems go to stderr as one line each; stdout stays parseable."""
    Path("a.py").write_text("fault\n")
    Path("b.py").write_bytes(b"\xff\n")
    result = run("check", "--select", "TST101", "--output-format", "json")
    assert [f["filename"] for f in json.loads(result.out)] == ["a.py"]
    assert result.err.startswith("b.py:1:1: error: ")
    assert result.status == 1


def test_selectors_take_lists_and_repetition(run) -> None:  # type: ignore[no-untyped-def]
    """Codes, prefixes, names and tips, separated by commas or repeated."""
    Path("a.py").write_text("fault\n")
    for arguments in (["--select", "TST101,TST2"], ["--select", "plain-fault", "--select", "tip2"], ["--ignore", "TST3"]):
        result = run("check", "--output-format", "concise", *arguments)
        assert [line.split()[1] for line in result.out.splitlines()] == ["TST101", "TST201"]


def test_unknown_selector_names_the_nearest(run) -> None:  # type: ignore[no-untyped-def]
    """A misspelt rule is wrong usage: one line, status 2."""
    Path("a.py").write_text("fault\n")
    result = run("check", "--select", "plain-falt")
    assert (result.status, result.out) == (2, "")
    assert result.err.count("\n") == 1 and "'plain-fault'" in result.err


def test_bar_of_failure(run) -> None:  # type: ignore[no-untyped-def]
    """Findings below --fail-on and --exit-zero are shown and do not fail."""
    Path("a.py").write_text("fault\n")
    assert run("check", "--select", "TST1", "--fail-on", "error").status == 0
    assert run("check", "--select", "TST1", "--exit-zero").status == 0
    assert run("check", "--select", "TST2", "--fail-on", "error").status == 1
    assert run("check", "--select", "TST1", "--min-severity", "error").status == 0


def test_internal_error_is_status_2_even_with_exit_zero(run) -> None:  # type: ignore[no-untyped-def]
    """A failing rule is never taken for a clean run, and no traceback is shown."""
    Path("a.py").write_text("fault\n")
    result = run("check", "--select", "TST501", "--exit-zero")
    assert result.status == 2 and "MLX002" in result.out and "Traceback" not in result.out + result.err


def test_preview(run) -> None:  # type: ignore[no-untyped-def]
    """Possible findings are shown with --preview."""
    Path("a.py").write_text("fault\n")
    assert run("check", "--select", "TST3").status == 0
    assert "TST301" in run("check", "--select", "TST3", "--preview").out


def test_statistics(run) -> None:  # type: ignore[no-untyped-def]
    """--statistics counts by rule instead of showing findings."""
    Path("a.py").write_text("fault\nfault\n")
    assert run("check", "--select", "TST1", "--statistics", "-q").out == "2  TST101  plain-fault  [warning]\n"


def test_show_files_and_exclude(run) -> None:  # type: ignore[no-untyped-def]
    """--show-files lists what would be checked, without what the options exclude."""
    for name in ("a.py", "b.py", "legacy/c.py", "nb.ipynb", "data.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("")
    result = run("check", "--show-files", "--extend-exclude", "legacy,b.py")
    assert (result.status, result.out.split()) == (0, ["a.py", "nb.ipynb"])


def test_missing_path_and_empty_folder_are_errors(run) -> None:  # type: ignore[no-untyped-def]
    """A path that is not there is wrong usage; success is never reported for a folder without Python."""
    result = run("check", "nowhere")
    assert result.status == 2 and result.err.startswith("nowhere:1:1: error: does not exist\n")
    Path("empty").mkdir()
    result = run("check", "empty")
    assert result.status == 2 and result.err.startswith("empty:1:1: error: no Python file")


def test_standard_input(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """`-` reads a program from standard input under the name that is given."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x\nfault\n")))
    result = run("check", "-", "--stdin-filename", "sub/train.py", "--select", "TST1", "--output-format", "concise")
    assert (result.status, result.out) == (1, "sub/train.py:2:1: TST101 [warning] fault in a script\n")


def test_settings_of_the_folder_and_of_a_named_file(run) -> None:  # type: ignore[no-untyped-def]
    """The nearest settings file counts unless --config names another; a wrong key is one line and status 2."""
    Path("a.py").write_text("fault\n")
    Path("mllint-bio.toml").write_text("select = ['TST2']\n")
    Path("other.toml").write_text("select = ['TST1']\n")
    assert "TST201" in run("check").out
    assert "TST101" in run("check", "--config", "other.toml").out
    Path("mllint-bio.toml").write_text("selct = []\n")
    result = run("check")
    assert result.status == 2 and result.err.count("\n") == 1 and "'select'" in result.err


def test_second_run_is_answered_from_the_cache(run) -> None:  # type: ignore[no-untyped-def]
    """An unchanged folder gives the same output without interpreting; a changed file or setting is interpreted anew."""
    Path("a.py").write_text("fault\n")
    os.utime("a.py", (1, 1))
    os.utime(".", (1, 1))
    first = run("check", "--select", "TST1", "-v")
    assert "result taken from" not in first.err
    second = run("check", "--select", "TST1", "-v")
    assert "result taken from" in second.err and second.out == first.out
    assert "result taken from" not in run("check", "--select", "TST1,TST2", "-v").err
    assert "result taken from" not in run("check", "--select", "TST1", "-v", "--no-cache").err
    Path("a.py").write_text("x = 1\n")
    assert run("check", "--select", "TST1", "-v").status == 0


def test_damaged_cache_is_one_warning(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A record that cannot be read is named once, and the check goes on."""
    Path("a.py").write_text("fault\n")
    os.utime("a.py", (1, 1))
    os.utime(".", (1, 1))
    run("check", "--select", "TST1")
    for damage in (b"{", b'{"files": 3}', b"\xff"):
        (record,) = (tmp_path / "cache").glob("*.json")
        record.write_bytes(damage)
        result = run("check", "--select", "TST1")
        assert result.status == 1 and result.err.count("warning") == 1 and "TST101" in result.out


def test_interruption(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """Ctrl-C ends the run with one line and status 130."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    Path("a.py").write_text("x\n")
    monkeypatch.setattr(engine, "check", interrupted)
    result = run("check")
    assert result.status == 130 and result.err.strip() == "mllint-bio: error: interrupted"


def test_fault_of_ours_is_one_line(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """An unforeseen error is one line and status 2, not a traceback."""
    monkeypatch.setattr(engine, "check", lambda *_, **__: 1 / 0)
    Path("a.py").write_text("x\n")
    result = run("check")
    assert result.status == 2 and result.err.count("\n") == 1 and "ZeroDivisionError" in result.err


def test_reader_that_leaves_early(tmp_path: Path) -> None:
    """A closed pipe ends the command without a message."""
    command = [sys.executable, "-m", "mllint_bio", "rules"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        result = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert result.stderr == ""
