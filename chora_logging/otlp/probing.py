"""Asks a server that cuts connections off whether it speaks the other of HTTP and HTTPS."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from urllib.parse import urlsplit

#: What a client is told that speaks plain HTTP where there is TLS, by Go's servers and nginx.
NEEDS_TLS = re.compile(
    rb"Client sent an HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS port"
)

#: The reasons of errors of TLS that a server without TLS does not cause.
_OF_TLS = re.compile("ALERT|CERTIFICATE|HANDSHAKE_FAILURE|UNSUPPORTED_PROTOCOL")


def speaks_the_other(url: str, timeout: float) -> bool:
    """Return whether there is TLS at *url* that has `http`, or plain HTTP at one that has `https`.

    Args:
        url: The address.
        timeout: How long each step may take, in seconds.
    """
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    with contextlib.suppress(OSError):
        place = (parts.hostname or "", parts.port or (443 if is_tls else 80))
        with socket.create_connection(place, timeout) as connection:
            return _speaks_http(connection) if is_tls else _speaks_tls(connection)
    return False


def _speaks_tls(connection: socket.socket) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent through it
    try:
        with context.wrap_socket(connection):
            return True
    except ssl.SSLError as error:
        return bool(_OF_TLS.search(error.reason or ""))


def _speaks_http(connection: socket.socket) -> bool:
    connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
    answer = connection.recv(64)
    # Servers with TLS answer 400.
    return answer.startswith(b"HTTP/") and b" 400 " not in answer
