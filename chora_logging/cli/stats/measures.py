"""Numbers and different values, measured in memory that is bounded for all groups together."""

from __future__ import annotations

import functools
import hashlib
import heapq
import math

#: How many counters are held for all groups together, before results are rounded more.
MOST_COUNTERS = 500_000

#: The digits to which numbers are counted for percentiles, and how many different values are remembered
#: exactly: the second if there are too many counters.
DIGITS = (3, 2)
REMEMBERED_VALUES = (1024, 128)

#: Numbers nearer to 0 count as 0 for percentiles, and larger ones as this one.
SMALLEST, LARGEST = 1e-9, 1e18

_EXACT = 2**53

#: The measures of a number, in the order of their columns.
MEASURES = ("p50", "p95", "p99", "avg", "sum", "max")


class Pool:
    """Bounds the counters of all `Numbers` and `Distinct` together.

    Attributes:
        step: How often the results were made coarser: the place in `DIGITS` and `REMEMBERED_VALUES`.
        is_full: Whether they cannot become coarser, so that there is no room for new groups.
    """

    def __init__(self) -> None:
        self.step = 0
        self.is_full = False
        self._used = 0
        self._members: list[Numbers | Distinct] = []

    def join(self, member: Numbers | Distinct) -> None:
        """Count the counters of *member* too."""
        self._members.append(member)

    def use(self) -> None:
        """Count a new counter, and make all coarser if there are too many."""
        self._used += 1
        if self._used <= MOST_COUNTERS or self.is_full:
            return
        if self.step < len(DIGITS) - 1:
            self.step += 1
            self._used = sum(member.coarsen() for member in self._members)
        self.is_full = self._used > MOST_COUNTERS


class Numbers:
    """The numbers of one field in one group.

    Percentiles are those of the numbers rounded to some digits, by nearest rank; whole numbers below
    1,000 are exact while there is room for three digits.

    Attributes:
        count: How many there are.
        sum: Their sum.
        max: The largest; None without numbers.
    """

    def __init__(self, pool: Pool, *, ranked: bool) -> None:
        self.count = 0
        self.sum: float = 0
        self.max: float | None = None
        self._pool = pool
        self._ranked = ranked
        self._counts: dict[float, int] = {}
        if ranked:
            pool.join(self)

    def add(self, value: float, times: int = 1) -> None:
        """Count a finite number so many times."""
        self.count += times
        self.sum += value * times
        if self.max is None or value > self.max:
            self.max = value
        if self._ranked:
            rounded = _rounded(value, self._pool.step)
            if rounded in self._counts:
                self._counts[rounded] += times
            else:
                self._counts[rounded] = times
                self._pool.use()

    def measure(self, name: str) -> float | None:
        """Return one of `MEASURES`; None without numbers."""
        if not self.count or self.max is None:
            return None
        if name in ("avg", "sum", "max"):
            return _plain({"avg": self.sum / self.count, "sum": self.sum, "max": self.max}[name])
        rank = max(1, math.ceil(int(name[1:]) / 100 * self.count))
        for value in sorted(self._counts):
            rank -= self._counts[value]
            if rank <= 0:
                return _plain(min(value, self.max))
        return _plain(self.max)

    def coarsen(self) -> int:
        """Round to the digits of the pool; return the number of counters."""
        counts: dict[float, int] = {}
        for value, number in self._counts.items():
            rounded = _rounded(value, self._pool.step)
            counts[rounded] = counts.get(rounded, 0) + number
        self._counts = counts
        return len(counts)


def _plain(value: float) -> float:
    """Return *value* without a fraction that is 0."""
    return int(value) if abs(value) < _EXACT and value == int(value) else value


@functools.lru_cache(maxsize=2**14)
def _rounded(value: float, step: int) -> float:
    digits = DIGITS[step]
    if abs(value) < SMALLEST:
        return 0.0
    if abs(value) < 10**digits and value == int(value):
        return float(value)
    if abs(value) >= LARGEST:
        return math.copysign(LARGEST, value)
    return float(f"{value:.{digits - 1}e}")


class Distinct:
    """The number of different values of one field in one group: exact for few, estimated for many.

    The estimate is from the values with the smallest hashes, of which a fixed number is remembered; its
    standard error is 3 % with 1,024 of them.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._smallest: list[int] = []  # a heap, with the largest hash first, negated
        self._known: set[int] = set()
        self._has_forgotten = False
        pool.join(self)

    def add(self, value: str) -> None:
        """Count a value."""
        number = int.from_bytes(
            hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=8).digest(), "big"
        )
        if number in self._known:
            return
        if len(self._known) < REMEMBERED_VALUES[self._pool.step]:
            self._known.add(number)
            heapq.heappush(self._smallest, -number)
            self._pool.use()
        else:
            self._has_forgotten = True
            if number < -self._smallest[0]:
                self._known.add(number)
                self._known.remove(-heapq.heapreplace(self._smallest, -number))

    @property
    def is_exact(self) -> bool:
        """Whether the number is exact."""
        return not self._has_forgotten

    @property
    def number(self) -> int:
        """The number of different values."""
        if not self._has_forgotten:
            return len(self._known)
        return round((len(self._known) - 1) / (-self._smallest[0] / 2**64))

    def coarsen(self) -> int:
        """Remember as many values as the pool allows; return their number."""
        while len(self._known) > REMEMBERED_VALUES[self._pool.step]:
            self._known.remove(-heapq.heappop(self._smallest))
            self._has_forgotten = True
        return len(self._known)
