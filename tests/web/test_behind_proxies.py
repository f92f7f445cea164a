"""The examples of proxies and of a service: nginx, HAProxy and Caddy with TLS on a Unix socket, systemd."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shlex
import signal
import socket
import ssl
import subprocess

import httpx
import pytest

from tests.checkout import ROOT
from tests.cli.running import COMMAND, DEADLINE, environment
from tests.cli.test_serving import certificate
from tests.eventlog.writing import write
from tests.faults.serving import is_listening, wait_for
from tests.needs import find_program, namespace, need
from tests.ports import free_port

EXAMPLES = ROOT / "examples"
TOKEN = "0123456789abcdef" * 4
EVENTS = "/api/v1/web/events"
NGINX = """
{user}
pid nginx.pid;
daemon off;
error_log error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    {example}
}}
"""

#: Another file of the same folder, with settings of its own and a site that has none.
NEIGHBOUR = """
proxy_http_version 1.0;
proxy_set_header X-Site neighbour;
server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 here; }}
    location /passed/ {{ proxy_pass http://127.0.0.1:{port}/shown/; }}
    location /shown/ {{ return 200 "$http_host $http_x_site"; }}
}}
"""

#: Nothing but the port of the test is listened at, and nothing is asked of anybody for a certificate.
CADDY = "{\n\tadmin off\n\tauto_https off\n}\n"


def serve_command():
    """The arguments of the service's command."""
    text = (EXAMPLES / "chora-logging-serve.service").read_text().replace("\\\n", " ")
    (line,) = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
    return shlex.split(line)[1:]


def start(command, folder, **variables):
    """Start a program; its output is in a file of the folder."""
    with (folder / "output").open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment(**variables),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture
def folder(tmp_path):
    """A folder with a short path, since that of a Unix socket is short; a log with an event, and a token."""
    write(tmp_path / "web.log", 1)
    (tmp_path / "token").write_text(TOKEN)
    certificate(tmp_path)
    (tmp_path / "both.pem").write_text(
        (tmp_path / "cert.pem").read_text() + (tmp_path / "key.pem").read_text()
    )
    return tmp_path


@pytest.fixture
def served(folder):
    """The service, without systemd; returns what stands for `/run/chora-logging`."""
    arguments = [
        part.replace("/var/log/shop", str(folder))
        .replace("${RUNTIME_DIRECTORY}", str(folder))
        .replace("${CREDENTIALS_DIRECTORY}", str(folder))
        for part in serve_command()
    ]
    process = start([*COMMAND, *arguments], folder, STATE_DIRECTORY=str(folder / "state"))
    try:
        wait_for(lambda: process.poll() is not None or answers(folder / "serve.sock"))
        assert process.poll() is None, (folder / "output").read_text()
        yield str(folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE)


def answers(path):
    """Whether somebody accepts connections to a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
def proxied(folder, served):
    """Start a proxy with an example, changed by a function; yields its port."""
    running = contextlib.ExitStack()

    def proxy(name, change=str):
        port = free_port()
        text = change((EXAMPLES / name).read_text())
        text = text.replace("/run/chora-logging", served)
        if name == "nginx.conf":
            need("nginx with nchan")
            text = text.replace("listen 443", f"listen 127.0.0.1:{port}")
            text = text.replace("/etc/ssl/logs.pem", "cert.pem").replace("/etc/ssl/logs.key", "key.pem")
            user = "user root;" if os.geteuid() == 0 else ""
            (folder / name).write_text(NGINX.format(user=user, example=text))
            command = [find_program("nginx"), "-p", folder, "-c", name, "-e", "error.log"]
        elif name == "Caddyfile":
            need("caddy")
            text = text.replace("logs.example.org {", f"https://logs.example.org:{port} {{\n\tbind 127.0.0.1")
            text = text.replace("/etc/ssl/logs.pem", "cert.pem").replace("/etc/ssl/logs.key", "key.pem")
            (folder / name).write_text(CADDY + text)
            command = [find_program("caddy"), "run", "--config", name]
        else:
            need("haproxy")
            text = text.replace("bind :443", f"bind 127.0.0.1:{port}")
            (folder / name).write_text(text.replace("/etc/ssl/logs.pem", str(folder / "both.pem")))
            command = [find_program("haproxy"), "-db", "-f", name]
        process = start(command, folder)
        running.callback(process.wait)
        running.callback(process.terminate)
        wait_for(lambda: process.poll() is not None or is_listening(port))
        assert process.poll() is None, (folder / "output").read_text()
        return port

    with running:
        yield proxy


def everything_compressed(text):
    """The example of a proxy that compresses whatever it may."""
    return re.sub("(gzip_types|compression type) .*", lambda found: found[1] + ALL[found[1]], text)


ALL = {"gzip_types": " *;", "compression type": " application/json text/html text/event-stream text/css"}

WAYS = [
    ("nginx.conf", "logs.example.org", "/", str),
    ("nginx.conf", "logs.example.org", "/", everything_compressed),
    ("nginx.conf", "shop.example.org", "/logs/", str),
    ("haproxy.cfg", "logs.example.org", "/", str),
    ("haproxy.cfg", "logs.example.org", "/", everything_compressed),
    ("Caddyfile", "logs.example.org", "/", str),
]


@pytest.mark.parametrize(
    ("name", "host", "path", "change"),
    WAYS,
    ids=[
        "nginx",
        "nginx, everything compressed",
        "nginx, a path",
        "HAProxy",
        "HAProxy, everything compressed",
        "Caddy",
    ],
)
def test_a_proxy(folder, proxied, name, host, path, change):
    """Page, login, events and streams work; the cookie is for https, the client's address is its own."""
    port = proxied(name, change)
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    context.check_hostname = False
    address = f"https://127.0.0.1:{port}{path}"
    browser = {"Host": host, "Origin": f"https://{host}", "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=address, verify=context, headers=browser, timeout=DEADLINE) as client:
        assert client.get("").text.startswith("<!doctype html>")
        assert client.get(EVENTS[1:]).status_code == 401
        answer = client.post("login", data={"token": TOKEN})
        assert answer.status_code == 204
        assert {"Secure", "HttpOnly"} <= set(answer.headers["set-cookie"].split("; "))
        cookie = {"Cookie": answer.headers["set-cookie"].split(";")[0]}
        page = client.get(EVENTS[1:], headers=cookie)
        assert [event["n"] for event in page.json()["events"]] == [1]
        again = client.get(EVENTS[1:], headers={**cookie, "If-None-Match": page.headers["etag"]})
        assert again.status_code == 304
        with client.stream("GET", f"{EVENTS[1:]}/stream", headers=cookie) as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("data:"))
            assert '"n": 1' in next(lines)
            write(folder / "web.log", 2)
            assert '"n": 2' in next(lines)
        assert client.post("logout", headers=cookie).status_code == 204
        assert client.get(EVENTS[1:], headers=cookie).status_code == 401
        forged = client.get("healthz", headers={"X-Forwarded-For": "192.0.2.99"})
        assert forged.status_code == 200
    said = (folder / "output").read_text()
    assert "127.0.0.1:0" in said
    assert "192.0.2.99:" not in said


def test_beside_other_sites(proxied):
    """The example sets nothing for the other sites of the same nginx, and they set nothing twice."""
    port = free_port()
    proxied("nginx.conf", lambda text: NEIGHBOUR.format(port=port) + text)

    answer = httpx.get(f"http://127.0.0.1:{port}/passed/", headers={"Host": "neighbour.example"})
    assert answer.text == f"127.0.0.1:{port} neighbour"


class TestService:
    def test_systemd_understands_it(self, tmp_path):
        """systemd has no complaint about the unit, and calls it safe."""
        need("systemd-analyze")
        unit = (EXAMPLES / "chora-logging-serve.service").read_text()
        unit = unit.replace("/opt/shop/.venv/bin/chora-logging", "/bin/true").replace(
            "User=shop", "User=daemon"
        )
        path = tmp_path / "chora-logging-serve.service"
        path.write_text(unit)
        verified = run("systemd-analyze", "verify", "--man=no", path)
        safe = run("systemd-analyze", "security", "--offline=true", "--threshold=20", path)

        assert (
            verified.returncode,
            [line for line in verified.stderr.splitlines() if path.name in line],
        ) == (0, [])
        assert safe.returncode == 0, safe.stdout

    def test_nothing_else_is_written(self, folder):
        """With all of the file system read-only but for the socket and the state, it serves and logs out."""
        need("mounts")

        script = (
            'set -e; for each in run state; do mount --bind "$1/$each" "$1/$each"; done; '
            'mount -o remount,bind,ro /; for each in /tmp "$1"; do '
            'mountpoint -q "$each" && mount -o remount,bind,ro "$each"; done; '
            'touch "$1/x" 2>/dev/null && exit 9; shift; exec "$@"'
        )
        for name in ("run", "state"):
            (folder / name).mkdir()
        arguments = [
            part.replace("/var/log/shop", str(folder))
            .replace("${RUNTIME_DIRECTORY}", str(folder / "run"))
            .replace("${CREDENTIALS_DIRECTORY}", str(folder))
            for part in serve_command()
        ]
        command = [*namespace(), "sh", "-c", script, "sh", folder, *COMMAND, *arguments]
        process = start(command, folder, STATE_DIRECTORY=str(folder / "state"))
        path = folder / "run" / "serve.sock"
        try:
            wait_for(lambda: process.poll() is not None or answers(path))
            assert process.poll() is None, (folder / "output").read_text()
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://x") as client:
                answer = client.post("login", data={"token": TOKEN})
                cookie = {"Cookie": answer.headers["set-cookie"].split(";")[0]}
                assert client.get(EVENTS, headers=cookie).json()["events"][0]["n"] == 1
                client.post("logout", headers=cookie)
                assert client.get(EVENTS, headers=cookie).status_code == 401
            assert len(os.listdir(folder / "state" / "ended_sessions")) == 1
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE)
        assert not pathlib.Path(path).exists()


def run(*command):
    """Run a program to its end."""
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
