"""What a record knows beside its fields: that it has been written already."""

from __future__ import annotations

import logging


class WrittenRecord(logging.LogRecord):
    """A record that is a line of the file *written_to*; handlers on that file let it pass.

    The path is kept in a slot, where no formatter finds it among the record's attributes.
    """

    __slots__ = ("written_to",)

    written_to: str | None

    @classmethod
    def of(cls, record: logging.LogRecord, written_to: str | None) -> WrittenRecord:
        """*record*, known to be a line of the file *written_to*; both have the same attributes."""
        written = cls.__new__(cls)
        written.__dict__ = record.__dict__
        written.written_to = written_to
        return written


def was_written_to(record: logging.LogRecord, path: str) -> bool:
    """Whether *record* is known to be a line of the file *path*."""
    return getattr(record, "written_to", None) == path
