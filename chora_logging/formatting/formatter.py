"""Formats records as lines of JSON."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Container, Sequence
from datetime import datetime, timezone
from typing import Any, cast

from msgspec import UNSET
from pythonjsonlogger.core import BaseJsonFormatter

from chora_logging import speedups
from chora_logging.errors import ConfigurationError
from chora_logging.formatting import timestamps
from chora_logging.formatting.fields import (
    STANDARD,
    STANDARD_ORDER,
    Arrangement,
    exception_of,
    message_fields,
    rendered_message,
    strictly_read,
    text_of,
)
from chora_logging.formatting.last_resort import NO_STACK_LEFT, last_resort
from chora_logging.formatting.options import check_format, checked_layout, parse_inherited
from chora_logging.formatting.planned import HOOKS, SMALLEST_MAX_BYTES, PlannedFormatter
from chora_logging.formatting.plans import Plans
from chora_logging.formatting.values import LineEncoder, default, sound
from chora_logging.options import checked_names, parse_flag, parse_size
from chora_logging.schema import EVENT_MARK, LAYOUT, ORCHESTRATOR_LOGGER, SETTLED_ATTRIBUTE

# Attributes that are never fields, whatever reserved_attrs is: the event layout has its own form of them.
_NEVER_EXTRA = {"exc_info", "exc_text", "stack_info", "message", "asctime"}

_get_message = logging.LogRecord.getMessage


class EventFormatter(PlannedFormatter):
    """Write each record as one line of strict JSON.

    Without *fmt* a line is `timestamp`, `level`, `logger`, `event`, `task_id`, `run_id`, `trace_id`,
    `message`, then the caller's fields, then `exception` and `stack_info`; fields that a record does not
    have are left out. With *fmt* it has the fields that python-json-logger writes for the same options.
    Callers pass fields with `extra=…` or as a dict message. A `TelemetryEvent` as the message is
    written as the event's own JSON.

    Promised, for any record: one line, valid JSON, no repeated key, nothing raised, the record and the
    caller's objects unchanged. If a caller's field has the name of one of the line's own fields, an
    underscore is appended to it. Values that JSON does not support are replaced:

    ===============================  =========================================================
    value                            becomes
    ===============================  =========================================================
    NaN, infinities                  null
    integers over 4300 digits        text, hexadecimal: `"0x…"`
    bytes                            text, base64
    unpaired surrogates              text with a backslash: `"\\\\udc80"`
    keys that are not text           text; an underscore is appended to a repeated one
    sets, tuples                     arrays
    enums                            their value
    dataclasses, structs             objects
    an object that contains itself   `"<circular reference>"`
    deeper than 100 levels           `"<nested too deep>"`
    dates, times, durations          text, ISO 8601
    exceptions; classes              `"Type: text"`; their name
    anything else                    its `str`; generators and other iterators are not consumed
    … whose `str` raises             its `repr`, or `"__could_not_encode__"` if that raises too
    ===============================  =========================================================

    An option that is changed or a method that is replaced later holds from the next record on. A copy or
    a pickle is a formatter of its own.

    Not promised: integers beyond 2⁵³ are written in full, and JavaScript rounds them. Without *fmt*,
    fields whose names begin with an underscore are written; with it they are dropped, as
    python-json-logger does.

    Args:
        fmt: A format string or a list of the fields to write; `None` for the layout above.
        datefmt: A time format for `time.strftime`; wins over *timestamp_format*.
        style: The style of *fmt*: `%`, `{`, `$` or `,`.
        validate: Raise for a *fmt* that does not match *style*.
        prefix: Text before the JSON.
        rename_fields: Other names for fields. Without *fmt*, the names of the layout and
            python-json-logger's (`levelname`, `name`, `exc_info`, `asctime`) both work as keys.
        rename_fields_keep_missing: Write renamed fields that a record does not have as null.
        static_fields: Fields of every line; callers cannot change them.
        reserved_attrs: The record attributes that are not fields.
        timestamp: The name of the timestamp; with *fmt*, False for none or True for `timestamp`.
        defaults: Fields of every line unless the caller sets them.
        exc_info_as_array: Write exceptions as an array of lines.
        stack_info_as_array: Write stacks as an array of lines.
        exc_info_as_object: Write exceptions as objects: type, message, frames, causes, members of groups; see
            `chora_logging.formatting.exceptions`. A record without its exception has text.
        layout: The layout of another log store: `ecs`, `gcp` or `otel`, see
            `chora_logging.formatting.layouts`. Only without *fmt* and other options that choose names.
        json_default: Called with each object that JSON does not support; returns a replacement.
        timestamp_format: `rfc3339` (UTC, microseconds, `Z`), `local` (ISO 8601 without a zone) or
            `epoch` (seconds, a number). `None` is `rfc3339`; with *fmt*, python-json-logger's form.
        max_bytes: The length limit of a line, at least 512; an int in bytes, or a string such as
            `"64kB"`. In a longer line texts are cut and `"truncated": true` is added.

    Raises:
        ConfigurationError: An option is invalid or unknown.

    Example:
        >>> record = logging.makeLogRecord({"name": "app", "levelname": "INFO", "msg": "hi", "created": 0.5})
        >>> EventFormatter().format(record)
        '{"timestamp":"1970-01-01T00:00:00.500000Z","level":"INFO","logger":"app","message":"hi"}'
    """

    _encoding: tuple[Any, ...]  # what the compiled writer is made from

    @checked_names(BaseJsonFormatter.__init__)
    def __init__(
        self,
        fmt: str | Sequence[str] | None = None,
        datefmt: str | None = None,
        style: str = "%",
        validate: bool = True,
        *,
        json_default: Callable[[Any], Any] | None = None,
        timestamp_format: str | None = None,
        max_bytes: int | str | None = None,
        layout: str | None = None,
        exc_info_as_object: bool | str = False,
        **options: Any,
    ) -> None:
        check_format(fmt, datefmt, style, timestamp_format, json_default)
        names = {"fmt": fmt, "datefmt": datefmt, "timestamp_format": timestamp_format}
        checked_layout(layout, **names, exc_info_as_object=exc_info_as_object, **options)
        validate, options = parse_flag("validate", validate), parse_inherited(options)
        if max_bytes is not None:
            max_bytes = parse_size("max_bytes", max_bytes, SMALLEST_MAX_BYTES)
        if not fmt and isinstance(fmt, str):
            fmt = None  # an empty value in a configuration file
        try:
            super().__init__(fmt, datefmt, style, validate, **options)
        except (ValueError, KeyError) as error:
            raise ConfigurationError(
                "fmt", fmt, f"a list of field names or a format in style {style!r} ({error})"
            ) from error
        self.exc_info_as_object = exc_info_as_object
        if self.exc_info_as_object and self.exc_info_as_array:
            raise ConfigurationError("exc_info_as_array", True, "left out, because exc_info_as_object is set")
        self.json_default: Callable[[Any], Any] = json_default or default
        self.timestamp_format = timestamp_format
        self.max_bytes: int | None = max_bytes
        self.layout = layout
        self._layout = fmt is None
        self._own_reserved = options.get("reserved_attrs") is not None
        self._plan()

    def _plan(self) -> None:
        """Compute once the parts that every record needs."""
        changed = {name for name in HOOKS if name in self.__dict__}
        own = changed | {n for n in HOOKS if getattr(type(self), n) is not getattr(EventFormatter, n)}
        self._own_time = "formatTime" in own or self.datefmt is not None
        skipped: Container[str] = self._skip_fields
        if self._layout:
            skipped = self.reserved_attrs | _NEVER_EXTRA if self._own_reserved else STANDARD
        self._other = other = checked_layout(self.layout)
        self._exception_object = _exception_object() if self.exc_info_as_object else None
        self._arrangement = Arrangement(self, skipped, self._layout, None if other is None else other.write)
        kept = [self._arrangement.names[name] for name in LAYOUT] if other is None else other.kept
        self._lines = LineEncoder(self.json_default, self.max_bytes, kept)
        self._quick = self._lines.quick
        self._clock = timestamps.FORMATS[self.timestamp_format or "rfc3339"]
        if self.timestamp_format is None and not self._layout:
            self._clock = _datetime
        #: Formats lines, and writes them for the handler, if the C extension is in use.
        self.writer: speedups.LineWriter | None = self._compiled_writer() if speedups.in_use else None
        self._plans = Plans(self._arrangement, self.writer)
        self._known = self._plans.known
        by_hand = self._own_time if self._layout else "asctime" in self._required_fields
        self._straight_on = not (own or self.prefix or by_hand or other)
        self.__dict__.pop("encode", None)
        if "format" in changed:  # handlers call `encode`
            self.encode = lambda record: self.format(record).encode(errors="backslashreplace")  # type: ignore[method-assign]

    def prints(self, attribute: str) -> bool:
        """Return whether lines have the standard record *attribute*."""
        if not self._layout and attribute in self._required_fields:
            return True
        if self._other is not None and attribute in self._other.attributes:
            return True
        return attribute not in self._arrangement.reserved

    def _compiled_writer(self) -> speedups.LineWriter:
        """Return a writer without plans: the former one, which handlers have, if it encodes alike."""
        former, encoding = self.__dict__.get("writer"), (self.json_default, self.max_bytes, self._clock)
        if former is not None:
            self._plans.writer = None  # a thread that makes one of the former plans must not teach it
            former.forget()
            if self._encoding == encoding:
                return cast("speedups.LineWriter", former)
        self._encoding = encoding
        return speedups.LineWriter(
            STANDARD_ORDER,
            ORCHESTRATOR_LOGGER,
            self._quick,
            self._lines.value,
            self._lines.finish_value,
            self._lines.finish,
            self._clock,
            self._clock is timestamps.rfc3339,
            self.max_bytes or 0,
        )

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as one line, without a newline."""
        try:
            return type(self).encode(self, record).decode()  # not one that `_plan` has set
        except RecursionError:  # the stack is too full for this call
            return NO_STACK_LEFT.decode()

    def encode(self, record: logging.LogRecord) -> bytes:
        """Return *record* as one line in UTF-8, without a newline, for handlers that write bytes."""
        if self._straight_on and type(record).getMessage is _get_message:
            try:
                writer = self.writer
                if writer is not None:
                    line = writer.line(record.__dict__)
                    if line is not None:
                        return line
                line = self._straight(record)
                if line is not None:
                    return line
            except Exception:
                pass  # the slow path handles the value that raised and keeps the others
        try:
            return self._carefully(record).encode()
        except Exception as error:
            try:
                return last_resort(record, error)
            except Exception:  # the stack is too full for this call
                return NO_STACK_LEFT

    def _straight(self, record: logging.LogRecord) -> bytes | None:
        """Return the line of a plain record (the fast path), or `None` if it needs the slow path."""
        attributes = record.__dict__
        message = record.msg
        if type(message) is not str:
            if self._layout and getattr(type(message), EVENT_MARK, False):
                return self._bare_event(record, message)
            return None
        if record.exc_info is not None or record.exc_text is not None or record.stack_info is not None:
            return None
        names = tuple(attributes)
        orchestrator = record.name == ORCHESTRATOR_LOGGER
        plan = self._known[orchestrator].get(names) or self._plans.make(names, orchestrator)
        if plan is None:
            return None
        if plan.leads:
            line = plan.line(self._clock(record.created), *plan.values(attributes))
        else:
            line = plan.line(*plan.values(attributes))
            if plan.stamp:
                setattr(line, plan.stamp, self._clock(record.created))
        if record.args:
            if type(record.args) is not tuple or not plan.message:
                return None
            text = message % record.args
            setattr(line, plan.message, text if type(text) is str else text_of(text))
        for name, value in plan.constants:
            setattr(line, name, value)
        if plan.trace_id is not None and attributes["trace_id"] is None:
            setattr(line, plan.trace_id, UNSET)
        encoded = self._quick(line)
        if (self.max_bytes is not None and len(encoded) > self.max_bytes) or not sound(encoded):
            return self._lines.finish(encoded)
        return encoded

    def _bare_event(self, record: logging.LogRecord, event: Any) -> bytes | None:
        """Return an event's own JSON, or `None` if the record has more fields or needs the slow path."""
        attributes = record.__dict__
        extras = len(attributes) - len(STANDARD_ORDER)
        extras -= ("trace_id" in attributes) + (SETTLED_ATTRIBUTE in attributes)
        if extras or record.exc_info or record.exc_text or record.stack_info or self.static_fields:
            return None
        if event.trace_id is None and attributes.get("trace_id") is not None:
            event = event.model_copy(update={"trace_id": attributes["trace_id"]})
        line: str = event.model_dump_json()
        encoded = line.encode()
        if self.max_bytes is not None and len(encoded) > self.max_bytes:
            return None
        # An event's class may write what JSON forbids: NaN, a repeated key in a nested dict, several lines.
        if "\n" in line or line[:1] != "{":
            return None
        if "NaN" in line or "Infinity" in line or line.find("{", 1) > 0:
            strictly_read(line)
        return encoded

    def _carefully(self, record: logging.LogRecord) -> str:
        """Return the line of any record through python-json-logger's hooks (the slow path)."""
        prepared, message = self._prepared(record)
        fields: dict[str, Any] = {}
        if self._layout and self._other is None and getattr(type(record.msg), EVENT_MARK, False):
            self._arrangement.add_event(fields, prepared, record.msg)
        else:
            self.add_fields(fields, prepared, message)
        return self.serialize_log_record(self.process_log_record(fields))

    def _prepared(self, record: logging.LogRecord) -> tuple[logging.LogRecord, dict[Any, Any]]:
        """Return a copy of *record* with the attributes that formatters add, and its message's fields."""
        copied = _copy(record)
        message: dict[Any, Any]
        given = message_fields(record.msg) if type(record.msg) is not str else None
        if given is not None:
            copied.message, message = "", given
            if not issubclass(type(record.msg), dict):
                copied.msg = given
        elif getattr(type(record.msg), EVENT_MARK, False):
            copied.message, message = "", {}
            if not self._layout or self._other is not None:
                self._arrangement.add_event(message, logging.makeLogRecord({}), record.msg)
        else:
            copied.message, message = rendered_message(record)
        copied.exc_info = info = exception_of(record)
        exception: Any = self._exception_text(info) if info else self._as_array(record.exc_text)
        stack = self._stack_text(record.stack_info) if record.stack_info else None
        if self._layout:
            # These may be arrays of lines, by option; in the standard library they are text.
            copied.exc_text, copied.stack_info = exception, stack  # type: ignore[assignment]
            return copied, message
        if "asctime" in self._required_fields:
            copied.asctime = self.formatTime(record, self.datefmt)
        for name, text in (("exc_info", exception), ("stack_info", stack)):
            if text and not message.get(name):
                message[name] = text
        return copied, message

    def _exception_text(self, info: Any) -> str | list[str] | dict[str, Any]:
        try:
            if self._exception_object is not None:
                return self._exception_object(info[1], info[2])
            return self.formatException(info)
        except Exception:
            return f"{getattr(info[0], '__name__', info[0])}: {text_of(info[1])}"

    def _stack_text(self, stack: Any) -> str | list[str]:
        try:
            return self.formatStack(stack)
        except Exception:
            return text_of(stack)

    def _as_array(self, text: Any) -> Any:
        return text.splitlines() if self.exc_info_as_array and isinstance(text, str) else text

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        """Add the fields of *record* to *log_data*; subclasses override it to add their own."""
        if self._layout:
            stamp, understood = self._stamp(record)
            if not understood:
                message_dict = {**message_dict, "created": record.created}
        else:
            stamp = self._stamp(record)[0] if self.timestamp else None
        self._arrangement.add(log_data, record, message_dict, stamp)

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return *log_data* as one line of JSON."""
        return self._lines.encode(log_data).decode()

    def _stamp(self, record: logging.LogRecord) -> tuple[Any, bool]:
        """Return the timestamp, and whether it is the record's own time; otherwise it is the current time."""
        try:
            if self._own_time and self._layout:
                return self.formatTime(record, self.datefmt), True
            return self._clock(record.created), True
        except Exception:
            return timestamps.rfc3339(time.time()), False


def _exception_object() -> Callable[..., dict[str, Any]]:
    from chora_logging.formatting.exceptions import exception_object  # only those who use it pay for it

    return exception_object


def _datetime(created: float) -> datetime:
    return datetime.fromtimestamp(created, tz=timezone.utc)


def _copy(record: logging.LogRecord) -> logging.LogRecord:
    try:
        return copy.copy(record)
    except Exception:  # a subclass that cannot be copied
        return logging.makeLogRecord(record.__dict__)
