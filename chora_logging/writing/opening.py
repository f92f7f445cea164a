"""Opens and creates the files of a log, with the permissions and the owner that they should have."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator

from chora_logging import log_files

_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})", re.ASCII)

#: How many links lead to a file at most, as on Linux.
_MOST_LINKS = 40


def open_log(path: str, log: str, flags: int, mode: int | None) -> int:
    """Open *path* for appending only, and for reading where that does no harm; return a descriptor.

    It is never one of the standard streams' (0 to 2), whose stray output would be in the log.

    Args:
        path: The log as it was named.
        log: The same with symbolic links resolved.
        flags: Further flags, `O_TRUNC` or `O_EXCL`.
        mode: The permissions of a new log; None for its former ones (the sidecar still has them), else
            those of the umask. A log with other permissions than *mode* gets them, if possible.

    Raises:
        OSError: it cannot be opened.
    """
    flags |= os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return _open_path(path, log, flags, mode)
    except OSError:
        descriptor = _own_descriptor(path)
        if descriptor is None:
            raise
        # A socket, or a pipe that a process got before it dropped its rights: only the path cannot be opened.
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)


def _own_descriptor(path: str) -> int | None:
    """Return the descriptor of this process that *path* leads to, as `/dev/stdout` does, or None."""
    named = (_DESCRIPTOR.fullmatch(target) for target in link_targets(path))
    return next((int(found[1]) for found in named if found), None)


def link_targets(path: str) -> Iterator[str]:
    """Give *path* and, while that is a symbolic link, what it points at."""
    yield path
    for _ in range(_MOST_LINKS):
        try:
            path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        except OSError:
            return
        yield path


def _open_path(path: str, log: str, flags: int, mode: int | None) -> int:
    try:
        readable = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        readable = True
        if not flags & os.O_EXCL:
            _create_missing(log, mode)
    except OSError:  # it may be any kind of file, if it can be opened at all
        readable = False
    fd = _open_readable(path, flags) if readable else os.open(path, flags | os.O_WRONLY, 0o666)
    if fd <= 2:
        fd = log_files.above_standard_streams(fd)
    status = os.fstat(fd)
    if readable and permissions(status, mode) != permissions(status):
        with contextlib.suppress(PermissionError):
            os.fchmod(fd, permissions(status, mode))
    return fd


def open_again(fd: int, path: str) -> int | None:
    """Open the file *fd*, named *path*, again; return a descriptor with a lock of its own.

    None if this process has no right any more to open it.
    """
    for name in (f"/proc/self/fd/{fd}", path):
        with contextlib.suppress(OSError):
            again = _open_readable(name, os.O_APPEND | os.O_CLOEXEC)
            if again <= 2:
                again = log_files.above_standard_streams(again)
            if os.path.samestat(os.fstat(fd), os.fstat(again)):
                return again
            os.close(again)
    return None


def _open_readable(path: str, flags: int) -> int:
    # To check its end. A FIFO is not opened for reading: that would steal data from its reader.
    try:
        return os.open(path, flags | os.O_RDWR, 0o666)
    except PermissionError:
        return os.open(path, flags | os.O_WRONLY, 0o666)


def _create_missing(log: str, mode: int | None) -> None:
    try:
        like = os.stat(log_files.sidecar_path(log))
    except OSError:
        if mode is not None:
            create(log, mode)
    else:
        create_like(log, like, mode)


def create_like(path: str, like: os.stat_result, mode: int | None = None) -> None:
    """Create the file *path* as `create` does, with the owner of *like*, and its mode without *mode*."""
    create(path, permissions(like, mode), like)


def create(path: str, mode: int, like: os.stat_result | None = None, content: bytes = b"") -> None:
    """Create the file *path* with exactly *mode*, the owner of *like*, and *content*, unless it exists.

    The file gets its name after all these, so that no other process finds it with wrong ones, whatever
    the umask. Where unnamed files do not exist (outside of Linux, on some file systems) it gets them
    right after its name. The owner is set only if this process may set it.

    Args:
        path: The file, in a folder that exists.
        mode: Its permission bits.
        like: The status of a file with its owner; None for that of this process.
        content: Its beginning, a few bytes.

    Raises:
        OSError: the file could not be created.
    """
    try:
        fd = os.open(os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, mode & 0o600)
    except (OSError, AttributeError):
        _create_named(path, mode, like, content)
        return
    try:
        _fill(fd, mode, like, content)
        try:
            # With `src_dir_fd` Python calls linkat, which follows the symbolic link in /proc.
            os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd)
        except FileExistsError:
            return
        except OSError:  # without /proc, or links
            _create_named(path, mode, like, content)
    finally:
        os.close(fd)


def _create_named(path: str, mode: int, like: os.stat_result | None, content: bytes) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        return
    try:
        _fill(fd, mode, like, content)
    except OSError:
        if content:  # else it is a file for everyone to append to, and somebody may have
            os.unlink(path)
        raise
    finally:
        os.close(fd)


def _fill(fd: int, mode: int, like: os.stat_result | None, content: bytes) -> None:
    if like is not None:
        own(fd, like)
    with contextlib.suppress(PermissionError):
        os.fchmod(fd, mode)
    if content:
        os.write(fd, content)


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


def is_same_file(path: str, other: str) -> bool:
    """Return whether two paths are one file: by links, mounts, or a folder whose link was changed."""
    if path == other:
        return True
    try:
        return os.path.samefile(path, other)
    except OSError:  # one is not there at the moment
        return os.path.realpath(path) == os.path.realpath(other)


def empty(path: str) -> None:
    """Empty the file *path*, if it is one and may be written."""
    with contextlib.suppress(OSError):  # it does not exist, or is no file
        os.truncate(path, 0)


def make_folder(path: str) -> None:
    """Create the folder of *path*, if possible: with *delay* the first record reports an error."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError:
        return
