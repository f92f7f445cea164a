"""Finds secrets in text by their form. Each expression takes time in proportion to the text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{5,}(?:\.[\w-]*){2,4}", re.ASCII)
_URL = re.compile(r"://([^\s/:@\"'<>]{0,256}):([^\s/\"'<>]{1,512})@")
_SCHEME = re.compile(r"\b(bearer|basic)(\s{1,4})([\w.~+/=-]{8,})", re.ASCII | re.IGNORECASE)
# Of AWS, GitHub, GitLab, Slack, Stripe, Google, OpenAI, npm, Hugging Face and SendGrid.
_TOKEN = re.compile(
    r"(?<![\w-])(?:A(?:KIA|SIA|ROA|IDA)[A-Z0-9]{16}(?![A-Za-z0-9])|gh[pousr]_[A-Za-z0-9]{20,}"
    r"|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}"
    r"|AIza[\w-]{30,}|sk-[\w-]{20,}|npm_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{30,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,})",
    re.ASCII,
)
# Cheap to search for: without a match the text has no token, no scheme, no card.
_TOKEN_HINT = re.compile(r"[A-Za-z_-][_.-][A-Za-z0-9]{10}|A(?:KIA|SIA|ROA|IDA|Iza)").search
_SCHEME_HINT = re.compile(r"[Bb][EeAa][AaSs]").search
_CARD_HINT = re.compile(r"[2-6]\d{3}[ -]?\d{4}").search
_CARD = re.compile(
    r"(?<![\w.])(?<!\d-)(?:\d{13,16}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5})(?![\w-]|\.\d)",
    re.ASCII,
)
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35\d{14}|3(?:0[0-5]|[68]\d)\d{11}",
    re.ASCII,
)


def redact_forms(text: str, replacement: str) -> str:
    """Return *text* with each secret that is recognised by its form replaced by *replacement*."""

    def whole(match: re.Match[str]) -> str:
        return replacement

    if "-----BEGIN" in text:
        text = _PRIVATE_KEY.sub(whole, text)
    if "eyJ" in text:
        text = _JWT.sub(whole, text)
    if "://" in text:
        text = _URL.sub(lambda match: f"://{match[1]}:{replacement}@", text)
    if _SCHEME_HINT(text):
        text = _SCHEME.sub(_if(_is_credential, lambda match: match[1] + match[2] + replacement), text)
    if _TOKEN_HINT(text):
        text = _TOKEN.sub(whole, text)
    if _CARD_HINT(text):
        text = _CARD.sub(_if(_is_card, whole), text)
    return text


def is_card_number(digits: str) -> bool:
    """Return whether *digits* begin and end (Luhn) like the number of a payment card."""
    if not _ISSUERS.fullmatch(digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _if(
    holds: Callable[[re.Match[str]], bool], replace: Callable[[re.Match[str]], str]
) -> Callable[[re.Match[str]], str]:
    return lambda match: replace(match) if holds(match) else match[0]


def _is_card(match: re.Match[str]) -> bool:
    return is_card_number(match[0].replace(" ", "").replace("-", ""))


def _is_credential(match: re.Match[str]) -> bool:
    """Whether what follows `Bearer` or `Basic` is no word of a sentence: "basic authentication"."""
    token = match[3]
    if match[1].lower() == "bearer":
        return not token.rstrip(".").isalpha() or len(token) > 24
    try:
        return b":" in base64.b64decode(token + "=" * (-len(token) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
