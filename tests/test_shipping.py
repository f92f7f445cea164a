"""The loop that ships a log to any destination: resumed, superseded, stopped and disturbed."""

from __future__ import annotations

import asyncio

import pytest

from chora_logging.errors import OtherShipperError
from chora_logging.eventlog import EventLog, Gap
from chora_logging.eventlog.events import Block
from chora_logging.shipping import loop
from chora_logging.shipping.loop import Superseded, ship


class Memory:
    """A destination that keeps what is put, with the cursor after it."""

    def __init__(self):
        self.items = []
        self.end = None
        self.problem = None

    async def resume(self, log):
        return self.end

    async def put(self, item):
        await asyncio.sleep(0)
        if self.problem is not None:
            problem, self.problem = self.problem, None
            raise problem
        self.items.append(item)
        if isinstance(item, Block):
            self.end = item.cursor(item.length)

    @property
    def lines(self):
        return b"".join(item.chunk[: item.size] for item in self.items if isinstance(item, Block))


@pytest.fixture
def log(tmp_path):
    (tmp_path / "app.log").write_bytes(b'{"n": 1}\n{"n": 2}\n')
    return EventLog(tmp_path / "app.log")


def add(log, data):
    with open(log.path, "ab") as file:
        file.write(data)


async def until(found):
    async def wait():
        while not found():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 20)


class TestShip:
    def test_to_the_end(self, log):
        """It ends at the end of a log that it need not follow, and later goes on from there."""
        there = Memory()
        asyncio.run(ship(log, there, live=False))
        add(log, b'{"n": 3}\n{"ha')
        asyncio.run(ship(log, there, live=False))

        assert there.lines == b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'
        assert len(there.items) == 2

    def test_until_stopped(self, log):
        """It follows the log until it is stopped."""
        there = Memory()

        async def run():
            stop = asyncio.Event()
            shipping_ = asyncio.ensure_future(ship(log, there, linger=0.01, stop=stop))
            await until(lambda: there.items)
            add(log, b'{"n": 3}\n')
            await until(lambda: there.lines.endswith(b'{"n": 3}\n'))
            stop.set()
            await asyncio.wait_for(shipping_, 20)

        asyncio.run(run())
        assert there.lines == b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'

    def test_superseded(self, log):
        """After another position was found in the destination, it goes on from that one."""
        there = Memory()
        asyncio.run(ship(log, there, live=False))
        add(log, b'{"n": 3}\n')
        there.problem = Superseded()
        asyncio.run(ship(log, there, live=False))

        assert there.lines == b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'

    def test_refused(self, log):
        """A refusal ends it."""
        there = Memory()
        there.problem = OtherShipperError("nats://n1/S", "no")

        with pytest.raises(OtherShipperError):
            asyncio.run(ship(log, there, live=False))

    def test_gap(self, log):
        """What was deleted is put as a gap before what follows it."""
        there = Memory()
        asyncio.run(ship(log, there, live=False))
        with open(log.path, "wb") as file:
            file.write(b'{"other": 1}\n')
        asyncio.run(ship(log, there, live=False))

        assert [type(item) for item in there.items] == [Block, Gap, Block]

    def test_log_that_cannot_be_read_to_its_end(self, tmp_path):
        """A log that is shipped to its end ends with the error."""
        folder = tmp_path / "folder"
        folder.symlink_to(folder)
        with pytest.raises(OSError, match="symbolic links"):
            asyncio.run(ship(EventLog(folder / "app.log"), Memory(), live=False))

    def test_log_that_cannot_be_read(self, tmp_path, monkeypatch, caplog):
        """A log that cannot be read is said once, and tried again."""
        monkeypatch.setattr(loop, "READ_AGAIN_SECONDS", 0.01)
        folder = tmp_path / "folder"
        folder.symlink_to(folder)  # a link that leads in a circle
        there, errors, reads, before = Memory(), [], [], []

        async def run():
            stop = asyncio.Event()
            log = EventLog(folder / "app.log")
            running = asyncio.ensure_future(
                ship(log, there, stop=stop, on_unreadable=errors.append, on_read=lambda: reads.append(1))
            )
            await until(lambda: len(errors) > 3)
            before.extend(reads)
            folder.unlink()
            folder.mkdir()
            await until(lambda: reads)
            (folder / "app.log").write_bytes(b"{}\n")
            await until(lambda: there.items)
            stop.set()
            await running

        asyncio.run(run())
        assert there.lines == b"{}\n"
        assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
            f"{folder / 'app.log'} cannot be read, trying again"
        ]
        assert before == []
        assert all(isinstance(error, OSError) for error in errors)
