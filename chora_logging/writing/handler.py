"""One log, many writers: a `RotatingFileHandler` for any number of threads and processes.

Deliberate deviations from the standard library's handler, each marked at its place here or in
`chora_logging.writing.appending`:

1. A record is one `write` to a descriptor opened with O_APPEND, under a `flock` of the live file;
   the name is looked up on every record, so a file that was rotated, moved, deleted or replaced by
   anybody is noticed before the record goes to the wrong one.
2. Sizes are counted in bytes. An empty file is never rotated.
3. A rotation that fails costs no record: the file goes on growing and the rotation is tried again.
4. `mode="w"` truncates once, at construction, and never when the file is opened anew.
5. A handler that was closed reopens the file for a late record and closes it again.
6. Non-files (FIFOs, terminals, `/dev/null`, `/dev/stdout`) are written to and never rotated.
7. A character that the encoding cannot write is escaped, where the standard library loses the record;
   of an outage only the first error is printed (both in `chora_logging.writing.reporting`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING

from chora_logging.errors import RotationBusyError
from chora_logging.settings import (
    BACKUP_COUNT,
    MAX_BYTES,
    parse_count,
    parse_encoding,
    parse_mode,
    parse_size,
    parse_text_mode,
    parse_timeout,
)
from chora_logging.writing.appending import AppendingHandler, make_folder, remember
from chora_logging.writing.rotation import Rollover, is_due

if TYPE_CHECKING:
    from chora_logging.writing.compression import BackupCompressor
    from chora_logging.writing.live_file import LiveFile

#: The first and the longest pause before a failed rotation is tried again, in seconds.
FIRST_ROTATION_RETRY_SECONDS = 1.0
LONGEST_ROTATION_RETRY_SECONDS = 60.0


class EventFileHandler(AppendingHandler):
    """Write records to a rotated file that any number of threads and processes share.

    Use it like `RotatingFileHandler`: same positional arguments, `namer`, `rotator`, subclassing.
    Every process makes its own handler on the same path (forked workers inherit one); none needs to
    know of the others.

    Promised: no record is lost, doubled, torn or reordered within one writer, whoever rotates; a
    backup stays below *maxBytes* unless a single line is longer, and never changes after it has
    its number; when a logging call has returned, its line survives the death of the process. A
    symbolic link to the log stays, and the file that it points at is rotated.

    Not promised: survival of a power cut (see *fsync*); exclusion on file systems without `flock`
    or shared by several machines: there the file grows and is not rotated.

    Args:
        filename: The log. Its folders are made at construction and again when they vanish.
        mode: `"a"`, or `"w"` to begin with an empty file (only without *maxBytes*).
        maxBytes: Rotate before the file reaches this size; an int, or a string such as `"10MB"`.
            0 never rotates.
        backupCount: How many backups to keep; surplus ones of a larger setting are deleted by the
            next rotation. 0 never rotates.
        encoding: As in `open`.
        delay: Open the file at the first record instead of now.
        errors: As in `open`; None escapes what cannot be encoded.
        file_mode: Permission bits of the log, its backups and its sidecar; None leaves new files to
            the umask and gives a file after a rotation those of the one before it.
        compress: Compress backups with gzip, in a thread of this process, outside of all locks.
        lock_timeout: How long to wait for the lock of another process while that does nothing, in
            seconds. A process that was stopped while it held the lock delays each other one once by
            this time; records are then appended without the lock, and nothing is rotated until it
            is free. While others write, the wait goes on up to ten times as long.
        fsync: Wait for the disk on each record, so that it survives a power cut.

    Raises:
        ConfigurationError: an argument cannot be used.
        OSError: the file cannot be opened (not with *delay*: then the first record says so).

    Thread and process safe. After a fork the child opens the file for itself.
    """

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
        compress: bool = False,
        lock_timeout: float = 1.0,
        fsync: bool = False,
    ) -> None:
        max_bytes = parse_size("maxBytes", maxBytes)
        backup_count = parse_count("backupCount", backupCount)
        self._prepare(
            parse_encoding("encoding", encoding),
            file_mode=parse_mode("file_mode", file_mode),
            lock_timeout=parse_timeout("lock_timeout", lock_timeout),
            fsync=fsync,
        )
        self._compressor = _compressor() if compress else None
        self._rolling = self._rotation_failure_reported = False
        self._retry_at, self._retry_pause = 0.0, FIRST_ROTATION_RETRY_SECONDS
        self._own_rollover = type(self).shouldRollover is not EventFileHandler.shouldRollover
        mode = parse_text_mode("mode", mode)
        make_folder(os.path.abspath(os.fspath(filename)), must=not delay)
        super().__init__(filename, mode, max_bytes, backup_count, encoding, delay, errors)
        remember(self)

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Whether *record* would take the file to *maxBytes* (deviation 2: in bytes).

        For an empty file the answer is that of this Python's standard library; `emit` itself never
        rotates an empty file.
        """
        with self._mutex.lock:
            if self.stream is None:
                self.stream = self._open()
            if self.maxBytes <= 0 or self._file is None or not self._file.is_rotatable:
                return False
            size = os.stat(self.baseFilename).st_size
            if not size:
                return bool(super().shouldRollover(record))
            line = self._encode(self.format(record) + self.terminator).removeprefix(self._bom)
            return is_due(size, len(line), self.maxBytes)

    def doRollover(self) -> None:
        """Rotate now, whatever the size; an empty file is left as it is.

        A rotation that cannot be done is told in the log and tried again later.
        """
        with self._mutex.lock:
            if self._rolling:  # `emit` has the lock, and came here perhaps through an override
                self._roll()
            elif not self._mutex.busy:
                self._write(None, None)

    def close(self) -> None:
        """Close the file; wait for the compression of backups if there is one under way."""
        with self._mutex.lock:
            if self._lost and not self._is_closed:
                self._report_lost()
            self._close_file()
            self._is_closed = True
        if self._compressor is not None:
            self._compressor.join()
        super().close()

    def _is_due(self, size: int, line: bytes | None, record: logging.LogRecord | None) -> bool:
        if line is None or not size:
            return size > 0
        if self._own_rollover and record is not None:
            due = bool(self.shouldRollover(record))
        else:
            length = len(line.removeprefix(self._bom))
            due = is_due(size, length, self.maxBytes) and self.backupCount > 0
        return due and time.monotonic() >= self._retry_at

    def _rotate(self) -> bool:
        before = self._file
        self._rolling = True
        try:
            self.doRollover()  # a subclass may have its own
        finally:
            self._rolling = False
        return self._file is not before

    def _roll(self) -> None:
        if self.backupCount > 0:
            try:
                self._rollover(self.lock_timeout).run()
            except Exception as error:  # deviation 3: also what a namer or rotator raises
                self._rotation_failed(error)
                return
            self._rotation_failure_reported, self._retry_pause = False, FIRST_ROTATION_RETRY_SECONDS
            if self._compressor is not None:
                self._compressor.start(self._log, self.backupCount, self.rotation_filename)
        self._close_file()

    def _rotation_failed(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + self._retry_pause
        self._retry_pause = min(self._retry_pause * 2, LONGEST_ROTATION_RETRY_SECONDS)
        if not self._rotation_failure_reported:
            self._rotation_failure_reported = True
            self.notice(
                "rotation_failed",
                f"{self.baseFilename} could not be rotated and goes on growing; it is tried again: {error}",
                error=f"{type(error).__name__}: {error}",
            )

    def _complete(self, file: LiveFile, locked: bool) -> bool:
        if not locked or time.monotonic() < self._retry_at:
            return False
        try:
            completed = self._rollover(0).complete()
        except RotationBusyError:
            return False
        except Exception as error:
            self._rotation_failed(error)
            return False
        with contextlib.suppress(OSError):  # it was taken away meanwhile: the next look says so
            file.links = os.stat(self.baseFilename).st_nlink
        return completed

    def _rollover(self, timeout: float) -> Rollover:
        return Rollover(
            self._log,
            self.backupCount or 1,
            name_of=self.rotation_filename,
            rotate=self.rotate,
            mode=self._file_mode,
            timeout=timeout,
        )

    def _reopen_after_fork(self) -> None:
        super()._reopen_after_fork()
        self._rolling = False
        if self._compressor is not None:
            self._compressor = _compressor()


def _compressor() -> BackupCompressor:
    from chora_logging.writing.compression import BackupCompressor  # gzip takes long to load

    return BackupCompressor()
