"""Cursors of a stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.errors import CursorError
from chora_logging.eventlog.rotated import cursor as file_cursor
from chora_logging.jetstream.stream_cursor import Position, StreamOrigin, decode, encode, incarnation_of
from tests.jetstream.storing import SOME_CURSOR


@given(st.integers(0, 2**32 - 1), st.integers(1, 10**19 - 1), st.integers(0, 10**10 - 1))
def test_there_and_back(incarnation, sequence, offset):
    """Every position comes back, from a cursor that fits into a URL and 64 characters."""
    position = Position(f"{incarnation:08x}", sequence, offset)

    cursor = encode(position)

    assert decode(cursor) == position
    assert len(cursor) <= 64
    assert set(cursor) <= set("0123456789abcdefn.")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "n1",
        "n1.0a1b2c3d.1",
        "n1.0a1b2c3d.0.1",
        "n1.0a1b2c3d.1.01",
        "n1.0a1b2c3d.1.-1",
        "n1.0A1B2C3D.1.1",
        "n1.0a1b2c3d.1.1 ",
        "n1.0a1b2c3d.1.1\n",
        "n1.0a1b2c3d.٣.1",
        f"n1.0a1b2c3d.{10**19}.1",
        "n2.0a1b2c3d.1.1",
        SOME_CURSOR,
        None,
        5,
    ],
)
def test_others_are_refused(cursor):
    """Anything else is refused, cursors of files too."""
    with pytest.raises(CursorError):
        decode(cursor)


def test_files_refuse_it():
    """A cursor of a stream is none of files."""
    with pytest.raises(CursorError):
        file_cursor.decode(encode(Position("0a1b2c3d", 1)))


def test_the_end_of_a_message_is_the_beginning_of_the_next():
    """So a message that has been read to its end need not be there any more."""
    origin = StreamOrigin("0a1b2c3d", 7, 100)

    assert origin.cursor(40, b"") == "n1.0a1b2c3d.7.40"
    assert origin.cursor(100, b"") == "n1.0a1b2c3d.8.0"


def test_incarnations():
    """A stream that was made anew under its name has another incarnation."""
    first = incarnation_of("CLOG", "2025-09-28T08:54:11.1Z")

    assert first == incarnation_of("CLOG", "2025-09-28T08:54:11.1Z")
    assert len({first, incarnation_of("CLOG", "2025-09-28T08:54:11.2Z"), incarnation_of("C", "2025")}) == 3
