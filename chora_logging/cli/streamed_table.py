"""Prints a table into a pipe row by row, so that its reader need not wait for the last event."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable

from rich.text import Text

from chora_logging.cli.logs import Found
from chora_logging.cli.table import LEFT_OUT, Table
from chora_logging.cli.terminal import Screen
from chora_logging.schema import LAYOUT

#: How long rows are held to find out the widths of the columns, and how many.
HELD_SECONDS, HELD_ROWS = 0.25, 1000


class StreamedTable:
    """A table whose columns are as wide as the rows that come first need; later rows may be wider.

    Args:
        console: Where the table is printed.
        table: The table, of which nothing has been measured yet.
        fields: The fields in the order of their columns; empty if it is that in which they appear.
        begins: The positions of events before which others are left out: a line shows it.
        full: Whether values of several lines follow below their row.
        on_begin: Called before the first line is printed, perhaps in another thread.

    Attributes:
        count: The number of events.
    """

    def __init__(
        self,
        console: Screen,
        table: Table,
        *,
        fields: Iterable[str] = (),
        begins: Container[int] = (),
        full: bool = False,
        on_begin: Callable[[], None] = lambda: None,
    ) -> None:
        self.count = 0
        self._console = console
        self._table = table
        self._begins = begins
        self._full = full
        self._on_begin = on_begin
        self._fields = dict.fromkeys(fields)
        self._is_ordered = not self._fields
        self._held: list[Found] | None = []
        self._lock = threading.RLock()  # an interrupt may come while it is held
        self._error: BaseException | None = None

    def print(self, found: Iterable[Found]) -> None:
        """Print the events *found*, as they come."""
        timer = threading.Timer(HELD_SECONDS, self._begin_in_time)
        timer.daemon = True
        try:
            for log, event in found:
                with self._lock:
                    self._raise_error()
                    self._add(Found(log, event))
                    self.count += 1
                    if self.count == 1:
                        timer.start()
        finally:
            timer.cancel()
            if timer.ident is not None:  # was started
                timer.join()
        with self._lock:
            self._raise_error()
            if self.count:
                self._begin()
                self._console.show(*self._table.foot())

    def _add(self, found: Found) -> None:
        self._table.measure(found.log.name, found.event)
        if self._held is None:
            self._console.show(*self._lines(self.count, found))
            return
        self._held.append(found)
        if self._is_ordered:
            self._fields.update(dict.fromkeys(found.event))
        if len(self._held) == HELD_ROWS:
            self._begin()

    def _begin(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        self._on_begin()
        fields = sorted(self._fields, key=_place) if self._is_ordered else self._fields
        lines = [self._table.head(fields)]
        for position, found in enumerate(held):
            lines += self._lines(position, found)
        self._console.show(*lines)

    def _lines(self, position: int, found: Found) -> list[Text]:
        left_out = [LEFT_OUT] if position in self._begins else []
        return [*left_out, *self._table.row(found.log.name, found.event, full=self._full)]

    def _begin_in_time(self) -> None:
        with self._lock:
            try:
                self._begin()
            except BaseException as error:  # the main thread raises it
                self._error = error

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


def _place(field: str) -> int:
    return LAYOUT.index(field) if field in LAYOUT else len(LAYOUT)
