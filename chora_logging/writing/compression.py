"""Compresses backups with gzip, in a thread of the writer's process, outside of the writers' locks.

The compressed file of `NAME.3` is written under another name first, and becomes `NAME.3.gz` when it
is whole. A process that is killed in between leaves the backup as it was, or both files. The next
compression continues from there, and readers use the plain one.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import threading
from collections.abc import Callable
from typing import BinaryIO

from chora_logging import log_files
from chora_logging.writing import locking, opening
from chora_logging.writing.rotation import open_journal

NameOf = Callable[[str], str]

#: How long to wait for a rotation to end before a compressed file is put in place, in seconds.
ROTATION_WAIT_SECONDS = 10.0


class BackupCompressor:
    """Compresses the backups of one log in a thread of its own.

    It has no lock, because a `__del__` that logs, and so rotates, may run at any point of it. At worst
    two threads run for a moment, and the second finds the first one's file locked.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._wanted = self._running = False

    def start(self, log: str, count: int, name_of: NameOf) -> None:
        """Compress every plain backup of *log* with a number up to *count*, in the background."""
        self._wanted = True
        if self._running:
            return
        self._running = True
        self._thread = threading.Thread(
            target=self._run, args=(log, count, name_of), name="chora-logging-gzip", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is shutting down: the next process compresses
            self._thread, self._running = None, False

    def join(self) -> None:
        """Wait until everything is compressed."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, log: str, count: int, name_of: NameOf) -> None:
        while self._wanted:
            while self._wanted:
                self._wanted = False
                with contextlib.suppress(OSError):  # they stay plain: the next rotation retries
                    compress_backups(log, count, name_of)
            self._running = False  # earlier requests are in `_wanted`, later ones start a thread


def compress_backups(log: str, count: int, name_of: NameOf) -> None:
    """Compress the plain backups of *log*, unless another process is doing so.

    Raises:
        OSError: a file could not be read or written; its backup is unchanged.
    """
    folder, name = os.path.split(log)
    unfinished = os.path.join(folder, f".{name}.gz.new")
    while (backup := _plain_backup(log, count, name_of)) is not None:
        with open(backup, "rb") as source, open(unfinished, "ab", opener=_for_the_owner) as target:
            if not (locking.try_lock(target.fileno()) and _is_named(target.fileno(), unfinished)):
                return
            _compress(source, target)
            _put_in_place(log, os.fstat(source.fileno()), unfinished, count, name_of)


def _plain_backup(log: str, count: int, name_of: NameOf) -> str | None:
    paths = (name_of(f"{log}.{number}") for number in range(count, 0, -1))
    return next((path for path in paths if os.path.isfile(path)), None)


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # it gets the backup's permissions when it is whole


def _is_named(fd: int, path: str) -> bool:
    """Return whether *path* still names *fd*: another process may just have given it its final name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _compress(source: BinaryIO, target: BinaryIO) -> None:
    target.truncate(0)
    status = os.fstat(source.fileno())
    with gzip.GzipFile("", "wb", fileobj=target, mtime=status.st_mtime) as packed:
        shutil.copyfileobj(source, packed, 1024 * 1024)
    target.flush()
    opening.own(target.fileno(), status)
    os.fchmod(target.fileno(), opening.permissions(status))
    os.fsync(target.fileno())


def _put_in_place(log: str, source: os.stat_result, unfinished: str, count: int, name_of: NameOf) -> None:
    """Replace the backup by the compressed file; meanwhile it may have a new number, or be deleted."""
    with open_journal(log, source, None, ROTATION_WAIT_SECONDS) as journal:
        for number in range(1, count + 1):
            path = name_of(f"{log}.{number}")
            with contextlib.suppress(FileNotFoundError):
                if journal is not None and os.path.samestat(os.stat(path), source):
                    os.replace(unfinished, path + log_files.COMPRESSED)
                    os.unlink(path)
                    return
        os.unlink(unfinished)
