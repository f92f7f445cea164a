"""Tokens: made, read from text, refused, and masked in addresses."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from chora_logging.errors import ConfigurationError
from chora_logging.web import create_app
from chora_logging.web.tokens import make_token, masking, parse_tokens, tokens_from_file
from tests.web.serving import ask

TOKEN = "a+token/of=enough-characters"


class TestMake:
    def test_it_is_long_and_new(self):
        """A token has 256 random bits, and is another one each time."""
        tokens = {make_token() for _ in range(100)}

        assert {len(bytes.fromhex(token)) for token in tokens} == {32}
        assert len(tokens) == 100

    def test_the_shortest(self):
        """128 bits are enough: 32 hexadecimal digits, 22 letters and digits."""
        for token in ("0123456789abcdef0123456789abcdef", "AbCdEfGhIjKlMnOpQrStUv"):
            assert parse_tokens("x", token) == {"token": token}
            with pytest.raises(ConfigurationError, match="128 bits"):
                parse_tokens("x", token[:-1])


class TestParse:
    def test_lines(self):
        """A line is a token, or a name and a token; comments and empty lines are skipped."""
        first, second, third = (make_token() for _ in range(3))

        assert parse_tokens("x", f"# tokens\n{first}\n\n  ann@site  {second}\n{third}") == {
            "token": first,
            "ann@site": second,
            "token-3": third,
        }

    def test_a_token_with_a_colon(self):
        """A token may have one: what is before it is no name, or the token has another name."""
        assert parse_tokens("x", f"{TOKEN}:more") == {"token": f"{TOKEN}:more"}
        assert parse_tokens("x", f"ann bob:{TOKEN}") == {"ann": f"bob:{TOKEN}"}

    def test_a_byte_order_mark(self, tmp_path):
        """A file that an editor begins with a byte order mark has the token after that."""
        (tmp_path / "token").write_text(TOKEN, encoding="utf-8-sig")

        assert tokens_from_file(str(tmp_path / "token")) == {"token": TOKEN}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a b c", "line 1 of x must be a token, or a name that no other line has and a token"),
            (f"a {'0123456789abcdef' * 2}\na {'0123456789abcdef' * 3}", "line 2 of x must be a token"),
            (f"a {TOKEN}\nb {TOKEN}", "x must be at least one token, and each once"),
            (f"ä {TOKEN}", "the name of a token in x must be 1 to 64 letters"),
            ("ann short", "must be at least 128 bits"),
            ("# none", "must be at least 128 bits"),
            (f"# two\nann:{TOKEN}", "line 2 of x must be a token, or a name and a token with a space"),
            (f"ann={TOKEN}", "line 1 of x must be a token, or a name and a token with a space"),
            (f"ann: {TOKEN}", "the name of a token in x must be 1 to 64 letters"),
        ],
    )
    def test_other_lines(self, text, message):
        """Anything else is an error that names the line, without showing a token."""
        with pytest.raises(ConfigurationError) as caught:
            parse_tokens("x", text)

        assert message in str(caught.value)
        assert TOKEN not in str(caught.value)
        assert "short" not in str(caught.value)


class TestMask:
    @pytest.mark.parametrize(
        "form",
        [
            TOKEN,
            quote(TOKEN, safe=""),
            quote(TOKEN, safe="").lower().replace("%2b", "%2B"),
            quote(quote(TOKEN, safe=""), safe=""),
            "".join(f"%{ord(char):02x}" for char in TOKEN),
        ],
    )
    def test_every_form(self, form):
        """A token is masked wherever it stands, however it is percent-encoded."""
        mask = masking([make_token(), TOKEN])

        assert mask(f"/a/{form}/b?x={form}&y=1") == "/a/(masked)/b?x=(masked)&y=1"

    def test_parameters_for_tokens(self):
        """The values of parameters for tokens are masked, which may be former ones; others stay."""
        assert masking([])("/x?token=a&Access_Token=b%20c&q=token=d&tokens=1") == (
            "/x?token=(masked)&Access_Token=(masked)&q=token=d&tokens=1"
        )

    def test_the_address_of_the_request(self, logs):
        """Whoever logs the request after it was answered sees no token, and other addresses unchanged."""
        seen = []

        async def app(scope, receive, send):
            await create_app(logs, token=TOKEN)(scope, receive, send)
            seen.append((scope["path"], scope["query_string"], scope["raw_path"]))

        ask(app, f"/api/v1/orchestrator/traces/{quote(TOKEN)}?limit=5")
        ask(app, "/healthz?a=%C3%A4")

        assert seen == [
            ("/api/v1/orchestrator/traces/(masked)", b"limit=5", b"/api/v1/orchestrator/traces/(masked)"),
            ("/healthz", b"a=%C3%A4", b"/healthz"),
        ]
