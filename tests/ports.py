"""Ports for programs that must be told theirs."""

from __future__ import annotations

import contextlib
import random
import socket

#: Ports above are those of outgoing connections: another process may have one before the program listens.
PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a port of 127.0.0.1 at which nobody listens."""
    for _ in range(1000):
        port = random.choice(PORTS)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")
