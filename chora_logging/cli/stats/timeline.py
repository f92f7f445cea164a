"""Counts events by time, in memory that does not grow with their time span, and draws a plot."""

from __future__ import annotations

import math
from datetime import datetime
from typing import NamedTuple

from rich.text import Text

from chora_logging.eventlog.histogram import Histogram

_UNITS = (("minute", 60), ("hour", 3600), ("day", 86400))

#: The height of the bars in rows, and the maximum widths of a plot and of a bar in columns.
PLOT_ROWS = 6
PLOT_COLUMNS = 120
BAR_COLUMNS = 8

#: The width of the scale in columns: a number of up to seven characters, and the axis.
_SCALE_COLUMNS = 10

_BLOCKS = " ▁▂▃▄▅▆▇█"
_NICE = (1, 2, 3, 4, 5, 6, 8, 10)


class Series(NamedTuple):
    """The numbers of events in consecutive intervals of equal length.

    Attributes:
        start: The start of the first interval, in seconds since 1970.
        step: The length of each interval, in seconds.
        events: The number of events in each.
        errors: The number of errors among them.
    """

    start: int
    step: int
    events: list[int]
    errors: list[int]


class Timeline:
    """Counts events by time: to the second at first, coarser as more time is covered."""

    def __init__(self) -> None:
        self.first = math.inf
        self.last = -math.inf
        self._histogram: Histogram[bool] = Histogram()

    def add(self, time: float, is_error: bool) -> None:
        """Count an event at *time*, in seconds since 1970 as from `time_of`; the order does not matter."""
        if time < self.first:
            self.first = time
        if time > self.last:
            self.last = time
        self._histogram.add(time, is_error)

    def series(self, most: int) -> Series | None:
        """Return all counts in at most *most* intervals, at least 2; None if nothing was counted."""
        histogram = self._histogram
        if not len(histogram):
            return None
        step = histogram.step_for(most)
        counts = list(histogram.intervals())
        start = counts[0][0] // step * step
        length = (counts[-1][0] - start) // step + 1
        series = Series(start, step, [0] * length, [0] * length)
        for time, numbers in counts:
            place = (time - start) // step
            series.events[place] += sum(numbers.values())
            series.errors[place] += numbers.get(True, 0)
        return series


def columns_for(width: int) -> int:
    """Return how many bars fit into *width* columns beside the scale."""
    return max(2, min(width, PLOT_COLUMNS) - _SCALE_COLUMNS)


def unit_of(series: Series) -> tuple[str, int]:
    """Return the unit of rates and its seconds: the shortest in which the highest rate is at least 1."""
    rate = max(series.events) / series.step
    return next(((unit, seconds) for unit, seconds in _UNITS if rate * seconds >= 1), _UNITS[-1])


def plot(series: Series, width: int) -> list[Text]:
    """Return the lines of a plot in *width* columns: events, below them errors, below these times.

    Args:
        series: The counts to plot, in at most `columns_for(width)` intervals.
        width: The width of the screen.
    """
    bar = min(BAR_COLUMNS, columns_for(width) // len(series.events))
    _, seconds = unit_of(series)
    rates = [number * seconds / series.step for number in series.events]
    top = _nice(max(rates))
    heights = [_eighths(rate, top, PLOT_ROWS) for rate in rates]
    lines = []
    for row in range(PLOT_ROWS, 0, -1):
        mark = {PLOT_ROWS: _number(top), PLOT_ROWS // 2: _number(top / 2)}.get(row, "")
        cells = "".join(_BLOCKS[min(8, max(0, height - 8 * (row - 1)))] * bar for height in heights)
        lines.append(_line(mark, "┤" if mark else "│", cells, "cyan"))
    lines.append(_line("0", "┼", "─" * bar * len(rates), "dim"))
    if any(series.errors):
        most = max(series.errors)
        cells = "".join(_BLOCKS[_eighths(number, most, 1)] * bar for number in series.errors)
        lines.append(_line("errors", " ", cells, "red"))
    lines.append(_line("", " ", _times(series, bar * len(rates), columns_for(width)), "dim"))
    return lines


def _line(mark: str, axis: str, cells: str, style: str) -> Text:
    line = Text(no_wrap=True, end="")
    line.append(f"{mark:>{_SCALE_COLUMNS - 2}} {axis}", "dim")
    line.append(cells.rstrip(), style)
    return line


def _eighths(value: float, top: float, rows: int) -> int:
    """Return the height of a bar in eighths of a row, at least 1 unless *value* is 0."""
    return max(int(value > 0), round(value / top * rows * 8))


def _nice(value: float) -> float:
    """Return the least round number that is not below *value*."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(nice * power for nice in _NICE if nice * power >= value * (1 - 1e-9))


def _number(value: float) -> str:
    if value >= 99_999_950:
        return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    if value >= 999_950:
        return f"{value / 1e6:.3g}M"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def _times(series: Series, wide: int, limit: int) -> str:
    """Return the times at which the bars begin and end, in a line."""
    end = series.start + series.step * len(series.events)
    form = "%H:%M:%S"
    if end - series.start >= 86400:
        form = "%Y-%m-%d" if series.step >= 86400 else "%m-%d %H:%M"
    first, last = (datetime.fromtimestamp(time).strftime(form) for time in (series.start, end))
    if wide < len(first) + len(last) + 1:
        return f"{first} – {last}" if limit >= len(first) + len(last) + 3 else first
    return first + last.rjust(wide - len(first))
