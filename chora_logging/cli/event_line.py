"""Formats an event as one line for people: time, level, trace, name, ids and the other fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from chora_logging.cli.amounts import duration, many, moment, size
from chora_logging.cli.terminal import UNLIMITED, printable
from chora_logging.eventlog import meaning
from chora_logging.eventlog.events import Gap

#: Below this width the time has no milliseconds, the level is a letter, and names are not aligned.
WIDE_LINE_COLUMNS = 100
#: Below this width the log and the trace are left out, so that the name of the event fits.
NARROW_LINE_COLUMNS = 60
#: How many characters of a trace id are shown; they distinguish it from the others on a screen.
SHORT_ID = 8
#: The width of the column of names; most names fit.
NAME_COLUMNS = 26

#: Fields that have a column of their own, or only repeat what the columns say.
_COLUMNS = (
    *(meaning.TIME, meaning.LEVEL, "logger", *meaning.EVENT),
    *("task_id", "run_id", meaning.TRACE, meaning.MESSAGE),
)
#: Fields that come first, since the end of a line that does not fit is cut off.
_FIRST = (*meaning.ERROR, meaning.DURATION)
#: Fields that come last, since they have many lines; the last line of a traceback names the exception.
_LAST = (*meaning.EXCEPTION, "stack_info")

_SHORT_LEVELS = {"WARNING": "WARN", "CRITICAL": "CRIT"}

_STYLES = {"DEBUG": "dim", "INFO": "green", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}


def as_line(
    event: Mapping[str, Any], width: int, *, label: str = "", dated: bool = False, hidden: Iterable[str] = ()
) -> Text:
    """Return *event* as one line of at most *width* columns, with control characters escaped.

    Args:
        event: The event as read from a log.
        width: The columns of the terminal; a longer line is cut off.
        label: The name of its log, if there are several.
        dated: Whether to show the date too.
        hidden: The fields to leave out.
    """
    is_wide = width >= WIDE_LINE_COLUMNS
    level = meaning.level_of(event) or ""
    failed = meaning.is_error(event)
    line = Text(no_wrap=True, overflow="ellipsis", end="")
    line.append(_time(event, is_wide, dated), "dim")
    shown = _SHORT_LEVELS.get(level, level) if is_wide else level[:1]
    line.append(" " + _padded(printable(shown), 5 if is_wide else 1), _STYLES.get(level, ""))
    if width >= NARROW_LINE_COLUMNS:
        trace_id = printable(meaning.trace_of(event) or "")
        line.append(f" {label}" if label else "", "yellow")
        line.append(" " + _padded(trace_id[:SHORT_ID], SHORT_ID), "magenta")
    title = title_of(event)
    if meaning.event_of(event) is None:
        line.append(f" {title}", "red" if failed else "")
    else:
        line.append(
            " " + (_padded(title, NAME_COLUMNS) if is_wide else title), "bold red" if failed else "bold cyan"
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
    """Return *gap* as one conspicuous line: what is missing, as far as it can be determined."""
    details = []
    if gap.files:
        details.append(many(gap.files, "file"))
    if gap.bytes:
        details.append(size(gap.bytes))
    if gap.since is not None:
        details.append(f"after {moment(gap.since)}")
    if gap.until is not None:
        details.append(f"before {moment(gap.until)}")
    text = f"── events are missing{f' in {label.strip()}' if label else ''}: {printable(gap.reason)}"
    line = Text(
        f"{text} ({', '.join(details)}) ──" if details else f"{text} ──", "bold yellow", no_wrap=True, end=""
    )
    line.truncate(width, overflow="ellipsis")
    return line


def title_of(event: Mapping[str, Any]) -> str:
    """Return the name of *event*, or else its message, escaped for a terminal."""
    name = meaning.event_of(event)
    return text_of(meaning.message_of(event) or "-") if name is None else text_of(name)


def message_of(event: Mapping[str, Any]) -> str | None:
    """Return the message of *event*, escaped for a terminal, if it adds something to the title; else None."""
    message = meaning.message_of(event)
    # Without a name, the message is the title.
    return None if message is None or meaning.event_of(event) is None else text_of(message)


def error_of(event: Mapping[str, Any]) -> str | None:
    """Return the error of *event* in one line: its error field, or the last line of its traceback."""
    for field in meaning.ERROR:
        if event.get(field):
            return text_of(event[field])
    return _raised(event)


def local_time(event: Mapping[str, Any]) -> datetime | None:
    """Return the local time of *event*, or None if it has no valid one."""
    time = meaning.time_of(event)
    return None if time is None else datetime.fromtimestamp(time)


def text_of(value: Any, *, quoted: bool = False) -> str:
    """Return the *value* of a field in one line, escaped for a terminal; as JSON if it is not a string."""
    if not isinstance(value, str):
        return printable(json.dumps(value, ensure_ascii=False))
    if quoted and (not value or " " in value):
        return printable(f'"{value}"')
    return printable(value)


def cut(text: str, width: int) -> str:
    """Return *text* padded or cut to exactly *width* columns."""
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _append_rest(line: Text, event: Mapping[str, Any], width: int, hidden: frozenset[str]) -> None:
    if width < UNLIMITED and (raised := _raised(event)):
        line.append(f" {raised}", "red")
    for field in _remaining(event, hidden):
        if field == meaning.DURATION and (took := meaning.duration_of(event)) is not None:
            line.append(f" {duration(took)}", "cyan")
            continue
        is_error = field in meaning.ERROR
        line.append(" " if is_error and width < WIDE_LINE_COLUMNS else f" {printable(field)}=", "dim")
        line.append(text_of(event[field], quoted=True), "red" if is_error else "")


def _raised(event: Mapping[str, Any]) -> str | None:
    for field in meaning.EXCEPTION:
        if isinstance(text := event.get(field), str) and text.strip():
            return text_of(text.strip().splitlines()[-1])
    return None


def _remaining(event: Mapping[str, Any], hidden: frozenset[str]) -> list[str]:
    fields = [field for field in _FIRST if event.get(field) is not None]
    if message_of(event) is not None:
        fields.append(meaning.MESSAGE)
    fields += [field for field in event if field not in (*_COLUMNS, *_FIRST, *_LAST)]
    fields += [field for field in _LAST if field in event]
    return [field for field in fields if field not in hidden and event[field] is not None]


def _time(event: Mapping[str, Any], is_wide: bool, dated: bool) -> str:
    local = local_time(event)
    if local is None:
        columns = 12 if is_wide else 8
        text = "" if event.get(meaning.TIME) is None else text_of(event[meaning.TIME])
        return _padded(text[:columns], columns)
    text = local.strftime("%Y-%m-%d %H:%M:%S" if dated else "%H:%M:%S")
    return text + (f".{local.microsecond // 1000:03}" if is_wide else "")
