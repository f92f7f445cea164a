"""The longest line is the same for writers and readers: one byte more is refused, and counted."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys

import httpx
import pytest

from chora_logging import BufferedEventFileHandler, EventFileHandler, EventFormatter, speedups
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.rotated import file as reading
from chora_logging.log_files import LONGEST_LINE_BYTES
from chora_logging.telemetry import EventEmitter, TelemetryEvent
from chora_logging.web import create_app
from tests.web.serving import ask, serving


class Padded(TelemetryEvent):
    """An event of any length."""

    event_type: str = "test.padded"
    pad: str


WHOLE_ONLY = [pytest.param(kind, marks=pytest.mark.whole) for kind in ("rotated", "buffered")]


@pytest.fixture(params=["plain", *WHOLE_ONLY, "emitter"])
def write(request, tmp_path):
    """Write an event with so many bytes of padding; return the errors that were reported."""
    log, refused = tmp_path / "app.jsonl", []
    max_bytes = "10MB" if request.param == "rotated" else 0
    if request.param == "emitter":
        emitter = EventEmitter(log, max_bytes=max_bytes)

        def emit(size):
            try:
                emitter.emit(Padded(status="success", pad="x" * size))
            except OSError as error:
                refused.append(str(error))
            return refused

        yield emit
        emitter.close()
        return
    handler = (BufferedEventFileHandler if request.param == "buffered" else EventFileHandler)(
        log, maxBytes=max_bytes
    )
    handler.setFormatter(EventFormatter())
    handler.handleError = lambda record: refused.append(record)

    def log_it(size):
        handler.handle(logging.makeLogRecord({"msg": "padded", "levelname": "INFO", "pad": "x" * size}))
        handler.flush()
        return refused

    yield log_it
    handler.close()


def test_the_longest_and_one_byte_more(write, tmp_path):
    """The longest event is written, read, followed and served; one byte more is refused, with the reason."""
    log = EventLog(tmp_path / "app.jsonl")
    assert write(1) == []
    shortest = len(log.last(1)[0].json) + 1
    longest = LONGEST_LINE_BYTES - shortest + 1

    assert write(longest) == []
    assert len(write(longest + 1)) == 1
    assert write(2) != []

    events = [event for event in log.read() if "pad" in event]
    assert [len(event["pad"]) for event in events] == [1, longest, 2]
    assert len(events[1].json) + 1 == LONGEST_LINE_BYTES
    newest = [len(event["pad"]) for event in log.read(newest_first=True) if "pad" in event]
    assert newest == [2, longest, 1]
    following = (event for event in log.follow_sync() if "pad" in event)
    assert [len(next(following)["pad"]) for _ in range(3)] == [1, longest, 2]
    following.close()
    reported = [event for event in log.read() if event.get("event") == "records_lost"]
    if reported:
        assert [event["lost"] for event in reported] == [1]
        assert f"{LONGEST_LINE_BYTES + 1} bytes are too long for a line" in reported[0]["message"]
    else:
        assert f"{LONGEST_LINE_BYTES + 1} bytes are too long for a line" in write(2)[0]
    served = Served(tmp_path / "app.jsonl")
    assert longest in served.page() and longest in served.printed()
    assert longest in asyncio.run(served.streamed(longest))


class Served:
    """What the server and the command give of a log: the lengths of the padding of its events."""

    def __init__(self, log):
        self.log = log
        self.app = create_app({"shop": log})

    def page(self):
        """A page of JSON."""
        return [length_in(event) for event in ask(self.app, "/api/v1/shop/events").json()["events"]]

    def printed(self):
        """The output of the command."""
        command = [sys.executable, "-m", "chora_logging", "tail", "--log", self.log, "--json"]
        done = subprocess.run(command, check=True, capture_output=True)
        return [length_in(json.loads(line)) for line in done.stdout.splitlines()]

    async def streamed(self, last):
        """The events of a stream up to one with padding of the length *last*."""
        found = []
        async with serving(self.app) as port, httpx.AsyncClient() as browser:
            url = f"http://localhost:{port}/api/v1/shop/events/stream"
            async with browser.stream("GET", url) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        found.append(length_in(json.loads(line.removeprefix("data: "))))
                    if last in found:
                        return found
        return found


def length_in(event):
    """The length of the padding."""
    return len(event.get("pad", ""))


def test_one_constant():
    """Readers and the compiled part have the constant of the writers."""
    assert reading.LONGEST_LINE_BYTES == LONGEST_LINE_BYTES
    if speedups.in_use:
        from chora_logging.speedups import _speedups

        assert _speedups.LONGEST_LINE_BYTES == LONGEST_LINE_BYTES
