"""Writes typed events to their own file, whatever the logging configuration, and passes them on.

The emitter writes to its file itself because it promises to raise the errors of that write, which a
handler in the logging tree must not. Then the event goes to the logger `chora_events` and propagates
like any other record; handlers on the same file skip it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import weakref
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeGuard

from chora_logging import log_files, settings
from chora_logging.context import TraceIdFilter
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.rotated.file_set import paths_of
from chora_logging.foreign_loggers import is_patched, plain_record, report
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.options import checked_names
from chora_logging.schema import OWN_LOGGER, TELEMETRY_LOGGER, WRITTEN_TO_ATTRIBUTE
from chora_logging.telemetry.event_schemas import TelemetryEvent
from chora_logging.writing import locking, loss
from chora_logging.writing.backups import find_backups
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.shared_log import SharedLog

if TYPE_CHECKING:
    from chora_logging.filtering.redaction import RedactFilter

#: The longest that `clear` waits for another process to finish writing, in seconds.
CLEAR_WAIT_SECONDS = 1.0

_trace = TraceIdFilter()


class EventEmitter:
    """Write typed events to a file of JSON lines that any number of threads and processes share.

    Promised: when `emit` returns, the event is a line of the file and survives the death of the
    process. If the write fails, `emit` raises and no part of the event stays in the file. The next
    `emit` notices when the file was rotated, deleted or replaced by any program. A handler of the
    logging tree on the same file, even behind an `EventQueueHandler`, does not write the event again.

    Args:
        events_file: The file; a relative path is resolved now. The folder is created now, the file
            by the first `emit`.
        max_bytes: Rotate before the file reaches this size; an int in bytes, or a string such as `"10MB"`.
            None takes the variable `CHORA_EVENTS_MAX_BYTES`, else 10 MiB. 0 never rotates, which leaves
            it to logrotate.
        backup_count: The number of backups to keep. None takes `CHORA_EVENTS_BACKUP_COUNT`, else 5.
            0 never rotates.
        redact: Replaces secrets in the file's lines; handlers in the logging tree have filters of their own.

    Raises:
        ConfigurationError: an argument or variable is invalid.

    Thread safe, fork safe, and picklable: an emitter sent to a worker process writes to the same file
    from there.

    Example:
        >>> emitter = EventEmitter("var/events.jsonl", max_bytes="10MB", backup_count=5)
        >>> emitter.emit(
        ...     ValidationCompletedEvent(
        ...         content_config_id="intro", validation_passed=True, rule_count=2,
        ...         status="success", duration_ms=3,
        ...     )
        ... )
        >>> EventLog("var/events.jsonl").last(1)[0]["content_config_id"]
        'intro'
    """

    @checked_names()
    def __init__(
        self,
        events_file: str | os.PathLike[str] = settings.EVENTS_FILE,
        *,
        max_bytes: int | str | None = None,
        backup_count: int | None = None,
        redact: RedactFilter | None = None,
    ) -> None:
        path = settings.check_path("events_file", events_file)
        size = settings.resolve_max_bytes("CHORA_EVENTS", max_bytes=max_bytes)
        count = settings.resolve_backup_count("CHORA_EVENTS", backup_count=backup_count)
        self._formatter = EventFormatter() if redact is None else _RedactingFormatter(redact)
        self._redact = redact
        self._use(_EventsLog(os.path.abspath(path), max_bytes=size, backup_count=count))

    def _use(self, log: _EventsLog) -> None:
        self._log = log
        with contextlib.suppress(OSError):  # `emit` raises it
            os.makedirs(os.path.dirname(self._log.path), exist_ok=True)
        # Callers may drop an emitter without closing it: the open file must not outlive it.
        weakref.finalize(self, self._log.close)

    @property
    def events_file(self) -> Path:
        """The absolute path of the file."""
        return Path(self._log.path)

    def emit(self, event: TelemetryEvent) -> None:
        """Write *event*.

        Its `trace_id` is filled in when it is None: from `trace_context`, an active OpenTelemetry
        span, `CHORA_TRACE_ID` or `TRACEPARENT`.

        The event is then passed on to the handlers of the logger `chora_events` and its parents, as
        INFO, or as ERROR when its status is `"error"`, by `Logger.handle`. What they raise is printed,
        as `logging` prints the errors of handlers.

        Raises:
            OSError: the event could not be written: no permission, no space, a line over 32 MiB, …
            TypeError: *event* is not a `TelemetryEvent`.
        """
        self._emit(event)

    def read_events(self, trace_id: str | None = None) -> list[dict[str, Any]]:
        """Return the events in the file and its backups, oldest first, all in memory.

        Args:
            trace_id: Only events of this trace.

        Raises:
            OSError: the file exists and cannot be read.
        """
        return list(EventLog(self._log.path).read(trace_id=trace_id))

    def clear(self) -> None:
        """Delete the file and its backups with all events; the next `emit` creates a new file.

        Files that other tools have made of it, such as logrotate, stay.

        Raises:
            OSError: a file could not be deleted.
            TimeoutError: another process holds the lock of the file; nothing is deleted.
        """
        path = log_files.real_path(self._log.path)
        if not paths_of(path):
            return
        fd = _open_locked(path)
        try:
            owned = log_files.read_backups(path).owned or {}
            backups = find_backups(path, str, self._log.backup_count, owned).backups
            loss.forget(path, backups=True)
            for name in (path, *(backup.path for backup in backups if backup.is_in(owned))):
                Path(name).unlink(missing_ok=True)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the file; a later `emit` reopens it."""
        self._log.close()

    def __enter__(self) -> EventEmitter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._log.path!r})"

    def __getstate__(self) -> dict[str, Any]:
        log = self._log
        state = {"events_file": log.path, "max_bytes": log.max_bytes, "backup_count": log.backup_count}
        return state if self._redact is None else {**state, "redact": self._redact}

    def __setstate__(self, state: dict[str, Any]) -> None:
        EventEmitter.__init__(self, **state)

    def _emit(self, event: TelemetryEvent) -> None:
        """Write *event* and pass it on; the record's caller is the caller of this method's caller."""
        log = self._log
        writer = self._formatter.writer
        heard = None if writer is None else writer.write_event(log, event)
        if heard is not None:
            if heard and _is_heard(log):
                self._pass_on(_as_record(event, sys._getframe(2)))
            return
        if not issubclass(type(event), TelemetryEvent):  # a proxy of an event would be written as text
            raise TypeError(f"event must be a TelemetryEvent, got {type(event).__name__}")
        record = _as_record(event, sys._getframe(2))
        try:
            log.append(self._formatter.encode(record) + b"\n", _not_written)
        finally:
            self._pass_on(record)

    def _pass_on(self, record: logging.LogRecord) -> None:
        record = _written(record, self._log.path)
        try:
            logger = logging.getLogger(TELEMETRY_LOGGER)
            # Without handlers `handle` would print errors by the handler of last resort.
            if logger.isEnabledFor(record.levelno) and (logger.hasHandlers() or is_patched(logger)):
                logger.handle(record)
        except Exception:  # only errors of the write are raised
            report(record)


class _RedactingFormatter(EventFormatter):
    """Formats events without their secrets; the emitter's fast path needs a writer, and passes by."""

    def __init__(self, redact: RedactFilter) -> None:
        super().__init__()
        self._redact = redact
        self.writer = None

    def encode(self, record: logging.LogRecord) -> bytes:
        """Return the line of *record* without its secrets."""
        return super().encode(self._redact.redacted(record))


class _WrittenRecord(logging.LogRecord):
    """A record that is already a line of a file."""

    __slots__ = (WRITTEN_TO_ATTRIBUTE,)


def _written(record: logging.LogRecord, path: str) -> logging.LogRecord:
    """Return *record*, marked as a line of the file *path*; both share their attributes."""
    written = _WrittenRecord.__new__(_WrittenRecord)
    written.__dict__ = record.__dict__
    setattr(written, WRITTEN_TO_ATTRIBUTE, path)
    return written


class _EventsLog(SharedLog):
    """The log of an emitter. It has only typed events, so its notices go to the logger `chora_logging`."""

    def notice(self, event: str, message: str, **fields: Any) -> None:
        logging.getLogger(OWN_LOGGER).warning(message, extra={"event": event, **fields})


def _not_written(error: Exception) -> None:
    """Report an event that a signal handler emitted in the middle of another; its `emit` has returned."""
    logging.getLogger(OWN_LOGGER).error(
        "an event that interrupted another could not be written: %s", error, extra={"event": "event_lost"}
    )


def get_emitter() -> EventEmitter:
    """Return the emitter of this process, the same one on each call.

    The first call creates it. Its file is that of the handler which `setup_logging` or a `dictConfig`
    gave the logger `chora_events`, else `CHORA_EVENTS_FILE`, else `var/telemetry/events.jsonl` below
    the working directory. The handler also decides when to rotate, else `CHORA_EVENTS_MAX_BYTES` and
    `CHORA_EVENTS_BACKUP_COUNT`. A `RedactFilter` of the handler is the emitter's, too.

    Raises:
        ConfigurationError: one of these variables is invalid.

    Example:
        >>> get_emitter() is get_emitter()
        True
        >>> get_emitter().events_file.name
        'events.jsonl'
    """
    emitter = _shared.get("emitter")
    if emitter is None:
        made = _make_emitter()
        # Atomic without a lock, which a child that is forked meanwhile would inherit locked.
        emitter = _shared.setdefault("emitter", made)
        if emitter is not made:
            made.close()
    return emitter


def emit_event(event: TelemetryEvent) -> None:
    """Write *event* with the emitter of this process, as `EventEmitter.emit` does.

    Example:
        >>> with trace_context("workflow-1"):
        ...     emit_event(
        ...         ContentGeneratedEvent(
        ...             content_config_id="intro", generator_type="llm", status="success", duration_ms=42
        ...         )
        ...     )
        >>> EventLog("var/telemetry/events.jsonl").last(1)[0]["trace_id"]
        'workflow-1'
    """
    emitter = _shared.get("emitter") or get_emitter()
    emitter._emit(event)


_shared: dict[str, EventEmitter] = {}


def _make_emitter() -> EventEmitter:
    for handler in logging.getLogger(TELEMETRY_LOGGER).handlers:
        if isinstance(handler, EventFileHandler):
            return _beside(handler)
    return EventEmitter(settings.resolve_events_file())


def _beside(handler: EventFileHandler) -> EventEmitter:
    """Return an emitter with the file and the settings of *handler*."""
    log = handler._log
    size, count = handler.maxBytes, handler.backupCount
    redact: Any = next((found for found in handler.filters if hasattr(found, "redacted")), None)
    emitter = EventEmitter(log.path, max_bytes=size, backup_count=count, redact=redact)
    emitter._use(
        _EventsLog(
            log.path,
            max_bytes=size,
            backup_count=count,
            periods=log.periods,
            retention=log.retention,
            file_mode=log.file_mode,
            lock_timeout=log.lock_timeout,
            fsync=log.fsync,
            compress=log.compress,
        )
    )
    return emitter


def _is_heard(log: SharedLog) -> bool:
    """Whether a filter or handler in the logging tree may take an event that is a line of *log*."""
    logger = logging.Logger.manager.loggerDict.get(TELEMETRY_LOGGER)
    if type(logger) is not logging.Logger or logger.filters or is_patched(logger):
        return True
    above: logging.Logger | None = logger
    while above is not None:
        for handler in above.handlers:
            if not (_passes_over_written(handler) and handler._log.identity == log.identity):
                return True
        above = above.parent if above.propagate else None
    return False


def _passes_over_written(handler: logging.Handler) -> TypeGuard[EventFileHandler]:
    return isinstance(handler, EventFileHandler) and type(handler).handle is EventFileHandler.handle


def _as_record(event: TelemetryEvent, caller: FrameType) -> logging.LogRecord:
    code = caller.f_code
    level = logging.ERROR if event.status == "error" else logging.INFO
    try:
        record = logging.getLogger(TELEMETRY_LOGGER).makeRecord(
            TELEMETRY_LOGGER, level, code.co_filename, caller.f_lineno, event, (), None, code.co_name
        )
    except Exception:
        record = plain_record(TELEMETRY_LOGGER, level, event, (), caller)
    _trace.filter(record)
    if event.trace_id is None and (trace_id := record.__dict__.get("trace_id")) is not None:
        record.msg = _with_trace(event, str(trace_id))
    return record


def _with_trace(event: TelemetryEvent, trace_id: str) -> TelemetryEvent:
    try:
        event.trace_id = trace_id
    except Exception:  # a subclass is frozen, or has a rule of its own
        return event.model_copy(update={"trace_id": trace_id})
    return event


def _open_locked(path: str) -> int:
    """Open and lock the live file as writers do, so that nobody writes or rotates until it is closed.

    On a file system without locks, where nobody rotates, it is returned without one.

    Raises:
        TimeoutError: another process holds the lock for longer than `CLEAR_WAIT_SECONDS`.
    """
    deadline = time.monotonic() + CLEAR_WAIT_SECONDS
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            locked = locking.lock(fd, max(0.0, deadline - time.monotonic()))
        except OSError:
            return fd
        except BaseException:  # of a signal handler, perhaps with the lock taken
            os.close(fd)
            raise
        # If the file was rotated during the wait for the lock, the path is another file now.
        if locked and _is_at(fd, path):
            return fd
        os.close(fd)
        if not locked:
            raise TimeoutError(f"{path} is locked by another process: nothing was deleted")


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
