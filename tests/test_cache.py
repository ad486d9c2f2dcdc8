"""The result cache."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mllint_bio import cache
from mllint_bio.diagnostics import INTERNAL_ERROR, Report
from mllint_bio.findings import Applicability, Edit
from mllint_bio.sources import Problem
from tests.render.samples import report


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project with a checked file and a helper, both old, and an empty cache."""
    project = tmp_path / "project"
    (project / "lib").mkdir(parents=True)
    for name in ("train.py", "lib/helper.py"):
        (project / name).write_text("x = 1\n")
    for path in (project / "train.py", project / "lib/helper.py", project / "lib", project):
        os.utime(path, (1, 1))
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLLINT_BIO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def remembered() -> Report:
    """A report with everything in it, stored under `name`."""
    full = report()
    edited = replace(full.diagnostics[0], edits=(Edit("train.py", 0, 1, "y", Applicability.SAFE),))
    stored = replace(
        full,
        diagnostics=(edited, full.diagnostics[1]),
        problems=(Problem("b.py", 1, 2, "bad", None, "encoding"),),
        skipped=(("r.ipynb", "R"),),
        suppressed=3,
        failed=frozenset({"b.py"}),
        visited=frozenset({"lib/helper.py"}),
    )
    cache.remember("name", ["train.py"], stored, time.time_ns())
    return stored


def test_report_comes_back_as_it_was() -> None:
    """All of a report survives the cache."""
    assert cache.recall("name", ["train.py"]) is None
    assert remembered() == cache.recall("name", ["train.py"])


@pytest.mark.parametrize("changed", ["train.py", "lib/helper.py"])
def test_change_of_a_checked_or_visited_file_is_a_miss(changed: str) -> None:
    """The answer rests on the files checked and on those that they import."""
    remembered()
    Path(changed).write_text("x = 2\n")
    assert cache.recall("name", ["train.py"]) is None


def test_new_file_beside_a_visited_one_is_a_miss() -> None:
    """A module that appears may change what an import means."""
    remembered()
    Path("lib/new.py").write_text("")
    assert cache.recall("name", ["train.py"]) is None


def test_removed_file_and_other_files_are_misses() -> None:
    """Another set of files, or a file that is gone, is another question."""
    remembered()
    assert cache.recall("name", ["train.py", "lib/helper.py"]) is None
    Path("lib/helper.py").unlink()
    assert cache.recall("name", ["train.py"]) is None


def test_file_that_changed_during_the_check_is_not_trusted() -> None:
    """If a file was written after the check began, the result may be of either version and is not stored."""
    started = time.time_ns() - 1_000_000_000
    Path("train.py").write_text("x = 2\n")
    cache.remember("name", ["train.py"], report(), started)
    assert cache.recall("name", ["train.py"]) is None


def test_internal_errors_and_timeouts_are_not_stored() -> None:
    """What may be gone next time is not kept."""
    found = report()
    for passing in (
        replace(found, diagnostics=(replace(found.diagnostics[0], code=INTERNAL_ERROR),)),
        replace(found, problems=(Problem("a.py", 1, 1, "took more than 20 s", None, "timeout"),)),
    ):
        cache.remember("name", ["train.py"], passing, time.time_ns())
        assert cache.recall("name", ["train.py"]) is None


def test_old_records_expire_and_used_ones_stay(folder: Path) -> None:
    """Records that nobody asked for in 30 days are removed when another is stored."""
    remembered()
    (folder / "old.json").write_text("{}")
    os.utime(folder / "old.json", (1, 1))
    os.utime(folder / "name.json", (1, 1))
    assert cache.recall("name", ["train.py"]) is not None
    cache.remember("other", ["train.py"], report(), time.time_ns())
    assert sorted(p.name for p in folder.iterdir()) == ["name.json", "other.json"]


def test_damaged_record_is_a_warning(folder: Path) -> None:
    """A record that is no JSON, or not ours, raises a warning that names it."""
    remembered()
    for damage in ("{", "[]", '{"files": 1}', '{"files": [], "signature": {}, "report": {"diagnostics": [{}]}}'):
        (folder / "name.json").write_text(damage)
        with pytest.raises(cache.CacheWarning, match=r"is damaged|cannot be read"):
            cache.recall("name", [])


def test_cache_folder_that_cannot_be_made_is_a_warning(folder: Path) -> None:
    """A path that is a file cannot be the cache: a warning, not an error."""
    folder.write_text("")
    with pytest.raises(cache.CacheWarning, match="cannot be written"):
        remembered()


def test_question_depends_on_settings_folder_and_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other settings, another folder or another set of installed rules ask another question."""
    first = cache.question("settings")
    assert cache.question("settings") == first
    assert cache.question("others") != first
    monkeypatch.setattr(cache, "_installed_rules", lambda: iter([("plugin", "2.0")]))
    assert cache.question("settings") != first
