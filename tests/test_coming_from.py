"""The README's tables of changes for users of other systems: each row is run.

The earlier systems are known only from their documents. The tests show the current behaviour, and the code in
the last cell of a row is taken from the page and run.
"""

from __future__ import annotations

import functools
import json
import logging
import subprocess

import pytest

from chora_logging import EventFileHandler, EventFormatter, EventLog
from tests.checkout import ROOT
from tests.documents import README, names_in, start
from tests.needs import find_program, need

SYSTEMS = (
    "chora telemetry",
    "The orchestrator's logging",
    "python-json-logger",
    "structlog",
    "loguru",
    "logging with logrotate",
)
COVERED = set()

PRELUDE = """
import asyncio, json, logging, os, pathlib
from chora_logging import *
from chora_logging.telemetry import *

def event(**fields):
    plain = dict(content_config_id="a", generator_type="g", status="success", duration_ms=1)
    return ContentGeneratedEvent(**{**plain, **fields})

def lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
"""


def row(system, was):
    """Mark a test as the test of a row."""

    def mark(test):
        COVERED.add((system, was))
        return test

    return mark


def code(system, was, number=0):
    """The code in the last cell of a row: the former behaviour, or the way to do it here."""
    (cells,) = (cells for cells in README.rows(system) if cells[0].replace("`", "") == was)
    return names_in(cells[-1])[number].replace("…", "...")


@pytest.fixture
def run(tmp_path):
    """Run a program in its own folder and return its output."""

    def run(program, **variables):
        done = start(["-c", PRELUDE + program], tmp_path, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return run


def test_every_row_has_a_test():
    """Each row of the tables has a test, and each test a row."""
    rows = {(system, cells[0].replace("`", "")) for system in SYSTEMS for cells in README.rows(system)}

    assert rows == COVERED
    assert README.text.partition("\n## Coming from\n")[2].partition("\n## ")[0].count("\n### ") == len(
        SYSTEMS
    )


CHORA = functools.partial(row, SYSTEMS[0])
chora = functools.partial(code, SYSTEMS[0])


@pytest.mark.whole
class TestChoraTelemetry:
    @CHORA("chora_compose.telemetry")
    def test_the_import(self, run):
        """Every name of the documents is imported from here."""
        names = "EventEmitter, TelemetryEvent, ContentGeneratedEvent, ArtifactAssembledEvent, emit_event"

        run(f"from chora_logging.telemetry import {names}, ValidationCompletedEvent, get_emitter")

    @CHORA("no rotation")
    def test_rotation(self, run):
        """A reader of the open file gets no lines after the first rotation; `follow_sync` does."""
        program = """
emitter = EventEmitter("events.jsonl", max_bytes=2000)
emitter.emit(event())
file = open("events.jsonl")
path = "events.jsonl"
following = {follow}
for number in range(19):
    emitter.emit(event())
heard = sum(1 for line in iter(file.readline, ""))
print(heard < 19, len([next(following) for number in range(20)]))
file.close()
following.close()
"""
        (follow,) = (
            name for name in names_in(README.section(SYSTEMS[0])) if name.startswith("EventLog(path)")
        )

        assert run(program.format(follow=follow)) == ["True 20"]

    @pytest.mark.parametrize(
        ("prepare", "emit", "backups"),
        [
            ("emitter = EventEmitter()", "emitter.emit", 1),
            (f"emitter = {chora('no rotation')}", "emitter.emit", 0),
            ("pass", "emit_event", 1),
            (chora("no rotation", 2), "emit_event", 0),
            (f"os.environ.update([{chora('no rotation', 3)!r}.split('=')])", "emit_event", 0),
        ],
        ids=["as it is", "as before", "emit_event as it is", "emit_event as before", "by the variable"],
    )
    def test_rotation_as_before(self, run, tmp_path, prepare, emit, backups):
        """The file is rotated at 10 MiB, unless that is switched off."""
        run(f"{prepare}\nfor number in range(11):\n    {emit}(event(error_message='x' * 2**20))")

        folder = tmp_path / "var/telemetry"
        assert len([*folder.glob("events.jsonl.*")]) == backups
        assert sum(len(path.read_bytes().splitlines()) for path in folder.glob("events.jsonl*")) == 11

    @CHORA("events_file relative, can be changed, resolved at each emit")
    def test_the_path(self, run):
        """The path is absolute and cannot be set; another path needs a new emitter."""
        program = """
os.mkdir("elsewhere")
emitter = EventEmitter()
first = emitter.events_file
os.chdir("elsewhere")
emitter.emit(event())
try:
    emitter.events_file = pathlib.Path("x")
except AttributeError:
    print(first.is_absolute(), first == emitter.events_file, first.exists())
"""
        after = (
            f"{chora('events_file relative, can be changed, resolved at each emit')}\nemitter.emit(event())\n"
        )

        assert run(f"{program}{after}print(len(lines('other.jsonl')))") == ["True True True", "1"]

    @CHORA("global emitter: a module attribute, fixed file")
    def test_the_global_emitter(self, run):
        """Its file is that of `setup_logging`, else the environment's at the first event."""
        setting = chora("global emitter: a module attribute, fixed file")

        shown = run(
            f"{setting}\nemit_event(event())\nprint(get_emitter() is get_emitter(), len(lines('test.jsonl')))"
        )
        assert shown == ["True 1"]
        shown = run("setup_logging(events_file='mine.jsonl')\nprint(get_emitter().events_file.name)")
        assert shown == ["mine.jsonl"]

    @CHORA("any text as timestamp")
    def test_timestamps(self, run):
        """A string that is not a date is refused; a subclass accepts it."""
        program = f"""
try:
    event(timestamp="yesterday")
except ValueError as error:
    print(type(error).__name__)
{chora("any text as timestamp")}
print(Mine(**{{**event().model_dump(), "timestamp": "yesterday"}}).timestamp)
"""
        assert run(program) == ["ValidationError", "yesterday"]

    @CHORA("JSON schema with descriptions and examples")
    def test_the_json_schema(self, run):
        """The schema has names, types and limits; a subclass adds examples."""
        program = f"""
schema = ContentGeneratedEvent.model_json_schema()
print(schema["properties"]["duration_ms"])
{chora("JSON schema with descriptions and examples")}
print("examples" in schema, Mine.model_json_schema()["examples"])
"""
        assert run(program) == ["{'minimum': 0, 'title': 'Duration Ms', 'type': 'integer'}", "False []"]

    @CHORA("events in the file alone")
    @pytest.mark.parametrize("before", [False, True], ids=["as it is", "as before"])
    def test_the_logging_tree(self, run, before):
        """Each event goes to the handlers of the logging tree, unless that is switched off."""
        switch = chora("events in the file alone") if before else "pass"
        program = f"""
logging.basicConfig(filename="app.log", level="INFO")
{switch}
emit_event(event())
print(pathlib.Path("app.log").read_text().count("\\n"), len(lines("var/telemetry/events.jsonl")))
"""
        assert run(program) == ["0 1" if before else "1 1"]

    @CHORA("trace id from CHORA_TRACE_ID")
    def test_the_trace_id(self, run):
        """`trace_context` and `TRACEPARENT` set it too; an event that has one keeps it."""
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        program = f"""
emit_event(event())
with trace_context("mine"):
    emit_event(event())
    os.environ["CHORA_TRACE_ID"] = "outer"
    event = event()
    {chora("trace id from CHORA_TRACE_ID")}
    emit_event(event)
print([line["trace_id"] for line in lines("var/telemetry/events.jsonl")])
"""
        assert run(program, TRACEPARENT=parent) == ["['4bf92f3577b34da6a3ce929d0e0e4736', 'mine', 'outer']"]

    @CHORA("read_events, clear: one file")
    def test_reading_back(self, run, tmp_path):
        """Backups are read and cleared too, and a malformed line is reported."""
        program = f"""
logging.basicConfig(filename="report.log")
emitter = EventEmitter("events.jsonl", max_bytes=400)
for number in range(5):
    emitter.emit(event(duration_ms=number))
before = {chora("read_events, clear: one file")}
with open("events.jsonl", "a") as file:
    file.write("no event\\n")
print([line["duration_ms"] for line in emitter.read_events()], len(before) < 5)
emitter.clear()
print([name for name in os.listdir() if name.startswith("events")])
"""
        assert run(program) == ["[0, 1, 2, 3, 4] True", "[]"]
        assert "skipped 1 lines" in (tmp_path / "report.log").read_text()

    @CHORA("one file in its folder")
    def test_the_files(self, run, tmp_path):
        """A sidecar is beside the file, and backups after a rotation."""
        run(
            "emitter = EventEmitter('events.jsonl', max_bytes=400)\n"
            "for number in range(3):\n    emitter.emit(event())"
        )

        assert sorted(path.name for path in tmp_path.iterdir()) == [
            ".events.jsonl.lock",
            "events.jsonl",
            "events.jsonl.1",
            "events.jsonl.2",
        ]


ORCHESTRATOR = functools.partial(row, SYSTEMS[1])
orchestrator = functools.partial(code, SYSTEMS[1])


@pytest.mark.whole
class TestOrchestrator:
    @ORCHESTRATOR("services.orchestrator.app.core.logging")
    def test_the_import(self, run):
        """Every name of the document is imported from here."""
        names = (
            "get_orchestrator_events, log_orchestrator_event, stream_orchestrator_events, get_request_logger"
        )

        run(f"from chora_logging.orchestrator import {names}, setup_logging, get_logging_config")

    @ORCHESTRATOR("import configures a console")
    def test_the_console(self, run, tmp_path):
        """Importing changes nothing; one call sets up the console."""
        program = f"""
import contextlib, io
import chora_logging.orchestrator
print(logging.getLogger().handlers, os.listdir())
with contextlib.redirect_stderr(io.StringIO()) as console:
    {orchestrator("import configures a console")}
    logging.getLogger("app").info("Ready")
print(console.getvalue().split(" - ")[1:])
"""
        assert run(program) == ["[] []", r"['app', 'INFO', 'Ready\n']"]

    @ORCHESTRATOR("StructuredFormatter, OrchestratorEventFormatter")
    def test_the_formatters(self, run):
        """Both names stand for the one formatter."""
        program = f"""
{orchestrator("StructuredFormatter, OrchestratorEventFormatter")}
print(OrchestratorEventFormatter().format(logging.makeLogRecord({{"msg": "hi"}}))[:13])
"""
        assert run(program) == ['{"timestamp":']

    @ORCHESTRATOR("local time without a zone")
    def test_the_time(self, run):
        """Times are UTC, or local as before."""
        program = f"""
log_orchestrator_event("first")
{orchestrator("local time without a zone")}
log_orchestrator_event("second")
print(*(line["timestamp"][-1] == "Z" for line in lines(".devlogs/orch-o-glm.log")))
"""
        assert run(program) == ["True False"]

    @ORCHESTRATOR("returned events always with id, task_id, run_id")
    def test_what_events_have(self, run):
        """Events have the fields of their line and a cursor; one expression adds the missing ones."""
        program = f"""
log_orchestrator_event("first", task_id="task-1")
(event,) = asyncio.run(get_orchestrator_events())
print(*event)
before = {orchestrator("returned events always with id, task_id, run_id")}
print(before["id"] == event.cursor, before["task_id"], before["run_id"])
"""
        assert run(program) == ["timestamp level logger event task_id message", "True task-1 None"]

    @ORCHESTRATOR("both ids given: the task's decides; neither: nothing")
    def test_the_ids(self, run):
        """Both ids must match; an id that is not passed does not filter."""
        program = f"""
log_orchestrator_event("first", task_id="task-1", run_id="run-1")
log_orchestrator_event("second", task_id="task-1", run_id="run-2")
async def main():
    both = await get_orchestrator_events(task_id="task-1", run_id="run-2")
    one = {orchestrator("both ids given: the task's decides; neither: nothing")}
    return len(both), len(one), len(await get_orchestrator_events())
print(asyncio.run(main()), {orchestrator("both ids given: the task's decides; neither: nothing", 1)})
"""
        assert run(program) == ["(1, 2, 2) []"]

    @ORCHESTRATOR("a caller's timestamp, logger replace the line's")
    def test_collisions(self, run):
        """They get an underscore; a subclass of the formatter lets them replace the line's fields."""
        program = f"""
class Replacing(EventFormatter):
    def process_log_record(self, fields):
        {orchestrator("a caller's timestamp, logger replace the line's", 1)}
        return super().process_log_record(fields)

record = logging.makeLogRecord({{"name": "app", "timestamp": "mine", "logger": "mine"}})
print(*json.loads(EventFormatter().format(record)).items())
print(*json.loads(Replacing().format(record)).items())
"""
        (now, before) = run(program)
        assert "('logger', 'app')" in now and "('timestamp_', 'mine') ('logger_', 'mine')" in now
        assert "('timestamp', 'mine')" in before and "('logger', 'mine')" in before and "_" not in before

    @ORCHESTRATOR("a caller's level replaces the line's")
    def test_the_level(self, run):
        """It is the level of the record; a word that is not a level is kept as a field."""
        program = f"""
{orchestrator("a caller's level replaces the line's")}
log_orchestrator_event("job_failed", level="bad")
print(*((line["level"], line.get("level_")) for line in lines(".devlogs/orch-o-glm.log")))
"""
        assert run(program) == ["('ERROR', None) ('INFO', 'bad')"]

    @ORCHESTRATOR("its router")
    def test_its_router(self, run):
        """One call adds the routes, under the application's own guard."""
        program = f"""
import httpx
from fastapi import FastAPI
from chora_logging.web import include
log_orchestrator_event("step", task_id="task-1")
app = FastAPI()
def user(request):
    return "x-user" in request.headers
{orchestrator("its router")}
async def ask(**headers):
    transport = httpx.ASGITransport(app=app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
        return await client.get("/api/v1/orchestrator/events?task_id=task-1", headers=headers)
print(asyncio.run(ask()).status_code, len(asyncio.run(ask(x_user="ann")).json()["events"]))
""".replace("x_user", "X-User").replace('X-User="ann"', '**{"X-User": "ann"}')
        assert run(program) == ["403 1"]

    @ORCHESTRATOR("REST: everything up to 1,000")
    def test_pages(self, run):
        """A page has 100 events, or up to the 1,000 requested, with `next` and `more`."""
        program = f"""
import httpx
from chora_logging.web import create_app
for number in range(150):
    log_orchestrator_event("step")
transport = httpx.ASGITransport(app=create_app(), client=("127.0.0.1", 1))
async def ask(query):
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return (await client.get("/api/v1/orchestrator/events" + query)).json()
for query in ("", "{orchestrator("REST: everything up to 1,000")}"):
    page = asyncio.run(ask(query))
    print(len(page["events"]), sorted(page), page["more"])
"""
        keys = ["events", "more", "next"]
        assert run(program) == [f"100 {[*keys, 'read_to']} True", f"150 {keys} False"]

    @ORCHESTRATOR("stream_orchestrator_events gives text")
    def test_streams(self, run):
        """It yields dicts; one expression turns each into the text that a router sends."""
        program = f"""
log_orchestrator_event("step", task_id="task-1")
async def frames():
    async for event in stream_orchestrator_events(task_id="task-1"):
        assert isinstance(event, dict)
        yield {orchestrator("stream_orchestrator_events gives text")}
async def first():
    found = frames()
    print(repr(await anext(found)))
    await found.aclose()
asyncio.run(first())
"""
        (shown,) = run(program)
        assert shown.startswith("'data: {") and shown.endswith("}\\n\\n'")

    @ORCHESTRATOR("general log with service, environment, version")
    def test_the_general_log(self, run):
        """It has the static fields that are passed."""
        program = f"""
import contextlib, io
with contextlib.redirect_stderr(io.StringIO()):
    {orchestrator("general log with service, environment, version")}
    logging.getLogger("app").info("Ready")
print(*lines("app.log")[0].values())
"""
        assert run(program)[0].endswith("INFO app Ready orchestrator test 1")

    @ORCHESTRATOR("one file in its folder")
    def test_the_files(self, run, tmp_path):
        """A sidecar is beside the log."""
        run("log_orchestrator_event('step')")

        assert {path.name for path in (tmp_path / ".devlogs").iterdir()} == {
            ".orch-o-glm.log.lock",
            "orch-o-glm.log",
        }


JSON_LOGGER = functools.partial(row, SYSTEMS[2])

FORMATTERS = """
from pythonjsonlogger.json import JsonFormatter
def formatted(formatter, **fields):
    return formatter.format(logging.makeLogRecord({"name": "app", "created": 0, **fields}))
"""


@pytest.mark.whole
class TestPythonJsonLogger:
    @JSON_LOGGER("JsonFormatter of each encoder")
    def test_options(self, run):
        """Options of the base class are accepted, those of an encoder are not."""
        program = """
from pythonjsonlogger.core import BaseJsonFormatter
print(issubclass(EventFormatter, BaseJsonFormatter), bool(EventFormatter(rename_fields={"a": "b"})))
try:
    EventFormatter(json_indent=2)
except TypeError:
    print("refused")
"""
        assert run(program) == ["True True", "refused"]

    @JSON_LOGGER("no format: message and fields")
    def test_no_format(self, run):
        """Without a format a line has the event layout; with the table's format it has the former fields."""
        before = code(SYSTEMS[2], "no format: message and fields")
        program = f"""{FORMATTERS}
for formatter in (JsonFormatter(), {before}, EventFormatter()):
    print(*json.loads(formatted(formatter, msg="hi", order_id=7, _mine=1)))
"""
        assert run(program) == [
            "message order_id",
            "message order_id",
            "timestamp level logger message order_id _mine",
        ]

    @JSON_LOGGER("a dict message may replace levelname")
    def test_collisions(self, run):
        """The line's level is unchanged, and the caller's is written beside it."""
        program = f"""{FORMATTERS}
for make in (JsonFormatter, EventFormatter):
    print(formatted(make("%(levelname)s"), levelname="INFO", msg={{"levelname": "mine"}}))
"""
        assert run(program) == ['{"levelname": "mine"}', '{"levelname":"INFO","levelname_":"mine"}']

    @JSON_LOGGER(r"NaN, sets as text, \u00fc, +00:00")
    def test_values(self, run):
        """Values that JSON does not have are null, sets are arrays, letters stay, and UTC is written as Z."""
        program = f"""{FORMATTERS}
for make in (JsonFormatter, EventFormatter):
    formatter = make("%(message)s", timestamp=True)
    print(formatted(formatter, msg="ü", n=float("nan"), s={{1}}).replace(" ", ""))
"""
        assert run(program) == [
            '{"message":"\\u00fc","n":NaN,"s":"{1}","timestamp":"1970-01-01T00:00:00+00:00"}',
            '{"message":"ü","n":null,"s":[1],"timestamp":"1970-01-01T00:00:00Z"}',
        ]

    @JSON_LOGGER("arguments do not fit: no line")
    def test_arguments(self, run):
        """A message with wrong arguments is written unformatted, with the error."""
        program = f"""{FORMATTERS}
for make in (JsonFormatter, EventFormatter):
    try:
        print(*json.loads(formatted(make("%(message)s"), msg="hi %s", args=("a", "b"))))
    except TypeError:
        print("no line")
"""
        assert run(program) == ["no line", "message args format_error"]


FILE = """
handler = EventFileHandler("app.jsonl")
handler.setFormatter(EventFormatter())
handler.addFilter(TraceIdFilter())
logging.basicConfig(level=logging.INFO, handlers=[handler])
"""
STRUCTLOG = functools.partial(row, SYSTEMS[3])


@pytest.mark.whole
class TestStructlog:
    @STRUCTLOG('log.info("order_placed", order_id=7)')
    def test_a_call(self, run):
        """A dict message has the event and its fields."""
        call = code(SYSTEMS[3], 'log.info("order_placed", order_id=7)')
        program = f"{FILE}\nlog = logging.getLogger('shop')\n{call}\nprint(*lines('app.jsonl')[0].items())"

        assert run(program)[0].endswith("('event', 'order_placed') ('order_id', 7)")

    @STRUCTLOG('bind_contextvars(trace_id="req-1")')
    def test_context(self, run):
        """The trace id has its own context; other fields are bound."""
        context = code(SYSTEMS[3], 'bind_contextvars(trace_id="req-1")')
        fields = code(SYSTEMS[3], 'bind_contextvars(trace_id="req-1")', 1)
        program = f"""{FILE}
with {context}, {fields}:
    logging.getLogger("shop").info("hi")
print(*lines("app.jsonl")[0].items())
"""
        assert run(program)[0].endswith("('trace_id', 'req-1') ('message', 'hi') ('user', 'anna')")

    @STRUCTLOG("TimeStamper, add_log_level, JSONRenderer; WriteLogger")
    def test_processors(self, run):
        """Formatter and handler replace the processors; levels are in capitals."""
        program = (
            f"{FILE}\nlogging.warning('hi')\nline = lines('app.jsonl')[0]\nprint(*line)\nprint(line['level'])"
        )

        assert run(program) == ["timestamp level logger message", "WARNING"]

    @STRUCTLOG("calls that stay as they are")
    def test_calls_stay(self, run):
        """structlog in front of our handler: its fields are fields, its event is the message."""
        program = f"""{FILE}
import structlog
{code(SYSTEMS[3], "calls that stay as they are")}
with trace_context("req-1"):
    structlog.contextvars.bind_contextvars(user="anna")
    structlog.get_logger("shop").info("order_placed", order_id=7)
line = lines("app.jsonl")[0]
del line["timestamp"]
print(line)
"""
        assert json.loads(run(program)[0].replace("'", '"')) == {
            "level": "INFO",
            "logger": "shop",
            "trace_id": "req-1",
            "message": "order_placed",
            "order_id": 7,
            "user": "anna",
        }


LOGURU = functools.partial(row, SYSTEMS[4])
ADDED = (
    'logger.add("app.jsonl", serialize=True, rotation="00:00", retention=5, compression="gz", enqueue=True)'
)
BOUND = 'logger.bind(order_id=7).info("Order {}", 7)'
CONTEXT = 'logger.contextualize(trace_id="req-1")'
RECORD = "record.time.repr, record.level.name, record.extra.order_id"


@pytest.mark.whole
class TestLoguru:
    @LOGURU(ADDED)
    def test_a_sink(self, run):
        """loguru accepts the former options, and the handler replaces them."""
        program = f"""
from loguru import logger
logger.remove()
number = {ADDED}
logger.remove(number)
handler = {code(SYSTEMS[4], ADDED)}
print(handler.backupCount, type(handler._log.periods).__name__)
"""
        assert run(program) == ["5 Periods"]

    @LOGURU(BOUND)
    @LOGURU(CONTEXT)
    @LOGURU(RECORD)
    def test_a_call(self, run):
        """The former fields of `record` are in the line itself."""
        program = f"""{FILE}
from loguru import logger
logger.remove()
logger.add("before.jsonl", serialize=True)
with {CONTEXT}:
    {BOUND}
record = lines("before.jsonl")[0]["record"]
logger.remove()

logger = logging.getLogger("shop")
with {code(SYSTEMS[4], CONTEXT)}:
    {code(SYSTEMS[4], BOUND)}
line = lines("app.jsonl")[0]
print(record["message"], record["time"]["repr"][:4], record["level"]["name"], record["extra"])
print(line["message"], line["timestamp"][:4], line["level"], line["order_id"], line["trace_id"])
"""
        before, now = run(program)
        year = before.split()[2]
        assert before == f"Order 7 {year} INFO {{'trace_id': 'req-1', 'order_id': 7}}"
        assert now == f"Order 7 {year} INFO 7 req-1"
        assert [code(SYSTEMS[4], RECORD, number) for number in range(3)] == ["timestamp", "level", "order_id"]

    @LOGURU("calls that stay as they are")
    def test_calls_stay(self, run):
        """loguru in front of our handler: its fields are in the line itself."""
        program = f"""{FILE}
import sys
sys.path.append({str(ROOT / "examples")!r})
from loguru import logger
from loguru_app import to_logging
logger.remove()
{code(SYSTEMS[4], "calls that stay as they are")}
{BOUND}
line = lines("app.jsonl")[0]
print(line["level"], line["message"], line["order_id"], "extra" in line)
"""
        assert run(program) == ["INFO Order 7 7 False"]


LOGROTATE = functools.partial(row, SYSTEMS[5])
NOTICES = "WatchedFileHandler, or a signal in postrotate"


def rotate(folder, mode):
    """Rotate `app.jsonl` once with the real logrotate."""
    need("logrotate")
    folder.chmod(0o755)
    configuration = folder / "logrotate.conf"
    configuration.write_text(f"{folder}/app.jsonl {{\nrotate 9\nsize 1\n{mode}\n}}\n")
    configuration.chmod(0o644)
    command = [find_program("logrotate"), "--force", "-s", folder / "state", configuration]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A logger with the table's handler for use with logrotate."""
    monkeypatch.chdir(tmp_path)
    handler = eval(code(SYSTEMS[5], NOTICES), {"EventFileHandler": EventFileHandler})
    handler.setFormatter(EventFormatter())
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    yield logger
    handler.close()


@pytest.mark.whole
class TestLogrotate:
    @LOGROTATE(NOTICES)
    @LOGROTATE("copytruncate loses lines")
    @pytest.mark.parametrize("mode", ["create 0644", "copytruncate"])
    def test_it_notices(self, shop, tmp_path, mode):
        """After either way of rotation the next line is in the new file, without a signal."""
        shop.info("before")
        rotate(tmp_path, mode)
        shop.info("after")

        assert "before" in (tmp_path / "app.jsonl.1").read_text()
        assert json.loads((tmp_path / "app.jsonl").read_text())["message"] == "after"

    @LOGROTATE("logrotate alone rotates")
    @pytest.mark.parametrize("size", [0, 100], ids=["maxBytes=0", "both rotate"])
    def test_only_one_rotates(self, tmp_path, size):
        """Old backups of logrotate stay, with a limit of ours too, which then says how to end it, once."""
        old = tmp_path / "app.jsonl.9"
        old.write_text("{}\n")
        handler = EventFileHandler(tmp_path / "app.jsonl", maxBytes=size)
        for _ in range(10):
            handler.handle(logging.makeLogRecord({"msg": "x" * 60}))
        handler.close()

        assert sorted(path.name for path in tmp_path.glob("app*")) == ["app.jsonl", "app.jsonl.9"]
        assert old.read_text() == "{}\n"
        assert (tmp_path / "app.jsonl").read_text().count("maxBytes=0") == bool(size)

    @LOGROTATE("logrotate alone rotates")
    def test_setup_logging_leaves_it_to_logrotate(self, run, tmp_path):
        """With the variables, nothing that `setup_logging` and the emitter write is rotated by us."""
        row = (code(SYSTEMS[5], "logrotate alone rotates", number) for number in range(2, 5))
        variables = dict(text.split("=") for text in row)
        assert {*variables} == {f"{name}_MAX_BYTES" for name in ("LOG", "ORCH_LOG", "CHORA_EVENTS")}
        folder = tmp_path / "var/telemetry"
        folder.mkdir(parents=True)
        for number in range(6, 10):
            (folder / f"events.jsonl.{number}.gz").touch()
        shown = run(
            "from chora_logging import setup_logging\nimport logging\n"
            "setup_logging(log_file='app.jsonl', console=False)\n"
            "names = (None, 'orchestrator_events', 'chora_events')\n"
            "print([handler.maxBytes for name in names for handler in logging.getLogger(name).handlers])\n"
            "for number in range(12):\n    emit_event(event(error_message='x' * 2**20))\n",
            **variables,
        )

        assert shown == ["[0, 0, 0]"]
        assert len([*folder.glob("events.jsonl.*")]) == 4

    @LOGROTATE("no logrotate")
    def test_without_logrotate(self, run):
        """The handler does all of it."""
        shown = run(
            f"handler = {code(SYSTEMS[5], 'no logrotate')}\nprint(handler.maxBytes, handler.backupCount)"
        )

        assert shown == [f"{10 * 1024 * 1024} 5"]

    @LOGROTATE("compress, delaycompress, dateext")
    @pytest.mark.parametrize("mode", ["compress", "compress\ndelaycompress", "dateext", "dateext\ncompress"])
    def test_backups_are_read(self, shop, tmp_path, mode):
        """The reader finds the events of backups with any of logrotate's names."""
        shop.info("before")
        rotate(tmp_path, mode)
        shop.info("after")

        assert [event["message"] for event in EventLog("app.jsonl").read()] == ["before", "after"]
