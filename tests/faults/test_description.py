"""Schemathesis sends the server every request that its description allows, and many that it does not."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import pathlib
import sys

import pytest

from chora_logging.web import create_app
from tests.soaks import soak
from tests.web.serving import ask, serving

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOOKS = "tests.faults.schemathesis_formats"

TOKEN = "a-token-of-enough-characters"
#: Without the stateful phase, which would only repeat findings.
WITH_TOKEN = ("-H", f"Authorization: Bearer {TOKEN}", "--phases", "examples,coverage,fuzzing")

#: Real events, and lines that our writers never write.
LINES = [
    b'{"timestamp": "2025-10-17T12:00:00Z", "level": "INFO", "event": "started", "task_id": "1"}',
    b'{"timestamp": "2025-10-17T12:00:01Z", "level": "ERROR", "event": "failed", "trace_id": "0", "n": NaN}',
    b'{"event": "\\ud800", "level": 7, "status": null, "trace_id": {"a": [[[]]]}, "n": 1e999}',
    b'{"torn": tr{"event": "whole", "level": "LOUD", "timestamp": "yesterday"}',
    b"\xff\xfe no JSON \x00\x1b[31m",
    b"[1, 2]",
    b"",
    '{"event": "ü\u2028\U0001f600", "": "no name", "a=b": "=", "timestamp": -1}'.encode(),
]


@pytest.fixture
def logs(tmp_path):
    """Two logs: one with many lines, some malformed, and one without a file yet."""
    with (tmp_path / "orch.log").open("wb") as file:
        file.write(b"\n".join(LINES) + b"\n")
        file.writelines(b'{"event": "many", "n": %d}\n' % n for n in range(2000))
        file.write(b'{"event": "not written to its e')
    return {"orchestrator": tmp_path / "orch.log", "telemetry": tmp_path / "events.jsonl"}


class ForSchemathesis:
    """An application whose streams end after their first events, and whose clients all have other addresses.

    Schemathesis waits for the end of an answer, and tries more wrong tokens than one client may.
    """

    def __init__(self, app):
        self.app = app
        self._addresses = ipaddress.ip_network("127.0.0.0/8").hosts()

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        bodies, ended = 0, False

        async def leave():
            # The first part is the opening; of an empty log nothing follows it.
            while not bodies:
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.02)
            return {"type": "http.disconnect"}

        async def watched(message):
            nonlocal bodies, ended
            await send(message)
            if message["type"] == "http.response.body":
                bodies, ended = bodies + 1, not message.get("more_body", False)

        scope["client"] = (str(next(self._addresses)), 50000)
        is_stream = scope["path"].endswith("/stream")
        await self.app(scope, leave if is_stream else receive, watched)
        if not ended:
            await send({"type": "http.response.body"})


def cursors(app, logs):
    """The cursors of some pages of *logs*, oldest and newest first."""
    found = []
    for order in ("asc", "desc"):
        after = ""
        for _ in range(4):
            page = ask(app, f"/api/v1/{logs}/events?limit=3&order={order}{after}").json()
            found.append(page["next"])
            after = f"&after={page['next']}"
    return " ".join(found)


async def schemathesis(port, folder, *options, **variables):
    """Run schemathesis on the description at *port*; return its exit code and its output."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", *options]
    command += [f"http://localhost:{port}/api/v1/openapi.json", "--checks", "all", "--no-color"]
    command += ["--max-examples", str(soak(12)), "--request-timeout", "10", "--seed", "1"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": HOOKS, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize(
    "token", [pytest.param(None, id="open", marks=pytest.mark.whole), pytest.param(TOKEN, id="token")]
)
def test_schemathesis_finds_no_fault(logs, token, tmp_path):
    """With every request, with the token and without: no server error, and each answer as described."""
    app = ForSchemathesis(create_app(logs, token=token))
    plain = create_app(logs)
    known = {
        "KNOWN_CURSORS": cursors(plain, "orchestrator"),
        "KNOWN_MERGED": cursors(plain, "orchestrator,telemetry"),
    }

    async def scenario():
        async with serving(app) as port:
            options = WITH_TOKEN if token else ()
            return await schemathesis(port, tmp_path, *options, KNOWN_TOKEN=TOKEN, **known)

    status, said = asyncio.run(scenario())

    assert status == 0, said
