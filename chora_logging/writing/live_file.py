"""Opens the live file of a log for appending, checks its path, and appends a line whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable
from io import TextIOWrapper

from chora_logging import log_files, speedups

#: Paths that may lead to a regular file (`app > file`), which is not ours to rename.
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")


#: How long to wait for the next log after another program has moved the log away, in milliseconds.
#: Meanwhile nothing is written to the old one, which that program may be compressing.
NEXT_FILE_WAIT_MS = 50

_Appender = speedups.Appender if speedups.in_use else object


class LiveFile(_Appender):  # type: ignore[misc, valid-type]  # chosen at import
    """An open log. Not thread safe: the caller holds the log's mutex.

    Args:
        stream: The file, opened with `opener`.
        path: The path under which it was opened.
        state: The content of its sidecar; None without one.

    Attributes:
        inode, device: The identity of the file.
        is_rotatable: Whether it is a regular file, and not one behind `/dev/stdout` or the like.
        end: The offset of the end of the last line written through it; -1 before the first.
        links: The expected link count; 0 has the sidecar checked before the next record.
    """

    def __init__(self, stream: TextIOWrapper, path: str, state: log_files.Sidecar | None) -> None:
        self.stream = stream
        self.fd = stream.fileno()
        self.path = path
        self.name = os.fsencode(path)
        status = os.fstat(self.fd)
        self.inode, self.device = status.st_ino, status.st_dev
        self.end = -1
        self.is_rotatable = stat.S_ISREG(status.st_mode) and not path.startswith(_STREAMS)
        self.links = 1 if state is not None and not state.under_way else 0

    def stat_if_current(self) -> os.stat_result | None:
        """Return the status of the log's path; None if it does not name this file any more."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        if status.st_ino != self.inode or status.st_dev != self.device:
            return None
        return status

    def wait_for_next(self) -> None:
        """Return when the log's path names a file again, or after `NEXT_FILE_WAIT_MS` milliseconds.

        The program that moved the log away may create the next one, as logrotate does with `create`.
        It moves a file that it finds there aside, under a name that the next such file overwrites.
        """
        for _ in range(NEXT_FILE_WAIT_MS):
            if os.path.lexists(self.path):
                return
            time.sleep(0.001)

    def repair_end(self, ending: bytes, size: int) -> int:
        """Have the file, which has *size* bytes now, end with a whole line; return its size after that.

        Nobody else may write meanwhile. A partial line that is the beginning of a JSON object and
        stops at the end of a page is removed: the kernel stopped the `write` of a killed process
        there, and its logging call never returned. Any other partial line gets its ending.

        Raises:
            OSError: the file could not be repaired.
        """
        if not size or not ending:
            return size
        try:
            if os.pread(self.fd, len(ending), max(size - len(ending), 0)) == ending:
                return size
        except OSError:  # this process may write the file, but not read it
            return size
        half = self._half_line(size)
        if (actual := os.fstat(self.fd).st_size) < size:  # truncated meanwhile, as copytruncate does
            return actual
        if size % os.sysconf("SC_PAGE_SIZE") == 0 and half.startswith(b"{") and not _is_json(half):
            os.ftruncate(self.fd, size - len(half))
            return size - len(half)
        append_whole(self.fd, ending, size)
        return size + len(ending)

    def _half_line(self, size: int) -> bytes:
        half = b""
        while b"\n" not in half and len(half) < size:
            length = min(max(len(half), 4096), size - len(half))
            part = os.pread(self.fd, length, size - len(half) - length)
            if not part:  # truncated meanwhile
                break
            half = part + half
        return half.rpartition(b"\n")[2]

    def close(self) -> None:
        """Close the file, which releases its lock."""
        with contextlib.suppress(OSError):
            self.stream.close()


def append_whole(fd: int, line: bytes, size: int | None) -> None:
    """Append *line* to *fd* (opened with O_APPEND), whole or not at all.

    This is one `write`. After a short write (a full disk, a limit) the rest is tried again, to get
    the error; the bytes already written are then truncated.

    Args:
        fd: The descriptor.
        line: The bytes of the line, its end included.
        size: The size of the file before, if nobody else can write to it meanwhile. With None a
            part may stay, and the next record starts a new line after it.

    Raises:
        OSError: the line was not written.
    """
    written = os.write(fd, line)
    if written != len(line):
        finish_or_undo(fd, line, written, size)


def finish_or_undo(fd: int, line: bytes, written: int, size: int | None) -> None:
    """Write the rest of *line*, of which *written* bytes are in the file, or truncate these.

    Raises:
        OSError: the rest could not be written.
    """
    try:
        while written < len(line):
            added = os.write(fd, line[written:])
            if not added:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written += added
    except OSError:
        if size is not None and os.fstat(fd).st_size == size + written:
            os.ftruncate(fd, size)
        raise


def _is_json(line: bytes) -> bool:
    import json  # after a crash only; logging does not load it

    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def opener(log: str, mode: int | None) -> Callable[[str, int], int]:
    """Return an `opener` for `open`: for appending only, and readable where reading does no harm.

    A missing log is created with the permissions *mode*, else with its former ones (the sidecar
    still has them), else with those of the umask.
    """

    def open_log(path: str, flags: int) -> int:
        flags |= os.O_APPEND
        try:
            readable = stat.S_ISREG(os.stat(path).st_mode)
        except FileNotFoundError:
            readable = True
            if not flags & os.O_EXCL:
                _create_missing(log, mode)
        fd = _open_readable(path, flags) if readable else os.open(path, flags, 0o666)
        status = os.fstat(fd)
        if readable and permissions(status, mode) != permissions(status):
            with contextlib.suppress(PermissionError):
                os.fchmod(fd, permissions(status, mode))
        return fd

    return open_log


def _open_readable(path: str, flags: int) -> int:
    # To check its end. A FIFO is not opened for reading: that would steal data from its reader.
    try:
        return os.open(path, flags & ~os.O_WRONLY | os.O_RDWR, 0o666)
    except PermissionError:
        return os.open(path, flags, 0o666)


def _create_missing(log: str, mode: int | None) -> None:
    try:
        like = os.stat(log_files.sidecar_path(log))
    except OSError:
        if mode is not None:
            create(log, mode)
    else:
        create(log, permissions(like, mode), like)


def create(path: str, mode: int, like: os.stat_result | None = None) -> None:
    """Create the empty file *path* with exactly *mode*, and the owner of *like*, unless it exists.

    The file gets its name after its mode and owner, so that no other process finds it with wrong
    ones, whatever the umask. Where unnamed files do not exist (outside of Linux, on some file
    systems) it gets them right after its name. The owner is set only if this process may set it.

    Raises:
        OSError: the file could not be created.
    """
    try:
        fd = os.open(os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, mode & 0o600)
    except (OSError, AttributeError):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        if like is not None:
            own(fd, like)
        with contextlib.suppress(PermissionError):
            os.fchmod(fd, mode)
        if not os.fstat(fd).st_nlink:
            with contextlib.suppress(FileExistsError):
                # With `src_dir_fd` Python calls linkat, which follows the symbolic link in /proc.
                os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd)
    finally:
        os.close(fd)


def own(fd: int, like: os.stat_result) -> None:
    """Give *fd* the owner and group of *like*, as far as this process may."""
    if (like.st_uid, like.st_gid) == (os.geteuid(), os.getegid()):
        return
    with contextlib.suppress(PermissionError):
        os.fchown(fd, -1, like.st_gid)
    with contextlib.suppress(PermissionError):
        os.fchown(fd, like.st_uid, -1)


def permissions(status: os.stat_result, mode: int | None = None) -> int:
    """Return the permission bits *mode*, or those of *status* if it is None."""
    return stat.S_IMODE(status.st_mode) if mode is None else mode
