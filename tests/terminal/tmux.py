"""A real terminal for tests: tmux with a server of its own, typed into and read back."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.needs import need

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE = 60
#: The interval at which the screen is polled, in seconds.
INTERVAL = 0.05
PROMPT = "ready> "


class Screen:
    """A terminal with a shell in a folder, in which `chora-logging` is this package.

    Args:
        folder: Where the shell starts.
        scratch: A folder for tmux's socket and the program.
        columns: How wide it is.
        rows: How high.
    """

    def __init__(self, folder, scratch, columns=80, rows=24):
        need("tmux")
        self._number = 0
        bin_folder = scratch / "bin"
        bin_folder.mkdir(exist_ok=True)
        program = bin_folder / "chora-logging"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m chora_logging "$@"\n')
        program.chmod(0o755)
        self._socket = scratch / "tmux"
        unwanted = ("COLUMNS", "LINES", "NO_COLOR", "TMUX", "PROMPT_COMMAND")
        kept = {name: value for name, value in os.environ.items() if name not in unwanted}
        self._env = {
            **kept,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            "LC_ALL": "C.UTF-8",
        }
        size = ("-x", str(columns), "-y", str(rows))
        shell = f"exec env PS1={shlex.quote(PROMPT)} bash --norc --noprofile"
        # A configuration of its own, independent of that of this machine.
        (scratch / "tmux.conf").write_text("set -g history-limit 50000\n")
        configuration = ("-f", str(scratch / "tmux.conf"), "-u")
        self._tmux(*configuration, "new-session", "-d", *size, "-c", str(folder), shell)
        self.wait_for(re.escape(PROMPT.strip()))

    def type(self, line):
        """Type a line, and Enter."""
        self.keys(line, literal=True)
        self.keys("Enter")

    def keys(self, *keys, literal=False):
        """Press keys, by the names that tmux gives them."""
        self._tmux("send-keys", *(("-l",) if literal else ()), "--", *keys)

    def run(self, line):
        """Type a command, wait for its end, and give the rows that it printed, empty ones left out."""
        return [row for row in self.all_of(line) if row]

    def all_of(self, line):
        """The same with the empty rows; all of it must fit on the screen."""
        self._number += 1
        end = f"end of {self._number}"
        # The same line clears the screen, so that earlier output is not taken for its own.
        self.type(f"clear; {line}; echo; echo $'end of' {self._number}")
        rows = self.wait_for(rf"(?m)^{end}$").split("\n")
        return rows[: rows.index(end) - 1]

    def wait_for(self, pattern):
        """The screen as soon as the pattern is found in it."""
        deadline = time.monotonic() + DEADLINE
        while not re.search(pattern, text := self.text()):
            assert time.monotonic() < deadline, f"{pattern} did not appear:\n{text}"
            time.sleep(INTERVAL)
        return text

    def press_until(self, key, pattern):
        """Press *key* again and again, once a second, until the pattern is on the screen."""
        deadline = time.monotonic() + DEADLINE
        while not re.search(pattern, text := self.text()):
            assert time.monotonic() < deadline, f"{pattern} did not appear:\n{text}"
            self.keys(key)
            time.sleep(1)

    def text(self, *, colours=False, scrolled=False):
        """The text on the screen, optionally after what scrolled off; rows have no trailing blanks."""
        options = (("-e",) if colours else ()) + (("-S", "-") if scrolled else ())
        shown = self._tmux("capture-pane", "-p", *options)
        return "\n".join(row.rstrip() for row in shown.split("\n")).rstrip("\n")

    def resize(self, columns):
        """Make the terminal narrower or wider; tmux informs the program in it with a delay."""
        self._tmux("resize-window", "-x", str(columns))
        tty = os.open(self._tmux("display-message", "-p", "#{pane_tty}").strip(), os.O_RDONLY | os.O_NOCTTY)
        try:
            deadline = time.monotonic() + DEADLINE
            while os.get_terminal_size(tty).columns != columns:
                assert time.monotonic() < deadline, f"the terminal is not {columns} columns wide"
                time.sleep(INTERVAL)
        finally:
            os.close(tty)

    def title(self):
        """The title of the window."""
        return self._tmux("display-message", "-p", "#{pane_title}").rstrip("\n")

    def close(self):
        """End the shell, and the programs in it."""
        self._tmux("kill-server")

    def _tmux(self, *arguments):
        command = ["tmux", "-S", str(self._socket), *arguments]
        done = subprocess.run(
            command, env=self._env, capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout
