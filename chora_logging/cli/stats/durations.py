"""How durations are distributed, in memory that does not grow with their number."""

from __future__ import annotations

import math

#: What is shorter, in milliseconds, is taken for nothing: a nanosecond.
SHORTEST = 1e-6


class Durations:
    """Counts durations that are alike to three digits as one: at most 900 numbers for each power of ten.

    So every percentile is that of a sorted list of all values, to three digits; whole numbers below
    1,000 are exact. The longest is kept as it is.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._counts: dict[float, int] = {}

    def add(self, value: float) -> None:
        """Count a duration in milliseconds, from 0 on."""
        self.count += 1
        if value < SHORTEST:
            value = 0.0
        if value > self.longest:
            self.longest = value
        if not (value < 1000 and value.is_integer()):
            value = float(f"{value:.2e}")
        self._counts[value] = self._counts.get(value, 0) + 1

    def percentile(self, percent: float) -> float | None:
        """The least value that *percent* of all do not exceed (the nearest rank); None if there is none."""
        rank = max(1, math.ceil(percent / 100 * self.count))
        for value in sorted(self._counts):
            rank -= self._counts[value]
            if rank <= 0:
                return min(value, self.longest)
        return None
