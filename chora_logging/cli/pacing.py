"""Leaves out events that come faster than a terminal can show them, and counts them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from chora_logging.cli.live import Item
from chora_logging.eventlog.events import Gap

#: How far a terminal must be behind before events are left out: both in events, and in seconds without a
#: moment in which it had shown everything. A burst is shown whole.
LEAST_EVENTS, LEAST_SECONDS = 20_000, 1.0

#: How often the newest events are shown while others are left out, in seconds.
SHOW_SECONDS = 0.5


class Pacing:
    """Decides which of the new events a terminal shows.

    Args:
        rows: How many of the newest events are shown while others are left out.
        clock: Returns the time in seconds.
    """

    def __init__(self, rows: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._newest: deque[Item] = deque(maxlen=max(1, rows))
        self._events = 0  # since everything had been shown
        self._since = self._shown_at = clock()
        self._left_out = 0

    def shown(self, items: Sequence[Item]) -> tuple[int, Sequence[Item]]:
        """Return how many events are left out now, and what to show after them.

        Args:
            items: What is new; empty if everything was read.
        """
        now = self._clock()
        self._events += len(items)
        if not items:
            self._events, self._since = 0, now
        if not self._is_behind(now):
            return self._end(items)
        if any(isinstance(item, Gap) for _, item in items):  # it is never left out
            return self._end(items)
        for item in items:
            self._left_out += len(self._newest) == self._newest.maxlen
            self._newest.append(item)
        return self._end(()) if now - self._shown_at >= SHOW_SECONDS else (0, ())

    def _is_behind(self, now: float) -> bool:
        return self._events > LEAST_EVENTS and now - self._since > LEAST_SECONDS

    def _end(self, items: Sequence[Item]) -> tuple[int, Sequence[Item]]:
        left_out, newest = self._left_out, list(self._newest)
        self._left_out, self._shown_at = 0, self._clock()
        self._newest.clear()
        return left_out, [*newest, *items]
