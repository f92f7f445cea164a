"""Streams a log as server-sent events: the stored events, then new ones, without gap or repetition.

Events have no name, so that `onmessage` gets them, and an `id`. Two kinds of messages have a name and no
`id`: `gap`, where events are missing, and `unreadable`, when something could not be understood. Its data are
the numbers since the stream began, as JSON: `lines` that are no events, and events that the filters passed
over, by what was asked of them as in the pages of the REST interface, such as `level`.

It does not use sse-starlette, which takes events one at a time and as text (so that each is encoded
once per client), creates timers and tasks for each send, and never closes a stalled connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from chora_logging.errors import ConfigurationError, CursorError
from chora_logging.eventlog import Event, Gap
from chora_logging.eventlog.merged_subscription import MergedSubscription, log_of
from chora_logging.eventlog.several import check_cursor
from chora_logging.eventlog.source import Source
from chora_logging.eventlog.subscription import Subscribed, in_thread
from chora_logging.schema import OWN_LOGGER
from chora_logging.web import sse
from chora_logging.web.access import SESSION
from chora_logging.web.connections import abort
from chora_logging.web.limits import GRACE_SECONDS, LONGEST_CURSOR
from chora_logging.web.parameters import refused, stream_query
from chora_logging.web.responses import Refusal, unreadable
from chora_logging.web.site import Site

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]

#: The pause of a stream after each send, in seconds per open stream, and the longest pause: many
#: clients get several events at a time, few clients get each event immediately.
STREAM_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.0002, 0.05

#: The most bytes in one ASGI message.
SEND_BYTES = 65536


async def event_stream(site: Site, request: Request) -> EventStream:
    """Return the stream for *request*.

    The header `Last-Event-ID` takes precedence over the start in the query. A header that is not a
    cursor is not an error, because a browser would not reconnect after one: the stream begins with a
    gap, then continues as without the header.
    """
    logs = site.chosen(request.path_params["log"])
    query = stream_query(request.scope["query_string"], logs)
    after, gap = query.after, None
    last = request.headers.get("last-event-id", "")[:LONGEST_CURSOR]
    if last:
        try:
            check_cursor(last, logs)
            after = last
        except CursorError:
            gap = Gap("Last-Event-ID is not a cursor of this log; events may be missing or repeated")
    if len(logs) > 1:
        merged = MergedSubscription(logs, query.selection, after)
        return EventStream(site, logs, merged, merged.unreadable, gap)
    (log,) = logs.values()
    selection = query.selection(log.meaning)
    return EventStream(site, logs, log.subscribe(selection, after), lambda: selection.unreadable, gap)


class EventStream:
    """One client's stream, as an ASGI response.

    Args:
        site: The site of the logs.
        logs: The logs by name.
        subscription: The source of the events; it is closed with the stream.
        unreadable: Returns the numbers of events that its filters passed over; see `Selection.unreadable`.
        gap: A gap to send before the first event.
    """

    def __init__(
        self,
        site: Site,
        logs: Mapping[str, Source],
        subscription: Subscribed,
        unreadable: Callable[[], dict[str, int]],
        gap: Gap | None = None,
    ) -> None:
        self.scope: MutableMapping[str, Any] = {}
        self._site = site
        self._logs = logs
        self._name = ",".join(logs)
        self._unreadable = unreadable
        self._told: dict[str, int] = {}  # what could not be understood
        self._subscription = subscription
        self._gap = gap
        self._is_started = False
        self._is_stalled = False
        self._began: float | None = None  # when the current send began
        self._sent: float | None = None  # when the last send ended
        self._beat: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream until the client disconnects or stalls, or the server stops."""
        self.scope, self._send, self._lock = scope, send, asyncio.Lock()
        self._ended = asyncio.get_running_loop().create_future()
        try:
            with self._site.streams.admit(self, self._logs):
                await self._serve(receive)
        finally:
            self._subscription.close()

    def check(self, now: float) -> None:
        """Send a heartbeat if one is due; end with the session, or if the client is stalled."""
        limits = self._site.limits
        session = self.scope.get(SESSION)
        if session is not None and not session.is_open():
            self.end()
        if self._began is not None:
            if now - self._began >= limits.stalled:
                self._is_stalled = True
                self.end()
        elif self._sent is not None and now - self._sent >= limits.heartbeat:
            self._beat = asyncio.ensure_future(self._put(sse.HEARTBEAT))

    def end(self) -> None:
        """End the stream."""
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
        if self._is_stalled:
            await self._disconnect(receive)
        elif not left:
            await self._finish()

    async def _pump(self) -> None:
        body = await self._read_on()
        await self._start()
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
        """Return the next events as bytes; None after waiting. The events are freed before the send."""
        subscription = self._subscription
        if not subscription.fed:
            body = await self._read_on()
        else:
            try:
                items = subscription.take()
            except ConfigurationError as error:
                raise refused(error) from None
            body = None if items is None else self._frame(items)
        if body is None:
            await subscription.wait_async()
        return body

    async def _read_on(self) -> bytes | None:
        """Return the next stored events as bytes; None if there are none."""
        try:
            return await in_thread(self._read)
        except OSError as error:
            raise unreadable(error) from error
        except ConfigurationError as error:
            raise refused(error) from None

    def _read(self) -> bytes | None:
        items = self._subscription.read()
        return None if items is None else self._frame(items)

    def _frame(self, items: Sequence[Event | Gap]) -> bytes:
        counts = self._unreadable()
        if self._subscription.skipped:
            counts["lines"] = self._subscription.skipped
        if counts == self._told:
            return self._items(items) if items else b""
        self._told = counts
        return (self._items(items) if items else b"") + sse.unreadable_frame(counts)

    def _items(self, items: Sequence[Event | Gap]) -> bytes:
        metrics = self._site.metrics
        for name, log in self._logs.items():
            own = [item for item in items if self._name == name or log_of(item) == name]
            events = sum(isinstance(item, Event) for item in own)
            metrics.read.labels(name).inc(events)
            if events < len(own):
                metrics.gaps.labels(name).inc(len(own) - events)
            newest = own[-1] if own and self._subscription.fed else None
            # The age of events that were already stored is not lag.
            if isinstance(newest, Event):
                happened = log.meaning.time_of(newest if self._name == name else newest["event"])
                if happened is not None:
                    metrics.lag.labels(name).set(max(0.0, time.time() - happened))
        return sse.frames(items)

    async def _put(self, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        async with self._lock:
            # A server accepts a message of any size and applies back-pressure only before the next one.
            for start in range(0, len(body), SEND_BYTES):
                self._began = loop.time()
                part = body[start : start + SEND_BYTES]
                await self._send({"type": "http.response.body", "body": part, "more_body": True})
            self._began, self._sent = None, loop.time()

    async def _start(self) -> None:
        self._is_started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})

    async def _finish(self) -> None:
        """End the response. The server closes the connection when the client has read the rest."""
        with contextlib.suppress(asyncio.TimeoutError):
            if not self._is_started:  # the server stops already: an `EventSource` comes back after a 200
                await self._start()
            end = self._send({"type": "http.response.body", "body": b"", "more_body": False})
            await asyncio.wait_for(end, GRACE_SECONDS)

    async def _disconnect(self, receive: Receive) -> None:
        for name in self._logs:
            self._site.metrics.dropped.labels(name).inc()
        logging.getLogger(OWN_LOGGER).warning(
            "a client of the stream of %s read nothing for %g seconds and is disconnected",
            self._name,
            self._site.limits.stalled,
        )
        abort([self.scope])
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_disconnection(receive), GRACE_SECONDS)


async def _disconnection(receive: Receive) -> None:
    """Return when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel *tasks* and wait until they have ended."""
    waiting = [task for task in tasks if task is not None]
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
