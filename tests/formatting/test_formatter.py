"""The fields of a line, their order, and name collisions."""

from __future__ import annotations

import copy
import json
import logging
import subprocess
import sys

import pytest

from chora_logging.formatting.fields import STANDARD_ORDER
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.schema import FIELDS_ATTRIBUTE, LAYOUT
from tests.records import Event, line_of, record_of


class TestLayout:
    """The order and names of fields without options."""

    def test_fields_stand_in_the_documented_order(self):
        """The layout's fields come first, then the caller's in the caller's order."""
        record = record_of(
            "Task started",
            status="running",
            run_id="run-456",
            trace_id="t",
            task_id="task-123",
            event="task_started",
            attempt=2,
        )

        line = line_of(record)

        assert list(line) == [*LAYOUT, "status", "attempt"]
        assert line["message"] == "Task started"
        assert line["level"] == "INFO"
        assert line["logger"] == "app"

    def test_what_a_record_lacks_is_left_out(self):
        """A plain record has only timestamp, level, logger and message."""
        assert list(line_of(record_of())) == ["timestamp", "level", "logger", "message"]

    def test_no_trace_id_is_left_out(self):
        """A trace id of None, as the filter sets it, is left out."""
        assert "trace_id" not in line_of(record_of(trace_id=None))

    @pytest.mark.parametrize(("name", "event"), [("orchestrator_events", "log"), ("app", None)])
    def test_event_has_a_default_on_the_orchestrator_logger(self, name, event):
        """A record without an event gets one only on the orchestrator's logger."""
        assert line_of(record_of(name=name)).get("event") == event

    def test_given_event_wins_over_the_default(self):
        """A caller's event on the orchestrator's logger replaces the default."""
        line = line_of(record_of(name="orchestrator_events", event="task_done"))

        assert line["event"] == "task_done"

    def test_exception_and_stack_come_last(self):
        """An exception is text under `exception`, a stack under `stack_info`, after the fields."""
        try:
            raise ValueError("boom")
        except ValueError:
            record = record_of("failed", exc_info=sys.exc_info(), job=1)
        record.stack_info = "Stack (most recent call last):\n  here"

        line = line_of(record)

        assert list(line)[-3:] == ["job", "exception", "stack_info"]
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("ValueError: boom")

    def test_attributes_of_other_formatters_are_no_fields(self):
        """`message` and `asctime`, which another handler's formatter set on the record, are not fields."""
        record = record_of("a %s", "b", k=1)
        logging.Formatter("%(asctime)s %(message)s").format(record)

        line = line_of(record)

        assert list(line) == ["timestamp", "level", "logger", "message", "k"]

    def test_cached_traceback_of_a_queue_is_written(self):
        """`exc_text` is the exception of a record without `exc_info`."""
        record = record_of()
        record.exc_text = "Traceback: gone\nValueError: x"

        assert line_of(record)["exception"] == "Traceback: gone\nValueError: x"
        assert line_of(record, EventFormatter(exc_info_as_array=True))["exception"] == [
            "Traceback: gone",
            "ValueError: x",
        ]

    def test_fields_that_logging_refuses_are_ordinary_ones(self):
        """The fields in the package's own attribute keep their names."""
        fields = {"name": "n", "module": "m", "args": [1], "filename": "f", "message": "mine"}
        record = record_of("ours", **{FIELDS_ATTRIBUTE: fields})

        line = line_of(record)

        assert {**fields, "message": "ours", "message_": "mine"}.items() <= line.items()
        assert FIELDS_ATTRIBUTE not in line


class TestMessage:
    """The message, and the fields that are added when it cannot be formatted."""

    def test_arguments_are_filled_in(self):
        """`%` arguments work as everywhere in logging."""
        assert line_of(record_of("%s is %d", "a", 1))["message"] == "a is 1"

    @pytest.mark.parametrize("args", [(1,), (1, 2, 3), ("x", "y")])
    def test_wrong_arguments_keep_message_and_arguments(self, args):
        """A message whose arguments do not fit is written unformatted, with the arguments and the error."""
        line = line_of(record_of("%d and %d", *args))

        assert line["message"] == "%d and %d"
        assert line["args"] == list(args)
        assert line["format_error"].startswith("TypeError: ")

    def test_argument_that_raises_is_reported(self):
        """An argument whose `str` raises loses no record and raises nothing into the caller."""

        class Broken:
            def __str__(self):
                raise RuntimeError("no")

            __repr__ = __str__

        line = line_of(record_of("value %s", Broken()))

        assert line["message"] == "value %s"
        assert line["args"] == ["__could_not_encode__"]
        assert line["format_error"] == "RuntimeError: no"

    def test_mapping_as_arguments(self):
        """A single mapping fills placeholders; without placeholders it is written as `args`."""
        assert line_of(record_of("m %(a)s", {"a": 1})) | {"timestamp": 0} == {
            "timestamp": 0,
            "level": "INFO",
            "logger": "app",
            "message": "m 1",
        }
        for message in ("m", "m 100%%"):
            assert line_of(record_of(message, {"a": 1}))["args"] == {"a": 1}
        whole = line_of(record_of("m %s", {"a": 1}))
        assert (whole["message"], "args" in whole) == ("m {'a': 1}", False)

    def test_stack_that_is_no_text(self):
        """An object in place of the stack is written as text."""
        record = record_of()
        record.stack_info = 5

        assert line_of(record, EventFormatter(stack_info_as_array=True))["stack_info"] == "5"

    def test_objects_as_messages_are_text(self):
        """A message that is neither text nor a dict is written as its `str`."""
        assert line_of(record_of(12))["message"] == "12"
        assert line_of(record_of(ValueError("x")))["message"] == "x"

    def test_record_class_with_its_own_messages(self):
        """The `getMessage` of a record subclass is called."""

        class Braces(logging.LogRecord):
            def getMessage(self):
                return self.msg.format(*self.args)

        record = Braces("app", 20, "", 1, "{} + {}", (1, 2), None)

        assert line_of(record)["message"] == "1 + 2"


class TestDictMessage:
    """The keys of dict messages are fields."""

    def test_keys_are_fields_in_their_places(self):
        """The fields of a dict that the layout names have the layout's positions."""
        line = line_of(record_of({"n": 1, "message": "m", "task_id": "t", "event": "e", 5: "five"}))

        assert list(line) == [
            "timestamp",
            "level",
            "logger",
            "event",
            "task_id",
            "message",
            "n",
            "5",
        ]

    def test_without_message_there_is_none(self):
        """A dict without `message` gives a line without `message`."""
        assert "message" not in line_of(record_of({"event": "e"}))

    def test_explicit_extra_keeps_the_name(self):
        """If dict and extra differ, both are written, the extra under the name; equal values come once."""
        line = line_of(record_of({"a": 1, "b": 2}, a=3, b=2))

        assert (line["a"], line["a_"], line["b"]) == (3, 1, 2)
        assert "b_" not in line

    def test_the_dict_is_left_as_it_was(self):
        """Neither the dict nor its contents change."""
        message = {"a": [1, {"b": 2}], "level": "x"}
        before = copy.deepcopy(message)
        line_of(record_of(message))

        assert message == before


class TestCollisions:
    """No caller can forge the level, logger, time or service; nothing is lost."""

    @pytest.mark.parametrize("name", ["timestamp", "level", "logger"])
    @pytest.mark.parametrize("where", ["extra", "dict"])
    def test_own_fields_keep_their_names(self, name, where):
        """An underscore is appended to a caller's field with the name of one of the line's own."""
        record = record_of(**{name: "HACK"}) if where == "extra" else record_of({name: "HACK"})

        line = line_of(record)

        assert line[f"{name}_"] == "HACK"
        assert line[name] != "HACK"

    def test_underscores_until_the_name_is_free(self):
        """A caller's `level` and `level_` are both in the line."""
        line = line_of(record_of(level="a", level_="b"))

        assert (line["level"], line["level_"], line["level__"]) == ("INFO", "b", "a")

    def test_static_fields_are_ours(self):
        """No caller can change a static field."""
        formatter = EventFormatter(static_fields={"service": "billing"})

        line = line_of(record_of(service="evil"), formatter)

        assert (line["service"], line["service_"]) == ("billing", "evil")

    def test_static_placed_field(self):
        """A static field of the layout has the layout's position, and no caller can change it."""
        line = line_of(record_of(task_id="theirs"), EventFormatter(static_fields={"task_id": "ours"}))

        assert list(line)[3] == "task_id"
        assert (line["task_id"], line["task_id_"]) == ("ours", "theirs")

    def test_exception_is_ours_when_there_is_one(self):
        """A caller's `exception` keeps its name if the record has no exception."""
        assert line_of(record_of(exception="mine"))["exception"] == "mine"
        record = record_of(exception="mine")
        record.exc_text = "Traceback"

        line = line_of(record)

        assert (line["exception"], line["exception_"]) == ("Traceback", "mine")

    def test_keys_that_become_the_same_text(self):
        """The keys 5 and "5" are two fields."""
        record = record_of()
        record.__dict__.update({5: "number", "5": "text"})

        line = line_of(record)

        assert (line["5"], line["5_"]) == ("number", "text")

    def test_private_names_are_kept(self):
        """Fields that begin with an underscore are fields."""
        assert line_of(record_of(_x=1))["_x"] == 1


class TestRecord:
    """The record and Python's own attributes."""

    def test_record_is_left_as_it_was(self):
        """Other handlers see the record unchanged, without an added `message`."""
        try:
            raise ValueError
        except ValueError:
            record = record_of("a %s", "b", exc_info=sys.exc_info(), k={"x": 1})
        before = dict(record.__dict__)
        for formatter in (EventFormatter(), EventFormatter("%(asctime)s %(message)s")):
            formatter.format(record)

        assert record.__dict__ == before

    def test_empty_exceptions_are_none(self):
        """`exc_info=True` outside of an except block gives no field."""
        for empty in ((None, None, None), True, False, None, ()):
            record = record_of()
            record.exc_info = empty
            assert "exception" not in line_of(record)

    def test_attributes_of_later_pythons_do_not_leak(self):
        """An attribute that every record has is not a field, in later Pythons too."""
        code = (
            "import logging\n"
            "init = logging.LogRecord.__init__\n"
            "def later(self, *args, **kwargs):\n"
            "    init(self, *args, **kwargs)\n"
            "    self.cpuName = 'cpu0'\n"
            "logging.LogRecord.__init__ = later\n"
            "from chora_logging.formatting.formatter import EventFormatter\n"
            "record = logging.getLogger('a').makeRecord('a', 20, 'f', 1, 'm', (), None)\n"
            "options = ({}, {'fmt': '%(message)s'}, {'reserved_attrs': []},\n"
            "           {'fmt': '%(message)s', 'reserved_attrs': []})\n"
            "for options in options:\n"
            "    formatter = EventFormatter(**options)\n"
            "    for _ in range(3):\n"
            "        assert 'cpu' not in formatter.format(record), (options, formatter.format(record))\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

    def test_task_name_of_none_is_absent(self):
        """`taskName` without a value is not a field, even if it is not reserved."""
        for options in ({}, {"reserved_attrs": []}, {"fmt": "%(message)s", "reserved_attrs": []}):
            record = record_of()
            record.__dict__["taskName"] = None
            assert "taskName" not in line_of(record, EventFormatter(**options))

    def test_unusual_order_of_attributes(self):
        """Fields are found in rebuilt records, and in record classes that set their attributes first."""

        class First(logging.LogRecord):
            def __init__(self, *args):
                self.tenant = "t1"
                super().__init__(*args)

        record = First("app", 20, "", 1, "m", (), None)
        del record.args, record.lineno
        record.args, record.extra = (), 1

        line = line_of(record)

        assert (line["tenant"], line["extra"], line["message"]) == ("t1", 1, "m")

    def test_standard_names_are_those_of_this_python(self):
        """The attributes of a blank record are not fields."""
        blank = logging.makeLogRecord({})

        assert list(blank.__dict__) == list(STANDARD_ORDER)


class TestTelemetryEvent:
    """Typed events, whose line is their own JSON."""

    def test_is_written_as_its_own_json(self):
        """The line is the event's JSON, character for character."""
        event = Event("t")

        assert EventFormatter().format(record_of(event)) == event.model_dump_json()
        assert EventFormatter().format(record_of(event, trace_id="other")) == event.model_dump_json()

    def test_missing_trace_id_is_filled_in(self):
        """The record's trace id is added to the line, not to the event."""
        event = Event()

        assert line_of(record_of(event, trace_id="t"))["trace_id"] == "t"
        assert event.trace_id is None

    def test_what_else_the_record_has_comes_after(self):
        """Extras and exceptions are appended; the event's own fields keep their names."""
        record = record_of(Event("t"), rate="theirs", more=1, trace_id="r")
        record.exc_text = "Traceback"

        line = line_of(record)

        assert list(line) == ["event_type", "trace_id", "rate", "rate_", "more", "exception"]
        assert (line["trace_id"], line["rate"]) == ("t", 1.0)

    def test_event_that_cannot_write_itself(self):
        """An event whose `model_dump_json` fails is written from its fields."""

        class Broken(Event):
            def model_dump_json(self):
                raise ValueError("cannot")

        assert line_of(record_of(Broken("t"))) == {
            "event_type": "x",
            "trace_id": "t",
            "object": "object",
        }

    def test_with_chosen_fields_the_event_is_a_dict_message(self):
        """With *fmt* the event's fields are added to those of *fmt*."""
        line = line_of(record_of(Event("t")), EventFormatter("%(levelname)s"))

        assert line == {"levelname": "INFO", "event_type": "x", "trace_id": "t", "rate": 1.0}

    @pytest.mark.parametrize(
        ("text", "dumped", "expected"),
        [
            ('{"rate":NaN}', {"rate": float("nan")}, {"rate": None}),
            ('{"k":{"5":1,"5":2}}', {"k": {5: 1, "5": 2}}, {"k": {"5": 1, "5_": 2}}),
            ('{\n "a": 1\n}', None, {"a": 1}),
            ('{"a":{"b":1}}', None, {"a": {"b": 1}}),
            ("[1]", [1], {"event": [1]}),
        ],
    )
    def test_event_whose_json_is_none(self, text, dumped, expected):
        """An event class whose output is not a line of JSON still gets one."""

        class Loose(Event):
            def model_dump_json(self):
                return text

            def model_dump(self):
                return dumped

        assert line_of(record_of(Loose("t"))) == expected

    def test_event_that_cannot_say_its_fields(self):
        """If the event's dump also fails, its attributes are written."""

        class Broken(Event):
            def model_dump_json(self):
                raise ValueError("cannot")

            model_dump = model_dump_json

        assert line_of(record_of(Broken("t"))) == {"trace_id": "t"}

    def test_long_event_is_cut(self):
        """The length limit applies to events too."""
        text = EventFormatter(max_bytes=512).format(record_of(Event("t" * 1000)))

        assert len(text) <= 512
        assert json.loads(text)["truncated"] is True
