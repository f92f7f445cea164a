"""Pages of a log, read in steps."""

from __future__ import annotations

import gzip
import json
import os

import pytest

from chora_logging.eventlog import EventLog
from chora_logging.eventlog.rotated.file import LONGEST_LINE_BYTES
from chora_logging.eventlog.selection import Selection
from tests.eventlog.writing import Writer, numbers, open_files, write


def run(steps):
    """Return the page that the steps give, and the number of steps."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1


def listed(path, *, limit=1000, **options):
    """Return the field `n` of all events, page by page, where each page reads as little as it can."""
    found, after, more = [], None, True
    while more:
        page, _ = run(EventLog(path).page(Selection(), after=after, limit=limit, budget=1, **options))
        assert page.gap is None
        found += numbers(page.events)
        after, more = page.next, page.more
    return found


@pytest.mark.parametrize("newest_first", [False, True])
class TestSteps:
    def test_a_step_reads_a_block(self, tmp_path, newest_first):
        """A search through a large log takes a step for each block, so that other requests can run."""
        write(tmp_path / "log", *range(2000), size=1000)

        page, steps = run(
            EventLog(tmp_path / "log").page(
                Selection(where={"n": -1}), limit=10, budget=10**9, newest_first=newest_first
            )
        )

        assert (page.events, page.more) == ([], False)
        assert steps >= 7

    def test_leaving_closes_the_files(self, tmp_path, newest_first):
        """Steps that are not run to their end leave no file open when they are closed."""
        write(tmp_path / "log", *range(2000), size=1000)
        steps = EventLog(tmp_path / "log").page(
            Selection(where={"n": -1}), limit=10, budget=10**9, newest_first=newest_first
        )
        next(steps)
        steps.close()

        assert open_files(tmp_path / "log") == 0

    def test_backups_with_names_of_their_own(self, tmp_path, newest_first):
        """The backups of a handler with a namer are on the pages too."""

        def namer(name):
            return name + ".old"

        writer = Writer(tmp_path / "log")
        writer.handler.namer = namer
        writer.write(2)
        writer.rotate()
        writer.write(1)
        writer.close()
        log = EventLog(tmp_path / "log", namer=namer)

        page, _ = run(log.page(Selection(), limit=10, budget=10**9, newest_first=newest_first))

        assert sorted(numbers(page.events)) == [0, 1, 2]
        assert len(log.state()) == 2

    def test_a_file_that_goes_while_it_is_read_is_a_gap(self, tmp_path, newest_first):
        """The page of a log that is overwritten between two steps has a gap."""
        write(tmp_path / "log", *range(2000), size=1000)
        steps = EventLog(tmp_path / "log").page(
            Selection(where={"n": -1}), limit=10, budget=10**9, newest_first=newest_first
        )
        next(steps)
        os.truncate(tmp_path / "log", 0)

        page, _ = run(steps)

        assert page.gap.bytes > 0


@pytest.mark.parametrize("newest_first", [False, True])
class TestWherePagesEnd:
    @pytest.mark.parametrize("limit", [1, 7, 1000])
    @pytest.mark.parametrize("before", ["", " ", "\0"], ids=["nothing", "a space", "a zero"])
    def test_on_a_line_with_several_events(self, tmp_path, newest_first, before, limit):
        """A page that ends on a line with several events repeats and omits none."""
        events = [json.dumps({"n": number, "pad": "x" * 20_000}) for number in range(120)]
        lines = ["".join(events[at : at + 3]) for at in range(0, len(events), 3)]
        (tmp_path / "log").write_text("".join(f"{before}{line}\n" for line in lines))

        found = listed(tmp_path / "log", limit=limit, newest_first=newest_first)

        assert found == sorted(range(120), reverse=newest_first)

    def test_on_a_blank_line(self, tmp_path, newest_first):
        """The page after one that ends on one of many blank lines begins with the event before them."""
        (tmp_path / "log").write_bytes(b'{"n": 0}\n' + b"\n" * 300_000 + b'{"n": 1}\n')

        assert listed(tmp_path / "log", newest_first=newest_first) == sorted(range(2), reverse=newest_first)

    def test_on_a_line_that_is_too_long(self, tmp_path, newest_first):
        """A page that ends on a line that is too long to be read omits no other event."""
        write(tmp_path / "log", 0, 1)
        with open(tmp_path / "log", "ab") as file:
            file.truncate(file.tell() + LONGEST_LINE_BYTES + 1)
            file.write(b"\n")
        write(tmp_path / "log", 2, 3)

        assert listed(tmp_path / "log", newest_first=newest_first) == sorted(range(4), reverse=newest_first)


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
@pytest.mark.parametrize("newest_first", [False, True])
def test_events_without_a_level_are_counted_once(tmp_path, limit, newest_first):
    """An event that the filter by level passed over is counted on one page, whatever their size."""
    path = tmp_path / "log"
    events = ({"n": n} if n % 3 else {"n": n, "level": "INFO"} for n in range(20))
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    after, more, counted = None, True, 0
    while more:
        selection = Selection(level="INFO")
        page, _ = run(
            EventLog(path).page(selection, after=after, limit=limit, budget=10**6, newest_first=newest_first)
        )
        after, more = page.next, page.more
        counted += page.unreadable.get("level", 0)

    assert counted == 13


def walk(log, newest_first, limit, budget=10**6):
    """Return all pages of *log*."""
    pages, after = [], None
    while not pages or pages[-1].more:
        options = {"after": after, "limit": limit, "budget": budget, "newest_first": newest_first}
        pages.append(run(log.page(Selection(), **options))[0])
        after = pages[-1].next
    return pages


@pytest.mark.parametrize("budget", [1, 10**6])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("newest_first", [False, True])
class TestWhatIsLeftInBackups:
    def test_a_torn_line_is_counted_once(self, tmp_path, newest_first, limit, budget):
        """The line in whose middle a backup ends is counted on one page, also if the backup is packed."""
        (tmp_path / "log.3").write_bytes(b'{"n": 0}\n{"n": 1}\n{"n"')
        (tmp_path / "log.2.gz").write_bytes(gzip.compress(b'{"n": 2}\n{"n": 3}\n{"n"'))
        (tmp_path / "log.1").write_bytes(b'{"torn')
        (tmp_path / "log").write_bytes(b'{"n": 4}\n')
        pages = walk(EventLog(tmp_path / "log"), newest_first, limit, budget)

        found = [n for page in pages for n in numbers(page.events)]
        assert found == sorted(range(5), reverse=newest_first)
        assert sum(page.skipped for page in pages) == 3

    @pytest.mark.parametrize("is_live_there", [False, True])
    def test_a_damaged_backup_is_one_gap(self, tmp_path, newest_first, limit, budget, is_live_there):
        """What cannot be unpacked is a gap on one page, whichever way they go."""
        lines = b"".join(b'{"n": %d, "pad": "%s"}\n' % (n, os.urandom(9).hex().encode()) for n in range(20))
        packed = gzip.compress(lines)
        (tmp_path / "log.1.gz").write_bytes(packed[: len(packed) // 2])
        if is_live_there:
            (tmp_path / "log").write_bytes(b'{"n": 20}\n{"n": 21}\n')
        pages = walk(EventLog(tmp_path / "log"), newest_first, limit, budget)

        found = [n for page in pages for n in numbers(page.events)]
        assert found == sorted(found, reverse=newest_first)
        assert 1 < len(found) < 20
        (gap,) = (page.gap for page in pages if page.gap is not None)
        assert "damaged" in gap.reason
        assert sum(page.skipped for page in pages) == 1

    def test_a_cut_backup_is_one_gap(self, tmp_path, newest_first, limit, budget):
        """The end of a backup that was cut off is a gap on one page, also if they end inside the backup."""
        writer = Writer(tmp_path / "log", keep=3)
        for _ in range(2):
            writer.write(4)
            writer.rotate()
        writer.write(4)
        writer.close()
        with open(tmp_path / "log.1", "rb+") as file:
            file.truncate(sum(len(file.readline()) for _ in range(3)))
        pages = walk(EventLog(tmp_path / "log"), newest_first, limit, budget)

        found = [n for page in pages for n in numbers(page.events)]
        assert found == sorted({*range(12)} - {7}, reverse=newest_first)
        assert [page.gap.reason for page in pages if page.gap] == ["the end of a backup was cut off"]


@pytest.mark.parametrize("limit", [1, 2, 100])
@pytest.mark.parametrize("newest_first", [False, True])
class TestAnUnendedLine:
    def test_its_length_is_said_once(self, tmp_path, newest_first, limit):
        """The page that has the end of the log says how long the line is that is not ended there."""
        (tmp_path / "log.1").write_bytes(b'{"n": 0}\n')
        (tmp_path / "log").write_bytes(b'{"n": 1}\n{"n": 2}\n{"n": 3}')
        log = EventLog(tmp_path / "log")
        pages = walk(log, newest_first, limit)

        assert [n for page in pages for n in numbers(page.events)] == sorted(range(3), reverse=newest_first)
        at_end = 0 if newest_first else -1
        assert pages[at_end].unended_bytes == len('{"n": 3}')
        assert sum(page.unended_bytes for page in pages) == len('{"n": 3}')
        assert not any(page.skipped for page in pages)

    def test_once_it_is_ended(self, tmp_path, newest_first, limit):
        """The cursor is before it, so that the next page has it when it is ended."""
        (tmp_path / "log").write_bytes(b'{"n": 1}\n{"n": ')
        log = EventLog(tmp_path / "log")
        (page,) = walk(log, newest_first, limit)
        with open(tmp_path / "log", "ab") as file:
            file.write(b"2}\n ")
        after = page.live if newest_first else page.next
        page, _ = run(log.page(Selection(), after=after, limit=limit, budget=1000))

        assert (numbers(page.events), page.unended_bytes) == ([2], 0)


class TestIncluding:
    @pytest.mark.parametrize("limit", [1, 3, 100])
    def test_the_event_at_the_cursor(self, tmp_path, limit):
        """Newest first, a page may begin with the event whose cursor it is given, in whatever file."""
        writer = Writer(tmp_path / "log")
        for _ in range(3):
            writer.write(2)
            writer.rotate()
        writer.close()
        (tmp_path / "log").write_bytes(b'{"n": 6}{"n": 7}\n\n{"n": 8}\n')
        log = EventLog(tmp_path / "log")

        for event in log.read():
            options = {"after": event.cursor, "limit": limit, "budget": 10**6, "newest_first": True}
            page, _ = run(log.page(Selection(), including=True, **options))
            number = event["n"]
            assert numbers(page.events) == list(range(number, -1, -1))[:limit]


class TestEach:
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_events_are_given_one_by_one(self, tmp_path, newest_first):
        """A page gives its events to a function instead of holding them, and ends when that says so."""
        write(tmp_path / "log", *range(5))
        log, found, after = EventLog(tmp_path / "log"), [], None
        while True:
            given = []

            def take(event, given=given):
                given.append(event["n"])
                return len(given) < 2

            options = {"limit": 100, "budget": 10**6, "newest_first": newest_first, "each": take}
            page, _ = run(log.page(Selection(), after=after, **options))
            assert page.events == []
            found.append(given)
            after = page.next
            if not page.more:
                break

        assert found == ([[4, 3], [2, 1], [0]] if newest_first else [[0, 1], [2, 3], [4]])
