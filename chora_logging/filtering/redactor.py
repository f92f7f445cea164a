"""Replaces secrets in texts and in values of any nesting."""

from __future__ import annotations

import datetime
import decimal
import operator
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chora_logging.filtering.assignments import secret_values
from chora_logging.filtering.placeholders import hides
from chora_logging.filtering.secret_names import SecretNames
from chora_logging.filtering.secret_patterns import (
    begins_private_key,
    ends_private_key,
    is_card_number,
    secret_forms,
)
from chora_logging.formatting.values import NESTED_LEVELS, UNENCODABLE, Walk, plain

_CARD_DIGITS = 19
_NUMBERS: frozenset[type] = frozenset((int, float, decimal.Decimal))
_TIMES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)
_SCALARS: frozenset[type] = _NUMBERS | {type(None), bool, uuid.UUID, *_TIMES}
_SHORTEST = len("pwd=x")
_SIMPLE = _SCALARS | {str, bytes}
_BUILTIN = _SIMPLE | {dict, list, tuple, set, frozenset, bytearray, memoryview, range, complex}
#: The levels of nesting up to which a value is redacted as it is; a deeper one is made plain first.
_SIMPLE_LEVELS = 6


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
        self.hook = hook

    def text(self, text: str) -> str:
        """Return *text* without its secrets; the same object if it has none."""
        if len(text) < _SHORTEST and not self._patterns:
            return text
        places = secret_values(text, self.names, self.replacement) + self.formed(text)
        return self.without(places, text) if places else text

    def named(self, text: str) -> list[tuple[int, int]]:
        """Return where secrets begin and end in *text* that have a name before them."""
        return secret_values(text, self.names, self.replacement)

    def formed(self, text: str) -> list[tuple[int, int]]:
        """Return where secrets begin and end in *text* that are recognised by their form, or a pattern."""
        places = secret_forms(text) if self._forms else []
        for pattern in self._patterns:
            places += [match.span() for match in pattern.finditer(text)]
        return places

    def without(self, places: list[tuple[int, int]], text: str) -> str:
        """Return *text* with a replacement for each of these *places*, or for several that touch."""
        pieces: list[str] = []
        done = 0
        for start, end in sorted(places):
            if pieces and start <= done:
                done = max(done, end)
            elif text[start:end] != self.replacement:
                pieces += (text[done:start], self.replacement)
                done = end
        return "".join((*pieces, text[done:])) if pieces else text

    def value(self, value: Any) -> Any:
        """Return *value* without its secrets: the same object if it is builtin and has none, else a copy."""
        if type(value) is str:
            return self.text(value)
        if type(value) in _SCALARS:
            return self._scalar(value)
        if _is_simple(value, _SIMPLE_LEVELS):
            return self._walk(value)
        clean, found, foreign = self._plain(value)
        return clean if found or foreign else value

    def argument(self, value: Any) -> Any:
        """Return *value* without its secrets: the same object if it has none, whatever it is."""
        if _is_simple(value, _SIMPLE_LEVELS):
            return self._walk(value)
        clean, found, _ = self._plain(value)
        return clean if found else value

    def field(self, name: Any, value: Any) -> Any:
        """Return the *value* of the field *name* without its secrets."""
        if self.names[name] and hides(value) if type(name) is str else self.is_secret(name, value):
            return value if type(value) is str and value == self.replacement else self.replacement
        return self.value(value)

    def is_secret(self, name: Any, value: Any) -> bool:
        """Return whether *value* is a secret by its *name*, the key of a dict or one of several in it."""
        if type(name) is bytes:
            name = name.decode("latin-1")
        if type(name) is tuple:
            return any(self.is_secret(each, value) for each in name)
        return isinstance(name, str) and name in self.names and hides(value)

    def _plain(self, value: Any) -> tuple[Any, bool, bool]:
        """Return a plain copy without secrets, whether there were some, and whether all types are builtin."""
        walk = _NamedWalk(self)
        try:
            copied = walk.value(value, 0)
        except Exception:  # the stack was already nearly full
            return UNENCODABLE, True, True
        clean = self._walk(copied)
        return clean, walk.found or clean is not copied, walk.foreign

    def _walk(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is bytes:
            text = value.decode("latin-1")
            clean = self.text(text)
            return value if clean == text else clean
        if kind is dict:
            return self._pairs(value)
        if kind is list or kind is tuple:
            return self._items(value)
        return self._scalar(value)

    def _scalar(self, value: Any) -> Any:
        """Return a number, a time or the like, or the replacement if its text is a secret."""
        kind = type(value)
        if kind in _NUMBERS and self._forms and (kind is decimal.Decimal or 10**12 <= value < 10**19):
            digits = str(value).removesuffix(".0")
            if len(digits) <= _CARD_DIGITS and digits.isdecimal() and is_card_number(digits):
                return self.replacement
        if self._patterns and value is not None and kind is not bool:
            text = str(plain(value))
            if any(pattern.search(text) for pattern in self._patterns):
                return self.replacement
        return value

    def _pairs(self, pairs: dict[Any, Any]) -> dict[Any, Any]:
        # An entry of a list of names and values, as HAR files, Kubernetes and AWS have it.
        of_value = "value" if "value" in pairs else "Value" if "Value" in pairs else None
        spelt = ("name", "key") if of_value == "value" else ("Name", "Key")
        named = next((pairs[each] for each in spelt if each in pairs), None) if of_value else None
        clean = {}
        changed = False
        for key, value in pairs.items():
            new_key = self.text(key) if type(key) is str else key
            new = self.field(named if key == of_value and type(named) is str else key, value)
            changed = changed or new is not value or new_key is not key
            clean[new_key] = new
        return clean if changed else pairs

    def _items(self, items: Any) -> Any:
        clean = [self._walk(item) for item in items]
        if len(items) == 2 and type(items[0]) in (str, bytes):  # a header
            clean[1] = self.field(items[0], items[1])
        is_key = False
        for place, item in enumerate(items):
            if type(item) is not str or not (item.startswith("-") or is_key):
                continue
            if self._forms and (is_key or begins_private_key(item)):  # line by line
                clean[place], is_key = self.replacement, not ends_private_key(item)
            elif place + 1 < len(items) and "=" not in item:  # the arguments of a command
                clean[place + 1] = self.field(item.lstrip("-"), items[place + 1])
        if all(map(operator.is_, clean, items)):
            return items
        return tuple(clean) if type(items) is tuple else clean


class _NamedWalk(Walk):
    """Makes a value plain, without the secrets whose names get lost by it: of named tuples, of keys in bytes.

    Afterwards, `found` says whether there were some or what is nested too deep, and `foreign` whether there
    were objects of other types than builtin ones.
    """

    __slots__ = ("foreign", "found", "redactor")

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(redactor.hook)
        self.redactor = redactor
        self.found = self.foreign = False

    def value(self, value: Any, depth: int) -> Any:
        self.found = self.found or depth > NESTED_LEVELS
        return super().value(value, depth)

    def composed(self, value: Any, kind: type, depth: int) -> Any:
        self.foreign = self.foreign or kind not in _BUILTIN
        if issubclass(kind, (bytes, bytearray, memoryview)):
            text = bytes(value).decode("latin-1")
            clean = self.redactor.text(text)
            if clean != text:
                self.found = True
                return clean
        base = next((each for each in (list, tuple) if issubclass(kind, each)), None)
        if base is not None:
            items = list(base.__iter__(value))
            names = getattr(kind, "_fields", ())
            if names and len(names) == len(items) and any(map(self.redactor.is_secret, names, items)):
                return self.pairs(zip(names, items, strict=True), depth)
            if len(items) == 2 and type(items[0]) is bytes:  # a header
                return [self.value(items[0], depth), self.value(self._hidden(*items), depth)]
        return super().composed(value, kind, depth)

    def pairs(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        return super().pairs([(name, self._hidden(name, value)) for name, value in pairs], depth)

    def _hidden(self, name: Any, value: Any) -> Any:
        if not self.redactor.is_secret(name, value):
            return value
        self.found = True
        return self.redactor.replacement


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
