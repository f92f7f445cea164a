"""The limits of a log's backups: their number, the size of all files, their age."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import NamedTuple

from chora_logging.errors import ConfigurationError
from chora_logging.options import parse_age, parse_size
from chora_logging.writing.backups import Backup, Found


class Retention(NamedTuple):
    """The limits of a log's backups. The newest backup is always kept.

    Attributes:
        backups: The most backups.
        total_bytes: The most bytes of all files, with a live file as large as it may become; 0 for any.
        age: The longest time since the last line of a backup, in seconds; 0 for any.
    """

    backups: int = sys.maxsize
    total_bytes: int = 0
    age: float = 0.0

    @classmethod
    def parse(cls, total_bytes: int | str, age: float | str, max_bytes: int) -> Retention:
        """Return the limits that the options `maxTotalBytes` and `maxAge` give, for files of *max_bytes*.

        Raises:
            ConfigurationError: one of them is invalid.
        """
        total = parse_size("maxTotalBytes", total_bytes)
        if 0 < total < max_bytes:
            raise ConfigurationError("maxTotalBytes", total_bytes, f"maxBytes ({max_bytes}) or more, or 0")
        return cls(total_bytes=total, age=parse_age("maxAge", age))

    def kept(self, found: Found, size: int, max_bytes: int) -> int:
        """Return how many backups to keep when the live file is rotated.

        Args:
            found: The files before the rotation.
            size: The size of the live file, which becomes the first backup.
            max_bytes: The size that the next live file does not reach; 0 if there is none.
        """
        if not self.total_bytes and not self.age:
            return self.backups
        total, oldest = max_bytes + size, time.time() - self.age
        kept = 1
        for number in sorted(found.ours):
            sizes, times = zip(*map(_size_and_time, found.ours[number]), strict=True)
            total += sum(sizes)
            if 0 < self.total_bytes < total or (self.age and max(times) < oldest):
                break
            kept = number + 1
        return min(kept, self.backups)


UNLIMITED = Retention()


def _size_and_time(backup: Backup) -> tuple[int, float]:
    try:
        status = os.lstat(backup.path)
    except FileNotFoundError:  # deleted meanwhile: its age is not known, and ends nothing
        return 0, math.inf
    return status.st_size, status.st_mtime
