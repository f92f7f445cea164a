"""Rotates a log, retries a rotation that has failed, and has the backups compressed."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from chora_logging import log_files
from chora_logging.errors import RotationBusyError
from chora_logging.writing import journal, locking, loss
from chora_logging.writing.backups import NameOf
from chora_logging.writing.journal import LARGEST_COUNT
from chora_logging.writing.retention import Retention
from chora_logging.writing.rotation import Rollover, RotateFile

if TYPE_CHECKING:
    from chora_logging.writing.compression import BackupCompressor
    from chora_logging.writing.live_file import LiveFile
    from chora_logging.writing.periods import Periods

#: The first and the longest pause before a failed rotation is retried, in seconds.
FIRST_ROTATION_RETRY_SECONDS = 1.0
LONGEST_ROTATION_RETRY_SECONDS = 60.0

#: How much earlier than the clock the time of a file may be, in seconds: that of the kernel's last tick.
#: So a line of the first moment of a period is not taken for one of the period before.
COARSE_SECONDS = 0.02

#: Decides whether to rotate before a line, instead of the rule about sizes.
Due = Callable[[], bool]


class Hooks(NamedTuple):
    """The part in a rotation of whoever has the log.

    Attributes:
        run: Called instead of the rotation, which it is to call; None for nothing.
        name_of: Returns the path of a backup for its default path.
        rotate: Moves the live file to the path of the first backup; None renames it.
    """

    run: Callable[[], None] | None = None
    name_of: NameOf = str
    rotate: RotateFile | None = None


class Rotated:
    """A log that is rotated, and what its users are told of it; `SharedLog` describes the attributes."""

    path: str
    real_path: str
    max_bytes: int
    backup_count: int
    periods: Periods | None
    retention: Retention
    lock_timeout: float
    file_mode: int | None

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def hooks(self) -> Hooks:
        """Return the part in a rotation of whoever has the log."""
        return Hooks()

    def notice(self, event: str, message: str, **fields: Any) -> None:
        """Report what the users of the log should know; *event* is its name."""

    def notice_once(self, event: str, message: str, **fields: Any) -> None:
        """Report *event*, unless it was reported before."""
        if event not in self._reported:
            self._reported.add(event)
            self.notice(event, message, **fields)

    def notice_unlocked(self, error: OSError | None = None) -> None:
        """Report that lines are appended without the lock, because of *error* or of somebody who keeps it."""
        if error is not None:
            self.notice_once(
                "lock_unsupported",
                f"{self.path} cannot be locked ({error}): appending without the lock, never rotating",
                error=f"{type(error).__name__}: {error}",
            )
        else:
            self.notice_once(
                "lock_timeout",
                f"{self.path} could not be locked within {self.lock_timeout:g} s "
                "(is a process stopped?): appending without the lock, not rotating until it is free",
            )

    def notice_again(self, event: str) -> None:
        """Report *event* again if it happens again."""
        self._reported.discard(event)


class RotationSchedule:
    """The rotations of a log. Not thread safe: the caller holds the log's mutex and the lock of its file.

    A rotation that fails costs no line: the log keeps growing, `notice` reports it once, and it is retried.

    Args:
        log: The log, which has the settings, names the backups and reports failures.
        compress: The format in which a thread compresses backups, `"gzip"` or `"zstd"`; empty for none.

    Attributes:
        retry_at: When a rotation may be tried again, by the monotonic clock.
    """

    def __init__(self, log: Rotated, *, compress: str) -> None:
        self._log = log
        _load_digest()
        self._compress = compress
        self._compressor = _compressor(compress) if compress else None
        self.retry_at, self._retry_pause = 0.0, FIRST_ROTATION_RETRY_SECONDS
        self._made: dict[int, int] = {}
        self._gone: loss.Gone | None = None

    def rotate(self, hooks: Hooks) -> bool:
        """Rotate; return whether the file is to be opened anew."""
        log = self._log
        if log.backup_count > 0:
            try:
                self._rollover(hooks, log.lock_timeout).run()
            except Exception as error:  # also those of a namer or a rotator
                self._failed(error)
                return False
            if self._retry_pause > FIRST_ROTATION_RETRY_SECONDS:
                log.notice_again("rotation_failed")
                self._retry_pause = FIRST_ROTATION_RETRY_SECONDS
        return True

    def compress(self, hooks: Hooks) -> None:
        """Have the backups compressed, if they are to be; this process has closed them."""
        log = self._log
        if self._compressor is not None and log.backup_count > 0:
            report = partial(log.notice_once, "compression_blocked")
            self._compressor.start(log.real_path, log.backup_count, hooks.name_of, report)

    def opened(self, file: LiveFile) -> None:
        """Note when the period of *file*, which was just opened, ends: that of its last line."""
        if self._log.periods is not None:
            status = os.fstat(file.fd)
            written = status.st_mtime + COARSE_SECONDS if status.st_size else time.time()
            file.period_end = self._log.periods.end_of(written)

    def is_over(self, file: LiveFile | None) -> bool:
        """Return whether the period of *file* has ended."""
        return file is not None and time.time() >= file.period_end

    def settle(self, file: LiveFile, status: os.stat_result) -> bool:
        """Bring the sidecar up to date before a line is written to *file*, the live one, with *status*.

        Returns whether the file is to be opened anew: the rotation of a killed writer was completed.
        """
        if not status.st_size:
            self.opened(file)
        if status.st_size < file.end:
            self._gone, self.retry_at = loss.emptied(file), 0.0
            file.links, file.end, file.mark = 0, -1, 0
        if file.mark <= status.st_size:
            file.mark = journal.next_mark(status.st_size)
        is_settled = status.st_nlink == file.links and self._gone is None
        return not is_settled and self._complete(file)

    def written(self, file: LiveFile, locked: bool) -> None:
        """Note the size of *file*, to which lines were just written, if it has reached its mark."""
        if locked and file.end >= file.mark:
            self._note(file, file.end)
            file.mark = journal.next_mark(file.end)

    def left(self, file: LiveFile) -> None:
        """Note that the log's path does not name *file* any more."""
        if (gone := loss.deleted(file)) is not None:
            self._gone, self.retry_at = gone, 0.0

    def closing(self, file: LiveFile | None, wait: float) -> None:
        """Note how much was written to *file*, which is about to be closed.

        Not if its lock is not free within *wait* seconds: a compression, which has the lock, would find the
        sidecar in use and give up.
        """
        look = None if file is None else file.look(wait)
        if file is not None and look is not None and look.is_locked:
            try:
                self._note(file, file.end)
            finally:
                if file.fd >= 0:  # else a signal handler has closed it
                    locking.flock(file.fd, locking.UNLOCK)

    def join(self, lock: threading.RLock | None = None) -> None:
        """Wait for a compression under way; *lock*, that of the log, is released meanwhile."""
        if self._compressor is not None:
            self._compressor.join(lock)

    def after_fork(self) -> None:
        """Start anew in a forked child: a compression is the parent's."""
        if self._compressor is not None:
            self._compressor = _compressor(self._compress)

    def _note(self, file: LiveFile, size: int) -> None:
        loss.note(file, self._log.real_path, size, self._log.file_mode)

    def _complete(self, file: LiveFile) -> bool:
        if time.monotonic() < self.retry_at:
            return False
        try:
            completed = self._rollover(self._log.hooks(), 0).complete(self._gone)
        except RotationBusyError:
            return False
        except Exception as error:
            self._failed(error)
            return False
        self._gone, file.state = None, log_files.read_sidecar(self._log.real_path)
        with contextlib.suppress(OSError):  # deleted meanwhile: the next check notices
            file.links = os.stat(file.path).st_nlink
        return completed

    def _failed(self, error: Exception) -> None:
        if isinstance(error, FileNotFoundError) and not os.path.lexists(self._log.real_path):
            return  # another tool has moved the log away: the next line makes a new one
        self.retry_at = time.monotonic() + self._retry_pause
        self._retry_pause = min(self._retry_pause * 2, LONGEST_ROTATION_RETRY_SECONDS)
        self._log.notice_once(
            "rotation_failed",
            f"{self._log.path} could not be rotated and keeps growing; retrying later: {error}",
            error=f"{type(error).__name__}: {error}",
        )

    def _rollover(self, hooks: Hooks, timeout: float) -> Rollover:
        log = self._log
        return Rollover(
            log.real_path,
            log.retention._replace(backups=min(log.backup_count or 1, LARGEST_COUNT)),
            name_of=hooks.name_of,
            rotate=hooks.rotate,
            mode=log.file_mode,
            timeout=timeout,
            report=partial(log.notice_once, "sidecar_unusable"),
            max_bytes=log.max_bytes,
            made=self._made,
        )


def _load_digest() -> None:
    """Import what digests need before a rotation does.

    An exception that a signal handler raises in an import leaves the lock of all imports held: other threads
    that import anything wait for ever.
    """
    with contextlib.suppress(ImportError):  # who has dropped rights may not be able to read it any more
        import hashlib  # noqa: F401


def _compressor(compress: str) -> BackupCompressor:
    from chora_logging.writing.compression import BackupCompressor  # only who compresses needs it

    return BackupCompressor(compress)
