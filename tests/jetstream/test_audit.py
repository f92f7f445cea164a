"""An audit finds exactly what a stream lacks, and a repair ships it once, whatever dies meanwhile."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chora_logging.errors import OtherShipperError, RefusedError, ServerError
from chora_logging.eventlog import EventLog
from chora_logging.eventlog.rotated import cursor
from chora_logging.jetstream.audit import SETTLING_SECONDS, Audit
from chora_logging.jetstream.blocks import LATE_HEADER
from chora_logging.jetstream.findings import total
from chora_logging.jetstream.holding import Ranges
from chora_logging.jetstream.messages import END, START
from chora_logging.jetstream.shipping import Shipment
from chora_logging.shipping.loop import ship
from chora_logging.shipping.oversize import Oversize
from chora_logging.shipping.state import State
from tests.jetstream.servers import connected, create, done, wait_for
from tests.jetstream.shippers import Shipper, messages_of, wait_for_numbers, write, written
from tests.jetstream.storing import publish


class Machine:
    """A folder with a log that is shipped into a stream, as on one machine."""

    def __init__(self, stream, folder):
        self.stream = stream
        self.folder = folder
        self.log = folder / "app.log"
        self.prefix = stream.name.lower()
        self.subject = f"{self.prefix}.web1.app"
        folder.mkdir(exist_ok=True)

    def write(self, number, *, first=0, size=100_000, keep=50):
        """Write events, and make the files an hour old: what was written to lately may still be shipped."""
        written(self.log, number, first=first, size=size, keep=keep)
        self.age()

    def age(self):
        before = time.time() - 3600
        for path in sorted(self.folder.glob("app.log*"), key=_age_of, reverse=True):
            os.utime(path, (before, before))

    def ship(self):
        """Ship what is there."""
        log = EventLog(self.log)
        with (
            contextlib.closing(State(str(self.folder / "state"), log.path)) as state,
            self.oversize() as kept,
        ):
            shipment = Shipment(self.stream, self.subject, log, state=state, oversize=kept)
            done(self.stream, ship(log, shipment, live=False))

    def shipper(self, *arguments):
        """Start a shipper in a process of its own."""
        own = ("--log", self.log, "--host", "web1", "--prefix", self.prefix, "--linger", "0.01")
        return Shipper(self.stream.connection.address, self.folder / "output", *own, *arguments)

    def oversize(self):
        return contextlib.closing(Oversize(str(self.folder / "oversize")))

    def audit(self):
        return Audit(self.stream, self.subject, EventLog(self.log))

    def found(self):
        """What an audit finds."""
        with self.audit() as audit:
            return audit.run()

    def repair(self):
        """What a repair ships."""
        with self.audit() as audit, self.oversize() as kept:
            audit.run()
            return audit.repair(kept)

    def blocks(self):
        """The messages under the subject of the log."""
        return [each for each in messages_of(self.stream) if each.subject == self.subject]

    def delete(self, *sequences):
        """Lose messages."""
        for sequence in sequences:
            done(self.stream, self.stream.api(f"STREAM.MSG.DELETE.{self.stream.name}", {"seq": sequence}))

    def purge(self, before):
        """Delete the messages before a sequence, as retention does."""
        done(self.stream, self.stream.api(f"STREAM.PURGE.{self.stream.name}", {"seq": before}))

    def numbers(self):
        """The numbers of all events in the stream, late ones too."""
        lines = b"".join(each.lines for each in messages_of(self.stream)).splitlines()
        return [json.loads(line)["n"] for line in lines]


@pytest.fixture
def machine(stream, tmp_path):
    return Machine(stream, tmp_path / "one")


def _age_of(path):
    number = path.name.removeprefix("app.log").removesuffix(".gz").strip(".")
    return int(number) if number.isdigit() else 0


def numbers_of(part):
    """The numbers of the events of a part that an audit has found."""
    with open(part.path, "rb") as file:
        lines = file.read()[part.start.offset : part.end]
    assert lines.count(b"\n") == part.amount.lines
    return [json.loads(line)["n"] for line in lines.splitlines()]


def lines_of(messages):
    return [json.loads(line)["n"] for each in messages for line in each.lines.splitlines()]


class TestWhole:
    def test_files_and_stream_are_the_same(self, machine):
        """Everything is found in both, and nothing else is said."""
        machine.write(3000)
        machine.ship()
        found = machine.found()
        blocks = machine.blocks()

        assert (found.missing, found.unshipped, found.expired, found.lost) == ([], [], [], [])
        assert (found.rotated.lines, found.doubled.lines, found.unreadable, found.differing) == (0, 0, [], [])
        assert found.stored == (3000, sum(file.size for file in found.files))
        assert (found.blocks, found.first, found.last) == (len(blocks), 1, len(blocks))
        assert found.start == cursor.decode(blocks[0].headers[START])
        assert found.end == cursor.decode(blocks[-1].headers[END])
        assert len(found.files) == len(list(machine.folder.glob("app.log*")))

    def test_rotated_away(self, machine):
        """What only the stream has is no damage."""
        machine.write(3000)
        machine.ship()
        machine.write(100, first=3000, keep=2)
        held = sum(path.read_bytes().count(b"\n") for path in machine.folder.glob("app.log*"))
        machine.ship()
        found = machine.found()

        assert found.rotated.lines == 3100 - held
        assert (found.missing, found.lost) == ([], [])

    def test_unshipped(self, machine):
        """What the shipper has not come to is said to be that, also in files that it has not seen."""
        machine.write(1000)
        machine.ship()
        machine.write(1000, first=1000)
        found = machine.found()

        assert (found.missing, found.lost) == ([], [])
        assert total(found.unshipped).lines == 1000
        assert [n for part in found.unshipped for n in numbers_of(part)] == list(range(1000, 2000))

    def test_nothing_was_shipped(self, machine):
        """A stream without the log has no block, and everything is unshipped."""
        machine.write(100)
        found = machine.found()

        assert (found.blocks, found.missing, total(found.unshipped).lines) == (0, [], 100)

    def test_half_a_line(self, machine):
        """A line that is still being written does not count."""
        machine.write(10)
        machine.ship()
        with open(machine.log, "a") as file:
            file.write('{"n": ')
        found = machine.found()

        assert (found.missing, found.unshipped) == ([], [])

    def test_last_line_without_a_newline(self, machine):
        """That of a rotated file counts, whether the stream has it or not, and a repair ships it."""
        machine.log.write_bytes(b'{"n": 0}\n{"n": 1}')
        machine.log.rename(machine.folder / "app.log.1")
        machine.log.write_bytes(b'{"n": 2}\n')
        machine.age()
        machine.ship()
        whole = machine.found()
        machine.delete(machine.blocks()[1].sequence)
        lacking = machine.found()
        machine.repair()
        repaired = machine.found()

        assert (whole.missing, whole.lost, whole.differing, whole.stored.lines) == ([], [], [], 3)
        assert [part.amount for part in lacking.missing] == [(1, 8)]
        assert (repaired.missing, repaired.lost, repaired.differing) == ([], [], [])
        assert sorted(machine.numbers()) == [0, 1, 2]

    def test_compressed_backups(self, machine):
        """Backups that were compressed after they had been shipped are compared."""
        machine.write(3000)
        machine.ship()
        for number in (1, 3):
            plain = machine.folder / f"app.log.{number}"
            with gzip.open(f"{plain}.gz", "wb") as packed:
                packed.write(plain.read_bytes())
            plain.unlink()
        machine.delete(machine.blocks()[4].sequence)
        lost = machine.found().missing
        machine.repair()

        assert total(lost).lines > 0
        assert sorted(machine.numbers()) == list(range(3000))

    def test_gap(self, machine):
        """A gap that the shipper has reported is told, and not missing."""
        machine.write(500)
        machine.ship()
        machine.write(3000, first=500, keep=2)
        machine.ship()
        found = machine.found()

        assert len(found.gaps) == 1
        assert (found.missing, found.lost) == ([], [])

    def test_oversize(self, machine):
        """A line that was replaced, because no message can hold it, is in the stream."""
        lines = [{"n": 0}, {"n": 1, "text": "x" * 2_000_000}, {"n": 2}]
        machine.log.write_text("".join(json.dumps(line) + "\n" for line in lines))
        machine.ship()
        found = machine.found()

        assert machine.numbers() == [0, 1, 2]
        assert (found.missing, found.differing, found.lost) == ([], [], [])
        assert found.rotated.lines == 0

        machine.delete(2)
        assert machine.repair() == (1, len(json.dumps(lines[1])) + 1)
        assert machine.found().missing == []
        assert sorted(machine.numbers()) == [0, 1, 2]

    def test_beside_writers_and_a_shipper(self, machine):
        """Nothing is missing, whenever it is asked, while the log is written, rotated and shipped."""
        with write(machine.log, 6000, rate=1500, size=40_000, keep=3) as writer, machine.shipper():
            wait_for(machine.blocks)
            audits = 0
            while writer.poll() is None or not audits:
                found = machine.found()
                audits += 1
                assert (found.missing, found.lost, found.differing, found.unreadable) == ([], [], [], [])
            assert writer.wait() == 0


class TestMissing:
    def test_a_block(self, machine):
        """Exactly the lines of a lost block are missing; a repair ships them, and a second one nothing."""
        machine.write(3000)
        machine.ship()
        gone = machine.blocks()[3]
        machine.delete(gone.sequence)
        last = machine.blocks()[-1]
        found = machine.found()

        assert [n for part in found.missing for n in numbers_of(part)] == lines_of([gone])
        assert (found.lost, found.unshipped) == ([], [])
        assert machine.repair() == (gone.lines.count(b"\n"), len(gone.lines))
        assert machine.repair() == (0, 0)
        assert machine.found().missing == []
        assert machine.blocks()[-1] == last
        assert sorted(machine.numbers()) == list(range(3000))

    def test_late(self, machine, log):
        """Readers give what was repaired where it is stored, marked."""
        machine.write(1000)
        machine.ship()
        machine.delete(machine.blocks()[1].sequence)
        missing = [n for part in machine.found().missing for n in numbers_of(part)]
        machine.repair()
        events = list(log.read())

        assert [event["n"] for event in events if "late" in event] == missing
        assert {(event["host"], event["log"]) for event in events} == {("web1", "app")}
        assert [event["n"] for event in events if "late" not in event] + missing == [
            event["n"] for event in events
        ]

    def test_small_messages_of_a_stream(self, newest, tmp_path):
        """A repair keeps to the longest message that the stream takes."""
        lines = [b'{"n": %d, "text": "%s"}\n' % (n, os.urandom(2000).hex().encode()) for n in range(30)]
        with connected(newest.address) as stream:
            create(stream, name=stream.name, subjects=[f"{stream.name.lower()}.>"], max_msg_size=10_000)
            machine = Machine(stream, tmp_path / "one")
            machine.log.write_bytes(b"".join(lines))
            machine.age()
            machine.ship()
            machine.delete(*(each.sequence for each in machine.blocks()[2:5]))
            lost = machine.found().missing
            repaired = machine.repair()

            assert repaired == total(lost) != (0, 0)
            assert sorted(machine.numbers()) == list(range(30))

    def test_the_shipper_goes_on(self, machine):
        """The shipper does not see a repair, and the next audit sees both."""
        machine.write(1000)
        machine.ship()
        machine.delete(2)
        machine.repair()
        machine.write(1000, first=1000)
        machine.ship()
        found = machine.found()

        assert (found.missing, found.lost) == ([], [])
        assert sorted(machine.numbers()) == list(range(2000))

    def test_any(self, machine):
        """Whatever is lost between first and last block: that is missing, and then there again once."""
        machine.write(2500, size=60_000)
        machine.ship()
        chosen = random.Random(4)
        for _ in range(4):
            there = messages_of(machine.stream)
            last = machine.blocks()[-1]
            gone = chosen.sample([each for each in there[1:] if each != last], 4)
            machine.delete(*(each.sequence for each in gone))
            missing = [n for part in machine.found().missing for n in numbers_of(part)]
            machine.repair()

            assert missing == sorted(lines_of(gone))
            assert sorted(machine.numbers()) == list(range(2500))

    def test_beside_writers_and_a_shipper(self, machine):
        """Blocks are lost and repaired while the log is written, rotated and shipped: each is there once."""
        chosen, repaired = random.Random(7), 0
        with write(machine.log, 5000, rate=1200, size=60_000) as writer, machine.shipper():
            wait_for(lambda: len(machine.blocks()) > 3)
            while writer.poll() is None or not repaired:
                blocks = machine.blocks()
                if len(blocks) > 3:  # the first may have expired, and the last is the shipper's position
                    machine.delete(chosen.choice(blocks[1:-1]).sequence)
                repaired += machine.repair().lines
            assert writer.wait() == 0
            wait_for_numbers(machine.stream, machine.subject, range(5000))
            machine.age()  # what was lost at the ends of files might have been on its way before
            machine.repair()

        assert sorted(machine.numbers()) == list(range(5000))

    def test_the_first_block(self, machine):
        """The first block is missing if the stream has not deleted anything from its beginning."""
        machine.write(1000)
        with connected(machine.stream.connection.address) as stream:
            publish(stream, f"{machine.prefix}.web2.other", b"", {})
        machine.ship()
        gone = machine.blocks()[0]
        machine.delete(gone.sequence)
        found = machine.found()

        assert [n for part in found.missing for n in numbers_of(part)] == lines_of([gone])

    def test_without_a_sidecar(self, machine):
        """Without a sidecar, and with files that are the same for long, content and inodes tell the files."""
        for number in (3, 2, 1, 0):
            head = "".join(f'{{"n": {n}, "text": "{"x" * 90}"}}\n' for n in range(2000))
            path = machine.folder / (f"app.log.{number}" if number else "app.log")
            path.write_text(head + f'{{"n": {9000 + number}}}\n')
        machine.age()
        machine.ship()
        whole = machine.found()
        count = len(machine.blocks())
        gone = machine.blocks()[count // 2]
        machine.delete(gone.sequence)
        found = machine.found()
        machine.repair()

        assert (whole.missing, whole.lost, whole.doubled.lines) == ([], [], 0)
        assert [n for part in found.missing for n in numbers_of(part)] == lines_of([gone])
        assert machine.found().missing == []

    def test_two_at_once(self, machine):
        """Two repairs at once ship nothing twice."""
        machine.write(3000)
        machine.ship()
        machine.delete(2, 3, 5)
        with machine.audit() as one, machine.audit() as other, machine.oversize() as kept:
            one.run()
            other.run()
            one.repair(kept)
            with pytest.raises(OtherShipperError, match="another shipper ships"):
                other.repair(kept)

        assert sorted(machine.numbers()) == list(range(3000))


class TestCluster:
    def test_the_leader_dies(self, cluster, tmp_path):
        """A repair goes on with the next leader, and ships each block once."""
        with connected(cluster.address) as stream:
            create(stream, num_replicas=3)
            machine = Machine(stream, tmp_path / "one")
            machine.write(3000)
            machine.ship()
            machine.delete(2, 3, 5, 8)
            with machine.audit() as audit, machine.oversize() as kept:
                missing = total(audit.run().missing)
                cluster.leader(done(stream, stream.info())).end()
                assert audit.repair(kept) == missing
            found = wait_for(lambda: _try(machine.found))

            assert (found.missing, found.lost, found.doubled.lines) == ([], [], 0)
            assert found.stored.lines == 3000


def _try(work):
    """The result of *work*; None as long as there is no leader."""
    with contextlib.suppress(ServerError):
        return work()


class TestLost:
    def test_lost(self, machine):
        """What neither has is lost; a repair ships nothing of it."""
        machine.write(3000)
        machine.ship()
        blocks = machine.blocks()
        machine.delete(blocks[1].sequence)
        machine.write(1000, first=3000, keep=2)
        machine.ship()
        found = machine.found()

        assert [(hole.before, hole.after) for hole in found.lost] == [
            (blocks[0].sequence, blocks[2].sequence)
        ]
        assert found.missing == []
        assert machine.repair() == (0, 0)

    def test_repaired_and_then_rotated_away(self, machine):
        """What a repair has shipped is not lost when the files are gone."""
        machine.write(3000)
        machine.ship()
        machine.delete(*(each.sequence for each in machine.blocks()[1:6]), machine.blocks()[7].sequence)
        machine.repair()
        machine.write(1000, first=3000, keep=2)
        machine.ship()
        found = machine.found()

        assert (found.lost, found.missing) == ([], [])

    def test_expired(self, machine):
        """What retention has deleted is expired, and not missing."""
        machine.write(3000)
        machine.ship()
        blocks = machine.blocks()
        machine.purge(blocks[4].sequence)
        found = machine.found()

        assert [n for part in found.expired for n in numbers_of(part)] == lines_of(blocks[:4])
        assert (found.missing, found.lost) == ([], [])

    def test_expired_and_missing(self, machine):
        """Behind the first block that is there, a lost one is missing all the same."""
        machine.write(3000)
        machine.ship()
        blocks = machine.blocks()
        machine.purge(blocks[3].sequence)
        machine.delete(blocks[6].sequence)
        found = machine.found()

        assert [n for part in found.missing for n in numbers_of(part)] == lines_of([blocks[6]])
        assert total(found.expired).lines == len(lines_of(blocks[:3]))

    def test_full_stream(self, running, tmp_path):
        """A stream that keeps only so many bytes has deleted its oldest blocks."""
        with connected(running.address.replace("CLOG", f"FULL{time.monotonic_ns()}")) as stream:
            create(stream, subjects=[f"{stream.name.lower()}.>"], max_bytes=30_000)
            machine = Machine(stream, tmp_path / "one")
            machine.write(3000)
            machine.ship()
            found = machine.found()

        assert total(found.expired).lines > 0
        assert (found.missing, found.lost) == ([], [])
        assert found.stored.lines + total(found.expired).lines == 3000


class TestLateLines:
    def test_shipped_late(self, machine):
        """Lines that came late into a rotated file, and were shipped so, are found by their content."""
        machine.write(3000)
        with machine.shipper():
            wait_for_numbers(machine.stream, machine.subject, range(3000))
            for number in range(3000, 3003):
                with open(machine.folder / "app.log.2", "a") as file:
                    file.write(json.dumps({"n": number}) + "\n")
                wait_for_numbers(machine.stream, machine.subject, [number])
        machine.age()
        whole = machine.found()
        machine.delete(machine.blocks()[-2].sequence)
        found = machine.found()

        assert (whole.late, whole.missing, whole.rotated.lines) == (3, [], 0)
        assert [n for part in found.missing for n in numbers_of(part)] == [3001]

    def test_oversize(self, machine):
        """A late line that no message can hold is in the stream, as the marked event in its place."""
        machine.write(3000)
        line = json.dumps({"n": 3000, "text": "é" * 1_000_000}, ensure_ascii=False)
        with machine.shipper():
            wait_for_numbers(machine.stream, machine.subject, range(3000))
            with open(machine.folder / "app.log.2", "a") as file:
                file.write(f"{line}\n" + json.dumps({"n": 3001}) + "\n")
            wait_for_numbers(machine.stream, machine.subject, [3001])
        machine.age()
        found = machine.found()

        assert (found.late, found.missing, found.rotated.lines) == (2, [], 0)

    def test_not_shipped(self, machine):
        """Lines that came while no shipper ran are missing, but for the last minute: one may ship them."""
        machine.write(3000)
        machine.ship()
        path = machine.folder / "app.log.2"
        with open(path, "a") as file:
            file.write('{"n": 3000}\n')
        new = machine.found()
        before = time.time() - 2 * SETTLING_SECONDS
        os.utime(path, (before, before))
        old = machine.found()

        assert (total(new.unshipped).lines, new.missing) == (1, [])
        assert (old.unshipped, [n for part in old.missing for n in numbers_of(part)]) == ([], [3000])

    def test_behind(self, machine):
        """A shipper that is behind looks for late lines when it has nothing else to do."""
        machine.write(3000)
        machine.ship()
        machine.write(100, first=3000)
        path = machine.folder / "app.log.2"
        with open(path, "a") as file:
            file.write('{"n": 9000}\n')
        before = time.time() - 2 * SETTLING_SECONDS
        os.utime(path, (before, before))
        found = machine.found()

        assert (total(found.unshipped).lines, found.missing) == (101, [])


class TestDamage:
    def test_unreadable_and_differing(self, machine):
        """Blocks that are damaged, or have other lines than the files, are told, and repaired."""
        machine.write(3000)
        machine.ship()
        before = machine.blocks()
        done(machine.stream, machine.stream.api(f"STREAM.PURGE.{machine.stream.name}", {}))
        for index, each in enumerate(before):
            lines, headers = each.lines, {**each.headers}
            for name in ("Nats-Msg-Id", "Nats-Expected-Last-Subject-Sequence", "Content-Encoding"):
                headers.pop(name, None)
            if index == 2:
                lines = lines[: len(lines) // 2]
            if index == 4:
                lines = lines.replace(b'"n":', b'"N":')
            publish(machine.stream, machine.subject, lines, headers)
        publish(machine.stream, f"{machine.subject}.late", b"{}\n", {LATE_HEADER: "1"})
        first = machine.blocks()[0].sequence
        found = machine.found()

        assert [sequence for sequence, _ in found.unreadable] == [first + 2, first + len(before)]
        assert found.differing == [first + 4]
        assert [n for part in found.missing for n in numbers_of(part)] == lines_of([before[2], before[4]])
        assert found.lost == []

        machine.delete(first + len(before))
        machine.repair()
        machine.write(1000, first=3000, keep=2)
        machine.ship()
        assert (machine.found().missing, machine.found().lost) == ([], [])

    def test_doubled(self, machine):
        """What is there twice is told."""
        machine.write(100)
        machine.ship()
        [block] = machine.blocks()
        headers = {name: text for name, text in block.headers.items() if not name.startswith("Nats")}
        del headers["Content-Encoding"]
        publish(machine.stream, machine.subject, block.lines, headers)

        assert machine.found().doubled.lines == 100


class TestRefusals:
    def test_another_log(self, machine, tmp_path):
        """A log with another id under the same name is refused with what to do."""
        machine.write(10)
        machine.ship()
        other = Machine(machine.stream, tmp_path / "two")
        other.write(10)
        with pytest.raises(OtherShipperError, match=r"is of another log than .* give the --host"):
            other.found()

    def test_not_a_shippers(self, machine):
        """A message of others stops the shipper, is told, and what is before it is compared all the same."""
        machine.write(3000)
        machine.ship()
        machine.delete(machine.blocks()[2].sequence)
        before = machine.found()
        foreign = publish(machine.stream, machine.subject, b"{}\n")
        machine.write(1, first=3000)
        found = machine.found()
        with pytest.raises(OtherShipperError, match=f"nats stream rmm {machine.stream.name} {foreign}`"):
            machine.ship()
        machine.delete(foreign)
        machine.ship()

        assert [part.amount for part in found.missing] == [part.amount for part in before.missing]
        assert (found.blocks, total(found.unshipped).lines) == (before.blocks, 1)
        assert [sequence for sequence, _ in found.unreadable] == [foreign]
        [conflict] = found.conflicts
        assert conflict.startswith(f"sequence {foreign} of {machine.subject} was not made by a shipper")
        assert (machine.found().conflicts, machine.found().unshipped) == ([], [])

    def test_another_machine_of_the_name(self, machine, tmp_path):
        """Without ids of logs, too, another machine's lines in the place of ours are a conflict."""
        machine.log.write_bytes(b'{"n": 1}\n')
        machine.ship()
        other = Machine(machine.stream, tmp_path / "two")
        other.log.write_bytes(b'{"n": 2}\n')
        found = other.found()

        [conflict] = found.conflicts
        assert str(machine.log) in conflict
        assert "has shipped other lines under" in conflict
        assert machine.found().conflicts == []

    def test_a_log_that_was_made_anew(self, machine):
        """It is no conflict with itself."""
        machine.log.write_bytes(b'{"n": 1}\n')
        machine.ship()
        machine.log.write_bytes(b'{"other": 2}\n')

        assert machine.found().conflicts == []

    def test_no_stream(self, machine):
        """A stream that does not exist is named."""
        machine.write(10)
        done(machine.stream, machine.stream.api(f"STREAM.DELETE.{machine.stream.name}"))
        with pytest.raises(RefusedError, match="there is no such stream"):
            machine.found()


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10))),
    st.tuples(st.integers(0, 30), st.integers(1, 9)),
)
def test_ranges(added, asked):
    """Ranges have the offsets that were added, and no others."""
    ranges, model = Ranges(), set()
    for start, length in added:
        ranges.add(start, start + length)
        model.update(range(start, start + length))
    start, length = asked

    assert ranges.has(start, start + length) == bool(model & set(range(start, start + length)))
    outside = [(start, 50 if end is None else end) for start, end in ranges.outside()]
    assert {offset for start, end in outside for offset in range(start, end)} == set(range(50)) - model
