"""What each line of a file is: an event, or what went wrong.

Lines are read by the same parts as `EventLog` reads them, below it: a check also has to know in which
file and line an event stands, and whether its line was there before.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from chora_logging.cli import amounts
from chora_logging.eventlog.lines import REFUSED, SHOWN_LINE_BYTES, decode, read_odd
from chora_logging.eventlog.meaning import time_of
from chora_logging.eventlog.rotated.file import LogFile

TORN, FOREIGN, DUPLICATED, UNREADABLE = "torn", "foreign", "duplicated", "unreadable"
LATE, UNFINISHED, COPY, GONE = "out of order", "unfinished", "copy", "gone"

#: What is damage. An event that is out of order is not: it is whole and is found. Its writer was stopped
#: before its turn to write came, or the clock was set back. Nor is a copy of a file, which no reader reads:
#: `copytruncate` has one for a moment.
DAMAGE = (TORN, FOREIGN, DUPLICATED, UNREADABLE)

#: By how many seconds an event may be older than one that stands before it and still be in its place:
#: several writers take their time stamps before they take turns. 24 ms were measured; a busy machine
#: makes more of it.
JITTER_SECONDS = 1.0

#: For how many seconds the rest of a line is waited for. A writer hands the whole line over at once.
UNFINISHED_SECONDS = 1.0

#: With how many lines before it each line is compared at least. A file that is twice in a set, as an
#: interrupted `copytruncate` leaves it, is that far away from its copy; 10 MB are some 40,000 lines.
REMEMBERED_LINES = 250_000


class Problem(NamedTuple):
    """A line that is not as it should be.

    Attributes:
        path: The file that it is in.
        line: Its number, the first is 1.
        kind: What is wrong.
        reason: How that shows.
        text: The beginning of the line.
    """

    path: str
    line: int
    kind: str
    reason: str
    text: bytes


@dataclass
class Examination:
    """What a file holds.

    Attributes:
        path: The file.
        number: Its number as a backup; 0 is the live file.
        size: Its bytes, unpacked.
        lines: How many lines it has, blank ones included.
        blank: How many of them are blank.
        events: How many are events.
        found: How many lines of each kind are not as they should be.
        first: The time of the earliest event, in seconds since 1970; infinite if none has one.
        last: The time of the latest.
        late: How many events are older than one that stands before them.
        latest: By how many seconds, at most.
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
        """How many lines a reader skips."""
        return sum(self.found[kind] for kind in (TORN, FOREIGN, UNREADABLE, UNFINISHED))


class Examiner:
    """Looks at files, the oldest first.

    Args:
        on_problem: Called with each problem.
    """

    def __init__(self, on_problem: Callable[[Problem], None]) -> None:
        self._on_problem = on_problem
        self._window = Window()

    def examine(self, file: LogFile) -> Examination:
        """Look at every line of *file*."""
        found = Examination(file.path, file.place.number)
        while block := file.read_block():
            if block.overlong:
                found.lines += 1
                self._tell(found, UNREADABLE, f"{block.overlong:,} bytes are too long for a line", b"")
                continue
            for line in block.chunk.split(b"\n")[:-1]:  # the last one is not complete
                self._line(found, line)
        found.size = file.offset
        if file.missing:
            self._tell(
                found, GONE, f"{amounts.size(file.missing)} were deleted before they were checked", b""
            )
        else:
            self._rest(found, file)
        return found

    def examine_left_out(self, path: str) -> Examination:
        """Say why the file *path* is not read with the others."""
        found = Examination(path, number=1)
        try:
            with open(path, "rb"):
                self._tell(found, COPY, "all that it holds is in a newer file too", b"")
        except OSError as error:
            self._tell(found, UNREADABLE, error.strerror or str(error), b"")
        return found

    def _line(self, found: Examination, line: bytes) -> None:
        found.lines += 1
        try:
            events = [(decode(line), line)]
        except REFUSED:
            objects, reason = read_odd(line)
            events = [(event.fields, event.strict) for event in objects]
            if reason:
                self._tell(found, kind_of(line), reason, line)
            elif len(events) > 1:
                self._tell(found, TORN, f"{len(events)} events on one line", line)
            elif not events:
                found.blank += 1
        for event, text in events:
            found.events += 1
            self._time(found, text, time_of(event))

    def _time(self, found: Examination, line: bytes, moment: float | None) -> None:
        if moment is None:
            return
        # Programs may say the same twice in a second, and without a time as often as they like.
        if not moment.is_integer() and self._window.add(line):
            self._tell(found, DUPLICATED, "the same as an earlier line", line)
        late = found.reached - moment
        if late > 0:
            found.late += 1
            found.latest = max(found.latest, late)
        if late > JITTER_SECONDS:
            self._tell(found, LATE, f"{amounts.duration(late * 1000)} older than an event before it", line)
        if late <= 0 or late > JITTER_SECONDS:
            found.reached = moment  # a clock that was set back is told once
        found.first, found.last = min(found.first, moment), max(found.last, moment)

    def _rest(self, found: Examination, file: LogFile) -> None:
        """What comes after the last newline."""
        rest = file.rest()
        if rest is None:
            return
        found.lines += 1
        if file.damage:
            self._tell(found, UNREADABLE, rest.reason, rest.line)
        elif time.time() - file.time() / 1000 > UNFINISHED_SECONDS:
            self._tell(found, TORN, "no newline at its end", rest.line)
        else:
            self._tell(found, UNFINISHED, "no newline at its end yet", rest.line)

    def _tell(self, found: Examination, kind: str, reason: str, line: bytes) -> None:
        found.found[kind] += 1
        self._on_problem(Problem(found.path, found.lines, kind, reason, line[:SHOWN_LINE_BYTES]))


def kind_of(line: bytes) -> str:
    """Whether *line*, which is no event, is a part of events or none.

    Events begin and end with braces, and files that were not written out when a machine lost its power
    have zeros.
    """
    text = line.strip()
    is_part = text.startswith((b'{"', b"\0")) or text.endswith((b'"}', b"}}", b"]}"))
    return TORN if is_part else FOREIGN


class Window:
    """Knows lines by their hash, those of the last *reach* lines at least.

    A hash has 64 bits and depends on a secret of the process, so that two different lines of a million
    are taken for one with a probability of 1 to 30 million. Memory: about 50 MB when it is full.

    Args:
        reach: How many lines are remembered, at least; at most twice as many are.
    """

    def __init__(self, reach: int = REMEMBERED_LINES) -> None:
        self._reach = reach
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def add(self, line: bytes) -> bool:
        """Remember *line*; whether it was there before."""
        number = hash(line)
        if number in self._newer or number in self._older:
            return True
        if len(self._newer) >= self._reach:
            self._newer, self._older = set(), self._newer
        self._newer.add(number)
        return False
