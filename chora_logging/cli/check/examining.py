"""Classifies each line of a file: an event, or a problem.

Lines are read by the parts that `EventLog` uses, not by `EventLog` itself: a check also has to know the
file and the number of a line, and whether the same line came before.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from chora_logging.cli import amounts
from chora_logging.compressed_files import suffix_of
from chora_logging.eventlog.decoding import REFUSED, decode
from chora_logging.eventlog.lines import SHOWN_LINE_BYTES, read_malformed
from chora_logging.eventlog.meaning import USUAL, Meaning
from chora_logging.eventlog.rotated.content import open_content
from chora_logging.eventlog.rotated.file import LogFile

TORN, FOREIGN, DUPLICATED, UNREADABLE, MISSING = "torn", "foreign", "duplicated", "unreadable", "missing"
LATE, UNFINISHED, COPY, EMPTY, GONE, LINK = "out of order", "unfinished", "copy", "empty", "gone", "link"

#: The kinds that are damage. An event out of order is not: it is whole and is read. Its writer was stopped
#: before it took the lock, or the clock was set back. A copy of a file is not damage either, since no
#: reader reads it: `copytruncate` has one for a moment. Nor is an empty one: logrotate rotates empty logs.
#: Nor is a link: if it is in the place of a backup, that is missing.
DAMAGE = (TORN, FOREIGN, DUPLICATED, UNREADABLE, MISSING)

#: By how many seconds an event may be older than an earlier one without being a problem: several writers
#: take their timestamps before they take the lock. 24 ms were measured; it is more on a busy machine.
JITTER_SECONDS = 1.0

#: After how many seconds without a write an unfinished line is torn. A writer writes a line in one call, and
#: the file gets its time when the call begins, so that one which is not older than the longest call may grow.
UNFINISHED_SECONDS, LONGEST_WRITE_SECONDS = 1.0, 60.0

#: The least number of earlier lines with which each line is compared. A file that is twice in a set, as an
#: interrupted `copytruncate` leaves it, is no farther from its copy; 10 MB are some 40,000 lines.
REMEMBERED_LINES = 250_000


class Problem(NamedTuple):
    """A problem in a file.

    Attributes:
        path: The file.
        line: The number of the line, from 1; 0 before the first line.
        kind: The kind of problem.
        reason: A description of it.
        text: The beginning of the line.
    """

    path: str
    line: int
    kind: str
    reason: str
    text: bytes


@dataclass
class Examination:
    """The content of a file, counted.

    Attributes:
        path: The file.
        number: Its number as a backup; 0 is the live file.
        size: Its uncompressed size in bytes.
        lines: The number of lines, including blank ones.
        blank: The number of blank lines.
        events: The number of events.
        found: The number of problems, by kind.
        first: The time of the earliest event, in seconds since 1970; infinite if none has one.
        last: The time of the latest.
        late: The number of events that are older than an earlier one.
        latest: By how many seconds they are, at most.
        reached: The time that the events of the file have reached.
    """

    path: str
    number: int = 0
    size: int = 0
    lines: int = 0
    blank: int = 0
    events: int = 0
    found: Counter[str] = field(default_factory=Counter)
    first: float = math.inf
    last: float = -math.inf
    late: int = 0
    latest: float = 0.0
    reached: float = -math.inf

    @property
    def skipped(self) -> int:
        """The number of lines that a reader skips."""
        return sum(self.found[kind] for kind in (TORN, FOREIGN, UNREADABLE, UNFINISHED))


class Examiner:
    """Examines files, the oldest first.

    Args:
        on_problem: Called with each problem.
        meaning: Says which field is the time.
    """

    def __init__(self, on_problem: Callable[[Problem], None], meaning: Meaning = USUAL) -> None:
        self._on_problem = on_problem
        self._time_of = meaning.time_of
        self._window = Window()
        self._older: int | None = None  # the number of the file before

    def examine(self, file: LogFile) -> Examination:
        """Examine every line of *file*."""
        found = Examination(file.path, file.place.number)
        if file.missing_before:
            reason = f"{_missing(file, self._older)} deleted, emptied or replaced: restore from a copy"
            self._report(found, MISSING, reason, b"")
        self._older = file.place.number
        while block := file.read_block():
            if block.overlong:
                found.lines += 1
                self._report(found, UNREADABLE, f"{block.overlong:,} bytes are too long for a line", b"")
                continue
            for line in block.chunk.split(b"\n")[:-1]:  # the last one is not complete
                self._line(found, line)
        found.size = file.offset
        if file.missing:
            self._report(
                found, GONE, f"{amounts.size(file.missing)} were deleted before they were checked", b""
            )
        else:
            self._rest(found, file)
            if (size := file.cut_off()) and not file.damage:
                reason = f"{amounts.size(size)} cut off its end since it was rotated: restore from a copy"
                self._report(found, MISSING, reason, b"")
        return found

    def examine_lost(self, found: Examination, kind: str, reason: str) -> None:
        """Report what is missing of the live file, which was examined if it is there."""
        self._report(found, kind, reason, b"")

    def examine_left_out(self, path: str) -> Examination:
        """Report why the file *path* is not read with the others."""
        found = Examination(path, number=1)
        if os.path.islink(path):
            self._report(found, LINK, "a symbolic link, which readers do not follow", b"")
            return found
        try:
            if (opened := open_content(path)) is None:
                return found
        except FileNotFoundError:
            return found  # rotated since it was listed
        except OSError as error:
            self._report(found, UNREADABLE, error.strerror or str(error), b"")
            return found
        with contextlib.closing(opened[0]) as content:
            if content.read(1, 0):
                self._report(found, COPY, "all of its content is in a newer file too", b"")
            elif content.damage:
                self._report(found, UNREADABLE, f"the compressed file is {content.damage}", b"")
            else:
                self._report(found, EMPTY, "it has no line", b"")
        return found

    def _line(self, found: Examination, line: bytes) -> None:
        found.lines += 1
        try:
            events = [(decode(line), line)]
        except REFUSED:
            objects, reason = read_malformed(line)
            events = [(event.fields, event.strict) for event in objects]
            if reason:
                self._report(found, kind_of(line), reason, line)
            elif len(events) > 1:
                self._report(found, TORN, f"{len(events)} events on one line", line)
            elif not events:
                found.blank += 1
        for event, text in events:
            found.events += 1
            self._time(found, text, self._time_of(event))

    def _time(self, found: Examination, line: bytes, moment: float | None) -> None:
        if moment is None:
            return
        # Without microseconds, or without a time, equal lines may be different events.
        if round(moment * 1e6) % 1000 and self._window.add(line):
            self._report(found, DUPLICATED, "the same as an earlier line", line)
        late = found.reached - moment
        if late > 0:
            found.late += 1
            found.latest = max(found.latest, late)
        if late > JITTER_SECONDS:
            self._report(found, LATE, f"{amounts.duration(late * 1000)} older than an event before it", line)
        if late <= 0 or late > JITTER_SECONDS:
            found.reached = moment  # a clock that was set back is reported once
        found.first, found.last = min(found.first, moment), max(found.last, moment)

    def _rest(self, found: Examination, file: LogFile) -> None:
        """Examine the bytes after the last newline."""
        rest = file.rest()
        if rest is None:
            return
        found.lines += 1
        if file.damage:
            self._report(found, UNREADABLE, rest.reason, rest.line)
        elif file.is_growing(UNFINISHED_SECONDS, LONGEST_WRITE_SECONDS):
            self._report(found, UNFINISHED, "no newline at its end yet", rest.line)
        else:
            self._report(found, TORN, "no newline at its end", rest.line)

    def _report(self, found: Examination, kind: str, reason: str, line: bytes) -> None:
        found.found[kind] += 1
        self._on_problem(Problem(found.path, found.lines, kind, reason, line[:SHOWN_LINE_BYTES]))


def _missing(file: LogFile, older: int | None) -> str:
    """Return what is missing before *file* in words, with the names if they are known from the numbers.

    A live file that was deleted never got a number.
    """
    log = os.path.basename(file.path)
    if file.place.number:
        log = log.removesuffix(suffix_of(log)).removesuffix(f".{file.place.number}")
    count, first = file.missing_before, file.place.number + 1
    names = [f"{log}.{number}" for number in range(first, first + count if older is None else older)]
    if len(names) != count or any(rotated.is_gone for rotated in file.record.values()):
        what = f"{amounts.many(count, 'file')} older than this one"
    else:
        what = names[0] if count == 1 else f"{names[-1]} to {names[0]}"
    return f"{what} ({amounts.size(file.missing_bytes)})" if file.missing_bytes else what


def kind_of(line: bytes) -> str:
    """Return whether *line*, which is not an event, is torn or foreign.

    Events begin and end with braces; a file that was not flushed before a power loss has zeros.
    """
    text = line.strip()
    is_part = text.startswith((b'{"', b"\0")) or text.endswith((b'"}', b"}}", b"]}"))
    return TORN if is_part else FOREIGN


class Window:
    """Remembers at least the last *reach* lines, by their hashes.

    A hash has 64 bits and depends on a secret of the process, so that two different lines of a million
    are taken for one with a probability of 1 to 30 million. Memory: about 50 MB when it is full.

    Args:
        reach: The least number of lines to remember; at most twice as many are.
    """

    def __init__(self, reach: int = REMEMBERED_LINES) -> None:
        self._reach = reach
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def add(self, line: bytes) -> bool:
        """Remember *line*, and return whether it was seen before."""
        number = hash(line)
        if number in self._newer or number in self._older:
            return True
        if len(self._newer) >= self._reach:
            self._newer, self._older = set(), self._newer
        self._newer.add(number)
        return False
