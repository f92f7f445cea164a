"""The configuration for nginx in the README works with a real nginx: pages, login, streams."""

from __future__ import annotations

import os
import subprocess
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import expect

from tests.benchmarks.servers import answers
from tests.browser.site import Site
from tests.documents import README
from tests.faults.clients import browser_page
from tests.needs import find_program, need
from tests.ports import free_port

TOKEN = "a-token-of-32-visible-characters"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
EVENTS = "api/v1/orchestrator/events"
CONFIGURATION = """
{user}
pid nginx.pid;
daemon off;
error_log error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


@pytest.fixture
def site(tmp_path):
    """A server with a token, and one event in its log."""
    need("nginx with nchan")
    site = Site(tmp_path, token=TOKEN)
    site.log = site.logger()
    site.log.info("first")
    site.start()
    yield site
    site.close()


@pytest.fixture
def proxied(site):
    """Start nginx with the README's lines, changed by a function; return its address."""
    processes = []

    def start(change=str):
        port = free_port()
        (location,) = README.blocks("nginx")
        location = change(location).replace("127.0.0.1:8000", f"127.0.0.1:{site.port}")
        user = "user root;" if os.geteuid() == 0 else ""
        text = CONFIGURATION.format(user=user, port=port, location=location)
        (site.folder / "nginx.conf").write_text(text)
        command = [find_program("nginx"), "-p", site.folder, "-c", "nginx.conf", "-e", "error.log"]
        processes.append(subprocess.Popen(command))
        assert answers(port, processes[-1])
        return f"http://127.0.0.1:{port}"

    yield start
    for process in processes:
        process.terminate()
        process.wait()


def test_pages_and_the_token(proxied):
    """The viewer is served below the prefix, and events need the token."""
    with httpx.Client(base_url=f"{proxied()}/logs/") as client:
        assert client.get("").status_code == client.get("viewer/main.js").status_code == 200
        assert client.get(EVENTS).status_code == 401
        (event,) = client.get(EVENTS, headers=BEARER).json()["events"]

    assert event["message"] == "first"


def log_in(address, **headers):
    """Log in like a browser; return the answer, and whether events can be read then."""
    with httpx.Client(base_url=f"{address}/logs/", headers={"Origin": address, **headers}) as client:
        status = client.post("login", data={"token": TOKEN}).status_code
        return status, client.get(EVENTS).status_code


def test_the_login(proxied):
    """People log in once, and have a session."""
    assert log_in(proxied(), **{"Sec-Fetch-Site": "same-origin"}) == (204, 200)


def test_the_login_of_a_browser(site, proxied):
    """A real browser logs in behind nginx, which passes another host on than the page's, and logs out."""
    address = f"{proxied()}/logs/"
    with browser_page() as page:
        page.goto(address)
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#count")).to_have_text("1 event")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_focused()


@pytest.mark.parametrize("trace_id", ["a//b", "a/../b"])
def test_a_trace_whose_id_is_a_path(site, proxied, trace_id):
    """nginx makes another path of some; the page finds the trace all the same."""
    site.log.info("step", extra={"trace_id": trace_id})
    address = f"{proxied()}/logs/"
    with browser_page() as page:
        page.goto(f"{address}?timeline={quote(trace_id, safe='')}")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#timeline-summary")).to_contain_text("1 event · ")


def test_a_form_of_another_site(proxied):
    """A form that another site sends is refused behind nginx too."""
    assert log_in(proxied(), **{"Sec-Fetch-Site": "cross-site"}) == (403, 401)
    assert log_in(proxied(), Origin="https://evil.example") == (403, 401)


def test_without_a_token(tmp_path, proxied, site):
    """A server without a token refuses what comes through nginx with any of the usual lines for headers."""
    site.stop()
    site.token = None
    site.start()
    usual = ("Host $host", "X-Forwarded-For $remote_addr", "X-Real-IP $remote_addr")
    with httpx.Client() as client:
        for line in usual:
            address = proxied(lambda text, line=line: text.replace("}", f"proxy_set_header {line};}}"))
            answer = client.get(f"{address}/logs/{EVENTS}", headers={"Host": "logs.example"})
            assert answer.status_code == 403
            assert "set CHORA_LOGGING_TOKEN" in answer.json()["detail"]


def test_streams_are_not_held_back(site, proxied):
    """An event arrives as soon as it is logged, although nginx buffers responses by default."""
    address = f"{proxied()}/logs/{EVENTS}/stream"
    with httpx.stream("GET", address, headers=BEARER, timeout=20) as response:
        data = (line for line in response.iter_lines() if line.startswith("data:"))
        assert '"first"' in next(data)
        site.log.info("second")

        assert '"second"' in next(data)
