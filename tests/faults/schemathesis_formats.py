"""Formats that schemathesis cannot generate: cursors of the log, and the token."""

from __future__ import annotations

import os

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("cursor", st.sampled_from(os.environ["KNOWN_CURSORS"].split()))
schemathesis.openapi.format("password", st.just(os.environ["KNOWN_TOKEN"]) | st.text())


@schemathesis.hook
def filter_query(context, query):
    """No field is requested twice, a rule that a schema cannot express."""
    given = (query or {}).get("where")
    fields = [str(text).partition("=")[0] for text in given] if isinstance(given, list) else []
    return len(fields) == len(set(fields))
