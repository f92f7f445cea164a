"""The file that a log's name stands for: opened to append, looked at, a line added whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable
from io import TextIOWrapper

from chora_logging import log_files, speedups

#: What may be a regular file behind it (`app > file`), but is not ours to rename.
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")


#: How long another program that moved the log away may take to make the next one, in milliseconds. Meanwhile
#: nothing is written to the old one, which may be being packed.
NEXT_FILE_WAIT_MS = 50

_Appender = speedups.Appender if speedups.in_use else object


class LiveFile(_Appender):  # type: ignore[misc, valid-type]  # chosen at import
    """An open log. Not thread safe: whoever uses it has the log's mutex.

    Args:
        stream: The file, opened with `opener`.
        path: The name under which it was opened.
        state: What its sidecar says.

    Attributes:
        inode, device: Which file it is.
        is_rotatable: Whether it is a file, and not a FIFO, a terminal, `/dev/null` or `/dev/stdout`.
        end: Where the last line that was written through it ended; -1 before the first.
        links: How many names it has as far as is known; 0 asks for a look at the sidecar.
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
        """What the log's name stands for now; None if that is not this file any more."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        if status.st_ino != self.inode or status.st_dev != self.device:
            return None
        return status

    def wait_for_next(self) -> None:
        """Return when the log's name stands for a file again, or after `NEXT_FILE_WAIT_MS` milliseconds.

        Who moved the log away may make the next one, as logrotate's `create` does; a file that it
        finds there instead it puts aside, under a name that the next such file replaces.
        """
        for _ in range(NEXT_FILE_WAIT_MS):
            if os.path.lexists(self.path):
                return
            time.sleep(0.001)

    def repair_end(self, ending: bytes, size: int) -> int:
        """Make the end of the file, which has *size* bytes now, the end of a line; its size after that.

        Nobody else may write meanwhile. A half line that its writer's death cut off in the middle
        of a `write` was acknowledged to nobody and is taken away: the system stops such a write at
        the end of a page, and what stands there is the beginning of a JSON object. Any other half
        line gets its ending.

        Raises:
            OSError: it could not be done.
        """
        if not size or not ending:
            return size
        try:
            if os.pread(self.fd, len(ending), max(size - len(ending), 0)) == ending:
                return size
        except OSError:  # the file may be written, and not read
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
        """Close it; its lock goes with it."""
        with contextlib.suppress(OSError):
            self.stream.close()


def append_whole(fd: int, line: bytes, size: int | None) -> None:
    """Add *line* to the end of *fd* (opened with O_APPEND), whole or not at all.

    It is one `write`; only when the system takes less than all of it (a full disk, a limit) is the
    rest tried again, to hear the reason. What had been written is then cut off again.

    Args:
        fd: The descriptor.
        line: The bytes of the line, its end included.
        size: The size of the file before, while nobody else can write to it; None if it cannot be
            known, then a part may stay and the next record starts a new line after it.

    Raises:
        OSError: the line was not written.
    """
    written = os.write(fd, line)
    if written != len(line):
        finish_or_undo(fd, line, written, size)


def finish_or_undo(fd: int, line: bytes, written: int, size: int | None) -> None:
    """Write the rest of *line*, of which *written* bytes are there, or cut these off again.

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
    import json  # after a crash only, and not loaded by logging

    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def opener(log: str, mode: int | None) -> Callable[[str, int], int]:
    """An `opener` for `open`: the file is for appending only, and can be read where that harms nobody.

    A log that is missing is made with the permissions *mode*, else with those that it had (its
    sidecar still has them), else as the umask says.
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
    # Its end is looked at. A FIFO is not opened so: that would steal from its reader.
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
    """Make the empty file *path* with exactly *mode*, and the owner of *like*, unless it exists.

    The file gets its name when it has its mode and owner, so that no other process finds it with
    wrong ones, whatever the umask; where files without a name do not exist (outside of Linux, some
    file systems) it has them right after. An owner that this process may not set is left.

    Raises:
        OSError: the file could not be made.
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
                # With a folder's descriptor Python follows the link that /proc has for the file.
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
    """The permission bits *mode*, or those of *status* without one."""
    return stat.S_IMODE(status.st_mode) if mode is None else mode
