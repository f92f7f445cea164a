"""Reads the bytes of an open file, plain or compressed, from any offset."""

from __future__ import annotations

import os
from typing import Protocol

from chora_logging.compressed_files import HEADER_BYTES
from chora_logging.eventlog.rotated.packed import packed_content
from chora_logging.eventlog.rotated.plain import PlainContent
from chora_logging.log_files import open_regular


class Content(Protocol):
    """The content of an open file.

    Attributes:
        packed: Whether it is compressed; if so, it does not change and is best read forwards.
        damage: Why it cannot be read to its end; empty unless a read has failed, or would.
        first_line: The checksum of its first line if that is known without reading it; else 0.
    """

    packed: bool
    damage: str
    first_line: int

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
    packed = packed_content(fd, path, os.pread(fd, HEADER_BYTES, 0))
    return packed or PlainContent(fd, path, status), status
