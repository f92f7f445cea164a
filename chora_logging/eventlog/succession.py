"""What comes after a file that has been read, where the names in the set do not say it.

As long as a file is in the set, the next one in it comes next. One that has vanished from it was
compressed or put back from a copy, then it is known by its content; or it was deleted, and what is
unknown has come since. Whoever keeps its descriptor can say so for certain, but never whether others
came and were deleted in between: a `Gap` says that where it can be.
"""

from __future__ import annotations

from collections.abc import Sequence

from chora_logging.eventlog import locating
from chora_logging.eventlog.content import CHUNK
from chora_logging.eventlog.copies import begins_with
from chora_logging.eventlog.cursor import Position
from chora_logging.eventlog.files import LogFile
from chora_logging.eventlog.items import Gap
from chora_logging.eventlog.known import KnownFiles

Files = Sequence[LogFile]


class Succession:
    """The order of the files of one log, as far as one reader has seen it."""

    def __init__(self) -> None:
        self._known = KnownFiles()  # what has been read or is older than that
        self._sizes: dict[int | None, int] = {}  # by generation, when they were last seen

    def hold(self, files: Files, index: int) -> None:
        """Of *files* the one at *index* is read now, and those before it not any more."""
        self._sizes = {file.generation: file.size() for file in files if not file.compressed}
        for older in files[:index]:
            self._known.add(older)

    def finish(self, file: LogFile) -> None:
        """All that *file* holds has been read."""
        self._known.add(file)

    def locate(self, files: Files, position: Position) -> tuple[int | None, Gap | None]:
        """As `locating.locate`, in what has not been read beyond the position."""
        unread = self._unread(files, position.offset)
        found, gap = locating.locate([files[i] for i in unread], position)
        return None if found is None else unread[found], gap

    def copy_of(self, file: LogFile, files: Files) -> int | None:
        """The index of a copy of what has gone from *file*, which was truncated."""
        if file.offset:
            unread = self._unread(files, file.offset)
            found = locating.find([files[i] for i in unread], file.position())
            index = None if found is None else unread[found]
        else:  # only its beginning is known: of files that begin so the newest one is meant
            head = file.head_as_read()
            alike = [i for i, other in enumerate(files) if head and other.head().startswith(head)]
            index = next((i for i in reversed(alike) if files[i] not in self._known), None)
        is_copy = index is not None and files[index].place.identity != file.place.identity
        return index if is_copy else None

    def next_of(self, file: LogFile, files: Files) -> tuple[int | None, Gap | None]:
        """The index of what comes after *file*, which is open, and what is missing in between.

        The index is None as long as nothing does. It is that of *file* itself under another name if
        that has got another identity; it stands then where *file* does.
        """
        # While its descriptor is held, no other file can get the inode of this one.
        for index, other in enumerate(files):
            if other.place.identity == file.place.identity:
                return index + 1 if index + 1 < len(files) else None, None
        found = self._same(file, files)
        if found is not None:  # it was compressed, or put back from a copy
            files[found].seek(file.offset)
            return found, None
        return self._after_deletion(file, files)

    def _same(self, file: LogFile, files: Files) -> int | None:
        position = file.position()
        alike = (i for i in self._unread(files, file.offset) if begins_with(files[i], file))
        return next((i for i in alike if not file.offset or files[i].holds(position)), None)

    def _unread(self, files: Files, offset: int) -> list[int]:
        """The indexes of those that have not been read beyond *offset*: up to there many may be alike."""
        return [index for index, file in enumerate(files) if self._known.length_of(file) <= offset]

    def _after_deletion(self, file: LogFile, files: Files) -> tuple[int | None, Gap | None]:
        """What comes after *file*, which has been deleted."""
        known = [i for i, other in enumerate(files) if self._is_known(other) or begins_with(file, other)]
        unknown = [i for i in range(len(files)) if i not in known]
        newest = max(known, default=-1)
        index = next((i for i in unknown if i > newest and _may_follow(files[i], file)), None)
        if index is None:
            return None, None
        between = _between(file, files, index)
        if between is not None:
            # If none is by this count, somebody else may still have rotated since the last look.
            reason = "files were deleted before they were read"
            size = sum(self._sizes.get((file.generation or 0) + step, 0) for step in range(1, between + 1))
            gap = locating.gap_before(files[index], file.position(), reason, between or None, size or None)
            return index, gap
        if len(unknown) == 1 and not _steps(file, files[index]):
            return index, None
        reason = "the file was deleted, and perhaps others before they were read"
        return index, locating.gap_before(files[index], file.position(), reason)

    def _is_known(self, file: LogFile) -> bool:
        length = self._known.length_of(file)
        if not length or file.place.number or file.length() == length:
            return length > 0
        # An old backup was put in the place of the log, and goes on: what is known of it is passed over.
        start = max(0, length - CHUNK)
        file.seek(start + file.peek(length - start, start).rfind(b"\n") + 1)
        return False


def _may_follow(other: LogFile, file: LogFile) -> bool:
    """Whether *other*, which is not known, has come since *file*, and is no old backup that was put back."""
    if not other.head():
        return False
    return not other.place.number or _steps(file, other) > 0 or not locating.is_older(other, file.position())


def _between(file: LogFile, files: Files, index: int) -> int | None:
    """How many files were between *file* and the one at *index*, if only our handler rotates the log."""
    steps = _steps(file, files[index])
    by_others = any(other.log_id != file.log_id or other.generation == file.generation for other in files)
    return steps - 1 if steps > 0 and not by_others else None


def _steps(file: LogFile, other: LogFile) -> int:
    """How many rotations of ours *other* is newer than *file*; 0 where nobody counted."""
    if file.generation is None or other.generation is None or file.log_id != other.log_id:
        return 0
    return other.generation - file.generation
