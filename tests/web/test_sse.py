"""Events as bytes of a stream: a client gets exactly the same events, whatever they contain."""

from __future__ import annotations

import json

import httpx
import httpx_sse
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.eventlog import Event, EventLog, Gap
from chora_logging.web import sse
from tests.web.serving import Parser

HOSTILE = {
    "newline": "a\nb",
    "carriage return": "a\rb",
    "both": "a\r\n\r\nb",
    "line separator": "a\u2028b\u2029c\x85d",
    "nul": "a\0b",
    "a field": "\ndata: x\n\nid: 1\n\nevent: gap",
    "a comment": "\n:\n\n",
    "markup": "</script><img src=x onerror=alert(1)>",
    "escapes": "\x1b[2J\x07",
    "bom": "\ufeffx",
}

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def event(fields, cursor="AQ-_x"):
    return Event(fields, cursor, json.dumps(fields).encode())


def parsed(data):
    parser = Parser()
    parser.feed(data)
    return parser


class TestEvents:
    def test_an_event_is_its_cursor_and_its_line(self):
        """An event is framed as id and data, with nothing of its JSON changed."""
        assert sse.frames([event({"n": 1})]) == b'data: {"n": 1}\nid: AQ-_x\n\n'

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
    @pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "as it is"])
    def test_content_never_breaks_a_frame(self, text, ascii_only):
        """No value or name ends a line or an event, or sets a field of the stream."""
        fields = {"message": text, text: "name"}
        line = json.dumps(fields, ensure_ascii=ascii_only).encode()
        parser = parsed(sse.frames([Event(fields, "one", line), event({"n": 2}, "two")]))

        assert [json.loads(data) for _, data in parser.events] == [fields, {"n": 2}]
        assert {kind for kind, _ in parser.events} == {"message"}
        assert (parser.last_event_id, parser.comments, parser.retry) == ("two", [], None)

    @given(st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=4))
    def test_any_events_come_as_they_are(self, several):
        """Any sequence of events is read back by the specification's rules unchanged."""
        parser = parsed(sse.frames([event(fields) for fields in several]))

        assert [json.loads(data) for _, data in parser.events] == several

    @pytest.mark.parametrize("line", [b'{"a": NaN}', b'{"a": "\\ud800"}'], ids=["NaN", "surrogate"])
    def test_what_is_no_strict_json_becomes_it(self, tmp_path, line):
        """A line of an older writer with NaN or a lone surrogate is sent as strict JSON."""
        (tmp_path / "log").write_bytes(line + b"\n")
        parser = parsed(sse.frames(EventLog(tmp_path / "log").read()))

        json.loads(parser.events[0][1].encode(), parse_constant=pytest.fail)

    def test_an_event_is_encoded_once(self):
        """However many clients get an event, its JSON and its cursor are the same objects."""
        one = Event({"a": float("nan")}, "x")
        first = one.json

        sse.frames([one])

        assert one.json is first


class TestTheRest:
    def test_a_gap_has_a_name_and_no_id(self):
        """A gap is a named event with its values as JSON, and does not change the client's position."""
        gap = Gap("deleted", files=2, since=0.0, resumes="/var/log/secret/app.log.1")
        parser = parsed(sse.frames([event({"n": 1}, "here"), gap]))

        assert parser.last_event_id == "here"
        kind, data = parser.events[1]
        assert kind == "gap"
        assert json.loads(data) == {
            "reason": "deleted",
            "files": 2,
            "since": "1970-01-01T00:00:00.000000Z",
            "resumes": "app.log.1",
        }

    def test_a_heartbeat_is_a_comment(self):
        """A heartbeat is no event and does not change the client's position."""
        parser = parsed(sse.frames([event({"n": 1}, "here")]) + sse.HEARTBEAT)

        assert (len(parser.events), parser.last_event_id, parser.comments) == (1, "here", [""])

    def test_clients_that_take_blank_lines_for_events(self):
        """httpx-sse, for which each blank line ends an event, gets only the events."""
        parts = [
            sse.opening(1500),
            *(sse.frames([event({"n": n}, f"at-{n}")]) + sse.HEARTBEAT for n in (1, 2)),
        ]
        headers = {"content-type": "text/event-stream"}
        source = httpx_sse.EventSource(httpx.Response(200, headers=headers, content=b"".join(parts)))

        assert [(one.id, one.json()) for one in source.iter_sse()] == [("at-1", {"n": 1}), ("at-2", {"n": 2})]

    def test_the_opening_says_when_to_come_back(self):
        """The first bytes of a stream are the time after which a client reconnects."""
        assert parsed(sse.opening(1500)).retry == 1500
