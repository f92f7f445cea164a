"""`chora-logging serve` as a process: its output, its refusals, its end."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.request

import pytest

from chora_logging.cli import main
from tests.cli.running import COMMAND, DEADLINE, environment


def run(*arguments):
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, "serve", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        stdin=subprocess.DEVNULL,
    )


def test_ctrl_c_at_once(tmp_path):
    """Ctrl-C as soon as the address is printed ends it without output on stderr."""
    for _ in range(3):
        command = [*COMMAND, "serve", "--log", f"app={tmp_path / 'app.log'}", "--port", "0"]
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as server:
            lines = [server.stdout.readline(), server.stdout.readline()]
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=DEADLINE)

        assert lines[0] == f"app: {tmp_path / 'app.log'} (not there yet)\n"
        assert lines[1].startswith("http://127.0.0.1:")
        assert errors == ""
        assert server.returncode in (0, 130, -signal.SIGINT)


def test_json(tmp_path):
    """With --json a program reads the address and the logs from one line, and each log line is JSON."""
    command = [*COMMAND, "serve", "--log", f"app={tmp_path / 'ä.log'}", "--port", "0", "--json"]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        said = json.loads(server.stdout.readline())
        with urllib.request.urlopen(said["url"] + "healthz?x=%0A", timeout=DEADLINE) as answer:
            trace_id = answer.headers["X-Trace-Id"]
        server.send_signal(signal.SIGTERM)
        output, errors = server.communicate(timeout=DEADLINE)

    assert said == {"url": said["url"], "logs": {"app": str(tmp_path / "ä.log")}}
    assert output == ""
    logged = [json.loads(line) for line in errors.splitlines()]
    assert [(line["logger"], line["trace_id"]) for line in logged] == [("uvicorn.access", trace_id)]
    assert '"GET /healthz?x=%0A HTTP/1.1" 200' in logged[0]["message"]


@pytest.mark.parametrize(
    "query",
    [
        "token=a%2Bb",
        "x=a%2bb&y",
        "token=a%252Bb",
        "token=%61%2B%62",
        "where=a+b",
        "access_token=a-former-one",
    ],
)
def test_the_token_is_not_logged(tmp_path, query):
    """A token that a client wrongly puts into a URL does not reach the access log, whatever its form."""
    rest = "-token-of-enough-characters"
    (tmp_path / "token").write_text(f"a+b{rest}")
    command = [*COMMAND, "serve", "--log", f"app={tmp_path / 'app.log'}", "--port", "0", "--json"]
    command += ["--token-file", str(tmp_path / "token")]
    address = "healthz?" + re.sub("(a%2Bb|a%252Bb|%61%2B%62|a[+]b)", rf"\1{rest}", query, flags=re.IGNORECASE)
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        url = json.loads(server.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}{address}&last=1", timeout=DEADLINE):
            server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=DEADLINE)

    name = query.partition("=")[0]
    assert f"GET /healthz?{name}=(masked)" in errors
    assert "&last=1 HTTP/1.1" in errors
    assert rest not in errors
    assert "former" not in errors


def test_an_address_that_cannot_be_used(tmp_path):
    """The error says why the address cannot be used, and which option to change."""
    (tmp_path / "token").write_text("a-token-of-enough-characters")
    taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    port = taken.getsockname()[1]
    with taken:
        inuse = run("--host", "::1", "--port", str(port))
    unknown = run("--host", "999.1.1.1", "--token-file", str(tmp_path / "token"))
    foreign = run("--host", "192.0.2.1", "--port", "0", "--token-file", str(tmp_path / "token"))

    assert {done.returncode for done in (inuse, unknown, foreign)} == {2}
    assert f"cannot listen on [::1]:{port}: Address already in use; choose another --port" in inuse.stderr
    assert "cannot listen on 999.1.1.1:8000: Name or service not known; " in unknown.stderr
    assert "cannot listen on 192.0.2.1:0: Cannot assign requested address; " in foreign.stderr
    assert "choose another --host" in unknown.stderr
    assert "choose another --host" in foreign.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "and without a token they could all read the logs"),
        (("--host", ""), "--host '' admits other machines"),
        (("--log", "app.log"), "'app.log' is not NAME=PATH"),
        (("--log", "a=x", "--log", "a=y"), "'a' is given twice"),
        (("--token-file", "/nowhere/token"), "/nowhere/token"),
        (("--port", "70000"), "70000"),
    ],
    ids=["open to all", "any host", "no name", "twice", "no token file", "no port"],
)
def test_wrong_use(call, arguments, said):
    """A wrong argument is one message, with status 2."""
    status, output, errors = call("serve", *arguments)

    assert (status, output) == (2, "")
    assert said in errors


class TestServe:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "logs.example.org"])
    def test_another_address_needs_a_token(self, host, capsys):
        """serve refuses to listen for other machines without a token, and says what to do."""
        assert main(["serve", "--host", host]) == 2
        said = capsys.readouterr().err
        assert "--token-file" in said
        assert "chora-logging token" in said

    def test_a_token_file_is_checked(self, tmp_path, capsys):
        """A token file with too short a token is an error that does not show it."""
        (tmp_path / "token").write_text("geheim\n")

        assert main(["serve", "--token-file", str(tmp_path / "token")]) == 2
        assert "geheim" not in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["x", "=x", "x=", "a=1 --log a=2"])
    def test_a_log_has_a_name_and_a_path(self, text, capsys):
        """--log without a name or a path, or twice with one name, is wrong use."""
        arguments = [part for one in text.split(" --log ") for part in ("--log", one)]

        assert main(["serve", *arguments]) == 2
        assert "--log" in capsys.readouterr().err
