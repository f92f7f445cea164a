"""The state file of a shipper: held by one, right after any damage, and never a reason to stop."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest

from chora_logging.errors import OtherShipperError
from chora_logging.shipping.state import Checkpoint, State

FIRST = Checkpoint("CLOG", "clog.web1.app", "cursor1", 1)
SECOND = FIRST._replace(end="cursor2", sequence=2)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / ".app.ship")


def opened(path):
    return State(path, "/logs/app.log")


def load(path, subject=FIRST.subject, stream="CLOG"):
    state = opened(path)
    try:
        return state.load(stream, subject)
    finally:
        state.close()


def kept(path, *checkpoints):
    state = opened(path)
    state.load("CLOG", FIRST.subject)
    for checkpoint in checkpoints:
        state.save(checkpoint)
    state.close()
    return state


class TestCheckpoints:
    def test_the_newest(self, path):
        """The newest checkpoint is loaded, over any number of saves and processes."""
        third = SECOND._replace(sequence=3)
        assert load(path) is None
        kept(path, FIRST)
        assert load(path) == FIRST
        kept(path, SECOND, third)
        assert load(path) == third
        kept(path, FIRST)
        assert load(path) == FIRST

    def test_of_another(self, path):
        """The checkpoint of another stream or subject is none of this one."""
        kept(path, FIRST)

        assert load(path, stream="OTHER") is None
        assert load(path, subject="clog.web2.app") is None

    def test_any_damage(self, path):
        """With any byte changed, or cut anywhere, it gives one of the checkpoints or none."""
        kept(path, FIRST, SECOND)
        with open(path, "rb") as file:
            content = file.read()
        for index in range(0, len(content), 7):
            for damaged in (content[:index], content[:index] + b"\xff" + content[index + 1 :]):
                with open(path, "wb") as file:
                    file.write(damaged)
                assert load(path) in (SECOND, FIRST, None)

    def test_torn_write(self, path):
        """A write that was torn leaves the checkpoint before it."""
        kept(path, FIRST, SECOND)
        slot = 1 + 2 % 2
        with open(path, "r+b") as file:
            file.seek(512 * slot + 40)
            file.write(b"torn")

        assert load(path) == FIRST

    def test_permissions(self, path):
        """Only its owner can read it."""
        kept(path, FIRST)

        assert os.stat(path).st_mode & 0o777 == 0o600


class TestHolding:
    def test_one_process(self, path):
        """A second one hears who holds it; after the first has gone it gets the file, and the same id."""
        code = (
            "import sys; from chora_logging.shipping.state import State\n"
            "state = State(sys.argv[1], 'log'); print(state.shipper, flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", code, path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
            shipper = first.stdout.readline().strip()
            with pytest.raises(
                OtherShipperError, match=f"process {first.pid} on .* ships /logs/app.log already"
            ) as caught:
                opened(path)
            first.kill()

        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        assert kept(path, FIRST).shipper == shipper

    @pytest.mark.parametrize("kind", ["folder", "link", "no folder"])
    def test_cannot_be_used(self, path, kind, caplog, tmp_path):
        """A file that cannot be made or is something else costs one warning, and nothing is kept."""
        if kind == "folder":
            os.mkdir(path)
        elif kind == "link":
            (tmp_path / "target").write_bytes(b"mine")
            os.symlink(tmp_path / "target", path)
        else:
            path = str(tmp_path / "missing" / ".app.ship")
        kept(path, FIRST, SECOND)

        assert load(path) is None
        assert len(caplog.records) == 2
        assert "the position is kept in the stream only" in caplog.text
        assert kind != "link" or (tmp_path / "target").read_bytes() == b"mine"

    def test_write_that_fails(self, path, caplog, monkeypatch):
        """A full disk costs one warning."""
        state = opened(path)

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        state.save(FIRST)
        state.save(SECOND)
        monkeypatch.undo()
        state.close()
        state.close()

        assert [record.getMessage() for record in caplog.records] == [
            f"{path}: the position is kept in the stream only: No space left on device"
        ]
