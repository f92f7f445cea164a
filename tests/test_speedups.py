"""The compiled fast path writes the same bytes as the Python code, or leaves the record to that code.

If it is not compiled, or `CHORA_LOGGING_PURE` is set, the same tests apply to the Python code alone.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import os
import resource
import subprocess
import sys
import threading
import time
import weakref

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chora_logging import EventFileHandler, EventFormatter, TraceIdFilter, speedups, trace_context
from tests.accounting import events_of, lines_of
from tests.formatting.test_plans import OPTIONS, names
from tests.formatting.test_values import Colour, OddText, Text, deep
from tests.needs import need
from tests.records import Event, Raises, failure, record_of
from tests.soaks import soak

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(st.characters(), max_size=4),
        st.binary(max_size=3),
        st.builds(Raises),
        st.sampled_from([Colour.RED, OddText("t"), Text("t"), object, deep(200, list), {5: 1, "5": 2}]),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
attributes = st.dictionaries(names | st.text(st.characters(), max_size=2), values, max_size=5)
messages = st.one_of(
    st.text(st.characters(), max_size=5), st.sampled_from(["%s", "%d %s", "%(a)s", "50 %", {}, {"a": 1}, 5])
)
arguments = st.one_of(
    st.just(()), st.tuples(values), st.tuples(st.integers(), values), st.just(({"a": 1},)), st.just(({},))
)


def pure(monkeypatch, **options):
    """A formatter without compiled parts."""
    monkeypatch.setattr(speedups, "in_use", False)
    formatter = EventFormatter(**options)
    monkeypatch.undo()
    return formatter


@pytest.fixture
def open_handler(tmp_path):
    """Make handlers with our formatter and filter; they are closed after the test."""
    handlers = []

    def make(name="app.log", **options):
        handler = EventFileHandler(tmp_path / name, **options)
        handler.setFormatter(EventFormatter())
        handler.addFilter(TraceIdFilter())
        handlers.append(handler)
        # The first record opens the file, the second makes the plan.
        for _ in range(2):
            handler.handle(record_of(a=1))
        return handler

    yield make
    for handler in handlers:
        handler.close()


def is_written_compiled(handler, record=None):
    """Write a record on the compiled fast path if possible; return whether it was."""
    return handler._writer is not None and handler._writer.write(handler, record or record_of(a=1))


class TestInUse:
    """The compiled part can be queried and switched off."""

    def test_where_they_are_compiled(self):
        """It is compiled where possible, and in use unless the environment switches it off."""
        if pure := os.environ.get("CHORA_LOGGING_PURE"):
            assert not speedups.in_use
        elif not speedups.in_use:
            need("a C compiler", "Python's headers")
        assert speedups.in_use is not bool(pure)

    def test_switched_off(self):
        """With CHORA_LOGGING_PURE no compiled code is loaded."""
        program = (
            "import sys; from chora_logging import EventFileHandler, EventFormatter, speedups\n"
            "loaded = 'chora_logging.speedups._speedups' in sys.modules\n"
            "print(speedups.in_use, loaded, EventFormatter().writer)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "CHORA_LOGGING_PURE": "1"},
            capture_output=True,
            text=True,
        )

        assert done.stdout.split() == ["False", "False", "None"], done.stderr

    @pytest.mark.parametrize(("value", "disabled"), [("0", False), ("No", False), ("yes", True), ("?", True)])
    def test_the_words_of_the_variable(self, value, disabled):
        """CHORA_LOGGING_PURE is a flag: "0" and "no" do not disable it; what is no flag does."""
        program = "from chora_logging import speedups; print('is set' in speedups.why_not)"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "CHORA_LOGGING_PURE": value},
            capture_output=True,
            text=True,
        )

        assert done.stdout.split() == [str(disabled)], done.stderr

    @pytest.mark.parametrize(
        ("module", "why_not"),
        [
            ("None", "not built: install a C compiler and Python's headers"),
            ("types.ModuleType('of another version')", "cannot be loaded (cannot import name"),
        ],
    )
    def test_why_they_are_not_in_use(self, module, why_not):
        """If it was not built, or cannot be loaded, the reason and the remedy are available."""
        program = (
            f"import sys, types; sys.modules['chora_logging.speedups._speedups'] = {module}\n"
            "from chora_logging import speedups; print(speedups.in_use, speedups.why_not)"
        )
        environment = {name: value for name, value in os.environ.items() if name != "CHORA_LOGGING_PURE"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )

        assert done.stdout.startswith(f"False {why_not}"), done.stderr

    def test_ordinary_records_take_the_fast_path(self, open_handler):
        """An ordinary record is written by the compiled code in all three parts."""
        handler = open_handler()

        assert is_written_compiled(handler) is speedups.in_use


class TestLines:
    """Both write the same line."""

    @settings(max_examples=soak(800))
    @given(
        options=st.sampled_from([*OPTIONS, {"max_bytes": 512}, {"timestamp_format": "local"}]),
        extra=attributes,
        message=messages,
        args=arguments,
        logger=st.sampled_from(["app", "orchestrator_events", 'q"', "\udc80"]),
        created=st.floats(-1e9, 1e11) | st.sampled_from([0.0, 0.9999995, 1e18, 5, None, "x"]),
        special=st.sampled_from([{}, {}, {}, {"exc_info": failure()}, {"stack_info": "s"}, {"exc_info": 0}]),
    )
    def test_of_any_record(self, options, extra, message, args, logger, created, special):
        """For any options, fields, message and arguments."""
        record = record_of(message, *args, name=logger)
        record.__dict__.update(special, created=created)
        record.__dict__.update(extra)
        with pytest.MonkeyPatch.context() as patch:
            reference = pure(patch, **options)
            patch.setattr(time, "time", lambda: 1.5)  # the timestamp of a record without a valid time
            expected = reference.format(record)
            lines = {reference.format(record) for _ in range(2)}
            formatter = EventFormatter(**options)
            lines |= {formatter.format(record) for _ in range(4)}

        assert lines == {expected}

    def test_of_every_character(self, monkeypatch):
        """Each Unicode character is written in the same way."""
        formatter, reference = EventFormatter(), pure(monkeypatch)
        for first in range(0, sys.maxunicode + 1, 4096):
            text = "".join(map(chr, range(first, first + 4096)))
            record = record_of(text[:2048], n=text[2048:])

            assert {formatter.format(record) for _ in range(3)} == {reference.format(record)}

    @settings(max_examples=soak(600))
    @given(st.lists(st.floats(0, 2**33) | st.integers(0, 2**33).map(lambda n: n - 5e-7), max_size=8))
    def test_of_any_time(self, times):
        """The time is rounded in the same way, after any earlier time."""
        with pytest.MonkeyPatch.context() as patch:
            reference = pure(patch)
        formatter = EventFormatter()
        for created in [1.0, 1.0, *times]:
            record = record_of()
            record.created = created
            assert formatter.format(record) == reference.format(record)

    def test_of_events(self):
        """A typed event is left to Python."""
        formatter = EventFormatter()
        for _ in range(3):
            assert json.loads(formatter.format(record_of(Event()))) == {
                "event_type": "x",
                "trace_id": None,
                "rate": 1.0,
            }

    @pytest.mark.parametrize(
        "make",
        [
            lambda it: it,
            lambda it: {"a": it},
            lambda it: [{"a": it}],
            lambda it: ({"a": [it]},),
            lambda it: {5: it, "5": 1},
            lambda it: [[it], deep(200, list)],
            lambda it: dataclasses.make_dataclass("Data", ["a"])(it),
        ],
        ids=["bare", "dict", "list", "tuple", "repeated key", "too deep", "dataclass"],
    )
    @pytest.mark.parametrize("max_bytes", [None, 512])
    def test_of_objects(self, tmp_path, make, max_bytes):
        """The caller's code is called once for a record, wherever the object is, compiled or not."""
        asked = []

        class Object:
            def __str__(self):
                asked.append("str")
                return "text"

        value = Object()

        def hook(it):
            asked.append("hook")
            return {"k": "v"}

        handler = EventFileHandler(tmp_path / "app.log")
        handler.setFormatter(EventFormatter(json_default=hook, max_bytes=max_bytes))
        for _ in range(4):
            asked.clear()
            handler.handle(record_of("%s", value, value=make(value)))
        handler.close()

        assert asked == ["str", "hook"]
        assert '"text"' in (tmp_path / "app.log").read_text()

    def test_of_objects_in_a_line_that_is_too_long(self, tmp_path):
        """The line is shortened as it is, and not made again."""
        asked = []

        class Object:
            def __str__(self):
                asked.append("str")
                return "text" * 200

        def hook(it):
            asked.append("hook")
            return ["v" * 200, "w" * 600]

        value = Object()
        handler = EventFileHandler(tmp_path / "app.log")
        handler.setFormatter(EventFormatter(json_default=hook, max_bytes=512))
        for _ in range(4):
            asked.clear()
            handler.handle(record_of("%s", value, value=[value, 5]))
        handler.close()

        assert asked == ["str", "hook"]
        lines = lines_of(tmp_path / "app.log")
        assert [len(line) <= 512 for line in lines] == [True] * 4
        assert json.loads(lines[3])["truncated"] is True
        assert {line.partition(b'"level"')[2] for line in lines} == {lines[0].partition(b'"level"')[2]}

    def test_of_an_argument_that_is_another_kind_of_text(self, tmp_path):
        """A message is text and no value for the hook, also if an argument's `__str__` returns a subclass."""

        class Safe(str):  # as Django's SafeString
            def __str__(self):
                return self

        handler = EventFileHandler(tmp_path / "app.log")
        handler.setFormatter(EventFormatter(json_default=lambda it: "hooked"))
        for text in ["<b>"] * 3 + ["\ud800"] * 3:
            handler.handle(record_of("%s", Safe(text)))
        handler.close()

        assert [event["message"] for event in events_of(tmp_path / "app.log")] == ["<b>"] * 3 + [
            r"\ud800"
        ] * 3

    def test_of_a_record_that_changes_meanwhile(self, monkeypatch):
        """An object that empties the record and clears the plans does no harm."""
        made = []

        def hook(value):
            value.__dict__.clear()
            for number in range(1200):
                formatter.format(record_of(**{f"n{number}": 1}))
            made.append(value)
            return "x"

        formatter = EventFormatter(json_default=hook)
        for _ in range(3):
            record = record_of(z="z" * 3000)
            record.__dict__["self"] = record
            assert json.loads(formatter.format(record))
        assert made

    def test_exceptions_that_must_pass(self):
        """KeyboardInterrupt is raised into the caller, as from Python."""

        class Interrupts:
            def __str__(self):
                raise KeyboardInterrupt

        formatter = EventFormatter()
        for _ in range(2):
            formatter.format(record_of("%s", 1))
        with pytest.raises(KeyboardInterrupt):
            formatter.format(record_of("%s", Interrupts()))


class TestWriting:
    """A record is written as Python writes it, or left to Python."""

    @settings(max_examples=60)
    @given(
        records=st.lists(st.tuples(messages, arguments, attributes), max_size=12),
        max_bytes=st.sampled_from([0, 300, 2000]),
    )
    @example(records=[("{}", (), {"event": deep(200, list)})], max_bytes=0)
    def test_the_same_files(self, tmp_path_factory, records, max_bytes):
        """Two logs of the same records are the same files, rotations included."""
        folder = tmp_path_factory.mktemp("logs")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(speedups, "in_use", False)
            reference = EventFileHandler(folder / "pure.log", maxBytes=max_bytes, backupCount=99)
            reference.setFormatter(EventFormatter())
        handler = EventFileHandler(folder / "app.log", maxBytes=max_bytes, backupCount=99)
        handler.setFormatter(EventFormatter())
        for each in (reference, handler):
            each.addFilter(TraceIdFilter())
        for message, args, extra in records:
            for _ in range(3):
                record = record_of(message, *args)
                record.__dict__.update(extra)
                for each in (reference, handler):
                    each.handle(record)
        for each in (reference, handler):
            each.close()

        files = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
        assert {name for name in files if name.startswith("pure")} == {
            name.replace("app", "pure") for name in files if name.startswith("app")
        }
        for name in files:
            assert files[name] == files[name.replace("app", "pure")]

    @pytest.mark.parametrize("call", ["write", "stat", "pread"])
    def test_a_replaced_call(self, open_handler, monkeypatch, call):
        """A replaced system call (by a test or a fake file system) is called."""
        handler = open_handler()
        monkeypatch.setattr(os, call, getattr(os, call).__call__)

        assert not is_written_compiled(handler)

    def test_another_get_message(self, tmp_path, open_handler, monkeypatch):
        """A program's own LogRecord.getMessage is called."""
        handler = open_handler()
        monkeypatch.setattr(logging.LogRecord, "getMessage", lambda record: "another")
        handler.handle(record_of(a=1))

        assert events_of(tmp_path / "app.log")[-1]["message"] == "another"

    @pytest.mark.parametrize("name", ["emit", "filter"])
    def test_a_replaced_method(self, open_handler, monkeypatch, name):
        """A method replaced on the handler itself is called."""
        handler = open_handler()
        called = []
        monkeypatch.setattr(handler, name, called.append)
        handler.handle(record_of(a=1))

        assert len(called) == 1

    @pytest.mark.parametrize(
        ("name", "value", "end"),
        [("terminator", "\r\n", b"\r\n"), ("formatter", logging.Formatter("%(message)s!"), b"hi!\n")],
    )
    def test_a_changed_attribute(self, tmp_path, open_handler, name, value, end):
        """A changed attribute of the handler takes effect with the next record."""
        handler = open_handler()
        setattr(handler, name, value)
        handler.handle(record_of(a=1))

        assert (tmp_path / "app.log").read_bytes().endswith(end)

    def test_another_stream(self, tmp_path, open_handler):
        """A stream that replaces the handler's own gets the records."""
        handler = open_handler()
        with open(tmp_path / "other.log", "w") as stream:
            own, handler.stream = handler.stream, stream
            handler.handle(record_of(a=1))
            handler.stream = own

        assert len(lines_of(tmp_path / "other.log")) == 1
        assert len(lines_of(tmp_path / "app.log")) == 2

    def test_filters(self, tmp_path, open_handler):
        """An added filter is called and can drop records."""
        handler = open_handler()
        handler.addFilter(lambda record: False)

        assert not handler.handle(record_of(a=1))
        assert len(lines_of(tmp_path / "app.log")) == 2

    def test_trace_ids(self, tmp_path, open_handler, monkeypatch):
        """The id is the record's, the context's, the environment's, or none; the record gets it."""
        handler = open_handler()
        given = record_of(a=1, trace_id="given")
        with trace_context("context"):
            for _ in range(2):
                handler.handle(record_of(a=1))
            handler.handle(given)
        monkeypatch.setenv("CHORA_TRACE_ID", "environment")
        handler.handle(record_of(a=1))
        monkeypatch.delenv("CHORA_TRACE_ID")
        none = record_of(a=1)
        handler.handle(none)

        ids = [event.get("trace_id") for event in events_of(tmp_path / "app.log")]
        assert ids == [None, None, "context", "context", "given", "environment", None]
        assert none.__dict__["trace_id"] is None

    def test_half_a_line_of_another_writer(self, tmp_path, open_handler):
        """An incomplete line gets a newline before the next record; a complete one causes no wait."""
        handler = open_handler()
        with open(tmp_path / "app.log", "ab") as other:
            other.write(b'{"whole":1}\n')
        assert is_written_compiled(handler) is speedups.in_use
        with open(tmp_path / "app.log", "ab") as other:
            other.write(b'{"half":')
        assert not is_written_compiled(handler)
        handler.handle(record_of(a=1))

        assert b'{"half":' in lines_of(tmp_path / "app.log")
        assert json.loads(lines_of(tmp_path / "app.log")[-1])["a"] == 1

    def test_no_room(self, tmp_path, open_handler):
        """A line that does not fit completely leaves no part in the file, and later lines are written."""
        handler = open_handler(maxBytes=0)
        size = (tmp_path / "app.log").stat().st_size
        refused = []
        handler.handleError = refused.append
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
        try:
            handler.handle(record_of(a=1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert (tmp_path / "app.log").stat().st_size == size
        handler.handle(record_of(a=2))

        assert len(refused) == 1
        assert [event.get("a") for event in events_of(tmp_path / "app.log")] == [1, 1, 2, None]

    def test_a_held_mutex(self, tmp_path, open_handler):
        """A record waits while another thread holds the handler's lock."""
        handler = open_handler()
        thread = threading.Thread(target=handler.handle, args=(record_of(a=1),))
        with handler.lock:
            thread.start()
            thread.join(0.05)
            assert thread.is_alive()
            assert len(lines_of(tmp_path / "app.log")) == 2
        thread.join()

        assert len(lines_of(tmp_path / "app.log")) == 3


class TestMemory:
    """Reference counts are right."""

    def test_references(self, open_handler):
        """After thousands of records, written and refused, the reference counts are as before."""
        handler = open_handler()
        given = object()
        held = [
            handler,
            handler.formatter,
            handler.lock,
            handler._log.mutex,
            given,
            "event text",
            b"bytes",
            3.5,
        ]
        held += [TraceIdFilter, logging.LogRecord, os.write]

        def work():
            for number in range(3000):
                for extra in ({"a": 1}, {"a": given, "b": held[5]}, {"a": [1], "c": held[6], "d": held[7]}):
                    record = record_of("m %s", number, **extra)
                    handler.handle(record)
                    handler.formatter.format(record)

        work()
        gc.collect()
        before = [sys.getrefcount(each) for each in held]
        work()
        gc.collect()

        assert [sys.getrefcount(each) for each in held] == before

    def test_a_handler_ends_with_its_last_reference(self, tmp_path):
        """A handler that wrote is freed with its last reference, without the garbage collector."""
        handler = EventFileHandler(tmp_path / "app.log")
        handler.setFormatter(EventFormatter())
        for _ in range(3):
            handler.handle(record_of(a=1))
        handler.close()
        seen = weakref.ref(handler)
        gc.disable()
        try:
            del handler
            assert seen() is None
        finally:
            gc.enable()
