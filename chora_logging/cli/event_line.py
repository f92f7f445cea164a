"""An event as one line for eyes: when, how severe, what, whose, and the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from chora_logging.cli.amounts import duration, many, moment, size
from chora_logging.cli.terminal import UNLIMITED, printable
from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.selection import time_of
from chora_logging.schema import LEVELS

#: Below this width the time has no milliseconds, the level is a letter, and events are not in a column.
WIDE_LINE_COLUMNS = 100
#: Below this width neither the log nor the trace is told, so that there is room for what happened.
NARROW_LINE_COLUMNS = 60
#: How many characters of a trace id tell it from the others on a screen.
SHORT_ID = 8
#: How long an event's name is in most programs.
NAME_COLUMNS = 26

#: What has a column of its own, or says nothing that the columns do not.
_COLUMNS = ("timestamp", "level", "logger", "event", "event_type", "task_id", "run_id", "trace_id", "message")
_ERRORS = ("error", "error_message")
#: What is read first, since the end of a line is cut off where it does not fit.
_FIRST = (*_ERRORS, "duration_ms")
#: What is read last, since it has many lines: of a traceback the last one tells what it is about.
_TRACEBACKS = ("exc_info", "exception")
_LAST = (*_TRACEBACKS, "stack_info")

_SHORT_LEVELS = {"WARNING": "WARN", "CRITICAL": "CRIT"}

_OTHER_NAMES = {"WARN": "WARNING", "FATAL": "CRITICAL"}
_FAILED = ("error", "failed")

#: What is said to take longer, in milliseconds, is taken for an error: 30,000 years.
LONGEST_DURATION_MS = 1e15

_STYLES = {"DEBUG": "dim", "INFO": "green", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}


def as_line(
    event: Mapping[str, Any], width: int, *, label: str = "", dated: bool = False, hidden: Iterable[str] = ()
) -> Text:
    """*event* as one line of at most *width* columns, with no character that commands a terminal.

    Args:
        event: As it was read from a log.
        width: The columns of the terminal; what does not fit is cut off.
        label: Which log it is from, where there are several.
        dated: Whether the day is told too.
        hidden: Fields that are not shown.
    """
    roomy = width >= WIDE_LINE_COLUMNS
    level = level_of(event)
    line = Text(no_wrap=True, overflow="ellipsis", end="")
    line.append(_time(event, roomy, dated), "dim")
    shown = _SHORT_LEVELS.get(level, level) if roomy else level[:1]
    line.append(" " + _padded(printable(shown), 5 if roomy else 1), _STYLES.get(level, ""))
    if width >= NARROW_LINE_COLUMNS:
        trace_id = "" if event.get("trace_id") is None else text_of(event["trace_id"])
        line.append(f" {label}" if label else "", "yellow")
        line.append(" " + _padded(trace_id[:SHORT_ID], SHORT_ID), "magenta")
    title = title_of(event)
    if name_of(event) is None:
        line.append(f" {title}", "red" if is_error(event) else "")
    else:
        line.append(
            " " + (_padded(title, NAME_COLUMNS) if roomy else title),
            "bold red" if is_error(event) else "bold cyan",
        )
    for field in ("task_id", "run_id"):
        if event.get(field) is not None:
            line.append(f" {text_of(event[field])}", "blue")
    _append_rest(line, event, width, frozenset(hidden))
    line.rstrip()
    if width < UNLIMITED:
        line.truncate(width, overflow="ellipsis")
    return line


def as_gap_line(gap: Gap, width: int, *, label: str = "") -> Text:
    """*gap* as one line that cannot be overlooked: what is missing, as far as anybody knows."""
    known = []
    if gap.files:
        known.append(many(gap.files, "file"))
    if gap.bytes:
        known.append(size(gap.bytes))
    if gap.since is not None:
        known.append(f"after {moment(gap.since)}")
    if gap.until is not None:
        known.append(f"before {moment(gap.until)}")
    text = f"── events are missing{f' in {label.strip()}' if label else ''}: {printable(gap.reason)}"
    line = Text(
        f"{text} ({', '.join(known)}) ──" if known else f"{text} ──", "bold yellow", no_wrap=True, end=""
    )
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
    for field in ("event", "event_type"):
        if event.get(field) is not None:
            return text_of(event[field])
    return None


def title_of(event: Mapping[str, Any]) -> str:
    """The name of *event*, else its message, fit for a terminal."""
    return name_of(event) or text_of(event.get("message") or "-")


def message_of(event: Mapping[str, Any]) -> str | None:
    """What the message of *event* says beside its name, fit for a terminal; None if it says no more."""
    message = event.get("message")
    # A message that logging made of the event's name repeats it; without a name it stands for one.
    if message is None or name_of(event) is None or message == f"Event: {event.get('event')}":
        return None
    return text_of(message)


def is_error(event: Mapping[str, Any]) -> bool:
    """Whether *event* tells of something that failed: by its level, or by its status."""
    return event.get("status") in _FAILED or level_of(event) in ("ERROR", "CRITICAL")


def error_of(event: Mapping[str, Any]) -> str | None:
    """What went wrong, in a line: the error that *event* names, or the exception of its traceback."""
    for field in _ERRORS:
        if event.get(field):
            return text_of(event[field])
    return _raised(event)


def duration_of(event: Mapping[str, Any]) -> float | None:
    """How long what *event* tells of took, in milliseconds; None if it does not say so."""
    value = event.get("duration_ms")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LONGEST_DURATION_MS:
        return float(value)
    return None


def local_time(event: Mapping[str, Any]) -> datetime | None:
    """When *event* happened, in the time of this place; None if it does not say so."""
    time = time_of(event)
    try:
        return None if time is None else datetime.fromtimestamp(time)
    except (OverflowError, ValueError, OSError):
        return None


def text_of(value: Any, *, quoted: bool = False) -> str:
    """*value* of a field in one line, fit for a terminal; what is no string as JSON."""
    if not isinstance(value, str):
        return printable(json.dumps(value, ensure_ascii=False))
    if quoted and (not value or " " in value):
        return printable(f'"{value}"')
    return printable(value)


def cut(text: str, width: int) -> str:
    """*text* exactly *width* columns wide."""
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _append_rest(line: Text, event: Mapping[str, Any], width: int, hidden: frozenset[str]) -> None:
    if width < UNLIMITED and (raised := _raised(event)):
        line.append(f" {raised}", "red")
    for field in _remaining(event, hidden):
        if field == "duration_ms" and (took := duration_of(event)) is not None:
            line.append(f" {duration(took)}", "cyan")
            continue
        tells = field in _ERRORS
        line.append(" " if tells and width < WIDE_LINE_COLUMNS else f" {printable(field)}=", "dim")
        line.append(text_of(event[field], quoted=True), "red" if tells else "")


def _raised(event: Mapping[str, Any]) -> str | None:
    for field in _TRACEBACKS:
        if isinstance(text := event.get(field), str) and text.strip():
            return text_of(text.strip().splitlines()[-1])
    return None


def _remaining(event: Mapping[str, Any], hidden: frozenset[str]) -> list[str]:
    fields = [field for field in _FIRST if event.get(field) is not None]
    if message_of(event) is not None:
        fields.append("message")
    fields += [field for field in event if field not in (*_COLUMNS, *_FIRST, *_LAST)]
    fields += [field for field in _LAST if field in event]
    return [field for field in fields if field not in hidden and event[field] is not None]


def _time(event: Mapping[str, Any], roomy: bool, dated: bool) -> str:
    local = local_time(event)
    if local is None:
        columns = 12 if roomy else 8
        told = "" if event.get("timestamp") is None else text_of(event["timestamp"])
        return _padded(told[:columns], columns)
    text = local.strftime("%Y-%m-%d %H:%M:%S" if dated else "%H:%M:%S")
    return text + (f".{local.microsecond // 1000:03}" if roomy else "")
