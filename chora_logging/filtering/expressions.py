"""Checks regular expressions of options. `re` has no time limit: those that may explode are refused."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from chora_logging.errors import ConfigurationError

if sys.version_info >= (3, 11):
    from re import _compiler as compiler  # type: ignore[attr-defined]
    from re import _constants as constants  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
else:
    import sre_compile as compiler
    import sre_constants as constants
    import sre_parse as parser

#: More repetitions than this of something that repeats are too many.
_MANY = 8

#: The ways to match the same characters that may be tried for one place of a text; and for each character of
#: a word, if one of the choices is a repetition without an end.
_MOST_WAYS = 1000
_MOST_WAYS_IN_WORDS = 32

#: After so many rounds of a repetition in which each adds a choice there are too many ways.
_ROUNDS = 11

_REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT)
_CHARACTERS = (constants.LITERAL, constants.NOT_LITERAL, constants.ANY, constants.IN)
_ALL_CHARACTERS = "".join(map(chr, range(0x3000)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Choice:
    """A repetition or alternatives, which can match *characters* in a number of *ways*."""

    characters: frozenset[str]
    ways: float


# Choices that what follows has not settled: it can match their characters, too.
_Open = list[_Choice]


def parse_patterns(name: str, value: object) -> list[re.Pattern[str]]:
    """Return the expressions in the list *value*, compiled.

    Raises:
        ConfigurationError: It is not a list, or one of them is invalid, matches an empty text, or may take
            time that doubles with each character (it repeats something that has a repetition, or alternatives
            that begin alike), or that grows with the cube of the text (a repetition after another of the same
            characters, without one between them that only the second or neither can match).
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
    if _shares(parts):
        allowed = (
            "regular expressions without two repetitions that can match the same characters: "
            "[^,]*, or .{0,30} in place of .*"
        )
        raise ConfigurationError(name, text, allowed)
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


def _shares(parts: Any) -> bool:
    """Whether repetitions can match the same characters in many ways, each of which is tried in vain."""
    try:
        _still_open(parts, [], parts.state)
    except _SharingError:
        return True
    return False


class _SharingError(Exception):
    pass


def _still_open(parts: Any, before: _Open, state: Any) -> _Open:
    """Return the choices that are open after *parts*, with those *before* them."""
    for code, arguments in parts:
        if code in _REPEATS:
            least, most, inner = arguments
            before = _repeated(int(least), int(most), inner, before, state)
        elif code is constants.BRANCH:
            ends = [_still_open(branch, before, state) for branch in arguments[1]]
            after = list(dict.fromkeys(itertools.chain(*ends)))
            ways = 1 if _begin_differently(arguments[1]) else len(arguments[1])
            before = _with_choice(after, before, after, _characters([(code, arguments)], state), ways)
        elif code in (constants.ASSERT, constants.ASSERT_NOT):
            _still_open(arguments[1], [], state)
        elif code is constants.GROUPREF:
            shortest, longest = state.groupwidths[arguments]
            before = _with_choice(before, before, before, frozenset(_ALL_CHARACTERS), longest - shortest + 1)
        elif code in _CHARACTERS:
            own = _characters([(code, arguments)], state)
            before = [each for each in before if each.characters & own]
        else:
            for inner in _inner(arguments):
                before = _still_open(inner, before, state)
    return before


def _repeated(least: int, most: int, inner: Any, before: _Open, state: Any) -> _Open:
    after = _still_open(inner, before, state)
    if not _is_one_character(inner):  # its end meets its beginning
        for _ in range(min(most, _ROUNDS) - 1):
            known, after = len(after), _still_open(inner, after, state)
            if len(after) <= known:
                break
    now = after if least else list(dict.fromkeys([*before, *after]))
    ways = math.inf if most >= int(constants.MAXREPEAT) else most - least + 1
    return _with_choice(now, before, after, _characters(inner, state), ways)


def _with_choice(now: _Open, before: _Open, after: _Open, characters: frozenset[str], ways: float) -> _Open:
    """Return *now* with a choice between so many *ways*.

    Raises:
        _SharingError: With those that are open *before* it and *after* it there are too many.
    """
    if ways < 2:
        return now
    shared = [each.ways for each in after if each in before]
    choices = [*shared, ways]
    endless = choices.count(math.inf)
    limit = _MOST_WAYS_IN_WORDS if endless else _MOST_WAYS
    if shared and (endless > 1 or math.prod(each for each in choices if each < math.inf) > limit):
        raise _SharingError
    return [*now, _Choice(characters, ways)]


def _is_one_character(parts: Any) -> bool:
    return len(parts) == 1 and (
        parts[0][0] in _CHARACTERS
        or (parts[0][0] is constants.SUBPATTERN and _is_one_character(parts[0][1][-1]))
    )


def _characters(parts: Any, state: Any) -> frozenset[str]:
    """Return the characters that *parts* may match, of those that are tried."""
    found: frozenset[str] = frozenset()
    for code, arguments in parts:
        if code in _CHARACTERS:
            expression = compiler.compile(parser.SubPattern(state, [(code, arguments)]))
            found |= frozenset(re.findall(expression, _ALL_CHARACTERS))
        else:
            found = found.union(*(_characters(inner, state) for inner in _inner(arguments)))
    return found


def _inner(arguments: Any) -> Iterator[Any]:
    """Yield the expressions in the arguments of a part."""
    if isinstance(arguments, parser.SubPattern):
        yield arguments
    elif isinstance(arguments, (tuple, list)):
        for each in arguments:
            yield from _inner(each)
