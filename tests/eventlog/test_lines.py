"""Lines of every kind as events, and events as strict JSON."""

from __future__ import annotations

import codecs
import contextlib
import copy
import json
import os
import pickle
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.eventlog import Event, EventLog
from tests.eventlog.contents import log_of, places
from tests.eventlog.writing import numbers


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def strictly(data):
    """Parse as strict JSON."""
    return json.loads(data.decode("utf-8"), parse_constant=refuse)


def read(tmp_path, *lines):
    path = tmp_path / "app.log"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return list(EventLog(path).read())


class TestJson:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (b'{"a": 1}', b'{"a": 1}'),
            (b' {"a":1.0} \r', b'{"a":1.0}'),
            (b'{"a": 1, "a": 2}', b'{"a": 1, "a": 2}'),
            (b'{"a":\r1}', b'{"a":1}'),
            (b'\xef\xbb\xbf{"a": 1}', b'{"a": 1}'),
            (b'{"a": [NaN, -Infinity, "NaN"]}', b'{"a":[null,null,"NaN"]}'),
            (b'{"a": 1e999}', b'{"a":null}'),
            (b'{"a": "\\ud800"}', '{"a":"\ufffd"}'.encode()),
            (b'{"\\udfff": {"a": NaN}}', '{"\ufffd":{"a":null}}'.encode()),
            (b'{"a": "\xed\xa0\x80"}', '{"a":"\ufffd"}'.encode()),
            (b'{"a": "\\ud83d\\ude00"}', b'{"a": "\\ud83d\\ude00"}'),
            (
                b'{"a": NaN, "b": 123456789012345678901234567890}',
                b'{"a":null,"b":123456789012345678901234567890}',
            ),
        ],
        ids=repr,
    )
    def test_of_a_line(self, tmp_path, line, expected):
        """It is the line itself if that is strict JSON without a carriage return, else the nearest JSON."""
        (event,) = read(tmp_path, line)

        assert event.json == expected
        assert event.json is event.json
        strictly(event.json)

    def test_without_a_line(self):
        """An event from another source has it too."""
        assert strictly(Event({"a": [1, float("nan")], "b": "\ud800"}).json) == {
            "a": [1, None],
            "b": "\ufffd",
        }

    def test_it_is_what_was_read(self, tmp_path):
        """Changes that a reader makes to the event are not in it."""
        (event,) = read(tmp_path, b'{"a": 1}')
        event["b"] = 2

        assert event.json == b'{"a": 1}'

    @pytest.mark.parametrize(
        "copied", [lambda event: pickle.loads(pickle.dumps(event)), copy.copy, copy.deepcopy]
    )
    @pytest.mark.parametrize("line", [b'{"a": [1]}', b'{"a": NaN}'])
    def test_copies(self, tmp_path, line, copied):
        """A copy has the same fields, cursor and JSON."""
        (event,) = read(tmp_path, line)
        again = copied(event)

        assert (type(again), repr(again)) == (Event, repr(event))
        assert (again.cursor, again.json) == (event.cursor, event.json)


class TestRunTogether:
    LINES = (
        ('{"n": 0}', [0]),
        ('{"n": 1}{"n": 2}', [1, 2]),
        ('{"n": 3, "é": "\U0001f600"} \t{"n": 4, "pad": "' + "é" * 300 + '"}{"n": 5}\r', [3, 4, 5]),
        ('\ufeff{"n": 6, "a": NaN}{"n": 7, "a": "\\ud800"}', [6, 7]),
        ('{"n": 8}', [8]),
    )

    @pytest.fixture
    def log(self, tmp_path):
        path = tmp_path / "app.log"
        path.write_bytes("".join(text + "\n" for text, _ in self.LINES).encode())
        return path

    def test_each_is_an_event(self, log):
        """Several objects on one line are separate events, forwards and backwards."""
        told = []
        found = list(EventLog(log, on_skip=told.append).read())

        assert (numbers(found), told) == (list(range(9)), [])
        assert [event.json for event in found[1:3]] == [b'{"n": 1}', b'{"n": 2}']
        backwards = list(EventLog(log).read(newest_first=True))
        assert places(backwards) == places(found)[::-1]

    def test_each_has_its_cursor(self, log):
        """Reading resumes after each of them with the next one, also if the file is rotated meanwhile."""
        found = list(EventLog(log).read())
        for event in found:
            assert numbers(EventLog(log).read(after=event.cursor)) == list(range(event["n"] + 1, 9))
        log.rename(f"{log}.1")
        log.write_bytes(b'{"n": 9}\n')
        for event in found:
            assert numbers(EventLog(log).read(after=event.cursor)) == list(range(event["n"] + 1, 10))

    def test_followed(self, log):
        """A follower resumes in the middle of a line, with the same cursors."""
        found = list(EventLog(log).read())
        with contextlib.closing(EventLog(log).follow_sync(after=found[4].cursor)) as following:
            rest = [next(following) for _ in found[5:]]

        assert places(rest) == places(found[5:])

    def test_filters(self, log):
        """A filter selects its events on the line."""
        assert numbers(EventLog(log).read(where={"n": 4})) == [4]
        assert numbers(EventLog(log).read(where={"a": "nan"})) == [6]

    @pytest.mark.parametrize(
        "line", ['{"n": 1}[2]', '1{"n": 2}', '{"n": 1},{"n": 2}', '{"n": 1}{"n": 2', '{"a": {"n": 1}{"n": 2}']
    )
    def test_not_all_objects(self, tmp_path, line):
        """A line with anything else is reported once and has no event: a torn line may contain objects."""
        path = tmp_path / "app.log"
        path.write_text(line + "\n")
        told = []

        assert list(EventLog(path, on_skip=told.append).read()) == []
        assert [(skipped.offset, skipped.line) for skipped in told] == [(0, line.encode())]


class TestOtherLines:
    def test_where_and_why(self, tmp_path):
        """A malformed line is reported with its line number, offset and reason; a blank line is not."""
        lines = [
            b'{"n": 0}',
            b"",
            b"text",
            b" \t\r",
            b"\0\0\0",
            b'\0\0{"n": 1}',
            b"[1]",
            b'{"a": "\xff"}',
            b"1 2",
        ]
        path = tmp_path / "app.log"
        path.write_bytes(b"\n".join(lines) + b"\n")
        told = []
        found = list(EventLog(path, on_skip=told.append).read())

        assert numbers(found) == [0, 1]
        assert [(skipped.number, skipped.reason) for skipped in told] == [
            (3, "not JSON"),
            (5, "zeros, as a crashed file system leaves them"),
            (6, "zeros, as a crashed file system leaves them"),
            (7, "JSON, but not an object"),
            (8, "not UTF-8"),
            (9, "several values, not all of them objects"),
        ]
        data = path.read_bytes()
        assert all(data.startswith(skipped.line, skipped.offset) for skipped in told)

    def test_numbers_in_a_long_file(self, tmp_path):
        """The line numbers are right far into a file."""
        path = tmp_path / "app.log"
        path.write_bytes((b'{"a": "' + b"x" * 1000 + b'"}\n') * 2000 + b"no\n" + b"{}\n" * 10 + b"no\n")
        told = []
        list(EventLog(path, on_skip=told.append).read())

        assert [skipped.number for skipped in told] == [2001, 2012]

    def test_duplicate_keys(self, tmp_path):
        """Of fields with the same name the last counts, and the line stays unchanged."""
        (event,) = read(tmp_path, b'{"a": 1, "a": 2}')

        assert (event, event.json) == ({"a": 2}, b'{"a": 1, "a": 2}')

    def test_ruled_out_unread(self, tmp_path):
        """A line that a filter excludes by its bytes is not decoded, so it is not reported."""
        path = tmp_path / "app.log"
        path.write_text('garbage\n{"task_id": "task-1"}\ntask-1 "task-1"\n')
        told = []

        assert len(list(EventLog(path, on_skip=told.append).read(task_id="task-1"))) == 1
        assert [skipped.number for skipped in told] == [3]

    def test_long_lines(self, tmp_path):
        """A line of ten million bytes is read like any other."""
        path = tmp_path / "app.log"
        long = b'{"n": 1, "pad": "' + b"x" * 10_000_000 + b'"}\n'
        path.write_bytes(b'{"n": 0}\n' + long + b'{"n": 2}\n')
        found = list(EventLog(path).read())

        assert numbers(found) == [0, 1, 2]
        assert found[1].json == long[:-1]
        assert places(EventLog(path).last(9)) == places(found)
        assert numbers(EventLog(path).read(after=found[0].cursor)) == [1, 2]

    def test_a_line_without_end(self, tmp_path):
        """A hundred million bytes without a newline are not held in memory, and hide no event before them."""
        path = tmp_path / "app.log"
        path.write_bytes(b'{"n": 0}\n')
        os.truncate(path, 100_000_000)
        tracemalloc.start()
        try:
            found = [numbers(EventLog(path).read()), numbers(EventLog(path).last(9))]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert found == [[0], [0]]
        assert peak < 100_000_000

    def test_a_stream_goes_on(self, tmp_path):
        """NaN and lone surrogates end no stream: all later events come, as strict JSON."""
        lines = [
            b'{"n": NaN}',
            b'{"n": "\\ud800"}',
            b'{"n": "\xed\xb0\x80"}',
            b'{"n": -Infinity}',
            b'{"n": 1}',
        ]
        path = tmp_path / "app.log"
        path.write_bytes(b"\n".join(lines) + b"\n")
        with contextlib.closing(EventLog(path).follow_sync()) as following:
            found = [next(following) for _ in lines]

        assert [strictly(event.json)["n"] for event in found] == [None, "\ufffd", "\ufffd", None, 1]


# Pieces of lines, so that many lines are nearly valid.
PIECES = st.one_of(
    st.sampled_from(
        [
            b"{}",
            b"{",
            b"}",
            b'{"a": ',
            b'"a"',
            b"1",
            b", ",
            b'"',
            b"\\u00",
            b"\\ud800",
            b"NaN",
            b"[",
            b"]",
            b" ",
        ]
    ),
    st.sampled_from([b"\n", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xff", b'{"a": 1}', '{"é": "é"}'.encode()]),
    st.binary(max_size=8),
    st.dictionaries(st.text(), st.none() | st.floats() | st.integers() | st.text(), max_size=3).map(
        lambda fields: json.dumps(fields).encode()
    ),
)
CONTENTS = st.lists(PIECES | st.just(b"\n"), max_size=40).map(b"".join)


class TestLongest:
    @pytest.mark.parametrize("extra", [-2, -1, 0, 1, 2])
    @pytest.mark.parametrize("before", [b"", b"{}\n", b"{}\n" * 99])
    def test_how_long_a_line_may_be(self, before, extra):
        """Both directions skip the same line that is too long, and read the lines around it."""
        long = b'{"a": "' + b"x" * (16 * 128 - 10 + extra) + b'"}\n'
        with log_of(before + long + b"{}\n", 16) as log:
            told, told_backwards = [], []
            found = list(EventLog(log, on_skip=told.append).read())
            backwards = list(EventLog(log, on_skip=told_backwards.append).read(newest_first=True))

        assert places(backwards) == places(found)[::-1]
        assert len(found) + len(told) == len(before) // 3 + 2
        assert [skipped[:4] for skipped in told] == [skipped[:4] for skipped in told_backwards]
        assert bool(told) == (extra > 0)


class TestAnyBytes:
    @given(CONTENTS, st.sampled_from([16, 100, 256 * 1024]))
    def test_every_line_is_read_or_told(self, content, chunk):
        """Nothing raises; each object is an event, and each other line that is not blank is reported once."""
        with log_of(content, chunk) as log:
            told = []
            found = list(EventLog(log, on_skip=told.append).read())
        expected, offset = [], 0
        odd = {skipped.offset: skipped for skipped in told}
        for number, line in enumerate(content.split(b"\n")[:-1], 1):
            objects = as_objects(line.strip(b"\0").removeprefix(b"\xef\xbb\xbf"))
            expected += objects
            blank = not line.removeprefix(b"\xef\xbb\xbf").strip()
            if skipped := odd.pop(offset, None):
                assert (skipped.number, skipped.line) == (number, line[:200])
                assert not objects or b"\0" in line
            else:
                assert objects or blank
            offset += len(line) + 1

        assert odd == {}
        assert len(told) == len({skipped.offset for skipped in told})
        assert repr(found) == repr(expected)  # NaN is not equal to itself

    @given(CONTENTS, st.sampled_from([16, 100, 256 * 1024]))
    def test_newest_first(self, content, chunk):
        """Newest first is the reverse, in events, cursors and reported lines."""
        with log_of(content, chunk) as log:
            told, backwards_told = [], []
            found = list(EventLog(log, on_skip=told.append).read())
            backwards = list(EventLog(log, on_skip=backwards_told.append).read(newest_first=True))

        assert places(backwards) == places(found)[::-1]
        assert [skipped[:4] for skipped in backwards_told] == [skipped[:4] for skipped in told][::-1]

    @given(CONTENTS, st.data())
    def test_every_cursor(self, content, data):
        """After the cursor of any event come exactly the events that follow it."""
        with log_of(content, 100) as log:
            found = list(EventLog(log).read())
            if found:
                index = data.draw(st.integers(0, len(found) - 1))
                assert places(EventLog(log).read(after=found[index].cursor)) == places(found[index + 1 :])

    @given(CONTENTS)
    def test_json(self, content):
        """The JSON of every event is one line that a strict parser reads."""
        with log_of(content, 256 * 1024) as log:
            for event in EventLog(log).read():
                assert not {b"\n"[0], b"\r"[0]} & set(event.json)
                assert set(strictly(event.json)) == {
                    text.encode("utf-8", "replace_half").decode() for text in event
                }


def as_objects(line):
    """Return the JSON objects on a line; none if it has anything else."""
    try:
        text = line.decode("utf-8", "surrogatepass").strip(" \t\r")
        objects = []
        while text:
            value, end = json.JSONDecoder().raw_decode(text)
            objects.append(value)
            text = text[end:].lstrip(" \t\r")
    except ValueError:
        return []
    return objects if all(isinstance(value, dict) for value in objects) else []


codecs.register_error("replace_half", lambda error: ("\ufffd" * (error.end - error.start), error.end))
