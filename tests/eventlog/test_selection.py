"""The events that a filter selects."""

from __future__ import annotations

import json
import signal
import string
import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.selection import Selection, parse_time
from tests.eventlog.contents import log_of, places

UTC = timezone.utc
NOON = datetime(2025, 9, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("filters", "event", "expected"),
    [
        ({}, {}, True),
        ({"task_id": "5"}, {"task_id": 5}, True),
        ({"task_id": 5}, {"task_id": "5"}, True),
        ({"task_id": "5"}, {"run_id": "5"}, False),
        ({"task_id": "None"}, {"task_id": None}, True),
        ({"run_id": "r", "trace_id": "t"}, {"run_id": "r", "trace_id": "t"}, True),
        ({"run_id": "r", "trace_id": "t"}, {"run_id": "r"}, False),
        ({"event": "a"}, {"event": "a"}, True),
        ({"event": "a"}, {"event": "b", "event_type": "a"}, True),
        ({"status": "error"}, {"status": "success"}, False),
        ({"level": "WARNING"}, {"level": "ERROR"}, True),
        ({"level": "warning"}, {"level": "WARN"}, True),
        ({"level": "WARNING"}, {"level": "INFO"}, False),
        ({"level": 30}, {"level": 40}, True),
        ({"level": "CRITICAL"}, {"level": "LOUD"}, True),
        ({"level": "INFO"}, {"event_type": "made"}, True),
        ({"level": "INFO"}, {}, False),
        ({"level": "WARNING"}, {"status": "success"}, False),
        ({"level": "ERROR"}, {"status": "error"}, True),
        ({"level": "CRITICAL"}, {"status": "error"}, False),
        ({"where": {"user": "eve"}}, {"user": "eve"}, True),
        ({"where": {"user": "eve"}}, {"user": ["eve"]}, False),
        ({"where": {"ok": True}}, {"ok": True}, True),
        ({"where": {"ok": "true"}}, {"ok": True}, True),
        ({"where": {"ok": "false"}}, {"ok": False}, True),
        ({"where": {"ok": "true"}}, {"ok": 1}, False),
        ({"where": {"ok": "false"}}, {"ok": 0}, False),
        ({"where": {"ok": "null"}}, {"ok": None}, True),
        ({"where": {"ok": "null"}}, {}, False),
        ({"where": {"ok": '{"a":[1,true]}'}}, {"ok": {"a": [1, True]}}, True),
        ({"where": {"ok": "[1,2]"}}, {"ok": [1, 2]}, True),
        ({"where": {"ok": "[1,2"}}, {"ok": "[1,2"}, True),
        ({"where": {"ok": "[" * 100_000}}, {"ok": []}, False),
        ({"since": NOON}, {"timestamp": "2025-09-28T12:00:00Z"}, True),
        ({"since": NOON}, {"timestamp": "2025-09-28T11:59:59.999999Z"}, False),
        ({"since": NOON}, {"timestamp": "2025-09-28t12:00:00z"}, True),
        ({"since": NOON}, {"timestamp": "2025-09-28T11:59:59.99999999z"}, False),
        ({"until": NOON}, {"timestamp": "2025-09-28T12:00:00Z"}, False),
        ({"until": NOON}, {"timestamp": "2025-09-28T13:59:59.9+02:00"}, True),
        ({"since": "2025-09-28T12:00:00Z"}, {"timestamp": NOON.timestamp()}, True),
        ({"since": NOON}, {"timestamp": "yesterday"}, False),
        ({"since": NOON}, {"timestamp": None}, False),
    ],
    ids=str,
)
def test_matches(filters, event, expected):
    """An event must match every field, level and time of the filter."""
    assert Selection(**filters).matches(event) is expected


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15m", 900), ("24h", 86400), ("7d", 604800)])
def test_times_ago(text, seconds):
    """A number and a unit are an age."""
    expected = datetime.now(UTC) - timedelta(seconds=seconds)

    assert parse_time("since", text) == pytest.approx(expected.timestamp(), abs=5)


def test_local_time():
    """A time without a zone is local time."""
    assert (
        parse_time("since", "2025-09-28T08:54:11.5") == datetime(2025, 9, 28, 8, 54, 11, 500_000).timestamp()
    )
    assert parse_time("since", "999999999w") == float("-inf")


@pytest.mark.parametrize("timestamp", ["2025-09-28T08:54:11Z", "2025-09-28T08:54:11.1234567+00:00"])
def test_no_interrupt_is_lost(timestamp):
    """An exception of a signal's handler arrives, as Ctrl-C must, whatever it interrupts."""
    event = {"timestamp": timestamp}
    matches = Selection(since=NOON).matches
    sent = 0

    def interrupt(number, frame):
        nonlocal sent
        sent += 1
        raise KeyboardInterrupt

    def go_on():
        before = sent
        signal.setitimer(signal.ITIMER_REAL, 0.0002)
        while sent == before:
            matches(event)

    def arrives():
        try:
            go_on()
        except KeyboardInterrupt:
            return True
        return False

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        arrived = sum(arrives() for _ in range(1000))
    finally:
        signal.signal(signal.SIGALRM, before)

    assert (sent, arrived) == (1000, 1000)


def test_the_first_and_the_last_day(monkeypatch):
    """The days without a number of seconds in local time are before and after all others."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert parse_time("since", "0001-01-01") < -60_000_000_000
        assert parse_time("until", "9999-12-31T23:59:59.9") > 250_000_000_000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"since": "soon"}, "since must be a datetime, ISO 8601"),
        ({"until": 5}, "until must be a datetime, ISO 8601"),
        (
            {"level": "LOUD"},
            "level must be a number or one of DEBUG, INFO, WARNING, ERROR, CRITICAL, got 'LOUD'",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_used(filters, message):
    """An invalid filter is an error that says what is allowed."""
    with pytest.raises(ConfigurationError, match=message):
        Selection(**filters)


def test_escaped_values_are_found(tmp_path):
    """A value is found in every notation of its line."""
    log = tmp_path / "app.log"
    log.write_text('{"task_id": "t\\u0061sk"}\n{"task_id": "a\\/b"}\n{"task_id": "other"}\n')

    assert len(list(EventLog(log).read(task_id="task"))) == 1
    assert len(list(EventLog(log).read(task_id="a/b"))) == 1


# Few values, so that filters match; each kind that JSON or `str` can write in more than one way.
TEXTS = [
    "task-1",
    "task-12",
    "task",
    "a/b",
    "100",
    "-100",
    "12.50",
    "1e2",
    "True",
    "None",
    "nan",
    "é",
    'say "hi"',
    "",
]
VALUES = st.sampled_from(
    [*TEXTS, 100, -100, 12.5, 100.0, True, None, float("nan"), ["task-1"], {"task_id": "task-1"}]
)
EVENTS = st.dictionaries(st.sampled_from(["task_id", "run_id", "event", "event_type", "user"]), VALUES)


@st.composite
def written(draw):
    """Return an event as a line of some writer: with unneeded escapes, and other text around it."""
    text = json.dumps(
        draw(EVENTS), ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([",:", (", ", ": ")]))
    )
    escaped = draw(st.sampled_from(["", "ak", "1", "/", "-é", "e"]))
    inside, parts = False, []
    for at, character in enumerate(text):
        if character == '"' and text[at - 1] != "\\":
            inside = not inside
        is_escaped = inside and character in escaped and text[at - 1] != "\\"
        plain = "\\/" if character == "/" else f"\\u{ord(character):04{draw(st.sampled_from('xX'))}}"
        parts.append(plain if is_escaped and character != "u" else character)
    around = draw(st.sampled_from(["{}\n", "{}\r\n", "{}", "\n{}\n", 'task-1 "task-1"\n{}\n', "{}{{}}\n"]))
    return around.format("".join(parts)).encode()


@given(
    st.lists(written(), max_size=12).map(b"".join),
    st.dictionaries(st.sampled_from(["task_id", "run_id", "event"]), st.sampled_from(TEXTS), min_size=1),
    st.dictionaries(st.just("user"), st.sampled_from(TEXTS)),
    st.sampled_from([16, 256 * 1024]),
)
def test_lines_ruled_out_have_no_match(content, filters, where, chunk):
    """A filter gives exactly the matching events, in both directions, with any escapes in the lines."""
    with log_of(content, chunk) as path:
        log = EventLog(path)
        expected = [event for event in log.read() if Selection(**filters, where=where).matches(event)]

        assert places(log.read(**filters, where=where)) == places(expected)
        assert places(log.read(**filters, where=where, newest_first=True)) == places(expected[::-1])


def test_every_character_may_be_escaped(tmp_path):
    """A value is found with any of its characters written as an escape."""
    value = string.ascii_letters + string.digits + "_.:/ -"
    forms = [f"\\u{code:04{case}}" for code in value.encode() for case in "xX"] + ["\\/"]
    texts = [value.replace(json.loads(f'"{form}"'), form) for form in forms]
    log = tmp_path / "app.log"
    log.write_text("".join(f'{{"user": "{text}"}}\n{{"user": "\\u2028\\n"}}\n' for text in texts))

    assert len(list(EventLog(log).read(where={"user": value}))) == len(texts)


def test_values_at_any_distance(tmp_path):
    """A value is found at any distance from the one before."""
    log = tmp_path / "app.log"
    log.write_text("".join(f'{{"pad": "{"x" * size}", "status": "error"}}\n' for size in range(4000, 4200)))

    assert len(list(EventLog(log).read(status="error"))) == 200


def test_frequent_and_rare_values(tmp_path):
    """Values are found in many lines, in one, far apart, and together with others."""
    log = tmp_path / "app.log"
    statuses = ["success", "error"]
    lines = [
        {"task_id": f"task-{number}", "status": statuses[number % 3 == 0], "pad": "x" * (number % 700)}
        for number in range(3000)
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert [event["task_id"] for event in EventLog(log).read(task_id="task-299")] == ["task-299"]
    assert list(EventLog(log).read(status="error")) == lines[::3]
    assert list(EventLog(log).read(status="error", task_id="task-2997")) == [lines[2997]]
    assert list(EventLog(log).read(status="success", task_id="task-2997")) == []


@pytest.mark.parametrize("line", ['{"ok":true}', '{"ok": null}', '{"ok":{"a":[1, true]}}'])
def test_what_is_no_text_is_found_in_a_file(tmp_path, line):
    """A value that JSON writes without quotes is found as it is written in the line."""
    log = tmp_path / "app.log"
    log.write_text(f'{{"ok":"other"}}\n{line}\n')
    text = line.partition(":")[2][:-1].strip()

    assert [event["ok"] for event in EventLog(log).read(where={"ok": text})] == [json.loads(text)]
