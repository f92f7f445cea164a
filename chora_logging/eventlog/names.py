"""The names of fields, and paths into objects that look like them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Fields = Mapping[str, Any]


class Names:
    """The names of the fields that have one meaning.

    Attributes:
        all: The names, in their order.
        keys: An event without these keys has none of the names, but for those in the object `event`.
        is_in_event: Whether there are such.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.all = names
        objects = {first for name in names for first, _ in splits(name)}
        # `event` is an object in ECS, but text in our own lines.
        self.is_in_event: bool = "event" in objects
        self.keys: frozenset[str] = frozenset(names) | objects - {"event"}

    def found(self, event: Fields) -> Iterable[tuple[str, Any]]:
        """Return those names that have a value in *event*, with it."""
        if self.keys.isdisjoint(event) and not (self.is_in_event and isinstance(event.get("event"), dict)):
            return ()
        return self._values(event)

    def _values(self, event: Fields) -> Iterator[tuple[str, Any]]:
        for name in self.all:
            value = event.get(name)
            if value is None and "." in name:
                value = at(event, name)
            if value is not None and value != "":
                yield name, value


def at(event: Fields, path: str) -> Any:
    """Return the value at *path*, names with dots between them, in objects; None if there is none."""
    for first, rest in splits(path):
        inner = event.get(first)
        if isinstance(inner, dict):
            value = inner.get(rest)
            return at(inner, rest) if value is None and "." in rest else value
    return None


def without(event: Fields, path: str) -> dict[str, Any]:
    """Return *event* without the value at *path*, which is a key or as for `at`.

    An object that had nothing else is left out, too.
    """
    left = dict(event)
    if path in left:
        del left[path]
        return left
    for first, rest in splits(path):
        inner = left.get(first)
        if isinstance(inner, dict):
            left[first] = without(inner, rest)
            if inner and not left[first]:
                del left[first]
            break
    return left


def splits(path: str) -> list[tuple[str, str]]:
    """Return the ways to take *path* as a first name and a rest: a first name may begin with a domain.

    >>> splits("log.origin.file")
    [('log', 'origin.file')]
    >>> splits("logging.googleapis.com/labels.python_logger")
    [('logging', 'googleapis.com/labels.python_logger'), ('logging.googleapis.com/labels', 'python_logger')]
    """
    dots = dict.fromkeys((path.find("."), path.find(".", path.find("/") + 1)))
    return [(path[:dot], path[dot + 1 :]) for dot in dots if dot >= 0]
