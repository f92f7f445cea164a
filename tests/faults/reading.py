"""Bodies of processes that write a log at a pace, and of readers that may be killed at any moment."""

from __future__ import annotations

import asyncio
import os
import time

from chora_logging.eventlog import EventLog, Gap
from tests.faults.writer import logger_on, write

#: The number of events that a writer writes together, and the pause between them, in seconds.
EVENTS, PAUSE = 4, 0.01


def write_until(log, writer, stop, results, **options):
    """Write until the file *stop* exists; then report the number of events."""
    logger = logger_on(log, **options)
    count = 0
    while not os.path.exists(stop):
        write(logger, writer, count + EVENTS, first=count, size=50)
        count += EVENTS
        time.sleep(PAUSE)
    results.put((writer, count))


def follow(log, path, asynchronous):
    """Follow *log* from where the record *path* ends, and append each item to it with one write."""
    record = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    cut_torn_line(path)
    if asynchronous:
        asyncio.run(_follow(log, path, record))
    for item in EventLog(log).follow_sync(after=last_cursor(path)):
        note(record, item)


async def _follow(log, path, record):
    async for items in EventLog(log).follow_batches(after=last_cursor(path)):
        for item in items:
            note(record, item)


def note(record, item):
    """Add the line for an event of a writer, with its cursor, or for a gap."""
    if isinstance(item, Gap):
        os.write(record, b"gap\n")
    elif "writer" in item:
        os.write(record, f"{item['writer']} {item['seq']} {item.cursor}\n".encode())


def cut_torn_line(path):
    """Take back the last line if it is not whole: a `write` that is killed may end at a page of memory."""
    with open(path, "r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def entries(path):
    """The content of a record: (writer, number) of each event, None for a gap."""
    with open(path, encoding="ascii") as file:
        for text in file:
            writer, *rest = text.split()
            yield (int(writer), int(rest[0])) if rest else None


def last_cursor(path):
    """The cursor of the last event that was recorded."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 10_000))
        events = [text for text in file.read().splitlines() if text.count(b" ") == 2]
    return events[-1].split()[-1].decode() if events else None
