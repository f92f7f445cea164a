"""Converts any object to plain JSON values, and encodes a dict of them as a line of limited length.

The encoder handles ordinary values by itself. This module handles the rest: cycles, excessive depth,
unpaired surrogates, keys that are not text or collide, objects that raise. The rules are those of
python-json-logger if it has one; the docstring of `EventFormatter` lists them.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Callable, Container, Iterable
from operator import countOf
from typing import Any

import msgspec
from pythonjsonlogger import defaults as _known

CIRCULAR = "<circular reference>"
TOO_DEEP = "<nested too deep>"
UNENCODABLE = "__could_not_encode__"

#: The levels of nesting that are always kept.
NESTED_LEVELS = 100

# The default limit of CPython for decimal digits. A program can change it; lines must not depend on it.
_LONGEST_INTEGER_DIGITS = 4300
_LARGEST_INTEGER = 10**_LONGEST_INTEGER_DIGITS

_BASES: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    float: float.__float__,
    int: int.__index__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
}

#: The field of a line that was cut.
TRUNCATED = "truncated"

_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def default(value: Any) -> Any:
    """Return the replacement for an object that the encoder does not support, as python-json-logger does."""
    if value is None or value is True or value is False:  # only keys: as values, JSON has them
        return {None: "null", True: "true", False: "false"}[value]
    # Subclasses of numbers, such as numpy.float64, are numbers.
    for kind, as_base in _BASES.items():
        if issubclass(type(value), kind):  # `isinstance` holds for proxies, which have no such base
            return as_base(value)
    if _known.use_datetime_any(value):
        return _known.datetime_any(value)
    if _known.use_exception_default(value):
        return f"{value.__class__.__name__}: {_known.unknown_default(value)}"
    if _known.use_traceback_default(value):
        return _known.traceback_default(value)
    if _known.use_enum_default(value):
        return _known.enum_default(value)
    if _known.use_type_default(value):
        return _known.type_default(value)
    return _known.unknown_default(value)


_encode = msgspec.json.Encoder(enc_hook=default).encode
_encode_plain = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def plain(value: Any, hook: Callable[[Any], Any] = default) -> Any:
    """Return *value* as new plain values; *value* and its contents are not changed.

    Never raises an `Exception`, even if methods of *value* do.

    Args:
        value: Any object.
        hook: Called with each object of a type that JSON does not support; its result is made plain
            in turn. If it raises, the object's `str` is used.
    """
    try:
        return Walk(hook).value(value, 0)
    except Exception:  # the stack was already nearly full
        return UNENCODABLE


def plain_text(value: str) -> str:
    """Return *value* as text that UTF-8 can encode, with unpaired surrogates escaped."""
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def plain_key(key: Any) -> str:
    """Return the JSON key for the *key* of a dict, which can be any object."""
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
    return value if -_LARGEST_INTEGER < value < _LARGEST_INTEGER else hex(value)


class Walk:
    """One pass over one value; *open* has the ids of the containers around the current value."""

    __slots__ = ("hook", "open")

    def __init__(self, hook: Callable[[Any], Any]) -> None:
        self.hook = hook
        self.open: set[int] = set()

    def value(self, value: Any, depth: int) -> Any:
        """Return *value*, which is inside *depth* others, as plain values."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return plain_text(value)
        if kind is int:
            return _whole(value)
        if kind is float:
            return value if -math.inf < value < math.inf else None
        if depth > NESTED_LEVELS:
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
        """Return a value that is neither text nor a number, of the type *kind*."""
        if issubclass(kind, enum.Enum):
            return self.value(value.value, depth)
        if issubclass(kind, str):
            return plain_text(value)
        # The base class's methods are used: those of a subclass may raise or never return.
        if issubclass(kind, dict):
            return self.pairs(list(dict.items(value)), depth)
        for container in (list, tuple, set, frozenset):
            if issubclass(kind, container):
                return [self.value(item, depth) for item in list(container.__iter__(value))]
        fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__struct_fields__", None)
        if fields:
            return self.attributes(value, [*fields], depth)
        try:
            return _decode(_encode_plain(value))
        except Exception:
            return self.unknown(value, depth)

    def pairs(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        """Return the keys and values of a dict."""
        result: dict[str, Any] = {}
        for key, value in pairs:
            result[free_name(plain_key(key), result)] = self.value(value, depth)
        return result

    def attributes(self, value: Any, names: list[str], depth: int) -> dict[str, Any]:
        """Return those of the attributes *names* that *value* has."""
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
        """Return what the hook makes of *value*."""
        try:
            replacement = self.hook(value)
        except Exception:
            replacement = _known.unknown_default(value)
        return self.value(replacement, depth)


class LineEncoder:
    """Encodes fields as a line: on a fast path for ordinary values, else on a slow path.

    The hook is called once for an object, unless the encoder refuses something of the line: a hook that
    raises, an object that contains itself, an unpaired surrogate.

    Args:
        hook: Called with each object of a type that JSON does not support.
        max_bytes: The length limit of a line in bytes, without its newline; `None` for no limit.
        kept: Fields that are cut last when a line is too long.
    """

    def __init__(
        self,
        hook: Callable[[Any], Any] = default,
        max_bytes: int | None = None,
        kept: Iterable[str] = (),
    ) -> None:
        self.hook = hook
        self.max_bytes = max_bytes
        self.kept = frozenset(kept)
        self.quick = msgspec.json.Encoder(enc_hook=hook).encode

    def encode(self, fields: dict[Any, Any]) -> bytes:
        """Return *fields* as one line, without a newline."""
        line = b""
        if countOf(map(type, fields), str) == len(fields):
            try:
                line = self.quick(fields)
                if not sound(line):
                    line = self.carefully(_unrepeated(line))
            except Exception:
                line = b""
        line = line or self.carefully(fields)
        return line if self.max_bytes is None else self._limited(line)

    def finish(self, line: bytes) -> bytes:
        """Return the encoded *line*, made sound and not too long without encoding its values again."""
        return self._limited(line if sound(line) else self.carefully(_unrepeated(line)))

    def value(self, value: Any) -> bytes:
        """Return a value that the encoder refused as JSON; for the compiled writer."""
        return encode_plain(plain(value, self.hook))

    def finish_value(self, encoded: bytes) -> bytes:
        """Return an *encoded* value made sound, as `finish` does; for the compiled writer."""
        if sound(b"[" + encoded + b"]"):
            return encoded
        return encode_plain(plain(_unrepeated(encoded)))

    def _limited(self, line: bytes) -> bytes:
        if self.max_bytes is not None and len(line) > self.max_bytes:
            return shorten(_decode(line), self.max_bytes, self.kept)
        return line

    def carefully(self, fields: dict[Any, Any]) -> bytes:
        """Return *fields* as one line, each made plain separately so that one does not affect another."""
        safe: dict[str, Any] = {}
        for name, value in fields.items():
            safe[free_name(plain_key(name), safe)] = plain(value, self.hook)
        try:
            return encode_plain(safe)
        except RecursionError:
            # The stack is nearly full: too full for nested values, not for flat ones.
            flat = {k: TOO_DEEP if isinstance(v, (dict, list)) else v for k, v in safe.items()}
            return encode_plain(flat)


def sound(line: bytes) -> bool:
    """Return whether an encoded line has no repeated key below its first level and is not too deep.

    The encoder writes `{5: 1, "5": 2}` with the key repeated. Decoding and encoding the line again drops
    the repetition, so the result is shorter.
    """
    if line.count(b"{") + line.count(b"[") > NESTED_LEVELS and _is_deep(line):
        return False
    return line.find(b"{", 1) < 0 or len(_encode_plain(_decode(line))) == len(line)


def _unrepeated(line: bytes) -> Any:
    """Return the decoded *line*, with underscores appended to repeated keys."""

    def renamed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key, value in pairs:
            fields[free_name(key, fields)] = value
        return fields

    return json.loads(line, object_pairs_hook=renamed)


def _is_deep(line: bytes) -> bool:
    """Return whether a line nests deeper than `NESTED_LEVELS`, or has a text with brackets that look like it.

    The slow path that such a text takes is unnecessary, but correct.
    """
    brackets = line.translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(NESTED_LEVELS):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def encode_plain(fields: Any) -> bytes:
    """Return plain values as JSON."""
    try:
        return _encode_plain(fields)
    except OverflowError:  # msgspec before 0.20 refuses integers beyond 64 bits
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def shorten(fields: dict[str, Any], limit: int, kept: frozenset[str]) -> bytes:
    """Return a line of at most *limit* bytes with as much of *fields* as fits, and `truncated`.

    Long texts are cut first, in `message` and the fields that are not *kept*, all to the same length. If
    that is not enough, the fields that are not *kept* are dropped, the last ones first, and then the *kept*
    ones are cut too.
    """
    if TRUNCATED in fields:
        fields[free_name(TRUNCATED, fields)] = fields[TRUNCATED]
    fields[TRUNCATED] = True
    sparing = {*kept, TRUNCATED} - {"message"}
    while True:
        line = _longest(fields, limit, sparing)
        if line is not None:
            return line
        spare = [name for name in fields if name not in kept and name != TRUNCATED]
        if not spare:
            break
        # Halve the number of fields, so that thousands of small ones take a dozen rounds.
        for name in spare[len(spare) // 2 :]:
            del fields[name]
    return _longest(fields, limit, {TRUNCATED}) or b'{"truncated":true}'


def _longest(fields: dict[str, Any], limit: int, sparing: set[str]) -> bytes | None:
    """Return the line with the longest texts that fits, or `None` if even empty texts do not fit."""
    best, low, high = None, 0, limit
    while low <= high:
        middle = (low + high) // 2
        line = encode_plain({name: v if name in sparing else _cut(v, middle) for name, v in fields.items()})
        if len(line) <= limit:
            best, low = line, middle + 1
        else:
            high = middle - 1
    return best


def _cut(value: Any, length: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= length else value[:length] + "…"
    if isinstance(value, list):
        return [_cut(item, length) for item in value[: length + 1]]
    if isinstance(value, dict):
        return {key: _cut(item, length) for key, item in [*value.items()][: length + 1]}
    return value
