"""Finds secrets in text by their form. Each expression takes time in proportion to the text."""

from __future__ import annotations

import base64
import binascii
import re

# What may stand before a secret though it ends in a letter or digit: `\n` and the like of a text in quotes, a
# percent-encoded character, a colour of a terminal.
_CODE = (
    r"(?<=\\[abfnrtv])|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=[\[;\d]m)"
    r"|(?<=%[0-9A-Fa-f]{2})(?<!%25)|(?<=%25[0-9A-Fa-f]{2})"
)
_START = rf"(?:(?<![A-Za-z0-9])|{_CODE})"
_KEY = r"(?: |%20|\+)(?:[A-Z0-9 +]|%20){0,40}PRIVATE(?: |%20|\+)KEY(?:.BLOCK)?-----"
_KEY_BEGINS = re.compile(rf"-----BEGIN{_KEY}")
_KEY_ENDS = re.compile(rf"-----END{_KEY}")
# A key whose end was cut off, and not a text about one.
_KEY_GOES_ON = re.compile(r"(?:\s|\\[rn]|[\"',]|%0[AaDd]){0,8}(?:[A-Za-z0-9+/=]{16}|[A-Z][A-Za-z-]{2,20}: )")
# Words with points between; whether a token begins in them is looked at apart, so that each is read once.
_POINTED = re.compile(r"(?<![\w-])[\w-]{8,}(?:\.[\w-]*){2,}", re.ASCII)
_JWT_BEGINS = re.compile(rf"{_START}eyJ[\w-]{{5}}", re.ASCII)
# A password with a slash has no colon, and is not the port before a path.
_URL = re.compile(
    r"://[^\s/:@\"'<>]{0,256}:(?P<secret>[^\s/\"'<>]{1,512}(?=@)|(?![/\d])[^\s@:\"'<>?#]{1,512}(?=@))"
)
_ENCODED_URL = re.compile(
    r"%3A%2F%2F[^\s:@\"'<>&%]{0,256}%3A(?P<secret>(?:[^\s@\"'<>&%]|%(?!40|2F)){1,512})%40", re.IGNORECASE
)
_SCHEME = re.compile(
    rf"{_START}(?P<scheme>bearer|basic)(?:\s|%20|\+){{1,4}}(?P<secret>[\w.~+/=-]{{6,}})",
    re.ASCII | re.IGNORECASE,
)
# Of AWS, GitHub, GitLab, Slack, Stripe, Google, OpenAI, npm, Hugging Face and SendGrid.
_TOKEN = re.compile(
    rf"{_START}(?:A(?:KIA|SIA|ROA|IDA)[A-Z0-9]{{16}}(?![A-Za-z0-9])|gh[pousr]_[A-Za-z0-9]{{20,}}"
    r"|github_pat_\w{20,}|xox[a-z](?:\.xox[a-z])?-[\w-]{10,}|xapp-[\w-]{10,}"
    r"|gl(?:pat|rtr?|ptt|dt|cbt|oas|ft|agent|soat|imt|ffct)-[\w-]{16,}|GR1348941[\w-]{16,}"
    r"|hooks\.slack\.com/[a-z]{1,16}/[\w/]{10,}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[\w+/=-]{16,}"
    r"|AIza[\w-]{30,}|ya29\.[\w.-]{20,}|GOCSPX-[\w-]{20,}|1//0[\w-]{30,}"
    r"|sk-(?=[\w-]{0,60}[A-Z0-9])[\w-]{20,}|npm_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{30,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,})",
    re.ASCII,
)
# Cheap to search for: without a match the text has no token, no scheme, no card.
_TOKEN_HINT = re.compile(r"[A-Za-z0-9_-][_./-][A-Za-z0-9]{10}|A(?:KIA|SIA|ROA|IDA|Iza)|1//0|GR1348941").search
_SCHEME_HINT = re.compile(r"[Bb][EeAa][AaSs]").search
_GAP = r"[ \u00a0\u2009\u202f+-]|%20"
_CARD_HINT = re.compile(rf"[2-6]\d{{3}}(?:{_GAP})?\d{{4}}").search
_CARD = re.compile(
    rf"(?:(?<![A-Za-z0-9.%])(?<!\d-)|{_CODE})(?:\d{{13,19}}"
    rf"|\d{{4}}({_GAP})\d{{4}}\1\d{{4}}\1\d{{4}}(?:\1\d{{3}})?"
    rf"|\d{{4}}({_GAP})\d{{6}}\2\d{{4,5}})"
    r"(?![A-Za-z0-9-]|\.\d)",
    re.ASCII,
)
# Visa, Mastercard, American Express, Discover, JCB, Diners Club, UnionPay, Mir, and Maestro.
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|(?:6(?:011|5\d\d|4[4-9]\d|2\d\d)|35\d\d|220[0-4])\d{12,15}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|(?:50(?:18|20|38)|5893|6304|6759|676[1-3])\d{12,15}",
    re.ASCII,
)


def secret_forms(text: str) -> list[tuple[int, int]]:
    """Return where each secret that is recognised by its form begins and ends in *text*."""
    places = _private_keys(text) if "-----BEGIN" in text else []
    if "eyJ" in text:
        for match in _POINTED.finditer(text):
            if begins := _JWT_BEGINS.search(text, *match.span()):
                places.append((begins.start(), match.end()))
    if "://" in text:
        places += [match.span("secret") for match in _URL.finditer(text)]
    if "%40" in text:
        places += [match.span("secret") for match in _ENCODED_URL.finditer(text)]
    if _SCHEME_HINT(text):
        places += [match.span("secret") for match in _SCHEME.finditer(text) if _is_credential(match)]
    if _TOKEN_HINT(text) or "ya29." in text:
        places += [match.span() for match in _TOKEN.finditer(text)]
    if _CARD_HINT(text):
        places += [match.span() for match in _CARD.finditer(text) if _is_card(match)]
    return places


def begins_private_key(text: str) -> bool:
    """Return whether a private key begins in *text* and does not end there."""
    begins = _KEY_BEGINS.search(text) if "-----BEGIN" in text else None
    return begins is not None and not _KEY_ENDS.search(text, begins.end())


def ends_private_key(text: str) -> bool:
    """Return whether a private key ends in *text*."""
    return "-----END" in text and _KEY_ENDS.search(text) is not None


def is_card_number(digits: str) -> bool:
    """Return whether *digits* begin and end (Luhn) like the number of a payment card."""
    if not _ISSUERS.fullmatch(digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _private_keys(text: str) -> list[tuple[int, int]]:
    places = []
    begins = _KEY_BEGINS.search(text)
    while begins:
        if ends := _KEY_ENDS.search(text, begins.end()):
            places.append((begins.start(), ends.end()))
            begins = _KEY_BEGINS.search(text, ends.end())
            continue
        while begins and not _KEY_GOES_ON.match(text, begins.end()):
            begins = _KEY_BEGINS.search(text, begins.end())
        return [*places, (begins.start(), len(text))] if begins else places
    return places


def _is_card(match: re.Match[str]) -> bool:
    return is_card_number(match[0].replace(match[1] or match[2] or " ", ""))


def _is_credential(match: re.Match[str]) -> bool:
    """Whether what follows `Bearer` or `Basic` is no word of a sentence: "basic authentication"."""
    token = match["secret"]
    if match["scheme"].lower() == "bearer":
        return not token.rstrip(".").isalpha() or len(token) > 24
    return _is_login(token) or _is_login(token.rstrip("./"))


def _is_login(token: str) -> bool:
    """Return whether it is a name and a password, as base64."""
    token = token.replace("-", "+").replace("_", "/") + "=" * (-len(token) % 4)
    try:
        return b":" in base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        return False
