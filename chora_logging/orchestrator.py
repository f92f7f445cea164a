"""Logs the events of a task orchestrator with one call, and reads and streams them in any process."""

from __future__ import annotations

import collections
import contextlib
import logging
import logging.handlers
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from chora_logging import attaching, config, settings
from chora_logging.binding import BoundLogger
from chora_logging.config import get_logging_config, setup_logging
from chora_logging.eventlog.events import Event, Gap
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.subscription import in_thread
from chora_logging.foreign_loggers import plain_record, report
from chora_logging.formatting.fields import STANDARD
from chora_logging.options import checked_names, level_number
from chora_logging.schema import FIELDS_ATTRIBUTE, ORCHESTRATOR_LOGGER, OWN_LOGGER
from chora_logging.settings import StrPath
from chora_logging.writing.handler import EventFileHandler

__all__ = [
    "get_logging_config",
    "get_orchestrator_events",
    "get_request_logger",
    "log_orchestrator_event",
    "setup_logging",
    "setup_orchestrator_logging",
    "stream_orchestrator_events",
]

#: The logger of `get_request_logger`.
REQUEST_LOGGER = "request"

# Errors that are already logged: each is logged once.
_reported: set[str] = set()


def log_orchestrator_event(
    event: str,
    task_id: Any = None,
    run_id: Any = None,
    *,
    message: str | None = None,
    level: str | int = "INFO",
    **fields: Any,
) -> None:
    """Log an event of a task or a run.

    The event goes through the logger `orchestrator_events`. If that logger has no handlers of its own
    and propagates to no `EventFileHandler` or queue handler, the first call gives it the default log,
    as `setup_orchestrator_logging` does.

    Promised: any field name is allowed, including those that `logging` refuses in `extra` (`name`,
    `args`, `filename`, …). Nothing is raised, whatever the fields hold and whether or not the event
    can be written. What a logger class, filter or handler of the program raises is printed, as
    `logging` prints the errors of handlers.

    Args:
        event: The name of the event.
        task_id: The task; left out of the line when it is None.
        run_id: The run; left out of the line when it is None.
        message: The message for people; without it, one is made from *event*.
        level: A level's name, in any case, or its number. An event with any other value is logged
            as INFO, with that value in the field `level_`.
        fields: The other fields of the line. `exc_info` is an ordinary field here.

    Example:
        >>> logger = setup_orchestrator_logging(log_file="var/orch.log")
        >>> log_orchestrator_event("task_failed", task_id="t-1", level="ERROR", reason="no memory")
        >>> EventLog("var/orch.log").last(1)[0]["reason"]
        'no memory'
    """
    number = level_number(level)
    if number is None:
        number, fields = logging.INFO, {"level_": level, **fields}
    logger = logging.getLogger(ORCHESTRATOR_LOGGER)
    if not logger.handlers and not _is_written(logger):
        _set_up_default()
    if not logger.isEnabledFor(number):
        return
    caller = sys._getframe(1)
    code = caller.f_code
    text, args = (message, ()) if message is not None else ("Event: %s", (event,))
    if args and type(event) is str:  # the `str` of another type may raise
        text, args = f"Event: {event}", ()
    try:
        record = logger.makeRecord(
            logger.name, number, code.co_filename, caller.f_lineno, text, args, None, code.co_name
        )
    except Exception:
        record = plain_record(logger.name, number, text, args, caller)
    attributes = record.__dict__
    attributes["event"] = event
    if task_id is not None:
        attributes["task_id"] = task_id
    if run_id is not None:
        attributes["run_id"] = run_id
    if STANDARD.isdisjoint(fields):
        attributes.update(fields)
    else:  # `logging` refuses these in `extra`
        attributes.update((name, fields[name]) for name in fields if name not in STANDARD)
        attributes[FIELDS_ATTRIBUTE] = {name: fields[name] for name in fields if name in STANDARD}
    try:
        logger.handle(record)
    except Exception:
        report(record)


@checked_names()
def setup_orchestrator_logging(
    orch_id: str | None = None,
    log_file: StrPath | None = None,
    *,
    max_bytes: int | str | None = None,
    backup_count: int | None = None,
    timestamp_format: str | None = None,
    static_fields: dict[str, Any] | None = None,
) -> logging.Logger:
    """Write the orchestrator's events to a rotated log, and return their logger.

    Calling it again with the same file changes nothing; another file replaces the first. Without
    arguments the file comes from `ORCH_LOG_FILE` or `ORCH_ID`, and its rotation from `ORCH_LOG_MAX_BYTES`
    and `ORCH_LOG_BACKUP_COUNT`. This call creates the folder, the first event creates the file.

    Args:
        orch_id: The orchestrator's id, part of the name of the file.
        log_file: The file; it wins over *orch_id*.
        max_bytes: Rotate before the file reaches this size; an int in bytes, or a string such as `"10MB"`.
            0 never rotates.
        backup_count: The number of backups to keep; 0 never rotates.
        timestamp_format: As for `EventFormatter`.
        static_fields: Fields of every line.

    Raises:
        ConfigurationError: a value is invalid.

    Example:
        >>> logger = setup_orchestrator_logging(log_file="var/orch.log", max_bytes="10MB", backup_count=5)
        >>> logger.info("Run started", extra={"event": "run_started", "run_id": "r-1"})
        >>> EventLog("var/orch.log").last(1, run_id="r-1")[0]["event"]
        'run_started'
    """
    return config.attach_orchestrator_log(
        settings.resolve_orch_log_file(orch_id, log_file, "log_file"),
        max_bytes=max_bytes,
        backup_count=backup_count,
        timestamp_format=timestamp_format,
        static_fields=static_fields,
    )


async def get_orchestrator_events(
    task_id: Any = None,
    run_id: Any = None,
    *,
    trace_id: str | None = None,
    event: str | None = None,
    limit: int | None = None,
    log_file: StrPath | None = None,
) -> list[Event]:
    """Return the orchestrator's stored events, backups included, oldest first.

    Records of other loggers in the same file are left out. The log is read in a thread, so the event
    loop is not blocked.

    Args:
        task_id: Only events of this task.
        run_id: Only events of this run.
        trace_id: Only events of this trace.
        event: Only events with this name.
        limit: At most this many, the newest.
        log_file: The log; without it, the one that this process writes or would write.

    Raises:
        OSError: the log exists and cannot be read.

    Example:
        >>> import asyncio
        >>> log_orchestrator_event("task_started", task_id="t-1", worker="w2")
        >>> [event["worker"] for event in asyncio.run(get_orchestrator_events(task_id="t-1"))]
        ['w2']
    """
    log = EventLog(_log_path(log_file))

    def read() -> list[Event]:
        found = log.read(task_id=task_id, run_id=run_id, trace_id=trace_id, event=event)
        return list(collections.deque(filter(_is_ours, found), maxlen=limit))

    return await in_thread(read)


async def stream_orchestrator_events(
    task_id: Any = None,
    run_id: Any = None,
    *,
    trace_id: str | None = None,
    event: str | None = None,
    log_file: StrPath | None = None,
) -> AsyncIterator[Event]:
    """Stream the orchestrator's events: stored events first, then new ones of any process, without end.

    Promised: no event is missing and none comes twice, including at the end of the stored events and
    across rotation. A missing or deleted log is waited for; a truncated or replaced one is read from
    its start. A slow reader delays no writer and costs no memory. `aclose()` and cancellation close
    the files.

    Not promised: events that retention deleted before they were read.

    Args:
        task_id: Only events of this task.
        run_id: Only events of this run.
        trace_id: Only events of this trace.
        event: Only events with this name.
        log_file: The log; without it, the one that this process writes or would write.

    Raises:
        OSError: the log exists and cannot be read.

    Example:
        >>> import asyncio
        >>> async def first(run_id):
        ...     async for event in stream_orchestrator_events(run_id=run_id):
        ...         return event["event"]
        >>> log_orchestrator_event("run_started", run_id="r-1")
        >>> asyncio.run(first("r-1"))
        'run_started'
    """
    log = EventLog(_log_path(log_file))
    found = log.follow(task_id=task_id, run_id=run_id, trace_id=trace_id, event=event)
    try:
        async for item in found:
            if isinstance(item, Gap):
                logging.getLogger(OWN_LOGGER).warning("%s: gap: %s", log.path, item.reason)
            elif _is_ours(item):
                yield item
    finally:
        await found.aclose()


def get_request_logger(
    request_id: Any = None, user_id: Any = None, client_ip: Any = None
) -> logging.LoggerAdapter[logging.Logger]:
    """Return an adapter of the logger `request` that adds these fields to each record.

    Args:
        request_id: The request; each argument that is None is left out.
        user_id: The user who made it.
        client_ip: The client's address.

    Example:
        >>> get_request_logger("r-1", user_id="u-7").extra
        {'request_id': 'r-1', 'user_id': 'u-7'}
    """
    given = {"request_id": request_id, "user_id": user_id, "client_ip": client_ip}
    fields = {name: value for name, value in given.items() if value is not None}
    return BoundLogger(logging.getLogger(REQUEST_LOGGER), **fields)


def _is_written(logger: logging.Logger) -> bool:
    return any(
        isinstance(handler, EventFileHandler | logging.handlers.QueueHandler)
        for handler in attaching.handlers_reached(logger)
    )


def _set_up_default() -> None:
    try:
        config.attach_orchestrator_log(settings.resolve_orch_log_file(), chosen=False)
    except Exception as error:
        text = f"orchestrator events are not written to a file: {error}"
        if text not in _reported:
            _reported.add(text)
            with contextlib.suppress(Exception):  # a logger class of the program may raise
                logging.getLogger(OWN_LOGGER).error(text)


def _log_path(log_file: StrPath | None) -> str:
    if log_file is not None:
        return os.path.abspath(settings.check_path("log_file", log_file))
    for handler in attaching.files_reached(logging.getLogger(ORCHESTRATOR_LOGGER)):
        return handler.baseFilename
    return os.path.abspath(settings.resolve_orch_log_file())


def _is_ours(event: Event) -> bool:
    return bool(event.get("logger", ORCHESTRATOR_LOGGER) == ORCHESTRATOR_LOGGER)
