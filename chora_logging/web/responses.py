"""Answers: refusals, JSON, the viewer's files, what a client has already, and the headers that each has.

Every client gets a refusal as a status and `{"error": …, "detail": …}`.
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

#: What every answer has, so that a browser does nothing with it but show it.
_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]

#: The page that is served at the root.
INDEX = "index.html"

_FILE_HEADERS = {"cache-control": "no-cache", "cross-origin-opener-policy": "same-origin"}


class Refusal(Exception):  # noqa: N818  # an answer, not a fault
    """A request is refused.

    Args:
        status: The HTTP status.
        error: What is wrong, as one word for programs.
        detail: The same for people: what came, what is allowed, what to do.
        headers: More headers of the answer.
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
        """The answer."""
        body = {"error": self.error, "detail": self.detail}
        return json_response(body, status=self.status, headers=self.headers)


def busy(detail: str) -> Refusal:
    """The refusal of a server that has enough to do."""
    return Refusal(503, "busy", f"{detail}; try again", {"retry-after": "5"})


def unreadable(error: OSError) -> Refusal:
    """The refusal of a log that cannot be read: the reason, not the path."""
    return Refusal(
        503, "log_unreadable", f"the log cannot be read now: {error.strerror}", {"retry-after": "5"}
    )


def json_response(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """*body* as an answer in JSON."""
    return Response(
        msgspec.json.encode(body), status, headers=dict(headers or {}), media_type="application/json"
    )


def tag_of(content: bytes) -> str:
    """The tag of what is made from *content* and nothing else."""
    return f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


def unchanged(request: Request, headers: Mapping[str, str]) -> Response | None:
    """The answer to a client that has what *headers* tag; None if it has not."""
    asked = ",".join(request.headers.getlist("if-none-match"))
    # A proxy that compresses makes a tag weak, with a W/ before it.
    if {"*", headers["etag"]} & {tag.strip().removeprefix("W/") for tag in asked.split(",")}:
        return Response(status_code=304, headers=dict(headers))
    return None


class HeadersMiddleware:
    """Adds the headers of every answer to the answers that have none of them: those of no route.

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
    """An ASGI message with the headers of every answer, if it is one that has headers and not these."""
    if message["type"] != "http.response.start":
        return message
    headers = list(message.get("headers", ()))
    if any(name == _HEADERS[0][0] for name, _ in headers):
        return message
    return {**message, "headers": [*headers, *_HEADERS]}


class Files:
    """The files of one folder of the package: read once, never by a name from a request."""

    def __init__(self, folder: str) -> None:
        self._files = {
            entry.name: entry.read_bytes()
            for entry in importlib.resources.files("chora_logging.web").joinpath(folder).iterdir()
            if entry.is_file() and not entry.name.startswith((".", "_")) and not entry.name.endswith(".py")
        }

    def response(self, request: Request, name: str) -> Response:
        """The file of that name.

        Raises:
            Refusal: there is none.
        """
        content = self._files.get(name)
        if content is None:
            raise Refusal(404, "not_found", "there is no such page")
        headers = {**_FILE_HEADERS, "etag": tag_of(content)}
        if same := unchanged(request, headers):
            return same
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(content, headers=headers, media_type=kind)
