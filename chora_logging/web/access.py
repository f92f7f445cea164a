"""Access control: local requests, requests with the token, and sessions in a cookie.

The form that asks for the token is part of the viewer.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import time
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from chora_logging.errors import ConfigurationError
from chora_logging.options import is_loopback
from chora_logging.web.limits import (
    LONGEST_FORM_BYTES,
    REMEMBERED_ADDRESSES,
    WRONG_TOKENS,
    WRONG_TOKENS_SECONDS,
)
from chora_logging.web.responses import Refusal

_host = re.compile(r"(\*\.)?[\w-][\w.-]*|\[[\da-fA-F:.]+\]").fullmatch

_CHALLENGE = {"www-authenticate": 'Bearer realm="chora_logging"'}

#: The environment variable for the token.
TOKEN_VARIABLE = "CHORA_LOGGING_TOKEN"

#: The fewest characters of a token: shorter ones can be guessed, also offline from a session's signature.
SHORTEST_TOKEN = 16

_visible = re.compile("[\x21-\x7e]*").fullmatch

#: How long a session lasts, in seconds.
SESSION_SECONDS = 12 * 3600

_FORM = "application/x-www-form-urlencoded"
_NO_CONTENT = 204


class Guard:
    """Accepts or refuses requests.

    Without a token only requests from this machine are accepted, and only for a loopback name or
    address: a foreign page whose host name resolves to 127.0.0.1 (DNS rebinding) reads nothing.

    Args:
        token: The token, if there is one.
        hosts: The allowed host names, without a port; `*.example.org` allows all names below. None
            allows any name with a token, and only those of the loopback without one.

    Raises:
        ConfigurationError: *hosts* is invalid.
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
        """Accept a request for an allowed host name; without a token only from this machine.

        Raises:
            Refusal: the host name is not allowed, or the request is not from this machine.
        """
        host = request.headers.get("host", "")
        if not self._is_allowed(_without_port(host)):
            names = "localhost, or one of allowed_hosts"
            detail = f"Host must be a name of this server ({names}), got {host[:80]!r}"
            raise Refusal(400, "unknown_host", detail)
        if self.sessions is None and not _is_loopback(request):
            detail = f"without a token only requests from this machine are allowed: set {TOKEN_VARIABLE}"
            raise Refusal(403, "not_local", detail)

    def holder(self, request: Request) -> None:
        """Accept a request with the token or a session.

        Raises:
            Refusal: it has neither, or `anyone` refuses it.
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
        """Refuse a request from an address that sent too many wrong tokens.

        Raises:
            Refusal: the address sent too many.
        """
        if self.attempts.too_many(_address(request)):
            retry = {"retry-after": f"{WRONG_TOKENS_SECONDS:.0f}"}
            raise Refusal(429, "too_many_attempts", "too many wrong tokens; wait a minute", retry)

    def count_failure(self, request: Request) -> None:
        """Count a wrong token.

        Raises:
            Refusal: the address has now sent too many.
        """
        self.attempts.failed(_address(request))
        self.check_attempts(request)

    def _has_session(self, request: Request) -> bool:
        assert self.sessions is not None
        session = request.cookies.get(self.sessions.cookie)
        return session is not None and self.sessions.is_valid(session)

    def _is_allowed(self, host: str) -> bool:
        if self._is_local:
            return is_loopback(host.removeprefix("[").removesuffix("]"))
        return any(
            allowed in ("*", host) or (allowed.startswith("*.") and host.endswith(allowed[1:]))
            for allowed in self._hosts
        )


def _is_host(host: object) -> bool:
    return isinstance(host, str) and (host == "*" or _host(host) is not None)


def _is_loopback(request: Request) -> bool:
    # A client of a Unix socket has no address; the permissions of the socket file control access.
    return request.client is None or is_loopback(request.client.host)


def _address(request: Request) -> str:
    return "" if request.client is None else request.client.host


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def token_from_environment() -> str | None:
    """Return the token of `CHORA_LOGGING_TOKEN`; None if it is unset or empty.

    Raises:
        ConfigurationError: the token is invalid.
    """
    token = os.environ.get(TOKEN_VARIABLE)
    return check_token(TOKEN_VARIABLE, token) if token else None


def token_from_file(path: str) -> str:
    """Return the token in the file *path*, without surrounding whitespace.

    Raises:
        ConfigurationError: the token is invalid.
        OSError: the file cannot be read.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        return check_token("the token file", file.read(4096).strip())


def check_token(name: str, token: str) -> str:
    """Return *token* if it is valid; *name* is its source, for the error message.

    Raises:
        ConfigurationError: it is invalid; the message does not contain it.
    """
    if not isinstance(token, str) or len(token) < SHORTEST_TOKEN or not _visible(token):
        allowed = f"at least {SHORTEST_TOKEN} visible ASCII characters (`openssl rand -hex 32` makes some)"
        raise ConfigurationError(name, f"{len(str(token))} characters", allowed)
    return token


class Sessions:
    """Opens and checks sessions of one token; sessions are not stored, so they survive a restart.

    A session is an expiry time, a random value and an HMAC over both with a key derived from the token;
    it does not contain the token. Changing the token ends all sessions.

    Args:
        token: The token.

    Attributes:
        cookie: The name of the cookie. It depends on the token, because browsers send the cookies of a
            host to all servers on it, whatever their port.
    """

    def __init__(self, token: str) -> None:
        self._token = _digest(token.encode(), b"token")
        self._key = _digest(token.encode(), b"session")
        self.cookie = f"chora_logging_{_digest(self._key, b'name').hex()[:8]}"

    def accepts(self, token: str) -> bool:
        """Return whether *token* is the token; the comparison takes constant time."""
        return hmac.compare_digest(_digest(token.encode("utf-8", "replace"), b"token"), self._token)

    def open(self) -> str:
        """Return a new session, as the value of a cookie."""
        text = f"{int(time.time()) + SESSION_SECONDS}.{secrets.token_hex(8)}"
        return f"{text}.{self._signature(text)}"

    def is_valid(self, session: str) -> bool:
        """Return whether *session* was opened with this token and has not expired."""
        text, _, signature = session.rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(text).encode()):
            return False
        return int(text.partition(".")[0]) > time.time()

    def _signature(self, text: str) -> str:
        return _digest(self._key, text.encode("utf-8", "replace")).hex()


class Attempts:
    """Counts wrong tokens by address, to limit guessing."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[float, int]] = {}

    def too_many(self, address: str) -> bool:
        """Return whether *address* sent too many wrong tokens in the last minute."""
        began, count = self._failed.get(address, (0.0, 0))
        return count >= WRONG_TOKENS and time.monotonic() - began < WRONG_TOKENS_SECONDS

    def failed(self, address: str) -> None:
        """Count a wrong token from *address*."""
        now = time.monotonic()
        began, count = self._failed.pop(address, (now, 0))
        self._failed[address] = (began, count + 1) if now - began < WRONG_TOKENS_SECONDS else (now, 1)
        if len(self._failed) > REMEMBERED_ADDRESSES:
            del self._failed[next(iter(self._failed))]


def _digest(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, b"chora_logging " + text, "sha256")


class Login:
    """Begins and ends sessions.

    Args:
        guard: Has the token and counts wrong ones.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def begin(self, request: Request) -> Response:
        """Open a session for a form with the token.

        Raises:
            Refusal: the token is wrong, the form is invalid, or another site sent it.
        """
        _check_origin(request)
        self._guard.check_attempts(request)
        token = await _token(request)
        response = Response(status_code=_NO_CONTENT)
        sessions = self._guard.sessions
        if sessions is not None:
            if not sessions.accepts(token):
                self._guard.count_failure(request)
                raise Refusal(401, "wrong_token", "this is not the token of this server")
            _set_cookie(response, request, sessions.cookie, sessions.open(), SESSION_SECONDS)
        return response

    async def end(self, request: Request) -> Response:
        """Delete the session cookie in the browser.

        Raises:
            Refusal: another site sent the form.
        """
        _check_origin(request)
        response = Response(status_code=_NO_CONTENT)
        if self._guard.sessions is not None:
            _set_cookie(response, request, self._guard.sessions.cookie, "", 0)
        return response


def _set_cookie(response: Response, request: Request, name: str, value: str, seconds: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=request.scope.get("root_path", "") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    response.headers["cache-control"] = "no-store"


def _check_origin(request: Request) -> None:
    """Refuse a form that another site sent, by the header Origin that browsers set."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise Refusal(403, "other_origin", f"this form was sent from {origin[:80]!r}, not from this server")


async def _token(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise Refusal(415, "no_form", f"the token must be sent as a form, {_FORM}, got {kind[:80]!r}")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM_BYTES:
            raise Refusal(413, "form_too_long", f"the form must have at most {LONGEST_FORM_BYTES} bytes")
    try:
        text = body.decode("ascii", "replace")
        values = parse_qs(text, keep_blank_values=True, max_num_fields=10)
    except ValueError:
        values = {}
    if set(values) != {"token"} or len(values["token"]) > 1:
        raise Refusal(422, "invalid_form", "the form must have one field, token")
    return values["token"][0].strip()
