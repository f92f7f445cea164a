"""Reports on stderr what was not an event, could not be read, or is noteworthy about the logs."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import click

from chora_logging.cli import amounts
from chora_logging.cli.commands import PROGRAM
from chora_logging.cli.terminal import printable
from chora_logging.eventlog.comparing import Asked
from chora_logging.schema import OWN_LOGGER


def report_skipped(skipped: Mapping[str, Counter[str]]) -> None:
    """Report on stderr how many lines are not events, and why; print nothing if all are.

    Args:
        skipped: By log, the number of lines by reason.
    """
    reasons: Counter[str] = sum(skipped.values(), Counter())
    if not reasons:
        return
    count = sum(reasons.values())
    where = ", ".join(name for name, counts in skipped.items() if +counts)
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:3]
    why = "; ".join(f"{number:,} {reason}" for reason, number in most) + "; …" * (len(reasons) > 3)
    lines = f"skipped {count:,} line{' that is not an event' if count == 1 else 's that are not events'}"
    click.echo(f"{PROGRAM}: {lines} in {printable(where)}: {why}", err=True)


def report_unreadable(asked_of: Sequence[Mapping[str, Asked]]) -> None:
    """Report on stderr how many events filters passed over because they cannot be read; nothing if none.

    Args:
        asked_of: What the filters of each log were asked; see `EventLog.asked`.
    """
    for meaning in ("level", "time"):
        asked = [each[meaning] for each in asked_of if meaning in each]
        if count := sum(found.unreadable for found in asked):
            words = amounts.unreadable(count, sum(found.events for found in asked), meaning)
            click.echo(f"{PROGRAM}: {words} (--field {meaning}=NAME says which field has it)", err=True)


class _Warnings(logging.Handler):
    """Prints each distinct warning once, as a line on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if (message := record.getMessage()) not in self._seen:
            self._seen.add(message)
            click.echo(f"{PROGRAM}: {printable(message)}", err=True)


@contextlib.contextmanager
def warnings_reported() -> Iterator[None]:
    """Print the warnings of this package while the logs are read."""
    logger, handler = logging.getLogger(OWN_LOGGER), _Warnings()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
