"""The runnable programs of `fixtures/runnable`: each runs to its end, and `check` says of it what `expected.toml` says.

Programs run in a copy of their folder, one after another, each in a process of its own that is forked from one that has
imported the libraries already: importing torch takes longer than most of the programs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

from mllint_bio import config
from mllint_bio.cli import main
from mllint_bio.experiments.results import Verdict

FOLDER = Path(__file__).parent.parent.parent / "fixtures" / "runnable"
EXPECTED: dict[str, dict[str, Any]] = tomli.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))
PROGRAMS = [(name, side) for name in EXPECTED for side in ("faulty", "repaired")]
TITLES = [f"{name}-{side}" for name, side in PROGRAMS]
SECONDS = 120  # bound of one program; on a machine at rest each takes less than five

RUNNER = """
import asyncio, importlib, json, os, runpy, signal, sys

for name in ("numpy", "pandas", "sklearn.ensemble", "sklearn.model_selection", "sklearn.svm", "torch"):
    if importlib.util.find_spec(name.split(".")[0]):
        importlib.import_module(name)


def run(folder, kind, target):
    os.chdir(folder)
    sys.argv = [target]
    sys.path.insert(0, folder)
    if kind == "notebook":
        import nbclient, nbformat

        notebook = nbformat.read(target, 4)
        nbclient.NotebookClient(notebook, timeout=SECONDS).execute()
        print(*(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])))
    elif kind == "module":
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(target, run_name="__main__")


for number, (folder, kind, target) in enumerate(json.load(sys.stdin)):
    child = os.fork()
    if not child:
        with open(f"{number}.out", "wb") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        signal.alarm(SECONDS)
        try:
            run(folder, kind, target)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitpid(child, 0)[1], flush=True)
""".replace("SECONDS", str(SECONDS))


def missing(name: str) -> list[str]:
    """Packages that this program needs and that are not installed."""
    needed = ["sklearn", "pandas", *EXPECTED[name].get("needs", ())]
    return [package for package in needed if importlib.util.find_spec(package) is None]


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, with a hash of what it holds."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[int, str]]:
    """Exit status and output of every program that can run here; none of them wrote into its folder."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    copy = tmp_path_factory.mktemp("runnable") / "programs"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = contents(copy)
    ready = [(name, side) for name, side in PROGRAMS if not missing(name)]
    jobs = [(str(copy / name), EXPECTED[name]["kind"], EXPECTED[name][side]) for name, side in ready]
    outputs = tmp_path_factory.mktemp("outputs")
    done = subprocess.run(
        [sys.executable, "-B", "-W", "ignore", "-c", RUNNER],
        input=json.dumps(jobs),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=outputs,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert contents(copy) == before
    texts = [(outputs / f"{number}.out").read_text(encoding="utf-8", errors="replace") for number in range(len(jobs))]
    return {key: (int(status), text) for key, status, text in zip(ready, done.stdout.split(), texts, strict=True)}


@pytest.mark.parametrize(("name", "side"), PROGRAMS, ids=TITLES)
def test_runs_to_its_end(name: str, side: str, runs: dict[tuple[str, str], tuple[int, str]]) -> None:
    """The program ends without error and prints a figure."""
    if absent := missing(name):
        pytest.skip(f"needs {', '.join(absent)}")
    status, output = runs[name, side]
    assert status == 0, output
    assert any(character.isdigit() for character in output)


@pytest.mark.parametrize(("name", "side"), PROGRAMS, ids=TITLES)
def test_what_check_finds(
    name: str, side: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The planted fault and what has the same cause is all that is found in the faulty program, nothing in the repaired one."""
    expected = EXPECTED[name]
    project = tmp_path / "project"  # without the twin: a seed or a baseline of the one must not count for the other
    twin = {"faulty": "repaired", "repaired": "faulty"}[side]
    shutil.copytree(FOLDER / name, project, ignore=shutil.ignore_patterns("__pycache__", twin, f"{twin}.*"))
    monkeypatch.chdir(project)
    config.forget()
    target = side if expected["kind"] == "module" else expected[side]
    with pytest.raises(SystemExit):
        main(["check", "--no-cache", "--jobs", "1", "--output-format", "json", target])
    found = {
        (
            item["code"],
            Path(item["filename"]).resolve().relative_to(project.resolve()).as_posix(),
            item["cell"],
            item["location"]["row"],
        )
        for item in json.loads(capsys.readouterr().out)
        if item["severity"] != "info"
    }
    wanted = set()
    if side == "faulty" and expected.get("static", True):
        causes = [expected, *(other for other in expected.get("also", ()) if other["severity"] != "info")]
        wanted = {(one["code"], expected["file"], expected.get("cell"), one["line"]) for one in causes}
    assert found == wanted


def test_all_programs_are_listed() -> None:
    """Every folder has a table, and every table a folder with both programs."""
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(EXPECTED)
    for name, side in PROGRAMS:
        program = EXPECTED[name][side]
        parts = program.split(".") if EXPECTED[name]["kind"] == "module" else [program]
        path = FOLDER.joinpath(name, *parts)
        assert (path.with_suffix(".py") if len(parts) > 1 else path).is_file()


@pytest.mark.parametrize("name", EXPECTED)
def test_table_is_well_formed(name: str) -> None:
    """A table says all that a judge of `confirm` needs, and points at a line that is there."""
    expected = EXPECTED[name]
    known = {"kind", "faulty", "repaired", "code", "file", "line", "verdict", "rests_on", "clean"}
    assert known <= set(expected) <= known | {"needs", "cell", "static", "also"}
    assert expected["kind"] in ("script", "notebook", "module")
    assert expected["clean"] is True
    assert expected["rests_on"]
    verdicts = {verdict.value for verdict in Verdict}
    assert {expected["verdict"], *(other["verdict"] for other in expected.get("also", ()))} <= verdicts
    assert (expected["verdict"] == Verdict.OBSERVED.value) == (expected.get("static", True) is False)
    text = (FOLDER / name / expected["file"]).read_text(encoding="utf-8")
    if expected["kind"] == "notebook":
        text = "".join(json.loads(text)["cells"][expected["cell"] - 1]["source"])
    assert text.splitlines()[expected["line"] - 1].strip()


def test_programs_of_every_verdict() -> None:
    """There are at least thirty programs, and each verdict is expected of several of them."""
    verdicts = [expected["verdict"] for expected in EXPECTED.values()]
    assert len(verdicts) >= 30
    assert min(verdicts.count(verdict.value) for verdict in Verdict) >= 3
