"""Decoding only some fields of lines, and passing over many lines at once, gives the same answers."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timedelta, timezone
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chora_logging.eventlog import EventLog
from chora_logging.eventlog.decoding import column, few_fields
from chora_logging.eventlog.meaning import NAMES, Meaning
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.severities import SCALE_KEYS
from tests.eventlog.contents import log_of, places
from tests.soaks import soak

NOON = datetime(2025, 9, 28, 12, tzinfo=timezone.utc)


@contextlib.contextmanager
def decoded_whole():
    """Every line is decoded whole and tested by itself."""
    with mock.patch("chora_logging.eventlog.lines.is_utf8", lambda chunk: False):
        yield


def as_text(offset, form):
    """Return a time that is *offset* microseconds after noon."""
    moment = NOON + timedelta(microseconds=offset)
    forms = {
        "ours": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "nine digits": moment.strftime("%Y-%m-%dT%H:%M:%S.%f999Z"),
        "half": moment.strftime("%Y-%m-%dT%H:%M:%S.%f5Z"),
        "seconds": moment.strftime("%Y-%m-%dt%H:%M:%Sz"),
        "zone": moment.astimezone(timezone(timedelta(hours=2))).isoformat(),
        "local": moment.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "asctime": moment.strftime("%Y-%m-%d %H:%M:%S,%f"),
        "basic": moment.strftime("%Y%m%dT%H%M%SZ"),
        "week": moment.strftime("%G-W%V-%uT%H:%M:%S.%fZ"),
        "no such day": moment.strftime("%Y-13-%dT%H:%M:%S.%fZ"),
    }
    return forms.get(form, form) if isinstance(form, str) else form


OFFSETS = st.integers(-3, 3) | st.sampled_from([-(10**6), 10**6, -(10**13), 10**13, -(10**11), 10**11])
FORMS = st.just("ours") | st.sampled_from(
    [
        *("ours", "nine digits", "half", "seconds", "zone", "local", "asctime", "basic", "week"),
        *("no such day", None, 1759060800, 1759060800.5, 1759060800000, 5, True, [], {"a": 1}, "", "0"),
        *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9Z", "2500-01-01T00:00:00.000001Z"),
    ]
)
TIMES = st.builds(as_text, OFFSETS, FORMS)
LEVELS = st.sampled_from(
    ["INFO", "ERROR", "error", "WARN", "loud", "", "Level 40", 40, 3, True, None, [], {"name": "ERROR"}]
)
VALUES = {
    "timestamp": TIMES,
    "ts": TIMES,
    "level": LEVELS,
    "severity": LEVELS,
    "log": st.builds(lambda level: {"level": level}, LEVELS),
    "event_type": st.sampled_from(["made", "", None]),
    "event": st.sampled_from(["job_done", {"action": "made"}, "", 7]),
    "status": st.sampled_from(["ok", "error", 5]),
    "duration_ms": st.sampled_from([5, 5.5, "5", "1s", -1, None, [5, 7], 10**30]),
    "short_message": st.just("GELF"),
    "http": st.sampled_from([{"status": 500}, {"status": "x"}, []]),
    "http.status": st.sampled_from([500, "200"]),
    "é": st.sampled_from(["ü", 1]),
}
PAIRS = st.lists(st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name])))


@st.composite
def objects(draw):
    """Return an object as a line has it, perhaps with a key twice, with escapes, or with odd spaces."""
    is_ascii = draw(st.booleans())
    pairs = [tuple(json.dumps(each, ensure_ascii=is_ascii) for each in pair) for pair in draw(PAIRS)]
    escaped = draw(st.sampled_from(["", "", "", "l", "t", "s"]))
    if escaped:
        pairs = [(name.replace(escaped, f"\\u{ord(escaped):04x}"), value) for name, value in pairs]
    colon, comma = draw(st.sampled_from([(":", ","), (": ", ", "), ("\t:", " ,\r")]))
    return "{" + comma.join(name + colon + value for name, value in pairs) + "}"


ODD = st.sampled_from(
    [
        *(b"", b" ", b"\0\0", b"no JSON", b"[1]", b'{"a":', b"1}", b'{"level":"ERROR"', b'"x"}', b"null"),
        *(
            b'{"level":"ERROR","a":1e999}',
            b'{"level":"ERROR","a":"\xff"}',
            b'{"level":"ERROR","a":"\\ud800"}',
        ),
        *(
            b'{"level":"ERROR","a":"\\ud800 and more"}',
            b'{"level":"ERROR","a":NaN}',
            b'{"level":"ERROR","a":01}',
        ),
        *(b'{"level":"ERROR","a":%b}' % (b"1" * 5000), b'{"a":"%b","level":"ERROR"}' % (b"1" * 700)),
        *(b'{"level":"ERROR","a":"\x01"}', b'{"level":"ERROR","a":"\\x"}', b'{"level":"ERROR",}'),
        *(b'\xef\xbb\xbf{"level":"ERROR"}', b'{"level":"ERROR","\xff":1}', b'{"a":"\xed\xa0\x80"}'),
    ]
)
ONE = objects().map(str.encode)
LINES = ONE | ONE | ONE | ODD | st.builds(b"".join, st.lists(ONE, min_size=2, max_size=2))
CONDITIONS = st.sampled_from(
    [
        "duration_ms>=5",
        "http.status=500",
        "not status=ok",
        "é=ü",
        "level>=warning",
        "status!=ok",
        "http.status>9",
        "timestamp>=2025-09-28T12:00:00Z",
    ]
)


#: Why a line is skipped whose number has more digits than Python converts.
TOO_LONG = "JSON beyond Python's limits"


@st.composite
def filters(draw):
    """Return filters that are not all decided by the bytes of a line."""
    chosen = {}
    if draw(st.booleans()):
        chosen["level"] = draw(st.sampled_from(["info", "error", 35]))
    for limit in ("since", "until"):
        if draw(st.booleans()):
            offset = draw(OFFSETS)
            chosen[limit] = NOON + timedelta(microseconds=offset)
    if draw(st.booleans()):
        chosen["where"] = draw(st.lists(CONDITIONS, min_size=1, max_size=2))
    if draw(st.integers(0, 4)) == 0:
        chosen["event"] = draw(st.sampled_from(["made", "7", "job_done"]))
    if draw(st.integers(0, 4)) == 0:
        chosen["text"] = draw(st.sampled_from(["error", "ü"]))
    return chosen


@settings(max_examples=soak(240))
@given(st.lists(LINES, max_size=12), filters(), st.sampled_from([1, 2, 3, 128]), st.sampled_from([60, 2**18]))
def test_a_filter_finds_the_same(lines, chosen, number, chunk):
    """Events, lines that are skipped, and what cannot be known are the same as if all were decoded whole."""

    def answers(path):
        skipped = []
        log = EventLog(path, on_skip=skipped.append)
        forwards, backwards = places(log.read(**chosen)), places(log.read(newest_first=True, **chosen))
        return forwards, backwards, log.asked, [(each.offset, each.reason) for each in skipped]

    with log_of(b"".join(line + b"\n" for line in lines), chunk) as path:
        with mock.patch("chora_logging.eventlog.lines.LINES", number):
            quick = answers(path)
        with decoded_whole():
            slow = answers(path)

        assert quick[:2] == slow[:2]
        assert set(quick[3]) <= set(slow[3])
        # A number that is too long is noticed only when its line is decoded whole: until then it counts, too.
        assert quick[2] == slow[2] or TOO_LONG in {reason for _, reason in slow[3]}


@settings(max_examples=150)
@given(
    st.lists(LINES, max_size=12),
    filters(),
    st.frozensets(st.sampled_from(sorted(VALUES)), max_size=4),
    st.sampled_from([1, 2, 3, 128]),
)
def test_some_fields_are_the_same(lines, chosen, keys, number):
    """Of the same events the fields that were asked for are the same."""
    with log_of(b"".join(line + b"\n" for line in lines), 2**18) as path:
        log, whole = EventLog(path), EventLog(path)
        with mock.patch("chora_logging.eventlog.lines.LINES", number):
            found = list(log.select_fields(Selection(**chosen, asked=log.asked), keys))
        with decoded_whole():
            events = list(whole.read(**chosen))

        assert [restricted(fields, keys) for fields in found] == [restricted(event, keys) for event in events]
        assert log.asked == whole.asked


def restricted(event, keys):
    """Return those fields of an event, in a form that tells 1 from true."""
    return {key: repr(event[key]) for key in keys if key in event}


@settings(max_examples=100)
@given(st.lists(st.integers(-300, 300), min_size=1, max_size=40), st.integers(-300, 300), st.integers(0, 300))
def test_times_in_any_order(offsets, since, length):
    """However disordered the times in a log are, all events in the range are found."""
    at = [NOON + timedelta(seconds=offset) for offset in offsets]
    content = b"".join(
        b'{"timestamp":"%b"}\n' % each.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode() for each in at
    )
    first, last = NOON + timedelta(seconds=since), NOON + timedelta(seconds=since + length)
    with log_of(content, 200) as path, mock.patch("chora_logging.eventlog.lines.LINES", 3):
        log = EventLog(path)

        assert len(list(log.read(since=first, until=last))) == sum(first <= each < last for each in at)
        assert log.asked["time"].events == len(at)


NESTED = {name.partition(".")[0] for names in NAMES.values() for name in names if "." in name}
FLAT = sorted({*SCALE_KEYS, *(name for names in NAMES.values() for name in names), "status", "outcome", "zz"})
LEAVES = st.sampled_from(
    ["ERROR", "info", "failed", "2025-09-28T12:00:00Z", "1s", "x", "", None, 0, 3, 30, 50, 1759060800000, 1.5]
)


@st.composite
def events(draw):
    """Return an event with some of the names that mean something."""
    event = draw(st.dictionaries(st.sampled_from(FLAT), LEAVES, max_size=6))
    for name in draw(st.lists(st.sampled_from([name for name in FLAT if "." in name]), max_size=2)):
        first, _, rest = name.partition(".")
        event[first] = {rest: draw(LEAVES)} if draw(st.booleans()) else draw(LEAVES)
    return event


@settings(max_examples=soak(1000))
@given(
    events(),
    st.sampled_from([{}, {"level": "zz"}, {"time": "log.when", "event": "zz"}, {"duration": "zz.a"}]),
)
def test_what_an_event_means_depends_on_some_keys(event, fields):
    """With these keys alone, an event means the same."""
    meaning = Meaning(fields)
    questions = {
        "time": [meaning.time_of],
        "level": [meaning.level_of, meaning.severity_of, meaning.is_error],
        "event": [meaning.event_of],
        "trace": [meaning.trace_of],
        "duration": [meaning.duration_of],
    }
    for name, answers in questions.items():
        part = {key: value for key, value in event.items() if key in meaning.keys(name)}

        assert [answer(part) for answer in answers] == [answer(event) for answer in answers]


def test_names_that_are_not_found():
    """msgspec does not find names that are not ASCII: then lines are decoded whole."""
    assert few_fields(frozenset("é")) is None
    assert column("é", object, [b"{}"]) is None


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"a":1}{"a":2}', b"", b"\0"])
def test_malformed(line):
    """Malformed lines are noticed."""
    few = few_fields(frozenset("a"))
    assert few is not None

    assert few.of([b'{"a":1}', line]) is None
    assert few.exactly([b'{"a":1}', line]) is None
    assert column("a", object, [line]) is None


def test_long_numbers():
    """A number with more digits than Python converts is noticed where the line is not decoded whole later."""
    few = few_fields(frozenset("b"))
    assert few is not None

    assert few.exactly([b'{"a":%b}' % (b"1" * 5000)]) is None
    assert few.exactly([b'{"a":"%b","b":1}' % (b"1" * 5000)]) == [{"a": "1" * 5000, "b": 1}]
