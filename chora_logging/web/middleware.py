"""A trace id for each request: the one that came with it, or a new one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chora_logging.context import new_trace_id, parse_traceparent, set_trace_id
from chora_logging.schema import TRACE_ID_MAX

#: The header of every response.
HEADER = "X-Trace-Id"

# In the scope of a request that has its id: an application within another one has the same id.
_DONE = "chora_logging.trace_id"

# Visible ASCII: what headers, environments, URLs and terminals carry unchanged.
_id = re.compile(rb"[\x21-\x7e]{1,%d}" % TRACE_ID_MAX).fullmatch


class TraceMiddleware:
    """Sets the trace context of each request, and says it in the header `X-Trace-Id` of the response.

    The id is that of a W3C `traceparent`, else `X-Trace-Id`, else `X-Request-Id`; a header that is
    too long or has other characters than visible ASCII is passed over. Without one the id is new.
    Whatever is logged while the request is handled has it, and so have tasks, `asyncio.to_thread`, and
    subprocesses with `child_env()`.

    Add it last, so that it is the outermost: `app.add_middleware(TraceMiddleware)`; or put it around any
    ASGI application: `app = TraceMiddleware(app)`.

    Promised: concurrent requests never see each other's id; streaming responses and websockets pass
    unchanged. The answer to an exception that nobody handles has the header too, and the server logs
    the exception under the id.

    Not promised: the header of the page with a traceback that Starlette shows with `debug=True`.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, websocket or lifespan."""
        if scope["type"] not in ("http", "websocket") or _DONE in scope:
            await self.app(scope, receive, send)
            return
        trace_id = _given(scope["headers"]) or new_trace_id()
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
                _say_id_in_errors(around)
            elif scope["type"] == "http" and not started:
                await _error()(scope, receive, send_with_id)
            # The id stays: the server logs the exception in this context, when we have gone.
            raise
        token.var.reset(token)


class _WithId:
    """What answers unhandled exceptions in an application, with the header.

    Starlette answers them outside of every middleware that is added to an application, so nothing that
    is added can do it on the way.

    Args:
        handler: What the application has for them.
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


def _say_id_in_errors(application: Any) -> None:
    outermost = getattr(application, "middleware_stack", None)
    if isinstance(outermost, ServerErrorMiddleware) and not isinstance(outermost.handler, _WithId):
        outermost.handler = _WithId(outermost.handler)


def _error() -> Response:
    return PlainTextResponse("Internal Server Error", status_code=500)


def _given(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The trace id that came with a request."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found.setdefault(name.lower(), value)
    parent = parse_traceparent(found.get(b"traceparent", b"").decode("latin-1"))
    if parent is not None:
        return parent
    for name in (b"x-trace-id", b"x-request-id"):
        value = found.get(name, b"")
        if _id(value):
            return value.decode("ascii")
    return None
