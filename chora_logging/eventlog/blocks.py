"""Follows a log without decoding its lines: for who passes them on as they stand in the files."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable

from chora_logging.eventlog.events import Block, Gap
from chora_logging.eventlog.file_feed import SHORTEST_POLL_SECONDS
from chora_logging.eventlog.following import SETTLING_SECONDS, Follower
from chora_logging.eventlog.rotated.file import LogFile, Replaced
from chora_logging.eventlog.subscription import LONGEST_POLL_SECONDS

#: A block of this length or longer, in bytes, shows that there is more: nothing waits before the next one.
FULL_BLOCK_BYTES = 64 * 1024

#: How long a thread polls before it looks whether it is still wanted, in seconds.
_LOOK_SECONDS = 0.25


class BlockFollower(Follower):
    """A `Follower` that returns lines as they stand in the files.

    The last line of a rotated file is a block of its own if it has no newline. It goes up to the end of the
    file.
    """

    _left: list[Block | Gap] = []  # noqa: RUF012  # never changed

    def poll_blocks(self) -> list[Block | Gap] | None:
        """Like `poll_items`, but return at most a gap and one block, after what is left in earlier files.

        Raises:
            OSError: the live file exists and cannot be opened.
        """
        with self._lock:
            found = self._poll()
            left, self._left = self._left, []
            if left:
                self._idle = None
                found = [*left, *(found or ())]
            self.bytes_read += sum(item.length for item in found or () if isinstance(item, Block))
            return found

    def _is_settled(self, file: LogFile) -> bool:
        """Let somebody who writes a line into *file* now end it, also after a rotation of our handler."""
        is_settled = super()._is_settled(file)
        if not is_settled or file.compressed or self._is_copy or not file.peek(1, file.offset):
            return is_settled
        now = time.monotonic()
        self._still_since = self._still_since or now
        return max(file.age(), now - self._still_since) >= SETTLING_SECONDS

    def _finish(self, file: LogFile) -> None:
        block = None
        with contextlib.suppress(Replaced):
            block = file.read_unended()
        if block is None:
            super()._finish(file)
            return
        gap, self._gap = self._gap, None
        self._left = [*self._left, *([] if gap is None else [gap]), block]


async def blocks(
    follower: BlockFollower,
    *,
    linger: float = 0.0,
    live: bool = True,
    on_read: Callable[[], None] | None = None,
) -> AsyncGenerator[list[Block | Gap], None]:
    """Yield what *follower* returns, read in a thread of its own, and close it at the end.

    Args:
        follower: The follower of the log.
        linger: How long to wait after a first new line for others, in seconds.
        live: Wait for new lines at the end of the log, instead of ending there.
        on_read: Called again and again as long as the log can be read, also if nothing is new.
    """
    import asyncio  # programs that only log should not pay for it
    from concurrent.futures import ThreadPoolExecutor

    reader = _Reader(follower, linger, live)
    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(1, f"blocks of {follower.path}")
    try:
        while not reader.is_done:
            items = await loop.run_in_executor(threads, reader.read)
            if on_read is not None:
                on_read()
            if items:
                yield items
    finally:
        reader.stopped.set()
        threads.submit(follower.close)  # after the read under way
        threads.shutdown(wait=False)


class _Reader:
    def __init__(self, follower: BlockFollower, linger: float, live: bool) -> None:
        self.stopped = threading.Event()
        self.is_done = False
        self._follower = follower
        self._linger = linger
        self._live = live
        self._has_more = False

    def read(self) -> list[Block | Gap] | None:
        """Return the next blocks, or None after a while."""
        deadline, pause = time.monotonic() + _LOOK_SECONDS, SHORTEST_POLL_SECONDS
        while not self.stopped.is_set() and time.monotonic() < deadline:
            if self._follower.has_news():
                if self._linger and self._live and not self._has_more:
                    self.stopped.wait(self._linger)
                items = self._follower.poll_blocks()
                self._has_more = any(
                    isinstance(item, Block) and item.length >= FULL_BLOCK_BYTES for item in items or ()
                )
                if items:
                    return items
                if not self._live and self._follower.is_at_end():
                    self.is_done = True
                    return None
            self.stopped.wait(pause)
            pause = min(pause * 2, LONGEST_POLL_SECONDS)
        return None
