"""Decides whether a log is sound, and estimates how long it lasts."""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from chora_logging.cli.amounts import stamp
from chora_logging.cli.check.examining import DAMAGE, LATE, UNFINISHED, Examination, Examiner, Problem
from chora_logging.cli.check.live import lost_of_live
from chora_logging.cli.logs import Log
from chora_logging.eventlog.rotated.file_set import close_all, open_set, paths_of
from chora_logging.settings import BACKUP_COUNT, MAX_BYTES

#: The least size of a full backup, as a share of the maximum: rotation comes before a line that does not fit.
_FULL_SHARE = 0.5

#: The shortest time over which a rate is measured, in seconds.
_SHORTEST_RATE_SECONDS = 1.0


@dataclass
class Verdict:
    """The result of examining one log.

    Attributes:
        log: The log.
        files: Its files, the oldest first.
        problems: The first problems, up to the limit.
        retention: The time that its files cover.
    """

    log: Log
    files: list[Examination]
    problems: list[Problem]
    retention: Retention

    @property
    def found(self) -> Counter[str]:
        """The number of problems, by kind."""
        return sum((file.found for file in self.files), Counter())

    @property
    def damage(self) -> dict[str, int]:
        """The number of damaged lines, by kind."""
        return {kind: self.found[kind] for kind in DAMAGE if self.found[kind]}

    @property
    def events(self) -> int:
        """The number of events."""
        return sum(file.events for file in self.files)

    @property
    def late(self) -> tuple[int, float]:
        """The number of events out of order within their file, and by how many seconds at most."""
        return sum(file.late for file in self.files), max((file.latest for file in self.files), default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict for `--json`."""
        late, latest = self.late
        return {
            "name": self.log.name,
            "path": os.path.abspath(self.log.address),
            "sound": not self.damage,
            "lines": sum(file.lines for file in self.files),
            "blank": sum(file.blank for file in self.files),
            "events": self.events,
            "damage": {kind: self.found[kind] for kind in DAMAGE},
            "unfinished": self.found[UNFINISHED],
            "out_of_order": {"events": late, "most_seconds": latest, "told": self.found[LATE]},
            "retention": _retention(self.retention),
            "files": [_file(file) for file in self.files],
            "problems": [_problem(problem) for problem in self.problems],
        }


def judge(log: Log, limit: int, *, is_expected: bool) -> Verdict:
    """Examine every line of *log*.

    Args:
        log: The log.
        limit: How many problems to list; all are counted.
        is_expected: Whether programs with this environment write it.

    Raises:
        OSError: the log exists and cannot be read.
    """
    problems: list[Problem] = []

    def keep(problem: Problem) -> None:
        if len(problems) < limit:
            problems.append(problem)

    examiner = Examiner(keep, log.meaning)
    lost = lost_of_live(log.address)
    before = _identities(log.address)
    files = open_set(log.address)
    try:
        opened = {file.place.identity for file in files}
        left_out = [path for who, path in _identities(log.address).items() if who in before.keys() - opened]
        found = [examiner.examine_left_out(path) for path in left_out]
        found += [examiner.examine(file) for file in files]
        if lost is not None:
            if not found or found[-1].number:
                found.append(Examination(log.address))
            examiner.examine_lost(found[-1], *lost)
    finally:
        close_all(files)
    return Verdict(log, found, problems, retention_of(found, is_expected=is_expected))


def _identities(path: str) -> dict[tuple[int, int], str]:
    """Return the paths of the files in the set, by device and inode."""
    found = {}
    for name in paths_of(path):
        with contextlib.suppress(FileNotFoundError):  # was rotated just now
            status = os.stat(name)
            found[status.st_dev, status.st_ino] = name
    return found


def _file(file: Examination) -> dict[str, Any]:
    return {
        "path": file.path,
        "bytes": file.size,
        "lines": file.lines,
        "events": file.events,
        "skipped": file.skipped,
        "first": stamp(file.first),
        "last": stamp(file.last),
    }


def _problem(problem: Problem) -> dict[str, Any]:
    text = problem.text.decode("utf-8", "replace")
    return {**problem._asdict(), "text": text}


def _retention(found: Retention) -> dict[str, Any]:
    return {
        "first": stamp(found.first),
        "last": stamp(found.last),
        "bytes_per_second": found.rate,
        "files": found.files,
        "file_bytes": found.file_size,
        "assumed": found.is_assumed,
        "lasts_seconds": found.lasts,
    }


class Retention(NamedTuple):
    """The time that a log covers.

    Attributes:
        first: The time of its earliest event, in seconds since 1970; None if it has none.
        last: The time of its latest event.
        rate: Bytes per second in its newest files; None if all files together cover less than a second.
        files: The number of files when it is full; None if unknown.
        file_size: The size of each of them then, in bytes; None if unknown.
        is_assumed: Whether these two are the defaults, and not derived from the backups.
    """

    first: float | None
    last: float | None
    rate: float | None
    files: int | None
    file_size: int | None
    is_assumed: bool

    @property
    def lasts(self) -> float | None:
        """The seconds that a full log covers at its rate; None if unknown."""
        if not self.rate or self.files is None or self.file_size is None:
            return None
        return self.files * self.file_size / self.rate


def retention_of(files: Sequence[Examination], *, is_expected: bool) -> Retention:
    """Return the time that the log with these *files* covers.

    Only the programs that write it know its settings. Backups show them: each is nearly as large as is
    allowed. A log that programs with this environment write is taken to have the default settings if it
    has no backups, or if they fit these settings.

    Args:
        files: Every file of the log, the oldest first.
        is_expected: Whether programs with this environment write it.
    """
    timed = [file for file in files if math.isfinite(file.first)]
    first = min((file.first for file in timed), default=None)
    last = max((file.last for file in timed), default=None)
    backups = [file.size for file in files if file.number]
    largest = max(backups, default=0)
    fits = not backups or (MAX_BYTES * _FULL_SHARE <= largest <= MAX_BYTES and len(backups) <= BACKUP_COUNT)
    if is_expected and fits:
        return Retention(first, last, _rate(timed), BACKUP_COUNT + 1, MAX_BYTES, True)
    if not largest:
        return Retention(first, last, _rate(timed), None, None, False)
    return Retention(first, last, _rate(timed), len(backups) + 1, largest, False)


def _rate(files: Sequence[Examination]) -> float | None:
    """Return bytes per second in the two newest files, or in more if those cover less than a second."""
    for count in range(2, len(files) + 2):
        newest = files[-count:]
        seconds = max(file.last for file in newest) - min(file.first for file in newest)
        if seconds >= _SHORTEST_RATE_SECONDS:
            return sum(file.size for file in newest) / seconds
    return None
