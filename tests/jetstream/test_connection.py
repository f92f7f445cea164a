"""Connections to real servers: made, lost and made anew; every error is one of ours and says what to do."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading

import pytest
from nats.errors import NoServersError

from chora_logging.errors import AnswerError, NoAnswerError, RefusedError
from chora_logging.jetstream.address import Address
from chora_logging.jetstream.connection import Connection
from chora_logging.jetstream.credentials import Credentials
from chora_logging.jetstream.messages import Message
from chora_logging.jetstream.stream import Stream
from tests.checkout import ROOT
from tests.jetstream.servers import (
    ADMIN,
    PASSWORD,
    SHIPPER,
    Certificates,
    Servers,
    connected,
    create,
    done,
    wait_for,
)
from tests.ports import free_port

MESSAGE = Message("clog.web1.app", b"payload", {"Clog-Log": "00", "X-Two": "a:b"})


def admin(servers):
    return Credentials(user=ADMIN, password_file=str(servers.password_file))


def shipper(servers):
    return Credentials(user=SHIPPER, password_file=str(servers.password_file))


def problem_of(address, wanted="", **options):
    """Why there is no connection to *address*, once that has the text *wanted*."""
    with connected(address, **options) as stream:
        with pytest.raises(NoAnswerError):
            stream.connection.submit(stream.connection._ready(1)).result(20)

        def problem():
            found = stream.connection.problem
            return wanted in found and found

        return wait_for(problem, wanted or "a problem")


def published_at_last(stream):
    """The answer to a publish that is tried until it succeeds."""

    def published():
        try:
            return done(stream, stream.publish(MESSAGE))
        except NoAnswerError:
            return None

    return wait_for(published)


class TestStream:
    def test_publish_and_last_message(self, server):
        """A message is stored once with its headers, and the last one of a subject is found."""
        with connected(server.address) as stream:
            create(stream)
            first = done(stream, stream.publish(MESSAGE))
            last = done(stream, stream.last_message(MESSAGE.subject))

            assert first == (1, False)
            assert last[:4] == (1, *MESSAGE)
            assert done(stream, stream.last_message("clog.web1.other")) is None
            assert stream.connection.server_version in server.servers[0].program or os.environ["NATS_SERVER"]

    def test_errors_have_their_number(self, server):
        """An error of JetStream is one of ours, with its number."""
        with connected(server.address) as stream:
            create(stream)
            wrong = MESSAGE._replace(headers={"Nats-Expected-Last-Subject-Sequence": "7"})

            with pytest.raises(AnswerError, match="wrong last sequence") as caught:
                done(stream, stream.publish(wrong))
            assert caught.value.code == 10071

    def test_servers_without_a_leader(self, newest_program, tmp_path):
        """What JetStream answers while too few servers run may be another answer later."""
        with Servers(newest_program, tmp_path / "servers", 3) as servers:
            for server in servers.servers[1:]:
                server.end()
            with connected(servers.address) as stream:

                def is_unavailable():
                    try:
                        done(stream, stream.info())
                    except NoAnswerError as error:
                        return "temporarily unavailable (10008)" in str(error)
                    except AnswerError as error:  # it believes for some seconds that it is the leader
                        assert error.code == 10059

                wait_for(is_unavailable, "the loss of the leader")

    def test_no_stream(self, server):
        """A subject that no stream takes gets no answer."""
        nobody = pytest.raises(NoAnswerError, match=r"nobody answers to clog\.web1\.app")
        with connected(server.address) as stream, nobody:
            done(stream, stream.publish(MESSAGE))

    def test_any_thread_and_loop(self, newest):
        """One connection serves several event loops in several threads."""
        with connected(newest.address) as stream:
            create(stream)

            def publish():
                asyncio.run(stream.publish(MESSAGE))

            threads = [threading.Thread(target=publish) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

            assert done(stream, stream.info())["state"]["messages"] == 4


class TestLoss:
    def test_restarted_server(self, server):
        """After a kill of the server the connection comes back by itself, and nothing waits for long."""
        with connected(server.address) as stream:
            create(stream)
            done(stream, stream.publish(MESSAGE))
            server.end()
            with pytest.raises(NoAnswerError):
                done(stream, stream.publish(MESSAGE, 0.5))
            server.start()

            assert published_at_last(stream).sequence >= 2

    def test_another_server_of_the_cluster(self, cluster):
        """A client that was given one server goes to another one of its cluster."""
        first = cluster.servers[0]
        with connected(f"nats://127.0.0.1:{first.port}/CLOG") as stream:
            create(stream, num_replicas=3)
            client = stream.connection._live.client
            wait_for(lambda: len(client.discovered_servers) >= 2, "the other servers")
            first.end()

            def answered():
                try:
                    return done(stream, stream.info())
                except (NoAnswerError, AnswerError):
                    return None

            assert wait_for(answered)["config"]["num_replicas"] == 3

    def test_no_majority(self, cluster):
        """Without more than half of its servers a stream does not answer, and the error says so."""
        with connected(cluster.address) as stream:
            create(stream, num_replicas=3)
            done(stream, stream.publish(MESSAGE))
            for server in cluster.servers[:2]:
                server.end()

            def says_it():
                try:
                    done(stream, stream.publish(MESSAGE, 0.5))
                except NoAnswerError as error:
                    return "more than half of the servers must run" in str(error)

            wait_for(says_it)
            cluster.servers[0].start()

            assert published_at_last(stream).sequence >= 2

    def test_too_long_message(self, server):
        """A message that is too long closes the client, and the next one gets through."""
        with connected(server.address) as stream:
            create(stream)
            done(stream, stream.publish(MESSAGE))
            long = MESSAGE._replace(payload=bytes(stream.connection.max_payload - 10))
            with pytest.raises(NoAnswerError):
                done(stream, stream.publish(long))

            def published():
                try:
                    return done(stream, stream.publish(MESSAGE))
                except NoAnswerError:
                    return None

            assert wait_for(published) == (2, False)

    def test_closed_without_a_word(self, newest):
        """A client that is closed without calling back is replaced."""
        with connected(newest.address) as stream:
            create(stream)
            client = stream.connection._live.client
            client._closed_cb = client._disconnected_cb = None
            stream.connection.submit(client.close()).result(20)

            wait_for(lambda: stream.connection._live.client is not client, "another client")
            assert done(stream, stream.publish(MESSAGE)).sequence == 1

    def test_server_comes_later(self, newest_program, tmp_path):
        """A connection can be made before its server runs."""
        servers = Servers(newest_program, tmp_path / "servers")
        with connected(servers.address) as stream:
            with pytest.raises(NoAnswerError, match="not connected"):
                done(stream, stream.publish(MESSAGE, 0.2))
            with servers:
                create(stream)

                assert done(stream, stream.publish(MESSAGE)).sequence == 1

    def test_partly_reachable(self, newest):
        """One of several servers is enough."""
        address = f"nats://127.0.0.1:{free_port()},127.0.0.1:{newest.servers[0].port}/CLOG"
        with connected(address) as stream:
            create(stream)

            assert done(stream, stream.publish(MESSAGE)).sequence == 1

    def test_closed(self, newest):
        """A closed connection refuses work at once; closing it twice does nothing."""
        with connected(newest.address) as stream:
            create(stream)
        stream.connection.close()

        with pytest.raises(NoAnswerError, match="has been closed"):
            asyncio.run(stream.publish(MESSAGE))


class TestRights:
    @pytest.fixture
    def guarded(self, server_program, tmp_path):
        with Servers(server_program, tmp_path / "servers", users=True) as servers:
            with connected(servers.address, credentials=admin(servers)) as stream:
                create(stream)
            yield servers

    def test_least_rights(self, guarded):
        """A shipper needs few rights, and hears at once of one that it does not have."""
        with connected(guarded.address, credentials=shipper(guarded)) as stream:
            assert done(stream, stream.publish(MESSAGE)).sequence == 1
            assert done(stream, stream.last_message(MESSAGE.subject)).sequence == 1
            with pytest.raises(RefusedError, match="may not publish to other"):
                done(stream, stream.publish(MESSAGE._replace(subject="other")))
            assert done(stream, stream.publish(MESSAGE)).sequence == 2

    def test_nkey(self, guarded):
        """An NKey lets in."""
        with connected(
            guarded.address, credentials=Credentials(nkey_seed_file=str(guarded.seed_file))
        ) as stream:
            assert done(stream, stream.publish(MESSAGE)).sequence == 1

    def test_wrong_password(self, guarded, tmp_path):
        """A wrong password is said, not shown, and a corrected file is enough."""
        wrong = tmp_path / "wrong"
        wrong.write_text("n0tth1s")
        credentials = Credentials(user=SHIPPER, password_file=str(wrong))
        with connected(guarded.address, credentials=credentials) as stream:
            with pytest.raises(NoAnswerError, match="not connected") as caught:
                done(stream, stream.publish(MESSAGE, 2))
            wait_for(lambda: "check the credentials" in stream.connection.problem)
            assert "n0tth1s" not in f"{caught.value} {stream.connection!r} {credentials!r}"
            wrong.write_text(PASSWORD)

            assert wait_for(lambda: stream.connection.is_connected)
            assert done(stream, stream.publish(MESSAGE)).sequence == 1

    def test_no_credentials(self, guarded):
        """Without credentials the message names the variables to set."""
        assert problem_of(guarded.address, "NATS_USER and NATS_PASSWORD_FILE")


def test_work_that_fails_when_it_is_ended(newest, caplog):
    """Nothing is logged by asyncio of an error that comes after the connection is lost."""

    async def work(client):
        newest.end()
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            raise ValueError from None

    with connected(newest.address) as stream:
        with pytest.raises(NoAnswerError, match="the connection was lost"):
            done(stream, stream.connection.with_client(work))
        newest.start()
        wait_for(lambda: gc.collect() or stream.connection.is_connected)

    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize(("error", "logged"), [(NoServersError, 0), (OSError, 0), (ValueError, 1)])
def test_errors_that_nobody_asks_for(newest, caplog, error, logged):
    """asyncio logs those in the event loop of a connection, unless servers or the network made them."""

    async def fail():
        raise error

    async def forget(client):
        await asyncio.wait({asyncio.ensure_future(fail())})

    with connected(newest.address) as stream:
        done(stream, stream.connection.with_client(forget))
        wait_for(lambda: gc.collect() or stream.connection.is_connected)

    assert len([record for record in caplog.records if record.name == "asyncio"]) == logged


class TestTls:
    def test_right_authority(self, server_program, certificates, tmp_path):
        """With the authority of the servers' certificates a connection is encrypted."""
        with Servers(server_program, tmp_path / "servers", tls=certificates) as servers:
            with connected(servers.address, credentials=Credentials(ca=str(certificates.ca))) as stream:
                create(stream)

                assert done(stream, stream.publish(MESSAGE)).sequence == 1

            assert problem_of(servers.address, "NATS_CA")

    def test_silent(self, newest_program, certificates, tmp_path, caplog):
        """Nothing is logged by asyncio when a server or this side ends a connection over TLS."""
        credentials = Credentials(ca=str(certificates.ca))
        servers = Servers(newest_program, tmp_path / "servers", tls=certificates)
        with servers, connected(servers.address, credentials=credentials) as stream:
            create(stream)
            servers.end()
            wait_for(lambda: not stream.connection.is_connected)
            servers.start()
            assert wait_for(lambda: stream.connection.is_connected)

        assert [record for record in caplog.records if record.name == "asyncio"] == []

    def test_wrong_authority(self, newest_program, certificates, tmp_path):
        """A server that another authority vouches for is refused, and the message names the variable."""
        (tmp_path / "other").mkdir()
        other = Certificates(tmp_path / "other")
        with Servers(newest_program, tmp_path / "servers", tls=certificates) as servers:
            assert problem_of(servers.address, "check NATS_CA", credentials=Credentials(ca=str(other.ca)))

    def test_client_certificate(self, newest_program, certificates, tmp_path, monkeypatch):
        """Servers that ask for the certificate of a client get it, and without it the message says so."""
        monkeypatch.setattr(certificates, "verify", True)
        own = {"cert": str(certificates.cert), "key": str(certificates.key)}
        with Servers(newest_program, tmp_path / "servers", tls=certificates) as servers:
            with connected(
                servers.address, credentials=Credentials(ca=str(certificates.ca), **own)
            ) as stream:
                create(stream)

            credentials = Credentials(ca=str(certificates.ca))
            assert problem_of(servers.address, "NATS_CERT and NATS_KEY", credentials=credentials)

    def test_plain_server(self, newest, certificates):
        """Who names an authority does not talk to a server without TLS."""
        assert problem_of(newest.address, "no TLS", credentials=Credentials(ca=str(certificates.ca)))


class TestVersion:
    def test_debians_server(self, old_program, tmp_path):
        """A server that stores the same block twice is refused with a sentence."""
        with Servers(old_program, tmp_path / "servers") as servers:
            assert problem_of(servers.address, "2.9.10, and one before 2.10 may store the same events twice")


class TestUnusual:
    def test_not_a_nats_server(self):
        """Something else on the port is said, and does not hang."""
        with socket.create_server(("127.0.0.1", 0)) as other:

            def greet():
                for _ in range(2):
                    with other.accept()[0] as connection:
                        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

            thread = threading.Thread(target=greet, daemon=True)
            thread.start()
            assert problem_of(f"nats://127.0.0.1:{other.getsockname()[1]}/CLOG")

    def test_only_one_module_imports_the_client(self):
        """The client library can be exchanged in one module."""
        folder = ROOT / "chora_logging"
        found = [path.name for path in folder.rglob("*.py") if "nats." in _imports(path)]

        assert found == ["connection.py"]

    def test_thread_is_a_daemon(self, newest):
        """The thread of a connection does not keep a program from ending."""
        with Connection(Address.parse(newest.address), credentials=Credentials()) as connection:
            connection.submit(Stream(connection).info())
            thread = next(each for each in threading.enumerate() if each.name.startswith("nats "))

            assert thread.daemon


def _imports(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return "".join(
        f"{line.split()[1]}." for line in lines if line.strip().startswith(("from nats", "import nats"))
    )
