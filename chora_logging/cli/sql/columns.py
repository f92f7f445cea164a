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
from chora_logging.eventlog.values import text_of

#: How many events the first batch has, as a query may want no more, and how many the largest: what they
#: take should fit in the cache of the processor.
FIRST_EVENTS, MOST_EVENTS = 256, 2048

#: How many bytes of lines a batch has at most, but for its last event.
BATCH_BYTES = 8 * 1024 * 1024

#: Returns the values that the events of a log have in a column.
Values = Callable[[Log, list[Event]], list[Any]]


class Column(NamedTuple):
    """A column of `events`.

    Attributes:
        type: Its type in SQL.
        kind: The same in Arrow.
        values: Returns its values.
    """

    type: str
    kind: Kind
    values: Values


def read(logs: Sequence[Log], names: Sequence[str]) -> Callable[[], Generator[Batch, None, None]]:
    """Open *logs*, and return a function that reads the columns *names* of their events.

    What is written to a log later is not read. The logs come one after the other, each in its own order.

    Raises:
        OSError: a log exists and cannot be read.
    """
    # The first event of each is read now, so that all of them are opened.
    opened = [(log, _begun(log.read(unended=True))) for log in logs]

    def batches() -> Generator[Batch, None, None]:
        size = FIRST_EVENTS
        for log, events in opened:
            while batch := _some(events, size):
                size = min(size * 2, MOST_EVENTS)
                values = {name: COLUMNS[name].values(log, batch) for name in names}
                _count_unreadable(log, batch, values)
                yield Batch(len(batch), [COLUMNS[name].kind.buffers(values[name]) for name in names])

    return batches


def _begun(events: Iterator[Event]) -> Iterator[Event]:
    first = list(itertools.islice(events, 1))
    return itertools.chain(first, events)


def _some(events: Iterator[Event], most: int) -> list[Event]:
    found: list[Event] = []
    size = 0
    for event in events:
        found.append(event)
        size += len(event.json)
        if len(found) == most or size >= BATCH_BYTES:
            break
    return found


def _count_unreadable(log: Log, events: list[Event], values: Mapping[str, list[Any]]) -> None:
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


def _times(log: Log, events: list[Event]) -> list[int | None]:
    times = map(log.meaning.time_of, events)
    return [None if time is None else round(time * 1e6) for time in times]


def _field(name: str) -> Values:
    def values(log: Log, events: list[Event]) -> list[str | None]:
        return _as_texts(event.get(name) for event in events)

    return values


def _names(log: Log, events: list[Event]) -> list[str | None]:
    return _as_texts(map(log.meaning.event_of, events))


def _messages(log: Log, events: list[Event]) -> list[str | None]:
    return _as_texts(map(log.meaning.message_of, events))


def _as_texts(values: Iterable[Any]) -> list[str | None]:
    return [value if value is None or type(value) is str else text_of(value) for value in values]


#: By name, in the order in which a query sees them.
COLUMNS: dict[str, Column] = {
    "timestamp": Column("TIMESTAMP", arrow.TIMESTAMP, _times),
    "level": Column("VARCHAR", arrow.TEXT, lambda log, events: list(map(log.meaning.level_of, events))),
    "logger": Column("VARCHAR", arrow.TEXT, _field("logger")),
    "event": Column("VARCHAR", arrow.TEXT, _names),
    "task_id": Column("VARCHAR", arrow.TEXT, _field("task_id")),
    "run_id": Column("VARCHAR", arrow.TEXT, _field("run_id")),
    "trace_id": Column("VARCHAR", arrow.TEXT, lambda log, events: list(map(log.meaning.trace_of, events))),
    "message": Column("VARCHAR", arrow.TEXT, _messages),
    "duration_ms": Column(
        "DOUBLE", arrow.NUMBER, lambda log, events: list(map(log.meaning.duration_of, events))
    ),
    "severity": Column(
        "DOUBLE", arrow.NUMBER, lambda log, events: list(map(log.meaning.severity_of, events))
    ),
    "is_error": Column("BOOLEAN", arrow.TRUTH, lambda log, events: list(map(log.meaning.is_error, events))),
    "log": Column("VARCHAR", arrow.TEXT, lambda log, events: [log.name] * len(events)),
    "line": Column("JSON", arrow.JSON, lambda log, events: [event.json for event in events]),
}
