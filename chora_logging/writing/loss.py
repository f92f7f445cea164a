"""Records what is gone with a live file that somebody has deleted or emptied.

Readers that had not come to it could not see it: the next file would follow the one before as if nothing had
been between them. So it becomes a generation in the record of the rotations, whose file is missing like a
backup that somebody has deleted. A writer notices it at its next record, or when it opens the log, because
the sidecar says which size the live file has had. What another tool has rotated is not gone: where there are
backups of one, or the live file still begins as it did, nothing is recorded.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from chora_logging import log_files
from chora_logging.log_files import FIRST_LINE_BYTES, HEAD_BYTES, NO_INODE, Live, Rotated, Sidecar
from chora_logging.writing.backups import Found
from chora_logging.writing.journal import Journal, open_journal

if TYPE_CHECKING:
    from chora_logging.writing.live_file import LiveFile

#: How many files that are gone stay in the record, at most, if the log is never rotated.
_MOST_GONE = 100

#: How long to wait for the sidecar before the log is emptied, in seconds.
_WAIT_SECONDS = 1.0


class Gone(NamedTuple):
    """A live file that has lost its content.

    Attributes:
        state: What the sidecar said when it was opened; None if there was none.
        inode: Its inode.
        size: How many bytes it has had at least.
        first_line: The CRC-32 of its first line; 0 if it is unknown.
        head: The digest of its first `HEAD_BYTES`; empty if it is unknown.
    """

    state: Sidecar | None
    inode: int
    size: int
    first_line: int = 0
    head: bytes = b""


def deleted(file: LiveFile) -> Gone | None:
    """Return what is gone with *file*, which its path does not name any more; None if it has another name."""
    try:
        status = os.fstat(file.fd)
    except OSError:  # other code has closed it just now
        return None
    if status.st_nlink or not status.st_size:
        return None
    gone = Gone(file.state, file.inode, status.st_size)
    with contextlib.suppress(OSError):  # this process may not read it
        head = os.pread(file.fd, HEAD_BYTES, 0)
        gone = gone._replace(first_line=log_files.first_line_checksum(head), head=log_files.digest(head))
    return gone


def emptied(file: LiveFile) -> Gone:
    """Return what is gone of *file*, which is shorter than this process has written it."""
    return Gone(file.state, file.inode, file.end)


def account(journal: Journal, status: os.stat_result, found: Found, gone: Gone | None) -> None:
    """Record what is *gone*, as far as nobody has yet, and which file is the live one; `write` writes it.

    Args:
        journal: The journal, of which no rotation is under way.
        status: The status of the live file, whose lock is held.
        found: The files of the log.
        gone: What this process has noticed.
    """
    known, state = journal.live, journal.state
    first_line = found.live.get(status.st_ino, 0)
    if gone is not None and (gone.state is None or gone.state[:2] != state[:2]):
        _enlarge(journal, gone)
        gone = None  # another process has recorded it, or has rotated and deleted the file
    if gone is None:
        gone = _not_noticed(journal, status, found)
    elif known is not None and known.inode == gone.inode:
        size, first = max(gone.size, known.size), gone.first_line or known.first_line
        gone = gone._replace(size=size, first_line=first)
    is_cut = gone is not None and 0 != first_line == gone.first_line
    if gone is not None and not is_cut and not found.foreign:
        generation = state.generation
        journal.record[generation] = Rotated(NO_INODE, gone.size, gone.first_line, gone.head)
        journal.state = state._replace(sequence=state.sequence + 2)
        for each in log_files.gone_in(journal.record)[_MOST_GONE:]:
            del journal.record[each]
    size = gone.size if gone is not None and is_cut and gone.inode == status.st_ino else 0
    journal.live = Live(status.st_ino, max(status.st_size, size), first_line)


def _enlarge(journal: Journal, gone: Gone) -> None:
    """Correct the size of what another writer has recorded, which has written to the file before this one."""
    if gone.state is not None and gone.state.log_id == journal.state.log_id:
        generation = gone.state.generation
        recorded = journal.record.get(generation)
        if recorded is not None and recorded.is_gone and recorded.size:
            journal.record[generation] = recorded._replace(size=max(recorded.size, gone.size))


def _not_noticed(journal: Journal, status: os.stat_result, found: Found) -> Gone | None:
    """Return what is gone since the sidecar was written last."""
    known = journal.live
    if known is None or not known.size:
        return None
    if known.inode == status.st_ino:
        is_gone = status.st_size < known.size
    else:  # else another tool may rotate the log into another folder
        is_gone = bool(journal.record) and all(backup.inode != known.inode for backup in found.backups)
    return Gone(journal.state, *known) if is_gone else None


def note(file: LiveFile, log: str, size: int, mode: int | None) -> None:
    """Record that the live file has had *size* bytes, if the sidecar is free; it costs no record if not."""
    if size <= 0 or file.state is None or file.is_shared or not (file.is_rotatable and file.is_open()):
        return
    if not os.path.exists(log_files.sidecar_path(log)):  # it is not made for this
        return
    with contextlib.suppress(OSError), open_journal(log, os.fstat(file.fd), mode, 0) as journal:
        if journal is None or journal.state.under_way:
            return
        live = journal.live
        if live is None or live.inode != file.inode or journal.state.log_id != file.state.log_id:
            return
        file.state = journal.state
        if size > live.size:
            first_line = live.first_line
            if not first_line:
                first_line = log_files.first_line_checksum(os.pread(file.fd, FIRST_LINE_BYTES, 0))
            journal.note(Live(file.inode, size, first_line))


def forget(log: str, *, backups: bool = False) -> None:
    """Record that this package itself is about to empty the live file of *log*, which is no loss.

    Args:
        log: The live file, symbolic links resolved.
        backups: Whether it deletes all backups that it has made, too.
    """
    with contextlib.suppress(OSError):
        like = os.stat(log_files.sidecar_path(log))
        with open_journal(log, like, None, _WAIT_SECONDS) as journal:
            if journal is None or journal.owned is None or journal.state.under_way:
                return
            generation = journal.state.generation
            if backups:
                journal.record, journal.kept_from = {}, generation + 1
            journal.record[generation] = Rotated(NO_INODE, 0, 0)
            journal.live = None
            state = journal.state._replace(sequence=journal.state.sequence + 2)
            journal.write(state, journal.owned, journal.keep)
