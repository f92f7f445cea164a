"""The address of a JetStream stream: `nats://host,host:port/STREAM`."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from chora_logging.errors import ConfigurationError

SCHEME = "nats"
PORT = 4222

_FORM = "the address of a stream, such as nats://host1,host2:4223/STREAM"
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\]", re.ASCII)


class Address(NamedTuple):
    """A stream and the servers that lead to it.

    It has no credentials: those come from environment variables, so that no list of processes, message or
    metric shows them (`credentials`).

    Attributes:
        servers: Each as `host:port`.
        stream: The name of the stream.

    >>> Address.parse("nats://n1,n2:4223/CLOG")
    Address(servers=('n1:4222', 'n2:4223'), stream='CLOG')
    >>> str(Address.parse("nats://n1:4222,n2:4223/CLOG"))
    'nats://n1,n2:4223/CLOG'
    """

    servers: tuple[str, ...]
    stream: str

    @classmethod
    def parse(cls, text: str, name: str = "address") -> Address:
        """Return *text* as an address; *name* is the option or argument that it came from.

        Raises:
            ConfigurationError: it is none, or has more than servers and a stream. The message does not
                repeat a password.
        """
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() != SCHEME:
            allowed = f"{_FORM} (TLS is used if the servers ask for it, or NATS_CA is set)"
            raise ConfigurationError(name, _without_user(text), allowed)
        if "@" in rest:
            allowed = (
                f"{_FORM}, without a user: set NATS_USER and NATS_PASSWORD_FILE, NATS_TOKEN_FILE, NATS_CREDS "
                f"or NATS_NKEY_SEED_FILE instead"
            )
            raise ConfigurationError(name, _without_user(text), allowed)
        if "?" in rest or "#" in rest:
            raise ConfigurationError(name, text, f"{_FORM}, without anything after the stream")
        hosts, _, stream = rest.partition("/")
        if not _STREAM.fullmatch(stream):
            allowed = f"{_FORM}; the name of a stream has letters, digits, - and _"
            raise ConfigurationError(name, text, allowed)
        servers = tuple(dict.fromkeys(_server(host) or "" for host in hosts.split(",")))
        if "" in servers:
            raise ConfigurationError(name, text, f"{_FORM}; a port is a number from 1 to 65535")
        return cls(servers, stream)

    def __str__(self) -> str:
        hosts = ",".join(server.removesuffix(f":{PORT}") for server in self.servers)
        return f"{SCHEME}://{hosts}/{self.stream}"


def _server(text: str) -> str | None:
    """Return a server with its port; None if *text* is none."""
    try:
        parts = urlsplit(f"//{text}")
        port = PORT if parts.port is None else parts.port
    except ValueError:
        return None
    host = text.removesuffix(f":{parts.port}") if parts.port is not None else text
    return f"{host}:{port}" if _HOST.fullmatch(host) and 0 < port < 65536 else None


def _without_user(text: str) -> str:
    begin, separator, rest = text.partition("://")
    return f"{begin}{separator}…@{rest.rpartition('@')[2]}" if "@" in rest else text
