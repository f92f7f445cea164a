"""Reads the content of a compressed file, in the formats that are read here: see `compressed_files`."""

from __future__ import annotations

import contextlib
import errno
import functools
import gzip
import os
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

from chora_logging.compressed_files import (
    CHECK_BYTES,
    GZIP,
    ZSTD,
    format_of_ours,
    suffix_of,
    zstd_library,
)
from chora_logging.errors import MissingExtraError
from chora_logging.eventlog.rotated.plain import CHUNK, open_again

#: How much of a compressed file is kept in memory while it is closed, in bytes.
_KEPT_BYTES = 4096

#: How long the header of a gzip file is, at least.
_GZIP_HEADER_BYTES = 10

#: How far back zstd may refer, as a power of 2: 8 MiB, which each decoder is to support (RFC 8878) and which
#: our files do not exceed. A reader allocates so much.
_ZSTD_WINDOW_LOG = 23

_unpacking = threading.local()


@contextlib.contextmanager
def unpacking_at_most(size: int) -> Iterator[None]:
    """Let reads of this thread unpack about *size* bytes in the `with` block; then they raise `TooLarge`.

    A compressed file may unpack to thousands of times its size.
    """
    _unpacking.most, _unpacking.left = size, size
    try:
        yield
    finally:
        del _unpacking.most, _unpacking.left


class TooLarge(OSError):  # noqa: N818  # a bound, not an error of the file
    """More is to be unpacked than `unpacking_at_most` allows."""


def packed_content(fd: int, path: str, header: bytes) -> PackedContent | None:
    """Return the content of the open file *path*, which begins with *header*; None if it is not compressed.

    A name is no evidence, because a rotator may compress without a suffix: no JSON begins as these files do.
    """
    suffix = suffix_of(path)
    if header.startswith(GZIP.magic) and (suffix == GZIP.suffix or _is_gzip(header)):
        return PackedContent(fd, path, header)
    if format_of_ours(header) is ZSTD:
        zstd = zstd_library()
        if zstd is None:
            return UnreadContent(fd, path, header, _without_zstd())
        return PackedContent(fd, path, header, functools.partial(_ZstdReader, zstd))
    if not suffix or suffix == GZIP.suffix:
        return None
    kind = f"{suffix} of another program" if suffix == ZSTD.suffix else suffix
    reason = f"not read, because of its format ({kind}): unpack it, or compress with gzip"
    return UnreadContent(fd, path, header, reason)


def _is_gzip(header: bytes) -> bool:
    """Return whether *header* is one of gzip: its method is deflate, and no reserved flag is set."""
    return len(header) >= _GZIP_HEADER_BYTES and header[2] == zlib.DEFLATED and header[3] < 0b100000


def _without_zstd() -> str:
    if sys.version_info >= (3, 14):
        return "not read, because this Python was built without compression.zstd: unpack it"
    return f"not read, because {MissingExtraError('backports.zstd', 'zstd')}, or unpack it"


class _Reader(Protocol):
    """Unpacks a file forwards; damage raises `OSError`, `EOFError` or `zlib.error`."""

    def read1(self, size: int, /) -> bytes:
        """Return the next bytes, at most *size*; none only at the end."""

    def tell(self) -> int:
        """Return the number of bytes before the next ones."""

    def rewind(self) -> None:
        """Go back to the beginning."""

    def close(self) -> None:
        """Let go of everything but the file."""


NewReader = Callable[[BinaryIO], _Reader]


def _gzip_reader(raw: BinaryIO) -> _Reader:
    return gzip.GzipFile(fileobj=raw)


class _ZstdReader:
    """Unpacks a file of ours in zstd format.

    Args:
        zstd: The library.
        raw: The file.
    """

    def __init__(self, zstd: Any, raw: BinaryIO) -> None:
        self._zstd, self._raw = zstd, raw
        self.rewind()

    def rewind(self) -> None:
        """Go back to the beginning."""
        self._raw.seek(len(ZSTD.header()))
        options = {self._zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._unpacker: Any = self._zstd.ZstdDecompressor(options=options)
        self._checksum = self._length = 0
        self._end: bytes | None = None
        self._damage = ""

    def tell(self) -> int:
        """Return the number of bytes before the next ones."""
        return self._length

    def read1(self, size: int, /) -> bytes:
        """Return the next bytes, at most *size*; none only at the end."""
        while not self._unpacker.eof:
            if self._damage:  # what follows is no beginning, but would be taken for one
                raise OSError(self._damage)
            packed = self._raw.read(CHUNK) if self._unpacker.needs_input else b""
            if self._unpacker.needs_input and not packed:
                raise EOFError("the end of the file is missing")
            try:
                data: bytes = self._unpacker.decompress(packed, size)
            except self._zstd.ZstdError as error:
                self._damage = str(error)
                continue
            if data:
                self._checksum = zlib.crc32(data, self._checksum)
                self._length += len(data)
                return data
        if self._end is None:
            self._end = self._unpacker.unused_data + self._raw.read(CHUNK)
        if self._end != ZSTD.end(self._checksum, self._length):
            raise OSError("its end is not that of its content")
        return b""

    def close(self) -> None:
        """Let go of everything but the file: of the window, above all."""
        self._unpacker = None


class PackedContent:
    """A compressed file that can be read, up to where it is damaged.

    Args:
        fd: Its descriptor, which `close` closes.
        path: Its path.
        header: Its first bytes.
        new_reader: What reads files of its format.
    """

    packed = True
    first_line = 0

    def __init__(self, fd: int, path: str, header: bytes, new_reader: NewReader = _gzip_reader) -> None:
        status = os.fstat(fd)
        self._path, self._identity = path, (status.st_dev, status.st_ino)
        length = min(CHECK_BYTES, status.st_size)
        self.damage = ""
        self._fingerprint = status.st_size, os.pread(fd, length, status.st_size - length)
        self._time = _time_before_compression(header, status)
        self._raw = os.fdopen(fd, "rb")
        self._new_reader = new_reader
        self._file = new_reader(self._raw)
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
        """Return the number of unpacked bytes that its end states."""
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
        """Return its size on disk and its end: checksum and length."""
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
            self._raw = os.fdopen(open_again(self._path, self._identity), "rb")
            self._file = self._new_reader(self._raw)
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
    """A compressed file that is not read here, for the reason *damage*.

    Of the file of another program nothing is known; ours says what its first line is, and its length.
    """

    def __init__(self, fd: int, path: str, header: bytes, damage: str) -> None:
        super().__init__(fd, path, header)
        self.damage = damage
        self._is_ours = (ours := format_of_ours(header)) is not None
        if ours is not None:
            self.first_line = ours.first_line(header) or 0
        else:
            self._time = os.fstat(fd).st_mtime_ns // 1_000_000

    def read(self, size: int, offset: int) -> bytes:
        """Return nothing."""
        return b""

    def length(self) -> int:
        """Return the number of unpacked bytes that the end of a file of ours states, else 0."""
        return super().length() if self._is_ours else 0


def _time_before_compression(header: bytes, status: os.stat_result) -> int:
    """Return when the original of a compressed file was last written to, in milliseconds.

    The header has whole seconds, or 0 for none.
    """
    written = status.st_mtime_ns // 1_000_000
    seconds = (format_of_ours(header) or GZIP).mtime(header)
    return written if seconds in (0, written // 1000) else seconds * 1000
