"""Tracks open streams: limits their number, sends heartbeats, and closes stalled connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chora_logging.web.limits import GRACE_SECONDS, Limits
from chora_logging.web.metrics import Metrics
from chora_logging.web.responses import busy

#: The interval between two checks of the streams, in seconds: the longest delay of their end.
CHECK_SECONDS = 0.2

#: The most streams, requests for pages, or connections, of one address, as a part of all.
PART_OF_A_CLIENT = 0.25

#: The word for a proxy that connects to a Unix socket, in place of its address.
UNIX = "unix"

_Address = tuple[str, int]


class Stream(Protocol):
    """An open stream, as `Streams` uses it."""

    scope: MutableMapping[str, Any]

    def check(self, now: float) -> None:
        """Send a heartbeat if one is due; end if the client is stalled or its session is over."""

    def end(self) -> None:
        """End because the server stops."""


class Streams:
    """The open streams of one application, in all event loops that serve it.

    A server that stops waits for its responses to end before it notifies the application, so open
    streams would block it for ever. Therefore each loop with open streams polls whether its server is
    stopping: uvicorn has a flag, and others have closed the socket on which they listened.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._number = 0
        self._open: Counter[str] = Counter()
        self._of_clients: Counter[str] = Counter()
        self._monitors: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Monitor] = (
            weakref.WeakKeyDictionary()
        )

    def __len__(self) -> int:
        return self._number

    def count(self, log: str) -> int:
        """Return the number of open streams of *log*."""
        return self._open[log]

    @contextlib.contextmanager
    def admit(self, stream: Stream, logs: Iterable[str]) -> Iterator[None]:
        """Count *stream* as open for each of its *logs*, and check it regularly, during the `with` block.

        Raises:
            Refusal: the limit of open streams is reached, or the part of it of one client behind a proxy.
        """
        client = forwarded(stream.scope)
        most = max(1, int(self._limits.streams * PART_OF_A_CLIENT))
        if client is not None and self._of_clients[client] >= most:
            raise busy(f"{most} streams are open from {client}, the most allowed for one address")
        if len(self) >= self._limits.streams:
            raise busy(f"{len(self)} streams are open, the most allowed")
        monitor = self._monitors.setdefault(asyncio.get_running_loop(), _Monitor())
        self._count(logs, client, 1)
        monitor.add(stream)
        try:
            yield
        finally:
            monitor.remove(stream)
            self._count(logs, client, -1)

    def _count(self, logs: Iterable[str], client: str | None, number: int) -> None:
        self._number += number
        if client is not None:
            self._of_clients[client] += number
            self._of_clients += Counter()  # forgets those without a stream
        for log in logs:
            self._open[log] += number
            self._metrics.clients.labels(log).inc(number)


class _Monitor:
    """Checks the streams of one event loop regularly, as long as there are any."""

    def __init__(self) -> None:
        self._streams: set[Stream] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._listening: tuple[int, int] | None = None

    def add(self, stream: Stream) -> None:
        self._streams.add(stream)
        if self._timer is None:
            if running_server() is None:
                self._listening = _listening_at(_address(stream.scope.get("server")))
            self._schedule(asyncio.get_running_loop())

    def remove(self, stream: Stream) -> None:
        self._streams.discard(stream)
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(CHECK_SECONDS, self._check, loop)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._schedule(loop)
        now = loop.time()
        if server_is_stopping() or not _is_open(self._listening):
            loop.call_later(GRACE_SECONDS, abort, [stream.scope for stream in self._streams])
            for stream in self._streams:
                stream.end()
            return
        for stream in self._streams:
            stream.check(now)


class ForcedStopMiddleware:
    """Ends without an error what is cancelled by a second Ctrl-C, at which uvicorn waits for nothing more.

    Args:
        app: The application to wrap.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or the lifespan."""
        server = running_server()  # before it gives its signal handlers up

        def is_forced() -> bool:
            return getattr(server, "force_exit", False) is True

        async def receive_end() -> Message:
            try:
                return await receive()
            except asyncio.CancelledError:
                if not is_forced():
                    raise
                return {"type": "lifespan.shutdown"}

        try:
            await self.app(scope, receive_end if scope["type"] == "lifespan" else receive, send)
        except asyncio.CancelledError:
            if not is_forced():
                raise
            abort([scope], server)
            await asyncio.sleep(0)  # uvicorn then knows that the connection is gone


def server_is_stopping() -> bool:
    """Return whether the uvicorn in this process is stopping.

    An application is not notified while responses are open, but the server has a flag. So no signal
    handler is needed that could interfere with others.
    """
    return getattr(running_server(), "should_exit", False) is True


def abort(scopes: Iterable[Mapping[str, Any]], server: object = None) -> int:
    """Abort the connections of some requests, discarding unsent data; return how many were found open.

    Those of *server*, without one of that which runs.

    A server closes a connection when all data has been sent, which never happens if the client reads
    nothing. ASGI has no message to abort one. uvicorn knows which connection serves which request.
    Under other servers the socket is found by its two addresses and shut down, so that the server's
    next write fails and it closes the connection.

    Under other servers the socket is not found if the addresses in the scope are not its own: for Unix
    sockets, and if a proxy's header replaced the client's address. Such a connection ends only when the
    server ends it.
    """
    # Middleware may have copied the scope, but its headers are still the object that the server made.
    left = {id(scope["headers"]): scope for scope in scopes if "headers" in scope}
    wanted = len(left)
    state = getattr(server or running_server(), "server_state", None)
    for connection in tuple(getattr(state, "connections", ())):
        served = getattr(connection, "scope", None)
        if served and left.pop(id(served["headers"]), None) is not None:
            connection.transport.abort()
    return wanted - len(left) + _shut_down(left.values())


def running_server() -> object:
    """Return the uvicorn server in this process, alone or under gunicorn; None if there is none.

    It is found without patching anything: its handler of SIGTERM is one of its methods.
    """
    return getattr(signal.getsignal(signal.SIGTERM), "__self__", None)


def forwarded(scope: Mapping[str, Any]) -> str | None:
    """Return the address of a client behind a proxy, which the server believes; None for one without.

    uvicorn gives it the port 0. Connections without a proxy are limited by the server.
    """
    client = scope.get("client")
    if isinstance(client, tuple | list) and len(client) == 2 and client[1] == 0 and client[0] != UNIX:
        return str(client[0])
    return None


def _listening_at(address: _Address | None) -> tuple[int, int] | None:
    """Return the descriptor and the inode of the socket that listens on a port; None if there is none."""
    if address is None:
        return None
    for held, descriptor in _sockets():
        with held, contextlib.suppress(OSError):
            is_listening = held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if is_listening and (_address(held.getsockname()) or ("", 0))[1] == address[1]:
                return descriptor, os.fstat(held.fileno()).st_ino
    return None


def _is_open(listening: tuple[int, int] | None) -> bool:
    """Return whether a socket is still open, or is not known."""
    if listening is None:
        return True
    descriptor, inode = listening
    try:
        return os.fstat(descriptor).st_ino == inode
    except OSError:
        return False


def _shut_down(scopes: Iterable[Mapping[str, Any]]) -> int:
    wanted = {(_address(scope.get("client")), _address(scope.get("server"))) for scope in scopes}
    wanted = {pair for pair in wanted if None not in pair}
    found = 0
    for held, _ in _sockets() if wanted else ():
        with held, contextlib.suppress(OSError):
            if (_address(held.getpeername()), _address(held.getsockname())) in wanted:
                held.shutdown(socket.SHUT_RDWR)
                found += 1
    return found


def _sockets() -> Iterator[tuple[socket.socket, int]]:
    """Yield a duplicate of each socket of this process, since another thread may close it, and itself."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                yield socket.socket(fileno=os.dup(int(name))), int(name)


def _address(value: Any) -> _Address | None:
    if isinstance(value, tuple | list) and len(value) >= 2 and isinstance(value[1], int) and value[1]:
        return str(value[0]), value[1]
    return None
