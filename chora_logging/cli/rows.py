"""Events that are gone through more than once: on disk where they are many, so that memory is not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from chora_logging.cli.logs import Found
from chora_logging.eventlog.events import Event
from chora_logging.schema import LAYOUT

#: How many bytes of events are kept in memory.
IN_MEMORY_BYTES = 8 * 1024 * 1024

_decode = msgspec.json.Decoder(tuple[str, dict[str, Any]]).decode


class Rows:
    """Events as they were read once: what is written to a log meanwhile changes nothing any more.

    Iterating gives, each time, the name of the log and the fields of each event. Use it in a `with`.

    Args:
        found: The events.
        on_event: Called with the name of the log and the event, while it is read.

    Attributes:
        count: How many events.
        size: How many bytes they take.
        fields: The fields that any of them has: those of `LAYOUT`, then as they came.
    """

    def __init__(
        self, found: Iterable[Found], on_event: Callable[[str, Event], None] = lambda log, event: None
    ) -> None:
        # Deleted by the system, however this process ends.
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115  # closed by `__exit__`
        try:
            self._read(found, on_event)
        except BaseException:
            self._file.close()
            raise

    def _read(self, found: Iterable[Found], on_event: Callable[[str, Event], None]) -> None:
        self.count = 0
        seen: dict[str, None] = {}
        names: dict[str, bytes] = {}
        for log, event in found:
            name = names.setdefault(log.name, msgspec.json.encode(log.name))
            self._file.write(b"[%b,%b]\n" % (name, event.json))
            self.count += 1
            seen.update(dict.fromkeys(event))
            on_event(log.name, event)
        self.size = self._file.tell()
        self.fields = [field for field in LAYOUT if field in seen]
        self.fields += [field for field in seen if field not in LAYOUT]

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        self._file.seek(0)
        return map(_decode, self._file)

    def copy_to(self, path: str) -> None:
        """Write the events to the file *path* as JSON Lines, each as its log has it."""
        decode = msgspec.json.Decoder(tuple[str, msgspec.Raw]).decode
        self._file.seek(0)
        with open(path, "wb") as file:
            for line in self._file:
                file.write(bytes(decode(line)[1]) + b"\n")

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
