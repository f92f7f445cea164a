"""Decides by its name whether a field holds a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Names of secrets. A longer name that ends in one of them is one too: `db_password`, `X-API-Key`.
SECRET_NAMES = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
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

_SEPARATORS = re.compile(r"[\s_.\-\[\]]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# Names of this length are recognised at the end of a word, too: `dbpassword`, `csrftoken`.
_LONG = 5
_REMEMBERED_NAMES = 4096


class SecretNames:
    """The names of secrets, in any spelling: `api_key`, `apiKey`, `API-KEY`, `x-api-key`, `api_keys`."""

    def __init__(self, names: Iterable[str]) -> None:
        words = [_words(name) for name in names]
        self._endings = tuple("_" + "_".join(each) for each in words)
        self._long = tuple("".join(each) for each in words if len("".join(each)) >= _LONG)
        self._known: dict[str, bool] = {}

    def __contains__(self, name: str) -> bool:
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _REMEMBERED_NAMES:
                self._known.clear()
            known = self._known[name] = self._is_secret(name[-200:])
        return known

    def _is_secret(self, name: str) -> bool:
        words = _words(name)
        forms = ["_" + "_".join(words)]
        if words and words[-1] != "tokens":  # those of language models are counted
            forms.append(forms[0].removesuffix("s"))
        return any(
            form.endswith(self._endings) or form.replace("_", "").endswith(self._long) for form in forms
        )


def _words(name: str) -> list[str]:
    return [word for word in _SEPARATORS.split(_CAMEL.sub("_", name).lower()) if word]
