"""Two logs, one of which does not exist, and their application; no token of the machine reaches a test."""

from __future__ import annotations

import pytest

from chora_logging.web import create_app
from tests.eventlog.writing import write


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    """Without this a server under test might ask for one."""
    monkeypatch.delenv("CHORA_LOGGING_TOKEN", raising=False)


@pytest.fixture(autouse=True)
def state(tmp_path_factory, monkeypatch):
    """A folder for what servers remember; returns it."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return folder


@pytest.fixture
def logs(tmp_path):
    write(tmp_path / "orch.log", 1, 2)
    return {"orchestrator": tmp_path / "orch.log", "telemetry": tmp_path / "events.jsonl"}


@pytest.fixture
def app(logs):
    return create_app(logs)
