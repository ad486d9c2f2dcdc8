"""What observation costs: each program is run alone and under probes, alternately, in processes of its own.

    python tests/benchmarks/observe.py [PROGRAM ...] [--rounds N]

Without arguments, the programs of fixtures/runnable that use torch. Times are those of the program itself, imports included,
start of the interpreter left out; the table gives the best of the rounds, since other work on the machine only adds to a time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ALONE = """
import runpy, sys, time
program = sys.argv[1]
sys.argv, start = [program], time.perf_counter()
runpy.run_path(program, run_name="__main__")
print("SECONDS", time.perf_counter() - start)
"""
OBSERVED = """
import os, runpy, sys, time
from pathlib import Path
program, log = sys.argv[1:]
sys.argv = [program]
from mllint_bio.observe import instrument, places, probes
from mllint_bio.observe.job import Command, Guide, Job, Limits
from mllint_bio.observe.log import Writer
from mllint_bio.observe.recorder import Recorder
folder = os.path.dirname(os.path.abspath(program))
places.set_project(folder, folder)
job = Job(Command("script", program, (), folder, folder))
start = time.perf_counter()
recorder = Recorder(Writer(Path(log)), places.locate, job)
probes.install(recorder)
instrument.install(Guide(), Limits(), instrument.Hooks(recorder.mark, recorder.made, lambda: recorder.steps))
code = instrument.compiled(Path(program).read_bytes(), program)
exec(code, {"__name__": "__main__", "__file__": program, "__builtins__": __builtins__})
recorder.finish()
print("SECONDS", time.perf_counter() - start)
"""


def seconds(runner: str, *arguments: str, folder: Path) -> float:
    """Time that a program took, as it says itself."""
    command = [sys.executable, "-c", runner, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout.rsplit("SECONDS", 1)[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = sorted((ROOT / "fixtures" / "runnable").glob("*/*.py"))
    programs = options.programs or [path for path in found if "torch" in path.read_text()]
    print(f"{'program':52} {'alone':>8} {'observed':>9} {'ratio':>6}")
    totals = [0.0, 0.0]
    for program in (path.resolve() for path in programs):
        best = [float("inf"), float("inf")]
        with tempfile.TemporaryDirectory() as scratch:
            for _ in range(options.rounds):
                best[0] = min(best[0], seconds(ALONE, str(program), folder=program.parent))
                best[1] = min(best[1], seconds(OBSERVED, str(program), f"{scratch}/log", folder=program.parent))
        totals = [total + value for total, value in zip(totals, best, strict=True)]
        print(f"{'/'.join(program.parts[-2:]):52} {best[0]:7.2f}s {best[1]:8.2f}s {best[1] / best[0]:6.2f}", flush=True)
    print(f"{'all':52} {totals[0]:7.2f}s {totals[1]:8.2f}s {totals[1] / totals[0]:6.2f}")


if __name__ == "__main__":
    main()
