"""The setup of logging, as a dictionary and beside the application's handlers."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import json
import logging
import logging.config
import logging.handlers
import sys
import threading
import warnings

import pytest

import chora_logging
from chora_logging import settings
from chora_logging.config import ConsoleFormatter, get_logging_config, setup_logging
from chora_logging.context import trace_context
from chora_logging.errors import ConfigurationError
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.orchestrator import log_orchestrator_event, setup_orchestrator_logging
from chora_logging.telemetry import ContentGeneratedEvent, EventEmitter
from chora_logging.writing.handler import EventFileHandler

OURS = {"chora_console", "chora_log_file", "chora_orchestrator", "chora_telemetry"}

#: The configuration that uvicorn applies by itself (its LOGGING_CONFIG), without the formatters.
UVICORN = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "default": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
        "access": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"},
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Each test has a working directory of its own."""
    monkeypatch.chdir(tmp_path)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def messages(path):
    return [line["message"] for line in lines(path)]


def event(**fields):
    return ContentGeneratedEvent(
        content_config_id="a", generator_type="b", status="success", duration_ms=1, **fields
    )


def dict_config(**options):
    """The dictionary, applied with dictConfig."""
    logging.config.dictConfig(get_logging_config(**options))


def names(logger=None):
    """The names of the handlers, except those that pytest puts on the root logger."""
    return [handler.name for handler in logging.getLogger(logger).handlers if handler.name]


class TestTheDictionary:
    @pytest.mark.parametrize("options", [{}, {"buffered": True, "optimize": True, "log_file": "a.log"}])
    def test_names_public_paths_only(self, options):
        """Its classes are public names of the package, of `chora_logging.config` or of `logging`."""
        config = get_logging_config(**options)
        parts = [
            part for section in ("formatters", "filters", "handlers") for part in config[section].values()
        ]
        paths = {part.get("()") or part["class"] for part in parts}

        assert {path.rpartition(".")[0] for path in paths} <= {
            "chora_logging",
            "chora_logging.config",
        }
        assert {path.rpartition(".")[2] for path in paths if path.count(".") == 1} <= {*chora_logging.__all__}

    def test_it_is_plain(self):
        """The dictionary survives a round trip through JSON."""
        config = get_logging_config("DEBUG", "app.log", static_fields={"service": "a"})

        assert json.loads(json.dumps(config)) == config

    def test_defaults(self):
        """Without arguments and environment: INFO, the documented files, 10 MB times 5, a console."""
        config = get_logging_config()

        assert config["version"] == 1
        assert config["disable_existing_loggers"] is False
        assert config["root"] == {"level": "INFO", "handlers": ["chora_console"]}
        assert set(config["handlers"]) == OURS - {"chora_log_file"}
        orchestrator = config["handlers"]["chora_orchestrator"]
        assert orchestrator["filename"] == ".devlogs/orch-o-glm.log"
        assert (orchestrator["maxBytes"], orchestrator["backupCount"]) == (10 * 1024 * 1024, 5)
        assert config["handlers"]["chora_telemetry"]["filename"] == "var/telemetry/events.jsonl"

    def test_filters_stand_on_handlers(self):
        """Every handler has the trace filter, and no logger has a filter."""
        config = get_logging_config(log_file="app.log")

        assert all(handler["filters"] == ["trace"] for handler in config["handlers"].values())
        assert not any("filters" in logger for logger in config["loggers"].values())

    def test_the_environment(self, monkeypatch):
        """Each variable is read when the dictionary is made."""
        monkeypatch.setenv("ORCH_ID", "o-qwen")
        monkeypatch.setenv("LOG_LEVEL", "debug")
        monkeypatch.setenv("LOG_FILE", "app.log")
        monkeypatch.setenv("CHORA_EVENTS_FILE", "events.jsonl")

        config = get_logging_config()

        assert config["root"] == {"level": "DEBUG", "handlers": ["chora_console", "chora_log_file"]}
        assert config["handlers"]["chora_log_file"]["filename"] == "app.log"
        assert config["handlers"]["chora_orchestrator"]["filename"] == ".devlogs/orch-o-qwen.log"
        assert config["handlers"]["chora_telemetry"]["filename"] == "events.jsonl"

        monkeypatch.setenv("ORCH_LOG_FILE", "orch.log")

        assert get_logging_config()["handlers"]["chora_orchestrator"]["filename"] == "orch.log"

    def test_arguments_win(self, monkeypatch, tmp_path):
        """An argument wins over its variable, as a path object or a string."""
        for variable in ("LOG_FILE", "ORCH_LOG_FILE", "CHORA_EVENTS_FILE"):
            monkeypatch.setenv(variable, "environment.log")
        monkeypatch.setenv("LOG_LEVEL", "nonsense")

        config = get_logging_config(
            log_level=logging.ERROR,
            log_file=tmp_path / "a.log",
            orch_log_file=tmp_path / "b.log",
            events_file=tmp_path / "c.log",
        )

        assert config["root"]["level"] == "ERROR"
        assert [
            config["handlers"][name]["filename"]
            for name in ("chora_log_file", "chora_orchestrator", "chora_telemetry")
        ] == [str(tmp_path / name) for name in ("a.log", "b.log", "c.log")]

    def test_an_empty_variable_is_not_set(self, monkeypatch):
        """Variables that are empty, as compose files leave them, count as not set."""
        plain = get_logging_config()
        for variable in ("ORCH_ID", "ORCH_LOG_FILE", "LOG_LEVEL", "LOG_FILE", "CHORA_EVENTS_FILE"):
            monkeypatch.setenv(variable, "")

        assert get_logging_config() == plain

    @pytest.mark.parametrize("level", ["warning", "WARN", "Warning", 30, "30", " WARNING "])
    def test_levels(self, level):
        """A level is a name in any case, or a number."""
        assert get_logging_config(level)["root"]["level"] == "WARNING"

    def test_a_level_of_the_application(self):
        """A level with an added name is written by that name; a number without a name stays a number."""
        logging.addLevelName(35, "NOTICE")

        assert get_logging_config("notice")["root"]["level"] == "NOTICE"
        assert get_logging_config(33)["root"]["level"] == 33

    def test_making_it_touches_nothing(self, tmp_path):
        """Making the dictionary creates no folder, file or handler."""
        get_logging_config(log_file="a/b/app.log")

        assert list(tmp_path.iterdir()) == []
        assert names() == []

    def test_it_can_be_applied_with_dictConfig(self, tmp_path):
        """dictConfig accepts it, after a round trip through JSON too, and each line goes to its file."""
        config = get_logging_config(log_file="app.log", console=False, max_bytes="10MB")

        logging.config.dictConfig(json.loads(json.dumps(config)))
        logging.getLogger("app").info("record")
        log_orchestrator_event("a")
        logging.getLogger("chora_events").info(event())

        assert messages(tmp_path / "app.log") == ["record"]
        assert messages(tmp_path / ".devlogs" / "orch-o-glm.log") == ["Event: a"]
        assert len(lines(tmp_path / "var" / "telemetry" / "events.jsonl")) == 1

    def test_options_of_the_lines(self, tmp_path):
        """Static fields and the form of the timestamp reach every JSON line."""
        setup_logging(
            log_file="app.log",
            console=False,
            static_fields={"service": "billing"},
            timestamp_format="epoch",
        )
        logging.getLogger("app").info("record")
        log_orchestrator_event("a")

        for path in (tmp_path / "app.log", tmp_path / ".devlogs" / "orch-o-glm.log"):
            assert lines(path)[0]["service"] == "billing"
            assert isinstance(lines(path)[0]["timestamp"], float)


BAD = [
    ({"log_level": "LOUD"}, "log_level must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ({"log_level": True}, "log_level must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ({"log_level": -1}, "log_level must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ({"log_level": ""}, "log_level must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ({"log_file": ""}, "log_file must be the path of a file, not empty, got ''"),
    ({"log_file": "a\0b"}, "log_file must be the path of a file, without a NUL character"),
    ({"log_file": "/"}, "log_file must be the path of a file, not of a folder, got '/'"),
    ({"log_file": "new/"}, "log_file must be the path of a file, not of a folder, got 'new/'"),
    ({"log_file": 3}, "log_file must be a path (str or os.PathLike), got 3"),
    ({"orch_id": "a/b"}, "orch_id must be 1 to 200 printable characters without a slash"),
    ({"orch_id": "a\nb"}, "orch_id must be 1 to 200 printable characters without a slash"),
    ({"orch_id": "x" * 201}, "orch_id must be 1 to 200 printable characters without a slash"),
    ({"orch_log_file": " "}, "orch_log_file must be the path of a file, not empty, got ' '"),
    ({"events_file": "/dev"}, "events_file must be the path of a file, not of a folder"),
    ({"max_bytes": "ten"}, "max_bytes must be a number of bytes, 0 or more"),
    ({"max_bytes": 1.5}, "max_bytes must be a number of bytes, 0 or more"),
    ({"backup_count": "five"}, "backup_count must be a whole number, 0 or more, got 'five'"),
    ({"buffered": "perhaps"}, "buffered must be true or false (or yes/no, on/off, 1/0), got 'perhaps'"),
    ({"buffered": 2}, "buffered must be true or false (or yes/no, on/off, 1/0), got 2"),
    ({"propagate": None}, "propagate must be true or false (or yes/no, on/off, 1/0), got None"),
    ({"optimize": []}, "optimize must be true or false (or yes/no, on/off, 1/0), got []"),
    ({"capture_warnings": ""}, "capture_warnings must be true or false (or yes/no, on/off, 1/0), got ''"),
    ({"static_fields": "a=b"}, 'static_fields must be a mapping of field names, such as {"user_id": 7}, got'),
    ({"events_max_bytes": "x"}, "events_max_bytes must be a number of bytes, 0 or more"),
    ({"orch_backup_count": -1}, "orch_backup_count must be a whole number, 0 or more, got -1"),
    ({"log_fle": "a.log"}, "setup_logging has no option 'log_fle': did you mean 'log_file'? Its options are"),
    (
        {"console": "colour"},
        'console must be True, False, "text", "json" or "stdout", got \'colour\'',
    ),
    ({"timestamp_format": "iso"}, "timestamp_format must be"),
]


class TestBadValues:
    @pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: str(value)[:40])
    def test_an_argument_is_named(self, arguments, message):
        """An invalid argument is an error that names it, the rule and the value; nothing is changed."""
        with pytest.raises(ConfigurationError) as caught:
            setup_logging(**arguments)

        assert str(caught.value).startswith(message)
        assert names() == names("orchestrator_events") == names("chora_events") == []

    @pytest.mark.parametrize(
        ("variable", "value", "message"),
        [
            ("LOG_LEVEL", "LOUD", "LOG_LEVEL must be one of DEBUG"),
            ("LOG_FILE", "/", "LOG_FILE must be the path of a file, not of a folder, got '/'"),
            ("ORCH_ID", "../x", "ORCH_ID must be 1 to 200 printable characters without a slash"),
            ("ORCH_LOG_FILE", "/etc", "ORCH_LOG_FILE must be the path of a file, not of a folder"),
            ("CHORA_EVENTS_FILE", "/", "CHORA_EVENTS_FILE must be the path of a file, not of a"),
        ],
    )
    def test_a_variable_is_named(self, monkeypatch, variable, value, message):
        """The error of an invalid variable names the variable."""
        monkeypatch.setenv(variable, value)

        with pytest.raises(ConfigurationError) as caught:
            get_logging_config()

        assert str(caught.value).startswith(message)
        assert caught.value.name == variable

    def test_a_file_in_the_way(self, tmp_path):
        """A path below a file is refused, and the file is named."""
        (tmp_path / "file").touch()

        with pytest.raises(
            ConfigurationError, match=r"log_file must be a path whose parents are folders \(.*/file is"
        ):
            get_logging_config(log_file="file/sub/app.log")

    def test_several_are_reported_together(self, monkeypatch):
        """One error lists every invalid value."""
        monkeypatch.setenv("ORCH_ID", "a/b")

        with pytest.raises(ConfigurationError) as caught:
            get_logging_config("LOUD", backup_count=-1)

        text = str(caught.value)
        assert text.startswith("log_level must be one of DEBUG")
        assert "ORCH_ID must be 1 to 200 printable characters" in text
        assert "backup_count must be a whole number, 0 or more, got -1" in text
        assert text.endswith("got 'LOUD'")

    def test_an_id_is_not_asked_where_a_path_is_given(self, monkeypatch):
        """ORCH_ID is ignored, even if invalid, when ORCH_LOG_FILE is set."""
        monkeypatch.setenv("ORCH_ID", "team/a")
        monkeypatch.setenv("ORCH_LOG_FILE", "orch.log")

        assert settings.resolve().orch_log_file == "orch.log"

    def test_a_folder_that_cannot_be_made_does_not_stop_the_application(self, capsys):
        """If the log cannot be written, the application starts with its console and the error is printed."""
        setup_logging(log_file="/proc/nowhere/app.log")

        logging.getLogger("app").info("started")

        said = capsys.readouterr().err
        assert "/proc/nowhere" in said
        assert "started" in said


class TestBuffered:
    def test_the_files_are_written_by_the_buffered_handler(self):
        """Only with the option; the console is unchanged, and the dictionary is plain."""
        config = get_logging_config(log_file="app.log", buffered=True)
        usual = get_logging_config(log_file="app.log")

        classes = {name: handler["class"].rpartition(".")[2] for name, handler in config["handlers"].items()}
        assert classes == dict.fromkeys(OURS, "BufferedEventFileHandler") | {
            "chora_console": "ConsoleHandler"
        }
        assert json.loads(json.dumps(config)) == config
        for name, handler in usual["handlers"].items():
            assert {**config["handlers"][name], "class": handler["class"]} == handler

    @pytest.mark.parametrize("apply", [setup_logging, dict_config])
    def test_lines_wait_and_are_written(self, tmp_path, apply):
        """Lines are written at the next flush, each to its own file."""
        apply(log_file="app.log", console=False, buffered=True)
        logging.getLogger("app").info("record")
        log_orchestrator_event("a")
        for name in (None, "orchestrator_events"):
            for handler in logging.getLogger(name).handlers:
                handler.flush()

        assert messages(tmp_path / "app.log") == ["record"]
        assert messages(tmp_path / ".devlogs" / "orch-o-glm.log") == ["Event: a"]

    def test_an_emitted_event_does_not_wait(self, tmp_path):
        """An event is in the file once when `emit` returns, even beside a buffered handler on the file."""
        setup_logging(console=False, buffered=True)
        path = tmp_path / "var" / "telemetry" / "events.jsonl"
        with EventEmitter(path) as emitter:
            emitter.emit(event())
            assert len(lines(path)) == 1
            emitter.emit(event())
        for handler in logging.getLogger("chora_events").handlers:
            handler.flush()

        assert len(lines(path)) == 2

    def test_turned_on_and_off(self, tmp_path):
        """A setup that changes it loses no buffered line."""
        for number in range(4):
            setup_logging(log_file="app.log", console=False, buffered=number % 2 == 0)
            logging.getLogger("app").info("%d", number)
        setup_logging(log_file="app.log", console=False)

        assert messages(tmp_path / "app.log") == ["0", "1", "2", "3"]


class TestTwiceIsOnce:
    def test_the_same_again(self, tmp_path):
        """A second setup doubles no line and creates no new handler."""
        setup_logging(log_file="app.log")
        before = [logging.getLogger(name).handlers[:] for name in (None, "orchestrator_events")]
        setup_logging(log_file="app.log")
        logging.getLogger("app").info("record")
        log_orchestrator_event("a")

        assert messages(tmp_path / "app.log") == ["record"]
        assert messages(tmp_path / ".devlogs" / "orch-o-glm.log") == ["Event: a"]
        assert before == [logging.getLogger(name).handlers for name in (None, "orchestrator_events")]

    def test_after_dictConfig(self, tmp_path):
        """setup_logging replaces the same configuration applied with dictConfig."""
        logging.config.dictConfig(get_logging_config(log_file="app.log", console=False))
        setup_logging(log_file="app.log", console=False)
        logging.getLogger("app").info("record")

        assert messages(tmp_path / "app.log") == ["record"]

    def test_what_changed_is_changed(self, tmp_path):
        """Another file replaces the first; without a file the handler is removed."""
        setup_logging("DEBUG", "first.log", console=False)
        setup_logging("WARNING", "second.log", console=False)
        logging.getLogger("app").warning("b")
        logging.getLogger("app").info("c")

        assert not (tmp_path / "first.log").exists()
        assert messages(tmp_path / "second.log") == ["b"]

        setup_logging(console=False)

        assert names() == []

    def test_the_orchestrators_own_setup_stays(self, tmp_path):
        """The log of setup_orchestrator_logging stays after a setup that names none."""
        setup_orchestrator_logging(log_file="chosen.log")
        setup_logging(console=False)
        log_orchestrator_event("a")

        assert messages(tmp_path / "chosen.log") == ["Event: a"]

        setup_logging(console=False, orch_log_file="named.log")
        log_orchestrator_event("b")

        assert messages(tmp_path / "named.log") == ["Event: b"]

    def test_a_changed_environment_is_followed(self, tmp_path, monkeypatch):
        """A setup that names no file uses the environment, the second time too."""
        setup_logging(console=False)
        monkeypatch.setenv("ORCH_LOG_FILE", "second.log")
        setup_logging(console=False)
        log_orchestrator_event("a")

        assert messages(tmp_path / "second.log") == ["Event: a"]

    def test_while_threads_log(self, tmp_path):
        """Changing the setup while threads log loses and doubles no line."""
        setup_logging(log_file="app.log", console=False)
        stop = threading.Event()
        counts = [0] * 4

        def work(number):
            while not stop.is_set():
                logging.getLogger("app").info("x", extra={"worker": number, "n": counts[number]})
                counts[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(60):
            setup_logging(log_file="app.log", console=False, backup_count=5 + turn % 2)
        stop.set()
        for thread in threads:
            thread.join()

        for number in range(4):
            found = [line["n"] for line in lines(tmp_path / "app.log") if line["worker"] == number]
            assert found == list(range(counts[number]))

    def test_handlers_that_somebody_closed_are_made_anew(self, tmp_path):
        """After another dictConfig closed our handlers, a setup creates new ones."""
        setup_logging(log_file="app.log", console=False)
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        logging.getLogger("app").warning("between")
        setup_logging(log_file="app.log", console=False)
        logging.getLogger("app").warning("after")

        assert messages(tmp_path / "app.log") == ["between", "after"]
        assert [found._closed for found in logging.getLogger().handlers if found.name] == [False]


class TestBesideTheApplication:
    @pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
    def test_root_level(self, tmp_path, level):
        """A level that the application gave its root logger stays; our log still has INFO."""
        seen = logging.handlers.BufferingHandler(100)
        root = logging.getLogger()
        root.addHandler(seen)
        root.setLevel(level)
        setup_logging(log_file="app.log", console=False)
        for severity in (logging.DEBUG, logging.INFO, logging.ERROR):
            logging.getLogger("app").log(severity, "%s", severity)

        expected = [f"{severity}" for severity in (10, 20, 40) if severity >= level]
        assert [record.getMessage() for record in seen.buffer] == expected
        assert messages(tmp_path / "app.log") == [text for text in expected if text != "10"]

    def test_root_level_that_was_asked_for(self):
        """A level that is passed is set on the root logger, even if the application has handlers there."""
        root = logging.getLogger()
        root.addHandler(logging.NullHandler())
        root.setLevel(logging.ERROR)
        setup_logging("DEBUG", console=False)

        assert root.level == logging.DEBUG

    def test_its_handlers_stay(self, tmp_path):
        """Handlers on the root logger, including files opened with mode w, work as before."""
        own = logging.FileHandler(tmp_path / "own.log", mode="w")
        logging.getLogger().addHandler(own)
        logging.getLogger().warning("before")

        setup_logging(log_file="app.log", console=False)
        setup_logging(log_file="app.log", console=False)
        logging.getLogger("app").warning("after")

        assert (tmp_path / "own.log").read_text() == "before\nafter\n"
        assert messages(tmp_path / "app.log") == ["after"]

    @pytest.mark.parametrize("name", [None, "own"], ids=["root", "a logger that does not propagate"])
    def test_its_own_handler_on_the_same_file(self, tmp_path, name):
        """If the application writes to the general log itself, no line is doubled."""
        handler = EventFileHandler("app.log", delay=True)
        handler.setFormatter(EventFormatter())
        own = logging.getLogger(name)
        own.addHandler(handler)
        own.propagate = False
        own.setLevel(logging.INFO)

        setup_logging(log_file="app.log", console=False)
        own.info("record")
        logging.getLogger("app").info("other")

        assert messages(tmp_path / "app.log") == ["record", "other"]

    def test_existing_loggers_are_not_disabled(self, tmp_path):
        """A logger created before the setup logs as before."""
        existing = logging.getLogger("existing.before")
        setup_logging(log_file="app.log", console=False)
        existing.info("record")

        assert messages(tmp_path / "app.log") == ["record"]

    @pytest.mark.parametrize("stream", ["stderr", "stdout"])
    def test_a_console_is_not_doubled(self, stream, capsys):
        """If the root logger already writes to a console, no second one is added."""
        logging.getLogger().addHandler(logging.StreamHandler(getattr(sys, stream)))

        setup_logging()
        logging.getLogger("app").warning("record")

        captured = capsys.readouterr()
        assert (captured.err + captured.out).count("record") == 1

    def test_a_stream_that_is_no_console(self, capsys):
        """A handler on an in-memory stream does not count as a console."""
        buffer = io.StringIO()
        logging.getLogger().addHandler(logging.StreamHandler(buffer))

        setup_logging()
        logging.getLogger("app").warning("record")

        assert buffer.getvalue() == "record\n"
        assert capsys.readouterr().err.count("record") == 1

    def test_uvicorn_before_the_setup(self, tmp_path, capsys):
        """A server set up before writes each line once to its console and once to the log."""
        logging.config.dictConfig(UVICORN)
        setup_logging(log_file="app.log")
        setup_logging(log_file="app.log")

        logging.getLogger("uvicorn.error").info("started")
        logging.getLogger("uvicorn.access").info("GET /")

        captured = capsys.readouterr()
        assert (captured.err, captured.out) == ("started\n", "GET /\n")
        assert messages(tmp_path / "app.log") == ["started", "GET /"]

        setup_logging()

        assert names("uvicorn") == ["default"]

    def test_a_logger_that_was_silenced_stays_silent(self, tmp_path):
        """A library's logger that is silenced on purpose does not write to the general log."""
        silenced = logging.getLogger("silenced")
        silenced.addHandler(logging.NullHandler())
        silenced.propagate = False

        setup_logging(log_file="app.log", console=False)
        silenced.error("nothing")

        assert not (tmp_path / "app.log").exists()

    def test_uvicorn_without_a_configuration_of_its_own(self, tmp_path, capsys):
        """A server with log_config=None logs through the root logger, once to console and log."""
        setup_logging(log_file="app.log")

        logging.getLogger("uvicorn.error").info("started")

        assert capsys.readouterr().err.count("started") == 1
        assert messages(tmp_path / "app.log") == ["started"]

    def test_uvicorn_after_the_setup(self, tmp_path, capsys):
        """A server set up later changes nothing: its lines come once, and our handlers keep working."""
        setup_logging(log_file="app.log")
        logging.config.dictConfig(UVICORN)

        logging.getLogger("uvicorn.error").info("started")
        logging.getLogger("app").info("record")

        said = capsys.readouterr().err
        assert (said.count("started"), said.count("record")) == (1, 1)
        assert messages(tmp_path / "app.log") == ["record"]


class TestWhereLinesGo:
    def test_each_kind_has_its_file(self, tmp_path, capsys):
        """Events go neither to the general log nor to the console."""
        setup_logging(log_file="app.log")
        logging.getLogger("app").info("record")
        log_orchestrator_event("a")
        logging.getLogger("chora_events").info(event())

        assert messages(tmp_path / "app.log") == ["record"]
        assert len(capsys.readouterr().err.splitlines()) == 1

    def test_events_can_go_up_too(self, tmp_path, capsys):
        """With propagate, the general log and the console also have the events, once each."""
        setup_logging(log_file="app.log", propagate=True)
        log_orchestrator_event("a")

        assert messages(tmp_path / "app.log") == ["Event: a"]
        assert messages(tmp_path / ".devlogs" / "orch-o-glm.log") == ["Event: a"]
        assert capsys.readouterr().err.count("Event: a") == 1

    @pytest.mark.parametrize("propagate", [False, True])
    def test_one_file_for_everything(self, tmp_path, propagate):
        """If all logs are one file, every line is in it once."""
        setup_logging(
            log_file="all.log",
            orch_log_file="all.log",
            events_file="all.log",
            console=False,
            propagate=propagate,
        )
        logging.getLogger("app").info("record")
        log_orchestrator_event("a")
        logging.getLogger("chora_events").info(event())

        assert len(lines(tmp_path / "all.log")) == 3

    def test_events_do_not_depend_on_the_level(self, tmp_path):
        """LOG_LEVEL filters the application's records, not the events; DEBUG enables debug events."""
        setup_logging("ERROR", log_file="app.log", console=False)
        logging.getLogger("app").warning("quiet")
        log_orchestrator_event("a")
        log_orchestrator_event("b", level="DEBUG")
        setup_logging("DEBUG", log_file="app.log", console=False)
        log_orchestrator_event("c", level="DEBUG")

        assert not (tmp_path / "app.log").exists()
        assert messages(tmp_path / ".devlogs" / "orch-o-glm.log") == ["Event: a", "Event: c"]

    def test_warnings(self, tmp_path):
        """With capture_warnings, warnings are in the log."""
        try:
            setup_logging(log_file="app.log", console=False, capture_warnings=True)
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                logging.captureWarnings(False)
                logging.captureWarnings(True)
                warnings.warn("old", DeprecationWarning, stacklevel=1)
        finally:
            logging.captureWarnings(False)

        assert lines(tmp_path / "app.log")[0]["logger"] == "py.warnings"

    def test_the_trace_id_is_on_every_loggers_lines(self, tmp_path):
        """Root, child and third-party loggers have the trace id, since filters are on handlers."""
        setup_logging(log_file="app.log", console=False)
        with trace_context("t"):
            for name in (None, "a", "a.b.c", "third.party"):
                logging.getLogger(name).info("x")

        assert [line["trace_id"] for line in lines(tmp_path / "app.log")] == ["t"] * 4

    def test_the_trace_id_of_a_thread_is_the_emitters(self, tmp_path):
        """Executor threads with a context log with its trace id, and the others without one."""
        setup_logging(log_file="app.log", console=False)

        def work(number):
            logging.getLogger("app").info("x", extra={"number": number})

        with concurrent.futures.ThreadPoolExecutor(4) as executor:
            for number in range(20):
                executor.submit(trace_context(f"t-{number}")(work), number)
            executor.submit(work, 99)

        for line in lines(tmp_path / "app.log"):
            number = line["number"]
            assert line.get("trace_id") == (None if number == 99 else f"t-{number}")

    def test_an_exception_is_logged_under_its_trace(self, tmp_path):
        """The line of an exception has both the trace id and the exception."""
        setup_logging(log_file="app.log", console=False)
        with trace_context("t"):
            try:
                raise ValueError("no")
            except ValueError:
                logging.getLogger("app").exception("failed")

        (line,) = lines(tmp_path / "app.log")
        assert line["trace_id"] == "t"
        assert "ValueError: no" in line["exception"]


class TestTheConsole:
    def test_text(self, capsys):
        """The console has time, logger, level, message and the trace id."""
        setup_logging()
        with trace_context("t-1"):
            logging.getLogger("app").info("hello")

        assert capsys.readouterr().err.endswith(" - app - INFO - hello [t-1]\n")

    def test_json(self, capsys):
        """With console="json" it has the same lines as the files."""
        setup_logging(console="json")
        logging.getLogger("app").info("hello")

        assert json.loads(capsys.readouterr().err)["message"] == "hello"

    def test_json_on_stdout(self, capsys):
        """With console="stdout" these lines are on stdout alone, also on one that was replaced."""
        setup_logging(console="stdout")
        with contextlib.redirect_stdout(io.StringIO()) as replaced:
            setup_logging(console="stdout")
            logging.getLogger("app").info("later")
        setup_logging(console="stdout")
        with trace_context("t-1"):
            logging.getLogger("app").info("hello")

        captured = capsys.readouterr()
        assert json.loads(replaced.getvalue())["message"] == "later"
        assert (json.loads(captured.out)["message"], captured.err) == ("hello", "")
        assert json.loads(captured.out)["trace_id"] == "t-1"

    def test_json_on_stdout_by_a_dictionary(self, capsys):
        """The dictionary does the same after it was stored as JSON."""
        logging.config.dictConfig(json.loads(json.dumps(get_logging_config(console="stdout"))))
        logging.getLogger("app").info("hello")

        captured = capsys.readouterr()
        assert (json.loads(captured.out)["message"], captured.err) == ("hello", "")

    def test_none(self, capsys):
        """Without a console nothing is printed."""
        setup_logging(console=False, log_file="app.log")
        logging.getLogger("app").error("hello")

        assert capsys.readouterr().err == ""

    def test_terminal_commands_are_escaped(self):
        """Escape sequences are printed as text, and a second line cannot be mistaken for a record."""
        record = logging.makeLogRecord({"msg": "a\x1b[31m\x07\x9b\r\nb\tc", "name": "n", "levelname": "X"})

        text = ConsoleFormatter().format(record)

        assert text.endswith(" - n - X - a\\x1b[31m\\x07\\x9b\\x0d\n    b\tc")

    def test_a_traceback_is_readable(self):
        """A traceback keeps its lines."""
        try:
            raise ValueError("no")
        except ValueError:
            record = logging.makeLogRecord({"msg": "m", "exc_info": sys.exc_info()})

        assert "\n    ValueError: no" in ConsoleFormatter().format(record)
