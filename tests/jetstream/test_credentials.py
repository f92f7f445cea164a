"""Credentials from the environment: checked, read for each connection, and never shown."""

from __future__ import annotations

import pytest

from chora_logging.errors import ConfigurationError
from chora_logging.jetstream.credentials import VARIABLES, Credentials


class TestEnvironment:
    def test_all_variables(self):
        """Each variable is read; an empty one counts as not set."""
        names = ("NATS_USER", "NATS_PASSWORD_FILE", "NATS_CA", "NATS_CERT", "NATS_KEY")
        found = Credentials.from_environment({name: f"/{name}" for name in names} | {"NATS_CREDS": ""})

        assert (found.user, found.password_file) == ("/NATS_USER", "/NATS_PASSWORD_FILE")
        assert (found.ca, found.cert, found.key) == ("/NATS_CA", "/NATS_CERT", "/NATS_KEY")
        assert found.creds is None
        assert Credentials.from_environment({}) == Credentials()
        assert set(VARIABLES.values()) >= set(names)

    @pytest.mark.parametrize(
        ("variables", "message"),
        [
            ({"NATS_USER": "u"}, "NATS_PASSWORD_FILE must be set when NATS_USER is"),
            ({"NATS_PASSWORD_FILE": "f"}, "NATS_USER must be set when NATS_PASSWORD_FILE is"),
            ({"NATS_CERT": "f"}, "NATS_KEY must be set when NATS_CERT is"),
            ({"NATS_KEY": "f"}, "NATS_CERT must be set when NATS_KEY is"),
            (
                {"NATS_CREDS": "a", "NATS_TOKEN_FILE": "b"},
                "NATS_CREDS and NATS_TOKEN_FILE must be one",
            ),
        ],
    )
    def test_what_does_not_fit(self, variables, message):
        """Variables that do not fit together are an error that names them."""
        with pytest.raises(ConfigurationError, match=message):
            Credentials.from_environment(variables)


class TestOptions:
    def test_read_each_time(self, tmp_path):
        """A changed password file is read again."""
        path = tmp_path / "password"
        path.write_text("one\n")
        credentials = Credentials(user="me", password_file=str(path))

        assert credentials.options() == {"user": "me", "password": "one"}
        path.write_text("two")
        assert credentials.options()["password"] == "two"

    @pytest.mark.parametrize("name", ["creds", "nkey_seed_file", "token_file", "ca"])
    @pytest.mark.parametrize(
        "content", [None, "", "s3cret\ns3cret\n", "s3cret"], ids=["missing", "empty", "two lines", "a line"]
    )
    def test_wrong_files(self, tmp_path, name, content):
        """A file that is missing or has something else is an error that shows the path, not the content."""
        path = tmp_path / "file"
        if content is not None:
            path.write_text(content)
        if (name, content) == ("token_file", "s3cret"):
            assert Credentials(token_file=str(path)).options() == {"token": "s3cret"}
            return

        with pytest.raises(ConfigurationError, match=VARIABLES[name]) as caught:
            Credentials(**{name: str(path)}).options()
        assert str(path) in str(caught.value)
        assert "s3cret" not in str(caught.value)

    def test_wrong_certificate(self, tmp_path, certificates):
        """A certificate whose key is another's is an error that names both variables."""
        pair = {"cert": str(certificates.cert), "key": str(certificates.ca_key)}

        with pytest.raises(ConfigurationError, match="NATS_CERT and NATS_KEY"):
            Credentials(ca=str(certificates.ca), **pair).options()
