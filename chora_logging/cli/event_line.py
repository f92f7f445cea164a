"""Formats an event as one line for people: time, level, trace, name, ids and the other fields."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from chora_logging.cli.amounts import duration, many, moment, size
from chora_logging.cli.terminal import UNLIMITED, LineBuilder, printable
from chora_logging.eventlog.events import Gap, RawLine
from chora_logging.eventlog.meaning import USUAL, Meaning

#: Below this width the time has no milliseconds, the level is a letter, and names are not aligned.
WIDE_LINE_COLUMNS = 100
#: Below this width the log and the trace are left out, so that the name of the event fits.
NARROW_LINE_COLUMNS = 60
#: How many characters of a trace id are shown; they distinguish it from the others on a screen.
SHORT_ID = 8
#: An id whose first characters are random; that of words and numbers differs from others at its end.
_RANDOM_ID = re.compile(rf"[0-9a-f]{{{SHORT_ID}}}", re.ASCII | re.IGNORECASE)
#: The width of the column of names; most names fit.
NAME_COLUMNS = 26

#: Changes of the colour, which programs that print to a terminal leave in their lines.
_COLOURS = re.compile(r"\x1b\[[\d;]*m", re.ASCII)

#: Meanings that have a column of their own.
_MEANINGS = ("time", "level", "event", "trace", "message")
#: Fields that have one too, or only repeat what the columns say.
_COLUMNS = frozenset(("timestamp", "level", "logger", "event", "event_type"))
_COLUMNS |= frozenset(("task_id", "run_id", "trace_id", "message"))
#: Fields that come first, since the end of a line that does not fit is cut off.
_ERRORS = ("error", "error_message")

_SHORT_LEVELS = {"WARNING": "WARN", "CRITICAL": "CRIT"}

_STYLES = {"DEBUG": "dim", "INFO": "green", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}


def as_line(
    event: Mapping[str, Any],
    width: int,
    *,
    label: str = "",
    dated: bool = False,
    hidden: Iterable[str] = (),
    meaning: Meaning = USUAL,
    whole: bool = False,
) -> Text:
    """Return *event* as one line of at most *width* columns, with control characters escaped.

    Args:
        event: The event as read from a log.
        width: The columns of the terminal; a longer line is cut off.
        label: The name of its log, if there are several.
        dated: Whether to show the date too.
        hidden: The fields to leave out.
        meaning: The meaning of its fields.
        whole: Whether a line that does not fit is not cut off.
    """
    is_wide = width >= WIDE_LINE_COLUMNS
    level = meaning.level_of(event) or ""
    failed = meaning.is_error(event)
    parts = LineBuilder()
    parts.append(_time(event, is_wide, dated, meaning), "dim")
    shown = _SHORT_LEVELS.get(level, level) if is_wide else level[:1]
    parts.append(" " + _padded(printable(shown), 5 if is_wide else 1), _STYLES.get(level, ""))
    if width >= NARROW_LINE_COLUMNS:
        trace_id = short_id(printable(meaning.trace_of(event) or ""))
        parts.append(f" {label}" if label else "", "yellow")
        parts.append(" " + _padded(trace_id, SHORT_ID), "magenta")
    title = title_of(event, meaning)
    if meaning.event_of(event) is None:
        parts.append(f" {title}", "red" if failed else "")
    else:
        parts.append(
            " " + (_padded(title, NAME_COLUMNS) if is_wide else title), "bold red" if failed else "bold cyan"
        )
    for field in ("task_id", "run_id"):
        if event.get(field) is not None:
            parts.append(f" {text_of(event[field])}", "blue")
    _append_rest(parts, event, width, frozenset(hidden), meaning)
    line = parts.line()
    if width < UNLIMITED and not whole and cell_len(line.plain) > width:
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


def as_left_out_line(number: int, width: int) -> Text:
    """Return the line that says how many events a terminal does not show because it is behind."""
    text = (
        f"── {many(number, 'event')} behind: not shown, since they come faster than a terminal shows them ──"
    )
    line = Text(text, "bold yellow", no_wrap=True, end="")
    line.truncate(width, overflow="ellipsis")
    return line


def as_raw_line(raw: RawLine, width: int, *, label: str = "", whole: bool = False) -> Text:
    """Return the line *raw*, which is not an event, as it stands, but escaped; cut off unless *whole*."""
    text = printable(_COLOURS.sub("", raw.text).expandtabs())
    line = Text(no_wrap=True, end="").append(f"{label} " if label else "", "yellow").append(text, "dim")
    line.rstrip()
    if width < UNLIMITED and not whole:
        line.truncate(width, overflow="ellipsis")
    return line


def short_id(text: str) -> str:
    """Return that part of the trace id *text* by which people tell it from others, `SHORT_ID` characters.

    >>> short_id("4bf92f3577b34da6a3ce929d0e0e4736"), short_id("workflow-abc123"), short_id("req-7")
    ('4bf92f35', '…-abc123', 'req-7')
    """
    if len(text) <= SHORT_ID or _RANDOM_ID.match(text):
        return text[:SHORT_ID]
    return "…" + text[1 - SHORT_ID :]


def title_of(event: Mapping[str, Any], meaning: Meaning = USUAL) -> str:
    """Return the name of *event*, or else its message, escaped for a terminal."""
    name = meaning.event_of(event)
    return text_of(meaning.message_of(event) or "-") if name is None else text_of(name)


def message_of(event: Mapping[str, Any], meaning: Meaning = USUAL) -> str | None:
    """Return the message of *event*, escaped for a terminal, if it adds something to the title; else None."""
    message = meaning.message_of(event)
    # Without a name, the message is the title.
    return None if message is None or meaning.event_of(event) is None else text_of(message)


def error_of(event: Mapping[str, Any], meaning: Meaning = USUAL) -> str | None:
    """Return the error of *event* in one line: its error field, or the last line of its traceback."""
    error = meaning.error_of(event)
    return _raised(event, meaning) if error is None else text_of(error)


def local_time(event: Mapping[str, Any], meaning: Meaning = USUAL) -> datetime | None:
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


def _append_rest(
    line: LineBuilder, event: Mapping[str, Any], width: int, hidden: frozenset[str], meaning: Meaning
) -> None:
    if width < UNLIMITED and (raised := _raised(event, meaning)):
        line.append(f" {raised}", "red")
    took = meaning.duration_of(event)
    lasted = None if took is None else meaning.field_of("duration", event)
    for field in _remaining(event, hidden, lasted, meaning):
        if took is not None and field == lasted:
            line.append(f" {duration(took)}", "cyan")
            continue
        is_error = field in _ERRORS
        line.append(" " if is_error and width < WIDE_LINE_COLUMNS else f" {printable(field)}=", "dim")
        line.append(text_of(event[field], quoted=True), "red" if is_error else "")


def _raised(event: Mapping[str, Any], meaning: Meaning) -> str | None:
    exception = meaning.exception_of(event)
    return None if exception is None else text_of(exception.strip().splitlines()[-1])


def _remaining(
    event: Mapping[str, Any], hidden: frozenset[str], lasted: str | None, meaning: Meaning
) -> list[str]:
    """Return the fields without a column: errors and the duration first, tracebacks last."""
    columns, last = columns_of(event, meaning), _tracebacks(meaning)
    first = [*_ERRORS, lasted]
    if message_of(event, meaning) is not None:
        first.append(meaning.field_of("message", event))
    fields = [field for field in first if field is not None and field in event]
    fields += [field for field in event if field not in columns and field not in first and field not in last]
    fields += [field for field in last if field in event]
    return [field for field in fields if field not in hidden and event[field] is not None]


def columns_of(
    event: Mapping[str, Any],
    meaning: Meaning,
    kinds: tuple[str, ...] = _MEANINGS,
    usual: frozenset[str] = _COLUMNS,
) -> frozenset[str]:
    """Return the fields of *event* that are shown by what they mean.

    Args:
        event: The event.
        meaning: The meaning of its fields.
        kinds: What is shown: keys of `NAMES`.
        usual: The fields that are shown in any case.
    """
    columns = usual
    if not _other_names(meaning, kinds, usual).isdisjoint(event):
        fields = (meaning.field_of(kind, event) for kind in kinds)
        columns = usual.union(field for field in fields if field is not None)
    # An object has more than the name.
    return columns - {"event"} if isinstance(event.get("event"), dict) else columns


@functools.cache
def _other_names(meaning: Meaning, kinds: tuple[str, ...], usual: frozenset[str]) -> frozenset[str]:
    return frozenset(name for kind in kinds for name in meaning.names(kind)) - usual


@functools.cache
def _tracebacks(meaning: Meaning) -> dict[str, None]:
    # They have many lines, so they come last; the last line of a traceback names the exception.
    return dict.fromkeys((*meaning.names("exception"), "stack_info"))


def _time(event: Mapping[str, Any], is_wide: bool, dated: bool, meaning: Meaning) -> str:
    local = local_time(event, meaning)
    if local is None:
        columns = 12 if is_wide else 8
        return _padded(raw_time(event, meaning)[:columns], columns)
    text = local.strftime("%Y-%m-%d %H:%M:%S" if dated else "%H:%M:%S")
    return text + (f".{local.microsecond // 1000:03}" if is_wide else "")


def raw_time(event: Mapping[str, Any], meaning: Meaning = USUAL) -> str:
    """Return what *event* has as its time, escaped for a terminal, whether it can be read or not."""
    field = meaning.field_of("time", event)
    return "" if field is None else text_of(event[field])
