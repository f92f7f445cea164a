"""A record of the compiled factory has the same attributes as one that `logging` makes.

If it is not compiled, or `CHORA_LOGGING_PURE` is set, the same tests apply to `logging.LogRecord` alone.
"""

from __future__ import annotations

import gc
import itertools
import logging
import re
import time
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging import speedups

make_record = speedups.make_record if speedups.in_use else logging.LogRecord
NOWHERE = ("(unknown file)", 0, "(unknown function)")
SWITCHES = ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks")
values = st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3), st.just({"a": 1}), st.just({}))


class Thing:
    """An object that a weak reference can watch."""


@pytest.fixture(autouse=True)
def nothing_gathered(monkeypatch):
    """All switches off, as `optimize` leaves them."""
    monkeypatch.setattr(logging, "_srcfile", None)
    for switch in SWITCHES:
        if hasattr(logging, switch):
            monkeypatch.setattr(logging, switch, False)


@pytest.fixture
def clock(monkeypatch):
    """Sets the time of records."""

    def at(nanoseconds):
        monkeypatch.setattr(time, "time_ns", lambda: nanoseconds)
        monkeypatch.setattr(time, "time", lambda: nanoseconds / 1e9)

    at(1_767_225_600_123_456_789)
    return at


def both(*arguments, **keywords):
    """Return the attributes of both records, of the second call: the first may prepare the factory."""
    make_record(*arguments, **keywords)
    made = make_record(*arguments, **keywords)
    assert type(made) is logging.LogRecord
    return list(made.__dict__.items()), list(logging.LogRecord(*arguments, **keywords).__dict__.items())


def usual(message="hi", args=(), level=logging.INFO, name="app", exc_info=None, stack=None):
    """Arguments as `Logger.makeRecord` passes them when the caller is not looked up."""
    path, line, function = NOWHERE
    return name, level, path, line, message, args, exc_info, function, stack


@given(
    name=st.text(max_size=3),
    level=st.sampled_from([*range(10, 60, 10), 7, 0, -1, True]),
    message=values,
    args=st.lists(values, max_size=3).map(tuple) | st.just(({"a": 1},)) | st.none() | st.just([1]),
    nanoseconds=st.integers(0, 2**62) | st.just(1_677_903_920_999_999_900),
)
def test_like_the_standard_library(name, level, message, args, nanoseconds):
    """For any call the attributes are the same, in the same order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: nanoseconds)
        patch.setattr(time, "time", lambda: nanoseconds / 1e9)
        made, expected = both(*usual(message, args, level, name))

    assert repr(made) == repr(expected)


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (("app", 20, "/srv/app.py", 7, "hi", (), None, "main", None), {}),
        (("app", 20, "(unknown file)", 7, "hi", (), None, "main", "Stack"), {}),
        (usual(exc_info=(ValueError, ValueError("x"), None)), {}),
        (usual()[:8], {"sinfo": "Stack", "odd": 1}),
        ((None, None, "", 0, "", (), None, None), {}),
    ],
    ids=["a place", "part of a place", "an exception", "keywords", "makeLogRecord's"],
)
@pytest.mark.usefixtures("clock")
def test_what_is_not_usual(arguments, keywords):
    """A record with a caller, an exception or a stack has them, even after many without."""
    both(*usual())

    made, expected = both(*arguments, **keywords)

    assert made == expected


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.usefixtures("clock")
def test_a_switch_that_is_turned_on_again(monkeypatch, switch):
    """An attribute that is switched on again is on the next record."""
    both(*usual())
    monkeypatch.setattr(logging, switch, True, raising=False)

    made, expected = both(*usual())

    assert made == expected


@pytest.mark.usefixtures("clock")
def test_what_others_put_in_its_place(monkeypatch):
    """A replaced `__init__` or `getLevelName` of `logging` is called."""
    both(*usual())
    monkeypatch.setattr(logging, "getLevelName", lambda level: f"<{level}>")
    assert make_record(*usual()).levelname == "<20>"

    def init(self, *arguments):
        self.__dict__["all"] = arguments

    monkeypatch.setattr(logging.LogRecord, "__init__", init)
    assert make_record(*usual()).__dict__ == {"all": usual()}


def test_a_new_level(monkeypatch, clock):
    """A record has the current name of its level."""
    both(*usual())
    monkeypatch.setitem(logging._levelToName, logging.INFO, "NOTE")

    made, expected = both(*usual())

    assert made == expected
    assert dict(made)["levelname"] == "NOTE"


@pytest.mark.usefixtures("clock")
def test_a_level_that_is_renamed_meanwhile(monkeypatch):
    """A record has a valid level name even if a garbage collection renames the level meanwhile."""
    both(*usual())
    numbers = itertools.count()
    kept = []

    def rename(*_):
        logging._levelToName[logging.INFO] = f"NAME {next(numbers)}"

    monkeypatch.setitem(logging._levelToName, logging.INFO, "INFO")
    thresholds = gc.get_threshold()
    gc.callbacks.append(rename)
    gc.set_threshold(1)
    try:
        for _ in range(9):
            gc.disable()
            kept.append([{} for _ in range(100)])  # so that the next dict is allocated, not reused
            rename()
            arguments = usual()
            gc.enable()
            kept.append(make_record(*arguments))
    finally:
        gc.callbacks.remove(rename)
        gc.set_threshold(*thresholds)
        gc.enable()

    assert all(re.fullmatch(r"NAME \d+", record.levelname) for record in kept[1::2])


def test_a_clock_that_fails(monkeypatch):
    """An exception of the clock is raised."""
    both(*usual())

    def broken():
        raise OSError("no clock")

    monkeypatch.setattr(time, "time_ns", broken)
    monkeypatch.setattr(time, "time", broken)
    with pytest.raises(OSError, match="no clock"):
        make_record(*usual())


def test_records_have_nothing_in_common():
    """Changing a record changes no other, and its objects are freed with it."""
    both(*usual())
    thing = Thing()
    watched = weakref.ref(thing)
    record = make_record(*usual(thing))
    record.thread = record.extra = 5

    assert make_record(*usual()).thread is None
    assert not hasattr(make_record(*usual()), "extra")
    del record, thing
    assert watched() is None
