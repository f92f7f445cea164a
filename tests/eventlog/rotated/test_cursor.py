"""Cursors stay valid across renames, copies, compression and restarts."""

from __future__ import annotations

import os
import pickle
import re
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging import log_files
from chora_logging.compressed_files import ZSTD
from chora_logging.errors import CursorError
from chora_logging.eventlog import Event, EventLog, Gap
from chora_logging.eventlog.rotated.cursor import Position, decode, encode
from chora_logging.writing.compression import compress_backups
from tests.eventlog.writing import Writer, numbers, write

times = st.integers(2**31, 2**48 - 1)
positions = st.builds(
    lambda *parts, time, before: Position(*parts, time, None if before is None else time - before),
    st.binary(min_size=8, max_size=8),
    st.integers(-(2**39), 2**39 - 1),
    st.integers(0, 2**48 - 1),
    st.binary(min_size=6, max_size=6),
    st.binary(min_size=6, max_size=6),
    st.integers(0, 2**32 - 1),
    time=times,
    before=st.none() | st.integers(-(2**31) + 1, 2**31 - 1),
)


@pytest.fixture
def writer(tmp_path):
    made = Writer(tmp_path / "app.log", keep=5)
    yield made
    made.close()


def cursor_after(log, number):
    return next(event.cursor for event in EventLog(log).read() if event["n"] == number)


class TestForm:
    @given(positions)
    def test_round_trip(self, position):
        """A cursor decodes to the encoded position, and has at most 64 URL-safe characters."""
        cursor = encode(position)

        assert decode(cursor) == position
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", cursor)

    @given(positions, st.data())
    def test_changed(self, position, data):
        """A truncated or changed cursor is refused."""
        cursor = encode(position)
        cut = data.draw(st.integers(0, len(cursor) - 1))

        with pytest.raises(CursorError):
            decode(cursor[:cut])

    @pytest.mark.parametrize(
        "cursor", ["", "x", "12", "end", "é" * 59, "A" * 59, "A" * 1000, "=" * 4, None, 5]
    )
    def test_malformed(self, tmp_path, cursor):
        """A string that is not a cursor is a ValueError that says so."""
        with pytest.raises(ValueError, match="cursor must be one that an event came with") as caught:
            decode(cursor)

        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), again.cursor, str(again)) == (CursorError, cursor, str(caught.value))

    def test_read_refuses_at_once(self, tmp_path):
        """`read` refuses a malformed cursor at the call, not at the first event."""
        with pytest.raises(CursorError):
            EventLog(tmp_path / "app.log").read(after="nonsense")


class TestResuming:
    def test_every_event(self, writer):
        """Reading resumes after any event of any file, whatever their lengths."""
        for size in (0, 10, 300, 2000):
            writer.write(4, size)
            writer.rotate()
        writer.write(3)
        log = EventLog(writer.log)

        for event in log.read():
            assert numbers(log.read(after=event.cursor)) == list(range(event["n"] + 1, writer.count))

    @pytest.mark.parametrize("sidecar_kept", [True, False])
    @pytest.mark.parametrize(
        "change", ["rotate", "rename", "copytruncate", "gzip", "zstd", "copy", "logrotate date"]
    )
    def test_what_a_cursor_outlives(self, tmp_path, writer, change, sidecar_kept):
        """A cursor stays valid across rotation, compression and copying, with and without sidecar."""
        writer.write(6, 200)
        cursor, log = cursor_after(writer.log, 3), writer.log
        if change in ("rotate", "rename", "copytruncate"):
            getattr(writer, change)()
        if change == "gzip":
            writer.rotate()
            writer.compress()
        if change == "zstd":
            writer.rotate()
            compress_backups(writer.log, 3, str, ZSTD)
            assert os.path.exists(writer.backup(1) + ".zst")
        if change == "copy":
            shutil.copytree(tmp_path, tmp_path / "elsewhere")
            log = str(tmp_path / "elsewhere" / "app.log")
        if change == "logrotate date":
            os.rename(log, log + "-20250928")
        if not sidecar_kept:
            os.unlink(log_files.sidecar_path(log))
        write(log, 6)

        assert numbers(EventLog(log).read(after=cursor)) == [4, 5, 6]

    def test_an_event_is_a_dict(self, writer):
        """An event is a dict, and it and its cursor survive pickling."""
        writer.write(1)
        (event,) = EventLog(writer.log).read()
        again = pickle.loads(pickle.dumps(event))

        assert isinstance(event, dict)
        assert (type(again), again, again.cursor) == (Event, event, event.cursor)


class TestGaps:
    def test_deleted_by_retention(self, writer):
        """A cursor into a file that retention deleted gives a gap with the number of files, then the rest."""
        writer.write(4)
        cursor = cursor_after(writer.log, 1)
        for _ in range(8):
            writer.rotate()
            writer.write(2)

        gap, *events = EventLog(writer.log).read(after=cursor)

        assert isinstance(gap, Gap)
        assert (gap.files, gap.resumes) == (3, writer.log + ".5")
        assert numbers(events) == list(range(8, writer.count))

    def test_truncated(self, writer):
        """A cursor into a file that was rewritten, larger, gives a gap and the new events."""
        writer.write(2)
        writer.rotate()
        writer.write(2)
        cursor = cursor_after(writer.log, 3)
        os.truncate(writer.log, 0)
        writer.write(9)

        gap, *events = EventLog(writer.log).read(after=cursor)

        assert isinstance(gap, Gap)
        assert numbers(events) == list(range(4, 13))

    def test_nothing_is_left(self, writer):
        """A cursor into a log that was deleted gives a gap."""
        writer.write(2)
        cursor = cursor_after(writer.log, 1)
        os.unlink(writer.log)

        (gap,) = EventLog(writer.log).read(after=cursor)

        assert isinstance(gap, Gap)
        assert gap.resumes is None
