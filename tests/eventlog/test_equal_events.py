"""Events that are counted instead of given one by one."""

from __future__ import annotations

import pytest

from chora_logging.eventlog import EventLog, equal_events
from chora_logging.eventlog.equal_events import EqualEvents
from chora_logging.eventlog.selection import Selection


@pytest.fixture
def taken():
    return []


@pytest.fixture
def equal(taken):
    return EqualEvents({"event": str, "took": int | float, "other": None}, taken.extend)


def test_equal_events(equal, taken):
    """Events with equal values are one with a number, in the order of the first ones."""
    lines = [b'{"event":"a","took":1}', b'{"event":"b"}', b'{"took":1.0,"event":"a","x":[]}', b"{}"]
    assert equal.add(lines)
    assert equal.add([b'{"event":"b","other":null}'])
    equal.flush()
    equal.flush()

    assert taken == [({"event": "a", "took": 1}, 2), ({"event": "b"}, 2), ({}, 1)]


@pytest.mark.parametrize(
    "odd", [b'{"event":1}', b'{"took":true}', b'{"took":"1"}', b'{"other":1}', b"{", b""]
)
def test_what_is_not_counted(equal, taken, odd):
    """Of lines with one that is malformed, or has a value of another type, none is counted."""
    assert not equal.add([b'{"event":"a"}', odd])
    equal.flush()

    assert taken == []


def test_it_is_tried_again(equal, taken):
    """After lines that could not be counted others are counted, though not at once."""
    equal.add([b"{"])
    assert not equal.add([b"{}"])
    assert any(equal.add([b"{}"]) for _ in range(100))


def test_one_field(taken):
    """One field is enough."""
    equal = EqualEvents({"event": str}, taken.extend)
    equal.add([b'{"event":"a"}', b'{"event":"a"}'])
    equal.flush()

    assert taken == [({"event": "a"}, 2)]


def test_bounded_memory(equal, taken, monkeypatch):
    """Many different events are given before the end."""
    monkeypatch.setattr(equal_events, "MOST_DIFFERENT", 10)
    for number in range(100):
        equal.add([b'{"took":%d}' % number])
    held = len(equal._counts)
    equal.flush()

    assert held <= 10
    assert [event["took"] for event, _ in taken] == list(range(100))


@pytest.mark.parametrize("chosen", [{}, {"level": "INFO"}, {"text": "a"}, {"event": "a"}])
def test_every_event_is_given_or_counted(equal, taken, tmp_path, chosen):
    """Long lines, malformed ones and those that a filter selects are given as before."""
    log = tmp_path / "app.log"
    long = b'{"event":"a","level":"INFO","pad":"%b"}\n' % (b"x" * 1000)
    digits = b'{"event":"a","pad":%b}\n' % (b"9" * 5000)
    log.write_bytes(b'{"event":"a","level":"INFO"}\n' * 300 + long + digits + b'{"level":"INFO"}\n\n')
    skipped = []
    events = EventLog(log, on_skip=skipped.append)
    given = list(events.select_fields(Selection(**chosen), frozenset({"event"}), equal))
    equal.flush()
    names = [fields.get("event") for fields in given]
    names += [event.get("event") for event, times in taken for _ in range(times)]

    assert sorted(names, key=str) == sorted(
        (event.get("event") for event in EventLog(log).read(**chosen)), key=str
    )
    assert bool(taken) is (not chosen)
    if not chosen:
        assert [each.offset for each in skipped] == [300 * 29 + len(long)]
