"""Records for the loggers of the program, whose classes, factories, filters and handlers may raise.

The package's own calls promise not to raise what others' code raises. So they fall back on a plain
record and report errors as `logging` reports those of handlers.
"""

from __future__ import annotations

import contextlib
import logging
from types import FrameType
from typing import Any


def plain_record(
    name: str, level: int, message: object, args: tuple[Any, ...], caller: FrameType
) -> logging.LogRecord:
    """Return a record of the standard library, for when the logger class or the record factory raised."""
    code = caller.f_code
    return logging.LogRecord(
        name, level, code.co_filename, caller.f_lineno, message, args, None, code.co_name
    )


def report(record: logging.LogRecord) -> None:
    """Print the current exception, which a logger raised for *record*, unless `logging` is silenced."""
    with contextlib.suppress(Exception):
        logging.Handler().handleError(record)


def is_patched(logger: logging.Logger) -> bool:
    """Return whether its class, a tool or a test has replaced how *logger* handles records.

    Tools such as Sentry wrap a method of `logging.Logger` to see every record, with or without handlers.
    """
    return not all(
        getattr(getattr(method, "__func__", None), "__globals__", None) is vars(logging)
        for method in (logger.handle, logger.callHandlers)
    )
