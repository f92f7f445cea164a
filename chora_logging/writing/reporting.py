"""What a file handler says about itself, in the log that it writes: notices, and how much was lost."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import sys
from typing import Any

from chora_logging.schema import OWN_LOGGER


class ReportingHandler(logging.handlers.RotatingFileHandler):
    """A file handler whose notices and losses are lines of its own log.

    A subclass writes what `_defer` is given: after the record that is being written, or now.
    """

    def _prepare_reports(self, codec: str) -> None:
        self._codec = codec
        self._bom = "".encode(codec)
        self._lost = 0
        self._lost_because: BaseException | None = None

    def _defer(self, line: bytes, record: logging.LogRecord) -> None:
        raise NotImplementedError  # AppendingHandler does it

    def notice(self, event: str, message: str, **fields: Any) -> None:
        """Say something about this log in the log itself, after the record being written.

        Args:
            event: What happened, as the `event` field.
            message: The same for people.
            fields: Further fields.
        """
        notice = _Notice(OWN_LOGGER, logging.WARNING, __file__, 0, message, None, None)
        notice.__dict__.update(fields, event=event)
        try:
            line = self.format(notice)
        except Exception:  # a formatter that cannot format a plain record says so of every record
            line = message
        self._defer(self._encode(line + self.terminator), notice)

    def handleError(self, record: logging.LogRecord) -> None:
        """Report a record that could not be written, as `logging.Handler.handleError` does.

        Of an outage (the same kind of error on one record after the other) only the first is
        printed; all are counted, and the log itself says how many once writing works again.
        """
        error = sys.exc_info()[1]
        if not isinstance(error, OSError) or self._lost <= 1:
            super().handleError(record)

    def _encode(self, text: str) -> bytes:
        try:
            return text.encode(self._codec, self.errors or "strict")
        except UnicodeEncodeError:
            if self.errors:
                raise
            return text.encode(self._codec, "backslashreplace")  # deviation 7

    def _fail(self, record: logging.LogRecord, error: Exception) -> None:
        if isinstance(record, _Notice):
            self._lost += record.__dict__.get("lost", 0)
            return
        self._lost += 1
        self._lost_because = error
        with contextlib.suppress(RecursionError):  # of reporting a record that recurses
            self.handleError(record)

    def _report_lost(self) -> None:
        lost, self._lost = self._lost, 0
        error = self._lost_because
        self.notice(
            "records_lost",
            f"{lost} records could not be written before this line: {error}",
            lost=lost,
            error=f"{type(error).__name__}: {error}",
        )


class _Notice(logging.LogRecord):
    """What the handler says about its log."""
