"""Calls commands in this process, and checks what must hold for every screen."""

from __future__ import annotations

import json
import unicodedata

from rich.cells import cell_len

from chora_logging.cli import main

#: Values that would control a terminal, forge lines, or reverse their direction.
HOSTILE = (
    "\x1b[2J\x1b[31mred",
    "\x1b]8;;http://evil.example/\x1b\\click\x1b]8;;\x1b\\",
    "\x9b31m\x85next",
    "two\nlines\r\n\tand\x08\x7f\0",
    "abc\u202edcba\u2066x",
    "\ud800half\u2028line",
)


class Caller:
    """Calls a command: its status, its stdout and its stderr."""

    def __init__(self, capsys, monkeypatch):
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments, width=80):
        self._capsys.readouterr()
        with self._monkeypatch.context() as patch:  # pytest reads it too
            patch.setenv("COLUMNS", str(width))
            status = main([str(argument) for argument in arguments])
        return (status, *self._capsys.readouterr())

    def json(self, *arguments, status=0):
        """The JSON output of a command, which must end with *status* and an empty stderr."""
        ended, output, errors = self(*arguments)
        assert (ended, errors) == (status, "")
        return json.loads(output)


def write_events(path, *events):
    """Append events as lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
    return path


def assert_tame(text, width=None):
    """Nothing in *text* controls a terminal, and no line is wider than *width*."""
    strange = {
        character
        for character in text
        if character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    }
    assert strange == set()
    if width is not None:
        assert [line for line in text.split("\n") if cell_len(line) > width] == []
