"""The credentials for NATS servers, from environment variables."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from chora_logging.errors import ConfigurationError

#: The variables, by the parameters of `Credentials`.
VARIABLES = {
    "creds": "NATS_CREDS",
    "nkey_seed_file": "NATS_NKEY_SEED_FILE",
    "user": "NATS_USER",
    "password_file": "NATS_PASSWORD_FILE",
    "token_file": "NATS_TOKEN_FILE",
    "ca": "NATS_CA",
    "cert": "NATS_CERT",
    "key": "NATS_KEY",
}

#: What a file of credentials of a JWT has; without the first the client would read it forever.
_PARTS_OF_CREDS = (b"BEGIN NATS USER JWT", b"BEGIN USER NKEY SEED")

NO_TLS = "the server has no TLS, and NATS_CA or NATS_CERT is set"

_WRONG_CREDENTIALS = ("authorization violation", "authentication", "nkey")


@dataclass(frozen=True)
class Credentials:
    """What a client shows to a server. All but the user are paths of files.

    The files are read for each connection, so a password that was changed in its file is used without a
    restart. No secret is kept or shown.

    Args:
        creds: A file with the JWT of a user and the seed of its NKey, as `nsc` makes it.
        nkey_seed_file: A file with the seed of an NKey.
        user: The name of a user.
        password_file: A file with the password of *user*.
        token_file: A file with a token.
        ca: A file with the certificates of the authorities that sign those of the servers. With it the
            client insists on TLS.
        cert: A file with the certificate of the client.
        key: A file with the private key of *cert*.

    Raises:
        ConfigurationError: they do not fit together; the message names the environment variables.
    """

    creds: str | None = None
    nkey_seed_file: str | None = None
    user: str | None = field(default=None, repr=False)
    password_file: str | None = None
    token_file: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        kinds = [name for name in ("creds", "nkey_seed_file", "user", "token_file") if getattr(self, name)]
        if len(kinds) > 1:
            names = " and ".join(VARIABLES[name] for name in kinds)
            raise ConfigurationError(names, getattr(self, kinds[1]), "one of them, not both")
        for one, other in (
            ("user", "password_file"),
            ("password_file", "user"),
            ("cert", "key"),
            ("key", "cert"),
        ):
            if getattr(self, one) and not getattr(self, other):
                raise ConfigurationError(VARIABLES[other], None, f"set when {VARIABLES[one]} is")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Credentials:
        """Return the credentials that the variables name; an empty one counts as not set.

        Raises:
            ConfigurationError: they do not fit together.
        """
        found = os.environ if environment is None else environment
        return cls(**{name: found.get(variable) or None for name, variable in VARIABLES.items()})

    def options(self) -> dict[str, Any]:
        """Return the arguments for the client: the secrets as they are in the files now.

        Raises:
            ConfigurationError: a file cannot be read or has something else; the message shows no secret.
        """
        options: dict[str, Any] = {}
        if self.creds:
            content = _read("creds", self.creds)
            if not all(part in content for part in _PARTS_OF_CREDS):
                raise _wrong("creds", self.creds, "a file with the JWT and the NKey seed of a user")
            options["user_credentials"] = self.creds
        if self.nkey_seed_file:
            seed = _text("nkey_seed_file", self.nkey_seed_file)
            if not seed.startswith("SU"):
                raise _wrong(
                    "nkey_seed_file", self.nkey_seed_file, "a file with the seed of a user's NKey (SU…)"
                )
            options["nkeys_seed_str"] = seed
        if self.user and self.password_file:
            options["user"] = self.user
            options["password"] = _text("password_file", self.password_file)
        if self.token_file:
            options["token"] = _text("token_file", self.token_file)
        if self.ca or self.cert:
            options["tls"] = self._context()
        return options

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise _wrong("ca", self.ca, f"a file with certificates in PEM ({_reason(error)})") from None
        if self.cert and self.key:
            try:
                context.load_cert_chain(self.cert, self.key, password=_no_password)
            except (OSError, ssl.SSLError) as error:
                allowed = f"a certificate and its key without a password, in PEM ({_reason(error)})"
                raise ConfigurationError("NATS_CERT and NATS_KEY", (self.cert, self.key), allowed) from None
        return context


class Problem(NamedTuple):
    """Why there is no connection, for people, and whether trying again will not help."""

    reason: str
    needs_a_person: bool = False


def with_advice(error: str, options: Mapping[str, Any]) -> Problem:
    """Return the message of an *error* of the client, and what to do if it is about credentials.

    Args:
        error: The message.
        options: What `Credentials.options` has returned for that client.
    """
    reason = error.removeprefix("nats: ").strip("'")
    lowered = reason.lower()
    if any(words in lowered for words in _WRONG_CREDENTIALS):
        given = {"user", "token", "user_credentials", "nkeys_seed_str"} & options.keys()
        hint = "check the credentials" if given else "set NATS_USER and NATS_PASSWORD_FILE, or NATS_CREDS"
        return Problem(f"{reason}: {hint}", True)
    if "certificate_required" in lowered or "certificate required" in lowered:
        return Problem(f"{reason}: set NATS_CERT and NATS_KEY", True)
    if "certificate" in lowered or "ssl" in lowered:
        hint = "check NATS_CA" if "tls" in options else "set NATS_CA"
        return Problem(f"{reason}: {hint}", "certificate" in lowered or "tls" not in options)
    return Problem(reason)


def over_tls(client: Any, secret: str) -> Callable[[], str]:
    """Return a function for the client of `nats-py` that gives *secret*, but not to a server without TLS."""

    def give() -> str:
        if not is_encrypted(client):
            raise OSError(NO_TLS)
        return secret

    return give


def is_encrypted(client: Any) -> bool:
    """Return whether the client of `nats-py` talks TLS."""
    return bool(client._server_info.get("tls_required"))  # the client has begun TLS then, or failed


def _no_password() -> str:
    return ""  # else OpenSSL asks for it at the terminal


def _text(name: str, path: str) -> str:
    text = _read(name, path).decode("utf-8", "replace").strip()
    if not text or "\n" in text:
        raise _wrong(name, path, "a file with one line")
    return text


def _read(name: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _wrong(name, path, f"a file that can be read ({_reason(error)})") from None


def _wrong(name: str, path: str | None, allowed: str) -> ConfigurationError:
    return ConfigurationError(VARIABLES[name], path, allowed)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
