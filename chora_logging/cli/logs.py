"""The logs that a command reads: named by the user, or found through the environment; merged by time."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import heapq
import itertools
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import click

from chora_logging import settings
from chora_logging.cli import paths, reports
from chora_logging.cli.commands import LogCommand, NothingFound
from chora_logging.cli.fields import report_fields
from chora_logging.cli.filters import fields_option, not_empty
from chora_logging.cli.reader_end import ended_with_reader
from chora_logging.cli.terminal import color_option, printable
from chora_logging.eventlog.equal_events import EqualEvents
from chora_logging.eventlog.events import Event, Skipped
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.pipe import STDIN, Pipe, is_pipe
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.source import Source, is_address, open_source
from chora_logging.log_files import real_path

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
    def is_pipe(self) -> bool:
        """Whether it is stdin or a FIFO, which can be read only once."""
        return is_pipe(self.address)

    @functools.cached_property
    def events(self) -> Source | Pipe:
        """The reader of the log."""
        if self.is_pipe:
            return Pipe(self.address, on_skip=self.count_skipped, fields=self.fields)
        return open_source(self.address, on_skip=self.count_skipped, fields=self.fields)

    @property
    def meaning(self) -> Meaning:
        """Says what the fields of its events mean."""
        return self.events.meaning

    def close(self) -> None:
        """Give up the connections of its reader."""
        if "events" in vars(self) and not isinstance(self.events, Pipe):
            self.events.close()

    def read(
        self,
        *,
        limit: int | None = None,
        newest_first: bool = False,
        raw: bool = False,
        unended: bool = False,
        trace_prefix: str = "",
        **filters: Any,
    ) -> Iterator[Event]:
        """Return its events; with *raw* and *unended* also what `Selection` says.

        With *trace_prefix*, only those whose trace id begins with it, but not of a pipe.
        """
        events = self.events
        if isinstance(events, Pipe):
            return events.read(limit=limit, newest_first=newest_first, raw=raw, **filters)
        if not (raw or unended or trace_prefix):
            return events.read(limit=limit, newest_first=newest_first, **filters)
        selection = self.selection(raw=raw, **filters)
        selection.unended = unended
        if trace_prefix:
            selection.begin_trace(trace_prefix)
        return itertools.islice(events.select(selection, newest_first=newest_first), limit)

    def fields_of_events(
        self, keys: frozenset[str], equal: EqualEvents | None = None, **filters: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Return its events with at least the fields *keys*, a last one without its newline included.

        Those that *equal* counts are left out.
        """
        if not isinstance(self.events, EventLog):
            return self.read(unended=True, **filters)
        selection = self.selection(raw=False, **filters)
        selection.unended = True
        return self.events.select_fields(selection, keys, equal)

    def selection(self, *, raw: bool, **filters: Any) -> Selection:
        """Return the filter of its events."""
        selection = Selection(**filters, meaning=self.meaning, asked=self.events.asked)
        selection.raw = raw
        return selection

    def files(self) -> list[str]:
        """Return the paths of the files of the log; none if another source has it."""
        return self.events.files() if isinstance(self.events, EventLog) else []

    def written(self) -> float:
        """Return the time of the last write to the log, in seconds since 1970; 0 without a file."""
        if self.is_pipe:
            return time.time()
        with contextlib.suppress(OSError):
            return max(map(os.path.getmtime, self.files()), default=0.0)
        return 0.0

    def count_skipped(self, skipped: Skipped) -> None:
        """Count a line that was skipped."""
        self.skipped[skipped.reason] += 1


@dataclass(frozen=True)
class Logs:
    """The logs that a command was asked to read.

    Attributes:
        all: Each of them, whether it exists yet or not.
        variables: By path, the variable that gave it; empty if the user named the logs.
        arguments: The paths that the user named by FILE and not by `--log`.
    """

    all: Sequence[Log]
    variables: dict[str, str]
    arguments: frozenset[str] = frozenset()

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
                hint = "FILE" if log.address in self.arguments else "--log"
                raise click.BadParameter(paths.why_absent(log.address), param_hint=f"'{hint}'")
        return found

    @contextlib.contextmanager
    def rereadable(self) -> Iterator[list[Log]]:
        """Return those of `existing`, with temporary copies of pipes, so that they can be read twice."""
        with tempfile.TemporaryDirectory() as folder:
            logs = self.existing()
            for number, log in enumerate(logs):
                if isinstance(log.events, Pipe):
                    copy = os.path.join(folder, str(number))
                    log.events.copy_to(copy)
                    logs[number] = Log(log.name, copy, log.fields, log.skipped)
            yield logs

    def _looked_for(self) -> str:
        width = max(map(len, self.variables))
        return "\n".join(
            f"  {printable(path):<{width}}  ({variable})" for path, variable in self.variables.items()
        )


def log_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add FILE and the options `--log` and `--field` to a command, which receives a `Logs` as `logs`.

    A file that cannot be read is reported on stderr immediately. Skipped lines, and events whose level or
    time a filter could not read, are reported when the command ends, also with an exception.
    """

    @functools.wraps(function)
    def with_logs(
        *args: Any, files: Sequence[str], log_paths: Sequence[str], meanings: dict[str, str], **kwargs: Any
    ) -> Any:
        logs = _chosen(files, log_paths, meanings)
        # A file that is written is completed, whether anybody reads stdout or not.
        end = contextlib.nullcontext() if kwargs.get("path") else ended_with_reader()
        try:
            with reports.warnings_reported(), end:
                return function(*args, logs=logs, **kwargs)
        finally:
            reports.report_skipped({log.name: log.skipped for log in logs.all})
            reports.report_unreadable([log.events.asked for log in logs.all])
            report_fields([log.events for log in logs.all])
            for log in logs.all:
                log.close()

    # Whether it can be read is seen when it is: a look before that fails in the middle of a rotation.
    of_path = click.Path(dir_okay=False, readable=False)
    argument = click.argument("files", metavar="[FILE]...", nargs=-1, type=of_path, callback=_check_files)
    option = click.option(
        "--log",
        "log_paths",
        metavar="PATH",
        multiple=True,
        type=of_path,
        callback=not_empty,
        help="A log to read, with its backups, the same as FILE, or a stream, nats://HOST/STREAM; may be "
        "given several times. `-` is stdin, a quoted glob all files that it matches. Without one, a pipe on "
        "stdin, or else the logs that programs here write: ORCH_LOG_FILE, CHORA_EVENTS_FILE, LOG_FILE, or "
        "their defaults.",
    )
    return argument(option(fields_option(color_option(with_logs))))


def _check_files(ctx: click.Context, param: click.Parameter, files: Sequence[str]) -> Sequence[str]:
    not_empty(ctx, param, files)
    for path in files:
        # The name of a log may have the sign, but more likely it is a filter without its option.
        if (
            "=" in path
            and not (os.path.lexists(path) or is_address(path))
            and isinstance(ctx.command, LogCommand)
        ):
            ctx.command.fail_on_extra(ctx, path)
    return files


def _chosen(files: Sequence[str], log_paths: Sequence[str], fields: Mapping[str, str]) -> Logs:
    if not files and not log_paths:
        if not paths.stdin_has_input():
            return expected(fields)
        log_paths = [STDIN]
    elif [*files, *log_paths].count(STDIN) > 1:
        raise click.UsageError("stdin can be read only once: give - once")
    files = paths.expanded(files, "FILE")
    given = paths.without_backups([*files, *paths.expanded(log_paths, "--log")])
    return dataclasses.replace(named(given, fields), arguments=frozenset(files))


def named(addresses: Sequence[str], fields: Mapping[str, str] | None = None) -> Logs:
    """Return the logs at *addresses*, each once, named by the shortest unambiguous suffix of its address.

    Args:
        addresses: Paths, and addresses of other sources.
        fields: The names of fields that mean something, as for `EventLog`.
    """
    found = {_identity(address): address for address in reversed(addresses)}
    names = paths.names_of(list(found.values())[::-1])
    return Logs([Log(name, address, fields or {}) for name, address in names], {})


def _identity(address: str) -> str:
    is_path = address != STDIN and not is_address(address)
    return real_path(os.path.abspath(address)) if is_path else address


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
        filters: The arguments of `Selection`; with `raw` also lines that are not events, as `RawLine`.

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
    # Nobody follows: nothing comes after a last line without its newline.
    for event in log.read(limit=limit, newest_first=newest_first, unended=True, **filters):
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
