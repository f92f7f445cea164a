"""The bar on stderr: only on a terminal, only if reading takes long, and removed at the end."""

from __future__ import annotations

import re
import sys
import threading
import time

import pytest
from rich.cells import cell_len

from chora_logging.cli import main, progress
from chora_logging.cli.logs import named
from chora_logging.cli.terminal import JsonLines
from tests.cli.calling import write_events
from tests.cli.running import Terminal

DEADLINE = 30


@pytest.fixture
def watch(monkeypatch):
    """Makes stderr a terminal, and returns it."""

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
    """The names of the threads, without the one that flushes stdout."""
    return {thread.name for thread in threading.enumerate()} - {"flush"}


class TestShown:
    def test_how_much_has_been_read(self, watch, logs, monkeypatch):
        """A long reading shows how many bytes of all have been read; at the end the line is empty again."""
        stderr = watch()
        monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0)
        before = threads()
        with progress.progress(logs):
            assert sum(1 for _ in logs[0].events.read()) == 1
            deadline = time.monotonic() + DEADLINE
            while "97.7 kB of 97.7 kB" not in stderr.text:
                assert time.monotonic() < deadline, stderr.text
                time.sleep(0.01)

        assert stderr.text.endswith("\x1b[2K")
        assert threads() == before

    def test_in_green(self, watch, logs, monkeypatch):
        """The bar has no red, which is for failures."""
        stderr = watch()
        monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0)
        with progress.progress(logs):
            deadline = time.monotonic() + DEADLINE
            while "━" not in stderr.text:
                assert time.monotonic() < deadline, stderr.text
                time.sleep(0.01)

        assert not re.search("\x1b\\[(31|91|35)m", stderr.text)

    def test_where_the_kernel_does_not_count(self, watch, logs, monkeypatch):
        """Where nobody knows what has been read, the bar has no amount."""
        stderr = watch()
        monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0)
        monkeypatch.setattr(progress, "_bytes_read", lambda: None)
        with progress.progress(logs):
            deadline = time.monotonic() + DEADLINE
            while "━" not in stderr.text:
                assert time.monotonic() < deadline, stderr.text
                time.sleep(0.01)

        assert " of " not in stderr.text

    def test_an_error_ends_it(self, watch, logs, monkeypatch):
        """An exception that ends the reading ends the bar."""
        watch()
        monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0)
        before = threads()

        with pytest.raises(ValueError, match="bad"), progress.progress(logs):
            raise ValueError("bad")
        assert threads() == before


class TestNotShown:
    def test_what_is_quick(self, watch, logs):
        """A short reading shows nothing."""
        stderr = watch()
        with progress.progress(logs):
            pass

        assert stderr.text == ""

    def test_without_a_terminal(self, logs, monkeypatch, capsys):
        """If stderr is not a terminal, there is no bar, and no thread for it."""
        monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0)
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


class TestCommands:
    @pytest.fixture
    def count_bars(self, call, watch, monkeypatch):
        """Lets commands show their bars without delay, on a terminal: a list with an item for each bar."""
        shown = []
        before = progress._show

        def show(*arguments):
            shown.append(arguments)
            before(*arguments)

        def start():
            watch()
            monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0)
            monkeypatch.setattr(progress, "_show", show)
            return shown

        return start

    @pytest.mark.parametrize(
        ("arguments", "count"),
        [
            (["tail"], 1),
            (["query"], 1),
            (["query", "--count"], 1),
            (["query", "--by", "event"], 1),
            (["query", "--format", "csv"], 1),
            (["query", "--json", "--event", "nope"], 1),
            (["query", "--to", "x.csv"], 2),
            (["query", "--to", "x.parquet"], 2),
            (["stats"], 1),
            (["check"], 1),
            (["trace", "t-1"], 1),
            (["trace", "t"], 1),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_each_reading_has_one(self, count_bars, tmp_path, call, monkeypatch, arguments, count):
        """Every command that reads the logs, or writes the events read, has a bar for it."""
        monkeypatch.chdir(tmp_path)
        log = write_events(tmp_path / "app.log", {"event": "tick", "trace_id": "t-1"})
        before = threads()
        bars = count_bars()

        call(*arguments, "--log", log)

        assert len(bars) == count
        assert threads() == before

    def test_none_between_events(self, count_bars, tmp_path, monkeypatch):
        """The bar ends before the first event is printed, unless stdout is a file."""
        log = write_events(tmp_path / "app.log", *[{"event": "tick"}] * 1000)
        count_bars()
        before = len(threads())
        for name, is_file in (("/dev/null", False), (tmp_path / "output", True)):
            alive = []
            monkeypatch.setattr(JsonLines, "write", lambda self, line, alive=alive: alive.append(threads()))
            with open(name, "w", encoding="utf-8") as output, monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", output)
                assert main(["query", "--json", "--log", str(log)]) == 0
            assert len(alive[-1]) == before + is_file

    @pytest.mark.parametrize("width", [20, 40, 80])
    def test_it_fits(self, watch, logs, monkeypatch, width):
        """On any terminal, the bar is one row that shows the progress of the reading."""
        stderr = watch()
        monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0)
        monkeypatch.setenv("COLUMNS", str(width))
        with progress.progress(logs):
            assert sum(1 for _ in logs[0].events.read()) == 1
            deadline = time.monotonic() + DEADLINE
            while not re.search("100%|97.7 kB of", stderr.text):
                assert time.monotonic() < deadline, stderr.text
                time.sleep(0.01)

        rows = re.split(r"[\r\n]", re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", stderr.text))
        assert [row for row in rows if cell_len(row) > width] == []
        assert stderr.text.count("\n") <= 1
