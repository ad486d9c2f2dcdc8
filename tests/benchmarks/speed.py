"""Speed and memory as ratios taken in one run: `python -m tests.benchmarks.speed PATH...` prints Markdown tables.

Each PATH is a repository, or a folder of repositories. CPU time is user and system time of the whole process with its children; a
ratio compares two such times of the same files on the same machine, minutes apart. Other linters are measured where their
programs are named: `--pylint`, `--fixit`, `--torchfix` (torchfix needs an environment of its own, with an older LibCST), on the
Python files of `--compare-on`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks import trees
from tests.benchmarks.measure import ENVIRONMENT, MLLINT, best, run, table

CHECK = (*MLLINT, "check", "--quiet", "--exit-zero", "--output-format", "concise")
COLD = (*CHECK, "--no-cache", "--jobs", "1")


def main() -> None:
    """Measure what was asked for and print each table when it is ready."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    parser.add_argument("--times", type=int, default=2, help="runs of each command, of which the cheapest counts (default: 2)")
    parser.add_argument("--lines", type=int, default=100_000, help="size of the tree for the memory table (default: 100000)")
    parser.add_argument("--compare-on", type=Path, action="append", default=[], help="repository to run other linters on")
    for tool in TOOLS:
        parser.add_argument(f"--{tool}", help=f"program to run as {tool}")
    parser.add_argument("--only", choices=TABLES, action="append", help="print only this table")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs\n", flush=True)
    for name, measure in TABLES.items():
        if not options.only or name in options.only:
            print(f"{measure.__doc__}\n\n{measure(options)}\n", flush=True)


def files_of(folder: Path) -> list[str]:
    """What `check` would look at, relative to the folder."""
    return run([*MLLINT, "check", ".", "--show-files"], folder).output.splitlines()


def parsing(folder: Path, files: Sequence[str], *flags: str) -> dict[str, float]:
    """What bare LibCST needs for these files."""
    command = [sys.executable, "-m", "tests.benchmarks.parse", *flags]
    environment = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(
        command, cwd=folder, input="\n".join(files), capture_output=True, text=True, check=True, env=environment
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def start(times: int) -> float:
    """CPU seconds of checking one file that needs no analysis."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "one.py").write_text("print(1)\n")
        return best([*COLD, "."], times, folder=Path(folder)).cpu


def cold(options: argparse.Namespace) -> str:
    """Cold check (one process, no cache) against bare `libcst.parse_module` of the same files, in CPU seconds."""
    rows = []
    for path in options.paths:
        files = files_of(path)
        bare = min((parsing(path, files) for _ in range(options.times)), key=lambda p: p["cpu"])
        tuned = parsing(path, files, "--tuned")
        checked = best([*COLD, "."], options.times, folder=path)
        rows.append(
            [
                path.name,
                len(files),
                int(bare["lines"]),
                checked.cpu,
                bare["cpu"],
                checked.cpu / bare["cpu"],
                checked.cpu / tuned["cpu"],
            ]
        )
    head = ["repository", "files", "lines", "check", "LibCST", "ratio", "ratio, tuned collector"]
    return table(head, rows)


def ordinary(options: argparse.Namespace) -> str:
    """Code that trains nothing: packages of the standard library, in CPU seconds; "net" leaves out the start of the program."""
    begin = start(options.times)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        trees.ordinary(folder)
        files = files_of(folder)
        bare = min((parsing(folder, files) for _ in range(options.times)), key=lambda p: p["cpu"])
        checked = best([*COLD, "."], options.times, folder=folder).cpu
    row = [str(len(files)), int(bare["lines"]), checked, bare["cpu"], checked / bare["cpu"], (checked - begin) / bare["cpu"]]
    return table(["files", "lines", "check", "LibCST", "ratio", "net ratio"], [row])


def warm(options: argparse.Namespace) -> str:
    """The second run of an unchanged repository, in CPU seconds."""
    rows = []
    for path in options.paths:
        with tempfile.TemporaryDirectory() as cache:
            setting = {"MLLINT_BIO_CACHE_DIR": cache}
            first = run([*CHECK, "--jobs", "1", "."], path, setting).cpu
            again = best([*CHECK, "--jobs", "1", "."], options.times, folder=path, environment=setting).cpu
        rows.append([path.name, first, again, first / again])
    return table(["repository", "first run", "second run", "ratio"], rows)


def memory(options: argparse.Namespace) -> str:
    """Peak memory in MB on a tree of which half trains models and half is ordinary code."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lines = trees.training(folder / "training", options.lines // 2) + trees.ordinary(folder / "ordinary", options.lines // 2)
        (folder / "pyproject.toml").write_text("")
        rows = []
        for jobs in (1, 2):
            used = run([*CHECK, "--no-cache", "--jobs", str(jobs), "."], folder, watch=True)
            rows.append([f"--jobs {jobs}", lines, used.cpu, used.peak, used.together])
    return table(["run", "lines", "CPU seconds", "largest process", "all processes"], rows)


def beginning(options: argparse.Namespace) -> str:
    """`--version` against bare Python, in CPU milliseconds (median of 15)."""
    rows = []
    bare = statistics.median(run([sys.executable, "-c", "pass"]).cpu for _ in range(15)) * 1000
    for words in (["--version"], ["--help"], ["rule", "MLB706"]):
        used = statistics.median(run([*MLLINT, *words]).cpu for _ in range(15)) * 1000
        rows.append([" ".join(words), used, bare, used - bare])
    return table(["command", "mllint-bio", "python -c pass", "more"], rows)


def keystroke(options: argparse.Namespace) -> str:
    """One analysis after a keystroke in a file of 1,000 lines, project and rules at hand, in CPU milliseconds."""
    done = run([sys.executable, "-m", "tests.benchmarks.keystroke"])
    found = json.loads(done.output.splitlines()[-1])
    head = ["lines", "first check", "median of 20 keystrokes", "worst"]
    return table(head, [[str(found["lines"]), found["first"], found["median"], found["worst"]]])


TOOLS: dict[str, list[str]] = {
    "pylint": ["--jobs=1", "--score=n", "--reports=n"],
    "fixit": ["lint"],
    "torchfix": [],
}


def others(options: argparse.Namespace) -> str:
    """Other linters with their defaults on the same Python files, in CPU seconds."""
    rows = []
    for path in options.compare_on:
        files = [file for file in files_of(path) if file.endswith(".py")]
        ours = best([*COLD, *files], options.times, folder=path).cpu
        rows.append([path.name, len(files), "mllint-bio", ours, 1.0])
        for tool, arguments in TOOLS.items():
            program = getattr(options, tool)
            if program:
                run([program, *arguments, files[0]], path)  # writes its bytecode
                used = run([program, *arguments, *files], path).cpu
                rows.append([path.name, len(files), tool, used, used / ours])
    return table(["repository", "files", "linter", "CPU seconds", "times mllint-bio"], rows)


TABLES: dict[str, Callable[[argparse.Namespace], str]] = {
    "beginning": beginning,
    "keystroke": keystroke,
    "cold": cold,
    "ordinary": ordinary,
    "warm": warm,
    "memory": memory,
    "others": others,
}


if __name__ == "__main__":
    main()
