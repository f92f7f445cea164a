"""Access: accepted and refused requests, sessions and tokens."""

from __future__ import annotations

import asyncio
import logging
import os

import pytest

from chora_logging.errors import ConfigurationError
from chora_logging.web import create_app, sessions
from chora_logging.web.tokens import make_token
from tests.eventlog.writing import write
from tests.web.serving import ask, event_source, serving

TOKEN = "a-token-of-enough-characters"
EVENTS = "/api/v1/orchestrator/events"
BEARER = {"authorization": f"Bearer {TOKEN}"}
ELSEWHERE = ("192.0.2.7", 50000)


@pytest.fixture
def logs(tmp_path):
    return {"orchestrator": tmp_path / "orch.log"}


@pytest.fixture
def app(logs):
    return create_app(logs, token=TOKEN)


def later(monkeypatch, seconds):
    """Let the clock of sessions go forward."""
    now = sessions.time.time
    monkeypatch.setattr(sessions.time, "time", lambda: now() + seconds)


def login(app, token=TOKEN, **options):
    return ask(app, "/login", method="POST", data={"token": token}, **options)


def cookie_of(answer):
    """The cookie that an answer sets, and its attributes."""
    pair, *attributes = answer.headers["set-cookie"].split("; ")
    return pair, set(attributes)


class TestWithoutAToken:
    def test_this_machine_is_let_in(self, logs):
        """Without a token requests from the loopback are answered, IPv4, IPv6 and both in one."""
        app = create_app(logs)
        for address in ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"):
            assert ask(app, EVENTS, client=(address, 1)).status_code == 200

    @pytest.mark.parametrize("path", ["/", EVENTS, "/metrics", "/healthz", "/login", "/viewer/x"])
    def test_others_are_not(self, logs, path):
        """Without a token other machines are refused, with the setting to change."""
        answer = ask(create_app(logs), path, client=ELSEWHERE)

        assert (answer.status_code, answer.json()["error"]) == (403, "not_local")
        assert "CHORA_LOGGING_TOKEN" in answer.json()["detail"]

    @pytest.mark.parametrize("client", [None, ("", 0)], ids=["uvicorn, hypercorn", "granian"])
    def test_an_unknown_client_is_refused(self, logs, client):
        """Over a Unix socket, which proxies use, servers do not know where a client is: it is refused."""
        answer = ask(create_app(logs), EVENTS, client=client)

        assert (answer.status_code, answer.json()["error"]) == (403, "not_local")
        assert answer.json()["detail"] == (
            "without a token only requests from this machine are allowed, and the server knows no address of "
            "this client, as over a Unix socket: set CHORA_LOGGING_TOKEN, or give a check"
        )

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "", "[::2]", "192.0.2.1"]
    )
    def test_a_name_that_is_not_ours_is_refused(self, logs, host):
        """A page whose host name resolves to our address (DNS rebinding) reads nothing."""
        answer = ask(create_app(logs), EVENTS, headers={"host": host})

        assert (answer.status_code, answer.json()["error"]) == (403, "unknown_host")
        assert answer.json()["detail"] == (
            "without a token Host must be a name of this machine (localhost, or one of allowed_hosts), "
            f"got {host!r}: set CHORA_LOGGING_TOKEN"
        )

    @pytest.mark.parametrize(
        "header",
        ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"],
    )
    def test_what_came_through_a_proxy_is_refused(self, logs, header):
        """A proxy on this machine does not open the logs to the world: its header is answered 403."""
        answer = ask(create_app(logs), EVENTS, headers={header: "127.0.0.1"})

        assert (answer.status_code, answer.json()["error"]) == (403, "forwarded")
        assert answer.json()["detail"] == (
            f"this request came through a proxy (it has the header {header.lower()}), and without a token "
            "everybody whom the proxy serves could read the logs: set CHORA_LOGGING_TOKEN"
        )

    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1:1",
            "127.0.0.2",
            "[::1]:8000",
            "[::1]",
            "[::ffff:127.0.0.1]:80",
        ],
    )
    def test_our_own_names(self, logs, host):
        """The names and addresses of the loopback are ours, with any port."""
        assert ask(create_app(logs), EVENTS, headers={"host": host}).status_code == 200

    def test_allowed_hosts(self, logs):
        """Only the names of allowed_hosts are allowed."""
        app = create_app(logs, allowed_hosts=["logs.example.org", "*.internal", "[2001:db8::1]"])
        hosts = (
            "logs.example.org",
            "[2001:DB8::1]:8000",
            "a.b.internal",
            "internal",
            "example.org",
            "localhost",
        )
        answers = [ask(app, EVENTS, headers={"host": host}).status_code for host in hosts]

        assert answers == [200, 200, 200, 400, 400, 400]


class TestToken:
    def test_it_lets_in(self, app):
        """A request with the token is accepted from anywhere and under any name."""
        headers = {**BEARER, "host": "logs.example.org"}

        assert ask(app, EVENTS, headers=headers, client=ELSEWHERE).status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "Bearer",
            "Bearer ",
            f"Basic {TOKEN}",
            TOKEN,
            f"Bearer {TOKEN}x",
            "Bearer \xff",
            "Bearer x" * 999,
        ],
    )
    @pytest.mark.parametrize("path", [EVENTS, f"{EVENTS}/stream", "/metrics", "/api/v1/openapi.json"])
    def test_nothing_else_does(self, app, header, path):
        """Without the token every route that shows events is 401 and says what to send."""
        headers = {} if header is None else {"authorization": header.encode("latin-1")}
        answer = ask(app, path, headers=headers)

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert set(answer.json()) == {"error", "detail"}

    def test_never_in_an_address(self, app):
        """A token in the query is not checked, but refused as an unknown parameter."""
        assert ask(app, f"{EVENTS}?token={TOKEN}").status_code == 401
        assert ask(app, f"{EVENTS}?token={TOKEN}", headers=BEARER).status_code == 422

    def test_health_is_open(self, app):
        """The health check needs no token, and does not show any path."""
        answer = ask(app, "/healthz", client=ELSEWHERE)

        assert answer.status_code == 200
        assert "/" not in answer.text

    def test_wrong_ones_lock_nobody_out(self, app):
        """Who shares an address with one who guesses gets in: tokens are too long to guess."""
        wrong = {"authorization": "Bearer wrong"}
        answers = {ask(app, EVENTS, headers=wrong, client=ELSEWHERE).status_code for _ in range(100)}
        answers |= {login(app, "wrong", client=ELSEWHERE).status_code for _ in range(100)}

        assert answers == {401}
        assert ask(app, EVENTS, headers=BEARER, client=ELSEWHERE).status_code == 200
        assert login(app, client=ELSEWHERE).status_code == 204

    def test_several_with_names(self, logs):
        """A new token is added, the old one is taken away later: nobody is refused in between."""
        old, new = make_token(), make_token()
        both = create_app(logs, token={"old": old, "new": new})
        after = create_app(logs, token={"new": new})
        cookies = {name: cookie_of(login(both, token))[0] for name, token in (("old", old), ("new", new))}

        def answers(app):
            bearers = [{"authorization": f"Bearer {token}"} for token in (old, new)]
            return [
                ask(app, EVENTS, headers=headers).status_code
                for headers in (*bearers, {"cookie": cookies["old"]}, {"cookie": cookies["new"]})
            ]

        assert answers(both) == [200, 200, 200, 200]
        assert answers(after) == [401, 200, 401, 200]

    def test_the_environment_has_it(self, logs, monkeypatch):
        """CHORA_LOGGING_TOKEN is the default token; an empty value is none."""
        monkeypatch.setenv("CHORA_LOGGING_TOKEN", TOKEN)
        assert ask(create_app(logs), EVENTS).status_code == 401
        assert ask(create_app(logs), EVENTS, headers=BEARER).status_code == 200
        monkeypatch.setenv("CHORA_LOGGING_TOKEN", "")
        assert ask(create_app(logs), EVENTS).status_code == 200

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "short",
            "16-characters-ok",
            "0123456789abcdef0123456789abcde",
            "12345678901234567890123456789012345678",
            "abcabcabcabcabcabcabcabcabcabcabcabc",
            "with a space in the middle",
            "ümlaut" * 5,
            "line\n" * 9,
            5,
        ],
    )
    def test_a_token_that_is_none(self, logs, token):
        """A token of less than 128 bits, or with other characters, is an error, which does not show it."""
        allowed = (
            "token must be at least 128 bits, which are 32 hexadecimal digits or 22 other visible ASCII "
            "characters, at random: `chora-logging token` makes one, got '"
        )
        with pytest.raises(ConfigurationError) as caught:
            create_app(logs, token=token)

        assert str(caught.value).startswith(allowed)

        assert len(str(token)) < 6 or str(token) not in str(caught.value)

    def test_nothing_logs_it(self, app, caplog):
        """Neither a right nor a wrong token is logged."""
        caplog.set_level(logging.DEBUG)
        ask(app, EVENTS, headers=BEARER)
        ask(app, EVENTS, headers={"authorization": "Bearer wrong-but-secret"})
        login(app)

        assert TOKEN not in caplog.text
        assert "wrong-but-secret" not in caplog.text


class TestLogin:
    def test_the_page_is_open_and_asks_for_the_token_itself(self, app):
        """The files of the viewer are public; events are not, so the page asks for the token."""
        assert ask(app, "/?log=orchestrator&event=x", client=ELSEWHERE).status_code == 200
        assert ask(app, "/viewer/main.js", client=ELSEWHERE).status_code == 200
        assert ask(app, "/api/v1/logs", client=ELSEWHERE).json()["error"] == "token_needed"

    @pytest.mark.parametrize("path", ["/login", "/logout"])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
    def test_only_forms_are_taken(self, app, path, method):
        """Another method than POST gives 405 and says so."""
        answer = ask(app, path, method=method)

        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    def test_the_token_opens_a_session(self, app):
        """The form with the token sets a cookie that grants access, but not to scripts and other sites."""
        answer = login(app)
        pair, attributes = cookie_of(answer)

        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["cache-control"] == "no-store"
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= attributes
        assert "Secure" not in attributes
        assert TOKEN not in pair
        assert ask(app, EVENTS, headers={"cookie": pair}).status_code == 200

    def test_secure_over_https(self, app):
        """A cookie set over https is never sent over http."""
        assert "Secure" in cookie_of(login(app, base="https://logs.example.org"))[1]

    def test_a_wrong_token_is_told(self, app):
        """A wrong token is 401 with the reason and no cookie."""
        answer = login(app, "wrong")

        assert (answer.status_code, answer.json()["error"]) == (401, "wrong_token")
        assert "not a token" in answer.json()["detail"]
        assert "set-cookie" not in answer.headers

    def test_a_session_ends(self, app, monkeypatch):
        """A session lasts twelve hours, and not longer."""
        pair, _ = cookie_of(login(app))
        later(monkeypatch, sessions.SESSION_SECONDS - 10)
        assert ask(app, EVENTS, headers={"cookie": pair}).status_code == 200
        later(monkeypatch, 20)
        assert ask(app, EVENTS, headers={"cookie": pair}).status_code == 401

    @pytest.mark.parametrize("how", ["logout", "expiry"])
    def test_a_stream_ends_with_its_session(self, logs, monkeypatch, how):
        """Logging out and the end of the twelve hours end the streams of a session, and no others."""
        write(logs["orchestrator"], 1)
        app = create_app(logs, token=TOKEN)
        cookie = {"cookie": cookie_of(login(app))[0]}

        async def scenario():
            async with (
                serving(app) as port,
                event_source(port, f"{EVENTS}/stream", cookie) as ending,
                event_source(port, f"{EVENTS}/stream", BEARER) as going_on,
            ):
                assert await ending.numbers(1) == await going_on.numbers(1) == [1]
                if how == "logout":
                    await asyncio.to_thread(ask, app, "/logout", method="POST", headers=cookie)
                else:
                    later(monkeypatch, sessions.SESSION_SECONDS + 1)
                assert await ending.next() is None
                write(logs["orchestrator"], 2)
                assert await going_on.numbers(1) == [2]

        asyncio.run(asyncio.wait_for(scenario(), 60))

    def test_sessions_outlive_the_server_but_not_the_token(self, app, logs):
        """A session is valid after a restart, and not on a server with another token."""
        pair, _ = cookie_of(login(app))
        same, other = create_app(logs, token=TOKEN), create_app(logs, token=TOKEN + "x")

        assert ask(same, EVENTS, headers={"cookie": pair}).status_code == 200
        assert ask(other, EVENTS, headers={"cookie": pair}).status_code == 401

    @pytest.mark.parametrize("change", ["", "9", ".", "later", "ü"])
    def test_a_session_cannot_be_made(self, app, change):
        """A cookie that was not made with the token, or was changed, grants no access."""
        name, _, value = cookie_of(login(app))[0].partition("=")
        until, nonce, mark = value.split(".")
        value = {
            "": "",
            "later": f"{int(until) + 9}.{nonce}.{mark}",
        }.get(change, value + change)

        answer = ask(app, EVENTS, headers={"cookie": f"{name}={value}".encode()})

        assert answer.status_code == 401

    @pytest.mark.parametrize("path", ["/login", "/logout"])
    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site", "origin": "http://localhost"},
            {"sec-fetch-site": "cross-site", "x-requested-with": "chora_logging"},
        ],
        ids=str,
    )
    def test_another_site_cannot_log_in_or_out(self, app, path, headers):
        """A form that another site sends is refused, whichever header of the browser tells so."""
        answer = ask(app, path, method="POST", data={"token": TOKEN}, headers=headers)

        assert (answer.status_code, answer.json()["error"]) == (403, "other_origin")

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "http://localhost"},
            {"origin": "https://logs.example", "sec-fetch-site": "same-origin"},
            {"origin": "http://logs.example", "x-requested-with": "chora_logging"},
            {},
        ],
        ids=str,
    )
    def test_its_own_page_can_behind_any_proxy(self, app, headers):
        """The server's own form is taken, also if a proxy replaced its host; programs send none of these."""
        assert login(app, headers=headers).status_code == 204

    def test_behind_a_proxy_that_ends_tls(self, app):
        """A cookie for a page that came over https is sent over https only, though the proxy speaks http."""
        headers = {"origin": "https://logs.example", "sec-fetch-site": "same-origin"}

        assert "Secure" in cookie_of(login(app, headers=headers))[1]

    def test_logging_out(self, app):
        """Logging out deletes the cookie in the browser, and ends the session on the server."""
        pair, _ = cookie_of(login(app))
        other, _ = cookie_of(login(app))
        answer = ask(app, "/logout", method="POST", headers={"cookie": pair})
        emptied, attributes = cookie_of(answer)

        assert (answer.status_code, answer.content) == (204, b"")
        assert emptied.endswith('=""')
        assert "Max-Age=0" in attributes
        assert ask(app, EVENTS, headers={"cookie": pair}).status_code == 401
        assert ask(app, EVENTS, headers={"cookie": other}).status_code == 200

    def test_logged_out_is_so_everywhere(self, app, logs):
        """An ended session stays ended after a restart and in other worker processes."""
        pair, _ = cookie_of(login(app))
        ask(app, "/logout", method="POST", headers={"cookie": pair})

        assert ask(create_app(logs, token=TOKEN), EVENTS, headers={"cookie": pair}).status_code == 401

    def test_without_a_place_to_remember_it(self, logs, tmp_path, monkeypatch, caplog):
        """Where nothing can be written a session ends in this process all the same, which is said once."""
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file"))
        app = create_app(logs, token=TOKEN)
        for _ in range(2):
            pair, _ = cookie_of(login(app))
            ask(app, "/logout", method="POST", headers={"cookie": pair})
            assert ask(app, EVENTS, headers={"cookie": pair}).status_code == 401

        (said,) = (record for record in caplog.records if "sessions that are ended" in record.message)
        assert "Not a directory" in said.message

    def test_what_is_remembered_is_forgotten(self, app, state):
        """Sessions that would have ended by themselves are forgotten."""
        folder = state / "chora_logging" / "ended_sessions"
        for _ in range(2):
            for kept in folder.glob("*"):
                os.utime(kept, (0, 0))
            pair, _ = cookie_of(login(app))
            ask(app, "/logout", method="POST", headers={"cookie": pair})

        assert len(list(folder.iterdir())) == 1

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"token=" + b"x" * 5000, 413),
            (b"&".join([b"a=1"] * 20), 422),
            (b"", 422),
            (b"token=a&token=b", 422),
            (b"token=a&user=b", 422),
            (b"token=", 401),
            (b"token=%ff%fe", 401),
        ],
        ids=["long", "many", "empty", "twice", "others", "nothing", "bytes"],
    )
    def test_a_form_that_is_none(self, app, body, status):
        """A form that is too long, empty, or has other fields is refused."""
        kind = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}

        assert ask(app, "/login", method="POST", content=body, headers=kind).status_code == status

    @pytest.mark.parametrize(
        "kind", ["application/json", "text/plain", "", "multipart/form-data; boundary=x"]
    )
    def test_a_token_in_something_else(self, app, kind):
        """A token outside of a form is not counted as wrong, and the answer says how to send it."""
        body = f"token={TOKEN}".encode()
        answer = ask(app, "/login", method="POST", content=body, headers={"content-type": kind})

        assert (answer.status_code, answer.json()["error"]) == (415, "no_form")
        assert "application/x-www-form-urlencoded" in answer.json()["detail"]
