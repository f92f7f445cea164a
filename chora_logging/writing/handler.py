"""A `RotatingFileHandler` whose log any number of threads and processes may write.

It deviates from the standard library's handler on purpose:

1. Lines go through a `SharedLog`: one `write` each, under a lock of the file, to the file that the path
   names now. Sizes are counted in bytes, and an empty file is never rotated.
2. `mode="w"` truncates once, at construction, and never when the file is reopened.
3. A closed handler reopens the file for a late record and closes it again.
4. A character that the encoding cannot represent is escaped, where the standard library loses the
   record. Only the first error of an outage is printed. Both are in `chora_logging.writing.reporting`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from io import TextIOWrapper
from typing import Any

from chora_logging import log_files, speedups
from chora_logging.errors import UnsyncedError
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.options import (
    checked_names,
    parse_compression,
    parse_count,
    parse_encoding,
    parse_encoding_errors,
    parse_flag,
    parse_mode,
    parse_path,
    parse_size,
    parse_text_mode,
    parse_timeout,
)
from chora_logging.schema import WRITTEN_TO_ATTRIBUTE
from chora_logging.settings import BACKUP_COUNT, MAX_BYTES
from chora_logging.writing import loss, opening
from chora_logging.writing.handler_log import HandlerLog, OpenedByHandler
from chora_logging.writing.locking import Written
from chora_logging.writing.periods import Periods
from chora_logging.writing.reporting import ReportingHandler
from chora_logging.writing.retention import Retention


class EventFileHandler(ReportingHandler):
    """Write records to a rotated file that any number of threads and processes share.

    Use it like `RotatingFileHandler`: same positional arguments, `namer`, `rotator`, subclassing.
    Every process makes its own handler on the same path (forked workers inherit one). The processes
    need no coordination.

    Promised: no record is lost, doubled, torn or reordered within one writer, whichever process
    rotates; a backup stays below *maxBytes* unless a single line is longer, and never changes once
    it has its number; when a logging call has returned, its line survives the death of the process.
    A symbolic link to the log stays, and its target is rotated.

    A record whose line is longer than 32 MiB, the longest that readers take, is refused and reported.

    Not promised: survival of a power cut (see *fsync*); mutual exclusion on file systems without
    `flock` or shared by several machines: there the file grows and is not rotated.

    Args:
        filename: The log. Missing folders are created, at construction and whenever it is opened.
        mode: `"a"`, or `"w"` to begin with an empty file (only without *maxBytes* and *when*).
        maxBytes: Rotate before the file reaches this size; an int, or a string such as `"10MB"`.
            0 never rotates.
        backupCount: How many backups to keep; the next rotation deletes surplus ones of an earlier,
            larger setting. 0 never rotates.
        encoding: As in `open`.
        delay: Open the file at the first record instead of now.
        errors: As in `open`; None escapes characters that cannot be encoded.
        file_mode: Permission bits of the log, its backups and its sidecar: 0o640 or `"0640"`, and 640
            as files without octal numbers have it. None leaves a new log to the umask; each rotation
            then copies the bits of the rotated file.
        compress: Compress backups with `"gzip"`, which True is too, or `"zstd"`, in a thread of this process.
            Writers wait only while a compressed file takes the place of its backup. On Linux a backup that
            any process still has open for writing stays plain until a later rotation. zstd is in Python
            3.14, or in the extra `zstd`; readers without it give a gap for such a backup.
        lock_timeout: How long to wait for the lock while the process that holds it writes nothing, in
            seconds. A process that is stopped while it holds the lock delays every other process once
            by this time; records are then appended without the lock, and nothing is rotated until it
            is free. While others write, the wait may last up to ten times as long.
        when, interval, utc: Rotate before the first record of a new period too: `"midnight"`, `"H"` or other,
            as `TimedRotatingFileHandler` has them, but by the clock; see `chora_logging.writing.periods`.
        maxTotalBytes, maxAge: A rotation deletes the oldest backups, except the newest one, while the log may
            become larger with them, or if their last line is older (seconds, or `"90d"`, `"12h"`). 0: any.
        fsync: Call `fsync` after each record, so that it survives a power cut. No folder is synced: that
            the name of a new file survives rests on the journal of the file system.

    Flags, counts and seconds may be text, as configuration files have them: `"no"`, `"5"`, `"0.5"`.

    Raises:
        ConfigurationError: an argument is invalid or unknown.
        MissingExtraError: *compress* is `"zstd"`, and the extra `zstd` is not installed.
        OSError: the file cannot be opened. With *delay* the first record reports it instead.

    Thread and process safe. A forked child opens the file anew. A `__del__` that logs while the interpreter
    ends may wait for ever for a daemon thread that was stopped with the lock, as in the standard library.
    What a signal handler raises in the middle of a record ends that call; if it is an `Exception`, the record
    may instead be reported as lost, or its formatting as failed (`format_error`).

    Example:
        >>> handler = EventFileHandler("var/app.log", maxBytes="10MB", backupCount=5)
        >>> handler.setFormatter(EventFormatter())
        >>> logging.getLogger("shop").addHandler(handler)
        >>> logging.getLogger("shop").warning("Stock is low", extra={"event": "stock_low", "left": 3})
        >>> EventLog("var/app.log").last(1)[0]["left"]
        3
    """

    @checked_names()
    def __init__(
        self,
        filename: str | os.PathLike[str],
        mode: str = "a",
        maxBytes: int | str = MAX_BYTES,
        backupCount: int = BACKUP_COUNT,
        encoding: str | None = "utf-8",
        delay: bool = False,
        errors: str | None = None,
        *,
        file_mode: int | str | None = None,
        compress: bool | str = False,
        lock_timeout: float = 1.0,
        fsync: bool = False,
        when: str | None = None,
        interval: int = 1,
        utc: bool = False,
        maxTotalBytes: int | str = 0,
        maxAge: float | str = 0,
    ) -> None:
        max_bytes = parse_size("maxBytes", maxBytes)
        backup_count = parse_count("backupCount", backupCount)
        periods = Periods.parse(when, interval, utc)
        retention = Retention.parse(maxTotalBytes, maxAge, max_bytes)
        self._prepare_reports(parse_encoding("encoding", encoding))
        errors = parse_encoding_errors("errors", errors)
        mode, delay = parse_text_mode("mode", mode), parse_flag("delay", delay)
        filename = parse_path("filename", filename)
        self._stream: Any = None
        self._byte_formatter: EventFormatter | None = None
        self._writer: speedups.LineWriter | None = None
        self._own_rollover = type(self).shouldRollover is not EventFileHandler.shouldRollover
        # As the standard library has it: what is rotated is not overwritten.
        mode = "a" if periods else mode
        begins = "a" if max_bytes else mode[0]
        log = HandlerLog if type(self)._open is EventFileHandler._open else OpenedByHandler
        self._log = log(
            self,
            _rotates_as_usual,
            os.path.abspath(filename),
            max_bytes=max_bytes,
            backup_count=backup_count,
            periods=periods,
            retention=retention,
            first_flags={"w": 0 if delay else os.O_TRUNC, "x": os.O_EXCL}.get(begins, 0),
            file_mode=parse_mode("file_mode", file_mode),
            lock_timeout=parse_timeout("lock_timeout", lock_timeout),
            fsync=parse_flag("fsync", fsync),
            compress=parse_compression("compress", compress),
            first_bytes=self._bom,
        )
        if begins == "w":
            loss.forget(log_files.real_path(self._log.path))
        if delay:  # else `_open` does it, and must
            opening.make_folder(self._log.path)
            if begins == "w":  # now, because forked children may be the first to write
                opening.empty(self._log.path)
        super().__init__(filename, mode, max_bytes, backup_count, encoding, delay, errors)

    def createLock(self) -> None:
        """Share one lock among all handlers of this process on this file."""
        super().createLock()
        self.lock: Any = self._log.mutex.lock

    def setFormatter(self, fmt: logging.Formatter | None) -> None:
        """Format records with *fmt*; an `EventFormatter` gives its lines as bytes."""
        super().setFormatter(fmt)
        own = type(self)
        straight = own.format is logging.Handler.format and self._codec == "utf-8"
        if straight and isinstance(fmt, EventFormatter) and type(fmt).format is EventFormatter.format:
            self._byte_formatter = fmt
            usual = own.emit is EventFileHandler.emit and own.filter is logging.Handler.filter
            if usual and not self._own_rollover:
                self._writer = fmt.writer

    def handle(self, record: logging.LogRecord) -> bool:
        """Write *record* if the filters pass it; format it without holding the lock.

        An event that its emitter has already written to this file is not written again.
        """
        writer = self._writer
        if writer is not None and writer.write(self, record):
            return True
        if type(record) is not logging.LogRecord:
            path = getattr(record, WRITTEN_TO_ATTRIBUTE, None)
            if path is not None and opening.is_same_file(path, self._log.path):
                return False
        passed = self.filter(record)
        if passed:
            # From Python 3.12 on a filter may return another record to use instead.
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Format *record* and write it as one line; errors go to `handleError`.

        What a signal handler raises after the line was written is raised.
        """
        written: Written = []
        try:
            line = self._line_of(record)
            log = self._log
            if self._stream is not None:
                logging.StreamHandler.emit(self, record)  # the caller has replaced it
            elif not (log.is_closed and self.mode == "w"):
                due = partial(self.shouldRollover, record) if self._own_rollover else None
                log.append(line, partial(self._fail, record), due, written)
                if self._lost:
                    self._report_lost()
        except Exception as error:
            if not written or isinstance(error, UnsyncedError):
                self._fail(record, error)
            elif not isinstance(error, (RecursionError, MemoryError)):
                raise

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Return whether *record* would take the file to *maxBytes* (in bytes).

        For an empty file the standard library of this Python decides; `emit` itself never rotates
        an empty file.
        """
        log = self._log
        with log.mutex.lock:
            if self.stream is None:
                self.stream = self._open()
            if not (self.maxBytes > 0 or log.periods) or log.file is None or not log.file.is_rotatable:
                return False
            size = os.stat(self.baseFilename).st_size
            if not size:
                return self.maxBytes > 0 and bool(super().shouldRollover(record))
            return log.is_due(size, len(self._line_of(record)))

    def doRollover(self) -> None:
        """Rotate now, whatever the size; leave an empty file as it is.

        A rotation that fails is reported in the log and retried later.
        """
        self._log.rotate()

    def flush(self) -> None:
        """Flush the stream by which the caller has replaced the log; the log itself has no buffer."""
        if self._stream is not None:
            super().flush()

    def close(self) -> None:
        """Close the file, and wait for a compression of backups that is under way."""
        with self._log.mutex.lock:
            if self._lost and not self._log.is_closed:
                self._report_lost()
        self._log.close()
        super().close()

    # Attributes of the standard library's handler, which belong to the log here.

    @property
    def maxBytes(self) -> int:
        """Rotate before the file reaches this size, in bytes; 0 never rotates."""
        return self._log.max_bytes

    @maxBytes.setter
    def maxBytes(self, size: int) -> None:
        self._log.max_bytes = size

    @property
    def backupCount(self) -> int:
        """The number of backups to keep; 0 never rotates."""
        return self._log.backup_count

    @backupCount.setter
    def backupCount(self, count: int) -> None:
        self._log.backup_count = count

    @property
    def lock_timeout(self) -> float:
        """How long to wait for the lock while its holder writes nothing, in seconds."""
        return self._log.lock_timeout

    @property
    def fsync(self) -> bool:
        """Whether `fsync` is called after each write."""
        return self._log.fsync

    @property
    def stream(self) -> Any:
        """A text stream on the file, or the one that the caller has put in its place.

        None while the file is closed. It is valid until the file is rotated or closed, and closing it
        leaves the file open.
        """
        if self._stream is not None or (file := self._log.file) is None or file.fd < 0:
            return self._stream
        return file.text(self._codec, self.errors)

    @stream.setter
    def stream(self, stream: Any) -> None:
        file = self._log.file
        self._stream = None if file is not None and file.is_its_text(stream) else stream

    def _open(self) -> TextIOWrapper:
        """Open the log, also if it was closed, and return a text stream on it."""
        self._log.open()
        stream: TextIOWrapper = self.stream
        return stream

    def _line_of(self, record: logging.LogRecord) -> bytes:
        formatter = self._byte_formatter
        usual = formatter is self.formatter and self.terminator == "\n" and "format" not in self.__dict__
        if usual and formatter is not None:
            return formatter.encode(record) + b"\n"
        return self._encode(self.format(record) + self.terminator)

    def _write_notice(self, line: bytes, failed: Callable[[Exception], None]) -> None:
        written: Written = []
        try:
            self._log.append(line, failed, written=written)
        except Exception as error:
            if written and not isinstance(error, UnsyncedError):
                raise
            failed(error)


#: The methods by which a subclass, or whoever sets them in a handler, may name, move and rotate otherwise.
_USUAL_ROTATION = {
    name: getattr(EventFileHandler, name) for name in ("doRollover", "rotation_filename", "rotate")
}


def _rotates_as_usual(handler: EventFileHandler) -> bool:
    return (
        handler.namer is None
        and handler.rotator is None
        and all(
            getattr(getattr(handler, name), "__func__", None) is usual
            for name, usual in _USUAL_ROTATION.items()
        )
    )
