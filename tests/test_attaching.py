"""Setting up again: with replaced streams, loggers that do not propagate, a deleted working directory."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import subprocess
import sys

import pytest

from chora_logging.config import setup_logging


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Each test has a working directory of its own."""
    monkeypatch.chdir(tmp_path)


def messages(path):
    return [json.loads(line)["message"] for line in path.read_text(encoding="utf-8").splitlines()]


class TestReplacedStreams:
    @pytest.mark.parametrize("console", [True, "json"])
    def test_redirected_at_the_first_setup(self, capsys, console):
        """A setup inside `redirect_stderr` and a second one after it: the console is the live stderr."""
        with contextlib.redirect_stderr(io.StringIO()) as first:
            setup_logging(console=console)
            logging.getLogger("app").info("redirected")
        first.close()
        setup_logging(console=console)
        logging.getLogger("app").info("live")

        assert [line.count("live") for line in capsys.readouterr().err.splitlines()] == [1]

    def test_back_and_forth(self, capsys):
        """Each line goes to the stderr of the last setup, once."""
        seen = []
        for turn in range(3):
            with contextlib.redirect_stderr(io.StringIO()) as redirected:
                setup_logging()
                logging.getLogger("app").info("%s in", turn)
            setup_logging()
            logging.getLogger("app").info("%s out", turn)
            seen.append(redirected.getvalue().count("in"))

        captured = capsys.readouterr().err.splitlines()
        assert seen == [1, 1, 1]
        assert [line.rpartition(" - ")[2] for line in captured] == ["0 out", "1 out", "2 out"]

    def test_unchanged(self):
        """If stderr is the same, the handler is the same."""
        setup_logging()
        before = logging.getLogger().handlers[:]
        setup_logging()

        assert logging.getLogger().handlers == before

    def test_another_working_directory(self, tmp_path, monkeypatch):
        """In another working directory an absolute log keeps its handler, and a relative one moves."""
        for options, moved in (({"log_file": tmp_path / "a.log"}, False), ({"log_file": "b.log"}, True)):
            monkeypatch.chdir(tmp_path)
            setup_logging(console=False, **options)
            (before,) = [each for each in logging.getLogger().handlers if each.name == "chora_log_file"]
            (tmp_path / "elsewhere").mkdir(exist_ok=True)
            monkeypatch.chdir(tmp_path / "elsewhere")
            setup_logging(console=False, **options)

            assert (before not in logging.getLogger().handlers) is moved


class TestIsolatedLoggers:
    def isolated(self, level=logging.DEBUG):
        """A logger with a handler of its own that does not propagate, as Jupyter's kernel has them."""
        logger = logging.getLogger("lib")
        logger.addHandler(logging.StreamHandler(io.StringIO()))
        logger.setLevel(level)
        logger.propagate = False
        return logger

    @pytest.mark.parametrize("variable", [False, True], ids=["argument", "variable"])
    @pytest.mark.parametrize("apps_level", [None, logging.DEBUG], ids=["bare root", "an application's root"])
    def test_the_level_limits_them(self, tmp_path, monkeypatch, variable, apps_level):
        """Their records below the level of the setup are not in our log; their own handler has them."""
        if apps_level is not None:
            logging.getLogger().addHandler(logging.StreamHandler(io.StringIO()))
            logging.getLogger().setLevel(apps_level)
        if variable:
            monkeypatch.setenv("LOG_LEVEL", "INFO")
        logger = self.isolated()
        setup_logging(None if variable else "INFO", "app.log", console=False)
        logger.debug("password=hunter2")
        logger.info("started")

        assert messages(tmp_path / "app.log") == ["started"]
        assert "hunter2" in logger.handlers[0].stream.getvalue()

    def test_the_level_of_the_setup_counts(self, tmp_path):
        """A later setup with another level changes it."""
        logger = self.isolated()
        setup_logging("INFO", "app.log", console=False)
        logger.debug("one")
        setup_logging("DEBUG", "app.log", console=False)
        logger.debug("two")

        assert messages(tmp_path / "app.log") == ["two"]

    def test_a_logger_that_was_set_lower(self, tmp_path):
        """A logger that propagates and has a level of its own decides itself, as in the standard library."""
        logging.getLogger("app").setLevel(logging.DEBUG)
        setup_logging("INFO", "app.log", console=False)
        logging.getLogger("app").debug("one")
        logging.getLogger("other").debug("two")

        assert messages(tmp_path / "app.log") == ["one"]

    def test_one_that_propagates_again(self, tmp_path):
        """A logger that propagates again writes each line once after the next setup."""
        logger = self.isolated()
        setup_logging("INFO", "app.log", console=False)
        logger.propagate = True
        setup_logging("INFO", "app.log", console=False)
        logger.info("once")

        assert messages(tmp_path / "app.log") == ["once"]

    def test_others_keep_theirs(self, tmp_path):
        """If one logger propagates again, our handler on the others is not closed."""
        logger = self.isolated()
        other = logging.getLogger("other")
        other.addHandler(logging.StreamHandler(io.StringIO()))
        other.propagate = False
        setup_logging("INFO", "app.log", console=False)
        other.warning("one")
        logger.propagate = True
        setup_logging("INFO", "app.log", console=False)
        other.warning("two")

        assert messages(tmp_path / "app.log") == ["one", "two"]
        assert [handler._closed for handler in other.handlers] == [False, False]

    def test_the_log_is_dropped(self):
        """A setup without a log takes our handler away from them too."""
        logger = self.isolated()
        setup_logging("INFO", "app.log", console=False)
        setup_logging("INFO", console=False)

        assert [handler.name for handler in logger.handlers] == [None]


#: It deletes its working directory and sets logging up below the folder that it is given.
GONE = """
import json, logging, os, sys, tempfile
from chora_logging import EventEmitter, EventLog, ContentGeneratedEvent, setup_logging, emit_event
from chora_logging.orchestrator import log_orchestrator_event
folder = sys.argv[1]
os.chdir(tempfile.mkdtemp(dir=folder))
os.rmdir(os.getcwd())
options = dict(log_file=f"{folder}/app.log", orch_log_file=f"{folder}/o.log", events_file=f"{folder}/e.jsonl")
for turn in range(2):
    setup_logging(**options, max_bytes=1000, backup_count=50)
for number in range(20):
    logging.getLogger("app").info("%d", number)
log_orchestrator_event("a")
emit_event(ContentGeneratedEvent(content_config_id="a", generator_type="b", status="success", duration_ms=1))
print([event["message"] for event in EventLog(f"{folder}/app.log").read()] == [str(n) for n in range(20)])
"""


class TestDeletedWorkingDirectory:
    def run(self, code, *arguments, **more):
        return subprocess.run(
            [sys.executable, *code, *map(str, arguments)], capture_output=True, text=True, timeout=60, **more
        )

    def test_absolute_paths(self, tmp_path):
        """With absolute paths alone everything works: setting up twice, rotating, emitting, reading."""
        done = self.run(["-c", GONE], tmp_path)

        assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
        assert (tmp_path / "o.log").exists()
        assert (tmp_path / "e.jsonl").exists()

    def test_a_relative_path(self, tmp_path):
        """A path that needs the folder is refused, by the name of what would set another."""
        code = GONE.replace('orch_log_file=f"{folder}/o.log", ', "")
        done = self.run(["-c", code], tmp_path)

        assert done.stderr.splitlines()[-1].endswith(
            "ConfigurationError: ORCH_LOG_FILE must be an absolute path, since the working directory has "
            "been deleted, got '.devlogs/orch-o-glm.log'"
        )
