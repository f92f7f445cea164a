"""Interprets the fields of an event: its time, level, name, message, trace, duration and failure.

All readers ask here, so that they agree; the viewer gets the same table. Our own names come first, and of
several the first one that has a value and can be read counts. A dotted name stands for a key with dots
and for a path into objects. Null and the empty string count as missing.

| meaning | names, in order |
|---|---|
| time | timestamp, @timestamp, time, ts, asctime, @t, datetime, date, record.time.timestamp, record.time.repr, t |
| level | level, levelname, severity, log.level, @l, @level, lvl, loglevel, logLevel, level_name, record.level.name, severity_text, levelno, severity_number |
| message | message, msg, @m, @mt, @message, short_message, record.message, text, body |
| event | event, event_type, event.action, event_name |
| trace | trace_id, trace.id, traceId, traceID, @tr, dd.trace_id, otelTraceID, logging.googleapis.com/trace (its last part), record.extra.trace_id, correlation_id, request_id |
| span | span_id, span.id, spanId, @sp, otelSpanID, logging.googleapis.com/spanId |
| parent | parent_id, parent_span_id, parentSpanId |
| duration | duration_ms, elapsed_ms, duration, elapsed, event.duration (nanoseconds), took, attributes.duration_ms |
| exception | exception, exc_info, error.stack_trace, err.stack, stack_trace, stack, record.exception, exception.stacktrace, attributes.exception.stacktrace |
| error | error, error_message, error.message, err.message |
| logger | logger, log.logger, logging.googleapis.com/labels.python_logger, scope.name |
| service | service, service.name |

No reader selects by the last two: they are for what events become elsewhere. An event in OpenTelemetry's layout
has its other fields in `attributes` and `resource.attributes`.

A time is text (see `times.parse_iso`), or a number of seconds, milliseconds, microseconds or
nanoseconds since 1970. A level is a name in any case, or a number as in `logging`; pino, bunyan, GELF,
Nextcloud and OpenTelemetry have other numbers, and CLEF leaves out the level Information. A duration is
a number of milliseconds or text with a unit.
"""  # noqa: E501  # a table

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.names import Names
from chora_logging.eventlog.severities import SCALE_KEYS, SEVERITIES, level_name, severity, standard_number
from chora_logging.eventlog.times import LONGEST_DURATION_MS, milliseconds, seconds
from chora_logging.eventlog.tracebacks import traceback_of
from chora_logging.options import parse_fields
from chora_logging.schema import LEVELS

Fields = Mapping[str, Any]

_INFO, _ERROR = LEVELS["INFO"], LEVELS["ERROR"]

#: By meaning, the names of the fields that have it; see above.
NAMES: Mapping[str, tuple[str, ...]] = {
    "time": (
        *("timestamp", "@timestamp", "time", "ts", "asctime", "@t", "datetime", "date"),
        *("record.time.timestamp", "record.time.repr", "t"),
    ),
    "level": (
        *("level", "levelname", "severity", "log.level", "@l", "@level", "lvl", "loglevel", "logLevel"),
        *("level_name", "record.level.name", "severity_text", "levelno", "severity_number"),
    ),
    "message": (
        *("message", "msg", "@m", "@mt", "@message", "short_message", "record.message", "text", "body"),
    ),
    "event": ("event", "event_type", "event.action", "event_name"),
    "trace": (
        *("trace_id", "trace.id", "traceId", "traceID", "@tr", "dd.trace_id", "otelTraceID"),
        *("logging.googleapis.com/trace", "record.extra.trace_id", "correlation_id", "request_id"),
    ),
    "span": ("span_id", "span.id", "spanId", "@sp", "otelSpanID", "logging.googleapis.com/spanId"),
    "parent": ("parent_id", "parent_span_id", "parentSpanId"),
    "duration": (
        "duration_ms",
        "elapsed_ms",
        "duration",
        "elapsed",
        "event.duration",
        "took",
        "attributes.duration_ms",
    ),
    "exception": (
        *("exception", "exc_info", "error.stack_trace", "err.stack", "stack_trace", "stack"),
        *("record.exception", "exception.stacktrace", "attributes.exception.stacktrace"),
    ),
    "error": ("error", "error_message", "error.message", "err.message"),
}

#: By what it says of where an event comes from, the names of the fields; see above.
ORIGINS: Mapping[str, tuple[str, ...]] = {
    "logger": ("logger", "log.logger", "logging.googleapis.com/labels.python_logger", "scope.name"),
    "service": ("service", "service.name"),
}

#: In OpenTelemetry's layout: the fields that have the level, and the objects that have the other fields.
OTEL_NUMBER = "severity_number"
OTEL_LEVEL = ("severity_text", OTEL_NUMBER)
CONTAINERS = ("attributes", "resource.attributes")

#: The fields in which a failure is stated, and the words for it, in any case.
STATUS = "status"
OUTCOMES = (STATUS, "outcome", "result")
FAILED = frozenset(("error", "failed", "failure", "fatal", "crashed", "timeout", "timed_out"))

#: Names whose value is a path of which only the last part counts.
PATHS = frozenset(("logging.googleapis.com/trace",))

#: The units of durations that are not in milliseconds, in milliseconds.
UNITS = {"event.duration": 1e-6}

#: The least number, in seconds since 1970, that is a time under a name that others use: 1973.
LEAST_NUMBER_SECONDS = 1e8

#: The field of typed events, which have no level.
TYPE = "event_type"


class Meaning:
    """What the fields of the events of a log mean.

    Args:
        fields: By meaning, the name of a field that comes before those of the table; see `NAMES`.

    Raises:
        ConfigurationError: *fields* has another meaning, or a name that is not text.

    Immutable, and so thread safe.

    >>> Meaning({"level": "sev"}).level_of({"sev": "warn"})
    'WARNING'
    """

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        self.fields: dict[str, str] = _checked(fields)
        own = {meaning: (name,) for meaning, name in self.fields.items()}
        table = {**NAMES, **ORIGINS}
        self._names = {meaning: Names(own.get(meaning, ()) + names) for meaning, names in table.items()}
        # The first names are asked before all others, so that our own lines cost nothing more.
        first = {meaning: names.all[0] for meaning, names in self._names.items()}
        self._time, self._level, self._message = first["time"], first["level"], first["message"]
        self._trace, self._duration, self._error = first["trace"], first["duration"], first["error"]
        self._levels = self._names["level"].keys | {"@t"}
        if self._names["level"].is_in_event:
            self._levels |= {"event"}
        self._durations = self._names["duration"].keys
        self._event, events = first["event"], self._names["event"].all
        self._events = () if "." in self._event else events[: events.index(TYPE) + 1]
        self._event_keys = self.keys("event")

    def time_of(self, event: Fields) -> float | None:
        """Return the time of *event*, in seconds since 1970; None if it has none.

        A string is read as ISO 8601, in local time if it has no zone; a number as seconds since 1970, or
        as milliseconds, microseconds or nanoseconds if it is as large as those of our years. A time
        outside of the years 2 to 9998 counts as none.
        """
        time = seconds(event.get(self._time))
        return self._other_time(event) if time is None else time

    def level_of(self, event: Fields) -> str | None:
        """Return the level of *event* as a name of the standard library; other names in upper case.

        A number becomes the highest level that it reaches, or DEBUG if it is below all. An event without
        a level is ERROR if it failed, else None.
        """
        level = self._level_of(event)
        if level is None:
            return "ERROR" if self._has_failed(event) else None
        return level_name(level)

    def severity_of(self, event: Fields) -> float | None:
        """Return the level of *event* as a number; None if it has none that can be read.

        An event without a level is ERROR if it failed, else INFO if it is typed. A name that is unknown
        is above all levels, so that no filter hides it.
        """
        level = event.get(self._level)
        if isinstance(level, str) and (number := SEVERITIES.get(level)):
            return number
        level = None if self._levels.isdisjoint(event) else self._level_of(event)
        if level is None:
            if self._has_failed(event):
                return _ERROR
            return _INFO if event.get(TYPE) else None
        number = severity(level)
        return math.inf if number is None else number

    def is_error(self, event: Fields) -> bool:
        """Return whether *event* reports a failure.

        It does if its level is ERROR or above; if its status, outcome or result in any case is error,
        failed, failure, fatal, crashed, timeout or timed_out; or if it is a typed event (it has an
        `event_type`) with an `error_message` or `error` that is not null, false, 0 or empty.
        """
        level = event.get(self._level)
        number = SEVERITIES.get(level) if isinstance(level, str) else None
        if number is None and not self._levels.isdisjoint(event):
            level = self._level_of(event)
            number = None if level is None else severity(level)
        return (number is not None and number >= _ERROR) or self._has_failed(event)

    def event_of(self, event: Fields) -> Any:
        """Return the name of *event*: its `event`, else its `event_type`; None if it has neither."""
        name = event.get(self._event)
        if isinstance(name, str) and name:
            return name
        if name is None and self._event_keys.isdisjoint(event):
            return None
        for field in self._events:
            name = event.get(field)
            # In ECS `event` is an object that has the name and others.
            if name is not None and name != "" and not isinstance(name, dict):
                return name
        found = self._names["event"].found(event)
        return next((name for _, name in found if not isinstance(name, dict)), None)

    def message_of(self, event: Fields) -> Any:
        """Return the message of *event*; None if it has none, or one that only repeats its name.

        The `event` of structlog is both; so it is the name.
        """
        message = event.get(self._message)
        if message is None or message == "":
            message = next((value for _, value in self._names["message"].found(event)), None)
        # The message of orchestrator events that are logged without one.
        if isinstance(message, str) and message.startswith("Event: "):
            name = self.event_of(event)
            return None if name is not None and message == f"Event: {name}" else message
        return message

    def trace_of(self, event: Fields) -> str | None:
        """Return the trace id of *event*, as JSON if it is not a string; None if it has none."""
        value = event.get(self._trace)
        if isinstance(value, str) and value:
            return value
        return self._other_trace(event) if value is None or value == "" else _text(value)

    def span_of(self, event: Fields) -> str | None:
        """Return the id of the span of *event*, as JSON if it is not a string; None if it has none."""
        return next((_text(value) for _, value in self._names["span"].found(event)), None)

    def parent_of(self, event: Fields) -> str | None:
        """Return the id of the span around that of *event*; None if it has none."""
        return next((_text(value) for _, value in self._names["parent"].found(event)), None)

    def duration_of(self, event: Fields) -> float | None:
        """Return the duration of *event*, in milliseconds; None if it has none or not a valid one."""
        value = event.get(self._duration)
        if value.__class__ is int and 0 <= value < LONGEST_DURATION_MS:
            return float(value)
        duration = None if value is None else milliseconds(value)
        if duration is not None:
            return duration
        if self._durations.isdisjoint(event) and not isinstance(event.get("event"), dict):
            return None
        for name, value in self._names["duration"].found(event):
            duration = milliseconds(value, UNITS.get(name, 1.0))
            if duration is not None:
                return duration
        return None

    def exception_of(self, event: Fields) -> str | None:
        """Return the traceback of *event*; None if it has none.

        An array of lines is joined, and an exception as an object becomes text.
        """
        found = self._names["exception"].found(event)
        return next((text for _, value in found if (text := traceback_of(value)) is not None), None)

    def error_of(self, event: Fields) -> Any:
        """Return what *event* says about its error; None if that is absent, null, false, 0 or empty."""
        first = None
        for _, value in self._names["error"].found(event):
            if value and not isinstance(value, dict):
                return value
            first = first or value or None  # the message in an object is better than the object
        return first

    def field_of(self, meaning: str, event: Fields) -> str | None:
        """Return the field of *event* that has *meaning*, a key of `NAMES`; None if it has none.

        A value inside an object has no field of its own.
        """
        names = self._names[meaning]
        value = event.get(names.all[0])
        if value is not None and value != "":
            return names.all[0]
        return next((name for name, _ in names.found(event) if name in event), None)

    def found(self, meaning: str, event: Fields) -> Iterable[tuple[str, Any]]:
        """Return those names of *meaning*, a key of `NAMES` or `ORIGINS`, that have a value, with it."""
        return self._names[meaning].found(event)

    def names(self, meaning: str) -> tuple[str, ...]:
        """Return the names of the fields that have *meaning*, a key of `NAMES`, in their order."""
        return self._names[meaning].all

    def keys(self, meaning: str) -> frozenset[str]:
        """Return the keys of an event on which depends what it says of *meaning*, a key of `NAMES`.

        Those of the level also decide whether it is an error.
        """
        names = self._names[meaning]
        keys = names.keys | {"event"} if names.is_in_event else names.keys
        if meaning == "event":
            return keys | {self._event, *self._events}
        if meaning == "level":
            return keys | SCALE_KEYS | {*OUTCOMES, TYPE, "error_message", self._error, "@t", "@mt", "@m"}
        return keys

    def _other_time(self, event: Fields) -> float | None:
        for name, value in self._names["time"].found(event):
            time = seconds(value)
            # Small numbers are times of day, durations or counts.
            if time is not None and (
                isinstance(value, str) or time >= LEAST_NUMBER_SECONDS or name == self._time
            ):
                return time
        return None

    def _level_of(self, event: Fields) -> str | int | None:
        level = event.get(self._level)
        if isinstance(level, str) and level:
            return level
        return None if self._levels.isdisjoint(event) else self._other_level(event)

    def _other_level(self, event: Fields) -> str | int | None:
        for name, level in self._names["level"].found(event):
            if isinstance(level, str):
                return level
            if isinstance(level, int) and not isinstance(level, bool):
                return standard_number(level, name, event)
        # CLEF leaves out Information.
        return "INFO" if "@t" in event and ("@mt" in event or "@m" in event) else None

    def _other_trace(self, event: Fields) -> str | None:
        for name, value in self._names["trace"].found(event):
            if type(value) in (str, int):
                text = _text(value).rpartition("/")[2] if name in PATHS else _text(value)
                if text.strip("0"):  # without a span, OpenTelemetry and Datadog write 0
                    return text
        return None

    def _has_failed(self, event: Fields) -> bool:
        for name in OUTCOMES:
            if name in event and isinstance(event[name], str) and event[name].lower() in FAILED:
                return True
        return bool(event.get(TYPE) and (event.get("error_message") or event.get(self._error)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _checked(fields: Mapping[str, str] | None) -> dict[str, str]:
    given = {} if fields is None else parse_fields("fields", fields)
    for meaning, name in given.items():
        if meaning not in NAMES:
            raise ConfigurationError("fields", meaning, f"one of {', '.join(NAMES)}")
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"fields[{meaning!r}]", name, "the name of a field")
    return given


#: The meanings without names of one's own.
USUAL = Meaning()

time_of = USUAL.time_of
level_of = USUAL.level_of
severity_of = USUAL.severity_of
is_error = USUAL.is_error
event_of = USUAL.event_of
message_of = USUAL.message_of
trace_of = USUAL.trace_of
duration_of = USUAL.duration_of
