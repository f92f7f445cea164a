"""Formats that schemathesis cannot generate: cursors of the log, conditions, and the token."""

from __future__ import annotations

import os

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("cursor", st.sampled_from(os.environ["KNOWN_CURSORS"].split()))
schemathesis.openapi.format("password", st.just(os.environ["KNOWN_TOKEN"]) | st.text())
schemathesis.openapi.format(
    "condition",
    st.sampled_from(
        ["n=1", "n >= 1", "not n<2", "logger!=app", "event:Task", "event~=^task_(started|failed)", "a.b[]=x"]
    ),
)
