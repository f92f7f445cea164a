"""The stream, the logs with their names in it, and the warnings of the commands `ship` and `audit`."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from chora_logging.cli.commands import PROGRAM
from chora_logging.cli.paths import why_absent
from chora_logging.cli.terminal import printable
from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.source import is_address
from chora_logging.jetstream.address import Address
from chora_logging.jetstream.messages import PREFIX
from chora_logging.log_files import real_path
from chora_logging.schema import OWN_LOGGER

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64})*", re.ASCII)


def parsed(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """Return a callback of click that parses the value of an option, or None."""

    def callback(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ConfigurationError as error:
            raise click.BadParameter(f"must be {error.allowed}, got {error.value!r}") from None

    return callback


def _prefix(text: str) -> str:
    if _PREFIX.fullmatch(text):
        return text
    raise ConfigurationError("--prefix", text, "letters, digits, - and _, with dots between parts")


def shipped_logs(
    purpose: str,
    *,
    metavar: str = "nats://HOST[:PORT][,HOST…]/STREAM",
    parse: Callable[[str], Any] = Address.parse,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the argument `address`, and the options for logs and their subjects.

    Args:
        purpose: The beginning of the help of `--log`.
        metavar: The form of the address.
        parse: Parses it.
    """
    options = (
        click.argument("address", metavar=metavar, callback=parsed(parse)),
        click.option(
            "--log",
            "named",
            multiple=True,
            required=True,
            metavar="PATH",
            help=f"{purpose}; may be given several times. Its name in the stream is that of the file without "
            "its suffix; NAME=PATH gives another one.",
        ),
        click.option("--host", help="The name of this machine in the stream. Without it: its host name."),
        click.option(
            "--prefix",
            default=PREFIX,
            show_default=True,
            callback=parsed(_prefix),
            help="The beginning of the subjects: PREFIX.HOST.LOG.",
        ),
    )

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def logs_of(named: Sequence[str]) -> dict[str, EventLog]:
    """Return the logs that `--log` gives, by their names in the stream."""
    logs: dict[str, EventLog] = {}
    paths: set[str] = set()
    for text in named:
        name, equals, path = text.partition("=")
        if not equals or "/" in name:
            name, path = os.path.splitext(os.path.basename(text))[0], text
        if not name or not path or is_address(path):
            raise click.BadParameter(f"{text!r} is not [NAME=]PATH", param_hint="'--log'")
        if os.path.isdir(path):
            raise click.BadParameter(f"{path!r} is a folder", param_hint="'--log'")
        if os.path.exists(path) and not os.path.isfile(path):
            raise click.BadParameter(why_absent(path), param_hint="'--log'")
        if name in logs:
            hint = f"{name!r} is the name of two logs: give one another name, --log NAME={path}"
            raise click.BadParameter(hint, param_hint="'--log'")
        if (real := real_path(os.path.abspath(path))) in paths:
            raise click.BadParameter(f"{path!r} is given twice", param_hint="'--log'")
        paths.add(real)
        logs[name] = EventLog(path)
    return logs


def state_path(name: str, log: EventLog, state: str | None) -> str:
    """Return how the paths of the shipper's files begin: beside the log, or in the folder *state*."""
    if state is None:
        folder, filename = os.path.split(real_path(log.path))
        return os.path.join(folder, f".{filename}")
    with contextlib.suppress(OSError):  # `State` warns
        os.makedirs(state, exist_ok=True)
    return os.path.join(state, f".{name}")


@contextlib.contextmanager
def warnings_on_stderr(command: str) -> Iterator[None]:
    """Print what this package logs, and keep it out of files: a log that is shipped must not grow by it."""
    logger, handler = logging.getLogger(OWN_LOGGER), _Lines(command)
    before = logger.propagate, logger.level
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate, level = before[0], before[1]
        logger.setLevel(level)


class _Lines(logging.Handler):
    def __init__(self, command: str) -> None:
        super().__init__()
        self._command = command

    def emit(self, record: logging.LogRecord) -> None:
        say(self._command, record.getMessage())


def say(command: str, text: str) -> None:
    """Print a line of *command* on stderr."""
    click.echo(f"{PROGRAM} {command}: {printable(text)}", err=True)
