"""Messages of a stream: subjects, headers and payloads."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.eventlog.events import Gap
from chora_logging.eventlog.rotated import cursor
from chora_logging.jetstream import messages
from chora_logging.jetstream.messages import (
    gap_of,
    head_of,
    lines_of,
    message,
    message_id,
    subject,
    text_of,
    token,
)
from tests.jetstream.blocks import LOG_ID, block

LINES = b'{"n": 1}\n{"n": 2}\n'
SUBJECT = "clog.web1.app"
names = st.text(max_size=80)


class TestSubjects:
    @given(names)
    def test_token(self, name):
        """Any text is one token of a subject: at most 64 safe characters."""
        found = token(name)

        assert 1 <= len(found) <= 64
        assert not set(found) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=~")

    @given(st.text(min_size=1, max_size=10).filter(lambda name: name != "_"))
    def test_text(self, name):
        """A token that was not cut gives its text back."""
        if len(name.encode("utf-8", "surrogateescape")) <= 21:
            assert text_of(token(name)) == name

    @given(names, names)
    def test_injective(self, one, other):
        """Two names have two tokens."""
        assert (token(one) == token(other)) is ({one or "_"} == {other or "_"})

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("web1", "web1"),
            ("a.b", "a=2Eb"),
            ("a b", "a=20b"),
            ("é", "=C3=A9"),
            (">", "=3E"),
            ("=", "=3D"),
            ("", "_"),
            ("x" * 64, "x" * 64),
            ("x" * 65, "x" * 40 + "=~c085721fdfc5c936"),
        ],
    )
    def test_examples(self, name, expected):
        """Tokens are readable, and stay the same for ever."""
        assert token(name) == expected

    def test_subject(self):
        """A subject names prefix, host and log, and nothing else."""
        assert subject("web1.shop", "orders", "logs") == "logs.web1=2Eshop.orders"


class TestHeaders:
    def test_all(self):
        """The headers carry the position, the fence, the id and the gap."""
        found = block(LINES)
        gap = Gap("deleted", files=2, since=1.5)
        made = message(found, SUBJECT, stream="CLOG", expected=7, shipper="a", gap=gap, compress=False)

        assert made.payload == LINES
        assert made.headers == {
            "Nats-Msg-Id": message_id(SUBJECT, found),
            "Nats-Expected-Stream": "CLOG",
            "Nats-Expected-Last-Subject-Sequence": "7",
            "Clog-Log": "0001020304050607",
            "Clog-Start": found.cursor(0),
            "Clog-End": found.cursor(len(LINES)),
            "Clog-Lines": "2",
            "Clog-Shipper": "a",
            "Clog-Gap": made.headers["Clog-Gap"],
        }
        assert gap_of(made.headers) == gap
        assert head_of(made.headers) == (LOG_ID.hex(), found.cursor(0), found.cursor(18), "a")
        assert cursor.decode(found.cursor(18)).offset == 18

    def test_without_id(self):
        """The id can be left out."""
        assert (
            messages.MESSAGE_ID
            not in message(block(LINES), SUBJECT, stream="S", expected=0, with_id=False).headers
        )

    @pytest.mark.parametrize(
        "headers", [None, {}, {"Clog-Log": "00"}, {"Clog-Log": "0", "Clog-Start": "x", "Clog-End": "y"}]
    )
    def test_foreign(self, headers):
        """Headers of others are no position and no gap."""
        assert head_of(headers) is None
        assert gap_of(headers) is None

    @pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '{"reason": 1, "other": 2}', "[" * 100_000])
    def test_hostile_gap(self, text):
        """A gap header of others is a gap with a reason."""
        assert isinstance(gap_of({"Clog-Gap": text}), Gap)


class TestMessageId:
    def test_same_lines_read_later(self):
        """The same lines have the same id after the file has grown, moved or been copied."""
        assert message_id(SUBJECT, block(LINES)) == message_id(SUBJECT, block(LINES, inode=8, time=5))
        assert len(message_id(SUBJECT, block(LINES))) == 16

    def test_all_else_counts(self):
        """Subject, log, generation, position and content each make another id."""
        others = [
            message_id("clog.web2.app", block(LINES)),
            message_id(SUBJECT, block(LINES, log_id=bytes(8))),
            message_id(SUBJECT, block(LINES, generation=4)),
            message_id(SUBJECT, block(LINES, start=18, before=LINES)),
            message_id(SUBJECT, block(LINES[:9])),
            message_id(SUBJECT, block(b'{"n": 1}\n{"n": 3}\n')),
        ]

        assert len({message_id(SUBJECT, block(LINES)), *others}) == 7


class TestPayload:
    @given(st.binary(max_size=2000), st.booleans())
    def test_round_trip(self, lines, compress):
        """Any lines come back as they were, with a newline after the last one if it has none."""
        made = message(block(lines), SUBJECT, stream="S", expected=0, compress=compress)
        whole = lines if lines.endswith(b"\n") or not lines else lines + b"\n"

        assert lines_of(made.payload, made.headers) == whole
        assert len(made.payload) <= len(whole)

    def test_compression(self):
        """Lines are compressed, unless they would become longer."""
        long = message(block(LINES * 100), SUBJECT, stream="S", expected=0)
        short = message(block(b"{}\n"), SUBJECT, stream="S", expected=0)

        assert (long.headers["Content-Encoding"], len(long.payload) < 100) == ("deflate", True)
        assert "Content-Encoding" not in short.headers

    @pytest.mark.parametrize(
        ("payload", "encoding", "message"),
        [
            (b"no deflate", "deflate", "cannot be decompressed"),
            (b"", "deflate", "it is cut"),
            (zlib.compress(b"x" * 1000)[:-5], "deflate", "it is cut"),
            (zlib.compress(bytes(40 * 1024 * 1024)), "deflate", "longer than"),
            (LINES, "zstd", "encoded as 'zstd'"),
        ],
    )
    def test_hostile(self, payload, encoding, message):
        """A damaged payload, a bomb and another encoding are errors, in bounded memory."""
        with pytest.raises(ValueError, match=message):
            lines_of(payload, {"Content-Encoding": encoding})
