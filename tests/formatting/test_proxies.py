"""Objects that stand for others, such as werkzeug's LocalProxy, are written as python-json-logger does."""

from __future__ import annotations

import json
import logging
import queue
from unittest import mock

import pytest
from pythonjsonlogger.json import JsonFormatter

from chora_logging import EventFormatter, EventQueueHandler, TraceIdFilter, trace_context
from tests.records import Proxy, line_of, record_of

FMT = "%(levelname)s %(message)s"


class Broken:
    """Claims to be a dict and is none."""

    __class__ = dict

    def __str__(self):
        return "broken"


@pytest.mark.parametrize(
    "message",
    [Proxy({"a": 1, "event": "x"}), Proxy(Proxy({"a": 1})), Proxy({}), mock.MagicMock(spec=dict)],
    ids=["proxy", "twice", "empty", "mock"],
)
class TestDictAsMessage:
    """A proxy of a dict is a dict message."""

    def test_the_fields_of_python_json_logger(self, message):
        """With a format the line has the same fields, those of `extra` included."""
        record = record_of(message, order_id=7)

        assert line_of(record, EventFormatter(FMT)) == json.loads(JsonFormatter(FMT).format(record))

    def test_the_event_layout(self, message):
        """Without one the line has the fields of the dict, the caller's and the trace id."""
        record = record_of(message, order_id=7)
        with trace_context("t"):
            TraceIdFilter().filter(record)
        line = line_of(record)

        assert line.items() >= {**dict(message.items()), "order_id": 7, "trace_id": "t"}.items()
        assert "message" not in line
        assert "format_error" not in line

    def test_behind_a_queue(self, message):
        """The queue handler freezes the fields and not the text of the object."""
        frozen = EventQueueHandler(queue.Queue()).prepare(record_of(message, order_id=7))

        assert frozen.msg == dict(message.items())
        assert line_of(frozen) == line_of(record_of(message, order_id=7)) | {
            "timestamp": line_of(frozen)["timestamp"]
        }


def test_trace_id_in_a_proxy():
    """The trace id in the proxy of a dict message wins; a mock has none."""
    with trace_context("t"):
        for message, trace_id in ((Proxy({"trace_id": "own"}), "own"), (mock.MagicMock(spec=dict), "t")):
            record = record_of(message)
            TraceIdFilter().filter(record)
            assert record.trace_id == trace_id


@pytest.mark.parametrize("fmt", [None, FMT])
@pytest.mark.parametrize("message", [Broken(), mock.Mock(spec=dict)], ids=["broken", "mock"])
def test_what_only_claims_to_be_a_dict(fmt, message):
    """An object without the items of a dict is written as text, with the record's other fields."""
    record = record_of(message, order_id=7, trace_id="t")
    frozen = EventQueueHandler(queue.Queue()).prepare(record)

    for each in (record, frozen):
        line = line_of(each, EventFormatter(fmt))
        assert line["message"] == str(message)
        assert (line["order_id"], line["trace_id"]) == (7, "t")
        assert "format_error" not in line


@pytest.mark.parametrize("value", [{"a": 1}, "t", 5, 1.5, [1], ValueError("x")], ids=repr)
def test_values_and_arguments(value):
    """A proxy in `extra`, in a dict or as an argument has python-json-logger's form."""
    for fields in ({"x": Proxy(value)}, {"x": {"k": Proxy(value)}}):
        record = record_of("m", **fields)
        assert (
            line_of(record, EventFormatter("%(message)s"))["x"]
            == json.loads(JsonFormatter().format(record))["x"]
        )
    record = logging.LogRecord("app", 20, "", 0, "%s", (Proxy(value),), None)

    assert line_of(record)["message"] == record.getMessage()
