"""Searching for text in lines as people see them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.texts import Text, seen
from tests.eventlog.contents import log_of, places


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("time", rb'{"m": "Timeout"}', True),
        ("GRÜN", rb'{"m": "gr\u00fcn"}', True),
        ("grün", '{"m": "GRÜN"}'.encode(), True),
        ("strasse", '{"m": "Straße"}'.encode(), True),
        ("straße", rb'{"m": "STRASSE"}', True),
        ("a/b", rb'{"m": "a\/b"}', True),
        ("nfoo", rb'{"m": "a\nfoo"}', False),
        ("a\nfoo", rb'{"m": "a\nfoo"}', True),
        ('say "hi"', rb'{"m": "say \"hi\""}', True),
        ("c:\\temp", rb'{"m": "C:\\Temp"}', True),
        ("😀", rb'{"m": "\ud83d\ude00"}', True),
        ("u00fc", rb'{"m": "\u00fc"}', False),
        ("500", rb'{"status": 500}', True),
        ("status", rb'{"status": 500}', True),
        ("x", b'{"m": "\xff"}', False),
        ("k", '{"m": "\N{KELVIN SIGN}"}'.encode(), True),
    ],
)
def test_what_is_found(text, line, expected):
    """A text is found with its escapes resolved, in any case."""
    assert Text(text).is_in(line) is expected


@pytest.mark.parametrize("text", ["", 5, b"x"])
def test_what_cannot_be_searched(text):
    """What is no text, or an empty one, is refused."""
    with pytest.raises(ConfigurationError, match="text must be a text to search for, not empty"):
        Text(text)


@given(st.text())
def test_escapes_are_resolved(text):
    """A line shows its texts as they were before an encoder escaped them."""
    assert seen(json.dumps(text).encode()) == f'"{text}"'


WORDS = st.text('aAßsſkK\N{KELVIN SIGN}ü/"\\\n é1', max_size=6)


@given(
    st.lists(st.tuples(WORDS, st.booleans(), st.booleans()), max_size=8),
    WORDS.filter(bool),
    st.sampled_from([None, "a=x", "n:a", "n=1"]),
)
def test_reading_by_text(rows, text, where):
    """Reading gives exactly the lines that have the text, also beside conditions, and so do followers."""
    lines = []
    for word, is_ascii, is_slashed in rows:
        line = json.dumps({"n": word, "a": "x", "m": 1}, ensure_ascii=is_ascii)
        lines.append((line.replace("/", "\\/") if is_slashed else line).encode())
    with log_of(b"".join(line + b"\n" for line in lines), 256 * 1024) as path:
        log = EventLog(path)
        found = [event for event in log.read(where=where) if text.casefold() in seen(event.json).casefold()]

        assert places(log.read(text=text, where=where)) == places(found)
        assert places(log.read(text=text, where=where, newest_first=True)) == places(found[::-1])


@pytest.mark.parametrize("text", ["\udcff", "a\udcffb"])
def test_a_text_that_is_no_unicode(tmp_path, text):
    """What a shell gives for bytes that are no UTF-8 is found where a line has it as an escape."""
    (tmp_path / "app.log").write_text(json.dumps({"m": f"x{text}"}) + '\n{"m": "y"}\n')

    assert [event["m"] for event in EventLog(tmp_path / "app.log").read(text=text)] == [f"x{text}"]
