"""The orchestrator's events: logged, read back, streamed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import logging.config
import logging.handlers
import multiprocessing
import os
import queue
import sys
import threading
import time
import uuid

import pytest

from chora_logging import orchestrator
from chora_logging.context import trace_context
from chora_logging.errors import ConfigurationError
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.orchestrator import (
    get_orchestrator_events,
    get_request_logger,
    log_orchestrator_event,
    setup_logging,
    setup_orchestrator_logging,
    stream_orchestrator_events,
)
from chora_logging.writing.handler import EventFileHandler
from tests.eventlog.writing import threads_of

DEADLINE = 20


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Each test has a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(orchestrator, "_reported", set())


@pytest.fixture
def log(tmp_path):
    """An empty log that is set up."""
    setup_orchestrator_logging(log_file=tmp_path / "orch.log")
    return tmp_path / "orch.log"


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def stored(**filters):
    return asyncio.run(get_orchestrator_events(**filters))


def logger():
    return logging.getLogger("orchestrator_events")


def attach(path, name=None):
    handler = EventFileHandler(path, delay=True)
    handler.setFormatter(EventFormatter())
    logging.getLogger(name).addHandler(handler)
    return handler


class TestLogging:
    def test_the_line_of_the_document(self, log):
        """An event has the fields of the document's format, in its order."""
        log_orchestrator_event(
            "task_started",
            task_id="task-123",
            run_id="run-456",
            status="running",
            message="Task started successfully",
        )

        (event,) = lines(log)
        assert list(event) == [
            "timestamp",
            "level",
            "logger",
            "event",
            "task_id",
            "run_id",
            "message",
            "status",
        ]
        assert event | {"timestamp": None} == {
            "timestamp": None,
            "level": "INFO",
            "logger": "orchestrator_events",
            "event": "task_started",
            "task_id": "task-123",
            "run_id": "run-456",
            "message": "Task started successfully",
            "status": "running",
        }

    def test_ids_that_are_not_given_are_left_out(self, log):
        """An event without task and run has neither field, but a message."""
        log_orchestrator_event("task_created")

        (event,) = lines(log)
        assert list(event) == ["timestamp", "level", "logger", "event", "message"]
        assert event["message"] == "Event: task_created"

    @pytest.mark.parametrize(
        "name",
        sorted({*logging.LogRecord("", 0, "", 0, "", (), None).__dict__, "asctime", "taskName"}),
    )
    def test_names_that_logging_refuses_are_fields(self, log, name):
        """A field may have the name of any attribute of a LogRecord and keeps it."""
        log_orchestrator_event("a", status="running", **{name: "mine"})

        assert lines(log)[0] | {name: "mine"} == lines(log)[0]
        assert lines(log)[0]["status"] == "running"

    @pytest.mark.parametrize("name", ["stacklevel", "extra", "self", "fields", "caller", "text"])
    def test_names_of_parameters_elsewhere_are_fields(self, log, name):
        """Parameter names of logging calls and of this function are ordinary fields."""
        log_orchestrator_event("a", **{name: 1})

        assert lines(log)[0][name] == 1

    @pytest.mark.parametrize("name", ["timestamp", "logger"])
    def test_names_of_the_lines_own_fields_get_an_underscore(self, log, name):
        """A field cannot replace one of the line's own; both are written."""
        log_orchestrator_event("a", **{name: "mine"})

        (event,) = lines(log)
        assert event[name] != "mine"
        assert event[name + "_"] == "mine"

    def test_an_attribute_of_a_record_factory_is_no_obstacle(self, log):
        """A record factory that sets the same field raises nothing; the call's value wins."""
        factory = logging.getLogRecordFactory()

        def with_request(*args, **kwargs):
            record = factory(*args, **kwargs)
            record.request_id = "from-factory"
            return record

        logging.setLogRecordFactory(with_request)

        log_orchestrator_event("a", request_id="mine")
        log_orchestrator_event("b")

        assert [event["request_id"] for event in lines(log)] == ["mine", "from-factory"]

    @pytest.mark.parametrize(
        ("level", "name"),
        [
            ("warning", "WARNING"),
            ("ERROR", "ERROR"),
            ("Critical", "CRITICAL"),
            (logging.ERROR, "ERROR"),
            ("30", "WARNING"),
            (25, "Level 25"),
        ],
    )
    def test_levels(self, log, level, name):
        """A level is a name in any case, or a number."""
        log_orchestrator_event("a", level=level)

        assert lines(log)[0]["level"] == name

    @pytest.mark.parametrize("level", ["LOUD", "", None, 1.5, True, [], -1], ids=repr)
    def test_a_bad_level_is_kept_as_a_field(self, log, level):
        """An event with an unknown level is logged as INFO, with the value in a field."""
        log_orchestrator_event("a", level=level)

        assert (lines(log)[0]["level"], lines(log)[0]["level_"]) == ("INFO", level)

    def test_a_message_with_percent_signs_is_kept(self, log):
        """A message is not used as a format."""
        log_orchestrator_event("a", message="100% of %s done")

        assert lines(log)[0]["message"] == "100% of %s done"

    def test_hostile_values_do_not_raise(self, log):
        """Any fields and ids give a line and no exception."""

        class Hostile:
            def __str__(self):
                raise RuntimeError("no")

            __repr__ = __format__ = __str__

        logger().propagate = False  # pytest's own handler raises the errors of records
        cyclic: list = []
        cyclic.append(cyclic)

        log_orchestrator_event(
            Hostile(), Hostile(), Hostile(), message=Hostile(), nan=float("nan"), cyclic=cyclic
        )
        log_orchestrator_event(Hostile())

        assert len(lines(log)) == 2

    def test_the_callers_objects_are_left_as_they_were(self, log):
        """Fields are not changed by being logged."""
        value = {"a": [1, {"b": 2}]}
        before = json.dumps(value)

        log_orchestrator_event("a", level="LOUD", value=value, args=value)

        assert json.dumps(value) == before

    def test_the_record_says_who_called(self, log, caplog):
        """Path, line and function of the record are the caller's."""
        log_orchestrator_event("a")

        record = caplog.records[-1]
        assert (record.pathname, record.funcName) == (__file__, "test_the_record_says_who_called")

    def test_the_trace_id_is_the_current_one(self, log):
        """An event logged in a trace has its id; an explicit id wins."""
        with trace_context("t-1"):
            log_orchestrator_event("a")
            log_orchestrator_event("b", trace_id="its-own")

        assert [event["trace_id"] for event in lines(log)] == ["t-1", "its-own"]

    def test_an_ordinary_logging_call_is_an_event_too(self, log):
        """A logging call with extra={...} gives the same line."""
        logger().info(
            "Task started",
            extra={
                "event": "task_started",
                "task_id": "task-123",
                "run_id": "run-456",
                "status": "running",
            },
        )
        logger().info("no event")

        assert [event["event"] for event in lines(log)] == ["task_started", "log"]
        assert lines(log)[0]["status"] == "running"

    def test_a_log_that_cannot_be_written_does_not_raise(self, capsys):
        """A full disk is reported by logging and not raised into the caller."""
        setup_orchestrator_logging(log_file="/dev/full")

        log_orchestrator_event("a")

        assert "No space left on device" in capsys.readouterr().err


class TestTheDefaultLog:
    def test_the_first_event_sets_it_up(self, tmp_path):
        """Without any configuration, events go to .devlogs/orch-o-glm.log."""
        log_orchestrator_event("a")
        log_orchestrator_event("b")

        assert len(lines(tmp_path / ".devlogs" / "orch-o-glm.log")) == 2

    def test_the_environment_names_it(self, tmp_path, monkeypatch):
        """ORCH_ID is part of its name, ORCH_LOG_FILE is its path."""
        monkeypatch.setenv("ORCH_ID", "o-qwen")
        log_orchestrator_event("a")
        logger().handlers.pop().close()
        monkeypatch.setenv("ORCH_LOG_FILE", "here/orch.log")
        log_orchestrator_event("b")

        assert len(lines(tmp_path / ".devlogs" / "orch-o-qwen.log")) == 1
        assert len(lines(tmp_path / "here" / "orch.log")) == 1

    @pytest.mark.parametrize("name", [None, "orchestrator_events"], ids=["root", "own"])
    def test_not_where_events_are_written_already(self, tmp_path, name):
        """An application that writes events to its own file gets no second one."""
        attach(tmp_path / "own.log", name)
        logging.getLogger(name).setLevel(logging.INFO)

        log_orchestrator_event("a")

        assert len(lines(tmp_path / "own.log")) == 1
        assert not (tmp_path / ".devlogs").exists()

    def test_not_where_a_queue_takes_them(self, tmp_path):
        """An application that sends its records through a queue gets no file here."""
        waiting: queue.Queue = queue.Queue()
        logging.getLogger().addHandler(logging.handlers.QueueHandler(waiting))
        logging.getLogger().setLevel(logging.INFO)

        log_orchestrator_event("a")

        assert waiting.qsize() == 1
        assert not (tmp_path / ".devlogs").exists()

    def test_beside_a_console(self, tmp_path):
        """A console on the root logger does not count: the file is set up, and both get the event."""
        collected = []
        console = logging.Handler()
        console.emit = collected.append
        logging.getLogger().addHandler(console)

        log_orchestrator_event("a")

        assert len(lines(tmp_path / ".devlogs" / "orch-o-glm.log")) == len(collected) == 1

    def test_threads_that_begin_at_once(self, tmp_path):
        """Concurrent first events of many threads are each written once."""
        barrier = threading.Barrier(16)

        def work(number):
            barrier.wait()
            for count in range(20):
                log_orchestrator_event("a", task_id=number, count=count)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        events = lines(tmp_path / ".devlogs" / "orch-o-glm.log")
        assert sorted((event["task_id"], event["count"]) for event in events) == [
            (number, count) for number in range(16) for count in range(20)
        ]
        assert len(logger().handlers) == 1

    def test_a_default_that_cannot_be_used_is_reported_once(self, monkeypatch, caplog):
        """An invalid ORCH_ID is not raised into the caller; it is logged once."""
        monkeypatch.setenv("ORCH_ID", "a/b")

        log_orchestrator_event("a")
        log_orchestrator_event("b")

        told = [record.getMessage() for record in caplog.records if record.name == "chora_logging"]
        assert len(told) == 1
        assert "ORCH_ID must be" in told[0]


class TestSetup:
    def test_it_returns_the_logger(self, tmp_path):
        """It returns the logger of the events, and the folder exists."""
        assert setup_orchestrator_logging(log_file=tmp_path / "a" / "orch.log") is logger()
        assert (tmp_path / "a").is_dir()
        assert not (tmp_path / "a" / "orch.log").exists()

    def test_arguments_in_order(self, tmp_path):
        """Id and path may be positional, as existing users write them; the path wins."""
        setup_orchestrator_logging("o-grok", "x/orch.log")
        log_orchestrator_event("a")

        assert len(lines(tmp_path / "x" / "orch.log")) == 1

    def test_an_id_wins_over_the_environment(self, tmp_path, monkeypatch):
        """The argument is used even if ORCH_LOG_FILE names a file."""
        monkeypatch.setenv("ORCH_LOG_FILE", "other.log")
        setup_orchestrator_logging("o-grok")
        log_orchestrator_event("a")

        assert len(lines(tmp_path / ".devlogs" / "orch-o-grok.log")) == 1

    def test_twice_is_once(self, log):
        """A second call with the same arguments doubles no line."""
        setup_orchestrator_logging(log_file=log)
        setup_orchestrator_logging(log_file=str(log))
        log_orchestrator_event("a")

        assert len(lines(log)) == 1
        assert len(logger().handlers) == 1

    def test_another_file_takes_the_place(self, log, tmp_path):
        """A second file replaces the first."""
        log_orchestrator_event("a")
        setup_orchestrator_logging(log_file=tmp_path / "second.log")
        log_orchestrator_event("b")

        assert [event["event"] for event in lines(log)] == ["a"]
        assert [event["event"] for event in lines(tmp_path / "second.log")] == ["b"]

    def test_beside_the_applications_handler_on_the_same_file(self, tmp_path):
        """If the application already writes to that file, no line is doubled."""
        attach(tmp_path / "orch.log")
        logging.getLogger().setLevel(logging.INFO)
        setup_orchestrator_logging(log_file=tmp_path / "orch.log")

        log_orchestrator_event("a")

        assert len(lines(tmp_path / "orch.log")) == 1

    def test_one_file_for_everything(self, tmp_path):
        """If both setups have the same file, as existing users write, each line is in it once."""
        setup_logging(log_level="INFO", log_file="orch.log", console=False)
        setup_orchestrator_logging("o-glm", "orch.log")
        logging.getLogger("app").info("record")
        log_orchestrator_event("a")

        assert [line["message"] for line in lines(tmp_path / "orch.log")] == ["record", "Event: a"]

    def test_rotation(self, tmp_path):
        """The log is rotated at its size, and its backups are read back."""
        setup_orchestrator_logging(log_file="orch.log", max_bytes="2kB", backup_count=99)
        for number in range(100):
            log_orchestrator_event("a", number=number)

        assert (tmp_path / "orch.log.3").exists()
        assert max(path.stat().st_size for path in tmp_path.glob("orch.log*")) <= 2048
        assert [event["number"] for event in stored()] == list(range(100))

    def test_static_fields_and_local_time(self, tmp_path):
        """The formatter's options can be passed."""
        setup_orchestrator_logging(
            log_file="orch.log", timestamp_format="local", static_fields={"service": "kyros"}
        )
        log_orchestrator_event("a")

        (event,) = lines(tmp_path / "orch.log")
        assert event["service"] == "kyros"
        assert not event["timestamp"].endswith("Z")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"orch_id": "../x"}, "orch_id must be 1 to 200 printable characters without a slash"),
            ({"orch_id": "a\0"}, "orch_id must be 1 to 200 printable characters without a slash"),
            ({"orch_id": ""}, "orch_id must be 1 to 200 printable characters without a slash"),
            ({"log_file": "."}, "log_file must be the path of a file, not of a folder, got '.'"),
            ({"log_file": ""}, "log_file must be the path of a file, not empty, got ''"),
            ({"log_file": 5}, "log_file must be a path"),
            ({"max_bytes": "big"}, "max_bytes must be a number of bytes"),
            ({"backup_count": -1}, "backup_count must be a whole number, 0 or more, got -1"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_a_bad_value_is_named(self, arguments, message):
        """An invalid value is an error with its name, the rule and the value."""
        with pytest.raises(ConfigurationError) as caught:
            setup_orchestrator_logging(**arguments)

        assert str(caught.value).startswith(message)
        assert logger().handlers == []


class TestRequestLogger:
    def test_all_fields_reach_the_record(self, tmp_path):
        """Request, user and address are on each record, with the call's own fields."""
        attach(tmp_path / "app.log")
        logging.getLogger().setLevel(logging.INFO)
        request = get_request_logger("req-1", user_id="u-1", client_ip="::1")

        request.info("hello", extra={"path": "/", "user_id": "other"})
        request.info("again")

        first, second = lines(tmp_path / "app.log")
        assert (first["logger"], first["message"], first["path"]) == ("request", "hello", "/")
        assert (first["request_id"], first["user_id"], first["client_ip"]) == ("req-1", "other", "::1")
        assert second["user_id"] == "u-1"

    def test_fields_that_are_not_given_are_left_out(self, tmp_path):
        """Without arguments it is a plain logger."""
        attach(tmp_path / "app.log")
        logging.getLogger().setLevel(logging.INFO)

        get_request_logger().info("hello")
        get_request_logger(request_id="r").info("hello", exc_info=None)

        first, second = lines(tmp_path / "app.log")
        assert list(first) == ["timestamp", "level", "logger", "message"]
        assert list(second) == ["timestamp", "level", "logger", "message", "request_id"]

    def test_the_callers_extra_is_left_as_it_was(self):
        """The dict that the call passes is not changed."""
        extra = {"path": "/"}

        get_request_logger("req-1").info("hello", extra=extra)

        assert extra == {"path": "/"}


class TestStored:
    def test_filters(self, log):
        """Events are found by task, run, trace and name, alone and together."""
        log_orchestrator_event("a", task_id="t1", run_id="r1")
        log_orchestrator_event("b", task_id="t1", run_id="r2", trace_id="x")
        log_orchestrator_event("a", task_id="t2", run_id="r1")

        def found(**filters):
            return [(event["task_id"], event["run_id"]) for event in stored(**filters)]

        assert found() == [("t1", "r1"), ("t1", "r2"), ("t2", "r1")]
        assert found(task_id="t1") == [("t1", "r1"), ("t1", "r2")]
        assert found(run_id="r1") == [("t1", "r1"), ("t2", "r1")]
        assert found(task_id="t1", run_id="r1") == [("t1", "r1")]
        assert found(trace_id="x") == [("t1", "r2")]
        assert found(event="a", task_id="t2") == [("t2", "r1")]
        assert found(task_id="t3") == []

    def test_ids_of_other_types(self, log):
        """A task is found by its id with the logged type or as text."""
        task = uuid.uuid4()
        log_orchestrator_event("a", task_id=task)
        log_orchestrator_event("b", task_id=7)

        assert [event["event"] for event in stored(task_id=task)] == ["a"]
        assert [event["event"] for event in stored(task_id=str(task))] == ["a"]
        assert [event["event"] for event in stored(task_id="7")] == ["b"]

    def test_a_limit_keeps_the_newest(self, log):
        """limit returns the newest events, oldest first."""
        for number in range(5):
            log_orchestrator_event("a", number=number)

        assert [event["number"] for event in stored(limit=2)] == [3, 4]

    def test_records_of_other_loggers_are_left_out(self, log):
        """In a file that also has application records, only events are returned."""
        attach(log, "app").setLevel(logging.INFO)
        logging.getLogger("app").warning("record", extra={"task_id": "t"})
        log_orchestrator_event("a", task_id="t")

        assert [event["event"] for event in stored(task_id="t")] == ["a"]

    def test_the_log_of_an_existing_user(self, tmp_path):
        """Lines of the old formatter, mixed with application records, are read."""
        (tmp_path / "orch.log").write_text(
            '{"timestamp": "2025-09-28T08:54:11.456336", "level": "INFO", "logger": "httpx",'
            ' "message": "HTTP Request", "service": "Kyros Praxis"}\n'
            '{"timestamp": "2025-09-28T08:54:12.284670", "level": "INFO", "logger":'
            ' "orchestrator_events", "event": "task_created", "task_id": "b6f86b1b", "title":'
            ' "Test Task", "message": "Event: task_created"}\n'
        )
        setup_orchestrator_logging(log_file="orch.log")
        log_orchestrator_event("task_started", task_id="b6f86b1b")

        assert [event["event"] for event in stored(task_id="b6f86b1b")] == [
            "task_created",
            "task_started",
        ]

    def test_which_log(self, tmp_path, monkeypatch):
        """The log is the argument's, else the one this process writes, else the environment's."""
        for name in ("given", "written", "named"):
            (tmp_path / f"{name}.log").write_text(f'{{"event": "{name}"}}\n')
        monkeypatch.setenv("ORCH_LOG_FILE", "named.log")

        assert [event["event"] for event in stored()] == ["named"]

        setup_orchestrator_logging(log_file="written.log")

        assert [event["event"] for event in stored()] == ["written"]
        assert [event["event"] for event in stored(log_file="given.log")] == ["given"]

    def test_no_log(self):
        """A log that does not exist has no events."""
        assert stored() == []

    def test_the_loop_goes_on_while_a_large_log_is_read(self, tmp_path):
        """Reading does not block other tasks."""
        line = '{"logger": "orchestrator_events", "event": "a", "pad": "%s"}\n' % ("x" * 100)
        (tmp_path / "orch.log").write_text(line * 100_000)

        async def main():
            reading = asyncio.create_task(get_orchestrator_events(log_file="orch.log"))
            turns = 0
            while not reading.done():
                await asyncio.sleep(0.001)
                turns += 1
            return turns, len(await reading)

        turns, count = asyncio.run(main())

        assert count == 100_000
        assert turns > 10


async def take(count, **filters):
    """The first *count* events of a stream, which is then closed."""
    found = []
    async with contextlib.aclosing(stream_orchestrator_events(**filters)) as stream:
        async for event in stream:
            found.append(event)
            if len(found) == count:
                break
    return found


def within(coroutine, seconds=DEADLINE):
    return asyncio.run(asyncio.wait_for(coroutine, seconds))


def open_files(folder):
    """How many descriptors this process has open below *folder*, except the writer's own."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            path = os.readlink(f"/proc/self/fd/{fd}")
            flags = int(open_flags(fd), 8)
            count += path.startswith(str(folder)) and flags & os.O_ACCMODE == os.O_RDONLY
    return count


def open_flags(fd):
    with open(f"/proc/self/fdinfo/{fd}") as file:
        return file.read().split("flags:")[1].split()[0]


def log_many(path, worker, count):
    """Log events in a worker process."""
    setup_orchestrator_logging(log_file=path, max_bytes=20_000, backup_count=200)
    for number in range(count):
        log_orchestrator_event("work", task_id=worker, number=number)


class TestStream:
    def test_stored_then_live(self, log):
        """A stream begins with the stored events and continues with new ones."""
        log_orchestrator_event("stored")

        async def main():
            async with contextlib.aclosing(stream_orchestrator_events()) as stream:
                first = await anext(stream)
                log_orchestrator_event("live")
                return [first, await anext(stream)]

        assert [event["event"] for event in within(main())] == ["stored", "live"]

    def test_live_within_a_fifth_of_a_second(self, log):
        """An event arrives within 0.2 s of being logged."""

        async def main():
            delays = []
            async with contextlib.aclosing(stream_orchestrator_events()) as stream:
                for number in range(10):
                    arriving = asyncio.ensure_future(anext(stream))
                    await asyncio.sleep(0.03 + number * 0.007)
                    start = time.monotonic()
                    log_orchestrator_event("a", number=number)
                    assert (await arriving)["number"] == number
                    delays.append(time.monotonic() - start)
            return delays

        delays = sorted(within(main()))
        assert delays[len(delays) // 2] < 0.2

    def test_filters(self, log):
        """A stream gives only the events that match the filters."""

        async def main():
            streaming = asyncio.create_task(take(2, task_id="t1", event="b"))
            for number in range(3):
                log_orchestrator_event("a", task_id="t1")
                log_orchestrator_event("b", task_id="t2")
                log_orchestrator_event("b", task_id="t1", number=number)
            return await streaming

        assert [event["number"] for event in within(main())] == [0, 1]

    def test_a_log_that_does_not_exist_yet(self, tmp_path):
        """A stream of a missing log waits for it."""

        async def main():
            streaming = asyncio.create_task(take(1, log_file="later/orch.log"))
            while not threads_of(os.path.abspath("later/orch.log")):
                await asyncio.sleep(0.001)
            setup_orchestrator_logging(log_file="later/orch.log")
            log_orchestrator_event("a")
            return await streaming

        assert len(within(main())) == 1

    def test_truncation_deletion_and_rotation(self, log):
        """A stream continues after the log was truncated, deleted and rotated."""

        async def main():
            found = []
            async with contextlib.aclosing(stream_orchestrator_events()) as stream:
                for step in ("first", "truncated", "deleted", "rotated"):
                    if step == "truncated":
                        os.truncate(log, 0)
                    elif step == "deleted":
                        log.unlink()
                    elif step == "rotated":
                        logger().handlers[0].doRollover()
                    log_orchestrator_event(step)
                    found.append((await anext(stream))["event"])
            return found

        assert within(main()) == ["first", "truncated", "deleted", "rotated"]

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_every_process(self, log, method):
        """The events of several processes arrive once and in their order while the log is rotated."""
        context = multiprocessing.get_context(method)
        workers = [context.Process(target=log_many, args=(log, task, 300)) for task in range(4)]

        async def main():
            streaming = asyncio.create_task(take(1200))
            for worker in workers:
                worker.start()
            return await streaming

        events = within(main(), 60)
        for worker in workers:
            worker.join()

        for task in range(4):
            numbers = [event["number"] for event in events if event["task_id"] == task]
            assert numbers == list(range(300))
        assert len(stored()) == 1200

    def test_many_streams_at_once(self, log):
        """Every one of many streams gets every event."""

        async def main():
            streaming = [asyncio.create_task(take(50)) for _ in range(20)]
            for number in range(50):
                log_orchestrator_event("a", number=number)
                await asyncio.sleep(0)
            return await asyncio.gather(*streaming)

        for events in within(main()):
            assert [event["number"] for event in events] == list(range(50))

    def test_closing_closes_the_files(self, log, tmp_path):
        """After aclose no file is open."""
        log_orchestrator_event("a")

        assert len(within(take(1))) == 1
        assert open_files(tmp_path) == 0

    def test_cancelling_closes_the_files(self, log, tmp_path):
        """A cancelled stream raises CancelledError and closes its files, at any point."""
        log_orchestrator_event("a")

        async def main(pause):
            streaming = asyncio.create_task(take(2))
            await asyncio.sleep(pause)
            streaming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await streaming
            assert open_files(tmp_path) == 0

        for pause in (0, 0.0005, 0.001, 0.002, 0.004, 0.01, 0.1):
            within(main(pause))

    def test_a_slow_reader_gets_everything(self, log):
        """A reader that is slower than the writer misses no event."""
        setup_orchestrator_logging(log_file=log, max_bytes=5000, backup_count=50)

        async def main():
            found = []
            async with contextlib.aclosing(stream_orchestrator_events()) as stream:
                async for event in stream:
                    found.append(event["number"])
                    for number in range(len(found) * 3 - 2, min(len(found) * 3 + 1, 300)):
                        log_orchestrator_event("a", number=number)
                    if event["number"] == 299:
                        break
            return found

        log_orchestrator_event("a", number=0)

        assert within(main()) == list(range(300))


class TestBehindAQueue:
    def listen(self, waiting, path):
        target = EventFileHandler(path, delay=True)
        target.setFormatter(EventFormatter())
        listener = logging.handlers.QueueListener(waiting, target)
        listener.start()
        return listener, target

    def test_events_come_out_whole(self, tmp_path):
        """Fields, refused names, exceptions and the emitting thread's trace id survive a queue."""
        from chora_logging.writing.queue_handler import EventQueueHandler

        waiting: queue.Queue = queue.Queue()
        logger().addHandler(EventQueueHandler(waiting))
        logger().setLevel(logging.INFO)
        listener, target = self.listen(waiting, tmp_path / "orch.log")

        def work(number):
            with trace_context(f"trace-{number}"):
                log_orchestrator_event("a", task_id=number, name="n", args=[1], nested={"b": 2})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with trace_context("failing"):
            try:
                raise ValueError("no")
            except ValueError:
                logger().exception("failed", extra={"event": "failed"})
        logger().info({"event": "from-dict", "value": {"deep": [1]}})
        listener.stop()
        target.close()

        *works, failed, from_dict = lines(tmp_path / "orch.log")
        assert all(event["trace_id"] == f"trace-{event['task_id']}" for event in works)
        assert all((event["name"], event["args"]) == ("n", [1]) for event in works)
        assert all(event["nested"] == {"b": 2} for event in works)
        assert len(works) == 8
        assert failed["trace_id"] == "failing"
        assert "ValueError: no" in str(failed["exception"])
        assert failed["message"] == "failed"
        assert from_dict["value"] == {"deep": [1]}
        assert from_dict["event"] == "from-dict"

    def test_the_dictConfig_form(self, tmp_path):
        """A queue from dictConfig (since Python 3.12; made by hand before) works for both event systems."""
        from chora_logging.telemetry import ContentGeneratedEvent, EventEmitter
        from chora_logging.writing.queue_handler import EventQueueHandler

        target = {
            "class": "chora_logging.EventFileHandler",
            "filename": str(tmp_path / "all.jsonl"),
            "formatter": "event",
        }
        config = {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"event": {"()": "chora_logging.EventFormatter"}},
            "handlers": {"file": target},
            "root": {"level": "INFO"},
        }
        if sys.version_info >= (3, 12):
            config["handlers"]["queue"] = {
                "class": "chora_logging.EventQueueHandler",
                "handlers": ["file"],
            }
            config["root"]["handlers"] = ["queue"]
            logging.config.dictConfig(config)
            listener = logging.getHandlerByName("queue").listener
        else:
            logging.config.dictConfig(config)
            waiting: queue.Queue = queue.Queue()
            logging.getLogger().addHandler(EventQueueHandler(waiting))
            listener = logging.handlers.QueueListener(waiting, logging._handlers["file"])
        listener.start()
        event = ContentGeneratedEvent(
            content_config_id="a", generator_type="b", status="error", duration_ms=1
        )
        with trace_context("t"), EventEmitter(tmp_path / "own.jsonl") as emitter:
            emitter.emit(event)
            log_orchestrator_event("a", task_id="task", filename="mine")
        listener.stop()
        for handler in listener.handlers:
            handler.close()

        first, second = lines(tmp_path / "all.jsonl")
        assert first == lines(tmp_path / "own.jsonl")[0] == event.model_dump()
        assert (second["event"], second["filename"], second["trace_id"]) == ("a", "mine", "t")
