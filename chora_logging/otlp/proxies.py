"""Finds the proxy for an address in the environment."""

from __future__ import annotations

import importlib.util
import os
from typing import NamedTuple
from urllib.parse import urlsplit

from chora_logging.errors import ConfigurationError
from chora_logging.otlp.endpoint import without_secrets

_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


class Proxy(NamedTuple):
    """A proxy.

    Attributes:
        name: The variable that gives it.
        address: Its address, without user and password.
    """

    name: str
    address: str

    def __str__(self) -> str:
        return f"the proxy {self.address} ({self.name})"


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy through which *url* is reached; None if there is none.

    It is that of `HTTPS_PROXY` or `HTTP_PROXY`, or of `ALL_PROXY`, unless `NO_PROXY` excludes the host.

    Raises:
        ConfigurationError: it is not the address of a proxy; the message shows no secret.
    """
    from requests.utils import get_environ_proxies, select_proxy

    address = select_proxy(url, get_environ_proxies(url))
    if not address:
        return None
    of_scheme = f"{urlsplit(url).scheme}_proxy"
    names = (of_scheme, of_scheme.upper(), "all_proxy", "ALL_PROXY")
    name = next((name for name in names if os.environ.get(name) == address), of_scheme.upper())
    whole = address if "://" in address else f"http://{address}"
    shown = without_secrets(whole)
    try:
        parts = urlsplit(whole)
        is_valid = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
        # Without a scheme there is no user either: `requests` does not take one.
        is_valid = is_valid and parts.path in ("", "/") and ("@" not in whole or whole == address)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigurationError(name, shown, "the address of a proxy, such as http://proxy:3128")
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socks") is None:
        allowed = "the address of a proxy for HTTP, such as http://proxy:3128, or install PySocks"
        raise ConfigurationError(name, shown, allowed)
    return Proxy(name, shown)
