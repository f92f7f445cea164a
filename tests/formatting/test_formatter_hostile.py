"""Any record gives one line of strict JSON and raises nothing into the caller."""

from __future__ import annotations

import contextlib
import linecache
import logging
import sys
import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chora_logging.formatting.formatter import EventFormatter
from chora_logging.formatting.values import CIRCULAR
from tests.formatting.test_values import Colour, Group, Key, NoItems, OddText, Text, deep, made
from tests.records import Raises, line_of, record_of, strict
from tests.soaks import soak

FORMATTERS = [EventFormatter(), EventFormatter("%(levelname)s %(message)s", timestamp=True)]


class TestRecords:
    """Records with hostile attributes."""

    @pytest.mark.parametrize(
        "message",
        ["\udc80", "x" * 5_000_000, "\x00\n\r\u2028", Text("t"), Raises, b"b", None, {}, {5: {}}],
        ids=lambda value: type(value).__name__,
    )
    def test_messages(self, message):
        """Any object as the message gives a line."""
        for formatter in FORMATTERS:
            for _ in range(3):
                strict(formatter.format(record_of(made(message))))

    @pytest.mark.parametrize("attribute", ["name", "levelname", "exc_text", "stack_info", "created"])
    @pytest.mark.parametrize("value", ["\udc80\n", Raises, 5, None, [1], {"a": {}}])
    def test_attributes(self, attribute, value):
        """Any object in place of a record's own text gives a line."""
        record = record_of(a=1)
        setattr(record, attribute, made(value))
        for formatter in FORMATTERS:
            for _ in range(3):
                strict(formatter.format(record))

    @pytest.mark.parametrize(
        "args", [Raises, (Raises,), [1], {"a": Raises}, NoItems(a=1), (10**5000,)], ids=range(6)
    )
    def test_arguments(self, args):
        """Any object as the arguments gives a line with the message."""
        if args == (Raises,):
            args = (Raises(),)
        record = record_of("m %s %s")
        record.args = made(args)
        for formatter in FORMATTERS:
            assert strict(formatter.format(record))["message"] == "m %s %s"

    def test_keys_of_extra(self):
        """Attribute names that are not text, or of a subclass of it, give unique keys."""
        record = record_of()
        record.__dict__.update(
            {5: 1, "5": 2, Key.LEVEL: 3, OddText("event"): 4, "event": 5, "\ud800": 6, 'q"\n\\': 7, "": 8}
        )
        for formatter in FORMATTERS:
            for _ in range(3):
                fields = strict(formatter.format(record))
                assert sorted(value for value in fields.values() if isinstance(value, int)) == list(
                    range(1, 9)
                )

    def test_missing_attributes(self):
        """A record whose attributes were deleted still gives a line."""
        for name in list(record_of().__dict__):
            record = record_of(a=1)
            delattr(record, name)
            for formatter in FORMATTERS:
                strict(formatter.format(record))

    @pytest.mark.parametrize(
        "info",
        [
            (ValueError, ValueError("x"), None),
            (ValueError, None, None),
            (None, ValueError("x"), None),
            ValueError("x"),
            (Group, Group(), None),
            "text",
            (1, 2, 3),
            (1,),
            Raises,
        ],
        ids=range(9),
    )
    def test_exceptions(self, info):
        """Any object in place of the exception gives a line."""
        record = record_of()
        record.exc_info = made(info)
        for formatter in FORMATTERS:
            strict(formatter.format(record))

    def test_long_and_nested_exceptions_are_one_line(self):
        """Causes, notes, groups and tracebacks of thousands of lines are text in one field."""
        error = ValueError("first")
        for number in range(300):
            following = RuntimeError(f"number {number}\nwith lines")
            following.__cause__ = error
            error = following
        if sys.version_info >= (3, 11):
            error.add_note("a note")
            error = ExceptionGroup("many", [error, Group()])  # noqa: F821
        fields = line_of(record_of("m", exc_info=(type(error), error, None)))

        assert "number 299" in fields["exception"]
        assert "ValueError: first" in fields["exception"]

    def test_everything_about_an_exception_is_kept(self):
        """Notes, causes, contexts and groups are in the line of `logger.exception`, as Python prints them."""
        error = RuntimeError("the last one")
        error.__cause__, error.__context__ = KeyError("the cause"), None
        if sys.version_info >= (3, 11):
            error.add_note("a note\non two lines")
            error = ExceptionGroup("many", [error, ValueError("the other one")])  # noqa: F821
        expected = "".join(traceback.format_exception(error)).rstrip("\n")

        assert line_of(record_of("m", exc_info=(type(error), error, None)))["exception"] == expected
        as_array = line_of(
            record_of("m", exc_info=(type(error), error, None)), EventFormatter(exc_info_as_array=True)
        )
        assert as_array["exception"] == expected.splitlines()

    def test_traceback_of_ten_thousand_lines(self, monkeypatch):
        """A traceback of 10,000 lines is one line, and with a limit it is cut to a valid line below it."""
        space = {}
        names = [f"step_{number}" for number in range(5000)]
        source = "".join(
            f"def {name}():\n    {following}()\n"
            for name, following in zip(names, [*names[1:], "fail"], strict=True)
        )
        exec(compile("def fail():\n    raise ValueError('at last')\n" + source, "job.py", "exec"), space)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(20_000)
        try:
            space["step_0"]()
        except ValueError as error:
            info = (type(error), error, error.__traceback__)
        finally:
            sys.setrecursionlimit(limit)
        lines = ["def fail():\n", "    raise ValueError('at last')\n", *source.splitlines(True)]
        monkeypatch.setitem(linecache.cache, "job.py", (len(source), None, lines, "job.py"))

        whole = line_of(record_of("failed", exc_info=info))
        text = EventFormatter(max_bytes=10_000).format(record_of("failed", exc_info=info))

        assert whole["exception"].count("\n") >= 10_000
        assert whole["exception"].endswith("ValueError: at last")
        assert len(text.encode()) <= 10_000
        assert (strict(text)["message"], strict(text)["truncated"]) == ("failed", True)

    def test_formatting_of_the_exception_fails(self):
        """If `formatException` raises, the exception's type and text are written."""

        class Broken(EventFormatter):
            def formatException(self, ei):
                raise RuntimeError("no")

        record = record_of(exc_info=(ValueError, ValueError("x"), None))

        assert strict(Broken().format(record))["exception"] == "ValueError: x"


class TestHooks:
    """Subclasses and options that raise."""

    @pytest.mark.parametrize(
        "hook",
        ["add_fields", "process_log_record", "jsonify_log_record", "serialize_log_record", "formatTime"],
    )
    def test_hook_that_raises_leaves_the_essentials(self, hook):
        """A bug in a subclass loses fields, not time, level, logger and message; the error is added."""

        def fail(self, *args, **kwargs):
            raise RuntimeError("a bug")

        formatter = type("Broken", (EventFormatter,), {hook: fail})()
        line = strict(formatter.format(record_of("m", a=1)))

        assert (line["level"], line["logger"], line["message"]) == ("INFO", "app", "m")
        assert len(line["timestamp"]) == 27
        assert line.get("format_error", "RuntimeError: a bug") == "RuntimeError: a bug"

    def test_json_default_that_raises(self):
        """If the caller's json_default fails, the object's `str` is written."""

        def fail(value):
            raise TypeError("no")

        formatter = EventFormatter(json_default=fail)

        assert strict(formatter.format(record_of(a=1j, b=2))) | {"timestamp": 0} == {
            "timestamp": 0,
            "level": "INFO",
            "logger": "app",
            "message": "hi",
            "a": "1j",
            "b": 2,
        }


class TestStack:
    """Callers with almost no stack left."""

    @pytest.mark.parametrize("formatter", FORMATTERS, ids=["layout", "fmt"])
    @pytest.mark.parametrize("extra", [{}, {"a": [[[[1]]]], "b": {1: 1, "1": {2: 2, "2": 3}}}])
    def test_near_the_limit(self, formatter, extra):
        """If format can be called at all, it returns a line, however few frames remain."""
        record = record_of("m", **extra)
        outcomes = []

        def dive():
            with contextlib.suppress(RecursionError):
                dive()
            if len(outcomes) < 150:
                try:
                    outcomes.append(formatter.format(record))
                except RecursionError as error:
                    # Raised by the call itself, before the first line of format ran.
                    depth, trace = 0, error.__traceback__
                    while trace is not None:
                        depth, trace = depth + 1, trace.tb_next
                    outcomes.append(depth)

        dive()

        lines = [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert all(outcome == 1 for outcome in outcomes if isinstance(outcome, int))
        assert len(lines) > 100
        for line in lines:
            strict(line)
        assert strict(lines[-1])["message"] == "m"

    def test_logging_call_raises_nothing(self, tmp_path):
        """A cyclic and a 100,000-deep extra reach the file through a plain FileHandler."""
        handler = logging.FileHandler(tmp_path / "log")
        handler.setFormatter(EventFormatter())
        logger = logging.getLogger("hostile")
        logger.addHandler(handler)
        cycle = []
        cycle.append(cycle)
        logger.warning("cycle", extra={"cycle": cycle, "deep": deep(100_000, list)})
        handler.close()

        assert strict((tmp_path / "log").read_text().rstrip("\n"))["cycle"] == [CIRCULAR]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(max_size=20)
    | st.decimals()
    | st.datetimes()
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from([Colour.RED, Colour.ODD, Key.LEVEL, object, 1j])
    | st.builds(Raises)
    | st.builds(lambda: 10**5000),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.text(st.characters(), max_size=3)
            | st.integers(-3, 12)
            | st.floats()
            | st.none()
            | st.booleans()
            | st.binary(max_size=2)
            | st.tuples(st.integers())
            | st.sampled_from(["1", "2", "null", "true", "1.0", Key.LEVEL, "level"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)
names = (
    st.text(st.characters(), min_size=1, max_size=8)
    | st.sampled_from(["level", "logger", "timestamp", "event", "trace_id", "task_id", "exception", "level_"])
).filter(lambda name: name not in record_of().__dict__ and name not in ("message", "asctime"))


class TestAnything:
    """Random records."""

    @settings(max_examples=soak(600), suppress_health_check=list(HealthCheck))
    @given(
        message=st.text(st.characters()) | st.dictionaries(names, values, max_size=5) | values,
        args=st.lists(values, max_size=3),
        extra=st.dictionaries(names, values, max_size=8),
        options=st.sampled_from(
            [
                {},
                {"max_bytes": 600},
                {"static_fields": {"level_": 1, "service": "s"}, "rename_fields": {"level": "x"}},
                {"fmt": "%(levelname)s %(message)s", "timestamp": True},
                {"fmt": ["message", "task_id"], "rename_fields": {"task_id": "level"}},
            ]
        ),
    )
    def test_gives_one_strict_line(self, message, args, extra, options):
        """Any message, arguments and extras give one line, on each path through the formatter."""
        record = record_of(message, *args, **{})
        record.__dict__.update(extra)
        formatter = EventFormatter(**options)

        lines = [strict(formatter.format(record)) for _ in range(3)]

        assert lines[1] == lines[2]
        assert lines[0].keys() == lines[1].keys()
        if "max_bytes" in options:
            assert len(formatter.format(record).encode()) <= 600
