"""Events with their meaning, which is the same in every reader, in Python and in the browser."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from chora_logging.schema import LEVELS


class Case(NamedTuple):
    """An event, the name of its level, and whether it reports a failure.

    Its severity is the highest level whose filter it passes: by default that of its level; None if no filter
    can know; infinite for a name that is unknown.
    """

    event: dict[str, Any]
    level: str | None
    is_error: bool
    severity: float | None = None

    @property
    def passes(self) -> float | None:
        """The severity."""
        return LEVELS.get(self.level or "") if self.severity is None else self.severity


#: Levels, statuses and errors.
CASES = [
    Case({"level": "DEBUG"}, "DEBUG", False),
    Case({"level": "info"}, "INFO", False),
    Case({"level": "WARN"}, "WARNING", False),
    Case({"level": "Warning"}, "WARNING", False),
    Case({"level": "ERROR"}, "ERROR", True),
    Case({"level": "fatal"}, "CRITICAL", True),
    Case({"level": "CRITICAL"}, "CRITICAL", True),
    Case({"level": "information"}, "INFO", False),
    Case({"level": "err"}, "ERROR", True),
    Case({"level": "crit"}, "CRITICAL", True),
    Case({"level": "notice"}, "NOTICE", False, 25),
    Case({"level": "notice", "status": "failed"}, "NOTICE", True, 25),
    Case({"level": "success"}, "SUCCESS", False, 25),
    Case({"level": "trace"}, "TRACE", False, 5),
    Case({"level": "verbose"}, "VERBOSE", False, 10),
    *(Case({"level": name}, name.upper(), True, 50) for name in ("panic", "dpanic", "alert", "Emergency")),
    Case({"level": "emerg"}, "EMERGENCY", True, 50),
    Case({"level": "Level 35"}, "WARNING", False),
    Case({"level": "40"}, "ERROR", True),
    Case({"level": "INFO+2"}, "INFO+2", False, 20),
    Case({"level": "loud"}, "LOUD", False, math.inf),
    Case({"level": "loud", "status": "failed"}, "LOUD", True, math.inf),
    Case({"level": 10}, "DEBUG", False),
    Case({"level": 35}, "WARNING", False),
    Case({"level": 40}, "ERROR", True),
    Case({"level": 1000}, "CRITICAL", True),
    Case({"level": "", "severity": "WARNING"}, "WARNING", False),
    Case({"level": [40], "levelno": 40}, "ERROR", True),
    Case({"log.level": "warn"}, "WARNING", False),
    Case({"log": {"level": "warn"}}, "WARNING", False),
    Case({"log": {"level": ""}, "lvl": "warn"}, "WARNING", False),
    Case({"severity_number": 17}, "ERROR", True),
    Case({"severity_number": 9}, "INFO", False),
    Case({"level": 50, "pid": 1, "hostname": "a", "v": 0}, "ERROR", True),
    Case({"level": 40, "time": 1759060800000, "msg": "a"}, "WARNING", False),
    Case({"level": 10, "time": 1759060800000, "msg": "a"}, "DEBUG", False, 5),
    Case({"level": 40, "time": 1759060800, "msg": "a"}, "ERROR", True),
    Case({"level": 3, "short_message": "a"}, "ERROR", True),
    Case({"level": 5, "version": "1.1", "host": "a"}, "INFO", False, 25),
    Case({"level": 3, "reqId": "a", "remoteAddr": ""}, "ERROR", True),
    Case({"@t": "2025-09-28T12:00:00Z", "@mt": "a"}, "INFO", False),
    Case({"@t": "2025-09-28T12:00:00Z", "@m": "a", "@l": "Error"}, "ERROR", True),
    Case({"level": "INFO", "status": "failed"}, "INFO", True),
    Case({"level": "INFO", "status": "success"}, "INFO", False),
    Case({"level": "INFO", "error_message": "tried again"}, "INFO", False),
    Case({"level": "INFO", "event_type": "made", "error_message": "no room"}, "INFO", True),
    *(Case({"level": nothing}, None, False) for nothing in (None, "", True, 40.0, [40], {"name": "ERROR"})),
    *(Case({"level": nothing, "status": "error"}, "ERROR", True) for nothing in (None, "", True, 2.5, [])),
    Case({}, None, False),
    Case({"event_type": "made", "status": "success", "error_message": None}, None, False, 20),
    *(
        Case({"status": status}, "ERROR", True)
        for status in ("error", "failed", "failure", "FATAL", "crashed")
    ),
    *(Case({"outcome": outcome}, "ERROR", True) for outcome in ("timeout", "timed_out", "Failure")),
    Case({"result": "failed"}, "ERROR", True),
    Case({"result": {"failed": True}}, None, False),
    *(Case({"status": status}, None, False) for status in ("", "ok", "no error", 500, True, None, ["error"])),
    Case({"event_type": "made", "error_message": "no room"}, "ERROR", True),
    Case({"event_type": "made", "error_message": ["no", "room"]}, "ERROR", True),
    Case({"event_type": "made", "error": "no room"}, "ERROR", True),
    Case({"event_type": "made", "error": False}, None, False, 20),
    Case({"event": "made", "error_message": "no room"}, None, False),
    *(
        Case({"event_type": "made", "error_message": nothing}, None, False, 20)
        for nothing in (None, "", False, 0, [], {})
    ),
]

#: Times in seconds since 1970, and None for an invalid time.
TIMES = [
    ("2025-09-28T12:00:00Z", 1759060800.0),
    ("2025-09-28t12:00:00z", 1759060800.0),
    ("2025-09-28 12:00:00.123456Z", 1759060800.123456),
    ("2025-09-28T13:59:59.5+02:00", 1759060799.5),
    ("2025-09-28 12:00:00,678", datetime(2025, 9, 28, 12, 0, 0, 678_000).timestamp()),
    ("2025-09-28T12:00:00.123456789Z", 1759060800.123456),
    ("2025-09-28T12:00:00,5+0000", 1759060800.5),
    ("2025-09-28 13:59:59.5 +0200", 1759060799.5),
    ("2025-09-28T12:00Z", 1759060800.0),
    ("2025-09-28T12:00:00.5", datetime(2025, 9, 28, 12, 0, 0, 500_000).timestamp()),
    ("2025-09-28", datetime(2025, 9, 28).timestamp()),
    (1759060800, 1759060800.0),
    (1759060800.25, 1759060800.25),
    (-1, -1.0),
    (1759060800123, 1759060800.123),
    (1759060800123456, 1759060800.123456),
    (1759060800123456789, pytest.approx(1759060800.123457, abs=1e-6)),
    (10**12, 1e9),
    *((time, None) for time in (None, "", "yesterday", "28 Sep 2025", "1759060800.5", True, [], {})),
    *((time, None) for time in (1e300, -1e300, 1e308, 10**400, 10**30, math.nan, math.inf)),
    *((time, None) for time in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2025-09-31T12:00:00Z")),
    *((time, None) for time in ("20250928", "20250928T120000Z", "2025-W39-7", "12:00:00")),
]

#: Times under other names, in seconds since 1970.
OTHER_TIMES = [
    ({"@timestamp": "2025-09-28T12:00:00Z"}, 1759060800.0),
    ({"timestamp": None, "ts": 1759060800.5}, 1759060800.5),
    ({"timestamp": "yesterday", "time": 1759060800500}, 1759060800.5),
    ({"record": {"time": {"timestamp": 1759060800.5}}}, 1759060800.5),
    ({"record": {"time": {"repr": "2025-09-28 12:00:00.5+00:00"}}}, 1759060800.5),
    ({"record.time": {"timestamp": 1759060800.5}}, None),
    ({"time": 0.35}, None),
    ({"t": 12, "date": "today"}, None),
    ({"record": "a"}, None),
]

#: Durations in milliseconds, and None for an invalid duration.
DURATIONS = [
    (0, 0.0),
    (12, 12.0),
    (0.25, 0.25),
    (1e3, 1000.0),
    (1e-7, 1e-7),
    ("12ms", 12.0),
    ("1.5 s", 1500.0),
    ("350µs", 0.35),
    ("1m30s", 90_000.0),
    ("2 h", 7_200_000.0),
    ("1500ns", 0.0015),
    *(
        (value, None)
        for value in (
            None,
            "",
            "12",
            "12 apples",
            "s",
            "-1s",
            -1,
            -0.5,
            1e15,
            10**400,
            True,
            [1],
            {"ms": 1},
            math.nan,
        )
    ),
]

#: Durations under other names, in milliseconds.
OTHER_DURATIONS = [
    ({"elapsed_ms": 12}, 12.0),
    ({"duration": "1.5s"}, 1500.0),
    ({"elapsed": 0.25}, 0.25),
    ({"took": 3}, 3.0),
    ({"event.duration": 1500}, 0.0015),
    ({"event": {"duration": 1_500_000}}, 1.5),
    ({"duration_ms": "soon", "elapsed": 2}, 2.0),
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
    ({"event": {"action": "made", "duration": 1}}, "made"),
    ({"event.action": "made"}, "made"),
    ({"event_name": "made"}, "made"),
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
    ({"msg": "Made it"}, "Made it"),
    ({"message": "", "@mt": "Made {it}"}, "Made {it}"),
    ({"short_message": "Made it"}, "Made it"),
    ({"record": {"message": "Made it"}, "text": "12:00 Made it"}, "Made it"),
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

#: Trace ids under other names.
OTHER_TRACES = [
    ({"trace": {"id": "0af7"}}, "0af7"),
    ({"trace.id": "0af7"}, "0af7"),
    ({"traceId": "0af7"}, "0af7"),
    ({"dd": {"trace_id": "12"}}, "12"),
    ({"otelTraceID": "0", "request_id": "req-1"}, "req-1"),
    ({"logging.googleapis.com/trace": "projects/shop/traces/0af7"}, "0af7"),
    ({"trace_id": "0af7", "request_id": "req-1"}, "0af7"),
    ({"trace_id": "", "correlation_id": "c-1"}, "c-1"),
    ({"traceId": {"high": 1}, "request_id": 7}, "7"),
]
