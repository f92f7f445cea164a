"""Follows a log: its stored events, then new ones, with any writers and any rotation tool."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from chora_logging import log_files
from chora_logging.eventlog.events import Block, Event, Gap, Skipped
from chora_logging.eventlog.lines import events_in
from chora_logging.eventlog.reading import end_of_lines
from chora_logging.eventlog.rotated import cursor, locating
from chora_logging.eventlog.rotated.cursor import END, Checkpoint, checkpoint_of
from chora_logging.eventlog.rotated.file import LogFile, Replaced
from chora_logging.eventlog.rotated.file_order import FileOrder, first_filled
from chora_logging.eventlog.rotated.file_set import Namer, close_all, is_live, open_at, open_set
from chora_logging.eventlog.rotated.files_ahead import FilesAhead, closed_if_moved
from chora_logging.eventlog.rotated.late_lines import LateLines
from chora_logging.eventlog.rotated.plain import CHUNK, Moved
from chora_logging.eventlog.selection import Selection
from chora_logging.log_files import real_path

#: How long a rotated file is still read, in seconds since the rotation or its last line, because
#: writers may still have it open. The second value is for our handler, which checks the path before
#: each record.
SETTLING_SECONDS, OUR_SETTLING_SECONDS = 1.0, 0.25

#: How many checks of an apparently unchanged file pass before it is read all the same.
_CHECKS_PER_READ = 32

#: The longest distance that `read_to` covers, in bytes.
_NEARBY_BYTES = 64 * 1024


class Follower:
    """Reads the events of a log from a position on; each poll returns the next ones.

    The follower holds the current file open. After a rotation it reads that file to its end, then the
    files that came after it, in order. Lines that somebody adds to a rotated file later are returned when
    nothing else is new, with the cursor of the newest event. It waits for a missing or deleted log, and
    starts over with one that was truncated or re-created. A `Gap` reports where events may be missing.

    Args:
        path: The live file; it need not exist yet.
        after: A cursor, the checkpoint of another follower, `"end"` for events written from now on, or
            None for all events.
        selection: The filter.
        on_skip: Called with each line that is neither blank nor an event.
        namer: The namer of the handler that makes the backups, if it has one.

    Raises:
        CursorError: *after* is not a cursor.

    Thread safe; `close` it, or use it in a `with`.
    """

    def __init__(
        self,
        path: str,
        *,
        after: str | Checkpoint | None = None,
        selection: Selection | None = None,
        on_skip: Callable[[Skipped], None] | None = None,
        namer: Namer | None = None,
    ) -> None:
        self.path: str = real_path(os.path.abspath(path))
        self.skipped: int = 0
        self.bytes_read: int = 0
        self._selection = selection or Selection()
        self._on_skip = on_skip
        self._namer = namer
        self._lock = threading.Lock()
        self._file: LogFile | None = None
        self._gap: Gap | None = None
        self._order = FileOrder()
        self._late = LateLines(partial(open_set, self.path, follow=True, namer=namer))
        self._ahead = FilesAhead(self.path)
        self._closed = False
        self._is_copy = False  # nobody writes to a copy
        self._still_since: float | None = None  # since when the rotated file has not grown
        self._last_state: tuple[int, ...] = ()  # of the live file at the last poll
        self._checks = 0
        self._idle: tuple[int, ...] | None = None
        self._last_checkpoint = checkpoint_of(after)
        self._position, self._reported = self._last_checkpoint
        is_new = after == END
        while is_new:
            with contextlib.suppress(Moved):
                self._begin_at_end()
                is_new = False

    def poll_items(self) -> list[Event | Gap] | None:
        """Return the next events and gaps, at most one block; None if there is nothing new.

        Raises:
            OSError: the live file exists and cannot be opened.
        """
        with self._lock:
            found = self._poll()
            if found is None:
                return None
            items: list[Event | Gap] = []
            for item in found:
                items += [item] if isinstance(item, Gap) else self._events(item)
            return items

    def has_news(self) -> bool:
        """Return whether to poll: False if the live file has not changed since a poll without news.

        It is True now and then all the same, because a file that is rewritten with the same size in
        the same clock tick looks unchanged.
        """
        self._checks += 1
        return self._checks % _CHECKS_PER_READ == 0 or self._idle is None or self._stat() != self._idle

    def is_at_end(self) -> bool:
        """Return whether the last poll found nothing new, and nothing is awaited from a rotated file."""
        return self._idle is not None

    def poll(self) -> list[dict[str, Any]] | None:
        """Return the next events without the gaps; None if there is nothing new."""
        items = self.poll_items()
        return None if items is None else [item for item in items if isinstance(item, Event)]

    def checkpoint(self) -> Checkpoint:
        """Return the state from which another follower can continue."""
        with self._lock:
            if self._file is None:
                return Checkpoint(self._position, self._reported)
            # At offset 0 there is no content yet by which to recognise the file.
            return Checkpoint(self._file.position()) if self._file.offset else self._last_checkpoint

    def is_level_with(self, other: Follower) -> bool:
        """Return whether both are at the same position of the same file, so that they read the same.

        Neither may be polled meanwhile. The same holds for `read_to`.
        """
        mine, theirs = self._file, other._file
        if mine is None or theirs is None:
            return mine is theirs and (self._position, self._reported) == (other._position, other._reported)
        same = mine.place.identity == theirs.place.identity
        return same and (mine.offset, mine.tail, mine.older) == (theirs.offset, theirs.tail, theirs.older)

    def read_to(self, other: Follower) -> list[Event | Gap]:
        """Return the events up to the position of *other*, if that is a little ahead in the same file."""
        mine, theirs = self._file, other._file
        if mine is None or theirs is None or mine.place.identity != theirs.place.identity:
            return []
        if not 0 < theirs.offset - mine.offset <= _NEARBY_BYTES:
            return []
        try:
            block = mine.read_block(theirs.offset)
        except Replaced:  # the next poll handles it
            return []
        return [] if block is None else self._events(block)

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
            self._file = None
            self._ahead.close()
            self._late.close()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def after_fork(self) -> None:
        """Replace the lock in a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()

    def _poll(self) -> list[Block | Gap] | None:
        state = self._stat()
        block = None
        with contextlib.suppress(Moved):  # while it was looked at: the next poll finds it
            block = None if self._closed else self._next_block()
        late = None if block is not None or self._closed else self._next_late_block()
        gap, self._gap = self._gap, None
        is_idle = block is None and late is None and self._still_since is None
        self._idle = state if is_idle else None
        self._last_state = state
        found: list[Block | Gap] = [] if gap is None else [gap]
        if block is not None:
            found.append(block)
        elif late is not None:
            found.append(self._late_block(*late))
        return found or None

    def _events(self, block: Block) -> list[Event | Gap]:
        self.bytes_read += block.size
        events = events_in(block, self._selection, self._skip)
        return [event.at(block.late) for event in events] if block.late else list(events)

    def _next_late_block(self) -> tuple[LogFile, Block] | None:
        # As seldom as an unchanged live file is read.
        return self._late.next_block(look=self._checks % _CHECKS_PER_READ == 0)

    def _late_block(self, file: LogFile, block: Block) -> Block:
        """Return *block*, which was added to *file* after a newer one had been read.

        Its cursor is that of the newest event, so that nothing is repeated after it.
        """
        # Else a cursor would pass over the lines that follow in *file*.
        if self._file is not None and b"\n" not in file.peek(CHUNK, file.offset):
            self._file.older = max(self._file.older or 0, file.time())
        newest = self._newest_position()
        if newest is None or (newest.inode, newest.offset) == (file.place.inode & 0xFFFFFFFF, block.start):
            self._last_checkpoint = Checkpoint(file.position())
            return block
        return block._replace(late=cursor.encode(newest))

    def _newest_position(self) -> cursor.Position | None:
        if self._file is not None and self._file.offset:
            return self._file.position()
        return self._position or self._last_checkpoint.position

    def _stat(self) -> tuple[int, ...]:
        try:
            status = os.stat(self.path)
        except OSError:
            return ()
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _skip(self, skipped: Skipped) -> None:
        self.skipped += 1
        if self._on_skip is not None:
            self._on_skip(skipped)

    def _next_block(self) -> Block | None:
        while self._file is not None or self._begin():
            file = self._file
            assert file is not None
            # Checked before reading to the end, so that all lines written before the rotation are read.
            moved = not is_live(self.path, file)
            try:
                block = file.read_block()
            except Replaced:
                self._recover(file)
                continue
            if block is not None:
                self._still_since = None
                return block
            if not moved or not self._go_on(file):
                return None
        return None

    def _begin(self) -> bool:
        """Open the file to begin with; return whether there is one that is not empty."""
        index: int | None = 0
        if self._position is None:
            files = self._open()
        else:
            self._ahead.close()
            self._ahead = FilesAhead(self.path)
            files, index, gap = open_at(
                self.path,
                self._position,
                follow=True,
                namer=self._namer,
                locate=self._order.locate,
            )
            if gap is not None and not self._reported:
                self._gap, self._reported = gap, True
        with closed_if_moved(files):
            index = first_filled(files, index)
            if index is None:
                close_all(files)
                return False
            self._note(files, index)
        self._last_checkpoint = Checkpoint(self._position, self._reported)
        self._position, self._reported = None, False
        self._hold(files, index)
        return True

    def _open(self) -> list[LogFile]:
        self._ahead.close()
        self._ahead = FilesAhead(self.path)
        return open_set(self.path, follow=True, namer=self._namer)

    def _note(self, files: list[LogFile], index: int) -> None:
        """Open the file at *index*, and note those before it: all that can fail before `_hold`."""
        files[index].resume()
        self._order.hold(files, index)
        self._late.hold(files[:index])

    def _hold(self, files: list[LogFile], index: int) -> None:
        """Continue in the file at *index*, which is open; close the others and the previous one."""
        if self._file is not None:
            self._file.close()
        self._file, self._still_since, self._is_copy = files[index], None, False
        self._ahead.hold(files[index + 1 :])
        close_all(files[:index])

    def _recover(self, file: LogFile) -> None:
        """Handle a truncated or rewritten *file*: continue in its copy if there is one, else start over."""
        position = file.position()
        files = self._open()
        with closed_if_moved(files):
            index = self._order.copy_of(file, files)
            if index is not None:
                self._note(files, index)
                files[index].seek(position.offset)
        if index is not None:
            self._hold(files, index)
            self._is_copy = True
            return
        is_known = locating.recorded(files, position) is not None
        close_all(files)
        if is_known:  # and so is what is missing
            self._position, self._reported = position, False
            file.close()
            self._file = None
            return
        unread = 0
        if self._last_state[:2] == file.place.identity:
            unread = max(0, self._last_state[2] - position.offset)
        gap = locating.gap_before(None, position, "the file was truncated or rewritten", size=unread or None)
        self._report_gap(gap._replace(resumes=file.path))
        self._position, self._reported = position, True
        file.close()
        self._file = None

    def _go_on(self, file: LogFile) -> bool:
        """Switch to the file after *file*, which was read to its end; return whether there is one."""
        if (following := self._ahead.next()) is not None:
            self._leave(file, following, locating.gap_of_hole(file, following))
            file.close()
            self._file, self._still_since, self._is_copy = following, None, False
            return True
        files = self._open()
        with closed_if_moved(files):
            index, gap = self._order.next_of(file, files)
            index = first_filled(files, index)
            if index is None or not (files[index].place.number or self._is_settled(file)):
                close_all(files)
                return False
            self._note(files, index)
        self._leave(file, files[index], gap)
        self._hold(files, index)
        return True

    def _leave(self, file: LogFile, following: LogFile, gap: Gap | None) -> None:
        """Note that *file* has been read to its end, before going on in *following* after *gap*."""
        if not following.offset:
            self._finish(file)
        if gap is not None:
            self._report_gap(gap)
        if file.offset:
            self._last_checkpoint = Checkpoint(file.position())
        self._order.finish(file)
        self._late.leave(file)

    def _finish(self, file: LogFile) -> None:
        """Handle what is left in *file*, to which nobody writes any more, after its last line."""
        if (rest := file.rest()) is not None:
            self._skip(rest)

    def _is_settled(self, file: LogFile) -> bool:
        """Return whether no writer can still append to *file*, which was rotated."""
        state = log_files.read_sidecar(self.path)
        generation = None if state is None or state.log_id[:8] != file.log_id else state.generation
        if generation is not None and file.generation is not None and generation > file.generation:
            return True
        now = time.monotonic()
        self._still_since = self._still_since or now
        settling = SETTLING_SECONDS if state is None else OUR_SETTLING_SECONDS
        return file.compressed or self._is_copy or max(file.age(), now - self._still_since) >= settling

    def _report_gap(self, gap: Gap) -> None:
        self._gap = gap if self._gap is None else locating.joined(self._gap, gap)

    def _begin_at_end(self) -> None:
        """Begin in the newest file with a complete line, at the end of its last one."""
        files = self._open()
        with closed_if_moved(files):
            ends = ((index, end_of_lines(files[index])) for index in reversed(range(len(files))))
            index, end = next((found for found in ends if found[1]), (None, 0))
            if index is not None:
                self._note(files, index)
                files[index].seek(end)
        if index is None:
            close_all(files)
            return
        self._hold(files, index)
