"""`mllint-bio check`: gathers files and settings, calls the engine and renders. Nothing is decided about findings here."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mllint_bio.cli import write
from mllint_bio.cli.settings import SEVERITY, SettingsTable, selector_options

if TYPE_CHECKING:
    from mllint_bio.cli.dynamic import Runs
    from mllint_bio.diagnostics import Report

LONG_RUN = 60  # files from which a progress bar is worth its screen


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATHS]...")
@selector_options
@click.option("--exclude", multiple=True, metavar="PATTERNS", help="Files and folders not to look at, instead of the settings'.")
@click.option(
    "--extend-exclude", multiple=True, metavar="PATTERNS", help="Files and folders not to look at, besides the settings'."
)
@click.option("--force-exclude", is_flag=True, default=None, help="Leave out excluded files even if they are named (for hooks).")
@click.option("--no-respect-gitignore", is_flag=True, help="Check files that git ignores, too.")
@click.option("--fail-on", type=SEVERITY, help="Least severity that makes the exit status 1.  [default: warning]")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even if there are findings.")
@click.option(
    "--output-format",
    type=click.Choice(["text", "concise", "json"]),
    default="text",
    show_default=True,
    help="How findings are shown.",
)
@click.option(
    "--statistics", is_flag=True, help="Count findings by rule instead of showing them (with json: besides, on stderr)."
)
@click.option(
    "--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True, help="When to colour."
)
@click.option("--stdin-filename", metavar="FILE", help="Name of what `-` reads from standard input.")
@click.option("--show-files", is_flag=True, help="List the files that would be checked, and stop.")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Worker processes.  [default: one a CPU]")
@click.option("--no-cache", is_flag=True, help="Neither read nor write the cache of results.")
@click.option(
    "--dynamic",
    is_flag=True,
    help="Run each program with findings once, in a sandbox, and add what the run shows; `confirm` does more for one program.",
)
@click.option("-q", "--quiet", is_flag=True, help="Findings and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is done, and show tracebacks of internal errors.")
def check(
    paths: tuple[str, ...],
    fail_on: Any,
    exit_zero: bool,
    output_format: str,
    statistics: bool,
    color: str,
    stdin_filename: str | None,
    show_files: bool,
    jobs: int | None,
    no_cache: bool,
    dynamic: bool,
    quiet: bool,
    verbose: bool,
    no_respect_gitignore: bool,
    **overrides: Any,
) -> int:
    """Find methodological faults in Python programs and notebooks under PATHS (default: this folder; `-`: standard input).

    Exit status: 0 nothing found, 1 findings of at least --fail-on, 2 wrong usage, an internal error, or nothing could be checked.
    """
    settings = SettingsTable.of(overrides, fail_on=fail_on, respect_gitignore=False if no_respect_gitignore else None)
    say: Callable[[str], None] = _say if verbose else lambda text: None
    if "-" in paths:
        if len(paths) > 1:
            raise click.UsageError("`-` (standard input) cannot be checked together with files")
        if dynamic:
            raise click.UsageError("--dynamic runs files; standard input cannot be run")
        report = _check_stdin(stdin_filename, settings, verbose)
    else:
        files, problems = settings.discover(paths or (".",))
        if show_files:
            write("".join(f"{file}\n" for file in files))
            return 2 if problems and not files else 0
        named = [Path(path) for path in paths if os.path.isdir(path)]
        report = _check_files(files, named, settings, jobs or _cpus(), not no_cache, verbose, quiet, say)
        report = replace(
            report, problems=tuple(sorted({*report.problems, *problems}, key=lambda p: (p.path, p.cell or 0, p.row, p.column)))
        )
    runs = _run_programs(report, files, settings, quiet, verbose) if dynamic else None
    _show(runs.report if runs else report, output_format, statistics, coloured(color), quiet, runs)
    for path, reason in report.skipped:
        say(f"{path}: skipped: {reason}")
    from mllint_bio.engine import exit_status

    status = exit_status(runs.standing() if runs else report, settings.here.fail_on)
    return 0 if exit_zero and status == 1 else status


def _check_files(
    files: list[Path],
    named: list[Path],
    settings: SettingsTable,
    jobs: int,
    cached: bool,
    verbose: bool,
    quiet: bool,
    say: Callable[[str], None],
) -> Report:
    from mllint_bio import cache, engine

    roots = sorted(set(engine.project_roots(files, named).values()))
    in_effect = [(root, settings.of_folder(Path(root))) for root in roots]
    name = cache.question([str(file) for file in files], in_effect) if cached else ""
    warned = not cached
    if cached:
        try:
            known = cache.recall(name, files)
        except cache.CacheWarning as warning:
            known, warned = None, True
            _say(f"warning: {warning}")
        if known is not None:
            say(f"{len(files)} files unchanged: result taken from {cache.folder()}")
            return known
    from mllint_bio.cli.registry import registry

    rules = registry()
    settings.validate(rules, map(Path, roots))
    started = time.time_ns()
    say(f"checking {len(files)} files of {len(roots)} projects with {len(rules.rules)} rules, {jobs} jobs")
    with _progress(2 * len(files), quiet) as advance:
        report = engine.check(files, settings.of_folder, rules, named=named, jobs=jobs, verbose=verbose, progress=advance)
    if cached:
        try:
            cache.remember(name, files, report, started)
        except cache.CacheWarning as warning:
            if not warned:
                _say(f"warning: {warning}")
    return report


def _run_programs(report: Report, files: list[Path], settings: SettingsTable, quiet: bool, verbose: bool) -> Runs:
    from mllint_bio import engine
    from mllint_bio.cli.confirm import progress
    from mllint_bio.cli.dynamic import run_programs

    with progress(quiet, verbose) as advance:
        return run_programs(report, {engine.shown(file): file for file in files}, settings.of_folder, advance)


def _check_stdin(filename: str | None, settings: SettingsTable, verbose: bool) -> Report:
    from mllint_bio import engine
    from mllint_bio.cli.registry import registry
    from mllint_bio.sources import load_text

    unit = load_text(sys.stdin.buffer.read(), filename or "<stdin>")
    path = Path(filename or "stdin.py")
    root = Path(engine.project_root(path))
    rules = registry()
    settings.validate(rules, [root])
    project = engine.open_project(root)
    project.overlay(unit)
    return engine.check_units([unit], project, settings.of_folder(root), rules, verbose=verbose)


def _show(report: Report, output_format: str, statistics: bool, colour: bool, quiet: bool, runs: Runs | None = None) -> None:
    from mllint_bio.render import problems

    if report.problems:
        click.echo(problems.problems(report.problems), nl=False, err=True)
    if statistics:
        from mllint_bio.render.statistics import statistics as count

        if output_format == "json":
            click.echo(count(report), nl=False, err=True)
        else:
            write(count(report))
    if output_format == "json":
        from mllint_bio.render.json import json

        write(json(report, runs.records() if runs else None))
    elif output_format == "concise" and not statistics:
        from mllint_bio.render.concise import concise

        write(concise(report, runs.remarks() if runs else None))
    elif not statistics:
        from mllint_bio.render.text import text

        write(text(report, colour=colour, remarks=runs.remarks() if runs else None))
    if not quiet:
        from mllint_bio.render.plain import one_line
        from mllint_bio.render.text import summary

        closing = summary(report) + "".join(one_line(line) + "\n" for line in (runs.lines if runs else ()))
        if output_format == "text":
            write(closing)
        else:
            click.echo(closing, nl=False, err=True)


def coloured(color: str) -> bool:
    """Whether `--color` means colours on standard output."""
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _say(text: str) -> None:
    click.echo(f"mllint-bio: {text}", err=True)


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr for long runs on a terminal; elsewhere nothing."""
    if quiet or total < 2 * LONG_RUN or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    # No refresh thread: worker processes are forked while the bar stands.
    with Progress(console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("checking", total=total)

        def advance(done: int) -> None:
            bar.advance(task, done)
            bar.refresh()

        yield advance
