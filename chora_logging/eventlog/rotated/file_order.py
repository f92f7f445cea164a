"""Determines which file follows a file that was read, also if that is no longer in the set.

The next file in the set follows a file that is still in it. A file that has disappeared from the set
was compressed or restored from a copy, and is recognised by its content; or it was deleted, and the
files not seen before are newer. A reader that holds its descriptor knows which, but not whether other
files were created and deleted in between: a `Gap` reports where that is possible.
"""

from __future__ import annotations

import collections
import functools
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from chora_logging.compressed_files import check
from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.rotated import locating
from chora_logging.eventlog.rotated.copies import begins_with
from chora_logging.eventlog.rotated.cursor import GUARD, Position
from chora_logging.eventlog.rotated.file import LogFile, ReadAt
from chora_logging.eventlog.rotated.plain import CHUNK

Files = Sequence[LogFile]

#: How many seen files are remembered.
_REMEMBERED_FILES = 200


class FileOrder:
    """The order of the files of one log, as seen by one reader."""

    def __init__(self) -> None:
        self._seen = SeenFiles()  # the files that were read and older ones
        self._sizes: dict[int | None, int] = {}  # by generation, at the last `hold`

    def hold(self, files: Files, index: int) -> None:
        """Record that the file at *index* is read now; the files before it count as seen."""
        self._sizes = {file.generation: file.size() for file in files if not file.compressed}
        for older in files[:index]:
            self._seen.add(older)

    def finish(self, file: LogFile) -> None:
        """Record that *file* has been read to its end."""
        self._seen.add(file)

    def locate(self, files: Files, position: Position) -> tuple[int | None, Gap | None]:
        """Like `locating.locate`, among the files that have not been read beyond the position."""
        unread = self._unread(files, position.offset)
        found, gap = locating.locate([files[i] for i in unread], position)
        return None if found is None else unread[found], gap

    def copy_of(self, file: LogFile, files: Files) -> int | None:
        """Return the index of a copy of the former content of *file*, which was truncated, or None."""
        if file.offset:
            unread = self._unread(files, file.offset)
            found = locating.find([files[i] for i in unread], file.position())
            index = None if found is None else unread[found]
        else:  # only its first bytes are known: choose the newest file that begins with them
            head = file.head_as_read()
            alike = [i for i, other in enumerate(files) if head and other.head().startswith(head)]
            index = next((i for i in reversed(alike) if files[i] not in self._seen), None)
        is_copy = index is not None and files[index].place.identity != file.place.identity
        return index if is_copy else None

    def next_of(self, file: LogFile, files: Files) -> tuple[int | None, Gap | None]:
        """Return the index of the file after *file*, which is open, and the gap in between.

        The index is None if there is no next file yet. If *file* itself now has another identity, its
        index is returned, and the file at that index is moved to the offset of *file*.
        """
        # While its descriptor is open, no other file can get its inode; but a packed one can be overwritten.
        for index, other in enumerate(files):
            is_file = other.place.identity == file.place.identity
            if is_file and other.fingerprint() == file.fingerprint():
                if index + 1 == len(files):
                    return None, None
                file.expected = other.expected
                return index + 1, locating.gap_of_hole(file, files[index + 1])
        found = self._same(file, files)
        if found is not None:  # it was compressed, or restored from a copy
            files[found].seek(file.offset)
            return found, None
        return self._after_deletion(file, files)

    def _same(self, file: LogFile, files: Files) -> int | None:
        position = file.position()
        alike = (i for i in self._unread(files, file.offset) if begins_with(files[i], file))
        return next((i for i in alike if not file.offset or files[i].holds(position)), None)

    def _unread(self, files: Files, offset: int) -> list[int]:
        """Return the indexes of the files not read beyond *offset*; up to there many may be alike."""
        return [index for index, file in enumerate(files) if self._seen.length_of(file) <= offset]

    def _after_deletion(self, file: LogFile, files: Files) -> tuple[int | None, Gap | None]:
        """Return what `next_of` returns for *file*, which was deleted."""
        exact = locating.after_recorded(files, file.position())
        if exact is not None and not self._is_seen(files[exact[0]]):
            return exact
        seen = [i for i, other in enumerate(files) if self._is_seen(other) or begins_with(file, other)]
        unseen = [i for i in range(len(files)) if i not in seen]
        newest = max(seen, default=-1)
        index = next((i for i in unseen if i > newest and _may_follow(files[i], file)), None)
        if index is None:
            return None, None
        between = _between(file, files, index)
        if between is not None:
            # Even if the count is 0, another tool may have rotated since the last poll.
            reason = "files were deleted before they were read"
            size = sum(self._sizes.get((file.generation or 0) + step, 0) for step in range(1, between + 1))
            gap = locating.gap_before(files[index], file.position(), reason, between or None, size or None)
            return index, gap
        if len(unseen) == 1 and not _steps(file, files[index]):
            return index, None
        reason = "the file was deleted, and other files may have been before they were read"
        return index, locating.gap_before(files[index], file.position(), reason)

    def _is_seen(self, file: LogFile) -> bool:
        length = self._seen.length_of(file)
        if not length or file.place.number or file.length() == length:
            return length > 0
        # An old backup was put in the place of the log and grows: skip the part that was seen.
        start = max(0, length - CHUNK)
        file.seek(start + file.peek(length - start, start).rfind(b"\n") + 1)
        return False


def _may_follow(other: LogFile, file: LogFile) -> bool:
    """Return whether *other*, not seen before, may be newer than *file* and is no restored backup."""
    if not other.head():
        return False
    return not other.place.number or _steps(file, other) > 0 or not locating.is_older(other, file.position())


def _between(file: LogFile, files: Files, index: int) -> int | None:
    """Return the number of files between *file* and the one at *index*, if only our handler rotates."""
    steps = _steps(file, files[index])
    by_others = any(other.log_id != file.log_id or other.generation == file.generation for other in files)
    return steps - 1 if steps > 0 and not by_others else None


def _steps(file: LogFile, other: LogFile) -> int:
    """Return by how many rotations of our handler *other* is newer than *file*; 0 if that is unknown."""
    if file.generation is None or other.generation is None or file.log_id != other.log_id:
        return 0
    return other.generation - file.generation


class SeenFiles:
    """Recognises the newest files seen by content, because inodes are reused for new files."""

    def __init__(self) -> None:
        self._files: collections.deque[_SeenFile] = collections.deque(maxlen=_REMEMBERED_FILES)

    def add(self, file: LogFile) -> None:
        """Remember *file*; an empty file has no content by which to recognise it."""
        if not file.head() or file in self:
            return
        length = file.length()
        guard = b"" if file.compressed else file.peek(GUARD, max(0, length - GUARD))
        self._files.append(_SeenFile(file.head(), length, guard, file.fingerprint()[1]))

    def __contains__(self, file: LogFile) -> bool:
        return self.length_of(file) > 0

    def length_of(self, file: LogFile) -> int:
        """Return how many bytes of *file* were seen; 0 if it was not seen."""
        head, length, peek = file.head(), file.length(), functools.cache(file.peek)
        alike = (seen for seen in self._files if head.startswith(seen.head))
        return max((seen.length for seen in alike if seen.is_file(file, length, peek)), default=0)


class _SeenFile(NamedTuple):
    head: bytes
    length: int
    guard: bytes  # the last bytes of a plain file
    trailer: bytes  # the checksum and length at the end of a compressed file; empty for a plain one

    def is_file(self, file: LogFile, length: int, peek: ReadAt) -> bool:
        """Return whether *file*, which begins like it, is this one; *length* and *peek* are its own."""
        if self.trailer:
            return self.trailer == (file.fingerprint()[1] if file.compressed else _trailer(file, self.length))
        if length < self.length or (file.compressed and length > self.length):
            return False
        return peek(len(self.guard), self.length - len(self.guard)) == self.guard


def _trailer(file: LogFile, length: int) -> bytes:
    """Return the end that *file* would have if we compressed it; empty for another length."""
    if file.length() != length:
        return b""
    checksum = offset = 0
    while data := file.peek(CHUNK, offset):
        checksum = zlib.crc32(data, checksum)
        offset += len(data)
    return check(checksum, offset)


def first_filled(files: Files, index: int | None) -> int | None:
    """Return the index of the first file from *index* on that is not empty.

    The follower does not hold an empty file but the one before it: an empty file has no content by
    which to recognise it after it was filled and renamed or copied.
    """
    if index is None:
        return None
    return next(
        (number for number in range(index, len(files)) if files[number].offset or files[number].head()), None
    )
