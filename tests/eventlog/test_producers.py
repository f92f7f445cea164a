"""Lines of other loggers are understood: written by their libraries, or as their documents show them."""

from __future__ import annotations

import io
import json
import logging
import time
from typing import Any, NamedTuple

import ecs_logging
import loguru
import pytest
import structlog
from pythonjsonlogger.json import JsonFormatter

from chora_logging import EventFormatter
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.meaning import USUAL

#: The time in the documents' lines that have this moment: 2026-01-02T03:04:05.678Z.
MOMENT = 1767323045.678


class Line(NamedTuple):
    """A line of a program in another language, and what it means."""

    producer: str
    text: str
    level: str | None
    message: str | None
    time: float | None = MOMENT
    event: str | None = None
    trace: str | None = None
    duration: float | None = None
    is_error: bool = False


LINES = [
    Line(
        "pino",
        '{"level":50,"time":1767323045678,"pid":1,"hostname":"a","reqId":"req-1","msg":"no","responseTime":3}',
        "ERROR",
        "no",
        is_error=True,
    ),
    Line("pino, warn", '{"level":40,"time":1767323045678,"msg":"slow"}', "WARNING", "slow"),
    Line(
        "bunyan",
        '{"name":"a","hostname":"b","pid":3,"level":30,"msg":"hi","time":"2026-01-02T03:04:05.678Z","v":0}',
        "INFO",
        "hi",
    ),
    Line(
        "winston",
        '{"level":"verbose","message":"hi","timestamp":"2026-01-02T03:04:05.678Z","traceId":"t-1"}',
        "VERBOSE",
        "hi",
        trace="t-1",
    ),
    Line(
        "zap",
        '{"level":"info","ts":1767323045.678,"caller":"a/b.go:1","msg":"hi","elapsed":"1.5s"}',
        "INFO",
        "hi",
        duration=1500,
    ),
    Line(
        "zap, ISO 8601",
        '{"level":"dpanic","ts":"2026-01-02T03:04:05.678+0000","msg":"no","stacktrace":"a"}',
        "DPANIC",
        "no",
        is_error=True,
    ),
    Line("zerolog", '{"level":"warn","time":1767323045,"message":"hi"}', "WARNING", "hi", time=1767323045),
    Line(
        "logrus",
        '{"level":"fatal","msg":"no","time":"2026-01-02T03:04:05.678Z","trace_id":"t-1"}',
        "CRITICAL",
        "no",
        trace="t-1",
        is_error=True,
    ),
    Line(
        "slog",
        '{"time":"2026-01-02T04:04:05.678000000+01:00","level":"ERROR","msg":"no","duration":"12ms"}',
        "ERROR",
        "no",
        duration=12,
        is_error=True,
    ),
    Line(
        "hclog",
        '{"@level":"error","@message":"no","@module":"a","@timestamp":"2026-01-02T03:04:05.678000Z"}',
        "ERROR",
        "no",
        is_error=True,
    ),
    Line(
        "Serilog, CLEF",
        '{"@t":"2026-01-02T03:04:05.6780000Z","@mt":"Hi {User}","User":"a","@tr":"0af7","@sp":"b7ad"}',
        "INFO",
        "Hi {User}",
        trace="0af7",
    ),
    Line(
        "Serilog, CLEF, warning",
        '{"@t":"2026-01-02T03:04:05.6780000Z","@m":"Hi","@l":"Warning","@i":"1"}',
        "WARNING",
        "Hi",
    ),
    Line(
        "GELF",
        '{"version":"1.1","host":"a","short_message":"no","timestamp":1767323045.678,"level":3,"_user":"b"}',
        "ERROR",
        "no",
        is_error=True,
    ),
    Line(
        "Google Cloud",
        '{"severity":"EMERGENCY","message":"no","time":"2026-01-02T03:04:05.678Z",'
        '"logging.googleapis.com/trace":"projects/shop/traces/0af7651916cd43dd8448eb211c80319c"}',
        "EMERGENCY",
        "no",
        trace="0af7651916cd43dd8448eb211c80319c",
        is_error=True,
    ),
    Line(
        "Spring Boot, ECS",
        '{"@timestamp":"2026-01-02T03:04:05.678Z","log.level":"WARN","message":"hi","trace.id":"0af7",'
        '"event":{"action":"login","duration":1500000},"ecs.version":"8.11"}',
        "WARNING",
        "hi",
        event="login",
        trace="0af7",
        duration=1.5,
    ),
    Line(
        "logstash-logback-encoder",
        '{"@timestamp":"2026-01-02T03:04:05.678+00:00","@version":"1","message":"no","level":"ERROR",'
        '"level_value":40000,"stack_trace":"java.lang.Exception: no"}',
        "ERROR",
        "no",
        is_error=True,
    ),
    Line(
        "OpenTelemetry",
        '{"body":"no","severity_text":"Error","severity_number":17,"timestamp":"2026-01-02T03:04:05.678000Z",'
        '"trace_id":"0af7","span_id":"b7ad"}',
        "ERROR",
        "no",
        trace="0af7",
        is_error=True,
    ),
    Line(
        "Datadog",
        '{"asctime":"2026-01-02T03:04:05.678Z","levelname":"INFO","message":"hi","dd":{"trace_id":"12"}}',
        "INFO",
        "hi",
        trace="12",
    ),
    Line(
        "Nextcloud",
        '{"reqId":"a","level":3,"time":"2026-01-02T03:04:05+00:00","remoteAddr":"::1","app":"b","message":"no"}',
        "ERROR",
        "no",
        time=1767323045,
        is_error=True,
    ),
    Line(
        "Ray",
        '{"asctime":"2026-01-02T03:04:05.678Z","levelname":"WARNING","message":"hi","job_id":"01000000"}',
        "WARNING",
        "hi",
    ),
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.producer)
def test_documented(line):
    """A line as the documents of its producer show it."""
    event = json.loads(line.text)

    assert USUAL.time_of(event) == pytest.approx(line.time, abs=1e-6)
    assert USUAL.level_of(event) == line.level
    assert USUAL.message_of(event) == line.message
    assert USUAL.event_of(event) == line.event
    assert USUAL.trace_of(event) == line.trace
    assert USUAL.duration_of(event) == line.duration
    assert USUAL.is_error(event) is line.is_error


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.producer)
def test_selected(tmp_path, line):
    """The filters find such a line by its level, its time, its name and its trace, and by no other."""
    path = tmp_path / "app.log"
    path.write_text(line.text + "\n")
    log = EventLog(path)

    for right, wrong in (
        ({"level": "error"}, None) if line.is_error else (None, {"level": "error"}),
        (
            {"since": "2026-01-02T03:04:05Z", "until": "2026-01-02T03:04:06Z"},
            {"until": "2026-01-02T03:04:05Z"},
        ),
        ({"event": line.event}, {"event": "other"}) if line.event else (None, None),
        ({"trace_id": line.trace}, {"trace_id": "other"}) if line.trace else (None, None),
    ):
        assert right is None or len(list(log.read(**right))) == 1
        assert wrong is None or list(log.read(**wrong)) == []
    assert not any(asked.unreadable for asked in log.asked.values())


class Logging:
    """A logger with one formatter, and the event that it writes for an error."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self._stream = io.StringIO()
        handler = logging.StreamHandler(self._stream)
        handler.setFormatter(formatter)
        self._logger = logging.Logger("shop")  # in no tree
        self._logger.addHandler(handler)

    def event(self) -> dict[str, Any]:
        """Log an error, and return what was written."""
        try:
            raise ValueError("no room")
        except ValueError:
            self._logger.exception("boom", extra={"trace_id": "t-1"})
        event: dict[str, Any] = json.loads(self._stream.getvalue())
        return event


FORMATTERS = {
    "python-json-logger": lambda: JsonFormatter("%(asctime)s %(levelname)s %(message)s"),
    "python-json-logger, timestamp": lambda: JsonFormatter(
        "%(levelname)s %(message)s", timestamp=True, rename_fields={"levelname": "severity"}
    ),
    "python-json-logger, number": lambda: JsonFormatter("%(asctime)s %(levelno)s %(message)s"),
    "our own": EventFormatter,
    "our own, renamed": lambda: EventFormatter(
        rename_fields={"level": "severity", "timestamp": "@timestamp"}
    ),
    "our own, formatted": lambda: EventFormatter("%(asctime)s %(levelname)s %(message)s %(trace_id)s"),
    "our own, ts": lambda: EventFormatter("%(levelname)s %(message)s %(trace_id)s", timestamp="ts"),
    "ecs-logging": ecs_logging.StdlibFormatter,
}


@pytest.mark.parametrize("name", FORMATTERS)
def test_formatters(name):
    """An error that a formatter of `logging` wrote."""
    before = time.time()
    event = Logging(FORMATTERS[name]()).event()
    written = USUAL.time_of(event)

    assert written is not None
    assert before - 0.002 <= written <= time.time()
    assert (USUAL.level_of(event), USUAL.is_error(event)) == ("ERROR", True)
    assert USUAL.message_of(event) == "boom"
    assert USUAL.trace_of(event) == "t-1"
    assert 'raise ValueError("no room")' in USUAL.exception_of(event)


def test_structlog():
    """A line of structlog: its `event` is the name, and no message besides."""
    stream = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
    before = time.time()
    try:
        raise ValueError("no room")
    except ValueError:
        logger.exception("order refused", correlation_id="t-1")
    event = json.loads(stream.getvalue())

    assert before <= USUAL.time_of(event) <= time.time()
    assert (USUAL.level_of(event), USUAL.is_error(event)) == ("ERROR", True)
    assert (USUAL.event_of(event), USUAL.message_of(event)) == ("order refused", None)
    assert USUAL.trace_of(event) == "t-1"
    assert USUAL.exception_of(event).endswith("ValueError: no room")


def test_loguru():
    """A line of loguru with `serialize=True`, which has everything below `record`."""
    stream = io.StringIO()
    before = time.time()
    sink = loguru.logger.add(stream, serialize=True)
    try:
        loguru.logger.bind(trace_id="t-1").success("done")
    finally:
        loguru.logger.remove(sink)
    event = json.loads(stream.getvalue())

    assert before - 0.001 <= USUAL.time_of(event) <= time.time()
    assert (USUAL.level_of(event), USUAL.is_error(event)) == ("SUCCESS", False)
    assert (USUAL.event_of(event), USUAL.message_of(event)) == (None, "done")
    assert USUAL.trace_of(event) == "t-1"
