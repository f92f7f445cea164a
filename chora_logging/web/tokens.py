"""The tokens of a server: made, checked, read from a variable or a file, and masked in addresses."""

from __future__ import annotations

import math
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from chora_logging.errors import ConfigurationError

#: The environment variable for the tokens.
TOKEN_VARIABLE = "CHORA_LOGGING_TOKEN"

#: The fewest bits of a token: fewer can be guessed, also offline from the signature of a session.
TOKEN_BITS = 128

#: The fewest different characters of a token; a random one of 128 bits has more, as good as always.
_FEWEST_CHARACTERS = 8

#: What a token is replaced by.
MASK = "(masked)"

#: The most bytes of a file with tokens that are read.
_FILE_BYTES = 65536

_visible = re.compile("[\x21-\x7e]*").fullmatch
_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}").fullmatch
_named = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}[:=](.+)").fullmatch
_digits = re.compile("[0-9]*").fullmatch
_hexadecimal = re.compile("[0-9a-f]*|[0-9A-F]*").fullmatch

ALLOWED = (
    f"at least {TOKEN_BITS} bits, which are 32 hexadecimal digits or 22 other visible ASCII characters, "
    "at random: `chora-logging token` makes one"
)


def make_token() -> str:
    """Return a new token: 256 random bits as hexadecimal digits."""
    return secrets.token_hex(2 * TOKEN_BITS // 8)


def check_token(name: str, token: str) -> str:
    """Return *token* if it can have 128 bits; *name* is its source, for the error message.

    How random a token is cannot be seen: its length and its characters tell the most bits that it has.

    Raises:
        ConfigurationError: it is invalid; the message does not contain it.
    """
    if not isinstance(token, str) or not _visible(token) or _most_bits(token) < TOKEN_BITS:
        raise ConfigurationError(name, f"{len(str(token))} characters", ALLOWED)
    return token


def _most_bits(token: str) -> float:
    if len(set(token)) < _FEWEST_CHARACTERS:
        return 0
    alphabet = 10 if _digits(token) else 16 if _hexadecimal(token) else 64
    return len(token) * math.log2(alphabet)


def check_tokens(name: str, tokens: str | Mapping[str, str]) -> dict[str, str]:
    """Return *tokens*, one or several by name, by name.

    Raises:
        ConfigurationError: a token or its name is invalid, or a token is there twice.
    """
    if not isinstance(tokens, Mapping):
        return {"token": check_token(name, tokens)}
    for key, token in tokens.items():
        if not isinstance(key, str) or not _name(key):
            allowed = "1 to 64 letters, digits, '.', '_', '@' or '-', the first a letter or digit"
            raise ConfigurationError(f"the name of a token in {name}", key, allowed)
        check_token(f"{name}[{key!r}]", token)
    if not tokens or len(set(tokens.values())) < len(tokens):
        raise ConfigurationError(name, f"{len(tokens)} tokens", "at least one token, and each once")
    return dict(tokens)


def parse_tokens(name: str, text: str) -> dict[str, str]:
    """Return the tokens in *text* by name: a line is a token, or a name and a token; `#` begins a comment.

    A line `name:TOKEN` or `name=TOKEN` is refused: as one token it would let nobody in who has TOKEN.

    Raises:
        ConfigurationError: a line is something else, a token is invalid, or there is none.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        key = words[0] if len(words) > 1 else f"token-{len(found) + 1}" if found else "token"
        if len(words) > 2 or key in found:
            allowed = "a token, or a name that no other line has and a token"
            raise ConfigurationError(f"line {number} of {name}", f"{len(words)} words", allowed)
        if len(words) == 1 and (named := _named(words[0])) and _most_bits(named[1]) >= TOKEN_BITS:
            allowed = (
                "a token, or a name and a token with a space between them (a token that has ':' or '=' "
                "inside needs a name, so that it is not taken for both)"
            )
            raise ConfigurationError(f"line {number} of {name}", "one word", allowed)
        found[key] = words[-1]
    return check_tokens(name, found) if found else check_tokens(name, "")


def tokens_from_environment() -> dict[str, str]:
    """Return the tokens of `CHORA_LOGGING_TOKEN` by name; none if it is unset or empty.

    Raises:
        ConfigurationError: a token is invalid.
    """
    text = os.environ.get(TOKEN_VARIABLE, "")
    return parse_tokens(TOKEN_VARIABLE, text) if text else {}


def tokens_from_file(path: str) -> dict[str, str]:
    """Return the tokens in the file *path* by name.

    Raises:
        ConfigurationError: a token is invalid, or there is none.
        OSError: the file cannot be read.
    """
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return parse_tokens("the token file", file.read(_FILE_BYTES))


def masking(tokens: Iterable[str]) -> Callable[[str], str]:
    """Return a function that masks *tokens* in an address, however they are percent-encoded.

    The values of parameters that are called after a token are masked too: those may be former tokens.
    """
    anywhere = "|".join(map(_in_any_form, tokens))
    parameter = r"(?i:(?<=[?&]token=)|(?<=[?&]access_token=)|(?<=[?&]authorization=))[^&\s]+"
    pattern = re.compile("|".join(filter(None, (anywhere, parameter))))

    def mask(text: str) -> str:
        return pattern.sub(MASK, text)

    return mask


def _in_any_form(token: str) -> str:
    return "".join(f"(?:{re.escape(char)}|(?i:%(?:25)*{ord(char):02x}))" for char in token)


class MaskingMiddleware:
    """Masks tokens in the address of a request, so that no server writes them into its access log.

    Servers take the address for that line from the scope that they gave to the application.

    Args:
        app: The application to wrap.
        mask: Returns an address without tokens.
    """

    def __init__(self, app: ASGIApp, mask: Callable[[str], str]) -> None:
        self.app = app
        self._mask = mask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] == "http":
            query = scope["query_string"].decode("latin-1")
            address = self._mask(f"{scope['path']}?{query}")
            if address != f"{scope['path']}?{query}":
                scope["path"], _, query = address.partition("?")
                scope["raw_path"] = scope["path"].encode()
                scope["query_string"] = query.encode("latin-1")
        await self.app(scope, receive, send)
