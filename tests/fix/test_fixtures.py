"""The bad fixtures of the rules with remedies: which are mended, and that mending takes the finding away and brings no other."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from mllint_bio import engine, fix
from mllint_bio.config import Settings
from mllint_bio.diagnostics import Diagnostic, Place
from mllint_bio.findings import Confidence, Severity
from mllint_bio.fix.program import Unsafe
from mllint_bio.rule import Registry
from mllint_bio.sources import SourceUnit, load

ROOT = Path(__file__).parent.parent.parent
CODES = ("MLB301", "MLB302", "MLB303", "MLB304", "MLB305", "MLB706", "MLB707", "MLB708", "MLB709", "MLB712")
FIXTURES = sorted(path for code in CODES for path in (ROOT / "fixtures" / code).glob("bad_*.py"))

# Programs that no text edit within one block mends; the counterfactual says so.
WITHOUT = {
    "MLB706/bad_scaler_in_dataset_class.py",  # an attribute of an object, split by another method
    "MLB706/bad_codes_looked_up.py",  # codes are exchanged between fit and split
    "MLB706/bad_scaler_in_loader_function.py",  # scaled in one function, split in another
    "MLB706/bad_clipped_at_quantiles.py",  # two statistics, one clip
    "MLB706/bad_function_of_columns.py",  # the statistics stand in a function
    "MLB706/bad_statistic_in_data_module.py",  # split in the same method, into attributes
    "MLB706/bad_filled_in_place_by_column.py",  # gaps are filled column by column, in a loop
    "MLB706/bad_gaps_filled_in_one_column.py",  # in place, under masks and by replacing
    "MLB706/bad_library_function_of_columns.py",  # the statistics stand in a function of a library
    "MLB707/bad_marker_genes.py",  # the ranking lies in the annotated data
    "MLB707/bad_selection_in_helper.py",  # the number of features is an argument of the helper
    "MLB707/bad_correlated_pairs.py",  # a choice by hand over several statements: here and in the next seven
    "MLB707/bad_correlated_with_outcome.py",
    "MLB707/bad_correlation_one_by_one.py",
    "MLB707/bad_importances_by_name.py",
    "MLB707/bad_most_variable.py",
    "MLB707/bad_p_values_gene_by_gene.py",
    "MLB707/bad_p_values_in_a_table.py",
    "MLB707/bad_ranked_scores.py",
    "MLB707/bad_fitted_model_selects.py",  # model and selector would both have to move
    "MLB708/bad_behind_an_option.py",  # copied in one block, split in another
    "MLB708/bad_cases_twice.py",  # cases are taken apart and put together by hand
    "MLB708/bad_list_of_copies.py",  # copies in a list that is put together
    "MLB708/bad_resampled_minority.py",  # classes are taken apart and put together by hand
    "MLB709/bad_group_mean_of_target.py",  # unseen groups of test rows need a choice
    "MLB709/bad_simulated_table.py",  # likewise
    "MLB709/bad_mapped_means.py",  # likewise
    "MLB712/bad_prepare_function.py",  # one call fits for both parts
}


def name_of(path: Path) -> str:
    """`MLB706/bad_bins.py`."""
    return f"{path.parent.name}/{path.name}"


def checked(path: Path, registry: Registry) -> tuple[SourceUnit, tuple[Diagnostic, ...]]:
    """The unit and its findings."""
    return load(path, path.name), engine.check([path], lambda _: Settings(), registry).diagnostics


def serious(diagnostics: tuple[Diagnostic, ...]) -> Counter[str]:
    """Number of findings of severity warning or above by code."""
    return Counter(d.code for d in diagnostics if d.severity >= Severity.WARNING)


@pytest.mark.parametrize("fixture", FIXTURES, ids=name_of)
def test_fixture_is_mended(fixture: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every finding of the fixture's rule has a remedy that removes it and adds none, or the fixture is known to have none."""
    others = shutil.ignore_patterns("__pycache__", "bad_*", "good_*")
    shutil.copytree(fixture.parent, tmp_path / "project", ignore=others)
    monkeypatch.chdir(tmp_path / "project")
    path = Path(shutil.copy(fixture, fixture.name))
    unit, before = checked(path, registry)
    found = [d for d in before if d.code == fixture.parent.name]
    assert found
    for diagnostic in found:
        remedy = fix.fixes(unit, diagnostic)
        assert (remedy is None) == (name_of(fixture) in WITHOUT)
        if remedy is None:
            continue
        assert remedy.summary and "\n" not in remedy.summary and remedy.rerun in ("repeat", "paired", "unpaired")
        applied = fix.apply({unit.path: unit}, remedy.edits)
        assert not applied.refused and not applied.dropped
        path.write_text(applied[unit.path], encoding="utf-8")
        _, after = checked(path, registry)
        path.write_text(unit.text, encoding="utf-8")
        same = [d for d in after if d.code == diagnostic.code]
        assert len(same) < len(found), "the finding is gone"
        assert not serious(after) - serious(before), "no other finding has come"


def test_table_in_the_guide_is_up_to_date() -> None:
    """The share of fixtures with a remedy in docs/fix.md is the one that the tests above establish."""
    said = re.findall(r"^\| (MLB\d+) \|.*\| (\d+) of (\d+) \|$", (ROOT / "docs" / "fix.md").read_text(encoding="utf-8"), re.M)
    every = Counter(path.parent.name for path in FIXTURES)
    without = Counter(name.split("/")[0] for name in WITHOUT)
    assert [(code, int(mended), int(all_)) for code, mended, all_ in said] == [
        (code, every[code] - without[code], every[code]) for code in CODES
    ]


@pytest.mark.parametrize("code", CODES)
def test_any_place_is_refused_quietly(code: str) -> None:
    """Wherever a diagnostic points, there is a remedy that can be applied, or none; nothing else is raised inside."""
    for fixture in sorted((ROOT / "fixtures").glob("MLB7*/*.py"))[::7]:
        unit = load(fixture, fixture.name)
        calls = [match.span() for match in re.finditer(r"[\w.]+\([^()\n]*\)", unit.text)][:12]
        for start, end in [(0, 1), (0, 10**6), *calls]:
            place = Place(unit.path, None, 1, 1, 1, 2, start, end)
            evidence = tuple((text, place) for text in ("split here", "fitted here", "fitted on training rows here"))
            odd = Diagnostic(code, "odd", Severity.WARNING, Confidence.LIKELY, "", place, evidence)
            with suppress(Unsafe):
                assert not fix.apply({unit.path: unit}, fix._remedy(unit, odd).edits).refused
            fix.fixes(unit, odd)
