"""`EventLog`: reading from the beginning, from the end and live, with lines of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import threading
import time
import tracemalloc

import pytest

from chora_logging.eventlog import EventLog, Gap
from tests.eventlog.writing import DEADLINE, Writer, line, numbers, open_files, when_followed, write

# Lines of an existing user's log.
FOREIGN = """\
{"timestamp": "2025-09-28T08:54:11.456336", "level": "INFO", "logger": "services.main", \
"message": "Logging configured", "service": "Kyros Praxis", "environment": "local", "version": "0.1.0"}
{"timestamp": "2025-09-28T08:54:11.717836", "level": "WARNING", "logger": "passlib.handlers.bcrypt", \
"message": "(trapped) error reading bcrypt version", "exception": "Traceback (most recent):\\n  File"}
{"timestamp": "2025-09-28T08:54:12.284670", "level": "INFO", "logger": "orchestrator_events", \
"event": "task_created", "task_id": "b6f86b1b-a0b7-495e-bac6-dbab2c00487f", "message": "Event: task_created"}
"""


@pytest.fixture
def writer(tmp_path):
    made = Writer(tmp_path / "app.log", keep=5)
    yield made
    made.close()


class TestLines:
    def test_an_existing_log(self, tmp_path):
        """The log of an existing user is read, by task, level and time."""
        path = tmp_path / "orch-o-glm.log"
        path.write_text(FOREIGN)
        log = EventLog(path)

        assert len(list(log.read())) == 3
        assert [event["event"] for event in log.read(task_id="b6f86b1b-a0b7-495e-bac6-dbab2c00487f")] == [
            "task_created"
        ]
        assert [event["logger"] for event in log.read(level="WARNING")] == ["passlib.handlers.bcrypt"]
        assert len(list(log.read(since="2025-09-28T08:54:11.5", until="2025-09-28T08:54:12"))) == 1

    def test_skipped_lines_are_told(self, tmp_path):
        """Each malformed line is reported with its offset, the reason and its first bytes."""
        bad = [b"text", b'{"n": 1}[2]', b"[1]", b"\xff\xfe", b"\0\0", b"9" * 5000]
        path = tmp_path / "app.log"
        path.write_bytes(line(0) + b"\n  \r\n" + b"".join(text + b"\n" for text in bad) + line(1))
        told = []

        found = numbers(EventLog(path, on_skip=told.append).read())

        assert found == [0, 1]
        assert [skipped.reason for skipped in told] == [
            "not JSON",
            "several values, not all of them objects",
            "JSON, but not an object",
            "not UTF-8",
            "zeros, as a crashed file system leaves them",
            "JSON beyond Python's limits",
        ]
        content = path.read_bytes()
        assert [content[skipped.offset :].split(b"\n")[0][:200] for skipped in told] == [
            skipped.line for skipped in told
        ]

    def test_line_ends_and_marks(self, tmp_path):
        """Carriage returns and a byte order mark do no harm."""
        path = tmp_path / "app.log"
        path.write_bytes(b'\xef\xbb\xbf{"n": 0}\r\n{"n": 1}\r\n')

        assert numbers(EventLog(path).read()) == [0, 1]
        assert numbers(EventLog(path).last(5)) == [0, 1]

    def test_a_line_without_end(self, tmp_path, monkeypatch):
        """A line that is too long for memory is skipped by read, last and follow, and reported."""
        monkeypatch.setattr("chora_logging.eventlog.rotated.file.LONGEST_LINE_BYTES", 1024 * 1024)
        monkeypatch.setattr("chora_logging.eventlog.reading.LONGEST_LINE_BYTES", 1024 * 1024)
        path = tmp_path / "app.log"
        path.write_bytes(line(0) + b"x" * 20_000_000 + b"\n" + line(1))
        with open(str(path) + ".1.gz", "wb") as file:
            file.write(gzip.compress(line(-2) + b"x" * 20_000_000 + b"\n" + line(-1), 1))
        told = []
        tracemalloc.start()
        try:
            found = numbers(EventLog(path, on_skip=told.append).read())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert found == [-2, -1, 0, 1]
        assert peak < 10_000_000
        assert [skipped.reason for skipped in told] == ["20000001 bytes are too long for a line"] * 2
        assert numbers(EventLog(path).last(10)) == [-2, -1, 0, 1]


class TestLast:
    def test_newest_first(self, writer):
        """The newest events, with the same cursors as when all are read, over plain and compressed files."""
        for size in (0, 3000, 100_000):
            writer.write(5, size)
            writer.rotate()
        writer.compress(2)
        writer.write(2)
        log = EventLog(writer.log)
        stored = list(log.read())

        for n in (0, 1, 2, 3, 9, 17, 50):
            found = log.last(n)

            assert found == stored[len(stored) - min(n, len(stored)) :]
            assert [event.cursor for event in found] == [event.cursor for event in stored][-n or 99 :]
        assert list(log.read(newest_first=True, limit=3)) == stored[:-4:-1]
        assert open_files(writer.log) == 1

    def test_a_half_line_at_the_end(self, tmp_path):
        """An incomplete last line and empty lines are not among the last events."""
        path = tmp_path / "app.log"
        for content, expected in [(b"", []), (b"\n", []), (line(0)[:-1], []), (b"\n" + line(1) + b"{", [1])]:
            path.write_bytes(content)

            assert numbers(EventLog(path).last(5)) == expected

    def test_filters(self, writer):
        """The filters select the last events."""
        writer.write(10)

        assert numbers(EventLog(writer.log).last(1, where={"n": 4})) == [4]

    def test_not_with_a_cursor(self, writer):
        """Newest first and a cursor exclude each other."""
        with pytest.raises(ValueError, match="newest_first"):
            EventLog(writer.log).read(after="x", newest_first=True)


class TestFollowing:
    def test_stored_then_live(self, writer):
        """`follow_sync` gives the stored events, then new ones, across rotations, and closes its files."""
        writer.write(3)
        before = open_files(writer.log)
        with contextlib.closing(EventLog(writer.log).follow_sync()) as following:
            found = [next(following)["n"] for _ in range(3)]
            for _ in range(4):
                writer.write(2)
                writer.rotate()
            thread = threading.Thread(target=writer.write, args=(5,))
            thread.start()
            found += [next(following)["n"] for _ in range(13)]
            thread.join()

        assert found == list(range(16))
        assert open_files(writer.log) <= before

    def test_from_the_end(self, writer):
        """From "end" only new events come, with a half line at the end that is completed later."""
        writer.write(3)
        with open(writer.log, "ab") as file:
            file.write(line(100)[:5])
        following = EventLog(writer.log).follow_sync(after="end")
        rest = line(100)[5:] + line(101)
        with contextlib.closing(following), when_followed(writer.log, lambda: append(writer.log, rest)):
            found = [next(following)["n"] for _ in range(2)]

        assert found == [100, 101]

    def test_from_a_cursor_with_a_gap(self, writer):
        """A follower whose cursor points to a deleted file first reports a gap, then continues."""
        writer.write(1)
        (event,) = EventLog(writer.log).read()
        for _ in range(7):
            writer.rotate()
            writer.write(1)
        with contextlib.closing(EventLog(writer.log).follow_sync(after=event.cursor)) as following:
            items = [next(following) for _ in range(7)]

        assert isinstance(items[0], Gap)
        assert numbers(items[1:]) == [2, 3, 4, 5, 6, 7]

    def test_lagging_behind_retention(self, writer):
        """A follower that retention overtakes gets a gap with the missing files."""
        writer.write(1)
        with contextlib.closing(EventLog(writer.log).follow_sync()) as following:
            first = next(following)
            for _ in range(10):
                writer.rotate()
                writer.write(1)
            items = [next(following) for _ in range(7)]

        assert first["n"] == 0
        assert isinstance(items[0], Gap)
        assert items[0].files == 4
        assert numbers(items[1:]) == [5, 6, 7, 8, 9, 10]

    def test_async(self, writer):
        """`follow` gives the same in an event loop, each event soon after its write, and closes its files."""
        writer.write(2)

        async def main():
            delays, found, written = [], [], 0.0
            async with contextlib.aclosing(EventLog(writer.log).follow()) as following:
                while len(found) < 40:
                    found.append((await anext(following))["n"])
                    delays.append(time.monotonic() - written)
                    if len(found) >= 2:
                        written = time.monotonic()
                        writer.write(1)
                    if len(found) % 10 == 0:
                        writer.rotate()
            return delays[2:], found

        delays, found = asyncio.run(asyncio.wait_for(main(), DEADLINE))

        assert found == list(range(40))
        assert sorted(delays)[len(delays) // 2] < 0.1
        assert open_files(writer.log) <= 1

    def test_cancelled(self, writer):
        """A cancelled follower leaves no file open."""

        async def main():
            async for _ in EventLog(writer.log).follow():
                pass

        writer.write(1)
        writer.close()
        with pytest.raises(asyncio.TimeoutError):
            asyncio.run(asyncio.wait_for(main(), 0.1))

        assert open_files(writer.log) == 0

    def test_one_deleted_file_is_pinned(self, writer):
        """A stalled follower holds one file open, however much is rotated."""
        writer.write(1)
        writer.close()
        with contextlib.closing(EventLog(writer.log).follow_sync()) as following:
            next(following)
            for _ in range(8):
                writer.rotate()
                writer.write(1)
                writer.close()

            assert open_files(writer.log) == 1

    def test_events_out_of_time_order(self, tmp_path):
        """A filter by time finds events that are out of order."""
        path = tmp_path / "app.log"
        seconds = [1, 9, 2, 8, 3]
        path.write_text("".join(f'{{"n": {s}, "timestamp": "2025-09-28T08:00:0{s}Z"}}\n' for s in seconds))

        assert numbers(EventLog(path).read(since="2025-09-28T08:00:02Z", until="2025-09-28T08:00:09Z")) == [
            2,
            8,
            3,
        ]


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)


def test_the_set(tmp_path):
    """The set holds numbered, compressed and dated names, oldest first, and nothing else."""
    log = tmp_path / "app.log"
    order = ["app.log-20250927.gz", "app.log-20250928", "app.log.2.gz", "app.log.1", "app.log"]
    for number, name in enumerate(order):
        data = line(number)
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    for name in [
        "app.log.bak",
        "app.log2",
        "app.log-2025",
        "app.log.1.tmp",
        ".app.log.gz.new",
        "app.log-20250928.new",
    ]:
        write(tmp_path / name, 99)

    assert numbers(EventLog(log).read()) == [0, 1, 2, 3, 4]
    assert os.path.basename(EventLog(log).path) == "app.log"
