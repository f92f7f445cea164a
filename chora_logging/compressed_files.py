"""The formats of compressed files that are written and read here, and what our files say of themselves.

The name of a compressed backup has the suffix of its format after the number. The header of a file that this
package has made says so, and when the original was last written to; its last eight bytes are the CRC-32 and
the length (mod 4 GiB) of the original, little-endian. gzip (RFC 1952) has fields for all of it. zstd (RFC
8878) has skippable frames, which every decoder passes over: one with the header, after an empty frame, so
that the file begins as others of the format do; and one with the last bytes. In between is one frame. Its
header has the CRC-32 of the first line, too, by which writers know the file without unpacking it.
"""

from __future__ import annotations

import functools
import struct
import sys
from types import ModuleType
from typing import NamedTuple

#: The suffixes that other programs give to compressed files in formats that are not read here.
UNREAD = (".bz2", ".xz", ".lz4", ".lzma", ".lzo", ".br", ".Z", ".zip", ".7z")

#: The length of what all our files end with: the CRC-32 and the length of the original.
CHECK_BYTES = 8

_CHECK = struct.Struct("<II")
_NUMBER = struct.Struct("<I")

#: A frame of zstd without content, and how a skippable frame begins, before its length.
_EMPTY_FRAME = b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"
_SKIPPABLE = b"\x5c\x2a\x4d\x18"


class Format(NamedTuple):
    """A format of compressed files that this package writes and reads.

    Attributes:
        name: Its name as an option.
        suffix: How the names of its files end.
        magic: How its files begin.
        before, after: What the header of our files has before and after the time.
        has_first_line: Whether the checksum of the first line ends the header.
        before_check: What our files have before the checksum and the length.
    """

    name: str
    suffix: str
    magic: bytes
    before: bytes
    after: bytes
    has_first_line: bool
    before_check: bytes

    def header(self, mtime: int = 0, first_line: int = 0) -> bytes:
        """Return the header of our compressed file of a backup.

        Args:
            mtime: When it was last written to, in seconds since 1970.
            first_line: The checksum of its first line.
        """
        line = _NUMBER.pack(first_line) if self.has_first_line else b""
        return self.before + _NUMBER.pack(mtime & 0xFFFFFFFF) + self.after + line

    def has_header(self, data: bytes) -> bool:
        """Return whether a file that begins with *data* was compressed by us, perhaps not whole yet."""
        return data.startswith(self.before) and data.startswith(self.after, len(self.before) + _NUMBER.size)

    def mtime(self, data: bytes) -> int:
        """Return when the original of a file that begins with *data* was last written to; 0 for unknown."""
        return int.from_bytes(data[len(self.before) :][: _NUMBER.size], "little")

    def first_line(self, data: bytes) -> int | None:
        """Return the checksum of the first line that the header of *data*, our file, has; None for none."""
        if not self.has_first_line:
            return None
        start = len(self.header()) - _NUMBER.size
        return int.from_bytes(data[start:][: _NUMBER.size], "little")

    def end(self, checksum: int, length: int) -> bytes:
        """Return the end of our file with a content of this CRC-32 and *length*."""
        return self.before_check + check(checksum, length)


GZIP = Format(
    "gzip",
    ".gz",
    magic=b"\x1f\x8b",
    before=b"\x1f\x8b\x08\x04",  # deflated, with an extra field
    after=b"\x02\xff\x04\x00ch\x00\x00",
    has_first_line=False,
    before_check=b"",
)
ZSTD = Format(
    "zstd",
    ".zst",
    magic=_EMPTY_FRAME[:4],
    before=_EMPTY_FRAME + _SKIPPABLE + _NUMBER.pack(12) + b"ch\x00\x00",
    after=b"",
    has_first_line=True,
    before_check=_SKIPPABLE + _NUMBER.pack(CHECK_BYTES),
)
FORMATS = (GZIP, ZSTD)

#: The suffixes of the formats that are written and read, and of all compressed files.
COMPRESSED = tuple(each.suffix for each in FORMATS)
SUFFIXES = (*COMPRESSED, *UNREAD)

#: How much of a file its header takes at most, in bytes.
HEADER_BYTES = max(len(each.header()) for each in FORMATS)


def suffix_of(path: str) -> str:
    """Return the suffix of a compression that *path* has; empty for none.

    >>> suffix_of("app.log.2.zst"), suffix_of("app.log.2")
    ('.zst', '')
    """
    return next(filter(path.endswith, SUFFIXES), "")


def forms_of(name: str) -> tuple[str, ...]:
    """Return the names that the backup *name* may have: its own, and those of its compressed files."""
    return (name, *(name + suffix for suffix in COMPRESSED))


def format_of_ours(data: bytes) -> Format | None:
    """Return the format of a file of ours, perhaps unfinished, that begins with *data*; None for others."""
    return next((each for each in FORMATS if each.has_header(data)), None)


def check(checksum: int, length: int) -> bytes:
    """Return the last bytes of a compressed file of ours, which are the same in each format."""
    return _CHECK.pack(checksum, length & 0xFFFFFFFF)


@functools.cache
def zstd_library() -> ModuleType | None:
    """Return the module for zstd, of this Python or of the extra `zstd`; None if there is none."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        return None
    library: ModuleType = zstd
    return library
