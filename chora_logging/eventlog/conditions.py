"""Conditions on fields, such as `duration_ms>=1000`: their syntax, and what they mean.

| condition | an event matches if |
|---|---|
| `user=anna` | the field has this value |
| `user!=anna` | it has the field, with another value |
| `duration_ms>=1000` | so are `>`, `<=`, `<`, of numbers, times, durations (`1.5s`), levels, else text |
| `message~=time.?out` | the regular expression is found in the value (see `patterns`) |
| `message:timeout` | the value contains the text, in any case |
| `not user=anna` | the condition is not met, also because the event lacks the field |
| `http.status=500` | a path: into objects, and also a name with dots |
| `tags[]=urgent`, `items[].price>10` | any member of an array |

A name with spaces or operators, and a value with spaces at its ends, are written as a JSON string:
`"user name"=anna`. A number equals the same number written in another way, a time the same time, and the
name of a level the same in any case. Of lists and objects, the JSON text is compared. Conditions with `=`,
`:` and `~=` on the same field are alternatives; all others must be met together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from chora_logging.errors import ConfigurationError

#: The most conditions of one filter.
MOST_CONDITIONS = 50

#: The most parts of a path.
MOST_PARTS = 100

#: The longest expression that an error quotes, in characters.
_SHOWN_CHARS = 200

_EXAMPLES = 'user=anna, duration_ms>=1000, message:timeout, message~=time.?out or "not status=ok"'
_RULE = f"a field, an operator (= != > >= < <= ~= :) and a value, such as {_EXAMPLES}"

_EXPRESSION = re.compile(
    r"""\s*(?P<negation>not\s+)?(?P<field>"(?:[^"\\]|\\.)*"|[^\s"=!<>~:]+)\s*"""
    r"(?P<operator>~=|!=|>=|<=|==|[=<>:])(?P<value>.*)",
    re.DOTALL,
)
#: What others write for an operator, where a value would begin.
_FOREIGN = {"=~": "~=", "=>": ">=", "=<": "<=", "<>": "!=", ":=": "=", "~==": "~=", "!==": "!=", "!=~": "~="}
_JOINED = re.compile(
    r"\s(and|or|AND|OR|&&|\|\|)\s+(?:not\s+)?[\w.\[\]@-]+\s*(?:~=|!=|>=|<=|[=<>])\s*\S", re.ASCII
)


class Condition(NamedTuple):
    """A condition on a field.

    Attributes:
        field: The field as it was written.
        path: Its name, in parts; an empty part stands for any member of an array.
        operator: One of `=`, `!=`, `>`, `>=`, `<`, `<=`, `~=` and `:`.
        value: What is compared with.
        negated: Whether an event matches if it does not meet the condition.
        is_quoted: Whether the value was quoted, so that it is text in any case.
    """

    field: str
    path: tuple[str, ...]
    operator: str
    value: str
    negated: bool = False
    is_quoted: bool = False

    @property
    def is_alternative(self) -> bool:
        """Whether others of its field may be met in its place."""
        return self.operator in ("=", ":", "~=") and not self.negated


def parse_conditions(expressions: str | Iterable[str]) -> list[Condition]:
    """Parse *expressions*, one or several; see above.

    Raises:
        ConfigurationError: one of them is no expression; the error has an example of what may be meant.
    """
    texts = [expressions] if isinstance(expressions, str) else list(expressions)
    if len(texts) > MOST_CONDITIONS:
        raise ConfigurationError("where", len(texts), f"at most {MOST_CONDITIONS} conditions")
    return [parse_condition(text) for text in texts]


def parse_condition(text: str) -> Condition:
    """Parse one expression, such as `duration_ms >= 1000`.

    >>> parse_condition("not http.status >= 500")
    Condition(field='http.status', path=('http', 'status'), operator='>=', value='500', negated=True, is_quoted=False)

    Raises:
        ConfigurationError: it is none.
    """  # noqa: E501  # a doctest
    found = _EXPRESSION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ConfigurationError("where", text, _RULE)
    field, sign, value = found["field"], found["operator"], found["value"].strip()
    name = _unquoted(field)
    if name == "":
        raise ConfigurationError("where", text, _RULE)
    path = parse_path(field, text) if name is None else (name,)
    unquoted = _unquoted(value)
    if unquoted is None:
        _check_value(text, field, sign, value)
    sign = "=" if sign == "==" else sign
    return Condition(
        field if name is None else name,
        path,
        sign,
        value if unquoted is None else unquoted,
        found["negation"] is not None,
        unquoted is not None,
    )


def parse_path(field: str, text: str | None = None, setting: str = "where") -> tuple[str, ...]:
    """Return the parts of *field*, a name with dots; an empty part stands for any member of an array.

    >>> parse_path("items[].price")
    ('items', '', 'price')

    Args:
        field: The field.
        text: The whole text that it is from, for the error message.
        setting: The setting that has it, for the error message.

    Raises:
        ConfigurationError: a part is empty, or has other brackets than `[]` at its end.
    """
    parts: list[str] = []
    if field.count(".") + field.count("[]") >= MOST_PARTS:
        raise ConfigurationError(setting, f"{field[:_SHOWN_CHARS]}…", f"a path of at most {MOST_PARTS} parts")
    for part in field.split("."):
        name = part.rstrip("[]")
        brackets = part[len(name) :]
        if not name or brackets.replace("[]", "") or "[" in name:
            rule = 'a field with a path such as http.status or items[].price (or "a.name" in quotes)'
            raise ConfigurationError(setting, field if text is None else text, rule)
        parts += [name, *[""] * (len(brackets) // 2)]
    return tuple(parts)


def _check_value(text: str, field: str, sign: str, value: str) -> None:
    """Refuse a value that was probably meant to be something else."""
    if not value and sign not in ("=", "==", "!="):
        raise ConfigurationError("where", text, f"{_RULE}; a value must follow {sign}")
    for length in (2, 1):
        if meant := _FOREIGN.get(sign + value[:length]):
            rest = value[length:].strip() or "value"
            negation = "not " if sign.startswith("!") and meant == "~=" else ""
            rule = f'{negation}{field}{meant}{rest}, or {field}{sign}"{value}" for a value like that'
            raise _refused(text, rule)
    if joined := _JOINED.search(value):
        first, second = text[: text.index(value) + joined.start()].strip(), value[joined.end(1) :].strip()
        rule = f"one condition, such as {first}, and another one: {second} (or the value in quotes)"
        raise _refused(text, rule)


def _refused(text: str, rule: str) -> ConfigurationError:
    return ConfigurationError("where", text, rule if len(text) <= _SHOWN_CHARS else _RULE)


def _unquoted(text: str) -> str | None:
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
