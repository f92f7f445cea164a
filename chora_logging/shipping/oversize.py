"""Splits blocks for messages, and replaces a line that no message can hold by a marked event."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from chora_logging.eventlog.events import Block
from chora_logging.eventlog.lines import parse
from chora_logging.schema import LAYOUT
from chora_logging.writing.shared_log import SharedLog

#: The length of a block before compression, in bytes; one line may be longer.
BLOCK_BYTES = 64 * 1024

#: How much of a line that is too long stays in its event, in bytes.
KEPT_BYTES = 64 * 1024

#: The size at which the file of whole lines is rotated, in bytes, and how many backups it has.
_MAX_BYTES, _BACKUP_COUNT = 64 * 1024 * 1024, 1

#: The longest value of a field that stays in the event, in bytes.
_LONGEST_FIELD_BYTES = 1024


def pieces(block: Block, *, before: str | None = None, longest: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield *block* in blocks of whole lines of at most *longest* bytes; a longer line has its own.

    Args:
        block: The block.
        before: The cursor of what was shipped before it. Of late lines, which all have one cursor, only the
            last piece may say that they were read.
        longest: See above.
    """
    begin = 0
    while begin < block.size:
        end = block.chunk.rfind(b"\n", begin, min(begin + longest, block.size)) + 1
        if not end:
            end = block.chunk.find(b"\n", begin, block.size) + 1 or block.size
        late = block.late if end == block.size or not before else block.late and before
        yield block._replace(
            start=block.start + begin,
            chunk=block.chunk[begin:end],
            size=end - begin,
            before=block.place(begin)[2],
            late=late,
        )
        begin = end
    if block.overlong:
        yield block


def replacement(block: Block, limit: int) -> bytes:
    """Return the marked event for the only line of *block*, as a line of at most *limit* bytes.

    It has `truncated` true, the fields of the line that say where it belongs, the length of the line in bytes
    as `line_bytes`, and its beginning as `line`.
    """
    line = (block.chunk[: block.size] or block.beginning).rstrip(b"\r\n")
    known = parse(line) if line else None
    fields = {name: known[name] for name in LAYOUT if known and name in known and _is_short(known[name])}
    event = {**fields, "truncated": True, "line_bytes": block.length}
    kept = min(KEPT_BYTES, limit // 8)  # a byte may become six characters
    if line and kept:
        event["line"] = line[:kept].decode("utf-8", "replace")
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def replacements(block: Block) -> Iterator[bytes]:
    """Yield marked events for the only line of *block*, for a server that does not say how much it takes.

    Each is shorter than the line and than the one before it; the last has nothing of the text of the line. Of
    a line that is hardly longer than that there is none.
    """
    shortest, limit = block.length, min(8 * KEPT_BYTES, block.length // 2)
    while True:
        event = replacement(block, limit)
        if len(event) < shortest:
            shortest = len(event)
            yield event
        if not limit:
            return
        limit = limit // 8 if limit > _LONGEST_FIELD_BYTES else 0


class Oversize:
    """The file of the lines that were too long for a message, whole: rotated, for its owner only.

    A line may be there twice if the shipper was killed before its event was stored.

    Args:
        path: The file; it is made with the first line.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._log = SharedLog(
            os.path.abspath(path), max_bytes=_MAX_BYTES, backup_count=_BACKUP_COUNT, file_mode=0o600
        )

    def keep(self, line: bytes) -> None:
        """Keep *line*, which has its newline.

        Raises:
            OSError: it cannot be written.
        """
        self._log.append(line)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._log.close()


def _is_short(value: object) -> bool:
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace")) <= _LONGEST_FIELD_BYTES
    return isinstance(value, int | float | bool) or value is None
