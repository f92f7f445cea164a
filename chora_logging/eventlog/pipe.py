"""Reads events from a pipe: stdin, a FIFO, or another stream that can be read only once."""

from __future__ import annotations

import collections
import os
import select
import stat
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from chora_logging.eventlog.comparing import Asked
from chora_logging.eventlog.events import Block, Event, Skipped
from chora_logging.eventlog.lines import events_in
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.selection import Selection
from chora_logging.log_files import LONGEST_LINE_BYTES

#: The path that stands for stdin.
STDIN = "-"

#: How much is read at a time, in bytes.
CHUNK_BYTES = 256 * 1024


class _NoPlace:
    """The origin of events to which nobody can return."""

    def cursor(self, offset: int, before: bytes) -> str:
        return ""


_ORIGIN = _NoPlace()


def is_pipe(path: str) -> bool:
    """Return whether *path* is stdin (`-`) or a FIFO (`/dev/fd/N` included), and not a file."""
    if path == STDIN:
        return True
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


class Pipe:
    """The events of a pipe, which is read once and to its end.

    A last line without its newline is read at the end of the pipe, since nothing can follow it. The
    cursor of its events is empty.

    Args:
        path: `-` for stdin, or the path of a FIFO, which is opened by the first read.
        on_skip: Called with each line that is neither blank nor an event.
        fields: As for `EventLog`.

    Attributes:
        path: As given.
        address: The same.
        meaning: Says what the fields of its events mean.
        asked: As of `EventLog`.

    Raises:
        ConfigurationError: *fields* is invalid.

    For one thread at a time.
    """

    def __init__(
        self,
        path: str,
        *,
        on_skip: Callable[[Skipped], None] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.path = self.address = path
        self.meaning = Meaning(fields)
        self.asked: dict[str, Asked] = {}
        self._on_skip = on_skip or _ignore

    def read(
        self, *, limit: int | None = None, newest_first: bool = False, raw: bool = False, **filters: Any
    ) -> Iterator[Event]:
        """Iterate over the events as they come.

        Memory does not grow with the number of events, but for the *limit* of the newest ones. Without a
        limit, reading the newest first makes a temporary file of the whole pipe.

        Args:
            limit: The maximum number of events.
            newest_first: Wait for the end, and begin there.
            raw: Whether lines that are not events are given too, as `RawLine`.
            filters: As for `EventLog.read`.

        Raises:
            ConfigurationError: a filter is invalid.
            OSError: the pipe cannot be read.
        """
        if newest_first and limit is None:
            yield from self._newest_first(raw, filters)
            return
        found = self._events(self.reader(raw=raw, **filters))
        if newest_first:
            yield from reversed(collections.deque(found, limit))
            return
        left = -1 if limit is None else limit
        while left and (event := next(found, None)) is not None:
            yield event
            left -= 1

    def last(self, n: int, **filters: Any) -> list[Event]:
        """Wait for the end, and return the newest *n* events, oldest first."""
        return list(self.read(limit=n, newest_first=True, **filters))[::-1]

    def reader(self, *, raw: bool = False, **filters: Any) -> PipeReader:
        """Open the pipe, and return the reader of its new events."""
        selection = Selection(**filters, meaning=self.meaning, asked=self.asked)
        selection.raw = raw
        fd = 0 if self.path == STDIN else os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return PipeReader(fd, self.path, selection, self._on_skip)

    def exists(self) -> bool:
        """Return that there is something to read."""
        return True

    def size(self) -> int:
        """Return 0, since nobody knows how much will come."""
        return 0

    def copy_to(self, path: str) -> None:
        """Wait for the end, and write everything to the new file *path*."""
        reader = self.reader()
        try:
            with open(path, "xb") as file:
                ends_with_newline = True
                while data := reader.read_bytes():
                    file.write(data)
                    ends_with_newline = data.endswith(b"\n")
                if not ends_with_newline:
                    file.write(b"\n")
        finally:
            reader.close()

    def _events(self, reader: PipeReader) -> Generator[Event, None, None]:
        try:
            while not reader.ended:
                yield from reader.poll_items(wait=True) or ()
        finally:
            reader.close()

    def _newest_first(self, raw: bool, filters: dict[str, Any]) -> Iterator[Event]:
        from chora_logging.eventlog.reading import read_backwards

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "pipe")
            self.copy_to(path)
            selection = Selection(**filters, meaning=self.meaning, asked=self.asked)
            selection.raw = raw
            yield from read_backwards(EventLog(path).path, selection, self._on_skip)


class PipeReader:
    """Reads the events of a pipe as they come, like a `Follower` those of a file.

    Args:
        fd: The descriptor to read from.
        path: The path for error messages.
        selection: The filter.
        on_skip: Called with each line that is neither blank nor an event.

    Attributes:
        ended: Whether everything was read.
    """

    def __init__(self, fd: int, path: str, selection: Selection, on_skip: Callable[[Skipped], None]) -> None:
        self.ended = False
        self._fd = fd
        self._path = path
        self._selection = selection
        self._on_skip = on_skip
        self._offset = 0
        self._held: list[bytes] = []  # parts of a line that is not complete
        self._held_bytes = 0
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def fileno(self) -> int:
        """Return the descriptor, to wait for."""
        return self._fd

    def poll_items(self, *, wait: bool = False) -> list[Event] | None:
        """Return the events of the next bytes; None if there are none, and unless *wait* none yet.

        Raises:
            OSError: the pipe cannot be read.
        """
        if self.ended or not (wait or self._poll.poll(0)):
            return None
        data = self.read_bytes()
        if not data:
            self.ended = True
            if not self._held_bytes:
                return None
            data = b"\n"
        end = data.rfind(b"\n") + 1
        if not end:
            self._hold(data)
            return []
        lines = self._whole_lines(data[:end])
        items = list(events_in(self._block(lines), self._selection, self._on_skip))
        self._hold(data[end:])
        return items

    def read_bytes(self) -> bytes:
        """Wait for the next bytes, and return them; empty at the end."""
        try:
            return os.read(self._fd, CHUNK_BYTES)
        except OSError as error:
            name = "stdin" if self._path == STDIN else self._path
            raise OSError(error.errno, error.strerror, name) from None

    def close(self) -> None:
        """Close a FIFO that was opened."""
        self.ended = True
        if self._path != STDIN and self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _hold(self, data: bytes) -> None:
        """Hold the beginning of a line; of one that is too long only its length."""
        self._held_bytes += len(data)
        if self._held_bytes < LONGEST_LINE_BYTES:
            self._held.append(data)
        else:
            self._held.clear()

    def _whole_lines(self, data: bytes) -> bytes:
        """Return *data*, which ends with a newline, after the line that is held."""
        first = data.find(b"\n") + 1
        length, held = self._held_bytes + first, b"".join(self._held)
        self._held, self._held_bytes = [], 0
        if length <= LONGEST_LINE_BYTES:
            return held + data
        block = Block(self._path, self._offset, b"", 0, b"", _ORIGIN, overlong=length)
        self._offset += length
        list(events_in(block, self._selection, self._on_skip))
        return data[first:]

    def _block(self, lines: bytes) -> Block:
        block = Block(self._path, self._offset, lines, len(lines), b"", _ORIGIN)
        self._offset += len(lines)
        return block


def _ignore(skipped: Skipped) -> None:
    pass
