"""Follows several logs at once, from the newest of the stored events on."""

from __future__ import annotations

import contextlib
import select
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from chora_logging.cli.logs import Found, Log, merged
from chora_logging.eventlog.events import Event, Gap
from chora_logging.eventlog.file_feed import SHORTEST_POLL_SECONDS
from chora_logging.eventlog.following import Follower
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.pipe import Pipe, PipeReader
from chora_logging.eventlog.subscription import LONGEST_POLL_SECONDS, LONGEST_WAIT_SECONDS, Subscribed

Item = tuple[Log, Event | Gap]

_Reader = Follower | PipeReader | Subscribed

#: By log, the cursor after which to continue; None is the beginning of the log.
Positions = dict[Log, str | None]


def newest(logs: Sequence[Log], n: int, **filters: Any) -> tuple[list[Found], Positions]:
    """Return the newest *n* events of all *logs* together, oldest first, and where `following` continues.

    Promised: for each log, from the first of these events on, and also where they end, no event that
    matches the filters is missed or repeated.

    Args:
        logs: The logs; one that does not exist has no events, and all those of a pipe are new.
        n: The number of events.
        filters: The arguments of `Selection`; with `raw` also lines that are not events, as `RawLine`.

    Raises:
        OSError: a log exists and cannot be read.
    """
    stored: list[list[Found]] = []
    positions: Positions = {}
    for log in logs:
        events, positions[log] = ([], None) if log.is_pipe else _newest(log, n, filters)
        stored.append([Found(log, event) for event in events])
    return list(merged(stored))[-n:] if n else [], positions


def following(positions: Positions, *, raw: bool = False, **filters: Any) -> Iterator[list[Item]]:
    """Yield what is written after *positions*, as it is written, in lists; an empty one before each wait.

    Ends if all of the logs are pipes, and they end; else there is no end.

    Args:
        positions: The position in each log; a log that does not exist yet is waited for.
        raw: Whether lines that are not events are given too, as `RawLine`.
        filters: The arguments of `Selection`.

    Raises:
        OSError: a log exists and cannot be read.
    """
    with contextlib.ExitStack() as ends:
        sources: dict[Log, _Reader] = {}
        poll = select.poll()
        for log, after in positions.items():
            source = sources[log] = _source(log, after, raw, filters)
            ends.callback(source.close)
            if isinstance(source, PipeReader):
                poll.register(source, select.POLLIN)
        pause = SHORTEST_POLL_SECONDS
        while sources:
            pause = min(pause * 2, _longest_pause(sources))
            for log, source in list(sources.items()):
                if isinstance(source, PipeReader) and source.ended:
                    poll.unregister(source)
                    del sources[log]
                elif items := _next(source):
                    pause = SHORTEST_POLL_SECONDS
                    yield [(log, item) for item in items]
            if pause > SHORTEST_POLL_SECONDS:
                yield []
                poll.poll(pause * 1000)


def _longest_pause(sources: dict[Log, _Reader]) -> float:
    # Only a pipe can be waited for.
    are_pipes = all(isinstance(source, PipeReader) for source in sources.values())
    return LONGEST_WAIT_SECONDS if are_pipes else LONGEST_POLL_SECONDS


def _source(log: Log, after: str | None, raw: bool, filters: dict[str, Any]) -> _Reader:
    events = log.events
    if isinstance(events, Pipe):
        return events.reader(raw=raw, **filters)
    selection = log.selection(raw=raw, **filters)
    if not isinstance(events, EventLog):
        return events.subscribe(selection, after)
    return Follower(log.address, after=after, selection=selection, on_skip=log.count_skipped)


def _next(source: _Reader) -> Sequence[Event | Gap] | None:
    if isinstance(source, PipeReader):
        return source.poll_items()
    if isinstance(source, Follower):
        return source.poll_items() if source.has_news() else None
    return source.take() if source.fed else source.read()


def _newest(log: Log, n: int, filters: dict[str, Any]) -> tuple[list[Event], str | None]:
    """Return the newest *n* events of *log*, oldest first, and the position after which to continue."""
    # The end is determined first: if no event matches now, every match will be written after it.
    end = list(log.read(limit=1, newest_first=True, raw=filters.get("raw", False)))
    again, position = _counts(log), end[0].cursor if end else None
    log.skipped.clear()
    newest: list[Event] = []
    for event in log.read(limit=n, newest_first=True, **filters):
        if not newest:
            again, position = _counts(log), event.cursor
        newest.append(event)
    skipped, asked = again
    log.skipped.subtract(skipped)  # lines after the position will be read again
    for meaning, (events, unreadable) in asked.items():
        log.events.asked[meaning].events -= events - bool(newest)  # the event at the position is not
        log.events.asked[meaning].unreadable -= unreadable
    return newest[::-1], position


def _counts(log: Log) -> tuple[Counter[str], dict[str, tuple[int, int]]]:
    asked = {meaning: (found.events, found.unreadable) for meaning, found in log.events.asked.items()}
    return Counter(log.skipped), asked
