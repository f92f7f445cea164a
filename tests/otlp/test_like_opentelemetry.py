"""Of the same calls a collector gets the same records as from OpenTelemetry's own logging handler."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.otlp.collector import value_of
from tests.otlp.test_records import records_of

#: The same calls through OpenTelemetry's handler, whose records are printed, and through ours into a file.
CALLS = """
import json, logging, sys, warnings
warnings.simplefilter("ignore")
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import InMemoryLogExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from chora_logging import EventFileHandler, EventFormatter, TraceIdFilter
provider, exporter = LoggerProvider(), InMemoryLogExporter()
provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
ours = EventFileHandler(sys.argv[1])
ours.setFormatter(EventFormatter())
ours.addFilter(TraceIdFilter())
logging.addLevelName(25, "NOTICE")
shop, other = logging.getLogger("shop.orders"), logging.getLogger("other")
for logger in (shop, other):
    logger.setLevel(1)
    logger.handlers += [LoggingHandler(logger_provider=provider), ours]
for level in (10, 20, 25, 30, 33, 40, 44, 50, 60):
    shop.log(level, "Order %d placed", level)
values = {"text": "x", "whole": -7, "part": 1.5, "yes": True}
values |= {"many": ["a", "b"], "deep": {"a": {"b": [1]}}}
shop.info("With fields", extra=values)
with TracerProvider().get_tracer("t").start_as_current_span("work"):
    other.warning("In a span")
try:
    int("x")
except ValueError:
    shop.exception("Failed")
def plain(value):
    return {k: plain(v) for k, v in value.items()} if hasattr(value, "items") else value
for data in exporter.get_finished_logs():
    record = data.log_record
    print(json.dumps({
        "scope": data.instrumentation_scope.name,
        "time": record.timestamp,
        "severity": [record.severity_number.value, record.severity_text],
        "body": record.body,
        "trace": "%032x" % record.trace_id if record.trace_id else "",
        "span": "%016x" % record.span_id if record.span_id else "",
        "attributes": plain(record.attributes),
    }))
"""

#: A line has no place in the code, and has an exception as its text alone.
NOT_IN_A_LINE = {
    *("code.file.path", "code.function.name", "code.line.number"),
    *("exception.type", "exception.message"),
}


def test_the_same_records(tmp_path):
    """Time, severity, body, trace, span and attributes are the same for every level and kind of value."""
    path = tmp_path / "app.log"
    done = subprocess.run([sys.executable, "-c", CALLS, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs = [json.loads(line) for line in done.stdout.splitlines()]
    ours = records_of(*path.read_bytes().splitlines())

    assert len(ours) == len(theirs) == 12
    for our, their in zip(ours, theirs, strict=True):
        record = our.record
        assert our.scope == their["scope"]
        assert abs(record.time_unix_nano - their["time"]) <= 1000  # a line has microseconds
        assert record.observed_time_unix_nano == record.time_unix_nano
        assert [record.severity_number, record.severity_text] == their["severity"]
        assert value_of(record.body) == their["body"]
        assert (record.trace_id.hex(), record.span_id.hex()) == (their["trace"], their["span"])
        expected = {k: v for k, v in their["attributes"].items() if k not in NOT_IN_A_LINE}
        if "exception.stacktrace" in expected:
            expected["exception.stacktrace"] = expected["exception.stacktrace"].rstrip("\n")
        assert our.attributes == expected
    assert {bool(each.record.trace_id) for each in ours} == {True, False}
