"""Reading in a thread beside the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


async def in_thread(function: Callable[[], _Result]) -> _Result:
    """Call *function* in a thread; a cancellation takes effect when it has returned or was not begun."""
    import asyncio  # programs that only log should not pay for it

    decided = threading.Lock()  # whoever takes it decides: the thread that it is called, or we that it is not

    def call() -> _Result:
        if decided.acquire(blocking=False):
            return function()
        raise asyncio.CancelledError

    reading = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        if not decided.acquire(blocking=False):
            # The thread has the files: they are closed when it has given them back.
            await asyncio.wait([reading])
            reading.exception()  # else asyncio complains that nobody asked
        raise
