"""The parent: outcomes are complete, whatever the child leaves."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mllint_bio.observe.job import Controls, Limits, Status
from mllint_bio.observe.launch import _Tail, run
from tests.observe.programs import execute, job

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is tested on Linux")


def test_a_finished_run(tmp_path: Path) -> None:
    """Status, output, versions and log of a program that just works."""
    outcome = execute(tmp_path, "import sys\nprint('out')\nprint('err', file=sys.stderr)\n")
    assert outcome.finished and outcome.exit_code == 0 and outcome.reason == ""
    assert outcome.output == "out\nerr\n"
    assert outcome.versions["python"] == sys.version.split()[0]
    assert outcome.log.start["command"] == "train.py" and outcome.log.end["status"] == "finished"
    assert outcome.arrays == "" and outcome.folder() is None


def test_edits_are_made_in_the_copy_only(tmp_path: Path) -> None:
    """`Controls.edits` replace files of the copy, or add some."""
    edits = (("train.py", "import extra\nprint('edited', extra.x)\n"), ("extra.py", "x = 'é'\n"))
    outcome = execute(tmp_path, "print('original')\n", controls=Controls(edits=edits))
    assert outcome.output == "edited é\n"
    assert (tmp_path / "train.py").read_text() == "print('original')\n"
    assert not (tmp_path / "extra.py").exists()


def test_keep_and_progress(tmp_path: Path) -> None:
    """`keep` receives the scratch folder; progress tells time and the last line of output."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text(
        "import time\nopen('out.txt', 'w').write('1')\nprint('epoch 1', flush=True)\ntime.sleep(1)\n"
    )
    told: list[tuple[float, str]] = []
    outcome = run(job(project), progress=lambda *state: told.append(state), keep=tmp_path / "kept")
    assert outcome.finished
    assert (tmp_path / "kept" / "project" / "project" / "out.txt").read_text() == "1"
    assert (tmp_path / "kept" / "log").exists()
    assert told[-1][1] == "epoch 1" and told[-1][0] > told[0][0] >= 0
    assert not (project / "out.txt").exists()


def test_captured_arrays_outlive_the_scratch_folder(tmp_path: Path) -> None:
    """Arrays go where the caller says."""
    pytest.importorskip("sklearn")
    program = """
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        X, y = load_iris(return_X_y=True)
        LogisticRegression(max_iter=1000).fit(X, y)
    """
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("\n".join(line.strip() for line in program.strip().splitlines()))
    outcome = run(job(project, controls=Controls(capture=True)), arrays=tmp_path / "arrays")
    assert outcome.finished, outcome.output
    assert outcome.folder() == tmp_path / "arrays"
    index = json.loads((tmp_path / "arrays" / "index.json").read_text())
    assert [entry["kind"] for entry in index] == ["Fit"]
    assert (tmp_path / "arrays" / index[0]["X"]).exists()


def test_runs_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each ends only what belongs to it."""
    (tmp_path / "train.py").write_text("import sys, time\ntime.sleep(float(sys.argv[1]))\nprint('done', sys.argv[1])\n")
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda seconds: run(job(tmp_path, "train.py", seconds)), ["0", "1.5"]))
    assert [outcome.output for outcome in outcomes] == ["done 0\n", "done 1.5\n"]


def test_what_was_observed_before_the_end_counts(tmp_path: Path) -> None:
    """A program that dies later leaves the events until then."""
    pytest.importorskip("sklearn")
    program = """
        import os
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        X, y = load_iris(return_X_y=True)
        LogisticRegression(max_iter=1000).fit(X, y)
        os.kill(os.getpid(), 9)
    """
    outcome = execute(tmp_path, program)
    assert outcome.status is Status.KILLED
    finished = execute(tmp_path, program.replace("os.kill(os.getpid(), 9)", "os._exit(0)"))
    assert finished.status is Status.FINISHED
    assert any(record.kind == "Fit" for record in finished.log.records)


def test_time_beyond_the_limit_gives_the_last_line_that_was_seen(tmp_path: Path) -> None:
    """A program that hangs in a lock is told by the line that waits."""
    program = "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()\n"
    outcome = execute(tmp_path, program, limits=Limits(seconds=2))
    assert (outcome.status, outcome.reason) == (Status.TIMEOUT, "still running after 2 s at train.py:4")
    assert outcome.exit_code is None


def test_the_tail_of_a_stream_is_bounded() -> None:
    """However much is written, memory holds the end only."""
    import os

    reading, writing = os.pipe()
    tail = _Tail()
    reader = threading.Thread(target=tail.read, args=(reading,))
    reader.start()
    with os.fdopen(writing, "w") as stream:
        for number in range(200_000):
            stream.write(f"line {number}\n")
    reader.join()
    os.close(reading)
    assert tail.text().endswith("line 199999\n") and len(tail.text()) == 20_000
    assert tail.last_line() == "line 199999"
    assert tail._size < 200_000
