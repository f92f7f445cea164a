"""Pages of several logs, merged by time."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chora_logging.errors import CursorError
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.several import decode, encode, read_merged
from tests.eventlog.test_paging import run
from tests.web.memory_source import MemorySource

START = 1_700_000_000


def source(*seconds):
    """A source of events at these seconds; None is an event without a time."""
    return MemorySource(*({"n": number, **at(second)} for number, second in enumerate(seconds)))


def at(second):
    return {} if second is None else {"timestamp": START + second}


def pages(logs, **options):
    """Return every page, as pairs of log and number, with the cursor of the end."""
    found, after = [], None
    while True:
        asked = {"limit": 100, "budget": 1 << 20, **options}
        page, _ = run(read_merged(logs, lambda meaning: Selection(meaning=meaning), after=after, **asked))
        found.append([(item.log, item.event["n"]) for item in page.found])
        after = page.next
        if not page.more:
            return found


class TestOrder:
    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_by_time(self, limit, newest_first):
        """Events of several logs come in the order of time, on pages of any size."""
        logs = {"a": source(0, 2, 4), "b": source(1, 3, 5, 6), "c": source()}
        expected = [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2), ("b", 3)]

        found = pages(logs, limit=limit, newest_first=newest_first)

        assert [item for page in found for item in page] == expected[:: -1 if newest_first else 1]
        assert all(len(page) == limit for page in found[:-1])

    def test_without_a_time(self):
        """An event without a time comes behind the one before it in its log."""
        logs = {"a": source(0, None, 9), "b": source(5, 6)}
        expected = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("a", 2)]

        assert pages(logs) == [expected]
        assert pages(logs, newest_first=True) == [expected[::-1]]

    times = st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=8)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(times, min_size=1, max_size=3), st.integers(1, 5), st.booleans(), st.booleans())
    def test_each_event_once(self, seconds, limit, newest_first, in_order):
        """Whatever the times are, each event comes once, in the order of its log."""
        logs = {str(number): source(*each) for number, each in enumerate(seconds)}
        found = pages(logs, limit=limit, newest_first=newest_first, in_order=in_order)

        for name, log in logs.items():
            listed = [n for page in found for log_name, n in page if log_name == name]
            assert listed == list(range(len(log.events)))[:: -1 if newest_first else 1]

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_where_a_log_has_not_been_read_further(self, tmp_path, newest_first):
        """A page ends before an event that may come after one that has not been read."""
        with (tmp_path / "a").open("w") as a, (tmp_path / "b").open("w") as b:
            for number in range(300):
                a.write(f'{{"n": {number}, "timestamp": {START + number}, "pad": "{"x" * 1000}"}}\n')
                b.write(f'{{"n": {number}, "timestamp": {START + number}.5}}\n')
        logs = {name: EventLog(tmp_path / name) for name in "ab"}

        found = pages(logs, limit=1000, budget=1, newest_first=newest_first)

        listed = [item for page in found for item in page]
        expected = [(name, number) for number in range(300) for name in "ab"]
        assert listed == expected[:: -1 if newest_first else 1]
        assert len(found) > 1


class TestPage:
    def test_what_comes_between_two_pages(self):
        """Events that are written between two pages, newest first, are on none of them, but after `live`."""
        logs = {"a": source(0, 1, 2), "b": source(0), "c": source()}
        asked = {"limit": 2, "budget": 1000, "newest_first": True}
        first, _ = run(read_merged(logs, lambda meaning: Selection(), **asked))
        for log in logs.values():
            log.append({"n": 9, **at(9)})
        second, _ = run(read_merged(logs, lambda meaning: Selection(), after=first.next, **asked))
        newer, _ = run(read_merged(logs, lambda meaning: Selection(), after=first.live, limit=9, budget=1))

        assert [(item.log, item.event["n"]) for item in first.found] == [("a", 2), ("a", 1)]
        assert [(item.log, item.event["n"]) for item in second.found] == [("a", 0), ("b", 0)]
        assert [item.log for item in newer.found] == ["a", "b", "c"]

    def test_how_far_each_log_has_been_given(self):
        """A page says of each log with further events up to which time it has been given."""
        logs = {"a": source(0, 1, 5), "b": source(2, 3), "c": source(0)}
        page, _ = run(read_merged(logs, lambda meaning: Selection(), limit=3, budget=1000))

        assert page.reached == {"a": START + 5, "b": START + 2}


class TestCursors:
    def test_of_the_same_logs(self):
        """A cursor is valid for the logs that it comes from, in their order."""
        logs = {"a": source(), "b": source()}
        cursors = {"a": "m.1", "b": ""}

        assert decode(encode(cursors), logs) == cursors

    @pytest.mark.parametrize(
        "cursor", ["", "m.1", "~", "00000000~m.1~m.1", encode({"a": "m.1", "b": "?"}), encode({"a": "m.1"})]
    )
    def test_of_others(self, cursor):
        """What is no cursor of them is refused."""
        logs = {"a": source(), "b": source()}
        with pytest.raises(CursorError):
            decode(cursor, logs)
        with pytest.raises(CursorError):
            decode(encode({"b": "m.1", "a": "m.1"}), logs)
