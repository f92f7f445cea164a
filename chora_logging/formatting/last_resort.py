"""The line of a record that could not be formatted at all."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

from chora_logging.formatting import timestamps
from chora_logging.formatting.fields import describe, text_of
from chora_logging.formatting.values import encode_plain, plain_text

#: The line where there is no stack left for making one.
NO_STACK_LEFT = (
    f'{{"timestamp":"{timestamps.EPOCH}","level":"ERROR","format_error":"RecursionError"}}'.encode()
)


def last_resort(record: logging.LogRecord, error: Exception) -> bytes:
    """Return a minimal line for *record*, which raised *error*, using as little stack as possible."""
    line = {"timestamp": timestamps.EPOCH, "level": "ERROR", "logger": "", "message": ""}
    parts: dict[str, Callable[[], str]] = {
        "message": lambda: plain_text(text_of(record.msg)),
        "logger": lambda: plain_text(text_of(record.name)),
        "level": lambda: plain_text(text_of(record.levelname)),
        "timestamp": lambda: timestamps.rfc3339(record.created),
    }
    for name, part in parts.items():
        with contextlib.suppress(Exception):
            line[name] = part()
    if line["timestamp"] == timestamps.EPOCH:
        with contextlib.suppress(Exception):
            line["timestamp"] = timestamps.rfc3339(time.time())
    line["format_error"] = plain_text(describe(error))
    return encode_plain(line)
