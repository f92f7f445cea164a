"""How much one server gives its clients."""

from __future__ import annotations

from dataclasses import dataclass

from chora_logging.errors import ConfigurationError


@dataclass(frozen=True)
class Limits:
    """What requests may cost; each server process counts for itself.

    Attributes:
        streams: How many streams may be open at a time; more are refused with 503.
        pages: How many requests may be read for at a time; more are refused with 503.
        stalled: After how many seconds a client that takes nothing is cut.
        heartbeat: After how many seconds without an event a stream says that it lives.
        retry: How many milliseconds clients wait before they reconnect.
        scanned: How many bytes of a log one request looks at; a page that ends there has a `next`.

    Raises:
        ConfigurationError: one of them is not more than 0.
    """

    streams: int = 1000
    pages: int = 100
    stalled: float = 30.0
    heartbeat: float = 15.0
    retry: int = 2000
    scanned: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigurationError(name, value, "a number more than 0")
