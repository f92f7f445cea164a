"""`chora-logging tail`: the newest events as lines for people and programs, and those written next."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from datetime import datetime, timezone

import pytest

from chora_logging.cli import tail
from chora_logging.cli.event_line import as_gap_line, as_line
from chora_logging.cli.logs import named
from chora_logging.cli.projection import Projection
from chora_logging.eventlog.events import Gap
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.handler import EventFileHandler
from tests.cli.calling import HOSTILE, assert_tame, write_events
from tests.cli.running import COMMAND, DEADLINE, environment, running

#: In local time, so that the screens are the same everywhere.
TIME = "2026-03-01T12:00:{:02}.5"

JOB = {
    "timestamp": TIME.format(0),
    "level": "ERROR",
    "logger": "orchestrator_events",
    "event": "job_failed",
    "task_id": "task-1",
    "run_id": "run-1",
    "trace_id": "0123456789abcdef",
    "message": "Event: job_failed",
    "status": "failed",
    "duration_ms": 1234,
    "error": "no footer",
}


def numbered(*numbers, **fields):
    return [{"timestamp": TIME.format(n % 60), "event": "step", "n": n, **fields} for n in numbers]


def numbers(lines):
    return [json.loads(line)["n"] for line in lines]


@pytest.fixture
def log(tmp_path):
    """A log of three files and 30 events."""
    write_events(tmp_path / "app.log.2", *numbered(*range(10)))
    write_events(tmp_path / "app.log.1", *numbered(*range(10, 20)))
    return write_events(tmp_path / "app.log", *numbered(*range(20, 30)))


class TestStored:
    def test_the_newest_events(self, log, call):
        """The newest events of the whole set come in order, as many as requested, ten by default."""
        assert numbers(call("tail", "--json", "--log", log)[1].splitlines()) == [*range(20, 30)]
        assert numbers(call("tail", "--json", "-n", 15, "--log", log)[1].splitlines()) == [*range(15, 30)]
        assert numbers(call("tail", "--json", "-n", 99, "--log", log)[1].splitlines()) == [*range(30)]
        assert call("tail", "-n", 0, "--log", log) == (0, "", "")

    def test_filters(self, log, call):
        """Only matching events are shown, and counted."""
        write_events(log, *numbered(30, 31, trace_id="t"))

        assert numbers(call("tail", "--json", "-n", 1, "--trace", "t", "--log", log)[1].splitlines()) == [31]
        assert call("tail", "--trace", "u", "--log", log) == (1, "", "chora-logging: no event matches\n")

    def test_an_empty_log(self, tmp_path, call):
        """A log without an event is reported, with status 1."""
        (tmp_path / "app.log").touch()

        assert call("tail", "--log", tmp_path / "app.log") == (
            1,
            "",
            "chora-logging: there is no event yet\n",
        )

    def test_json_is_the_line(self, tmp_path, call):
        """With --json an event is its line, byte for byte where that is strict JSON."""
        lines = '{"b": 1,"a":"\u00fc\u202e"}\n{"n":NaN}\n'
        (tmp_path / "app.log").write_text(lines, encoding="utf-8")

        assert call("tail", "--json", "--log", tmp_path / "app.log")[1] == lines.replace("NaN", "null")

    def test_a_bad_number(self, log, call):
        """A number of lines below 0 is a usage error."""
        status, _, errors = call("tail", "-n", -1, "--log", log)

        assert status == 2
        assert "'-n'" in errors


class TestLines:
    def test_on_a_terminal(self, tmp_path, terminal):
        """A line has the time, level, trace, event, ids and the rest; an older day is a line of its own."""
        log = write_events(tmp_path / "app.log", JOB, {"timestamp": TIME.format(1), "message": "Plain text"})

        assert terminal("tail", "--log", log) == (
            0,
            "── Sunday, 2026-03-01 ──\n"
            '12:00:00 E 01234567 job_failed task-1 run-1 "no footer" 1.23 s status=failed\n'
            "12:00:01            Plain text\n",
        )

    def test_today_is_not_told(self, tmp_path, terminal):
        """Events of this day are shown without it."""
        log = write_events(tmp_path / "app.log", {**JOB, "timestamp": datetime.now().isoformat()})

        assert "──" not in terminal("tail", "--log", log)[1]

    def test_an_event_without_a_time(self, tmp_path, call, terminal):
        """An event without time, level or id has blanks in their place, and none at the end of its line."""
        log = write_events(tmp_path / "app.log", {"event": "tick"})

        assert call("tail", "--log", log, width="")[1] == f"{'':12} {'':5} {'':8} tick\n"
        assert terminal("tail", "--log", log)[1] == f"{'':8} {'':1} {'':8} tick\n"

    def test_in_a_pipe(self, tmp_path, call):
        """In a pipe nothing is cut or coloured, and each line has the day and milliseconds."""
        log = write_events(tmp_path / "app.log", {**JOB, "more": "x" * 300})

        # COLUMNS sets the width where there is no terminal.
        assert call("tail", "--log", log, width="")[1] == (
            "2026-03-01 12:00:00.500 ERROR 01234567 job_failed                 task-1 run-1 "
            f'error="no footer" 1.23 s status=failed more={"x" * 300}\n'
        )

    def test_colours(self, tmp_path, terminal):
        """There are colours on a terminal, unless NO_COLOR is set."""
        log = write_events(tmp_path / "app.log", JOB)

        assert "\x1b[" in terminal("tail", "--log", log, colours=True)[1]
        assert "\x1b" not in terminal("tail", "--log", log)[1]

    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_hostile_events(self, tmp_path, terminal, width):
        """Any event is one line that fits, with its control characters escaped."""
        events = [{name: text, text: text, "timestamp": text} for text in HOSTILE for name in JOB]
        log = write_events(tmp_path / "app.log", *events)

        status, text = terminal("tail", "-n", 999, "--log", log, width=width)

        assert status == 0
        assert text.count("\n") == len(events)
        assert_tame(text, width)

    def test_hostile_json(self, tmp_path, terminal):
        """On a terminal JSON has the same value, with escapes for what the terminal would obey."""
        hostile = "\x7f\x9b31m\u202e\u2028\U000e0041\ufeff"
        log = tmp_path / "app.log"
        log.write_text(json.dumps({hostile: hostile, "ü": "日"}, ensure_ascii=False) + "\n", encoding="utf-8")

        _, text = terminal("tail", "--json", "--log", log)

        assert_tame(text)
        assert json.loads(text) == {hostile: hostile, "ü": "日"}
        assert '"ü": "日"' in text

    def test_the_exception_of_a_traceback(self):
        """The last line of a traceback is shown beside the event, since the rest is cut off."""
        event = {"event": "log", "level": "ERROR", "exc_info": "Traceback:\n  File x\nValueError: bad\n"}

        assert "log ValueError: bad" in as_line(event, 60).plain

    def test_levels_have_one_width(self):
        """Levels are aligned in a column, whatever their names are."""
        levels = ("DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "info", 30)
        columns = {as_line({"event": "x", "level": level}, 120).plain.rindex("x") for level in levels}

        assert len(columns) == 1


class TestSeveralLogs:
    def test_which_log(self, tmp_path, call, terminal):
        """Events of several logs are in the order of time, and each names its log."""
        orch = write_events(tmp_path / "orchestrator.log", *numbered(1, 3))
        events = write_events(tmp_path / "events.jsonl", *numbered(2, 4))
        logs = ("--log", orch, "--log", events)

        assert numbers(call("tail", "--json", "-n", 3, *logs)[1].splitlines()) == [2, 3, 4]
        assert terminal("tail", "-n", 2, *logs)[1].splitlines()[1:] == [
            "12:00:03   orch          step n=3",
            "12:00:04   even          step n=4",
        ]
        wide = terminal("tail", "-n", 2, *logs, width=120)[1].splitlines()[1:]
        assert [line[13:31] for line in wide] == ["      orchestrator", "      events      "]
        narrow = terminal("tail", "-n", 1, *logs, width=40)[1].splitlines()[1:]
        assert narrow == ["12:00:04   step n=4"]

    @pytest.mark.parametrize(
        ("paths", "labels"),
        [
            (["orchestrator.log", "events.jsonl"], ["orch", "even"]),
            (["service-a.log", "service-b.log"], ["service-a", "service-b"]),
            (["a/x.log", "b/x.log"], ["a/x", "b/x"]),
            (["a.log", "b.log", "abc.log"], ["a  ", "b  ", "abc"]),
        ],
    )
    def test_labels_differ(self, paths, labels):
        """The short name of a log is as long as it must be to be unambiguous."""
        logs = named(paths).all

        assert [short for _, short in tail._labels(logs).values()] == labels


class TestOtherLoggers:
    """Lines that another program wrote."""

    def test_time_level_and_message(self, tmp_path, call):
        """They are in their columns, and not repeated behind them."""
        log = write_events(
            tmp_path / "app.log",
            {"asctime": "2026-01-02 03:04:05,678", "levelname": "ERROR", "msg": "boom", "lineno": 7},
        )

        assert call("tail", "--log", log, width="")[1] == (
            "2026-01-02 03:04:05.678 ERROR          boom lineno=7\n"
        )

    def test_no_level(self, tmp_path, call):
        """An event without a level has nothing in that column."""
        log = write_events(tmp_path / "app.log", {"time": "2026-01-02 03:04:05", "msg": "hi"})

        assert call("tail", "--log", log, width="")[1] == "2026-01-02 03:04:05.000                hi\n"

    def test_name_duration_and_message(self, tmp_path, call):
        """With a name the message stands behind it, and the duration has a unit."""
        log = write_events(
            tmp_path / "app.log",
            {"event": {"action": "login", "kind": "x"}, "msg": "hi", "elapsed": "1.5s", "log.level": "info"},
        )

        assert call("tail", "--log", log, width="")[1].split() == [
            *("INFO", "login", "1.5", "s", "msg=hi"),
            *('event={"action":', '"login",', '"kind":', '"x"}'),
        ]

    def test_ids_of_words(self, tmp_path, call):
        """Of a trace id that is not random the end is shown, since ids differ there."""
        log = write_events(
            tmp_path / "app.log",
            *({"trace_id": f"workflow-abc{number}", "event": "a"} for number in (123, 124)),
            {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "event": "a"},
        )
        traces = ["…-abc123", "…-abc124", "4bf92f35"]

        assert [line.split()[0] for line in call("tail", "--log", log)[1].splitlines()] == traces
        assert [line.split()[-1] for line in call("query", "--log", log)[1].splitlines()[1:]] == traces


class TestRawLines:
    """Lines that are not events."""

    LINES = b'{"n":1}\nTraceback:\n\tat \x1b[31mx.py\x1b[0m\x1b[2J\n{"n":2}\nValueError\n'
    SHOWN = ("- n=1", "Traceback:", "        at x.py\\x1b[2J", "- n=2", "ValueError")

    @pytest.fixture
    def mixed(self, tmp_path):
        """A log with them before, between and after events."""
        (tmp_path / "app.log").write_bytes(self.LINES)
        return tmp_path / "app.log"

    def test_as_they_stand(self, mixed, call):
        """They are shown at their places, without colours, and count as lines."""
        for count in range(1, 6):
            status, output, errors = call("tail", "-n", count, mixed)
            shown = [line if "-" not in line else line.strip() for line in output.splitlines()]

            assert (status, errors, shown) == (0, "", [*self.SHOWN[-count:]])

    def test_in_a_table(self, mixed, call):
        """The table of a query has them too."""
        for options, shown in (((), self.SHOWN), (("--newest-first",), self.SHOWN[::-1])):
            status, output, errors = call("query", mixed, *options)

            assert (status, errors) == (0, "")
            assert [line.split() for line in output.splitlines()[1:]] == [
                line.replace("n=", "").split() for line in shown
            ]

    def test_for_programs_and_filters(self, mixed, call):
        """Programs get events only, and no filter matches a line; both say how many were left out."""
        for options in (("tail", "--json"), ("tail", "--where", "n=2"), ("query", "--format", "csv")):
            status, output, errors = call(*options, mixed)

            assert status == 0
            assert "Traceback" not in output
            assert "skipped 3 lines that are not events" in errors

    def test_live(self, mixed):
        """They come in their place while the log is followed, also if all lines are such."""
        mixed.with_name("text.log").write_bytes(b"ValueError\n")
        for log in (mixed, mixed.with_name("text.log")):
            with running("tail", "-f", "-n", 1, log) as command:
                assert command.lines(1) == ["ValueError"]
                with open(log, "ab") as file:
                    file.write(self.LINES)
                found = command.lines(6)[1:]
                assert [line.strip() for line in found] == [line.strip() for line in self.SHOWN]
                assert command.end(signal.SIGINT) == (130, "")

    @pytest.mark.parametrize("width", [20, 80])
    def test_on_a_terminal(self, tmp_path, terminal, width):
        """Each is one line that fits, whatever it has in it."""
        log = tmp_path / "app.log"
        log.write_bytes(
            "".join(f"{text!s}x\n" for text in HOSTILE if "\n" not in text).encode("utf-8", "replace")
        )

        for command in ("tail", "query"):
            status, text = terminal(command, log, width=width)

            assert status == 0
            assert_tame(text, width)


class TestGaps:
    @pytest.mark.parametrize("width", [20, 80, 300])
    def test_a_gap_is_a_line(self, width):
        """A gap is described as far as it is known, in one line that fits."""
        since = datetime(2026, 3, 1, 12).timestamp()
        line = as_gap_line(Gap("deleted\x1b", 3, 2048, since, since + 60, None), width, label="orch").plain

        assert len(line) <= width
        assert_tame(line)
        if width == 300:
            assert line == (
                "── events are missing in orch: deleted\\x1b (3 files, 2 kB, "
                "after 2026-03-01 12:00:00, before 2026-03-01 12:01:00) ──"
            )

    def test_a_gap_beside_json(self, tmp_path, capsys):
        """With --json a gap is reported on stderr: it is not an event."""
        (log,) = named([str(tmp_path / "app.log")]).all

        tail._ShowJson(True, Projection())([(log, Gap("deleted"))])

        assert capsys.readouterr() == (
            "",
            "chora-logging: ── events are missing in app: deleted ──\n",
        )


class TestFollow:
    def test_stored_then_live(self, log):
        """The newest events come, then each new one as it is written; Ctrl-C ends it quietly with 130."""
        with running("tail", "-f", "-n", 3, "--json", "--log", log) as command:
            assert numbers(command.lines(3)) == [27, 28, 29]

            write_events(log, *numbered(30))

            assert numbers(command.lines(4)) == [27, 28, 29, 30]
            assert command.end(signal.SIGINT) == (130, "")

    def test_no_seam(self, tmp_path):
        """While a writer writes and rotates, stored and live events form one complete sequence."""
        log, written, enough = tmp_path / "app.log", [], threading.Event()
        handler = EventFileHandler(log, maxBytes=40_000, backupCount=500)
        handler.setFormatter(EventFormatter())

        def write():
            while not enough.wait(0.001):
                for n in range(len(written), len(written) + 10):
                    handler.handle(logging.makeLogRecord({"msg": "x", "n": n}))
                    written.append(n)

        writer = threading.Thread(target=write)
        writer.start()
        with running("tail", "-f", "-n", 50, "--json", "--log", log) as command:
            command.lines(1000)
            enough.set()
            writer.join()
            lines = command.lines(1000)
            while numbers(lines[-1:]) != written[-1:]:
                lines = command.lines(len(lines) + 1)
        handler.close()
        found = numbers(lines)

        assert found == [*range(found[0], len(written))]

    def test_filters_and_no_seam(self, log):
        """A filter applies to live events as to stored ones, also if no stored one matches."""
        with running("tail", "-f", "--json", "--trace", "t", "--log", log) as command:
            for n in range(30, 40):
                write_events(log, *numbered(n), *numbered(n, trace_id="t"))
                found = command.lines(n - 29)

        assert numbers(found) == [*range(30, 40)]
        assert all(json.loads(line)["trace_id"] == "t" for line in found)

    def test_several_logs(self, tmp_path):
        """Several logs are followed together, each in its order; one that does not exist is waited for."""
        first = write_events(tmp_path / "a.log", *numbered(1))
        second = tmp_path / "new" / "b.log"
        with running("tail", "-f", "--json", "--log", first, "--log", second) as command:
            assert numbers(command.lines(1)) == [1]

            write_events(second, *numbered(2))
            command.lines(2)
            write_events(first, *numbered(3))

            assert numbers(command.lines(3)) == [1, 2, 3]
            assert command.end(signal.SIGINT) == (130, f"chora-logging: waiting for {second}\n")

    def test_what_is_skipped_is_said_once(self, log):
        """Lines that are not events are counted once, also those that are read twice at the seam."""
        with open(log, "ab") as file:
            file.write(b"broken\n[1]\n")
        with running("tail", "-f", "-n", 12, "--json", "--log", log) as command:
            command.lines(12)
            write_events(log, *numbered(30))
            command.lines(13)
            status, errors = command.end(signal.SIGINT)

        assert status == 130
        assert errors == (
            "chora-logging: skipped 2 lines that are not events in app: "
            "1 JSON, but not an object; 1 not JSON\n"
        )

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_what_was_deleted_unread(self, tmp_path, options):
        """If retention was faster than the reader, a line says that events are missing, and it continues."""
        handler = EventFileHandler(tmp_path / "app.log", backupCount=1)
        handler.setFormatter(EventFormatter())

        def write(n):
            handler.handle(logging.makeLogRecord({"msg": "x", "n": n}))

        write(0)
        with running("tail", "-f", *options, "--log", tmp_path / "app.log") as command:
            command.lines(1)
            command.process.send_signal(signal.SIGSTOP)
            os.waitpid(command.process.pid, os.WUNTRACED)
            for n in range(1, 9):
                handler.doRollover()
                write(n)
            command.process.send_signal(signal.SIGCONT)
            found = command.lines(3 if options else 4)
            status, errors = command.end(signal.SIGINT)
        handler.close()

        told = errors.splitlines() if options else [found.pop(1)]
        assert status == 130
        assert len(told) == 1
        assert "── events are missing" in told[0]
        assert [re.findall(r"\bn\W+(\d)", line) for line in found] == [["0"], ["7"], ["8"]]

    def test_for_eyes(self, log):
        """The lines for people are printed as soon as the events are written."""
        stamp = datetime.now(timezone.utc).isoformat()
        with running("tail", "-f", "-n", 1, "--log", log) as command:
            command.lines(1)
            write_events(log, {"timestamp": stamp, "event": "now"})

            assert command.lines(2)[-1].split()[-1] == "now"


class TestCost:
    def test_what_is_imported(self, log):
        """A command imports what it needs: no other command, no model, no server."""
        program = (
            "import sys, chora_logging.cli as cli\n"
            f"status = cli.main(['tail', '--log', {str(log)!r}])\n"
            "print(*sys.modules, file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
        )
        unwanted = ("pydantic", "asyncio", "starlette", "uvicorn", "nats", "pyarrow", "yaml", "tomli_w")
        rooms = (
            "telemetry",
            "orchestrator",
            "web",
            "writing",
            "formatting",
            "cli.query",
            "cli.demo",
            "cli.stats",
        )

        found = set(done.stderr.split())
        assert "chora_logging.cli.tail" in found
        assert not found & {*unwanted, *(f"chora_logging.{room}" for room in rooms)}


class TestEnds:
    @pytest.mark.parametrize("options", [["--json"], []])
    def test_a_closed_pipe(self, log, options):
        """`tail | head` ends quietly, with the status that a shell gives to SIGPIPE."""
        write_events(log, *numbered(*range(30, 3000)))
        reading, writing = os.pipe()
        with running("tail", "-n", 3000, "--log", log, *options, stdout=writing) as command:
            os.close(writing)
            with open(reading, "rb") as file:
                assert file.readline()
            assert command.process.wait(DEADLINE) == 141
            assert command.process.stderr.read() == b""

    def test_nobody_reads(self, log):
        """A pipe that is closed before anything is written ends it as quietly."""
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [*COMMAND, "tail", "--log", log], env=environment(), stdout=writing, stderr=subprocess.PIPE
        )
        os.close(writing)

        assert (done.returncode, done.stderr) == (141, b"")

    def test_on_a_real_terminal(self, log):
        """A terminal gets colours, the whole width, and no traceback when Ctrl-C is pressed."""
        master, slave = pty.openpty()
        with running(
            "tail", "-f", "--log", log, stdout=slave, stderr=slave, env=environment(COLUMNS="40")
        ) as command:
            os.close(slave)
            data = b""
            while b"29" not in data:
                data += os.read(master, 65536)
            command.process.send_signal(signal.SIGINT)
            with contextlib.suppress(OSError):  # Linux says EIO when the other side is closed
                while part := os.read(master, 65536):
                    data += part
            os.close(master)
            assert command.process.wait(DEADLINE) == 130

        assert b"\x1b[" in data
        assert data.count(b"\n") == 1 + 10 + 1  # the day, the events, and the row in which ^C stands
        assert b"Traceback" not in data
