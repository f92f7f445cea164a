"""What one request may cost: large events, short lines, and compressed files that unpack to a lot."""

from __future__ import annotations

import asyncio
import contextlib
import os

import httpx
import pytest

from chora_logging.compressed_files import GZIP, ZSTD
from chora_logging.web import Limits, create_app
from tests.eventlog.writing import line, write, write_packed
from tests.web.serving import all_pages, ask, event_source, serving

EVENTS = "/api/v1/orchestrator/events"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "orch.log"


def numbers(pages):
    return [event["n"] for page in pages for event in page["events"]]


@pytest.mark.parametrize("logs", ["orchestrator", "orchestrator,other"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_large_events_make_short_pages(tmp_path, log, order, logs):
    """A page of large events ends early, with a next: many at a time would need all memory."""
    write(log, *range(60), size=60_000)
    app = create_app({"orchestrator": log, "other": tmp_path / "other.log"})
    path = f"/api/v1/{logs}/events?limit=1000&order={order}"

    assert len(ask(app, path).content) < 1_200_000
    pages = all_pages(app, path)
    found = [event.get("event", event)["n"] for page in pages for event in page["events"]]
    assert found == sorted(range(60), reverse=order == "desc")


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_short_lines_are_read_for_as_long_as_long_ones(log, order):
    """A line counts as 100 bytes at least, so that lines without content cannot be read for minutes."""
    log.write_bytes(line(1) + b"\n" * 300_000 + line(2))
    app = create_app({"orchestrator": log}, limits=Limits(scanned=10_000_000))

    pages = all_pages(app, f"{EVENTS}?limit=10&order={order}")

    assert len(pages) > 1
    assert sorted(numbers(pages)) == [1, 2]


class TestBomb:
    @pytest.fixture(
        params=[(GZIP, b"\0"), (GZIP, b"\n"), (ZSTD, b"\0")], ids=["no line", "no content", "zstd"]
    )
    def app(self, log, request):
        """An application with a backup of 8 kB that unpacks to 8 MB, of which 1 may be unpacked."""
        format, filling = request.param
        write_packed(f"{log}.1{format.suffix}", format, line(1) + filling * 2**23)
        assert os.path.getsize(f"{log}.1{format.suffix}") < 10_000
        write(log, 2, 3)
        return create_app({"orchestrator": log}, limits=Limits(unpacked=2**20, scanned=1))

    def test_the_newest_events_are_given(self, app):
        """What is newer than the backup is on a page; the page of the backup itself is refused."""
        page = ask(app, f"{EVENTS}?order=desc").json()
        refused = ask(app, f"{EVENTS}?order=desc&after={page['next']}")

        assert ([event["n"] for event in page["events"]], page["more"]) == ([3, 2], True)
        assert refused.status_code == 503
        assert "a compressed file gives more than the 1 MiB" in refused.json()["detail"]

    def test_the_oldest_events_are_given(self, log, app):
        """Forwards, what is before the place from which one cannot go on is given, and that place is said."""
        path = f"{EVENTS}?limit=1000"
        answer = ask(app, path)
        found = []
        while answer.status_code == 200:
            page = answer.json()
            found += [event["n"] for event in page["events"]]
            assert page["more"]
            answer = ask(app, f"{path}&after={page['next']}")

        assert found == [1]
        assert "a compressed file gives more than the 1 MiB" in answer.json()["detail"]


async def anyone(request):
    """Accept requests that came through a proxy."""


def test_one_client_behind_a_proxy_keeps_nobody_out(log):
    """A client whose address a proxy forwards has a quarter of the streams; later it has them again."""
    write(log, 1)
    app = create_app({"orchestrator": log}, check=anyone, limits=Limits(streams=8))

    async def statuses(port, *clients):
        async with contextlib.AsyncExitStack() as stack:
            found = []
            for client in clients:
                stream = event_source(port, f"{EVENTS}/stream", {"X-Forwarded-For": client})
                found.append((await stack.enter_async_context(stream)).status)
            return found

    async def scenario():
        async with serving(app, proxy_headers=True, forwarded_allow_ips="127.0.0.1") as port:
            first = await statuses(port, *["192.0.2.1"] * 3, "192.0.2.2")
            while await statuses(port, *["192.0.2.1"] * 2) != [200, 200]:  # the server sees the end later
                await asyncio.sleep(0.01)
            return first

    assert asyncio.run(scenario()) == [200, 200, 503, 200]


def test_pages_of_one_client_behind_a_proxy(log):
    """A client whose address a proxy forwards has a quarter of the requests; others are answered."""
    write(log, *range(20_000))
    app = create_app({"orchestrator": log}, check=anyone, limits=Limits(pages=8))

    async def statuses(client, number):
        transport = httpx.ASGITransport(app, client=(client, 0))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
            asked = [browser.get(f"{EVENTS}?event=nothing") for _ in range(number)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    async def scenario():
        return await asyncio.gather(statuses("192.0.2.1", 6), statuses("192.0.2.2", 2))

    greedy, other = asyncio.run(scenario())
    assert (set(greedy), greedy.count(200) >= 2) == ({200, 503}, True)
    assert other == [200, 200]
    assert asyncio.run(statuses("192.0.2.1", 1)) == [200]
