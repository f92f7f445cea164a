"""One connection for each address and credentials in this process, shared by all who read."""

from __future__ import annotations

import os
import threading
import weakref

from chora_logging.jetstream.address import Address
from chora_logging.jetstream.connection import Connection
from chora_logging.jetstream.credentials import Credentials

_Key = tuple[Address, Credentials]

_connections: dict[_Key, Connection] = {}
_users: dict[_Key, weakref.WeakSet[object]] = {}
_lock = threading.Lock()


def shared_connection(address: Address, credentials: Credentials, user: object = None) -> Connection:
    """Return the connection to *address* with *credentials*; it connects when it is used.

    Args:
        address: The stream and its servers.
        credentials: What is shown to the servers.
        user: Keeps the connection until it calls `leave`; None does not.

    Raises:
        MissingExtraError: the extra `nats` is not installed.
    """
    key = address, credentials
    with _lock:
        if key not in _connections:
            _connections[key] = Connection(address, credentials=credentials)
            _users[key] = weakref.WeakSet()
        if user is not None:
            _users[key].add(user)
        return _connections[key]


def leave(address: Address, credentials: Credentials, user: object) -> None:
    """Close the connection if *user* was the last one."""
    key = address, credentials
    with _lock:
        if key not in _connections:
            return
        _users[key].discard(user)
        if _users[key]:
            return
        connection = _connections.pop(key)
        del _users[key]
    connection.close()


def _after_fork() -> None:
    """Forget the connections in a forked child: it has not their threads."""
    global _lock
    _lock = threading.Lock()
    _connections.clear()
    _users.clear()


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_after_fork)
