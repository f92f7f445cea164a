"""The list of commands, and their exit statuses.

0 is success, 1 is a failed check, nothing found or a file error, 2 is wrong use; an error is one line on
stderr. A command that is ended by Ctrl-C or a closed pipe prints no error, and exits with the status that
a shell gives to that signal.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from chora_logging._version import __version__
from chora_logging.cli.reader_end import ReaderEnded
from chora_logging.errors import ChoraLoggingError, ServerError, nearest

PROGRAM = "chora-logging"

#: By command, the module that defines it as `command`, and its summary.
COMMANDS = {
    "demo": ("chora_logging.cli.demo.command", "Watch several processes write two logs that lose nothing."),
    "tail": ("chora_logging.cli.tail", "Show the newest events, and each new one as it is written."),
    "query": (
        "chora_logging.cli.query",
        "Print the events that match, as a table or for programs, or count them.",
    ),
    "trace": ("chora_logging.cli.trace", "Show the events of one trace in all logs as a timeline."),
    "stats": ("chora_logging.cli.stats.command", "Show statistics of the events in the logs."),
    "sql": ("chora_logging.cli.sql.command", "Ask the logs in SQL what no other command answers."),
    "check": ("chora_logging.cli.check.command", "Check every line of the logs for damage."),
    "serve": ("chora_logging.cli.serve", "Serve the logs over HTTP: a live page, REST and streams."),
    "token": ("chora_logging.cli.token", "Make a token for those who may read what serve serves."),
    "ship": ("chora_logging.cli.ship", "Copy logs into a NATS JetStream stream, from many machines."),
    "audit": ("chora_logging.cli.audit", "Compare logs with what a NATS JetStream stream has of them."),
    "config": ("chora_logging.cli.config", "Print the configuration that the environment gives."),
    "lnav-format": (
        "chora_logging.cli.lnav_format",
        "Print the file with which lnav, a viewer in the terminal, reads the logs.",
    ),
    "completion": ("chora_logging.cli.completion", "Print the script for shell completion."),
}

#: What an argument looks like that is a condition; a path may have the other operators.
_CONDITION = re.compile(r"[\w.\[\]-]+ *[~!<>]?=|[\w.]+ *[<>]", re.ASCII)

INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE


class NothingFound(click.ClickException):
    """Nothing matches the request: status 1, and a line that names it."""

    exit_code = 1


class CommandList(click.Group):
    """A group that imports each command when it is called; listing the commands imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that *args* begin with; the error for an unknown one names the nearest."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = nearest(name, COMMANDS)
            meant = f" Did you mean {near!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{meant} The commands are {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command with this name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin with *incomplete*."""
        names = [name for name in COMMANDS if name.startswith(incomplete)]
        items = [CompletionItem(name, help=COMMANDS[name][1]) for name in names]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list for `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the options of the program, some of which print and exit."""
        with _quiet_ends():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _quiet_ends():
            return super().invoke(ctx)


class LogCommand(click.Command):
    """A command with the option `--log`, whose error for an argument too many names the option to use."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*; an argument too many is probably a log or a filter."""
        ctx.allow_extra_args = True
        try:
            extra = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            ctx.fail(f"No such option {error.option_name}.{self._meant_by_option(error.option_name)}")
        if extra and not ctx.resilient_parsing:
            self.fail_on_extra(ctx, extra[0])
        return extra

    def fail_on_extra(self, ctx: click.Context, argument: str) -> NoReturn:
        """Raise the usage error for *argument*, which is probably a log or a filter without its option."""
        ctx.fail(f"Got unexpected extra argument ({argument}). Did you mean {self._meant(argument)}?")

    def _meant_by_option(self, name: str) -> str:
        options = [option for parameter in self.params for option in parameter.opts]
        if near := nearest(name.replace("_", "-"), options):
            return f" Did you mean {near}?"
        field = name.lstrip("-").replace("-", "_")
        if "--where" in options and name.startswith("--"):
            return f" If it is a field: --where {field}=VALUE."
        return f" See {PROGRAM} {self.name} --help."

    def _meant(self, argument: str) -> str:
        options = {option: parameter for parameter in self.params for option in parameter.opts}
        field, equals, value = argument.partition("=")
        if equals and (option := f"--{field.replace('_', '-')}") in options:
            return f"{option} {value}"
        if "--where" in options and _CONDITION.match(argument):
            return f"--where {shlex.quote(argument)}"
        named = not equals and "=" in (options["--log"].metavar or "")  # of `serve`
        return f"--log NAME={argument}" if named else f"--log {argument}"


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
      2  wrong use: an invalid option or variable, or a missing package
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name, and return the exit status."""
    try:
        with _some_stdout():
            status = commands.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.ClickException as error:
        _report(error)
        return error.exit_code
    except ChoraLoggingError as error:
        _print_error(PROGRAM, str(error))
        return 1 if isinstance(error, ServerError) else 2
    except (OSError, ReaderEnded) as error:
        if isinstance(error, OSError) and not _is_end_of_reader(error):
            _print_error(PROGRAM, _message_of(error))
            return 1
        _discard_output()
        return PIPE_CLOSED
    return status if isinstance(status, int) else 0


def _is_end_of_reader(error: BaseException | None) -> bool:
    """Return whether *error* came of `ReaderEnded`, which may have interrupted the closing of a file."""
    while error is not None and not isinstance(error, ReaderEnded):
        error = error.__context__
    return error is not None


@contextlib.contextmanager
def _some_stdout() -> Iterator[None]:
    if sys.stdout is not None:
        yield
        return
    # The caller has closed it: the output is discarded.
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def _quiet_ends() -> Iterator[None]:
    """End on Ctrl-C and on a closed pipe without an error message."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here a closed pipe can still be handled
    except KeyboardInterrupt:
        if sys.stderr is not None and sys.stderr.isatty():
            click.echo(err=True)  # the terminal has shown ^C: the prompt goes on the next row
        raise click.exceptions.Exit(INTERRUPTED) from None
    except (BrokenPipeError, ReaderEnded):
        _discard_output()
        raise click.exceptions.Exit(PIPE_CLOSED) from None


def _discard_output() -> None:
    # The interpreter flushes stdout once more at exit, and would report the closed pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: click.ClickException) -> None:
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()  # the help
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = error.format_message().replace("\n\t", " ")  # click lists choices on separate lines
    _print_error(context.command_path if context else PROGRAM, message)


def _print_error(who: str, message: str) -> None:
    from chora_logging.cli.terminal import printable

    # The message may quote what was typed, with its control characters.
    click.echo("\n".join(map(printable, f"{who}: {message}".split("\n"))), err=True)


def _message_of(error: OSError) -> str:
    message = error.strerror or str(error)
    return f"{error.filename}: {message}" if error.filename else message
