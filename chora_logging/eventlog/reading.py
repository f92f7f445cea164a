"""Lines as events: which lines are events, which events are wanted, and one pass over what is stored."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from chora_logging.eventlog.files import LogFile, open_set
from chora_logging.schema import OWN_LOGGER

Event = dict[str, Any]

_told: dict[str, int] = {}


def parse(line: bytes) -> Event | None:
    """The event on *line*, or None if the line is not a JSON object."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def parse_all(lines: Iterable[bytes]) -> tuple[list[Event], int]:
    """The events on *lines*, and how many lines are neither blank nor an event."""
    events: list[Event] = []
    skipped = 0
    for line in lines:
        if (event := parse(line)) is not None:
            events.append(event)
        elif line.strip():
            skipped += 1
    return events, skipped


def wanted(**fields: object) -> Callable[[Event], bool]:
    """A function that says whether an event has all of *fields*; one that is None is not asked for.

    Values are compared as text, so that a task id finds its events whether it was logged as a
    number, a UUID or a string.
    """
    asked = {name: str(value) for name, value in fields.items() if value is not None}

    def is_wanted(event: Event) -> bool:
        return all(name in event and str(event[name]) == text for name, text in asked.items())

    return is_wanted


def read_stored(path: str) -> Iterator[Event]:
    """The events that the log *path* holds now, its backups included, oldest first.

    What is appended while reading goes on is not read. Lines that are not JSON objects are skipped;
    how many is logged when their number has changed since it was last said.

    Raises:
        OSError: the live file exists and cannot be opened.
    """
    files: list[LogFile] = open_set(path)
    skipped = 0
    try:
        for file in files:
            while lines := file.read_lines():
                events, bad = parse_all(lines)
                skipped += bad
                yield from events
            file.close()
    finally:
        for file in files:
            file.close()
    if skipped != _told.get(path, 0):
        _told[path] = skipped
        logging.getLogger(OWN_LOGGER).warning("%s: skipped %d lines that are not JSON objects", path, skipped)
