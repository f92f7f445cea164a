"""What a server counts about itself, for Prometheus, in a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

#: The names that are counted under.
PREFIX = "chora_logging"


class Metrics:
    """The counters of one server process.

    Args:
        logs: Their names; what can happen to each is counted from 0.

    Attributes:
        read: Events that were handed out, in pages and streams, by log.
        clients: Streams that are open, by log.
        lag: How old the newest live event was when a stream sent it, in seconds, by log.
        gaps: Gaps that were told, by log.
        dropped: Streams that were ended because their client took nothing, by log.
        refused: Requests that were refused, by reason.
    """

    def __init__(self, logs: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self.read = self._counter("events_read", "Events handed out in pages and streams.", "log")
        self.gaps = self._counter("gaps", "Gaps told to clients.", "log")
        self.dropped = self._counter("dropped_clients", "Streams cut because nothing was taken.", "log")
        self.refused = self._counter("refused_requests", "Requests refused, by reason.", "error")
        self.clients = self._gauge("clients", "Streams that are open.", "log")
        self.lag = self._gauge("lag_seconds", "Age of the last live event when a stream sent it.", "log")
        for log in logs:
            for metric in (self.read, self.gaps, self.dropped, self.clients):
                metric.labels(log)

    def text(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        return generate_latest(self.registry)

    def _counter(self, name: str, what: str, label: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", what, (label,), registry=self.registry)

    def _gauge(self, name: str, what: str, label: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", what, (label,), registry=self.registry)
