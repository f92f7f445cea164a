"""Compresses backups with gzip, in a thread of the writer's process.

The writers' lock is held only while a compressed file takes the place of its backup.
The compressed file of `NAME.3` is written under another name first, and becomes `NAME.3.gz` when it
is whole. A process that is killed in between leaves the backup as it was, or both files. The next
compression continues from there, and readers give the events of one of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from chora_logging import log_files
from chora_logging.log_files import COMPRESSED
from chora_logging.writing import locking, opening
from chora_logging.writing.backups import (
    PACKED_EXTRA,
    PACKED_HEADER,
    Backup,
    NameOf,
    Owned,
    find_backups,
    identify,
)
from chora_logging.writing.journal import open_journal, parse_owned
from chora_logging.writing.sidecar import LARGEST_SIDECAR_BYTES, Report, locked

#: How long to wait for other writers and a rotation before a compressed file is put in place, in seconds.
ROTATION_WAIT_SECONDS = 10.0

#: How much is read at a time, in bytes.
_CHUNK_BYTES = 1024 * 1024


class BackupCompressor:
    """Compresses the backups of one log in a thread of its own.

    It has no lock, because a `__del__` that logs, and so rotates, may run at any point of it. At worst
    two threads run for a moment, and the second finds the first one's file locked.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._wanted = self._running = False
        self._obstacle = ""

    def start(self, log: str, count: int, name_of: NameOf, report: Report | None = None) -> None:
        """Compress every plain backup of *log* with a number up to *count*, in the background.

        *report* is called with what has kept the last compression from beginning, if anything has.
        """
        obstacle, self._obstacle = self._obstacle, ""
        if obstacle and report is not None:
            report(obstacle)
        self._wanted = True
        if self._running and self._thread is not None and self._thread.is_alive():
            return
        self._running = True
        try:
            self._thread = threading.Thread(
                target=self._run, args=(log, count, name_of), name="chora-logging-gzip", daemon=True
            )
            self._thread.start()
        except (RuntimeError, MemoryError):  # perhaps at the end of the interpreter: another one compresses
            self._thread = None

    def join(self) -> None:
        """Wait until everything is compressed."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, log: str, count: int, name_of: NameOf) -> None:
        try:
            while self._wanted:
                while self._wanted:
                    self._wanted = False
                    self._try(log, count, name_of)
                self._running = False  # earlier requests are in `_wanted`, later ones start a thread
        finally:
            self._running = False

    def _try(self, log: str, count: int, name_of: NameOf) -> None:
        try:
            compress_backups(log, count, name_of)
        except NotOursError as error:
            self._obstacle = str(error)
        except Exception:  # they stay plain: the next rotation retries
            return


class NotOursError(OSError):
    """Something else has the name of the file into which backups are compressed."""


def compress_backups(log: str, count: int, name_of: NameOf) -> None:
    """Compress the plain backups of *log* that this package made, unless another process is doing so.

    Raises:
        OSError: a file could not be read or written; its backup is unchanged.
    """
    folder, name = os.path.split(log)
    unfinished = os.path.join(folder, f".{name}.gz.new")
    while (backup := _plain_backup(log, count, name_of)) is not None:
        source_fd = _open(backup.path)
        if source_fd is None:
            continue  # moved meanwhile
        with open(source_fd, "rb") as source, open(_open_unfinished(unfinished), "ab") as target:
            if not (locking.try_lock(target.fileno()) and _is_ours(target.fileno(), unfinished)):
                return  # another process compresses
            _compress(source, target)
            if not _put_in_place(log, os.fstat(source_fd), unfinished, count, name_of):
                return


def _plain_backup(log: str, count: int, name_of: NameOf) -> Backup | None:
    """Return the oldest plain backup that is ours and whose compressed name is free or ours."""
    owned = _read_owned(log)
    if owned is None:
        return None
    ours = find_backups(log, name_of, count, owned).ours
    for number in sorted((number for number in ours if number <= count), reverse=True):
        for backup in ours[number]:
            if not backup.suffix and _is_free(backup.path + COMPRESSED, owned):
                return backup
    return None


def _read_owned(log: str) -> Owned | None:
    """Return which backups of *log* the sidecar lists; None if it does not say, or cannot be read."""
    try:
        file = log_files.open_sidecar(log)
        if file is None:
            return None
        with file:
            data, inode = os.pread(file.fileno(), LARGEST_SIDECAR_BYTES, 0), os.fstat(file.fileno()).st_ino
    except OSError:
        return None
    state = log_files.parse_sidecar(data)
    return None if state is None else parse_owned(data, state, inode)[1]


def _is_free(path: str, owned: Owned) -> bool:
    files = identify(path)
    return files.items() <= owned.items() if files else not os.path.lexists(path)


def _open(path: str) -> int | None:
    """Open *path*; return None if it is gone, or not a regular file."""
    try:
        opened = log_files.open_regular(path)
    except FileNotFoundError:
        return None
    return None if opened is None else opened[0]


def _open_unfinished(path: str) -> int:
    opened = log_files.open_regular(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)  # the mode is set at the end
    if opened is None:
        raise NotOursError(f"backups are not compressed, because {path} is not a regular file")
    return opened[0]


def _is_ours(fd: int, path: str) -> bool:
    """Return whether *fd* still has the name *path*: another process may just have given it its final name.

    Raises:
        NotOursError: somebody else has made it.
    """
    status = os.fstat(fd)
    try:
        if not os.path.samestat(status, os.lstat(path)):
            return False
    except FileNotFoundError:
        return False
    if status.st_nlink > 1 or (status.st_size and os.pread(fd, 3, 0) != PACKED_HEADER[:3]):
        raise NotOursError(f"backups are not compressed, because {path} is somebody else's file")
    return True


def _compress(source: BinaryIO, target: BinaryIO) -> None:
    """Compress as `gzip` does, with an extra field (RFC 1952) that says that this package did it."""
    target.truncate(0)
    status = os.fstat(source.fileno())
    target.write(PACKED_HEADER + struct.pack("<IBB", int(status.st_mtime), 2, 255) + PACKED_EXTRA)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum = size = 0
    while data := source.read(_CHUNK_BYTES):
        checksum = zlib.crc32(data, checksum)
        size += len(data)
        target.write(packer.compress(data))
    target.write(packer.flush() + struct.pack("<II", checksum, size & 0xFFFFFFFF))
    target.flush()
    opening.own(target.fileno(), status)
    os.fchmod(target.fileno(), opening.permissions(status))
    os.fsync(target.fileno())


def _put_in_place(log: str, source: os.stat_result, unfinished: str, count: int, name_of: NameOf) -> bool:
    """Replace the backup by the compressed file, under the number that it has now, if it is still there.

    Until the plain file is deleted, both are known as ours. Returns whether to look for more backups.
    """
    with _not_rotating(log) as is_current, open_journal(log, source, None, 0) as journal:
        owned = None if journal is None or not is_current else journal.owned
        for number in range(1, count + 1):
            path = name_of(f"{log}.{number}")
            with contextlib.suppress(FileNotFoundError):
                if journal is None or owned is None or source.st_ino not in owned:
                    break
                if not os.path.samestat(os.lstat(path), source):
                    continue
                if not _is_free(path + COMPRESSED, owned):
                    break
                owned = {**owned, **identify(unfinished)}
                journal.write(journal.state, owned, journal.keep)
                os.replace(unfinished, path + COMPRESSED)
                os.unlink(path)
                del owned[source.st_ino]
                journal.write(journal.state, owned, journal.keep)
                return True
        os.unlink(unfinished)
        return owned is not None


@contextlib.contextmanager
def _not_rotating(log: str) -> Iterator[bool]:
    """Hold the lock of the live file, as a rotation does; yield whether it is still the live file.

    The lock of the sidecar is not enough: whoever deletes that ends the exclusion.

    Raises:
        RotationBusyError: it was held too long.
        OSError: the live file cannot be opened.
    """
    opened = log_files.open_regular(log)
    if opened is None:
        yield False
        return
    file = io.FileIO(opened[0])
    with locked(file, ROTATION_WAIT_SECONDS):
        yield os.path.samestat(os.lstat(log), opened[1])
