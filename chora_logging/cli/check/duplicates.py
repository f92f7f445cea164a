"""Lines that were there before, found in bounded memory."""

from __future__ import annotations

#: With how many lines before it each line is compared at least. A file that is twice in a set, as an
#: interrupted `copytruncate` leaves it, is that far away from its copy; 10 MB are some 40,000 lines.
REACH = 250_000


class Window:
    """Knows lines by their hash, those of the last *reach* lines at least.

    A hash has 64 bits and depends on a secret of the process, so that two different lines of a million
    are taken for one with a probability of 1 to 30 million. Memory: about 50 MB when it is full.

    Args:
        reach: How many lines are remembered, at least; at most twice as many are.
    """

    def __init__(self, reach: int = REACH) -> None:
        self._reach = reach
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def add(self, line: bytes) -> bool:
        """Remember *line*; whether it was there before."""
        number = hash(line)
        if number in self._newer or number in self._older:
            return True
        if len(self._newer) >= self._reach:
            self._newer, self._older = set(), self._newer
        self._newer.add(number)
        return False
