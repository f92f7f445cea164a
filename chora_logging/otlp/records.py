"""Turns the lines of a log into OTLP log records.

| of an event, by its meaning | becomes |
|---|---|
| time | `time_unix_nano` and `observed_time_unix_nano`; without one, the time of reading is the second |
| level | `severity_number` and `severity_text`, as OpenTelemetry's logging handler has them |
| message, else the name of the event | `body` |
| name of the event | `event_name` |
| trace and span | `trace_id` and `span_id` if they are 32 and 16 hexadecimal digits |
| exception | the attribute `exception.stacktrace` |
| logger | the instrumentation scope |
| service | the attribute `service.name` of the resource |
| every other field, and each of these that has another form | an attribute, also as a map or an array |

A line in one of our other layouts becomes the same record as in the usual one, as far as it has the same.
A line that is not an event becomes a record that has it as its body.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from chora_logging.eventlog.decoding import REFUSED, decode
from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.lines import read_malformed
from chora_logging.eventlog.meaning import OTEL_LEVEL, OTEL_NUMBER, Meaning
from chora_logging.eventlog.names import without
from chora_logging.eventlog.severities import SEVERITIES
from chora_logging.eventlog.times import seconds
from chora_logging.eventlog.tracebacks import traceback_of
from chora_logging.otlp.opening import opened
from chora_logging.schema import OTEL_LEVELS, OWN_LOGGER, otel_severity

Fields = Mapping[str, Any]

#: The meanings that have a place of their own in a record.
_MEANINGS = ("time", "level", "message", "event", "trace", "span", "exception", "logger", "service")

#: The attributes of a resource, and the attribute of an exception, by the semantic conventions.
SERVICE_NAME, HOST_NAME, FILE_PATH = "service.name", "host.name", "log.file.path"
STACKTRACE = "exception.stacktrace"

#: The event of a gap.
GAP_EVENT = "gap"

#: The severity number of a gap, and the largest.
_WARN, _LARGEST_SEVERITY = 13, 24

#: How deeply values can be nested; below that they are text. A level is three of protobuf, whose parsers
#: refuse more than 100.
_DEEPEST = 20

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_TRACE = re.compile(r"[0-9A-Fa-f]{32}")
_SPAN = re.compile(r"[0-9A-Fa-f]{16}")
_NANOSECONDS = re.compile(r"[.,]\d{6}(\d{1,3})")

#: A number from here on is a time in nanoseconds.
_LEAST_NANOSECONDS = 10**17
#: The first second whose nanoseconds a record cannot hold, in 2554.
_END_SECONDS = 2**64 // 10**9


class Request:
    """A request that is being made.

    Args:
        resource: Attributes of where all its records come from.
        meaning: Says what the fields of events mean.

    Attributes:
        records: How many records it has.

    Not thread safe.
    """

    def __init__(self, resource: Mapping[str, str], meaning: Meaning) -> None:
        self.records = 0
        self._resource = resource
        self._meaning = meaning
        self._first = {kind: meaning.names(kind)[0] for kind in _MEANINGS}
        self._keys = {kind: meaning.keys(kind) for kind in _MEANINGS}
        self._has_paths = False  # whether a value inside an object was found
        self._message = ExportLogsServiceRequest()
        self._service: str | None = ""
        self._logs: ResourceLogs | None = None
        self._scope: ScopeLogs | None = None
        self._now = time.time_ns()

    def encoded(self) -> bytes:
        """Return it as an `ExportLogsServiceRequest`."""
        return self._message.SerializeToString()

    def add_gap(self, gap: Gap) -> None:
        """Add a gap, as a warning with its facts as attributes."""
        record = self._record(None, OWN_LOGGER)
        record.time_unix_nano = record.observed_time_unix_nano = self._now
        record.severity_number, record.severity_text = _WARN, "WARN"  # type: ignore[assignment]
        record.event_name = GAP_EVENT
        record.body.string_value = f"Events are missing here: {gap.reason}"
        facts = gap._asdict() | {"since": _iso(gap.since), "until": _iso(gap.until)}
        for name, value in facts.items():
            if value is not None:
                _add(record, name, value)

    def add_lines(self, lines: bytes) -> None:
        """Add the events of whole lines, in their order."""
        for line in lines.split(b"\n"):
            events = _events_on(line)
            for event in events:
                self._add_event(event)
            if not events and (text := line.decode("utf-8", "backslashreplace").strip(" \t\r\0")):
                record = self._record(None, "")
                record.observed_time_unix_nano = self._now
                record.body.string_value = text

    def _add_event(self, event: dict[str, Any]) -> None:
        is_theirs = OTEL_NUMBER in event and self._field("level", event)[0] in OTEL_LEVEL
        if is_theirs:
            event = opened(event, self._meaning)
        self._has_paths = False
        used: set[str] = set()  # the fields that need not be attributes, and paths of values in objects
        logger, service = self._origin("logger", event, used), self._origin("service", event, used)
        record = self._record(service or None, logger)
        self._set_time(record, event, used)
        self._set_level(record, event, used)
        if is_theirs and type(number := event[OTEL_NUMBER]) is int and 1 <= number <= _LARGEST_SEVERITY:
            record.severity_number = number  # type: ignore[assignment]
            used.add(OTEL_NUMBER)
        self._set_body(record, event, used)
        for kind, form, value in (
            ("trace", _TRACE, self._meaning.trace_of(event)),
            ("span", _SPAN, self._meaning.span_of(event)),
        ):
            if value is not None and form.fullmatch(value) and value.strip("0"):
                setattr(record, f"{kind}_id", bytes.fromhex(value))
                field, given = self._field(kind, event)
                if field is not None and str(given).endswith(value):
                    used.add(field)
        field, exception = self._field("exception", event)
        if field is not None and STACKTRACE not in event:
            text = traceback_of(exception)
            if text is not None:
                if not _has_stack_as_text(exception):
                    used.add(field)
                _add(record, STACKTRACE, text)
        if self._has_paths:
            for path in used - event.keys():
                event = without(event, path)
        for name, value in event.items():
            if name not in used:
                _add(record, name, value)

    def _origin(self, kind: str, event: Fields, used: set[str]) -> str:
        """Return the logger or the service of *event*; empty if it has none."""
        field, value = self._field(kind, event)
        if field is not None and isinstance(value, str):
            used.add(field)
            return value
        return ""

    def _set_time(self, record: LogRecord, event: Fields, used: set[str]) -> None:
        field, value = self._field("time", event)
        moment = seconds(value)
        if moment is None or field != self._first["time"]:
            moment = self._meaning.time_of(event)
        if moment is None or not 0 <= moment < _END_SECONDS:
            record.observed_time_unix_nano = self._now
            return
        if field is None or seconds(value) != moment:
            value = None  # the time is elsewhere, and stays there
        else:
            used.add(field)
        record.time_unix_nano = record.observed_time_unix_nano = _nanoseconds(moment, value)

    def _set_level(self, record: LogRecord, event: Fields, used: set[str]) -> None:
        number, name = self._meaning.severity_of(event), self._meaning.level_of(event) or ""
        if number is not None and number < math.inf:  # else the level is unknown
            record.severity_number = otel_severity(number)  # type: ignore[assignment]
            name = name or "INFO"
        field, given = self._field("level", event)
        if field is not None and isinstance(given, str):
            used.add(field)
            if given.upper() not in SEVERITIES:
                name = given
        elif field is not None and type(given) is int and number == SEVERITIES.get(name):
            used.add(field)  # else its name does not have the number
        record.severity_text = OTEL_LEVELS.get(name, name)

    def _set_body(self, record: LogRecord, event: Fields, used: set[str]) -> None:
        name = self._meaning.event_of(event)
        if name is not None:
            record.event_name = name if isinstance(name, str) else json.dumps(name)
            field, given = self._field("event", event)
            if isinstance(given, dict):  # it has the name, or others do
                found = self._meaning.found("event", event)
                field, given = next((each for each in found if each[1] is name), (None, None))
                self._has_paths = True
            if field is not None and given is name:
                used.add(field)
        field, message = self._field("message", event)
        if field is not None:
            used.add(field)
        if message is not None or name is not None:
            _set(record.body, record.event_name if message is None else message)

    def _field(self, meaning: str, event: Fields) -> tuple[str | None, Any]:
        """Return the first field of *event* with *meaning*, or path into it, and its value; None if none."""
        first = self._first[meaning]
        value = event.get(first)
        if value is not None and value != "":
            return first, value
        if self._keys[meaning].isdisjoint(event):
            return None, None
        for name, value in self._meaning.found(meaning, event):
            self._has_paths = self._has_paths or name not in event
            return name, value
        return None, None

    def _record(self, service: str | None, logger: str) -> LogRecord:
        """Return a new record; only those that follow each other share a resource and a scope, in order."""
        logs, scope = self._logs, self._scope
        if logs is None or service != self._service:
            logs = self._logs = self._message.resource_logs.add()
            self._service, scope = service, None
            resource = self._resource if service is None else {**self._resource, SERVICE_NAME: service}
            for name, value in resource.items():
                attribute = logs.resource.attributes.add()
                attribute.key, attribute.value.string_value = name, value
        if scope is None or scope.scope.name != logger:
            scope = self._scope = logs.scope_logs.add()
            scope.scope.name = logger
        self.records += 1
        return scope.log_records.add()


def _events_on(line: bytes) -> list[dict[str, Any]]:
    try:
        return [decode(line)]
    except REFUSED:
        pass
    try:
        return [decode(found.strict) for found in read_malformed(line)[0]]
    except REFUSED:
        return []


def _add(record: LogRecord, name: str, value: object) -> None:
    attribute = record.attributes.add()
    attribute.key = name
    if type(value) is str:  # most are
        attribute.value.string_value = value
    else:
        _set(attribute.value, value)


def _set(target: AnyValue, value: object, depth: int = 0) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        if _SMALLEST <= value <= _LARGEST:
            target.int_value = value
        else:
            target.string_value = str(value)
    elif isinstance(value, float):
        target.double_value = value
    elif value is None:
        target.SetInParent()  # no value is null
    elif depth >= _DEEPEST:
        target.string_value = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        for name, inner in value.items():
            pair = target.kvlist_value.values.add()
            pair.key = name
            _set(pair.value, inner, depth + 1)
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for inner in value:
            _set(target.array_value.values.add(), inner, depth + 1)
    else:
        target.string_value = str(value)


def _nanoseconds(moment: float, value: object) -> int:
    """Return *moment*, which was read from *value*, in nanoseconds since 1970."""
    if isinstance(value, int) and value >= _LEAST_NANOSECONDS:
        return value
    whole = round(moment * 1e6) * 1000
    if isinstance(value, str) and (found := _NANOSECONDS.search(value)):
        whole += int(found[1].ljust(3, "0"))
    return whole


def _has_stack_as_text(exception: object) -> bool:
    """Whether it is another producer's object, of which not everything is in the text of a traceback."""
    return isinstance(exception, dict) and isinstance(exception.get("stack"), str)


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, timezone.utc).isoformat()
