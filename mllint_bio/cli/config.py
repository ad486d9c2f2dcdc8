"""`mllint-bio config`: the settings in effect, and where each comes from."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Any

import click

from mllint_bio.cli import write
from mllint_bio.cli.settings import SettingsTable, selector_options
from mllint_bio.findings import Severity


@click.command()
@click.argument("path", default=".", type=click.Path(exists=True))
@selector_options
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def config(path: str, output_format: str, **overrides: Any) -> None:
    """Show every setting in effect for PATH (default: this folder), its value and where it comes from."""
    settings = SettingsTable.of(overrides).of_folder(Path(path))
    rows = [(key, _plain(value), origin) for key, value, origin in settings.items()]
    if output_format == "json":
        write(json.dumps({key: {"value": value, "origin": origin} for key, value, origin in rows}, indent=2) + "\n")
        return
    write(f"# file: {settings.file or 'none found'}\n")
    write(
        "".join(
            f"{key} = {_toml(value)}  # {origin}\n" if value is not None else f"# {key}: not set\n" for key, value, origin in rows
        )
    )


def _plain(value: object) -> Any:
    if isinstance(value, Severity):
        return value.label
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
