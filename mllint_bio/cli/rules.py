"""`mllint-bio rules`: all rules, by tip."""

from __future__ import annotations

import json
from collections import defaultdict

import click

from mllint_bio.cli.registry import registry
from mllint_bio.cli.tips import TIPS


@click.command()
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def rules(output_format: str) -> None:
    """List all rules by tip, with their severity and whether they are on by default."""
    installed = list(registry())
    if output_format == "json":
        keys = [
            {
                "code": r.code,
                "name": r.name,
                "tip": r.tip,
                "severity": r.severity.label,
                "status": r.status,
                "summary": r.summary(),
            }
            for r in installed
        ]
        click.echo(json.dumps(keys, indent=2))
        return
    by_tip = defaultdict(list)
    for rule in installed:
        by_tip[rule.tip].append(rule)
    width = max((len(r.name) for r in installed), default=0)
    for tip, members in sorted(by_tip.items()):
        click.echo(click.style(f"Tip {tip}. {TIPS.get(tip, '')}".rstrip(), bold=True))
        for rule in members:
            click.echo(f"  {rule.code}  {rule.name:<{width}}  {rule.severity.label:<7}  {rule.status:<7}  {rule.summary()}")
        click.echo()
    click.echo(f"{len(installed)} rules. `mllint-bio rule CODE` shows a rule's page.")
