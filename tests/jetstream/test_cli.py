"""The commands give the same on a stream as on the files that it was shipped from."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import zlib

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chora_logging.cli import amounts, progress
from chora_logging.cli.logs import named
from tests.cli.calling import Caller
from tests.cli.running import COMMAND, Terminal, environment
from tests.jetstream.servers import done, wait_for
from tests.jetstream.shippers import Shipper, written
from tests.jetstream.storing import Place, line, lines, publish

#: Each command line, but for `--log`.
COMMANDS = [
    ("tail",),
    ("tail", "-n", 3, "--json"),
    ("tail", "--level", "warning"),
    ("query",),
    ("query", "--json"),
    ("query", "--json", "--newest-first", "--limit", 4),
    ("query", "--json", "--event", "paid"),
    ("query", "--json", "--since", "2025-09-28T08:00:30Z", "--until", "2025-09-28T08:02:00Z"),
    ("query", "--json", "--where", "n=3"),
    ("query", "--format", "csv"),
    ("query", "--count"),
    ("query", "--by", "event", "--by", "host", "--json"),
    ("query", "--by", "level"),
    ("trace", "t1"),
    ("trace", "t", "--json"),
    ("stats",),
]

EVENTS = st.fixed_dictionaries(
    {"n": st.integers(0, 5), "host": st.sampled_from(["a", "b"]), "log": st.none()},
    optional={
        "event": st.sampled_from(["paid", "sent"]),
        "level": st.sampled_from(["INFO", "error", 40, "odd", None]),
        "trace_id": st.sampled_from(["t1", "t2"]),
        "timestamp": st.one_of(
            st.integers(0, 200).map(lambda s: f"2025-09-28T08:{s // 60:02}:{s % 60:02}Z"), st.just("never")
        ),
        "duration_ms": st.floats(0, 1e6),
        "text": st.text(max_size=20),
        "list": st.lists(st.none(), max_size=2),
    },
)

ODD = st.sampled_from(
    [
        b"",
        b" ",
        b"no event",
        b"[1]",
        b"\xff",
        b'{"host": "a", "log": 1, "n": NaN}',
        b'{"host": "a", "log": 1, "n": 1}{"host": "b", "log": 1, "n": 2}',
        b'\0\0{"host": "a", "log": 1}',
        b'{"host": "a", "log": 1} rest',
        b'\xef\xbb\xbf{"host": "a", "log": 1}\r',
    ]
)

LINES = st.lists(
    st.one_of(EVENTS.map(json.dumps).map(str.encode), EVENTS.map(json.dumps).map(str.encode), ODD),
    max_size=12,
)


@pytest.fixture
def call(capsys, monkeypatch):
    """Calls a command in this process."""
    return Caller(capsys, monkeypatch)


@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(written=LINES, cuts=st.lists(st.integers(1, 4), min_size=1), compress=st.booleans())
def test_the_same_as_on_files(call, tmp_path, stream, written, cuts, compress):
    """Every command prints the same, on stdout and stderr, and ends with the same status."""
    path = tmp_path / f"{stream.name}.log"
    path.write_bytes(b"".join(line + b"\n" for line in written))
    done(stream, stream.api(f"STREAM.PURGE.{stream.name}", {}))
    shop, rest, sizes = Place(stream), list(written), itertools.cycle(cuts)
    while rest:
        size = next(sizes)
        shop.store(b"".join(line + b"\n" for line in rest[:size]), compress=compress)
        del rest[:size]

    for command, *options in COMMANDS:
        of_files = call(command, *options, "--log", path)
        of_stream = call(command, *options, "--log", stream.connection.address)
        if command == "stats":
            of_files, of_stream = without_sizes(of_files), without_sizes(of_stream)
        assert of_stream == of_files, command
    assert numbers_of(call, stream.connection.address) == numbers_of(call, path)


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)


def without_sizes(result):
    """Leave out the table of the logs: it has the sizes of their storage, and the numbers of files."""
    status, output, errors = result
    kept = [text for text in output.splitlines() if "CLOG" not in text and not text.startswith("log ")]
    return status, kept, errors


def numbers_of(call, log):
    """Return what `stats --json` counts, without what it says of the storage."""
    status, output, errors = call("stats", "--json", "--log", log)
    if status:
        return status, errors
    found = json.loads(output)
    for extent in found["logs"]:
        for name in ("path", "files", "bytes"):
            del extent[name]
    return found, errors


def test_what_was_shipped(call, tmp_path, running):
    """A log that was rotated and shipped is the same in the stream, line by line."""
    path = tmp_path / "app.log"
    written(path, 3000, size=100_000)
    address = running.address.replace("CLOG", f"SHIPPED{len(list(tmp_path.parent.iterdir()))}")
    prefix = address.rpartition("/")[2].lower()
    arguments = ("--log", path, "--prefix", prefix, "--create", "--replicas", 1, "--host", "m1", "--once")
    with Shipper(address, tmp_path / "ship.out", *arguments) as shipper:
        assert shipper.wait() == 0, shipper.said

    _, of_files, _ = call("query", "--json", "--log", path)
    _, of_stream, _ = call("query", "--json", "--log", address)
    _, of_machine, _ = call("query", "--json", "--log", address, "--where", "host=m1")

    place = '{"host":"m1","log":"app",'
    assert of_stream == of_machine == "".join(place + text[1:] + "\n" for text in of_files.splitlines())
    assert of_files.count("\n") == 3000


class TestStream:
    def test_export(self, call, tmp_path, stream, shop):
        """An export has all events."""
        shop.store(lines(1, 2))
        target = tmp_path / "out.jsonl"

        status, _, errors = call("query", "--to", target, "--log", stream.connection.address)

        assert (status, "2 events written" in errors) == (0, True)
        assert [json.loads(text)["n"] for text in target.read_text().splitlines()] == [1, 2]

    def test_sql(self, call, stream, shop):
        """A query reads a stream as it reads files."""
        shop.store(lines(1, 2))
        query = "SELECT log, sum((line->'n')::INT) AS n, count(*) AS events FROM events GROUP BY log"

        found = call.json("sql", query, "--json", "--log", stream.connection.address)
        assert (found["n"], found["events"]) == (3, 2)

    def test_a_machine(self, call, stream, shop):
        """`--where host=…` reads those of one machine."""
        shop.store(lines(1))
        Place(stream, "web2").store(lines(2))

        arguments = ("query", "--where", "host=web2", "--json", "--log", stream.connection.address)

        assert call.json(*arguments) == {"host": "web2", "log": "shop", "n": 2}

    def test_two_streams(self, call, stream, shop, tmp_path):
        """A stream and files are merged by time."""
        shop.store(line(n=1, timestamp="2025-09-28T08:00:00Z") + line(n=3, timestamp="2025-09-28T08:02:00Z"))
        path = tmp_path / "app.log"
        path.write_bytes(line(n=2, timestamp="2025-09-28T08:01:00Z"))

        _, output, _ = call("query", "--json", "--log", path, "--log", stream.connection.address)

        assert [json.loads(text)["n"] for text in output.splitlines()] == [1, 2, 3]

    def test_none(self, call, running):
        """A stream that does not exist is an error that says so."""
        address = running.address.replace("CLOG", "NONE")

        status, output, errors = call("query", "--log", address)

        assert (status, output) == (2, "")
        assert f"{address} does not exist: there is no such stream" in errors

    def test_no_server(self, call, monkeypatch):
        """Servers that are not there are an error that says so, and no wrong use."""
        monkeypatch.setattr("chora_logging.jetstream.log.PATIENCE_SECONDS", 0)
        monkeypatch.setattr("chora_logging.jetstream.log.patiently", lambda work: work())

        status, output, errors = call("query", "--log", "nats://127.0.0.1:1/CLOG")

        assert (status, output) == (1, "")
        assert "nats://127.0.0.1:1/CLOG: not connected" in errors

    @pytest.mark.parametrize("command", ["query", "tail", "stats"])
    def test_without_the_extra(self, call, monkeypatch, command):
        """Without nats-py the error names the extra to install."""
        monkeypatch.setitem(sys.modules, "nats", None)

        status, output, errors = call(command, "--log", "nats://127.0.0.1:1/CLOG")

        assert (status, output) == (2, "")
        assert "pip install 'chora_logging[nats]'" in errors

    def test_hostile_content(self, call, stream, shop):
        """What is no block is passed over and counted, in one line for people."""
        shop.store(lines(1))
        publish(stream, f"{shop.subjects}.web1.shop", b"foreign")
        shop.store(lines(2) + b'{"n": 3}')
        shop.store(b"", headers={"Content-Encoding": "deflate"}, payload=b"no deflate")
        shop.store(b"", headers={"Content-Encoding": "deflate"}, payload=zlib.compress(bytes(2**25 + 1)))
        shop.store(b"", headers={"Content-Encoding": "deflate"}, payload=zlib.compress(lines(4))[:-1])
        shop.store(lines(5), compress=True)

        status, output, errors = call("query", "--json", "--log", stream.connection.address)

        assert (status, [json.loads(text)["n"] for text in output.splitlines()]) == (0, [1, 2, 5])
        assert "5" in errors
        assert errors.count("\n") == 1
        for command in (["tail", "--json"], ["stats", "--json"], ["trace", "t"], ["query", "--count"]):
            _, _, errors = call(*command, "--log", stream.connection.address)
            assert "Traceback" not in errors

    @pytest.mark.parametrize("command", ["check"])
    def test_commands_for_files(self, call, command):
        """A command about files says so."""
        status, output, errors = call(command, "--log", "nats://127.0.0.1:1/CLOG")

        assert (status, output) == (2, "")
        assert "must be the path of a log" in errors

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_progress(self, stream, shop, monkeypatch, newest_first):
        """At a terminal a bar shows how much of the stream has been read."""
        for number in range(0, 400, 20):
            shop.store(lines(*range(number, number + 20), text="x" * 200), compress=number % 40 == 0)
        stderr = Terminal()
        monkeypatch.setattr(sys, "stderr", stderr)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0)
        (log,) = named([str(stream.connection.address)]).all
        size = log.events.size()
        with contextlib.closing(log), progress.progress([log]):
            assert sum(1 for _ in log.read(newest_first=newest_first)) == 400
            wait_for(lambda: f"{amounts.size(min(log.events.bytes_read, size))} of" in stderr.text)

        assert f" of {amounts.size(size)}" in stderr.text
        assert 0.97 < log.events.bytes_read / size < 1.03

    def test_tail_follows(self, stream, shop):
        """`tail -f` prints what is stored, and then what is new, and ends at once with Ctrl-C."""
        shop.store(lines(1))
        command = [*COMMAND, "tail", "-f", "--json", "--log", str(stream.connection.address)]
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            found = [json.loads(process.stdout.readline())]
            for number in range(2, 5):
                shop.store(lines(number))
                found.append(json.loads(process.stdout.readline()))
            process.send_signal(2)
            _, errors = process.communicate(timeout=30)

        assert [event["n"] for event in found] == [1, 2, 3, 4]
        assert (process.returncode, errors) == (130, b"")

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            *(
                pytest.param(each, marks=pytest.mark.whole)
                for each in (("--json",), ("--full",), ("--json", "--where", "n>0"))
            ),
        ],
    )
    def test_tail_follows_odd_lines(self, stream, shop, tmp_path, arguments):
        """`tail -f` prints lines that are not events in their place, stored and new, as of files."""
        path = tmp_path / f"{stream.name}.log"
        place = {"host": "h", "log": "l", "timestamp": "2025-09-28T08:00:00Z"}
        written = [
            line(n=1, **place) + b"no event\n" + line(n=2, **place),
            b"Traceback\n  File x\n" + line(n=3, **place) + b"\xff\n",
            line(n=4, event="the end", **place),
        ]
        found = []
        for log, write in ((path, lambda data: append(path, data)), (stream.connection.address, shop.store)):
            write(written[0])
            command = [*COMMAND, "tail", "-f", "-n", "2", *arguments, "--log", str(log)]
            options = {"env": environment(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            with subprocess.Popen(command, **options) as process:
                output = process.stdout.readline()
                for block in written[1:]:
                    write(block)
                while b"the end" not in (text := process.stdout.readline()):
                    output += text
                process.send_signal(2)
                _, errors = process.communicate(timeout=30)
            found.append((output + text, errors))

        assert found[1] == found[0]
        assert (b"Traceback" in found[0][0]) is (not arguments or arguments == ("--full",))

    def test_serve(self, stream, shop):
        """`serve` serves a stream under a name."""
        shop.store(lines(1))
        log = f"all={stream.connection.address}"
        command = [*COMMAND, "serve", "--port", "0", "--json", "--log", log]
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            url = json.loads(process.stdout.readline())["url"]
            try:
                import httpx

                page = wait_for(lambda: httpx.get(f"{url}api/v1/all/events", timeout=30))
            finally:
                process.send_signal(2)
                _, errors = process.communicate(timeout=30)

        assert [event["n"] for event in page.json()["events"]] == [1]
        assert b"Traceback" not in errors
