"""The record of a log's rotations: which step of one is under way, and which backups are ours.

It is the sidecar. During a rotation the live file has a second name, `.NAME.rotating`. Every writer checks
the link count of the live file (then 2), so the next record notices an unfinished rotation. The name also
tells what was under way if the sidecar is lost.

What the sidecar has where, and how readers parse it, is in `chora_logging.log_files`. Whoever may write to
the log's folder can put anything in its place: what is not a sidecar is left as it is, and the log is
rotated without one.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping

from chora_logging import log_files
from chora_logging.log_files import (
    BACKUP_ENTRY,
    BACKUP_LIST,
    LARGEST_SIDECAR_BYTES,
    RECORD,
    RECORD_ENTRY,
    RETAINED,
    SIDECAR_BYTES,
    SIDECAR_IDENTITY,
    SIDECAR_LAYOUT,
    SIDECAR_MAGIC,
    UNKNOWN_SIZE,
    Live,
    Rotated,
    Sidecar,
)
from chora_logging.writing import locking, opening
from chora_logging.writing.backups import Owned

#: How often a sidecar is created that somebody deletes before it is opened.
_ATTEMPTS = 10

#: Called with what is wrong with a sidecar.
Report = Callable[[str], None]

#: The first size after that of the first line that is noted, in bytes; each next one is so many times more.
FIRST_MARK_BYTES = 64 * 1024
_MARK_GROWTH = 4

#: The largest number of backups that a rotation can be told to keep.
LARGEST_COUNT = 2**32 - 1


class Journal:
    """The record of a log's rotations: its sidecar, open and locked; without one, nothing is recorded.

    Args:
        log: The live file.
        fd: The descriptor of the sidecar, if there is one.

    Attributes:
        state: What it says about the log and the rotation.
        owned: The backups that this package has made; None if it does not say.
        keep: How many backups the rotation under way keeps; 0 if it does not say.
        record: What the last rotations have made, by generation; a change is written by the next `write`.
        kept_from: The generation from which on no backup was deleted by this package; as for *record*.
        live: What is known of the live file; as for *record*. None if nothing is.
        generation: How many rotations have begun; 0 in the copy of a folder.
    """

    def __init__(self, log: str, fd: int | None) -> None:
        folder, name = os.path.split(log)
        self._log, self._mark = log, os.path.join(folder, f".{name}.rotating")
        self._fd = fd
        self.state = Sidecar(os.urandom(16))
        self.owned: Owned | None = None
        self.record: dict[int, Rotated] = {}
        self.keep = self.generation = self._inode = self.kept_from = self._retained_at = 0
        self.live: Live | None = None
        if fd is None:
            return
        self._inode = os.fstat(fd).st_ino
        data = os.pread(fd, LARGEST_SIDECAR_BYTES, 0)
        said = log_files.parse_backups(data, self._inode)
        if said.state is None:
            self.write(self.state)
            return
        self.state, self.keep, self.owned, self.live = said.state, said.keep, said.owned, said.live
        self.record.update(said.record)
        # What a version of this package has deleted that does not say it is unknown.
        self.kept_from = said.state.generation if said.kept_from is None else said.kept_from
        self.generation = 0 if said.is_copied else (said.state.sequence + 1) // 2
        self._retained_at = 0 if said.kept_from is None else len(data) - RETAINED.size

    @property
    def marked(self) -> int:
        """The inode of the file that has the second name of a file under rotation; 0 if there is none."""
        try:
            return os.lstat(self._mark).st_ino
        except OSError:
            return 0

    def write(self, state: Sidecar, owned: Owned | None = None, keep: int = 0) -> None:
        """Write *state*, and *owned* and *keep* if given, in one step.

        Without *owned* only the step may differ from the last state.
        """
        if self._fd is None:
            pass
        elif owned is None:
            os.pwrite(self._fd, pack_sidecar(state), 0)
        else:
            data = pack_sidecar(state) + _pack_owned(state, owned, keep, self._inode)
            record = pack_record(state, self.record, LARGEST_SIDECAR_BYTES - RETAINED.size - len(data))
            data += record
            self._retained_at = len(data) if record else 0
            if record:
                data += pack_retained(state, self.kept_from, self.live or Live(0))
            if os.pwrite(self._fd, data, 0) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(self._fd, len(data))
            self.owned, self.keep = owned, keep
        self.state = state

    def begin(self, inode: int, step: int, owned: Owned, keep: int) -> None:
        """Record that a rotation of the live file *inode* begins."""
        state = self.state._replace(sequence=self.state.sequence + 1, inode=inode, step=step)
        self.write(state, owned, keep)
        if self.marked != inode:
            self.unmark(inode, owned)
            with contextlib.suppress(OSError):
                os.link(self._log, self._mark)

    def note(self, live: Live) -> None:
        """Record what is known of the live file, if the sidecar has a place for it."""
        self.live = live
        if self._fd is not None and self._retained_at:
            os.pwrite(self._fd, pack_retained(self.state, self.kept_from, live), self._retained_at)

    def pack(self, inode: int, packed: int) -> None:
        """Note that the backup *inode* has been compressed into *packed*."""
        for each, rotated in self.record.items():
            if rotated.inode == inode:
                self.record[each] = rotated._replace(inode=packed)

    def end(self, sequence: int, owned: Owned) -> None:
        """Record that the rotation has ended.

        One file more stays in the record than is kept, for readers that have read it to its end, and so do
        those that were gone after it; and older ones in *owned*, which have got the number of a newer one.
        """
        if self.keep:
            kept = log_files.generation_of(self.keep, sequence // 2, log_files.gone_in(self.record))
            self.kept_from = max(self.kept_from, kept)
            older = (each for each, rotated in self.record.items() if each < kept and not rotated.is_gone)
            oldest = max(older, default=min(self.record, default=kept))
            self.record = {
                each: rotated
                for each, rotated in self.record.items()
                if each >= oldest or owned.get(rotated.inode) == rotated.first_line
            }
        self.unmark(self.state.inode, owned)
        self.write(self.state._replace(sequence=sequence, inode=0, step=0), owned)

    def unmark(self, inode: int, owned: Owned) -> None:
        """Delete the second name of the live file, which has *inode* or was rotated, and no other file."""
        with contextlib.suppress(OSError):
            status = os.lstat(self._mark)
            if stat.S_ISREG(status.st_mode) and (status.st_ino == inode or status.st_ino in owned):
                os.unlink(self._mark)


@contextlib.contextmanager
def open_journal(
    log: str, like: os.stat_result, mode: int | None, timeout: float, report: Report | None = None
) -> Iterator[Journal | None]:
    """Open the journal of *log*, and lock it while the block runs.

    It gets the permissions *mode* (None: those of *like*) and the owner of *like*, so that everyone
    who may write the log may rotate it. Yields None if this process may not write the sidecar, or
    something else has its name, which *report* is called with: nobody can complete the rotation if it is
    interrupted, and readers identify files by their content.

    Raises:
        RotationBusyError: another process holds its lock for longer than *timeout* seconds.
        OSError: it cannot be opened for a reason other than permissions.
    """
    mode = stat.S_IMODE(like.st_mode) if mode is None else mode
    file = _open(log, mode, like, report)
    if file is None:
        yield None
        return
    with locking.locked(file, timeout):
        yield Journal(log, file.fileno())


def next_mark(size: int) -> int:
    """Return the next size at which that of a live file of *size* bytes is noted.

    One of its writers reaches it. It has the lock meanwhile, so this should be rare in small files, too.
    """
    mark = FIRST_MARK_BYTES if size else 1
    while mark <= size:
        mark *= _MARK_GROWTH
    return mark


def pack_sidecar(state: Sidecar) -> bytes:
    """Return the bytes of the sidecar *state* that readers read."""
    crc = zlib.crc32(SIDECAR_IDENTITY.pack(SIDECAR_MAGIC, state.log_id))
    return SIDECAR_LAYOUT.pack(SIDECAR_MAGIC, state.log_id, crc, state.sequence, state.inode, state.step)


def _pack_owned(state: Sidecar, owned: Owned, keep: int, inode: int) -> bytes:
    entries = b"".join(BACKUP_ENTRY.pack(backup, first_line) for backup, first_line in owned.items())
    checksum = zlib.crc32(b"%s %d %d %s" % (state.log_id, state.sequence, keep, entries))
    return BACKUP_LIST.pack(checksum, keep, len(owned), inode) + entries


def pack_record(state: Sidecar, record: Mapping[int, Rotated], room: int) -> bytes:
    """Return the bytes of *record* in a sidecar, at most *room*; the oldest rotations are left out."""
    count = min(len(record), (room - RECORD.size) // RECORD_ENTRY.size)
    if count < 0:
        return b""
    entries = b"".join(
        RECORD_ENTRY.pack(each, inode, UNKNOWN_SIZE if size is None else size, first_line, head)
        for each, (inode, size, first_line, head) in sorted(record.items())[len(record) - count :]
    )
    checksum = zlib.crc32(b"%s %d %s" % (state.log_id, state.sequence, entries))
    return RECORD.pack(checksum, count) + entries


def pack_retained(state: Sidecar, kept_from: int, live: Live) -> bytes:
    """Return the bytes of the last part of a sidecar."""
    checksum = zlib.crc32(b"%s %d %d %d %d %d" % (state.log_id, state.sequence, kept_from, *live))
    return RETAINED.pack(checksum, kept_from, *live)


def _open(log: str, mode: int, like: os.stat_result, report: Report | None) -> io.FileIO | None:
    try:
        file = _open_or_create(log, mode, like)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            _report_unusable(log, "its name would be too long", report)
            return None
        # Whoever can write it would take the backups that are not in its list for those of another tool.
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and log_files.read_sidecar(log) is None:
            return None
        raise
    if file is None:
        _report_unusable(log, "it is not a regular file", report)
        return None
    try:
        status = os.fstat(file.fileno())
        if not _may_be_ours(file.fileno(), status):
            file.close()
            _report_unusable(log, "it is somebody else's file", report)
            return None
        if stat.S_IMODE(status.st_mode) != mode:
            with contextlib.suppress(PermissionError):
                os.fchmod(file.fileno(), mode)
    except BaseException:
        file.close()
        raise
    return file


def _open_or_create(log: str, mode: int, like: os.stat_result) -> io.FileIO | None:
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            return log_files.open_sidecar(log, "r+")
        opening.create(log_files.sidecar_path(log), mode, like)
    return log_files.open_sidecar(log, "r+")


def _report_unusable(log: str, reason: str, report: Report | None) -> None:
    if report is not None:
        path = log_files.sidecar_path(log)
        report(f"{path} is not the sidecar of the log, because {reason}: the log is rotated without it")


def _may_be_ours(fd: int, status: os.stat_result) -> bool:
    """Return whether a file is a sidecar, perhaps a damaged one, or a new file.

    A valid sidecar may have further names, as in a snapshot of the folder that consists of hard links.
    """
    if status.st_size > LARGEST_SIDECAR_BYTES:
        return False
    beginning = os.pread(fd, SIDECAR_BYTES, 0)
    if status.st_nlink > 1:
        return log_files.parse_sidecar(beginning) is not None
    is_new = status.st_size <= SIDECAR_BYTES and not any(beginning)
    return is_new or beginning.startswith(SIDECAR_MAGIC)
