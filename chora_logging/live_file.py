"""Files of a log on the disk: making one with the right owner and mode, adding a whole line or nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import stat


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
    if written == len(line):
        return
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


def ends_with(fd: int, size: int, ending: bytes) -> bool:
    """Whether the first *size* bytes of *fd* end with *ending*; yes if they cannot be read."""
    if not ending or size < len(ending):
        return size == 0 or not ending
    try:
        return os.pread(fd, len(ending), size - len(ending)) == ending
    except OSError:
        return True


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
