"""Notebooks: a real kernel, cell by cell, with places that are those of the analysed text."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mllint_bio import sources
from mllint_bio.observe.job import Guide, Limits, Outcome, Permissions, Status
from mllint_bio.observe.launch import run
from tests.observe.programs import fingerprint, job, notebook

pytest.importorskip("ipykernel", reason="ipykernel runs notebooks")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is tested on Linux")


def execute(folder: Path, *cells: str | tuple[str, list[str]], **options: object) -> Outcome:
    """Run a notebook of these cells."""
    notebook(folder / "analysis.ipynb", *cells)
    return run(job(folder, "analysis.ipynb", **options))  # type: ignore[arg-type]


def test_cells_run_in_order_and_show_their_values(tmp_path: Path) -> None:
    """Streams and last expressions are in the output; the kernel works in the notebook's folder."""
    (tmp_path / "helper.py").write_text("value = 42\n")
    outcome = execute(tmp_path, "x = 1\nprint('first')", "import helper\nx + helper.value", "x;", "", "import os; os.listdir()")
    assert outcome.status is Status.FINISHED, outcome.output
    assert outcome.output.splitlines()[:2] == ["first", "43"]
    assert "analysis.ipynb" in outcome.output


def test_a_failing_cell_ends_the_run_and_is_named(tmp_path: Path) -> None:
    """As in "run all": later cells do not run; the reason names cell and row, the line is that of the unit."""
    outcome = execute(tmp_path, "def f(x):\n    return 1 / x", "print('ok')", "\n\nf(0)", "print('never')")
    assert outcome.status is Status.FAILED
    assert outcome.reason == "ZeroDivisionError: division by zero at analysis.ipynb:cell 1:2"
    assert (outcome.path, outcome.line) == ("analysis.ipynb", 2)
    assert "never" not in outcome.output


def test_lines_are_those_of_the_unit(tmp_path: Path) -> None:
    """Blank lines in front, magics, `%%time`, and equal cells: the reported line holds the statement that failed."""
    failing = ["raise ValueError(1)", "\n\n  \nraise ValueError(2)", "%matplotlib --list\nraise ValueError(3)"]
    failing += [
        "%%time\n\nraise ValueError(4)",
        "raise ValueError(5)",
        "x = 1\nx = = 2",
    ]
    for index, cell in enumerate(failing):
        folder = tmp_path / str(index)
        folder.mkdir()
        outcome = execute(folder, "y = 1\n\nz = 2", "y = 1\n\nz = 2", cell)
        assert outcome.status is Status.FAILED, cell
        unit = sources.load(folder / "analysis.ipynb")
        line = unit.display.splitlines()[outcome.line - 1]
        assert line in (f"raise ValueError({index + 1})", "x = = 2"), (cell, outcome.reason)


def test_magics_work_and_shell_commands_are_refused_without_ending_the_run(tmp_path: Path) -> None:
    """`%time` and `%%capture` run; `!pip install` and `%%bash` are noted and the run goes on."""
    outcome = execute(
        tmp_path,
        "%time x = 1\n!pip install nothing\nfiles = !ls",
        "%%bash\ntouch made",
        "%pip install nothing",
        "%%capture out\n\nimport os\nprint('hidden')\nos.mkdir('/nowhere')",
        "print('end', files, out.stdout)",
    )
    assert outcome.status is Status.FINISHED, outcome.output
    assert "end [] hidden" in outcome.output
    assert outcome.refusals[-1].what == "making the folder /nowhere", "in Jupyter, too, an error under %%capture ends nothing"
    unit = sources.load(tmp_path / "analysis.ipynb")
    assert unit.display.splitlines()[outcome.refusals[-1].line - 1] == "os.mkdir('/nowhere')"
    assert {refusal.option for refusal in outcome.refusals[:-1]} == {"--allow-processes"}
    assert [refusal.what for refusal in outcome.refusals][:3] == [
        "starting the program 'pip install nothing'",
        "starting the program 'ls'",
        "starting the program 'touch made'",
    ]
    assert [(refusal.path, refusal.line) for refusal in outcome.refusals][:2] == [("analysis.ipynb", 2), ("analysis.ipynb", 3)]


def test_shell_commands_can_be_allowed(tmp_path: Path) -> None:
    """With the permission `!command` runs, in the copy."""
    outcome = execute(
        tmp_path, "!touch made && echo done", "import os\nos.path.exists('made')", permissions=Permissions(processes=True)
    )
    assert outcome.status is Status.FINISHED, outcome.output
    assert outcome.output.split() == ["done", "True"]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("cell", "status", "reason"),
    [
        ("input('Data set? ')", Status.FAILED, "asked for input at analysis.ipynb:cell 2:1"),
        ("import os; os._exit(3)", Status.FAILED, "exit status 3 at analysis.ipynb:cell 2:1"),
        ("import os; os.kill(os.getpid(), 9)", Status.KILLED, "ended by SIGKILL"),
        ("import sys; sys.exit(0)", Status.FINISHED, ""),
        ("exit()", Status.FINISHED, ""),
        (
            "import no_such_package",
            Status.FAILED,
            "needs the package 'no_such_package' at analysis.ipynb:cell 2:1, which is not installed",
        ),
    ],
)
def test_ways_out_of_a_notebook(tmp_path: Path, cell: str, status: Status, reason: str) -> None:
    """What ends a notebook is told as for a script, by its cell."""
    outcome = execute(tmp_path, "x = 1", cell, "print('never')")
    assert outcome.status is status, outcome.output
    assert outcome.reason.split(" (")[0].startswith(reason)
    assert bool(outcome.reason) == bool(reason)
    assert "never" not in outcome.output


def test_an_expected_error_is_no_end(tmp_path: Path) -> None:
    """A cell tagged `raises-exception` may fail; one tagged `skip-execution` does not run."""
    outcome = execute(tmp_path, ("1 / 0", ["raises-exception"]), ("1 / 0", ["skip-execution"]), "print('end')")
    assert (outcome.status, outcome.reason) == (Status.FINISHED, "")
    assert outcome.output.endswith("end\n")


def test_an_endless_cell_is_ended(tmp_path: Path) -> None:
    """Wall time holds for the kernel, and the cell is named."""
    outcome = execute(tmp_path, "x = 1", "while True:\n    x += 1", limits=Limits(seconds=6))
    assert outcome.status is Status.TIMEOUT
    assert outcome.reason.startswith("still running after 6 s at analysis.ipynb:cell 2:")


def test_marks_and_limits_hold_in_cells(tmp_path: Path) -> None:
    """Lines of the guide are lines of the unit; the value of a marked last expression is still shown."""
    guide = Guide(marks=(("analysis.ipynb", 6), ("analysis.ipynb", 7)), epochs=(("analysis.ipynb", 5),))
    cells = ("import math\n\ndone = 0", "%%time\nfor epoch in range(50):\n    done += 1\ndone")
    outcome = execute(tmp_path, *cells, guide=guide, limits=Limits(60, epochs=3))
    assert outcome.status is Status.FINISHED, outcome.output
    assert outcome.output.splitlines()[-1] == "3"
    counts = {tuple(figure["line"]): figure["count"] for figure in outcome.log.figures if figure["what"] == "mark"}
    assert counts == {("analysis.ipynb", 6): 3, ("analysis.ipynb", 7): 1}


def test_the_user_s_files_stay_as_they_are(tmp_path: Path) -> None:
    """What a notebook writes is written in the copy; elsewhere it is refused, and the kernel leaves nothing in the home."""
    cells = ("open('x.csv', 'w').write('1')", f"open({str(tmp_path / 'y.csv')!r}, 'w')")
    notebook(tmp_path / "analysis.ipynb", *cells)
    before = fingerprint(tmp_path)
    outcome = run(job(tmp_path, "analysis.ipynb"))
    assert outcome.status is Status.REFUSED
    assert [refusal.what for refusal in outcome.refusals] == [f"writing {tmp_path}/y.csv"]
    assert fingerprint(tmp_path) == before


def test_what_is_no_notebook(tmp_path: Path) -> None:
    """A missing file, broken JSON and an R notebook say so in one line."""
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "r.ipynb").write_text('{"cells": [], "metadata": {"kernelspec": {"language": "R", "name": "ir"}}, "nbformat": 4}')
    reasons = []
    for name in ("missing.ipynb", "broken.ipynb", "r.ipynb"):
        outcome = run(job(tmp_path, name))
        assert outcome.status is Status.NOT_STARTED, name
        reasons.append(outcome.reason)
    assert reasons[0] == "missing.ipynb does not exist"
    assert reasons[1].startswith("broken.ipynb is not valid JSON")
    assert reasons[2] == "R notebook: only Python is analysed"
