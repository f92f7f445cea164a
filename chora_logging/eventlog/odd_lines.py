"""What can still be read of a line that is not exactly one strict JSON object."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import msgspec

from chora_logging.eventlog.events import strict_json

#: What `decode` raises.
REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
_value_at = json.JSONDecoder().raw_decode

#: A strict JSON object.
decode = msgspec.json.Decoder(dict[str, Any]).decode


class Object(NamedTuple):
    """A JSON object on a line.

    Attributes:
        fields: The object.
        strict: The same as strict JSON.
        end: How many bytes of the line are read with it.
    """

    fields: dict[str, Any]
    strict: bytes
    end: int


def read_odd(line: bytes) -> tuple[list[Object], str]:
    """The objects on *line*, and what is wrong with it, which is empty if nothing is left over.

    What older writers made and JSON forbids (NaN, halves of surrogate pairs) is accepted, and objects
    that were run together are taken apart. But something else beside them leaves none: what was cut
    off may have whole objects in it. Zeros around them are the exception: file systems leave them
    after a crash, and writers after a truncation; they are told, and the objects read all the same.
    """
    rest = line.lstrip(b"\0")
    begin = len(line) - len(rest)
    rest = rest.rstrip(b"\0")
    reason = "" if len(rest) == len(line) else "zeros, as a crashed file system leaves them"
    if rest.startswith(_BOM):
        rest, begin = rest[len(_BOM) :], begin + len(_BOM)
    try:
        objects = _objects(rest, begin)
    except _NoEvent as error:
        return [], reason or str(error)
    if objects:  # what follows the last one, at least the newline, is passed with it
        objects[-1] = objects[-1]._replace(end=len(line) + 1)
    return objects, reason


class _NoEvent(Exception):  # noqa: N818  # it is news, not an error
    pass


def _objects(line: bytes, begin: int) -> list[Object]:
    """The objects that *line*, which begins at an offset, consists of."""
    try:
        text = line.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise _NoEvent("not UTF-8") from None
    objects: list[Object] = []
    passed, end = 0, 0  # in characters, in bytes
    while (at := _after_space(text, passed)) < len(text):
        start = end + at - passed
        try:
            value, passed = _value_at(text, at)
            end = start + len(text[at:passed].encode("utf-8", "surrogatepass"))
            if isinstance(value, dict):
                objects.append(_object(value, line[start:end], begin + end))
                continue
        except json.JSONDecodeError:
            raise _NoEvent("an object and something else" if objects else "not JSON") from None
        except (ValueError, RecursionError):
            raise _NoEvent("JSON beyond Python's limits") from None
        alone = not objects and _after_space(text, passed) == len(text)
        raise _NoEvent("JSON, but not an object" if alone else "several values, not all of them objects")
    return objects


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _object(fields: dict[str, Any], text: bytes, end: int) -> Object:
    try:
        return Object(decode(text), text, end)
    except REFUSED:
        return Object(fields, strict_json(fields), end)
