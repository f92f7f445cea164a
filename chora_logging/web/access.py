"""Which requests are let in: from here or with the token, and under a name that this server has."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from starlette.requests import Request

from chora_logging.errors import ConfigurationError
from chora_logging.web.auth import MINUTE, VARIABLE, Attempts, Sessions
from chora_logging.web.responses import Refusal

_host = re.compile(r"(\*\.)?[\w-][\w.-]*|\[[\da-fA-F:.]+\]").fullmatch

_CHALLENGE = {"www-authenticate": 'Bearer realm="chora_logging"'}


class Guard:
    """Lets requests in.

    Without a token only requests from this machine are, and only under the names that it has for
    itself: a page elsewhere that gives its own name the address 127.0.0.1 reads nothing.

    Args:
        token: The token.
        hosts: The names under which the server is asked, without a port; `*.example.org` stands for
            all below. None takes the name and the addresses of the loopback, and any with a token.

    Raises:
        ConfigurationError: *hosts* cannot be used.
    """

    def __init__(self, token: str | None = None, hosts: Sequence[str] | None = None) -> None:
        self.sessions = None if token is None else Sessions(token)
        self.attempts = Attempts()
        self._is_local = hosts is None and token is None
        if hosts is None:
            hosts = ("*",) if token else ()
        if isinstance(hosts, str) or not all(map(_is_host, hosts)):
            allowed = "a list of host names, without scheme and port: a name, `*.` and a name, [IPv6], or `*`"
            raise ConfigurationError("allowed_hosts", hosts, allowed)
        self._hosts = tuple(host.lower() for host in hosts)

    def anyone(self, request: Request) -> None:
        """Let in whoever asks under an allowed name, from this machine if there is no token.

        Raises:
            Refusal: not this one.
        """
        host = request.headers.get("host", "")
        if not self._is_allowed(_without_port(host)):
            names = "localhost, or one of allowed_hosts"
            detail = f"Host must be a name of this server ({names}), got {host[:80]!r}"
            raise Refusal(400, "unknown_host", detail)
        if self.sessions is None and not _is_loopback(request):
            detail = f"without a token only this machine may ask: set {VARIABLE}"
            raise Refusal(403, "not_local", detail)

    def holder(self, request: Request) -> None:
        """Let in who has the token or a session.

        Raises:
            Refusal: not this one.
        """
        self.anyone(request)
        if self.sessions is None or self._has_session(request):
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            raise Refusal(401, "token_needed", "send `Authorization: Bearer TOKEN`, or log in", _CHALLENGE)
        if scheme.lower() != "bearer" or not self.sessions.accepts(token.strip()):
            self.count_failure(request)
            raise Refusal(401, "wrong_token", "this is not the token of this server", _CHALLENGE)

    def check_attempts(self, request: Request) -> None:
        """Refuse to look at a token from where too many wrong ones came.

        Raises:
            Refusal: too many came.
        """
        if self.attempts.too_many(_address(request)):
            retry = {"retry-after": f"{MINUTE:.0f}"}
            raise Refusal(429, "too_many_attempts", "too many wrong tokens; wait a minute", retry)

    def count_failure(self, request: Request) -> None:
        """Count a wrong token.

        Raises:
            Refusal: it was one too many.
        """
        self.attempts.failed(_address(request))
        self.check_attempts(request)

    def _has_session(self, request: Request) -> bool:
        assert self.sessions is not None
        session = request.cookies.get(self.sessions.cookie)
        return session is not None and self.sessions.knows(session)

    def _is_allowed(self, host: str) -> bool:
        if self._is_local:
            return is_loopback(host.removeprefix("[").removesuffix("]"))
        return any(
            allowed in ("*", host) or (allowed.startswith("*.") and host.endswith(allowed[1:]))
            for allowed in self._hosts
        )


def _is_host(host: object) -> bool:
    return isinstance(host, str) and (host == "*" or _host(host) is not None)


def is_loopback(address: str) -> bool:
    """Whether *address*, an IP address or `localhost`, is this machine."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address == "localhost"
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _is_loopback(request: Request) -> bool:
    # Through a Unix socket there is no address, and the rights of its file say who may.
    return request.client is None or is_loopback(request.client.host)


def _address(request: Request) -> str:
    return "" if request.client is None else request.client.host


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
