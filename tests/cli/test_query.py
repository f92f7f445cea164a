"""`chora-logging query`: the matching events as a table, JSON Lines, CSV or Parquet, or counted."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tracemalloc

import pyarrow.parquet
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chora_logging.cli import export, rows
from chora_logging.cli.logs import Found, Log
from chora_logging.cli.rows import Rows
from chora_logging.cli.table import WANTED, fit
from chora_logging.eventlog.events import Event, strict_json
from tests.cli.calling import HOSTILE, assert_tame, write_events

FORMULAS = ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1")


def at(second, event="step", **fields):
    return {"timestamp": f"2026-03-01T12:00:{second:02}", "event": event, **fields}


@pytest.fixture
def log(tmp_path):
    """A log of two files and five events."""
    write_events(
        tmp_path / "app.log.1",
        at(1, "job_started", level="INFO", task_id="t-1", status="running"),
        at(2, "job_failed", level="ERROR", task_id="t-1", status="failed", duration_ms=12, error="no footer"),
    )
    return write_events(
        tmp_path / "app.log",
        {"timestamp": "2026-03-01T12:00:03", "event_type": "chora.made", "status": "success", "n": 1},
        at(4, "job_started", level="INFO", task_id="t-2", status="running"),
        at(5, level="DEBUG", n=2),
    )


@pytest.fixture
def logs(log, tmp_path):
    """The options for that log and another one."""
    return ("--log", log, "--log", write_events(tmp_path / "b.log", at(3, "between", n=[1])))


def seconds(output):
    return [int(json.loads(line)["timestamp"][-2:]) for line in output.splitlines()]


class TestWhatIsFound:
    def test_the_order_and_the_limit(self, log, call):
        """Events come oldest first, or newest first, and at most as many as the limit."""
        assert seconds(call("query", "--log", log, "--json")[1]) == [1, 2, 3, 4, 5]
        assert seconds(call("query", "--log", log, "--json", "--limit", 2)[1]) == [1, 2]
        assert seconds(call("query", "--log", log, "--json", "--limit", 2, "--newest-first")[1]) == [5, 4]

    def test_several_logs(self, logs, call):
        """Several logs are one stream in the order of time."""
        assert seconds(call("query", *logs, "--json")[1]) == [1, 2, 3, 3, 4, 5]

    @pytest.mark.parametrize("form", ["table", "json", "csv"])
    def test_nothing_fits(self, log, call, form):
        """If no event matches, nothing is printed, and the status is 1."""
        assert call("query", "--log", log, "--event", "nope", "--format", form) == (
            1,
            "",
            "chora-logging: no event matches\n",
        )

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--limit", "0"), "'--limit'"),
            (("--format", "xml"), "'--format'"),
            (("--count", "--limit", "3"), "--limit cannot be used with --count"),
            (("--count", "--to", "x.csv"), "--to writes events: it cannot be used with --count or --by"),
            (("--newest-first", "--count"), "--newest-first cannot be used with --count or --by"),
            (("--newest-first", "--by", "n"), "--newest-first cannot be used with --count or --by"),
            (("--json", "--format", "csv"), "--json cannot be used together with --format csv"),
            (("--json", "--to", "x.csv"), "--to takes the format from the file name"),
            (("--format", "csv", "--to", "x.jsonl"), "--to takes the format from the file name"),
            (("--by", ""), "'--by': must not be empty"),
            (("--to", "x.xlsx"), "'--to': must end in .csv, .jsonl or .parquet, got 'x.xlsx'"),
            (("--to", "no/such/x.csv"), "'--to': must be in a folder that exists, got 'no/such/x.csv'"),
        ],
    )
    def test_wrong_use(self, log, call, options, said):
        """Options that exclude each other, or have a wrong value, are an error with status 2."""
        status, output, errors = call("query", "--log", log, *options)

        assert (status, output) == (2, "")
        assert said in " ".join(errors.split())


class TestCounts:
    def test_count(self, log, call):
        """The count is the number of matching events; 0 is status 1."""
        assert call("query", "--log", log, "--count") == (0, "5\n", "")
        assert call("query", "--log", log, "--count", "--level", "info") == (0, "4\n", "")
        assert call("query", "--log", log, "--count", "--json") == (0, '{"count": 5}\n', "")
        assert call("query", "--log", log, "--count", "--format", "csv") == (0, "count\n5\n", "")
        assert call("query", "--log", log, "--count", "--event", "x")[:2] == (1, "0\n")

    def test_by_a_field(self, log, call):
        """The values of a field come most frequent first, a missing one as null; a limit counts values."""
        assert call("query", "--log", log, "--by", "status", "--format", "csv")[1] == (
            "status,count\nrunning,2\nfailed,1\nsuccess,1\n,1\n"
        )
        assert call("query", "--log", log, "--by", "status", "--json", "--limit", 1)[1] == (
            '{"status": "running", "count": 2}\n'
        )
        assert call("query", "--log", log, "--by", "n", "--count", "--json", "--where", "n=2")[1] == (
            '{"n": 2, "count": 1}\n'
        )

    def test_by_event(self, log, call):
        """An event is counted by its name or type, as in the filter."""
        found = call("query", "--log", log, "--by", "event", "--format", "csv")[1]

        assert found == "event,count\njob_started,2\njob_failed,1\nchora.made,1\nstep,1\n"

    def test_by_what_others_call_differently(self, tmp_path, call):
        """A level or a trace is counted under its name here, whatever its field is called."""
        log = write_events(
            tmp_path / "b.log", {"lvl": "warn", "traceId": "t"}, {"level": "WARNING"}, {"n": 1}
        )
        found = call("query", "--log", log, "--by", "level", "--by", "trace_id", "--format", "csv")[1]

        assert found == "level,trace_id,count\nWARNING,t,1\nWARNING,,1\n,,1\n"

    def test_by_several_fields(self, log, call):
        """Several fields are counted together; the table fits."""
        assert call("query", "--log", log, "--by", "event", "--by", "task_id", "--level", "info") == (
            0,
            "count  event        task_id\n"
            "    1  job_started  t-1\n"
            "    1  job_failed   t-1\n"
            "    1  chora.made   -\n"
            "    1  job_started  t-2\n",
            "",
        )

    def test_by_what_is_no_text(self, tmp_path, call):
        """Lists and objects are values too, and 1 is not true."""
        log = write_events(
            tmp_path / "app.log", {"x": [1]}, {"x": [1]}, {"x": {"a": None}}, {"x": 1}, {"x": True}
        )

        found = [
            json.loads(line) for line in call("query", "--log", log, "--by", "x", "--json")[1].splitlines()
        ]

        assert [(row["x"], row["count"]) for row in found] == [([1], 2), ({"a": None}, 1), (1, 1), (True, 1)]

    def test_values_that_read_alike(self, tmp_path, call):
        """Text is quoted only if it is empty or reads like another value in the table."""
        values = (1, "1", True, "true", None, "-", "", "x")
        log = write_events(tmp_path / "app.log", *({"x": value} for value in values), {})

        rows = call("query", "--log", log, "--by", "x")[1].splitlines()[1:]

        assert [row.split()[1] for row in rows] == ["-", "1", '"1"', "true", '"true"', '"-"', '""', "x"]
        alone = call("query", "--log", log, "--by", "x", "--where", "x=1", "--since", "7d")
        assert alone[0] == 1
        write_events(tmp_path / "b.log", {"x": "1"}, {"x": "2"})
        assert call("query", "--log", tmp_path / "b.log", "--by", "x")[1] == "count  x\n    1  1\n    1  2\n"


class TestTable:
    def test_on_a_terminal(self, log, terminal):
        """The table has the most important columns, one event a line, and names the columns without room."""
        assert terminal("query", "--log", log) == (
            0,
            "time            level  event        task  status    took  error      n\n"
            "03-01 12:00:01  INFO   job_started  t-1   running\n"
            "03-01 12:00:02  ERROR  job_failed   t-1   failed   12 ms  no footer\n"
            "03-01 12:00:03         chora.made         success                    1\n"
            "03-01 12:00:04  INFO   job_started  t-2   running\n"
            "03-01 12:00:05  DEBUG  step                                          2\n",
        )
        assert terminal("query", "--log", log, "--limit", 2, width=40)[1] == (
            "time            level  event        task\n"
            "03-01 12:00:01  INFO   job_started  t-1\n"
            "03-01 12:00:02  ERROR  job_failed   t-1\n"
            "no room for status, took, error\n"
        )

    def test_which_log(self, logs, call):
        """If there are several logs, each row names its log."""
        lines = call("query", *logs, width=120)[1].splitlines()

        assert [line.split()[2] for line in lines[2:5]] == ["ERROR", "app", "b"]

    def test_a_field_with_the_name_of_a_column(self, tmp_path, call):
        """A field with the name of a standard column has a column of its own."""
        log = write_events(tmp_path / "app.log", at(1, event="tick", task_id="t-1", task=7, time="now"))

        assert call("query", "--log", log)[1] == (
            "time            event  task  task=  time=\n03-01 12:00:01  tick   t-1   7      now\n"
        )

    def test_in_a_pipe(self, log, call):
        """A pipe gets all columns, whole, without colours."""
        write_events(
            log,
            at(6, trace_id="4bf92f3577b34da6a3ce929d0e0e4736", **{f"field_{n}": n for n in range(30)}),
            at(7, event="long", note="x" * 20_000),
        )

        _, text, errors = call("query", "--log", log, width="")

        assert errors == ""
        assert "no room" not in text
        assert "field_29" in text.splitlines()[0]
        assert "2026-03-01 12:00:06.000" in text
        assert "4bf92f3577b34da6a3ce929d0e0e4736" in text
        assert "x" * 20_000 in text

    @pytest.mark.parametrize("width", [20, 40, 80, 200])
    def test_hostile_events(self, tmp_path, terminal, width):
        """Control characters in values and in names of fields are escaped, and each line fits."""
        fields = ("event", "task_id", "message", "error", "status", "level", "timestamp", "other")
        events = [{**at(1), name: text, text: text} for text in HOSTILE for name in fields]
        log = write_events(tmp_path / "app.log", *events)

        for options in ((), ("--by", "event"), ("--by", HOSTILE[0])):
            status, text = terminal("query", "--log", log, *options, width=width)

            assert status == 0
            assert_tame(text, width)

    @given(
        st.dictionaries(st.sampled_from([*WANTED, "a", "b", "c"]), st.integers(1, 300)), st.integers(1, 300)
    )
    def test_columns_fit(self, natural, width):
        """The columns together are never wider than the terminal, and none is wider than its content."""
        widths = fit(natural, width)

        assert sum(widths.values()) + 2 * (len(widths) - 1) <= width or not widths
        assert [head for head in natural if head in widths] == list(widths)
        assert all(0 < widths[head] <= natural[head] for head in widths)


class TestCsv:
    def test_the_columns(self, logs, call):
        """There is a column for each field of any event, and for the log if there are several."""
        found = list(csv.DictReader(io.StringIO(call("query", *logs, "--format", "csv")[1])))

        heads = ("log", "timestamp", "level", "event", "task_id", "status", "duration_ms", "error")
        assert tuple(found[0]) == (*heads, "event_type", "n")
        assert [row["log"] for row in found] == ["app", "app", "app", "b", "app", "app"]
        assert [row["n"] for row in found] == ["", "", "1", "[1]", "", "2"]

    def test_a_field_called_log(self, tmp_path, call):
        """A field `log` is a column if one log is read; if several are, the column names the log."""
        log = write_events(tmp_path / "app.log", {"log": "mine"})
        other = write_events(tmp_path / "b.log", {"n": 1})

        assert call("query", "--log", log, "--format", "csv")[1] == "log\nmine\n"
        assert call("query", "--log", log, "--log", other, "--format", "csv")[1] == "log,n\napp,\nb,1\n"

    @pytest.mark.parametrize("text", FORMULAS)
    def test_formulas(self, tmp_path, call, text):
        """Text that a spreadsheet would run as a formula has an apostrophe before it, in cells and heads."""
        log = write_events(tmp_path / "app.log", {text: text})

        found = list(csv.reader(io.StringIO(call("query", "--log", log, "--format", "csv")[1], newline="")))

        assert found == [["'" + text], ["'" + text]]

    @pytest.mark.parametrize("value", [-5, -0.5, "-5", "+1.5e3", "a=b", "", "'x", "日\nx", 'a"b,c'])
    def test_values_stay(self, tmp_path, call, value):
        """Numbers and all other text are unchanged."""
        log = write_events(tmp_path / "app.log", {"a": 1, "b": value})

        found = list(csv.reader(io.StringIO(call("query", "--log", log, "--format", "csv")[1], newline="")))

        assert found[1] == ["1", str(value)]

    def test_on_a_terminal(self, tmp_path, terminal):
        """On a terminal, control characters in CSV are escaped."""
        log = write_events(tmp_path / "app.log", *({"a": text, text: 1} for text in HOSTILE))

        assert_tame(terminal("query", "--log", log, "--format", "csv")[1])
        assert_tame(terminal("query", "--log", log, "--by", "a", "--format", "csv")[1])
        assert_tame(terminal("query", "--log", log, "--by", HOSTILE[1], "--json")[1])


class TestFiles:
    def test_csv_and_jsonl(self, log, tmp_path, call):
        """A file has the same content as stdout would; stdout is empty, and stderr reports the file."""
        for name, options in (("x.csv", ("--format", "csv")), ("x.jsonl", ("--json",))):
            path = tmp_path / name
            expected = call("query", "--log", log, *options)[1]

            status, output, errors = call("query", "--log", log, "--to", path)

            assert (status, output) == (0, "")
            assert errors.startswith(f"chora-logging: 5 events written to {path} (")
            assert path.read_text(encoding="utf-8") == expected

    def test_parquet(self, logs, tmp_path, call):
        """Parquet has typed columns; if events disagree about the type, the column has text."""
        assert call("query", *logs, "--to", tmp_path / "x.parquet")[0] == 0

        table = pyarrow.parquet.read_table(tmp_path / "x.parquet")
        assert {field.name: str(field.type) for field in table.schema} == {
            **dict.fromkeys(("log", "timestamp", "level", "event", "task_id", "status"), "string"),
            **dict.fromkeys(("error", "event_type", "n"), "string"),
            "duration_ms": "int64",
        }
        assert table.column("n").to_pylist() == [None, None, "1", "[1]", None, "2"]
        assert table.column("duration_ms").to_pylist() == [None, 12, None, None, None, None]

    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from("abc"),
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(st.characters(exclude_categories=["Cs"])),
                max_size=3,
            ),
            min_size=1,
        )
    )
    def test_parquet_takes_every_event(self, tmp_path_factory, events):
        """Each event is a row with its values, or with their JSON if types mix."""
        assume(any(events))
        path = tmp_path_factory.mktemp("parquet") / "x.parquet"
        with stored(*events) as found:
            export.write_parquet(found, str(path), with_log=False)

        table = pyarrow.parquet.read_table(path).to_pylist()
        assert len(table) == len(events)
        for row, event in zip(table, events, strict=True):
            for name, value in event.items():
                assert row[name] in (value, json.dumps(value))

    def test_without_pyarrow(self, log, tmp_path, call, monkeypatch):
        """Without pyarrow, the error says how to install it, before anything is read."""
        monkeypatch.setitem(sys.modules, "pyarrow", None)

        assert call("query", "--log", log, "--to", tmp_path / "x.parquet") == (
            2,
            "",
            "chora-logging: pyarrow is not installed: pip install 'chora_logging[parquet]'\n",
        )

    def test_nothing_fits(self, log, tmp_path, call):
        """If no event matches, no file is made, and an existing one stays."""
        (tmp_path / "x.csv").write_text("before")

        assert call("query", "--log", log, "--event", "nope", "--to", tmp_path / "x.csv")[0] == 1
        assert (tmp_path / "x.csv").read_text() == "before"

    def test_a_log_is_not_overwritten(self, log, tmp_path, call):
        """A log that is read is not overwritten."""
        os.rename(log, tmp_path / "app.jsonl")
        before = (tmp_path / "app.jsonl").read_bytes()

        status, _, errors = call("query", "--log", tmp_path / "app.jsonl", "--to", tmp_path / "app.jsonl")

        assert status == 2
        assert "must not be a log that is read" in errors
        assert (tmp_path / "app.jsonl").read_bytes() == before

    def test_a_link(self, log, tmp_path, call):
        """A link stays a link: its target is written."""
        (tmp_path / "there").mkdir()
        (tmp_path / "x.csv").symlink_to("there/real.csv")

        assert call("query", "--log", log, "--to", tmp_path / "x.csv")[0] == 0
        assert (tmp_path / "x.csv").is_symlink()
        assert (tmp_path / "there" / "real.csv").read_text().startswith("timestamp,")

    def test_a_folder_that_takes_no_file(self, log, call):
        """If no file can be made, the error names the requested one."""
        assert call("query", "--log", log, "--to", "/proc/x.csv") == (
            1,
            "",
            "chora-logging: /proc/x.csv: No such file or directory\n",
        )

    def test_a_failed_write_leaves_nothing(self, tmp_path):
        """A file that could not be completed is deleted, and the previous one stays."""
        (tmp_path / "x.csv").write_text("before")
        with pytest.raises(OSError, match="full"), export.replacing(str(tmp_path / "x.csv")) as part:
            with open(part, "w") as file:
                file.write("half")
            raise OSError("full")

        assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
        assert (tmp_path / "x.csv").read_text() == "before"

    def test_who_may_read_it(self, log, tmp_path, call):
        """A file has the permissions of any new file under the umask."""
        call("query", "--log", log, "--to", tmp_path / "x.csv")
        (tmp_path / "new").touch()

        assert (tmp_path / "x.csv").stat().st_mode == (tmp_path / "new").stat().st_mode


def stored(*events):
    log = Log("app", "app.log")
    return Rows(Found(log, Event(event, "", strict_json(event))) for event in events)


class TestRows:
    @given(st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3)))
    def test_as_often_as_wanted(self, events):
        """Each iteration yields the same events; the fields are those of any event."""
        events = json.loads(json.dumps(events, ensure_ascii=True).encode("utf-8", "replace").decode())
        clean = [json.loads(strict_json(event)) for event in events]
        with stored(*events) as found:
            assert found.count == len(events)
            assert list(found) == [("app", event) for event in clean]
            assert list(found) == [("app", event) for event in clean]

    def test_an_interruption(self, monkeypatch):
        """An interruption while the events are read leaves no file open."""

        def interrupted():
            yield Found(Log("app", "app.log"), Event({"x": 1}, "", b'{"x":1}'))
            raise KeyboardInterrupt

        monkeypatch.setattr(rows, "IN_MEMORY_BYTES", 1)
        before = os.listdir("/proc/self/fd")
        with pytest.raises(KeyboardInterrupt):
            Rows(interrupted())

        assert os.listdir("/proc/self/fd") == before

    def test_memory(self, monkeypatch):
        """Many events take no more memory than few."""
        monkeypatch.setattr(rows, "IN_MEMORY_BYTES", 10_000)
        log = Log("app", "app.log")
        tracemalloc.start()
        with Rows(
            Found(log, Event({"x": 1}, "", b'{"x":"%b"}' % (b"x" * 1000))) for _ in range(5000)
        ) as found:
            assert sum(1 for _ in found) == 5000
            peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert peak < 1_000_000
