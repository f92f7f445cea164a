"""Reads the last line of a file that has no newline at its end, as programs that do not log leave it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from chora_logging.eventlog.events import Event, Skipped
from chora_logging.eventlog.lines import SHOWN_LINE_BYTES, events_in, read_malformed
from chora_logging.eventlog.rotated.file import LogFile
from chora_logging.eventlog.selection import Selection

#: For how long nobody has written to a file that is finished, in seconds.
FINISHED_SECONDS = 1.0

_REASON = "at the end without a newline, perhaps not whole"


def last_line(
    file: LogFile, selection: Selection, skipped: Callable[[Skipped], None]
) -> Iterator[Event] | None:
    """Return the events of the line that is left in *file*, which was read to its last newline.

    An object is whole as it stands, because no part of one is an object. Anything else may be a part of a
    line that is being written: it is given, as a `RawLine`, if the file is finished. None if nothing is left,
    or if it is the end of a torn backup.
    """
    block = file.unended()
    if block is None:
        return None
    line = block.chunk[:-1]
    objects, reason = read_malformed(line)
    is_finished = file.place.number > 0 or time.time() - file.time() / 1000 > FINISHED_SECONDS
    if objects or not reason or (selection.raw and is_finished):
        return events_in(block, selection, skipped)
    if not file.place.number:
        skipped(Skipped(block.path, block.start, _REASON, line[:SHOWN_LINE_BYTES], block.first_line()))
    return None
