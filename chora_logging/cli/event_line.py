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
from chora_logging.eventlog import meaning
from chora_logging.eventlog.events import Gap

#: Below this width the time has no milliseconds, the level is a letter, and events are not in a column.
WIDE_LINE_COLUMNS = 100
#: Below this width neither the log nor the trace is told, so that there is room for what happened.
NARROW_LINE_COLUMNS = 60
#: How many characters of a trace id tell it from the others on a screen.
SHORT_ID = 8
#: How long an event's name is in most programs.
NAME_COLUMNS = 26

#: What has a column of its own, or says nothing that the columns do not.
_COLUMNS = (
    *(meaning.TIME, meaning.LEVEL, "logger", *meaning.EVENT),
    *("task_id", "run_id", meaning.TRACE, meaning.MESSAGE),
)
#: What is read first, since the end of a line is cut off where it does not fit.
_FIRST = (*meaning.ERROR, meaning.DURATION)
#: What is read last, since it has many lines: of a traceback the last one tells what it is about.
_LAST = (*meaning.EXCEPTION, "stack_info")

_SHORT_LEVELS = {"WARNING": "WARN", "CRITICAL": "CRIT"}

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
    level = meaning.level_of(event) or ""
    failed = meaning.is_error(event)
    line = Text(no_wrap=True, overflow="ellipsis", end="")
    line.append(_time(event, roomy, dated), "dim")
    shown = _SHORT_LEVELS.get(level, level) if roomy else level[:1]
    line.append(" " + _padded(printable(shown), 5 if roomy else 1), _STYLES.get(level, ""))
    if width >= NARROW_LINE_COLUMNS:
        trace_id = printable(meaning.trace_of(event) or "")
        line.append(f" {label}" if label else "", "yellow")
        line.append(" " + _padded(trace_id[:SHORT_ID], SHORT_ID), "magenta")
    title = title_of(event)
    if meaning.event_of(event) is None:
        line.append(f" {title}", "red" if failed else "")
    else:
        line.append(
            " " + (_padded(title, NAME_COLUMNS) if roomy else title), "bold red" if failed else "bold cyan"
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


def title_of(event: Mapping[str, Any]) -> str:
    """The name of *event*, else its message, fit for a terminal."""
    name = meaning.event_of(event)
    return text_of(meaning.message_of(event) or "-") if name is None else text_of(name)


def message_of(event: Mapping[str, Any]) -> str | None:
    """What the message of *event* says beside its name, fit for a terminal; None if it says no more."""
    message = meaning.message_of(event)
    # Without a name it stands for one.
    return None if message is None or meaning.event_of(event) is None else text_of(message)


def error_of(event: Mapping[str, Any]) -> str | None:
    """What went wrong, in a line: the error that *event* names, or the exception of its traceback."""
    for field in meaning.ERROR:
        if event.get(field):
            return text_of(event[field])
    return _raised(event)


def local_time(event: Mapping[str, Any]) -> datetime | None:
    """When *event* happened, in the time of this place; None if it does not say so."""
    time = meaning.time_of(event)
    return None if time is None else datetime.fromtimestamp(time)


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
        if field == meaning.DURATION and (took := meaning.duration_of(event)) is not None:
            line.append(f" {duration(took)}", "cyan")
            continue
        tells = field in meaning.ERROR
        line.append(" " if tells and width < WIDE_LINE_COLUMNS else f" {printable(field)}=", "dim")
        line.append(text_of(event[field], quoted=True), "red" if tells else "")


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


def _time(event: Mapping[str, Any], roomy: bool, dated: bool) -> str:
    local = local_time(event)
    if local is None:
        columns = 12 if roomy else 8
        told = "" if event.get(meaning.TIME) is None else text_of(event[meaning.TIME])
        return _padded(told[:columns], columns)
    text = local.strftime("%Y-%m-%d %H:%M:%S" if dated else "%H:%M:%S")
    return text + (f".{local.microsecond // 1000:03}" if roomy else "")
