"""The contract of a line: what its fields are called, in which order they stand, which levels exist.

The write side and the read side never import each other; they meet here.
"""

from __future__ import annotations

#: The fields that the formatter writes first, in this order; the caller's own follow.
LAYOUT = ("timestamp", "level", "logger", "event", "task_id", "run_id", "trace_id", "message")

#: The logger of the orchestrator's events, and the event name of a record there that has none.
ORCHESTRATOR_LOGGER = "orchestrator_events"
DEFAULT_EVENT = "log"

#: The logger of the typed (pydantic) events of chora telemetry.
TELEMETRY_LOGGER = "chora_events"

#: The logger name of what the package says about itself, in the log that it concerns.
OWN_LOGGER = "chora_logging"

#: The levels of the standard library and their severity, lowest first.
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}

#: Record attribute with caller fields that `logging` refuses in `extra` (`name`, `args`, `message`, …).
FIELDS_ATTRIBUTE = "_chora_fields"

#: Record attribute, in a slot where no formatter finds it: the path of a file that has the record as a line
#: already. Handlers on that file let it pass.
WRITTEN_TO_ATTRIBUTE = "written_to"

#: Class attribute that marks a type whose instances, logged as the message, are a whole line of their own.
EVENT_MARK = "__chora_event__"

#: The longest trace id accepted, in characters (the seed documents ask for "under 200").
TRACE_ID_MAX = 200
