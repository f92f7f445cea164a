"""`chora-logging ship`: wrong use and unwilling servers are each said in one sentence."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request

import pytest

from chora_logging.jetstream import Credentials, JetStreamLog
from tests.jetstream.servers import (
    ADMIN,
    PASSWORD,
    SHIPPER,
    Servers,
    connected,
    create,
    done,
    wait_for,
)
from tests.jetstream.shippers import Shipper, messages_of, numbers_of, wait_for_numbers, written
from tests.ports import free_port

ADDRESS = "nats://127.0.0.1:1/CLOG"

#: A shipper tries again soon, also where only a person can help, and soon ends when it is asked to.
SOON = (
    "import chora_logging.shipping.loop as one; one.READ_AGAIN_SECONDS = 0.5\n"
    "import chora_logging.shipping.waiting as two; two.SLOW_PAUSE_SECONDS = 0.5\n"
    "import chora_logging.cli.shipments as three; three.STOP_SECONDS = 0.5"
)


@pytest.fixture
def log(tmp_path):
    """A log with ten events."""
    written(tmp_path / "app.log", 10)
    return tmp_path / "app.log"


def ship(address, log, *arguments, **options):
    """Start a shipper of *log*."""
    output = log.with_name("output")
    return Shipper(address, output, "--log", log, "--host", "web1", *arguments, **options)


class TestWrongUse:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nats://n1/CLOG"], "Missing option '--log'"),
            (["--log", "a.log"], "Missing argument"),
            (["ftp://n1/CLOG", "--log", "a.log"], "must be the address of a stream"),
            (["nats://me:s3cret@n1/CLOG", "--log", "a.log"], "set NATS_USER and NATS_PASSWORD_FILE"),
            ([ADDRESS, "--log", "a.log", "--log", "b/a.log"], "'a' is the name of two logs"),
            ([ADDRESS, "--log", "a.log", "--log", "b=a.log"], "'a.log' is given twice"),
            ([ADDRESS, "--log", "nats://n1/CLOG"], "is not [NAME=]PATH"),
            ([ADDRESS, "--log", "."], "'.' is a folder"),
            ([ADDRESS, "--log", "=a.log"], "is not [NAME=]PATH"),
            ([ADDRESS, "--log", "/tmp"], "'/tmp' is a folder"),
            ([ADDRESS, "--log", "/dev/null"], "/dev/null is not a regular file"),
            ([ADDRESS, "--log", "a.log", "--prefix", "a.*"], "letters, digits, - and _"),
            ([ADDRESS, "--log", "a.log", "--max-age", "7"], "a duration such as 7d"),
            ([ADDRESS, "--log", "a.log", "--max-size", "much"], "a number of bytes"),
            ([ADDRESS, "--log", "a.log", "--replicas", "9"], "1<=x<=5"),
            ([ADDRESS, "--log", "a.log", "--linger", "-1"], "a number of seconds from 0 to 60"),
            ([ADDRESS, "--log", "a.log", "--metrics", "9464"], "HOST:PORT"),
            ([ADDRESS, "--log", "a.log", "--metrics", "0.0.0.0:9464"], "an address of this machine alone"),
            ([ADDRESS, "--log", "a.log", "--metrics", "[::]:9464"], "an address of this machine alone"),
            ([ADDRESS, "--log", "a.log", "--compress", "zip"], "deflate"),
            ([ADDRESS, "--log", "b.log", "a.log"], "Did you mean --log a.log?"),
        ],
    )
    def test_message(self, call, arguments, message):
        """Wrong use ends with status 2 and one line, which shows no password."""
        status, output, errors = call("ship", *arguments)

        assert (status, output) == (2, "")
        assert message in errors
        assert "s3cret" not in errors
        assert errors.count("\n") == 1

    def test_credentials_that_do_not_fit(self, call, monkeypatch):
        """Variables that do not fit together are named."""
        monkeypatch.setenv("NATS_USER", "me")
        status, _, errors = call("ship", ADDRESS, "--log", "a.log")

        assert status == 2
        assert "NATS_PASSWORD_FILE must be set when NATS_USER is" in errors

    def test_without_the_extra(self, call, monkeypatch, tmp_path):
        """Without nats-py the error names the extra to install."""
        monkeypatch.setitem(sys.modules, "nats", None)
        status, _, errors = call("ship", ADDRESS, "--log", tmp_path / "a.log")

        assert status == 2
        assert "pip install 'chora_logging[nats]'" in errors


class TestUnwillingServers:
    def test_servers_come_later(self, newest_program, tmp_path, log):
        """Servers that are not there are said once, and awaited; the stream is made when they come."""
        servers = Servers(newest_program, tmp_path / "servers")
        address = f"nats://127.0.0.1:{free_port()},127.0.0.1:{servers.servers[0].port}/CLOG"
        with ship(
            address, log, "--create", "--replicas", "1", "--max-age", "36h", "--max-size", "1GB"
        ) as shipper:
            wait_for(lambda: "not connected, trying again" in shipper.said)
            with servers, connected(servers.address) as stream:
                found = wait_for(lambda: _numbers(stream))
                config = done(stream, stream.info())["config"]

            assert shipper.stop() == 0, shipper.said
        assert found == list(range(10))
        assert shipper.said.count("trying again: 127.0.0.1") <= 2
        assert (config["max_age"], config["max_bytes"]) == (36 * 3600 * 10**9, 2**30)
        assert (config["deny_delete"], config["discard"], config["num_replicas"]) == (True, "old", 1)

    def test_no_stream(self, newest, log):
        """A stream that does not exist is said with what to do; it is used as soon as it is made."""
        with ship(newest.address, log, "--metrics", f"127.0.0.1:{(port := free_port())}") as shipper:
            wait_for(lambda: "stream not found (10059): make the stream once with --create" in shipper.said)
            status, body = _get(port, "/healthz")

            assert (status, json.loads(body)["status"]) == (503, "error")

    def test_other_subjects(self, newest, log):
        """A stream that takes other subjects is said with both."""
        with connected(newest.address) as stream:
            create(stream, subjects=["other.>"])
        with ship(newest.address, log) as shipper:
            wait_for(lambda: "takes other.>, and not clog.web1.app" in shipper.said)

    @pytest.mark.whole
    def test_other_limits(self, newest, log):
        """An existing stream is used as it is, and each difference from what was asked is said."""
        with connected(newest.address) as stream:
            create(stream, max_age=5_000_000_000 * 60)
            with ship(newest.address, log, "--create", "--replicas", "1", "--once") as shipper:
                assert shipper.wait() == 0, shipper.said

            assert "exists: its max_age is 300000000000, and 604800000000000 was asked for" in shipper.said
            assert numbers_of(messages_of(stream), "clog.web1.app") == list(range(10))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--replicas", "3"], "take fewer --replicas"),
            (["--replicas", "1", "--prefix", "taken"], "another stream has these subjects"),
        ],
    )
    def test_cannot_be_made(self, newest, log, arguments, message):
        """A stream that cannot be made ends the shipper with what to do."""
        with connected(newest.address.replace("CLOG", "OTHER")) as other:
            create(other, subjects=["taken.>"])
        with ship(newest.address, log, "--create", *arguments) as shipper:
            assert shipper.wait() == 1
            assert message in shipper.said

    def test_no_jetstream(self, newest_program, tmp_path, log):
        """Servers without JetStream are said."""
        servers = Servers(newest_program, tmp_path / "servers", jetstream=False)
        with servers, ship(servers.address, log) as shipper:
            wait_for(lambda: "nobody answers to $JS.API.STREAM.MSG.GET.CLOG" in shipper.said)
            assert "enable JetStream on the servers" in shipper.said

    @pytest.mark.whole
    def test_account_limit(self, newest_program, tmp_path, log):
        """A limit of the account is said with what to do; what was written meanwhile is not lost."""
        limited = "no_auth_user: u\naccounts { A { users: [{user: u, password: p}], jetstream { %s } } }\n"
        servers = Servers(newest_program, tmp_path / "servers", more=limited % "max_file: 100KB")
        written(log, 2000, first=10)
        with servers, connected(servers.address) as stream:
            create(stream)
            with ship(servers.address, log, "--compress", "none", code=SOON) as shipper:
                wait_for(lambda: "raise the limits of the account" in shipper.said)
                done(stream, stream.api(f"STREAM.PURGE.{stream.name}", {}))
                shipper.stop()
            stored = messages_of(stream)
            done(stream, stream.api(f"STREAM.PURGE.{stream.name}", {}))
            with ship(servers.address, log, "--once") as shipper:
                assert shipper.wait() == 0, shipper.said
            stored += messages_of(stream)

        numbers = numbers_of(stored, "clog.web1.app")
        assert numbers == list(range(numbers[0], 2010))

    @pytest.mark.whole
    def test_clock_that_jumps(self, newest, tmp_path, log):
        """The order is that of the log, whatever the clock of the machine and the times of the events say."""
        jumps = "import itertools, time; at = itertools.cycle([0, 2e9, 1e9]); time.time = lambda: next(at)"
        times = ["2026-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"]
        with connected(newest.address) as stream:
            create(stream)
            with ship(newest.address, log, code=jumps) as shipper, open(log, "a") as file:
                wait_for_numbers(stream, "clog.web1.app", range(10))
                for number in range(10, 40):
                    file.write(json.dumps({"timestamp": times[number % 3], "n": number}) + "\n")
                    file.flush()
                found = wait_for_numbers(stream, "clog.web1.app", range(40))
                assert shipper.stop() == 0, shipper.said
            with JetStreamLog(newest.address, credentials=Credentials()) as read:
                events = [event["n"] for event in read.read()]

        assert numbers_of(found, "clog.web1.app") == events == list(range(40))

    def test_old_server(self, old_program, tmp_path, log):
        """A server that stores a block twice is refused."""
        servers = Servers(old_program, tmp_path / "servers")
        with servers, ship(servers.address, log) as shipper:
            wait_for(lambda: "has version 2.9.10" in shipper.said)

    def test_rights(self, newest_program, tmp_path, log):
        """With the least rights it ships; a forbidden subject and a wrong password are said."""
        servers = Servers(newest_program, tmp_path / "servers", users=True)
        environment = {"NATS_USER": SHIPPER, "NATS_PASSWORD_FILE": str(servers.password_file)}
        with servers, connected(servers.address, credentials=_admin(servers)) as stream:
            create(stream, subjects=["clog.>", "other.>"])
            with ship(servers.address, log, "--once", environment=environment) as shipper:
                assert shipper.wait() == 0, shipper.said
            with ship(servers.address, log, "--prefix", "other", environment=environment) as shipper:
                wait_for(lambda: "this user may not publish to other.web1.app" in shipper.said)
            wrong = {**environment, "NATS_PASSWORD_FILE": str(_file(tmp_path, "n0tth1s"))}
            with ship(servers.address, log, environment=wrong) as shipper:
                wait_for(lambda: "check the credentials" in shipper.said)

            assert numbers_of(messages_of(stream), "clog.web1.app") == list(range(10))
            assert PASSWORD not in shipper.said
            assert "n0tth1s" not in shipper.said


def test_log_that_does_not_exist_yet(newest, tmp_path):
    """It says that it waits for it, and ships it once it is there."""
    log = tmp_path / "app.log"
    with connected(newest.address) as stream:
        create(stream)
        with ship(newest.address, log) as shipper:
            wait_for(lambda: f"{log} does not exist, and has no backup: waiting for it" in shipper.said)
            written(log, 10)
            wait_for_numbers(stream, "clog.web1.app", range(10))


class TestOnce:
    def test_log_that_does_not_exist(self, call, tmp_path):
        """Nothing waits for it."""
        status, output, errors = call("ship", ADDRESS, "--log", tmp_path / "no.log", "--once")

        assert (status, output) == (1, "")
        assert errors.endswith("/no.log does not exist, and has no backup\n")

    def test_log_that_cannot_be_read(self, newest, log):
        """It ends with status 1 and says why, and the other logs are shipped."""
        circle = log.with_name("circle")
        circle.symlink_to(circle)
        with connected(newest.address) as stream:
            create(stream)
            with ship(newest.address, log, "--log", circle / "x.log", "--once") as shipper:
                assert shipper.wait() == 1
            assert numbers_of(messages_of(stream), "clog.web1.app") == list(range(10))
        assert f"{circle / 'x.log'} cannot be read: Too many levels of symbolic links" in shipper.said

    def test_name_that_is_not_utf8(self, newest, tmp_path, call):
        """A log whose name is not UTF-8 is shipped and audited; its bytes are in its subject."""
        log = tmp_path / os.fsdecode(b"\xff.log")
        written(log, 10)
        with connected(newest.address) as stream:
            create(stream)
            with ship(newest.address, log, "--once", "--metrics", f"127.0.0.1:{free_port()}") as shipper:
                assert shipper.wait() == 0, shipper.said
            assert numbers_of(messages_of(stream), "clog.web1.=FF") == list(range(10))
            status, output, errors = call("audit", newest.address, "--log", log, "--host", "web1")
        assert (status, errors) == (0, "")
        assert "Nothing is missing" in output


class TestSeveralLogs:
    def test_a_refused_one(self, newest, tmp_path, log):
        """A log that is refused is said at once, and the others go on; the status tells it at the end."""
        written(tmp_path / "other.log", 10)
        twin = tmp_path / "twin" / "app.log"
        written(twin, 5)
        with connected(newest.address) as stream:
            create(stream)
            with ship(newest.address, twin, "--once") as first:
                assert first.wait() == 0, first.said
            with ship(newest.address, log, "--log", tmp_path / "other.log") as shipper:
                wait_for(lambda: "is of another log" in shipper.said)
                written(tmp_path / "other.log", 10, first=10)
                found = wait_for_numbers(stream, "clog.web1.other", range(20))

                assert numbers_of(found, "clog.web1.other") == list(range(20))
                assert shipper.stop() == 1


class TestMetrics:
    def test_text(self, newest, log):
        """The metrics tell what was shipped; health is good while all is well."""
        port = free_port()
        with connected(newest.address) as stream:
            create(stream)
            with ship(newest.address, log, "--metrics", f"127.0.0.1:{port}"):
                wait_for_numbers(stream, "clog.web1.app", range(10))
                text = wait_for(lambda: "lines_total{" in (found := _get(port, "/metrics")[1]) and found)

                assert 'chora_logging_ship_lines_total{log="app"} 10' in text
                assert f'chora_logging_ship_bytes_total{{log="app"}} {log.stat().st_size}' in text
                assert 'chora_logging_ship_lag_bytes{log="app"} 0' in text
                assert 'chora_logging_ship_gaps_total{log="app"} 0' in text
                assert 'chora_logging_ship_connected{server_version="2.15.1"} 1' in text
                assert _get(port, "/healthz")[0] == 200
                assert _get(port, "/other")[0] == 404

    def test_errors(self, newest, tmp_path, log):
        """Each log has its own errors; those that passed are still counted."""
        port = free_port()
        folder = tmp_path / "folder"
        folder.symlink_to(folder)  # a link that leads in a circle
        state = ("--state", tmp_path / "state", "--log", f"odd={folder / 'odd.log'}")
        with ship(newest.address, log, "--metrics", f"127.0.0.1:{port}", *state, code=SOON) as shipper:
            wait_for(lambda: "make the stream once with --create" in shipper.said)
            waiting = _get(port, "/metrics")[1]
            newest.end()
            newest.start()
            with connected(newest.address) as stream:
                create(stream)
                wait_for_numbers(stream, "clog.web1.app", range(10))
                wait_for(
                    lambda: 'errors_total{log="odd",kind="unreadable"} 0' not in _get(port, "/metrics")[1]
                )
                well = _get(port, "/metrics")[1]
                health = json.loads(_get(port, "/healthz")[1])

        assert 'up{log="app"} 0' in waiting
        assert 'lag_bytes{log="odd"} NaN' in waiting
        assert 'errors_total{log="app",kind="refused"} 0' not in waiting
        assert ('up{log="app"} 1' in well, 'up{log="odd"} 0' in well) == (True, True)
        assert 'errors_total{log="app",kind="refused"} 0' not in well
        assert (health["status"], health["problems"]["app"]) == ("error", "")
        assert "odd.log" in health["problems"]["odd"]

    def test_wrong_password(self, newest_program, tmp_path, log):
        """A password that is wrong makes it ill, also if it becomes so later and nothing is to be shipped."""
        servers = Servers(newest_program, tmp_path / "servers", users=True)
        password = _file(tmp_path, PASSWORD)
        environment = {"NATS_USER": SHIPPER, "NATS_PASSWORD_FILE": str(password)}
        metrics = ("--metrics", f"127.0.0.1:{(port := free_port())}")

        def health():
            status, body = _get(port, "/healthz")
            return status, json.loads(body)["problems"]["app"]

        with servers, connected(servers.address, credentials=_admin(servers)) as stream:
            create(stream)
            with ship(servers.address, log, *metrics, environment=environment):
                wait_for_numbers(stream, "clog.web1.app", range(10))
                well = health()
                password.write_text("n0tth1s")
                servers.end()
                servers.start()
                wait_for(lambda: health()[0] == 503)
                ill = health()
                password.write_text(PASSWORD)
                wait_for(lambda: health()[0] == 200)

        assert well == (200, "")
        assert "check the credentials" in ill[1]

    def test_taken_port(self, newest, log):
        """A port that somebody else has ends the shipper with one line."""
        with ship(newest.address, log, "--metrics", f"127.0.0.1:{newest.servers[0].port}") as shipper:
            assert shipper.wait() == 1
            assert "Address already in use" in shipper.said


def _admin(servers):
    return Credentials(user=ADMIN, password_file=str(servers.password_file))


def _file(folder, text):
    path = folder / "wrong"
    path.write_text(text)
    return path


def _get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _numbers(stream):
    try:
        return numbers_of(messages_of(stream), "clog.web1.app")
    except Exception:
        return None
