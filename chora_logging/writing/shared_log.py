"""A log of whole lines, to which any number of threads and processes append, and which they rotate.

It takes bytes and knows nothing of `logging`. `EventFileHandler` and `EventEmitter` write through it.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import cast

from chora_logging import log_files
from chora_logging.writing import locking, opening
from chora_logging.writing.live_file import LiveFile, Look, Taken, line_too_long
from chora_logging.writing.locking import Deferred, Failed, Written
from chora_logging.writing.periods import Periods
from chora_logging.writing.retention import UNLIMITED, Retention
from chora_logging.writing.rotation_schedule import Due, Hooks, Rotated, RotationSchedule

#: Writes to a file of a size whose lock is held or not.
Put = Callable[[LiveFile, int, bool], None]


class SharedLog(Rotated):
    """A rotated file of lines.

    A line is one `write` to a descriptor opened with O_APPEND, under a `flock` of the file; then it survives
    the death of the process. A file that anyone has rotated, moved, deleted or replaced, and a descriptor
    that other code has closed or uses for another file, is noticed before the line goes to the wrong one.
    What others wrote into the file is never removed. Files that are not regular (FIFOs, terminals) are
    written to and never rotated.

    Args:
        path: The absolute path of the log. Missing folders are created. A link stays; its target is rotated.
        max_bytes: Rotate before the file reaches this size, in bytes; 0 never rotates.
        backup_count: The number of backups to keep; 0 never rotates.
        periods: The periods at whose end the file is rotated too; None for none.
        retention: Further limits of the backups.
        first_flags: Further flags for the first opening: `O_TRUNC`, `O_EXCL`.
        file_mode: Permission bits of the log, its backups and its sidecar; None copies those of the log.
        lock_timeout: How long to wait for the lock while its holder writes nothing, in seconds.
        fsync: Call `fsync` after each `write`.
        compress: The format in which backups are compressed, `"gzip"` or `"zstd"`; empty for none.
        first_bytes: The beginning of each file, before its first line: a byte order mark.

    Thread and process safe. A line that a signal handler or a `__del__` appends in the middle of another is
    written after that one. A forked child goes on with a descriptor of its own.
    """

    def __init__(
        self,
        path: str,
        *,
        max_bytes: int,
        backup_count: int,
        periods: Periods | None = None,
        retention: Retention = UNLIMITED,
        first_flags: int = 0,
        file_mode: int | None = None,
        lock_timeout: float = 1.0,
        fsync: bool = False,
        compress: str = "",
        first_bytes: bytes = b"",
    ) -> None:
        super().__init__()
        self.path = self.real_path = path
        self.max_bytes, self.backup_count, self.lock_timeout = max_bytes, backup_count, lock_timeout
        self.periods, self.retention = periods, retention
        self._is_lock_late = False  # lines try the lock without waiting, until one of them gets it
        self.file_mode, self.fsync, self.compress = file_mode, fsync, compress
        self.identity = os.path.realpath(path)  # the same for all logs that are one file
        self.mutex = locking.mutex_of(self.identity)
        self.is_closed = self._is_rotating = False
        #: The open file; the same if a line may take the fast path, and if it may that of the compiled part.
        self.file: LiveFile | None = None
        self._usual_file: LiveFile | None = None
        self._fast_file: LiveFile | None = None
        self._first_flags, self._first_bytes = first_flags, first_bytes
        self._schedule = RotationSchedule(self, compress=compress)
        _logs.add(self)

    def append(
        self,
        line: bytes,
        failed: Failed | None = None,
        due: Due | None = None,
        written: Written | None = None,
    ) -> None:
        """Append *line*, which has its newline, whole or not at all.

        Args:
            failed: Called with the error instead, if the line had to wait for another of this thread.
            due: Decides about rotating before the line, instead of *max_bytes*.
            written: Gets an item when the line is written, or will be written after another.

        Raises:
            OSError: the line was not written (`LineTooLongError`: no reader would take it).
            UnsyncedError: it was written, and `fsync` failed.
        """
        if len(line) > log_files.LONGEST_LINE_BYTES:
            raise line_too_long(self.path, len(line))
        written = [] if written is None else written
        with (mutex := self.mutex).lock:
            interrupted = mutex.busy and mutex.is_interrupted()
            if interrupted or mutex.deferred:
                self._defer(line, failed, due, written)
                return None if interrupted else mutex.catch_up()
            try:
                mutex.busy = True  # LogMutex.is_interrupted looks for this frame, too
                if not self._append_fast(line, due, written):
                    self._append(line, due, written)
            finally:
                self._finish()

    def append_many(self, lines: list[bytes], taken: Taken) -> None:
        """Append the lines that are in *lines* now, with as few writes as possible.

        Each line leaves *lines* when it is in the file, and *taken* is called. Meanwhile other threads may
        add lines at the end of it. Nothing is done if this thread is writing further up its stack.

        Raises:
            OSError: the lines that are left in *lines* were not written.
            UnsyncedError: lines have left *lines*, and `fsync` failed for them.
        """
        with (mutex := self.mutex).lock:
            if mutex.busy and mutex.is_interrupted():
                return
            left = len(lines)

            def count(number: int, size: int) -> None:
                nonlocal left
                left -= number
                taken(number, size)

            try:
                mutex.busy = True
                while left > 0 and lines:
                    self._with_live_file(len(lines[0]), None, partial(self._put_many, lines, count))
            finally:
                self._finish()

    def rotate(self) -> None:
        """Rotate now, whatever the size; an empty file stays as it is.

        A rotation that fails is reported by `notice` and retried later.
        """
        with (mutex := self.mutex).lock:
            if self._is_rotating:  # called by the hook for a rotation
                self._rotate(self.hooks()._replace(run=None))
            elif not (mutex.busy and mutex.is_interrupted()):
                try:
                    mutex.busy = True
                    self._with_live_file(None, None, lambda *_: None)
                finally:
                    self._finish()

    def open(self) -> None:
        """Open the log, even if it was closed.

        Raises:
            OSError: it cannot be opened.
        """
        with self.mutex.lock:
            self.is_closed = False
            self.real_path = log_files.real_path(self.path)
            os.makedirs(os.path.dirname(self.real_path), exist_ok=True)
            fd = opening.open_log(self.path, self.real_path, self._first_flags, self.file_mode)
            self._first_flags = 0
            self._close_file()
            self._use(fd)

    def close(self) -> None:
        """Close the file, and wait for a compression under way. A later line opens and closes it again."""
        with (mutex := self.mutex).lock:
            if mutex.busy and mutex.is_interrupted():
                self.is_closed = True  # the line under way closes the file
                return
            mutex.catch_up()
            self._schedule.closing(self.file, 0 if self._is_lock_late else self.lock_timeout)
            self._close_file()
            self.is_closed = True
        self._schedule.join(mutex.lock)

    def is_due(self, size: int, length: int) -> bool:
        """Return whether to rotate the file, which has *size* bytes, before a line of *length* bytes.

        The rule is that of `RotatingFileHandler`, in bytes: a backup stays below *max_bytes*. An empty
        file is never rotated (gh-116263), so a line longer than the limit gets a file of its own.
        """
        return size > 0 and (0 < self.max_bytes <= size + length or self._schedule.is_over(self.file))

    def reopen(self) -> None:
        """Open the log, for a line; for subclasses."""
        self.open()

    def newline(self) -> bytes:
        """Return the end of a line; for subclasses."""
        return b"\n"

    def _append_fast(self, line: bytes, due: Due | None, written: Written) -> bool:
        file = self._usual_file
        if file is None or due is not None or (self.periods is not None and self._schedule.is_over(file)):
            return False
        return file.append_fast(line, self.newline, self.max_bytes or sys.maxsize, written)

    def _append(self, line: bytes, due: Due | None, written: Written) -> None:
        def put(file: LiveFile, size: int, locked: bool) -> None:
            file.append(line, self.newline, size, written, undo=locked)

        try:
            self._with_live_file(len(line), due, put, partial(self._append_fast, line, due, written))
        finally:
            if self.is_closed:
                self._close_file()

    def _defer(self, line: bytes, failed: Failed | None, due: Due | None, written: Written) -> None:
        """Have *line* written after the one that this thread is writing."""
        late, deferred = Deferred(partial(self._append, line, due), failed), self.mutex.deferred
        deferred += (late,)  # no call, so no signal handler runs before the next step
        written += (0,)

    def _finish(self) -> None:
        self.mutex.busy = False
        if self.mutex.deferred:
            self.mutex.catch_up()
        if self.is_closed:
            self._close_file()

    def _with_live_file(
        self, length: int | None, due: Due | None, put: Put, put_fast: Callable[[], bool] | None = None
    ) -> None:
        """Lock the file that the path names, rotate it if due for *length* bytes, and call *put*.

        A file that was just opened may take *put_fast* instead.
        """
        rotated = 0
        while True:
            file = self.file
            if file is None:
                file = self._reopen()
                if put_fast is not None and put_fast():
                    return
            try:
                look = file.look(0 if self._is_lock_late else self.lock_timeout)
                if look is None:
                    self._descriptor_lost(file)
                    continue
                if not file.is_rotatable:
                    put(file, 0, False)
                    return
                locked, status = not file.is_shared and self._is_locked(look), look.status
                if status is None:
                    file.wait_for_next()
                    self._schedule.left(file)
                    if self._reopen_or_keep(file):
                        continue
                    status = os.fstat(file.fd)
                elif locked and self._schedule.settle(file, status):
                    self._close_file()
                    continue
                is_due = locked and not file.is_last and self._is_due(status.st_size, length, due)
                if is_due and status.st_ino != rotated:  # once, if the rotator leaves the file in place
                    rotated = status.st_ino
                    self._rotate(self.hooks())
                    if self.file is not file:
                        if length is None:
                            return
                        continue
                put(file, status.st_size, locked)
                self._schedule.written(file, locked)
                return
            finally:  # also if a signal handler has raised right after the lock was taken
                if file.fd >= 0 and file.is_rotatable and not file.is_shared:
                    try:  # noqa: SIM105  # as in `LiveFile.append_fast`
                        locking.flock(file.fd, locking.UNLOCK)
                    except OSError:
                        pass

    def _is_due(self, size: int, length: int | None, due: Due | None) -> bool:
        """Return whether to rotate now; without *length* the caller demands it."""
        if length is None or not size:
            return size > 0
        is_due = due() if due is not None else self.is_due(size, length) and self.backup_count > 0
        return bool(is_due) and time.monotonic() >= self._schedule.retry_at

    def _rotate(self, hooks: Hooks) -> None:
        if hooks.run is None:
            if self._schedule.rotate(hooks):
                self._close_file()
                self._schedule.compress(hooks)
            return
        self._is_rotating = True
        try:
            hooks.run()
        finally:
            self._is_rotating = False

    def _put_many(self, lines: list[bytes], taken: Taken, file: LiveFile, size: int, locked: bool) -> None:
        """Write as many of *lines* as fit into the file, at least one."""
        # If the file is too large already, a due rotation has failed.
        is_limited = size < self.max_bytes and self.backup_count > 0
        room = self.max_bytes - size if is_limited else sys.maxsize
        file.append_many(lines, self.newline, size, room, taken, undo=locked)

    def _use(self, fd: int) -> None:
        self.file = LiveFile(fd, self.path, self.real_path, self._first_bytes, self.fsync)
        self._schedule.opened(self.file)
        self._allow_fast_path()

    def _allow_fast_path(self) -> None:
        file = self.file
        is_usual = file is not None and file.is_rotatable and not self._first_bytes and not self._is_lock_late
        self._usual_file = file if is_usual else None
        self._fast_file = file if is_usual and not self.fsync and self.periods is None else None

    def _reopen(self) -> LiveFile:
        closed = self.is_closed
        self.reopen()
        self.is_closed = closed
        return cast(LiveFile, self.file)

    def _reopen_or_keep(self, file: LiveFile) -> bool:
        """Open the file that the path names now, instead of *file*; return False if *file* has to do.

        A process that has lost the rights to open the next one, or is in a chroot, can still write to it.
        """
        try:
            self._reopen()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) and os.fstat(file.fd).st_nlink:
                file.is_last = True
                reason = f"{self.path} cannot be opened any more ({error}): its former file stays in use"
                self.notice_once("log_unreachable", reason, error=f"{type(error).__name__}: {error}")
                return False
            self._close_file()  # to have a descriptor for the next attempt
        return True

    def _close_file(self) -> None:
        self._usual_file = self._fast_file = None
        if self.file is not None:
            try:
                self.file.close()
            finally:  # after it, so that a child that another thread forks meanwhile closes it, too
                self.file = None

    def _descriptor_lost(self, file: LiveFile) -> None:
        self._close_file()
        reason = f"other code of this process has closed the descriptor of {self.path}, or uses its number"
        self.notice_once("descriptor_lost", f"{reason} for another file: the log was opened again")

    def _is_locked(self, look: Look) -> bool:
        """Return whether the lock was taken; report it if it was not."""
        if look.error is not None:
            self.notice_unlocked(look.error)
        elif look.is_locked is self._is_lock_late:
            self._is_lock_late = not look.is_locked
            self._allow_fast_path()
            if not look.is_locked:
                self.notice_unlocked()
            elif self.lock_timeout:
                self.notice_again("lock_timeout")
        return look.is_locked

    def after_fork(self) -> None:
        """Go on in a child with a descriptor of its own, while it still has the rights to open one.

        The child shares the parent's open file description, and with it the parent's lock. Lines that the
        parent's threads were writing are left to the parent.
        """
        file, self.file, self._usual_file, self._fast_file = self.file, None, None, None
        self._is_rotating, self._first_flags = False, 0
        self.mutex.reset()
        self._schedule.after_fork()
        if file is None or not file.is_open():
            return
        file.is_shared = file.is_rotatable
        fd = opening.open_again(file.fd, file.path) if file.is_rotatable else None
        if fd is None:
            self.file = file
            return
        self._use(fd)
        file.close()


_logs: weakref.WeakSet[SharedLog] = weakref.WeakSet()


def _after_fork() -> None:
    for log in list(_logs):
        log.after_fork()


_busy = SharedLog.append, SharedLog.append_many, SharedLog.rotate
locking.LogMutex.busy_code.update(function.__code__ for function in _busy)
os.register_at_fork(after_in_child=_after_fork)
