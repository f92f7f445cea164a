"""Writes the compressed file of a backup: see `chora_logging.compressed_files`."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import zlib
from typing import Protocol, cast

from chora_logging.compressed_files import GZIP, Format, zstd_library
from chora_logging.errors import ConfigurationError, MissingExtraError
from chora_logging.log_files import FIRST_LINE_BYTES, first_line_checksum
from chora_logging.writing import opening

#: How much is read at a time, in bytes.
_CHUNK_BYTES = 256 * 1024

#: How much of the disk a compression leaves to the writers, in bytes.
_ROOM_BYTES = 1024 * 1024

#: The level of zstd: logs become smaller than with the highest of gzip, in less time, with 10 MiB of memory.
_ZSTD_LEVEL = 6


class Packer(Protocol):
    """Compresses the bytes of one file."""

    def compress(self, data: bytes, /) -> bytes:
        """Return what is next in the compressed file, once *data* is given."""

    def flush(self) -> bytes:
        """Return the rest of the compressed file."""


def new_packer(format: Format, size: int | None = None) -> Packer:
    """Return what compresses a file in a *format*, without the header and the end of ours.

    Args:
        format: The format.
        size: The number of bytes that will be given to it, if it is known: readers of a small file then need
            little memory.

    Raises:
        MissingExtraError: the extra that brings its library is not installed.
        ConfigurationError: this Python should have its library and has not.
    """
    if format is GZIP:
        return zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zstd = zstd_library()
    if zstd is not None:
        options = zstd.CompressionParameter
        packer = zstd.ZstdCompressor(
            options={options.compression_level: _ZSTD_LEVEL, options.checksum_flag: 1}
        )
        packer.set_pledged_input_size(size)
        return cast(Packer, packer)
    if sys.version_info >= (3, 14):
        allowed = 'true, false or "gzip", because this Python was built without compression.zstd'
        raise ConfigurationError("compress", format.name, allowed)
    raise MissingExtraError("backports.zstd", "zstd")


def pack(source: io.FileIO, target: io.FileIO, format: Format) -> int:
    """Compress *source*, up to its present size, into *target*, with a header that says that we did it.

    Returns the number of bytes that *target* has of *source*.

    Raises:
        OSError: a file cannot be read or written, or the disk has too little room.
    """
    status = os.fstat(source.fileno())
    first_line = first_line_checksum(os.pread(source.fileno(), FIRST_LINE_BYTES, 0))
    header = format.header(int(status.st_mtime), first_line)
    os.pwrite(target.fileno(), header, 0)  # never shorter, else it would not be known as ours
    os.ftruncate(target.fileno(), len(header))
    target.seek(len(header))
    packer = new_packer(format, status.st_size)
    checksum = size = 0
    while data := source.read(min(_CHUNK_BYTES, status.st_size - size)):
        checksum = zlib.crc32(data, checksum)
        size += len(data)
        _write(target, packer.compress(data))
        _check_room(target, status.st_size)
    if size < status.st_size:
        raise OSError(errno.ESTALE, "the backup was cut while it was compressed")
    _write(target, packer.flush() + format.end(checksum, size))
    # As `gzip`: by the time readers know whether the original had got a line since they read it.
    with contextlib.suppress(PermissionError):
        os.utime(target.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    opening.own(target.fileno(), status)
    os.fchmod(target.fileno(), opening.permissions(status))
    os.fsync(target.fileno())
    return size


def _write(file: io.FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _check_room(file: io.FileIO, size: int) -> None:
    """Raise if the disk of *file* has less room left than *size* bytes, or than the writers are to have."""
    disk = os.fstatvfs(file.fileno())
    if disk.f_blocks and disk.f_bavail * disk.f_frsize < min(size, _ROOM_BYTES):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
