"""The files of a log, read byte by byte, held against what its writers say they wrote."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chora_logging.eventlog.rotated.file_set import paths_of


@dataclass
class Account:
    """One log: what was to be in it, what is in it, and every kind of difference.

    Attributes:
        path: The live file.
        written: How many events each writer wrote.
        traces: How many events of each trace are in the files.
        seen: How many events a reader that followed the log was given.
        found: How many events are in the files.
        lost: Events that were written and are not in the files.
        doubled: Events that are in the files more than once.
        disordered: Events that stand after a later one of the same writer.
        unknown: Events that no writer says it wrote.
        torn: Lines that are not one whole JSON object.
        rotations: How often the log was rotated.
        size: The bytes of all files.
    """

    path: str
    written: Mapping[str, int]
    seen: int
    traces: Counter[str] = field(default_factory=Counter)
    found: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    unknown: int = 0
    torn: int = 0
    rotations: int = 0
    size: int = 0

    @property
    def total(self) -> int:
        """How many events all writers wrote."""
        return sum(self.written.values())

    def differences(self) -> list[str]:
        """What is not as it should be, one phrase each."""
        phrases = {
            "lost": self.lost,
            "doubled": self.doubled,
            "out of order": self.disordered,
            "written by nobody": self.unknown,
            "torn lines": self.torn,
            "not seen live": self.found - self.seen,
        }
        return [f"{number} {phrase}" for phrase, number in phrases.items() if number]


def take_account(path: str, written: Mapping[str, int], seen: int) -> Account:
    """Read the whole log *path*, and compare it with what was *written* by writer.

    Every event must have the fields `writer` and `seq`, which counts from 0 for each writer. Nobody
    may write meanwhile.
    """
    account = Account(path, written, seen)
    found: dict[str, set[int]] = {writer: set() for writer in written}
    last: dict[str, int] = {}
    paths = paths_of(path)
    account.rotations = max(0, len(paths) - 1)
    for line in _lines(paths):
        account.size += len(line)
        event = _event(line)
        if event is None:
            account.torn += 1
            continue
        account.found += 1
        writer, number = event.get("writer"), event.get("seq")
        if not isinstance(number, int) or not 0 <= number < written.get(str(writer), 0):
            account.unknown += 1
            continue
        account.traces[str(event.get("trace_id"))] += 1
        writer = str(writer)
        if number in found[writer]:
            account.doubled += 1
        elif number < last.get(writer, -1):
            account.disordered += 1
        found[writer].add(number)
        last[writer] = max(number, last.get(writer, -1))
    account.lost = account.total - sum(map(len, found.values()))
    return account


def _lines(paths: list[str]) -> Iterator[bytes]:
    for path in paths:
        if os.path.getsize(path):
            with open(path, "rb") as file:
                yield from file


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
