"""Which handlers of an application count as a console, so that `setup_logging` adds no second one."""

from __future__ import annotations

import codecs
import io
import json
import logging
import logging.handlers
import os
import pathlib
import pty
import queue
import subprocess
import sys

import pytest
from rich.console import Console
from rich.logging import RichHandler

from chora_logging.config import setup_logging
from chora_logging.console import may_be_console
from chora_logging.optimizing import OptimizingHandler
from chora_logging.writing.queue_handler import EventQueueHandler
from tests.checkout import ROOT


class SinkHandler(logging.Handler):
    """A handler of an unknown class that prints, as that of AWS Lambda's runtime does."""

    def emit(self, record):
        print(record.getMessage(), file=sys.stdout)


class Tee:
    """A stream that passes on to stdout and has no descriptor."""

    def write(self, text):
        return sys.stdout.write(text)

    def flush(self):
        sys.stdout.flush()


class ReopenedHandler(logging.StreamHandler):
    """A console on a copy of a descriptor, which it closes."""

    def __init__(self, descriptor):
        super().__init__(os.fdopen(os.dup(descriptor), "w"))

    def close(self):
        self.stream.close()
        super().close()


CONSOLES = {
    "rich": RichHandler,
    "rich on stderr": lambda: RichHandler(console=Console(stderr=True)),
    "unknown": SinkHandler,
    "wrapped": lambda: logging.StreamHandler(Tee()),
    "encoded": lambda: logging.StreamHandler(codecs.getwriter("utf-8")(sys.stdout.buffer)),
    "stdout": lambda: logging.StreamHandler(sys.stdout),
    "memory": lambda: logging.handlers.MemoryHandler(1, target=logging.StreamHandler()),
    "memory before rich": lambda: logging.handlers.MemoryHandler(1, target=RichHandler()),
    "queue": lambda: logging.handlers.QueueHandler(queue.Queue()),
    "our queue": lambda: EventQueueHandler(queue.Queue()),
    "reopened stdout": lambda: ReopenedHandler(1),
    "reopened stderr": lambda: ReopenedHandler(2),
}
OTHERS = {
    "null": logging.NullHandler,
    "ours": OptimizingHandler,
    "in memory": lambda: logging.StreamHandler(io.StringIO()),
    "bytes in memory": lambda: logging.StreamHandler(io.TextIOWrapper(io.BytesIO())),
    "buffer": lambda: logging.handlers.BufferingHandler(10),
    "memory alone": lambda: logging.handlers.MemoryHandler(10),
    "memory before a file": lambda: logging.handlers.MemoryHandler(
        1, target=logging.FileHandler("own.log", delay=True)
    ),
    "network": lambda: logging.handlers.SocketHandler("localhost", 1),
    "file": lambda: logging.FileHandler("own.log"),
    "file later": lambda: logging.handlers.RotatingFileHandler("own.log", delay=True),
    "nowhere": lambda: logging.FileHandler(os.devnull, delay=True),
}

#: A program whose root logger has a handler; what it prints is a line for each console.
PROGRAM = """
import logging, logging.handlers, os, sys
from chora_logging import setup_logging
logging.basicConfig(level="INFO", format="%(message)s", handlers=[{handler}])
setup_logging()
logging.getLogger("app").info("record")
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Each test has a working directory of its own."""
    monkeypatch.chdir(tmp_path)


def ours():
    """Whether the root logger has our console."""
    return "chora_console" in [handler.name for handler in logging.getLogger().handlers]


class TestBesideOthers:
    @pytest.mark.parametrize("make", CONSOLES.values(), ids=CONSOLES)
    def test_a_console(self, make):
        """No second console is added beside a handler that writes to one, at a second setup either."""
        logging.getLogger().addHandler(make())
        setup_logging()
        setup_logging(console="json")

        assert not ours()

    @pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
    def test_no_console(self, make):
        """Beside a handler that writes elsewhere there is a console."""
        logging.getLogger().addHandler(make())
        setup_logging()

        assert ours()

    @pytest.mark.parametrize("console", ["json", "stdout"])
    def test_json_beside_a_console(self, console):
        """JSON that was asked for and is not written is reported, with the handler to remove."""
        theirs = logging.StreamHandler(sys.stderr)
        logging.getLogger().addHandler(theirs)
        setup_logging(console=console, log_file="app.log")

        event = json.loads(pathlib.Path("app.log").read_text())
        assert (event["event"], event["level"]) == ("console_kept", "WARNING")
        assert event["message"] == (
            f"console={console!r} adds nothing beside {theirs!r}, which may write to a console: "
            "remove it from the root logger"
        )

    def test_rich_shows_a_line_once(self, capsys):
        """With rich's handler each line is on the screen once."""
        logging.basicConfig(level="INFO", format="%(message)s", handlers=[RichHandler()])
        setup_logging()
        logging.getLogger("app").info("record")

        captured = capsys.readouterr()
        assert (captured.out + captured.err).count("record") == 1

    def test_a_stream_that_is_closed(self):
        """A handler on a stream that is closed, as after pytest's capturing, is no console."""
        with open(os.devnull, "w", encoding="utf-8") as stream:
            pass
        logging.getLogger().addHandler(logging.StreamHandler(stream))
        setup_logging()

        assert ours()

    def test_none_is_asked_for(self):
        """The words for no console are understood."""
        for word in (False, 0, "no", "false", "off"):
            setup_logging(console=word)

            assert not ours()

    def test_our_own_log_on_stdout(self):
        """A general log that is the screen does not take our console away."""
        setup_logging(log_file="/dev/stdout")
        setup_logging(log_file="/dev/stdout")

        assert ours()


class TestInAProgram:
    """The streams of a process of its own."""

    @pytest.mark.parametrize(
        "handler",
        [
            "logging.FileHandler('/dev/stdout')",
            "logging.FileHandler('/dev/stderr')",
            "logging.StreamHandler(os.fdopen(os.dup(1), 'w'))",
            "logging.StreamHandler(open(2, 'w', closefd=False))",
        ],
    )
    @pytest.mark.parametrize("goes_to", ["a pipe", "a file", "a terminal"])
    def test_a_line_comes_once(self, tmp_path, handler, goes_to):
        """Whatever stdout and stderr are, a handler that was opened on them anew is a console."""
        code = PROGRAM.format(handler=handler)
        if goes_to == "a file":
            with open("out.txt", "ab") as file:
                subprocess.run([sys.executable, "-c", code], stdout=file, stderr=file, timeout=60, check=True)
            output = (tmp_path / "out.txt").read_bytes()
        elif goes_to == "a terminal":
            master, slave = pty.openpty()
            subprocess.run([sys.executable, "-c", code], stdout=slave, stderr=slave, timeout=60, check=True)
            output = os.read(master, 65536)
            os.close(slave)
            os.close(master)
        else:
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
            output = done.stdout + done.stderr

        assert output.split() == [b"record"]

    def test_a_terminal_by_its_path(self):
        """A file handler on a terminal is a console, also if stdout is another."""
        master, slave = pty.openpty()
        handler = logging.FileHandler(os.ttyname(slave), delay=True)

        assert may_be_console(handler)
        os.close(slave)
        os.close(master)

    @pytest.mark.parametrize("closed", [(1,), (2,), (1, 2)], ids=str)
    def test_without_stdout_or_stderr(self, tmp_path, closed):
        """A daemon without streams is set up, and logs to its file."""
        code = (
            "import logging, logging.handlers\nfrom chora_logging import setup_logging\n"
            "logging.getLogger().addHandler(logging.FileHandler('own.log'))\n"
            "setup_logging(log_file='app.log')\nlogging.getLogger('app').info('record')\n"
        )
        subprocess.run(
            [sys.executable, "-c", code],
            preexec_fn=lambda: [os.close(descriptor) for descriptor in closed],
            timeout=60,
            check=True,
        )

        assert json.loads((tmp_path / "app.log").read_text())["message"] == "record"


LOGS = r"""
import logging, sys
from chora_logging import setup_logging
setup_logging(console=sys.argv[1])
logging.info("Gr\u00fc\u00dfe \U0001f600", extra={"Zo\u00eb": "\u00e9", "plain": "a"})
"""


class TestWhatAStreamCannotTake:
    @pytest.mark.parametrize(
        ("console", "variables"),
        [
            ("stdout", {"PYTHONIOENCODING": "ascii:strict"}),
            ("stdout", {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
            ("json", {"PYTHONIOENCODING": "latin-1"}),
        ],
        ids=["ascii", "LC_ALL=C", "latin-1 on stderr"],
    )
    def test_json(self, console, variables):
        """A stream that is not UTF-8 gets every line, with characters that it lacks as JSON's escapes."""
        done = subprocess.run(
            [sys.executable, "-c", LOGS, console],
            env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=60,
        )
        written, other = (done.stdout, done.stderr) if console == "stdout" else (done.stderr, done.stdout)

        line = json.loads(written.decode("ascii"))
        assert (line["message"], line["Zoë"], line["plain"]) == ("Grüße 😀", "é", "a")
        assert other == b""

    def test_text(self, monkeypatch):
        """A console for people gets escapes there, too."""
        stream = io.TextIOWrapper(io.BytesIO(), "ascii", "strict")
        monkeypatch.setattr(sys, "stderr", stream)
        setup_logging()
        logging.getLogger("app").warning("Grüße %s", "\ud800")

        assert stream.buffer.getvalue().endswith(b" - app - WARNING - Gr\\u00fc\\u00dfe \\ud800\n")

    @pytest.mark.parametrize("console", ["text", "stdout"])
    def test_a_stream_that_was_closed(self, capsys, monkeypatch, console):
        """A console whose stream was replaced and closed, as `capsys` does, goes to the present one."""
        name = "stdout" if console == "stdout" else "stderr"
        with monkeypatch.context() as patched, io.StringIO() as replaced:
            patched.setattr(sys, name, replaced)
            setup_logging(console=console)
        logging.getLogger("app").warning("hello")

        captured = capsys.readouterr()
        assert "hello" in (captured.out if name == "stdout" else captured.err)
        assert "Logging error" not in captured.err
