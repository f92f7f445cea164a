"""A dict of fields as one line of strict JSON, whatever the fields hold, and no longer than allowed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from operator import countOf
from typing import Any

import msgspec

from chora_logging.formatting.values import DEPTH, TOO_DEEP, default, free_name, plain, plain_key

#: The field that says that the line had to be cut.
TRUNCATED = "truncated"

_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_encode_plain = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class LineEncoder:
    """Encode fields as a line: quickly where they behave, carefully where they do not.

    Args:
        hook: Called with each object of a type that JSON has no form for.
        max_bytes: The longest line, without its newline; `None` for no limit.
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
        try:
            line = self.quick(fields)
            if not sound(line) or countOf(map(type, fields), str) != len(fields):
                line = self.carefully(fields)
        except Exception:
            line = self.carefully(fields)
        if self.max_bytes is not None and len(line) > self.max_bytes:
            return shorten(_decode(line), self.max_bytes, self.kept)
        return line

    def carefully(self, fields: dict[Any, Any]) -> bytes:
        """Return *fields* as one line, each made plain by itself so that none takes another along."""
        safe: dict[str, Any] = {}
        for name, value in fields.items():
            safe[free_name(plain_key(name), safe)] = plain(value, self.hook)
        try:
            return encode_plain(safe)
        except RecursionError:
            # The stack is nearly full: what nests has no room, what does not still has.
            flat = {k: TOO_DEEP if isinstance(v, (dict, list)) else v for k, v in safe.items()}
            return encode_plain(flat)


def sound(line: bytes) -> bool:
    """Tell whether an encoded line has no repeated key below its first level, nor endless depth.

    The encoder writes `{5: 1, "5": 2}` with the key twice. Once decoded and encoded again, what was
    there twice is there once and the line is shorter.
    """
    if line.count(b"{") + line.count(b"[") > DEPTH and _is_deep(line):
        return False
    return line.find(b"{", 1) < 0 or len(_encode_plain(_decode(line))) == len(line)


def _is_deep(line: bytes) -> bool:
    """Whether something nests in more than `DEPTH` levels, or a text has brackets that look like it.

    With such a text the careful way is taken for nothing, and is right as well.
    """
    brackets = line.translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(DEPTH):
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

    Long texts are cut first, in all fields but the *kept* ones, all to the same length. Where that is
    not enough the other fields go, the last ones first, and then the kept ones are cut too.
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
        # Many small fields: halve them, so that thousands take a dozen rounds.
        for name in spare[len(spare) // 2 :]:
            del fields[name]
    return _longest(fields, limit, {TRUNCATED}) or b'{"truncated":true}'


def _longest(fields: dict[str, Any], limit: int, sparing: set[str]) -> bytes | None:
    """Return the line with the longest texts that fits, or `None` when not even empty ones do."""
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
