"""A route as an ASGI application of its own: the same methods, errors and headers wherever it is mounted."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chora_logging.web.metrics import Metrics
from chora_logging.web.responses import Refusal, protected

Handler = Callable[[Request], Awaitable[ASGIApp]]
Check = Callable[[Request], None]

READ = ("GET", "HEAD")


class Endpoint:
    """Answers the requests of one route.

    Args:
        handler: Makes the response; a `Refusal` from it, or from the response before its first byte,
            is answered as such.
        metrics: Counts refusals.
        check: Raises a `Refusal` for a request that is not let in.
        methods: Those that are allowed.
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
