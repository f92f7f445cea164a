"""Many clients of one server process: each gets every event in time, even if others read nothing."""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import re
import resource
import statistics
import time

import pytest

from chora_logging import EventFileHandler, EventFormatter
from tests.faults.serving import PATIENCE, STREAM, UVICORN, Client, Server
from tests.needs import need
from tests.soaks import soak

EVENT = re.compile(rb'"n":(\d+),"sent":([\d.]+)')
CLIENTS, PER_SECOND, IDLE = 200, 100, 1000

#: How long a client reads nothing, and how long is measured before and after that, in seconds.
STALL, AROUND = soak(60), 3

#: More than all the buffers between a server and a client hold, and than a server keeps.
STORED = 40_000


@pytest.fixture
def logger(tmp_path):
    """Rotates every 300 kB; nothing is deleted."""
    handler = EventFileHandler(tmp_path / "orch.log", maxBytes=300_000, backupCount=200)
    handler.setFormatter(EventFormatter())
    logger = logging.Logger("load")
    logger.addHandler(handler)
    yield logger
    handler.close()


@pytest.fixture
def many_files():
    """The largest number of descriptors that this user may have."""
    need("many open files")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Listener:
    """A client that stores only the numbers of its events, and their delays."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.numbers = array.array("L")
        self.delays = array.array("d")

    @classmethod
    async def open(cls, port):
        listener = cls(*await asyncio.open_connection("127.0.0.1", port))
        listener._writer.write(f"GET {STREAM}?from=end HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await listener._reader.readuntil(b"retry: 2000\n")
        return listener

    async def listen(self, last):
        """Read until event number *last*."""
        rest = b""
        while not self.numbers or self.numbers[-1] < last:
            data = rest + await self._reader.read(65536)
            *lines, rest = data.split(b"\n")
            now = time.monotonic()
            for line in lines:
                if found := EVENT.search(line):
                    self.numbers.append(int(found[1]))
                    self.delays.append(now - float(found[2]))

    def close(self):
        self._writer.close()


class Load:
    """All listening clients, and the events that they get.

    Attributes:
        next: The number of the next event.
        behind: The largest number of events that a client was behind, sampled once a second.
        held: The largest memory of the server, in bytes, sampled at the same times.
    """

    def __init__(self, server, logger, listeners):
        self._server, self._logger, self._listeners = server, logger, listeners
        self.next = self.behind = self.held = 0

    async def run(self, seconds):
        """Log at a pace; return the median delay, and the server's processor time a second, in ticks."""
        begin, end, self.held = self.next, self.next + seconds * PER_SECOND, 0
        tasks = [asyncio.ensure_future(one.listen(end - 1)) for one in self._listeners]
        worked, due = self._server.ticks(), time.monotonic()
        while self.next < end:
            self._logger.info("x", extra={"n": self.next, "sent": time.monotonic()})
            self.next += 1
            due += 1 / PER_SECOND
            await asyncio.sleep(due - time.monotonic())
            if self.next % PER_SECOND == 0:
                self._look()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
        delays = [delay for one in self._listeners for delay in one.delays[begin:]]
        return statistics.median(delays), (self._server.ticks() - worked) / seconds

    def _look(self):
        slowest = min(len(one.numbers) for one in self._listeners)
        self.behind = max(self.behind, self.next - slowest)
        self.held = max(self.held, self._server.memory())


def test_a_thousand_wait(tmp_path, logger, many_files):
    """1,000 clients that wait for an event cost less than 50 kB each, and all get it."""

    async def scenario(server):
        first = await Listener.open(server.port)
        held = server.memory()
        listeners = [first, *[await Listener.open(server.port) for _ in range(IDLE - 1)]]
        assert server.memory() - held < IDLE * 50_000

        logger.info("x", extra={"n": 0, "sent": time.monotonic()})
        await asyncio.wait_for(asyncio.gather(*(one.listen(0) for one in listeners)), PATIENCE)
        for listener in listeners:
            listener.close()

    with Server(UVICORN, tmp_path / "orch.log", tmp_path) as server:
        asyncio.run(scenario(server))


def test_one_that_takes_nothing_changes_nothing(tmp_path, logger, many_files):
    """A client that reads nothing costs under 5 MB, and 200 others get all as soon as before.

    It reads nothing for a quarter of a minute, in a whole run for a minute.
    """

    async def scenario(server):
        listeners = [await Listener.open(server.port)]
        for number in range(STORED):
            logger.info("x", extra={"stored": number, "pad": "x" * 500})
        listeners += [await Listener.open(server.port) for _ in range(CLIENTS - 1)]
        load = Load(server, logger, listeners)
        await load.run(1)
        before = await load.run(AROUND)
        held = load.held
        with contextlib.closing(Client(server.port, buffer=4096)):
            meanwhile = await load.run(STALL)
            grown = load.held - held
        after = await load.run(AROUND)

        for listener in listeners:
            assert listener.numbers.tolist() == list(range(load.next))
            listener.close()
        assert grown < 5_000_000
        assert load.behind < 5 * PER_SECOND
        for quantity, *around in zip(meanwhile, before, after, strict=True):
            assert quantity < 2 * max(around) + 0.01

    with Server(UVICORN, tmp_path / "orch.log", tmp_path, stalled=10 * STALL) as server:
        asyncio.run(scenario(server))
