"""A trace id for each request: the one that came with it, or a new one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.middleware.errors import ServerErrorMiddleware
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

    Add it last, so that it is the outermost: `app.add_middleware(TraceMiddleware)`, or around any ASGI
    application: `app = TraceMiddleware(app)`.

    Promised: concurrent requests never see each other's id; streaming responses and websockets pass
    unchanged. An exception that the application does not handle is answered here, as the application's
    own handler for it says, so that the answer has the header; it is then raised on, and the id stays
    for the server to log it under.

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

        async def send_with_id(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message = {**message, "headers": list(message.get("headers", ()))}
                MutableHeaders(scope=message)[HEADER] = trace_id
            await send(message)

        token = set_trace_id(trace_id)
        await self._answering_errors(scope)(scope, receive, send_with_id)
        # Not after an exception: the server logs it in this context, when we have gone.
        token.var.reset(token)

    def _answering_errors(self, scope: Scope) -> ASGIApp:
        # The layer that answers unhandled exceptions is outside of every middleware that is added to an
        # application, and would send without our header: the same layer, around the same application.
        application = scope.get("app")
        handlers = getattr(application, "exception_handlers", {})
        handler = handlers.get(500) or handlers.get(Exception)
        return ServerErrorMiddleware(self.app, handler, getattr(application, "debug", False))


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
