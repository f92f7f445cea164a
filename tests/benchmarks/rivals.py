"""Every rival, one function each: it opens a log and returns the loop that writes to it.

Fairness: each writes the same event (`MESSAGE` and the six fields of `SIX`) through its own ordinary
interface, configured for speed as its documentation advises, to a file on the same disk. The loop is in the
rival, so no measured time includes a call of ours. Rivals that rotate have the same size and number of
backups. `emit` compares the lines before it times the rivals.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import logging.handlers
import os
import pathlib
import threading
from collections.abc import Callable
from typing import Any

MESSAGE = "Task finished"
LOGGER = "orchestrator_events"
#: The six fields of every event; the last two identify it.
SIX = ("event", "task_id", "run_id", "status", "writer", "number")

#: Writes events of a writer: (writer, first number, number after the last).
Loop = Callable[[int, int, int], None]
Fields = Callable[[dict[str, Any]], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Log:
    """The file that a rival writes, and its rotation."""

    path: pathlib.Path
    max_bytes: int = 10 * 1024 * 1024
    backups: int = 5


@dataclasses.dataclass(frozen=True)
class Rival:
    """A way to write events.

    Attributes:
        name: The name in the table.
        open: Opens the log and returns the loop.
        needs: The module that it requires.
        rotates: Whether it rotates by size itself.
        ours: Whether it is this package.
        floor: Whether it is an unavoidable part, and writes no whole event.
        summed: Whether it counts in the sum of the floors.
        fields: Takes the six fields from its parsed line.
        remark: A remark for the table.
    """

    name: str
    open: Callable[[Log], Loop]
    needs: str
    rotates: bool = False
    ours: bool = False
    floor: bool = False
    summed: bool = True
    fields: Fields = dict
    remark: str = ""

    @property
    def missing(self) -> bool:
        """Whether its requirement is not installed."""
        return importlib.util.find_spec(self.needs) is None


RIVALS: dict[str, Rival] = {}


def rival(name: str, needs: str = "logging", **more: Any) -> Callable[[Any], Any]:
    """Register a rival under the name of its function."""

    def enter(function: Callable[[Log], Loop]) -> Callable[[Log], Loop]:
        RIVALS[function.__name__] = Rival(name, function, needs, **more)
        return function

    return enter


def expected(writer: int, number: int) -> dict[str, Any]:
    """The six fields of an event."""
    values = ("task_finished", "task-123", "run-456", "success", writer, number)
    return dict(zip(SIX, values, strict=True))


def standard_library(handler: logging.Handler) -> Loop:
    """The loop of every rival that is a handler of `logging`."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)

    def loop(writer: int, first: int, last: int) -> None:
        for number in range(first, last):
            logger.info(
                "Task finished",
                extra={
                    "event": "task_finished",
                    "task_id": "task-123",
                    "run_id": "run-456",
                    "status": "success",
                    "writer": writer,
                    "number": number,
                },
            )

    return loop


def rotating(log: Log) -> logging.Handler:
    """The standard library's own handler."""
    return logging.handlers.RotatingFileHandler(
        log.path, maxBytes=log.max_bytes, backupCount=log.backups, encoding="utf-8"
    )


def json_formatter(module: str, name: str) -> logging.Formatter:
    """A formatter of python-json-logger with the fields of ours; `timestamp` is its cheapest time."""
    formatter = getattr(importlib.import_module(f"pythonjsonlogger.{module}"), name)
    made: logging.Formatter = formatter("%(levelname)s %(name)s %(message)s", timestamp=True)
    return made


@rival("**chora_logging**: `logger.info` through its three parts", "chora_logging", ours=True, rotates=True)
def ours(log: Log) -> Loop:
    from chora_logging import EventFileHandler, EventFormatter, TraceIdFilter

    handler = EventFileHandler(log.path, maxBytes=log.max_bytes, backupCount=log.backups)
    handler.setFormatter(EventFormatter())
    handler.addFilter(TraceIdFilter())
    return standard_library(handler)


@rival("**chora_logging** with `optimize=True`", "chora_logging", ours=True, rotates=True)
def ours_optimized(log: Log) -> Loop:
    from chora_logging.optimizing import optimize

    loop = ours(log)
    optimize()
    return loop


@rival("**chora_logging** without its fast path in C", "chora_logging", ours=True, rotates=True)
def ours_in_python(log: Log) -> Loop:
    os.environ["CHORA_LOGGING_PURE"] = "1"  # no other rival runs in this process
    return ours(log)


@rival(
    "**chora_logging**, buffered: `logger.info` through the three parts",
    "chora_logging",
    ours=True,
    rotates=True,
    remark="`kill -9` loses the last 50 ms",
)
def ours_buffered(log: Log) -> Loop:
    from chora_logging import BufferedEventFileHandler, EventFormatter, TraceIdFilter

    handler = BufferedEventFileHandler(log.path, maxBytes=log.max_bytes, backupCount=log.backups)
    handler.setFormatter(EventFormatter())
    handler.addFilter(TraceIdFilter())
    return standard_library(handler)


@rival(
    "floor of the buffered: `logger.info` into a handler that formats and writes nothing",
    "chora_logging",
    floor=True,
    summed=False,
    remark="not in the sum",
)
def ours_formatting(log: Log) -> Loop:
    from chora_logging import EventFormatter, TraceIdFilter

    class Formatting(logging.NullHandler):
        def handle(self, record: logging.LogRecord) -> bool:
            return self.filter(record) and bool(encode(record))

    encode = EventFormatter().encode
    handler = Formatting()
    handler.addFilter(TraceIdFilter())
    return standard_library(handler)


@rival("**chora_logging**: `emit_event` of a pydantic event", "chora_logging.telemetry", ours=True)
def ours_emit_event(log: Log) -> Loop:
    from chora_logging.telemetry import EventEmitter, TelemetryEvent

    class TaskFinished(TelemetryEvent):
        event: str
        task_id: str
        run_id: str
        writer: int
        number: int

    # The same as `emit_event`, with another emitter: that of the process has a fixed path.
    emit = EventEmitter(log.path).emit

    def loop(writer: int, first: int, last: int) -> None:
        for number in range(first, last):
            emit(
                TaskFinished(
                    timestamp="2026-01-01T00:00:00Z",
                    event_type="bench.task_finished",
                    event="task_finished",
                    task_id="task-123",
                    run_id="run-456",
                    status="success",
                    writer=writer,
                    number=number,
                )
            )

    return loop


@rival("RotatingFileHandler + python-json-logger, json", "pythonjsonlogger", rotates=True)
def rotating_json(log: Log) -> Loop:
    handler = rotating(log)
    handler.setFormatter(json_formatter("json", "JsonFormatter"))
    return standard_library(handler)


@rival("RotatingFileHandler + python-json-logger, orjson", "orjson", rotates=True)
def rotating_orjson(log: Log) -> Loop:
    handler = rotating(log)
    handler.setFormatter(json_formatter("orjson", "OrjsonFormatter"))
    return standard_library(handler)


@rival("RotatingFileHandler + python-json-logger, msgspec", "msgspec", rotates=True)
def rotating_msgspec(log: Log) -> Loop:
    handler = rotating(log)
    handler.setFormatter(json_formatter("msgspec", "MsgspecFormatter"))
    return standard_library(handler)


@rival("concurrent-log-handler + python-json-logger, msgspec", "concurrent_log_handler", rotates=True)
def concurrent(log: Log) -> Loop:
    from concurrent_log_handler import ConcurrentRotatingFileHandler

    handler = ConcurrentRotatingFileHandler(
        str(log.path), maxBytes=log.max_bytes, backupCount=log.backups, encoding="utf-8"
    )
    handler.setFormatter(json_formatter("msgspec", "MsgspecFormatter"))
    return standard_library(handler)


@rival(
    "structlog, the configuration of its performance page (orjson, BytesLogger)",
    "structlog",
    remark="no rotation",
)
def structlog_fastest(log: Log) -> Loop:
    import orjson
    import structlog

    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # On that page the message is called "event", which is one of the six fields here.
            structlog.processors.EventRenamer("message", replace_by="_event"),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=log.path.open("ab")),
    )
    logger = structlog.get_logger().bind()

    def loop(writer: int, first: int, last: int) -> None:
        for number in range(first, last):
            logger.info(
                "Task finished",
                _event="task_finished",
                task_id="task-123",
                run_id="run-456",
                status="success",
                writer=writer,
                number=number,
            )

    return loop


@rival(
    "loguru, `serialize=True`",
    "loguru",
    rotates=True,
    fields=lambda line: line["record"]["extra"],
    remark="the fields are under `record.extra`",
)
def loguru(log: Log) -> Loop:
    from loguru import logger

    logger.remove()
    logger.add(log.path, serialize=True, format="{message}", rotation=log.max_bytes, enqueue=False)

    def loop(writer: int, first: int, last: int) -> None:
        for number in range(first, last):
            logger.info(
                "Task finished",
                event="task_finished",
                task_id="task-123",
                run_id="run-456",
                status="success",
                writer=writer,
                number=number,
            )

    return loop


@rival("eliot, `log_message` to a file", "eliot", remark="no level, no rotation")
def eliot(log: Log) -> Loop:
    from eliot import log_message, to_file

    to_file(log.path.open("ab"))

    def loop(writer: int, first: int, last: int) -> None:
        for number in range(first, last):
            log_message(
                "Task finished",
                event="task_finished",
                task_id="task-123",
                run_id="run-456",
                status="success",
                writer=writer,
                number=number,
            )

    return loop


@rival("the former chora emitter: lock, open, append, close", "pydantic", remark="no level, no rotation")
def open_append_close(log: Log) -> Loop:
    from pydantic import BaseModel

    class TaskFinished(BaseModel):
        timestamp: str
        trace_id: str | None = None
        event_type: str
        event: str
        task_id: str
        run_id: str
        status: str
        writer: int
        number: int

    lock = threading.Lock()
    path = log.path

    def emit(event: BaseModel) -> None:
        with lock, path.open("a", encoding="utf-8") as file:
            file.write(event.model_dump_json() + "\n")

    def loop(writer: int, first: int, last: int) -> None:
        for number in range(first, last):
            emit(
                TaskFinished(
                    timestamp="2026-01-01T00:00:00Z",
                    event_type="bench.task_finished",
                    event="task_finished",
                    task_id="task-123",
                    run_id="run-456",
                    status="success",
                    writer=writer,
                    number=number,
                )
            )

    return loop


@rival("floor: `logger.info` with six fields into a NullHandler", floor=True)
def floor_record(log: Log) -> Loop:
    return standard_library(logging.NullHandler())


@rival("floor: one `os.write` of the line", floor=True)
def floor_write(log: Log) -> Loop:
    descriptor = os.open(log.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    line = floor_line()

    def loop(writer: int, first: int, last: int) -> None:
        write = os.write
        for _ in range(first, last):
            write(descriptor, line)

    return loop


@rival("floor: msgspec encoding of the fields of the line", "msgspec", floor=True)
def floor_encode(log: Log) -> Loop:
    import msgspec

    encode = msgspec.json.Encoder().encode

    def loop(writer: int, first: int, last: int) -> None:
        for number in range(first, last):
            encode(
                {
                    "timestamp": "2026-01-01T00:00:00.000000Z",
                    "level": "INFO",
                    "logger": "orchestrator_events",
                    "event": "task_finished",
                    "task_id": "task-123",
                    "run_id": "run-456",
                    "message": "Task finished",
                    "status": "success",
                    "writer": writer,
                    "number": number,
                }
            )

    return loop


def floor_line() -> bytes:
    """A line of the same length as ours."""
    return (
        b'{"timestamp":"2026-01-01T00:00:00.000000Z","level":"INFO","logger":"orchestrator_events",'
        b'"event":"task_finished","task_id":"task-123","run_id":"run-456","message":"Task finished",'
        b'"status":"success","writer":0,"number":10000}\n'
    )
