"""Copies logs into a NATS JetStream stream, and reads them from it (extra `nats`)."""

from __future__ import annotations

from chora_logging.jetstream.credentials import Credentials
from chora_logging.jetstream.log import JetStreamLog

__all__ = ["Credentials", "JetStreamLog"]
