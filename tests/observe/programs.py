"""Small programs, run under observation."""

from __future__ import annotations

import hashlib
import json
import os
import textwrap
from pathlib import Path
from typing import Any

from mllint_bio.observe.job import Command, Controls, Guide, Job, Limits, Outcome, Permissions
from mllint_bio.observe.launch import run


def job(
    folder: Path,
    target: str = "train.py",
    *arguments: str,
    limits: Limits | None = None,
    permissions: Permissions | None = None,
    controls: Controls | None = None,
    guide: Guide | None = None,
    root: Path | None = None,
    kind: str = "",
) -> Job:
    """A job for a program in `folder`; what is not given is the default."""
    kind = kind or ("notebook" if target.endswith(".ipynb") else "script")
    return Job(
        Command(kind, target, arguments, str(folder), str(root or folder)),
        limits or Limits(seconds=60),
        permissions or Permissions(),
        controls or Controls(),
        guide or Guide(),
    )


def execute(folder: Path, program: str, *arguments: str, **options: Any) -> Outcome:
    """Write `train.py` into the folder and run it."""
    (folder / "train.py").write_text(textwrap.dedent(program).lstrip("\n"))
    return run(job(folder, "train.py", *arguments, **options))


def notebook(path: Path, *cells: str | tuple[str, list[str]]) -> None:
    """Write a notebook of code cells, each a source or a source with tags."""
    made: list[dict[str, Any]] = []
    for cell in cells:
        source, tags = (cell, []) if isinstance(cell, str) else cell
        made.append({"cell_type": "code", "metadata": {"tags": tags}, "source": source, "outputs": [], "execution_count": None})
    metadata = {"language_info": {"name": "python"}}
    path.write_text(json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))


def fingerprint(folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and content of everything below a folder."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(base, name)
            mode = path.lstat().st_mode
            if path.is_symlink():
                content = os.readlink(path)
            else:
                content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path.relative_to(folder))] = (mode, content)
    return found
