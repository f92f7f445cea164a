"""What watches over a server asks it: whether it can do its work, and what it has counted."""

from __future__ import annotations

import os

from starlette.requests import Request
from starlette.responses import Response

from chora_logging.web import metrics
from chora_logging.web.refusals import json_response
from chora_logging.web.site import Site

_FRESH = {"cache-control": "no-store"}


async def healthz(site: Site, request: Request) -> Response:
    """200 if every log can be read, else 503. A log that nobody has written yet can be read."""
    paths = {name: log.path for name, log in site.logs.items()}
    readable = await site.read(lambda: {name: _is_readable(path) for name, path in paths.items()})
    well = all(readable.values())
    body = {
        "status": "ok" if well else "failing",
        "logs": {name: {"readable": can} for name, can in readable.items()},
        "streams": len(site.streams),
    }
    return json_response(body, status=200 if well else 503, headers=_FRESH)


async def metrics_page(site: Site, request: Request) -> Response:
    """The counters, in the text format of Prometheus."""
    return Response(site.metrics.text(), headers={**_FRESH, "content-type": metrics.CONTENT_TYPE})


def _is_readable(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
