"""Logger classes, record factories, filters and handlers of the program, and tools that patch `logging`."""

from __future__ import annotations

import functools
import json
import logging

import pytest

from chora_logging import EventEmitter, log_orchestrator_event, trace_context
from chora_logging.schema import ORCHESTRATOR_LOGGER, TELEMETRY_LOGGER
from chora_logging.telemetry import ContentGeneratedEvent
from tests.accounting import events_of
from tests.records import Proxy

NAMES = (ORCHESTRATOR_LOGGER, TELEMETRY_LOGGER)


class Demanding(logging.Logger):
    """Makes records only with a request's id in `extra`."""

    def makeRecord(self, *args, **kwargs):
        raise TypeError("request_id is missing")


class Refusing(logging.Logger):
    """Raises for each record."""

    def handle(self, record):
        raise ValueError("no")


class Failing(logging.Handler):
    """Raises for each record, past the standard library's `handleError`."""

    def handle(self, record):
        raise ValueError("no")


def fail(*args, **kwargs):
    """Raise, as a filter or a record factory with a bug does."""
    raise ValueError("no")


@pytest.fixture
def use_class(monkeypatch):
    """Give both loggers another class, as `logging.setLoggerClass` does before they are first used."""

    def use(kind):
        for name in NAMES:
            monkeypatch.setattr(logging.getLogger(name), "__class__", kind)

    return use


@pytest.fixture
def events(tmp_path, monkeypatch):
    """Emit three events of each kind; give the numbers of written ones."""
    file = tmp_path / "events.jsonl"
    log = tmp_path / "orch.log"
    monkeypatch.setenv("ORCH_LOG_FILE", str(log))
    emitter = EventEmitter(file)
    for name in NAMES:
        logging.getLogger(name).setLevel("INFO")

    def emit():
        for _ in range(3):  # the slow path and the fast path
            emitter.emit(event())
            log_orchestrator_event("task_started", task_id="t")
        return len(events_of(file)), len(events_of(log)) if log.exists() else 0

    yield emit
    emitter.close()


def event():
    """A typed event."""
    return ContentGeneratedEvent(
        content_config_id="c", generator_type="g", duration_ms=1, status="success", trace_id="t"
    )


class TestWhatRaises:
    """Neither call raises what others' code raises; it is reported as `logging` reports errors."""

    def test_a_logger_class_that_needs_arguments(self, events, use_class, capsys):
        """A logger class whose `makeRecord` raises costs no event and no error is printed."""
        use_class(Demanding)

        assert events() == (3, 3)
        assert capsys.readouterr().err == ""

    def test_a_record_factory_that_raises(self, events, monkeypatch, capsys):
        """A record factory that raises costs no event."""
        monkeypatch.setattr(logging, "_logRecordFactory", fail)

        assert events() == (3, 3)
        assert capsys.readouterr().err == ""

    def test_a_handler_that_raises(self, events, capsys):
        """A handler that raises is reported on stderr; typed events are written before it."""
        for name in NAMES:
            logging.getLogger(name).addHandler(Failing())
        written, _ = events()

        assert written == 3
        assert capsys.readouterr().err.count("--- Logging error ---") == 6

    def test_a_filter_that_raises(self, events, capsys):
        """The same holds for a filter of the logger."""
        for name in NAMES:
            logging.getLogger(name).addFilter(fail)
            logging.getLogger(name).addHandler(logging.NullHandler())
        written, _ = events()

        assert written == 3
        assert capsys.readouterr().err.count("--- Logging error ---") == 6

    def test_a_logger_class_that_raises(self, events, use_class, capsys):
        """A logger class whose `handle` raises is reported."""
        use_class(Refusing)
        written, _ = events()

        assert written == 3
        assert capsys.readouterr().err.count("ValueError: no") == 6

    def test_errors_are_not_printed_on_request(self, events, use_class, capsys, monkeypatch):
        """`logging.raiseExceptions = False` silences the report, as everywhere in `logging`."""
        monkeypatch.setattr(logging, "raiseExceptions", False)
        use_class(Refusing)
        events()

        assert capsys.readouterr().err == ""

    def test_a_log_that_cannot_be_made(self, tmp_path, monkeypatch):
        """Saying that the default log cannot be made raises nothing either."""
        monkeypatch.setenv("ORCH_LOG_FILE", str(tmp_path))
        monkeypatch.setattr(logging, "_logRecordFactory", fail)

        log_orchestrator_event("task_started")

    def test_an_event_that_refuses_its_trace_id(self, tmp_path):
        """An event whose class does not let its trace id be set is written with it all the same."""

        class Fixed(ContentGeneratedEvent):
            def __setattr__(self, name, value):
                raise AttributeError("no")

        with EventEmitter(tmp_path / "events.jsonl") as emitter, trace_context("t"):
            emitter.emit(Fixed(content_config_id="c", generator_type="g", duration_ms=1, status="success"))

        assert events_of(tmp_path / "events.jsonl")[0]["trace_id"] == "t"

    def test_a_proxy_of_an_event(self, tmp_path):
        """What stands for an event is refused: it would be written as text."""
        with EventEmitter(tmp_path / "events.jsonl") as emitter, pytest.raises(TypeError, match="got Proxy"):
            emitter.emit(Proxy(event()))


class Wrapped:
    """Wraps as wrapt, and so New Relic and Datadog, do: its attributes are those of the function in it."""

    def __init__(self, original, wrapper):
        self.__wrapped__ = original
        self._wrapper = wrapper

    def __get__(self, logger, owner=None):
        return Wrapped(self.__wrapped__.__get__(logger, owner), functools.partial(self._wrapper, logger))

    def __getattr__(self, name):
        return getattr(self.__wrapped__, name)

    def __call__(self, *args):
        return self._wrapper(*args)


class TestWhatWatches:
    """Tools that patch `logging`, as Sentry does, see every event once."""

    @pytest.fixture(params=["function", "object"])
    def as_wrapper(self, request):
        """Make what a tool puts in the place of a method."""
        if request.param == "function":
            return lambda original, wrapper: functools.wraps(original)(wrapper)
        return Wrapped

    @pytest.fixture(params=["callHandlers", "handle"])
    def seen(self, request, monkeypatch, as_wrapper):
        """The events that a tool sees which has wrapped a method of `logging.Logger`."""
        found = []
        original = getattr(logging.Logger, request.param)

        def watched(logger, record):
            if logger.name in NAMES:
                message = record.msg
                found.append(message.event_type if logger.name == TELEMETRY_LOGGER else record.event)
            return original(logger, record)

        monkeypatch.setattr(logging.Logger, request.param, as_wrapper(original, watched))
        return found

    @pytest.mark.parametrize("handled", [True, False])
    def test_every_event_is_seen(self, events, seen, handled):
        """With and without handlers in the logging tree."""
        logging.getLogger(TELEMETRY_LOGGER).propagate = handled  # pytest has handlers on the root logger
        events()

        assert seen == ["chora.content_generated", "task_started"] * 3

    def test_a_patched_logger(self, events, monkeypatch):
        """A method that a test has replaced on the logger itself is called."""
        found = []
        logging.getLogger(TELEMETRY_LOGGER).propagate = False
        monkeypatch.setattr(logging.getLogger(TELEMETRY_LOGGER), "handle", found.append)
        events()

        assert [json.loads(record.msg.model_dump_json())["trace_id"] for record in found] == ["t"] * 3

    def test_without_handlers_nothing_is_printed(self, tmp_path, capsys):
        """An error event is not printed by the handler of last resort while nothing listens."""
        logging.getLogger(TELEMETRY_LOGGER).propagate = False
        emitted = event().model_copy(update={"status": "error"})
        with EventEmitter(tmp_path / "errors.jsonl") as emitter:
            for _ in range(3):
                emitter.emit(emitted)

        assert capsys.readouterr().err == ""
