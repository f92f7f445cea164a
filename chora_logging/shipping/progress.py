"""The progress of a shipment, and its errors by kind."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from chora_logging.errors import OtherShipperError, RefusedError, ServerError

#: The kinds of errors: no server answers; a server refuses; somebody else ships the log; the log cannot be
#: read. All but the first wait for a person.
NO_ANSWER, REFUSED, OTHER_SHIPPER, UNREADABLE = KINDS = (
    "no_answer",
    "refused",
    "other_shipper",
    "unreadable",
)


@dataclass
class Progress:
    """What a shipment has done, for metrics.

    Attributes:
        lines, bytes, blocks: Stored by this process; bytes before compression.
        resends: Messages that were sent again because no answer had come.
        gaps: Gaps that were shipped.
        oversize: Lines that were replaced because no message can hold them.
        rejected: Records that the server has rejected for good.
        problem: Why nothing is stored now; empty if all is well.
        kind: The kind of the problem.
        needs_a_person: Whether trying again will not help.
        errors: How many errors there were, by kind.
        failed_at: The time of the last error of each kind, in seconds since 1970.
        end: The cursor after the last block stored.
        level_since: When the position was last known to be stored, in seconds of the monotonic clock.
    """

    lines: int = 0
    bytes: int = 0
    blocks: int = 0
    resends: int = 0
    gaps: int = 0
    oversize: int = 0
    rejected: int = 0
    problem: str = ""
    kind: str = ""
    needs_a_person: bool = False
    errors: Counter[str] = field(default_factory=Counter)
    failed_at: dict[str, float] = field(default_factory=dict)
    end: str | None = None
    level_since: float = field(default_factory=time.monotonic)

    def fail(self, error: OSError) -> None:
        """Count *error*, and keep its reason as the problem."""
        kind = self.kind = _kind_of(error)
        self.errors[kind] += 1
        self.failed_at[kind] = time.time()
        self.problem = error.reason if isinstance(error, ServerError) else str(error)
        self.needs_a_person = kind != NO_ANSWER

    def recover(self) -> bool:
        """Forget what a server has now shown to be over; return whether there was a problem of that kind."""
        return self.kind != UNREADABLE and self._forget()

    def readable(self) -> bool:
        """Forget that the log could not be read; return whether that was the problem."""
        return self.kind == UNREADABLE and self._forget()

    def _forget(self) -> bool:
        had_one = bool(self.problem)
        self.problem, self.kind, self.needs_a_person = "", "", False
        return had_one


def _kind_of(error: OSError) -> str:
    if isinstance(error, OtherShipperError):
        return OTHER_SHIPPER
    if isinstance(error, RefusedError):
        return REFUSED
    return NO_ANSWER if isinstance(error, ServerError) else UNREADABLE
