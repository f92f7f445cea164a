"""Keeps logging and trace ids in a host that sets up logging itself and passes work on: Celery.

A worker of Celery removes the handlers of the root logger when it starts, and the loggers of
`get_task_logger` do not propagate, unless somebody listens to its signal `setup_logging`. The trace id of
the caller travels in a header of the task's message.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
from contextvars import Token
from typing import Any

from chora_logging.context import get_trace_id, set_trace_id
from chora_logging.errors import TraceIdError

#: The header of a task's message.
HEADER = "chora_trace_id"

# The token of each task that runs in this process with the id of its caller.
_tokens: dict[str, Token[str | None]] = {}


def join_hosts() -> None:
    """Connect to the signals of Celery if the program has imported it; another call changes nothing."""
    if "celery" not in sys.modules:
        return
    signals = importlib.import_module("celery.signals")
    signals.setup_logging.connect(_keep_logging)
    signals.before_task_publish.connect(_send_trace_id)
    signals.task_prerun.connect(_take_trace_id)
    signals.task_postrun.connect(_restore_trace_id)
    signals.worker_process_shutdown.connect(_flush)


def _keep_logging(**_: Any) -> None:
    """Do nothing: Celery sets up no logging if anything receives this signal."""


def _send_trace_id(headers: dict[str, Any] | None = None, **_: Any) -> None:
    trace_id = get_trace_id()
    if trace_id is not None and headers is not None:
        headers.setdefault(HEADER, trace_id)


def _take_trace_id(task_id: str, task: Any, **_: Any) -> None:
    trace_id = getattr(task.request, HEADER, None)
    if trace_id is not None:
        with contextlib.suppress(TraceIdError):  # a message may come from any program
            _tokens[task_id] = set_trace_id(trace_id)


def _restore_trace_id(task_id: str, **_: Any) -> None:
    token = _tokens.pop(task_id, None)
    if token is not None:
        token.var.reset(token)


def _flush(**_: Any) -> None:
    """Write what handlers hold: the process ends with `os._exit`."""
    logging.shutdown()
