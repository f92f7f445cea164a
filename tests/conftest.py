"""What every test stands on: logging put back, the environment clean, no skipped test."""

from __future__ import annotations

import logging
import os

import pytest

VARIABLES = (
    "ORCH_ID",
    "ORCH_LOG_FILE",
    "LOG_LEVEL",
    "LOG_FILE",
    "CHORA_EVENTS_FILE",
    "CHORA_TRACE_ID",
    "TRACEPARENT",
)


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


@pytest.hookimpl(hookwrapper=True)
def pytest_sessionfinish(session, exitstatus):
    """A skipped test is a failed run: what was not run was not seen to hold."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and session.exitstatus == 0 and not os.environ.get("PYTEST_XDIST_WORKER"):
        reporter.write_line(f"{len(skipped)} tests were skipped: a skip is a failure here", red=True)
        session.exitstatus = 1
