"""What the arguments of the file handler may be, in Python and in configuration files."""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Sequence

from chora_logging.errors import ConfigurationError
from chora_logging.schema import LEVELS

_UNITS = {"": 1, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"\s*(\d+)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE | re.ASCII)


def parse_size(name: str, value: object) -> int:
    """*value* as a number of bytes: an int, or a string such as `"10MB"`, `"512 kB"`, `"1GiB"`.

    Units are powers of 1024, as in logrotate and logback: `"10MB"` is 10 * 1024 * 1024.

    Raises:
        ConfigurationError: *value* is neither; *name* is the argument or variable it came from.

    >>> parse_size("maxBytes", "10MB")
    10485760
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        return int(match[1]) * _UNITS[match[2].upper()]
    raise ConfigurationError(name, value, 'a number of bytes, 0 or more, or a string like "10MB"')


def parse_count(name: str, value: object) -> int:
    """*value* as a number of backups.

    Raises:
        ConfigurationError: it is not an int of 0 or more.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ConfigurationError(name, value, "a whole number, 0 or more")


def parse_mode(name: str, value: object) -> int | None:
    """*value* as permission bits: None, an int such as 0o640, or a string such as `"0640"`.

    Raises:
        ConfigurationError: it is none of these.
    """
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"(0o?)?[0-7]{3,4}", value):
        value = int(value.removeprefix("0o"), 8)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o7777:
        return value
    raise ConfigurationError(name, value, 'permission bits such as 0o640 or "0640"')


def parse_timeout(name: str, value: object) -> float:
    """*value* as a number of seconds.

    Raises:
        ConfigurationError: it is not a finite number of 0 or more.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    raise ConfigurationError(name, value, "a number of seconds, 0 or more")


def level_number(value: object) -> int | None:
    """The level that *value* names, in any case, or is; None if there is no such level.

    Levels that were added with `logging.addLevelName` are known too.
    """
    if isinstance(value, str):
        text = value.strip().upper()
        if text.isascii() and text.isdigit():
            return int(text)
        level = logging.getLevelName(text)
        return level if isinstance(level, int) else None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def parse_level(name: str, value: object) -> int:
    """*value* as a level: a name, in any case, or a number.

    Raises:
        ConfigurationError: there is no such level.
    """
    level = level_number(value)
    if level is None:
        allowed = f"one of {', '.join(LEVELS)} (any case), or a number, 0 or more"
        raise ConfigurationError(name, value, allowed)
    return level


def parse_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """*value* as one of *choices*.

    Raises:
        ConfigurationError: it is none of them.
    """
    if isinstance(value, str) and value in choices:
        return value
    raise ConfigurationError(name, value, " or ".join(f'"{choice}"' for choice in choices))


def parse_flag(name: str, value: object) -> bool:
    """*value* as a yes or no.

    Raises:
        ConfigurationError: it is neither; a text is not, for `"false"` would count as yes.
    """
    if isinstance(value, bool):
        return value
    raise ConfigurationError(name, value, "True or False")


def parse_text_mode(name: str, value: object) -> str:
    """*value* as a mode of `open` for writing text.

    Raises:
        ConfigurationError: it is another one.
    """
    if isinstance(value, str) and value.replace("+", "").replace("t", "") in ("a", "w", "x"):
        return value
    raise ConfigurationError(name, value, '"a", "w" or "x" (lines are text)')


def parse_encoding(name: str, value: object) -> str:
    """*value* as the name of a codec; None is the locale's, as in `open`.

    Raises:
        ConfigurationError: this Python has no such encoding.
    """
    if value is None or value == "locale":
        import locale  # rarely asked for, and not loaded by logging

        return locale.getpreferredencoding(False)
    try:
        return codecs.lookup(str(value)).name
    except LookupError:
        raise ConfigurationError(name, value, "an encoding that this Python has") from None
