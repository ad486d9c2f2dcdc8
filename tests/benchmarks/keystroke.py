"""CPU time of one analysis in an editor: a file of 1,000 lines whose text changes at every keystroke.

`python -m tests.benchmarks.keystroke [FILE]` prints median and worst milliseconds as JSON. As the language server does, it keeps
the project and the rules, and checks the changed text with them.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mllint_bio import engine
from mllint_bio.config import Settings
from mllint_bio.rule import load_registry
from mllint_bio.sources.python_file import python_unit
from tests.benchmarks.trees import long_script

KEYSTROKES = 20


def main() -> None:
    """Type a name into the last function and check after every letter."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder, "long.py")
        text = path.read_text(encoding="utf-8") if len(sys.argv) > 1 else long_script(1000)
        registry, settings = load_registry(), Settings()
        project = engine.open_project(path.parent)
        before, after = _halves(text)
        spent = []
        for letters in range(KEYSTROKES + 1):
            typed = f"{before}{'x' * letters}{after}"
            started = time.process_time()
            unit = python_unit(typed, str(path))
            project.overlay(unit)
            report = engine.check_units([unit], project, settings, registry)
            spent.append(1000 * (time.process_time() - started))
            assert report.checked == 1, report.problems
    first, *others = spent  # the first one also imports the parser
    result = {"lines": text.count("\n"), "first": first, "median": statistics.median(others), "worst": max(others)}
    print(json.dumps(result))


def _halves(text: str) -> tuple[str, str]:
    """The text before and after the place where letters are typed: a new name on a line of its own, in the middle function."""
    lines = text.splitlines(keepends=True)
    middle = next(n for n in range(len(lines) // 2, 0, -1) if lines[n].startswith("    return "))
    return "".join(lines[:middle]) + "    typed", " = 0\n" + "".join(lines[middle:])


if __name__ == "__main__":
    main()
