"""`chora-logging config`: the effective configuration, ready for use, and the origin of each value."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import pty
import subprocess
import sys

import pytest
import yaml

from chora_logging import speedups
from chora_logging.config import get_logging_config
from tests.cli.calling import HOSTILE, assert_tame

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

READERS = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory of each test is a new one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestFormats:
    @pytest.mark.parametrize("form", READERS)
    def test_it_is_the_configuration(self, call, monkeypatch, form):
        """In each format it is the result of `get_logging_config`, and nothing else is printed."""
        monkeypatch.setenv("LOG_LEVEL", "debug")
        monkeypatch.setenv("LOG_FILE", 'app\'s "ü" \\log.jsonl')
        status, output, errors = call("config", "--format", form)

        assert (status, errors) == (0, "")
        assert READERS[form](output) == get_logging_config()

    @pytest.mark.parametrize("arguments", [(), ("--json",), ("--format", "json", "--json")])
    def test_json_unless_asked_otherwise(self, call, arguments):
        """In a pipe it is JSON alone."""
        assert json.loads(call("config", *arguments)[1]) == get_logging_config()

    @pytest.mark.parametrize("form", READERS)
    def test_it_can_be_used(self, folder, call, form):
        """The output sets logging up: an event goes to the file that the configuration names."""
        logging.config.dictConfig(READERS[form](call("config", "--format", form)[1]))
        logging.getLogger("orchestrator_events").info("done", extra={"event": "task_done"})

        line = (folder / ".devlogs" / "orch-o-glm.log").read_text()
        assert json.loads(line)["event"] == "task_done"

    def test_redirected_to_a_file(self, folder):
        """`chora-logging config > logging.json` makes a file for `dictConfig`."""
        with open("logging.json", "wb") as file:
            done = subprocess.run(
                [sys.executable, "-m", "chora_logging", "config"],
                stdout=file,
                stderr=subprocess.PIPE,
                timeout=60,
            )
        assert (done.returncode, done.stderr) == (0, b"")
        logging.config.dictConfig(json.loads((folder / "logging.json").read_text()))

    def test_nothing_is_made(self, folder, call):
        """Printing a configuration makes no folder and no file."""
        call("config")

        assert list(folder.iterdir()) == []


class TestOrigins:
    def test_defaults(self, call, monkeypatch):
        """Without any variable every value is a default, and the variables that could set it are named."""
        monkeypatch.setattr(speedups, "in_use", True)
        monkeypatch.setattr(speedups, "why_not", "")
        status, output, _ = call("config", "--origins", width=100)

        assert status == 0
        assert [line.rstrip() for line in output.splitlines()] == [
            "setting              value                       from",
            "log_level            INFO                        default (no LOG_LEVEL)",
            "log_file             none                        default (no LOG_FILE)",
            "orch_log_file        .devlogs/orch-o-glm.log     default (no ORCH_LOG_FILE, ORCH_ID)",
            "events_file          var/telemetry/events.jsonl  default (no CHORA_EVENTS_FILE)",
            "max_bytes            10485760 (10 MB)            default (no LOG_MAX_BYTES)",
            "backup_count         5                           default (no LOG_BACKUP_COUNT)",
            "orch_max_bytes       10485760 (10 MB)            default (no ORCH_LOG_MAX_BYTES)",
            "orch_backup_count    5                           default (no ORCH_LOG_BACKUP_COUNT)",
            "events_max_bytes     10485760 (10 MB)            default (no CHORA_EVENTS_MAX_BYTES)",
            "events_backup_count  5                           default (no CHORA_EVENTS_BACKUP_COUNT)",
            "compiled_part        in use                      built with the package",
        ]

    @pytest.mark.parametrize(
        ("variable", "value", "setting", "expected"),
        [
            ("LOG_LEVEL", "warning", "log_level", "WARNING"),
            ("LOG_FILE", "a.log", "log_file", "a.log"),
            ("ORCH_ID", "x", "orch_log_file", ".devlogs/orch-x.log"),
            ("ORCH_LOG_FILE", "o.log", "orch_log_file", "o.log"),
            ("CHORA_EVENTS_FILE", "e.jsonl", "events_file", "e.jsonl"),
            ("LOG_MAX_BYTES", "1MB", "max_bytes", 1048576),
            ("ORCH_LOG_MAX_BYTES", "0", "orch_max_bytes", 0),
            ("CHORA_EVENTS_BACKUP_COUNT", "9", "events_backup_count", 9),
        ],
    )
    def test_each_variable(self, call, monkeypatch, variable, value, setting, expected):
        """A value from a variable has that origin; all others do not."""
        monkeypatch.setenv(variable, value)
        found = call.json("config", "--origins", "--json")

        assert found.pop(setting) == {"value": expected, "variable": variable}
        assert {origin["variable"] for origin in found.values()} == {None}

    @pytest.mark.parametrize("width", [20, 40])
    def test_a_narrow_terminal(self, call, width):
        """The name of each setting is whole, with its value and origin below it."""
        output = call("config", "--origins", width=width)[1]

        assert_tame(output, width)
        assert [line.strip() for line in output.splitlines() if line[0] != " "] == [
            *("log_level", "log_file", "orch_log_file", "events_file", "max_bytes", "backup_count"),
            *("orch_max_bytes", "orch_backup_count", "events_max_bytes", "events_backup_count"),
            "compiled_part",
        ]

    def test_without_the_compiled_part(self, call, monkeypatch):
        """If the compiled part is not in use, the reason is shown, with the remedy."""
        monkeypatch.setattr(speedups, "in_use", False)
        monkeypatch.setattr(speedups, "why_not", "not built: install a C compiler")
        found = call.json("config", "--origins", "--json")["compiled_part"]

        assert found == {"value": "not in use", "variable": None, "reason": "not built: install a C compiler"}
        assert (
            "# compiled_part = not in use: not built: install a C compiler\n"
            in call("config", "--format", "yaml")[1]
        )

    def test_the_path_wins_over_the_id(self, call, monkeypatch):
        """If both variables for the orchestrator's log are set, the effective one is named."""
        monkeypatch.setenv("ORCH_ID", "x")
        monkeypatch.setenv("ORCH_LOG_FILE", "o.log")

        found = call.json("config", "--origins", "--json")["orch_log_file"]
        assert found == {"value": "o.log", "variable": "ORCH_LOG_FILE"}

    def test_an_empty_variable_is_not_set(self, call, monkeypatch):
        """An empty variable is ignored, as everywhere."""
        monkeypatch.setenv("LOG_LEVEL", "")

        assert call.json("config", "--origins", "--json")["log_level"] == {"value": "INFO", "variable": None}

    @pytest.mark.parametrize("form", ["yaml", "toml"])
    def test_comments(self, call, monkeypatch, form):
        """If the format has comments, the origins are comments at the top."""
        monkeypatch.setenv("LOG_LEVEL", "ERROR")
        lines = call("config", "--format", form)[1].splitlines()

        assert lines[0] == "# log_level = ERROR: variable LOG_LEVEL"
        assert lines[5] == "# backup_count = 5: default (no LOG_BACKUP_COUNT)"
        assert lines[10].startswith("# compiled_part = ")
        assert not lines[11].startswith("#")

    def test_on_a_terminal(self, folder):
        """A terminal gets both: the table of origins, and the configuration."""
        master, slave = pty.openpty()
        done = subprocess.run(
            [sys.executable, "-m", "chora_logging", "config"],
            env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "xterm"},
            stdout=slave,
            stderr=slave,
            timeout=60,
        )
        os.close(slave)
        output = os.read(master, 65536).decode().replace("\r\n", "\n")
        os.close(master)

        assert done.returncode == 0
        table, _, config = output.partition("\n\n")
        assert table.startswith("setting")
        assert json.loads(config) == get_logging_config()


class TestErrors:
    def test_a_bad_value(self, call, monkeypatch):
        """The error for an invalid variable is one line with what is allowed, and status 2."""
        monkeypatch.setenv("LOG_LEVEL", "loud")

        assert call("config") == (
            2,
            "",
            "chora-logging: LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL (any case), "
            "or a number, 0 or more, got 'loud'\n",
        )

    @pytest.mark.parametrize("arguments", [("--format", "ini"), ("--json", "--format", "yaml")])
    def test_wrong_use(self, call, arguments):
        """A format that is unknown or contradicts another option is status 2."""
        status, output, errors = call("config", *arguments)

        assert (status, output) == (2, "")
        assert errors

    @pytest.mark.parametrize(("form", "package"), [("yaml", "yaml"), ("toml", "tomli_w")])
    def test_a_missing_package(self, call, monkeypatch, form, package):
        """Without the package that writes the format, its extra is named."""
        monkeypatch.setitem(sys.modules, package, None)
        status, output, errors = call("config", "--format", form)

        assert (status, output) == (2, "")
        assert errors == f"chora-logging: {package} is not installed: pip install 'chora_logging[cli]'\n"

    @pytest.mark.parametrize("text", [text for text in HOSTILE if "\0" not in text], ids=ascii)
    @pytest.mark.parametrize("arguments", [("--origins",), ("--format", "yaml"), ("--format", "toml"), ()])
    def test_hostile_paths(self, call, monkeypatch, text, arguments):
        """No control character of a variable reaches the terminal."""
        monkeypatch.setenv("LOG_FILE", text.replace("\ud800", ""))
        status, output, errors = call("config", *arguments)

        assert status == 0
        assert_tame(output + errors)

    @pytest.mark.parametrize("text", [text for text in HOSTILE if "\0" not in text], ids=ascii)
    @pytest.mark.parametrize("form", READERS)
    def test_hostile_paths_are_kept(self, call, monkeypatch, text, form):
        """An escaped path is read back unchanged."""
        monkeypatch.setenv("LOG_FILE", text.replace("\ud800", ""))

        assert READERS[form](call("config", "--format", form)[1]) == get_logging_config()

    def test_a_path_that_is_not_utf8(self, call, monkeypatch):
        """A path that is not UTF-8 is preserved in JSON; TOML cannot represent it, and the error says so."""
        monkeypatch.setenv("LOG_FILE", "a\udc80")

        assert json.loads(call("config")[1]) == get_logging_config()
        status, output, errors = call("config", "--format", "toml")
        assert (status, output) == (2, "")
        assert "use --format json" in errors
