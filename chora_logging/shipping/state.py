"""The file beside a log in which its shipper keeps its position, and which only one shipper can hold.

A stream has the position itself; then this copy is read only when it has no message of the log any more.
Other destinations have none, and this is the position.

Three lines of fixed length: who holds the file, and two positions, of which the one with the higher number
and a right checksum counts, so that a torn write loses one step at most.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import re
import secrets
import socket
import time
import zlib
from typing import Any, NamedTuple

from chora_logging.errors import OtherShipperError, RefusedError
from chora_logging.log_files import open_regular, real_path
from chora_logging.schema import OWN_LOGGER

#: How often the file is synced, in seconds.
SYNC_SECONDS = 1.0

_LINE_BYTES = 512

#: How a line begins, even if it is damaged after that or cut off in that.
_BEGINNING = re.compile(rb"[0-9a-f]{1,7}\Z|[0-9a-f]{8}(?: |\Z)")

_logger = logging.getLogger(OWN_LOGGER)


class Checkpoint(NamedTuple):
    """The last block that is stored.

    Attributes:
        stream: The stream, or the address, that it is stored in.
        subject: The subject of the log; empty without one.
        end: The cursor after the block.
        sequence: Its sequence in the stream; 0 without one.
    """

    stream: str
    subject: str
    end: str
    sequence: int


class State:
    """The state file of a log, locked for as long as it is open.

    A file that cannot be made, read or written costs a warning, not an event: then nothing is kept.

    Args:
        path: The file; empty to keep nothing.
        log: The log, for people.
        is_only: Whether nothing else has the position: then it is an error if the file cannot be held, and
            `sync` is due after each `save`.

    Attributes:
        shipper: A random id that stays the same while the file exists.

    Raises:
        OtherShipperError: another process holds the file.
        RefusedError: it is the only one that has the position, and cannot be held.
    """

    def __init__(self, path: str, log: str, *, is_only: bool = False) -> None:
        self.path = path
        self.shipper = secrets.token_hex(4)
        self._fd = -1
        self._number = 0
        self._synced = time.monotonic()
        self._has_failed = False
        self._is_only = is_only
        if not path:
            return
        is_new = not os.path.lexists(path)
        try:
            opened = open_regular(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        if opened is None:
            self._fail("it is not a regular file")
            return
        self._fd = opened[0]
        try:
            self._hold(log, is_new)
        except OSError as error:
            if isinstance(error, OtherShipperError):
                self.close()
                raise
            if is_new:  # and empty: the next start would take it for one that has lost the position
                with contextlib.suppress(OSError):
                    os.unlink(path)
            self.close()
            self._fail(error.strerror or str(error))

    def load(self, stream: str, subject: str) -> Checkpoint | None:
        """Return the newest checkpoint if it is of *subject* in *stream*; None if there is none."""
        found = self.newest()
        return found if found is not None and found[:2] == (stream, subject) else None

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint; None if there is none."""
        found = [(line["number"], line) for line in (self._read(1), self._read(2)) if line.get("number")]
        if not found:
            return None
        number, line = max(found, key=lambda item: int(item[0]))
        self._number = int(number)
        stream, subject, end = (str(line.get(name)) for name in ("stream", "subject", "end"))
        return Checkpoint(stream, subject, end, int(line.get("sequence") or 0))

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep *checkpoint*; it survives the death of this process at once, and that of the machine soon."""
        if self._fd < 0:
            return
        self._number += 1
        try:
            self._write(1 + self._number % 2, {"number": self._number, **checkpoint._asdict()})
        except OSError as error:
            self._warn(error.strerror or str(error))

    def is_sync_due(self) -> bool:
        """Return whether to call `sync`."""
        return self._fd >= 0 and (self._is_only or time.monotonic() - self._synced >= SYNC_SECONDS)

    def sync(self) -> None:
        """Write the file to the disk; this may take long."""
        self._synced = time.monotonic()
        try:
            if self._fd >= 0:
                os.fdatasync(self._fd)
        except OSError as error:
            if self._fd >= 0:  # else it was closed meanwhile, which syncs it too
                self._warn(error.strerror or str(error))

    def close(self) -> None:
        """Close the file and leave it to others; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.fdatasync(fd)
            os.close(fd)

    def _hold(self, log: str, is_new: bool) -> None:
        holder = self._read(0)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"
            raise OtherShipperError(self.path, f"{who} ships {log} already") from None
        place = real_path(os.path.abspath(log))
        if not is_new:
            self._check(os.pread(self._fd, 3 * _LINE_BYTES, 0), place)
        if isinstance(known := holder.get("shipper"), str) and known.isalnum() and len(known) == 8:
            self.shipper = known
        self._write(
            0, {"shipper": self.shipper, "pid": os.getpid(), "host": socket.gethostname(), "log": place}
        )

    def _check(self, data: bytes, place: str) -> None:
        """Say what is wrong with a file that was there; refuse one that nobody has made for this.

        Raises:
            OSError: it is somebody else's.
        """
        lines = [data[start : start + _LINE_BYTES] for start in range(0, 3 * _LINE_BYTES, _LINE_BYTES)]
        found = [self._read(number) for number in range(3)]
        is_blank = not data.strip(b"\0")  # as a file system may leave it after a power cut
        if not is_blank and not any(found) and not any(map(_BEGINNING.match, lines)):
            raise OSError(errno.EINVAL, "it is not a shipper's file, and is left alone")
        if is_blank or not found[0] or (any(lines[1:]) and not any(found[1:])):
            _logger.warning("%s: it is %s: %s", self.path, "damaged" if data else "empty", self._damage)
        elif self._is_only and os.path.isabs(before := str(found[0].get("log"))) and before != place:
            what = "%s: it has the position of %s; if that is another log, give each a --state of its own"
            _logger.warning(what, self.path, before)

    def _read(self, line: int) -> dict[str, Any]:
        if self._fd < 0:
            return {}
        try:
            data = os.pread(self._fd, _LINE_BYTES, line * _LINE_BYTES)
            checksum, _, text = data.partition(b" ")
            text = text.strip()
            found = json.loads(text) if int(checksum, 16) == zlib.crc32(text) else None
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, line: int, content: dict[str, Any]) -> None:
        text = json.dumps(content).encode()
        if len(text) > _LINE_BYTES - 10:  # of a very long path
            text = json.dumps({name: value for name, value in content.items() if name != "log"}).encode()
        data = b"%08x %s" % (zlib.crc32(text), text)
        os.pwrite(self._fd, data.ljust(_LINE_BYTES - 1) + b"\n", line * _LINE_BYTES)

    def _fail(self, reason: str) -> None:
        if self._is_only:
            raise RefusedError(self.path, f"the position cannot be kept: {reason}; choose another --state")
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            _logger.warning("%s: %s: %s", self.path, self._failure, reason)

    @property
    def _failure(self) -> str:
        kept = "not kept, so a restart may ship lines again" if self._is_only else "kept in the stream only"
        return f"the position is {kept}"

    @property
    def _damage(self) -> str:
        if self._is_only:
            return "the position is lost, so the log is shipped again from its beginning"
        return "it is written anew"


class Fence(State):
    """A file beside a log which only one who ships it to an address can hold, wherever its position is.

    It is for destinations that cannot tell two shippers apart. Where it cannot be held, as in a folder that
    can only be read, that costs a warning, and nothing keeps out a second one.

    Args:
        log: The path of the log.
        address: Where it is shipped to.

    Raises:
        OtherShipperError: another process holds the file.
    """

    def __init__(self, log: str, address: str) -> None:
        folder, filename = os.path.split(real_path(log))
        self._place = f"{log} to {address}"
        super().__init__(os.path.join(folder, f".{filename}.fence-{zlib.crc32(address.encode()):08x}"), log)

    @property
    def _failure(self) -> str:
        return f"nothing keeps out a second shipper of {self._place} whose --state is another"
