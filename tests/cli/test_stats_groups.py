"""`chora-logging stats` in groups: right numbers, in bounded memory, on any screen."""

from __future__ import annotations

import csv
import io
import json
import math
import pathlib
import random
import tempfile
import time
import tracemalloc
from collections import defaultdict
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from chora_logging.cli.logs import Log
from chora_logging.cli.stats import groups as grouped
from chora_logging.cli.stats import measures
from chora_logging.cli.stats.grouping import count_groups
from chora_logging.cli.stats.groups import Asked, Groups
from chora_logging.cli.stats.measures import MEASURES, Distinct, Numbers, Pool
from chora_logging.eventlog import lines
from chora_logging.eventlog.meaning import USUAL, Meaning
from tests.cli.calling import HOSTILE, assert_tame, write_events

EVENTS = [
    {
        "timestamp": f"2026-03-01T12:{n:02}:30Z",
        "level": "ERROR" if n % 5 == 0 else "INFO",
        "event": "job_done" if n % 2 else "job_started",
        "http": {"status": 200 if n % 3 else 500},
        "user": f"user-{n % 7}",
        "duration_ms": n,
        "size": n if n % 4 else "big",
    }
    for n in range(20)
]


@pytest.fixture
def log(tmp_path):
    """A log of two files and twenty events, one a minute."""
    write_events(tmp_path / "app.log.1", *EVENTS[:8])
    return write_events(tmp_path / "app.log", *EVENTS[8:])


def rows(call, log, *options):
    return call.json("stats", "--log", log, "--json", *options)["groups"]


class TestNumbers:
    def test_by_fields(self, log, call):
        """Events are counted by the values of one or several fields, the most frequent first."""
        assert rows(call, log, "--by", "level") == [
            {"level": "INFO", "events": 16},
            {"level": "ERROR", "events": 4},
        ]
        assert rows(call, log, "--by", "http.status,event") == rows(
            call, log, "--by", "http.status", "--by", "event"
        )
        assert rows(call, log, "--by", "http.status,event")[0] == {
            "http.status": 200,
            "event": "job_done",
            "events": 7,
        }

    def test_measures(self, log, call):
        """Percentiles are those of the nearest rank; the other numbers are exact."""
        options = [f"--{name}" for name in (*MEASURES, "distinct")]
        [row] = rows(call, log, *(part for option in options for part in (option, "duration_ms")))

        assert row == {
            "events": 20,
            "p50_duration_ms": 9,
            "p95_duration_ms": 18,
            "p99_duration_ms": 19,
            "avg_duration_ms": 9.5,
            "sum_duration_ms": 190,
            "max_duration_ms": 19,
            "distinct_duration_ms": 20,
        }

    def test_per_interval(self, log, call):
        """Intervals begin at whole multiples of their length, and come in the order of time."""
        assert [(row["time"][11:16], row["events"]) for row in rows(call, log, "--per", "5m")] == [
            ("12:00", 5),
            ("12:05", 5),
            ("12:10", 5),
            ("12:15", 5),
        ]
        assert [row["user"] for row in rows(call, log, "--per", "10m", "--by", "user", "--top", 1)] == [
            "user-0",
            "user-3",
        ]

    def test_days_are_local(self, tmp_path, call, monkeypatch):
        """An interval of a day begins at midnight of local time, also if the clocks are changed that day."""
        times = ("24T21:30", "24T22:30", "25T12:00", "25T22:30", "25T23:30")
        log = write_events(tmp_path / "a.log", *({"timestamp": f"2026-10-{time_}:00Z"} for time_ in times))
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        try:
            found = rows(call, log, "--per", "1d")
        finally:
            monkeypatch.undo()
            time.tzset()

        assert [row["events"] for row in found] == [1, 3, 1]

    def test_the_largest(self, log, call):
        """The largest groups are those with the largest number asked for, or with the most events."""
        assert [
            row["user"] for row in rows(call, log, "--by", "user", "--max", "duration_ms", "--top", 2)
        ] == [
            "user-5",
            "user-4",
        ]
        assert len(rows(call, log, "--by", "user", "--top", 3)) == 3

    def test_filters_and_files(self, log, call):
        """Only matching events are counted, over all files."""
        found = rows(
            call, log, "--where", "duration_ms>=5", "--where", "duration_ms<10", "--sum", "duration_ms"
        )

        assert found == [{"events": 5, "sum_duration_ms": 35}]

    def test_members_of_arrays(self, tmp_path, call):
        """Each member of an array is measured; a group has all of them."""
        log = write_events(tmp_path / "a.log", {"items": [{"price": 5}, {"price": 7}]}, {"items": []})

        assert rows(call, log, "--sum", "items[].price") == [{"events": 2, "sum_items[].price": 12}]
        assert rows(call, log, "--by", "items[].price")[0]["items[].price"] == [5, 7]

    def test_durations_under_other_names(self, tmp_path, call):
        """`duration_ms` is the duration, whatever its field is called; numbers may be text."""
        log = write_events(
            tmp_path / "a.log", {"took": "1.5s"}, {"duration_ms": 500}, {"n": "7"}, {"n": "1e1"}
        )

        assert rows(call, log, "--sum", "duration_ms") == [{"events": 4, "sum_duration_ms": 2000}]
        assert rows(call, log, "--sum", "n") == [{"events": 4, "sum_n": 17}]


class TestWhatIsSaid:
    def test_values_that_are_no_numbers(self, log, call):
        """Values that are no numbers are counted: on stderr, and in JSON."""
        _, _, errors = call("stats", "--log", log, "--by", "level", "--avg", "size")

        assert "chora-logging: 5 values of size are no numbers\n" in errors
        assert call.json("stats", "--log", log, "--avg", "size", "--json")["no_numbers"] == {"size": 5}

    @pytest.mark.parametrize(
        "value", [True, None, float("nan"), "1e999", [1], {"a": 1}, "", "5 ms", 1e308, "x"]
    )
    def test_odd_values(self, tmp_path, call, value):
        """No value breaks a sum."""
        log = write_events(tmp_path / "a.log", {"n": value}, {"n": 5})
        found = call.json("stats", "--log", log, "--sum", "n", "--p95", "n", "--json")

        assert found["groups"][0]["sum_n"] == (6 if value == [1] else 5)
        assert found["no_numbers"] == ({} if value is None or value == [1] else {"n": 1})

    def test_events_without_a_time(self, tmp_path, call):
        """Events without a time are in no interval, and are said."""
        log = write_events(tmp_path / "a.log", {"n": 1}, EVENTS[0])
        _, _, errors = call("stats", "--log", log, "--per", "1h")

        assert (
            "chora-logging: 1 of 2 events has no time that can be read, so they are in no interval" in errors
        )
        assert call.json("stats", "--log", log, "--per", "1h", "--json")["without_time"] == 1

    def test_groups_that_are_cut(self, log, call, monkeypatch):
        """Events of groups beyond the bound are counted together, and are said."""
        monkeypatch.setattr(grouped, "MOST_GROUPS", 2)
        _, _, errors = call("stats", "--log", log, "--by", "user")

        assert "14 events of further groups, which are not counted separately" in errors

    def test_nothing_found(self, log, call):
        """Without a matching event the status is 1."""
        assert call("stats", "--log", log, "--by", "user", "--event", "no") == (
            1,
            "",
            "chora-logging: no event matches\n",
        )

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--by", ""), "'--by': must not be empty"),
            (("--by", "a,,b"), "'--by': must not be empty"),
            (("--per", "0m"), "'--per': must be a length of time such as 30s, 1m, 1h or 1d, got '0m'"),
            (("--per", "often"), "'--per': must be a length of time"),
            (("--top", "3"), "--top needs groups: use it together with --by or --per"),
            (("--format", "csv"), "--format csv needs a table: use it together with --by, --per or --p95"),
            (("--json", "--format", "csv", "--by", "a"), "--json cannot be used together with --format csv"),
        ],
    )
    def test_wrong_use(self, log, call, options, said):
        """Options that make no sense are an error with status 2."""
        status, output, errors = call("stats", "--log", log, *options)

        assert (status, output) == (2, "")
        assert said in " ".join(errors.split())


class TestForms:
    def test_table(self, log, call):
        """The table has numbers, then values, and says of which field the numbers are."""
        assert call("stats", "--log", log, "--by", "event", "--p95", "duration_ms", "--distinct", "user") == (
            0,
            "events    p95  distinct  event\n"
            "    10  18 ms         7  job_started\n"
            "    10  19 ms         7  job_done\n"
            "p95: duration_ms; distinct: user\n",
            "",
        )

    def test_csv(self, log, call):
        """CSV has the columns of JSON."""
        output = call("stats", "--log", log, "--by", "level", "--sum", "duration_ms", "--format", "csv")[1]

        assert list(csv.reader(io.StringIO(output))) == [
            ["level", "events", "sum_duration_ms"],
            ["INFO", "16", "160"],
            ["ERROR", "4", "30"],
        ]

    @pytest.mark.parametrize("width", [80, 40, 20])
    def test_every_screen(self, log, terminal, width):
        """No line is wider than the screen, and columns without room are named."""
        options = [part for name in MEASURES for part in (f"--{name}", "duration_ms")]
        status, output = terminal(
            "stats", "--log", log, "--per", "10m", "--by", "event,http.status,user", *options, width=width
        )

        assert status == 0
        assert max(map(cell_len, output.splitlines())) <= width
        assert ("no room for" in output) == (width < 120)

    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_values(self, tmp_path, terminal, text):
        """Values with control characters are shown harmless."""
        log = write_events(tmp_path / "a.log", {"user": text, text: 1})
        _, output = terminal("stats", "--log", log, "--by", "user", "--by", text or "x", "--sum", text or "x")

        assert_tame(output)


NUMBERS = st.integers(-5000, 5000) | st.floats(-1e6, 1e6)


class TestMeasures:
    @given(st.lists(NUMBERS, min_size=1))
    def test_against_the_sorted_numbers(self, values):
        """Every measure is that of all numbers: percentiles to three digits, the others exactly."""
        numbers = Numbers(Pool(), ranked=True)
        for value in values:
            numbers.add(value)

        assert numbers.measure("max") == max(values)
        assert numbers.measure("sum") == pytest.approx(math.fsum(values), abs=1e-3)
        for percent in (50, 95, 99):
            exact = sorted(values)[max(1, math.ceil(percent / 100 * len(values))) - 1]
            assert numbers.measure(f"p{percent}") == pytest.approx(exact, rel=0.006, abs=1e-9)

    @pytest.mark.parametrize("number", [1, 500, 1024])
    def test_few_different_values_are_exact(self, number):
        """Up to 1,024 different values are counted exactly."""
        distinct = Distinct(Pool())
        for n in range(3 * number):
            distinct.add(str(n % number))

        assert (distinct.number, distinct.is_exact) == (number, True)

    def test_many_different_values_are_estimated(self):
        """More of them are estimated, within four standard errors."""
        distinct = Distinct(Pool())
        for n in range(50_000):
            distinct.add(f"user-{n}")

        assert not distinct.is_exact
        assert distinct.number == pytest.approx(50_000, rel=0.12)

    def test_memory(self, monkeypatch):
        """Many groups with many numbers and values are coarser, and take bounded memory."""
        monkeypatch.setattr(measures, "MOST_COUNTERS", 8_000)
        groups = Groups(Asked(by=["g"], measures=[("p95", "n"), ("distinct", "u")]))
        chance = random.Random(7)
        exact = defaultdict(list)
        tracemalloc.start()
        try:
            for n in range(12_000):
                group, value = n % 20, chance.expovariate(0.001)
                exact[group].append(value)
                groups.add({"g": group, "n": value, "u": n}, USUAL)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert held < 4 * 1024 * 1024
        assert groups.digits == 2
        assert groups.others == 0
        for row in groups.rows():
            values = sorted(exact[row.values[0]])
            assert row.measured[0] == pytest.approx(values[math.ceil(0.95 * len(values)) - 1], rel=0.06)
            assert row.is_estimate
            assert row.measured[1] == pytest.approx(600, rel=0.6)

    def test_a_full_pool_opens_no_group(self, monkeypatch):
        """Where nothing can be coarser, new groups are counted together."""
        monkeypatch.setattr(measures, "MOST_COUNTERS", 50)
        groups = Groups(Asked(by=["g"], measures=[("p50", "n")]))
        for n in range(1000):
            groups.add({"g": n, "n": n}, USUAL)

        assert groups.others > 0
        assert sum(row.events for row in groups.rows()) + groups.others == 1000


VALUES = st.sampled_from(["a", "b", 1, 1.5, True, None, "2.5", [3], {"x": 1}])


@given(
    st.lists(st.fixed_dictionaries({}, optional={"g": VALUES, "h": VALUES, "n": VALUES})),
    st.sampled_from([["g"], ["g", "h"], []]),
)
def test_against_the_plain_way(events, by):
    """Groups, sums and numbers of different values are those of a dictionary of lists."""
    groups = Groups(Asked(by=by, measures=[("sum", "n"), ("distinct", "h")]))
    expected = defaultdict(list)
    for event in events:
        groups.add(event, USUAL)
        expected[tuple(json.dumps(event.get(field)) for field in by)].append(event)

    found = {tuple(map(json.dumps, row.values)): (row.events, *row.measured) for row in groups.rows()}
    assert found == {
        key: (
            len(members),
            total(members),
            len({json.dumps(e["h"]) for e in members if e.get("h") is not None}),
        )
        for key, members in expected.items()
    }


TEXTS = st.sampled_from(["a", "", None, "2.5"])
COUNTED = st.fixed_dictionaries(
    {},
    optional={
        "event": st.one_of(TEXTS, VALUES),
        "event_type": st.one_of(TEXTS, VALUES),
        "level": st.sampled_from(["INFO", "ERROR", 30, None]),
        "status": TEXTS,
        "duration_ms": st.one_of(st.integers(0, 3), VALUES),
        "took": st.sampled_from([7, None]),
        "g": TEXTS,
        "n": st.one_of(st.just(2), VALUES),
    },
)


@given(
    st.lists(st.one_of(COUNTED, st.fixed_dictionaries({}, optional={"event": st.just("a"), "g": TEXTS}))),
    st.lists(st.sampled_from(["event", "level", "g", "n", "x.y", "ü"]), max_size=2, unique=True),
    st.sampled_from(["duration_ms", "n"]),
    st.sampled_from([{}, {"duration": "n"}, {"event": "g"}]),
)
def test_equal_events_are_counted_alike(events, by, field, fields):
    """Events that are counted together are the same as those that are added one by one."""
    asked = Asked(by=by, measures=[("p95", field), ("sum", field), ("distinct", "event")])
    meaning = Meaning(fields)
    plain = Groups(asked)
    plain.add_all(events, meaning)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(lines, "LINES", 3):
        log = write_events(pathlib.Path(folder, "app.log"), *events)
        counted = count_groups([Log("app", str(log), fields)], {}, asked) if events else plain

    def results(groups):
        return sorted(
            (json.dumps(row.values), row.events, repr(row.measured[1:]), float(row.measured[0] or 0))
            for row in groups.rows()
        )

    assert results(counted) == results(plain)
    assert (counted.events, counted.no_numbers) == (plain.events, plain.no_numbers)


def total(members):
    read = {1: 1, 1.5: 1.5, "2.5": 2.5}
    values = [event.get("n") for event in members]
    numbers = [read[v] for v in values if not isinstance(v, bool | list | dict) and v in read]
    numbers += [3 for v in values if v == [3]]
    return sum(numbers) if numbers else None
