"""How much one server gives its clients."""

from __future__ import annotations

from dataclasses import dataclass

from chora_logging.errors import ConfigurationError

#: The longest query of a request, in bytes, and the most parameters in one.
LONGEST_QUERY_BYTES, MOST_PARAMETERS = 8192, 100

#: The longest `Last-Event-ID` that is looked at, in characters.
LONGEST_CURSOR = 200

#: The longest form that is read, in bytes.
LONGEST_FORM_BYTES = 4096

#: So many wrong tokens may come from one address in so many seconds; so many addresses are remembered.
WRONG_TOKENS, WRONG_TOKENS_SECONDS, REMEMBERED_ADDRESSES = 10, 60.0, 4096

#: How long a client may take for the end of its stream, when it is cut or the server stops, in seconds.
GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """What requests may cost; each server process counts for itself.

    Attributes:
        streams: How many streams may be open at a time; more are refused with 503.
        pages: How many requests may be read for at a time; more are refused with 503.
        stalled: After how many seconds a client that takes nothing is cut.
        heartbeat: After how many seconds without an event a stream says that it lives.
        retry: How many milliseconds clients wait before they reconnect.
        page: How many events are on a page that does not say how many.
        largest_page: How many a request may ask for, at most.
        scanned: How many bytes of a log one request looks at; a page that ends there has a `next`.

    Raises:
        ConfigurationError: one of them is not more than 0, or a page is larger than the largest.
    """

    streams: int = 1000
    pages: int = 100
    stalled: float = 30.0
    heartbeat: float = 15.0
    retry: int = 2000
    page: int = 100
    largest_page: int = 1000
    scanned: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigurationError(name, value, "a number more than 0")
        if not isinstance(self.largest_page, int):
            raise ConfigurationError("largest_page", self.largest_page, "a whole number")
        if not isinstance(self.page, int) or self.page > self.largest_page:
            allowed = f"a whole number, at most that of largest_page, {self.largest_page}"
            raise ConfigurationError("page", self.page, allowed)


#: What requests may cost where nobody says otherwise.
USUAL = Limits()
