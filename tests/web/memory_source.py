"""A source that has no files: its events are in a list."""

from __future__ import annotations

import asyncio
import itertools
import re

from chora_logging.errors import CursorError
from chora_logging.eventlog import Event, Gap
from chora_logging.eventlog.meaning import Meaning
from chora_logging.eventlog.paging import Page
from chora_logging.eventlog.selection import Selection
from chora_logging.eventlog.source import Health
from chora_logging.eventlog.subscription import batches, items_async, items_sync


class MemorySource:
    """Events in a list; the cursor of each is `m.` and how many there are up to it.

    Attributes:
        lost: How many events at the beginning are gone.
    """

    def __init__(self, *events):
        self.address = "memory://list"
        self.meaning = Meaning()
        self.asked = {}
        self.lost = 0
        self.subscriptions = set()
        self.events = []
        for fields in events:
            self.append(fields)

    def append(self, fields):
        self.events.append(Event(fields, f"m.{len(self.events) + 1}"))

    def since(self, after):
        """Return the gap after the cursor *after*, if there is one, and the events."""
        first = len(self.events) if after == "end" else int(after[2:]) if after else 0
        gap = [Gap("the list was cut", resumes="the list")] if after and first < self.lost else []
        return [*gap, *self.events[max(first, self.lost) :]]

    def read(self, *, after=None, limit=None, newest_first=False, **filters):
        matches = Selection(**filters).matches
        found = (item for item in self.since(after) if isinstance(item, Gap) or matches(item))
        return itertools.islice(reversed(list(found)) if newest_first else found, limit)

    def select(self, selection, *, newest_first=False):
        found = filter(selection.matches, self.events[self.lost :])
        return reversed(list(found)) if newest_first else found

    def last(self, n, **filters):
        return list(self.read(limit=n, newest_first=True, **filters))[::-1]

    def follow(self, after=None, **filters):
        return items_async(self.subscribe(Selection(**filters), after))

    def follow_batches(self, after=None, **filters):
        return batches(self.subscribe(Selection(**filters), after))

    def follow_sync(self, after=None, **filters):
        return items_sync(self.subscribe(Selection(**filters), after))

    def page(self, selection, *, after=None, limit, budget, newest_first=False, including=False, each=None):
        yield
        items = self.since(None if newest_first else after)
        gap = items.pop(0) if items and isinstance(items[0], Gap) else None
        if newest_first:
            end = int(after[2:]) - 1 + including if after else len(self.events)
            items = self.events[self.lost : max(end, 0)][::-1]
        found = [event for event in items if selection.matches(event)]
        page = list(found[:limit] if each is None else itertools.takewhile(each, found[:limit]))
        rest = len(found) > limit
        end = found[limit - 1].cursor if rest else f"m.{self.lost if newest_first else len(self.events)}"
        live = f"m.{len(self.events)}" if newest_first else None
        return Page([] if each else page, end, rest, gap, live)

    def subscribe(self, selection, after=None):
        return Subscribed(self, selection, after)

    def check_cursor(self, cursor):
        if not re.fullmatch(r"m\.\d+", cursor):
            raise CursorError(cursor)

    def state(self):
        return ((len(self.events), self.lost),)

    def exists(self):
        return True

    def size(self):
        return len(self.events)

    def health(self):
        return Health(readable=True, following=bool(self.subscriptions))

    def close(self):
        pass


class Subscribed:
    """A subscriber, which takes what is new in the list."""

    fed = True
    skipped = 0

    def __init__(self, source, selection, after):
        self.source, self.selection, self.after = source, selection, after
        source.subscriptions.add(self)

    def take(self):
        items = self.source.since(self.after)
        if not items:
            return None
        self.after = f"m.{len(self.source.events)}"
        return [item for item in items if isinstance(item, Gap) or self.selection.matches(item)]

    read = take

    def wait(self):
        raise NotImplementedError

    async def wait_async(self):
        await asyncio.sleep(0.001)

    def close(self):
        self.source.subscriptions.discard(self)
