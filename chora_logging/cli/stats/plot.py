"""Events per minute (or per hour or day, where they are rare) as a plot of block characters."""

from __future__ import annotations

import math
from datetime import datetime

from rich.text import Text

from chora_logging.cli.stats.timeline import Series

_UNITS = (("minute", 60), ("hour", 3600), ("day", 86400))

#: How many rows the bars are high, and how wide a plot and a bar may be, in columns.
HEIGHT = 6
WIDEST = 120
WIDEST_BAR = 8

#: The columns that the scale takes: a number of up to seven characters, and the axis.
_SCALE = 10

_BLOCKS = " ▁▂▃▄▅▆▇█"
_NICE = (1, 2, 3, 4, 5, 6, 8, 10)


def columns_for(width: int) -> int:
    """How many bars fit into *width* columns beside the scale."""
    return max(2, min(width, WIDEST) - _SCALE)


def unit_of(series: Series) -> tuple[str, int]:
    """In what time events are counted, and its seconds: the shortest in which there are some."""
    rate = max(series.events) / series.step
    return next(((unit, seconds) for unit, seconds in _UNITS if rate * seconds >= 1), _UNITS[-1])


def plot(series: Series, width: int) -> list[Text]:
    """The lines of a plot that fits into *width* columns: events, below them errors, below these times.

    Args:
        series: What to plot; it has at most `columns_for(width)` parts.
        width: The columns there are.
    """
    bar = min(WIDEST_BAR, columns_for(width) // len(series.events))
    _, seconds = unit_of(series)
    rates = [number * seconds / series.step for number in series.events]
    top = _nice(max(rates))
    heights = [_eighths(rate, top, HEIGHT) for rate in rates]
    lines = []
    for row in range(HEIGHT, 0, -1):
        mark = {HEIGHT: _number(top), HEIGHT // 2: _number(top / 2)}.get(row, "")
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
    line.append(f"{mark:>{_SCALE - 2}} {axis}", "dim")
    line.append(cells.rstrip(), style)
    return line


def _eighths(value: float, top: float, rows: int) -> int:
    """How many eighths of a row a bar is high; what is not nothing is seen."""
    return max(int(value > 0), round(value / top * rows * 8))


def _nice(value: float) -> float:
    """The next number from *value* on that is easily read."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(nice * power for nice in _NICE if nice * power >= value * (1 - 1e-9))


def _number(value: float) -> str:
    if value >= 99_999_950:
        return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    if value >= 999_950:
        return f"{value / 1e6:.3g}M"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def _times(series: Series, wide: int, room: int) -> str:
    """Where the bars begin and end."""
    end = series.start + series.step * len(series.events)
    form = "%H:%M:%S"
    if end - series.start >= 86400:
        form = "%Y-%m-%d" if series.step >= 86400 else "%m-%d %H:%M"
    first, last = (datetime.fromtimestamp(time).strftime(form) for time in (series.start, end))
    if wide < len(first) + len(last) + 1:
        return f"{first} – {last}" if room >= len(first) + len(last) + 3 else first
    return first + last.rjust(wide - len(first))
