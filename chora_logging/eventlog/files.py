"""The rotated set of one log, opened as one consistent whole.

A set is found by name and held by descriptor: rotation renames the files while they are read, and
a descriptor stays with its file. Between listing the names and opening them a rotation can happen
too, so the whole map of names is compared before and after.
"""

from __future__ import annotations

import gzip
import logging
import os
import stat
import zlib
from typing import NamedTuple

from chora_logging.rotation import COMPRESSED, backup_number, real_path
from chora_logging.schema import OWN_LOGGER

#: How many bytes are read at once; a line that is longer is read whole all the same.
CHUNK = 256 * 1024

#: How many bytes before the position must still be what they were, for the file to be the same.
_TAIL = 64

#: How many bytes of its beginning identify a file that has got another inode by compression.
_HEAD = 256

#: How often a consistent look at the names is tried for. A rotation takes longer than a look, so a
#: second look nearly always succeeds.
_LOOKS = 1000


class Place(NamedTuple):
    """Where a file of the set stands: its backup number (0 is the live file) and its identity."""

    number: int
    device: int
    inode: int

    @property
    def identity(self) -> tuple[int, int]:
        """What stays the same under any name."""
        return self.device, self.inode


class PlainFile:
    """An open file of the set, read line by line from its beginning.

    Args:
        fd: An open descriptor; it is closed by `close`.
        place: Where it was found.
        until: Read only that many bytes; None follows a file that grows.
    """

    compressed = False

    def __init__(self, fd: int, place: Place, until: int | None = None) -> None:
        self._fd = fd
        self._offset = 0
        self._tail = b""
        self._until = until
        self.place = place

    def read_lines(self) -> list[bytes]:
        """The next complete lines; none at the end. A file that was truncated is read anew."""
        size = CHUNK
        while True:
            data = os.pread(self._fd, self._wanted(size), self._offset - len(self._tail))
            if not data.startswith(self._tail):
                if self._until is not None:
                    return []
                self._offset, self._tail = 0, b""
                continue
            end = data.rfind(b"\n", len(self._tail)) + 1
            if end:
                return self._advance(data, end)
            if len(data) < len(self._tail) + size:
                return []
            size *= 2

    def head(self) -> bytes:
        """Its first bytes, by which it is known again."""
        return os.pread(self._fd, _HEAD, 0)

    def close(self) -> None:
        """Close it; once more does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _wanted(self, size: int) -> int:
        if self._until is not None:
            size = min(size, self._until - self._offset)
        return size + len(self._tail)

    def _advance(self, data: bytes, end: int) -> list[bytes]:
        start = len(self._tail)
        self._offset += end - start
        self._tail = data[max(0, end - _TAIL) : end]
        return data[start : end - 1].split(b"\n")


class CompressedFile:
    """A compressed backup, read like a `PlainFile`; what is broken in it ends it."""

    compressed = True

    def __init__(self, fd: int, place: Place) -> None:
        self._raw = os.fdopen(fd, "rb")
        self._file = gzip.GzipFile(fileobj=self._raw)
        self._rest = self._read(_HEAD)
        self._head = self._rest
        self.place = place

    def read_lines(self) -> list[bytes]:
        """The next complete lines; none at the end."""
        while data := self._read(CHUNK):
            self._rest += data
            if b"\n" in data:
                break
        *lines, self._rest = self._rest.split(b"\n")
        return lines

    def head(self) -> bytes:
        """Its first bytes, decompressed."""
        return self._head

    def close(self) -> None:
        """Close it; once more does nothing."""
        self._file.close()
        self._raw.close()

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (OSError, EOFError, zlib.error):
            return b""


LogFile = PlainFile | CompressedFile


def open_set(path: str, *, follow: bool = False) -> list[LogFile]:
    """Open every file of the log *path*, oldest first; the caller closes them.

    Promised: no file is missing, twice or out of order, however fast the log is being rotated.

    Args:
        path: The live file; it need not exist.
        follow: Read on as the live file grows, instead of up to its size now.

    Raises:
        OSError: the live file cannot be opened. A backup that cannot is left out, and logged.
    """
    path = real_path(os.path.abspath(path))
    files: list[LogFile] = []
    for _ in range(_LOOKS):
        for file in files:
            file.close()
        before = _look(path)
        files = _open(path, before, follow)
        if _look(path) == before and all(file.place in before.values() for file in files):
            break
    return files


def is_live(path: str, file: LogFile) -> bool:
    """Whether *file* is the one that the name *path* stands for now."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    return (status.st_dev, status.st_ino) == file.place.identity


def paths_of(path: str) -> list[str]:
    """The names of the files that make up the log *path*, oldest first."""
    path = real_path(os.path.abspath(path))
    folder = os.path.dirname(path)
    found = _look(path)
    return [os.path.join(folder, name) for name in sorted(found, key=lambda name: -found[name].number)]


def _look(path: str) -> dict[str, Place]:
    folder, log = os.path.split(path)
    found: dict[str, Place] = {}
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        number = 0 if name == log else backup_number(name, log)
        if number is None:
            continue
        try:
            status = os.stat(os.path.join(folder, name))
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            found[name] = Place(number, status.st_dev, status.st_ino)
    # Both NAME.1 and NAME.1.gz: a compression that was interrupted. The plain one is whole.
    for name in [name for name in found if name.endswith(COMPRESSED)]:
        if name != log and name.removesuffix(COMPRESSED) in found:
            del found[name]
    return found


def _open(path: str, found: dict[str, Place], follow: bool) -> list[LogFile]:
    folder, log = os.path.split(path)
    files: list[LogFile] = []
    for name in sorted(found, key=lambda name: -found[name].number):
        try:
            fd = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            if name == log:
                for file in files:
                    file.close()
                raise
            logging.getLogger(OWN_LOGGER).warning("%s cannot be read: %s", name, error)
            continue
        status = os.fstat(fd)
        place = Place(found[name].number, status.st_dev, status.st_ino)
        if name.endswith(COMPRESSED) and name != log:
            files.append(CompressedFile(fd, place))
        else:
            files.append(PlainFile(fd, place, None if follow else status.st_size))
    return files
