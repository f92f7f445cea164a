"""Sessions of people who logged in with a token: opened, checked, and ended on the server."""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import pathlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from chora_logging.schema import OWN_LOGGER

#: How long a session lasts, in seconds.
SESSION_SECONDS = 12 * 3600


class EndedSessions:
    """Remembers which sessions people ended, over restarts and in all processes of this user.

    Each is an empty file in a folder: `ended_sessions` in `$STATE_DIRECTORY` (which systemd sets), else in
    `$XDG_STATE_HOME/chora_logging`, else in `~/.local/state/chora_logging`. If it cannot be written, only
    this process knows of them, until it ends; that is logged once.
    """

    def __init__(self) -> None:
        self._folder = _state_folder() / "ended_sessions"
        self._here: dict[str, float] = {}
        self._is_told = False

    def __contains__(self, session: str) -> bool:
        return session in self._here or os.path.lexists(self._folder / session)

    def add(self, session: str) -> None:
        """Remember *session* until it would have ended by itself."""
        now = time.time()
        self._here = {one: ended for one, ended in self._here.items() if now - ended < SESSION_SECONDS}
        self._here[session] = now
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._folder / session, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
            self._forget(now)
        except OSError as error:
            if not self._is_told:
                self._is_told = True
                logging.getLogger(OWN_LOGGER).warning(
                    "sessions that are ended are remembered until the server stops, and in one process "
                    "only: %s: %s",
                    self._folder,
                    error.strerror,
                )

    def _forget(self, now: float) -> None:
        for entry in os.scandir(self._folder):
            with contextlib.suppress(OSError):
                if now - entry.stat(follow_symlinks=False).st_mtime > 2 * SESSION_SECONDS:
                    os.unlink(entry)


def _state_folder() -> pathlib.Path:
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return pathlib.Path(given)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return pathlib.Path(home) / "chora_logging"


@dataclass(frozen=True)
class Session:
    """A session.

    Attributes:
        holder: The name of the token with which it was opened.
        id: A random text of letters and digits.
        until: The time at which it ends by itself.
    """

    holder: str
    id: str
    until: float
    _ended: EndedSessions

    def is_open(self) -> bool:
        """Return whether it has neither expired nor been ended."""
        return self.until > time.time() and self.id not in self._ended

    def end(self) -> None:
        """End it."""
        self._ended.add(self.id)


class Sessions:
    """Opens and finds the sessions of some tokens.

    A session is an expiry time, a random value and an HMAC over both with a key derived from the token;
    it does not contain the token. It is not stored, so it survives a restart; without its token it is void.

    Args:
        tokens: The tokens by name.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = {name: _digest(token.encode(), b"token") for name, token in tokens.items()}
        self._keys = {name: _digest(token.encode(), b"session") for name, token in tokens.items()}
        self._ended = EndedSessions()

    @property
    def holders(self) -> list[str]:
        """The names of the tokens."""
        return list(self._tokens)

    def holder(self, token: str) -> str | None:
        """Return the name of *token*, or None if it is none of the tokens; this takes constant time."""
        given = _digest(token.encode("utf-8", "replace"), b"token")
        found = None
        for name, digest in self._tokens.items():
            if hmac.compare_digest(given, digest):
                found = name
        return found

    def cookie(self, holder: str) -> str:
        """Return the name of the cookie for the token *holder*.

        It depends on the token, because browsers send the cookies of a host to all servers on it, whatever
        their port.
        """
        return f"chora_logging_{_digest(self._keys[holder], b'name').hex()[:8]}"

    def open(self, holder: str) -> str:
        """Return a new session of the token *holder*, as the value of its cookie."""
        text = f"{int(time.time()) + SESSION_SECONDS}.{secrets.token_hex(16)}"
        return f"{text}.{self._signature(holder, text)}"

    def find(self, cookies: Mapping[str, str]) -> Session | None:
        """Return the first open session in the cookies of a request, or None."""
        for holder in self._tokens:
            session = self._parse(holder, cookies.get(self.cookie(holder), ""))
            if session is not None and session.is_open():
                return session
        return None

    def _parse(self, holder: str, value: str) -> Session | None:
        text, _, signature = value.rpartition(".")
        right = self._signature(holder, text).encode()
        if not text or not hmac.compare_digest(signature.encode("utf-8", "replace"), right):
            return None
        until, _, identity = text.partition(".")
        return Session(holder, identity, int(until), self._ended)

    def _signature(self, holder: str, text: str) -> str:
        return _digest(self._keys[holder], text.encode("utf-8", "replace")).hex()


def _digest(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, b"chora_logging " + text, "sha256")
