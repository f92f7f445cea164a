"""Who may read: whoever has the token, or a session that was opened with it."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import time

from chora_logging.errors import ConfigurationError

#: The environment variable that has the token.
VARIABLE = "CHORA_LOGGING_TOKEN"

#: The shortest token: shorter ones can be guessed, from the mark of a session too.
SHORTEST = 16

_visible = re.compile("[\x21-\x7e]*").fullmatch

#: How long a session lasts, in seconds.
LASTING = 12 * 3600

#: So many wrong tokens a minute may come from one address; so many addresses are remembered.
ATTEMPTS, MINUTE, ADDRESSES = 10, 60.0, 4096


def token_from_environment() -> str | None:
    """The token of `CHORA_LOGGING_TOKEN`; None if it is not set, or empty.

    Raises:
        ConfigurationError: it cannot be used.
    """
    token = os.environ.get(VARIABLE)
    return check_token(VARIABLE, token) if token else None


def token_from_file(path: str) -> str:
    """The token that the file *path* holds, white space around it left out.

    Raises:
        ConfigurationError: it cannot be used.
        OSError: the file cannot be read.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        return check_token("the token file", file.read(4096).strip())


def check_token(name: str, token: str) -> str:
    """Return *token* if it can be one; *name* is where it came from.

    Raises:
        ConfigurationError: it cannot; the message does not show it.
    """
    if not isinstance(token, str) or len(token) < SHORTEST or not _visible(token):
        allowed = f"at least {SHORTEST} visible ASCII characters (`openssl rand -hex 32` makes some)"
        raise ConfigurationError(name, f"{len(str(token))} characters", allowed)
    return token


class Sessions:
    """Opens and recognises sessions of one token. It keeps none, so they outlive a restart.

    A session is a time and a mark that only who has the token can make; the token is not in it. Another
    token ends all sessions.

    Args:
        token: The token.

    Attributes:
        cookie: The name of the cookie. It differs by token, for browsers send the cookies of one
            server on a host to all others there.
    """

    def __init__(self, token: str) -> None:
        self._token = _digest(token.encode(), b"token")
        self._key = _digest(token.encode(), b"session")
        self.cookie = f"chora_logging_{_digest(self._key, b'name').hex()[:8]}"

    def accepts(self, token: str) -> bool:
        """Whether *token* is the token; how long that takes does not depend on where they differ."""
        return hmac.compare_digest(_digest(token.encode("utf-8", "replace"), b"token"), self._token)

    def open(self) -> str:
        """A new session, as the value of a cookie."""
        text = f"{int(time.time()) + LASTING}.{secrets.token_hex(8)}"
        return f"{text}.{self._mark(text)}"

    def knows(self, session: str) -> bool:
        """Whether *session* was opened here, with this token, and lasts."""
        text, _, mark = session.rpartition(".")
        if not hmac.compare_digest(mark.encode("utf-8", "replace"), self._mark(text).encode()):
            return False
        return int(text.partition(".")[0]) > time.time()

    def _mark(self, text: str) -> str:
        return _digest(self._key, text.encode("utf-8", "replace")).hex()


class Attempts:
    """Counts wrong tokens by address, so that nobody can try many."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[float, int]] = {}

    def too_many(self, address: str) -> bool:
        """Whether there were so many in the last minute that no more are looked at."""
        began, count = self._failed.get(address, (0.0, 0))
        return count >= ATTEMPTS and time.monotonic() - began < MINUTE

    def failed(self, address: str) -> None:
        """Count one."""
        now = time.monotonic()
        began, count = self._failed.pop(address, (now, 0))
        self._failed[address] = (began, count + 1) if now - began < MINUTE else (now, 1)
        if len(self._failed) > ADDRESSES:
            del self._failed[next(iter(self._failed))]


def _digest(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, b"chora_logging " + text, "sha256")
