"""An event as one line of JSON that every parser accepts, whatever older writers put into the log."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")


def strict_json(fields: Mapping[str, Any]) -> bytes:
    """*fields* as one line of strict JSON (RFC 8259) in UTF-8, without a newline.

    NaN and infinities, which JSON does not have, become null; halves of surrogate pairs, which UTF-8
    does not have, become U+FFFD.

    Raises:
        RecursionError: they are nested too deep.
    """
    text = _dumps(fields)
    if "NaN" in text or "Infinity" in text:  # perhaps only in a string
        text = _dumps(json.loads(text, parse_constant=_null))
    return _SURROGATE.sub("\ufffd", text).encode()


def _dumps(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _null(constant: str) -> None:
    return None
