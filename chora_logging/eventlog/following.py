"""Following a log: what is stored, then what is written, whoever writes and rotates."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from chora_logging import sidecar
from chora_logging.eventlog import cursor, locating
from chora_logging.eventlog.backwards import end_of_lines
from chora_logging.eventlog.files import LogFile, Replaced
from chora_logging.eventlog.items import Block, Event, Gap, Skipped
from chora_logging.eventlog.lines import events_in
from chora_logging.eventlog.rotated_set import Namer, close_all, is_live, open_at, open_set
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.succession import Succession
from chora_logging.rotation import real_path

#: How long a file that was rotated away by somebody else than our handler is read on, in seconds since
#: that or since the last line: its writers may not know yet. Ours look at the name before each record.
SETTLING, SETTLING_OURS = 1.0, 0.25

#: Every how many looks the file is read although it seems unchanged.
_EACH = 32

#: The name for the end of what is stored.
END = "end"

#: A follower that is no further behind another one than this is brought to it at once, in bytes.
_NEAR = 64 * 1024


class Standing(NamedTuple):
    """Where a follower stands, to go on there later.

    Attributes:
        position: What has been read; None if that is nothing.
        told: Whether what is missing after it has been told.
    """

    position: cursor.Position | None = None
    told: bool = False


class Follower:
    """The events of a log from a position on, as often as it is asked for more.

    The file being read is held by its descriptor: when it has been rotated away it is read to its
    end, and only then the files that came after it, in order. A log that is missing, deleted,
    truncated or made anew is waited for or begun again; where events may be missing, a `Gap` comes.

    Args:
        path: The live file; it need not exist yet.
        after: A cursor, where another one stood, `"end"` for what is written from now on, or None for
            everything.
        selection: Which events are asked for.
        on_skip: Called with each line that is neither blank nor an event.
        namer: What names the backups, if the handler has one.

    Raises:
        CursorError: *after* is not a cursor.

    Thread safe; `close` it, or use it in a `with`.
    """

    def __init__(
        self,
        path: str,
        *,
        after: str | Standing | None = None,
        selection: Selection | None = None,
        on_skip: Callable[[Skipped], None] | None = None,
        namer: Namer | None = None,
    ) -> None:
        self.path = real_path(os.path.abspath(path))
        self.skipped = 0
        self.bytes_read = 0
        self._selection = selection or Selection()
        self._on_skip = on_skip
        self._namer = namer
        self._lock = threading.Lock()
        self._file: LogFile | None = None
        self._gap: Gap | None = None
        self._succession = Succession()
        self._closed = False
        self._is_copy = False  # the file is one, so nobody writes to it
        self._still: float | None = None  # since when the file, rotated away, has not grown
        self._seen: tuple[int, ...] = ()  # the live file when there was the last poll
        self._looks = 0
        self._quiet: tuple[int, ...] | None = None
        self._passed = _standing(after)
        self._position, self._told = self._passed
        if after == END:
            self._begin_at_end()

    def poll_items(self) -> list[Event | Gap] | None:
        """The next events and gaps, at most a block of them; None if there is nothing new now.

        Raises:
            OSError: the live file exists and cannot be opened.
        """
        with self._lock:
            look = self._look()
            block = None if self._closed else self._next_block()
            gap, self._gap = self._gap, None
            self._quiet = look if block is None and self._still is None else None
            self._seen = look
            if block is None and gap is None:
                return None
            items: list[Event | Gap] = [] if gap is None else [gap]
            if block is not None:
                items += self._events(block)
            return items

    def has_news(self) -> bool:
        """Whether a poll is worth its cost: False if the live file is what it was when there was nothing.

        Once in a while it is True all the same: a file that is written anew with the same size in
        the same tick of the clock looks like the old one.
        """
        self._looks += 1
        return self._looks % _EACH == 0 or self._quiet is None or self._look() != self._quiet

    def poll(self) -> list[dict[str, Any]] | None:
        """The same without the gaps."""
        items = self.poll_items()
        return None if items is None else [item for item in items if isinstance(item, Event)]

    def standing(self) -> Standing:
        """Where it stands, for another follower that goes on from there."""
        with self._lock:
            if self._file is None:
                return Standing(self._position, self._told)
            # The beginning of a file says nothing by which to know it again.
            return Standing(self._file.position()) if self._file.offset else self._passed

    def stands_with(self, other: Follower) -> bool:
        """Whether both stand at the same place of the same open file: from now on they give the same.

        Nobody may poll them meanwhile; so with `read_to`.
        """
        mine, theirs = self._file, other._file
        if mine is None or theirs is None:
            return mine is theirs and (self._position, self._told) == (other._position, other._told)
        same = mine.place.identity == theirs.place.identity
        return same and (mine.offset, mine.tail) == (theirs.offset, theirs.tail)

    def read_to(self, other: Follower) -> list[Event | Gap]:
        """The events up to where *other* stands, if that is a little ahead in the same file."""
        mine, theirs = self._file, other._file
        if mine is None or theirs is None or mine.place.identity != theirs.place.identity:
            return []
        if not 0 < theirs.offset - mine.offset <= _NEAR:
            return []
        try:
            block = mine.read_block(theirs.offset)
        except Replaced:  # the next poll will meet it
            return []
        return [] if block is None else self._events(block)

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
            self._file = None

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def after_fork(self) -> None:
        """In a forked child: no thread of the parent is in it any more."""
        self._lock = threading.Lock()

    def _events(self, block: Block) -> list[Event | Gap]:
        self.bytes_read += block.size
        return list(events_in(block, self._selection, self._skip))

    def _look(self) -> tuple[int, ...]:
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
            # Asked before reading to the end: what was written up to the rotation is then read.
            moved = not is_live(self.path, file)
            try:
                block = file.read_block()
            except Replaced:
                self._recover(file)
                continue
            if block is not None:
                self._still = None
                return block
            if not moved or not self._go_on(file):
                return None
        return None

    def _begin(self) -> bool:
        """Open the file to begin with; whether there is one that has something in it."""
        index: int | None = 0
        if self._position is None:
            files = self._open()
        else:
            files, index, gap = open_at(
                self.path,
                self._position,
                follow=True,
                namer=self._namer,
                locate=self._succession.locate,
            )
            if gap is not None and not self._told:
                self._gap, self._told = gap, True
        index = _first_filled(files, index)
        if index is None:
            close_all(files)
            return False
        self._passed = Standing(self._position, self._told)
        self._position, self._told = None, False
        self._hold(files, index)
        return True

    def _open(self) -> list[LogFile]:
        return open_set(self.path, follow=True, namer=self._namer)

    def _hold(self, files: list[LogFile], index: int) -> None:
        """Read on in the file at *index*; close the others, the one before included."""
        if self._file is not None:
            self._file.close()
        self._succession.hold(files, index)
        self._file, self._still, self._is_copy = files.pop(index), None, False
        close_all(files)

    def _recover(self, file: LogFile) -> None:
        """What was read has gone from *file*: finish its copy if there is one, else begin it again."""
        position = file.position()
        files = self._open()
        index = self._succession.copy_of(file, files)
        if index is not None:
            files[index].seek(position.offset)
            self._hold(files, index)
            self._is_copy = True
            return
        close_all(files)
        unread = 0
        if self._seen[:2] == file.place.identity:
            unread = max(0, self._seen[2] - position.offset)
        gap = locating.gap_before(
            None, position, "the file was truncated or written anew", size=unread or None
        )
        self._tell(gap._replace(resumes=file.path))
        self._position, self._told = position, True
        file.close()
        self._file = None

    def _go_on(self, file: LogFile) -> bool:
        """Go to the file after *file*, which has been read to its end; whether there is one."""
        files = self._open()
        index, gap = self._succession.next_of(file, files)
        index = _first_filled(files, index)
        if index is None or not (files[index].place.number or self._is_settled(file)):
            close_all(files)
            return False
        if gap is not None:
            self._tell(gap)
        if file.offset:
            self._passed = Standing(file.position())
        if not files[index].offset and (rest := file.rest()) is not None:
            self._skip(rest)
        self._succession.finish(file)
        self._hold(files, index)
        return True

    def _is_settled(self, file: LogFile) -> bool:
        """Whether nobody writes any more to *file*, which has been rotated away."""
        state = sidecar.read(self.path)
        generation = None if state is None or state.log_id[:8] != file.log_id else state.generation
        if generation is not None and file.generation is not None and generation > file.generation:
            return True
        now = time.monotonic()
        self._still = self._still or now
        patience = SETTLING if state is None else SETTLING_OURS
        return file.compressed or self._is_copy or max(file.age(), now - self._still) >= patience

    def _tell(self, gap: Gap) -> None:
        self._gap = gap if self._gap is None else locating.joined(self._gap, gap)

    def _begin_at_end(self) -> None:
        """Hold the newest file that has a line, at the end of its last complete one."""
        files = self._open()
        ends = ((index, end_of_lines(files[index])) for index in reversed(range(len(files))))
        index, end = next((found for found in ends if found[1]), (None, 0))
        if index is None:
            close_all(files)
            return
        files[index].seek(end)
        self._hold(files, index)


def _standing(after: str | Standing | None) -> Standing:
    if isinstance(after, Standing):
        return after
    return Standing(None if after is None or after == END else cursor.decode(after))


def _first_filled(files: list[LogFile], index: int | None) -> int | None:
    """The first of *files* from *index* on that has something in it.

    Before an empty file the one before is held: an empty one has nothing by which to know it again
    when it has been filled and renamed or copied.
    """
    if index is None:
        return None
    return next(
        (number for number in range(index, len(files)) if files[number].offset or files[number].head()), None
    )
