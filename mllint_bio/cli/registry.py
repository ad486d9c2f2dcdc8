"""The installed rules, for commands: a broken plugin ends the command with one line that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mllint_bio.rule import Registry


def registry() -> Registry:
    """All installed rules. Raises click.ClickException when a plugin cannot be loaded."""
    from mllint_bio.rule import RegistryError, load_registry

    try:
        return load_registry()
    except RegistryError as error:
        raise click.ClickException(str(error)) from error
