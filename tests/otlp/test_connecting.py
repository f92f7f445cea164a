"""What is wrong on the way to a collector is said in a sentence: files of TLS, proxies, HTTP for HTTPS."""

from __future__ import annotations

import ssl
import subprocess
import sys

import pytest

from chora_logging.errors import ConfigurationError
from chora_logging.otlp.settings import Settings
from tests.otlp.collector import RESET, Collector, Reply
from tests.otlp.test_shipping import Shipping
from tests.ports import free_port

SECRET = "s3cret-t0ken"
PREFIX = "OTEL_EXPORTER_OTLP_"


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch):
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper()):
            monkeypatch.delenv(name, raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def files(certificates, tmp_path):
    """Files of TLS by name, of which some are wrong."""
    locked, other, junk = tmp_path / "locked.key", tmp_path / "other.key", tmp_path / "junk.pem"
    junk.write_text("junk")
    for command in (
        ["openssl", "rsa", "-aes256", "-passout", "pass:abcd", "-in", other, "-out", locked],
        ["openssl", "genrsa", "-out", other],
    )[::-1]:
        subprocess.run(command, check=True, capture_output=True)
    return {
        "good": certificates.cert,
        "key": certificates.key,
        "locked": locked,
        "other": other,
        "junk": junk,
        "folder": tmp_path,
        "missing": tmp_path / "missing.pem",
    }


@pytest.fixture
def tls(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)
    return context


@pytest.fixture
def shipping(tmp_path):
    shipping = Shipping(tmp_path)
    shipping.write(range(3))
    return shipping


class Place:
    """Where there is something else than the collector of the address."""

    def __init__(self, address):
        self.address = address


def test_files(call, monkeypatch, files, shipping):
    """A file that cannot be used is refused at the start; the message has the variable and what to do."""
    cases = [
        ({"CERTIFICATE": "missing"}, "CERTIFICATE must be a file that can be read"),
        ({"CERTIFICATE": "junk"}, "CERTIFICATE must be a file with certificates in PEM format"),
        ({"CLIENT_CERTIFICATE": "folder"}, "CLIENT_CERTIFICATE must be a file that can be read"),
        ({"CLIENT_CERTIFICATE": "good"}, "also has the private key in PEM format, unless"),
        ({"CLIENT_KEY": "key"}, f"CLIENT_CERTIFICATE must be set when {PREFIX}CLIENT_KEY is"),
        (
            {"CLIENT_CERTIFICATE": "good", "CLIENT_KEY": "locked"},
            "CLIENT_KEY must be a file whose private key needs no password",
        ),
        ({"CLIENT_CERTIFICATE": "good", "CLIENT_KEY": "other"}, "the private key of the certificate in"),
        (
            {"CLIENT_CERTIFICATE": "good", "CLIENT_KEY": "junk"},
            "CLIENT_KEY must be a file with the private key",
        ),
        ({"CLIENT_CERTIFICATE": "junk", "CLIENT_KEY": "key"}, "CLIENT_CERTIFICATE must be a file with cert"),
    ]
    for given, message in cases:
        with monkeypatch.context() as patch:
            for name, file in given.items():
                patch.setenv(PREFIX + name, str(files[file]))
            status, output, errors = call("ship", "https://127.0.0.1:1", "--log", shipping.path)
        assert (status, output, errors.count("\n")) == (2, "", 1)
        assert message in errors
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files["junk"]))
    assert "REQUESTS_CA_BUNDLE must be" in call("ship", "https://127.0.0.1:1", "--log", shipping.path)[2]


def test_good_files(files):
    """Files that belong together are taken."""
    names = {"CLIENT_CERTIFICATE": "good", "CLIENT_KEY": "key", "CERTIFICATE": "good"}
    given = {PREFIX + name: str(files[file]) for name, file in names.items()}
    found = Settings.from_environment(given)

    assert (found.client_certificate, found.client_key) == (str(files["good"]), str(files["key"]))


class TestProxies:
    @pytest.mark.parametrize(
        "proxy",
        [
            *("ftp://{}x", "http://{}127.0.0.1:port", "http://{}[::1", "http://", "socks5://{}127.0.0.1:1"),
            *(
                "http://u:a/{}h:1",
                "http://u:a#{}h:1",
                "http://u:a?{}h:1",
                "{}h:1",
                "http:/{}h",
                "http//{}h:1",
            ),
        ],
    )
    def test_refused(self, shipping, monkeypatch, proxy):
        """What is no address of a proxy, or of one that needs a missing package, is refused at the start."""
        monkeypatch.setitem(sys.modules, "socks", None)
        monkeypatch.setenv("HTTPS_PROXY", proxy.format(f"me:{SECRET}@"))
        with pytest.raises(ConfigurationError, match="HTTPS_PROXY must be the address of a proxy") as caught:
            shipping.ship(Place("https://collector.invalid"))

        assert SECRET not in str(caught.value)

    def test_said(self, shipping, monkeypatch, caplog):
        """An error names the proxy that has to do with it."""
        with Collector() as proxy:
            address = proxy.address.replace("//", f"//me:{SECRET}@")
            monkeypatch.setenv("ALL_PROXY", address)
            shipping.ship(Place("https://collector.invalid"), enough=2)
            shown = f"the proxy {proxy.address.replace('//', '//…')} (ALL_PROXY)"
            assert f"waits: {shown}: Tunnel connection failed: 501" in caplog.text
        shipping.pauses.clear()
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
        progress = shipping.ship(Place("http://collector.invalid"), enough=2)

        assert progress.problem.endswith("(ALL_PROXY): Connection refused")
        assert SECRET not in caplog.text


class TestSchemes:
    """HTTP where there is HTTPS, and the other way: said once, whatever the server does about it."""

    @pytest.mark.parametrize("proxied", ["no", "Go", "nginx"])
    def test_http_for_https(self, shipping, tls, caplog, proxied):
        """Servers with TLS cut off what is none, or say so."""
        says = {
            "no": Reply(),
            "Go": Reply(400, b"Client sent an HTTP request to an HTTPS server.\n", kind="text/plain"),
            "nginx": Reply(400, b"<html>The plain HTTP request was sent to HTTPS port", kind="text/html"),
        }
        with Collector(lambda *_: says[proxied], tls=tls if proxied == "no" else None) as collector:
            place = Place(collector.address.replace("https", "http"))
            progress = shipping.ship(place, enough=4)

        told = [record.getMessage() for record in caplog.records if " waits: " in record.getMessage()]
        assert [text.partition(" waits: ")[2] for text in told] == ["it has TLS there, so use https://"]
        assert progress.needs_a_person

    def test_https_for_http(self, shipping, caplog):
        """Servers without TLS answer, or wait for the end of a line."""
        with Collector() as collector:
            progress = shipping.ship(Place(collector.address.replace("http", "https")), enough=8, timeout=0.3)

        told = [record.getMessage() for record in caplog.records if " waits: " in record.getMessage()]
        assert [text.partition(" waits: ")[2] for text in told] == ["it has no TLS there, so use http://"]
        assert progress.needs_a_person

    def test_cut_off(self, shipping, caplog):
        """A collector of the right kind that cuts connections off is awaited as such."""
        with Collector(lambda *_: RESET) as collector:
            progress = shipping.ship(collector, enough=3)

        assert "there, so use" not in caplog.text
        assert not progress.needs_a_person
