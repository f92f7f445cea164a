"""Lines appended by many threads and processes, each whole, to the file that a name stands for just then."""

from __future__ import annotations

import logging
import os
import sys
import weakref
from collections.abc import Callable
from functools import partial
from io import TextIOWrapper

from chora_logging import log_files, speedups
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.schema import WRITTEN_TO_ATTRIBUTE
from chora_logging.writing import live_file, locking
from chora_logging.writing.live_file import LiveFile
from chora_logging.writing.locking import EXCLUSIVE, UNLOCK, flock
from chora_logging.writing.reporting import ReportingHandler

_ENDLESS = sys.maxsize


class AppendingHandler(ReportingHandler):
    """The half of `EventFileHandler` that writes: everything but when and how a file is rotated.

    The deviations from the standard library are numbered in `chora_logging.writing.handler`.
    """

    # Kept to be had while the interpreter goes down (bpo-26789).
    _open_file: Callable[..., TextIOWrapper] = staticmethod(open)

    def _prepare(self, codec: str, *, file_mode: int | None, lock_timeout: float, fsync: bool) -> None:
        """Set what the standard library's constructors need when they open the file."""
        self._prepare_reports(codec)
        self._file_mode = file_mode
        self._lock_wait = self.lock_timeout = lock_timeout
        self.fsync = fsync
        self._file: LiveFile | None = None
        self._own_stream: TextIOWrapper | None = None
        self._begun = self._is_closed = self._lock_timeout_reported = False
        self._is_special = True
        self._fast_file: LiveFile | None = None
        self._own_rollover = False
        self._byte_formatter: EventFormatter | None = None
        self._writer: speedups.LineWriter | None = None

    def _is_due(self, size: int, line: bytes | None, record: logging.LogRecord | None) -> bool:
        """Whether the file, of *size* bytes, is rotated before *line* is written."""
        raise NotImplementedError  # EventFileHandler does it

    def _rotate(self) -> bool:
        """Rotate the file, whose lock is held; whether there is another file now."""
        raise NotImplementedError  # EventFileHandler does it

    def _complete(self, file: LiveFile, locked: bool) -> bool:
        """Complete the rotation of a writer that was killed, if the file shows a sign of one."""
        raise NotImplementedError  # EventFileHandler does it

    def createLock(self) -> None:
        """Take the lock that all handlers on this file in this process share."""
        super().createLock()
        self._mutex = locking.mutex_of(os.path.realpath(self.baseFilename))
        self.lock = self._mutex.lock

    def setFormatter(self, fmt: logging.Formatter | None) -> None:
        """Format records with *fmt*; an `EventFormatter` gives its bytes without the way through text."""
        super().setFormatter(fmt)
        own = type(self)
        straight = own.format is logging.Handler.format and self._codec == "utf-8"
        if straight and isinstance(fmt, EventFormatter) and type(fmt).format is EventFormatter.format:
            self._byte_formatter = fmt
            if own.emit is AppendingHandler.emit and own.filter is logging.Handler.filter:
                self._writer = fmt.writer

    def handle(self, record: logging.LogRecord) -> bool:
        """Write *record* if the filters let it pass; formatting it does not keep other threads waiting.

        An event that its emitter has already written to this very file is not written again.
        """
        writer = self._writer
        if writer is not None and writer.write(self, record):
            return True
        if (
            type(record) is not logging.LogRecord
            and getattr(record, WRITTEN_TO_ATTRIBUTE, None) == self.baseFilename
        ):
            return False
        passed = self.filter(record)
        if passed:
            # From Python 3.12 on a filter may give another record in the place of this one.
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Format *record* and write it as one line; what fails goes to `handleError`."""
        try:
            formatter = self._byte_formatter
            if formatter is not None and formatter is self.formatter and self.terminator == "\n":
                line = formatter.encode(record) + b"\n"
            else:
                line = self._encode(self.format(record) + self.terminator)
            mutex = self._mutex
            with mutex.lock:
                if mutex.deferred or (mutex.busy and mutex.is_interrupted()):
                    self._defer(line, record)
                elif self.stream is not self._own_stream and self.stream is not None:
                    logging.StreamHandler.emit(self, record)  # somebody put another stream in
                elif not (self._is_closed and self.mode == "w"):
                    self._write(line, record)
        except Exception as error:
            self._fail(record, error)

    def _write(self, line: bytes | None, record: logging.LogRecord | None) -> None:
        mutex = self._mutex
        try:
            mutex.busy = True  # the frame of this function says the same: see LogMutex.is_interrupted
            if line is None or not self._append_fast(line):
                self._append(line, record)
        finally:
            mutex.busy = False
            if mutex.deferred:
                mutex.catch_up()
            if self._is_closed:  # deviation 5
                self._close_file()

    def _defer(self, line: bytes, record: logging.LogRecord) -> None:
        """Write *line* when the record that this thread is in the middle of is finished.

        A signal handler or a `__del__` interrupted it. What comes while others wait waits behind them.
        """
        mutex = self._mutex
        mutex.deferred.append(partial(self._write_deferred, line, record))
        if not (mutex.busy and mutex.is_interrupted()):
            mutex.catch_up()

    def _write_deferred(self, line: bytes, record: logging.LogRecord) -> None:
        try:
            self._append(line, record)
        except Exception as error:
            self._fail(record, error)

    def _append_fast(self, line: bytes) -> bool:
        """Write *line* if nothing stands in its way, else answer no: the path of nearly all records."""
        file = self._file
        if file is None or self._is_special or self._lost:
            return False
        fd = file.fd
        try:
            try:
                flock(fd, EXCLUSIVE)
            except OSError:
                return False
            status = os.stat(file.path)
            size = status.st_size
            if status.st_ino != file.inode or status.st_dev != file.device or status.st_nlink != file.links:
                return False
            if size + len(line) >= (self.maxBytes or _ENDLESS):
                return False
            if size != file.end:  # somebody else has written
                size = file.repair_end(self._line_end(), size)
            if (written := os.write(fd, line)) != len(line):
                live_file.finish_or_undo(fd, line, written, size)
            file.end = size + len(line)
            return True
        except FileNotFoundError:
            return False
        finally:
            flock(fd, UNLOCK)

    def _append(self, line: bytes | None, record: logging.LogRecord | None) -> None:
        """Deviation 1: lock, look, rotate if it is time, write. No *line* means: only rotate."""
        rotated = 0
        while True:
            file = self._file or self._open_live()
            if not file.is_rotatable:
                return None if line is None else live_file.append_whole(file.fd, line, None)
            try:
                locked = locking.try_lock(file.fd) or self._wait_for_lock(file.fd)
                if locked and not self._lock_wait:
                    self._lock_wait, self._lock_timeout_reported = self.lock_timeout, False
                status = file.stat_if_current()
                if status is None:
                    file.wait_for_next()
                if status is None or (status.st_nlink != file.links and self._complete(file, locked)):
                    self._close_file()
                    continue
                due = locked and self._is_due(status.st_size, line, record)
                if due and status.st_ino != rotated:  # a rotator that leaves the file is not asked again
                    rotated = status.st_ino
                    if self._rotate() and line is not None:
                        continue
                return None if line is None else self._put(file, line, status.st_size, locked)
            finally:
                if self._file is file:
                    locking.unlock(file.fd)

    def _put(self, file: LiveFile, line: bytes, size: int, locked: bool) -> None:
        if self._bom and size:
            line = line.removeprefix(self._bom)
        if size != file.end and locked:  # somebody else has written
            size = file.repair_end(self._line_end(), size)
        self._append_whole(file.fd, line, size if locked else None)
        file.end = size + len(line)
        if self.fsync:
            os.fsync(file.fd)
        if self._lost:
            self._report_lost()

    def _append_whole(self, fd: int, line: bytes, size: int | None) -> None:
        live_file.append_whole(fd, line, size)

    def _line_end(self) -> bytes:
        return self.terminator.encode(self._codec).removeprefix(self._bom)

    def _wait_for_lock(self, fd: int) -> bool:
        if self._lock_wait and locking.lock(fd, self._lock_wait):
            return True
        # Until the lock is free again, which the next record sees, nobody waits for it.
        self._lock_wait = 0.0
        if not self._lock_timeout_reported:
            self._lock_timeout_reported = True
            self.notice(
                "lock_timeout",
                f"{self.baseFilename}: its lock was not to be had within {self.lock_timeout:g} s "
                "(is a process stopped?): appending without it, not rotating until it is free",
            )
        return False

    def _open(self) -> TextIOWrapper:
        """Open the log for appending and remember which file it is."""
        self._log = log_files.real_path(self.baseFilename)
        make_folder(self._log, must=True)
        stream: TextIOWrapper = self._open_file(
            self.baseFilename,
            "a" if self._begun else self.mode,  # deviation 4
            encoding=self._codec,
            errors=self.errors,
            opener=live_file.opener(self._log, self._file_mode),
        )
        self._begun = True
        self._file = LiveFile(stream, self.baseFilename, log_files.read_sidecar(self._log))
        self._own_stream = stream
        self._is_special = self._own_rollover or self.fsync or bool(self._bom) or not self._file.is_rotatable
        self._fast_file = self._file if speedups.in_use and not self._is_special else None
        return stream

    def _open_live(self) -> LiveFile:
        self.stream = self._open()
        assert self._file is not None
        return self._file

    def _close_file(self) -> None:
        file, self._file, self._fast_file = self._file, None, None
        self.stream = self._own_stream = None
        if file is not None:
            file.close()

    def _reopen_after_fork(self) -> None:
        # The child shares the parent's open file description and with it the parent's lock; what
        # another thread of the parent was writing is the parent's.
        self._close_file()
        self._mutex.reset()
        self._lost = 0


def make_folder(path: str, *, must: bool) -> None:
    """Make the folder of *path*; that it cannot be made is an error if it *must*."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError:
        if must:
            raise


def remember(handler: AppendingHandler) -> None:
    """Have *handler* open its file anew in every child that this process forks."""
    _handlers.add(handler)


_handlers: weakref.WeakSet[AppendingHandler] = weakref.WeakSet()


def _reopen_all_after_fork() -> None:
    for handler in list(_handlers):
        handler._reopen_after_fork()


locking.LogMutex.busy_code.add(AppendingHandler._write.__code__)
os.register_at_fork(after_in_child=_reopen_all_after_fork)
