"""`optimize=True`: only attributes that a handler may print are collected, and the log lists the others."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chora_logging import speedups

ALL = {"_srcfile", "logThreads", "logProcesses", "logMultiprocessing"} | (
    {"logAsyncioTasks"} if sys.version_info >= (3, 12) else set()
)
CALLER = "_srcfile"
#: Switches are global, so each case runs in its own process and prints the switches that are off at its end.
END = """
import logging
logging.getLogger("app").info("hello")
import json
names = ["_srcfile", "logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"]
print(json.dumps([name for name in names if getattr(logging, name, True) in (None, False)]))
"""
SETUP = "from chora_logging import setup_logging\n"
ASKED = SETUP + "setup_logging(log_file='app.log', optimize=True)\n"
ADDED = (
    "import logging, logging.handlers, queue\nhandler = {}\nlogging.getLogger('other').addHandler(handler)\n"
)


def switched_off(folder, program):
    """The switches that are off at the end of *program*, and the events that the log has."""
    done = subprocess.run(
        [sys.executable, "-c", program + END], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    log = folder / "app.log"
    events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return set(json.loads(done.stdout)), events


def test_not_asked_for(tmp_path):
    """Without the option nothing is switched off."""
    off, _ = switched_off(tmp_path, SETUP + "setup_logging(log_file='app.log')\n")

    assert off == set()


def test_setup_logging(tmp_path):
    """With the option all switches are off, since our formatters print none, and the log lists them."""
    off, events = switched_off(tmp_path, ASKED)

    assert off == ALL
    assert [event["event"] for event in events if "event" in event] == ["logging_optimized"]
    assert set(events[0]["switched_off"]) == ALL
    assert events[-1]["message"] == "hello"


FACTORY = "import logging\nlogging.setLogRecordFactory(type('Own', (logging.LogRecord,), {}))\n"


@pytest.mark.parametrize(
    ("before", "compiled"),
    [
        ("", speedups.in_use),
        (FACTORY, False),
        (ADDED.format("logging.handlers.QueueHandler(queue.Queue())"), False),
    ],
    ids=["nothing else", "a factory of the program's own", "a handler that may print"],
)
def test_compiled_records(tmp_path, before, compiled):
    """With everything off, the compiled factory is set if there is no other, and the log says so."""
    _, events = switched_off(tmp_path, before + ASKED)

    assert events[0]["compiled_records"] is compiled
    assert events[-1]["message"] == "hello"


def test_factory_is_set_once(tmp_path):
    """A second setup keeps the factory, and a wrapper around it."""
    program = ASKED + (
        "import logging\nmade = logging.getLogRecordFactory()\n"
        "logging.setLogRecordFactory(lambda *a, **k: made(*a, **k))\n"
        "wrapper = logging.getLogRecordFactory()\n"
        "setup_logging(log_file='app.log', optimize=True)\n"
        "assert logging.getLogRecordFactory() is wrapper\n"
    )
    off, events = switched_off(tmp_path, program)

    assert off == ALL
    assert [event["compiled_records"] for event in events[:2]] == [speedups.in_use, False]


def test_dict_config(tmp_path):
    """A `dictConfig` of `get_logging_config` does the same at its first record, as JSON too."""
    program = (
        "import json, logging, logging.config\nfrom chora_logging import get_logging_config\n"
        "config = json.loads(json.dumps(get_logging_config(log_file='app.log', optimize=True)))\n"
        "logging.config.dictConfig(config)\n"
        "before = logging._srcfile\nlogging.getLogger('app').info('first')\nassert before\n"
        "assert 'chora_optimizer' not in [handler.name for handler in logging.getLogger().handlers]\n"
    )
    off, events = switched_off(tmp_path, program)

    assert off == ALL
    assert sorted(event["message"].split()[0] for event in events) == ["Switched", "first", "hello"]


@pytest.mark.parametrize(
    ("handler", "formatter", "on"),
    [
        ("logging.StreamHandler()", "logging.Formatter('%(threadName)s %(message)s')", {"logThreads"}),
        ("logging.StreamHandler()", "logging.Formatter('{lineno}', style='{')", {CALLER}),
        ("logging.StreamHandler()", "logging.Formatter()", set()),
        ("logging.StreamHandler()", "EventFormatter(['funcName'])", {CALLER}),
        ("logging.StreamHandler()", "EventFormatter(reserved_attrs=['process'])", ALL - {"logProcesses"}),
        ("logging.StreamHandler()", "type('Own', (EventFormatter,), {})()", ALL),
        ("logging.handlers.QueueHandler(queue.Queue())", "None", ALL),
        ("type('Own', (logging.Handler,), {})()", "None", ALL),
        ("logging.NullHandler()", "None", set()),
        ("BufferedEventFileHandler('b.log')", "EventFormatter()", set()),
    ],
)
def test_what_others_print(tmp_path, handler, formatter, on):
    """Attributes that another handler may print are still collected, and the log names that handler."""
    program = f"from chora_logging import BufferedEventFileHandler, EventFormatter\n{ADDED.format(handler)}"
    program += f"handler.setFormatter({formatter})\n" + ASKED
    off, events = switched_off(tmp_path, program)

    assert off == ALL - on
    assert set(events[0]["kept"]) >= on
