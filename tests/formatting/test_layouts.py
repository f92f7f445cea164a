"""The layouts of other log stores, beside what their own libraries write for the same records."""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import sys

import ecs_logging
import pytest

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import EventLog, meaning
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.formatting.layouts import LAYOUTS
from chora_logging.optimizing import SWITCHES
from chora_logging.writing.queue_handler import EventQueueHandler
from tests.records import Event, failure, line_of, record_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FIELDS = {"event": "paid", "task_id": "t-1", "trace_id": TRACE, "span_id": SPAN, "amount": 7}


def lines_of(layout, *args, level="INFO", **fields):
    record = record_of(*args, **fields)
    record.levelno, record.levelname = getattr(logging, level, 25), level
    return line_of(record, EventFormatter(layout=layout))


class TestEcs:
    @pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "NOTICE"])
    @pytest.mark.parametrize("fields", [{}, {"amount": 7, "http.request.method": "GET"}], ids=str)
    def test_their_library(self, level, fields):
        """The fields are those of `ecs_logging`, but for a doubled message and a shorter time."""
        record = record_of("Order %d", 7, **fields)
        record.levelno, record.levelname = getattr(logging, level, 25), level
        theirs = json.loads(ecs_logging.StdlibFormatter().format(record))
        ours = line_of(record, EventFormatter(layout="ecs"))
        assert theirs["log"].pop("original") == ours["message"]
        assert ours["@timestamp"].startswith(theirs.pop("@timestamp")[:-1])
        del ours["@timestamp"]
        if "http.request.method" in fields:  # both spellings are the same to Elasticsearch
            theirs["http.request.method"] = theirs.pop("http")["request"]["method"]
        assert theirs.pop("ecs.version") == ours.pop("ecs.version")

        assert ours == theirs

    def test_an_exception(self):
        """The exception has their parts, and a whole stack trace: theirs lacks its first and last line."""
        record = record_of("Failed", exc_info=failure())
        theirs = json.loads(ecs_logging.StdlibFormatter().format(record))["error"]
        ours = line_of(record, EventFormatter(layout="ecs"))["error"]

        assert (ours["type"], ours["message"]) == (theirs["type"], theirs["message"])
        lines = ours["stack_trace"].split("\n")
        assert lines[1:-1] == theirs["stack_trace"].rstrip("\n").split("\n")
        assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "ValueError: boom")

    def test_ids(self):
        """The event, the trace and the span have their names."""
        line = lines_of("ecs", "Paid", **FIELDS)

        assert (line["event.action"], line["trace.id"], line["span.id"]) == ("paid", TRACE, SPAN)
        assert (line["task_id"], line["amount"]) == ("t-1", 7)


class TestGcp:
    @pytest.mark.whole  # installs their library, which has many others
    def test_their_library(self, tmp_path):
        """The fields are those of Google's `StructuredLogHandler`, but for empty ones and a number."""
        install = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--target",
            str(tmp_path),
        ]
        subprocess.run([*install, "google-cloud-logging"], check=True)
        code = f"""if 1:
            import io, json, logging, sys
            sys.path.insert(0, {str(tmp_path)!r})
            import google.cloud.logging_v2 as library
            from google.cloud.logging_v2.handlers import StructuredLogHandler
            from chora_logging import EventFormatter
            library._instrumentation_emitted = True
            stream = io.StringIO()
            theirs, ours = StructuredLogHandler(stream=stream), logging.StreamHandler(stream)
            ours.setFormatter(EventFormatter(layout="gcp"))
            logger = logging.getLogger("shop")
            logger.setLevel(1)
            logger.handlers = [ours, theirs]  # theirs adds attributes to the record
            fields = {{"trace": {TRACE!r}, "trace_id": {TRACE!r}, "span_id": "1f"}}
            for level in (10, 20, 30, 40, 50):
                logger.log(level, "Order %d", 7, extra=fields)
            for line in stream.getvalue().splitlines():
                print(line)
        """
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in printed.stdout.splitlines()]

        assert len(lines) == 10
        for ours, theirs in zip(lines[::2], lines[1::2], strict=True):
            place = "logging.googleapis.com/sourceLocation"
            theirs[place]["line"] = str(theirs[place]["line"])
            assert ours.pop("time").endswith("Z")
            assert ours.pop("trace") == TRACE
            assert (theirs.pop("httpRequest"), theirs.pop("logging.googleapis.com/trace_sampled")) == (
                {},
                False,
            )
            assert ours == theirs

    @pytest.mark.parametrize("level", ["NOTICE", "VERBOSE", "TRACE"])
    def test_levels(self, level):
        """Only levels that Cloud Logging knows are written; others are the highest that they reach."""
        assert lines_of("gcp", level=level)["severity"] == {"NOTICE": "NOTICE"}.get(level, "INFO")

    def test_project(self, monkeypatch):
        """In a project, the trace is where the console looks for it; readers find it by its id."""
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "shop-1")
        line = lines_of("gcp", "Paid", **FIELDS)

        assert line["logging.googleapis.com/trace"] == f"projects/shop-1/traces/{TRACE}"
        assert meaning.trace_of(line) == TRACE

    def test_an_exception(self):
        """The stack trace is where Error Reporting looks for it."""
        line = lines_of("gcp", "Failed", exc_info=failure())

        assert line["stack_trace"].startswith("Traceback (most recent call last):")
        assert line["message"] == "Failed"


class TestOtel:
    def test_their_library(self):
        """The names and values are those of OpenTelemetry's logging handler and its console exporter."""
        code = """if 1:
            import io, json, logging, warnings
            warnings.simplefilter("ignore")
            from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
            from opentelemetry.sdk._logs.export import InMemoryLogExporter, SimpleLogRecordProcessor
            from chora_logging import EventFormatter
            provider, exporter = LoggerProvider(), InMemoryLogExporter()
            provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
            logging.addLevelName(25, "NOTICE")
            stream = io.StringIO()
            ours = logging.StreamHandler(stream)
            ours.setFormatter(EventFormatter(layout="otel"))
            logger = logging.getLogger("shop")
            logger.setLevel(1)
            logger.handlers = [LoggingHandler(logger_provider=provider), ours]
            for level in (10, 20, 25, 30, 40, 50):
                logger.log(level, "Order %d", level, extra={"amount": 7})
            try:
                int("x")
            except ValueError:
                logger.exception("Failed")
            for data, line in zip(exporter.get_finished_logs(), stream.getvalue().splitlines()):
                record = data if hasattr(data, "to_json") else data.log_record  # of older releases
                found = json.loads(record.to_json())
                print(json.dumps([found, data.instrumentation_scope.name, json.loads(line)]))
        """
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        pairs = [json.loads(line) for line in printed.stdout.splitlines()]

        assert len(pairs) == 7
        for theirs, scope, ours in pairs:
            if theirs["severity_text"] == "CRITICAL":  # of older releases
                theirs["severity_text"] = "FATAL"
            for name in ("body", "severity_text", "severity_number"):
                assert ours[name] == theirs[name]
            for name, value in theirs["attributes"].items():
                assert ours["attributes"].pop(name) == (value.rstrip("\n") if type(value) is str else value)
            assert ours["attributes"] == {}
            assert ours["scope"]["name"] == scope
            assert ours["timestamp"] == theirs["timestamp"]

    def test_ids(self):
        """The event, the trace and the span have their names; what readers select by is at the top."""
        line = lines_of("otel", "Paid", **FIELDS, run_id="r")

        names = {"event_name": "paid", "trace_id": TRACE, "span_id": SPAN, "task_id": "t-1", "run_id": "r"}
        assert names.items() <= line.items()
        assert line["attributes"]["amount"] == 7

    def test_static_fields(self):
        """Static fields describe the resource."""
        formatter = EventFormatter(layout="otel", static_fields={"service.name": "shop"})

        assert line_of(record_of(), formatter)["resource"] == {"attributes": {"service.name": "shop"}}


@pytest.mark.parametrize("layout", LAYOUTS)
class TestEach:
    def test_our_readers(self, tmp_path, layout):
        """Our readers understand time, level, event, message, trace, duration and exception."""
        line = lines_of(layout, "Paid", level="ERROR", exc_info=failure(), duration_ms=12, **FIELDS)

        assert meaning.time_of(line) is not None
        answers = [
            ask(line) for ask in (meaning.level_of, meaning.event_of, meaning.message_of, meaning.trace_of)
        ]
        assert answers == ["ERROR", "paid", "Paid", TRACE]
        assert meaning.duration_of(line) == 12
        assert meaning.USUAL.exception_of(line).endswith("ValueError: boom")
        path = tmp_path / "app.log"
        path.write_text(json.dumps(line) + "\n")
        assert len(list(EventLog(path).read(task_id="t-1", trace_id=TRACE))) == 1

    def test_names_of_the_line(self, layout):
        """A caller cannot set a field of the line's own: it gets an underscore."""
        own = lines_of(layout, "Paid").keys()
        line = lines_of(layout, {"message": "Paid", **dict.fromkeys(own - {"message"}, "forged")})

        assert "forged" not in [line[name] for name in own]
        assert json.dumps(line).count("forged") == len(own - {"message"})

    def test_a_dict_message(self, layout):
        """The fields of a dict message are fields; its message is the message."""
        line = lines_of(layout, {"message": "Paid", "amount": 7})

        assert meaning.message_of(line) == "Paid"
        assert line.get("attributes", line)["amount"] == 7

    def test_a_typed_event(self, layout):
        """A typed event has its fields in this layout, and its type at the top."""
        line = lines_of(layout, Event(TRACE))

        assert (meaning.event_of(line), meaning.trace_of(line), line["event_type"]) == ("x", TRACE, "x")
        assert line.get("attributes", line)["rate"] == 1.0
        assert meaning.message_of(line) is None

    def test_the_orchestrator(self, layout):
        """A record of the orchestrator without an event has its default one."""
        assert meaning.event_of(lines_of(layout, "hi", name="orchestrator_events")) == "log"

    def test_a_queue(self, layout):
        """A record that has gone through a queue has the same line."""
        formatter, record = EventFormatter(layout=layout), record_of("Paid %s", "now", **FIELDS)
        through = EventQueueHandler(queue.Queue()).prepare(record)

        assert line_of(through, formatter) == line_of(record, formatter)

    def test_a_limit(self, layout):
        """A long line is cut in the caller's fields first."""
        formatter = EventFormatter(layout=layout, max_bytes=2000)
        line = line_of(record_of("Paid", **FIELDS, text="x" * 5000), formatter)

        assert (line["truncated"], meaning.message_of(line), meaning.trace_of(line)) == (True, "Paid", TRACE)

    def test_attributes_that_are_switched_off(self, layout):
        """`optimize` leaves on what lines have; what a program has switched off is left out."""
        formatter = EventFormatter(layout=layout)
        kept = {switch for switch, names in SWITCHES.items() if any(map(formatter.prints, names))}
        process = {"logThreads", "logProcesses", "logMultiprocessing"} if layout == "ecs" else set()
        record = record_of("Paid")
        for name in ("process", "processName", "thread", "threadName", "lineno", "funcName"):
            setattr(record, name, None)

        assert kept - {"logAsyncioTasks"} == {"_srcfile"} | process
        assert "null" not in formatter.format(record)
        assert "None" not in formatter.format(record)

    def test_changed_later(self, layout):
        """The layout can be changed, and taken back."""
        formatter = EventFormatter()
        record = record_of()
        formatter.layout = layout
        assert formatter.format(record) == EventFormatter(layout=layout).format(record)
        formatter.layout = None
        assert list(line_of(record_of(), formatter)) == ["timestamp", "level", "logger", "message"]


class TestWrongUse:
    def test_an_unknown_one(self):
        """The message names the layouts."""
        with pytest.raises(ConfigurationError, match=r"layout must be .*ecs.*gcp.*otel.*'esc'"):
            EventFormatter(layout="esc")

    @pytest.mark.parametrize(
        "options",
        [
            {"fmt": "%(message)s"},
            {"datefmt": "%H"},
            {"timestamp": "time"},
            {"timestamp_format": "epoch"},
            {"rename_fields": {"level": "l"}},
            {"exc_info_as_object": True},
            {"exc_info_as_array": True},
        ],
        ids=str,
    )
    def test_with_options_that_choose_names(self, options):
        """A layout says what the other option says: both cannot hold."""
        [name] = options
        with pytest.raises(ConfigurationError, match=f"{name} must be left out, because layout='ecs'"):
            EventFormatter(layout="ecs", **options)
