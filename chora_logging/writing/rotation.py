"""Rotates a log: renames `NAME.4` → `NAME.5` … `NAME.1` → `NAME.2`, `NAME` → `NAME.1`, makes a new `NAME`.

The caller holds the lock of the live file, so nobody writes to it meanwhile. Each step is recorded
in the sidecar before it is taken. If the process is killed, the next writer completes the rotation
from the recorded step; if a step fails, those before it are undone. The oldest backup is deleted last.
During a rotation the live file has a second name, `.NAME.rotating`. Every writer checks the link count
of the live file (then 2), so the next record notices an unfinished rotation.

Only files that this package made are renamed and deleted. If any other file has the name of a backup,
another tool rotates the log, and it is not rotated here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from chora_logging.errors import ForeignBackupsError, RotationBlockedError
from chora_logging.writing import opening
from chora_logging.writing.backups import Backup, Found, Owned, find_backups, identify
from chora_logging.writing.journal import Journal, Report, open_journal

#: How many files of another tool a message names.
_SHOWN_NAMES = 3

#: The renames, of which the last may not be done: the number of the backup, 0 for the live file, its former
#: path, its new one.
_Moves = list[tuple[int, str, str]]


def is_due(size: int, line_length: int, max_bytes: int) -> bool:
    """Return whether to rotate a file of *size* bytes before a line of *line_length* bytes is added.

    The rule is that of `RotatingFileHandler`, in bytes: a backup stays below *max_bytes*. An empty
    file is never rotated (gh-116263), so a line longer than the limit gets a file of its own.
    """
    return size > 0 and 0 < max_bytes <= size + line_length


class Rollover:
    """The rotation of one log.

    Args:
        log: The live file, symbolic links resolved.
        count: How many backups to keep, at least 1.
        name_of: Returns a backup's name for its default name (`RotatingFileHandler.rotation_filename`).
        rotate: Moves the live file to the first backup's name (`RotatingFileHandler.rotate`).
        mode: Permission bits of new files; None copies those of the rotated file.
        timeout: How long to wait for another rotation, in seconds.
        report: Called with a sentence if the log has to be rotated without a sidecar.
    """

    def __init__(
        self,
        log: str,
        count: int,
        *,
        name_of: Callable[[str], str],
        rotate: Callable[[str, str], None],
        mode: int | None,
        timeout: float,
        report: Report | None = None,
    ) -> None:
        self.log = log
        self.count = count
        self._name_of = name_of
        self._rotate = rotate
        self._mode = mode
        self._timeout = timeout
        self._report = report

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
        with open_journal(self.log, status, self._mode, self._timeout, self._report) as journal:
            if journal is not None and journal.state.under_way:
                self._resume(journal, status)
                return
            found = find_backups(self.log, self._name_of, self.count)
            owned = _owned(journal, found)
            self._check(found, owned)
            ours = found.by_number(owned)
            step = max(ours, default=0)
            with self._undone_on_failure(journal, owned, status) as moved:
                if journal is not None:
                    self._begin(journal, step, owned, status)
                owned = self._move(journal, ours, step, owned, status, moved)
            self._finish(journal, self.count, owned)

    def complete(self) -> bool:
        """Complete the rotation of a killed process; return whether there was one.

        The sidecar is created if the log has none yet, and lists the backups that are there.

        Raises:
            Exception: as `run`.
        """
        status = os.stat(self.log)
        with open_journal(self.log, status, self._mode, 0, self._report) as journal:
            if journal is None:
                return False
            if journal.state.under_way:
                self._resume(journal, status)
                return True
            owned = journal.owned
            if owned is None:
                owned = _owned(journal, find_backups(self.log, self._name_of, self.count))
                journal.write(journal.state, owned)
            self._unmark(status.st_ino, owned)
        return False

    def _check(self, found: Found, owned: Owned) -> None:
        if found.blocked:
            raise RotationBlockedError(found.blocked[0], "it has the name of a backup but is not a file")
        if foreign := found.foreign(owned):
            raise ForeignBackupsError(self.log, _foreign_reason(foreign))

    def _begin(self, journal: Journal, step: int, owned: Owned, status: os.stat_result) -> None:
        state = journal.state
        state = state._replace(sequence=state.sequence + 1, inode=status.st_ino, step=step)
        journal.write(state, owned, self.count)
        self._unmark(status.st_ino, owned)
        with contextlib.suppress(OSError):
            os.link(self.log, self._mark())

    def _resume(self, journal: Journal, status: os.stat_result) -> None:
        found = find_backups(self.log, self._name_of, self.count)
        owned, state = _owned(journal, found), journal.state
        is_in_place = state.inode == status.st_ino and status.st_size > 0
        if state.step == 0 and is_in_place:
            self._remove_product(owned, status)
            found = find_backups(self.log, self._name_of, self.count)
        elif state.step == 0:
            owned = {**owned, **identify(self._name(1))}
        try:
            self._check(found, owned)
        except ForeignBackupsError:  # the other tool may have moved what is still to be moved
            self._end(journal, state.sequence + (-1 if is_in_place else 1), found.present(owned))
            raise
        if is_in_place:
            ours = found.by_number(owned)
            step = state.step
            while journal.owned is None and step in ours and step + 1 in ours:
                step += 1  # the journal of an older version, which deleted the oldest backup first
            with self._undone_on_failure(journal, owned, status) as moved:
                owned = self._move(journal, ours, step, owned, status, moved)
        self._finish(journal, journal.keep, owned)

    def _move(
        self,
        journal: Journal | None,
        ours: dict[int, list[Backup]],
        step: int,
        owned: Owned,
        status: os.stat_result,
        moved: _Moves,
    ) -> Owned:
        """Move the backups with numbers up to *step* and the live file; return which backups are ours."""
        for number in sorted((number for number in ours if number <= step), reverse=True):
            if journal is not None:
                journal.write(journal.state._replace(step=number))
            self._shift(number, ours[number], moved)
        owned = {**owned, **identify(self.log)}
        if journal is not None:
            journal.write(journal.state._replace(step=0), owned, journal.keep)
        moved.append((0, self.log, self._name(1)))
        self._rotate(self.log, self._name(1))
        opening.create(self.log, opening.permissions(status, self._mode), status)
        return {**owned, **identify(self._name(1))}

    def _shift(self, number: int, backups: list[Backup], moved: _Moves) -> None:
        is_plain = any(not backup.suffix for backup in backups)
        for backup in backups:
            if backup.suffix and is_plain:  # an interrupted compression
                os.unlink(backup.path)
                continue
            target = self._name(number + 1) + backup.suffix
            if target == backup.path:  # a namer that ignores the number
                continue
            if os.path.lexists(target):
                raise RotationBlockedError(target, "it is in the way of a backup")
            moved.append((number, backup.path, target))  # before: a signal handler may raise after it
            os.rename(backup.path, target)

    @contextlib.contextmanager
    def _undone_on_failure(
        self, journal: Journal | None, owned: Owned, status: os.stat_result
    ) -> Iterator[_Moves]:
        """Undo the moves that the block has noted if it fails, unless the live file has been moved."""
        state, keep = (None, 0) if journal is None else (journal.state, journal.keep)
        moved: _Moves = []
        try:
            yield moved
        except BaseException:
            with contextlib.suppress(OSError):  # what cannot be undone is completed by a later call
                if _is_unchanged(self.log, status):
                    self._undo(journal, owned, status, moved)
                    if journal is not None and state is not None:
                        self._unmark(status.st_ino, owned)
                        journal.write(state, owned, keep)
            raise

    def _undo(self, journal: Journal | None, owned: Owned, status: os.stat_result, moved: _Moves) -> None:
        for number, source, target in reversed(moved):
            if not number:
                self._remove_product(owned, status)
                continue
            if journal is not None:
                journal.write(journal.state._replace(step=number))
            if not os.path.lexists(source):  # else the move was not made
                os.rename(target, source)

    def _remove_product(self, owned: Owned, status: os.stat_result) -> None:
        """Delete what a rotator that failed, or was killed, has made of a live file that is still whole."""
        path = self._name(1)
        for inode in identify(path):
            if inode not in owned or inode == status.st_ino:
                os.unlink(path)

    def _finish(self, journal: Journal | None, keep: int, owned: Owned) -> None:
        """Delete the surplus backups and end the rotation; *keep* is 0 if their number is unknown."""
        found = find_backups(self.log, self._name_of, self.count)
        kept = found.present(owned)
        for backup in found.backups:
            if 0 < keep < backup.number and backup.is_in(owned):
                with contextlib.suppress(OSError):  # the next rotation tries again
                    os.unlink(backup.path)
                    kept.pop(backup.inode, None)
        if journal is not None:
            self._end(journal, journal.state.sequence + 1, kept)

    def _end(self, journal: Journal, sequence: int, owned: Owned) -> None:
        self._unmark(journal.state.inode, owned)
        journal.write(journal.state._replace(sequence=sequence, inode=0, step=0), owned)

    def _mark(self) -> str:
        folder, name = os.path.split(self.log)
        return os.path.join(folder, f".{name}.rotating")

    def _unmark(self, inode: int, owned: Owned) -> None:
        """Delete the second name of the live file, which has *inode* or was rotated, and no other file."""
        with contextlib.suppress(OSError):
            for marked in identify(self._mark()):
                if marked == inode or marked in owned:
                    os.unlink(self._mark())

    def _name(self, number: int) -> str:
        return self._name_of(f"{self.log}.{number}")


def _owned(journal: Journal | None, found: Found) -> Owned:
    if journal is None or journal.is_copy:
        return found.adopted(0)
    if journal.owned is None:
        return found.adopted(journal.state.generation + journal.state.under_way)
    return journal.owned


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
