"""Trace ids for the requests of WSGI applications, such as those of Flask and Django."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import Token
from types import TracebackType
from typing import Any

from chora_logging.context import current, set_trace_id
from chora_logging.errors import ConfigurationError
from chora_logging.options import accepts
from chora_logging.trace_ids import new_trace_id, trace_id_of_headers

#: The response header with the trace id.
HEADER = "X-Trace-Id"

_ALLOWED = (
    "a WSGI application (for one of ASGI, as FastAPI's, use chora_logging.web.TraceMiddleware; with Django "
    "wrap the application in wsgi.py or asgi.py instead of adding to MIDDLEWARE)"
)

_Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType]

_NAMES = {
    "traceparent": "HTTP_TRACEPARENT",
    "x-trace-id": "HTTP_X_TRACE_ID",
    "x-request-id": "HTTP_X_REQUEST_ID",
}


class TraceMiddleware:
    """Sets the trace context of each request, and the header `X-Trace-Id` of its response.

    It is the same for WSGI that `chora_logging.web.TraceMiddleware` is for ASGI, and needs no extra: the
    id comes from `traceparent`, `X-Trace-Id` or `X-Request-Id`, else a new one is made. All records logged
    in the thread that handles the request have it, until the server has sent the response and closed it:
    the server's access line too, and its line about an unhandled exception.

    Flask: `app.wsgi_app = TraceMiddleware(app.wsgi_app)`. Django, in `wsgi.py`:
    `application = TraceMiddleware(get_wsgi_application())`.

    Not promised: the header on the response that a server makes for an exception that the application
    did not handle; Flask and Django handle theirs.

    Args:
        app: The application to wrap.

    Raises:
        ConfigurationError: *app* is no WSGI application.
    """

    def __init__(self, app: _Application) -> None:
        if not accepts(app, 2):
            raise ConfigurationError("app", app, _ALLOWED)
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle one request."""
        trace_id = trace_id_of_headers(lambda name: environ.get(_NAMES[name], "")) or new_trace_id()

        def start(status: str, headers: list[tuple[str, str]], info: _ExceptionInfo | None = None) -> Any:
            kept = [(name, value) for name, value in headers if name.lower() != HEADER.lower()]
            kept.append((HEADER, trace_id))
            return start_response(status, kept, info) if info else start_response(status, kept)

        token = set_trace_id(trace_id)
        # After an exception the id stays set: the server logs the exception in this context afterwards.
        body = self.app(environ, start)
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            return body  # a server sends it in its own way only if it is not wrapped
        return _Body(body, token)


class _Body:
    """The body of a response, at whose end the trace context ends."""

    def __init__(self, body: Iterable[bytes], token: Token[str | None]) -> None:
        self._body = body
        self._token = token

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close the body, and end the trace context."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            with contextlib.suppress(ValueError):  # another thread closes it
                current.reset(self._token)
