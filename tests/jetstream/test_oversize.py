"""Blocks are split at lines; a line that no message can hold becomes a marked event."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.shipping.oversize import Oversize, pieces, replacement
from tests.jetstream.blocks import block

lines = st.lists(
    st.binary(max_size=40).map(lambda line: line.replace(b"\n", b" ") + b"\n"), min_size=1, max_size=20
)


class TestPieces:
    @given(lines, st.integers(1, 200))
    def test_tile(self, lines, longest):
        """Pieces are whole lines, at most as long as allowed unless they are one line, and tile the block."""
        whole = block(b"".join(lines) + b"half", start=500, before=b"y" * 256)._replace(
            size=sum(map(len, lines))
        )
        found = list(pieces(whole, longest=longest))

        assert b"".join(each.chunk for each in found) == b"".join(lines)
        assert all(len(each.chunk) <= longest or each.chunk.count(b"\n") == 1 for each in found)
        ends = [each.cursor(each.length) for each in found]
        assert [each.cursor(0) for each in found] == [whole.cursor(0), *ends[:-1]]
        assert ends[-1] == whole.cursor(whole.length)

    def test_late(self):
        """Of late lines only the last piece says that they were read."""
        late = block(b"{}\n" * 3)._replace(late="after")

        assert [each.cursor(0) for each in pieces(late, before="before", longest=3)] == [
            "before",
            "before",
            "after",
        ]
        assert [each.cursor(3) for each in pieces(late, longest=3)] == ["after"] * 3

    def test_overlong(self):
        """A line that was not read is one piece."""
        long = block(b"")._replace(overlong=40_000_000)

        assert list(pieces(long)) == [long]


class TestReplacement:
    @given(st.binary(min_size=1, max_size=3000), st.integers(512, 4000))
    def test_any_bytes(self, line, limit):
        """Any line becomes one line of JSON that is short enough and says how long it was."""
        long = block(line.replace(b"\n", b" ") + b"\n")
        found = replacement(long, limit)

        assert len(found) <= limit
        assert found.count(b"\n") == 1
        event = json.loads(found)
        assert (event["truncated"], event["line_bytes"]) == (True, len(line) + 1)

    def test_fields(self):
        """What says where the event belongs stays; what is long does not."""
        line = json.dumps({"trace_id": "t", "task_id": 7, "message": "x" * 9000, "more": 1}).encode() + b"\n"
        event = json.loads(replacement(block(line), 100_000))

        assert (event["trace_id"], event["task_id"]) == ("t", 7)
        assert "message" not in event
        assert event["line"].startswith('{"trace_id"')

    def test_overlong(self):
        """Of a line that was not read only its length and its beginning are known."""
        long = block(b"")._replace(overlong=40_000_000, chunk=b'tail"}\n')

        assert json.loads(replacement(long, 4096)) == {"truncated": True, "line_bytes": 40_000_000}
        shown = json.loads(replacement(long._replace(beginning=b"x" * 65536), 1_000_000))
        assert shown == {"truncated": True, "line_bytes": 40_000_000, "line": "x" * 65536}


def test_keeps_the_next(tmp_path):
    """After a line that could not be written the next ones are."""
    path = tmp_path / ".app.oversize"
    path.mkdir()
    whole = Oversize(str(path))
    with pytest.raises(OSError, match="directory"):
        whole.keep(b"one\n")
    path.rmdir()
    whole.keep(b"two\n")
    whole.close()

    assert path.read_bytes() == b"two\n"


def test_keeps(tmp_path):
    """Whole lines are kept for their owner only; the file is made with the first one."""
    path = tmp_path / ".app.oversize"
    whole = Oversize(str(path))
    assert not path.exists()
    whole.keep(b"one\n")
    whole.keep(b"two\n")
    whole.close()
    whole.close()

    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600
