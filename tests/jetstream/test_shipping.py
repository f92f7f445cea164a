"""The shipper against real servers: each event once, in order, and refused where it must be."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from datetime import datetime, timezone

import pytest

from chora_logging.errors import ServerError
from chora_logging.eventlog import EventLog
from chora_logging.jetstream.messages import message
from chora_logging.jetstream.shipping import Shipment
from chora_logging.shipping.loop import Superseded, ship
from chora_logging.shipping.oversize import Oversize
from chora_logging.shipping.state import State
from tests.jetstream.servers import PATIENCE, Servers, connected, create, done, wait_for
from tests.jetstream.shippers import (
    Shipper,
    events_of,
    messages_of,
    numbers_of,
    untiled,
    wait_for_numbers,
    write,
    written,
)

SUBJECT = "clog.web1.app"


class Machine:
    """A folder with a log and the state of its shipper, as on one machine."""

    def __init__(self, folder, address, host="web1"):
        self.folder = folder
        self.log = folder / "app.log"
        self.state = folder / "state"
        self.address = address
        self.host = host
        folder.mkdir(exist_ok=True)

    def ship(self, *arguments, **options):
        """Start a shipper."""
        own = ("--log", self.log, "--host", self.host, "--state", self.state, "--linger", "0.01")
        return Shipper(self.address, self.folder / "output", *own, *arguments, **options)

    def ship_all(self, *arguments):
        """Ship what is there, and return what the shipper said."""
        with self.ship("--once", *arguments) as shipper:
            assert shipper.wait() == 0, shipper.said
            return shipper.said


@pytest.fixture
def stream(server):
    with connected(server.address) as stream:
        create(stream)
        yield stream


@pytest.fixture
def newest_stream(newest):
    with connected(newest.address) as stream:
        create(stream)
        yield stream


@pytest.fixture
def machine(tmp_path, stream):
    return Machine(tmp_path / "one", stream.connection.address)


@pytest.fixture
def newest_machine(tmp_path, newest_stream):
    return Machine(tmp_path / "one", newest_stream.connection.address)


class TestOnce:
    def test_all_and_then_the_rest(self, stream, machine):
        """Stored events are shipped as they stand in the files, and then only what is new."""
        written(machine.log, 5000, size=200_000)
        machine.ship_all()
        files = b"".join(
            path.read_bytes() for path in sorted(machine.folder.glob("app.log*"), key=_age_of, reverse=True)
        )
        assert b"".join(each.lines for each in messages_of(stream)) == files

        written(machine.log, 1000, size=200_000, first=5000)
        machine.ship_all()
        machine.ship_all()

        found = messages_of(stream)
        assert numbers_of(found, SUBJECT) == list(range(6000))
        assert untiled(found) == []
        assert max(len(each.lines) for each in found) <= 64 * 1024

    def test_live(self, stream, machine):
        """New events are shipped as they come; SIGTERM ends it with status 0, and nothing is missing."""
        with machine.ship() as shipper:
            assert write(machine.log, 2000, rate=2000).wait(PATIENCE) == 0
            found = wait_for_numbers(stream, SUBJECT, range(2000))
            assert shipper.stop() == 0, shipper.said

        assert numbers_of(found, SUBJECT) == list(range(2000))
        assert untiled(found) == []

    def test_log_that_comes_later(self, newest_stream, newest_machine):
        """A log that does not exist is awaited."""
        with newest_machine.ship("--compress", "none"):
            wait_for(lambda: (newest_machine.state / ".app.ship").exists())
            written(newest_machine.log, 3)
            found = wait_for_numbers(newest_stream, SUBJECT, range(3))

        assert {each.headers.get("Content-Encoding") for each in found} == {None}

    def test_late_block_of_an_earlier_process(self, stream, machine):
        """A block of a killed process may be stored after its successor has asked for the position."""
        machine.folder.joinpath("app.log").write_text('{"n": 0}\n{"n": 1}\n')
        log = EventLog(machine.log)
        with (
            contextlib.closing(State(str(machine.folder / "state"), log.path)) as state,
            contextlib.closing(Oversize(str(machine.folder / "oversize"))) as oversize,
        ):
            shipment = Shipment(stream, SUBJECT, log, state=state, oversize=oversize)

            async def shipped():
                assert await shipment.resume(log) is None
                [block] = await anext(log.follow_blocks(live=False))
                line = block._replace(chunk=block.chunk[: block.size // 2], size=block.size // 2)
                own = {"stream": stream.name, "shipper": shipment.shipper, "expected": 0}
                await stream.publish(message(line, SUBJECT, **own))
                with pytest.raises(Superseded):
                    await shipment.put(block)
                await ship(log, shipment, live=False)

            done(stream, shipped())
        found = messages_of(stream)

        assert numbers_of(found, SUBJECT) == [0, 1]
        assert untiled(found) == []

    def test_odd_lines(self, newest_stream, newest_machine):
        """Lines that are no events are shipped as they are; a line without its end is not."""
        odd = b'{"n": NaN}\nno json\n\n\x00\xff\n{"n": 1}\n'
        newest_machine.log.write_bytes(odd + b'{"half')
        newest_machine.ship_all()

        assert b"".join(each.lines for each in messages_of(newest_stream)) == odd

    def test_last_line_of_a_rotated_file(self, newest_stream, newest_machine):
        """It is shipped with a newline after it if it has none; of the live file it is said to be left."""
        newest_machine.log.write_bytes(b'{"n": 1}\n{"n": 2}')
        newest_machine.ship_all()
        newest_machine.log.rename(newest_machine.folder / "app.log.1")
        newest_machine.log.write_bytes(b'{"n": 3}\n')
        newest_machine.ship_all()
        said = newest_machine.ship_all()
        found = messages_of(newest_stream)

        left = "the last line is not whole: 8 bytes without a newline are not shipped yet"
        assert [left in text for text in said.splitlines()] == [True]
        assert b"".join(each.lines for each in found) == b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'


class TestTwoShippers:
    def test_one_log_on_two_machines(self, stream, machine, tmp_path):
        """Of two shippers of one log one stops with a sentence, and each event is stored once."""
        other = Machine(tmp_path / "two", stream.connection.address)
        other.log = machine.log
        with machine.ship() as first, other.ship() as second:
            count = 0
            while first.process.poll() is second.process.poll() is None:
                written(machine.log, 100, first=count)
                count += 100
                time.sleep(0.02)
            found = wait_for_numbers(stream, SUBJECT, range(count))
            loser = first if first.process.poll() is not None else second

            assert loser.wait() == 1
            assert "another shipper ships clog.web1.app: sequence" in loser.said
            assert "give one another --host" in loser.said
        assert numbers_of(found, SUBJECT) == list(range(count))
        assert untiled(found) == []

    def test_one_state_folder(self, newest_stream, newest_machine):
        """A second shipper on the machine says who ships the log."""
        written(newest_machine.log, 1)
        with newest_machine.ship() as first:
            wait_for_numbers(newest_stream, SUBJECT, range(1))
            with newest_machine.ship() as second:
                assert second.wait() == 1
                assert f"process {first.process.pid} on " in second.said

    @pytest.mark.whole
    def test_cloned_log(self, stream, machine, tmp_path):
        """A cloned log under another host has all its events; under the same host it is refused."""
        written(machine.log, 100)
        machine.ship_all()
        clone = Machine(tmp_path / "clone", stream.connection.address)
        for path in (machine.log, machine.folder / ".app.log.lock"):
            shutil.copy(path, clone.folder)
        written(machine.log, 50, first=100)
        written(clone.log, 70, first=1000)
        machine.ship_all()

        with clone.ship("--once") as refused:
            assert refused.wait() == 1
            assert "another shipper ships clog.web1.app" in refused.said
        clone.host = "web2"
        clone.ship_all()

        found = messages_of(stream)
        assert numbers_of(found, SUBJECT) == list(range(150))
        assert numbers_of(found, "clog.web2.app") == [*range(100), *range(1000, 1070)]

    def test_two_logs_of_one_name(self, newest_stream, newest_machine, tmp_path):
        """Another log under the same name is refused, with both ways out."""
        written(newest_machine.log, 10)
        newest_machine.ship_all()
        other = Machine(tmp_path / "two", newest_stream.connection.address)
        written(other.log, 10, first=10)

        with other.ship("--once") as refused:
            assert refused.wait() == 1
            assert "is of another log" in refused.said
            assert "another --host, or this log another name" in refused.said
        assert numbers_of(messages_of(newest_stream), SUBJECT) == list(range(10))


def damage(state):
    state.write_bytes(b"{not a state file" + bytes(2000))


def empty(state):
    state.write_bytes(b"")


def remove(state):
    state.unlink()


def spoil(state):
    state.unlink()
    state.mkdir()


class TestState:
    @pytest.mark.parametrize(
        "change", [damage, *(pytest.param(each, marks=pytest.mark.whole) for each in (empty, remove, spoil))]
    )
    def test_lost_state(self, newest_stream, newest_machine, change):
        """The stream has the position: a state file that is lost, damaged or not writable costs nothing."""
        written(newest_machine.log, 10)
        newest_machine.ship_all()
        change(newest_machine.state / ".app.ship")
        written(newest_machine.log, 10, first=10)
        said = newest_machine.ship_all()

        assert numbers_of(messages_of(newest_stream), SUBJECT) == list(range(20))
        assert ("the stream" in said) is (change in (damage, spoil))

    def test_everything_expired(self, stream, machine):
        """Where the stream has no message of the log any more, the state file has the position."""
        written(machine.log, 10)
        machine.ship_all()
        done(stream, stream.api(f"STREAM.PURGE.{stream.name}", {}))
        machine.ship_all()
        assert messages_of(stream) == []

        written(machine.log, 10, first=10)
        machine.ship_all()

        assert numbers_of(messages_of(stream), SUBJECT) == list(range(10, 20))

    def test_killed_before_the_answer(self, server, stream, machine):
        """A block for which no answer had come is shipped again, also if the stream has nothing any more."""
        with machine.ship() as shipper:
            written(machine.log, 10)
            wait_for_numbers(stream, SUBJECT, range(10))
            server.end()
            written(machine.log, 10, first=10)
            wait_for(lambda: "waits: " in shipper.said)
        server.start()
        wait_for(lambda: _answers(stream))
        done(stream, stream.api(f"STREAM.PURGE.{stream.name}", {}))
        machine.ship_all()

        assert numbers_of(messages_of(stream), SUBJECT) == list(range(10, 20))

    @pytest.mark.whole
    @pytest.mark.parametrize("change", [damage, empty, remove])
    def test_everything_expired_and_the_state_lost(self, newest_stream, newest_machine, change):
        """Where both are gone, the log is shipped from the beginning: rather twice than never."""
        written(newest_machine.log, 10)
        newest_machine.ship_all()
        done(newest_stream, newest_stream.api(f"STREAM.PURGE.{newest_stream.name}", {}))
        change(newest_machine.state / ".app.ship")
        newest_machine.ship_all()

        assert numbers_of(messages_of(newest_stream), SUBJECT) == list(range(10))

    def test_expired_under_a_living_shipper(self, stream, machine):
        """A shipper whose messages all expire goes on with the next block."""
        with machine.ship():
            written(machine.log, 10)
            wait_for_numbers(stream, SUBJECT, range(10))
            done(stream, stream.api(f"STREAM.PURGE.{stream.name}", {}))
            written(machine.log, 10, first=10)
            found = wait_for_numbers(stream, SUBJECT, range(20))

        assert numbers_of(found, SUBJECT) == list(range(10, 20))

    @pytest.mark.whole
    def test_another_stream(self, newest_stream, newest_machine):
        """The position in one stream is none in another."""
        written(newest_machine.log, 10)
        newest_machine.ship_all()
        newest_machine.address = str(newest_machine.address).replace("CLOG", "OTHER")
        newest_machine.ship_all("--create", "--replicas", "1", "--prefix", "other")

        with connected(newest_machine.address) as other:
            assert numbers_of(messages_of(other), "other.web1.app") == list(range(10))


class TestTime:
    def test_quiet_for_longer_than_max_age(self, server, tmp_path):
        """A log that is quiet until all its messages are too old goes on without a gap."""
        with connected(server.address) as stream:
            create(stream, max_age=1_000_000_000, duplicate_window=1_000_000_000)
            machine = Machine(tmp_path / "one", stream.connection.address)
            with machine.ship():
                written(machine.log, 10)
                wait_for_numbers(stream, SUBJECT, range(10))
                wait_for(lambda: not done(stream, stream.info())["state"]["messages"])
                written(machine.log, 10, first=10)
                wait_for(lambda: done(stream, stream.info())["state"]["messages"])
                found = messages_of(stream)

        assert numbers_of(found, SUBJECT) == list(range(10, 20))
        assert found[0].gap is None

    @pytest.mark.whole
    def test_down_for_longer_than_the_duplicate_window(self, server, tmp_path):
        """A shipper that is killed and comes back after the duplicate window doubles nothing."""
        with connected(server.address) as stream:
            create(stream, duplicate_window=100_000_000)
            machine = Machine(tmp_path / "one", stream.connection.address)
            written(machine.log, 3000)
            with machine.ship() as shipper:
                wait_for(lambda: done(stream, stream.last_message(SUBJECT)))
                shipper.kill()
            before = done(stream, stream.info())["state"]["messages"]
            wait_for(lambda: _is_older(stream, 1.0))
            machine.ship_all()
            found = messages_of(stream)

        assert len(found) >= before
        assert numbers_of(found, SUBJECT) == list(range(3000))

    def test_down_for_longer_than_retention(self, stream, machine):
        """What retention deleted before it was shipped is told once, in the block that follows it."""
        written(machine.log, 100, size=10_000, keep=2)
        machine.ship_all()
        written(machine.log, 2000, size=10_000, keep=2, first=100)
        machine.ship_all()
        machine.ship_all()

        found = messages_of(stream)
        numbers = numbers_of(found, SUBJECT)
        gaps = [each.gap for each in found if each.gap is not None]
        assert numbers[:100] == list(range(100))
        assert numbers[-1] == 2099
        assert numbers[100:] == list(range(numbers[100], 2100))
        assert len(gaps) == 1
        assert gaps[0].files > 10


class TestStreamsThatForget:
    @pytest.mark.parametrize("retention", ["interest", "workqueue"])
    def test_refused(self, newest, tmp_path, retention):
        """A stream that acknowledges events and drops them is refused, and nothing is put into it."""
        with connected(newest.address) as stream:
            create(stream, retention=retention)
            machine = Machine(tmp_path / "one", stream.connection.address)
            machine.log.write_bytes(b"{}\n")
            with machine.ship("--once") as shipper:
                status = shipper.wait()
            last = done(stream, stream.info())["state"]["last_seq"]

        assert (status, last) == (1, 0)
        assert f"has the retention '{retention}'" in shipper.said
        assert "'limits' is allowed" in shipper.said


class TestOversize:
    def test_line_over_the_limit(self, newest_program, tmp_path):
        """A line that no message can hold becomes a marked event; its neighbours and the whole line stay."""
        long = json.dumps({"trace_id": "t1", "n": 2, "text": os.urandom(150_000).hex()}).encode() + b"\n"
        servers = Servers(newest_program, tmp_path / "servers", more="max_payload: 100KB\n")
        with servers, connected(servers.address) as stream:
            create(stream)
            machine = Machine(tmp_path / "one", stream.connection.address)
            machine.log.write_bytes(b'{"n": 1}\n' + long + b'{"n": 3}\n')
            machine.ship_all()
            said = machine.ship_all()
            found = messages_of(stream)

        first, marked, last = events_of(found)[SUBJECT]
        assert (first, last) == ({"n": 1}, {"n": 3})
        assert (marked["truncated"], marked["trace_id"], marked["line_bytes"]) == (True, "t1", len(long))
        assert long.startswith(marked["line"].encode())
        kept = machine.state / ".app.oversize"
        assert said.count(f"a line of {len(long)} bytes is cut in the stream: the whole is in {kept}") == 1
        assert kept.read_bytes() == long
        assert kept.stat().st_mode & 0o777 == 0o600
        assert untiled(found) == []

    def test_line_that_cannot_be_read(self, newest_stream, newest_machine):
        """A line over the limit of readers is cut to its beginning, and that is said."""
        with open(newest_machine.log, "wb") as file:
            for _ in range(33):
                file.write(b"x" * 1024 * 1024)
            file.write(b"\n{}\n")
        said = newest_machine.ship_all()
        marked, _ = events_of(messages_of(newest_stream))[SUBJECT]

        assert marked["line_bytes"] == 33 * 1024 * 1024 + 1
        assert marked["line"] == "x" * 65536
        assert f"it is too long to be read, and stands in {newest_machine.log} from byte 0 on only" in said

    def test_small_messages(self, newest_program, tmp_path):
        """Where messages must be shorter than blocks, blocks are split at lines."""
        lines = [json.dumps({"n": n, "text": os.urandom(500).hex()}).encode() + b"\n" for n in range(200)]
        servers = Servers(newest_program, tmp_path / "servers", more="max_payload: 32KB\n")
        with servers, connected(servers.address) as stream:
            create(stream)
            machine = Machine(tmp_path / "one", stream.connection.address)
            machine.log.write_bytes(b"".join(lines))
            machine.ship_all("--compress", "none")
            found = messages_of(stream)

        assert b"".join(each.lines for each in found) == b"".join(lines)
        assert untiled(found) == []

    def test_small_messages_of_a_stream(self, newest, tmp_path):
        """Where the stream takes shorter messages than the server, blocks are split at lines, too."""
        lines = [json.dumps({"n": n, "text": os.urandom(500).hex()}).encode() + b"\n" for n in range(50)]
        with connected(newest.address) as stream:
            create(stream, max_msg_size=10_000)
            machine = Machine(tmp_path / "one", stream.connection.address)
            machine.log.write_bytes(b"".join(lines))
            machine.ship_all("--compress", "none")
            found = messages_of(stream)

        assert b"".join(each.lines for each in found) == b"".join(lines)

    def test_line_longer_than_a_block(self, newest_stream, newest_machine):
        """A line longer than a block is a block of its own."""
        lines = [b'{"n": 1}\n', b'{"n": 2, "text": "%s"}\n' % (b"x" * 300_000), b'{"n": 3}\n']
        newest_machine.log.write_bytes(b"".join(lines))
        newest_machine.ship_all()

        assert [each.lines for each in messages_of(newest_stream)] == lines


def _answers(stream):
    with contextlib.suppress(ServerError):
        return done(stream, stream.info())


def _age_of(path):
    ending = path.name.removeprefix("app.log").lstrip(".")
    return int(ending) if ending.isdecimal() else 0


def _is_older(stream, seconds):
    last = datetime.fromisoformat(done(stream, stream.info())["state"]["last_ts"][:19] + "+00:00")
    return (datetime.now(timezone.utc) - last).total_seconds() > seconds + 1
