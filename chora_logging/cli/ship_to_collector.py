"""Ships logs to a collector, for `chora-logging ship`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping

import click

from chora_logging.cli.paths import why_absent
from chora_logging.cli.shipments import metrics_of, run, signals_blocked
from chora_logging.eventlog.log import EventLog
from chora_logging.otlp.client import Client
from chora_logging.otlp.endpoint import Endpoint
from chora_logging.otlp.settings import Settings
from chora_logging.shipping.oversize import Oversize
from chora_logging.shipping.state import Fence, State


def ship_to_collector(
    stack: contextlib.ExitStack,
    endpoint: Endpoint,
    logs: Mapping[str, EventLog],
    files: Mapping[str, str],
    host: str,
    listen: tuple[str, int] | None,
    *,
    linger: float,
    live: bool,
) -> None:
    """Ship *logs* until they have ended or a signal comes.

    Args:
        stack: Closes what is opened.
        endpoint: The address of the collector.
        logs: The logs by name.
        files: The beginning of the paths of their files of state.
        host: The name of this machine.
        listen: Where to serve metrics.
        linger, live: As for `run`.

    Raises:
        MissingExtraError: the extra `otlp` is not installed.
        ConfigurationError: a variable is invalid.
        ServerError: another process ships one of them, or its state cannot be kept.
        ClickException: the folder of one of them is missing, or nobody can listen there.
    """
    settings = Settings.from_environment()
    clients = {name: stack.enter_context(contextlib.closing(Client(endpoint, settings))) for name in logs}
    from chora_logging.otlp.records import FILE_PATH, HOST_NAME, SERVICE_NAME  # these need the extra
    from chora_logging.otlp.shipping import Shipment

    shipments = {}
    for name, log in logs.items():
        if not os.path.isdir(os.path.dirname(files[name]) or ".") and not log.exists():
            where = "and so there is no place for its position: check --log, or give a --state"
            raise click.ClickException(f"{why_absent(log.path)}, {where}")
        state = State(f"{files[name]}.otlp", log.path, is_only=True)
        stack.enter_context(contextlib.closing(state))
        stack.enter_context(contextlib.closing(Fence(log.path, str(endpoint))))
        oversize = stack.enter_context(contextlib.closing(Oversize(f"{files[name]}.oversize")))
        resource = {
            SERVICE_NAME: name,
            HOST_NAME: host,
            FILE_PATH: os.fsencode(log.path).decode("utf-8", "replace"),
            **settings.resource,
        }
        shipments[name] = stack.enter_context(
            contextlib.closing(
                Shipment(clients[name], log, resource=resource, state=state, oversize=oversize)
            )
        )
    stack.enter_context(metrics_of(logs, shipments, listen))
    stack.enter_context(signals_blocked())
    asyncio.run(
        run(
            logs,
            shipments,
            linger=linger,
            live=live,
            submit=asyncio.ensure_future,
            may_store=lambda: any(not shipment.progress.problem for shipment in shipments.values()),
        )
    )
