"""Sets a trace id for each request: the one in its headers, or a new one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chora_logging.context import set_trace_id
from chora_logging.errors import ConfigurationError
from chora_logging.options import accepts
from chora_logging.trace_ids import new_trace_id, trace_id_of_headers

#: The response header with the trace id.
HEADER = "X-Trace-Id"

_ALLOWED = (
    "an ASGI application (for one of WSGI, as Flask's, use chora_logging.wsgi.TraceMiddleware; with Django "
    "wrap the application in asgi.py or wsgi.py instead of adding to MIDDLEWARE)"
)

# The key of the id in the scope of a request: an application mounted in another one uses the same id.
_DONE = "chora_logging.trace_id"


class TraceMiddleware:
    """Sets the trace context of each request, and the header `X-Trace-Id` of its response.

    The id comes from the W3C header `traceparent`, else `X-Trace-Id`, else `X-Request-Id`. A header
    that is too long or has characters other than visible ASCII is ignored. Without a valid header a new
    id is made. All records logged while the request is handled have the id, also in tasks, in
    `asyncio.to_thread`, and in subprocesses with `child_env()`.

    Add it last, so that it is the outermost: `app.add_middleware(TraceMiddleware)`; or wrap any ASGI
    application: `app = TraceMiddleware(app)`.

    Promised: concurrent requests never see each other's id; streaming responses and websockets pass
    unchanged. The response to an unhandled exception has the header too, and the server logs the
    exception with the id.

    Not promised: the header on the traceback page that Starlette shows with `debug=True`.

    Args:
        app: The application to wrap.

    Raises:
        ConfigurationError: *app* is no ASGI application.

    Example:
        >>> from starlette.applications import Starlette
        >>> app = Starlette()
        >>> app.add_middleware(TraceMiddleware)
    """

    def __init__(self, app: ASGIApp) -> None:
        if not accepts(app, 3):
            raise ConfigurationError("app", app, _ALLOWED)
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, websocket or lifespan."""
        if scope["type"] not in ("http", "websocket") or _DONE in scope:
            await self.app(scope, receive, send)
            return
        trace_id = _trace_id_of(scope["headers"]) or new_trace_id()
        scope[_DONE] = trace_id
        around = scope.get("app")
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] in ("http.response.start", "websocket.accept"):
                message = {**message, "headers": list(message.get("headers", ()))}
                MutableHeaders(scope=message)[HEADER] = trace_id
            await send(message)

        token = set_trace_id(trace_id)
        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            if around is not None:
                _add_id_to_errors(around)
            elif scope["type"] == "http" and not started:
                await _error()(scope, receive, send_with_id)
            # The id stays set: the server logs the exception in this context afterwards.
            raise
        token.var.reset(token)


class _HandlerWithId:
    """Answers unhandled exceptions of an application, and adds the header.

    Starlette answers them outside of all middleware that is added to an application, so added
    middleware cannot set a header on that response.

    Args:
        handler: The application's own handler for unhandled exceptions, or None.
    """

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    async def __call__(self, request: Request, error: Exception) -> Response:
        if self._handler is None:
            response = _error()
        elif any(map(inspect.iscoroutinefunction, (self._handler, self._handler.__call__))):
            response = await self._handler(request, error)
        else:
            response = await run_in_threadpool(self._handler, request, error)
        response.headers[HEADER] = request.scope[_DONE]
        return response


def _add_id_to_errors(application: Any) -> None:
    outermost = getattr(application, "middleware_stack", None)
    if isinstance(outermost, ServerErrorMiddleware) and not isinstance(outermost.handler, _HandlerWithId):
        outermost.handler = _HandlerWithId(outermost.handler)


def _error() -> Response:
    return PlainTextResponse("Internal Server Error", status_code=500)


def _trace_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found.setdefault(name.lower(), value)
    return trace_id_of_headers(lambda name: found.get(name.encode(), b"").decode("latin-1"))
