"""Every fixture, checked as a user checks it: each marked fault is found, at its line, and nothing else is.

A fixture `fixtures/<CODE>/bad_*.py` or `good_*.py` marks a line with `# expect: CODE` or `# expect: CODE[variant]` (several,
separated by commas) where a finding must start. Findings of all rules are compared. Other files of the folder are modules that
its fixtures import.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import mllint_bio_rules
from mllint_bio import engine
from mllint_bio.config import Settings
from mllint_bio.diagnostics import Diagnostic
from mllint_bio.rule import Registry, rules_of
from mllint_bio.sources import load

FOLDER = Path(__file__).parent.parent / "fixtures"
FIXTURES = sorted(path for path in FOLDER.glob("*/*") if re.fullmatch(r"(bad|good)_\w+\.(py|ipynb)", path.name))
MARKER = re.compile(r"#\s*expect:\s*(.+?)\s*$")


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The built-in rules, without plugins that happen to be installed."""
    rules = {rule.code: rule() for rule in rules_of(mllint_bio_rules)}
    return Registry(rules, dict.fromkeys(rules, "mllint-bio"))


def marked(text: str) -> set[tuple[int, str]]:
    """Row and code, with or without variant, of every marker."""
    lines = enumerate(text.splitlines(), 1)
    return {(row, code) for row, line in lines if (found := MARKER.search(line)) for code in re.split(r"\s*,\s*", found[1])}


def names(text: str, diagnostic: Diagnostic) -> tuple[tuple[int, str], tuple[int, str]]:
    """The two markers that a diagnostic satisfies: its code, and its code with the variant."""
    row = text.count("\n", 0, diagnostic.place.start) + 1
    return (row, diagnostic.code), (row, f"{diagnostic.code}[{diagnostic.variant}]")


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_fixture(fixture: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All markers fire and nothing else does; a good fixture is good for the rule of its folder."""
    project = tmp_path / "project"  # one fixture is one project: another one's baseline or seed must not count
    others = [path.name for path in FIXTURES if path.parent == fixture.parent and path != fixture]
    shutil.copytree(fixture.parent, project, ignore=shutil.ignore_patterns("__pycache__", *others))
    monkeypatch.chdir(project)
    report = engine.check([Path(fixture.name)], lambda _: Settings(), registry)
    assert not report.problems

    text = load(Path(fixture.name)).text
    expected = marked(text)
    own = {marker for marker in expected if marker[1].split("[")[0] == fixture.parent.name}
    assert bool(own) == fixture.name.startswith("bad_"), "a bad fixture marks a fault of its rule, a good one does not"
    found = {names(text, diagnostic): diagnostic.message for diagnostic in report.diagnostics}
    missed = {marker for marker in expected if not any(marker in pair for pair in found)}
    surplus = {pair[1]: message for pair, message in found.items() if not expected & set(pair)}
    assert (missed, surplus) == (set(), {})


def test_every_rule_has_fixtures(registry: Registry) -> None:
    """Each built-in rule is shown by at least one bad and one good fixture."""
    kinds = {(path.parent.name, path.name.split("_")[0]) for path in FIXTURES}
    assert {(code, kind) for code in registry.rules for kind in ("bad", "good")} - kinds == set()
