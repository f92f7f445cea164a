"""Checks the files of TLS before they are needed, since what is wrong later can only be waited for."""

from __future__ import annotations

import os
import re
import ssl

from chora_logging.errors import ConfigurationError

#: The name by which OpenSSL finds the certificate of an authority in a folder.
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
_READABLE = "a file that can be read"
_ENCRYPTED = b"ENCRYPTED"


def check_authorities(name: str, path: str) -> None:
    """Check the certificates of authorities in the file *path*, or in the folder, which *name* gives.

    Raises:
        ConfigurationError: it cannot be read, or has none.
    """
    if not os.access(path, os.R_OK):
        raise ConfigurationError(name, path, _READABLE)
    if os.path.isdir(path):
        if not any(map(_HASHED.fullmatch, os.listdir(path))):
            allowed = "a folder of certificates with the links that `openssl rehash` makes, or a file"
            raise ConfigurationError(name, path, allowed)
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:
        raise ConfigurationError(name, path, "a file with certificates in PEM format") from None


def check_client(names: tuple[str, str], certificate: str, key: str | None) -> None:
    """Check the certificate of a client and its private key, which is in the same file if *key* is None.

    Args:
        names: What gives the certificate, and what gives the key.
        certificate, key: The paths.

    Raises:
        ConfigurationError: one cannot be read, is none, or they do not belong together.
    """
    for name, path in zip(names, (certificate, key), strict=True):
        if path is not None and not (os.path.isfile(path) and os.access(path, os.R_OK)):
            raise ConfigurationError(name, path, _READABLE)
    check_authorities(names[0], certificate)  # it has a certificate, whosever
    name, path = (names[0], certificate) if key is None else (names[1], key)
    with open(path, "rb") as file:
        if _ENCRYPTED in file.read():
            raise ConfigurationError(name, path, "a file whose private key needs no password")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=_no_password)
    except OSError:
        allowed = f"a file with the private key of the certificate in {certificate}, in PEM format"
        if key is None:
            allowed = f"a file that also has the private key in PEM format, unless {names[1]} is set"
        raise ConfigurationError(name, path, allowed) from None


def _no_password() -> str:
    return ""  # else OpenSSL asks at the terminal
