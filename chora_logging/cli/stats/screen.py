"""Prints a survey for people, on a terminal of any width."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chora_logging.cli import amounts
from chora_logging.cli.event_line import as_line
from chora_logging.cli.stats.survey import PERCENTILES, Extent, Survey
from chora_logging.cli.stats.tally import Group, Groups
from chora_logging.cli.stats.timeline import columns_for, plot, unit_of
from chora_logging.cli.terminal import NARROW_COLUMNS, WIDE_COLUMNS, printable

#: The width if that of the screen is unknown.
USUAL_COLUMNS = 80
#: How many types, and how many statuses and levels are shown; `--json` has all.
SHOWN_TYPES, SHOWN_VALUES = 12, 6


def show(survey: Survey, console: Console, width: int) -> None:
    """Print *survey* in at most *width* columns."""
    console.print(_headline(survey, width))
    for name, count in sorted(survey.tally.unreadable.items()):
        words = amounts.unreadable(count, survey.tally.all.events, name)
        console.print(Text(words, "yellow", no_wrap=True, overflow="ellipsis"))
    console.print()
    console.print(_logs(survey.extents, width))
    _show_timeline(survey, console, width)
    console.print()
    console.print(_types(survey, width))
    _show_rest(console, survey.tally.types)
    console.print()
    console.print(_values(survey, width))
    _show_slowest(survey, console, width)


def _headline(survey: Survey, width: int) -> Text:
    tally = survey.tally
    line = Text(no_wrap=True)
    line.append(amounts.many(tally.all.events, "event"), "bold")
    if width >= WIDE_COLUMNS and math.isfinite(tally.timeline.first):
        line.append(f" in {amounts.span(tally.timeline.last - tally.timeline.first)}")
    line.append(", ")
    errors = amounts.many(tally.all.errors, "error")
    share = f" ({amounts.percentage(tally.all.errors, tally.all.events)})" if tally.all.errors else ""
    line.append(f"{errors}{share}", "red" if tally.all.errors else "green")
    return line


def _logs(extents: list[Extent], width: int) -> Table:
    titles: tuple[str, ...] = ("events", "size", "files", "from", "to")
    titles = titles if width >= WIDE_COLUMNS else titles[:2] if width >= NARROW_COLUMNS else titles[:1]
    table = _table("log", *titles)
    for extent in extents:
        sizes = (f"{extent.events:,}", amounts.size(extent.size), f"{extent.files:,}" if extent.files else "")
        table.add_row(_name(extent.log.name), *(*sizes, *_times(extent))[: len(titles)])
    return table


def _times(extent: Extent) -> tuple[str, str]:
    if not math.isfinite(extent.first):
        return "", ""
    return amounts.moments(extent.first, extent.last)


def _show_timeline(survey: Survey, console: Console, width: int) -> None:
    series = survey.tally.timeline.series(columns_for(width))
    if series is None:
        return
    unit, seconds = unit_of(series)
    title = Text(no_wrap=True).append(f"events per {unit}", "bold")
    details = (
        f"  {amounts.span(series.step)} a bar, at most {max(series.events) * seconds / series.step:,.0f}"
    )
    if len(title) + len(details) <= width:
        title.append(details, "dim")
    console.print()
    console.print(title)
    for line in plot(series, width):
        console.print(line)


def _types(survey: Survey, width: int) -> Table:
    whole = survey.tally.all
    timed: tuple[str, ...] = ()
    if whole.durations.count:
        timed = (*(f"p{percent}" for percent in PERCENTILES), "max") if width >= WIDE_COLUMNS else ("p95",)
    titles = ("events", "errors", *timed) if width >= NARROW_COLUMNS else ("events",)
    table = _table("type", *titles)
    rows = [(_name(name), group) for name, group in survey.tally.types.largest_first()]
    for name, group in rows[:SHOWN_TYPES] + ([(Text("all", "bold"), whole)] if len(rows) > 1 else []):
        cells: list[str | Text] = [*_counts(group), *_durations(group, timed)]
        table.add_row(name, *cells[: len(titles)])
    return table


def _values(survey: Survey, width: int) -> Table:
    """Return the tables of statuses and levels, side by side on a wide screen."""
    tables = []
    for title, groups in (("status", survey.tally.statuses), ("level", survey.tally.levels)):
        titles = ("events", "share") if width >= NARROW_COLUMNS else ("events",)
        table = _table(title, *titles)
        for name, group in groups.largest_first()[:SHOWN_VALUES]:
            share = amounts.percentage(group.events, survey.tally.all.events)
            table.add_row(_name(name, 20), *(f"{group.events:,}", share)[: len(titles)])
        tables.append(table)
    grid = Table.grid(padding=(0, 4, 0, 0))
    if width >= WIDE_COLUMNS:
        grid.add_row(*tables)
    else:
        grid.add_row(tables[0])
        grid.add_row()
        grid.add_row(tables[1])
    return grid


def _show_slowest(survey: Survey, console: Console, width: int) -> None:
    slowest = survey.tally.slowest
    if not slowest:
        return
    console.print()
    console.print(Text("slowest", "bold"))
    shown = [amounts.duration(duration) for duration, _ in slowest]
    size = max(map(len, shown))
    meaning = survey.extents[0].log.meaning
    for text, (_, event) in zip(shown, slowest, strict=True):
        lasted = meaning.field_of("duration", event) or ""
        line = Text(no_wrap=True).append(f"{text:>{size}}  ", "cyan")
        line.append_text(as_line(event, max(1, width - size - 2), hidden=(lasted,), meaning=meaning))
        console.print(line)


def _show_rest(console: Console, types: Groups) -> None:
    more = len(types.by_name) - SHOWN_TYPES
    if more > 0:
        console.print(Text(f"… {more:,} more types: --json lists them", "dim"))
    if types.others:
        text = f"… {amounts.many(types.others, 'event')} of further types, counted together"
        console.print(Text(text, "dim"))


def _table(first: str, *others: str) -> Table:
    """Return a table whose first column takes the width that the others, numbers, leave."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, header_style="bold")
    for name in others:
        table.add_column(name, header_style="bold", justify="right", no_wrap=True)
    return table


def _name(name: str | None, longest: int = 60) -> Text:
    if name is None:
        return Text("(none)", "dim")
    text = Text(printable(name), no_wrap=True, overflow="ellipsis")
    text.truncate(longest, overflow="ellipsis")
    return text


def _counts(group: Group) -> list[Text]:
    return [Text(f"{group.events:,}"), Text(f"{group.errors:,}", "red" if group.errors else "dim")]


def _durations(group: Group, columns: tuple[str, ...]) -> list[str]:
    found = group.durations
    if not found.count:
        return [""] * len(columns)
    values = [
        found.longest if column == "max" else found.percentile(int(column[1:])) or 0.0 for column in columns
    ]
    return [amounts.duration(value) for value in values]
