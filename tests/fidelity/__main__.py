"""`python -m tests.fidelity PATH...`: run programs under observation, compare, print the table.

PATH is a program or a folder of programs. Logs are kept in the folder given by `--logs`, so that a change of the static side is
measured without running anything again (`--again` runs all).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mllint_bio.config import Settings
from mllint_bio.experiments.program import Program, read
from mllint_bio.experiments.store import write_log
from mllint_bio.observe import launch
from mllint_bio.observe.job import Command, Controls, Job, Limits
from mllint_bio.observe.log import Log
from mllint_bio.observe.log import read as read_log
from mllint_bio.rule import Registry, load_registry
from tests.fidelity.measure import Fidelity, compare, table

NETWORK = ("fetch_", "urlopen", "load_dataset(", "requests.get", "download=True")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.fidelity", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--logs", type=Path, default=Path(".fidelity"), help="folder for logs (default: .fidelity)")
    parser.add_argument("--seconds", type=float, default=60.0, help="limit of one run")
    parser.add_argument("--limit", type=int, default=10_000, help="number of programs")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="run all programs again")
    parser.add_argument("--root", type=Path, help="folder that is copied for a run (default: that of the program)")
    parser.add_argument("--list", action="store_true", help="list every disagreement")
    options = parser.parse_args()
    registry = load_registry()
    files = [file for path in options.paths for file in _programs(path)][: options.limit]
    options.logs.mkdir(parents=True, exist_ok=True)

    def one(file: Path) -> tuple[str, Fidelity | None, str]:
        program = _read(file, options.root, registry)
        log, status = _log(file, program, options)
        if not any(record.kind in ("Fit", "Score", "Predict", "Split", "Seed") for record in log.records):
            return str(file), None, status
        return str(file), compare(log, program.trace, program.spans, finished=status == "finished"), status

    done: list[tuple[str, Fidelity]] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, fidelity, status in pool.map(one, files):
            print(f"{name}: {status}{'' if fidelity else ', nothing observed'}", file=sys.stderr)
            if fidelity is not None:
                done.append((name, fidelity))
            if fidelity is not None and options.list:
                for title in ("missed", "invented", "contradicted"):
                    for line in getattr(fidelity, title):
                        print(f"{title:<13}{line}")
    print(table(done), end="")


def _programs(path: Path) -> list[Path]:
    if path.is_file():
        return [path.resolve()]
    found = sorted(file for file in path.resolve().rglob("*.py") if file.name != "__init__.py")
    return [file for file in found if not any(word in file.read_text(encoding="utf-8", errors="replace") for word in NETWORK)]


def _read(file: Path, root: Path | None, registry: Registry) -> Program:
    folder = str(root.resolve() if root else file.parent)
    command = Command("script", os.path.relpath(file, file.parent), (), str(file.parent), folder)
    return read(command, file, Settings(), registry)


def _log(file: Path, program: Program, options: argparse.Namespace) -> tuple[Log, str]:
    """The log of the program's run, from the folder of logs if it is there."""
    name = "_".join(file.parts[-3:])
    place, status = options.logs / f"{name}.log", options.logs / f"{name}.json"
    if place.exists() and status.exists() and not options.again:
        return read_log(place), json.loads(status.read_text())["status"]
    outcome = launch.run(Job(program.command, Limits(seconds=options.seconds), controls=Controls(), guide=program.guide()))
    write_log(outcome.log, place)
    status.write_text(json.dumps({"status": outcome.status.value, "reason": outcome.reason}))
    if outcome.arrays:
        shutil.rmtree(outcome.arrays, ignore_errors=True)
    return outcome.log, outcome.status.value


if __name__ == "__main__":
    main()
