"""Reads the bytes of an open file, plain or compressed, from any offset."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Protocol

from chora_logging.log_files import COMPRESSED, GZIP_MAGIC, UNREAD, open_regular

#: The size of a read, in bytes.
CHUNK = 256 * 1024

#: How much of a compressed file is kept in memory while it is closed, in bytes.
_KEPT_BYTES = 4096

#: How long the header of a gzip file is, at least.
_HEADER_BYTES = 10

#: The length of the trailer of a gzip file (RFC 1952): CRC-32 and length of the uncompressed data.
_TRAILER_BYTES = 8


_unpacking = threading.local()


@contextlib.contextmanager
def unpacking_at_most(size: int) -> Iterator[None]:
    """Let reads of this thread unpack about *size* bytes in the `with` block; then they raise `TooLarge`.

    A gzip file may unpack to a thousand times its size.
    """
    _unpacking.most, _unpacking.left = size, size
    try:
        yield
    finally:
        del _unpacking.most, _unpacking.left


class Content(Protocol):
    """The content of an open file.

    Attributes:
        packed: Whether it is compressed; if so, it does not change and is best read forwards.
        damage: Why it cannot be read to its end; empty unless a read has failed.
    """

    packed: bool
    damage: str

    def read(self, size: int, offset: int) -> bytes:
        """Return at most *size* bytes from *offset* on; fewer only at the end."""

    def size(self) -> int:
        """Return the number of bytes; a compressed file is unpacked to count them."""

    def length(self) -> int:
        """Return the number of bytes; for a compressed file the unchecked one in its trailer (mod 4 GiB)."""

    def time(self) -> int:
        """Return the time of the last write, in milliseconds since 1970."""

    def age(self) -> float:
        """Return the time since the last write or rename, in seconds."""

    def is_deleted(self) -> bool:
        """Return whether no name leads to it any more."""

    def fingerprint(self) -> tuple[int, bytes]:
        """Return what identifies a compressed file: its size on disk and its trailer."""

    def suspend(self) -> None:
        """Close the descriptor; what is read then is opened again by its name, or is `Moved`."""

    def resume(self) -> None:
        """Open it again, to keep it open."""

    def close(self) -> None:
        """Close it; a second call does nothing."""


class Moved(OSError):  # noqa: N818  # an event, not an error
    """The file that was suspended has another name now, or none."""


class TooLarge(OSError):  # noqa: N818  # a bound, not an error of the file
    """More is to be unpacked than `unpacking_at_most` allows."""


def open_content(path: str) -> tuple[Content, os.stat_result] | None:
    """Open the file *path*; return its content and status, or None if it is not a regular file.

    A symbolic link is not one: whoever may write to the folder could have any file read.

    Raises:
        OSError: it cannot be opened.
    """
    opened = open_regular(path)
    if opened is None:
        os.stat(path)  # a link that leads in a circle is an error, and not the same as no log
        return None
    fd, status = opened
    # No JSON begins with these bytes. The name is no evidence: a rotator may compress without a suffix.
    header = os.pread(fd, _HEADER_BYTES, 0)
    if header.startswith(GZIP_MAGIC) and (path.endswith(COMPRESSED) or _is_gzip(header)):
        return PackedContent(fd, path), status
    if suffix := unread_suffix(path):
        return UnreadContent(fd, path, suffix), status
    return PlainContent(fd, path, status), status


def unread_suffix(path: str) -> str:
    """Return the suffix of a compression that is not read here, if *path* has one, else an empty string."""
    return next(filter(path.endswith, UNREAD), "")


def _is_gzip(header: bytes) -> bool:
    """Return whether *header* is one of gzip: its method is deflate, and no reserved flag is set."""
    return len(header) == _HEADER_BYTES and header[2] == zlib.DEFLATED and header[3] < 0b100000


def _open_again(path: str, identity: tuple[int, int]) -> int:
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
            self._fd = _open_again(self._path, self._identity)
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
        fd = _open_again(self._path, self._identity)
        try:
            yield fd
        finally:
            os.close(fd)


class PackedContent:
    """A gzip file, readable up to where it is damaged."""

    packed = True

    def __init__(self, fd: int, path: str) -> None:
        status = os.fstat(fd)
        self._path, self._identity = path, (status.st_dev, status.st_ino)
        length = min(_TRAILER_BYTES, status.st_size)
        self.damage = ""
        self._fingerprint = status.st_size, os.pread(fd, length, status.st_size - length)
        self._time = _time_before_compression(fd, status)
        self._raw = os.fdopen(fd, "rb")
        self._file = gzip.GzipFile(fileobj=self._raw)
        self._begin = 0  # the offset of the buffer
        self._buffer = b""  # a read that overlaps the last one unpacks nothing again
        self._end: int | None = None  # once it has been reached
        self._size: int | None = None
        self._is_suspended = False

    def read(self, size: int, offset: int) -> bytes:
        """Return at most *size* bytes from *offset* on."""
        if self._is_suspended:
            if offset + size <= len(self._buffer) or len(self._buffer) == self._end:
                return self._buffer[offset : offset + size]
            self.resume()
        end = self._begin + len(self._buffer)
        if not self._begin <= offset <= end:
            self._begin, self._buffer = offset, b""
            end = offset
            if not self._seek(offset):
                return b""
        parts = [self._buffer[offset - self._begin :]]
        while end < offset + size and (data := self._unpack(CHUNK)):
            parts.append(data)
            end += len(data)
        if end < offset + size:
            self._end = end
        self._begin, self._buffer = offset, b"".join(parts)
        return self._buffer[:size]

    def size(self) -> int:
        """Return the number of unpacked bytes, up to where the file is damaged."""
        if self._size is None:
            offset = 0
            while data := self.read(CHUNK, offset):
                offset += len(data)
            self._size = offset
        return self._size

    def length(self) -> int:
        """Return the number of unpacked bytes that the trailer states."""
        return int.from_bytes(self._fingerprint[1][4:], "little")

    def time(self) -> int:
        """Return the time of the last write before compression, in milliseconds since 1970."""
        return self._time

    def age(self) -> float:
        """Return the time since the last write or rename, in seconds."""
        self.resume()
        return time.time() - os.fstat(self._raw.fileno()).st_ctime

    def is_deleted(self) -> bool:
        """Return whether no name leads to it any more."""
        self.resume()
        return not os.fstat(self._raw.fileno()).st_nlink

    def fingerprint(self) -> tuple[int, bytes]:
        """Return its size on disk and its trailer: checksum and length."""
        return self._fingerprint

    def suspend(self) -> None:
        """Close the descriptor; what is read beyond the beginning opens the file again."""
        if not self._raw.closed:
            self._buffer = self._buffer[:_KEPT_BYTES] if not self._begin else b""
            self.close()
            self._is_suspended = True

    def resume(self) -> None:
        """Open it again, to keep it open."""
        if self._is_suspended:
            self._raw = os.fdopen(_open_again(self._path, self._identity), "rb")
            self._file = gzip.GzipFile(fileobj=self._raw)
            self._begin, self._buffer = 0, b""
            self._is_suspended = False

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._is_suspended = False
        self._file.close()
        self._raw.close()

    def _seek(self, offset: int) -> bool:
        if self._file.tell() > offset:
            self._file.rewind()
        while (left := offset - self._file.tell()) > 0:
            if not self._unpack(min(CHUNK, left)):
                return False
        return True

    def _unpack(self, size: int) -> bytes:
        left = getattr(_unpacking, "left", None)
        if left is not None and left <= 0:
            most = f"{_unpacking.most / 2**20:g} MiB"
            reason = f"a compressed file gives more than the {most} that are unpacked at a time"
            raise TooLarge(errno.EFBIG, reason, self._path)
        try:
            data = self._file.read1(size)
        except (OSError, EOFError, zlib.error) as error:
            self.damage = f"damaged from here on: {error}"
            return b""
        if left is not None:
            _unpacking.left = left - len(data)
        return data


class UnreadContent(PackedContent):
    """A file that another program has compressed in a way that is not read here: nothing is known of it."""

    def __init__(self, fd: int, path: str, suffix: str) -> None:
        super().__init__(fd, path)
        self._time = os.fstat(fd).st_mtime_ns // 1_000_000
        self.damage = f"not read, because of its format ({suffix}): unpack it, or compress with gzip"

    def read(self, size: int, offset: int) -> bytes:
        """Return nothing."""
        return b""

    def length(self) -> int:
        """Return 0."""
        return 0


def _time_before_compression(fd: int, status: os.stat_result) -> int:
    """Return when the original of a gzip file was last written to, in milliseconds.

    The header of a gzip file has whole seconds (MTIME, RFC 1952), or 0 for none.
    """
    written = status.st_mtime_ns // 1_000_000
    seconds = int.from_bytes(os.pread(fd, 4, 4), "little")
    return written if seconds in (0, written // 1000) else seconds * 1000
