"""Open streams: how many, which have to say that they live, which are stuck; and the end of connections."""

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

from chora_logging.web.limits import GRACE_SECONDS, Limits
from chora_logging.web.metrics import Metrics
from chora_logging.web.responses import busy

#: How often streams are looked after, in seconds: how much later than meant they end at most.
LOOK_SECONDS = 0.2

_Address = tuple[str, int]


class Stream(Protocol):
    """An open stream, as its keeper sees it."""

    scope: MutableMapping[str, Any]

    def look_after(self, now: float) -> None:
        """Say that it lives if it is time, and end if it is stuck."""

    def end(self) -> None:
        """End: the server stops."""


class Streams:
    """The open streams of one application, in every event loop that serves it.

    A server that stops waits for its responses to end before it tells the application so: streams
    would keep it for ever. Hence each loop with open streams asks whether its server is stopping.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._open: Counter[str] = Counter()
        self._keepers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Keeper] = (
            weakref.WeakKeyDictionary()
        )

    def __len__(self) -> int:
        return self._open.total()

    def count(self, log: str) -> int:
        """How many of *log* are open."""
        return self._open[log]

    @contextlib.contextmanager
    def admit(self, stream: Stream, log: str) -> Iterator[None]:
        """Count *stream* as open and look after it meanwhile.

        Raises:
            Refusal: as many are open as may be.
        """
        if len(self) >= self._limits.streams:
            raise busy(f"{len(self)} streams are open, as many as may be")
        keeper = self._keepers.setdefault(asyncio.get_running_loop(), _Keeper())
        clients = self._metrics.clients.labels(log)
        clients.inc()
        self._open[log] += 1
        keeper.add(stream)
        try:
            yield
        finally:
            keeper.remove(stream)
            self._open[log] -= 1
            clients.dec()


class _Keeper:
    """Looks after the streams of one event loop, as long as there are any."""

    def __init__(self) -> None:
        self._streams: set[Stream] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stream: Stream) -> None:
        self._streams.add(stream)
        if self._timer is None:
            self._again(asyncio.get_running_loop())

    def remove(self, stream: Stream) -> None:
        self._streams.discard(stream)
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(LOOK_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._again(loop)
        now = loop.time()
        if server_is_stopping():
            loop.call_later(GRACE_SECONDS, cut, [stream.scope for stream in self._streams])
            for stream in self._streams:
                stream.end()
            return
        for stream in self._streams:
            stream.look_after(now)


def server_is_stopping() -> bool:
    """Whether the uvicorn that runs in this process has been told to stop.

    Nothing tells an application so while responses are open, but the server can be asked: no signal
    handler of ours comes in the way of anybody's.
    """
    return getattr(running_server(), "should_exit", False) is True


def cut(scopes: Iterable[Mapping[str, Any]]) -> int:
    """End the connections of some requests with what has not been sent; how many were found open.

    A server closes a connection when everything has been sent; to a client that takes nothing, that is
    never. ASGI has no word for it. uvicorn knows which of its connections serves which request. Under
    other servers the socket is found by its two addresses and shut down: then the server's next attempt
    to write fails, and it lets go.

    Under other servers one is not found where the addresses in its scope are not those of
    its socket: with another address from a proxy's header, and for Unix sockets. It ends when the
    server ends it then.
    """
    # Applications on the way may have copied a scope, but its headers are those that the server made.
    left = {id(scope["headers"]): scope for scope in scopes if "headers" in scope}
    wanted = len(left)
    state = getattr(running_server(), "server_state", None)
    for connection in tuple(getattr(state, "connections", ())):
        served = getattr(connection, "scope", None)
        if served and left.pop(id(served["headers"]), None) is not None:
            connection.transport.abort()
    return wanted - len(left) + _shut_down(left.values())


def running_server() -> object:
    """The uvicorn that runs in this process, alone or under gunicorn; None if there is none.

    Its handler of SIGTERM is one of its methods: so nothing has to be patched to find it.
    """
    return getattr(signal.getsignal(signal.SIGTERM), "__self__", None)


def _shut_down(scopes: Iterable[Mapping[str, Any]]) -> int:
    wanted = {(_address(scope.get("client")), _address(scope.get("server"))) for scope in scopes}
    wanted = {pair for pair in wanted if None not in pair}
    found = 0
    for held in _sockets() if wanted else ():
        with held, contextlib.suppress(OSError):
            if (_address(held.getpeername()), _address(held.getsockname())) in wanted:
                held.shutdown(socket.SHUT_RDWR)
                found += 1
    return found


def _sockets() -> Iterator[socket.socket]:
    """Each socket of this process, as a descriptor of its own: another thread may close the first."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                yield socket.socket(fileno=os.dup(int(name)))


def _address(value: Any) -> _Address | None:
    if isinstance(value, tuple | list) and len(value) >= 2 and isinstance(value[1], int) and value[1]:
        return str(value[0]), value[1]
    return None
