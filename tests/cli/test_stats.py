"""`chora-logging stats`: right numbers, in bounded memory, on any screen."""

from __future__ import annotations

import gzip
import json
import math
import os
import statistics
import tracemalloc
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.cli.stats.tally import Durations, Tally
from chora_logging.cli.stats.timeline import Timeline, columns_for, plot
from tests.cli.calling import HOSTILE, assert_tame, write_events

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def event_at(seconds, event="task_started", **fields):
    timestamp = (NOON + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return {"timestamp": timestamp, "event": event, **fields}


@pytest.fixture
def log(tmp_path):
    """A log of two files: 60 events in an hour, of which 12 failed."""
    events = [event_at(60 * n, level="INFO", status="running") for n in range(40)]
    for n in range(20):
        failed = n < 12
        events.append(
            event_at(
                2400 + 60 * n,
                "job_failed" if failed else "job_completed",
                level="ERROR" if failed else "INFO",
                status="failed" if failed else "completed",
                duration_ms=n + 1,
                trace_id=f"trace-{n}",
            )
        )
    write_events(tmp_path / "app.log.1", *events[:25])
    return write_events(tmp_path / "app.log", *events[25:])


class TestNumbers:
    def test_all_that_is_counted(self, log, call):
        """Events, errors, types, statuses and levels are counted over all files."""
        found = call.json("stats", "--log", log, "--json")

        assert (found["events"], found["errors"]) == (60, 12)
        assert [(group["type"], group["events"], group["errors"]) for group in found["types"]["found"]] == [
            ("task_started", 40, 0),
            ("job_failed", 12, 12),
            ("job_completed", 8, 0),
        ]
        assert {group["status"]: group["events"] for group in found["statuses"]["found"]} == {
            "running": 40,
            "failed": 12,
            "completed": 8,
        }
        assert {group["level"]: group["events"] for group in found["levels"]["found"]} == {
            "INFO": 48,
            "ERROR": 12,
        }

    def test_durations(self, log, call):
        """Percentiles are those of the nearest rank, of each type and of all events that have a duration."""
        found = call.json("stats", "--log", log, "--json")
        failed = next(group for group in found["types"]["found"] if group["type"] == "job_failed")

        assert found["duration_ms"] == {"count": 20, "p50": 10, "p95": 19, "p99": 20, "max": 20}
        assert failed["duration_ms"] == {"count": 12, "p50": 6, "p95": 12, "p99": 12, "max": 12}

    def test_the_log_itself(self, log, call):
        """The result has the number and size of the files of a log, and its time span."""
        [extent] = call.json("stats", "--log", log, "--json")["logs"]

        assert extent["files"] == 2
        assert extent["bytes"] == sum(os.path.getsize(f"{log}{end}") for end in ("", ".1"))
        assert (extent["first"], extent["last"]) == (
            "2026-03-01T12:00:00.000000Z",
            "2026-03-01T12:59:00.000000Z",
        )
        assert extent["path"] == str(log)

    def test_the_slowest(self, log, call):
        """The slowest events are kept whole, the slowest first."""
        found = call.json("stats", "--log", log, "--json")

        assert [event["duration_ms"] for event in found["slowest"]] == [20, 19, 18, 17, 16]
        assert found["slowest"][0]["trace_id"] == "trace-19"

    def test_the_timeline(self, log, call):
        """The events are in consecutive equal intervals; errors are counted separately."""
        timeline = call.json("stats", "--log", log, "--json")["timeline"]

        assert timeline["step_seconds"] == 30
        assert timeline["start"] == "2026-03-01T12:00:00.000000Z"
        assert timeline["events"] == [1, 0] * 59 + [1]
        assert sum(timeline["errors"]) == 12

    def test_filters(self, log, call):
        """Only the events that match the filters are counted."""
        found = call.json("stats", "--log", log, "--level", "ERROR", "--where", "duration_ms=3", "--json")

        assert (found["events"], found["errors"]) == (1, 1)

    def test_several_logs(self, log, tmp_path, call):
        """Several logs are counted together and separately, with compressed backups."""
        other = tmp_path / "events.jsonl"
        write_events(
            other, {"timestamp": "2026-03-01T11:00:00Z", "event_type": "gateway.x", "status": "error"}
        )
        with gzip.open(f"{other}.1.gz", "wb") as file:
            file.write(b'{"event_type": "gateway.x", "status": "success"}\n')
        found = call.json("stats", "--log", log, "--log", other, "--json")

        assert [(extent["name"], extent["events"], extent["files"]) for extent in found["logs"]] == [
            ("app", 60, 2),
            ("events", 2, 2),
        ]
        assert (found["events"], found["errors"]) == (62, 13)
        assert found["first"] == "2026-03-01T11:00:00.000000Z"

    def test_what_has_no_type_is_counted_by_its_logger(self, tmp_path, call):
        """Ordinary records without an event are counted by their logger."""
        log = write_events(tmp_path / "app.log", {"logger": "httpx"}, {"logger": "httpx"}, {"message": "x"})
        found = call.json("stats", "--log", log, "--json")["types"]["found"]

        assert [(group["type"], group["events"]) for group in found] == [("httpx", 2), (None, 1)]

    @pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 1e300, -1e300, "soon"])
    def test_impossible_times(self, tmp_path, call, time):
        """A time that cannot be shown is ignored; the event is counted."""
        log = write_events(tmp_path / "app.log", {"timestamp": time, "event": "a"})

        assert call.json("stats", "--log", log, "--json")["timeline"] is None
        assert call("stats", "--log", log)[0] == 0


class TestEnd:
    def test_nothing_found(self, log, call):
        """If no event matches the filters, the status is 1, and a line says so."""
        assert call("stats", "--log", log, "--event", "never") == (
            1,
            "",
            "chora-logging: no event matches\n",
        )

    def test_lines_that_are_no_events(self, log, call):
        """Skipped lines are reported on stderr, and are not an error."""
        with open(log, "a", encoding="utf-8") as file:
            file.write("what is this?\n")
        status, _, errors = call("stats", "--log", log)

        assert status == 0
        assert "1 line" in errors


class TestScreen:
    def test_it_reads_well(self, log, call, monkeypatch):
        """At 80 columns everything is shown: totals, plot, types with percentiles, statuses, the slowest."""
        monkeypatch.setenv("TZ", "UTC")
        status, output, errors = call("stats", "--log", log)
        lines = [line.rstrip() for line in output.splitlines()]

        assert (status, errors) == (0, "")
        assert lines[0] == "60 events in 59 min, 12 errors (20.0 %)"
        assert "type           events  errors    p50    p95    p99    max" in lines
        assert "job_failed         12      12   6 ms  12 ms  12 ms  12 ms" in lines
        assert "all                60      12  10 ms  19 ms  20 ms  20 ms" in lines
        assert "completed       8  13.3 %" in lines
        assert any(line.startswith("events per minute  1 min a bar, at most 1") for line in lines)
        assert any(line.startswith("20 ms  ") and "job_completed" in line for line in lines)

    @pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
    def test_every_width(self, log, call, width):
        """No line is wider than the terminal."""
        status, output, _ = call("stats", "--log", log, width=width)

        assert status == 0
        assert_tame(output, width)

    @pytest.mark.parametrize("width", [20, 40])
    def test_a_narrow_terminal(self, log, call, width):
        """On a narrow terminal, the types can be distinguished."""
        lines = call("stats", "--log", log, width=width)[1].splitlines()
        start = next(index for index, line in enumerate(lines) if line.startswith("type "))

        kinds = [line.split()[0][:6] for line in lines[start + 1 : start + 4]]
        assert kinds == ["task_s", "job_fa", "job_co"]

    def test_a_pipe(self, log, call, monkeypatch):
        """Without a terminal, the plot has at most 80 columns."""
        status, output, _ = call("stats", "--log", log, width="")

        assert status == 0
        assert max(len(line) for line in output.splitlines() if "█" in line) <= 80

    @pytest.mark.parametrize("width", [40, 80])
    @pytest.mark.parametrize("text", HOSTILE, ids=ascii)
    def test_hostile_events(self, tmp_path, call, text, width):
        """No control character of an event reaches the terminal."""
        fields = dict.fromkeys(("event", "status", "level", "trace_id", "task_id", text), text)
        log = write_events(tmp_path / "app.log", event_at(1, **{**fields, "duration_ms": 5}))
        status, output, errors = call("stats", "--log", log, width=width)

        assert status == 0
        assert_tame(output + errors, width)

    def test_too_many_types(self, tmp_path, call):
        """Types that are not shown or not counted separately are mentioned."""
        log = write_events(tmp_path / "app.log", *({"event": f"type-{n}"} for n in range(230)))
        _, output, _ = call("stats", "--log", log)

        assert "… 188 more types: --json lists them\n… 30 events of further types, counted together" in output
        types = call.json("stats", "--log", log, "--json")["types"]
        assert (len(types["found"]), types["events_of_others"]) == (200, 30)


class TestBounds:
    def test_memory(self):
        """Ten times the events, all different, take no more memory once all limits are reached."""
        tally = Tally()

        def add(numbers):
            for n in numbers:
                tally.add(
                    event_at(n * 61, f"type-{n}", status=f"s{n}", level=f"l{n}", duration_ms=n % 999 / 7)
                )

        add(range(5000))
        tracemalloc.start()
        try:
            add(range(5000, 6000))
            little = tracemalloc.get_traced_memory()[0]
            add(range(6000, 15_000))
            much = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

        assert much - little < 1_000_000

    @given(st.lists(st.one_of(st.integers(0, 10**9), st.floats(0, 1e14)), min_size=1), st.floats(1, 100))
    def test_percentiles(self, values, percent):
        """A percentile is the nearest rank of the sorted values, to three digits."""
        durations = Durations()
        for value in values:
            durations.add(float(value))
        exact = sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]

        assert durations.percentile(percent) == pytest.approx(exact, rel=0.005, abs=1e-6)
        assert durations.longest == pytest.approx(max(values), abs=1e-6)

    @given(st.lists(st.integers(0, 999), min_size=1))
    def test_whole_numbers(self, values):
        """Whole milliseconds below 1,000 are exact."""
        durations = Durations()
        for value in values:
            durations.add(float(value))

        assert durations.percentile(50) == statistics.median_low(values)

    @given(
        st.lists(st.one_of(st.floats(1e9, 1e9 + 1e4), st.floats(-6e10, 2.5e11)), min_size=1, max_size=300),
        st.integers(2, 200),
    )
    def test_timeline(self, times, most):
        """For any times, every event is in one of at most *most* intervals, which cover all of them."""
        timeline = Timeline()
        for time in times:
            timeline.add(time, is_error=time > 1e9)
        series = timeline.series(most)

        assert sum(series.events) == len(times)
        assert sum(series.errors) == sum(time > 1e9 for time in times)
        assert len(series.events) <= most
        assert series.start <= min(times)
        assert max(times) < series.start + series.step * len(series.events)
        assert all(errors <= events for events, errors in zip(series.events, series.errors, strict=True))

    def test_more_times_than_are_told_apart(self):
        """A week with an event every ten seconds is still counted to the minute."""
        timeline = Timeline()
        for number in range(60_480):
            timeline.add(1e9 + number * 10, is_error=False)
        series = timeline.series(5000)

        assert sum(series.events) == 60_480
        assert series.step <= 300

    @given(
        st.lists(st.tuples(st.floats(1e9, 2e9), st.booleans()), min_size=1, max_size=50), st.integers(20, 200)
    )
    def test_plot(self, times, width):
        """A plot fits its width, and shows something wherever there is an event."""
        timeline = Timeline()
        for time, is_error in times:
            timeline.add(time, is_error)
        series = timeline.series(columns_for(width))
        lines = [line.plain for line in plot(series, width)]
        bars = lines[5][10:]
        bar = len(lines[6][10:]) // len(series.events)

        assert all(len(line) <= width for line in lines)
        for index, number in enumerate(series.events):
            assert (bars[index * bar : index * bar + 1].strip() != "") == (number > 0)


def test_json_is_strict(log, call):
    """`--json` prints strict JSON, whatever the events contain."""
    with open(log, "a", encoding="utf-8") as file:
        file.write('{"event": "half \\ud800", "duration_ms": 1e9, "rate": NaN}\n')
    _, output, _ = call("stats", "--log", log, "--json")

    def refuse(name):
        raise AssertionError(name)

    found = json.loads(output, parse_constant=refuse)
    assert found["slowest"][0]["rate"] is None
    assert "half ?" in {group["type"] for group in found["types"]["found"]}


def test_what_cannot_be_read_is_said(tmp_path, call):
    """Events without a level or a time are counted; a typed one needs no level."""
    log = write_events(
        tmp_path / "app.log", {"n": 1}, {"event_type": "made"}, {"time": "2026-01-02", "lvl": "info"}
    )
    shown = call("stats", "--log", log)[1]

    assert "1 of 3 events has no level that can be read\n" in shown
    assert "2 of 3 events have no time that can be read\n" in shown
    assert call.json("stats", "--log", log, "--json")["unreadable"] == {"level": 1, "time": 2}
