"""The metrics and the health of a shipper, over HTTP."""

from __future__ import annotations

import http.server
import json
import math
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

from chora_logging.eventlog.log import EventLog
from chora_logging.shipping.pressure import behind
from chora_logging.shipping.progress import KINDS, Progress

#: The prefix of the names of the metrics.
PREFIX = "chora_logging_ship"

#: By name: the kind of the metric and what it says.
_METRICS = {
    "lines_total": ("counter", "Lines stored."),
    "bytes_total": ("counter", "Bytes of the log stored, before compression."),
    "blocks_total": ("counter", "Messages stored."),
    "resends_total": ("counter", "Messages sent again because no answer had come."),
    "gaps_total": ("counter", "Gaps shipped."),
    "oversize_total": ("counter", "Lines replaced because no message can hold them."),
    "rejected_total": ("counter", "Records that the server has rejected for good."),
    "lag_bytes": ("gauge", "Bytes of the log that are not stored; NaN for one that cannot be read."),
    "lag_seconds": ("gauge", "Time since everything was stored."),
    "up": ("gauge", "Whether the log is being stored."),
}

#: The same, for each kind of error. Its text may have any length, and is in `/healthz`.
_METRICS_BY_KIND = {
    "errors_total": ("counter", "Errors, also those that passed."),
    "last_error_timestamp_seconds": ("gauge", "Time of the last error since 1970; 0 if there was none."),
}


class Connected(Protocol):
    """A connection that shipments share."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        ...

    @property
    def server_version(self) -> str:
        """The version of the server; empty before the first connection."""
        ...

    @property
    def problem(self) -> str:
        """Why there is no connection, for people."""
        ...

    @property
    def needs_a_person(self) -> bool:
        """Whether trying again does not help."""
        ...


class Metrics:
    """What is known of the shipments of a process.

    Args:
        connection: The connection that they share; None if each request may have its own.
        shipments: The progress of each, and its log, by the name of the log.

    Thread safe.
    """

    def __init__(
        self, connection: Connected | None, shipments: Mapping[str, tuple[EventLog, Progress]]
    ) -> None:
        self._connection = connection
        self._shipments = shipments

    def text(self) -> str:
        """Return the metrics in the text format of Prometheus."""
        values = {name: self._values(*found) for name, found in self._shipments.items()}
        rows: list[str] = []
        for metric, (kind, text) in _METRICS.items():
            rows += [f"# HELP {PREFIX}_{metric} {text}", f"# TYPE {PREFIX}_{metric} {kind}"]
            rows += [
                f'{PREFIX}_{metric}{{log="{_escaped(log)}"}} {_number(found[metric])}'
                for log, found in values.items()
            ]
        for metric, (kind, text) in _METRICS_BY_KIND.items():
            rows += [f"# HELP {PREFIX}_{metric} {text}", f"# TYPE {PREFIX}_{metric} {kind}"]
            rows += [
                f'{PREFIX}_{metric}{{log="{_escaped(log)}",kind="{error}"}} {value}'
                for log, (_, progress) in self._shipments.items()
                for error, value in _values_by_kind(progress)[metric].items()
            ]
        if self._connection is not None:
            version = _escaped(self._connection.server_version)
            rows += [
                f"# HELP {PREFIX}_connected Whether there is a connection to a server.",
                f"# TYPE {PREFIX}_connected gauge",
                f'{PREFIX}_connected{{server_version="{version}"}} {int(self._connection.is_connected)}',
            ]
        return "\n".join(rows) + "\n"

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Return whether no shipment waits for a person, and the problem of each log."""
        is_locked_out = self._connection is not None and self._connection.needs_a_person
        general = self._connection.problem if self._connection is not None and is_locked_out else ""
        problems = {name: progress.problem or general for name, (_, progress) in self._shipments.items()}
        waiting = (progress.needs_a_person for _, progress in self._shipments.values())
        healthy = not (is_locked_out or any(waiting))
        return healthy, {"status": "ok" if healthy else "error", "problems": problems}

    def _values(self, log: EventLog, progress: Progress) -> dict[str, float]:
        unread = _unread(log, progress.end)
        if not unread:
            progress.level_since = time.monotonic()
        return {
            "lines_total": progress.lines,
            "bytes_total": progress.bytes,
            "blocks_total": progress.blocks,
            "resends_total": progress.resends,
            "gaps_total": progress.gaps,
            "oversize_total": progress.oversize,
            "rejected_total": progress.rejected,
            "lag_bytes": unread,
            "lag_seconds": round(time.monotonic() - progress.level_since, 3) if unread else 0,
            "up": int(not progress.problem),
        }


def _unread(log: EventLog, end: str | None) -> float:
    """Return how many bytes of *log* are after the cursor *end*; NaN for a log that cannot be read."""
    try:
        return behind(log, end).unread
    except OSError:
        return math.nan


def _values_by_kind(progress: Progress) -> dict[str, dict[str, float]]:
    return {
        "errors_total": {kind: progress.errors[kind] for kind in KINDS},
        "last_error_timestamp_seconds": {kind: progress.failed_at.get(kind, 0) for kind in KINDS},
    }


def serve(metrics: Metrics, host: str, port: int) -> http.server.ThreadingHTTPServer:
    """Serve `/metrics` and `/healthz` in a thread of its own; the caller shuts the server down.

    Raises:
        OSError: nobody can listen there.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that the standard library gives
            if self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4; charset=utf-8", metrics.text())
            elif self.path == "/healthz":
                healthy, found = metrics.health()
                self._answer(200 if healthy else 503, "application/json", json.dumps(found))
            else:
                self._answer(404, "application/json", json.dumps({"error": "not_found", "detail": self.path}))

        def _answer(self, status: int, kind: str, text: str) -> None:
            body = text.encode("utf-8", "replace")  # of a name that is not UTF-8
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # as above
            """Log no requests."""

    server = http.server.ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else str(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
