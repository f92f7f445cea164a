"""Following several logs at once, with one cursor."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from chora_logging.eventlog import EventLog, Gap
from chora_logging.eventlog import merged_subscription as subscriptions
from chora_logging.eventlog.merged_subscription import GapIn, MergedSubscription
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.subscription import batches, items_sync
from tests.eventlog.writing import Writer, open_files, threads_of, until, write


def all_of(meaning):
    return Selection(meaning=meaning)


@pytest.fixture
def logs(tmp_path):
    return {name: EventLog(tmp_path / name) for name in ("a", "b")}


def taken(items, count):
    """Return the next *count* items of an endless iterator, which is closed."""
    with contextlib.closing(items):
        return [next(items) for _ in range(count)]


class TestHistories:
    @pytest.mark.parametrize("seed", range(5))
    def test_each_event_once(self, logs, tmp_path, seed, monkeypatch):
        """Over rotation of either log, and readers that end anywhere, each event comes once and in order."""
        monkeypatch.setattr(subscriptions, "MOST_ITEMS", 3)
        chance = random.Random(seed)
        writers = {name: Writer(tmp_path / name, keep=20) for name in logs}
        written = read = 0
        after, found = None, []
        for _ in range(25):
            writer = writers[chance.choice("ab")]
            count = chance.randint(1, 4)
            writer.write(count)
            written += count
            if chance.random() < 0.4:
                writer.rotate()
            if count := chance.randint(0, written - read):
                found += taken(items_sync(MergedSubscription(logs, all_of, after)), count)
                read, after = read + count, found[-1].cursor
        found += taken(items_sync(MergedSubscription(logs, all_of, after)), written - read)

        for name, writer in writers.items():
            writer.close()
            listed = [item["event"]["n"] for item in found if item["log"] == name]
            assert listed == list(range(len(listed)))
        assert len(found) == written


class TestGaps:
    def test_of_one_log(self, logs, tmp_path):
        """What was deleted of one log is a gap of that log; the other is not affected."""
        write(tmp_path / "a", 1, 2)
        write(tmp_path / "b", 1)
        first = taken(items_sync(MergedSubscription(logs, all_of, None)), 3)
        (tmp_path / "a").unlink()
        write(tmp_path / "a", 7)
        write(tmp_path / "b", 2)

        found = taken(items_sync(MergedSubscription(logs, all_of, first[-1].cursor)), 3)

        (gap,) = (item for item in found if isinstance(item, Gap))
        assert isinstance(gap, GapIn)
        assert gap.log == "a"
        events = [(item["log"], item["event"]["n"]) for item in found if item is not gap]
        assert sorted(events) == [("a", 7), ("b", 2)]


class TestEnd:
    def test_closing(self, logs, tmp_path):
        """It leaves no thread and no open file."""
        write(tmp_path / "a", 1)
        taken(items_sync(MergedSubscription(logs, all_of, None)), 1)

        until(lambda: not any(threads_of(log.path) for log in logs.values()))
        assert open_files(tmp_path) == 0

    def test_a_task_waits_for_any_of_them(self, logs, tmp_path):
        """What is written to any log ends the wait of a task."""

        async def scenario():
            found = []
            items = batches(MergedSubscription(logs, all_of, "end"))
            for number, name in enumerate("abba"):
                waiting = asyncio.ensure_future(anext(items))
                # The end is where it begins to follow.
                while not found and not all(threads_of(log.path) for log in logs.values()):
                    await asyncio.sleep(0.01)
                write(tmp_path / name, number)
                found += [(item["log"], item["event"]["n"]) for item in await waiting]
            await items.aclose()
            return found

        assert asyncio.run(asyncio.wait_for(scenario(), 60)) == [("a", 0), ("b", 1), ("b", 2), ("a", 3)]
