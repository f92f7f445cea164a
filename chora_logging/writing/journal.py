"""The sidecar as its writers use it: locked, the journal of a rotation, and a list of our backups.

After the 64 bytes that readers read (`chora_logging.log_files`) stands which backups this package has
made, little-endian: CRC-32 (4), how many backups the rotation under way keeps (4), count (4), the inode of
the sidecar (8), then for each backup its inode (8) and the CRC-32 of its first line (4). The checksum covers
the sequence: where a version of this package has rotated that does not write this part, it is invalid. So
it is in a copy of the folder, whose inodes are others.

Whoever may write to the log's folder can put anything in the sidecar's place. What is not a sidecar is
left as it is, and the log is rotated without one.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import struct
import weakref
import zlib
from collections.abc import Callable, Iterator

from chora_logging import log_files
from chora_logging.errors import RotationBusyError
from chora_logging.log_files import SIDECAR_BYTES, Sidecar
from chora_logging.writing import locking, opening
from chora_logging.writing.backups import Owned

_LIST = struct.Struct("<IIIQ")
_ENTRY = struct.Struct("<QI")
_BEGIN = SIDECAR_BYTES + _LIST.size

#: The largest sidecar, in bytes: that of a log with 300,000 backups.
_MAX_BYTES = 4 * 1024 * 1024

#: Called with what is wrong with a sidecar.
Report = Callable[[str], None]


class Journal:
    """An open, locked sidecar.

    Attributes:
        state: What it says about the log and the rotation.
        owned: The backups that this package has made; None if it does not say.
        keep: How many backups the rotation under way keeps; 0 if it does not say.
        is_copy: Whether it is a copy of the sidecar of another folder.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._inode = os.fstat(fd).st_ino
        data = os.pread(fd, _MAX_BYTES, 0)
        state = log_files.parse_sidecar(data)
        self.state = state or log_files.new_sidecar()
        self.keep, self.owned = _parse_owned(data, self.state, self._inode)
        self.is_copy = len(data) >= _BEGIN and _LIST.unpack_from(data, SIDECAR_BYTES)[3] != self._inode
        if state is None:
            self.write(self.state)

    def write(self, state: Sidecar, owned: Owned | None = None, keep: int = 0) -> None:
        """Write *state*, and *owned* and *keep* if given, in one step.

        Without *owned* only the step may differ from the last state.
        """
        if owned is None:
            os.pwrite(self._fd, log_files.pack_sidecar(state), 0)
        else:
            data = log_files.pack_sidecar(state) + _pack_owned(state, owned, keep, self._inode)
            if os.pwrite(self._fd, data, 0) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(self._fd, len(data))
            self.owned, self.keep = owned, keep
        self.state = state


def read_owned(log: str) -> Owned | None:
    """Return which backups of *log* the sidecar lists; None if it does not say, or cannot be read."""
    try:
        opened = log_files.open_regular(log_files.sidecar_path(log))
        if opened is None:
            return None
        try:
            data = os.pread(opened[0], _MAX_BYTES, 0)
        finally:
            os.close(opened[0])
    except OSError:
        return None
    state = log_files.parse_sidecar(data)
    return None if state is None else _parse_owned(data, state, opened[1].st_ino)[1]


@contextlib.contextmanager
def open_journal(
    log: str, like: os.stat_result, mode: int | None, timeout: float, report: Report | None = None
) -> Iterator[Journal | None]:
    """Open the sidecar of *log*, created if it is missing, and lock it while the block runs.

    It gets the permissions *mode* (None: those of *like*) and the owner of *like*, so that everyone
    who may write the log may rotate it. Yields None if this process may not write the sidecar, or
    something else has its name: nobody can complete the rotation if it is interrupted, and readers
    identify files by their content.

    Raises:
        RotationBusyError: another process holds its lock for longer than *timeout* seconds.
        OSError: it cannot be opened for a reason other than permissions.
    """
    file = _open_sidecar(log, opening.permissions(like, mode), like, report)
    if file is None:
        yield None
        return
    with locked(file, timeout):
        yield Journal(file.fileno())


@contextlib.contextmanager
def locked(file: io.FileIO, timeout: float) -> Iterator[None]:
    """Lock *file* while the block runs, and close it; a child that is forked meanwhile closes it, too.

    Raises:
        RotationBusyError: another process holds its lock for longer than *timeout* seconds.
    """
    reference, fd = weakref.ref(file), file.fileno()
    _open_files.add(reference)
    try:
        if not locking.lock(fd, timeout):
            raise RotationBusyError(file.name, "another process is rotating this log")
        yield
    finally:
        try:  # noqa: SIM105  # as in `LiveFile.append_fast`
            locking.flock(fd, locking.UNLOCK)  # closing is not enough: a forked child may share it
        except OSError:
            pass
        _open_files.discard(reference)
        file.close()


#: The locked files. A forked child closes them, otherwise the parent's lock would outlive the parent.
#: Weak references: a file that a signal handler's exception left open is closed with its last one.
_open_files: set[weakref.ref[io.FileIO]] = set()


def _close_files_after_fork() -> None:
    while _open_files:
        file = _open_files.pop()()
        if file is not None:
            file.close()


os.register_at_fork(after_in_child=_close_files_after_fork)


def _open_sidecar(log: str, mode: int, like: os.stat_result, report: Report | None) -> io.FileIO | None:
    path = log_files.sidecar_path(log)
    try:
        if not os.path.lexists(path):
            opening.create(path, mode, like)
        file = io.FileIO(path, "r+", opener=_open_regular)
    except OSError as error:
        if error.errno == _NOT_REGULAR:
            _report_unusable(path, "it is not a regular file", report)
            return None
        # Whoever can write it would take the backups that are not in its list for those of another tool.
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and log_files.read_sidecar(log) is None:
            return None
        raise
    try:
        status = os.fstat(file.fileno())
        if status.st_nlink > 1 or not _may_be_ours(file.fileno(), status.st_size):
            file.close()
            _report_unusable(path, "it is somebody else's file", report)
            return None
        if opening.permissions(status) != mode:
            with contextlib.suppress(PermissionError):
                os.fchmod(file.fileno(), mode)
    except BaseException:
        file.close()
        raise
    return file


_NOT_REGULAR = errno.ENOTSUP


def _open_regular(path: str, flags: int) -> int:
    opened = log_files.open_regular(path, flags)
    if opened is None:
        raise OSError(_NOT_REGULAR, os.strerror(_NOT_REGULAR), path)
    return opened[0]


def _report_unusable(path: str, reason: str, report: Report | None) -> None:
    if report is not None:
        report(f"{path} is not the sidecar of the log, because {reason}: the log is rotated without it")


def _may_be_ours(fd: int, size: int) -> bool:
    """Return whether a file of *size* bytes is a sidecar, perhaps a damaged one, or a new file."""
    if size > _MAX_BYTES:
        return False
    beginning = os.pread(fd, SIDECAR_BYTES, 0)
    return beginning.startswith(log_files.SIDECAR_MAGIC) or (size <= SIDECAR_BYTES and not any(beginning))


def _pack_owned(state: Sidecar, owned: Owned, keep: int, inode: int) -> bytes:
    entries = b"".join(_ENTRY.pack(backup, first_line) for backup, first_line in owned.items())
    return _LIST.pack(_checksum(state, keep, entries), keep, len(owned), inode) + entries


def _parse_owned(data: bytes, state: Sidecar, inode: int) -> tuple[int, Owned | None]:
    if len(data) < _BEGIN:
        return 0, None
    checksum, keep, count, of = _LIST.unpack_from(data, SIDECAR_BYTES)
    entries = data[_BEGIN:][: count * _ENTRY.size]
    if of != inode or checksum != _checksum(state, keep, entries) or len(entries) != count * _ENTRY.size:
        return 0, None
    return keep, dict(_ENTRY.iter_unpack(entries))


def _checksum(state: Sidecar, keep: int, entries: bytes) -> int:
    return zlib.crc32(b"%s %d %d " % (state.log_id, state.sequence, keep) + entries)
