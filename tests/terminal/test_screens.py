"""The commands in a real terminal, whose screen is read back and checked."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
import time
import unicodedata

import pytest
from rich.cells import cell_len

from chora_logging.eventlog import EventLog
from tests.needs import need
from tests.terminal.tmux import DEADLINE, INTERVAL, PROMPT, Screen

DEMO = [sys.executable, "-m", "chora_logging", "demo", "--json", "--workers", "3"]

LOGS = ("orchestrator.log", "events.jsonl")

#: An event as `tail` shows it at 80 columns: time, level (typed events have none), log, trace, name, rest.
ROW = re.compile(r"\d\d:\d\d:\d\d (?:[DIWEC] [a-z]{4}|  tele) [0-9a-f]{8} [a-z._]+( .*)?")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A folder in which the demo has written both logs."""
    folder = tmp_path_factory.mktemp("demo") / "logs"
    subprocess.run(
        [*DEMO, "--seconds", "2", "--dir", folder], check=True, timeout=DEADLINE, capture_output=True
    )
    return folder


@pytest.fixture
def screen(tmp_path, monkeypatch):
    """Opens terminals beside a folder whose logs are the demo's; they are closed at the end."""
    opened = []
    (tmp_path / "scratch").mkdir()

    def open_screen(folder, columns=80, rows=24):
        monkeypatch.setenv("ORCH_LOG_FILE", f"{folder.name}/orchestrator.log")
        monkeypatch.setenv("CHORA_EVENTS_FILE", f"{folder.name}/events.jsonl")
        opened.append(Screen(folder.parent, tmp_path / "scratch", columns, rows))
        return opened[-1]

    yield open_screen
    for terminal in opened:
        terminal.close()


def assert_readable(rows, columns):
    """No row is wider than the terminal, and none has an invisible character."""
    assert rows
    for row in rows:
        assert cell_len(row) <= columns
        assert [character for character in row if unicodedata.category(character).startswith("C")] == []


def assert_aligned(rows, *titles):
    """Below each title of the first row, which ends where its column does, numbers end there too.

    A row that says how many others there are has no columns.
    """
    for title in titles:
        end = rows[0].index(title) + len(title)
        for row in (row for row in rows[1:] if not row.startswith("…")):
            assert row[end : end + 1] in ("", " "), (title, row)
            assert row[end - 1 : end] not in ("", " "), (title, row)


def part(rows, title):
    """The rows from the one that begins with a title up to the next empty one."""
    start = next(index for index, row in enumerate(rows) if row.startswith(title))
    end = next((index for index in range(start, len(rows)) if not rows[index]), len(rows))
    return rows[start:end]


def broken(rows):
    """The rows that are neither a whole event nor what `tail -f` prints before the first one of a day."""
    others = (PROMPT, "chora-logging: waiting for ", "── ")
    return [row for row in rows if row and not ROW.fullmatch(row) and not row.startswith(others)]


def wait_for_rows(terminal, count):
    """All rows since the beginning, as soon as *count* events are among them."""
    deadline = time.monotonic() + DEADLINE
    while True:
        rows = terminal.text(scrolled=True).split("\n")
        if sum(bool(ROW.fullmatch(row)) for row in rows) >= count:
            return rows
        assert time.monotonic() < deadline, rows[-24:]
        time.sleep(INTERVAL)


class TestTail:
    def test_follow_during_the_demo(self, tmp_path, screen):
        """`tail -f` shows each event of both logs once, while they are written, on a whole row."""
        folder = tmp_path / "logs"
        terminal = screen(folder)
        terminal.type("chora-logging tail -f")
        terminal.wait_for("waiting for .*events.jsonl")
        demo = subprocess.Popen([*DEMO, "--seconds", "3", "--dir", folder], stdout=subprocess.DEVNULL)
        try:
            for event in ("orch [0-9a-f]{8} job_completed ", "tele [0-9a-f]{8} chora.content_generated "):
                rows = terminal.wait_for(event).split("\n")
                assert_readable(rows, 80)
                assert broken(rows) == []
            assert demo.poll() is None, "the demo had ended before its events were seen"
            assert demo.wait(DEADLINE) == 0
        finally:
            demo.kill()
            demo.wait()
        written = [event for log in LOGS for event in EventLog(folder / log).read()]
        rows = wait_for_rows(terminal, len(written))
        terminal.keys("C-c")
        terminal.wait_for(rf"(?m)\^C\n{PROMPT.strip()}\Z")

        assert_readable(rows, 80)
        assert broken(rows) == []
        shown = [row for row in rows if ROW.fullmatch(row)]
        assert len(shown) == len(written)
        failed = [event["trace_id"][:8] for event in written if event.get("event") == "job_failed"]
        assert [row.split()[3] for row in shown if " job_failed " in row] == failed

    @pytest.mark.whole
    def test_a_narrow_terminal(self, demo, screen):
        """At 40 columns an event is still one row, with time, level (typed events have none) and name."""
        rows = screen(demo, columns=40).run("chora-logging tail -n 15")
        rows = [row for row in rows if not row.startswith("── ")]  # the date, after midnight

        assert_readable(rows, 40)
        assert len(rows) == 15
        assert all(re.match(r"\d\d:\d\d:\d\d ([DIWEC] |  chora\.)", row) for row in rows)

    def test_colours(self, demo, screen, monkeypatch):
        """A failed event is red on a terminal, and nothing is coloured with NO_COLOR."""
        terminal = screen(demo)
        terminal.run("chora-logging tail -n 5 --level error")
        assert "\x1b[" in terminal.text(colours=True)

        terminal.run("NO_COLOR=1 chora-logging tail -n 5 --level error")
        assert "\x1b[" not in terminal.text(colours=True)

    def test_hostile_events(self, tmp_path, screen):
        """An event that would rename the window, colour or clear the screen is shown as text."""
        log = tmp_path / "hostile.log"
        fields = {"event": "\x1b]2;renamed\x07\x1b[2J", "note": "a\x1b[31mb\rc\x9b2K\u202ed"}
        log.write_text(json.dumps({"timestamp": "2026-03-01T12:00:00Z", **fields}) + "\n")
        terminal = screen(tmp_path)
        terminal.type("printf '\\033]2;as it was\\007'")
        row = terminal.run(f"chora-logging tail --log {log}")[-1]

        assert "\\x1b]2;renamed\\x07\\x1b[2J" in row
        assert terminal.title() == "as it was"

    @pytest.mark.parametrize("columns", [20, 40])
    def test_wide_characters(self, tmp_path, screen, columns):
        """An event is one row for any width of characters, and however a terminal joins them."""
        texts = ("日本語" * 20, "👍🏽" * 30, "👨‍👩‍👧‍👦" * 20, "e\u0301" * 60, "🇩🇪" * 30)
        events = [{"timestamp": "2026-03-01T12:00:00Z", "event": text, "trace_id": "t"} for text in texts]
        log = tmp_path / "wide.log"
        log.write_text("".join(json.dumps(event) + "\n" for event in events))
        terminal = screen(tmp_path / "logs", columns=columns)

        assert len(terminal.run("chora-logging tail --log wide.log")) == 1 + len(events)
        assert len(terminal.run("chora-logging query --log wide.log")) - len(events) in (1, 2)
        assert len(terminal.run("chora-logging query --log wide.log --by event")) == 1 + len(events)
        assert len(terminal.run("chora-logging trace t --log wide.log")) == 2 + len(events)

    def test_a_terminal_that_is_resized(self, tmp_path, screen):
        """Lines that come after a resize fit the new width."""
        log = tmp_path / "app.log"
        event = {"event": "tick", "note": "x" * 200}
        terminal = screen(tmp_path / "logs")
        terminal.type("chora-logging tail -f --log app.log")
        terminal.wait_for("waiting for app.log")
        for columns in (80, 30, 110):
            terminal.resize(columns)
            now = datetime.datetime.now().astimezone().isoformat()
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps({"timestamp": now, **event, "n": columns}) + "\n")
            terminal.wait_for(rf"(?m)^.{{{columns - 1}}}…$")


class TestPipesAndText:
    """What a shell gives, on screens of several sizes."""

    TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\nValueError: bad\x1b[2J'

    @pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (40, 20)])
    def test_a_pipe_with_text(self, tmp_path, screen, columns, rows):
        """Events and other lines of a pipe are rows, a traceback is whole with --full, nothing is obeyed."""
        lines = [
            json.dumps({"timestamp": "2026-03-01T12:00:00Z", "level": "ERROR", "event": "job_failed"}),
            "plain \x1b[31mred\x1b[0m \x1b]2;renamed\x07 text",
            json.dumps({"event": "e", "exc_info": self.TRACEBACK}),
        ]
        (tmp_path / "out.txt").write_text("\n".join(lines) + "\n")
        terminal = screen(tmp_path / "logs", columns, rows)
        shown = terminal.run("cat out.txt | chora-logging tail --full")

        assert_readable(shown, columns)
        assert any("job_failed" in row for row in shown)
        assert "plain red \\x1b]2;renamed\\x07 text" in "".join(row.ljust(columns) for row in shown)
        assert [row.strip() for row in shown[-3:]] == [
            "Traceback (most recent call last):",
            'File "x.py", line 1',
            "ValueError: bad\\x1b[2J",
        ]

    def test_less(self, demo, screen):
        """`--color always | less -R` has colours, and the command ends when `less` is quit."""
        need("less")
        terminal = screen(demo)
        terminal.type("chora-logging tail -f --color always | less -R; echo quit''ted ${PIPESTATUS[@]}")
        terminal.wait_for(r"\d\d:\d\d:\d\d\.\d{3} ")
        assert "\x1b[" in terminal.text(colours=True)
        terminal.keys("C-c")
        terminal.press_until("q", r"(?m)^quitted \d+ 0$")  # `less` may drop a key while it is interrupted

    def test_head_ends_tail(self, demo, screen):
        """`tail -f | head -1` gives the prompt back, although no event comes."""
        shown = screen(demo).run("chora-logging tail -f | head -1; echo ${PIPESTATUS[@]}")

        assert shown[-1] == "141 0"


class TestTrace:
    def test_a_failed_job(self, demo, screen):
        """The trace of a failed job has its events of both logs, one below the other, and the error."""
        [failed] = EventLog(demo / "orchestrator.log").last(1, event="job_failed")
        rows = screen(demo).run(f"chora-logging trace {failed['trace_id']}")
        events = [row for row in rows if row.lstrip().startswith("+")]
        names = [re.search("task_started|chora.content_generated|job_failed", row) for row in events]

        assert_readable(rows, 80)
        assert rows[0] == f"trace {failed['trace_id']}"
        assert "events in 2 logs" in rows[1]
        assert len({name.start() for name in names}) == 1
        assert {"task_started", "chora.content_generated", "job_failed"} == {name[0] for name in names}
        assert all(set("━╸╺•") & set(row) for row in events)
        assert failed["error"][:40] in "\n".join(rows)


class TestStats:
    def test_at_80_columns(self, demo, screen):
        """The numbers are in columns, the plot has its scale, and nothing is cut off but long lines."""
        rows = screen(demo, rows=60).all_of("chora-logging stats")

        assert_readable(rows, 80)
        assert re.fullmatch(r"[\d,]+ events in [\d.]+ s, [\d,]+ errors \([\d.]+ %\)", rows[0])
        assert_aligned(part(rows, "log "), "events", "size", "files", "from", "to")
        assert_aligned(part(rows, "type "), "events", "errors")
        assert_aligned([row[:32] for row in part(rows, "status ")][:4], "events", "share")
        plot = part(rows, "events per minute")
        assert [row[8:10].strip() for row in plot[1:8]] == ["┤", "│", "│", "┤", "│", "│", "┼"]
        assert any("█" in row for row in plot)
        assert "errors" in plot[8]
        types = {row.split()[0] for row in part(rows, "type ")[1:]}
        assert {"task_started", "job_failed", "chora.content_generated", "all"} <= types
        slowest = part(rows, "slowest")[1:]
        assert len(slowest) == 5
        assert all(re.match(r" *[\d.]+ m?s  \d\d:\d\d:\d\d [IE ] ", row) for row in slowest)

    def test_at_40_columns(self, demo, screen):
        """At half the width, the most important columns are still there, and whole."""
        rows = screen(demo, columns=40, rows=60).all_of("chora-logging stats")

        assert_readable(rows, 40)
        assert_aligned(part(rows, "log "), "events", "size")
        assert_aligned(part(rows, "type "), "events", "errors")
        assert any("█" in row for row in rows)


class TestCheck:
    def test_sound(self, demo, screen):
        """Each log has its files in columns, its retention, and a verdict in the last row."""
        rows = screen(demo, rows=60).all_of("chora-logging check")

        assert_readable(rows, 80)
        assert_aligned(part(rows, "file "), "size", "events", "skipped", "from", "to")
        assert sum(row.startswith("Sound: ") for row in rows) == 2
        assert rows[-1].startswith("Sound: ")
        assert all(any(row.startswith(word) for row in rows) for word in ("retained ", "rate ", "lasts "))

    def test_damaged(self, tmp_path, screen):
        """Each problem is a row with its place and the beginning of the line."""
        (tmp_path / "orchestrator.log").write_bytes(
            b'{"event": "half\nwhat is\x1b[2J this?' + b"x" * 200 + b"\n"
        )
        rows = screen(tmp_path).all_of("chora-logging check")

        assert_readable(rows, 80)
        assert 'orchestrator.log:1  torn  not JSON  {"event": "half' in rows
        assert any(
            row.startswith("orchestrator.log:2  foreign  not JSON  what is\\x1b[2J this?xx") for row in rows
        )
        assert rows[-1] == "Damaged: 1 torn, 1 foreign; 0 events."


class TestConfig:
    def test_origins(self, demo, screen):
        """The table has a row for each setting, with the origin of its value."""
        rows = screen(demo).all_of("chora-logging config --origins")

        assert_readable(rows, 80)
        assert [row.split()[0] for row in rows if not row.startswith(" ")] == [
            *("setting", "log_level", "log_file", "orch_log_file", "events_file"),
            *("max_bytes", "backup_count", "orch_max_bytes", "orch_backup_count"),
            *("events_max_bytes", "events_backup_count"),
            "compiled_part",
        ]


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh"])
    def test_the_tab_key(self, demo, screen, shell):
        """TAB completes a command, and then an option."""
        if shell == "zsh":
            need("zsh")
        terminal = screen(demo)
        if shell == "zsh":
            terminal.type("exec zsh -f")
            terminal.type("autoload -U compinit && compinit -D")
        terminal.type(f'eval "$(chora-logging completion {shell})"; clear; echo complet""ed')
        terminal.wait_for("(?m)^completed$")
        terminal.keys("chora-logging sta", literal=True)
        terminal.keys("Tab")
        terminal.wait_for("chora-logging stats")
        terminal.keys("--unt", literal=True)
        terminal.keys("Tab")

        terminal.wait_for("chora-logging stats --until")

    def test_fish(self, demo, screen):
        """fish offers completions for a command, an option and a value."""
        need("fish")
        asked = "; ".join(
            f"complete -C 'chora-logging {words}'" for words in ("sta", "stats --unt", "config --format ")
        )
        rows = screen(demo).run(
            f'HOME=$PWD fish --no-config -c "chora-logging completion fish | source; {asked}"'
        )

        assert [row.split()[0] for row in rows] == ["stats", "--until", "json", "toml", "yaml"]
