"""The installed command on real folders, in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / "fixtures" / "project"
MAIN = "from mllint_bio.cli import main\ntry:\n    main(sys.argv[1:])\nfinally:\n    "


def run(folder: Path, *arguments: str, report: str = "pass") -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder; `report` is a statement for the end, which may print to stderr."""
    environment = {**os.environ, "MLLINT_BIO_CACHE_DIR": str(folder.parent / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", f"import sys\n{MAIN}{report}\n", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_demonstration_project(folder: Path) -> None:
    """What the README shows: leakage found across files, with its evidence, and the test set that chose the epoch."""
    shutil.copytree(PROJECT, folder / "project")
    result = run(folder, "check", "project", "--output-format", "json")
    found = {(f["code"], Path(f["filename"]).name): f for f in json.loads(result.stdout)}
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert ("MLB706", "data.py") in found
    assert ("MLB703", "train.py") in found
    assert ("MLB301", "train.py") in found
    assert any(e["filename"].endswith("train.py") for e in found["MLB706", "data.py"]["evidence"])


def test_second_run_imports_nothing_heavy(folder: Path) -> None:
    """If nothing changed, neither LibCST nor astroid nor any rule is imported, and the output is the same."""
    shutil.copytree(PROJECT, folder / "project")
    old = [folder, *(folder / "project").rglob("*"), folder / "project"]
    for path in old:
        os.utime(path, (1, 1))
    heavy = ("libcst", "astroid", "mllint_bio_rules", "mllint_bio.rule", "rich")
    names = f"sys.stderr.write(' '.join(m for m in {heavy!r} if m in sys.modules))"
    cold = run(folder, "check", "project", "--quiet", report=names)
    warm = run(folder, "check", "project", "--quiet", report=names)
    assert "libcst" in cold.stderr and "mllint_bio_rules" in cold.stderr
    assert "astroid" not in cold.stderr  # the imports of plain projects need no finder
    assert warm.stderr == ""
    assert (warm.stdout, warm.returncode) == (cold.stdout, cold.returncode)


BAD = {
    "syntax.py": b"def f(:\n    pass\n",
    "python2.py": b"print 'hello'\n",
    "latin.py": b"name = '\xe9'\n",
    "nul.py": b"x = 1\0\n",
    "generated.py": b"x = 1\n" * 900_000,
    "nested.py": b"import torch\nx = " + b"(" * 1500 + b"1" + b")" * 1500 + b"\n",
    "chain.py": b"import torch\nx = y" + b".f()" * 3000 + b"\n",
    "notebook.ipynb": b"{",
    "sum.py": b"import torch\nx = " + b" + ".join([b"a"] * 400) + b"\n",
    "empty.py": b"",
}
FINE = {"sum.py", "empty.py"}


def test_bad_input_is_one_line_each_and_the_rest_is_checked(folder: Path) -> None:
    """Whatever a file holds, there is no traceback, every bad file is named once, and the good one beside it is checked."""
    for name, data in BAD.items():
        (folder / name).write_bytes(data)
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.py").symlink_to("nowhere.py")
    shutil.copy(PROJECT / "data.py", folder / "good.py")
    result = run(folder, "check", "--output-format", "concise")
    assert "Traceback" not in result.stdout + result.stderr
    *errors, found, failed = result.stderr.splitlines()
    assert {line.split(":", 1)[0] for line in errors} >= {name for name in BAD if name not in FINE}
    assert all(": error: " in line for line in errors)
    assert found.startswith(("Found ", "Nothing found"))
    assert failed.endswith("files could not be checked.")
    assert result.returncode in (0, 1)


@pytest.mark.parametrize("name", sorted(set(BAD) - FINE - {"chain.py"}))
def test_only_a_bad_file_is_status_2(folder: Path, name: str) -> None:
    """If nothing could be checked, the run has not succeeded."""
    (folder / name).write_bytes(BAD[name])
    result = run(folder, "check", name)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"{name}:") and ": error: " in result.stderr


def test_trace_of_a_program(folder: Path) -> None:
    """`trace` lists the events of a program in order, with places, as text and as JSON."""
    shutil.copytree(PROJECT, folder / "project")
    listed = run(folder, "trace", "project/train.py")
    assert listed.returncode == 0 and listed.stdout.startswith("script in project/train.py: ")
    (one,) = json.loads(run(folder, "trace", "project/train.py", "--output-format", "json").stdout)
    kinds = [event["event"] for event in one["events"]]
    assert kinds.index("Load") < kinds.index("Fit") < kinds.index("Split") < kinds.index("Score")
