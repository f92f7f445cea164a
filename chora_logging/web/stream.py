"""A log as a stream of server-sent events: what is stored, then what is written, with no seam.

The protocol's mechanics are here and not sse-starlette's: that takes events one at a time and as text
(each would be encoded once a client), has timers and tasks for each send, and leaves a connection open
whose client takes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import MutableMapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from chora_logging.errors import CursorError
from chora_logging.eventlog import Event, Gap
from chora_logging.eventlog.meaning import time_of
from chora_logging.eventlog.rotated import cursor
from chora_logging.eventlog.subscription import Subscription, in_thread
from chora_logging.schema import OWN_LOGGER
from chora_logging.web import sse
from chora_logging.web.connections import cut
from chora_logging.web.limits import GRACE_SECONDS, LONGEST_CURSOR
from chora_logging.web.parameters import stream_query
from chora_logging.web.responses import Refusal, unreadable
from chora_logging.web.site import Site

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]

#: A stream is sent to at most so often, in seconds for each one that is open, and at most in all: many
#: clients get more events at a time, few get each at once.
STREAM_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.0002, 0.05

#: The most bytes that are sent at once.
SEND_BYTES = 65536


async def event_stream(site: Site, request: Request) -> EventStream:
    """The stream that *request* asks for.

    What a client got last, by `Last-Event-ID`, wins over where its address says to begin. One that is
    no cursor of ours is no error, for a browser would never come back after one: it gets a gap, and
    then what it would get without.
    """
    name = request.path_params["log"]
    log = site.log(name)
    query = stream_query(request.scope["query_string"])
    after, gap = query.after, None
    last = request.headers.get("last-event-id", "")
    if last:
        try:
            cursor.decode(last[:LONGEST_CURSOR])
            after = last
        except CursorError:
            gap = Gap("Last-Event-ID is no cursor of this log; some events may be missing or come again")
    return EventStream(site, name, log.subscribe(query.selection, after), gap)


class EventStream:
    """One client's stream, as an ASGI response.

    Args:
        site: Whose log it is.
        name: The log.
        subscription: From where, and which events; it is closed with the stream.
        gap: What is to be said before the first event.
    """

    def __init__(self, site: Site, name: str, subscription: Subscription, gap: Gap | None = None) -> None:
        self.scope: MutableMapping[str, Any] = {}
        self._site = site
        self._name = name
        self._subscription = subscription
        self._gap = gap
        self._stuck = False
        self._began: float | None = None  # when the send that is under way began
        self._sent: float | None = None  # when the last one ended
        self._beat: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream until the client leaves, the server stops, or nothing is taken."""
        self.scope, self._send, self._lock = scope, send, asyncio.Lock()
        self._ended = asyncio.get_running_loop().create_future()
        try:
            with self._site.streams.admit(self, self._name):
                await self._serve(receive)
        finally:
            self._subscription.close()

    def look_after(self, now: float) -> None:
        """Say that it lives if it is time; end if the client has taken nothing for too long."""
        limits = self._site.limits
        if self._began is not None:
            if now - self._began >= limits.stalled:
                self._stuck = True
                self.end()
        elif self._sent is not None and now - self._sent >= limits.heartbeat:
            self._beat = asyncio.ensure_future(self._put(sse.HEARTBEAT))

    def end(self) -> None:
        """End: the server stops."""
        if not self._ended.done():
            self._ended.set_result(None)

    async def _serve(self, receive: Receive) -> None:
        pump = asyncio.ensure_future(self._pump())
        gone = asyncio.ensure_future(_disconnection(receive))
        try:
            await asyncio.wait({pump, gone, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left = gone.done()
            await _cancel(pump, gone, self._beat)
        if pump.done() and not pump.cancelled() and (error := pump.exception()):
            if self._sent is None or not isinstance(error, Refusal):
                raise error
            logging.getLogger(OWN_LOGGER).warning("the stream of %s ends: %s", self._name, error.detail)
        if self._stuck:
            await self._cut(receive)
        elif not left:
            await self._finish()

    async def _pump(self) -> None:
        body = await self._read_on()
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        if self.scope["method"] == "HEAD":
            return
        await self._put(sse.opening(self._site.limits.retry))
        if self._gap is not None:
            await self._put(self._frame([self._gap]))
        while True:
            if body:
                await self._put(body)
                await asyncio.sleep(
                    min(len(self._site.streams) * STREAM_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
                )
            body = await self._next()

    async def _next(self) -> bytes | None:
        """What has come, framed; None if it was waited for. Here events live no longer than that takes."""
        subscription = self._subscription
        if not subscription.fed:
            body = await self._read_on()
        else:
            items = subscription.take()
            body = None if items is None else self._frame(items)
        if body is None:
            await subscription.wait_async()
        return body

    async def _read_on(self) -> bytes | None:
        """What the files have, framed; None if that is nothing."""
        try:
            return await in_thread(self._read)
        except OSError as error:
            raise unreadable(error) from error

    def _read(self) -> bytes | None:
        items = self._subscription.read()
        return None if items is None else self._frame(items)

    def _frame(self, items: Sequence[Event | Gap]) -> bytes:
        if not items:
            return b""
        metrics, name = self._site.metrics, self._name
        events = sum(isinstance(item, Event) for item in items)
        metrics.read.labels(name).inc(events)
        if events < len(items):
            metrics.gaps.labels(name).inc(len(items) - events)
        happened = time_of(items[-1]) if isinstance(items[-1], Event) else None
        # What was stored before may be old: that is no lag.
        if happened is not None and self._subscription.fed:
            metrics.lag.labels(name).set(max(0.0, time.time() - happened))
        return sse.frames(items)

    async def _put(self, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        async with self._lock:
            # A server takes what it is given, however much; it waits before it takes more.
            for start in range(0, len(body), SEND_BYTES):
                self._began = loop.time()
                part = body[start : start + SEND_BYTES]
                await self._send({"type": "http.response.body", "body": part, "more_body": True})
            self._began, self._sent = None, loop.time()

    async def _finish(self) -> None:
        """Say that this is all. The server closes the connection when the client has taken it."""
        with contextlib.suppress(asyncio.TimeoutError):
            end = self._send({"type": "http.response.body", "body": b"", "more_body": False})
            await asyncio.wait_for(end, GRACE_SECONDS)

    async def _cut(self, receive: Receive) -> None:
        self._site.metrics.dropped.labels(self._name).inc()
        logging.getLogger(OWN_LOGGER).warning(
            "a client of the stream of %s took nothing for %g seconds and is cut",
            self._name,
            self._site.limits.stalled,
        )
        cut([self.scope])
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_disconnection(receive), GRACE_SECONDS)


async def _disconnection(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel tasks, and wait until they have ended."""
    waiting = [task for task in tasks if task is not None]
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
