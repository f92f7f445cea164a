"""Several logs in one page and in one stream."""

from __future__ import annotations

import asyncio

import pytest

from chora_logging.web import create_app
from tests.web.memory_source import MemorySource
from tests.web.serving import all_pages, ask, event_source, serving
from tests.web.test_pages import append

BOTH = "/api/v1/orchestrator,telemetry/events"
START = 1_735_689_600


@pytest.fixture
def paths(tmp_path):
    return [tmp_path / "orch.log", tmp_path / "events.jsonl"]


@pytest.fixture
def app(paths):
    return create_app({"orchestrator": paths[0], "telemetry": paths[1], "general": "general.log"})


def at(*numbers):
    """Numbered events, one in each second."""
    return [{"n": number, "timestamp": START + number} for number in numbers]


def numbers(page):
    return [entry["event"]["n"] for entry in page["events"]]


class TestPages:
    @pytest.mark.parametrize("limit", [1, 3, 100])
    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_in_time_order(self, app, paths, order, limit):
        """The pages have the events of both logs in the order of time, each with its log, in both orders."""
        append(paths[0], *at(0, 1, 4, 5, 9))
        append(paths[1], *at(2, 3, 6, 7, 8))
        found = all_pages(app, f"{BOTH}?order={order}&limit={limit}")

        listed = [number for page in found for number in numbers(page)]
        assert listed == list(range(10))[:: 1 if order == "asc" else -1]
        first = found[0]["events"][0]
        one = ask(app, f"/api/v1/{first['log']}/events/{first['cursor']}").json()
        assert one["event"]["event"] == first["event"]

    def test_filters(self, app, paths):
        """The filters are those of a log, each by what its own fields mean."""
        append(paths[0], *at(0, 1))
        append(paths[1], *at(0, 1))

        assert numbers(ask(app, f"{BOTH}?where=n=1").json()) == [1, 1]

    def test_what_comes_later(self, app, paths):
        """The `next` of the last page and the `live` of the newest one lead to later events of each log."""
        append(paths[0], *at(0))
        after = [ask(app, BOTH).json()["next"], ask(app, f"{BOTH}?order=desc").json()["live"]]
        append(paths[1], *at(1))
        append(paths[0], *at(2))

        assert [numbers(ask(app, f"{BOTH}?after={each}").json()) for each in after] == [[1, 2], [1, 2]]

    def test_skipped_lines(self, app, paths):
        """Lines that are no events are counted."""
        paths[0].write_bytes(b"no event\n")
        paths[1].write_bytes(b"[]\n{}\n")

        assert ask(app, BOTH).json()["skipped"] == 2

    @pytest.mark.parametrize("names", ["orchestrator,", "orchestrator,nothing", ",", "general,other"])
    def test_unknown_logs(self, app, names):
        """One unknown name is enough to refuse all."""
        for route in ("events", "events/stream"):
            answer = ask(app, f"/api/v1/{names}/{route}")
            assert (answer.status_code, answer.json()["error"]) == (404, "unknown_log")

    def test_too_many_logs(self, app):
        """So many logs can be read at a time, and no more."""
        app = create_app({f"log{n}": "app.log" for n in range(17)})
        names = [f"log{n}" for n in range(17)]

        assert ask(app, f"/api/v1/{','.join(names[:16])}/events").status_code == 200
        answer = ask(app, f"/api/v1/{','.join(names)}/events")
        assert (answer.status_code, answer.json()["error"]) == (422, "too_many_logs")

    def test_the_order_of_the_names(self, app, paths):
        """It does not matter; one name alone, however often, is that log."""
        append(paths[0], *at(0, 1))
        after = ask(app, f"{BOTH}?limit=1").json()["next"]

        assert numbers(ask(app, f"/api/v1/telemetry,orchestrator/events?after={after}").json()) == [1]
        assert ask(app, "/api/v1/orchestrator,orchestrator/events").json()["events"] == at(0, 1)

    def test_a_cursor_of_one_log(self, app, paths):
        """A cursor of one log, or of others, is refused."""
        append(paths[0], *at(0))
        one = ask(app, "/api/v1/orchestrator/events").json()["next"]
        other = ask(app, "/api/v1/orchestrator,general/events").json()["next"]

        for cursor in (one, other):
            assert ask(app, f"{BOTH}?after={cursor}").status_code == 422
        assert ask(app, f"/api/v1/orchestrator/events?after={other}").status_code == 422


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario(), 60))


class TestStreams:
    def test_stored_then_new(self, app, paths):
        """What is stored comes in the order of time, then what is written to any of the logs."""
        append(paths[0], *at(0, 2))
        append(paths[1], *at(1, 3))

        async def scenario():
            async with serving(app) as port, event_source(port, f"{BOTH}/stream") as client:
                found = await client.next(4)
                for number in range(4, 9):
                    append(paths[number % 2], *at(number))
                    found += await client.next(1)
                return found

        found = [event for _, event in run(scenario)]

        assert [entry["event"]["n"] for entry in found] == list(range(9))
        assert [entry["log"] for entry in found[:4]] == ["orchestrator", "telemetry"] * 2
        page = ask(app, f"/api/v1/{found[5]['log']}/events?after={found[5]['cursor']}").json()
        assert [event["n"] for event in page["events"]] == [7]

    def test_every_id_resumes(self, app, paths):
        """From the id of each event on come exactly the others, of both logs."""
        append(paths[0], *at(0, 3, 4))
        append(paths[1], *at(1, 2, 5))

        async def scenario():
            async with serving(app) as port:
                async with event_source(port, f"{BOTH}/stream") as client:
                    await client.next(6)
                    ids = client.parser.ids
                resumed = []
                for left, cursor in zip(range(5, 0, -1), ids, strict=False):
                    async with event_source(port, f"{BOTH}/stream", {"Last-Event-ID": cursor}) as client:
                        resumed.append([event["event"]["n"] for _, event in await client.next(left)])
                return resumed

        assert run(scenario) == [[1, 2, 3, 4, 5], [2, 3, 4, 5], [3, 4, 5], [4, 5], [5]]

    def test_from_the_end(self, app, paths):
        """From the end on, the first id resumes in both logs, also in the one that had no event yet."""
        append(paths[0], *at(0))
        append(paths[1], *at(1))

        async def scenario():
            async with serving(app) as port:
                address = f"{BOTH}/stream?from=end"
                async with event_source(port, address) as client:
                    append(paths[0], *at(2))
                    found = await client.next(1)
                    (last,) = client.parser.ids
                append(paths[1], *at(3))
                async with event_source(port, address, {"Last-Event-ID": last}) as client:
                    return found + await client.next(1)

        assert [event["event"]["n"] for _, event in run(scenario)] == [2, 3]

    def test_a_gap_says_its_log(self):
        """A gap has the name of its log, and no id."""
        telemetry = MemorySource(*({"n": n} for n in range(5)))
        app = create_app({"orchestrator": MemorySource({"n": 0}), "telemetry": telemetry})
        after = ask(app, f"{BOTH}?limit=1").json()["next"]
        telemetry.lost = 3

        async def scenario():
            async with serving(app) as port:
                begin = after.rpartition("~")[0] + "~m.1"
                async with event_source(port, f"{BOTH}/stream?after={begin}") as client:
                    return await client.next(3)

        (kind, gap), *events = run(scenario)

        assert (kind, gap["log"]) == ("gap", "telemetry")
        assert [event["event"]["n"] for _, event in events] == [3, 4]

    def test_it_counts_for_each_log(self, app, paths):
        """Metrics count the stream and its events for the logs that they are of."""
        append(paths[0], *at(0, 1))
        append(paths[1], *at(2))

        async def scenario():
            async with serving(app) as port, event_source(port, f"{BOTH}/stream") as client:
                await client.next(3)
                return await asyncio.to_thread(lambda: ask(app, "/metrics").text)

        text = run(scenario)

        for log, events in (("orchestrator", 2), ("telemetry", 1)):
            assert f'chora_logging_events_read_total{{log="{log}"}} {events}.0' in text
            assert f'chora_logging_clients{{log="{log}"}} 1.0' in text

    def test_what_could_not_be_understood(self, app, paths):
        """Lines that are no events, and events that filters cannot judge, are counted over both logs."""
        paths[0].write_bytes(b"no event\n")
        append(paths[0], {"n": 0, "level": "INFO", "timestamp": START}, {"n": 1})
        paths[1].write_bytes(b"[]\n")
        append(paths[1], {"n": 2})

        async def scenario():
            found = []
            async with serving(app) as port, event_source(port, f"{BOTH}/stream?level=info") as client:
                while ("unreadable", {"lines": 2, "level": 2}) not in found or "message" not in dict(found):
                    found += await client.next(1)
            return found

        found = run(scenario)

        assert [event["event"]["n"] for kind, event in found if kind == "message"] == [0]
        assert {kind for kind, _ in found} == {"message", "unreadable"}

    def test_a_cursor_of_one_log(self, app, paths):
        """A `Last-Event-ID` of one log is a gap, then the stream begins as without it."""
        append(paths[0], *at(0))
        last = ask(app, "/api/v1/orchestrator/events").json()["next"]

        async def scenario():
            headers = {"Last-Event-ID": last}
            async with serving(app) as port, event_source(port, f"{BOTH}/stream", headers) as client:
                return await client.next(2)

        assert [kind for kind, _ in run(scenario)] == ["gap", "message"]
