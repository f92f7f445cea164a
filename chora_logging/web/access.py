"""Access control: local requests, those with a token or a session, an application's check, other origins."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from chora_logging.errors import ConfigurationError
from chora_logging.options import accepts, is_loopback
from chora_logging.web.responses import Refusal
from chora_logging.web.sessions import Sessions
from chora_logging.web.tokens import TOKEN_VARIABLE

#: An application's own check, a function or a coroutine function: see `create_app`.
Check = Callable[[Request], Any]

#: The key in the scope of a request for its session, which a stream does not outlive.
SESSION = "chora_logging.session"

_WITHOUT_YIELD = (
    "a function that returns or raises, without `yield`, or nothing of it would run (a dependency of FastAPI "
    "with `yield` is for include(app, dependencies=[Depends(user)]))"
)

_HOSTS = "a list of host names, without scheme and port: a name, `*.` and a name, [IPv6], or `*`"

_host = re.compile(r"(\*\.)?[\w-][\w.-]*|\[[\da-fA-F:.]+\]").fullmatch

_CHALLENGE = {"www-authenticate": 'Bearer realm="chora_logging"'}

#: The headers that proxies add.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


class Guard:
    """Accepts or refuses requests.

    Without tokens and a check, only requests from this machine are accepted, only without the header of a
    proxy, and only for a loopback name or address: a foreign page whose host name resolves to 127.0.0.1
    (DNS rebinding) reads nothing.

    Args:
        tokens: The tokens by name.
        hosts: The allowed host names, without a port; `*.example.org` allows all names below. None
            allows any name with a token or a check, and only those of the loopback without one.
        check: Decides instead of tokens.

    Raises:
        ConfigurationError: *hosts* or *check* is invalid, or there are tokens and a check.
    """

    def __init__(
        self,
        tokens: Mapping[str, str] | None = None,
        hosts: Sequence[str] | None = None,
        check: Check | None = None,
    ) -> None:
        if check is not None and (tokens or not callable(check) or not accepts(check, 1)):
            raise ConfigurationError("check", check, "a function of a request, and without a token")
        if _is_generator_function(check):
            raise ConfigurationError("check", check, _WITHOUT_YIELD)
        self.sessions = Sessions(tokens) if tokens else None
        self._check = check
        self._is_local = self.sessions is None and check is None
        self._wants_loopback = hosts is None and self._is_local
        names = _check_texts("allowed_hosts", ("*",) if hosts is None else hosts, _is_host, _HOSTS)
        self._hosts = tuple(host.lower() for host in names)

    async def anyone(self, request: Request) -> Response | None:
        """Accept a request for an allowed host name; without tokens only from this machine.

        Returns:
            None, or the answer of the check.

        Raises:
            Refusal: the host name is not allowed, the request is not from this machine, or the check
                has returned False.
        """
        self._check_host(request)
        if self._is_local:
            _check_local(request)
        return None if self._check is None else await _ask(self._check, request)

    async def holder(self, request: Request) -> Response | None:
        """Accept a request with a token or a session.

        Returns:
            None, or the answer of the check.

        Raises:
            Refusal: it has neither, or `anyone` refuses it.
        """
        answer = await self.anyone(request)
        if self.sessions is not None:
            self._check_token(request, self.sessions)
        return answer

    def _check_host(self, request: Request) -> None:
        given = request.headers.get("host", "")
        host = _without_port(given)
        if self._wants_loopback:
            if not is_loopback(host.removeprefix("[").removesuffix("]")):
                names = "localhost, or one of allowed_hosts"
                detail = f"without a token Host must be a name of this machine ({names}), got {given[:80]!r}"
                raise Refusal(403, "unknown_host", f"{detail}: set {TOKEN_VARIABLE}")
        elif not any(
            allowed in ("*", host) or (allowed.startswith("*.") and host.endswith(allowed[1:]))
            for allowed in self._hosts
        ):
            raise Refusal(400, "unknown_host", f"Host must be one of allowed_hosts, got {given[:80]!r}")

    def _check_token(self, request: Request, sessions: Sessions) -> None:
        session = sessions.find(request.cookies)
        if session is not None:
            request.scope[SESSION] = session
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            raise Refusal(401, "token_needed", "send `Authorization: Bearer TOKEN`, or log in", _CHALLENGE)
        if scheme.lower() != "bearer" or sessions.holder(token.strip()) is None:
            raise Refusal(401, "wrong_token", "this is not a token of this server", _CHALLENGE)


def check_origins(origins: object) -> tuple[str, ...]:
    """Return *origins* if it is a list of them.

    Raises:
        ConfigurationError: it is not.
    """
    allowed = "a list of origins, each a scheme and a host: https://example.org"
    return _check_texts("origins", origins, _is_origin, allowed)


def cors(origins: Sequence[str]) -> Middleware:
    """Return the middleware that lets pages of other *origins* read, log in and out."""
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_credentials=True,
        allow_headers=["Authorization", "Last-Event-ID", "If-None-Match", "traceparent", "X-Trace-Id"],
        expose_headers=["X-Trace-Id", "ETag", "Retry-After"],
    )


def _check_local(request: Request) -> None:
    address = request.client.host if request.client is not None else ""
    if not is_loopback(address):
        unknown = ", and the server knows no address of this client, as over a Unix socket"
        detail = f"without a token only requests from this machine are allowed{'' if address else unknown}"
        raise Refusal(403, "not_local", f"{detail}: set {TOKEN_VARIABLE}, or give a check")
    for name in _FORWARDED:
        if name in request.headers:
            detail = (
                f"this request came through a proxy (it has the header {name}), and without a token "
                f"everybody whom the proxy serves could read the logs: set {TOKEN_VARIABLE}"
            )
            raise Refusal(403, "forwarded", detail)


def _is_generator_function(check: object) -> bool:
    """Return whether a call of *check* runs nothing of it, since the body of a generator waits for `next`."""
    while isinstance(check, functools.partial):
        check = check.func
    functions = [inspect.unwrap(each) for each in (check, type(check).__call__)]  # type: ignore[arg-type]
    return any(inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in functions)


async def _ask(check: Check, request: Request) -> Response | None:
    if any(map(inspect.iscoroutinefunction, (check, getattr(check, "__call__", None)))):  # noqa: B004
        answer = await check(request)
    else:
        answer = await run_in_threadpool(check, request)
    if isinstance(answer, Awaitable):  # a function that returns a coroutine
        answer = await answer
    if inspect.isgenerator(answer) or inspect.isasyncgen(answer):
        raise ConfigurationError("check", check, _WITHOUT_YIELD)
    if answer is False:
        raise Refusal(403, "refused", "the application does not let this request read the logs")
    return answer if isinstance(answer, Response) else None


def _check_texts(name: str, value: object, fits: Callable[[str], bool], allowed: str) -> tuple[str, ...]:
    if isinstance(value, Iterable) and not isinstance(value, str):
        texts = tuple(value)
        if all(isinstance(text, str) and fits(text) for text in texts):
            return texts
    raise ConfigurationError(name, value, allowed)


def _is_origin(origin: str) -> bool:
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and bool(host) and not set(host) & set("/*?# ")


def _is_host(host: str) -> bool:
    return host == "*" or _host(host) is not None


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
