"""Small programs, interpreted."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mllint_bio.predict import Analysis, Project, analyse
from mllint_bio.sources import load
from mllint_bio.trace import Trace

Analyse = Callable[..., Analysis]
Run = Callable[..., Trace]


@pytest.fixture
def analysed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Analyse:
    """Interpret `main.py` with this text, beside other files (by path), as one project."""
    monkeypatch.chdir(tmp_path)

    def interpret(text: str, files: Mapping[str, str] | None = None, name: str = "main.py") -> Analysis:
        for path, content in {name: text, **(files or {})}.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(textwrap.dedent(content).encode())
        return analyse(Project(tmp_path), [load(Path(name))])

    return interpret


@pytest.fixture
def run(analysed: Analyse) -> Run:
    """The one trace of a program."""

    def interpret(text: str, files: Mapping[str, str] | None = None, name: str = "main.py") -> Trace:
        analysis = analysed(text, files, name)
        assert analysis.problems == []
        (trace,) = analysis.traces
        return trace

    return interpret
