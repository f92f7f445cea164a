"""Lines of every kind as events, and events as strict JSON."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from chora_logging.eventlog import Event, EventLog


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def strictly(data):
    """What a strict parser reads."""
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
        """It is the line itself where that is strict JSON without a carriage return, else the nearest."""
        (event,) = read(tmp_path, line)

        assert event.json == expected
        assert event.json is event.json
        strictly(event.json)

    def test_without_a_line(self):
        """An event that came from elsewhere has it too."""
        assert strictly(Event({"a": [1, float("nan")], "b": "\ud800"}).json) == {
            "a": [1, None],
            "b": "\ufffd",
        }

    def test_it_is_what_was_read(self, tmp_path):
        """What a reader changes in the event is not in it."""
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
