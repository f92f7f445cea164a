"""Finds the arguments of a message in its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from chora_logging.filtering.secret_names import NAME_CHARACTERS, SecretNames
from chora_logging.formatting.fields import text_of

# Messages are few and short; not so what a program makes of them itself.
_LONGEST_REMEMBERED = 1000
_SIZED = (str, bytes, dict, list, tuple)

# A placeholder, with the name before it if there is one: `password: %s`, `token=%(value)r`, `pin -> (%s)`.
_PLACEHOLDER = re.compile(
    rf"(?:(?P<name>(?<![{NAME_CHARACTERS}])\w[{NAME_CHARACTERS}.-]{{0,63}})"
    r"[\"'`]?(?P<sign>(?:->|=>|[ =:<(\[]){1,5})[\"'`]?)?"
    r"(?P<asks>%(?:\((?P<key>[^()]{0,200})\))?"
    r"(?:%|[#0 +-]{0,5}(?:\d{1,9}|\*)?(?:\.(?:\d{1,9}|\*)?)?[hlL]?[diouxXeEfFgGcrsa]))"
)


def names_a_secret(template: str, names: SecretNames) -> bool:
    """Return whether one of *names* is before a placeholder in *template*."""
    return any(_is_named(match, names) for match in _placeholders(template))


def secret_arguments(
    template: str, arguments: Any, text: str, names: SecretNames, named: list[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield where arguments begin and end in *text* that are secrets as a whole, whatever they look like.

    One has one of *names* before its place, or is where a secret with a name begins or goes on (*named*), or
    follows such an argument with nothing or `=` between. If the text is not that of the template, as that of
    a subclass of records may be, all of it is a secret.
    """
    whole, places = _filled_in(template, arguments)
    before = text.find(whole)
    if before < 0:
        yield 0, len(text)
        return
    secret_until = -1
    for match, value, start, end in places:
        start, end = before + start, before + end
        goes_on = secret_until >= 0 and text[secret_until:start] in ("", "=")
        goes_on = goes_on or any(begins <= start < ends for begins, ends in named)
        if (goes_on or _is_named(match, names)) and hides(value):
            yield start, end
            secret_until = end


def hides(value: Any) -> bool:
    """Return whether *value* can be a secret: it is neither empty nor a yes or no."""
    kind = type(value)
    return value is not None and kind is not bool and (kind not in _SIZED or bool(value))


def _placeholders(template: str) -> tuple[re.Match[str], ...]:
    return _remembered(template) if len(template) < _LONGEST_REMEMBERED else _read(template)


def _read(template: str) -> tuple[re.Match[str], ...]:
    return tuple(_PLACEHOLDER.finditer(template))


_remembered = lru_cache(1024)(_read)


def _is_named(match: re.Match[str], names: SecretNames) -> bool:
    name = match["name"]
    if name is None or match["asks"] == "%%":
        return False
    if name in names:
        return name.lower() != "pass" or not match["sign"].isspace()  # "pass %d of %d"
    return names.ends_one(name, match.string[max(match.start() - 64, 0) : match.start()])


def _filled_in(template: str, arguments: Any) -> tuple[str, list[tuple[re.Match[str], Any, int, int]]]:
    """Return the text, and each placeholder with its argument and where that begins and ends in the text."""
    waiting = iter(arguments) if type(arguments) is tuple else None
    places = []
    text = ""
    done = 0
    for match in _placeholders(template):
        asks = match["asks"]
        text += text_of(template[done : match.start("asks")])
        done = match.end()
        value = arguments
        if asks == "%%":
            given: Any = ()
        elif waiting is not None:
            given = tuple(islice(waiting, 1 + asks.count("*")))
            value = given[-1]
        else:
            given = arguments
            value = arguments[match["key"]] if match["key"] is not None else arguments
        start = len(text)
        text += text_of(asks % given)
        if asks != "%%":
            places.append((match, value, start, len(text)))
    return text + text_of(template[done:]), places
