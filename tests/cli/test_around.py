"""`query -C` and `tail -C`: the events around each match."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.cli.around import groups
from tests.cli.calling import write_events


@pytest.fixture
def log(tmp_path):
    """A log of three files and twelve events, of which 3 and 8 are errors."""
    events = [
        {"timestamp": f"2026-03-01T12:00:{n:02}Z", "level": "ERROR" if n in (3, 8) else "INFO", "n": n}
        for n in range(12)
    ]
    write_events(tmp_path / "app.log.2", *events[:4])
    write_events(tmp_path / "app.log.1", *events[4:8])
    return write_events(tmp_path / "app.log", *events[8:])


def numbers(output):
    return [json.loads(line)["n"] for line in output.splitlines()]


class TestEvents:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (("-C", 1), [2, 3, 4, 7, 8, 9]),
            (("-B", 2), [1, 2, 3, 6, 7, 8]),
            (("-A", 2), [3, 4, 5, 8, 9, 10]),
            (("-C", 3), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
            (("-C", 1, "-A", 0), [2, 3, 7, 8]),
            (("-C", 0), [3, 8]),
            (("-C", 1, "--limit", 1), [2, 3, 4]),
            (("-B", 2, "--newest-first"), [8, 7, 6, 3, 2, 1]),
            (("-A", 1, "--newest-first", "--limit", 1), [9, 8]),
        ],
        ids=str,
    )
    def test_those_around_a_match(self, log, call, options, expected):
        """They come once each, in order, over the ends of files, whatever the filters say of them."""
        status, output, errors = call("query", "--log", log, "--level", "error", "--json", *options)

        assert (status, numbers(output), errors) == (0, expected, "")

    def test_of_several_logs(self, log, tmp_path, call):
        """Of several logs the events around a match are those of all of them in the order of time."""
        other = write_events(tmp_path / "b.log", {"timestamp": "2026-03-01T12:00:02.5Z", "n": 99})
        logs = ("--log", log, "--log", other)

        assert numbers(call("query", *logs, "--where", "n=3", "--json", "-B", 2)[1]) == [2, 99, 3]

    def test_nothing_found(self, log, call):
        """Without a match nothing is printed, and a field that no event has is said."""
        assert call("query", "--log", log, "--where", "m=1", "--json", "-C", 2) == (
            1,
            "",
            "chora-logging: no event that was read has a field m\nchora-logging: no event matches\n",
        )


class TestTable:
    def test_the_line_between(self, log, call):
        """In a table a line shows where events are left out; JSON and CSV have none."""
        options = ("query", "--log", log, "--level", "error", "-A", 1)

        assert [line.split()[-1] for line in call(*options)[1].splitlines()] == [
            "n",
            "3",
            "4",
            "--",
            "8",
            "9",
        ]
        assert "--" not in call(*options, "--format", "csv")[1]

    @pytest.mark.parametrize("option", [("--count",), ("--by", "n")])
    def test_wrong_use(self, log, call, option):
        """Events around a match are not counted."""
        status, _, errors = call("query", "--log", log, "-C", 1, *option)

        assert status == 2
        assert "-C, -B and -A cannot be used with --count or --by" in errors


class TestTail:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (("-C", 1), [[2, 3, 4], [7, 8, 9]]),
            (("-B", 2), [[1, 2, 3], [6, 7, 8]]),
            (("-A", 2), [[3, 4, 5], [8, 9, 10]]),
            (("-C", 2), [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]),
            (("-C", 1, "-A", 0), [[2, 3], [7, 8]]),
            (("-A", 1, "-n", 1), [[8, 9]]),
            (("-C", 0, "-n", 1), [[8]]),
        ],
        ids=str,
    )
    def test_the_newest_matches(self, log, call, options, expected):
        """The newest matches come with the events around them; a line shows where others are left out."""
        chosen = ("tail", log, "--level", "error", *options)
        status, output, errors = call(*chosen)
        parts = [
            [int(line.rpartition("n=")[2]) for line in part.splitlines()] for part in output.split("--\n")
        ]

        assert (status, parts, errors) == (0, expected, "")
        assert numbers(call(*chosen, "--json")[1]) == [number for part in expected for number in part]

    def test_nothing_found(self, log, call):
        """Without a match nothing is printed; with `-n 0` nothing is asked for."""
        assert call("tail", log, "--where", "n=99", "-C", 2)[:2] == (1, "")
        assert call("tail", log, "-n", 0, "-C", 2) == (0, "", "")

    def test_not_for_new_events(self, log, call):
        """New events come alone."""
        status, _, errors = call("tail", log, "-f", "-C", 2)

        assert status == 2
        assert "-C, -B and -A are for events that are stored" in " ".join(errors.split())


@given(
    st.lists(st.booleans(), max_size=20), st.integers(0, 3), st.integers(0, 3), st.none() | st.integers(1, 4)
)
def test_groups(matching, before, after, limit):
    """The events are those near enough to a match, and the marks are where their positions jump."""
    matches = [n for n, is_match in enumerate(matching) if is_match][:limit]
    near = [n for n in range(len(matching)) if any(m - before <= n <= m + after for m in matches)]
    found = list(groups(range(len(matching)), lambda n: matching[n], before, after, limit))

    assert [n for n, _ in found] == near
    assert [apart for _, apart in found] == [
        position > 0 and n != near[position - 1] + 1 for position, n in enumerate(near)
    ]
