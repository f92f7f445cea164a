"""Routes that begin and end the session of a browser. The form for the token is part of the viewer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from chora_logging.schema import OWN_LOGGER
from chora_logging.web.limits import FORM_SECONDS, LONGEST_FORM_BYTES
from chora_logging.web.responses import Refusal
from chora_logging.web.sessions import SESSION_SECONDS, Sessions

_FORM = "application/x-www-form-urlencoded"
_NO_CONTENT = 204

#: The value of `X-Requested-With` in the viewer's own forms. A page of another site cannot send this
#: header: the browser asks the server first, which does not allow it.
VIEWER = "chora_logging"


class Login:
    """Begins and ends sessions.

    Args:
        sessions: The sessions of the server; None if it has no token.
        origins: The origins of other sites that may send the forms.
    """

    def __init__(self, sessions: Sessions | None, origins: Sequence[str] = ()) -> None:
        self._sessions = sessions
        self._origins = frozenset(origins)

    async def begin(self, request: Request) -> Response:
        """Open a session for a form with a token.

        Raises:
            Refusal: the token is wrong, the form is invalid, or another site sent it.
        """
        self._check_site(request)
        token = await _token(request)
        response = Response(status_code=_NO_CONTENT)
        if self._sessions is not None:
            holder = self._sessions.holder(token)
            if holder is None:
                raise Refusal(401, "wrong_token", "this is not a token of this server")
            self._set_cookie(response, request, holder, self._sessions.open(holder), SESSION_SECONDS)
            logging.getLogger(OWN_LOGGER).info("logged in with the token %r", holder)
        return response

    async def end(self, request: Request) -> Response:
        """End the session of a browser, and delete its cookie there.

        Raises:
            Refusal: another site sent the form.
        """
        self._check_site(request)
        response = Response(status_code=_NO_CONTENT)
        if self._sessions is not None:
            while (session := self._sessions.find(request.cookies)) is not None:
                session.end()
            for holder in self._sessions.holders:
                self._set_cookie(response, request, holder, "", 0)
        return response

    def _set_cookie(
        self, response: Response, request: Request, holder: str, value: str, seconds: int
    ) -> None:
        assert self._sessions is not None
        # Behind a proxy that ends TLS, only the page's own origin tells that it came over https.
        origin = request.headers.get("origin", "")
        is_secure = request.url.scheme == "https" or origin.startswith("https:")
        response.set_cookie(
            self._sessions.cookie(holder),
            value,
            max_age=seconds,
            path=request.scope.get("root_path", "") or "/",
            secure=is_secure,
            httponly=True,
            # The pages of other sites send only such a cookie, and browsers take it over https only.
            samesite="none" if self._origins and is_secure else "strict",
        )
        response.headers["cache-control"] = "no-store"

    def _check_site(self, request: Request) -> None:
        """Refuse a form that another site sent.

        `Sec-Fetch-Site` tells, whatever a proxy does with the host; browsers send it over https and to
        localhost. Elsewhere the header of the viewer tells, or an `Origin` that is this host.
        """
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site")
        if origin in self._origins or site in ("same-origin", "none"):
            return
        if site is None and (
            origin is None
            or request.headers.get("x-requested-with") == VIEWER
            or urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
        ):
            return
        sender = "another site" if origin is None else repr(origin[:80])
        raise Refusal(403, "other_origin", f"this form was sent from {sender}, not from this server")


async def _token(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise Refusal(415, "no_form", f"the token must be sent as a form, {_FORM}, got {kind[:80]!r}")
    try:
        body = await asyncio.wait_for(_body(request), FORM_SECONDS)
    except asyncio.TimeoutError:
        raise Refusal(408, "form_too_slow", f"the form must come within {FORM_SECONDS:g} seconds") from None
    try:
        text = body.decode("ascii", "replace")
        values = parse_qs(text, keep_blank_values=True, max_num_fields=10)
    except ValueError:
        values = {}
    if set(values) != {"token"} or len(values["token"]) > 1:
        raise Refusal(422, "invalid_form", "the form must have one field, token")
    return values["token"][0].strip()


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM_BYTES:
            raise Refusal(413, "form_too_long", f"the form must have at most {LONGEST_FORM_BYTES} bytes")
    return body
