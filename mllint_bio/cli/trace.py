"""`mllint-bio trace`: the predicted trace of a program, for people who doubt a finding and for those who write rules."""

from __future__ import annotations

from pathlib import Path

import click

from mllint_bio.cli import write


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def trace(file: str, output_format: str) -> int:
    """Show what the linter understands of FILE: every load, split, fit, draw and score in order, with the rows it touches."""
    from mllint_bio import engine
    from mllint_bio.cli.settings import SettingsTable
    from mllint_bio.render import trace as rendered
    from mllint_bio.render.problems import problems
    from mllint_bio.sources import load

    path = Path(file)
    root = Path(engine.project_root(path))
    settings = SettingsTable(None, {}).of_folder(root)
    unit = load(path, engine.shown(path))
    click.echo(problems(unit.problems), nl=False, err=True)
    if unit.skipped:
        if not unit.problems:
            click.echo(f"{unit.path}: skipped: {unit.skipped}", err=True)
        return 2
    project = engine.open_project(root)
    project.overlay(unit)
    traces, place = engine.traces(unit, project, settings)
    if not traces:
        click.echo(f"{unit.path}: no program or function that does anything the rules ask about", err=True)
    places = place(site for one in traces for site in rendered.sites(one))
    write(rendered.as_json(traces, places) if output_format == "json" else rendered.text(traces, places))
    return 0
