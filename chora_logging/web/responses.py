"""Why a request is refused, as every client gets it: a status and `{"error": …, "detail": …}`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response


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
