"""Events that are read more than once: in memory, or in a temporary file if there are many."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from chora_logging.cli.logs import Found
from chora_logging.eventlog.events import Event, RawLine
from chora_logging.schema import LAYOUT

#: The size in bytes up to which events are held in memory.
IN_MEMORY_BYTES = 8 * 1024 * 1024

_decode = msgspec.json.Decoder(tuple[str, dict[str, Any]]).decode
_decode_with_raw = msgspec.json.Decoder(tuple[str, dict[str, Any] | str]).decode


class Rows:
    """A snapshot of events: what is written to a log later does not change it.

    Each iteration yields the log name and the fields of every event, or a `RawLine`. Use it in a `with`.

    Args:
        found: The events.
        on_event: Called with the log name and each event while the events are read.
        fields: The fields of the events in their order; empty if it is that in which they appear.

    Attributes:
        count: The number of events.
        size: The size of the snapshot in bytes.
        fields: The fields as given, or of all events: those of `LAYOUT` first, the others as they appear.
    """

    def __init__(
        self,
        found: Iterable[Found],
        on_event: Callable[[str, Event], None] = lambda log, event: None,
        fields: Sequence[str] = (),
    ) -> None:
        # The system deletes the file, however this process ends.
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115  # closed by `__exit__`
        try:
            seen = self._read(found, on_event)
        except BaseException:
            self._file.close()
            raise
        self.fields = list(fields) or [field for field in LAYOUT if field in seen]
        self.fields += [] if fields else [field for field in seen if field not in LAYOUT]

    def _read(self, found: Iterable[Found], on_event: Callable[[str, Event], None]) -> dict[str, None]:
        self.count = 0
        self._has_raw_lines = False
        seen: dict[str, None] = {}
        names: dict[str, bytes] = {}
        for log, event in found:
            name = names.setdefault(log.name, msgspec.json.encode(log.name))
            self._file.write(b"[%b,%b]\n" % (name, event.json))
            self.count += 1
            self._has_raw_lines |= isinstance(event, RawLine)
            seen.update(dict.fromkeys(event))
            on_event(log.name, event)
        self.size = self._file.tell()
        return seen

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        self._file.seek(0)
        return self._with_raw_lines() if self._has_raw_lines else map(_decode, self._file)

    def _with_raw_lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for log, event in map(_decode_with_raw, self._file):
            yield log, RawLine({}, "", event.encode()) if isinstance(event, str) else event

    def copy_to(self, path: str) -> None:
        """Write the events to the file *path* as JSON Lines, each as it is in its log."""
        decode = msgspec.json.Decoder(tuple[str, msgspec.Raw]).decode
        self._file.seek(0)
        with open(path, "wb") as file:
            for line in self._file:
                file.write(bytes(decode(line)[1]) + b"\n")

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):  # an interrupt may come before the `with`
            self._file.close()
