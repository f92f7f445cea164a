"""`chora-logging serve` among real clients and proxies: connections, sockets, TLS, workers, variables."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import types

import httpx
import pytest

from chora_logging.cli import main, serving
from chora_logging.cli.serving import BoundedProtocol
from chora_logging.web.tokens import make_token
from tests.cli.running import COMMAND, DEADLINE, environment
from tests.eventlog.writing import write
from tests.needs import need

EVENTS = "/api/v1/app/events"
TOKEN = make_token()
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def serve(tmp_path):
    """Start `serve` on a log with one event; returns the URL that it prints."""
    write(tmp_path / "app.log", 1)
    (tmp_path / "token").write_text(TOKEN)
    started = []

    def start(*arguments, program=COMMAND, **variables):
        command = [*program, "serve", "--log", f"app={tmp_path / 'app.log'}", "--port", "0", "--json"]
        with (tmp_path / "errors").open("ab") as errors:
            process = subprocess.Popen(
                [*command, *arguments],
                env=environment(**variables),
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                text=True,
            )
        started.append(process)
        line = process.stdout.readline()
        assert line, (tmp_path / "errors").read_text()
        return json.loads(line)["url"]

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)
        assert process.returncode in (0, -signal.SIGTERM)


def address_of(url):
    """Host and port of a URL."""
    host, port = url.split("/")[2].rsplit(":", 1)
    return host, int(port)


def silent(url):
    """A connection that says nothing."""
    return socket.create_connection(address_of(url))


class TestConnections:
    def test_no_response_waits_for_an_acknowledgement(self):
        """asyncio sets TCP_NODELAY on the connections that it accepts from the socket of `serve`."""

        async def scenario():
            accepted = asyncio.get_running_loop().create_future()

            def connected(reader, writer):
                accepted.set_result(writer)

            with serving.listen("127.0.0.1", 0) as listening:
                async with await asyncio.start_server(connected, sock=listening):
                    _, writer = await asyncio.open_connection(*listening.getsockname())
                    taken = await accepted
                    server_side = taken.get_extra_info("socket")
                    found = server_side.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                    for one in (writer, taken):
                        one.close()
                        await one.wait_closed()
                    return found

        assert asyncio.run(scenario()) == 1

    def test_silent_ones_keep_nobody_out(self, serve):
        """With more connections that say nothing than are allowed, everybody is answered, health too."""
        code = (
            "import sys; from chora_logging.cli import main, serving; "
            "serving.BoundedProtocol.most = 40; sys.exit(main(sys.argv[1:]))"
        )
        url = serve(program=[COMMAND[0], "-c", code])
        with contextlib.ExitStack() as stack:
            quiet = [stack.enter_context(silent(url)) for _ in range(60)]
            assert httpx.get(f"{url}healthz").status_code == 200
            assert httpx.get(f"{url}{EVENTS[1:]}").status_code == 200
            for one in quiet:
                one.settimeout(DEADLINE)
            assert {recv(one) for one in quiet[:15]} == {b""}

    @pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: loc"], ids=["nothing", "half a head"])
    @pytest.mark.parametrize("before", [0, 1], ids=["at first", "after a request"])
    def test_a_head_has_a_time_limit(self, serve, said, before):
        """A connection without the whole head of a request is closed, also after a request."""
        code = (
            "import sys; from chora_logging.cli import main, serving; "
            "serving.HEAD_SECONDS = 0.3; sys.exit(main(sys.argv[1:]))"
        )
        with silent(serve(program=[COMMAND[0], "-c", code])) as connection:
            connection.settimeout(DEADLINE)
            for _ in range(before):
                connection.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            connection.sendall(said)
            assert recv(connection) == b""

    def test_a_stream_outlives_the_time_limit(self, serve, tmp_path):
        """The limit for heads ends no request that is being answered."""
        code = (
            "import sys; from chora_logging.cli import main, serving; "
            "serving.HEAD_SECONDS = 0.1; sys.exit(main(sys.argv[1:]))"
        )
        url = serve(program=[COMMAND[0], "-c", code])
        with httpx.stream("GET", f"{url}api/v1/app/events/stream", timeout=DEADLINE) as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("data:"))
            next(lines)
            with silent(url) as later:
                later.settimeout(DEADLINE)
                assert recv(later) == b""
            write(tmp_path / "app.log", 2)
            assert '"n": 2' in next(lines)

    def test_one_client_has_a_part(self):
        """Another machine has at most a quarter of the connections; this one and proxies have all."""
        service = serving.Service({}, "text", serving_proxies("10.0.0.0/8", "2001:db8::1"))
        trusted = ("127.0.0.1", "::1", "unix", "10.2.3.4", "2001:db8::1")

        assert [service.trusts(host) for host in trusted] == [True] * 5
        assert [service.trusts(host) for host in ("192.0.2.1", "2001:db8::2", "x")] == [False] * 3

    def test_the_oldest_idle_one_makes_room(self):
        """The one that waits longest is closed, never one with a request; else the new one is."""
        closed = []

        def protocol(name, since, busy):
            one = BoundedProtocol.__new__(BoundedProtocol)
            one.connections = set()
            one._waiting_since = since
            one.cycle = types.SimpleNamespace(response_complete=not busy)
            one.transport = types.SimpleNamespace(abort=lambda: closed.append(name))
            return one

        new, *others = (
            protocol("new", 9, False),
            protocol("busy", 1, True),
            protocol("old", 2, False),
            protocol("young", 3, False),
        )
        new._make_room([new, *others], 4)
        new._make_room([new, *others], 3)
        new._make_room([new, others[0]], 1)

        assert closed == ["old", "new"]


def serving_proxies(*texts):
    """Networks, as the command reads them."""
    from chora_logging.cli.serve import _proxies

    return _proxies(texts, None)


def recv(connection):
    """What a connection gives; nothing if it was closed or reset."""
    try:
        return connection.recv(4096)
    except ConnectionResetError:
        return b""


class TestSockets:
    def test_a_unix_socket(self, serve, tmp_path):
        """A Unix socket is for its user and group; one that a dead server left is replaced; it is removed."""
        path = tmp_path / "logs.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        url = serve("--uds", str(path), "--token-file", str(tmp_path / "token"))

        assert url == f"unix:{path}"
        assert path.stat().st_mode & 0o777 == 0o660
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://x") as client:
            assert client.get(EVENTS).status_code == 401
            assert client.get(EVENTS, headers=BEARER).json()["events"][0]["n"] == 1

    def test_it_ends_with_the_server(self, tmp_path):
        """The socket is removed when the server stops, and one in use or another file is left alone."""
        path = str(tmp_path / "logs.sock")
        with serving.listen_unix(path):
            used = pytest.raises(
                serving.click.UsageError, match="Address already in use; choose another --uds"
            )
            with used, serving.listen_unix(path):
                pass
            assert os.path.exists(path)
        assert not os.path.exists(path)
        (tmp_path / "logs.sock").write_text("mine")
        other = pytest.raises(
            serving.click.UsageError, match="there is something that is not a socket; choose"
        )
        with other, serving.listen_unix(path):
            pass
        with other, serving.listen_unix(str(tmp_path)):
            pass
        assert (tmp_path / "logs.sock").read_text() == "mine"

    def test_tls(self, serve, tmp_path):
        """With a certificate it speaks https alone, and the cookie of a login is sent over https only."""
        cert, key = certificate(tmp_path)
        url = serve("--tls-cert", cert, "--tls-key", key, "--token-file", str(tmp_path / "token"))
        context = ssl.create_default_context(cafile=cert)

        assert url.startswith("https://127.0.0.1:")
        with httpx.Client(base_url=url, verify=context) as client:
            answer = client.post("login", data={"token": TOKEN})
            assert "Secure" in answer.headers["set-cookie"]
            assert client.get(EVENTS[1:]).status_code == 200

    def test_a_prefix(self, serve):
        """Below a prefix the page and the printed URL work."""
        url = serve("--prefix", "/logs")

        assert url.endswith("/logs/")
        assert httpx.get(url).text.startswith("<!doctype html>")

    def test_an_encrypted_key(self, tmp_path, capfd):
        """An encrypted key is refused, without a question for its password."""
        cert, key = certificate(tmp_path, "-passout", "pass:secret")

        assert main(["serve", "--tls-cert", cert, "--tls-key", key]) == 2
        said = capfd.readouterr().err
        assert f"--tls-key {key} is encrypted, and serve asks for no password; decrypt it" in said
        assert "PEM pass phrase" not in said


def certificate(folder, *encryption):
    """Make a certificate for 127.0.0.1; returns the paths of it and of its key."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        *(encryption or ("-nodes",)),
        "-days",
        "2",
        "-subj",
        "/CN=test",
    ]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command, *names], cwd=folder, check=True, capture_output=True, timeout=DEADLINE)
    return str(folder / "cert.pem"), str(folder / "key.pem")


class TestProxies:
    @pytest.mark.parametrize(
        ("proxies", "expected"),
        [
            ((), "127.0.0.1"),
            (("--proxy", "127.0.0.0/8"), "192.0.2.7"),
            (("--proxy", "10.0.0.1"), "127.0.0.1"),
        ],
        ids=["none", "this one", "another"],
    )
    def test_whose_headers_are_believed(self, serve, tmp_path, proxies, expected):
        """The address of a client is that of the header only if a configured proxy sent it."""
        url = serve("--token-file", str(tmp_path / "token"), *proxies)
        httpx.get(f"{url}healthz", headers={"X-Forwarded-For": "192.0.2.7"})

        (line,) = (tmp_path / "errors").read_text().splitlines()
        assert json.loads(line)["message"].startswith(f"{expected}:")

    def test_the_hosts(self, serve, tmp_path):
        """Only the allowed hosts are served; several come from one variable."""
        url = serve(
            "--token-file", str(tmp_path / "token"), CHORA_LOGGING_ALLOWED_HOST="a.example *.b.example"
        )
        hosts = ("a.example", "x.b.example", "c.example")
        answers = [httpx.get(f"{url}healthz", headers={"Host": host}).status_code for host in hosts]

        assert answers == [200, 200, 400]

    def test_an_origin(self, serve, tmp_path):
        """Pages of another origin may read."""
        url = serve("--token-file", str(tmp_path / "token"), "--origin", "https://dash.example")
        answer = httpx.get(f"{url}{EVENTS[1:]}", headers={**BEARER, "Origin": "https://dash.example"})

        assert answer.headers["access-control-allow-origin"] == "https://dash.example"
        assert answer.headers["access-control-allow-credentials"] == "true"


class TestVariables:
    def test_every_option_is_one(self, serve, tmp_path):
        """An option that is not given comes from its variable."""
        cert, key = certificate(tmp_path)
        url = serve(
            CHORA_LOGGING_PREFIX="/x",
            CHORA_LOGGING_TLS_CERT=cert,
            CHORA_LOGGING_TLS_KEY=key,
            CHORA_LOGGING_TOKEN_FILE=str(tmp_path / "token"),
        )

        assert url.startswith("https://")
        assert url.endswith("/x/")
        answer = httpx.get(url + EVENTS[1:], verify=ssl.create_default_context(cafile=cert))
        assert answer.status_code == 401

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--uds", "x.sock"), "--uds is for a proxy, and without a token everybody whom it serves"),
            (("--uds", "", "--token-file", "token"), "--uds must be the path of a socket, not empty"),
            (("--tls-cert", "x"), "--tls-cert and --tls-key belong together"),
            (
                ("--tls-cert", "/n/c", "--tls-key", "/n/k"),
                "cannot use --tls-cert /n/c with --tls-key /n/k: No",
            ),
            (("--proxy", "nginx"), "'nginx' is not an IP address, a network such as 10.0.0.0/8"),
            (("--proxy", "unix"), "'unix' is not an IP address"),
            (("--prefix", "logs"), "prefix must be a path such as /logs, without a slash at its end"),
            (("--allowed-host", "http://x"), "allowed_hosts must be a list of host names"),
            (("--origin", "x"), "origins must be a list of origins"),
            (("--workers", "0"), "--workers"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_wrong_use(self, arguments, said, capsys, monkeypatch, tmp_path):
        """A wrong value is one message that names the option."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "token").write_text(TOKEN)
        monkeypatch.delenv("CHORA_LOGGING_TOKEN", raising=False)

        assert main(["serve", *arguments]) == 2
        assert said in capsys.readouterr().err


class TestWorkers:
    def test_they_are_one_server(self, serve, tmp_path):
        """All workers answer at one address; metrics are those of all, also after one has been killed."""
        need("iproute2")
        url = serve("--workers", "2", "--token-file", str(tmp_path / "token"))
        read = 0
        pids = set()
        deadline = time.monotonic() + DEADLINE
        while len(pids) < 2:
            assert time.monotonic() < deadline
            with contextlib.ExitStack() as stack:
                for _ in range(4):
                    client = stack.enter_context(httpx.Client(base_url=url, headers=BEARER, timeout=DEADLINE))
                    assert client.get(EVENTS[1:]).status_code == 200
                    read += 1
                pids = workers_of(url)
        assert counted(url) == read

        os.kill(min(pids), signal.SIGKILL)
        assert counted(url) == read

    @pytest.mark.whole
    def test_a_logout_counts_in_all(self, serve, tmp_path):
        """Who logs out at one worker is logged out at all of them."""
        state = {"XDG_STATE_HOME": str(tmp_path / "state")}
        url = serve("--workers", "2", "--token-file", str(tmp_path / "token"), **state)
        answer = httpx.post(f"{url}login", data={"token": TOKEN}, timeout=DEADLINE)
        cookie = {"Cookie": answer.headers["set-cookie"].split(";")[0]}
        assert httpx.get(url + EVENTS[1:], headers=cookie).status_code == 200
        httpx.post(f"{url}logout", headers=cookie)

        assert {httpx.get(url + EVENTS[1:], headers=cookie).status_code for _ in range(20)} == {401}


def workers_of(url):
    """The processes that have a connection to a client at the port of a URL."""
    port = address_of(url)[1]
    listed = subprocess.run(
        ["ss", "-tnpH", "state", "established", f"sport = :{port}"], capture_output=True, text=True
    ).stdout
    return {int(part.partition(",")[0]) for part in listed.split("pid=")[1:]}


def counted(url):
    """The number of events that the server has given."""
    for _ in range(3):
        with contextlib.suppress(httpx.TransportError):
            text = httpx.get(f"{url}metrics", headers=BEARER, timeout=DEADLINE).text
            break
    (line,) = (line for line in text.splitlines() if line.startswith("chora_logging_events_read_total{"))
    return float(line.rpartition(" ")[2])
