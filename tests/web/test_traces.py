"""Traces over HTTP: across all logs, from their newest ends, page by page."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from chora_logging.web import Limits, create_app
from tests.eventlog.writing import write
from tests.web.serving import all_pages, ask
from tests.web.test_pages import append


@pytest.fixture
def log(tmp_path):
    return tmp_path / "orch.log"


@pytest.fixture
def app(log, tmp_path):
    return create_app({"orchestrator": log, "telemetry": tmp_path / "events.jsonl"})


def pages(app, limit):
    """Return the field `n` of the events of each page of the trace `t`, read like a client."""
    found = all_pages(app, f"/api/v1/orchestrator/traces/t?limit={limit}")
    return [[entry["event"]["n"] for entry in page["events"]] for page in found]


class TestTraces:
    @pytest.mark.parametrize("trace_id", ["a\nb", "a\n", "\r\n", "a/b", "\u2028"], ids=repr)
    def test_every_listed_id_has_a_page(self, app, log, trace_id):
        """An id that the list of traces has is found at its address, also one with line breaks."""
        append(log, {"trace_id": trace_id, "n": 1})

        (listed,) = ask(app, "/api/v1/orchestrator/traces").json()["trace_ids"]
        answer = ask(app, f"/api/v1/orchestrator/traces/{quote(listed, safe='')}")

        assert (listed, answer.status_code) == (trace_id, 200)
        assert [entry["event"]["n"] for entry in answer.json()["events"]] == [1]

    def test_a_trace_over_all_logs_in_time_order(self, app, log, tmp_path):
        """The events of a trace come from all logs, with their names, in time order."""
        append(log, {"trace_id": "t", "timestamp": "2025-01-01T00:00:01Z", "n": 1}, {"trace_id": "u"})
        append(log, {"trace_id": "t", "n": 2}, {"trace_id": "t", "timestamp": 1735689604, "n": 4})
        append(tmp_path / "events.jsonl", {"trace_id": "t", "timestamp": "2025-01-01T01:00:02+01:00", "n": 3})

        body = ask(app, "/api/v1/orchestrator/traces/t").json()

        assert [(entry["log"], entry["event"]["n"]) for entry in body["events"]] == [
            ("orchestrator", 1),
            ("orchestrator", 2),
            ("telemetry", 3),
            ("orchestrator", 4),
        ]
        assert (body["trace_id"], body["more"]) == ("t", False)

    def test_an_event_without_a_time_stays_at_its_place(self, app, log, tmp_path):
        """It goes before the first event with a time of its log, or behind the one before it."""
        append(log, {"n": 0, "trace_id": "t"}, {"n": 1, "trace_id": "t", "timestamp": 5})
        append(tmp_path / "events.jsonl", {"n": 2, "trace_id": "t", "timestamp": 1})
        found = ask(app, "/api/v1/orchestrator/traces/t").json()["events"]

        assert [entry["event"]["n"] for entry in found] == [2, 0, 1]

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    def test_a_long_trace_has_pages(self, app, log, tmp_path, limit):
        """The pages of a trace begin with its newest events, and have each event once."""
        stamped = [{"trace_id": "t", "n": n, "timestamp": 1735689600 + n} for n in range(10)]
        append(log, *stamped[::2])
        append(tmp_path / "events.jsonl", *stamped[1::2])

        found = pages(app, limit)

        assert [n for page in found[::-1] for n in page] == list(range(10))
        assert all(len(page) == limit for page in found[:-1])

    def test_a_trace_at_the_end_of_a_large_log(self, log, tmp_path):
        """It is found on the first page; what has not been read is said, and the last page has read all."""
        logs = {"orchestrator": log, "telemetry": tmp_path / "events.jsonl"}
        app = create_app(logs, limits=Limits(scanned=1))
        write(log, *range(1000), size=1000)
        append(log, {"trace_id": "t", "n": 0, "timestamp": "2025-01-01T00:00:00Z"})
        append(tmp_path / "events.jsonl", {"trace_id": "t", "n": 1, "timestamp": "2024-01-01T00:00:00Z"})

        first = ask(app, "/api/v1/orchestrator/traces/t").json()

        assert [entry["event"]["n"] for entry in first["events"]] == [1, 0]
        assert (first["more"], list(first["read_to"])) == (True, ["orchestrator"])
        assert [n for page in pages(app, 100) for n in page] == [1, 0]

    def test_an_older_trace_of_a_large_log(self, log):
        """Pages without events lead to it, and none of them says that there is none."""
        app = create_app({"orchestrator": log}, limits=Limits(scanned=1))
        append(log, {"trace_id": "t", "n": 0})
        write(log, *range(1000), size=1000)

        found = pages(app, 100)

        assert len(found) > 2
        assert [n for page in found for n in page] == [0]

    def test_an_event_has_its_cursor(self, app, log):
        """With each event comes the cursor that it has in its log."""
        append(log, {"trace_id": "t", "n": 0}, {"n": 1})
        (entry,) = ask(app, "/api/v1/orchestrator/traces/t").json()["events"]

        rest = ask(app, f"/api/v1/orchestrator/events?after={entry['cursor']}").json()

        assert [event["n"] for event in rest["events"]] == [1]

    def test_a_gap(self, app, log):
        """A page after a cursor into a deleted file says which log has a gap."""
        append(log, *({"trace_id": "t", "n": n} for n in range(3)))
        after = ask(app, "/api/v1/orchestrator/traces/t?limit=1").json()["next"]
        log.unlink()
        append(log, {"trace_id": "u", "n": 3})

        page = ask(app, f"/api/v1/orchestrator/traces/t?after={after}").json()

        assert (page["events"], list(page["gaps"])) == ([], ["orchestrator"])

    @pytest.mark.parametrize(
        "change", [lambda after: after + "x", lambda after: "x" + after, lambda _: "x~~"]
    )
    def test_a_cursor_of_other_logs(self, app, log, change):
        """A cursor that is not the `next` of a trace page is refused."""
        append(log, {"trace_id": "t", "n": 0})
        after = ask(app, "/api/v1/orchestrator/traces/t").json()["next"]
        answer = ask(app, f"/api/v1/orchestrator/traces/t?after={change(after)}")

        assert (answer.status_code, answer.json()["error"]) == (422, "invalid_parameter")

    def test_no_id_is_no_trace(self, app):
        """An address without an id is 404."""
        answer = ask(app, "/api/v1/orchestrator/traces/")

        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")

    def test_any_id_can_be_asked_for(self, app, log):
        """An id with reserved characters is found when it is escaped."""
        append(log, {"trace_id": "a b?c&d%ü", "n": 1})

        body = ask(app, "/api/v1/orchestrator/traces/a%20b%3Fc%26d%25%C3%BC").json()

        assert len(body["events"]) == 1

    def test_a_trace_that_is_known_is_not_read_again(self, app, log):
        """An unchanged trace is answered with 304."""
        append(log, {"trace_id": "t", "n": 1})
        tag = ask(app, "/api/v1/orchestrator/traces/t").headers["etag"]

        answer = ask(app, "/api/v1/orchestrator/traces/t", headers={"if-none-match": tag})

        assert answer.status_code == 304
