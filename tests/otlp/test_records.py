"""The mapping of events to OTLP log records: our own, those of other loggers, and hostile lines."""

from __future__ import annotations

import copy
import json
import logging
import sys

import pytest

from chora_logging import EventFormatter
from chora_logging.eventlog import Gap
from chora_logging.eventlog.meaning import Meaning
from chora_logging.otlp.records import Request
from tests.otlp.collector import stored_of, value_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NOON = 1760702400_000000000


def records_of(*events, fields=None, resource=None):
    """The records of lines, which may be bytes."""
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in events]
    request = Request(resource or {}, Meaning(fields))
    request.add_lines(b"".join(line + b"\n" for line in lines))
    message = type(request._message).FromString(request.encoded())
    found = stored_of(message)
    assert request.records == len(found)
    return found


def record_of(event, **options):
    (found,) = records_of(event, **options)
    return found


class TestOurs:
    def test_all_parts(self):
        """Each part of a line has its place, and none is there twice."""
        event = {
            "timestamp": "2025-10-17T12:00:00.123456Z",
            "level": "INFO",
            "logger": "shop",
            "event": "order_placed",
            "task_id": "task-7",
            "trace_id": TRACE,
            "span_id": SPAN,
            "message": "Order 7 placed",
            "service": "billing",
            "order_id": 7,
        }
        found = record_of(event, resource={"service.name": "app", "host.name": "web1"})

        assert found.resource == {"service.name": "billing", "host.name": "web1"}
        assert (found.scope, found.record.event_name) == ("shop", "order_placed")
        assert found.record.time_unix_nano == NOON + 123456000
        assert (found.record.trace_id.hex(), found.record.span_id.hex()) == (TRACE, SPAN)
        assert value_of(found.record.body) == "Order 7 placed"
        assert found.attributes == {"task_id": "task-7", "order_id": 7}

    def test_order(self):
        """The order of the lines is kept, also between loggers."""
        found = records_of(*({"logger": "abca"[n % 4], "message": "x", "n": n} for n in range(9)))

        assert [each.attributes["n"] for each in found] == list(range(9))
        assert [each.scope for each in found] == list("abcaabcaa")


#: What lines of the layouts have beside what ours have, and the exceptions of ours are text in all of them.
MORE_IN_LAYOUTS = {
    *("code.file.path", "code.function.name", "code.line.number", "exception.type", "exception.message"),
    *("ecs.version", "log", "process", "error", "logging.googleapis.com/sourceLocation"),
}


@pytest.mark.parametrize("layout", ["otel", "ecs", "gcp"])
def test_layouts(layout):
    """A line in another layout becomes the same record as that of the same call in ours."""
    usual, other = (
        EventFormatter(layout=name, static_fields={"service": "billing", "zone": "b"})
        for name in (None, layout)
    )
    calls = [
        ("Order placed", {}),
        ("Order placed", {"trace_id": TRACE, "span_id": SPAN, "event": "order_placed", "task_id": "t-1"}),
        ("Order placed", {"attributes": {"a": {"b": 1}}, "resource": "r", "user.id": 7, "none": None}),
        ("Text", {"text": "other", "body": "other", "time": "noon", "severity": "high", "msg": "other"}),
        ({"event": "order_placed", "amount": 7, "duration_ms": 1.5}, {}),
        ({"event": "order_placed", "message": "Placed"}, {"event_type": "chora.done"}),
        ({"amount": 7}, {"scope": {"name": "x", "more": 1}, "severity_number": 3}),
        ("Failed", {"exc_info": True, "exception": "mine"}),
        ("Late", {"level": "debug", "timestamp": "2001-01-01T00:00:00Z", "logger": "mine"}),
    ]
    if layout == "otel":
        calls[6][1].pop("severity_number")  # it has one itself
        calls[7][1].pop("exception")  # which is in an object apart
    else:  # these have their own names at the top, beside those of the caller
        calls[3] = ("Text", {"text": "other", "body": "other", "msg": "other"})
        calls[5] = ({"event_type": "chora.done", "message": "Done"}, {})
    ours, theirs = [], []
    for number, (message, fields) in enumerate(calls):
        try:
            int("x")
        except ValueError:
            error = sys.exc_info() if fields.pop("exc_info", None) else None
        level = (10, 20, 30, 40, 50)[number % 5]
        record = logging.LogRecord("shop.orders", level, "a.py", 7, message, (), error, "place")
        record.__dict__.update(fields)
        ours.append(usual.format(record))
        record = copy.copy(record)
        record.exc_text = None
        theirs.append(other.format(record))
    ours = records_of(*map(str.encode, ours), resource={"service.name": "app", "host.name": "web1"})
    theirs = records_of(*map(str.encode, theirs), resource={"service.name": "app", "host.name": "web1"})

    assert len(ours) == len(calls)
    for our, their in zip(ours, theirs, strict=True):
        assert (our.resource, our.scope) == (their.resource, their.scope)
        attributes = {k: v for k, v in their.attributes.items() if k not in MORE_IN_LAYOUTS}
        assert attributes == our.attributes
        for record in (our.record, their.record):
            del record.attributes[:]
        assert their.record == our.record
        assert our.resource["service.name"] == "billing"
        assert our.scope == "shop.orders"


class TestForeign:
    @pytest.mark.parametrize(
        ("event", "severity", "body", "attributes"),
        [
            # structlog; pino; zap; GELF; CLEF; ECS; loguru
            (
                {"event": "hi", "level": "warn", "timestamp": "2025-10-17 12:00:00+0000"},
                (13, "WARN"),
                "hi",
                {},
            ),
            (
                {"level": 50, "time": NOON // 10**6, "pid": 1, "hostname": "h", "msg": "hi", "v": 1},
                (17, "ERROR"),
                "hi",
                {"pid": 1, "hostname": "h", "v": 1},
            ),
            ({"level": "dpanic", "ts": NOON / 1e9, "msg": "hi"}, (21, "DPANIC"), "hi", {}),
            (
                {"version": "1.1", "host": "h", "short_message": "hi", "level": 4, "timestamp": NOON / 1e9},
                (13, "WARN"),
                "hi",
                {"version": "1.1", "host": "h"},
            ),
            ({"@t": "2025-10-17T12:00:00Z", "@mt": "hi"}, (9, "INFO"), "hi", {}),
            (
                {"@timestamp": "2025-10-17T12:00:00Z", "log": {"level": "error"}, "message": "hi"},
                (17, "ERROR"),
                "hi",
                {},
            ),
            (
                {"event_type": "chora.done", "timestamp": "2025-10-17T12:00:00Z", "status": "failed"},
                (17, "ERROR"),
                "chora.done",
                {"status": "failed"},
            ),
            # a number between two names; pino's trace, for which there is no name; OpenTelemetry's
            ({"time": NOON, "level": 35, "message": "hi"}, (16, "WARN"), "hi", {"level": 35}),
            ({"time": NOON // 10**6, "level": 10, "msg": "hi"}, (1, "DEBUG"), "hi", {"level": 10}),
            (
                {
                    "timestamp": NOON,
                    "severity_number": 14,
                    "severity_text": "Warn",
                    "body": "hi",
                    "scope": {"name": "s", "version": "1"},
                    "resource": {"attributes": {"service.name": "x", "k": 1}},
                    "attributes": {"a": {"b": 1}, "level": "gold", "k": 2},
                },
                (14, "WARN"),
                "hi",
                {"scope": {"version": "1"}, "k_": 1, "a": {"b": 1}, "level_": "gold", "k": 2},
            ),
            ({"time": NOON, "message": {"a": [1]}}, (0, ""), {"a": [1]}, {}),
            ({"time": NOON, "level": "LOUD", "message": "hi"}, (0, "LOUD"), "hi", {}),
        ],
    )
    def test_meaning(self, event, severity, body, attributes):
        """Lines of other loggers are understood, and what is not a part of the record is an attribute."""
        found = record_of(event)

        assert (found.record.severity_number, found.record.severity_text) == severity
        assert value_of(found.record.body) == body
        assert found.record.time_unix_nano == NOON
        assert found.attributes == attributes

    def test_fields_of_ones_own(self):
        """A log's own names of fields count."""
        found = record_of({"sev": "error", "say": "hi"}, fields={"level": "sev", "message": "say"})

        assert (found.record.severity_text, value_of(found.record.body)) == ("ERROR", "hi")
        assert found.attributes == {}

    @pytest.mark.parametrize(
        ("trace", "span"), [("req-1", SPAN), (TRACE, "17"), (TRACE[:-1], SPAN + "0"), ("0" * 32, "0" * 16)]
    )
    def test_other_traces(self, trace, span):
        """A trace or span with another form is an attribute, and nothing is lost."""
        found = record_of({"message": "x", "trace_id": trace, "span_id": span})
        has = {}
        if found.record.trace_id:
            has["trace_id"] = found.record.trace_id.hex()
        if found.record.span_id:
            has["span_id"] = found.record.span_id.hex()

        assert has | found.attributes == {"trace_id": trace, "span_id": span}

    def test_unreadable(self):
        """What cannot be read stays as an attribute; the time of reading is the observed one."""
        found = record_of({"timestamp": "yesterday", "level": True, "message": "x"})

        assert (found.record.time_unix_nano, found.record.severity_number) == (0, 0)
        assert found.record.observed_time_unix_nano > NOON
        assert found.attributes == {"timestamp": "yesterday", "level": True}

    def test_nanoseconds(self):
        """A time in nanoseconds loses none of them."""
        whole, text = records_of({"ts": NOON + 123456789}, {"ts": "2025-10-17T12:00:00.123456789Z"})

        assert whole.record.time_unix_nano == text.record.time_unix_nano == NOON + 123456789

    @pytest.mark.parametrize(
        "time", ["3000-01-01T00:00:00Z", "2555-01-01T00:00:00Z", 18446744074, 2**64, 1.9e16]
    )
    def test_a_time_that_a_record_cannot_hold(self, time):
        """64 bits of nanoseconds end in 2554: a later time stays an attribute, and the line arrives."""
        found = record_of({"timestamp": time, "message": "x"})

        assert found.record.time_unix_nano == 0
        assert found.record.observed_time_unix_nano > NOON
        assert [*found.attributes] == ["timestamp"]

    def test_another_object_of_an_exception(self):
        """Of an exception whose stack is text everything is kept, since the traceback does not have it."""
        error = {"type": "V", "message": "bad", "stack": "at x.js:1", "code": 7}
        found = record_of({"message": "x", "exception": error})

        assert found.attributes["exception"] == error

    def test_hostile(self):
        """Any line gives records that can be decoded: none is lost, and none raises."""
        deep = b'{"a":' * 300 + b"1" + b"}" * 300
        lines = [b"no json \xff", b"", b"  ", deep, b'{"n": NaN}', b'{"s": "\\ud800"}', b'{"a": 1}{"a": 2}']
        lines += [b'{"big": 123456789012345678901234567890, "none": null, "": ""}', b"[1]", b"\0\0{}"]
        found = records_of(*lines)

        assert [value_of(each.record.body) for each in found] == ["no json \\xff", *[None] * 6, "[1]", None]
        assert [each.attributes for each in found[2:7]] == [
            {"n": None},
            {"s": "\ufffd"},
            {"a": 1},
            {"a": 2},
            {"big": "123456789012345678901234567890", "none": None, "": ""},
        ]

    def test_gap(self):
        """A gap is a warning with its facts as attributes."""
        request = Request({}, Meaning())
        request.add_gap(Gap("deleted by rotation", files=2, bytes=100, since=NOON / 1e9))
        (found,) = stored_of(type(request._message).FromString(request.encoded()))

        assert (found.record.severity_number, found.record.event_name) == (13, "gap")
        assert value_of(found.record.body) == "Events are missing here: deleted by rotation"
        assert found.attributes == {
            "reason": "deleted by rotation",
            "files": 2,
            "bytes": 100,
            "since": "2025-10-17T12:00:00+00:00",
        }
