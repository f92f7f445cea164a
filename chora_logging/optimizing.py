"""Switches off the record attributes that `logging` collects and no formatter prints.

The switches are the standard library's (*Logging HOWTO*, "Optimization"). They are global to the process,
so a switch is turned off only when no handler of the logging tree can print its attributes; a handler of
an unknown class is assumed to print all. With all switches off a record has only a few values, and a
compiled record factory makes the same record in less than half the time.
"""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Iterator

from pythonjsonlogger.core import BaseJsonFormatter

from chora_logging import speedups
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.schema import OWN_LOGGER

#: The switches by their name in `logging`, and the record attributes that each controls.
SWITCHES = {
    "_srcfile": ("pathname", "filename", "module", "lineno", "funcName"),
    "logThreads": ("thread", "threadName"),
    "logProcesses": ("process",),
    "logMultiprocessing": ("processName",),
    "logAsyncioTasks": ("taskName",),
}

# Handlers that pass the whole record on to a place whose formatter cannot be seen.
_FORWARDING = (
    logging.handlers.QueueHandler,
    logging.handlers.SocketHandler,
    logging.handlers.HTTPHandler,
    logging.handlers.MemoryHandler,
)
_KNOWN_MODULES = (
    "logging",
    "logging.handlers",
    "chora_logging.console",
    "chora_logging.writing.handler",
    "chora_logging.writing.buffered",
    __name__,
)


def optimize() -> list[str]:
    """Switch off the attributes that no formatter in the logging tree prints, and log which.

    If everything is off, a faster record factory is set with `logging.setLogRecordFactory`, unless the
    program has set its own or the C extension is not in use. That factory notices when a switch is turned
    on again.

    The result is logged by the logger `chora_logging` as the event `logging_optimized`, with the fields
    `switched_off`, `kept` (for each switch that stays on, the handler that needs it) and
    `compiled_records` (whether the faster factory is set).

    Not promised: a formatter that is configured later does not get the attributes. With `_srcfile` off,
    `stack_info=True` gives no stack.

    Returns:
        The names of the switches of `logging` that were turned off.
    """
    switches = {switch: of for switch, of in SWITCHES.items() if hasattr(logging, switch)}
    kept: dict[str, str] = {}
    for handler in _handlers():
        for switch, attributes in switches.items():
            if any(_prints(handler, attribute) for attribute in attributes):
                kept.setdefault(switch, f"{type(handler).__name__} {handler.name or ''}".strip())
    turned = [switch for switch in switches if switch not in kept]
    for switch in turned:
        setattr(logging, switch, None if switch == "_srcfile" else False)
    compiled = not kept and _compile_records()
    logging.getLogger(OWN_LOGGER).info(
        "Switched off in logging: %s",
        ", ".join(turned) or "nothing",
        extra={
            "event": "logging_optimized",
            "switched_off": turned,
            "kept": kept,
            "compiled_records": compiled,
        },
    )
    return turned


class OptimizingHandler(logging.Handler):
    """Calls `optimize` at the first record, when `dictConfig` is complete, and removes itself."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Remove this handler from the logging tree, and optimize if it was there."""
        found = [logger for logger in _loggers() if self in logger.handlers]
        for logger in found:
            logger.removeHandler(self)
        if found:
            optimize()
        return True


def _compile_records() -> bool:
    if not speedups.in_use:
        return False
    if logging.getLogRecordFactory() is logging.LogRecord:
        logging.setLogRecordFactory(speedups.make_record)
    return logging.getLogRecordFactory() is speedups.make_record


def _loggers() -> list[logging.Logger]:
    root = logging.getLogger()
    known = list(root.manager.loggerDict.values())
    return [root, *(logger for logger in known if isinstance(logger, logging.Logger))]


def _handlers() -> Iterator[logging.Handler]:
    for logger in _loggers():
        yield from logger.handlers


def _prints(handler: logging.Handler, attribute: str) -> bool:
    """Whether *handler* may print the *attribute* of a record; True for handlers of unknown classes."""
    if isinstance(handler, (logging.NullHandler, OptimizingHandler)):
        return False
    if type(handler).__module__ not in _KNOWN_MODULES or isinstance(handler, _FORWARDING):
        return True
    formatter = handler.formatter
    if formatter is None:
        return False
    if isinstance(formatter, BaseJsonFormatter):
        if not type(formatter).__module__.startswith(("pythonjsonlogger.", "chora_logging.")):
            return True
        if type(formatter) is EventFormatter:
            return formatter.prints(attribute)
        return attribute in formatter._required_fields or attribute not in formatter.reserved_attrs
    if type(formatter) is logging.Formatter or type(formatter).__module__ == "chora_logging.console":
        return attribute in (formatter._fmt or "")
    return True
