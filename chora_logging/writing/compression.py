"""Compresses backups in a thread of the writer's process.

The writers' lock is held only while a compressed file takes the place of its backup.
The compressed file of `NAME.3` is written under another name first, and becomes `NAME.3.gz` or `NAME.3.zst`
when it is whole. A process that is killed in between leaves the backup as it was, or both files. The next
compression, in whichever format, continues from there, and readers give the events of one of them.

A backup that some process still has open for writing stays as it is until the next rotation: a shell's
`>>` goes on in the renamed file, and its lines would be lost with it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import signal
import threading
import time
from collections.abc import Iterator

from chora_logging import log_files
from chora_logging.compressed_files import COMPRESSED, FORMATS, GZIP, HEADER_BYTES, Format, format_of_ours
from chora_logging.errors import RotationBusyError
from chora_logging.writing import locking, opening
from chora_logging.writing.backups import Backup, NameOf, Owned, find_backups, identify
from chora_logging.writing.journal import Report, open_journal
from chora_logging.writing.packing import new_packer, pack

#: How long to wait for other writers and a rotation before a compressed file is put in place, in seconds, and
#: how long between two attempts.
ROTATION_WAIT_SECONDS = 10.0
_ROTATION_PAUSE_SECONDS = 0.002

#: How long a `join` takes to notice the end of the thread, in seconds.
_JOIN_PAUSE_SECONDS = 0.01

#: The first and the longest pause after a compression for which the disk had no room, in seconds.
FIRST_ROOM_RETRY_SECONDS = 60.0
LONGEST_ROOM_RETRY_SECONDS = 3600.0

#: The errors of a disk, a quota or a limit that has no room.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BackupCompressor:
    """Compresses the backups of one log in a thread of its own.

    Nothing waits for its lock, because a `__del__` that logs, and so rotates, may run at any point of it.

    Args:
        name: The name of the format.

    Raises:
        MissingExtraError, ConfigurationError: the library of the format is not installed.
    """

    def __init__(self, name: str = GZIP.name) -> None:
        self._format = next(each for each in FORMATS if each.name == name)
        new_packer(self._format)  # loads its library, which must not happen in a logging call
        self._thread: threading.Thread | None = None
        self._wanted, self._running = False, threading.Lock()
        self._obstacle = ""
        self._retry_at, self._retry_pause = 0.0, FIRST_ROOM_RETRY_SECONDS

    def start(self, log: str, count: int, name_of: NameOf, report: Report | None = None) -> None:
        """Compress every plain backup of *log* with a number up to *count*, in the background.

        *report* is called with what has kept the last compression from beginning, if anything has.
        """
        obstacle, self._obstacle = self._obstacle, ""
        if obstacle and report is not None:
            report(obstacle)
        self._wanted = True
        if not self._running.acquire(blocking=False):
            return  # the thread looks again when it has released the lock
        try:
            thread = threading.Thread(
                target=self._run,
                args=(log, count, name_of),
                name=f"chora-logging-{self._format.name}",
                daemon=True,
            )
            thread.start()
            self._thread = thread  # `join` may run in another thread meanwhile
        except (RuntimeError, MemoryError):  # perhaps at the end of the interpreter: another one compresses
            self._release()
        except BaseException:  # of a signal handler
            self._release()
            raise

    def join(self, lock: threading.RLock | None = None) -> None:
        """Wait until everything is compressed.

        The *lock* of the log, which the thread needs for a moment, is released meanwhile even if the caller
        holds it, as `logging.shutdown` does.
        """
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            with (released := threading.Condition(lock)):
                while thread.is_alive():
                    released.wait(_JOIN_PAUSE_SECONDS)

    def _run(self, log: str, count: int, name_of: NameOf) -> None:
        while True:
            try:
                while self._wanted:
                    self._wanted = False
                    self._try(log, count, name_of)
            finally:
                self._release()
            if not (self._wanted and self._running.acquire(blocking=False)):
                return

    def _release(self) -> None:
        with contextlib.suppress(RuntimeError):  # `start` was interrupted when the thread already ran
            self._running.release()

    def _try(self, log: str, count: int, name_of: NameOf) -> None:
        if time.monotonic() < self._retry_at:
            return
        try:
            compress_backups(log, count, name_of, self._format)
            self._retry_pause = FIRST_ROOM_RETRY_SECONDS
        except ObstacleError as error:
            self._obstacle = str(error)
        except OSError as error:  # they stay plain: the next rotation retries
            if error.errno in _NO_ROOM:
                self._retry_at = time.monotonic() + self._retry_pause
                self._retry_pause = min(2 * self._retry_pause, LONGEST_ROOM_RETRY_SECONDS)
        except Exception:
            return


class ObstacleError(OSError):
    """There is no file into which backups could be compressed; the message says why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"backups are not compressed, because {path} {reason}")


def compress_backups(log: str, count: int, name_of: NameOf, format: Format = GZIP) -> None:
    """Compress the plain backups of *log* that this package made, unless another process is doing so.

    Raises:
        ObstacleError: something else has the name of the unfinished file.
        OSError: a file could not be read or written; its backup is unchanged.
    """
    unfinished = _unfinished(log, format)
    in_use: set[int] = set()
    while (backup := _plain_backup(log, count, name_of, in_use)) is not None:
        source_fd = _open(backup.path)
        if source_fd is None:
            continue  # moved meanwhile
        with locking.closed_in_children(io.FileIO(source_fd)) as source:
            if _is_in_use(source):
                in_use.add(backup.inode)
                continue
            if not all(_remove_leftover(_unfinished(log, other)) for other in FORMATS if other is not format):
                return  # another process compresses
            with locking.closed_in_children(io.FileIO(_open_unfinished(unfinished, format), "r+")) as target:
                if not (locking.try_lock(target.fileno()) and _is_ours(target, unfinished)):
                    return  # another process compresses
                with _removed_on_failure(target, unfinished):
                    size = pack(source, target, format)
                    if not _put_in_place(log, source, size, format, count, name_of):
                        return
            if os.fstat(source_fd).st_nlink:
                in_use.add(backup.inode)


def _unfinished(log: str, format: Format) -> str:
    folder, name = os.path.split(log)
    return os.path.join(folder, f".{name}{format.suffix}.new")


def _plain_backup(log: str, count: int, name_of: NameOf, in_use: set[int]) -> Backup | None:
    """Return our oldest plain backup that is not *in_use* and whose compressed names are free or ours."""
    owned = log_files.read_backups(log).owned
    if owned is None:
        return None
    ours = find_backups(log, name_of, count, owned).ours
    for number in sorted((number for number in ours if number <= count), reverse=True):
        for backup in ours[number]:
            is_plain = not backup.suffix and backup.inode not in in_use
            if is_plain and _are_free(backup.path, owned):
                return backup
    return None


def _is_in_use(file: io.FileIO) -> bool:
    """Return whether a process has *file* open for writing, as far as this process may know it.

    A lease is granted only if nobody has (`F_SETLEASE` in fcntl(2)); other systems and some file systems
    have none. Whoever opens the file while it is held has this process sent a signal, which is to be one that
    is ignored unless it is handled.
    """
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except AttributeError:
        return False
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def _are_free(path: str, owned: Owned) -> bool:
    """Return whether nobody else has a compressed file of the backup *path*, in any format."""
    return all(_is_free(path + suffix, owned) for suffix in COMPRESSED)


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


def _remove_leftover(path: str) -> bool:
    """Delete the unfinished file *path* of a killed process; return False if some process still writes it."""
    try:
        opened = log_files.open_regular(path, os.O_RDWR)
    except OSError:  # mostly there is none
        return True
    if opened is None:
        return True
    with locking.closed_in_children(io.FileIO(opened[0], "r+")) as file, contextlib.suppress(ObstacleError):
        if _is_ours(file, path):
            if not locking.try_lock(file.fileno()):
                return False
            os.unlink(path)
    return True


def _open_unfinished(path: str, format: Format) -> int:
    """Open the file *path*, created with the header of ours if it is missing; its mode is set at the end."""
    try:
        try:
            opened = log_files.open_regular(path, os.O_RDWR)
        except FileNotFoundError:
            opening.create(path, 0o600, content=format.header())
            opened = log_files.open_regular(path, os.O_RDWR)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ObstacleError(path, "would have too long a name") from error
        raise
    if opened is None:
        raise ObstacleError(path, "is not a regular file")
    return opened[0]


def _is_ours(file: io.FileIO, path: str) -> bool:
    """Return whether *file* still has the name *path*: another process may just have put it in place.

    Raises:
        ObstacleError: somebody else has made it.
    """
    status = os.fstat(file.fileno())
    try:
        if not os.path.samestat(status, os.lstat(path)):
            return False
    except FileNotFoundError:
        return False
    header = os.pread(file.fileno(), HEADER_BYTES, 0)
    if status.st_nlink > 1 or format_of_ours(header) is None:
        raise ObstacleError(path, "is somebody else's file")
    return True


@contextlib.contextmanager
def _removed_on_failure(file: io.FileIO, path: str) -> Iterator[None]:
    """Delete the unfinished *file*, named *path*, if the block fails: it may be what fills the disk."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), os.lstat(path)):
                os.unlink(path)
                os.ftruncate(file.fileno(), 0)
        raise


def _put_in_place(
    log: str, source: io.FileIO, size: int, format: Format, count: int, name_of: NameOf
) -> bool:
    """Replace the backup by the compressed file as soon as nobody writes; return as `_replace`.

    A `__del__` that logs in the middle of it waits for its end, as it does in the middle of a record.

    Raises:
        RotationBusyError: the log's lock was held too long.
    """
    mutex, waited = locking.mutex_of(os.path.realpath(log)), 0.0
    while True:
        with mutex.lock:
            try:
                mutex.busy = True
                return _replace(log, source, size, format, count, name_of)
            except RotationBusyError:
                if waited >= ROTATION_WAIT_SECONDS:
                    raise
            finally:
                mutex.busy = False
                mutex.catch_up()
        time.sleep(_ROTATION_PAUSE_SECONDS)
        waited += _ROTATION_PAUSE_SECONDS


locking.LogMutex.busy_code.add(_put_in_place.__code__)


def _replace(log: str, source: io.FileIO, size: int, format: Format, count: int, name_of: NameOf) -> bool:
    """Replace the backup by the compressed file, under the number that it has now, if it is still there.

    Not if it has more than *size* bytes now, or may get more. Until the plain file is deleted, both are known
    as ours. Returns whether to look for more backups.
    """
    status, unfinished = os.fstat(source.fileno()), _unfinished(log, format)
    with _not_rotating(log) as is_current, open_journal(log, status, None, 0) as journal:
        owned = None if journal is None or not is_current else journal.owned
        path = "" if owned is None else _path_of(status, log, owned, count, name_of)
        is_whole = not _is_in_use(source) and os.fstat(source.fileno()).st_size == size
        if journal is None or owned is None or not (path and is_whole and _are_free(path, owned)):
            os.unlink(unfinished)
            return owned is not None
        packed = identify(unfinished)
        owned = {**owned, **packed}
        journal.write(journal.state, owned, journal.keep)
        os.replace(unfinished, path + format.suffix)
        for suffix in COMPRESSED:  # what an interrupted compression in another format has left
            for inode in identify(path + suffix) if suffix != format.suffix else ():
                os.unlink(path + suffix)
                del owned[inode]
        os.unlink(path)
        del owned[status.st_ino]
        journal.pack(status.st_ino, *packed)
        journal.write(journal.state, owned, journal.keep)
        return True


def _path_of(source: os.stat_result, log: str, owned: Owned, count: int, name_of: NameOf) -> str:
    """Return the path that the plain backup *source* has now; empty if it is not kept any more."""
    ours = find_backups(log, name_of, count, owned).ours
    found = (backup for number in ours if number <= count for backup in ours[number])
    return next((each.path for each in found if each.inode == source.st_ino and not each.suffix), "")


@contextlib.contextmanager
def _not_rotating(log: str) -> Iterator[bool]:
    """Hold the lock of the live file, as a rotation does; yield whether it is still the live file.

    The lock of the sidecar is not enough: whoever deletes that ends the exclusion.

    Raises:
        RotationBusyError: it is held.
        OSError: the live file cannot be opened.
    """
    opened = log_files.open_regular(log)
    if opened is None:
        yield False
        return
    file = io.FileIO(opened[0])
    with locking.locked(file, 0):
        yield os.path.samestat(os.lstat(log), opened[1])
