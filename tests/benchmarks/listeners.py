"""The clients of a server, in a process of their own.

`python -m tests.benchmarks.listeners PORT PATH COUNT` prints `opened` when all are connected, `begun` when
each has received an event, and waits for a line on its input. It prints the result when each has received
the last event, or after a timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import time
from collections.abc import Iterable
from typing import TypedDict

EVENT = re.compile(rb'"number":(\d+),"sent":([\d.]+)')
#: A part of the last event; events that only wake the clients have another number below 0.
LAST = b'"number":-2'
#: How long clients may take to connect, to get their first event, and to get the last one, in seconds.
PATIENCE = 30


class Got(TypedDict):
    """The events that the clients received.

    Attributes:
        delays: Seconds from the logging call to the client, of all events of all clients.
        delivered: The number of events received, summed over the clients.
        events: The numbered events as the first client received them.
    """

    delays: list[float]
    delivered: int
    events: list[dict[str, object]]


class Client(asyncio.Protocol):
    """A connection that records when each event arrives."""

    def __init__(self, path: str, keep: bool) -> None:
        self._request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        self._keep = keep
        self._rest = b""
        self.lines: list[bytes] = []
        self.delays: list[float] = []
        self.numbers: set[bytes] = set()
        self.opened, self.begun, self.ended = (asyncio.Event() for _ in range(3))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Request the stream."""
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request.encode())

    def data_received(self, data: bytes) -> None:
        """Record the whole lines received."""
        now = time.monotonic()
        self.opened.set()
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if not newline:
            return
        for number, sent in EVENT.findall(whole):
            self.numbers.add(number)
            self.delays.append(now - float(sent))
        if self._keep:
            self.lines += whole.split(b"\n")
        if b'"number"' in whole:
            self.begun.set()
        if LAST in whole:
            self.ended.set()

    def events(self) -> list[dict[str, object]]:
        """The numbered events, if they were stored."""
        data = [line.partition(b"data:")[2] for line in self.lines if EVENT.search(line)]
        return [json.loads(text) for text in data]


async def listen(port: int, path: str, count: int) -> Got:
    """Open all connections and read until the end."""
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for _ in range(count):
        _, client = await loop.create_connection(lambda: Client(path, not clients), "127.0.0.1", port)
        clients.append(client)
    await each(client.opened for client in clients)
    print("opened", flush=True)
    await each(client.begun for client in clients)
    print("begun", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    with contextlib.suppress(asyncio.TimeoutError):
        await each(client.ended for client in clients)
    return {
        "delays": [delay for client in clients for delay in client.delays],
        "delivered": sum(len(client.numbers) for client in clients),
        "events": clients[0].events(),
    }


async def each(events: Iterable[asyncio.Event]) -> None:
    """Return when all have been set.

    Raises:
        asyncio.TimeoutError: The time is up.
    """
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in events)), PATIENCE)


def main(port: str, path: str, count: str) -> None:
    """Body of the process."""
    print(json.dumps(asyncio.run(listen(int(port), path, int(count)))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
