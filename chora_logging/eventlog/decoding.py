"""Decodes lines whole, or only some of their fields, which takes half the time."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict

import msgspec

Decode = Callable[[bytes], dict[str, Any]]

#: The exceptions that `decode` raises.
REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)

#: Decodes a strict JSON object.
decode: Decode = msgspec.json.Decoder(dict[str, Any]).decode

#: With more fields than these, lines are decoded whole: each of them is compared with each key of a line.
MOST_FIELDS = 100

#: A shorter line, in bytes, has no number with more digits than Python converts, which is malformed.
LONGEST_LINE_BYTES = 640

#: How many lines are decoded at a time.
LINES = 256


class FewFields:
    """Decodes some fields of lines.

    Args:
        keys: The names of the fields.
    """

    def __init__(self, keys: frozenset[str]) -> None:
        # Not a class statement, because the names are not known before and need not be identifiers.
        make: Any = TypedDict
        some = make("Some", dict.fromkeys(sorted(keys), Any), total=False)
        self._decode: Decode = msgspec.json.Decoder(some).decode

    def of(self, lines: Iterable[bytes]) -> list[dict[str, Any]] | None:
        """Return those fields of each of *lines*, in valid UTF-8; None if any of them is malformed.

        A line with a number that has more digits than Python converts is not noticed.
        """
        try:
            return list(map(self._decode, lines))
        except REFUSED:
            return None

    def exactly(self, lines: Sequence[bytes]) -> list[dict[str, Any]] | None:
        """Return the same, but None if any of *lines* is malformed; the fields of a long line may be more."""
        if are_short(lines):
            return self.of(lines)
        few = self._decode
        try:
            return [(few if len(line) < LONGEST_LINE_BYTES else decode)(line) for line in lines]
        except REFUSED:
            return None


@functools.lru_cache(maxsize=64)
def few_fields(keys: frozenset[str]) -> FewFields | None:
    """Return what decodes only the fields *keys* of lines; None if that is not possible, or not faster."""
    # msgspec does not find names that are not ASCII.
    return FewFields(keys) if len(keys) <= MOST_FIELDS and all(map(str.isascii, keys)) else None


def are_short(lines: Iterable[bytes]) -> bool:
    """Return whether none of *lines* can have a number with more digits than Python converts."""
    return max(map(len, lines), default=0) < LONGEST_LINE_BYTES


def column(key: str, kind: Any, lines: Iterable[bytes]) -> list[Any] | None:
    """Return the value of the field *key* of each of *lines*, in valid UTF-8, or `UNSET` without one.

    None if one is malformed, or a value is not of this *kind*; a number that is too long is not noticed.
    """
    if not key.isascii():
        return None
    try:
        return list(map(_value, map(_of_one_field(key, kind), lines)))
    except REFUSED:
        return None


_value = operator.attrgetter("value")


@functools.lru_cache(maxsize=64)
def _of_one_field(key: str, kind: Any) -> Callable[[bytes], msgspec.Struct]:
    field = ("value", kind | msgspec.UnsetType if kind is not Any else Any, msgspec.UNSET)
    # A structure is faster than a dict.
    return msgspec.json.Decoder(msgspec.defstruct("One", [field], rename={"value": key}, gc=False)).decode


def is_utf8(chunk: bytes) -> bool:
    """Return whether *chunk* is valid UTF-8, which is not checked in fields that are passed over."""
    if chunk.isascii():
        return True
    try:
        chunk.decode()
    except UnicodeDecodeError:
        return False
    return True
