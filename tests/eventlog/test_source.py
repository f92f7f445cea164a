"""`Source`, which every reader of events fulfils, and `open_source`."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from chora_logging.config import setup_logging
from chora_logging.errors import ConfigurationError
from chora_logging.eventlog import EventLog, Source, open_source
from chora_logging.eventlog.source import Health
from chora_logging.writing.handler import EventFileHandler
from tests.checkout import ROOT
from tests.eventlog.writing import line, members, threads_of, until, write


class TestEventLog:
    def test_is_a_source(self, tmp_path):
        """An `EventLog` has all members of the protocol."""
        assert isinstance(EventLog(tmp_path / "app.log"), Source)

    def test_is_a_source_for_type_checkers(self, tmp_path):
        """Under `mypy --strict` an `EventLog` is a `Source`, and its subscription a `Subscribed`."""
        # Another name in each process: they may share mypy's cache.
        module = tmp_path / f"uses_source_{os.getpid()}.py"
        module.write_text(
            "from chora_logging.eventlog import EventLog, Source\n"
            "from chora_logging.eventlog.selection import Selection\n"
            "from chora_logging.eventlog.subscription import Subscribed\n"
            "log: Source = EventLog('app.log')\n"
            "subscribed: Subscribed = EventLog('app.log').subscribe(Selection())\n"
            "wrong: Source = Selection()\n"
        )
        command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", str(module)]

        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

        assert [text.split(": ")[0] for text in done.stdout.splitlines() if "error:" in text] == [
            f"{pathlib.Path(module)}:6"
        ], done.stdout + done.stderr

    def test_exists_and_size(self, tmp_path):
        """The size is that of all files; without a file there is no log."""
        log = EventLog(tmp_path / "app.log")
        before = log.exists(), log.size(), log.files()
        write(tmp_path / "app.log.1", 1, 2)
        write(tmp_path / "app.log", 3)

        assert before == (False, 0, [])
        assert (log.exists(), log.size()) == (True, 3 * len(line(1)))
        assert log.files() == [f"{log.address}.1", log.address]

    def test_health(self, tmp_path):
        """A log is followed as long as somebody follows it."""
        log = EventLog(tmp_path / "app.log")
        write(log.path, 1)
        before = log.health()
        following = log.follow_sync()
        next(following)
        subscription = log.subscribe(after="end", selection=EventLog(log.path)._selection("read", {}))
        while not subscription.fed:
            subscription.read()
        during = log.health()
        subscription.close()
        following.close()
        until(lambda: not threads_of(log.path) and not members(log.path))

        assert (before, during, log.health()) == (
            Health(True, False),
            Health(True, True),
            Health(True, False),
        )


class TestOpenSource:
    def test_a_path(self, tmp_path):
        """A path is an `EventLog` with the same options."""
        path = tmp_path / "app.log"
        path.write_text('{"sev": "error"}\nno event\n')
        skipped = []

        found = open_source(path, on_skip=skipped.append, fields={"level": "sev"})

        assert isinstance(found, EventLog)
        assert list(found.read(level="error")) == [{"sev": "error"}]
        assert [line.reason for line in skipped] == ["not JSON"]

    def test_a_source(self, tmp_path):
        """A source is itself."""
        log = EventLog(tmp_path / "app.log")

        assert open_source(log) is log

    @pytest.mark.parametrize("address", ["https://host/log", "kafka://host/topic", "file:///var/log/a.log"])
    def test_an_unknown_scheme(self, address):
        """An address of an unknown kind is refused, by its scheme alone."""
        scheme = address.partition(":")[0]
        with pytest.raises(ConfigurationError) as error:
            open_source(address)

        assert str(error.value) == f"log must be a path or an address nats://HOST/STREAM, got '{scheme}://…'"


class TestPaths:
    @pytest.mark.parametrize("use", [EventLog, EventFileHandler, lambda path: setup_logging(log_file=path)])
    def test_an_address_is_no_path(self, tmp_path, monkeypatch, use):
        """What is about files refuses an address, and does not repeat a password; no folder is made."""
        monkeypatch.chdir(tmp_path)

        with pytest.raises(ConfigurationError, match="must be the path of a file") as error:
            use("nats://me:secret@host/CLOG")

        assert "secret" not in str(error.value)
        assert list(tmp_path.iterdir()) == []
