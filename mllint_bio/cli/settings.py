"""Settings of commands: the command line's over those of the nearest file, for each project that is checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mllint_bio.config import SEVERITIES, ConfigError, Settings, read_settings, settings_for, validate_selectors

if TYPE_CHECKING:
    from mllint_bio.findings import Severity
    from mllint_bio.rule import Registry
    from mllint_bio.sources import Problem

F = TypeVar("F", bound=Callable[..., Any])


class _Severity(click.Choice[Any]):
    """info, warning or error, as a Severity."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Severity:
        return SEVERITIES[str(super().convert(value, param, context))]


SEVERITY = _Severity(list(SEVERITIES))


def selector_options(command: F) -> F:
    """The options that say which settings file and which rules: common to `check` and `config`."""
    for option in reversed(
        (
            click.option(
                "--select", multiple=True, metavar="RULES", help="Rules to apply: codes, prefixes, names, tips (tip7) or ALL."
            ),
            click.option("--ignore", multiple=True, metavar="RULES", help="Rules not to apply."),
            click.option("--extend-select", multiple=True, metavar="RULES", help="Rules to apply besides the selected ones."),
            click.option("--min-severity", type=SEVERITY, help="Least severity that is shown.  [default: info]"),
            click.option("--preview/--no-preview", default=None, help="Apply preview rules too, and show possible findings."),
            click.option(
                "--config",
                "config_file",
                type=click.Path(exists=True, dir_okay=False),
                help="Settings file, instead of the nearest.",
            ),
        )
    ):
        command = option(command)
    return command


class SettingsTable:
    """Settings by folder. Every failure is a click.ClickException with one line."""

    def __init__(self, config_file: str | None, overrides: dict[str, Any]) -> None:
        self._config_file = config_file
        self._overrides = overrides
        self.here = self.of_folder(Path.cwd())

    @classmethod
    def of(cls, options: dict[str, Any], **more: Any) -> SettingsTable:
        """From the parsed command line; several values of one option may be repeated or separated by commas."""
        config_file = options.pop("config_file")
        overrides = {**options, **more}
        for name, value in overrides.items():
            if isinstance(value, tuple):
                overrides[name] = tuple(part.strip() for one in value for part in one.split(",") if part.strip()) or None
        return cls(config_file, overrides)

    def of_folder(self, folder: Path) -> Settings:
        """Settings in effect for files of this folder."""
        try:
            found = read_settings(self._config_file) if self._config_file else settings_for(folder)
            return found.override(**self._overrides)
        except ConfigError as error:
            raise click.ClickException(str(error)) from error

    def validate(self, rules: Registry, folders: Iterable[Path]) -> None:
        """Refuse selectors that name no rule."""
        from mllint_bio.diagnostics import ENGINE_CODES

        try:
            for settings in (self.here, *map(self.of_folder, folders)):
                validate_selectors(settings, [*rules, *ENGINE_CODES.values()])
        except ConfigError as error:
            raise click.ClickException(str(error)) from error

    def discover(self, paths: Iterable[str]) -> tuple[list[Path], list[Problem]]:
        """Files under the paths, each under the settings of its own place, and what could not be looked at."""
        from mllint_bio.sources import Problem, discover

        groups: dict[Path | None, tuple[Settings, list[str]]] = {}
        for path in dict.fromkeys(paths):
            settings = self.of_folder(Path(path))
            groups.setdefault(settings.file, (settings, []))[1].append(path)
        files: dict[str, Path] = {}
        problems: list[Problem] = []
        for settings, members in groups.values():
            found = discover(members, settings)
            problems += found.problems
            for file in found.files:
                files.setdefault(os.path.realpath(file), file)
            if not found.files and not found.problems:
                problems += [
                    Problem(p, 1, 1, "no Python file or notebook here", code="empty") for p in members if Path(p).is_dir()
                ]
        return sorted(files.values()), problems
