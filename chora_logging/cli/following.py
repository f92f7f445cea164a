"""Several logs watched at once: the newest events, then each one as it is written, without a seam."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chora_logging.cli.logs import Log
from chora_logging.cli.merging import Found, merged
from chora_logging.eventlog.items import Event, Gap

#: How many items wait to be shown; then the logs wait, for reading on costs nothing later.
WAITING = 1000

Item = tuple[Log, Event | Gap]


def newest_and_next(logs: Sequence[Log], n: int, **filters: Any) -> Iterator[Item]:
    """The newest *n* events of all *logs* together, oldest first, then what is written, without end.

    Promised: for each log, no event that fits the filters is missing or comes twice from the first
    one shown on, where the stored ones end too. Events of several logs come as they are written.

    Args:
        logs: Which; those that do not exist are waited for.
        n: How many stored ones.
        filters: Those of `Selection`.

    Raises:
        OSError: a log exists and cannot be read.
    """
    stored: list[list[Found]] = []
    positions: dict[Log, str | None] = {}
    for log in logs:
        events, positions[log] = _newest(log, n, filters)
        stored.append([Found(log, event) for event in events])
    yield from list(merged(stored))[-n:] if n else ()
    yield from _followed(logs, positions, filters)


def _newest(log: Log, n: int, filters: dict[str, Any]) -> tuple[list[Event], str | None]:
    """The newest *n* events of *log*, oldest first, and the position after which to go on."""
    # The end is looked up first: if nothing fits, all that fits will be written after it.
    end = log.events.last(1)
    again, position = Counter(log.skipped), end[0].cursor if end else None
    log.skipped.clear()
    newest: list[Event] = []
    for event in log.events.read(limit=n, newest_first=True, **filters):
        if not newest:
            again, position = Counter(log.skipped), event.cursor
        newest.append(event)
    log.skipped.subtract(again)  # lines after the position, which will be read once more
    return newest[::-1], position


def _followed(
    logs: Sequence[Log], positions: Mapping[Log, str | None], filters: dict[str, Any]
) -> Iterator[Item]:
    if len(logs) == 1:
        for item in logs[0].events.follow_sync(positions[logs[0]], **filters):
            yield logs[0], item
    waiting: queue.Queue[Item | Exception] = queue.Queue(WAITING)

    def follow(log: Log) -> None:
        try:
            for item in log.events.follow_sync(positions[log], **filters):
                waiting.put((log, item))
        except Exception as error:
            waiting.put(error)

    for log in logs:
        threading.Thread(target=follow, args=(log,), daemon=True).start()
    while True:
        arrived = waiting.get()
        if isinstance(arrived, Exception):
            raise arrived
        yield arrived
