"""EventQueueHandler: records behind a queue are written as they would be without it."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import logging.config
import logging.handlers
import multiprocessing
import pickle
import queue
import sys
import threading

import pytest

from chora_logging.context import TraceIdFilter, trace_context
from chora_logging.errors import ConfigurationError
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.writing.queue_handler import EventQueueHandler, FrozenRecord
from tests.records import Event, Raises, record_of, strict


class Lines(logging.Handler):
    """Collects the lines of its records, formatted and filtered as by the file handler."""

    def __init__(self, formatter=None):
        super().__init__()
        self.lines = []
        self.setFormatter(formatter or EventFormatter())
        self.addFilter(TraceIdFilter())

    def emit(self, record):
        self.lines.append(strict(self.format(record)))


@contextlib.contextmanager
def queued(logger_name="queued", through=None, formatter=None, **options):
    """Return a logger before a queue, and the handler behind it."""
    through = through or queue.Queue()
    target = Lines(formatter)
    listener = logging.handlers.QueueListener(through, target)
    logger = logging.getLogger(logger_name)
    logger.addHandler(EventQueueHandler(through, **options))
    logger.setLevel("INFO")
    logger.propagate = False
    listener.start()
    try:
        yield logger, target
    finally:
        listener.stop()


def direct(log):
    """Return the lines that *log* gives without a queue."""
    target = Lines()
    logger = logging.getLogger("queued")
    logger.addHandler(target)
    logger.setLevel("INFO")
    logger.propagate = False  # pytest's own handler raises where a message cannot be formatted
    log(logger)
    logger.removeHandler(target)
    return target.lines


def failing(logger):
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("failed %s", 1, stack_info=True, extra={"k": 1})


CALLS = {
    "arguments": lambda log: log.info("%s-%d", "a", 1, extra={"task_id": "t", "n": {"a": [1, (2,)]}}),
    "dict": lambda log: log.info({"event": "e", "n": {1, 1}, "trace_id": "own"}, extra={"b": 2}),
    "wrong arguments": lambda log: log.info("%d", "x", extra={"b": 2}),
    "mapping": lambda log: log.info("m", {"a": 1}),
    "exception": failing,
    "event": lambda log: log.info(Event(None)),
    "event with more": lambda log: log.info(Event("t"), extra={"more": 1}),
    "object": lambda log: log.info(ValueError("x")),
}


class TestSameLine:
    """Through a queue as without one."""

    @pytest.mark.parametrize("log", CALLS.values(), ids=CALLS)
    def test_as_without_a_queue(self, log):
        """Message, fields, exception and stack are the same, except for the time."""
        with trace_context("mine"):
            expected = direct(log)
            with queued() as (logger, target):
                log(logger)

        for line in (*expected, *target.lines):
            line.pop("timestamp", None)
            # The call itself stands in another line of this file.
            line.pop("stack_info", None), line.pop("exception", None)
        assert target.lines == expected

    def test_exception_keeps_its_field(self):
        """The traceback is in `exception` and not in the message."""
        with queued() as (logger, target):
            failing(logger)
        line = target.lines[0]

        assert line["message"] == "failed 1"
        assert line["exception"].endswith("ValueError: boom")
        assert "failing" in line["stack_info"]

    def test_options_behind_the_queue_hold(self):
        """Arrays, chosen fields and names work behind the queue."""
        formatter = EventFormatter(["levelname", "message"], exc_info_as_array=True)
        with queued(formatter=formatter) as (logger, target):
            failing(logger)

        assert target.lines[0]["levelname"] == "ERROR"
        assert target.lines[0]["exc_info"][-1] == "ValueError: boom"

    def test_other_formatters_read_it(self):
        """The standard library's formatter behind the queue finds message and traceback."""
        record = EventQueueHandler(queue.Queue()).prepare(record_of("a %s", "b"))
        event = EventQueueHandler(queue.Queue()).prepare(record_of(Event("t")))

        assert logging.Formatter("%(levelname)s %(message)s").format(record) == "INFO a b"
        assert logging.Formatter().format(event) == Event("t").model_dump_json()


class TestTraceId:
    """The trace id is that of the caller."""

    def test_is_that_of_the_emitting_thread(self):
        """The listener's thread has no context, and the lines still have the trace id."""
        with queued() as (logger, target):
            threads = [
                threading.Thread(target=trace_context(f"t{number}")(logger.info), args=("m",))
                for number in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert {line["trace_id"] for line in target.lines} == {f"t{number}" for number in range(8)}

    def test_none_stays_none(self, monkeypatch):
        """A record logged without an id gets none behind the queue, whatever is current there."""
        handler = EventQueueHandler(queue.Queue())
        frozen = handler.prepare(record_of())
        monkeypatch.setenv("CHORA_TRACE_ID", "the listener's")
        with trace_context("the listener's"):
            TraceIdFilter().filter(frozen)
            frozen = handler.prepare(frozen)

        assert frozen.trace_id is None

    def test_explicit_id_wins(self):
        """An id on the record, in a dict or in an event is used."""
        handler = EventQueueHandler(queue.Queue())
        with trace_context("context"):
            assert handler.prepare(record_of(trace_id="extra")).trace_id == "extra"
            assert handler.prepare(record_of({"trace_id": "dict"})).trace_id == "dict"
            assert handler.prepare(record_of(Event("event"))).trace_id == "event"


class TestFreezing:
    """The caller's objects are copied as plain values."""

    def test_record_is_left_as_it_was(self):
        """Other handlers see the record and its fields unchanged."""
        record = record_of("m %s", 1, k={"a": {1}}, generator=iter([1]))
        before = copy.copy(record.__dict__)
        EventQueueHandler(queue.Queue()).prepare(record)

        assert record.__dict__ == before
        assert next(record.generator) == 1

    def test_later_changes_do_not_show(self):
        """A snapshot: later changes to the object are not in the line."""
        fields, message = {"a": [1]}, {"b": [1]}
        handler = EventQueueHandler(queue.Queue())
        frozen = handler.prepare(record_of(message, k=fields))
        fields["a"].append(2)
        message["b"].append(2)

        assert (frozen.k, frozen.msg) == ({"a": [1]}, {"b": [1]})

    @pytest.mark.parametrize(
        "make",
        [
            lambda: record_of(lock=threading.Lock(), generator=(n for n in [1]), local=lambda: 1),
            lambda: record_of(Raises(), bad=Raises(), text="\ud800"),
            lambda: record_of("%s", Raises()),
            lambda: record_of({"lock": threading.Lock()}),
            lambda: record_of(Event("t"), cycle=sys.modules),
            lambda: record_of(exc_info=(Raises, Raises(), None)),
            lambda: type("Local", (logging.LogRecord,), {})("a", 20, "", 1, "m", (), None),
        ],
        ids=range(7),
    )
    def test_everything_can_be_pickled(self, make):
        """Locks, generators, local classes and objects that raise cross a process boundary."""
        frozen = EventQueueHandler(queue.Queue()).prepare(make())
        copied = pickle.loads(pickle.dumps(frozen))

        assert type(copied) is FrozenRecord
        assert strict(EventFormatter().format(copied)) == strict(EventFormatter().format(frozen))

    def test_json_default_is_asked_before_the_queue(self):
        """Objects are replaced by the value that the handler's json_default returns."""
        with queued(json_default=lambda value: [value.real, value.imag]) as (logger, target):
            logger.info("m", extra={"z": 1j})

        assert target.lines[0]["z"] == [0.0, 1.0]

    def test_record_that_cannot_be_frozen(self, monkeypatch):
        """If freezing fails, the essentials are passed on with the reason."""
        monkeypatch.setattr(EventQueueHandler, "_frozen", lambda *_: 1 / 0)
        frozen = EventQueueHandler(queue.Queue()).prepare(record_of("m", k=1))
        line = strict(EventFormatter().format(frozen))

        assert (line["level"], line["logger"], line["message"]) == ("INFO", "app", "m")
        assert line["format_error"].startswith("ZeroDivisionError")

    def test_event_that_cannot_write_itself(self):
        """An event whose JSON fails crosses as its attributes."""

        class Broken(Event):
            def model_dump_json(self):
                raise ValueError("cannot")

        frozen = EventQueueHandler(queue.Queue()).prepare(record_of(Broken("t")))

        assert strict(EventFormatter().format(frozen))["trace_id"] == "t"

    def test_full_queue_is_logging_s_own_affair(self, capsys):
        """A full queue raises nothing into the caller; the error goes to handleError."""
        told = []
        handler = EventQueueHandler(queue.Queue(maxsize=1))
        handler.handleError = told.append
        for _ in range(2):
            handler.handle(record_of())

        assert len(told) == 1


def work_in_a_process(through, number):
    """Log as a worker process does; at module level so that it can be spawned."""
    logger = logging.getLogger("worker")
    logger.addHandler(EventQueueHandler(through))
    logger.setLevel("INFO")
    with trace_context(f"worker-{number}"):
        for index in range(50):
            logger.info("%s", index, extra={"index": index, "lock": threading.Lock()})
        failing(logger)


class TestProcesses:
    """A multiprocessing queue."""

    def test_spawned_workers(self):
        """Every record of spawned workers comes out once, in order, under the worker's trace id."""
        context = multiprocessing.get_context("spawn")
        through = context.Queue()
        target = Lines()
        listener = logging.handlers.QueueListener(through, target)
        listener.start()
        workers = [context.Process(target=work_in_a_process, args=(through, n)) for n in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        listener.stop()
        through.close()
        through.join_thread()

        assert [worker.exitcode for worker in workers] == [0, 0]
        for number in range(2):
            lines = [line for line in target.lines if line["trace_id"] == f"worker-{number}"]
            assert [line.get("index") for line in lines] == [*range(50), None]
            assert lines[-1]["exception"].endswith("ValueError: boom")


class TestConfiguration:
    """As code and dictConfig give it."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"queue": None}, "queue must be a queue with put_nowait, as queue.SimpleQueue() is, got None"),
            ({"queue": queue.SimpleQueue(), "json_default": 5}, "json_default must be callable, got 5"),
        ],
    )
    def test_bad_input(self, arguments, message):
        """It is refused at construction, not by a logging call."""
        with pytest.raises(ConfigurationError) as caught:
            EventQueueHandler(**arguments)

        assert str(caught.value) == message

    def test_a_transport_of_ones_own(self):
        """A subclass that sends records in its own way may have anything for a queue."""

        class Sender(EventQueueHandler):
            def enqueue(self, record):
                self.queue.append(record)

        handler = Sender([])
        handler.handle(record_of("m"))

        assert [record.msg for record in handler.queue] == ["m"]

    def config(self, path, handler):
        return {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"event": {"()": "chora_logging.EventFormatter"}},
            "filters": {"trace": {"()": "chora_logging.TraceIdFilter"}},
            "handlers": {
                "file": {
                    "class": "logging.FileHandler",
                    "filename": str(path),
                    "formatter": "event",
                    "filters": ["trace"],
                },
                "queue": handler,
            },
            "loggers": {"configured": {"handlers": ["queue"], "level": "INFO"}},
        }

    def logged(self, path, listener):
        listener.start()
        with trace_context("mine"):
            logging.getLogger("configured").info({"event": "e"}, extra={"k": 1})
        listener.stop()
        for handler in listener.handlers:
            handler.close()
        return [json.loads(line) for line in path.read_text().splitlines()]

    def test_dict_config(self, tmp_path):
        """The queue form of 3.12 and later; before it, the listener is made by hand."""
        path = tmp_path / "log"
        if sys.version_info >= (3, 12):
            handler = {
                "class": "chora_logging.EventQueueHandler",
                "handlers": ["file"],
                "respect_handler_level": True,
            }
            logging.config.dictConfig(self.config(path, handler))
            listener = logging.getHandlerByName("queue").listener
        else:
            handler = {"()": "chora_logging.EventQueueHandler", "queue": {"()": "queue.Queue"}}
            handler["queue"] = queue.Queue()
            logging.config.dictConfig(self.config(path, handler))
            target = logging._handlers["file"]
            listener = logging.handlers.QueueListener(
                logging.getLogger("configured").handlers[0].queue, target
            )

        (line,) = self.logged(path, listener)

        assert (line["trace_id"], line["event"], line["k"]) == ("mine", "e", 1)
