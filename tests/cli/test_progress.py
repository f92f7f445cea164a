"""The bar on stderr: only where it is seen, only if it takes long, and gone at the end."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from chora_logging.cli import progress
from chora_logging.cli.logs import named
from tests.cli.calling import write_events
from tests.cli.running import Terminal

DEADLINE = 30


@pytest.fixture
def watch(monkeypatch):
    """Makes stderr a terminal, and gives it."""

    def made():
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setenv("TERM", "xterm-256color")
        return terminal

    return made


@pytest.fixture
def logs(tmp_path):
    """A log of some size."""
    return named([str(write_events(tmp_path / "app.log", {"pad": "x" * 100_000}))]).all


def threads():
    return {thread.name for thread in threading.enumerate()}


class TestShown:
    def test_how_much_has_been_read(self, watch, logs, monkeypatch):
        """What takes long shows how many bytes of all have been read; at the end the line is empty again."""
        stderr = watch()
        monkeypatch.setattr(progress, "PATIENCE", 0)
        before = threads()
        with progress.progress(logs):
            assert sum(1 for _ in logs[0].events.read()) == 1
            deadline = time.monotonic() + DEADLINE
            while "100.0/100.0 kB" not in stderr.text:
                assert time.monotonic() < deadline, stderr.text
                time.sleep(0.01)

        assert stderr.text.endswith("\x1b[2K")
        assert threads() == before

    def test_an_error_ends_it(self, watch, logs, monkeypatch):
        """Whatever ends the reading ends the bar."""
        watch()
        monkeypatch.setattr(progress, "PATIENCE", 0)
        before = threads()

        with pytest.raises(ValueError, match="bad"), progress.progress(logs):
            raise ValueError("bad")
        assert threads() == before


class TestNotShown:
    def test_what_is_quick(self, watch, logs):
        """What is done at once shows nothing."""
        stderr = watch()
        with progress.progress(logs):
            pass

        assert stderr.text == ""

    def test_without_a_terminal(self, logs, monkeypatch, capsys):
        """Where stderr is no terminal there is no bar, and no thread for it."""
        monkeypatch.setattr(progress, "PATIENCE", 0)
        before = threads()
        with progress.progress(logs):
            assert threads() == before

        assert capsys.readouterr() == ("", "")

    def test_on_a_dumb_terminal(self, watch, logs, monkeypatch):
        """A terminal that cannot go back in a line gets no bar."""
        watch()
        monkeypatch.setenv("TERM", "dumb")
        before = threads()
        with progress.progress(logs):
            assert threads() == before

    def test_between_events(self, watch, logs, tmp_path, monkeypatch):
        """Where events are printed meanwhile there is a bar only if they go to a file."""
        watch()
        monkeypatch.setattr(sys, "stdout", Terminal())
        before = threads()
        with progress.progress(logs, streams=True):
            assert threads() == before

        with open(tmp_path / "output", "w", encoding="utf-8") as file:
            monkeypatch.setattr(sys, "stdout", file)
            with progress.progress(logs, streams=True):
                assert threads() != before
