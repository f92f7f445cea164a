"""A filter that lets a number of like records pass in each second, and logs how many it has suppressed."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from chora_logging.formatting.fields import message_fields, text_of
from chora_logging.options import check_callable, checked_names, parse_count
from chora_logging.schema import EVENT_MARK, SETTLED_ATTRIBUTE
from chora_logging.writing.flushing import Flusher

#: The event of the lines that say how many records were suppressed.
SUPPRESSED_EVENT = "records_suppressed"

#: The kinds of records that are counted at a time; with more, the oldest count is reported early.
_MOST_KINDS = 1024

_WINDOW_SECONDS = 1.0


class RateLimitFilter(logging.Filter):
    """Let at most *rate* like records pass in a second, and log how many were suppressed.

    Records are alike if they have the same logger, level and event; without an event, the same message before
    its arguments are filled in. So `logger.info(f"…")` with other values each time is never limited.

    Attach it to a handler. The records of a kind that exceed the rate are counted. When their second is
    over, the handler gets one record in their place, of the same logger and level, with `event`
    `records_suppressed` and the fields `suppressed`, their number, and `suppressed_event` or
    `suppressed_message`. A thread writes it even if nothing more is logged, and the end of the program does.

    Promised: each record is either passed or counted, whichever threads log; nothing is raised. A
    filter on several handlers decides once for a record. Not promised: `kill -9` and `os._exit` lose the
    counts of the last second; each process has the rate for itself, and a forked child starts to count anew.

    Args:
        rate: The number of records of a kind that pass in a second.
        clock: A monotonic clock in seconds, for tests.

    Raises:
        ConfigurationError: *rate* is not a whole number of 1 or more, *clock* cannot be called, or an
            option is unknown.

    Example:
        >>> limit = RateLimitFilter(rate=2)
        >>> record = logging.makeLogRecord({"msg": "Disk %s is full", "args": ("sda",)})
        >>> [limit.filter(logging.makeLogRecord(record.__dict__)) for _ in range(3)]
        [True, True, False]
    """

    @checked_names()
    def __init__(self, rate: int = 10, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.rate: int = parse_count("rate", rate, 1)
        check_callable("clock", clock)
        self._clock = clock
        self._begin()
        _filters.add(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a signal handler may log
        self._kinds: dict[Any, _Kind] = {}
        self._decided = threading.local()
        self._flusher = Flusher(self._watch, report_all)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether *record* is within the rate."""
        if type(record) is _Summary:
            return True
        decided = self._decided
        if getattr(decided, "record", None) is record:  # by another handler with this filter
            return bool(decided.passes)
        try:
            passes = self._passes(record)
        except Exception:  # of the caller's objects
            passes = True
        decided.record, decided.passes = record, passes
        return passes

    def report(self) -> None:
        """Log the numbers of the records suppressed until now."""
        self._log(self._taken(everything=True))

    def _passes(self, record: logging.LogRecord) -> bool:
        key = (record.name, record.levelno, *_what(record))
        with self._lock:
            now = self._clock()
            kind = self._kinds.get(key)
            over = []
            if kind is None or now >= kind.end:
                over = self._taken(now, everything=len(self._kinds) >= _MOST_KINDS)
                kind = self._kinds[key] = _Kind(record, now + _WINDOW_SECONDS)
            kind.count += 1
            passes = kind.count <= self.rate
            first = kind.count == self.rate + 1
        self._log(over)
        if first and not self._flusher.start():  # the interpreter is shutting down
            self.report()
        return passes

    def _taken(self, now: float = 0.0, everything: bool = False) -> list[_Summary]:
        """Remove the kinds whose second is over, or all; return what to log of them."""
        with self._lock:
            over = [key for key, kind in self._kinds.items() if everything or now >= kind.end]
            taken = [self._kinds.pop(key) for key in over]
        return [kind.summary(kind.count - self.rate) for kind in taken if kind.count > self.rate]

    def _log(self, summaries: list[_Summary]) -> None:
        for summary in summaries:
            for owner in _owners(self):
                with contextlib.suppress(Exception):  # of a handler of the program
                    owner.handle(summary)

    def _watch(self, wait: Callable[[float], object]) -> bool:
        """Log the numbers of each second that is over, until none is suppressed."""
        while True:
            with self._lock:
                now = self._clock()
                ends = [kind.end for kind in self._kinds.values() if kind.count > self.rate]
            if not ends:
                return True
            if min(ends) > now:
                wait(min(min(ends) - now, _WINDOW_SECONDS))
            self._log(self._taken(self._clock()))


class _Kind:
    """Like records of one second: how many there were, and what the line about them needs."""

    __slots__ = ("_attributes", "_what", "count", "end")

    def __init__(self, record: logging.LogRecord, end: float) -> None:
        self.end = end
        self.count = 0
        self._attributes = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname}
        self._what = _what(record)

    def summary(self, suppressed: int) -> _Summary:
        """Return the record in place of those that were *suppressed*."""
        kind, text = self._what
        record = _Summary("", 0, "", 0, "", None, None)
        record.msg = f"{suppressed} more records were suppressed within a second: {text}"
        settled = {"trace_id": None, SETTLED_ATTRIBUTE: None}
        fields = {"event": SUPPRESSED_EVENT, "suppressed": suppressed, f"suppressed_{kind}": text}
        record.__dict__.update({**self._attributes, **fields, **settled})
        return record


class _Summary(logging.LogRecord):
    """The record in place of those that were suppressed."""


def _what(record: logging.LogRecord) -> tuple[str, str]:
    """Return whether records are alike by their event or their message, and which."""
    event = record.__dict__.get("event")
    message: Any = record.msg
    if event is None and type(message) is not str:
        if getattr(type(message), EVENT_MARK, False):
            event = getattr(message, "event_type", type(message).__name__)
        else:
            event = (message_fields(message) or {}).get("event")
    return ("message", text_of(message)) if event is None else ("event", text_of(event))


def _owners(wanted: logging.Filter) -> Iterator[logging.Handler | logging.Logger]:
    """Yield the handlers and loggers that have this filter."""
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]  # not in typeshed
        handler = reference()
        if handler is not None and wanted in handler.filters:
            yield handler
    root = logging.getLogger()
    for logger in [root, *list(root.manager.loggerDict.values())]:
        if isinstance(logger, logging.Logger) and wanted in logger.filters:
            yield logger


_filters: weakref.WeakSet[RateLimitFilter] = weakref.WeakSet()


@atexit.register  # before `logging.shutdown`, which was registered earlier
def report_all() -> None:
    """Log the numbers of all filters of the process."""
    for each in list(_filters):
        each.report()


def _begin_all_after_fork() -> None:
    for each in list(_filters):
        each._begin()  # the parent reports what it has counted


os.register_at_fork(after_in_child=_begin_all_after_fork)
