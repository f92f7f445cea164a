"""The columns of `events`: what each of them has of an event, as `eventlog.meaning` understands it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from chora_logging.cli.logs import Log
from chora_logging.cli.sql import arrow
from chora_logging.cli.sql.arrow import Batch, Kind
from chora_logging.eventlog.comparing import Asked
from chora_logging.eventlog.events import Event
from chora_logging.eventlog.meaning import Fields, Meaning
from chora_logging.eventlog.values import text_of

#: How many events the first batch has, as a query may want no more, and how many the largest: what they
#: take should fit in the cache of the processor.
FIRST_EVENTS, MOST_EVENTS = 256, 2048

#: How many bytes of lines a batch has at most, but for its last event.
BATCH_BYTES = 8 * 1024 * 1024

#: The events of a batch, or, where no query sees a whole one, the fields that are needed.
Events = Sequence[Mapping[str, Any]]

#: Returns the values that the events of a log have in a column.
Values = Callable[[Log, Events], list[Any]]

#: Returns the keys of an event on which its value depends; None if it is of the whole event.
Keys = Callable[[Meaning], frozenset[str]] | None


class Column(NamedTuple):
    """A column of `events`.

    Attributes:
        type: Its type in SQL.
        kind: The same in Arrow.
        values: Returns its values.
        keys: Returns the keys on which they depend.
    """

    type: str
    kind: Kind
    values: Values
    keys: Keys


def read(logs: Sequence[Log], names: Sequence[str]) -> Callable[[], Generator[Batch, None, None]]:
    """Open *logs*, and return a function that reads the columns *names* of their events.

    What is written to a log later is not read. The logs come one after the other, each in its own order.

    Raises:
        OSError: a log exists and cannot be read.
    """
    # The first event of each is read now, so that all of them are opened.
    opened = [(log, _begun(_events(log, names))) for log in logs]

    def batches() -> Generator[Batch, None, None]:
        size = FIRST_EVENTS
        for log, events in opened:
            while batch := _some(events, size):
                size = min(size * 2, MOST_EVENTS)
                values = {name: COLUMNS[name].values(log, batch) for name in names}
                _count_unreadable(log, batch, values)
                yield Batch(len(batch), [COLUMNS[name].kind.buffers(values[name]) for name in names])

    return batches


def _events(log: Log, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Return the events of *log* with all that the columns *names* need."""
    needed: set[str] = set()
    for name in names:
        keys = COLUMNS[name].keys
        if keys is None:
            return log.read(unended=True)
        needed |= keys(log.meaning)
    return log.fields_of_events(frozenset(needed))


def _begun(events: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    first = list(itertools.islice(events, 1))
    return itertools.chain(first, events)


def _some(events: Iterator[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    size = 0
    for event in events:
        found.append(event)
        size += len(event.json) if isinstance(event, Event) else sum(map(_size, event.values()))
        if len(found) == most or size >= BATCH_BYTES:
            break
    return found


def _size(value: Any) -> int:
    """Return about how much room *value* takes, in bytes; it has been read from a line."""
    if isinstance(value, dict):
        return sum(map(_size, value)) + sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list) else len(value) if type(value) is str else 8


def _count_unreadable(log: Log, events: Events, values: Mapping[str, list[Any]]) -> None:
    """Note how many *events* have no time or level that can be read, if a query asks for these."""
    if "timestamp" in values:
        _count(log, "time", len(events), values["timestamp"].count(None))
    for name in ("severity", "level"):
        if name in values:
            # A typed event without a level is not unreadable: filters take it for INFO.
            without = [event for event, value in zip(events, values[name], strict=True) if value is None]
            _count(log, "level", len(events), list(map(log.meaning.severity_of, without)).count(None))
            return


def _count(log: Log, meaning: str, events: int, unreadable: int) -> None:
    asked = log.events.asked.setdefault(meaning, Asked())
    asked.events += events
    asked.unreadable += unreadable


def _times(log: Log, events: Events) -> list[int | None]:
    times = map(log.meaning.time_of, events)
    return [None if time is None else round(time * 1e6) for time in times]


def _field(name: str) -> Values:
    def values(log: Log, events: Events) -> list[str | None]:
        return _as_texts(event.get(name) for event in events)

    return values


def _names(log: Log, events: Events) -> list[str | None]:
    return _as_texts(map(log.meaning.event_of, events))


def _messages(log: Log, events: Events) -> list[str | None]:
    return _as_texts(map(log.meaning.message_of, events))


def _as_texts(values: Iterable[Any]) -> list[str | None]:
    return [value if value is None or type(value) is str else text_of(value) for value in values]


def _lines(log: Log, events: Events) -> list[bytes]:
    return [event.json for event in events if isinstance(event, Event)]


def _text(name: str) -> Column:
    return Column("VARCHAR", arrow.TEXT, _field(name), lambda meaning: frozenset((name,)))


def _meant(type: str, kind: Kind, meaning: str, read: Callable[[Meaning], Callable[[Fields], Any]]) -> Column:
    """Return the column of what *read* returns, which depends on the keys of *meaning*."""
    return Column(
        type,
        kind,
        lambda log, events: list(map(read(log.meaning), events)),
        lambda said: said.keys(meaning),
    )


#: By name, in the order in which a query sees them.
COLUMNS: dict[str, Column] = {
    "timestamp": Column("TIMESTAMP", arrow.TIMESTAMP, _times, lambda meaning: meaning.keys("time")),
    "level": _meant("VARCHAR", arrow.TEXT, "level", lambda meaning: meaning.level_of),
    "logger": _text("logger"),
    "event": Column("VARCHAR", arrow.TEXT, _names, lambda meaning: meaning.keys("event")),
    "task_id": _text("task_id"),
    "run_id": _text("run_id"),
    "trace_id": _meant("VARCHAR", arrow.TEXT, "trace", lambda meaning: meaning.trace_of),
    "message": Column(
        "VARCHAR", arrow.TEXT, _messages, lambda meaning: meaning.keys("message") | meaning.keys("event")
    ),
    "duration_ms": _meant("DOUBLE", arrow.NUMBER, "duration", lambda meaning: meaning.duration_of),
    "severity": _meant("DOUBLE", arrow.NUMBER, "level", lambda meaning: meaning.severity_of),
    "is_error": _meant("BOOLEAN", arrow.TRUTH, "level", lambda meaning: meaning.is_error),
    "log": Column(
        "VARCHAR", arrow.TEXT, lambda log, events: [log.name] * len(events), lambda meaning: frozenset()
    ),
    "line": Column("JSON", arrow.JSON, _lines, None),
}
