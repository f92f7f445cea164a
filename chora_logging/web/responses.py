"""Responses: refusals, JSON, static files, 304 for unchanged content, and the headers of all of them.

A refusal is a status with the body `{"error": …, "detail": …}`.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import mimetypes
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chora_logging.errors import ServerError

#: The Content-Security-Policy: no foreign resources, no inline code, no framing.
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

#: The headers of every response, so that a browser only displays it.
_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]

#: The page at the root.
INDEX = "index.html"

_FILE_HEADERS = {"cache-control": "no-cache", "cross-origin-opener-policy": "same-origin"}


class Refusal(Exception):  # noqa: N818  # an answer, not a fault
    """Raised to refuse a request.

    Args:
        status: The HTTP status.
        error: A code for programs.
        detail: A message for people: the value, the allowed values, what to do.
        headers: Additional headers of the response.
    """

    def __init__(
        self, status: int, error: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, error, detail)
        self.status = status
        self.error = error
        self.detail = detail
        self.headers = {"cache-control": "no-store", **(headers or {})}

    def response(self) -> Response:
        """Return the refusal as a response."""
        body = {"error": self.error, "detail": self.detail}
        return json_response(body, status=self.status, headers=self.headers)


def busy(detail: str) -> Refusal:
    """Return a refusal with 503 because a limit is reached."""
    return Refusal(503, "busy", f"{detail}; try again", {"retry-after": "5"})


def unreadable(error: OSError) -> Refusal:
    """Return a refusal with 503 because a log cannot be read; it has the reason, not the path or address."""
    reason = "its servers do not give it" if isinstance(error, ServerError) else error.strerror
    return Refusal(503, "log_unreadable", f"the log cannot be read now: {reason}", {"retry-after": "5"})


def json_response(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return *body* as a JSON response."""
    return Response(
        msgspec.json.encode(body), status, headers=dict(headers or {}), media_type="application/json"
    )


def tag_of(content: bytes) -> str:
    """Return the ETag of a response that depends only on *content*."""
    return f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


def unchanged(request: Request, headers: Mapping[str, str]) -> Response | None:
    """Return a 304 response if the client already has the content with this ETag, else None."""
    asked = ",".join(request.headers.getlist("if-none-match"))
    # A proxy that compresses turns the tag into a weak one, with the prefix W/.
    if {"*", headers["etag"]} & {tag.strip().removeprefix("W/") for tag in asked.split(",")}:
        return Response(status_code=304, headers=dict(headers))
    return None


class HeadersMiddleware:
    """Adds the common headers to responses without them: those that no route made.

    Args:
        app: The application to wrap.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""

        async def send_protected(message: Message) -> None:
            await send(protected(message))

        await self.app(scope, receive, send_protected)


def protected(message: Message) -> Message:
    """Return *message* with the common headers if it starts a response without them, else unchanged."""
    if message["type"] != "http.response.start":
        return message
    headers = list(message.get("headers", ()))
    if any(name == _HEADERS[0][0] for name, _ in headers):
        return message
    return {**message, "headers": [*headers, *_HEADERS]}


class Files:
    """The files of one folder of the package, read once, so that a request never names a path.

    Args:
        folder: The folder.
        made: By name, the content of further files.
    """

    def __init__(self, folder: str, made: Mapping[str, bytes]) -> None:
        self._files = dict(made) | {
            entry.name: entry.read_bytes()
            for entry in importlib.resources.files("chora_logging.web").joinpath(folder).iterdir()
            if entry.is_file() and not entry.name.startswith((".", "_")) and not entry.name.endswith(".py")
        }

    def response(self, request: Request, name: str) -> Response:
        """Return the file *name* as a response.

        Raises:
            Refusal: there is no such file.
        """
        content = self._files.get(name)
        if content is None:
            raise Refusal(404, "not_found", "there is no such page")
        headers = {**_FILE_HEADERS, "etag": tag_of(content)}
        if same := unchanged(request, headers):
            return same
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(content, headers=headers, media_type=kind)
