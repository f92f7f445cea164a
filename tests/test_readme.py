"""What the README shows is run, and what it names exists."""

from __future__ import annotations

import configparser
import functools
import inspect
import json
import logging
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from pythonjsonlogger.core import BaseJsonFormatter

import chora_logging
from chora_logging import settings
from chora_logging.config import get_logging_config, setup_logging
from chora_logging.formatting import values
from tests.conftest import VARIABLES

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "chora_logging"
README = (ROOT / "README.md").read_text(encoding="utf-8")

COMMANDS = (
    "python3 -m venv --upgrade-deps .venv && .venv/bin/pip install -q '.[cli,web]'"
    " && .venv/bin/chora-logging demo",
    "python3 tests/run.py",
)
STAMP = re.compile(r'"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"')
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PROSE = FENCE.sub("", README)
SPANS = sorted(set(SPAN.findall(PROSE)))


def programs():
    """Each Python block, with the log and the output that the README shows after it."""
    found = []
    for language, text in FENCE.findall(README):
        if language == "python":
            found.append((text, {}))
        elif language in ("json", "text"):
            assert language not in found[-1][1]
            found[-1][1][language] = text
    return found


def title(program):
    """The heading above a program."""
    return re.findall(r"^## (.*)$", README[: README.index(program)], re.MULTILINE)[-1]


def start(arguments, folder):
    """Run a Python with warnings as errors in *folder*."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


def logs_below(folder):
    """The lines of every log in *folder*, their timestamps made equal."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".jsonl", ".log"))
    return STAMP.sub('"timestamp":""', "".join(path.read_text(encoding="utf-8") for path in files))


def rows(heading):
    """The rows of the first table after *heading*, its head left out: lists of cells."""
    table = re.search(r"^\|.*\n\|[-|]+\n((?:\|.*\n)+)", README[README.index(heading) :], re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in table[1].splitlines()]


class TestPrograms:
    @pytest.mark.parametrize(("program", "shown"), programs(), ids=[title(text) for text, _ in programs()])
    def test_every_python_block_runs(self, tmp_path, program, shown):
        """Each block runs by itself, and writes and prints what the README shows below it."""
        (tmp_path / "examples").symlink_to(ROOT / "examples")
        (tmp_path / "program.py").write_text(program, encoding="utf-8")

        done = start(["program.py"], tmp_path)

        if "# Python 3.12" in program and sys.version_info < (3, 12):
            assert "Unable to configure handler 'queue'" in done.stderr
            return
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == shown.get("text", "")
        if "json" in shown:
            assert logs_below(tmp_path) == STAMP.sub('"timestamp":""', shown["json"])

    def test_every_fence_is_known(self):
        """A program for each task, and no block in a language that nothing here looks at."""
        assert len(programs()) >= 11
        assert {language for language, _ in FENCE.findall(README)} == {"python", "json", "text", "sh", "yaml"}
        assert README.count("```") == 2 * len(FENCE.findall(README))

    def test_the_queue_in_yaml(self):
        """The handler that the README shows is the one of the example file."""
        (shown,) = (text for language, text in FENCE.findall(README) if language == "yaml")
        whole = yaml.safe_load((ROOT / "examples/logging_queue.yaml").read_text(encoding="utf-8"))

        assert yaml.safe_load(shown)["queue"] == whole["handlers"]["queue"]

    def test_without_fcntl(self, tmp_path):
        """Where the system has no flock the handler's import says what is supported."""
        code = "import sys; sys.modules['fcntl'] = None; import chora_logging.writing.handler"

        assert (
            "ImportError: chora_logging writes files on POSIX systems only"
            in start(["-c", code], tmp_path).stderr
        )


class TestShape:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_the_two_commands(self, command):
        """Each of the two commands is there once, on a line of its own in a block."""
        assert README.count(command) == 1
        assert f"```sh\n{command}\n```" in README

    def test_short(self):
        """At most 900 words of prose stand before the tables of reference."""
        assert len(PROSE.partition("\n## Fields\n")[0].split()) <= 900

    def test_promises_are_linked(self):
        """Five to seven promises, each with a link to a test file."""
        promises = README.partition("\n## Promises\n")[2].partition("\n## ")[0].split("\n- ")[1:]

        assert 5 <= len(promises) <= 7
        assert all("](tests/" in promise for promise in promises)

    def test_the_place_of_the_table_of_speed(self):
        """Its two marks stand on lines of their own, in order."""
        assert len(re.findall(r"^<!-- speed -->\n(?:.*\n)*?<!-- /speed -->$", README, re.MULTILINE)) == 1

    def test_the_version_has_its_changes(self):
        """The last section begins with this version."""
        assert README.rpartition("\n## Changes\n")[2].strip().startswith(f"**{chora_logging.__version__}**")


@functools.cache
def words():
    """Every word of the package, its tests and examples and its configuration."""
    folders = [PACKAGE, ROOT / "tests", ROOT / "examples"]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".ini")]
    text = "".join(
        path.read_text("utf-8") for path in [*files, ROOT / "setup.cfg"] if path.name != "test_readme.py"
    )
    return frozenset(re.findall(r"\w+", text))


class TestNames:
    def test_links(self):
        """Each link leads to a file of the repository."""
        links = re.findall(r"\]\(([^)]+)\)", PROSE)

        assert [link for link in links if not (ROOT / link).exists()] == []

    def test_files(self):
        """Each Python file and folder that is named without a link exists."""
        named = [span for span in SPANS if span.endswith(".py") or re.fullmatch(r"\w+/[\w/]*", span)]
        missing = [name for name in named if not ((ROOT / name).exists() or (PACKAGE / name).exists())]

        assert len(named) > 15
        assert [name for name in missing if not name.startswith("--")] == []

    def test_every_word_of_code(self):
        """Each name in code formatting is one that the code base has."""
        named = {name for span in SPANS for name in re.findall(r"\b[A-Za-z_]\w+", span.replace("…", " "))}

        assert named - words() == set()

    def test_options_of_commands(self):
        """Each `--option` is one of a command's, the test command's, pytest's or the benchmarks'."""
        sources = [*(ROOT / "chora_logging/cli").rglob("*.py"), ROOT / "tests/run.py"]
        sources.append(ROOT / "tests/benchmarks/__main__.py")
        known = set(re.findall(r'"(--[a-z-]+)"', "".join(path.read_text("utf-8") for path in sources)))
        known.add("--cov")

        assert {option for span in SPANS for option in re.findall(r"--[a-z-]+", span)} <= known

    def test_commands_for_developers(self):
        """The tools are in the extra `test`, and the module of the benchmarks can be started."""
        (block,) = (text for language, text in FENCE.findall(README) if "mypy" in text and language == "sh")
        configuration = configparser.ConfigParser()
        configuration.read(ROOT / "setup.cfg")
        extra = configuration["options.extras_require"]["test"].split()

        for tool in re.findall(r"\.venvs/3\.11/bin/(\w+)", block):
            assert any(requirement.startswith(f"{tool}>=") for requirement in extra)
        assert start(["-m", "tests.benchmarks", "--help"], ROOT).returncode == 0

    def test_the_map_has_every_module(self):
        """Each module of the package stands in the map, by itself or with its folder."""
        named = {name for row in rows("## Working on it") for name in SPAN.findall(row[1])}
        folders = tuple(name for name in named if name.endswith("/"))
        found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.*")}
        found = {name for name in found if name.endswith(".py") or name.startswith(folders)}
        found = {name for name in found if "/__init__" not in name and "__pycache__" not in name}

        assert named == {next(filter(name.startswith, folders), name) for name in found}


def options_of(function, *others):
    """Every named parameter of *function* and *others*, with its default in Python's notation."""
    signatures = map(inspect.signature, (*others, function))
    parameters = [each for signature in signatures for each in signature.parameters.values()]
    return {each.name: each.default for each in parameters if each.kind is not each.VAR_KEYWORD}


TABLES = {
    "\n`EventFormatter`:": options_of(chora_logging.EventFormatter, BaseJsonFormatter),
    "\n`EventFileHandler`,": options_of(chora_logging.EventFileHandler),
    "\n`setup_logging`, and": options_of(get_logging_config, setup_logging),
}


class TestTables:
    @pytest.mark.parametrize("heading", TABLES)
    def test_options(self, heading):
        """Each table has every option of the signature, and its default."""
        table = {name.strip("`"): default.strip("`") for name, default, _ in rows(heading)}
        shown = {name: eval(text) if text else inspect.Parameter.empty for name, text in table.items()}

        assert shown == TABLES[heading]

    def test_variables(self):
        """The table of the environment has every variable that is read, and what counts without it."""
        names = {name: {"CHORA_EVENTS_FILE": "EVENTS_FILE"}.get(name, name) for name in VARIABLES}
        table = {
            name.strip("`"): default.strip("`")
            for name, default, _ in rows("Arguments win over the environment")
        }

        assert table == {name: getattr(settings, attribute, "") for name, attribute in names.items()}

    def test_fields(self):
        """The fields stand in the order in which a line has them."""
        formatter = chora_logging.EventFormatter(static_fields={"service": "billing"})
        placed = {"task_id": "t", "run_id": "r", "trace_id": "i", "event": "e"}
        record = logging.makeLogRecord({**placed, "mine": 1, "exc_text": "Traceback", "stack_info": "s"})
        line = json.loads(formatter.format(record))

        names = {"static fields": "service", "the caller's fields": "mine"}
        assert [names.get(cell, cell.strip("`")) for cell, _ in rows("## Fields")] == list(line)

    def test_values(self):
        """What becomes of values that JSON cannot hold is what the module that does it says."""
        table = values.__doc__.split("=\nvalue")[1].splitlines()[2:-1]
        said = [re.split(r"  +", line) for line in table]

        assert rows("**Values.**") == said
