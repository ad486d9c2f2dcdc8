"""Running a command and taking its CPU time and memory: what every benchmark here stands on."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MLLINT = (sys.executable, "-m", "mllint_bio")
ROOT = Path(__file__).parents[2]
# The measured folder must not come first on the search path: it may hold a `tests` or a `json` of its own. Every program starts
# from bytecode, as installed programs do, wherever this is run: some environments forbid to write it beside the source.
ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir(), "mllint-bio-benchmark-bytecode")),
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
}


@dataclass(frozen=True)
class Usage:
    """What one command used.

    cpu: user and system seconds of the process and of the children it waited for; peak: largest resident set of any one of
    them, in MB; together: largest sum of their proportional sets seen, in MB (0 if it was not watched).
    """

    status: int
    cpu: float
    peak: float
    together: float
    output: str


def run(
    command: Sequence[str | Path],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    watch: bool = False,
) -> Usage:
    """Run a command and wait for it. watch: look every 50 ms at the memory of all its processes together (Linux)."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env={**os.environ, **ENVIRONMENT, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        watcher = _Watcher(process.pid) if watch else None
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        together = watcher.stop() if watcher else 0.0
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return Usage(process.returncode, used.ru_utime + used.ru_stime, _megabytes(used), together, text)


def best(command: Sequence[str | Path], times: int, **options: Path | Mapping[str, str]) -> Usage:
    """The cheapest of several runs: noise of the machine only ever adds."""
    return min((run(command, **options) for _ in range(times)), key=lambda usage: usage.cpu)  # type: ignore[arg-type]


def _megabytes(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


class _Watcher:
    """Samples the summed memory of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._ended = pid, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """The largest sum seen, in MB."""
        self._ended.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._most = max(self._most, sum(map(_proportional, _family(self._pid))))
            time.sleep(0.05)


def _family(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        try:
            waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue  # ended meanwhile
    return found


def _proportional(pid: int) -> float:
    """Memory of a process in MB; pages that several processes share count in parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith("Pss:")), 0.0)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others are figures."""
    cells = [[f"{v:.2f}" if isinstance(v, float) else str(v) for v in row] for row in (head, *rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    lines = [
        "| " + " | ".join(v.ljust(w) if n == 0 else v.rjust(w) for n, (v, w) in enumerate(zip(row, widths, strict=True))) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (w + 2) if n == 0 else "-" * (w + 1) + ":" for n, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
