"""Names, order and number of backups, and whether it is time to rotate: decisions, nothing is written.

A log `NAME` has the backups `NAME.1` (newest) to `NAME.<backupCount>` (oldest), as in
`logging.handlers.RotatingFileHandler`; a compressed one has `.gz` after its number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from chora_logging.errors import ConfigurationError

COMPRESSED = ".gz"

_UNITS = {"": 1, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"\s*(\d+)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE | re.ASCII)


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


def parse_size(name: str, value: object) -> int:
    """*value* as a number of bytes: an int, or a string such as `"10MB"`, `"512 kB"`, `"1GiB"`.

    Units are powers of 1024, as in logrotate and logback: `"10MB"` is 10 * 1024 * 1024.

    Raises:
        ConfigurationError: *value* is neither; *name* is the argument or variable it came from.

    >>> parse_size("maxBytes", "10MB")
    10485760
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        return int(match[1]) * _UNITS[match[2].upper()]
    raise ConfigurationError(name, value, 'a number of bytes, 0 or more, or a string like "10MB"')


def parse_count(name: str, value: object) -> int:
    """*value* as a number of backups.

    Raises:
        ConfigurationError: it is not an int of 0 or more.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ConfigurationError(name, value, "a whole number, 0 or more")


def parse_mode(name: str, value: object) -> int | None:
    """*value* as permission bits: None, an int such as 0o640, or a string such as `"0640"`.

    Raises:
        ConfigurationError: it is none of these.
    """
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"(0o?)?[0-7]{3,4}", value):
        value = int(value.removeprefix("0o"), 8)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o7777:
        return value
    raise ConfigurationError(name, value, 'permission bits such as 0o640 or "0640"')
