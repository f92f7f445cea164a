"""The lines that can hold an event that is asked for, found without decoding the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# A value stands in its line as it is if it has these characters only, which no JSON encoder has to
# escape. One that escapes them all the same is recognised by the escape.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/ -]{3,}", re.ASCII)
_ESCAPE = re.compile(rb"\\(?:u00[2-7]|/)")

_NEAR = 4096

_INTEGER = re.compile(r"-?\d+", re.ASCII)
_NOT_TEXT = frozenset(("true", "false", "none", "null"))


class Prefilter:
    """Finds the lines that can have certain values.

    Args:
        values: Texts for which `can_find` is true; a line must have all of them.
    """

    def __init__(self, values: Iterable[str]) -> None:
        # The longest is found fastest.
        self._values = sorted({_in_json(value) for value in values}, key=len, reverse=True)

    def lines(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Each complete line of *chunk* that can have the values, and the offset after its newline.

        Promised: every line that has a field for each value whose text, as `str` gives it, is the value.
        """
        spans: Iterable[tuple[int, int]] = self._with_values(chunk)
        if escaped := set(_with_escapes(chunk)):
            spans = sorted(escaped.union(spans))
        for start, end in spans:
            yield end + 1, chunk[start:end]

    def _with_values(self, chunk: bytes) -> Iterator[tuple[int, int]]:
        # Quotation marks are frequent: looking for the text without them is faster.
        longest, *others = self._values
        text = longest.strip(b'"')
        shift = len(longest) - len(text) and 1
        at = chunk.find(text)
        while at >= 0:
            if not chunk.startswith(longest, at - shift):
                at = _find(chunk, text, at + 1)
                continue
            end = chunk.find(b"\n", at)
            if end < 0:
                return
            start = chunk.rfind(b"\n", 0, at) + 1
            if not others or all(chunk.find(other, start, end) >= 0 for other in others):
                yield start, end
            at = _find(chunk, text, end)


def can_find(value: str) -> bool:
    """Whether a line that has *value* as the text of a field can be told by its bytes."""
    if not _PLAIN.fullmatch(value) or value.lower() in _NOT_TEXT:
        return False
    if _INTEGER.fullmatch(value):
        return True
    try:
        float(value)  # 1.50 is written in many ways
    except ValueError:
        return True
    return False


def _find(chunk: bytes, text: bytes, start: int) -> int:
    # A search through much is prepared each time, which takes longer than to find what is frequent.
    at = chunk.find(text, start, start + _NEAR)
    return at if at >= 0 else chunk.find(text, start + _NEAR - len(text) + 1)


def _in_json(value: str) -> bytes:
    return value.encode() if _INTEGER.fullmatch(value) else b'"%b"' % value.encode()


def _with_escapes(chunk: bytes) -> Iterator[tuple[int, int]]:
    at = chunk.find(b"\\")
    while at >= 0:
        end = chunk.find(b"\n", at)
        if end < 0:
            return
        if _ESCAPE.search(chunk, at, end):
            yield chunk.rfind(b"\n", 0, at) + 1, end
        at = chunk.find(b"\\", end)
