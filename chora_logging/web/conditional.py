"""Answers that a client has already: `ETag` and `If-None-Match`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response


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
