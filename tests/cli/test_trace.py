"""`chora-logging trace`: one trace from all logs, as a timeline for people and as JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.cli.waterfall import bar
from chora_logging.eventlog import lines
from chora_logging.eventlog.rotated.file import LogFile
from tests.cli.calling import HOSTILE, assert_tame, write_events

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def at(seconds, event, **fields):
    """An event so long after noon, in the time of this place."""
    return {"timestamp": f"2026-03-01T12:00:{seconds:09.6f}", "event": event, "trace_id": TRACE, **fields}


@pytest.fixture
def logs(tmp_path):
    """The options for two logs with a job that failed, among others."""
    ids = {"task_id": "page-2", "run_id": "run-7"}
    failed = {"level": "ERROR", "duration_ms": 40, "error": "no footer"}
    write_events(
        tmp_path / "orch.log",
        {**at(0, "other"), "trace_id": "4bf92fff"},
        at(1, "job_started", **ids, status="running"),
        at(1.04, "job_failed", **ids, **failed),
    )
    write_events(
        tmp_path / "events.jsonl",
        {**at(1.02, None, status="success", duration_ms=20), "event_type": "chora.made"},
        {**at(9, "later"), "trace_id": "0000"},
    )
    return ("--log", tmp_path / "orch.log", "--log", tmp_path / "events.jsonl")


class TestForEyes:
    def test_the_timeline(self, logs, terminal):
        """The head has what all events share; each event is a row with a bar, an error is below its event."""
        assert terminal("trace", TRACE, *logs, width=60) == (
            0,
            f"trace {TRACE}\n"
            "2026-03-01 12:00:01, 3 events in 2 logs, 40 ms, 1 error\n"
            "task page-2, run run-7\n"
            "\n"
            " +0.00 ms       job_started •\n"
            "+20.00 ms 20 ms chora.made  ━━━━━━━━━━━━━━━╸\n"
            "+40.00 ms 40 ms job_failed  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━\n"
            "                  no footer\n",
        )

    def test_a_narrow_terminal(self, logs, terminal):
        """In 40 columns names are cut, bars stay, and only the bars show durations."""
        _, text = terminal("trace", TRACE, *logs, width=40)

        assert text.splitlines()[4:7] == [
            " +0.00 ms  job_started •",
            "+20.00 ms  chora.made  ━━━━━━━━",
            "+40.00 ms  job_failed  ━━━━━━━━━━━━━━━━",
        ]

    def test_ids_that_differ(self, tmp_path, terminal):
        """An id that not all events share is shown beside its event, as is a message."""
        events = [at(0, "a", task_id="t-1"), at(1, "b", task_id="t-2", message="Well done")]
        log = write_events(tmp_path / "app.log", *events)

        rows = terminal("trace", TRACE, "--log", log)[1].splitlines()[3:]

        assert [" ".join(row.split()) for row in rows] == ["+0.000 s a • t-1", "+1.000 s b • t-2 Well done"]

    def test_colours(self, logs, terminal, call):
        """A failed event is red on a terminal; nothing is coloured with NO_COLOR or in a pipe."""
        red = [
            line for line in terminal("trace", TRACE, *logs, colours=True)[1].splitlines() if "31m" in line
        ]

        assert len(red) == 3
        assert "\x1b" not in terminal("trace", TRACE, *logs)[1]
        assert "\x1b" not in call("trace", TRACE, *logs)[1]

    def test_in_a_pipe(self, logs, call):
        """A pipe gets the same, with nothing cut."""
        _, text, errors = call("trace", TRACE, *logs, width="")

        assert errors == ""
        assert "…" not in text
        assert text.splitlines()[-2].endswith("━" * 60)

    @pytest.mark.parametrize("width", [40, 80, 120])
    def test_hostile_events(self, tmp_path, terminal, width):
        """Control characters in any field are escaped, and every line fits."""
        fields = (
            "event",
            "task_id",
            "run_id",
            "message",
            "error",
            "status",
            "level",
            "timestamp",
            "duration_ms",
        )
        events = [{**at(1, "x"), name: text} for text in HOSTILE for name in fields]
        log = write_events(tmp_path / "app.log", *events)

        status, text = terminal("trace", TRACE, "--log", log, width=width)

        assert status == 0
        assert_tame(text, width)

    @pytest.mark.parametrize("when", [None, "yesterday", 1e300, -1e300, float("nan"), float("inf"), [], 5])
    @pytest.mark.parametrize("took", [None, -1, 1e14, 1e300, float("nan"), "10", True])
    def test_strange_times(self, tmp_path, terminal, call, when, took):
        """An event with an impossible time or duration is shown without it."""
        log = write_events(
            tmp_path / "app.log", at(1, "good"), {**at(1, "odd"), "timestamp": when, "duration_ms": took}
        )

        status, text = terminal("trace", TRACE, "--log", log)

        assert status == 0
        assert_tame(text, 80)
        assert "odd" in text
        assert len(call.json("trace", TRACE, "--log", log, "--json")["events"]) == 2


class TestJson:
    def test_the_timeline(self, logs, call):
        """The object has the trace id, its start, its duration, and each event with its log and offset."""
        found = call.json("trace", TRACE, *logs, "--json")

        events = found.pop("events")
        assert found["trace_id"] == TRACE
        assert found["duration_ms"] == 40.0
        assert found["start"].endswith("Z")
        assert [(event["log"], event["offset_ms"]) for event in events] == [
            ("orch", 0.0),
            ("events", 20.0),
            ("orch", 40.0),
        ]
        assert events[2]["event"] == at(1.04, "job_failed", task_id="page-2", run_id="run-7") | {
            "level": "ERROR",
            "duration_ms": 40,
            "error": "no footer",
        }


class TestWhichTrace:
    def test_the_beginning_of_an_id(self, logs, call):
        """A prefix of an id is enough if no other id has it."""
        assert call.json("trace", TRACE[:8], *logs, "--json")["trace_id"] == TRACE

    def test_a_whole_id_wins(self, tmp_path, call):
        """An id that is also a prefix of another one stands for itself."""
        log = write_events(
            tmp_path / "app.log", {**at(0, "a"), "trace_id": "t-1"}, at(1, "b", trace_id="t-10")
        )

        assert call.json("trace", "t-1", "--log", log, "--json")["trace_id"] == "t-1"

    def test_the_beginning_of_several_ids(self, logs, call):
        """If several ids have the prefix, they are named, with status 2."""
        status, output, errors = call("trace", "4b", *logs)

        assert (status, output) == (2, "")
        assert f"must be the prefix of one trace id, got 4b, the prefix of 4bf92fff, {TRACE}" in " ".join(
            errors.split()
        )

    def test_many_ids(self, tmp_path, call):
        """Only a few of many ids are named."""
        log = write_events(tmp_path / "app.log", *({"trace_id": f"t-{n}"} for n in range(9)))

        assert "prefix of t-0, t-1, t-2 and others" in " ".join(call("trace", "t", "--log", log)[2].split())

    def test_no_such_trace(self, logs, call):
        """If no event has the id, the error names the logs, with status 1."""
        assert call("trace", "nope\x1b", *logs) == (
            1,
            "",
            "chora-logging: no trace id in orch, events begins with nope\\x1b\n",
        )
        assert call("trace", "", *logs)[0] == 2

    @pytest.mark.parametrize("wanted", [TRACE[:5], TRACE, "none"])
    def test_only_lines_with_the_id_are_decoded(self, logs, call, monkeypatch, wanted):
        """To look for an id takes as long whether it is known or not: the bytes of the logs are read once."""
        decoded, read = [], []
        read_block, decode = LogFile.read_block, lines.decode
        monkeypatch.setattr(LogFile, "read_block", lambda file: read.append(file) or read_block(file))
        monkeypatch.setattr(lines, "decode", lambda line: decoded.append(line) or decode(line))

        call("trace", wanted, *logs)

        assert len(decoded) == sum(log.read_text().count(f'"{wanted}') for log in logs[1::2])
        assert len(read) == 4  # twice each: the second time there is nothing more

    def test_lines_that_are_no_events_are_counted_once(self, tmp_path, call):
        """A line that has the id, and is no event, is counted once."""
        log = write_events(tmp_path / "app.log", at(0, "a"))
        with open(log, "ab") as file:
            file.write(b"broken " + TRACE.encode() + b"\n")

        for wanted in (TRACE[:5], TRACE):
            assert ": skipped 1 line that is not an event in" in call("trace", wanted, "--log", log)[2]

    def test_a_prefix_among_many_traces(self, tmp_path, call):
        """An id that comes after others that begin with it is found, with all its events."""
        others = [at(number, "b", trace_id=f"t-1{number}") for number in range(6)]
        log = write_events(tmp_path / "app.log", *others, at(7, "a", trace_id="t-1"), *others)
        with open(log, "ab") as file:
            file.write(b'{"event": "c", "trace_id": "t-1"}')

        found = call.json("trace", "t-1", "--log", log, "--json")
        assert [event["event"]["event"] for event in found["events"]] == ["a", "c"]

    def test_an_id_that_is_a_number(self, tmp_path, call):
        """An id that was logged as a number is found as text, by a prefix too."""
        log = write_events(tmp_path / "app.log", {"trace_id": 12345, "event": "a"})

        assert call.json("trace", "12345", "--log", log, "--json")["trace_id"] == "12345"
        assert call.json("trace", "123", "--log", log, "--json")["trace_id"] == "12345"


class TestBar:
    @given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 200))
    def test_a_bar_is_where_it_belongs(self, one, other, width):
        """A bar is never empty, never too wide, and begins and ends within a character of where it should."""
        start, end = sorted((one, other))

        drawn = bar(start, end, width)

        assert 0 < len(drawn) <= width
        assert drawn.strip()
        assert abs(len(drawn) - len(drawn.lstrip()) - start * width) <= 1
        assert abs(len(drawn) - end * width) <= 1.5

    def test_halves(self):
        """A span that took time is drawn with at least half a character."""
        assert bar(0, 0.001, 10) == "╸"
        assert bar(0.999, 1, 10) == "         ╺"
        assert bar(0.06, 0.15, 10) == "╺╸"
