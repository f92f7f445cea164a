"""`chora-logging audit`: what it prints, its status, and a repair that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from chora_logging.eventlog import EventLog
from chora_logging.jetstream import stored
from tests.jetstream.servers import connected, create, done
from tests.jetstream.shippers import Shipper, messages_of, written

ADDRESS = "nats://127.0.0.1:1/CLOG"

#: Kills the process with `kill -9` instead of publishing for the second time, or when that has been answered.
KILLED = """
import os, signal
from chora_logging.jetstream.stream import Stream
publish, count = Stream.publish, 0
async def killed(self, *arguments):
    global count
    count += 1
    if count == 2 and BEFORE:
        os.kill(os.getpid(), signal.SIGKILL)
    answer = await publish(self, *arguments)
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
Stream.publish = killed
"""


@pytest.fixture
def stream(newest):
    with connected(newest.address) as stream:
        create(stream)
        yield stream


@pytest.fixture
def log(tmp_path):
    """A log with 3,000 events in several files, which were written an hour ago."""
    path = tmp_path / "app.log"
    written(path, 3000, size=100_000)
    _age(tmp_path)
    return path


@pytest.fixture
def shipped(stream, log):
    """The address of a stream that has the log."""
    address = stream.connection.address
    with Shipper(address, log.parent / "output", "--log", log, "--host", "web1", "--once") as shipper:
        assert shipper.wait() == 0, shipper.said
    return address


def _age(folder):
    before = time.time() - 3600
    for path in folder.glob("app.log*"):
        os.utime(path, (before, before))


def delete(stream, *sequences):
    for sequence in sequences:
        done(stream, stream.api(f"STREAM.MSG.DELETE.{stream.name}", {"seq": sequence}))


def numbers(stream):
    lines = b"".join(each.lines for each in messages_of(stream)).splitlines()
    return sorted(json.loads(line)["n"] for line in lines)


class TestWrongUse:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nats://n1/CLOG"], "Missing option '--log'"),
            (["--log", "a.log"], "Missing argument"),
            (["http://n1/CLOG", "--log", "a.log"], "must be the address of a stream"),
            (["nats://me:s3cret@n1/CLOG", "--log", "a.log"], "set NATS_USER and NATS_PASSWORD_FILE"),
            ([ADDRESS, "--log", "nowhere.log"], "nowhere.log"),
            ([ADDRESS, "--log", "nats://n1/CLOG"], "is not [NAME=]PATH"),
            ([ADDRESS, "--log", "a.log", "--prefix", "a.*"], "letters, digits, - and _"),
            ([ADDRESS, "--log", "b.log", "a.log"], "Did you mean --log a.log?"),
        ],
    )
    def test_message(self, call, arguments, message):
        """Wrong use ends with status 2 and one line, which shows no password."""
        status, output, errors = call("audit", *arguments)

        assert (status, output) == (2, "")
        assert message in errors
        assert "s3cret" not in errors
        assert errors.count("\n") == 1

    def test_without_the_extra(self, call, monkeypatch, log):
        """Without nats-py the error names the extra to install."""
        monkeypatch.setitem(sys.modules, "nats", None)
        status, _, errors = call("audit", ADDRESS, "--log", log)

        assert status == 2
        assert "pip install 'chora_logging[nats]'" in errors

    def test_no_servers(self, call, monkeypatch, log):
        """Servers that do not answer are named, after some patience."""
        monkeypatch.setattr(stored.patiently, "__defaults__", (0.0,))
        status, output, errors = call("audit", ADDRESS, "--log", log)

        assert (status, output) == (1, "")
        assert errors.splitlines()[-1].startswith(f"chora-logging: {ADDRESS}: not connected: ")

    def test_no_stream(self, call, newest, log):
        """A stream that does not exist is said in one line."""
        status, output, errors = call("audit", newest.address, "--log", log)

        assert (status, output, errors.count("\n")) == (1, "", 1)
        assert "there is no such stream" in errors


class TestAudit:
    def test_whole(self, call, shipped, log):
        """The ranges that files and stream have, and that nothing is missing."""
        status, output, errors = call("audit", shipped, "--log", log, "--host", "web1")

        assert (status, errors) == (0, "")
        first, *lines = output.splitlines()
        assert first == "app of web1 (clog.web1.app)"
        assert "3,000 lines" in output
        assert "from generation 0, byte 0 to generation" in output
        assert f"to app.log, byte {log.stat().st_size:,}" in output
        assert lines[-1] == "  Nothing is missing."

    def test_missing_and_repaired(self, call, stream, shipped, log):
        """What is missing makes the status 1 until a repair has shipped it; a second one ships nothing."""
        audit = ("audit", shipped, "--log", log, "--host", "web1")
        delete(stream, 3)
        missing, repaired, again = call(*audit), call(*audit, "--repair"), call(*audit, "--repair")

        assert [each[0] for each in (missing, repaired, again)] == [1, 0, 0]
        assert "  missing    app.log" in missing[1]
        assert missing[1].splitlines()[-1].endswith("; --repair ships what the files have.")
        assert repaired[1].splitlines()[-1].startswith("  Repaired: ")
        assert again[1].splitlines()[-1] == "  Nothing is missing."
        assert numbers(stream) == list(range(3000))

    def test_json(self, call, stream, shipped, log):
        """The same as one object, with the same status."""
        audit = ("audit", shipped, "--log", log, "--host", "web1", "--json")
        whole = call(*audit)
        delete(stream, 3)
        missing, repaired = call(*audit), call(*audit, "--repair")
        objects = [json.loads(each[1]) for each in (whole, missing, repaired)]
        [first], [second], [third] = (each["logs"] for each in objects)
        [part] = second["missing"]

        assert [each[0] for each in (whole, missing, repaired)] == [0, 1, 0]
        assert [each["whole"] for each in (*objects, first, second, third)] == [True, False, True] * 2
        assert (first["log"], first["subject"], first["missing"]) == ("app", "clog.web1.app", [])
        assert first["stream"]["lines"] == 3000
        assert first["stream"]["start"] == {"generation": 0, "offset": 0}
        assert sum(file["bytes"] for file in first["files"]) == first["stream"]["bytes"]
        assert (second["repaired"]["lines"], third["repaired"]) == (
            0,
            {"lines": part["lines"], "bytes": part["end"] - part["start"]},
        )

    def test_json_of_an_unknown_log(self, call, stream, shipped, log, tmp_path):
        """A log that cannot be audited is in the object too, with the reason."""
        (tmp_path / "other").mkdir()
        written(tmp_path / "other" / "app.log", 3)
        other = ("--log", tmp_path / "other" / "app.log", "--log", f"web={log}")
        status, output, _ = call("audit", shipped, *other, "--host", "web1", "--json")
        refused, unknown = json.loads(output)["logs"]

        assert status == 1
        assert "is of another log than" in refused["error"]
        assert (unknown["whole"], unknown["stream"]["blocks"]) == (False, 0)

    def test_behind(self, call, shipped, log):
        """What is not shipped yet is told, with status 0."""
        written(log, 10, first=3000)
        status, output, _ = call("audit", shipped, "--log", log, "--host", "web1")

        assert status == 0
        assert "  unshipped  10 lines" in output

    def test_nothing(self, call, shipped, log):
        """A log that the stream does not know has the status 1."""
        status, output, _ = call("audit", shipped, "--log", log, "--host", "web2")

        assert status == 1
        assert "is that its --host, its --prefix and its name?" in output

    def test_empty(self, call, stream, shipped, tmp_path):
        """Of a log without lines nothing is missing."""
        (tmp_path / "empty.log").touch()
        status, output, _ = call("audit", shipped, "--log", tmp_path / "empty.log")

        assert status == 0
        assert "Nothing is missing." in output

    def test_conflict(self, call, shipped, stream, tmp_path):
        """Another machine of the name has the status 1."""
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "app.log").write_bytes(b"{}\n")
        status, output, _ = call("audit", shipped, "--log", tmp_path / "other" / "app.log", "--host", "web1")

        assert status == 1
        assert "  conflict   " in output
        assert "give this machine another --host" in output
        assert "The shipper cannot go on: 1 conflict." in output

    def test_another_log_of_the_name(self, call, stream, shipped, log, tmp_path):
        """A log with another id is said in one line; the others are audited all the same."""
        (tmp_path / "other").mkdir()
        written(tmp_path / "other" / "app.log", 3)
        other = ("--log", tmp_path / "other" / "app.log", "--log", f"web={log}")
        status, output, errors = call("audit", shipped, *other, "--host", "web1")

        assert status == 1
        assert errors.count("\n") == 1
        assert "is of another log than" in errors
        assert output.startswith("web of web1 (clog.web1.web)\n")

    def test_lost(self, call, stream, shipped, log):
        """What neither has is told, with status 1, also after a repair."""
        delete(stream, 2, 5)
        os.unlink(EventLog(log).files()[0])  # which has the second block
        status, output, _ = call("audit", shipped, "--log", log, "--host", "web1", "--repair")

        assert status == 1
        assert "  lost       between sequence 1 and 3" in output
        assert ". Lost: lines at 1 place." in output

    def test_tame(self, call, stream, tmp_path):
        """Names and what is in the stream do not control the terminal."""
        path = tmp_path / "a\x1b[31m.log"
        written(path, 3)
        gap = json.dumps({"reason": "\x1b]0;x\x07"})
        with Shipper(
            stream.connection.address, tmp_path / "output", "--log", path, "--once", "--host", "h"
        ) as s:
            assert s.wait() == 0, s.said
        [found] = messages_of(stream)
        headers = {name: text for name, text in found.headers.items() if name.startswith("Clog")}
        done(stream, stream.connection.request(found.subject, found.lines, {**headers, "Clog-Gap": gap}))
        _, output, errors = call("audit", stream.connection.address, "--log", path, "--host", "h")

        assert "the shipper has reported" in output
        assert "\x1b" not in output + errors

    @pytest.mark.parametrize("before", [True, False])
    def test_killed(self, call, stream, shipped, log, before):
        """A repair that is killed in the middle, and then called again, ships nothing twice."""
        delete(stream, 2, 3, 4, 6, 8)
        start = "import sys; from chora_logging.cli import main; sys.exit(main())"
        code = f"BEFORE = {before}\n{KILLED}\n{start}"
        audit = ["audit", str(shipped), "--log", str(log), "--host", "web1", "--repair"]
        killed = subprocess.run([sys.executable, "-c", code, *audit], capture_output=True, timeout=100)
        late = [each for each in messages_of(stream) if each.subject.endswith(".late")]
        status, output, _ = call(*audit)

        assert killed.returncode == -signal.SIGKILL
        assert len(late) == (1 if before else 2)
        assert (status, output.count("Repaired")) == (0, 1)
        assert numbers(stream) == list(range(3000))
