"""Which fields a record gives, and which of two fields of one name keeps it.

The one rule of collision: the line's own fields (its time, level and logger, its message, exception
and stack, the static fields) keep their names; a caller's field that comes under one of them gets an
underscore appended, until the name is free. So nothing is lost, and no caller passes for another.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator, Mapping
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.defaults import unknown_default

from chora_logging.formatting.values import plain_key, plain_text
from chora_logging.schema import FIELDS_ATTRIBUTE

_blank = tuple(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)

#: The attributes that this Python's records have themselves, in their order; the caller's follow.
STANDARD_ORDER = _blank

#: Those and the two that formatters add.
STANDARD = frozenset(_blank) | {"message", "asctime"}

#: Attributes of records that python-json-logger knows nothing of: what a later Python brings.
UNKNOWN_STANDARD = STANDARD - {*RESERVED_ATTRS, "taskName"}


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are one and the same thing to a reader."""
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # an array compares to an array, an odd object to nothing
        return False


def add_caller_field(fields: dict[str, Any], name: str, value: Any) -> None:
    """Add a field that the caller may have given twice: equal ones once, others with an underscore."""
    while name in fields and not same(fields[name], value):
        name += "_"
    fields[name] = value


def extra_fields(attributes: Mapping[Any, Any], reserved: Container[str]) -> Iterator[tuple[Any, Any]]:
    """Yield what the caller gave with `extra`, in the caller's order.

    `taskName` without a value is as good as absent, and attributes of future Pythons are nobody's field.
    """
    for name, value in attributes.items():
        if name in reserved or name in UNKNOWN_STANDARD or name == FIELDS_ATTRIBUTE:
            continue
        if name == "taskName" and value is None:
            continue
        yield name, value
    further = attributes.get(FIELDS_ATTRIBUTE)
    if isinstance(further, dict):
        yield from further.items()


def text_of(value: Any) -> str:
    """Return *value* as text, also when it refuses."""
    if isinstance(value, str):
        return str.__str__(value)
    return plain_text(unknown_default(value))


def describe(error: BaseException) -> str:
    """Return an exception as `Type: text`."""
    return f"{type(error).__name__}: {text_of(error)}"


def rendered_message(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """Return the message with its arguments filled in, and further fields where that loses something.

    When the arguments do not fit, the message is as the caller wrote it and `args` and `format_error`
    tell the rest. One mapping as arguments, with no placeholder to take from it, is kept as `args`.
    """
    try:
        message = text_of(record.getMessage())
    except Exception as error:
        arguments = record.args
        kept = arguments if isinstance(arguments, dict) else _listed(arguments)
        return text_of(record.msg), {"args": kept, "format_error": describe(error)}
    arguments = record.args
    if arguments and not isinstance(arguments, tuple) and "%(" not in text_of(record.msg):
        return message, {"args": arguments}
    return message, {}


def _listed(arguments: Any) -> list[Any]:
    return list(arguments) if isinstance(arguments, (tuple, list)) else [arguments]


def exception_of(record: logging.LogRecord) -> Any:
    """Return the record's exception as `formatException` takes it, or `None` when it has none."""
    info: Any = record.exc_info
    if isinstance(info, BaseException):
        return type(info), info, info.__traceback__
    if isinstance(info, tuple) and len(info) == 3 and info[1] is not None:
        return info
    return None


def claim(fields: dict[str, Any], taken: Container[str], caller: Mapping[str, Any]) -> None:
    """Add the *caller* fields to *fields*, giving way where *fields* or *taken* has the name."""
    for name, value in caller.items():
        key = name
        while key in fields or key in taken or (key != name and key in caller):
            key += "_"
        fields[key] = value


def output_name(rename: Mapping[Any, str], *names: Any) -> str:
    """Return what a field is called in the line: the first of its *names* that is renamed says it."""
    for name in names:
        if name in rename:
            return plain_text(rename[name])
    return names[0] if type(names[0]) is str else plain_key(names[0])
