"""The fixtures of the tests of the commands."""

from __future__ import annotations

import sys

import pytest

from tests.cli.calling import Caller
from tests.cli.running import Terminal
from tests.jetstream.conftest import newest, newest_program, old_program  # noqa: F401  # fixtures


@pytest.fixture
def call(capsys, monkeypatch):
    """Calls a command in this process."""
    return Caller(capsys, monkeypatch)


@pytest.fixture
def terminal(monkeypatch, call):
    """Calls a command whose stdout is a terminal of some width: its status, and its output."""

    def on_terminal(*arguments, width=80, colours=False):
        screen = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            patch.setenv("TERM", "xterm-256color")
            patch.setenv("NO_COLOR", "" if colours else "1")
            status, _, errors = call(*arguments, width=width)
        assert errors == ""
        return status, screen.text

    return on_terminal
