"""Builds the routes, as an application or for mounting in another one."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chora_logging.errors import ConfigurationError
from chora_logging.web.access import Guard, Login, check_token, token_from_environment
from chora_logging.web.counts import fields_list, histogram_page, traces_list
from chora_logging.web.event import event_page
from chora_logging.web.health import healthz, metrics_page
from chora_logging.web.limits import Limits
from chora_logging.web.metrics import Metrics
from chora_logging.web.middleware import TraceMiddleware
from chora_logging.web.openapi import document
from chora_logging.web.pages import events_page, logs_list, trace_page
from chora_logging.web.responses import INDEX, Files, HeadersMiddleware, Refusal, json_response, protected
from chora_logging.web.site import Logs, Site
from chora_logging.web.stream import event_stream
from chora_logging.web.table import TABLE, table_module

_ERRORS = {404: ("not_found", "there is no such route"), 405: ("method_not_allowed", "use another method")}

Handler = Callable[[Request], Awaitable[ASGIApp]]
Check = Callable[[Request], None]

READ = ("GET", "HEAD")


def create_app(
    logs: Logs | None = None,
    *,
    token: str | None = None,
    allowed_hosts: Sequence[str] | None = None,
    origins: Sequence[str] = (),
    limits: Limits | None = None,
    fields: Mapping[str, str] | None = None,
) -> Starlette:
    """Return an application that serves logs: pages, live streams, traces and the viewer.

    Without a token it accepts only requests from this machine, for a loopback name or address
    (`localhost`, `127.0.0.1`, `[::1]`). With a token, only the files of the viewer, `/login`, `/logout`
    and `/healthz` are served without it; they contain no events. `uvicorn --factory
    chora_logging.web:create_app` runs it. Streams end when uvicorn stops, alone or under gunicorn.

    Args:
        logs: Names and paths (or addresses `nats://host/STREAM`, or sources such as `EventLog`), or one
            address, whose stream names the log. None serves `orchestrator` and `telemetry` from
            the paths to which programs with this environment write them.
        token: The token that clients send in `Authorization: Bearer`, or once in the form of the
            viewer. None takes that of the variable `CHORA_LOGGING_TOKEN`, if it is set.
        allowed_hosts: The allowed host names; `*.example.org` allows all names below, `*` any name.
            None allows any name with a token, and only those of the loopback without one.
        origins: The origins of other sites whose pages may read with the token (CORS), such as
            `https://example.org`.
        limits: The limits of this application, in each server process.
        fields: The names of fields that mean something, for the logs that are not sources; see `EventLog`.

    Raises:
        ConfigurationError: an argument or variable is invalid.
    """
    token = token_from_environment() if token is None else check_token("token", token)
    guard = Guard(token, allowed_hosts)
    middleware = [Middleware(HeadersMiddleware), Middleware(TraceMiddleware)]
    if origins:
        middleware.append(_cors(origins))
    site = Site(logs, limits, fields)
    app = Starlette(
        routes=[*_login_routes(site, guard), *_routes(site, guard)],
        middleware=middleware,
        exception_handlers={HTTPException: _http_error, Exception: _fault},
    )
    # Redirects would go to the host in the header Host before it was checked.
    app.router.redirect_slashes = False
    return app


def routes(
    logs: Logs | None = None, *, limits: Limits | None = None, fields: Mapping[str, str] | None = None
) -> list[BaseRoute]:
    """Return the routes alone, to mount in a Starlette or FastAPI application under any prefix.

    `Mount("/logs", routes=routes())` for Starlette; `app.mount("/logs", Starlette(routes=routes()))`
    for FastAPI. They need no lifespan. They have no access control: the application must restrict who
    may read.

    Args:
        logs: As for `create_app`.
        limits: As for `create_app`.
        fields: As for `create_app`.

    Raises:
        ConfigurationError: an argument or variable is invalid.
    """
    return _routes(Site(logs, limits, fields), None)


def _routes(site: Site, guard: Guard | None) -> list[BaseRoute]:
    anyone, holder = (None, None) if guard is None else (guard.anyone, guard.holder)
    login = guard is not None and guard.sessions is not None
    viewer = Files("viewer", {TABLE: table_module()})

    def on_site(handler: Callable[[Site, Request], Awaitable[ASGIApp]], check: Check | None) -> Endpoint:
        return Endpoint(lambda request: handler(site, request), site.metrics, check)

    async def page(site: Site, request: Request) -> Response:
        return viewer.response(request, request.path_params.get("name", INDEX))

    async def names(site: Site, request: Request) -> Response:
        return logs_list(site, login=login)

    async def description(site: Site, request: Request) -> Response:
        root = request.scope.get("root_path", "")
        return json_response(document(list(site.logs), root, site.limits, login=login))

    return [
        # The files of the viewer contain no events, and it asks for the token itself: so a shared link
        # keeps its filters, and a link from another site, which comes without the cookie, opens.
        Route("/", on_site(page, anyone)),
        Route("/viewer/{name}", on_site(page, anyone)),
        Route("/api/v1/openapi.json", on_site(description, holder)),
        Route("/api/v1/logs", on_site(names, holder)),
        Route("/api/v1/{log}/events", on_site(events_page, holder)),
        Route("/api/v1/{log}/events/stream", on_site(event_stream, holder)),
        Route("/api/v1/{log}/events/{cursor}", on_site(event_page, holder)),
        Route("/api/v1/{log}/histogram", on_site(histogram_page, holder)),
        Route("/api/v1/{log}/fields", on_site(fields_list, holder)),
        Route("/api/v1/{log}/traces", on_site(traces_list, holder)),
        Route("/api/v1/{log}/traces/{trace_id:path}", on_site(trace_page, holder)),
        Route("/healthz", on_site(healthz, anyone)),
        Route("/metrics", on_site(metrics_page, holder)),
    ]


def _login_routes(site: Site, guard: Guard) -> list[BaseRoute]:
    login = Login(guard)
    return [
        Route("/login", Endpoint(login.begin, site.metrics, guard.anyone, ("POST",))),
        Route("/logout", Endpoint(login.end, site.metrics, guard.anyone, ("POST",))),
    ]


def _cors(origins: Sequence[str]) -> Middleware:
    if isinstance(origins, str) or not all(_is_origin(origin) for origin in origins):
        allowed = "a list of origins, each a scheme and a host: https://example.org"
        raise ConfigurationError("origins", origins, allowed)
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET"],
        allow_headers=["Authorization", "Last-Event-ID", "If-None-Match", "traceparent", "X-Trace-Id"],
        expose_headers=["X-Trace-Id", "ETag", "Retry-After"],
    )


def _is_origin(origin: object) -> bool:
    scheme, _, host = origin.partition("://") if isinstance(origin, str) else ("", "", "")
    return scheme in ("http", "https") and bool(host) and not set(host) & set("/*?# ")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    name, detail = _ERRORS.get(error.status_code, ("error", error.detail))
    return Refusal(error.status_code, name, detail, error.headers).response()


async def _fault(request: Request, error: Exception) -> Response:
    return Refusal(500, "fault", "internal error; see the log of the server").response()


class Endpoint:
    """Answers the requests of one route.

    Args:
        handler: Makes the response. A `Refusal` raised by it, or by the response before its first byte,
            becomes the answer.
        metrics: Counts refusals.
        check: Raises a `Refusal` for a request without access.
        methods: The allowed methods.
    """

    def __init__(
        self,
        handler: Handler,
        metrics: Metrics,
        check: Check | None = None,
        methods: tuple[str, ...] = READ,
    ) -> None:
        self._handler = handler
        self._metrics = metrics
        self._check = check
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
            if self._check is not None:
                self._check(request)
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
