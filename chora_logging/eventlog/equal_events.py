"""Counts events that are equal in some fields, without making a dict of each."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from chora_logging.eventlog.decoding import REFUSED

#: How many different events are counted before they are given.
MOST_DIFFERENT = 20_000

#: After some lines that could not be counted, how often it is not tried, because others are like them.
_PAUSES = 30

#: The names that the decoder knows.
_NAME = re.compile(r'[^"\\\x00-\x1f\x7f-\U0010ffff]+')

#: Takes events, of which only some fields are known, each with the number of its equals.
Take = Callable[[Iterable[tuple[Mapping[str, Any], int]]], None]


def can_count(name: str) -> bool:
    """Return whether events can be counted by a field with this name."""
    return _NAME.fullmatch(name) is not None


class EqualEvents:
    """Counts events with equal values of some fields.

    Null counts as missing, and numbers that are equal count as the same.

    Args:
        kinds: By the name of a field, for which `can_count` is true, the type of its values, which are
            hashable; None for a field that none of the events has.
        take: Called with the events now and then, and by `flush`.
    """

    def __init__(self, kinds: Mapping[str, Any], take: Take) -> None:
        places = {name: f"field{number}" for number, name in enumerate(kinds)}
        fields = [(places[name], None if kind is None else kind | None, None) for name, kind in kinds.items()]
        rename = {place: name for name, place in places.items()}
        structure = msgspec.defstruct("Some", fields, rename=rename, gc=False)
        self._decode = msgspec.json.Decoder(structure).decode
        self._names = [name for name, kind in kinds.items() if kind is not None]
        # Always a tuple: of one attribute only its value would be given.
        first, *others = [places[name] for name in self._names]
        self._values = operator.attrgetter(first, *(others or [first]))
        self._take = take
        self._counts: Counter[tuple[Any, ...]] = Counter()
        self._pauses = 0

    def add(self, lines: Iterable[bytes]) -> bool:
        """Count the events of *lines*, in valid UTF-8, or none of them; return whether they are counted.

        They are not if one is malformed, or has a value that is not of its type. A number that has more
        digits than Python converts is not noticed.
        """
        if self._pauses:
            self._pauses -= 1
            return False
        try:
            found = list(map(self._decode, lines))
        except REFUSED:
            self._pauses = _PAUSES
            return False
        self._counts.update(map(self._values, found))
        if len(self._counts) > MOST_DIFFERENT:
            self.flush()
        return True

    def flush(self) -> None:
        """Give the events that have been counted."""
        counts, self._counts = self._counts, Counter()
        self._take((self._event(values), number) for values, number in counts.items())

    def _event(self, values: tuple[Any, ...]) -> Mapping[str, Any]:
        return {name: value for name, value in zip(self._names, values, strict=False) if value is not None}
