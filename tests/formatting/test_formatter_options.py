"""The options of python-json-logger work as they do there; ours work as documented."""

from __future__ import annotations

import datetime
import json
import logging
import logging.config
import sys

import pytest
from pythonjsonlogger.msgspec import MsgspecFormatter

from chora_logging.errors import ConfigurationError
from chora_logging.formatting.formatter import EventFormatter
from tests.records import Event, failure, line_of, record_of

RECORDS = {
    "plain": lambda: record_of("hi"),
    "arguments": lambda: record_of("%s-%s", 1, 2),
    "extra": lambda: record_of("hi", task_id="t", n=1, nested={"a": [1]}, _private=1),
    "dict": lambda: record_of({"a": 1, "message": "m", 5: "x"}, b=2),
    "exception": lambda: record_of("no", exc_info=failure()),
    "dict with exc_info": lambda: record_of({"exc_info": "mine"}, exc_info=failure()),
}
OPTIONS = {
    "message": {"fmt": "%(message)s"},
    "percent": {"fmt": "%(asctime)s %(levelname)s %(name)s %(message)s %(lineno)d"},
    "datefmt": {"fmt": "%(asctime)s", "datefmt": "%Y"},
    "braces": {"fmt": "{levelname} {message}", "style": "{"},
    "dollar": {"fmt": "$levelname ${message}", "style": "$"},
    "comma": {"fmt": "levelname,message,funcName", "style": ","},
    "list": {"fmt": ["levelname", "message", "task_id", "exc_info"]},
    "empty list": {"fmt": []},
    "prefix": {"fmt": "%(message)s", "prefix": "LOG "},
    "rename": {"fmt": "%(levelname)s", "rename_fields": {"levelname": "sev", "task_id": "t", "x": "y"}},
    "missing": {
        "fmt": "%(message)s",
        "rename_fields": {"x": "y"},
        "rename_fields_keep_missing": True,
    },
    "static": {"fmt": "%(message)s", "static_fields": {"service": "s"}},
    "defaults": {"fmt": "%(message)s", "defaults": {"n": 0, "env": "dev"}},
    "reserved": {"fmt": "%(message)s", "reserved_attrs": ["task_id", "msg", "args", "exc_info"]},
    "timestamp": {"fmt": "%(message)s", "timestamp": True},
    "timestamp key": {"fmt": "%(message)s", "timestamp": "ts", "rename_fields": {"ts": "@ts"}},
    "arrays": {"fmt": "%(message)s", "exc_info_as_array": True, "stack_info_as_array": True},
}


class TestParity:
    """The same options give the same fields."""

    @pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
    @pytest.mark.parametrize("make", RECORDS.values(), ids=RECORDS)
    def test_same_line_as_python_json_logger(self, options, make):
        """Ours and python-json-logger's msgspec formatter write the same fields in the same order."""
        record = make()
        formatter = EventFormatter(**options)
        lines = {formatter.format(record) for _ in range(3)}
        theirs = MsgspecFormatter(**options).format(record)
        prefix = options.get("prefix", "")

        (ours,) = lines
        assert ours.startswith(prefix)
        ours, theirs = (json.loads(text[len(prefix) :]) for text in (ours, theirs))
        theirs.pop("taskName", None)  # not reserved by a custom reserved_attrs on older Pythons
        assert ours == theirs
        assert list(ours) == list(theirs)

    def test_everything_unreserved(self):
        """With nothing reserved every attribute is a field, the exception still as text."""
        formatter = EventFormatter("%(message)s", reserved_attrs=[])

        line = line_of(record_of("m", exc_info=failure(), k=1), formatter)

        assert line["exc_info"].endswith("ValueError: boom")
        assert (line["lineno"], line["levelname"], line["k"]) == (7, "INFO", 1)

    def test_empty_format(self):
        """An empty format, as a configuration file may have, counts as None."""
        assert "level" in line_of(record_of(), EventFormatter(""))

    def test_json_default(self):
        """The caller's json_default is called for objects that JSON does not support."""

        def as_pair(value):
            return [value.real, value.imag]

        assert line_of(record_of(z=1j), EventFormatter(json_default=as_pair))["z"] == [0.0, 1.0]

    def test_chosen_fields_are_protected(self):
        """No caller can change the level, the static fields or the timestamp, with a dict or an extra."""
        formatter = EventFormatter(
            "%(levelname)s %(name)s",
            static_fields={"service": "s"},
            timestamp=True,
            rename_fields={"levelname": "level"},
        )
        hostile = {"level": "HACK", "name": "HACK", "service": "HACK", "timestamp": "HACK"}

        line = line_of(record_of(hostile, service="EVIL"), formatter)

        assert (line["level"], line["name"], line["service"]) == ("INFO", "app", "s")
        assert line["timestamp"] != "HACK"
        assert {name: value for name, value in line.items() if value in ("HACK", "EVIL")} == {
            "level_": "HACK",
            "name_": "HACK",
            "service_": "HACK",
            "service__": "EVIL",
            "timestamp_": "HACK",
        }

    def test_wrong_arguments_with_chosen_fields(self):
        """The unformatted message and the arguments are written with *fmt* too."""
        line = line_of(record_of("%d", "x"), EventFormatter("%(message)s"))

        assert line["message"] == "%d"
        assert line["args"] == ["x"]


class TestLayoutOptions:
    """python-json-logger's options on the event layout."""

    def test_rename_by_the_names_of_the_layout(self):
        """Every field of the layout can be renamed and keeps its position."""
        names = {
            name: f"@{name}" for name in ("timestamp", "level", "logger", "event", "message", "exception")
        }
        record = record_of("m", event="e", exc_info=failure())

        line = line_of(record, EventFormatter(rename_fields=names))

        assert list(line) == list(names.values())

    def test_rename_by_python_json_loggers_names(self):
        """`levelname`, `name`, `exc_info` and `asctime` are accepted too."""
        names = {"asctime": "t", "levelname": "severity", "name": "source", "exc_info": "error"}
        record = record_of("m", exc_info=failure())

        line = line_of(record, EventFormatter(rename_fields=names))

        assert list(line) == ["t", "severity", "source", "message", "error"]

    def test_renamed_names_are_protected(self):
        """An underscore is appended to a caller's field with the new name of one of the line's own."""
        line = line_of(record_of(severity="HACK"), EventFormatter(rename_fields={"level": "severity"}))

        assert (line["severity"], line["severity_"]) == ("INFO", "HACK")

    def test_two_names_renamed_to_one(self):
        """Two fields renamed to the same name are both written."""
        line = line_of(record_of(a=1, b=2), EventFormatter(rename_fields={"a": "c", "b": "c"}))

        assert (line["c"], line["c_"]) == (1, 2)

    def test_rename_keep_missing(self):
        """Renamed fields that a record lacks are null on request."""
        options = {"rename_fields": {"task_id": "task"}, "rename_fields_keep_missing": True}

        assert line_of(record_of(), EventFormatter(**options))["task"] is None

    def test_static_and_default_fields(self):
        """Static fields follow the message; then come the defaults that the caller does not set."""
        formatter = EventFormatter(static_fields={"service": "s"}, defaults={"env": "dev", "task_id": "-"})

        assert list(line_of(record_of(n=1), formatter))[3:] == ["task_id", "message", "service", "env", "n"]
        assert line_of(record_of(task_id="t", env="prod"), formatter)["env"] == "prod"
        assert line_of(record_of(task_id="t"), formatter)["task_id"] == "t"

    def test_reserved_attributes(self):
        """Reserved attributes are not fields; standard attributes that are not reserved are."""
        formatter = EventFormatter(reserved_attrs=["password"])

        line = line_of(record_of(password="x", n=1), formatter)

        assert "password" not in line
        assert (line["n"], line["lineno"], line["funcName"]) == (1, 7, "run")

    def test_arrays(self):
        """Exception and stack are arrays of lines on request."""
        record = record_of(exc_info=failure())
        record.stack_info = "a\nb"

        line = line_of(record, EventFormatter(exc_info_as_array=True, stack_info_as_array=True))

        assert line["exception"][-1] == "ValueError: boom"
        assert line["stack_info"] == ["a", "b"]

    def test_prefix(self):
        """The prefix comes before the JSON."""
        assert EventFormatter(prefix="@cee: ").format(record_of()).startswith('@cee: {"timestamp"')

    def test_timestamp_under_another_name(self):
        """`timestamp` names the field, and a caller's field with that name is renamed."""
        line = line_of(record_of(ts=1), EventFormatter(timestamp="ts"))

        assert next(iter(line)) == "ts"
        assert line["ts_"] == 1

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, "2017-07-14T02:40:00.250000Z"),
            ({"timestamp_format": "rfc3339"}, "2017-07-14T02:40:00.250000Z"),
            ({"timestamp_format": "epoch"}, 1500000000.25),
            ({"datefmt": "%d"}, None),
            ({"timestamp_format": "local"}, None),
        ],
    )
    def test_timestamp_formats(self, options, expected):
        """UTC text, local text without a zone, a number, or the format of datefmt."""
        record = record_of()
        record.created = 1500000000.25
        local = datetime.datetime.fromtimestamp(record.created)
        if "datefmt" in options:
            expected = local.strftime("%d")
        elif expected is None:
            expected = local.isoformat(timespec="microseconds")

        assert line_of(record, EventFormatter(**options))["timestamp"] == expected
        fmt_line = line_of(record, EventFormatter("%(message)s", timestamp=True, **options))
        if "timestamp_format" in options:
            assert fmt_line["timestamp"] == expected


class TestHooks:
    """Subclasses that override python-json-logger's hooks."""

    def test_every_hook_is_called(self):
        """Each override is honoured, in the event layout and with chosen fields."""

        class Mine(EventFormatter):
            def add_fields(self, log_data, record, message_dict):
                super().add_fields(log_data, record, message_dict)
                log_data["added"] = record.message

            def process_log_record(self, log_data):
                return {**log_data, "processed": True}

            def jsonify_log_record(self, log_data):
                return super().jsonify_log_record({**log_data, "jsonified": True})

            def serialize_log_record(self, log_data):
                return super().serialize_log_record(log_data) + " "

            def formatTime(self, record, datefmt=None):
                return "noon"

            def formatException(self, ei):
                return "redacted"

            def formatStack(self, stack_info):
                return "elsewhere"

        record = record_of("m %s", 1, exc_info=failure())
        record.stack_info = "here"
        for options, stamp, exception in (
            ({}, "timestamp", "exception"),
            ({"fmt": "%(asctime)s"}, "asctime", "exc_info"),
        ):
            line = line_of(record, Mine(**options))
            assert line[stamp] == "noon"
            assert line[exception] == "redacted"
            assert line["stack_info"] == "elsewhere"
            assert line["added"] == "m 1"
            assert line["processed"] is line["jsonified"] is True

    def test_redaction(self):
        """process_log_record sees every field, those of typed events too."""

        class Redacting(EventFormatter):
            def process_log_record(self, log_data):
                return dict.fromkeys(log_data, "***")

        for record in (record_of("secret", k="secret"), record_of(Event("secret"))):
            assert set(line_of(record, Redacting()).values()) == {"***"}


SIZE = 'a number of bytes, 512 or more, or a string like "10MB"'
MAPPING = 'a mapping of field names, such as {"user_id": 7}'
FLAG = "true or false (or yes/no, on/off, 1/0)"


class TestBadOptions:
    """Invalid options are refused at construction, by name."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"timestamp_format": "iso"},
                'timestamp_format must be "rfc3339" or "local" or "epoch", got \'iso\'',
            ),
            ({"max_bytes": 10}, f"max_bytes must be {SIZE}, got 10"),
            ({"max_bytes": "10 cows"}, f"max_bytes must be {SIZE}, got '10 cows'"),
            ({"json_default": "str"}, "json_default must be callable, got 'str'"),
            ({"datefmt": 5}, "datefmt must be a format of time.strftime, got 5"),
            ({"timestamp": 5}, "timestamp must be true, false or the name of a field, got 5"),
            ({"static_fields": {5: 1}}, "static_fields must be a mapping of names to values, got {5: 1}"),
            (
                {"exc_info_as_object": "yes", "exc_info_as_array": True},
                "exc_info_as_array must be left out, because exc_info_as_object is set, got True",
            ),
            ({"rename_fields": ["a"]}, f"rename_fields must be {MAPPING}, got ['a']"),
            ({"rename_fields": {"a": 1}}, "rename_fields must be a mapping of names to names, got {'a': 1}"),
            ({"static_fields": "a"}, f"static_fields must be {MAPPING}, got 'a'"),
            ({"defaults": 1}, f"defaults must be {MAPPING}, got 1"),
            ({"reserved_attrs": "args"}, "reserved_attrs must be a list of names, got 'args'"),
            ({"reserved_attrs": 1}, "reserved_attrs must be a list of names, got 1"),
            ({"prefix": 1}, "prefix must be text, got 1"),
            ({"exc_info_as_array": "sure"}, f"exc_info_as_array must be {FLAG}, got 'sure'"),
            ({"fmt": "no fields"}, None),
            ({"fmt": b"%(message)s"}, None),
            ({"style": "?"}, 'style must be "%" or "{" or "$" or ",", got \'?\''),
            ({"fmt": 5}, None),
        ],
    )
    def test_is_refused(self, options, message):
        """The error names the option, the value and the rule."""
        with pytest.raises(ConfigurationError) as caught:
            EventFormatter(**options)

        if message:
            assert str(caught.value) == message
        assert caught.value.name in options

    def test_unknown_option(self):
        """A misspelt option is a TypeError, as everywhere in Python, and names the nearest."""
        with pytest.raises(TypeError) as caught:
            EventFormatter(timestamp_fromat="local")

        assert str(caught.value).startswith(
            "EventFormatter has no option 'timestamp_fromat': did you mean 'timestamp_format'? "
            "Its options are fmt, datefmt, style, "
        )

    @pytest.mark.parametrize("word", ["no", "false", "Off", 0])
    def test_flags_as_configuration_files_write_them(self, word):
        """A text such as "no" switches an option off."""
        formatter = EventFormatter(exc_info_as_array=word, stack_info_as_array=word, max_bytes="64kB")
        record = logging.makeLogRecord({"msg": "m", "exc_text": "a\nb", "stack_info": "a\nb"})
        line = json.loads(formatter.format(record))

        assert (line["exception"], line["stack_info"], formatter.max_bytes) == ("a\nb", "a\nb", 65536)


class TestConfiguration:
    """From dictConfig and fileConfig."""

    def configured(self, tmp_path, formatter):
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": {"event": formatter},
                "handlers": {
                    "file": {
                        "class": "logging.FileHandler",
                        "filename": str(tmp_path / "log"),
                        "formatter": "event",
                    }
                },
                "loggers": {"configured": {"handlers": ["file"], "level": "INFO"}},
            }
        )
        logging.getLogger("configured").info("hi", extra={"k": 1})
        return json.loads((tmp_path / "log").read_text())

    @pytest.mark.parametrize(
        ("formatter", "name"),
        [
            ({"class": "chora_logging.EventFormatter"}, "level"),
            ({"class": "chora_logging.EventFormatter", "format": "%(levelname)s"}, "levelname"),
            ({"()": "chora_logging.EventFormatter", "format": "%(levelname)s"}, "levelname"),
            ({"()": "chora_logging.EventFormatter", "static_fields": {"s": 1}}, "level"),
            ({"()": "chora_logging.EventFormatter", "fmt": ["levelname"]}, "levelname"),
            ({"()": "chora_logging.EventFormatter", "json_default": "ext://builtins.str"}, "level"),
            ({"()": "chora_logging.EventFormatter", "static_fields": {"s": "ext://sys.byteorder"}}, "level"),
        ],
    )
    def test_dict_config(self, tmp_path, formatter, name):
        """Both forms of dictConfig work, with and without options."""
        line = self.configured(tmp_path, formatter)

        assert (line[name], line["k"]) == ("INFO", 1)
        if formatter.get("static_fields") == {"s": "ext://sys.byteorder"}:
            assert line["s"] == sys.byteorder

    def test_file_config(self, tmp_path):
        """An INI file without a format gives the event layout."""
        ini = tmp_path / "logging.ini"
        ini.write_text(
            "[loggers]\nkeys=root,configured\n[handlers]\nkeys=file\n[formatters]\nkeys=event\n"
            "[logger_root]\nhandlers=\nlevel=WARNING\n"
            "[logger_configured]\nhandlers=file\nqualname=configured\nlevel=INFO\n"
            f"[handler_file]\nclass=FileHandler\nargs=({str(tmp_path / 'log')!r},)\nformatter=event\n"
            "[formatter_event]\nclass=chora_logging.EventFormatter\n"
        )
        logging.config.fileConfig(ini, disable_existing_loggers=False)
        logging.getLogger("configured").info("hi", extra={"k": 1})

        line = json.loads((tmp_path / "log").read_text())

        assert list(line) == ["timestamp", "level", "logger", "message", "k"]
