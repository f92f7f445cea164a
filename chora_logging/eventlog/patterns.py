"""Regular expressions that anyone may send: their time and memory are bounded.

`re` tries one way after the other, for some expressions exponentially many, and stops every other thread
meanwhile. Here an expression is an automaton that reads each character once. Its states are made as
they are needed, and forgotten if there are too many; an expression that needs new ones all the time is
given up with an error. The libraries that do this in C have no wheels for every Python and system that
this package runs on.

The syntax is that of `re`, without what an automaton cannot do: references to groups, conditional ones,
look-ahead and look-behind, atomic groups and possessive repeats. `$` is the end of the text, without `re`'s
exception for a newline there. With `(?i)` characters are the same if their lower or upper case is.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Final

#: The longest expression, in characters, and the most parts that it may have when repeats are written out.
LONGEST_CHARS, MOST_PARTS = 1000, 400

#: The most threads in all states that are held, and the most transitions: a few megabytes.
HELD_THREADS, HELD_TRANSITIONS = 50_000, 20_000

#: The work that an expression may need for new states, in parts looked at: at first, and per character read.
FREE_WORK, WORK_PER_CHAR = 200_000, 4

#: `re` is used for an expression that takes at most so many steps at each character.
QUICK_STEPS = 100

_WITHOUT_END = 2**32 - 1
_ONE_CHAR = ("LITERAL", "NOT_LITERAL", "ANY", "IN")
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
_REFUSED = {
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition on a group",
    "ASSERT": "look-ahead or look-behind",
    "ASSERT_NOT": "look-ahead or look-behind",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}

#: What a character, or the edge of the text, is for `\b`, `^` and `$`.
_OTHER, _WORD, _FOREIGN_WORD, _NEWLINE, _EDGE = range(5)

Test = Callable[[str], bool]
_Tree = Iterable[tuple[Any, Any]]


class PatternError(ValueError):
    """An expression is not valid, or not one of those that are bounded; the message says why."""


class PatternCostError(PatternError):
    """An expression takes too much time with the texts that it was asked about."""


class Pattern:
    """A regular expression that is searched in texts.

    Args:
        text: The expression.

    Attributes:
        literal: A text that is part of every match; empty if none is known.

    Raises:
        PatternError: *text* is not such an expression.

    For one thread at a time.

    >>> Pattern(r"time.?out|refused").search("connection refused")
    True
    """

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST_CHARS:
            raise PatternError(f"it has {len(text)} characters, and {LONGEST_CHARS} are allowed")
        try:
            tree, flags = _parsed(text)
            self.literal = _literal(tree, flags)
            steps, _ = _steps(tree, flags)
            # With few steps at each character `re` is as safe, and faster.
            quick = steps <= QUICK_STEPS
            self._search = _compiled(text).search if quick else _Automaton(_program(tree, flags)).search
        except RecursionError:
            raise PatternError("it is nested too deeply") from None

    def search(self, text: str) -> bool:
        """Return whether a part of *text* matches.

        Raises:
            PatternCostError: the expression has taken too much time, with this text and those before.
        """
        return bool(self._search(text))


def _compiled(text: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `_parsed`
        return re.compile(text)


def _parsed(text: str) -> tuple[_Tree, int]:
    # The parser of `re` is not public, but what is a valid expression, and what it means, is the same.
    parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about expressions whose meaning may change
            tree = parser.parse(text)
    except (re.error, OverflowError) as error:
        raise PatternError(f"it is not a regular expression: {error}") from None
    return tree, tree.state.flags


def _literal(tree: _Tree, flags: int) -> str:
    longest = run = ""
    for operation, argument in tree:
        if str(operation) == "LITERAL" and not flags & re.IGNORECASE:
            run += chr(argument)
            longest = max(longest, run, key=len)
            continue
        run = ""
        if str(operation) == "SUBPATTERN" and not argument[1] and not argument[2]:
            longest = max(longest, _literal(argument[3], flags), key=len)
    return longest


def _steps(tree: _Tree, flags: int) -> tuple[float, float]:
    """Return how many steps `re` takes at most from one character on, and in how many ways it goes on."""
    steps, ways = 0.0, 1.0
    for operation, argument in tree:
        name = str(operation)
        more, branches = 1.0, 1.0
        if name in _REPEATS:
            least, most, body = argument
            inner, times = _steps(body, flags)
            # All but a fixed number of repeats is left to the automaton, and what `re` compiles slowly too.
            more, branches = (inner * most, times**most) if most <= QUICK_STEPS else (float("inf"),) * 2
            branches *= most - least + 1
        elif name == "SUBPATTERN":
            more, branches = _steps(argument[3], flags | argument[1])
        elif name == "BRANCH":
            parts = [_steps(part, flags) for part in argument[1]]
            more, branches = sum(part[0] for part in parts), sum(part[1] for part in parts)
        elif name == "AT":
            more = 1.0 if str(argument) == "AT_BEGINNING" and not flags & re.MULTILINE else float("inf")
        elif (name == "IN" and flags & re.IGNORECASE) or name not in _ONE_CHAR:
            more = float("inf")
        steps += ways * more
        ways *= branches
        if not steps <= QUICK_STEPS:
            return float("inf"), float("inf")
    return steps, ways


class _Part:
    """A part of an automaton: it goes on to *following* after a character, at a place, or at once."""

    __slots__ = ("following", "is_there", "takes")

    def __init__(self, following: tuple[int, ...]) -> None:
        self.following = following
        self.takes: Test | None = None
        self.is_there: Callable[[int, int], bool] | None = None


_MATCH: Final = 0


def _program(tree: _Tree, flags: int) -> tuple[list[_Part], int]:
    """Return the parts, of which the first is the match, and the one that begins."""
    builder = _Builder()
    return builder.parts, builder.sequence(tree, flags, _MATCH)


class _Builder:
    def __init__(self) -> None:
        self.parts = [_Part(())]
        self._built = 0
        self._tests: dict[tuple[str, str, int], Test] = {}

    def sequence(self, tree: _Tree, flags: int, following: int) -> int:
        for operation, argument in reversed(list(tree)):
            following = self._one(str(operation), argument, flags, following)
        return following

    def _one(self, name: str, argument: Any, flags: int, following: int) -> int:
        self._count()
        if name in _ONE_CHAR:
            key = name, repr(argument), flags
            test = self._tests.get(key) or self._tests.setdefault(key, _test(name, argument, flags))
            return self._part(following, takes=test)
        if name == "SUBPATTERN":
            _, added, removed, body = argument
            return self.sequence(body, (flags | added) & ~removed, following)
        if name == "BRANCH":
            return self._part(*(self.sequence(body, flags, following) for body in argument[1]))
        if name in _REPEATS:
            least, most, body = argument
            return self._repeat(least, most, body, flags, following)
        if name == "AT":
            return self._part(following, is_there=_place(str(argument), flags))
        raise PatternError(f"{_REFUSED.get(name, name)} is not possible here")

    def _repeat(self, least: int, most: int, body: _Tree, flags: int, following: int) -> int:
        end = following
        if most >= _WITHOUT_END:
            following = self._part(end)
            self.parts[following].following = (self.sequence(body, flags, following), end)
        else:
            for _ in range(most - least):
                following = self._part(self.sequence(body, flags, following), end)
        for _ in range(least):
            self._count()
            following = self.sequence(body, flags, following)
        return following

    def _part(
        self,
        *following: int,
        takes: Test | None = None,
        is_there: Callable[[int, int], bool] | None = None,
    ) -> int:
        self._count()
        part = _Part(following)
        part.takes, part.is_there = takes, is_there
        self.parts.append(part)
        return len(self.parts) - 1

    def _count(self) -> None:
        self._built += 1
        if len(self.parts) > MOST_PARTS or self._built > 10 * MOST_PARTS:
            raise PatternError(f"it has more than {MOST_PARTS} parts when its repeats are written out")


def _test(name: str, argument: Any, flags: int) -> Test:
    """Return the test whether a part takes a character."""
    if name == "ANY":
        return (lambda char: True) if flags & re.DOTALL else (lambda char: char != "\n")
    items = argument if name == "IN" else [("LITERAL", argument)]
    negated = name == "NOT_LITERAL" or (name == "IN" and str(items[0][0]) == "NEGATE")
    tests = [_item(str(kind), value, flags) for kind, value in items if str(kind) != "NEGATE"]
    if flags & re.IGNORECASE:
        return lambda char: any(test(form) for form in _cases(char) for test in tests) != negated
    return lambda char: any(test(char) for test in tests) != negated


def _item(kind: str, value: Any, flags: int) -> Test:
    if kind == "LITERAL":
        literals = _cases(chr(value)) if flags & re.IGNORECASE else {chr(value)}
        return lambda char: char in literals
    if kind == "RANGE":
        least, most = value
        return lambda char: least <= ord(char) <= most
    name = str(value).removeprefix("CATEGORY_")
    test = _CATEGORIES[name.removeprefix("NOT_")]
    is_ascii, negated = flags & re.ASCII, name.startswith("NOT_")
    return lambda char: (test(char) and (not is_ascii or char.isascii())) != negated


_CATEGORIES: dict[str, Test] = {
    "DIGIT": str.isdecimal,
    "SPACE": str.isspace,
    "WORD": lambda char: char.isalnum() or char == "_",
}


def _cases(char: str) -> set[str]:
    return {form for form in (char, char.lower(), char.upper()) if len(form) == 1}


def _place(name: str, flags: int) -> Callable[[int, int], bool]:
    """Return the test whether a place is between two kinds of characters."""
    is_multiline = flags & re.MULTILINE
    if name in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
        lines = is_multiline and name == "AT_BEGINNING"
        return lambda before, after: before == _EDGE or (bool(lines) and before == _NEWLINE)
    if name in ("AT_END", "AT_END_STRING"):
        lines = is_multiline and name == "AT_END"
        return lambda before, after: after == _EDGE or (bool(lines) and after == _NEWLINE)
    words = (_WORD,) if flags & re.ASCII else (_WORD, _FOREIGN_WORD)
    negated = name == "AT_NON_BOUNDARY"
    return lambda before, after: ((before in words) != (after in words)) != negated


def _kind(char: str) -> int:
    if char.isalnum() or char == "_":
        return _WORD if char.isascii() else _FOREIGN_WORD
    return _NEWLINE if char == "\n" else _OTHER


class _State(dict[str, Any]):
    """The threads of an automaton after some text, and by character the state after it, as far as known."""

    __slots__ = ("before", "ends", "threads")

    def __init__(self, threads: frozenset[int], before: int) -> None:
        self.threads = threads
        self.before = before
        self.ends: bool | None = None


class _Automaton:
    def __init__(self, program: tuple[list[_Part], int]) -> None:
        self._parts, self._begin = program
        self._sees_places = any(part.is_there is not None for part in self._parts)
        self._work = self._read = 0
        self._found = _State(frozenset((_MATCH,)), _EDGE)
        self._forget()

    def search(self, text: str) -> bool:
        state = self._first
        self._read += len(text)
        for char in text:
            following = state.get(char)
            if following is None:
                following = self._after(state, char)
            if following is self._found:
                return True
            state = following
        if state.ends is None:
            state.ends = _MATCH in self._reached(state, _EDGE)
        return state.ends

    def _after(self, state: _State, char: str) -> _State:
        after = _kind(char) if self._sees_places else _OTHER
        reached = self._reached(state, after)
        if _MATCH in reached:
            following = self._found
        else:
            threads = {self._begin}
            taken: dict[Test, bool] = {}  # many parts are copies with the same test
            for number in reached:
                part = self._parts[number]
                if part.takes is None:
                    continue
                if part.takes not in taken:
                    taken[part.takes] = part.takes(char)
                if taken[part.takes]:
                    threads.update(part.following)
            following = self._state(frozenset(threads), after)
        self._transitions += 1
        if self._transitions > HELD_TRANSITIONS or self._threads > HELD_THREADS:
            self._forget()
        state[char] = following
        return following

    def _reached(self, state: _State, after: int) -> set[int]:
        """Return the parts that are reached without a further character; if one is the match, not all."""
        reached: set[int] = set()
        waiting = list(state.threads)
        while waiting:
            number = waiting.pop()
            if number in reached:
                continue
            reached.add(number)
            if number == _MATCH:
                break
            part = self._parts[number]
            if part.takes is None and (part.is_there is None or part.is_there(state.before, after)):
                waiting += part.following
        self._work += len(reached)
        if self._work > FREE_WORK + WORK_PER_CHAR * self._read:
            raise PatternCostError("it takes too much time: repeat less, or repeat fewer kinds of characters")
        return reached

    def _state(self, threads: frozenset[int], before: int) -> _State:
        state = self._states.get((threads, before))
        if state is None:
            state = self._states[threads, before] = _State(threads, before)
            self._threads += len(threads)
        return state

    def _forget(self) -> None:
        self._states: dict[tuple[frozenset[int], int], _State] = {}
        self._transitions = self._threads = 0
        self._first = self._state(frozenset((self._begin,)), _EDGE)
