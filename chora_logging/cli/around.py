"""The events around those that match, as `grep -C` has the lines around a match."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import click

from chora_logging.cli.logs import Found, Log, read
from chora_logging.eventlog.selection import Selection

_Item = TypeVar("_Item")

#: The most events around a match; those before one are held in memory.
MOST_EVENTS = 10_000


class Context(NamedTuple):
    """How many events before and after each match are shown."""

    before: int
    after: int


def context_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options `-C`, `-B` and `-A` to a command, which receives them as numbers or None."""
    kinds = (
        ("-C", "--context", "around"),
        ("-B", "--before-context", "before"),
        ("-A", "--after-context", "after"),
    )
    for short, long, place in reversed(kinds):
        function = click.option(
            short,
            long,
            place,
            type=click.IntRange(0, MOST_EVENTS),
            metavar="N",
            help=f"Print also the N events {place} each match, whatever they are.",
        )(function)
    return function


def context_of(around: int | None, before: int | None, after: int | None) -> Context | None:
    """Return what the options ask for; None if none of them was given."""
    if around is None and before is None and after is None:
        return None
    usual = around or 0
    return Context(usual if before is None else before, usual if after is None else after)


class InContext:
    """The matching events of logs, with the events around each, once each and in their order.

    Args:
        logs: The logs; of several, the events around are those of all of them in the order of time.
        filters: The arguments of `Selection`.
        context: How many events around each match.
        limit: The maximum number of matches.
        newest_first: Whether to reverse the order.

    Attributes:
        begins: The positions of events before which others are left out, but for the first one. Those of
            the events that were iterated over.

    Iterate over it once.
    """

    def __init__(
        self,
        logs: Sequence[Log],
        filters: dict[str, Any],
        context: Context,
        *,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> None:
        self.begins: set[int] = set()
        self._logs = logs
        self._filters = filters
        self._newest_first = newest_first
        self._ahead, self._behind = context[::-1] if newest_first else context
        self._limit = limit

    def __iter__(self) -> Iterator[Found]:
        events = read(self._logs, newest_first=self._newest_first)
        found = groups(events, self._matcher(), self._ahead, self._behind, self._limit)
        for position, (event, is_apart) in enumerate(found):
            if is_apart:
                self.begins.add(position)
            yield event

    def _matcher(self) -> Callable[[Found], bool]:
        selections = {
            log: Selection(**self._filters, meaning=log.meaning, asked=log.events.asked) for log in self._logs
        }

        def matches(found: Found) -> bool:
            selection = selections[found.log]
            selection.look(found.event.json)
            return selection.matches(found.event)

        return matches


def groups(
    found: Iterable[_Item],
    matches: Callable[[_Item], bool],
    before: int,
    after: int,
    limit: int | None = None,
) -> Iterator[tuple[_Item, bool]]:
    """Yield each match and the events around it, and whether events are left out between it and the last.

    Args:
        found: All events.
        matches: Returns whether an event matches.
        before: How many events before a match.
        after: How many events after one.
        limit: The maximum number of matches.
    """
    held: deque[_Item] = deque(maxlen=before)
    following, matched = 0, 0
    is_apart = has_begun = False
    for item in found:
        if (limit is None or matched < limit) and matches(item):
            matched += 1
            for event in (*held, item):
                yield event, is_apart and has_begun
                is_apart, has_begun = False, True
            held.clear()
            following = after
        elif following:
            following -= 1
            yield item, False
        elif limit is not None and matched >= limit:
            return
        else:
            is_apart = is_apart or len(held) == before
            held.append(item)
        if limit is not None and matched >= limit and not following:
            return
