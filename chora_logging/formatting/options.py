"""Validates the options of `EventFormatter`, which would otherwise fail at the first record or be misread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chora_logging.errors import ConfigurationError
from chora_logging.formatting import timestamps
from chora_logging.options import parse_choice, parse_fields, parse_flag

_STYLES = ("%", "{", "$", ",")
_MAPPINGS = ("rename_fields", "static_fields", "defaults")
_FLAGS = ("rename_fields_keep_missing", "exc_info_as_array", "stack_info_as_array")


def check_format(fmt: Any, style: Any, timestamp_format: Any, json_default: Any) -> None:
    """Check the options that are used as they are.

    Raises:
        ConfigurationError: one of them is invalid.
    """
    if fmt is not None and (not isinstance(fmt, Sequence) or isinstance(fmt, bytes)):
        raise ConfigurationError("fmt", fmt, "a format or a list of field names")
    parse_choice("style", style, _STYLES)
    if timestamp_format is not None:
        parse_choice("timestamp_format", timestamp_format, tuple(timestamps.FORMATS))
    if json_default is not None and not callable(json_default):
        raise ConfigurationError("json_default", json_default, "callable")


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
    reserved = parsed.get("reserved_attrs")
    # A text would be taken for a list of letters.
    if reserved is not None and (isinstance(reserved, str) or not isinstance(reserved, Iterable)):
        raise ConfigurationError("reserved_attrs", reserved, "a list of names")
    if not isinstance(parsed.get("prefix", ""), str):
        raise ConfigurationError("prefix", parsed["prefix"], "text")
    return parsed
