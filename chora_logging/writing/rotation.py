"""Rotates a log: renames `NAME.4` → `NAME.5` … `NAME.1` → `NAME.2`, `NAME` → `NAME.1`, makes a new `NAME`.

The caller holds the lock of the live file, so nobody writes to it meanwhile. Each step is recorded
in the sidecar before it is taken. If the process is killed, the next writer completes the rotation
from the recorded step. During a rotation the live file has a second name, `.NAME.rotating`. Every
writer checks the link count of the live file (then 2), so the next record notices an unfinished
rotation.
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
from chora_logging.writing import locking, opening


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
        """Rotate once, or complete an interrupted rotation if there is one.

        Raises:
            OSError: a rename failed; a later call completes the rotation.
            RotationBlockedError: something that is not a backup has the name of one.
            RotationBusyError: another process has been rotating for longer than the timeout.
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
        """Complete the rotation of a killed process; return whether there was one.

        The sidecar is created if the log has none yet.

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
        opening.create(self.log, opening.permissions(status, self._mode), status)
        self._end(journal)

    def _end(self, journal: Journal | None) -> None:
        _unmark(self.log)
        if journal is not None:
            state = journal.state
            journal.write(state._replace(sequence=state.sequence + 1, inode=0, step=0))

    def _present(self, highest: int) -> Iterable[int]:
        """Return the numbers up to *highest* that may have a backup, highest first."""
        if self._name(1) != f"{self.log}.1":
            return range(highest, 0, -1)
        folder, name = os.path.split(self.log)
        numbers = {log_files.backup_number(filename, name) or 0 for filename in os.listdir(folder)}
        return sorted((number for number in numbers if 0 < number <= highest), reverse=True)

    def _shift(self, number: int) -> None:
        pairs = zip(self._variants(number), self._variants(number + 1), strict=True)
        moves = [(source, target) for source, target in pairs if _is_backup(source)]
        if len(moves) == 2:  # an interrupted compression: readers could see two numbers for one backup
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
        """Write *state* to the sidecar."""
        os.pwrite(self._fd, log_files.pack_sidecar(state), 0)
        self.state = state


@contextlib.contextmanager
def open_journal(
    log: str, like: os.stat_result, mode: int | None, timeout: float
) -> Iterator[Journal | None]:
    """Open the sidecar of *log*, created if it is missing, and lock it while the block runs.

    It gets the permissions *mode* (None: those of *like*) and the owner of *like*, so that everyone
    who may write the log may rotate it. Yields None if this process may not write the sidecar: nobody
    can complete the rotation if it is interrupted, and readers identify files by their content.

    Raises:
        RotationBusyError: another process holds its lock for longer than *timeout* seconds.
        OSError: it cannot be opened for a reason other than permissions.
    """
    path = log_files.sidecar_path(log)
    file = _open_sidecar(path, opening.permissions(like, mode), like)
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
            locking.unlock(file.fileno())  # closing is not enough: a forked child may share it
        _open_journals.discard(reference)
        file.close()


#: The open sidecars. A forked child closes them, otherwise the parent's lock would outlive the parent.
#: Weak references: a sidecar that a signal handler's exception left open is closed with its last one.
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
            opening.create(path, mode, like)
        file = io.FileIO(path, "r+", opener=lambda name, flags: os.open(name, flags))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return None
        raise
    if opening.permissions(os.fstat(file.fileno())) != mode:
        with contextlib.suppress(PermissionError):
            os.fchmod(file.fileno(), mode)
    return file


def _surplus(filenames: Iterable[str], log: str, backup_count: int) -> list[str]:
    """Return those of *filenames* that are backups of *log* with a number beyond *backup_count*.

    They come from an earlier, larger setting. The standard library leaves them forever.
    """
    return [name for name in filenames if (log_files.backup_number(name, log) or 0) > backup_count]


def _is_backup(path: str) -> bool:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        raise RotationBlockedError(path, "it has the name of a backup but is not a file")
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
