"""`python -m tests.pictures`: makes the pictures of the README in `examples/pictures/`.

The demo writes two logs; the commands and the viewer then show them, in a terminal and in Chromium. Needs the
environment of the tests and Chromium. Another folder can be passed as the argument.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence

from playwright.sync_api import Browser, expect, sync_playwright
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from chora_logging import EventLog
from tests.browser.conftest import FLAGS
from tests.needs import find_program

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples" / "pictures"
COMMAND = (sys.executable, "-m", "chora_logging")
ROWS, COLUMNS = 40, 106
VIEWPORT = {"width": 1120, "height": 560}
#: The colours of the terminal: background, text, the eight colours and their bright forms, all readable.
THEME = TerminalTheme(
    (22, 25, 29),
    (216, 222, 230),
    [
        *((98, 106, 117), (240, 113, 120), (126, 198, 153), (226, 185, 107)),
        *((122, 162, 247), (197, 148, 224), (98, 190, 201), (216, 222, 230)),
    ],
)
SCREEN = """
<style>
  body {{ margin: 0; background: #fff; }}
  pre {{
    display: inline-block; margin: 0; padding: 16px 20px; color: {foreground}; background: {background};
    font: 14px/1.45 "DejaVu Sans Mono", monospace;
  }}
</style>
<pre>{code}</pre>
"""


class Logs:
    """The two logs of a demo.

    Args:
        folder: The folder that the demo writes to.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        demo = ("demo", "--seconds", "2", "--workers", "3", "--dir", str(folder), "--json")
        subprocess.run([*COMMAND, *demo], check=True, stdout=subprocess.DEVNULL, env=environment())
        self.paths = {"orchestrator": folder / "orchestrator.log", "telemetry": folder / "events.jsonl"}
        #: The variables with which commands read these logs.
        self.environment = environment(
            ORCH_LOG_FILE=str(self.paths["orchestrator"]), CHORA_EVENTS_FILE=str(self.paths["telemetry"])
        )

    def failed(self, field: str) -> str:
        """Return a field of the last job that failed."""
        (event,) = EventLog(self.paths["orchestrator"]).last(1, event="job_failed")
        return str(event[field])


def environment(**more: str) -> dict[str, str]:
    """Return the variables of a process: this package, a colour terminal, none of the caller's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **more}


def typed(arguments: Sequence[str], variables: dict[str, str]) -> str:
    """Return the terminal's text after a command is typed: prompt, command and output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=variables, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # the other end of the terminal is closed
        while part := os.read(ours, 65536):
            written += part
    os.close(ours)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors.decode())
    return f"\x1b[2m$\x1b[0m chora-logging {' '.join(arguments)}\n{written.decode()}"


def picture_terminal(browser: Browser, logs: Logs, path: pathlib.Path) -> None:
    """Show the newest events and one trace as a terminal does."""
    trace = logs.failed("trace_id")[:8]
    text = "\n".join(
        typed(arguments, logs.environment) for arguments in (["tail", "-n", "6"], ["trace", trace])
    )
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor")
    console.print(Text.from_ansi(text.replace("\r\n", "\n").rstrip()))
    page = browser.new_page(viewport=VIEWPORT)
    page.set_content(console.export_html(theme=THEME, inline_styles=True, code_format=SCREEN))
    page.locator("pre").screenshot(path=path)
    page.close()


def picture_viewer(browser: Browser, logs: Logs, path: pathlib.Path) -> None:
    """Show the live page with the details of an event."""
    with serving(logs) as url:
        page = browser.new_page(viewport=VIEWPORT, locale="en-GB", timezone_id="UTC")
        # So the failed task is among the visible rows, however much the demo wrote.
        page.goto(f"{url}?log=orchestrator&task_id={logs.failed('task_id')}")
        expect(page.locator("#status-words")).to_have_text("Live")
        page.locator("#space .row:not([hidden])", has_text="job_failed").last.click()
        expect(page.locator("#detail")).to_be_visible()
        chart = page.locator("#chart")
        chart.press("End")
        expect(chart).to_have_attribute("aria-valuetext", re.compile(r" events?[,( ]"))  # it has been read
        chart.press("Escape")
        page.mouse.move(0, 0)  # away from the row, which else shows its buttons
        chart.blur()
        page.screenshot(path=path)
        page.close()


@contextlib.contextmanager
def serving(logs: Logs) -> Iterator[str]:
    """Serve the logs and yield the address."""
    server = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--json"],
        env=logs.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"]
    finally:
        server.terminate()
        server.communicate()


def main(arguments: Sequence[str]) -> int:
    """Make both pictures."""
    folder = pathlib.Path(arguments[0]) if arguments else FOLDER
    program = find_program("chromium-headless-shell")
    if program is None:
        print("chromium-headless-shell is needed: install Debian's package of that name", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        logs = Logs(pathlib.Path(made))
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        picture_terminal(browser, logs, folder / "terminal.png")
        picture_viewer(browser, logs, folder / "viewer.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
