"""Ending connections whose clients take nothing.

A server closes a connection when everything has been sent; to a client that takes nothing, that is
never. ASGI has no word for it. uvicorn knows which of its connections serves which request. Under other
servers the socket is found by its two addresses and shut down: then the server's next attempt to write
fails, and it lets go.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_Address = tuple[str, int]


def cut(scopes: Iterable[Mapping[str, Any]]) -> int:
    """End the connections of some requests with what has not been sent; how many were found open.

    Under other servers than uvicorn one is not found where the addresses in its scope are not those of
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
