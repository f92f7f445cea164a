"""Searches for text in lines as people see them: with the escapes of JSON resolved, in any case."""

from __future__ import annotations

import re

from chora_logging.errors import ConfigurationError

_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")


class Text:
    """A text to search for.

    Args:
        text: The text; upper and lower case are the same.

    Raises:
        ConfigurationError: *text* is not a string, or is empty.

    >>> Text("GRÜN").is_in(b'{"user": "gr\\\\u00fcn"}')
    True
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text:
            raise ConfigurationError("text", text, "a text to search for, not empty")
        self.folded: str = _in_pairs(text).casefold()
        self._bytes = self.folded.encode() if self.folded.isascii() else None

    def is_in(self, line: bytes) -> bool:
        """Return whether *line* has the text."""
        if line.isascii() and b"\\" not in line:
            return self._bytes is not None and self._bytes in line.lower()
        return self.folded in seen(line).casefold()


def seen(line: bytes) -> str:
    """Return *line* as people see it, with the escapes of JSON resolved.

    >>> seen(rb'{"path": "a\\/b", "name": "\\u00fc"}')
    '{"path": "a/b", "name": "ü"}'
    """
    text = line.decode("utf-8", "replace")
    if "\\" not in text:
        return text
    text = _ESCAPE.sub(_resolved, text)
    return _in_pairs(text)


def _in_pairs(text: str) -> str:
    """Return *text* with two surrogates as the character that they are, and a single one as U+FFFD."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _resolved(escape: re.Match[str]) -> str:
    code, short = escape.groups()
    return chr(int(code, 16)) if code else _SHORT.get(short, short)
