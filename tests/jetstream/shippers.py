"""Shippers and writers in processes of their own, and what a stream has in the end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import re
import signal
import subprocess
import sys
from typing import NamedTuple

from chora_logging import EventFileHandler, EventFormatter
from chora_logging.errors import NoAnswerError
from chora_logging.eventlog.rotated import cursor
from chora_logging.jetstream.messages import END, START, gap_of, head_of, lines_of
from tests.jetstream.servers import PATIENCE, done, wait_for

#: How many times all messages are read again.
ATTEMPTS = 5

#: A writer: path, name, number of events, events a second, maxBytes, backupCount, first number.
_WRITER = """
import logging, sys, time
from chora_logging import EventFileHandler, EventFormatter
path, name, number, rate, size, keep, first = sys.argv[1:]
handler = EventFileHandler(path, maxBytes=int(size), backupCount=int(keep))
handler.setFormatter(EventFormatter())
logger = logging.getLogger("writer")
logger.setLevel("INFO")
logger.addHandler(handler)
began = time.monotonic()
for n in range(int(number)):
    logger.info("step", extra={"w": name, "n": int(first) + n, "text": "x" * 120})
    ahead = n / float(rate) - (time.monotonic() - began)
    if ahead > 0.002:
        time.sleep(ahead)
"""


def write(path, number, *, name="w", rate=1e9, size=1_000_000, keep=50, first=0):
    """Start a writer; `wait` for it."""
    arguments = (path, name, number, rate, size, keep, first)
    return subprocess.Popen([sys.executable, "-c", _WRITER, *map(str, arguments)])


def written(path, number, *, name="w", size=1_000_000, keep=50, first=0):
    """Write the same events in this process."""
    with contextlib.closing(EventFileHandler(path, maxBytes=size, backupCount=keep)) as handler:
        handler.setFormatter(EventFormatter())
        logger = logging.Logger("writer", "INFO")
        logger.addHandler(handler)
        for n in range(first, first + number):
            logger.info("step", extra={"w": name, "n": n, "text": "x" * 120})


class Shipper:
    """A process of `chora-logging ship`; `output` is the path of what it says."""

    def __init__(self, address, output, *arguments, environment=None, code=""):
        self.output = output
        start = f"import sys; from chora_logging.cli import main; {code}\nsys.exit(main())"
        command = [sys.executable, "-c", start, "ship", str(address), *map(str, arguments)]
        with open(output, "ab") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **(environment or {})},
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self):
        """End it as a service manager does once it has started, and return its exit status."""
        wait_for(self._is_prepared, "the shipper's handler of SIGTERM")
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def _is_prepared(self):
        if self.process.poll() is not None:
            return True
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(re.search(r"^SigCgt:\t([0-9a-f]+)$", status, re.MULTILINE)[1], 16)
        return caught >> (signal.SIGTERM - 1) & 1

    def wait(self):
        """Return its exit status once it has ended."""
        return self.process.wait(PATIENCE)

    @property
    def said(self):
        """What it has said so far."""
        return self.output.read_text()


class Found(NamedTuple):
    """A message of a stream."""

    sequence: int
    subject: str
    head: object
    gap: object
    lines: bytes
    headers: dict


def messages_of(stream):
    """All messages that the stream has now, in order.

    A server that lags, or whose connection is lost, may not give all of them: then they are read again.
    """
    state = done(stream, stream.info())["state"]
    if not state["messages"]:
        return []

    async def read(client):
        import asyncio

        found = []
        complete = asyncio.get_running_loop().create_future()

        async def took(message):
            meta = message.metadata
            headers = dict(message.headers or {})
            lines = lines_of(message.data, headers)
            found.append(
                Found(
                    meta.sequence.stream, message.subject, head_of(headers), gap_of(headers), lines, headers
                )
            )
            # The server of the consumer may lack the newest messages yet, and have none pending.
            if len(found) >= state["messages"] and not complete.done():
                complete.set_result(None)

        jetstream = client.jetstream()
        subscription = await jetstream.subscribe(">", stream=stream.name, ordered_consumer=True, cb=took)
        try:
            await asyncio.wait_for(complete, PATIENCE / ATTEMPTS)
        finally:
            await subscription.unsubscribe()
        return found

    for _ in range(ATTEMPTS):
        with contextlib.suppress(NoAnswerError):
            return done(stream, stream.connection.with_client(read))
    raise AssertionError(f"the servers do not give all of {state['messages']} messages")


def events_of(messages):
    """The events in *messages* by their subject."""
    events = {}
    for each in messages:
        events.setdefault(each.subject, []).extend(map(json.loads, each.lines.splitlines()))
    return events


def numbers_of(messages, subject):
    """The numbers of the events of one subject, in the order of the stream."""
    return [event["n"] for event in events_of(messages).get(subject, [])]


def untiled(messages):
    """The messages whose start is not the end of the one before in their subject, and that tell no gap."""
    ends, found = {}, []
    for each in messages:
        start = cursor.decode(each.headers[START])
        end = ends.get(each.subject)
        follows = end is None or start[:5] == end[:5]
        follows = follows or (not start.offset and start.generation == end.generation + 1)
        if not follows and each.gap is None:
            found.append(each)
        ends[each.subject] = cursor.decode(each.headers[END])
    return found


def wait_for_numbers(stream, subject, expected, patience=PATIENCE):
    """Wait until the last message of the subject has the last of the numbers; return all messages.

    Servers that do not answer now, because a leader has just died, are asked again.
    """

    def complete():
        try:
            last = done(stream, stream.last_message(subject))
        except NoAnswerError:
            return False
        return last and json.loads(lines_of(last.payload, last.headers).splitlines()[-1])["n"] == expected[-1]

    wait_for(complete, f"{subject} up to {expected[-1]}", patience)
    return messages_of(stream)
