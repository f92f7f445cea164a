"""Routes for monitoring: health and metrics."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time

from starlette.requests import Request
from starlette.responses import Response

from chora_logging.log_files import real_path
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
    paths = {name: log.path for name, log in site.logs.items()}
    readable = await site.read(lambda: {name: _is_readable(path) for name, path in paths.items()})
    logs = {}
    for name, path in paths.items():
        clients = site.streams.count(name)
        logs[name] = {
            "readable": readable[name],
            "clients": clients,
            "following": bool(clients) and await _is_followed(path),
        }
    well = all(log["readable"] and (log["following"] or not log["clients"]) for log in logs.values())
    body = {"status": "ok" if well else "failing", "logs": logs}
    return json_response(body, status=200 if well else 503, headers=_FRESH)


async def metrics_page(site: Site, request: Request) -> Response:
    """Answer with the metrics in the text format of Prometheus."""
    return Response(site.metrics.text(), headers={**_FRESH, "content-type": metrics.CONTENT_TYPE})


def _is_readable(path: str) -> bool:
    try:
        # Without O_NONBLOCK, opening a FIFO would block until somebody writes into it.
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(held).st_mode)
    finally:
        os.close(held)


async def _is_followed(path: str) -> bool:
    """Return whether the thread that follows the log for all its streams is alive."""
    name = f"follow {real_path(path)}"
    deadline = time.monotonic() + FOLLOWER_START_SECONDS
    while not any(thread.name == name for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True
