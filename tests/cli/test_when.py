"""Times as people write them, and the ranges between them."""

from __future__ import annotations

import math
import time
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.cli.when import time_range

NOW = datetime(2026, 3, 30, 9, 30, 15)


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch):
    """The local time is that of a place whose clocks were changed the day before."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def read(text):
    """The local time that *text* is."""
    since, _ = time_range(text, None, NOW)
    return datetime.fromtimestamp(since)


class TestForms:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("15m", "2026-03-30T09:15:15"),
            ("1h30m", "2026-03-30T08:00:15"),
            ("1h 30m", "2026-03-30T08:00:15"),
            ("1.5h", "2026-03-30T08:00:15"),
            ("90 minutes ago", "2026-03-30T08:00:15"),
            ("-2h", "2026-03-30T07:30:15"),
            ("30s", "2026-03-30T09:29:45"),
            ("1 day", "2026-03-29T09:30:15"),
            ("2D", "2026-03-28T08:30:15"),
            ("1w", "2026-03-23T08:30:15"),
            ("now", "2026-03-30T09:30:15"),
            ("today", "2026-03-30T00:00:00"),
            ("yesterday", "2026-03-29T00:00:00"),
            ("Yesterday 20:00", "2026-03-29T20:00:00"),
            ("today 8:00", "2026-03-30T08:00:00"),
            ("9:30", "2026-03-30T09:30:00"),
            ("09:30:15.5", "2026-03-29T09:30:15.500000"),
            ("20:00", "2026-03-29T20:00:00"),
            ("2026-03-01", "2026-03-01T00:00:00"),
            ("2026-03-01 12:00", "2026-03-01T12:00:00"),
            ("2026/03/01 12:00:05", "2026-03-01T12:00:05"),
            (" 2026-03-01T12:00 ", "2026-03-01T12:00:00"),
            ("2026-03-01T12:00:00Z", "2026-03-01T13:00:00"),
            ("2026-03-01T12:00:00,5+0200", "2026-03-01T11:00:00.500000"),
        ],
    )
    def test_local_times(self, text, expected):
        """Each form is understood; days and times of day are local, and a day has as many hours as it has."""
        assert read(text).isoformat() == expected

    @pytest.mark.parametrize(
        "text", ["1774855815", "1774855815.0", "@1774855815", "1774855815000", "1774855815000000"]
    )
    def test_unix_times(self, text):
        """A Unix time is in seconds, milliseconds or microseconds, which its size tells."""
        assert read(text) == NOW

    def test_a_small_unix_time(self):
        """With @ a small number is a Unix time too."""
        assert time_range("@86400", None, NOW) == (86400, None)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "soon", "5", "15", "1x", "h", "1h foo", "25:00", "12:60", "1:2", "yesterday noon"),
            *("tomorrow", "2026-13-01", "10001-01-01", "9" * 21, "-1", "2026-03-01T", "\x1b[31m", "١h"),
        ],
    )
    def test_what_is_none(self, text):
        """Anything else is refused, and the error says which argument it was."""
        for number, name in enumerate(("since", "until")):
            with pytest.raises(ValueError, match=f"^{name}$"):
                time_range(*[(text, None), (None, text)][number], NOW)

    @given(st.text(alphabet="0123456789 :.-+TZhmsdwago@/yesterday", max_size=24) | st.text(max_size=24))
    def test_any_text(self, text):
        """Any text is a time or refused."""
        try:
            since, _ = time_range(text, None, NOW)
        except ValueError:
            return
        assert math.isfinite(since)

    def test_far_ago(self):
        """An age beyond all years is the earliest time."""
        assert time_range("999999999w", None, NOW)[0] < datetime(3, 1, 1, tzinfo=timezone.utc).timestamp()


class TestRanges:
    @pytest.mark.parametrize(
        ("since", "until", "expected"),
        [
            ("20:00", "22:00", ("2026-03-29T20:00:00", "2026-03-29T22:00:00")),
            ("22:00", "2:00", ("2026-03-29T22:00:00", "2026-03-30T02:00:00")),
            ("9:00", "10:00", ("2026-03-30T09:00:00", "2026-03-30T10:00:00")),
            ("2026-03-01 12:00", "13:00", ("2026-03-01T12:00:00", "2026-03-01T13:00:00")),
            ("yesterday", "today", ("2026-03-29T00:00:00", "2026-03-30T00:00:00")),
            ("2h", "1h", ("2026-03-30T07:30:15", "2026-03-30T08:30:15")),
        ],
    )
    def test_times_of_day(self, since, until, expected):
        """A time of day at the end is the first one after the beginning."""
        found = time_range(since, until, NOW)

        assert tuple(datetime.fromtimestamp(seconds).isoformat() for seconds in found) == expected

    def test_one_end(self):
        """An end alone is the last such time that has passed."""
        since, until = time_range(None, "20:00", NOW)

        assert since is None
        assert datetime.fromtimestamp(until) == datetime(2026, 3, 29, 20)


def test_at_the_command_line(tmp_path, call):
    """The options take these forms."""
    log = tmp_path / "app.log"
    now = datetime.now(timezone.utc).isoformat()
    log.write_text(f'{{"timestamp": "{now}", "n": 1}}\n{{"timestamp": "2001-09-09T01:46:40Z", "n": 2}}\n')

    assert call("query", log, "--count", "--since", "1h 30m", "--until", "now")[1] == "1\n"
    assert call("query", log, "--count", "--until", "1000000001")[1] == "1\n"
    assert call("query", log, "--count", "--since", "1000000000000")[1] == "2\n"
    assert call("query", log, "--count", "--since", "2001-09-09", "--until", "2001/09/11")[1] == "1\n"
