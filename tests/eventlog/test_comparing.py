"""The meaning of conditions for events, which prefiltering by bytes does not change."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import EventLog, comparing
from chora_logging.eventlog.conditions import parse_condition
from chora_logging.eventlog.selection import Selection
from tests.eventlog.contents import log_of, places
from tests.soaks import soak


def matches(where, event):
    return Selection(where=where).matches(event)


@pytest.mark.parametrize(
    ("where", "event", "expected"),
    [
        ("n=100", {"n": 100}, True),
        ("n=100", {"n": 100.0}, True),
        ("n=1e2", {"n": 100}, True),
        ("n=100", {"n": "100"}, True),
        ("n=100", {"n": "100.0"}, False),
        ("n=007", {"n": "007"}, True),
        ("n=007", {"n": "7"}, False),
        ('n="100"', {"n": 100.0}, False),
        ("n=1", {"n": True}, False),
        ("ok=True", {"ok": True}, True),
        ("ok=true", {"ok": True}, True),
        ("n!=5", {"n": 6}, True),
        ("n!=5", {"n": 5.0}, False),
        ("n!=5", {}, False),
        ("n!=5", {"n": None}, True),
        ("not n=5", {}, True),
        ("not n=5", {"n": 5}, False),
        ("not n!=5", {}, True),
        ("n>=1000", {"n": 1000}, True),
        ("n>=1000", {"n": 999.5}, False),
        ("n>=1000", {"n": "1500"}, True),
        ("n>=1000", {"n": "99"}, False),
        ("n>=1000", {"n": True}, False),
        ("n<0", {"n": -0.5}, True),
        ("n>9007199254740992", {"n": 9007199254740993}, True),
        ("n>1", {}, False),
        ("n>1", {"n": 10**400}, True),
        ("n<1.5", {"n": -(10**400)}, True),
        ("t>=2026-03-01T12:00:00Z", {"t": "2026-03-01T13:00:00+01:00"}, True),
        ("t>2026-03-01T12:00:00Z", {"t": "2026-03-01 12:00:00,001Z"}, True),
        ("t<2026-03-01T12:00:00Z", {"t": 1772366399}, True),
        ("t=2026-03-01T12:00:00Z", {"t": "2026-03-01T13:00:00.000+01:00"}, True),
        ("duration_ms>=1s", {"duration_ms": 1500}, True),
        ("duration_ms>=1s", {"duration_ms": "1.5s"}, True),
        ("event.duration>1ms", {"event": {"duration": 2_000_000}}, True),
        ("took<1m30s", {"took": "1m29s"}, True),
        ("took>1m30s", {"took": "5s"}, False),
        ("took>1m 30s", {"took": 90001}, True),
        ("level>=warning", {"level": "ERROR"}, True),
        ("level>=warning", {"level": "info"}, False),
        ("level=error", {"level": "ERROR"}, True),
        ("level!=Error", {"level": "ERROR"}, False),
        ("level=error", {"level": 40}, False),
        ('level="error"', {"level": "ERROR"}, False),
        ("status=error", {"status": "ERROR"}, False),
        ("version>=v2", {"version": "v3"}, True),
        ("message:TIME", {"message": "Timeout"}, True),
        ("message:strasse", {"message": "Straße"}, True),
        ("tags:urg", {"tags": ["urgent"]}, True),
        ("n:50", {"n": 1500}, True),
        ("message~=^time.?out", {"message": "time-out"}, True),
        ("message~=^out", {"message": "time-out"}, False),
        ("n~=^15", {"n": 1500}, True),
        ("http.status=500", {"http": {"status": 500}}, True),
        ("http.status=500", {"http.status": 500}, True),
        ("a.b.c=1", {"a.b": {"c": 1}}, True),
        ("a.b.c=1", {"a": {"b.c": 1}}, True),
        ("a.b=1", {"a": [{"b": 1}]}, False),
        ('"a.b"=1', {"a": {"b": 1}}, False),
        ("tags[]=b", {"tags": ["a", "b"]}, True),
        ("tags[]!=b", {"tags": ["a", "b"]}, False),
        ("tags[]=b", {"tags": "b"}, False),
        ("items[].price>10", {"items": [{"price": 5}, {"price": 11}]}, True),
        ("m[][]=3", {"m": [[1], [2, 3]]}, True),
        (["a=1", "a=2"], {"a": 2}, True),
        (["a=1", "a:x", "a~=^y"], {"a": "yes"}, True),
        (["a=1", "b=2"], {"a": 1, "b": 3}, False),
        (["a>=1", "a<3"], {"a": 5}, False),
        (["a>=1", "a<3"], {"a": 2}, True),
        (["a!=1", "a!=2"], {"a": 2}, False),
        (["a=1", "not a=1"], {"a": 1}, False),
        ({"a.b": 1}, {"a": {"b": 1}}, False),
    ],
    ids=str,
)
def test_what_matches(where, event, expected):
    """A condition compares numbers as numbers, times as times, and reaches into objects and arrays."""
    assert matches(where, event) is expected


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("a~=(", "a regular expression such as a~=time.?out"),
        (r"a~=(x)\1", "a reference to a group is not possible"),
    ],
)
def test_a_pattern_that_is_refused(where, said):
    """A regular expression that is not valid, or not bounded, is an error about the condition."""
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        Selection(where=where)


def test_a_pattern_that_takes_too_long(monkeypatch):
    """A regular expression that is given up is an error about the condition, while it is read."""
    monkeypatch.setattr("chora_logging.eventlog.patterns.FREE_WORK", 0)
    monkeypatch.setattr("chora_logging.eventlog.patterns.WORK_PER_CHAR", 0)

    with pytest.raises(ConfigurationError, match=r"where must be a regular expression .*too much time"):
        matches("a~=(b*)*c", {"a": "b"})


class TestWhatIsNotKnown:
    def test_values_that_cannot_be_compared(self):
        """Of the events that have the field, those whose value is no number are counted."""
        selection = Selection(where=["took>5", "user>b"])
        events = [{"took": 7, "user": "c"}, {"took": "long"}, {"took": None}, {}, {"took": 9, "user": 5}]

        assert [selection.matches(event) for event in events] == [True, False, False, False, False]
        assert selection.unreadable == {"where took": 1, "where user": 1}
        assert selection.asked["where took"].events == 4

    def test_fields_that_no_line_has(self, tmp_path):
        """A field that no line has is missing, whether lines were decoded or not; one in an object is not."""
        log = tmp_path / "app.log"
        log.write_text('{"user": "anna", "h": {"s": 5}, "caf\\u00e9": 1, "x.y": 1}\n')
        for where, missing in [
            ("usr=anna", ["usr"]),
            ("usr=bob", ["usr"]),
            ("not usr=bob", ["usr"]),
            ("user=bob", []),
            ("h.s=7", []),
            ("h.t=7", ["h.t"]),
            ("café=7", []),
            ("x.y=7", []),
            (["a=1", "b=1", "user=1"], ["a", "b"]),
        ]:
            reader = EventLog(log)
            list(reader.read(where=where))

            assert comparing.missing(reader.asked) == missing

    def test_nothing_is_said_of_what_was_not_read(self, tmp_path):
        """Without a line no field is missing."""
        reader = EventLog(tmp_path / "app.log")
        list(reader.read(where="a=1"))

        assert comparing.missing(reader.asked) == []


# The reference: each rule as it is written down, in the plainest way.


def number(value):
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if value != value else value
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value, re.ASCII):
        return float(value)
    return None


def as_text(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def reached(inner, parts):
    if not parts:
        return [inner]
    if parts[0] == "":
        return [v for member in inner for v in reached(member, parts[1:])] if isinstance(inner, list) else []
    found = []
    for length in range(1, len(parts) + 1):
        key = ".".join(parts[:length])
        if "" not in parts[:length] and isinstance(inner, dict) and key in inner:
            found += reached(inner[key], parts[length:])
    return found


def meets(value, sign, text):
    if sign == "~=":
        return re.search(text, as_text(value)) is not None
    if sign == ":":
        return text.casefold() in as_text(value).casefold()
    wanted = number(text)
    if sign in ("=", "!="):
        if value == text or str(value) == text or as_text(value) == text != "":
            return True
        return wanted is not None and not isinstance(value, str) and number(value) == wanted
    there = number(value) if wanted is not None else value if isinstance(value, str) else None
    if there is None:
        return False
    bound = wanted if wanted is not None else text
    return {">": there > bound, ">=": there >= bound, "<": there < bound, "<=": there <= bound}[sign]


def expected(expressions, event):
    groups = {}
    for expression in expressions:
        condition = parse_condition(expression)
        values = reached(event, list(condition.path))
        met = any(meets(value, condition.operator, condition.value) for value in values)
        if condition.operator == "!=":
            met = bool(values) and not met
        group = (
            condition.path,
            (condition.operator in ("=", ":", "~=") and not condition.negated) or object(),
        )
        groups.setdefault(group, []).append(met != condition.negated)
    return all(any(answers) for answers in groups.values())


STRINGS = (
    "task-1",
    "task",
    "Straße",
    "100",
    "1e2",
    "7.5",
    "true",
    'say "hi"',
    "",
    "timeout after",
    "Zoë",
    "a/b",
)
NUMBERS = (100, 100.0, -7, 7.5, 0, 1e22, 12345678901234567890)
LEAVES = st.sampled_from([*STRINGS, *NUMBERS, True, False, None])
MEMBERS = st.sampled_from(["a", "b", "n"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=2),
    max_leaves=4,
)
EVENTS = st.dictionaries(st.sampled_from(["a", "b", "n", "a.b", "é"]), VALUES, max_size=4)
PATHS = st.sampled_from(["a", "b", "n", "é", "a.b", "a[]", "a.n[]", "a[].b", "zz"])
TEXTS = st.sampled_from(
    [
        "task-1",
        "task",
        "TASK",
        "strasse",
        "100",
        "1e2",
        "7.5",
        "-7",
        "0",
        "timeout",
        "null",
        "hi",
        "zoë",
        "a/b",
    ]
)
SIGNS = st.sampled_from(["=", "!=", ">", ">=", "<", "<=", ":", "~="])
EXPRESSIONS = st.tuples(st.sampled_from(["", "", "not "]), PATHS, SIGNS, TEXTS).map("".join)


@st.composite
def written(draw):
    """Return an event as a line of some writer: with or without spaces, escapes, and exponents."""
    line = json.dumps(
        draw(EVENTS),
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", " : ")])),
    )
    form = draw(st.sampled_from(["100.0", "1e2", "1E+2", "1000e-1", "0.1e3"]))
    line = re.sub(r"(?<![\w\"])100\.0(?![\w\"])", form, line)
    if draw(st.booleans()):
        line = line.replace("/", "\\/").replace("k", "\\u006B").replace("ß", "\\u00DF")
    return line.encode()


@settings(max_examples=soak(800))
@given(st.lists(written(), max_size=8), st.lists(EXPRESSIONS, min_size=1, max_size=3))
def test_the_quick_way_and_the_slow_one(lines, expressions):
    """Reading with conditions gives exactly the events that the written rules give, in both directions."""
    with log_of(b"".join(line + b"\n" for line in lines), 256 * 1024) as path:
        log = EventLog(path)
        found = [event for event in log.read() if expected(expressions, event)]

        assert places(log.read(where=expressions)) == places(found)
        assert places(log.read(where=expressions, newest_first=True)) == places(found[::-1])
        selection = Selection(where=expressions)
        assert [event for event in log.read() if selection.matches(event)] == found


@pytest.mark.parametrize("name", ["error", "ERROR", "Error"])
def test_levels_in_any_case(name):
    """Lines are found by the name of a level, however they write it."""
    lines = b"".join(b'{"level": "%b"}\n' % level for level in (b"ERROR", b"info", b"error", b"\\u0065rror"))
    with log_of(lines, 256 * 1024) as path:
        assert len(list(EventLog(path).read(where=f"level={name}"))) == 3


@given(st.dictionaries(st.text("ab.", min_size=1, max_size=3), VALUES, max_size=3), PATHS)
def test_values_at_a_path(event, path):
    """A path reaches every value that some reading of its dots reaches."""
    parts = parse_condition(f"{path}=x").path

    assert sorted(map(repr, comparing.values_at(event, parts))) == sorted(
        map(repr, reached(event, list(parts)))
    )
