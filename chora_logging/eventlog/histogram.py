"""Counts events by time and kind, in memory that does not grow with their time span."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from chora_logging.options import UNIT_SECONDS

#: The maximum number of intervals while counting.
COUNTED_INTERVALS = 4096

#: Their length in seconds: the next one as soon as there are too many intervals. Each is a multiple of the
#: one before, so that counts can be combined.
_KEPT = (1, 5, 15, 60, 300, 900, 3600, 10800, 43200, 86400, 604800)

#: The length of the intervals that are shown, in seconds: units that people use.
_SHOWN = (
    *(1, 2, 5, 10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12)),
    *(86400 * days for days in (1, 2, 7, 14, 28, 91, 364)),
)

_INTERVAL = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_LONGEST_SECONDS = 3650 * 86400

Kind = TypeVar("Kind", bound=Hashable)


def parse_interval(text: str) -> int | None:
    """Return the seconds of an interval such as `30s`, `1m`, `1h` or `1d`; None if it is none."""
    found = _INTERVAL.fullmatch(text.strip())
    seconds = int(found[1]) * UNIT_SECONDS[found[2]] if found else 0
    return seconds if 0 < seconds < _LONGEST_SECONDS else None


class Histogram(Generic[Kind]):
    """Counts events by time and kind: to the second at first, coarser as more time is covered.

    Args:
        step: The length of the intervals, in seconds, which is kept; None to begin with a second.

    Attributes:
        step: The length of the intervals, in seconds. Each begins at a multiple of it since 1970.
    """

    def __init__(self, step: int | None = None) -> None:
        self.step = step or 1
        self._is_fixed = step is not None
        self._counts: dict[int, dict[Kind, int]] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, time: float, kind: Kind) -> None:
        """Count an event at *time*, in seconds since 1970 as from `time_of`; the order does not matter."""
        counts = self._counts.setdefault(int(time // self.step), {})
        counts[kind] = counts.get(kind, 0) + 1
        while len(self._counts) > COUNTED_INTERVALS and not self._is_fixed:
            self.coarsen(next((step for step in _KEPT if step > self.step), self.step * 2))

    def coarsen(self, step: int) -> None:
        """Combine the intervals to those of *step* seconds, a multiple of `step`."""
        before, self._counts = self._counts, {}
        for slot, counts in before.items():
            combined = self._counts.setdefault(slot * self.step // step, {})
            for kind, number in counts.items():
                combined[kind] = combined.get(kind, 0) + number
        self.step = step

    def step_for(self, most: int) -> int:
        """Return the shortest length at which at most *most* intervals, at least 2, cover all events.

        Raises:
            ValueError: *most* is less than 2.
        """
        first, last = min(self._counts) * self.step, max(self._counts) * self.step
        for step in _steps(self.step):
            if last // step - first // step < most:
                return step
        raise ValueError(f"most must be at least 2, got {most}")

    def intervals(self) -> Iterator[tuple[int, dict[Kind, int]]]:
        """Yield the start of each interval with events, in seconds since 1970, and its counts by kind."""
        for slot in sorted(self._counts):
            yield slot * self.step, self._counts[slot]


def _steps(least: int) -> list[int]:
    """Return the lengths that can be shown if *least* was used for counting, shortest first."""
    years = [364 * 86400 * 2**power for power in range(1, 20)]
    return [step for step in (*_SHOWN, *years) if step % least == 0]
