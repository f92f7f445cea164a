"""Rotates a log: renames `NAME.4` → `NAME.5` … `NAME.1` → `NAME.2`, `NAME` → `NAME.1`, makes a new `NAME`.

The caller holds the lock of the live file, so nobody writes to it meanwhile. Each step is recorded in the
journal before it is taken. If the process is killed, the next writer completes the rotation from the recorded
step; if a step fails, those before it are undone. The oldest backup is deleted last.

Only files that this package made are renamed and deleted. If any other file has the name of a backup,
another tool rotates the log, and it is not rotated here.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from chora_logging.errors import ForeignBackupsError, RotationBlockedError
from chora_logging.log_files import Live, Rotated, digest
from chora_logging.writing import adoption, loss, opening
from chora_logging.writing.backups import Backup, Found, NameOf, Owned, find_backups, identify
from chora_logging.writing.journal import Journal, Report, open_journal
from chora_logging.writing.loss import Gone
from chora_logging.writing.retention import Retention

#: How many files of another tool a message names.
_SHOWN_NAMES = 3

#: How many backups that are not found stay listed, at least.
_LISTED_ABSENT = 100

#: Moves the live file to the first backup's name.
RotateFile = Callable[[str, str], None]

#: The renames, of which the last may not be done: the number of the backup, 0 for the live file, its former
#: path, its new one.
_Moves = list[tuple[int, str, str]]


class Rollover(NamedTuple):
    """The rotation of one log.

    Attributes:
        log: The live file, symbolic links resolved.
        retention: Which backups to keep.
        name_of: Returns a backup's name for its default name (`RotatingFileHandler.rotation_filename`).
        rotate: Moves the live file to the first backup's name (`RotatingFileHandler.rotate`); None renames.
        mode: Permission bits of new files; None copies those of the rotated file.
        timeout: How long to wait for another rotation, in seconds.
        report: Called with a sentence if the log has to be rotated without a sidecar.
        max_bytes: The size at which the log is rotated; 0 if there is none.
        made: The backups after the last rotation of this process, which is to be remembered.
    """

    log: str
    retention: Retention
    name_of: NameOf
    rotate: RotateFile | None
    mode: int | None
    timeout: float
    report: Report | None = None
    max_bytes: int = 0
    made: dict[int, int] | None = None

    def run(self) -> None:
        """Rotate once, or complete an interrupted rotation if there is one.

        Raises:
            ForeignBackupsError: there are files that, as far as is known, this package did not make;
                nothing was changed.
            RotationBlockedError: something that is not a file has the name of a backup.
            RotationBusyError: another process has been rotating for longer than the timeout.
            Exception: a step failed, also in a namer or rotator; the steps before it were undone, or a
                later call completes the rotation.
        """
        status = os.stat(self.log)
        with open_journal(self.log, status, self.mode, self.timeout, self.report) as opened:
            journal = Journal(self.log, None) if opened is None else opened
            self._recover(journal, status)
            if journal.state.under_way:
                self._resume(journal, status)
                return
            found = self._find(journal)
            self._check(found)
            step = max(found.ours, default=0)
            with self._undone_on_failure(journal, found.owned, status) as moved:
                for inode, first_line in found.live.items():
                    size = _size_at_least(journal.live, inode, first_line, status)
                    journal.live = Live(inode, size, first_line)
                keep = self.retention.kept(found, status.st_size, self.max_bytes)
                journal.begin(status.st_ino, step, found.owned, keep)
                backups = self._move(journal, found, step, status, moved)
            self._finish(journal, keep, backups)

    def complete(self, gone: Gone | None = None) -> bool:
        """Complete the rotation of a killed process; return whether there was one.

        Else the sidecar is created if the log has none yet, with the backups that are there; and what is
        *gone* is recorded, and what the live file is now.

        Raises:
            Exception: as `run`.
        """
        status = os.stat(self.log)
        with open_journal(self.log, status, self.mode, 0) as journal:
            if journal is None:
                return False
            self._recover(journal, status)
            if journal.state.under_way:
                self._resume(journal, status)
                return True
            found = self._find(journal)
            loss.account(journal, status, found, gone)
            owned = found.owned if journal.owned is None else journal.owned
            journal.write(journal.state, owned)
            journal.unmark(status.st_ino, owned)
        return False

    def _find(self, journal: Journal, owned: Owned | None = None) -> Found:
        known = journal.owned if owned is None else owned
        found = find_backups(self.log, self.name_of, self.retention.backups, known or {})
        if known is not None:
            if found.foreign:
                found = found.if_owned(adoption.restore(found.backups, known, found.live))
            return found
        adopted = adoption.adopt(
            self.log,
            found.backups,
            self.max_bytes,
            generation=journal.generation,
            made=self.made,
            marked=journal.marked,
        )
        return found.if_owned(adopted)

    def _recover(self, journal: Journal, status: os.stat_result) -> None:
        """Go on with a rotation whose record is lost: the live file is marked, and a number is missing."""
        if journal.owned is not None or journal.state.under_way or journal.marked != status.st_ino:
            return
        found = self._find(journal)
        missing = next(number for number in itertools.count(1) if number not in found.ours)
        if missing <= max(found.ours, default=0) and not found.foreign:
            journal.begin(status.st_ino, missing - 1, found.owned, keep=0)

    def _check(self, found: Found) -> None:
        if found.blocked:
            raise RotationBlockedError(found.blocked[0], "it has the name of a backup but is not a file")
        if found.foreign:
            raise ForeignBackupsError(self.log, _foreign_reason(found.foreign))

    def _resume(self, journal: Journal, status: os.stat_result) -> None:
        found, state = self._find(journal), journal.state
        # A rotator of the user's own may have emptied the live file, which then has been rotated.
        is_in_place = state.inode == status.st_ino and (status.st_size > 0 or self.rotate is None)
        is_whole = journal.live is None or journal.live.size <= status.st_size
        if state.step == 0 and is_in_place and not is_whole:  # another tool has emptied it: it is not rotated
            listed = journal.owned or {}
            found = self._find(journal, {each: listed[each] for each in listed if each != state.inode})
        elif state.step == 0 and is_in_place:
            self._remove_product(found.owned, status)
            found = self._find(journal, found.owned)
        elif state.step == 0 and self.rotate is not None:  # else it was listed before it was renamed
            found = self._find(journal, {**found.owned, **identify(self._name(1))})
        try:
            self._check(found)
        except ForeignBackupsError:  # the other tool may have moved what is still to be moved
            journal.end(state.sequence + (-1 if is_in_place else 1), found.present())
            raise
        if is_in_place and not status.st_size:
            journal.end(state.sequence - 1, found.present())
            return
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
        generation = journal.state.sequence // 2
        for inode, first_line in found.live.items():
            size = _size_at_least(journal.live, inode, first_line, status)
            journal.record[generation] = Rotated(inode, size, first_line, digest(found.head))
        journal.write(journal.state._replace(step=0), {**found.owned, **found.live}, journal.keep)
        first, product = self._name(1), found.live
        if os.path.lexists(first) and first not in backups:  # where `App.log` is another name of `app.log`
            raise RotationBlockedError(first, "it is in the way of a backup")
        moved.append((0, self.log, first))
        if self.rotate is None:
            with contextlib.suppress(FileNotFoundError):  # as `RotatingFileHandler.rotate`
                os.rename(self.log, first)
        else:
            self.rotate(self.log, first)
            product = identify(first)
            if product != found.live:  # what it has made of the lines is unknown
                journal.record[generation] = Rotated(next(iter(product), 0), None if product else 0, 0)
        try:
            opening.create_like(self.log, status, self.mode)
        except BaseException:
            with contextlib.suppress(OSError):
                self._put_back(first, status)
            raise
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

    def _put_back(self, first: str, status: os.stat_result) -> None:
        """Give the file at *first* the log's name again, if it was the log and nothing else has the name."""
        if not os.path.samestat(os.lstat(first), status):
            return
        try:
            os.link(first, self.log)
        except FileExistsError:
            return
        except OSError:  # a file system without links
            if not os.path.lexists(self.log):
                os.rename(first, self.log)
        else:
            os.unlink(first)

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
        """Delete what a rotator that failed, or was killed, has made of a live file that is still whole.

        A rename makes nothing but a second name of the live file, in `_put_back`. Anything else is another
        tool's then.
        """
        path = self._name(1)
        for inode in identify(path):
            if inode == status.st_ino or (self.rotate is not None and inode not in owned):
                os.unlink(path)

    def _finish(self, journal: Journal, keep: int, backups: list[Backup]) -> None:
        """Delete the surplus backups and end the rotation; *keep* is 0 if their number is unknown.

        Some backups that are not found stay listed: another process may have another namer.
        """
        found = {backup.inode: backup.first_line for backup in backups}
        absent = [
            (inode, line) for inode, line in (journal.owned or {}).items() if line and inode not in found
        ]
        kept = {**dict(absent[-max(keep, _LISTED_ABSENT) :]), **found}
        for backup in backups:
            if 0 < keep < backup.number:
                with contextlib.suppress(OSError):  # the next rotation tries again
                    os.unlink(backup.path)
                    kept.pop(backup.inode, None)
        with contextlib.suppress(OSError):
            journal.live = Live(os.stat(self.log).st_ino)
        if self._name(1) != f"{self.log}.1":  # where readers that do not know the namer find no backup
            journal.kept_from = journal.state.sequence // 2 + 1
        journal.end(journal.state.sequence + 1, kept)
        if self.made is not None:
            self.made.clear()
            self.made.update(kept)

    def _name(self, number: int) -> str:
        return self.name_of(f"{self.log}.{number}")


def _size_at_least(live: Live | None, inode: int, first_line: int, status: os.stat_result) -> int:
    """Return the size that the live file has had: more than it has if it was cut."""
    if live is not None and live[::2] == (inode, first_line):
        return max(status.st_size, live.size)
    return status.st_size


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
        "another tool rotates this log, or its files were restored, or its sidecar was lost, because as far "
        f"as is known this package did not make {shown}. Leave the rotation to the other tool by "
        "backupCount=0, or maxBytes=0 without when (in the environment CHORA_EVENTS_MAX_BYTES=0, "
        "ORCH_LOG_MAX_BYTES=0 or LOG_MAX_BYTES=0), or stop it if there is one and move these files away"
    )
