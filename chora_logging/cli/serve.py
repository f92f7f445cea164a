"""`chora-logging serve`: serves the logs over HTTP, to browsers and to programs."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import logging.config
import os
import resource
import socket
from collections.abc import Sequence
from typing import Literal

import click
import uvicorn

from chora_logging.cli.commands import LogCommand
from chora_logging.cli.filters import fields_option
from chora_logging.config import get_logging_config
from chora_logging.eventlog.rotated.file_set import paths_of
from chora_logging.eventlog.source import is_address
from chora_logging.options import is_loopback
from chora_logging.schema import ORCHESTRATOR_LOGGER, TELEMETRY_LOGGER
from chora_logging.web import Limits, create_app
from chora_logging.web.site import default_logs
from chora_logging.web.tokens import TOKEN_VARIABLE, tokens_from_environment, tokens_from_file

#: How long open connections may take to finish when the server stops, in seconds.
SHUTDOWN_SECONDS = 5

#: How long a client may be unreachable before its connection is closed, in seconds.
CLIENT_TIMEOUT_SECONDS = 30

#: How many connections may wait to be accepted.
WAITING_CONNECTIONS = 2048

#: How many connections are allowed in addition to those of streams.
OTHER_CONNECTIONS = 200


@click.command("serve", cls=LogCommand)
@click.option(
    "--log",
    "named",
    multiple=True,
    metavar="NAME=PATH",
    help="A log, or a stream nats://HOST/STREAM, and its name in URLs; may be given several times. Without "
    "it: orchestrator and telemetry, where programs with this environment write them.",
)
@fields_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False),
    help="A file with the token that clients must send, or with several lines of a name and a token. "
    f"Without it: {TOKEN_VARIABLE}.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object with the URL and the logs once the server listens; log to stderr as JSON.",
)
def command(
    named: Sequence[str],
    meanings: dict[str, str],
    host: str,
    port: int,
    token_file: str | None,
    as_json: bool,
) -> None:
    """Serve the logs over HTTP: a live page for a browser, REST and server-sent events for programs.

    Without a token only this machine may read. Access logs go to stderr, and to LOG_FILE if that is set.

    \b
    Examples:
      chora-logging serve
      chora-logging serve --log web=/var/log/shop/web.log --port 8080
      chora-logging serve --port 0 --json
      chora-logging token > token
      chora-logging serve --host 0.0.0.0 --token-file token
    """
    tokens = tokens_from_environment() if token_file is None else tokens_from_file(token_file)
    if not tokens and not is_loopback(host):
        raise click.UsageError(
            f"--host {host!r} admits other machines, and without a token they could all read the logs. "
            f"Create one (chora-logging token > token) and pass it: --token-file token"
        )
    logs = _logs(named)
    limits = Limits()
    app = create_app(logs, token=tokens or None, limits=limits, fields=meanings)
    _set_up_logging("json" if as_json else "text")
    _allow_descriptors()
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="off",
        server_header=False,
        limit_concurrency=limits.streams + OTHER_CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    with _listen(host, port) as listening:
        _Server(config, _words(logs, _url(listening), as_json)).run([listening])


class _Server(uvicorn.Server):
    """Prints its URL once it handles Ctrl-C: an earlier one would leave a coroutine unawaited."""

    def __init__(self, config: uvicorn.Config, words: str) -> None:
        super().__init__(config)
        self._words = words

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        click.echo(self._words)


def _logs(named: Sequence[str]) -> dict[str, str]:
    logs: dict[str, str] = {}
    for text in named:
        name, equals, path = text.partition("=")
        if not name or not equals or not path:
            raise click.BadParameter(f"{text!r} is not NAME=PATH", param_hint="'--log'")
        if name in logs:
            raise click.BadParameter(f"{name!r} is given twice", param_hint="'--log'")
        logs[name] = path
    return logs or {name: os.fspath(path) for name, path in default_logs().items()}


def _words(logs: dict[str, str], url: str, as_json: bool) -> str:
    if as_json:
        return json.dumps({"url": url, "logs": logs})
    return "\n".join([*(f"{name}: {path}{_remark(path)}" for name, path in logs.items()), url])


def _remark(log: str) -> str:
    return "" if is_address(log) or paths_of(os.path.abspath(log)) else " (not there yet)"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(AttributeError, OSError):
            # Accepted sockets inherit it. Without it, a client that vanished is noticed after 15 minutes.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, CLIENT_TIMEOUT_SECONDS * 1000)
        listening.bind(address)
        listening.listen(WAITING_CONNECTIONS)
    except OSError as error:
        option = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        words = f"cannot listen on {_bracketed(host)}:{port}: {error.strerror}; choose another {option}"
        raise click.UsageError(words) from error
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://{_bracketed(host)}:{port}/"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _set_up_logging(console: Literal["text", "json"]) -> None:
    """Log to stderr and to LOG_FILE, but not to the logs that are served."""
    config = get_logging_config(console=console)
    for name in (ORCHESTRATOR_LOGGER, TELEMETRY_LOGGER):
        for handler in config["loggers"].pop(name)["handlers"]:
            del config["handlers"][handler]
    config["loggers"]["uvicorn.error"] = {"level": "WARNING"}
    logging.config.dictConfig(config)


def _allow_descriptors() -> None:
    """Raise the limit of open descriptors to its maximum: each client needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
