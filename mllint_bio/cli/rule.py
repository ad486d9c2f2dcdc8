"""`mllint-bio rule CODE`: a rule's page, from its own docstring."""

from __future__ import annotations

import json
from typing import Any

import click

from mllint_bio.cli.registry import registry


@click.command()
@click.argument("code")
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def rule(code: str, output_format: str) -> None:
    """Show the page of a rule. CODE is a code or a name: MLB706 or transform-fitted-before-split."""
    page = _page(code)
    if output_format == "json":
        click.echo(json.dumps(page, indent=2))
        return
    click.echo(click.style(f"{page['code']} {page['name']}", bold=True) + f"  [{page['severity']}]  {_standing(page)}")
    click.echo()
    for line in page["page"].splitlines():
        heading = line.startswith("## ")
        click.echo(click.style(line[3:], bold=True) if heading else line)
    if page["remedy"]:
        click.echo(f"\n{click.style('Remedy', bold=True)}\n    {page['remedy']}")
    click.echo(f"\n{page['url']}")


def _standing(page: dict[str, Any]) -> str:
    tip = f"Tip {page['tip']}" if page["tip"] else "engine"
    status = {"on": "on by default", "preview": "needs --preview", "opt-in": "only when selected by its code"}[page["status"]]
    return f"{tip}, {status}, from {page['origin']}"


def _page(wanted: str) -> dict[str, Any]:
    """Everything that is known of a rule or of an engine code; raises click.UsageError for an unknown one."""
    from mllint_bio.diagnostics import ENGINE_CODES, rule_url

    for engine in ENGINE_CODES.values():
        if wanted.upper() == engine.code or wanted.lower() == engine.name:
            return {
                "code": engine.code,
                "name": engine.name,
                "tip": None,
                "severity": engine.severity.label,
                "status": "on",
                "summary": engine.page.split("\n", 1)[0],
                "page": engine.page,
                "remedy": "",
                "variants": [],
                "origin": "mllint-bio",
                "url": rule_url(engine.code, engine.name),
            }
    from mllint_bio.rule import load_rule

    found, origin = load_rule(wanted) or (None, "")
    if found is None:
        installed = registry()
        found = installed.find(wanted)
        origin = installed.origin[found.code] if found is not None else ""
    if found is None:
        from difflib import get_close_matches

        names = [*installed.rules, *(r.name for r in installed), *ENGINE_CODES]
        near = get_close_matches(wanted.upper(), names, n=1) or get_close_matches(wanted.lower(), names, n=1)
        raise click.UsageError(f"no rule {wanted!r}" + (f"; did you mean {near[0]}?" if near else "; see `mllint-bio rules`"))
    return {
        "code": found.code,
        "name": found.name,
        "tip": found.tip,
        "severity": found.severity.label,
        "status": found.status,
        "summary": found.summary(),
        "page": found.page(),
        "remedy": found.remedy,
        "variants": list(found.variants),
        "origin": origin,
        "url": rule_url(found.code, found.name),
    }
