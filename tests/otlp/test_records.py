"""The mapping of events to OTLP log records: our own, those of other loggers, and hostile lines."""

from __future__ import annotations

import json

import pytest

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
                {"log": {"level": "error"}},
            ),
            (
                {"event_type": "chora.done", "timestamp": "2025-10-17T12:00:00Z", "status": "failed"},
                (17, "ERROR"),
                "chora.done",
                {"status": "failed"},
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
