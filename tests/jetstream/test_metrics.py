"""The metrics of a shipper: how they are written, and what they say of errors."""

from __future__ import annotations

import re
import time
import types

from chora_logging.errors import NoAnswerError, OtherShipperError, RefusedError
from chora_logging.eventlog import EventLog
from chora_logging.shipping.metrics import Metrics
from chora_logging.shipping.progress import Progress
from tests.jetstream.servers import PASSWORD

CONNECTION = types.SimpleNamespace(
    server_version="2.15.1", is_connected=True, problem="", needs_a_person=False
)
ADDRESS = "nats://n1/CLOG"


def values_of(metrics):
    """Return each value by its name, with the labels behind it as they stand."""
    rows = [row for row in metrics.text().splitlines() if not row.startswith("#")]
    return {
        row.rpartition(" ")[0].removeprefix("chora_logging_ship_"): float(row.split()[-1]) for row in rows
    }


class TestMetrics:
    def test_all_that_is_promised(self, tmp_path):
        """Each metric has a help, a type and a value for each log, whose name is escaped."""
        path = tmp_path / "app.log"
        path.write_bytes(b"{}\n" * 10)
        name = 'a"b\\'
        text = Metrics(CONNECTION, {name: (EventLog(path), Progress())}).text()
        metrics = re.findall(r"^# HELP chora_logging_ship_(\w+) \S.*\n# TYPE \S+ (\w+)$", text, re.MULTILINE)

        assert dict(metrics) == {
            "lines_total": "counter",
            "bytes_total": "counter",
            "blocks_total": "counter",
            "resends_total": "counter",
            "gaps_total": "counter",
            "oversize_total": "counter",
            "rejected_total": "counter",
            "lag_bytes": "gauge",
            "lag_seconds": "gauge",
            "up": "gauge",
            "errors_total": "counter",
            "last_error_timestamp_seconds": "gauge",
            "connected": "gauge",
        }
        assert 'chora_logging_ship_lag_bytes{log="a\\"b\\\\"} 30' in text
        assert 'chora_logging_ship_connected{server_version="2.15.1"} 1' in text

    def test_errors(self, tmp_path):
        """Errors are counted by kind, with the time of the last one; what they say is not in it."""
        log, progress = EventLog(tmp_path / "app.log"), Progress()
        metrics = Metrics(CONNECTION, {"app": (log, progress)})
        before = values_of(metrics)
        began = time.time()
        progress.fail(NoAnswerError(ADDRESS, "the connection was lost"))
        progress.fail(NoAnswerError(ADDRESS, f"Authorization Violation {PASSWORD}"))
        during = values_of(metrics)
        progress.fail(RefusedError(ADDRESS, "no"))
        progress.fail(OtherShipperError(ADDRESS, "no"))
        progress.fail(OSError("disk"))
        text = metrics.text()
        progress.readable()
        after = values_of(metrics)

        def of(values, metric):
            return [value for name, value in values.items() if name.startswith(f"{metric}{{")]

        assert (of(before, "errors_total"), of(before, "up")) == ([0, 0, 0, 0], [1])
        assert of(before, "last_error_timestamp_seconds") == [0, 0, 0, 0]
        assert during['errors_total{log="app",kind="no_answer"}'] == 2
        assert during['last_error_timestamp_seconds{log="app",kind="no_answer"}'] >= began
        assert of(during, "up") == [0]
        assert (of(after, "errors_total"), of(after, "up")) == ([2, 1, 1, 1], [1])
        assert PASSWORD not in text

    def test_health(self, tmp_path):
        """Only an error that waits for a person makes it ill; the problem of each log is said."""
        log, progress = EventLog(tmp_path / "app.log"), Progress()
        metrics = Metrics(CONNECTION, {"app": (log, progress)})
        found = []
        for error in (NoAnswerError(ADDRESS, "lost"), OSError("disk")):
            progress.fail(error)
            found.append(metrics.health())
        progress.recover()  # by a server: that does not make the log readable
        found.append(metrics.health())
        progress.readable()

        assert found == [
            (True, {"status": "ok", "problems": {"app": "lost"}}),
            *[(False, {"status": "error", "problems": {"app": "disk"}})] * 2,
        ]
        assert metrics.health()[0]
