"""Values of options as code, configuration files and variables give them; names that are misspelt."""

from __future__ import annotations

import logging
import logging.config
import os
import pickle
import queue
import stat

import pytest
import yaml

from chora_logging import options
from chora_logging.errors import ConfigurationError, UnknownOptionError
from chora_logging.eventlog.log import EventLog
from chora_logging.orchestrator import setup_orchestrator_logging
from chora_logging.telemetry import EventEmitter
from chora_logging.writing.buffered import BufferedEventFileHandler
from chora_logging.writing.handler import EventFileHandler
from chora_logging.writing.queue_handler import EventQueueHandler

YAML = """
version: 1
disable_existing_loggers: false
handlers:
  file:
    class: chora_logging.{kind}
    filename: {path}
    maxBytes: 10 MB
    backupCount: "7"
    delay: "false"
    compress: "no"
    fsync: "off"
    file_mode: {mode}
    lock_timeout: "0.5"
loggers:
  configured: {{handlers: [file]}}
"""

INI = """
[loggers]
keys=root,configured
[handlers]
keys=file
[formatters]
keys=
[logger_root]
handlers=
[logger_configured]
handlers=file
qualname=configured
[handler_file]
class=chora_logging.EventFileHandler
args=({path!r}, 'a', '10 MB', '7')
kwargs={{'compress': 'no', 'delay': 'false', 'fsync': 'off', 'file_mode': '640', 'lock_timeout': '0.5'}}
"""


class TestFlags:
    @pytest.mark.parametrize("value", [True, 1, "1", "true", "True", "YES", " on\n", "t", "y"])
    def test_on(self, value):
        """A flag is on by each of the words of configuration files, in any case."""
        assert options.parse_flag("compress", value) is True

    @pytest.mark.parametrize("value", [False, 0, "0", "false", "FALSE", "no", "Off", "f", "N"])
    def test_off(self, value):
        """A flag is off by each of the words, none of which Python takes for false."""
        assert options.parse_flag("compress", value) is False

    @pytest.mark.parametrize("value", [None, "", "maybe", 2, -1, 1.5, [], "truefalse", "yes no"])
    def test_neither(self, value):
        """Anything else is refused with the name, the value and what is allowed."""
        with pytest.raises(ConfigurationError) as caught:
            options.parse_flag("compress", value)

        assert str(caught.value) == (
            f"compress must be true or false (or yes/no, on/off, 1/0), got {value!r}"
        )


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "count"), [(5, 5), ("5", 5), (" 5 ", 5), ("05", 5), (5.0, 5), (0, 0), ("0", 0)]
    )
    def test_counts(self, value, count):
        """A count is a whole number of any type, or its digits."""
        found = options.parse_count("backupCount", value)

        assert (found, type(found)) == (count, int)

    @pytest.mark.parametrize("value", [-1, "-1", 1.5, "1.5", True, None, "", "five", "5 MB", "9" * 5000, "٥"])
    def test_no_counts(self, value):
        """Anything else is refused, also digits beyond what `int` takes."""
        with pytest.raises(ConfigurationError, match=r"backupCount must be a whole number, 0 or more, got "):
            options.parse_count("backupCount", value)

    @pytest.mark.parametrize(
        ("value", "size"),
        [
            ("10MB", 10 * 1024**2),
            ("512 kB", 512 * 1024),
            ("1GiB", 1024**3),
            ("2k", 2048),
            ("100", 100),
            (1e7, 10_000_000),
            (0, 0),
        ],
    )
    def test_sizes(self, value, size):
        """A size is a number of bytes, or a text with a unit."""
        found = options.parse_size("maxBytes", value)

        assert (found, type(found)) == (size, int)

    @pytest.mark.parametrize("value", ["9" * 5000, "9" * 5000 + "MB", "10 cows", "-1MB", float("inf"), True])
    def test_no_sizes(self, value):
        """Anything else is refused."""
        with pytest.raises(ConfigurationError, match=r"maxBytes must be a number of bytes, 0 or more, or a"):
            options.parse_size("maxBytes", value)

    @pytest.mark.parametrize(
        ("value", "seconds"), [(1, 1.0), ("2", 2.0), ("0.5", 0.5), (".5", 0.5), ("0", 0.0)]
    )
    def test_seconds(self, value, seconds):
        """A number of seconds may be text."""
        assert options.parse_timeout("lock_timeout", value) == seconds

    @pytest.mark.parametrize("value", [-1, "-1", "nan", "inf", "1e3", "2 s", "", None, True, "9" * 5000])
    def test_no_seconds(self, value):
        """Anything else is refused."""
        with pytest.raises(ConfigurationError, match="lock_timeout must be a number of seconds, 0 or more"):
            options.parse_timeout("lock_timeout", value)


class TestModes:
    @pytest.mark.parametrize("value", [0o640, "0640", "640", "0o640", " 640 ", 640])
    def test_six_four_zero(self, value):
        """Every way to write 0o640, with the decimal number of files that have no octal ones, means it."""
        assert options.parse_mode("file_mode", value) == 0o640

    def test_the_bits_that_code_writes(self):
        """An int that gives the owner both rights is taken as it is."""
        meant = [mode for mode in range(0o10000) if mode & 0o600 == 0o600 and mode not in (400, 440, 444)]

        assert [options.parse_mode("file_mode", mode) for mode in meant] == meant

    def test_no_int_has_two_readings(self):
        """No int gives the owner both rights as bits and also by its decimal digits read as octal ones."""
        digits = [mode for mode in range(0o10000) if set(str(mode)) <= set("01234567")]
        as_digits = {mode for mode in digits if int(str(mode), 8) & 0o600 == 0o600}

        assert not [mode for mode in as_digits if mode & 0o600 == 0o600]

    @pytest.mark.parametrize(
        "value", [0o440, 0, "440", "416", -1, 0o17777, "888", "rw-r-----", "", True, 640.0, 444, 440, 400]
    )
    def test_refused(self, value):
        """No permissions, and those with which nobody could write, are refused."""
        with pytest.raises(ConfigurationError) as caught:
            options.parse_mode("file_mode", value)

        assert str(caught.value) == (
            'file_mode must be permission bits such as 0o640 or "0640", with which the owner can write, '
            f"got {value!r}"
        )


class TestLevels:
    @pytest.mark.parametrize("value", ["Notice", "notice", "NOTICE", " Notice ", 25, "25"])
    def test_a_name_that_is_not_upper_case(self, value):
        """A level that the application has named is found by its name in any case."""
        logging.addLevelName(25, "Notice")

        assert options.parse_level("log_level", value) == 25

    def test_as_the_standard_library_takes_it(self):
        """If two names differ only in case, the exact one wins."""
        logging.addLevelName(25, "Info")

        assert options.parse_level("log_level", "Info") == 25
        assert options.parse_level("log_level", "INFO") == logging.INFO

    def test_the_error_names_those_of_the_application(self):
        """The error for an unknown level lists the added names too."""
        logging.addLevelName(25, "Notice")

        with pytest.raises(
            ConfigurationError, match=r"one of DEBUG, .*, CRITICAL, Notice \(any case\), or a"
        ):
            options.parse_level("log_level", "Notise")

    @pytest.mark.parametrize("value", ["9" * 5000, "", None, True, -1, 1.5])
    def test_no_level(self, value):
        """Anything else is refused."""
        with pytest.raises(ConfigurationError, match="log_level must be one of DEBUG"):
            options.parse_level("log_level", value)


class TestFromFiles:
    """The handler as the configuration files of the standard library make it."""

    def check(self, path):
        """The handler has the options as a person means them."""
        (handler,) = logging.getLogger("configured").handlers

        assert (handler.maxBytes, handler.backupCount) == (10 * 1024**2, 7)
        assert (handler.fsync, handler.lock_timeout, handler._log._schedule._compressor) == (False, 0.5, None)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640  # it exists: `delay` is off

    @pytest.mark.parametrize("kind", ["EventFileHandler", "BufferedEventFileHandler"])
    @pytest.mark.parametrize("mode", ["640", '"640"', "0640", '"0640"', "0o640"])
    def test_yaml(self, tmp_path, kind, mode):
        """YAML with quoted flags and numbers, and with permissions in every notation."""
        path = tmp_path / "app.log"
        logging.config.dictConfig(yaml.safe_load(YAML.format(kind=kind, path=path, mode=mode)))

        self.check(path)

    def test_ini(self, tmp_path):
        """An INI file, whose values are Python's literals."""
        path = tmp_path / "app.log"
        (tmp_path / "logging.ini").write_text(INI.format(path=str(path)))
        logging.config.fileConfig(tmp_path / "logging.ini", disable_existing_loggers=False)

        self.check(path)

    def test_a_name_in_other_spelling(self, tmp_path):
        """A handler's option under the name that `setup_logging` gives it: the error has the right one."""
        config = yaml.safe_load(YAML.format(kind="EventFileHandler", path=tmp_path / "app.log", mode=640))
        config["handlers"]["file"]["max_bytes"] = config["handlers"]["file"].pop("maxBytes")

        with pytest.raises(ValueError, match="Unable to configure handler 'file'") as caught:
            logging.config.dictConfig(config)

        assert "did you mean 'maxBytes'?" in str(caught.value.__cause__)


MISSPELT = [
    (lambda: EventFileHandler("a.log", max_bytes=1), "EventFileHandler", "max_bytes", "maxBytes"),
    (lambda: BufferedEventFileHandler("a.log", fsnyc=1), "BufferedEventFileHandler", "fsnyc", "fsync"),
    (
        lambda: BufferedEventFileHandler("a.log", flush_intervall=1),
        *("BufferedEventFileHandler", "flush_intervall", "flush_interval"),
    ),
    (
        lambda: EventQueueHandler(queue.Queue(), json_defualt=str),
        *("EventQueueHandler", "json_defualt", "json_default"),
    ),
    (lambda: EventEmitter("a.jsonl", backups_count=1), "EventEmitter", "backups_count", "backup_count"),
    (lambda: setup_orchestrator_logging(logfile="a"), "setup_orchestrator_logging", "logfile", "log_file"),
    (lambda: EventLog("a.log").read(evnt="x"), "EventLog.read", "evnt", "event"),
    (lambda: EventLog("a.log").read(limitt=1), "EventLog.read", "limitt", "limit"),
    (lambda: EventLog("a.log").last(1, tsk_id=1), "EventLog.last", "tsk_id", "task_id"),
    (lambda: EventLog("a.log").follow(evnt="x"), "EventLog.follow", "evnt", "event"),
    (lambda: EventLog("a.log").follow_sync(evnt="x"), "EventLog.follow_sync", "evnt", "event"),
    (lambda: EventLog("a.log").follow_batches(evnt="x"), "EventLog.follow_batches", "evnt", "event"),
]


class TestNames:
    @pytest.mark.parametrize(
        ("call", "owner", "name", "nearest"), MISSPELT, ids=[f"{case[1]} {case[2]}" for case in MISSPELT]
    )
    def test_misspelt(self, tmp_path, monkeypatch, call, owner, name, nearest):
        """The error names what was called, the option, the nearest right one and all; nothing is made."""
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UnknownOptionError) as caught:
            call()

        said = f"{owner} has no option {name!r}: did you mean {nearest!r}? Its options are "
        assert str(caught.value).startswith(said)
        assert nearest in caught.value.options
        assert "self" not in caught.value.options
        assert list(tmp_path.iterdir()) == []

    def test_nothing_is_near(self):
        """Without a similar name the error only lists the options."""
        with pytest.raises(UnknownOptionError) as caught:
            EventEmitter("a.jsonl", colour="red")

        assert str(caught.value) == (
            "EventEmitter has no option 'colour'; its options are events_file, max_bytes, backup_count, "
            "redact"
        )

    def test_its_kinds(self):
        """It is caught as our error and as Python's error for it, and comes back from another process."""
        error = UnknownOptionError("evnt", "x", "EventLog.read", ("event", "limit"))
        copied = pickle.loads(pickle.dumps(error))

        assert isinstance(error, (ConfigurationError, ValueError, TypeError))
        assert (str(copied), copied.name, copied.value) == (str(error), "evnt", "x")
        assert (copied.owner, copied.options) == ("EventLog.read", ("event", "limit"))

    @pytest.mark.parametrize("where", [7, b"user_id=7"])
    def test_where(self, tmp_path, where):
        """A `where` that is neither a mapping nor expressions is refused in words about `where`."""
        with pytest.raises(ConfigurationError) as caught:
            EventLog(tmp_path / "a.log").read(where=where)

        assert str(caught.value) == (
            'where must be a mapping such as {"user_id": 7}, or expressions such as "duration_ms>=1000", '
            f"got {where!r}"
        )


class TestUnprintable:
    """Values that Python itself cannot print or encode."""

    OPTIONS = (
        *("compress", "fsync", "delay", "encoding", "errors", "when", "interval", "utc"),
        *("maxAge", "file_mode", "lock_timeout", "mode", "maxBytes", "backupCount", "maxTotalBytes"),
    )

    @pytest.mark.parametrize("option", OPTIONS)
    def test_a_number_of_five_thousand_digits(self, tmp_path, option):
        """It is refused by the name of its option, and the message can be printed."""
        given = {"when": "S", option: -(10**5000)} if option == "interval" else {option: -(10**5000)}
        with pytest.raises(ConfigurationError) as caught:
            EventFileHandler(tmp_path / "app.log", **given)

        assert str(caught.value).startswith(f"{option} must be ")
        assert "a value of the type int that cannot be printed" in str(caught.value)

    @pytest.mark.parametrize("option", ["filename", "encoding", "errors"])
    @pytest.mark.parametrize("value", ["\ud800", "a\0b"])
    def test_characters_that_have_no_encoding(self, tmp_path, option, value):
        """So is text that no file system and no codec takes."""
        with pytest.raises(ConfigurationError, match=f"^{option} must be "):
            EventFileHandler(**{"filename": tmp_path / "app.log", option: value})
