"""Formatters that are copied, pickled, patched or changed later, as python-json-logger's can be."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from unittest import mock

import pytest
from pythonjsonlogger.json import JsonFormatter

from chora_logging import BufferedEventFileHandler, ConfigurationError, EventFileHandler, EventFormatter
from tests.accounting import events_of
from tests.records import failure, line_of, record_of

OPTIONS = {
    "static_fields": {"service": "shop"},
    "rename_fields": {"a": "b"},
    "defaults": {"d": [1]},
    "timestamp_format": "epoch",
    "max_bytes": 600,
}


def hook(value):
    """A `json_default` that can be pickled."""
    return type(value).__name__


class Counting(EventFormatter):
    """A subclass with a hook and state of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.count = 0

    def process_log_record(self, fields):
        self.count += 1
        return fields | {"count": self.count}


class TestCopies:
    @pytest.mark.parametrize(
        "duplicate",
        [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))],
        ids=["copy", "deepcopy", "pickle"],
    )
    @pytest.mark.parametrize(
        "fmt", [None, "%(levelname)s %(message)s", ["message"]], ids=["layout", "fmt", "list"]
    )
    @pytest.mark.parametrize("used", [0, 3])
    def test_the_same_lines(self, duplicate, fmt, used):
        """A copy writes the lines of the original, used before or not; each has its own options."""
        formatter = EventFormatter(fmt, json_default=hook, reserved_attrs=["args"], **OPTIONS)
        record = record_of("%s", 1, a=1, o=object(), exc_info=failure())
        plain = record_of("%s", 1, a=1, o=object())
        for _ in range(used):
            formatter.format(plain)
        other = duplicate(formatter)

        assert line_of(record, other) == line_of(record, formatter)
        assert line_of(plain, other) == line_of(plain, formatter)
        other.static_fields["more"] = 1
        assert line_of(plain, other)["more"] == 1
        assert "more" not in line_of(plain, formatter)

    def test_of_a_subclass(self):
        """A subclass keeps its hooks and its state."""
        formatter = Counting()
        formatter.format(record_of())
        other = pickle.loads(pickle.dumps(formatter))

        assert json.loads(other.format(record_of()))["count"] == 2
        assert json.loads(formatter.format(record_of()))["count"] == 2

    def test_in_another_process(self):
        """A process without the compiled part reads a pickle of one with it."""
        program = (
            "import logging, pickle, sys; formatter = pickle.load(sys.stdin.buffer)\n"
            "print(formatter.writer, formatter.format(logging.makeLogRecord({'msg': 'hi', 'a': 1})))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=pickle.dumps(EventFormatter(**OPTIONS)),
            env={**os.environ, "CHORA_LOGGING_PURE": "1"},
            capture_output=True,
        )

        writer, line = done.stdout.decode().split(" ", 1)
        assert writer == "None", done.stderr
        assert json.loads(line)["b"] == 1


class TestChanges:
    """Options that change later hold from the next record on."""

    @pytest.fixture
    def write(self, tmp_path):
        """Write a record through a file handler and return its line, the same on each path."""
        handler = EventFileHandler(tmp_path / "app.jsonl")

        def write(formatter, **extra):
            if handler.formatter is not formatter:
                handler.setFormatter(formatter)
            for _ in range(3):
                handler.handle(record_of("m", **extra))
            lines = [
                {name: value for name, value in event.items() if name != "timestamp"}
                for event in events_of(tmp_path / "app.jsonl")[-3:]
            ]
            assert lines[0] == lines[1] == lines[2]
            return lines[0]

        yield write
        handler.close()

    @pytest.mark.parametrize(
        "change",
        [
            lambda it: it.static_fields.update(t=2),
            lambda it: it.static_fields.__setitem__("t", 2),
            lambda it: it.static_fields.pop("s"),
            lambda it: it.static_fields.clear(),
            lambda it: setattr(it, "static_fields", {"t": 2}),
            lambda it: setattr(it, "static_fields", it.static_fields | {"t": 2}),
            lambda it: it.static_fields.__ior__({"t": 2}),
            lambda it: it.static_fields.setdefault("t", 2),
            lambda it: it.static_fields.__delitem__("s"),
            lambda it: it.static_fields.popitem(),
            lambda it: it.rename_fields.update(message="text"),
            lambda it: setattr(it, "rename_fields", {"o": "p"}),
            lambda it: it.defaults.update(d=1),
            lambda it: setattr(it, "rename_fields_keep_missing", True),
            lambda it: setattr(it, "json_default", hook),
        ],
    )
    def test_as_python_json_logger(self, write, change):
        """The fields are those of python-json-logger after the same change."""
        options = {"static_fields": {"s": 1}, "rename_fields": {"x": "y"}, "json_default": str}
        ours = EventFormatter("%(message)s", **options)
        theirs = JsonFormatter("%(message)s", **options)
        value = object()
        before = write(ours, o=value)
        assert before == json.loads(theirs.format(record_of("m", o=value)))
        for formatter in (ours, theirs):
            change(formatter)

        after = write(ours, o=value)
        assert after == json.loads(theirs.format(record_of("m", o=value)))
        assert after != before

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("static_fields", {"level_": 5}, {"level_": 5}),
            ("timestamp", "time", {"time": 0.5}),
            ("timestamp_format", "rfc3339", {"timestamp": "1970-01-01T00:00:00.500000Z"}),
            ("datefmt", "at %Y", {"timestamp": "at 1970"}),
            ("rename_fields", {"level": "severity"}, {"severity": "INFO"}),
            ("max_bytes", 512, {"truncated": True}),
            ("formatTime", lambda record, datefmt=None: "now", {}),
            ("formatException", lambda info: "short", {"exception": "short"}),
            ("process_log_record", lambda fields: {"only": 1}, {"only": 1}),
            ("json_default", hook, {"object": "object"}),
        ],
    )
    def test_of_the_event_layout(self, name, value, expected):
        """Every option and hook can be set on a formatter that has written lines."""
        formatter = EventFormatter(timestamp_format="epoch")
        record = record_of("m", text="x" * 600, object=object(), exc_info=failure())
        record.created = 0.5
        for _ in range(3):
            formatter.format(record)
        setattr(formatter, name, value)

        assert line_of(record, formatter).items() >= expected.items()
        plain = record_of("m", text="x" * 600)
        plain.created = 0.5
        if "exception" not in expected and "object" not in expected:
            assert line_of(plain, formatter).items() >= expected.items()

    @pytest.mark.parametrize(
        ("name", "value"), [("max_bytes", 5), ("timestamp_format", "x"), ("defaults", 5)]
    )
    def test_an_invalid_option(self, name, value):
        """An invalid value is refused as by the constructor, and changes nothing."""
        formatter = EventFormatter()
        record = record_of()
        before = formatter.format(record)
        with pytest.raises(ConfigurationError, match=name):
            setattr(formatter, name, value)

        assert formatter.format(record) == before

    def test_a_patched_format(self, tmp_path):
        """`mock.patch.object` on a formatter is what its handlers call, and only while it lasts."""
        formatter = EventFormatter()
        handler = EventFileHandler(tmp_path / "app.jsonl")
        handler.setFormatter(formatter)
        for _ in range(3):
            handler.handle(record_of("before"))
        with mock.patch.object(formatter, "format", return_value='{"patched":1}'):
            handler.handle(record_of("during"))
        with mock.patch.object(formatter, "format", wraps=formatter.format) as watched:
            handler.handle(record_of("watched"))
        for _ in range(3):
            handler.handle(record_of("after"))
        handler.close()

        assert watched.call_count == 1
        assert [event.get("message", "patched") for event in events_of(tmp_path / "app.jsonl")] == [
            *["before"] * 3,
            "patched",
            "watched",
            *["after"] * 3,
        ]

    @pytest.mark.parametrize("kind", [EventFileHandler, BufferedEventFileHandler])
    def test_a_patched_handler(self, tmp_path, kind):
        """`mock.patch.object` on a handler's `format` makes its lines, and only while it lasts."""
        handler = kind(tmp_path / "app.jsonl")
        handler.setFormatter(EventFormatter())
        for _ in range(3):
            handler.handle(record_of("before"))
        with mock.patch.object(handler, "format", return_value='{"message":"patched"}'):
            handler.handle(record_of("during"))
        handler.handle(record_of("after"))
        handler.close()

        assert [event["message"] for event in events_of(tmp_path / "app.jsonl")] == [
            *["before"] * 3,
            "patched",
            "after",
        ]

    def test_changes_keep_the_fast_path(self, tmp_path):
        """A formatter whose static fields were changed is as fast as before."""
        formatter = EventFormatter(static_fields={"s": 1})
        handler = EventFileHandler(tmp_path / "app.jsonl")
        handler.setFormatter(formatter)
        formatter.static_fields["s"] = 2
        for _ in range(3):
            handler.handle(record_of("m", a=1))
        taken = handler._writer is None or handler._writer.write(handler, record_of("m", a=1))
        handler.close()

        assert taken
        assert [event["s"] for event in events_of(tmp_path / "app.jsonl")][:3] == [2, 2, 2]
