"""One rotation: the renames `NAME.4` → `NAME.5` … `NAME.1` → `NAME.2`, `NAME` → `NAME.1`, and a new `NAME`.

Whoever calls holds the lock of the live file, so nobody writes to it meanwhile. Each step is noted
in the sidecar before it is taken; a rotation whose process was killed is completed by the next
writer from the step where it stopped. While it lasts the live file has a second name,
`.NAME.rotating`: any writer's look at the live file shows it (link count 2), so that a rotation
that was left half-done is noticed by the very next record.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import weakref
from collections.abc import Callable, Iterable, Iterator

from chora_logging import log_files
from chora_logging.errors import RotationBlockedError, RotationBusyError
from chora_logging.writing import live_file, locking


def is_due(size: int, line_length: int, max_bytes: int) -> bool:
    """Whether a file of *size* bytes is rotated before a line of *line_length* bytes is added.

    The rule is `RotatingFileHandler`'s, in bytes: a backup stays below *max_bytes*. An empty file
    is never rotated (gh-116263), so a line that is longer than the limit has a file for itself.
    """
    return size > 0 and 0 < max_bytes <= size + line_length


class Rollover:
    """The rotation of one log.

    Args:
        log: The live file, symbolic links resolved.
        count: How many backups are kept, at least 1.
        name_of: Gives a backup's name from its default name (`RotatingFileHandler.rotation_filename`).
        rotate: Moves the live file to the first backup's name (`RotatingFileHandler.rotate`).
        mode: Permission bits of new files; None for those of the file before.
        timeout: How long another rotation is waited for, in seconds.
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
    ) -> None:
        self.log = log
        self.count = count
        self._name_of = name_of
        self._rotate = rotate
        self._mode = mode
        self._timeout = timeout

    def run(self) -> None:
        """Rotate once; complete an interrupted rotation instead if there is one.

        Raises:
            OSError: a rename failed; what is left is completed by a later call.
            RotationBlockedError: something that is not a backup has a backup's name.
            RotationBusyError: another process is rotating for longer than the timeout.
        """
        status = os.stat(self.log)
        with open_journal(self.log, status, self._mode, self._timeout) as journal:
            if journal is None or not journal.state.under_way:
                self._begin(journal, status)
                self._move(journal, self.count - 1, status)
            else:
                self._resume(journal, status)
        self._delete_surplus()

    def complete(self) -> bool:
        """Complete a rotation whose process was killed; whether there was one.

        The sidecar is made if the log has none yet.

        Raises:
            OSError, RotationBlockedError, RotationBusyError: as `run`.
        """
        status = os.stat(self.log)
        with open_journal(self.log, status, self._mode, timeout=0) as journal:
            if journal is None:
                return False
            if not journal.state.under_way:
                _unmark(self.log)
                return False
            self._resume(journal, status)
        return True

    def _begin(self, journal: Journal | None, status: os.stat_result) -> None:
        if journal is None:
            return
        state = journal.state
        journal.write(
            state._replace(sequence=state.sequence + 1, inode=status.st_ino, step=max(self.count - 1, 0))
        )
        _mark(self.log)

    def _resume(self, journal: Journal, status: os.stat_result) -> None:
        if journal.state.inode == status.st_ino and status.st_size:
            self._move(journal, journal.state.step, status)
        else:
            self._end(journal)

    def _move(self, journal: Journal | None, step: int, status: os.stat_result) -> None:
        for number in self._present(step):
            if journal is not None:
                journal.write(journal.state._replace(step=number))
            self._shift(number)
        if journal is not None:
            journal.write(journal.state._replace(step=0))
        if self.count == 1 or step == 0:
            self._clear(1)
        self._rotate(self.log, self._name(1))
        live_file.create(self.log, live_file.permissions(status, self._mode), status)
        self._end(journal)

    def _end(self, journal: Journal | None) -> None:
        _unmark(self.log)
        if journal is not None:
            state = journal.state
            journal.write(state._replace(sequence=state.sequence + 1, inode=0, step=0))

    def _present(self, highest: int) -> Iterable[int]:
        """The numbers up to *highest* that may have a backup, highest first."""
        if self._name(1) != f"{self.log}.1":
            return range(highest, 0, -1)
        folder, name = os.path.split(self.log)
        numbers = {log_files.backup_number(filename, name) or 0 for filename in os.listdir(folder)}
        return sorted((number for number in numbers if 0 < number <= highest), reverse=True)

    def _shift(self, number: int) -> None:
        pairs = zip(self._variants(number), self._variants(number + 1), strict=True)
        moves = [(source, target) for source, target in pairs if _is_backup(source)]
        if len(moves) == 2:  # an interrupted compression: readers would find the one here and the other there
            os.unlink(moves.pop()[0])
        if moves and number + 1 >= self.count:
            self._clear(number + 1)
        for source, target in moves:
            os.replace(source, target)

    def _clear(self, number: int) -> None:
        for path in self._variants(number):
            if _is_backup(path):
                os.unlink(path)

    def _delete_surplus(self) -> None:
        folder, name = os.path.split(self.log)
        for filename in _surplus(os.listdir(folder), name, self.count):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, filename))

    def _name(self, number: int) -> str:
        return self._name_of(f"{self.log}.{number}")

    def _variants(self, number: int) -> tuple[str, str]:
        name = self._name(number)
        return name, name + log_files.COMPRESSED


class Journal:
    """An open, locked sidecar."""

    def __init__(self, fd: int, state: log_files.Sidecar) -> None:
        self._fd = fd
        self.state = state

    def write(self, state: log_files.Sidecar) -> None:
        """Note *state*."""
        os.pwrite(self._fd, log_files.pack_sidecar(state), 0)
        self.state = state


@contextlib.contextmanager
def open_journal(
    log: str, like: os.stat_result, mode: int | None, timeout: float
) -> Iterator[Journal | None]:
    """The sidecar of *log*, made when it is missing, locked while the block runs.

    It gets the permissions *mode* (None: those of *like*) and the owner of *like*, so that everybody
    who may write the log may rotate it. None comes where this process may not write it: the rotation
    is then not completed by others if it is interrupted, and readers know files by their content.

    Raises:
        RotationBusyError: another process holds it for longer than *timeout* seconds.
        OSError: it cannot be opened for another reason than permissions.
    """
    path = log_files.sidecar_path(log)
    file = _open_sidecar(path, live_file.permissions(like, mode), like)
    if file is None:
        yield None
        return
    reference = weakref.ref(file)
    _open_journals.add(reference)
    try:
        fd = file.fileno()
        if not locking.lock(fd, timeout):
            raise RotationBusyError(path, "another process is rotating this log")
        state = log_files.parse_sidecar(os.pread(fd, log_files.SIDECAR_BYTES, 0))
        journal = Journal(fd, state or log_files.new_sidecar())
        if state is None:
            journal.write(journal.state)
        yield journal
    finally:
        with contextlib.suppress(OSError):
            locking.unlock(file.fileno())  # a child that was forked meanwhile may have the descriptor too
        _open_journals.discard(reference)
        file.close()


#: The sidecars that are open: a forked child closes them, else its parent's lock would outlive the
#: parent. What a signal handler's exception keeps from being closed, nobody has: it closes itself.
_open_journals: set[weakref.ref[io.FileIO]] = set()


def _close_journals_after_fork() -> None:
    while _open_journals:
        file = _open_journals.pop()()
        if file is not None:
            file.close()


os.register_at_fork(after_in_child=_close_journals_after_fork)


def _open_sidecar(path: str, mode: int, like: os.stat_result) -> io.FileIO | None:
    try:
        if not os.path.exists(path):
            live_file.create(path, mode, like)
        file = io.FileIO(path, "r+", opener=lambda name, flags: os.open(name, flags))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return None
        raise
    if live_file.permissions(os.fstat(file.fileno())) != mode:
        with contextlib.suppress(PermissionError):
            os.fchmod(file.fileno(), mode)
    return file


def _surplus(filenames: Iterable[str], log: str, backup_count: int) -> list[str]:
    """Those of *filenames* that are backups of *log* with a number beyond *backup_count*.

    They come from an older, larger setting. The standard library leaves them forever.
    """
    return [name for name in filenames if (log_files.backup_number(name, log) or 0) > backup_count]


def _is_backup(path: str) -> bool:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        raise RotationBlockedError(path, "it is not a file, and stands where a backup belongs")
    return True


def _mark_of(log: str) -> str:
    folder, name = os.path.split(log)
    return os.path.join(folder, f".{name}.rotating")


def _mark(log: str) -> None:
    _unmark(log)
    with contextlib.suppress(OSError):
        os.link(log, _mark_of(log))


def _unmark(log: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(_mark_of(log))
