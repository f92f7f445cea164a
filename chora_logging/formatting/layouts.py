"""The layouts of other log stores: Elastic Common Schema, Google Cloud Logging, OpenTelemetry.

Each is compared in a test with what that project's own library writes for the same call. `task_id`, `run_id`
and `event_type` keep their names in all, because our readers select by them.

| of a record | `ecs` | `gcp` | `otel` |
|---|---|---|---|
| time | `@timestamp` | `time` | `timestamp` |
| level | `log.level`, in lower case | `severity` | `severity_text` (`WARN`, `FATAL`), `severity_number` |
| message | `message` | `message` | `body` |
| logger | `log.logger` | label `python_logger` | `scope.name` |
| `event` | `event.action` | `event` | `event_name` |
| `trace_id` | `trace.id` | `logging.googleapis.com/trace` | `trace_id` |
| `span_id` | `span.id` | `logging.googleapis.com/spanId` | `span_id` |
| place in the code | `log.origin` | `logging.googleapis.com/sourceLocation` | `code.…` attributes |
| process, thread | `process` | | |
| exception | `error.type`, `.message`, `.stack_trace` | `stack_trace` | `exception.…` attributes |
| static fields | at the top | at the top | `resource.attributes` |
| the caller's fields | at the top | at the top | `attributes` |

A field of the caller's that has the name of one of the line's gets an underscore; so does one that readers
would take for the time, the level, the logger or the exception of the record, before those of the layout.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from chora_logging.formatting.exceptions import type_name
from chora_logging.formatting.fields import Write, claim, text_of
from chora_logging.schema import EVENT_MARK, OTEL_LEVELS, otel_severity

Fields = dict[str, Any]

#: The version of the Elastic Common Schema.
ECS_VERSION = "1.6.0"

#: The attributes of a record from which the place in the code is written.
_CODE = ("pathname", "lineno", "funcName")

#: The variable that names the project in which Cloud Logging looks for traces.
PROJECT_VARIABLE = "GOOGLE_CLOUD_PROJECT"

#: The fields of the caller that are at the top of every line.
_AT_TOP = ("task_id", "run_id", "event_type")

#: The names that readers ask before those of the layout, see `eventlog.meaning`; and before the exception.
_ECS_SHADOWS = frozenset(("timestamp", "level", "levelname", "severity", "logger"))
_GCP_SHADOWS = frozenset(("timestamp", "@timestamp", "level", "levelname", "logger"))
_EXCEPTION_SHADOWS = frozenset(("exception", "exc_info"))

#: Cloud Logging's severities; those of other levels are the highest that they reach.
_GCP_NAMES = {"DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"}
_GCP_LEVELS = ((50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (20, "INFO"), (10, "DEBUG"))


class Layout(NamedTuple):
    """A layout of another log store.

    Attributes:
        write: Writes a line.
        attributes: The attributes of a record that lines have, beside those that every layout has.
        kept: The fields that are cut last when a line is too long.
    """

    write: Write
    attributes: tuple[str, ...]
    kept: tuple[str, ...]


def _ecs(record: logging.LogRecord, stamp: Any, caller: Fields, static: Mapping[str, Any]) -> Fields:
    """Return the line in the Elastic Common Schema, as `ecs_logging.StdlibFormatter` has it."""
    line: Fields = {"@timestamp": stamp, "log.level": text_of(record.levelname).lower()}
    _add_message(line, "message", record, caller)
    line["ecs.version"] = ECS_VERSION
    _move(caller, line, {"event": "event.action", "trace_id": "trace.id", "span_id": "span.id"})
    origin = _present(
        {"function": record.funcName, "file": _present({"name": record.filename, "line": record.lineno})}
    )
    line["log"] = _present({"logger": record.name, "origin": origin})
    thread = _present({"id": record.thread, "name": record.threadName})
    process = _present({"pid": record.process, "name": record.processName, "thread": thread})
    if process:
        line["process"] = process
    line.update(static)
    error = _error(record, lambda kind: kind.__name__, ("type", "message", "stack_trace"))
    return _with_caller(line, caller, {"error": error} if error else {}, record, _ECS_SHADOWS)


def _gcp(record: logging.LogRecord, stamp: Any, caller: Fields, static: Mapping[str, Any]) -> Fields:
    """Return the line for Cloud Logging's agents, as `StructuredLogHandler` of its library has it."""
    line: Fields = {"time": stamp, "severity": _gcp_severity(record)}
    _add_message(line, "message", record, caller)
    prefix, project = "logging.googleapis.com/", os.environ.get(PROJECT_VARIABLE)
    trace = caller.get("trace_id")
    if project and isinstance(trace, str):
        caller["trace_id"] = f"projects/{project}/traces/{trace}"
    _move(caller, line, {"trace_id": f"{prefix}trace", "span_id": f"{prefix}spanId"})
    line[f"{prefix}labels"] = {"python_logger": record.name}
    number = None if record.lineno is None else str(record.lineno)
    place = {"file": record.pathname, "line": number, "function": record.funcName}
    line[f"{prefix}sourceLocation"] = _present(place)
    line.update(static)
    tail = {"stack_trace": record.exc_text} if record.exc_text else {}
    return _with_caller(line, caller, tail, record, _GCP_SHADOWS)


def _otel(record: logging.LogRecord, stamp: Any, caller: Fields, static: Mapping[str, Any]) -> Fields:
    """Return the line with the names of OpenTelemetry's log records, as its SDK's exporters write them."""
    line: Fields = {
        "timestamp": stamp,
        "severity_text": OTEL_LEVELS.get(record.levelname, record.levelname),
        "severity_number": otel_severity(record.levelno),
    }
    _add_message(line, "body", record, caller)
    _move(caller, line, {"event": "event_name", "trace_id": "trace_id", "span_id": "span_id"})
    _move(caller, line, {name: name for name in _AT_TOP})
    line["scope"] = {"name": record.name}
    code = {"file.path": record.pathname, "function.name": record.funcName, "line.number": record.lineno}
    attributes: Fields = {f"code.{name}": value for name, value in _present(code).items()}
    names = ("exception.type", "exception.message", "exception.stacktrace")
    attributes.update(_error(record, type_name, names))
    if record.stack_info:
        attributes["stack_info"] = record.stack_info
    claim(attributes, (), caller)
    line["attributes"] = attributes
    if static:
        line["resource"] = {"attributes": dict(static)}
    return line


#: The layouts by their names.
LAYOUTS = {
    "ecs": Layout(
        _ecs,
        ("filename", "lineno", "funcName", "process", "processName", "thread", "threadName"),
        ("@timestamp", "log.level", "message", "event.action", "trace.id"),
    ),
    "gcp": Layout(_gcp, _CODE, ("time", "severity", "message", "logging.googleapis.com/trace")),
    "otel": Layout(_otel, _CODE, ("timestamp", "severity_text", "body", "event_name", "trace_id")),
}


def _add_message(line: Fields, name: str, record: logging.LogRecord, caller: Fields) -> None:
    """Add the message; that of a dict or a typed event is its own field, if it has one."""
    if not isinstance(record.msg, dict) and not getattr(type(record.msg), EVENT_MARK, False):
        line[name] = record.message
    elif "message" in caller:
        line[name] = caller.pop("message")


def _move(caller: Fields, line: Fields, names: Mapping[str, str]) -> None:
    for name, target in names.items():
        if name in caller and target not in line:
            line[target] = caller.pop(name)


def _present(fields: Fields) -> Fields:
    """Return the *fields* that a record has: `logging` can be told not to collect them."""
    return {name: value for name, value in fields.items() if value is not None and value != {}}


def _error(record: logging.LogRecord, name_of: Callable[[type], str], names: tuple[str, str, str]) -> Fields:
    values: tuple[Any, Any] = (None, None)
    if record.exc_info and record.exc_info[0] is not None:
        values = (name_of(record.exc_info[0]), text_of(record.exc_info[1]))
    return _present(dict(zip(names, (*values, record.exc_text or None), strict=True)))


def _with_caller(
    line: Fields, caller: Fields, tail: Fields, record: logging.LogRecord, shadows: frozenset[str]
) -> Fields:
    taken = shadows | (_EXCEPTION_SHADOWS if tail else frozenset()) | tail.keys()
    if record.stack_info:
        tail["stack_info"] = record.stack_info
        taken |= {"stack_info"}
    claim(line, taken, caller)
    return {**line, **tail}


def _gcp_severity(record: logging.LogRecord) -> str:
    if record.levelname in _GCP_NAMES:
        return record.levelname
    return next((name for level, name in _GCP_LEVELS if record.levelno >= level), "DEFAULT")
