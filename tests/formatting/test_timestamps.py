"""The one time of a line."""

from __future__ import annotations

import datetime
import json
import threading

import pytest

from chora_logging.formatting.formatter import EventFormatter
from tests.records import line_of, record_of


class TestTimestamp:
    """The one time of a line."""

    @pytest.mark.parametrize(
        ("created", "text"),
        [
            (0.0, "1970-01-01T00:00:00.000000Z"),
            (1500000000.0, "2017-07-14T02:40:00.000000Z"),
            (1500000000.5, "2017-07-14T02:40:00.500000Z"),
            (1500000000.9999998, "2017-07-14T02:40:01.000000Z"),
            (1500000000.000001, "2017-07-14T02:40:00.000001Z"),
            (-0.5, "1969-12-31T23:59:59.500000Z"),
            (-62135596800.0, "0001-01-01T00:00:00.000000Z"),
            (253402300799.0, "9999-12-31T23:59:59.000000Z"),
        ],
    )
    def test_is_utc_with_microseconds(self, created, text):
        """Fixed width, rounded to the microsecond, with `Z`."""
        record = record_of()
        record.created = created

        assert line_of(record)["timestamp"] == text

    @pytest.mark.parametrize("created", [float("nan"), float("inf"), 1e300, -1e18, 253402300800, None, "now"])
    @pytest.mark.parametrize("options", [{}, {"timestamp_format": "epoch"}, {"timestamp_format": "local"}])
    def test_impossible_time_is_now_and_kept(self, created, options):
        """A record with an invalid time gets the current one, and its own as a field."""
        record = record_of()
        record.created = created
        before = datetime.datetime.now(datetime.timezone.utc)

        line = json.loads(EventFormatter(**options).format(record))

        written = datetime.datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00"))
        assert abs(written - before) < datetime.timedelta(minutes=1)
        assert "created" in line

    def test_sorts_as_text(self):
        """Lines in the order of time are also in the order of their timestamps as text."""
        formatter, stamps = EventFormatter(), []
        for created in (1e9, 1e9 + 1e-6, 1e9 + 0.1, 1e9 + 1, 1e9 + 10, 1.5e9):
            record = record_of()
            record.created = created
            stamps.append(json.loads(formatter.format(record))["timestamp"])

        assert stamps == sorted(stamps)
        assert {len(stamp) for stamp in stamps} == {27}

    def test_threads_do_not_mix_seconds(self):
        """The cached second is right in each of many threads that format different seconds."""
        formatter, wrong = EventFormatter(), []

        def write(second):
            record = record_of()
            record.created = float(second)
            expected = f"00:00:{second:02d}.000000Z"
            wrong.extend(second for _ in range(2000) if expected not in formatter.format(record))

        threads = [threading.Thread(target=write, args=(second,)) for second in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert wrong == []
