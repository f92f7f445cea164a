"""Applications under test: asked directly, or served by a real uvicorn on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import httpx
import uvicorn

PATIENCE = 30.0


def ask(app, path, *, method="GET", client=("127.0.0.1", 50000), base="http://localhost", **options):
    """Send one request to *app*, without a socket."""

    async def send():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=client)
        async with httpx.AsyncClient(transport=transport, base_url=base) as browser:
            return await browser.request(method, path, **options)

    return asyncio.run(send())


def all_pages(app, path):
    """Return every page of *path*, which has a query, as a client reads them."""
    found, after = [], ""
    while True:
        found.append(ask(app, f"{path}{after}").json())
        if not found[-1]["more"]:
            return found
        after = f"&after={found[-1]['next']}"


@contextlib.asynccontextmanager
async def serving(app, **options):
    """Serve *app* with uvicorn in this loop; yields the port. At the end the server stops gracefully."""
    # No WebSockets: an old uvicorn warns of the newer package for them.
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none", **options)
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    await until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, PATIENCE)


async def until(condition, patience=PATIENCE):
    """Return when *condition* is true."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        await asyncio.sleep(0.01)


class EventSource:
    """A client of one stream that follows the WHATWG specification.

    Attributes:
        headers: The headers of the response.
        comments: The comments received.
    """

    def __init__(self, reader, writer, status, headers):
        self._reader, self.writer, self.status, self.headers = reader, writer, status, headers
        self.parser = Parser()
        self.chunks = 0

    @property
    def comments(self):
        return self.parser.comments

    async def next(self, count=1):
        """Return the next *count* events as pairs of type and JSON; `None` at the end."""
        while len(self.parser.events) < count:
            data = await asyncio.wait_for(self.chunk(), PATIENCE)
            if not data:
                return None
            self.parser.feed(data)
        found, self.parser.events = self.parser.events[:count], self.parser.events[count:]
        return [(kind, json.loads(text)) for kind, text in found]

    async def numbers(self, count):
        """Return the field `n` of the next *count* events."""
        return [event["n"] for _, event in await self.next(count)]

    async def chunk(self):
        """Return the next chunk of the response; nothing at its end."""
        try:
            size = int(await self._reader.readline() or b"0", 16)
            data = await self._reader.readexactly(size + 2)
        except (ConnectionError, asyncio.IncompleteReadError):
            return b""
        self.chunks += 1
        return data[:-2]

    def close(self):
        """Close the connection."""
        self.writer.close()


@contextlib.asynccontextmanager
async def event_source(port, path, headers=(), method="GET"):
    """Open a stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**26)
    lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{port}"]
    lines += [f"{name}: {value}" for name, value in dict(headers).items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode().split("\r\n")
        status = int(head[0].split()[1])
        found = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        yield EventSource(reader, writer, status, found)
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def streaming(app, path, headers=()):
    """Serve *app*, and open one stream of it."""
    async with serving(app) as port, event_source(port, path, headers) as source:
        yield source


class Parser:
    """The event stream interpretation of the WHATWG specification, over bytes as they come."""

    def __init__(self):
        self.events, self.ids, self.comments = [], [], []
        self.last_event_id = ""
        self.retry = None
        self._rest = b""
        self._clear()

    def feed(self, data):
        """Interpret more bytes."""
        text = self._rest + data
        *lines, self._rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._line(line.decode())

    def _clear(self):
        self._data, self._kind, self._id = [], "", None

    def _line(self, line):
        if not line:
            self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry":
            self.retry = int(value)

    def _dispatch(self):
        if self._id is not None:
            self.last_event_id = self._id
        if self._data:
            self.ids.append(self.last_event_id)
            self.events.append((self._kind or "message", "\n".join(self._data)))
        self._clear()
