"""Blocks: the lines of a log as they stand in the files, with the cursors before and after them."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.errors import CursorError
from chora_logging.eventlog import EventLog, Gap, blocks
from chora_logging.eventlog.blocks import BlockFollower
from chora_logging.eventlog.events import Block
from chora_logging.log_files import LONGEST_LINE_BYTES
from chora_logging.writing.shared_log import SharedLog


def blocks_of(path, after=None):
    """All that a follower returns now."""
    found = []
    with BlockFollower(os.fspath(path), after=after) as follower:
        while (items := follower.poll_blocks()) is not None:
            found += items
    return found


async def some(blocks, enough):
    """The items of *blocks* until *enough* says that they are enough."""
    found = []
    while not enough(found):
        found += await asyncio.wait_for(anext(blocks), 30)
    await blocks.aclose()
    return found


def lines_of(items):
    return b"".join(item.chunk[: item.size] for item in items if isinstance(item, Block))


class TestCursors:
    @given(
        st.lists(st.binary(max_size=300).map(lambda line: line.replace(b"\n", b" ")), min_size=1, max_size=8)
    )
    def test_every_line(self, lines):
        """The cursor after each line leads to the next one; the one before all leads to the first."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "app.log")
            lines = [line.replace(b"\n", b" ") for line in lines]
            content = b"".join(line + b"\n" for line in lines)
            with open(path, "wb") as file:
                file.write(content)
            (block,) = blocks_of(path)
            end = 0
            for line in lines:
                end += len(line) + 1
                assert lines_of(blocks_of(path, block.cursor(end))) == content[end:]

            assert (block.length, block.start) == (len(content), 0)

    def test_events_have_the_same(self, tmp_path):
        """An event and the end of its line in a block have one cursor."""
        path = tmp_path / "app.log"
        path.write_bytes(b'{"n": 1}\n{"n": 2}\n')
        (block,) = blocks_of(path)

        assert [event.cursor for event in EventLog(path).read()] == [block.cursor(9), block.cursor(18)]

    def test_overlong_line(self, tmp_path):
        """A line that is too long to be read is a block without lines, and has a cursor after it."""
        path = tmp_path / "app.log"
        with open(path, "wb") as file:
            file.write(b"{}\n")
            file.write(b"x" * (LONGEST_LINE_BYTES + 10) + b"\n")
            file.write(b'{"n": 1}\n')
        first, long, last = blocks_of(path)

        assert (long.size, long.length) == (0, LONGEST_LINE_BYTES + 11)
        assert lines_of([first, long, last]) == b'{}\n{"n": 1}\n'
        assert lines_of(blocks_of(path, long.cursor(long.length))) == b'{"n": 1}\n'

    def test_late_lines(self, tmp_path):
        """Lines that come late into a rotated file have the cursor of the newest line, before and after."""
        path, backup = tmp_path / "app.log", tmp_path / "app.log.1"
        path.write_bytes(b'{"n": 1}\n')
        with BlockFollower(os.fspath(path)) as follower:
            assert lines_of(follower.poll_blocks()) == b'{"n": 1}\n'
            path.rename(backup)
            path.write_bytes(b'{"n": 2}\n')
            os.utime(backup, (1, 1))
            found = []
            while not lines_of(found):
                follower.has_news()
                found += follower.poll_blocks() or []
            with open(backup, "ab") as file:
                file.write(b'{"late": 1}\n')
            late = []
            while not lines_of(late):
                follower.has_news()
                late += follower.poll_blocks() or []

        (block,) = late
        assert lines_of(found) == b'{"n": 2}\n'
        assert lines_of(late) == b'{"late": 1}\n'
        assert block.cursor(0) == block.cursor(block.length) != ""
        assert blocks_of(path, block.cursor(0)) == []

    def test_last_line_of_a_rotated_file(self, tmp_path):
        """It is given if it has no newline, and the cursor after it leads to the next file."""
        path, backup = tmp_path / "app.log", tmp_path / "app.log.1"
        path.write_bytes(b'{"n": 1}\n{"n": 2}')
        with BlockFollower(os.fspath(path)) as follower:
            (first,) = follower.poll_blocks()
            path.rename(backup)
            path.write_bytes(b'{"n": 3}\n')
            os.utime(backup, (1, 1))
            found = []
            while len(found) < 2:
                follower.has_news()
                found += follower.poll_blocks() or []
            with open(backup, "ab") as file:
                file.write(b"\n{}\n")
            late = []
            while not lines_of(late):
                follower.has_news()
                late += follower.poll_blocks() or []

        assert [lines_of([block]) for block in (first, *found)] == [b'{"n": 1}\n', b'{"n": 2}', b'{"n": 3}\n']
        left = found[0]
        assert left.lines() == b'{"n": 2}\n'
        assert lines_of(late) == b"\n{}\n"
        assert lines_of(blocks_of(path, left.cursor(0))) == b'{"n": 2}\n{}\n'
        assert lines_of(blocks_of(path, left.cursor(left.length))) == b"\n{}\n"

    def test_line_that_is_being_written(self, tmp_path, monkeypatch):
        """The last line of a file that our handler has rotated is awaited, too."""
        monkeypatch.setattr(blocks, "SETTLING_SECONDS", 1000.0)
        path = tmp_path / "app.log"
        log = SharedLog(str(path), max_bytes=1000, backup_count=5)
        log.append(b'{"n": 1}\n')
        with BlockFollower(os.fspath(path)) as follower, open(path, "ab", buffering=0) as other:
            follower.poll_blocks()
            other.write(b'{"n": ')
            log.rotate()
            log.append(b'{"n": 3}\n')
            awaited = [follower.poll_blocks() for _ in range(3)]
            other.write(b"2}\n")
            found = []
            while len(found) < 2:
                follower.has_news()
                found += follower.poll_blocks() or []
        log.close()

        assert awaited == [None] * 3
        assert lines_of(found) == b'{"n": 2}\n{"n": 3}\n'


class TestFollowing:
    def test_stored_and_live(self, tmp_path):
        """Stored lines come first, then new ones, each once."""
        path = tmp_path / "app.log"
        path.write_bytes(b'{"n": 1}\n')

        async def run():
            blocks = EventLog(path).follow_blocks()
            found = await anext(blocks)
            with open(path, "ab") as file:
                file.write(b'{"n": 2}\n')
            return found + await some(blocks, lines_of)

        assert lines_of(asyncio.run(run())) == b'{"n": 1}\n{"n": 2}\n'

    def test_linger(self, tmp_path):
        """Lines that come soon after a first one share its block."""
        path = tmp_path / "app.log"

        def write():
            for n in range(10):
                with open(path, "ab") as file:
                    file.write(b'{"n": %d}\n' % n)

        async def run():
            threading.Timer(0.2, write).start()
            return await some(
                EventLog(path).follow_blocks(linger=2), lambda found: lines_of(found).count(b"\n") == 10
            )

        assert len(asyncio.run(run())) == 1

    def test_to_the_end(self, tmp_path):
        """Without waiting it ends at the end, also of a log that does not exist."""

        async def run(path):
            return [item async for items in EventLog(path).follow_blocks(live=False) for item in items]

        (tmp_path / "app.log").write_bytes(b"{}\n")
        assert lines_of(asyncio.run(run(tmp_path / "app.log"))) == b"{}\n"
        assert asyncio.run(run(tmp_path / "other.log")) == []

    def test_gap(self, tmp_path):
        """A position that is gone is a gap before the blocks."""
        path = tmp_path / "app.log"
        path.write_bytes(b'{"n": 1}\n')
        (block,) = blocks_of(path)
        path.write_bytes(b'{"n": 22}\n')

        gap, rest = blocks_of(path, block.cursor(9))
        assert isinstance(gap, Gap)
        assert lines_of([rest]) == b'{"n": 22}\n'

    def test_thread_ends(self, tmp_path):
        """The thread that reads ends with the iteration."""
        path = tmp_path / "app.log"
        path.write_bytes(b"{}\n")
        asyncio.run(some(EventLog(path).follow_blocks(), lines_of))

        named = [each for each in threading.enumerate() if each.name.startswith(f"blocks of {path}")]
        for each in named:
            each.join(20)
        assert not any(each.is_alive() for each in named)

    def test_wrong_arguments(self, tmp_path):
        """A cursor that is none, and a log that must exist, are refused at the call."""
        with pytest.raises(CursorError):
            EventLog(tmp_path / "app.log").follow_blocks("nonsense")
        with pytest.raises(FileNotFoundError):
            EventLog(tmp_path / "app.log", must_exist=True).follow_blocks()
