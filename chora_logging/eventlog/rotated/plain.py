"""Reads a file as it is, and opens a file again that was closed to save its descriptor."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator

from chora_logging.log_files import open_regular

#: The size of a read, in bytes; of a compressed file, once it is unpacked.
CHUNK = 256 * 1024


class Moved(OSError):  # noqa: N818  # an event, not an error
    """The file that was suspended has another name now, or none."""


def open_again(path: str, identity: tuple[int, int]) -> int:
    """Open the file *path*, which has this device and inode.

    Raises:
        Moved: it has not.
        OSError: there is no descriptor left.
    """
    try:
        opened = open_regular(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise Moved(error.errno, error.strerror, path) from error
    if opened is None:
        raise Moved(errno.ESTALE, os.strerror(errno.ESTALE), path)
    fd, status = opened
    if (status.st_dev, status.st_ino) != identity:
        os.close(fd)
        raise Moved(errno.ESTALE, os.strerror(errno.ESTALE), path)
    return fd


class PlainContent:
    """An uncompressed file; it may grow and be truncated."""

    packed = False
    damage = ""
    first_line = 0

    def __init__(self, fd: int, path: str, status: os.stat_result) -> None:
        self._fd = fd
        self._path, self._identity = path, (status.st_dev, status.st_ino)
        self._is_suspended = False

    def read(self, size: int, offset: int) -> bytes:
        """Return at most *size* bytes from *offset* on."""
        if not self._is_suspended:
            return os.pread(self._fd, size, offset)
        with self._open() as fd:
            return os.pread(fd, size, offset)

    def size(self) -> int:
        """Return the current number of bytes."""
        return self._status().st_size

    def length(self) -> int:
        """Return the current number of bytes."""
        return self.size()

    def time(self) -> int:
        """Return the time of the last write, in milliseconds since 1970."""
        return self._status().st_mtime_ns // 1_000_000

    def age(self) -> float:
        """Return the time since the last write or rename, in seconds."""
        return time.time() - self._status().st_ctime

    def is_deleted(self) -> bool:
        """Return whether no name leads to it any more."""
        return not self._status().st_nlink

    def fingerprint(self) -> tuple[int, bytes]:
        """Return an empty fingerprint, because the file may change."""
        return 0, b""

    def suspend(self) -> None:
        """Close the descriptor; each read then opens the file by its name for itself."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._is_suspended = True

    def resume(self) -> None:
        """Open it again, to keep it open."""
        if self._is_suspended:
            self._fd = open_again(self._path, self._identity)
            self._is_suspended = False

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._is_suspended = False
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _status(self) -> os.stat_result:
        if not self._is_suspended:
            return os.fstat(self._fd)
        with self._open() as fd:
            return os.fstat(fd)

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        fd = open_again(self._path, self._identity)
        try:
            yield fd
        finally:
            os.close(fd)
