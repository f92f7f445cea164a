"""The settings that come from arguments, else variables, else defaults: how each file is rotated."""

from __future__ import annotations

import logging

import pytest

from chora_logging import telemetry
from chora_logging.config import get_logging_config, setup_logging
from chora_logging.errors import ConfigurationError
from chora_logging.orchestrator import log_orchestrator_event, setup_orchestrator_logging
from chora_logging.telemetry import ContentGeneratedEvent, EventEmitter, event_emitter, get_emitter

DEFAULT = (10 * 1024**2, 5)
HANDLERS = ("chora_log_file", "chora_orchestrator", "chora_telemetry")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Each test has a working directory and an emitter of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(event_emitter, "_shared", {})


def rotation(**options):
    """By handler, the size and the number of backups of a configuration."""
    handlers = get_logging_config(log_file="app.log", **options)["handlers"]
    return [(handlers[name]["maxBytes"], handlers[name]["backupCount"]) for name in HANDLERS]


def rotation_of(emitter):
    """The size and the number of backups of an emitter."""
    with emitter:
        return emitter._log.max_bytes, emitter._log.backup_count


class TestRotation:
    def test_defaults(self):
        """Without arguments and variables every file is rotated at 10 MiB, with 5 backups."""
        assert rotation() == [DEFAULT] * 3

    def test_each_file_has_its_variables(self, monkeypatch):
        """The variables of a file are those of its path; sizes may have a unit."""
        monkeypatch.setenv("LOG_MAX_BYTES", "1 MB")
        monkeypatch.setenv("ORCH_LOG_BACKUP_COUNT", "9")
        monkeypatch.setenv("CHORA_EVENTS_MAX_BYTES", "0")
        monkeypatch.setenv("CHORA_EVENTS_BACKUP_COUNT", "0")

        assert rotation() == [(1024**2, 5), (DEFAULT[0], 9), (0, 0)]

    def test_an_empty_variable_is_not_set(self, monkeypatch):
        """A variable that is empty counts as not set, as everywhere."""
        monkeypatch.setenv("LOG_MAX_BYTES", "")

        assert rotation() == [DEFAULT] * 3

    def test_arguments_win(self, monkeypatch):
        """A file's own argument wins over that for all files, which wins over the file's variable."""
        for prefix in ("LOG", "ORCH_LOG", "CHORA_EVENTS"):
            monkeypatch.setenv(f"{prefix}_MAX_BYTES", "nonsense")
            monkeypatch.setenv(f"{prefix}_BACKUP_COUNT", "nonsense")

        found = rotation(max_bytes="1kB", backup_count="2", events_max_bytes=0, orch_backup_count=7)
        assert found == [(1024, 2), (1024, 7), (0, 2)]

    @pytest.mark.parametrize("prefix", ["LOG", "ORCH_LOG", "CHORA_EVENTS"])
    def test_a_bad_variable_is_named(self, monkeypatch, prefix):
        """The error names the variable, what is allowed, and the value."""
        monkeypatch.setenv(f"{prefix}_MAX_BYTES", "huge")
        with pytest.raises(ConfigurationError) as caught:
            setup_logging()

        assert str(caught.value) == (
            f"{prefix}_MAX_BYTES must be a number of bytes, 0 or more, or a string like \"10MB\", got 'huge'"
        )

    def test_a_bad_argument_for_all_files_is_told_once(self):
        """The error for an argument that is the value of three settings is said once."""
        with pytest.raises(ConfigurationError) as caught:
            get_logging_config(max_bytes="huge")

        assert str(caught.value).count("max_bytes") == 1

    def test_emitters(self, monkeypatch):
        """An emitter takes its argument, else the variables, whatever its file."""
        monkeypatch.setenv("CHORA_EVENTS_MAX_BYTES", "0")
        monkeypatch.setenv("CHORA_EVENTS_BACKUP_COUNT", "3")

        assert rotation_of(EventEmitter("other.jsonl")) == (0, 3)
        assert rotation_of(EventEmitter("other.jsonl", max_bytes="1MB", backup_count=1)) == (1024**2, 1)
        assert rotation_of(get_emitter()) == (0, 3)

    def test_the_emitter_of_a_setup(self, monkeypatch):
        """`get_emitter` has the rotation of the handler that the setup gave the typed events."""
        setup_logging(console=False, events_max_bytes=0)
        monkeypatch.setenv("CHORA_EVENTS_MAX_BYTES", "1kB")

        assert rotation_of(get_emitter()) == (0, 5)

    @pytest.mark.parametrize("way", [setup_orchestrator_logging, lambda: log_orchestrator_event("a")])
    def test_the_orchestrators_log(self, monkeypatch, way):
        """Its own setup and its default log take its variables."""
        monkeypatch.setenv("ORCH_LOG_MAX_BYTES", "2kB")
        monkeypatch.setenv("ORCH_LOG_BACKUP_COUNT", "1")
        way()

        (handler,) = logging.getLogger("orchestrator_events").handlers
        assert (handler.maxBytes, handler.backupCount) == (2048, 1)

    def test_zero_never_rotates(self, tmp_path, monkeypatch):
        """With the variable at 0, a file over the default size has no backup: logrotate alone rotates it."""
        monkeypatch.setenv("CHORA_EVENTS_MAX_BYTES", "0")
        path = tmp_path / "events.jsonl"
        path.write_bytes(b"{}" + b" " * DEFAULT[0] + b"\n")
        event = ContentGeneratedEvent(
            content_config_id="a", generator_type="b", status="success", duration_ms=1
        )
        with telemetry.EventEmitter(path) as emitter:
            emitter.emit(event)

        assert [found.name for found in tmp_path.iterdir() if not found.name.startswith(".")] == [path.name]


class TestPaths:
    def test_the_log_made_of_an_id_is_named(self, tmp_path):
        """If a file is in the way of the default log, the variable that names another is in the error."""
        (tmp_path / ".devlogs").touch()

        with pytest.raises(ConfigurationError, match=r"^ORCH_LOG_FILE must be a path whose parents"):
            get_logging_config(orch_id="mine")
