"""The command line. One module a command, imported when the command runs: starting up costs click and nothing else."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

import click

import mllint_bio

COMMANDS = {
    "check": "Find methodological faults in programs and notebooks.",
    "confirm": "Run a program in a sandbox and measure what was found in it.",
    "rule": "Show the page of a rule.",
    "rules": "List all rules by tip.",
    "config": "Show the settings in effect and where each comes from.",
    "trace": "Show what a program does, as the rules see it.",
    "server": "Run the language server on stdin and stdout.",
}


class LazyGroup(click.Group):
    """A group that knows the names and summaries of its commands and imports a command when it is run."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command, imported now; None if there is none of this name."""
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f"mllint_bio.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in the help, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, context: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest command named when there is none of this name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            context.fail(f"No command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(context, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(mllint_bio.__version__, prog_name="mllint-bio", message="%(prog)s %(version)s")
def group() -> None:
    """Finds methodological faults in machine-learning code for biology: leakage, missing seeds, test-set reuse, untuned
    baselines, broken training loops.

    Exit status: 0 nothing found, 1 findings, 2 wrong usage or an internal error.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: one line for every error, never a traceback (unless `--verbose` asks for it)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names and sources may hold what the terminal cannot show
    try:
        status = group.main(args=arguments, prog_name="mllint-bio", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "mllint-bio"
        fail(f"{error.format_message()} (see `{command} --help`)", status=2)
    except click.ClickException as error:
        fail(error.format_message(), status=2)
    except (click.exceptions.Abort, KeyboardInterrupt):
        fail("interrupted", status=130)
    except Exception as error:  # a fault of ours: say so in one line, with the way to learn more
        if {"-v", "--verbose"} & set(sys.argv if arguments is None else arguments):
            raise
        fail(f"internal error: {type(error).__name__}: {error} (--verbose shows the traceback)", status=2)
    sys.exit(status if isinstance(status, int) else 0)


def write(text: str) -> None:
    """Write to stdout; end quietly when whoever reads it (head, a pager) has gone."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at exit
        sys.exit(141)


def fail(message: str, status: int) -> NoReturn:
    """Exit with one line on stderr."""
    try:
        print(f"mllint-bio: error: {' '.join(message.split())}", file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(status)
