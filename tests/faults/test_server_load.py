"""Many clients of one server process: everybody gets everything, and what the server holds has a bound."""

from __future__ import annotations

import asyncio
import logging
import re
import resource

import pytest

from chora_logging import EventFileHandler, EventFormatter
from tests.faults.serving import SERVE, STREAM, Server

NUMBER = re.compile(rb'"n":(\d+)')
CLIENTS, EVENTS = 200, 300


@pytest.fixture
def logger(tmp_path):
    handler = EventFileHandler(tmp_path / "orch.log", maxBytes=50_000, backupCount=50)
    handler.setFormatter(EventFormatter())
    logger = logging.Logger("load")
    logger.addHandler(handler)
    yield logger
    handler.close()


class Listener:
    """A client that keeps nothing but the numbers of the events that it gets."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.numbers = []

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
            self.numbers += [int(found[1]) for line in lines if (found := NUMBER.search(line))]

    def close(self):
        self._writer.close()


def test_every_client_gets_every_event(tmp_path, logger):
    """200 clients get each event of a rotating log once and in order, and the server's memory has a bound."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def scenario(server):
        listeners = [await Listener.open(server.port) for _ in range(CLIENTS)]
        await load(listeners, 0)
        before = server.memory()
        await load(listeners, EVENTS)
        for listener in listeners:
            assert listener.numbers == list(range(2 * EVENTS))
            listener.close()
        return server.memory() - before

    async def load(listeners, begin):
        tasks = [asyncio.ensure_future(one.listen(begin + EVENTS - 1)) for one in listeners]
        for number in range(begin, begin + EVENTS):
            logger.info("x", extra={"n": number})
            await asyncio.sleep(0.01)
        await asyncio.wait_for(asyncio.gather(*tasks), 60)

    try:
        with Server(SERVE, tmp_path / "orch.log", tmp_path) as server:
            grown = asyncio.run(scenario(server))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert grown < 20_000_000
