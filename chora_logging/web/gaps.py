"""A gap as clients get it, in a page and in a stream."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from chora_logging.eventlog import Gap


def gap_fields(gap: Gap) -> dict[str, Any]:
    """What *gap* says: times as text, files by name only, nothing about what nobody knows."""
    fields = {name: value for name, value in gap._asdict().items() if value not in (None, "")}
    for name in ("since", "until"):
        if name in fields:
            fields[name] = _iso(fields[name])
    if "resumes" in fields:
        fields["resumes"] = os.path.basename(fields["resumes"])
    return fields


def _iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
