"""`mllint-bio server`."""

from __future__ import annotations

import click


@click.command()
def server() -> None:
    """Run the language server on stdin and stdout. Editors start it; see the user guide for their settings."""
    try:
        import pygls  # noqa: F401
    except ImportError as error:
        raise click.ClickException('the language server needs the extra "lsp": pip install "mllint-bio[lsp]"') from error
    from mllint_bio.server import serve

    serve()
