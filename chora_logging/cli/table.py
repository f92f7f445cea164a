"""Formats events as a table that fits the terminal; the most important columns get space first."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from chora_logging.cli import event_line
from chora_logging.cli.amounts import duration
from chora_logging.cli.event_line import cut, text_of
from chora_logging.cli.multiline import lines_of
from chora_logging.cli.rows import Rows
from chora_logging.cli.terminal import UNLIMITED, printable
from chora_logging.eventlog.events import RawLine
from chora_logging.eventlog.meaning import STATUS, USUAL, Meaning

#: The standard columns, in their order; columns of the other fields follow.
HEADS = ("time", "level", "log", "event", "task", "run", "trace", "status", "took", "error", "message")
#: The order in which columns get space if there is not enough.
WANTED = ("event", "time", "level", "error", "task", "took", "status", "trace", "run", "log", "message")
#: The least width to which a column is cut, and the greatest while others need space too.
NARROWEST_COLUMNS, WIDEST_COLUMNS = 8, 120

#: The line that stands for events that are left out, as `grep` has it.
LEFT_OUT = Text("--", "dim")

_STYLES = {"time": "dim", "log": "yellow", "task": "blue", "run": "blue", "trace": "magenta", "took": "cyan"}
#: What the standard columns show, and the fields that they show in any case.
_MEANINGS = ("time", "level", "event", "trace", "duration", "exception", "message")
_SHOWN = frozenset(("timestamp", "level", "event", "event_type", "task_id", "run_id", "trace_id", "message"))
_SHOWN |= {STATUS, "duration_ms", "error", "error_message", "exc_info", "exception"}

Widths = dict[str, int]


class Table:
    """Formats events as lines of at most *width* columns: a head, the events, and the omitted columns.

    Call `measure` with each event, then `lines`. Where the first rows must not wait for the last, call `head`
    once the first events have been measured, `row` with each event, and `foot`.

    Args:
        width: The columns of the terminal.
        with_log: Whether each row names its log.
        meaning: The meaning of the fields.
    """

    def __init__(self, width: int, *, with_log: bool, meaning: Meaning = USUAL) -> None:
        self._width = width
        self._meaning = meaning
        self._short = width < UNLIMITED
        self._heads = [head for head in HEADS if with_log or head != "log"]
        #: By head, the field of a column that is not a standard one.
        self._fields: dict[str, str] = {}
        self._natural: Widths = {}
        self._filled: Widths = {}
        self._widths: Widths = {}

    def measure(self, log: str, event: Mapping[str, Any]) -> None:
        """Widen the columns so that *event* fits; a `RawLine` needs none."""
        shown = event_line.columns_of(event, self._meaning, _MEANINGS, _SHOWN)
        own = {_head_of(field): field for field in event if field not in shown}
        self._fields.update(own)
        for head in itertools.chain(self._heads, own):
            size = cell_len(self._cell(head, log, event))
            if size > self._natural.get(head, 0):
                self._natural[head] = size

    def lines(self, rows: Rows, begins: Container[int] = (), *, full: bool = False) -> Iterator[Text]:
        """Yield the lines, one for each event of *rows*; all of them must have been measured.

        Args:
            rows: The events.
            begins: The positions of events before which others are left out: a line shows it.
            full: Whether values of several lines, such as tracebacks, follow below their row.
        """
        yield self.head(rows.fields)
        for position, (log, event) in enumerate(rows):
            if position in begins:
                yield LEFT_OUT
            yield from self.row(log, event, full=full)
        yield from self.foot()

    def head(self, fields: Iterable[str]) -> Text:
        """Give the columns their widths, and return the line of their names.

        Args:
            fields: The fields in the order of their columns.
        """
        heads = [*self._heads, *(head for field in fields if (head := _head_of(field)) in self._fields)]
        self._filled = {
            head: max(self._natural[head], cell_len(printable(head)))
            for head in heads
            if self._natural.get(head)
        }
        self._widths = fit(self._filled, self._width)
        return self._line([(printable(head), "bold") for head in self._widths], self._widths)

    def row(self, log: str, event: Mapping[str, Any], *, full: bool = False) -> Iterator[Text]:
        """Yield the line of *event*; what it has that no event had before `head` stands behind it."""
        if isinstance(event, RawLine):
            label = printable(log) if "log" in self._heads else ""
            yield event_line.as_raw_line(event, self._width, label=label)
            return
        failed = self._meaning.is_error(event)
        cells = [(self._cell(head, log, event), _style(head, failed)) for head in self._widths]
        line = self._line(cells, self._widths)
        for head in self._new_heads():
            if cell := self._cell(head, log, event):
                line.append(f"  {printable(head.removesuffix('='))}=", "dim").append(
                    cell, _style(head, failed)
                )
        yield line
        if full:
            yield from lines_of(event, self._width, self._meaning)

    def foot(self) -> Iterator[Text]:
        """Yield a line that names the columns for which there is no room, if there are such."""
        if without := [printable(head) for head in self._filled if head not in self._widths]:
            line = Text(f"no room for {', '.join(without)}", "dim", no_wrap=True)
            line.truncate(self._width, overflow="ellipsis")
            yield line

    def _new_heads(self) -> list[str]:
        if self._short or len(self._natural) == len(self._filled):
            return []
        return [head for head, size in self._natural.items() if size and head not in self._filled]

    def _line(self, cells: Sequence[tuple[str, str]], widths: Widths) -> Text:
        line = Text(no_wrap=True)
        for index, ((text, style), (head, width)) in enumerate(zip(cells, widths.items(), strict=True)):
            space = " " * max(0, width - cell_len(text))
            if self._short:
                text = cut(text, width - len(space))
            line.append("  " if index else "").append(space + text if head == "took" else text + space, style)
        line.rstrip()
        return line

    def _cell(self, head: str, log: str, event: Mapping[str, Any]) -> str:
        if head == "log":
            return printable(log)
        if head in _CELLS:
            return _CELLS[head](event, self._meaning, self._short)
        value = event.get(self._fields.get(head, head))
        return "" if value is None else text_of(value)


def fit(natural: Widths, width: int) -> Widths:
    """Return the widths of the columns that fit, in the order of *natural*, their full widths.

    >>> fit({"time": 14, "event": 30, "message": 200}, 60)
    {'time': 14, 'event': 24, 'message': 18}
    """
    most = {"event": width * 2 // 5, "error": width // 2, "time": width}
    left = width
    widths: Widths = {}
    wanted = [head for head in WANTED if head in natural]
    for head in [*wanted, *(head for head in natural if head not in WANTED)]:
        gap = 2 if widths else 0
        size = min(natural[head], max(NARROWEST_COLUMNS, min(most.get(head, width // 3), WIDEST_COLUMNS)))
        if size > left - gap and left - gap >= NARROWEST_COLUMNS:
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
    """Yield a table of counts: a line for each combination of values of the fields *heads*."""
    counts = list(counts)
    lines = [([shown(value) for value in values], n) for values, n in counts]
    if len({tuple(cells) for cells, _ in lines}) < len(lines):
        lines = [([shown(value, exact=True) for value in values], n) for values, n in counts]
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
        line = Text().append(f"{number:>{size},}", "cyan")
        for cell, width in zip(cells, widths, strict=True):
            line.append(f"  {cut(cell, width)}")
        line.rstrip()
        yield line


def _head_of(field: str) -> str:
    """Return the head of the column of a field that no standard column shows."""
    return f"{field}=" if field in HEADS else field


def _time(event: Mapping[str, Any], meaning: Meaning, short: bool) -> str:
    local = event_line.local_time(event, meaning)
    if local is None:
        return event_line.raw_time(event, meaning)
    return f"{local:%m-%d %H:%M:%S}" if short else local.isoformat(" ", "milliseconds")


def _level(event: Mapping[str, Any], meaning: Meaning, short: bool) -> str:
    return printable(meaning.level_of(event) or "")


def _trace(event: Mapping[str, Any], meaning: Meaning, short: bool) -> str:
    text = printable(meaning.trace_of(event) or "")
    return event_line.short_id(text) if short else text


def _took(event: Mapping[str, Any], meaning: Meaning, short: bool) -> str:
    took = meaning.duration_of(event)
    return "" if took is None else duration(took)


def _text(field: str, event: Mapping[str, Any]) -> str:
    return "" if event.get(field) is None else text_of(event[field])


#: The text of each standard column, from an event, the meaning of its fields, and whether it is to be short.
_CELLS: dict[str, Callable[[Mapping[str, Any], Meaning, bool], str]] = {
    "time": _time,
    "level": _level,
    "event": lambda event, meaning, short: event_line.title_of(event, meaning),
    "task": lambda event, meaning, short: _text("task_id", event),
    "run": lambda event, meaning, short: _text("run_id", event),
    "trace": _trace,
    "status": lambda event, meaning, short: _text(STATUS, event),
    "took": _took,
    "error": lambda event, meaning, short: event_line.error_of(event, meaning) or "",
    "message": lambda event, meaning, short: event_line.message_of(event, meaning) or "",
}


def shown(value: Any, *, exact: bool = False) -> str:
    """Return *value* as a cell; if *exact*, text that reads like another value is quoted."""
    if value is None:
        return "-"
    if value == "" or (exact and isinstance(value, str) and _is_ambiguous(value)):
        return text_of(f'"{value}"')
    return text_of(value)


def _is_ambiguous(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text == "-"
    return True


def _style(head: str, failed: bool) -> str:
    if failed and head in ("event", "level", "status", "error"):
        return "bold red" if head == "event" else "red"
    return "bold" if head == "event" else _STYLES.get(head, "default")
