"""Validates the options of `EventFormatter`, which would otherwise fail at the first record or be misread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chora_logging.errors import ConfigurationError
from chora_logging.formatting import timestamps
from chora_logging.options import check_callable, parse_choice, parse_fields, parse_flag

if TYPE_CHECKING:
    from chora_logging.formatting.layouts import Layout

_STYLES = ("%", "{", "$", ",")
_MAPPINGS = ("rename_fields", "static_fields", "defaults")
#: The options that say what a layout says.
_WITHOUT_LAYOUT = (
    *("fmt", "datefmt", "timestamp", "timestamp_format", "rename_fields", "rename_fields_keep_missing"),
    *("exc_info_as_array", "exc_info_as_object"),
)
_FLAGS = ("rename_fields_keep_missing", "exc_info_as_array", "stack_info_as_array", "exc_info_as_object")


def check_format(
    fmt: Any = None,
    datefmt: Any = None,
    style: Any = "%",
    timestamp_format: Any = None,
    json_default: Any = None,
) -> None:
    """Check the options that are used as they are.

    Raises:
        ConfigurationError: one of them is invalid.
    """
    if fmt is not None and (not isinstance(fmt, Sequence) or isinstance(fmt, bytes)):
        raise ConfigurationError("fmt", fmt, "a format or a list of field names")
    if not isinstance(datefmt, str | None):
        raise ConfigurationError("datefmt", datefmt, "a format of time.strftime")
    parse_choice("style", style, _STYLES)
    if timestamp_format is not None:
        parse_choice("timestamp_format", timestamp_format, tuple(timestamps.FORMATS))
    check_callable("json_default", json_default)


def checked_layout(name: Any, **options: Any) -> Layout | None:
    """Return the layout *name*, and check that none of *options* is set that chooses names in another way.

    Raises:
        ConfigurationError: it is unknown, or there is such an option.
    """
    if name is None:
        return None
    from chora_logging.formatting.layouts import LAYOUTS  # only those who use one pay for them

    parse_choice("layout", name, tuple(LAYOUTS))
    for option in _WITHOUT_LAYOUT:
        if options.get(option):
            raise ConfigurationError(option, options[option], f"left out, because layout={name!r} says it")
    return LAYOUTS[name]


def parse_inherited(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the *options* of python-json-logger with the types that it expects.

    Raises:
        ConfigurationError: one of them is invalid.
    """
    parsed = dict(options)
    for name in _MAPPINGS:
        if parsed.get(name) is not None:
            parsed[name] = parse_fields(name, parsed[name])
    for name in _FLAGS:
        if name in parsed:
            parsed[name] = parse_flag(name, parsed[name])
    if not all(isinstance(new, str) for new in (parsed.get("rename_fields") or {}).values()):
        raise ConfigurationError("rename_fields", parsed["rename_fields"], "a mapping of names to names")
    if not all(isinstance(field, str) for field in parsed.get("static_fields") or {}):
        raise ConfigurationError("static_fields", parsed["static_fields"], "a mapping of names to values")
    if not isinstance(parsed.get("timestamp", False), bool | str):
        raise ConfigurationError("timestamp", parsed["timestamp"], "true, false or the name of a field")
    reserved = parsed.get("reserved_attrs")
    # A text would be taken for a list of letters.
    if reserved is not None and (isinstance(reserved, str) or not isinstance(reserved, Iterable)):
        raise ConfigurationError("reserved_attrs", reserved, "a list of names")
    if not isinstance(parsed.get("prefix", ""), str):
        raise ConfigurationError("prefix", parsed["prefix"], "text")
    return parsed
