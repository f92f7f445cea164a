"""The format of a line: the names and the order of its fields, and the levels.

The write side and the read side never import each other; both import this module.
"""

from __future__ import annotations

#: The fields that the formatter writes first, in this order; the caller's own follow.
LAYOUT = ("timestamp", "level", "logger", "event", "task_id", "run_id", "trace_id", "message")

#: The logger of the orchestrator's events, and the event name of its records that have none.
ORCHESTRATOR_LOGGER = "orchestrator_events"
DEFAULT_EVENT = "log"

#: The logger of the typed (pydantic) events of chora telemetry.
TELEMETRY_LOGGER = "chora_events"

#: The logger name of the package's own events.
OWN_LOGGER = "chora_logging"

#: The levels of the standard library and their severity, lowest first.
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}

#: OpenTelemetry's names of levels that are not those of the standard library.
OTEL_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}

#: Record attribute with the caller's fields that `logging` refuses in `extra` (`name`, `args`, `message`, …).
FIELDS_ATTRIBUTE = "_chora_fields"

#: Record attribute, with the value None, of records for which an id was sought and not found: it is final,
#: whatever the current id is where the record is written later. Formatters leave it out.
SETTLED_ATTRIBUTE = "_chora_settled"

#: Record attribute with the path of a file that already has the record as a line; handlers on that file skip
#: the record. The attribute is a slot, so formatters do not see it.
WRITTEN_TO_ATTRIBUTE = "written_to"

#: Class attribute of types whose instances, logged as the message, become a complete line.
EVENT_MARK = "__chora_event__"

#: The longest trace id accepted, in characters (the seed documents ask for "under 200").
TRACE_ID_MAX = 200


def otel_severity(level: float) -> int:
    """Return OpenTelemetry's number for a level of the standard library, as its logging handler has it.

    Levels below DEBUG, for which that has none, are those of TRACE.

    >>> [otel_severity(level) for level in (5, 10, 20, 25, 30, 40, 50, 60)]
    [1, 5, 9, 12, 13, 17, 21, 24]
    """
    if level < LEVELS["DEBUG"]:
        return 1
    group, more = divmod(int(level), 10)
    return 24 if group > 5 else 5 + 4 * (group - 1) + min(more, 3)
