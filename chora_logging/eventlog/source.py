"""`Source`: what readers of events have in common, wherever the events are stored."""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypedDict, cast, overload, runtime_checkable

from chora_logging.errors import ConfigurationError
from chora_logging.eventlog.comparing import Asked
from chora_logging.eventlog.events import Event, Gap, Skipped
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.paging import Page
from chora_logging.eventlog.selection import Selection, Where
from chora_logging.eventlog.subscription import Subscribed

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: By the scheme of an address, the class that reads it; "" is a path. They are loaded on first use, because
#: they stand above this module, and some need an extra.
_CLASSES = {"": "chora_logging.eventlog.log:EventLog", "nats": "chora_logging.jetstream.log:JetStreamLog"}

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class Filters(TypedDict, total=False):
    """The keyword arguments by which every method of a source selects events; see `Selection`."""

    task_id: object
    run_id: object
    trace_id: object
    event: object
    level: str | int | None
    status: object
    since: datetime | str | None
    until: datetime | str | None
    where: Where | None
    text: str | None


class Health(NamedTuple):
    """Whether a source works.

    Attributes:
        readable: Whether it can be read now; one that does not exist yet counts as readable.
        following: Whether something in this process follows it for those who subscribed.
    """

    readable: bool
    following: bool


@runtime_checkable
class Source(Protocol):
    """One ordered sequence of events that can be read, followed and resumed: `EventLog`, `JetStreamLog`.

    The methods that `EventLog` describes promise the same of every source; cursors are valid only for the
    source that they come from. Making a source opens nothing and connects to nothing.

    Attributes:
        address: The path or the address, for people.
        meaning: Says what the fields of its events mean.
        asked: By "level", "time" and the field of each expression after "where ", how many events the
            filters by them were asked about, and how many of those they passed over because they have
            none that can be read; of all calls together.

    Thread safe.
    """

    address: str
    meaning: Meaning
    asked: dict[str, Asked]

    @overload
    def read(
        self,
        *,
        after: None = None,
        limit: int | None = None,
        newest_first: bool = False,
        **filters: Unpack[Filters],
    ) -> Iterator[Event]: ...

    @overload
    def read(
        self, *, after: str | None, limit: int | None = None, **filters: Unpack[Filters]
    ) -> Iterator[Event | Gap]: ...

    def select(self, selection: Selection, *, newest_first: bool = False) -> Iterator[Event]:
        """Iterate over the stored events that match; with `raw` also over lines that are not events."""
        ...

    def last(self, n: int, **filters: Unpack[Filters]) -> list[Event]:
        """Return the newest *n* events, oldest first."""
        ...

    def follow(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[Event | Gap, None]:
        """Iterate over the stored events, then over new ones, without end."""
        ...

    def follow_batches(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> AsyncGenerator[list[Event | Gap], None]:
        """Like `follow`, in non-empty lists."""
        ...

    def follow_sync(
        self, after: str | None = None, **filters: Unpack[Filters]
    ) -> Generator[Event | Gap, None, None]:
        """Like `follow`, as a synchronous iterator."""
        ...

    def page(
        self,
        selection: Selection,
        *,
        after: str | None = None,
        limit: int,
        budget: int,
        newest_first: bool = False,
        including: bool = False,
        each: Callable[[Event], bool] | None = None,
    ) -> Generator[None, None, Page]:
        """Read a page of stored events in short steps; see `PageRequest` for the arguments."""
        ...

    def subscribe(self, selection: Selection, after: str | None = None) -> Subscribed:
        """Return the subscription behind `follow_batches`; it opens and checks nothing before a read."""
        ...

    def check_cursor(self, cursor: str) -> None:
        """Check that *cursor* is one of this kind of source, without reading.

        Raises:
            CursorError: it is not.
        """
        ...

    def state(self) -> tuple[tuple[int, ...], ...]:
        """Return what changes when the stored events do."""
        ...

    def exists(self) -> bool:
        """Return whether there is anything to read, even if it has no event."""
        ...

    def size(self) -> int:
        """Return how many bytes reading all of it reads."""
        ...

    def health(self) -> Health:
        """Return whether it works."""
        ...

    def close(self) -> None:
        """Give up its connections, if it has any; a second call does nothing."""
        ...


def is_address(log: object) -> bool:
    """Return whether *log* is the address of a source, such as `nats://host/STREAM`, and not a path."""
    return isinstance(log, str) and _ADDRESS.match(log) is not None


def open_source(
    log: str | os.PathLike[str] | Source,
    *,
    on_skip: Callable[[Skipped], None] | None = None,
    fields: Mapping[str, str] | None = None,
) -> Source:
    """Return the source that *log* is or names.

    Args:
        log: A path, an address `nats://host/STREAM` (extra `nats`), or a source, which is returned as it is.
        on_skip: Called with each line read that is neither blank nor an event; not for a given source.
        fields: The names of fields that mean something, as for `EventLog`; not for a given source.

    Raises:
        ConfigurationError: the address or *fields* is invalid.
        MissingExtraError: the source needs an extra that is not installed.
    """
    if isinstance(log, Source):
        return log
    address = _ADDRESS.match(log) if isinstance(log, str) else None
    scheme = address[1] if address else ""
    if scheme not in _CLASSES:
        # Only the scheme is shown: an address may have a password.
        raise ConfigurationError("log", f"{scheme}://…", "a path or an address nats://HOST/STREAM")
    kind = pkgutil.resolve_name(_CLASSES[scheme])
    return cast(Source, kind(log, on_skip=on_skip, fields=fields))
