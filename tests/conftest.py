"""Puts logging and the environment back after each test, ends what it left running, and lets no skip pass."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import warnings
from multiprocessing import forkserver, resource_tracker

import pytest

from tests import leftovers
from tests.needs import NOT_TRIED

VARIABLES = (
    "ORCH_ID",
    "ORCH_LOG_FILE",
    "LOG_LEVEL",
    "LOG_FILE",
    "CHORA_EVENTS_FILE",
    "CHORA_TRACE_ID",
    "TRACEPARENT",
)


NOT_PASSED = pytest.StashKey[bool]()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """No variable of the machine reaches a test."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def logging_as_before():
    """Loggers, handlers, levels and switches are after a test what they were before it."""
    root = logging.getLogger()
    manager = root.manager
    before = dict(manager.loggerDict)
    saved = {
        logger: (logger.handlers[:], logger.filters[:], logger.level, logger.propagate, logger.disabled)
        for logger in [root, *(item for item in before.values() if isinstance(item, logging.Logger))]
    }
    switches = (logging.raiseExceptions, manager.disable, logging.getLoggerClass())
    factory = logging.getLogRecordFactory()

    yield

    current = [root, *(item for item in manager.loggerDict.values() if isinstance(item, logging.Logger))]
    for logger in current:
        if logger not in saved:  # it was a placeholder, and its children refer to it now
            logger.setLevel(logging.NOTSET)
            logger.propagate, logger.disabled = True, False
        for handler in logger.handlers[:]:
            if handler not in saved.get(logger, ([],))[0]:
                logger.removeHandler(handler)
                handler.close()
    for name in set(manager.loggerDict) - set(before):
        del manager.loggerDict[name]
    for logger, (handlers, filters, level, propagate, disabled) in saved.items():
        logger.handlers[:], logger.filters[:] = handlers, filters
        logger.setLevel(level)
        logger.propagate, logger.disabled = propagate, disabled
    logging.raiseExceptions, manager.disable = switches[:2]
    logging.setLoggerClass(switches[2])
    logging.setLogRecordFactory(factory)


@pytest.fixture(autouse=True)
def processes_ended(pytestconfig):
    """What a test started has ended after it; what its module or package started goes on."""
    before = leftovers.living()
    yield
    leftovers.end_all(lambda: leftovers.started_since(before, pytestconfig.mark) - shared_by_tests())


def shared_by_tests():
    """The processes that multiprocessing starts once for all who use it, and none of its users may end."""
    return {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}


def pytest_configure(config):
    """What this run starts can be told from what others do."""
    config.mark = leftovers.mark_below(f"pytest-{os.getpid()}")
    os.environ[leftovers.VARIABLE] = config.mark


def pytest_unconfigure(config):
    """Nothing that was started outlives the run, also when it was interrupted."""
    leftovers.end_all(lambda: leftovers.started_since(set(), config.mark) - shared_by_tests())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """What a test that did not pass left open is closed before the next one, which is not blamed for it."""
    yield
    if item.stash.get(NOT_PASSED, False):
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            vars(sys).pop(name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A report of a command that failed, or took too long, shows what it wrote."""
    outcome = yield
    if not outcome.get_result().passed:
        item.stash[NOT_PASSED] = True
    error = call.excinfo and call.excinfo.value
    while error:
        if isinstance(error, subprocess.CalledProcessError | subprocess.TimeoutExpired):
            for name, written in (("stdout", error.stdout), ("stderr", error.stderr)):
                if written:
                    text = written.decode(errors="replace") if isinstance(written, bytes) else written
                    outcome.get_result().sections.append((f"{name} of {error.cmd}", text))
        error = error.__cause__ or error.__context__


def pytest_terminal_summary(terminalreporter):
    """What could not be tried is named, each with what it needs."""
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.write_line(f"not tried: {report.nodeid}: {reason.removeprefix('Skipped: ')}")


@pytest.hookimpl(hookwrapper=True)
def pytest_sessionfinish(session, exitstatus):
    """A run that skipped a test has not passed: what was not run was not seen to hold."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = NOT_TRIED
