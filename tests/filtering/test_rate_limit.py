"""Records above a rate are counted, and their number is logged: none is lost silently."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from chora_logging.errors import ConfigurationError, UnknownOptionError
from chora_logging.filtering.rate_limit import RateLimitFilter
from chora_logging.formatting.formatter import EventFormatter
from chora_logging.telemetry import ContentGeneratedEvent
from chora_logging.writing.handler import EventFileHandler
from tests.records import Raises, record_of

shop = logging.getLogger("shop")


class Keeping(logging.Handler):
    """Keeps its records."""

    def __init__(self, *filters):
        super().__init__()
        self.records = []
        self.filters += filters
        shop.addHandler(self)
        shop.propagate = False
        shop.setLevel(logging.DEBUG)

    def emit(self, record):
        self.records.append(record)

    def said(self):
        return [record.getMessage() for record in self.records]


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class TestRate:
    def test_by_message_and_event(self):
        """Records are alike by logger, level and event, or by the message before its arguments."""
        handler = Keeping(RateLimitFilter(2, clock=Clock()))
        for number in range(4):
            shop.info("Order %s", number)
            shop.error("Order %s", number)
            shop.info(f"Number {number}", extra={"event": "numbered"})
            shop.info({"event": "dict", "n": number})
            shop.getChild("x").info("Order %s", number)
            shop.info(f"Text {number}")
            shop.info(
                ContentGeneratedEvent(
                    content_config_id="c", generator_type="g", status="success", duration_ms=number
                )
            )

        assert len(handler.records) == 6 * 2 + 4

    def test_the_next_second_begins_with_the_number(self):
        """When the second is over, one record says how many there were, and records pass again."""
        clock = Clock()
        handler = Keeping(RateLimitFilter(1, clock=clock))
        for _ in range(4):
            shop.warning("Disk %s is full", "sda", extra={"event": "disk_full"})
        clock.now += 1
        shop.warning("Disk %s is full", "sda", extra={"event": "disk_full"})

        first, summary, _ = handler.records
        assert handler.said() == [
            "Disk sda is full",
            "3 more records were suppressed within a second: disk_full",
            "Disk sda is full",
        ]
        line = json.loads(EventFormatter().format(summary))
        assert (summary.levelname, summary.name) == (first.levelname, first.name)
        assert (line["event"], line["suppressed"], line["suppressed_event"]) == (
            "records_suppressed",
            3,
            "disk_full",
        )

    def test_several_handlers_decide_once(self):
        """A filter on two handlers counts a record once, and both get the summary."""
        limit = RateLimitFilter(1, clock=Clock())
        one, other = Keeping(limit), Keeping(limit)
        for _ in range(3):
            shop.info("m")
        limit.report()

        assert one.said() == other.said()
        assert one.said() == ["m", "2 more records were suppressed within a second: m"]

    def test_on_a_logger(self):
        """On a logger it limits what all handlers get, which also get the summary."""
        handler = Keeping()
        limit = RateLimitFilter(1, clock=Clock())
        shop.addFilter(limit)
        for _ in range(3):
            shop.info("m")
        limit.report()
        shop.removeFilter(limit)

        assert handler.said() == ["m", "2 more records were suppressed within a second: m"]


class TestNothingIsLost:
    def test_a_quiet_program(self):
        """The number is logged although nothing else is."""
        handler = Keeping(RateLimitFilter(1))
        for _ in range(3):
            shop.info("m")
        until = time.monotonic() + 30
        while len(handler.records) < 2 and time.monotonic() < until:
            time.sleep(0.01)

        assert handler.said() == ["m", "2 more records were suppressed within a second: m"]

    def test_threads(self):
        """Whatever threads log, passed and suppressed records are all that were logged."""
        limit = RateLimitFilter(5)
        handler = Keeping(limit)

        def work():
            for _ in range(300):
                shop.info("m")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        limit.report()

        passed = handler.said().count("m")
        suppressed = sum(getattr(record, "suppressed", 0) for record in list(handler.records))
        assert passed + suppressed == 4 * 300

    def test_the_end_of_processes(self, tmp_path):
        """A program and its forked child each write their number at their end."""
        code = """
import logging, os, sys
from chora_logging import EventFileHandler, EventFormatter, RateLimitFilter
handler = EventFileHandler(sys.argv[1])
handler.setFormatter(EventFormatter())
handler.addFilter(RateLimitFilter(1))
logging.basicConfig(handlers=[handler])
for _ in range(3): logging.error("parent")
child = os.fork()
if not child:
    for _ in range(5): logging.error("child")
    sys.exit()
os.waitpid(child, 0)
"""
        subprocess.run([sys.executable, "-c", code, tmp_path / "app.jsonl"], check=True)

        lines = [json.loads(line) for line in (tmp_path / "app.jsonl").read_text().splitlines()]
        found = {line["suppressed_message"]: line["suppressed"] for line in lines if "suppressed" in line}
        assert found == {"parent": 2, "child": 4}
        assert len(lines) == 4

    def test_many_kinds(self):
        """With very many kinds of records the oldest numbers are logged early; memory is bounded."""
        limit = RateLimitFilter(1, clock=Clock())
        handler = Keeping(limit)
        for _ in range(3):
            shop.info("first")
        for number in range(2000):
            shop.info(f"kind {number}")

        assert handler.said().count("2 more records were suppressed within a second: first") == 1
        assert len(limit._kinds) <= 1024

    def test_objects_that_raise(self):
        """A record that raises when it is looked at passes."""
        record = record_of(Raises())

        assert RateLimitFilter(1).filter(record)

    def test_a_forked_child_does_not_hang(self, tmp_path):
        """A child that is forked while a thread logs can log."""
        limit = RateLimitFilter(1)
        handler = EventFileHandler(tmp_path / "app.jsonl")
        handler.addFilter(limit)
        shop.addHandler(handler)
        with limit._lock:  # as if a thread were in the middle of a record
            child = os.fork()
            if not child:
                logging_thread = threading.Thread(target=shop.error, args=("child",))
                logging_thread.start()
                logging_thread.join(60)
                os._exit(logging_thread.is_alive())
        assert os.waitpid(child, 0)[1] == 0


class TestBadInput:
    @pytest.mark.parametrize("rate", [0, -1, 1.5, "many", None])
    def test_is_refused(self, rate):
        """A rate that is no whole number above 0 is refused in one sentence."""
        with pytest.raises(ConfigurationError, match=r"^rate must be a whole number, 1 or more, got "):
            RateLimitFilter(rate)

    def test_a_clock_that_cannot_be_called(self):
        """It is refused at construction, not by a logging call."""
        with pytest.raises(ConfigurationError, match="clock must be callable, got 5"):
            RateLimitFilter(clock=5)

    def test_an_unknown_option(self):
        """A misspelt option names those that there are."""
        with pytest.raises(UnknownOptionError, match="its options are rate, clock"):
            RateLimitFilter(per=1)
