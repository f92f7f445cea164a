"""Names, order and number of backups, and whether it is time to rotate: decisions, nothing is written.

A log `NAME` has the backups `NAME.1` (newest) to `NAME.<backupCount>` (oldest), as in
`logging.handlers.RotatingFileHandler`; a compressed one has `.gz` after its number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

COMPRESSED = ".gz"


def is_due(size: int, line_length: int, max_bytes: int) -> bool:
    """Whether a file of *size* bytes is rotated before a line of *line_length* bytes is added.

    The rule is `RotatingFileHandler`'s, in bytes: a backup stays below *max_bytes*. An empty file
    is never rotated (gh-116263), so a line that is longer than the limit has a file for itself.
    """
    return size > 0 and 0 < max_bytes <= size + line_length


def backup_number(filename: str, log: str) -> int | None:
    """The number of the backup called *filename* of the log called *log* (both without folder).

    >>> backup_number("app.log.10", "app.log"), backup_number("app.log.2.gz", "app.log")
    (10, 2)
    >>> backup_number("app.log", "app.log"), backup_number("app.log.bak", "app.log")
    (None, None)
    """
    if not filename.startswith(log + "."):
        return None
    number = filename[len(log) + 1 :].removesuffix(COMPRESSED)
    if not (number.isascii() and number.isdigit()) or number.startswith("0"):
        return None
    return int(number)


def surplus(filenames: Iterable[str], log: str, backup_count: int) -> list[str]:
    """Those of *filenames* that are backups of *log* with a number beyond *backup_count*.

    They come from an older, larger setting. The standard library leaves them forever.
    """
    return [name for name in filenames if (backup_number(name, log) or 0) > backup_count]


def real_path(path: str) -> str:
    """The file that *path* names, which is what rotation works on.

    A symbolic link stays where it is and goes on pointing at the live file; the backups stand
    beside the file that it points at.
    """
    return os.path.realpath(path) if os.path.islink(path) else path
