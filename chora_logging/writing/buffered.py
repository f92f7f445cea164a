"""Buffers lines in memory and writes them in batches: cheaper calls, a `kill -9` loses the last interval.

A call adds its line to a list and returns. The list is written at a certain size, for a record of a
certain level, on `flush` and `close`, before a fork, and by a thread after an interval. Lines are taken
off the list under the log's mutex. They are added without any lock, so a signal handler or a `__del__`
that logs finds no half-done state, and a thread that logs waits for no other.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable
from typing import Any

from chora_logging.errors import BufferFullError, ConfigurationError, UnsyncedError
from chora_logging.log_files import LONGEST_LINE_BYTES
from chora_logging.options import checked_names, parse_choice, parse_level, parse_size, parse_timeout
from chora_logging.writing.flushing import Flusher
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.live_file import line_too_long

#: How long to wait before a failed write is retried, in seconds.
WRITE_RETRY_SECONDS = 1.0
#: How often the thread polls for the mutex, in seconds.
_LOCK_POLL_SECONDS = 0.001


class BufferedEventFileHandler(EventFileHandler):
    """Write records to a rotated file as `EventFileHandler` does, many with one `write`.

    Use it where there are too many calls to wait for the disk in each. Programs that leave by
    `os._exit` or one of the `os.exec…` must call `logging.shutdown()` before, or lose the buffered lines.

    Promised: what `EventFileHandler` promises, except that a returned call is not yet a written line.
    `kill -9`, and any signal that ends the process unhandled, loses at most the lines of the last
    *flush_interval* and of the time that the write itself takes. When `flush` returns, all lines
    before it are written unless the disk refused them; without `"drop"` the same holds when the
    call for a record of *flush_level* or above returns. An exit by return, exception or `sys.exit`
    loses nothing, in multiprocessing children too, and a fork loses nothing. `with Pool()` may end its
    workers by SIGTERM: call `flush` at the end of their functions, or leave by a SIGTERM handler. While
    writes fail, no line is lost until *max_buffer*; the lines are written in their order when writes
    succeed again. Dropped records go to `handleError`, and the log reports their number.

    Not promised: that `"drop"` never waits outside of logging calls. `flush`, `close`, a fork and
    the end of the program do wait.

    Args:
        filename: The path of the log.
        args: The further positional arguments of `EventFileHandler`.
        flush_interval: How long a line may stay in the buffer, in seconds.
        flush_size: Write when the buffer has this size; bytes, or a string such as `"64kB"`.
        flush_level: Write immediately from this level on.
        max_buffer: The largest size of the buffer, when the disk is slow or writes fail.
        when_full: What a call does then. `"block"` waits for a slow disk, and drops the record if the
            write fails; a call that reaches *flush_size* or *flush_level* writes the buffer itself.
            `"drop"` never waits: the handler's own thread writes everything, records of *flush_level*
            too. Use it in asyncio and other programs that must not block.
        options: The keyword arguments of `EventFileHandler`. *fsync* applies to each `write`.

    Raises:
        ConfigurationError: an argument is invalid or unknown.
        OSError: as for `EventFileHandler`.

    Thread and process safe; a forked child starts with an empty buffer. A subclass
    that overrides `shouldRollover` buffers nothing: it is called for each record.

    Example:
        >>> handler = BufferedEventFileHandler("var/app.log", maxBytes="10MB", backupCount=5)
        >>> handler.setFormatter(EventFormatter())
        >>> logging.getLogger("shop").addHandler(handler)
        >>> logging.getLogger("shop").warning("Stock is low", extra={"event": "stock_low"})
        >>> handler.flush()
        >>> EventLog("var/app.log").last(1)[0]["event"]
        'stock_low'
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
        self.flush_interval: float = parse_timeout("flush_interval", flush_interval)
        self.flush_size: int = parse_size("flush_size", flush_size)
        self.flush_level: int = parse_level("flush_level", flush_level)
        self.max_buffer: int = parse_size("max_buffer", max_buffer)
        if self.max_buffer < self.flush_size:
            raise ConfigurationError("max_buffer", max_buffer, f"flush_size ({self.flush_size}) or more")
        self.when_full: str = parse_choice("when_full", when_full, ("block", "drop"))
        self._begin()
        super().__init__(filename, *args, **options)
        _handlers.add(self)

    def _begin(self) -> None:
        """Start with an empty buffer and no thread."""
        self._lines: list[bytes] = []
        self._size = 0
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
            usual = formatter is self.formatter and self.terminator == "\n" and "format" not in self.__dict__
            if usual and formatter is not None:
                line = formatter.encode(record) + b"\n"
            else:
                line = self._encode(self.format(record) + self.terminator)
            if self._size >= self.max_buffer:
                self._wait_for_space()
            try:
                urgent = record.levelno >= self.flush_level
            except TypeError:  # a record made by hand may have no level
                urgent = True
            length = len(line)
            if length > LONGEST_LINE_BYTES:
                raise line_too_long(self.baseFilename, length)
        except Exception as error:
            return self._fail(record, error)
        # `_buffer_line`, inlined: a call of it would be measurable here.
        lines = self._lines
        lines += (line,)
        self._size = size = self._size + length
        if urgent or size >= self._alarm_size:
            self._schedule_write(urgent)
        return None

    def _buffer_line(self, line: bytes, urgent: bool) -> None:
        # Between two calls CPython runs one thread and no signal handler, so the sum is exact, and what a
        # signal handler raises comes before the line is buffered or after it. `append` would be a call.
        length, lines = len(line), self._lines
        lines += (line,)
        self._size = size = self._size + length
        if urgent or size >= self._alarm_size:
            self._schedule_write(urgent)

    def _write_notice(self, line: bytes, failed: Callable[[Exception], None]) -> None:
        if self._own_rollover:
            return super()._write_notice(line, failed)
        notice = _NoticeLine(line)
        notice.failed = failed
        return self._buffer_line(notice, urgent=False)

    def flush(self) -> None:
        """Write all buffered lines; those that cannot be written stay buffered and are retried."""
        self._write_buffered()
        super().flush()

    def doRollover(self) -> None:
        """Write all buffered lines, then rotate as `EventFileHandler.doRollover` does."""
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

    def __del__(self) -> None:
        # The end of its life is an end, too: `logger.handlers.clear()`, `removeHandler`.
        is_made = "lock" in self.__dict__  # else the constructor has raised
        if is_made and not self._log.is_closed:
            self.close()

    def _schedule_write(self, urgent: bool) -> None:
        """Have the buffer written: now if it is *urgent* or large, else by the flusher."""
        urgent = urgent or self._size >= self.flush_size
        if self._log.is_closed or (urgent and self.when_full == "block" and self._may_write()):
            self._write_buffered()
            urgent = False
        if self._log.is_closed:
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
        if not self._lines:  # a signal handler may have raised before the sum was corrected
            self._size = 0
        if self._size >= self.max_buffer:
            reason = f"{self._size} bytes are waiting to be written"
            if self._write_error is not None:
                reason += f" ({self._write_error})"
            raise BufferFullError(self.baseFilename, reason) from self._write_error

    def _write_buffered(self) -> None:
        """Write the lines that are buffered now; keep those that cannot be written."""
        log = self._log
        with log.mutex.lock:
            if log.mutex.busy and log.mutex.is_interrupted():
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
        self._since, self._is_urgent = time.monotonic(), False
        lines = self._lines
        if self._stream is not None:
            batch = lines[:]
            self._stream.write(b"".join(batch).decode(self._codec))  # the caller has replaced it
            self._forget(len(batch))
        elif self._log.is_closed and self.mode == "w":
            self._forget(len(lines))
        while lines:
            try:
                self._log.append_many(lines, self._taken)
            except UnsyncedError as error:
                self._report(list(error.lines), error)
                continue
            if self._lost:
                self._report_lost()
            if not self._log.is_closed:
                break

    def _taken(self, count: int, size: int) -> None:
        self._size -= size
        if not self._lines:
            self._size = 0

    def _forget(self, count: int) -> None:
        lines = self._lines[:count]
        del self._lines[:count]
        self._taken(count, sum(map(len, lines)))

    def _report_unwritten(self) -> None:
        """Drop and report the lines that still cannot be written."""
        mutex = self._log.mutex
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
                    line.failed(error)
                else:
                    text = line.decode(self._codec, "replace").removesuffix(self.terminator)
                    self._fail(logging.makeLogRecord({"msg": text}), error)

    def _watch(self, wait: Callable[[float], object]) -> bool:
        """Write the buffer when it is due, until it is empty; return False once the handler is closed."""
        is_over = False  # known without the clock, which may stand still or jump
        while not self._log.is_closed:
            pause = min(self._retry_at - time.monotonic(), WRITE_RETRY_SECONDS)
            if self._write_error is None:
                left = self._since + self.flush_interval - time.monotonic()
                pause = 0 if self._is_urgent else min(left, self.flush_interval)
            if pause > 0 and not is_over:
                is_over = not wait(pause)
                continue
            is_over = False
            if self._lines:
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
        while not self._log.mutex.lock.acquire(blocking=False):
            if self._log.is_closed:
                return
            time.sleep(_LOCK_POLL_SECONDS)
        try:
            if not self._log.is_closed:
                self._write_buffered()
        finally:
            self._log.mutex.lock.release()


class _NoticeLine(bytes):
    """The line of one of the handler's own notices, and what to call if it cannot be written."""

    failed: Callable[[Exception], None]


_handlers: weakref.WeakSet[BufferedEventFileHandler] = weakref.WeakSet()


def _write_all() -> None:
    for handler in list(_handlers):
        handler._write_buffered()


def _close_all() -> None:
    for handler in list(_handlers):
        handler.close()


def _begin_all_after_fork() -> None:
    for handler in list(_handlers):
        handler._begin()


os.register_at_fork(before=_write_all, after_in_child=_begin_all_after_fork)
