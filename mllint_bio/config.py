"""Settings: `[tool.mllint-bio]` in pyproject.toml, or mllint-bio.toml; the nearest file wins, nothing is merged.

A wrong key, type or word is an error that names the file, the key and the nearest right one: a setting that is quietly ignored
would change findings without a trace. Rules are not imported here; `validate_selectors` is told what rules there are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

from mllint_bio.findings import Severity
from mllint_bio.patterns import Patterns

CONFIG_FILES = (".mllint-bio.toml", "mllint-bio.toml", "pyproject.toml")
DEFAULT_EXCLUDE = (
    ".bzr",
    ".direnv",
    ".eggs",
    ".git",
    ".hg",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    "*.egg-info",
    "__pycache__",
    "build",
    "dist",
    "env",
    "node_modules",
    "site-packages",
    "venv",
)
SEVERITIES = {severity.label: severity for severity in Severity}


class ConfigError(Exception):
    """The configuration is wrong; the message names the file, the place and what to write instead."""


class Selectable(Protocol):
    """What selection asks of a rule; `mllint_bio.rule.Rule` has it."""

    @property
    def code(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def tip(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def variants(self) -> tuple[str, ...]: ...
    @property
    def preview_variants(self) -> frozenset[str]: ...


@dataclass(frozen=True)
class Key:
    """One key of the configuration: what a value must be, in words and as a check that also converts it."""

    meaning: str
    expects: str
    convert: Callable[[Any], Any]  # raises ValueError for a wrong value
    default: Any = None


def _is(kind: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise ValueError
        return value

    return convert


def _strings(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError
    return tuple(value)


def _string_or_strings(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else _strings(value)


def _one_of(words: Iterable[str]) -> Callable[[Any], Any]:
    allowed = tuple(words)

    def convert(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(_nearest(value, allowed))
        return value

    return convert


def _severity(value: Any) -> Severity:
    if not isinstance(value, str) or value not in SEVERITIES:
        raise ValueError(_nearest(value, SEVERITIES))
    return SEVERITIES[value]


def _number(low: float, high: float, *, whole: bool = False) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not low <= value <= high:
            raise ValueError
        return value

    return convert


def _table(of: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError
        return {name: of(item) for name, item in value.items()}

    return convert


_SELECTORS = "a list of rule codes (MLB706), prefixes (MLB7), names (no-seed), variants (MLB717[windows]), tips (tip7) or ALL"
_LIST = "a list of strings"
_PROTOCOLS = ("inductive", "transductive", "within-subject", "per-cohort-standardised")
_ROLES = ("train", "validation", "test", "full")

SETTINGS: dict[str, Key] = {
    "select": Key("the rules to apply; all that are on by default if empty", _SELECTORS, _strings, ()),
    "ignore": Key("rules not to apply", _SELECTORS, _strings, ()),
    "extend-select": Key("rules to apply besides the selected ones", _SELECTORS, _strings, ()),
    "preview": Key("apply preview rules too, and show possible findings", "true or false", _is(bool), False),
    "min-severity": Key("least severity that is shown", "info, warning or error", _severity, Severity.INFO),
    "fail-on": Key("least severity that makes the exit status 1", "info, warning or error", _severity, Severity.WARNING),
    "exclude": Key("files and folders not to look at", "a list of patterns as in .gitignore", _strings, DEFAULT_EXCLUDE),
    "extend-exclude": Key("patterns besides `exclude`", "a list of patterns as in .gitignore", _strings, ()),
    "force-exclude": Key("exclude files even if they are named on the command line", "true or false", _is(bool), False),
    "respect-gitignore": Key("leave out what git ignores", "true or false", _is(bool), True),
    "per-file-ignores": Key(
        "rules not to apply to files that match a pattern", "a table: pattern = list of rules", _table(_strings), {}
    ),
}
OPTIONS: dict[str, Key] = {
    "protocol": Key("how the evaluation is meant", "one of " + ", ".join(_PROTOCOLS), _one_of(_PROTOCOLS)),
    "roles": Key(
        "what the rows of a variable are", f"a table: variable = one of {', '.join(_ROLES)}", _table(_one_of(_ROLES)), {}
    ),
    "group-columns": Key("columns that name the patient, donor, ... of a row", _LIST, _strings, ()),
    "batch-columns": Key("columns that name the batch of a row", _LIST, _strings, ()),
    "time-columns": Key("columns that order rows in time", _LIST, _strings, ()),
    "target-columns": Key("columns to predict", _LIST, _strings, ()),
    "human-subjects": Key("the data are about people", "true or false", _is(bool)),
    "data-access": Key("how the data may be used", "open or controlled", _one_of(("open", "controlled"))),
    "external-baselines": Key(
        "where published figures of baselines are", "a path or address, or a list of them", _string_or_strings, ()
    ),
    "task": Key("what is predicted, e.g. segmentation", "a string", _is(str)),
    "identity-threshold": Key(
        "sequence identity above which two proteins count as related", "a number from 0 to 1", _number(0, 1)
    ),
    "min-test-n": Key("least number of test samples", "a whole number from 1", _number(1, 10**9, whole=True)),
    "max-ci-halfwidth": Key("widest half confidence interval of a reported figure", "a number from 0 to 1", _number(0, 1)),
    "data-doc": Key("where the data are described", "a path or address", _is(str)),
    "ethics-register": Key("where ethical questions are recorded", "a path or address", _is(str)),
    "governance": Key("where approvals are recorded", "a path or address", _is(str)),
    "release-approval": Key("where the approval to release the model is recorded", "a path or address", _is(str)),
    "test-elsewhere": Key("the untouched test set is scored outside this project", "true or false", _is(bool), False),
    "reproducibility": Key(
        "same numbers in every run, or several seeds reported", "exact or statistical", _one_of(("exact", "statistical"))
    ),
    "kind": Key("what the project is", "one of research, library, tutorial", _one_of(("research", "library", "tutorial"))),
}
_KEYS = SETTINGS | OPTIONS


@dataclass(frozen=True)
class Settings:
    """Settings in effect. Patterns are relative to `root`; `origin` says for each key where its value comes from."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()
    preview: bool = False
    min_severity: Severity = Severity.INFO
    fail_on: Severity = Severity.WARNING
    exclude: tuple[str, ...] = DEFAULT_EXCLUDE
    extend_exclude: tuple[str, ...] = ()
    force_exclude: bool = False
    respect_gitignore: bool = True
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    root: Path = field(default_factory=Path.cwd)
    file: Path | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    forced: frozenset[tuple[str, str]] = frozenset()  # (`select` or `ignore`, selector) of the command line

    def override(self, **values: Any) -> Settings:
        """Settings with values of the command line, by attribute name; None leaves a value as it is.

        `ignore`, `extend_select` and `extend_exclude` add to the file's; the others replace. A rule that the command line selects
        runs even if the file ignores it by the same selector. Raises TypeError for a name that is no setting.
        """
        given = {name: value for name, value in values.items() if value is not None}
        wrong = [name for name in given if name.replace("_", "-") not in SETTINGS]
        if wrong:
            raise TypeError(f"no such setting: {', '.join(wrong)}")
        forced = {
            (name.removeprefix("extend_"), s) for name in ("select", "extend_select", "ignore") for s in given.get(name, ())
        }
        for name in ("ignore", "extend_select", "extend_exclude"):
            if name in given:
                given[name] = (*getattr(self, name), *given[name])
        origin = {**self.origin, **{name.replace("_", "-"): "command line" for name in given}}
        return replace(self, **given, origin=origin, forced=self.forced | forced)

    def items(self) -> Iterator[tuple[str, object, str]]:
        """Every key with its value and where it comes from: a file, `command line` or `default`."""
        for key, one in _KEYS.items():
            value = self.options.get(key, one.default) if key in OPTIONS else getattr(self, key.replace("-", "_"))
            yield key, value, self.origin.get(key, "default")

    def ignored_for_file(self, path: str | Path, rule: Selectable, variant: str = "") -> bool:
        """Whether `per-file-ignores` hides this rule in this file."""
        if not self.per_file_ignores:
            return False
        try:
            relative = Path(path).absolute().relative_to(self.root).as_posix()
        except ValueError:  # outside the folder that the patterns speak of
            return False
        return any(
            patterns.covers(relative) and any(_specificity(s, rule, variant) is not None for s in selectors)
            for patterns, selectors in self._file_patterns
        )

    @cached_property
    def _file_patterns(self) -> list[tuple[Patterns, tuple[str, ...]]]:
        return [(Patterns([pattern]), rules) for pattern, rules in self.per_file_ignores.items()]


def selected(settings: Settings, rule: Selectable, variant: str | None = None) -> bool:
    """Whether a rule runs (`variant` None: any finding of it could be shown), or findings of one variant ("" for none) are shown.

    The most specific selector decides: exact code or name over longer prefix over shorter prefix over ALL, and a variant over
    its rule; of two equally specific ones the command line's over the file's, then ignoring over selecting. Preview rules and
    variants need `preview`; opt-in rules must be selected by their own code or name.
    """
    if variant is None:
        return any(selected(settings, rule, v) for v in ("", *rule.variants))
    if (rule.status == "preview" or variant in rule.preview_variants) and not settings.preview:
        return False
    chosen = _strongest(settings, "select", (*settings.select, *settings.extend_select), rule, variant)
    if not settings.select:
        chosen = max(chosen, 0.0)
    if rule.status == "opt-in" and chosen < _EXACT:
        return False
    return chosen >= 0 and chosen > _strongest(settings, "ignore", settings.ignore, rule, variant)


_EXACT, _VARIANT = 10, 11


def _strongest(settings: Settings, purpose: str, selectors: Iterable[str], rule: Selectable, variant: str) -> float:
    """Specificity of the most specific selector that matches; -1 if none does. The command line breaks ties."""
    best = -1.0
    for selector in selectors:
        specificity = _specificity(selector, rule, variant)
        if specificity is not None:
            best = max(best, specificity + (0.5 if (purpose, selector) in settings.forced else 0.0))
    return best


def _specificity(selector: str, rule: Selectable, variant: str) -> int | None:
    """How specific a selector is for this rule, or None if it does not match."""
    name, bracket, wanted = selector.strip().removesuffix("]").partition("[")
    exact = name.upper() == rule.code or name.lower() == rule.name
    if bracket:
        return _VARIANT if exact and wanted == variant else None
    if exact:
        return _EXACT
    if name.upper() == "ALL":
        return 0
    if name.lower() == f"tip{rule.tip}":
        return 4  # as specific as the prefix of a tip, MLB7
    return len(name) if _PREFIX.fullmatch(name) and rule.code.startswith(name.upper()) else None


_PREFIX = re.compile(r"[A-Za-z]{3}\d{0,2}")


def validate_selectors(settings: Settings, rules: Iterable[Selectable]) -> None:
    """Raise ConfigError for a selector that matches no rule, naming where it stands and the nearest that does."""
    rules = tuple(rules)
    known = ["ALL", *(f"tip{tip}" for tip in sorted({rule.tip for rule in rules if rule.tip}))]
    for rule in rules:
        known += [
            rule.code,
            rule.name,
            *(f"{rule.code}[{v}]" for v in rule.variants),
            *(f"{rule.name}[{v}]" for v in rule.variants),
        ]
    lists = {"select": settings.select, "ignore": settings.ignore, "extend-select": settings.extend_select}
    lists |= {f"per-file-ignores.{pattern!r}": selectors for pattern, selectors in settings.per_file_ignores.items()}
    for key, selectors in lists.items():
        for selector in selectors:
            if not any(_specificity(selector, rule, v) is not None for rule in rules for v in ("", *rule.variants)):
                purpose = key.removeprefix("extend-")
                where = (
                    "command line"
                    if (purpose, selector) in settings.forced
                    else settings.origin.get(key.split(".")[0], "settings")
                )
                raise ConfigError(f"{where}: {key}: no rule matches {selector!r}{_hint(selector, known)}")


def settings_for(path: str | Path) -> Settings:
    """Settings for a file or folder: those of the nearest configuration file at or above it.

    Kept per folder until `forget`. Raises ConfigError.
    """
    absolute = Path(path).absolute()
    return _settings_in(absolute if absolute.is_dir() else absolute.parent)


def forget() -> None:
    """Read configuration files afresh: an editor's session outlives them."""
    _settings_in.cache_clear()
    _settings_at.cache_clear()
    _defaults.cache_clear()


@cache
def _settings_in(folder: Path) -> Settings:
    found = next((s for s in map(_settings_at, (folder, *folder.parents)) if s is not None), None)
    return _defaults() if found is None else found


@cache
def _defaults() -> Settings:
    return Settings()  # one object, so that settings can be compared by identity


@cache
def _settings_at(folder: Path) -> Settings | None:
    for name in CONFIG_FILES:
        file = folder / name
        if file.is_file():
            found = _read(file)
            if found is not None:
                return found
    return None


def read_settings(file: str | Path) -> Settings:
    """Settings of one configuration file (`--config`). Raises ConfigError; a pyproject.toml without our table is the defaults."""
    path = Path(file).absolute()
    return _read(path) or Settings(root=path.parent, file=path)


def _read(file: Path) -> Settings | None:
    """Settings of a file, None for a pyproject.toml that has no `[tool.mllint-bio]`."""
    shown = _shown(file)
    project = file.name == "pyproject.toml"
    try:
        data = file.read_bytes()
        if project and b"mllint-bio" not in data:  # spares the import of a TOML reader, and other tools' faults are not ours
            return None
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown}: is not UTF-8, which TOML must be") from error
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        message = str(error)[: at.start()] if at else str(error)
        place = f":{at[1]}:{at[2]}" if at and at[1] else f":{text.count(chr(10)) + 1}" if at else ""
        raise ConfigError(f"{shown}{place}: {message}") from error
    except RecursionError as error:
        raise ConfigError(f"{shown}: nested too deeply") from error
    if project:
        tool = table.get("tool")
        if not isinstance(tool, dict) or "mllint-bio" not in tool:
            return None
        table = tool["mllint-bio"]
        if not isinstance(table, dict):
            raise ConfigError(f"{shown}: tool.mllint-bio must be a table")
    return _checked(table, text, file, shown)


def _checked(table: Mapping[str, Any], text: str, file: Path, shown: str) -> Settings:
    values: dict[str, Any] = {}
    options: dict[str, object] = {}
    for name, value in table.items():
        place = _line(shown, text, name)
        key = _KEYS.get(name)
        if key is None:
            hint = "; keys stand at the top level of this file" if name == "tool" else _hint(name, _KEYS)
            raise ConfigError(f"{place}: unknown key {name!r}{hint}")
        try:
            converted = key.convert(value)
        except ValueError as error:
            raise ConfigError(f"{place}: {name} must be {key.expects}, not {_toml(value)}{error}") from error
        if name in OPTIONS:
            options[name] = converted
        else:
            values[name.replace("-", "_")] = converted
    origin = dict.fromkeys(table, shown)
    return Settings(**values, options=options, root=file.parent, file=file, origin=origin)


def _line(shown: str, text: str, key: str) -> str:
    """`file:line` of a key, as near as a search can tell; TOML readers do not say."""
    found = re.search(rf"^[ \t]*(?:\[(?:[^\]\n]*\.)?)?[\"']?{re.escape(key)}[\"']?[ \t]*(?:[=.]|\])", text, re.MULTILINE)
    return f"{shown}:{text.count(chr(10), 0, found.start()) + 1}" if found else shown


def _shown(file: Path) -> str:
    try:
        return file.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(file)


def _toml(value: Any) -> str:
    """A value about as it stands in the file, short enough for a message."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(word: Any, right: Iterable[str]) -> str:
    return _hint(word, right) if isinstance(word, str) else ""


def _hint(word: str, right: Iterable[str]) -> str:
    """`; did you mean ...?` if something is near enough."""
    by_folded = {name.lower(): name for name in right}
    close = get_close_matches(word.lower().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return f"; did you mean {by_folded[close[0]]!r}?" if close else ""
