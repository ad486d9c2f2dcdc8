"""What the tests of remedies share: findings of a program, and the program with one of them mended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mllint_bio_rules
from mllint_bio import engine, fix
from mllint_bio.config import Settings
from mllint_bio.diagnostics import Diagnostic
from mllint_bio.rule import Registry, rules_of
from mllint_bio.sources import SourceUnit, load

Diagnose = Callable[..., "tuple[SourceUnit, tuple[Diagnostic, ...]]"]
Mend = Callable[[str, str], "str | None"]


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The built-in rules, without plugins that happen to be installed."""
    rules = {rule.code: rule() for rule in rules_of(mllint_bio_rules)}
    return Registry(rules, dict.fromkeys(rules, "mllint-bio"))


@pytest.fixture
def diagnose(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Diagnose:
    """The unit of a text and what `check` finds in it."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, name: str = "program.py") -> tuple[SourceUnit, tuple[Diagnostic, ...]]:
        Path(name).write_bytes(text.encode())
        report = engine.check([Path(name)], lambda _: Settings(), registry)
        return load(Path(name)), report.diagnostics

    return run


@pytest.fixture
def mend(diagnose: Diagnose) -> Mend:
    """The text of a program with the first finding of a code mended; None if there is no remedy."""

    def run(text: str, code: str) -> str | None:
        unit, diagnostics = diagnose(text)
        found = [d for d in diagnostics if d.code == code]
        assert found, f"{code} is not found: {[d.code for d in diagnostics]}"
        remedy = fix.fixes(unit, found[0])
        return None if remedy is None else fix.apply({unit.path: unit}, remedy.edits)[unit.path]

    return run
