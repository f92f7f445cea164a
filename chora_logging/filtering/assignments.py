"""Finds the values of secrets in text by the names before them: `password=…`, `"token": "…"`, `Cookie: …`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chora_logging.filtering.secret_names import NAME_CHARACTERS, SecretNames

# A name and what separates it from its value: `name=`, `name: `, `"name": `, `['name'] = `, `('name', `, or
# `--name `, `'--name', `; percent-encoded, in Markdown, in colours of a terminal and in HTML, too.
_SPACE = r"[ \t\u00a0]{0,3}"
_STYLE = r"(?:\x1b\[[\d;]{0,16}m|\*\*(?!\*)){0,2}"
_ENCODED_QUOTE = r"\\{1,15}u002[27]|&(?:quot|\#3[49]);|%(?:25){0,3}2[27]"
_QUOTATION = rf"\\{{0,15}}[\"'`]|{_ENCODED_QUOTE}"
_BRACKET = r"\]|%(?:25){0,3}5[Dd]"
_NEXT_ARGUMENT = r"[ \t]{1,8}(?:\\\r?\n[ \t]{0,16})?(?=[^\s-])|\\{0,15}[\"'] ?, ?(?=[bBuU]?\\{0,15}[\"'][^-])"


def _assignment(characters: str) -> re.Pattern[str]:
    name = rf"[{characters}][{characters}.-]{{0,63}}(?![{characters}.-])"
    return re.compile(
        rf"(?<![{characters}-])(?:--(?P<option>{name})(?:{_NEXT_ARGUMENT})"
        rf"|-{{0,2}}(?P<name>{name}(?:\[[a-z0-9_]{{0,32}}\])?)(?=[ \t\u00a0=:\\\"'`&%*\x1b\]])"
        rf"(?:(?:(?=[\\\"'`&%*\x1b\]])(?:{_QUOTATION})?(?:{_BRACKET})?{_STYLE})?"
        rf"{_SPACE}(?P<sign>={{1,3}}>?|:=?|%(?:25){{0,3}}3[AaDd]){_SPACE}{_STYLE}{_SPACE}"
        rf"|(?P<comma>\\{{0,15}}[\"'] ?, ?)))"
    )


_ASSIGNMENT = _assignment(NAME_CHARACTERS)
_ASCII_ASSIGNMENT = _assignment("A-Za-z0-9_")  # much faster
_ELEMENT = re.compile(
    r"<(?:[\w.-]{1,64}:)?(?P<name>[\w.-]{1,64})(?:\s[^<>]{0,500})?>(?P<value>(?:<!\[CDATA\[)?[^<]+)"
)
# What a name in text may have before it that looks like a part of it: `%3Ftoken`, `\x1b[1mtoken`, `\ntoken`.
_NOT_NAME = re.compile(
    r"(?<=%)(?:25){0,3}[0-9A-Fa-f]{2}|(?<=[\[;])\d{0,3}m"
    r"|(?<=\\)(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|[abfnrtv])"
)
_ENCODED_SEPARATOR = re.compile(r"(?<=%)(?:25){0,3}(?:5[Ff]|2[DdEe])")
_LAST_NAME = re.compile(r"[\w.-]{1,64}$")
# An entry of a list of names and values, as HAR files, Kubernetes and AWS have it.
_NAMED_VALUE = re.compile(
    r"(?P<quote>\\{0,15}[\"'])(?:name|key)(?P=quote) ?: ?(?P=quote)(?P<name>[^\"'\\]{1,64})(?P=quote) ?, ?"
    r"(?P=quote)value(?P=quote) ?: ?",
    re.IGNORECASE,
)
_QUOTE = re.compile(rf"[bBrRuUfF]{{0,2}}(\\{{0,15}})(\"\"\"|'''|[\"'`])|{_ENCODED_QUOTE}")
_CLOSING_QUOTES = {mark: re.compile(rf"(?<!\\)(\\*){mark}") for mark in ('"""', "'''", '"', "'", "`")}
# A value without quotes ends at a space. A quote, `&`, `<` or `>` may be a part of it, unless what follows
# says that something else goes on: the next parameter of a URL, an element, the end of a text in quotes.
_WORD = re.compile(
    r"(?:[^\s\"'<>&\x1b]|[\"'](?!\\*[\"']|[\s,;:.)\]}>]|$)|&(?![\w.\[\]-]{1,64}=|[a-z]{1,8};|\#\d{1,4};)"
    r"|<(?!/?[A-Za-z][^<>]{0,200}>)|>(?![\s,;:.)\]}<]|$))+"
)
_ENCODED_WORD = re.compile(r"(?:[^\s\"'<>&\x1b%]|%(?!(?:25){0,3}(?:2[0267]|0[AaDd])))+")
_PAIR_ENDS = re.compile(r"\\{0,15}[\"'] ?\]")
_PAIR_HINT = re.compile(r"[(\[]b?\\{0,15}[\"']").search
_CALL = re.compile(r"[A-Za-z_][\w.]{0,63}(?=\([bBrRuU]{0,2}[\"'])")
_SCHEME = re.compile(r"(?:bearer|basic|token|negotiate|ntlm|apikey)\s{1,4}", re.IGNORECASE)
_LONG_SCHEME = re.compile(r"(?:digest|oauth|signature|aws4-[a-z0-9-]{1,32})[ \t]", re.IGNORECASE)
_TO_END_OF_LINE = re.compile(r"[^\r\n]+")
_TO_QUOTE = re.compile(r"[^\r\n\"'<>]+")
_CLOSING = {"[": "]", "(": ")", "{": "}"}
#: What programs show instead of a secret, or of none.
_NO_SECRETS = {"", "null", "none", "nil", "undefined", "true", "false", "yes", "no", "on", "off"}
_NO_SECRETS |= {"enabled", "disabled", "required", "optional", "missing", "empty", "not set"}
_MASKS = " *•?"


def secret_values(text: str, names: SecretNames, replacement: str) -> list[tuple[int, int]]:
    """Return where each value begins and ends in *text* that has one of *names*, and is not replaced yet."""
    if "=" in text or ":" in text or "--" in text or "%" in text or _PAIR_HINT(text):
        places = list(_assigned(text, names, replacement))
    else:
        places = []
    if "value" in text or "Value" in text:
        end = 0
        for entry in _NAMED_VALUE.finditer(text):
            if entry["name"] in names and entry.start() >= end:
                start, end = _value_at(text, entry.end(), None, replacement)
                if _is_secret(text[start:end], replacement):
                    places.append((start, end))
    if "</" in text:
        for element in _ELEMENT.finditer(text):
            if element["name"] in names and _is_secret(element["value"], replacement):
                places.append(element.span("value"))
    return places


def _assigned(text: str, names: SecretNames, replacement: str) -> Iterator[tuple[int, int]]:
    assignments = (_ASCII_ASSIGNMENT if text.isascii() else _ASSIGNMENT).finditer(text)
    has_codes = "%" in text or "\x1b" in text or "\\" in text
    end = 0
    for at in assignments:
        name = at["name"] or at["option"]
        known = names[name]
        if (known is None or (has_codes and not known)) and at["name"]:
            known = _is_named_with_more(text, at.start(), name, names)
        if known and at.start() >= end and (not at["comma"] or _is_pair(text, at)):
            start, end = _value_at(text, at.end(), at, replacement)
            if end > start and _is_secret(text[start:end], replacement):
                yield start, end


def _is_named_with_more(text: str, start: int, name: str, names: SecretNames) -> bool:
    """Return whether *name* is that of a secret with the words before it, or without a code before it."""
    before = text[max(start - 64, 0) : start]
    if before.endswith(("%", "[", ";", "\\")) and (other := _NOT_NAME.match(text, start)):
        rest = name[len(other[0]) :]
        if _ENCODED_SEPARATOR.match(text, start) and (first := _LAST_NAME.search(before[:-1])):
            return f"{first[0]}_{rest}" in names
        return rest in names
    return names.ends_one(name, before)


def _is_secret(value: str, replacement: str) -> bool:
    value = value.strip(_MASKS)
    return value.lower() not in _NO_SECRETS and value != replacement


def _value_at(text: str, start: int, at: re.Match[str] | None, replacement: str) -> tuple[int, int]:
    """Return where the value that begins at *start* begins and ends; equal if there is none."""
    if text.startswith(replacement, start):
        return start, start + len(replacement)
    if quote := _QUOTE.match(text, start):
        start = quote.end()
        return start, _closing_quote(text, start, quote)
    if text[start : start + 1] in _CLOSING:
        end = _closed(text, start)
        return start, start if end - start <= 2 else end
    if call := _CALL.match(text, start):
        return start, _closed(text, call.end())
    return start, _end_of_word(text, start, at)


def _closing_quote(text: str, start: int, quote: re.Match[str]) -> int:
    """Return where the text in quotes ends that begins at *start*.

    The closing quote has as many backslashes as the opening one. In between, a quote has more, as a text in
    quotes within a text in quotes.
    """
    if quote[2] is None:
        end = text.find(quote[0], start)
        return len(text) if end < 0 else end
    escapes = len(quote[1])
    for match in _CLOSING_QUOTES[quote[2]].finditer(text, start):
        if len(match[1]) % (2 * (escapes + 1)) == escapes:
            return match.end() - len(quote[2]) - escapes
    return len(text)


def _is_pair(text: str, at: re.Match[str]) -> bool:
    """Return whether a name and a comma begin a pair: `('authorization', …)`, `["Cookie", "…"]`.

    A list may also be one of names; a pair ends after a value in quotes.
    """
    before = text[max(at.start() - 20, 0) : at.start()].rstrip("b\\\"'")
    if not before.endswith("["):
        return before.endswith("(")
    quote = _QUOTE.match(text, at.end())
    return bool(quote and _PAIR_ENDS.match(text, _closing_quote(text, quote.end(), quote)))


def _end_of_word(text: str, start: int, at: re.Match[str] | None) -> int:
    """Return the end of a value without quotes; that of a header may have several words."""
    name, sign = ("", "") if at is None else ((at["name"] or "").lower(), at["sign"] or "")
    if name.endswith("cookie") and sign == ":":
        return _end(_TO_QUOTE.match(text, start), start)
    if name.endswith("authorization"):
        if _LONG_SCHEME.match(text, start):
            return _end(_TO_END_OF_LINE.match(text, start), start)
        scheme = _SCHEME.match(text, start)
        start = start if scheme is None else scheme.end()
    word = (_ENCODED_WORD if sign.startswith("%") else _WORD).match(text, start)
    if word is None:
        return start
    value = word[0].rstrip(",;.)]}\\\"'")
    is_call = value.endswith("(") and word[0].startswith(")", len(value))  # getpass()
    return start + len(value) + is_call


def _end(match: re.Match[str] | None, start: int) -> int:
    return start if match is None else match.end()


def _closed(text: str, start: int) -> int:
    """Return the end of the bracket that opens at *start*, or of the text."""
    waiting: list[str] = []
    quote = ""
    place = start
    while place < len(text):
        mark = text[place]
        if mark == "\\":
            place += 1
        elif quote:
            quote = "" if mark == quote else quote
        elif mark in "\"'":
            quote = mark
        elif mark in _CLOSING:
            waiting.append(_CLOSING[mark])
        elif waiting and mark == waiting[-1]:
            waiting.pop()
            if not waiting:
                return place + 1
        place += 1
    return len(text)
