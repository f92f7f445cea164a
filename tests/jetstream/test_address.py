"""Addresses of streams: parsed, shown, and refused without showing a password."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.errors import ConfigurationError
from chora_logging.jetstream.address import Address


class TestParse:
    @pytest.mark.parametrize(
        ("text", "servers", "shown"),
        [
            ("nats://n1/CLOG", ("n1:4222",), None),
            ("nats://n1,n2:4223,n1/CLOG", ("n1:4222", "n2:4223"), "nats://n1,n2:4223/CLOG"),
            ("NATS://10.0.0.1:1/a-b_C9", ("10.0.0.1:1",), "nats://10.0.0.1:1/a-b_C9"),
            ("nats://[::1]:4222,[fe80::1]/S", ("[::1]:4222", "[fe80::1]:4222"), "nats://[::1],[fe80::1]/S"),
        ],
    )
    def test_good(self, text, servers, shown):
        """An address has servers with ports, each once, and a stream; its text parses to the same."""
        address = Address.parse(text)

        assert address.servers == servers
        assert str(address) == (shown or text)
        assert Address.parse(str(address)) == address

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "must be the address of a stream, such as nats://"),
            ("n1/CLOG", "such as nats://"),
            ("tls://n1/CLOG", "TLS is used if the servers ask for it"),
            ("http://n1/CLOG", "such as nats://"),
            ("nats://n1", "the name of a stream has letters"),
            ("nats://n1/", "the name of a stream has letters"),
            ("nats://n1/A.B", "the name of a stream has letters"),
            ("nats://n1/A/B", "the name of a stream has letters"),
            ("nats://n1/*", "the name of a stream has letters"),
            ("nats:///CLOG", "a port is a number"),
            ("nats://n1,/CLOG", "a port is a number"),
            ("nats://n1:0/CLOG", "a port is a number"),
            ("nats://n1:99999/CLOG", "a port is a number"),
            ("nats://n1:x/CLOG", "a port is a number"),
            ("nats://n 1/CLOG", "a port is a number"),
            ("nats://n1/CLOG?tls=1", "without anything after the stream"),
            ("nats://n1/CLOG#x", "without anything after the stream"),
        ],
    )
    def test_bad(self, text, message):
        """An error names the option, the value and what is allowed."""
        with pytest.raises(ConfigurationError, match=message) as caught:
            Address.parse(text, "ADDRESS")

        assert str(caught.value).startswith("ADDRESS must be")
        assert repr(text) in str(caught.value)

    @pytest.mark.parametrize("user", ["me:s3cret", "s3cret", "a@b:s3cret", "me:s3c/ret"])
    @pytest.mark.parametrize("scheme", ["nats", "tls"])
    def test_password(self, user, scheme):
        """A user in an address is refused; the message says what to use, and does not show it."""
        with pytest.raises(ConfigurationError) as caught:
            Address.parse(f"{scheme}://{user}@n1/CLOG")

        assert "s3c" not in str(caught.value)
        assert scheme == "tls" or "NATS_PASSWORD_FILE" in str(caught.value)

    @given(st.text(max_size=40))
    def test_any_text(self, text):
        """Any text is an address or a ConfigurationError."""
        for each in (text, f"nats://{text}", f"nats://n1/{text}"):
            with contextlib.suppress(ConfigurationError):
                assert Address.parse(str(Address.parse(each))) == Address.parse(each)
