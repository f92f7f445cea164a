"""Builds the routes, as an application or for mounting in another one."""

from __future__ import annotations

import asyncio
import contextlib
import http
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chora_logging.errors import ConfigurationError
from chora_logging.web.access import Check, Guard, check_origins, cors
from chora_logging.web.connections import ForcedStopMiddleware
from chora_logging.web.counts import fields_list, histogram_page, traces_list
from chora_logging.web.event import event_page
from chora_logging.web.health import healthz, metrics_page
from chora_logging.web.limits import Limits
from chora_logging.web.login import Login
from chora_logging.web.metrics import Metrics
from chora_logging.web.middleware import TraceMiddleware
from chora_logging.web.openapi import document
from chora_logging.web.pages import events_page, logs_list, trace_page
from chora_logging.web.prefix import PrefixMiddleware, check_prefix, left_before, mounted_at
from chora_logging.web.responses import INDEX, Files, HeadersMiddleware, Refusal, json_response, protected
from chora_logging.web.site import Logs, Site
from chora_logging.web.stream import event_stream
from chora_logging.web.table import TABLE, table_module
from chora_logging.web.tokens import MaskingMiddleware, check_tokens, masking, tokens_from_environment


class _Text(PathConvertor):
    """The rest of a path, also with line breaks, as ids in logs can have them."""

    regex = "(?s:.*)"


# By name, since the routes are also made by applications in which they are included.
register_url_convertor("chora_logging_text", _Text())

Handler = Callable[[Request], Awaitable[ASGIApp]]
Access = Callable[[Request], Awaitable[Response | None]]

READ = ("GET", "HEAD")

DESCRIPTION = "/api/v1/openapi.json"


def create_app(
    logs: Logs | None = None,
    *,
    token: str | Mapping[str, str] | None = None,
    check: Check | None = None,
    allowed_hosts: Sequence[str] | None = None,
    origins: Sequence[str] = (),
    prefix: str = "",
    limits: Limits | None = None,
    fields: Mapping[str, str] | None = None,
) -> Starlette:
    """Return an application that serves logs: pages, live streams, traces and the viewer.

    Without a token it accepts only requests from this machine, for a loopback name or address
    (`localhost`, `127.0.0.1`, `[::1]`), and none over a Unix socket. With a token, only the files of the
    viewer, `/login`, `/logout` and `/healthz` are served without it; they contain no events. With a check,
    all is subject to it. `uvicorn --factory chora_logging.web:create_app` runs it, and
    `app.mount("/logs", create_app())` mounts it in an application. Streams end when uvicorn stops, alone or
    under gunicorn; granian waits for them without end, unless it has `--workers-kill-timeout`.

    The lifespan of the application closes the connections to the addresses in *logs*, not those of given
    sources. A server calls it; an application in which this one is mounted does not, and one without it
    keeps the connections until the process ends: give it a `JetStreamLog` and close that.

    Args:
        logs: Names and paths (or addresses `nats://host/STREAM`, or sources such as `EventLog`), or one
            address, whose stream names the log. None serves `orchestrator` and `telemetry` from
            the paths to which programs with this environment write them.
        token: The token that clients send in `Authorization: Bearer`, or once in the form of the
            viewer; or several by name: a new one is added, then the old one is taken away. None takes
            those of the variable `CHORA_LOGGING_TOKEN`, if it is set: a line is a token, or a name and
            a token.
        check: Who may read, instead of a token: a function (called in a thread) or coroutine function that
            gets each request, without `yield`. It raises an `HTTPException`, returns False or a response to
            refuse it, such as a redirect to a login, and returns anything else to accept it.
        allowed_hosts: The allowed host names; `*.example.org` allows all names below, `*` any name.
            None allows any name with a token, and only those of the loopback without one.
        origins: The origins of other sites whose pages may read, log in and out, with the token or with a
            cookie (CORS with credentials), such as `https://example.org`.
        prefix: The path below which a proxy serves this application, such as `/logs`, whether it takes the
            path away from addresses or not.
        limits: The limits of this application, in each server process.
        fields: The names of fields that mean something, for the logs that are not sources; see `EventLog`.

    Raises:
        ConfigurationError: an argument or variable is invalid.

    Example:
        >>> import uvicorn
        >>> app = create_app({"app": "var/app.log", "orchestrator": ".devlogs/orch-default.log"})
        >>> uvicorn.run(app, port=8480)  # doctest: +SKIP
    """
    tokens = _tokens(token, check)
    guard = Guard(tokens, allowed_hosts, check)
    middleware = [
        Middleware(ForcedStopMiddleware),
        Middleware(MaskingMiddleware, masking(tokens.values())),
        Middleware(HeadersMiddleware),
        Middleware(TraceMiddleware),
    ]
    if check_prefix(prefix):
        middleware.append(Middleware(PrefixMiddleware, prefix))
    origins = check_origins(origins)
    if origins:
        middleware.append(cors(origins))
    site = Site(logs, limits, fields)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(site.close)

    app = Starlette(
        routes=[*_login_routes(site, guard, origins), *_routes(site, guard)],
        middleware=middleware,
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, Exception: _fault},
    )
    # Redirects would go to the host in the header Host before it was checked.
    app.router.redirect_slashes = False
    return app


class Routes(list[BaseRoute]):
    """A list of routes that is also an ASGI application, so that it can be mounted as either."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by one of the routes."""
        await Router(self, redirect_slashes=False, default=self._nothing)(scope, receive, send)

    async def _nothing(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_protected(message: Message) -> None:
            await send(protected(message))

        if scope["type"] == "http":
            await _no_route(scope, self).response()(scope, receive, send_protected)
        else:
            await Router().not_found(scope, receive, send)


def routes(
    logs: Logs | None = None,
    *,
    check: Check | None = None,
    limits: Limits | None = None,
    fields: Mapping[str, str] | None = None,
) -> Routes:
    """Return the routes alone, to mount in a Starlette application: `Mount("/logs", routes=routes())`.

    They need no lifespan; connections to addresses in *logs* last until the process ends (give a
    `JetStreamLog`, and close it, for shorter ones). Without *check* they let in whom `create_app` does:
    requests from this machine, or with a token of `CHORA_LOGGING_TOKEN`. FastAPI's dependencies do not
    reach them: see `include`.

    Args:
        logs: As for `create_app`.
        check: As for `create_app`. `lambda request: None` accepts all requests, where something in front
            of the routes restricts who may read.
        limits: As for `create_app`.
        fields: As for `create_app`.

    Raises:
        ConfigurationError: an argument or variable is invalid.

    Example:
        >>> from starlette.applications import Starlette
        >>> from starlette.routing import Mount
        >>> app = Starlette(routes=[Mount("/logs", routes=routes({"app": "var/app.log"}))])
    """
    return Routes(_guarded(Site(logs, limits, fields), Guard(_tokens(None, check), None, check)))


def include(
    app: Any,
    logs: Logs | None = None,
    *,
    prefix: str = "",
    check: Check | None = None,
    dependencies: Iterable[Any] = (),
    limits: Limits | None = None,
    fields: Mapping[str, str] | None = None,
) -> None:
    """Add the routes to a FastAPI or Starlette application, or to a router of one.

    `include(app, dependencies=[Depends(user)])`: FastAPI's dependencies decide who may read, those of the
    router and of the application too. `include(app, check=user)`: a function decides. With neither, the
    routes let in whom `create_app` does. Connections to addresses in *logs* last as with `routes`.

    Args:
        app: A `FastAPI`, `APIRouter`, `Starlette` or `Router`.
        logs: As for `create_app`.
        prefix: The path of the routes in the application, such as `/logs`.
        check: As for `create_app`.
        dependencies: FastAPI's dependencies for each route, one of which restricts who may read.
        limits: As for `create_app`.
        fields: As for `create_app`.

    Raises:
        ConfigurationError: an argument or variable is invalid.

    Example:
        >>> from starlette.applications import Starlette
        >>> app = Starlette()
        >>> include(app, {"app": "var/app.log"}, prefix="/logs", check=lambda request: request.user.is_staff)
    """
    if not isinstance(app, Starlette | Router):
        raise ConfigurationError("app", app, "a FastAPI, APIRouter, Starlette or Router")
    add_to_fastapi: Callable[..., None] | None = getattr(app, "add_api_route", None)
    dependencies = _check_dependencies(dependencies, add_to_fastapi is not None)
    site = Site(logs, limits, fields)
    guard = None if dependencies and check is None else Guard(_tokens(None, check), None, check)
    for route in _guarded(site, guard):
        path = check_prefix(prefix) + route.path
        if add_to_fastapi is not None:
            options = {"dependencies": dependencies, "include_in_schema": False, "response_model": None}
            add_to_fastapi(path, _for_fastapi(route.endpoint), methods=["GET", "HEAD", "POST"], **options)
        else:
            app.routes.append(Route(path, route.endpoint))


def _check_dependencies(given: object, is_fastapi: bool) -> list[Any]:
    if given and not is_fastapi:
        raise ConfigurationError("dependencies", given, "empty: Starlette has none; use check")
    found = list(given) if isinstance(given, Iterable) else [None]
    if not all(callable(getattr(each, "dependency", None)) for each in found):
        raise ConfigurationError("dependencies", given, "a list of `Depends`, such as [Depends(user)]")
    return found


class _Answer(Response):
    """A response that an application sends."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        if self.background is not None:
            await self.background()


def _for_fastapi(endpoint: ASGIApp) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return _Answer(endpoint)

    return answer


def _guarded(site: Site, guard: Guard | None) -> list[Route]:
    login = [] if guard is None or guard.sessions is None else _login_routes(site, guard, ())
    return [*login, *_routes(site, guard)]


def _routes(site: Site, guard: Guard | None) -> list[Route]:
    anyone, holder = (None, None) if guard is None else (guard.anyone, guard.holder)
    login = guard is not None and guard.sessions is not None
    viewer = Files("viewer", {TABLE: table_module()})

    def on_site(handler: Callable[[Site, Request], Awaitable[ASGIApp]], access: Access | None) -> Endpoint:
        return Endpoint(lambda request: handler(site, request), site.metrics, access)

    async def page(site: Site, request: Request) -> Response:
        return viewer.response(request, request.path_params.get("name", INDEX))

    async def names(site: Site, request: Request) -> Response:
        return logs_list(site, login=login)

    async def description(site: Site, request: Request) -> Response:
        root = mounted_at(request, DESCRIPTION)
        return json_response(document(list(site.logs), root, site.limits, login=login))

    return [
        # The files of the viewer contain no events, and it asks for the token itself: so a shared link
        # keeps its filters, and a link from another site, which comes without the cookie, opens.
        Route("/", on_site(page, anyone)),
        Route("/viewer/{name}", on_site(page, anyone)),
        Route(DESCRIPTION, on_site(description, holder)),
        Route("/api/v1/logs", on_site(names, holder)),
        Route("/api/v1/{log}/events", on_site(events_page, holder)),
        Route("/api/v1/{log}/events/stream", on_site(event_stream, holder)),
        Route("/api/v1/{log}/events/{cursor}", on_site(event_page, holder)),
        Route("/api/v1/{log}/histogram", on_site(histogram_page, holder)),
        Route("/api/v1/{log}/fields", on_site(fields_list, holder)),
        Route("/api/v1/{log}/traces", on_site(traces_list, holder)),
        Route("/api/v1/{log}/traces/{trace_id:chora_logging_text}", on_site(trace_page, holder)),
        Route("/healthz", on_site(healthz, anyone)),
        Route("/metrics", on_site(metrics_page, holder)),
    ]


def _tokens(token: str | Mapping[str, str] | None, check: Check | None) -> dict[str, str]:
    if token is not None:
        return check_tokens("token", token)
    return {} if check is not None else tokens_from_environment()


def _login_routes(site: Site, guard: Guard, origins: Sequence[str]) -> list[Route]:
    login = Login(guard.sessions, origins)
    return [
        Route("/login", Endpoint(login.begin, site.metrics, guard.anyone, ("POST",))),
        Route("/logout", Endpoint(login.end, site.metrics, guard.anyone, ("POST",))),
    ]


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == http.HTTPStatus.NOT_FOUND:
        return _no_route(request.scope, request.app.routes).response()
    if error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        return Refusal(405, "method_not_allowed", "use another method", error.headers).response()
    return Refusal(error.status_code, "error", error.detail, error.headers).response()


def _no_route(scope: Scope, routes: Iterable[BaseRoute]) -> Refusal:
    hint = left_before(scope, routes)
    return Refusal(404, "not_found", ": ".join(["there is no such route", *filter(None, [hint])]))


async def _fault(request: Request, error: Exception) -> Response:
    return Refusal(500, "fault", "internal error; see the log of the server").response()


class Endpoint:
    """Answers the requests of one route.

    Args:
        handler: Makes the response. A `Refusal` raised by it, or by the response before its first byte,
            becomes the answer.
        metrics: Counts refusals.
        access: Raises a `Refusal` for a request without access, or returns the answer to it.
        methods: The allowed methods.
    """

    def __init__(
        self,
        handler: Handler,
        metrics: Metrics,
        access: Access | None = None,
        methods: tuple[str, ...] = READ,
    ) -> None:
        self._handler = handler
        self._metrics = metrics
        self._access = access
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = False

        async def starting(message: Message) -> None:
            nonlocal started
            started = True
            await send(protected(message))

        try:
            request = Request(scope, receive)
            response: ASGIApp | None = None
            if self._access is not None:
                response = await self._access(request)
            if response is None:
                self._check_method(request.method)
                response = await self._handler(request)
            await response(scope, receive, starting)
        except Refusal as refusal:
            if started:
                raise
            self._metrics.refused.labels(refusal.error).inc()
            await refusal.response()(scope, receive, starting)

    def _check_method(self, method: str) -> None:
        if method not in self._methods:
            allowed = ", ".join(self._methods)
            detail = f"the method must be {' or '.join(self._methods)}, got {method[:20]!r}"
            raise Refusal(
                http.HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", detail, {"allow": allowed}
            )
