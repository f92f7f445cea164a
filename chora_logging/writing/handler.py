"""A `RotatingFileHandler` whose log any number of threads and processes may write.

It deviates from the standard library's handler on purpose. Comments here and in
`chora_logging.writing.appending` refer to these numbers:

1. A record is one `write` to a descriptor opened with O_APPEND, under a `flock` of the live file;
   the path is checked for every record, so a file that anyone has rotated, moved, deleted or replaced
   is noticed before the record goes to the wrong one.
2. Sizes are counted in bytes. An empty file is never rotated.
3. A rotation that fails costs no record: the file keeps growing and the rotation is retried.
4. `mode="w"` truncates once, at construction, and never when the file is reopened.
5. A closed handler reopens the file for a late record and closes it again.
6. FIFOs, terminals, `/dev/null` and `/dev/stdout` are written to but never rotated.
7. A character that the encoding cannot represent is escaped, where the standard library loses the
   record. Only the first error of an outage is printed. Both are in `chora_logging.writing.reporting`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING

from chora_logging.errors import RotationBusyError
from chora_logging.options import (
    checked_names,
    parse_count,
    parse_encoding,
    parse_flag,
    parse_mode,
    parse_path,
    parse_size,
    parse_text_mode,
    parse_timeout,
)
from chora_logging.settings import BACKUP_COUNT, MAX_BYTES
from chora_logging.writing.appending import AppendingHandler, make_folder, remember
from chora_logging.writing.rotation import Rollover, is_due

if TYPE_CHECKING:
    from chora_logging.writing.compression import BackupCompressor
    from chora_logging.writing.live_file import LiveFile

#: The first and the longest pause before a failed rotation is retried, in seconds.
FIRST_ROTATION_RETRY_SECONDS = 1.0
LONGEST_ROTATION_RETRY_SECONDS = 60.0


class EventFileHandler(AppendingHandler):
    """Write records to a rotated file that any number of threads and processes share.

    Use it like `RotatingFileHandler`: same positional arguments, `namer`, `rotator`, subclassing.
    Every process makes its own handler on the same path (forked workers inherit one). The processes
    need no coordination.

    Promised: no record is lost, doubled, torn or reordered within one writer, whichever process
    rotates; a backup stays below *maxBytes* unless a single line is longer, and never changes once
    it has its number; when a logging call has returned, its line survives the death of the process.
    A symbolic link to the log stays, and its target is rotated.

    Not promised: survival of a power cut (see *fsync*); mutual exclusion on file systems without
    `flock` or shared by several machines: there the file grows and is not rotated.

    Args:
        filename: The log. Missing folders are created, at construction and whenever it is opened.
        mode: `"a"`, or `"w"` to begin with an empty file (only without *maxBytes*).
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
        compress: Compress backups with gzip, in a thread of this process, outside of all locks.
        lock_timeout: How long to wait for the lock while the process that holds it writes nothing, in
            seconds. A process that is stopped while it holds the lock delays every other process once
            by this time; records are then appended without the lock, and nothing is rotated until it
            is free. While others write, the wait may last up to ten times as long.
        fsync: Call `fsync` after each record, so that it survives a power cut.

    Flags, counts and seconds may be text, as configuration files have them: `"no"`, `"5"`, `"0.5"`.

    Raises:
        ConfigurationError: an argument is invalid or unknown.
        OSError: the file cannot be opened. With *delay* the first record reports it instead.

    Thread and process safe. After a fork the child reopens the file.
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
            fsync=parse_flag("fsync", fsync),
        )
        self._compressor = _compressor() if parse_flag("compress", compress) else None
        self._rolling = self._rotation_failure_reported = False
        self._retry_at, self._retry_pause = 0.0, FIRST_ROTATION_RETRY_SECONDS
        self._own_rollover = type(self).shouldRollover is not EventFileHandler.shouldRollover
        mode, delay = parse_text_mode("mode", mode), parse_flag("delay", delay)
        filename = parse_path("filename", filename)
        make_folder(os.path.abspath(filename), must=not delay)
        super().__init__(filename, mode, max_bytes, backup_count, encoding, delay, errors)
        remember(self)

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Return whether *record* would take the file to *maxBytes* (deviation 2: in bytes).

        For an empty file the standard library of this Python decides; `emit` itself never rotates
        an empty file.
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
        """Rotate now, whatever the size; leave an empty file as it is.

        A rotation that fails is reported in the log and retried later.
        """
        with self._mutex.lock:
            if self._rolling:  # `emit` calls, with the lock held, perhaps through an override
                self._roll()
            elif not self._mutex.busy:
                self._write(None, None)

    def close(self) -> None:
        """Close the file, and wait for a compression of backups that is under way."""
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
            self.doRollover()  # a subclass may override it
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
                f"{self.baseFilename} could not be rotated and keeps growing; retrying later: {error}",
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
        with contextlib.suppress(OSError):  # deleted meanwhile: the next check notices
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
    from chora_logging.writing.compression import BackupCompressor  # gzip is slow to import

    return BackupCompressor()
