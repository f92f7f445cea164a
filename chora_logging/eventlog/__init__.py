"""Reads the rotated files of a log as one sequence of events, stored and live.

Readers never lock, never write, and need nothing from the processes that write.
"""

from __future__ import annotations

from chora_logging.eventlog.events import Event, Gap, Skipped
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.source import Source, open_source

__all__ = ["Event", "EventLog", "Gap", "Skipped", "Source", "open_source"]
