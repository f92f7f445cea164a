"""Events with their meaning, which is the same in every reader, in Python and in the browser."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, NamedTuple


class Case(NamedTuple):
    """An event, the name of its level, and whether it reports a failure."""

    event: dict[str, Any]
    level: str | None
    is_error: bool


#: Levels, statuses and errors.
CASES = [
    Case({"level": "DEBUG"}, "DEBUG", False),
    Case({"level": "info"}, "INFO", False),
    Case({"level": "WARN"}, "WARNING", False),
    Case({"level": "Warning"}, "WARNING", False),
    Case({"level": "ERROR"}, "ERROR", True),
    Case({"level": "fatal"}, "CRITICAL", True),
    Case({"level": "CRITICAL"}, "CRITICAL", True),
    Case({"level": "notice"}, "NOTICE", False),
    Case({"level": "notice", "status": "failed"}, "NOTICE", True),
    Case({"level": 10}, "DEBUG", False),
    Case({"level": 35}, "WARNING", False),
    Case({"level": 40}, "ERROR", True),
    Case({"level": 1000}, "CRITICAL", True),
    Case({"level": "INFO", "status": "failed"}, "INFO", True),
    Case({"level": "INFO", "status": "success"}, "INFO", False),
    Case({"level": "INFO", "error_message": "tried again"}, "INFO", False),
    Case({"level": "INFO", "event_type": "made", "error_message": "no room"}, "INFO", True),
    *(Case({"level": nothing}, None, False) for nothing in (None, "", True, 40.0, [40], {"name": "ERROR"})),
    *(Case({"level": nothing, "status": "error"}, "ERROR", True) for nothing in (None, "", True, 2.5, [])),
    Case({}, None, False),
    Case({"event_type": "made", "status": "success", "error_message": None}, None, False),
    *(Case({"status": status}, "ERROR", True) for status in ("error", "failed", "failure", "FATAL")),
    *(Case({"status": status}, None, False) for status in ("", "ok", "no error", 500, True, None, ["error"])),
    Case({"event_type": "made", "error_message": "no room"}, "ERROR", True),
    Case({"event_type": "made", "error_message": ["no", "room"]}, "ERROR", True),
    Case({"event_type": "made", "error": "no room"}, None, False),
    Case({"event": "made", "error_message": "no room"}, None, False),
    *(
        Case({"event_type": "made", "error_message": nothing}, None, False)
        for nothing in (None, "", False, 0, [], {})
    ),
]

#: Times in seconds since 1970, and None for an invalid time.
TIMES = [
    ("2025-09-28T12:00:00Z", 1759060800.0),
    ("2025-09-28t12:00:00z", 1759060800.0),
    ("2025-09-28 12:00:00.123456Z", 1759060800.123456),
    ("2025-09-28T13:59:59.5+02:00", 1759060799.5),
    ("2025-09-28T12:00:00.5", datetime(2025, 9, 28, 12, 0, 0, 500_000).timestamp()),
    ("2025-09-28", datetime(2025, 9, 28).timestamp()),
    (1759060800, 1759060800.0),
    (1759060800.25, 1759060800.25),
    (-1, -1.0),
    *((time, None) for time in (None, "", "yesterday", "28 Sep 2025", "1759060800.5", True, [], {})),
    *((time, None) for time in (1e300, -1e300, 10**400, 10**12, math.nan, math.inf)),
    *((time, None) for time in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2025-09-31T12:00:00Z")),
]

#: Durations in milliseconds, and None for an invalid duration.
DURATIONS = [
    (0, 0.0),
    (12, 12.0),
    (0.25, 0.25),
    (1e3, 1000.0),
    (1e-7, 1e-7),
    *((value, None) for value in (None, "", "12", -1, -0.5, 1e15, 10**400, True, [1], {"ms": 1}, math.nan)),
]

#: The name of an event, and None if it has none.
NAMES = [
    ({"event": "made"}, "made"),
    ({"event": "made", "event_type": "chora.made"}, "made"),
    ({"event_type": "chora.made"}, "chora.made"),
    ({"event": None, "event_type": "chora.made"}, "chora.made"),
    ({"event": "", "event_type": "chora.made"}, "chora.made"),
    ({"event": "", "event_type": None}, None),
    ({"message": "Made"}, None),
]

#: The message of an event if it adds to the name, else None.
MESSAGES = [
    ({"message": "Made it"}, "Made it"),
    ({"event": "made", "message": "Made it"}, "Made it"),
    ({"event": "made", "message": "Event: made"}, None),
    ({"event": "made", "message": "Event: other"}, "Event: other"),
    ({"event_type": "made", "message": "Event: made"}, None),
    ({"message": "Event: None"}, "Event: None"),
    ({"event": "made", "message": ""}, None),
    ({"event": "made", "message": None}, None),
    ({}, None),
]

#: Trace ids, and None for an invalid one.
TRACES = [
    ("0af7", "0af7"),
    (12, "12"),
    (True, "true"),
    ("", None),
    (None, None),
]
