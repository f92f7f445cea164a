"""Streams of a cluster of three NATS servers on this machine, filled and read in different ways, and timed.

Every way stores the same lines, or finds the same events, and is checked. Servers and clients share the
machine's cores and its disk, so only ratios within a round mean something.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import nats

from chora_logging.eventlog import EventLog
from chora_logging.eventlog.blocks import BlockFollower
from chora_logging.eventlog.events import Block
from chora_logging.jetstream.credentials import Credentials
from chora_logging.jetstream.log import JetStreamLog
from chora_logging.jetstream.messages import DEFLATE, ENCODING, Message, lines_of, message
from chora_logging.jetstream.shipping import Shipment
from chora_logging.jetstream.stream import Stream
from chora_logging.shipping.loop import ship
from chora_logging.shipping.oversize import Oversize, pieces
from chora_logging.shipping.state import State
from tests.jetstream.servers import Servers, connected, create, done

#: The number of single messages that may be under way.
WINDOW = 1000
#: The events of each trace, and the number of the trace that is sought.
EVENTS_A_TRACE, TRACE = 20, 2

_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Log:
    """A log of numbered events, each of some trace; a line has about 270 bytes."""

    path: pathlib.Path
    events: int

    @classmethod
    def make(cls, folder: pathlib.Path, events: int) -> Log:
        """Write the log; the events of a trace are spread over it."""
        path = folder / "events.log"
        traces = max(events // EVENTS_A_TRACE, 3)
        with path.open("w") as file:
            for number in range(events):
                line = {
                    "timestamp": f"2026-01-01T00:00:{number % 60:02}.{number % 10**6:06}Z",
                    "level": "INFO",
                    "logger": "shop.orders",
                    "event": "step",
                    "task_id": f"task-{number % 97}",
                    "trace_id": trace_id(number % traces),
                    "message": "A step of the task has ended",
                    "number": number,
                    "items": [{"sku": f"sku-{number % 1009}", "price": number % 89 / 10}] * 2,
                }
                file.write(json.dumps(line) + "\n")
        return cls(path, events)

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.path.stat().st_size

    @property
    def of_the_trace(self) -> int:
        """The number of events of the trace that is sought."""
        traces = max(self.events // EVENTS_A_TRACE, 3)
        return len(range(TRACE, self.events, traces))

    def blocks(self) -> list[Block]:
        """The blocks of which a shipper makes messages."""
        with BlockFollower(str(self.path)) as follower:
            found: list[Block] = []
            while (items := follower.poll_blocks()) is not None:
                found += [piece for block in items if isinstance(block, Block) for piece in pieces(block)]
        return found


def trace_id(number: int) -> str:
    """The id of a trace: all have one length, as real ones have, so that none is the beginning of another."""
    return f"{number:032x}"


@contextlib.contextmanager
def cluster(program: str, folder: pathlib.Path, storage: str = "") -> Iterator[Servers]:
    """Three servers; *storage* is more of their configuration."""
    with Servers(program, folder, 3, storage=storage) as servers:
        yield servers


@contextlib.contextmanager
def new_stream(servers: Servers) -> Iterator[Stream]:
    """A stream of its own on three servers, which is deleted at the end."""
    name = f"S{next(_numbers)}"
    with connected(servers.address.replace("/CLOG", f"/{name}")) as stream:
        create(stream, num_replicas=3, subjects=[f"{name.lower()}.>"])
        done(stream, stream.info())
        try:
            yield stream
        finally:
            done(stream, stream.api(f"STREAM.DELETE.{name}"))


def subject_of(stream: Stream) -> str:
    """The subject of the log in a stream."""
    return f"{stream.name.lower()}.web1.shop"


def made(log: Log, stream: Stream, *, compress: bool = False) -> list[Message]:
    """The messages of a shipper."""
    return [
        message(block, subject_of(stream), stream=stream.name, expected=0, compress=compress)
        for block in log.blocks()
    ]


def publish(log: Log, stream: Stream) -> float:
    """Publish the blocks one by one as they are, by the client alone; return the seconds."""
    found = made(log, stream)

    async def work(js: Any) -> None:
        for each in found:
            await js.publish(each.subject, each.payload, timeout=30)

    return _by_the_client(stream, work)


def publish_events(log: Log, stream: Stream) -> float:
    """Publish one event a message by the client alone, so many at once; return the seconds."""
    lines = log.path.read_bytes().splitlines(keepends=True)
    subject = subject_of(stream)

    async def work(js: Any) -> None:
        for line in lines:
            await js.publish_async(subject, line, wait_stall=60)
        await js.publish_async_completed()

    return _by_the_client(stream, work)


def ship_all(log: Log, stream: Stream, *, compress: bool, folder: pathlib.Path) -> float:
    """Ship the log; return the seconds."""
    source = EventLog(log.path)
    path = folder / f"{stream.name}.{compress}"
    with (
        contextlib.closing(State(f"{path}.ship", source.path)) as state,
        contextlib.closing(Oversize(f"{path}.oversize")) as oversize,
    ):
        shipment = Shipment(
            stream, subject_of(stream), source, state=state, oversize=oversize, compress=compress
        )
        began = time.perf_counter()
        done(stream, ship(source, shipment, live=False))
        return time.perf_counter() - began


def stored(stream: Stream, log: Log) -> bool:
    """Whether the last message of the stream ends with the last line of the log."""
    last = done(stream, stream.last_message(subject_of(stream)))
    lines = lines_of(last.payload, {ENCODING: DEFLATE} if ENCODING in last.headers else {})
    return bool(log.path.read_bytes().endswith(lines))


def scan(stream: Stream) -> tuple[float, int]:
    """Find the trace by this package; return the seconds and the number of events."""
    with JetStreamLog(str(stream.connection.address), credentials=Credentials()) as log:
        log.exists()
        began = time.perf_counter()
        found = sum(1 for _ in log.read(trace_id=trace_id(TRACE)))
        return time.perf_counter() - began, found


def scan_events(stream: Stream, events: int) -> tuple[float, int]:
    """Find the trace in one event a message, by a callback of the client that looks for its bytes."""
    sought = f'"{trace_id(TRACE)}"'.encode()
    found = []

    async def work(js: Any) -> None:
        read, ended = 0, asyncio.Event()

        async def take(one: Any) -> None:
            nonlocal read
            read += 1
            if sought in one.data:
                found.append(json.loads(one.data))
            if read == events:
                ended.set()

        subscription = await js.subscribe(">", stream=stream.name, ordered_consumer=True, cb=take)
        await asyncio.wait_for(ended.wait(), 300)
        await subscription.unsubscribe()

    return _by_the_client(stream, work), len(found)


def _by_the_client(stream: Stream, work: Any) -> float:
    async def run() -> float:
        servers = [f"nats://{server}" for server in stream.connection.address.servers]
        client = await nats.connect(servers, pending_size=64 * 1024 * 1024)
        js = client.jetstream(publish_async_max_pending=WINDOW)
        began = time.perf_counter()
        await work(js)
        took = time.perf_counter() - began
        await client.close()
        return took

    return asyncio.run(run())
