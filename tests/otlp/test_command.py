"""`chora-logging ship https://collector`: as a process that is misused, stopped, killed and locked out."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import ssl
import sys
import threading
import urllib.error
import urllib.request
import zlib

import pytest

from tests.jetstream.servers import PATIENCE, wait_for
from tests.jetstream.shippers import Shipper, write, written
from tests.otlp.collector import RESET, SILENCE, Collector, Reply, stored_of
from tests.ports import free_port
from tests.soaks import soak

ADDRESS = "http://127.0.0.1:1"
SECRET = "s3cret-t0ken"
HEADERS = {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{SECRET}"}

#: A shipper tries again soon, also where only a person can help, and soon ends when it is asked to.
SOON = (
    "import chora_logging.shipping.waiting as one; one.SLOW_PAUSE_SECONDS = 0.2\n"
    "import chora_logging.cli.shipments as two; two.STOP_SECONDS = 0.2"
)
EVENTS, KILLS, FILE_BYTES = soak(20_000), soak(20), soak(1_000_000)


@pytest.fixture
def log(tmp_path):
    """A log with ten events."""
    written(tmp_path / "app.log", 10)
    return tmp_path / "app.log"


def ship(address, log, *arguments, **options):
    """Start a shipper of *log*."""
    return Shipper(address, log.with_name("output"), "--log", log, "--linger", "0.05", *arguments, **options)


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class TestWrongUse:
    @pytest.mark.parametrize(
        ("arguments", "environment", "message"),
        [
            ([f"https://me:{SECRET}@c:4318"], {}, "put what is secret into OTEL_EXPORTER_OTLP_HEADERS"),
            ([f"https://c:4318/?key={SECRET}"], {}, "without anything after the path"),
            ([f"htps://me:{SECRET}@c:4318"], {}, "or of a collector, such as https://collector:4318"),
            *(
                ([address.format(SECRET)], {}, "a collector, such as https://collector:4318")
                for address in (
                    "http://u:{}/x@h:1",
                    "http://u:x#{}@h:1",
                    "u:{}@h:1",
                    "http:/u:{}@h",
                    "http//u:{}@h",
                )
            ),
            (["https://"], {}, "must be the address of a collector"),
            (["https://c:port"], {}, "a port is a number"),
            ([ADDRESS, "--create"], {}, "--create is for streams (nats://…)"),
            ([ADDRESS, "--compress", "none"], {}, "--compress is for streams"),
            *(
                ([ADDRESS, "--linger", seconds], {}, f"a number of seconds from 0 to 60, got '{seconds}'")
                for seconds in ("nan", "inf", "-1", "soon")
            ),
            ([ADDRESS], {"OTEL_EXPORTER_OTLP_HEADERS": SECRET}, "a list such as name=value"),
            ([ADDRESS], {"OTEL_EXPORTER_OTLP_HEADERS": f"a={SECRET}%0Ab"}, "a list of valid HTTP headers"),
            ([ADDRESS], {"OTEL_EXPORTER_OTLP_HEADERS": "Transfer-Encoding=x"}, "set by the shipper itself"),
            ([ADDRESS], {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/etc"}, "that `openssl rehash` makes, or a file"),
            ([ADDRESS], {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "a number of seconds"),
            ([ADDRESS], {"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "zip"}, "one of gzip, deflate, none"),
            ([ADDRESS], {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/ca.pem"}, "a file that can be read"),
        ],
    )
    def test_message(self, call, monkeypatch, log, arguments, environment, message):
        """Wrong use ends with status 2 and one line, which names the setting and shows no secret."""
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        status, output, errors = call("ship", *arguments, "--log", log)

        assert (status, output, errors.count("\n")) == (2, "", 1)
        assert message in errors
        assert SECRET not in errors
        assert all(name in errors for name in environment)

    @pytest.mark.parametrize("package", ["requests", "opentelemetry.proto.collector.logs.v1"])
    def test_without_the_extra(self, call, monkeypatch, log, package):
        """Without what it needs the error names the extra to install."""
        monkeypatch.setitem(sys.modules, package, None)
        status, _, errors = call("ship", ADDRESS, "--log", log)

        assert status == 2
        assert "pip install 'chora_logging[otlp]'" in errors

    def test_no_place_for_the_position(self, call, log):
        """Nothing else has the position, so it is an error if its file cannot be made."""
        log.with_name(".app.log.otlp").mkdir()
        status, _, errors = call("ship", ADDRESS, "--log", log)

        assert status == 1
        assert "the position cannot be kept: " in errors
        assert "choose another --state" in errors

    def test_no_folder(self, call, tmp_path):
        """A log in a folder that does not exist is rather a wrong path than one to wait for."""
        status, _, errors = call("ship", ADDRESS, "--log", tmp_path / "no" / "app.log")

        assert (status, errors.count("\n")) == (1, 1)
        assert f"there is no folder {tmp_path / 'no'}, and so there is no place for its position" in errors

    def test_port_that_is_taken(self, call, log):
        """The message has the address at which nobody can listen."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            place = f"127.0.0.1:{server.getsockname()[1]}"
            status, _, errors = call("ship", ADDRESS, "--log", log, "--metrics", place)

        assert (status, errors.count("\n")) == (1, 1)
        assert f"--metrics: cannot listen at {place}: Address already in use" in errors

    def test_each_said_once(self, log):
        """Of several logs each that cannot be shipped is named once, and the others are shipped."""
        missing = log.with_name("missing.log")
        with Collector() as collector, ship(collector.address, log, "--once", "--log", missing) as shipper:
            assert shipper.wait() == 1

        assert collector.numbers() == list(range(10))
        assert shipper.said.count(str(missing)) == 1
        assert shipper.said.endswith(": 1 of 2 logs are not shipped\n")


class TestProcess:
    def test_killed(self, tmp_path):
        """Killed again and again under rotation, it loses nothing, and doubles a request a kill at most."""
        log = tmp_path / "app.log"
        chance = random.Random(7)
        shipper, doubled, counted, deadly = None, 0, 0, 3

        def answer(request, number):
            nonlocal counted, doubled, deadly
            counted += 1
            if counted < deadly:
                return Reply()
            counted, deadly = 0, chance.randint(1, 4) if kills else EVENTS
            doubled += len(stored_of(request))
            way = chance.randrange(3)
            if way == 2:  # soon after the answer: while the position is written
                threading.Timer(chance.uniform(0, 0.004), shipper.process.kill).start()
                return Reply()
            shipper.process.kill()
            if way == 1:  # after they are stored, before the answer
                collector.stored.extend(stored_of(request))
            return RESET

        writer = write(log, EVENTS, rate=EVENTS / 5, size=FILE_BYTES)
        with Collector(answer) as collector:
            for kills in reversed(range(KILLS + 1)):
                with ship(collector.address, log) as shipper:
                    if kills:
                        assert shipper.wait() == -signal.SIGKILL, shipper.said
                        continue
                    counted, deadly = 0, EVENTS
                    assert writer.wait() == 0
                    wait_for(lambda: collector.stored[-1].attributes["n"] == EVENTS - 1)
                    assert shipper.stop() == 0, shipper.said
        numbers = collector.numbers()

        assert list(dict.fromkeys(numbers)) == list(range(EVENTS))
        assert len(numbers) - EVENTS <= doubled
        assert len(list(tmp_path.glob("app.log.*"))) >= 4
        assert "gap" not in {each.record.event_name for each in collector.stored}

    @pytest.mark.whole
    def test_stopped(self, log):
        """SIGTERM awaits the answer under way, but not one that does not come, nor the end of an outage."""
        asked, release = threading.Event(), threading.Event()

        def late(request, number):
            asked.set()
            release.wait(PATIENCE)
            return Reply()

        with Collector(late) as collector:
            with ship(collector.address, log) as shipper:
                assert asked.wait(PATIENCE)
                shipper.process.send_signal(signal.SIGTERM)
                release.set()
                assert shipper.wait() == 0, shipper.said
            collector.answer = lambda request, number: SILENCE
            written(log, 1, first=10)
            with ship(collector.address, log, code=SOON) as shipper:
                wait_for(lambda: len(collector.requests) == 2)
                assert shipper.stop() == 0, shipper.said
            collector.answer = lambda request, number: Reply(503, headers={"Retry-After": "600"})
            with ship(collector.address, log) as shipper:
                wait_for(lambda: "it answers 503" in shipper.said)
                assert shipper.stop() == 0, shipper.said
            collector.answer = lambda request, number: Reply()
            with ship(collector.address, log, "--once") as shipper:
                assert shipper.wait() == 0, shipper.said

        assert collector.numbers() == list(range(11))

    @pytest.mark.whole
    def test_locked_out(self, log):
        """A wrong key is said without it, in health and metrics too; a right one is used after a restart."""
        metrics = ("--metrics", f"127.0.0.1:{(port := free_port())}")

        def answer(request, number):
            given = collector.headers[-1:] and collector.headers[-1]["authorization"]
            return Reply(401, f"not {given}".encode(), kind="text/plain")

        shipping = (log, *metrics)
        with (
            Collector(answer) as collector,
            ship(collector.address, *shipping, environment=HEADERS, code=SOON) as shipper,
        ):
            wait_for(lambda: len(collector.requests) > 2)
            status, health = get(port, "/healthz")
            text = get(port, "/metrics")[1]
            with ship(collector.address, log, "--once") as second:
                assert second.wait() == 1
            assert f"process {shipper.process.pid} on " in second.said
            collector.answer = lambda request, number: Reply()
            wait_for(lambda: 'lines_total{log="app"} 10' in get(port, "/metrics")[1])
            assert get(port, "/healthz")[0] == 200
            assert SECRET not in shipper.said + health + text
            with open(f"/proc/{shipper.process.pid}/cmdline") as file:
                assert SECRET not in file.read()

        assert status == 503
        assert "check OTEL_EXPORTER_OTLP_HEADERS" in json.loads(health)["problems"]["app"]
        assert 'up{log="app"} 0' in text
        assert "connected" not in text
        assert collector.headers[0]["authorization"] == f"Bearer {SECRET}"
        assert "/v1/logs: " in shipper.said

    def test_one_shipper(self, log, tmp_path):
        """A second one to the same collector is refused, wherever its state is; to another it is not."""
        link = tmp_path / "link.log"
        link.symlink_to(log)
        with Collector() as collector, Collector() as other, ship(collector.address, log) as shipper:
            wait_for(lambda: collector.numbers() == list(range(10)))
            elsewhere = ("--once", "--state", tmp_path / "state")
            with ship(collector.address, link, *elsewhere) as second:
                assert second.wait() == 1
            process = f"process {shipper.process.pid} on {socket.gethostname()}"
            assert second.said.endswith(f"{process} ships {link} already\n")
            with ship(other.address, log, *elsewhere) as second:
                assert second.wait() == 0, second.said
            assert other.numbers() == collector.numbers() == list(range(10))
            shipper.kill()
            checksum = zlib.crc32(f"{collector.address}/v1/logs".encode())
            fence = tmp_path / f".app.log.fence-{checksum:08x}"
            fence.unlink()
            fence.mkdir()
            with ship(collector.address, log, *elsewhere) as second:
                assert second.wait() == 0, second.said
                assert f"nothing keeps out a second shipper of {log} to {collector.address}" in second.said

    def test_several_logs(self, log, tmp_path):
        """Each log has its own position and name; OpenTelemetry's variables add where they come from."""
        written(tmp_path / "other.log", 5)
        more = {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,team=a%20b"}
        arguments = ("--log", f"second={tmp_path / 'other.log'}", "--host", "web1", "--once")
        with Collector() as collector:
            for _ in range(2):
                with ship(collector.address, log, *arguments, environment=more) as shipper:
                    assert shipper.wait() == 0, shipper.said
        resources = {each.resource["service.name"]: each.resource for each in collector.stored}

        assert len(collector.stored) == 15
        assert resources["app"] == {
            "service.name": "app",
            "host.name": "web1",
            "log.file.path": str(log),
            "deployment.environment.name": "test",
            "team": "a b",
        }
        assert resources["second"]["log.file.path"] == str(tmp_path / "other.log")

    def test_tls(self, log, certificates):
        """A certificate that is not known is said; with the authority's file all is shipped."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.cert, certificates.key)
        trusted = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates.ca), **os.environ}
        with Collector(tls=context) as collector:
            with ship(collector.address, log, environment={"SSL_CERT_FILE": ""}) as shipper:
                wait_for(lambda: "check OTEL_EXPORTER_OTLP_CERTIFICATE" in shipper.said)
            with ship(collector.address, log, "--once", environment=trusted) as shipper:
                assert shipper.wait() == 0, shipper.said
            with ship(collector.address.replace("https", "http"), log, code=SOON) as shipper:
                written(log, 1, first=10)
                wait_for(lambda: " waits: " in shipper.said.split("goes on")[-1])

        assert collector.numbers() == list(range(10))

    def test_own_lines(self, log):
        """The shipper's own warnings do not come into the log that it ships."""
        with (
            Collector(lambda request, number: Reply(503)) as collector,
            ship(collector.address, log, code=SOON) as shipper,
        ):
            wait_for(lambda: "it answers 503" in shipper.said)
            assert shipper.stop() == 0

        assert log.read_bytes().count(b"\n") == 10
