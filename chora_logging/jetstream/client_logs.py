"""Silences what the client of NATS, and asyncio for it, log in the thread of a connection.

Errors of this package's connections are reported by itself. What the client logs must not come into a log
that is shipped by it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from chora_logging.errors import ServerError

#: The beginning of the names of the threads.
THREAD = "nats "


def silence() -> None:
    """Do it; a second call does nothing."""
    logging.getLogger("nats.aio.client").addFilter(_is_of_others)
    logging.getLogger("asyncio").addFilter(_is_no_end_of_tls)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Have asyncio log what has gone wrong in the event loop of a connection, but for errors of the servers.

    The client asks for some of them no more when it is closed in the middle of something.
    """
    error = context.get("exception")
    is_known = isinstance(error, (OSError, asyncio.TimeoutError, ServerError))
    if not is_known and type(error).__module__.partition(".")[0] != "nats":
        loop.default_exception_handler(context)


def _is_of_others(record: logging.LogRecord) -> bool:
    return not (record.threadName or "").startswith(THREAD)


def _is_no_end_of_tls(record: logging.LogRecord) -> bool:
    """Return whether *record* is anything but what asyncio says when a server closes a connection over TLS.

    The client begins without TLS, so its reader does not know of it, and nothing comes of that.
    """
    return "eof_received" not in str(record.msg) or _is_of_others(record)
