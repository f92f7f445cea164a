"""The address of a collector: `https://host:4318`."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from chora_logging.errors import ConfigurationError

SCHEMES = ("http", "https")

#: The path of logs below the address of a collector.
LOGS_PATH = "/v1/logs"

_FORM = "the address of a collector, such as https://collector:4318"
_SECRETS = "put what is secret into OTEL_EXPORTER_OTLP_HEADERS"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|")
_AFTER_PATH = re.compile(r"[?#].*", re.DOTALL)

_PLAIN = re.compile(r"[!-~]+")


class Endpoint(NamedTuple):
    """Where requests with logs go.

    It has no credentials: those come from environment variables, so that no list of processes, message or
    metric shows them (`settings`).

    Attributes:
        url: The address with the path of logs.

    >>> Endpoint.parse("https://collector:4318"), Endpoint.parse("http://loki:3100/otlp/")
    (Endpoint(url='https://collector:4318/v1/logs'), Endpoint(url='http://loki:3100/otlp/v1/logs'))
    """

    url: str

    @classmethod
    def parse(cls, text: str, name: str = "address") -> Endpoint:
        """Return *text* as an address; *name* is the option or argument that it came from.

        Args:
            text: The address of a collector as `OTEL_EXPORTER_OTLP_ENDPOINT` has it; one that ends in
                `/v1/logs` is taken as it is.

        Raises:
            ConfigurationError: it is none, or has more than a host and a path. The message does not repeat
                what may be secret.
        """
        shown = without_secrets(text)
        try:
            parts = urlsplit(text)
            has_port = parts.port is None or parts.port > 0
        except ValueError:
            raise ConfigurationError(name, shown, f"{_FORM}; a port is a number from 1 to 65535") from None
        if parts.scheme not in SCHEMES or not parts.hostname or not has_port or not _PLAIN.fullmatch(text):
            raise ConfigurationError(name, shown, _FORM)
        if "@" in parts.netloc:
            raise ConfigurationError(name, shown, f"{_FORM}, without a user: {_SECRETS}")
        if "?" in text or "#" in text:
            raise ConfigurationError(name, shown, f"{_FORM}, without anything after the path: {_SECRETS}")
        path = parts.path.rstrip("/")
        if not path.endswith(LOGS_PATH):
            path += LOGS_PATH
        return cls(f"{parts.scheme}://{parts.netloc}{path}")

    def __str__(self) -> str:
        return self.url


def without_secrets(address: str) -> str:
    """Return *address* without a user, a query and a fragment, for people.

    Whatever is before the last `@` counts as the user, because a password may have any character.
    """
    scheme = _SCHEME.match(address)[0]  # type: ignore[index]
    before, _, rest = address[len(scheme) :].rpartition("@")
    return scheme + "…" * bool(before) + _AFTER_PATH.sub("…", rest)
