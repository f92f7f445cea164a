"""A follower whose files change between two polls."""

from __future__ import annotations

import gzip
import os
import shutil
import threading
import time

import pytest

from chora_logging.eventlog import EventLog, Gap, following
from chora_logging.eventlog.following import Follower
from tests.eventlog.writing import Writer, alone, line, numbers, open_files, write


@pytest.fixture
def writer(tmp_path):
    made = Writer(tmp_path / "app.log", keep=5)
    yield made
    made.close()


@pytest.fixture
def nobody_is_late(monkeypatch):
    """Nobody waits for other programs, because these tests have none."""
    alone(monkeypatch)


@pytest.fixture
def log(tmp_path, nobody_is_late):
    return str(tmp_path / "app.log")


def drain(follower):
    """Return the items of the next polls, each event as its number."""
    found = []
    while (items := follower.poll_items()) is not None:
        found += [item if isinstance(item, Gap) else item["n"] for item in items]
    return found


def polled(log, cursor):
    """Return the items of a follower that resumes at *cursor*."""
    items = []
    with Follower(log, after=cursor) as follower:
        while (found := follower.poll_items()) is not None:
            items += found
    return items


def settle(log, since):
    """Return when the clock of the file system has passed *since*."""
    while os.stat(log).st_mtime <= since + 0.001:
        time.sleep(0.001)
        os.utime(log)


class TestRotations:
    @pytest.mark.parametrize("rotations", [2, 5, 6, 12])
    @pytest.mark.parametrize("restarted", [False, True])
    def test_between_two_looks(self, writer, rotations, restarted):
        """2, 5 and 6 rotations between two polls lose nothing, or a gap reports the files and times."""
        writer.write(3)
        follower = Follower(writer.log)
        found = drain(follower)
        (*_, newest) = EventLog(writer.log).read()
        for _ in range(rotations):
            writer.rotate()
            writer.write(2)
        if restarted:
            follower.close()
            follower = Follower(writer.log, after=newest.cursor)
        with follower:
            items = drain(follower)
        gaps = [item for item in items if isinstance(item, Gap)]
        found += [item for item in items if item not in gaps]
        missing = sorted(set(range(writer.count)) - set(found))

        assert found == sorted(set(found))
        assert len(missing) == 2 * max(0, rotations - 6)
        if not missing:
            assert gaps == []
        else:  # a file that was read to its end counts if that is not known any more
            count = rotations - 5 if restarted else rotations - 6
            assert [gap.files for gap in gaps] == [count]
            assert gaps[0].since <= gaps[0].until
            assert gaps[0].resumes == writer.log + ".5"

    def test_how_many_bytes(self, writer):
        """The gap for files that were deleted after a follower had seen them has their bytes."""
        for _ in range(5):
            writer.write(400, size=1000)
            writer.rotate()
        writer.write(1)
        with Follower(writer.log) as follower:
            items = follower.poll_items()
            sizes = [os.path.getsize(f"{writer.log}.{number}") for number in (4, 3)]
            for _ in range(3):
                writer.rotate()
                writer.write(1)
            items += [item for item in drain(follower) if isinstance(item, Gap)]
        gap = items[-1]

        assert (gap.files, gap.bytes) == (2, sum(sizes))


class TestOtherWriters:
    def test_late_lines(self, writer, monkeypatch):
        """Lines that a foreign writer still writes to the file that logrotate renamed are read, in order."""
        monkeypatch.setattr(following, "SETTLING_SECONDS", 60)
        write(writer.log, 0)
        with open(writer.log, "ab", buffering=0) as late, Follower(writer.log) as follower:
            found = drain(follower)
            os.rename(writer.log, writer.log + ".1")
            write(writer.log, 3)
            found += drain(follower)
            late.write(line(1))
            found += drain(follower)
            late.write(line(2))
            found += drain(follower)
            assert found == [0, 1, 2]

            monkeypatch.setattr(following, "SETTLING_SECONDS", 0)
            assert drain(follower) == [3]

    @pytest.mark.parametrize("begin", ["from the beginning", "at the end", "with a cursor"])
    @pytest.mark.parametrize("rotations", [1, 4])
    def test_added_to_a_file_that_was_read(self, writer, nobody_is_late, begin, rotations):
        """What somebody adds to a rotated file that was left is given once, and not again to who resumes."""
        writer.write(2)
        with open(writer.log, "ab", buffering=0) as late:
            after = {"from the beginning": None, "at the end": "end"}.get(begin)
            if begin == "with a cursor":
                after = next(EventLog(writer.log).read()).cursor
            with Follower(writer.log, after=after) as follower:
                found = drain(follower)
                for number in range(rotations):
                    writer.rotate()
                    writer.write(1)
                    found += drain(follower)
                    written = time.time()
                    settle(writer.log, written)
                    late.write(line(100 + number))
                    items = follower.poll_items()
                    found += numbers(items)
                    assert drain(follower) == []
                (newest,) = items
                writer.write(1)
                found += drain(follower)
            resumed = list(EventLog(writer.log).read(after=newest.cursor))

        expected = [0, 1] if begin == "from the beginning" else [1] if begin == "with a cursor" else []
        for number in range(rotations):
            expected += [2 + number, 100 + number]
        assert found == [*expected, 2 + rotations]
        assert numbers(resumed) == [2 + rotations]

    def test_added_while_nobody_followed(self, writer, nobody_is_late):
        """What was added to a file that was read before is a gap for who resumes, once."""
        writer.write(2)
        with open(writer.log, "ab", buffering=0) as late:
            writer.rotate()
            writer.write(2)
            *_, newest = EventLog(writer.log).read()
            settle(writer.log, time.time())
            late.write(line(100))
        writer.write(1)
        for resume in (
            lambda cursor: list(EventLog(writer.log).read(after=cursor)),
            lambda cursor: polled(writer.log, cursor),
        ):
            gap, event = resume(newest.cursor)
            assert isinstance(gap, Gap)
            assert (gap.files, gap.resumes) == (1, writer.log)
            assert "rotated file" in gap.reason
            assert event["n"] == 4
            assert resume(event.cursor) == []

    def test_a_copied_folder(self, writer, nobody_is_late, tmp_path):
        """In a copy of the folder, whose files are all new, a cursor still resumes without a gap."""
        writer.write(2)
        writer.rotate()
        writer.write(2)
        events = list(EventLog(writer.log).read())
        settle(writer.log, time.time())
        shutil.copytree(tmp_path, tmp_path.with_name("copied"))

        log = EventLog(tmp_path.with_name("copied") / "app.log")
        assert numbers(log.read(after=events[2].cursor)) == [3]

    def test_ours_are_not_waited_for(self, writer, monkeypatch):
        """After a rotation by our handler no writer is late: the next file is read immediately."""
        monkeypatch.setattr(following, "SETTLING_SECONDS", 60)
        monkeypatch.setattr(following, "OUR_SETTLING_SECONDS", 60)
        writer.write(1)
        with Follower(writer.log) as follower:
            found = drain(follower)
            for _ in range(3):
                writer.rotate()
                writer.write(1)
                found += drain(follower)

        assert found == [0, 1, 2, 3]

    def test_old_files_are_not_waited_for(self, writer, monkeypatch):
        """A backup that was last written to and renamed long ago is left immediately."""
        now = time.time
        monkeypatch.setattr(following, "SETTLING_SECONDS", 60)
        monkeypatch.setattr(time, "time", lambda: now() + 61)
        write(writer.log + ".1", 0)
        write(writer.log, 1)
        with Follower(writer.log) as follower:
            assert drain(follower) == [0, 1]


class TestTornLines:
    whole = '{"n": 1, "pad": "äöü €"}\n'.encode()

    @pytest.mark.parametrize("cut", range(1, len(whole)))
    def test_at_the_end_of_the_log(self, log, cut):
        """A line cut at any byte, also inside a character, is returned once, when it is complete."""
        write(log, 0)
        skipped = []
        with Follower(log, on_skip=skipped.append) as follower:
            found = drain(follower)
            append(log, self.whole[:cut])
            found += [*drain(follower), "half"]
            assert numbers(EventLog(log, on_skip=skipped.append).read()) == [0]
            assert numbers(EventLog(log, on_skip=skipped.append).last(2)) == [0]
            append(log, self.whole[cut:])
            found += drain(follower)

        assert found == [0, "half", 1]
        assert skipped == []

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("cut", [1, 18, 19, 24, len(whole) - 1])
    def test_at_the_end_of_a_backup(self, log, cut, packed):
        """A torn line at the end of a finished file is reported, not waited for, not joined to the next."""
        content = line(0) + self.whole[:cut]
        with open(log + ".1" + ".gz" * packed, "wb") as file:
            file.write(gzip.compress(content) if packed else content)
        write(log, 2)
        once, followed = [], []

        assert numbers(EventLog(log, on_skip=once.append).read()) == [0, 2]
        with Follower(log, on_skip=followed.append) as follower:
            assert drain(follower) == [0, 2]
        assert once == followed
        assert [(told.offset, told.reason, told.line) for told in once] == [
            (len(line(0)), "torn: the file ends in the middle of the line", self.whole[:cut])
        ]

    def test_in_a_file_that_was_live(self, log):
        """A half line in the log is waited for, and reported when the log has been rotated."""
        write(log, 0)
        append(log, b'{"n": 1')
        skipped = []
        with Follower(log, on_skip=skipped.append) as follower:
            assert (drain(follower), skipped) == ([0], [])
            os.rename(log, log + ".1")
            assert (drain(follower), skipped) == ([], [])
            write(log, 2)
            assert drain(follower) == [2]

        assert [told.line for told in skipped] == [b'{"n": 1']

    def test_newest_first(self, log):
        """Reading from the end reports torn lines of finished files too."""
        write(log + ".1", 0)
        append(log + ".1", b'{"n": 1')
        write(log, 2)
        skipped = []

        assert numbers(EventLog(log, on_skip=skipped.append).read(newest_first=True)) == [2, 0]
        assert [told.line for told in skipped] == [b'{"n": 1']

    def test_a_damaged_backup(self, log):
        """A damaged compressed backup gives its readable events, then a gap; its offset is reported."""
        packed = gzip.compress(b"".join(line(number, 50) for number in range(2000)))
        with open(log + ".1.gz", "wb") as file:
            file.write(packed[: len(packed) // 2])
        write(log, 2000)
        once, followed = [], []
        found = numbers(EventLog(log, on_skip=once.append).read())
        with Follower(log, on_skip=followed.append) as follower:
            *events, gap, last = drain(follower)

        assert [*events, last] == found
        assert isinstance(gap, Gap)
        assert (gap.files, gap.resumes) == (1, log)
        assert 0 < len(found) < 2000
        assert found == [*range(len(found) - 1), 2000]
        assert [told.reason.partition(":")[0] for told in once] == [
            "the compressed file is damaged from here on"
        ]
        assert once == followed


class TestTruncation:
    @pytest.mark.parametrize("count", [1, 4, 9])
    @pytest.mark.parametrize("restarted", [False, True])
    def test_smaller_equal_and_larger(self, log, count, restarted):
        """A truncated log that is now smaller, equal or larger is read from its new beginning."""
        write(log, *range(10, 14))
        (*_, newest) = EventLog(log).read()
        follower = Follower(log)
        drain(follower)
        os.truncate(log, 0)
        write(log, *range(20, 20 + count))
        if restarted:
            follower.close()
            follower = Follower(log, after=newest.cursor)
        with follower:
            gap, *found = drain(follower)

        assert found == list(range(20, 20 + count))
        assert isinstance(gap, Gap)

    @pytest.mark.parametrize("ending", ["", "x" * 300])
    @pytest.mark.parametrize("kept", [4, 5])
    def test_cut_and_grown_again(self, log, ending, kept):
        """A log that lost its last lines, and has grown past the follower, is noticed.

        It is begun again after a gap, or, if the new lines are as long as those in whose place they are, and
        end alike, it goes on after a gap in which they are.
        """

        def more(*found):
            with open(log, "a") as file:
                file.writelines(f'{{"n": {number}, "end": "{ending}"}}\n' for number in found)

        more(*range(10, 16))
        with Follower(log) as follower:
            drain(follower)
            with open(log, "rb+") as file:
                file.truncate(sum(len(file.readline()) for _ in range(kept)))
            more(*range(20, 29))
            gap, *found = drain(follower)

        assert isinstance(gap, Gap)
        begun_again = [*range(10, 10 + kept), *range(20, 29)]
        assert found == ([*range(26 - kept, 29)] if ending else begun_again)

    def test_how_much_was_unread(self, log):
        """The bytes of a truncated file that a follower had seen but not read are counted."""
        write(log, *range(9000), size=100)
        size = os.path.getsize(log)
        with Follower(log) as follower:
            read = numbers(follower.poll_items())
            os.truncate(log, 0)
            write(log, 9000)
            gap, *found = drain(follower)

        assert found == [9000]
        assert gap.bytes == size - sum(len(line(number, 100)) for number in read)
        assert gap.resumes == log

    def test_inode_reused(self, log):
        """A new log with the inode of the deleted one is read from its beginning, shorter and longer."""
        for count in (1, 9):
            write(log, *range(4))
            (*_, newest) = EventLog(log).read()
            os.rename(log, log + ".bak")
            os.truncate(log + ".bak", 0)
            os.rename(log + ".bak", log)
            write(log, *range(10, 10 + count))
            gap, *found = EventLog(log).read(after=newest.cursor)

            assert isinstance(gap, Gap)
            assert numbers(found) == list(range(10, 10 + count))
            os.unlink(log)

    @pytest.mark.parametrize("restarted", [False, True])
    def test_copies_that_were_not_finished(self, writer, nobody_is_late, restarted):
        """An unfinished copy of the log is not read again, and an empty copy is not newer."""
        log = writer.log
        writer.write(2)
        (*_, newest) = EventLog(log).read()
        follower = Follower(log)
        drain(follower)
        with open(log, "rb") as file:
            first = file.readline()
        for ending, part in ((".2", b""), (".1", first)):
            with open(log + ending, "wb") as file:
                file.write(part)
            later = os.stat(log).st_mtime_ns + 10**9
            os.utime(log + ending, ns=(later, later))
        os.truncate(log, 0)
        if restarted:
            follower.close()
            follower = Follower(log, after=newest.cursor)
        with follower:
            found = drain(follower)
            writer.write(1)
            found += drain(follower)

        assert [item for item in found if not isinstance(item, Gap)] == [2]


class TestCopiesOfOldFiles:
    def test_an_old_backup_in_the_place_of_the_log(self, log):
        """A backup that replaces the log and grows there is not read again."""
        write(log + ".1", 0, 1)
        write(log, 2)
        with Follower(log) as follower:
            found = drain(follower)
            shutil.copyfile(log + ".1", log + ".new")
            os.replace(log + ".new", log)
            found += drain(follower)
            write(log, 3)
            found += [item for item in drain(follower) if not isinstance(item, Gap)]

        assert found == [0, 1, 2, 3]

    @pytest.mark.parametrize("restored", [False, True])
    def test_a_backup_that_ends_in_its_first_line(self, log, restored):
        """A file of which only the banner was read is not confused with others that begin with it."""
        banner = b"#" * 10 + b"\n"

        def make(ending, rest):
            with open(log + ending + ".new", "wb") as file:
                file.write(banner + rest)
            os.replace(log + ending + ".new", log + ending)

        make(".2", line(0))
        make(".1", line(1)[:9])
        with Follower(log) as follower:
            assert drain(follower) == [0]
            if restored:
                make(".2", line(0))
                make(".1", line(1)[:9])
                assert drain(follower) == []
            for ending in (".1", ".2"):
                os.unlink(log + ending)
            make(".2", line(2))
            make(".1", line(3))
            found = drain(follower)

        assert [item for item in found if not isinstance(item, Gap)] == [2, 3]

    @pytest.mark.parametrize("begin", [None, "end"])
    def test_restored_with_the_inode_of_another_file(self, log, begin):
        """An older backup whose copy has got the inode of a shorter one that was read has no late lines."""
        banner = b"#" * 1500 + b"\n"
        older, newer = banner + line(0) + line(1) + line(2), banner + line(3)
        for ending, data in ((".2", older), (".1", newer), ("", banner + line(4))):
            with open(log + ending, "wb") as file:
                file.write(data)
        with Follower(log, after=begin) as follower:
            assert drain(follower) == ([] if begin else [0, 1, 2, 3, 4])
            os.rename(log + ".2", log + ".old")
            os.rename(log + ".1", log + ".2")
            with open(log + ".2", "r+b") as file:
                file.write(older)
            with open(log + ".1", "wb") as file:
                file.write(newer)
            assert drain(follower) == []
            write(log, 5)
            assert drain(follower) == [5]

    def test_truncated_after_its_first_line(self, log):
        """A deleted log of which only the banner was read is not continued in an old backup."""
        banner = b"#" * 10 + b"\n"
        for name, data in ((log + ".1", banner + line(0)), (log, banner)):
            with open(name, "wb") as file:
                file.write(data)
        with Follower(log) as follower:
            assert drain(follower) == [0]
            os.truncate(log, 0)
            write(log, 1)
            gap, *found = drain(follower)

        assert isinstance(gap, Gap)
        assert found == [1]

    def test_as_long_as_a_compressed_one_and_alike_at_the_beginning(self, log):
        """A new log with the banner and the length of a compressed backup is not confused with it."""
        banner = b"#" * 1500 + b"\n"
        with gzip.open(log + ".2.gz", "wb") as file:
            file.write(banner + line(0))
        with open(log, "wb") as file:
            file.write(banner + line(1))
        with Follower(log) as follower:
            found = drain(follower)
            os.unlink(log)
            with open(log, "wb") as file:
                file.write(banner + line(2))
            found += drain(follower)

        assert [item for item in found if not isinstance(item, Gap)] == [0, 1, 2]


def test_everything_is_closed(writer):
    """A follower that another thread closes at any point leaves no file open."""
    writer.write(2000, size=500)
    for _ in range(3):
        writer.rotate()
        writer.write(10)
    writer.close()
    follower = Follower(writer.log)
    follower.poll_items()
    thread = threading.Thread(target=follower.close)
    thread.start()
    thread.join()

    assert open_files(writer.log) == 0
    assert follower.poll_items() is None


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)
