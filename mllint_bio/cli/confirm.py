"""`mllint-bio confirm`: runs a program under observation and says of each finding what the run shows.

This module reads the command line, shows progress and writes the report. What is concluded is decided in
`mllint_bio.experiments.confirm`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mllint_bio.cli import write
from mllint_bio.cli.settings import SEVERITY, SettingsTable, selector_options
from mllint_bio.experiments.options import DEVICES, EXECUTORS, EXPERIMENTS

if TYPE_CHECKING:
    from mllint_bio.experiments.options import ConfirmOptions, Progress
    from mllint_bio.experiments.results import Confirmation
    from mllint_bio.findings import Severity
    from mllint_bio.observe.job import Command
    from mllint_bio.sources import SourceUnit

REPORT = "mllint-bio-confirm.html"
ARGUMENTS = "mllint_bio.arguments"


class _WithArguments(click.Command):
    """A command whose line may end in `-- ARGS`, which click never sees: they are the program's, `--` among them too."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        own, rest = (args[: args.index("--")], args[args.index("--") + 1 :]) if "--" in args else (args, [])
        context.meta[ARGUMENTS] = tuple(rest)
        try:
            return super().parse_args(context, own)
        except click.UsageError as error:
            if not isinstance(error, click.NoSuchOption) and "unexpected extra argument" not in error.message:
                raise
            hint = f"{error.format_message().rstrip('.')}; what belongs to the program itself stands after `--`"
            raise click.UsageError(hint, error.ctx) from error

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- ARGS...]"]


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Bytes: a number, with K, M, G or T for powers of 1024."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", value.strip().lower())
    size = int(float(found[1]) * 1024 ** " kmgt".index(found[2] or " ")) if found else 0
    if size < 1:
        raise click.BadParameter(f"{value!r} is no size: write 800M or 4G", context, parameter)
    return size


def _experiments(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Names of experiments, separated by commas, or `all`, or `none`; in the order in which they are shown."""
    if value is None:
        return None
    names = [name.strip().lower().replace("_", "-") for name in value.split(",") if name.strip()]
    if names in (["all"], ["none"]):
        return EXPERIMENTS if names == ["all"] else ()
    for name in names:
        if name not in EXPERIMENTS:
            from difflib import get_close_matches

            near = get_close_matches(name, (*EXPERIMENTS, "all", "none"), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(EXPERIMENTS)}, all and none"
            raise click.BadParameter(f"no experiment {name!r}; {hint}", context, parameter)
    if not names:
        raise click.BadParameter("names no experiment; write `none` for none", context, parameter)
    return tuple(name for name in EXPERIMENTS if name in names)


@click.command(cls=_WithArguments)
@click.argument("script", required=False)
@click.option("-m", "--module", metavar="NAME", help="Run a module (`-m pkg.train`) instead of a script.")
@selector_options
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where the program computes.")
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    help="Wall time of one run; then it ends, and what was seen until then counts.  [default: 600]",
)
@click.option("--max-steps", type=click.IntRange(min=1), help="Optimizer steps after which training loops end.")
@click.option("--max-epochs", type=click.IntRange(min=1), help="Passes of a training loop after which it ends.")
@click.option("--max-memory", callback=_size, metavar="SIZE", help="Memory that one run may take: 800M, 4G.")
@click.option(
    "--experiments",
    callback=_experiments,
    metavar="NAMES",
    help=f"What to measure besides: {', '.join(EXPERIMENTS)}; all; none.  [default: what the findings ask for]",
)
@click.option("--repeats", type=click.IntRange(min=2), default=5, show_default=True, help="Runs of one setting in an experiment.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    default=1800.0,
    help="Seconds that all experiments together may take.  [default: 1800]",
)
@click.option("--executor", type=click.Choice(EXECUTORS), default="local", show_default=True, help="Where experiments run.")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=None, help="Runs at the same time.  [default: as many as the device bears]"
)
@click.option("--allow-write", multiple=True, metavar="PATH", help="A folder that the program may write to; can be repeated.")
@click.option("--allow-network", is_flag=True, help="Let the program connect to other machines.")
@click.option("--allow-processes", is_flag=True, help="Let the program start other programs.")
@click.option("--keep", is_flag=True, help="Keep the scratch copies, and say where they are.")
@click.option("--no-cache", "--fresh", "fresh", is_flag=True, help="Run again what an earlier `confirm` has already run.")
@click.option("--fail-on", type=SEVERITY, help="Least severity of a fault that makes the exit status 1.  [default: warning]")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even if faults were confirmed or observed.")
@click.option(
    "--output-format", type=click.Choice(["text", "json", "html"]), default="text", show_default=True, help="How it is shown."
)
@click.option(
    "--output", metavar="FILE", help=f"Where to write it; `-`: standard output.  [default: -; for html {REPORT} in this folder]"
)
@click.option(
    "--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True, help="When to colour."
)
@click.option("-q", "--quiet", is_flag=True, help="Verdicts and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is done, and show tracebacks of internal errors.")
def confirm(
    script: str | None,
    module: str | None,
    device: str,
    max_seconds: float,
    max_steps: int | None,
    max_epochs: int | None,
    max_memory: int | None,
    experiments: tuple[str, ...] | None,
    repeats: int,
    budget: float,
    executor: str,
    jobs: int | None,
    allow_write: tuple[str, ...],
    allow_network: bool,
    allow_processes: bool,
    keep: bool,
    fresh: bool,
    fail_on: Any,
    exit_zero: bool,
    output_format: str,
    output: str | None,
    color: str,
    quiet: bool,
    verbose: bool,
    **overrides: Any,
) -> int:
    """Run SCRIPT (a program or a notebook) with ARGS in a sandbox, and say of each finding whether the run confirms it.

    The program works on a scratch copy of its project. It cannot write elsewhere, use the network or start other programs unless
    options allow it.

    Exit status: 0 no fault confirmed or observed, 1 faults of at least --fail-on, 2 wrong usage or the program could
    not be started.
    """
    from mllint_bio.experiments.options import ConfirmOptions
    from mllint_bio.observe.job import Limits, Permissions

    if (script is None) == (module is None):
        raise click.UsageError("name a script or notebook, or a module with -m" if script is None else "a script or -m, not both")
    file = _module_file(module) if module is not None else Path(str(script))
    check_program(file)
    command = command_of(file, click.get_current_context().meta[ARGUMENTS], module)
    table = SettingsTable.of(overrides, fail_on=fail_on)
    settings = table.of_folder(Path(command.root))
    target = _target(output, output_format, file)
    options = ConfirmOptions(
        limits=Limits(max_seconds, max_steps, max_epochs, max_memory),
        permissions=Permissions(tuple(map(_writable, allow_write)), allow_network, allow_processes),
        device=device,
        repeats=repeats,
        budget=budget,
        experiments=experiments,
        executor=executor,
        jobs=jobs,
        settings=settings,
        keep=keep,
        fresh=fresh,
    )
    _validate(table, command)
    with progress(quiet, verbose) as report:
        confirmation = run(command, options, report)
    _show(confirmation, output_format, target, color, quiet)
    status = exit_status(confirmation, settings.fail_on)
    return 0 if exit_zero and status == 1 else status


def run(command: Command, options: ConfirmOptions, report: Callable[[Progress], None]) -> Confirmation:
    """What `mllint_bio.experiments.confirm` concludes. Raises click.ClickException if the program cannot be started."""
    from mllint_bio.experiments.options import CannotStart
    from mllint_bio.observe.job import Status

    try:
        confirmation = _confirm()(command, options, report)
    except CannotStart as error:
        raise click.ClickException(str(error)) from error
    if confirmation.status == Status.NOT_STARTED.value:
        raise click.ClickException(confirmation.reason or "the program could not be started")
    return confirmation


def _confirm() -> Callable[[Command, ConfirmOptions, Callable[[Progress], None]], Confirmation]:
    """The conductor, imported when something is run."""
    from importlib import import_module

    try:
        conduct: Callable[..., Confirmation] = import_module("mllint_bio.experiments.confirm").confirm
    except ModuleNotFoundError as error:
        message = f"confirm needs the package {error.name!r}, which is not installed: pip install 'mllint-bio[dynamic]'"
        raise click.ClickException(message) from error
    return conduct


def exit_status(confirmation: Confirmation, fail_on: Severity) -> int:
    """1 if a fault of at least `fail_on` was confirmed or observed, else 0."""
    from mllint_bio.experiments.results import Verdict

    faults = (Verdict.CONFIRMED, Verdict.OBSERVED)
    return int(any(one.verdict in faults and one.finding.severity >= fail_on for one in confirmation.judgements))


# -- the program ---------------------------------------------------------------------------------------------------------


def check_program(file: Path) -> None:
    """Refuse what cannot be run: no such file, a folder, a syntax error, an R notebook. Raises click.ClickException."""
    from mllint_bio import engine
    from mllint_bio.sources import load

    shown = engine.shown(file)
    if not file.exists():
        raise click.ClickException(f"{shown} does not exist")
    if file.is_dir():
        raise click.ClickException(f"{shown} is a folder: name the script or notebook to run, or a module with -m")
    unit = load(file, shown)
    if unit.skipped:
        raise click.ClickException(f"{shown}: {unit.skipped}")
    if unit.kind == "python":
        from mllint_bio.predict.skeleton import syntax_problems

        for problem in syntax_problems(unit):
            raise click.ClickException(f"{problem.place}: {problem.message}")


def command_of(file: Path, arguments: tuple[str, ...] = (), module: str | None = None) -> Command:
    """The command for a program as the user would start it in the current folder.

    The project that is copied holds the program and the current folder: the program's project, or the current folder if the
    program lies below it in a project of its own.
    """
    from mllint_bio import engine
    from mllint_bio.observe.job import Command

    folder = os.path.realpath(os.curdir)
    path = os.path.join(os.path.realpath(file.parent), file.name)
    root = os.path.realpath(engine.project_root(Path(path)))
    if not _within(folder, root):
        root = folder if _within(path, folder) else os.path.realpath(engine.project_root(Path(folder, "program")))
    target = module or (os.path.relpath(path, folder) if _within(path, root) else path)
    kind = "module" if module else "notebook" if path.endswith(".ipynb") else "script"
    return Command(kind, target, arguments, folder, root)


def _within(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _module_file(name: str) -> Path:
    """The file that `python -m name` would run, found without importing anything: packages are the user's code."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise click.UsageError(f"{name!r} is no module name; a script is named without -m")
    parts = name.split(".")
    for base in (Path(), *(Path(entry) for entry in sys.path if entry), Path("src")):
        for file in (base.joinpath(*parts[:-1], parts[-1] + ".py"), base.joinpath(*parts, "__main__.py")):
            with suppress(OSError):
                if file.is_file():
                    return file
    raise click.ClickException(f"no module {name} in this folder or among the installed packages")


def _writable(path: str) -> str:
    """An absolute folder for `--allow-write`."""
    if not os.path.isdir(path):
        raise click.UsageError(f"--allow-write: {path} is not a folder")
    return os.path.realpath(path)


def _validate(table: SettingsTable, command: Command) -> None:
    """Refuse selectors that name no rule, before anything runs."""
    from mllint_bio.cli import registry

    table.validate(registry.registry(), [Path(command.root)])


# -- progress ------------------------------------------------------------------------------------------------------------


@contextmanager
def progress(quiet: bool, verbose: bool = False) -> Iterator[Callable[[Progress], None]]:
    """A line on the terminal that says what goes on; elsewhere nothing, or with `verbose` a line for each phase and run."""
    if quiet or not sys.stderr.isatty():
        said = [""]

        def say(state: Progress) -> None:
            line = state.phase + (f", run {state.run} of {state.runs}" if state.runs else "")
            if verbose and line != said[0]:
                click.echo(f"mllint-bio: {line}", err=True)
                said[0] = line

        yield say
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    # No refresh thread: other processes may be forked while the line stands.
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Bar(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("starting", total=None)

        def show(state: Progress) -> None:
            bar.update(task, description=described(state))
            bar.refresh()

        yield show


def described(state: Progress) -> str:
    """What goes on, in one line."""
    parts = [state.phase]
    if state.runs:
        parts.append(f"run {state.run} of {state.runs}")
    if state.seconds:
        parts.append(f"{state.seconds:.0f} s")
    if state.steps:
        parts.append(f"step {state.steps}")
    if state.loss is not None:
        parts.append(f"loss {state.loss:.4g}")
    return ", ".join(parts)


# -- the report ----------------------------------------------------------------------------------------------------------


def _target(output: str | None, output_format: str, program: Path) -> Path | None:
    """The file to write, None for standard output; refused before the run if it cannot be written."""
    name = output or (REPORT if output_format == "html" else "-")
    if name == "-":
        return None
    path = Path(os.path.realpath(name))
    if path == Path(os.path.realpath(program)):
        raise click.UsageError(f"--output: {name} is the program itself")
    if path.is_dir():
        raise click.UsageError(f"--output: {name} is a folder")
    if not path.parent.is_dir():
        raise click.UsageError(f"--output: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.UsageError(f"--output: {name} cannot be written")
    return path


def _show(confirmation: Confirmation, output_format: str, target: Path | None, color: str, quiet: bool) -> None:
    from mllint_bio.cli.check import coloured
    from mllint_bio.diagnostics import Units

    text = rendered(confirmation, output_format, Units(), target is None and coloured(color), quiet)
    if target is None:
        write(text)
    else:
        try:
            write_whole(target, text)
        except OSError as error:  # what took so long must not be lost
            if output_format != "text":
                text = rendered(confirmation, "text", Units(), coloured(color), quiet)
            write(text)
            raise click.ClickException(f"{target} cannot be written: {error.strerror or error}") from error
    if not quiet and (target is not None or output_format != "text"):
        from mllint_bio.render.confirmation_text import closing, how_it_ended

        where = f"; report: {target}" if target is not None else ""
        click.echo(f"{how_it_ended(confirmation)}\n{closing(confirmation)}{where}", err=True)


def rendered(confirmation: Confirmation, output_format: str, units: Mapping[str, SourceUnit], colour: bool, quiet: bool) -> str:
    """The report in one of its formats."""
    if output_format == "json":
        from mllint_bio.render.confirmation_json import confirmation_json

        return confirmation_json(confirmation)
    if output_format == "html":
        from mllint_bio.render.confirmation_html import confirmation_html

        return confirmation_html(confirmation, units)
    from mllint_bio.render.confirmation_text import confirmation_text

    return confirmation_text(confirmation, units, colour=colour, quiet=quiet)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is either there as a whole or as it was before. Raises OSError."""
    if path.exists() and not path.is_file():  # a device or pipe cannot be replaced
        path.write_text(text, encoding="utf-8")
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        if path.exists():
            beside.chmod(path.stat().st_mode & 0o7777)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
