"""The list of commands, and how each of them ends.

0 is done, 1 is "a check failed" or "nothing found", 2 is wrong use; an error is one line on stderr. A
command that Ctrl-C or a closed pipe ends, ends without a word and with the status that a shell gives
to that signal.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from chora_logging._version import __version__
from chora_logging.errors import ChoraLoggingError

PROGRAM = "chora-logging"

#: Each command: the module that has it, under the name `command`, and what it does.
COMMANDS = {
    "demo": ("chora_logging.cli.demo.command", "Watch several processes write two logs that lose nothing."),
    "tail": ("chora_logging.cli.tail", "Show the newest events, and each new one as it is written."),
    "query": (
        "chora_logging.cli.query",
        "Print the events that fit, as a table or for programs, or count them.",
    ),
    "trace": ("chora_logging.cli.trace", "Show the events of one trace over all logs as a timeline."),
    "stats": ("chora_logging.cli.stats.command", "Show what is in the logs, in numbers."),
    "check": ("chora_logging.cli.check.command", "Look at every line of the logs for damage."),
    "serve": ("chora_logging.cli.serve", "Serve the logs over HTTP: a live page, REST and streams."),
    "config": ("chora_logging.cli.config", "Print the configuration that the environment gives."),
    "completion": ("chora_logging.cli.completion", "Make a shell complete commands and options."),
}

INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE


class NothingFound(click.ClickException):
    """What was asked for is not there: status 1, and a line that says what was looked for."""

    exit_code = 1


class CommandList(click.Group):
    """Commands that are imported when they are called: the list of them loads none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of commands and options that begin so."""
        names = [name for name in COMMANDS if name.startswith(incomplete)]
        items = [CompletionItem(name, help=COMMANDS[name][1]) for name in names]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list for `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options of the program, of which some print and end it."""
        with _quiet_ends():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _quiet_ends():
            return super().invoke(ctx)


@click.group(cls=CommandList, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def commands() -> None:
    """Typed, traced events in rotated files: written by any number of processes, read back and watched.

    \b
    Example:
      chora-logging demo

    \b
    Status:
      0  done
      1  nothing found, a check failed, or a file cannot be read or written
      2  wrong use: an option, a variable, a package that is not installed
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name, and return the exit status."""
    try:
        with _some_stdout():
            status = commands.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        _tell(error)
        return error.exit_code
    except ChoraLoggingError as error:
        _say(PROGRAM, str(error))
        return 2
    except OSError as error:
        _say(PROGRAM, _told(error))
        return 1
    return status if isinstance(status, int) else 0


@contextlib.contextmanager
def _some_stdout() -> Iterator[None]:
    if sys.stdout is not None:
        yield
        return
    # Closed by who called: what is printed is wanted nowhere.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def _quiet_ends() -> Iterator[None]:
    """Ctrl-C and a closed pipe are no errors."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # while it can still be told that nobody reads it
    except KeyboardInterrupt:
        if sys.stderr is not None and sys.stderr.isatty():
            click.echo(err=True)  # the terminal has written ^C: the prompt belongs into the next row
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(PIPE_CLOSED) from None


def _tell(error: click.ClickException) -> None:
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()  # the help
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = error.format_message().replace("\n\t", " ")  # click puts choices below each other
    _say(context.command_path if context else PROGRAM, message)


def _say(who: str, message: str) -> None:
    from chora_logging.cli.terminal import printable

    # What was typed may stand in it, and would be obeyed.
    click.echo("\n".join(map(printable, f"{who}: {message}".split("\n"))), err=True)


def _told(error: OSError) -> str:
    told = error.strerror or str(error)
    return f"{error.filename}: {told}" if error.filename else told
