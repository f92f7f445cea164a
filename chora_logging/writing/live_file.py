"""The live file of a log: opened for appending, known by its identity, and given whole lines."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import itertools
import math
import os
import stat
import weakref
from collections.abc import Callable
from functools import partial
from time import sleep  # not that of a later gevent, see `locking`
from typing import NamedTuple

from chora_logging import log_files, speedups
from chora_logging.errors import LineTooLongError, UnsyncedError
from chora_logging.log_files import LONGEST_LINE_BYTES
from chora_logging.writing import journal, locking
from chora_logging.writing.locking import EXCLUSIVE, UNLOCK, Written, flock
from chora_logging.writing.opening import link_targets

#: Paths that may lead to a regular file (`app > file`), which is not ours to rename.
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")

#: How long to wait for the next log after another program has moved the log away, in milliseconds.
#: Meanwhile nothing is written to the old one, which that program may be compressing.
NEXT_FILE_WAIT_MS = 50

#: How many writes under way of others are waited for before a partial line gets a newline.
LONGEST_WAIT_WRITES = 100

#: The longest single `write` of several lines, in bytes.
LARGEST_WRITE_BYTES = 1 << 20

#: Called with the number and the size of lines that have been written.
Taken = Callable[[int, int], None]
#: Returns the end of a line.
Newline = Callable[[], bytes]

_Appender = speedups.Appender if speedups.in_use else object

#: The open live files by descriptor. A number that is given out again was closed by other code.
_by_descriptor: weakref.WeakValueDictionary[int, LiveFile] = weakref.WeakValueDictionary()


class Look(NamedTuple):
    """The state of a live file.

    Attributes:
        status: The status of the log's path; None if it does not name this file any more.
        is_locked: Whether the lock was taken.
        error: Why there is no lock at all.
    """

    status: os.stat_result | None
    is_locked: bool
    error: OSError | None


class LiveFile(_Appender):  # type: ignore[misc, valid-type]  # chosen at import
    """An open log. Not thread safe: the caller holds the log's mutex.

    Args:
        fd: The descriptor, opened by `opening.open_log`.
        path: The path under which it was opened.
        log: The same with symbolic links resolved.
        first_bytes: The beginning of the file, before its first line.
        fsync: Whether to call `fsync` after each `write`.

    Attributes:
        inode, device: The identity of the file.
        is_rotatable: Whether it is a regular file, and not one behind `/dev/stdout` or the like.
        is_shared: Whether a forked child shares it with its parent. Then a lock excludes nobody.
        is_last: Whether its path names no file that may be opened. Then it stays in use.
        end: The offset of the end of the last line written through it; -1 before the first.
        links: The expected link count; 0 has the sidecar checked before the next record.
        mark: The size that no line may reach without having it noted in the sidecar.
        period_end: The time from which on a line belongs to the next file.
        state: What the sidecar says of the log, if there is one, since this is the live file.
    """

    def __init__(self, fd: int, path: str, log: str, first_bytes: bytes = b"", fsync: bool = False) -> None:
        self.fd, self.path, self.name = fd, path, os.fsencode(path)
        status = os.fstat(fd)
        self.inode, self.device = status.st_ino, status.st_dev
        self.end, self.period_end = -1, math.inf
        self.is_rotatable = stat.S_ISREG(status.st_mode) and not _leads_to_stream(path)
        self.is_shared = self.is_last = False
        said = log_files.read_backups(log)
        # If others have rotated this file since it was opened, the sidecar speaks of a later one.
        self.state = said.state if self.stat_if_current() is not None else None
        self.links = 1 if said.fits(status) else 0
        self.mark = journal.next_mark(status.st_size)
        self._first_bytes, self._fsync = first_bytes, fsync
        self._text: io.TextIOWrapper | None = None
        former = _by_descriptor.get(fd)
        if former is not None:
            former.fd = -1
        _by_descriptor[fd] = self

    def is_open(self) -> bool:
        """Return whether the descriptor is still this file.

        Other code of the process may have closed it, and its number may be another file now. The position
        of a description that only appends is the end of its last line.
        """
        if self.fd < 0:
            return False
        try:
            if self.is_rotatable and not fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_APPEND:
                return False
            if self.is_rotatable and self.end > 0 and os.lseek(self.fd, 0, os.SEEK_CUR) == self.end:
                return True
            status = os.fstat(self.fd)
            return status.st_ino == self.inode and status.st_dev == self.device
        except OSError:
            return False

    def look(self, wait: float) -> Look | None:
        """Lock the file, and look whether the log's path still names it; None if its descriptor is lost.

        Args:
            wait: How long to wait for the lock while its holder writes nothing, in seconds.
        """
        if not self.is_open():
            return None
        if not self.is_rotatable or self.is_shared:
            return Look(self.stat_if_current() if self.is_rotatable else None, False, None)
        is_locked, error = True, None
        try:
            flock(self.fd, EXCLUSIVE)
        except (BlockingIOError, InterruptedError):
            is_locked = wait > 0 and locking.lock(self.fd, wait)
        except OSError as refused:
            is_locked, error = False, refused
        return Look(self.stat_if_current(), is_locked, error)

    def stat_if_current(self) -> os.stat_result | None:
        """Return the status of the log's path; None if it does not name this file any more.

        A process that cannot look at the path, because it has dropped its rights or a network fails, goes on
        with the file that is open.
        """
        try:
            status = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return os.fstat(self.fd)
        if status.st_ino != self.inode or status.st_dev != self.device:
            return None
        return status

    def wait_for_next(self) -> None:
        """Return when the log's path names a file again, or after `NEXT_FILE_WAIT_MS` milliseconds.

        The program that moved the log away may create the next one, as logrotate does with `create`.
        It moves a file that it finds there aside, under a name that the next such file overwrites.
        """
        for _ in range(NEXT_FILE_WAIT_MS):
            if self.is_last or os.path.lexists(self.path):
                return
            sleep(0.001)

    def _missing_newline(self, newline: Newline, size: int) -> bytes:
        """Return the *newline* that the file, which has *size* bytes, does not end with, else no bytes.

        A partial line is that of a killed process, or of one that does not lock the file and is in the middle
        of a large `write`. What it wrote is never removed.
        """
        end = b"" if size == self.end else newline()
        if not end:
            return b""
        try:
            for _ in range(LONGEST_WAIT_WRITES):
                last = os.pread(self.fd, len(end), max(size - len(end), 0))
                if not last or last == end:
                    return b""
                os.write(self.fd, b"")  # waits for a write under way: a file system has one at a time
                if size == (size := os.fstat(self.fd).st_size):
                    break
        except OSError:  # this process may write the file, but not read it
            return b""
        return end

    def text(self, encoding: str, errors: str | None) -> io.TextIOWrapper:
        """Return a text stream on the file, the same one each time; closing it leaves the file open."""
        if self._text is None:
            raw = io.FileIO(self.fd, "a", closefd=False)
            raw.name = self.path
            self._text = io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors)
            self._text.mode = "a"  # type: ignore[misc]  # as `open` does
        return self._text

    def append_fast(self, line: bytes, newline: Newline, limit: int, written: Written) -> bool:
        """Append *line* if nothing is unusual: the fast path of nearly all lines. Return whether it was.

        It is not if the descriptor is not this file, the lock is held, the path names another file, the file
        is shorter than it was, it would reach *limit* bytes or its mark, or a partial line lacks its
        *newline*.

        Raises:
            OSError: the line was not written.
            UnsyncedError: it was written, and `fsync` failed.
        """
        if not self.is_open():
            return False
        try:
            try:
                flock(self.fd, EXCLUSIVE)
            except OSError:
                return False
            status = self.stat_if_current()
            if status is None or status.st_nlink != self.links:
                return False
            size = status.st_size
            if size + len(line) >= min(limit, self.mark) or size < self.end:
                return False
            if 0 != size != self.end and self._missing_newline(newline, size):
                return False
            append_whole(self.fd, line, written, undo=True)
            self.end = size + len(line)
            if self._fsync:
                self._sync([line])
            return True
        finally:
            try:  # noqa: SIM105  # nothing is called before `flock`: a signal handler could raise there
                flock(self.fd, UNLOCK)
            except OSError:
                pass

    def append(self, line: bytes, newline: Newline, size: int, written: Written, *, undo: bool) -> None:
        """Append *line* to the file, which has *size* bytes, after the beginning of the file or a *newline*.

        Raises:
            OSError: as `append_whole`.
            UnsyncedError: it was written, and `fsync` failed.
        """
        append_whole(self.fd, self._beginning(newline, size) + line, written, undo=undo)
        self.end = _position(self.fd) if self.is_rotatable else len(line)
        self._sync([line])

    def append_many(
        self, lines: list[bytes], newline: Newline, size: int, room: int, taken: Taken, *, undo: bool
    ) -> None:
        """Append, as `append` does, as many of *lines* as have fewer than *room* bytes, at least one.

        They leave *lines* when they are in the file, and *taken* is called. A full disk gets whole lines.

        Raises:
            OSError: the first of the lines that are left was not written.
            UnsyncedError: lines were written, and `fsync` failed.
        """
        start = self._beginning(newline, size)
        limit = min(room - len(start), LARGEST_WRITE_BYTES) if self.is_rotatable else 0
        self._sync(self._write_first(lines, start, limit, taken, undo=undo))

    def _write_first(
        self, lines: list[bytes], start: bytes, limit: int, taken: Taken, *, undo: bool
    ) -> list[bytes]:
        """Write *start* and the first of *lines*; return these."""
        batch = _first(lines, limit)
        data = start + b"".join(batch)
        forget = partial(lines.__delitem__, slice(len(batch)))
        # C code makes both calls, so no signal handler runs between them: it might raise, and have lines
        # written twice or never.
        written: int
        written, _ = map(partial.__call__, (partial(os.write, self.fd, data), forget))  # type: ignore[arg-type]  # an int, a None
        taken(len(batch), len(data) - len(start))
        if written == len(data):
            self.end = _position(self.fd) if self.is_rotatable else len(data)
            return batch
        ends = list(itertools.accumulate(map(len, batch[1:]), initial=len(start) + len(batch[0])))
        whole = len(list(itertools.takewhile(written.__ge__, ends)))
        rest = batch[whole:]
        lines[:0] = rest
        taken(-len(rest), -sum(map(len, rest)))
        before = ends[whole - 1] if whole else 0
        finish_or_undo(self.fd, data[before : ends[whole]], written - before, undo=undo)
        del lines[0]
        taken(1, len(rest[0]))
        return batch[: whole + 1]

    def _beginning(self, newline: Newline, size: int) -> bytes:
        """Return what comes before the next line: a byte order mark, or the newline of a partial line."""
        if not self.is_rotatable:
            return self._first_bytes if self.end < 0 else b""
        return self._missing_newline(newline, size) if size else self._first_bytes

    def _sync(self, lines: list[bytes]) -> None:
        if self._fsync:
            try:
                os.fsync(self.fd)
            except OSError as error:
                if error.errno != errno.EINVAL:  # a pipe or a terminal, which has nothing to sync
                    raise UnsyncedError(self.path, str(error), lines) from error

    def is_its_text(self, stream: object) -> bool:
        """Return whether *stream* is the one that `text` returns."""
        return stream is not None and stream is self._text

    def close(self) -> None:
        """Close the file, which releases its lock. A descriptor that is another file now stays open."""
        if self.is_open():
            with contextlib.suppress(OSError, ValueError):
                if self._text is not None:
                    self._text.close()
            with contextlib.suppress(OSError):
                if not self.is_shared:  # else the lock is the parent's
                    flock(self.fd, UNLOCK)  # closing is not enough: a forked child may share it
            with contextlib.suppress(OSError):
                try:
                    os.close(self.fd)
                finally:  # a signal handler may have raised
                    self.fd = -1
        self.fd = -1

    def __del__(self) -> None:
        if "_text" in self.__dict__:  # else a signal handler has raised in the constructor
            self.close()


def _leads_to_stream(path: str) -> bool:
    """Return whether *path* is one of `_STREAMS`, or a symbolic link to one, as in a container."""
    return any(target.startswith(_STREAMS) for target in link_targets(path))


def line_too_long(path: str, length: int) -> LineTooLongError:
    """Return the error of a line of *length* bytes for the log *path*."""
    reason = f"{length} bytes are too long for a line, which has at most {LONGEST_LINE_BYTES}"
    return LineTooLongError(path, reason)


def _first(lines: list[bytes], limit: int) -> list[bytes]:
    """Return the first of *lines* that together have fewer than *limit* bytes, at least one."""
    lines = lines[:]
    if sum(map(len, lines)) < limit:
        return lines
    fitting = itertools.takewhile(limit.__gt__, itertools.accumulate(map(len, lines)))
    return lines[: max(1, len(list(fitting)))]


def append_whole(fd: int, line: bytes, written: Written, *, undo: bool) -> None:
    """Append *line* to *fd* (opened with O_APPEND), whole or not at all.

    This is one `write`. After a short write (a full disk, a limit) the rest is tried again, to get the error.

    Args:
        fd: The descriptor.
        line: The bytes of the line, its end included.
        written: Gets an item.
        undo: Whether this process holds the lock, so that a part of *line* may be removed. Otherwise a
            part may stay, and the next record starts a new line after it.

    Raises:
        OSError: the line was not written.
    """
    # C code makes both calls, so no signal handler runs between them.
    written.extend(map(os.write, (fd,), (line,)))
    if written[-1] != len(line):
        finish_or_undo(fd, line, written.pop(), undo=undo)
        written += (len(line),)


def finish_or_undo(fd: int, line: bytes, written: int, *, undo: bool) -> None:
    """Write the rest of *line*, of which *written* bytes are in the file, or remove these.

    They are removed only if they are at the end of the file and nobody has written between them.

    Raises:
        OSError: the rest could not be written.
    """
    start = _position(fd) - written if undo else -1
    try:
        while written < len(line):
            added = os.write(fd, line[written:])
            if not added:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written += added
    except OSError:
        if start >= 0 and os.fstat(fd).st_size == start + written == _position(fd):
            os.ftruncate(fd, start)
            os.lseek(fd, start, os.SEEK_SET)
        raise


def _position(fd: int) -> int:
    """The position of *fd*: after an append, the end of the bytes that it has appended."""
    try:
        return os.lseek(fd, 0, os.SEEK_CUR)
    except OSError:
        return -1
