"""Several logs watched at once: the newest events, then each one as it is written, without a seam."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from chora_logging.cli.logs import Found, Log, merged
from chora_logging.eventlog.events import Event, Gap
from chora_logging.eventlog.subscription import LONGEST_WAIT

#: How many items wait to be shown; then the logs wait, for reading on costs nothing later.
WAITING = 1000

Item = tuple[Log, Event | Gap]

#: By log, the cursor after which to go on; None is its beginning.
Positions = dict[Log, str | None]


def newest(logs: Sequence[Log], n: int, **filters: Any) -> tuple[list[Found], Positions]:
    """The newest *n* events of all *logs* together, oldest first, and where `following` goes on.

    Promised: for each log, no event that fits the filters is missing or comes twice from the first
    one on, where these end too.

    Args:
        logs: Which; those that do not exist have none.
        n: How many.
        filters: Those of `Selection`.

    Raises:
        OSError: a log exists and cannot be read.
    """
    stored: list[list[Found]] = []
    positions: Positions = {}
    for log in logs:
        events, positions[log] = _newest(log, n, filters)
        stored.append([Found(log, event) for event in events])
    return list(merged(stored))[-n:] if n else [], positions


def following(positions: Positions, **filters: Any) -> Iterator[Item]:
    """What is written after *positions*, without end; events of several logs come as they are written.

    Args:
        positions: Where in each log; one that does not exist is waited for.
        filters: Those of `Selection`.

    Raises:
        OSError: a log exists and cannot be read.
    """
    logs = list(positions)
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
        try:
            arrived = waiting.get(timeout=LONGEST_WAIT)
        except queue.Empty:
            continue
        if isinstance(arrived, Exception):
            raise arrived
        yield arrived


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
