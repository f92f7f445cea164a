"""Finds the lines that can match a filter by their bytes, so that the others need not be decoded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

# A value appears unchanged in its line if it has only these characters, which no JSON encoder has to
# escape. Lines of an encoder that escapes them all the same are recognised by the escape.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/ -]{3,}", re.ASCII)
_ESCAPE = re.compile(rb"\\(?:u00[2-7]|/)")
_ESCAPED_LETTER = re.compile(rb"\\u00[2-7]")
_UNUSUAL = re.compile(rb"[\x80-\xff\\]")

_NEARBY_BYTES = 4096

_INTEGER = re.compile(r"-?\d+", re.ASCII)
_NOT_TEXT = frozenset(("true", "false", "none", "null"))

# A part of a text that is in a string of the line if it is part of a value: not one of the marks that JSON
# has between values, nor a part of a number or a constant, which can be written in other ways.
_PART = re.compile(r"[A-Za-z0-9_./ -]{3,}", re.ASCII)
_NUMBER_PART = re.compile(r"[0-9.eE-]*", re.ASCII)
_CONSTANTS = ("true", "false", "null", "none", "nan", "infinity")

#: The names of fields of which every character is as it is in a line, or escaped like those of values.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.@/ -]+", re.ASCII)

Span = tuple[int, int]


class Prefilter:
    """Finds the lines that can have certain values and texts.

    Args:
        values: What a line must contain: all of them, as JSON has them. A quotation mark is at the ends.
        texts: What a line must contain in any case: all of them, after `str.casefold`.
        exponents: The names of fields that may have one of *values* as a number with an exponent.
    """

    def __init__(
        self, values: Iterable[bytes], texts: Iterable[str] = (), exponents: Iterable[str] = ()
    ) -> None:
        # The search starts with the longest, which is found fastest.
        self._values = sorted(set(values), key=len, reverse=True)
        self._texts = [text.encode() for text in sorted(set(texts), key=len, reverse=True)]
        self._exponents = [_with_exponent(name) for name in sorted(set(exponents))]

    def lines(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield each complete line of *chunk* that can have the values, and the offset after its newline.

        Promised: every line is found that has, for each value, a field whose `str()` is that value, and
        for each text a string that contains it in any case.
        """
        for start, end in self._spans(chunk):
            line = chunk[start:end]
            if not self._texts or _has_texts(line, self._texts):
                yield end + 1, line

    def _spans(self, chunk: bytes) -> Iterable[Span]:
        if not self._values:
            return _with_text(chunk, self._texts[0])
        found = self._with_values(chunk)
        others = set(_with_escapes(chunk))
        for pattern in self._exponents:
            others.update(_lines_of(pattern, chunk))
        return sorted(others.union(found)) if others else found

    def _with_values(self, chunk: bytes) -> Iterator[Span]:
        # Quotation marks are frequent: searching without them is faster.
        longest, *others = self._values
        text = longest.strip(b'"')
        shift = int(longest.startswith(b'"'))
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


class Names:
    """Notices whether lines have a field.

    Args:
        path: Its name in parts; an empty part stands for the members of an array.
    """

    def __init__(self, path: Sequence[str]) -> None:
        last = [part for part in path if part][-1]
        forms = {json.dumps(last, ensure_ascii=is_ascii)[1:-1] for is_ascii in (False, True)}
        ends = [re.escape(form.encode("utf-8", "surrogatepass")) for form in sorted(forms)]
        # The name may have others before it, with dots.
        self._search = re.compile(rb'(?:%b)"\s*:' % b"|".join(ends)).search

    def are_in(self, chunk: bytes) -> bool:
        """Return whether a line of *chunk* may have the field; False only if none has."""
        return self._search(chunk) is not None or _ESCAPED_LETTER.search(chunk) is not None


def can_find(value: str) -> bool:
    """Return whether the bytes of a line show if a field can have *value* as its string."""
    if not _PLAIN.fullmatch(value) or value.lower() in _NOT_TEXT:
        return False
    if _INTEGER.fullmatch(value):
        return True
    try:
        float(value)  # 1.50 can be written in many ways
    except ValueError:
        return True
    return False


def can_find_name(name: str) -> bool:
    """Return whether the bytes of a line show if it has a field *name*."""
    return _PLAIN_NAME.fullmatch(name) is not None


def can_find_text(text: str) -> bool:
    """Return whether a line has the characters of *text*, and not what is shown as U+FFFD."""
    return "\ufffd" not in text


def is_whole(value: str) -> bool:
    """Return whether *value* is a whole number."""
    return _INTEGER.fullmatch(value) is not None


def in_json(value: str) -> bytes:
    """Return *value*, for which `can_find` is true, as a line has it."""
    return value.encode() if _INTEGER.fullmatch(value) else b'"%b"' % value.encode()


def sure_part(text: str) -> str:
    """Return the longest part of *text* that a line has as it is if a value contains *text*; "" if none.

    >>> sure_part('got "timeout after 5"'), sure_part("1.5")
    ('timeout after 5', '')
    """
    parts = [part for part in _PART.findall(text) if not _NUMBER_PART.fullmatch(part)]
    parts = [part for part in parts if not any(part.lower().strip("-") in word for word in _CONSTANTS)]
    return max(parts, key=len, default="")


def _find(chunk: bytes, text: bytes, start: int) -> int:
    # `bytes.find` prepares long searches, which takes longer than finding a frequent value nearby.
    at = chunk.find(text, start, start + _NEARBY_BYTES)
    return at if at >= 0 else chunk.find(text, start + _NEARBY_BYTES - len(text) + 1)


def _with_escapes(chunk: bytes) -> Iterator[Span]:
    at = chunk.find(b"\\")
    while at >= 0:
        end = chunk.find(b"\n", at)
        if end < 0:
            return
        if _ESCAPE.search(chunk, at, end):
            yield chunk.rfind(b"\n", 0, at) + 1, end
        at = chunk.find(b"\\", end)


def _with_exponent(name: str) -> re.Pattern[bytes]:
    return re.compile(rb'%b"\s*:\s*-?[0-9.]+[eE]' % re.escape(name.encode()))


def _lines_of(pattern: re.Pattern[bytes], chunk: bytes) -> Iterator[Span]:
    """Yield the lines in which *pattern* is found."""
    found = pattern.search(chunk)
    while found is not None:
        end = chunk.find(b"\n", found.start())
        if end < 0:
            return
        yield chunk.rfind(b"\n", 0, found.start()) + 1, end
        found = pattern.search(chunk, end)


def _with_text(chunk: bytes, text: bytes) -> Iterable[Span]:
    """Return the lines that can have *text*, folded, in any case."""
    lower = chunk.lower()
    found = list(_lines_with(lower, text)) if text.isascii() else []
    # Characters that are not ASCII, and escapes, can be anything in lower case.
    if chunk.isascii() and b"\\" not in chunk:
        return found
    return sorted({*found, *_lines_of(_UNUSUAL, chunk)})


def _lines_with(chunk: bytes, text: bytes) -> Iterator[Span]:
    at = chunk.find(text)
    while at >= 0:
        end = chunk.find(b"\n", at)
        if end < 0:
            return
        yield chunk.rfind(b"\n", 0, at) + 1, end
        at = _find(chunk, text, end + 1)  # a text may begin with a newline


def _has_texts(line: bytes, texts: Sequence[bytes]) -> bool:
    if not line.isascii() or b"\\" in line:
        return True
    lower = line.lower()
    return all(text in lower for text in texts)
