"""How far back a log goes, and for how long its files last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from chora_logging.cli.check.examining import Examination
from chora_logging.settings import BACKUP_COUNT, MAX_BYTES

#: How full a backup is at least; it is rotated before the line that would not fit.
_FULL = 0.5

#: Over how many seconds a rate is measured at least.
_SHORTEST = 1.0


class Retention(NamedTuple):
    """What a log keeps.

    Attributes:
        first: The time of its earliest event, in seconds since 1970; None if it has none.
        last: The time of its latest event.
        rate: Bytes a second in its newest files; None where no second passed in any.
        files: How many files it has when it is full; None if nobody knows.
        file_size: How large each is then, in bytes.
        is_assumed: Whether these two are the defaults, rather than seen in the backups.
    """

    first: float | None
    last: float | None
    rate: float | None
    files: int | None
    file_size: int | None
    is_assumed: bool

    @property
    def lasts(self) -> float | None:
        """For how many seconds a full log goes back, at its rate."""
        if not self.rate or self.files is None or self.file_size is None:
            return None
        return self.files * self.file_size / self.rate


def retention_of(files: Sequence[Examination], *, is_expected: bool) -> Retention:
    """What the log with these *files* keeps, the oldest first.

    Its settings are known to the programs that write it only. Backups show them: each is nearly as
    large as is allowed. A log that has none yet, and is where writers here put it, is taken to have
    the default settings, as is one whose backups fit them.

    Args:
        files: Every file of the log.
        is_expected: Whether writers with this environment write it.
    """
    timed = [file for file in files if math.isfinite(file.first)]
    first = min((file.first for file in timed), default=None)
    last = max((file.last for file in timed), default=None)
    backups = [file.size for file in files if file.number]
    largest = max(backups, default=0)
    fits = not backups or (MAX_BYTES * _FULL <= largest <= MAX_BYTES and len(backups) <= BACKUP_COUNT)
    if is_expected and fits:
        return Retention(first, last, _rate(timed), BACKUP_COUNT + 1, MAX_BYTES, True)
    if not largest:
        return Retention(first, last, _rate(timed), None, None, False)
    return Retention(first, last, _rate(timed), len(backups) + 1, largest, False)


def _rate(files: Sequence[Examination]) -> float | None:
    """Bytes a second in the newest file and the backup before it; in more where no second passed in these."""
    for count in range(2, len(files) + 2):
        newest = files[-count:]
        seconds = max(file.last for file in newest) - min(file.first for file in newest)
        if seconds >= _SHORTEST:
            return sum(file.size for file in newest) / seconds
    return None
