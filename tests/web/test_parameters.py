"""Valid and invalid queries, and the messages about invalid ones."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chora_logging.eventlog import EventLog
from chora_logging.eventlog.rotated.cursor import NO_LOG, Position, encode
from chora_logging.web import create_app
from chora_logging.web.parameters import (
    FILTERS,
    event_query,
    fields_query,
    histogram_query,
    page_query,
    stream_query,
    trace_query,
    traces_query,
)
from chora_logging.web.responses import Refusal
from tests.web.serving import ask

#: A query, the error, and a part of the detail: the parameter, its value, the rule.
BAD = [
    ("limit=0", "invalid_parameter", "limit must be a whole number from 1 to 1000, got '0'"),
    ("limit=1001", "invalid_parameter", "limit must be a whole number from 1 to 1000, got '1001'"),
    ("limit=%D9%A3", "invalid_parameter", "limit must be a whole number from 1 to 1000, got '٣'"),
    ("limit=1e2", "invalid_parameter", "limit must be a whole number from 1 to 1000, got '1e2'"),
    ("limit=99999999999999999999", "invalid_parameter", "got '99999999999999999999'"),
    ("order=up", "invalid_parameter", "order must be asc or desc, got 'up'"),
    ("after=xyz", "invalid_parameter", "after must be an unchanged cursor of an event or a page"),
    ("level=loud", "invalid_parameter", "level must be a number or one of DEBUG, INFO, WARNING, ERROR"),
    ("level=" + "9" * 5000, "invalid_parameter", "level must be a number or one of DEBUG"),
    ("since=yesterday", "invalid_parameter", "since must be a datetime, ISO 8601"),
    ("until=25:00", "invalid_parameter", "until must be a datetime"),
    ("where=x", "invalid_parameter", "where must be a field, an operator (= != > >= < <= ~= :) and a value"),
    ("where=%3Dx", "invalid_parameter", "or \"not status=ok\", got '=x'"),
    ("where=a=~1", "invalid_parameter", "where must be a~=1, or a=\"~1\" for a value like that, got 'a=~1'"),
    ("where=a~=(", "invalid_parameter", "where must be a regular expression such as a~=time.?out"),
    ("&".join(f"where=a{n}=1" for n in range(51)), "invalid_parameter", "must be at most 50 conditions"),
    ("text=a&text=b", "invalid_parameter", "text must be given once"),
    ("task_id=1&task_id=2", "invalid_parameter", "task_id must be given once"),
    ("taskid=1", "unknown_parameter", "taskid is unknown; use task_id, run_id,"),
    ("a%0Ab=1", "unknown_parameter", r"the parameter 'a\nb' is unknown"),
    ("&".join(f"a{n}=1" for n in range(200)), "invalid_parameter", "at most 100 parameters"),
]


LOG = EventLog("app.log")

NAMES = [
    *(*FILTERS, "where", "limit", "after", "before", "order", "from"),
    *("cursors", "step", "prefix"),
]

SOME_CURSOR = encode(Position(NO_LOG, 0, 0, bytes(6), bytes(6), 0, 0))


@pytest.fixture
def app(tmp_path):
    return create_app({"orchestrator": tmp_path / "orch.log"})


#: What parses the query of each route, of an application with one log.
PARSERS = [
    lambda query: page_query(query, {"app": LOG}),
    lambda query: stream_query(query, {"app": LOG}),
    lambda query: trace_query(query, {"app": LOG}),
    lambda query: traces_query(query, {"app": LOG}),
    lambda query: histogram_query(query, {"app": LOG}),
    lambda query: fields_query(query, LOG),
    lambda query: event_query(query, SOME_CURSOR, LOG),
]


def status(parse, query):
    """Return the answer to a request with that query."""
    try:
        parse(query)
    except Refusal as refusal:
        return refusal.status
    return 200


class TestRefusals:
    @pytest.mark.parametrize(("query", "error", "detail"), BAD, ids=[query[:30] for query, *_ in BAD])
    def test_a_bad_parameter_is_named(self, app, query, error, detail):
        """422 names the parameter, its value and the rule."""
        answer = ask(app, f"/api/v1/orchestrator/events?{query}")

        assert (answer.status_code, set(answer.json())) == (422, {"error", "detail"})
        assert answer.json()["error"] == error
        assert detail in answer.json()["detail"]

    def test_streams_check_theirs(self, app):
        """A stream with a bad parameter is refused before it begins."""
        answer = ask(app, "/api/v1/orchestrator/events/stream?from=middle")

        assert answer.status_code == 422
        assert answer.json()["detail"] == "from must be start or end, got 'middle'"

    def test_a_query_that_is_too_long(self, app):
        """A query of more than 8 kB is refused unread."""
        answer = ask(app, f"/api/v1/orchestrator/events?task_id={'x' * 9000}")

        assert (answer.status_code, answer.json()["error"]) == (414, "query_too_long")

    def test_what_is_shown_of_a_value_is_short(self, app):
        """A long value is not sent back whole."""
        for query in (f"limit={'9' * 5000}", f"where={'a' * 5000}=~x", f"where=a~={'(' * 5000}"):
            answer = ask(app, f"/api/v1/orchestrator/events?{query}")

            assert answer.status_code == 422
            assert len(answer.text) < 400


class TestAnyQuery:
    @given(st.binary(max_size=300))
    @example(b"where=&where&=&&;")
    @example(b"%00=%ff%fe")
    def test_every_query_is_answered_or_refused(self, query):
        """Any bytes as a query are either parsed or refused."""
        assert {status(parse, query) for parse in PARSERS} <= {200, 422}

    @given(st.sampled_from(NAMES), st.text(max_size=60))
    def test_every_value_is_answered_or_refused(self, name, value):
        """Any text as the value of a parameter is either parsed or refused."""
        query = f"{name}={''.join(f'%{byte:02X}' for byte in value.encode('utf-8', 'surrogatepass'))}"
        assert {status(parse, query.encode()) for parse in PARSERS} <= {200, 422}
