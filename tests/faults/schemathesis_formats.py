"""Formats that schemathesis cannot generate: cursors of the logs, conditions, and the token."""

from __future__ import annotations

import os

import schemathesis
from hypothesis import strategies as st

known, merged = os.environ["KNOWN_CURSORS"].split(), os.environ["KNOWN_MERGED"].split()

schemathesis.openapi.format("cursor", st.sampled_from(known))
schemathesis.openapi.format("cursor of all logs", st.sampled_from(merged))
schemathesis.openapi.format("password", st.just(os.environ["KNOWN_TOKEN"]) | st.text())
schemathesis.openapi.format(
    "condition",
    st.sampled_from(
        ["n=1", "n >= 1", "not n<2", "logger!=app", "event:Task", "event~=^task_(started|failed)", "a.b[]=x"]
    ),
)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Give a page or a histogram of several logs a cursor of several."""
    query, names = case.query or {}, case.formatted_path.removeprefix("/api/v1/").partition("/")[0]
    if len(set(names.split(","))) > 1:
        for name in ("after", "to"):
            if query.get(name) in known:
                query[name] = merged[0]
