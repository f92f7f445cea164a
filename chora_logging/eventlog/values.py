"""Compares the values of fields with text, and gives values as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_CONSTANTS = ("true", "false", "null")


def equals(text: str) -> Callable[[Any], bool]:
    """Return the test whether a value is *text*, has it as its `str()`, or is it in JSON notation.

    >>> [equals("5")(value) for value in (5, "5", 5.0)], equals("true")(True)
    ([True, True, False], True)
    """
    meant = as_json(text)

    def is_equal(value: Any) -> bool:
        return value == text or str(value) == text or (value == meant and type(value) is type(meant))

    return is_equal


def text_of(value: Any) -> str:
    """Return *value* as text: a string as it is, anything else as JSON without spaces."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return ""


def as_json(text: str) -> object:
    """Return *text* parsed as a JSON constant, list or object, else an object that equals no value."""
    try:
        return json.loads(text) if text in _CONSTANTS or text[:1] in ("[", "{") else object()
    except (ValueError, RecursionError):
        return object()
