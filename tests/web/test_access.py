"""Access: accepted and refused requests, sessions and tokens."""

from __future__ import annotations

import logging

import pytest

from chora_logging.cli import main
from chora_logging.errors import ConfigurationError
from chora_logging.web import access as auths
from chora_logging.web import create_app
from tests.web.serving import ask

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

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "", "[::2]", "192.0.2.1"]
    )
    def test_a_name_that_is_not_ours_is_refused(self, logs, host):
        """A page whose host name resolves to our address (DNS rebinding) reads nothing."""
        answer = ask(create_app(logs), EVENTS, headers={"host": host})

        assert (answer.status_code, answer.json()["error"]) == (400, "unknown_host")
        assert answer.json()["detail"] == (
            f"Host must be a name of this server (localhost, or one of allowed_hosts), got {host!r}"
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

    def test_many_wrong_ones_are_not_looked_at(self, app):
        """After ten wrong tokens from an address within a minute there is 429; the right one still works."""
        wrong = {"authorization": "Bearer wrong"}
        answers = [ask(app, EVENTS, headers=wrong, client=ELSEWHERE).status_code for _ in range(12)]

        assert answers == [401] * 9 + [429] * 3
        assert ask(app, EVENTS, headers=wrong).status_code == 401
        assert ask(app, EVENTS, headers=BEARER, client=ELSEWHERE).status_code == 200

    def test_the_environment_has_it(self, logs, monkeypatch):
        """CHORA_LOGGING_TOKEN is the default token; an empty value is none."""
        monkeypatch.setenv("CHORA_LOGGING_TOKEN", TOKEN)
        assert ask(create_app(logs), EVENTS).status_code == 401
        assert ask(create_app(logs), EVENTS, headers=BEARER).status_code == 200
        monkeypatch.setenv("CHORA_LOGGING_TOKEN", "")
        assert ask(create_app(logs), EVENTS).status_code == 200

    @pytest.mark.parametrize(
        "token", ["", "short", "with a space in the middle", "ümlaut" * 5, "line\n" * 9, 5]
    )
    def test_a_token_that_is_none(self, logs, token):
        """A token that is short or has other characters is an error, which does not show it."""
        with pytest.raises(ConfigurationError, match="token must be at least 16 visible ASCII") as caught:
            create_app(logs, token=token)

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
        assert "not the token" in answer.json()["detail"]
        assert "set-cookie" not in answer.headers

    def test_guessing_is_slow(self, app):
        """After ten wrong tokens the form refuses that address for a minute, even the right token."""
        answers = [login(app, "wrong", client=ELSEWHERE).status_code for _ in range(11)]

        assert answers == [401] * 9 + [429] * 2
        assert login(app, client=ELSEWHERE).headers["retry-after"] == "60"
        assert login(app).status_code == 204

    def test_a_session_ends(self, app, monkeypatch):
        """A session lasts twelve hours, and not longer."""
        pair, _ = cookie_of(login(app))
        now = auths.time.time()
        monkeypatch.setattr(auths.time, "time", lambda: now + auths.SESSION_SECONDS + 1)

        assert ask(app, EVENTS, headers={"cookie": pair}).status_code == 401

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

    def test_another_site_cannot_log_in_or_out(self, app):
        """A form that another site sends is refused."""
        evil = {"origin": "https://evil.example"}
        for path in ("/login", "/logout"):
            answer = ask(app, path, method="POST", data={"token": TOKEN}, headers=evil)
            assert (answer.status_code, answer.json()["error"]) == (403, "other_origin")
        assert login(app, headers={"origin": "http://localhost"}).status_code == 204

    def test_logging_out(self, app):
        """Logging out deletes the session cookie."""
        answer = ask(app, "/logout", method="POST")
        pair, attributes = cookie_of(answer)

        assert (answer.status_code, answer.content) == (204, b"")
        assert pair.endswith('=""')
        assert "Max-Age=0" in attributes

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


class TestServe:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "logs.example.org"])
    def test_another_address_needs_a_token(self, host, capsys):
        """serve refuses to listen for other machines without a token, and says what to do."""
        assert main(["serve", "--host", host]) == 2
        said = capsys.readouterr().err
        assert "--token-file" in said
        assert "openssl rand" in said

    def test_a_token_file_is_checked(self, tmp_path, capsys):
        """A token file with too short a token is an error that does not show it."""
        (tmp_path / "token").write_text("geheim\n")

        assert main(["serve", "--token-file", str(tmp_path / "token")]) == 2
        assert "geheim" not in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["x", "=x", "x=", "a=1 --log a=2"])
    def test_a_log_has_a_name_and_a_path(self, text, capsys):
        """--log without a name or a path, or twice with one name, is wrong use."""
        arguments = [part for one in text.split(" --log ") for part in ("--log", one)]

        assert main(["serve", *arguments]) == 2
        assert "--log" in capsys.readouterr().err
