"""The logs that a command reads, merged into one stream, and the report of lines that are not events."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.cli.live import newest
from chora_logging.cli.logs import HELD_EVENTS, Found, Log, expected, last, merged, named, read
from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.events import Event
from chora_logging.eventlog.selection import Asked
from tests.cli.calling import write_events


@pytest.fixture(autouse=True)
def below_tmp_path(tmp_path, monkeypatch):
    """The working directory is the test's own."""
    monkeypatch.chdir(tmp_path)


def at(second, **fields):
    return {"timestamp": f"2026-03-01T12:00:{second:02}Z", **fields}


class TestExpected:
    def test_defaults(self):
        """Without any setting, the logs are those that writers make without any setting."""
        found = [(log.name, log.address) for log in expected().all]

        assert found == [
            ("orchestrator", ".devlogs/orch-o-glm.log"),
            ("telemetry", "var/telemetry/events.jsonl"),
        ]

    def test_the_writers_variables(self, monkeypatch):
        """The variables that name the files of the writers name those of the readers."""
        monkeypatch.setenv("ORCH_ID", "o-2")
        monkeypatch.setenv("CHORA_EVENTS_FILE", "events.jsonl")
        monkeypatch.setenv("LOG_FILE", "app.log")

        assert [log.address for log in expected().all] == [".devlogs/orch-o-2.log", "events.jsonl", "app.log"]

        monkeypatch.setenv("ORCH_LOG_FILE", "orch.log")

        assert expected().all[0].address == "orch.log"

    def test_a_file_of_two_writers(self, monkeypatch):
        """A file that two variables name is read once."""
        monkeypatch.setenv("ORCH_LOG_FILE", "all.log")
        monkeypatch.setenv("LOG_FILE", "./all.log")

        assert [log.name for log in expected().all] == ["orchestrator", "telemetry"]

    def test_a_bad_variable(self, monkeypatch, call):
        """An invalid variable is reported by its name, with status 2."""
        monkeypatch.setenv("ORCH_ID", "a/b")

        with pytest.raises(ConfigurationError, match="ORCH_ID"):
            expected()
        assert call("tail")[0] == 2
        assert "ORCH_ID must be" in call("tail")[2]

    def test_none_found(self, call):
        """If there is no log, the error names each path and the variable that sets it; the status is 1."""
        assert call("query") == (
            1,
            "",
            "chora-logging: no log found; looked for\n"
            "  .devlogs/orch-o-glm.log     (ORCH_ID, ORCH_LOG_FILE)\n"
            "  var/telemetry/events.jsonl  (CHORA_EVENTS_FILE)\n"
            "  (--log PATH names another)\n",
        )

    def test_one_of_two_found(self, tmp_path, call):
        """One of the logs looked for is enough."""
        write_events(tmp_path / "var/telemetry/events.jsonl", at(1))

        assert call("query", "--count") == (0, "1\n", "")


class TestNamed:
    def test_one_that_does_not_exist(self, tmp_path, call):
        """A named log must exist, it or a backup of it; the status is 2."""
        write_events(tmp_path / "old.log.1", at(1))

        assert call("query", "--count", "--log", "old.log") == (0, "1\n", "")

        status, output, errors = call("query", "--log", "old.log", "--log", "new.log")

        assert (status, output) == (2, "")
        assert "Invalid value for '--log': new.log does not exist, and has no backup" in errors
        assert f": there is no folder {tmp_path}/a" in call("query", "--log", "a/b/new.log")[2]

    def test_a_folder(self, tmp_path, call):
        """A folder is no log."""
        (tmp_path / "logs").mkdir()

        status, _, errors = call("tail", "--log", "logs")

        assert status == 2
        assert "'--log'" in errors
        assert "is a directory" in errors

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("", "must not be empty"),
            ("/dev/null", "/dev/null is not a regular file"),
            ("/dev/stdin", "is not a regular file"),
        ],
    )
    def test_what_is_no_file(self, call, path, said):
        """A path that exists but is not a regular file is distinguished from one that does not exist."""
        status, _, errors = call("tail", "--log", path)

        assert status == 2
        assert said in errors

    def test_what_logs_are_called(self):
        """A log is named by the shortest unambiguous suffix of its path; the same one is read once."""
        assert [log.name for log in named(["a/events.jsonl", "orch.log"]).all] == ["events", "orch"]
        assert [log.name for log in named(["a/events.jsonl", "b/events.log"]).all] == ["a/events", "b/events"]
        assert [log.name for log in named(["x.log", "x.jsonl"]).all] == ["x.log", "x.jsonl"]
        assert [log.name for log in named(["x.log", "./x.log"]).all] == ["x"]


class TestSkipped:
    def test_what_is_no_event_is_said(self, tmp_path, call):
        """Lines that are not events are counted by reason in a line on stderr, also if no event matches."""
        (tmp_path / "app.log").write_bytes(b'{"n":1}\nbroken\n[1]\n\n\xff\xfe\n{"n":2}\n[2]\n')
        said = (
            "chora-logging: skipped 4 lines that are not events in app: "
            "2 JSON, but not an object; 1 not JSON; 1 not UTF-8\n"
        )

        assert call("query", "--count", "--log", "app.log") == (0, "2\n", said)
        assert call("tail", "--json", "--log", "app.log") == (0, '{"n":1}\n{"n":2}\n', said)

    def test_a_backup_that_may_not_be_read(self, call):
        """It is reported by name, with control characters escaped; the others are read."""
        root = not os.geteuid()
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            log = write_events(Path(folder, "a\x1b[31mpp.log"), at(2))
            write_events(Path(f"{log}.2"), at(0))
            write_events(Path(f"{log}.1"), at(1)).chmod(0)
            call("query", "--count", "--log", log)  # imports modules that another user may not read
            try:
                os.seteuid(65534 if root else os.geteuid())
                ended = call("query", "--count", "--log", log)
            finally:
                os.seteuid(0 if root else os.geteuid())

        assert ended == (
            0,
            "2\n",
            "chora-logging: a\\x1b[31mpp.log.1 cannot be read: Permission denied\n",
        )

    def test_a_single_line(self, tmp_path, call):
        """A single skipped line is reported in the singular."""
        (tmp_path / "app.log").write_bytes(b'{"n":1}\n[1]\n')

        assert "skipped 1 line that is not an event in" in call("query", "--json", "--log", "app.log")[2]


def events(name, times):
    log = Log(name, name)
    return [
        Found(log, Event({"n": n} if time is None else {"n": n, "timestamp": time}))
        for n, time in enumerate(times)
    ]


TIMES = st.lists(st.none() | st.integers(0, 9), max_size=12)


class TestMerging:
    @given(st.lists(TIMES, max_size=3), st.booleans())
    def test_the_order_of_each_log_stays(self, logs, newest_first):
        """For any times, no event is lost, and the order within each log is preserved."""
        streams = [events(str(name), times) for name, times in enumerate(logs)]

        found = list(merged(streams, newest_first=newest_first))

        for stream in streams:
            assert [item for item in found if stream and item.log is stream[0].log] == stream
        assert len(found) == sum(map(len, streams))

    @given(st.lists(st.lists(st.integers(0, 9), max_size=12).map(sorted), max_size=3), st.booleans())
    def test_logs_in_order_give_a_stream_in_order(self, logs, newest_first):
        """Logs that are in the order of time are merged into one stream that is, too."""
        streams = [events(str(name), times) for name, times in enumerate(logs)]
        if newest_first:
            streams = [stream[::-1] for stream in streams]

        found = [item.event["timestamp"] for item in merged(streams, newest_first=newest_first)]

        assert found == sorted(itertools.chain(*logs), reverse=newest_first)

    def test_several_logs(self, tmp_path):
        """Several logs are read, oldest or newest first, with limits and filters, as if they were one."""
        write_events(tmp_path / "a.log", at(1, n=1), at(4, n=4), at(5, n=5, level="ERROR"))
        write_events(tmp_path / "b.log", at(2, n=2), at(3, n=3, level="ERROR"))
        logs = named(["a.log", "b.log"]).all

        def numbers(found):
            return [item.event["n"] for item in found]

        assert numbers(read(logs)) == [1, 2, 3, 4, 5]
        assert numbers(read(logs, newest_first=True)) == [5, 4, 3, 2, 1]
        assert numbers(read(logs, limit=2)) == [1, 2]
        assert numbers(read(logs, limit=2, newest_first=True)) == [5, 4]
        assert numbers(read(logs, level="ERROR")) == [3, 5]
        assert numbers(last(logs, 3)) == [3, 4, 5]
        assert numbers(last(logs, 0)) == []
        assert [item.log.name for item in last(logs, 2)] == ["a", "a"]

    def test_events_without_a_time_stay_at_their_place(self, tmp_path):
        """Those before the first time of a log go before it, and those after it behind it."""
        write_events(tmp_path / "a.log", at(1, n=1), at(5, n=5))
        write_events(tmp_path / "b.log", {"n": 2}, {"n": 3}, at(4, n=4), {"n": 4.5})
        logs = named(["a.log", "b.log"]).all
        ordered = [1, 2, 3, 4, 4.5, 5]

        assert [item.event["n"] for item in read(logs)] == ordered
        assert [item.event["n"] for item in read(logs, newest_first=True)] == ordered[::-1]

    def test_a_log_without_times_is_shown(self, tmp_path, call):
        """The newest events of a log whose times cannot be read are as new as its file."""
        write_events(tmp_path / "old.log", *(at(n, n=n) for n in range(20)))
        write_events(tmp_path / "new.log", {"n": "a"}, {"n": "b"})
        logs = named(["old.log", "new.log"]).all

        assert [item.event["n"] for item in last(logs, 4)] == [18, 19, "a", "b"]

    def test_many_events_without_a_time(self, tmp_path):
        """Only so many are held until a time shows where they belong."""
        write_events(tmp_path / "a.log", *({"n": n} for n in range(HELD_EVENTS + 1)), at(5, n=5))
        write_events(tmp_path / "b.log", at(1, n=-1))
        found = [item.event["n"] for item in read(named(["a.log", "b.log"]).all)]

        assert found == [*range(HELD_EVENTS + 1), -1, 5]


class TestUnreadable:
    def test_what_cannot_be_read_is_said_once(self, tmp_path, call):
        """Events of which a filter cannot know the level or time are counted, over all logs."""
        write_events(tmp_path / "a.log", {"n": 1, "when": "2026-01-02T03:04:05Z", "sev": "error"})
        write_events(tmp_path / "b.log", {"n": 2}, at(1, n=3, level="INFO"))
        logs = ("--log", "a.log", "--log", "b.log")
        level = "1 of 3 events has no level that can be read (--field level=NAME says which field has it)"
        time = "2 of 3 events have no time that can be read (--field time=NAME says which field has it)"

        status, shown, said = call("query", *logs, "--since", "2000-01-01", "--json")
        assert (status, said) == (0, f"chora-logging: {time}\n")
        assert [json.loads(line)["n"] for line in shown.splitlines()] == [3]

        status, _, said = call("query", *logs, "--level", "debug", "--field", "level=sev", "--count")
        assert (status, said) == (0, f"chora-logging: {level}\n")
        assert call("query", *logs)[2] == ""

    def test_nothing_found(self, tmp_path, call):
        """It is said too if no event matches, which it may explain."""
        write_events(tmp_path / "a.log", {"n": 1})

        assert call("tail", "--log", "a.log", "--level", "info") == (
            1,
            "",
            "chora-logging: 1 of 1 event has no level that can be read "
            "(--field level=NAME says which field has it)\nchora-logging: no event matches\n",
        )

    def test_where_following_begins(self, tmp_path):
        """Events that are read again when following begins are not counted twice."""
        write_events(tmp_path / "a.log", {"n": 1}, {"n": 2, "level": "INFO"}, {"n": 3})
        (log,) = named(["a.log"]).all
        _, positions = newest([log], 10, level="INFO")
        followed = log.events.follow_sync(positions[log], level="INFO")
        write_events(tmp_path / "a.log", {"n": 4, "level": "INFO"})

        assert next(followed)["n"] == 4
        followed.close()
        assert log.events.asked == {"level": Asked(4, 2)}


class TestFieldOption:
    COMMANDS = ("tail", "query", "stats", "check")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_that_reads(self, tmp_path, call, command):
        """Commands that read take names of fields; the events then have levels and times."""
        write_events(tmp_path / "a.log", {"sev": "err", "when": "2026-01-02T03:04:05Z", "id": "t-1"})
        options = ("--log", "a.log", "--field", "level=sev", "--field", "time=when", "--field", "trace=id")
        shown = call(command, *options, width="")[1]

        assert "2026-01-02" in shown or "01-02" in shown
        assert "ERROR" in shown or command == "check"
        assert "t-1" in call("trace", "t-1", *options)[1]

    @pytest.mark.parametrize("given", ["lvl=sev", "level", "level=", "=sev"])
    def test_refused(self, tmp_path, call, given):
        """A meaning that there is not is refused with those that there are."""
        write_events(tmp_path / "a.log", {"n": 1})
        status, _, said = call("query", "--log", "a.log", "--field", given)

        assert status == 2
        assert "must be MEANING=NAME, one of time, level, message, event, trace," in said

    def test_given_twice(self, tmp_path, call):
        """Two names for one meaning are refused."""
        write_events(tmp_path / "a.log", {"n": 1})

        assert (
            "each meaning once"
            in call("query", "--log", "a.log", "--field", "level=a", "--field", "level=b")[2]
        )
