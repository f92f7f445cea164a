"""Reports a file handler's notices, and its number of lost records, in the log that it writes."""

from __future__ import annotations

import contextlib
import errno
import logging
import logging.handlers
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from chora_logging.errors import UnsyncedError
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.schema import OWN_LOGGER

_RIGHTS = "Let this user write to it and to its folder, or name another file."
_ROOM = "Make room, or keep fewer or smaller backups."

#: The advice for an error, by its number.
_ADVICE = {
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: 'Name a file elsewhere, or log to the standard output: `setup_logging(console="stdout")`.',
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
}


class ReportingHandler(logging.handlers.RotatingFileHandler):
    """A file handler that writes its notices and its losses as lines of its own log.

    A subclass implements `_write_notice`.
    """

    def _prepare_reports(self, codec: str) -> None:
        self._codec = codec
        self._bom = "".encode(codec)
        self._lost = 0  # and unsynced
        self._unsynced = 0
        self._lost_because: BaseException | None = None

    def _write_notice(self, line: bytes, failed: Callable[[Exception], None]) -> None:
        """Write *line* after the record being written, or now; call *failed* with an error."""
        raise NotImplementedError

    def notice(self, event: str, message: str, **fields: Any) -> None:
        """Write a notice about this log into the log itself, after the record being written.

        Args:
            event: The `event` field, a name for what happened.
            message: The text for people.
            fields: Further fields.
        """
        notice = _Notice(OWN_LOGGER, logging.WARNING, __file__, 0, message, None, None)
        notice.__dict__.update(fields, event=event)
        try:
            line = self.format(notice)
        except Exception:  # of a formatter that fails on every record, or of a signal handler
            line = EventFormatter().format(notice)
        self._write_notice(self._encode(line + self.terminator), partial(self._fail, notice))

    def handleError(self, record: logging.LogRecord) -> None:
        """Report a record that could not be written, as `logging.Handler.handleError` does.

        Of an outage (one OSError after the other) only the first error is printed, and what to do instead of
        a traceback. All lost records are counted, and the log itself reports their number once writing works
        again.
        """
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif self._lost <= 1 and logging.raiseExceptions and sys.stderr:
            with contextlib.suppress(OSError):
                sys.stderr.write(_explained(self.baseFilename, error, record))

    def _encode(self, text: str) -> bytes:
        """Return the bytes of *text*, without a byte order mark."""
        try:
            line = text.encode(self._codec, self.errors or "strict")
        except UnicodeEncodeError:
            if self.errors:
                raise
            line = text.encode(self._codec, "backslashreplace")  # deviation 4
        return line.removeprefix(self._bom)

    def _fail(self, record: logging.LogRecord, error: Exception) -> None:
        if isinstance(record, _Notice):
            self._lost += record.__dict__.get("lost", 0)
            return
        self._lost += 1
        self._unsynced += isinstance(error, UnsyncedError)
        self._lost_because = error
        with contextlib.suppress(RecursionError):  # printing a recursive record may raise it again
            self.handleError(record)

    def _report_lost(self) -> None:
        unsynced, self._unsynced = self._unsynced, 0
        lost, self._lost = self._lost - unsynced, 0
        error = self._lost_because
        reason = f"{type(error).__name__}: {error}"
        if lost > 0:
            message = f"{lost} records could not be written before this line: {error}"
            self.notice("records_lost", message, lost=lost, error=reason)
        if unsynced:
            message = f"{unsynced} records before this line are written, but perhaps not on the disk: {error}"
            self.notice("records_unsynced", message, unsynced=unsynced, error=reason)


def _explained(path: str, error: OSError, record: logging.LogRecord) -> str:
    """Return the lines for people about an *error* of the log *path*, which concerns *record*."""
    meaning = "Records are lost until it can be written, and then counted in it."
    if isinstance(error, UnsyncedError):
        meaning = "Records are written, but perhaps not on the disk."
    if error.errno in _ADVICE:
        meaning = f"{meaning} {_ADVICE[error.errno]}"
    try:
        message = f"Message: {record.msg!r}\nArguments: {record.args}\n"
    except Exception:  # of the code of the caller
        message = ""
    return f"--- Logging error ---\n{path}: {type(error).__name__}: {error}\n{meaning}\n{message}"


class _Notice(logging.LogRecord):
    """A notice of the handler about its log."""
