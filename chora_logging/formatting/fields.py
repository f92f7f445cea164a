"""Collects the fields of a line from a record, orders them and resolves name collisions.

The fields go into a dict in one of two layouts, the event layout or python-json-logger's; the dict
becomes the line.

The rule for collisions: the line's own fields (its time, level and logger, its message, exception
and stack, the static fields) keep their names. Underscores are appended to the name of a caller's field
until it is free. So no value is lost, and no caller can forge a field of the line.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS, BaseJsonFormatter
from pythonjsonlogger.defaults import unknown_default

from chora_logging.formatting.values import free_name, plain, plain_key, plain_text
from chora_logging.schema import DEFAULT_EVENT, FIELDS_ATTRIBUTE, ORCHESTRATOR_LOGGER, SETTLED_ATTRIBUTE

_blank = tuple(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)

#: The attributes that every record of this Python has, in their order; the caller's follow.
STANDARD_ORDER = _blank

#: These and the two that formatters add.
STANDARD = frozenset(_blank) | {"message", "asctime"}

#: The standard attributes that python-json-logger does not reserve: those of later Pythons.
UNKNOWN_STANDARD = STANDARD - {*RESERVED_ATTRS, "taskName"}

#: Writes a line in the layout of another log store: gets a prepared record, its time, the caller's fields and
#: the static fields.
Write = Callable[[logging.LogRecord, Any, "dict[str, Any]", Mapping[str, Any]], "dict[str, Any]"]

_NEVER_FIELDS = UNKNOWN_STANDARD | {FIELDS_ATTRIBUTE, SETTLED_ATTRIBUTE}

#: The caller's fields with a fixed position, between the logger and the message.
PLACED = ("event", "task_id", "run_id", "trace_id")


def layout_names(rename: Mapping[Any, str], timestamp: bool | str) -> dict[str, str]:
    """Return the name in the line of each field of the event layout."""
    names = {name: output_name(rename, name) for name in (*PLACED, "message", "stack_info")}
    stamp = timestamp if isinstance(timestamp, str) else "timestamp"
    names["timestamp"] = output_name(rename, stamp, "timestamp", "asctime")
    names["level"] = output_name(rename, "level", "levelname")
    names["logger"] = output_name(rename, "logger", "name")
    names["exception"] = output_name(rename, "exception", "exc_info")
    return names


class Arrangement:
    """Collects the fields of records by the options of one formatter.

    Args:
        formatter: The formatter with the options.
        reserved: The record attributes that are not fields.
        events: Whether to use the event layout; otherwise python-json-logger's.
        write: Writes lines in the layout of another log store instead.
    """

    def __init__(
        self,
        formatter: BaseJsonFormatter,
        reserved: Container[str],
        events: bool,
        write: Write | None = None,
    ) -> None:
        self.formatter = formatter
        self.reserved = reserved
        self.events = events
        self._write = write
        self.add = self.add_written if write else self.add_layout if events else self.add_chosen
        self.names = layout_names(formatter.rename_fields, formatter.timestamp)

    def add_layout(
        self,
        line: dict[str, Any],
        record: logging.LogRecord,
        message: Mapping[Any, Any],
        stamp: Any,
    ) -> None:
        """Add the fields of the event layout: time, level, logger, `PLACED` fields, message, the rest."""
        names, static = self.names, self._renamed(self.formatter.static_fields)
        caller = self._caller(record.__dict__, message)
        tail = self._tail(record)
        line[names["timestamp"]] = stamp
        line[names["level"]] = record.levelname
        line[names["logger"]] = record.name
        for field in PLACED:
            name = names[field]
            if name in static:
                line[name] = static[name]
            elif name in caller:
                line[name] = caller.pop(name)
            elif field == "event" and record.name == ORCHESTRATOR_LOGGER:
                line[name] = DEFAULT_EVENT
        if not issubclass(type(record.msg), dict):
            line[names["message"]] = record.message
        elif names["message"] in caller:
            line[names["message"]] = caller.pop(names["message"])
        line.update(static)
        claim(line, tail, caller)
        line.update(tail)
        self._keep_missing(line)

    def add_chosen(
        self,
        line: dict[str, Any],
        record: logging.LogRecord,
        message: Mapping[Any, Any],
        stamp: Any,
    ) -> None:
        """Add the fields that python-json-logger writes for the same options, in its order.

        The line's own fields are protected as in the event layout: the required fields that are
        attributes of the record itself, the static fields, the timestamp. Its message, exception and
        stack are not protected: the caller may set them.
        """
        formatter, attributes = self.formatter, record.__dict__
        line.update(self._renamed(formatter.defaults))
        own = set()
        for field in formatter._required_fields:
            name = output_name(formatter.rename_fields, field)
            line[name] = attributes.get(field)
            if field in STANDARD and field not in ("message", "exc_info", "stack_info"):
                own.add(name)
        static = self._renamed(formatter.static_fields)
        line.update(static)
        own.update(static)
        if formatter.timestamp:
            timestamp = formatter.timestamp if isinstance(formatter.timestamp, str) else "timestamp"
            own.add(output_name(formatter.rename_fields, timestamp))
        given = self._renamed(message)
        reserved = dict.fromkeys(own)
        caller: dict[str, Any] = {}
        for key, value in extra_fields(attributes, self.reserved):
            if isinstance(key, str) and key.startswith("_"):
                continue
            if key in ("exc_info", "stack_info") and key in message:
                continue
            caller[free_name(output_name(formatter.rename_fields, key), caller)] = value
        for name, value in given.items():
            if name in own or (name in caller and not same(caller[name], value)):
                name = free_name(name, {**caller, **given, **reserved})
            line[name] = value
        for name, value in caller.items():
            line[free_name(name, {**caller, **line, **reserved}) if name in own else name] = value
        if formatter.timestamp:
            line[output_name(formatter.rename_fields, timestamp)] = stamp
        self._keep_missing(line)

    def add_written(
        self,
        line: dict[str, Any],
        record: logging.LogRecord,
        message: Mapping[Any, Any],
        stamp: Any,
    ) -> None:
        """Add the fields of the layout of another log store."""
        caller = self._caller(record.__dict__, message)
        if "event" not in caller and record.name == ORCHESTRATOR_LOGGER:
            caller["event"] = DEFAULT_EVENT
        if self._write is not None:
            line.update(self._write(record, stamp, caller, self._renamed(self.formatter.static_fields)))

    def add_event(self, line: dict[str, Any], record: logging.LogRecord, event: Any) -> None:
        """Add a telemetry event's own fields, then the record's other fields."""
        try:
            line.update(strictly_read(event.model_dump_json()))
        except Exception:
            line.update(_dumped(event))
        trace_id = record.__dict__.get("trace_id")
        if line.get("trace_id", "") is None and trace_id is not None:
            line["trace_id"] = trace_id
        tail = self._tail(record)
        caller = self._caller(record.__dict__, {})
        caller.pop(self.names["trace_id"], None)
        claim(line, tail, self._renamed(self.formatter.static_fields))
        claim(line, tail, caller)
        line.update(tail)

    def _caller(self, attributes: Mapping[Any, Any], message: Mapping[Any, Any]) -> dict[str, Any]:
        """Return the caller's fields by their names in the line."""
        rename = self.formatter.rename_fields
        caller: dict[str, Any] = {}
        for key, value in extra_fields(attributes, self.reserved):
            if key != "trace_id" or value is not None:
                caller[free_name(output_name(rename, key), caller)] = value
        for key, value in message.items():
            if key != "trace_id" or value is not None:
                add_caller_field(caller, output_name(rename, key), value)
        missing = {
            name: value
            for name, value in self._renamed(self.formatter.defaults).items()
            if name not in caller
        }
        return {**missing, **caller}

    def _tail(self, record: logging.LogRecord) -> dict[str, Any]:
        tail: dict[str, Any] = {}
        if record.exc_text:
            tail[self.names["exception"]] = record.exc_text
        if record.stack_info:
            tail[self.names["stack_info"]] = record.stack_info
        return tail

    def _renamed(self, fields: Mapping[Any, Any]) -> dict[str, Any]:
        rename = self.formatter.rename_fields
        renamed: dict[str, Any] = {}
        for key, value in fields.items():
            add_caller_field(renamed, output_name(rename, key), value)
        return renamed

    def _keep_missing(self, line: dict[str, Any]) -> None:
        if self.formatter.rename_fields_keep_missing:
            for name in self.formatter.rename_fields.values():
                line.setdefault(name, None)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are identical, or have the same type and are equal."""
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # comparing arrays gives an array; other types may raise
        return False


def add_caller_field(fields: dict[str, Any], name: str, value: Any) -> None:
    """Add a field; if the name has another value already, append underscores until it is free."""
    while name in fields and not same(fields[name], value):
        name += "_"
    fields[name] = value


def extra_fields(attributes: Mapping[Any, Any], reserved: Container[str]) -> Iterator[tuple[Any, Any]]:
    """Yield the caller's fields from `extra`, in the caller's order.

    `taskName` counts as absent when it is None. Record attributes of future Pythons are not fields.
    """
    for name, value in attributes.items():
        if name in reserved or name in _NEVER_FIELDS:
            continue
        if name == "taskName" and value is None:
            continue
        yield name, value
    further = attributes.get(FIELDS_ATTRIBUTE)
    if isinstance(further, dict):
        yield from further.items()


def message_fields(message: Any) -> dict[Any, Any] | None:
    """Return a copy of the fields of a dict message or of a proxy of one, `None` for another message.

    A proxy, such as werkzeug's LocalProxy, claims to be a dict but `dict.items` does not take it.
    """
    if issubclass(type(message), dict):
        return dict(dict.items(message))
    try:
        return dict(message.items()) if isinstance(message, dict) else None
    except Exception:  # a mock, or an object that raises
        return None


def text_of(value: Any) -> str:
    """Return *value* as text; never raises an `Exception`."""
    if issubclass(type(value), str):
        return str.__str__(value)
    return plain_text(unknown_default(value))


def describe(error: BaseException) -> str:
    """Return *error* as `Type: text`."""
    return f"{type(error).__name__}: {text_of(error)}"


def rendered_message(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """Return the message with its arguments filled in, and fields for what does not fit into it.

    If formatting fails, the message is returned unformatted, with the fields `args` and `format_error`.
    A single mapping as arguments is returned as `args` if the message has no placeholder for it.
    """
    try:
        message = text_of(record.getMessage())
    except Exception as error:
        arguments = record.args
        kept = arguments if isinstance(arguments, dict) else _listed(arguments)
        return text_of(record.msg), {"args": kept, "format_error": describe(error)}
    arguments = record.args
    if arguments and not isinstance(arguments, tuple) and "%" not in text_of(record.msg).replace("%%", ""):
        return message, {"args": arguments}
    return message, {}


def _listed(arguments: Any) -> list[Any]:
    return list(arguments) if isinstance(arguments, (tuple, list)) else [arguments]


def exception_of(record: logging.LogRecord) -> Any:
    """Return the record's exception as the tuple that `formatException` takes, or `None`."""
    info: Any = record.exc_info
    if isinstance(info, BaseException):
        return type(info), info, info.__traceback__
    if isinstance(info, tuple) and len(info) == 3 and info[1] is not None:
        return info
    return None


def claim(fields: dict[str, Any], taken: Container[str], caller: Mapping[str, Any]) -> None:
    """Add the *caller* fields to *fields*, with underscores if *fields* or *taken* has the name."""
    for name, value in caller.items():
        key = name
        while key in fields or key in taken or (key != name and key in caller):
            key += "_"
        fields[key] = value


def output_name(rename: Mapping[Any, str], *names: Any) -> str:
    """Return the name of a field in the line: renamed by the first of *names* in *rename*, if any."""
    for name in names:
        if name in rename:
            return plain_text(rename[name])
    return names[0] if type(names[0]) is str else plain_key(names[0])


def strictly_read(text: str) -> dict[str, Any]:
    """Return the JSON object in *text*.

    Raises:
        ValueError: It is not a single object, or it has NaN, infinities or a repeated key.
    """
    fields = json.loads(text, parse_constant=_refused, object_pairs_hook=_unique)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    return fields


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is repeated")
    return fields


def _dumped(event: Any) -> dict[str, Any]:
    """Return the fields of an event whose `model_dump_json` failed."""
    try:
        fields = plain(event.model_dump())
    except Exception:
        fields = plain(getattr(event, "__dict__", None))
    return fields if isinstance(fields, dict) else {"event": fields}
