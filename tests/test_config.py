"""Settings: files, messages for wrong ones, overrides and selection of rules."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mllint_bio import config
from mllint_bio.config import ConfigError, Settings, read_settings, selected, settings_for, validate_selectors
from mllint_bio.findings import Severity


@dataclass(frozen=True)
class Fake:
    """A rule as selection sees it."""

    code: str = "MLB706"
    name: str = "transform-fitted-before-split"
    tip: int = 7
    status: str = "on"
    variants: tuple[str, ...] = ()
    preview_variants: frozenset[str] = frozenset()


LEAK = Fake()
SEED = Fake("MLB301", "no-seed", 3)
GROUP = Fake(
    "MLB717", "dependent-samples-split-at-random", 7, variants=("windows", "sites"), preview_variants=frozenset({"sites"})
)
SEARCH = Fake("MLB608", "no-systematic-search", 6, status="opt-in")
EARLY = Fake("MLB777", "early", 7, status="preview")
ETHICS = Fake("MLB001", "no-ethics-register", 10)
RULES = (LEAK, SEED, GROUP, SEARCH, EARLY, ETHICS)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test stands in an empty folder and reads every file afresh."""
    monkeypatch.chdir(tmp_path)
    config.forget()
    return tmp_path


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def error(text: str, name: str = "mllint-bio.toml") -> str:
    with pytest.raises(ConfigError) as caught:
        read_settings(write(name, text))
    return str(caught.value)


def test_defaults() -> None:
    """Without a file the defaults hold, relative to the working folder."""
    settings = settings_for(".")
    assert settings == Settings()
    assert settings.root == Path.cwd()
    assert settings.fail_on is Severity.WARNING
    assert ".venv" in settings.exclude


def test_all_keys() -> None:
    """Every key is read and converted, and says where it comes from."""
    write(
        "pyproject.toml",
        """
        [tool.mllint-bio]
        select = ["MLB7"]
        ignore = ["no-seed"]
        extend-select = ["tip3"]
        preview = true
        min-severity = "warning"
        fail-on = "error"
        exclude = ["a"]
        extend-exclude = ["b"]
        force-exclude = true
        respect-gitignore = false
        protocol = "transductive"
        group-columns = ["patient"]
        external-baselines = "docs/baselines.md"
        test-elsewhere = true
        identity-threshold = 0.3
        min-test-n = 100
        [tool.mllint-bio.roles]
        X_ext = "test"
        [tool.mllint-bio.per-file-ignores]
        "tests/**" = ["MLB3"]
        """,
    )
    settings = settings_for("x.py")
    assert settings.select == ("MLB7",)
    assert settings.min_severity is Severity.WARNING and settings.fail_on is Severity.ERROR
    assert (settings.preview, settings.force_exclude, settings.respect_gitignore) == (True, True, False)
    assert settings.per_file_ignores == {"tests/**": ("MLB3",)}
    assert settings.options == {
        "protocol": "transductive",
        "group-columns": ("patient",),
        "external-baselines": ("docs/baselines.md",),
        "test-elsewhere": True,
        "identity-threshold": 0.3,
        "min-test-n": 100,
        "roles": {"X_ext": "test"},
    }
    assert settings.origin["roles"] == "pyproject.toml"
    items = {key: (value, origin) for key, value, origin in settings.items()}
    assert items["select"] == (("MLB7",), "pyproject.toml")
    assert items["task"] == (None, "default")
    assert items["protocol"] == ("transductive", "pyproject.toml")


def test_nearest_file_wins() -> None:
    """The nearest file holds alone; our own file goes before pyproject.toml, one without our table is passed over."""
    write("pyproject.toml", '[tool.mllint-bio]\nselect = ["MLB1"]\npreview = true\n')
    write("a/pyproject.toml", '[tool.other]\nx = "mllint-bio"\n')
    write("a/b/mllint-bio.toml", 'select = ["MLB2"]\n')
    write("a/b/pyproject.toml", '[tool.mllint-bio]\nselect = ["MLB3"]\n')
    write("a/b/c/.mllint-bio.toml", 'select = ["MLB4"]\n')
    assert settings_for("x.py").select == ("MLB1",)
    assert settings_for("a/x.py").select == ("MLB1",)
    assert settings_for("a/b/x.py").select == ("MLB2",)
    assert not settings_for("a/b/x.py").preview
    assert settings_for("a/b/c/d/e.py").select == ("MLB4",)
    assert settings_for("a/b/c/y.py").root == Path("a/b/c").absolute()


def test_settings_are_kept_per_folder_until_forgotten() -> None:
    """Files of one configuration share one object; `forget` makes a changed file count."""
    write("mllint-bio.toml", "preview = true\n")
    assert settings_for("x.py") is settings_for("y.py") is settings_for(".")
    write("mllint-bio.toml", "preview = false\n")
    assert settings_for("x.py").preview
    config.forget()
    assert not settings_for("x.py").preview


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nselct = []\n", "mllint-bio.toml:2: unknown key 'selct'; did you mean 'select'?"),
        ("group_columns = []\n", "mllint-bio.toml:1: unknown key 'group_columns'; did you mean 'group-columns'?"),
        ("zzzzzz = 1\n", "mllint-bio.toml:1: unknown key 'zzzzzz'"),
        ("[tool.mllint-bio]\n", "unknown key 'tool'; keys stand at the top level of this file"),
        ('select = "MLB7"\n', "mllint-bio.toml:1: select must be a list of rule codes"),
        ("ignore = [1]\n", "not [1]"),
        ("preview = 1\n", "preview must be true or false, not 1"),
        ('fail-on = "warn"\n', "fail-on must be info, warning or error, not 'warn'; did you mean 'warning'?"),
        ("min-test-n = 0\n", "min-test-n must be a whole number from 1, not 0"),
        ("min-test-n = true\n", "not true"),
        ("identity-threshold = 30\n", "identity-threshold must be a number from 0 to 1, not 30"),
        ('protocol = "transductve"\n', "not 'transductve'; did you mean 'transductive'?"),
        ('[roles]\nX = "tset"\n', "mllint-bio.toml:1: roles must be a table: variable = one of train, validation, test, full"),
        ("roles = 3\n", "not 3"),
        ("[per-file-ignores]\na = 3\n", "per-file-ignores must be a table"),
        ("task = []\n", "task must be a string, not []"),
        ("select = [\n  'a'\nx", "mllint-bio.toml:3:1: "),
        ("select = [", "mllint-bio.toml:1"),
        ("x = " + "[" * 5000, "mllint-bio.toml: nested too deeply"),
    ],
)
def test_wrong_files(text: str, message: str) -> None:
    """A wrong key, type or word, and broken TOML, name the file, the line and the nearest right one."""
    assert message in error(text)


def test_unreadable_files() -> None:
    """A file that is missing or no UTF-8 is a configuration error."""
    with pytest.raises(ConfigError, match=r"nope\.toml: cannot be read: No such file"):
        read_settings("nope.toml")
    Path("latin.toml").write_bytes(b"task = '\xe9'")
    with pytest.raises(ConfigError, match=r"latin\.toml: is not UTF-8"):
        read_settings("latin.toml")


def test_pyproject_of_others() -> None:
    """A broken pyproject.toml that does not mention us is none of our business; a wrong table of ours is."""
    write("pyproject.toml", "[tool.black\n")
    assert settings_for("x.py") == Settings()
    assert "tool.mllint-bio must be a table" in error("[tool]\nmllint-bio = 3\n", "pyproject.toml")
    assert read_settings(write("p/pyproject.toml", "[tool.x]\n")).root == Path("p").absolute()


def test_override() -> None:
    """The command line replaces values, adds to lists that only narrow or widen, and is named as their origin."""
    write("mllint-bio.toml", 'ignore = ["MLB3"]\nselect = ["MLB1"]\nextend-exclude = ["a"]\npreview = true\n')
    settings = settings_for("x.py").override(select=("MLB7",), ignore=("MLB706",), extend_exclude=("b",), preview=None)
    assert settings.select == ("MLB7",)
    assert settings.ignore == ("MLB3", "MLB706")
    assert settings.extend_exclude == ("a", "b")
    assert settings.preview
    assert settings.origin["select"] == "command line"
    assert settings.origin["preview"] == "mllint-bio.toml"
    with pytest.raises(TypeError, match="no such setting: root"):
        Settings().override(root=Path())


def test_settings_can_be_sent_to_workers() -> None:
    """Settings are pickled to worker processes."""
    settings = Settings(per_file_ignores={"*.py": ("MLB7",)})
    assert settings.ignored_for_file("x.py", LEAK)
    copy = pickle.loads(pickle.dumps(settings))
    assert copy == settings and copy.ignored_for_file("x.py", LEAK)


@pytest.mark.parametrize(
    ("values", "rule", "expected"),
    [
        ({}, LEAK, True),
        ({"select": ("MLB7",)}, LEAK, True),
        ({"select": ("mlb706",)}, LEAK, True),
        ({"select": ("MLB70",)}, LEAK, True),
        ({"select": ("tip7",)}, LEAK, True),
        ({"select": ("tip10",)}, ETHICS, True),
        ({"select": ("tip1",)}, ETHICS, False),
        ({"select": ("transform-fitted-before-split",)}, LEAK, True),
        ({"select": ("ALL",)}, LEAK, True),
        ({"select": ("MLB3",)}, LEAK, False),
        ({"select": ("MLB3",), "extend_select": ("MLB706",)}, LEAK, True),
        ({"ignore": ("MLB7",)}, LEAK, False),
        ({"ignore": ("ALL",)}, LEAK, False),
        ({"ignore": ("ALL",), "extend_select": ("MLB7",)}, LEAK, True),
        ({"select": ("MLB706",), "ignore": ("MLB7",)}, LEAK, True),
        ({"select": ("MLB7",), "ignore": ("MLB706",)}, LEAK, False),
        ({"select": ("MLB7",), "ignore": ("tip7",)}, LEAK, False),
        ({"select": ("MLB706",), "ignore": ("transform-fitted-before-split",)}, LEAK, False),
        ({}, SEARCH, False),
        ({"select": ("ALL",)}, SEARCH, False),
        ({"select": ("MLB60",)}, SEARCH, False),
        ({"select": ("MLB608",)}, SEARCH, True),
        ({"extend_select": ("no-systematic-search",)}, SEARCH, True),
        ({}, EARLY, False),
        ({"select": ("MLB777",)}, EARLY, False),
        ({"preview": True}, EARLY, True),
        ({"preview": True, "select": ("MLB3",)}, EARLY, False),
    ],
)
def test_selection(values: dict[str, Any], rule: Fake, expected: bool) -> None:
    """The most specific selector decides, ignoring wins a tie; preview and opt-in rules need more."""
    assert selected(Settings(**values), rule) is expected


def test_selection_of_variants() -> None:
    """Variants are selected and ignored by themselves, and preview variants need preview."""
    only = Settings(select=("MLB717[windows]",))
    assert selected(only, GROUP) and selected(only, GROUP, "windows")
    assert not selected(only, GROUP, "")
    without = Settings(ignore=("dependent-samples-split-at-random[windows]",))
    assert selected(without, GROUP) and selected(without, GROUP, "")
    assert not selected(without, GROUP, "windows")
    assert not selected(Settings(), GROUP, "sites")
    assert selected(Settings(preview=True), GROUP, "sites")


def test_command_line_breaks_ties() -> None:
    """The command line's selector wins over the file's equally specific one, and not over a more specific one."""
    settings = Settings(ignore=("MLB706",))
    assert selected(settings.override(select=("MLB706",)), LEAK)
    assert selected(settings.override(extend_select=("MLB706",)), LEAK)
    assert not selected(settings.override(select=("MLB7",)), LEAK)
    assert not selected(Settings(select=("MLB706",)).override(ignore=("MLB706",)), LEAK)


def test_per_file_ignores(here: Path) -> None:
    """Patterns are relative to the folder of the configuration and hide what their selectors name."""
    write("p/mllint-bio.toml", '[per-file-ignores]\n"tests/**" = ["MLB7"]\n"*.ipynb" = ["no-seed"]\n"/legacy" = ["ALL"]\n')
    settings = settings_for("p/x.py")
    assert settings.ignored_for_file("p/tests/a/x.py", LEAK)
    assert settings.ignored_for_file(here / "p" / "tests" / "x.py", LEAK)
    assert not settings.ignored_for_file("p/tests/x.py", SEED)
    assert not settings.ignored_for_file("p/x.py", LEAK)
    assert settings.ignored_for_file("p/n/m.ipynb", SEED)
    assert settings.ignored_for_file("p/legacy/x.py", SEED)
    assert not settings.ignored_for_file("tests/x.py", LEAK), "outside the configuration's folder"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"select": ("MLB766",)}, "select: no rule matches 'MLB766'; did you mean 'MLB706'?"),
        ({"ignore": ("no-sed",)}, "ignore: no rule matches 'no-sed'; did you mean 'no-seed'?"),
        ({"extend_select": ("MLB717[window]",)}, "did you mean 'MLB717[windows]'?"),
        ({"select": ("MLB9",)}, "no rule matches 'MLB9'"),
        ({"select": ("tip4",)}, "no rule matches 'tip4'"),
        ({"select": ("",)}, "no rule matches ''"),
        ({"per_file_ignores": {"a/*": ("XYZ",)}}, "per-file-ignores.'a/*': no rule matches 'XYZ'"),
    ],
)
def test_unknown_selectors(values: dict[str, Any], message: str) -> None:
    """A selector that matches no rule is an error that names the nearest one."""
    with pytest.raises(ConfigError) as caught:
        validate_selectors(Settings(**values), RULES)
    assert message in str(caught.value)


def test_known_selectors() -> None:
    """Every form of selector passes, and the message for a wrong one says whether file or command line is to blame."""
    good = ("ALL", "MLB", "MLB7", "mlb70", "MLB706", "no-seed", "tip7", "TIP10", "MLB717[windows]", "MLB608", "MLB777")
    validate_selectors(Settings(select=good), RULES)
    write("mllint-bio.toml", 'select = ["MLB9"]\n')
    with pytest.raises(ConfigError, match=r"^mllint-bio\.toml: select"):
        validate_selectors(settings_for("x.py"), RULES)
    with pytest.raises(ConfigError, match=r"^command line: ignore"):
        validate_selectors(Settings().override(ignore=("MLB9",)), RULES)
