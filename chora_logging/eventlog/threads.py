"""Reading in a thread beside the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


async def in_thread(function: Callable[[], _Result]) -> _Result:
    """Call *function* in a thread; a cancellation takes effect when it has returned."""
    import asyncio  # programs that only log should not pay for it

    reading = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        # The thread has the files: they are closed when it has given them back.
        await asyncio.wait([reading])
        reading.exception()  # else asyncio complains that nobody asked
        raise
