"""Several logs as one stream: in the order of time, and each in its own order."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from chora_logging.cli.logs import Log
from chora_logging.eventlog.events import Event
from chora_logging.eventlog.selection import time_of


class Found(NamedTuple):
    """An event and the log that it is in."""

    log: Log
    event: Event


def read(
    logs: Sequence[Log], *, limit: int | None = None, newest_first: bool = False, **filters: Any
) -> Iterator[Found]:
    """The events that *logs* hold now, oldest first, in memory that does not grow with the logs.

    Promised: the events of each log stay in its order; those of several are put in the order of time
    as far as that allows. One without a time stands where the one before it stands.

    Args:
        logs: Which.
        limit: At most so many events of all together.
        newest_first: In the opposite order.
        filters: Those of `Selection`.

    Raises:
        OSError: a log exists and cannot be read.
    """
    streams = [_found(log, limit, newest_first, filters) for log in logs]
    if len(streams) == 1:
        return streams[0]
    return itertools.islice(merged(streams, newest_first=newest_first), limit)


def last(logs: Sequence[Log], n: int, **filters: Any) -> list[Found]:
    """The newest *n* events of all *logs* together, oldest first, without reading the whole logs."""
    newest = [list(_found(log, n, True, filters))[::-1] for log in logs]
    return list(merged(newest))[-n:] if n else []


def merged(streams: Sequence[Iterable[Found]], *, newest_first: bool = False) -> Iterator[Found]:
    """*streams*, each of one log, as one: by time, without changing the order of any of them."""
    timed = [_timed(stream, newest_first) for stream in streams]
    for _, found in heapq.merge(*timed, key=_first, reverse=newest_first):
        yield found


def _found(log: Log, limit: int | None, newest_first: bool, filters: dict[str, Any]) -> Iterator[Found]:
    for event in log.events.read(limit=limit, newest_first=newest_first, **filters):
        yield Found(log, event)


def _timed(stream: Iterable[Found], newest_first: bool) -> Iterator[tuple[float, Found]]:
    # A log of several writers is not in the exact order of time; a key that never goes back keeps its order.
    key, further = (float("inf"), min) if newest_first else (float("-inf"), max)
    for found in stream:
        time = time_of(found.event)
        key = key if time is None else further(key, time)
        yield key, found


def _first(item: tuple[float, Found]) -> float:
    return item[0]
