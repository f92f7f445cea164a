"""Routes for monitoring: health and metrics."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response

from chora_logging.web import metrics
from chora_logging.web.responses import json_response
from chora_logging.web.site import Site

_FRESH = {"cache-control": "no-store"}

#: How long a log with clients may be without a follower, in seconds: the first client starts it.
FOLLOWER_START_SECONDS = 2.0


async def healthz(site: Site, request: Request) -> Response:
    """Answer 200 if all logs can be read and those with streams are followed, else 503.

    A log without a file counts as readable. The answer does not contain the paths of the files.
    """
    logs = {name: await _health(site, name) for name in site.logs}
    well = all(log["readable"] and (log["following"] or not log["clients"]) for log in logs.values())
    body = {"status": "ok" if well else "failing", "logs": logs}
    return json_response(body, status=200 if well else 503, headers=_FRESH)


async def metrics_page(site: Site, request: Request) -> Response:
    """Answer with the metrics in the text format of Prometheus."""
    return Response(site.metrics.text(), headers={**_FRESH, "content-type": metrics.CONTENT_TYPE})


async def _health(site: Site, name: str) -> dict[str, bool | int]:
    """Return the health of a log; one with clients may take some time until it is followed."""
    deadline = time.monotonic() + FOLLOWER_START_SECONDS
    while True:
        readable, following = await site.read_health(site.logs[name])
        clients = site.streams.count(name)
        if following or not clients or time.monotonic() > deadline:
            return {"readable": readable, "clients": clients, "following": bool(clients) and following}
        await asyncio.sleep(0.05)
