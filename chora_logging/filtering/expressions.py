"""Checks regular expressions of options. `re` has no time limit: those that may explode are refused."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from chora_logging.errors import ConfigurationError

if sys.version_info >= (3, 11):
    from re import _constants as constants  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
else:
    import sre_constants as constants
    import sre_parse as parser

#: More repetitions than this count as any number.
_MANY = 8

_REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT)


def parse_patterns(name: str, value: object) -> list[re.Pattern[str]]:
    """Return the expressions in the list *value*, compiled.

    Raises:
        ConfigurationError: It is not a list, or one of them is invalid, matches an empty text, or may take
            time that doubles with each character: it repeats something that has a repetition, or alternatives
            that begin alike.
    """
    if isinstance(value, (str, bytes, re.Pattern)) or not hasattr(value, "__iter__"):
        raise ConfigurationError(name, value, "a list of regular expressions")
    return [_parsed(name, pattern) for pattern in value]


def _parsed(name: str, pattern: object) -> re.Pattern[str]:
    text = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
    if not isinstance(text, str):
        raise ConfigurationError(name, pattern, "regular expressions for text")
    flags = pattern.flags if isinstance(pattern, re.Pattern) else 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parts = parser.parse(text, flags)
            compiled = re.compile(text, flags)
    except Exception as error:
        raise ConfigurationError(name, text, f"valid regular expressions ({error})") from None
    if parts.getwidth()[0] == 0:
        raise ConfigurationError(name, text, "regular expressions that match no empty text")
    if _may_explode(parts):
        raise ConfigurationError(name, text, "regular expressions without a repetition in another: no (a+)+")
    return compiled


def _may_explode(parts: Any, repeated: bool = False) -> bool:
    """Whether there may be many ways to match the same text: what is repeated can match it in two ways."""
    for code, arguments in parts:
        many = code in _REPEATS and int(arguments[1]) > _MANY
        if many and (arguments[2].getwidth()[0] == 0 or (repeated and arguments[0] != arguments[1])):
            return True
        if repeated and code is constants.BRANCH and not _begin_differently(arguments[1]):
            return True
        if any(_may_explode(inner, repeated or many) for inner in _inner(arguments)):
            return True
    return False


def _begin_differently(alternatives: list[Any]) -> bool:
    firsts = [branch[0] for branch in alternatives if len(branch)]
    different = len({str(first) for first in firsts}) == len(alternatives)
    return different and all(first[0] is constants.LITERAL for first in firsts)


def _inner(arguments: Any) -> Iterator[Any]:
    """Yield the expressions in the arguments of a part."""
    if isinstance(arguments, parser.SubPattern):
        yield arguments
    elif isinstance(arguments, (tuple, list)):
        for each in arguments:
            yield from _inner(each)
