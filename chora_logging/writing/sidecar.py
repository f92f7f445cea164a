"""Opens and locks the sidecar of a log for its writers.

Whoever may write to the log's folder can put anything in the sidecar's place. What is not a sidecar is
left as it is, and the log is rotated without one.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable, Iterator

from chora_logging import log_files
from chora_logging.errors import RotationBusyError
from chora_logging.log_files import LARGEST_SIDECAR_BYTES, SIDECAR_BYTES
from chora_logging.writing import locking, opening

#: How often a sidecar is created that somebody deletes before it is opened.
_ATTEMPTS = 10

#: Called with what is wrong with a sidecar.
Report = Callable[[str], None]


@contextlib.contextmanager
def open_sidecar(
    log: str, like: os.stat_result, mode: int, timeout: float, report: Report | None
) -> Iterator[io.FileIO | None]:
    """Open the sidecar of *log*, created if it is missing, and lock it while the block runs.

    It gets the permissions *mode* and the owner of *like*. Yields None if this process may not write it,
    or something else has its name, which *report* is called with.

    Raises:
        RotationBusyError: another process holds its lock for longer than *timeout* seconds.
        OSError: it cannot be opened for a reason other than permissions.
    """
    file = _open(log, mode, like, report)
    if file is None:
        yield None
        return
    with locked(file, timeout):
        yield file


@contextlib.contextmanager
def locked(file: io.FileIO, timeout: float) -> Iterator[None]:
    """Lock *file* while the block runs, and close it; a child that is forked meanwhile closes it, too.

    Raises:
        RotationBusyError: another process holds its lock for longer than *timeout* seconds.
    """
    fd = file.fileno()
    with opening.closed_in_children(file):
        try:
            if not locking.lock(fd, timeout):
                raise RotationBusyError(file.name, "another process is rotating this log")
            yield
        finally:
            try:  # noqa: SIM105  # as in `LiveFile.append_fast`
                locking.flock(fd, locking.UNLOCK)  # closing is not enough: a forked child may share it
            except OSError:
                pass


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
    return is_new or beginning.startswith(log_files.SIDECAR_MAGIC)
