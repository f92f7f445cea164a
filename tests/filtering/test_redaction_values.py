"""Secrets in the forms that texts, arguments and values of programs have; and what only looks similar."""

from __future__ import annotations

import collections
import decimal
import json
import logging
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chora_logging.filtering.redaction import RedactFilter
from chora_logging.formatting.formatter import EventFormatter
from tests.records import record_of

Login = collections.namedtuple("Login", "user password")
OWN = RedactFilter(
    fields=["größe", "пароль", "mot de passe"], patterns=[r"\d{3}-\d{2}-\d{4}", r"\b99\d{7}\b", "2031-05-06"]
)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlX3g"


def line_with(message, *arguments, **fields):
    """Return the line of a record without its secrets."""
    return EventFormatter().format(OWN.redacted(record_of(message, *arguments, **fields)))


class TestMessages:
    @pytest.mark.parametrize(
        ("message", "arguments", "shown"),
        [
            ("Authorization: %s %s", ("Bearer", "abcdefghijk"), "Authorization: [redacted]"),
            ("Authorization: %s %s", ("Token", "abcdefghijk"), "Authorization: [redacted]"),
            ("ssn %s-%s-%s", ("123", "45", "6789"), "ssn [redacted]"),
            ("card %s %s %s %s", ("4111", "1111", "1111", "1111"), "card [redacted]"),
            ("password=%s%s for %d", ("correct ", "horse", 3), "password=[redacted] for 3"),
            ("password=%(v)s", ({"v": "correct horse"},), "password=[redacted]"),
            ("%(k)s: %(v)s", ({"k": "password", "v": "correct horse"},), "password: [redacted]"),
            ("%s: %s", ("token", "correct horse"), "token: [redacted]"),
            ("100%% of 'token': '%-9s' %5.1f %*d", ("it's x", 2.25, 4, 7), None),
            ("token=%s for %s", (None, "bob"), "token=None for bob"),
            ("pass %d of %d", (2, 3), "pass 2 of 3"),
            ("at %s: %s", ("here", "password=x y"), "at here: password=[redacted] y"),
            ("password == %s", ("correct horse",), "password == [redacted]"),
            ("token -> (%s)", ("correct horse",), "token -> ([redacted])"),
            ("Set cookie %s=%s", ("a b", "c d"), "Set cookie [redacted]=[redacted]"),
        ],
    )
    def test_arguments(self, message, arguments, shown):
        """The text is looked at as a whole; an argument that has a name is hidden up to its end."""
        shown = shown or "100% of 'token': '[redacted]'   2.2    7"

        assert json.loads(line_with(message, *arguments))["message"] == shown

    def test_a_failed_command(self):
        """The arguments of a command are a list in the text of its error."""
        failed = subprocess.CalledProcessError(1, ["mysql", "--password", "x y", "-v"])

        shown = json.loads(line_with("failed: %s", failed))["message"]

        assert shown == f"failed: {failed}".replace("x y", "[redacted]")

    @pytest.mark.parametrize(
        ("message", "arguments"),
        [
            ("password=%s for %s", ("hunter2",)),
            ("password=%s", ("hunter2", "x")),
            ("password={}", ("hunter2",)),
            ("the api key {}", ("hunter2",)),
            ("password of %(a)s", ({"b": "hunter2"},)),
        ],
    )
    def test_arguments_that_do_not_fit(self, message, arguments):
        """Which of them is the secret that the message names is not known: none is shown."""
        line = line_with(message, *arguments)

        assert "hunter2" not in line
        assert json.loads(line)["args"] == "[redacted]"

    @settings(max_examples=80)
    @given(
        values=st.lists(st.text(min_size=1).filter(lambda text: text.strip(" =:'\"")), min_size=1, max_size=3)
    )
    def test_any_argument_with_a_name(self, values):
        """Whatever an argument has in it, nothing of it is left."""
        record = record_of("a %s password=" + "%s" * len(values), 1, *values)

        assert RedactFilter().redacted(record).getMessage() == "a 1 password=[redacted]"

    def test_another_way_of_formatting(self):
        """A text that is not that of the message and its arguments is hidden as a whole."""

        class Loud(logging.LogRecord):
            def getMessage(self):
                return super().getMessage().upper()

        record = Loud("app", 20, "", 1, "password=%s", ("correct horse",), None)
        assert RedactFilter().redacted(record).msg == "[redacted]"

    @pytest.mark.parametrize(
        "value", [{1: 2}, {"s": {1}}, {b"k": 1}, [range(3)], [1j], [frozenset({1})], Login("a", "")]
    )
    def test_values_without_secrets(self, value):
        """A record without a secret is passed as it is, whatever types its values have."""
        record = record_of("%s", value, x_value=[value] if type(value) is not Login else 1)

        assert OWN.redacted(record) is record


class TestValues:
    @pytest.mark.parametrize(
        "value",
        [
            Login("u", "hunter2"),
            [Login("u", "hunter2")],
            {1: {b"password": "hunter2"}},
            {b"password": b"hunter2"},
            {("password", 1): "hunter2"},
            [{1}, (b"password", b"hunter2")],
            [memoryview(b"password=hunter2"), bytearray(b"password=hunter2")],
            {"größe": "hunter2", "gro\u0308ße": "hunter2", "GRÖSSE": "hunter2"},
            dict.fromkeys(("pass", "DB_PASS", "password1", "password_confirmation"), "hunter2"),
            dict.fromkeys(("passwordHash", "old_token", "token_old", "mot_de_passe"), "hunter2"),
            dict.fromkeys(("api_tokens", "password_v2", "password_sha256", "SECRET_KEY_BASE"), "hunter2"),
            [{"name": "DB_PASSWORD", "value": "hunter2"}, {"Key": "Token", "Value": "hunter2"}],
            ["-----BEGIN PRIVATE KEY-----", "hunter2", "hunter2", "-----END PRIVATE KEY-----"],
        ],
    )
    def test_names(self, value):
        """A name is found where Python and JSON have names: named tuples, bytes, tuples, other scripts."""
        for line in (line_with("m", field=value), line_with("m %s", value), line_with("m %s", [value])):
            assert "[redacted]" in line
            assert not any(each in line for each in ("hunter2", "aHVudGVyMg", "cGFzc3dvcmQ9"))

    @pytest.mark.parametrize(
        "value", [4111111111111111, decimal.Decimal(4111111111111111), 4111111111111111.0, 991234567]
    )
    def test_numbers(self, value):
        """A number is a secret if its text is one, by its form or a pattern."""
        assert json.loads(line_with("m", a=value, b=[value]))["b"] == ["[redacted]"]

    @pytest.mark.parametrize(
        "value", [decimal.Decimal("sNaN"), float("inf"), 10**5000, -1.5e300], ids=[*"abcd"]
    )
    def test_other_numbers(self, value):
        """Other numbers stay, whatever they are."""
        record = record_of("m", a=value, b=[value])

        assert OWN.redacted(record) is record


class TestTexts:
    @pytest.mark.parametrize(
        "text",
        [
            *("card 6200000000000005", "card 6205500000000000004", "card 4917610000000000003"),
            *("card 6759649826438453", "card 2200000000000004", "card 4111\u00a01111\u00a01111\u00a01111"),
            *("card_4111111111111111", "xapp-1-A0123-1234567890123-abcdef0123456789"),
            "https://hooks.slack.com/services/T00000000/B00000000/aBcDeFgHiJkLmNoPqRsTuVwX",
            *("whsec_aB3dE6gH9kLmN0pQrStUvWxYaB3dE6gH", "ya29.a0AfH6SMBaB3dE6gH9kLmN0pQrStUvWxY_abc-def"),
            *(f"GET /session_{JWT}", f"session1.{JWT}", "export-AKIAIOSFODNN7EXAMPLE.csv"),
            "cred_ghp_a1B2a1B2a1B2a1B2a1B2a1B2",
            *("glrt-aB3dE6fG9hJ2kL5mN8pQ", "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", f"1//0{'aB3dE6fG9h' * 4}"),
            *(
                "card=4111+1111+1111+1111",
                "card=4111%201111%201111%201111",
                "Basic YWI6YUI=.",
                "Bearer aB3dE6",
            ),
            "-----BEGIN%20PRIVATE%20KEY-----%0AaBaB%0A-----END%20PRIVATE%20KEY-----",
            f"-----BEGIN RSA PRIVATE KEY-----\\n{'aB3d' * 16}\\nwas cut off",
            "?to=https%3A%2F%2Fu%3AaB3%40h%2F",
        ],
    )
    def test_forms(self, text):
        """Cards of all schemes, tokens of all kinds, also after an underscore or a hyphen."""
        clean = OWN.redacted(record_of(text)).msg

        assert "[redacted]" in clean
        assert not any(
            each in clean for each in ("0000000", "4111", "8453", "aB", "aA", "eyJ", "AKIA", "a1B2")
        )

    @pytest.mark.parametrize(
        "before", [" ", '"', "\\n", "\\x1b[1m", "\x1b[31m", "%22", "%2522", "\\u0022", "_"]
    )
    @pytest.mark.parametrize(
        "secret",
        [
            *(
                JWT,
                "AKIAIOSFODNN7EXAMPLQ",
                "glpat-aB3dE6fG9hJ2kL5mN8pQ",
                "Bearer aB3dE6fG9h",
                "4111111111111111",
            ),
            *("pwd=aB3dE6f", "token=aB3dE6f", "sig: aB3dE6f"),
        ],
    )
    def test_after_codes(self, before, secret):
        """What stands before a secret in quotes, in a URL, in colour is no part of it or of its name."""
        clean = OWN.redacted(record_of(f"ok{before}{secret} x")).msg

        assert clean.startswith(f"ok{before}")
        assert clean.endswith("[redacted] x")

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("GET /?next=%2Freset%3Ftoken%3Dhunter2%26x%3D1", "GET /?next=%2Freset%3Ftoken%3D#%26x%3D1"),
            ("password%253Dhunter2", "password%253D#"),
            ("<password>hunter2</password>", "<password>#</password>"),
            ('<w:Password Type="a">hunter2</w:Password>', '<w:Password Type="a">#</w:Password>'),
            ("password=a'hunter2 x", "password=# x"),
            ("password=a<hunter2&b x", "password=# x"),
            ("?password=hunter2&user=bob", "?password=#&user=bob"),
            ('{"m":"password=hunter2","b":1}', '{"m":"password=#","b":1}'),
            ("<https://a.org/?token=hunter2>; rel=next", "<https://a.org/?token=#>; rel=next"),
            ("password=SecretStr('hunter 2') x", "password=# x"),
            ('password="""hunter "2" x""" y', 'password="""#""" y'),
            ("**password**: hunter2", "**password**: #"),
            ("`password`: `hunter 2`", "`password`: `#`"),
            ("Authorization: Bearer\n abcdefghi", "Authorization: #"),
            ("\x1b[1mpwd\x1b[0m=hunter2\x1b[0m x", "\x1b[1mpwd\x1b[0m=#\x1b[0m x"),
            ("&quot;password&quot;:&quot;hunter 2&quot;", "&quot;password&quot;:&quot;#&quot;"),
            (json.dumps(json.dumps(json.dumps({"password": 'a"b\\ c'}))), None),
            ("password\u00a0=\u00a0hunter2", "password\u00a0=\u00a0#"),
            ("postgres://u:p/hunter2@h/db", "postgres://u:#@h/db"),
            ("пароль=1 größe: 2 gro\u0308ße=3 GRÖSSE=4", "пароль=# größe: # gro\u0308ße=# GRÖSSE=#"),
            ("mot de passe: 1, Session ID: abc", "mot de passe: #, Session ID: #"),
            ("DB_PASS=x password1=y", "DB_PASS=# password1=#"),
            ("('mysql', '--password', 'x y')", "('mysql', '--password', '#')"),
            ('["psql","--password","x","-v"]', '["psql","--password","#","-v"]'),
            ("--db-password  x --token\ty --secret \\\n z", "--db-password  # --token\t# --secret \\\n #"),
            ('[["X-Api-Key", "x"], ["Accept", "y"]]', '[["X-Api-Key", "#"], ["Accept", "y"]]'),
            (
                "user%5Bpassword%5D=x&a[b][token]=y&token[0]=z",
                "user%5Bpassword%5D=#&a[b][token]=#&token[0]=#",
            ),
            ("?api%5Fkey=x&b=1", "?api%5Fkey=#&b=1"),
            ("os.environ['TOKEN'] = 'x y'", "os.environ['TOKEN'] = '#'"),
            ('{"name":"DB_PASSWORD","value":"x y"}', '{"name":"DB_PASSWORD","value":"#"}'),
            ("{'Key': 'token', 'Value': 'x'}", "{'Key': 'token', 'Value': '#'}"),
            ("\\u0022password\\u0022:\\u0022x y\\u0022}", "\\u0022password\\u0022:\\u0022#\\u0022}"),
        ],
    )
    def test_names(self, text, shown):
        """A name is found in the forms that texts of logs have; its value ends where that surely ends."""
        if shown is None:
            shown = json.dumps(json.dumps(json.dumps({"password": "#"})))

        assert OWN.redacted(record_of(text)).msg == shown.replace("#", "[redacted]")

    @pytest.mark.timeout(20)
    @pytest.mark.parametrize(
        "part", ["'token', [", "['token', [", "['token', \"", '"name":"token","value":[']
    )
    def test_brackets_that_never_close(self, part):
        """Nothing looks for the end of each one to the end of the text: for these it took minutes."""
        OWN.redacted(record_of(part * 20_000))

    @pytest.mark.parametrize(
        "text",
        [
            "3 passed=3 passenger=4 bypass: yes compass=north",
            "http://[::1]:8080/a@b http://host:8080/a/b@c see user_id=5, order id: 7",
            "<a href='x'>token</a> if a < b && c > d: 50% = half",
            "disk-aaaaaaaaaaaaaaaaaaaaaaaaaa package.eyJ.module 1760702400123456789",
            "{'id': 5, 'name': 'x'} key: value; basic: true",
            "nextPageToken: x page_token=2 pad_token=0 max_tokens=512 password=**** SET password = ?",
            "require_token=yes show_password: no basic_auth: enabled ['token', 'user', 'x']",
            "sk-estimator-classification-report-generator -----BEGIN PRIVATE KEY----- is missing in x.pem",
        ],
    )
    def test_what_only_looks_similar(self, text):
        """Words that have a part of a name, addresses with ports, comparisons."""
        record = record_of(text)

        assert OWN.redacted(record) is record
