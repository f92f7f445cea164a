"""The settings of an OTLP exporter, from OpenTelemetry's environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from chora_logging.errors import ConfigurationError
from chora_logging.otlp.certificates import check_authorities, check_client

#: The beginnings of the names of the variables: those for logs alone come first.
_PREFIXES = ("OTEL_EXPORTER_OTLP_LOGS_", "OTEL_EXPORTER_OTLP_")

HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
CERTIFICATE = "OTEL_EXPORTER_OTLP_CERTIFICATE"
CLIENT_CERTIFICATE = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
COMPRESSION = "OTEL_EXPORTER_OTLP_COMPRESSION"

#: How long an answer may take, in seconds.
TIMEOUT_SECONDS = 10.0

#: A time-out from this number on is in milliseconds, as the specification has it; OpenTelemetry's Python SDK
#: has seconds.
_LEAST_MILLISECONDS = 1000

_COMPRESSIONS = ("gzip", "deflate", "none")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_NAMES = {"connection", "content-encoding", "content-length", "content-type", "expect", "te", "trailer"}
_OWN_NAMES |= {"transfer-encoding", "upgrade"}
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]+")


@dataclass(frozen=True)
class Settings:
    """How requests are sent, and what they say of where the events come from.

    Args:
        headers: Headers of each request; they may be secret.
        certificate: A file with the certificates of the authorities that sign the collector's.
        client_certificate: A file with the certificate of this client.
        client_key: A file with its private key, unless it is in the same file.
        timeout: How long an answer may take, in seconds.
        compression: `gzip`, `deflate` or `none`.
        resource: Attributes of where the events come from.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    timeout: float = TIMEOUT_SECONDS
    compression: str = "gzip"
    resource: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Return what the variables say; an empty one counts as not set.

        They are `OTEL_EXPORTER_OTLP_HEADERS`, `_CERTIFICATE`, `_CLIENT_CERTIFICATE`, `_CLIENT_KEY`,
        `_TIMEOUT` and `_COMPRESSION`, or the same after `OTEL_EXPORTER_OTLP_LOGS`;
        `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`.

        Raises:
            ConfigurationError: one is invalid; the message shows no secret.
        """
        found = os.environ if environment is None else environment

        def value_of(part: str) -> tuple[str, str | None]:
            names = [prefix + part for prefix in _PREFIXES]
            return next(((name, found[name].strip()) for name in names if found.get(name)), (names[-1], None))

        resource = _pairs("OTEL_RESOURCE_ATTRIBUTES", found.get("OTEL_RESOURCE_ATTRIBUTES", ""))
        if name := found.get("OTEL_SERVICE_NAME"):
            resource["service.name"] = name
        names, files = zip(*map(value_of, ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")), strict=True)
        certificate, client_certificate, client_key = files
        if certificate:
            check_authorities(names[0], certificate)
        if client_certificate:
            check_client((names[1], names[2]), client_certificate, client_key)
        elif client_key:
            raise ConfigurationError(names[1], None, f"set when {names[2]} is")
        return cls(
            headers=_headers(*value_of("HEADERS")),
            certificate=certificate,
            client_certificate=client_certificate,
            client_key=client_key,
            timeout=_timeout(*value_of("TIMEOUT")),
            compression=_compression(*value_of("COMPRESSION")),
            resource=resource,
        )


def _pairs(name: str, text: str) -> dict[str, str]:
    """Return the pairs of a list such as `a=1,b=x%20y`."""
    pairs = {}
    for number, part in enumerate(filter(str.strip, text.split(",")), start=1):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            # The text may be secret.
            raise ConfigurationError(name, f"… (entry {number})", "a list such as name=value,other=value")
        pairs[unquote(key.strip())] = unquote(value.strip())
    return pairs


def _headers(name: str, text: str | None) -> dict[str, str]:
    headers = {key.lower(): value for key, value in _pairs(name, text or "").items()}
    for number, (key, value) in enumerate(headers.items(), start=1):
        if not _NAME.fullmatch(key) or not _VALUE.fullmatch(value):
            raise ConfigurationError(name, f"… (entry {number})", "a list of valid HTTP headers, name=value")
        if key in _OWN_NAMES:
            raise ConfigurationError(name, f"{key}=…", "headers that are not set by the shipper itself")
    return headers


def _timeout(name: str, text: str | None) -> float:
    if text is None:
        return TIMEOUT_SECONDS
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 10**6:
        raise ConfigurationError(name, text, "a number of seconds, or of milliseconds from 1000 on")
    return number / 1000 if number >= _LEAST_MILLISECONDS else number


def _compression(name: str, text: str | None) -> str:
    kind = (text or _COMPRESSIONS[0]).lower()
    if kind not in _COMPRESSIONS:
        raise ConfigurationError(name, text, f"one of {', '.join(_COMPRESSIONS)}")
    return kind
