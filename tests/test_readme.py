"""The programs on the pages of documentation run, and the names on them exist."""

from __future__ import annotations

import asyncio
import configparser
import dataclasses
import datetime
import inspect
import itertools
import json
import logging
import math
import pathlib
import re
import subprocess
import sys

import httpx
import pytest
import yaml
from pythonjsonlogger.core import BaseJsonFormatter

import chora_logging
from chora_logging import settings
from chora_logging.config import get_logging_config, setup_logging
from chora_logging.eventlog.log import Filters
from chora_logging.options import parse_size
from tests.conftest import VARIABLES
from tests.documents import (
    ALL,
    EXAMPLES,
    PACKAGE,
    README,
    ROOT,
    SPEED,
    TESTS,
    names_in,
    same_times,
    start,
    words,
)

COMMANDS = (
    "python3 -m venv --upgrade-deps .venv && .venv/bin/pip install -q '.[cli,web]'"
    " && .venv/bin/chora-logging demo",
    "python3 tests/run.py",
)
SECTIONS = [
    "Install into your project",
    "Ten lines",
    "Promises",
    "Tasks",
    "Coming from",
    "Options",
    "Limits",
    "Working on it",
    "Changes",
]
TOKEN = "a-token-of-32-visible-characters"
PROGRAMS = [(page, *program) for page in ALL for program in page.programs()]
every_page = pytest.mark.parametrize("page", ALL, ids=repr)


def logs_below(folder):
    """The lines of every log in *folder*, with equal timestamps."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".jsonl", ".log"))
    return same_times("".join(path.read_text(encoding="utf-8") for path in files))


class TestPrograms:
    @pytest.mark.parametrize(
        ("page", "program", "shown"),
        PROGRAMS,
        ids=[f"{page}: {page.heading_of(text)}" for page, text, _ in PROGRAMS],
    )
    def test_every_python_block_runs(self, tmp_path, page, program, shown):
        """Each block runs by itself, and writes and prints the lines that the page shows below it."""
        (tmp_path / "examples").symlink_to(ROOT / "examples")
        (tmp_path / "program.py").write_text(program, encoding="utf-8")

        done = start(["program.py"], tmp_path)

        if "# Python 3.12" in program and sys.version_info < (3, 12):
            assert "Unable to configure handler 'queue'" in done.stderr
            return
        assert (done.returncode, done.stderr) == (0, "")
        assert same_times(done.stdout) == same_times(shown.get("text", ""))
        if "json" in shown:
            assert logs_below(tmp_path) == same_times(shown["json"])

    @every_page
    def test_every_fence_is_known(self, page):
        """There is no block in a language that is not tested here."""
        known = {
            README: {"python", "json", "text", "sh", "nginx"},
            EXAMPLES: {"python", "json", "text", "yaml", "sh"},
            TESTS: {"sh"},
            SPEED: set(),
        }

        assert {language for language, _ in page.fences} == known[page]
        assert page.text.count("```") == 2 * len(page.fences)

    def test_there_is_a_program_for_each_task(self):
        """Every section of a task in Python begins with code."""
        tasks = README.text.partition("\n## Tasks\n")[2].partition("\n## ")[0]

        assert tasks.count("```python\n") >= 6

    def test_many_processes_write_one_log(self, tmp_path):
        """The program with several processes writes a line for each call."""
        (program,) = (text for text, _ in README.programs() if "get_context" in text)
        (tmp_path / "program.py").write_text(program, encoding="utf-8")

        assert start(["program.py"], tmp_path).returncode == 0
        lines = (tmp_path / "app.jsonl").read_text().splitlines()
        assert sorted(json.loads(line)["message"] for line in lines) == [f"Step {n}" for n in range(4)]

    @pytest.mark.parametrize(
        ("variables", "client", "headers", "status"),
        [
            ({}, "127.0.0.1", {}, 200),
            ({}, "192.0.2.1", {}, 403),
            ({"CHORA_LOGGING_TOKEN": TOKEN}, "127.0.0.1", {}, 401),
            ({"CHORA_LOGGING_TOKEN": TOKEN}, "192.0.2.1", {"Authorization": f"Bearer {TOKEN}"}, 200),
        ],
        ids=["here", "elsewhere", "without the token", "with the token"],
    )
    def test_the_mounted_application_is_guarded(
        self, tmp_path, monkeypatch, variables, client, headers, status
    ):
        """The FastAPI program accepts requests of this machine, or with a token those that have it."""
        (program,) = (text for text, _ in README.programs() if "FastAPI" in text)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("CHORA_LOGGING_TOKEN", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        space = {}
        exec(program, space)

        async def ask():
            transport = httpx.ASGITransport(app=space["app"], client=(client, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asking:
                return await asking.get("/logs/api/v1/shop/events", headers=headers)

        response = asyncio.run(ask())
        assert response.status_code == status
        assert response.headers["X-Trace-Id"]

    def test_the_queue_in_yaml(self):
        """The handler is the same as in the example file."""
        (shown,) = EXAMPLES.blocks("yaml")
        whole = yaml.safe_load((ROOT / "examples/logging_queue.yaml").read_text(encoding="utf-8"))

        assert yaml.safe_load(shown)["queue"] == whole["handlers"]["queue"]

    def test_without_fcntl(self, tmp_path):
        """On a system without flock, the error of the handler's import names the supported systems."""
        code = "import sys; sys.modules['fcntl'] = None; from chora_logging import EventFileHandler"

        assert (
            "ImportError: chora_logging writes files on POSIX systems only"
            in start(["-c", code], tmp_path).stderr
        )


class TestShape:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_the_two_commands(self, command):
        """Each of the two commands occurs once, on its own line in a block."""
        assert README.text.count(f"```sh\n{command}\n```") == 1

    def test_the_two_commands_come_first(self):
        """They are the first blocks of the page."""
        assert [text for _, text in README.fences[:2]] == [f"{command}\n" for command in COMMANDS]

    def test_short(self):
        """It has at most 400 lines and 3,000 words, including the markup of tables and code."""
        assert len(README.text.splitlines()) <= 400
        assert len(README.text.split()) <= 3000

    def test_the_order_of_sections(self):
        """The sections have the order of a newcomer's questions."""
        assert README.headings(2) == SECTIONS

    def test_promises_name_their_tests(self):
        """There are five to seven promises, each with its test."""
        promises = README.section("Promises").partition("\n\n`tests/README.md`")[0].split("\n- ")[1:]

        assert 5 <= len(README.section("Promises").split("- **")[1:]) <= 7
        assert all(re.search(r"`[\w/]*test_\w+\.py`\.\n?$", promise) for promise in promises)

    def test_the_first_question_about_limits(self):
        """The first limit answers why a line is missing."""
        assert README.section("Limits").lstrip().startswith("**Why is a line missing?**")

    def test_numbers_stand_in_the_generated_tables_only(self):
        """The README has no measured numbers, since they would become outdated."""
        assert re.findall(r"\d[\d.,]* ?(?:µs|ms|%|times|events/s)(?!\w)", README.prose) == []

    def test_the_version_has_its_changes(self):
        """The last section begins with this version."""
        assert README.section("Changes").strip().startswith(f"**{chora_logging.__version__}**")


class TestNames:
    def test_the_pictures(self):
        """The README shows a terminal and the viewer, each with alternative text."""
        pictures = re.findall(r"^!\[(.{20,})\]\((.+)\)$", README.prose, re.MULTILINE)

        assert [path for _, path in pictures] == [
            "examples/pictures/terminal.png",
            "examples/pictures/viewer.png",
        ]
        assert all((ROOT / path).is_file() for _, path in pictures)

    def test_the_readme_has_no_other_links(self):
        """A package index shows the README too, without the files that relative links would point to."""
        assert re.findall(r"(?<!!)\[[^]]*\]\([^)]*\)", README.prose) == []
        assert "://" not in README.prose

    @every_page
    def test_links(self, page):
        """Each link points to a file of the repository."""
        links = re.findall(r"\]\(([^)]+)\)", page.prose)

        assert [link for link in links if not (ROOT / page.name).parent.joinpath(link).exists()] == []

    @every_page
    def test_files(self, page):
        """Each named Python file and page exists; a name without a folder is unique."""
        files = [
            path for folder in ("chora_logging", "tests", "examples") for path in (ROOT / folder).rglob("*")
        ]
        paths = [f"/{path.relative_to(ROOT)}" for path in files if "__pycache__" not in path.parts]
        named = [span for span in page.spans if re.fullmatch(r"[\w./]+(\.py|README\.md)", span)]
        found = {name: [path for path in paths if path.endswith(f"/{name}")] for name in named}

        assert {name: where for name, where in found.items() if len(where) != 1} == {}

    def test_tests_are_named(self):
        """Each statement names its tests."""
        assert all(names_in(tests) for _, tests in TESTS.rows("Promises and their tests"))

    @every_page
    def test_every_word_of_code(self, page):
        """Each name in code formatting exists in the code base, except those of other packages."""
        prose = page.prose
        if page is README:  # test_coming_from.py runs these
            before, _, rest = prose.partition("\n## Coming from\n")
            prose = before + rest.partition("\n## Options\n")[2]
        spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)
        named = {name for span in spans for name in re.findall(r"\b[A-Za-z_]\w+", span.replace("…", " "))}

        assert named - words() == set()

    @every_page
    def test_options_of_commands(self, page):
        """Each `--option` is one of a command's, the test command's, pytest's or the benchmarks'."""
        sources = [
            *(ROOT / "chora_logging/cli").rglob("*.py"),
            ROOT / "tests/run.py",
            ROOT / "tests/bare_root.py",
        ]
        sources.append(ROOT / "tests/benchmarks/__main__.py")
        known = set(re.findall(r'"(--[a-z-]+)"', "".join(path.read_text("utf-8") for path in sources)))
        known |= {"--cov", "--factory"}
        ours = [text for text in page.blocks("sh") if "pip" not in text]

        shown = itertools.chain(page.spans, *(text.splitlines() for text in ours))
        assert {option for line in shown for option in re.findall(r"(?<!\S)--[a-z-]+", line)} <= known

    def test_commands(self):
        """The README shows exactly the commands of the list."""
        shown = set(re.findall(r"(?:^|[/(])chora-logging (\w+)", README.text, re.MULTILINE))
        done = subprocess.run(
            [sys.executable, "-m", "chora_logging", "--help"], capture_output=True, text=True
        )

        listed = set(re.findall(r"^  (\w+)  ", done.stdout.partition("Commands:")[2], re.MULTILINE))
        assert shown == listed

    def test_commands_for_developers(self):
        """The tools are in the extra `test`, and the modules can be started."""
        (block,) = (text for text in README.blocks("sh") if "mypy" in text)
        configuration = configparser.ConfigParser()
        configuration.read(ROOT / "setup.cfg")
        extra = configuration["options.extras_require"]["test"].split()

        for tool in re.findall(r"\.venvs/3\.11/bin/(?!python)(\w+)", block):
            assert any(requirement.startswith(f"{tool}>=") for requirement in extra)
        modules = re.findall(r"-m (tests\.\w+)", block)
        assert modules == ["tests.benchmarks", "tests.pictures"]
        assert all((ROOT / module.replace(".", "/")).with_suffix(".py").exists() for module in modules[1:])
        assert start(["-m", modules[0], "--help"], ROOT).returncode == 0

    def test_the_map_has_every_folder(self):
        """Each folder of the package is in the map."""
        named = {name.rstrip("/") for name in names_in(README.section("Working on it")) if name.endswith("/")}
        folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

        assert folders <= named


def options_of(*functions):
    """Every named parameter of functions, with its default in Python's notation."""
    parameters = [each for function in functions for each in inspect.signature(function).parameters.values()]
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {each.name: each.default for each in parameters if each.kind not in kinds}


def options_shown(cells):
    """The options in some cells, with their defaults."""
    found = {}
    for name in itertools.chain(*map(names_in, cells)):
        option, equals, default = name.partition("=")
        found[option] = eval(default) if equals else inspect.Parameter.empty
    return found


OPTIONS = {
    "EventFormatter": options_of(BaseJsonFormatter, chora_logging.EventFormatter),
    "EventFileHandler and BufferedEventFileHandler": options_of(
        chora_logging.EventFileHandler, chora_logging.BufferedEventFileHandler
    ),
    "setup_logging and get_logging_config": options_of(get_logging_config, setup_logging),
}


class TestTables:
    @pytest.mark.parametrize("heading", OPTIONS)
    def test_options(self, heading):
        """Each table has every option of the signature, and its default."""
        assert options_shown(cell for cell, _ in README.rows(heading)) == OPTIONS[heading]

    def test_positional_arguments(self):
        """The first seven arguments of the handler have the standard library's order."""
        shown = [
            *options_shown(cell for cell, _ in README.rows("EventFileHandler and BufferedEventFileHandler"))
        ]
        standard = [*options_of(logging.handlers.RotatingFileHandler)]

        assert shown[:7] == standard
        buffered = {*options_of(chora_logging.BufferedEventFileHandler)}
        assert {*shown[-5:]} == buffered - {"filename"}

    def test_variables(self):
        """Each variable that is read is in the table with its option and its default."""
        text = README.section("setup_logging and get_logging_config")
        defaults = dict(re.findall(r"`([A-Z_]+)` \(`?([^`)]*)`?\)", text))
        names = {name: {"CHORA_EVENTS_FILE": "EVENTS_FILE"}.get(name, name) for name in VARIABLES}
        for prefix in ("LOG", "ORCH_LOG", "CHORA_EVENTS"):
            names |= {f"{prefix}_{name}": name for name in ("MAX_BYTES", "BACKUP_COUNT")}
        expected = {name: getattr(settings, attribute, "none") for name, attribute in names.items()}
        for name in (name for name in defaults if name.endswith(("_MAX_BYTES", "_BACKUP_COUNT"))):
            defaults[name] = parse_size(name, defaults[name])

        assert defaults == {
            name: expected[name] for name in expected if name not in ("CHORA_TRACE_ID", "TRACEPARENT")
        }
        assert {"CHORA_TRACE_ID", "TRACEPARENT"} <= {*names_in(README.section("Pass the trace id on"))}

    def test_calls(self):
        """The calls of the reader have the arguments of the table."""
        shown = itertools.chain(*(names_in(cell) for cell, _ in README.rows("Read, follow and query")))
        calls = dict(re.fullmatch(r"(\w+)\((.*)\)", call).groups() for call in shown if call.endswith(")"))
        functions = {name: getattr(chora_logging.EventLog, name) for name in calls if name != "EventLog"}
        functions["EventLog"] = chora_logging.EventLog.__init__

        assert {*calls} == {"EventLog", "read", "last", "follow", "follow_sync", "follow_batches"}
        for name, function in functions.items():
            parameters = options_of(function)
            del parameters["self"]
            assert options_shown(f"`{each}`" for each in calls[name].split(", ")) == parameters

    def test_filters(self):
        """The table has every filter."""
        shown = [*itertools.chain(*(names_in(cell) for cell, _ in README.rows("Read, follow and query")))]

        assert {name for name in shown if "(" not in name} == {*Filters.__annotations__}

    def test_a_gap(self):
        """The table has the fields of a gap in their order."""
        fields = re.search(r"a `Gap` \(([^)]*)\)", README.section("Read, follow and query"))[1]

        assert tuple(names_in(fields)) == chora_logging.Gap._fields

    def test_routes(self):
        """The table has every route except those of the viewer's files."""
        shown = {path for cell, _ in README.rows("Routes") for path in re.findall(r"`GET ([^`]*)`", cell)}
        served = {route.path_format for route in chora_logging.routes({"app": "app.jsonl"})}

        assert shown == served - {"/viewer/{name}"}

    def test_fields(self):
        """The fields have the order of a line."""
        formatter = chora_logging.EventFormatter(static_fields={"service": "billing"})
        placed = {"task_id": "t", "run_id": "r", "trace_id": "i", "event": "e"}
        record = logging.makeLogRecord({**placed, "mine": 1, "exc_text": "Traceback", "stack_info": "s"})
        line = json.loads(formatter.format(record))

        text = re.sub(
            r"\([^)]*\)", "", README.section("Fields of a line").partition("left out: ")[2].partition("\n")[0]
        )
        names = {"static fields": "service", "the caller's fields in their order": "mine"}
        shown = [names.get(name.strip(" ."), name.strip(" `.")) for name in text.split(",")]
        assert shown == list(line)

    def test_values(self):
        """Values that JSON does not support become what the formatter's docstring lists."""
        table = (
            inspect.getdoc(chora_logging.EventFormatter)
            .split("=\nvalue")[1]
            .partition("=\n\n")[0]
            .splitlines()
        )
        said = dict(re.split(r"  +", line, maxsplit=1) for line in table[2:-1])

        assert {*said} == {*SAMPLES}
        for value, (sample, line) in SAMPLES.items():
            record = logging.makeLogRecord({"msg": {"value": sample}})
            written = json.loads(chora_logging.EventFormatter().format(record))["value"]
            while value == "deeper than 100 levels" and isinstance(written, list):
                (written,) = written
            assert (value, written) == (value, line)


class Silent:
    """An object whose `str` and `repr` raise."""

    def __str__(self):
        raise ValueError

    __repr__ = __str__


@dataclasses.dataclass
class Order:
    """A dataclass."""

    number: int = 7


CIRCLE = []
CIRCLE.append(CIRCLE)
DEEP = [[]]
for _ in range(200):
    DEEP = [DEEP]
#: A value for each row of the formatter's table, and its form in a line.
SAMPLES = {
    "NaN, infinities": (math.nan, None),
    "integers over 4300 digits": (16**4000, "0x1" + "0" * 4000),
    "bytes": (b"x", "eA=="),
    "unpaired surrogates": ("\udc80", "\\udc80"),
    "keys that are not text": ({1: "a", "1": "b"}, {"1": "a", "1_": "b"}),
    "sets, tuples": (({1}, (2,)), [[1], [2]]),
    "enums": (inspect.Parameter.VAR_KEYWORD, 4),
    "dataclasses, structs": (Order(), {"number": 7}),
    "an object that contains itself": (CIRCLE, ["<circular reference>"]),
    "deeper than 100 levels": (DEEP, "<nested too deep>"),
    "dates, times, durations": (datetime.timedelta(days=1, seconds=5), "P1DT5S"),
    "exceptions; classes": ([ValueError("x"), int], ["ValueError: x", "int"]),
    "anything else": (pathlib.PurePosixPath("/a"), "/a"),
    "… whose `str` raises": (Silent(), "__could_not_encode__"),
}
