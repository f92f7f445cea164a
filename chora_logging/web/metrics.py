"""The metrics of one server, for Prometheus, in a registry of its own.

If the server has several processes, their metrics are in the files of the folder that the variable
`PROMETHEUS_MULTIPROC_DIR` named when they started, and each process gives the sums.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

#: The prefix of the names of the metrics.
PREFIX = "chora_logging"


class Metrics:
    """The metrics of one server process.

    Args:
        logs: The names of the logs, whose metrics begin at 0.

    Attributes:
        read: Events returned in pages and streams, by log.
        clients: Open streams, by log.
        lag: The age of the newest live event when a stream sent it, in seconds, by log.
        gaps: Gaps reported, by log.
        dropped: Streams closed because their client read nothing, by log.
        refused: Requests refused, by reason.
    """

    def __init__(self, logs: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self.read = self._counter("events_read", "Events returned in pages and streams.", "log")
        self.gaps = self._counter("gaps", "Gaps reported to clients.", "log")
        self.dropped = self._counter("dropped_clients", "Streams closed because of a stalled client.", "log")
        self.refused = self._counter("refused_requests", "Requests refused, by reason.", "error")
        self.clients = self._gauge("clients", "Open streams.", "livesum")
        self.lag = self._gauge(
            "lag_seconds", "Age of the last live event when a stream sent it.", "livemostrecent"
        )
        for log in logs:
            for metric in (self.read, self.gaps, self.dropped, self.clients):
                metric.labels(log)

    def text(self) -> bytes:
        """Return the metrics in the text format of Prometheus."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not folder:
            return generate_latest(self.registry)
        _forget_dead(folder)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, (label,), registry=self.registry)

    def _gauge(self, name: str, text: str, over_processes: Literal["livesum", "livemostrecent"]) -> Gauge:
        return Gauge(
            f"{PREFIX}_{name}", text, ("log",), registry=self.registry, multiprocess_mode=over_processes
        )


def _forget_dead(folder: str) -> None:
    """Forget the gauges of processes that have ended, however they ended."""
    for path in pathlib.Path(folder).glob("gauge_live*_*.db"):
        process = path.stem.rpartition("_")[2]
        if process.isdigit() and not os.path.exists(f"/proc/{process}"):
            multiprocess.mark_process_dead(int(process), folder)  # type: ignore[no-untyped-call]
