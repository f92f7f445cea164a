"""What `logging` gathers for each record and no formatter prints: found out, and switched off.

These are the standard library's own switches (*Logging HOWTO*, "Optimization"). They are global to the
process, so they are turned only when every handler of the logging tree is of a kind that is known to
print nothing of it. When all are off, a record is a handful of values, and a factory of records that is
compiled makes the same record in less than half the time.
"""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Iterator

from pythonjsonlogger.core import BaseJsonFormatter

from chora_logging import speedups
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.schema import OWN_LOGGER

#: What can be switched off: its name in `logging`, and the record's attributes that it is for.
SWITCHES = {
    "_srcfile": ("pathname", "filename", "module", "lineno", "funcName"),
    "logThreads": ("thread", "threadName"),
    "logProcesses": ("process",),
    "logMultiprocessing": ("processName",),
    "logAsyncioTasks": ("taskName",),
}

# Who hands the whole record on, to where its formatter cannot be seen.
_FORWARDING = (
    logging.handlers.QueueHandler,
    logging.handlers.SocketHandler,
    logging.handlers.HTTPHandler,
    logging.handlers.MemoryHandler,
)
_KNOWN_MODULES = (
    "logging",
    "logging.handlers",
    "chora_logging.writing.handler",
    "chora_logging.writing.buffered",
    __name__,
)


def optimize() -> list[str]:
    """Switch off what no formatter in the logging tree prints, and say so in the log.

    When all is off, `logging.setLogRecordFactory` is given a factory that makes the same records sooner,
    unless the program has one of its own or the package has no compiled part here. It sees when a switch
    is turned on again.

    The line that says it is of the logger `chora_logging`, with the event `logging_optimized` and the
    fields `switched_off`, `kept`, which tells what each thing that stays on is kept for, and
    `compiled_records`.

    Not promised: that a formatter which is configured later and prints it finds it; and with the look-up
    of the caller off, `stack_info=True` gives no stack.

    Returns:
        The switches of `logging` that were turned.
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
        "Not gathered for records any more: %s",
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
    """Calls `optimize` at the first record, when all is configured, and leaves: for a `dictConfig`."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Take itself out of the logging tree, and optimize."""
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
    """Whether what *handler* does with a record may show its *attribute*; who is not known may."""
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
    if type(formatter) is logging.Formatter or type(formatter).__module__ == "chora_logging.config":
        return attribute in (formatter._fmt or "")
    return True
