"""Parse files with bare `libcst.parse_module` and say what it cost: the yardstick of the speed benchmark.

`python -m tests.benchmarks.parse [--tuned] < LIST` reads paths from standard input, one a line, and prints CPU seconds, files,
lines and megabytes as JSON. Texts are read and decoded before the clock starts; a file that LibCST refuses is left out.
--tuned: with the garbage collector set as mllint-bio sets it, which a program that only parses would not do.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import libcst

from mllint_bio.sources import load
from mllint_bio.workers import quiet_collector


def main() -> None:
    """Parse and print."""
    texts = [unit.text for line in sys.stdin if not (unit := load(Path(line.rstrip("\n")))).skipped]
    with quiet_collector() if "--tuned" in sys.argv else nullcontext():
        spent = 0.0
        parsed: list[str] = []
        for text in texts:
            started = time.process_time()
            try:
                libcst.parse_module(text)
            except (libcst.ParserSyntaxError, RecursionError):
                continue
            spent += time.process_time() - started
            parsed.append(text)
    size = sum(map(len, parsed)) / 1e6
    print(json.dumps({"cpu": spent, "files": len(parsed), "lines": sum(t.count("\n") for t in parsed), "megabytes": size}))


if __name__ == "__main__":
    main()
