"""One log, many writers: `EventFileHandler`, a `RotatingFileHandler` for any number of threads and processes.

Deliberate deviations from the standard library's handler, each marked at its place:

1. A record is one `write` to a descriptor opened with O_APPEND, under a `flock` of the live file;
   the name is looked up on every record, so a file that was rotated, moved, deleted or replaced by
   anybody is noticed before the record goes to the wrong one.
2. Sizes are counted in bytes. An empty file is never rotated.
3. A rotation that fails costs no record: the file goes on growing and the rotation is tried again.
4. `mode="w"` truncates once, at construction, and never when the file is opened anew.
5. A handler that was closed reopens the file for a late record and closes it again.
6. Non-files (FIFOs, terminals, `/dev/null`, `/dev/stdout`) are written to and never rotated.
7. A character that the encoding cannot write is escaped, where the standard library loses the record.
"""

from __future__ import annotations

import codecs
import contextlib
import locale
import logging
import logging.handlers
import os
import stat
import sys
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from chora_logging import live_file, locking, rotation, sidecar
from chora_logging.compression import BackupCompressor
from chora_logging.errors import ConfigurationError, RotationBusyError
from chora_logging.rollover import Rollover
from chora_logging.schema import OWN_LOGGER

if TYPE_CHECKING:
    from io import TextIOWrapper

#: The first and the longest pause before a failed rotation is tried again, in seconds.
FIRST_RETRY = 1.0
LONGEST_RETRY = 60.0

_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")


class EventFileHandler(logging.handlers.RotatingFileHandler):
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
        lock_timeout: How long to wait for the lock of another process, in seconds. A process that
            holds it for longer (it was stopped) delays each other one once by this time; records
            are then appended without the lock, and nothing is rotated until it is free.
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
        maxBytes: int | str = 10 * 1024 * 1024,
        backupCount: int = 5,
        encoding: str | None = "utf-8",
        delay: bool = False,
        errors: str | None = None,
        *,
        file_mode: int | str | None = None,
        compress: bool = False,
        lock_timeout: float = 1.0,
        fsync: bool = False,
    ) -> None:
        max_bytes = rotation.parse_size("maxBytes", maxBytes)
        backup_count = rotation.parse_count("backupCount", backupCount)
        self._file_mode = rotation.parse_mode("file_mode", file_mode)
        self._patience = self.lock_timeout = _parse_timeout(lock_timeout)
        self.fsync = fsync
        self.compress = compress
        self._compressor = BackupCompressor()
        self._forget_file()
        self._codec = _parse_codec(encoding)
        self._bom = "".encode(self._codec)
        self._begun = self._rolling = False
        self._lost = 0
        self._lost_because: BaseException | None = None
        self._rotation_told = self._lock_told = False
        self._retry_at, self._retry_pause = 0.0, FIRST_RETRY
        self._asks = type(self).shouldRollover is not EventFileHandler.shouldRollover
        mode = _parse_text_mode(mode)
        _make_folder(os.path.abspath(os.fspath(filename)), must=not delay)
        super().__init__(filename, mode, max_bytes, backup_count, encoding, delay, errors)
        _handlers.add(self)

    def createLock(self) -> None:
        """Take the lock that all handlers on this file in this process share."""
        super().createLock()
        self._turn = locking.turn_of(os.path.realpath(self.baseFilename))
        self.lock = self._turn.lock

    def emit(self, record: logging.LogRecord) -> None:
        """Format *record* and write it as one line; what fails goes to `handleError`."""
        if self.stream is not self._stream:  # somebody put another stream in: theirs to write to
            return logging.StreamHandler.emit(self, record)
        try:
            line = self._encode(self.format(record) + self.terminator)
            with self._turn.lock:
                if self._closed and self.mode == "w":
                    return None
                self._write(line, record)
        except Exception as error:
            self._fail(record, error)
        return None

    def handleError(self, record: logging.LogRecord) -> None:
        """Report a record that could not be written, as `logging.Handler.handleError` does.

        Of an outage (the same kind of error on one record after the other) only the first is
        printed; all are counted, and the log itself says how many once writing works again.
        """
        if record.__dict__.get("_raise_to_caller"):
            raise
        error = sys.exc_info()[1]
        if not isinstance(error, OSError) or self._lost <= 1:
            super().handleError(record)

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

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # type: ignore[override]
        """Whether *record* would take the file to *maxBytes* (deviation 2: in bytes).

        For an empty file the answer is that of this Python's standard library; `emit` itself never
        rotates an empty file.
        """
        with self._turn.lock:
            if self.stream is None:
                self.stream = self._open()
            if self.maxBytes <= 0 or not self._is_file:
                return False
            size = os.stat(self.baseFilename).st_size
            if not size:
                return bool(super().shouldRollover(record))
            line = self._encode(self.format(record) + self.terminator)
            return rotation.is_due(size, len(line), self.maxBytes)

    def doRollover(self) -> None:
        """Rotate now, whatever the size; an empty file is left as it is.

        A rotation that cannot be done is told in the log and tried again later.
        """
        with self._turn.lock:
            if self._rolling:  # `emit` has the lock, and came here perhaps through an override
                self._roll()
            elif not self._turn.busy:
                self._write(None, None)

    def close(self) -> None:
        """Close the file; wait for the compression of backups if there is one under way."""
        with self._turn.lock:
            if self._lost and not self._closed:
                self._tell_lost()
                while self._turn.deferred:
                    self._turn.deferred.popleft()()
            self._drop_stream()
        self._compressor.join()
        super().close()

    def _write(self, line: bytes | None, record: logging.LogRecord | None) -> None:
        turn = self._turn
        if turn.busy and record is not None and line is not None:
            self._defer(line, record)
            return
        try:
            turn.busy = True
            self._append(line, record)
        finally:
            turn.busy = False
            if self._closed:  # deviation 5
                self._drop_stream()
            while turn.deferred and not turn.busy:
                turn.deferred.popleft()()

    def _defer(self, line: bytes, record: logging.LogRecord) -> None:
        self._turn.deferred.append(partial(self._write_deferred, line, record))

    def _write_deferred(self, line: bytes, record: logging.LogRecord) -> None:
        try:
            self._write(line, record)
        except Exception as error:
            self._fail(record, error)

    def _append(self, line: bytes | None, record: logging.LogRecord | None) -> None:
        """Deviation 1: lock, look, rotate if it is time, write. No *line* means: only rotate."""
        rotated = False
        while True:
            fd = self._fd if self._fd is not None else self._open_live()
            if not self._is_file:
                return None if line is None else live_file.append_whole(fd, line, None)
            locked = self._take_lock(fd)
            try:
                status = self._look()
                if status is None or (locked and self._complete_rotation(status)):
                    self._drop_stream()
                    continue
                if locked and not rotated and self._is_due(status.st_size, line, record):
                    rotated = True
                    if self._rotate_as_configured():
                        continue
                return None if line is None else self._put(fd, line, status.st_size, locked)
            finally:
                if locked and self._fd == fd:
                    locking.unlock(fd)

    def _put(self, fd: int, line: bytes, size: int, locked: bool) -> None:
        if self._bom and size:
            line = line.removeprefix(self._bom)
        if size != self._end:
            end = self.terminator.encode(self._codec).removeprefix(self._bom)
            if not live_file.ends_with(fd, size, end):
                line = end + line  # close off the half line of a writer that was killed
        live_file.append_whole(fd, line, size if locked else None)
        self._end = size + len(line)
        if self.fsync:
            os.fsync(fd)
        if self._lost:
            self._tell_lost()

    def _take_lock(self, fd: int) -> bool:
        if locking.try_lock(fd) or (self._patience and locking.lock(fd, self._patience)):
            self._patience, self._lock_told = self.lock_timeout, False
            return True
        self._patience = 0.0
        if not self._lock_told:
            self._lock_told = True
            self.notice(
                "lock_timeout",
                f"{self.baseFilename}: its lock was not to be had within {self.lock_timeout:g} s "
                "(is a process stopped?): appending without it, not rotating until it is free",
            )
        return False

    def _look(self) -> os.stat_result | None:
        """What the log's name stands for now; None if that is not the file that is open here."""
        try:
            status = os.stat(self.baseFilename)
        except FileNotFoundError:
            return None
        if status.st_ino != self._inode or status.st_dev != self._device:
            return None
        return status

    def _is_due(self, size: int, line: bytes | None, record: logging.LogRecord | None) -> bool:
        if line is None:
            return size > 0
        if not size or time.monotonic() < self._retry_at:
            return False
        if self._asks and record is not None:
            return bool(self.shouldRollover(record))
        return self.backupCount > 0 and rotation.is_due(size, len(line), self.maxBytes)

    def _rotate_as_configured(self) -> bool:
        before = self._stream
        self._rolling = True
        try:
            self.doRollover()  # a subclass may have its own
        finally:
            self._rolling = False
        return self._stream is not before

    def _roll(self) -> None:
        if self.backupCount > 0:
            try:
                self._rollover(self.lock_timeout).run()
            except Exception as error:  # deviation 3: also what a namer or rotator raises
                self._rotation_failed(error)
                return
            self._rotation_told, self._retry_pause = False, FIRST_RETRY
            if self.compress:
                self._compressor.start(self._log, self.backupCount, self.rotation_filename)
        self._drop_stream()

    def _rotation_failed(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + self._retry_pause
        self._retry_pause = min(self._retry_pause * 2, LONGEST_RETRY)
        if not self._rotation_told:
            self._rotation_told = True
            self.notice(
                "rotation_failed",
                f"{self.baseFilename} could not be rotated and goes on growing; it is tried again: {error}",
                error=f"{type(error).__name__}: {error}",
            )

    def _complete_rotation(self, status: os.stat_result) -> bool:
        """Complete the rotation of a writer that was killed, if the file shows a sign of one."""
        if status.st_nlink == self._links or time.monotonic() < self._retry_at:
            return False
        try:
            completed = self._rollover(0).complete()
        except RotationBusyError:
            return False
        except Exception as error:
            self._rotation_failed(error)
            return False
        self._links = os.stat(self.baseFilename).st_nlink
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

    def _open(self) -> TextIOWrapper:
        """Open the log for appending and remember which file it is."""
        self._log = rotation.real_path(self.baseFilename)
        _make_folder(self._log, must=True)
        mode = "a" if self._begun else self.mode  # deviation 4
        stream: TextIOWrapper = self._builtin_open(  # type: ignore[attr-defined]
            self.baseFilename, mode, encoding=self._codec, errors=self.errors, opener=self._opener
        )
        self._begun = True
        self._stream, self._fd = stream, stream.fileno()
        status = os.fstat(self._fd)
        self._inode, self._device, self._end = status.st_ino, status.st_dev, -1
        # Deviation 6. /dev/stdout may be a regular file, but it is not ours to rename.
        self._is_file = stat.S_ISREG(status.st_mode) and not self.baseFilename.startswith(_STREAMS)
        if self._is_file:
            self._look_at_sidecar(status)
        return stream

    def _look_at_sidecar(self, status: os.stat_result) -> None:
        state = sidecar.read(self._log)
        # 0 is no file's link count: the first record then completes the rotation, or makes the sidecar.
        self._links = 1 if state is not None and not state.under_way else 0
        if self._file_mode is not None and live_file.permissions(status) != self._file_mode:
            with contextlib.suppress(PermissionError):
                os.fchmod(self._fd or 0, self._file_mode)

    def _opener(self, path: str, flags: int) -> int:
        flags |= os.O_APPEND
        try:
            readable = stat.S_ISREG(os.stat(path).st_mode)
        except FileNotFoundError:
            readable = True
            if not flags & os.O_EXCL:
                self._create_missing()
        if readable:  # its end is looked at: a FIFO is not read, that would steal from its reader
            with contextlib.suppress(PermissionError):
                return os.open(path, flags & ~os.O_WRONLY | os.O_RDWR, 0o666)
        return os.open(path, flags, 0o666)

    def _create_missing(self) -> None:
        """Make the log with the permissions that it had, which its sidecar still has."""
        try:
            like = os.stat(sidecar.path_of(self._log))
        except OSError:
            if self._file_mode is not None:
                live_file.create(self._log, self._file_mode)
        else:
            live_file.create(self._log, live_file.permissions(like, self._file_mode), like)

    def _open_live(self) -> int:
        self.stream = self._open()
        return self.stream.fileno()

    def _drop_stream(self) -> None:
        stream = self.stream
        self.stream = None  # type: ignore[assignment]  # as FileHandler does
        self._forget_file()
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()

    def _forget_file(self) -> None:
        self._stream: TextIOWrapper | None = None
        self._fd: int | None = None
        self._inode = self._device = self._links = 0
        self._end = -1
        self._is_file = True

    def _reopen_after_fork(self) -> None:
        # The child shares the parent's open file description and with it the parent's lock; what
        # another thread of the parent was writing is the parent's.
        self._drop_stream()
        self._rolling = False
        self._turn.reset()
        self._compressor = BackupCompressor()

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
        if not record.__dict__.get("_raise_to_caller"):
            self._lost += 1
            self._lost_because = error
        with contextlib.suppress(RecursionError):  # of reporting a record that recurses
            self.handleError(record)

    def _tell_lost(self) -> None:
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


def _make_folder(path: str, *, must: bool) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError:
        if must:
            raise


def _parse_timeout(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    raise ConfigurationError("lock_timeout", value, "a number of seconds, 0 or more")


def _parse_text_mode(value: object) -> str:
    if isinstance(value, str) and value.replace("+", "").replace("t", "") in ("a", "w", "x"):
        return value
    raise ConfigurationError("mode", value, '"a", "w" or "x" (lines are text)')


def _parse_codec(value: object) -> str:
    if value is None or value == "locale":
        return locale.getpreferredencoding(False)
    try:
        return codecs.lookup(str(value)).name
    except LookupError:
        raise ConfigurationError("encoding", value, "an encoding that this Python has") from None


_handlers: weakref.WeakSet[EventFileHandler] = weakref.WeakSet()


def _reopen_all_after_fork() -> None:
    for handler in list(_handlers):
        handler._reopen_after_fork()


os.register_at_fork(after_in_child=_reopen_all_after_fork)
