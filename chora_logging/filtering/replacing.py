"""Has a handler use another record, on Pythons whose filters can only refuse one.

From Python 3.12 on a filter may return a record, which the handler or logger then uses instead. Before, the
filter does here what its handler or logger would do next, with the other record, and refuses the first.
"""

from __future__ import annotations

import logging
import sys

#: Whether every handler and logger uses the record that a filter returns.
FILTERS_REPLACE = sys.version_info >= (3, 12)

_filter_code = logging.Filterer.filter.__code__


def use_instead(asking: logging.Filter, record: logging.LogRecord) -> bool | logging.LogRecord:
    """Return what a filter returns so that the handler which calls it uses *record*.

    Call it in `filter` itself: the caller of the calling method is looked at.

    Args:
        asking: The filter.
        record: The record to use.
    """
    if FILTERS_REPLACE:
        return record
    caller = sys._getframe(2)
    if caller.f_code is not _filter_code:
        return record
    owner = caller.f_locals["self"]
    for other in owner.filters[owner.filters.index(asking) + 1 :]:
        result = other.filter(record) if hasattr(other, "filter") else other(record)
        if not result:
            return False
        record = result if isinstance(result, logging.LogRecord) else record
    if isinstance(owner, logging.Logger):
        owner.callHandlers(record)
        return False
    owner.acquire()
    try:
        owner.emit(record)
    finally:
        owner.release()
    return False
