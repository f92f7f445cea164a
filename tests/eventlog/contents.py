"""Writes logs with given bytes and reads everything in them."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from unittest import mock


@contextlib.contextmanager
def log_of(content, chunk):
    """A log that is read in chunks of a given size; its lines have at most 128 chunks."""
    with contextlib.ExitStack() as stack:
        for module in ("rotated.file", "reading"):
            stack.enter_context(mock.patch(f"chora_logging.eventlog.{module}.CHUNK", chunk))
            stack.enter_context(
                mock.patch(f"chora_logging.eventlog.{module}.LONGEST_LINE_BYTES", 128 * chunk)
            )
        path = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()), "app.log")
        path.write_bytes(content)
        yield path


def places(events):
    """Return everything that an event consists of."""
    return [(repr(event), event.cursor, event.json) for event in events]
