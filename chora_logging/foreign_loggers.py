"""Records for the loggers of the program, whose classes, factories, filters and handlers may raise.

The package's own calls promise not to raise what others' code raises. So they fall back on a plain
record and report errors as `logging` reports those of handlers.
"""

from __future__ import annotations

import contextlib
import logging
from types import FrameType, FunctionType, MethodType
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
    handle: Any = logger.handle
    call: Any = logger.callHandlers
    # Attributes are read of the real types only: wrapt's objects give those of what they wrap.
    return not (
        type(handle) is type(call) is MethodType
        and type(handle.__func__) is type(call.__func__) is FunctionType
        and handle.__func__.__globals__ is call.__func__.__globals__ is vars(logging)
    )
