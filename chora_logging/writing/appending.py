"""Appends whole lines to the file that a log's path names now, shared by many threads and processes."""

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
    """The half of `EventFileHandler` that writes: everything except when and how a file is rotated.

    Deviations from the standard library have the numbers of `chora_logging.writing.handler`.
    """

    # A reference of its own: `open` may be gone while the interpreter shuts down (bpo-26789).
    _open_file: Callable[..., TextIOWrapper] = staticmethod(open)

    def _prepare(self, codec: str, *, file_mode: int | None, lock_timeout: float, fsync: bool) -> None:
        """Set the attributes that `_open` needs: the standard library's constructors call it."""
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
        """Return whether to rotate the file, which has *size* bytes, before *line* is written."""
        raise NotImplementedError  # EventFileHandler implements it

    def _rotate(self) -> bool:
        """Rotate the file, whose lock is held; return whether the handler let go of it."""
        raise NotImplementedError  # EventFileHandler implements it

    def _complete(self, file: LiveFile, locked: bool) -> bool:
        """Complete the rotation of a killed writer, if there is one; return whether there was."""
        raise NotImplementedError  # EventFileHandler implements it

    def createLock(self) -> None:
        """Share one lock among all handlers of this process on this file."""
        super().createLock()
        self._mutex = locking.mutex_of(os.path.realpath(self.baseFilename))
        self.lock = self._mutex.lock

    def setFormatter(self, fmt: logging.Formatter | None) -> None:
        """Format records with *fmt*; an `EventFormatter` gives its lines as bytes."""
        super().setFormatter(fmt)
        own = type(self)
        straight = own.format is logging.Handler.format and self._codec == "utf-8"
        if straight and isinstance(fmt, EventFormatter) and type(fmt).format is EventFormatter.format:
            self._byte_formatter = fmt
            if own.emit is AppendingHandler.emit and own.filter is logging.Handler.filter:
                self._writer = fmt.writer

    def handle(self, record: logging.LogRecord) -> bool:
        """Write *record* if the filters pass it; format it without holding the lock.

        An event that its emitter has already written to this file is not written again.
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
            # From Python 3.12 on a filter may return another record to use instead.
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Format *record* and write it as one line; errors go to `handleError`."""
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
                    logging.StreamHandler.emit(self, record)  # the caller has replaced it
                elif not (self._is_closed and self.mode == "w"):
                    self._write(line, record)
        except Exception as error:
            self._fail(record, error)

    def _write(self, line: bytes | None, record: logging.LogRecord | None) -> None:
        mutex = self._mutex
        try:
            mutex.busy = True  # LogMutex.is_interrupted looks for this frame, too
            if line is None or not self._append_fast(line):
                self._append(line, record)
        finally:
            mutex.busy = False
            if mutex.deferred:
                mutex.catch_up()
            if self._is_closed:  # deviation 5
                self._close_file()

    def _defer(self, line: bytes, record: logging.LogRecord) -> None:
        """Write *line* after the record that this thread is writing, or now if there is none.

        A signal handler or a `__del__` that logs interrupts a record. Deferred lines keep their order.
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
        """Write *line* on the fast path, that of nearly all records; False leaves it to `_append`."""
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
            if size != file.end:  # another writer has appended
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
        """Lock, check the path, rotate if due, write (deviation 1); without a *line* only rotate."""
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
                if due and status.st_ino != rotated:  # once, if the rotator leaves the file in place
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
        if size != file.end and locked:  # another writer has appended
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
        # Later records try the lock without waiting, until one of them gets it.
        self._lock_wait = 0.0
        if not self._lock_timeout_reported:
            self._lock_timeout_reported = True
            self.notice(
                "lock_timeout",
                f"{self.baseFilename} could not be locked within {self.lock_timeout:g} s "
                "(is a process stopped?): appending without the lock, not rotating until it is free",
            )
        return False

    def _open(self) -> TextIOWrapper:
        """Open the log for appending, and remember the identity of the file."""
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
        # The child shares the parent's open file description and with it the parent's lock. Records
        # that the parent's threads were writing are left to the parent.
        self._close_file()
        self._mutex.reset()
        self._lost = 0


def make_folder(path: str, *, must: bool) -> None:
    """Create the folder of *path*; raise the OSError of a failure only if it *must* exist."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError:
        if must:
            raise


def remember(handler: AppendingHandler) -> None:
    """Have *handler* reopen its file in every child that this process forks."""
    _handlers.add(handler)


_handlers: weakref.WeakSet[AppendingHandler] = weakref.WeakSet()


def _reopen_all_after_fork() -> None:
    for handler in list(_handlers):
        handler._reopen_after_fork()


locking.LogMutex.busy_code.add(AppendingHandler._write.__code__)
os.register_at_fork(after_in_child=_reopen_all_after_fork)
