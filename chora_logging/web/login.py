"""The login: a session, in a cookie, for the token. The viewer has the form."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from chora_logging.web.access import Guard
from chora_logging.web.auth import LASTING
from chora_logging.web.responses import Refusal

#: The longest form that is read, in bytes.
LONGEST = 4096

_FORM = "application/x-www-form-urlencoded"
_NO_CONTENT = 204


class Login:
    """Begins and ends sessions.

    Args:
        guard: Whose token it asks for.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def begin(self, request: Request) -> Response:
        """Open a session for a form that has the token.

        Raises:
            Refusal: it has not, or another site sent it.
        """
        _check_origin(request)
        self._guard.check_attempts(request)
        token = await _token(request)
        response = Response(status_code=_NO_CONTENT)
        sessions = self._guard.sessions
        if sessions is not None:
            if not sessions.accepts(token):
                self._guard.count_failure(request)
                raise Refusal(401, "wrong_token", "this is not the token of this server")
            _set_cookie(response, request, sessions.cookie, sessions.open(), LASTING)
        return response

    async def end(self, request: Request) -> Response:
        """Have the browser forget its session.

        Raises:
            Refusal: another site sent this.
        """
        _check_origin(request)
        response = Response(status_code=_NO_CONTENT)
        if self._guard.sessions is not None:
            _set_cookie(response, request, self._guard.sessions.cookie, "", 0)
        return response


def _set_cookie(response: Response, request: Request, name: str, value: str, seconds: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=request.scope.get("root_path", "") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    response.headers["cache-control"] = "no-store"


def _check_origin(request: Request) -> None:
    """Refuse a form that another site sent: a browser says from where it is."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise Refusal(403, "other_origin", f"this form was sent from {origin[:80]!r}, not from here")


async def _token(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise Refusal(415, "no_form", f"the token must come as a form, {_FORM}, got {kind[:80]!r}")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST:
            raise Refusal(413, "form_too_long", f"the form may have {LONGEST} bytes")
    try:
        text = body.decode("ascii", "replace")
        values = parse_qs(text, keep_blank_values=True, max_num_fields=10)
    except ValueError:
        values = {}
    if set(values) != {"token"} or len(values["token"]) > 1:
        raise Refusal(422, "invalid_form", "the form must have one field, token")
    return values["token"][0].strip()
