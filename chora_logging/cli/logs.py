"""The logs that a command reads: named by `--log`, or found through the environment; merged by time."""

from __future__ import annotations

import contextlib
import functools
import heapq
import itertools
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import click

from chora_logging import settings
from chora_logging.cli import amounts
from chora_logging.cli.commands import PROGRAM, NothingFound
from chora_logging.cli.filters import fields_option, not_empty
from chora_logging.cli.terminal import printable
from chora_logging.eventlog.events import Event, Skipped
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.source import Source, is_address, open_source
from chora_logging.log_files import real_path
from chora_logging.schema import OWN_LOGGER

#: How many events without a time are held until one with a time shows where they belong.
HELD_EVENTS = 1000


@dataclass(frozen=True, eq=False)
class Log:
    """A log that a command reads.

    Attributes:
        name: Its name on a screen, unique among the logs of a command.
        address: The path of the live file, or the address of another source.
        fields: The names of fields that mean something, as for `EventLog`.
        skipped: How many lines were skipped because they are not events, by reason.
        events: Reads the log, and counts in *skipped* the lines that it skips.
    """

    name: str
    address: str
    fields: Mapping[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)

    @functools.cached_property
    def events(self) -> Source:
        """The reader of the log."""
        return open_source(self.address, on_skip=self._skip, fields=self.fields)

    @property
    def meaning(self) -> Meaning:
        """Says what the fields of its events mean."""
        return self.events.meaning

    def close(self) -> None:
        """Give up the connections of its reader."""
        if "events" in vars(self):
            self.events.close()

    def files(self) -> list[str]:
        """Return the paths of the files of the log; none if another source has it."""
        return self.events.files() if isinstance(self.events, EventLog) else []

    def written(self) -> float:
        """Return the time of the last write to the log, in seconds since 1970; 0 without a file."""
        with contextlib.suppress(OSError):
            return max(map(os.path.getmtime, self.files()), default=0.0)
        return 0.0

    def _skip(self, skipped: Skipped) -> None:
        self.skipped[skipped.reason] += 1


@dataclass(frozen=True)
class Logs:
    """The logs that a command was asked to read.

    Attributes:
        all: Each of them, whether it exists yet or not.
        variables: By path, the variable that gave it; empty if `--log` named the logs.
    """

    all: Sequence[Log]
    variables: dict[str, str]

    def existing(self) -> list[Log]:
        """Return the logs that exist, for a command that does not wait for the others.

        Raises:
            click.BadParameter: a log that the user named does not exist.
            NothingFound: the user named none, and none of the expected ones exists.
        """
        found = [log for log in self.all if log.events.exists()]
        if self.variables:
            if not found:
                raise NothingFound(
                    f"no log found; looked for\n{self._looked_for()}\n  (--log PATH names another)"
                )
            return found
        for log in self.all:
            if log not in found:
                raise click.BadParameter(f"{_not_there(log.address)}", param_hint="'--log'")
        return found

    def _looked_for(self) -> str:
        width = max(map(len, self.variables))
        return "\n".join(
            f"  {printable(path):<{width}}  ({variable})" for path, variable in self.variables.items()
        )


def log_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options `--log` and `--field` to a command, which receives a `Logs` as the argument `logs`.

    A file that cannot be read is reported on stderr immediately. Skipped lines, and events whose level or
    time a filter could not read, are reported when the command ends, also with an exception.
    """

    @functools.wraps(function)
    def with_logs(*args: Any, log_paths: Sequence[str], meanings: dict[str, str], **kwargs: Any) -> Any:
        logs = named(log_paths, meanings) if log_paths else expected(meanings)
        try:
            with _warnings_reported():
                return function(*args, logs=logs, **kwargs)
        finally:
            report_skipped(logs.all)
            report_unreadable(logs.all)
            for log in logs.all:
                log.close()

    option = click.option(
        "--log",
        "log_paths",
        metavar="PATH",
        multiple=True,
        type=click.Path(dir_okay=False),
        callback=not_empty,
        help="A log to read, with its backups, or a stream, nats://HOST/STREAM; may be given several times. "
        "Without it, the logs that programs here write: ORCH_LOG_FILE, CHORA_EVENTS_FILE, LOG_FILE, or their "
        "defaults.",
    )
    return option(fields_option(with_logs))


def named(addresses: Sequence[str], fields: Mapping[str, str] | None = None) -> Logs:
    """Return the logs at *addresses*, each once, named by the shortest unambiguous suffix of its address.

    Args:
        addresses: Paths, and addresses of other sources.
        fields: The names of fields that mean something, as for `EventLog`.
    """
    found = {_identity(address): address for address in reversed(addresses)}
    names = _names(list(found.values())[::-1])
    return Logs([Log(name, address, fields or {}) for name, address in names], {})


def expected(fields: Mapping[str, str] | None = None) -> Logs:
    """Return the logs that programs with this environment and working directory write.

    Args:
        fields: The names of fields that mean something, as for `EventLog`.

    Raises:
        ConfigurationError: a variable has an invalid value.
    """
    orchestrator = "ORCH_LOG_FILE" if os.environ.get("ORCH_LOG_FILE") else "ORCH_ID, ORCH_LOG_FILE"
    candidates = [
        ("orchestrator", settings.resolve_orch_log_file(), orchestrator),
        ("telemetry", settings.resolve_events_file(), "CHORA_EVENTS_FILE"),
        ("general", settings.resolve_log_file(), "LOG_FILE"),
    ]
    logs: dict[str, Log] = {}
    variables: dict[str, str] = {}
    for name, path, variable in candidates:
        if path is not None:
            logs.setdefault(real_path(os.path.abspath(path)), Log(name, path, fields or {}))
            variables.setdefault(path, variable)
    return Logs(list(logs.values()), variables)


def report_skipped(logs: Sequence[Log]) -> None:
    """Report on stderr how many lines of *logs* are not events, and why; print nothing if all are."""
    reasons: Counter[str] = sum((log.skipped for log in logs), Counter())
    if not reasons:
        return
    count = sum(reasons.values())
    where = ", ".join(log.name for log in logs if +log.skipped)
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:3]
    why = "; ".join(f"{number:,} {reason}" for reason, number in most) + "; …" * (len(reasons) > 3)
    lines = f"skipped {count:,} line{' that is not an event' if count == 1 else 's that are not events'}"
    click.echo(f"{PROGRAM}: {lines} in {printable(where)}: {why}", err=True)


def report_unreadable(logs: Sequence[Log]) -> None:
    """Report on stderr how many events filters passed over because they cannot be read; nothing if none."""
    for meaning in ("level", "time"):
        asked = [found for log in logs if (found := log.events.asked.get(meaning)) is not None]
        if count := sum(found.unreadable for found in asked):
            words = amounts.unreadable(count, sum(found.events for found in asked), meaning)
            click.echo(f"{PROGRAM}: {words} (--field {meaning}=NAME says which field has it)", err=True)


class _Warnings(logging.Handler):
    """Prints each distinct warning once, as a line on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if (message := record.getMessage()) not in self._seen:
            self._seen.add(message)
            click.echo(f"{PROGRAM}: {printable(message)}", err=True)


@contextlib.contextmanager
def _warnings_reported() -> Iterator[None]:
    logger, handler = logging.getLogger(OWN_LOGGER), _Warnings()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _identity(address: str) -> str:
    return address if is_address(address) else real_path(os.path.abspath(address))


def _names(addresses: Sequence[str]) -> list[tuple[str, str]]:
    """Pair each address with its name: its last part without suffix, and earlier ones until it is unique."""
    parts = [_parts(address) for address in addresses]
    for depth in range(1, max(map(len, parts)) + 1):
        names = [os.sep.join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return list(zip(names, addresses, strict=True))
    return [(address, address) for address in addresses]  # they differ only in their suffixes


def _parts(address: str) -> list[str]:
    if is_address(address):
        return address.split("/")
    return os.path.splitext(os.path.abspath(address))[0].split(os.sep)


def _not_there(path: str) -> str:
    if is_address(path):
        return f"{printable(path)}: there is no such stream"
    if os.path.exists(path):
        return f"{printable(path)} is not a regular file"
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.isdir(folder):
        folder, missing = os.path.dirname(folder), folder
        if os.path.isdir(folder):
            return f"{printable(path)} does not exist: there is no folder {printable(missing)}"
    return f"{printable(path)} does not exist, and has no backup"


class Found(NamedTuple):
    """An event and the log that it comes from."""

    log: Log
    event: Event


def read(
    logs: Sequence[Log], *, limit: int | None = None, newest_first: bool = False, **filters: Any
) -> Iterator[Found]:
    """Return the events that *logs* hold now, oldest first, in memory that does not grow with the logs.

    Promised: the order within each log is preserved. The events of several logs are merged by time as
    far as that allows; an event without a time stays at its place in its log.

    Args:
        logs: The logs to read.
        limit: The maximum number of events of all logs together.
        newest_first: Whether to reverse the order.
        filters: The arguments of `Selection`.

    Raises:
        OSError: a log exists and cannot be read.
    """
    streams = [_found(log, limit, newest_first, filters) for log in logs]
    if len(streams) == 1:
        return streams[0]
    return itertools.islice(merged(streams, newest_first=newest_first), limit)


def last(logs: Sequence[Log], n: int, **filters: Any) -> list[Found]:
    """Return the newest *n* events of all *logs* together, oldest first, without reading whole logs."""
    newest = [list(_found(log, n, True, filters))[::-1] for log in logs]
    return list(merged(newest))[-n:] if n else []


def merged(streams: Sequence[Iterable[Found]], *, newest_first: bool = False) -> Iterator[Found]:
    """Merge *streams*, each of one log, by time; the order within each stream is preserved."""
    timed = [_timed(stream, newest_first) for stream in streams]
    for _, found in heapq.merge(*timed, key=_first, reverse=newest_first):
        yield found


def _found(log: Log, limit: int | None, newest_first: bool, filters: dict[str, Any]) -> Iterator[Found]:
    for event in log.events.read(limit=limit, newest_first=newest_first, **filters):
        yield Found(log, event)


def _timed(stream: Iterable[Found], newest_first: bool) -> Iterator[tuple[float, Found]]:
    """Pair each event with its time; one without a time gets that of its neighbour in the log.

    If no event has one, all get the time at which the log was written.
    """
    # A log of several writers is not exactly in the order of time; a monotonic key preserves its order.
    unknown, further = (float("inf"), min) if newest_first else (float("-inf"), max)
    key: float | None = None
    held: list[Found] = []
    for found in stream:
        time = found.log.meaning.time_of(found.event)
        if key is None and time is None and len(held) < HELD_EVENTS:
            held.append(found)
            continue
        if key is None:
            key = unknown if time is None else time
        elif time is not None:
            key = further(key, time)
        for before in held:
            yield key, before
        held.clear()
        yield key, found
    for before in held:
        yield before.log.written(), before


def _first(item: tuple[float, Found]) -> float:
    return item[0]
