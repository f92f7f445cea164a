"""The headers that every answer has, so that a browser does nothing with it but show it."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Nothing is loaded from elsewhere, nothing inline runs, and nobody may frame it.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)

_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]


class HeadersMiddleware:
    """Adds these headers to the answers that have none of them: those of no route.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""

        async def send_protected(message: Message) -> None:
            await send(protected(message))

        await self.app(scope, receive, send_protected)


def protected(message: Message) -> Message:
    """An ASGI message with these headers, if it is one that has headers and not these."""
    if message["type"] != "http.response.start":
        return message
    headers = list(message.get("headers", ()))
    if any(name == _HEADERS[0][0] for name, _ in headers):
        return message
    return {**message, "headers": [*headers, *_HEADERS]}
