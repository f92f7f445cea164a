"""Eight stream clients of others behind nginx and HAProxy, while the server is killed and the log rotated."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess

import pytest

from chora_logging import EventFileHandler, EventFormatter
from tests.documents import README
from tests.faults.outside_clients import Page, Reports, clients
from tests.faults.serving import APP, ROOT, Server, is_listening, wait_for
from tests.needs import find_program, need
from tests.ports import free_port
from tests.soaks import soak

KILLS, EVENTS = soak(4), 30

#: More than a page of a file, and what divides lines elsewhere.
PAD = "x" * 20_000 + "\u2028\x85\r\n\n"

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
    server {{
        listen 127.0.0.1:{plain};
        {readme}
        location /page/ {{ proxy_pass http://127.0.0.1:{page}; }}
    }}
    {example}
}}
"""


class Logger:
    """Logs numbered events into a log that is rotated every few events."""

    def __init__(self, log):
        self._handler = EventFileHandler(log, maxBytes=30_000, backupCount=10_000, compress=True)
        self._handler.setFormatter(EventFormatter())
        self._logger = logging.Logger("outside")
        self._logger.addHandler(self._handler)
        self.count = 0

    def log(self, number):
        """Log so many events; one of them is long."""
        for _ in range(number):
            pad = PAD if self.count % EVENTS == 7 else "x" * 1000
            self._logger.info("x", extra={"n": self.count, "pad": pad})
            self.count += 1

    def close(self):
        """Close the log."""
        self._handler.close()


def nginx(folder, server, page, plain, compressed):
    """The command of nginx with the README's lines, and with the example that compresses everything."""
    example = (ROOT / "examples" / "nginx.conf").read_text()
    example = example[: example.rindex("server {")].replace("retry: 2000", "retry: 100")
    example = re.sub(" *ssl_certificate.*\n", "", example).replace(
        "listen 443 ssl;", f"listen 127.0.0.1:{compressed}; {page_location(page)}"
    )
    example = example.replace("unix:/run/chora-logging/serve.sock", f"127.0.0.1:{server}")
    example = re.sub("gzip_types .*", "gzip_types *;", example)
    (readme,) = README.blocks("nginx")
    text = NGINX.format(
        user="user root;" if os.geteuid() == 0 else "",
        plain=plain,
        page=page,
        readme=readme.replace("127.0.0.1:8000", f"127.0.0.1:{server}"),
        example=example,
    )
    (folder / "nginx.conf").write_text(text)
    return [find_program("nginx"), "-p", folder, "-c", "nginx.conf", "-e", "error.log"]


def page_location(page):
    """nginx's lines for the page of the test."""
    return f"location /page/ {{ proxy_pass http://127.0.0.1:{page}; }}"


def haproxy(folder, server, page, port, *, compressed):
    """The command of HAProxy with the example, which compresses streams too, or nothing."""
    text = (ROOT / "examples" / "haproxy.cfg").read_text()
    text = re.sub(
        "bind :443 .*", f"bind 127.0.0.1:{port}\n    use_backend page if {{ path_beg /page/ }}", text
    )
    text = text.replace("unix@/run/chora-logging/serve.sock", f"127.0.0.1:{server}")
    if compressed:
        text = re.sub("(compression type) .*", r"\1 application/json text/html text/event-stream", text)
    else:
        text = re.sub(" *compression .*\n", "", text)
    name = f"haproxy-{port}.cfg"
    (folder / name).write_text(f"{text}\nbackend page\n    server page 127.0.0.1:{page}\n")
    return [find_program("haproxy"), "-db", "-f", name]


@contextlib.contextmanager
def proxies(folder, server, page, ports):
    """The proxies, during the `with` block."""
    plain, compressed, squeezed, bare = ports
    commands = [
        nginx(folder, server, page, plain, compressed),
        haproxy(folder, server, page, squeezed, compressed=True),
        haproxy(folder, server, page, bare, compressed=False),
    ]
    with (folder / "proxies.txt").open("wb") as output, contextlib.ExitStack() as stack:
        for command in commands:
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        wait_for(lambda: all(map(is_listening, ports)))
        yield


@pytest.mark.timeout(600)
def test_none_misses_an_event(tmp_path):
    """Each client gets each event once and in order through each proxy, and none gives up behind an example.

    Meanwhile the log is rotated and packed, and the server is killed. The clients of Python do not
    reconnect, or not always: the test does that, with their last id. So it does for an `EventSource` that
    nginx, without the lines of the example, has answered 502.
    """
    need("nginx with nchan", "haproxy", "chromium-headless-shell", "firefox", "Node.js and clients from npm")
    log, reports, ports = tmp_path / "orch.log", Reports(), [free_port() for _ in range(4)]
    names = ("nginx", "nginx-gzip", "haproxy-gzip", "haproxy")
    ways = {name: f"http://127.0.0.1:{port}/" for name, port in zip(names, ports, strict=True)}
    ways["nginx"] += "logs/"
    port = free_port()
    command = ["-m", "uvicorn", APP, "--port", str(port)]
    with (
        contextlib.closing(Logger(log)) as logger,
        contextlib.closing(Page(reports, ways)) as page,
        proxies(tmp_path, port, page.port, ports),
        contextlib.ExitStack() as stack,
    ):
        readers = None
        for life in range(KILLS + 1):
            with Server(command, log, tmp_path, port=port, retry=100) as server:
                if readers is None:
                    logger.log(EVENTS)
                    found = stack.enter_context(clients(reports, ways, tmp_path))
                    readers = [(client, way) for client in found for way in ways]
                reports.wait(readers, logger.count)
                logger.log(EVENTS)
                if life == KILLS:
                    reports.wait(readers, logger.count)
                server.process.kill()
            logger.log(0 if life == KILLS else EVENTS)
    wanted = list(range(logger.count))
    assert {key: reports.got[key] for key in readers if reports.got[key] != wanted} == {}
    assert {way for (_, way), number in reports.gave_up.items() if number} <= {"nginx"}
    assert len(list(tmp_path.glob("orch.log*"))) > KILLS
