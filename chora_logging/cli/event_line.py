"""An event as one line for eyes: when, how severe, what, whose, and the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from chora_logging.cli.terminal import printable
from chora_logging.schema import LEVELS

#: Below this width the time has no milliseconds, the level is a letter, and events are not in a column.
ROOMY = 100
#: How many characters of a trace id tell it from the others on a screen.
SHORT_ID = 8
#: How long an event's name is in most programs.
NAME = 26

#: What has a column of its own, or says nothing that the columns do not.
_COLUMNS = ("timestamp", "level", "logger", "event", "event_type", "task_id", "run_id", "trace_id", "message")
_ERRORS = ("error", "error_message")
#: What is read first, since the end of a line is cut off where it does not fit.
_FIRST = (*_ERRORS, "duration_ms")

_OTHER_NAMES = {"WARN": "WARNING", "FATAL": "CRITICAL"}
_FAILED = ("error", "failed")

_STYLES = {"DEBUG": "dim", "INFO": "green", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}


def as_line(event: dict[str, Any], width: int, *, hidden: Iterable[str] = ()) -> Text:
    """*event* as one line of at most *width* columns, with no character that commands a terminal.

    Args:
        event: As it was read from a log.
        width: The columns of the terminal; what does not fit is cut off.
        hidden: Fields that are not shown.
    """
    roomy = width >= ROOMY
    level = level_of(event)
    line = Text(no_wrap=True, overflow="ellipsis", end="")
    line.append(_time(event.get("timestamp"), roomy), "dim")
    line.append(f" {printable(level if roomy else level[:1]):<{5 if roomy else 1}}", _STYLES.get(level, ""))
    trace_id = event.get("trace_id")
    line.append(f" {'' if trace_id is None else _text(trace_id)[:SHORT_ID]:<{SHORT_ID}}", "magenta")
    name = name_of(event) or "-"
    line.append(f" {name:<{NAME if roomy else 0}}", "bold red" if is_error(event) else "bold cyan")
    for field in ("task_id", "run_id"):
        if event.get(field) is not None:
            line.append(f" {_text(event[field])}", "blue")
    for field in _remaining(event, frozenset(hidden)):
        tells = field in _ERRORS
        line.append(" " if tells and not roomy else f" {printable(field)}=", "dim")
        line.append(_text(event[field], quoted=True), "red" if tells else "")
    line.truncate(width, overflow="ellipsis")
    return line


def level_of(event: Mapping[str, Any]) -> str:
    """The level of *event* in the standard library's words; one without a level has that of its status."""
    level = event.get("level")
    if isinstance(level, str):
        return _OTHER_NAMES.get(level.upper(), level.upper())
    if isinstance(level, int) and not isinstance(level, bool):
        return next((name for name, number in reversed(LEVELS.items()) if level >= number), "DEBUG")
    return "ERROR" if event.get("status") in _FAILED else "INFO"


def name_of(event: Mapping[str, Any]) -> str | None:
    """What *event* is called: its field `event` or `event_type`, fit for a terminal; None without one."""
    name = event.get("event", event.get("event_type"))
    return None if name is None else _text(name)


def is_error(event: Mapping[str, Any]) -> bool:
    """Whether *event* tells of something that failed: by its level, or by its status."""
    return event.get("status") in _FAILED or level_of(event) in ("ERROR", "CRITICAL")


def _remaining(event: dict[str, Any], hidden: frozenset[str]) -> list[str]:
    fields = [field for field in _FIRST if event.get(field) is not None]
    # A message that logging made of the event's name repeats it.
    if event.get("message") not in (None, f"Event: {event.get('event')}"):
        fields.append("message")
    fields += [field for field in event if field not in (*_COLUMNS, *_FIRST) and event[field] is not None]
    return [field for field in fields if field not in hidden]


def _time(timestamp: Any, roomy: bool) -> str:
    try:
        moment = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    except (AttributeError, ValueError, OverflowError):
        size = 12 if roomy else 8
        return f"{_text(timestamp)[:size]:<{size}}"
    local = moment.astimezone()  # a time without a zone is local already
    return local.strftime("%H:%M:%S") + (f".{local.microsecond // 1000:03}" if roomy else "")


def _text(value: Any, *, quoted: bool = False) -> str:
    if not isinstance(value, str):
        return printable(json.dumps(value, ensure_ascii=False))
    if quoted and (not value or " " in value):
        return printable(f'"{value}"')
    return printable(value)
