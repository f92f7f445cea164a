"""`chora-logging sql`: the same events and the same meaning in SQL, and nothing else."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import math
import os
import signal
import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from chora_logging.cli import main
from chora_logging.cli.logs import named
from chora_logging.cli.sql import columns, database
from chora_logging.cli.sql.database import Plan
from chora_logging.eventlog import lines as event_lines
from chora_logging.eventlog.log import EventLog
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.values import text_of
from tests.cli.calling import HOSTILE, assert_tame, write_events
from tests.cli.running import DEADLINE, running
from tests.meanings import CASES, TIMES

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

OWN = {
    "timestamp": "2026-03-01T12:00:00.000001Z",
    "level": "WARNING",
    "logger": "orchestrator_events",
    "event": "job_failed",
    "task_id": "build",
    "run_id": 7,
    "trace_id": "4bf92f35",
    "message": "grün",
    "duration_ms": 5,
    "status": "failed",
}

#: A query that gives its first rows at once, and would go on for days.
ENDLESS = "SELECT i FROM range(100000000000000) AS numbers(i) WHERE i < 5000"


def rows_of(call, query, *arguments, status=0):
    """The rows of a query, and what was said on stderr."""
    ended, output, errors = call("sql", query, *arguments, "--json")
    assert ended == status, errors
    return [json.loads(line) for line in output.splitlines()], errors


def called(*arguments):
    """Call a command without pytest's capture: its status and its stdout."""
    screen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(io.StringIO()):
        status = main([str(argument) for argument in arguments])
    screen.flush()
    return status, screen.buffer.getvalue()


def expected(event, name, meaning):
    """The row of an event, as the meaning of its fields says."""
    seconds = meaning.time_of(event)
    severity = meaning.severity_of(event)
    times = None
    if seconds is not None:
        moment = EPOCH + timedelta(microseconds=round(seconds * 1e6))
        times = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {
        "timestamp": times,
        "level": as_text(meaning.level_of(event)),
        "logger": as_text(event.get("logger")),
        "event": as_text(meaning.event_of(event)),
        "task_id": as_text(event.get("task_id")),
        "run_id": as_text(event.get("run_id")),
        "trace_id": as_text(meaning.trace_of(event)),
        "message": as_text(meaning.message_of(event)),
        "duration_ms": meaning.duration_of(event),
        "severity": None if severity is None or math.isinf(severity) else severity,
        "is_error": meaning.is_error(event),
        "log": name,
        "line": json.loads(event.json),
    }


def as_text(value):
    """A value as a column of text has it: UTF-8 has no lone surrogates."""
    if value is None:
        return None
    return text_of(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class TestColumns:
    def test_our_own_lines(self, call, tmp_path):
        """Our own fields have their types; a number in a field of text is its JSON."""
        log = write_events(tmp_path / "app.log", OWN)

        assert rows_of(call, "FROM events", log) == (
            [
                {
                    **{name: OWN[name] for name in OWN if name != "status"},
                    "timestamp": "2026-03-01T12:00:00.000001Z",
                    "run_id": "7",
                    "duration_ms": 5.0,
                    "severity": 30.0,
                    "is_error": True,
                    "log": "app",
                    "line": OWN,
                }
            ],
            "",
        )

    def test_types(self, call, tmp_path):
        """The types do not depend on what is in the log."""
        log = write_events(tmp_path / "app.log", {"duration_ms": "soon", "timestamp": 1, "level": []})
        found, _ = rows_of(call, "SELECT column_name, column_type FROM (DESCRIBE events)", log)

        assert {row["column_name"]: row["column_type"] for row in found} == {
            name: column.type for name, column in columns.COLUMNS.items()
        }
        assert list(columns.COLUMNS) == [row["column_name"] for row in found]

    def test_fields_of_other_producers(self, call, tmp_path):
        """Levels and times of others mean what they mean for all readers."""
        events = [case.event for case in CASES]
        events += [{"timestamp": time} for time, _ in TIMES if not isinstance(time, float)]
        log = write_events(tmp_path / "app.log", *events)
        found, _ = rows_of(call, "FROM events", log)

        assert found == [expected(event, "app", Meaning()) for event in EventLog(log).read()]

    def test_a_huge_number(self, call, tmp_path):
        """A number that no column can hold is the highest level, and no duration."""
        log = write_events(tmp_path / "app.log", {"level": 10**400, "duration_ms": 10**400})
        found, _ = rows_of(call, "SELECT severity, duration_ms, line FROM events", log)

        line = {"level": 10**400, "duration_ms": 10**400}
        assert found == [{"severity": 1e9, "duration_ms": None, "line": line}]

    def test_names_of_fields(self, call, tmp_path):
        """`--field` says which field has a meaning."""
        log = write_events(tmp_path / "app.log", {"sev": "err", "when": 1759060800})
        query = "SELECT level, epoch(timestamp) AS seconds FROM events"
        found = rows_of(call, query, log, "--field", "level=sev", "--field", "time=when")

        assert found == ([{"level": "ERROR", "seconds": 1759060800.0}], "")

    def test_fields_in_the_line(self, call, tmp_path):
        """Every field can be had from the line."""
        log = write_events(tmp_path / "app.log", {"user": {"id": [1, "zwölf"]}})

        assert rows_of(call, "SELECT line->>'$.user.id[1]' AS id FROM events", log)[0] == [{"id": "zwölf"}]

    def test_many_rows_with_and_without_values(self, call, tmp_path):
        """Values stay in their rows over many batches."""
        events = [{"event": f"e{n}", "duration_ms": n} if n % 3 else {"n": n} for n in range(7000)]
        log = write_events(tmp_path / "app.log", *events)
        found, _ = rows_of(call, "SELECT event, duration_ms, is_error, line FROM events", log)

        assert [row["line"] for row in found] == events
        assert [row["event"] for row in found] == [event.get("event") for event in events]
        assert [row["duration_ms"] for row in found] == [event.get("duration_ms") for event in events]


#: Values of fields, names that mean something, and lines that are none or not quite JSON.
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(HOSTILE),
    st.sampled_from(["2026-03-01T12:00:00Z", "2026-03-01 12:00:00,5", "ERROR", "warn", "1.5s", "failed"]),
    st.sampled_from([1759060800, 1759060800123, 40, 10**400, "🎉", "\ud83d"]),
)  # fmt: skip
names = st.sampled_from(
    [*OWN, *("time", "@t", "severity", "lvl", "msg", "elapsed", "request_id", "status", "é")]
)
objects = st.dictionaries(names, values | st.dictionaries(names, values, max_size=2), max_size=6)
objects |= st.builds(lambda fields: {**OWN, **fields}, objects)
lines = st.one_of(
    objects.map(lambda event: json.dumps(event).encode()),
    objects.map(lambda event: json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    objects.map(lambda event: json.dumps(event).encode()[:-2]),
    st.sampled_from(
        [b"", b" ", b"null", b"[1]", b"{}", b"{}{}", b'{"a":1,"a":2}', b"\0\0{}", b"\xff", b"\r"]
    ),
    st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")),
)


class TestSameAnswers:
    @settings(max_examples=10, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(lines, max_size=30), st.sampled_from([b"", b"\n"]), st.sampled_from(sorted(columns.COLUMNS))
    )
    def test_any_lines(self, tmp_path_factory, found, end, column):
        """Whatever the lines are, a query sees the events that the reader sees, with the same meaning.

        So does one that needs only a column, for which the lines are not decoded whole.
        """
        log = tmp_path_factory.mktemp("any") / "app.log"
        log.write_bytes(b"\n".join(found) + end)
        events = list(named([str(log)]).existing()[0].read(unended=True))
        status, output = called("sql", "FROM events", log, "--json")

        assert status == (0 if events else 1)
        assert [json.loads(line) for line in output.splitlines()] == [
            expected(event, "app", Meaning()) for event in events
        ]
        status, output = called("sql", f"SELECT {column} FROM events", log, "--json")
        assert [json.loads(line) for line in output.splitlines()] == [
            {column: expected(event, "app", Meaning())[column]} for event in events
        ]

    @pytest.mark.parametrize("column", sorted(columns.COLUMNS.keys() - {"line"}))
    def test_only_what_is_needed_is_decoded(self, call, tmp_path, monkeypatch, column):
        """A column is the same alone as beside the line, whoever wrote it, and no line is decoded whole."""
        log = write_events(tmp_path / "app.log", *(case.event for case in CASES))
        whole, _ = rows_of(call, f"SELECT {column}, line FROM events", log)
        decoded = []
        decode = event_lines.decode
        monkeypatch.setattr(event_lines, "decode", lambda line: decoded.append(line) or decode(line))

        alone, _ = rows_of(call, f"SELECT {column} FROM events", log)
        assert [row[column] for row in alone] == [row[column] for row in whole]
        assert not decoded

    @pytest.mark.parametrize("value", ["x" * 1000, ["x"] * 1000, {"x" * 500: "x" * 500}])
    @pytest.mark.parametrize("names", [["message"], ["message", "line"]])
    def test_long_values_make_small_batches(self, tmp_path, monkeypatch, value, names):
        """Memory is bounded by what a batch has, whole lines or not."""
        monkeypatch.setattr(columns, "BATCH_BYTES", 10_000)
        log = write_events(tmp_path / "app.log", *[{"message": value}] * 100)
        batches = list(columns.read(named([str(log)]).existing(), names)())

        assert sum(batch.length for batch in batches) == 100
        assert max(batch.length for batch in batches) <= 10

    def test_as_query_and_stats(self, call, tmp_path):
        """The filters of `query`, and the errors of `stats`, are columns."""
        log = write_events(tmp_path / "app.log", *(case.event for case in CASES))
        query = (
            "SELECT count(*) FILTER (severity >= 40) AS high, count(*) FILTER (is_error) AS bad FROM events"
        )
        (found,), _ = rows_of(call, query, log)

        counted = json.loads(call("query", log, "--level", "error", "--count", "--json")[1])
        assert found["high"] == counted["count"]
        assert found["bad"] == json.loads(call("stats", log, "--json")[1])["errors"]

    def test_what_is_not_understood_is_said(self, call, tmp_path):
        """Lines that are no events are counted, and events without a time or level where these are asked."""
        log = tmp_path / "app.log"
        log.write_text('{"level": []}\nno json\n{"timestamp": "soon"}\n{"event_type": "made"}\n{"torn')
        query = "SELECT count(*) AS events FROM events"

        skipped = (
            "chora-logging: skipped 2 lines that are not events in app: "
            "1 at the end without a newline, perhaps not whole; 1 not JSON\n"
        )
        assert rows_of(call, query, log) == ([{"events": 3}], skipped)
        _, errors = rows_of(call, f"{query} WHERE level = 'INFO' OR timestamp < now()", log)
        assert errors.splitlines()[1:] == [
            "chora-logging: 2 of 3 events have no level that can be read "
            "(--field level=NAME says which field has it)",
            "chora-logging: 3 of 3 events have no time that can be read "
            "(--field time=NAME says which field has it)",
        ]

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT count(*) AS n FROM events a JOIN events b USING (event)",
            "SELECT count(*) AS n FROM events WHERE event IN (SELECT event FROM events)",
            "SELECT count(*) AS n FROM (SELECT DISTINCT event FROM events)",
            "WITH e AS (FROM events) SELECT count(*) AS n FROM e a, e b WHERE a.event = b.event",
            "WITH RECURSIVE e(k, event) AS (SELECT 0, NULL::TEXT UNION ALL "
            "SELECT k + 1, events.event FROM e, events WHERE k < 1) SELECT count(event) AS n FROM e",
            "SELECT count(events) AS n FROM events",
            "SELECT count(*) AS n FROM (FROM events UNION FROM events)",
            "SELECT count(*) AS n FROM (PIVOT events ON event IN ('e1') USING count(*) GROUP BY line)",
        ],
    )
    def test_events_that_are_needed_twice(self, call, tmp_path, query):
        """Each event is there exactly once, however often a query reads them."""
        log = write_events(tmp_path / "app.log", *({"event": f"e{n}"} for n in range(3000)))
        found, _ = rows_of(call, query, log)

        assert found == [{"n": 3000}]

    def test_a_plan_that_says_too_little(self, call, tmp_path, monkeypatch):
        """If the plan of another DuckDB is read wrongly, no value is missing."""
        log = write_events(tmp_path / "app.log", *({"event": f"e{n}"} for n in range(3)))
        with open(log, "a", encoding="utf-8") as file:
            file.write("no json\n")
        monkeypatch.setattr(database, "_plan", lambda operators: Plan(["log"], True))
        found, errors = rows_of(call, "SELECT event, level FROM events", log)

        assert found == [{"event": f"e{n}", "level": None} for n in range(3)]
        assert "skipped 1 line that is not" in errors


class TestLogs:
    def test_a_set(self, call, tmp_path):
        """Backups, packed ones too, are read in their order; the torn end of the live file is said."""
        (tmp_path / "app.log.2.gz").write_bytes(gzip.compress(b'{"n": 1}\n{"n": 2}\n'))
        (tmp_path / "app.log.1").write_bytes(b'{"n": 3}\n')
        (tmp_path / "app.log").write_bytes(b'{"n": 4}\n{"n": 5')
        found, errors = rows_of(call, "SELECT line->'n' AS n FROM events", tmp_path / "app.log")

        assert found == [{"n": n} for n in (1, 2, 3, 4)]
        assert "1 at the end without a newline" in errors
        (tmp_path / "app.log").write_bytes(b'{"n": 4}\n{"n": 5}')
        found, errors = rows_of(call, "SELECT line->'n' AS n FROM events", tmp_path / "app.log")
        assert (found, errors) == ([{"n": n} for n in (1, 2, 3, 4, 5)], "")

    def test_several(self, call, tmp_path):
        """The column `log` has the name of the log, however it is spelt."""
        one = write_events(tmp_path / "one.log", {"a": 1}, {"a": 2})
        other = write_events(tmp_path / 'it\'s "two".log', {"a": 3})
        query = "SELECT log, count(*) AS events FROM events GROUP BY log ORDER BY log"

        assert rows_of(call, query, one, "--log", other)[0] == [
            {"log": 'it\'s "two"', "events": 1},
            {"log": "one", "events": 2},
        ]

    def test_a_pipe(self):
        """Events come from stdin too, and are reported on under its name."""
        with running("sql", "SELECT max(level) AS worst FROM events", "--json", stdin=-1) as command:
            output, errors = command.process.communicate(b'{"level": "ERROR"}\nno\n{}\n', timeout=DEADLINE)

        assert json.loads(output) == {"worst": "ERROR"}
        assert errors.decode().splitlines() == [
            "chora-logging: skipped 1 line that is not an event in stdin: 1 not JSON",
            "chora-logging: 1 of 2 events has no level that can be read "
            "(--field level=NAME says which field has it)",
        ]

    def test_none(self, call, tmp_path, monkeypatch):
        """A log that does not exist is wrong use if the user named it, else nothing found."""
        monkeypatch.chdir(tmp_path)
        assert call("sql", "FROM events", "no.log")[0] == 2
        assert call("sql", "FROM events")[0] == 1

    def test_a_rotation_meanwhile_changes_nothing(self, tmp_path):
        """A query gives the events that were there when it began, each once, whatever is rotated."""
        log = tmp_path / "app.log"
        padding = "x" * 500
        for number, name in enumerate(["app.log.2", "app.log.1", "app.log"]):
            with open(tmp_path / name, "w", encoding="utf-8") as file:
                for n in range(4000):
                    file.write(json.dumps({"n": number * 4000 + n, "padding": padding}) + "\n")
        with running("sql", "SELECT line FROM events", log, "--json") as command:
            command.lines(1)  # the pipe is soon full: the rest waits
            (tmp_path / "app.log.2").unlink()
            os.rename(tmp_path / "app.log.1", tmp_path / "app.log.2")
            os.rename(log, tmp_path / "app.log.1")
            write_events(log, {"n": -1})
            output, errors = command.process.communicate(timeout=DEADLINE)

        found = [json.loads(line)["line"]["n"] for line in (command.output + output).splitlines()]
        assert (found, errors) == (list(range(12_000)), b"")


class TestEnds:
    def test_ctrl_c(self, tmp_path):
        """Ctrl-C ends a query in the middle, without an error."""
        log = write_events(tmp_path / "app.log", OWN)
        with running("sql", ENDLESS, log, "--json") as command:
            command.lines(1)
            assert command.end(signal.SIGINT) == (128 + signal.SIGINT, "")

    def test_a_reader_that_ends(self, tmp_path):
        """A query ends with `head`, although it has nothing to write."""
        log = write_events(tmp_path / "app.log", OWN)
        reading, writing = os.pipe()
        with running("sql", ENDLESS, log, "--json", stdout=writing) as command:
            os.close(writing)
            with open(reading, "rb") as file:
                assert file.readline() == b'{"i":0}\n'
            assert command.process.wait(DEADLINE) == 128 + signal.SIGPIPE
            assert command.process.stderr.read() == b""

    def test_first_rows_of_a_large_log(self, tmp_path, monkeypatch):
        """A query that wants few events does not read all of them."""
        log = write_events(tmp_path / "app.log", *({"n": n} for n in range(50_000)))
        read = []
        monkeypatch.setattr(
            columns,
            "_some",
            lambda events, most: read.extend(found := list(itertools.islice(events, most))) or found,
        )
        status, output = called("sql", "SELECT line FROM events LIMIT 3", log, "--json")

        assert (status, output.count(b"\n")) == (0, 3)
        assert len(read) < 25_000

    def test_no_row(self, call, tmp_path):
        """Without a row the status is 1."""
        log = write_events(tmp_path / "app.log", OWN)

        assert call("sql", "FROM events WHERE false", log) == (
            1,
            "",
            "chora-logging: the query gives no row\n",
        )

    def test_files_of_its_own_are_gone(self, call, tmp_path, monkeypatch):
        """What did not fit in memory is deleted."""
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        monkeypatch.setattr(database, "MEMORY", "45MB")
        (tmp_path / "temporary").mkdir()
        events = ({"event": f"{n}" * 20, "message": f"{n}" * 100} for n in range(30_000))
        log = write_events(tmp_path / "app.log", *events)
        query = "SELECT count(*) AS n FROM (SELECT DISTINCT line, message, event FROM events)"

        assert rows_of(call, query, log) == ([{"n": 30_000}], "")
        assert os.listdir(tmp_path / "temporary") == []


class TestRefused:
    @pytest.mark.parametrize(
        ("query", "said"),
        [
            (
                "SELECT levl FROM events",
                'Binder Error: Referenced column "levl" not found in FROM clause! Cand',
            ),
            ("SELECT x FROM event", "Catalog Error: Table with name event does not exist! Did you mean "),
            ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"'),
            (
                "SELECT event::INT FROM events",
                "Conversion Error: Could not convert string '\\x1b[31mred",
            ),
            ("SELECT 1; SELECT 2", "a query must be one SELECT"),
            (" -- nothing", "a query must be one SELECT"),
            ("INSERT INTO events SELECT * FROM events", "a query must be one SELECT"),
            ("DROP VIEW events", "a query must be one SELECT"),
            ("COPY events TO 'stolen.csv'", "a query must be one SELECT"),
            ("ATTACH 'stolen.db'", "a query must be one SELECT"),
            ("SET enable_external_access = true", "a query must be one SELECT"),
            ("INSTALL httpfs", "a query must be one SELECT"),
            ("LOAD httpfs", "a query must be one SELECT"),
            ("CALL pragma_version()", "a query must be one SELECT"),
            ("EXPORT DATABASE 'stolen'", "a query must be one SELECT"),
            ("SELECT", "Invalid value for 'QUERY': must be one argument, in quotation marks"),
            ("", "Invalid value for 'QUERY': must not be empty"),
        ],
    )
    def test_in_one_sentence(self, call, tmp_path, monkeypatch, query, said):
        """What is no query of the events is refused in one line, with status 2."""
        monkeypatch.chdir(tmp_path)
        log = write_events(tmp_path / "app.log", {"event": "\x1b[31mred\n"})
        status, output, errors = call("sql", query, log)

        assert (status, output) == (2, "")
        assert errors.startswith(f"chora-logging sql: {said}")
        assert errors.count("\n") == 1
        assert os.listdir(tmp_path) == ["app.log"]

    def test_names_of_columns(self, call, tmp_path):
        """Who misspells a column is told all of them."""
        log = write_events(tmp_path / "app.log", OWN)
        _, _, errors = call("sql", "SELECT levl FROM events", log)

        assert errors.endswith(f"(the columns of events are {', '.join(columns.COLUMNS)})\n")

    @pytest.mark.parametrize(
        "query",
        [
            "FROM read_text('secret.txt')",
            "FROM read_csv('secret.txt')",
            "FROM read_json('secret.txt')",
            "FROM read_blob('secret.txt')",
            "FROM glob('*')",
            "FROM 'secret.csv'",
            "FROM 'secret.parquet'",
            "FROM sniff_csv('secret.txt')",
            "FROM read_csv('https://example.com/x.csv')",
            "FROM read_parquet('s3://example/x.parquet')",
            "FROM query('FROM read_text(''secret.txt'')')",
            "FROM secret",
            "SELECT getenv('HOME')",
            "FROM sqlite_scan('x', 'y')",
        ],
    )
    def test_other_files(self, call, tmp_path, monkeypatch, query):
        """A query reads no file but the logs, no variable and no network."""
        monkeypatch.chdir(tmp_path)
        for name in ("secret.txt", "secret.csv"):
            (tmp_path / name).write_text("secret\nsecret\n")
        log = write_events(tmp_path / "app.log", OWN)
        status, output, errors = call("sql", query, log)

        assert (status, output) == (2, "")
        assert errors.startswith("chora-logging sql: ")
        assert errors.count("\n") == 1
        assert sorted(os.listdir(tmp_path)) == ["app.log", "secret.csv", "secret.txt"]

    def test_extensions(self, call, tmp_path):
        """No extension is installed or loaded by itself, and nothing of that can be changed."""
        log = write_events(tmp_path / "app.log", OWN)
        query = "SELECT name, value FROM duckdb_settings() WHERE name LIKE 'auto%extensions' OR name IN "
        names = "('enable_external_access', 'lock_configuration', 'allow_community_extensions')"

        assert {row["name"]: row["value"] for row in rows_of(call, query + names, log)[0]} == {
            "allow_community_extensions": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "enable_external_access": "false",
            "lock_configuration": "true",
        }

    def test_content_is_no_query(self, call, tmp_path):
        """Fields that look like SQL are values."""
        bad = "'; DROP VIEW events; SELECT '"
        log = write_events(tmp_path / "app.log", {"event": bad, bad: bad, 'x" FROM y; --': 1})

        assert rows_of(call, "SELECT event FROM events", log) == ([{"event": bad}], "")

    def test_together(self, call, tmp_path):
        """Options that contradict each other are refused."""
        log = write_events(tmp_path / "app.log", OWN)
        for options in (
            ["--json", "--format", "csv"],
            ["--to", tmp_path / "x.csv", "--json"],
            ["--to", "x.xls"],
        ):
            assert call("sql", "FROM events", log, *options)[:2] == (2, "")


class TestOutput:
    QUERY = "SELECT event, count(*) AS events, max(duration_ms) AS longest FROM events GROUP BY 1 ORDER BY 1"

    @pytest.fixture
    def log(self, tmp_path):
        """A log with few events."""
        return write_events(tmp_path / "app.log", OWN, OWN, {**OWN, "event": "a", "duration_ms": 0.1234567})

    def test_table(self, call, log):
        """Numbers are on the right; what is missing is a dash."""
        assert call("sql", self.QUERY, log)[1].splitlines() == [
            "event       events   longest",
            "a                1  0.123457",
            "job_failed       2         5",
        ]

    @pytest.mark.parametrize("width", [20, 40, 80, 120])
    def test_a_terminal(self, terminal, log, width):
        """The table fits the terminal, and says for what there is no room."""
        status, text = terminal("sql", "FROM events", log, width=width)

        assert status == 0
        assert_tame(text, width)
        assert "no room for" in text

    @pytest.mark.parametrize("options", [[], ["--json"], ["--format", "csv"]])
    def test_hostile_content(self, terminal, tmp_path, options):
        """No character of a log controls the terminal, nor one of the query."""
        log = write_events(tmp_path / "app.log", *({"event": text, "message": text} for text in HOSTILE))
        query = 'SELECT event AS "\x1b[31mred", message, line FROM events'
        status, text = terminal("sql", query, log, *options)

        assert status == 0
        assert_tame(text)
        assert text.count("\n") >= len(HOSTILE)

    def test_csv(self, call, tmp_path):
        """CSV has the rules of other commands: no formula, times in RFC 3339, JSON for lists."""
        log = write_events(tmp_path / "app.log", {**OWN, "event": "=1+1"})
        query = "SELECT timestamp, event, [1, NULL] AS list, NULL AS nothing FROM events"

        assert call("sql", query, log, "--format", "csv")[1] == (
            'timestamp,event,list,nothing\n2026-03-01T12:00:00.000001Z,\'=1+1,"[1, null]",\n'
        )

    def test_json(self, call, log):
        """Every type is strict JSON, and columns of one name are told apart."""
        query = """
            SELECT 1 AS a, 2 AS a, 'inf'::DOUBLE AS inf, 2::HUGEINT ** 70 AS real,
              2::HUGEINT << 100 AS huge,
              1.5 AS exact, 2.0 AS whole, [1, NULL]::INT[] AS list, {'x': [DATE '2026-03-01']} AS struct,
              MAP {1: TIME '10:00'} AS map, TIMESTAMP '2026-03-01' AS moment, INTERVAL 90 MINUTES AS span,
              'ab'::BLOB AS bytes, uuid() IS NULL AS no, '{"b": [1, 2.50]}'::JSON AS json, NULL AS nothing,
              now() > '2026-03-01' AS later
        """
        (row,), _ = rows_of(call, query, log)
        assert row == {
            **{"a": 1, "a_1": 2, "inf": None, "real": 2.0**70, "huge": 2**101, "exact": 1.5, "whole": 2},
            **{"list": [1, None], "struct": {"x": ["2026-03-01"]}, "map": {"1": "10:00:00"}},
            **{"moment": "2026-03-01T00:00:00.000000Z", "span": "1:30:00", "bytes": "6162", "no": False},
            **{"json": {"b": [1, 2.5]}, "nothing": None, "later": True},
        }

    def test_now(self, call, log):
        """Times with a zone are in UTC, and compare with those of events."""
        now = time.time()
        query = "SELECT now() AS now, epoch(now()) AS seconds, max(timestamp) < now() AS past FROM events"
        (row,), _ = rows_of(call, query, log)

        assert row["past"] is True
        assert row["seconds"] >= now
        assert datetime.fromisoformat(row["now"].replace("Z", "+00:00")).timestamp() >= now

    @pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
    def test_to_a_file(self, call, log, tmp_path, ending):
        """The ending of the file says the format; a file that was there is replaced, which is said."""
        path = tmp_path / f"out's.{ending}"
        query = "SELECT timestamp, event, line FROM events LIMIT 2; "
        status, output, errors = call("sql", query, log, "--to", path)

        assert (status, output) == (0, "")
        assert errors.startswith(f"chora-logging: 2 rows written to {path} (")
        assert "replaces" not in errors
        again = call("sql", query, log, "--to", path)[2]
        assert again == errors.replace(")\n", "); it replaces an earlier file\n")
        assert sorted(os.listdir(tmp_path)) == ["app.log", path.name]
        if ending == "parquet":
            table = parquet.read_table(path)
            assert table.column("event").to_pylist() == ["job_failed"] * 2
            assert table.column("timestamp").to_pylist()[0] == datetime(2026, 3, 1, 12, 0, 0, 1)
            assert json.loads(table.column("line").to_pylist()[0]) == OWN
        elif ending == "jsonl":
            assert [json.loads(line)["line"] for line in path.read_text().splitlines()] == [OWN, OWN]
        else:
            assert path.read_text().startswith(
                "timestamp,event,line\n2026-03-01T12:00:00.000001Z,job_failed,"
            )

    def test_not_to_a_log(self, call, tmp_path):
        """A log that is read is never replaced."""
        log = write_events(tmp_path / "app.jsonl", OWN)
        status, _, errors = call("sql", "FROM events", log, "--to", log)

        assert status == 2
        assert "must not be a log that is read" in errors
        assert json.loads(log.read_text()) == OWN

    def test_a_file_that_fails(self, call, log, tmp_path):
        """A file is replaced only by a whole one."""
        path = tmp_path / "x.parquet"
        path.write_text("mine")

        assert call("sql", "SELECT event::INT FROM events", log, "--to", path)[0] == 2
        assert call("sql", "FROM events WHERE false", log, "--to", path)[0] == 1
        assert path.read_text() == "mine"
        assert sorted(os.listdir(tmp_path)) == ["app.log", "x.parquet"]
