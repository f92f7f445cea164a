"""Debian's Firefox for Playwright, which drives it by WebDriver BiDi.

Playwright sends commands that a release of Firefox does not have yet: to set the colours that a page prefers
(153), to collect the bodies of answers (140). It opens no page if one is refused. So this program stands
between the two: Playwright starts it, it starts Firefox, relays each message, and says instead that what
Firefox does not know was done; no test asks for it.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import re
import shlex
import subprocess
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.checkout import ROOT
from tests.needs import find_program

#: How Playwright calls a Firefox that it has not made.
CHANNEL = "moz-firefox"
UNKNOWN = "unknown command"
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")


def program(folder: pathlib.Path) -> pathlib.Path:
    """Make the program in a folder."""
    made = folder / "firefox"
    command = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.browser.firefox"])
    made.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    made.chmod(0o700)
    return made


async def relay(client: ServerConnection, browser_url: str) -> None:
    """Relay what both sides say, but that Firefox does not know a command."""
    assert client.request is not None
    async with connect(browser_url + client.request.path, max_size=None, compression=None) as browser:

        async def answers() -> None:
            async for message in browser:
                await client.send(_done_if_unknown(message))

        task = asyncio.create_task(answers())
        async for message in client:
            await browser.send(message)
        task.cancel()


def _done_if_unknown(message: str | bytes) -> str | bytes:
    answer = json.loads(message) if UNKNOWN in str(message) else {}
    if answer.get("error") != UNKNOWN:
        return message
    return json.dumps({"type": "success", "id": answer["id"], "result": {}})


async def main(arguments: list[str]) -> int:
    """Start Firefox, and say on the standard error where its commands are taken."""
    command = [str(find_program("firefox-esr")), *arguments]
    # What Playwright kills is the group that both are in.
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    async for line in process.stderr:
        if found := LISTENING.search(line.decode(errors="replace")):
            break
    else:
        return await process.wait()
    url = found[1]
    async with serve(
        lambda client: relay(client, url), "127.0.0.1", 0, max_size=None, compression=None
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(f"WebDriver BiDi listening on ws://127.0.0.1:{port}", file=sys.stderr, flush=True)
        async for _ in process.stderr:
            pass
    return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
