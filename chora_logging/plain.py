"""Any object as plain values that JSON has: text, numbers, true, false, null, lists, dicts.

What the encoder does by itself for values that behave is done here for those that do not: cycles,
endless depth, halves of surrogate pairs, keys that are not text or collide, objects that raise. The
rules are python-json-logger's where it has one; the docstring of `EventFormatter` lists them.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Container, Iterable
from typing import Any

import msgspec
from pythonjsonlogger import defaults as _known

CIRCULAR = "<circular reference>"
TOO_DEEP = "<nested too deep>"
UNENCODABLE = "__could_not_encode__"

#: The levels of nesting that are kept at least.
DEPTH = 100

# CPython refuses to write more digits in decimal; the limit can be changed, the lines should not.
_DIGITS = 4300
_LARGEST = 10**_DIGITS

_BASES: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    float: float.__float__,
    int: int.__index__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
}


def default(value: Any) -> Any:
    """Return what stands for an object that the encoder does not know, as python-json-logger does."""
    if value is None or value is True or value is False:  # as a key: values of these JSON has
        return {None: "null", True: "true", False: "false"}[value]
    # Subclasses of the numbers, numpy.float64 for one, are numbers.
    for kind, as_base in _BASES.items():
        if isinstance(value, kind):
            return as_base(value)
    if _known.use_datetime_any(value):
        return _known.datetime_any(value)
    if _known.use_exception_default(value):
        return f"{type(value).__name__}: {_known.unknown_default(value)}"
    if _known.use_traceback_default(value):
        return _known.traceback_default(value)
    if _known.use_enum_default(value):
        return _known.enum_default(value)
    if _known.use_type_default(value):
        return _known.type_default(value)
    return _known.unknown_default(value)


_encode = msgspec.json.Encoder(enc_hook=default).encode
_encode_known = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def plain(value: Any, hook: Callable[[Any], Any] = default) -> Any:
    """Return *value* as new plain values; it and what it holds are left as they were.

    Never raises an `Exception`, whatever the value does when it is looked at.

    Args:
        value: Any object.
        hook: Called with each object of a type that JSON has no form for; what it returns is made
            plain in turn. Where it raises, `str` of the object is taken.
    """
    try:
        return _Walk(hook).value(value, 0)
    except Exception:  # the stack was nearly full before the first step
        return UNENCODABLE


def plain_text(value: str) -> str:
    """Return *value* as text that UTF-8 can carry."""
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def plain_key(key: Any) -> str:
    """Return the text that stands for the *key* of a dict, which need not be text."""
    kind = type(key)
    if kind is str:
        return plain_text(key)
    try:
        if kind is int:
            return str(_whole(key))
        text: str = next(iter(_decode(_encode({key: 0}))))
    except Exception:
        return plain_text(_known.unknown_default(key))
    return text


def free_name(name: str, taken: Container[str]) -> str:
    """Return *name*, with underscores appended until it is not *taken*."""
    while name in taken:
        name += "_"
    return name


def _whole(value: int) -> int | str:
    return value if -_LARGEST < value < _LARGEST else hex(value)


class _Walk:
    """One pass over one value; *open* holds the containers that the pass is inside of."""

    __slots__ = ("hook", "open")

    def __init__(self, hook: Callable[[Any], Any]) -> None:
        self.hook = hook
        self.open: set[int] = set()

    def value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return plain_text(value)
        if kind is int:
            return _whole(value)
        if kind is float:
            return value if -math.inf < value < math.inf else None
        if depth > DEPTH:
            return TOO_DEEP
        if id(value) in self.open:
            return CIRCULAR
        self.open.add(id(value))
        try:
            return self.composed(value, kind, depth + 1)
        except RecursionError:
            return TOO_DEEP
        except Exception:
            return UNENCODABLE
        finally:
            self.open.discard(id(value))

    def composed(self, value: Any, kind: type, depth: int) -> Any:
        if issubclass(kind, enum.Enum):
            return self.value(value.value, depth)
        if issubclass(kind, str):
            return plain_text(value)
        # By the base class's own methods: those of a subclass may raise, or never end.
        if issubclass(kind, dict):
            return self.pairs(list(dict.items(value)), depth)
        for container in (list, tuple, set, frozenset):
            if issubclass(kind, container):
                return [self.value(item, depth) for item in list(container.__iter__(value))]
        fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__struct_fields__", None)
        if fields:
            return self.attributes(value, [*fields], depth)
        try:
            return _decode(_encode_known(value))
        except Exception:
            return self.unknown(value, depth)

    def pairs(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            result[free_name(plain_key(key), result)] = self.value(value, depth)
        return result

    def attributes(self, value: Any, names: list[str], depth: int) -> dict[str, Any]:
        result = {}
        for name in names:
            try:
                attribute = getattr(value, name)
            except AttributeError:
                continue
            except Exception:
                attribute = UNENCODABLE
            result[plain_text(name)] = self.value(attribute, depth)
        return result

    def unknown(self, value: Any, depth: int) -> Any:
        try:
            replacement = self.hook(value)
        except Exception:
            replacement = _known.unknown_default(value)
        return self.value(replacement, depth)
