"""Events as a table that fits the terminal: what matters most, where there is no room for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from chora_logging.cli import event_line
from chora_logging.cli.amounts import duration
from chora_logging.cli.event_line import cut, text_of
from chora_logging.cli.rows import Rows
from chora_logging.cli.terminal import UNLIMITED, printable

#: The columns that most readers want, in their order; fields that have none of their own follow.
HEADS = ("time", "level", "log", "event", "task", "run", "trace", "status", "took", "error", "message")
#: Which get room first where there is not enough.
WANTED = ("event", "time", "level", "error", "task", "took", "status", "trace", "run", "log", "message")
#: How wide a column must be to be worth its room, and how wide it may be while others want room too.
NARROWEST, WIDEST = 8, 120

_STYLES = {"time": "dim", "log": "yellow", "task": "blue", "run": "blue", "trace": "magenta", "took": "cyan"}
_FIELDS = {"status": "status", "task": "task_id", "run": "run_id"}
#: The fields that these columns are made of.
_SHOWN = {
    "timestamp",
    "level",
    "event",
    "event_type",
    "task_id",
    "run_id",
    "trace_id",
    "status",
    "duration_ms",
}
_SHOWN |= {"error", "error_message", "exc_info", "exception", "message"}

Widths = dict[str, int]


def as_table(rows: Rows, width: int, *, tell_log: bool) -> Iterator[Text]:
    """*rows* as lines of at most *width* columns: heads, events, and which fields have no room.

    Args:
        rows: The events.
        width: The columns of the terminal.
        tell_log: Whether each row says which log it is from.
    """
    short = width < UNLIMITED
    heads = [head for head in HEADS if tell_log or head != "log"]
    heads += [field for field in rows.fields if field not in _SHOWN]
    natural = dict.fromkeys(heads, 0)
    for log, event in rows:
        for head in heads:
            natural[head] = max(natural[head], cell_len(_cell(head, log, event, short)))
    filled = {head: max(size, cell_len(printable(head))) for head, size in natural.items() if size}
    widths = fit(filled, width)
    yield _line([(printable(head), "bold") for head in widths], widths, short)
    for log, event in rows:
        failed = event_line.is_error(event)
        cells = [(_cell(head, log, event, short), _style(head, failed)) for head in widths]
        yield _line(cells, widths, short)
    if without := [printable(head) for head in filled if head not in widths]:
        line = Text(f"no room for {', '.join(without)}", "dim", no_wrap=True)
        line.truncate(width, overflow="ellipsis")
        yield line


def fit(natural: Widths, width: int) -> Widths:
    """How wide each column is that has room, in the order of *natural*, the widths that they would have.

    >>> fit({"time": 14, "event": 30, "message": 200}, 60)
    {'time': 14, 'event': 24, 'message': 18}
    """
    most = {"event": width * 2 // 5, "error": width // 2, "time": width}
    left = width
    widths: Widths = {}
    wanted = [head for head in WANTED if head in natural]
    for head in [*wanted, *(head for head in natural if head not in WANTED)]:
        gap = 2 if widths else 0
        size = min(natural[head], max(NARROWEST, min(most.get(head, width // 3), WIDEST)))
        if size > left - gap and left - gap >= NARROWEST:
            size = left - gap
        if size <= left - gap:
            widths[head] = size
            left -= size + gap
    for head in widths if width < UNLIMITED else ():
        more = min(left, natural[head] - widths[head])
        widths[head] += more
        left -= more
    return {head: widths[head] for head in natural if head in widths}


def as_counts(heads: Sequence[str], counts: Iterable[tuple[Sequence[Any], int]]) -> Iterator[Text]:
    """How many events have each combination of values of the fields *heads*, a line each."""
    lines = [([text_of(value) if value is not None else "-" for value in values], n) for values, n in counts]
    widths = [
        max(map(cell_len, column))
        for column in zip(map(printable, heads), *(c for c, _ in lines), strict=True)
    ]
    size = max(len("count"), *(len(f"{number:,}") for _, number in lines))
    title = Text(f"{'count':>{size}}", "bold")
    for head, width in zip(heads, widths, strict=True):
        title.append(f"  {cut(printable(head), width)}")
    title.rstrip()
    yield title
    for cells, number in lines:
        line = Text(f"{number:>{size},}", "cyan")
        for cell, width in zip(cells, widths, strict=True):
            line.append(f"  {cut(cell, width)}", "default")
        line.rstrip()
        yield line


def _line(cells: Sequence[tuple[str, str]], widths: Widths, short: bool) -> Text:
    line = Text(no_wrap=True)
    for index, ((text, style), (head, width)) in enumerate(zip(cells, widths.items(), strict=True)):
        room = " " * max(0, width - cell_len(text))
        if short:
            text = cut(text, width - len(room))
        line.append("  " if index else "").append(room + text if head == "took" else text + room, style)
    line.rstrip()
    return line


def _cell(head: str, log: str, event: dict[str, Any], short: bool) -> str:
    if head == "time":
        local = event_line.local_time(event)
        if local is None:
            return "" if event.get("timestamp") is None else text_of(event["timestamp"])
        return f"{local:%m-%d %H:%M:%S}" if short else local.isoformat(" ", "milliseconds")
    if head == "level":
        return "" if event.get("level") is None else printable(event_line.level_of(event))
    if head == "log":
        return printable(log)
    if head == "event":
        return event_line.title_of(event)
    if head == "trace":
        text = "" if event.get("trace_id") is None else text_of(event["trace_id"])
        return text[: event_line.SHORT_ID] if short else text
    if head == "took":
        took = event_line.duration_of(event)
        return "" if took is None else duration(took)
    if head == "error":
        return event_line.error_of(event) or ""
    if head == "message":
        return event_line.message_of(event) or ""
    value = event.get(_FIELDS.get(head, head))
    return "" if value is None else text_of(value)


def _style(head: str, failed: bool) -> str:
    if failed and head in ("event", "level", "status", "error"):
        return "bold red" if head == "event" else "red"
    return "bold" if head == "event" else _STYLES.get(head, "default")
