"""Decides by its name whether a field holds a secret."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

#: Names of secrets. A longer name that ends in one of them is one too: `db_password`, `X-API-Key`.
SECRET_NAMES = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "pass",
    "secret",
    "token",
    "authorization",
    "cookie",
    "api_key",
    "access_key",
    "secret_key",
    "private_key",
    "signing_key",
    "encryption_key",
    "account_key",
    "credential",
    "basic_auth",
    "http_auth",
    "session_id",
    "session_key",
    "sessid",
    "jwt",
    "otp",
    "sig",
    "card_number",
    "cvv",
    "cvc",
    "ssn",
    "x_amz_signature",
)

#: The characters of a name in text, for a class of an expression: letters of any script, marks over them.
NAME_CHARACTERS = r"\w\u0300-\u036f"

_WORD = re.compile(rf"[{NAME_CHARACTERS}.-]+")
_SEPARATORS = re.compile(r"[\s_.\-\[\]]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# What may follow a secret's name: `password_confirmation`, `token_hash`, `password2`.
_VARIANTS = {"confirmation", "confirm", "repeat", "repeated", "again", "verify", "old", "new", "current"}
_VARIANTS |= {
    "hash",
    "hashed",
    "digest",
    "salt",
    "plain",
    "plaintext",
    "raw",
    "value",
    "encoded",
    "encrypted",
}
_VARIANTS |= {"md5", "sha1", "sha256", "sha512", "bcrypt", "text", "string", "base"}
_NUMBER = re.compile(r"v?\d+")
# Tokens that are no secrets, and the only ones that are secrets in the plural: language models count theirs.
_HARMLESS_TOKENS = {"page", "continuation", "cancellation", "pad", "eos", "bos", "unk", "mask"}
_SECRET_TOKENS = {"access", "api", "auth", "bearer", "csrf", "refresh", "secret", "session"}
# Names of this length are recognised at the end of a word, too: `dbpassword`, `csrftoken`.
_LONG = 5
_REMEMBERED_NAMES = 4096


class SecretNames(dict[str, bool | None]):
    """The names of secrets, in any spelling: `api_key`, `apiKey`, `API-KEY`, `x-api-key`, `api_keys`.

    As a dict it has for each name that was looked at whether it is one, or `None` if it is the last word of
    one that has several.
    """

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        words = [_words(name) for name in names]
        self._endings = tuple("_" + "_".join(each) for each in words)
        self._long = tuple("".join(each) for each in words if len("".join(each)) >= _LONG)
        self._last_words = {each[-1] for each in words if len(each) > 1}

    def __missing__(self, name: str) -> bool | None:
        if len(self) >= _REMEMBERED_NAMES:
            self.clear()
        known = self._is_secret(name[-200:])
        self[name] = None if not known and name.casefold() in self._last_words else known
        return self[name]

    def __contains__(self, name: object) -> bool:
        return self[name] is True  # type: ignore[index]

    def ends_one(self, word: str, before: str) -> bool:
        """Return whether *word* is the last of a name of several, the others of which end *before*."""
        return self[word] is None and before[-1:].isspace() and " ".join((*before.split()[-3:], word)) in self

    def any_in(self, text: str) -> bool:
        """Return whether a word of *text*, or some words together, are the name of a secret."""
        words = _WORD.findall(text)
        return any(" ".join(words[max(place - 3, 0) : place + 1]) in self for place in range(len(words)))

    def _is_secret(self, name: str) -> bool:
        words = _words(name)
        forms = ["_" + "_".join(words)]
        kind = words[-2] if len(words) > 1 else ""
        if words and words[-1] == "token" and kind in _HARMLESS_TOKENS:
            return forms[0].endswith(tuple(ending for ending in self._endings if ending != "_token"))
        if words and (words[-1] != "tokens" or kind in _SECRET_TOKENS):
            forms.append(forms[0].removesuffix("s"))
        while len(words) > 1 and (words[-1] in _VARIANTS or _NUMBER.fullmatch(words[-1])):
            words.pop()
        forms.append("_" + "_".join(words).rstrip("0123456789"))
        return any(
            form.endswith(self._endings) or form.replace("_", "").endswith(self._long) for form in forms
        )


def _words(name: str) -> list[str]:
    name = _CAMEL.sub("_", unicodedata.normalize("NFKC", name))
    folded = unicodedata.normalize("NFKC", name.casefold())
    return [word for word in _SEPARATORS.split(folded) if word]
