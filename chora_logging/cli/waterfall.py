"""Draws the events of a trace as a timeline: a row each, with a bar from its start to its end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from chora_logging.cli.amounts import duration, many, moment
from chora_logging.cli.amounts import span as span_of
from chora_logging.cli.event_line import NARROW_LINE_COLUMNS, cut, error_of, message_of, text_of, title_of
from chora_logging.cli.logs import Found
from chora_logging.cli.multiline import lines_of
from chora_logging.cli.terminal import printable
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.times import EARLIEST_SECONDS

#: The width of a bar in columns: a narrower one shows nothing, a wider one shows no more.
SHORTEST_BAR, LONGEST_BAR = 10, 60

#: The tolerance for rounding errors in sums of times, in half characters.
ROUNDING = 1e-3

#: A bar is drawn in half characters: both, the left, the right. An event without a duration is a dot.
_HALVES = {(True, True): "━", (True, False): "╸", (False, True): "╺"}
_MOMENT = "•"

_IDS = ("task_id", "run_id")


@dataclass(frozen=True)
class Span:
    """The time span of one event, in seconds since 1970; None if it has no valid timestamp.

    An event is logged at its end: the span ends at its timestamp, and began `duration_ms` before.
    """

    found: Found
    start: float | None
    end: float | None

    @property
    def meaning(self) -> Meaning:
        """The meaning of the fields of its event."""
        return self.found.log.meaning

    @property
    def failed(self) -> bool:
        """Whether its event reports a failure."""
        return self.meaning.is_error(self.found.event)


@dataclass(frozen=True)
class Timeline:
    """The spans of one trace, at least one, in the order in which they were logged.

    Attributes:
        spans: The span of each event.
        start: When the first span began, in seconds since 1970; None if no event has a valid timestamp.
        seconds: The time from there to the end of the last span.
    """

    spans: Sequence[Span]
    start: float | None
    seconds: float

    def offset(self, span: Span) -> float | None:
        """Return how long after the start the event was logged, in milliseconds; None if unknown."""
        return None if span.end is None or self.start is None else (span.end - self.start) * 1000


def timeline_of(found: Iterable[Found]) -> Timeline:
    """Return the timeline of *found*, events in the order of time."""
    spans = []
    for item in found:
        meaning = item.log.meaning
        end = meaning.time_of(item.event)
        if end is None:
            spans.append(Span(item, None, None))
            continue
        took = meaning.duration_of(item.event) or 0.0
        spans.append(Span(item, max(EARLIEST_SECONDS, end - took / 1000), end))
    starts = [span.start for span in spans if span.start is not None]
    ends = [span.end for span in spans if span.end is not None]
    if not starts:
        return Timeline(spans, None, 0.0)
    return Timeline(spans, min(starts), max(ends) - min(starts))


def as_lines(timeline: Timeline, width: int) -> Iterator[Text]:
    """Yield *timeline* as lines of at most *width* columns: a head with what all events share, then each.

    Args:
        timeline: The timeline of one trace.
        width: The columns of the terminal.
    """
    common = _common(timeline)
    notes = [_note(span, common) for span in timeline.spans]
    columns = _fit(timeline, width, any(notes))
    lines = list(_head(timeline, common))
    for span, note in zip(timeline.spans, notes, strict=True):
        row = _row(timeline, span, columns)
        lines.append(row.append(f" {note}", "dim") if note else row)
        lines += _errors(span, columns.name_at + 2, width)
    for line in lines:
        line.rstrip()
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
        yield line


def bar(start: float, end: float, width: int) -> str:
    """Return a bar from *start* to *end*, both from 0 to 1, of a whole that is *width* characters wide.

    >>> bar(0.25, 0.75, 8), bar(0, 1 / 16, 8), bar(1, 1, 8)
    ('  ━━━━', '╸', '       •')
    """
    if start >= end:
        return " " * min(width - 1, int(start * width)) + _MOMENT
    first = min(2 * width - 1, int(start * 2 * width))
    after = max(first + 1, math.ceil(end * 2 * width - ROUNDING))
    halves = ((first <= half < after, first <= half + 1 < after) for half in range(0, 2 * width, 2))
    return "".join(_HALVES.get(pair, " ") for pair in halves).rstrip()


class _Columns(NamedTuple):
    """The widths of the columns; `name_at` is the column at which the names begin."""

    offset: int
    took: int
    name: int
    bar: int

    @property
    def name_at(self) -> int:
        return self.offset + self.took + 2


def _fit(timeline: Timeline, width: int, noted: bool) -> _Columns:
    offset = max(len(_offset(timeline, span)) for span in timeline.spans)
    took = max(len(_took(span)) for span in timeline.spans) if width >= NARROW_LINE_COLUMNS else 0
    left = width - offset - took - 4
    name = min(
        max(cell_len(title_of(span.found.event, span.meaning)) for span in timeline.spans),
        max(SHORTEST_BAR, left // 2),
    )
    left -= name
    return _Columns(offset, took, name, max(SHORTEST_BAR, min(left // 2 if noted else left, LONGEST_BAR)))


def _head(timeline: Timeline, common: Mapping[str, str]) -> Iterator[Text]:
    spans = timeline.spans
    trace_id = printable(spans[0].meaning.trace_of(spans[0].found.event) or "")
    yield Text().append("trace ", "dim").append(trace_id, "bold magenta")
    logs = {span.found.log for span in spans}
    facts = [f"{many(len(spans), 'event')} in {many(len(logs), 'log')}", duration(timeline.seconds * 1000)]
    if timeline.start is not None:
        facts.insert(0, moment(timeline.start))
    line = Text(", ".join(facts))
    if failed := sum(span.failed for span in spans):
        line.append(f", {many(failed, 'error')}", "bold red")
    yield line
    if common:
        yield Text(
            ", ".join(f"{field.removesuffix('_id')} {value}" for field, value in common.items()), "blue"
        )
    yield Text()


def _row(timeline: Timeline, span: Span, columns: _Columns) -> Text:
    failed = span.failed
    row = Text()
    row.append(f"{_offset(timeline, span):>{columns.offset}}", "dim")
    row.append(f" {_took(span) if columns.took else '':>{columns.took}}", "cyan")
    row.append(
        f" {cut(title_of(span.found.event, span.meaning), columns.name)}", "bold red" if failed else "bold"
    )
    if span.start is None or span.end is None or timeline.start is None:
        return row.append(" " * (columns.bar + 1))
    whole = timeline.seconds or 1.0
    start, end = ((time - timeline.start) / whole for time in (span.start, span.end))
    drawn = bar(start, end, columns.bar)
    row.append(f" {drawn:<{columns.bar}}", "red" if failed else "green")
    return row


def _errors(span: Span, indent: int, width: int) -> Iterator[Text]:
    """Yield the error of an event and its whole traceback, below its row."""
    event, meaning = span.found.event, span.meaning
    error = meaning.error_of(event)
    if error is not None:
        yield Text(" " * indent + text_of(error), "red")
    exception = meaning.exception_of(event)
    if exception is not None and "\n" in exception.strip():
        yield from lines_of({meaning.names("exception")[0]: exception}, width, meaning, indent=indent)
    elif error is None and (raised := error_of(event, meaning)):
        yield Text(" " * indent + raised, "red")


def _common(timeline: Timeline) -> dict[str, str]:
    """Return, by field, the id that all events with this field share."""
    events = [span.found.event for span in timeline.spans]
    ids = {
        field: {text_of(event[field]) for event in events if event.get(field) is not None} for field in _IDS
    }
    return {field: values.pop() for field, values in ids.items() if len(values) == 1}


def _note(span: Span, common: Mapping[str, str]) -> str:
    """Return the text after the bar of an event: the ids that are not shared, and its message."""
    event = span.found.event
    parts = [text_of(event[field]) for field in _IDS if field not in common and event.get(field) is not None]
    if message := message_of(event, span.meaning):
        parts.append(message)
    return " ".join(parts)


def _offset(timeline: Timeline, span: Span) -> str:
    offset = timeline.offset(span)
    if offset is None:
        return "?"
    if timeline.seconds < 1:
        return f"+{offset:.{1 if timeline.seconds > 0.1 else 2}f} ms"
    return f"+{offset / 1000:.3f} s" if timeline.seconds < 100 else f"+{span_of(offset / 1000)}"


def _took(span: Span) -> str:
    took = span.meaning.duration_of(span.found.event)
    return "" if took is None else duration(took)
