"""How many events happened when, in memory that does not grow with the time they span."""

from __future__ import annotations

import math
from typing import NamedTuple

#: How many stretches of time are told apart while counting.
LIMIT = 4096

#: How long they are, in seconds: the next longer ones as soon as there are too many. Each is a multiple
#: of the one before, so that what has been counted fits.
_KEPT = (1, 5, 15, 60, 300, 900, 3600, 10800, 43200, 86400, 604800)

#: How long those are that are shown: what people count in.
_SHOWN = (
    *(1, 2, 5, 10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12)),
    *(86400 * days for days in (1, 2, 7, 14, 28, 91, 364)),
)


class Series(NamedTuple):
    """Events by stretches of equal length without a hole.

    Attributes:
        start: When the first begins, in seconds since 1970.
        step: How long each is, in seconds.
        events: How many events are in each.
        errors: How many of them are errors.
    """

    start: int
    step: int
    events: list[int]
    errors: list[int]


class Timeline:
    """Counts events by time, to the second at first, and coarser as more time is covered."""

    def __init__(self) -> None:
        self.first = math.inf
        self.last = -math.inf
        self._step = 1
        self._events: dict[int, int] = {}
        self._errors: dict[int, int] = {}

    def add(self, time: float, is_error: bool) -> None:
        """Count an event at *time*, in seconds since 1970, as `time_of` gives it; any order will do."""
        if time < self.first:
            self.first = time
        if time > self.last:
            self.last = time
        slot = int(time // self._step)
        self._events[slot] = self._events.get(slot, 0) + 1
        if is_error:
            self._errors[slot] = self._errors.get(slot, 0) + 1
        while len(self._events) > LIMIT:
            self._coarsen()

    def series(self, most: int) -> Series | None:
        """Everything in at most *most* stretches; None if nothing was counted."""
        if not self._events:
            return None
        first, last = min(self._events) * self._step, max(self._events) * self._step
        step = next((step for step in _steps(self._step) if last // step - first // step < most), None)
        if step is None:
            raise ValueError(f"most must be at least 2, got {most}")
        start, count = first // step, last // step - first // step + 1
        series = Series(start * step, step, [0] * count, [0] * count)
        for counted, shown in ((self._events, series.events), (self._errors, series.errors)):
            for slot, number in counted.items():
                shown[slot * self._step // step - start] += number
        return series

    def _coarsen(self) -> None:
        step = next((step for step in _KEPT if step > self._step), self._step * 2)
        self._events = _regrouped(self._events, self._step, step)
        self._errors = _regrouped(self._errors, self._step, step)
        self._step = step


def _regrouped(counts: dict[int, int], old: int, new: int) -> dict[int, int]:
    grouped: dict[int, int] = {}
    for slot, number in counts.items():
        group = slot * old // new
        grouped[group] = grouped.get(group, 0) + number
    return grouped


def _steps(least: int) -> list[int]:
    """The lengths that can be shown when *least* has been counted, shortest first."""
    years = [364 * 86400 * 2**power for power in range(1, 20)]
    return [step for step in (*_SHOWN, *years) if step % least == 0]
