"""Messages as events, hostile ones too."""

from __future__ import annotations

import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.selection import Selection
from chora_logging.jetstream import blocks, messages
from chora_logging.jetstream.consumer import Received
from tests.jetstream.storing import SOME_CURSOR, line, lines

HEADERS = {
    messages.LOG: "00" * 8,
    messages.START: SOME_CURSOR,
    messages.END: SOME_CURSOR,
    messages.LINES: "2",
}


def received(payload, subject="clog.web1.shop", **headers):
    """A message, with the headers of a shipper and *headers*; a header that is None is left out."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    found = {name: value for name, value in {**HEADERS, **named}.items() if value is not None}
    return Received(5, subject, payload, found, 0.0, 0)


def read(message, offset=0, **filters):
    """Return the gap and the events of a message, and what was skipped."""
    skipped = []
    unpacked = blocks.unpack(message, "0a1b2c3d", offset, skipped.append)
    if unpacked is None:
        return None, [], skipped
    return (
        unpacked.gap,
        list(blocks.events_of(unpacked, blocks.PlacedSelection(Selection(**filters)), skipped.append)),
        skipped,
    )


class TestEvents:
    def test_where_they_come_from(self):
        """The host and the log are the first fields, in the JSON too; the JSON is otherwise the line."""
        _, (event,), _ = read(received(b'{"n": 1.50, "b": "\\u00e9"}\n', "clog.web1.shop=2Eorders"))

        assert list(event.items()) == [("host", "web1"), ("log", "shop.orders"), ("n", 1.5), ("b", "é")]
        assert event.json == b'{"host":"web1","log":"shop.orders","n": 1.50, "b": "\\u00e9"}'
        assert event.cursor == "n1.0a1b2c3d.6.0"

    def test_fields_of_these_names(self):
        """An event keeps its own fields of these names."""
        _, events, _ = read(received(line(host="db") + line(log=None, host=1) + b"{}\n"))

        assert events == [
            {"log": "shop", "host": "db"},
            {"log": None, "host": 1},
            {"host": "web1", "log": "shop"},
        ]
        assert [json.loads(event.json) for event in events] == events

    @pytest.mark.parametrize(
        "odd",
        [
            b'{"n": NaN}',
            b'{"n": 1}{"n": 2}',
            b' \t{"n": 1} ',
            b'\xef\xbb\xbf{"n": 1}',
            b'\0\0{"n": 1}',
            b'{"n": 1}\r',
        ],
    )
    def test_odd_lines(self, odd):
        """Lines that are not exactly one object have the fields too, and their JSON is strict."""
        _, events, _ = read(received(odd + b"\n"))

        assert events
        for event in events:
            assert (event["host"], event["log"]) == ("web1", "shop")
            assert list(json.loads(event.json)) == ["host", "log", "n"]
            assert b"\r" not in event.json

    def test_late_blocks(self):
        """The events of a block that was shipped late say so."""
        _, (event,), skipped = read(received(line(n=1), "clog.web1.shop.late", Clog_Late="1"))

        assert (event, skipped) == ({"host": "web1", "log": "shop", "late": True, "n": 1}, [])

    @pytest.mark.parametrize("subject", ["a.b.c.web1.late", "a.web1.late"])
    def test_any_prefix(self, subject):
        """The last two tokens are the host and the log, even if the log is called late."""
        _, (event,), _ = read(received(line(n=1), subject))

        assert event == {"host": "web1", "log": "late", "n": 1}

    def test_from_an_offset(self):
        """Lines before an offset are left out, and so is the gap before them."""
        gap = json.dumps(Gap("deleted")._asdict())
        message = received(lines(1, 2, 3), Clog_Gap=gap)
        _, events, _ = read(message)
        offset = int(events[0].cursor.rpartition(".")[2])

        assert read(message, offset) == (None, events[1:], [])
        assert [event.cursor for event in read(message, offset)[1]] == [event.cursor for event in events[1:]]
        assert read(message, 10**9) == (None, [], [])

    def test_a_gap(self):
        """A gap has the name of the log, and not the path on the machine that shipped it."""
        gap = Gap("deleted", 2, 100, 1759049651.5, None, "/var/log/shop.log")

        found, _, _ = read(received(line(n=1), Clog_Gap=json.dumps(gap._asdict())))

        assert found == gap._replace(resumes="web1/shop")


BOMB = zlib.compress(b"0" * (messages.LONGEST_PAYLOAD_BYTES + 1))


class TestHostile:
    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (received(b"no deflate", Content_Encoding="deflate"), "damaged: "),
            (
                received(zlib.compress(lines(*range(99)))[:-9], Content_Encoding="deflate"),
                "damaged: it ends early",
            ),
            (received(BOMB, Content_Encoding="deflate"), "longer than 33554432 bytes"),
            (received(line(n=1), Content_Encoding="br"), "an unknown compression: br"),
            (received(line(n=1), Clog_Start=None), "not a block"),
            (received(line(n=1), Clog_End="x"), "not a block"),
            (received(line(n=1), Clog_Log=None), "not a block"),
            (received(line(n=1), "orders.new"), "not a block"),
            (received(line(n=1), "clog.late", Clog_Late="1"), "not a block"),
        ],
        ids=range(9),
    )
    def test_what_is_no_block_is_skipped(self, message, reason):
        """It gives no event, and is reported with its subject."""
        gap, events, (skipped,) = read(message)

        assert (gap, events, skipped.path) == (None, [], message.subject)
        assert skipped.reason.startswith(reason)

    @pytest.mark.parametrize("payload", [b"", b"\n\n", b" \n"])
    def test_nothing(self, payload):
        """A block without events is none."""
        assert read(received(payload)) == (None, [], [])

    def test_no_newline_at_the_end(self):
        """A last line without its newline is reported; the others are read."""
        _, events, (skipped,) = read(received(lines(1, 2) + b'{"n": 3}'))

        assert [event["n"] for event in events] == [1, 2]
        assert (skipped.path, skipped.line) == ("web1/shop", b'{"n": 3}')

    @pytest.mark.parametrize(
        "gap",
        [
            "{",
            "[]",
            "5",
            "{}",
            '{"reason": [1], "files": "many", "bytes": {}, "since": "x", "until": 1e300, "resumes": 7}',
            "[" * 5000,
        ],
    )
    def test_gaps(self, gap):
        """A gap that cannot be read is a gap all the same, of which less is known."""
        found, events, _ = read(received(line(n=1), Clog_Gap=gap))

        assert len(events) == 1
        assert isinstance(found.reason, str)
        assert found[1:] == (None, None, None, None, "web1/shop")

    @given(
        st.binary(max_size=200),
        st.text(st.sampled_from("clog.web1shop=2E~late*>"), max_size=30),
        st.dictionaries(st.sampled_from([*HEADERS, messages.ENCODING, messages.GAP]), st.text(max_size=20)),
    )
    def test_anything(self, payload, subject, headers):
        """No message raises."""
        read(Received(5, subject, payload, {**HEADERS, **headers}, 0.0, 0))

    def test_damaged_compression(self):
        """No change of a byte of a compressed block raises."""
        payload = zlib.compress(lines(*range(50)))
        for _ in range(500):
            at = random.randrange(len(payload))
            damaged = payload[:at] + bytes([payload[at] ^ (1 << random.randrange(8))]) + payload[at + 1 :]
            read(received(damaged, Content_Encoding="deflate"))
