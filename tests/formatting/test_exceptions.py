"""Exceptions as objects."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import traceback

import pytest

from chora_logging.eventlog.tracebacks import traceback_of
from chora_logging.formatting.exceptions import MOST_EXCEPTIONS, MOST_FRAMES
from chora_logging.formatting.formatter import EventFormatter
from tests.records import failure, line_of, record_of

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup  # pytest brings it


def raised(raising):
    """Return the exc_info of what *raising* raises."""
    try:
        raising()
    except BaseException:
        return sys.exc_info()
    raise AssertionError("nothing was raised")


def object_of(info):
    return line_of(record_of("failed", exc_info=info), EventFormatter(exc_info_as_object=True))["exception"]


def caused():
    try:
        raise KeyError("id")
    except KeyError as error:
        raise ValueError("boom") from error


def handled():
    try:
        raise KeyError("id")
    except KeyError:
        raise ValueError("boom")


def from_none():
    try:
        raise KeyError("id")
    except KeyError:
        raise ValueError("boom") from None


def circular():
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def deep(depth):
    if depth:
        deep(depth - 1)
    raise ValueError("deep")


class Hostile(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class TestObject:
    def test_parts(self):
        """Type, message and frames, the innermost last, with the text of their lines."""
        found = object_of(raised(caused))

        assert list(found) == ["type", "message", "stack", "cause"]
        assert (found["type"], found["message"]) == ("ValueError", "boom")
        assert [frame["function"] for frame in found["stack"]] == ["raised", "caused"]
        assert found["stack"][1]["code"] == 'raise ValueError("boom") from error'
        assert found["stack"][1]["file"] == __file__
        assert found["cause"]["type"] == "KeyError"

    def test_context(self):
        """What was being handled is the context, unless `from None` hides it."""
        assert object_of(raised(handled))["context"]["message"] == "'id'"
        assert list(object_of(raised(from_none))) == ["type", "message", "stack"]

    def test_module(self):
        """The class has its module, unless everybody knows it."""
        assert object_of(raised(lambda: json.loads("{")))["type"] == "json.decoder.JSONDecodeError"

    def test_group(self):
        """A group has its members, and an exception its notes."""
        one = ValueError("one")
        one.__notes__ = ["of two"]  # as `add_note` of Python 3.11 does

        def fail():
            raise ExceptionGroup("both", [one, KeyError("two")])

        found = object_of(raised(fail))

        assert [each["type"] for each in found["exceptions"]] == ["ValueError", "KeyError"]
        assert found["exceptions"][0]["notes"] == ["of two"]

    def test_cycle(self):
        """Exceptions that cause each other are each written once."""
        found = object_of(raised(circular))

        assert (found["message"], found["cause"]["message"]) == ("one", "'other'")
        assert "cause" not in found["cause"]

    def test_chain(self):
        """Of a long chain of causes the first ones are written."""
        error = None
        for number in range(MOST_EXCEPTIONS + 10):
            following = ValueError(number)
            following.__cause__, error = error, following
        found, count = object_of((ValueError, error, None)), 1
        while "cause" in found:
            found, count = found["cause"], count + 1

        assert count == MOST_EXCEPTIONS

    def test_long_stack(self):
        """The middle of a long stack is left out and counted."""
        found = object_of(raised(lambda: deep(500)))

        assert len(found["stack"]) == MOST_FRAMES
        assert found["frames_omitted"] == 503 - MOST_FRAMES
        assert [found["stack"][at]["function"] for at in (0, 1, -1)] == ["raised", "<lambda>", "deep"]

    def test_hostile(self):
        """An exception without a text has a replacement."""
        assert object_of((Hostile, Hostile(), None))["type"].endswith("Hostile")

    def test_nothing_of_variables(self):
        """No value of a variable is written."""
        secret = "hunter2" * 2

        def fail(password):
            raise ValueError("wrong")

        assert secret not in json.dumps(object_of(raised(lambda: fail(secret))))

    def test_names_of_others(self):
        """With a format the object has python-json-logger's name; without an exception there is none."""
        formatter = EventFormatter("%(message)s", exc_info_as_object=True)

        assert line_of(record_of("no", exc_info=failure()), formatter)["exc_info"]["type"] == "ValueError"
        assert list(line_of(record_of("no"), formatter)) == ["message"]

    def test_text_alone(self):
        """A record that has lost its exception in a queue has the text."""
        record = record_of()
        record.exc_text = "Traceback: gone"

        assert line_of(record, EventFormatter(exc_info_as_object=True))["exception"] == "Traceback: gone"

    def test_changed_later(self):
        """The option can be changed."""
        formatter = EventFormatter()
        formatter.exc_info_as_object = "yes"

        assert line_of(record_of(exc_info=failure()), formatter)["exception"]["message"] == "boom"


class TestReaders:
    @pytest.mark.parametrize("raising", [caused, handled, from_none], ids=lambda each: each.__name__)
    def test_as_python_shows_it(self, raising):
        """Readers show the object as the traceback that the interpreter prints, but for its markers."""
        info = raised(raising)
        printed = "".join(traceback.format_exception(*info)).strip()
        markers = re.compile(r"^[ ~^]*[~^]+\n", re.MULTILINE)  # below the part of a line that has failed

        assert traceback_of(object_of(info)) == markers.sub("", printed)

    def test_structlogs(self):
        """That of structlog's `dict_tracebacks` reads like ours."""
        code = """if 1:
            import json, structlog
            render = structlog.processors.dict_tracebacks
            try:
                try:
                    {}["id"]
                except KeyError as error:
                    raise ValueError("boom") from error
            except ValueError as error:
                print(json.dumps(render(None, "error", {"exc_info": error})["exception"]))
        """
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        lines = traceback_of(json.loads(printed.stdout)).split("\n")

        assert [line for line in lines if not line.startswith("  ")] == [
            "Traceback (most recent call last):",
            "KeyError: 'id'",
            "",
            "The above exception was the direct cause of the following exception:",
            "",
            "Traceback (most recent call last):",
            "ValueError: boom",
        ]
