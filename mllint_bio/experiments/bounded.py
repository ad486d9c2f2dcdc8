"""A calculation in a process of its own that can be ended: fits of other people's data may take any time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(module: str, folder: Path, seconds: float) -> str:
    """Run `python -m module folder` for so many seconds at most, then kill it; what it said last if it failed, else empty."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, os.fspath(folder)],
        cwd=folder,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // 2))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return ""
    finally:
        process.kill()
        process.wait()
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if process.returncode and lines else ""
