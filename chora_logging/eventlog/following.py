"""Following a log: what is stored, then what is written, whoever writes and rotates."""

from __future__ import annotations

import collections
import threading

from chora_logging.eventlog import reading
from chora_logging.eventlog.files import LogFile, is_live, open_set

#: How many finished files are remembered, to know them again.
_REMEMBERED = 200


class Follower:
    """The events of a log from its oldest backup on, as often as it is asked for more.

    The file being read is held by its descriptor: when it has been rotated away it is read to its
    end, and only then the files that came after it, in order. A log that is missing, deleted,
    truncated or made anew is waited for or begun again.

    Not promised: events in backups that retention deleted before they were read.

    Args:
        path: The live file; it need not exist yet.

    Thread safe; `close` it, or use it in a `with`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.skipped = 0
        self._lock = threading.Lock()
        self._files: list[LogFile] = []
        self._finished: collections.deque[tuple[tuple[int, int], bytes]] = collections.deque(
            maxlen=_REMEMBERED
        )
        self._closed = False

    def poll(self) -> list[reading.Event] | None:
        """The next events, at most a chunk of them; None if there is nothing new at the moment.

        Raises:
            OSError: the live file exists and cannot be opened.
        """
        with self._lock:
            lines = None if self._closed else self._next_lines()
            if lines is None:
                return None
            events, skipped = reading.parse_all(lines)
            self.skipped += skipped
            return events

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        with self._lock:
            self._closed = True
            for file in self._files:
                file.close()
            self._files = []

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _next_lines(self) -> list[bytes] | None:
        if not self._files:
            self._files = self._open_unread()
        while self._files:
            current = self._files[0]
            # Asked before reading to the end: what was written up to the rotation is then read.
            moved = len(self._files) > 1 or not is_live(self.path, current)
            if lines := current.read_lines():
                return lines
            if not moved:
                return None
            if len(self._files) == 1:
                self._files += self._open_after(current)
            if len(self._files) == 1:
                return None
            self._finish(current)
        return None

    def _finish(self, file: LogFile) -> None:
        if head := file.head():
            self._finished.append((file.place.identity, head))
        file.close()
        self._files.remove(file)

    def _open_unread(self) -> list[LogFile]:
        return self._keep(open_set(self.path, follow=True), None)

    def _open_after(self, current: LogFile) -> list[LogFile]:
        files = open_set(self.path, follow=True)
        # While its descriptor is held, no other file can get the inode of the current one.
        for index, file in enumerate(files):
            if file.place.identity == current.place.identity:
                for older in files[: index + 1]:
                    older.close()
                return files[index + 1 :]
        return self._keep(files, current)

    def _keep(self, files: list[LogFile], current: LogFile | None) -> list[LogFile]:
        """Those of *files* that have not been read: by inode and beginning, if compressed by that."""
        known = list(self._finished)
        if current is not None and (head := current.head()):
            known.append((current.place.identity, head))
        kept: list[LogFile] = []
        for file in files:
            head = file.head()
            if any(
                head.startswith(seen) and (file.compressed or file.place.identity == identity)
                for identity, seen in known
            ):
                file.close()
            else:
                kept.append(file)
        return kept
