"""Rotates a log: renames `NAME.4` → `NAME.5` … `NAME.1` → `NAME.2`, `NAME` → `NAME.1`, makes a new `NAME`.

The caller holds the lock of the live file, so nobody writes to it meanwhile. Each step is recorded in the
journal, which is the sidecar, before it is taken. If the process is killed, the next writer completes the
rotation from the recorded step; if a step fails, those before it are undone. The oldest backup is deleted
last. During a rotation the live file has a second name, `.NAME.rotating`. Every writer checks the link count
of the live file (then 2), so the next record notices an unfinished rotation.

Only files that this package made are renamed and deleted. If any other file has the name of a backup,
another tool rotates the log, and it is not rotated here. After the 64 bytes that readers read
(`chora_logging.log_files`) the sidecar says which backups this package has made, little-endian: CRC-32 (4),
how many backups the rotation under way keeps (4), count (4), the inode of the sidecar (8), then for each
backup its inode (8) and the CRC-32 of its first line (4). The checksum covers the sequence: where a version
of this package has rotated that does not write this part, it is invalid. So it is in a copy of the folder,
whose inodes are others.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from chora_logging import log_files
from chora_logging.errors import ForeignBackupsError, RotationBlockedError
from chora_logging.log_files import SIDECAR_BYTES, SIDECAR_IDENTITY, SIDECAR_LAYOUT, SIDECAR_MAGIC, Sidecar
from chora_logging.writing import opening
from chora_logging.writing.backups import Backup, Found, NameOf, Owned, find_backups, identify
from chora_logging.writing.sidecar import LARGEST_SIDECAR_BYTES, Report, open_sidecar

_LIST = struct.Struct("<IIIQ")
_ENTRY = struct.Struct("<QI")

_BEGIN = SIDECAR_BYTES + _LIST.size

#: How many files of another tool a message names.
_SHOWN_NAMES = 3

#: Moves the live file to the first backup's name.
RotateFile = Callable[[str, str], None]

#: The renames, of which the last may not be done: the number of the backup, 0 for the live file, its former
#: path, its new one.
_Moves = list[tuple[int, str, str]]


class Journal:
    """The record of a log's rotations: its sidecar, open and locked; without one, nothing is recorded.

    Args:
        log: The live file.
        fd: The descriptor of the sidecar, if there is one.

    Attributes:
        state: What it says about the log and the rotation.
        owned: The backups that this package has made; None if it does not say.
        keep: How many backups the rotation under way keeps; 0 if it does not say.
        generation: How many rotations have begun; 0 in the copy of a folder.
    """

    def __init__(self, log: str, fd: int | None) -> None:
        folder, name = os.path.split(log)
        self._log, self._mark = log, os.path.join(folder, f".{name}.rotating")
        self._fd = fd
        self.state, self.owned = Sidecar(os.urandom(16)), None
        self.keep = self.generation = self._inode = 0
        if fd is None:
            return
        self._inode = os.fstat(fd).st_ino
        data = os.pread(fd, LARGEST_SIDECAR_BYTES, 0)
        state = log_files.parse_sidecar(data)
        if state is None:
            self.write(self.state)
            return
        self.state = state
        self.keep, self.owned = parse_owned(data, state, self._inode)
        is_copy = len(data) >= _BEGIN and _LIST.unpack_from(data, SIDECAR_BYTES)[3] != self._inode
        self.generation = 0 if is_copy else (state.sequence + 1) // 2

    @property
    def is_under_way(self) -> bool:
        """Whether a rotation has begun and has not ended."""
        return bool(self.state.sequence & 1)

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
            if os.pwrite(self._fd, data, 0) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(self._fd, len(data))
            self.owned, self.keep = owned, keep
        self.state = state

    def begin(self, inode: int, step: int, owned: Owned, keep: int) -> None:
        """Record that a rotation of the live file *inode* begins."""
        state = self.state._replace(sequence=self.state.sequence + 1, inode=inode, step=step)
        self.write(state, owned, keep)
        self.unmark(inode, owned)
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.link(self._log, self._mark)

    def end(self, sequence: int, owned: Owned) -> None:
        """Record that the rotation has ended."""
        self.unmark(self.state.inode, owned)
        self.write(self.state._replace(sequence=sequence, inode=0, step=0), owned)

    def unmark(self, inode: int, owned: Owned) -> None:
        """Delete the second name of the live file, which has *inode* or was rotated, and no other file."""
        if self._fd is None:
            return
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
    something else has its name: nobody can complete the rotation if it is interrupted, and readers
    identify files by their content.

    Raises:
        RotationBusyError: another process holds its lock for longer than *timeout* seconds.
        OSError: it cannot be opened for a reason other than permissions.
    """
    mode = stat.S_IMODE(like.st_mode) if mode is None else mode
    with open_sidecar(log, like, mode, timeout, report) as file:
        yield None if file is None else Journal(log, file.fileno())


class Rollover(NamedTuple):
    """The rotation of one log.

    Attributes:
        log: The live file, symbolic links resolved.
        keep: How many backups to keep, at least 1.
        name_of: Returns a backup's name for its default name (`RotatingFileHandler.rotation_filename`).
        rotate: Moves the live file to the first backup's name (`RotatingFileHandler.rotate`); None renames.
        mode: Permission bits of new files; None copies those of the rotated file.
        timeout: How long to wait for another rotation, in seconds.
        report: Called with a sentence if the log has to be rotated without a sidecar.
    """

    log: str
    keep: int
    name_of: NameOf
    rotate: RotateFile | None
    mode: int | None
    timeout: float
    report: Report | None = None

    def run(self) -> None:
        """Rotate once, or complete an interrupted rotation if there is one.

        Raises:
            ForeignBackupsError: another tool rotates this log; nothing was changed.
            RotationBlockedError: something that is not a file has the name of a backup.
            RotationBusyError: another process has been rotating for longer than the timeout.
            Exception: a step failed, also in a namer or rotator; the steps before it were undone, or a
                later call completes the rotation.
        """
        status = os.stat(self.log)
        with open_journal(self.log, status, self.mode, self.timeout, self.report) as opened:
            journal = Journal(self.log, None) if opened is None else opened
            if journal.is_under_way:
                self._resume(journal, status)
                return
            found = self._find(journal)
            self._check(found)
            step = max(found.ours, default=0)
            with self._undone_on_failure(journal, found.owned, status) as moved:
                journal.begin(status.st_ino, step, found.owned, self.keep)
                backups = self._move(journal, found, step, status, moved)
            self._finish(journal, self.keep, backups)

    def complete(self) -> bool:
        """Complete the rotation of a killed process; return whether there was one.

        The sidecar is created if the log has none yet, and lists the backups that are there.

        Raises:
            Exception: as `run`.
        """
        status = os.stat(self.log)
        with open_journal(self.log, status, self.mode, 0, self.report) as journal:
            if journal is None:
                return False
            if journal.is_under_way:
                self._resume(journal, status)
                return True
            owned = journal.owned
            if owned is None:
                owned = self._find(journal).owned
                journal.write(journal.state, owned)
            journal.unmark(status.st_ino, owned)
        return False

    def _find(self, journal: Journal, owned: Owned | None = None) -> Found:
        owned = journal.owned if owned is None else owned
        return find_backups(self.log, self.name_of, self.keep, owned, journal.generation)

    def _check(self, found: Found) -> None:
        if found.blocked:
            raise RotationBlockedError(found.blocked[0], "it has the name of a backup but is not a file")
        if found.foreign:
            raise ForeignBackupsError(self.log, _foreign_reason(found.foreign))

    def _resume(self, journal: Journal, status: os.stat_result) -> None:
        found, state = self._find(journal), journal.state
        is_in_place = state.inode == status.st_ino and status.st_size > 0
        if state.step == 0 and is_in_place:
            self._remove_product(found.owned, status)
            found = self._find(journal, found.owned)
        elif state.step == 0:
            found = self._find(journal, {**found.owned, **identify(self._name(1))})
        try:
            self._check(found)
        except ForeignBackupsError:  # the other tool may have moved what is still to be moved
            journal.end(state.sequence + (-1 if is_in_place else 1), found.present())
            raise
        backups = found.backups
        if is_in_place:
            step = state.step
            while journal.owned is None and step in found.ours and step + 1 in found.ours:
                step += 1  # the journal of an older version, which deleted the oldest backup first
            with self._undone_on_failure(journal, found.owned, status) as moved:
                backups = self._move(journal, found, step, status, moved)
        self._finish(journal, journal.keep, backups)

    def _move(
        self, journal: Journal, found: Found, step: int, status: os.stat_result, moved: _Moves
    ) -> list[Backup]:
        """Move the backups with numbers up to *step* and the live file; return all backups then."""
        backups = {backup.path: backup for backup in found.backups}
        for number in sorted((number for number in found.ours if number <= step), reverse=True):
            journal.write(journal.state._replace(step=number))
            for backup in found.ours[number]:
                del backups[backup.path]
            for backup in self._shift(number, found.ours[number], moved):
                backups[backup.path] = backup
        journal.write(journal.state._replace(step=0), {**found.owned, **found.live}, journal.keep)
        first, product = self._name(1), found.live
        moved.append((0, self.log, first))
        if self.rotate is None:
            with contextlib.suppress(FileNotFoundError):  # as `RotatingFileHandler.rotate`
                os.rename(self.log, first)
        else:
            self.rotate(self.log, first)
            product = identify(first)
        opening.create(self.log, stat.S_IMODE(status.st_mode) if self.mode is None else self.mode, status)
        for inode, first_line in product.items():
            backups[first] = Backup(first, 1, False, "", inode, first_line, packed_by_us=False)
        return list(backups.values())

    def _shift(self, number: int, backups: list[Backup], moved: _Moves) -> Iterator[Backup]:
        """Move *backups*, which have *number*, to the next number, and yield them as they are then."""
        is_plain = any(not backup.suffix for backup in backups)
        for backup in backups:
            if backup.suffix and is_plain:  # an interrupted compression
                os.unlink(backup.path)
                continue
            target = self._name(number + 1) + backup.suffix
            if target == backup.path:  # a namer that ignores the number
                yield backup
                continue
            if os.path.lexists(target):
                raise RotationBlockedError(target, "it is in the way of a backup")
            moved.append((number, backup.path, target))  # before: a signal handler may raise after it
            os.rename(backup.path, target)
            yield backup._replace(path=target, number=number + 1)

    @contextlib.contextmanager
    def _undone_on_failure(self, journal: Journal, owned: Owned, status: os.stat_result) -> Iterator[_Moves]:
        """Undo the moves that the block has noted if it fails, unless the live file has been moved."""
        state, keep = journal.state, journal.keep
        moved: _Moves = []
        try:
            yield moved
        except BaseException:
            with contextlib.suppress(OSError):  # what cannot be undone is completed by a later call
                if _is_unchanged(self.log, status):
                    self._undo(journal, owned, status, moved)
                    journal.unmark(status.st_ino, owned)
                    journal.write(state, owned, keep)
            raise

    def _undo(self, journal: Journal, owned: Owned, status: os.stat_result, moved: _Moves) -> None:
        for number, source, target in reversed(moved):
            if not number:
                self._remove_product(owned, status)
                continue
            journal.write(journal.state._replace(step=number))
            if not os.path.lexists(source):  # else the move was not made
                os.rename(target, source)

    def _remove_product(self, owned: Owned, status: os.stat_result) -> None:
        """Delete what a rotator that failed, or was killed, has made of a live file that is still whole."""
        path = self._name(1)
        for inode in identify(path):
            if inode not in owned or inode == status.st_ino:
                os.unlink(path)

    def _finish(self, journal: Journal, keep: int, backups: list[Backup]) -> None:
        """Delete the surplus backups and end the rotation; *keep* is 0 if their number is unknown."""
        kept = {backup.inode: backup.first_line for backup in backups}
        for backup in backups:
            if 0 < keep < backup.number:
                with contextlib.suppress(OSError):  # the next rotation tries again
                    os.unlink(backup.path)
                    kept.pop(backup.inode, None)
        journal.end(journal.state.sequence + 1, kept)

    def _name(self, number: int) -> str:
        return self.name_of(f"{self.log}.{number}")


def _is_unchanged(log: str, status: os.stat_result) -> bool:
    """Return whether *log* is still the file with *status*, and has not lost any bytes."""
    try:
        now = os.stat(log)
    except FileNotFoundError:
        return False
    return os.path.samestat(now, status) and now.st_size >= status.st_size


def _foreign_reason(paths: list[str]) -> str:
    names = [os.path.basename(path) for path in sorted(paths)]
    shown = ", ".join(names[:_SHOWN_NAMES])
    if len(names) > _SHOWN_NAMES:
        shown += f" and {len(names) - _SHOWN_NAMES} more"
    return (
        f"another tool rotates this log, because this package did not make {shown}. Leave the rotation to "
        "it by maxBytes=0 or backupCount=0 (in the environment CHORA_EVENTS_MAX_BYTES=0, "
        "ORCH_LOG_MAX_BYTES=0 or LOG_MAX_BYTES=0), or stop it and move its files away"
    )


def pack_sidecar(state: Sidecar) -> bytes:
    """Return the bytes of the sidecar *state* that readers read."""
    crc = zlib.crc32(SIDECAR_IDENTITY.pack(SIDECAR_MAGIC, state.log_id))
    return SIDECAR_LAYOUT.pack(SIDECAR_MAGIC, state.log_id, crc, state.sequence, state.inode, state.step)


def _pack_owned(state: Sidecar, owned: Owned, keep: int, inode: int) -> bytes:
    entries = b"".join(_ENTRY.pack(backup, first_line) for backup, first_line in owned.items())
    return _LIST.pack(_checksum(state, keep, entries), keep, len(owned), inode) + entries


def parse_owned(data: bytes, state: Sidecar, inode: int) -> tuple[int, Owned | None]:
    """Return what the sidecar *inode* says: how many backups to keep, and which are ours; else 0 and None."""
    if len(data) < _BEGIN:
        return 0, None
    checksum, keep, count, of = _LIST.unpack_from(data, SIDECAR_BYTES)
    entries = data[_BEGIN:][: count * _ENTRY.size]
    if of != inode or checksum != _checksum(state, keep, entries) or len(entries) != count * _ENTRY.size:
        return 0, None
    return keep, dict(_ENTRY.iter_unpack(entries))


def _checksum(state: Sidecar, keep: int, entries: bytes) -> int:
    return zlib.crc32(b"%s %d %d " % (state.log_id, state.sequence, keep) + entries)
