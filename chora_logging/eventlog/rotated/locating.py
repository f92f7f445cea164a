"""Finds a position again in the current files of a log, or the gap where it is gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.lines import parse
from chora_logging.eventlog.meaning import time_of
from chora_logging.eventlog.rotated.cursor import HEAD, NO_LOG, Position
from chora_logging.eventlog.rotated.file import LogFile
from chora_logging.eventlog.rotated.plain import CHUNK
from chora_logging.eventlog.rotated.stored import Lost
from chora_logging.log_files import Rotated, generation_of, gone_in

#: How much earlier than its last event the mtime of a file may be, in milliseconds: file systems take
#: it from a clock that ticks.
_CLOCK_TICK_MS = 10


def find(files: Sequence[LogFile], position: Position) -> int | None:
    """Return the index of the file that *position* is in; None if it is in none of them.

    A known generation decides, and is checked by content, because other tools may have rotated,
    truncated or restored the file. Of equal files the one with the same inode is chosen, else the oldest.
    """
    for index, file in enumerate(files):
        if _is_generation(file, position) and (not position.offset or file.holds(position)):
            return index
    found = [index for index, file in enumerate(files) if file.holds(position)]
    for index in found:
        if files[index].place.inode & 0xFFFFFFFF == position.inode:
            return index
    return found[0] if found else None


def find_lost(files: Sequence[LogFile], lost: Lost) -> tuple[int | None, bool]:
    """Return the index of the file that *lost* is now, and whether it is complete.

    A copy that was made before the last lines were written lacks these lines.
    """
    if lost.end is None:
        alike = (index for index, file in enumerate(files) if file.fingerprint() == lost.fingerprint)
        index = next(alike, None)
        return index, index is not None
    index = find(files, lost.end)
    if index is not None:
        return index, True
    shorter = [i for i, file in enumerate(files) if file.size() < lost.end.offset]
    if lost.read is not None:
        index = find([files[i] for i in shorter], lost.read)
        return None if index is None else shorter[index], False
    # Nothing of it has been read: a copy begins as it did.
    copies = [i for i in shorter if files[i].place.number and files[i].head() == lost.head and lost.head]
    return next((i for i in reversed(copies) if files[i].place.identity not in lost.siblings), None), False


def after_missing(files: Sequence[LogFile], position: Position) -> tuple[int | None, int | None]:
    """Find where reading resumes if *position* is in none of *files*.

    Returns:
        The index of the first file newer than the position, or None; and the number of files between
        the file of the position and that one, None if it is unknown. The live file always counts as
        newer.
    """
    live = len(files) - 1 if files and not files[-1].place.number else None
    if position.log_id != NO_LOG and all(file.log_id == position.log_id for file in files):
        ahead = [-1 if file.generation is None else file.generation - position.generation for file in files]
        # The same generation with other content: it was rewritten, or another tool rotates the log too.
        if 0 not in ahead:
            index = next((index for index, steps in enumerate(ahead) if steps > 0), None)
            return (live, None) if index is None else (index, ahead[index] - 1)
        newer = next((index for index, file in enumerate(files) if is_newer(file, position)), live)
        return newer, 0 if newer is not None and ahead[newer] == 0 else None
    return next((index for index, file in enumerate(files) if is_newer(file, position)), live), None


def is_newer(file: LogFile, position: Position) -> bool:
    """Return whether *file* is certainly newer than *position*, by time.

    A file last written to before the position's file is older. A file that ends with an event of that
    time or earlier is an unfinished or restored copy; an empty file may be one.
    """
    if not file.head() or file.time() <= position.time:
        return False
    last = _last_time(file)
    return last is None or last * 1000 > position.time + _CLOCK_TICK_MS


def is_older(file: LogFile, position: Position) -> bool:
    """Return whether *file* is certainly older than *position*, by time."""
    last = _last_time(file)
    return file.time() < position.time or (last is not None and last * 1000 < position.time - _CLOCK_TICK_MS)


def locate(files: Sequence[LogFile], position: Position) -> tuple[int | None, Gap | None]:
    """Return the index of the file in which reading resumes, and the gap before it.

    The index is None if no file is newer than the position.

    Args:
        files: The set, oldest first; the file with the position is moved to it with `seek`.
        position: The position of a cursor.
    """
    index = find(files, position)
    if index is not None:
        files[index].seek(position.offset)
        if files[index].is_at(position):
            return index, None
        files[index].seek(0)
    exact = after_recorded(files, position)
    if exact is not None:
        return exact
    index, between = after_missing(files, position)
    count = None if between is None else between + 1
    reason = "the file that the cursor points into was deleted or overwritten"
    return index, gap_before(None if index is None else files[index], position, reason, count)


def gap_of_late_lines(files: Sequence[LogFile], index: int, position: Position) -> Gap | None:
    """Return the gap if a file older than that of *position*, at *index*, was written to since it was read.

    A writer that had the file open may still write to it after the rotation. The time of a file shows
    this, but not in a copy of the folder.
    """
    rotated = recorded(files, position)
    # The inodes of a record are unknown in a copy of the folder.
    is_packed = rotated is not None and rotated.inode > 0 and files[index].generation == position.generation
    is_original = is_packed or files[index].place.inode & 0xFFFFFFFF == position.inode
    if position.older is None or not is_original:
        return None
    late = [file for file in files[:index] if _has_late_lines(file, position.older)]
    if not late:
        return None
    reason = "lines were added to a rotated file after it had been read"
    since = position.older / 1000
    return Gap(reason, len(late), None, since, first_time(files[index]), files[index].path)


def _has_late_lines(file: LogFile, since: int) -> bool:
    """Return whether *file* was written to after the time *since*, in milliseconds, as far as it is known."""
    if file.expected is not None and file.length() <= file.expected:
        return False
    if file.compressed:  # tools give it various times, and its header has whole seconds
        is_larger = file.expected is not None and file.size() > file.expected  # if the trailer is its end
        return is_larger and file.time() // 1000 >= since // 1000
    return file.time() > since and file.has_line()


def after_recorded(files: Sequence[LogFile], position: Position) -> tuple[int, Gap | None] | None:
    """Return what `locate` returns if the file of *position* was deleted or cut, from the record.

    None if the record does not say what the file was, or if there may be other files.
    """
    rotated = recorded(files, position)
    if rotated is None or rotated.size is None or any(map(_is_unknown, files)):
        return None
    # Another tool may have rotated the file of the position in the same generation.
    has_head = position.offset >= min(HEAD, rotated.size)
    is_emptied = rotated.is_gone and not any(rotated.head)  # by nobody who rotates; it may have been larger
    if is_emptied and position.offset >= rotated.size:
        return None
    if not is_emptied and (position.head != rotated.head if has_head else _are_moved(files)):
        return None
    newer = [index for index, file in enumerate(files) if (file.generation or 0) > position.generation]
    there = {file.generation: file for file in files}
    own = there.get(position.generation)
    # It was rewritten, or another file had its generation before it.
    if not newer or (own is not None and own.size() >= min(position.offset, rotated.size)):
        return None
    index, record = newer[0], files[-1].record
    passed = range(position.generation + 1, files[index].generation or 0)
    sizes = [rotated.size - position.offset]
    sizes += [size if each in record and (size := record[each].size) is not None else 1 for each in passed]
    missing = [size for size in sizes if size > 0]
    if not missing:
        return index, None
    reason = f"is {own.damage}" if own is not None and own.damage else "was deleted or cut"
    reason = f"the file that the cursor points into {reason}"
    return index, gap_before(files[index], position, reason, len(missing), sum(missing))


def _are_moved(files: Sequence[LogFile]) -> bool:
    """Return whether the numbers of *files* are not those that our handler has given to them."""
    newest = files[-1].generation
    if newest is None or files[-1].place.number:
        return True
    gone = gone_in(files[-1].record)
    places = ((file, generation_of(file.place.number, newest, gone)) for file in files)
    return any(file.generation not in (None, generation) for file, generation in places)


def _is_unknown(file: LogFile) -> bool:
    return file.generation is None and file.has_line()


def recorded(files: Sequence[LogFile], position: Position) -> Rotated | None:
    """Return what the record says of the file of *position*; None if it does not say anything."""
    if not files or position.log_id == NO_LOG or files[-1].log_id != position.log_id:
        return None
    return files[-1].record.get(position.generation)


def gap_of_hole(file: LogFile, following: LogFile | None) -> Gap | None:
    """Return the gap between *file*, which was read to its end, and the *following* one, if there is one."""
    reasons, size = [], file.cut_off()
    if file.damage and (size or file.expected is None):
        reasons.append(f"a compressed file is {file.damage}")
    elif size:
        reasons.append("the end of a backup was cut off")
    count = len(reasons)
    if following is not None and following.missing_before:
        count += following.missing_before
        size += following.missing_bytes
        reasons.append("backups were deleted, emptied or replaced")
    if not count:
        return None
    return gap_before(following, file.position(), " and ".join(reasons), count, size or None)


def gap_before(
    file: LogFile | None, position: Position, reason: str, files: int | None = None, size: int | None = None
) -> Gap:
    """Return the gap between *position* and *file*, in which reading resumes."""
    since = position.time / 1000 if position.time else None
    if file is None:
        return Gap(reason, files, size, since)
    return Gap(reason, files, size, since, first_time(file), file.path)


def joined(first: Gap, second: Gap) -> Gap:
    """Return two adjacent gaps as one."""
    files = None if first.files is None or second.files is None else first.files + second.files
    size = (first.bytes or 0) + (second.bytes or 0)
    return second._replace(files=files, bytes=size or None, since=first.since)


def first_time(file: LogFile) -> float | None:
    """Return the time of the first event that has one in the first `CHUNK` bytes, in seconds since 1970."""
    return next(_times(file.peek(CHUNK, 0).split(b"\n")[:-1]), None)


def _last_time(file: LogFile) -> float | None:
    end = file.size()
    return next(_times(reversed(file.peek(CHUNK, max(0, end - CHUNK)).split(b"\n")[:-1])), None)


def _times(lines: Iterable[bytes]) -> Iterator[float]:
    for line in lines:
        if (event := parse(line)) is not None and (moment := time_of(event)) is not None:
            yield moment


def _is_generation(file: LogFile, position: Position) -> bool:
    known = position.log_id != NO_LOG and file.log_id == position.log_id
    return known and file.generation == position.generation
