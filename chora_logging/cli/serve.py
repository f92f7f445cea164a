"""`chora-logging serve`: serves the logs over HTTP, to browsers and to programs."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import ssl
from collections.abc import Sequence
from typing import NoReturn

import click

from chora_logging.cli import serving
from chora_logging.cli.commands import LogCommand
from chora_logging.cli.filters import fields_option
from chora_logging.eventlog.rotated.file_set import paths_of
from chora_logging.eventlog.source import is_address
from chora_logging.options import is_loopback
from chora_logging.web import create_app
from chora_logging.web.prefix import check_prefix
from chora_logging.web.site import default_logs
from chora_logging.web.tokens import TOKEN_VARIABLE, tokens_from_environment, tokens_from_file

#: The beginning of the variables that have the values of options.
VARIABLES = "CHORA_LOGGING_"


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
@click.option("--uds", metavar="PATH", help="A Unix socket to listen on instead; its group may connect.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False),
    help="A file with the token that clients must send, or with several lines of a name and a token. "
    f"Without it: {TOKEN_VARIABLE}.",
)
@click.option(
    "--allowed-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A host name under which clients may ask, or *.NAME; may be given several times. Without it: any "
    "with a token, else those of this machine.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Another site whose pages may read, such as https://example.org; may be given several times.",
)
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="An address or network of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, or "
    "`unix` for one on the Unix socket; may be given several times.",
)
@click.option("--prefix", default="", metavar="PATH", help="The path below which a proxy serves this.")
@click.option("--tls-cert", type=click.Path(), help="A file with the certificate, and those above it.")
@click.option("--tls-key", type=click.Path(), help="A file with the key of the certificate.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="The number of processes."
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
    uds: str | None,
    token_file: str | None,
    hosts: Sequence[str],
    origins: Sequence[str],
    proxies: Sequence[str],
    prefix: str,
    tls_cert: str | None,
    tls_key: str | None,
    workers: int,
    as_json: bool,
) -> None:
    """Serve the logs over HTTP: a live page for a browser, REST and server-sent events for programs.

    Without a token only this machine may read. Access logs go to stderr, and to LOG_FILE if that is set.
    Each option is also a variable: --tls-cert is CHORA_LOGGING_TLS_CERT; several values have spaces
    between them.

    \b
    Examples:
      chora-logging serve
      chora-logging serve --log web=/var/log/shop/web.log --port 8080
      chora-logging serve --port 0 --json
      chora-logging token > token
      chora-logging serve --host 0.0.0.0 --token-file token
    """
    tokens = tokens_from_environment() if token_file is None else tokens_from_file(token_file)
    if not tokens and uds is not None:
        raise click.UsageError(
            "--uds is for a proxy, and without a token everybody whom it serves could read the logs. "
            "Create one (chora-logging token > token) and pass it: --token-file token"
        )
    if not tokens and not is_loopback(host):
        raise click.UsageError(
            f"--host {host!r} admits other machines, and without a token they could all read the logs. "
            f"Create one (chora-logging token > token) and pass it: --token-file token"
        )
    logs = _logs(named)
    app = {
        "logs": logs,
        "token": tokens or None,
        "allowed_hosts": hosts or None,
        "origins": origins,
        "prefix": check_prefix(prefix),
        "fields": meanings,
    }
    create_app(**app)  # type: ignore[arg-type]  # raises before it listens
    service = serving.Service(
        app, "json" if as_json else "text", _proxies(proxies, uds), _tls(tls_cert, tls_key), workers
    )
    with serving.listen(host, port) if uds is None else serving.listen_unix(uds) as listening:
        url = f"{'https' if service.tls else 'http'}://{_where(listening)}{prefix}/"
        if uds is not None:
            url = f"unix:{uds}"
        serving.run(service, listening, lambda: click.echo(_words(logs, url, as_json)))


for _parameter in command.params:
    if isinstance(_parameter, click.Option) and _parameter.envvar is None:
        _parameter.envvar = VARIABLES + _parameter.opts[0].removeprefix("--").upper().replace("-", "_")


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


def _proxies(given: Sequence[str], uds: str | None) -> list[serving.Network | str]:
    found: list[serving.Network | str] = []
    for text in given:
        if text == serving.UNIX and uds is not None:
            found.append(text)
            continue
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError:
            allowed = "an IP address, a network such as 10.0.0.0/8, or `unix` with --uds"
            raise click.BadParameter(f"{text!r} is not {allowed}", param_hint="'--proxy'") from None
    return found


def _tls(cert: str | None, key: str | None) -> tuple[str, str] | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key belong together")

    def refuse() -> NoReturn:
        raise click.UsageError(
            f"--tls-key {key} is encrypted, and serve asks for no password; decrypt it "
            "(openssl pkey -in KEY -out FILE) into a file that only the server may read"
        )

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, refuse)
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.UsageError(f"cannot use --tls-cert {cert} with --tls-key {key}: {reason}") from error
    return cert, key


def _words(logs: dict[str, str], url: str, as_json: bool) -> str:
    if as_json:
        return json.dumps({"url": url, "logs": logs})
    return "\n".join([*(f"{name}: {path}{_remark(path)}" for name, path in logs.items()), url])


def _remark(log: str) -> str:
    return "" if is_address(log) or paths_of(os.path.abspath(log)) else " (not there yet)"


def _where(listening: socket.socket) -> str:
    if listening.family == socket.AF_UNIX:
        return ""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"{serving.bracketed(host)}:{port}"
