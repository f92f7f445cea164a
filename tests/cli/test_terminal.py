"""Output to a terminal, and to a pipe or file in its place."""

from __future__ import annotations

import io
import json
import re
import sys
import unicodedata

import pytest
from rich.cells import cell_len

from chora_logging.cli.terminal import Screen, printable
from tests.cli.calling import write_events
from tests.cli.running import Terminal

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def at(second, **fields):
    return {"timestamp": f"2026-03-01T12:00:{second:02}.5Z", "trace_id": TRACE, **fields}


@pytest.fixture
def log(tmp_path):
    """A log with text beyond ASCII, and an event with a duration that failed."""
    return write_events(
        tmp_path / "app.log",
        at(1, event="käse", note="日本語"),
        at(9, event="made", duration_ms=4000, level="ERROR", error="zu groß"),
    )


class Plain(Terminal):
    """A terminal that takes ASCII only."""

    def __init__(self):
        io.TextIOWrapper.__init__(self, io.BytesIO(), encoding="ascii", newline="\n")


class TestEncodings:
    @pytest.mark.parametrize(
        "arguments",
        [["tail"], ["query"], ["stats"], ["check"], ["trace", TRACE], ["query", "--format", "csv"]],
        ids=" ".join,
    )
    def test_a_terminal_that_takes_ascii_only(self, log, call, monkeypatch, arguments):
        """Lines and plots are drawn in ASCII with the same width, and other characters are escaped."""
        screen = Plain()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            status, _, errors = call(*arguments, "--log", log, width=200)

        assert (status, errors) == (0, "")
        assert "u25" not in screen.text
        assert ("k\\xe4se" in screen.text) == (arguments[0] != "check")

    @pytest.mark.parametrize("form", ["csv", "json"])
    def test_a_pipe_gets_utf8(self, log, call, monkeypatch, form):
        """Output for programs is UTF-8 like the log, whatever the encoding of stdout is."""
        pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", pipe)
            status, _, errors = call("query", "--log", log, "--format", form)
        pipe.flush()

        assert (status, errors) == (0, "")
        text = pipe.buffer.getvalue().decode()
        assert "日本語" in (text if form == "csv" else json.loads(text.split("\n")[0])["note"])

    def test_a_pipe_that_takes_ascii_only(self, log, call, monkeypatch):
        """Counts by value for programs are UTF-8 too."""
        pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", pipe)
            assert call("query", "--log", log, "--by", "event", "--format", "csv")[0] == 0
        pipe.flush()

        assert pipe.buffer.getvalue().decode().splitlines() == ["event,count", "käse,1", "made,1"]


class TestWidth:
    @pytest.mark.parametrize("columns", ["0", "-3", "abc", "", "99999999999"])
    def test_columns_that_are_no_width(self, log, call, columns):
        """An unusable `COLUMNS` is ignored."""
        assert call("tail", "--log", log, width=columns)[1] == (
            "2026-03-01 12:00:01.500       4bf92f35 käse                       note=日本語\n"
            "2026-03-01 12:00:09.500 ERROR 4bf92f35 made                       "
            'error="zu groß" 4 s\n'
        )

    @pytest.mark.parametrize("text", ["👍🏽", "👨‍👩‍👧", "e\u0301", "日本", "⚠️", "🇩🇪"])
    def test_nothing_is_wider_than_it_is_taken_for(self, text):
        """A line that fits one terminal fits all, whether they join characters or not."""
        alone = sum(
            0 if unicodedata.combining(character) or character == "\ufe0f" else cell_len(character)
            for character in printable(text)
        )

        assert cell_len(printable(text)) >= alone


def print_each(screen, *lines):
    """Print lines as rich lays them out."""
    for line in lines:
        screen.print(line, no_wrap=True, end="\n")


@pytest.mark.parametrize("color", ["never", "always"])
def test_lines_are_as_they_would_be_laid_out(log, call, monkeypatch, color):
    """Writing a line that fits directly prints the same as laying it out, in colour too."""
    for arguments in (["tail"], ["query"], ["trace", TRACE], ["query", "--by", "event"]):
        fast = call(*arguments, "--log", log, "--color", color)
        with monkeypatch.context() as patch:
            patch.setattr(Screen, "show", print_each)
            assert call(*arguments, "--log", log, "--color", color) == fast


class TestColor:
    @pytest.mark.parametrize(
        ("option", "variables", "in_pipe", "at_terminal"),
        [
            ((), {}, False, True),
            ((), {"NO_COLOR": "1"}, False, False),
            ((), {"NO_COLOR": ""}, False, True),
            ((), {"FORCE_COLOR": "1"}, True, True),
            ((), {"FORCE_COLOR": "0"}, False, True),
            ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
            (("--color", "auto"), {"FORCE_COLOR": "1"}, True, True),
            (("--color=always",), {"NO_COLOR": "1"}, True, True),
            (("--color=never",), {"FORCE_COLOR": "1"}, False, False),
        ],
    )
    def test_when(self, log, call, monkeypatch, option, variables, in_pipe, at_terminal):
        """The option decides, else NO_COLOR, else FORCE_COLOR, else whether it is a terminal."""
        for name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TERM", "xterm-256color")
        for command in (["tail"], ["query"], ["stats"], ["check"], ["trace", TRACE]):
            text = call(*command, log, *option)[1]
            screen = Terminal()
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", screen)
                call(*command, log, *option)

            assert ("\x1b[" in text, "\x1b[" in screen.text) == (in_pipe, at_terminal), command

    def test_a_pipe_has_the_same_text(self, log, call):
        """Colours do not change what is printed: in a pipe, for `less -R`, lines are not cut."""
        plain = call("tail", log, "--color", "never", width="")[1]
        coloured = call("tail", log, "--color", "always", width="")[1]

        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


@pytest.mark.parametrize(
    "arguments",
    [["tail"], ["query"], ["query", "--by", "event"], ["stats"], ["check"], ["trace", TRACE]],
    ids=" ".join,
)
def test_a_style_is_that_of_its_words_only(log, call, monkeypatch, arguments):
    """A dim beginning of a line does not change the colours that follow."""
    with open(log, "ab") as file:
        file.write(b'{"torn\n')
    screen = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", screen)
        patch.setenv("TERM", "xterm-256color")
        patch.delenv("NO_COLOR", raising=False)
        call(*arguments, "--log", log, width=100)

    styles = [codes.split(";") for codes in re.findall(r"\x1b\[([\d;]+)m", screen.text)]
    assert styles
    assert [style for style in styles if "2" in style and len(style) > 1] == []
