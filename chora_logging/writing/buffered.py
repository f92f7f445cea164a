"""Lines gathered in memory and written together: cheaper calls, for the last interval at a `kill -9`.

A call adds its line to a list and returns. The list is written when it has a size, when a record has
a level, on `flush` and `close`, before a fork, and by a thread when an interval is over. What takes
lines off the list holds the mutex of the log; what adds them takes no lock at all, so a signal handler or a
`__del__` that logs meets nothing half-done, and a thread that logs waits for nobody.
"""

from __future__ import annotations

import bisect
import itertools
import logging
import os
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from chora_logging.errors import BufferFullError, ConfigurationError
from chora_logging.settings import parse_choice, parse_level, parse_size, parse_timeout
from chora_logging.writing import live_file, locking
from chora_logging.writing.flushing import Flusher
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.live_file import LiveFile

#: How long a disk that refuses lines is left alone, in seconds.
WRITE_RETRY_SECONDS = 1.0
#: The longest single `write`, in bytes.
LARGEST_WRITE_BYTES = 1 << 20
#: How often the thread polls for the mutex, in seconds.
_LOCK_POLL_SECONDS = 0.001


class BufferedEventFileHandler(EventFileHandler):
    """Write records to a rotated file as `EventFileHandler` does, many with one `write`.

    Use it where calls are too many to wait for the disk one by one. Programs that leave by
    `os._exit` call `logging.shutdown()` before, or lose what is gathered.

    Promised: what `EventFileHandler` promises, except that a returned call is not yet a written line.
    `kill -9`, and any signal that ends the process unhandled, loses at most the lines of the last
    *flush_interval* and of the time that the writing itself takes, never others; of `flush`, and
    without `"drop"` of a record of *flush_level* or above, the return says that everything before is
    written, unless the disk refused it. An
    exit by return, exception or `sys.exit` loses nothing, in children of multiprocessing too; nor
    does a fork. A disk that refuses lines loses none until *max_buffer*; they are written in their
    order when it takes them again. Records that are dropped go to `handleError`, and the log says
    how many.

    Not promised: that `"drop"` never waits outside of logging calls: `flush`, `close`, a fork and the
    end of the program do.

    Args:
        filename: The log.
        args: The further positional arguments of `EventFileHandler`.
        flush_interval: How long a line may wait, in seconds.
        flush_size: Write when this much is gathered; bytes, or a string such as `"64kB"`.
        flush_level: Write at once from this level on.
        max_buffer: How much may be gathered when the disk is slow or refuses it.
        when_full: What a call does then. `"block"` waits for a slow disk, and drops the record if the
            disk refuses; such handlers write in the thread that logs when size or level say so.
            `"drop"` never waits: all is written by the handler's own thread, records of
            *flush_level* too, for asyncio and other programs that must not stand still.
        options: The keyword arguments of `EventFileHandler`. With *fsync* each `write` is waited for.

    Raises:
        ConfigurationError: an argument cannot be used.
        OSError: as for `EventFileHandler`.

    Thread and process safe; a forked child begins with nothing gathered. A subclass that has its own
    `shouldRollover` has it asked for each record, which is then written at once.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        *args: Any,
        flush_interval: float = 0.05,
        flush_size: int | str = 64 * 1024,
        flush_level: int | str = "ERROR",
        max_buffer: int | str = 8 * 1024 * 1024,
        when_full: str = "block",
        **options: Any,
    ) -> None:
        self.flush_interval = parse_timeout("flush_interval", flush_interval)
        self.flush_size = parse_size("flush_size", flush_size)
        self.flush_level = parse_level("flush_level", flush_level)
        self.max_buffer = parse_size("max_buffer", max_buffer)
        if self.max_buffer < self.flush_size:
            raise ConfigurationError("max_buffer", max_buffer, f"flush_size ({self.flush_size}) or more")
        self.when_full = parse_choice("when_full", when_full, ("block", "drop"))
        self._begin()
        super().__init__(filename, *args, **options)
        _handlers.add(self)

    def _begin(self) -> None:
        """Have nothing gathered, and no thread."""
        self._lines: list[bytes] = []
        self._size = self._written = 0
        # At this size a call does more than to add its line; 0 while nobody watches the clock.
        self._alarm_size = 0
        self._since = 0.0  # all that is gathered came after this moment
        self._is_urgent = False
        self._write_error: Exception | None = None
        self._retry_at = 0.0
        self._flusher = Flusher(self._watch, _close_all)

    def emit(self, record: logging.LogRecord) -> None:
        """Format *record* and gather its line; what fails goes to `handleError`."""
        if self._own_rollover:
            return super().emit(record)
        try:
            formatter = self._byte_formatter
            if formatter is not None and formatter is self.formatter and self.terminator == "\n":
                line = formatter.encode(record) + b"\n"
            else:
                line = self._encode(self.format(record) + self.terminator).removeprefix(self._bom)
            if self._size >= self.max_buffer:
                self._wait_for_space()
            try:
                urgent = record.levelno >= self.flush_level
            except TypeError:  # a record that was made by hand may have no level
                urgent = True
            # As `_buffer_line`; the call of it would be felt here.
            length = len(line)
            self._lines.append(line)
            self._size = size = self._size + length
            if urgent or size >= self._alarm_size:
                self._schedule_write(urgent)
        except Exception as error:
            self._fail(record, error)
        return None

    def _buffer_line(self, line: bytes, urgent: bool) -> None:
        # Between two calls CPython runs one thread and no signal handler, so the sum is exact.
        length = len(line)
        self._lines.append(line)
        self._size = size = self._size + length
        if urgent or size >= self._alarm_size:
            self._schedule_write(urgent)

    def _defer(self, line: bytes, record: logging.LogRecord) -> None:
        if self._own_rollover:
            return super()._defer(line, record)
        notice = _NoticeLine(line.removeprefix(self._bom))
        notice.lost = record.__dict__.get("lost", 0)
        return self._buffer_line(notice, urgent=False)

    def flush(self) -> None:
        """Write all that is gathered; what the disk refuses stays gathered, and is tried again."""
        self._write_buffered()
        super().flush()

    def doRollover(self) -> None:
        """Write all that is gathered, and rotate as `EventFileHandler.doRollover` does."""
        if not self._rolling:
            self._write_buffered()
        super().doRollover()

    def close(self) -> None:
        """Write all that is gathered and close the file; a record that comes later is written at once."""
        self._write_buffered()
        self._report_unwritten()
        super().close()  # it says how many were lost
        self._alarm_size = 0
        self._write_buffered()
        self._report_unwritten()
        self._flusher.wake()

    def _schedule_write(self, urgent: bool) -> None:
        """See to it that what is gathered is written: now if it is *urgent* or much, else in time."""
        urgent = urgent or self._size >= self.flush_size
        if self._is_closed or (urgent and self.when_full == "block" and self._may_write()):
            self._write_buffered()
            urgent = False
        if self._is_closed:
            self._report_unwritten()
            return
        if not self._lines:
            return
        if not self._alarm_size:
            self._since = time.monotonic()
            self._alarm_size = self.flush_size
            if not self._flusher.start():  # the interpreter is going down
                self._alarm_size = 0
                self._write_buffered()
        if urgent and not self._is_urgent:
            self._is_urgent = True
            self._flusher.wake()

    def _may_write(self) -> bool:
        return self._write_error is None or time.monotonic() >= self._retry_at

    def _wait_for_space(self) -> None:
        """Wait for the disk if that is wanted and of use.

        Raises:
            BufferFullError: no further line can be gathered.
        """
        if self.when_full == "block" and self._may_write():
            self._write_buffered()
        if self._size >= self.max_buffer:
            reason = f"{self._size} bytes wait to be written"
            if self._write_error is not None:
                reason += f" ({self._write_error})"
            raise BufferFullError(self.baseFilename, reason) from self._write_error

    def _write_buffered(self) -> None:
        """Write all lines that are gathered now; what the disk refuses is kept."""
        mutex = self._mutex
        with mutex.lock:
            if mutex.busy and mutex.is_interrupted():
                return  # this thread is writing, further up its stack
            try:
                self._write_lines()
            except Exception as error:
                # Without the frames of its traceback: they would live as long as it is kept.
                self._write_error = error.with_traceback(None)
                self._retry_at = time.monotonic() + WRITE_RETRY_SECONDS
            else:
                self._write_error = None

    def _write_lines(self) -> None:
        mutex = self._mutex
        try:
            mutex.busy = True
            self._since, self._is_urgent = time.monotonic(), False
            if self._is_closed and self.mode == "w":
                self._forget(len(self._lines))
            end = self._written + len(self._lines)
            while self._written < end or (self._is_closed and self._lines):
                self._write_some()
        finally:
            mutex.busy = False
            if mutex.deferred:
                mutex.catch_up()
            if self._is_closed:
                self._close_file()

    def _write_some(self) -> None:
        if self.stream is not self._own_stream and self.stream is not None:
            lines = self._lines[:]
            self.stream.write(b"".join(lines).decode(self._codec))  # somebody put another stream in
            self._forget(len(lines))
            return
        file = self._file or self._open_live()
        if file.is_rotatable:
            self._append(self._lines[0], None)
        else:
            self._put(file, self._lines[0], 0, locked=False)

    def _put(self, file: LiveFile, line: bytes, size: int, locked: bool) -> None:
        """Write *line* and as many of the lines after it as fit into the file."""
        if self._own_rollover:
            return super()._put(file, line, size, locked)
        lines, data = self._next_lines(size) if file.is_rotatable else ([line], line)
        if self._bom and not size:
            lines[0], data = self._bom + lines[0], self._bom + data
        before, self._writing = self._written, lines
        try:
            super()._put(file, data, size, locked)
        except OSError as error:
            if self._written - before != len(lines):
                raise
            self._report(lines, error)  # they are written, and the disk would not confirm it (fsync)

    def _next_lines(self, size: int) -> tuple[list[bytes], bytes]:
        """Return the lines that fit into a file of *size* bytes, at least one, and their bytes."""
        lines = self._lines[:]
        limit = LARGEST_WRITE_BYTES
        if (
            size < self.maxBytes and self.backupCount > 0
        ):  # else it should have been rotated, and could not be
            limit = min(limit, self.maxBytes - (size or len(self._bom)))
        data = b"".join(lines)
        if len(data) < limit:
            return lines, data
        ends = list(itertools.accumulate(map(len, lines)))
        lines = lines[: max(1, bisect.bisect_left(ends, limit))]
        return lines, b"".join(lines)

    def _append_whole(self, fd: int, data: bytes, size: int | None) -> None:
        """Write *data*, which is the bytes of `_writing`, and take these lines off the list."""
        if self._own_rollover:
            return super()._append_whole(fd, data, size)
        lines = self._writing
        forget = partial(self._lines.__delitem__, slice(len(lines)))
        # Both calls are made by C code: no signal handler comes between them, which might raise and
        # have lines written twice, or never.
        written: int
        written, _ = map(partial.__call__, (partial(os.write, fd, data), forget))  # type: ignore[arg-type]  # an int, a None
        self._count(len(lines), len(data))
        if written != len(data):
            self._finish(fd, lines, written, size)
        return None

    def _finish(self, fd: int, lines: list[bytes], written: int, size: int | None) -> None:
        """Keep what *lines* have beyond *written* bytes: a full disk gets whole lines, and no part of one."""
        starts = list(itertools.accumulate(map(len, lines), initial=0))
        whole = bisect.bisect_right(starts, written) - 1
        rest = lines[whole:]
        if self._bom:
            rest[0] = rest[0].removeprefix(self._bom)
        self._lines[:0] = rest
        self._count(-len(rest), -sum(map(len, rest)))
        before = None if size is None else size + starts[whole]
        live_file.finish_or_undo(fd, lines[whole], written - starts[whole], before)
        self._forget(1)

    def _forget(self, count: int) -> None:
        lines = self._lines[:count]
        del self._lines[:count]
        self._count(count, sum(map(len, lines)))

    def _count(self, lines: int, length: int) -> None:
        self._written += lines
        self._size -= length
        if not self._lines:
            self._size = 0

    def _report_unwritten(self) -> None:
        """Report what the disk refuses to the end."""
        mutex = self._mutex
        with mutex.lock:
            if self._write_error is None or mutex.busy:
                return
            lines = self._lines[:]
            self._forget(len(lines))
            self._report(lines, self._write_error)

    def _report(self, lines: list[bytes], error: Exception) -> None:
        try:
            raise error
        except Exception:
            for line in lines:
                if isinstance(line, _NoticeLine):
                    self._lost += line.lost
                else:
                    text = line.decode(self._codec, "replace").removesuffix(self.terminator)
                    self._fail(logging.makeLogRecord({"msg": text}), error)

    def _watch(self, wait: Callable[[float], object]) -> bool:
        """Write what is gathered whenever it is time, until nothing is; whether there may be more later."""
        while not self._is_closed:
            pause = self._retry_at - time.monotonic()
            if self._write_error is None:
                pause = 0 if self._is_urgent else self._since + self.flush_interval - time.monotonic()
            if pause > 0:
                wait(pause)
            elif self._lines:
                self._write_when_free()
            else:
                self._alarm_size = 0
                if not self._lines:
                    return True
                self._alarm_size = self.flush_size
        return False

    def _write_when_free(self) -> None:
        # Waiting for the lock in the lock could get it while the interpreter goes down: a daemon
        # thread is stopped there, and would keep it from everybody for good.
        while not self._mutex.lock.acquire(blocking=False):
            if self._is_closed:
                return
            time.sleep(_LOCK_POLL_SECONDS)
        try:
            if not self._is_closed:
                self._write_buffered()
        finally:
            self._mutex.lock.release()

    def _reopen_after_fork(self) -> None:
        super()._reopen_after_fork()
        self._begin()


class _NoticeLine(bytes):
    """A line that the handler says about itself, and how many lost records it tells of."""

    lost = 0


_handlers: weakref.WeakSet[BufferedEventFileHandler] = weakref.WeakSet()


def _write_all() -> None:
    for handler in list(_handlers):
        handler._write_buffered()


def _close_all() -> None:
    for handler in list(_handlers):
        handler.close()


locking.LogMutex.busy_code.add(BufferedEventFileHandler._write_lines.__code__)
os.register_at_fork(before=_write_all)
