"""Reads what a request asks for in short steps, and the ETag of what it asks for."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TypeVar

from starlette.requests import Request

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import Source
from chora_logging.web.connections import forwarded
from chora_logging.web.parameters import refused
from chora_logging.web.responses import tag_of, unreadable
from chora_logging.web.site import Site

_Result = TypeVar("_Result")


async def read(site: Site, request: Request, steps: Generator[None, None, _Result]) -> _Result:
    """Run *steps* in the reading threads, and return their result.

    Raises:
        Refusal: too much is being read, the client has gone, a log cannot be read, or a filter takes too
            much time.
    """
    try:
        return await site.read_in_steps(steps, request.is_disconnected, forwarded(request.scope))
    except OSError as error:
        raise unreadable(error) from error
    except ConfigurationError as error:
        raise refused(error) from None


async def headers_of(site: Site, request: Request, logs: Iterable[Source]) -> dict[str, str]:
    """Return the headers of a response, which a client may cache but must revalidate.

    The ETag is a hash of the request and the state of the logs, so it is known before they are read.

    Raises:
        Refusal: a log cannot be read.
    """
    try:
        state = await site.read(lambda: [log.state() for log in logs])
    except OSError as error:
        raise unreadable(error) from error
    asked = f"{request.url.path}?{request.url.query} {state}"
    return {"etag": tag_of(asked.encode()), "cache-control": "private, no-cache"}
