"""Restores logging and the environment after each test, ends its processes, and passes no skipped test."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import warnings
from multiprocessing import forkserver, resource_tracker

import pytest
from hypothesis import settings

from tests import leftovers
from tests.needs import NOT_TRIED

VARIABLES = (
    "ORCH_ID",
    "ORCH_LOG_FILE",
    "LOG_LEVEL",
    "LOG_FILE",
    "CHORA_EVENTS_FILE",
    "LOG_MAX_BYTES",
    "LOG_BACKUP_COUNT",
    "ORCH_LOG_MAX_BYTES",
    "ORCH_LOG_BACKUP_COUNT",
    "CHORA_EVENTS_MAX_BYTES",
    "CHORA_EVENTS_BACKUP_COUNT",
    "CHORA_TRACE_ID",
    "TRACEPARENT",
)


# A busy machine is no fault: no test asserts a wall-clock time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

NOT_PASSED = pytest.StashKey[bool]()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Remove the package's variables from the environment of each test."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def logging_as_before():
    """Restore loggers, handlers, levels and switches after each test."""
    root = logging.getLogger()
    manager = root.manager
    before = dict(manager.loggerDict)
    saved = {
        logger: (logger.handlers[:], logger.filters[:], logger.level, logger.propagate, logger.disabled)
        for logger in [root, *(item for item in before.values() if isinstance(item, logging.Logger))]
    }
    switches = (logging.raiseExceptions, manager.disable, logging.getLoggerClass())
    factory = logging.getLogRecordFactory()
    levels = [(known, dict(known)) for known in (logging._levelToName, logging._nameToLevel)]

    yield

    for known, names in levels:
        known.clear()
        known.update(names)

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
    """End the processes of a test after it, but not those of its module or package."""
    before = leftovers.living()
    yield
    leftovers.end_all(lambda: leftovers.started_since(before, pytestconfig.mark) - shared_by_tests())


def shared_by_tests():
    """The processes that multiprocessing starts once for all its users; no test may end them."""
    return {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}


def pytest_configure(config):
    """Mark the processes of this run, so that they can be distinguished from others."""
    config.mark = leftovers.mark_below(f"pytest-{os.getpid()}")
    os.environ[leftovers.VARIABLE] = config.mark


def pytest_unconfigure(config):
    """End all processes of the run, even if it was interrupted."""
    leftovers.end_all(lambda: leftovers.started_since(set(), config.mark) - shared_by_tests())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Close the files that a failed or skipped test left open, so that the next test is not blamed."""
    yield
    if item.stash.get(NOT_PASSED, False):
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            vars(sys).pop(name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Add the output of a command that failed or timed out to the report."""
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
    """List the tests that could not be tried, each with its need."""
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.write_line(f"not tried: {report.nodeid}: {reason.removeprefix('Skipped: ')}")


@pytest.hookimpl(hookwrapper=True)
def pytest_sessionfinish(session, exitstatus):
    """Do not let a run with a skipped test pass: a test that did not run proves nothing."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = NOT_TRIED
