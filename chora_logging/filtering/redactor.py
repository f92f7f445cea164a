"""Replaces secrets in texts and in values of any nesting."""

from __future__ import annotations

import datetime
import decimal
import operator
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from chora_logging.filtering.secret_names import SecretNames
from chora_logging.filtering.secret_patterns import is_card_number, redact_forms
from chora_logging.formatting.values import plain

_TIMES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)
_HARMLESS: frozenset[type] = frozenset((type(None), bool, float, *_TIMES, uuid.UUID, decimal.Decimal))
_SHORTEST = len("pwd=x")
_SIZED = (str, bytes, dict, list, tuple)
_SIMPLE = _HARMLESS | {str, bytes, int}
#: The levels of nesting up to which a value is redacted as it is; a deeper one is made plain first.
_SIMPLE_LEVELS = 6

# A name and what separates it from its value: `name=`, `name: `, `"name": `, `('name', `, or `--name `.
_NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,63}(?![A-Za-z0-9_.-])"
_ASSIGNMENT = re.compile(
    rf"(?<![A-Za-z0-9_-])(?:-{{0,2}}(?P<name>{_NAME}(?:\[[a-z_]{{0,32}}\])?)"
    r"(?:\\?[\"']?[ \t]{0,3}(?P<sign>=>|:=|:|=)[ \t]{0,3}|(?P<comma>[\"'] ?, ?))"
    rf"|--(?P<option>{_NAME}) (?=[^\s-]))"
)
_QUOTE = re.compile(r"(?:[bBrRuU]{0,2})(\\?[\"'])")
_IN_QUOTES = {
    '"': re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL),
    "'": re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL),
    '\\"': re.compile(r'(?:[^"\\]|\\(?!"))*'),
    "\\'": re.compile(r"(?:[^'\\]|\\(?!'))*"),
}
_WORD = re.compile(r"[^\s\"'<>&]+")
_SCHEME = re.compile(r"(?:bearer|basic|token|negotiate|ntlm|apikey)[ \t]{1,3}", re.IGNORECASE)
_LONG_SCHEME = re.compile(r"(?:digest|oauth|signature|aws4-[a-z0-9-]{1,32})[ \t]", re.IGNORECASE)
_TO_END_OF_LINE = re.compile(r"[^\r\n]+")
_TO_QUOTE = re.compile(r"[^\r\n\"'<>]+")
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_NO_SECRETS = {"", "null", "none", "true", "false", "nil", "undefined"}


class Redactor:
    """Replaces secrets by *replacement*.

    Args:
        names: The fields whose values are secrets.
        patterns: Expressions whose matches are secrets.
        forms: Whether to look for tokens, keys and card numbers by their form.
        replacement: The text in place of a secret.
        hook: Called with each object of a type that JSON does not support.
    """

    def __init__(
        self,
        names: SecretNames,
        patterns: Sequence[re.Pattern[str]],
        forms: bool,
        replacement: str,
        hook: Callable[[Any], Any],
    ) -> None:
        self.names = names
        self._patterns = patterns
        self._forms = forms
        self.replacement = replacement
        self._hook = hook

    def text(self, text: str) -> str:
        """Return *text* without its secrets; the same object if it has none."""
        if len(text) >= _SHORTEST:
            if "=" in text or ":" in text or "--" in text or "('" in text or "(b'" in text:
                text = self._assigned(text)
            if self._forms:
                text = redact_forms(text, self.replacement)
        for pattern in self._patterns:
            text = pattern.sub(lambda match: self.replacement, text)
        return text

    def value(self, value: Any) -> Any:
        """Return *value* without its secrets: the same object if it is plain and has none, else a copy."""
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind in _HARMLESS:
            return value
        return self._walk(value if _is_simple(value, _SIMPLE_LEVELS) else plain(value, self._hook))

    def field(self, name: Any, value: Any) -> Any:
        """Return the *value* of the field *name* without its secrets."""
        if type(name) is bytes:
            name = name.decode("latin-1")
        if type(name) is str and name in self.names and hides(value):
            return value if type(value) is str and value == self.replacement else self.replacement
        return self.value(value)

    def _walk(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is int:
            card = 10**12 <= value < 10**16 and self._forms and is_card_number(str(value))
            return self.replacement if card else value
        if kind is bytes:
            text = value.decode("latin-1")
            clean = self.text(text)
            return value if clean == text else clean
        if kind is dict:
            return self._pairs(value)
        if kind is list or kind is tuple:
            return self._items(value)
        return value

    def _pairs(self, pairs: dict[Any, Any]) -> dict[Any, Any]:
        # An entry of a list of names and values, as HAR files and Kubernetes have it.
        named = pairs.get("name", pairs.get("key")) if "value" in pairs else None
        clean = {}
        changed = False
        for key, value in pairs.items():
            new_key = self.text(key) if type(key) is str else key
            new = self.field(named if key == "value" and type(named) is str else key, value)
            changed = changed or new is not value or new_key is not key
            clean[new_key] = new
        return clean if changed else pairs

    def _items(self, items: Any) -> Any:
        clean = [self._walk(item) for item in items]
        if len(items) == 2 and type(items[0]) in (str, bytes):  # a header
            clean[1] = self.field(items[0], items[1])
        for place, item in enumerate(items[:-1]):  # the arguments of a command
            if type(item) is str and item.startswith("-") and "=" not in item:
                clean[place + 1] = self.field(item.lstrip("-"), items[place + 1])
        if all(map(operator.is_, clean, items)):
            return items
        return tuple(clean) if type(items) is tuple else clean

    def _assigned(self, text: str) -> str:
        """Return *text* without the values of secret names: `password=…`, `"token": "…"`, `Cookie: …`."""
        pieces: list[str] = []
        done = 0
        at = _ASSIGNMENT.search(text)
        while at is not None:
            start = end = at.end()
            if (at["name"] or at["option"]) in self.names and (not at["comma"] or _is_pair(text, at)):
                start, end = self._value_at(text, start, at)
                if end > start:
                    pieces += (text[done:start], self.replacement)
                    done = end
            at = _ASSIGNMENT.search(text, end)
        return "".join((*pieces, text[done:])) if pieces else text

    def _value_at(self, text: str, start: int, at: re.Match[str]) -> tuple[int, int]:
        """Return where the value that begins at *start* begins and ends; equal if there is no secret."""
        quote = _QUOTE.match(text, start)
        if quote is not None:
            start = quote.end()
            end = _end(_IN_QUOTES[quote[1]].match(text, start), start)
        elif text.startswith(self.replacement, start):
            end = start + len(self.replacement)
        elif text[start : start + 1] in _CLOSING:
            end = _closed(text, start)
            return start, start if end - start <= 2 else end
        else:
            end = _end_of_word(text, start, at)
        value = text[start:end].strip()
        return start, start if value.lower() in _NO_SECRETS or value == self.replacement else end


def hides(value: Any) -> bool:
    """Return whether *value* can be a secret: it is neither empty nor a yes or no."""
    kind = type(value)
    return value is not None and kind is not bool and (kind not in _SIZED or bool(value))


def _is_simple(value: Any, levels: int) -> bool:
    """Whether a value has only builtin types, and text as keys, and is not nested deep."""
    kind = type(value)
    if kind in _SIMPLE:
        return True
    if not levels:
        return False
    if kind is dict:
        return all(type(key) is str and _is_simple(item, levels - 1) for key, item in value.items())
    return (kind is list or kind is tuple) and all(_is_simple(item, levels - 1) for item in value)


def _is_pair(text: str, at: re.Match[str]) -> bool:
    """Whether a name and a comma begin a pair: `('authorization', …)`, `(b'cookie', …)`."""
    return text[max(at.start() - 3, 0) : at.start()].rstrip("b\"'").endswith("(")


def _end_of_word(text: str, start: int, at: re.Match[str]) -> int:
    """Return the end of a value without quotes; that of a header may have several words."""
    name = (at["name"] or "").lower()
    if name.endswith("cookie") and at["sign"] == ":":
        return _end(_TO_QUOTE.match(text, start), start)
    if name.endswith("authorization"):
        if _LONG_SCHEME.match(text, start):
            return _end(_TO_END_OF_LINE.match(text, start), start)
        scheme = _SCHEME.match(text, start)
        start = start if scheme is None else scheme.end()
    word = _WORD.match(text, start)
    return start + len(word[0].rstrip(",;.)]}\\")) if word else start


def _end(match: re.Match[str] | None, start: int) -> int:
    return start if match is None else match.end()


def _closed(text: str, start: int) -> int:
    """Return the end of the bracket that opens at *start*, or of the text."""
    waiting: list[str] = []
    quote = ""
    place = start
    while place < len(text):
        mark = text[place]
        if mark == "\\":
            place += 1
        elif quote:
            quote = "" if mark == quote else quote
        elif mark in "\"'":
            quote = mark
        elif mark in _CLOSING:
            waiting.append(_CLOSING[mark])
        elif waiting and mark == waiting[-1]:
            waiting.pop()
            if not waiting:
                return place + 1
        place += 1
    return len(text)
