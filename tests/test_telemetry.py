"""Typed events: their models, and the emitter that writes them."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import errno
import fcntl
import gzip
import json
import logging
import logging.handlers
import multiprocessing
import os
import pickle
import queue
import re
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone

import pydantic
import pytest

from chora_logging import schema
from chora_logging.context import trace_context
from chora_logging.errors import ConfigurationError
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.telemetry import (
    ArtifactAssembledEvent,
    ContentGeneratedEvent,
    EventEmitter,
    TelemetryEvent,
    ValidationCompletedEvent,
    emit_event,
    event_emitter,
    get_emitter,
)
from chora_logging.writing.handler import EventFileHandler


class ToolCalled(TelemetryEvent):
    event_type: str = "gateway.tool_called"
    tool: str


class FrozenEvent(TelemetryEvent):
    model_config = pydantic.ConfigDict(frozen=True)

    event_type: str = "workflow.frozen"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Each test has a working directory and a shared emitter of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(event_emitter, "_shared", {})


@pytest.fixture
def emitter(tmp_path):
    with EventEmitter(tmp_path / "events.jsonl") as made:
        yield made


def content(number=0, **fields):
    return ContentGeneratedEvent(
        **{
            "content_config_id": f"config-{number}",
            "generator_type": "jinja2",
            "status": "success",
            "duration_ms": number,
            **fields,
        }
    )


def lines_of(emitter):
    return emitter.events_file.read_text(encoding="utf-8").splitlines()


class Collecting(logging.Handler):
    """Keeps the records that it gets."""

    def __init__(self, level=logging.NOTSET):
        super().__init__(level)
        self.records = []

    def emit(self, record):
        self.records.append(record)


class TestModels:
    def test_content_generated_fields_in_order(self):
        """A ContentGeneratedEvent has the fields of the file format, in its order."""
        assert list(json.loads(content().model_dump_json())) == [
            "timestamp",
            "trace_id",
            "event_type",
            "content_config_id",
            "generator_type",
            "status",
            "duration_ms",
            "error_message",
        ]

    def test_artifact_assembled_fields_in_order(self):
        """An ArtifactAssembledEvent has the fields of the file format, in its order."""
        event = ArtifactAssembledEvent(
            artifact_config_id="readme-full", section_count=2, status="success", duration_ms=45
        )

        assert event.event_type == "chora.artifact_assembled"
        assert list(event.model_dump()) == [
            "timestamp",
            "trace_id",
            "event_type",
            "artifact_config_id",
            "section_count",
            "output_path",
            "status",
            "duration_ms",
            "error_message",
        ]

    def test_validation_completed_fields_in_order(self):
        """A ValidationCompletedEvent has the same order: time, subject, outcome."""
        event = ValidationCompletedEvent(
            content_config_id="a",
            validation_passed=False,
            rule_count=3,
            status="error",
            duration_ms=1,
        )

        assert event.event_type == "chora.validation_completed"
        assert list(event.model_dump()) == [
            "timestamp",
            "trace_id",
            "event_type",
            "content_config_id",
            "validation_passed",
            "rule_count",
            "status",
            "duration_ms",
            "error_message",
        ]

    def test_a_subclass_appends_its_fields(self):
        """A user's event has the common fields first, then its own."""
        event = ToolCalled(status="success", tool="search")

        assert list(event.model_dump()) == ["timestamp", "trace_id", "event_type", "status", "tool"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"generator_type": 123},
            {"duration_ms": -1},
            {"duration_ms": "soon"},
            {"status": "maybe"},
            {"content_config_id": None},
            {"event_type": "chora.other"},
            {"timestamp": "yesterday"},
        ],
        ids=lambda fields: next(iter(fields)),
    )
    def test_an_invalid_event_is_refused_at_construction(self, fields):
        """An invalid field raises pydantic's ValidationError."""
        with pytest.raises(pydantic.ValidationError, match=next(iter(fields))):
            content(**fields)

    def test_the_timestamp_is_now_in_utc_at_a_fixed_width(self):
        """Without a timestamp an event has the current time, with microseconds and a Z."""
        before = datetime.now(timezone.utc)
        stamp = content().timestamp

        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp)
        assert before <= datetime.fromisoformat(stamp[:-1] + "+00:00") <= before + timedelta(minutes=1)

    def test_a_datetime_becomes_utc(self):
        """A datetime with a zone is converted, and keeps its width without microseconds."""
        moment = datetime(2025, 10, 17, 14, 0, tzinfo=timezone(timedelta(hours=2)))

        assert content(timestamp=moment).timestamp == "2025-10-17T12:00:00.000000Z"

    def test_a_naive_datetime_is_local_time(self):
        """A datetime without a zone is local time, as in Python."""
        moment = datetime(2025, 10, 17, 14, 0)

        assert content(timestamp=moment).timestamp == content(timestamp=moment.astimezone()).timestamp

    def test_a_timestamp_as_text_is_kept(self):
        """A valid string is not rewritten."""
        assert content(timestamp="2025-10-17T12:00:00.123Z").timestamp == "2025-10-17T12:00:00.123Z"

    def test_events_are_known_by_their_mark(self):
        """The formatter's mark is on the class and on every subclass."""
        assert getattr(TelemetryEvent, schema.EVENT_MARK) is True
        assert getattr(ToolCalled, schema.EVENT_MARK) is True

    def test_events_survive_pickling(self):
        """An event comes back from a worker process as it was."""
        event = content(trace_id="a")

        assert pickle.loads(pickle.dumps(event)) == event


class TestEmit:
    def test_the_folder_is_made_at_construction_and_the_file_by_the_first_event(self, tmp_path):
        """Constructing an emitter creates the folder but no file."""
        emitter = EventEmitter(tmp_path / "a" / "b" / "events.jsonl")

        assert (tmp_path / "a" / "b").is_dir()
        assert not emitter.events_file.exists()

        emitter.emit(content())

        assert emitter.events_file.exists()

    @pytest.mark.parametrize("as_type", [str, lambda path: path], ids=["str", "Path"])
    def test_a_relative_path_is_resolved_at_construction(self, tmp_path, monkeypatch, as_type):
        """The file stays where it was when the working directory changes."""
        emitter = EventEmitter(as_type(tmp_path.__class__("sub/events.jsonl")))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")

        emitter.emit(content())

        assert emitter.events_file == tmp_path / "sub" / "events.jsonl"
        assert len(emitter.read_events()) == 1

    def test_the_default_file(self, tmp_path):
        """Without a path the file is var/telemetry/events.jsonl below the working directory."""
        assert EventEmitter().events_file == tmp_path / "var" / "telemetry" / "events.jsonl"

    def test_a_line_is_the_events_own_json(self, emitter):
        """The line in the file is model_dump_json, byte for byte."""
        event = content(error_message="ünï\u2028code")

        emitter.emit(event)

        assert emitter.events_file.read_bytes() == event.model_dump_json().encode() + b"\n"

    def test_an_explicit_trace_id_wins(self, emitter, monkeypatch):
        """An event with a trace id keeps it, whatever the current one is."""
        monkeypatch.setenv("CHORA_TRACE_ID", "from-environment")

        with trace_context("from-context"):
            emitter.emit(content(trace_id="its-own"))

        assert emitter.read_events()[0]["trace_id"] == "its-own"

    def test_the_context_wins_over_the_environment(self, emitter, monkeypatch):
        """The trace id has the same sources as in TraceIdFilter."""
        monkeypatch.setenv("CHORA_TRACE_ID", "from-environment")
        event, other = content(1), content(2)

        with trace_context("from-context"):
            emitter.emit(event)
        emitter.emit(other)

        assert [found["trace_id"] for found in emitter.read_events()] == [
            "from-context",
            "from-environment",
        ]
        assert event.trace_id == "from-context"

    def test_without_any_trace_the_id_is_null(self, emitter):
        """The trace id of an event outside of any trace is null."""
        emitter.emit(content())

        assert emitter.read_events()[0]["trace_id"] is None

    def test_an_active_span_gives_the_trace_id(self, emitter):
        """The trace id of an OpenTelemetry span is used; the line has no span id."""
        from opentelemetry.sdk.trace import TracerProvider

        with TracerProvider().get_tracer("test").start_as_current_span("work") as span:
            emitter.emit(content())

        event = emitter.read_events()[0]
        assert event["trace_id"] == f"{span.get_span_context().trace_id:032x}"
        assert "span_id" not in event

    def test_a_frozen_event_is_written_with_the_trace_id_too(self, emitter):
        """An immutable event is written as a copy with the id."""
        event = FrozenEvent(status="success")

        with trace_context("t"):
            emitter.emit(event)

        assert emitter.read_events()[0]["trace_id"] == "t"
        assert event.trace_id is None

    def test_what_is_not_an_event_is_refused(self, emitter):
        """Anything but a TelemetryEvent is a TypeError that names its type."""
        with pytest.raises(TypeError, match="event must be a TelemetryEvent, got dict"):
            emitter.emit({"event_type": "a"})

    def test_a_deleted_file_is_made_anew(self, emitter):
        """The next emit notices a deleted file and creates a new one."""
        emitter.emit(content(1))
        emitter.events_file.unlink()
        emitter.emit(content(2))

        assert [event["duration_ms"] for event in emitter.read_events()] == [2]

    def test_a_replaced_file_is_noticed(self, emitter):
        """A file that was moved away gets no further events."""
        emitter.emit(content(1))
        moved = emitter.events_file.rename(emitter.events_file.with_name("moved"))
        emitter.emit(content(2))

        assert len(moved.read_text().splitlines()) == 1
        assert json.loads(lines_of(emitter)[0])["duration_ms"] == 2

    def test_levels_and_disabled_loggers_do_not_stop_an_event(self, emitter):
        """The configuration of logging does not affect the emitter's own file."""
        logging.getLogger("chora_events").setLevel(logging.CRITICAL)
        logging.getLogger("chora_events").disabled = True
        logging.disable(logging.CRITICAL)

        emitter.emit(content())

        assert len(lines_of(emitter)) == 1

    def test_emit_after_close_writes(self, emitter):
        """A closed emitter reopens its file, and a second close does nothing."""
        emitter.close()
        emitter.close()
        emitter.emit(content())

        assert len(lines_of(emitter)) == 1

    def test_a_bad_argument_is_named(self, tmp_path):
        """An invalid path or size is an error that names the argument."""
        with pytest.raises(ConfigurationError, match="events_file must be the path of a file"):
            EventEmitter(tmp_path)
        with pytest.raises(ConfigurationError, match="max_bytes must be a number of bytes"):
            EventEmitter(max_bytes="many")


class TestErrors:
    def test_a_full_disk_is_raised(self):
        """emit raises the OSError of a write to a full disk."""
        emitter = EventEmitter("/dev/full")

        with pytest.raises(OSError, match="No space left") as caught:
            emitter.emit(content())

        assert caught.value.errno == errno.ENOSPC

    def test_a_missing_permission_is_raised(self, tmp_path):
        """A folder without write permission raises PermissionError in emit, not in the constructor."""
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o500)
        tmp_path.chmod(0o755)
        for above in tmp_path.parents[:2]:
            above.chmod(0o755)
        child = os.fork()
        if child == 0:
            verdict = 3
            with contextlib.suppress(BaseException):
                if os.geteuid() == 0:
                    os.setgid(65534)
                    os.setuid(65534)
                emitter = EventEmitter(folder / "sub" / "events.jsonl")
                verdict = 2
                try:
                    emitter.emit(content())
                except PermissionError:
                    verdict = 0
            os._exit(verdict)

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_other_handlers_get_an_event_that_could_not_be_written(self):
        """An event whose write failed is still passed on, once."""
        collecting = Collecting()
        logging.getLogger("chora_events").addHandler(collecting)
        logging.getLogger("chora_events").setLevel(logging.INFO)

        with pytest.raises(OSError, match="No space left"):
            EventEmitter("/dev/full").emit(content())

        assert len(collecting.records) == 1

    def test_the_configured_handler_on_the_same_file_does_not_hide_the_error(self):
        """emit raises even if a handler of the logging tree writes to the same file."""
        handler = EventFileHandler("/dev/full", delay=True)
        handler.setFormatter(EventFormatter())
        logging.getLogger("chora_events").addHandler(handler)
        logging.getLogger("chora_events").setLevel(logging.INFO)

        with pytest.raises(OSError, match="No space left"):
            EventEmitter("/dev/full").emit(content())

    def test_the_same_file_by_another_path(self, tmp_path):
        """A handler that reaches the file through a linked folder does not write the event again."""
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        handler = EventFileHandler(tmp_path / "real" / "events.jsonl")
        handler.setFormatter(EventFormatter())
        logging.getLogger("chora_events").addHandler(handler)
        logging.getLogger("chora_events").setLevel(logging.INFO)
        emitter = EventEmitter(tmp_path / "link" / "events.jsonl")
        emitter.emit(content())
        handler.close()

        assert len(lines_of(emitter)) == 1

    @pytest.mark.parametrize("kind", ["hard link", "link that changes"])
    def test_a_file_that_becomes_the_same(self, tmp_path, kind):
        """The file itself decides, not its path: a deployment links `current` to another folder."""
        (tmp_path / "first").mkdir()
        (tmp_path / "second").mkdir()
        current = tmp_path / "current"
        current.symlink_to("first")
        emitter = EventEmitter(current / "events.jsonl")
        emitter.emit(content(1))
        if kind == "hard link":
            os.link(tmp_path / "first" / "events.jsonl", tmp_path / "second" / "events.jsonl")
        else:
            current.unlink()
            current.symlink_to("second")
        handler = EventFileHandler(tmp_path / "second" / "events.jsonl")
        handler.setFormatter(EventFormatter())
        logging.getLogger("chora_events").addHandler(handler)
        logging.getLogger("chora_events").setLevel(logging.INFO)
        emitter.emit(content(2))
        handler.close()

        found = [json.loads(line)["duration_ms"] for line in lines_of(emitter)]
        assert found == ([1, 2] if kind == "hard link" else [2])

    def test_a_handler_gives_the_shared_emitter_its_settings(self, tmp_path):
        """The shared emitter makes files with the permissions and the compression of its handler."""
        log = tmp_path / "events.jsonl"
        handler = EventFileHandler(
            log, delay=True, file_mode=0o600, compress=True, maxBytes=300, backupCount=2
        )
        logging.getLogger("chora_events").addHandler(handler)
        for _ in range(3):
            emit_event(content())
        get_emitter().close()

        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
        assert {path.name for path in tmp_path.iterdir() if path.suffix == ".gz"}

    def test_a_failing_handler_of_others_does_not_reach_the_caller(self, emitter, capsys):
        """The error of an application's handler is reported by logging."""
        broken = logging.StreamHandler()
        broken.stream = None
        logging.getLogger("chora_events").addHandler(broken)
        logging.getLogger("chora_events").setLevel(logging.INFO)

        emitter.emit(content())

        assert len(lines_of(emitter)) == 1
        assert "Logging error" in capsys.readouterr().err

    def test_after_an_outage_only_events_are_in_the_file(self, tmp_path, monkeypatch):
        """The handler's own notices are not written between typed events."""
        emitter = EventEmitter(tmp_path / "events.jsonl")
        emitter.emit(content(1))
        real = os.write
        monkeypatch.setattr(os, "write", lambda *args: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            emitter.emit(content(2))
        monkeypatch.setattr(os, "write", real)

        emitter.emit(content(3))

        assert [event["duration_ms"] for event in emitter.read_events()] == [1, 3]


class TestTheLoggingTree:
    def test_events_reach_handlers_of_the_tree(self, emitter):
        """A handler on chora_events or the root gets the event as the record's message."""
        own, root = Collecting(), Collecting()
        logging.getLogger("chora_events").addHandler(own)
        logging.getLogger().addHandler(root)
        logging.getLogger().setLevel(logging.INFO)
        event, failed = content(), content(status="error")

        emitter.emit(event)
        emitter.emit(failed)

        assert [record.msg for record in own.records] == [event, failed]
        assert [record.levelname for record in root.records] == ["INFO", "ERROR"]
        assert own.records[0].name == "chora_events"

    def test_the_record_says_where_the_event_was_emitted(self, emitter, monkeypatch):
        """Module, function and line are the caller's, through emit and emit_event."""
        collecting = Collecting()
        logging.getLogger("chora_events").addHandler(collecting)
        logging.getLogger("chora_events").setLevel(logging.INFO)
        monkeypatch.setattr(event_emitter, "_shared", {"emitter": emitter})

        emitter.emit(content())
        emit_event(content())

        assert {record.pathname for record in collecting.records} == {__file__}
        assert {record.funcName for record in collecting.records} == {
            "test_the_record_says_where_the_event_was_emitted"
        }

    def test_the_levels_of_the_tree_hold_for_its_handlers(self, emitter):
        """If the level of the tree is WARNING, its handlers get no INFO events."""
        collecting = Collecting()
        logging.getLogger().addHandler(collecting)
        logging.getLogger().setLevel(logging.WARNING)

        emitter.emit(content())
        emitter.emit(content(status="error"))

        assert [record.levelname for record in collecting.records] == ["ERROR"]

    def test_nothing_is_printed_where_nothing_is_configured(self, emitter, capsys):
        """An event with status error is not printed to stderr by logging's last resort."""
        logging.getLogger().handlers[:] = []

        emitter.emit(content(status="error"))

        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("name", ["chora_events", None], ids=["own logger", "root"])
    def test_a_handler_on_the_same_file_does_not_write_twice(self, emitter, name):
        """If a handler of the tree writes to the emitter's file too, each event is there once."""
        handler = EventFileHandler(emitter.events_file, delay=True)
        handler.setFormatter(EventFormatter())
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)

        emitter.emit(content(1))
        logging.getLogger("chora_events").info(content(2))

        assert [event["duration_ms"] for event in emitter.read_events()] == [1, 2]

    def test_a_queue_gets_the_event_with_the_trace_id_of_the_emitter(self, emitter, tmp_path):
        """Behind a queue the event is complete and has the trace id of the emitting thread."""
        from chora_logging.writing.queue_handler import EventQueueHandler

        target = EventFileHandler(tmp_path / "behind.jsonl", delay=True)
        target.setFormatter(EventFormatter())
        waiting: queue.Queue = queue.Queue()
        logger = logging.getLogger("chora_events")
        logger.addHandler(EventQueueHandler(waiting))
        logger.setLevel(logging.INFO)
        listener = logging.handlers.QueueListener(waiting, target)
        listener.start()

        with trace_context("emitting"):
            emitter.emit(content(1))
            logger.info(content(2))
        listener.stop()
        target.close()

        lines = [json.loads(line) for line in (tmp_path / "behind.jsonl").read_text().splitlines()]
        assert [line["duration_ms"] for line in lines] == [1, 2]
        assert [line["trace_id"] for line in lines] == ["emitting", "emitting"]
        assert list(lines[0]) == list(content().model_dump())


class TestReadAndClear:
    def test_nothing_stored(self, emitter):
        """Without a file there are no events, and clear does nothing."""
        emitter.clear()

        assert emitter.read_events() == []

    def test_backups_come_first(self, tmp_path):
        """read_events includes the backups, oldest event first."""
        emitter = EventEmitter(tmp_path / "events.jsonl", max_bytes=1000, backup_count=9)
        for number in range(20):
            emitter.emit(content(number))

        assert len(list(tmp_path.glob("events.jsonl.*"))) > 2
        assert [event["duration_ms"] for event in emitter.read_events()] == list(range(20))

    def test_compressed_backups_are_read(self, emitter):
        """A compressed backup is read like the others."""
        emitter.emit(content(2))
        backup = emitter.events_file.with_name("events.jsonl.1.gz")
        backup.write_bytes(gzip.compress(content(1).model_dump_json().encode() + b"\n"))

        assert [event["duration_ms"] for event in emitter.read_events()] == [1, 2]

    def test_only_one_trace(self, emitter):
        """read_events(trace_id) gives the events of that trace."""
        for number, trace_id in enumerate(["a", "b", None, "a"]):
            emitter.emit(content(number, trace_id=trace_id))

        assert [event["duration_ms"] for event in emitter.read_events("a")] == [0, 3]
        assert emitter.read_events(trace_id="c") == []

    def test_what_is_not_an_event_is_skipped_and_reported(self, emitter, caplog):
        """Blank lines are skipped, malformed ones counted and reported, an incomplete last line ignored."""
        emitter.emit(content(1))
        with emitter.events_file.open("a") as file:
            file.write("\n  \nnot json\n[1, 2]\n" + content(2).model_dump_json() + '\n{"half":')

        assert [event["duration_ms"] for event in emitter.read_events()] == [1, 2]
        assert "skipped 2 lines that are not JSON objects" in caplog.text

    def test_clear_takes_the_backups_too(self, tmp_path):
        """After clear no event is left, and the next emit creates a new file."""
        emitter = EventEmitter(tmp_path / "events.jsonl", max_bytes=1000, backup_count=9)
        for number in range(20):
            emitter.emit(content(number))

        emitter.clear()

        assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == []
        assert emitter.read_events() == []

        emitter.emit(content(99))

        assert [event["duration_ms"] for event in emitter.read_events()] == [99]

    @pytest.mark.parametrize(
        "name", ["events.jsonl-20260101.gz", "events.jsonl.2026-01-01", "events.jsonl.7"]
    )
    def test_clear_leaves_what_others_made(self, tmp_path, name):
        """Files that another tool has made of the log are not ours to delete."""
        emitter = EventEmitter(tmp_path / "events.jsonl", max_bytes=1000, backup_count=3)
        (tmp_path / name).write_bytes(b'{"event": "archived"}\n')
        emitter.emit(content())

        emitter.clear()

        assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == [name]

    def test_clear_while_another_process_holds_the_lock(self, tmp_path, monkeypatch):
        """Nothing is deleted, and the error says why."""
        monkeypatch.setattr(event_emitter, "CLEAR_WAIT_SECONDS", 0.01)
        with EventEmitter(tmp_path / "events.jsonl") as emitter:
            emitter.emit(content(1))
            with open(emitter.events_file, "rb") as holder:
                fcntl.flock(holder, fcntl.LOCK_EX)
                with pytest.raises(TimeoutError, match="is locked by another process: nothing was deleted"):
                    emitter.clear()
            assert [event["duration_ms"] for event in emitter.read_events()] == [1]

    def test_clear_while_others_emit(self, tmp_path):
        """Clearing while threads write neither fails nor stops them."""
        emitter = EventEmitter(tmp_path / "events.jsonl", max_bytes=2000, backup_count=3)
        stop = threading.Event()
        errors = []

        def work():
            try:
                while not stop.is_set():
                    emitter.emit(content())
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(30):
            emitter.clear()
            emitter.read_events()
        stop.set()
        for thread in threads:
            thread.join()
        emitter.clear()

        assert errors == []
        assert emitter.read_events() == []


def emit_many(emitter, worker, count):
    """Emit events in a worker process."""
    for number in range(count):
        emitter.emit(content(number, content_config_id=f"worker-{worker}"))


class TestConcurrency:
    WORKERS, COUNT = 6, 150

    def found(self, emitter):
        numbers = {}
        for event in emitter.read_events():
            numbers.setdefault(event["content_config_id"], []).append(event["duration_ms"])
        return numbers

    def expected(self):
        return {f"worker-{worker}": list(range(self.COUNT)) for worker in range(self.WORKERS)}

    def test_threads(self, tmp_path):
        """Threads lose, double and reorder no event while the file is rotated."""
        emitter = EventEmitter(tmp_path / "events.jsonl", max_bytes=5000, backup_count=500)
        threads = [
            threading.Thread(target=emit_many, args=(emitter, worker, self.COUNT))
            for worker in range(self.WORKERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert self.found(emitter) == self.expected()

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_processes(self, tmp_path, method):
        """Forked and spawned processes with the emitter lose, double and reorder no event."""
        emitter = EventEmitter(tmp_path / "events.jsonl", max_bytes=5000, backup_count=500)
        emitter.emit(content(content_config_id="parent"))
        context = multiprocessing.get_context(method)
        workers = [
            context.Process(target=emit_many, args=(emitter, worker, self.COUNT))
            for worker in range(self.WORKERS)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

        assert [worker.exitcode for worker in workers] == [0] * self.WORKERS
        assert self.found(emitter) == {"parent": [0], **self.expected()}

    def test_tasks_have_their_own_traces(self, emitter):
        """Concurrent tasks each emit with their own trace id."""

        async def work(number):
            with trace_context(f"trace-{number}"):
                await asyncio.sleep(0)
                emitter.emit(content(number))
                await asyncio.to_thread(emitter.emit, content(number))

        async def main():
            await asyncio.gather(*(work(number) for number in range(20)))

        asyncio.run(main())

        events = emitter.read_events()
        assert len(events) == 40
        assert all(event["trace_id"] == f"trace-{event['duration_ms']}" for event in events)

    def test_an_emitter_can_be_copied(self, emitter):
        """A copy and a pickled one write to the same file with the same settings."""
        for other in (copy.copy(emitter), pickle.loads(pickle.dumps(emitter))):
            with other:
                other.emit(content())
                assert other.events_file == emitter.events_file

        assert len(lines_of(emitter)) == 2


class TestTheSharedEmitter:
    def test_it_is_one(self):
        """get_emitter returns the same emitter each time, also to concurrent threads."""
        barrier = threading.Barrier(8)
        found = []

        def ask():
            barrier.wait()
            found.append(get_emitter())

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert all(emitter is get_emitter() for emitter in found)

    def test_its_file_without_settings(self, tmp_path):
        """Without settings its file is the default one."""
        emit_event(content())

        assert get_emitter().events_file == tmp_path / "var" / "telemetry" / "events.jsonl"
        assert len(get_emitter().read_events()) == 1

    def test_its_file_by_environment(self, tmp_path, monkeypatch):
        """It writes to the file of CHORA_EVENTS_FILE."""
        monkeypatch.setenv("CHORA_EVENTS_FILE", "other/events.jsonl")

        emit_event(content())

        assert get_emitter().events_file == tmp_path / "other" / "events.jsonl"

    def test_its_file_by_configuration(self, tmp_path):
        """The file of setup_logging wins, and each event is in it once."""
        from chora_logging.config import setup_logging

        setup_logging(events_file="configured/events.jsonl", console=False)

        emit_event(content())

        assert get_emitter().events_file == tmp_path / "configured" / "events.jsonl"
        assert len(get_emitter().read_events()) == 1

    def test_a_bad_environment_is_named(self, tmp_path, monkeypatch):
        """A folder in CHORA_EVENTS_FILE is an error that names the variable."""
        monkeypatch.setenv("CHORA_EVENTS_FILE", str(tmp_path))

        with pytest.raises(ConfigurationError, match=r"^CHORA_EVENTS_FILE must be the path of a file"):
            get_emitter()

    def test_a_subprocess_carries_the_trace_on(self, tmp_path):
        """A child with child_env emits to the same file with its parent's trace id."""
        from chora_logging.context import child_env

        code = (
            "from chora_logging.telemetry import emit_event, ContentGeneratedEvent as E\n"
            "emit_event(E(content_config_id='c', generator_type='g', status='success', duration_ms=1))"
        )
        with trace_context("workflow-abc123"):
            env = {**child_env(), "PYTHONPATH": os.pathsep.join(sys.path)}
            subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=env)
            emit_event(content())

        assert len(get_emitter().read_events("workflow-abc123")) == 2
