"""Settings from arguments and environment variables: defaults, parsing and validation.

Arguments win over the environment. An empty environment variable counts as not set, since
`docker compose` and CI systems leave such variables; an empty argument is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chora_logging.errors import ConfigurationError
from chora_logging.options import (
    parse_count,
    parse_fields,
    parse_flag,
    parse_level,
    parse_path,
    parse_size,
)

StrPath = str | os.PathLike[str]

#: The defaults.
ORCH_ID = "o-glm"
ORCH_LOG_FILE = ".devlogs/orch-{ORCH_ID}.log"
LOG_LEVEL = "INFO"
EVENTS_FILE = "var/telemetry/events.jsonl"
MAX_BYTES = 10 * 1024 * 1024
BACKUP_COUNT = 5


@dataclass(frozen=True)
class Settings:
    """The validated settings of a configuration; those without a prefix are the general log's."""

    log_level: int
    log_file: str | None
    orch_log_file: str
    events_file: str
    max_bytes: int
    backup_count: int
    orch_max_bytes: int
    orch_backup_count: int
    events_max_bytes: int
    events_backup_count: int
    console: str | None
    propagate: bool
    static_fields: dict[str, Any]
    buffered: bool
    optimize: bool


def resolve(
    log_level: str | int | None = None,
    log_file: StrPath | None = None,
    *,
    orch_id: str | None = None,
    orch_log_file: StrPath | None = None,
    events_file: StrPath | None = None,
    max_bytes: int | str | None = None,
    backup_count: int | str | None = None,
    orch_max_bytes: int | str | None = None,
    orch_backup_count: int | str | None = None,
    events_max_bytes: int | str | None = None,
    events_backup_count: int | str | None = None,
    console: bool | str = True,
    propagate: bool = False,
    static_fields: dict[str, Any] | None = None,
    buffered: bool = False,
    optimize: bool = False,
) -> Settings:
    """Return the settings from the arguments, else the environment, else the defaults.

    Raises:
        ConfigurationError: one or more values are invalid; the message lists them all.
    """
    errors: list[ConfigurationError] = []

    def checked(check: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        try:
            return check(*arguments, **named)
        except ConfigurationError as error:
            errors.append(error)
            return None

    sizes = {"max_bytes": max_bytes}
    counts = {"backup_count": backup_count}
    found = Settings(
        log_level=checked(resolve_level, log_level),
        log_file=checked(resolve_log_file, log_file),
        orch_log_file=checked(resolve_orch_log_file, orch_id, orch_log_file),
        events_file=checked(resolve_events_file, events_file),
        max_bytes=checked(resolve_max_bytes, "LOG", **sizes),
        backup_count=checked(resolve_backup_count, "LOG", **counts),
        orch_max_bytes=checked(resolve_max_bytes, "ORCH_LOG", orch_max_bytes=orch_max_bytes, **sizes),
        orch_backup_count=checked(
            resolve_backup_count, "ORCH_LOG", orch_backup_count=orch_backup_count, **counts
        ),
        events_max_bytes=checked(
            resolve_max_bytes, "CHORA_EVENTS", events_max_bytes=events_max_bytes, **sizes
        ),
        events_backup_count=checked(
            resolve_backup_count, "CHORA_EVENTS", events_backup_count=events_backup_count, **counts
        ),
        console=checked(_parse_console, "console", console),
        propagate=checked(parse_flag, "propagate", propagate),
        static_fields=checked(parse_fields, "static_fields", {} if static_fields is None else static_fields),
        buffered=checked(parse_flag, "buffered", buffered),
        optimize=checked(parse_flag, "optimize", optimize),
    )
    if errors:
        raise _joined(errors)
    return found


def resolve_level(log_level: str | int | None = None) -> int:
    """Return the level from the argument, else `LOG_LEVEL`.

    Raises:
        ConfigurationError: it is not a level.
    """
    name, value = _given("LOG_LEVEL", LOG_LEVEL, log_level=log_level)
    return parse_level(name, value)


def resolve_log_file(log_file: StrPath | None = None) -> str | None:
    """Return the path of the general log from the argument, else `LOG_FILE`, else None.

    Raises:
        ConfigurationError: it is not the path of a file.
    """
    name, value = _given("LOG_FILE", None, log_file=log_file)
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
    path_name, path = _given("ORCH_LOG_FILE", None, **{argument: orch_log_file})
    if path is not None and (orch_log_file is not None or orch_id is None):
        return check_path(path_name, path)
    name, value = _given("ORCH_ID", ORCH_ID, orch_id=orch_id)
    if not isinstance(value, str) or not _is_name_part(value):
        allowed = "1 to 200 printable characters without a slash, since it becomes part of a file's name"
        raise ConfigurationError(name, value, allowed)
    return check_path(path_name, ORCH_LOG_FILE.format(ORCH_ID=value))


def resolve_events_file(events_file: StrPath | None = None) -> str:
    """Return the path of the file of typed events from the argument, else `CHORA_EVENTS_FILE`.

    Raises:
        ConfigurationError: it is not the path of a file.
    """
    name, value = _given("CHORA_EVENTS_FILE", EVENTS_FILE, events_file=events_file)
    return check_path(name, value)


def resolve_max_bytes(prefix: str, **arguments: int | str | None) -> int:
    """Return the size at which to rotate: the first argument that is set, else `PREFIX_MAX_BYTES`.

    *prefix* is `LOG`, `ORCH_LOG` or `CHORA_EVENTS`.

    Raises:
        ConfigurationError: it is not a size.
    """
    name, value = _given(f"{prefix}_MAX_BYTES", MAX_BYTES, **arguments)
    return parse_size(name, value)


def resolve_backup_count(prefix: str, **arguments: int | str | None) -> int:
    """Return how many backups to keep: the first argument that is set, else `PREFIX_BACKUP_COUNT`.

    Raises:
        ConfigurationError: it is not a number of backups.
    """
    name, value = _given(f"{prefix}_BACKUP_COUNT", BACKUP_COUNT, **arguments)
    return parse_count(name, value)


def check_path(name: str, value: Any) -> str:
    """Return *value* as the path of a file that exists or could be created.

    Permissions are not checked: they may change, and the handler deals with errors.

    Raises:
        ConfigurationError: it is no such path; *name* is the argument or variable it came from.
    """
    path = parse_path(name, value)
    if path.endswith(os.sep) or os.path.isdir(path):
        raise ConfigurationError(name, value, "the path of a file, not of a folder")
    try:
        obstacle = _file_on_the_way(path)
    except FileNotFoundError:
        allowed = "an absolute path, since the working directory has been deleted"
        raise ConfigurationError(name, value, allowed) from None
    if obstacle:
        raise ConfigurationError(name, value, f"a path whose parents are folders ({obstacle} is a file)")
    return path


def _given(variable: str, default: Any, **arguments: Any) -> tuple[str, Any]:
    """Return the first of the *arguments* that is set, else the variable, else the default, each named."""
    for name, value in arguments.items():
        if value is not None:
            return name, value
    return variable, os.environ.get(variable) or default


def _parse_console(name: str, value: object) -> str | None:
    if value in ("text", "json", "stdout"):
        return str(value)
    return "text" if parse_flag(name, value, 'True, False, "text", "json" or "stdout"') else None


def _is_name_part(text: str) -> bool:
    return 0 < len(text) <= 200 and text.isprintable() and text.strip() != "" and "/" not in text


def _file_on_the_way(path: str) -> str | None:
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.exists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder if os.path.isfile(folder) else None


def _joined(errors: list[ConfigurationError]) -> ConfigurationError:
    first, *others = errors
    # One argument may be the value of several settings.
    further = dict.fromkeys(text for error in others if (text := str(error)) != str(first))
    if not further:
        return first
    return ConfigurationError(first.name, first.value, f"{first.allowed} (also: {'; '.join(further)})")
