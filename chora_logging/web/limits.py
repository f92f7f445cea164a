"""The limits of one server: streams, requests, sizes and times."""

from __future__ import annotations

from dataclasses import dataclass, fields

from chora_logging.errors import ConfigurationError

#: The longest query of a request, in bytes, and the most parameters in one.
LONGEST_QUERY_BYTES, MOST_PARAMETERS = 8192, 100

#: How many characters of a `Last-Event-ID` are read: a cursor of each of `MOST_LOGS` logs.
LONGEST_CURSOR = 2048

#: The most logs of one page or stream.
MOST_LOGS = 16

#: The most intervals of a histogram without a length of its own, and of one with it.
CHOSEN_INTERVALS, MOST_INTERVALS = 240, 5000

#: The most events of which fields are counted, and of how many the number is the default.
MOST_SAMPLED, SAMPLED = 10_000, 1000

#: The most ids of traces in one answer, and the default.
MOST_TRACES, TRACES = 1000, 20

#: The longest accepted form, in bytes.
LONGEST_FORM_BYTES = 4096

#: How long a client may take to send a form, in seconds.
FORM_SECONDS = 10.0

#: How long a client may take to read the end of its stream when it is aborted or the server stops, in
#: seconds.
GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """The limits of each server process.

    Attributes:
        streams: The most open streams; further ones are refused with 503.
        pages: The most requests for pages at a time; further ones are refused with 503, as are more than a
            quarter from one address behind a proxy.
        stalled: The seconds after which a client that reads nothing is disconnected.
        heartbeat: The seconds without an event after which a stream sends a heartbeat.
        retry: The milliseconds that clients wait before they reconnect.
        page: The number of events on a page of a request without a limit.
        largest_page: The highest limit that a request may have.
        scanned: The bytes that one request reads to find events; a page that ends there has a `next`.
        counted: The bytes that one request reads to count events, fields or traces, likewise. For both a
            line has 100 bytes at least.
        unpacked: The bytes of compressed files that one step of such a request unpacks; where that is not
            enough to go on, the answer is 503. Streams unpack all that they pass.

    Raises:
        ConfigurationError: a value is not greater than 0, or not a whole number where its default is one, or
            *page* is greater than *largest_page*.
    """

    streams: int = 1000
    pages: int = 100
    stalled: float = 30.0
    heartbeat: float = 15.0
    retry: int = 2000
    page: int = 100
    largest_page: int = 1000
    scanned: int = 64 * 1024 * 1024
    counted: int = 16 * 1024 * 1024
    unpacked: int = 1024 * 1024 * 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            value, whole = getattr(self, field.name), isinstance(field.default, int)
            if (
                isinstance(value, bool)
                or not isinstance(value, int if whole else int | float)
                or not value > 0
            ):
                allowed = f"a {'whole ' if whole else ''}number greater than 0"
                raise ConfigurationError(field.name, value, allowed)
        if self.page > self.largest_page:
            raise ConfigurationError("page", self.page, f"at most largest_page, {self.largest_page}")


#: The default limits.
DEFAULT_LIMITS = Limits()
