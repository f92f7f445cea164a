"""The events of a task orchestrator: logged with one call, read back and watched from any process."""

from __future__ import annotations

import collections
import logging
import logging.handlers
import os
import sys
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

from chora_logging import config, settings
from chora_logging.config import get_logging_config, setup_logging
from chora_logging.eventlog.events import Event, Gap
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.subscription import in_thread
from chora_logging.formatting.fields import STANDARD
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

_told: set[str] = set()


def log_orchestrator_event(
    event: str,
    task_id: Any = None,
    run_id: Any = None,
    *,
    message: str | None = None,
    level: str | int = "INFO",
    **fields: Any,
) -> None:
    """Log that something happened to a task or a run.

    The event goes through the logger `orchestrator_events`. If nothing that writes events stands
    behind that logger (no handler of its own, no `EventFileHandler` or queue above it), the first
    call gives it the default log, as `setup_orchestrator_logging` does.

    Promised: every field name is taken, those that `logging` refuses in `extra` (`name`, `args`,
    `filename`, …) included; nothing is raised, whatever the fields hold and whether or not the
    event can be written.

    Args:
        event: What happened.
        task_id: The task; left out of the line when it is None.
        run_id: The run; left out of the line when it is None.
        message: The same for people; made from *event* if it is not given.
        level: A level's name, in any case, or its number. An event with another one is logged as
            INFO and keeps it as the field `level_`.
        fields: Everything else that is to be in the line. `exc_info` too is a field here.
    """
    number = settings.level_number(level)
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
    if args and type(event) is str:  # another object may raise when it is made text
        text, args = f"Event: {event}", ()
    record = logger.makeRecord(
        logger.name, number, code.co_filename, caller.f_lineno, text, args, None, code.co_name
    )
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
    logger.handle(record)


def setup_orchestrator_logging(
    orch_id: str | None = None,
    log_file: StrPath | None = None,
    *,
    max_bytes: int | str = settings.MAX_BYTES,
    backup_count: int = settings.BACKUP_COUNT,
    timestamp_format: str | None = None,
    static_fields: dict[str, Any] | None = None,
) -> logging.Logger:
    """Write the orchestrator's events to a rotated log, and return their logger.

    Calling it again with the same file changes nothing; with another file, that one takes the
    place of the first. What is not given comes from `ORCH_LOG_FILE` and `ORCH_ID`. The folder of
    the file is made now, the file by the first event.

    Args:
        orch_id: The orchestrator's id, part of the name of the file.
        log_file: The file; it wins over *orch_id*.
        max_bytes: The size at which it is rotated.
        backup_count: How many rotated files to keep.
        timestamp_format: As for `EventFormatter`.
        static_fields: Fields of every line.

    Raises:
        ConfigurationError: a value cannot be used.
    """
    return config.attach_orchestrator_log(
        settings.resolve_orch_log_file(orch_id, log_file, "log_file"),
        max_bytes=settings.parse_size("max_bytes", max_bytes),
        backup_count=settings.parse_count("backup_count", backup_count),
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
    """The orchestrator's events that are stored, backups included, oldest first.

    Records of other loggers in the same file are left out. The event loop goes on meanwhile.

    Args:
        task_id: Only events of this task.
        run_id: Only events of this run.
        trace_id: Only events of this trace.
        event: Only events with this name.
        limit: At most so many, the newest.
        log_file: The log; without it the one that this process writes, or would write.

    Raises:
        OSError: the log exists and cannot be read.
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
    """The orchestrator's events, stored ones first, then each that any process writes, without end.

    Promised: none is missing and none comes twice, where the stored ones end too and over rotation;
    a log that is missing, truncated, deleted or made anew is waited for or begun again. A reader
    that is slow delays nobody and costs no memory. Leaving the loop by `aclose()` or cancellation
    closes the files.

    Not promised: events that retention deleted before they were read.

    Args:
        task_id: Only events of this task.
        run_id: Only events of this run.
        trace_id: Only events of this trace.
        event: Only events with this name.
        log_file: The log; without it the one that this process writes, or would write.

    Raises:
        OSError: the log exists and cannot be read.
    """
    log = EventLog(_log_path(log_file))
    found = log.follow(task_id=task_id, run_id=run_id, trace_id=trace_id, event=event)
    try:
        async for item in found:
            if isinstance(item, Gap):
                logging.getLogger(OWN_LOGGER).warning("%s: a gap: %s", log.path, item.reason)
            elif _is_ours(item):
                yield item
    finally:
        await found.aclose()


class _RequestLogger(logging.LoggerAdapter):  # type: ignore[type-arg]  # generic since Python 3.11
    """A logger whose fields are on each record, beside those of the call, which win."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Merge the fields into `extra`; LoggerAdapter itself would drop what the call gives."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def get_request_logger(
    request_id: Any = None, user_id: Any = None, client_ip: Any = None
) -> logging.LoggerAdapter[logging.Logger]:
    """A logger named `request` that puts what is given here on each of its records.

    Args:
        request_id: The request; left out when it is None, as the others.
        user_id: Who made it.
        client_ip: From where.
    """
    given = {"request_id": request_id, "user_id": user_id, "client_ip": client_ip}
    fields = {name: value for name, value in given.items() if value is not None}
    return _RequestLogger(logging.getLogger(REQUEST_LOGGER), fields)


def _is_written(logger: logging.Logger) -> bool:
    return any(
        isinstance(handler, EventFileHandler | logging.handlers.QueueHandler)
        for handler in config.handlers_reached(logger)
    )


def _set_up_default() -> None:
    try:
        config.attach_orchestrator_log(settings.resolve_orch_log_file(), chosen=False)
    except Exception as error:
        text = f"orchestrator events are not written to a file: {error}"
        if text not in _told:
            _told.add(text)
            logging.getLogger(OWN_LOGGER).error(text)


def _log_path(log_file: StrPath | None) -> str:
    if log_file is not None:
        return os.path.abspath(settings.check_path("log_file", log_file))
    for handler in config.files_reached(logging.getLogger(ORCHESTRATOR_LOGGER)):
        return handler.baseFilename
    return os.path.abspath(settings.resolve_orch_log_file())


def _is_ours(event: Event) -> bool:
    return bool(event.get("logger", ORCHESTRATOR_LOGGER) == ORCHESTRATOR_LOGGER)
