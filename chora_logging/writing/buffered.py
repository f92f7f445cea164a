"""Buffers lines in memory and writes them in batches: cheaper calls, a `kill -9` loses the last interval.

A call adds its line to a list and returns. The list is written at a certain size, for a record of a
certain level, on `flush` and `close`, before a fork, and by a thread after an interval. Lines are taken
off the list under the log's mutex. They are added without any lock, so a signal handler or a `__del__`
that logs finds no half-done state, and a thread that logs waits for no other.
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
from chora_logging.options import checked_names, parse_choice, parse_level, parse_size, parse_timeout
from chora_logging.writing import live_file, locking
from chora_logging.writing.flushing import Flusher
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.live_file import LiveFile

#: How long to wait before a failed write is retried, in seconds.
WRITE_RETRY_SECONDS = 1.0
#: The longest single `write`, in bytes.
LARGEST_WRITE_BYTES = 1 << 20
#: How often the thread polls for the mutex, in seconds.
_LOCK_POLL_SECONDS = 0.001


class BufferedEventFileHandler(EventFileHandler):
    """Write records to a rotated file as `EventFileHandler` does, many with one `write`.

    Use it where there are too many calls to wait for the disk in each. Programs that leave by
    `os._exit` must call `logging.shutdown()` before, or lose the buffered lines.

    Promised: what `EventFileHandler` promises, except that a returned call is not yet a written line.
    `kill -9`, and any signal that ends the process unhandled, loses at most the lines of the last
    *flush_interval* and of the time that the write itself takes. When `flush` returns, all lines
    before it are written unless the disk refused them; without `"drop"` the same holds when the
    call for a record of *flush_level* or above returns. An exit by return, exception or `sys.exit`
    loses nothing, in multiprocessing children too, and a fork loses nothing. While writes fail, no
    line is lost until *max_buffer*; the lines are written in their order when writes succeed again.
    Dropped records go to `handleError`, and the log reports their number.

    Not promised: that `"drop"` never waits outside of logging calls. `flush`, `close`, a fork and
    the end of the program do wait.

    Args:
        filename: The path of the log.
        args: The further positional arguments of `EventFileHandler`.
        flush_interval: How long a line may stay in the buffer, in seconds.
        flush_size: Write when the buffer has this size; bytes, or a string such as `"64kB"`.
        flush_level: Write immediately from this level on.
        max_buffer: The largest size of the buffer, when the disk is slow or writes fail.
        when_full: What a call does then. `"block"` waits for a slow disk, and drops the record if
            the write fails; size and level have the logging thread itself write. `"drop"` never
            waits: the handler's own thread writes everything, records of *flush_level* too. Use it
            in asyncio and other programs that must not block.
        options: The keyword arguments of `EventFileHandler`. *fsync* applies to each `write`.

    Raises:
        ConfigurationError: an argument is invalid or unknown.
        OSError: as for `EventFileHandler`.

    Thread and process safe; a forked child starts with an empty buffer. For a subclass that overrides
    `shouldRollover` it is called for each record, and nothing is buffered.
    """

    @checked_names(EventFileHandler.__init__)
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
        """Start with an empty buffer and no thread."""
        self._lines: list[bytes] = []
        self._size = self._written = 0
        # From this size on a call does more than add its line; 0 while the flusher sleeps.
        self._alarm_size = 0
        self._since = 0.0  # every buffered line came after this time
        self._is_urgent = False
        self._write_error: Exception | None = None
        self._retry_at = 0.0
        self._flusher = Flusher(self._watch, _close_all)

    def emit(self, record: logging.LogRecord) -> None:
        """Format *record* and buffer its line; errors go to `handleError`."""
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
            except TypeError:  # a record made by hand may have no level
                urgent = True
            # `_buffer_line`, inlined: a call of it would be measurable here.
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
        """Write all buffered lines; those that cannot be written stay buffered and are retried."""
        self._write_buffered()
        super().flush()

    def doRollover(self) -> None:
        """Write all buffered lines, then rotate as `EventFileHandler.doRollover` does."""
        if not self._rolling:
            self._write_buffered()
        super().doRollover()

    def close(self) -> None:
        """Write all buffered lines and close the file; a later record is written immediately."""
        self._write_buffered()
        self._report_unwritten()
        super().close()  # it reports the number of lost records
        self._alarm_size = 0
        self._write_buffered()
        self._report_unwritten()
        self._flusher.wake()

    def _schedule_write(self, urgent: bool) -> None:
        """Have the buffer written: now if it is *urgent* or large, else by the flusher."""
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
            if not self._flusher.start():  # the interpreter is shutting down
                self._alarm_size = 0
                self._write_buffered()
        if urgent and not self._is_urgent:
            self._is_urgent = True
            self._flusher.wake()

    def _may_write(self) -> bool:
        return self._write_error is None or time.monotonic() >= self._retry_at

    def _wait_for_space(self) -> None:
        """Write the buffer to free space, unless this handler drops or writes are failing.

        Raises:
            BufferFullError: there is no space for another line.
        """
        if self.when_full == "block" and self._may_write():
            self._write_buffered()
        if self._size >= self.max_buffer:
            reason = f"{self._size} bytes are waiting to be written"
            if self._write_error is not None:
                reason += f" ({self._write_error})"
            raise BufferFullError(self.baseFilename, reason) from self._write_error

    def _write_buffered(self) -> None:
        """Write the lines that are buffered now; keep those that cannot be written."""
        mutex = self._mutex
        with mutex.lock:
            if mutex.busy and mutex.is_interrupted():
                return  # this thread is writing, further up its stack
            try:
                self._write_lines()
            except Exception as error:
                # Without its traceback, whose frames would live as long as the error.
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
            self.stream.write(b"".join(lines).decode(self._codec))  # the caller has replaced it
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
            self._report(lines, error)  # written, but `fsync` failed

    def _next_lines(self, size: int) -> tuple[list[bytes], bytes]:
        """Return the lines that fit into a file of *size* bytes, at least one, and their bytes."""
        lines = self._lines[:]
        limit = LARGEST_WRITE_BYTES
        if size < self.maxBytes and self.backupCount > 0:  # else a due rotation has failed
            limit = min(limit, self.maxBytes - (size or len(self._bom)))
        data = b"".join(lines)
        if len(data) < limit:
            return lines, data
        ends = list(itertools.accumulate(map(len, lines)))
        lines = lines[: max(1, bisect.bisect_left(ends, limit))]
        return lines, b"".join(lines)

    def _append_whole(self, fd: int, data: bytes, size: int | None) -> None:
        """Write *data*, the bytes of `_writing`, and take these lines off the list."""
        if self._own_rollover:
            return super()._append_whole(fd, data, size)
        lines = self._writing
        forget = partial(self._lines.__delitem__, slice(len(lines)))
        # C code makes both calls, so no signal handler runs between them: it might raise, and have
        # lines written twice or never.
        written: int
        written, _ = map(partial.__call__, (partial(os.write, fd, data), forget))  # type: ignore[arg-type]  # an int, a None
        self._count(len(lines), len(data))
        if written != len(data):
            self._finish(fd, lines, written, size)
        return None

    def _finish(self, fd: int, lines: list[bytes], written: int, size: int | None) -> None:
        """Put back those of *lines* beyond *written* bytes: a full disk gets whole lines, no part of one."""
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
        """Drop and report the lines that still cannot be written."""
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
        """Write the buffer when it is due, until it is empty; return False once the handler is closed."""
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
        # Polls: a blocking `acquire` could get the lock while the interpreter shuts down, which stops
        # a daemon thread there. It would never release the lock.
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
    """The line of one of the handler's own notices, and the number of lost records that it reports."""

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
