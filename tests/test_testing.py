"""Tests of other programs see what these log: in threads and children, without disturbing anything."""

from __future__ import annotations

import configparser
import importlib
import logging
import logging.config
import os
import pathlib
import subprocess
import sys
import threading
import unittest
from unittest import mock

import pytest

from chora_logging.config import setup_logging
from chora_logging.context import trace_context
from chora_logging.errors import ConfigurationError
from chora_logging.orchestrator import log_orchestrator_event
from chora_logging.telemetry import ContentGeneratedEvent, EventEmitter
from chora_logging.testing import capture_events

shop = logging.getLogger("shop")
ROOT = pathlib.Path(__file__).parent.parent


class TestCapture:
    def test_threads_children_and_typed_events(self, tmp_path):
        """Records of threads and forked processes are captured once each, and typed events too."""
        event = ContentGeneratedEvent(
            content_config_id="c", generator_type="g", status="success", duration_ms=1
        )
        with capture_events(level="INFO") as captured, EventEmitter(tmp_path / "events.jsonl") as emitter:
            threads = [
                threading.Thread(target=shop.warning, args=("%d", n), kwargs={"extra": {"event": "counted"}})
                for n in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            child = os.fork()
            if not child:
                with trace_context("of-the-child"):
                    shop.error("in child", extra={"event": "child_failed", "number": 7})
                os._exit(0)
            os.waitpid(child, 0)
            emitter.emit(event)

        assert sorted(each["message"] for each in captured.find("counted")) == ["0", "1", "2", "3"]
        found = captured.assert_logged("child_failed", trace_id="of-the-child", number=7, level="ERROR")
        assert (found["logger"], found["message"]) == ("shop", "in child")
        assert captured.assert_logged("chora.content_generated")["duration_ms"] == 1
        assert len(captured.events) == 6

    def test_whatever_is_set_up(self, tmp_path, monkeypatch):
        """Loggers that do not propagate and another configuration in the block change nothing."""
        monkeypatch.chdir(tmp_path)
        with capture_events() as captured:
            setup_logging(log_file="app.jsonl", console=False)
            log_orchestrator_event("task_done", task_id="t")
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
            shop.propagate = False
            shop.warning("alone")

        assert captured.assert_logged("task_done")["task_id"] == "t"
        assert captured.assert_logged(message="alone")

    def test_other_handlers_get_what_they_did(self, caplog):
        """The records of others are unchanged, in number, level and attributes; logging is restored."""
        before = logging.Logger.callHandlers
        with capture_events(), capture_events() as inner:
            shop.warning("m")
            shop.info("below the level")

        assert [record.getMessage() for record in caplog.records] == ["m"]
        assert "trace_id" not in caplog.records[0].__dict__
        assert len(inner.events) == 1
        assert logging.Logger.callHandlers is before
        shop.warning("after")
        assert len(inner.events) == 1

    def test_level_and_clock(self):
        """The level of the root logger is set for the block, and the clock gives the time."""
        with capture_events(level="info", clock=lambda: 0.5) as captured:
            shop.info("m")
            captured.set_level("DEBUG")
            shop.debug("m")

        assert {event["timestamp"] for event in captured.events} == {"1970-01-01T00:00:00.500000Z"}
        assert [event["level"] for event in captured.events] == ["INFO", "DEBUG"]
        assert logging.getLogger().level == logging.WARNING
        with pytest.raises(ConfigurationError, match="level must be one of"):
            capture_events(level="loud")

    def test_a_clock_that_cannot_be_called(self):
        """It is refused at construction, not by a logging call."""
        with pytest.raises(ConfigurationError, match="clock must be callable, got 5"):
            capture_events(clock=5)

    def test_a_tool_that_wraps_the_same_method(self):
        """If another tool wraps the method in the block, both see each record once, and later ones too."""
        seen = []
        with pytest.MonkeyPatch.context() as patch:
            with capture_events() as captured:
                wrapped = logging.Logger.callHandlers

                def call(logger, record):
                    seen.append(record.getMessage())
                    wrapped(logger, record)

                patch.setattr(logging.Logger, "callHandlers", call)
                shop.warning("a")
            shop.warning("b")
            with capture_events() as again:
                shop.warning("c")
            patch.undo()
        with capture_events():
            pass

        assert (seen, len(captured.events), len(again.events)) == (["a", "b", "c"], 1, 1)


class TestAssertions:
    def test_values_are_compared_as_in_the_line(self):
        """A tuple is an array of the line; `mock.ANY` is equal to anything, None to a missing field."""
        with capture_events() as captured:
            shop.warning("m", extra={"event": "e", "pair": (1, 2), "price": 1.5})

        captured.assert_logged("e", pair=(1, 2), price=mock.ANY, other=None)
        captured.assert_not_logged("e", price=2)
        with pytest.raises(AssertionError, match=r"1 of the events has event='e':\n  \{"):
            captured.assert_not_logged("e")

    @pytest.mark.parametrize(
        "wrong", [{"one": True}, {"yes": 1}, {"deep": {"a": [True]}}, {"deep": {"a": [1, 2]}}]
    )
    def test_true_is_not_1(self, wrong):
        """What JSON tells apart is not equal, at any depth; 1 and 1.0 are the same number."""
        with capture_events() as captured:
            shop.warning("m", extra={"one": 1, "yes": True, "deep": {"a": (1,)}, "self": 2})

        captured.assert_logged(one=1.0, yes=True, deep={"a": [1]}, self=2)
        captured.assert_not_logged(**wrong)

    def test_a_failure_is_bounded(self):
        """Of a long line, and of a long value, the beginning is shown and the length said."""
        with capture_events() as captured:
            shop.warning("m", extra={"event": "e", "text": "x" * 100_000})

        with pytest.raises(AssertionError, match=r"x… \(100,\d\d\d characters\)") as caught:
            captured.assert_logged("e", text="y" * 100_000)

        assert len(str(caught.value)) < 10_000

    def test_a_failure_shows_the_nearest(self):
        """The message has the events with the fewest differences, and these."""
        with capture_events(clock=lambda: 0) as captured:
            shop.warning("m", extra={"event": "order_placed", "order_id": 8})
            shop.warning("m", extra={"event": "other"})

        with pytest.raises(AssertionError) as caught:
            captured.assert_logged("order_placed", order_id=7, level="WARNING", total=3)

        assert str(caught.value) == (
            "none of the 2 events has event='order_placed' order_id=7 level='WARNING' total=3; nearest:\n"
            '  {"timestamp":"1970-01-01T00:00:00.000000Z","level":"WARNING","logger":"shop",'
            '"event":"order_placed","message":"m","order_id":8}\n'
            "    order_id is 8, not 7\n"
            "    has no total, which should be 3"
        )

    def test_nothing_was_logged(self):
        """Without any event the failure hints at the level."""
        with capture_events() as captured:
            shop.info("below")

        with pytest.raises(
            AssertionError, match=r"^no event was logged; event='e' was expected \(is its level"
        ):
            captured.assert_logged("e")


class TestUnittest(unittest.TestCase):
    def test_as_a_context_of_a_test_case(self):
        """`unittest` uses the context manager by itself."""
        with capture_events() as captured:
            shop.warning("m", extra={"event": "e"})
        self.assertEqual(captured.assert_logged("e")["message"], "m")


class TestPlugin:
    def test_is_registered(self):
        """The entry point of pytest names the module with the fixture."""
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        name, _, module = setup["options.entry_points"]["pytest11"].strip().partition(" = ")

        assert (name, hasattr(importlib.import_module(module), "capture_events")) == ("chora_logging", True)

    def test_the_fixture_and_its_cost(self, tmp_path):
        """The fixture captures a test's events beside `caplog`; unused it loads neither ours nor pydantic."""
        (tmp_path / "test_it.py").write_text(
            "import logging, sys\n"
            "def test_unused():\n"
            "    loaded = {name.split('.')[0] for name in sys.modules}\n"
            "    assert not loaded & {'pydantic', 'msgspec', 'pythonjsonlogger'}\n"
            "    assert 'chora_logging.testing' not in sys.modules\n"
            "def test_used(capture_events, caplog):\n"
            "    capture_events.set_level('INFO')\n"
            "    logging.info('m', extra={'event': 'e'})\n"
            "    assert capture_events.assert_logged(event='e')['message'] == caplog.messages[0] == 'm'\n"
            "def test_next(capture_events):\n"
            "    assert capture_events.events == []\n"
            "    capture_events.assert_logged('nothing')\n"
        )
        command = [sys.executable, "-m", "pytest", "-q", "-p", "chora_logging.pytest_plugin", "-W", "error"]
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

        assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
        assert "no event was logged; event='nothing' was expected" in done.stdout
