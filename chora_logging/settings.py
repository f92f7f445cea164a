"""Settings from arguments and environment variables: defaults, parsing and validation.

Arguments win over the environment. An empty environment variable counts as not set, since
`docker compose` and CI systems leave such variables; an empty argument is an error.
"""

from __future__ import annotations

import codecs
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from chora_logging.errors import ConfigurationError
from chora_logging.schema import LEVELS

StrPath = str | os.PathLike[str]

#: The defaults.
ORCH_ID = "o-glm"
ORCH_LOG_FILE = ".devlogs/orch-{ORCH_ID}.log"
LOG_LEVEL = "INFO"
EVENTS_FILE = "var/telemetry/events.jsonl"
MAX_BYTES = 10 * 1024 * 1024
BACKUP_COUNT = 5

_Value = TypeVar("_Value")

_UNITS = {"": 1, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"\s*(\d+)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Settings:
    """The validated settings of a configuration."""

    log_level: int
    log_file: str | None
    orch_log_file: str
    events_file: str
    max_bytes: int
    backup_count: int
    buffered: bool


def resolve(
    log_level: str | int | None = None,
    log_file: StrPath | None = None,
    *,
    orch_id: str | None = None,
    orch_log_file: StrPath | None = None,
    events_file: StrPath | None = None,
    max_bytes: int | str = MAX_BYTES,
    backup_count: int = BACKUP_COUNT,
    buffered: bool = False,
) -> Settings:
    """Return the settings from the arguments, else the environment, else the defaults.

    Raises:
        ConfigurationError: one or more values are invalid; the message lists them all.
    """
    errors: list[ConfigurationError] = []

    def checked(check: Callable[..., _Value], *arguments: Any) -> _Value | None:
        try:
            return check(*arguments)
        except ConfigurationError as error:
            errors.append(error)
            return None

    level = checked(resolve_level, log_level)
    general = checked(resolve_log_file, log_file)
    orchestrator = checked(resolve_orch_log_file, orch_id, orch_log_file)
    events = checked(resolve_events_file, events_file)
    size = checked(parse_size, "max_bytes", max_bytes)
    count = checked(parse_count, "backup_count", backup_count)
    gathers = checked(parse_flag, "buffered", buffered)
    if errors:
        raise _joined(errors)
    assert level is not None and orchestrator and events and size is not None and count is not None
    return Settings(level, general, orchestrator, events, size, count, gathers is True)


def resolve_level(log_level: str | int | None = None) -> int:
    """Return the level from the argument, else `LOG_LEVEL`.

    Raises:
        ConfigurationError: it is not a level.
    """
    name, value = _given("log_level", log_level, "LOG_LEVEL", LOG_LEVEL)
    return parse_level(name, value)


def resolve_log_file(log_file: StrPath | None = None) -> str | None:
    """Return the path of the general log from the argument, else `LOG_FILE`, else None.

    Raises:
        ConfigurationError: it is not the path of a file.
    """
    name, value = _given("log_file", log_file, "LOG_FILE", None)
    return None if value is None else check_path(name, value)


def resolve_orch_log_file(
    orch_id: str | None = None,
    orch_log_file: StrPath | None = None,
    argument: str = "orch_log_file",
) -> str:
    """Return the path of the orchestrator's log: the path if one is set, else the one made from the id.

    An id in the arguments wins over a path in the environment. *argument* is the name of the path's
    argument in error messages.

    Raises:
        ConfigurationError: the path is not that of a file, or the id cannot be part of a file name.
    """
    name, value = _given(argument, orch_log_file, "ORCH_LOG_FILE", None)
    if value is not None and (orch_log_file is not None or orch_id is None):
        return check_path(name, value)
    name, value = _given("orch_id", orch_id, "ORCH_ID", ORCH_ID)
    if not isinstance(value, str) or not _is_name_part(value):
        allowed = "1 to 200 printable characters without a slash, since it becomes part of a file's name"
        raise ConfigurationError(name, value, allowed)
    return check_path(name, ORCH_LOG_FILE.format(ORCH_ID=value))


def resolve_events_file(events_file: StrPath | None = None) -> str:
    """Return the path of the file of typed events from the argument, else `CHORA_EVENTS_FILE`.

    Raises:
        ConfigurationError: it is not the path of a file.
    """
    name, value = _given("events_file", events_file, "CHORA_EVENTS_FILE", EVENTS_FILE)
    return check_path(name, value)


def check_path(name: str, value: Any) -> str:
    """Return *value* as the path of a file that exists or could be created.

    Permissions are not checked: they may change, and the handler deals with errors.

    Raises:
        ConfigurationError: it is no such path; *name* is the argument or variable it came from.
    """
    try:
        path = os.fsdecode(os.fspath(value))
    except TypeError:
        raise ConfigurationError(name, value, "a path (str or os.PathLike)") from None
    if not path.strip():
        raise ConfigurationError(name, value, "the path of a file, not empty")
    if "\0" in path:
        raise ConfigurationError(name, value, "the path of a file, without a NUL character")
    if path.endswith(os.sep) or os.path.isdir(path):
        raise ConfigurationError(name, value, "the path of a file, not of a folder")
    obstacle = _file_on_the_way(path)
    if obstacle:
        raise ConfigurationError(name, value, f"a path whose parents are folders ({obstacle} is a file)")
    return path


def _given(name: str, argument: Any, variable: str, default: Any) -> tuple[str, Any]:
    if argument is not None:
        return name, argument
    return variable, os.environ.get(variable) or default


def _is_name_part(text: str) -> bool:
    return 0 < len(text) <= 200 and text.isprintable() and text.strip() != "" and "/" not in text


def _file_on_the_way(path: str) -> str | None:
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.exists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder if os.path.isfile(folder) else None


def _joined(errors: list[ConfigurationError]) -> ConfigurationError:
    first, *others = errors
    if not others:
        return first
    also = "; ".join(str(error) for error in others)
    return ConfigurationError(first.name, first.value, f"{first.allowed} (also: {also})")


def parse_size(name: str, value: object) -> int:
    """Return *value* as a number of bytes; it is an int, or a string such as `"10MB"`, `"512 kB"`, `"1GiB"`.

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
    """Return *value* as a number of backups.

    Raises:
        ConfigurationError: it is not an int of 0 or more.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ConfigurationError(name, value, "a whole number, 0 or more")


def parse_mode(name: str, value: object) -> int | None:
    """Return *value* as permission bits; it is None, an int such as 0o640, or a string such as `"0640"`.

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
    """Return *value* as a number of seconds.

    Raises:
        ConfigurationError: it is not a number from 0 to below 10⁹.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    raise ConfigurationError(name, value, "a number of seconds, 0 or more")


def level_number(value: object) -> int | None:
    """Return the level with the name (in any case) or number *value*; None if there is no such level.

    Levels added with `logging.addLevelName` are included.
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
    """Return *value*, a name in any case or a number, as a level.

    Raises:
        ConfigurationError: there is no such level.
    """
    level = level_number(value)
    if level is None:
        allowed = f"one of {', '.join(LEVELS)} (any case), or a number, 0 or more"
        raise ConfigurationError(name, value, allowed)
    return level


def parse_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return *value* if it is one of *choices*.

    Raises:
        ConfigurationError: it is none of them.
    """
    if isinstance(value, str) and value in choices:
        return value
    raise ConfigurationError(name, value, " or ".join(f'"{choice}"' for choice in choices))


def parse_flag(name: str, value: object) -> bool:
    """Return *value* if it is a bool.

    Raises:
        ConfigurationError: it is not; strings are refused, since `"false"` would count as true.
    """
    if isinstance(value, bool):
        return value
    raise ConfigurationError(name, value, "True or False")


def parse_text_mode(name: str, value: object) -> str:
    """Return *value* if it is a mode of `open` for writing text.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(value, str) and value.replace("+", "").replace("t", "") in ("a", "w", "x"):
        return value
    raise ConfigurationError(name, value, '"a", "w" or "x" (lines are text)')


def parse_encoding(name: str, value: object) -> str:
    """Return the name of the codec for the encoding *value*; None is the locale's, as in `open`.

    Raises:
        ConfigurationError: this Python has no such encoding.
    """
    if value is None or value == "locale":
        import locale  # imported here because it is rarely needed and not loaded by logging

        return locale.getpreferredencoding(False)
    try:
        return codecs.lookup(str(value)).name
    except LookupError:
        raise ConfigurationError(name, value, "an encoding that this Python has") from None
