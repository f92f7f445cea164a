"""Real NATS servers, which end with their test or module."""

from __future__ import annotations

import itertools

import nats.aio.client  # noqa: F401  # its logger is there before the first test, which else would delete it
import pytest

from chora_logging.jetstream import shared_connections
from chora_logging.jetstream.credentials import Credentials
from chora_logging.jetstream.log import JetStreamLog
from tests.jetstream.servers import Certificates, Servers, connected, create
from tests.jetstream.storing import Place
from tests.needs import NATS_SERVERS, find_nats_server, find_program, need
from tests.soaks import WHOLE

#: Modules whose tests say more about this package than about a server: all but the newest version are for
#: whole runs. Those of messages, consumers and connections have every version always.
ON_THE_NEWEST = ("test_audit", "test_cli", "test_many_machines", "test_serving", "test_shipping")


def pytest_generate_tests(metafunc):
    if "version" in metafunc.fixturenames:
        is_few = not WHOLE and metafunc.module.__name__.rpartition(".")[2] in ON_THE_NEWEST
        versions = NATS_SERVERS[-1:] if is_few else NATS_SERVERS
        metafunc.parametrize("version", versions, indirect=True, scope="module")


@pytest.fixture(scope="module")
def version(request):
    """Each version of the server that is supported by the tests."""
    need(f"nats-server {request.param}")
    return request.param


@pytest.fixture(scope="module")
def server_program(version):
    """The path of a server of this version."""
    return find_nats_server(version)


@pytest.fixture(scope="module")
def newest_program():
    """The path of the newest server."""
    need(f"nats-server {NATS_SERVERS[-1]}")
    return find_nats_server(NATS_SERVERS[-1])


@pytest.fixture(scope="module")
def old_program():
    """The path of Debian's server."""
    need("nats-server")
    return find_program("nats-server")


@pytest.fixture
def server(server_program, tmp_path):
    """One server of each version."""
    with Servers(server_program, tmp_path / "servers") as servers:
        yield servers


@pytest.fixture
def newest(newest_program, tmp_path):
    """One server of the newest version."""
    with Servers(newest_program, tmp_path / "servers") as servers:
        yield servers


@pytest.fixture
def cluster(server_program, tmp_path):
    """Three servers of each version."""
    with Servers(server_program, tmp_path / "servers", 3) as servers:
        yield servers


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority and a certificate for 127.0.0.1."""
    need("openssl")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def running(server_program, tmp_path_factory):
    """One server of each version, for all tests of a module."""
    with Servers(server_program, tmp_path_factory.mktemp("servers")) as servers:
        yield servers


@pytest.fixture(autouse=True)
def no_connections():
    """What a test has opened by an address is closed: a lost connection would warn in later tests."""
    yield
    for connection in tuple(shared_connections._connections.values()):
        connection.close()
    shared_connections._connections.clear()


_names = itertools.count(1)


@pytest.fixture
def stream(running):
    """A new stream of that server."""
    number = next(_names)
    address = running.address.replace("/CLOG", f"/CLOG{number}")
    with connected(address) as stream:
        create(stream, subjects=[f"clog{number}.>"])
        yield stream


@pytest.fixture
def shop(stream):
    """A log of a machine, which is shipped to the stream."""
    return Place(stream)


@pytest.fixture
def log(stream):
    """The stream as a log."""
    with JetStreamLog(str(stream.connection.address), credentials=Credentials()) as log:
        yield log
