"""The findings of `chora-logging audit`: as text for people, or as one JSON object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import click

from chora_logging.cli import amounts
from chora_logging.cli.shipped_logs import say
from chora_logging.cli.terminal import printable
from chora_logging.eventlog.events import Gap, strict_json
from chora_logging.eventlog.rotated.cursor import NO_LOG, Position
from chora_logging.jetstream.findings import Findings, total
from chora_logging.jetstream.holding import Amount, Part
from chora_logging.jetstream.tiling import Hole

#: How many places of one kind are shown for each log.
SHOWN = 20

_INDENT = 11


class Report(Protocol):
    """The output of the command."""

    def found(self, log: str, found: Findings) -> None:
        """Note what was found of *log*, before anything is repaired."""

    def end(self, log: str, found: Findings, shipped: Amount, *, is_whole: bool) -> None:
        """Note how much a repair has shipped, and whether nothing is missing now."""

    def fail(self, log: str, error: Exception) -> None:
        """Note that *log* cannot be audited."""

    def close(self) -> None:
        """Note that this was the last log."""


class TextReport:
    """For people: some lines for each log.

    Args:
        host: The name of the machine.
    """

    def __init__(self, host: str) -> None:
        self._host = host

    def found(self, log: str, found: Findings) -> None:
        """Print it."""
        click.echo(f"{printable(f'{log} of {self._host}')} ({printable(found.subject)})")
        for label, text in _facts(found):
            click.echo(f"  {label:<{_INDENT}}{printable(text)}")

    def end(self, log: str, found: Findings, shipped: Amount, *, is_whole: bool) -> None:
        """Print the conclusion."""
        click.echo(f"  {_conclusion(found, total(found.missing), shipped)}")

    def fail(self, log: str, error: Exception) -> None:
        """Print it on stderr."""
        say("audit", str(error))

    def close(self) -> None:
        """Do nothing: all is printed."""


class JsonReport:
    """For programs: one object with all logs, at the end.

    Args:
        host: The name of the machine.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._logs: list[dict[str, Any]] = []

    def found(self, log: str, found: Findings) -> None:
        """Wait for the end."""

    def end(self, log: str, found: Findings, shipped: Amount, *, is_whole: bool) -> None:
        """Keep it."""
        self._logs.append({"log": log, "whole": is_whole, **_values(found), "repaired": shipped._asdict()})

    def fail(self, log: str, error: Exception) -> None:
        """Print it on stderr, and keep it."""
        say("audit", str(error))
        self._logs.append({"log": log, "whole": False, "error": str(error)})

    def close(self) -> None:
        """Print the object."""
        whole = all(log["whole"] for log in self._logs)
        click.echo(strict_json({"host": self._host, "whole": whole, "logs": self._logs}))


def _values(found: Findings) -> dict[str, Any]:
    start, end = found.start, found.end
    return {
        "subject": found.subject,
        "stream": {
            "blocks": found.blocks,
            "late": found.late,
            **found.stored._asdict(),
            "first": found.first,
            "last": found.last,
            "start": None if start is None else _place(start),
            "end": None if end is None else _place(end),
        },
        "files": [{"path": file.path, "bytes": file.size} for file in found.files],
        "rotated": found.rotated._asdict(),
        "doubled": found.doubled._asdict(),
        **{name: list(map(_range, getattr(found, name))) for name in ("expired", "unshipped", "missing")},
        "lost": [
            {**hole._asdict(), "start": _place(hole.start), "end": _place(hole.end)} for hole in found.lost
        ],
        "gaps": [gap._asdict() for gap in found.gaps],
        "conflicts": found.conflicts,
        "differing": found.differing,
        "unreadable": [{"sequence": sequence, "reason": reason} for sequence, reason in found.unreadable],
    }


def _range(part: Part) -> dict[str, Any]:
    return {"path": part.path, "start": part.start.offset, "end": part.end, **part.amount._asdict()}


def _place(position: Position) -> dict[str, int | None]:
    generation = None if position.log_id == NO_LOG else position.generation
    return {"generation": generation, "offset": position.offset}


def _conclusion(found: Findings, missing: Amount, shipped: Amount) -> str:
    lost = f" Lost: lines at {amounts.many(len(found.lost), 'place')}." if found.lost else ""
    if found.conflicts:
        lost += f" The shipper cannot go on: {amounts.many(len(found.conflicts), 'conflict')}."
    if found.is_unknown and not found.conflicts:
        return "The stream has nothing of this log: is that its --host, its --prefix and its name?"
    if not missing.lines:
        return f"Nothing {'else ' if lost else ''}is missing.{lost}"
    if shipped == missing:
        return f"Repaired: {_many(shipped)} shipped as late blocks.{lost}"
    return f"Missing: {_many(missing)}; --repair ships what the files have.{lost}"


def _facts(found: Findings) -> Iterator[tuple[str, str]]:
    yield "stream", _stream(found)
    if found.start is not None and found.end is not None:
        yield "", f"from {_position(found.start)} to {_position(found.end)}"
    size = sum(file.size for file in found.files)
    yield "files", f"{amounts.many(len(found.files), 'file')}, {amounts.size(size)}"
    if found.files:
        first, last = found.files[0], found.files[-1]
        yield "", f"from {_name(first.path)}, byte 0 to {_name(last.path)}, byte {last.size:,}"
    if found.rotated.lines:
        yield "rotated", f"{_many(found.rotated)} that only the stream has"
    if found.expired:
        yield "expired", f"{_many(total(found.expired))}, older than what the stream has"
    if found.unshipped:
        where = _name(found.unshipped[0].path)
        behind = "" if found.conflicts else ": the shipper is behind"
        yield "unshipped", f"{_many(total(found.unshipped))}, from {where} on{behind}"
    if found.doubled.lines:
        yield "doubled", f"{_many(found.doubled)} that the stream has twice"
    yield from _listed("gap", map(_gap, found.gaps), len(found.gaps))
    yield from _listed("unreadable", map(_unreadable, found.unreadable), len(found.unreadable))
    yield from _listed("conflict", found.conflicts, len(found.conflicts))
    yield from _listed("differing", map(_differing, found.differing), len(found.differing))
    yield from _listed("missing", map(_part, found.missing), len(found.missing))
    yield from _listed("lost", map(_hole, found.lost), len(found.lost))


def _listed(label: str, texts: Iterable[str], number: int) -> Iterator[tuple[str, str]]:
    for index, text in enumerate(texts):
        if index == SHOWN:
            yield "", f"… and {number - SHOWN:,} more"
            return
        yield label if not index else "", text


def _stream(found: Findings) -> str:
    if not found.blocks:
        return "nothing of this log"
    late = f", {found.late:,} of them late" if found.late else ""
    blocks = amounts.many(found.blocks, "block")
    return f"{blocks}{late}: {_many(found.stored)}, sequence {found.first:,} to {found.last:,}"


def _position(position: Position) -> str:
    file = "" if position.log_id == NO_LOG else f"generation {position.generation:,}, "
    return f"{file}byte {position.offset:,}"


def _gap(gap: Gap) -> str:
    size = "" if gap.bytes is None else f", {amounts.size(gap.bytes)}"
    until = "" if gap.until is None else f", before {amounts.moment(gap.until)}"
    return f"the shipper has reported: {gap.reason}{size}{until}"


def _unreadable(found: tuple[int, str]) -> str:
    return f"sequence {found[0]:,}: {found[1]}"


def _differing(sequence: int) -> str:
    return f"sequence {sequence:,} has other lines than the file"


def _part(part: Part) -> str:
    return f"{_name(part.path)}, byte {part.start.offset:,} to {part.end:,}: {_many(part.amount)}"


def _hole(hole: Hole) -> str:
    between = f"between sequence {hole.before:,} and {hole.after:,}"
    if hole.before == hole.after:
        between = f"in sequence {hole.before:,}"
    return f"{between}, from {_position(hole.start)} to {_position(hole.end)}"


def _many(amount: Amount) -> str:
    return f"{amounts.many(amount.lines, 'line')} ({amounts.size(amount.bytes)})"


def _name(path: str) -> str:
    return os.path.basename(path)
